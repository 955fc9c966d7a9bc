"""Visits: contacts of one terminal with one server, those close together taken as one; and the intervals between them.

All pairs stand one after the other in long arrays, so that nothing here loops over pairs. A *stream* is a sequence of
contacts to be tested: all contacts of a pair, or those of them that sent about the same number of bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SIZE_STEP = 0.1
"""Two sizes are alike when they fall in the same two adjacent steps of this width. [ln B]"""

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
        kept = wanted[self.owner]
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
    within = owner[1:] == owner[:-1]
    busy = (streams.time[last] - start)[:-1][within] / 1e6
    held = (np.maximum.reduceat(streams.until, begin) - start)[:-1][within] / 1e6
    return Intervals(owner[:-1][within], np.diff(start)[within] / 1e6, busy, held)


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
    known = np.isfinite(size)
    step = np.floor(np.log1p(np.where(known, size, 0)) / SIZE_STEP).astype(np.int64)
    width = 1000  # more steps than 63 bits have
    cells, held = np.unique((owner * width + step)[known], return_counts=True)
    place = np.searchsorted(cells, cells + 1)
    follows = place < len(cells)
    both = held.copy()
    both[follows] += np.where(cells[place[follows]] == cells[follows] + 1, held[place[follows]], 0)
    # the fullest cell of each pair; of equal ones, the one of smaller sizes
    order = np.lexsort((-cells, both, cells // width))
    full = np.full(count, -width)
    full[(cells // width)[order]] = (cells % width)[order]
    alike = known & ((step == full[owner]) | (step == full[owner] + 1))
    return alike, np.bincount(owner, alike, count) / np.maximum(np.bincount(owner, minlength=count), 1)
