r"""Stepping stones: which connection into a relay goes on as which connection out of it.

A capture taken at a relay shows both sides. For every connection into the host and every other connection of it that
lives as long, the bytes that the host receives on the one are compared with the bytes it sends on the other, in windows
of `BIN`, in both directions. The way on may also have been opened by the operator, into the relay (a reverse tunnel);
such a one was there before what it carries. The score is the share of the bytes that find their equal in time,

.. math:: s = \min_{\text{directions}} \frac{\sum_t \min(r_t,\; h (s_t + s_{t+1}))}{\sum_t r_t},

with `OVERHEAD` for :math:`h`, so that a tunnel that carries several sessions at once still matches each of them. The
probability of so high a score by chance comes from shifting the one series around the capture in a circle, which keeps
the rhythm of both: by up to `MOST_SHIFTS` shifts, and where none of them reaches the score, by up to `CLOSER_SHIFTS`.
Over all pairs of all captures the false discovery rate is held at `MAX_Q` (Benjamini-Hochberg).

Steps at two relays are one chain when the connection out of the first is, by its five-tuple, the connection into the
second.

When it misleads
----------------
A session of a few packets cannot be told from chance, and is not matched. Delays above two windows and heavy padding
break the match.

References
----------
.. [1] Y. Zhang, V. Paxson, "Detecting Stepping Stones", USENIX Security 2000.
.. [2] A. Blum, D. Song, S. Venkataraman, "Detection of Interactive Stepping Stones", RAID 2004,
   doi:10.1007/978-3-540-30143-1_14.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forensics.roles import Roles, find_roles
from forensics.series import Connection, connections_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from forensics.case import Case

__all__ = ["Chain", "Match", "find_chains"]

Directions = list[tuple[np.ndarray, np.ndarray]]
"""Of each direction, the bytes in the inbound connection's windows and in all windows of the outbound one."""

BIN = 250_000
"""Window of the comparison: a relay passes on within it, and two strangers seldom keep in step by it. [us]"""

MAX_Q = 0.01
"""Greatest expected share of false matches among all matches."""

LEAST_SCORE = 0.9
"""Least share of the bytes that must find their equal."""

OVERHEAD = 1.15
"""How much larger the inbound bytes may be than what goes on: an encrypted tunnel that ends here adds a tenth. [1]"""

LEAST_BYTES = 200
"""Bytes that a direction must carry to be compared. [B]"""

LEAST_BINS = 4
"""Windows with traffic that an inbound connection must have to be compared."""

SLACK = 3_000_000
"""How much later than the inbound connection the outbound one may start, and how much earlier end. [us]"""

MOST_SHIFTS = 999
"""Circular shifts that make up the distribution by chance."""

CLOSER_SHIFTS = 19_999
"""The same for pairs that no shift explains: among many pairs, a few shifts could never show a small enough p-value."""

NEAR = 2
"""Shifts by up to as many windows are no chance: the session itself is still there."""

MOST_CELLS = 2_000_000
"""Windows of shifted series that are looked at in one go; bounds the memory."""

VANTAGE_SHARE = 0.5
"""A host that takes part in at least this share of a capture's connections is where it was taken."""


ENDS = """
SELECT source, host, count(*) AS met
FROM (
    SELECT source, src AS host FROM flows WHERE frame_bytes_out IS NOT NULL AND dst IS NOT NULL
    UNION ALL
    SELECT source, dst AS host FROM flows WHERE frame_bytes_out IS NOT NULL AND dst IS NOT NULL
)
GROUP BY source, host
"""


@dataclass(frozen=True, slots=True)
class Match:
    """One connection into a host that goes on as another connection of it.

    Parameters
    ----------
    host
        The relay.
    inbound, outbound
        The two connections. ``outbound`` is the one that leads on; an operator may have opened it himself, into the
        relay (a reverse tunnel).
    score
        Share of the bytes that find their equal. [1]
    p_value
        Probability of such a score by chance.
    """

    host: str
    inbound: Connection
    outbound: Connection
    score: float
    p_value: float

    @property
    def inward(self) -> str:
        """The peer that the traffic came from."""
        return self.inbound.peer(self.host)

    @property
    def onward(self) -> str:
        """The peer that the traffic went on to."""
        return self.outbound.peer(self.host)


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


def find_chains(case: Case) -> list[Chain]:
    """Return the chains that captures at relays show, the longest first.

    Parameters
    ----------
    case
        The case. Captures are read once more, for the timing of their packets.

    Returns
    -------
    list of Chain
        The chains; empty where no capture was taken at a relay.

    Raises
    ------
    EvidenceError
        A capture is no longer where it was, or has changed.
    """
    roles = find_roles(case)
    tested: list[Match] = []
    for source, host in _vantage_hosts(case, roles):
        tested += _matches_at(host, connections_of(case, source, host, BIN))
    return _joined(_best(_held(tested)))


def _held(tested: list[Match]) -> list[Match]:
    """Return the matches that stand when all that was tested is counted."""
    from scipy import stats

    if not tested:
        return []
    q_values = stats.false_discovery_control([match.p_value for match in tested])
    return [m for m, q in zip(tested, q_values, strict=True) if q <= MAX_Q and m.score >= LEAST_SCORE]


def _vantage_hosts(case: Case, roles: Roles) -> list[tuple[str, str]]:
    """Return (capture, host) of captures that were taken at one host outside the office."""
    ends: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in case.sql(ENDS).to_arrow().to_pylist():
        ends[row["source"]].append((row["met"], row["host"]))
    found = []
    for source, hosts in sorted(ends.items()):
        count, host = max(hosts)
        connections = sum(met for met, _ in hosts) / 2  # each has two ends
        if count >= VANTAGE_SHARE * connections and not roles.is_inside(host):
            found.append((source, host))
    return found


def _matches_at(host: str, connections: Sequence[Connection]) -> list[Match]:
    """Test every connection into a host against every other that could carry it on."""
    if not connections:
        return []
    first = min(int(c.bins[0]) for c in connections)
    length = max(int(c.bins[-1]) for c in connections) - first + 2
    found = []
    for inbound in connections:
        if inbound.dst != host or len(inbound.bins) < LEAST_BINS:
            continue
        candidates = _candidates(inbound, connections, host)
        found += [_match(host, inbound, outbound, first, length) for outbound in candidates]
    return found


def _candidates(inbound: Connection, connections: Iterable[Connection], host: str) -> list[Connection]:
    """Return the connections that live as long as the inbound one and could have carried its bytes.

    Of two that both lead into the host, the earlier is the way on: a reverse tunnel is there before what it carries.
    """
    peer = inbound.peer(host)
    return [
        other
        for other in connections
        if other.peer(host) != peer
        and other.start <= inbound.start + (SLACK if other.src == host else 0)
        and other.end >= inbound.end - SLACK
        and OVERHEAD * other.sent(host).sum() >= LEAST_SCORE * inbound.received(host).sum()
        and OVERHEAD * other.received(host).sum() >= LEAST_SCORE * inbound.sent(host).sum()
    ]


def _match(host: str, inbound: Connection, outbound: Connection, first: int, length: int) -> Match:
    """Compare two connections of a host and say how well they match, and how likely that is by chance."""
    up = inbound.received(host), _windows(outbound.bins - first, outbound.sent(host), length, ahead=True)
    down = inbound.sent(host), _windows(outbound.bins - first, outbound.received(host), length, ahead=False)
    directions = [(x, y) for x, y in (up, down) if x.sum() >= LEAST_BYTES]
    if not directions:
        return Match(host, inbound, outbound, 0.0, 1.0)
    places = inbound.bins - first
    score = float(_scores(directions, places, np.zeros(1, np.int64), length)[0])
    p_value = _by_chance(directions, places, length, score, MOST_SHIFTS)
    if score >= LEAST_SCORE and p_value <= 1 / MOST_SHIFTS:
        p_value = _by_chance(directions, places, length, score, CLOSER_SHIFTS)
    return Match(host, inbound, outbound, score, p_value)


def _by_chance(directions: Directions, places: np.ndarray, length: int, score: float, most: int) -> float:
    """Return the probability that a shifted series reaches a score."""
    if length <= 2 * NEAR + 1:
        return 1.0
    far = np.unique(np.linspace(NEAR + 1, length - NEAR - 1, min(length, most)).astype(np.int64))
    step = max(MOST_CELLS // len(places), 1)
    parts = [_scores(directions, places, far[i : i + step], length) for i in range(0, len(far), step)]
    return (1 + sum(int((part >= score).sum()) for part in parts)) / (1 + len(far))


def _scores(directions: Directions, places: np.ndarray, shifts: np.ndarray, length: int) -> np.ndarray:
    """Return the score at each shift of the inbound series, in a circle around the capture; shape of `shifts`."""
    shifted = (places + shifts[:, None]) % length
    scores: np.ndarray = np.min([np.minimum(x, y[shifted]).sum(axis=1) / x.sum() for x, y in directions], axis=0)
    return scores


def _windows(bins: np.ndarray, values: np.ndarray, length: int, *, ahead: bool) -> np.ndarray:
    """Return the bytes of each window and its neighbour: what is passed on arrives in the same window or the next."""
    dense = np.zeros(length)
    dense[bins] = OVERHEAD * values
    # What comes back was received before it was passed in, so there the neighbour is the window before.
    near: np.ndarray = dense + (np.append(dense[1:], 0.0) if ahead else np.append(0.0, dense[:-1]))
    return near


def _best(matches: list[Match]) -> list[Match]:
    """Return the best match of each inbound connection."""
    best: dict[tuple[object, ...], Match] = {}
    for match in matches:
        key = (match.host, *match.inbound.key)
        held = best.get(key)
        if held is None or (-match.p_value, match.score) > (-held.p_value, held.score):
            best[key] = match
    return [best[key] for key in sorted(best, key=str)]


def _joined(matches: list[Match]) -> list[Chain]:
    """Join the matches of different relays into chains, and sessions that took the same way into one."""
    onward = {match.inbound.key: match for match in matches}
    carried = {match.outbound.key for match in matches}
    ways: defaultdict[tuple[str, ...], list[tuple[Match, ...]]] = defaultdict(list)
    for match in matches:
        if match.inbound.key in carried:
            continue  # it is a later step of another chain
        steps = [match]
        while (following := onward.get(steps[-1].outbound.key)) is not None and following not in steps:
            steps.append(following)
        ways[(match.inward, *(step.host for step in steps), steps[-1].onward)].append(tuple(steps))
    forward = [hops for hops in ways if not any(_within(hops[::-1], other) for other in ways)]
    return [Chain(hops, tuple(ways[hops])) for hops in sorted(forward, key=lambda hops: (-len(hops), hops))]


def _within(few: tuple[str, ...], many: tuple[str, ...]) -> bool:
    """Tell whether a way is part of a longer one: a step seen from behind is no chain of its own."""
    return len(few) < len(many) and any(many[i : i + len(few)] == few for i in range(len(many)))
