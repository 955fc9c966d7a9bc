"""From flows back to packets, and fine series of what flows moved."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build

SECOND = 1_000_000_000


def micro(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of flows with its times as integers."""
    times = {name: round(row[name].timestamp() * 1_000_000) for name in ("start", "end")}
    return row | times


@pytest.mark.parametrize("name", ["normal.pcap", "oddities.pcap", "two_sections.pcapng", "nanosecond_big_endian.pcap"])
def test_every_packet_of_every_flow_is_found(plain: Build, samples: dict[str, bytes], name: str) -> None:
    """The packets found of all flows are as many as each flow has, and no packet is found twice."""
    flows = plain.flows(samples[name])
    keys = [plain.find.FlowKey.of_row(micro(flow)) for flow in flows]
    found = plain.find.find_packets(io.BytesIO(samples[name]), keys)

    assert [len(f) for f in found] == [f["packets_out"] + f["packets_in"] for f in flows]
    assert [f[0] for f in found] == [f["record"] for f in flows]
    assert len({n for f in found for n in f}) == sum(map(len, found))


def test_time_and_limit_bound_what_is_found(plain: Build, samples: dict[str, bytes]) -> None:
    """Only packets within the flow's time are its own; a long list is cut."""
    key = plain.find.FlowKey.of_row(micro(plain.flows(samples["nanosecond_big_endian.pcap"])[0]))
    early = plain.find.FlowKey(
        **{n: getattr(key, n) for n in key.__dataclass_fields__} | {"end": key.start + 16_000_000}
    )
    found = plain.find.find_packets(io.BytesIO(samples["nanosecond_big_endian.pcap"]), [key, early], limit=5)

    assert found == [[1, 2, 3, 4, 5], [1, 2]]


def test_find_needs_room_for_addresses(plain: Build, make: ModuleType) -> None:
    """More addresses than the table begins with."""
    packets = [
        make.Packet(make.START, make.ipv6(f"2001:db8::{k:x}", "2001:db8:1::1", 17, make.udp(1000, 9, b"x")), 101)
        for k in range(1, 14_000)
    ]
    key = plain.find.FlowKey("udp", "2001:db8::36af", 1000, "2001:db8:1::1", 9, 0, 2**62)

    assert plain.find.find_packets(io.BytesIO(make.pcap(packets, link=101)), [key]) == [[13_999]]


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
