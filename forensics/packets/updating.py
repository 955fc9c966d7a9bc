"""One packet into its flow: found or begun, its states, sequence numbers, sums and cell brought up to date."""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import hot, jit
from forensics.packets.layout import (
    ACK,
    BAD_CHECKSUM,
    BIT_ORIGIN,
    BIT_OUTER,
    BIT_STARTED,
    DROPPED_COUNT,
    EPOCH_START,
    ESTABLISHED,
    F_BITS,
    F_CELL,
    F_FRAME,
    F_HIGH,
    F_HOLES,
    F_IP,
    F_KEY1,
    F_KEY2,
    F_LAST,
    F_PACKETS,
    F_PAYLOAD,
    F_SERIAL,
    F_START,
    F_SUM_FRAME,
    F_SUM_IP,
    F_SUM_PACKETS,
    F_SUM_PAYLOAD,
    FIN,
    IN_FLOWS,
    LAYER_MASK,
    MARK_BAD_SUM,
    MARK_CARRIES,
    MARK_LATER,
    N_FURTHER,
    NOT_IP,
    NOT_IP_COUNT,
    O_CELL,
    O_PICK,
    O_SHORTEST,
    OPEN,
    Q_ACK,
    Q_DATA,
    Q_DATA_END,
    Q_FLAGS,
    Q_HASH,
    Q_IP,
    Q_KEY1,
    Q_KEY2,
    Q_LAYER,
    Q_LINK,
    Q_MARKS,
    Q_NUMBER,
    Q_PAYLOAD,
    Q_PROTO,
    Q_SEQ,
    Q_SIDE,
    Q_TIME,
    Q_WINDOW,
    Q_WIRE,
    REJECT_COUNT,
    RST,
    SERIAL_PLACE,
    SERIAL_SHIFT,
    STATE_SHIFT,
    STATE_SHIFT_HIGH,
    SYN,
    TCP,
    UDP,
    UNREAD_COUNT,
    UNREAD_LINK,
    Bytes,
    Longs,
    Tables,
)
from forensics.packets.lifecycle import begin_flow, emit_cell, emit_flow, idle_limit
from forensics.packets.picking import pick_packet, pick_reject
from forensics.packets.sequences import follow_sequence, initial_sequence, is_hole_acknowledged, note_acknowledged
from forensics.packets.tcp import (
    AGAIN,
    BAD_SUM,
    DATA,
    GAP,
    NO_WINDOW,
    is_closed,
    is_noted,
    note_history,
    note_letter,
    step,
)

__all__ = ["set_aside", "update"]

_LOW32 = 0xFFFF_FFFF
_BOTH_OPEN = ESTABLISHED << STATE_SHIFT | ESTABLISHED << STATE_SHIFT_HIGH
_STATES = 7 << STATE_SHIFT | 7 << STATE_SHIFT_HIGH


@hot
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
            if _is_over(t.rows, t.flows, t.options, i, j):
                emit_flow(t, j)
                break
            return j
        at = (at + 1) & mask
    if slot < 0:
        j = int(t.cursor[OPEN])
        t.cursor[OPEN] = j + 1
        t.slots[at] = (h >> 32) << 32 | j
    begin_flow(t, i, j)
    return j


@hot
def _is_over(r: Longs, f: Longs, options: Longs, i: int, j: int) -> int:
    """Tell whether packet ``i`` begins a new flow although an open one has its key."""
    idle = int(r[i, Q_TIME]) - int(f[j, F_LAST])
    if idle > options[O_SHORTEST] and idle > idle_limit(options, f, j):
        return 1
    flags = int(r[i, Q_FLAGS])
    if flags & SYN == 0 or flags & ACK or not is_closed(int(f[j, F_BITS])):
        return 0
    return int(initial_sequence(f, j, int(r[i, Q_SIDE])) != int(r[i, Q_SEQ]) + 1 & _LOW32)


@hot
def _update_sequence(r: Longs, f: Longs, holes: Longs, cursor: Longs, i: int, j: int) -> None:
    """Take a segment's numbers and window into its connection."""
    side = int(r[i, Q_SIDE])
    flags = int(r[i, Q_FLAGS])
    length = int(r[i, Q_PAYLOAD])
    syn = int(flags & SYN != 0)
    # the numbers of a RST are often nobody's
    idle = 0 if flags & RST else int(r[i, Q_TIME]) - int(f[j, F_LAST])
    if follow_sequence(f, holes, cursor, j, side, int(r[i, Q_SEQ]), length, syn, flags & FIN, idle):
        note_letter(f, j, side, AGAIN)
    if flags & (ACK | RST) == ACK:
        other = 1 - side
        ack = int(r[i, Q_ACK])
        note_acknowledged(f, holes, cursor, j, other, ack, idle)
        missing = f[j, F_HOLES + F_HIGH * other] and not is_noted(f, j, other, GAP)
        if missing and is_hole_acknowledged(f, holes, j, other, ack):
            note_letter(f, j, other, GAP)
        if r[i, Q_WINDOW] == 0:
            note_letter(f, j, side, NO_WINDOW)


@hot
def _update_tcp(r: Longs, f: Longs, holes: Longs, cursor: Longs, i: int, j: int) -> None:
    """Take a segment into its connection's states, history and sequence numbers."""
    side = int(r[i, Q_SIDE])
    flags = int(r[i, Q_FLAGS])
    length = int(r[i, Q_PAYLOAD])
    bits = int(f[j, F_BITS])
    if flags & SYN and not flags & ACK and not bits & BIT_STARTED:
        # the roles were a guess; they may still change while no minute of the flow has been told
        if bits & BIT_ORIGIN != side and f[j, F_SUM_PACKETS] + f[j, F_SUM_PACKETS + 1] == 0:
            bits ^= BIT_ORIGIN
        bits |= BIT_STARTED
        f[j, F_BITS] = bits
    if int(r[i, Q_MARKS]) & MARK_BAD_SUM:
        note_letter(f, j, side, BAD_SUM)
    note_history(f, j, side, flags, length)
    _update_sequence(r, f, holes, cursor, i, j)
    bits = int(f[j, F_BITS])
    if bits & _STATES != _BOTH_OPEN or flags & (FIN | SYN | RST):  # nothing else changes the states
        f[j, F_BITS] = step(bits, side, flags, length)


@hot
def _extend(f: Longs, j: int, time: int) -> None:
    """Have a flow last from its first to its last packet, in whatever order they come."""
    if time < f[j, F_LAST]:
        f[j, F_START] = min(int(f[j, F_START]), time)
    else:
        f[j, F_LAST] = time


@hot
def _account(r: Longs, f: Longs, cells: Longs, cursor: Longs, width: int, i: int, j: int) -> None:
    """Count a packet in its flow, and close the flow's cell where the packet lies in another."""
    time = int(r[i, Q_TIME])
    into = time - int(f[j, F_CELL])
    if into < 0 or into >= width:  # compared, since a division takes longer than all the rest
        emit_cell(f, cells, cursor, j)
        f[j, F_CELL] = time // width * width
    _extend(f, j, time)
    at = F_HIGH * int(r[i, Q_SIDE])
    f[j, F_PACKETS + at] += 1
    f[j, F_IP + at] += r[i, Q_IP]
    f[j, F_FRAME + at] += r[i, Q_WIRE]
    f[j, F_PAYLOAD + at] += r[i, Q_PAYLOAD]


@hot
def _account_carrier(r: Longs, f: Longs, i: int, j: int) -> None:
    """Count a packet that carries another in the sums alone: its bytes are told where what it carries is told."""
    side = int(r[i, Q_SIDE])
    f[j, F_BITS] |= BIT_OUTER
    _extend(f, j, int(r[i, Q_TIME]))
    f[j, F_SUM_PACKETS + side] += 1
    f[j, F_SUM_IP + side] += r[i, Q_IP]
    f[j, F_SUM_FRAME + side] += r[i, Q_WIRE]
    f[j, F_SUM_PAYLOAD + side] += r[i, Q_PAYLOAD]


@jit
def _note_member(rows: Longs, members: Longs, further: Longs, cursor: Longs, i: int, serial: int) -> None:
    """Note which flow a packet belongs to that is not alone in its frame, or whose flow began so."""
    place = int(rows[i, Q_LAYER]) & SERIAL_PLACE
    number = int(rows[i, Q_NUMBER])
    cursor[IN_FLOWS] += int(place & LAYER_MASK == 0)
    if place <= 1 and serial & SERIAL_PLACE == place:
        members[number - int(cursor[EPOCH_START]) - 1, place] = serial >> SERIAL_SHIFT
        return
    k = int(cursor[N_FURTHER])
    cursor[N_FURTHER] = k + 1
    further[k, 0] = number
    further[k, 1] = serial


@hot
def update(b: Bytes, t: Tables, i: int) -> None:
    """Take one decoded packet into its flow."""
    j = _find(t, i)
    proto = int(t.rows[i, Q_PROTO])
    if proto == TCP:
        _update_tcp(t.rows, t.flows, t.holes, t.cursor, i, j)
    elif proto == UDP:
        note_letter(t.flows, j, int(t.rows[i, Q_SIDE]), DATA)
    marks = int(t.rows[i, Q_MARKS])
    if marks & MARK_CARRIES or (marks & MARK_LATER and t.flows[j, F_BITS] & BIT_OUTER):
        _account_carrier(t.rows, t.flows, i, j)
    else:
        _account(t.rows, t.flows, t.cells, t.cursor, int(t.options[O_CELL]), i, j)
        if t.options[O_PICK] and t.rows[i, Q_DATA_END] > t.rows[i, Q_DATA]:
            pick_packet(b, t, i, j)
    serial = int(t.flows[j, F_SERIAL])
    if int(t.rows[i, Q_LAYER]) | serial & SERIAL_PLACE == 0:
        t.cursor[IN_FLOWS] += 1
        t.members[int(t.rows[i, Q_NUMBER]) - int(t.cursor[EPOCH_START]) - 1, 0] = serial >> SERIAL_SHIFT
    else:
        _note_member(t.rows, t.members, t.further, t.cursor, i, serial)


@jit
def set_aside(t: Tables, i: int, kind: int) -> None:
    """Count a packet that belongs to no flow, and hand it out where it must be told."""
    if kind == NOT_IP:
        t.cursor[NOT_IP_COUNT] += 1
        return
    if kind == BAD_CHECKSUM:
        t.cursor[DROPPED_COUNT] += 1
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
        pick_reject(t.rows, t.picks, t.cursor, i, kind, link)
