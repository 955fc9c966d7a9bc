"""The compiled loop that spreads flows over minutes and adds up those of one minute and pair.

`forensics.reading.spread` makes room for its tables and puts what comes out in order.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from forensics.packets._jit import entry, hot

__all__ = [
    "FIGURES",
    "MINUTE",
    "SUM_COLUMNS",
    "S_CONNECTIONS",
    "S_FIGURES",
    "S_KEY",
    "S_ROW",
    "S_SEEN",
    "count_minutes",
    "find_numbers",
    "find_used",
    "number_pairs",
    "put_in_order",
    "spread_rows",
]

Longs = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

MINUTE = 60_000_000
"""[us]"""

_LOW32 = 0xFFFF_FFFF

S_KEY, S_ROW, S_CONNECTIONS, S_SEEN, S_FIGURES = range(5)
"""A sum: minute and pair, minutes since the first, times the pairs, and the pair's number; a flow that it has; how many
flows begin in it; a bit for each kind of figure that any of them has; its figures. They fill a line of the processor's
cache, so that one look finds all."""

FIGURES = 4
SUM_COLUMNS = S_FIGURES + FIGURES


@entry
def count_minutes(start: Longs, end: Longs, most: int, first: Longs, parts: Longs) -> None:
    """Find the first minute of each flow, and in how many it lies.

    Parameters
    ----------
    start, end
        When each began and ended. [us]
    most
        How many minutes count of one.
    first, parts
        Take the first minutes, and how many there are.
    """
    for row in range(start.shape[0]):
        begin = int(start[row])
        first[row] = begin // MINUTE
        # What ends on the stroke of a minute has nothing in the minute that begins then.
        parts[row] = min(max(int(end[row]) - 1, begin) // MINUTE - first[row] + 1, most)


@hot
def _has(valid: Bytes, row: int) -> bool:
    """Tell whether a row has a word; all have one where nothing is said."""
    return valid.shape[0] == 0 or bool(valid[row])


@entry
def find_used(places: Shorts, valid: Bytes, used: Bytes) -> None:
    """Tell with 1 which words of a dictionary rows have."""
    for row in range(places.shape[0]):
        if _has(valid, row):
            used[places[row]] = 1


@entry
def number_pairs(places: Shorts, valid: Bytes, numbers: Shorts, distinct: int, pair: Longs) -> None:
    """Tell pairs apart by one more column of words.

    Parameters
    ----------
    places, valid
        Which word of its dictionary each row has, and 1 where it has one; nothing where all have.
    numbers
        The number of each word of the dictionary.
    distinct
        How many numbers there are; where there are nulls, theirs is the last.
    pair
        The numbers of the pairs by the columns before; takes those by all.
    """
    for row in range(places.shape[0]):
        number = int(numbers[places[row]]) if _has(valid, row) else distinct - 1
        pair[row] = pair[row] * distinct + number


@entry
def find_numbers(places: Shorts, valid: Bytes, numbers: Shorts, rows: Longs, found: Shorts, known: Bytes) -> None:
    """Find the numbers of the words that some rows have; see `number_pairs`.

    Parameters
    ----------
    places, valid, numbers
        The column.
    rows
        The rows.
    found, known
        Take the number of each, 0 where it has none, and 1 where it has one.
    """
    for k in range(rows.shape[0]):
        row = rows[k]
        has = _has(valid, row)
        found[k] = numbers[places[row]] if has else 0
        known[k] = 1 if has else 0


DIGIT = 11
"""Bits by which numbers are put in order at a time."""


@entry
def put_in_order(keys: Longs, bits: int, counts: Longs, order: Longs, other: Longs) -> int:
    """Find the order of numbers of so many bits, digit by digit from the last; return 1 where ``other`` has it.

    Parameters
    ----------
    keys
        The numbers.
    bits
        How many bits the largest has.
    counts
        Room for as many numbers as a digit may be.
    order, other
        Take the places of the numbers in their order; ``order`` holds them in any order of digits that count no more.
    """
    last = 0
    for shift in range(0, bits, DIGIT):
        source, target = (other, order) if last == 1 else (order, other)
        counts[:] = 0
        for k in range(keys.shape[0]):
            counts[(keys[k] >> shift) & (counts.shape[0] - 1)] += 1
        behind = 0
        for digit in range(counts.shape[0]):
            count = counts[digit]
            counts[digit] = behind
            behind += count
        for k in range(keys.shape[0]):
            place = source[k]
            digit = (keys[place] >> shift) & (counts.shape[0] - 1)
            target[counts[digit]] = place
            counts[digit] += 1
        last = 1 - last
    return last


@hot
def _place(key: int, key1: int, key2: int, slots: Longs) -> int:
    """Return the slot that a number has in a table of open addressing, or the free one that it is to take."""
    h = ((key & _LOW32) ^ key1) * key2
    h = ((key >> 32 ^ h >> 32 ^ h) & _LOW32) * key1
    mask = slots.shape[0] - 1
    slot: int = (h >> 20) & mask
    while (slots[slot] != key) & (slots[slot] >= 0):  # at once: which of the two it is nobody can foresee
        slot = (slot + 1) & mask
    return slot


@hot
def _upto(total: int, left: int, span: int) -> int:
    """Return how much of a figure lies in the first part of its time."""
    share = left / span
    return total if share >= 1.0 else min(math.floor(total * share), total)


@hot
def _portion(total: int, begin: int, span: int, minute: int) -> int:
    """Return how much of a figure lies in a minute."""
    portion = _upto(total, (minute + 1) * MINUTE - begin, span)
    if minute * MINUTE > begin:
        portion -= _upto(total, minute * MINUTE - begin, span)
    return portion


@entry
def spread_rows(
    start: Longs,
    end: Longs,
    first: Longs,
    parts: Longs,
    pair: Longs,
    totals: Longs,
    known: Bytes,
    how: Longs,
    slots: Longs,
    places: Shorts,
    sums: Longs,
) -> int:
    """Add up the portions of flows that lie in one minute and are of one pair; return how many such sums there are.

    Parameters
    ----------
    start, end, first, parts
        When each flow began and ended [us], its first minute, and in how many it lies.
    pair
        Which pair it is of.
    totals, known
        Its figures, and 1 where there is one; a row of each for every kind of figure.
    how
        How many pairs there are; the first minute; two odd numbers of 31 bits, drawn at random.
    slots, places
        Room for twice as many numbers as there are portions, a power of two; all of ``slots`` are -1. They take the
        minutes and pairs, and which sum is that of each.
    sums
        Takes the sums (``S_*``); room for one more than there are portions.
    """
    pairs, base, key1, key2 = int(how[0]), int(how[1]), int(how[2]), int(how[3])
    count = 0
    for row in range(start.shape[0]):
        begin, minutes = int(start[row]), int(parts[row])
        behind = int(first[row]) + minutes
        for minute in range(behind - minutes, behind):
            key = (minute - base) * pairs + int(pair[row])
            slot = _place(key, key1, key2, slots)
            # Whether a sum is a new one nobody can foresee: no branch, but the next free one is made ready each time.
            for column in range(SUM_COLUMNS):
                sums[count, column] = 0
            new = slots[slot] < 0
            at = count if new else int(places[slot])
            count += 1 if new else 0
            slots[slot] = key
            places[slot] = at
            sums[at, S_KEY] = key
            sums[at, S_ROW] = row
            sums[at, S_CONNECTIONS] += 1 if minute == first[row] else 0
            span = max(min(int(end[row]), behind * MINUTE) - begin, 1)
            for kind in range(totals.shape[0]):
                total = int(totals[kind, row])
                sums[at, S_FIGURES + kind] += total if minutes == 1 else _portion(total, begin, span, minute)
                sums[at, S_SEEN] |= int(known[kind, row]) << kind
    return count
