"""HTTP/1 framing: where each message of a connection begins, its head, and how long its body is, without the body.

Heads are handed to Python, bodies are passed over by their length, chunk by chunk where they come in chunks, so that a
download of any size costs next to nothing. A gap inside a body is passed over too: sizes go by sequence number. A gap
anywhere else ends the certainty; the next segment that begins as a message does restores it.

A followed connection has a row of the ring of streams. Where the ring has come round, the older connection is looked
at segment by segment from then on.

References
----------
.. [1] RFC 9112, sections 6.3 (message body length) and 7.1 (chunked coding); RFC 9110, sections 9.3.6 (CONNECT) and
   15.2 (informational replies).
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import jit
from forensics.packets.framing import u8
from forensics.packets.http_bodies import (
    BODY,
    CHUNK,
    CHUNK_END,
    CLOSE,
    EXTENSION,
    HEAD,
    LOOK,
    SIZE,
    START,
    TRAILER,
    chunk_line,
    pass_over,
)
from forensics.packets.http_heads import (
    ASKED_CONNECT,
    ASKED_HEAD,
    W_CHUNKED,
    W_FRESH,
    W_GAP,
    W_LENGTH,
    W_REPLY,
    W_UNSURE,
    scan_head,
    what_asked,
    what_status,
)
from forensics.packets.layout import (
    BATCH,
    BEGINS_HTTP,
    BIT_HTTP,
    CUT_HEAD,
    EARLY,
    ENDS,
    F_BITS,
    F_HIGH,
    F_PICK,
    F_SERIAL,
    N_PICKS,
    N_STREAMS,
    P_BODY,
    P_START,
    Q_DATA,
    Q_DATA_END,
    Q_PAYLOAD,
    Q_SIDE,
    Q_TIME,
    S_ASKED,
    S_BODY,
    S_COLUMNS,
    S_LEFT,
    S_LINE,
    S_MODE,
    S_NEXT,
    S_OWNER,
    S_SIDE,
    S_TIME,
    S_WHAT,
    STREAM_ROWS,
    Bytes,
    Longs,
)
from forensics.packets.recognising import HEAD_BYTES, Picking, begins, distance, first_seq, hand_out

__all__ = ["AGAIN", "FRAMED", "follow_http", "owns_stream", "stream_of", "stream_row"]

FRAMED, AGAIN = 4, 6
"""States of a direction, as `picking` has them: its messages are followed; look at its next segment anew."""

_TAG = 40
_ROW_MASK = (1 << _TAG) - 1

_MARKED = 1 << 32  # above a sequence number: there is one
_MAX_GAPS = 8
_ASKED_ROOM = 1 << 60


@jit
def owns_stream(t: Picking, j: int, state: int) -> int:
    """Tell whether the row that a direction's state names is still its connection's."""
    return int(t.streams[state & _ROW_MASK, S_OWNER] == t.flows[j, F_SERIAL] + 1)


@jit
def stream_of(t: Picking, j: int) -> int:
    """Return the row of a connection's stream; a connection without one gets the next of the ring."""
    for side in range(2):
        state = int(t.flows[j, F_PICK + F_HIGH * side])
        if state >> _TAG in (FRAMED, AGAIN) and owns_stream(t, j, state):
            return state & _ROW_MASK
    r = int(t.cursor[N_STREAMS]) % STREAM_ROWS
    t.cursor[N_STREAMS] += 1
    for c in range(S_COLUMNS):
        t.streams[r, c] = 0
    t.streams[r, S_OWNER] = t.flows[j, F_SERIAL] + 1
    return r


@jit
def _end_message(t: Picking, i: int, j: int, r: int, o: int, told: int) -> None:
    """Tell that a message has ended, beside its head where that is of the same packet."""
    s = S_SIDE * int(t.rows[i, Q_SIDE])
    p = told
    if p < 0:
        p = hand_out(t, i, j, o, o)
        t.picks[p, P_START] = ENDS
    t.picks[p, P_BODY] = t.streams[r, S_BODY + s]
    t.streams[r, S_MODE + s] = START


@jit
def _tunnel(flows: Longs, streams: Longs, j: int, r: int) -> None:
    """Make both directions begin anew: what follows is what a proxy carries."""
    flows[j, F_BITS] &= ~BIT_HTTP
    flows[j, F_PICK] = AGAIN << _TAG | r
    flows[j, F_PICK + F_HIGH] = AGAIN << _TAG | r
    streams[r, S_MODE] = START
    streams[r, S_MODE + S_SIDE] = START


@jit
def _answered(streams: Longs, r: int) -> int:
    """Return what the oldest request without a reply asked for, 0 where none waits."""
    asked = int(streams[r, S_ASKED])
    streams[r, S_ASKED] = asked >> 2
    return asked & 3


@jit
def _note_asked(streams: Longs, r: int, code: int) -> None:
    """Put a request behind those that wait; behind thirty it is forgotten."""
    asked = int(streams[r, S_ASKED])
    place = 1
    while place < _ASKED_ROOM and asked >= place:
        place *= 4
    if place < _ASKED_ROOM:
        streams[r, S_ASKED] = asked + code * place


@jit
def _after_reply(flows: Longs, streams: Longs, j: int, r: int, s: int, what: int) -> int:
    """Choose the mode behind a reply's head; return 1 where no body follows."""
    status = what_status(what)
    if status == 101:
        flows[j, F_PICK] = flows[j, F_PICK + F_HIGH] = -1
        flows[j, F_BITS] &= ~BIT_HTTP
        return 1
    if status // 100 == 1:
        return 1
    asked = _answered(streams, r)
    if asked == ASKED_CONNECT and status // 100 == 2:
        _tunnel(flows, streams, j, r)
        return 1
    if asked == ASKED_HEAD or status in (204, 304):
        return 1
    streams[r, S_MODE + s] = CLOSE
    return 0


@jit
def _after_head(flows: Longs, streams: Longs, j: int, r: int, s: int) -> int:
    """Choose the mode behind a head; return 1 where the message ends with it."""
    what = int(streams[r, S_WHAT + s])
    streams[r, S_BODY + s] = 0
    over = 1
    if what & W_REPLY:
        over = _after_reply(flows, streams, j, r, s, what)
        if over:
            return 1
    else:
        _note_asked(streams, r, what_asked(what))
    if what & W_UNSURE:
        streams[r, S_MODE + s] = LOOK
        return 0
    if what & W_CHUNKED:
        streams[r, S_MODE + s] = SIZE
        streams[r, S_LEFT + s] = 0
        return 0
    if what & W_LENGTH:
        streams[r, S_MODE + s] = BODY
        return int(streams[r, S_LEFT + s] == 0)
    return over


@jit
def _head(b: Bytes, t: Picking, i: int, j: int, r: int, p: int, end: int) -> tuple[int, int]:
    """Hand out the part of a head that begins at ``p``; return where it goes on, and the pick's row."""
    s = S_SIDE * int(t.rows[i, Q_SIDE])
    fresh = t.streams[r, S_MODE + s] == START
    if fresh:
        t.streams[r, S_MODE + s] = HEAD
        t.streams[r, S_WHAT + s] = W_FRESH
        t.streams[r, S_BODY + s] = 0
        t.streams[r, S_LEFT + s] = 0
        t.streams[r, S_LINE + s] = 0
    after = scan_head(b, p, end, t.streams, r, s)
    stop = after if after >= 0 else end
    told = hand_out(t, i, j, p, stop)
    if fresh:
        t.picks[told, P_START] = BEGINS_HTTP
    t.streams[r, S_BODY + s] += stop - p
    if after >= 0:
        if _after_head(t.flows, t.streams, j, r, s):
            _end_message(t, i, j, r, stop, told)
    elif t.streams[r, S_BODY + s] >= HEAD_BYTES:
        t.streams[r, S_MODE + s] = LOOK
    return stop, told


@jit
def _may_begin(b: Bytes, p: int, end: int) -> int:
    """Tell whether a message begins where one is expected; of its first bytes a few will do."""
    if end - p < 6:
        return int(p == end or 65 <= u8(b, p) <= 90)
    return int(begins(b, p, end) == BEGINS_HTTP)


@jit
def _start(b: Bytes, p: int, end: int) -> int:
    """Return where the next message begins: stray line ends before it are passed over (RFC 9112, section 2.2)."""
    while p < end and (b[p] == 13 or b[p] == 10):
        p += 1
    return p


@jit
def _message(b: Bytes, t: Picking, i: int, j: int, r: int, p: int, end: int, told: int) -> tuple[int, int]:
    """Begin a message at ``p``, or go on with its head; return where it goes on, and the pick's row.

    Where no message begins, nothing more is believed. Only a flood of small messages fills the room for picks.
    """
    s = S_SIDE * int(t.rows[i, Q_SIDE])
    if t.streams[r, S_MODE + s] == START:
        p = _start(b, p, end)
        flood = told >= 0 and t.cursor[N_PICKS] + 4 * BATCH > t.picks.shape[0]
        if flood or not _may_begin(b, p, end):
            t.streams[r, S_MODE + s] = LOOK
            return p, told
    return _head(b, t, i, j, r, p, end) if p < end else (p, told)


@jit
def _walk(b: Bytes, t: Picking, i: int, j: int, r: int, p: int, end: int) -> int:
    """Go through the messages of a segment from ``p`` on; return 1 where something else than HTTP begins."""
    s = S_SIDE * int(t.rows[i, Q_SIDE])
    told = -1
    while p < end and t.flows[j, F_PICK + F_HIGH * int(t.rows[i, Q_SIDE])] >> _TAG == FRAMED:
        mode = int(t.streams[r, S_MODE + s])
        if mode in (START, HEAD):
            p, told = _message(b, t, i, j, r, p, end, told)
        elif mode in (BODY, CLOSE, CHUNK):
            p += pass_over(t.streams, r, s, end - p)
            if mode == BODY and t.streams[r, S_LEFT + s] == 0:
                _end_message(t, i, j, r, p, told)
        elif mode in (SIZE, EXTENSION, CHUNK_END):
            p = chunk_line(b, t.streams, r, s, p, end)
        elif mode == TRAILER:
            after = scan_head(b, p, end, t.streams, r, s)
            p = after if after >= 0 else end
            if after >= 0:
                _end_message(t, i, j, r, p, told)
        else:
            return int(p == t.rows[i, Q_DATA])
    return 0


@jit
def _gap(b: Bytes, t: Picking, i: int, j: int, r: int, ahead: int) -> int:
    """Deal with a segment that lies ``ahead`` of the stream; return 1 where it can be read on from its beginning."""
    s = S_SIDE * int(t.rows[i, Q_SIDE])
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    mode = int(t.streams[r, S_MODE + s])
    left = int(t.streams[r, S_LEFT + s])
    if mode == CLOSE or (mode in (BODY, CHUNK) and left >= ahead):
        pass_over(t.streams, r, s, ahead)
        if mode == BODY and left == ahead:
            _end_message(t, i, j, r, o, -1)
        return 1
    if begins(b, o, end) == BEGINS_HTTP:
        t.streams[r, S_MODE + s] = START
        return 1
    t.streams[r, S_WHAT + s] += W_GAP
    if mode not in (START, HEAD) or t.streams[r, S_WHAT + s] >= _MAX_GAPS * W_GAP:
        t.streams[r, S_MODE + s] = LOOK
    else:
        told = hand_out(t, i, j, o, end)
        if mode == START:
            t.picks[told, P_START] = EARLY
    return 0


@jit
def follow_http(b: Bytes, t: Picking, i: int, j: int) -> int:
    """Take a segment of a followed direction; return 1 where it begins as something else than HTTP does."""
    side = int(t.rows[i, Q_SIDE])
    s = S_SIDE * side
    r = int(t.flows[j, F_PICK + F_HIGH * side]) & _ROW_MASK
    o = int(t.rows[i, Q_DATA])
    end = int(t.rows[i, Q_DATA_END])
    length = int(t.rows[i, Q_PAYLOAD])
    seq = first_seq(t.rows, i)
    p = o
    if t.streams[r, S_NEXT + s]:  # a direction's first segment sets the mark
        ahead = distance(seq, int(t.streams[r, S_NEXT + s]))
        if ahead + length <= 0:
            return 0
        p = o - min(ahead, 0)
        if ahead > 0 and t.streams[r, S_MODE + s] != LOOK and not _gap(b, t, i, j, r, ahead):
            return 0
    t.streams[r, S_NEXT + s] = seq + length & 0xFFFF_FFFF | _MARKED
    t.streams[r, S_TIME + s] = t.rows[i, Q_TIME]
    if t.streams[r, S_MODE + s] == LOOK:
        if p > o or begins(b, o, end) != BEGINS_HTTP:
            return 0
        t.streams[r, S_MODE + s] = START
    told = int(t.cursor[N_PICKS])
    other = _walk(b, t, i, j, r, p, end)
    missing = length - (max(end, p) - o)  # behind what was captured of the packet
    if missing > 0 and t.streams[r, S_MODE + s] != LOOK:
        mode = int(t.streams[r, S_MODE + s])
        if pass_over(t.streams, r, s, missing) < missing:
            t.streams[r, S_MODE + s] = LOOK
            if mode == HEAD and t.cursor[N_PICKS] > told:
                t.picks[int(t.cursor[N_PICKS]) - 1, P_BODY] = CUT_HEAD
        elif mode == BODY and t.streams[r, S_LEFT + s] == 0:
            _end_message(t, i, j, r, end, -1)
    return other


def stream_row(flow: Longs, streams: Longs, side: int) -> list[int] | None:
    """Return the stream that a closed flow's direction had, None where it has none, or the ring has come round."""
    state = int(flow[F_PICK + F_HIGH * side])
    if state >> _TAG not in (FRAMED, AGAIN):
        return None
    found: list[int] = streams[state & _ROW_MASK].tolist()
    return found if found[S_OWNER] == flow[F_SERIAL] + 1 else None
