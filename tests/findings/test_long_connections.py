"""The detector of connections that last long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from forensics.detectors import long_connections

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

SECOND = 1_000_000
HOUR = 3600
START = 1_431_302_400_000_000
RELAY = "203.0.113.7"

Rows = list[dict[str, object]]


def lasting(seconds: float, src: str, dst: str, **more: object) -> dict[str, object]:
    """Return a connection of this length."""
    start = START + int(str(more.pop("after", 0))) * SECOND
    known = {
        "start": start,
        "end": start + int(seconds * SECOND),
        "src": src,
        "dst": dst,
        "dst_port": 443,
        "proto": "tcp",
    }
    return known | more


def others(seed: int, count: int = 400, centre: float = 20.0) -> Rows:
    """Return connections of eight terminals with forty servers, of log-normal length."""
    rng = np.random.default_rng(seed)
    lengths = rng.lognormal(np.log(centre), 1.0, count)
    return [lasting(length, f"10.0.0.{n % 8 + 1}", f"198.18.0.{n % 40 + 1}") for n, length in enumerate(lengths)]


def test_a_tunnel_of_ten_hours_is_found(make_case: Callable[..., Case]) -> None:
    """With its length, the median of the port, RITA's threshold, and its line."""
    found = long_connections.detect(make_case([*others(1), lasting(10 * HOUR, "10.0.0.3", RELAY)]))

    assert found[["src", "dst", "value", "record"]].to_numpy().tolist() == [["10.0.0.3", RELAY, 36_000.0, "401"]]
    assert 15 < found["expected"][0] < 30
    assert "10.0 h" in found["reason"][0]
    assert "RITA's threshold medium (8 h)" in found["reason"][0]


def test_the_figures_of_a_small_case(make_case: Callable[..., Case]) -> None:
    """Of nine connections of 10 s and one of 100 h the median is 10 s, as far as the histogram tells; the MAD is 0."""
    rows = [lasting(10, f"10.0.0.{n}", f"198.18.0.{n}") for n in range(1, 10)]

    found = long_connections.detect(make_case([*rows, lasting(360_000, "10.0.0.1", RELAY)]))

    centre = 9.5 * 0.25  # the middle of the place of ln 11 = 2.398
    z = (np.log(360_001) - centre) / 0.5
    assert found["score"].tolist() == pytest.approx([z])
    assert found["p_value"].tolist() == pytest.approx([stats.t.sf(z, 30)])
    assert found["q_value"].tolist() == pytest.approx([10 * stats.t.sf(z, 30)])


def test_long_connections_are_usual_where_all_have_them(make_case: Callable[..., Case]) -> None:
    """Three other terminals keep theirs with the chat server as long; with another port of it nobody does."""
    chat = [lasting(8 * HOUR, f"10.0.0.{n}", "198.18.9.9", after=day * 90_000) for n in range(1, 6) for day in range(3)]

    assert long_connections.detect(make_case([*others(2), *chat])).empty
    other_port = [row | {"dst_port": 8443} if row["src"] == "10.0.0.1" else row for row in chat]
    browsed = [row | {"dst_port": 8443, "dst": f"198.18.1.{n % 9}"} for n, row in enumerate(others(3))]
    assert long_connections.detect(make_case([*others(2), *other_port, *browsed]))["src"].tolist() == ["10.0.0.1"]


def test_pieces_of_a_flow_meter_are_one_connection(make_case: Callable[..., Case]) -> None:
    """Sixteen rows of 30 minutes, end to end and with the same ports, are 8 hours; an hour between them parts them."""
    pieces = [lasting(1800, "10.0.0.3", RELAY, src_port=50_000, after=n * 1805) for n in range(16)]

    found = long_connections.detect(make_case([*others(1), *pieces]))

    assert found["value"].tolist() == [15 * 1805 + 1800]
    assert found["record"].tolist() == ["401-416"]
    assert "in 16 pieces" in found["reason"][0]
    parted = [lasting(1800, "10.0.0.3", RELAY, src_port=50_000, after=n * 5400) for n in range(16)]
    assert long_connections.detect(make_case([*others(1), *parted])).empty


def test_rows_without_ports_are_not_put_together(make_case: Callable[..., Case]) -> None:
    """Tunnels that a proxy logged one after the other are several."""
    tunnels = [lasting(1800, "10.0.0.3", RELAY, via="proxy", after=n * 1805) for n in range(16)]

    assert long_connections.detect(make_case([*others(1), *tunnels])).empty


def test_one_pair_is_one_finding(make_case: Callable[..., Case]) -> None:
    """The longest, and how many more there are."""
    rows = [lasting(length * HOUR, "10.0.0.3", RELAY, after=n * 100_000) for n, length in enumerate((9, 12, 10))]

    found = long_connections.detect(make_case([*others(1), *rows]))

    assert found["value"].tolist() == [12 * HOUR]
    assert "2 more were long" in found["reason"][0]


def test_no_duration_is_not_a_short_one(make_case: Callable[..., Case]) -> None:
    """Rows that end when they begin are refused, and counted."""
    rows = [lasting(0, "10.0.0.1", RELAY) for _ in range(50)]

    coverage = long_connections.coverage(make_case([*others(1, 100), *rows]))

    assert (coverage.tested, coverage.refused) == (40, 50)
    assert "50 flows in 1 files have no duration" in coverage.why


@pytest.mark.parametrize("seed", range(6))
def test_log_normal_lengths_give_no_finding(make_case: Callable[..., Case], seed: int) -> None:
    """Lengths of one law, an hour among them by chance: nothing is found, and p-values are not too small."""
    case = make_case(others(seed, 3000, centre=300.0))

    assert long_connections.detect(case).empty
    p = long_connections.detect(case, least=timedelta(seconds=1), max_q=0.999999)["p_value"]
    assert (p <= 0.01).sum() <= 12


def test_all_equal_and_hostile_lengths(make_case: Callable[..., Case]) -> None:
    """A thousand rows of one length, one of 60 years, one contact: no error."""
    assert long_connections.detect(make_case([lasting(7200, "10.0.0.1", RELAY)] * 1000)).empty
    assert long_connections.detect(make_case([lasting(7200, "10.0.0.1", RELAY)])).empty
    assert len(long_connections.detect(make_case([*others(1), lasting(1.9e9, "10.0.0.3", RELAY)]))) == 1


@pytest.mark.parametrize("option", [{"least": timedelta(0)}, {"max_q": 0.0}])
def test_options_out_of_range_are_refused(make_case: Callable[..., Case], option: dict[str, object]) -> None:
    """An option without sense is an error that names what is needed."""
    with pytest.raises(ValueError, match="needed"):
        long_connections.detect(make_case([]), **option)  # type: ignore[arg-type]
