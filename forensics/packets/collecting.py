"""Picked packets on their way out of the loop: kept until they are enough to be read together.

A window of a capture has too few messages to be worth whole columns; and each hand-over from one thread to the other
has its price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.packets import layout
from forensics.packets.harvest import Picks
from forensics.packets.texts import gathered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.packets.layout import Bytes, Longs

__all__ = ["Collector"]

ENOUGH_BYTES = 2 << 20
"""Picked bytes that are handed out before an epoch ends; bounds the memory. [B]"""

ENOUGH_PICKS = 1 << 16
"""Picks that are."""


class Collector:
    """Keeps picks, and copies of their bytes."""

    def __init__(self) -> None:
        self._columns: list[Longs] = []
        self._data: list[Bytes] = []
        self._size = self._count = 0

    def put(self, rows: Longs, data: Bytes) -> None:
        """Keep picks whose bytes lie in a window that will move on.

        Parameters
        ----------
        rows
            Columns ``layout.P_*``.
        data
            The window.
        """
        if not len(rows):
            return
        columns = rows.copy()
        packed, offsets = gathered(data, columns[:, layout.P_DATA], columns[:, layout.P_DATA_END])
        columns[:, layout.P_DATA] = offsets[:-1] + self._size
        columns[:, layout.P_DATA_END] = offsets[1:] + self._size
        self._columns.append(columns)
        self._data.append(packed)
        self._size += len(packed)
        self._count += len(columns)

    @property
    def full(self) -> bool:
        """Whether it is time to `take`."""
        return self._size >= ENOUGH_BYTES or self._count >= ENOUGH_PICKS

    def take(self, addresses: Longs) -> Iterator[Picks]:
        """Yield what was kept, if anything, and start anew.

        Parameters
        ----------
        addresses
            The engine's IPv6 addresses.
        """
        columns, self._columns = self._columns, []
        data, self._data = self._data, []
        self._size = self._count = 0
        if columns:
            yield Picks(np.concatenate(columns), np.concatenate(data), addresses)
