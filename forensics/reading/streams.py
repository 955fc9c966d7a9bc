"""Evidence as a stream of bytes: hashed while it is read, decompressed within limits.

The compression is told by the file's first bytes, never by its name.
"""

from __future__ import annotations

import hashlib
import io
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from forensics.errors import ExpansionLimitError
from forensics.reading.compression import OPENERS, outer_compression

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from _typeshed import WriteableBuffer

__all__ = ["ExpandedStream", "Limits", "RawStream"]

BLOCK = 256 * 1024
"""How much of a file is read at a time, and the most that is expanded at a time. [B]"""

READ = 4 << 20
"""Most that is asked of the operating system at once. [B]"""

READ_IN_PLACE = 512 * 1024
"""The same where the bytes are hashed in place: the processor's cache then still has them. [B]"""

HASHED_LATER = 2
"""Reads that may wait for their hash; bounds the memory."""

RATIO_GRACE = 64 << 20
"""Expanded bytes below which the ratio is not looked at: a short run of zeros is no bomb. [B]"""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a compressed file may grow.

    Parameters
    ----------
    max_expanded
        Most bytes one file may expand to. [B]
    max_ratio
        Most expanded bytes per compressed byte. Real logs reach about 50, gzip cannot pass 1032; zeros reach
        far more in the other formats.
    """

    max_expanded: int = 2 << 40
    max_ratio: float = 1000.0


class RawStream(io.RawIOBase):
    """A file as it lies on disk: every byte read is counted and hashed.

    Parameters
    ----------
    file
        The opened file.
    progress
        Called with the number of bytes of each read.

    Attributes
    ----------
    count
        Bytes read so far.
    failure
        What the operating system said where it could not read on.
    in_place
        Whether bytes are hashed where they are wanted, before they are handed out. That spares a copy, and suits a
        reader with a thread of its own; otherwise the hash has one.
    """

    def __init__(self, file: BinaryIO, progress: Callable[[int], object] = lambda _: None) -> None:
        self._file = file
        self.in_place = False
        self.failure: OSError | None = None
        self._hash = _Digest()
        self._progress = progress
        self.count = 0

    def readable(self) -> bool:
        """Tell that the stream can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer, hash what came, and return how many bytes it was."""
        view = memoryview(buffer).cast("B")
        size = min(len(view), READ_IN_PLACE if self.in_place else READ)
        room = view[:size] if self.in_place else self._hash.room(size)
        try:
            count = self._fill(room)
        except OSError as error:
            self.failure = error
            raise
        if self.in_place:
            self._hash.update_at_once(room[:count])
        else:
            view[:count] = room[:count]
            self._hash.update(room[:count])
        self.count += count
        self._progress(count)
        return count

    def _fill(self, room: memoryview) -> int:
        """Put the next bytes of the file where they are wanted, and return how many."""
        if readinto := getattr(self._file, "readinto", None):
            return int(readinto(room) or 0)
        data = self._file.read(len(room))
        room[: len(data)] = data
        return len(data)

    def finish(self) -> str:
        """Read what is left and return the SHA-256 of the whole file, hexadecimal.

        Raises
        ------
        OSError
            The file cannot be read to its end: it has no hash.
        """
        if self.failure is not None:
            raise self.failure
        while self.read(BLOCK):
            pass
        return self._hash.hexdigest()


class _Digest:
    """SHA-256 of a file, made by a thread of its own where there is much to hash."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._worker: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()
        self._rooms: deque[bytearray] = deque(maxlen=HASHED_LATER + 1)

    def room(self, size: int) -> memoryview:
        """Return room for the next bytes to hash; it is used over and over, since new memory takes as long as reading.

        It holds what was read until two others were asked for.
        """
        if len(self._rooms) == HASHED_LATER + 1 and len(self._rooms[0]) >= size:
            self._rooms.rotate(-1)
        else:
            self._rooms.append(bytearray(size))
        return memoryview(self._rooms[-1])[:size]

    def update(self, data: memoryview) -> None:
        """Take the next bytes; those of a small file at once, those of a large one soon."""
        if self._worker is None:
            if len(data) < BLOCK:
                self._hash.update(data)
                return
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="sha256")
        if len(self._waiting) == HASHED_LATER:
            self._waiting.popleft().result()
        self._waiting.append(self._worker.submit(self._hash.update, data))

    def update_at_once(self, data: memoryview) -> None:
        """Take the next bytes; they may change afterwards."""
        self._wait()
        self._hash.update(data)

    def _wait(self) -> None:
        """Wait until all bytes taken are hashed."""
        while self._waiting:
            self._waiting.popleft().result()

    def hexdigest(self) -> str:
        """Return the hash of all bytes taken, hexadecimal."""
        self._wait()
        return self._hash.hexdigest()


class ExpandedStream(io.RawIOBase):
    """The expanded bytes of a file, within limits.

    Damage and limits end the stream; `problem` then says what happened. What was expanded before stands, but for what
    the damaged piece itself would have given.

    Parameters
    ----------
    source
        Name of the file, for messages.
    raw
        The file as it lies on disk, not yet read.
    limits
        How far it may grow.

    Attributes
    ----------
    compression
        ``gzip``, ``bzip2``, ``xz``, ``zstd``, ``lz4`` or None.
    count
        Expanded bytes so far.
    problem
        What ended the stream before its end.
    """

    def __init__(self, source: str, raw: RawStream, limits: Limits) -> None:
        self._source = source
        self._raw = raw
        self._limits = limits
        self._ahead = b""
        self.count = 0
        self.problem: Exception | None = None
        buffered: io.BufferedReader = io.BufferedReader(raw, BLOCK)
        try:
            head = buffered.peek(8)
        except OSError as error:
            head, self.problem = b"", error
        self.compression = outer_compression(head)
        self._inner, damage = OPENERS[self.compression](buffered)
        self._damage: tuple[type[Exception], ...] = (*damage, EOFError, OSError, ExpansionLimitError)

    def hash_in_place(self) -> None:
        """Have the file hashed by whoever reads it; see `RawStream`."""
        self._raw.in_place = True

    def head(self, size: int) -> bytes:
        """Return the first bytes, which stay to be read."""
        while len(self._ahead) < size and (data := self._next(size)):
            self._ahead += data
        return self._ahead[:size]

    def readable(self) -> bool:
        """Tell that the stream can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer with expanded bytes and return how many they are; 0 at the end or at a problem."""
        view = memoryview(buffer).cast("B")
        if self._ahead:
            data, self._ahead = self._ahead[: len(view)], self._ahead[len(view) :]
        elif self.compression is None:
            return self._fill(view)
        else:
            data = self._next(min(len(view), BLOCK))
        view[: len(data)] = data
        return len(data)

    def _fill(self, view: memoryview) -> int:
        """Read bytes that are not compressed straight to where they are wanted."""
        if self.problem is not None:
            return 0
        try:
            count = int(self._inner.readinto(view))  # type: ignore[attr-defined]  # BinaryIO lacks what its classes have
            self._check(self.count + count)
        except self._damage as error:
            self.problem = error
            return 0
        self.count += count
        return count

    def _next(self, size: int) -> bytes:
        if self.problem is not None:
            return b""
        try:
            data = self._inner.read(size)
            self._check(self.count + len(data))
        except self._damage as error:
            self.problem = error
            return b""
        self.count += len(data)
        return data

    def _check(self, count: int) -> None:
        limits = self._limits
        if count > limits.max_expanded:
            raise ExpansionLimitError(
                self._source,
                f"expands to more than max_expanded={limits.max_expanded:,} bytes; if you trust the file, add it again "
                f"with a higher limit: limits=Limits(max_expanded=...)",
                "max_expanded",
            )
        if count > RATIO_GRACE and count > limits.max_ratio * self._raw.count:
            raise ExpansionLimitError(
                self._source,
                f"expands {count / self._raw.count:,.0f} times, more than max_ratio={limits.max_ratio:g}; if you trust "
                f"the file, add it again with a higher limit: limits=Limits(max_ratio=...)",
                "max_ratio",
            )
