"""Compiled loops from the spans of a block to the values of its columns: numbers, texts, authorities of URLs.

A span is a piece ``data[begin:end]`` of a block; one of no bytes is a value that is absent. Behind the last line of a
block lie 64 bytes of zeros, so that eight bytes can be read at any place of a line.

References
----------
.. [1] The Unicode Standard, version 15, table 3-7: well-formed byte sequences of UTF-8.
.. [2] RFC 3986, section 3: scheme and authority of a URL.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forensics.packets._bits import BYTES, copied, places, trailing, word_at
from forensics.packets._jit import entry, hot, jit
from forensics.packets.framing import u8

Bytes = npt.NDArray[np.uint8]
Shorts = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

__all__ = [
    "BAD_VALUE",
    "GOOD_VALUE",
    "NO_VALUE",
    "TUNNEL",
    "UNUSUAL_VALUE",
    "by_eight",
    "eight",
    "find_authorities",
    "find_text",
    "gather_text",
    "read_numbers",
]

GOOD_VALUE, NO_VALUE, BAD_VALUE, UNUSUAL_VALUE = 0, 1, 2, 3
"""What became of a number: read; not there; none, or too large; in a notation that is left to Python."""

_LINE_END = 10

_ZEROS, _SIXES, _NO_DIGIT = 0x3030_3030_3030_3030, 0x0606_0606_0606_0606, -0x0F0F_0F0F_0F0F_0F10
"""In each of eight bytes: the digit 0; what makes 16 of ten; the bits that a digit's value has not."""

_MOST_AT_ONCE = 16
"""Longest whole number that is read eight digits at a step."""

_SAFE_DIGITS = 18
"""So many digits are no number that 63 bits cannot hold."""


def by_eight(data: Bytes) -> Longs:
    """Return the eight bytes from each place on as one number, without a copy: one read in place of eight.

    The first byte is the lowest, as on every machine that numba compiles for.
    """
    return np.ndarray((len(data) - 7,), "<i8", data, strides=(1,))


@hot
def eight(eights: Longs, at: int, left: int) -> int:
    """Read eight bytes as one number, those behind the end of a word as zeros."""
    v = int(eights[at])
    return v if left >= 8 else v & ((1 << 8 * left) - 1)


@jit
def _is_null(b: Bytes, at: int, end: int, nulls: Bytes) -> bool:
    """Tell whether a span is empty, or one of the forms of *nothing*, each of which ends with a line end."""
    size = end - at
    if size <= 0:
        return True
    fit = 0
    for k in range(nulls.shape[0]):
        c = u8(nulls, k)
        if c == _LINE_END:
            if fit == size:
                return True
            fit = 0
        elif 0 <= fit < size and u8(b, at + fit) == c:
            fit += 1
        else:
            fit = -1
    return False


@jit
def _fraction(b: Bytes, dot: int, end: int, unit: int, whole: int) -> int:
    """Return ``whole`` units and the digits between ``dot`` and ``end``, as units, rounded half to even.

    The long multiplication of school, from the last digit on: exact for any number of digits.
    """
    carry = 0
    digit = 0
    rest = 0
    for k in range(end - 1, dot, -1):
        rest |= digit
        v = (u8(b, k) - 48) * unit + carry
        carry = v // 10
        digit = v - carry * 10
    value = whole * unit + carry
    if digit > 5 or (digit == 5 and (rest != 0 or value & 1 == 1)):
        value += 1
    return value


@jit
def _unusual(b: Bytes, at: int, end: int) -> bool:
    """Tell whether a span might be a number in a rarer notation, such as ``1.5e9``."""
    for k in range(at, end):
        c = u8(b, k)
        if not (48 <= c <= 57 or c in (43, 45, 46, 69, 101)):
            return False
    return True


@hot
def _is_digit(b: Bytes, at: int) -> bool:
    """Tell whether a byte is a digit."""
    return 48 <= u8(b, at) <= 57


@hot
def _digits(b: Bytes, at: int, end: int, limit: int) -> tuple[int, int]:
    """Return the number whose digits begin at ``at``, -1 where it passes the limit, and where they end."""
    value = 0
    safe = min(end, at + _SAFE_DIGITS)
    while at < safe:
        digit = u8(b, at) - 48
        if digit < 0 or digit > 9:
            break
        value = value * 10 + digit
        at += 1
    if value > limit:
        return -1, at
    if at < safe or at == end:
        return value, at
    tenth = limit // 10
    last = limit - 10 * tenth
    while at < end:
        digit = u8(b, at) - 48
        if digit < 0 or digit > 9:
            break
        if value > tenth or (value == tenth and digit > last):
            return -1, at
        value = value * 10 + digit
        at += 1
    return value, at


@hot
def _eight_digits(eights: Longs, end: int, size: int) -> int:
    """Return the number that up to eight bytes in front of a place are, -1 where one of them is no digit.

    Neighbours are added up: digits to pairs, pairs to fours, fours to all eight.
    """
    v = (int(eights[end - 8]) ^ _ZEROS) & -(1 << 8 * (8 - size))
    if v & _NO_DIGIT != 0 or (v + _SIXES) & _NO_DIGIT != 0:
        return -1
    v = (v * 10 + (v >> 8)) & 0x00FF_00FF_00FF_00FF
    v = (v * 100 + (v >> 16)) & 0x0000_FFFF_0000_FFFF
    return (v * 10_000 + (v >> 32)) & 0xFFFF_FFFF


@hot
def _whole(eights: Longs, at: int, end: int) -> int:
    """Return the number that some bytes are, -1 where they are no digits, or too many."""
    size = end - at
    if size < 1 or size > _MOST_AT_ONCE or end < 16:
        return -1
    if size <= 8:
        return _eight_digits(eights, end, size)
    high, low = _eight_digits(eights, end - 8, size - 8), _eight_digits(eights, end, 8)
    return -1 if high < 0 or low < 0 else high * 100_000_000 + low


@jit
def _any_number(b: Bytes, at: int, stop: int, nulls: Bytes, numeric: int, how: Longs) -> tuple[int, int]:
    """Return a number, 0 where there is none, and what became of it; see `read_numbers`."""
    unit, limit, decimal = int(how[0]), int(how[1]), int(how[2])
    if (numeric == 1 or stop <= at or not _is_digit(b, at)) and _is_null(b, at, stop, nulls):
        return 0, NO_VALUE
    first = at + 1 if decimal == 1 and u8(b, at) == 45 else at
    whole, dot = _digits(b, first, stop, limit)
    digits = dot - first
    tail = dot
    if decimal == 1 and dot < stop and u8(b, dot) == 46:
        tail += 1
        while tail < stop and 48 <= u8(b, tail) <= 57:
            tail += 1
        digits += tail - dot - 1
    if whole < 0 or tail < stop or digits == 0:
        return 0, UNUSUAL_VALUE if decimal == 1 and _unusual(b, at, stop) else BAD_VALUE
    value = _fraction(b, dot, tail, unit, whole) if tail > dot else whole * unit
    if value > limit * unit:
        return 0, BAD_VALUE
    return -value if first > at else value, GOOD_VALUE


@entry
def read_numbers(
    b: Bytes, eights: Longs, begin: Shorts, end: Shorts, nulls: Bytes, how: Longs, out: Longs, state: Bytes
) -> None:
    """Read a column of numbers.

    Parameters
    ----------
    b, eights, begin, end
        The spans, with the bytes also as `by_eight` gives them.
    nulls
        Texts that stand for nothing, each with a line end behind it.
    how
        The unit in which the results are counted; the largest number, before that; 1 where sign and fraction are
        lawful, else 0.
    out
        Takes the numbers, 0 where there is none.
    state
        Takes what became of each.
    """
    unit, limit = int(how[0]), int(how[1])
    numeric = 0  # 1 where a digit may begin what stands for nothing
    for k in range(nulls.shape[0]):
        numeric |= 1 if _is_digit(nulls, k) else 0
    for row in range(begin.shape[0]):
        at, stop = int(begin[row]), int(end[row])
        value = -1 if numeric == 1 else _whole(eights, at, stop)
        if 0 <= value <= limit:
            out[row], state[row] = value * unit, GOOD_VALUE
        else:
            out[row], state[row] = _any_number(b, at, stop, nulls, numeric, how)


@jit
def _is_utf8(b: Bytes, at: int, end: int) -> bool:
    """Tell whether a span is well-formed UTF-8."""
    while at < end:
        c = u8(b, at)
        at += 1
        if c < 0x80:
            continue
        if c < 0xC2 or c > 0xF4:
            return False
        more = 1 if c < 0xE0 else 2 if c < 0xF0 else 3
        if at + more > end:
            return False
        least = 0xA0 if c == 0xE0 else 0x90 if c == 0xF0 else 0x80
        most = 0x9F if c == 0xED else 0x8F if c == 0xF4 else 0xBF
        for k in range(at, at + more):
            if u8(b, k) < least or u8(b, k) > most:
                return False
            least = 0x80
            most = 0xBF
        at += more
    return True


@entry
def gather_text(
    b: Bytes,
    begin: Shorts,
    end: Shorts,
    nulls: Bytes,
    raw: int,
    out: Bytes,
    offsets: Shorts,
    state: Bytes,
) -> None:
    """Copy spans end to end, as Arrow has them.

    Parameters
    ----------
    b, begin, end
        The spans.
    nulls
        Texts that stand for nothing, each with a line end behind it.
    raw
        1 where any bytes will do, 0 where only UTF-8 is copied.
    out
        Takes their bytes; room for 64 more than they are.
    offsets
        Takes where each begins, and where the last one ends.
    state
        Takes what became of each: `BAD_VALUE` where it is not UTF-8.
    """
    used = 0
    for row in range(begin.shape[0]):
        offsets[row] = used
        at, stop = int(begin[row]), int(end[row])
        state[row] = GOOD_VALUE
        if stop - at <= nulls.shape[0] and _is_null(b, at, stop, nulls):
            state[row] = NO_VALUE
            continue
        seen = 0
        for k in range(0, stop - at, BYTES):
            found = copied(b, at + k, out, used + k)
            seen |= found if stop - at - k >= BYTES else found & ((1 << (stop - at - k)) - 1)
        if seen != 0 and raw == 0 and not _is_utf8(b, at, stop):
            state[row] = BAD_VALUE
            continue
        used += stop - at
    offsets[begin.shape[0]] = used


@entry
def find_text(b: Bytes, begin: Shorts, end: Shorts, text: Bytes, same: Bytes) -> None:
    """Tell with 1 which spans hold just one text, with 0 which do not."""
    size = text.shape[0]
    for row in range(begin.shape[0]):
        at = int(begin[row])
        fits = int(end[row]) - at == size
        k = 0
        while fits and k < size:
            fits = u8(b, at + k) == u8(text, k)
            k += 1
        same[row] = 1 if fits else 0


TUNNEL = 16
"""Kind of a word that is the target of a CONNECT; above the flags of a field."""

_HTTP, _HTTPS, _SEVEN = (int.from_bytes(text, "little") for text in (b"http://", b"https://", b"\xff" * 7))
"""How most URLs begin, and which bits seven bytes have, as numbers."""

_LONGEST_SCHEME = 16
_LONGEST_AUTHORITY = 4 * 1024
"""Longer than any that `forensics.formats._hosts` takes, four bytes being the longest character. [B]"""


@jit
def _authority_end(b: Bytes, at: int, end: int) -> int:
    """Return where the authority of an absolute URL ends, or its begin where there is none."""
    first = u8(b, at) | 32
    if first < 97 or first > 122:
        return at
    k = at + 1
    while k < end and k - at < _LONGEST_SCHEME:
        c = u8(b, k)
        letter = 97 <= c | 32 <= 122
        if not (letter or 48 <= c <= 57 or c in (43, 45, 46, 95)):
            break
        k += 1
    if end - k < 3 or u8(b, k) != 58 or u8(b, k + 1) != 47 or u8(b, k + 2) != 47:
        return at
    k += 3
    last = min(end, k + _LONGEST_AUTHORITY)
    while k < last and u8(b, k) != 47 and u8(b, k) != 63 and u8(b, k) != 35:
        k += 1
    if k == last < end and u8(b, k) != 47 and u8(b, k) != 63 and u8(b, k) != 35:
        return at
    return k


@hot
def _near_end(b: Bytes, at: int, end: int) -> int:
    """Return where the authority of an ``http`` or ``https`` URL ends, -1 where a closer look is needed."""
    scheme = word_at(b, at)
    k = at + 8 if scheme == _HTTPS else at + 7
    if scheme != _HTTPS and scheme & _SEVEN != _HTTP:
        return -1
    found = places(b, k, 47, 63) | places(b, k, 35, _LINE_END)
    return min(k + trailing(found), end) if found != 0 and k <= end else -1


@entry
def find_authorities(b: Bytes, begin: Shorts, end: Shorts, tunnel: Bytes, found: Shorts, kinds: Bytes) -> None:
    """Find how much of each request target says which server is meant.

    Parameters
    ----------
    b, begin, end
        The spans of the targets.
    tunnel
        1 where the request is a CONNECT, whose target is ``host:port``.
    found
        Takes where that part ends: scheme and authority, or the whole target of a CONNECT; its begin where there is
        no such part.
    kinds
        Gets `TUNNEL` added where the request is a CONNECT.
    """
    for row in range(begin.shape[0]):
        at, stop = int(begin[row]), int(end[row])
        found[row] = at
        if tunnel[row] != 0:
            kinds[row] |= TUNNEL
            if stop - at <= _LONGEST_AUTHORITY:
                found[row] = stop
        elif stop > at:
            near = _near_end(b, at, stop)
            found[row] = near if near >= 0 else _authority_end(b, at, stop)
