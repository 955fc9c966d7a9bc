"""The compiled loop that spreads flows over minutes and adds up those of one minute and pair.

`forensics.reading.spread` makes room for its tables and puts what comes out in order.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from forensics.packets._jit import entry, hot

__all__ = ["MINUTE", "spread_rows"]

Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

MINUTE = 60_000_000
"""[us]"""

_LOW32 = 0xFFFF_FFFF


@hot
def _place(key: int, key1: int, key2: int, slots: Longs, keys: Longs) -> int:
    """Return the slot that a number has in a table of open addressing, or the free one that it is to take."""
    h = ((key & _LOW32) ^ key1) * key2
    h = ((key >> 32 ^ h >> 32 ^ h) & _LOW32) * key1
    mask = slots.shape[0] - 1
    slot: int = (h >> 20) & mask
    while slots[slot] >= 0 and keys[slots[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@hot
def _upto(total: int, left: int, span: int) -> int:
    """Return how much of a figure lies in the first part of its time."""
    share = left / span
    return total if share >= 1.0 else min(math.floor(total * share), total)


@hot
def _portion(total: int, begin: int, span: int, minute: int, whole: bool) -> int:  # noqa: FBT001 - a compiled loop
    """Return how much of a figure lies in a minute; all of it where the flow lies in one."""
    if whole:
        return total
    portion = _upto(total, (minute + 1) * MINUTE - begin, span)
    if minute * MINUTE > begin:
        portion -= _upto(total, minute * MINUTE - begin, span)
    return portion


@hot
def _begin_sum(
    at: int, key: int, row: int, keys: Longs, rows: Longs, connections: Longs, sums: Longs, seen: Bytes
) -> None:
    """Begin the sum of a minute and pair."""
    keys[at] = key
    rows[at] = row
    connections[at] = 0
    for kind in range(sums.shape[0]):
        sums[kind, at] = 0
        seen[kind, at] = 0


@entry
def spread_rows(
    start: Longs,
    end: Longs,
    parts: Longs,
    pair: Longs,
    totals: Longs,
    known: Bytes,
    how: Longs,
    slots: Longs,
    keys: Longs,
    rows: Longs,
    connections: Longs,
    sums: Longs,
    seen: Bytes,
) -> int:
    """Add up the portions of flows that lie in one minute and are of one pair; return how many such sums there are.

    Parameters
    ----------
    start, end, parts
        When each flow began and ended [us], and in how many minutes it lies.
    pair
        Which pair it is of.
    totals, known
        Its figures, and 1 where there is one; a row of each for every kind of figure.
    how
        How many pairs there are; the first minute; two odd numbers of 31 bits, drawn at random.
    slots
        Room for twice as many numbers as there are portions, a power of two, all -1.
    keys
        Takes the minute and pair of each sum: minutes since the first, times the pairs, and the pair's number.
    rows
        Takes a flow that each sum has.
    connections
        Takes how many flows begin in it.
    sums, seen
        Take the figures, and 1 where there is one.
    """
    pairs, base, key1, key2 = int(how[0]), int(how[1]), int(how[2]), int(how[3])
    count = 0
    for row in range(start.shape[0]):
        begin = int(start[row])
        first = begin // MINUTE
        minutes = int(parts[row])
        span = max(min(int(end[row]), (first + minutes) * MINUTE) - begin, 1)
        for nth in range(minutes):
            key = (first + nth - base) * pairs + int(pair[row])
            slot = _place(key, key1, key2, slots, keys)
            at = int(slots[slot])
            if at < 0:
                at = count
                count += 1
                slots[slot] = at
                _begin_sum(at, key, row, keys, rows, connections, sums, seen)
            if nth == 0:
                connections[at] += 1
            for kind in range(totals.shape[0]):
                sums[kind, at] += _portion(int(totals[kind, row]), begin, span, first + nth, minutes == 1)
                seen[kind, at] |= known[kind, row]
    return count
