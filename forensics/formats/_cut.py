r"""Where the fields of many records lie: what every way of cutting a block gives, and what columns are made from.

A record is a line, or several where quoted text holds line ends. Nothing is copied: a field is a place in the block's
bytes. A record that does not fit has a code in `Cut.odd`, and `Cut.reason` says in words what is wrong with it.

Example::

    cut = delimited(block, Dialect(b"\t"), 12)
    first = cut.content(0, 0)
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from forensics.formats._lines import MAX_LINE, text_of
from forensics.formats._rooms import own_room
from forensics.packets._jit import COMPILED, entry, hot

if TYPE_CHECKING:
    from forensics.formats._blocks import Block

__all__ = [
    "ABSENT",
    "AFTER_QUOTE",
    "DEEP",
    "ESCAPED",
    "FEW",
    "I32",
    "I64",
    "LONG",
    "MANY",
    "MAX_DEPTH",
    "NOT_JSON",
    "NUMBER",
    "OPEN",
    "QUOTED",
    "SLOW",
    "SPAN_AT",
    "SPAN_END",
    "SPAN_LINE",
    "SPAN_OPEN",
    "SPAN_ROWS",
    "TWICE",
    "U8",
    "Cut",
    "divided",
    "lines_in",
    "room_for",
    "span_of",
    "trimmed",
]

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

ABSENT = 1
"""Flag: the record has no such field, or it is JSON's null; its place is empty."""
QUOTED = 2
"""Flag: the field stood in quotes or brackets, or is a JSON string; its place is what they hold."""
ESCAPED = 4
"""Flag: an escape, or a doubled quote, stands in the field."""
NUMBER = 8
"""Flag: the field is a JSON number. A JSON value without this flag and `QUOTED` is true, false, a list or an object."""

FEW = 1
"""Odd: fewer fields than expected; the others are `ABSENT`."""
MANY = 2
"""Odd: more fields than expected; those expected stand."""
OPEN = 3
"""Odd: a quote or bracket is never closed. Of a record of several lines only the first is taken."""
AFTER_QUOTE = 4
"""Odd: text stands between a closing quote and the next delimiter."""
LONG = 5
"""Odd: the line is longer than `MAX_LINE`; none of its fields are there."""
NOT_JSON = 6
"""Odd: the line is not a JSON object; which of its fields are there is not said."""
DEEP = 7
"""Odd: the JSON object is nested too deeply; which of its fields are there is not said."""
TWICE = 8
"""Odd: a wanted key stands twice; the last one is taken and all fields stand."""

MAX_DEPTH = 60
"""Most levels of nesting in a JSON object; logs have fewer than ten."""


SLOW = 255
"""Odd: for the slow path, whatever the record holds."""

SLOW_ONLY = False
"""Whether every record goes to its format's slow path; tests set it, to see that both paths say the same."""

LF = 10
"""The byte of a line end."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The places of n fields in each of the records of a block.

    Parameters
    ----------
    data
        The bytes that all places are in; at least 64 more can be read behind the last record.
    number
        Number of the line at which each record begins; the first line of a file is 1.
    line
        Where each record begins and ends (rows, 2), without its line end.
    begin, end
        Where each field begins and ends (fields, rows). The rows of these arrays are contiguous.
    flag
        `ABSENT`, `QUOTED`, `ESCAPED`, `NUMBER` of each field, added up (fields, rows).
    odd
        0, or why a record does not fit: `FEW`, `MANY`, `OPEN`, `AFTER_QUOTE`, `LONG`, `NOT_JSON`, `DEEP`, `TWICE`.
        It may be set to 0 where a format has records of several widths.
    count
        Fields that each record has; of an odd record for another reason the number of the field with the trouble,
        counted from 1.
    names
        What the fields are called, where the cutting knew names.
    """

    data: U8
    number: I64
    line: I32
    begin: I32
    end: I32
    flag: U8
    odd: U8
    count: I32
    names: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many records there are; blank lines are none."""
        return len(self.number)

    @property
    def fields(self) -> int:
        """How many fields are looked for in each record."""
        return len(self.begin)

    def record(self, row: int) -> bytes:
        """Return the bytes of a record, without its line end."""
        begin, end = self.line[row].tolist()
        return self.data[begin:end].tobytes()

    def content(self, field: int, row: int) -> bytes:
        """Return the bytes of a field, as they stand."""
        return self.data[self.begin[field, row] : self.end[field, row]].tobytes()

    def reason(self, row: int) -> str:
        """Say why an odd record does not fit, as a reject says it."""
        count = int(self.count[row])
        match int(self.odd[row]):
            case code if code in (FEW, MANY):
                fields = "field" if count == 1 else "fields"
                return f"row has {count} {fields}, {self.fields} are expected"
            case code if code == OPEN:
                return f"a quote is never closed (field {count})"
            case code if code == AFTER_QUOTE:
                return f"text follows a closing quote (field {count})"
            case code if code == LONG:
                return f"line longer than {MAX_LINE >> 20} MiB"
            case code if code == TWICE:
                return f"key {self.names[count - 1]!r} stands twice"
            case _:
                return _not_json(self.record(row))


SPAN_AT, SPAN_END, SPAN_LINE, SPAN_ROWS, SPAN_OPEN = range(5)
"""What a cutting loop is given (where it begins and ends, and the line's number) and tells (records, an open one)."""


def span_of(block: Block) -> I64:
    """Return what a cutting loop is told of a block."""
    return np.array([0, block.end, block.first_line, 0, -1], dtype=np.int64)


def room_for(block: Block, fields: int, names: tuple[str, ...] = (), *, cleared: bool = True) -> Cut:
    """Return room for the records of a block.

    All fields are `ABSENT`, if they are to be ``cleared``: a loop that tells of every field of each record needs no
    time for that.
    """
    rows = lines_in(block.data[: block.end]) if block.lines is None else block.lines
    shape = (fields, rows)
    if cleared:
        begin, end, flag = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.full(shape, ABSENT, np.uint8)
    else:
        begin, end, flag = _uncleared(shape)
    number, line = np.empty(rows, np.int64), np.empty((rows, 2), np.int32)
    odd, count = np.zeros(rows, np.uint8), np.zeros(rows, np.int32)
    return Cut(block.data, number, line, begin, end, flag, odd, count, names)


def _uncleared(shape: tuple[int, int]) -> tuple[I32, I32, U8]:
    """Return room for begin, end and flag of fields, with anything in it."""
    count = shape[0] * shape[1]
    room = own_room("fields", 9 * count)
    begin, end = (room[4 * place * count : 4 * (place + 1) * count].view(np.int32).reshape(shape) for place in (0, 1))
    return begin, end, room[8 * count : 9 * count].reshape(shape)


def lines_in(data: U8) -> int:
    """Return how many line ends there are."""
    return count_ends(data) if COMPILED else int(np.count_nonzero(data == LF))


@entry
def count_ends(data: U8) -> int:
    """Count the line ends of a block in one pass, without a second array."""
    count = 0
    for at in range(data.shape[0]):
        if data[at] == LF:
            count += 1
    return count


def trimmed(cut: Cut, rows: int) -> Cut:
    """Return a cut with as many records as were found."""
    odd = cut.odd[:rows]
    if SLOW_ONLY:
        odd[:] = SLOW
    return Cut(
        cut.data,
        cut.number[:rows],
        cut.line[:rows],
        cut.begin[:, :rows],
        cut.end[:, :rows],
        cut.flag[:, :rows],
        odd,
        cut.count[:rows],
        cut.names,
    )


def divided(cut: Cut, field: int, at: bytes, width: int, *, from_end: bool = False) -> Cut:
    """Return a field of every record divided into fields.

    Parameters
    ----------
    cut
        The records.
    field
        The field, counted from 0.
    at
        The byte in front of each new field, in order; one alone stands in front of each.
    width
        How many fields there are. The last one takes what is left, delimiters included; those that a record does
        not have are `ABSENT`.
    from_end
        Whether the field is divided from its end, as addresses with ports are; the first one takes what is left.

    Returns
    -------
    Cut
        The fields in the same records. ``odd`` and ``count`` are those of ``cut``.
    """
    if len(at) not in (1, width - 1):
        raise ValueError(f"{len(at)} delimiters cannot stand between {width} fields")
    marks = np.frombuffer(bytearray(at * (width - 1) if len(at) == 1 else at) + b" ", np.uint8)
    shape = (width, cut.rows)
    begin, end, flag = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.full(shape, ABSENT, np.uint8)
    divide(cut.data, cut.begin[field], cut.end[field], cut.flag[field], marks, -1 if from_end else 1, begin, end, flag)
    return replace(cut, begin=begin, end=end, flag=flag, names=())


@entry
def divide(data: U8, lefts: I32, rights: I32, flags: U8, marks: U8, step: int, begin: I32, end: I32, flag: U8) -> None:
    """Divide a column of fields."""
    width = begin.shape[0]
    for row in range(begin.shape[1]):
        left, right, given = int(lefts[row]), int(rights[row]), int(flags[row])
        if given & ABSENT:
            continue
        field = 0 if step > 0 else width - 1
        while 0 <= field < width:
            place = _mark(data, left, right, field, width, step, marks)
            begin[field, row] = left if step > 0 or place < 0 else place + 1
            end[field, row] = right if step < 0 or place < 0 else place
            flag[field, row] = given
            if place < 0:
                break
            left, right = (place + 1, right) if step > 0 else (left, place)
            field += step


@hot
def _mark(data: U8, left: int, right: int, field: int, width: int, step: int, marks: U8) -> int:
    """Return where a field ends, seen from where it begins; -1 where it takes what is left."""
    if field == (width - 1 if step > 0 else 0):
        return -1
    mark = int(marks[field if step > 0 else field - 1])
    place = left if step > 0 else right - 1
    while left <= place < right:
        if int(data[place]) == mark:
            return place
        place += step
    return -1


def _not_json(line: bytes) -> str:
    """Say why a line is not a JSON object."""
    try:
        value = json.loads(text_of(line), parse_constant=_refuse)
    except RecursionError:
        return f"not a JSON object: nested deeper than {MAX_DEPTH} levels"
    except ValueError as error:
        return f"not a JSON object: {error}"
    if isinstance(value, dict):
        return f"not a JSON object: nested deeper than {MAX_DEPTH} levels"
    return f"not a JSON object: it is a {type(value).__name__}"


def _refuse(constant: str) -> None:
    """Refuse what Python reads and JSON has not."""
    raise ValueError(f"{constant} is no value of JSON")
