"""Logs of the W3C extended format, cut into fields: each run of lines under one header at once.

Example::

    made = in_order(lambda run: list(rows_of(cut_of(run), run)), runs(evidence, "iis"))

A header that only repeats what holds already does not end a run: logs exist in which one stands before every other
line. Headers are followed in one thread, runs are cut in several.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats._blocks import Block, blocks
from forensics.formats._cut import AFTER_QUOTE, MANY, OPEN, Cut
from forensics.formats._delimited import Dialect, delimited
from forensics.formats._elff import MOST_FIELDS, Header, header_of, read_directives
from forensics.formats._stamps import compile_stamp, read_column
from forensics.formats._syslog import without_heads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats import Evidence
    from forensics.formats._columns import Bools
    from forensics.formats._cut import I64
    from forensics.formats._syslog import Heads

__all__ = ["DAY", "Run", "cut_of", "runs"]

DAY = 86_400_000_000
"""[us]"""

MOST_HEADERS = 64
"""Headers whose delimiter is remembered."""

LONGEST = 1 << 16
"""How much of a directive is looked at. [B]"""

FEW_HEADERS = 8
"""With more headers than that in a block, those that change nothing stay among the lines, and are left out later."""

_OF_DAY = compile_stamp("%H:%M:%S.%f")
_HASH, _LF, _T, _PRIORITY = ord("#"), 10, ord("T"), ord("<")


class Run(NamedTuple):
    """Lines under one header.

    Parameters
    ----------
    header
        What holds for them.
    block
        The lines; such as begin with ``#`` are no records.
    delimiter
        What parts their fields: spaces, or a tab.
    heads
        What syslog had put before the lines of the block that they are from, None where nothing.
    at
        Where in that block they begin.
    days
        Of lines without date: the day of each, counted as if it were UTC. [us]
    """

    header: Header
    block: Block
    delimiter: bytes
    heads: Heads | None = None
    at: int = 0
    days: I64 | None = None


def runs(evidence: Evidence, name: str) -> Iterator[Run]:
    """Yield the runs of a log; its notes get the program, and how often the fields changed."""
    follower = _Follower(evidence, header_of(evidence.hints, name))
    for block in blocks(evidence):
        yield from follower.runs(block)


class _Follower:
    """Follows the headers of a log."""

    def __init__(self, evidence: Evidence, header: Header) -> None:
        self._evidence, self._header = evidence, header
        self._delimiters: dict[tuple[str, ...], bytes] = {}
        self._last = -1  # time of day of the last line without date, [us]
        self._day: int | None = None

    def runs(self, given: Block) -> Iterator[Run]:
        """Yield the runs of a block."""
        starts = _starts(given)
        block, heads = without_heads(given) if _may_have_heads(given, starts) else (given, None)
        if block is not given:
            starts = _starts(block)
        marks = np.flatnonzero(block.data[starts] == _HASH)
        groups = np.split(marks, np.flatnonzero(np.diff(marks) > 1) + 1) if len(marks) else []
        begin = 0  # the line that the run begins with
        for group in groups:
            first, behind = int(group[0]), int(group[-1]) + 1
            header = read_directives(self._header, _texts(block, starts, group))
            same = self._header.reads_like(header)
            if not same or len(groups) <= FEW_HEADERS:
                yield from self._run(block, starts, begin, first, None if block is given else heads)
                begin = behind
            if not same:
                self._change(header)
        yield from self._run(block, starts, begin, len(starts), None if block is given else heads)

    def _change(self, header: Header) -> None:
        """Take a header that differs from the one before."""
        before, self._header = self._header, header
        if before.fields and header.fields != before.fields:
            self._evidence.note("fields_changed", 1)
        if header.software:
            self._evidence.notes.setdefault("software", header.software)
        twice = sorted({field for field in header.fields if header.fields.count(field) > 1})[:8]
        if twice:
            self._evidence.notes["fields_named_twice"] = twice
        if header.moment != before.moment and header.moment is not None:
            self._day, self._last = header.moment // DAY * DAY, header.moment % DAY

    def _run(self, block: Block, starts: I64, begin: int, end: int, heads: Heads | None) -> Iterator[Run]:
        """Yield the run of some lines, if there are any; of lines without date with the day of each."""
        if begin == end:
            return
        at, stop = int(starts[begin]), int(starts[end]) if end < len(starts) else block.end
        lines = Block(block.data[at:], stop - at, block.first_line + begin, block.last and stop == block.end)
        run = Run(self._header, lines, self._delimiter(lines), heads, at)
        yield run if self._header.dated else run._replace(days=self._days(run))

    def _delimiter(self, lines: Block) -> bytes:
        """Return what parts the fields under the header in force: a tab, where the first line has as many as that."""
        fields = self._header.fields
        if fields not in self._delimiters:
            if len(self._delimiters) >= MOST_HEADERS:
                self._delimiters.clear()
            start = lines.data[: min(lines.end, 1 << 16)].tobytes()
            line = next((one for one in start.split(b"\n") if one.strip() and one[:1] != b"#"), b"")
            tabs = line.count(b"\t")
            self._delimiters[fields] = b"\t" if tabs and tabs * 2 >= len(fields) - 1 else b" "
        return self._delimiters[fields]

    def _days(self, run: Run) -> I64:
        """Return the day of each line: that of ``#Date``, and one more each time the clock starts anew."""
        cut, field = cut_of(run), _place(run.header.fields, "time", "time-local")
        times = read_column(cut.data, cut.begin[field], cut.end[field], _OF_DAY)
        if self._day is None or not times.known.any():
            return np.full(cut.rows, -1 if self._day is None else self._day, np.int64)
        known = np.flatnonzero(times.known)
        clock = times.local[known]
        before = np.concatenate(([self._last if self._last >= 0 else clock[0]], clock[:-1]))
        passed = np.cumsum(before - clock > DAY // 2)
        days = np.full(cut.rows, self._day, np.int64)
        days[known] += passed * DAY
        self._evidence.note("midnights", int(passed[-1]))
        self._day, self._last = int(days[known[-1]]), int(clock[-1])
        return days


def _starts(block: Block) -> I64:
    """Return where the lines of a block begin."""
    ends = np.flatnonzero(block.data[: block.end] == _LF)
    starts: I64 = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
    return starts


def _may_have_heads(block: Block, starts: I64) -> bool:
    """Tell whether a line may begin with a head of syslog: a priority, a month, or a date with its time behind a T."""
    first, tenth = block.data[starts], block.data[starts + 10]
    return bool(((first == _PRIORITY) | ((first >= ord("A")) & (first <= ord("S"))) | (tenth == _T)).any())


def _texts(block: Block, starts: I64, lines: I64) -> Iterator[bytes]:
    """Yield some lines of a block, or as much of them as a directive may have."""
    for line in lines.tolist():
        stop = int(starts[line + 1]) if line + 1 < len(starts) else block.end
        yield block.data[starts[line] : min(stop, starts[line] + LONGEST)].tobytes().rstrip(b"\r\n")


def _place(fields: tuple[str, ...], *names: str) -> int:
    """Return the place of the first of some fields that is there."""
    return next(fields.index(name) for name in names if name in fields)


def cut_of(run: Run, *, quotes: bool = True) -> Cut:
    """Return the fields of a run's lines; where they lie in quotes, without these.

    Parameters
    ----------
    run
        The lines.
    quotes
        Whether their program writes quotes around fields; a line that makes no sense so is taken without.
    """
    width = len(run.header.fields)
    cut = _records(run, width if width <= MOST_FIELDS else 0, quotes=quotes)
    broken = (cut.odd == OPEN) | (cut.odd == AFTER_QUOTE)
    if broken.any():
        cut = _joined(cut, _records(run, cut.fields, quotes=False), broken)
    # a delimiter at the end of a line parts nothing
    spare = (cut.odd == MANY) & (cut.count == cut.fields + 1)
    if spare.any():
        spare &= cut.data[np.maximum(cut.line[:, 1] - 1, 0)] == run.delimiter[0]
        cut.odd[spare] = 0
    return cut if run.heads is None else run.heads.whole(replace(cut, line=cut.line + np.int32(run.at)))


def _records(run: Run, width: int, *, quotes: bool) -> Cut:
    """Return the fields of a run's lines, headers left out."""
    brackets = b"[]" if {"gmttime", "localtime"}.intersection(run.header.fields) else b""
    quote = b'"' if quotes else b""
    dialect = Dialect(run.delimiter, run.delimiter == b" ", quote, doubled=quotes, brackets=brackets)
    cut = delimited(run.block, dialect, width)
    headers = cut.data[cut.line[:, 0]] == _HASH
    return _taken(cut, ~headers) if headers.any() else cut


def _taken(cut: Cut, rows: Bools) -> Cut:
    """Return some of the records."""
    return Cut(
        cut.data,
        cut.number[rows],
        np.ascontiguousarray(cut.line[rows]),
        np.ascontiguousarray(cut.begin[:, rows]),
        np.ascontiguousarray(cut.end[:, rows]),
        np.ascontiguousarray(cut.flag[:, rows]),
        cut.odd[rows],
        cut.count[rows],
        cut.names,
    )


def _joined(cut: Cut, other: Cut, where: Bools) -> Cut:
    """Return a cut whose records are, in some rows, those of another one of the same lines if they fit there."""
    where = where & (other.odd == 0)
    for mine, theirs in ((cut.begin, other.begin), (cut.end, other.end), (cut.flag, other.flag)):
        mine[:, where] = theirs[:, where]
    cut.odd[where], cut.count[where] = 0, other.count[where]
    return cut
