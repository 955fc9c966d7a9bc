"""Picking: which packets are handed to Python because names or requests may be in them.

What a direction of a TCP connection holds is told from its first bytes, and from the bytes behind a tunnel's request.
Then only what is wanted of it is handed out: of HTTP the heads of all messages, of TLS the first flight, of SSH the
first line, of SOCKS the dialogue. In what is none of these the first segments are still looked at for TLS, which mail,
directory and desktop servers begin after a few lines. UDP is picked on the ports of DNS, mDNS and LLMNR, on those of
NetFlow where it begins as that does, and where it begins as QUIC does.

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
from forensics.packets.http_framing import AGAIN, FRAMED, follow_http, owns_stream, stream_of
from forensics.packets.layout import (
    BEGINS_HTTP,
    BEGINS_HTTP2,
    BEGINS_SOCKS,
    BEGINS_SSH,
    BEGINS_TLS,
    BIT_DNS,
    BIT_HTTP,
    BIT_ORIGIN,
    BIT_SOCKS,
    BIT_TLS,
    CONTINUES,
    CUT_HELLOS,
    EARLY,
    F_BITS,
    F_HIGH,
    F_PICK,
    N_PICKS,
    P_DATA,
    P_DATA_END,
    P_KIND,
    P_NUMBER,
    P_SERIAL,
    P_START,
    P_TIME,
    PICK_DNS,
    PICK_DNS_STREAM,
    PICK_EXPORT,
    PICK_QUIC,
    PORT_DNS,
    PORT_EXPORT,
    PORT_HTTP,
    Q_DATA,
    Q_DATA_END,
    Q_END,
    Q_KEY2,
    Q_NUMBER,
    Q_PAYLOAD,
    Q_PROTO,
    Q_SIDE,
    Q_START,
    Q_TIME,
    TCP,
    UDP,
    Bytes,
    Longs,
    Tables,
)
from forensics.packets.recognising import HEAD_BYTES, Picking, begins, distance, first_seq, hand_out, looks_like_socks
from forensics.packets.sequences import initial_sequence

__all__ = ["pick_packet", "pick_reject"]

# States of a direction: nothing seen yet, nothing wanted, or one of these in the bits above 40. `http_framing` has two
# more. Between _IDLE and _MAX_EARLY: nothing seen yet but so many pieces from behind a gap.
_NEW, _IDLE, _MAX_EARLY = 0, -1, -9
_COPY, _SERVER_TLS, _SOCKS, _QUIC, _WATCH = 1, 2, 3, 5, 7
_TAG = 40

_MAX_PIECES = 32
_SSH_LINE = 255
_RECORD_MASK = (1 << 20) - 1
_DIALOGUE_PIECES = 12
_WATCHED_PIECES = 24
_INITIALS = 10
_INITIAL_BYTES = 1200
_MAX_QUESTIONS = 16
_TELLING_BYTES = 96
"""Bytes of a ClientHello below which it names nothing: version, random, session and ciphers fill them. [B]"""
_QUIC_V2 = 0x6B3343CF


@jit
def pick_reject(r: Longs, picks: Longs, cursor: Longs, i: int, kind: int, link: int) -> None:
    """Hand out a packet that belongs to no flow."""
    p = int(cursor[N_PICKS])
    cursor[N_PICKS] = p + 1
    picks[p, P_NUMBER] = r[i, Q_NUMBER]
    picks[p, P_TIME] = r[i, Q_TIME]
    picks[p, P_KIND] = kind
    picks[p, P_SERIAL] = -1
    picks[p, P_DATA] = r[i, Q_START]
    picks[p, P_DATA_END] = r[i, Q_END]
    picks[p, P_START] = link


@jit
def _wanted(b: Bytes, o: int, end: int, kind: int) -> int:
    """Return how many bytes of a message that begins here may be wanted."""
    if kind == BEGINS_SSH:
        for k in range(o, end):
            if b[k] == 10:
                return 0
        return _SSH_LINE
    if kind == BEGINS_HTTP2:
        return 0
    record = 5 + u16(b, o + 3)
    if o + 9 > end:
        return min(record, HEAD_BYTES)
    hello = 9 + (u8(b, o + 6) << 16 | u16(b, o + 7))
    return min(hello if hello <= record else hello + 64, HEAD_BYTES)  # one in several records has several headers


@jit
def _server_tls(b: Bytes, o: int, end: int, state: int) -> tuple[int, int]:
    """Go through what a TLS server says in the clear: records of handshake, up to the first of another type.

    Returns
    -------
    tuple
        Where the bytes to hand out end, and the next state of the direction.
    """
    left = state & _RECORD_MASK
    pieces = state >> 20 & 255
    at = o
    while at < end:
        if left >= end - at:
            left -= end - at
            break
        at += left
        if at + 5 > end:  # a header in two segments: more is handed out than is needed
            left = _RECORD_MASK
            break
        if u8(b, at) != 22:
            return at, _IDLE
        left = 5 + u16(b, at + 3)
    return end, (_IDLE if pieces >= _MAX_PIECES else _SERVER_TLS << _TAG | (pieces + 1) << 20 | left)


@jit
def _only_hello(b: Bytes, o: int, end: int) -> int:
    """Tell whether a TLS server says nothing in the clear but its hello, as TLS 1.3 does: no name is in that."""
    record = u16(b, o + 3)
    return int(end == o + 5 + record and record == 4 + (u8(b, o + 6) << 16 | u16(b, o + 7)))


@jit
def _begin(b: Bytes, t: Picking, i: int, j: int, kind: int) -> None:
    """Begin to follow a message of a known kind, other than HTTP."""
    side = int(t.rows[i, Q_SIDE])
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    cut = int(t.rows[i, Q_PAYLOAD] > end - o)
    state = _IDLE
    if kind == BEGINS_TLS:
        t.flows[j, F_BITS] |= BIT_TLS
        if cut and (u8(b, o + 5) == 2 or end - o < _TELLING_BYTES):
            t.cursor[CUT_HELLOS] += u8(b, o + 5) == 1
            t.flows[j, F_PICK + F_HIGH * side] = _IDLE
            return
    if kind == BEGINS_TLS and u8(b, o + 5) == 2:
        end, state = _server_tls(b, o, end, 0)
        if state == _IDLE and _only_hello(b, o, end):
            t.flows[j, F_PICK + F_HIGH * side] = _IDLE
            return
    else:
        wanted = _wanted(b, o, end, kind)
        if t.rows[i, Q_PAYLOAD] < wanted and not cut:
            state = _COPY << _TAG | (first_seq(t.rows, i) + wanted & 0xFFFF_FFFF)
    if kind == BEGINS_HTTP2:
        t.flows[j, F_PICK + F_HIGH * (1 - side)] = _IDLE
    t.flows[j, F_PICK + F_HIGH * side] = state
    t.picks[hand_out(t, i, j, o, end), P_START] = kind


@jit
def _first(b: Bytes, t: Picking, i: int, j: int, state: int) -> int:
    """Look at the first payload of a direction that is none of what is known; return what it is handed out as, or -1.

    It may have come from behind a gap before it, or be the beginning of SOCKS.
    """
    side = int(t.rows[i, Q_SIDE])
    o = int(t.rows[i, Q_DATA])
    isn = initial_sequence(t.flows, j, side)
    ahead = distance(first_seq(t.rows, i), isn & 0xFFFF_FFFF) if isn else 0
    if 0 < ahead < HEAD_BYTES and state > _MAX_EARLY:
        t.flows[j, F_PICK + F_HIGH * side] = min(state, _IDLE) - 1
        return EARLY
    t.flows[j, F_PICK + F_HIGH * side] = _WATCH << _TAG
    if int(t.flows[j, F_BITS]) & BIT_ORIGIN == side and looks_like_socks(b, o, int(t.rows[i, Q_DATA_END])):
        t.flows[j, F_BITS] |= BIT_SOCKS
        t.flows[j, F_PICK] = _SOCKS << _TAG
        t.flows[j, F_PICK + F_HIGH] = _SOCKS << _TAG
        return BEGINS_SOCKS
    return -1


@jit
def _go_on(b: Bytes, t: Picking, i: int, j: int, state: int) -> None:
    """Decide on a segment in which no message begins."""
    side = int(t.rows[i, Q_SIDE])
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    tag = state >> _TAG
    begin = CONTINUES
    following = _IDLE
    if tag <= 0:
        begin = _first(b, t, i, j, state)
        following = int(t.flows[j, F_PICK + F_HIGH * side])
    elif tag == _COPY:  # in whatever order the pieces come, until the stream has gone beyond the message's end
        begin = -1
        if distance(first_seq(t.rows, i), state & 0xFFFF_FFFF) < 0 and state >> 32 & 255 < _MAX_PIECES:
            begin = CONTINUES
            following = state + (1 << 32)
    elif tag == _SERVER_TLS:
        begin = -1
        if t.rows[i, Q_PAYLOAD] <= end - o:  # what the capture length has cut is never whole
            begin = CONTINUES
            end, following = _server_tls(b, o, end, state)
    elif tag == _SOCKS:
        following = state + 1 if state & 255 < _DIALOGUE_PIECES else _IDLE
    else:
        begin = -1
        following = state + 1 if tag == _WATCH and state & 255 < _WATCHED_PIECES else _IDLE
    t.flows[j, F_PICK + F_HIGH * side] = following
    if begin >= 0 and end > o:
        t.picks[hand_out(t, i, j, o, end), P_START] = begin


@jit
def _pick_segment(b: Bytes, t: Picking, i: int, j: int, use: int) -> None:
    """Decide on a TCP segment."""
    f = t.flows
    side = int(t.rows[i, Q_SIDE])
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    state = int(f[j, F_PICK + F_HIGH * side])
    kind = CONTINUES
    if state == _IDLE and not use & PORT_HTTP and not f[j, F_BITS] & BIT_HTTP:
        return
    tag = state >> _TAG
    if tag == FRAMED and not owns_stream(t, j, state):
        tag = AGAIN
    if tag not in (FRAMED, _COPY, _SERVER_TLS):
        kind = begins(b, o, end)
        if tag == _WATCH and kind != BEGINS_TLS and not use & PORT_HTTP and not f[j, F_BITS] & BIT_HTTP:
            kind = CONTINUES
        if kind == BEGINS_HTTP:
            f[j, F_BITS] |= BIT_HTTP
            f[j, F_PICK + F_HIGH * side] = FRAMED << _TAG | stream_of(t, j)
            tag = FRAMED
    if tag == FRAMED:
        if not follow_http(b, t, i, j):
            return
        kind = begins(b, o, end)
        state = FRAMED << _TAG
    if kind not in (CONTINUES, BEGINS_HTTP):
        _begin(b, t, i, j, kind)
    elif state != _IDLE and tag != FRAMED:
        _go_on(b, t, i, j, state)


@jit
def _pick_dns(b: Bytes, t: Picking, i: int, j: int) -> None:
    """Hand out a datagram of DNS that is not a mere question, which tells no name of any address."""
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    asks = o + 12 <= end and u8(b, o + 2) & 0x80 == 0 and 0 < u16(b, o + 4) < _MAX_QUESTIONS and u16(b, o + 6) == 0
    if asks or (o + 12 <= end and u8(b, o + 2) & 0x80):
        t.flows[j, F_BITS] |= BIT_DNS
    if not asks:
        t.picks[hand_out(t, i, j, o, end), P_KIND] = PICK_DNS


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
def _pick_quic(b: Bytes, t: Picking, i: int, j: int) -> None:
    """Hand out a client's first Initial packets; the first datagram that is none of QUIC ends it."""
    side = int(t.rows[i, Q_SIDE])
    state = int(t.flows[j, F_PICK + F_HIGH * side])
    if state == _IDLE:
        return
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    found = _is_initial(b, o, end)
    if found == 0 or int(t.flows[j, F_BITS]) & BIT_ORIGIN != side or state & 255 >= _INITIALS:
        t.flows[j, F_PICK + F_HIGH * side] = _IDLE
    elif found > 0 and t.rows[i, Q_PAYLOAD] >= _INITIAL_BYTES:
        t.flows[j, F_PICK + F_HIGH * side] = _QUIC << _TAG | (state & 255) + 1
        t.picks[hand_out(t, i, j, o, end), P_KIND] = PICK_QUIC


@jit
def _pick_export(b: Bytes, t: Picking, i: int, j: int) -> None:
    """Hand out a whole datagram that begins as NetFlow v5, v9 or IPFIX does."""
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    if o + 20 <= end and t.rows[i, Q_PAYLOAD] == end - o and u16(b, o) in (5, 9, 10):
        t.picks[hand_out(t, i, j, o, end), P_KIND] = PICK_EXPORT


@jit
def pick_packet(b: Bytes, t: Tables, i: int, j: int) -> None:
    """Hand out packet ``i`` of flow ``j``, or parts of it, where names may be in it."""
    key2 = int(t.rows[i, Q_KEY2])
    use = int(t.ports[key2 >> 32 & 0xFFFF]) | int(t.ports[key2 >> 16 & 0xFFFF])
    proto = int(t.rows[i, Q_PROTO])
    p = Picking(t.cursor, t.rows, t.flows, t.picks, t.streams)
    if proto == UDP and use & PORT_DNS:
        _pick_dns(b, p, i, j)
    elif proto == TCP and use & PORT_DNS:
        k = hand_out(p, i, j, int(t.rows[i, Q_DATA]), int(t.rows[i, Q_DATA_END]))
        t.picks[k, P_KIND] = PICK_DNS_STREAM
    elif proto == TCP:
        _pick_segment(b, p, i, j, use)
    elif proto == UDP:
        if use & PORT_EXPORT:
            _pick_export(b, p, i, j)
        _pick_quic(b, p, i, j)
