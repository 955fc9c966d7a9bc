"""Containers: the headers of pcap, pcapng and snoop files, and what the blocks of pcapng say besides packets.

The packets themselves are framed by the loops of `framing`; here is what happens once per file or section.

References
----------
.. [1] draft-ietf-opsawg-pcap-05, section 4: the file header.
.. [2] draft-ietf-opsawg-pcapng-03, sections 4.1 (Section Header Block), 4.2 (Interface Description Block),
   4.5 (Name Resolution Block), 4.6 (Interface Statistics Block).
.. [3] RFC 1761, section 3, and RFC 3827 (snoop's file header and datalink types).
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from forensics.escaping import terminal_safe
from forensics.packets.layout import I_COLUMNS, MAX_RECORD, SECOND, Longs

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BadContainerError",
    "PcapHeader",
    "Section",
    "SnoopHeader",
    "check_section",
    "open_section",
    "read_options",
    "read_pcap_header",
    "read_snoop_header",
]

PCAP_HEADER_BYTES = 24
RECORD_HEAD_BYTES = 16
PCAP_RECORD_LIMIT = 262_144
"""Longest packet that a pcap file may hold where its snaplen promises no longer ones, as libpcap has it. [B]"""

MAX_INTERFACES = 4096
"""Interfaces of one section that are believed."""

GUESS_BYTES = 16_384
"""Bytes at the start of a pcap file by which variants are told apart. [B]"""

_GUESSED_RECORDS = 8
_FAR_APART = 366 * 86_400  # between the first records of one capture [s]

# Byte order, time unit [ns], its name, and how long a record header may be, the usual length first [B].
_PCAP_MAGICS = {
    b"\xd4\xc3\xb2\xa1": (0, 1000, "microseconds", (16, 24, 20)),
    b"\xa1\xb2\xc3\xd4": (1, 1000, "microseconds", (16, 24, 20)),
    b"\x4d\x3c\xb2\xa1": (0, 1, "nanoseconds", (16,)),
    b"\xa1\xb2\x3c\x4d": (1, 1, "nanoseconds", (16,)),
    b"\x34\xcd\xb2\xa1": (0, 1000, "microseconds", (24, 28)),  # Kuznetzov's modified libpcap
    b"\xa1\xb2\xcd\x34": (1, 1000, "microseconds", (24, 28)),
}
SNOOP_MAGIC = b"snoop\0\0\0"
SNOOP_HEADER_BYTES = 16
_SNOOP_LINKS = {0: 1, 2: 6, 4: 1, 8: 10, 14: 0, 18: 123, 26: 242}
"""Link types of snoop's datalink types: RFC 1761, and the ones that Solaris added."""

PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"

ISB_RECEIVED, ISB_DROPPED, ISB_DROPPED_BY_SYSTEM = 4, 5, 7

COMMENT_CHARACTERS = 200
"""How much of a comment is kept."""


class BadContainerError(ValueError):
    """A header or block of a capture that contradicts itself; the message says how."""


@dataclass(frozen=True, slots=True)
class PcapHeader:
    """What the 24 bytes at the start of a pcap file say."""

    big: int
    unit: int
    resolution: str
    snaplen: int
    link: int
    version: tuple[int, int] = (2, 4)
    record_head: int = RECORD_HEAD_BYTES

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

    Parameters
    ----------
    head
        The first bytes of the file; with `GUESS_BYTES` of them or more, variants that say nothing of themselves are
        told by their first records.

    Raises
    ------
    BadContainerError
        No pcap magic, or fewer than 24 bytes.
    """
    if head[:4] not in _PCAP_MAGICS:
        raise BadContainerError("it does not begin with a pcap magic number (a1b2c3d4 or a1b23c4d, either byte order)")
    if len(head) < PCAP_HEADER_BYTES:
        raise BadContainerError(f"the pcap header is cut short: {len(head)} of {PCAP_HEADER_BYTES} bytes")
    big, unit, resolution, sizes = _PCAP_MAGICS[head[:4]]
    order = ">" if big else "<"
    major, minor, snaplen, link = struct.unpack_from(order + "4xHH8xII", head)
    header = PcapHeader(big, unit, resolution, snaplen, link & 0xFFFF, (major, minor))  # above: FCS, reserved bits
    return replace(header, record_head=_record_head(head, order, header.limit, sizes))


def _record_head(head: bytes, order: str, limit: int, sizes: tuple[int, ...]) -> int:
    """Choose the record header that most of the first records fit; the usual one, named first, where they tell nothing.

    Nokia's, Red Hat's and SuSE's libpcap of around 2000 wrote longer ones under the magic numbers of others.
    """
    return max(sizes, key=lambda size: (_records_that_fit(head, order, limit, size), -sizes.index(size)))


def _records_that_fit(head: bytes, order: str, limit: int, size: int) -> int:
    """Count how many of the first records are likely, read with record headers of ``size`` bytes."""
    at = PCAP_HEADER_BYTES
    first = None
    for number in range(_GUESSED_RECORDS):
        if at + 16 > len(head):
            return number
        seconds, fraction, captured, wire = struct.unpack_from(order + "IIII", head, at)
        first = seconds if first is None else first
        if captured > min(limit, wire) or fraction >= SECOND or abs(seconds - first) > _FAR_APART:
            return number
        at += size + captured
    return _GUESSED_RECORDS


@dataclass(frozen=True, slots=True)
class SnoopHeader:
    """What the 16 bytes at the start of a snoop file say."""

    link: int


def read_snoop_header(head: bytes) -> SnoopHeader:
    """Read the header of a snoop file.

    Raises
    ------
    BadContainerError
        No snoop magic, fewer than 16 bytes, another version than 2, or a kind of network that no link type stands for.
    """
    if not head.startswith(SNOOP_MAGIC):
        raise BadContainerError("it does not begin with `snoop` and three zero bytes")
    if len(head) < SNOOP_HEADER_BYTES:
        raise BadContainerError(f"the snoop header is cut short: {len(head)} of {SNOOP_HEADER_BYTES} bytes")
    version, network = struct.unpack_from(">8xII", head)
    if version != 2:
        raise BadContainerError(f"snoop captures of version {version} are not read, only version 2")
    if network not in _SNOOP_LINKS:
        raise BadContainerError(f"snoop captures of datalink type {network} are not read")
    return SnoopHeader(_SNOOP_LINKS[network])


@dataclass(slots=True)
class Section:
    """What the blocks of a pcapng section say that are no packets.

    Parameters
    ----------
    big
        1 where the section is big-endian.
    interfaces
        One row per interface, as `framing.ticks_to_time` reads it.
    statistics
        Per interface what its last statistics say: packets received, dropped by the interface, dropped by the system.
    """

    big: int = 0
    interfaces: Longs = field(default_factory=lambda: np.zeros((0, I_COLUMNS), dtype=np.int64))
    statistics: dict[int, dict[int, int]] = field(default_factory=dict)

    @property
    def _order(self) -> str:
        return ">" if self.big else "<"

    def describe(self, body: bytes) -> str | None:
        """Take in an Interface Description Block; return its comment.

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
        order = self._order
        link, _, snaplen = struct.unpack_from(order + "HHI", body)
        options = read_options(body[8:], order)
        resolution = options.get(9, b"\x06")[:1] or b"\x06"
        offset = options.get(14, b"")
        seconds = struct.unpack(order + "q", offset)[0] if len(offset) == 8 else 0
        row = [link, snaplen, *_ticks(resolution[0]), max(-(2**40), min(2**40, seconds))]
        self.interfaces = np.vstack([self.interfaces, np.array([row], dtype=np.int64)])
        return _comment(options)

    def count(self, body: bytes) -> None:
        """Take in an Interface Statistics Block; its counts go on from the interface's statistics before."""
        if len(body) < 12:
            raise BadContainerError("interface statistics are cut short")
        (interface,) = struct.unpack_from(self._order + "I", body)
        if interface >= len(self.interfaces):
            return
        counts = self.statistics.setdefault(interface, {})
        for code, value in read_options(body[12:], self._order).items():
            if code in (ISB_RECEIVED, ISB_DROPPED, ISB_DROPPED_BY_SYSTEM) and len(value) == 8:
                counts[code] = int.from_bytes(value, "big" if self.big else "little")

    def names(self, body: bytes) -> Iterator[tuple[str, str]]:
        """Read a Name Resolution Block: pairs of an IPv4 or IPv6 address and a name."""
        at = 0
        while at + 4 <= len(body):
            kind, length = struct.unpack_from(self._order + "HH", body, at)
            value = body[at + 4 : at + 4 + length]
            if kind == 0 or len(value) < length:
                return
            at += 4 + length + -length % 4
            width = {1: 4, 2: 16}.get(kind, length)  # others name no IP address
            if width >= length:
                continue
            address = ipaddress.ip_address(value[:width]).compressed
            for raw in value[width:].rstrip(b"\0").split(b"\0"):
                yield address, raw.decode("utf-8", "backslashreplace")


def open_section(head: bytes) -> tuple[int, int]:
    """Read the start of the Section Header Block; return 1 where it is big-endian, 0 where not, and its length [B].

    Raises
    ------
    BadContainerError
        Its byte-order magic is neither.
    """
    order = {b"\x1a\x2b\x3c\x4d": 1, b"\x4d\x3c\x2b\x1a": 0}.get(head[8:12])
    if order is None:
        raise BadContainerError("a section header has no byte-order magic")
    return order, int.from_bytes(head[4:8], "big" if order else "little")


def check_section(body: bytes, big: int) -> str | None:
    """Check the content of a Section Header Block; return its comment.

    The length that the section claims is of no use: blocks are read one by one, and the next section header ends it.

    Raises
    ------
    BadContainerError
        It is too short, or of a version whose blocks may look otherwise.
    """
    if len(body) < 16:
        raise BadContainerError("a section header is cut short")
    order = ">" if big else "<"
    major, minor = struct.unpack_from(order + "HH", body, 4)
    if major != 1:
        raise BadContainerError(f"a section header of an unknown version of pcapng, {major}.{minor},")
    return _comment(read_options(body[16:], order))


def read_options(raw: bytes, order: str) -> dict[int, bytes]:
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


def _comment(options: dict[int, bytes]) -> str | None:
    """Return the comment among options, in one line that acts on no terminal, cut to `COMMENT_CHARACTERS`."""
    text = options.get(1, b"").rstrip(b"\0")[: 4 * COMMENT_CHARACTERS].decode("utf-8", "backslashreplace")
    return terminal_safe(text[:COMMENT_CHARACTERS]) or None


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
