"""The records of a described table, whatever its form: where the fields lie that the description names.

Example: ``for cut, places in cuts_of(evidence, table): ...``; the field ``Client`` of each is ``places["Client"]``.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.errors import EvidenceError
from forensics.formats._blocks import Block, block_of, blocks
from forensics.formats._csv import parts, unquoted
from forensics.formats._cut import ABSENT, Cut
from forensics.formats._delimited import Dialect, delimited
from forensics.formats._pairs import pairs
from forensics.formats._picked import picked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from forensics.formats import Evidence
    from forensics.formats._description import TableDescription

__all__ = ["cuts_of", "undo_of"]

_MOST_ROWS = 1 << 16
_LINES = Dialect(b"\x00")  # no text has it: each line is one field


def cuts_of(evidence: Evidence, table: TableDescription) -> Iterator[tuple[Cut, Mapping[str, int]]]:
    """Yield the records of a table in their order, a block at a time, with the number of each named field.

    Raises
    ------
    forensics.errors.EvidenceError
        The table has not the fields that are named, or the stream is damaged.
    """
    if table.form in ("csv", "tsv"):
        yield from _columns(evidence, table)
        return
    places = {name: place for place, name in enumerate(table.fields)}
    yield from ((cut, places) for cut in _by_name(evidence, table))


def _by_name(evidence: Evidence, table: TableDescription) -> Iterator[Cut]:
    """Yield the records of a table that has no header; their fields are in the order of the description."""
    match table.form:
        case "arrow":
            yield from _frames(evidence, table)
        case "jsonl":
            yield from (picked(block, table.fields) for block in blocks(evidence))
        case "pairs":
            keys = [name.encode() for name in table.fields]
            yield from (pairs(block, keys) for block in blocks(evidence))
        case _:
            pattern = re.compile((table.pattern or "").encode())
            yield from (_matched(block, pattern, table.fields) for block in blocks(evidence))


def undo_of(table: TableDescription) -> Callable[[str], str] | None:
    """Return what undoes the escapes of a field."""
    return {"csv": unquoted, "tsv": unquoted, "jsonl": _json_text, "pairs": _plain}.get(table.form)


def _json_text(text: str) -> str:
    """Return the text that is written in a JSON string."""
    found: str = json.loads(f'"{text}"')
    return found


def _plain(text: str) -> str:
    """Return a quoted value without the backslashes before its quotes."""
    return re.sub(r"\\(.)", r"\1", text)


def _columns(evidence: Evidence, table: TableDescription) -> Iterator[tuple[Cut, Mapping[str, int]]]:
    """Yield the records of a table with a header, by the names in it."""
    delimiter = "\t" if table.form == "tsv" else table.delimiter
    dialect = Dialect(delimiter.encode(), quote=b'"', doubled=True, multiline=True) if delimiter else None
    needed = [table.columns[name].field for name in ("start", "end", "src") if name in table.columns]
    for header, block in parts(evidence, {name: (name,) for name in needed}, dialect=dialect):
        cells = [cell.strip().casefold() for cell in header.cells]
        if missing := [name for name in table.fields if name.strip().casefold() not in cells]:
            listed = ", ".join(repr(cell) for cell in header.cells[:30])
            raise EvidenceError(evidence.source, f"its header has no column {missing[0]!r}; it has {listed}")
        places = {name: cells.index(name.strip().casefold()) for name in table.fields}
        yield delimited(block, header.dialect, len(cells)), places


def _matched(block: Block, pattern: re.Pattern[bytes], fields: tuple[str, ...]) -> Cut:
    """Return the lines of a block cut by a regular expression; of one that it does not fit the count is 0."""
    whole = delimited(block, _LINES, 1)
    shape = (len(fields), whole.rows)
    begin, end = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    flag, count = np.full(shape, ABSENT, np.uint8), whole.count.copy()
    for row in range(whole.rows):
        found = None if whole.odd[row] else pattern.fullmatch(whole.record(row))
        if found is None:
            count[row] = 0
            continue
        for place, name in enumerate(fields):
            left, right = found.span(name)
            if left >= 0:
                begin[place, row], end[place, row] = whole.line[row, 0] + left, whole.line[row, 0] + right
                flag[place, row] = 0
    return replace(whole, begin=begin, end=end, flag=flag, count=count)


def _frames(evidence: Evidence, table: TableDescription) -> Iterator[Cut]:
    """Yield the rows of a table of Arrow; each becomes text, so that one set of rules reads all."""
    try:
        stream = pa.ipc.open_stream(evidence.stream)
        if missing := [name for name in table.fields if name not in stream.schema.names]:
            listed = ", ".join(map(repr, stream.schema.names[:30]))
            raise EvidenceError(evidence.source, f"it has no column {missing[0]!r}; it has {listed}")
        number = 1
        for batch in stream:
            for at in range(0, batch.num_rows, _MOST_ROWS):
                piece = batch.slice(at, _MOST_ROWS)
                yield _framed([_texts(piece.column(name), name, evidence) for name in table.fields], number)
                number += piece.num_rows
    except pa.ArrowInvalid as error:
        raise EvidenceError(evidence.source, f"is not a stream of Arrow: {error}") from None


def _texts(column: pa.Array, name: str, evidence: Evidence) -> pa.Array:
    """Return a column as text; times in UTC where they have a zone."""
    kind = column.type
    try:
        if pa.types.is_dictionary(kind):
            return _texts(column.dictionary_decode(), name, evidence)
        if pa.types.is_timestamp(kind):
            column = column.cast(pa.timestamp("us", "UTC" if kind.tz else None), safe=False)
        if pa.types.is_floating(kind):  # a number that pandas made of one with gaps
            whole = pc.equal(column, pc.round(column))
            small = pc.and_(whole, pc.less(pc.abs(column), 2.0**53))
            integers = pc.if_else(small, column, None).cast(pa.int64(), safe=False).cast(pa.string())
            column = pc.if_else(pc.is_nan(column), None, column)
            return pc.if_else(small, integers, column.cast(pa.string()))
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise EvidenceError(evidence.source, f"column {name!r} is a {kind}, not text, number or time") from None


def _framed(columns: list[pa.Array], first: int) -> Cut:
    """Return columns of text as records; a record as a whole is its fields with tabs between them."""
    empty = [pc.fill_null(column, "") for column in columns]
    lines = pc.binary_join_element_wise(*empty, "\t")
    laid = [_laid(column) for column in [*empty, lines]]
    data = block_of(b"".join(text for text, _ in laid)).data
    base = np.cumsum([0, *(len(text) for text, _ in laid)])
    begin = np.array([base[place] + at[:-1] for place, (_, at) in enumerate(laid)], np.int32)
    end = np.array([base[place] + at[1:] for place, (_, at) in enumerate(laid)], np.int32)
    absent = np.array([pc.is_null(column).to_numpy(zero_copy_only=False) for column in columns], np.bool_)
    rows = len(lines)
    return Cut(
        data, np.arange(first, first + rows), np.ascontiguousarray(np.stack([begin[-1], end[-1]], axis=1)),
        np.ascontiguousarray(begin[:-1]), np.ascontiguousarray(end[:-1]), np.where(absent, ABSENT, 0).astype(np.uint8),
        np.zeros(rows, np.uint8), np.zeros(rows, np.int32),
    )  # fmt: skip


def _laid(column: pa.Array) -> tuple[bytes, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return the bytes of a column of text, one after the other, and where each of them begins."""
    texts = [text.encode("utf-8", "backslashreplace") for text in column.to_pylist()]
    return b"".join(texts), np.cumsum([0, *map(len, texts)], dtype=np.int64)
