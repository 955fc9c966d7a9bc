"""Who is taken for a terminal, a proxy, a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.roles import find_roles

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

START = 1_431_302_400_000_000

Flows = list[dict[str, object]]


def request(src: str, dst: str, **more: object) -> dict[str, object]:
    """Return one row of a proxy's log."""
    return {"start": START, "src": src, "dst": dst, "via": "access", **more}


def test_clients_of_a_proxy_are_terminals(make_case: Callable[..., Case]) -> None:
    """Clients of a proxy are the office's, whatever their address; servers are not."""
    roles = find_roles(make_case([request("192.0.2.11", "203.0.113.7"), request("192.0.2.12", "203.0.113.7")]))

    assert {"192.0.2.11", "192.0.2.12"} == roles.terminals
    assert roles.is_inside("192.0.2.11")
    assert not roles.is_inside("203.0.113.7")
    assert not roles.is_inside("www.example")


def test_private_addresses_are_inside(make_case: Callable[..., Case]) -> None:
    """Private clients are terminals beside the proxy's clients; a private server is inside without being one."""
    roles = find_roles(make_case([request("10.0.0.5", "10.0.0.9", via=None), request("192.0.2.11", "203.0.113.7")]))

    assert {"10.0.0.5", "192.0.2.11"} == roles.terminals
    assert roles.is_inside("10.0.0.9")


def test_without_proxy_and_private_addresses_all_clients_are_terminals(make_case: Callable[..., Case]) -> None:
    """Where nothing tells inside from outside, every client counts."""
    roles = find_roles(make_case([request("192.0.2.11", "203.0.113.7", via=None)]))

    assert {"192.0.2.11"} == roles.terminals


def test_a_logs_proxy_is_known_by_its_captured_traffic(make_case: Callable[..., Case]) -> None:
    """A captured proxy that carried what the log's clients asked for is the log's proxy."""
    captured = {"source": "terminal.pcap", "vantage": "terminal", "via": "192.0.2.2"}
    pairs = [("192.0.2.11", "203.0.113.7"), ("192.0.2.11", "203.0.113.8")]
    rows = [request(*pair) for pair in pairs] + [request(*pair, **captured) for pair in pairs]

    roles = find_roles(make_case(rows))

    assert roles.proxies == {"access": "192.0.2.2", "192.0.2.2": "192.0.2.2"}
    assert roles.is_inside("192.0.2.2")


def test_another_proxys_log_is_not_taken_for_it(make_case: Callable[..., Case]) -> None:
    """A captured proxy that carried other pairs than the log's is another proxy."""
    captured = {"source": "terminal.pcap", "vantage": "terminal", "via": "192.0.2.2"}
    rows = [request("192.0.2.11", "203.0.113.7"), request("192.0.2.99", "203.0.113.8", **captured)]

    assert find_roles(make_case(rows)).proxies["access"] == "access"


def test_a_gateway_speaks_for_the_terminals(make_case: Callable[..., Case]) -> None:
    """An address at the uplink that met all the terminals' servers is a gateway, and no terminal."""
    rows = [request(f"10.0.0.{n}", f"198.18.0.{n}") for n in range(1, 7)]
    uplink = {"via": None, "source": "conn.log", "vantage": "uplink"}
    rows += [request("192.0.2.1", f"198.18.0.{n}", **uplink) for n in range(1, 7)]

    roles = find_roles(make_case(rows))

    assert {"192.0.2.1"} == roles.gateways
    assert "192.0.2.1" not in roles.terminals


def test_a_proxys_own_connections_make_it_a_gateway(make_case: Callable[..., Case]) -> None:
    """A proxy that is seen as a client, at the uplink, speaks for its clients."""
    rows = [
        request("192.0.2.11", "203.0.113.7", via="192.0.2.2"),
        request("192.0.2.2", "203.0.113.7", via=None, source="uplink.pcap", vantage="uplink"),
    ]

    roles = find_roles(make_case(rows))

    assert {"192.0.2.2"} == roles.gateways
    assert {"192.0.2.11"} == roles.terminals


def test_an_empty_case_has_no_roles(make_case: Callable[..., Case]) -> None:
    """A case without rows has nobody in it."""
    roles = find_roles(make_case([]))

    assert (frozenset(), {}, frozenset()) == (roles.terminals, roles.proxies, roles.gateways)
