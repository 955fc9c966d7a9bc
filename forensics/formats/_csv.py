"""CSV by the names in its header: exports of firewalls, terminals and flow tools, whatever order their columns have.

Example::

    NAMES = {"start": ("StartTime", "start time"), "src": ("SrcAddr",), "bytes_out": ("SrcBytes",)}
    for columns, sheet in sheet_of(evidence, NAMES):
        src = sheet.words(columns["src"], address_of, what="SrcAddr")
        sheet.put("flows", start=..., src=src, bytes_out=sheet.counts(columns["bytes_out"], what="SrcBytes"), ...)
        yield from sheet.batches()

A column that the file does not have is one that is empty in every row, so optional ones need no second path. Names are
compared without case, spaces, ``_``, ``-`` and the difference of full width. The delimiter is the one by which most
names are known. A header that comes again, or changes, begins anew: logs are put together from several files.

References
----------
.. [1] RFC 4180, *Common Format and MIME Type for CSV Files*: quotes, and line ends inside of them.
"""

from __future__ import annotations

import csv
import unicodedata
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from forensics.errors import EvidenceError
from forensics.formats._blocks import Block, blocks
from forensics.formats._cut import ABSENT, Cut
from forensics.formats._delimited import Dialect, delimited, whole_records
from forensics.formats._lines import text_of
from forensics.formats._sheet import Sheet, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from forensics.formats import Evidence
    from forensics.formats._fields import Field

    Names: TypeAlias = Mapping[str, tuple[str, ...]]

__all__ = ["Columns", "Header", "header_in", "header_of", "opened", "parts", "sheet_of", "under_headers", "unquoted"]

DELIMITERS = (b",", b";", b"\t", b"|")

LEAST = 3
"""Fewest known names in a line that is a header; all of them where there are fewer."""

FIRST_LINES = 20
"""Lines in which the header is looked for; exports may begin with a title."""


@dataclass(frozen=True)
class Header:
    """The names of a file's columns.

    Parameters
    ----------
    cells
        The names as they stand there.
    places
        Number of the column of each of our names that is there, from 0.
    dialect
        How fields are kept apart.
    """

    cells: tuple[str, ...]
    places: Mapping[str, int]
    dialect: Dialect

    def __contains__(self, name: object) -> bool:
        """Tell whether the file has a column, by our name for it."""
        return name in self.places


@dataclass(frozen=True)
class Columns:
    """Our names for the columns of one sheet.

    Parameters
    ----------
    header
        The names in the file.
    nothing
        A column of the sheet's records that is empty in each: what a name stands for that the file does not have.
    """

    header: Header
    nothing: Cut

    @classmethod
    def of(cls, header: Header, cut: Cut) -> Columns:
        """Return our names for the columns of a cut."""
        none = np.zeros((1, cut.rows), np.int32)
        return cls(header, replace(cut, begin=none, end=none, flag=np.full((1, cut.rows), ABSENT, np.uint8)))

    def __getitem__(self, name: str) -> Field:
        """Return a column by our name for it."""
        place = self.header.places.get(name)
        return (self.nothing, 0) if place is None else place

    def __contains__(self, name: object) -> bool:
        """Tell whether the file has a column."""
        return name in self.header.places


def sheet_of(evidence: Evidence, names: Names, *, dialect: Dialect | None = None) -> Iterator[tuple[Columns, Sheet]]:
    """Yield the sheets of a CSV file, one after the other, each with its columns.

    Where rows are read in several threads, `parts` and `opened` do the same in two steps.

    Parameters
    ----------
    evidence
        The file, in whatever encoding.
    names
        The names that each of our names goes by in a header; translations stand beside each other.
    dialect
        How fields are kept apart, where that is known.

    Raises
    ------
    forensics.errors.EvidenceError
        If no header is found, or the stream is damaged.
    """
    words = Vocabulary()
    for header, block in parts(evidence, names, dialect=dialect):
        yield opened(evidence, header, block, words)


def parts(evidence: Evidence, names: Names, *, dialect: Dialect | None = None) -> Iterator[tuple[Header, Block]]:
    """Return headers, each with records that stand under it; as `sheet_of` has them, before they are cut."""
    return under_headers(evidence, blocks(evidence), names, dialect=dialect)


def under_headers(
    evidence: Evidence, lines: Iterator[Block], names: Names, *, dialect: Dialect | None = None
) -> Iterator[tuple[Header, Block]]:
    """Yield headers, each with records that stand under it, of blocks in UTF-8."""
    first = next(lines, None)
    if first is None:
        return
    found = _first_header(first, names, dialect)
    if found is None:
        wanted = ", ".join(name for forms in list(names.values())[:5] for name in forms[:1])
        raise EvidenceError(evidence.source, f"none of its first {FIRST_LINES} lines names columns such as {wanted}")
    header, skipped, rest = found
    if skipped:
        evidence.notes["lines_before_header"] = skipped
    if len(header.cells) > len(set(header.cells)):
        evidence.notes["columns_named_twice"] = sorted({c for c in header.cells if header.cells.count(c) > 1})
    for block in whole_records(_chained(rest, lines), header.dialect):
        for header, piece in _pieces(evidence, block, header, names):  # noqa: B020 - the next block goes on under it
            if piece.end:
                yield header, piece


def opened(evidence: Evidence, header: Header, block: Block, words: Vocabulary) -> tuple[Columns, Sheet]:
    """Return records as a sheet, and its columns."""
    cut = delimited(block, header.dialect, len(header.cells))
    return Columns.of(header, cut), Sheet(cut, evidence, words)


def header_of(line: str, names: Names, dialect: Dialect | None = None) -> Header | None:
    """Return the header that a line is, None where it is none.

    Parameters
    ----------
    line
        The line.
    names
        The names that each of our names goes by.
    dialect
        How fields are kept apart, where that is known.
    """
    known = {_own(form): name for name, forms in reversed(list(names.items())) for form in forms}
    best: Header | None = None
    for one in (dialect,) if dialect else map(_dialect, DELIMITERS):
        cells = _cells(line, one)
        places: dict[str, int] = {}
        for place, cell in enumerate(cells):
            if (name := known.get(_folded(cell))) is not None:
                places.setdefault(name, place)
        if len(places) >= min(LEAST, len(names)) and (best is None or len(places) > len(best.places)):
            best = Header(tuple(cells), places, one)
    return best


def header_in(lines: Iterable[str], names: Names) -> Header | None:
    """Return the header among the first lines of a file, None where there is none; for `Format.declines`."""
    found = (header_of(line, names) for line, _ in zip(lines, range(FIRST_LINES), strict=False))
    return next((header for header in found if header is not None), None)


def unquoted(text: str) -> str:
    """Undo what quotes in a field became; for `Sheet.text` and `Sheet.words`."""
    return text.replace('""', '"')


def _dialect(delimiter: bytes) -> Dialect:
    """Return the dialect of CSV with some delimiter."""
    return Dialect(delimiter, quote=b'"', doubled=True, multiline=True)


def _cells(line: str, dialect: Dialect) -> list[str]:
    """Return the fields of a header line; names in it are short and hold no line ends."""
    delimiter = dialect.delimiter.decode()
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


_SIGNS = dict.fromkeys(map(ord, "_-#"))


def _folded(name: str) -> str:
    """Return what tells names of columns apart."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(plain.split()).translate(_SIGNS).strip('"')


_own = lru_cache(maxsize=8192)(_folded)
"""The same of names that formats know, against which each file is held."""


def _first_header(block: Block, names: Names, dialect: Dialect | None) -> tuple[Header, int, Block] | None:
    """Return the header of a file, how many lines stand before it, and the lines behind it."""
    data = block.data[: block.end].tobytes()
    at, skipped = 0, 0
    for number in range(FIRST_LINES):
        if at >= block.end:
            break
        stop = data.index(b"\n", at)
        line, at = text_of(data[at:stop].removesuffix(b"\r")), stop + 1
        if not number and dialect is None and len(line) == 5 and line.startswith("sep="):
            dialect = _dialect(line[4].encode())
        elif header := header_of(line, names, dialect):
            return header, skipped, Block(block.data[at:], block.end - at, block.first_line + number + 1, block.last)
        else:
            skipped += bool(line.strip())
    return None


def _chained(first: Block, others: Iterable[Block]) -> Iterator[Block]:
    """Yield a block and those behind it."""
    if first.end or first.last:
        yield first
    yield from others


def _pieces(evidence: Evidence, block: Block, header: Header, names: Names) -> Iterator[tuple[Header, Block]]:
    """Yield a block in pieces, each with the header that it stands under; other headers in it are counted."""
    data = block.data[: block.end].tobytes()
    # A header that comes again holds the longest of its known names again, even where its columns have moved.
    mark = max((header.cells[place] for place in header.places.values()), key=len).encode()
    begin = at = counted = quotes = 0
    number, last = block.first_line, b""
    found: Header | None = None
    while (at := data.find(mark, at)) >= 0:
        left, right = data.rfind(b"\n", 0, at) + 1, data.index(b"\n", at)
        at = right + 1
        if data[left:right] != last:
            last = data[left:right]
            found = header_of(text_of(last), names, header.dialect)
        if found is None or len(found.places) * 2 < len(header.places):
            continue
        quotes, counted = quotes + data.count(b'"', counted, left), left
        if quotes % 2:  # it stands in a field of several lines
            continue
        yield header, Block(block.data[begin:], left - begin, number, last=False)
        evidence.note("headers_repeated", 1)
        number += data.count(b"\n", begin, at)
        header, begin, counted, quotes = found, at, at, 0
    yield header, Block(block.data[begin:], block.end - begin, number, last=block.last)
