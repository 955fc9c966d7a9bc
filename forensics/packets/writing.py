"""Captures that we write: pcapng, times to the nanosecond, a comment wherever something is worth saying.

References
----------
.. [1] draft-ietf-opsawg-pcapng-03, *PCAP Next Generation Capture File Format*: sections 3.5 (options), 4.1 (Section
   Header Block), 4.2 (Interface Description Block), 4.3 (Enhanced Packet Block).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from forensics._version import __version__
from forensics.escaping import terminal_safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from forensics.packets.seek import Packet

__all__ = ["write_capture"]

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_COMMENT, _APPLICATION, _NAME, _DESCRIPTION, _RESOLUTION, _OFFSET = 1, 4, 2, 3, 9, 14
_NANOSECONDS = 9  # if_tsresol: 10^-9
_FAR = 4_600_000_000  # before 1970 an interface counts from here: all times of the engine lie behind it [s]
_TEXT_BYTES = 60_000  # an option holds 65535


def write_capture(
    file: BinaryIO, packets: Iterable[Packet], *, comments: Iterable[str] = (), about: Mapping[str, str] | None = None
) -> int:
    """Write packets as a pcapng file.

    Parameters
    ----------
    file
        An open binary file.
    packets
        The packets. There is one interface per source, link type and snaplen, named after the source.
    comments
        Comments on the file as a whole.
    about
        Descriptions of the sources. With them, each packet has its number in the source as a comment.

    Returns
    -------
    int
        Packets written.
    """
    texts = [*((_COMMENT, _text(comment)) for comment in comments), (_APPLICATION, _text(f"forensics {__version__}"))]
    file.write(_block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _options(texts)))
    interfaces: dict[tuple[str, int, int, bool], int] = {}
    count = 0
    note = "" if about is None else "source packet number {}"
    for packet in packets:
        key = packet.source, packet.link_type, packet.snaplen, packet.time < 0
        if key not in interfaces:
            interfaces[key] = len(interfaces)
            file.write(_interface(packet, (about or {}).get(packet.source)))
        file.write(_enhanced_packet(packet, interfaces[key], note.format(packet.number)))
        count += 1
    return count


def _interface(packet: Packet, description: str | None) -> bytes:
    """Return the description of the interface that a packet is written under."""
    options = [(_NAME, _text(packet.source))]
    if description:
        options.append((_DESCRIPTION, _text(description)))
    options.append((_RESOLUTION, bytes([_NANOSECONDS])))
    if packet.time < 0:
        options.append((_OFFSET, struct.pack("<q", -_FAR)))
    return _block(_INTERFACE, struct.pack("<HHI", packet.link_type, 0, packet.snaplen) + _options(options))


def _enhanced_packet(packet: Packet, interface: int, comment: str) -> bytes:
    """Return a packet, with a comment where there is one."""
    time = packet.time + (_FAR * 1_000_000_000 if packet.time < 0 else 0)
    captured = len(packet.data)
    head = struct.pack("<IIIII", interface, time >> 32, time & 0xFFFF_FFFF, captured, packet.wire_length)
    options = _options([(_COMMENT, _text(comment))]) if comment else b""
    return _block(_PACKET, head + packet.data + bytes(-captured % 4) + options)


def _block(kind: int, body: bytes) -> bytes:
    """Return a block of the file."""
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _options(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Return a list of options, ended."""
    parts = [struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in options]
    return b"".join([*parts, bytes(4)])


def _text(text: str) -> bytes:
    """Return text as an option holds it: what evidence wrote does nothing but be read."""
    return terminal_safe(text).encode()[:_TEXT_BYTES].decode(errors="ignore").encode()
