"""The detector of servers that few terminals meet, first seen late."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np
import pytest

from forensics.detectors import rare_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from forensics.case import Case

DAY = 86_400_000_000
START = 1_431_302_400_000_000
HOME = "198.18.0.1"

Rows = list[dict[str, object]]


def contacts(src: str, dst: str, days: Iterable[int], **more: object) -> Rows:
    """Return one contact on each of these days."""
    return [{"start": START + day * DAY, "src": src, "dst": dst, "proto": "tcp", **more} for day in days]


def test_a_late_server_has_the_probability_of_its_days(make_case: Callable[..., Case]) -> None:
    """Met on the last 8 of 20 days: one of the C(20, 8) ways to choose them, and so small a p of one test is its q."""
    case = make_case([*contacts("10.0.0.1", HOME, range(20)), *contacts("10.0.0.1", "203.0.113.7", range(12, 20))])

    found = rare_servers.detect(case)

    assert found[["src", "dst", "value", "source", "record"]].to_numpy().tolist() == [
        ["10.0.0.1", "203.0.113.7", 1.0, "access.log", "21-28"]
    ]
    assert found["p_value"][0] == pytest.approx(1 / comb(20, 8))
    assert found["score"][0] == pytest.approx(np.log10(comb(20, 8)))
    assert "after 12 of 20 days" in found["reason"][0]


def test_a_gap_in_what_follows_costs_probability(make_case: Callable[..., Case]) -> None:
    """Six of the last eight of 20 days: C(8, 6) of C(20, 6) ways."""
    case = make_case(
        [*contacts("10.0.0.1", HOME, range(20)), *contacts("10.0.0.1", "203.0.113.7", (12, 13, 15, 16, 18, 19))]
    )

    assert rare_servers.detect(case)["p_value"][0] == pytest.approx(comb(8, 6) / comb(20, 6))


def test_days_on_which_the_terminal_was_off_do_not_count(make_case: Callable[..., Case]) -> None:
    """A terminal that was bought late meets everything late."""
    others = [row for n in range(2, 8) for row in contacts(f"10.0.0.{n}", HOME, range(20))]
    case = make_case(
        [*others, *contacts("10.0.0.1", HOME, range(12, 20)), *contacts("10.0.0.1", "203.0.113.7", range(12, 20))]
    )

    assert rare_servers.detect(case).empty


def test_what_many_meet_is_not_rare(make_case: Callable[..., Case]) -> None:
    """Four of seven terminals are not few."""
    rows = [row for n in range(1, 8) for row in contacts(f"10.0.0.{n}", HOME, range(20))]
    late = [row for n in range(1, 5) for row in contacts(f"10.0.0.{n}", "203.0.113.7", range(12, 20))]

    assert rare_servers.detect(make_case([*rows, *late])).empty
    assert len(rare_servers.detect(make_case([*rows, *late]), most_share=0.6)) == 1


def test_several_terminals_are_one_finding_without_a_terminal(make_case: Callable[..., Case]) -> None:
    """Three terminals that meet one server give one finding with the rows of all."""
    rows = [row for n in range(1, 9) for row in contacts(f"10.0.0.{n}", HOME, range(20))]
    late = [row for n in range(1, 4) for row in contacts(f"10.0.0.{n}", "203.0.113.7", range(12, 20))]

    found = rare_servers.detect(make_case([*rows, *late]))

    assert found["src"].isna().all()
    assert found[["value", "record"]].to_numpy().tolist() == [[3.0, "161-184"]]


def test_a_name_that_moves_to_another_address_is_not_new(make_case: Callable[..., Case]) -> None:
    """A server is its name; a connection that shows none has that of its address."""
    old = contacts("10.0.0.1", "203.0.113.7", range(12), name="cdn.example")
    new = contacts("10.0.0.1", "203.0.113.8", range(12, 20))
    names = [
        {
            "time": START,
            "address": "203.0.113.8",
            "name": "cdn.example",
            "how": "dns",
            "source": "access.log",
            "record": 1,
        }
    ]

    assert rare_servers.detect(make_case([*old, *new], names=names)).empty
    assert len(rare_servers.detect(make_case([*old, *new]))) == 1


def test_days_are_those_of_the_zone(make_case: Callable[..., Case]) -> None:
    """An evening and the next morning in UTC are one day in Tokyo."""
    case = make_case(
        [{"start": START + 15 * 3_600_000_000 + n * DAY // 2, "src": "10.0.0.1", "dst": HOME} for n in range(8)]
    )

    assert rare_servers._servers(case, 0.05, 2)["days"].tolist() == [4]


def test_habits_that_begin_at_random_are_seldom_found(make_case: Callable[..., Case]) -> None:
    """Of 300 habits whose days are any of a terminal's 30 days, p-values are no smaller than they claim."""
    rng = np.random.default_rng(5)
    rows = contacts("10.0.0.1", HOME, range(30))
    for n in range(300):
        days = rng.permutation(30)[: rng.integers(3, 20)].tolist()
        rows += contacts("10.0.0.1", f"198.18.{1 + n // 200}.{1 + n % 200}", days)
    servers = rare_servers._servers(make_case(rows), 0.05, 3).dropna(subset="possible")
    p = rare_servers._lateness(*(servers[name].to_numpy(float) for name in ("possible", "before", "days")))

    for level in (0.01, 0.05, 0.2, 0.5):
        assert (p <= level).mean() <= level + 2 * np.sqrt(level * (1 - level) / len(p))
    assert rare_servers.detect(make_case(rows)).empty


def test_a_terminal_with_very_many_servers(make_case: Callable[..., Case]) -> None:
    """A scan of 20,000 servers on one day is not tested, and counted."""
    rows = contacts("10.0.0.1", HOME, range(20))
    rows += [
        {"start": START, "src": "10.0.0.1", "dst": f"198.{18 + n // 65_536}.{n // 256 % 256}.{n % 256}"}
        for n in range(256, 20_256)
    ]

    coverage = rare_servers.coverage(make_case(rows))

    assert coverage.tested == 0
    assert coverage.not_tested == 20_001
    assert "fewer than 3 days" in coverage.why


@pytest.mark.parametrize("option", [{"most_share": 0.0}, {"least_days": 1}, {"max_q": 1.0}])
def test_options_out_of_range_are_refused(make_case: Callable[..., Case], option: dict[str, float]) -> None:
    """An option without sense is an error that names what is needed."""
    with pytest.raises(ValueError, match="needed"):
        rare_servers.detect(make_case([]), **option)  # type: ignore[arg-type]
