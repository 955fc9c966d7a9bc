"""Transport: the ports, lengths and checksum of what an IP packet brings, and the key of the flow that it belongs to.

References
----------
.. [1] RFC 9293, section 3.1 (TCP); RFC 768 (UDP); RFC 9260, section 3 (SCTP); RFC 792, RFC 4443 (ICMP).
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from typing import TypeVar

from forensics.packets._jit import hot, jit
from forensics.packets.checksums import is_sum_right
from forensics.packets.framing import u8, u16, u32
from forensics.packets.layout import (
    BAD_SUMS,
    CHECKED,
    ICMP,
    ICMP6,
    KEY_FROM_HIGH,
    KEY_INNER,
    KEY_IPV6,
    KEY_ONE_WAY,
    KEY_PORTLESS,
    LAYER_MASK,
    MARK_BAD_SUM,
    Q_ACK,
    Q_DATA,
    Q_DATA_END,
    Q_FLAGS,
    Q_KEY1,
    Q_KEY2,
    Q_LAYER,
    Q_MARKS,
    Q_PAYLOAD,
    Q_PROTO,
    Q_ROLE,
    Q_SEQ,
    Q_SIDE,
    Q_WINDOW,
    SCTP,
    TCP,
    UDP,
    Bytes,
    Longs,
)

__all__ = ["pair", "read_transport", "unpair", "verify", "write_key"]

_Numbers = TypeVar("_Numbers", int, Longs)


@hot
def pair(first: int, second: int) -> int:
    """Put two numbers of 32 bits into one signed word."""
    return (first - (1 << 31)) << 32 | second


def unpair(key1: _Numbers) -> tuple[_Numbers, _Numbers]:
    """Return the two numbers that `pair` put together, of one word or of an array; loops compile it for themselves."""
    return (key1 >> 32) + (1 << 31), key1 & 0xFFFF_FFFF


@hot
def _finish(rows: Longs, i: int, src: int, dst: int, sport: int, dport: int, flags: int) -> None:
    """Write the key of a flow with two ends, the lower one first, and which end sent this packet."""
    side = int(src > dst or (src == dst and sport > dport))
    if side:
        src, dst, sport, dport = dst, src, dport, sport
    key1 = pair(src, dst)
    if int(rows[i, Q_LAYER]) & LAYER_MASK:
        flags |= KEY_INNER
    key2 = sport << 32 | dport << 16 | flags | int(rows[i, Q_PROTO])
    rows[i, Q_SIDE] = side
    rows[i, Q_KEY1] = key1
    rows[i, Q_KEY2] = key2


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
    flags = (KEY_IPV6 if version6 else 0) | (KEY_INNER if int(rows[i, Q_LAYER]) & LAYER_MASK else 0)
    if side != reply:  # the high end asks: another conversation than where the low end does, as with Zeek
        flags |= KEY_FROM_HIGH
    if request < 0:
        flags |= KEY_ONE_WAY
        request = kind
    rows[i, Q_SIDE] = side
    rows[i, Q_ROLE] = reply
    low, high = (dst, src) if src > dst else (src, dst)
    key1 = pair(low, high)
    key2 = request << 32 | code << 16 | flags | int(rows[i, Q_PROTO])
    rows[i, Q_KEY1] = key1
    rows[i, Q_KEY2] = key2


@hot
def _tcp(b: Bytes, rows: Longs, i: int, o: int, end: int, length: int) -> None:
    """Read what flow assembly needs of a TCP header, as far as it was captured."""
    header = 20
    if o + 14 <= end and length >= 14:
        header = max(20, (u8(b, o + 12) >> 4) * 4)
        rows[i, Q_FLAGS] = u8(b, o + 13)
        rows[i, Q_SEQ] = u32(b, o + 4, 1)
        rows[i, Q_ACK] = u32(b, o + 8, 1)
        rows[i, Q_WINDOW] = u16(b, o + 14) if o + 16 <= end else 1
    rows[i, Q_PAYLOAD] = max(0, length - header)
    rows[i, Q_DATA] = min(end, o + header)


@hot
def read_transport(b: Bytes, rows: Longs, i: int, o: int, end: int, length: int) -> int:
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


@hot
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


@hot
def verify(
    b: Bytes, words: Longs, rows: Longs, i: int, cursor: Longs, o: int, stop: int, addresses: int, width: int
) -> None:
    """Verify the checksum of a whole transport header and payload from ``o`` to ``stop``, and count what is found."""
    proto = int(rows[i, Q_PROTO])
    end = stop
    if proto == UDP:
        end = int(rows[i, Q_DATA_END])
        if u16(b, o + 6) == 0 and width == 8:  # none was sent; IPv6 does not allow that
            return
    elif proto not in (TCP, ICMP, ICMP6):
        return
    cursor[CHECKED] += 1
    if not is_sum_right(b, words, o, end, addresses, 0 if proto == ICMP else width, proto):
        rows[i, Q_MARKS] |= MARK_BAD_SUM
        cursor[BAD_SUMS] += 1
