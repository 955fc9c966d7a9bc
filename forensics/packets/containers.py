"""Containers: the headers of pcap and pcapng files, and the names of those that others write.

The packets themselves are framed by the loops of `framing`; here is what happens once per file or section.

References
----------
.. [1] draft-ietf-opsawg-pcap-05, section 4: the file header.
.. [2] draft-ietf-opsawg-pcapng-03, sections 4.1 (Section Header Block), 4.2 (Interface Description Block),
   4.6 (Interface Statistics Block).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from forensics.packets.layout import I_COLUMNS, MAX_RECORD, SECOND, Longs

__all__ = ["BadContainerError", "PcapHeader", "Section", "foreign_container", "read_pcap_header"]

PCAP_HEADER_BYTES = 24
PCAP_RECORD_LIMIT = 262_144
"""Longest packet that a pcap file may hold where its snaplen promises no longer ones, as libpcap has it. [B]"""

MAX_INTERFACES = 4096
"""Interfaces of one section that are believed."""

_PCAP_MAGICS = {
    b"\xd4\xc3\xb2\xa1": (0, 1000, "microseconds"),
    b"\xa1\xb2\xc3\xd4": (1, 1000, "microseconds"),
    b"\x4d\x3c\xb2\xa1": (0, 1, "nanoseconds"),
    b"\xa1\xb2\x3c\x4d": (1, 1, "nanoseconds"),
}
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"

_FOREIGN = (
    (b"\x34\xcd\xb2\xa1", "a pcap file of Kuznetzov's modified libpcap", "editcap -F pcap"),
    (b"\xa1\xb2\xcd\x34", "a pcap file of Kuznetzov's modified libpcap", "editcap -F pcap"),
    (b"\x14\xb2\xa1\xa1", "a pcap file of the Navtel/extended variant", "editcap -F pcap"),
    (b"snoop\0\0\0", "a snoop capture", "editcap -F pcap"),
    (b"RTSS", "a Network Monitor 1 capture", "editcap -F pcap"),
    (b"GMBU", "a Network Monitor 2 capture", "editcap -F pcap"),
    (b"XCP\0", "a NetXRay or Windows Sniffer capture", "editcap -F pcap"),
    (b"TRSNIFF data    \x1a", "a DOS Sniffer capture", "editcap -F pcap"),
    (b"\x7fpkt", "an EtherPeek capture", "editcap -F pcap"),
    (b"\x05VNF", "a Visual Networks capture", "editcap -F pcap"),
    (b"btsnoop\0", "a Bluetooth HCI snoop capture", "editcap -F pcap"),
    (b"\x4d\x53\x4e\x54", "a Microsoft Network trace", "editcap -F pcap"),
    (b"port of ", "a Toshiba ISDN trace", "editcap -F pcap"),
)  # fmt: skip


class BadContainerError(ValueError):
    """A header or block of a capture that contradicts itself; the message says how."""


def foreign_container(head: bytes) -> str | None:
    """Name the container of a capture that is neither pcap nor pcapng, and what converts it; None where it is unknown.

    Examples
    --------
    >>> foreign_container(b"snoop" + bytes(11))
    'a snoop capture: convert it with `editcap -F pcap`'
    """
    for magic, name, tool in _FOREIGN:
        if head.startswith(magic):
            return f"{name}: convert it with `{tool}`"
    if _looks_like_erf(head):
        return "an ERF capture: convert it with `editcap -F pcap`"
    return None


def _looks_like_erf(head: bytes) -> bool:
    """Tell whether three ERF records follow one another: type 1-27, lengths that fit."""
    at = 0
    for _ in range(3):
        if at + 16 > len(head):
            return False
        kind, _, length, _, wire = struct.unpack_from(">BBHHH", head, at + 8)
        if not 1 <= kind & 0x7F <= 27 or not length >= 16 or not 0 < wire <= 65_535:
            return False
        at += length
    return True


@dataclass(frozen=True, slots=True)
class PcapHeader:
    """What the 24 bytes at the start of a pcap file say."""

    big: int
    unit: int
    resolution: str
    snaplen: int
    link: int

    @property
    def limit(self) -> int:
        """Longest packet record that is believed. [B]"""
        return self.snaplen if PCAP_RECORD_LIMIT < self.snaplen <= MAX_RECORD else PCAP_RECORD_LIMIT

    @property
    def interface(self) -> Longs:
        """The one interface of the file, as a section of a pcapng file would have it."""
        return np.array([[self.link, self.snaplen, *_ticks(9 if self.unit == 1 else 6), 0]], dtype=np.int64)


def read_pcap_header(head: bytes) -> PcapHeader:
    """Read the header of a pcap file.

    Raises
    ------
    BadContainerError
        No pcap magic, or fewer than 24 bytes.
    """
    if head[:4] not in _PCAP_MAGICS:
        raise BadContainerError("it does not begin with a pcap magic number (a1b2c3d4 or a1b23c4d, either byte order)")
    if len(head) < PCAP_HEADER_BYTES:
        raise BadContainerError(f"the pcap header is cut short: {len(head)} of {PCAP_HEADER_BYTES} bytes")
    big, unit, resolution = _PCAP_MAGICS[head[:4]]
    snaplen, link = struct.unpack_from(">16xII" if big else "<16xII", head)
    return PcapHeader(big, unit, resolution, snaplen, link & 0xFFFF)  # above it: FCS length and reserved bits


@dataclass(slots=True)
class Section:
    """What the blocks of a pcapng section say that are no packets.

    Parameters
    ----------
    big
        1 where the section is big-endian.
    interfaces
        One row per interface, as `framing.ticks_to_time` reads it.
    """

    big: int = 0
    interfaces: Longs = field(default_factory=lambda: np.zeros((0, I_COLUMNS), dtype=np.int64))

    def describe(self, body: bytes) -> None:
        """Take in an Interface Description Block.

        Parameters
        ----------
        body
            The block without its type and lengths.

        Raises
        ------
        BadContainerError
            It is too short, or the section has absurdly many interfaces.
        """
        if len(body) < 8:
            raise BadContainerError("an interface description is cut short")
        if len(self.interfaces) >= MAX_INTERFACES:
            raise BadContainerError(f"a section describes more than {MAX_INTERFACES} interfaces")
        order = ">" if self.big else "<"
        link, _, snaplen = struct.unpack_from(order + "HHI", body)
        options = _options(body[8:], order)
        resolution = options.get(9, b"\x06")[:1] or b"\x06"
        offset = options.get(14, b"")
        seconds = struct.unpack(order + "q", offset)[0] if len(offset) == 8 else 0
        row = [link, snaplen, *_ticks(resolution[0]), max(-(2**40), min(2**40, seconds))]
        self.interfaces = np.vstack([self.interfaces, np.array([row], dtype=np.int64)])


def section_order(head: bytes) -> int:
    """Return 1 where the Section Header Block that begins here is big-endian, 0 where it is little-endian.

    Raises
    ------
    BadContainerError
        Its byte-order magic is neither.
    """
    order = {b"\x1a\x2b\x3c\x4d": 1, b"\x4d\x3c\x2b\x1a": 0}.get(head[8:12])
    if order is None:
        raise BadContainerError("a section header has no byte-order magic")
    return order


def dropped_packets(body: bytes, big: int) -> int:
    """Return how many packets an Interface Statistics Block says the interface dropped (``isb_ifdrop``)."""
    order = ">" if big else "<"
    value = _options(body[12:], order).get(5, b"")
    return int(struct.unpack(order + "Q", value)[0]) if len(value) == 8 else 0


def _options(raw: bytes, order: str) -> dict[int, bytes]:
    """Read a list of options, as far as it is whole; the first of each kind counts."""
    options: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(raw):
        code, length = struct.unpack_from(order + "HH", raw, at)
        if code == 0 or at + 4 + length > len(raw):
            break
        options.setdefault(code, raw[at + 4 : at + 4 + length])
        at += 4 + length + -length % 4
    return options


def _ticks(resolution: int) -> tuple[int, int, int, int]:
    """Turn ``if_tsresol`` into ticks per second (0: more than 63 bits), shift, multiplier and divisor.

    Examples
    --------
    >>> _ticks(6)  # microseconds
    (1000000, 0, 1000, 1)
    >>> _ticks(0x80 | 10)  # 1/1024 s
    (1024, 0, 1000000000, 1024)
    """
    n = resolution & 0x7F
    if resolution & 0x80:
        per_second = 1 << n if n <= 62 else 0
        return per_second, min(62, max(0, n - 32)), SECOND, 1 << min(n, 32)
    per_second = 10**n if n <= 18 else 0
    if n <= 9:
        return per_second, 0, 10 ** (9 - n), 1
    return per_second, 0, 1, min(10 ** (n - 9), 2**63 - 1)
