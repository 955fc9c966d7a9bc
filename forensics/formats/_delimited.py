r"""Records whose fields stand one after another with a delimiter between them: Squid's, Zeek's, web servers', CSV.

Example::

    access = Dialect(b" ", quote=b'"', escape=b"\\", brackets=b"[]")
    cut = delimited(block, access, 9)

A quote or bracket opens where it is the first byte of a field; anywhere else it is text. A quoted field ends at its
closing quote, a bracketed one at the bracket of the same depth. Where text follows that bracket, as in ``[::1]:80``,
the field goes on to the next delimiter and the brackets are part of it. An escape protects what follows it in
quotes alone; elsewhere it is text, but is told by `ESCAPED`. Nothing is undone: the places hold what was written.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._blocks import Block, block_of
from forensics.formats._cut import (
    AFTER_QUOTE,
    ESCAPED,
    FEW,
    LONG,
    MANY,
    OPEN,
    QUOTED,
    SPAN_AT,
    SPAN_END,
    SPAN_LINE,
    SPAN_OPEN,
    SPAN_ROWS,
    Cut,
    room_for,
    span_of,
    trimmed,
)
from forensics.formats._lines import MAX_LINE
from forensics.formats._scanning import (
    CLOSING,
    DELIMITER,
    ESCAPE,
    FEED,
    LINE_END,
    NEVER,
    OPENING,
    PLAIN,
    QUOTE,
    RETURN,
    behind_blanks,
    classes_of,
    clear_fields,
    closing_quote,
    line_end,
    note_line,
    without_return,
)
from forensics.packets._jit import entry, hot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from forensics.formats._cut import I32, I64, U8

__all__ = ["Dialect", "delimited", "whole_records"]


@dataclass(frozen=True, slots=True)
class Dialect:
    r"""How fields are kept apart.

    Parameters
    ----------
    delimiter
        The byte between two fields.
    runs
        Whether several delimiters in a row are one; at the begin or end of a line they leave an empty field there.
    quote
        The byte around a field that may hold delimiters; none if empty.
    escape
        The byte that protects the byte behind it, in quotes; none if empty.
    doubled
        Whether a quote written twice stands for one, in quotes.
    brackets
        Pairs of an opening and a closing byte around such a field: ``[]``, or ``[]{}<>``.
    multiline
        Whether quoted fields may hold line ends (RFC 4180). Blocks must then come through `whole_records`.
    """

    delimiter: bytes
    runs: bool = False
    quote: bytes = b""
    escape: bytes = b""
    doubled: bool = False
    brackets: bytes = b""
    multiline: bool = False


def delimited(block: Block, dialect: Dialect, width: int) -> Cut:
    """Return where the fields of a block's records lie.

    Parameters
    ----------
    block
        Whole lines.
    dialect
        How fields are kept apart.
    width
        How many fields a record has.
    """
    cut, span = room_for(block, width), span_of(block)
    split_fields(
        cut.data, span, _rule(dialect), _kinds(dialect),
        cut.begin, cut.end, cut.flag, cut.number, cut.line, cut.count, cut.odd,
    )  # fmt: skip
    return trimmed(cut, int(span[SPAN_ROWS]))


def whole_records(blocks: Iterable[Block], dialect: Dialect) -> Iterator[Block]:
    """Yield blocks of whole records, where quoted fields may hold line ends.

    Parameters
    ----------
    blocks
        Blocks of whole lines, in their order.
    dialect
        How fields are kept apart.
    """
    if not dialect.multiline:
        yield from blocks
        return
    rule, kinds = _rule(dialect, look=True), _kinds(dialect)
    carry, line = b"", 0
    for given in blocks:
        block = given
        if carry:
            block = block_of(carry + given.data[: given.end].tobytes(), line, last=given.last)
        carry, span = b"", span_of(block)
        if not block.last:
            none = room_for(Block(block.data, 0, 0, last=False), 0)
            one = np.zeros(1, np.int32)
            split_fields(
                block.data, span, rule, kinds, none.begin, none.end, none.flag, np.zeros(1, np.int64),
                np.zeros((1, 2), np.int32), one, np.zeros(1, np.uint8),
            )  # fmt: skip
            if span[SPAN_OPEN] != NEVER:
                carry, line = block.data[span[SPAN_OPEN] : block.end].tobytes(), int(span[SPAN_LINE])
        if end := block.end - len(carry):
            yield block._replace(end=end, lines=None)


RULE_RUNS, RULE_DOUBLED, RULE_MULTILINE, RULE_LOOK = range(4)


def _rule(dialect: Dialect, *, look: bool = False) -> I64:
    """Return what the loop is told of a dialect: besides, whether it only looks for an open record."""
    return np.array([dialect.runs, dialect.doubled, dialect.multiline, look], dtype=np.int64)


def _kinds(dialect: Dialect) -> U8:
    """Return the classes of bytes in a dialect."""
    return classes_of(dialect.delimiter, quote=dialect.quote, escape=dialect.escape, brackets=dialect.brackets)


@entry
def split_fields(
    data: U8, span: I64, rule: I64, kinds: U8,
    begin: I32, end: I32, flag: U8, number: I64, line: I32, count: I32, odd: U8,
) -> None:  # fmt: skip
    """Cut the records of a span into fields."""
    at, stop, at_line, row = span[SPAN_AT], span[SPAN_END], span[SPAN_LINE], 0
    while at < stop:
        first = at
        at = behind_blanks(data, first)
        if int(data[at]) == FEED:
            at, at_line = at + 1, at_line + 1
            continue
        last = min(stop - 1, first + MAX_LINE) if rule[RULE_MULTILINE] else first
        at = _record(data, first, last, row, rule, kinds, begin, end, flag, count, odd)
        if odd[row] == OPEN and last == stop - 1 and rule[RULE_LOOK]:
            span[SPAN_OPEN] = first
            break
        note_line(data, first, at, at_line, row, number, line, odd)
        if odd[row] in (LONG, OPEN):
            clear_fields(row, begin, end, flag)
        at_line += _feeds(data, last, first, at) + 1
        at += 1
        row += 1 - rule[RULE_LOOK]
    span[SPAN_ROWS], span[SPAN_LINE] = row, at_line


@hot
def _feeds(data: U8, last: int, first: int, end: int) -> int:
    """Return how many line ends are inside of a record."""
    feeds = 0
    if last > first:
        for place in range(first, end):
            feeds += int(data[place]) == FEED
    return feeds


@hot
def _record(
    data: U8, at: int, last: int, row: int, rule: I64, kinds: U8, begin: I32, end: I32, flag: U8, count: I32, odd: U8
) -> int:
    """Cut a record into fields; return where it ends."""
    first, fields, width = at, 0, begin.shape[0]
    while True:
        left, right, flags, at = _field(data, at, last, rule[RULE_DOUBLED], kinds)
        fields += 1
        if right < 0:
            count[row] = fields
            odd[row] = -right
            return line_end(data, first if -right == OPEN else at)
        if fields <= width:
            begin[fields - 1, row], end[fields - 1, row], flag[fields - 1, row] = left, right, flags
        if int(data[at]) == FEED:
            break
        at += 1
        while rule[RULE_RUNS] and int(kinds[PLAIN + int(data[at])]) == DELIMITER:
            at += 1
    count[row] = fields
    odd[row] = 0 if fields == width else FEW if fields < width else MANY
    return at


@hot
def _field(data: U8, at: int, last: int, doubled: int, kinds: U8) -> tuple[int, int, int, int]:
    """Return begin, end and flags of a field, and where what follows it is; the end is below 0 where it is odd."""
    first, flags, opening = at, 0, int(kinds[OPENING + int(data[at])])
    if opening:
        close, flags = _closing(data, at, last, doubled, kinds)
        if close == NEVER:
            return at, -OPEN, flags, at
        at = close + 1
        if int(data[at]) == RETURN and int(data[at + 1]) == FEED:
            at += 1
        if int(kinds[PLAIN + int(data[at])]) in (DELIMITER, LINE_END):
            return first + 1, close, flags, at
        if opening == QUOTE:
            return at, -AFTER_QUOTE, flags, at
        flags &= ESCAPED
    while True:
        while int(kinds[PLAIN + int(data[at])]) == 0:
            at += 1
        if int(kinds[PLAIN + int(data[at])]) != ESCAPE:
            break
        flags |= ESCAPED
        at += 1
    return first, without_return(data, first, at) if int(data[at]) == FEED else at, flags, at


@hot
def _closing(data: U8, at: int, last: int, doubled: int, kinds: U8) -> tuple[int, int]:
    """Return where the quote or bracket at a place is closed, or `NEVER`, and the flags of what is inside."""
    if int(kinds[OPENING + int(data[at])]) == QUOTE:
        return closing_quote(data, at + 1, last, doubled, kinds)
    opening, closing = int(data[at]), int(kinds[CLOSING + int(data[at])])
    depth, flags = 1, QUOTED
    while depth:
        at += 1
        byte = int(data[at])
        if byte == FEED:
            return NEVER, flags
        depth += (byte == opening) - (byte == closing)
        if int(kinds[PLAIN + byte]) == ESCAPE:
            flags |= ESCAPED
    return at, flags
