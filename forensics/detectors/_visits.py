"""Visits: contacts of one terminal with one server, those close together taken as one; and the intervals between them.

All pairs stand one after the other in long arrays, so that nothing here loops over pairs. A *stream* is a sequence of
contacts to be tested: all contacts of a pair, or those of them that sent about the same number of bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forensics.detectors._beat_loops import SIZES, count_alike, join_contacts

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Room = tuple[Ints, Floats, Floats, Floats]

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

    def room(self) -> Room:
        """Return room for as many intervals as there can be. To have new memory takes as long as to fill it."""
        many = len(self.time)
        return np.empty(many, np.int64), np.empty(many), np.empty(many), np.empty(many)

    def of(self, wanted: Bools) -> Streams:
        """Return the contacts of some streams, which keep their numbers; ``wanted`` has an entry per stream."""
        kept = np.flatnonzero(wanted[self.owner])  # numbers of places take rows faster than a mask does
        return Streams(self.owner[kept], self.time[kept], self.until[kept], self.grain)


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

    @property
    def columns(self) -> Room:
        """All of these, for the loops that go over them."""
        return self.owner, self.length, self.busy, self.held


def intervals_between(streams: Streams, apart: float, room: Room | None = None) -> Intervals:
    """Return the intervals between visits: contacts that follow each other within ``apart`` [s] are one visit.

    Where they are to be written, as `Streams.room` gives it, may be told: earlier ones that lie there are lost.

    Examples
    --------
    >>> time = np.array([0, 1_000_000, 60_000_000, 120_000_000])
    >>> one = Streams(np.zeros(4, np.int64), time, time, np.zeros(1))
    >>> intervals_between(one, 2.0).length.tolist(), intervals_between(one, 2.0).busy.tolist()
    ([60.0, 60.0], [1.0, 0.0])
    """
    owner, length, busy, held = room or streams.room()
    made = join_contacts(streams.owner, streams.time, streams.until, apart * 1e6, owner, length, busy, held)
    return Intervals(owner[:made], length[:made], busy[:made], held[:made])


def alike_sizes(owner: Ints, size: Floats, count: int) -> tuple[Bools, Ints, Floats]:
    """Return which contacts sent about as many bytes as most of their pair did, their number and share in each.

    Parameters
    ----------
    owner
        Number of each contact's pair, ascending.
    size
        Bytes sent, NaN where not observed. [B]
    count
        Number of pairs.
    """
    room = np.empty(len(owner), np.int64), np.zeros(SIZES + 2, np.int64)
    alike = np.empty(len(owner), np.bool_)
    held, every = np.zeros((2, count), np.int64)
    size = np.require(size, requirements="W")  # for what cannot be written to a loop would be compiled anew
    count_alike(owner, size, SIZE_STEP, *room, alike, held, every)
    return alike, held, held / np.maximum(every, 1)
