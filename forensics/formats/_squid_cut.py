r"""A block of a Squid log cut into its fields: what a layout's expression does to one line, done to thousands at once.

Example::

    plan = plan_of(layout)
    cut = cut_by(block, plan, (0, 3, 4))  # the first, fourth and fifth code of the definition

The loop is stricter than the expression. A line that it cuts the expression cuts in the same way; a line that it
leaves may still be lawful: a user's name with spaces, quotes in a header, headers of ``log_mime_hdrs``. Such a line is
odd, and the reader of single lines has the last word on it. A definition that the loop cannot follow has no plan.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats._cut import (
    ABSENT,
    ESCAPED,
    SLOW,
    SPAN_AT,
    SPAN_END,
    SPAN_LINE,
    SPAN_ROWS,
    Cut,
    room_for,
    span_of,
    trimmed,
)
from forensics.formats._scanning import (
    FEED,
    RETURN,
    behind_blanks,
    behind_spaces,
    digits_end,
    line_end,
    next_gap,
    next_of,
    note_line,
    tag_end,
    without_return,
)
from forensics.formats._squid_logformat import TYPED
from forensics.packets._bits import byte_at, places
from forensics.packets._jit import entry, hot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.formats._blocks import Block
    from forensics.formats._cut import I32, I64, U8
    from forensics.formats._squid_logformat import Item, Layout

__all__ = ["Plan", "cut_by", "plan_of", "whole_lines"]

S_KIND, S_LEAST, S_MOST, S_STOP, S_HOW, S_COLUMN, S_TEXT, S_LITERAL, S_END = range(9)
"""A step: kind of field; fewest and most bytes or digits; the byte where it stops; more of it, added up; column that
takes it; where its template, then its literal begin; where that ends."""

NOTHING, DIGITS, DECIMAL, TAG, FREE, USER, TIME, COUNT, WORD, NAME = range(10)
"""Kinds of fields: none, a whole number, one with a fraction, capitals, free text, a user's name, a time; a number,
plain text and a user's name that end at the next space."""

DASH, SIGN, PORT, BEFORE, BEHIND, ESCAPES, MARKED = 1, 2, 4, 8, 16, 32, 64
"""How: a dash stands for nothing; a minus may stand before it; it is a port; spaces pad it before, behind; a backslash
protects what follows; bytes that an encoding may have written are told by `ESCAPED`."""

ANY_DIGIT, LETTER, PLUS, TO_FIVE, CENTURY = 1, 2, 3, 4, 5
"""Classes of bytes in the template of a time; any other byte stands for itself."""

_SPACE, _DASH, _DOT, _QUOTE, _BACKSLASH, _PERCENT = b' -."\\%'
_ZERO, _FIVE, _NINE, _A, _Z, _LOW_A, _LOW_Z, _UNDERSCORE = b"059AZaz_"
_DELETE = 127

_DIGITS = "0123456789"
_KINDS = {
    "[0-9]{1,10}": (DIGITS, 10, 0),
    "[0-9]{1,6}": (DIGITS, 6, 0),
    "[0-9]{1,3}|-": (DIGITS, 3, DASH),
    "[0-9]{1,18}|-": (DIGITS, 18, DASH),
    "-?[0-9]{1,18}|-": (DIGITS, 18, DASH | SIGN),
    "-?[0-9]{1,11}|-": (DIGITS, 11, DASH | SIGN),
    r"[0-9]{1,10}\.[0-9]{1,6}|-": (DECIMAL, 10, DASH),
    "[A-Z][A-Z0-9_]*+|-": (TAG, 0, DASH),
    TYPED[">p"][0]: (DIGITS, 5, DASH | PORT),
}
"""What the patterns of typed codes are to the loop: kind, most digits, how."""

_TEMPLATES = {
    "Y": (CENTURY, *(ANY_DIGIT,) * 3), "z": (PLUS, ANY_DIGIT, ANY_DIGIT, TO_FIVE, ANY_DIGIT), "j": (ANY_DIGIT,) * 3,
    "u": (ANY_DIGIT,), "w": (ANY_DIGIT,), "b": (LETTER,) * 3, "h": (LETTER,) * 3,
    **dict.fromkeys("dmyHMS", (ANY_DIGIT,) * 2),
}  # fmt: skip
"""Conversions of ``strftime`` that are always of one length; a month's name is, where it is short."""

_SHORT = {"T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y", "F": "%Y-%m-%d"}


class Plan(NamedTuple):
    """A layout as the loop follows it.

    Parameters
    ----------
    steps
        One row for each code, behind one for the text before the first (``S_*``).
    texts
        Templates and literals.
    """

    steps: I64
    texts: U8


@lru_cache(maxsize=64)
def plan_of(layout: Layout) -> Plan | None:
    """Return how the lines of a layout are cut, None where only its expression can."""
    texts = bytearray()
    steps = [[NOTHING, 0, 0, 0, 0, -1, 0, *_put(texts, _literal(layout.start))]]
    for place, item in enumerate(layout.items):
        last = place == len(layout.items) - 1
        step = _step(item, texts) if last or item.literal else None
        if step is None or not (item.literal + layout.start).isascii():
            return None
        steps.append([*step, *_put(texts, _literal(item.literal))])
    return Plan(np.array(steps, np.int64), np.frombuffer(texts + b" ", np.uint8))


def _put(texts: bytearray, text: bytes) -> tuple[int, int]:
    """Put a text to the others; return where it begins and ends."""
    begin = len(texts)
    texts += text
    return begin, len(texts)


def _literal(text: str) -> bytes:
    """Return a literal with one space where it has a run of them."""
    return re.sub(" +", " ", text).encode()


def _step(item: Item, texts: bytearray) -> list[int] | None:
    """Return the step of one code, without its literal; None where there is none."""
    if item.time is not None:
        template = _template(item.layout)
        begin, end = _put(texts, template or b"")
        return [TIME, end - begin, 0, 0, 0, -1, begin] if template else None
    stop = item.literal[:1]
    before, behind = item.padded
    how = BEFORE * before + BEHIND * (behind and stop != " ")
    if item.code in TYPED:
        kind, most, more = _KINDS[TYPED[item.code][0]]
        kind = COUNT if kind == DIGITS and stop == " " else kind
        return None if stop and stop in _DIGITS else [kind, 1, most, 0, how | more, -1, 0]
    # What is not UTF-8 is text with a backslash and hexadecimal digits to the expression: none of them may end it.
    if item.encoding == "/" or behind or (stop and stop in "\\x0123456789abcdef"):
        return None
    how |= MARKED * (item.decode is not None)
    if item.lazy:
        return [NAME if stop == " " else USER, 1, 0, ord(stop or "\n"), how, -1, 0]
    kind = WORD if stop in ("", " ") and not how & MARKED and item.encoding not in ("'", '"') else FREE
    if not stop:
        return [kind, *((0, 0, FEED) if item.encoding == "'" else (1, 0, _SPACE)), how, -1, 0]
    quoted = item.encoding == '"'
    return [kind, 0 if quoted or stop == '"' else 1, 0, ord(stop), how | ESCAPES * quoted, -1, 0]


def _template(layout: str) -> bytes | None:
    """Return the class of each byte in a written-out time; None where its length may differ."""
    for short, long in _SHORT.items():
        layout = layout.replace(f"%{short}", long)
    template = bytearray()
    for conversion, literal in re.findall(r"%(.)|([^%])", layout, re.DOTALL):
        if (conversion and conversion not in _TEMPLATES) or not literal.isascii() or (literal and literal < " "):
            return None
        template += bytes(_TEMPLATES[conversion]) if conversion else literal.encode()
    return bytes(template)


def cut_by(block: Block, plan: Plan, wanted: Sequence[int]) -> Cut:
    """Return where some fields of a block's lines lie.

    Parameters
    ----------
    block
        Whole lines.
    plan
        Their layout.
    wanted
        Numbers of the codes whose fields are looked for, in ascending order, counted from 0.
    """
    cut, span, steps = room_for(block, len(wanted), cleared=False), span_of(block), plan.steps.copy()
    steps[np.array(wanted, np.int64) + 1, S_COLUMN] = np.arange(len(wanted))
    begin, end, flag = cut.begin.reshape(-1), cut.end.reshape(-1), cut.flag.reshape(-1)
    cut_layout(cut.data, span, steps, plan.texts, begin, end, flag, cut.number, cut.line, cut.odd)
    return trimmed(cut, int(span[SPAN_ROWS]))


_NEVER = Plan(np.array([[NOTHING, 0, 0, 0, 0, -1, 0, 0, 1]], np.int64), np.frombuffer(bytearray(b"\n "), np.uint8))
"""A layout that no line has."""


def whole_lines(block: Block) -> Cut:
    """Return a block's lines, all of them odd: they are read one by one."""
    return cut_by(block, _NEVER, ())


@entry
def cut_layout(
    data: U8,
    span: I64,
    steps: I64,
    texts: U8,
    begin: I32,
    end: I32,
    flag: U8,
    number: I64,
    line: I32,
    odd: U8,
) -> None:
    """Cut the lines of a span by the steps of a layout; ``begin``, ``end``, ``flag`` hold one field after another."""
    at, stop, at_line, row, rows = span[SPAN_AT], span[SPAN_END], span[SPAN_LINE], 0, number.shape[0]
    while at < stop:
        first = at
        at = behind_blanks(data, first)
        if int(data[at]) != FEED:
            at = _cut_line(data, first, row, steps, texts, begin, end, flag, rows)
            odd[row] = 0 if at >= 0 else SLOW
            at = line_end(data, first if at < 0 else at)
            note_line(data, first, at, at_line, row, number, line, odd)
            if odd[row] != 0:
                _clear(row, rows, begin, end, flag)
            row += 1
        at, at_line = at + 1, at_line + 1
    span[SPAN_ROWS], span[SPAN_LINE] = row, at_line


@hot
def _clear(row: int, rows: int, begin: I32, end: I32, flag: U8) -> None:
    """Leave none of the fields of an odd line."""
    for k in range(row, begin.shape[0], rows):
        begin[k], end[k], flag[k] = 0, 0, ABSENT


@hot
def _cut_line(data: U8, at: int, row: int, steps: I64, texts: U8, begin: I32, end: I32, flag: U8, rows: int) -> int:
    """Cut a line; return a place in it behind all fields, or -1 where it is left to the expression."""
    base, bits = at, places(data, at, _SPACE, FEED)
    for step in range(steps.shape[0]):
        kind, how, column = steps[step, S_KIND], steps[step, S_HOW], steps[step, S_COLUMN]
        if how & BEFORE:
            at = behind_spaces(data, at)
        left, flags = at, ESCAPED if how & MARKED else 0
        if kind >= COUNT:  # where it ends is known before it is looked at: the next field need not wait for that
            at, base, bits = next_gap(data, at, base, bits)
            at = _up_to_gap(data, left, at, kind, steps[step, S_LEAST], steps[step, S_MOST], how)
        elif kind != NOTHING:
            at, flags = _field(data, at, step, steps, texts)
        if at < 0:
            return at
        if column >= 0:
            k = np.uint64(column * rows + row)  # not negative: compiled, a place below 0 would be looked for
            begin[k], end[k], flag[k] = left, at, flags
        if how & BEHIND:
            at = behind_spaces(data, at)
        at = _behind_literal(data, at, texts, steps[step, S_LITERAL], steps[step, S_END])
        if at < 0:
            return at
    over = byte_at(data, at) == FEED or (byte_at(data, at) == RETURN and byte_at(data, at + 1) == FEED)
    return at if over else -1


@hot
def _up_to_gap(data: U8, left: int, at: int, kind: int, least: int, most: int, how: int) -> int:
    """Return where a field ends that goes up to the next space, -1 where it does not fit."""
    if kind == COUNT and _digits(data, left, most, how) != at:
        return -1
    fits = kind != NAME or _SPACE < byte_at(data, left) < _DELETE
    return _checked(data, left, at, least) if fits else -1


@hot
def _checked(data: U8, left: int, at: int, least: int) -> int:
    """Return where text of so many bytes or more ends, -1 where it is shorter."""
    if byte_at(data, at) == FEED:
        at = without_return(data, left, at)
    return at if at - left >= least else -1


@hot
def _behind_literal(data: U8, at: int, texts: U8, k: int, stop: int) -> int:
    """Return where a literal ends, -1 where it is not there; a space stands for any number of them but none."""
    while k < stop:
        c = int(texts[k])
        if byte_at(data, at) != c:
            return -1
        at += 1
        if c == _SPACE:
            at = behind_spaces(data, at)
        k += 1
    return at


@hot
def _free(data: U8, at: int, stop: int, how: int) -> tuple[int, int]:
    """Return where free text ends, and its flags."""
    flags = 0
    while byte_at(data, at) != stop and byte_at(data, at) != FEED:
        c = byte_at(data, at)
        if c in (_BACKSLASH, _PERCENT) or c > _DELETE:
            flags = ESCAPED
        if c == _BACKSLASH and how & ESCAPES:
            at += 1
            if byte_at(data, at) == FEED:
                return -1, 0
        at += 1
    return at, flags


@hot
def _digits(data: U8, at: int, most: int, how: int) -> int:
    """Return where a whole number ends, -1 where there is none."""
    if byte_at(data, at) == _DASH and how & (DASH | SIGN):
        at += 1
        if not _ZERO <= byte_at(data, at) <= _NINE:
            return at if how & DASH else -1
        if not how & SIGN:
            return -1
    first, at = at, digits_end(data, at)
    if at == first or at - first > most:
        return -1
    return -1 if how & PORT and at - first == most and not _is_port(data, first, at) else at


@hot
def _is_port(data: U8, first: int, at: int) -> bool:
    """Tell whether five digits are a port."""
    value = 0
    for k in range(first, at):
        value = value * 10 + int(data[k]) - _ZERO
    return byte_at(data, first) != _ZERO and value <= 0xFFFF


@hot
def _field(data: U8, left: int, step: int, steps: I64, texts: U8) -> tuple[int, int]:
    """Return where a field that may hold spaces, or is not ended by one, ends, -1 where it does not fit; its flags."""
    at, flags, kind, how, stop = left, 0, steps[step, S_KIND], steps[step, S_HOW], steps[step, S_STOP]
    if kind == FREE:
        if how & (MARKED | ESCAPES) == 0:
            at = next_of(data, at, stop, FEED)
        else:
            at, flags = _free(data, at, stop, how)
        at = _checked(data, left, at, steps[step, S_LEAST]) if at >= 0 else at
    elif kind == DIGITS:
        at = _digits(data, at, steps[step, S_MOST], how)
    elif kind == TAG:
        first = byte_at(data, at)
        at = at + 1 if first == _DASH else tag_end(data, at) if _A <= first <= _Z else -1
    elif kind == TIME:
        at = _written(data, at, texts, steps[step, S_TEXT], steps[step, S_LEAST])
    elif kind == USER:
        if not _SPACE < byte_at(data, at) < _DELETE:
            return -1, 0
        at, flags = _free(data, at + 1, stop, how)
        at = without_return(data, 0, at) if byte_at(data, at) == FEED else at
        flags = ESCAPED if how & MARKED else flags
    else:
        alone = byte_at(data, at) == _DASH
        at = _digits(data, at, steps[step, S_MOST], how)
        if at >= 0 and not alone:
            at = _digits(data, at + 1, 6, 0) if byte_at(data, at) == _DOT else -1
    return at, flags


@hot
def _written(data: U8, at: int, texts: U8, k: int, size: int) -> int:
    """Return where a written-out time ends, -1 where a byte is not of its template's class."""
    for place in range(size):
        c, kind = byte_at(data, at + place), int(texts[k + place])
        digit = _ZERO <= c <= _NINE
        if kind == ANY_DIGIT:
            fits = digit
        elif kind == LETTER:
            fits = _LOW_A <= c | 32 <= _LOW_Z
        elif kind == PLUS:
            fits = c in (43, 45)
        elif kind == TO_FIVE:
            fits = digit and c <= _FIVE
        elif kind == CENTURY:
            fits = c in (49, 50)
        else:
            fits = c == kind
        if not fits:
            return -1
    return at + size
