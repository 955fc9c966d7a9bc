"""Fine series of what flows moved."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build

SECOND = 1_000_000_000


@pytest.mark.parametrize("bin_us", [1000, 100_000, 20_000_000])
def test_activity_sums_to_the_flows(plain: Build, samples: dict[str, bytes], bin_us: int) -> None:
    """Bins of any width add up to each flow's payload and packets, in order and without empty ones."""
    flows = {f["src_port"]: f for f in plain.flows(samples["normal.pcap"])}
    rows = plain.activity.activity(io.BytesIO(samples["normal.pcap"]), bin_us).to_pylist()

    assert [(r["flow"], r["bin"]) for r in rows] == sorted((r["flow"], r["bin"]) for r in rows)
    assert all(r["packets_out"] + r["packets_in"] > 0 for r in rows)
    for port, flow in flows.items():
        mine = [r for r in rows if r["src_port"] == port]
        assert {r["start"] for r in mine} == {flow["start"]}
        for way in ("out", "in"):
            assert sum(r[f"payload_{way}"] for r in mine) == flow[f"payload_bytes_{way}"]
            assert sum(r[f"packets_{way}"] for r in mine) == flow[f"packets_{way}"]


def test_activity_adds_up_bins_met_twice(plain: Build, make: ModuleType) -> None:
    """Where time runs backwards, a bin is one row all the same, and the start is the earliest packet."""
    frame = make.ethernet(make.ipv4("192.0.2.1", "198.51.100.1", 17, make.udp(1000, 9, b"xyz")))
    data = make.pcap([make.Packet(make.START + s * SECOND, frame) for s in (2, 5, 1, 2)])
    rows = plain.activity.activity(io.BytesIO(data), 1_000_000).to_pylist()

    assert [(r["payload_out"], r["packets_out"]) for r in rows] == [(3, 1), (6, 2), (3, 1)]
    assert {r["start"].second for r in rows} == {1}


def test_activity_of_nothing(plain: Build, make: ModuleType) -> None:
    """A capture without packets has no activity; a bin has a width."""
    assert plain.activity.activity(io.BytesIO(make.pcap([]))).num_rows == 0
    with pytest.raises(ValueError, match="bin_us is 0"):
        plain.activity.activity(io.BytesIO(make.pcap([])), 0)
