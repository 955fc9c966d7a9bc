"""The detector of beacons."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from forensics.detectors import beacons
from forensics.schema import FINDING_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

SECOND = 1_000_000
START = 1_431_302_400_000_000

Flows = list[dict[str, object]]


def contacts(times: np.ndarray, src: str = "10.0.0.1", dst: str = "203.0.113.7", **more: object) -> Flows:
    """Return requests at these times [s] after the start."""
    return [
        {"start": START + int(t * SECOND), "src": src, "dst": dst, "via": "proxy", "name": "relay.example", **more}
        for t in times
    ]


def beat(seed: int, count: int, period: float, jitter: float) -> np.ndarray:
    """Return times of a beacon whose every interval is off by up to ``jitter`` of the period."""
    rng = np.random.default_rng(seed)
    return np.cumsum(period * (1 + rng.uniform(-jitter, jitter, count)))


def browse(seed: int, count: int) -> np.ndarray:
    """Return times of a person's requests: bursts, with heavy-tailed pauses."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.lognormal(2, 2, count))


def test_beacon_is_found_with_its_period(make_case: Callable[..., Case]) -> None:
    """A beacon with a fifth of jitter is found, with its period, terminal, server and lines."""
    case = make_case(contacts(beat(1, 60, 45.0, 0.2)))

    found = beacons.detect(case)

    assert list(FINDING_COLUMNS) == list(found.columns)
    assert list(zip(found["src"], found["dst"], found["name"], strict=True)) == [
        ("10.0.0.1", "203.0.113.7", "relay.example")
    ]
    assert pytest.approx(found["value"][0], rel=0.05) == 45.0
    assert found["record"][0] == "1-60"


def test_missed_beats_do_not_hide_a_beacon(make_case: Callable[..., Case]) -> None:
    """A beacon that misses every sixth beat on average is found with its own period."""
    times = beat(2, 100, 30.0, 0.1)
    kept = times[np.random.default_rng(3).random(100) > 1 / 6]

    found = beacons.detect(make_case(contacts(kept)))

    assert pytest.approx(found["value"][0], rel=0.1) == 30.0


def test_nights_do_not_hide_a_beacon(make_case: Callable[..., Case]) -> None:
    """A beacon in office hours alone is found: the nights are pauses."""
    times = np.concatenate([day * 86_400 + beat(day, 40, 300.0, 0.1) for day in range(5)])

    assert len(beacons.detect(make_case(contacts(times)))) == 1


@pytest.mark.parametrize("seed", range(5))
def test_people_are_no_beacons(make_case: Callable[..., Case], seed: int) -> None:
    """Bursts of requests with long pauses give no finding."""
    assert len(beacons.detect(make_case(contacts(browse(seed, 300))))) == 0


def test_few_contacts_are_not_tested(make_case: Callable[..., Case]) -> None:
    """A pair with fewer contacts than a test needs is counted as not tested."""
    case = make_case([*contacts(beat(1, 5, 61.3, 0.0)), *contacts(beat(1, 20, 60.0, 0.0), dst="203.0.113.8")])

    assert list(beacons.detect(case)["dst"]) == ["203.0.113.8"]
    assert (beacons.coverage(case).tested, beacons.coverage(case).not_tested) == (1, 1)
    assert "6 contacts" in beacons.coverage(case).why


def test_contacts_at_one_moment_are_one(make_case: Callable[..., Case]) -> None:
    """A burst logged with one time stamp is no beacon of period zero."""
    assert len(beacons.detect(make_case(contacts(np.zeros(50))))) == 0


def test_one_contact_seen_twice_counts_once(make_case: Callable[..., Case]) -> None:
    """A beacon that both the proxy and a sensor saw is one finding, told by the vantage that saw more."""
    times = beat(4, 50, 60.0, 0.1)
    other = contacts(times[:40] + 0.2, source="terminal.pcap", vantage="terminal")

    found = beacons.detect(make_case([*contacts(times), *other]))

    assert len(found) == 1
    assert "of 49 intervals" in found["reason"][0]
    assert found["source"][0] == "access.log; terminal.pcap"


def test_pauses_alone_are_not_measured(make_case: Callable[..., Case]) -> None:
    """A pair whose contacts are days apart has no interval to measure."""
    assert len(beacons.detect(make_case(contacts(np.arange(20) * 86_400.0)))) == 0


@pytest.mark.parametrize("dst", ["224.0.0.251", "255.255.255.255", "ff02::2", "10.0.0.2"])
def test_announcements_and_inside_servers_are_not_tested(make_case: Callable[..., Case], dst: str) -> None:
    """What goes to a group, to everybody or to the office's own servers is no beacon to an outside server."""
    case = make_case([*contacts(beat(1, 40, 60.0, 0.0), dst=dst), *contacts(browse(1, 20))])

    assert len(beacons.detect(case)) == 0
    assert (beacons.coverage(case).tested, beacons.coverage(case).not_tested) == (1, 0)


def test_empty_case(make_case: Callable[..., Case]) -> None:
    """A case without rows gives no finding and no error."""
    assert len(beacons.detect(make_case([]))) == 0


@pytest.mark.parametrize(
    "option", [{"least_contacts": 3}, {"least_score": 1.5}, {"max_q": 1.0}, {"pause": timedelta(seconds=9)}]
)
def test_options_out_of_range_are_refused(make_case: Callable[..., Case], option: dict[str, object]) -> None:
    """An option without sense is an error that names what is needed."""
    with pytest.raises(ValueError, match="are needed"):
        beacons.detect(make_case([]), **option)  # type: ignore[arg-type]  # wrong on purpose
