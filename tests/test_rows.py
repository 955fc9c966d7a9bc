"""The buffer between readers and tables."""

from __future__ import annotations

import pyarrow as pa
import pytest

from forensics.rows import BATCH_ROWS, RAW_BYTES, Rows
from forensics.schema import TABLES


def test_rows_come_out_as_batches_of_their_table() -> None:
    """A batch per table, in the table's schema; a column that is not given is null."""
    rows = Rows()
    rows.add("names", time=1, address="192.0.2.1", name="www.example", how="dns", source="a", record=1)
    rows.add("names", time=2, name="mail.example", how="sni", source="a", record=2)
    rows.reject("a", 3, "too short", b"xy")

    batches = dict(rows.drain())

    assert batches["names"].schema == TABLES["names"].schema
    assert batches["names"].column("address").to_pylist() == ["192.0.2.1", None]
    assert batches["names"].column("time").cast(pa.int64()).to_pylist() == [1, 2]
    assert batches["rejects"].to_pylist() == [{"source": "a", "record": 3, "reason": "too short", "raw": b"xy"}]


def test_appender_does_what_add_does() -> None:
    """Rows given as tuples make the same batch as rows given by name, and the function outlives `drain`."""
    by_name, by_place = Rows(), Rows()
    append = by_place.appender("names", "name", "time", "how", "source", "record")
    for record in range(3):
        by_name.add("names", time=record, name=f"h{record}", how="dns", source="a", record=record)
        append((f"h{record}", record, "dns", "a", record))

    assert list(by_place.drain()) == list(by_name.drain())
    assert list(by_place.drain()) == []
    append(("again", 9, "dns", "a", 9))
    assert [batch.num_rows for _, batch in by_place.drain()] == [1]


def test_appenders_of_the_same_columns_share_a_batch() -> None:
    """Two functions for the same columns fill one batch, in the order of the calls."""
    rows = Rows()
    one, other = (rows.appender("rejects", "source", "record", "reason") for _ in range(2))
    one(("a", 1, "x"))
    other(("a", 2, "y"))

    [(_, batch)] = rows.drain()

    assert batch.column("record").to_pylist() == [1, 2]


def test_full_counts_rows_of_every_kind() -> None:
    """The buffer is full at `BATCH_ROWS` rows, however they came, and empty after `drain`."""
    rows = Rows()
    append = rows.appender("rejects", "source", "record", "reason")
    for record in range(BATCH_ROWS - 1):
        append(("a", record, "x"))
    assert not rows.full

    rows.reject("a", None, "y", b"")

    assert rows.full
    assert sum(batch.num_rows for _, batch in rows.drain()) == BATCH_ROWS
    assert not rows.full


def test_rejected_bytes_are_cut() -> None:
    """Of a rejected record the first 512 bytes are kept."""
    rows = Rows()
    rows.reject("a", 1, "too long", b"z" * 10_000)

    [(_, batch)] = rows.drain()

    assert batch.column("raw").to_pylist() == [b"z" * RAW_BYTES]


def test_a_misspelt_column_is_an_error() -> None:
    """A value for a column that the table has not got is never dropped in silence."""
    rows = Rows()
    rows.add("rejects", source="a", record=1, raeson="x")

    with pytest.raises(ValueError, match="rejects has no column raeson"):
        list(rows.drain())


def test_half_surrogates_do_not_stop_a_batch() -> None:
    """A text that no UTF-8 can hold, as hostile JSON can, is kept with its odd half spelled out."""
    rows = Rows()
    rows.add("names", time=1, name="a\ud800b", how="dns", source="a", record=1)
    rows.add("names", time=2, name=None, how="dns", source="a", record=2)
    rows.add("names", time=3, name="plain", how="dns", source="a", record=3)

    [(_, batch)] = rows.drain()

    assert batch.column("name").to_pylist() == ["a\\ud800b", None, "plain"]
