"""What formats make of evidence, held to what `forensics.schema` says of the tables."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from forensics.packets.index import INDEX
from forensics.schema import EXCHANGES, FILLED

__all__ = ["check_batch"]

CALENDAR = (-62_135_596_800_000_000, 253_402_300_800_000_000)
"""Start of the year 1 and of the year 10000, between which a time has a date. [us]"""


def check_batch(table: str, batch: pa.RecordBatch) -> None:
    """Hold a format to the schema, so that a case in memory takes no row that one on disk would refuse.

    Raises
    ------
    TypeError
        The batch has another schema than the table.
    ValueError
        A value of it is none that the table can hold.
    """
    if batch.schema != (INDEX[table] if table in INDEX else FILLED[table].schema):
        raise TypeError(f"a batch of {table} has another schema")
    for declared, column in zip(batch.schema, batch.columns, strict=True):
        if column.null_count and not declared.nullable:
            raise ValueError(f"{table}.{declared.name} is never null")
        if pa.types.is_timestamp(declared.type) and not _in_calendar(column):
            raise ValueError(f"{table}.{declared.name} lies outside the years 1 to 9999")
    if table == EXCHANGES.name:
        _check_exchanges(batch)


def _check_exchanges(batch: pa.RecordBatch) -> None:
    """Hold exchanges to what the tables ask for whose rows they are."""
    flow, request, name = batch["is_flow"], batch["is_request"], batch["how"].is_valid()
    if batch["end"].null_count and pc.any(pc.and_(flow, batch["end"].is_null())).as_py():
        raise ValueError("exchanges.end is never null in a flow")
    if batch["name"].null_count and pc.any(pc.and_(name, batch["name"].is_null())).as_py():
        raise ValueError("exchanges.name is never null where it is known how")
    if flow.true_count < len(flow) and pc.any(pc.invert(pc.or_(pc.or_(flow, request), name))).as_py():
        raise ValueError("a row of exchanges is of no table")
    if any(c.dictionary.null_count for c in batch.columns if pa.types.is_dictionary(c.type)):
        raise ValueError("a null of exchanges is a null, not a word")


def _in_calendar(times: pa.Array) -> bool:
    """Tell whether pandas and every report can show these times."""
    span = pc.min_max(times.cast(pa.int64())).as_py()
    return span["min"] is None or (span["min"] >= CALENDAR[0] and span["max"] < CALENDAR[1])
