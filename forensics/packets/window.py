"""The part of a capture that is in memory: one buffer, as bytes and as words, that moves along the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from forensics.errors import EvidenceError

if TYPE_CHECKING:
    from io import BufferedIOBase

    from forensics.packets.layout import Bytes, Longs

__all__ = ["Window"]

WORD = 8
"""[B]"""


class Window:
    """A buffer that begins at a word's address, refilled from a stream.

    Parameters
    ----------
    stream
        Where the bytes come from.
    block
        How much is read at once. [B]

    Attributes
    ----------
    data, words
        What is in the buffer as bytes, and the buffer as words of eight bytes; the last word may be part old bytes.
    offset
        Place of the buffer's first byte in the stream. [B]
    error
        What ended the stream before its end.
    """

    def __init__(self, stream: BinaryIO, block: int) -> None:
        self.offset = 0
        self.error: EvidenceError | None = None
        self._stream = cast("BufferedIOBase", stream)  # BinaryIO lacks readinto, its classes have it
        self._block = block
        self._ended = False
        self._store: Bytes = np.zeros(0, dtype=np.uint8)
        self._show(0)

    def _show(self, size: int) -> None:
        self.data: Bytes = self._store[:size]
        self.words: Longs = self._store.view(np.int64)

    def more(self, at: int) -> bool:
        """Put the next block behind what lies from ``at`` on, which becomes the buffer's beginning.

        Returns
        -------
        bool
            Whether there was a block; without one nothing moves.
        """
        if self._ended:
            return False
        left = len(self.data) - at
        fresh = self._room(left + self._block)
        fresh[:left] = self.data[at:]
        self._store, self.offset = fresh, self.offset + at
        count = 0
        try:
            count = self._stream.readinto(fresh.data[left : left + self._block])
        except EvidenceError as error:  # the compressed data is damaged; what was read before stands
            self.error = error
        self._show(left + count)
        self._ended = count == 0
        return count > 0

    def go_to(self, offset: int) -> int:
        """Move on until the byte at ``offset`` of the stream is in the buffer, by a seek where the stream can.

        Returns
        -------
        int
            Its place in the buffer, or the buffer's end where the stream ends before it.
        """
        if self._stream.seekable() and offset > self.offset + len(self.data):
            self._stream.seek(offset)
            self.offset = offset
            self._show(0)
        while self.offset + len(self.data) < offset and self.more(len(self.data)):
            pass
        return max(0, min(offset - self.offset, len(self.data)))

    def _room(self, size: int) -> Bytes:
        """Return a store of at least that size: the present one where it suffices."""
        if len(self._store) >= size:
            return self._store
        words = np.empty(size // WORD + 2, dtype=np.int64)  # one more, since words are read beyond the last whole one
        return words.view(np.uint8)

    def end(self) -> None:
        """Read no more."""
        self._ended = True
