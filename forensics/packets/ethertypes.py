"""EtherTypes: what lies between a frame's EtherType and its network layer - tags, labels, and frames in frames.

Every step gets the end of what was captured and stops there. A step returns an EtherType and where its content begins;
numbers below 0x0600 are no EtherTypes, so that what is no IP can be told by codes of our own there.

References
----------
.. [1] IEEE 802.1Q, clause 9 (VLAN tags, provider bridges, I-TAG); IEEE 802.1AE, clause 9 (SecTAG); IEEE 802.1BR, clause
   7.5 (E-TAG); IEC 62439-3, clause 5 (HSR).
.. [2] RFC 1042, RFC 2684, RFC 2427 (LLC, SNAP and NLPID; bridged frames in them).
.. [3] RFC 1661, RFC 1332, RFC 5072, RFC 2516 (PPP, IP in it, PPPoE).
.. [4] RFC 3032 (label stacks); RFC 4928, section 3, RFC 4385 (the first nibble behind them); RFC 4448 (Ethernet there).
.. [5] RFC 8300, section 2 (NSH); RFC 1701 (0x6558, bridged Ethernet).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.packets._jit import jit
from forensics.packets.framing import u8, u16, u32

if TYPE_CHECKING:
    from forensics.packets.layout import Bytes

__all__ = [
    "AGGREGATE",
    "CUT",
    "ENCRYPTED",
    "IPV4",
    "IPV6",
    "LINK_CONTROL",
    "LINK_FRAGMENT",
    "LLC",
    "NOT_IP_NAMES",
    "OTHER",
    "UNREAD",
    "by_ethertype",
    "ethernet",
    "llc",
    "nlpid",
    "ppp",
    "type_at",
]

IPV4, IPV6, MPLS, BRIDGED = 0x0800, 0x86DD, 0x8847, 0x6558
UNREAD, CUT, AGGREGATE = -1, -2, -4
"""Instead of an EtherType: a link type that is not read; a header that the capture cuts short; packets one behind the
other, each with addresses and length (A-MSDU of 802.11)."""

LLC, LINK_CONTROL, ENCRYPTED, LINK_FRAGMENT, OTHER = 0, 0x05F0, 0x05F1, 0x05F2, 0x05F3
NOT_IP_NAMES = {
    LLC: "llc",
    LINK_CONTROL: "link control",
    ENCRYPTED: "encrypted link",
    LINK_FRAGMENT: "link fragment",
    OTHER: "other",
}
"""What packets are counted under that have no EtherType: LLC without SNAP; management of the link itself (802.11, PPP,
token ring, DOCSIS, a pseudowire); ciphertext of the link; later fragments of a frame; what no EtherType names."""

_STEPS = 12  # more tags and labels than any network stacks
_LABELS = 16


@jit
def _snap(b: Bytes, o: int, end: int, pad: int) -> tuple[int, int]:
    """Read the five bytes of SNAP at ``o``; ``pad`` bytes lie before a bridged frame."""
    if o + 5 > end:
        return LLC, o
    oui = u32(b, o, 1) >> 8
    kind = u16(b, o + 3)
    if oui in (0, 0xF8):  # RFC 1042; 802.1H, the same for a few protocols that bridges must not translate
        return kind, o + 5
    if oui == 0x80C2 and kind in (1, 7):  # a bridged Ethernet frame, with its FCS or without
        return BRIDGED, o + 5 + pad
    return LLC, o


@jit
def _ppp_protocol(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read a PPP protocol number, of one byte where it is odd."""
    if o >= end:
        return CUT, o
    kind = u8(b, o)
    o += 1
    if not kind & 1:
        if o >= end:
            return CUT, o
        kind = kind << 8 | u8(b, o)
        o += 1
    if kind in (0x21, 0x57):
        return (IPV4 if kind == 0x21 else IPV6), o
    if kind in (0x281, 0x283):
        return MPLS, o
    return (LINK_CONTROL if kind >= 0x8000 else OTHER), o


@jit
def ppp(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read a PPP frame at ``o``, with or without address and control bytes."""
    if o + 2 <= end and u16(b, o) == 0xFF03:
        o += 2
    return _ppp_protocol(b, o, end)


@jit
def nlpid(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read a network layer protocol identifier at ``o``."""
    if o >= end:
        return CUT, o
    kind = u8(b, o)
    if kind == 0x80:
        return _snap(b, o + 1, end, 0)
    if kind in (0xCC, 0x8E):
        return (IPV4 if kind == 0xCC else IPV6), o + 1
    if kind == 0xCF:
        return _ppp_protocol(b, o + 1, end)
    return (LINK_CONTROL if kind == 8 else LLC), o  # Q.933; OSI


@jit
def llc(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read an LLC header at ``o``; `LLC` where there is no EtherType and no IP behind it."""
    if o + 4 > end or u8(b, o + 2) != 3:
        return LLC, o
    access_points = u16(b, o)
    if access_points == 0xAAAA:
        return _snap(b, o + 3, end, 2)
    if access_points == 0x0606:
        return IPV4, o + 3
    if access_points == 0xFEFE:
        return nlpid(b, o + 3, end)
    return LLC, o


@jit
def type_at(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read an EtherType at ``o``, or the length that 802.3 has in its place and the LLC header behind it."""
    if o + 2 > end:
        return CUT, o
    kind = u16(b, o)
    return (kind, o + 2) if kind >= 0x0600 else llc(b, o + 2, end)


@jit
def _fits_ip(b: Bytes, o: int, end: int) -> bool:
    """Tell whether the bytes at ``o`` are a likely IP header, as far as they are there."""
    if o + 20 > end:
        return True
    if u8(b, o) >> 4 == 6:
        return u8(b, o + 7) > 0  # hop limit
    header = (u8(b, o) & 15) * 4
    total = u16(b, o + 2)
    return header >= 20 and (total == 0 or total >= header) and u8(b, o + 8) > 0


@jit
def _fits_ethernet(b: Bytes, o: int, end: int) -> bool:
    """Tell whether an Ethernet frame that carries something common may begin at ``o``."""
    if o + 18 > end:
        return False
    kind = u16(b, o + 12)
    if kind in (IPV4, IPV6):
        return u8(b, o + 14) >> 4 == (4 if kind == IPV4 else 6)
    if kind < 0x0600:  # LLC, and a length that the frame has
        return o + 14 + kind <= end and u16(b, o + 14) in (0xAAAA, 0x4242, 0xFEFE, 0xE0E0)
    return kind in (0x8100, 0x88A8, 0x0806, 0x8847, 0x8848, 0x8863, 0x8864, 0x88CC, 0x9000)


@jit
def _behind_labels(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Tell what follows a label stack by its first nibble, or by being like an Ethernet frame."""
    nibble = u8(b, o) >> 4
    kind = IPV4 if nibble == 4 else IPV6 if nibble == 6 else LINK_CONTROL if nibble == 1 else OTHER
    if kind == LINK_CONTROL or (kind != OTHER and _fits_ip(b, o, end)):  # 1: associated channel of a pseudowire
        return kind, o
    if nibble == 0 and _fits_ethernet(b, o + 4, end):  # behind a control word
        return BRIDGED, o + 4
    return (BRIDGED if _fits_ethernet(b, o, end) else kind), o


@jit
def _mpls(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Pass a label stack at ``o``."""
    last = 0
    for _ in range(_LABELS):
        if o + 4 > end:
            return CUT, o
        last = u8(b, o + 2) & 1
        o += 4
        if last:
            break
    if not last:
        return OTHER, o
    return _behind_labels(b, o, end) if o < end else (CUT, o)


@jit
def _nsh(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read a network service header at ``o``."""
    if o + 8 > end:
        return CUT, o
    following = u8(b, o + 3)
    o += (u8(b, o + 1) & 0x3F) * 4
    if following in (1, 2):
        return (IPV4 if following == 1 else IPV6), o
    if following == 3:
        return BRIDGED, o
    if following == 4:
        return 0x894F, o
    return (MPLS if following == 5 else OTHER), o


@jit
def _macsec(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read a security tag at ``o``: only where it guards without encrypting is there something to read behind it."""
    if o + 6 > end:
        return CUT, o
    flags = u8(b, o)
    if flags & 0x0C:
        return ENCRYPTED, o
    return type_at(b, o + (14 if flags & 0x20 else 6), end)


@jit
def _tag_bytes(kind: int) -> int:
    """Return how long a tag is that is followed by another EtherType, 0 where there is none."""
    if kind in (0x8100, 0x88A8, 0x9100, 0x9200, 0x9300):  # VLAN
        return 2
    if kind in (0x8926, 0x892F):  # VN-Tag, HSR
        return 4
    return 6 if kind in (0x8909, 0x893F) else 0  # Cisco MetaData, E-TAG


@jit
def _step(b: Bytes, o: int, end: int, kind: int) -> tuple[int, int]:  # noqa: PLR0911 - one per EtherType
    """Take what an EtherType announces off its content; the same kind and place where it is a network layer."""
    tag = _tag_bytes(kind)
    if kind == 0xD28B and o + 4 <= end:  # Arista's time stamp, of 64 or 48 bits
        tag = 12 if u16(b, o + 2) & 0xF0 == 0x10 else 10
    if tag:
        return type_at(b, o + tag, end)
    if kind in (MPLS, 0x8848):
        return _mpls(b, o, end)
    if kind == 0x8864:  # PPPoE session
        return _ppp_protocol(b, o + 6, end)
    if kind == 0x880B:
        return ppp(b, o, end)
    if kind == BRIDGED:
        return type_at(b, o + 12, end)
    if kind == 0x8903:  # FabricPath: a tag, and the frame behind it
        return type_at(b, o + 14, end)
    if kind == 0x88E7:  # I-TAG, and the customer's frame behind it
        return type_at(b, o + 16, end)
    if kind == 0x894F:
        return _nsh(b, o, end)
    return _macsec(b, o, end) if kind == 0x88E5 else (kind, o)


@jit
def by_ethertype(b: Bytes, o: int, end: int, kind: int) -> tuple[int, int]:
    """Resolve what lies between an EtherType and the network layer.

    Parameters
    ----------
    b
        The buffer.
    o, end
        Where the content of the EtherType begins, and where what was captured of it ends. [B]
    kind
        The EtherType.

    Returns
    -------
    tuple
        EtherType of the network layer, a code of `NOT_IP_NAMES`, or `CUT`; and where the network layer begins, which
        may lie beyond the end.
    """
    for _ in range(_STEPS):
        if kind in (IPV4, IPV6) or kind < 0x0600:
            break
        before = o
        kind, o = _step(b, o, end, kind)
        if o == before:
            break
    return kind, o


@jit
def ethernet(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Find the network layer of the Ethernet frame at ``o``, as `by_ethertype` does."""
    kind, at = type_at(b, o + 12, end)
    return by_ethertype(b, at, end, kind)
