"""Sequence numbers of a TCP connection: what was sent again, what is missing, exact across disorder.

Each direction has the number expected next, and a short list of holes: numbers passed over, because their segment came
later, was lost in the capture, or was never sent. A segment below the expected number fills holes with what was
missing; the rest of it was sent again. A hole that the receiver acknowledges was sent, and the capture lacks it.

A FIN takes a number and is no payload: a late one fills its number. One that the capture lacks looks like a byte of
payload; it is taken for a FIN where the other end has closed as well, and nothing came behind it.

References
----------
.. [1] RFC 9293, section 3.4: sequence numbers and their arithmetic modulo 2^32.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

import numpy as np

from forensics.packets._jit import hot, jit
from forensics.packets.layout import (
    BIT_FIN,
    BIT_SEQ,
    F_AGAIN,
    F_BITS,
    F_HIGH,
    F_HOLES,
    F_SEQ,
    H_END,
    H_NEXT,
    H_START,
    HOLE_BITS,
    HOLE_FREE,
    HOLE_TOP,
    HOLES_LOST,
    MOST_HOLES,
    SECOND,
    Longs,
)
from forensics.packets.tcp import is_closed

__all__ = [
    "close_sequences",
    "follow_sequence",
    "initial_numbers",
    "initial_sequence",
    "is_hole_acknowledged",
    "note_acknowledged",
]

_MASK = 0xFFFF_FFFF
_HALF = 1 << 31
_FIRST_HOLE = (1 << HOLE_BITS) - 1
_FAR = 1 << 24
"""A jump by more than this is a loss only where time has passed: else the numbers are damaged. [B]"""

_SPEED = 12
"""What a link may carry while the capture has gaps, 100 Gbit/s. [B/ns]"""

_MOST_MISSING = 1 << 46
"""Above this nothing more is counted as missing, so that the count keeps to its bits. [B]"""


@hot
def initial_sequence(flows: Longs, j: int, side: int) -> int:
    """Return the number behind a direction's SYN, 0 where none was seen."""
    return (int(flows[j, F_SEQ + F_HIGH * side]) >> 32) + _HALF


def initial_numbers(flows: Longs, side: int) -> Longs:
    """Return the initial sequence numbers of one direction of closed flows, -1 where no SYN was seen."""
    behind = (flows[:, F_SEQ + F_HIGH * side] >> 32) + _HALF
    unknown = (flows[:, F_BITS] & BIT_SEQ << side == 0) | (behind == 0)
    return np.where(unknown, -1, behind - 1 & _MASK)


@hot
def _expect(flows: Longs, j: int, side: int, number: int) -> None:
    """Set the number expected next."""
    at = F_SEQ + F_HIGH * side
    flows[j, at] = int(flows[j, at]) >> 32 << 32 | number & _MASK


@jit
def _take_hole(holes: Longs, cursor: Longs) -> int:
    """Return a free row of the table of holes, 0 where there is none."""
    k = int(cursor[HOLE_FREE])
    if k > 0:
        cursor[HOLE_FREE] = holes[k, H_NEXT]
        return k
    k = int(cursor[HOLE_TOP]) + 1
    if k >= holes.shape[0]:
        cursor[HOLES_LOST] += 1
        return 0
    cursor[HOLE_TOP] = k
    return k


@jit
def _free_hole(holes: Longs, cursor: Longs, k: int) -> None:
    """Give a row of the table of holes back."""
    holes[k, H_NEXT] = cursor[HOLE_FREE]
    cursor[HOLE_FREE] = k


@jit
def _lacks_fin(flows: Longs, holes: Longs, j: int, side: int) -> int:
    """Tell whether the last number of a direction is missing, and is that of its FIN: the other end sent its own."""
    bits = int(flows[j, F_BITS])
    k = int(flows[j, F_HOLES + F_HIGH * side]) & _FIRST_HOLE
    if k == 0 or is_closed(bits) or not bits & BIT_FIN << 1 - side:
        return 0
    return int(holes[k, H_END] == int(flows[j, F_SEQ + F_HIGH * side]) & _MASK)


@jit
def close_sequences(flows: Longs, holes: Longs, cursor: Longs, j: int) -> None:
    """Give back the holes of a flow that is over; how much payload is missing stays."""
    for side in range(2):
        at = F_HOLES + F_HIGH * side
        flows[j, at] -= _lacks_fin(flows, holes, j, side) << HOLE_BITS
        k = int(flows[j, at]) & _FIRST_HOLE
        while k > 0:
            following = int(holes[k, H_NEXT])
            _free_hole(holes, cursor, k)
            k = following
        flows[j, at] = int(flows[j, at]) >> HOLE_BITS << HOLE_BITS


@jit
def _reach(idle: int) -> int:
    """Return how far numbers may jump after a silence. [B]"""
    return min(_HALF, _FAR + _SPEED * min(max(0, idle), SECOND))


@jit
def _give_up_oldest(holes: Longs, cursor: Longs, k: int) -> None:
    """Give up the last of the holes from ``k`` on where there is one too many."""
    for _ in range(MOST_HOLES - 1):
        if holes[k, H_NEXT] == 0:
            return
        k = int(holes[k, H_NEXT])
    oldest = int(holes[k, H_NEXT])
    if oldest:
        holes[k, H_NEXT] = 0
        _free_hole(holes, cursor, oldest)


@jit
def _open_hole(flows: Longs, holes: Longs, cursor: Longs, j: int, side: int, start: int, end: int) -> None:
    """Note that the numbers from ``start`` to ``end`` were passed over."""
    at = F_HOLES + F_HIGH * side
    size = end - start & _MASK
    if int(flows[j, at]) >> HOLE_BITS > _MOST_MISSING:
        cursor[HOLES_LOST] += 1
        return
    flows[j, at] += size << HOLE_BITS
    first = int(flows[j, at]) & _FIRST_HOLE
    k = _take_hole(holes, cursor) if size < _FAR else 0  # nobody sends that much again
    if k == 0:
        return
    holes[k, H_START] = start
    holes[k, H_END] = end
    holes[k, H_NEXT] = first
    flows[j, at] += k - first
    _give_up_oldest(holes, cursor, k)


@jit
def _shrink_hole(holes: Longs, cursor: Longs, k: int, following: int, high: int, low: int) -> int:
    """Take the numbers from ``high`` to ``low``, as distances back from ``following``, out of hole ``k``.

    Returns
    -------
    int
        1 where nothing is left of the hole.
    """
    far = following - int(holes[k, H_START]) & _MASK
    near = following - int(holes[k, H_END]) & _MASK
    if high < far and low > near:  # the middle: the earlier part becomes a hole of its own, the next to be given up
        extra = _take_hole(holes, cursor)
        if extra > 0:
            holes[extra, H_START] = holes[k, H_START]
            holes[extra, H_END] = following - high & _MASK
            holes[extra, H_NEXT] = holes[k, H_NEXT]
            holes[k, H_NEXT] = extra
        holes[k, H_START] = following - low & _MASK
    elif high < far:
        holes[k, H_END] = following - high & _MASK
    elif low > near:
        holes[k, H_START] = following - low & _MASK
    else:
        return 1
    return 0


@jit
def _fill(flows: Longs, holes: Longs, cursor: Longs, j: int, side: int, start: int, end: int) -> int:
    """Fill holes with the numbers from ``start`` to ``end``; return how many of them were missing."""
    at = F_HOLES + F_HIGH * side
    following = int(flows[j, F_SEQ + F_HIGH * side]) & _MASK
    far = following - start & _MASK  # distances back from the number expected next
    near = following - end & _MASK
    before = 0
    filled = 0
    k = int(flows[j, at]) & _FIRST_HOLE
    while k > 0:
        after = int(holes[k, H_NEXT])
        high = min(far, following - int(holes[k, H_START]) & _MASK)
        low = max(near, following - int(holes[k, H_END]) & _MASK)
        gone = 0
        if high > low:
            filled += high - low
            gone = _shrink_hole(holes, cursor, k, following, high, low)
        if gone == 0:
            before = k
        elif before:
            holes[before, H_NEXT] = after
        else:
            flows[j, at] += after - k
        if gone:
            _free_hole(holes, cursor, k)
        k = after
    flows[j, at] -= filled << HOLE_BITS
    first = int(flows[j, at]) & _FIRST_HOLE
    if first:  # one may have fallen into two
        _give_up_oldest(holes, cursor, first)
    return filled


@hot
def follow_sequence(
    flows: Longs,
    holes: Longs,
    cursor: Longs,
    j: int,
    side: int,
    seq: int,
    length: int,
    first: int,
    last: int,
    idle: int,
) -> int:
    """Take a segment into the sequence numbers of its direction.

    Parameters
    ----------
    flows, holes, cursor
        The engine's arrays.
    j, side
        The flow, and the end that sent the segment.
    seq, length
        Its sequence number and its payload as it was on the wire. [B]
    first, last
        1 where it has SYN, FIN.
    idle
        How long the flow was silent before. [ns]

    Returns
    -------
    int
        1 where it sends again payload that was sent before or passed over, else 0.
    """
    bits = int(flows[j, F_BITS])
    at = F_SEQ + F_HIGH * side
    known = int(flows[j, at])
    if bits & BIT_SEQ << side and seq == known & _MASK:
        flows[j, at] = known >> 32 << 32 | seq + length + first + last & _MASK
        return 0
    return _irregular(flows, holes, cursor, j, side, seq, length, first, last, idle)


@jit
def _pass_over(flows: Longs, holes: Longs, cursor: Longs, j: int, side: int, seq: int, length: int, reach: int) -> None:
    """Take a segment in that ends above the number expected next; a jump of ``reach`` or more is no loss."""
    following = int(flows[j, F_SEQ + F_HIGH * side]) & _MASK
    gap = seq - following & _MASK
    if gap >= _HALF:  # begins below: some of it was sent again
        again = min(following - seq & _MASK, length)
        flows[j, F_AGAIN + F_HIGH * side] += again - _fill(flows, holes, cursor, j, side, seq, following)
    elif 0 < gap < reach:
        _open_hole(flows, holes, cursor, j, side, following, seq)


@jit
def _irregular(
    flows: Longs,
    holes: Longs,
    cursor: Longs,
    j: int,
    side: int,
    seq: int,
    length: int,
    first: int,
    last: int,
    idle: int,
) -> int:
    """Take a segment in that is not the one expected next; as `follow_sequence`."""
    column = F_SEQ + F_HIGH * side
    bits = int(flows[j, F_BITS])
    stop = seq + length + first + last & _MASK
    if not bits & BIT_SEQ << side:
        flows[j, F_BITS] = bits | BIT_SEQ << side
        flows[j, column] = ((seq + 1 & _MASK) - _HALF if first else -_HALF) << 32 | stop
        return 0
    following = int(flows[j, column]) & _MASK
    begun = initial_sequence(flows, j, side)
    if first:
        flows[j, column] = ((seq + 1 & _MASK) - _HALF) << 32 | following
    ahead = stop - following & _MASK
    if 0 < ahead < _HALF:
        _pass_over(flows, holes, cursor, j, side, seq, length, 0 if first else _reach(idle))
        _expect(flows, j, side, stop)
        return 0
    if last and following - stop & _MASK < _FAR:
        _fill(flows, holes, cursor, j, side, stop - 1 & _MASK, stop)
    if length > 0 and following - seq & _MASK < _FAR:
        filled = _fill(flows, holes, cursor, j, side, seq, seq + length & _MASK)
        flows[j, F_AGAIN + F_HIGH * side] += length - filled
        return 1
    if first and (begun != seq + 1 & _MASK if begun else following - stop & _MASK >= _FAR):
        _expect(flows, j, side, stop)  # a new connection's numbers; the same SYN sent again, or late, changes nothing
    return 0


@hot
def note_acknowledged(flows: Longs, holes: Longs, cursor: Longs, j: int, side: int, ack: int, idle: int) -> None:
    """Note what the receiver acknowledges and the capture does not have; ``side`` is the end that sent it."""
    if not int(flows[j, F_BITS]) & BIT_SEQ << side:
        return
    following = int(flows[j, F_SEQ + F_HIGH * side]) & _MASK
    gap = ack - following & _MASK
    if 0 < gap < _HALF and gap < _reach(idle):
        _expect(flows, j, side, ack)
        _open_hole(flows, holes, cursor, j, side, following, ack)


@jit
def is_hole_acknowledged(flows: Longs, holes: Longs, j: int, side: int, ack: int) -> int:
    """Tell whether the receiver acknowledges numbers that were passed over; ``side`` is the end that sent them."""
    k = int(flows[j, F_HOLES + F_HIGH * side]) & _FIRST_HOLE
    if k == 0:  # so much was missing that no hole was kept
        return 1
    while k > 0:
        if ack - int(holes[k, H_END]) & _MASK < _HALF:
            return 1
        k = int(holes[k, H_NEXT])
    return 0
