"""Tunnels: what a packet carries inside, found behind its IP or UDP header.

A protocol number says so for certain. A UDP port does not: there the tunnel's own header and the packet behind it must
fit, else the datagram is payload like any other.

References
----------
.. [1] RFC 2003 (IP in IP), RFC 4213 (6in4), RFC 2784 and RFC 2890 (GRE), RFC 2637, section 4.1 (PPTP),
   draft-foschiano-erspan-03 (ERSPAN), RFC 4023 (MPLS in IP), RFC 3378 (EtherIP), RFC 3931 (L2TPv3 over IP).
.. [2] RFC 7348 (VXLAN), draft-ietf-nvo3-vxlan-gpe-13, RFC 8926 (Geneve), RFC 4380, section 5.1.1 (Teredo),
   RFC 2661, section 3.1 (L2TP), RFC 8086 (GRE in UDP), RFC 7510 (MPLS in UDP), 3GPP TS 29.281, section 5 (GTP-U),
   draft-massar-v6ops-ayiya-02 (AYIYA).
"""

from __future__ import annotations

from forensics.packets._jit import jit
from forensics.packets.ethertypes import AGGREGATE, BRIDGED, IPV4, IPV6, MPLS, by_ethertype, ethernet, ppp
from forensics.packets.framing import u8, u16, u32
from forensics.packets.layout import (
    KEY_PORT_HIGH,
    KEY_PORT_LOW,
    Q_DATA,
    Q_DATA_END,
    Q_KEY2,
    Q_PROTO,
    UDP,
    Bytes,
    Longs,
)
from forensics.packets.wireless import wlan

__all__ = ["NOTHING", "inside"]

NOTHING = -3
"""Nothing is carried, or nothing that can be read."""

_NEXT_PROTOCOLS = (0, IPV4, IPV6, BRIDGED, 0x894F, MPLS)  # of VXLAN-GPE


@jit
def _in_gre(b: Bytes, o: int, end: int, kind: int, numbered: int) -> tuple[int, int]:
    """Read what follows a GRE header at ``o``: by its number an EtherType, PPP, a mirrored frame or an 802.11 frame."""
    if kind == 0x880B:
        return ppp(b, o, end)
    if kind == 0x88BE:  # ERSPAN I has no header of its own, II is told by the sequence number
        return ethernet(b, o + 8 if numbered else o, end)
    if kind == 0x22EB:  # ERSPAN III, with an optional platform header
        if o + 12 > end:
            return NOTHING, o
        return ethernet(b, o + (20 if u8(b, o + 11) & 1 else 12), end)
    if 0x8200 <= kind < 0x8400:  # on its way from an access point of Aruba's to its controller
        kind, o = wlan(b, o, end, 0)
        if kind == AGGREGATE:
            return kind, o
    return by_ethertype(b, o, end, kind)


@jit
def _gre(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read a GRE header: version 0 with its optional fields, version 1 of PPTP."""
    if o + 4 > end:
        return NOTHING, o
    flags = u16(b, o)
    version = flags & 7
    if version > 1 or flags & 0x4000:  # source routes have gone out of use
        return NOTHING, o
    at = o + 4
    for field in (0x8000, 0x2000, 0x1000):  # checksum, key, sequence number
        at += 4 if flags & field else 0
    if version == 1 and flags & 0x0080:  # acknowledgement number
        at += 4
    return _in_gre(b, at, end, u16(b, o + 2), flags & 0x1000) if at <= end else (NOTHING, o)


@jit
def _vxlan(b: Bytes, o: int, end: int, extended: int) -> tuple[int, int]:
    """Read a VXLAN header, or one of its generic extension, which says what follows."""
    if o + 8 > end or not u8(b, o) & 0x08:
        return NOTHING, o
    if not extended:
        return ethernet(b, o + 8, end) if u8(b, o + 7) == 0 else (NOTHING, o)
    following = u8(b, o + 3)
    if not u8(b, o) & 0x04 or following == 3:
        return ethernet(b, o + 8, end)
    return by_ethertype(b, o + 8, end, _NEXT_PROTOCOLS[following]) if 0 < following < 6 else (NOTHING, o)


@jit
def _geneve(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read a Geneve header with its options."""
    if o + 8 > end or u8(b, o) >> 6:
        return NOTHING, o
    return by_ethertype(b, o + 8 + (u8(b, o) & 0x3F) * 4, end, u16(b, o + 2))


@jit
def _ip_behind(b: Bytes, at: int, end: int) -> tuple[int, int]:
    """Tell by its first four bits what IP packet begins here."""
    if at >= end:
        return NOTHING, at
    version = u8(b, at) >> 4
    if version == 4:
        return IPV4, at
    return (IPV6 if version == 6 else NOTHING), at


@jit
def _gtp(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read the header of a GTP-U packet that carries user data, and its extension headers."""
    if o + 8 > end or u8(b, o) & 0xF0 != 0x30 or u8(b, o + 1) != 255:
        return NOTHING, o
    at = o + 8
    if u8(b, o) & 7:
        at += 4
        following = u8(b, at - 1) if at <= end and u8(b, o) & 4 else 0
        for _ in range(8):
            if following == 0 or at >= end or u8(b, at) == 0:
                break
            at += u8(b, at) * 4
            following = u8(b, at - 1) if at <= end else 0
    return _ip_behind(b, at, end)


@jit
def _teredo(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Skip the authentication and origin indications of a Teredo packet; IPv6 must follow."""
    at = o
    if at + 4 <= end and u16(b, at) == 1:
        at += 13 + u8(b, at + 2) + u8(b, at + 3)
    if at + 2 <= end and u16(b, at) == 0:
        at += 8
    kind, at = _ip_behind(b, at, end)
    return (kind if kind == IPV6 else NOTHING), at


@jit
def _l2tp(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read the header of an L2TPv2 data message; PPP follows."""
    if o + 6 > end:
        return NOTHING, o
    flags = u16(b, o)
    if flags & 0x8000 or flags & 0x000F != 2:
        return NOTHING, o
    at = o + 6
    if flags & 0x4000:
        at += 2
    if flags & 0x0800:
        at += 4
    if flags & 0x0200:
        if at > end:
            return NOTHING, o
        at += 2 + u16(b, at - 2)
    return ppp(b, at, end)


@jit
def _ayiya(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read an AYIYA header: identity and signature in words, then IPv6 or IPv4."""
    if o + 8 > end or u8(b, o + 2) & 15 != 1:  # operation 1: forward
        return NOTHING, o
    identity = 1 << (u8(b, o) >> 4)
    at = o + 8 + identity + (u8(b, o + 1) >> 4) * 4
    return _ip_behind(b, at, end)


@jit
def _in_udp(b: Bytes, o: int, end: int, port: int) -> tuple[int, int]:  # noqa: PLR0911 - one per tunnel
    """Read what a port of UDP is registered for."""
    if port in (4789, 8472):
        return _vxlan(b, o, end, 0)
    if port == 4790:
        return _vxlan(b, o, end, 1)
    if port == 6081:
        return _geneve(b, o, end)
    if port == 2152:
        return _gtp(b, o, end)
    if port == 3544:
        return _teredo(b, o, end)
    if port == 1701:
        return _l2tp(b, o, end)
    if port == 4754:
        return _gre(b, o, end)
    if port == 6635:
        return by_ethertype(b, o, end, MPLS)
    return _ayiya(b, o, end) if port == 5072 else (NOTHING, o)


@jit
def _fits(b: Bytes, kind: int, at: int, end: int) -> int:
    """Tell whether an IP packet of plausible length begins here: a port alone proves nothing."""
    if kind == IPV4:
        return int(at + 20 <= end and u8(b, at) >> 4 == 4 and u16(b, at + 2) >= 20 and u8(b, at) & 15 >= 5)
    return int(kind == IPV6 and at + 40 <= end and u8(b, at) >> 4 == 6)


@jit
def inside(b: Bytes, rows: Longs, m: int) -> tuple[int, int]:  # noqa: PLR0911 - one per tunnel
    """Read what may be a tunnel's header behind IP or UDP; a layer further in."""
    proto = int(rows[m, Q_PROTO])
    o = int(rows[m, Q_DATA])
    end = int(rows[m, Q_DATA_END])
    if proto == UDP:
        key2 = int(rows[m, Q_KEY2])
        low = key2 >> KEY_PORT_LOW & 0xFFFF
        high = key2 >> KEY_PORT_HIGH & 0xFFFF
        kind, at = _in_udp(b, o, end, low)
        if kind == NOTHING and high != low:
            kind, at = _in_udp(b, o, end, high)
        return (kind, at) if _fits(b, kind, at, end) else (NOTHING, o)
    if proto in (4, 94):
        return IPV4, o
    if proto == 41:
        return IPV6, o
    if proto == 47:
        return _gre(b, o, end)
    if proto == 137:
        return by_ethertype(b, o, end, MPLS)
    if proto == 97:
        return ethernet(b, o + 2, end)
    if proto == 115 and o + 4 <= end and u32(b, o, 1) != 0:
        return ethernet(b, o + 4, end)
    return NOTHING, o
