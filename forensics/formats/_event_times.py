"""Times of exported events: with zone in XML and JSON, on the clock of whoever exported them in CSV.

Example: ``EventTimes(evidence).utc("21.05.2015 10:00:01", 7)``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._events import UnreadableError
from forensics.formats._stamps import NO_OFFSET, Civil
from forensics.formats._times import iso_us
from forensics.formats._zones import Clock

if TYPE_CHECKING:
    from forensics.formats import Evidence

__all__ = ["EventTimes"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK = r"(?:T|,?\s+)(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:\s*([AP])\.?M\.?)?"
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})" + _CLOCK, re.IGNORECASE | re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})[-/.](\d{4})" + _CLOCK, re.IGNORECASE | re.ASCII)
_MILLISECONDS = re.compile(r"/Date\((\d{1,16})(?:[+-]\d{4})?\)/", re.ASCII)
_MARKS = str.maketrans("", "", "\u200e\u200f")  # between the parts of dates that Windows formats
_MIDNIGHT = 12


class EventTimes:
    """Reads the times of one file.

    A date such as ``3/4/2015`` is read as those around it are: a number above 12 tells which one the day is. Where the
    file has none at its begin, the month comes first with ``AM`` and ``PM``, and the day without. What holds is in the
    notes, as ``date_order``; a date of the other order is no time.

    Parameters
    ----------
    evidence
        The file; its hints have the zone.
    dates
        Times at the begin of the file, by which the order of day and month is known.
    """

    def __init__(self, evidence: Evidence, dates: list[str] | None = None) -> None:
        self._evidence, self._clock = evidence, Clock(evidence)
        self._day_first = self._order(dates or [])

    def _order(self, dates: list[str]) -> bool | None:
        """Return whether the day stands before the month; None where no date asks."""
        found = [match for text in dates if (match := _YEAR_LAST.fullmatch(text.translate(_MARKS).strip()))]
        if not found:
            return None
        if any(match[2] == "." or int(match[1]) > _MIDNIGHT for match in found):
            first, why = True, "a date tells"
        elif any(int(match[3]) > _MIDNIGHT for match in found):
            first, why = False, "a date tells"
        else:
            first, why = not any(match[9] for match in found), "assumed"
        self._evidence.notes["date_order"] = f"{'day' if first else 'month'} first ({why})"
        return first

    def utc(self, text: str, number: int) -> int:
        """Return a time. [us since 1970]

        Raises
        ------
        UnreadableError
            It is none.
        forensics.errors.TimezoneNeededError
            It has no zone, and none was given.
        """
        if found := _MILLISECONDS.fullmatch(text):
            return int(found[1]) * 1000
        try:
            return iso_us(text)
        except ValueError:
            local = self._local(text.translate(_MARKS).strip())
        civil = Civil(np.array([local]), np.array([NO_OFFSET], np.int32), np.array([True]))
        return int(self._clock.utc(civil, (number, text))[0])

    def _local(self, text: str) -> int:
        """Return a time on the clock of whoever wrote it. [us]"""
        if found := _YEAR_FIRST.fullmatch(text):
            year, month, day, *clock = found.groups()
        elif found := _YEAR_LAST.fullmatch(text):
            first, mark, second, year, *clock = found.groups()
            day_first = mark == "." if self._day_first is None else self._day_first
            day, month = (first, second) if day_first else (second, first)
        else:
            raise UnreadableError("its time is not one of its format")
        hour, minute, second, part, half = clock
        hours = int(hour) % 12 + 12 * (half.upper() == "P") if half else int(hour)
        try:
            moment = datetime(
                int(year), int(month), int(day), hours, int(minute), min(int(second or 0), 59), tzinfo=UTC
            )
        except ValueError:
            raise UnreadableError("its time is none that exists") from None
        return (
            (moment - _EPOCH).days * 86_400_000_000
            + (moment - _EPOCH).seconds * 1_000_000
            + int((part or "").ljust(6, "0")[:6])
        )
