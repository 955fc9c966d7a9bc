"""Captures in containers that are not read: what they are, and which program converts them.

``editcap`` belongs to Wireshark. Where it is named without a doubt, its version 4.0 was seen to convert such a capture.

References
----------
.. [1] https://wiki.wireshark.org/FileFormatReference: capture file formats.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime

__all__ = ["foreign_container"]

_PCAP = ": convert it with `editcap -F pcap IN OUT`"
_PCAPNG = ": convert it with `editcap -F pcapng IN OUT`"
_TRY = "; `editcap -F pcapng IN OUT` may convert it"
_NONE = ""

_MAGICS = (
    (b"\xa1\xb2\x34\xcd", "a pcap file of Mesquita's modified libpcap", _NONE),
    (b"\xcd\x34\xb2\xa1", "a pcap file of Mesquita's modified libpcap", _NONE),
    (b"\xa1\x2b\x3c\x4d", "a pcap file of Navtel's modified libpcap", _NONE),
    (b"\x4d\x3c\x2b\xa1", "a pcap file of Navtel's modified libpcap", _NONE),
    (b"\xac\x01\x00\x1c", "a pcap file of IXIA's modified libpcap", _TRY),
    (b"\xab\x01\x00\x1c", "a pcap file of IXIA's modified libpcap", _TRY),
    (b"\x1c\x00\x01\xac", "a pcap file of IXIA's modified libpcap", _TRY),
    (b"\x1c\x00\x01\xab", "a pcap file of IXIA's modified libpcap", _TRY),
    (b"RTSS", "a Network Monitor 1 capture", _PCAP),
    (b"GMBU", "a Network Monitor 2 capture", _PCAPNG),
    (b"XCP\0", "a NetXRay or Windows Sniffer capture", _PCAP),
    (b"VL\0\0", "an old NetXRay capture", _TRY),
    (b"TRSNIFF data    \x1a", "a DOS Sniffer capture", _PCAP),
    (b"\x01\x10", "a LANalyzer capture", _PCAP),
    (b"\x07\x10", "a LANalyzer capture", _PCAP),
    (b"\x05VNF", "a Visual Networks capture", _PCAP),
    (b"\x7fver", "an EtherPeek, AiroPeek or OmniPeek capture", _TRY),
    (b"iptrace 1.0", "an AIX iptrace capture", _TRY),
    (b"iptrace 2.0", "an AIX iptrace capture", _TRY),
    (b"\x54\x52\x00\x64\x00", "an HP-UX nettl trace", _TRY),
    (b"ObserverPktBufferVersion=", "a Network Instruments Observer capture", _TRY),
    (b"\xaa\xaa\xaa\xaa", "an InfoVista 5View capture", _TRY),
    (b"btsnoop\0", "a Bluetooth HCI snoop capture, which holds no IP", _NONE),
)  # fmt: skip

_ETSI = bytes.fromhex("04000202 0501")  # the protocol's object identifier


def foreign_container(head: bytes) -> str | None:
    """Name the container of a capture that is none of those read, and what converts it; None where it is unknown.

    Examples
    --------
    >>> foreign_container(b"GMBU" + bytes(12))
    'a Network Monitor 2 capture: convert it with `editcap -F pcapng IN OUT`'
    """
    for magic, name, tool in _MAGICS:
        if head.startswith(magic) and (len(magic) > 2 or _is_lanalyzer(head)):
            return name + tool
    if _is_erf(head):
        return f"an ERF capture{_PCAP}"
    if _is_pppdump(head):
        return f"a pppd log (pppdump){_TRY}"
    return "a stream of lawful interception (ETSI TS 102 232)" if _ETSI in head[:32] else None


def _is_lanalyzer(head: bytes) -> bool:
    """Tell whether the two-byte magic of LANalyzer begins a record that fits its kind and version."""
    if len(head) < 6:
        return False
    length = int.from_bytes(head[2:4], "little")
    return 4 <= length < 1024 and head[4] <= 2 and head[5] <= 9


def _is_erf(head: bytes) -> bool:
    """Tell whether ERF records follow one another, by their types and lengths, and by times that do not run back."""
    at = before = 0
    for number in range(3):
        if at + 16 > len(head):
            return number > 0 and at == len(head)
        (time,) = struct.unpack_from("<Q", head, at)
        kind, length, wire = struct.unpack_from(">BxHxxH", head, at + 8)
        if not 1 <= kind & 0x7F <= 33 or length < 16 or (wire == 0 and kind & 0x7F != 27):
            return False
        if time + (1 << 32) < before:  # by more than a second
            return False
        before = time
        at += length
    return True


def _is_pppdump(head: bytes) -> bool:
    """Tell whether a log of pppd begins here: a reset with a time of its epoch, then another of its records."""
    if len(head) < 6 or head[0] != 7 or not 1 <= head[5] <= 7:
        return False
    return 1990 <= datetime.fromtimestamp(int.from_bytes(head[1:5], "big"), UTC).year <= 2037
