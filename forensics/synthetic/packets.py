"""Well-formed packets: Ethernet, IPv4, TCP and UDP with right checksums, and the capture files that hold them.

References
----------
RFC 9293 (TCP), RFC 1071 (checksum), draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SEGMENT = 1460  # [B]
_SYN, _ACK, _FIN, _PUSH = 0x02, 0x10, 0x01, 0x08
_TCP, _UDP = 6, 17
_CHECKSUM_AT = {_TCP: 16, _UDP: 6}  # offset in the segment [B]
_MSS_OPTION = struct.pack("!BBH", 2, 4, SEGMENT)
_PACE = 120  # time of a full segment on a line of 100 Mbit/s [us]
_PROMPT = 60  # how soon the near host acknowledges [us]
_ETHERNET = 1


class Packet(NamedTuple):
    """A frame and its time [us since 1970 UTC]."""

    time: int
    frame: bytes


class Message(NamedTuple):
    """Payload that passes the vantage at ``time``, from the client (up) or from the server."""

    time: int
    up: bool
    payload: bytes


@dataclass(frozen=True)
class Connection:
    """A TCP connection as one vantage sees it."""

    client: str
    client_port: int
    server: str
    server_port: int
    opened: int  # when the SYN passes the vantage [us since 1970 UTC]
    closed: int
    near_client: bool  # the vantage is at the client's end, not the server's
    rtt: int  # from the vantage to the far end and back [us]


class _Event(NamedTuple):
    time: int
    order: int  # of making; keeps equal times stable
    up: bool
    flags: int
    payload: bytes
    acknowledges: int  # order of the newest event of the other side that this one acknowledges, -1 for none


def converse(connection: Connection, messages: Iterable[Message]) -> list[Packet]:
    """All packets of a connection: handshake, segments, acknowledgements, close."""
    events: list[_Event] = []

    def add(time: int, up: bool, flags: int, payload: bytes = b"", acknowledges: int = -1) -> int:  # noqa: FBT001
        events.append(_Event(time, len(events), up, flags, payload, acknowledges))
        return len(events) - 1

    def reply_delay(up: bool) -> int:  # noqa: FBT001
        # What comes from the far end is acknowledged here at once; what leaves is acknowledged a round trip later.
        return connection.rtt if up == connection.near_client else _PROMPT

    syn = add(connection.opened, up=True, flags=_SYN)
    time = connection.opened + reply_delay(up=True)
    syn = add(time, up=False, flags=_SYN | _ACK, acknowledges=syn)
    time += reply_delay(up=False)
    add(time, up=True, flags=_ACK, acknowledges=syn)
    free = [time + 1, time + 1]  # when each direction's line is free again
    for message in messages:
        for first in range(0, len(message.payload), SEGMENT):
            piece = message.payload[first : first + SEGMENT]
            last = first + SEGMENT >= len(message.payload)
            when = max(message.time, free[message.up])
            free[message.up] = when + _PACE
            made = add(when, message.up, _ACK | (_PUSH if last else 0), piece)
            if last or first // SEGMENT % 2:
                add(when + reply_delay(message.up), not message.up, _ACK, acknowledges=made)
    time = max(connection.closed, max(event.time for event in events) + connection.rtt + _PROMPT)
    fin = add(time, up=True, flags=_FIN | _ACK)
    time += reply_delay(up=True)
    fin = add(time, up=False, flags=_FIN | _ACK, acknowledges=fin)
    add(time + reply_delay(up=False), up=True, flags=_ACK, acknowledges=fin)
    return _sequence(connection, sorted(events))


def _sequence(connection: Connection, events: list[_Event]) -> list[Packet]:
    """Give every event its numbers; ``next_`` and ``seen`` are indexed by direction."""
    ends = (connection.client, connection.client_port), (connection.server, connection.server_port)
    next_ = [hash_number(*ends[1], *ends[0]), hash_number(*ends[0], *ends[1])]
    seen, packets = [0, 0], []
    after: dict[int, int] = {}  # number after each event
    for event in events:
        if event.acknowledges >= 0:
            # Acknowledgements arrive in order here; a later segment never takes back an earlier number.
            seen[event.up] = after[event.acknowledges]
        source, target = ends if event.up else ends[::-1]
        flags = event.flags
        options = _MSS_OPTION if flags & _SYN else b""
        acknowledged = seen[event.up] if flags & _ACK else 0
        ports = struct.pack("!HH", source[1], target[1])
        numbers = struct.pack("!II", next_[event.up] % 2**32, acknowledged % 2**32)
        rest = struct.pack("!BBHHH", (20 + len(options)) << 2, flags, 64_240, 0, 0)
        segment = ports + numbers + rest + options + event.payload
        near = event.up == connection.near_client
        # The identification follows from the numbers, so that a packet is the same one at both ends of its way.
        identity = next_[event.up] + acknowledged
        packets.append(Packet(event.time, _frame((source[0], target[0]), _TCP, segment, identity, near=near)))
        next_[event.up] += len(event.payload) + bool(flags & (_SYN | _FIN))
        after[event.order] = next_[event.up]
    return packets


def datagram(time: int, source: tuple[str, int], target: tuple[str, int], payload: bytes, *, near: bool) -> Packet:
    """A UDP packet; ``near`` says that the vantage sent it."""
    segment = struct.pack("!HHHH", source[1], target[1], 8 + len(payload), 0) + payload
    return Packet(time, _frame((source[0], target[0]), _UDP, segment, time, near=near))


def hash_number(*parts: str | int) -> int:
    """A fixed 32-bit number for these values, for initial sequence numbers and ports."""
    number = 2_166_136_261
    for byte in "|".join(map(str, parts)).encode():
        number = (number ^ byte) * 16_777_619 % 2**32
    return number


def _frame(ends: tuple[str, str], protocol: int, segment: bytes, number: int, *, near: bool) -> bytes:
    addresses = b"".join(IPv4Address(end).packed for end in ends)
    pseudo = addresses + struct.pack("!BBH", 0, protocol, len(segment))
    segment = _with_checksum(segment, _CHECKSUM_AT[protocol], pseudo)
    ttl = 64 if near else 52
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), number % 65_536, 0x4000, ttl, protocol, 0)
    header = _with_checksum(header + addresses, 10, b"")
    host, gateway = b"\x02\x00\x00\x00\x00\x10", b"\x02\x00\x00\x00\x00\x01"
    return (gateway + host if near else host + gateway) + b"\x08\x00" + header + segment


def _with_checksum(data: bytes, place: int, pseudo: bytes) -> bytes:
    """The data with the ones' complement sum (RFC 1071) at ``place``."""
    summed = pseudo + data
    # The sum of 16-bit words modulo 65,535 is the whole number modulo 65,535: one operation instead of a loop.
    value = -int.from_bytes(summed + b"\0" * (len(summed) % 2)) % 0xFFFF
    return data[:place] + struct.pack("!H", value) + data[place + 2 :]


def write_pcap(path: Path, packets: Iterable[Packet], snaplen: int, *, nanoseconds: bool = False) -> None:
    """Write a pcap file of microseconds or nanoseconds."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", magic, 2, 4, 0, 0, snaplen, _ETHERNET))
        for time, frame in packets:
            seconds, rest = divmod(time, 1_000_000)
            # Digits below the microsecond follow from the time, so that equal times stay equal.
            fraction = rest * 1000 + time * 7919 % 1000 if nanoseconds else rest
            kept = frame[:snaplen]
            file.write(struct.pack("<IIII", seconds, fraction, len(kept), len(frame)) + kept)


def write_pcapng(path: Path, packets: Iterable[Packet], snaplen: int) -> None:
    """Write a pcapng file with one interface and microseconds, its default resolution."""
    with path.open("wb") as file:
        file.write(_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        file.write(_block(1, struct.pack("<HHI", _ETHERNET, 0, snaplen)))
        for time, frame in packets:
            kept = frame[:snaplen]
            head = struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(kept), len(frame))
            file.write(_block(6, head + kept + b"\0" * (-len(kept) % 4)))


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length
