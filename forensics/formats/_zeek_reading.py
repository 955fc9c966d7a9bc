"""A Zeek log from its blocks to rows: the header's state, which log each record is of, what carries what.

Only the `#` lines are read one after another; what stands under them is read in threads.
"""

from __future__ import annotations

from collections import Counter
from copy import copy
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats._blocks import Block, blocks, in_order, segments
from forensics.formats._fields import Fields
from forensics.formats._lines import text_of
from forensics.formats._sheet import Sheet, Vocabularies
from forensics.formats._zeek_columns import Columns, Writing, cut_json, cut_rows, kinds_of
from forensics.formats._zeek_log import Header, RowError, json_record, kind_of
from forensics.formats._zeek_rows import KINDS, Reader
from forensics.formats._zeek_tables import PUT
from forensics.formats._zeek_tunnels import Carriers, Links, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from forensics.formats import Evidence
    from forensics.formats._cut import Cut
    from forensics.formats._zeek_log import Record
    from forensics.rows import Rows

__all__ = ["read"]

KINDS_LISTED = 50
"""Paths of skipped records, and types of files, that are told apart in the notes."""

LONGEST_PATH = 64

_JSON = Writing()


class _Part(NamedTuple):
    """Lines under one header, and what it said; ``writing`` is None for JSON."""

    header: Header
    writing: Writing | None
    block: Block
    kind: str


class _Made(NamedTuple):
    """What became of a part."""

    batches: list[tuple[str, pa.RecordBatch]]
    links: list[Links]
    slow_links: list[tuple[int, str, list[str]]]


def read(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of a log, and complete the notes of the file."""
    evidence.notes["records"] = 0
    log = _Log(evidence)
    carriers = Carriers()
    for made in in_order(log.made, log.parts()):
        carrying: list[int] = []
        for links in made.links:
            carriers.learn(links)
        for number, _, parents in made.slow_links:
            carriers.name(number, parents)
        for links in made.links:
            carrying += carriers.carrying(links).tolist()
        carrying += [number for number, uid, _ in made.slow_links if carriers.is_known(number, uid)]
        yield from told(made.batches, carrying)
    log.finish()


class _Log:
    """One log: the state of its header, and what was passed over."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._header = Header()
        self._words = Vocabularies()
        self._lock = Lock()
        self._skipped: Counter[str] = Counter()
        self._types: Counter[str] = Counter()

    def parts(self) -> Iterator[_Part]:
        """Yield the lines of the file by the headers above them."""
        header, writing, kind = self._header, Writing(copy(self._header)), ""
        for block in blocks(self._evidence):
            for directives, lines in segments(block):
                for _, line in directives:
                    header.read(text_of(line))
                if directives:
                    writing = Writing(copy(header))
                if not lines.end:
                    continue
                if header.fields and lines.data[0] != ord("{"):
                    yield _Part(copy(header), writing, lines, header.path)
                else:
                    kind = kind or _first_kind(lines)
                    yield _Part(copy(header), None, lines, kind)

    def made(self, part: _Part) -> _Made:
        """Return what becomes of a part."""
        made = _Made([], [], [])
        if part.writing is not None:
            cut, places = cut_rows(part.block, part.header)
            self._read(part, part.kind, cut, places, made)
            return made
        cut, found = cut_json(part.block)
        for kind, records in kinds_of(cut, Fields(cut, self._words.own), part.kind).cuts(cut):
            self._read(part, kind, records, found, made)
        return made

    def _read(self, part: _Part, kind: str, cut: Cut, places: Mapping[str, int], made: _Made) -> None:
        """Read the records of one kind."""

        def slowly(number: int, line: bytes, rows: Rows) -> None:
            reader = Reader(self._evidence, rows, sheet.note, lambda *link: made.slow_links.append(link))
            try:
                found, record = _record(part, line)
                if found in KINDS:
                    reader.add(found, number, record)
                    self._tell_type(found, _first(record.get("mime_type")), 1)
                else:
                    self._skip(found, 1)
            except RowError as error:
                rows.reject(self._evidence.source, number, str(error), line)

        sheet = Sheet(cut, self._evidence, self._words.own, slowly)
        table = Columns(sheet, places, part.writing or _JSON)
        if kind in PUT:
            PUT[kind](table)
        elif kind:
            self._skip(kind, int(sheet.good.sum()))
        else:
            sheet.reject(np.ones(cut.rows, np.bool_), "its keys do not tell its kind")
        if kind == "conn":
            parents = table.listed("tunnel_parents", table.writing.joined)
            made.links.append(Links(cut.number, parents.only(sheet.good), lambda: table.text("uid")))
        if kind == "files":
            self._count_types(table)
        made.batches.extend(sheet.batches())

    def _count_types(self, table: Columns) -> None:
        """Count the types of the files of a block."""
        types = table.words("mime_type")
        counts = np.bincount(types.codes[table.sheet.good] + 1, minlength=len(types.values) + 1)
        for name, count in zip(["", *types.values], counts.tolist(), strict=True):
            self._tell_type("files", name, count)

    def _tell_type(self, kind: str, name: str, count: int) -> None:
        """Count files of a type."""
        if kind == "files" and count:
            with self._lock:
                _count(self._types, name or "(unknown)", count)

    def _skip(self, kind: str, count: int) -> None:
        """Count records of another log."""
        if count:
            with self._lock:
                _count(self._skipped, kind, count)

    def finish(self) -> None:
        """Complete the notes of the file."""
        notes = self._evidence.notes
        if self._skipped:
            notes["skipped_paths"] = dict(sorted(self._skipped.items()))
        if self._types:
            notes["content_types"] = dict(sorted(self._types.items()))
        if self._header.opened > self._header.closed:
            notes["unclosed"] = "a #close line is missing: the log was still being written, or its end is lost"


def _count(counter: Counter[str], name: str, count: int) -> None:
    """Count something by a name; a hostile file cannot make the list of names long."""
    name = name[:LONGEST_PATH]
    counter[name if name in counter or len(counter) < KINDS_LISTED else "(others)"] += count


def _first_kind(block: Block) -> str:
    """Return the kind of the first record of JSON whose keys tell it."""
    for line in block.data[: block.end].tobytes().splitlines():
        try:
            kind = kind_of(json_record(line)) if line.startswith(b"{") else None
        except RowError:
            kind = None
        if kind:
            return kind
    return ""


def _record(part: _Part, line: bytes) -> tuple[str, Record]:
    """Return kind and record of a line, the slow way."""
    if not line.startswith(b"{"):
        return part.header.path, part.header.record(text_of(line))
    record = json_record(line)
    kind = kind_of(record) or part.kind
    if not kind:
        raise RowError("its keys are not those of a Zeek log that is read")
    return kind, record


def _first(value: str | list[str] | None) -> str:
    """Return a text, or the first of a list."""
    return (value[0] if value else "") if isinstance(value, list) else value or ""
