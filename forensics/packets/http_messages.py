"""HTTP requests and replies with their bodies, out of the packets of connections: for what no table keeps.

Each direction of a connection is put together by sequence numbers, up to its first gap and up to `MOST_BYTES`.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import dpkt

from forensics.addresses import packed_text
from forensics.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from forensics.packets.seek import Packet

__all__ = ["MOST_BYTES", "Ends", "Exchange", "read_exchanges"]

Ends: TypeAlias = tuple[str, int, str, int]
"""Client, its port, server, its port."""

MOST_BYTES = 65_536
"""How much of each direction of a connection is put together. [B]"""

_TURN = 1 << 32
_ASKED = re.compile(rb"([A-Z]+) (.+) HTTP/\d")
_ANSWERED = re.compile(rb"HTTP/\d\.?\d? (\d{3})")
_SYN = 2
_WITHOUT_BODY = (204, 304)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its reply.

    Parameters
    ----------
    ends
        The connection.
    number
        The packet in which the request begins, as `forensics.packets.seek.Packet.number`.
    time
        When it begins. [us since 1970]
    fields
        Header fields of the request, names in small letters. Of a name that occurs twice the last one.
    body
        The request's, as far as it was captured.
    status
        The reply's; None where no reply was seen.
    reply
        The reply's body, as far as it was captured, expanded.
    """

    ends: Ends
    number: int
    time: int
    fields: dict[bytes, bytes]
    body: bytes
    status: int | None
    reply: bytes


class _Segment(NamedTuple):
    ends: Ends
    sequence: int
    flags: int
    payload: bytes


class _Message(NamedTuple):
    at: int
    asked: bytes
    status: int
    fields: dict[bytes, bytes]
    body: bytes


@dataclass(slots=True)
class _Side:
    """One direction of a connection."""

    base: int | None = None
    held: int = 0
    parts: list[tuple[int, bytes, int, int]] = field(default_factory=list)
    """Place after ``base``, payload, packet and its time."""

    def take(self, segment: _Segment, packet: Packet) -> None:
        """Keep what a segment carries, while there is room."""
        if segment.flags & _SYN:
            self.base = (segment.sequence + 1) % _TURN
        elif self.base is None:
            self.base = segment.sequence
        place = (segment.sequence - self.base + _TURN // 2) % _TURN - _TURN // 2
        if segment.payload and place < MOST_BYTES and self.held < MOST_BYTES and not segment.flags & _SYN:
            self.parts.append((place, segment.payload, packet.number, packet.time // 1000))
            self.held += len(segment.payload)

    def joined(self) -> tuple[bytes, list[tuple[int, int, int]]]:
        """Return the bytes up to the first gap, and where in them which packet begins, with its time."""
        data, begins = bytearray(), []
        ordered = sorted(self.parts, key=lambda part: (part[0], part[2]))
        first = ordered[0][0] if ordered else 0
        for place, payload, number, time in ordered:
            known = len(data) - (place - first)
            if known < 0:
                break
            if known < len(payload):
                begins.append((len(data), number, time))
                data += payload[known:]
        return bytes(data[:MOST_BYTES]), begins


def read_exchanges(packets: Iterable[Packet], connections: Collection[Ends]) -> Iterator[Exchange]:
    """Read the HTTP exchanges of connections.

    Parameters
    ----------
    packets
        Packets of one capture, in its order. Those that dpkt cannot take apart are passed over.
    connections
        The connections that are wanted; what else the packets carry is passed over.

    Yields
    ------
    Exchange
        Those of a connection in the order of its requests.
    """
    wanted, sides = set(connections), dict[Ends, tuple[_Side, _Side]]()
    for packet in packets:
        for segment in _segments(packet):
            up = segment.ends in wanted
            ends = segment.ends if up else (*segment.ends[2:], *segment.ends[:2])
            if ends not in wanted:
                continue
            known = sides.get(ends)
            if known and up and segment.flags & _SYN and known[0].held:  # the same ports once more
                yield from _exchanges(ends, *sides.pop(ends))
            sides.setdefault(ends, (_Side(), _Side()))[not up].take(segment, packet)
    for ends, both in sides.items():
        yield from _exchanges(ends, *both)


def _segments(packet: Packet) -> Iterator[_Segment]:
    """Yield the TCP segments of a packet: a tunnel's own, and what it carries."""
    try:
        layer = packet.to_dpkt()
    except EvidenceError:
        return
    ends: tuple[str, str] | None = None
    while isinstance(layer, dpkt.Packet):
        if isinstance(layer, dpkt.ip.IP | dpkt.ip6.IP6):
            ends = packed_text(layer.src), packed_text(layer.dst)
        elif isinstance(layer, dpkt.tcp.TCP) and ends:
            payload = layer.data if isinstance(layer.data, bytes) else bytes(layer.data)
            yield _Segment((ends[0], layer.sport, ends[1], layer.dport), layer.seq, layer.flags, payload)
        layer = layer.data


def _exchanges(ends: Ends, up: _Side, down: _Side) -> Iterator[Exchange]:
    """Yield the exchanges of a connection; replies belong to requests in their order."""
    data, begins = up.joined()
    requests = list(_messages(data, None))
    replies = list(_messages(down.joined()[0], [request.asked for request in requests]))
    for place, request in enumerate(requests):
        number, time = max((part for part in begins if part[0] <= request.at), key=lambda part: part[0])[1:]
        reply = replies[place] if place < len(replies) else None
        yield Exchange(
            ends=ends,
            number=number,
            time=time,
            fields=request.fields,
            body=request.body,
            status=reply.status if reply else None,
            reply=_expanded(reply) if reply else b"",
        )


def _messages(data: bytes, asked: list[bytes] | None) -> Iterator[_Message]:
    """Yield the messages of a direction: requests, or replies to what was ``asked``."""
    at, count = 0, 0
    while (end := data.find(b"\r\n\r\n", at)) >= 0:
        first, *lines = data[at:end].split(b"\r\n")
        said = (_ASKED if asked is None else _ANSWERED).match(first)
        if said is None:
            return
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        status = 0 if asked is None else int(said[1])
        if 100 <= status < 200:
            at = end + 4
            continue
        bare = status in _WITHOUT_BODY or (asked is not None and asked[count : count + 1] == [b"HEAD"])
        body, after = (b"", end + 4) if bare else _body(data, end + 4, fields, open_end=asked is not None)
        yield _Message(at, said[1], status, fields, body)
        at, count = after, count + 1


def _body(data: bytes, at: int, fields: dict[bytes, bytes], *, open_end: bool) -> tuple[bytes, int]:
    """Return a body, as far as it is there, and where it ends."""
    if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
        return _chunks(data, at)
    length = fields.get(b"content-length", b"")
    if length.isdigit() and len(length) < 12:
        return data[at : at + int(length)], at + int(length)
    return (data[at:], len(data)) if open_end else (b"", at)


def _chunks(data: bytes, at: int) -> tuple[bytes, int]:
    """Return a body that came in chunks, as far as it is there, and where it ends."""
    body = bytearray()
    while (end := data.find(b"\r\n", at)) >= 0:
        told = data[at:end].partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", told):
            return bytes(body), len(data)
        size, at = int(told, 16), end + 2
        if not size:
            over = data.find(b"\r\n\r\n", end)
            return bytes(body), over + 4 if over >= 0 else len(data)
        body += data[at : at + size]
        at += size + 2
    return bytes(body), len(data)


def _expanded(reply: _Message) -> bytes:
    """Return the body of a reply, expanded where it is compressed, up to `MOST_BYTES`."""
    if reply.fields.get(b"content-encoding", b"").lower() not in (b"gzip", b"x-gzip", b"deflate"):
        return reply.body
    try:
        return zlib.decompressobj(47).decompress(reply.body, MOST_BYTES)  # gzip or zlib, as its head says
    except zlib.error:
        return reply.body
