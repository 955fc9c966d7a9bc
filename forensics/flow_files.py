"""The flows of a case as a file of rows: CSV, JSON lines or Parquet.

Example: ``write_flows(case, sys.stdout.buffer, "csv")``.
"""

from __future__ import annotations

import io
import json
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from forensics.community import COLUMNS, community_texts
from forensics.report.tables import iso_time, write_rows
from forensics.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from forensics.case import Case

__all__ = ["write_flows"]

COMMUNITY = pa.field("community_id", pa.string())
"""Column that `write_flows` adds where it is asked to."""

GROUP_ROWS = 120 * 1024
"""Rows of a row group of the flows as Parquet: readers take one at a time."""

PYTHON_ROWS = 8 * 1024
"""Rows that are Python objects at once, where the flows become text."""


def write_flows(case: Case, file: BinaryIO, form: str, *, community: bool = False) -> None:
    """Write the flows of a case, one row each, in order of time.

    Parameters
    ----------
    case
        The case.
    file
        An open binary file.
    form
        ``csv``, ``jsonl`` or ``parquet``.
    community
        Whether a last column ``community_id`` has the Community ID of each flow.

    Raises
    ------
    ValueError
        The form is another one.
    """
    writers: dict[str, Callable[[pa.Schema, Iterator[pa.RecordBatch], BinaryIO], None]] = {
        "csv": _flows_as_csv,
        "jsonl": _flows_as_jsonl,
        "parquet": _flows_as_parquet,
    }
    if form not in writers:
        raise ValueError(f"{form!r} is no form of rows: csv, jsonl and parquet are")
    schema = TABLES["flows"].schema
    batches = case.flows.to_batches()
    if community:
        writers[form](schema.append(COMMUNITY), map(_with_community_id, batches), file)
    else:
        writers[form](schema, (batch.cast(schema) for batch in batches), file)


def _with_community_id(flows: pa.RecordBatch) -> pa.RecordBatch:
    schema = TABLES["flows"].schema
    rows = zip(*(flows.column(name).to_pylist() for name in COLUMNS), strict=True)
    return flows.cast(schema).append_column(COMMUNITY, pa.array(community_texts(rows), COMMUNITY.type))


def _portions(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """Yield rows in batches of one size, the last of which may be smaller."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        if count >= size:
            rows, left = pa.concat_batches(waiting), count % size
            yield from (rows.slice(at, size) for at in range(0, count - left, size))
            waiting, count = [rows.slice(count - left)], left
    if count:
        yield pa.concat_batches(waiting)


def _flows_as_csv(schema: pa.Schema, batches: Iterator[pa.RecordBatch], file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    write_rows(text, schema.names, chain.from_iterable(map(pa.RecordBatch.to_pylist, _portions(batches, PYTHON_ROWS))))
    text.flush()
    text.detach()  # the file is its owner's to close


def _flows_as_jsonl(_: pa.Schema, batches: Iterator[pa.RecordBatch], file: BinaryIO) -> None:
    for batch in _portions(batches, PYTHON_ROWS):
        # ASCII alone: it loses nothing, and a name of the evidence cannot act on a terminal.
        file.writelines(json.dumps(row, default=iso_time).encode() + b"\n" for row in batch.to_pylist())


def _flows_as_parquet(schema: pa.Schema, batches: Iterator[pa.RecordBatch], file: BinaryIO) -> None:
    from pyarrow.parquet import ParquetWriter

    with ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in _portions(batches, GROUP_ROWS):
            writer.write_batch(batch)
