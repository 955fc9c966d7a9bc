"""What is known of a file's rows once all have passed by: how many, of which times, what they observe.

Example: ``Tally(sink).write("flows", batch)`` counts the rows and hands them on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from forensics.packets.index import INDEX
from forensics.schema import EXCHANGES, STORED

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TIMES", "Sink", "Tally"]

TIMES: Mapping[str, tuple[str, ...]] = {
    "flows": ("start", "end"),
    "names": ("time",),
    "requests": ("start", "end"),
    "exchanges": ("start", "end"),
}
"""Columns that say when something happened, by table."""


class Sink(Protocol):
    """What takes the rows of one file."""

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Take a batch of rows of a table."""


class Tally:
    """Counts rows on their way into a sink.

    Parameters
    ----------
    sink
        Takes the rows.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.rows = dict.fromkeys(STORED, 0)
        self.observed = {"bytes_out": 0, "bytes_in": 0}
        self.first: int | None = None  # [us]
        self.last: int | None = None

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Take a batch of rows of a table."""
        if not batch.num_rows:
            return
        self._sink.write(table, batch)
        if table in INDEX:
            return
        self.rows[table] += batch.num_rows
        if table == EXCHANGES.name:
            self.rows["flows"] += batch["is_flow"].true_count
        if table in ("flows", EXCHANGES.name):
            self._observe(table, batch)
        self.span(table, batch)

    def span(self, table: str, batch: pa.RecordBatch) -> None:
        """Take notice of the times in a batch of rows of a table."""
        for column in TIMES.get(table, ()):
            span = pc.min_max(batch.column(column).cast(pa.int64())).as_py()
            if span["min"] is not None:
                self.first = span["min"] if self.first is None else min(self.first, span["min"])
                self.last = span["max"] if self.last is None else max(self.last, span["max"])

    def _observe(self, table: str, batch: pa.RecordBatch) -> None:
        """Count the flows whose bytes were recorded; a request beside a flow may have sizes of its own."""
        partly = table == EXCHANGES.name and batch["is_flow"].true_count < batch.num_rows
        for column in self.observed:
            known = batch[column].is_valid()
            self.observed[column] += (pc.and_(known, batch["is_flow"]) if partly else known).true_count
