"""Make the samples of NetFlow and IPFIX: datagrams as exporters send them, end to end.

Run it from anywhere; it writes into the folder ``netflow`` beside itself. What it makes is always the same.
"""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path

SENT = 1_432_166_460  # 2015-05-21T00:01:00Z
UPTIME = 120_000  # [ms]
TEMPLATE = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (22, 4), (21, 4), (1, 4), (2, 4)]


def ip(text: str) -> bytes:
    """Return an address as packets hold it."""
    return ipaddress.ip_address(text).packed


def v5(records: list[bytes], sequence: int, *, uptime: int = UPTIME, sampling: int = 0) -> bytes:
    """Return a datagram of version 5."""
    return struct.pack(">HHIIIIBBH", 5, len(records), uptime, SENT, 500_000_000, sequence, 0, 1, sampling) + b"".join(
        records
    )


def v5_record(ends: tuple[str, int, str, int], proto: int, counts: tuple[int, int], times: tuple[int, int]) -> bytes:
    """Return a record of version 5: ends, protocol, packets and bytes, first and last packet [ms since boot]."""
    src, src_port, dst, dst_port = ends
    return struct.pack(
        ">4s4s4sHHIIIIHHBBBBHHBBH", ip(src), ip(dst), bytes(4), 1, 2, *counts, *times, src_port, dst_port, 0, 0x1B,
        proto, 0, 0, 0, 24, 24, 0,
    )  # fmt: skip


def a_set(number: int, content: bytes, pad: int = 0) -> bytes:
    """Return a set of version 9 or IPFIX."""
    return struct.pack(">HH", number, 4 + len(content) + pad) + content + bytes(pad)


def template(number: int, fields: list[tuple[int, int]]) -> bytes:
    """Return a template; an element above 2^16 carries its enterprise in the upper bits."""
    packed = b"".join(
        struct.pack(">HHI", element & 0x7FFF | 0x8000, length, element >> 16)
        if element >> 16
        else struct.pack(">HH", element, length)
        for element, length in fields
    )
    return struct.pack(">HH", number, len(fields)) + packed


def v9(sets: list[bytes], sequence: int, *, domain: int = 7, uptime: int = UPTIME) -> bytes:
    """Return a datagram of version 9."""
    return struct.pack(">HHIIII", 9, len(sets), uptime, SENT, sequence, domain) + b"".join(sets)


def ipfix(sets: list[bytes], sequence: int, *, domain: int = 7) -> bytes:
    """Return a message of IPFIX."""
    content = b"".join(sets)
    return struct.pack(">HHIII", 10, 16 + len(content), SENT, sequence, domain) + content


def record(
    ends: tuple[str, int, str, int], proto: int, counts: tuple[int, int], times: tuple[int, int] = (60_000, 90_000)
) -> bytes:
    """Return a record of `TEMPLATE`."""
    src, src_port, dst, dst_port = ends
    size, packets = counts
    return ip(src) + ip(dst) + struct.pack(">HHBIIII", src_port, dst_port, proto, *times, size, packets)


PAIR = ip("192.0.2.7") + ip("203.0.113.9")
WEB = ("192.0.2.7", 49152, "203.0.113.9", 443)
BACK = ("203.0.113.9", 443, "192.0.2.7", 49152)


def exporters() -> list[bytes]:
    """Return what three exporters send."""
    wide = ip("2001:db8::7") + ip("2001:db8::9")
    wide += struct.pack(">HHBQQQQ", 49_153, 80, 6, 1_432_166_401_250, 1_432_166_402_500, 5200, 12)
    wide_fields = [(27, 16), (28, 16), (7, 2), (11, 2), (4, 1), (152, 8), (153, 8), (1, 8), (2, 8)]
    return [
        v5([v5_record(WEB, 6, (10, 1200), (60_000, 61_500)), v5_record(BACK, 6, (12, 9000), (60_020, 61_480))], 1),
        v9([a_set(0, template(256, TEMPLATE)), a_set(256, record(WEB, 17, (4096, 4)), 3)], 10),
        ipfix([a_set(2, template(256, wide_fields)), a_set(256, wide)], 0),
    ]


def normal() -> bytes:
    """Return a file of their datagrams."""
    return b"".join(exporters())


def unknown() -> bytes:
    """Return records that tell who spoke to whom and when, and nothing else."""
    fields = [(8, 4), (12, 4), (150, 4), (151, 4)]
    data = ip("192.0.2.7") + ip("203.0.113.9") + struct.pack(">II", 1_432_166_401, 1_432_166_402)
    bare = [(8, 4), (150, 4)]
    return ipfix(
        [a_set(2, template(300, fields) + template(301, bare)), a_set(300, data),
         a_set(301, ip("192.0.2.8") + struct.pack(">I", 1_432_166_403))], 5
    )  # fmt: skip


def bare() -> bytes:
    """Return records as a collector keeps them that have neither ports nor counters."""
    fields = [(8, 4), (12, 4), (4, 1), (152, 8), (153, 8)]
    ends = ip("192.0.2.7") + ip("203.0.113.9") + bytes([47])
    return ipfix(
        [a_set(2, template(300, fields)),
         a_set(300, ends + struct.pack(">QQ", 1_432_166_401_250, 1_432_166_402_500)),
         a_set(300, ends + bytes(16))], 5
    )  # fmt: skip


def late() -> list[bytes]:
    """Return data before its template, with it, and data whose template never comes."""
    data = a_set(400, record(WEB, 6, (500, 5)))
    return [
        v9([data], 20, domain=9),
        v9([a_set(0, template(400, TEMPLATE)), data], 21, domain=9),
        v9([a_set(400, record(BACK, 6, (1, 1)))], 22, domain=10),
    ]


def old() -> list[bytes]:
    """Return version 5: a clock that wrapped around, sampling, ICMP, and a break of 40 flows."""
    icmp = ("192.0.2.7", 0, "203.0.113.9", 0x0303)
    return [
        v5([v5_record(WEB, 6, (1, 40), (4_294_967_000, 200))], 100, uptime=1_000, sampling=0x4064),
        v5([v5_record(icmp, 1, (2, 112), (60_000, 60_000))], 141),
    ]


def both_ways() -> bytes:
    """Return a record that counts both directions."""
    fields = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (152, 8), (161, 4), (1, 4), (29305 << 16 | 1, 4), (2, 4),
              (29305 << 16 | 2, 4)]  # fmt: skip
    data = struct.pack(">HHBQIIIII", 49_154, 22, 6, 1_432_166_400_000, 1500, 700, 900, 7, 9)
    return ipfix([a_set(2, template(256, fields)), a_set(256, PAIR + data, 2)], 0, domain=11)


def varied() -> bytes:
    """Return fields of a length of their own, of none, of three bytes, and totals beside deltas."""
    fields = [(8, 4), (9 << 16 | 4000, 65_535), (12, 4), (94, 65_535), (1, 3), (85, 8), (210, 0), (4, 1)]
    one = ip("192.0.2.7") + b"\x03abc" + ip("203.0.113.10") + b"\xff\x01\x00" + b"n" * 256
    one += struct.pack(">3sQB", (70_000).to_bytes(3, "big"), 999_999, 17)
    two = ip("192.0.2.8") + b"\x00" + ip("203.0.113.10") + b"\x00"
    two += struct.pack(">3sQB", (7).to_bytes(3, "big"), 8, 17)
    return ipfix([a_set(2, template(257, fields)), a_set(257, one + two)], 1, domain=11)


def events() -> bytes:
    """Return what a firewall tells of a session: that it begins, goes on, ends; and of one that was denied."""
    fields = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (323, 8), (233, 1), (231, 4), (232, 4)]
    told = [(1, 0, 0), (5, 10, 20), (2, 300, 400), (3, 0, 0)]
    data = b"".join(
        PAIR + struct.pack(">HHBQBII", 49_155, 443, 6, 1_432_166_400_000 + n, *each) for n, each in enumerate(told)
    )
    return ipfix([a_set(2, template(258, fields)), a_set(258, data)], 3, domain=11)


def refused() -> list[bytes]:
    """Return records that contradict themselves, that count too much, and without addresses; options; padding."""
    ping_fields = [(8, 4), (12, 4), (4, 1), (32, 2), (22, 4), (21, 4), (1, 4), (2, 8)]
    ping = PAIR + struct.pack(">BHIIIQ", 1, 0x0800, 60_000, 61_000, 84, 1)
    options = struct.pack(">HHHHHHHHH", 257, 4, 8, 1, 4, 34, 4, 35, 1)
    sampled = struct.pack(">IIB", 0, 64, 1)
    backwards = record(WEB, 6, (9, 1), (90_000, 60_000))
    return [
        v9([a_set(0, template(258, ping_fields)), a_set(258, ping), a_set(1, options), a_set(257, sampled)], 30),
        v9([a_set(0, template(259, TEMPLATE)), a_set(259, backwards)], 31) + bytes(64),
        ipfix([a_set(2, template(259, [(8, 4), (12, 4), (1, 8)])), a_set(259, PAIR + struct.pack(">Q", 1 << 60))], 7,
              domain=11),
        ipfix([a_set(2, template(260, [(56, 6), (1, 4)])), a_set(260, bytes(6) + struct.pack(">I", 99))], 8, domain=11),
    ]  # fmt: skip


def traps() -> bytes:
    """Return a file with every trap, and damage between and behind its datagrams."""
    datagrams = [
        *late(), *old(), both_ways(), varied(), events(), *refused(),
        b"\x00\x01 this is no datagram",
        v5([v5_record(BACK, 17, (3, 300), (60_000, 61_000))], 142),
        v5([v5_record(WEB, 17, (3, 300), (60_000, 61_000))] * 2, 143)[:-10],
    ]  # fmt: skip
    return b"".join(datagrams)


def sflow() -> bytes:
    """Return the head of a datagram of sFlow, which is sent to collectors too."""
    return struct.pack(">II4sIIII", 5, 1, ip("192.0.2.1"), 0, 1, UPTIME, 0)


def main() -> None:
    """Write the samples."""
    folder = Path(__file__).with_name("netflow")
    folder.mkdir(exist_ok=True)
    for name, data in {
        "normal.dat": normal(), "unknown.dat": unknown(), "traps.dat": traps(), "sflow.other": sflow()
    }.items():  # fmt: skip
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
