"""Compiled loops of the comb: the best of all periods that were tried for a stream, and the mean around it.

`forensics.detectors._comb` says what is tried, and why.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from forensics.detectors._beat_loops import end_of
from forensics.packets._jit import entry, hot

__all__ = [
    "B_CHANCE",
    "B_LOG_P",
    "B_PERIOD",
    "B_TOLERANCE",
    "C_LAST",
    "C_NARROW",
    "N_INTERVALS",
    "N_REGULAR",
    "N_TOTAL",
    "center_periods",
    "search_periods",
]

Longs = npt.NDArray[np.int64]
Places = npt.NDArray[np.uint32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

B_LOG_P, B_PERIOD, B_TOLERANCE, B_CHANCE = range(4)
"""The best cell of a stream: the bound of its p-value, its period [s], tolerance and probability by chance."""

N_REGULAR, N_TOTAL, N_INTERVALS = range(3)
"""What is counted of a stream: regular intervals, those that were looked at, and all that are no pauses."""

C_LAST, C_NARROW = range(2)
"""Of a tolerance: behind its last period, and whether it is a narrow one."""


@entry
def search_periods(
    owner: Longs,
    length: Doubles,
    busy: Doubles,
    held: Doubles,
    wanted: Bools,
    limits: Doubles,
    beats: Longs,
    cells: Longs,
    figures: Doubles,
    periods: Doubles,
    edges: Places,
    chances: Doubles,
    short: Longs,
    idle: Longs,
    regular: Longs,
    best: Doubles,
    counted: Longs,
) -> None:
    """Find the best of all periods that are tried for some streams.

    Parameters
    ----------
    owner, length, busy, held
        The intervals, see `forensics.detectors._visits.Intervals`.
    wanted
        Which streams are searched.
    limits
        Longest interval, longest visit of one that is short, longest contact of one that is idle [s]; where the first
        bin begins, and the width of bins [ln s].
    beats
        Each K, ascending.
    cells, figures
        The tolerances (``C_*``); what each is, and its price.
    periods
        The periods of each tolerance. [s]
    edges
        The first bin of a beat, and that behind its last: for each tolerance, beat and period.
    chances
        For each K and period, the probability of a regular interval by chance.
    short, idle, regular
        Room for two more numbers than there are bins, and for as many as there are periods.
    best, counted
        Take the best cell (``B_*``) and the counts (``N_*``) of each stream.
    """
    begin = 0
    while begin < owner.shape[0]:
        end, who = end_of(owner, begin), int(owner[begin])
        if wanted[who]:
            counted[who, N_INTERVALS] = _count_below(length, busy, held, begin, end, limits, short, idle)
            first = 0
            for cell in range(cells.shape[0]):
                last = int(cells[cell, C_LAST])
                below = short if cells[cell, C_NARROW] else idle
                if below[below.shape[0] - 1] > 0:
                    tolerance, price = float(figures[cell, 0]), float(figures[cell, 1])
                    _search(below, first, last, beats, tolerance, price, periods, chances, edges, regular, best,
                            counted, who)  # fmt: skip
                first = last
        begin = end


@hot
def _count_below(
    length: Doubles, busy: Doubles, held: Doubles, begin: int, end: int, limits: Doubles, short: Longs, idle: Longs
) -> int:
    """Count the intervals below each bin; return how many there are, short or not."""
    pause, longest, busiest = float(limits[0]), float(limits[1]), float(limits[2])
    origin, width, last = float(limits[3]), float(limits[4]), short.shape[0] - 1
    short[:] = 0
    idle[:] = 0
    runs = 0
    for row in range(begin, end):
        if length[row] <= pause:
            runs += 1
            if busy[row] <= longest:
                place = math.floor((math.log(max(float(length[row]), 1e-6)) - origin) / width)
                place = min(max(place, 0) + 1, last)
                short[place] += 1
                idle[place] += 1 if held[row] <= busiest else 0
    shorts, idles = 0, 0
    for place in range(last + 1):
        shorts += int(short[place])
        idles += int(idle[place])
        short[place] = shorts
        idle[place] = idles
    return runs


@hot
def _search(
    below: Longs, first: int, last: int, beats: Longs, tolerance: float, price: float, periods: Doubles,
    chances: Doubles, edges: Places, regular: Longs, best: Doubles, counted: Longs, who: int,
) -> None:  # fmt: skip
    """Write the best period of a tolerance where it is better than what the stream has."""
    regular[first:last] = 0
    done, at = 0, 2 * int(beats[beats.shape[0] - 1]) * first
    for k in range(beats.shape[0]):
        for _ in range(done, int(beats[k])):
            for period in range(first, last):
                regular[period] += int(below[edges[at + 1]]) - int(below[edges[at]])
                at += 2
        done = int(beats[k])
        _judge(below, first, last, k, tolerance, price, periods, chances, regular, best, counted, who)


@hot
def _judge(
    below: Longs, first: int, last: int, k: int, tolerance: float, price: float, periods: Doubles,
    chances: Doubles, regular: Longs, best: Doubles, counted: Longs, who: int,
) -> None:  # fmt: skip
    """Write the best period of a tolerance and K where it is better than what the stream has."""
    total, least = int(below[below.shape[0] - 1]), float(best[who, B_LOG_P])
    for period in range(first, last):
        chance = float(chances[k, period])
        value = price + _tail(int(regular[period]), total, chance, least - price)
        if value < least:
            least = value
            best[who, B_LOG_P], best[who, B_PERIOD] = value, periods[period]
            best[who, B_TOLERANCE], best[who, B_CHANCE] = tolerance, chance
            counted[who, N_REGULAR], counted[who, N_TOTAL] = regular[period], total


@hot
def _tail(regular: int, total: int, chance: float, enough: float) -> float:
    """Return Chernoff's bound of the binomial tail; 0 where that is none, or cannot be below ``enough``."""
    beyond = regular - total * chance
    # A logarithm of a mean is no less than the mean of logarithms: so the bound is at most this far from 0.
    if beyond <= 0 or beyond * beyond <= -enough * total * chance * (1 - chance):
        return 0.0
    share = regular / total
    miss = max(1 - share, 1e-300)
    return -total * (share * math.log(share / chance) + miss * math.log(miss / max(1 - chance, 1e-12)))


@entry
def center_periods(owner: Longs, length: Doubles, pause: float, half: Doubles, rounds: int, periods: Doubles) -> None:
    """Move periods to the mean of the intervals around them.

    Parameters
    ----------
    owner, length
        Number of each interval's stream, and its length. [s]
    pause
        Longer intervals do not count. [s]
    half
        How far intervals around the period of each stream lie from it at most, as a share of it. [1]
    rounds
        How many times periods are moved.
    periods
        The periods; NaN where there is none. [s]
    """
    begin = 0
    while begin < owner.shape[0]:
        end, who = end_of(owner, begin), int(owner[begin])
        for _ in range(rounds):
            period, near, total = float(periods[who]), 0, 0.0
            for row in range(begin, end):
                if length[row] <= pause and abs(float(length[row]) - period) <= half[who] * period:
                    near += 1
                    total += float(length[row])
            if near == 0 or total / near == period:
                break
            periods[who] = total / near
        begin = end
