"""What volume_spikes can say of evidence of a day or two, also where other evidence is of many days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from forensics.detectors import volume_spikes
from forensics.detectors._spike_windows import SENT, settled_of, span_of, window_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000
MIDNIGHT = int(datetime(2026, 5, 17, 15, tzinfo=UTC).timestamp()) * SECOND
"""Monday, 18 May 2026, 0:00 in Tokyo. [us]"""

RELAY = "203.0.113.7"

Flows = list[dict[str, object]]


def flow(hour: float, src: int, dst: str, sent: float | None, **more: object) -> dict[str, object]:
    """Return one request so many hours after midnight."""
    start = MIDNIGHT + int(hour * HOUR)
    size = None if sent is None else int(sent)
    row = {"start": start, "end": start + 5 * SECOND, "src": f"10.0.0.{src}", "dst": dst, "via": "proxy"}
    return row | {"bytes_out": size, "bytes_in": 3000} | more


def office(first: int, days: int, *, silent: bool = False, **more: object) -> Flows:
    """Return requests of twelve terminals to thirty servers in office hours, and a poll that goes on all night."""
    rng = np.random.default_rng([first + 100, days])
    rows = [
        flow(24 * day + rng.uniform(9, 18), terminal, f"198.18.0.{rng.integers(1, 31)}", rng.lognormal(7, 1), **more)
        for day in range(first, first + days)
        for terminal in range(1, 13)
        for _ in range(60)
    ]
    hours = np.arange(24 * first, 24 * (first + days) + 0.1, 0.5)
    rows += [flow(hour, 1 + n % 12, "198.18.0.99", 500, **more) for n, hour in enumerate(hours)]
    return [row | {"bytes_out": None} for row in rows] if silent else rows


def upload(hour: float, size: float = 3e7, **more: object) -> Flows:
    """Return an upload of six requests in six minutes."""
    return [flow(hour + n / 60, 4, RELAY, size / 6, **more) for n in range(6)]


def test_a_log_of_one_day_and_a_few_minutes_is_judged(make_case: Callable[..., Case]) -> None:
    """The last connections of a day end after midnight; that leaves no day to be compared with, but minutes."""
    rows = [*office(0, 1), *upload(14)]
    case = make_case(rows)
    first, last = span_of(case)

    assert first is not None
    assert last - first >= timedelta(hours=24)
    found = volume_spikes.detect(case)
    assert list(zip(found["src"], found["dst"], found["value"], strict=True)) == [("10.0.0.4", RELAY, 3e7)]
    assert volume_spikes.detect(make_case(office(0, 1))).empty


def test_a_capture_of_a_day_beside_the_log_of_ten_is_judged(make_case: Callable[..., Case]) -> None:
    """The log does not say what was sent, so that the capture's time is what uploads are compared within."""
    seen: dict[str, Any] = {"via": None, "source": "uplink.pcap", "vantage": "uplink"}
    rows = [*office(-9, 10, silent=True), *office(0, 1, **seen), *upload(11, **seen)]
    case = make_case(rows)

    found = volume_spikes.detect(case)

    assert window_of(case) == timedelta(minutes=1)
    assert RELAY in set(found["dst"])
    assert span_of(case)[0] == datetime(2026, 5, 17, 15, tzinfo=UTC)


def test_what_nothing_came_before_is_not_called_tested(make_case: Callable[..., Case]) -> None:
    """By the hour, a day is compared with those before it: windows of the first one are counted as learnt from."""
    case = make_case([*office(0, 3), *upload(20)])

    assert window_of(case, SENT) == timedelta(hours=1)
    assert settled_of(case) >= datetime(2026, 5, 18, 15, tzinfo=UTC)
    assert volume_spikes.detect(case).empty
    assert "in the first 33% of the time, which is learnt from" in volume_spikes.coverage(case).why
