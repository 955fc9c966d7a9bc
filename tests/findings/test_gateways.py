"""Which connection of a gateway is which terminal's: by ports, by time, by sizes, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forensics.clocks import Clocks, find_clocks
from forensics.gateways import Passages, find_passages
from forensics.roles import Roles, find_roles

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

START = 1_431_302_400_000_000
SECOND = 1_000_000
GATEWAY, SERVER = "203.0.113.10", "198.51.100.116"
ROLES = Roles(frozenset({"10.0.0.1", "10.0.0.2"}), {}, frozenset({GATEWAY}))

Rows = list[dict[str, Any]]


def inside(at: float, port: int, client: int = 1, sent: int = 5000, **more: object) -> dict[str, Any]:
    """Return a terminal's connection as the capture before the gateway has it."""
    start = START + round(at * SECOND)
    return {"start": start, "end": start + 30 * SECOND, "src": f"10.0.0.{client}", "src_port": port, "dst": SERVER,
            "dst_port": 443, "proto": "tcp", "bytes_out": sent, "bytes_in": 900, "bytes_kind": "ip",
            "source": "inside.pcap", "vantage": "inside", **more}  # fmt: skip


def outside(at: float, port: int, sent: int = 5000, **more: object) -> dict[str, Any]:
    """Return a connection as the capture behind the gateway has it."""
    return inside(at, port, sent=sent) | {"src": GATEWAY, "source": "outside.pcap", "vantage": "outside"} | more


def passages(case: Case, *, clocks: Clocks | None = None) -> Passages:
    """Return what is found of the server."""
    return find_passages(case, [SERVER], ROLES, clocks or Clocks())


def joined(case: Case, **more: Any) -> dict[str, dict[str, int]]:  # noqa: ANN401 - options of `passages`
    """Return how many connections each terminal was given, by how they were told."""
    return {row["src"]: row["joined"] for row in passages(case, **more).rows}


def test_a_port_that_is_kept_tells(make_case: Callable[..., Case]) -> None:
    """Two terminals that meet the server in the same second are told apart by the ports, which the gateway keeps."""
    rows = [inside(0.0, 5001, 1), inside(0.1, 5002, 2), outside(0.0, 5002), outside(0.1, 5001)]

    assert joined(make_case(rows)) == {"10.0.0.1": {"ports": 1}, "10.0.0.2": {"ports": 1}}


def test_a_port_that_was_used_long_ago_tells_nothing(make_case: Callable[..., Case]) -> None:
    """The same port minutes earlier is another connection."""
    assert joined(make_case([inside(0.0, 5001), outside(300.0, 5001)])) == {}


def test_sequence_numbers_tell_whatever_port_and_clock(make_case: Callable[..., Case]) -> None:
    """A gateway that changes the ports keeps the numbers of both ends, and no clock need be right."""
    rows = [inside(0.0, 5001, 1, isn_out=7, isn_in=90), inside(0.1, 5002, 2, isn_out=8, isn_in=91)]
    rows += [outside(0.1, 40_001, isn_out=7, isn_in=90), outside(500.0, 40_002, isn_out=8, isn_in=91)]

    assert joined(make_case(rows)) == {"10.0.0.1": {"sequence numbers": 1}, "10.0.0.2": {"sequence numbers": 1}}


def test_the_clients_number_alone_tells_within_two_seconds(make_case: Callable[..., Case]) -> None:
    """Where the reply is not on record; later, or with another number, it is another connection."""
    rows = [inside(0.0, 5001, 1, isn_out=7), inside(0.1, 5002, 2, isn_out=8, isn_in=91)]
    near, later = outside(0.1, 40_001, isn_out=7, isn_in=90), outside(500.0, 40_002, isn_out=7, isn_in=90)
    other = outside(0.2, 40_003, isn_out=8, isn_in=95)

    assert joined(make_case([*rows, near])) == {"10.0.0.1": {"sequence numbers": 1}}
    assert joined(make_case([*rows, later, other])) == {}


def test_without_ports_time_tells(make_case: Callable[..., Case]) -> None:
    """Where the gateway changes the ports, the only terminal that begins within two seconds has the connection."""
    rows = [inside(0.0, 5001, 1), inside(60.0, 5001, 2), outside(0.3, 40_001), outside(61.9, 40_002)]

    assert joined(make_case(rows)) == {"10.0.0.1": {"time": 1}, "10.0.0.2": {"time": 1}}


def test_among_several_sizes_tell(make_case: Callable[..., Case]) -> None:
    """Of two terminals that begin at the same moment, the one with as many bytes has the connection."""
    rows = [inside(0.0, 5001, 1, 50_000), inside(0.1, 5001, 2, 900_000), outside(0.2, 40_001, 905_000)]

    assert joined(make_case(rows)) == {"10.0.0.2": {"time and sizes": 1}}


def test_what_cannot_be_told_stays_the_gateways(make_case: Callable[..., Case]) -> None:
    """Two terminals alike, or none at all: the connection is nobody's, and is counted as such."""
    rows = [inside(0.0, 5001, 1), inside(0.1, 5001, 2), outside(0.2, 40_001), outside(500.0, 40_002)]

    found = passages(make_case(rows))

    assert found.rows == []
    assert found.counts == [{"gateway": GATEWAY, "server": SERVER, "connections": 2, "joined": {}}]


def test_clocks_are_corrected_first(make_case: Callable[..., Case]) -> None:
    """A capture behind the gateway whose clock is 40 s ahead is joined once that is known from the ports."""
    rows = [inside(60.0 * n, 5001 + n) for n in range(5)] + [outside(60.0 * n + 40, 5001 + n) for n in range(5)]
    case = make_case(rows)

    assert joined(case) == {}
    assert joined(case, clocks=find_clocks(case)) == {"10.0.0.1": {"ports": 5}}


def test_a_proxys_connection_that_others_used_has_no_bytes_of_one(make_case: Callable[..., Case]) -> None:
    """A proxy keeps a connection for the requests of others: it is evidence for the first, its bytes are nobody's."""
    log = {"via": "10.0.0.8", "source": "access.log", "vantage": "proxy", "bytes_kind": "application"}
    rows = [inside(0.0, 5001, 1) | log, inside(9.0, 5001, 2) | log, inside(100.0, 5001, 2) | log]
    rows += [outside(0.1, 40_001), outside(100.1, 40_002)]

    first, second = passages(make_case(rows)).rows

    assert (first["src"], first["bytes_out"], first["records"]) == ("10.0.0.1", None, [4])
    assert (second["src"], second["bytes_out"], second["records"]) == ("10.0.0.2", 5000, [5])


def test_rows_say_what_the_graph_needs(make_case: Callable[..., Case]) -> None:
    """A terminal's connections in a file are one row, with sums, times as recorded, records and the gateway."""
    [row] = passages(make_case([inside(0.0, 1), inside(60.0, 2), outside(0.0, 1), outside(60.0, 2)])).rows

    assert (row["src"], row["server"], row["gateway"], row["via"]) == ("10.0.0.1", SERVER, GATEWAY, None)
    assert (row["connections"], row["bytes_out"], row["bytes_in"], row["records"]) == (2, 10_000, 1800, [3, 4])
    assert (row["end"] - row["start"]).total_seconds() == 90


def test_without_gateways_there_is_nothing_to_join(make_case: Callable[..., Case]) -> None:
    """Where nobody is taken for a gateway, no query is asked."""
    assert find_passages(make_case([inside(0.0, 1)]), [SERVER], Roles(), Clocks()) == Passages([], [])


@pytest.mark.parametrize("clients", [1, 3])
def test_address_translation_is_recognised(make_case: Callable[..., Case], clients: int) -> None:
    """A public address whose connections have ports and servers of private ones is a gateway, from one terminal on."""
    rows = [inside(60.0 * n, 5001 + n, 1 + n % clients) for n in range(6)]
    rows += [outside(60.0 * n, 5001 + n) for n in range(6)]
    rows += [outside(60.0 * n, 7001 + n, dst="192.0.2.7") for n in range(50)]  # of others, not captured inside

    assert find_roles(make_case(rows)).gateways == {GATEWAY}


def test_a_few_equal_ports_are_no_translation(make_case: Callable[..., Case]) -> None:
    """Two clients of one server share a port now and then."""
    rows = [inside(60.0 * n, 5001 + n) for n in range(50)] + [outside(60.0 * n, 5046 + n) for n in range(50)]

    assert find_roles(make_case(rows)).gateways == frozenset()
