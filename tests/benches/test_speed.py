"""How fast evidence is read, beside other readers of the same file: ``python3 run.py bench``.

Each group reads one file in several ways; compare the medians within a group, never across machines.
"""

from __future__ import annotations

import io
import random
import re
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import dpkt
import pytest

from forensics.formats import Evidence, pcap, squid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

PACKETS, FLOWS = 300_000, 20_000
LINES = 100_000
SQUID = re.compile(r"(\d+)\.(\d+) +(\d+) (\S+) (\w+)/(\d+) (\d+) (\S+) (\S+) (\S+) (\w+)/(\S+) (\S+)")


def packets() -> Iterator[bytes]:
    """Yield the records of a capture: TCP segments of many flows, headers alone, as a snaplen of 54 leaves them."""
    rng = random.Random(1)
    for number in range(PACKETS):
        flow = rng.randrange(FLOWS)
        ethernet = b"\x02" * 12 + b"\x08\x00"
        size = 40 + rng.randrange(1460)
        addresses = struct.pack("!II", 0x0A000000 + flow % 250, 0xC6120000 + flow)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, size, number & 0xFFFF, 0, 64, 6, 0) + addresses
        tcp = struct.pack("!HHIIBBHHH", 1024 + flow, 443, number, number, 0x50, 0x10, 1024, 0, 0)
        frame = ethernet + ip + tcp
        yield struct.pack("<IIII", 1_432_173_600 + number // 1000, number % 1000 * 1000, len(frame), size + 14) + frame


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a capture of 300,000 packets in 20,000 flows."""
    path = tmp_path_factory.mktemp("bench") / "headers.pcap"
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 54, 1)
    path.write_bytes(head + b"".join(packets()))
    return path


@pytest.fixture(scope="module")
def log() -> bytes:
    """Return a Squid log of 100,000 lines."""
    rng = random.Random(2)
    lines = (
        f"{1432173600 + n / 50:.3f} {rng.randrange(9000):6d} 10.20.0.{n % 60 + 1} TCP_MISS/200 "
        f"{rng.randrange(90_000)} GET http://www.site{n % 700}.example/page/{n} - "
        f"HIER_DIRECT/198.18.0.{n % 200 + 1} text/html\n"
        for n in range(LINES)
    )
    return "".join(lines).encode()


def rows(module: object, data: bytes) -> int:
    """Return how many flows a format reads."""
    parse = module.parse  # type: ignore[attr-defined]  # one of the format modules
    batches = parse(Evidence(io.BytesIO(data), "bench", "bench"))
    return sum(batch.num_rows for table, batch in batches if table == "flows")


def once(benchmark: BenchmarkFixture, read: Callable[[], int]) -> object:
    """Time a slow reader once."""
    return benchmark.pedantic(read, rounds=1)  # type: ignore[no-untyped-call]  # the plug-in's own has no types


@pytest.mark.benchmark(group="capture of 300,000 packets")
def test_capture_here(benchmark: BenchmarkFixture, capture: Path) -> None:
    """Packets to flows, exact minutes and Arrow tables."""
    data = capture.read_bytes()
    rows(pcap, data)  # compile the loops

    assert benchmark(rows, pcap, data) == FLOWS


@pytest.mark.benchmark(group="capture of 300,000 packets")
def test_capture_dpkt(benchmark: BenchmarkFixture, capture: Path) -> None:
    """The same with dpkt, decoding headers into a dictionary of byte counts."""

    def read() -> int:
        flows: dict[tuple[bytes, int, bytes, int], int] = {}
        with capture.open("rb") as file:
            for _, data in dpkt.pcap.Reader(file):
                ip = dpkt.ethernet.Ethernet(data).data
                key = (ip.src, ip.data.sport, ip.dst, ip.data.dport)
                flows[key] = flows.get(key, 0) + ip.len
        return len(flows)

    assert once(benchmark, read) == FLOWS


@pytest.mark.benchmark(group="capture of 300,000 packets")
def test_capture_tshark(benchmark: BenchmarkFixture, capture: Path) -> None:
    """The same with tshark's table of conversations."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    command = ["tshark", "-n", "-q", "-r", str(capture), "-z", "conv,tcp"]

    def read() -> int:
        return subprocess.run(command, capture_output=True, check=True).stdout.count(b"<->")

    assert once(benchmark, read) == FLOWS


@pytest.mark.benchmark(group="Squid log of 100,000 lines")
def test_squid_here(benchmark: BenchmarkFixture, log: bytes) -> None:
    """Lines to flows, requests and names as Arrow tables."""
    assert benchmark(rows, squid, log) == LINES


@pytest.mark.benchmark(group="Squid log of 100,000 lines")
def test_squid_regex(benchmark: BenchmarkFixture, log: bytes) -> None:
    """The same lines through a compiled regular expression alone, without any table."""
    lines = log.decode().splitlines()

    assert benchmark(lambda: sum(SQUID.match(line) is not None for line in lines)) == LINES
