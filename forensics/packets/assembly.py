"""Flow assembly: the packets of a batch into the table of open flows, and flows out of it when they close.

Compiled, the table and the flows of a whole batch are touched first and updated afterwards, so that the waits for
memory overlap; that, not the arithmetic, is what the time goes into.
"""

from __future__ import annotations

from forensics.packets._jit import entry, hot, jit
from forensics.packets.decode import decode_frames
from forensics.packets.ethertypes import IPV4, IPV6
from forensics.packets.framing import frame, u16
from forensics.packets.hashing import mixed
from forensics.packets.layout import (
    ADDRESSES,
    AT,
    BACKWARD,
    BATCH,
    EPOCH_DONE,
    EPOCH_END,
    F_COLUMNS,
    F_HIGH,
    F_LAST,
    F_PACKETS,
    FACTORS,
    FIRST,
    FR_AT,
    FR_TYPE,
    GO_ON,
    LAST,
    M_OFFSET,
    M_RECORD,
    M_TIME,
    MARKED,
    N_CELLS,
    N_CLOSED,
    N_FRAMES,
    N_FURTHER,
    N_MARKS,
    N_PICKS,
    NEED_LINKS,
    NEED_TUNNELS,
    NOW,
    NUMBER,
    OK,
    OPEN,
    OUTPUT_FULL,
    PHASE,
    Q_END,
    Q_HASH,
    Q_KEY1,
    Q_KEY2,
    Q_KIND,
    Q_LINK,
    Q_SIDE,
    Q_SLOT,
    Q_START,
    Q_TIME,
    Q_WIRE,
    ROWS,
    SEEN_TIME,
    SINK,
    SNAPPED,
    SWEEP_READ,
    SWEEP_WRITE,
    TABLE_FULL,
    TO_ASSEMBLE,
    TO_DECODE,
    TO_FRAME,
    UNKNOWN,
    Bytes,
    Longs,
    Tables,
)
from forensics.packets.lifecycle import emit_flow, idle_limit
from forensics.packets.updating import set_aside, update

__all__ = ["frame_next", "run", "sweep"]

_LOW32 = 0xFFFF_FFFF


@hot
def _touch(t: Tables, m: int) -> None:
    """Hash the keys of a whole batch, read its slots and then its flows.

    Nothing depends on the order, so that the waits overlap.
    """
    mask = t.slots.shape[0] - 1
    a, b = int(t.cursor[FACTORS]), int(t.cursor[FACTORS + 1])
    c, d = int(t.cursor[FACTORS + 2]), int(t.cursor[FACTORS + 3])
    for i in range(m):
        if t.rows[i, Q_KIND] == OK:
            h = mixed(int(t.rows[i, Q_KEY1]), int(t.rows[i, Q_KEY2]), a, b, c, d)
            t.rows[i, Q_HASH] = h
            t.rows[i, Q_SLOT] = t.slots[h & mask]
    sink = 0
    for i in range(m):
        if t.rows[i, Q_KIND] == OK and t.rows[i, Q_SLOT] >= 0:
            j = int(t.rows[i, Q_SLOT]) & _LOW32
            sink ^= int(t.flows[j, F_LAST]) ^ int(t.flows[j, F_PACKETS + F_HIGH * int(t.rows[i, Q_SIDE])])
    t.cursor[SINK] = sink


@jit
def _note_times(cursor: Longs, frames: Longs, n: int) -> None:
    """Keep the first and last time of the capture; count packets out of order, and those cut by the capture length."""
    first = int(cursor[FIRST])
    last = int(cursor[LAST])
    before = int(cursor[NOW])
    for i in range(n):
        time = int(frames[i, Q_TIME])
        cursor[BACKWARD] += int(time < before)
        before = time
        first = min(first, time)
        last = max(last, time)
        cursor[SNAPPED] += int(frames[i, Q_END] - frames[i, Q_START] < frames[i, Q_WIRE])
    cursor[FIRST] = first
    cursor[LAST] = last
    cursor[NOW] = before


@hot
def _room_status(t: Tables) -> int:
    """Tell whether a whole batch still fits into every table."""
    rows = int(t.cursor[ROWS])
    if t.cursor[N_CLOSED] + rows > t.closed.shape[0] or t.cursor[N_CELLS] + 2 * rows > t.cells.shape[0]:
        return OUTPUT_FULL
    if t.cursor[N_PICKS] + 4 * rows > t.picks.shape[0] or t.cursor[N_FURTHER] + rows > t.further.shape[0]:
        return OUTPUT_FULL
    return TABLE_FULL if t.cursor[OPEN] + rows > t.flows.shape[0] else GO_ON


@hot
def _find_usual_networks(b: Bytes, frames: Longs, n: int) -> int:
    """Find the network layer of IP right behind Ethernet; return how many packets are of other kinds."""
    unknown = 0
    for i in range(n):
        at = int(frames[i, Q_START]) + 14
        kind = u16(b, at - 2) if frames[i, Q_LINK] == 1 and at <= frames[i, Q_END] else UNKNOWN
        if kind not in (IPV4, IPV6):
            kind = UNKNOWN
            unknown += 1
        frames[i, FR_TYPE] = kind
        frames[i, FR_AT] = at
    return unknown


@jit
def _mark(cursor: Longs, marks: Longs) -> None:
    """Note where the next packet begins, so that framing can begin anew there; once, however often the loop comes."""
    record = int(cursor[NUMBER]) + 1
    if cursor[MARKED] == record:
        return
    cursor[MARKED] = record
    k = int(cursor[N_MARKS])
    cursor[N_MARKS] = k + 1
    marks[k, M_RECORD] = record
    marks[k, M_OFFSET] = cursor[AT]
    marks[k, M_TIME] = cursor[SEEN_TIME]


@entry
def frame_next(b: Bytes, cursor: Longs, frames: Longs, interfaces: Longs, room: int) -> tuple[int, int]:
    """Frame up to ``room`` packets for those who want no flows; return how many, and why no more."""
    return frame(b, cursor, frames, interfaces, room)


@hot
def _frame(b: Bytes, t: Tables) -> int:
    """Frame the next packets, at most to the end of the epoch; return why no more."""
    into = int(t.cursor[NUMBER]) % BATCH
    if into == 0:  # at packets that do not depend on the blocks in which the file comes
        _mark(t.cursor, t.marks)
    room = min(BATCH - into, int(t.cursor[EPOCH_END] - t.cursor[NUMBER]))
    n, status = frame(b, t.cursor, t.frames, t.interfaces, room)
    _note_times(t.cursor, t.frames, n)
    t.cursor[N_FRAMES] = n
    t.cursor[PHASE] = TO_DECODE
    return status


@hot
def _assemble(b: Bytes, t: Tables) -> None:
    """Take the batch into the flows."""
    m = int(t.cursor[ROWS])
    _touch(t, m)
    for k in range(m):
        kind = int(t.rows[k, Q_KIND])
        if kind == OK:
            update(b, t, k)
        else:
            set_aside(t, k, kind)
    t.cursor[NUMBER] += t.cursor[N_FRAMES]
    t.cursor[PHASE] = TO_FRAME


@entry
def run(b: Bytes, words: Longs, t: Tables) -> int:
    """Take packets from the buffer into the flow table until something needs Python.

    Parameters
    ----------
    b, words
        The buffer, once as bytes and once as words of eight bytes.
    t
        The engine's arrays.

    Returns
    -------
    int
        What needs Python: one of the codes of `layout`.
    """
    status = GO_ON
    while True:
        phase = int(t.cursor[PHASE])
        if phase == TO_FRAME:
            if status != GO_ON:
                return status
            if t.cursor[NUMBER] >= t.cursor[EPOCH_END]:
                return EPOCH_DONE
            status = _frame(b, t)
            if _find_usual_networks(b, t.frames, int(t.cursor[N_FRAMES])):
                return NEED_LINKS
        elif phase == TO_DECODE:
            if t.cursor[ADDRESSES] + 2 * BATCH > t.addresses.shape[0]:
                return TABLE_FULL
            t.cursor[PHASE] = TO_ASSEMBLE
            if decode_frames(b, words, t):
                return NEED_TUNNELS
        else:
            full = _room_status(t)
            if full != GO_ON:
                return full
            _assemble(b, t)


@entry
def sweep(t: Tables, before: int, everything: int) -> int:
    """Close flows that are idle too long, were last seen before a time, or all; the rest moves up.

    Returns
    -------
    int
        1 when done (the slots must then be filled anew), 0 when the output is full and must be emptied first.
    """
    while t.cursor[SWEEP_READ] < t.cursor[OPEN]:
        if t.cursor[N_CLOSED] >= t.closed.shape[0] or t.cursor[N_CELLS] >= t.cells.shape[0]:
            return 0
        j = int(t.cursor[SWEEP_READ])
        last = int(t.flows[j, F_LAST])
        if everything or last < before or int(t.cursor[LAST]) - last > idle_limit(t.options, t.flows, j):
            emit_flow(t, j)
        else:
            k = int(t.cursor[SWEEP_WRITE])
            for c in range(F_COLUMNS):
                t.flows[k, c] = t.flows[j, c]
            t.cursor[SWEEP_WRITE] += 1
        t.cursor[SWEEP_READ] += 1
    t.cursor[OPEN] = t.cursor[SWEEP_WRITE]
    t.cursor[SWEEP_READ] = 0
    t.cursor[SWEEP_WRITE] = 0
    return 1
