"""Picking: which packets are handed to Python because names or requests may be in them.

A TCP segment is picked where a message begins (an HTTP request or reply, a TLS ClientHello) and then on until the
message's head is whole. Messages are looked for in the first payload of each direction, and later on connections that
have spoken HTTP before or use one of its ports. UDP is picked on the ports of DNS and mDNS.

References
----------
.. [1] RFC 9112, section 2.1: HTTP/1 messages. RFC 8446, sections 4.1.2 and 5.1: ClientHello, TLS records.
.. [2] RFC 1035, section 4.2.1; RFC 6762, section 5: ports of DNS and mDNS.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import hot, jit
from forensics.packets.framing import u16, u32
from forensics.packets.layout import (
    BEGINS_HTTP,
    BEGINS_TLS,
    BIT_HTTP,
    CONTINUES,
    F_BITS,
    F_HIGH,
    F_PICK,
    F_SERIAL,
    N_PICKS,
    P_BITS,
    P_DATA,
    P_DATA_END,
    P_KEY1,
    P_KEY2,
    P_KIND,
    P_LENGTH,
    P_NUMBER,
    P_SEQ,
    P_SERIAL,
    P_SIDE,
    P_START,
    P_TIME,
    PICK_DNS,
    PICK_TCP,
    PORT_DNS,
    PORT_HTTP,
    Q_DATA,
    Q_DATA_END,
    Q_KEY1,
    Q_KEY2,
    Q_NUMBER,
    Q_PAYLOAD,
    Q_PROTO,
    Q_SEQ,
    Q_SIDE,
    Q_TIME,
    Bytes,
    Tables,
)

__all__ = ["HEAD_BYTES", "pick_packet", "pick_reject"]

HEAD_BYTES = 16 * 1024
"""How much of the head of a message is followed. [B]"""

_TCP, _UDP = 6, 17
_IDLE = -1  # F_PICK: nothing is being followed; 0: no payload yet; above: bytes still wanted
_UNTIL_BLANK = 1 << 20  # added to the bytes wanted: an empty line ends the head


def _tokens(*words: bytes) -> tuple[int, ...]:
    """Return the first four bytes of each word as a number."""
    return tuple(int.from_bytes(word[:4], "big") for word in words)


_STARTS = _tokens(
    b"GET ", b"POST", b"HTTP", b"HEAD", b"PUT ", b"CONN", b"OPTI", b"DELE", b"PATC", b"TRAC", b"PROP", b"SEAR",
    b"MKCO", b"LOCK", b"UNLO", b"MOVE", b"COPY", b"REPO", b"BITS", b"RPC_",
)  # fmt: skip


@jit
def _begins(b: Bytes, o: int, end: int) -> int:
    """Tell which kind of message begins at ``o``, if one does."""
    if o + 6 > end:
        return CONTINUES
    word = u32(b, o, 1)
    if word >> 16 == 0x1603:
        return BEGINS_TLS if b[o + 5] == 1 else CONTINUES
    return BEGINS_HTTP if word in _STARTS else CONTINUES


@jit
def _has_blank_line(b: Bytes, o: int, end: int) -> int:
    """Tell whether the head of an HTTP message ends between ``o`` and ``end``."""
    for k in range(o, end - 1):
        if b[k] == 10 and (b[k + 1] == 10 or (k + 2 < end and b[k + 1] == 13 and b[k + 2] == 10)):
            return 1
    return 0


@jit
def _wanted(b: Bytes, o: int, kind: int) -> int:
    """Return how many bytes of a message that begins here are wanted, this segment included."""
    if kind == BEGINS_HTTP:
        return _UNTIL_BLANK | HEAD_BYTES
    return min(HEAD_BYTES, 5 + u16(b, o + 3))


@jit
def _follow(b: Bytes, o: int, end: int, wanted: int) -> int:
    """Return what is still wanted of a message after the segment from ``o`` to ``end``."""
    left = (wanted & (_UNTIL_BLANK - 1)) - (end - o)
    if left <= 0:
        return _IDLE
    if wanted & _UNTIL_BLANK:
        return _IDLE if _has_blank_line(b, o, end) else left | _UNTIL_BLANK
    return left


@jit
def _put(t: Tables, i: int, k: int, kind: int) -> int:
    """Write what every pick has; return its row."""
    p = int(t.cursor[N_PICKS])
    t.cursor[N_PICKS] = p + 1
    t.picks[p, P_NUMBER] = t.rows[i, Q_NUMBER]
    t.picks[p, P_TIME] = t.rows[i, Q_TIME]
    t.picks[p, P_KIND] = kind
    t.picks[p, P_SERIAL] = k
    return p


@jit
def pick_reject(t: Tables, i: int, start: int, end: int, kind: int, link: int) -> None:
    """Hand out a packet that belongs to no flow."""
    p = _put(t, i, -1, kind)
    t.picks[p, P_DATA] = start
    t.picks[p, P_DATA_END] = end
    t.picks[p, P_START] = link


@jit
def _pick_segment(b: Bytes, t: Tables, i: int, j: int, http_port: int) -> int:
    """Decide on a TCP segment; return how it begins, or -1 where nobody wants it."""
    side = int(t.rows[i, Q_SIDE])
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    wanted = int(t.flows[j, F_PICK + F_HIGH * side])
    kind = CONTINUES
    if wanted >= 0 or http_port or t.flows[j, F_BITS] & BIT_HTTP:
        kind = _begins(b, o, end)
    if kind != CONTINUES:
        wanted = _wanted(b, o, kind)
        if kind == BEGINS_HTTP:
            t.flows[j, F_BITS] |= BIT_HTTP
    if wanted <= 0:
        t.flows[j, F_PICK + F_HIGH * side] = _IDLE
        return -1
    t.flows[j, F_PICK + F_HIGH * side] = _follow(b, o, end, wanted)
    return kind


@hot
def pick_packet(b: Bytes, t: Tables, i: int, j: int) -> None:
    """Hand out packet ``i`` of flow ``j`` where names may be in it."""
    key2 = int(t.rows[i, Q_KEY2])
    use = int(t.ports[key2 >> 32 & 0xFFFF]) | int(t.ports[key2 >> 16 & 0xFFFF])
    proto = int(t.rows[i, Q_PROTO])
    kind = PICK_TCP
    begins = CONTINUES
    if proto == _TCP:
        begins = _pick_segment(b, t, i, j, use & PORT_HTTP)
    elif proto == _UDP and use & PORT_DNS:
        kind = PICK_DNS
    else:
        begins = -1
    if begins < 0:
        return
    p = _put(t, i, int(t.flows[j, F_SERIAL]), kind)
    t.picks[p, P_START] = begins
    t.picks[p, P_SIDE] = t.rows[i, Q_SIDE]
    t.picks[p, P_BITS] = t.flows[j, F_BITS]
    t.picks[p, P_SEQ] = t.rows[i, Q_SEQ]
    t.picks[p, P_DATA] = t.rows[i, Q_DATA]
    t.picks[p, P_DATA_END] = t.rows[i, Q_DATA_END]
    t.picks[p, P_LENGTH] = t.rows[i, Q_PAYLOAD]
    t.picks[p, P_KEY1] = t.rows[i, Q_KEY1]
    t.picks[p, P_KEY2] = key2
