"""From the engine's arrays to the rows of ``flows`` and ``volumes``, whole columns at a time.

Only distinct addresses, histories and labels are turned into text one by one; rows take theirs by index.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.packets import layout
from forensics.packets.index import CARRIED
from forensics.packets.sequences import initial_numbers
from forensics.packets.states import STATES, history_text
from forensics.packets.texts import address_codes
from forensics.packets.transport import unpair
from forensics.protocols import proto_name
from forensics.rows import BATCH_ROWS
from forensics.schema import FLOWS, VOLUMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forensics.packets.labels import Label, Labels
    from forensics.packets.layout import Longs

__all__ = [
    "Ends",
    "Origin",
    "carried_batches",
    "ends",
    "flow_batches",
    "protos",
    "times",
    "turned",
    "volume_batches",
]


@dataclass(frozen=True, slots=True)
class Origin:
    """What every row of one evidence file has in common."""

    source: str
    vantage: str


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of flows, as columns.

    Parameters
    ----------
    src, dst
        Addresses of originators and responders.
    src_port, dst_port
        Their ports; ICMP type and code.
    swapped
        1 where the originator is the high end.
    """

    src: pa.Array
    dst: pa.Array
    src_port: pa.Array
    dst_port: pa.Array
    swapped: Longs


def ends(key1: Longs, key2: Longs, bits: Longs, addresses: Longs) -> Ends:
    """Take the keys of flows apart."""
    swapped = bits & layout.BIT_ORIGIN
    low, high = unpair(key1)
    first, second = key2 >> 32 & 0xFFFF, key2 >> 16 & 0xFFFF
    icmp = np.isin(key2 & 255, (layout.ICMP, layout.ICMP6))
    turned = (swapped == 1) & ~icmp
    distinct, codes = address_codes(np.concatenate([low, high]), np.tile(key2 & layout.KEY_IPV6, 2), addresses)
    of_low, of_high = np.split(codes.to_numpy(), 2)
    portless = (key2 & layout.KEY_PORTLESS) != 0
    return Ends(
        src=distinct.take(pa.array(np.where(swapped, of_high, of_low))),
        dst=distinct.take(pa.array(np.where(swapped, of_low, of_high))),
        src_port=pa.array(np.where(turned, second, first).astype(np.int32), mask=portless),
        dst_port=pa.array(np.where(turned, first, second).astype(np.int32), mask=portless),
        swapped=swapped,
    )


def _distinct(codes: Longs) -> tuple[pa.Array, list[int]]:
    """Return for each code the index of its value, and the distinct values in the order in which they come."""
    encoded = pa.array(codes).dictionary_encode()
    values: list[int] = encoded.dictionary.to_pylist()
    return encoded.indices, values


def _texts(codes: Longs | pa.Array, text: Sequence[str | None]) -> pa.Array:
    """Return texts by index."""
    return pa.array(text, pa.string()).take(codes if isinstance(codes, pa.Array) else pa.array(codes))


def protos(key2: Longs) -> pa.Array:
    """Return the names of the flows' protocols."""
    return _protos().take(pa.array(key2 & 255))


@cache
def _protos() -> pa.Array:
    """Return the names of all protocols by number."""
    return pa.array([proto_name(number) for number in range(256)], pa.string())


def _histories(history: Longs, swapped: Longs) -> pa.Array:
    """Return the histories of flows."""
    codes, values = _distinct(history << 1 | swapped)
    return _texts(codes, [history_text(value >> 1, value & 1) for value in values])


def _states(flows: Longs, swapped: Longs) -> pa.Array:
    """Return the states of flows."""
    low, high = (
        flows[:, layout.F_BITS] >> layout.STATE_SHIFT & 7,
        flows[:, layout.F_BITS] >> layout.STATE_SHIFT_HIGH & 7,
    )
    originator, responder = np.where(swapped, high, low), np.where(swapped, low, high)
    silent = flows[:, layout.F_SUM_PAYLOAD] + flows[:, layout.F_SUM_PAYLOAD_HIGH] == 0
    tcp = responder << 4 | originator << 1 | silent
    packets = turned(flows, layout.F_SUM_PACKETS, swapped)
    udp = 128 + (packets[0] > 0) + 2 * (packets[1] > 0)
    proto = flows[:, layout.F_KEY2] & 255
    return _texts(np.where(proto == layout.TCP, tcp, np.where(proto == layout.UDP, udp, 132)), STATES)


def _services(flows: Longs, codes: Longs, known: list[Label]) -> pa.Array:
    """Return what flows spoke: as their labels say, else as their packets looked."""
    bits = flows[:, layout.F_BITS]
    marks = np.where(bits & layout.BIT_TLS, 1, np.where(bits & layout.BIT_DNS, 2, 0))
    return pc.coalesce(_texts(codes, [label.service for label in known]), _texts(marks, [None, "ssl", "dns"]))


def _tunnels(flows: Longs) -> pa.Array:
    """Return which part of a tunnel flows are."""
    carries = (flows[:, layout.F_BITS] & layout.BIT_OUTER) != 0
    carried = (flows[:, layout.F_KEY2] & layout.KEY_INNER) != 0
    return _texts(carries + 2 * carried, [None, "outer", "inner", "middle"])


def _sequence_columns(flows: Longs, swapped: Longs) -> dict[str, pa.Array]:
    """Return what the sequence numbers of flows tell; nothing of what is no TCP."""
    other = (flows[:, layout.F_KEY2] & 255) != layout.TCP
    columns = {}
    for name, column, shift in (
        ("retransmitted", layout.F_AGAIN, 0),
        ("missed", layout.F_HOLES, layout.HOLE_BITS),
    ):
        low, high = flows[:, column] >> shift, flows[:, column + layout.F_HIGH] >> shift
        columns[f"{name}_out"] = pa.array(np.where(swapped, high, low), mask=other)
        columns[f"{name}_in"] = pa.array(np.where(swapped, low, high), mask=other)
    low, high = (initial_numbers(flows, side) for side in range(2))
    for way, found in (("out", np.where(swapped, high, low)), ("in", np.where(swapped, low, high))):
        columns[f"isn_{way}"] = pa.array(found, mask=other | (found < 0))
    return columns


def turned(rows: Longs, column: int, swapped: Longs) -> tuple[Longs, Longs]:
    """Return a pair of columns as (originator's, responder's)."""
    low, high = rows[:, column], rows[:, column + 1]
    return np.where(swapped, high, low), np.where(swapped, low, high)


def times(nanoseconds: Longs) -> pa.Array:
    """Return times as the tables have them."""
    return pa.array(nanoseconds // 1000).cast(pa.timestamp("us", tz="UTC"))


def _constant(value: str | None, count: int) -> pa.Array:
    """Return a column that says the same in every row."""
    return pa.repeat(pa.scalar(value, pa.string()), count)


def _slices(columns: dict[str, pa.Array], schema: pa.Schema, name: str) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield columns as batches of a bounded number of rows."""
    batch = pa.RecordBatch.from_arrays([columns[column] for column in schema.names], schema=schema)
    for at in range(0, batch.num_rows, BATCH_ROWS):
        yield name, batch.slice(at, BATCH_ROWS)


def flow_batches(
    flows: Longs, addresses: Longs, labels: Labels, origin: Origin
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield rows of ``flows`` for closed flows, in the order in which they closed."""
    n = len(flows)
    both = ends(flows[:, layout.F_KEY1], flows[:, layout.F_KEY2], flows[:, layout.F_BITS], addresses)
    codes, known = labels.of(flows[:, layout.F_SERIAL])
    columns = {
        "start": times(flows[:, layout.F_START]),
        "end": times(flows[:, layout.F_LAST]),
        "src": both.src,
        "src_port": both.src_port,
        "dst": both.dst,
        "dst_port": both.dst_port,
        "proto": protos(flows[:, layout.F_KEY2]),
        "service": _services(flows, codes, known),
        "name": _texts(codes, [label.name for label in known]),
        "bytes_kind": _constant("ip", n),
        "state": _states(flows, both.swapped),
        "tunnel": _tunnels(flows),
        **_sequence_columns(flows, both.swapped),
        "history": _histories(flows[:, layout.F_HISTORY], both.swapped),
        "vantage": _constant(origin.vantage, n),
        "source": _constant(origin.source, n),
        "record": pa.array(flows[:, layout.F_SERIAL] >> layout.SERIAL_SHIFT),
    }
    for name, column in (
        ("packets", layout.F_SUM_PACKETS),
        ("bytes", layout.F_SUM_IP),
        ("frame_bytes", layout.F_SUM_FRAME),
        ("payload_bytes", layout.F_SUM_PAYLOAD),
    ):
        for way, values in zip(("out", "in"), turned(flows, column, both.swapped), strict=True):
            columns[f"{name}_{way}"] = pa.array(values)
    for name in FLOWS.schema.names:
        columns.setdefault(name, _constant(None, n))
    yield from _slices(columns, FLOWS.schema, "flows")


def _grouped(cells: Longs, codes: Longs) -> tuple[Longs, Longs]:
    """Sum cells by minute, pair, direction and label, in the order in which they come.

    Returns
    -------
    tuple
        One row per group of ``(minute, key1, IPv6, swapped, label)``, and of ``(packets, bytes)`` out, in, and new
        connections.
    """
    swapped = cells[:, layout.C_BITS] & layout.BIT_ORIGIN
    ipv6 = cells[:, layout.C_KEY2] & layout.KEY_IPV6
    # one number for the three small ones, since each column of a key takes its time
    kind = codes << 2 | (ipv6 != 0).astype(np.int64) << 1 | swapped
    packets, sizes = turned(cells, layout.C_PACKETS, swapped), turned(cells, layout.C_IP, swapped)
    columns = (cells[:, layout.C_CELL], cells[:, layout.C_KEY1], kind, *packets, *sizes, cells[:, layout.C_NEW])
    names = [str(place) for place in range(len(columns))]
    table = pa.table([pa.array(column) for column in (*columns, np.arange(len(cells)))], [*names, "place"])
    totals = [*((name, "sum") for name in names[3:]), ("place", "min")]
    sums = table.group_by(names[:3], use_threads=False).aggregate(totals)
    sums = sums.take(np.argsort(sums.column("place_min").to_numpy()))  # Arrow promises no order of groups
    minute, key1, kinds = (sums.column(name).to_numpy() for name in names[:3])
    keys = np.stack([minute, key1, (kinds >> 1 & 1) * layout.KEY_IPV6, kinds & 1, kinds >> 2], axis=1)
    return keys, np.stack([sums.column(f"{name}_sum").to_numpy() for name in names[3:]], axis=1)


def volume_batches(
    cells: Longs, addresses: Longs, labels: Labels, origin: Origin
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield rows of ``volumes`` for cells: one per minute, pair, name and proxy. A proxy stands in ``via``."""
    if not len(cells):
        return
    codes, known = labels.of(cells[:, layout.C_SERIAL])
    keys, sums = _grouped(cells, codes)
    n = len(keys)
    both = ends(keys[:, 1], keys[:, 2], keys[:, 3], addresses)
    proxied = pa.array(np.array([label.proxied for label in known])[keys[:, 4]])
    asked = _texts(keys[:, 4], [label.address for label in known])
    columns = {
        "minute": times(keys[:, 0]),
        "src": both.src,
        "dst": pc.if_else(proxied, asked, both.dst),
        "name": _texts(keys[:, 4], [label.name for label in known]),
        "via": pc.if_else(proxied, both.dst, pa.scalar(None, pa.string())),
        "bytes_out": pa.array(sums[:, 2]),
        "bytes_in": pa.array(sums[:, 3]),
        "bytes_kind": _constant("ip", n),
        "packets_out": pa.array(sums[:, 0]),
        "packets_in": pa.array(sums[:, 1]),
        "connections": pa.array(sums[:, 4]),
        "vantage": _constant(origin.vantage, n),
        "source": _constant(origin.source, n),
    }
    yield from _slices(columns, VOLUMES.schema, "volumes")


def carried_batches(closed: Longs, addresses: Longs) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield rows of ``carried`` for closed flows, columns ``layout.F_*``."""
    some = closed[closed[:, layout.F_SERIAL] & layout.SERIAL_PLACE > 1]
    if len(some):
        key2 = some[:, layout.F_KEY2]
        both = ends(some[:, layout.F_KEY1], key2, some[:, layout.F_BITS], addresses)
        serials = pa.array(some[:, layout.F_SERIAL])
        columns = [serials, both.src, both.src_port, both.dst, both.dst_port, protos(key2)]
        yield "carried", pa.RecordBatch.from_arrays(columns, schema=CARRIED)
