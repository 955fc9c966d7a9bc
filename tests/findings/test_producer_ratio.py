"""The detector of terminals that begin to send more than they receive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from forensics.detectors import producer_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from forensics.case import Case

HOUR = 3_600_000_000
START = 1_431_302_400_000_000
RELAY = "203.0.113.7"

Rows = list[dict[str, object]]


def hours(pairs: Iterable[tuple[int | None, int | None]], first: int = 0, **more: object) -> Rows:
    """Return one contact an hour with these bytes out and in."""
    known = {"src": "10.0.0.1", "dst": RELAY, **more}
    return [
        {"start": START + (first + n) * HOUR, "bytes_out": out, "bytes_in": back, **known}
        for n, (out, back) in enumerate(pairs)
    ]


def reading(seed: int, count: int, spread: float = 1.0) -> list[tuple[int, int]]:
    """Return hours of reading: a few hundred bytes out, some 20 kB in."""
    rng = np.random.default_rng(seed)
    return [(int(rng.lognormal(6.5, 0.3)), int(rng.lognormal(10, spread))) for _ in range(count)]


def test_the_figures_of_a_small_case(make_case: Callable[..., Case]) -> None:
    """Thirty hours of 1 to 9, then 3 MB out and 1 MB in: ratio 0.5 after -0.8, and the z of the formula."""
    found = producer_ratio.detect(make_case(hours([(999, 8999)] * 30 + [(2_999_999, 999_999)])))

    assert found[["src", "dst", "record"]].to_numpy().tolist() == [["10.0.0.1", RELAY, "31"]]
    assert found["value"].tolist() == pytest.approx([0.5])
    assert found["expected"].tolist() == pytest.approx([-0.8], abs=1e-3)
    z = (np.log(3) + np.log(9)) / (0.7 * np.sqrt(10 / 39))
    assert found["score"].tolist() == pytest.approx([z])
    assert found["p_value"].tolist() == pytest.approx([stats.t.sf(z, 30)])
    assert found["q_value"].tolist() == pytest.approx([min(25 * stats.t.sf(z, 30), 1)])


def test_what_has_always_been_sent_is_no_shift(make_case: Callable[..., Case]) -> None:
    """A backup of every hour, and one ten times as large."""
    assert producer_ratio.detect(make_case(hours([(5_000_000, 9000)] * 40 + [(50_000_000, 9000)]))).empty


def test_a_large_download_is_no_shift(make_case: Callable[..., Case]) -> None:
    """What makes a terminal more of a consumer is not looked for."""
    assert producer_ratio.detect(make_case(hours([*reading(1, 40), (900, 900_000_000)]))).empty


def test_hours_that_follow_each_other_are_one_finding(make_case: Callable[..., Case]) -> None:
    """Five hours of sending, one of them silent, with start, end and all rows."""
    found = producer_ratio.detect(
        make_case([*hours(reading(2, 40)), *hours([(2_000_000, 900)] * 2, 40), *hours([(2_000_000, 900)] * 2, 43)])
    )

    assert found["record"].tolist() == ["41-44"]
    assert (found["end"] - found["start"]).dt.total_seconds().tolist() == [5 * 3600]


def test_a_new_habit_becomes_one(make_case: Callable[..., Case]) -> None:
    """After as many windows as the baseline has, sending is what is usual."""
    found = producer_ratio.detect(make_case(hours(reading(3, 300) + [(2_000_000, 900)] * 400)))

    assert len(found) == 1
    assert (found["end"] - found["start"]).dt.total_seconds()[0] < 150 * 3600


def test_a_direction_that_is_not_observed_gives_no_ratio(make_case: Callable[..., Case]) -> None:
    """Nothing received is not the same as nothing known; such rows are counted."""
    case = make_case(hours(reading(4, 40) + [(3_000_000, None)] * 3))

    assert producer_ratio.detect(case).empty
    coverage = producer_ratio.coverage(case)
    assert (coverage.tested, coverage.not_tested, coverage.refused) == (34, 6, 3)
    assert "3 flows of 1 files show one direction alone" in coverage.why
    assert len(producer_ratio.detect(make_case(hours([*reading(4, 40), (3_000_000, 0)])))) == 1


def test_what_two_places_saw_counts_once(make_case: Callable[..., Case]) -> None:
    """The second place, which saw less, adds nothing to the bytes."""
    rows = hours([*reading(5, 40), (3_000_000, 900)])
    other = [row | {"bytes_out": 100, "source": "b.log", "vantage": "b"} for row in rows]

    assert "2.99 MB" not in (reason := producer_ratio.detect(make_case([*rows, *other]))["reason"][0])
    assert "3 MB and received 900 B" in reason


def test_a_pair_without_a_past_is_not_tested(make_case: Callable[..., Case]) -> None:
    """A first upload to a new server is for another detector."""
    case = make_case(hours([(9_000_000, 90)] * 5))

    assert producer_ratio.detect(case).empty
    assert producer_ratio.coverage(case).tested == 0


def test_random_ratios_give_few_findings(make_case: Callable[..., Case]) -> None:
    """Two hundred pairs whose ratios are log-normal about 1, at every volume, give none; p is not too small."""
    rng = np.random.default_rng(6)
    rows: Rows = []
    for n in range(200):
        sizes = rng.lognormal(14, 1.2, (60, 2)).astype(int).tolist()
        rows += hours([(out, back) for out, back in sizes], dst=f"198.18.0.{n + 1}")
    case = make_case(rows)

    assert producer_ratio.detect(case).empty
    windows, told = producer_ratio._windows(case, 1, 6)
    p = producer_ratio._judged(windows, 1.4826 * told["spread"], 1, 6)["p_value"]
    assert (p <= 0.001).sum() <= 0.001 * told["tested"] * 1.5


def test_a_terminal_with_very_many_servers(make_case: Callable[..., Case]) -> None:
    """Uploads to 5,000 servers at one moment have no past, and an hour of equal times is one window."""
    rows = [row for n in range(5000) for row in hours([(2_000_000, 10)], dst=f"198.18.{n // 250}.{n % 250}")]

    assert producer_ratio.detect(make_case([*rows, *hours([(9, 9)], src="10.0.0.2") * 500])).empty


@pytest.mark.parametrize("option", [{"least_bytes": 0}, {"least_shift": 2.0}, {"history": 1}, {"max_q": 0.0}])
def test_options_out_of_range_are_refused(make_case: Callable[..., Case], option: dict[str, float]) -> None:
    """An option without sense is an error that names what is needed."""
    with pytest.raises(ValueError, match="are needed"):
        producer_ratio.detect(make_case([]), **option)  # type: ignore[arg-type]
