"""The engine as a machine: blocks, epochs, growing tables, bounded memory, and both builds alike."""

# ruff: noqa: PLR0917 - fixtures and parameters of a test

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build

SECOND = 1_000_000_000


def harvest(
    build: Build, data: bytes, block: int | None = None, **options: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], dict[str, Any]]:
    """Run an engine; return all closed flows, all cells, and its facts."""
    chosen = build.layout.FlowOptions(**options)
    engine = build.engine.Engine(io.BytesIO(data), chosen, block or build.engine.BLOCK_BYTES)
    engine.open()
    events = [event for event in engine.events() if hasattr(event, "closed")]
    return np.concatenate([e.closed for e in events]), np.concatenate([e.cells for e in events]), engine.facts()


def flood(make: ModuleType, count: int, *, version: int = 4, step: int = 1_000_000) -> bytes:
    """Return one datagram each from many addresses."""
    packets = []
    for k in range(count):
        if version == 4:
            packet = make.ipv4(
                f"192.0.{k >> 8 & 255}.{k & 255}", "198.51.100.1", 17, make.udp(1000 + (k >> 16), 9, b"x")
            )
        else:
            packet = make.ipv6(f"2001:db8::{k >> 16:x}:{k & 0xFFFF:x}", "2001:db8:1::1", 17, make.udp(1000, 9, b"x"))
        packets.append(make.Packet(make.START + k * step, packet, 101))
    return bytes(make.pcap(packets, link=101))


@pytest.mark.parametrize("name", ["normal.pcap", "two_sections.pcapng", "simple_blocks.pcapng", "oddities.pcap"])
@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_blocks_change_nothing(plain: Build, samples: dict[str, bytes], name: str, block: int) -> None:
    """However the file is cut into blocks, the flows are the same."""
    whole, cells, facts = harvest(plain, samples[name])
    pieces, some_cells, some_facts = harvest(plain, samples[name], block=block)

    assert (whole == pieces).all()
    assert (cells == some_cells).all()
    assert facts == some_facts


@pytest.mark.parametrize("column", ["IN_FLOWS", "REJECT_COUNT"])
def test_a_packet_that_is_lost_is_told(plain: Build, make: ModuleType, column: str) -> None:
    """Where the counts of a pass contradict each other, it ends with an error that has them."""
    engine = plain.engine.Engine(io.BytesIO(flood(make, 3)))
    engine.open()
    assert list(engine.events())
    engine.audit()
    engine.tables.cursor[getattr(plain.layout, column)] += 1

    with pytest.raises(RuntimeError, match=r"of 3 packets, packets_in_flows: [34],.*flows of the wire hold 3"):
        engine.audit()


def test_tables_grow(plain: Build, make: ModuleType) -> None:
    """More flows and addresses than the tables begin with."""
    for version in (4, 6):
        flows, _, facts = harvest(plain, flood(make, 17_000, version=version, step=1), pick=False)
        assert len(flows) == facts["packets_in_flows"] == 17_000
        assert len(np.unique(flows[:, plain.layout.F_SERIAL])) == 17_000


def test_idle_flows_leave_where_they_pile_up(plain: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of an epoch, flows idle for too long are closed; the others stay whole."""
    monkeypatch.setattr(plain.engine, "EPOCH_PACKETS", 16)
    monkeypatch.setattr(plain.engine, "_PATIENCE", 8)
    data = flood(make, 100, step=10 * SECOND)
    engine = plain.engine.Engine(io.BytesIO(data))
    engine.open()
    most = 0
    closed = 0
    for event in engine.events():
        most = max(most, int(engine.tables.cursor[plain.layout.OPEN]))
        closed += len(event.closed) if hasattr(event, "closed") else 0

    assert closed == 100
    assert most < 60


def test_a_flood_closes_the_flows_idle_longest(plain: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """More open flows than allowed: the oldest leave early, which is noted."""
    monkeypatch.setattr(plain.engine, "EPOCH_PACKETS", 16)
    flows, cells, facts = harvest(plain, flood(make, 100, step=1000), max_open=32)

    assert len(flows) == len(cells) == 100
    assert facts["closed_early"] > 0


def test_output_is_emptied_when_full(plain: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many more events than the output arrays hold are all handed out."""
    monkeypatch.setattr(plain.arrays, "OUTPUT_ROWS", 4 * plain.layout.BATCH)
    frame = make.ethernet(make.ipv4("192.0.2.1", "198.51.100.1", 17, make.udp(1000, 53, b"x")))
    data = make.pcap([make.Packet(make.START + k * 61 * SECOND, frame) for k in range(9000)])
    flows, cells, _ = harvest(plain, data)

    assert len(flows) == len(cells) == 9000


def test_a_cell_may_be_visited_twice(plain: Build, make: ModuleType) -> None:
    """Where time runs backwards, a flow has several cells of one minute, which add up."""
    frame = make.ethernet(make.ipv4("192.0.2.1", "198.51.100.1", 17, make.udp(1000, 9, b"x")))
    data = make.pcap([make.Packet(make.START + s * SECOND, frame) for s in (0, 61, 1, 62)])
    flows, cells, _ = harvest(plain, data, udp=100.0)

    assert len(flows) == 1
    assert cells[:, plain.layout.C_PACKETS : plain.layout.C_PACKETS + 2].sum() == 4


@pytest.mark.parametrize(
    "name", ["normal.pcap", "two_sections.pcapng", "simple_blocks.pcapng", "oddities.pcap", "snaplen_60.pcap"]
)
def test_both_builds_give_the_same_tables(plain: Build, compiled: Build, samples: dict[str, bytes], name: str) -> None:
    """Compiled and plain Python, every row is the same, in the same order."""
    assert plain.read(samples[name]) == compiled.read(samples[name])


def test_hashes_agree(plain: Build, compiled: Build) -> None:
    """The hash is the same number compiled and as plain Python, also where products are large."""
    inner = compiled.hashing.hash_key  # a part has no way in from Python
    called = compiled.modules["_jit"].entry(lambda cursor, first, second: inner(cursor, first, second))  # noqa: PLW0108
    cursor = np.zeros(plain.layout.CURSOR_COLUMNS, dtype=np.int64)
    for factors in (plain.arrays.random_factors(), np.full(4, 2**29 - 1)):
        cursor[plain.layout.FACTORS :] = factors
        for first, second in ((0, 0), (-(2**63), 2**63 - 1), (2**63 - 1, -1), (-1, -1), (123456789, -(2**40))):
            found = plain.hashing.hash_key(cursor, first, second)
            assert found == called(cursor, first, second)
            assert 0 <= found < 2**63


def damaged(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    """Return data with some bytes overwritten."""
    bad = bytearray(data)
    for place, value in changes:
        bad[place % len(bad)] = value
    return bytes(bad)


CHANGES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=12)


@settings(max_examples=150)
@given(
    name=st.sampled_from(["normal.pcap", "oddities.pcap", "two_sections.pcapng", "simple_blocks.pcapng"]),
    changes=CHANGES,
)
def test_damaged_captures_never_crash_and_builds_agree(
    plain: Build, compiled: Build, samples: dict[str, bytes], name: str, changes: list[tuple[int, int]]
) -> None:
    """Whatever bytes are overwritten: no error, every packet accounted for, both builds alike."""
    data = damaged(samples[name], changes)
    tables, notes = plain.read(data)

    assert compiled.read(data) == (tables, notes)
    inside = sum(f["packets_out"] + f["packets_in"] for f in tables["flows"])
    others = sum(notes.get("not_ip", {}).values()) + sum(notes.get("unread_link_types", {}).values())
    bad = [r for r in tables["rejects"] if r["reason"] in plain.layout.REJECT_REASONS.values()]
    assert inside == notes["packets_in_flows"]
    assert inside + others + len(bad) == notes["records"]
    for column in ("bytes_out", "bytes_in", "packets_out", "packets_in"):
        assert sum(v[column] for v in tables["volumes"]) == sum(f[column] for f in tables["flows"])


@settings(max_examples=150)
@given(
    frames=st.lists(st.binary(max_size=120), max_size=8),
    link=st.sampled_from([0, 1, 12, 101, 108, 113, 228, 229, 276]),
    kind=st.sampled_from(["", "0800", "86dd", "810000010800"]),
)
def test_any_packets_are_read_alike(
    plain: Build, compiled: Build, make: ModuleType, frames: list[bytes], link: int, kind: str
) -> None:
    """Any bytes behind any link header: plain Python finds no index out of range, and both builds agree."""
    head = bytes(12) + bytes.fromhex(kind) if link == 1 else b""
    data = make.pcap([make.Packet(make.START, head + frame) for frame in frames], link=link)

    assert plain.read(data) == compiled.read(data)


@settings(max_examples=100)
@given(
    version=st.sampled_from([4, 6]),
    proto=st.sampled_from([0, 1, 6, 17, 43, 44, 51, 58, 60, 132]),
    body=st.binary(max_size=80),
)
def test_any_transport_is_read_alike(
    plain: Build, compiled: Build, make: ModuleType, version: int, proto: int, body: bytes
) -> None:
    """Any bytes behind an IP header, whole or cut anywhere."""
    ends = ("192.0.2.9", "192.0.2.1") if version == 4 else ("2001:db8::9", "2001:db8::1")
    packet = make.ip(*ends, proto, body)
    data = make.pcap([make.Packet(make.START, packet, 101, snaplen=n) for n in (len(packet), 24, 44, 50)], link=101)

    assert plain.read(data) == compiled.read(data)


@settings(max_examples=150)
@given(
    payload=st.binary(max_size=200),
    begin=st.sampled_from([b"", b"GET ", b"HTTP/1.1 ", b"\x16\x03\x01\x00\x30\x01\x00\x00\x2c", b"CONNECT "]),
)
def test_any_message_is_contained(plain: Build, make: ModuleType, payload: bytes, begin: bytes) -> None:
    """Whatever follows the beginning of a message, on TCP or as DNS, nothing is raised."""
    segment = make.tcp(1000, 80, 1, 1, 16, begin + payload)
    datagrams = [
        make.udp(53, 1000, payload),
        make.udp(53, 1000, struct.pack(">HHHHHH", 1, 0x8180, 1, 9, 0, 0) + payload),
    ]
    packets = [make.ipv4("192.0.2.1", "198.51.100.2", 6, segment)]
    packets += [make.ipv4("192.0.2.53", "192.0.2.1", 17, datagram) for datagram in datagrams]
    tables, _ = plain.read(make.pcap([make.Packet(make.START, p, 101) for p in packets], link=101))

    assert len(tables["flows"]) == 2


@settings(max_examples=60)
@given(data=st.binary(max_size=400), magic=st.sampled_from(["d4c3b2a1", "a1b23c4d", "0a0d0d0a1c0000004d3c2b1a", ""]))
def test_any_bytes_are_no_reason_to_crash(plain: Build, data: bytes, magic: str) -> None:
    """Any bytes behind any magic number give tables and notes."""
    _, notes = plain.read(bytes.fromhex(magic) + data)

    assert notes["records"] >= 0


def test_the_compiler_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, plain: Build) -> None:
    """Without numba, or where the environment says so, the loops are what they are."""
    jit = plain.modules["_jit"]
    monkeypatch.setenv("FORENSICS_JIT", "0")
    assert jit._numba() is None
    monkeypatch.delenv("FORENSICS_JIT")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert jit._numba() is None
    monkeypatch.delenv("NUMBA_DISABLE_JIT")
    monkeypatch.setitem(__import__("sys").modules, "numba", None)
    assert jit._numba() is None
    assert jit.jit(len) is len
    assert jit.hot(len) is jit.entry(len) is len


def test_reading_formats_needs_no_compiler() -> None:
    """Discovering formats, and declining with them, imports neither numba nor the engine."""
    import subprocess
    import sys

    code = (
        "import sys; from forensics.formats import Hints, pcap, pcapng;"
        "pcap.declines(b'', Hints()); pcapng.declines(b'', Hints());"
        "assert not {'numba', 'dpkt', 'forensics.packets.assembly'} & sys.modules.keys(), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
