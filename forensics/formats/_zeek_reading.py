"""A Zeek log from its blocks to rows: the header's state, which log each record is of, what carries what.

Only the `#` lines are read one after another; what stands under them is read in threads.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from forensics.errors import EvidenceError
from forensics.formats import Evidence
from forensics.formats._blocks import Block, blocks, in_order, segments
from forensics.formats._fields import Fields
from forensics.formats._lines import text_of
from forensics.formats._sheet import Sheet, Vocabularies
from forensics.formats._tally import Tally
from forensics.formats._zeek_columns import Columns, Writing, cut_json, cut_rows, kinds_of
from forensics.formats._zeek_log import Header, RowError, json_record, kind_of
from forensics.formats._zeek_open import BESIDE, Open, OpenRows, Seen, is_open
from forensics.formats._zeek_rows import KINDS, Reader
from forensics.formats._zeek_tables import PUT, put_flows
from forensics.formats._zeek_tunnels import Carriers, Links, told
from forensics.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from forensics.formats._cut import Cut
    from forensics.formats._zeek_log import Record

__all__ = ["read"]

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
    open: list[OpenRows]


def read(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of a log, and complete the notes of the file."""
    evidence.notes["records"] = 0
    log = _Log(evidence)
    carriers, still_open = Carriers(), Open(evidence)
    damage: EvidenceError | None = None
    try:
        for made in in_order(log.made, log.parts()):
            yield from told(made.batches, _carrying(made, carriers))
            for rows in made.open:
                still_open.add(rows)
            for links in made.links:
                still_open.closed(links.uids())
    except EvidenceError as error:  # what was read before the damage stands
        damage = error
    for name, seen in log.beside() if still_open.any else ():
        still_open.compare(name, seen)
    yield from still_open.batches()
    if damage is not None:
        raise damage
    log.finish()


def _carrying(made: _Made, carriers: Carriers) -> list[int]:
    """Return the lines of connections that carry others."""
    for links in made.links:
        carriers.learn(links)
    for number, _, parents in made.slow_links:
        carriers.name(number, parents)
    slow = [number for number, uid, _ in made.slow_links if carriers.is_known(number, uid)]
    return [number for links in made.links for number in carriers.carrying(links).tolist()] + slow


class _Log:
    """One log: the state of its header, and what was passed over."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._header = Header()
        self._words = Vocabularies()
        self._skipped, self._types = Tally(), Tally()

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
        made = _Made([], [], [], [])
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
            self._read_slowly(part, reader, rows, (number, line))

        sheet = Sheet(cut, self._evidence, self._words.own, slowly)
        table = Columns(sheet, places, part.writing or _JSON)
        if is_open(kind, self._evidence.source):
            put_flows(table, state="OPEN")
            self._keep_open(table, made)
            return
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

    def _read_slowly(self, part: _Part, reader: Reader, rows: Rows, numbered: tuple[int, bytes]) -> None:
        """Read one line that is out of the common."""
        number, line = numbered
        try:
            found, record = _record(part, line)
            if is_open(found, self._evidence.source):
                Reader(self._evidence, Rows(), lambda *_: None, lambda *_: None).add("conn", number, record)
                raise RowError("a record of an open connection that is out of the common")
            if found in KINDS:
                reader.add(found, number, record)
                self._tell_type(found, _first(record.get("mime_type")), 1)
            else:
                self._skip(found, 1)
        except RowError as error:
            rows.reject(self._evidence.source, number, str(error), line)

    def _keep_open(self, table: Columns, made: _Made) -> None:
        """Put rows of open connections apart."""
        uids, good = table.text("uid"), pa.array(table.sheet.good)
        for name, batch in table.sheet.batches():
            if name == "exchanges":
                made.open.append(OpenRows(batch, uids.filter(good)))
            else:
                made.batches.append((name, batch))

    def beside(self) -> Iterator[tuple[str, Iterator[Seen]]]:
        """Yield the other logs of the folder that may tell of the same connections."""
        for pattern in BESIDE:
            for name, stream in self._evidence.beside(pattern):
                yield name, _seen(Evidence(stream, name, ""))

    def _count_types(self, table: Columns) -> None:
        """Count the types of the files of a block."""
        types = table.words("mime_type")
        counts = np.bincount(types.codes[table.sheet.good] + 1, minlength=len(types.values) + 1)
        for name, count in zip(["", *types.values], counts.tolist(), strict=True):
            self._tell_type("files", name, count)

    def _tell_type(self, kind: str, name: str, count: int) -> None:
        """Count files of a type."""
        if kind == "files":
            self._types.add(name[:LONGEST_PATH] or "(unknown)", count)

    def _skip(self, kind: str, count: int) -> None:
        """Count records of another log."""
        self._skipped.add(kind[:LONGEST_PATH], count)

    def finish(self) -> None:
        """Complete the notes of the file."""
        notes = self._evidence.notes
        if skipped := self._skipped.told():
            notes["skipped_paths"] = skipped
        if types := self._types.told():
            notes["content_types"] = types
        if self._header.opened > self._header.closed:
            notes["unclosed"] = "a #close line is missing: the log was still being written, or its end is lost"


def _seen(evidence: Evidence) -> Iterator[Seen]:
    """Yield what a log says of connections; where it is damaged or no log of Zeek's, what it says before that."""
    log, words = _Log(evidence), Vocabularies()
    try:
        for part in log.parts():
            places: Mapping[str, int]
            if part.writing is not None:
                cut, places = cut_rows(part.block, part.header)
                found: list[tuple[str, Cut]] = [(part.kind, cut)]
            else:
                cut, places = cut_json(part.block)
                found = kinds_of(cut, Fields(cut, words.own), part.kind).cuts(cut)
            for kind, records in found:
                cumulative = is_open(kind, evidence.source)
                if cumulative or kind == "conn":
                    table = Columns(Sheet(records, evidence, words.own), places, part.writing or _JSON)
                    yield Seen(table.text("uid"), table.span("duration"), cumulative)
    except EvidenceError:
        return


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
