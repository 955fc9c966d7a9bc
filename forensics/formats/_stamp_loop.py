"""The compiled loop behind `forensics.formats._stamps`: it follows a layout's steps over each text of a column.

A step is four numbers: the operation, the part it fills, the fewest and the most digits. A text that a step does not
fit, or that has more than the steps read, is no time.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.packets._jit import entry, jit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Ints32 = npt.NDArray[np.int32]
    Longs = npt.NDArray[np.int64]

__all__ = ["NO_OFFSET", "NO_YEAR", "PARTS", "read_stamps"]

LITERAL, SPACES, NUMBER, MONTH, LETTERS, ZONE, FRACTION, HALF, EPOCH = range(9)

P_YEAR, P_YEAR2, P_MONTH, P_DAY, P_HOUR, P_MINUTE, P_SECOND, P_MICRO, P_HALF, P_OFFSET, P_EPOCH, P_IGNORED = range(12)
PARTS = 12

NO_OFFSET = 1 << 14
"""Offset of a text that does not say its distance from UTC. [min]"""

NO_YEAR = -62_135_596_800_000_000
"""Start of the year 1: times below it lie in the year 0, and are of texts without a year. [us since 1970]"""

EARLIEST_YEAR = 1900
LATEST_US = 10**16 - 1
"""Latest time that is believed, in the year 2286, as `forensics.formats._times.LATEST`. [us since 1970]"""

_MONTHS = tuple(
    name[0] << 16 | name[1] << 8 | name[2]
    for name in (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
)
_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_UTC_NAMES = (0x757463, 0x676D74)  # utc, gmt
_POWERS = (1_000_000, 100_000, 10_000, 1_000, 100, 10, 1)

_BAD = -1


@entry
def read_stamps(
    data: Bytes, begin: Ints32, end: Ints32, program: Longs, parts: Longs, local: Longs, offset: Ints32, known: Bytes
) -> None:
    """Fill ``local``, ``offset`` and ``known`` with the times of a column of texts.

    Lines of one second share the text of their time: one that equals the text before it is not read again.
    """
    for row in range(begin.shape[0]):
        b, e = int(begin[row]), int(end[row])
        if row > 0 and _same(data, int(begin[row - 1]), int(end[row - 1]), b, e):
            local[row] = local[row - 1]
            offset[row] = offset[row - 1]
            known[row] = known[row - 1]
            continue
        at = _follow(data, b, e, program, parts)
        if at != e or b == e or not _exists(parts):
            continue
        time = _moment(parts)
        if time <= LATEST_US:
            local[row] = time
            offset[row] = parts[P_OFFSET]
            known[row] = 1


@jit
def _same(data: Bytes, b: int, e: int, other: int, other_end: int) -> bool:
    """Tell whether two texts are equal; the ends differ most, so they are compared from there."""
    if e - b != other_end - other:
        return False
    back = 1
    while back <= e - b and data[e - back] == data[other_end - back]:
        back += 1
    return back > e - b


@jit
def _follow(data: Bytes, b: int, e: int, program: Longs, parts: Longs) -> int:
    """Fill the parts from a text; return where the steps ended, `_BAD` where one did not fit."""
    for part in range(PARTS):
        parts[part] = -1
    parts[P_OFFSET] = NO_OFFSET
    at = b
    for step in range(program.shape[0]):
        operation, slot = int(program[step, 0]), int(program[step, 1])
        if operation == LITERAL:
            at = _literal(data, at, e, slot, int(program[step, 2]))
        elif operation in (NUMBER, EPOCH):
            slot = P_EPOCH if operation == EPOCH else slot
            at = _number(data, at, e, slot, int(program[step, 2]), int(program[step, 3]), parts)
        elif operation == SPACES:
            at = _spaces(data, at, e, int(program[step, 2]))
        elif operation == FRACTION:
            at = _fraction(data, at, e, slot, int(program[step, 3]), parts)
        elif operation == ZONE:
            at = _zone(data, at, e, slot, parts)
        else:
            at = _letters(data, at, e, operation, parts)
        if at == _BAD:
            return _BAD
    return at


@jit
def _literal(data: Bytes, at: int, e: int, byte: int, or_space: int) -> int:
    """Pass one byte; or, where that is allowed, a space or the small letter in its place."""
    if at >= e:
        return _BAD
    found = int(data[at])
    if found == byte or (or_space == 1 and (found == 32 or found == byte + 32)):
        return at + 1
    return _BAD


@jit
def _spaces(data: Bytes, at: int, e: int, fewest: int) -> int:
    """Pass spaces and tabs."""
    b = at
    while at < e and (data[at] == 32 or data[at] == 9):
        at += 1
    return at if at - b >= fewest else _BAD


@jit
def _number(data: Bytes, at: int, e: int, slot: int, fewest: int, most: int, parts: Longs) -> int:
    """Read digits into a part."""
    b = at
    value = 0
    while at < e and at - b < most and 48 <= data[at] <= 57:
        value = value * 10 + int(data[at]) - 48
        at += 1
    parts[slot] = value
    return at if at - b >= fewest else _BAD


@jit
def _fraction(data: Bytes, at: int, e: int, optional: int, most: int, parts: Longs) -> int:
    """Read a fraction of a second, cut to microseconds; with its point, if that is a part of it."""
    if optional == 1:
        if at >= e or (data[at] != 46 and data[at] != 44):
            return at
        at += 1
    b = at
    value = 0
    while at < e and at - b < most and 48 <= data[at] <= 57:
        if at - b < 6:
            value = value * 10 + int(data[at]) - 48
        at += 1
    digits = at - b
    if digits == 0:
        return _BAD
    parts[P_MICRO] = value * _POWERS[min(digits, 6)]
    return at


@jit
def _letters(data: Bytes, at: int, e: int, operation: int, parts: Longs) -> int:
    """Read a word of letters: a month, AM or PM, or one that says nothing."""
    b = at
    word = 0
    while at < e and at - b < 16:
        letter = int(data[at]) | 32
        if not 97 <= letter <= 122:
            break
        if at - b < 3:
            word = word << 8 | letter
        at += 1
    if operation == LETTERS:
        return at if at > b else _BAD
    if operation == HALF:
        parts[P_HALF] = 1 if word == 0x706D else 0
        return at if word in (0x706D, 0x616D) else _BAD
    for month in range(12):
        if at - b >= 3 and at - b <= 9 and word == _MONTHS[month]:
            parts[P_MONTH] = month + 1
            return at
    return _BAD


@jit
def _zone(data: Bytes, at: int, e: int, optional: int, parts: Longs) -> int:
    """Read a distance from UTC."""
    b = at
    if optional == 1:
        at = _spaces(data, at, e, 0)
    if at >= e:
        return b if optional == 1 else _BAD
    sign = int(data[at])
    if sign in (90, 122):  # Z
        parts[P_OFFSET] = 0
        return at + 1
    if sign not in (43, 45):
        return _utc(data, at, e, parts)
    at = _number(data, at + 1, e, P_IGNORED, 2, 2, parts)
    minutes = int(parts[P_IGNORED]) * 60
    if at != _BAD and at < e:
        colon = 1 if data[at] == 58 else 0
        if colon == 1 or 48 <= data[at] <= 57:
            at = _number(data, at + colon, e, P_IGNORED, 2, 2, parts)
            if parts[P_IGNORED] > 59:
                return _BAD
            minutes += int(parts[P_IGNORED])
    if minutes >= 1440:
        return _BAD
    parts[P_OFFSET] = -minutes if sign == 45 else minutes
    return at


@jit
def _utc(data: Bytes, at: int, e: int, parts: Longs) -> int:
    """Read one of the two names that say for certain which zone is meant."""
    if e - at < 3:
        return _BAD
    word = (int(data[at]) | 32) << 16 | (int(data[at + 1]) | 32) << 8 | int(data[at + 2]) | 32
    if word != _UTC_NAMES[0] and word != _UTC_NAMES[1]:
        return _BAD
    parts[P_OFFSET] = 0
    return at + 3


@jit
def _exists(parts: Longs) -> bool:
    """Tell whether there is such a time, and fill in what its layout leaves out."""
    if parts[P_EPOCH] >= 0:
        parts[P_OFFSET] = 0
        return True
    if parts[P_YEAR2] >= 0:
        parts[P_YEAR] = 1969 + (int(parts[P_YEAR2]) - 69) % 100  # POSIX: 69 to 99 are 1969 to 1999
    if parts[P_MONTH] < 0 and parts[P_DAY] < 0:
        parts[P_YEAR], parts[P_MONTH], parts[P_DAY] = 1970, 1, 1  # a time of day alone
    if parts[P_YEAR] < 0:
        parts[P_YEAR] = 0
    elif parts[P_YEAR] < EARLIEST_YEAR:
        return False
    year, month, day = int(parts[P_YEAR]), int(parts[P_MONTH]), int(parts[P_DAY])
    if month < 1 or month > 12 or day < 1 or day > _LENGTHS[month - 1] + (1 if month == 2 and _leap(year) else 0):
        return False
    if parts[P_HALF] >= 0:
        if parts[P_HOUR] < 1 or parts[P_HOUR] > 12:
            return False
        parts[P_HOUR] = int(parts[P_HOUR]) % 12 + 12 * int(parts[P_HALF])
    return int(parts[P_HOUR]) <= 23 and int(parts[P_MINUTE]) <= 59 and int(parts[P_SECOND]) <= 60


@jit
def _leap(year: int) -> bool:
    """Tell whether a year has a 29th of February."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


@jit
def _moment(parts: Longs) -> int:
    """Return the time that the parts tell, in microseconds since 1970 of its own clock."""
    micro = max(int(parts[P_MICRO]), 0)
    if parts[P_EPOCH] >= 0:
        return int(parts[P_EPOCH]) * 1_000_000 + micro
    year, month = int(parts[P_YEAR]), int(parts[P_MONTH])
    before = year - 1  # whole years before this one; floor division keeps the year 0 right
    days = before * 365 + before // 4 - before // 100 + before // 400 - 719_162
    days += _BEFORE[month - 1] + int(parts[P_DAY]) - 1
    if month > 2 and _leap(year):
        days += 1
    seconds = days * 86_400 + max(int(parts[P_HOUR]), 0) * 3_600 + max(int(parts[P_MINUTE]), 0) * 60
    return (seconds + min(max(int(parts[P_SECOND]), 0), 59)) * 1_000_000 + micro
