r"""How even successive intervals are: a test without a period, for clocks that are very irregular or miss many beats.

Contacts that come at random, at a rate that may change from each to the next, have independent exponential intervals.
Of :math:`k` successive ones, :math:`T = \sum \ln x_i - k \ln \bar x` is at most 0, and 0 when all are
equal. With equal rates

.. math:: K(s) = \ln E\,e^{sT} = \ln\Gamma(k) + k \ln\Gamma(1 + s) - \ln\Gamma(k + ks) + ks \ln k,

and with any other rates :math:`E\,e^{sT}` is smaller: under the exponential tilt the intervals are gamma variables,
and :math:`\prod_i (1 + c_i y) \geq (1 + y)^k` where :math:`\prod_i c_i = 1`. So for the sum over :math:`m` groups

.. math:: P\Bigl(\sum T \geq t\Bigr) \leq \exp\Bigl(-\max_{s \geq 0}\,(st - m K(s))\Bigr)

holds for every such process, and not only for a large number of contacts.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from forensics.detectors._visits import Floats, Intervals, Ints

__all__ = ["even_log_p"]

LEAST = 1e-4
"""Least share of the mean that an interval counts as, and the finest regularity that is believed. [1]"""


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
        Intervals of a group. [1]
    pause
        An interval longer than this ends a group before it is full; a group that lasts longer does not count. [s]
    """
    count, runs = len(grain), intervals.length <= pause
    owner = intervals.owner
    first = runs.copy()
    first[1:] &= ~runs[:-1] | (owner[1:] != owner[:-1])
    run = np.cumsum(first) - 1
    sizes = np.bincount(run[runs], minlength=1)
    place = np.arange(len(owner)) - np.flatnonzero(first)[run] if len(owner) and first.any() else run
    full = runs & (place < (sizes // group * group)[run]) if len(owner) and first.any() else runs & False
    length = intervals.length[full].reshape(-1, group)
    unit = grain[owner[full]].reshape(-1, group)
    # What is left after the visit, less what visits are apart at least: exponential where contacts come at random.
    # Times in whole seconds are apart by the next whole second.
    least = np.where(unit > 0, unit * (np.floor(apart / np.maximum(unit, 1)) + 1), apart)
    left = length - intervals.busy[full].reshape(-1, group) - least
    short = length.sum(axis=1) <= pause
    left, unit, who = left[short], unit[short, 0], owner[full].reshape(-1, group)[short, 0]
    mean = np.maximum(left.mean(axis=1), np.maximum(0.1 * unit, 1e-6))
    shares = np.maximum(left, np.maximum(0.1 * unit, LEAST * mean)[:, None]) / mean[:, None]
    blur = np.maximum(unit / mean, LEAST)  # no evenness is believed that is finer than the times are
    even: Floats = np.log(shares).sum(axis=1) - group * np.log(shares.mean(axis=1)) - group * blur**2 / 2
    groups: Ints = np.bincount(who, minlength=count)
    return _log_bound(np.bincount(who, even, count).astype(np.float64), groups, group)


def _log_bound(total: Floats, groups: Ints, group: int) -> Floats:
    """Return the bound above, with the best ``s`` of a grid: any other would hold as well and say less."""
    s, cumulant, mean = _cumulants(group)
    place = np.clip(np.searchsorted(mean, total / np.maximum(groups, 1)), 0, len(s) - 1)
    bound: Floats = np.minimum(groups * cumulant[place] - s[place] * total, 0.0)
    return np.where(groups > 0, bound, 0.0)


@cache
def _cumulants(group: int) -> tuple[Floats, Floats, Floats]:
    """Return a grid of ``s`` with K(s) and K'(s), the mean of T under the tilt."""
    from scipy.special import digamma, gammaln

    s = np.geomspace(1e-3, 1e7, 600)
    cumulant = gammaln(group) + group * gammaln(1 + s) - gammaln(group + group * s) + group * s * np.log(group)
    mean = group * (digamma(1 + s) - digamma(group + group * s) + np.log(group))
    return s, cumulant, mean
