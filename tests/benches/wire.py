"""Frames of the benchmarks' captures: columns of packets in, bytes of a pcap file out, checksums right.

Everything is done for many packets at once. A packet's payload is a stretch of one pool of bytes, whose running sums
give the checksum of any stretch without going through it.

References
----------
.. [1] RFC 1071, computing the Internet checksum.
.. [2] RFC 7323, section 2 and 3: the options of TCP that a handshake and a segment carry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ACK",
    "FIN",
    "PSH",
    "RST",
    "SYN",
    "TCP",
    "UDP",
    "Array",
    "Flows",
    "Packets",
    "Pool",
    "file_header",
    "records",
]

Array = NDArray[Any]
"""A column or a matrix."""

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

TCP, UDP = 6, 17
RECORD, ETHERNET = 16, 14
CLIENTS6, SERVERS6 = bytes.fromhex("20010db8000100000000"), bytes.fromhex("20010db8ffff00000000")

# What follows the IP header: TCP bare, TCP bare and padded to Ethernet's 60 bytes, with timestamps, a SYN without and
# with them, UDP, ICMP.
BARE, PADDED, STAMPED, SYN_SHORT, SYN_LONG, DATAGRAM, ECHO = range(7)
TRANSPORT_BYTES = (20, 26, 32, 32, 40, 8, 8)
TCP_BYTES = (20, 20, 32, 32, 40)


class Flows(NamedTuple):
    """The conversations, one row each; addresses are 32 bits, in IPv6 behind a prefix of documentation."""

    begin: Array
    packets: Array
    proto: Array
    six: Array
    vlan: Array
    client: Array
    server: Array
    client_port: Array
    server_port: Array
    stamped: Array
    client_isn: Array
    server_isn: Array
    script: Array
    ending: Array
    upload: Array
    gap: Array


class Packets(NamedTuple):
    """Packets, one row each. ``flow`` is a row of `Flows`, ``start`` and ``size`` a stretch of the `Pool`."""

    flow: Array
    time: Array
    back: Array
    flags: Array
    seq: Array
    ack: Array
    start: Array
    size: Array

    def pick(self, rows: Array) -> Packets:
        """Return some of the packets."""
        return Packets(*(column[rows] for column in self))

    @classmethod
    def together(cls, parts: Iterable[Packets]) -> Packets:
        """Return all packets of the parts."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


class Pool:
    """All payloads of a capture.

    Parameters
    ----------
    data
        The bytes. Payloads begin at even offsets.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data + bytes(len(data) % 2 + 2)
        self.octets: Array = np.frombuffer(self.data, np.uint8)
        self._sums = np.concatenate([[0], np.cumsum(self.octets.view(">u2"), dtype=np.int64)])

    def sums(self, start: Array, size: Array) -> Array:
        """Return the sum of the 16-bit words of each stretch, the last byte of an odd one padded with zero."""
        spare = np.where(size % 2 == 1, self.octets[start + size], 0)
        return np.asarray(self._sums[(start + size + 1) // 2] - self._sums[start // 2] - spare)


def file_header(snaplen: int) -> bytes:
    """Return the first bytes of a pcap file: little-endian, microseconds, Ethernet."""
    return b"".join(
        value.to_bytes(size, "little")
        for value, size in ((0xA1B2C3D4, 4), (2, 2), (4, 2), (0, 4), (0, 4), (snaplen, 4), (1, 4))
    )


def records(flows: Flows, packets: Packets, pool: Pool, snaplen: int) -> bytes:
    """Return the packets as records of a pcap file, in their order."""
    layout = _layout(flows, packets)
    begin, end = np.zeros_like(layout), np.zeros_like(layout)
    captured = np.zeros_like(layout)
    parts, at = [], 0
    for kind in np.unique(layout).tolist():
        rows = np.flatnonzero(layout == kind)
        heads, kept = _headers(kind, flows, packets.pick(rows), pool, snaplen)
        width = heads.shape[1]
        begin[rows] = at + width * np.arange(len(rows))
        end[rows] = begin[rows] + np.minimum(width, RECORD + snaplen)
        captured[rows] = kept
        parts.append(heads.ravel())
        at += heads.size
    arena, data = np.concatenate(parts).data, memoryview(pool.data)
    pieces: list[memoryview] = [arena] * (2 * len(layout))
    pieces[0::2] = [arena[a:b] for a, b in zip(begin.tolist(), end.tolist(), strict=True)]
    last = packets.start + captured
    pieces[1::2] = [data[a:b] for a, b in zip(packets.start.tolist(), last.tolist(), strict=True)]
    return b"".join(pieces)


def _layout(flows: Flows, p: Packets) -> Array:
    """Return which headers each packet has: 28 kinds."""
    proto, stamped = flows.proto[p.flow], flows.stamped[p.flow]
    six, tagged = flows.six[p.flow], flows.vlan[p.flow] > 0
    syn = (p.flags & SYN) > 0
    # frames come padded off the wire; those that the recording machine sends itself are not yet
    padded = (p.size == 0) & p.back & ~six & ~tagged
    bare = np.where(padded, PADDED, BARE)
    tcp = np.where(syn, np.where(stamped, SYN_LONG, SYN_SHORT), np.where(stamped, STAMPED, bare))
    transport = np.select([proto == TCP, proto == UDP], [tcp, np.int64(DATAGRAM)], np.int64(ECHO))
    return np.asarray(transport + 7 * six + 14 * tagged)


def _headers(kind: int, flows: Flows, p: Packets, pool: Pool, snaplen: int) -> tuple[Array, Array]:
    """Return record and frame headers of packets of one kind, and how much payload is captured of each."""
    tagged, six, transport = kind >= 14, kind % 14 >= 7, kind % 7
    ip_at = RECORD + ETHERNET + 4 * tagged
    at = ip_at + (40 if six else 20)
    width = at + TRANSPORT_BYTES[transport]
    m = np.zeros((len(p.flow), width), np.uint8)
    wire = width - RECORD + p.size
    kept = np.minimum(wire, snaplen)
    for column, values in ((0, p.time // 1_000_000), (4, p.time % 1_000_000), (8, kept), (12, wire)):
        m[:, column : column + 4] = values.astype("<u4")[:, None].view(np.uint8)
    _ethernet(m, flows, p, tagged=tagged, six=six)
    length = TCP_BYTES[transport] if transport < len(TCP_BYTES) else 8
    carried = _ip(m, ip_at, flows, p, length + p.size, six=six)
    if transport == DATAGRAM:
        _udp(m, at, flows, p)
    elif transport == ECHO:
        _echo(m, at, flows, p, six=six)
    else:
        _tcp(m, at, flows, p, transport)
    check = at + (6 if transport == DATAGRAM else 2 if transport == ECHO else 16)
    pseudo = 0 if transport == ECHO and not six else carried
    _put16(m, check, _fold(_words(m, at, at + length) + pool.sums(p.start, p.size) + pseudo))
    return m, np.maximum(kept - (width - RECORD), 0)


def _ethernet(m: Array, flows: Flows, p: Packets, *, tagged: bool, six: bool) -> None:
    """Write addresses that belong to client and gateway, the tag, and the EtherType."""
    client = np.zeros((len(m), 6), np.uint8)
    client[:, 0] = 2
    _put32(client, 2, flows.client[p.flow])
    gateway = np.frombuffer(b"\x02\x00\x5e\x00\x00\x01", np.uint8)
    back = p.back[:, None]
    m[:, RECORD : RECORD + 6] = np.where(back, client, gateway)
    m[:, RECORD + 6 : RECORD + 12] = np.where(back, gateway, client)
    at = RECORD + 12
    if tagged:
        _put16(m, at, 0x8100)
        _put16(m, at + 2, flows.vlan[p.flow])
        at += 4
    _put16(m, at, 0x86DD if six else 0x0800)


def _ip(m: Array, at: int, flows: Flows, p: Packets, length: Array, *, six: bool) -> Array:
    """Write the IP header; return the sum of the pseudo header that the transport's checksum covers."""
    proto = flows.proto[p.flow]
    client, server = flows.client[p.flow], flows.server[p.flow]
    source, target = np.where(p.back, server, client), np.where(p.back, client, server)
    if six:
        m[:, at] = 0x60
        _put16(m, at + 4, length)
        m[:, at + 6] = np.where(proto == 1, 58, proto)
        m[:, at + 7] = 64 - 9 * p.back
        outer, inner = np.frombuffer(SERVERS6, np.uint8), np.frombuffer(CLIENTS6, np.uint8)
        m[:, at + 8 : at + 18] = np.where(p.back[:, None], outer, inner)
        m[:, at + 24 : at + 34] = np.where(p.back[:, None], inner, outer)
        _put32(m, at + 20, source)
        _put32(m, at + 36, target)
        return _words(m, at + 8, at + 40) + m[:, at + 6] + length
    m[:, at] = 0x45
    _put16(m, at + 2, 20 + length)
    _put16(m, at + 4, np.arange(len(m)) & 0xFFFF)
    m[:, at + 6] = 0x40
    m[:, at + 8] = 64 - 9 * p.back
    m[:, at + 9] = proto
    _put32(m, at + 12, source)
    _put32(m, at + 16, target)
    _put16(m, at + 10, _fold(_words(m, at, at + 20)))
    return _words(m, at + 12, at + 20) + proto + length


def _ports(m: Array, at: int, flows: Flows, p: Packets) -> None:
    client, server = flows.client_port[p.flow], flows.server_port[p.flow]
    _put16(m, at, np.where(p.back, server, client))
    _put16(m, at + 2, np.where(p.back, client, server))


def _tcp(m: Array, at: int, flows: Flows, p: Packets, transport: int) -> None:
    """Write a TCP header with its options."""
    _ports(m, at, flows, p)
    _put32(m, at + 4, p.seq)
    _put32(m, at + 8, p.ack)
    m[:, at + 12] = TCP_BYTES[transport] // 4 << 4
    m[:, at + 13] = p.flags
    _put16(m, at + 14, np.where(p.back, 0xFE88, 0x0804))
    options = {
        STAMPED: "0101080a0000000000000000",
        SYN_SHORT: "020405b40103030801010402",
        SYN_LONG: "020405b40402080a000000000000000001030307",
    }.get(transport, "")
    m[:, at + 20 : at + 20 + len(options) // 2] = np.frombuffer(bytes.fromhex(options), np.uint8)
    if transport in (STAMPED, SYN_LONG):
        clock = at + (24 if transport == STAMPED else 28)
        now = p.time // 1000
        _put32(m, clock, now + np.where(p.back, flows.server_isn[p.flow], flows.client_isn[p.flow]))
        echoed = now - 20 + np.where(p.back, flows.client_isn[p.flow], flows.server_isn[p.flow])
        _put32(m, clock + 4, np.where(p.flags & ACK, echoed, 0))


def _udp(m: Array, at: int, flows: Flows, p: Packets) -> None:
    _ports(m, at, flows, p)
    _put16(m, at + 4, 8 + p.size)


def _echo(m: Array, at: int, flows: Flows, p: Packets, *, six: bool) -> None:
    """Write an echo request or reply; the client's port is its identifier."""
    m[:, at] = np.where(p.back, 129, 128) if six else np.where(p.back, 0, 8)
    _put16(m, at + 4, flows.client_port[p.flow])
    _put16(m, at + 6, p.seq)


def _put16(m: Array, at: int, values: Array | int) -> None:
    m[:, at] = np.right_shift(values, 8) & 0xFF
    m[:, at + 1] = np.bitwise_and(values, 0xFF)


def _put32(m: Array, at: int, values: Array) -> None:
    m[:, at : at + 4] = (values & 0xFFFFFFFF).astype(">u4")[:, None].view(np.uint8)


def _words(m: Array, begin: int, end: int) -> Array:
    """Return the sum of the 16-bit words between two columns."""
    high = m[:, begin:end:2].sum(axis=1, dtype=np.int64)
    return np.asarray((high << 8) + m[:, begin + 1 : end : 2].sum(axis=1, dtype=np.int64))


def _fold(sums: Array) -> Array:
    """Return the Internet checksum of sums of words; what would be zero is written as ones, as UDP wants it."""
    for _ in range(3):
        sums = (sums & 0xFFFF) + (sums >> 16)
    check = ~sums & 0xFFFF
    return np.where(check == 0, 0xFFFF, check)
