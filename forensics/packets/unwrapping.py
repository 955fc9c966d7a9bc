"""What packets bring besides themselves: the layers that tunnels carry, and the parts of 802.11 aggregates.

The batch is copied, each row followed by rows for what its packet carries. An aggregate (A-MSDU) is several packets in
one frame; its frame has no row of its own, but one for each of them. Their IP bytes are their own, as with Zeek, and
the bytes of the frame are shared out, so that none counts twice: tshark counts the whole frame for each.

References
----------
.. [1] IEEE 802.11-2020, clause 9.3.2.2 (A-MSDU): parts padded to four bytes, the last one not.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import entry, jit
from forensics.packets.decode import begin_row, may_carry, network
from forensics.packets.ethertypes import AGGREGATE, IPV4, IPV6, by_ethertype, llc
from forensics.packets.framing import u16
from forensics.packets.layout import (
    AGGREGATED,
    BAD_AGGREGATE,
    CUT_LINK,
    FR_AT,
    FROM_AGGREGATE,
    FURTHER_PACKETS,
    LAYER_BITS,
    LAYER_MASK,
    LAYERS,
    MARK_CARRIES,
    MOST_PARTS,
    NOT_IP,
    NUMBER,
    OK,
    Q_COLUMNS,
    Q_DATA,
    Q_DATA_END,
    Q_END,
    Q_KIND,
    Q_LAYER,
    Q_MARKS,
    Q_NUMBER,
    Q_PAYLOAD,
    Q_START,
    Q_WIRE,
    ROWS,
    SPARE_ROWS,
    TUNNELLED,
    UNWRAPPED,
    Bytes,
    Longs,
    Tables,
)
from forensics.packets.tunnels import inside
from forensics.packets.wireless import PART_HEAD

__all__ = ["unwrap"]


@jit
def _chain(b: Bytes, words: Longs, t: Tables, k: int) -> tuple[int, int]:
    """Put what row ``k`` of the spare batch carries behind it, layer by layer.

    Returns
    -------
    tuple
        The last row, and where an aggregate begins that it carries, or -1.
    """
    rows = t.spare
    i = int(rows[k, Q_NUMBER] - t.cursor[NUMBER]) - 1
    while int(rows[k, Q_LAYER]) & LAYER_MASK < LAYERS - 1 and may_carry(t.ports, rows, k):
        kind, at = inside(b, rows, k)
        if kind == AGGREGATE:
            return k, at
        if kind not in (IPV4, IPV6):
            break
        begin_row(t.frames, t.cursor, rows, i, k + 1, int(rows[k, Q_LAYER]) + 1)
        rows[k + 1, Q_WIRE] = rows[k, Q_WIRE]
        room = int(rows[k, Q_PAYLOAD]) - (at - int(rows[k, Q_DATA]))
        if network(b, words, t, rows, k + 1, kind, at, int(rows[k, Q_DATA_END]), room) != OK:
            break  # it cannot be read: the packet stays its carrier's alone
        rows[k, Q_MARKS] |= MARK_CARRIES
        t.cursor[TUNNELLED] += 1
        k += 1
    return k, -1


@jit
def _part(b: Bytes, words: Longs, t: Tables, m: int, o: int, end: int, stop: int) -> int:
    """Decode the part of an aggregate at ``o`` into row ``m``; return where the next one begins, -1 where none can.

    ``end`` is where the capture of the aggregate ends, and ``stop`` where it ended on the wire. [B]
    """
    t.spare[m, Q_KIND] = CUT_LINK
    if o + PART_HEAD > end:
        return -1
    last = o + PART_HEAD + u16(b, o + 12)
    if last > stop:
        t.spare[m, Q_KIND] = BAD_AGGREGATE
        return -1
    if last < o + PART_HEAD + 2:
        return -1
    kind, at = llc(b, o + PART_HEAD, min(end, last))
    if kind >= 0x0600:
        kind, at = by_ethertype(b, at, min(end, last), kind)
    network(b, words, t, t.spare, m, kind, at, min(end, last), last - at)
    if t.spare[m, Q_KIND] == NOT_IP and int(t.spare[m, Q_LAYER]) & LAYER_MASK == 0:
        t.ethertypes[kind & 0xFFFF] += 1
    following = o + (last - o + 3 & ~3)
    return following if following + PART_HEAD <= stop else stop


@jit
def _parts(b: Bytes, words: Longs, t: Tables, k: int, o: int, end: int, stop: int, place: int, wire: int) -> int:
    """Put the parts of an aggregate, and what they carry, behind row ``k``; return the last row.

    Each has the bytes of its part on the wire; the first one those before it besides, the last one those behind it.
    What cannot be read is a row in an aggregate of the link, and stays its carrier's in a tunnel.

    Parameters
    ----------
    b, words, t, k
        As for `_chain`.
    o, end, stop
        Where the first part begins, where the capture of them ends, where they ended on the wire. [B]
    place, wire
        `Q_LAYER` of the first part, and how many bytes there are to share out.
    """
    i = int(t.cursor[UNWRAPPED])
    before = stop - wire  # from where the bytes of the next part are counted
    part = 0
    while 0 <= o < stop:
        m = k + 1
        begin_row(t.frames, t.cursor, t.spare, i, m, place | part << LAYER_BITS)
        if part == MOST_PARTS:
            t.spare[m, Q_KIND] = BAD_AGGREGATE
            o = -1
        else:
            o = _part(b, words, t, m, o, end, stop)
        part += 1
        t.spare[m, Q_WIRE] = (o if o >= 0 else stop) - before
        before = o
        if t.spare[m, Q_KIND] == OK:
            t.cursor[TUNNELLED] += int(place & LAYER_MASK > 0)
            k = _chain(b, words, t, m)[0]
        elif place & LAYER_MASK == 0:
            k = m
    if place & LAYER_MASK == 0:
        t.cursor[FURTHER_PACKETS] += part - 1
    return k


@jit
def _unwrap_aggregate(b: Bytes, words: Longs, t: Tables, i: int, k: int) -> int:
    """Put the parts of frame ``i`` behind row ``k``; return the last row."""
    f = t.frames
    wire = int(f[i, Q_WIRE])
    stop = max(int(f[i, Q_START]) + wire, int(f[i, Q_END]))
    return _parts(b, words, t, k, int(f[i, FR_AT]), int(f[i, Q_END]), stop, FROM_AGGREGATE, wire)


@jit
def _unwrap_row(b: Bytes, words: Longs, t: Tables, k: int) -> int:
    """Put what row ``k`` carries behind it; return the last row."""
    k, at = _chain(b, words, t, k)
    if at < 0:
        return k
    rows = t.spare
    stop = int(rows[k, Q_DATA]) + int(rows[k, Q_PAYLOAD])
    place = int(rows[k, Q_LAYER]) + 1 | FROM_AGGREGATE
    last = _parts(b, words, t, k, at, int(rows[k, Q_DATA_END]), stop, place, int(rows[k, Q_WIRE]))
    if last > k:
        rows[k, Q_MARKS] |= MARK_CARRIES
    return last


@entry
def unwrap(b: Bytes, words: Longs, t: Tables) -> int:
    """Copy the batch into the spare one, each row followed by what its packet carries, aggregates as their parts.

    Parameters
    ----------
    b, words
        The buffer, once as bytes and once as words of eight bytes.
    t
        The engine's arrays; the spare batch has room for `layout.LAYERS` rows of every packet.

    Returns
    -------
    int
        1 when done; 0 when the spare batch needs more room, with which this is to be called again.
    """
    k = int(t.cursor[SPARE_ROWS]) - 1
    while t.cursor[UNWRAPPED] < t.cursor[ROWS]:
        if k + 1 + MOST_PARTS * LAYERS + LAYERS > t.spare.shape[0]:
            t.cursor[SPARE_ROWS] = k + 1
            return 0
        i = int(t.cursor[UNWRAPPED])
        if t.rows[i, Q_KIND] == AGGREGATED:
            k = _unwrap_aggregate(b, words, t, i, k)
        else:
            k += 1
            for c in range(Q_COLUMNS):
                t.spare[k, c] = t.rows[i, c]
            if t.rows[i, Q_KIND] == OK:
                k = _unwrap_row(b, words, t, k)
        t.cursor[UNWRAPPED] += 1
    t.cursor[ROWS] = k + 1
    t.cursor[UNWRAPPED] = 0
    t.cursor[SPARE_ROWS] = 0
    return 1
