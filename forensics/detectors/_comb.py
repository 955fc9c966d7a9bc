r"""The period of a clock: intervals that fall near a period or, where beats are missed, near a whole multiple of it.

For a period :math:`P` and a tolerance :math:`t`, an interval is *regular* when it lies within
:math:`\min(t\sqrt{k}, \tfrac12) P` of :math:`kP` for a :math:`k \leq K`. Contacts that come at random, at a rate
:math:`\lambda` that may change from each to the next, reach such an interval with at most the probability

.. math:: r = \max_\lambda \sum_{k=1}^{K} \frac{e^{-\lambda a_k} - e^{-\lambda b_k}}{1 - e^{-\lambda c}}

where :math:`[a_k, b_k]` are the bands and :math:`c` is the pause, all less the shift by which visits are apart anyway,
and widened by the unit of the times. So the number of regular intervals is at most binomial with :math:`r`, whatever
the rates were. Periods lie on a grid as fine as the tolerance; what was tried is paid for (Bonferroni), each
tolerance and each :math:`K` with the same share. Half of the true period needs twice as many bands for the same
intervals, twice the period misses most of them: the best period is the clock's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from forensics.detectors._beat_loops import count_crowds
from forensics.detectors._comb_loops import (
    B_CHANCE,
    B_LOG_P,
    B_PERIOD,
    B_TOLERANCE,
    N_INTERVALS,
    N_REGULAR,
    N_TOTAL,
    center_periods,
    search_periods,
)

if TYPE_CHECKING:
    from forensics.detectors._visits import Floats, Intervals, Ints

__all__ = ["Clocks", "Level", "best_clocks", "crowded", "no_clocks"]

TOLERANCES = (0.03, 0.08, 0.2, 0.45)
"""How far an interval may lie from the period, as a share of it. [1]"""

BEATS = (1, 3, 8)
"""Up to how many beats an interval may last: one, or some missed ones."""

STEP = 0.0075
"""Width of the bins of intervals. [ln s]"""

BUSY = 3.0
"""A visit that lasts longer than this many times what visits are apart says nothing of when the next is due. [1]"""

IDLE = 2.0
"""Nor does one with contacts of which so many times the longest takes that long, for wide tolerances. [1]"""

CLOSE = 0.1
"""Up to this tolerance the intervals within it say what the period is. [1]"""

ROUNDS = 8
"""Times that the period is moved to the mean of the intervals around it."""

ROUNDED = -600.0
"""Logarithms of tails below this are lost to rounding; the bound stands for them."""

RATES = np.geomspace(0.01, 20, 80)
"""Rates of chance contacts, over the period's own rate, over which the worst is taken. [1]"""


@dataclass(frozen=True)
class Level:
    """Periods for which contacts within ``apart`` of each other are one visit. [s]"""

    apart: float
    least: float
    most: float


@dataclass(frozen=True)
class Clocks:
    """The best period of each stream, arrays of one length.

    Parameters
    ----------
    log_p
        Logarithm of the bound on its p-value, for all periods tried; 0 where none was.
    period
        The period; NaN where none was found. [s]
    tolerance
        The tolerance that showed it best. [1]
    regular, intervals
        Regular intervals, and all that are no pauses.
    chance
        Probability of a regular interval by chance, at most. [1]
    """

    log_p: Floats
    period: Floats
    tolerance: Floats
    regular: Ints
    intervals: Ints
    chance: Floats

    def better(self, other: Clocks) -> Clocks:
        """Return the better clock of each stream."""
        pick = other.log_p < self.log_p
        names = ("log_p", "period", "tolerance", "regular", "intervals", "chance")
        return Clocks(*(np.where(pick, getattr(other, name), getattr(self, name)) for name in names))


class _Tried(NamedTuple):
    """All periods tried within a level, as `search_periods` takes them."""

    cells: Ints
    figures: Floats
    periods: Floats
    edges: npt.NDArray[np.uint32]
    chances: Floats


def no_clocks(count: int) -> Clocks:
    """Return that no stream has a clock."""
    return _clocks(*_nothing(count))


def _nothing(count: int) -> tuple[Floats, Ints]:
    """Return the best cells and the counts of streams of which nothing is known."""
    best = np.full((count, 4), np.nan)
    best[:, B_LOG_P] = np.inf
    return best, np.zeros((count, 3), np.int64)


def _clocks(best: Floats, counted: Ints) -> Clocks:
    log_p, period, tolerance, chance = (best[:, column].copy() for column in (B_LOG_P, B_PERIOD, B_TOLERANCE, B_CHANCE))
    return Clocks(log_p, period, tolerance, counted[:, N_REGULAR], counted[:, N_INTERVALS], chance)


def best_clocks(intervals: Intervals, grain: Floats, level: Level, pause: float) -> Clocks:
    """Return the best period of each stream within a level.

    Parameters
    ----------
    intervals
        Intervals between visits, of all streams.
    grain
        The unit of each stream's times. [s]
    level
        Which periods to try.
    pause
        Longer intervals are pauses and do not count. [s]
    """
    best, counted = _nothing(len(grain))
    # What transfers take that follow each other is even, too, but never as exact as a narrow tolerance asks for.
    longest = BUSY * level.apart
    limits = np.array([pause, longest, longest / IDLE, _origin(level), STEP])
    short, idle = np.empty((2, int(_bin(np.array([pause]), level)[0]) + 4), np.int64)
    owner, length, busy, held = intervals.columns
    for unit in np.unique(grain).tolist():
        cells, figures, periods, edges, chances = _tried(level, unit, pause)
        tables = (np.array(BEATS), cells, figures, periods, edges, chances)
        regular = np.empty(len(periods), np.int64)
        search_periods(owner, length, busy, held, grain == unit, limits, *tables, short, idle, regular, best, counted)
    clocks = _clocks(best, counted)
    _settle(clocks, counted[:, N_TOTAL])
    # Where intervals scatter widely, the bands that chance explains least lie beyond the middle.
    half = np.where(clocks.tolerance > CLOSE, 0.5, clocks.tolerance)
    center_periods(intervals.owner, intervals.length, pause, half, ROUNDS, clocks.period)
    return clocks


def _origin(level: Level) -> float:
    """Return where the first bin begins. [ln s]"""
    return float(np.log(level.least * (1 - max(TOLERANCES)) * 0.9))


def _bin(length: Floats, level: Level) -> Ints:
    """Return the bin of each interval; 0 is all that is too short."""
    place: Ints = np.maximum(np.floor((np.log(length) - _origin(level)) / STEP), 0).astype(np.int64)
    return place


def _edge(place: npt.NDArray[np.int64], level: Level) -> Floats:
    edges: Floats = np.exp(_origin(level) + place * STEP)
    return edges


@cache
def _tried(level: Level, unit: float, pause: float) -> _Tried:
    """Return all periods tried within a level, with the probability of a regular interval by chance, for the search."""
    last = int(_bin(np.array([pause]), level)[0]) + 1
    cells, figures, periods, chances = [], [], [np.zeros(0)], [np.zeros((len(BEATS), 0))]
    edges = [np.zeros(0, np.int64)]
    k = np.arange(1, max(BEATS) + 1)
    for tolerance in TOLERANCES:
        most = min(level.most, pause / (1 + tolerance))
        if most <= level.least:
            continue
        steps = int(np.ceil(np.log(most / level.least) / (tolerance / 2)))
        tried = level.least * np.exp(tolerance / 2 * np.arange(steps))
        half = np.minimum(tolerance * np.sqrt(k), 0.5)
        low, high = _bin(tried[:, None] * (k - half), level), _bin(tried[:, None] * (k + half), level) + 1
        low[:, 1:] = np.maximum(low[:, 1:], high[:, :-1])  # no interval counts twice
        low, high = np.minimum(low, last), np.minimum(np.maximum(low, high), last)
        bands, shift = (_edge(low, level), _edge(high, level)), (1 + BUSY) * level.apart
        each = [(bands[0][:, :beats], bands[1][:, :beats]) for beats in BEATS]
        chances.append(np.stack([_chance(some, tried, shift, unit, pause) for some in each]))
        periods.append(tried)
        edges.append(np.stack((low.T, high.T), axis=2).ravel())
        cells.append((sum(map(len, periods)), tolerance <= CLOSE))
        figures.append((tolerance, np.log(steps * len(TOLERANCES) * len(BEATS))))
    return _Tried(
        np.array(cells, np.int64).reshape(-1, 2),
        np.array(figures, np.float64).reshape(-1, 2),
        np.concatenate(periods),
        np.concatenate(edges).astype(np.uint32),
        np.concatenate(chances, axis=1),
    )


def _chance(bands: tuple[Floats, Floats], periods: Floats, shift: float, unit: float, pause: float) -> Floats:
    """Return the greatest probability, over all rates, of an interval in the bands."""
    first, last = np.maximum(bands[0] - shift - unit, 0), np.maximum(bands[1] - shift + unit, 0)
    first[:, 1:] = np.maximum(first[:, 1:], last[:, :-1])  # bands that touch once widened are one
    last = np.minimum(np.maximum(last, first), pause)
    first = np.minimum(first, pause)
    rate = (RATES / periods[:, None])[:, :, None]
    within = (np.exp(-rate * first[:, None]) - np.exp(-rate * last[:, None])).sum(axis=2)
    chance: Floats = (within / -np.expm1(-rate[:, :, 0] * pause)).max(axis=1)
    return np.clip(chance, 1e-9, 0.999)


def _tail(regular: npt.NDArray[np.int64], total: Floats, chance: Floats) -> Floats:
    """Return Chernoff's bound of the binomial tail: the logarithm of P(at least so many)."""
    share = regular / np.maximum(total, 1)
    tail: Floats = np.zeros(share.shape)
    beyond = np.flatnonzero(share > chance)  # few are: the others need no logarithm
    total, chance = (np.broadcast_to(values, share.shape).ravel()[beyond] for values in (total, chance))
    share = share.ravel()[beyond]
    miss = np.maximum(1 - share, 1e-300)
    apart = share * np.log(share / chance) + miss * np.log(miss / np.maximum(1 - chance, 1e-12))
    tail.ravel()[beyond] = -total * apart
    return tail


def _settle(best: Clocks, total: Ints) -> None:
    """Replace the bounds by the binomial tails themselves."""
    from scipy import stats

    known = np.isfinite(best.log_p)
    chernoff = _tail(best.regular[known], total[known].astype(np.float64), best.chance[known])
    with np.errstate(divide="ignore"):
        exact = stats.binom.logsf(best.regular[known] - 1, total[known], best.chance[known])
    best.log_p[known] += np.where(exact > ROUNDED, np.minimum(exact, chernoff), chernoff) - chernoff


def crowded(intervals: Intervals, count: int, level: Level, pause: float) -> Floats:
    """Return a rough measure of how much the intervals of each stream crowd somewhere: 0, or below where they do.

    It is a screen and no test: the fullest two of wide bins, against what chance gives at most.
    """
    width = 0.2
    shortest = level.least * (1 - max(TOLERANCES))
    before, last = (int(np.floor(np.log(edge / level.least) / width)) for edge in (shortest, max(pause, shortest)))
    limits = np.array([pause, shortest, level.least, width, before - 1])
    fullest, total = np.zeros((2, count), np.int64)
    counts = np.empty(last - before + 6, np.int64)
    count_crowds(intervals.owner, intervals.length, limits, counts, fullest, total)
    return _tail(fullest, total.astype(np.float64), np.full(count, 2 * width / np.e))
