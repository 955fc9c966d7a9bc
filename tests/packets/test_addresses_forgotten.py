"""IPv6 addresses that no flow has any more are forgotten, and nothing of it shows in the tables."""

from __future__ import annotations

import io
import random
import struct
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from forensics.formats import Evidence

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build

SECOND = 1_000_000_000
EPOCH, PATIENCE = 256, 64


@pytest.fixture
def small(plain: Build, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Return the plain engine with epochs of few packets and little patience."""
    for module in (plain.engine, plain.assembly, plain.arrays):
        monkeypatch.setattr(module, "BATCH", 16)
    for module in (plain.engine, plain.arrays):
        monkeypatch.setattr(module, "EPOCH_PACKETS", EPOCH)
    monkeypatch.setattr(plain.engine, "_PATIENCE", PATIENCE)
    return plain


def answer(name: str, address: str) -> bytes:
    """Return a DNS message that gives a name's address."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    question = labels + b"\0\0\1\0\1"
    return (
        struct.pack(">HHHHHH", 7, 0x8180, 1, 1, 0, 0)
        + question
        + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4"
        + bytes(map(int, address.split(".")))
    )


def scan(make: ModuleType, count: int) -> bytes:
    """Return a capture in which hundreds of addresses come and go beside a few that stay, with fragments and names."""
    rng = random.Random(5)
    packets, stay = [], [f"2001:db8:1::{k:x}" for k in range(4)]
    for k in range(count):
        fresh = f"2001:db8:2::{rng.randrange(count * 4):x}"
        old = f"2001:db8:2::{k % 97:x}"  # comes back again and again
        kind = k % 7
        if kind == 0:  # a connection that goes on for the whole time, and both of its ends
            ends = (stay[0], stay[1]) if k % 2 else (stay[1], stay[0])
            ports = (40000, 443) if k % 2 else (443, 40000)
            raw = make.ip(*ends, 6, make.tcp(*ports, k, k, 16, b"x" * (k % 5)))
        elif kind == 1:
            raw = make.ip("2001:db8:ffff::1", old, 17, make.udp(53, 5000, answer(f"n{k}.example", "192.0.2.7")))
        elif kind in {2, 3}:  # the two parts of a datagram, other packets in between and sometimes an epoch
            number = k // 70
            part = struct.pack(">BBHI", 17, 0, 1 if kind == 2 else 2 << 3, number)
            body = make.udp(7000 + number % 9, 9, bytes(24))
            raw = make.ip(stay[2], f"2001:db8:3::{number:x}", 44, part + (body[:16] if kind == 2 else body[16:]))
        elif kind == 4:
            raw = make.ip(*((old, stay[3]) if k % 2 else (stay[3], old)), 58, bytes([128 + k % 2, 0]) + bytes(6))
        else:
            raw = make.ip(fresh, stay[k % 4], 17, make.udp(1000, 9, b"x"))
        packets.append(make.Packet(make.START + k * SECOND // 2, make.ethernet(raw)))
    return bytes(make.pcap(packets))


def written(build: Build, data: bytes) -> list[tuple[str, bytes]]:
    """Return every batch of rows of a capture as bytes."""
    evidence = Evidence(io.BytesIO(data), "sample", "sensor")
    batches = build.pipeline.read_capture(evidence, build.layout.FlowOptions())
    return [(name, batch.serialize().to_pybytes()) for name, batch in batches]


def remembering(build: Build, patch: pytest.MonkeyPatch) -> None:
    """Have the engine keep every address."""
    patch.setattr(build.engine.Engine, "_forget_addresses", lambda _: None)


def sizes(build: Build, data: bytes) -> list[tuple[int, int]]:
    """Return the addresses known and the rows for them at every harvest."""
    engine = build.engine.Engine(io.BytesIO(data))
    engine.open()
    return [
        (int(engine.tables.cursor[build.layout.ADDRESSES]), len(engine.tables.addresses))
        for event in engine.events()
        if hasattr(event, "closed")
    ]


def test_memory_stays_bounded(small: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses were met, the table has those of the open flows and of one epoch."""
    data = scan(make, 40 * EPOCH)
    found = sizes(small, data)
    remembering(small, monkeypatch)
    every = sizes(small, data)

    assert every[-1] > (3000, 4000)
    assert max(known for known, _ in found) < 1000
    assert max(rows for _, rows in found) <= 1024


def test_the_tables_are_the_same(small: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flows, volumes, names and the index are the same to the byte as if every address had been kept."""
    data = scan(make, 24 * EPOCH)
    forgotten = written(small, data)
    with monkeypatch.context() as patch:
        renumbered = Mock(wraps=small.engine.renumbered)
        patch.setattr(small.engine, "renumbered", renumbered)
        assert written(small, data) == forgotten
    remembering(small, monkeypatch)

    assert renumbered.call_count > 5
    assert written(small, data) == forgotten
    assert {name for name, _ in forgotten} >= {"flows", "volumes", "names", "packets"}


def test_activity_is_the_same(small: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is what flows did in bins of time, which is put together after the pass."""
    data = scan(make, 12 * EPOCH)
    forgotten = small.activity.activity(io.BytesIO(data), 1_000_000)
    remembering(small, monkeypatch)

    assert forgotten.num_rows > EPOCH
    assert small.activity.activity(io.BytesIO(data), 1_000_000).equals(forgotten)
    assert len(set(forgotten["src"].to_pylist())) > EPOCH
