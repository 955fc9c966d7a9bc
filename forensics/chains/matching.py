"""Matches at one relay: connections packed for the loops, their p-values, and the share of the bytes that goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forensics.chains import loops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.chains.loops import Doubles, Longs
    from forensics.series import Connection

__all__ = ["BIN", "Match", "matches_at"]

BIN = 20_000
"""Window in which times are compared. [us]"""

PAUSE = 5
"""Windows without payload, 100 ms, after which sending begins anew: an event."""

LEAST_BYTES = 200
"""Bytes that a direction must carry for its volume to be compared. [B]"""

LEAST_SHARE = 0.5
"""Least share of a direction's events that must go on with the same delay."""

ROOM = 1 << 16
"""Pairs that one run of the screening may return."""

VOLUME_WINDOW = 12
"""Least window in which volumes are compared: 240 ms. [windows]"""


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
        Probability that strangers agree as well in time.
    q_value
        Expected share of false matches among those at least as good, all compared pairs of the case counted. None
        before they are.
    delay
        Least time that the relay took. [us]
    """

    host: str
    inbound: Connection
    outbound: Connection
    score: float
    p_value: float
    q_value: float | None = None
    delay: int | None = None

    @property
    def inward(self) -> str:
        """The peer that the traffic came from."""
        return self.inbound.peer(self.host)

    @property
    def onward(self) -> str:
        """The peer that the traffic went on to."""
        return self.outbound.peer(self.host)


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
        Pairs that passed the screening. Those that did not have p-value 1.
    int
        Pairs compared.
    """
    flows, events = _packed(host, connections)
    pairs, tested = _screened(flows, events, np.array([c.dst == host for c in connections], bool))
    found = np.zeros((2 * len(pairs), loops.FOUND))
    loops.judge(flows, events, pairs, np.zeros(loops.CELLS, np.int64), found)
    by_pair = found.reshape(len(pairs), 2, loops.FOUND)
    agree = ((by_pair[:, :, loops.LOG_P] < 0) & (by_pair[:, :, loops.SHARE] >= LEAST_SHARE)).any(axis=1)
    return [
        _match(host, connections[i], connections[o], both)
        for (i, o), both in zip(pairs[agree].tolist(), by_pair[agree], strict=True)
    ], tested


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
    came, came_at = _events(owner, bins, received, n)
    went, went_at = _events(owner, bins, sent, n)
    # The first event of a connection is left out: candidates were chosen by their starts.
    flows[:, loops.UP + 1] = came_at[1:]
    flows[:, loops.UP] = np.minimum(came_at[:-1] + 1, came_at[1:])
    flows[:, loops.UP + 2], flows[:, loops.UP + 3] = len(came) + went_at[:-1], len(came) + went_at[1:]
    behind = len(came) + 2 * len(went)
    flows[:, loops.DOWN] = behind - went_at[1:]
    flows[:, loops.DOWN + 1] = np.maximum(behind - went_at[:-1] - 1, flows[:, loops.DOWN])
    behind += len(came)
    flows[:, loops.DOWN + 2], flows[:, loops.DOWN + 3] = behind - came_at[1:], behind - came_at[:-1]
    return flows, np.concatenate([came, went, -went[::-1], -came[::-1]])


def _events(owner: Longs, bins: Longs, values: Longs, n: int) -> tuple[Longs, Longs]:
    """Return the windows in which each connection begins to send after a pause, and where each one's begin."""
    busy = np.flatnonzero(values > 0)
    owner, bins = owner[busy], bins[busy]
    anew = np.diff(owner, prepend=-1) != 0
    anew[1:] |= np.diff(bins) > PAUSE
    return bins[anew], np.searchsorted(owner[anew], np.arange(n + 1))


def _screened(flows: Longs, events: Longs, into: np.ndarray) -> tuple[Longs, int]:
    """Return the pairs worth a look, and how many were compared."""
    many = np.diff(flows[:, [loops.UP, loops.UP + 1, loops.DOWN, loops.DOWN + 1]], axis=1)[:, ::2] >= loops.LEAST_EVENTS
    inbound = np.flatnonzero(into & many.any(axis=1))
    middles = (flows[inbound, loops.START] + flows[inbound, loops.END]) // 2
    inbound = inbound[np.argsort(middles, kind="stable")]
    by_start = np.argsort(flows[:, loops.START], kind="stable")
    state, alive = np.zeros(loops.STATES, np.int64), np.zeros(len(flows), np.int64)
    room, counts = np.zeros((max(len(flows), ROOM), 2), np.int64), np.zeros(loops.LAGS + 1, np.int64)
    parts = [room[:0]]
    while state[loops.NEXT] < len(inbound):
        made = loops.screen(flows, inbound, by_start, events, alive, counts, room, state)
        parts.append(room[:made].copy())
    return np.concatenate(parts), int(state[loops.TESTED])


def _match(host: str, inbound: Connection, outbound: Connection, found: Doubles) -> Match:
    better = found[found[:, loops.LOG_P].argmin()]
    score = min(_volume(host, inbound, outbound, found), default=0.0)
    p_value = float(np.exp(better[loops.LOG_P]))
    return Match(host, inbound, outbound, score, p_value, delay=int(better[loops.LAG]) * BIN)


def _volume(host: str, inbound: Connection, outbound: Connection, found: Doubles) -> list[float]:
    """Return the share of the bytes of each direction that find their equal, where it carries enough to tell.

    A direction with few events may take the longest delay that is looked for.
    """
    ways = (
        (inbound.bins, inbound.received(host), outbound.bins, outbound.sent(host)),
        # negated time, as in the loops
        (-inbound.bins[::-1], inbound.sent(host)[::-1], -outbound.bins[::-1], outbound.received(host)[::-1]),
    )
    shares = []
    for (times, sizes, others, passed), (log_p, lag, width, _) in zip(ways, found.tolist(), strict=True):
        total = int(sizes.sum())
        if total < LEAST_BYTES:
            continue
        window = max(int(width), VOLUME_WINDOW) if log_p < 0 else loops.LAGS
        places, numbers = np.unique(times // window, return_inverse=True)
        came = np.bincount(numbers, sizes)
        sums = np.concatenate([[0], np.cumsum(passed)])
        from_, to = np.searchsorted(others, [places * window + int(lag), (places + 2) * window + int(lag)])
        shares.append(float(np.minimum(came, loops.WITHIN * (sums[to] - sums[from_])).sum() / total))
    return shares
