"""What volume_spikes learns and what not: habits, crowds, drains, days of rest, many servers, missing uploads."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from forensics.detectors import _spike_baselines, volume_spikes
from forensics.detectors._chance import q_values
from forensics.detectors._spike_runs import drain_p
from forensics.detectors._spike_windows import settling_of
from forensics.relays import rank_relays

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

SECOND, HOUR = 1_000_000, 3_600_000_000
MIDNIGHT = int(datetime(2015, 4, 5, 15, tzinfo=UTC).timestamp()) * SECOND
"""Monday, 6 April 2015, 0:00 in Tokyo. [us]"""

RELAY = "203.0.113.7"

Flows = list[dict[str, object]]


def flow(hour: float, src: int, dst: str, sent: float | None, **more: object) -> dict[str, object]:
    """Return one request through the proxy, so many hours after the first midnight."""
    start = MIDNIGHT + int(hour * HOUR)
    size = None if sent is None else int(sent)
    row = {"start": start, "end": start + 5 * SECOND, "src": f"10.0.0.{src}", "dst": dst, "via": "proxy"}
    return row | {"bytes_out": size} | more


def office(days: int = 21, *, terminals: int = 12, seed: int = 1) -> Flows:
    """Return an office whose terminals send four servers a kilobyte in some hours of each working day."""
    rng = np.random.default_rng(seed)
    return [
        flow(24 * day + hour + rng.random() * 0.9, terminal, f"198.18.0.{rng.integers(1, 5)}", rng.lognormal(7, 1))
        for day in range(days)
        if day % 7 < 5
        for hour in range(9, 18)
        for terminal in range(1, terminals + 1)
        if rng.random() < 0.4
    ]


def steady(days: int, level: float, *, spread: float = 0.5, seed: int = 3) -> Flows:
    """Return what a terminal sends a server every office hour of a working day."""
    rng = np.random.default_rng(seed)
    return [
        flow(24 * day + hour + 0.3, 1, "198.18.0.77", rng.lognormal(np.log(level), spread))
        for day in range(days)
        if day % 7 < 5
        for hour in range(9, 18)
    ]


def test_a_backup_that_begins_late_is_one_finding(make_case: Callable[..., Case]) -> None:
    """Its first nights are a finding, the later ones a habit that continues it: one row, from the first to the last."""
    nights = [flow(24 * day + 22 + 0.01 * (day % 5), 3, "198.18.0.99", 5e7) for day in range(9, 21)]

    found = volume_spikes.detect(make_case([*office(), *nights]))

    assert list(zip(found["src"], found["dst"], strict=True)) == [("10.0.0.3", "198.18.0.99")]
    assert found["value"][0] == 12 * 5e7
    assert found["end"][0] - found["start"][0] > timedelta(days=10)
    assert "12 hours of 12 days" in found["reason"][0]
    assert "at the same hour each day" in found["reason"][0]


def test_what_breaks_out_of_a_habit_is_found(make_case: Callable[..., Case]) -> None:
    """A terminal with a nightly backup of 5 MB that sends 2 GB at that hour stands out."""
    nights = [flow(24 * day + 22, 3, "198.18.0.99", 5e6 + 1e4 * day) for day in range(20)]

    found = volume_spikes.detect(make_case([*office(), *nights, flow(24 * 20 + 22, 3, "198.18.0.99", 2e9)]))

    assert list(found["value"]) == [2e9]


def test_patch_day_is_no_spike_of_any_terminal(make_case: Callable[..., Case]) -> None:
    """What all terminals send in one hour, each to a server of its own, is none; ten times as much is."""
    patch = [flow(24 * 15 + 9.2, n, f"198.18.9.{n}", 2e7 + n) for n in range(1, 13)]
    culprit = flow(24 * 15 + 9.5, 5, RELAY, 9e8)

    assert volume_spikes.detect(make_case([*office(), *patch])).empty
    assert list(volume_spikes.detect(make_case([*office(), *patch, culprit]))["dst"]) == [RELAY]


def test_a_steady_rise_is_a_drain(make_case: Callable[..., Case]) -> None:
    """Four times as much for two days, no hour of which stands out, is one finding from when the sum was last zero."""
    rng = np.random.default_rng(4)
    days = [
        flow(24 * d + h + 0.6, 1, "198.18.0.77", rng.lognormal(np.log(4e6), 0.2))
        for d in (21, 22)
        for h in range(9, 18)
    ]
    case = make_case([*office(23), *steady(23, 1e6), *days])

    found = volume_spikes.detect(case)
    drain = found[found["reason"].str.contains("steadily above")]

    assert len(drain) == 1
    begin = datetime.fromtimestamp((MIDNIGHT + (21 * 24 + 9) * HOUR) / SECOND, UTC)
    assert abs(drain["start"].iloc[0] - begin) <= timedelta(days=3)
    assert drain["score"].iloc[0] >= 10
    assert volume_spikes.detect(make_case([*office(23), *steady(23, 1e6)])).empty


def test_a_burst_takes_what_the_drain_beside_it_carries_on(make_case: Callable[..., Case]) -> None:
    """Hours of a long upload that are unusual only in company belong to the finding of the hours beside them."""
    level = [1e8, 1e8, 1e8, 4e6, 4e6, 4e6, 4e6, 1e8, 4e6]
    day = [flow(24 * 21 + 9 + hour + 0.6, 1, "198.18.0.77", sent) for hour, sent in enumerate(level)]

    found = volume_spikes.detect(make_case([*office(23), *steady(21, 1e6, spread=0.7), *day]))

    assert list(found["value"]) == [sum(level)]
    assert "in 9 hours" in found["reason"][0]


def test_the_first_day_of_a_drain_teaches_the_others_little(make_case: Callable[..., Case]) -> None:
    """Four terminals that drain for a day barely raise what another one is judged by: by a fifth of what they would."""
    hours = range(9, 18)
    readers = [flow(24 * d + h + 0.3, n, RELAY, 2e5 + n) for d in range(14) for h in hours for n in range(1, 7)]
    drains = [flow(24 * 11 + h + 0.4, n, RELAY, 2e6) for h in hours for n in range(1, 5)]
    upload = flow(24 * 14 + 11, 11, RELAY, 2e7)

    def centre(flows: Flows) -> float:
        read = volume_spikes._read(make_case(flows), 1_000_000, None)
        pairs, _ = volume_spikes._tested(read, 1e6, least_drain=10.0, least_spread=0.7)[0]
        return float(pairs.judged.centre[-1])

    quiet = [*office(15), *readers, upload]
    assert 0 < centre([*quiet, *drains]) - centre(quiet) < 0.05


def test_a_week_learns_its_first_night(make_case: Callable[..., Case]) -> None:
    """Backups of every night of a week are none, though a week's first tenth holds no night; an upload is found."""
    nights = [flow(24 * day + 27 + n / 9, n, "198.18.0.99", 5e7) for day in range(6) for n in range(1, 5)]
    upload = flow(24 * 4 + 11, 5, RELAY, 5e7)

    assert volume_spikes.detect(make_case([*office(7), *nights])).empty
    assert list(volume_spikes.detect(make_case([*office(7), *nights, upload]))["dst"]) == [RELAY]
    assert "in the first 25% of the time" in volume_spikes.coverage(make_case([*office(7), *nights])).why


@pytest.mark.parametrize(
    ("length", "learnt"),
    [
        (timedelta(hours=10), timedelta(hours=1)),
        (timedelta(days=2), timedelta(hours=4.8)),
        (timedelta(days=4), timedelta(hours=24)),
        (timedelta(days=7), timedelta(hours=36)),
        (timedelta(days=20), timedelta(days=2)),
    ],
)
def test_how_much_is_learnt_from(length: timedelta, learnt: timedelta) -> None:
    """A tenth of the case; of days at least a day and a half, which hold a night, but at most a quarter of the case."""
    assert settling_of(length) == learnt


def test_holidays_are_days_of_rest(make_case: Callable[..., Case]) -> None:
    """What is usual on working days stands out on 29 April, a holiday in Japan; who says it is none finds nothing."""
    quiet = [
        flow(24 * day + hour + 0.3, 1, "198.18.0.77", 2e3) for day in range(23) if day % 7 > 4 for hour in range(9, 18)
    ]
    case = make_case([*office(24), *steady(22, 4e6, spread=0.3), *quiet, *steady_on(23, 9e6)])

    assert "2015-04-29" in " ".join(volume_spikes.detect(case)["reason"])
    assert volume_spikes.detect(case, holidays=()).empty
    assert volume_spikes.detect(case, holidays=[date(2015, 4, 28)]).empty


def steady_on(day: int, level: float) -> Flows:
    """Return some hours of one day."""
    return [flow(24 * day + hour + 0.3, 1, "198.18.0.77", level) for hour in range(11, 15)]


def test_a_little_to_each_of_many_servers_is_the_terminals_finding(make_case: Callable[..., Case]) -> None:
    """Forty servers get less than the floor each: no pair is a finding, the terminal is, and names no server."""
    spread = [flow(24 * 16 + 14 + n / 90, 4, f"203.0.113.{n}", 4.5e5) for n in range(1, 41)]
    flows = [*office(), *spread]

    found = volume_spikes.detect(make_case(flows))

    assert list(zip(found["src"], found["dst"].isna(), found["value"], strict=True)) == [("10.0.0.4", True, 40 * 4.5e5)]
    assert found["record"][0] == f"{len(flows) - 39}-{len(flows)}"
    assert "to all servers together" in found["reason"][0]
    assert list(rank_relays(make_case(flows))["dst"]) == []


def test_without_upload_bytes_requests_are_compared(make_case: Callable[..., Case]) -> None:
    """A pair of which no row says what was sent is compared by requests; the finding and the coverage say so."""
    silent = [row | {"bytes_out": None, "bytes_in": 900} for row in office()]
    many = [flow(24 * 16 + 14 + n / 2000, 4, "198.18.0.1", None, bytes_in=300) for n in range(1500)]
    case = make_case([row | {"end": row["start"]} for row in (*silent, *many)])

    found, coverage = volume_spikes.detect(case), volume_spikes.coverage(case)

    assert list(zip(found["src"], found["dst"], strict=True)) == [("10.0.0.4", "198.18.0.1")]
    assert found["value"][0] >= 1500
    assert "made 1,50" in found["reason"][0]
    assert "requests to 198.18.0.1" in found["reason"][0]
    assert "no record says what was sent" in found["reason"][0]
    assert not volume_spikes.is_upload(found).any()
    assert "tested on requests, durations, reply sizes instead" in coverage.why
    assert volume_spikes.detect(make_case(silent)).empty


def test_p_values_hold_where_nothing_happens(make_case: Callable[..., Case]) -> None:
    """Of windows of one distribution not more than the stated share lies beyond any level."""
    rng = np.random.default_rng(8)
    flows = [
        flow(24 * day + hour + 0.5, terminal, f"198.18.0.{server}", rng.lognormal(13.5, 0.9))
        for day in range(20)
        for hour in range(9, 18)
        for terminal in range(1, 7)
        for server in range(1, 4)
    ]
    case = make_case(flows)
    read = volume_spikes._read(case, 1e6, None)
    pairs, _ = volume_spikes._tested(read, 1e6, least_drain=10.0, least_spread=0.3)[0]
    p = pairs.judged.p[pairs.series.judged]

    assert len(p) > 2500
    for level in (0.1, 0.01, 0.001):
        assert (p <= level).mean() <= level * 1.25 + 2e-3
    assert volume_spikes.detect(case).empty


def test_the_cusums_probability_is_that_of_normal_values() -> None:
    """Sums of independent normal values pass a limit no more often than stated, and not much more rarely."""
    rng = np.random.default_rng(5)
    total, passed = np.zeros(20_000), np.zeros(3)
    limits = np.array([3.0, 5.0, 7.0])
    steps = 200
    for _ in range(steps):
        total = np.maximum(total + np.minimum(rng.normal(size=len(total)), _spike_baselines.CAP) - 0.5, 0)
        passed += (total[:, None] > limits).sum(axis=0)
        total[total > limits[-1]] = 0
    observed = passed[:1] / (steps * len(total))

    assert drain_p(limits)[0] / 4 < observed[0] < drain_p(limits)[0] * 4


def test_what_was_screened_out_counts_as_tested() -> None:
    """q-values of candidates are those that scipy gives when all others have p = 1; what was not tested has none."""
    p = np.array([1e-6, np.nan, 0.3, 1e-4, 0.02])
    padded = np.concatenate([p[~np.isnan(p)], np.ones(96)])

    q = q_values(p, 100)

    assert np.isnan(q[1])
    assert q[~np.isnan(q)] == pytest.approx(stats.false_discovery_control(padded)[:4])


def test_a_terminal_with_many_servers_and_equal_times(make_case: Callable[..., Case]) -> None:
    """20,000 servers once each in one second, and one contact alone, are no hang and no error."""
    scan = [flow(100, 1, f"198.{n // 65536}.{n // 256 % 256}.{n % 256}", 100) for n in range(20_000)]

    assert volume_spikes.detect(make_case([*office(10), *scan])).empty
    assert volume_spikes.detect(make_case([flow(0, 1, RELAY, 9e8)])).empty
    assert volume_spikes.detect(make_case([flow(0, 1, RELAY, 9e8)] * 3)).empty
