"""Connections that a firewall logs more than once, when they open, in between, and when they close: one row each.

Example::

    yield from joined(batches, opens=("OPEN",), closes=("CLOSE",))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.errors import EvidenceError
from forensics.schema import FLOWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["joined"]

_ENDS = ("src", "src_port", "dst", "dst_port", "proto")

MOST_OPEN = 1 << 17
"""Open connections that are remembered; beyond them the oldest is told as one that never closed."""

_Key = tuple[object, ...]


def joined(
    batches: Iterable[tuple[str, pa.RecordBatch]], *, opens: Sequence[str], closes: Sequence[str]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield batches in which each connection stands once.

    A row that closes a connection takes the start of the row that opened it. A connection that never closes gives its
    last row, at the end of the file. Rows of other states are passed on.

    Parameters
    ----------
    batches
        Tables and rows, in the order of the log.
    opens, closes
        States of the rows of ``flows`` that tell of an open connection, and of one that ended.
    """
    still: dict[_Key, tuple[object, pa.RecordBatch]] = {}
    both, damage = pa.array([*opens, *closes]), None
    given = iter(batches)
    while True:
        try:
            table, batch = next(given)
        except StopIteration:
            break
        except EvidenceError as error:  # the rows before the damage stand
            damage = error
            break
        told = pc.is_in(batch["state"], both) if table == "flows" else None
        if told is not None and pc.any(told).as_py():
            batch, old = _matched(batch, np.flatnonzero(told.to_numpy(zero_copy_only=False)), frozenset(opens), still)
            yield from _one(old)
        if batch.num_rows:
            yield table, batch
    yield from _one([row for _, row in still.values()])
    if damage is not None:
        raise damage


def _one(rows: list[pa.RecordBatch]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield rows as one batch."""
    if rows:
        yield from (("flows", batch) for batch in pa.Table.from_batches(rows).combine_chunks().to_batches())


def _matched(
    batch: pa.RecordBatch, told: np.ndarray, opens: frozenset[str], still: dict[_Key, tuple[object, pa.RecordBatch]]
) -> tuple[pa.RecordBatch, list[pa.RecordBatch]]:
    """Return a batch without the rows of open connections, its closing rows with their starts, and rows given up."""
    part = batch.take(pa.array(told))
    ends = zip(*(part[name].to_pylist() for name in _ENDS), strict=True)
    starts = part["start"].cast(pa.int64()).to_pylist()
    changed: dict[int, object] = {}
    kept = np.ones(batch.num_rows, np.bool_)
    fresh: dict[_Key, tuple[object, int]] = {}
    for row, key, start, state in zip(told.tolist(), ends, starts, part["state"].to_pylist(), strict=True):
        before = fresh.pop(key, None) or still.pop(key, None)
        first = start if before is None else min(start, before[0])
        if state in opens:
            fresh[key] = first, row
            kept[row] = False
        elif first != start:
            changed[row] = first
    times = batch["start"].cast(pa.int64()).to_numpy(zero_copy_only=False).copy()
    for row, first in [*changed.items(), *((row, first) for first, row in fresh.values())]:
        times[row] = first
    place = FLOWS.schema.get_field_index("start")
    batch = batch.set_column(place, FLOWS.schema.field("start"), pa.array(times).cast(FLOWS.schema.field("start").type))
    for key, (first, row) in fresh.items():
        still[key] = first, pa.RecordBatch.from_arrays(batch.take(pa.array([row])).columns, schema=batch.schema)
    old = [still.pop(key)[1] for key in list(still)[: max(0, len(still) - MOST_OPEN)]]
    return batch.filter(pa.array(kept)), old
