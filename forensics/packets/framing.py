"""Framing: where each packet of a capture begins, how long it was on the wire, when, and on which link.

The loops write a row per packet into the batch and return how many; they never look inside a packet.

References
----------
.. [1] draft-ietf-opsawg-pcap-05, *PCAP Capture File Format*: section 5, the packet record.
.. [2] draft-ietf-opsawg-pcapng-03, *PCAP Next Generation Capture File Format*: sections 4.3 (Enhanced Packet Block),
   4.4 (Simple Packet Block), appendix A (obsolete Packet Block), 4.2 (``if_tsresol``, ``if_tsoffset``).
.. [3] RFC 1761, *Snoop Version 2 Packet Capture File Format*.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import jit, part
from forensics.packets.layout import (
    ABSURD_LENGTH,
    AT,
    BAD_TIME,
    BIG,
    CONTAINER,
    DROPPED,
    GO_ON,
    I_DIVIDE,
    I_LINK,
    I_MULTIPLY,
    I_OFFSET,
    I_SECOND,
    I_SHIFT,
    I_SNAPLEN,
    JOURNAL,
    LIMIT,
    LINK,
    MALFORMED_BLOCK,
    MAX_RECORD,
    N_INTERFACES,
    NEED_CONTROL,
    NEED_DATA,
    NO_INTERFACE,
    NO_TIME,
    OK,
    OLD_LENGTHS,
    OTHER_BLOCKS,
    PCAPNG,
    Q_END,
    Q_KIND,
    Q_LINK,
    Q_START,
    Q_TIME,
    Q_WIRE,
    RECORD_HEAD,
    SECOND,
    SEEN_TIME,
    SNOOP,
    UNIT,
    UNTIMED,
    Bytes,
    Longs,
)

__all__ = ["frame", "frame_pcap", "frame_pcapng", "frame_snoop", "ticks_to_time", "u8", "u16", "u32"]

SHB, IDB, OLD_PACKET, SIMPLE_PACKET, NAMES, STATISTICS, ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 4, 5, 6
JOURNAL_ENTRY, SECRETS = 9, 10
_FAR = 4_600_000_000  # seconds; the difference of two such times in nanoseconds still fits into 63 bits


@part
def u8(b: Bytes, o: int) -> int:
    """Read a byte; the sum makes it a signed word where it is compiled, since unsigned and signed mix to a float."""
    return int(b[o]) + 0


@part
def u16(b: Bytes, o: int) -> int:
    """Read a big-endian 16-bit number."""
    return u8(b, o) << 8 | u8(b, o + 1)


@part
def u32(b: Bytes, o: int, big: int) -> int:
    """Read a 32-bit number of either byte order."""
    if big:
        return u8(b, o) << 24 | u8(b, o + 1) << 16 | u8(b, o + 2) << 8 | u8(b, o + 3)
    return u8(b, o + 3) << 24 | u8(b, o + 2) << 16 | u8(b, o + 1) << 8 | u8(b, o)


@part
def _put(rows: Longs, i: int, start: int, captured: int, wire: int, time: int, link: int) -> None:
    """Write one framed packet into the batch."""
    rows[i, Q_START] = start
    rows[i, Q_END] = start + captured
    rows[i, Q_WIRE] = wire
    rows[i, Q_TIME] = time
    rows[i, Q_LINK] = link
    rows[i, Q_KIND] = OK


@part
def frame_pcap(b: Bytes, cursor: Longs, rows: Longs, room: int) -> tuple[int, int]:
    """Frame packets of a pcap file from the cursor on.

    Returns
    -------
    tuple
        How many packets were framed, and why no more: one of the codes of `layout`.
    """
    n = b.shape[0]
    o = int(cursor[AT])
    big = int(cursor[BIG])
    unit = int(cursor[UNIT])
    link = int(cursor[LINK])
    head = int(cursor[RECORD_HEAD])
    i = 0
    status = GO_ON
    while i < room:
        if o + head > n:
            status = NEED_DATA
            break
        captured = u32(b, o + 8, big)
        wire = u32(b, o + 12, big)
        if captured > wire and cursor[OLD_LENGTHS]:
            captured, wire = wire, captured
        if captured > cursor[LIMIT]:
            status = ABSURD_LENGTH
            break
        if o + head + captured > n:
            status = NEED_DATA
            break
        time = u32(b, o, big) * SECOND + u32(b, o + 4, big) * unit
        _put(rows, i, o + head, captured, wire, time, link)
        o += head + captured
        i += 1
    cursor[AT] = o
    return i, status


@part
def frame_snoop(b: Bytes, cursor: Longs, rows: Longs, room: int) -> tuple[int, int]:
    """Frame packets of a snoop file from the cursor on.

    Returns
    -------
    tuple
        How many packets were framed, and why no more: one of the codes of `layout`.
    """
    n = b.shape[0]
    o = int(cursor[AT])
    link = int(cursor[LINK])
    i = 0
    status = GO_ON
    while i < room:
        if o + 24 > n:
            status = NEED_DATA
            break
        captured = u32(b, o + 4, 1)
        length = u32(b, o + 8, 1)
        if length > MAX_RECORD:
            status = ABSURD_LENGTH
            break
        if captured + 24 > length:
            status = MALFORMED_BLOCK
            break
        if o + length > n:
            status = NEED_DATA
            break
        time = u32(b, o + 16, 1) * SECOND + u32(b, o + 20, 1) * 1000
        _put(rows, i, o + 24, captured, u32(b, o, 1), time, link)
        cursor[DROPPED] = max(int(cursor[DROPPED]), u32(b, o + 12, 1))
        o += length
        i += 1
    cursor[AT] = o
    return i, status


@part
def ticks_to_time(high: int, low: int, interfaces: Longs, k: int) -> int:
    """Turn a pcapng timestamp into nanoseconds since 1970, or `NO_TIME` where that does not fit.

    One formula serves ``10^-n`` and ``2^-n``: whole seconds by ``I_SECOND`` ticks, the rest by a shift, a product and
    a division, each chosen so that nothing passes 63 bits.
    """
    if high >= 1 << 31:
        return NO_TIME
    rest = high << 32 | low
    whole = 0
    per_second = int(interfaces[k, I_SECOND])
    if per_second > 0:
        whole = rest // per_second
        rest -= whole * per_second
    rest >>= int(interfaces[k, I_SHIFT])
    if whole > _FAR:
        return NO_TIME
    whole += int(interfaces[k, I_OFFSET])
    if whole > _FAR or whole < -_FAR:
        return NO_TIME
    fraction = rest * int(interfaces[k, I_MULTIPLY]) // int(interfaces[k, I_DIVIDE])
    return whole * SECOND + fraction


@part
def _missing_before(b: Bytes, o: int, end: int, big: int) -> int:
    """Return what the options at ``o`` say of packets lost since the packet before (``epb_dropcount``)."""
    for _ in range(64):
        if o + 4 > end:
            break
        code, length = u16(b, o), u16(b, o + 2)
        if not big:
            code, length = code >> 8 | (code & 255) << 8, length >> 8 | (length & 255) << 8
        if code == 0:
            break
        if code == 4 and length == 8 and o + 12 <= end:
            high, low = u32(b, o + 4 if big else o + 8, big), u32(b, o + 8 if big else o + 4, big)
            return low if high == 0 else 0  # four billion packets at once are no count
        o += 4 + (length + 3 & ~3)
    return 0


@part
def _timed_packet(b: Bytes, cursor: Longs, rows: Longs, interfaces: Longs, i: int, o: int, room: int, old: int) -> int:
    """Read an Enhanced Packet Block, or an old Packet Block, whose content is ``room`` bytes at ``o``."""
    big = int(cursor[BIG])
    if room < 20:
        return 0
    captured = u32(b, o + 12, big)
    if captured > room - 20:
        return 0
    k = u32(b, o, big)
    if old:  # 16 bits of interface, 16 bits of drop count
        missing = k & 0xFFFF if big else k >> 16
        k = k >> 16 if big else k & 0xFFFF
        cursor[DROPPED] += missing if missing != 0xFFFF else 0
    elif captured + 23 < room:
        cursor[DROPPED] += _missing_before(b, o + 20 + (captured + 3 & ~3), o + room, big)
    if k >= cursor[N_INTERFACES]:
        _put(rows, i, o + 20, captured, u32(b, o + 16, big), int(cursor[SEEN_TIME]), 0)
        rows[i, Q_KIND] = NO_INTERFACE
        return 1
    time = ticks_to_time(u32(b, o + 4, big), u32(b, o + 8, big), interfaces, k)
    _put(rows, i, o + 20, captured, u32(b, o + 16, big), time, int(interfaces[k, I_LINK]))
    if time == NO_TIME:
        rows[i, Q_KIND] = BAD_TIME
        rows[i, Q_TIME] = cursor[SEEN_TIME]
    else:
        cursor[SEEN_TIME] = time
    return 1


@part
def _simple_packet(b: Bytes, cursor: Longs, rows: Longs, interfaces: Longs, i: int, o: int, room: int) -> int:
    """Read a Simple Packet Block: interface 0, no time of its own, so that the last time seen is taken and counted."""
    if room < 4:
        return 0
    wire = u32(b, o, int(cursor[BIG]))
    captured = min(wire, room - 4)
    link = 0
    if cursor[N_INTERFACES] > 0:
        snaplen = int(interfaces[0, I_SNAPLEN])
        if snaplen > 0:
            captured = min(captured, snaplen)
        link = int(interfaces[0, I_LINK])
    _put(rows, i, o + 4, captured, wire, int(cursor[SEEN_TIME]), link)
    if cursor[N_INTERFACES] == 0:
        rows[i, Q_KIND] = NO_INTERFACE
    cursor[UNTIMED] += 1
    return 1


@part
def _block_status(b: Bytes, o: int, big: int) -> int:  # noqa: PLR0911 - one per check
    """Check the frame of the block at ``o``: all of it there, its two lengths equal, its type no business of Python."""
    n = b.shape[0]
    if o + 12 > n:
        return NEED_DATA
    kind = u32(b, o, big)
    if kind == SHB:  # byte order may change: its length cannot be read yet
        return NEED_CONTROL
    length = u32(b, o + 4, big)
    if length > MAX_RECORD:
        return ABSURD_LENGTH
    if length < 12 or length % 4:
        return MALFORMED_BLOCK
    if o + length > n:
        return NEED_DATA
    if u32(b, o + length - 4, big) != length:
        return MALFORMED_BLOCK
    return NEED_CONTROL if kind in (IDB, NAMES, STATISTICS, SECRETS) else GO_ON


@part
def frame_pcapng(b: Bytes, cursor: Longs, rows: Longs, interfaces: Longs, room: int) -> tuple[int, int]:
    """Frame packets of a pcapng file from the cursor on; blocks that describe the file are left to Python.

    Returns
    -------
    tuple
        How many packets were framed, and why no more: one of the codes of `layout`.
    """
    o = int(cursor[AT])
    big = int(cursor[BIG])
    i = 0
    status = GO_ON
    while i < room:
        status = _block_status(b, o, big)
        if status != GO_ON:
            break
        kind = u32(b, o, big)
        length = u32(b, o + 4, big)
        taken = 0
        if kind in (ENHANCED_PACKET, OLD_PACKET):
            taken = _timed_packet(b, cursor, rows, interfaces, i, o + 8, length - 12, int(kind == OLD_PACKET))
        elif kind == SIMPLE_PACKET:
            taken = _simple_packet(b, cursor, rows, interfaces, i, o + 8, length - 12)
        else:
            cursor[JOURNAL if kind == JOURNAL_ENTRY else OTHER_BLOCKS] += 1
        if taken == 0 and kind in (ENHANCED_PACKET, OLD_PACKET, SIMPLE_PACKET):
            status = MALFORMED_BLOCK
            break
        i += taken
        o += length
    cursor[AT] = o
    return i, status


@jit
def frame(b: Bytes, cursor: Longs, rows: Longs, interfaces: Longs, room: int) -> tuple[int, int]:
    """Frame packets of the container that the cursor names."""
    if cursor[CONTAINER] == PCAPNG:
        return frame_pcapng(b, cursor, rows, interfaces, room)
    if cursor[CONTAINER] == SNOOP:
        return frame_snoop(b, cursor, rows, room)
    return frame_pcap(b, cursor, rows, room)
