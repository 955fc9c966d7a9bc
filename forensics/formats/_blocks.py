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
from forensics.formats._cut import LF, lines_in
from forensics.formats._encodings import read_into, text_stream
from forensics.formats._lines import BOM, MAX_LINE
from forensics.formats._rooms import Rooms
from forensics.packets._jit import COMPILED
from forensics.packets.ahead import made_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

    from forensics.formats import Evidence
    from forensics.formats._cut import U8

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

NEAR = 1 << 16
"""How much is looked through at once for a line end. [B]"""

_FEED = b"\n"

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
    lines
        How many lines there are, where somebody has counted them.
    """

    data: npt.NDArray[np.uint8]
    end: int
    first_line: int
    last: bool
    lines: int | None = None


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
    source, rooms, number, carry = _Source(evidence), Rooms(), 1, np.empty(0, np.uint8)
    while not source.over:
        data = rooms.free(len(carry) + BLOCK + PADDING + 1)
        data[: len(carry)] = carry
        size = len(carry) + source.fill(data[len(carry) : len(carry) + BLOCK].data)
        begin = len(BOM) if number == 1 and not len(carry) and data[: len(BOM)].tobytes() == BOM else 0
        if len(carry) > MAX_LINE:  # what else the line has is not kept, but for its end
            size = _without(data, len(carry), size)
        end = max(_last_end(data, begin, size) + 1, begin)
        # Two bytes above the limit: one that shows the excess, one for a "\r" that is no part of the line.
        carry = data[end : min(size, end + MAX_LINE + 2)].copy()
        if len(carry) and source.over:
            evidence.notes["truncated"] = f"line {number + _count(data, begin, end)}, the last, has no line end"
            end += len(carry) + 1
            data[end - 1] = LF
        data[end : end + PADDING] = 0
        for left, stop, lines in _pieces(data, begin, end):
            yield Block(data[left : stop + PADDING], stop - left, number, source.over and stop == end, lines)
            number += lines
    if source.damage is not None:
        raise source.damage


class _Source:
    """The bytes of a stream, a block's worth at a time."""

    def __init__(self, evidence: Evidence) -> None:
        self._stream = text_stream(evidence)
        self._ahead = b""  # one byte, by which it is known whether more follows
        self.damage: EvidenceError | None = None
        self.over = False

    def fill(self, room: memoryview) -> int:
        """Put the next bytes where they are wanted, return how many; if they are the last, or damaged, it is `over`."""
        size = len(self._ahead)
        room[:size] = self._ahead
        while size < len(room) and (count := self._read(room[size:])):
            size += count
        ahead = bytearray(1)
        self._ahead = b"" if self.over else bytes(ahead[: self._read(memoryview(ahead))])
        return size

    def _read(self, room: memoryview) -> int:
        """Read bytes of the stream; none at its end and from a damage on."""
        try:
            count = read_into(self._stream, room)
        except EvidenceError as error:
            count, self.damage = 0, error
        self.over = not count
        return count


def _count(data: U8, begin: int, end: int) -> int:
    """Return how many line ends there are."""
    return lines_in(data[begin:end]) if end > begin else 0


def _next_end(data: U8, begin: int, end: int) -> int:
    """Return the first line end, -1 where there is none; it is mostly near."""
    for left in range(begin, end, NEAR):
        found = np.flatnonzero(data[left : min(left + NEAR, end)] == LF)
        if len(found):
            return left + int(found[0])
    return -1


def _last_end(data: U8, begin: int, end: int) -> int:
    """Return the last line end, -1 where there is none; it is mostly near."""
    for right in range(end, begin, -NEAR):
        left = max(right - NEAR, begin)
        found = np.flatnonzero(data[left:right] == LF)
        if len(found):
            return left + int(found[-1])
    return -1


def _without(data: U8, begin: int, end: int) -> int:
    """Take out the bytes from a place to the next line end; return where the others end."""
    found = _next_end(data, begin, end)
    left = 0 if found < 0 else end - found
    data[begin : begin + left] = data[end - left : end].copy()
    return begin + left


def _pieces(data: U8, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end and number of the lines in these bytes, in pieces of `MOST_LINES` lines or fewer."""
    if begin == end:
        return
    lines = _count(data, begin, end)
    if lines <= MOST_LINES:
        yield begin, end, lines
        return
    # The line end at or behind the middle; there is one in front of the last, since lines are that many.
    middle = _next_end(data, (begin + end) // 2, end - 1) + 1
    if not middle:
        middle = _last_end(data, begin, (begin + end) // 2) + 1
    yield from _pieces(data, begin, middle)
    yield from _pieces(data, middle, end)


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
            stop = data.index(_FEED, at)
            found.append((number, data[at : min(stop, at + MAX_LINE + 1)].removesuffix(b"\r")))
            at, number = stop + 1, number + 1
        stop = at if data.startswith(marks, at) else _next_directive(data, marks, at)
        yield found, Block(block.data[at:], stop - at, number, last=block.last and stop == block.end)
        if stop < block.end:
            number += _count(block.data, at, stop)
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
        if data.startswith(_FEED, place - 1):
            return place
    return data.find(_FEED + marks, place) + 1 or len(data)


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
