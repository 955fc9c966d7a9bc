"""The hash tables of the engine: what comes out of a capture does not depend on the factors of their hash."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from forensics.formats import Evidence

if TYPE_CHECKING:
    from types import ModuleType

    import pytest

    from tests.packets.conftest import Build

SEEDS: list[list[int]] = [
    [1, 1, 1, 1],
    [2**29 - 1, 2**29 - 1, 2**29 - 1, 2**29 - 1],
    [3, 5, 7, 11],
    [310_295_947, 405_121_023, 148_811_245, 523_987_333],
]
A, B = SEEDS[3], [499_979_317, 283_920_111, 390_112_207, 181_920_379]


def seeded(build: Build, patch: pytest.MonkeyPatch, factors: list[int]) -> None:
    """Have the engine draw these factors."""
    patch.setattr(build.arrays, "random_factors", lambda: np.array(factors, dtype=np.int64))


def written(build: Build, data: bytes) -> tuple[list[tuple[str, bytes]], dict[str, Any]]:
    """Return every batch of rows of a capture as bytes, index and all, and its notes."""
    evidence = Evidence(io.BytesIO(data), "sample", "sensor")
    batches = build.pipeline.read_capture(evidence, build.layout.FlowOptions())
    return [(name, batch.serialize().to_pybytes()) for name, batch in batches], evidence.notes


def scan(make: ModuleType, count: int, *, six: bool = True) -> bytes:
    """Return a capture of many addresses, whose datagrams come in fragments, and of replies from some."""
    packets = []
    for k in range(count):
        there = f"2001:db8::{k % 701:x}" if six and k % 2 else f"198.51.{k % 256}.{k % 7}"
        here = "2001:db8:1::1" if six and k % 2 else "192.0.2.1"
        ends = (there, here) if k % 3 else (here, there)
        if k % 2:
            body = make.udp(1000 + k % 5, 53, b"x")
            packets.append(make.ip(*ends, 17, body))
        else:
            first = k % 4 == 0
            number = k // 4
            packets.append(
                make.ipv4(
                    *("192.0.2.1", f"198.51.{number % 256}.{number % 7}"),
                    17,
                    make.udp(1000, 9, bytes(24))[:16] if first else bytes(16),
                    ident=number % 65536,
                    fragment=0x2000 if first else 2,
                )
            )
    return bytes(
        make.pcap([make.Packet(make.START + k * 1_000_000, make.ethernet(raw)) for k, raw in enumerate(packets)])
    )


def test_factors_are_drawn_anew(plain: Build) -> None:
    """Every pass has factors of its own: odd numbers of 29 bits, of which the hash overflows nowhere."""
    drawn = np.array([plain.arrays.random_factors() for _ in range(64)])
    tables = [plain.arrays.new_tables(plain.layout.FlowOptions()) for _ in range(2)]

    assert len(np.unique(drawn)) > 250
    assert ((drawn & 1 == 1) & (drawn > 0) & (drawn < 2**29)).all()
    assert len({tuple(t.cursor[plain.layout.FACTORS :].tolist()) for t in tables}) == 2


def test_samples_do_not_depend_on_the_factors(
    plain: Build, samples: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the factors, every batch of rows is the same to the byte, in the same order."""
    for data in samples.values():
        found = []
        for factors in SEEDS:
            seeded(plain, monkeypatch, factors)
            found.append(written(plain, data))
        assert all(other == found[0] for other in found[1:])


def test_many_flows_do_not_depend_on_the_factors(
    compiled: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do flows, IPv6 addresses, and fragments so many that some are forgotten."""
    data = scan(make, 60_000)
    found = []
    for factors in SEEDS:
        seeded(compiled, monkeypatch, factors)
        found.append(written(compiled, data))

    assert all(other == found[0] for other in found[1:])


def crafted(build: Build, factors: list[int], count: int) -> list[tuple[int, int, int]]:
    """Return (address, source port, destination port) of UDP flows from 192.0.2.1 whose hashes end in the same bits."""
    lay, rng = build.layout, np.random.default_rng(1)
    n = 4_000_000
    address = rng.integers(0xC633_6400, 0xC634_0000, n)  # above 192.0.2.1, which is thus the low end
    sport, dport = rng.integers(1, 65536, n), rng.integers(1, 65536, n)
    key1 = ((0xC000_0201 - (1 << 31)) << 32) | address
    key2 = sport << lay.KEY_PORT_LOW | dport << lay.KEY_PORT_HIGH | 17
    hit = np.flatnonzero(build.hashing.mixed(key1, key2, *factors) & 0xFFFF == 0)[:count]
    return list(zip(address[hit].tolist(), sport[hit].tolist(), dport[hit].tolist(), strict=True))


def longest_run(build: Build, data: bytes) -> int:
    """Return how many slots in a row the open flows of a capture fill."""
    engine = build.engine.Engine(io.BytesIO(data))
    engine.open()
    longest = 0
    for event in engine.events():
        taken = engine.tables.slots >= 0
        if hasattr(event, "closed") and not len(event.closed) and taken.any():
            edges = np.flatnonzero(np.diff(np.r_[False, taken, False].astype(int)))
            longest = int((edges[1::2] - edges[::2]).max())
    return longest


def test_keys_that_collide_under_some_factors_do_not_under_others(
    plain: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flows made to fall into one place of the table share it only where the factors are those they were made for."""
    flows = crafted(plain, A, 48)
    packets = []
    for address, sport, dport in flows:
        there = ".".join(map(str, struct.pack(">I", address)))
        packets.append(make.ethernet(make.ipv4("192.0.2.1", there, 17, make.udp(sport, dport, b"x"))))
    data = make.pcap([make.Packet(make.START + k, raw) for k, raw in enumerate(packets)])
    runs = {}
    for name, factors in (("known", A), ("others", B)):
        seeded(plain, monkeypatch, factors)
        runs[name] = longest_run(plain, data)

    assert runs["known"] == 48
    assert runs["others"] <= 3
