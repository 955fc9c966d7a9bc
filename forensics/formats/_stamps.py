r"""Columns of written-out times: a layout as `strptime` knows it, read by a compiled loop.

Example: ``read_column(data, begin, end, compile_stamp("%d/%b/%Y:%H:%M:%S %z"))`` reads ``21/May/2015:10:00:01 +0900``.

What a text tells is kept apart from what it means: `Civil` has the time on the clock of whoever wrote it and, where the
text has one, its distance from UTC. `forensics.formats._zones.Clock` makes UTC of it.

References
----------
.. [1] The Open Group, *POSIX.1-2024*, ``strptime``: conversions, and years of two digits.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forensics.formats._stamp_loop import (
    EPOCH,
    FRACTION,
    HALF,
    LETTERS,
    LITERAL,
    MONTH,
    NO_OFFSET,
    NO_YEAR,
    NUMBER,
    P_DAY,
    P_HOUR,
    P_IGNORED,
    P_MINUTE,
    P_MONTH,
    P_SECOND,
    P_YEAR,
    P_YEAR2,
    PARTS,
    SPACES,
    ZONE,
    read_stamps,
)

__all__ = ["ISO", "NO_OFFSET", "NO_YEAR", "Civil", "Stamp", "compile_stamp", "joined", "read_column"]

_NUMBERS = {
    "d": (P_DAY, 1, 2), "m": (P_MONTH, 1, 2), "Y": (P_YEAR, 4, 4), "y": (P_YEAR2, 2, 2), "H": (P_HOUR, 1, 2),
    "I": (P_HOUR, 1, 2), "M": (P_MINUTE, 1, 2), "S": (P_SECOND, 1, 2), "j": (P_IGNORED, 1, 3), "u": (P_IGNORED, 1, 1),
    "w": (P_IGNORED, 1, 1),
}  # fmt: skip
"""Conversions of digits: the part they fill, the fewest and the most digits."""

_PADDED = {"e": "d", "k": "H", "l": "I"}
"""Conversions that may begin with spaces, and those that they are without them."""

_SHORT = {"T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y", "F": "%Y-%m-%d", "c": "%a %b %e %T %Y"}

_MOST_DIGITS = 18
"""Digits of a fraction that are passed over; the first six count."""


class Civil(NamedTuple):
    """A column of times as they were written.

    Parameters
    ----------
    local
        Time on the clock of whoever wrote it, counted as if that were UTC. Of a text without a year it lies in
        the year 0, which is a leap year, hence below `NO_YEAR`. Of one without a date it is the time of day. [us]
    offset
        By how much that clock is ahead of UTC, `NO_OFFSET` where the text does not say. [min]
    known
        False where the text is no time of its layout, or no time that exists; the others are 0 then.
    """

    local: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int32]
    known: npt.NDArray[np.bool_]


class Stamp(NamedTuple):
    """A layout, ready to read times. Made by `compile_stamp`.

    Parameters
    ----------
    text
        The layout as it was given.
    program
        What `read_stamps` does, one row a step: operation, part, fewest and most digits.
    zoned
        Whether the text says by how much it differs from UTC, or may say so.
    dated
        Whether it holds a date, not only the time of day.
    yearless
        Whether it holds a date without its year.
    """

    text: str
    program: npt.NDArray[np.int64]
    zoned: bool
    dated: bool
    yearless: bool


@cache
def compile_stamp(layout: str) -> Stamp:
    """Return how to read times of a layout, in the words of ``strptime`` and the C locale.

    A space stands for one or more spaces or tabs. Numbers may leave out their leading zero, months may be written out.
    ``.%f`` and ``,%f`` are a fraction of any length, or none: six digits count. ``%z`` is ``+0900``, ``+09:00``,
    ``+09``, ``Z``, ``UTC`` or ``GMT``; ``%?z`` the same, or nothing. ``%Z``, ``%a``, ``%j`` and their like are passed
    over: they repeat what others say, or say nothing certain. The second 60 is the last of its minute.

    Parameters
    ----------
    layout
        Such as ``%d/%b/%Y:%H:%M:%S %z``, or ``iso`` for ISO 8601 with or without ``T``, fraction and zone.

    Raises
    ------
    ValueError
        A conversion is not known, or the layout holds neither a date nor a time of day.
    """
    if layout == "iso":
        return ISO
    text = layout
    for short, long in _SHORT.items():
        text = text.replace(f"%{short}", long)
    steps, held = _steps(text)
    return _stamp(layout, steps, held)


def _stamp(layout: str, steps: list[tuple[int, int, int, int]], held: set[str]) -> Stamp:
    """Return the layout's stamp, if it holds enough."""
    epoch, parts = "s" in held, held & set("demYybBh")
    dated = epoch or bool({"d", "e"} & parts and {"m", "b", "B", "h"} & parts)
    if parts and not dated:
        raise ValueError(f"{layout!r} holds a part of a date, not a date")
    if not dated and not held & set("HIkl"):
        raise ValueError(f"{layout!r} holds neither a date nor a time of day")
    yearless = dated and not epoch and not {"Y", "y"} & parts
    program = np.array(steps, np.int64).reshape(-1, 4)
    return Stamp(layout, program, bool(held & {"z", "s"}), dated, yearless)


def _steps(text: str) -> tuple[list[tuple[int, int, int, int]], set[str]]:
    """Return the steps that read a layout, and the conversions it holds."""
    steps: list[tuple[int, int, int, int]] = []
    held = set[str]()
    for fraction, optional, code, spaces, literal in re.findall(
        r"(?:([.,])%f)|%[EO]?(?:(\?)(?=z))?(.)|(\s+)|(.)", text, re.DOTALL
    ):
        if fraction:
            steps.append((FRACTION, 1, 0, _MOST_DIGITS))
        elif spaces:
            steps.append((SPACES, 0, 1, 0))
        elif literal or code == "%":
            steps += [(LITERAL, byte, 0, 0) for byte in (literal or code).encode()]
        else:
            steps += _conversion(code, optional=bool(optional))
            held.add(code)
    return steps, held


def _conversion(code: str, *, optional: bool) -> list[tuple[int, int, int, int]]:
    """Return the steps of one conversion."""
    if code in _PADDED:
        return [(SPACES, 0, 0, 0), *_conversion(_PADDED[code], optional=False)]
    if code in _NUMBERS:
        return [(NUMBER, *_NUMBERS[code])]
    if code in "bBh":
        return [(MONTH, 0, 3, 9)]
    if code in "aAZ":
        return [(LETTERS, 0, 1, 16)]
    others = {"z": (ZONE, int(optional), 0, 0), "p": (HALF, 0, 0, 0), "s": (EPOCH, 0, 1, 10),
              "f": (FRACTION, 0, 1, _MOST_DIGITS)}  # fmt: skip
    if code not in others:
        raise ValueError(f"%{code} is not known")
    return [others[code]]


def _iso() -> Stamp:
    """Return the layout of ISO 8601 as logs write it."""
    steps, held = _steps("%Y-%m-%d_%H:%M:%S.%f%?z")
    steps = [(LITERAL, ord("T"), 1, 0) if step[:2] == (LITERAL, ord("_")) else step for step in steps]
    return _stamp("iso", steps, held)


ISO = _iso()
"""ISO 8601, for example ``2015-05-21T10:00:00.123456+09:00``; a space may stand for the ``T``, and all from the
fraction on may be absent."""


def read_column(
    data: npt.NDArray[np.uint8], begin: npt.NDArray[np.int32], end: npt.NDArray[np.int32], stamp: Stamp
) -> Civil:
    """Return the times that stand in ``data[begin[i]:end[i]]``; texts of other layouts are not known.

    Parameters
    ----------
    data
        Bytes of a block; writable, like all that compiled loops are given.
    begin, end
        Where each text begins and ends; equal for one that is absent.
    stamp
        Their layout.
    """
    rows = len(begin)
    local, offset, known = np.zeros(rows, np.int64), np.full(rows, NO_OFFSET, np.int32), np.zeros(rows, np.uint8)
    begin, end = np.ascontiguousarray(begin, np.int32), np.ascontiguousarray(end, np.int32)
    parts = np.zeros(PARTS, np.int64)
    read_stamps(data, begin, end, stamp.program, parts, local, offset, known)
    return Civil(local, offset, known.view(np.bool_))


def joined(date: Civil, time: Civil) -> Civil:
    """Return the times of a log that writes dates and times of day in two fields.

    Parameters
    ----------
    date
        Of a layout without time of day.
    time
        Of a layout without date; its zone counts, if it has one.
    """
    known = date.known & time.known
    local = np.where(known, date.local + time.local, 0)
    offset = np.where(time.offset != NO_OFFSET, time.offset, date.offset)
    return Civil(local, np.where(known, offset, NO_OFFSET).astype(np.int32), known)
