r"""Lines made up by a definition: what stands between its codes keeps them apart, in any order and number.

Apache's ``LogFormat``, nginx's ``log_format``, HAProxy's ``log-format`` and the templates of Zscaler's NSS become a
`Layout`; `Layouts` are the several ways in which the lines of one file may be made up.

Example::

    layout = Layout("tiny", "", ((Code("client", "client"), " ["), (Code("time", "time", stamp="iso"), "]")), dialect)
    cut, wrong = Layouts((layout,)).cut(block)

Blocks are cut by `forensics.formats._delimited`. A line whose fields do not come out as the definition has them (a user
name with spaces, a list of addresses, a quote that was never escaped) goes through `Layout.spans`, which takes code by
code: each ends at the first place where what follows it can stand. No line takes more than one pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats._cut import ABSENT, ESCAPED, LONG, Cut
from forensics.formats._delimited import Dialect, delimited
from forensics.formats._layout_pieces import Piece, cut_piece, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.formats._blocks import Block
    from forensics.formats._cut import I32, I64, U8

__all__ = ["Code", "Layout", "Layouts", "Problem", "Reasons", "layout_of"]

Reasons = dict[str, "list[int]"]
"""Rows that no layout fits, by what is wrong with them."""

_CLOSING = {'"': '"', "[": "]", "{": "}", "'": "'"}


class Code(NamedTuple):
    """One code of a definition.

    Parameters
    ----------
    role
        What it tells; empty where nothing becomes of it.
    title
        What it is called in messages.
    pattern
        Regular expression of its text; any text where it is empty.
    stamp
        Layout of a written-out time, as `forensics.formats._stamps.compile_stamp` takes it.
    unit
        Microseconds in one, of a number that is a time or a duration.
    ends
        Whether the time is the end of what is logged.
    """

    role: str
    title: str
    pattern: str = ""
    stamp: str = ""
    unit: int = 0
    ends: bool = False


class Problem(NamedTuple):
    """Why a line is not of a layout.

    Parameters
    ----------
    fitting
        How many codes before it fit, those that any text fits left out.
    text
        Which one does not, and why.
    """

    fitting: int
    text: str


@dataclass(frozen=True)
class Layout:
    """A definition.

    Parameters
    ----------
    name
        What it is called.
    start
        Literal text before its first code.
    items
        Its codes in order, each with the literal text that follows it.
    dialect
        How its fields are kept apart.
    open_end
        Whether the last literal may be missing: the program cuts long lines.
    loose
        Whether delimiters stand inside of its codes, so that they tell nothing.
    """

    name: str
    start: str
    items: tuple[tuple[Code, str], ...]
    dialect: Dialect
    open_end: bool = False
    loose: bool = False

    @cached_property
    def codes(self) -> tuple[Code, ...]:
        """Its codes in order."""
        return tuple(code for code, _ in self.items)

    @cached_property
    def pieces(self) -> tuple[Piece, ...] | None:
        """What stands between delimiters; None where codes cannot be kept apart by them alone."""
        return None if self.loose else _pieces(self)

    @cached_property
    def _steps(self) -> tuple[re.Pattern[bytes], ...]:
        """What finds each code's end."""
        return tuple(_step(self, place) for place in range(len(self.items)))

    def spans(self, line: bytes) -> list[tuple[int, int]] | Problem:
        """Return where the codes of a line stand, or what is wrong with it."""
        at, found, fitting = len(self.start.encode()), list[tuple[int, int]](), 0
        if not line.startswith(self.start.encode()):
            return Problem(0, f"line does not begin with {self.start!r}")
        for place, ((code, literal), step) in enumerate(zip(self.items, self._steps, strict=True)):
            match = step.match(line, at) if code.pattern else _free(step, line, at, literal)
            last = place + 1 == len(self.items)
            if match is None:
                if last and self.open_end and b'"' not in line[at:]:
                    return [*found, (at, len(line))]
                return Problem(fitting, f"field {place + 1} ({code.title}) {_what(code, literal, line, at)}")
            if last and match.end() < len(line):
                return Problem(fitting, f"field {place + 1} ({code.title}) is not the last: text follows it")
            end = match.end() - len(literal.encode())
            found.append((at, end))
            at, fitting = match.end(), fitting + bool(code.pattern)
        return found


def layout_of(
    name: str, parts: Sequence[str | Code], dialect: Dialect, *, open_end: bool = False, loose: bool = False
) -> Layout:
    """Return a layout of literal texts and codes in their order."""
    start, items = "", list[tuple[Code, str]]()
    for part in parts:
        if isinstance(part, Code):
            items.append((part, ""))
        elif items:
            items[-1] = items[-1][0], items[-1][1] + part
        else:
            start += part
    return Layout(name, start, tuple(items), dialect, open_end, loose)


def _what(code: Code, literal: str, line: bytes, at: int) -> str:
    """Say why a code does not fit."""
    if at >= len(line):
        return "is missing"
    if code.pattern and not re.compile(code.pattern.encode()).match(line, at):
        return "is not of its kind"
    return f"is not followed by {literal!r}"


def _step(layout: Layout, place: int) -> re.Pattern[bytes]:
    """Return what finds a code, from its begin to behind the literal that follows; of free text only the literal."""
    code, literal = layout.items[place]
    tail = re.escape(literal)
    if code.pattern:
        return re.compile(f"(?:{code.pattern}){tail}".encode(), re.DOTALL)
    if place + 1 == len(layout.items):
        return re.compile(rf"{tail}\Z".encode(), re.DOTALL)
    following, behind = layout.items[place + 1]
    more = f"(?={following.pattern}{re.escape(behind)})" if following.pattern else ""
    return re.compile(f"{tail}{more}".encode(), re.DOTALL)


_QUOTED_TEXT = re.compile(rb'(?:[^"\\]|\\.)*', re.DOTALL)


def _free(step: re.Pattern[bytes], line: bytes, at: int, literal: str) -> re.Match[bytes] | None:
    """Return the literal that ends free text: in quotes the one behind its escapes, if it is there."""
    if literal.startswith('"'):
        text = _QUOTED_TEXT.match(line, at)
        if text is not None and (found := step.match(line, text.end())):
            return found
    return step.search(line, at if literal.startswith(('"', "]", "}", "'")) or not literal else at + 1)


def _pieces(layout: Layout) -> tuple[Piece, ...] | None:
    """Return what stands between the delimiters of a layout."""
    split = [_piece(elements, layout) for elements in _split(layout)]
    made = tuple(piece for piece in split if piece is not None)
    return made if len(made) == len(split) else None


def _split(layout: Layout) -> list[list[str | int]]:
    """Return the characters and codes between delimiters; those in quotes and brackets do not count."""
    elements: list[str | int] = [*layout.start]
    for place, (_, literal) in enumerate(layout.items):
        elements += [place, *literal]
    delimiter, openings = layout.dialect.delimiter.decode(), _openings(layout.dialect)
    pieces, closing = [list[str | int]()], ""
    for element in elements:
        if element == delimiter and not closing:
            pieces.append([])
            continue
        if closing:
            closing = "" if element == closing else closing
        elif not pieces[-1] and isinstance(element, str) and element in openings:
            closing = _CLOSING[element]
        pieces[-1].append(element)
    return pieces


def _openings(dialect: Dialect) -> str:
    """Return what opens a quoted or bracketed field."""
    return (dialect.quote + dialect.brackets[::2]).decode()


def _piece(elements: list[str | int], layout: Layout) -> Piece | None:
    """Return what is between two delimiters, None where its codes cannot be told apart by single bytes."""
    opening = 0
    first = elements[0] if elements else ""
    if isinstance(first, str) and first in _CLOSING and len(elements) > 1:
        if elements[-1] != _CLOSING[first] or _CLOSING[first] in elements[1:-1]:
            return None
        opening, elements = ord(first), elements[1:-1]
    literals, codes = [""], list[int]()
    for element in elements:
        if isinstance(element, int):
            codes.append(element)
            literals.append("")
        else:
            literals[-1] += element
    if any(len(literal.encode()) != 1 for literal in literals[1:-1]):
        return None
    from_end = bool(codes) and layout.codes[codes[-1]].role.endswith("port")
    return Piece(opening, tuple(codes), tuple(literal.encode() for literal in literals), from_end)


class Layouts:
    """The ways in which the lines of one file may be made up, the likeliest first.

    Parameters
    ----------
    known
        The layouts; all of one dialect.
    """

    def __init__(self, known: Sequence[Layout]) -> None:
        self.known = tuple(known)
        self.columns = tuple(dict.fromkeys(code for layout in known for code in layout.codes if code.role))
        self._dialect = known[0].dialect
        self._width = max(len(layout.pieces or ()) for layout in known) or 1

    def fields(self, role: str) -> list[tuple[int, Code]]:
        """Return the columns that tell something, each with its code."""
        return [(place, code) for place, code in enumerate(self.columns) if code.role == role]

    def fitting(self, line: bytes) -> Layout | None:
        """Return the first layout that a line is of."""
        place = self._spans(line)[0]
        return self.known[place] if place >= 0 else None

    def problem(self, line: bytes) -> str:
        """Say what is wrong with a line that is of no layout: as the nearest one has it."""
        spans = self._spans(line)[1]
        return spans if isinstance(spans, str) else ""

    def cut(self, block: Block) -> tuple[Cut, I32, Reasons]:
        """Return where the codes of a block's lines stand, a field for each of `columns`.

        Returns
        -------
        tuple
            The cut; for each row the place of its layout, -1 where it is of none; and what is wrong with those.
        """
        raw = delimited(block, self._dialect, self._width)
        shape = len(self.columns), raw.rows
        begin, end, flag = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.full(shape, ABSENT, np.uint8)
        made = replace(raw, begin=begin, end=end, flag=flag, odd=np.where(raw.odd == LONG, raw.odd, np.uint8(0)))
        which = np.full(raw.rows, -1, np.int32)
        for place, layout in enumerate(self.known):
            if layout.pieces:
                rows = np.flatnonzero((which < 0) & (raw.count == len(layout.pieces)) & (raw.odd <= 2))
                if len(rows):
                    which[self._take(layout, layout.pieces, raw, made, rows)] = place
        return made, which, self._mend(made, which)

    def _take(self, layout: Layout, pieces: tuple[Piece, ...], raw: Cut, made: Cut, rows: I64) -> I64:
        """Take the fields of those rows that are of a layout; return these rows."""
        found: dict[int, tuple[I32, I32, U8]] = {}
        good = np.ones(len(rows), np.bool_)
        for field, piece in enumerate(pieces):
            good &= opened(raw, field, rows, piece.opening)
            good &= cut_piece(raw, (field, piece), rows, found)
        rows, own = rows[good], {code: place for place, code in enumerate(self.columns)}
        for place, (begin, end, flag) in found.items():
            column = own.get(layout.codes[place])
            if column is not None:
                made.begin[column, rows], made.end[column, rows] = begin[good], end[good]
                made.flag[column, rows] = flag[good]
        return rows

    def _mend(self, made: Cut, which: I32) -> Reasons:
        """Take the fields of rows that delimiters alone did not tell, code by code."""
        reasons: Reasons = {}
        own = {code: place for place, code in enumerate(self.columns)}
        escape = self._dialect.escape or self._dialect.quote * 2 * self._dialect.doubled
        for row in np.flatnonzero((which < 0) & (made.odd != LONG)).tolist():
            line = made.record(row)
            place, spans = self._spans(line)
            if isinstance(spans, str):
                reasons.setdefault(spans, []).append(row)
                continue
            which[row], first = place, int(made.line[row, 0])
            for code, (left, right) in zip(self.known[place].codes, spans, strict=True):
                column = own.get(code)
                if column is not None:
                    made.begin[column, row], made.end[column, row] = first + left, first + right
                    made.flag[column, row] = ESCAPED if escape and escape in line[left:right] else 0
        return reasons

    def _spans(self, line: bytes) -> tuple[int, list[tuple[int, int]] | str]:
        """Return the layout of a line and where its codes stand, or what is wrong with it."""
        nearest = Problem(-1, "")
        for place, layout in enumerate(self.known):
            spans = layout.spans(line)
            if not isinstance(spans, Problem):
                return place, spans
            nearest = max(nearest, spans, key=lambda problem: problem.fitting)
        return -1, nearest.text
