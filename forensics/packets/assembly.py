"""Flow assembly: the packets of a batch into the table of open flows, and flows out of it when they close.

Compiled, the table and the flows of a whole batch are touched first and updated afterwards, so that the waits for
memory overlap; that, not the arithmetic, is what the time goes into.
"""

from __future__ import annotations

from forensics.packets._jit import jit
from forensics.packets.decode import SYN, TCP, UDP, decode_batch
from forensics.packets.framing import frame_pcap, frame_pcapng
from forensics.packets.layout import (
    ADDRESSES,
    BATCH,
    BIT_ORIGIN,
    BIT_STARTED,
    CONTAINER,
    EPOCH_DONE,
    EPOCH_END,
    F_BITS,
    F_CELL,
    F_COLUMNS,
    F_FRAME,
    F_IP,
    F_ISN,
    F_KEY1,
    F_KEY2,
    F_LAST,
    F_PACKETS,
    F_PAYLOAD,
    F_SEEN_PACKETS,
    F_SEEN_PACKETS_HIGH,
    F_START,
    FIRST,
    GO_ON,
    IN_FLOWS,
    LAST,
    N_CELLS,
    N_CLOSED,
    N_PICKS,
    NOT_IP,
    NOT_IP_COUNT,
    NOW,
    NUMBER,
    O_CELL,
    O_PICK,
    OK,
    OPEN,
    OUTPUT_FULL,
    PCAPNG,
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
    Q_SEQ,
    Q_SIDE,
    Q_SLOT,
    Q_START,
    Q_TIME,
    Q_WIRE,
    REJECT_COUNT,
    SINK,
    SNAPPED,
    SWEEP_READ,
    SWEEP_WRITE,
    TABLE_FULL,
    UNREAD_COUNT,
    UNREAD_LINK,
    Bytes,
    Tables,
)
from forensics.packets.lifecycle import begin_flow, emit_cell, emit_flow, idle_limit
from forensics.packets.picking import pick_packet, pick_reject
from forensics.packets.tcp import is_closed, note_history, step

__all__ = ["decode_next", "run", "sweep"]

_ACK = 16
_LOW32 = 0xFFFF_FFFF


@jit
def _find(t: Tables, i: int) -> int:
    """Return the row of the packet's flow; a flow that is not there yet is begun."""
    key1 = t.rows[i, Q_KEY1]
    key2 = t.rows[i, Q_KEY2]
    h = int(t.rows[i, Q_HASH])
    mask = t.slots.shape[0] - 1
    at = h & mask
    while True:
        slot = int(t.slots[at])
        if slot < 0:
            break
        j = slot & _LOW32
        if (slot ^ h) >> 32 == 0 and t.flows[j, F_KEY1] == key1 and t.flows[j, F_KEY2] == key2:
            return j
        at = (at + 1) & mask
    j = int(t.cursor[OPEN])
    t.cursor[OPEN] = j + 1
    t.slots[at] = (h >> 32) << 32 | j
    begin_flow(t, i, j)
    return j


@jit
def _is_over(t: Tables, i: int, j: int) -> int:
    """Tell whether packet ``i`` begins a new flow although an open one has its key."""
    if int(t.rows[i, Q_TIME]) - int(t.flows[j, F_LAST]) > idle_limit(t, j):
        return 1
    flags = int(t.rows[i, Q_FLAGS])
    if flags & SYN == 0 or flags & _ACK:
        return 0
    known = int(t.flows[j, F_ISN + int(t.rows[i, Q_SIDE])])
    return int(is_closed(int(t.flows[j, F_BITS])) and known != int(t.rows[i, Q_SEQ]) + 1)


@jit
def _update_tcp(t: Tables, i: int, j: int) -> None:
    """Take a segment into its connection's states, history and initial sequence numbers."""
    f = t.flows
    side = int(t.rows[i, Q_SIDE])
    flags = int(t.rows[i, Q_FLAGS])
    length = int(t.rows[i, Q_PAYLOAD])
    bits = int(f[j, F_BITS])
    if flags & SYN:
        f[j, F_ISN + side] = t.rows[i, Q_SEQ] + 1
        if not flags & _ACK and not bits & BIT_STARTED:
            # the roles were a guess; they may still change while no minute of the flow has been told
            if bits & BIT_ORIGIN != side and f[j, F_SEEN_PACKETS] + f[j, F_SEEN_PACKETS_HIGH] == 0:
                bits ^= BIT_ORIGIN
            bits |= BIT_STARTED
            f[j, F_BITS] = bits
    note_history(f, j, side, flags, length)
    f[j, F_BITS] = step(int(f[j, F_BITS]), side, flags, length)


@jit
def _account(t: Tables, i: int, j: int) -> None:
    """Count a packet in its flow, and close the flow's cell where the packet lies in another."""
    f = t.flows
    time = int(t.rows[i, Q_TIME])
    width = int(t.options[O_CELL])
    into = time - int(f[j, F_CELL]) * width
    if into < 0 or into >= width:  # compared, since a division takes longer than all the rest
        if f[j, F_PACKETS] + f[j, F_PACKETS + 1] > 0:
            emit_cell(t, j)
        f[j, F_CELL] = time // width
    side = int(t.rows[i, Q_SIDE])
    f[j, F_START] = min(int(f[j, F_START]), time)
    f[j, F_LAST] = max(int(f[j, F_LAST]), time)
    f[j, F_PACKETS + side] += 1
    f[j, F_IP + side] += t.rows[i, Q_IP]
    f[j, F_FRAME + side] += t.rows[i, Q_WIRE]
    f[j, F_PAYLOAD + side] += t.rows[i, Q_PAYLOAD]


@jit
def _update(b: Bytes, t: Tables, i: int) -> None:
    """Take one decoded packet into its flow."""
    j = _find(t, i)
    if _is_over(t, i, j):
        emit_flow(t, j)
        begin_flow(t, i, j)
    proto = int(t.rows[i, Q_PROTO])
    if proto == TCP:
        _update_tcp(t, i, j)
    elif proto == UDP:
        note_history(t.flows, j, int(t.rows[i, Q_SIDE]), 0, int(t.rows[i, Q_PAYLOAD]))
    _account(t, i, j)
    if t.options[O_PICK] and t.rows[i, Q_DATA_END] > t.rows[i, Q_DATA]:
        pick_packet(b, t, i, j)


@jit
def _set_aside(t: Tables, i: int, kind: int) -> None:
    """Count a packet that belongs to no flow, and hand it out where it must be told."""
    if kind == NOT_IP:
        t.cursor[NOT_IP_COUNT] += 1
        return
    link = int(t.rows[i, Q_LINK]) & 0xFFFF
    first = 1
    if kind == UNREAD_LINK:
        t.cursor[UNREAD_COUNT] += 1
        first = int(t.links[link] == 0)
        t.links[link] += 1
    else:
        t.cursor[REJECT_COUNT] += 1
    if first:
        pick_reject(t, i, int(t.rows[i, Q_START]), int(t.rows[i, Q_END]), kind, link)


@jit
def _touch(t: Tables, m: int) -> None:
    """Read the slots and then the flows of a whole batch; nothing depends on the order, so the waits overlap."""
    mask = t.slots.shape[0] - 1
    for i in range(m):
        if t.rows[i, Q_KIND] == OK:
            t.rows[i, Q_SLOT] = t.slots[int(t.rows[i, Q_HASH]) & mask]
    sink = 0
    for i in range(m):
        if t.rows[i, Q_KIND] == OK and t.rows[i, Q_SLOT] >= 0:
            j = int(t.rows[i, Q_SLOT]) & _LOW32
            sink ^= int(t.flows[j, F_LAST]) ^ int(t.flows[j, F_FRAME])  # one of each of the two lines that change
    t.cursor[SINK] = sink


@jit
def _note_times(t: Tables, m: int) -> None:
    """Keep the first and last time of the capture, and count packets that were cut by the capture length."""
    for i in range(m):
        time = int(t.rows[i, Q_TIME])
        t.cursor[FIRST] = min(int(t.cursor[FIRST]), time)
        t.cursor[LAST] = max(int(t.cursor[LAST]), time)
        t.cursor[SNAPPED] += int(t.rows[i, Q_END] - t.rows[i, Q_START] < t.rows[i, Q_WIRE])
    t.cursor[NOW] = t.cursor[LAST]


@jit
def _room_status(t: Tables) -> int:
    """Tell whether a whole batch still fits into every table."""
    if t.cursor[N_CLOSED] + BATCH > t.closed.shape[0] or t.cursor[N_CELLS] + 2 * BATCH > t.cells.shape[0]:
        return OUTPUT_FULL
    if t.cursor[N_PICKS] + 4 * BATCH > t.picks.shape[0]:
        return OUTPUT_FULL
    if t.cursor[OPEN] + BATCH > t.flows.shape[0] or t.cursor[ADDRESSES] + 2 * BATCH > t.addresses.shape[0]:
        return TABLE_FULL
    return GO_ON


@jit
def _next_batch(b: Bytes, t: Tables, room: int) -> tuple[int, int]:
    """Frame and decode up to ``room`` packets; return how many, and why no more."""
    if t.cursor[CONTAINER] == PCAPNG:
        m, status = frame_pcapng(b, t.cursor, t.rows, t.interfaces, room)
    else:
        m, status = frame_pcap(b, t.cursor, t.rows, room)
    decode_batch(b, t, m)
    return m, status


@jit
def decode_next(b: Bytes, t: Tables) -> tuple[int, int]:
    """Frame and decode a batch for those who need no flows; return how many packets, and why no more."""
    if t.cursor[ADDRESSES] + 2 * BATCH > t.addresses.shape[0]:
        return 0, TABLE_FULL
    return _next_batch(b, t, BATCH)


@jit
def run(b: Bytes, t: Tables) -> int:
    """Take packets from the buffer into the flow table until something needs Python.

    Returns
    -------
    int
        What needs Python: one of the codes of `layout`.
    """
    while True:
        room = min(BATCH, int(t.cursor[EPOCH_END] - t.cursor[NUMBER]))
        if room <= 0:
            return EPOCH_DONE
        full = _room_status(t)
        if full != GO_ON:
            return full
        m, status = _next_batch(b, t, room)
        _touch(t, m)
        for i in range(m):
            kind = int(t.rows[i, Q_KIND])
            if kind == OK:
                _update(b, t, i)
                t.cursor[IN_FLOWS] += 1
            else:
                _set_aside(t, i, kind)
        _note_times(t, m)
        t.cursor[NUMBER] += m
        if status != GO_ON:
            return status


@jit
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
        if everything or last < before or int(t.cursor[NOW]) - last > idle_limit(t, j):
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
