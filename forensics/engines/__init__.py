"""Engines that run the queries: DuckDB in process, or Apache Spark. Nothing else in the library knows which one runs.

The queries are one text each, in what both engines understand alike; ``tests/engines/test_dialect.py`` has the rules.
Those in ``forensics/sql`` are returned by `query_text`. Those of `VIEWS` are tables to the others, and to the analyst:
``case.sql("SELECT * FROM contacts WHERE server = '203.0.113.7'")``.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Protocol, TypeAlias, Union
from weakref import WeakKeyDictionary

from forensics.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pyarrow as pa
    from pyspark.sql import SparkSession

__all__ = ["VIEWS", "Engine", "EngineLike", "RowFunction", "engine_of", "holding", "keeping", "query_text"]

EngineLike: TypeAlias = Union[str, "SparkSession"]
"""What a caller may name an engine by: ``duckdb``, the URL of a Spark master, or a Spark session."""

RowFunction: TypeAlias = "Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]"
"""A function that makes batches of batches."""

MASTERS = ("local", "spark://", "yarn", "k8s://")
"""How the URL of a Spark master begins."""

VIEWS = ("address_of", "traffic", "contacts", "lasting", "connections")
"""Queries that every case offers as tables, in the order in which they build on each other."""

KEPT = VIEWS[:3]
"""Those of them that are asked for more often than it takes to keep them."""

MOST_KEPT = 5_000_000
"""Records of a case whose contacts are kept while it is analysed; those of a larger one would fill the memory."""


class Engine(Protocol):
    """What a case needs of an engine."""

    @property
    def local(self) -> bool:
        """Whether it runs on this machine alone, and so sees the temporary folders of this one."""

    @property
    def readers(self) -> int:
        """How many evidence files it reads at once; 1 where this process is the only one there is."""

    @property
    def sorts_in_memory(self) -> bool:
        """Whether all rows must fit into memory to be sorted: long tables are then better sorted in pieces."""

    def register_arrow(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table known to queries under a name, in place of what bore the name before."""

    def register_parquet(self, name: str, files: Sequence[Path], rows: pa.Table | None = None) -> None:
        """Make Parquet files of one schema, and more rows in memory, known to queries as one table under a name."""

    def register_view(self, name: str, text: str) -> None:
        """Make a query known to other queries under a name."""

    def keeping(self, names: Sequence[str]) -> AbstractContextManager[None]:
        """Run the queries of some views once, and answer from their rows who names them, until the end of the block."""

    def holding(self, name: str, text: str, tables: Mapping[str, pa.Table]) -> AbstractContextManager[None]:
        """Run a query once, with tables that only it sees, and have its rows as a table until the end of the block."""

    def bare(self, text: str) -> str:
        """Return a query without the semicolons and comments that end it, so that it can stand in parentheses."""

    def stream(self, text: str, tables: Mapping[str, pa.Table] | None = None) -> pa.RecordBatchReader:
        """Run a query, with tables that only it sees, and hand on its rows batch by batch.

        Raises
        ------
        QueryError
            The engine refuses the query, at once or while its rows are fetched.
        """

    def query(self, text: str, tables: Mapping[str, pa.Table] | None = None) -> pa.Table:
        """Run a query, with tables that only it sees, and return its rows.

        Raises
        ------
        QueryError
            The engine refuses the query; the message is its own.
        """

    def write(self, text: str, path: Path, tables: Mapping[str, pa.Table] | None = None) -> None:
        """Run a query and write its rows as Parquet: one file, or a folder of files to which many workers write.

        Raises
        ------
        QueryError
            The engine refuses the query.
        OSError
            There is something at the path already, or it cannot be written.
        """

    def map_rows(
        self,
        text: str,
        function: RowFunction,
        schema: pa.Schema,
        order: Sequence[str] = (),
        tables: Mapping[str, pa.Table] | None = None,
    ) -> pa.Table:
        """Run a query and return what a function makes of its rows where they lie; they do not pass through here.

        Parameters
        ----------
        text
            The query; what it says of an order does not hold.
        function
            A function of a module that all workers can import. It is called for each part of the rows, an iterator of
            batches, and for some parts at the same time; a part may be empty.
        schema
            Columns of what it yields.
        order
            Columns that put the rows of each part in order; rows alike in the first of them are in one part.
        tables
            Tables that only this query sees.

        Raises
        ------
        QueryError
            The engine refuses the query, or the function fails in a worker.
        """

    def map_files(self, function: Callable[[bytes], bytes], tasks: Sequence[bytes]) -> list[bytes]:
        """Return what a function makes of each task, in their order; each task is one file for one of the readers.

        Parameters
        ----------
        function
            A function of a module that all readers can import.
        tasks
            What it is called with, one at a time.

        Raises
        ------
        CaseError
            A reader failed.
        """


def engine_of(engine: EngineLike | None, folder: Path) -> Engine:
    """Return the engine that is meant.

    Parameters
    ----------
    engine
        ``duckdb``, the URL of a Spark master (``local[4]``, ``spark://host:7077``, ``yarn``, ``k8s://...``), or a Spark
        session; None for DuckDB.
    folder
        The folder of the case.

    Raises
    ------
    CaseError
        It names no engine; or Spark runs with another master already.
    MissingToolError
        PySpark or Java is not installed, or Spark does not start.
    """
    if engine is None or engine == "duckdb":
        from forensics.engines.duckdb import DuckDBEngine

        return DuckDBEngine(folder)
    if isinstance(engine, str):
        if not engine.startswith(MASTERS):
            raise CaseError(
                f"{engine!r} is no engine: give duckdb, or a Spark master such as local[4] or spark://host:7077"
            )
        from forensics.engines._session import session_of
        from forensics.engines.spark import SparkEngine

        return SparkEngine(session_of(engine))
    if not hasattr(engine, "newSession"):
        raise CaseError(f"a {type(engine).__name__} is no engine: give a name, or a session of Spark")
    from forensics.engines.spark import SparkEngine

    return SparkEngine(engine)


@contextmanager
def keeping(engine: Engine) -> Iterator[None]:
    """Have an engine answer many questions from what it works out once, until the end of the block.

    That is the address of each name; in a case of at most `MOST_KEPT` records all of `KEPT`. A block within another
    one does nothing. No evidence may be added meanwhile.

    Parameters
    ----------
    engine
        The engine of a case.
    """
    if engine in _KEEPING:
        yield
        return
    held = engine.query("SELECT coalesce(try_sum(records), 0) AS records FROM sources").column("records")[0].as_py()
    with engine.keeping(KEPT if held <= MOST_KEPT else KEPT[:1]):
        _KEEPING[engine] = {}
        try:
            yield
        finally:
            for _, block in _KEEPING.pop(engine).values():
                block.close()


_KEEPING: WeakKeyDictionary[Engine, dict[str, tuple[Hashable, ExitStack]]] = WeakKeyDictionary()
"""Engines within a block of `keeping`, with the tables held until its end, by name: what of, and what ends them."""


@contextmanager
def holding(
    engine: Engine, name: str, text: str, tables: Mapping[str, pa.Table], of: Hashable = None
) -> Iterator[None]:
    """Have the rows of a query as a table to other queries, until the end of the block.

    Within a block of `keeping` it is run once: who asks for the same rows next finds them there.

    Parameters
    ----------
    engine
        The engine of a case.
    name
        Name of the table.
    text
        The query.
    tables
        Tables that only it sees.
    of
        What tells its rows from others of that name; all else that the query sees is the same all through a block.
    """
    held = _KEEPING.get(engine)
    if held is None:
        with engine.holding(name, text, tables):
            yield
        return
    if name in held and held[name][0] != of:
        held.pop(name)[1].close()
    if name not in held:
        with ExitStack() as block:
            block.enter_context(engine.holding(name, text, tables))
            held[name] = (of, block.pop_all())
    yield


@cache
def query_text(name: str) -> str:
    """Return a query of ``forensics/sql`` by its file's name without the suffix."""
    return resources.files("forensics").joinpath("sql", f"{name}.sql").read_text("utf-8")
