"""RITA's beacon score, against values computed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from forensics.detectors.beacons import rita_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from forensics.case import Case

SECOND = 1_000_000
START = 1_431_302_400_000_000

Flows = list[dict[str, object]]


def contacts(times: Iterable[float], sizes: Iterable[int | None], dst: str = "203.0.113.7") -> Flows:
    """Return requests at these times [s] after the start, with the bytes sent."""
    return [
        {"start": START + int(t * SECOND), "src": "10.0.0.1", "dst": dst, "via": "proxy", "bytes_out": size}
        for t, size in zip(times, sizes, strict=True)
    ]


def test_parts_are_those_computed_by_hand(make_case: Callable[..., Case]) -> None:
    """Six contacts with skewed intervals and sizes, in a case of 2,400 s.

    Intervals 10, 20, 30, 40, 100: quartiles 15, 30, 70, skew 25/55, MAD 10: (1 - 0.4545 + 20/30) / 2 = 0.606.
    Sizes 100 x 3, 200, 300 x 2: quartiles 100, 150, 300, skew 100/200, MAD 50: (0.5 + 100/150) / 2 = 0.583.
    Bins of 100 s hold 4, 1, 1: three bars are too few for a duration, and not level. Bins of the pair's own 200 s hold
    one contact in six of them: coverage is 1.
    """
    rows = contacts([0, 10, 30, 60, 100, 200], [100, 100, 100, 200, 300, 300])
    rows += contacts([0, 2400], [1, 1], dst="203.0.113.8")

    found = rita_scores(make_case(rows))

    assert list(found["dst"]) == ["203.0.113.7"]
    assert list(found.loc[0, ["contacts", "ts", "ds"]]) == [6, 0.606, 0.583]
    assert list(found.loc[0, ["hist_case", "dur_case", "score_case"]]) == [0, 0, 0.297]
    assert list(found.loc[0, ["hist_pair", "dur_pair", "score_pair"]]) == [0, 1, 0.547]


def test_a_perfect_beacon_scores_one(make_case: Callable[..., Case]) -> None:
    """Every minute of a day, always as many bytes."""
    times = 60.0 * np.arange(24 * 60)

    found = rita_scores(make_case(contacts(times, [500] * len(times))))

    for column in ("ts", "ds", "dur_case", "score_case", "score_pair"):
        assert found[column][0] == pytest.approx(1, abs=0.001), column


def test_office_hours_have_two_heights(make_case: Callable[..., Case]) -> None:
    """Of 24 bins 12 hold 10 contacts each: two heights at most explain them, and the run of 12 bins is ideal.

    The coefficient of variation of 12 tens and 12 zeros is 1, so the level part is 0; the twelve bars have one height:
    12 / 11, cut to 1.
    """
    rows = contacts([hour * 3600 + n * 360 for hour in range(12) for n in range(10)], [500] * 120)
    rows += contacts([0, 24 * 3600], [1, 1], dst="203.0.113.8")

    found = rita_scores(make_case(rows))

    assert list(found.loc[0, ["hist_case", "dur_case", "score_case"]]) == [1, 1, 1]


def test_the_score_depends_on_the_span_of_the_data_set(make_case: Callable[..., Case]) -> None:
    """Eight hours of a beacon are level in a case of eight hours, and not in one of eight days."""
    beats = contacts(60.0 * np.arange(480), [500] * 480)
    alone = rita_scores(make_case(beats))
    among = rita_scores(make_case([*beats, *contacts([0, 8 * 86_400], [1, 1], dst="203.0.113.8")]))

    assert alone["score_case"][0] == alone["score_pair"][0] == among["score_pair"][0]
    assert among["score_case"][0] == pytest.approx(0.5)


def test_sizes_that_were_not_observed_give_no_score(make_case: Callable[..., Case]) -> None:
    """Null bytes are not zero: the parts that need none are told, the score is open."""
    found = rita_scores(make_case(contacts(60.0 * np.arange(10), [None] * 10)))

    assert found["ts"][0] == 1
    assert found[["ds", "score_case", "score_pair"]].isna().all(axis=None)


@pytest.mark.parametrize("times", [[], [0.0], [0.0, 60.0, 120.0], [1.0, 1.1, 1.2, 1.3, 1.4]])
def test_three_intervals_are_needed(make_case: Callable[..., Case], times: list[float]) -> None:
    """Contacts within one second have no interval between them."""
    assert rita_scores(make_case(contacts(times, [500] * len(times)))).empty
