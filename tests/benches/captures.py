"""Captures for benchmarks, the same bytes for the same seed: ``python tests/benches/captures.py FOLDER``.

The captures are (a) headers alone, (b) full packets, (c) many small files, (d) DNS, (e) TLS and HTTP, (f) a flood of
SYNs; and, made only when named, (g) full packets of 1, 2, 4 and 8 GB, (t) ten packets, (w) two files alike.
``--scale 0.1`` makes all of them a tenth as long, in packets and in time. A capture that is there already is kept.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from messages import Book, Scripts, host_name
from traffic import START, Mix, Services, plan, timeline
from wire import SYN, TCP, Array, Flows, Packets, Pool, file_header, records

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FULL", "KINDS", "make", "write_full"]

FULL = 262_144
"""Snaplen of captures that are not cut. [B]"""

HEADERS = 96
SERVER = 0xC6120001
FLOOD_CHUNK = 500_000
SECONDS_PER_FLOW = 3600 / 400_000
NONE = np.zeros(0, np.int64)

BYTES_PER_PACKET = 16 + 747
"""Mean of a full packet with its record header. [B]"""

Library = tuple[Pool, Scripts, Services]


def everyday() -> Library:
    """Return the messages of an office: some hundred servers."""
    book = Book(1)
    services = Services(
        dns=np.array([book.dns(host_name(n), six=n % 3 == 0) for n in range(2000)]),
        tls=np.array([book.tls(host_name(n), large=n % 2 == 0, modern=n % 5 > 0) for n in range(400)]),
        http=np.array([book.http(host_name(n), 1) for n in range(300)]),
    )
    return (*book.close(), services)


def names() -> Library:
    """Return questions for 100,000 names and their replies."""
    book = Book(4)
    dns = np.array([book.dns(host_name(n), six=six) for n in range(100_000) for six in (False, n % 3 == 0)])
    pool, scripts = book.close()
    return pool, scripts, Services(dns, NONE, NONE)


def web() -> Library:
    """Return handshakes of 4,000 servers, half of them with large hellos, and HTTP of 2,000."""
    book = Book(5)
    tls = np.array([book.tls(host_name(n), large=n % 2 == 0, modern=n % 4 > 0) for n in range(4000)])
    http = np.array([book.http(host_name(n), 1 + n % 4) for n in range(2000)])
    pool, scripts = book.close()
    return pool, scripts, Services(NONE, tls, http)


def write(path: Path, library: Library, mix: Mix, size: tuple[int, int], *, seed: int, snaplen: int = FULL) -> None:
    """Write a capture of so many conversations and packets."""
    rng = np.random.default_rng(seed)
    pool, scripts, services = library
    flows = plan(rng, mix, services, scripts, size=size)
    beside = path.with_suffix(".part")
    with beside.open("wb") as file:
        file.write(file_header(snaplen))
        for packets in timeline(rng, flows, scripts):
            file.write(records(flows, packets, pool, snaplen))
    beside.replace(path)


def write_full(path: Path, gigabytes: float, *, seed: int = 7) -> None:
    """Write a capture of full packets of about this size, at the pace of capture (b). [GB]"""
    packets = int(gigabytes * 1e9 / BYTES_PER_PACKET)
    flows = packets // 15
    write(path, everyday(), Mix(seconds=flows * SECONDS_PER_FLOW), (flows, packets), seed=seed)


def headers(folder: Path, scale: float) -> None:
    """(a) 5 million packets of 400,000 flows, cut at 96 bytes."""
    size = int(400_000 * scale), int(5_000_000 * scale)
    write(folder / "headers.pcap", everyday(), Mix(seconds=3600 * scale), size, seed=1, snaplen=HEADERS)


def full(folder: Path, scale: float) -> None:
    """(b) 6 million packets of 400,000 flows, whole."""
    size = int(400_000 * scale), int(6_000_000 * scale)
    write(folder / "full.pcap", everyday(), Mix(seconds=3600 * scale), size, seed=2)


def many(folder: Path, scale: float) -> None:
    """(c) 2,000 captures of 50 to 5,000 packets in folders of 100."""
    rng, library = np.random.default_rng(3), everyday()
    for number in range(int(2000 * scale)):
        place = folder / "many.part" / f"{number // 100:02d}"
        place.mkdir(parents=True, exist_ok=True)
        packets = int(np.exp(rng.uniform(np.log(50), np.log(5000))))
        flows = max(packets // 15, 2)
        mix = Mix(seconds=flows * SECONDS_PER_FLOW)
        write(place / f"{number:04d}.pcap", library, mix, (flows, packets), seed=1000 + number)
    (folder / "many.part").replace(folder / "many")


def dns(folder: Path, scale: float) -> None:
    """(d) A million queries for 100,000 names, and their replies."""
    size = int(1_000_000 * scale), int(2_000_000 * scale)
    mix = Mix(dns=1.0, udp=0, icmp=0, seconds=3600 * scale)
    write(folder / "dns.pcap", names(), mix, size, seed=4)


def sites(folder: Path, scale: float) -> None:
    """(e) 200,000 connections, three in five TLS, the others HTTP."""
    mix = Mix(dns=0, udp=0, icmp=0, refused=0, http=0.4, other=0, scripted=True, seconds=3600 * scale)
    write(folder / "web.pcap", web(), mix, (int(200_000 * scale), 0), seed=5)


def flood(folder: Path, scale: float) -> None:
    """(f) 20 million SYNs from as many sources, cut at 60 bytes, in 20 minutes."""
    count, path = int(20_000_000 * scale), folder / "flood.pcap"
    rng = np.random.default_rng(6)
    with path.with_suffix(".part").open("wb") as file:
        file.write(file_header(60))
        for begin in range(0, count, FLOOD_CHUNK):
            number = np.arange(begin, min(begin + FLOOD_CHUNK, count))
            file.write(records(*_syns(rng, number), Pool(b""), 60))
    path.with_suffix(".part").replace(path)


def _syns(rng: np.random.Generator, number: Array) -> tuple[Flows, Packets]:
    """Return one SYN each; an odd factor makes every pair of address and port its own."""
    source = number * 0x5DEECE66D % (1 << 48)
    some, zero, no = len(number), np.zeros(len(number), np.int64), np.zeros(len(number), bool)
    flows = Flows(*[zero] * len(Flows._fields))._replace(
        proto=zero + TCP, six=no, stamped=no, client=source >> 16, client_port=source & 0xFFFF,
        server=zero + SERVER, server_port=zero + 80,
    )  # fmt: skip
    seq = rng.integers(0, 1 << 32, some)
    time = START * 1_000_000 + number * 60
    return flows, Packets(np.arange(some), time, no, zero + SYN, seq, zero, zero, zero)


def ten(folder: Path, scale: float) -> None:
    """(t) Ten packets."""
    write(folder / "ten.pcap", everyday(), Mix(dns=1.0, udp=0, icmp=0, seconds=1), (5, 10), seed=8)


def twins(folder: Path, scale: float) -> None:
    """(w) Two captures of full packets, 1 GB each, that differ."""
    write_full(folder / "twin-0.pcap", scale, seed=9)
    write_full(folder / "twin-1.pcap", scale, seed=10)


def growth(folder: Path, scale: float) -> None:
    """(g) Full packets of 1, 2, 4 and 8 GB."""
    for gigabytes in (1, 2, 4, 8):
        write_full(folder / f"growth-{gigabytes}.pcap", gigabytes * scale)


KINDS: dict[str, tuple[str, Callable[[Path, float], None]]] = {
    "a": ("headers.pcap", headers),
    "b": ("full.pcap", full),
    "c": ("many", many),
    "d": ("dns.pcap", dns),
    "e": ("web.pcap", sites),
    "f": ("flood.pcap", flood),
    "t": ("ten.pcap", ten),
    "w": ("twin-1.pcap", twins),
    "g": ("growth-8.pcap", growth),
}
"""What is made for each letter, and by which function."""


def make(folder: Path, letters: str, scale: float) -> None:
    """Make captures that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for letter in letters:
        name, function = KINDS[letter]
        path = folder / name
        if path.exists():
            continue
        begin = time.perf_counter()
        function(folder, scale)
        size = path.stat().st_size / 1e6 if path.is_file() else 0
        print(f"({letter}) {name}: {size:,.0f} MB in {time.perf_counter() - begin:.0f} s", flush=True)


def main() -> None:
    """Make the captures that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="abcdef", help="letters of the captures, for example a,b")
    parser.add_argument("--scale", type=float, default=1.0, help="how long they are; 1 is what is published")
    options = parser.parse_args()
    make(options.folder, options.only.replace(",", ""), options.scale)


if __name__ == "__main__":
    main()
