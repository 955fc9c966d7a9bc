"""What the loops that cut records share: classes of bytes, line ends, quotes, and looking a key up.

Every block ends with a line end, where every one of these loops stops: none looks behind it.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats._cut import ABSENT, ESCAPED, LONG, QUOTED
from forensics.formats._lines import MAX_LINE
from forensics.packets._bits import BYTES, byte_at, places, trailing, word_at
from forensics.packets._jit import hot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.formats._cut import I32, I64, U8

FEED, RETURN = b"\n\r"
_SPACE = ord(" ")
_EACH, _LOW, _HIGH, _SEVEN = 0x01010101010101, 0x7F7F7F7F7F7F7F, 0x80808080808080, (1 << 56) - 1
"""In each of seven bytes: one, all bits but the upper, the upper, all."""
_ZEROS, _ABOVE_NINE, _SPACES = 0x30 * _EACH, 0x76 * _EACH, 0x20 * _EACH
_BLANKS = tuple(b" \t\r\v\f")

# Classes of bytes, by the place at which they are met; 0 is text. The tables lie one after another in one array.
PLAIN, IN_QUOTES, OPENING, CLOSING = 0, 256, 512, 768
CLASSES = 1024

DELIMITER, LINE_END, ESCAPE, QUOTE, BRACKET, EQUALS = 1, 2, 3, 4, 5, 6

NEVER = -1


def classes_of(
    delimiter: bytes, *, quote: bytes = b"", escape: bytes = b"", brackets: bytes = b"", equals: bytes = b""
) -> U8:
    """Return the class of every byte: in plain text, in quotes, and where it opens a field; what closes it.

    Parameters
    ----------
    delimiter, quote, escape, brackets
        As in `forensics.formats._delimited.Dialect`.
    equals
        The byte behind a key.
    """
    kinds = np.zeros(CLASSES, dtype=np.uint8)
    for at, byte, kind in (
        (PLAIN, escape, ESCAPE),
        (PLAIN, equals, EQUALS),
        (PLAIN, delimiter, DELIMITER),
        (IN_QUOTES, quote, QUOTE),
        (IN_QUOTES, escape, ESCAPE),
        (OPENING, brackets[::2], BRACKET),
        (OPENING, quote, QUOTE),
    ):
        kinds[[at + value for value in byte]] = kind
    kinds[[PLAIN + FEED, IN_QUOTES + FEED]] = LINE_END
    for opening, closing in zip(brackets[::2], brackets[1::2], strict=True):
        kinds[CLOSING + opening] = closing
    return kinds


@hot
def behind_blanks(data: U8, at: int) -> int:
    """Return the first place that is no white space; a line end is none here."""
    while int(data[at]) <= _SPACE and int(data[at]) in _BLANKS:
        at += 1
    return at


@hot
def line_end(data: U8, at: int) -> int:
    """Return the place of the line end at or behind a place."""
    while int(data[at]) != FEED:
        at += 1
    return at


@hot
def next_of(data: U8, at: int, one: int, other: int) -> int:
    """Return the place of the first byte at or behind a place that is one of two, seven bytes at a step.

    Seven bytes, in which sums keep clear of the sign, are compared at once: a byte that is sought becomes zero, and
    only of a zero the upper bit stays clear where all bits but the upper are added to its lower seven.
    """
    ones, others = one * _EACH, other * _EACH
    while True:
        held = word_at(data, at) & _SEVEN
        x, y = held ^ ones, held ^ others
        found = ~((((x & _LOW) + _LOW) | x) & (((y & _LOW) + _LOW) | y)) & _HIGH
        if found != 0:
            break
        at += 7
    return at + (trailing(found) >> 3)


@hot
def next_gap(data: U8, at: int, base: int, bits: int) -> tuple[int, int, int]:
    """Return the place of the first space or line end at or behind a place.

    Parameters
    ----------
    data, at
        A block's bytes, and the place.
    base, bits
        Where `places` looked last in front of the place, and what it found.

    Returns
    -------
    tuple
        The place, and what is the next call's ``base`` and ``bits``.
    """
    if at - base >= BYTES:
        base, bits = at, places(data, at, _SPACE, FEED)
    left = bits >> (at - base)  # the upper bit stays, and above it nothing is lower
    while left == 0:
        base += BYTES
        at, bits = base, places(data, base, _SPACE, FEED)
        left = bits
    return at + trailing(left), base, bits


@hot
def behind_spaces(data: U8, at: int) -> int:
    """Return the first place that is no space; mostly it is the one that is asked for."""
    while byte_at(data, at) == _SPACE:
        x = (word_at(data, at) & _SEVEN) ^ _SPACES
        found = (((x & _LOW) + _LOW) | x) & _HIGH
        at += trailing(found) >> 3 if found != 0 else 7
    return at


@hot
def digits_end(data: U8, at: int) -> int:
    """Return the place of the first byte at or behind a place that is no digit, seven bytes at a step."""
    while True:
        x = (word_at(data, at) & _SEVEN) ^ _ZEROS
        found = (((x & _LOW) + _ABOVE_NINE) | x) & _HIGH
        if found != 0:
            break
        at += 7
    return at + (trailing(found) >> 3)


@hot
def tag_end(data: U8, at: int) -> int:
    """Return the place of the first byte at or behind a place that is no capital, digit or underscore."""
    while True:
        held = word_at(data, at)
        x = held & _LOW
        digit = (x + 0x50 * _EACH) & ~(x + 0x46 * _EACH)
        letter = (x + 0x3F * _EACH) & ~(x + 0x25 * _EACH)
        underscore = ~((x ^ 0x5F * _EACH) + _LOW)
        found = ~((digit | letter | underscore) & ~held) & _HIGH
        if found != 0:
            break
        at += 7
    return at + (trailing(found) >> 3)


@hot
def without_return(data: U8, begin: int, end: int) -> int:
    """Return the end of a line without the carriage return that may stand in front of the line end."""
    return end - 1 if end > begin and int(data[end - 1]) == RETURN else end


@hot
def note_line(data: U8, first: int, at: int, at_line: int, row: int, number: I64, line: I32, odd: U8) -> None:
    """Note number and place of a record from its first byte to its line end; one that is too long is odd."""
    number[row], line[row, 0], line[row, 1] = at_line, first, without_return(data, first, at)
    if line[row, 1] - first > MAX_LINE:
        odd[row] = LONG


@hot
def clear_fields(row: int, begin: I32, end: I32, flag: U8) -> None:
    """Leave none of the fields of an odd record."""
    flag[:, row] = ABSENT
    begin[:, row] = end[:, row] = 0


@hot
def closing_quote(data: U8, at: int, last: int, doubled: int, kinds: U8) -> tuple[int, int]:
    """Return the place of the closing quote, or `NEVER`, and the flags of what stands in front of it.

    Parameters
    ----------
    data
        A block's bytes.
    at
        The byte behind the opening quote.
    last
        Line ends up to here are part of the field.
    doubled
        Whether a quote written twice does not close.
    kinds
        Classes of bytes.
    """
    flags = QUOTED
    while True:
        while int(kinds[IN_QUOTES + int(data[at])]) == 0:
            at += 1
        kind = int(kinds[IN_QUOTES + int(data[at])])
        if kind == LINE_END:
            if at >= last:
                return NEVER, flags
            at += 1
        elif kind == ESCAPE:
            flags |= ESCAPED
            at += 1 if int(data[at + 1]) == FEED else 2
        elif kind == QUOTE and doubled and int(data[at + 1]) == int(data[at]):
            flags |= ESCAPED
            at += 2
        else:
            return at, flags


class Keys(NamedTuple):
    """Keys to be found in a log, in a form for compiled loops.

    Parameters
    ----------
    text
        The bytes of all keys.
    edges
        Of each key: where it is looked for, its begin and end in ``text``, and what it leads to.
    slots
        A hash table with open addressing: the index of a key, or `NEVER`.
    """

    text: U8
    edges: I64
    slots: I64


def _slot(node: int, size: int, first: int, last: int) -> int:
    """Return the hash of a key."""
    return node * 31 + size * 7 + first * 3 + last * 17


slot_of = hot(_slot)


def keys_of(edges: Sequence[tuple[int, bytes, int]]) -> Keys:
    """Return the table of keys, given as where each is looked for, its bytes (at least one), and what it leads to."""
    slots = np.full(4 << len(edges).bit_length(), NEVER, dtype=np.int64)
    rows = np.zeros((len(edges), 4), dtype=np.int64)
    text = bytearray()
    for edge, (node, key, target) in enumerate(edges):
        rows[edge] = node, len(text), len(text) + len(key), target
        text += key
        slot = _slot(node, len(key), key[0], key[-1]) % len(slots)
        while slots[slot] != NEVER:
            slot = (slot + 1) % len(slots)
        slots[slot] = edge
    return Keys(np.frombuffer(text + b" ", np.uint8), rows, slots)


@hot
def found_key(data: U8, begin: int, end: int, node: int, text: U8, edges: I64, slots: I64) -> int:
    """Return what the key at a place leads to, or `NEVER`."""
    size = end - begin
    if size == 0:
        return NEVER
    mask = len(slots) - 1
    slot = slot_of(node, size, int(data[begin]), int(data[end - 1])) & mask
    while slots[slot] != NEVER:
        edge = slots[slot]
        at = edges[edge, 1]
        if edges[edge, 0] == node and edges[edge, 2] - at == size:
            same = 0
            while same < size and int(text[at + same]) == int(data[begin + same]):
                same += 1
            if same == size:
                return int(edges[edge, 3])
        slot = (slot + 1) & mask
    return NEVER
