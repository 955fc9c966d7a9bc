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
    from collections.abc import Sequence

    from forensics.detectors._visits import Floats, Intervals, Ints

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


def even_log_p(intervals: Intervals, grain: Floats, *, apart: float, groups: Sequence[int], pause: float) -> Floats:
    """Return the logarithm of an upper bound of each stream's p-value, the least of some tests; 0 without a group.

    Parameters
    ----------
    intervals
        Intervals between the visits of all streams.
    grain
        The unit of each stream's times. [s]
    apart
        What visits are apart at least; as much of each interval is no chance and is taken off. [s]
    groups
        Intervals of a group at most, for each test. [1]
    pause
        An interval longer than this ends a group; a group that lasts longer does not count. [s]
    """
    # What is left after the visit, less what visits are apart at least: exponential where contacts come at random.
    # Times in whole seconds are apart by the next whole second.
    least = np.where(grain > 0, grain * (np.floor(apart / np.maximum(grain, 1)) + 1), apart)
    # Transfers one after the other come when the earlier one has ended, and not at random: those that fill half of
    # their interval or more belong to no group. What is longer than that is still exponential.
    own = IDLE * intervals.held
    chosen = np.flatnonzero((intervals.length <= pause) & (intervals.length > own))
    owner, length = intervals.owner[chosen], intervals.length[chosen]
    taken = np.maximum(least[owner] + intervals.busy[chosen], own[chosen])
    left = np.maximum(length - taken, np.maximum(0.1 * grain, 1e-6)[owner])
    place = _places(owner, chosen)
    bound = np.zeros(len(grain))
    for group in groups:
        begin = np.flatnonzero(place % group == 0)
        if not len(begin):
            break
        size = np.diff(np.append(begin, len(left)))
        mean = np.add.reduceat(left, begin) / size
        shares = np.maximum(left / np.repeat(mean, size), LEAST)
        blur = np.maximum(grain[owner[begin]] / mean, LEAST)  # no evenness is believed that is finer than the times are
        even = np.add.reduceat(np.log(shares), begin) - size * blur**2 / 2
        kept = np.flatnonzero((size > 1) & (np.add.reduceat(length, begin) <= pause))
        told = _log_bound(owner[begin[kept]], even[kept], size[kept], len(grain), group)
        bound = np.minimum(bound, told)
    return bound


def _places(owner: Ints, chosen: Ints) -> Ints:
    """Return which interval of its run each is, from 0: runs of one owner that no pause parts."""
    first = np.append(True, (np.diff(chosen) > 1) | (np.diff(owner) != 0))
    begin = np.flatnonzero(first[: len(chosen)])
    found: Ints = np.arange(len(chosen)) - np.repeat(begin, np.diff(np.append(begin, len(chosen))))
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
