"""How messages of application protocols begin, and how a part of a packet is handed to Python.

References
----------
.. [1] RFC 9112, section 2.1 (HTTP/1 messages); RFC 9113, section 3.4 (HTTP/2 preface).
.. [2] RFC 8446, sections 4 and 5.1 (ClientHello, ServerHello, records); RFC 4253, section 4.2 (SSH identification).
.. [3] RFC 1928, section 3 (SOCKS 5); Y. Lee, *SOCKS: A protocol for TCP proxy across firewalls* (SOCKS 4, 4a).
"""

from __future__ import annotations

from typing import NamedTuple

from forensics.packets._jit import jit
from forensics.packets.framing import u8, u32
from forensics.packets.layout import (
    BEGINS_HTTP,
    BEGINS_HTTP2,
    BEGINS_SSH,
    BEGINS_TLS,
    CONTINUES,
    F_BITS,
    F_SERIAL,
    N_PICKS,
    P_BITS,
    P_BODY,
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
    PICK_TCP,
    Q_DATA,
    Q_FLAGS,
    Q_KEY1,
    Q_KEY2,
    Q_NUMBER,
    Q_SEQ,
    Q_SIDE,
    Q_TIME,
    SYN,
    Bytes,
    Longs,
)

__all__ = ["HEAD_BYTES", "Picking", "begins", "distance", "first_seq", "hand_out", "looks_like_socks"]

HEAD_BYTES = 16 * 1024
"""How much of the head of a message is followed. [B]"""


def _tokens(*words: bytes) -> tuple[int, ...]:
    """Return the first four bytes of each word as a number."""
    return tuple(int.from_bytes(word[:4], "big") for word in words)


_STARTS = _tokens(
    b"GET ", b"POST", b"HTTP", b"HEAD", b"PUT ", b"CONN", b"OPTI", b"DELE", b"PATC", b"TRAC", b"PROP", b"SEAR",
    b"MKCO", b"LOCK", b"UNLO", b"MOVE", b"COPY", b"REPO", b"BITS", b"RPC_",
)  # fmt: skip
_PREFACE, _SSH = _tokens(b"PRI ", b"SSH-")


@jit
def begins(b: Bytes, o: int, end: int) -> int:
    """Tell which kind of message begins at ``o``, if one does."""
    if o + 6 > end:
        return CONTINUES
    word = u32(b, o, 1)
    if word >> 16 == 0x1603:
        return BEGINS_TLS if u8(b, o + 5) in (1, 2) else CONTINUES
    if word in _STARTS:
        return BEGINS_HTTP
    if word == _SSH:
        return BEGINS_SSH
    return BEGINS_HTTP2 if word == _PREFACE else CONTINUES


@jit
def looks_like_socks(b: Bytes, o: int, end: int) -> int:
    """Tell whether a client's first bytes are those of SOCKS 5, or a request of SOCKS 4."""
    if o + 3 > end:
        return 0
    if u8(b, o) == 5:
        return int(u8(b, o + 1) > 0 and o + 2 + u8(b, o + 1) == end)
    return int(u8(b, o) == 4 and u8(b, o + 1) in (1, 2) and o + 9 <= end and u8(b, end - 1) == 0)


@jit
def distance(seq: int, mark: int) -> int:
    """Return how far a sequence number lies behind a mark, negative before it (RFC 9293, section 3.4)."""
    ahead = seq - mark & 0xFFFF_FFFF
    return ahead - (ahead >> 31 << 32)


@jit
def first_seq(rows: Longs, i: int) -> int:
    """Return the sequence number of a segment's first byte of payload."""
    return int(rows[i, Q_SEQ]) + int(int(rows[i, Q_FLAGS]) & SYN != 0) & 0xFFFF_FFFF


class Picking(NamedTuple):
    """The arrays of `layout.Tables` that picking needs; each more would be carried through every call."""

    cursor: Longs
    rows: Longs
    flows: Longs
    picks: Longs
    streams: Longs


@jit
def hand_out(t: Picking, i: int, j: int, start: int, end: int) -> int:
    """Hand the bytes from ``start`` to ``end`` of packet ``i`` of flow ``j`` to Python; return the row of the pick.

    It goes as a part of a TCP stream that goes on; a caller to whom it is something else writes that into the row.
    """
    p = int(t.cursor[N_PICKS])
    t.cursor[N_PICKS] = p + 1
    t.picks[p, P_NUMBER] = t.rows[i, Q_NUMBER]
    t.picks[p, P_TIME] = t.rows[i, Q_TIME]
    t.picks[p, P_KIND] = PICK_TCP
    t.picks[p, P_SERIAL] = t.flows[j, F_SERIAL]
    t.picks[p, P_BODY] = -1
    t.picks[p, P_START] = CONTINUES
    t.picks[p, P_SIDE] = t.rows[i, Q_SIDE]
    t.picks[p, P_BITS] = t.flows[j, F_BITS]
    t.picks[p, P_SEQ] = first_seq(t.rows, i) + start - t.rows[i, Q_DATA] & 0xFFFF_FFFF
    t.picks[p, P_DATA] = start
    t.picks[p, P_DATA_END] = end
    t.picks[p, P_LENGTH] = end - start
    t.picks[p, P_KEY1] = t.rows[i, Q_KEY1]
    t.picks[p, P_KEY2] = t.rows[i, Q_KEY2]
    return p
