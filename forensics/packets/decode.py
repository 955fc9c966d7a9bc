"""Decoding: from a framed packet to the key of its flow, its lengths on the wire and where its payload lies.

Every step gets the end of what was captured and stops there. What volumes count is what was on the wire: the IP
header's own total length, the frame's original length; what was captured only limits what can be read.

References
----------
.. [1] RFC 791, section 3.1 (IPv4); RFC 8200, section 4 (IPv6 extension headers); RFC 4302, section 2.2 (AH).
.. [2] RFC 9293, section 3.1 (TCP); RFC 768 (UDP); RFC 9260, section 3 (SCTP); RFC 792, RFC 4443 (ICMP).
.. [3] IEEE 802.1Q, clause 9: VLAN tags; https://www.tcpdump.org/linktypes.html: link types.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import jit
from forensics.packets.framing import u8, u16, u32
from forensics.packets.hashing import address_id, fragment_ports, hash_key, remember_fragment
from forensics.packets.layout import (
    BAD_IP,
    CUT_IP,
    CUT_LINK,
    KEY_FROM_HIGH,
    KEY_IPV6,
    KEY_ONE_WAY,
    KEY_PORTLESS,
    NOT_IP,
    OK,
    Q_ACK,
    Q_DATA,
    Q_DATA_END,
    Q_END,
    Q_FLAGS,
    Q_HASH,
    Q_IP,
    Q_KEY1,
    Q_KEY2,
    Q_KIND,
    Q_LINK,
    Q_PAYLOAD,
    Q_PROTO,
    Q_ROLE,
    Q_SEQ,
    Q_SIDE,
    Q_START,
    Q_WIRE,
    UNREAD_LINK,
    Bytes,
    Longs,
    Tables,
)

__all__ = ["FIN", "ICMP", "ICMP6", "RST", "SCTP", "SYN", "TCP", "UDP", "decode_batch", "write_key"]

ICMP, TCP, UDP, ICMP6, SCTP = 1, 6, 17, 58, 132
FIN, SYN, RST, ACK = 1, 2, 4, 16

_IPV4, _IPV6 = 0x0800, 0x86DD
_LLC = 0  # what 802.3 frames without an EtherType are counted under
_UNREAD, _CUT = -1, -2


@jit
def _ethernet(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read an Ethernet header at ``o``: its EtherType behind all VLAN tags, and where the content begins."""
    o += 12
    for _ in range(8):
        if o + 2 > end:
            return _CUT, o
        kind = u16(b, o)
        if kind not in (0x8100, 0x88A8, 0x9100):
            break
        o += 4
    else:
        return kind, o
    o += 2
    if kind >= 0x0600:
        return kind, o
    if o + 8 <= end and u16(b, o) == 0xAAAA and u32(b, o + 2, 1) == 0x03000000:  # LLC and SNAP, RFC 1042
        return u16(b, o + 6), o + 8
    return _LLC, o


@jit
def _by_version(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Tell IPv4 from IPv6 where the link says only that it is IP."""
    if o >= end:
        return _CUT, o
    version = u8(b, o) >> 4
    return (_IPV6 if version == 6 else _IPV4), o


@jit
def _loopback(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Read the four bytes of an address family, in the byte order of the machine that wrote them."""
    if o + 4 > end:
        return _CUT, o
    family = u32(b, o, 1)
    if family > 0xFFFF:
        family = u32(b, o, 0)
    if family == 2:
        return _IPV4, o + 4
    if family in (10, 23, 24, 28, 30):  # AF_INET6 of Linux, Windows, and the BSDs
        return _IPV6, o + 4
    return family, o + 4


@jit
def _link_layer(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:  # noqa: PLR0911 - one per link type
    """Find the network layer: its EtherType and where it begins, or `_UNREAD` or `_CUT`."""
    if link == 1:
        return _ethernet(b, o, end)
    if link in (12, 14, 101):
        return _by_version(b, o, end)
    if link in (228, 229):
        return (_IPV4 if link == 228 else _IPV6), o
    if link in (0, 108):
        return _loopback(b, o, end)
    if link == 113:  # Linux cooked, version 1
        return (u16(b, o + 14), o + 16) if o + 16 <= end else (_CUT, o)
    if link == 276:  # version 2
        return (u16(b, o), o + 20) if o + 20 <= end else (_CUT, o)
    return _UNREAD, o


@jit
def _pair(first: int, second: int) -> int:
    """Put two numbers of 32 bits into one signed word."""
    return (first - (1 << 31)) << 32 | second


@jit
def _finish(rows: Longs, i: int, src: int, dst: int, sport: int, dport: int, flags: int) -> None:
    """Write the key of a flow with two ends, the lower one first, and which end sent this packet."""
    side = int(src > dst or (src == dst and sport > dport))
    if side:
        src, dst, sport, dport = dst, src, dport, sport
    key1 = _pair(src, dst)
    key2 = sport << 32 | dport << 16 | flags | int(rows[i, Q_PROTO])
    rows[i, Q_SIDE] = side
    rows[i, Q_KEY1] = key1
    rows[i, Q_KEY2] = key2
    rows[i, Q_HASH] = hash_key(key1, key2)


@jit
def _icmp_request(kind: int, version6: int) -> tuple[int, int]:  # noqa: PLR0911 - one per pair of types
    """Return the request type that an ICMP type belongs to, and 1 where it is the reply; (-1, 0) for one-way types."""
    if version6:
        if kind in (128, 133):  # echo, router solicitation
            return kind, 0
        if kind in (129, 134):
            return kind - 1, 1
        if kind in (135, 136):  # neighbour solicitation and advertisement
            return 135, kind - 135
        return (kind - (kind & 1 ^ 1), kind & 1 ^ 1) if kind in (139, 140) else (-1, 0)
    if kind in (0, 8):
        return 8, int(kind == 0)
    if kind in (9, 10):  # router advertisement answers solicitation
        return 10, int(kind == 9)
    if kind in (13, 14, 15, 16, 17, 18):
        reply = kind & 1 ^ 1
        return kind - reply, reply
    return -1, 0


@jit
def _finish_icmp(rows: Longs, i: int, src: int, dst: int, ports: int, version6: int) -> None:
    """Write the key of an ICMP flow: type and code of the request, for the request and its reply alike."""
    kind = ports >> 16
    code = ports & 0xFFFF
    request, reply = _icmp_request(kind, version6)
    side = int(src > dst)
    if src == dst:
        side = reply
    flags = KEY_IPV6 if version6 else 0
    if side != reply:  # the high end asks: another conversation than where the low end does, as with Zeek
        flags |= KEY_FROM_HIGH
    if request < 0:
        flags |= KEY_ONE_WAY
        request = kind
    rows[i, Q_SIDE] = side
    rows[i, Q_ROLE] = reply
    low, high = (dst, src) if src > dst else (src, dst)
    key1 = _pair(low, high)
    key2 = request << 32 | code << 16 | flags | int(rows[i, Q_PROTO])
    rows[i, Q_KEY1] = key1
    rows[i, Q_KEY2] = key2
    rows[i, Q_HASH] = hash_key(key1, key2)


@jit
def _tcp(b: Bytes, rows: Longs, i: int, o: int, end: int, length: int) -> None:
    """Read what flow assembly needs of a TCP header, as far as it was captured."""
    header = 20
    if o + 14 <= end and length >= 14:
        header = max(20, (u8(b, o + 12) >> 4) * 4)
        rows[i, Q_FLAGS] = u8(b, o + 13)
        rows[i, Q_SEQ] = u32(b, o + 4, 1)
        rows[i, Q_ACK] = u32(b, o + 8, 1)
    rows[i, Q_PAYLOAD] = max(0, length - header)
    rows[i, Q_DATA] = min(end, o + header)


@jit
def _transport(b: Bytes, rows: Longs, i: int, o: int, end: int, length: int) -> int:
    """Read the transport header at ``o``: its two ports (ICMP: type and code) in one number, or -1 where it has none.

    Parameters
    ----------
    b, rows, i
        The buffer, the batch and the packet's row in it.
    o, end
        Where the header begins and where the captured part of the datagram ends.
    length
        Bytes of the datagram from ``o`` on, as they were on the wire. [B]
    """
    proto = int(rows[i, Q_PROTO])
    rows[i, Q_PAYLOAD] = length
    rows[i, Q_DATA] = o
    rows[i, Q_DATA_END] = end
    if proto in (ICMP, ICMP6):
        rows[i, Q_PAYLOAD] = max(0, length - 8)
        return u8(b, o) << 16 | u8(b, o + 1) if o + 2 <= end else -1
    if proto not in (TCP, UDP, SCTP) or o + 4 > end:
        return -1
    if proto == TCP:
        _tcp(b, rows, i, o, end, length)
    elif proto == UDP:
        rest = max(0, length - 8)
        if o + 6 <= end and u16(b, o + 4) >= 8:
            rest = min(rest, u16(b, o + 4) - 8)
        rows[i, Q_PAYLOAD] = rest
        rows[i, Q_DATA] = min(end, o + 8)
        rows[i, Q_DATA_END] = min(end, o + 8 + rest)
    else:
        rows[i, Q_PAYLOAD] = max(0, length - 12)
    return u32(b, o, 1)


@jit
def _later_fragment(rows: Longs, i: int, t: Tables, pair: int, ident: int, length: int) -> int:
    """Return the ports of the datagram that a later fragment belongs to, -1 where its first fragment was not seen."""
    rows[i, Q_PAYLOAD] = length
    rows[i, Q_DATA] = 0
    rows[i, Q_DATA_END] = 0
    return fragment_ports(t.fragments, pair, int(rows[i, Q_PROTO]), ident)


@jit
def write_key(rows: Longs, i: int, src: int, dst: int, ports: int, version6: int) -> None:
    """Write the key of the packet's flow."""
    proto = int(rows[i, Q_PROTO])
    flags = KEY_IPV6 if version6 else 0
    if ports < 0:
        _finish(rows, i, src, dst, 0, 0, flags | KEY_PORTLESS)
    elif proto in (ICMP, ICMP6):
        _finish_icmp(rows, i, src, dst, ports, version6)
    else:
        _finish(rows, i, src, dst, ports >> 16, ports & 0xFFFF, flags)


@jit
def _ipv4(b: Bytes, rows: Longs, i: int, o: int, t: Tables) -> int:
    """Decode an IPv4 packet at ``o``; return its kind."""
    end = int(rows[i, Q_END])
    if o + 20 > end:
        return CUT_IP
    header = (u8(b, o) & 15) * 4
    total = u16(b, o + 2)
    if total == 0:  # left to the network card by an offloading sender
        total = int(rows[i, Q_WIRE]) - (o - int(rows[i, Q_START]))
    if u8(b, o) >> 4 != 4 or header < 20 or total < header:
        return BAD_IP
    rows[i, Q_IP] = total
    rows[i, Q_PROTO] = b[o + 9]
    src = u32(b, o + 12, 1)
    dst = u32(b, o + 16, 1)
    fragment = u16(b, o + 6)
    ident = u16(b, o + 4)
    stop = min(end, o + total)
    if fragment & 0x1FFF:
        ports = _later_fragment(rows, i, t, _pair(src, dst), ident, total - header)
    else:
        ports = _transport(b, rows, i, o + header, stop, total - header)
        if fragment & 0x2000:
            remember_fragment(t.fragments, _pair(src, dst), int(rows[i, Q_PROTO]), ident, ports)
    write_key(rows, i, src, dst, ports, 0)
    return OK


@jit
def _ipv6_headers(b: Bytes, rows: Longs, i: int, o: int, stop: int) -> tuple[int, int, int, int]:
    """Walk the extension headers that begin at ``o``; the protocol behind them goes into the batch.

    Returns
    -------
    tuple
        Where the transport header begins; fragment offset, -1 where the packet is no fragment; identification; whether
        the chain was cut by the end of the capture (then there are no ports).
    """
    proto = int(rows[i, Q_PROTO])
    offset = -1
    ident = 0
    for _ in range(16):
        if proto not in (0, 43, 44, 51, 60):
            break
        if o + 8 > stop:
            return o, offset, ident, 1
        following = u8(b, o)
        step = 8
        if proto == 44:
            offset = u16(b, o + 2) >> 3
            ident = u32(b, o + 4, 1) | 1 << 33  # apart from the 16 bits of IPv4
        elif proto == 51:
            step = (u8(b, o + 1) + 2) * 4
        else:
            step = (u8(b, o + 1) + 1) * 8
        proto = following
        rows[i, Q_PROTO] = proto
        o += step
        if offset > 0:  # a later fragment: what follows is payload
            break
    return o, offset, ident, 0


@jit
def _ipv6(b: Bytes, rows: Longs, i: int, o: int, t: Tables) -> int:
    """Decode an IPv6 packet at ``o``; return its kind."""
    end = int(rows[i, Q_END])
    if o + 40 > end:
        return CUT_IP
    if u8(b, o) >> 4 != 6:
        return BAD_IP
    total = 40 + u16(b, o + 4)
    rows[i, Q_PROTO] = b[o + 6]
    if total == 40 and rows[i, Q_PROTO] != 59:  # a jumbogram (RFC 2675), or left to the network card
        total = max(40, int(rows[i, Q_WIRE]) - (o - int(rows[i, Q_START])))
    rows[i, Q_IP] = total
    src = address_id(b, o + 8, t.cursor, t.addresses, t.address_slots)
    dst = address_id(b, o + 24, t.cursor, t.addresses, t.address_slots)
    stop = min(end, o + total)
    at, offset, ident, cut = _ipv6_headers(b, rows, i, o + 40, stop)
    length = max(0, o + total - at)
    if offset > 0:
        ports = _later_fragment(rows, i, t, _pair(src, dst), ident, length)
    elif cut:
        ports = -1
        rows[i, Q_PAYLOAD] = length
        rows[i, Q_DATA] = 0
        rows[i, Q_DATA_END] = 0
    else:
        ports = _transport(b, rows, i, at, stop, length)
        if offset == 0:
            remember_fragment(t.fragments, _pair(src, dst), int(rows[i, Q_PROTO]), ident, ports)
    write_key(rows, i, src, dst, ports, 1)
    return OK


@jit
def _decode(b: Bytes, rows: Longs, i: int, t: Tables) -> int:
    """Decode one packet; return its kind."""
    rows[i, Q_FLAGS] = 0
    rows[i, Q_ROLE] = 0
    kind, o = _link_layer(b, int(rows[i, Q_START]), int(rows[i, Q_END]), int(rows[i, Q_LINK]))
    if kind == _IPV4:
        return _ipv4(b, rows, i, o, t)
    if kind == _IPV6:
        return _ipv6(b, rows, i, o, t)
    if kind == _UNREAD:
        return UNREAD_LINK
    if kind == _CUT:
        return CUT_LINK
    t.ethertypes[kind & 0xFFFF] += 1
    return NOT_IP


@jit
def decode_batch(b: Bytes, t: Tables, m: int) -> None:
    """Decode the first ``m`` packets of the batch."""
    for i in range(m):
        if t.rows[i, Q_KIND] == OK:
            t.rows[i, Q_KIND] = _decode(b, t.rows, i, t)
