"""The life of a flow: how it begins, how long it may be silent, what is written out when a minute or the flow ends."""

from __future__ import annotations

from forensics.packets._jit import hot, jit
from forensics.packets.layout import (
    ACK,
    BIT_FLIPPED,
    BIT_NEW,
    BIT_ORIGIN,
    C_BITS,
    C_CELL,
    C_IP,
    C_KEY1,
    C_KEY2,
    C_NEW,
    C_PACKETS,
    C_PAYLOAD,
    C_SERIAL,
    C_START,
    F_BITS,
    F_CELL,
    F_COLUMNS,
    F_FRAME,
    F_HIGH,
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
    ICMP,
    ICMP6,
    KEY_IPV6,
    N_CELLS,
    N_CLOSED,
    O_CELL,
    O_ICMP,
    O_OTHER,
    O_TCP,
    O_TCP_ATTEMPT,
    O_TCP_CLOSED,
    O_UDP,
    PORT_SERVER_TCP,
    PORT_SERVER_UDP,
    Q_FLAGS,
    Q_KEY1,
    Q_KEY2,
    Q_LAYER,
    Q_NUMBER,
    Q_PROTO,
    Q_ROLE,
    Q_SIDE,
    Q_TIME,
    SERIAL_PLACE,
    SERIAL_SHIFT,
    SYN,
    TCP,
    UDP,
    Bytes,
    Longs,
    Tables,
)
from forensics.packets.sequences import close_sequences
from forensics.packets.tcp import is_attempt, is_closed, note_flip
from forensics.packets.transport import unpair

__all__ = ["add_up", "begin_flow", "emit_cell", "emit_flow", "idle_limit"]

_unpair = jit(unpair)


@jit
def emit_cell(f: Longs, cells: Longs, cursor: Longs, j: int) -> None:
    """Write out what a flow moved since its last cell, add it to the sums, and begin the next."""
    if f[j, F_PACKETS] + f[j, F_PACKETS + F_HIGH] == 0:
        return  # all of it was carried for others, which have it in cells of their own
    k = int(cursor[N_CELLS])
    cursor[N_CELLS] = k + 1
    bits = int(f[j, F_BITS])
    cells[k, C_SERIAL] = f[j, F_SERIAL]
    cells[k, C_KEY1] = f[j, F_KEY1]
    cells[k, C_KEY2] = f[j, F_KEY2]
    cells[k, C_BITS] = bits
    cells[k, C_CELL] = f[j, F_CELL]
    cells[k, C_NEW] = int(bits & BIT_NEW != 0)
    cells[k, C_START] = f[j, F_START]
    f[j, F_BITS] = bits & ~BIT_NEW
    for side in range(2):
        at = F_HIGH * side
        cells[k, C_PACKETS + side] = f[j, F_PACKETS + at]
        cells[k, C_IP + side] = f[j, F_IP + at]
        cells[k, C_PAYLOAD + side] = f[j, F_PAYLOAD + at]
    add_up(f, j)


@jit
def add_up(f: Longs, j: int) -> None:
    """Move what a flow moved since its last cell into its sums."""
    for side in range(2):
        at = F_HIGH * side
        f[j, F_SUM_PACKETS + side] += f[j, F_PACKETS + at]
        f[j, F_SUM_IP + side] += f[j, F_IP + at]
        f[j, F_SUM_FRAME + side] += f[j, F_FRAME + at]
        f[j, F_SUM_PAYLOAD + side] += f[j, F_PAYLOAD + at]
        f[j, F_PACKETS + at] = 0
        f[j, F_IP + at] = 0
        f[j, F_FRAME + at] = 0
        f[j, F_PAYLOAD + at] = 0


@jit
def emit_flow(t: Tables, j: int) -> None:
    """Write out a closed flow and its last cell."""
    emit_cell(t.flows, t.cells, t.cursor, j)
    close_sequences(t.flows, t.holes, t.cursor, j)
    k = int(t.cursor[N_CLOSED])
    t.cursor[N_CLOSED] = k + 1
    for c in range(F_COLUMNS):
        t.closed[k, c] = t.flows[j, c]


@hot
def idle_limit(options: Longs, f: Longs, j: int) -> int:
    """Return how long a flow may be idle. [ns]"""
    proto = int(f[j, F_KEY2]) & 255
    if proto == TCP:
        bits = int(f[j, F_BITS])
        if is_closed(bits):
            return int(options[O_TCP_CLOSED])
        return int(options[O_TCP_ATTEMPT] if is_attempt(bits) else options[O_TCP])
    if proto == UDP:
        return int(options[O_UDP])
    return int(options[O_ICMP] if proto in (ICMP, ICMP6) else options[O_OTHER])


@jit
def _goes_to_group(r: Longs, addresses: Longs, i: int) -> int:
    """Tell whether a packet goes to a multicast or broadcast address, which can begin nothing itself."""
    low, high = _unpair(int(r[i, Q_KEY1]))
    number = low if r[i, Q_SIDE] else high
    if int(r[i, Q_KEY2]) & KEY_IPV6:
        return int(addresses[number, 0] >> 56 == 0x7F)  # ff00::/8, as `hashing.address_id` writes it
    return int(number >= 0xE000_0000)


@jit
def _originator(r: Longs, ports: Bytes, addresses: Longs, i: int) -> tuple[int, int]:
    """Return which side began the conversation of a flow's first packet, and 1 where that is told by a port only.

    The sender, but: the receiver of a SYN-ACK or of an ICMP reply, and, where the start was not seen, the receiver of
    a packet that comes from a well-known server port and goes to none (Zeek's ``likely_server_ports``), nor to a group.
    """
    side = int(r[i, Q_SIDE])
    proto = int(r[i, Q_PROTO])
    flags = int(r[i, Q_FLAGS])
    if proto in (ICMP, ICMP6):
        return (1 - side if r[i, Q_ROLE] else side), 0
    if proto not in (TCP, UDP):
        return side, 0
    if flags & SYN:
        return (1 - side, 1) if flags & ACK else (side, 0)
    low = int(ports[int(r[i, Q_KEY2]) >> 32 & 0xFFFF])
    high = int(ports[int(r[i, Q_KEY2]) >> 16 & 0xFFFF])
    mine, other = (high, low) if side else (low, high)
    server = PORT_SERVER_TCP if proto == TCP else PORT_SERVER_UDP
    if mine & server and not other & server and not _goes_to_group(r, addresses, i):
        return 1 - side, 1
    return side, 0


@jit
def begin_flow(t: Tables, i: int, j: int) -> None:
    """Make row ``j`` a new flow that begins with packet ``i``."""
    f = t.flows
    for c in range(F_COLUMNS):
        f[j, c] = 0
    time = t.rows[i, Q_TIME]
    f[j, F_KEY1] = t.rows[i, Q_KEY1]
    f[j, F_KEY2] = t.rows[i, Q_KEY2]
    f[j, F_START] = time
    f[j, F_LAST] = time
    width = int(t.options[O_CELL])
    f[j, F_CELL] = int(time) // width * width
    f[j, F_SERIAL] = int(t.rows[i, Q_NUMBER]) << SERIAL_SHIFT | int(t.rows[i, Q_LAYER]) & SERIAL_PLACE
    origin, flipped = _originator(t.rows, t.ports, t.addresses, i)
    f[j, F_BITS] = origin * BIT_ORIGIN | BIT_NEW
    if flipped:
        f[j, F_BITS] |= BIT_FLIPPED
        note_flip(f, j)
