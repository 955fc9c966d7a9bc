"""Working days, and Japan's public holidays by the rules of the law."""

from __future__ import annotations

from datetime import date

import pytest

from forensics.workdays import holidays_in, is_workday, japanese_holidays


def in_month(year: int, *months: int) -> list[str]:
    """Return the holidays of some months of a year: month and day."""
    return [f"{day:%m-%d}" for day in sorted(japanese_holidays(year)) if day.month in months]


def test_the_year_of_the_model_case() -> None:
    """2015: a holiday on a Sunday moves past two others, and a day between two holidays is one."""
    assert in_month(2015, 5) == ["05-03", "05-04", "05-05", "05-06"]
    assert in_month(2015, 9) == ["09-21", "09-22", "09-23"]
    assert len(japanese_holidays(2015)) == 17


def test_substitutes_before_2007() -> None:
    """Until 2006 a Sunday's holiday moves to the Monday alone, and 4 May is free where it lies between two holidays."""
    assert in_month(2003, 5) == ["05-03", "05-05"]
    assert in_month(2006, 5) == ["05-03", "05-04", "05-05"]
    assert in_month(2006, 1) == ["01-01", "01-02", "01-09"]


def test_years_with_laws_of_their_own() -> None:
    """The accession of 2019, and the moved days of 2020 and 2021."""
    assert in_month(2019, 4, 5) == ["04-29", "04-30", "05-01", "05-02", "05-03", "05-04", "05-05", "05-06"]
    assert in_month(2019, 2, 10, 12) == ["02-11", "10-14", "10-22"]
    assert in_month(2020, 7, 8, 10) == ["07-23", "07-24", "08-10"]
    assert in_month(2021, 7, 8, 10) == ["07-22", "07-23", "08-08", "08-09"]


@pytest.mark.parametrize(
    ("year", "spring", "autumn"), [(2000, 20, 23), (2012, 20, 22), (2015, 21, 23), (2024, 20, 22), (2035, 21, 23)]
)
def test_equinoxes(year: int, spring: int, autumn: int) -> None:
    """The equinoxes are where the almanac has them."""
    assert {date(year, 3, spring), date(year, 9, autumn)} <= japanese_holidays(year)


def test_working_days_and_own_holidays() -> None:
    """Weekends and holidays are none; who gives holidays of his own has those and no others."""
    assert is_workday(date(2015, 5, 7))
    assert not is_workday(date(2015, 5, 9))
    assert not is_workday(date(2015, 5, 5))
    assert is_workday(date(2015, 5, 5), ())
    assert not is_workday(date(2015, 5, 7), {date(2015, 5, 7)})


def test_zones_without_rules_have_no_holidays() -> None:
    """Only Japan's are known; years without rules have none, and asking for one of them is an error."""
    assert holidays_in("Asia/Tokyo", range(2014, 2017)) == frozenset().union(*map(japanese_holidays, range(2014, 2017)))
    assert holidays_in("Europe/Paris", range(2014, 2017)) == frozenset()
    assert holidays_in("Japan", range(1990, 2000)) == frozenset()
    with pytest.raises(ValueError, match="1999"):
        japanese_holidays(1999)
