"""The arrays of a running engine: how they begin, and how they grow."""

from __future__ import annotations

import os

import numpy as np

from forensics.packets import layout
from forensics.packets.hashing import rehash_addresses, rehash_flows
from forensics.packets.layout import BATCH, FlowOptions, Longs, Tables
from forensics.packets.ports import port_table

__all__ = [
    "EPOCH_PACKETS",
    "Pile",
    "ends_of_pair",
    "framing_tables",
    "grown",
    "new_tables",
    "pair_of_ends",
    "random_factors",
    "renumbered",
    "with_layers",
    "with_more_rows",
    "with_output",
]

EPOCH_PACKETS = 1 << 18
"""Packets after which what was collected is handed out. A constant, so that the output depends on the capture only."""

OUTPUT_ROWS = 1 << 16

PART_ROWS = layout.MOST_PARTS * layout.LAYERS
"""Rows that the parts of one aggregate can take."""

_HALF, _LOW32 = 1 << 31, 0xFFFF_FFFF


def grown(t: Tables, rows: int) -> Tables:
    """Double what may not have room for ``rows`` more: the flows with their slots, the addresses with theirs."""
    while t.cursor[layout.OPEN] + rows > t.flows.shape[0]:
        flows = room_for(2 * len(t.flows), layout.F_COLUMNS)
        flows[: len(t.flows)] = t.flows
        t = t._replace(flows=flows, slots=np.full(2 * len(t.slots), -1, dtype=np.int64))
        rehash_flows(t.cursor, t.flows, t.slots)
    while t.cursor[layout.ADDRESSES] + 2 * rows > t.addresses.shape[0]:
        addresses = np.zeros((2 * len(t.addresses), 2), dtype=np.int64)
        addresses[: len(t.addresses)] = t.addresses
        t = t._replace(addresses=addresses, address_slots=np.full(4 * len(addresses), -1, dtype=np.int64))
        rehash_addresses(t.cursor, t.addresses, t.address_slots)
    return t


def with_layers(t: Tables) -> Tables:
    """Return the arrays with a spare batch that has room for every layer of every packet, and for an aggregate."""
    room = BATCH * layout.LAYERS + PART_ROWS
    if len(t.spare) < room:
        t = t._replace(spare=rows_of(room, layout.Q_COLUMNS))
    return grown(t, len(t.spare))


def with_more_rows(t: Tables) -> Tables:
    """Return the arrays with a spare batch twice as long, which keeps its rows."""
    rows = rows_of(2 * len(t.spare), layout.Q_COLUMNS)
    rows[: len(t.spare)] = t.spare
    return grown(t._replace(spare=rows), len(rows))


def with_output(t: Tables) -> Tables:
    """Return the arrays with room for what the rows of a batch can write; what was written must have been taken."""
    rows = int(t.cursor[layout.ROWS])

    def fitting(array: Longs, need: int) -> Longs:
        return array if len(array) >= need else rows_of(need, array.shape[1])

    return t._replace(
        closed=fitting(t.closed, rows),
        cells=fitting(t.cells, 2 * rows),
        picks=fitting(t.picks, 4 * rows),
        further=fitting(t.further, rows),
    )


def ends_of_pair(key1: Longs) -> tuple[Longs, Longs]:
    """Return the low and the high address of flows, as their first keys hold them."""
    return (key1 >> 32) + _HALF, key1 & _LOW32


def pair_of_ends(low: Longs, high: Longs) -> Longs:
    """Return the first keys of flows between two addresses each; what `ends_of_pair` takes apart."""
    return low - _HALF << 32 | high


def renumbered(t: Tables) -> Tables:
    """Forget the IPv6 addresses of which no open flow and no fragment knows; the others keep their order.

    The old table of addresses stays as it was, for those who still have numbers of it.
    """
    count = int(t.cursor[layout.ADDRESSES])
    flows, parts = t.flows[: t.cursor[layout.OPEN]], t.fragments
    held = [
        (flows, np.flatnonzero(flows[:, layout.F_KEY2] & layout.KEY_IPV6), layout.F_KEY1),
        (
            parts,
            np.flatnonzero((parts[:, layout.G_ID] > 0) & (parts[:, layout.G_ID] & layout.FRAGMENT_IPV6 != 0)),
            layout.G_KEY1,
        ),
    ]
    used = np.zeros(count, dtype=bool)
    for rows, six, column in held:
        for numbers in ends_of_pair(rows[six, column]):
            used[numbers] = True
    new = np.cumsum(used) - 1
    for rows, six, column in held:
        low, high = ends_of_pair(rows[six, column])
        rows[six, column] = pair_of_ends(new[low], new[high])
    addresses = rows_of(len(t.addresses), 2)
    t.cursor[layout.ADDRESSES] = kept = int(used.sum())
    addresses[:kept] = t.addresses[:count][used]
    t = t._replace(addresses=addresses)
    for slots in (t.slots, t.address_slots):
        slots[:] = -1
    rehash_addresses(t.cursor, t.addresses, t.address_slots)
    rehash_flows(t.cursor, t.flows, t.slots)
    return t


class Pile:
    """Arrays of rows on their way out."""

    def __init__(self, columns: int) -> None:
        self._none: Longs = np.zeros((0, columns), dtype=np.int64)
        self._parts: list[Longs] = []

    def put(self, rows: Longs) -> None:
        """Keep a copy of rows that the loop will overwrite."""
        self._parts.append(rows.copy())

    def take(self) -> Longs:
        """Return all rows kept, and start anew."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else np.concatenate([self._none, *parts])


def rows_of(count: int, columns: int) -> Longs:
    """Return rows of zeros."""
    return _aligned(np.zeros(count * columns + 8, dtype=np.int64), count, columns)


def room_for(count: int, columns: int) -> Longs:
    """Return rows that the loops write before they read them: a small capture uses few, and zeros take their time."""
    return _aligned(np.empty(count * columns + 8, dtype=np.int64), count, columns)


def _aligned(words: Longs, count: int, columns: int) -> Longs:
    """Return rows that begin at a cache line: a flow then spans four lines, not five."""
    skip = -words.ctypes.data // 8 % 8
    return words[skip : skip + count * columns].reshape(count, columns)


def random_factors() -> Longs:
    """Return the factors of a pass's hash, odd numbers of 29 bits that whoever wrote the capture cannot know."""
    return np.frombuffer(os.urandom(16), dtype="<u4").astype(np.int64) >> 3 | 1


def _new_cursor() -> Longs:
    """Return a cursor at the start of a capture."""
    cursor = np.zeros(layout.CURSOR_COLUMNS, dtype=np.int64)
    cursor[layout.FIRST], cursor[layout.LAST] = 2**63 - 1, layout.NO_TIME
    cursor[layout.NOW] = layout.NO_TIME
    cursor[layout.FACTORS :] = random_factors()
    return cursor


def framing_tables() -> Tables:
    """Return the arrays of a pass that only frames packets; those that it does not need have no rows."""
    none = Tables._make(rows_of(0, layout.I_COLUMNS) for _ in Tables._fields)
    return none._replace(cursor=_new_cursor(), frames=rows_of(BATCH, layout.FRAME_COLUMNS))


def new_tables(options: FlowOptions) -> Tables:
    """Return empty arrays for a pass; they start small, since most captures are."""
    return Tables(
        cursor=_new_cursor(),
        options=options.as_array(),
        frames=rows_of(BATCH, layout.FRAME_COLUMNS),
        rows=rows_of(BATCH, layout.Q_COLUMNS),
        spare=rows_of(0, layout.Q_COLUMNS),
        flows=room_for(8 * BATCH, layout.F_COLUMNS),
        slots=np.full(32 * BATCH, -1, dtype=np.int64),
        closed=room_for(OUTPUT_ROWS, layout.F_COLUMNS),
        cells=room_for(2 * OUTPUT_ROWS, layout.C_COLUMNS),
        picks=room_for(OUTPUT_ROWS, layout.P_COLUMNS),
        addresses=rows_of(8 * BATCH, 2),
        address_slots=np.full(32 * BATCH, -1, dtype=np.int64),
        fragments=np.full((layout.FRAGMENT_ROWS, 4), -1, dtype=np.int64),
        holes=rows_of(layout.HOLE_ROWS, 3),
        members=rows_of(EPOCH_PACKETS, 2),
        further=rows_of(OUTPUT_ROWS, 2),
        marks=rows_of(EPOCH_PACKETS // BATCH + 1, layout.M_COLUMNS),
        interfaces=rows_of(0, layout.I_COLUMNS),
        links=np.zeros(65536, dtype=np.int64),
        ethertypes=np.zeros(65536, dtype=np.int64),
        ports=port_table(),
        streams=rows_of(layout.STREAM_ROWS, layout.S_COLUMNS),
    )
