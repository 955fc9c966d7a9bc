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

from forensics.detectors._beat_loops import bound_evenness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.detectors._visits import Floats, Intervals

__all__ = ["even_log_p"]

LEAST = 1e-4
"""Least share of the mean that an interval counts as, and the finest regularity that is believed. [1]"""

IDLE = 2.0
"""So many times its contacts must an interval last to be judged. [1]"""

GRID = 120
"""Values of s that are tried."""


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
        Intervals of a group at most, for each test, ascending. [1]
    pause
        An interval longer than this ends a group; a group that lasts longer does not count. [s]
    """
    s, cumulants = _cumulants(max(groups))
    limits = np.array([apart, pause, LEAST, IDLE])
    room = np.empty(len(intervals.owner)), np.empty(len(cumulants), np.int64)
    bound = np.zeros(len(grain))
    bound_evenness(*intervals.columns, grain, limits, np.array(groups), s, cumulants, *room, bound)
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
