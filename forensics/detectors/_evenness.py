r"""How even successive intervals are: a test without a period, for clocks that are very irregular or miss many beats.

Contacts that come at random, at a rate that may change from each to the next, have independent exponential intervals.
Of :math:`k` successive ones, :math:`T = \sum \ln x_i - k \ln \bar x` is at most 0, and 0 when all are
equal. With equal rates

.. math:: K(s) = \ln E\,e^{sT} = \ln\Gamma(k) + k \ln\Gamma(1 + s) - \ln\Gamma(k + ks) + ks \ln k,

and with any other rates :math:`E\,e^{sT}` is smaller: under the exponential tilt the intervals are gamma variables,
and :math:`\prod_i (1 + c_i y) \geq (1 + y)^k` where :math:`\prod_i c_i = 1`. So for the sum over :math:`m` groups

.. math:: P\Bigl(\sum T \geq t\Bigr) \leq \exp\Bigl(-\max_{s \geq 0}\,(st - m K(s))\Bigr)

holds for every such process, and not only for a large number of contacts. A group ends where a pause
comes; so groups may differ in their number of intervals.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from forensics.detectors._visits import Bools, Floats, Intervals, Ints

__all__ = ["even_log_p"]

LEAST = 1e-4
"""Least share of the mean that an interval counts as, and the finest regularity that is believed. [1]"""

IDLE = 2.0
"""So many times its contacts must an interval last to be judged. [1]"""

GRID = 120
"""Values of s that are tried."""

STRIDE = 8
"""Of these, every so many-th is tried first."""

ROWS = 8192
"""Streams that are looked at together."""


def even_log_p(intervals: Intervals, grain: Floats, *, apart: float, group: int, pause: float) -> Floats:
    """Return the logarithm of an upper bound of each stream's p-value; 0 where it has no group.

    Parameters
    ----------
    intervals
        Intervals between the visits of all streams.
    grain
        The unit of each stream's times. [s]
    apart
        What visits are apart at least; as much of each interval is no chance and is taken off. [s]
    group
        Intervals of a group at most. [1]
    pause
        An interval longer than this ends a group; a group that lasts longer does not count. [s]
    """
    unit = grain[intervals.owner]
    # What is left after the visit, less what visits are apart at least: exponential where contacts come at random.
    # Times in whole seconds are apart by the next whole second.
    least = np.where(unit > 0, unit * (np.floor(apart / np.maximum(unit, 1)) + 1), apart) + intervals.busy
    # Transfers one after the other come when the earlier one has ended, and not at random: those that fill half of
    # their interval or more belong to no group. What is longer than that is still exponential.
    own = IDLE * intervals.held
    runs = (intervals.length <= pause) & (intervals.length > own)
    left = np.maximum(intervals.length - np.maximum(least, own), np.maximum(0.1 * unit, 1e-6))[runs]
    unit = unit[runs]
    begin = _groups(intervals.owner, runs, group)
    if not len(begin):
        return np.zeros(len(grain))
    size = np.diff(np.append(begin, len(left)))
    mean = np.add.reduceat(left, begin) / size
    shares = np.maximum(left / np.repeat(mean, size), LEAST)
    blur = np.maximum(unit[begin] / mean, LEAST)  # no evenness is believed that is finer than the times are
    even = np.add.reduceat(np.log(shares), begin) - size * blur**2 / 2
    kept = (size > 1) & (np.add.reduceat(intervals.length[runs], begin) <= pause)
    return _log_bound(intervals.owner[runs][begin[kept]], even[kept], size[kept], len(grain), group)


def _groups(owner: Ints, runs: Bools, group: int) -> Ints:
    """Return where the groups begin among the intervals that are no pauses."""
    first = runs.copy()
    first[1:] &= ~runs[:-1] | (owner[1:] != owner[:-1])
    begin = np.flatnonzero(first[runs])
    run = np.cumsum(first[runs]) - 1
    place = np.arange(len(run)) - begin[run]
    found: Ints = np.flatnonzero(place % group == 0)
    return found


def _log_bound(owner: Ints, even: Floats, size: Ints, count: int, group: int) -> Floats:
    """Return the bound above, with the best ``s`` of a grid: any other would hold as well and say less.

    As a function of s the exponent is convex, so the best lies beside the best of every `STRIDE`-th.
    """
    s, cumulants = _cumulants(group)
    total = np.bincount(owner, even, count)
    held = np.bincount(owner * (group + 1) + size, minlength=count * (group + 1)).reshape(count, -1).astype(np.float64)
    bound, grouped = np.zeros(count), np.flatnonzero(held.any(axis=1))
    for first in range(0, len(grouped), ROWS):
        rows = grouped[first : first + ROWS]
        coarse = (held[rows] @ cumulants[:, ::STRIDE] - total[rows, None] * s[::STRIDE]).argmin(axis=1) * STRIDE
        for near in np.unique(coarse).tolist():
            mine = rows[coarse == near]
            fine = slice(max(near - STRIDE + 1, 0), near + STRIDE)
            bound[mine] = np.minimum((held[mine] @ cumulants[:, fine] - total[mine, None] * s[fine]).min(axis=1), 0)
    return bound


@cache
def _cumulants(group: int) -> tuple[Floats, Floats]:
    """Return a grid of ``s`` and K(s) for groups of 0 to ``group`` intervals, shape (group + 1, len(s))."""
    from scipy.special import gammaln

    s = np.geomspace(0.02, 1e7, GRID)
    k = np.arange(group + 1)[:, None]
    cumulants = gammaln(np.maximum(k, 1)) + k * gammaln(1 + s) - gammaln(np.maximum(k, 1) + k * s)
    cumulants += k * s * np.log(np.maximum(k, 1))
    cumulants[:2] = 0  # one interval is always as long as itself
    return s, cumulants
