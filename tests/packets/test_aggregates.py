"""Aggregates of 802.11 (A-MSDU): several packets in one frame, each in its flow, no byte of the frame twice."""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import forensics as fx
from tests.packets.test_flow_agreement import FATES
from tests.packets.test_nested_index import watched
from tests.packets.test_properties import SLOW, SPECS, Spec, innermost, total, wrapped

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from tests.packets.conftest import Build

HEAD = bytes.fromhex("88010000" + "02" * 18 + "0000" + "8000")  # data with QoS, to the access point, aggregate
PLAIN = bytes.fromhex("88010000" + "02" * 18 + "0000" + "0000")
SNAP = bytes.fromhex("aaaa03000000")
WLAN = 105


def part(packet: bytes, kind: int | None = None, length: int | None = None) -> bytes:
    """Return a part of an aggregate."""
    if kind is None:
        kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    body = SNAP + struct.pack(">H", kind) + packet
    return bytes(12) + struct.pack(">H", len(body) if length is None else length) + body


def aggregate(parts: list[bytes], trailer: bytes = b"") -> bytes:
    """Return an aggregate's frame: all parts but the last padded to four bytes."""
    padded = [one + bytes(-len(one) % 4) for one in parts[:-1]]
    return HEAD + b"".join([*padded, *parts[-1:]]) + trailer


def udp(make: ModuleType, dst: str, text: bytes, port: int = 1000) -> bytes:
    """Return a datagram to a host."""
    return bytes(make.ipv4("192.0.2.1", dst, 17, make.udp(port, 9, text)))


def captured(make: ModuleType, frames: list[bytes], **options: Any) -> bytes:  # noqa: ANN401 - as the writer takes them
    """Return a capture of 802.11 frames."""
    packets = [make.Packet(make.START + k * 1000, frame) for k, frame in enumerate(frames)]
    return bytes(make.pcap(packets, link=WLAN, **options))


def columns(flows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    """Return some columns of flows, sorted."""
    return sorted(tuple(flow[name] for name in names) for flow in flows)


def test_each_packet_is_in_its_flow(plain: Build, make: ModuleType) -> None:
    """Three packets in one frame are three packets of two flows, with the bytes of their parts, header and padding."""
    packets = [udp(make, "192.0.2.2", b"a"), udp(make, "192.0.2.3", b"bcd"), udp(make, "192.0.2.2", b"e" * 30)]
    frame = aggregate([part(packet) for packet in packets], b"\xde\xad\xbe\xef")  # with its checksum
    rows, facts = plain.read(captured(make, [frame]))

    assert columns(rows["flows"], "dst", "record", "packets_out", "bytes_out", "payload_bytes_out") == [
        ("192.0.2.2", 1, 2, 29 + 58, 31),
        ("192.0.2.3", 1, 1, 31, 3),
    ]
    assert columns(rows["flows"], "dst", "frame_bytes_out") == [
        ("192.0.2.2", len(HEAD) + 52 + (22 + 58) + 4),
        ("192.0.2.3", 14 + 8 + 31 + 3),
    ]
    assert total(rows["flows"], "frame_bytes") == len(frame)
    assert (facts["records"], facts["packets_in_flows"], facts["further_packets_in_aggregates"]) == (1, 3, 2)
    assert total(rows["volumes"], "bytes") == sum(map(len, packets))
    assert not rows["rejects"]


def test_what_is_in_no_flow_is_told(plain: Build, make: ModuleType) -> None:
    """ARP among the packets is counted; a part whose length is wrong, or which is cut, is a reject; the rest stands."""
    one, two = part(udp(make, "192.0.2.2", b"a")), part(udp(make, "192.0.2.3", b"b"))
    arp = part(bytes(28), 0x0806)
    for frame, options, counts, reason in (
        (aggregate([arp, one, arp, two]), {}, {"packets_in_flows": 2, "not_ip_packets": 2}, None),
        (aggregate([one, part(b"x" * 20, 0x0800, 5000), two]), {}, {"packets_in_flows": 1}, "contradicts its length"),
        (aggregate([one, part(b"", 0x0800, 1), two]), {}, {"packets_in_flows": 1}, "cut short"),
        (aggregate([one, two]), {"snaplen": len(HEAD) + 58}, {"packets_in_flows": 1}, "cut short"),
        (aggregate([one, part(b"\x45")]), {}, {"packets_in_flows": 1}, "IP header is cut short"),
        (HEAD + bytes(9), {}, {}, "cut short"),
    ):
        rows, facts = plain.read(captured(make, [frame], **options))
        rejected = {"rejected_packets": 1} if reason else {}
        assert {name: facts[name] for name in FATES if facts.get(name)} == counts | rejected
        assert sum(facts.get(name, 0) for name in FATES) == 1 + facts.get("further_packets_in_aggregates", 0)
        assert [row["record"] for row in rows["rejects"] if reason in row["reason"]] == [1] * len(rejected)
        assert len(rows["flows"]) == counts.get("packets_in_flows", 0)


def test_more_packets_than_there_is_room_for(plain: Build, compiled: Build, make: ModuleType) -> None:
    """Rows and outputs grow with what a batch holds; of one frame 256 packets are read, and the rest is a reject."""
    parts = [part(udp(make, f"192.0.2.{2 + k % 9}", b"", 1000 + k)) for k in range(256)]
    frames = [aggregate(parts)] * 70 + [aggregate([*parts, *parts])]
    rows, facts = compiled.read(captured(make, frames))

    assert facts["packets_in_flows"] == 71 * 256 == total(rows["flows"], "packets")
    assert total(rows["flows"], "frame_bytes") == 70 * len(frames[0]) + len(HEAD) + 256 * 52
    assert [row["record"] for row in rows["rejects"]] == [71]
    assert plain.read(captured(make, frames)) == (rows, facts)


def test_an_aggregate_in_a_tunnel(plain: Build, make: ModuleType) -> None:
    """An access point sends whole frames to its controller: the packets in them are carried, all by one."""
    frame = aggregate([part(udp(make, "192.0.2.2", b"a")), part(bytes(28), 0x0806), part(udp(make, "192.0.2.3", b"b"))])
    packet = make.ipv4("10.0.0.1", "10.0.0.2", 47, bytes.fromhex("00008240") + frame)
    wire = make.ethernet(packet)
    rows, facts = plain.read(make.pcap([make.Packet(make.START, wire)]))

    assert columns(rows["flows"], "tunnel", "dst", "packets_out", "bytes_out") == [
        ("inner", "192.0.2.2", 1, 29),
        ("inner", "192.0.2.3", 1, 29),
        ("outer", "10.0.0.2", 1, len(packet)),
    ]
    inner = [flow for flow in rows["flows"] if flow["tunnel"] == "inner"]
    assert total(inner, "frame_bytes") == len(wire) - 52  # without ARP's part
    assert facts["packets_in_flows"] == 1
    assert facts["tunnelled_packets"] == 2
    assert total(rows["volumes"], "bytes") == 58


def test_zeek_counts_the_same_packets(compiled: Build, corpus: Path) -> None:
    """Of Zeek's own example, an aggregate behind GRE, its log and we have both packets and their bytes."""
    folder = corpus / "zeek" / "core.tunnels.gre-aruba-amsdu"
    log = (folder / "conn.log").read_text(encoding="utf-8").splitlines()
    fields = next(line for line in log if line.startswith("#fields")).split("\t")[1:]
    theirs = dict(zip(fields, next(line for line in log if line[0] != "#").split("\t"), strict=True))
    flow = next(row for row in compiled.flows((folder / "trace.pcap").read_bytes()) if row["tunnel"] == "inner")

    assert {flow["src"], flow["dst"]} == {theirs["id.orig_h"], theirs["id.resp_h"]}
    assert total([flow], "packets") == int(theirs["orig_pkts"]) == 2
    assert total([flow], "bytes") == int(theirs["orig_ip_bytes"])


def test_packets_of_a_flow_are_their_frames(make: ModuleType, tmp_path: Path) -> None:
    """A frame is a packet of each flow that it holds, and of no other, also where flows began with the same frame."""
    to = [part(udp(make, f"192.0.2.{k}", b"x")) for k in range(2, 5)]
    frames = [aggregate(to), aggregate(to[1:]), PLAIN + to[2][14:], PLAIN + to[0][14:]]
    capture = tmp_path / "air.pcap"
    capture.write_bytes(captured(make, frames))
    case = fx.read(capture)
    found = {row["dst"]: [p.number for p in case.packets(row)] for row in case.flows.to_arrow().to_pylist()}

    assert found == {"192.0.2.2": [1, 4], "192.0.2.3": [1, 2], "192.0.2.4": [1, 2, 3]}
    assert [p.number for p in case.packets("dst = '192.0.2.4'")] == [1, 2, 3]


AIR = st.lists(st.tuples(st.booleans(), st.lists(SPECS, min_size=1, max_size=5)), min_size=1, max_size=12)


def layers_of(make: ModuleType, spec: Spec) -> list[bytes]:
    """Return the packets of a part, from the outermost to the one that its bytes are told of; none of ARP."""
    if spec.what[0] in {"arp", "cut"}:
        return []
    layers = [innermost(make, spec)]
    for depth, tunnel in enumerate(spec.tunnels):
        layers.insert(0, wrapped(make, layers[0], tunnel, depth))
    return layers[:6]


@SLOW
@given(air=AIR, late=st.integers(1, 12))
def test_whatever_is_in_the_air(
    plain: Build, compiled: Build, make: ModuleType, air: list[tuple[bool, list[Spec]]], late: int
) -> None:
    """Every packet has one fate and every byte one flow, both builds agree, and batches and epochs change nothing."""
    frames, known = [], []
    for alone, specs in air:
        chosen = specs[:1] if alone else specs
        layers = [layers_of(make, spec) for spec in chosen]
        parts = [part(some[0]) if some else part(bytes(28), 0x0806) for some in layers]
        frames.append(PLAIN + parts[0][14:] if alone else aggregate(parts))
        known.append(layers)
    data = captured(make, frames)
    rows, facts = plain.read(data)
    wire = [flow for flow in rows["flows"] if flow["tunnel"] in {None, "outer"}]
    parts_known = [some for layers in known for some in layers]

    assert sum(facts.get(name, 0) for name in FATES) == len(parts_known)
    assert len(parts_known) == facts["records"] + facts.get("further_packets_in_aggregates", 0)
    assert total(wire, "packets") == facts["packets_in_flows"] == sum(map(bool, parts_known))
    assert total(wire, "bytes") == sum(len(some[0]) for some in parts_known if some)
    assert total(rows["volumes"], "bytes") == sum(len(some[-1]) for some in parts_known if some)
    lost = sum(len(f) for f, layers in zip(frames, known, strict=True) if not all(layers))
    assert sum(map(len, frames)) - lost <= total(wire, "frame_bytes") <= sum(map(len, frames))
    assert compiled.read(data) == plain.read(data)
    with pytest.MonkeyPatch.context() as patch:
        for module in (plain.engine, plain.assembly):
            patch.setattr(module, "BATCH", late)
        patch.setattr(plain.engine, "EPOCH_PACKETS", late)
        assert plain.read(data)[0]["flows"] == rows["flows"]
        (serials, flows), index, given_to = watched(plain, data, patch)
    assert Counter(serials.tolist()).keys() == given_to.keys()
    assert index.serials(flows).tolist() == serials.tolist()
    for serial in serials.tolist():
        assert index.numbers(np.array([serial])).tolist() == sorted(given_to[serial])
