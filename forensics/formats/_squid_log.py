"""A log of Squid's kind on its way into rows, block by block, by one of the layouts that it may have.

Each block is read by the layout that most of its first lines have; a line of another one, since Squid was reconfigured,
by the first that fits it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forensics.formats._blocks import blocks, in_order
from forensics.formats._head import body_of
from forensics.formats._lines import complete_lines, text_of
from forensics.formats._sheet import Sheet, Vocabularies
from forensics.formats._squid_cut import cut_by, whole_lines
from forensics.formats._squid_rows import Reader
from forensics.formats._squid_sheet import columns_of, put_lines
from forensics.formats._syslog import without_heads
from forensics.formats._zones import Clock

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence
    from forensics.formats._blocks import Block
    from forensics.formats._cut import Cut
    from forensics.formats._squid_logformat import Layout, Problem
    from forensics.formats._squid_sheet import Columns
    from forensics.rows import Rows

__all__ = ["Log", "nearest"]

LINES_TRIED = 20
"""Lines that decide what layout a block has."""

_HEAD = 64 * 1024


class Piece(NamedTuple):
    """A block of a log, cut.

    Parameters
    ----------
    cut
        Where its fields are.
    leading
        The layout that most of its first lines have.
    columns
        The columns of that layout; None where each line is read by itself.
    headed
        Whether syslog put something before its lines.
    """

    cut: Cut
    leading: Layout
    columns: Columns | None
    headed: bool


class Log:
    """One log on its way into rows.

    Parameters
    ----------
    evidence
        The log.
    known
        The layouts that it may have, the likeliest first.
    passed
        Lines that are no records where no layout fits them; they are passed over and counted.
    """

    def __init__(self, evidence: Evidence, known: tuple[Layout, ...], passed: re.Pattern[str] | None = None) -> None:
        self._evidence, self._known, self._passed = evidence, known, passed
        self._clock, self._words = Clock(evidence), Vocabularies()
        self._met = set[str]()
        evidence.notes["records"] = 0

    def cut(self, block: Block) -> Piece:
        """Return where the fields of a block's lines are; several threads may at a time."""
        texts = [text_of(line) for line in complete_lines(block.data[: min(block.end, _HEAD)].tobytes(), LINES_TRIED)]
        bodies = [body_of(text) for text in texts]
        leading = self._leading(bodies)
        columns = columns_of(leading)
        if columns is None or (columns.needs_zone and self._evidence.hints.timezone is None):
            return Piece(whole_lines(block), leading, None, bodies != texts)
        if bodies == texts:
            return Piece(cut_by(block, columns.plan, columns.wanted), leading, columns, headed=False)
        bare, heads = without_heads(block)
        return Piece(heads.whole(cut_by(bare, columns.plan, columns.wanted)), leading, columns, headed=True)

    def read(self, piece: Piece) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the rows of a block; several threads may at a time."""
        known = (piece.leading, *(layout for layout in self._known if layout is not piece.leading))
        slow = _OneByOne(self._evidence, known, self._clock, self._met, self._passed, headed=piece.headed)
        sheet = Sheet(piece.cut, self._evidence, self._words.own, slow.read)
        if piece.columns is not None:
            put_lines(sheet, piece.columns, self._evidence, self._clock)
        if sheet.good.any():
            self._met.add(piece.leading.name)
        yield from sheet.batches()

    def _leading(self, texts: list[str]) -> Layout:
        """Return the layout that most of some lines have, of equals the likeliest."""
        if len(self._known) == 1:
            return self._known[0]
        return max(self._known, key=lambda layout: sum(layout.split(text) is not None for text in texts))

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the rows of all blocks, in their order; errors come in it too, and name the first line."""
        for batches in in_order(lambda block: list(self.read(self.cut(block))), blocks(self._evidence)):
            yield from batches

    def finish(self) -> None:
        """Complete the notes of the file."""
        if self._met:
            self._evidence.notes["logformat"] = ", ".join(sorted(self._met))


class _OneByOne:
    """The reader of single lines: what a line means, whatever it holds."""

    def __init__(
        self,
        evidence: Evidence,
        known: tuple[Layout, ...],
        clock: Clock,
        met: set[str],
        passed: re.Pattern[str] | None,
        *,
        headed: bool,
    ) -> None:
        self._evidence, self._known, self._clock = evidence, known, clock
        self._met, self._passed, self._headed = met, passed, headed
        self._readers: dict[str, Reader] = {}
        self._rows: Rows | None = None

    def read(self, number: int, line: bytes, rows: Rows) -> None:
        """Put one line into rows, by the first layout that fits it."""
        text = body_of(text_of(line)) if self._headed else text_of(line)
        for layout in self._known:
            if match := layout.split(text):
                reason = self._reader(layout, number, text, rows).add(number, match)
                break
        else:
            if self._passed and self._passed.match(text):
                self._evidence.note("records", -1)
                self._evidence.note("lines_passed_over", 1)
                return
            reason = str(nearest(self._known, text)[1])
        if reason:
            rows.reject(self._evidence.source, number, reason, line)

    def _reader(self, layout: Layout, number: int, text: str, rows: Rows) -> Reader:
        """Return the reader of a layout, made when the first line of it is met."""
        if rows is not self._rows:
            self._rows, self._readers = rows, {}
        if layout.name not in self._readers:
            self._readers[layout.name] = Reader(layout, self._evidence, rows, self._clock)
            self._readers[layout.name].check_zone(number, text)
            self._met.add(layout.name)
        return self._readers[layout.name]


def nearest(known: tuple[Layout, ...], text: str) -> tuple[Layout, Problem]:
    """Return the layout that fits best a line that none fits, and the field where it stops to fit."""
    problems = [(layout, layout.problem(text)) for layout in known]
    return max(problems, key=lambda found: found[1].fitting)  # the first of equals
