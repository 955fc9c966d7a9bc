"""Decoding: from a framed packet to the keys of its flows, its lengths on the wire and where its payload lies.

A packet gives one row, and one more for each connection that it carries inside. Every step gets the end of what was
captured and stops there. What volumes count is what was on the wire: the IP header's own total length, the frame's
original length; what was captured only limits what can be read.

References
----------
.. [1] RFC 791, section 3.1 (IPv4); RFC 8200, section 4 (IPv6 extension headers); RFC 4302, section 2.2 (AH).
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import hot, jit
from forensics.packets.checksums import ones_sum
from forensics.packets.ethertypes import CUT, IPV4, IPV6, UNREAD
from forensics.packets.framing import u8, u16, u32
from forensics.packets.hashing import address_id, address_word, fragment_ports, remember_fragment
from forensics.packets.layout import (
    AGGREGATED,
    BAD_CHECKSUM,
    BAD_IP,
    BAD_IP_SUMS,
    CUT_IP,
    CUT_LINK,
    FR_AT,
    FR_TYPE,
    FRAGMENT_CARRIED,
    FRAGMENT_IPV6,
    ICMP,
    KEY_PORT_HIGH,
    KEY_PORT_LOW,
    MARK_BAD_IP,
    MARK_BAD_SUM,
    MARK_LATER,
    N_FRAMES,
    NOT_IP,
    NUMBER,
    O_DROP,
    OK,
    PORT_TUNNEL,
    Q_DATA,
    Q_DATA_END,
    Q_END,
    Q_FLAGS,
    Q_IP,
    Q_KEY2,
    Q_KIND,
    Q_LAYER,
    Q_LINK,
    Q_MARKS,
    Q_NUMBER,
    Q_PAYLOAD,
    Q_PROTO,
    Q_ROLE,
    Q_START,
    Q_TIME,
    Q_WIRE,
    ROWS,
    TCP,
    UDP,
    UNREAD_LINK,
    Bytes,
    Longs,
    Tables,
)
from forensics.packets.transport import pair, read_transport, verify, write_key

__all__ = ["begin_row", "decode_frames", "may_carry", "network"]

_PADDED = 46
"""What an Ethernet frame is padded to, behind its header. [B]"""


@hot
def _carried(rows: Longs, i: int) -> int:
    """Return what tells identifications of packets in tunnels and aggregates from others: they are decoded later."""
    return FRAGMENT_CARRIED if rows[i, Q_LAYER] > 0 else 0


@jit
def _later_fragment(rows: Longs, i: int, fragments: Longs, where: int, pair: int, ident: int, length: int) -> int:
    """Return the ports of the datagram that a later fragment belongs to, -1 where its first fragment was not seen."""
    rows[i, Q_PAYLOAD] = length
    rows[i, Q_DATA] = 0
    rows[i, Q_DATA_END] = 0
    rows[i, Q_MARKS] |= MARK_LATER
    return fragment_ports(fragments, where, pair, int(rows[i, Q_PROTO]), ident)


@hot
def _ipv4(
    b: Bytes, words: Longs, rows: Longs, i: int, cursor: Longs, fragments: Longs, o: int, end: int, room: int
) -> int:
    """Decode an IPv4 packet at ``o`` of which ``room`` bytes were on the wire; return its kind."""
    if o + 20 > end:
        return CUT_IP
    header = (u8(b, o) & 15) * 4
    total = u16(b, o + 2)
    if total == 0:  # left to the network card by an offloading sender
        total = room
    if u8(b, o) >> 4 != 4 or header < 20 or total < header:
        return BAD_IP
    rows[i, Q_IP] = total
    rows[i, Q_PROTO] = b[o + 9]
    src = u32(b, o + 12, 1)
    dst = u32(b, o + 16, 1)
    fragment = u16(b, o + 6)
    ident = u16(b, o + 4) | _carried(rows, i)
    stop = min(end, o + total)
    if o + header <= end and ones_sum(b, words, o, o + header) != 0xFFFF:
        rows[i, Q_MARKS] |= MARK_BAD_IP
        cursor[BAD_IP_SUMS] += 1
    if fragment & 0x1FFF:
        key = pair(src, dst)
        ports = _later_fragment(rows, i, fragments, key, key, ident, total - header)
    else:
        ports = read_transport(b, rows, i, o + header, stop, total - header)
        if fragment & 0x2000:
            key = pair(src, dst)
            remember_fragment(fragments, key, key, int(rows[i, Q_PROTO]), ident, ports)
        elif stop == o + total and stop - o - header >= 8:
            verify(b, words, rows, i, cursor, o + header, stop, o + 12, 8)
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
            ident = u32(b, o + 4, 1) | FRAGMENT_IPV6
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
def _ipv6(b: Bytes, words: Longs, rows: Longs, i: int, t: Tables, o: int, end: int, room: int) -> int:
    """Decode an IPv6 packet at ``o`` of which ``room`` bytes were on the wire; return its kind."""
    if o + 40 > end:
        return CUT_IP
    if u8(b, o) >> 4 != 6:
        return BAD_IP
    total = 40 + u16(b, o + 4)
    rows[i, Q_PROTO] = b[o + 6]
    if total == 40 and room > _PADDED and rows[i, Q_PROTO] != 59:  # a jumbogram (RFC 2675), or left to the network card
        total = room
    rows[i, Q_IP] = total
    src = address_id(b, o + 8, t.cursor, t.addresses, t.address_slots)
    dst = address_id(b, o + 24, t.cursor, t.addresses, t.address_slots)
    stop = min(end, o + total)
    at, offset, ident, cut = _ipv6_headers(b, rows, i, o + 40, stop)
    ident |= _carried(rows, i)
    length = max(0, o + total - at)
    if offset > 0:
        ports = _later_fragment(rows, i, t.fragments, address_word(b, o + 8), pair(src, dst), ident, length)
    elif cut:
        ports = -1
        rows[i, Q_PAYLOAD] = length
        rows[i, Q_DATA] = 0
        rows[i, Q_DATA_END] = 0
    else:
        ports = read_transport(b, rows, i, at, stop, length)
        if offset == 0:
            where = address_word(b, o + 8)
            remember_fragment(t.fragments, where, pair(src, dst), int(rows[i, Q_PROTO]), ident, ports)
        elif at == o + 40 and stop == o + total and stop - at >= 8:  # extension headers may change the addresses
            verify(b, words, rows, i, t.cursor, at, stop, o + 8, 32)
    write_key(rows, i, src, dst, ports, 1)
    return OK


@hot
def network(b: Bytes, words: Longs, t: Tables, rows: Longs, m: int, kind: int, o: int, end: int, room: int) -> int:
    """Decode what has an EtherType and begins at ``o`` into row ``m``.

    Parameters
    ----------
    b, words, t
        The buffer, once as bytes and once as words, and the engine's arrays.
    rows, m
        The batch and a row of it that `begin_row` has begun.
    kind, o
        The EtherType, or a code of `links`, and where what it announces begins. [B]
    end, room
        Where the capture of it ends, and how many bytes of it were on the wire. [B]

    Returns
    -------
    int
        What the packet is: one of the kinds of `layout`.
    """
    if kind == IPV4:
        result = _ipv4(b, words, rows, m, t.cursor, t.fragments, o, end, room)
    elif kind == IPV6:
        result = _ipv6(b, words, rows, m, t, o, end, room)
    elif kind == UNREAD:
        result = UNREAD_LINK
    else:
        result = CUT_LINK if kind == CUT else NOT_IP
    if result == OK and t.options[O_DROP] != 0 and int(rows[m, Q_MARKS]) & (MARK_BAD_IP | MARK_BAD_SUM):
        result = BAD_CHECKSUM
    rows[m, Q_KIND] = result
    return result


@hot
def begin_row(frames: Longs, cursor: Longs, rows: Longs, i: int, m: int, layer: int) -> None:
    """Begin row ``m`` of the batch: a layer of framed packet ``i``."""
    for c in (Q_START, Q_END, Q_WIRE, Q_TIME, Q_LINK):
        rows[m, c] = frames[i, c]
    rows[m, Q_NUMBER] = cursor[NUMBER] + i + 1
    rows[m, Q_LAYER] = layer
    rows[m, Q_MARKS] = 0
    rows[m, Q_FLAGS] = 0
    rows[m, Q_ROLE] = 0


@hot
def may_carry(ports: Bytes, rows: Longs, m: int) -> int:
    """Tell whether row ``m`` may carry another connection, by its protocol and ports alone."""
    proto = int(rows[m, Q_PROTO])
    if proto in (TCP, ICMP) or rows[m, Q_DATA] >= rows[m, Q_DATA_END]:
        return 0
    if proto == UDP:
        key2 = int(rows[m, Q_KEY2])
        use = int(ports[key2 >> KEY_PORT_LOW & 0xFFFF]) | int(ports[key2 >> KEY_PORT_HIGH & 0xFFFF])
        return int(use & PORT_TUNNEL != 0)
    return int(proto in (4, 41, 47, 94, 97, 115, 137))


@hot
def decode_frames(b: Bytes, words: Longs, t: Tables) -> int:
    """Decode all framed packets but aggregates, a row each; return how many of them may carry others."""
    n = int(t.cursor[N_FRAMES])
    carriers = 0
    for i in range(n):
        begin_row(t.frames, t.cursor, t.rows, i, i, 0)
        kind = int(t.frames[i, Q_KIND])
        if kind != OK:
            t.rows[i, Q_KIND] = kind
            carriers += int(kind == AGGREGATED)
            continue
        kind = int(t.frames[i, FR_TYPE])
        at = int(t.frames[i, FR_AT])
        room = int(t.frames[i, Q_WIRE]) - (at - int(t.frames[i, Q_START]))
        result = network(b, words, t, t.rows, i, kind, at, int(t.frames[i, Q_END]), room)
        if result == OK:
            carriers += may_carry(t.ports, t.rows, i)
        elif result == NOT_IP:
            t.ethertypes[kind & 0xFFFF] += 1
    t.cursor[ROWS] = n
    return carriers
