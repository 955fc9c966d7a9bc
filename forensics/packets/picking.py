"""Picking: which packets are handed to Python because names or requests may be in them.

What a direction of a TCP connection holds is told from its first bytes, and from the bytes behind a tunnel's request.
Then only what is wanted of it is handed out: of HTTP the heads of all messages, of TLS the first flight, of SSH the
first line, of SOCKS the dialogue. UDP is picked on the ports of DNS, mDNS and LLMNR, and where it begins as QUIC does.

The state of a direction is one number per flow: what it is in the upper bits, how far it went in the lower ones.

References
----------
.. [1] RFC 8446, section 5.1 (TLS records); RFC 4253, section 4.2 (SSH); RFC 1928 (SOCKS 5).
.. [2] RFC 1035, section 4.2; RFC 6762, section 5; RFC 4795, section 2: ports of DNS, mDNS and LLMNR.
.. [3] RFC 8999, section 5.1, and RFC 9000, section 14.1: long headers and the size of a client's Initial packets.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import jit
from forensics.packets.framing import u8, u16, u32
from forensics.packets.http_framing import AGAIN, FRAMED, follow_http, stream_of
from forensics.packets.layout import (
    BEGINS_HTTP,
    BEGINS_HTTP2,
    BEGINS_SOCKS,
    BEGINS_SSH,
    BEGINS_TLS,
    BIT_HTTP,
    BIT_ORIGIN,
    BIT_SOCKS,
    CONTINUES,
    EARLY,
    F_BITS,
    F_ISN,
    F_PICK,
    P_DATA,
    P_DATA_END,
    P_START,
    PICK_DNS,
    PICK_DNS_STREAM,
    PICK_QUIC,
    PICK_TCP,
    PORT_DNS,
    PORT_HTTP,
    Q_DATA,
    Q_DATA_END,
    Q_KEY2,
    Q_PAYLOAD,
    Q_PROTO,
    Q_SIDE,
    Bytes,
    Tables,
)
from forensics.packets.recognising import (
    HEAD_BYTES,
    begins,
    distance,
    first_seq,
    hand_out,
    looks_like_socks,
    put,
)

__all__ = ["pick_packet", "pick_reject"]

_TCP, _UDP = 6, 17

# States of a direction: nothing seen yet, nothing wanted, or one of these in the bits above 40. `http_framing` has two
# more. Between _IDLE and _MAX_EARLY: nothing seen yet but so many pieces from behind a gap.
_NEW, _IDLE, _MAX_EARLY = 0, -1, -9
_COPY, _SERVER_TLS, _SOCKS, _QUIC = 1, 2, 3, 5
_TAG = 40

_MAX_PIECES = 32
_SSH_LINE = 255
_RECORD_MASK = (1 << 20) - 1
_DIALOGUE_PIECES = 12
_INITIALS = 10
_INITIAL_BYTES = 1200
_QUIC_V2 = 0x6B3343CF


@jit
def pick_reject(t: Tables, i: int, start: int, end: int, kind: int, link: int) -> None:
    """Hand out a packet that belongs to no flow."""
    p = put(t, i, -1, kind)
    t.picks[p, P_DATA] = start
    t.picks[p, P_DATA_END] = end
    t.picks[p, P_START] = link


@jit
def _hello_end(b: Bytes, o: int, end: int) -> int:
    """Return how many bytes a ClientHello that begins here may take, record headers included."""
    record = 5 + u16(b, o + 3)
    if o + 9 > end:
        return min(record, HEAD_BYTES)
    hello = 9 + (u8(b, o + 6) << 16 | u16(b, o + 7))
    return min(hello if hello <= record else hello + 64, HEAD_BYTES)  # one in several records has several headers


@jit
def _ends_line(b: Bytes, o: int, end: int) -> int:
    """Tell whether a line ends between ``o`` and ``end``."""
    for k in range(o, end):
        if b[k] == 10:
            return 1
    return 0


@jit
def _begin_copy(t: Tables, i: int, j: int, kind: int, wanted: int) -> None:
    """Hand out the first piece of a message of ``wanted`` bytes, and want the others."""
    side = int(t.rows[i, Q_SIDE])
    hand_out(t, i, j, PICK_TCP, kind, int(t.rows[i, Q_DATA]), int(t.rows[i, Q_DATA_END]))
    t.flows[j, F_PICK + side] = _IDLE
    if t.rows[i, Q_PAYLOAD] < wanted:
        t.flows[j, F_PICK + side] = _COPY << _TAG | (first_seq(t, i) + wanted & 0xFFFF_FFFF)


@jit
def _copy(t: Tables, i: int, j: int, state: int) -> None:
    """Hand out a piece of a message, in whatever order they come, until the stream has gone beyond its end."""
    side = int(t.rows[i, Q_SIDE])
    if distance(first_seq(t, i), state & 0xFFFF_FFFF) >= 0 or state >> 32 & 255 >= _MAX_PIECES:
        t.flows[j, F_PICK + side] = _IDLE
        return
    t.flows[j, F_PICK + side] = state + (1 << 32)
    hand_out(t, i, j, PICK_TCP, CONTINUES, int(t.rows[i, Q_DATA]), int(t.rows[i, Q_DATA_END]))


@jit
def _server_tls(b: Bytes, t: Tables, i: int, j: int, kind: int, state: int) -> None:
    """Hand out what a TLS server says in the clear: records of handshake, up to the first of another type."""
    side = int(t.rows[i, Q_SIDE])
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    left = state & _RECORD_MASK
    pieces = state >> 20 & 255
    at = o
    over = int(end - o < t.rows[i, Q_PAYLOAD] or pieces >= _MAX_PIECES)
    while at < end:
        if left >= end - at:
            left -= end - at
            break
        at += left
        if at + 5 > end:  # a header in two segments: more is handed out than is needed
            left = _RECORD_MASK
            break
        if u8(b, at) != 22:
            end = at
            over = 1
            break
        left = 5 + u16(b, at + 3)
    t.flows[j, F_PICK + side] = _IDLE if over else _SERVER_TLS << _TAG | (pieces + 1) << 20 | left
    if end > o:
        hand_out(t, i, j, PICK_TCP, kind, o, end)


@jit
def _begin(b: Bytes, t: Tables, i: int, j: int, kind: int) -> None:
    """Begin to follow a message of a known kind."""
    f = t.flows
    side = int(t.rows[i, Q_SIDE])
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    if kind == BEGINS_HTTP:
        f[j, F_BITS] |= BIT_HTTP
        f[j, F_PICK + side] = FRAMED << _TAG | stream_of(t, j)
        follow_http(b, t, i, j)
    elif kind == BEGINS_TLS:
        if u8(b, o + 5) == 1:
            _begin_copy(t, i, j, kind, _hello_end(b, o, end))
        else:
            _server_tls(b, t, i, j, kind, 0)
    elif kind == BEGINS_SSH:
        _begin_copy(t, i, j, kind, 0 if _ends_line(b, o, end) else _SSH_LINE)
    elif kind == BEGINS_HTTP2:
        _begin_copy(t, i, j, kind, 0)
        f[j, F_PICK + 1 - side] = _IDLE


@jit
def _first(b: Bytes, t: Tables, i: int, j: int, state: int) -> None:
    """Look at the first payload of a direction, or at what came from behind a gap before it."""
    side = int(t.rows[i, Q_SIDE])
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    kind = begins(b, o, end)
    if kind != CONTINUES:
        _begin(b, t, i, j, kind)
        return
    isn = int(t.flows[j, F_ISN + side])
    ahead = distance(first_seq(t, i), isn & 0xFFFF_FFFF) if isn else 0
    if 0 < ahead < HEAD_BYTES and state > _MAX_EARLY:
        t.flows[j, F_PICK + side] = min(state, _IDLE) - 1
        hand_out(t, i, j, PICK_TCP, EARLY, o, end)
        return
    t.flows[j, F_PICK + side] = _IDLE
    if int(t.flows[j, F_BITS]) & BIT_ORIGIN == side and looks_like_socks(b, o, end):
        t.flows[j, F_BITS] |= BIT_SOCKS
        t.flows[j, F_PICK] = _SOCKS << _TAG
        t.flows[j, F_PICK + 1] = _SOCKS << _TAG
        hand_out(t, i, j, PICK_TCP, BEGINS_SOCKS, o, end)


@jit
def _again(b: Bytes, t: Tables, i: int, j: int) -> None:
    """Look for the beginning of a message in a direction of which nothing else is wanted."""
    kind = begins(b, int(t.rows[i, Q_DATA]), int(t.rows[i, Q_DATA_END]))
    if kind != CONTINUES:
        _begin(b, t, i, j, kind)


@jit
def _dialogue(b: Bytes, t: Tables, i: int, j: int, state: int) -> None:
    """Hand out the dialogue of a SOCKS connection until what it carries begins, or it is too long for one."""
    side = int(t.rows[i, Q_SIDE])
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    kind = begins(b, o, end)
    if kind != CONTINUES:
        _begin(b, t, i, j, kind)
        return
    t.flows[j, F_PICK + side] = state + 1 if state & 255 < _DIALOGUE_PIECES else _IDLE
    hand_out(t, i, j, PICK_TCP, CONTINUES, o, end)


@jit
def _pick_segment(b: Bytes, t: Tables, i: int, j: int, use: int) -> None:
    """Decide on a TCP segment."""
    state = int(t.flows[j, F_PICK + int(t.rows[i, Q_SIDE])])
    tag = state >> _TAG
    if use & PORT_DNS:
        hand_out(t, i, j, PICK_DNS_STREAM, CONTINUES, int(t.rows[i, Q_DATA]), int(t.rows[i, Q_DATA_END]))
    elif state == _IDLE:
        if use & PORT_HTTP or t.flows[j, F_BITS] & BIT_HTTP:
            _again(b, t, i, j)
    elif tag <= 0:
        _first(b, t, i, j, state)
    elif tag == FRAMED:
        if follow_http(b, t, i, j):
            _again(b, t, i, j)
    elif tag == _COPY:
        _copy(t, i, j, state)
    elif tag == _SERVER_TLS:
        _server_tls(b, t, i, j, CONTINUES, state)
    elif tag == _SOCKS:
        _dialogue(b, t, i, j, state)
    elif tag == AGAIN:
        t.flows[j, F_PICK + int(t.rows[i, Q_SIDE])] = _IDLE
        _again(b, t, i, j)


@jit
def _is_initial(b: Bytes, o: int, end: int) -> int:
    """Tell whether a datagram begins with an Initial packet of QUIC; -1 where it is of QUIC, but not an Initial."""
    if o + 7 > end or u8(b, o) & 0xC0 != 0xC0:
        return 0
    version = u32(b, o + 1, 1)
    kind = u8(b, o) >> 4 & 3
    if version == _QUIC_V2:
        return 1 if kind == 1 else -1
    if version == 1 or version >> 8 == 0xFF0000 or version >> 8 == 0xFACEB0:
        return 1 if kind == 0 else -1
    return 0


@jit
def _pick_quic(b: Bytes, t: Tables, i: int, j: int) -> None:
    """Hand out a client's first Initial packets; the first datagram that is none of QUIC ends it."""
    side = int(t.rows[i, Q_SIDE])
    state = int(t.flows[j, F_PICK + side])
    if state == _IDLE:
        return
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    found = _is_initial(b, o, end)
    if found == 0 or int(t.flows[j, F_BITS]) & BIT_ORIGIN != side or state & 255 >= _INITIALS:
        t.flows[j, F_PICK + side] = _IDLE
    elif found > 0 and t.rows[i, Q_PAYLOAD] >= _INITIAL_BYTES:
        t.flows[j, F_PICK + side] = _QUIC << _TAG | (state & 255) + 1
        hand_out(t, i, j, PICK_QUIC, CONTINUES, o, end)


@jit
def pick_packet(b: Bytes, t: Tables, i: int, j: int) -> None:
    """Hand out packet ``i`` of flow ``j``, or parts of it, where names may be in it."""
    key2 = int(t.rows[i, Q_KEY2])
    use = int(t.ports[key2 >> 32 & 0xFFFF]) | int(t.ports[key2 >> 16 & 0xFFFF])
    proto = int(t.rows[i, Q_PROTO])
    if proto == _TCP:
        _pick_segment(b, t, i, j, use)
    elif proto == _UDP:
        if use & PORT_DNS:
            hand_out(t, i, j, PICK_DNS, CONTINUES, int(t.rows[i, Q_DATA]), int(t.rows[i, Q_DATA_END]))
        else:
            _pick_quic(b, t, i, j)
