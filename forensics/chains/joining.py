"""Chains across relays: which connection out of one relay is which connection into the next, by corrected clocks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from forensics.chains.match import Match
    from forensics.clocks import Clocks
    from forensics.series import Connection

    Apart = Callable[[Connection, Connection], float | None]

__all__ = ["Chain", "best_of", "by_clocks", "joined"]

Key = tuple[object, ...]

MOST_APART = 2_000_000
"""Greatest difference between the starts of one connection in two captures, by corrected clocks. [us]"""


@dataclass(frozen=True, slots=True)
class Chain:
    """Hops that traffic took, one after the other.

    Parameters
    ----------
    hops
        Addresses: where the traffic came from, the relays, where the evidence ends.
    sessions
        What it stands on: for every session, the match at each relay, in the order of the relays.
    """

    hops: tuple[str, ...]
    sessions: tuple[tuple[Match, ...], ...]

    @property
    def relays(self) -> tuple[str, ...]:
        """The hops that passed traffic on."""
        return self.hops[1:-1]

    @property
    def p_value(self) -> float:
        """Probability by chance of the weakest step, in its best session."""
        steps: zip[tuple[Match, ...]] = zip(*self.sessions, strict=True)
        return max(min(match.p_value for match in step) for step in steps)

    @property
    def q_value(self) -> float | None:
        """Expected share of false matches of the weakest step, in its best session; None where it is not known."""
        known = [
            [match.q_value for match in step if match.q_value is not None] for step in zip(*self.sessions, strict=True)
        ]
        return max(map(min, known)) if all(known) else None


def best_of(matches: Iterable[Match]) -> list[Match]:
    """Return the best match of each inbound connection.

    Five-tuples are used again. Two that overlap in time at one host are one connection, in two captures or compared
    with two ways on.
    """
    seen: defaultdict[Key, list[Match]] = defaultdict(list)
    for match in sorted(matches, key=_quality):
        taken = seen[match.host, *match.inbound.key]
        if not any(_overlap(match.inbound, other.inbound) for other in taken):
            taken.append(match)
    return sorted((match for taken in seen.values() for match in taken), key=_order)


def _quality(match: Match) -> Key:
    """Order by how good a match is, the best first."""
    return (match.p_value, -match.score, *_order(match), match.outbound.key, match.outbound.record)


def _order(match: Match) -> Key:
    return (match.host, match.inbound.key, match.inbound.start, match.inbound.source, match.inbound.record)


def _overlap(one: Connection, other: Connection) -> bool:
    return one.start <= other.end and other.start <= one.end


def joined(matches: list[Match], apart: Apart) -> list[Chain]:
    """Join the matches of different relays into chains, and sessions that took the same way into one.

    Parameters
    ----------
    matches
        The best match of each inbound connection.
    apart
        How far the starts of two connections lie apart, as `by_clocks` tells it.

    Returns
    -------
    list of Chain
        The chains, the longest first.
    """
    following = _following(matches, apart)
    later = {id(match) for match in following.values()}
    ways: defaultdict[tuple[str, ...], list[tuple[Match, ...]]] = defaultdict(list)
    for match in matches:
        if id(match) in later:
            continue  # it is a later step of another chain
        steps = [match]
        while (after := following.get(id(steps[-1]))) is not None and after not in steps:
            steps.append(after)
        ways[(match.inward, *(step.host for step in steps), steps[-1].onward)].append(tuple(steps))
    forward = [hops for hops in ways if not any(_within(hops[::-1], other) for other in ways)]
    return [Chain(hops, tuple(ways[hops])) for hops in sorted(forward, key=lambda hops: (-len(hops), hops))]


def _following(matches: list[Match], apart: Apart) -> dict[int, Match]:
    """Return the match at the next relay by the identity of the match before it, where the evidence shows it."""
    by_ends: defaultdict[Key, list[Match]] = defaultdict(list)
    for match in matches:
        by_ends[match.inbound.key].append(match)
    found: dict[int, Match] = {}
    for match in matches:
        near = []
        for after in by_ends.get(match.outbound.key, []):
            # Where clocks were not compared, ends and ports alone decide.
            between = apart(match.outbound, after.inbound)
            if after.host != match.host and (between is None or between <= MOST_APART):
                near.append((between or 0.0, _order(after), after))
        if near:
            found[id(match)] = min(near, key=lambda one: one[:2])[2]
    return found


def by_clocks(clocks: Clocks) -> Apart:
    """Return what tells how far the starts of two connections lie apart, by corrected clocks. [us]

    Parameters
    ----------
    clocks
        How far the clocks of the captures are off.

    Returns
    -------
    callable
        It returns None where the clocks of the two were not compared, with each other or with a third.
    """

    def apart(one: Connection, other: Connection) -> float | None:
        reference = clocks.references.get(one.source)
        if reference is None or reference != clocks.references.get(other.source):
            return None
        first, second = (clocks.moment(c.source, c.start) for c in (one, other))
        return abs(first - second)

    return apart


def _within(few: tuple[str, ...], many: tuple[str, ...]) -> bool:
    """Tell whether a way is part of a longer one: a step seen from behind is no chain of its own."""
    return len(few) < len(many) and any(many[i : i + len(few)] == few for i in range(len(many)))
