"""Fine-grained series of what each flow moved, for the matching of chains: who sends when someone else receives."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa

from forensics.packets import layout
from forensics.packets.arrays import ends_of_pair, pair_of_ends
from forensics.packets.columns import ends, protos, times, turned
from forensics.packets.engine import Engine
from forensics.packets.harvest import Harvest
from forensics.packets.layout import FlowOptions, Longs

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ACTIVITY", "activity"]

ACTIVITY = pa.schema(
    [
        ("flow", pa.int64()),
        ("start", pa.timestamp("us", tz="UTC")),
        ("src", pa.string()),
        ("src_port", pa.int32()),
        ("dst", pa.string()),
        ("dst_port", pa.int32()),
        ("proto", pa.string()),
        ("bin", pa.int64()),
        ("payload_out", pa.int64()),
        ("payload_in", pa.int64()),
        ("packets_out", pa.int64()),
        ("packets_in", pa.int64()),
    ]
)
"""Columns of `activity`; ``bin`` counts bins since 1970, payload is in bytes."""


def activity(stream: BinaryIO, bin_us: int = 100_000, options: FlowOptions | None = None) -> pa.Table:
    """Count payload and packets of every flow in bins of time.

    Parameters
    ----------
    stream
        The decompressed capture, pcap or pcapng, at its first byte.
    bin_us
        Width of a bin. [us]
    options
        Where flows end; give those that made the ``flows`` it is compared with.

    Returns
    -------
    pyarrow.Table
        Columns of `ACTIVITY`: a row per flow and bin that is not empty, sorted by flow and bin. ``flow`` numbers the
        flows of the capture in the order in which they began, from 0; ``start`` is the flow's first packet.

    Examples
    --------
    >>> activity(open("relay.pcap", "rb"), 1_000_000)  # doctest: +SKIP
    """
    if bin_us <= 0:
        raise ValueError(f"bin_us is {bin_us}, it must be above 0")
    chosen = options or FlowOptions()
    limits = {name: getattr(chosen, name) for name in ("tcp", "tcp_closed", "tcp_attempt", "udp", "icmp", "other")}
    engine = Engine(stream, FlowOptions(**limits, max_open=chosen.max_open, cell=bin_us * 1000, pick=False))
    engine.open()
    parts, tables, known = [], [engine.tables.addresses[:0]], 0
    for event in engine.events():
        if isinstance(event, Harvest):
            cells, table = _with_own_addresses(event, known)
            parts.append(cells)
            tables.append(table)
            known += len(table)
    return _table(_merged(parts), np.concatenate(tables), bin_us)


def _with_own_addresses(event: Harvest, known: int) -> tuple[Longs, Longs]:
    """Return cells and their IPv6 addresses, numbered from ``known`` on: each harvest may have numbers of its own."""
    cells = event.cells
    six = np.flatnonzero(cells[:, layout.C_KEY2] & layout.KEY_IPV6)
    ends_of_cells = np.concatenate(ends_of_pair(cells[six, layout.C_KEY1]))
    used, places = np.unique(ends_of_cells, return_inverse=True)
    low, high = np.split(places.astype(np.int64) + known, 2)
    cells[six, layout.C_KEY1] = pair_of_ends(low, high)
    return cells, event.addresses[used]


def _merged(parts: Sequence[Longs]) -> Longs:
    """Put cells in order and add up those of the same flow and bin (time may have run backwards)."""
    cells = np.concatenate([*parts, np.zeros((0, layout.C_COLUMNS), dtype=np.int64)])
    cells = cells[np.lexsort([cells[:, layout.C_CELL], cells[:, layout.C_SERIAL]])]
    if not len(cells):
        return cells
    keys = cells[:, [layout.C_SERIAL, layout.C_CELL]]
    first = np.flatnonzero(np.concatenate([[True], (keys[1:] != keys[:-1]).any(axis=1)]))
    counts = slice(layout.C_PACKETS, layout.C_PAYLOAD_HIGH + 1)
    sums = np.add.reduceat(cells[:, counts], first, axis=0)
    starts = np.minimum.reduceat(cells[:, layout.C_START], np.flatnonzero(np.r_[True, np.diff(cells[:, 0]) != 0]))
    merged = cells[first]
    merged[:, counts] = sums
    merged[:, layout.C_START] = starts[np.cumsum(np.r_[0, np.diff(merged[:, layout.C_SERIAL]) != 0])]
    return merged


def _table(cells: Longs, addresses: Longs, bin_us: int) -> pa.Table:
    """Turn cells into the table."""
    both = ends(cells[:, layout.C_KEY1], cells[:, layout.C_KEY2], cells[:, layout.C_BITS], addresses)
    payload = turned(cells, layout.C_PAYLOAD, both.swapped)
    packets = turned(cells, layout.C_PACKETS, both.swapped)
    columns = [
        pa.array(np.cumsum(np.r_[0, np.diff(cells[:, layout.C_SERIAL]) != 0])[: len(cells)]),
        times(cells[:, layout.C_START]),
        both.src,
        both.src_port,
        both.dst,
        both.dst_port,
        protos(cells[:, layout.C_KEY2]),
        pa.array(cells[:, layout.C_CELL] // (bin_us * 1000)),
        *map(pa.array, (*payload, *packets)),
    ]
    return pa.Table.from_arrays(columns, schema=ACTIVITY)
