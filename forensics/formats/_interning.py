"""The compiled loop that numbers the distinct words of a column: a table of open addressing over an arena of bytes.

`forensics.formats._vocabulary.Vocabulary` owns the table and makes room for it.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._values import eight
from forensics.packets._bits import PARTS, differing, folded
from forensics.packets._jit import entry, hot, jit

if TYPE_CHECKING:
    from forensics.formats._values import Bytes, Longs, Shorts

__all__ = [
    "CURSOR_COLUMNS",
    "C_FIRST_KEY",
    "C_LOCAL",
    "C_PASS",
    "C_REHASH",
    "C_ROW",
    "C_USED",
    "C_WORDS",
    "KEYS",
    "MASKS",
    "WORD_COLUMNS",
    "W_BEGIN",
    "W_HASH",
    "W_SIZE",
    "intern_words",
    "number_as_met",
    "recode",
]

_LOW32 = 0xFFFF_FFFF

C_WORDS, C_USED, C_ROW, C_LOCAL, C_PASS, C_REHASH, C_FIRST_KEY = range(7)
"""What the table of words knows of itself: words and bytes it holds; the row to go on with; distinct words that this
pass met; number of the pass; whether the slots are new; the first of the keys."""

KEYS = 10
CURSOR_COLUMNS = C_FIRST_KEY + KEYS

SHORT = 8 * PARTS
"""Most bytes of a word that stand beside what else is known of it, so that one look tells whether it is the one. [B]"""

W_SIZE, W_HASH, W_MET, W_BEGIN = range(PARTS, PARTS + 4)
"""A word, behind its first `SHORT` bytes, eight in each: how many it has, above eight bits for its kind; its hash; the
last pass that met it, above 32 bits for which of the pass's words it was; where its bytes begin."""

WORD_COLUMNS = 8

MASKS = np.array(
    [[(1 << 8 * min(max(size - at, 0), 8)) - 1 for at in range(0, SHORT, 8)] for size in range(SHORT + 1)], np.uint64
).view(np.int64)
"""Which bits of the first `SHORT` bytes belong to a word of so many bytes: taken from a table, since a branch for each
eight bytes is one that nobody can foresee."""


@hot
def _behind(eights: Longs, at: int, size: int, h: int, cursor: Longs) -> int:
    """Return the hash of a long word, from that of its first `SHORT` bytes."""
    low, high, again = int(cursor[C_FIRST_KEY]), int(cursor[C_FIRST_KEY + PARTS]), int(cursor[C_FIRST_KEY + 9])
    for k in range(SHORT, size, 8):
        part = eight(eights, at + k, size - k)
        # products of 32 and 31 bits, so that compiled and plain agree
        h = (part & _LOW32) * low ^ (part >> 32 & _LOW32) * high ^ ((h ^ h >> 32) & _LOW32) * again
    return h


@hot
def _mixed(h: int, key: int) -> int:
    """Have all bits of a hash tell of all others."""
    h ^= h >> 32
    h = (h & _LOW32) * key ^ h >> 32
    return h ^ h >> 29


@hot
def _equal(eights: Longs, at: int, arena: Longs, begin: int, size: int) -> bool:
    """Compare what a word has behind its first `SHORT` bytes with one of the arena, eight bytes a step."""
    k = SHORT
    while k < size and eight(eights, at + k, size - k) == eight(arena, begin + k, size - k):
        k += 8
    return k >= size


@jit
def _fill_slots(cursor: Longs, words: Longs, slots: Longs) -> None:
    """Fill new slots with the words known: the top bits of the hash beside the word's number."""
    mask = slots.shape[0] - 1
    for w in range(int(cursor[C_WORDS])):
        h = int(words[w, W_HASH])
        at = h & mask
        while slots[at] >= 0:
            at = (at + 1) & mask
        slots[at] = (h >> 32) << 32 | w
    cursor[C_REHASH] = 0


@jit
def _add(eights: Longs, at: int, size: int, kind: int, h: int, cursor: Longs, words: Longs, arena: Longs) -> int:
    """Put a new word into the table; return its number, or -1 where there is no room."""
    w = int(cursor[C_WORDS])
    used = int(cursor[C_USED])
    if w >= words.shape[0] or used + size + 8 > arena.shape[0]:
        return -1
    for k in range(0, size, 8):
        arena[used + k] = eight(eights, at + k, size - k)
    for part in range(min(size, SHORT) + 7 >> 3):
        words[w, part] = arena[used + 8 * part]
    words[w, W_SIZE] = size << 8 | kind
    words[w, W_HASH] = h
    words[w, W_MET] = 0
    words[w, W_BEGIN] = used
    cursor[C_WORDS] = w + 1
    cursor[C_USED] = used + size
    return w


@hot
def _word(
    data: Bytes,
    eights: Longs,
    at: int,
    size: int,
    kind: int,
    cursor: Longs,
    words: Longs,
    slots: Longs,
    arena: Longs,
    masks: Longs,
) -> int:
    """Return the number of a word, giving it one where it is new; -1 where there is no room for it."""
    known, whole = min(size, SHORT), size << 8 | kind
    h = folded(data, at, masks, known, cursor, C_FIRST_KEY) ^ whole * int(cursor[C_FIRST_KEY + 8])
    if size > SHORT:
        h = _behind(eights, at, size, h, cursor)
    h = _mixed(h, int(cursor[C_FIRST_KEY + 9]))
    mask = slots.shape[0] - 1
    top = h >> 32
    slot = h & mask
    w = -1
    while True:
        held = int(slots[slot])
        if held < 0:
            w = _add(eights, at, size, kind, h, cursor, words, arena)
            if w >= 0:
                slots[slot] = top << 32 | w
            break
        if held >> 32 == top:
            w = held & _LOW32
            differ = differing(data, at, masks, known, words, w) | (int(words[w, W_SIZE]) ^ whole)
            if differ == 0 and (size <= SHORT or _equal(eights, at, arena, int(words[w, W_BEGIN]), size)):
                break
        slot = (slot + 1) & mask
    return w


@entry
def intern_words(
    data: Bytes,
    eights: Longs,
    begin: Shorts,
    end: Shorts,
    kinds: Bytes,
    cursor: Longs,
    words: Longs,
    slots: Longs,
    arena: Longs,
    masks: Longs,
    codes: Shorts,
    order: Shorts,
) -> None:
    """Number the distinct words of a column in the order in which they come, from row ``cursor[C_ROW]`` on.

    Ends before its last row where the table has no more room.

    Parameters
    ----------
    data, eights, begin, end
        The spans, with the bytes also as `by_eight` gives them, `SHORT` of them readable from the begin of each; an
        empty one is no word.
    kinds
        A small number for each, that makes equal bytes different words.
    cursor, words, slots, arena
        The table: what it knows of itself (``C_*``), its words (``W_*``; half as many as slots), places by
        hash, bytes as `by_eight` gives them.
    masks
        `MASKS`.
    codes
        Takes for each row which of the column's words it holds, -1 for none.
    order
        Takes the numbers that those words have in the table.
    """
    if cursor[C_REHASH] == 1:
        _fill_slots(cursor, words, slots)
    now = int(cursor[C_PASS])
    local = int(cursor[C_LOCAL])
    row = int(cursor[C_ROW])
    while row < begin.shape[0]:
        at = int(begin[row])
        size = int(end[row]) - at
        if size <= 0:
            codes[row] = -1
        else:
            w = _word(data, eights, at, size, int(kinds[row]), cursor, words, slots, arena, masks)
            if w < 0:
                break
            met = int(words[w, W_MET])
            if met >> 32 != now:
                met = now << 32 | local
                words[w, W_MET] = met
                order[local] = w
                local += 1
            codes[row] = met & _LOW32
        row += 1
    cursor[C_LOCAL] = local
    cursor[C_ROW] = row


@entry
def recode(codes: Shorts, turned: Shorts, out: Shorts) -> None:
    """Give each row what its code turns into, -1 where it has none."""
    for row in range(codes.shape[0]):
        code = int(codes[row])
        out[row] = turned[code] if code >= 0 else -1


@entry
def number_as_met(order: Shorts, places: Shorts, numbers: Shorts, met: Shorts, turned: Shorts) -> int:
    """Number the values of some words in the order in which they come; return how many there are.

    Parameters
    ----------
    order
        The words.
    places
        Which value each word of the table has; one below 0 is none.
    numbers
        Room for a number for each value, all -1; it is so again in the end.
    met
        Takes the values.
    turned
        Takes for each of the words the number of its value, or what is none.
    """
    count = 0
    for k in range(order.shape[0]):
        place = int(places[order[k]])
        if place < 0:
            turned[k] = place
            continue
        if numbers[place] < 0:
            numbers[place] = count
            met[count] = place
            count += 1
        turned[k] = numbers[place]
    for k in range(count):
        numbers[met[k]] = -1
    return count
