"""Matches at one relay: connections packed for the loops, their p-values, and the share of the bytes that goes on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from forensics.chains import loops
from forensics.chains.match import BIN, Match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.chains.loops import Doubles, Longs
    from forensics.series import Connection

__all__ = ["matches_at"]

PAUSE = 5
"""Windows without payload, 100 ms, after which sending begins anew: an event."""

EVEN = 0.05
"""Share by which intervals may differ that count as a clock's."""

LEAST_BYTES = 200
"""Bytes that a direction must carry for its volume to be compared. [B]"""

MAX_P = 0.01
"""Greatest p-value of what is returned as a match."""

LEAST_BINS = 4
"""Windows with payload that an inbound connection must have: a few packets say nothing."""

LEAST_RATIO = math.log(loops.PASSED_ON / loops.WITHIN)
"""Least difference of the logarithms of volumes that are compared."""

LEAST_LOG = -690.0
"""Logarithm of the least p-value that is told: smaller ones would be 0."""

JUDGED = 10_000
"""Pairs up to which all are judged; of more, those that agree as only so many would if events came at random."""

ROOM = 1 << 16
"""Pairs that one run of the screening may return."""

VOLUME_WINDOW = 12
"""Least window in which volumes are compared: 240 ms. [windows]"""


def matches_at(host: str, connections: Sequence[Connection]) -> tuple[list[Match], int]:
    """Return the pairs of a host's connections that agree in time, and how many were compared.

    Parameters
    ----------
    host
        The host.
    connections
        Its connections, in windows of `BIN`; their order does not matter.

    Returns
    -------
    list of Match
        Pairs with a p-value up to `MAX_P`.
    int
        Pairs compared.
    """
    flows, events = _packed(host, connections)
    pairs, tested = _screened(
        flows, events, np.array([c.dst == host and len(c.bins) >= LEAST_BINS for c in connections], bool)
    )
    found = np.zeros((2 * len(pairs), loops.FOUND))
    loops.judge(flows, events, pairs, np.zeros(loops.CELLS, np.int64), found)
    by_pair = found.reshape(len(pairs), 2, loops.FOUND)
    p_values = _together(flows, pairs, by_pair)
    small = p_values <= MAX_P
    return [
        _match(host, (connections[i], connections[o]), p_value, both)
        for (i, o), p_value, both in zip(pairs[small].tolist(), p_values[small].tolist(), by_pair[small], strict=True)
    ], tested


def _together(flows: Longs, pairs: Longs, found: Doubles) -> Doubles:
    """Return p-values of all evidence: events, volume, and where the way on opens after the way in, when both end.

    Of strangers that open within the slack of each other, it is as often within any part of it, and so with their ends,
    unless connections of this host live as long by habit. Volumes are compared by rank: how many connections of the
    host have one as near. Events were compared without the first of each. Fisher's method puts these together.
    """
    came, went = flows[pairs[:, 0]], flows[pairs[:, 1]]
    opened = went[:, loops.START] - came[:, loops.START]
    is_opened = (opened >= 0) & (opened < loops.SLACK)
    soon = -np.log((opened.clip(0, loops.SLACK - 1) + 1) / loops.SLACK)
    lives = flows[:, loops.END] - flows[:, loops.START]
    apart = np.abs(lives[pairs[:, 1]] - lives[pairs[:, 0]])
    closed = np.abs(went[:, loops.END] - came[:, loops.END])
    alike = np.maximum((closed + 1) / loops.SLACK, _share_near(lives, lives[pairs[:, 0]], apart, besides=2))
    alike = -np.log(np.minimum(alike, 1.0))
    carried = np.log(np.maximum(flows[:, [loops.RECEIVED, loops.SENT]], 1))
    way = carried[pairs[:, 0]].argmax(axis=1)  # the direction in which more comes in
    both = [_rarity(carried[:, way], carried[:, 1 - way], pairs) for way in (0, 1)]
    compared = (found[:, :, loops.WIDTH] > 0).any(axis=1)
    logs = np.where(way, both[1], both[0]) - found[:, :, loops.LOG_P].min(axis=1) + is_opened * (soon + alike)
    number = 1 + compared + 2 * is_opened
    terms = sum(np.where(number > k, logs**k / math.factorial(k), 0.0) for k in range(4))
    p_values: Doubles = np.exp(np.maximum(np.log(terms) - logs, LEAST_LOG))
    return p_values


def _rarity(values: Doubles, others: Doubles, pairs: Longs) -> Doubles:
    """Return how rare a value as near as that of the other is among all connections, as a negative logarithm."""
    own = values[pairs[:, 0]]
    return -np.log(_share_near(others, own, np.abs(others[pairs[:, 1]] - own), besides=0))


def _share_near(values: Doubles | Longs, own: Doubles | Longs, apart: Doubles | Longs, *, besides: int) -> Doubles:
    """Return the share of values as near, without those of the pair itself where these are ``besides``.

    Only those count that could have been compared: they have as much, up to what the screening allows.
    """
    ordered = np.sort(values)
    none = np.searchsorted(ordered, own + LEAST_RATIO - 1e-9)
    low = np.maximum(np.searchsorted(ordered, own - apart - 1e-9), none)
    near = np.searchsorted(ordered, own + apart + 1e-9) - low
    return np.maximum(near - besides, 1 - min(besides, 1)) / np.maximum(len(ordered) - none, 1)


def _packed(host: str, connections: Sequence[Connection]) -> tuple[Longs, Longs]:
    """Return the connections as rows for the loops, and the events of all of them."""
    n = len(connections)
    flows = np.zeros((n, loops.COLUMNS), np.int64)
    if not n:
        return flows, np.zeros(0, np.int64)
    owner = np.repeat(np.arange(n), [len(c.bins) for c in connections])
    bins = np.concatenate([c.bins for c in connections])
    received = np.concatenate([c.received(host) for c in connections])
    sent = np.concatenate([c.sent(host) for c in connections])
    peers = {peer: number for number, peer in enumerate(sorted({c.peer(host) for c in connections}))}
    flows[:, loops.START] = [c.start // BIN for c in connections]
    flows[:, loops.END] = [c.end // BIN for c in connections]
    flows[:, loops.PEER] = [peers[c.peer(host)] for c in connections]
    flows[:, loops.LEADS_OUT] = [c.src == host for c in connections]
    flows[:, loops.RECEIVED] = np.bincount(owner, received, n)
    flows[:, loops.SENT] = np.bincount(owner, sent, n)
    came, went = _events(owner, bins, received), _events(owner, bins, sent)
    # What comes back is looked at in negated time, which turns the order of the connections, too.
    parts = (_telling(*came), went, _turned(*_telling(*went)), _turned(*came))
    behind = 0
    for number, (times, whose) in enumerate(parts):
        count = np.bincount(whose, minlength=n)
        ends = np.cumsum(count)
        begins = len(times) - ends if number > 1 else ends - count
        place = loops.UP + 2 * number
        flows[:, place], flows[:, place + 1] = behind + begins, behind + begins + count
        behind += len(times)
    return flows, np.concatenate([times for times, _ in parts])


def _events(owner: Longs, bins: Longs, values: Longs) -> tuple[Longs, Longs]:
    """Return the windows in which each connection begins to send after a pause, and whose they are."""
    busy = np.flatnonzero(values > 0)
    owner, bins = owner[busy], bins[busy]
    anew = np.diff(owner, prepend=-1) != 0
    anew[1:] |= np.diff(bins) > PAUSE
    return bins[anew], owner[anew]


def _telling(times: Longs, owner: Longs) -> tuple[Longs, Longs]:
    """Return the events that tell something: not the first, by which candidates were chosen, nor what a clock makes.

    A clock makes what comes after the same interval once more. Two that tick alike keep step for ever by one chance.
    """
    gaps = np.diff(times, prepend=0)
    first = np.diff(owner, prepend=-1) != 0
    second = np.append(False, first[:-1])
    ticks = np.abs(gaps - np.append(0, gaps[:-1])) <= EVEN * gaps + 1
    kept = ~first & (second | ~ticks)
    return times[kept], owner[kept]


def _turned(times: Longs, owner: Longs) -> tuple[Longs, Longs]:
    return -times[::-1], owner[::-1]


def _screened(flows: Longs, events: Longs, into: np.ndarray) -> tuple[Longs, int]:
    """Return the pairs worth a look, and how many were compared."""
    inbound = np.flatnonzero(into)
    middles = (flows[inbound, loops.START] + flows[inbound, loops.END]) // 2
    inbound = inbound[np.argsort(middles, kind="stable")]
    by_start = np.argsort(flows[:, loops.START], kind="stable")
    state, alive = np.zeros(loops.STATES, np.int64), np.zeros(len(flows), np.int64)
    room, counts = np.zeros((max(len(flows), ROOM), 2), np.int64), np.zeros(loops.LAGS + 1, np.int64)
    parts = [room[:0]]
    # where there are few pairs, all are judged
    least = math.log(max(len(inbound) * len(flows) / JUDGED, 1.0))
    while state[loops.NEXT] < len(inbound):
        made = loops.screen(flows, inbound, by_start, events, least, alive, counts, room, state)
        parts.append(room[:made].copy())
    return np.concatenate(parts), int(state[loops.TESTED])


def _match(host: str, pair: tuple[Connection, Connection], p_value: float, found: Doubles) -> Match:
    inbound, outbound = pair
    better = found[found[:, loops.LOG_P].argmin()]
    score = min(_volume(host, inbound, outbound, found), default=0.0)
    return Match(host, inbound, outbound, score, p_value, delay=int(better[loops.LAG]) * BIN)


def _volume(host: str, inbound: Connection, outbound: Connection, found: Doubles) -> list[float]:
    """Return the share of the bytes of each direction that find their equal, where it carries enough to tell."""
    ways = (
        (inbound.bins, inbound.received(host), outbound.bins, outbound.sent(host)),
        # negated time, as in the loops
        (-inbound.bins[::-1], inbound.sent(host)[::-1], -outbound.bins[::-1], outbound.received(host)[::-1]),
    )
    shares = []
    for (times, sizes, others, passed), (log_p, lag, width) in zip(ways, found.tolist(), strict=True):
        total = int(sizes.sum())
        if total < LEAST_BYTES:
            continue
        # a direction that says nothing of the delay may take the longest that is looked for
        window = max(4 * int(width), VOLUME_WINDOW) if log_p < 0 else loops.LAGS
        places, numbers = np.unique((times - times[0]) // window, return_inverse=True)
        came = np.bincount(numbers, sizes)
        sums = np.concatenate([[0], np.cumsum(passed)])
        begin = times[0] + places * window + max(int(lag - width), 0)
        from_, to = np.searchsorted(others, [begin, begin + 2 * window])
        shares.append(float(np.minimum(came, loops.WITHIN * (sums[to] - sums[from_])).sum() / total))
    return shares
