"""The detector of contacts at times when a terminal is usually quiet."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from forensics.detectors import off_hours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from forensics.case import Case

HOUR = 3_600_000_000
DAY = 24 * HOUR
MIDNIGHT = 1_431_270_000_000_000
"""Monday, 11 May 2015, in Tokyo. [us]"""
RELAY = "203.0.113.7"

Rows = list[dict[str, object]]


def contacts(src: str, dst: str, day: int, hours: Iterable[float]) -> Rows:
    """Return contacts at these hours of a day."""
    return [{"start": MIDNIGHT + day * DAY + int(hour * HOUR), "src": src, "dst": dst} for hour in hours]


def office(days: int = 14) -> Rows:
    """Return ten terminals' working days, with a contact of one of them every night."""
    rows = [
        row
        for day in range(days)
        for n in range(10)
        for row in contacts(f"10.0.0.{n}", "198.18.0.1", day, (9, 14) if day % 7 < 5 else ())
    ]
    return rows + [row for day in range(days) for row in contacts("10.0.0.0", f"198.18.1.{day}", day, (22.0,))]


def test_a_busy_saturday_is_found(make_case: Callable[..., Case]) -> None:
    """Four hours on the second Sunday, of a quarter each: 60 minutes with one server; p by the formula."""
    rows = office(21)
    found = off_hours.detect(make_case([*rows, *contacts("10.0.0.3", RELAY, 13, (10, 11, 12, 13))]), max_q=0.9)

    assert found[["src", "dst", "value", "record"]].to_numpy().tolist() == [
        ["10.0.0.3", RELAY, 60.0, f"{len(rows) + 1}-{len(rows) + 4}"]
    ]
    # the three days off before had 3 quarters, of one terminal, in 30 terminal-days; the nights tell habits
    mean = 0.1
    assert found["p_value"].tolist() == pytest.approx([stats.nbinom.sf(3, 1, 1 / (1 + mean))])
    assert found["expected"].tolist() == pytest.approx([15 * mean])


def test_the_same_in_office_hours_is_no_finding(make_case: Callable[..., Case]) -> None:
    """What happens on a working day by day is not looked at; the hours are the caller's."""
    case = make_case([*office(), *contacts("10.0.0.3", RELAY, 10, np.arange(9, 17, 0.25))])

    assert off_hours.detect(case, max_q=0.5).empty
    assert len(off_hours.detect(case, max_q=0.5, hours=(7, 15))) == 1


def test_days_off_are_the_callers(make_case: Callable[..., Case]) -> None:
    """A holiday is a day off; those of Japan are known, a company's own are not."""
    late = contacts("10.0.0.3", RELAY, 16, np.arange(9, 17, 0.25))
    case = make_case([*office(21), *late])

    assert off_hours.detect(case).empty
    assert len(off_hours.detect(case, holidays={date(2015, 5, 27)})) == 1


def test_a_habit_is_reported_three_times_at_most(make_case: Callable[..., Case]) -> None:
    """A backup that begins in the second week is unusual in its first nights, and then one of the terminal's habits."""
    nights = [row for day in range(7, 28) for row in contacts("10.0.0.3", RELAY, day, np.arange(22, 24, 0.25))]

    found = off_hours.detect(make_case([*office(28), *nights]))

    assert 1 <= len(found) <= 3
    assert found["start"].max() < found["start"].min().replace(hour=23) + np.timedelta64(3, "D")


def test_what_many_do_is_no_finding(make_case: Callable[..., Case]) -> None:
    """Updates that three terminals fetch in one night; two are no crowd."""
    nights = [contacts(f"10.0.0.{n}", RELAY, 10, np.arange(22, 28, 0.25)) for n in range(3, 6)]

    assert off_hours.detect(make_case([*office(), *nights[0], *nights[1], *nights[2]])).empty
    assert len(off_hours.detect(make_case([*office(), *nights[0], *nights[1]]))) == 2


def test_many_servers_are_one_finding_without_a_server(make_case: Callable[..., Case]) -> None:
    """Somebody who reads the web all night: each server has its quarter; the rows are all of the night's."""
    rows = [row for n in range(16) for row in contacts("10.0.0.3", f"198.18.7.{n}", 10, (22 + n / 4,))]

    found = off_hours.detect(make_case([*office(), *rows]))

    assert found["dst"].isna().all()
    assert found[["value", "record"]].to_numpy().tolist() == [[240.0, f"{len(office()) + 1}-{len(office()) + 16}"]]


def test_a_night_ends_when_the_office_opens(make_case: Callable[..., Case]) -> None:
    """Two hours before midnight and two after it are one period, of the day that was."""
    found = off_hours.detect(make_case([*office(), *contacts("10.0.0.3", RELAY, 10, np.arange(22, 26, 0.25))]))

    assert found["value"].tolist() == [240.0]


def test_counts_by_chance_are_seldom_found(make_case: Callable[..., Case]) -> None:
    """Eighty terminals read at night now and then, in sessions: p is no smaller than it claims, nothing is found."""
    rng = np.random.default_rng(9)
    rows: Rows = []
    for n in range(80):
        for day in range(40):
            rows += contacts(f"10.0.1.{n}", "198.18.0.1", day, (9,) if day % 7 < 5 else ())
            if rng.random() < 0.15:
                length = rng.geometric(0.4)
                rows += contacts(f"10.0.1.{n}", f"198.18.{n}.{day}", day, 22 + np.arange(length) / 4)
    case = make_case(rows)

    assert len(off_hours.detect(case)) == 0
    _, _, p = off_hours._periods(case, (7, 21), None, 0.1).judged()
    for level in (0.001, 0.01, 0.05):
        assert (p <= level).sum() <= 1.5 * level * (~np.isnan(p)).sum()


def test_hostile_times_and_one_contact(make_case: Callable[..., Case]) -> None:
    """Times at the ends of the calendar, a thousand at one moment, a single one: no error, nothing is found."""
    ends = [{"start": year * 31_556_952_000_000, "src": "10.0.0.1", "dst": RELAY} for year in (-1967, -500, 0, 8027)]

    assert off_hours.detect(make_case(ends)).empty
    assert off_hours.detect(make_case(contacts("10.0.0.3", RELAY, 5, (3,) * 1000))).empty
    assert off_hours.detect(make_case(contacts("10.0.0.3", RELAY, 5, (3,)))).empty


@pytest.mark.parametrize("option", [{"least_minutes": 0}, {"crowd": 0.0}, {"max_q": 1.0}, {"hours": (9, 9)}])
def test_options_out_of_range_are_refused(make_case: Callable[..., Case], option: dict[str, object]) -> None:
    """An option without sense is an error that names what is needed."""
    with pytest.raises(ValueError, match="are needed"):
        off_hours.detect(make_case([]), **option)  # type: ignore[arg-type]
