"""Link layers: from the link type of a packet to its network layer.

`find_network` knows what is listed at [1]_ and carries IP, and the older numbers that BSDs wrote into files.
A link type it does not know is `UNREAD`: its packets are counted, none is guessed at.

References
----------
.. [1] https://www.tcpdump.org/linktypes.html: link types.
.. [2] RFC 2427 (frame relay), RFC 2684 (ATM), RFC 2734 (FireWire), RFC 1201, RFC 1051 (ARCNET), RFC 4391 (InfiniBand);
   ITU-T Q.922, annex A (frame relay addresses).
.. [3] IEEE 802.5, clause 3 (token ring, source routing); ANSI X3.139 (FDDI); CM-SP-MULPIv3.1, section 6.2 (DOCSIS).
"""

from __future__ import annotations

from forensics.packets._jit import entry, jit
from forensics.packets.ethertypes import (
    AGGREGATE,
    CUT,
    IPV4,
    IPV6,
    LINK_CONTROL,
    LINK_FRAGMENT,
    LLC,
    OTHER,
    UNREAD,
    by_ethertype,
    ethernet,
    llc,
    nlpid,
    ppp,
    type_at,
)
from forensics.packets.framing import u8, u16, u32
from forensics.packets.layout import (
    AGGREGATED,
    FR_AT,
    FR_TYPE,
    N_FRAMES,
    Q_END,
    Q_KIND,
    Q_LINK,
    Q_START,
    UNKNOWN,
    Bytes,
    Tables,
)
from forensics.packets.wireless import WLAN, WLAN_PADDED, past_radio, wlan

__all__ = ["find_networks"]

ETHERNET, TOKEN_RING, PPP, FDDI, CISCO_HDLC, FRAME_RELAY = 1, 6, 9, 10, 104, 107
_WRAPPINGS = 4  # headers of capturing programs, one in the other


@jit
def _by_version(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Tell IPv4 from IPv6 where the link says only that it is IP."""
    if o >= end:
        return CUT, o
    version = u8(b, o) >> 4
    return (IPV6 if version == 6 else IPV4), o


@jit
def _by_family(family: int, o: int) -> tuple[int, int]:
    """Return the EtherType of an address family, whose number is below 65536 in one of the two byte orders."""
    if family > 0xFFFF:
        family = family >> 24 | family >> 8 & 0xFF00
    if family == 2:
        return IPV4, o
    return (IPV6 if family in (10, 23, 24, 26, 28, 30) else family), o  # Linux, Windows, Solaris, and the BSDs


@jit
def _nflog(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Look for the packet among the attributes of a Linux netfilter log, written in the byte order of their machine."""
    if o + 8 > end:
        return CUT, o
    at = o + 4
    big = int(u8(b, at + 2) == 0 and u8(b, at + 3) != 0)
    for _ in range(64):
        if at + 4 > end:
            break
        length = u16(b, at) if big else u8(b, at + 1) << 8 | u8(b, at)
        kind = u16(b, at + 2) if big else u8(b, at + 3) << 8 | u8(b, at + 2)
        if kind & 0x7FFF == 9:
            return _by_version(b, at + 4, end)
        if length < 4:
            break
        at += (length + 3) & ~3
    return OTHER, o


@jit
def _cooked(b: Bytes, o: int, device: int, at: int, end: int) -> tuple[int, int]:
    """Read the protocol at ``o`` of a Linux cooked header; the packet begins at ``at``."""
    kind = u16(b, o)
    if device == 824:  # netlink: the number is a family of its own
        return OTHER, at
    if kind == 4:
        return llc(b, at, end)
    return (LLC if kind == 1 else kind), at  # 1: 802.3 without LLC


@jit
def _of_hosts(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:  # noqa: PLR0911 - one per link type
    """Read what operating systems hand out in place of a link header."""
    if link in (0, 108):
        return _by_family(u32(b, o, 1), o + 4) if o + 4 <= end else (CUT, o)
    if link == 109:  # OpenBSD encapsulation
        return _by_family(u32(b, o, 1), o + 12) if o + 12 <= end else (CUT, o)
    if link == 117:  # log of a BSD packet filter
        return _by_version(b, o + (u8(b, o) + 3 & ~3), end) if o < end else (CUT, o)
    if link == 226:  # Solaris, between the zones of a host
        return _by_family(u8(b, o + 1), o + 24) if o + 24 <= end else (CUT, o)
    if link == 239:
        return _nflog(b, o, end)
    if link == 113:
        return _cooked(b, o + 14, u16(b, o + 2), o + 16, end) if o + 16 <= end else (CUT, o)
    if link == 276:
        return _cooked(b, o, u16(b, o + 8), o + 20, end) if o + 20 <= end else (CUT, o)
    return UNREAD, o


@jit
def _arcnet(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:
    """Read an ARCNET header: of RFC 1051, or of RFC 1201, which has numbered fragments."""
    at = o + (4 if link == 129 else 2)  # Linux keeps the two bytes of the length
    if at + 5 > end:
        return CUT, o
    kind = u8(b, at)
    if kind in (0xF0, 0xF1):
        return (IPV4 if kind == 0xF0 else 0x0806), at + 1
    if kind not in (0xD4, 0xD5, 0xC4):
        return OTHER, at
    split = u8(b, at + 1)
    at += 4
    if split == 0xFF and link != 129 and at + 4 <= end:  # an exception frame: the header comes once more
        split = u8(b, at + 1)
        at += 4
    if split and not split & 1:
        return LINK_FRAGMENT, at
    return (IPV4 if kind == 0xD4 else 0x0806 if kind == 0xD5 else IPV6), at


@jit
def _of_rings(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:
    """Read a token ring or an FDDI header."""
    if o + 14 > end:
        return CUT, o
    if link == FDDI:
        return llc(b, o + 13, end) if u8(b, o) & 0x70 == 0x50 else (LINK_CONTROL, o)
    if u8(b, o + 1) & 0xC0 != 0x40:
        return LINK_CONTROL, o
    at = o + 14
    if u8(b, o + 8) & 0x80:  # source routing
        if at >= end:
            return CUT, o
        at += u8(b, at) & 0x1F
    return llc(b, at, end)


@jit
def _docsis(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read the header of a cable modem's frame."""
    if o + 6 > end:
        return CUT, o
    kind = u8(b, o) >> 6
    if kind == 3:
        return LINK_CONTROL, o
    if kind != 0:
        return OTHER, o
    return ethernet(b, o + 6 + (u8(b, o + 1) if u8(b, o) & 1 else 0), end)


@jit
def _juniper(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Pass what a Juniper router puts before an Ethernet frame, or before a packet without one."""
    if o + 6 > end:
        return CUT, o
    if u32(b, o, 1) >> 8 != 0x4D4743:
        return UNREAD, o
    flags = u8(b, o + 3)
    at = o + 4 + (2 + u16(b, o + 4) if flags & 0x80 else 0)
    return _by_version(b, at + 4, end) if flags & 2 else ethernet(b, at, end)


@jit
def _of_lans(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:  # noqa: PLR0911 - one per link type
    """Read the headers of local networks other than plain Ethernet."""
    if link in (WLAN, WLAN_PADDED):
        return wlan(b, o, end, int(link == WLAN_PADDED))
    if link in (TOKEN_RING, FDDI):
        return _of_rings(b, o, end, link)
    if link in (7, 129):
        return _arcnet(b, o, end, link)
    if link == 138:  # IP over FireWire
        return type_at(b, o + 16, end)
    if link == 143:
        return _docsis(b, o, end)
    if link == 178:
        return _juniper(b, o, end)
    if link == 242:  # IP over InfiniBand
        return (u16(b, o + 40), o + 44) if o + 44 <= end else (CUT, o)
    if link in (281, 284):  # tag of a switch chip, Broadcom's or Marvell's
        return type_at(b, o + 16, end)
    if link == 282:
        return ethernet(b, o + 4, end)
    return type_at(b, o + 20, end) if link == 285 else (UNREAD, o)


@jit
def _ppp_or_hdlc(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:
    """Read PPP, or Cisco's HDLC, which captures of PPP links hold as well."""
    if link == CISCO_HDLC or (o < end and u8(b, o) in (0x0F, 0x8F)):
        return type_at(b, o + 2, end) if o + 4 <= end else (CUT, o)
    return ppp(b, o, end)


@jit
def _frame_relay(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read a frame relay header: an address of two to four bytes, then as RFC 2427 has it, or Cisco's EtherType."""
    at = o
    last = 0
    while not last and at < end and at < o + 4:
        last = u8(b, at) & 1
        at += 1
    if at + 2 > end:
        return CUT, o
    if not last or at < o + 2:
        return OTHER, o
    if u8(b, at) == 3:
        at += 1
        return nlpid(b, at + int(u8(b, at) == 0), end)
    if u8(b, o) & 0xFC == 0 and u8(b, o + 1) & 0xF0 == 0:  # circuit 0: the state of the link
        return LINK_CONTROL, o
    return type_at(b, at, end)


@jit
def _atm(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:
    """Read what is carried in AAL5: LLC; bare IP where classical IP over ATM is told to do without; LAN emulation."""
    if link == 123:
        if o + 4 > end:
            return CUT, o
        kind = u8(b, o) & 15
        if kind == 1:
            return ethernet(b, o + 6, end)
        return llc(b, o + 4, end) if kind == 2 else (LINK_CONTROL, o)
    if link in (16, 19, 106) and (o + 4 > end or u32(b, o, 1) >> 8 != 0xAAAA03):
        return _by_version(b, o, end)
    return llc(b, o, end)


@jit
def _of_lines(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:  # noqa: PLR0911 - one per link type
    """Read the headers of serial lines and wide area networks."""
    if link in (PPP, 50, CISCO_HDLC):
        return _ppp_or_hdlc(b, o, end, link)
    if link == 51:  # PPPoE
        if o + 6 > end:
            return CUT, o
        return (0x8864 if u8(b, o + 1) == 0 else 0x8863), o
    if link == FRAME_RELAY:
        return _frame_relay(b, o, end)
    if link in (11, 19, 100, 106, 123):
        return _atm(b, o, end, link)
    if link == 8:  # SLIP of the BSDs: direction, and what was compressed
        return _by_version(b, o + 16, end)
    if link == 15:  # SLIP of BSD/OS
        return _by_version(b, o + 24, end)
    if link == 16:  # PPP of BSD/OS, or classical IP over ATM
        kind = ppp(b, o + 5, end)[0] if o + 24 <= end else CUT
        return (kind, o + 24) if kind in (IPV4, IPV6) else _atm(b, o, end, link)
    return (0x8847, o) if link == 219 else (UNREAD, o)


@jit
def _of_device(kind: int, link: int) -> int:
    """Return the link type behind a Linux cooked header whose device, by its ARPHRD number, has headers of its own."""
    if kind in (801, 802, 803):
        return WLAN if kind == 801 else 119 if kind == 802 else 127
    return FRAME_RELAY if kind == 770 else link


@jit
def _erf(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Pass the header of an Endace record at ``o``, which programs that convert such captures leave in place."""
    if o + 16 > end:
        return CUT, o
    kind = u8(b, o + 8)
    at = o + 16
    more = kind & 0x80
    while more and at + 8 <= end:
        more = u8(b, at) & 0x80
        at += 8
    kind &= 0x7F
    if kind in (2, 11, 16, 20):
        return ETHERNET, at + 2
    if kind in (1, 10, 15, 19):
        return PPP, at
    return (228 if kind == 22 else 229 if kind == 23 else UNREAD), at


@jit
def _unwrap(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:  # noqa: PLR0911 - one per link type
    """Take off what a capturing program put before the link header; the same link type where there is nothing."""
    if link in (127, 119, 163):
        return past_radio(b, o, end, link)
    if link in (204, 205, 206):  # one byte that tells the direction
        return (PPP if link == 204 else CISCO_HDLC if link == 205 else FRAME_RELAY), o + 1
    if link == 166:  # the direction in place of the address byte, and the control byte
        return PPP, o + (2 if o + 2 <= end and u8(b, o + 1) == 3 else 1)
    if link == 192:
        return (u32(b, o + 4, 0), o + (u8(b, o + 3) << 8 | u8(b, o + 2))) if o + 8 <= end else (CUT, o)
    if link == 197:
        return _erf(b, o, end)
    if link in (149, 258) and o + 12 <= end:  # Apple; first under a number for private use
        length = u32(b, o, 0)
        if link == 258 or (108 <= length <= 1024 and u32(b, o + 4, 0) == 1):
            return u32(b, o + 8, 0), o + length
    if link in (113, 276):
        skip = 16 if link == 113 else 20
        if o + skip > end:
            return CUT, o
        inner = _of_device(u16(b, o + (2 if link == 113 else 8)), link)
        return inner, o + (skip if inner != link else 0)
    return link, o


@jit
def _by_link(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:
    """Read the link header of any link type but Ethernet's."""
    if link in (12, 14, 101):
        return _by_version(b, o, end)
    if link in (228, 229):
        return (IPV4 if link == 228 else IPV6), o
    kind, at = _of_hosts(b, o, end, link)
    if kind == UNREAD:
        kind, at = _of_lans(b, o, end, link)
    if kind == UNREAD:
        kind, at = _of_lines(b, o, end, link)
    return kind, at


@jit
def _other_link(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:
    """Find the network layer behind any link type but Ethernet's."""
    for _ in range(_WRAPPINGS):
        before = link
        link, o = _unwrap(b, o, end, link)
        if link == before or link < 0:
            break
    if link < 0:
        return link, o
    if link == ETHERNET:
        return ethernet(b, o, end)
    kind, at = _by_link(b, o, end, link)
    return by_ethertype(b, at, end, kind) if kind >= 0x0600 else (kind, at)


@jit
def find_network(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:
    """Find the network layer of a packet.

    Parameters
    ----------
    b
        The buffer.
    o, end
        Where the packet begins and where what was captured of it ends. [B]
    link
        Its link type.

    Returns
    -------
    tuple
        EtherType of the network layer, below 0x0600 a code of ``ethertypes.NOT_IP_NAMES`` or a link's own number of
        what is no IP; `UNREAD`, `CUT` or `AGGREGATE`; and where the network layer begins.
    """
    if link == ETHERNET:
        if o + 14 <= end and u16(b, o + 12) == IPV4:
            return IPV4, o + 14
        return ethernet(b, o, end)
    return _other_link(b, o, end, link)


@entry
def find_networks(b: Bytes, t: Tables) -> None:
    """Find the network layer of every framed packet of which it is not known yet."""
    for i in range(int(t.cursor[N_FRAMES])):
        if t.frames[i, FR_TYPE] == UNKNOWN:
            start = int(t.frames[i, Q_START])
            kind, at = find_network(b, start, int(t.frames[i, Q_END]), int(t.frames[i, Q_LINK]))
            t.frames[i, FR_TYPE] = kind
            t.frames[i, FR_AT] = at
            if kind == AGGREGATE:
                t.frames[i, Q_KIND] = AGGREGATED
