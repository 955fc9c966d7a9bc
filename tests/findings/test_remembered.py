"""What findings and coverage share is worked out once, and let go of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from forensics.detectors import all_detectors
from forensics.detectors._remembered import remembered, remembering
from forensics.investigation import find_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

CONTACTS = [
    {"start": 1_432_000_000_000_000 + n * 60_000_000, "src": "10.0.0.1", "dst": "203.0.113.7"} for n in range(50)
]


def test_an_answer_is_worked_out_once_while_it_is_remembered(make_case: Callable[..., Case]) -> None:
    """Within the block each question is answered once, options told apart; before and after it every time."""
    asked: list[int] = []

    @remembered
    def answer(_: Case, number: int) -> int:
        asked.append(number)
        return number

    case = make_case(CONTACTS)
    answer(case, 1)
    with remembering(case):
        assert [answer(case, number) for number in (1, 1, 2, 1)] == [1, 1, 2, 1]
        with remembering(case):
            answer(case, 2)
        answer(case, 2)
    answer(case, 1)

    assert asked == [1, 1, 2, 2, 1]


def test_all_detectors_at_once_find_what_each_finds(make_case: Callable[..., Case]) -> None:
    """Findings and coverage are those that each detector gives when it is asked by itself."""
    case = make_case(CONTACTS)
    found, coverage = find_all(case)

    for (name, detector), covered in zip(all_detectors().items(), coverage, strict=True):
        pd.testing.assert_frame_equal(found[name], detector.detect(case))
        assert covered == detector.coverage(case)


def test_some_detectors_alone_are_asked(make_case: Callable[..., Case]) -> None:
    """Where names are given, no other detector runs."""
    found, coverage = find_all(make_case(CONTACTS), only=("beacons",))

    assert list(found) == ["beacons"]
    assert [one.detector for one in coverage] == ["beacons"]
