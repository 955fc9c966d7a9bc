"""The detector of volume spikes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from forensics.detectors import beacons, volume_spikes
from forensics.schema import FINDING_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

HOUR = 3_600_000_000
START = 1_431_302_400_000_000
RELAY = "203.0.113.7"

Flows = list[dict[str, object]]


def office(seed: int = 1, *, hours: int = 200, terminals: int = 6) -> Flows:
    """Return an office in which every terminal sends every server about a kilobyte, most hours."""
    rng = np.random.default_rng(seed)
    flows: Flows = []
    for hour in range(hours):
        for terminal in range(1, terminals + 1):
            for server in range(1, 5):
                if rng.random() < 0.3:
                    start = START + hour * HOUR + int(rng.integers(0, HOUR - 10))
                    sent = int(rng.lognormal(7, 1))
                    flows.append(flow(start, f"10.0.0.{terminal}", f"198.18.0.{server}", sent))
    return flows


def flow(start: int, src: str, dst: str, sent: int | None, **more: object) -> dict[str, object]:
    """Return one request through the proxy."""
    return {"start": start, "end": start + 5, "src": src, "dst": dst, "via": "proxy", "bytes_out": sent, **more}


def test_quiet_office_has_no_spike(make_case: Callable[..., Case]) -> None:
    """An office without uploads gives no finding, with all columns there; only its first hours were not tested."""
    case = make_case(office())

    assert list(FINDING_COLUMNS) == list(volume_spikes.detect(case).columns)
    assert len(volume_spikes.detect(case)) == 0
    assert volume_spikes.coverage(case).tested > volume_spikes.coverage(case).not_tested
    assert "learnt from" in volume_spikes.coverage(case).why


def test_upload_is_found_with_its_minutes_and_evidence(make_case: Callable[..., Case]) -> None:
    """Uploads in two adjacent hours are one finding: terminal, server, first and last minute, bytes and lines."""
    flows = office()
    hour = START + 150 * HOUR
    flows += [flow(hour + 1, "10.0.0.3", RELAY, 40_000_000), flow(hour + HOUR, "10.0.0.3", RELAY, 20_000_000)]
    case = make_case(flows)

    found = volume_spikes.detect(case)

    assert list(zip(found["src"], found["dst"], found["value"], strict=True)) == [("10.0.0.3", RELAY, 60_000_000.0)]
    assert timedelta(minutes=61) == found["end"][0] - found["start"][0]
    assert f"{len(flows) - 1}-{len(flows)}" == found["record"][0]
    assert found["source"][0] == "access.log"
    assert "60 MB" in found["reason"][0]
    assert found["q_value"][0] <= 0.01


def test_what_all_terminals_send_is_no_spike(make_case: Callable[..., Case]) -> None:
    """A server to which all terminals send as much (a backup) accuses none of them."""
    flows = office()
    for night in range(8):
        for terminal in range(1, 9):
            start = START + night * 24 * HOUR + terminal
            flows.append(flow(start, f"10.0.0.{terminal}", "198.18.0.99", 50_000_000 + terminal))

    assert len(volume_spikes.detect(make_case(flows))) == 0


def service(terminals: range, first: int, last: int, *, seed: int = 5) -> Flows:
    """Return what terminals send to one service on some days: four times a day some hundred kilobytes to megabytes."""
    rng = np.random.default_rng(seed)
    return [
        flow(start, f"10.0.0.{terminal}", "198.18.0.99", int(rng.lognormal(12.5, 1.3)))
        for terminal in terminals
        for day in range(first, last)
        for start in (START + day * 24 * HOUR + (rng.uniform(0, 9, 4) * HOUR).astype(np.int64)).tolist()
    ]


def test_a_service_that_all_begin_to_use_accuses_none(make_case: Callable[..., Case]) -> None:
    """Neither its bursts nor its steady rise are findings, but of the terminal that sends ten times what they do."""
    flows = [*office(terminals=20), *service(range(1, 19), 5, 8)]
    flows.append(flow(START + 5 * 24 * HOUR + 7, "10.0.0.20", "198.18.0.99", 80_000_000))

    found = volume_spikes.detect(make_case(flows))

    assert list(found["src"]) == ["10.0.0.20"]


def test_a_service_that_few_begin_to_use_is_found(make_case: Callable[..., Case]) -> None:
    """The same rise is a finding of each where less than half of the office shares it."""
    flows = [*office(terminals=20), *service(range(1, 5), 5, 8)]

    found = set(volume_spikes.detect(make_case(flows))["src"])

    assert found <= {f"10.0.0.{terminal}" for terminal in range(1, 5)}
    assert len(found) >= 3


def test_an_upload_to_a_service_of_all_is_found(make_case: Callable[..., Case]) -> None:
    """That all use a service as ever is no crowd: an upload through it is as unusual as elsewhere."""
    flows = [*office(terminals=20), *service(range(1, 21), 0, 8)]
    flows.append(flow(START + 7 * 24 * HOUR + 7, "10.0.0.3", "198.18.0.99", 800_000_000))

    assert list(volume_spikes.detect(make_case(flows))["src"]) == ["10.0.0.3"]


def test_unobserved_uploads_are_not_tested(make_case: Callable[..., Case]) -> None:
    """Rows that do not say what was sent are counted as not tested, never taken for zero."""
    case = make_case([row | {"bytes_out": None} for row in office()])

    assert len(volume_spikes.detect(case)) == 0
    assert volume_spikes.coverage(case).tested == 0
    assert "not record what was sent" in volume_spikes.coverage(case).why


def test_rows_that_are_refused_are_counted_with_their_files(make_case: Callable[..., Case]) -> None:
    """The coverage says how many rows do not record uploads, and names the files, most rows first, at most five."""
    silent = [
        flow(START + day * 24 * HOUR, "10.0.0.3", RELAY, 1) | {"bytes_out": None, "source": f"gw{n}/access.log"}
        for n in range(1, 8)
        for day in range(n)
    ]
    coverage = volume_spikes.coverage(make_case([*office(), *silent]))

    assert coverage.refused == 28
    assert coverage.sources.startswith("gw7/access.log: test, 7; gw6/access.log: test, 6; ")
    assert coverage.sources.endswith("; 2 more")
    assert f"28 flows of 7 files do not record what was sent ({coverage.sources})" in coverage.why
    assert volume_spikes.coverage(make_case(office())).refused == 0


def test_beacons_need_no_byte_counts(make_case: Callable[..., Case]) -> None:
    """Beacons refuse no row for lack of byte counts, and say so where there are such rows."""
    silent = make_case([row | {"bytes_out": None} for row in office()])
    coverage, full = beacons.coverage(silent), beacons.coverage(make_case(office()))

    assert (coverage.refused, coverage.tested) == (0, full.tested)
    assert "intervals need no byte counts" in coverage.why
    assert "byte counts" not in full.why


def test_short_cases_are_looked_at_by_the_minute(make_case: Callable[..., Case]) -> None:
    """A case of a few hours names the minute of the upload."""
    flows = [row | {"start": START + (int(str(row["start"])) - START) // 60} for row in office()]
    flows = [row | {"end": row["start"]} for row in flows]
    flows.append(flow(START + 100 * 60_000_000, "10.0.0.2", RELAY, 9_000_000))
    case = make_case(flows)

    found = volume_spikes.detect(case)

    assert timedelta(minutes=1) == volume_spikes.window_of(case)
    assert [timedelta(minutes=1)] == list(found["end"] - found["start"])


def test_baseline_is_not_poisoned(make_case: Callable[..., Case]) -> None:
    """An attacker who sends the same volume every hour is found in the last hour as in the first."""
    flows = office()
    flows += [flow(START + hour * HOUR + 7, "10.0.0.5", RELAY, 30_000_000) for hour in range(100, 130)]

    found = volume_spikes.detect(make_case(flows))

    assert found["value"].sum() == 30 * 30_000_000.0


def test_the_gateways_own_rows_do_not_repeat_the_terminals(make_case: Callable[..., Case]) -> None:
    """An upload that log and uplink both saw is the terminal's finding alone."""
    flows = office()
    flows.append(flow(START + 150 * HOUR, "10.0.0.3", RELAY, 40_000_000))
    flows += [row | {"src": "192.0.2.1", "via": None, "source": "conn.log", "vantage": "uplink"} for row in flows]

    found = volume_spikes.detect(make_case(flows))

    assert list(found["src"]) == ["10.0.0.3"]


def test_shifting_all_times_shifts_the_findings(make_case: Callable[..., Case]) -> None:
    """Nothing depends on the date: a case a week later has its findings a week later."""
    flows = [*office(), flow(START + 150 * HOUR, "10.0.0.3", RELAY, 40_000_000)]
    week = 7 * 24 * HOUR
    later = [row | {"start": int(str(row["start"])) + week, "end": int(str(row["end"])) + week} for row in flows]

    found, moved = volume_spikes.detect(make_case(flows)), volume_spikes.detect(make_case(later))

    assert [timedelta(weeks=1)] == list(moved["start"] - found["start"])
    assert list(found["score"]) == list(moved["score"])


def test_order_of_rows_does_not_matter(make_case: Callable[..., Case]) -> None:
    """The same rows in reverse give the same findings but for their line numbers."""
    flows = [*office(), flow(START + 150 * HOUR, "10.0.0.3", RELAY, 40_000_000)]

    found, turned = volume_spikes.detect(make_case(flows)), volume_spikes.detect(make_case(flows[::-1]))

    assert found.drop(columns="record").equals(turned.drop(columns="record"))


def test_empty_case(make_case: Callable[..., Case]) -> None:
    """A case without rows gives no finding and no error."""
    case = make_case([])

    assert len(volume_spikes.detect(case)) == 0
    assert volume_spikes.coverage(case).tested == 0


@pytest.mark.parametrize("option", [{"least_bytes": -1}, {"max_q": 0.0}, {"least_drain": 0}, {"least_spread": 0.0}])
def test_options_out_of_range_are_refused(make_case: Callable[..., Case], option: dict[str, float]) -> None:
    """An option without sense is an error that names what is needed."""
    with pytest.raises(ValueError, match="are needed"):
        volume_spikes.detect(make_case([]), **option)  # type: ignore[arg-type]  # wrong on purpose
