r"""Logs of one record a line, in blocks of whole lines: what is cut at once, in threads of its own.

Example::

    for cut in in_order(lambda block: delimited(block, dialect, 12), blocks(evidence)):
        ...
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from forensics.errors import EvidenceError
from forensics.formats._cut import lines_in
from forensics.formats._encodings import text_stream
from forensics.formats._lines import BOM, CHUNK, MAX_LINE
from forensics.packets._jit import COMPILED
from forensics.packets.ahead import made_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

    from forensics.formats import Evidence

__all__ = ["BLOCK", "PADDING", "Block", "block_of", "blocks", "in_order", "segments"]

BLOCK = 8 << 20
"""Bytes read for a block; one more line, begun before, may stand at its front. [B]"""

PADDING = 64
"""Bytes that can be read behind a block, so that loops may take eight bytes at a time. [B]"""

MOST_LINES = 1 << 18
"""Most lines of a block: a log of very short lines must not take more memory than others."""

MOST_DIRECTIVES = 1 << 12
"""Most directive lines handed out at once, for the same reason."""

MOST_WORKERS = 4

LF = b"\n"

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Block(NamedTuple):
    r"""Whole lines of a file.

    Parameters
    ----------
    data
        The bytes of the lines, then at least `PADDING` bytes that belong to none of them. The last line ends with
        ``\n`` too, whether or not it does in the file. A line longer than `MAX_LINE` may be cut to a length above it.
    end
        Where the lines end in ``data``.
    first_line
        Number of the first line; that of the file is 1.
    last
        Whether the file ends here.
    """

    data: npt.NDArray[np.uint8]
    end: int
    first_line: int
    last: bool


def block_of(data: bytes, first_line: int = 1, *, last: bool = True) -> Block:
    r"""Return a block that holds a copy of these lines; the last of them ends with ``\n``."""
    buffer = bytearray().join((data, bytes(PADDING)))
    return Block(np.frombuffer(buffer, np.uint8), len(data), first_line, last)


def blocks(evidence: Evidence) -> Iterator[Block]:
    r"""Yield a file's lines in blocks; a byte order mark is taken off.

    A last line without line end is in the last block and mentioned in ``evidence.notes["truncated"]``.

    Raises
    ------
    forensics.errors.EvidenceError
        Where the stream does, after the lines before the damage were yielded.
    """
    chunks, number, carry = _Chunks(evidence), 1, b""
    while not chunks.over:
        chunk = chunks.take()
        if number == 1 and not carry:
            chunk = chunk.removeprefix(BOM)
        if len(carry) > MAX_LINE:  # what else the line has is not kept, but for its end
            found = chunk.find(b"\n")
            chunk = b"" if found < 0 else chunk[found:]
        buffer = bytearray().join((carry, chunk, bytes(PADDING + 1)))
        size = len(buffer) - PADDING - 1
        end = buffer.rfind(b"\n", 0, size) + 1
        # Two bytes above the limit: one that shows the excess, one for a "\r" that is no part of the line.
        carry = bytes(buffer[end : min(size, end + MAX_LINE + 2)])
        if carry and chunks.over:
            evidence.notes["truncated"] = f"line {number + _count(buffer, 0, end)}, the last, has no line end"
            end += len(carry) + 1
            buffer[end - 1 : end] = LF
        buffer[end : end + PADDING] = bytes(PADDING)
        for begin, stop, lines in _pieces(buffer, 0, end):
            data = np.frombuffer(buffer, np.uint8, stop - begin + PADDING, begin)
            yield Block(data, stop - begin, number, last=chunks.over and stop == end)
            number += lines
    if chunks.damage is not None:
        raise chunks.damage


class _Chunks:
    """The bytes of a stream, a block's worth at a time."""

    def __init__(self, evidence: Evidence) -> None:
        self._stream = text_stream(evidence)
        self._ahead = b""  # one byte, by which it is known whether more follows
        self.damage: EvidenceError | None = None
        self.over = False

    def take(self) -> bytes:
        """Return the next bytes; where they are the last, or damage follows them, it is `over`."""
        parts, size = [self._ahead], len(self._ahead)
        while size < BLOCK and (part := self._read(min(CHUNK, BLOCK - size))):
            parts.append(part)
            size += len(part)
        self._ahead = b"" if self.over else self._read(1)
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        """Return bytes of the stream; none at its end and from a damage on."""
        try:
            part = self._stream.read(size)
        except EvidenceError as error:
            part, self.damage = b"", error
        self.over = not part
        return part


def _count(data: bytes | bytearray, begin: int, end: int) -> int:
    """Return how many line ends there are; three times as fast as the bytes' own method."""
    return lines_in(np.frombuffer(data, np.uint8, end - begin, begin)) if end > begin else 0


def _pieces(buffer: bytearray, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end and number of the lines in these bytes, in pieces of `MOST_LINES` lines or fewer."""
    if begin == end:
        return
    lines = _count(buffer, begin, end)
    if lines <= MOST_LINES:
        yield begin, end, lines
        return
    # The line end at or behind the middle; there is one in front of the last, since lines are that many.
    middle = buffer.find(LF, (begin + end) // 2, end - 1) + 1
    if not middle:
        middle = buffer.rfind(LF, begin, (begin + end) // 2) + 1
    yield from _pieces(buffer, begin, middle)
    yield from _pieces(buffer, middle, end)


def segments(block: Block, marks: bytes = b"#") -> Iterator[tuple[list[tuple[int, bytes]], Block]]:
    """Yield a block's directive lines with the data lines under them, which are a block of their own.

    Parameters
    ----------
    block
        Whole lines.
    marks
        The byte that a directive line begins with.

    Yields
    ------
    tuple
        The directive lines that follow each other, with their numbers and without line ends, and the lines up to the
        next directive; either may be none.
    """
    data = block.data[: block.end].tobytes()
    at, number, found = 0, block.first_line, list[tuple[int, bytes]]()
    while at < block.end:
        while data.startswith(marks, at) and len(found) < MOST_DIRECTIVES:
            stop = data.index(LF, at)
            found.append((number, data[at : min(stop, at + MAX_LINE + 1)].removesuffix(b"\r")))
            at, number = stop + 1, number + 1
        stop = at if data.startswith(marks, at) else _next_directive(data, marks, at)
        yield found, Block(block.data[at:], stop - at, number, last=block.last and stop == block.end)
        if stop < block.end:
            number += _count(data, at, stop)
        at, found = stop, []


def _next_directive(data: bytes, marks: bytes, at: int) -> int:
    """Return where the next line begins that begins with a mark, or the end of the data.

    The mark is looked for alone: it is rare where the line ends are not. Where it is not rare, both are.
    """
    place = at
    for _ in range(MOST_DIRECTIVES):
        place = data.find(marks, place + 1)
        if place < 0:
            return len(data)
        if data.startswith(LF, place - 1):
            return place
    return data.find(LF + marks, place) + 1 or len(data)


def in_order(
    work: Callable[[_Item], _Result], items: Iterable[_Item], workers: int | None = None
) -> Generator[_Result]:
    """Yield what a function makes of each item, in the items' order, made by several threads.

    Parameters
    ----------
    work
        The function; it should spend its time in compiled loops, Arrow or NumPy.
    items
        An iterator that may itself take time: it runs in a thread of its own. Close what is returned to stop it.
    workers
        Threads; by default one for each processor, at most four, and none besides the caller's where loops are not
        compiled. At most ``2 * workers + 2`` items and results exist at a time.

    Raises
    ------
    BaseException
        Whatever the function or the iterator raises, in its place among the results.
    """
    if workers is None:
        workers = min(MOST_WORKERS, os.cpu_count() or 1) if COMPILED else 1
    if workers == 1:  # a second thread would only wait for the first
        yield from map(work, items)
        return
    waiting: deque[Future[_Result]] = deque()
    failure: BaseException | None = None
    with ThreadPoolExecutor(workers, "in-order") as pool, closing(made_ahead(iter(items), 1)) as ready:
        try:
            while failure is None:
                try:
                    waiting.append(pool.submit(work, next(ready)))
                except BaseException as error:  # noqa: BLE001 - results of the items before it come first
                    failure = error
                while waiting and (failure is not None or len(waiting) == 2 * workers):
                    yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
    if not isinstance(failure, StopIteration):
        raise failure
