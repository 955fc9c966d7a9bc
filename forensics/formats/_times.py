"""Times of logs, exact to the microsecond: decimal text becomes integers without a detour over floats.

Example: ``epoch_us("1286536309.45")`` is ``1286536309450000``.

References
----------
.. [1] The Open Group, *POSIX.1-2024*, ``strftime``: the conversions `compile_strftime` knows.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from forensics.errors import TimezoneNeededError
from forensics.formats._exact import exact

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

__all__ = ["LATEST", "Strftime", "compile_strftime", "epoch_us", "iso_us", "seconds_us", "shown", "zone_needed"]

LATEST = 10**10 - 1
"""Latest time that is believed, in the year 2286; a later one is a damaged number. [s since 1970]"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST = 40  # digits of a number of seconds that any program writes; keeps hostile ones away from Decimal


def seconds_us(text: str) -> int:
    """Return a decimal number of seconds as microseconds, rounded half to even. [us]

    Raises
    ------
    ValueError
        If the text is no decimal number, or lies beyond `LATEST`.
    """
    whole, _, part = text.partition(".")
    if len(whole) <= 10 and len(part) <= 6 and (whole + part).isdecimal() and text.isascii() and whole:
        return int(whole) * 1_000_000 + int(part.ljust(6, "0"))
    if len(text) > _LONGEST or "_" in text or not text.isascii():
        raise ValueError("not a number of seconds")
    try:
        Decimal(text)
    except InvalidOperation:
        raise ValueError("not a number of seconds") from None
    value = exact(text, 1_000_000, LATEST)
    if value is None:
        raise ValueError("not a number of seconds that a log can hold")
    return value


def epoch_us(text: str) -> int:
    """Return a Unix time as microseconds; whole numbers of 12 digits or more are milliseconds. [us]

    Raises
    ------
    ValueError
        If the text is no time from 1970 on.
    """
    if 12 <= len(text) <= 13 and text.isdecimal() and text.isascii():
        return int(text) * 1000
    time = seconds_us(text)
    if time < 0:
        raise ValueError("before 1970")
    return time


def iso_us(text: str) -> int:
    """Return an ISO 8601 time with zone as microseconds since 1970. [us]

    Raises
    ------
    ValueError
        If the text is no such time, or carries no zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise ValueError("without a time zone")
    return (moment - _EPOCH) // _MICROSECOND


_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: i for i, name in enumerate(_MONTH_NAMES, 1)}
_CONVERSIONS = {
    "d": "[0-9]{2}", "e": " ?[0-9]{1,2}", "m": "[0-9]{2}", "Y": "[0-9]{4}", "y": "[0-9]{2}", "H": "[0-9]{2}",
    "k": " ?[0-9]{1,2}", "I": "[0-9]{2}", "M": "[0-9]{2}", "S": "[0-9]{2}", "s": "[0-9]{1,10}",
    "b": "[A-Za-z]{3,9}", "B": "[A-Za-z]{3,9}", "h": "[A-Za-z]{3}", "z": "[+-][0-9]{4}|Z", "p": "[AaPp][Mm]",
    "a": "[A-Za-z]{3,9}", "A": "[A-Za-z]{3,9}", "Z": "[A-Za-z0-9+-]{1,8}", "u": "[1-7]", "w": "[0-6]", "j": "[0-9]{3}",
}  # fmt: skip
_PASSED = frozenset("aAZuwj%")  # they repeat what others say; a zone's name alone says nothing certain
_SHORT = {"T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y", "F": "%Y-%m-%d", "c": "%a %b %e %T %Y", "n": "\n", "t": "\t"}


class Strftime(NamedTuple):
    """A ``strftime`` format, ready to read times.

    Parameters
    ----------
    pattern
        Regular expression of the text it writes; it holds no group.
    zoned
        Whether the text says by how much it differs from UTC.
    read
        Turns such a text, and the zone of texts without one, into microseconds since 1970; raises ValueError.
    """

    pattern: str
    zoned: bool
    read: Callable[[str, tzinfo | None], int]


def compile_strftime(text: str) -> Strftime:
    """Return how to read times that ``strftime`` wrote with the format `text`, in the C locale.

    Raises
    ------
    ValueError
        If the format holds a conversion that is not known, or too little to tell a time.
    """
    for short, long in _SHORT.items():
        text = text.replace(f"%{short}", long)
    pattern, grouped, codes = "", "", []
    for conversion, literal in re.findall(r"%[EO]?(.)|([^%]+)", text, re.DOTALL):
        part = re.escape(literal or "%") if literal or conversion == "%" else f"(?:{_part(conversion)})"
        pattern += part
        if literal or conversion in _PASSED:
            grouped += part
        else:
            codes.append(conversion)
            grouped += f"({part})"
    held = set(codes)
    if "s" not in held and not ({"d", "e"} & held and {"b", "B", "h", "m"} & held and {"Y", "y"} & held):
        raise ValueError("it holds no date")
    matcher = re.compile(grouped)

    @lru_cache(maxsize=4096)  # the lines of one second share the text of their time
    def read(value: str, zone: tzinfo | None) -> int:
        found = matcher.fullmatch(value)
        if found is None:
            raise ValueError("not a time of its format")
        try:
            return _moment(dict(zip(codes, found.groups(), strict=True)), zone)
        except (ValueError, OverflowError):
            raise ValueError("not a date that exists") from None

    return Strftime(pattern, bool({"z", "s"} & held), read)


def _part(code: str) -> str:
    """Return the pattern of one conversion."""
    if code not in _CONVERSIONS:
        raise ValueError(f"strftime's %{code} is not known")
    return _CONVERSIONS[code]


def _moment(parts: dict[str, str], zone: tzinfo | None) -> int:
    """Return the time that the parts of a ``strftime`` text tell. [us]"""
    if "s" in parts:
        return int(parts["s"]) * 1_000_000
    year = int(parts["Y"]) if "Y" in parts else 1969 + (int(parts["y"]) - 69) % 100  # POSIX: 69..99 are 1969..1999
    name = parts.get("b") or parts.get("B") or parts.get("h") or ""
    month = int(parts["m"]) if "m" in parts else _MONTHS.get(name[:3].lower(), 0)
    hour = int(parts.get("H") or parts.get("k") or parts.get("I") or 0)
    if "p" in parts:
        hour = hour % 12 + 12 * (parts["p"].lower() == "pm")
    offset = parts.get("z")
    if offset is not None:
        minutes = 0 if offset == "Z" else int(offset[1:3]) * 60 + int(offset[3:])
        zone = timezone(timedelta(minutes=-minutes if offset.startswith("-") else minutes))
    second = min(int(parts.get("S", "0")), 59)  # a leap second is the last one of its minute
    day = int(parts.get("d") or parts.get("e") or 0)
    moment = datetime(year, month, day, hour, int(parts.get("M", "0")), second, tzinfo=zone or UTC)
    return (moment - _EPOCH) // _MICROSECOND


def zone_needed(source: str, number: int, line: str) -> TimezoneNeededError:
    """Return the error of a log whose times carry no zone, with one of its lines and the ways to name the zone."""
    return TimezoneNeededError(
        source,
        f"its times carry no zone (line {number}: {shown(line)}); say which one the device kept: "
        'timezone="Asia/Tokyo" (UTC+9), timezone="UTC", or make it the case\'s default: '
        'open_case(..., log_timezone="Asia/Tokyo")',
    )


def shown(line: str, most: int = 60) -> str:
    """Return the start of a line as a message quotes it."""
    return repr(line if len(line) <= most else f"{line[:most]} ...")
