"""Volumes of logs: what a connection moved, spread evenly over the minutes of its time.

A log says how much a connection moved and when it ran, not when within that time. Captures say more and bring their
own ``volumes``.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.schema import TABLES

__all__ = ["spread_over_minutes"]

MINUTE = 60_000_000
"""[us]"""

MOST_MINUTES = 60 * 24 * 31
"""Longest connection that is spread; what claims to be longer is spread over this much of its start. [min]"""

_PAIR = ["minute", "src", "dst", "name", "via", "bytes_kind", "vantage", "source"]
_SUMS = ["bytes_out", "bytes_in", "packets_out", "packets_in"]


def spread_over_minutes(flows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the volumes of a batch of flows.

    Every sum over minutes equals the flow's own figure to the byte. A direction that was not observed stays null; a
    minute in which one flow observed it and another did not holds what was observed.

    Parameters
    ----------
    flows
        Rows of ``flows``; those that carry others are left out, since ``volumes`` are of conversations.

    Returns
    -------
    pyarrow.RecordBatch
        Rows of ``volumes``, one per minute and pair, in order.
    """
    kept = pc.fill_null(pc.equal(flows.column("tunnel"), "inner"), True)  # noqa: FBT003  # Arrow's signature
    flows = flows.filter(kept)
    start = flows.column("start").cast(pa.int64()).to_numpy(zero_copy_only=False)
    end = np.maximum(flows.column("end").cast(pa.int64()).to_numpy(zero_copy_only=False), start)
    first = start // MINUTE
    # What ends on the stroke of a minute has nothing in the minute that begins then.
    parts = np.minimum(np.maximum(end - 1, start) // MINUTE - first + 1, MOST_MINUTES)
    row = np.repeat(np.arange(len(start)), parts)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    minute = (first[row] + nth) * MINUTE
    share = _shares(start, np.minimum(end, (first + parts) * MINUTE), minute, row)
    table = pa.table({name: flows.column(name).take(pa.array(row)) for name in _PAIR[1:]})
    table = table.append_column("minute", pa.array(minute).cast(pa.timestamp("us", "UTC")))
    for name in _SUMS:
        table = table.append_column(name, _portions(flows.column(name), row, share))
    table = table.append_column("connections", pa.array((nth == 0).astype(np.int64)))
    return _summed(table)


def _shares(start: np.ndarray, end: np.ndarray, minute: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return which share of its connection lies before the end of each minute: 0 to 1, 1 in the last minute."""
    span = np.maximum(end - start, 1)[row]
    share: np.ndarray = np.clip((minute + MINUTE - start[row]) / span, 0.0, 1.0)
    return share


def _portions(column: pa.Array, row: np.ndarray, share: np.ndarray) -> pa.Array:
    """Return each minute's portion of a figure: differences of rounded running sums, so that they add up exactly."""
    total = pc.fill_null(column, 0).to_numpy(zero_copy_only=False).astype(np.int64)[row]
    part = np.floor(total * np.where(share < 1.0, share, 0.0)).astype(np.int64)
    upto = np.where(share < 1.0, np.minimum(part, total), total)
    before = np.concatenate(([0], upto[:-1])) if len(upto) else upto
    before[np.concatenate(([True], row[1:] != row[:-1]))[: len(row)]] = 0
    missing = pc.is_null(column).to_numpy(zero_copy_only=False)[row]
    return pa.array(upto - before, pa.int64(), mask=missing)


def _summed(table: pa.Table) -> pa.RecordBatch:
    """Return one row per minute and pair."""
    figures = [*_SUMS, "connections"]
    summed = table.group_by(_PAIR).aggregate([(name, "sum") for name in figures])
    summed = summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names])
    schema = TABLES["volumes"].schema
    order = [(name, "ascending") for name in TABLES["volumes"].order]
    ordered = summed.select(schema.names).cast(schema).sort_by(order)
    return ordered.combine_chunks().to_batches()[0] if len(ordered) else pa.RecordBatch.from_pylist([], schema=schema)
