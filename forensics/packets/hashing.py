"""Hash tables of the engine: flows, IPv6 addresses and fragments, open addressing over integer arrays.

Hash seeds are fixed, so that the same capture always gives the same tables in the same order. A flow knows an IPv4
address as its number and an IPv6 address as an index into the table of addresses, which keeps its key in two words and
exact: two different pairs never share a key, whatever their hashes.
"""

from __future__ import annotations

from forensics.packets._jit import entry, hot, jit
from forensics.packets.framing import u32
from forensics.packets.layout import (
    ADDRESSES,
    F_KEY1,
    F_KEY2,
    FRAGMENT_ROWS,
    G_ID,
    G_KEY1,
    G_KEY2,
    G_PORTS,
    OPEN,
    Bytes,
    Longs,
)

__all__ = ["address_id", "fragment_ports", "hash_key", "rehash_addresses", "rehash_flows", "remember_fragment"]

_HALF = 1 << 31
_LOW32 = 0xFFFF_FFFF


@hot
def hash_key(first: int, second: int) -> int:
    """Mix two words into 63 bits; all of them depend on all of the words.

    Halves of 32 bits times constants of 31 bits: no product passes 63 bits, so that compiled and plain agree.
    """
    h = (first & _LOW32) * 0x7FEB352D ^ (first >> 32 & _LOW32) * 0x2C1B3C6D
    h ^= (second & _LOW32) * 0x297A2D39 ^ (second >> 32 & _LOW32) * 0x5BD1E995
    h ^= h >> 31
    h = (h & _LOW32) * 0x1B873593 ^ (h >> 32) * 0x4CF5AD43
    h ^= h >> 29
    h = (h & _LOW32) * 0x5F356495 ^ (h >> 32) * 0x32C2A9C1
    return h ^ h >> 32


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
    at = hash_key(high, low) & mask
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
        at = hash_key(int(addresses[k, 0]), int(addresses[k, 1])) & mask
        while slots[at] >= 0:
            at = (at + 1) & mask
        slots[at] = k


@entry
def rehash_flows(cursor: Longs, flows: Longs, slots: Longs) -> None:
    """Fill an empty slot table with the open flows: the top bits of the hash beside the flow's index."""
    mask = slots.shape[0] - 1
    for j in range(int(cursor[OPEN])):
        h = hash_key(int(flows[j, F_KEY1]), int(flows[j, F_KEY2]))
        at = h & mask
        while slots[at] >= 0:
            at = (at + 1) & mask
        slots[at] = (h >> 32) << 32 | j


@jit
def remember_fragment(fragments: Longs, pair: int, proto: int, ident: int, ports: int) -> None:
    """Keep the ports of a datagram's first fragment; an older one in the same place is forgotten."""
    at = hash_key(pair, ident << 8 | proto) & (FRAGMENT_ROWS - 1)
    fragments[at, G_KEY1] = pair
    fragments[at, G_KEY2] = proto
    fragments[at, G_ID] = ident
    fragments[at, G_PORTS] = ports


@jit
def fragment_ports(fragments: Longs, pair: int, proto: int, ident: int) -> int:
    """Return what was kept of a datagram's first fragment, or -1."""
    at = hash_key(pair, ident << 8 | proto) & (FRAGMENT_ROWS - 1)
    if fragments[at, G_KEY1] == pair and fragments[at, G_KEY2] == proto and fragments[at, G_ID] == ident:
        return int(fragments[at, G_PORTS])
    return -1
