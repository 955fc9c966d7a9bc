r"""Heads that syslog puts before the lines of a log, taken off; whatever format the lines are of.

Example lines, of which the body is ``IN=eth0``::

    <4>May 21 10:00:00 gate kernel: IN=eth0
    2015-05-21T10:00:00.123456+09:00 gate kernel: IN=eth0
    <4>1 2015-05-21T10:00:00Z gate kernel - - - IN=eth0

A line without a head is lawful. A time alone is no head: ISO 8601 counts where the name of a program follows, or the
priority stands before it, since logs of their own begin with times too.

References
----------
.. [1] RFC 3164, *The BSD syslog Protocol*, section 4.1; RFC 5424, *The Syslog Protocol*, section 6.
.. [2] rsyslog, templates ``RSYSLOG_FileFormat`` and ``RSYSLOG_TraditionalFileFormat``.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from forensics.errors import EvidenceError
from forensics.formats._blocks import PADDING, Block, blocks
from forensics.formats._cut import lines_in
from forensics.formats._stamps import ISO, NO_OFFSET, NO_YEAR, Civil, compile_stamp, read_column
from forensics.formats._syslog_loop import (
    S_BODY,
    S_HOST,
    S_HOST_END,
    S_KIND,
    S_LINE,
    S_LINE_END,
    S_STAMP,
    S_STAMP_END,
    S_TAG,
    S_TAG_END,
    SPANS,
    find_heads,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats import Evidence
    from forensics.formats._cut import Cut
    from forensics.formats._zones import Clock

__all__ = ["Heads", "heads", "surveyed", "without_heads"]

_I32 = npt.NDArray[np.int32]

_LAYOUTS = (compile_stamp("%b %e %H:%M:%S.%f"), compile_stamp("%b %e %Y %H:%M:%S.%f"), ISO)
"""Layouts of the stamps, by kind; the kind 0 is none."""

SPOOLED = 32 << 20
"""A log up to this size is looked at twice in memory, a larger one through a temporary file. [B]"""


class Heads(NamedTuple):
    """What stands before the lines of a block, by line; blank ones count.

    Parameters
    ----------
    block
        The lines as they stand in the file.
    spans
        Places in it, as `find_heads` tells them (spans, lines).
    civil
        Times of the heads; not known where there is none. See `forensics.formats._stamps.Civil` for those without year.
    """

    block: Block
    spans: _I32
    civil: Civil

    @property
    def body(self) -> _I32:
        """Where what the program wrote begins, for each line."""
        begins: _I32 = self.spans[S_BODY]
        return begins

    @property
    def yearless(self) -> npt.NDArray[np.bool_]:
        """Whether the time of a line has no year."""
        return self.civil.known & (self.civil.local < NO_YEAR)

    @property
    def host(self) -> tuple[_I32, _I32]:
        """Where the name of the machine begins and ends; equal where there is none."""
        return self.spans[S_HOST], self.spans[S_HOST_END]

    @property
    def tag(self) -> tuple[_I32, _I32]:
        """Where the name of the program begins and ends, its ``[21]:`` included; equal where there is none."""
        return self.spans[S_TAG], self.spans[S_TAG_END]

    def rows(self, cut: Cut) -> npt.NDArray[np.int64]:
        """Return the line of each record of a cut, counted from 0: the row in which its head is told."""
        return cut.number - self.block.first_line

    def whole(self, cut: Cut) -> Cut:
        """Return a cut of the lines without heads whose records are the lines with them, as rejects show them."""
        if cut.data is self.block.data:
            return cut
        first, last = self.rows(cut), np.searchsorted(self._begins, cut.line[:, 1], side="right") - 1
        shift = len(cut.data) - len(self.block.data)
        line = np.stack((self.spans[S_LINE, first], self.spans[S_LINE_END, last]), axis=1) + np.int32(shift)
        return replace(cut, line=np.ascontiguousarray(line, np.int32))

    @property
    def _begins(self) -> npt.NDArray[np.int64]:
        """Where each line begins once the heads are off."""
        dropped = np.cumsum(self.spans[S_BODY] - self.spans[S_LINE], dtype=np.int64)
        begins: npt.NDArray[np.int64] = self.spans[S_BODY] - dropped
        return begins


def heads(block: Block) -> Heads:
    """Return what syslog put before the lines of a block.

    Parameters
    ----------
    block
        Whole lines; records of several lines do not come through syslog.
    """
    return _heads(block, np.zeros(0, np.uint8))


def _heads(block: Block, bodies: npt.NDArray[np.uint8]) -> Heads:
    """Return the heads of a block, and put its lines without them where there is room."""
    spans = np.zeros((SPANS, lines_in(block.data[: block.end])), np.int32)
    find_heads(block.data, spans, bodies)
    count = spans.shape[1]
    local, offset = np.zeros(count, np.int64), np.full(count, NO_OFFSET, np.int32)
    known = np.zeros(count, np.bool_)
    for kind, layout in enumerate(_LAYOUTS, 1):
        rows = np.flatnonzero(spans[S_KIND] == kind)
        if len(rows):
            found = read_column(block.data, spans[S_STAMP, rows], spans[S_STAMP_END, rows], layout)
            local[rows], offset[rows], known[rows] = found
    return Heads(block, spans, Civil(local, offset, known))


def without_heads(block: Block) -> tuple[Block, Heads]:
    """Return a block's lines without heads, under the same numbers, and the heads.

    The lines as they were lie behind those that are cut, so that `Heads.whole` can point to them.
    """
    both = np.empty(2 * len(block.data), np.uint8)
    found = _heads(block, both[: block.end])
    size = block.end - int((found.body - found.spans[S_LINE]).sum())
    if size == block.end:
        return block, found
    both[size : size + PADDING] = 0
    data = both[: size + PADDING + len(block.data)]
    data[size + PADDING :] = block.data
    return Block(data, size, block.first_line, block.last), found


@contextmanager
def surveyed(evidence: Evidence, clock: Clock) -> Iterator[Evidence]:
    """Look at the heads of a whole log, where the first has no year, and give the log back from its start.

    The year of a line follows from the lines behind it; see `forensics.formats._zones.Clock.years`.

    Parameters
    ----------
    evidence
        The log, of which nothing was read before.
    clock
        Its clock, which surveys the times.
    """
    with tempfile.SpooledTemporaryFile(SPOOLED) as copy:
        copied = cast("BinaryIO", _Copied(evidence.stream, copy))
        damage = _survey(replace(evidence, stream=copied, notes={}, originals=[]), clock)
        copy.seek(0)
        yield replace(evidence, stream=cast("BinaryIO", _Again(copy, evidence.stream, damage)))


def _survey(evidence: Evidence, clock: Clock) -> EvidenceError | None:
    """Let a clock survey a log; return the damage at which the log ends, if it does."""
    found = blocks(evidence)
    while True:
        try:
            block = next(found, None)
        except EvidenceError as error:
            return error
        if block is None:
            return None
        told = heads(block)
        if block.first_line == 1 and not bool(told.yearless.any()):
            return None
        clock.survey(told.civil, block.first_line + np.arange(told.spans.shape[1]))


class _Copied:
    """A stream that keeps a copy of what is read."""

    def __init__(self, stream: BinaryIO, copy: IO[bytes]) -> None:
        self._stream, self._copy = stream, copy

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        part = self._stream.read(size)
        self._copy.write(part)
        return part


class _Again:
    """A copy of what was read, then the rest of the stream, or the damage at its end."""

    def __init__(self, copy: IO[bytes], rest: BinaryIO, damage: EvidenceError | None) -> None:
        self._copy, self._rest, self._damage = copy, rest, damage

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        part = self._copy.read(size)
        if len(part) == size:
            return part
        if self._damage is None:
            try:
                return part + self._rest.read(size if size < 0 else size - len(part))
            except EvidenceError as error:  # what came before it is read first
                self._damage = error
        if part:
            return part
        raise self._damage
