"""Working days: Monday to Friday but for public holidays; Japan's are known by the rules of the law.

The Act on National Holidays (Act No. 178 of 1948, as amended) names some days by date, some by weekday and the two
equinoxes, which are computed here as the almanac has them from 1980 to 2099. Years before 2000 had other rules and are
refused. Later changes of the law are not known; give `is_workday` your own holidays then.

Example::

    is_workday(date(2015, 5, 5), japanese_holidays(2015))  # False: children's day, a Tuesday
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

__all__ = ["FIRST_YEAR", "LAST_YEAR", "holidays_in", "is_workday", "japanese_holidays"]

FIRST_YEAR, LAST_YEAR = 2000, 2099

JAPANESE_ZONES = frozenset({"Asia/Tokyo", "Japan"})

MONDAY, SATURDAY, SUNDAY = 0, 5, 6
REFORM = 2007
"""From this year on a holiday on a Sunday moves to the next day that is none, not only to Monday."""

MOVED = {2020: ((7, 23), (8, 10), (7, 24)), 2021: ((7, 22), (8, 8), (7, 23))}
"""Marine, mountain and sports day of the years of the Olympic games, which a law of their own moved."""

ACCESSION = (date(2019, 5, 1), date(2019, 10, 22))


def is_workday(day: date, holidays: Container[date] | None = None) -> bool:
    """Return whether people work on a day.

    Parameters
    ----------
    day
        The day.
    holidays
        Days on which nobody works, beside Saturdays and Sundays; Japan's public holidays where they are not given.

    Returns
    -------
    bool
        False on Saturdays, Sundays and holidays.

    Raises
    ------
    ValueError
        No holidays are given and the year is before 2000 or after 2099.
    """
    return day.weekday() < SATURDAY and day not in (japanese_holidays(day.year) if holidays is None else holidays)


def holidays_in(zone: str, years: range) -> frozenset[date]:
    """Return the public holidays that are known for a time zone: Japan's in its zone, none elsewhere.

    Parameters
    ----------
    zone
        Name of the time zone, as the case has it.
    years
        The years; those without known rules have none.
    """
    if zone not in JAPANESE_ZONES:
        return frozenset()
    known = [year for year in years if FIRST_YEAR <= year <= LAST_YEAR]
    return frozenset().union(*(japanese_holidays(year) for year in known))


@cache
def japanese_holidays(year: int) -> frozenset[date]:
    """Return the public holidays of Japan in a year, with substitute holidays and days between two holidays.

    Parameters
    ----------
    year
        The year, 2000 to 2099.

    Raises
    ------
    ValueError
        The rules of that year are not known.
    """
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"the holidays of {year} are not known; those of {FIRST_YEAR} to {LAST_YEAR} are")
    named = frozenset(_named(year))
    between = {
        day + timedelta(days=1)
        for day in named
        if day + timedelta(days=2) in named and (day + timedelta(days=1)).weekday() != SUNDAY
    }
    substitutes = {_substitute(day, named) for day in named if day.weekday() == SUNDAY}
    return named | between | {day for day in substitutes if day is not None}


def _named(year: int) -> Iterator[date]:
    """Yield the days that the law names."""
    yield date(year, 1, 1)
    yield _nth_monday(year, 1, 2)  # coming of age
    yield date(year, 2, 11)
    yield date(year, 3, _equinox(year, 20.8431))
    yield from (date(year, 4, 29), date(year, 5, 3), date(year, 5, 5))
    if year >= REFORM:
        yield date(year, 5, 4)
    yield date(year, 9, _equinox(year, 23.2488))
    yield date(year, 9, 15) if year < 2003 else _nth_monday(year, 9, 3)  # noqa: PLR2004  # respect for the aged
    yield from (date(year, 11, 3), date(year, 11, 23))
    yield from _summer(year)
    yield from _reign(year)


def _summer(year: int) -> Iterator[date]:
    """Yield marine day, mountain day and sports day."""
    if year in MOVED:
        yield from (date(year, month, day) for month, day in MOVED[year])
        return
    yield date(year, 7, 20) if year < 2003 else _nth_monday(year, 7, 3)  # noqa: PLR2004
    if year >= 2016:  # noqa: PLR2004
        yield date(year, 8, 11)
    yield _nth_monday(year, 10, 2)


def _reign(year: int) -> Iterator[date]:
    """Yield the emperor's birthday, and the days of the accession of 2019, a year without birthday."""
    if year < ACCESSION[0].year:
        yield date(year, 12, 23)
    elif year > ACCESSION[0].year:
        yield date(year, 2, 23)
    else:
        yield from ACCESSION


def _nth_monday(year: int, month: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(MONDAY - first.weekday()) % 7 + 7 * (nth - 1))


def _equinox(year: int, at_1980: float) -> int:
    """Return the day of the month of an equinox."""
    return int(at_1980 + 0.242194 * (year - 1980)) - (year - 1980) // 4


def _substitute(sunday: date, named: frozenset[date]) -> date | None:
    """Return the day off for a holiday on a Sunday; None where the law of its time gave none."""
    day = sunday + timedelta(days=1)
    while day in named:
        if day.year < REFORM:
            return None
        day += timedelta(days=1)
    return day
