"""The first bytes of one direction of a TCP connection, put in order."""

from __future__ import annotations

__all__ = ["Stream"]

_MAX_PIECES = 32


class Stream:
    """Bytes from one sequence number on, up to a limit; pieces may come in any order and more than once.

    Where two pieces differ about the same byte, the first one counts.

    Parameters
    ----------
    seq
        Sequence number, or offset, of the first byte.
    limit
        How much is kept. [B]
    """

    __slots__ = ("_ahead", "_limit", "_seq", "data")

    def __init__(self, seq: int, limit: int) -> None:
        self.data = b""
        self._seq = seq
        self._limit = limit
        self._ahead: dict[int, bytes] = {}

    def add(self, seq: int, data: bytes) -> None:
        """Take in a piece."""
        offset = (seq - self._seq + (1 << 31) & 0xFFFF_FFFF) - (1 << 31)
        if offset > len(self.data):
            room = offset < self._limit and len(self._ahead) < _MAX_PIECES
            if room and len(data) > len(self._ahead.get(offset, b"")):
                self._ahead[offset] = data
            return
        self._join(offset, data)
        for place in sorted(self._ahead):
            if place > len(self.data):
                break
            self._join(place, self._ahead.pop(place))

    def _join(self, offset: int, data: bytes) -> None:
        """Put a piece that touches what is there behind it."""
        have = len(self.data) - offset
        if have < len(data):
            self.data += data[have : have + self._limit - len(self.data)]

    def drop(self, size: int) -> None:
        """Forget the first bytes, which were read."""
        self.data = self.data[size:]
        self._seq = self._seq + size & 0xFFFF_FFFF
        self._ahead = {offset - size: data for offset, data in self._ahead.items()}
