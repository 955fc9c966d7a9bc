"""What JSON is made of: white space, strings, numbers and words, each found to its end.

None of these loops looks behind a line end.

References
----------
.. [1] RFC 8259, *The JavaScript Object Notation (JSON) Data Interchange Format*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._cut import ESCAPED, QUOTED
from forensics.formats._scanning import NEVER, RETURN
from forensics.packets._jit import hot, jit

if TYPE_CHECKING:
    from forensics.formats._cut import U8

_STRING, _HEX, _UNDONE, _TRUE = 0, 256, 512, 768
"""Where tables begin: what ends the text of a string, digits plus 1, what a byte behind a backslash means, words."""

_WORDS = b"true\0false\0null\0"
_FALSE, _NULL = _TRUE + 5, _TRUE + 11

BACKSLASH, MARK, COMMA, COLON, MINUS, _PLUS, _POINT, ZERO, NINE, _SPACE, _TAB = b'\\",:-+.09 \t'
_T, _F, N, U, _E, _LARGE_E = b"tfnueE"
OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST = b"{}[]"


def _kinds() -> U8:
    """Return the classes of bytes in JSON."""
    kinds = np.zeros(_TRUE + len(_WORDS), dtype=np.uint8)
    kinds[:32] = 1
    kinds[[MARK, BACKSLASH]] = 1
    kinds[[_UNDONE + byte for byte in b'"\\/bfnrt']] = list(b'"\\/\b\f\n\r\t')
    kinds[_TRUE:] = list(_WORDS)
    for value, byte in enumerate(b"0123456789abcdef", 1):
        kinds[_HEX + byte] = kinds[_HEX + ord(chr(byte).upper())] = value
    return kinds


KINDS = _kinds()


@hot
def behind_white(data: U8, at: int) -> int:
    """Return the first place that is no white space of JSON; a line end is none here."""
    while int(data[at]) <= _SPACE and int(data[at]) in (_SPACE, _TAB, RETURN):
        at += 1
    return at


@hot
def string_end(data: U8, at: int, kinds: U8) -> tuple[int, int]:
    """Return the place of a string's closing quote, or `NEVER`, and its flags."""
    flags = QUOTED
    while True:
        while int(kinds[_STRING + int(data[at])]) == 0:
            at += 1
        if int(data[at]) == MARK:
            return at, flags
        if int(data[at]) != BACKSLASH:  # a control character
            return NEVER, flags
        flags |= ESCAPED
        if int(data[at + 1]) == U:
            at += 2
            digits = 0
            while digits < 4 and int(kinds[_HEX + int(data[at])]):
                digits, at = digits + 1, at + 1
            if digits < 4:
                return NEVER, flags
        elif int(kinds[_UNDONE + int(data[at + 1])]):
            at += 2
        else:
            return NEVER, flags


@jit
def number_end(data: U8, at: int) -> int:
    """Return what is behind a number, or `NEVER`."""
    at += int(data[at]) == MINUS
    if int(data[at]) == ZERO:
        at += 1
    else:
        at = _digits_end(data, at)
    if at != NEVER and int(data[at]) == _POINT:
        at = _digits_end(data, at + 1)
    if at != NEVER and int(data[at]) in (_E, _LARGE_E):
        at += 1
        at = _digits_end(data, at + (int(data[at]) in (_PLUS, MINUS)))
    return at


@hot
def _digits_end(data: U8, at: int) -> int:
    """Return what is behind a run of digits, or `NEVER` where there is none."""
    first = at
    while ZERO <= int(data[at]) <= NINE:
        at += 1
    return at if at > first else NEVER


@jit
def word_end(data: U8, at: int, kinds: U8) -> int:
    """Return what is behind ``true``, ``false`` or ``null``, or `NEVER`."""
    first = int(data[at])
    place = _TRUE if first == _T else _FALSE if first == _F else _NULL
    while int(kinds[place]):
        if int(data[at]) != int(kinds[place]):
            return NEVER
        at, place = at + 1, place + 1
    return at


@hot
def character(data: U8, at: int, kinds: U8) -> int:
    """Return the character at a place of a string, its escape undone."""
    if int(data[at]) != BACKSLASH:
        return int(data[at])
    if int(data[at + 1]) != U:
        return int(kinds[_UNDONE + int(data[at + 1])])
    value = 0
    for place in range(at + 2, at + 6):
        value = value * 16 + int(kinds[_HEX + int(data[place])]) - 1
    return value
