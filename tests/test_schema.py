"""The declared tables: complete, of Spark's types, and with nulls that mean something."""

from __future__ import annotations

import pyarrow as pa
import pytest

from forensics.schema import FINDING_COLUMNS, FINDINGS, NEVER, TABLES, Table

EVERY = [*TABLES.values(), FINDINGS]
KNOWN_TYPES = {pa.string(), pa.int64(), pa.int32(), pa.binary(), pa.float64(), pa.timestamp("us", tz="UTC")}

each_table = pytest.mark.parametrize("table", EVERY, ids=lambda table: table.name)


def test_tables_go_by_their_names() -> None:
    """The seven tables of a case are found by the names they bear in SQL."""
    assert list(TABLES) == ["flows", "volumes", "names", "requests", "fingerprints", "rejects", "sources"]
    assert all(name == table.name for name, table in TABLES.items())


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

    assert all(
        types.get(f.name, f.type) == f.type for f in table.schema if (table.name, f.name) != ("findings", "record")
    )


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
