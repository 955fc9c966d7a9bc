"""Visits: contacts of one terminal with one server, those close together taken as one; and the intervals between them.

All pairs stand one after the other in long arrays, so that nothing here loops over pairs. A *stream* is a sequence of
contacts to be tested: all contacts of a pair, or those of them that sent about the same number of bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SIZE_STEP = 0.1
"""Two sizes are alike when they fall in the same two adjacent steps of this width. [ln B]"""

CELLS = 1 << 16
"""Cells of a histogram of some owners: so many stay in the cache of a processor. [1]"""

MOST_ALIKE = 0.9
"""Where a greater share of a pair's contacts is alike, they are no stream of their own. [1]"""


@dataclass(frozen=True, slots=True)
class Streams:
    """Contacts in order of stream and time.

    Parameters
    ----------
    owner
        Number of the stream of each contact, ascending from 0.
    time
        Start of each contact. [us since 1970]
    until
        End of each contact. [us since 1970]
    grain
        For each stream, the unit of its times: 0 (finer than it matters), 1 or 60. [s]
    """

    owner: Ints
    time: Ints
    until: Ints
    grain: Floats

    @property
    def count(self) -> int:
        """Number of streams."""
        return len(self.grain)


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals between successive visits of one stream, in order of stream and time. [s]

    Parameters
    ----------
    owner
        Number of the stream.
    length
        From the start of a visit to the start of the next.
    busy
        From the start of the earlier visit's first contact to the start of its last.
    held
        From the start of the earlier visit to the end of its longest contact.
    """

    owner: Ints
    length: Floats
    busy: Floats
    held: Floats

    def of(self, wanted: Bools) -> Intervals:
        """Return the intervals of some streams; ``wanted`` has an entry per stream."""
        kept = np.flatnonzero(wanted[self.owner])
        return Intervals(self.owner[kept], self.length[kept], self.busy[kept], self.held[kept])


def intervals_between(streams: Streams, apart: float) -> Intervals:
    """Return the intervals between visits: contacts that follow each other within ``apart`` [s] are one visit.

    Examples
    --------
    >>> time = np.array([0, 1_000_000, 60_000_000, 120_000_000])
    >>> one = Streams(np.zeros(4, np.int64), time, time, np.zeros(1))
    >>> intervals_between(one, 2.0).length.tolist(), intervals_between(one, 2.0).busy.tolist()
    ([60.0, 60.0], [1.0, 0.0])
    """
    if not len(streams.time):
        return Intervals(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0))
    same = streams.owner[1:] == streams.owner[:-1]
    opens = np.concatenate(([True], ~same | (np.diff(streams.time) > apart * 1e6)))
    begin = np.flatnonzero(opens)
    last = np.concatenate((begin[1:] - 1, [len(streams.time) - 1]))
    owner, start = streams.owner[begin], streams.time[begin]
    within = np.flatnonzero(owner[1:] == owner[:-1])  # numbers of places take rows faster than a mask does
    busy = (streams.time[last] - start)[within] / 1e6
    held = (np.maximum.reduceat(streams.until, begin) - start)[within] / 1e6
    return Intervals(owner[within], np.diff(start)[within] / 1e6, busy, held)


def alike_sizes(owner: Ints, size: Floats, count: int) -> tuple[Bools, Floats]:
    """Return which contacts sent about as many bytes as most of their pair did, and the share of each pair's contacts.

    Parameters
    ----------
    owner
        Number of each contact's pair, ascending.
    size
        Bytes sent, NaN where not observed. [B]
    count
        Number of pairs.
    """
    step = np.floor(np.log1p(np.nan_to_num(size, posinf=0)) / SIZE_STEP).astype(np.int64)
    known = np.flatnonzero(np.isfinite(size))
    full = np.full(count, -2)  # no step is, nor follows, this one
    for first, held in histograms(owner[known], step[known], count):
        both = held.copy()
        both[:, :-1] += held[:, 1:]
        both[held == 0] = 0
        # The fullest of each pair's steps; of equal ones, the one of smaller sizes.
        top = both.argmax(axis=1)
        full[first : first + len(held)] = np.where(both.any(axis=1), top, -2)
    alike = np.isfinite(size) & ((step == full[owner]) | (step == full[owner] + 1))
    return alike, np.bincount(owner, alike, count) / np.maximum(np.bincount(owner, minlength=count), 1)


def histograms(owner: Ints, step: Ints, count: int) -> Iterator[tuple[int, Ints]]:
    """Yield how many things each of some owners has in each step, and the number of the first of these owners.

    Parameters
    ----------
    owner
        Number of each thing's owner, ascending.
    step
        Its step, 0 or more.
    count
        Number of owners.

    Examples
    --------
    >>> [(first, held.tolist()) for first, held in histograms(np.array([0, 0, 1]), np.array([1, 1, 0]), 2)]
    [(0, [[0, 2], [1, 0]])]
    """
    width = int(step.max(initial=0)) + 1
    rows = max(CELLS // width, 1)
    edges = np.searchsorted(owner, np.arange(0, count + rows, rows))
    for first, (begin, end) in zip(range(0, count, rows), pairwise(edges.tolist()), strict=False):
        mine = slice(begin, end)
        many = min(rows, count - first)
        yield (
            first,
            np.bincount((owner[mine] - first) * width + step[mine], minlength=many * width).reshape(many, width),
        )
