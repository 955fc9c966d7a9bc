"""Memory that is used over and over: to be given new memory takes as long as to fill it.

The system clears all memory that it hands out. What one block of a log needed the next one needs again.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from forensics.formats._cut import U8

__all__ = ["Rooms", "own_room"]

FEW = 1 << 20
"""So little memory is new each time. [B]"""


class Rooms:
    """Memory of one size, which grows. Used by one thread at a time; others may use what they are given of it."""

    def __init__(self) -> None:
        self._rooms: list[U8] = []
        self._size = 0

    def free(self, size: int) -> U8:
        """Return so much memory or more that nothing refers to any more, or new one."""
        if size > self._size:  # what is smaller goes as soon as nobody uses it
            self._rooms, self._size = [], size + size // 16
        for place in range(len(self._rooms)):
            if _references(self._rooms, place) == _UNUSED:
                return self._rooms[place]
        self._rooms.append(np.empty(self._size, np.uint8))
        return self._rooms[-1]


def _references(rooms: list[U8], place: int) -> int:
    """Return how many refer to some memory: whatever is a part of it does."""
    return sys.getrefcount(rooms[place])


_UNUSED = _references([np.empty(0, np.uint8)], 0)
"""References that memory has which nobody uses."""


class _Own(threading.local):
    """What a thread uses over and over, by what it is used for."""

    def __init__(self) -> None:
        self.rooms: dict[str, Rooms] = {}


_OWN = _Own()


def own_room(purpose: str, size: int) -> U8:
    """Return so much memory or more; a thread uses it over and over for one purpose."""
    if size < FEW:
        return np.empty(size, np.uint8)
    return _OWN.rooms.setdefault(purpose, Rooms()).free(size)
