"""Compiled loops of the matching: which pairs of connections are worth a look, and how improbable their agreement is.

Times are numbers of windows of `forensics.chains.events.BIN`. The events of a direction are the windows in which it
begins to send after a pause, ascending. What comes back through a relay is looked at in negated time, in which it is
passed on after it came, too: the loops know one order alone.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from forensics.packets._jit import entry, hot, jit

Longs = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

__all__ = [
    "CELLS",
    "COLUMNS",
    "DOWN",
    "END",
    "FOUND",
    "LAG",
    "LAGS",
    "LEADS_OUT",
    "LOG_P",
    "NEXT",
    "PASSED_ON",
    "PEER",
    "REACH",
    "RECEIVED",
    "SENT",
    "SLACK",
    "START",
    "STATES",
    "TESTED",
    "UP",
    "WIDTH",
    "WIDTHS",
    "WITHIN",
    "judge",
    "screen",
]

START, END, PEER, LEADS_OUT, RECEIVED, SENT, UP, DOWN = 0, 1, 2, 3, 4, 5, 6, 10
"""Columns of a connection, seen from the relay: first and last window, number of its peer, whether the relay opened it,
bytes. From `UP` and `DOWN` on: where its events as the way in begin and end, and those as the way on."""

COLUMNS = 14
"""Columns of a connection."""

LOG_P, LAG, WIDTH = 0, 1, 2
"""What is found of a pair and direction: logarithm of the p-value, delay and its spread [windows]; spread 0 where there
are too few events, or too little room to shift them."""

FOUND = 3
"""Columns of what is found."""

NEXT, ADDED, ALIVE, TESTED = 0, 1, 2, 3
"""State of the screening: inbound connections done, connections met, those that are alive, pairs compared."""

STATES = 4
"""Length of the state."""

LAGS = 150
"""Longest delay at a relay that is looked for: 3 s. [windows]"""

WIDTHS = (2, 8, 32)
"""Spread of the delays, 40 ms to 640 ms. [windows]"""

REACH = 7500
"""How far series are shifted against each other, in a circle, to see what chance does: 150 s. [windows]"""

LEAST_REACH = 100
"""Shifts either way that a session must have room for: one of 4 s has. In sessions below 18 s, only delays up to a
sixth of their length are looked for. [windows]"""

CELLS = 2 * REACH
"""Counts by delay that the loops write into."""

SLACK = 150
"""How much later than the inbound connection the outbound one may start, and how much earlier end: 3 s. [windows]"""

LEAST_EVENTS = 3
"""Events that a direction must have to be compared."""

FEW, MANY = 48, 1024
"""Events that are looked at in the screening, and in the judgement: enough to tell, and they bound the time."""

COARSE = 8
"""Windows that the screening counts together."""

BUSY = 0.3
"""Events of the way on per two coarse windows from which on the screening looks at single windows."""

NEAR, AROUND = 25, 250
"""Delays next to those looked for, 0.5 s, are no chance; those up to 5 s around tell of common busy times. [windows]"""

PASSED_ON, WITHIN = 0.5, 1.15
"""Least share of the bytes that must go on, and how much larger what comes in may be for an encryption that ends."""


@entry
def screen(flows: Longs, inbound: Longs, by_start: Longs, events: Longs, least: float, alive: Longs, counts: Longs,
           found: Longs, state: Longs) -> int:  # fmt: skip
    """Write pairs worth a look (inbound, outbound) into ``found``; return how many.

    Such are those that agree better than would events at random with a probability of ``exp(-least)``.
    ``inbound`` is in order of the middles of their lives, ``by_start`` has all connections in order of their starts.
    Where ``found`` is full before ``state[NEXT]`` has reached the end, the loop is called again.
    """
    made = 0
    while int(state[NEXT]) < len(inbound):
        i = int(inbound[state[NEXT]])
        _meet(flows, by_start, alive, (int(flows[i, START]) + int(flows[i, END])) // 2, state)
        if made + int(state[ALIVE]) > len(found):
            return made
        for k in range(int(state[ALIVE])):
            o = int(alive[k])
            if _may_carry(flows, i, o):
                state[TESTED] += 1
                if _alike(flows, events, i, o, UP, least, counts) or _alike(flows, events, i, o, DOWN, least, counts):
                    found[made, 0] = i
                    found[made, 1] = o
                    made += 1
        state[NEXT] += 1
    return made


@jit
def _meet(flows: Longs, by_start: Longs, alive: Longs, middle: int, state: Longs) -> None:
    """Keep the connections that live at a time in ``alive``; times come in ascending order."""
    kept = 0
    for k in range(int(state[ALIVE])):
        o = int(alive[k])
        if int(flows[o, END]) >= middle - SLACK:
            alive[kept] = o
            kept += 1
    at = int(state[ADDED])
    while at < len(by_start) and int(flows[by_start[at], START]) <= middle + SLACK:
        if int(flows[by_start[at], END]) >= middle - SLACK:
            alive[kept] = by_start[at]
            kept += 1
        at += 1
    state[ADDED] = at
    state[ALIVE] = kept


@hot
def _may_carry(flows: Longs, i: int, o: int) -> bool:
    """Tell whether a connection lives as long as the inbound one and could have carried its bytes.

    Of two that both lead into the host, the earlier is the way on: a reverse tunnel is there before what it carries.
    """
    if flows[i, PEER] == flows[o, PEER]:
        return False
    slack = SLACK if flows[o, LEADS_OUT] else 0
    if flows[o, START] > flows[i, START] + slack or flows[o, END] < flows[i, END] - SLACK:
        return False
    if WITHIN * flows[o, SENT] < PASSED_ON * flows[i, RECEIVED]:
        return False
    return bool(WITHIN * flows[o, RECEIVED] >= PASSED_ON * flows[i, SENT])


@jit
def _alike(flows: Longs, events: Longs, i: int, o: int, way: int, least: float, counts: Longs) -> bool:
    """Tell whether the first events of a pair agree at some delay better than events at random."""
    first, last = int(flows[i, way]), min(int(flows[i, way + 1]), int(flows[i, way]) + FEW)
    n = last - first
    if n < LEAST_EVENTS:
        return False
    begin, end = int(events[first]), int(events[last - 1]) + LAGS
    low = _place(events, int(flows[o, way + 2]), int(flows[o, way + 3]), begin)
    high = _place(events, low, int(flows[o, way + 3]), end)
    mean = n * (high - low) / (end - begin)  # coincidences per delay
    _count(events, first, last, low, high, COARSE, counts)
    cells = LAGS // COARSE + 1
    if _passes(counts, cells, 2, mean * COARSE, least) or _passes(counts, cells, 4, mean * COARSE, least):
        return True
    if mean * 2 * COARSE < BUSY * n:
        return False
    _count(events, first, last, low, high, 1, counts)
    return _passes(counts, LAGS, 2, mean, least) or _passes(counts, LAGS, 6, mean, least)


@hot
def _place(events: Longs, low: int, high: int, time: int) -> int:
    """Return the place of the first event that is not before a time."""
    while low < high:
        middle = (low + high) // 2
        if int(events[middle]) < time:
            low = middle + 1
        else:
            high = middle
    return low


@hot
def _count(events: Longs, first: int, last: int, low: int, high: int, cell: int, counts: Longs) -> None:
    """Count by delay the events from ``low`` to ``high`` that follow one of those from ``first`` to ``last``."""
    for k in range(LAGS // cell + 1):
        counts[k] = 0
    for k in range(first, last):
        time = int(events[k])
        while low < high and int(events[low]) < time:
            low += 1
        at = low
        while at < high and int(events[at]) - time < LAGS:
            counts[(int(events[at]) - time) // cell] += 1
            at += 1


@hot
def _passes(counts: Longs, cells: int, width: int, mean: float, least: float) -> bool:
    """Tell whether some delay has as many events as chance gives with a probability of ``exp(-least)`` only."""
    total = 0
    best = 0
    for k in range(cells):
        total += int(counts[k])
        if k >= width:
            total -= int(counts[k - width])
        best = max(best, total)
    return _surprise(best, mean * width) >= least


@hot
def _surprise(count: float, mean: float) -> float:
    """Return the Chernoff bound of a Poisson tail: the negative logarithm of the probability of as many or more."""
    if count <= mean or mean <= 0.0:
        return 0.0
    return count * math.log(count / mean) - count + mean


@entry
def judge(flows: Longs, events: Longs, pairs: Longs, counts: Longs, found: Doubles) -> None:
    """Write what is found of each pair into two rows of ``found``, one for each direction; columns of `FOUND`."""
    for k in range(len(pairs)):
        _judge(flows, events, int(pairs[k, 0]), int(pairs[k, 1]), UP, counts, found, 2 * k)
        _judge(flows, events, int(pairs[k, 0]), int(pairs[k, 1]), DOWN, counts, found, 2 * k + 1)


@jit
def _judge(flows: Longs, events: Longs, i: int, o: int, way: int, counts: Longs, found: Doubles, row: int) -> None:
    """Judge one direction of a pair."""
    for k in range(FOUND):
        found[row, k] = 0.0
    first, last = int(flows[i, way]), min(int(flows[i, way + 1]), int(flows[i, way]) + MANY)
    if last - first < LEAST_EVENTS:
        return
    begin, end = int(events[first]), int(events[last - 1]) + LAGS
    reach = min(REACH, (end - begin) // 2)
    if reach < LEAST_REACH:  # no room to see what chance does
        return
    found[row, WIDTH] = WIDTHS[-1]
    _correlate(events, first, last, int(flows[o, way + 2]), int(flows[o, way + 3]), begin, end, reach, counts)
    for width in WIDTHS:
        _peak(counts, reach, width, found, row)


@jit
def _correlate(events: Longs, first: int, last: int, low: int, high: int, begin: int, end: int, reach: int,
               counts: Longs) -> None:  # fmt: skip
    """Count the coincidences at every delay from ``-reach`` to ``reach``, in a circle from ``begin`` to ``end``."""
    around = end - begin
    low = _place(events, low, high, begin)
    high = _place(events, low, high, end)
    for k in range(2 * reach):
        counts[k] = 0
    for k in range(first, last):
        origin = int(events[k]) - reach
        for turn in range(-1, 2):
            at = _place(events, low, high, origin - turn * around)
            while at < high:
                delay = int(events[at]) + turn * around - origin
                if delay >= 2 * reach:
                    break
                counts[delay] += 1
                at += 1


@jit
def _peak(counts: Longs, reach: int, width: int, found: Doubles, row: int) -> None:
    """Compare the best delay with all other shifts, and keep it where it is the most improbable so far."""
    lags = min(LAGS, reach // 3)  # the rest is for what chance does
    best, lag, total = 0, 0, _sum(counts, reach, width)
    for k in range(max(lags - width, 0) + 1):
        if total > best:
            best, lag = total, k
        total += int(counts[reach + k + width]) - int(counts[reach + k])
    windows, sums, squares, reached = 0, 0.0, 0.0, 0
    total = _sum(counts, 0, width)
    for k in range(2 * reach - width):
        if k < reach - width - NEAR or k >= reach + lags + NEAR:
            windows += 1
            sums += total
            squares += total * total
            reached += total >= best
        total += int(counts[k + width]) - int(counts[k])
    if windows < 2 * width:
        return
    far = (sums + 1) / windows
    near = _local(counts, reach, lags, lag, width)
    spread = max(1.0, (squares / windows - (sums / windows) ** 2) / far)
    # as many ways to agree as there are delays, spreads and directions; delays have a share each, short ones a larger
    trials = math.log(2.0 * len(WIDTHS) * (lag + 1) * (1.0 + math.log(lags)))
    log_p = trials - _surprise(best, max(far, near)) / spread
    if reached:
        # what other shifts reach is no more improbable than the share of them that do
        log_p = max(log_p, math.log(min(1.0, (reached + width) / windows * lags / width)))
    if log_p < found[row, LOG_P]:
        found[row, LOG_P], found[row, LAG], found[row, WIDTH] = log_p, lag, width


@hot
def _sum(counts: Longs, at: int, width: int) -> int:
    total = 0
    for k in range(at, at + width):
        total += int(counts[k])
    return total


@hot
def _local(counts: Longs, reach: int, lags: int, lag: int, width: int) -> float:
    """Return the mean count of a window of delays around those looked for, the best one left out."""
    low, high = max(0, reach - AROUND), min(2 * reach, reach + lags + AROUND)
    out, to = max(low, reach + lag - width - COARSE), min(high, reach + lag + 2 * width + COARSE)
    total = _sum(counts, low, high - low) - _sum(counts, out, to - out)
    return width * total / max(1, high - low - (to - out))
