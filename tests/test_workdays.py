"""Working days, and Japan's public holidays."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from forensics.workdays import FIRST_YEAR, LAST_YEAR, is_workday, japanese_holidays

KNOWN = {
    2000: "1-1 1-10 2-11 3-20 4-29 5-3 5-4 5-5 7-20 9-15 9-23 10-9 11-3 11-23 12-23",
    2001: "1-1 1-8 2-11 2-12 3-20 4-29 4-30 5-3 5-4 5-5 7-20 9-15 9-23 9-24 10-8 11-3 11-23 12-23 12-24",
    2006: "1-1 1-2 1-9 2-11 3-21 4-29 5-3 5-4 5-5 7-17 9-18 9-23 10-9 11-3 11-23 12-23",
    2008: "1-1 1-14 2-11 3-20 4-29 5-3 5-4 5-5 5-6 7-21 9-15 9-23 10-13 11-3 11-23 11-24 12-23",
    2009: "1-1 1-12 2-11 3-20 4-29 5-3 5-4 5-5 5-6 7-20 9-21 9-22 9-23 10-12 11-3 11-23 12-23",
    2015: "1-1 1-12 2-11 3-21 4-29 5-3 5-4 5-5 5-6 7-20 9-21 9-22 9-23 10-12 11-3 11-23 12-23",
    2016: "1-1 1-11 2-11 3-20 3-21 4-29 5-3 5-4 5-5 7-18 8-11 9-19 9-22 10-10 11-3 11-23 12-23",
    2019: "1-1 1-14 2-11 3-21 4-29 4-30 5-1 5-2 5-3 5-4 5-5 5-6 7-15 8-11 8-12 9-16 9-23 10-14 10-22 11-3 11-4 11-23",
    2020: "1-1 1-13 2-11 2-23 2-24 3-20 4-29 5-3 5-4 5-5 5-6 7-23 7-24 8-10 9-21 9-22 11-3 11-23",
    2021: "1-1 1-11 2-11 2-23 3-20 4-29 5-3 5-4 5-5 7-22 7-23 8-8 8-9 9-20 9-23 11-3 11-23",
    2025: "1-1 1-13 2-11 2-23 2-24 3-20 4-29 5-3 5-4 5-5 5-6 7-21 8-11 9-15 9-23 10-13 11-3 11-23 11-24",
    2026: "1-1 1-12 2-11 2-23 3-20 4-29 5-3 5-4 5-5 5-6 7-20 8-11 9-21 9-22 9-23 10-12 11-3 11-23",
}
"""As the government announced them."""


@pytest.mark.parametrize("year", KNOWN)
def test_holidays_are_those_that_were_announced(year: int) -> None:
    """Substitutes, days between two holidays, moved and additional ones: each of the law's rules is in these years."""
    assert sorted(japanese_holidays(year)) == [date(year, *map(int, day.split("-"))) for day in KNOWN[year].split()]


def test_years_that_are_not_known_have_weekends_alone() -> None:
    """No holiday is guessed before the first and after the last year."""
    assert not japanese_holidays(FIRST_YEAR - 1)
    assert not japanese_holidays(LAST_YEAR + 1)
    assert is_workday(date(LAST_YEAR + 1, 1, 1))
    assert len(japanese_holidays(LAST_YEAR)) >= 16


def test_days_off_can_be_named() -> None:
    """Another calendar takes the place of Japan's; a time is told by its date."""
    assert is_workday(date(2015, 5, 5), holidays=())
    assert not is_workday(date(2015, 5, 7), holidays={date(2015, 5, 7)})
    assert not is_workday(date(2015, 5, 9), holidays=())
    assert not is_workday(datetime(2015, 5, 5, 12))  # noqa: DTZ001 - the office's clock
