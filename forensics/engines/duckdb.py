"""DuckDB as the engine: in process, and shut in.

No extension is loaded or fetched, and of the file system it sees the case's own folder and nothing else: a query that
came with hostile evidence cannot read a file, write one, or open a connection.

References
----------
.. [1] DuckDB documentation, *Securing DuckDB*: https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from forensics.engines._parts import in_turn, parts_of
from forensics.errors import QueryError
from forensics.replacing import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from forensics.engines import RowFunction

__all__ = ["DuckDBEngine"]

SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # a query names tables of the case, never variables of the program
}

MACROS = {
    "collect_list(x)": "list(x) FILTER (WHERE x IS NOT NULL)",
    "sort_array(x)": "list_sort(x)",
    "timestamp_micros(x)": "make_timestamptz(x)",
    "try_sum(x)": "TRY_CAST(sum(x) AS BIGINT)",
    "unix_micros(x)": "epoch_us(x)",
}
"""Functions of Spark that DuckDB has under other names, so that one text runs on both."""

MOST_MEMORY = 5_000_000_000
"""Memory that queries may use; half of the machine's, where that is less. The rest is for what they return. [B]"""

HANDED = "handed over to this query"
"""What a table is called while it is handed over."""

WIDE = pa.decimal128(38, 0)
"""What DuckDB makes of its 128-bit integers; the sum of a column of integers is one."""


class DuckDBEngine:
    """One private, in-memory DuckDB.

    Every query has a connection of its own: rows can be fetched from one while another runs, and tables that were
    handed to one query are seen by no other. What does not fit into memory is spilled to a temporary folder that only
    this user can read and that goes with the engine.

    Parameters
    ----------
    folder
        The only folder whose Parquet files it may read; none where all tables are in memory.
    """

    local = True
    readers = 1
    sorts_in_memory = True

    def __init__(self, folder: Path | None = None) -> None:
        self._arrow: dict[str, pa.Table] = {}
        self._views: dict[str, str] = {}
        self._connection = duckdb.connect(config={**SETTINGS, "memory_limit": f"{_memory() // 1_000_000}MB"})
        self._connection.execute("SET GLOBAL timezone = 'UTC'")
        # The files of a case stay as they are; what a large one's pieces hold is else read again by every query.
        self._connection.execute("SET GLOBAL parquet_metadata_cache = true")
        # A notebook without ipywidgets has no bar, and refuses to have it switched off.
        if self._connection.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (True,):
            self._connection.execute("SET enable_progress_bar = false")
        for macro, meaning in MACROS.items():
            self._connection.execute(f"CREATE MACRO {macro} AS {meaning}")
        spill = tempfile.mkdtemp(prefix="forensics-")
        weakref.finalize(self, shutil.rmtree, spill, ignore_errors=True)
        self._connection.execute(f"SET temp_directory = {_literal(spill)}")
        if folder is not None:
            self._connection.execute(f"SET allowed_directories = [{_literal(str(folder.resolve()))}]")
        # In this order: once external access is off, nothing can be allowed any more.
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def register_arrow(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table known to queries under a name, in place of what bore the name before."""
        self._connection.execute(f'DROP VIEW IF EXISTS "{name}"')
        self._connection.register(name, table)
        self._arrow[name] = table

    def register_parquet(self, name: str, files: Sequence[Path], rows: pa.Table | None = None) -> None:
        """Make Parquet files of one schema, and more rows in memory, known to queries as one table under a name."""
        listed = ", ".join(_literal(str(file.resolve())) for file in files)
        self._connection.unregister(name)
        self._arrow.pop(name, None)
        text = f"SELECT * FROM read_parquet([{listed}])"  # noqa: S608  # quoted
        if rows is not None:
            self.register_arrow(f"{name} in memory", rows)
            text += f' UNION ALL SELECT * FROM "{name} in memory"'  # noqa: S608  # a name of ours
        self.register_view(name, text)

    def register_view(self, name: str, text: str) -> None:
        """Make a query known to other queries under a name."""
        self._connection.execute(f'CREATE OR REPLACE VIEW "{name}" AS {text}')
        self._views[name] = text

    @contextmanager
    def keeping(self, names: Sequence[str]) -> Iterator[None]:
        """Run the queries of some views once, and answer from their rows who names them, until the end of the block."""
        texts = {name: self._views[name] for name in names}
        try:
            for name in names:
                self._connection.execute(f'CREATE TABLE "kept {name}" AS SELECT * FROM "{name}"')  # noqa: S608  # a name of ours
                self.register_view(name, f'SELECT * FROM "kept {name}"')  # noqa: S608  # the same
            yield
        finally:
            for name in names:
                self.register_view(name, texts[name])
                self._connection.execute(f'DROP TABLE IF EXISTS "kept {name}"')

    @contextmanager
    def holding(self, name: str, text: str, tables: Mapping[str, pa.Table]) -> Iterator[None]:
        """Run a query once, with tables that only it sees, and have its rows as a table until the end of the block."""
        try:
            with _refusals(), self._cursor(text, tables) as cursor:
                cursor.execute(f'CREATE TABLE "{name}" AS {text}')
            yield
        finally:
            self._connection.execute(f'DROP TABLE IF EXISTS "{name}"')

    def bare(self, text: str) -> str:
        """Return a query without the semicolons and comments that end it, so that it can stand in parentheses."""
        tokens = duckdb.tokenize(text)
        while tokens and (tokens[-1][1] == duckdb.token_type.comment or text[tokens[-1][0]] == ";"):
            text = text[: tokens.pop()[0]]
        return text.rstrip()

    def stream(self, text: str, tables: Mapping[str, pa.Table] | None = None) -> pa.RecordBatchReader:
        """Run one query, with tables that only it sees, and hand on its rows batch by batch."""
        with _refusals():
            cursor = self._cursor(text, tables or {})
            reader = pa.RecordBatchReader.from_stream(cursor.sql(text))
        schema = pa.schema([_narrow_field(field) for field in reader.schema])
        return pa.RecordBatchReader.from_batches(schema, _batches(cursor, reader, schema))

    def query(self, text: str, tables: Mapping[str, pa.Table] | None = None) -> pa.Table:
        """Run one query, with tables that only it sees, and return its rows."""
        with _refusals(), self._cursor(text, tables or {}) as cursor:
            return _narrowed(cursor.sql(text).to_arrow_table())

    def write(self, text: str, path: Path, tables: Mapping[str, pa.Table] | None = None) -> None:
        """Run one query and write its rows into one Parquet file."""
        from pyarrow.parquet import ParquetWriter

        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        rows = self.stream(text, tables)
        with replacing(path) as file, ParquetWriter(file, rows.schema, compression="zstd") as writer:
            for batch in rows:
                writer.write_batch(batch)

    def map_rows(
        self,
        text: str,
        function: RowFunction,
        schema: pa.Schema,
        order: Sequence[str] = (),
        tables: Mapping[str, pa.Table] | None = None,
    ) -> pa.Table:
        """Run a query and return what a function makes of its rows; here, of some parts at the same time.

        Without an order, all rows are one part.
        """
        if not order:
            return pa.Table.from_batches(function(self.stream(text, tables)), schema)
        keys = ", ".join(f'"{column}" NULLS LAST' for column in order)
        rows = self.stream(f"SELECT * FROM ({text}\n) ORDER BY {keys}", tables)  # noqa: S608  # our own columns
        made = in_turn(lambda part: list(function(part.to_batches())), parts_of(rows, order[0]))
        return pa.Table.from_batches((batch for part in made for batch in part), schema)

    def map_files(self, function: Callable[[bytes], bytes], tasks: Sequence[bytes]) -> list[bytes]:
        """Return what a function makes of each task; here, one after the other."""
        return [function(task) for task in tasks]

    def _cursor(self, text: str, tables: Mapping[str, pa.Table]) -> duckdb.DuckDBPyConnection:
        """Return a connection for a query, once it is known that the query only reads."""
        statements = self._connection.extract_statements(text)
        # COPY and its like would write into the case, where the evidence's tables lie.
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise QueryError("a case is read-only: write one SELECT")
        cursor = self._connection.cursor()
        for name, table in self._arrow.items():
            cursor.register(name, table)
        for name, table in tables.items():
            # Of a table of its own it knows how many rows there are, and joins by that; of Arrow's it does not.
            known = '"' + name.replace('"', '""') + '"'
            cursor.register(HANDED, table)
            cursor.execute(f'CREATE TEMPORARY TABLE {known} AS SELECT * FROM "{HANDED}"')  # noqa: S608  # quoted
            cursor.unregister(HANDED)
        # A SELECT can carry a COPY in its WITH clause, though not in parentheses: there the binder refuses it.
        cursor.execute(f"EXPLAIN SELECT * FROM ({text}\n)")  # noqa: S608  # one SELECT, and nothing is run
        return cursor


def _memory() -> int:
    """Return how much memory queries may use; what needs more goes to the disk. [B]"""
    with suppress(OSError, ValueError, AttributeError):  # not every system tells
        return min(MOST_MEMORY, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    return MOST_MEMORY


def _literal(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn the engine's errors into ours; those of a running stream arrive as OSError."""
    try:
        yield
    except (duckdb.Error, OSError, pa.ArrowInvalid) as error:
        raise QueryError(str(error)) from error


def _batches(
    cursor: duckdb.DuckDBPyConnection, reader: pa.RecordBatchReader, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a stream; its connection lives as long as it is read."""
    with _refusals(), cursor:
        for batch in reader:
            yield batch.cast(schema)


def _narrow_field(field: pa.Field) -> pa.Field:
    return field.with_type(pa.int64()) if field.type == WIDE else field


def _narrowed(table: pa.Table) -> pa.Table:
    """Return 128-bit integers as the 64-bit ones they were summed from; left as they are where they do not fit."""
    for place, field in enumerate(table.schema):
        if field.type == WIDE:
            try:
                table = table.set_column(place, _narrow_field(field), table.column(place).cast(pa.int64()))
            except pa.ArrowInvalid:
                continue
    return table
