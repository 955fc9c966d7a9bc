r"""Where wanted values lie in records of ``key=value``: firewalls' logs, the kernel's, CEF and LEEF.

Example::

    cut = pairs(block, [b"srcip", b"dstip", b"sentbyte"])

A value ends at the next delimiter; one in quotes at its closing quote, in front of which a backslash protects what
follows it. ``key=`` has an empty value. Words that are no pair are passed over. Of a key that stands twice the last
one is taken.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from forensics.formats._cut import (
    ABSENT,
    AFTER_QUOTE,
    ESCAPED,
    LONG,
    OPEN,
    QUOTED,
    SPAN_AT,
    SPAN_END,
    SPAN_LINE,
    SPAN_ROWS,
    TWICE,
    Cut,
    room_for,
    span_of,
    trimmed,
)
from forensics.formats._scanning import (
    DELIMITER,
    EQUALS,
    ESCAPE,
    FEED,
    IN_QUOTES,
    LINE_END,
    NEVER,
    PLAIN,
    QUOTE,
    RETURN,
    Keys,
    behind_blanks,
    classes_of,
    clear_fields,
    closing_quote,
    found_key,
    keys_of,
    line_end,
    note_line,
    without_return,
)
from forensics.packets._jit import entry, hot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.formats._blocks import Block
    from forensics.formats._cut import I32, I64, U8

__all__ = ["pairs"]


def pairs(block: Block, keys: Sequence[bytes], *, delimiter: bytes = b" ", spaced: bool = False) -> Cut:
    """Return where the values of keys lie, a field each; a field that a record lacks is `ABSENT`.

    Parameters
    ----------
    block
        Whole lines.
    keys
        The keys, all different.
    delimiter
        The byte between two pairs; several in a row are one.
    spaced
        Whether words that are no pair belong to the value in front of them, delimiters included, as in CEF.
    """
    names = tuple(key.decode("utf-8", "backslashreplace") for key in keys)
    cut, span = room_for(block, len(keys), names), span_of(block)
    split_pairs(
        cut.data, span, int(spaced), classes_of(delimiter, quote=b'"', escape=b"\\", equals=b"="), *_keys(tuple(keys)),
        cut.begin, cut.end, cut.flag, cut.number, cut.line, cut.count, cut.odd,
    )  # fmt: skip
    return trimmed(cut, int(span[SPAN_ROWS]))


@lru_cache
def _keys(keys: tuple[bytes, ...]) -> Keys:
    """Return the keys in a form for compiled loops."""
    return keys_of([(0, key, field) for field, key in enumerate(keys)])


@entry
def split_pairs(
    data: U8, span: I64, spaced: int, kinds: U8, text: U8, edges: I64, slots: I64,
    begin: I32, end: I32, flag: U8, number: I64, line: I32, count: I32, odd: U8,
) -> None:  # fmt: skip
    """Find the values of wanted keys in every line of a span."""
    at, stop, at_line, row = span[SPAN_AT], span[SPAN_END], span[SPAN_LINE], 0
    while at < stop:
        first = at
        at = behind_blanks(data, at)
        if int(data[at]) != FEED:
            at = _record(data, first, row, spaced, kinds, text, edges, slots, begin, end, flag, count, odd)
            note_line(data, first, at, at_line, row, number, line, odd)
            if odd[row] in (LONG, OPEN):
                clear_fields(row, begin, end, flag)
            row += 1
        at, at_line = at + 1, at_line + 1
    span[SPAN_ROWS], span[SPAN_LINE] = row, at_line


@hot
def _record(
    data: U8, at: int, row: int, spaced: int, kinds: U8, text: U8, edges: I64, slots: I64,
    begin: I32, end: I32, flag: U8, count: I32, odd: U8,
) -> int:  # fmt: skip
    """Find the values of wanted keys in a line; return where it ends."""
    found, twice, field = 0, 0, NEVER
    while True:
        while int(kinds[PLAIN + int(data[at])]) == DELIMITER:
            at += 1
        if int(data[at]) == FEED:
            break
        first = at
        at, flags = _word(data, at, kinds)
        if int(kinds[PLAIN + int(data[at])]) != EQUALS:
            right = without_return(data, first, at) if int(data[at]) == FEED else at
            if spaced and field >= 0 and right > first and not int(flag[field, row]) & QUOTED:
                end[field, row] = right
                flag[field, row] |= flags
            continue
        found += 1
        field = found_key(data, first, at, 0, text, edges, slots)
        left, right, flags, at = _value(data, at + 1, kinds)
        if right < 0:
            count[row], odd[row] = found, -right
            return line_end(data, at)
        if field >= 0:
            if not int(flag[field, row]) & ABSENT:
                twice = field + 1
            begin[field, row], end[field, row], flag[field, row] = left, right, flags
    count[row] = twice or found
    odd[row] = TWICE if twice else 0
    return at


@hot
def _word(data: U8, at: int, kinds: U8) -> tuple[int, int]:
    """Return the end of a key or of a word that is none, and its flags; an escape protects a ``=`` behind it."""
    flags = 0
    while True:
        while int(kinds[PLAIN + int(data[at])]) == 0:
            at += 1
        if int(kinds[PLAIN + int(data[at])]) != ESCAPE:
            return at, flags
        flags = ESCAPED
        at += 1 if int(data[at + 1]) == FEED else 2


@hot
def _value(data: U8, at: int, kinds: U8) -> tuple[int, int, int, int]:
    """Return begin, end and flags of a value, and what is behind it; the end is below 0 where it is odd."""
    first, flags = at, 0
    if int(kinds[IN_QUOTES + int(data[at])]) == QUOTE:
        close, flags = closing_quote(data, at + 1, 0, 0, kinds)
        if close == NEVER:
            return at, -OPEN, flags, at
        at = close + 1
        if int(data[at]) == RETURN and int(data[at + 1]) == FEED:
            at += 1
        odd = int(kinds[PLAIN + int(data[at])]) not in (DELIMITER, LINE_END)
        return first + 1, -AFTER_QUOTE if odd else close, flags, at
    while True:
        while int(kinds[PLAIN + int(data[at])]) == 0:
            at += 1
        kind = int(kinds[PLAIN + int(data[at])])
        if kind == LINE_END:
            return first, without_return(data, first, at), flags, at
        if kind == DELIMITER:
            return first, at, flags, at
        flags |= ESCAPED if kind == ESCAPE else 0
        at += 1
