"""Baselines of `volume_spikes`: what a window is expected to hold, by what came before its day.

References
----------
.. [1] C. P. Farrington et al., "A Statistical Algorithm for the Early Detection of Outbreaks of Infectious Disease",
   J. R. Stat. Soc. A 159 (1996) 547-563, doi:10.2307/2983331: what was above its baseline counts less in later ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from forensics.detectors._chance import MAD_TO_SIGMA, MOST_DEGREES, moderated

if TYPE_CHECKING:
    from forensics.detectors._spike_windows import Pool, Series

__all__ = ["STEADY", "Judged", "judge"]

HOURS = 24

PRIOR = 20
"""Windows that the usual spread counts as, beside a series' own. [1]"""

LEAN = 2.0
"""Windows that the wider baseline counts as, beside those of the narrower one. [1]"""

FEW = 6
"""First windows that the office must have shown before a pair without any history is judged. [1]"""

TAIL, MIDDLE = 0.025, 0.25
"""Share of the first windows of all pairs above which their tail begins, and from which on it is no tail any more; what
most pairs send at first is so alike that the spread of the middle says too little of what the others send. [1]"""

ANTI_POISON = 3.5
"""z above which a window does not enter the baselines of later ones. [1]"""

HABIT = 3
"""Days on which a series must have been unusual at an hour for that to be its habit. [d]"""

SUSPECTED = 5.0
"""CUSUM from which on a series is suspected of a drain: where textbooks let it alarm. [1]"""

SLOW = 0.2
"""What a window counts in later baselines while a drain is suspected. [1]"""

STEADY, CAP = 0.5, 4.0
"""The CUSUM's allowance, and the most that one window counts, both in standard deviations."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What was found of each window; arrays of shape (n,).

    Parameters
    ----------
    x
        ln(1 + amount).
    centre, spread
        Of the baseline, on the same scale; NaN where there was none.
    z
        Distance from the baseline in spreads; from the habit's where one explains the window.
    p
        Probability of so much or more under the baseline.
    habit
        Whether a habit explains the window that the baseline does not.
    drain
        CUSUM of z.
    since
        Start of the first window since the CUSUM was last zero. [us since 1970 UTC]
    """

    x: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    z: np.ndarray
    p: np.ndarray
    habit: np.ndarray
    drain: np.ndarray
    since: np.ndarray


def judge(series: Series, first: Pool | None, usual: float, *, least_spread: float, by_minute: bool) -> Judged:
    """Return how each window lies to its baseline.

    Parameters
    ----------
    series
        The windows.
    first
        First windows of all pairs; None where series without history are not judged.
    usual
        Usual spread within a series. [ln B]
    least_spread
        Least spread of a baseline. [ln B]
    by_minute
        Whether windows are minutes; a window's baseline is then what came before it, else what came before its day.
    """
    state = _State(series, first, max(usual, least_spread) if usual == usual else least_spread, least_spread)  # noqa: PLR0124
    step = series.start if by_minute else series.day
    edges = [0, *(np.flatnonzero(np.diff(step)) + 1).tolist(), len(step)]
    for begin, end in pairwise(edges):
        if begin < end:
            state.step(slice(begin, end))
    return state.found


class _State:
    """What is known of each series so far; it takes the windows of one day after the other."""

    def __init__(self, series: Series, first: Pool | None, usual: float, least_spread: float) -> None:
        count, windows = len(series.src), len(series.of)
        self._series, self._first = series, first
        self._usual, self._least = usual, least_spread
        # Count and sum of x by day type and hour; residuals by series; sums of x and x squared by pool.
        self._known = np.zeros((2, count, 2, HOURS))
        self._residual = np.zeros((2, count))
        self._pooled = np.zeros((int(series.pool.max()) + 1 if count else 1, 3))
        self._own = np.zeros((count, 3))
        self._quarters: dict[int, float] = {}
        self._place = [0, 0]
        self._days = np.zeros((count, HOURS))
        self._unusual = np.zeros((2, count, HOURS))
        self._sum, self._since = np.zeros(count), np.zeros(count, dtype=np.int64)
        x = np.log1p(series.amount)
        nan, zero = np.full(windows, np.nan), np.zeros(windows)
        self.found = Judged(
            x, nan.copy(), nan.copy(), nan.copy(), nan.copy(), zero.astype(bool), zero.copy(), zero.astype(np.int64)
        )

    def step(self, now: slice) -> None:
        """Judge the windows of one day, then learn from them."""
        from scipy import stats

        series, found = self._series, self.found
        self._learn_others(int(series.start[now].min()))
        of, x = series.of[now], found.x[now]
        centre, variance, degrees = self._baseline(of, series.hour[now], series.rest[now].astype(np.int64))
        spread = np.sqrt(np.maximum(variance, self._least**2))
        z = (x - centre) / spread
        far = series.judged[now] & (z > ANTI_POISON)
        usual_z, known = self._habit(of, series.hour[now], x)
        habit = far & known & (usual_z <= ANTI_POISON)
        z = np.where(habit, np.maximum(np.minimum(z, usual_z), 0), z)
        found.centre[now], found.spread[now], found.z[now] = centre, spread, z
        found.habit[now] = habit
        found.p[now] = stats.t.sf(z, degrees)
        before = self._sum[of]
        self._watch(now, stats.norm.isf(np.maximum(found.p[now], 1e-12)))
        self._learn(now, far, centre, np.maximum(before, self._sum[of]) >= SUSPECTED)

    def _baseline(self, of: np.ndarray, hour: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return centre, variance and degrees of freedom: each level leans on the wider one."""
        near = (hour[:, None] + np.array([-1, 0, 1])) % HOURS
        # By count and sum, window, day type.
        alike = np.moveaxis(self._known[:, of[:, None], :, near].sum(axis=1), 1, 0)
        own = self._known[:, of].sum(axis=(2, 3))
        pool_centre, pool_variance, others = self._of_pool(of)
        alone = own[1] / np.where(own[0] > 0, own[0], np.nan)
        centre, weight = np.where(np.isnan(pool_centre), alone, pool_centre), np.ones(len(of))
        between = np.zeros(len(of))
        for count, total in (own, alike.sum(axis=2), np.take_along_axis(alike, rest[None, :, None], 2)[:, :, 0]):
            centre = (total + LEAN * centre) / (count + LEAN)
            weight = weight * LEAN / (count + LEAN)
            between = LEAN / (count + LEAN) * (own[0] > 0)
        count, residual = self._residual[0, of], self._residual[1, of]
        within = moderated(residual, count, self._usual**2, PRIOR)
        # The centre is known the worse, the fewer windows it stands on: its own, or while it has none, the others'.
        behind = np.where(own[0] > 0, own[0], others)
        variance = within * (1 + 0.5 * between + 1 / (behind + LEAN)) + weight * np.maximum(
            np.nan_to_num(pool_variance) - within, 0
        )
        return centre, variance, np.minimum(PRIOR + count + weight * others, MOST_DEGREES)

    def _of_pool(self, of: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return centre, variance and number of what others sent to the server, leaning on what any sends at first."""
        base, width = self._of_first()
        sums = self._pooled[self._series.pool[of]] - self._own[of]
        count = sums[:, 0]
        mean = sums[:, 1] / np.maximum(count, 1)
        variance = np.maximum(sums[:, 2] / np.maximum(count, 1) - mean**2, 0)
        lean = 0.0 if np.isnan(base) else LEAN
        known = np.where(count + lean > 0, count + lean, np.nan)
        base, width = (base, width) if lean else (0.0, 0.0)
        number = count + sum(self._quarters.values())
        return (sums[:, 1] + lean * base) / known, (count * variance + lean * width**2) / known, number

    def _of_first(self) -> tuple[float, float]:
        """Return the median of the first windows so far and their spread: of the middle, or of the upper tail."""
        from scipy import stats

        count = sum(self._quarters.values())
        if count < FEW:
            return np.nan, np.nan
        quarters = np.array(sorted(self._quarters))
        weights = np.array([self._quarters[quarter] for quarter in quarters.tolist()])
        at = (quarters + 0.5) / 4
        centre = _weighted_quantile(at, weights, 0.5)
        spread = max(MAD_TO_SIGMA * _weighted_quantile(np.abs(at - centre), weights, 0.5), self._usual)
        # A tail of fewer windows could be an intruder's own.
        share = max(TAIL, FEW / count)
        if share < MIDDLE:
            spread = max(spread, (_weighted_quantile(at, weights, 1 - share) - centre) / stats.norm.isf(share))
        return centre, spread

    def _habit(self, of: np.ndarray, hour: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the distance from what was unusual at this hour before, and whether that has become a habit."""
        count, total = self._unusual[:, of, hour]
        within = np.sqrt(moderated(self._residual[1, of], self._residual[0, of], self._usual**2, PRIOR))
        return (x - total / np.maximum(count, 1)) / within, self._days[of, hour] >= HABIT

    def _watch(self, now: slice, z: np.ndarray) -> None:
        """Continue the CUSUM of each series, its windows one after the other."""
        of, start = self._series.of[now], self._series.start[now]
        judged = self._series.judged[now]
        order = np.argsort(of, kind="stable")
        turn = np.empty(len(of), dtype=np.int64)
        heads = np.flatnonzero(np.diff(of[order], prepend=-1))
        turn[order] = np.arange(len(of)) - np.repeat(heads, np.diff([*heads, len(of)]))
        for this in range(int(turn.max()) + 1 if len(turn) else 0):
            mine = np.flatnonzero(turn == this)
            one = of[mine]
            rise = np.where(judged[mine], np.minimum(np.nan_to_num(z[mine]), CAP) - STEADY, 0.0)
            self._since[one] = np.where(self._sum[one] > 0, self._since[one], start[mine])
            self._sum[one] = np.maximum(self._sum[one] + rise, 0)
            self.found.drain[now.start + mine] = self._sum[one]
            self.found.since[now.start + mine] = self._since[one]

    def _learn(self, now: slice, far: np.ndarray, centre: np.ndarray, suspect: np.ndarray) -> None:
        """Let windows that were not far above their baseline enter the later ones; note the hours of the rest."""
        series, x = self._series, self.found.x[now]
        of, hour, rest = series.of[now], series.hour[now], series.rest[now].astype(np.int64)
        weight = np.where(far, 0.0, np.where(suspect, SLOW, 1.0))
        np.add.at(self._known[0], (of, rest, hour), weight)
        np.add.at(self._known[1], (of, rest, hour), weight * x)
        # One terminal's drain or upload must not teach the others' baselines its level: [1]_ weighs by 1 / z^2.
        high = np.where(series.judged[now], np.fmax(self.found.z[now], 1.0), 1.0)
        heard = np.where(far | suspect, 0.0, 1 / high**2)
        sums = np.stack([heard, heard * x, heard * x * x], axis=1)
        np.add.at(self._pooled, series.pool[of], sums)
        np.add.at(self._own, of, sums)
        old = (self._residual[0, of] > 0) | (self._own[of, 0] > weight)
        off = np.clip(np.nan_to_num(x - centre), -ANTI_POISON * self._usual, ANTI_POISON * self._usual)
        np.add.at(self._residual[0], of, weight * old)
        np.add.at(self._residual[1], of, weight * old * off**2)
        for shift in (-1, 0, 1):
            at = (hour[far] + shift) % HOURS
            np.add.at(self._unusual[0], (of[far], at), 1.0)
            np.add.at(self._unusual[1], (of[far], at), x[far])
        keys = np.unique(np.concatenate([of[far] * HOURS + (hour[far] + shift) % HOURS for shift in (-1, 0, 1)]))
        self._days[keys // HOURS, keys % HOURS] += 1

    def _learn_others(self, until: int) -> None:
        """Take in what the others did in periods that had ended by a time. [us since 1970 UTC]"""
        for number, pool in enumerate((self._series.others, self._first)):
            if pool is None:
                continue
            place, end = self._place[number], int(np.searchsorted(pool.until, until, side="right"))
            if number == 0:
                np.add.at(self._pooled, pool.owner[place:end], pool.sums[place:end])
            else:
                for quarter, count in zip(
                    pool.owner[place:end].tolist(), pool.sums[place:end, 0].tolist(), strict=True
                ):
                    self._quarters[quarter] = self._quarters.get(quarter, 0.0) + count
            self._place[number] = max(place, end)


def _weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] * share)])
