"""Chains across relays: which steps are joined, by corrected clocks, and which are not."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from forensics.chains import Match
from forensics.chains.joining import best_of, by_clocks, joined
from forensics.clocks import Clocks
from forensics.clocks.fit import Piece
from forensics.series import Connection

if TYPE_CHECKING:
    from forensics.chains import Chain

RELAY, SECOND, THIRD, TERMINAL, OPERATOR = (
    "203.0.113.7",
    "203.0.113.8",
    "203.0.113.9",
    "192.0.2.11",
    "198.51.100.240",
)
WAY = (TERMINAL, RELAY, SECOND, THIRD, OPERATOR)
SECONDS = 1_000_000


def leg(src: str, dst: str, number: int, host: str, start: float = 600.0) -> Connection:
    """Return a connection as the capture at a host shows it, for a minute from a time by the clock of that capture."""
    begin, one = int(start * SECONDS), np.array([100])
    end = begin + 60 * SECONDS
    return Connection(f"{host}.pcap", number, src, number, dst, 443, begin, end, np.array([begin]), one, one)


def match_of(
    way: tuple[str, str, str], number: int, *, p_value: float = 1e-4, q_value: float | None = None, start: float = 600.0
) -> Match:
    """Return a match from the first host through the second to the third; numbers tell sessions apart."""
    before, host, after = way
    ends = leg(before, host, number, host, start), leg(host, after, number, host, start)
    return Match(host, *ends, 0.9, p_value, q_value)


def steps(number: int, start: float = 600.0, **clocks: float) -> list[Match]:
    """Return a session over three relays, by the clocks of the relays, given as seconds by ``first`` and so on."""
    names = ("first", "second", "third")
    triples = zip(WAY, WAY[1:], WAY[2:], strict=False)
    return [
        match_of(way, number, start=start + clocks.get(name, 0.0)) for way, name in zip(triples, names, strict=True)
    ]


def clocks_of(offsets: dict[str, float]) -> Clocks:
    """Return clocks that are off by so much, all compared with the one of the first relay. [s]"""
    pieces = {source: [Piece(0.0, 1e4, offset, 0.0, 0.01, 9)] for source, offset in offsets.items() if offset}
    return Clocks(pieces, dict.fromkeys(offsets, f"{RELAY}.pcap"))


def told(found: list[Chain]) -> list[tuple[tuple[str, ...], int]]:
    """Return hops and number of sessions of chains."""
    return [(chain.hops, len(chain.sessions)) for chain in found]


def test_steps_are_joined_and_sessions_counted() -> None:
    """Steps at two relays are one chain, sessions of one way are one chain's; p and q are its weakest step's."""
    found = joined(
        [
            match_of((TERMINAL, RELAY, SECOND), 1, p_value=1e-4, q_value=1e-3),
            match_of((TERMINAL, RELAY, SECOND), 2, p_value=1e-3, q_value=5e-3),
            match_of((RELAY, SECOND, OPERATOR), 1, p_value=5e-3, q_value=9e-3),
            match_of((RELAY, SECOND, OPERATOR), 2, p_value=2e-3, q_value=6e-3),
        ],
        by_clocks(Clocks()),
    )

    [chain] = found
    assert chain.hops == (TERMINAL, RELAY, SECOND, OPERATOR)
    assert chain.relays == (RELAY, SECOND)
    assert [len(session) for session in chain.sessions] == [2, 2]
    assert (chain.p_value, chain.q_value) == (2e-3, 6e-3)


def test_a_step_seen_from_behind_is_no_chain() -> None:
    """A match against the direction of a longer chain is left out; the longest chain comes first."""
    matches = [
        match_of((TERMINAL, RELAY, SECOND), 1),
        match_of((RELAY, SECOND, OPERATOR), 1),
        match_of((OPERATOR, SECOND, RELAY), 2),
        match_of(("198.18.0.1", "198.18.0.2", "198.18.0.3"), 3),
    ]

    found = [chain.hops for chain in joined(matches, by_clocks(Clocks()))]

    assert found == [(TERMINAL, RELAY, SECOND, OPERATOR), ("198.18.0.1", "198.18.0.2", "198.18.0.3")]
    assert joined(matches, by_clocks(Clocks()))[0].q_value is None


def test_a_ring_ends() -> None:
    """Traffic that comes back to where it was does not turn in a circle for ever."""
    matches = [
        match_of((TERMINAL, RELAY, SECOND), 1),
        match_of((RELAY, SECOND, RELAY), 1),
        match_of((SECOND, RELAY, SECOND), 1),
    ]

    assert joined(matches, by_clocks(Clocks()))[0].hops[0] == TERMINAL


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_chain_reaches_from_the_terminal_to_the_operator(order: tuple[int, ...]) -> None:
    """Three relays whose clocks differ by minutes and hours show one chain, in whatever order they are read."""
    clocks = {"first": 0.0, "second": -300.0, "third": 7200.0}
    offsets = {f"{host}.pcap": offset for host, offset in zip((RELAY, SECOND, THIRD), clocks.values(), strict=True)}
    matches = steps(1, **clocks)

    assert told(joined([matches[k] for k in order], by_clocks(clocks_of(offsets)))) == [(WAY, 1)]


def test_a_chain_stops_where_the_evidence_does() -> None:
    """Without a capture at the second relay there are two chains, and neither reaches over the gap."""
    first, _, third = steps(1)

    assert told(joined([first, third], by_clocks(Clocks()))) == [
        ((TERMINAL, RELAY, SECOND), 1),
        ((SECOND, THIRD, OPERATOR), 1),
    ]


def test_a_five_tuple_that_is_used_again_is_told_apart_by_its_time() -> None:
    """Two sessions with the very same ports, an hour apart: each is joined with its own, whatever the clocks say."""
    offsets = {f"{RELAY}.pcap": 0.0, f"{SECOND}.pcap": 1800.0}
    early, late = (
        [match_of((TERMINAL, RELAY, SECOND), 1, start=at), match_of((RELAY, SECOND, OPERATOR), 1, start=at + 1800)]
        for at in (600.0, 4200.0)
    )

    [chain] = joined(best_of([*early, *late]), by_clocks(clocks_of(offsets)))

    assert {tuple(step.inbound.start for step in session) for session in chain.sessions} == {
        tuple(step.inbound.start for step in session) for session in (early, late)
    }


def test_equal_ports_at_another_time_are_another_connection() -> None:
    """With both clocks known, steps of one five-tuple that begin apart are not joined; with one unknown, they are."""
    first, second = match_of((TERMINAL, RELAY, SECOND), 1), match_of((RELAY, SECOND, OPERATOR), 1, start=660.0)
    known = {f"{RELAY}.pcap": 0.0, f"{SECOND}.pcap": 0.0}

    assert [len(chain.hops) for chain in joined([first, second], by_clocks(clocks_of(known)))] == [3, 3]
    assert [len(chain.hops) for chain in joined([first, second], by_clocks(clocks_of({f"{RELAY}.pcap": 0.0})))] == [4]


def test_clocks_that_were_not_compared_with_each_other_decide_nothing() -> None:
    """Where each of two clocks is its own reference, the five-tuple alone joins, whatever the times."""
    first, second = match_of((TERMINAL, RELAY, SECOND), 1), match_of((RELAY, SECOND, OPERATOR), 1, start=9000.0)
    own = {f"{host}.pcap": f"{host}.pcap" for host in (RELAY, SECOND)}

    assert [len(chain.hops) for chain in joined([first, second], by_clocks(Clocks({}, own)))] == [4]


def test_one_connection_in_two_captures_is_one_session() -> None:
    """Captures of one relay that overlap show a session twice; it counts once."""
    match = match_of((TERMINAL, RELAY, SECOND), 1)
    later = match_of((TERMINAL, RELAY, SECOND), 1, start=630.0, p_value=1e-3)

    assert best_of([later, match]) == [match]
