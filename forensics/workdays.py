"""Working days of an office: Monday to Friday but for public holidays; Japan's are known by the law's rules.

Example: 6 May 2015 was a substitute holiday, since 3 May was a Sunday and 4 and 5 May were holidays themselves.

>>> is_workday(date(2015, 5, 6)), is_workday(date(2015, 5, 7))
(False, True)

Another country's or an office's own days off are any set of dates: ``is_workday(day, holidays={date(2025, 12, 29)})``.

References
----------
.. [1] Act on National Holidays of Japan (Act No. 178 of 1948), articles 2 and 3, as amended up to 2018.
.. [2] Act on Special Measures for the Tokyo Olympic and Paralympic Games (Act No. 33 of 2015), article 32, as amended
   in 2018 and 2020: the moved holidays of 2020 and 2021.
.. [3] Act on the Day of the Emperor's Accession (Act No. 99 of 2018): the additional holidays of 2019.
.. [4] National Astronomical Observatory of Japan, *Calendar Requirements*: the days of the equinoxes.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["FIRST_YEAR", "LAST_YEAR", "JapaneseHolidays", "is_workday", "japanese_holidays"]

FIRST_YEAR, LAST_YEAR = 2000, 2035
"""Years whose holidays are known; in others only weekends are days off."""

ONE = timedelta(days=1)
SATURDAY, SUNDAY, MONDAY = 5, 6, 0

FIXED = (
    (1, 1, FIRST_YEAR, LAST_YEAR),  # New Year's Day
    (2, 11, FIRST_YEAR, LAST_YEAR),  # National Foundation Day
    (12, 23, FIRST_YEAR, 2018),  # the Emperor's birthday, of the one who abdicated in 2019
    (2, 23, 2020, LAST_YEAR),  # the Emperor's birthday
    (4, 29, FIRST_YEAR, LAST_YEAR),  # Greenery Day, from 2007 on Showa Day
    (5, 3, FIRST_YEAR, LAST_YEAR),  # Constitution Day
    (5, 4, 2007, LAST_YEAR),  # Greenery Day; before, a citizens' holiday between two others
    (5, 5, FIRST_YEAR, LAST_YEAR),  # Children's Day
    (7, 20, FIRST_YEAR, 2002),  # Marine Day
    (8, 11, 2016, LAST_YEAR),  # Mountain Day
    (9, 15, FIRST_YEAR, 2002),  # Respect for the Aged Day
    (11, 3, FIRST_YEAR, LAST_YEAR),  # Culture Day
    (11, 23, FIRST_YEAR, LAST_YEAR),  # Labour Thanksgiving Day
)
"""Month, day, first and last year."""

MONDAYS = (
    (1, 2, FIRST_YEAR),  # Coming of Age Day
    (7, 3, 2003),  # Marine Day
    (9, 3, 2003),  # Respect for the Aged Day
    (10, 2, FIRST_YEAR),  # Sports Day
)
"""Month, which Monday of it, first year."""

MOVED = {
    2020: {date(2020, 7, 20): date(2020, 7, 23), date(2020, 8, 11): date(2020, 8, 10),
           date(2020, 10, 12): date(2020, 7, 24)},
    2021: {date(2021, 7, 19): date(2021, 7, 22), date(2021, 8, 11): date(2021, 8, 8),
           date(2021, 10, 11): date(2021, 7, 23)},
}  # fmt: skip
"""Holidays that the Olympic Games moved."""

ADDED = {2019: (date(2019, 5, 1), date(2019, 10, 22))}
"""Accession and enthronement."""


class JapaneseHolidays:
    """The dates that are public holidays in Japan: ``date(2015, 5, 6) in JapaneseHolidays()``."""

    def __contains__(self, day: object) -> bool:
        """Tell whether a date is a public holiday; no date of a year that is not known is one."""
        return isinstance(day, date) and date(day.year, day.month, day.day) in japanese_holidays(day.year)


def is_workday(day: date, *, holidays: Container[date] = JapaneseHolidays()) -> bool:
    """Tell whether a date is a working day: Monday to Friday and no holiday.

    Parameters
    ----------
    day
        The date, in the zone of the office.
    holidays
        Days off besides weekends; Japan's public holidays where none are given.

    Examples
    --------
    >>> is_workday(date(2015, 5, 23)), is_workday(date(2015, 5, 4), holidays=())
    (False, True)
    """
    return day.weekday() < SATURDAY and day not in holidays


@cache
def japanese_holidays(year: int) -> frozenset[date]:
    """Return Japan's public holidays of a year; none for years outside of `FIRST_YEAR` to `LAST_YEAR`.

    Examples
    --------
    >>> len(japanese_holidays(2015)), len(japanese_holidays(1999))
    (17, 0)
    """
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return frozenset()
    days = {date(year, month, day) for month, day, first, last in FIXED if first <= year <= last}
    days |= {_monday(year, month, which) for month, which, first in MONDAYS if first <= year}
    days |= {date(year, 3, _equinox(year, 20.8431)), date(year, 9, _equinox(year, 23.2488))}
    moved = MOVED.get(year, {})
    days = {moved.get(day, day) for day in days} | set(ADDED.get(year, ()))
    return frozenset(days | _substitutes(days) | _between(days))


def _monday(year: int, month: int, which: int) -> date:
    """Return the n-th Monday of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(MONDAY - first.weekday()) % 7 + 7 * (which - 1))


def _equinox(year: int, day_1980: float) -> int:
    """Return the day of the month of an equinox in Japan; the formula is good from 1980 to 2099."""
    since = year - 1980
    return int(day_1980 + 0.242194 * since - since // 4)


def _substitutes(days: set[date]) -> set[date]:
    """Return the substitutes of holidays on Sundays: the next day; from 2007 on, the next that is no holiday."""
    found = set()
    for day in (day for day in days if day.weekday() == SUNDAY):
        other = day + ONE
        while other in days and day.year >= 2007:  # noqa: PLR2004  # the amendment of 2005
            other += ONE
        found |= {other} - days
    return found


def _between(days: set[date]) -> set[date]:
    """Return the days between two holidays, which are holidays themselves; a Sunday is one anyhow."""
    return {day + ONE for day in days if day + 2 * ONE in days and (day + ONE).weekday() != SUNDAY} - days
