"""Hash tables of the engine: flows, IPv6 addresses and fragments, open addressing over integer arrays.

A flow knows an IPv4 address as its number and an IPv6 address as an index into the table of addresses, which keeps its
key in two words and exact: two different pairs never share a key, whatever their hashes.

The factors of the hash are drawn anew for every pass: with known ones, a capture could be written whose flows all fall
into one place of the table, and each would take a look at all others. What comes out does not depend on them: rows
stand in the order in which they were begun, and a hash says only where to look. Fragments are the exception. Of two in
one place the older is forgotten, which shows in the tables, so that their factors are fixed; a place takes one look,
whatever falls into it.

References
----------
.. [1] S. Crosby, D. Wallach, *Denial of Service via Algorithmic Complexity Attacks*, USENIX Security 2003.
.. [2] L. Carter, M. Wegman, *Universal Classes of Hash Functions*, doi:10.1016/0022-0000(79)90044-8.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import entry, hot, jit
from forensics.packets.framing import u32
from forensics.packets.layout import (
    ADDRESSES,
    F_KEY1,
    F_KEY2,
    FACTORS,
    FRAGMENT_ROWS,
    G_ID,
    G_KEY1,
    G_KEY2,
    G_PORTS,
    OPEN,
    Bytes,
    Longs,
)

__all__ = [
    "address_id",
    "address_word",
    "fragment_ports",
    "hash_key",
    "mixed",
    "rehash_addresses",
    "rehash_flows",
    "remember_fragment",
]

_HALF = 1 << 31
_LOW32 = 0xFFFF_FFFF


@hot
def mixed(first: int, second: int, a: int, b: int, c: int, d: int) -> int:
    """Mix two words into 63 bits; all of them depend on all of the words.

    The sum tells any two keys apart but for one in 2**28 draws of its factors of 29 bits; what follows spreads it.
    Halves of 32 bits times at most 31 bits: nothing passes 63 bits, so that compiled and plain agree.
    """
    h = (first & _LOW32) * a + (first >> 32 & _LOW32) * b + (second & _LOW32) * c + (second >> 32 & _LOW32) * d
    h ^= h >> 31
    h = (h & _LOW32) * 0x1B873593 ^ (h >> 32) * 0x4CF5AD43
    h ^= h >> 29
    h = (h & _LOW32) * 0x5F356495 ^ (h >> 32) * 0x32C2A9C1
    return h ^ h >> 32


@hot
def hash_key(cursor: Longs, first: int, second: int) -> int:
    """Mix two words by the factors of this pass."""
    a, b, c, d = int(cursor[FACTORS]), int(cursor[FACTORS + 1]), int(cursor[FACTORS + 2]), int(cursor[FACTORS + 3])
    return mixed(first, second, a, b, c, d)


@hot
def _word(b: Bytes, o: int) -> int:
    """Read eight bytes as one signed word; different bytes give different words."""
    return (u32(b, o, 1) - _HALF) << 32 | u32(b, o + 4, 1)


@jit
def address_id(b: Bytes, o: int, cursor: Longs, addresses: Longs, slots: Longs) -> int:
    """Return the number of the IPv6 address at ``o``, giving it one where it is new."""
    high = _word(b, o)
    low = _word(b, o + 8)
    mask = slots.shape[0] - 1
    at = hash_key(cursor, high, low) & mask
    while True:
        k = int(slots[at])
        if k < 0:
            break
        if addresses[k, 0] == high and addresses[k, 1] == low:
            return k
        at = (at + 1) & mask
    k = int(cursor[ADDRESSES])
    addresses[k, 0] = high
    addresses[k, 1] = low
    slots[at] = k
    cursor[ADDRESSES] = k + 1
    return k


@entry
def rehash_addresses(cursor: Longs, addresses: Longs, slots: Longs) -> None:
    """Fill an empty slot table of another size with the addresses known."""
    mask = slots.shape[0] - 1
    for k in range(int(cursor[ADDRESSES])):
        at = hash_key(cursor, int(addresses[k, 0]), int(addresses[k, 1])) & mask
        while slots[at] >= 0:
            at = (at + 1) & mask
        slots[at] = k


@entry
def rehash_flows(cursor: Longs, flows: Longs, slots: Longs) -> None:
    """Fill an empty slot table with the open flows: the top bits of the hash beside the flow's index."""
    mask = slots.shape[0] - 1
    for j in range(int(cursor[OPEN])):
        h = hash_key(cursor, int(flows[j, F_KEY1]), int(flows[j, F_KEY2]))
        at = h & mask
        while slots[at] >= 0:
            at = (at + 1) & mask
        slots[at] = (h >> 32) << 32 | j


@hot
def _fixed(first: int, second: int) -> int:
    """Mix two words by fixed factors."""
    return mixed(first, second, 0x1F352D8B, 0x0C1B3C6D, 0x097A2D39, 0x1BD1E995)


@jit
def address_word(b: Bytes, o: int) -> int:
    """Return the two IPv6 addresses at ``o`` as a word that does not depend on their numbers."""
    return _fixed(_fixed(_word(b, o), _word(b, o + 8)), _fixed(_word(b, o + 16), _word(b, o + 24)))


@hot
def _fragment_place(where: int, proto: int, ident: int) -> int:
    """Return where a datagram's fragments are looked for."""
    return _fixed(where, ident << 8 | proto) & (FRAGMENT_ROWS - 1)


@jit
def remember_fragment(fragments: Longs, where: int, pair: int, proto: int, ident: int, ports: int) -> None:
    """Keep the ports of a datagram's first fragment; an older one in the same place is forgotten.

    ``where`` is a word of the addresses, ``pair`` their numbers.
    """
    at = _fragment_place(where, proto, ident)
    fragments[at, G_KEY1] = pair
    fragments[at, G_KEY2] = proto
    fragments[at, G_ID] = ident
    fragments[at, G_PORTS] = ports


@jit
def fragment_ports(fragments: Longs, where: int, pair: int, proto: int, ident: int) -> int:
    """Return what was kept of a datagram's first fragment, or -1."""
    at = _fragment_place(where, proto, ident)
    if fragments[at, G_KEY1] == pair and fragments[at, G_KEY2] == proto and fragments[at, G_ID] == ident:
        return int(fragments[at, G_PORTS])
    return -1
