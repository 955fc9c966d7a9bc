"""The declared tables: complete, of Spark's types, and with nulls that mean something."""

from __future__ import annotations

import pyarrow as pa
import pytest

from forensics.schema import EXCHANGES, FINDING_COLUMNS, FINDINGS, NEVER, STORED, TABLES, WORD, Table, parts_of

EVERY = [*STORED.values(), FINDINGS]
KNOWN_TYPES = {
    pa.string(),
    pa.int64(),
    pa.int32(),
    pa.binary(),
    pa.float64(),
    pa.timestamp("us", tz="UTC"),
    pa.bool_(),
    WORD,
}

each_table = pytest.mark.parametrize("table", EVERY, ids=lambda table: table.name)


def test_tables_go_by_their_names() -> None:
    """The seven tables of a case are found by the names they bear in SQL."""
    assert list(TABLES) == ["flows", "volumes", "names", "requests", "fingerprints", "rejects", "sources"]
    assert all(name == table.name for name, table in STORED.items())
    assert set(STORED) - set(TABLES) == {"exchanges"}


@each_table
def test_types_are_those_that_spark_has_too(table: Table) -> None:
    """No unsigned integers, no times without a zone: both engines hold the same values."""
    assert {column.type for column in table.columns} <= KNOWN_TYPES


@each_table
def test_nullable_means_a_null_is_explained(table: Table) -> None:
    """A column can be null exactly where its declaration says what a null means."""
    for column, field in zip(table.columns, table.schema, strict=True):
        assert field.name == column.name
        assert field.type == column.type
        assert field.nullable == (column.null != NEVER)
        assert column.null


@each_table
def test_order_names_columns(table: Table) -> None:
    """The order of a table is made of its own columns, each once."""
    assert set(table.order) <= set(table.schema.names)
    assert len(set(table.order)) == len(table.order)


@each_table
def test_every_column_is_described(table: Table) -> None:
    """Names are unique, and each column and table says in a sentence what it holds."""
    assert len(set(table.schema.names)) == len(table.columns)
    assert table.doc.endswith(".")
    assert all(column.doc.rstrip(" [Bs]").endswith(".") for column in table.columns)


@each_table
def test_one_name_has_one_type(table: Table) -> None:
    """A column of the same name has the same type in every table, but for the record lists of findings."""
    types = {field.name: field.type for other in TABLES.values() for field in other.schema}
    mine = {field.name: pa.string() if field.type == WORD else field.type for field in table.schema}

    assert all(types.get(f, kind) == kind for f, kind in mine.items() if (table.name, f) != ("findings", "record"))


def test_rows_say_where_they_come_from() -> None:
    """Every table but `volumes`, which sums, leads back to a record of a source; `volumes` to the source."""
    for table in TABLES.values():
        assert "source" in table.schema.names
        assert "record" in table.schema.names or table.name in {"volumes", "sources"}


def test_finding_columns_are_the_findings_table() -> None:
    """What detectors fill and the CSV shows is declared once."""
    assert tuple(FINDINGS.schema.names) == FINDING_COLUMNS


def test_schema_is_built_once() -> None:
    """A table hands out the same schema object: it is compared for every batch."""
    assert TABLES["flows"].schema is TABLES["flows"].schema


def exchanges(*rows: dict[str, object]) -> pa.RecordBatch:
    """Return rows of `exchanges`; what is not given is of one plain request."""
    plain: dict[str, object] = {
        "start": 1, "end": 2, "src": "192.0.2.1", "bytes_kind": "application", "vantage": "gw", "source": "gw.log",
        "record": 1, "is_flow": True, "is_request": True,
    }  # fmt: skip
    return pa.RecordBatch.from_pylist([plain | row for row in rows], schema=EXCHANGES.schema)


def test_an_exchange_is_a_row_of_several_tables() -> None:
    """What is stored once is a flow, a request and a name; what only one table has is null in the others."""
    one = {"name": "a.example", "host": "a.example", "how": "proxy", "dst": "203.0.113.7", "bytes_in": 7, "url": "/x"}
    parts = {table: rows.to_pylist()[0] for table, rows in parts_of(exchanges(one))}

    assert list(parts) == ["flows", "requests", "names"]
    assert (parts["flows"]["bytes_in"], parts["flows"]["frame_bytes_in"]) == (7, None)
    assert (parts["requests"]["response_bytes"], parts["requests"]["request_bytes"]) == (7, None)
    assert (parts["requests"]["name"], parts["requests"]["url"]) == ("a.example", "/x")
    assert (parts["names"]["address"], parts["names"]["client"]) == ("203.0.113.7", "192.0.2.1")
    assert parts["names"]["time"] == parts["flows"]["start"] == parts["requests"]["start"]


def test_an_exchange_is_in_no_table_that_it_does_not_name() -> None:
    """Every row goes only where it belongs; a table without rows is left out."""
    batch = exchanges({"record": 1, "is_flow": False}, {"record": 2, "is_request": False}, {"record": 3})

    parts = {table: rows["record"].to_pylist() for table, rows in parts_of(batch)}
    assert parts == {"flows": [2, 3], "requests": [1, 3]}
    assert all(rows.schema == TABLES[table].schema for table, rows in parts_of(batch))
    assert not list(parts_of(batch.slice(0, 0)))
