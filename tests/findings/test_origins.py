"""From the gateway's connection into a chain back to the terminal behind the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from forensics import origins
from forensics.chains import Chain, Match
from forensics.clocks import Clocks
from forensics.clocks.fit import Piece
from forensics.origins import chains_from_terminals
from forensics.roles import Roles
from forensics.series import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

SECOND = 1_000_000
START = 1_431_302_400_000_000
GATEWAY, RELAY, SECOND_RELAY = "203.0.113.10", "198.51.100.116", "203.0.113.182"
ROLES = Roles(frozenset({"10.0.0.1", "10.0.0.2"}), {"access": "10.0.0.8"}, frozenset({GATEWAY}))

Flows = list[dict[str, object]]


def request(seconds: float, terminal: str, **more: object) -> dict[str, object]:
    """Return a terminal's request for the relay, in the proxy's log."""
    start = START + int(seconds * SECOND)
    return {"start": start, "src": terminal, "dst": RELAY, "via": "access", **more}


def session(seconds: float, *, source: str = "relay.pcap") -> tuple[Match, ...]:
    """Return a session of the chain: what came in from the gateway at the relay, by the capture's clock."""
    start = START + int(seconds * SECOND)
    into, onward = (
        Connection(source, 1, src, 1, dst, 443, start, start + SECOND, np.arange(2), np.ones(2), np.ones(2))
        for src, dst in ((GATEWAY, RELAY), (RELAY, SECOND_RELAY))
    )
    return (Match(RELAY, into, onward, 1.0, 1e-4),)


def chain(*sessions: tuple[Match, ...], first: str = GATEWAY) -> Chain:
    """Return a chain of these sessions."""
    return Chain((first, RELAY, SECOND_RELAY), sessions)


def test_the_nearest_request_decides(make_case: Callable[..., Case]) -> None:
    """Of two terminals that met the relay about then, the one whose request is nearer is the session's."""
    case = make_case([request(99.5, "10.0.0.1"), request(100.1, "10.0.0.2"), request(300.0, "10.0.0.1")])

    found = chains_from_terminals(case, [chain(session(100.0), session(300.9))], ROLES)

    assert [(one.hops[0], len(one.sessions)) for one in found] == [("10.0.0.1", 1), ("10.0.0.2", 1)]
    assert {one.hops[1:] for one in found} == {(RELAY, SECOND_RELAY)}


@pytest.mark.parametrize("apart", [-2.1, 2.1])
def test_an_unknown_terminal_stays_the_gateway(make_case: Callable[..., Case], apart: float) -> None:
    """A session without a request within two seconds keeps the gateway as its origin."""
    case = make_case([request(100.0 + apart, "10.0.0.1"), request(100.0, "10.0.0.9")])

    [found] = chains_from_terminals(case, [chain(session(100.0))], ROLES)

    assert found.hops[0] == GATEWAY


def test_a_case_without_requests(make_case: Callable[..., Case]) -> None:
    """Where no log of the office is there, the gateway is all that is known."""
    [found] = chains_from_terminals(make_case([]), [chain(session(100.0))], ROLES)

    assert found.hops[0] == GATEWAY


def test_clock_offsets_are_applied(make_case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of capture and log are compared by the reference clock, whichever of them is off."""
    off = {
        name: [Piece(0.0, 0.0, offset, 0.0, 0.0, 9)] for name, offset in (("relay.pcap", 37.0), ("access.log", -5.0))
    }
    monkeypatch.setattr(origins, "find_clocks", lambda _: Clocks(off))
    case = make_case([request(95.0, "10.0.0.1"), request(137.0, "10.0.0.2")])

    [found] = chains_from_terminals(case, [chain(session(137.0))], ROLES)

    assert found.hops[0] == "10.0.0.1"


def test_a_proxy_seen_at_the_relay_is_seen_through(make_case: Callable[..., Case]) -> None:
    """A chain that begins with a proxy's address begins with the terminal behind it."""
    case = make_case([request(100.0, "10.0.0.1")])

    [found] = chains_from_terminals(case, [chain(session(100.0), first="10.0.0.8")], ROLES)

    assert found.hops[0] == "10.0.0.1"


def test_other_chains_stay_as_they_are(make_case: Callable[..., Case]) -> None:
    """A chain that begins with a terminal or a stranger is not touched."""
    whole = chain(session(100.0), first="10.0.0.2")

    assert chains_from_terminals(make_case([request(100.0, "10.0.0.1")]), [whole], ROLES) == [whole]
