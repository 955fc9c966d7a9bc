"""All tests of one block of pairs: how even their intervals are, and which period they keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.detectors._comb import Clocks, Level, best_clocks, crowded, no_clocks
from forensics.detectors._evenness import even_log_p
from forensics.detectors._measured import Measured
from forensics.detectors._visits import MOST_ALIKE, Floats, Streams, alike_sizes, intervals_between

if TYPE_CHECKING:
    from forensics.detectors._pairs import Block

__all__ = ["measure"]

LEVELS = (Level(0.2, 2.0, 20.0), Level(2.0, 20.0, 200.0), Level(20.0, 200.0, 1e9))
"""What counts as one visit grows with the period that is looked for: a page and its pictures, a session."""

GROUPS = (5, 15)
"""Intervals that are compared with each other: few, for rates that change; more, for what is hardly regular."""

EVEN_PRICE = float(np.log(2 * len(GROUPS) * len(LEVELS)))
COMB_PRICE = float(np.log(2 * len(LEVELS)))
"""Half of the error goes to each kind of test, in equal shares to its levels and groups. (Bonferroni) [ln]"""

SCREEN = float(np.log(0.05))
"""Streams that no test for evenness and no crowd of intervals finds below this get no search for a period. [ln]"""


def measure(block: Block, *, pause: float, least: int) -> Measured:
    """Return what the pairs of a block show.

    Parameters
    ----------
    block
        The contacts.
    pause
        Longer intervals are pauses. [s]
    least
        Contacts that a stream of like sizes must have. [1]
    """
    like, held, alike = alike_sizes(block.owner, block.size, block.count)
    own = (held >= least) & (alike <= MOST_ALIKE)
    kept = np.flatnonzero(like & own[block.owner])
    place = np.cumsum(own) - 1 + block.count
    owner = np.concatenate((block.owner, place[block.owner[kept]]))
    time, until = (np.concatenate((every, every[kept])) for every in (block.time, block.until))
    streams = Streams(owner, time, until, np.concatenate((block.grain, block.grain[own])))
    log_p, clocks = _test(streams, pause)
    score = np.clip((clocks.regular / np.maximum(clocks.intervals, 1) - clocks.chance) / (1 - clocks.chance), 0, 1)
    # Of a pair's streams the one that tells more stands for it, at the price of having looked twice.
    pick = np.arange(block.count)
    second = np.flatnonzero(own)
    wins = log_p[place[second]] < log_p[second]
    pick[second[wins]] = place[second[wins]]
    log_p = np.minimum(log_p[pick] + np.where(own, np.log(2), 0), 0)
    return Measured(
        log_p=log_p,
        period=clocks.period[pick],
        tolerance=clocks.tolerance[pick],
        regular=clocks.regular[pick],
        intervals=clocks.intervals[pick],
        score=np.nan_to_num(score[pick]),
        alike=alike,
        chosen=pick >= block.count,
    )


def _test(streams: Streams, pause: float) -> tuple[Floats, Clocks]:
    """Return the logarithm of each stream's p-value, and its best clock."""
    even, crowd, clocks = np.zeros(streams.count), np.zeros(streams.count), no_clocks(streams.count)
    room = streams.room()
    for level in LEVELS:
        intervals = intervals_between(streams, level.apart, room)
        log_p = even_log_p(intervals, streams.grain, apart=level.apart, groups=GROUPS, pause=pause)
        even = np.minimum(even, log_p)
        crowd = np.minimum(crowd, crowded(intervals, streams.count, level, pause))
    # To find the intervals of the few wanted again takes less time than to have kept those of all.
    wanted = streams.of(np.minimum(even, crowd) < SCREEN)
    for level in LEVELS:
        intervals = intervals_between(wanted, level.apart, room)
        clocks = clocks.better(best_clocks(intervals, streams.grain, level, pause))
    return np.minimum(np.minimum(even + EVEN_PRICE, clocks.log_p + COMB_PRICE), 0), clocks
