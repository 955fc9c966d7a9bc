"""Apache Spark as the engine: on this machine, or on a cluster that sees the case's folder.

A session that was handed over stays as it is: the engine works in a session of its own beside it, with its own tables
and settings, and never ends it.

References
----------
.. [1] Apache Spark, *ANSI Compliance*: https://spark.apache.org/docs/latest/sql-ref-ansi-compliance.html
.. [2] M. Zaharia et al., "Apache Spark: A Unified Engine for Big Data Processing", Commun. ACM 59 (2016) 56-65,
   doi:10.1145/2934664.
"""

from __future__ import annotations

import errno
import os
import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from forensics.engines._session import SETTINGS, master_of
from forensics.engines._steps import TOKEN, is_blank, steps_of
from forensics.errors import CaseError, QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from forensics.engines import RowFunction

__all__ = ["SparkEngine"]

TYPES = {
    pa.string(): "STRING",
    pa.int64(): "BIGINT",
    pa.int32(): "INT",
    pa.bool_(): "BOOLEAN",
    pa.float64(): "DOUBLE",
    pa.binary(): "BINARY",
    pa.timestamp("us", "UTC"): "TIMESTAMP",
}
"""Types of the tables of a case, as Spark calls them."""

GLOB = re.compile(r"[\\*?\[\]{}]")
"""Characters that are special in a glob, and may be part of a case's name."""


class SparkEngine:
    """A session of Spark that nobody else uses.

    Parameters
    ----------
    session
        Any session; the engine's own is made beside it.
    """

    sorts_in_memory = False

    def __init__(self, session: SparkSession) -> None:
        self._session = session.newSession()
        for name, value in SETTINGS.items():
            self._session.conf.set(name, value)
        self._frames: dict[str, DataFrame] = {}
        self._views: dict[str, str] = {}
        self._stale: list[str] = []

    @property
    def local(self) -> bool:
        """Whether it runs on this machine alone."""
        return master_of(self._session).startswith("local")

    @property
    def readers(self) -> int:
        """How many evidence files it reads at once: one on each core."""
        return int(self._session.sparkContext.defaultParallelism)

    def register_arrow(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table known to queries under a name, in place of what bore the name before."""
        self._register(name, self._sent(table))

    def register_parquet(self, name: str, files: Sequence[Path], rows: pa.Table | None = None) -> None:
        """Make Parquet files of one schema, and more rows in memory, known to queries as one table under a name."""
        # The disk is meant that this machine sees, whatever the cluster's own file system is.
        named = [f"file://{GLOB.sub(_escaped, str(file.resolve()))}" for file in files]
        with _refusals():
            frame = self._session.read.schema(_declared(files[0])).parquet(*named)
        self._register(name, frame if rows is None else frame.union(self._sent(rows)))

    def _sent(self, table: pa.Table) -> DataFrame:
        """Return rows of this machine as Spark has them; PySpark stumbles over a table without any chunk."""
        return self._session.createDataFrame(table if table.num_rows else table.schema.empty_table())

    def _register(self, name: str, frame: DataFrame) -> None:
        frame.createOrReplaceTempView(name)
        self._frames[name] = frame
        self._stale = list(self._views)  # what was understood of them holds the table that was there before

    def register_view(self, name: str, text: str) -> None:
        """Make a query known to other queries under a name."""
        self._views[name] = text
        self._stale = list(self._views)

    @contextmanager
    def keeping(self, names: Sequence[str]) -> Iterator[None]:
        """Run the queries of some views once, and answer from their rows who names them, until the end of the block."""
        try:
            for at, name in enumerate(names):
                self._renew()
                self._frames[name] = self._frames[name].localCheckpoint(eager=False)
                self._frames[name].createOrReplaceTempView(name)
                self._stale = [one for one in self._views if one not in names[: at + 1]]
            yield
        finally:
            self._stale = list(self._views)

    @contextmanager
    def holding(self, name: str, text: str, tables: Mapping[str, pa.Table]) -> Iterator[None]:
        """Run a query once, with tables that only it sees, and have its rows as a table until the end of the block."""
        with _refusals():
            self._frames[name] = self._frame(text, tables).localCheckpoint(eager=False)
        self._frames[name].createOrReplaceTempView(name)
        try:
            yield
        finally:
            del self._frames[name]
            self._session.catalog.dropTempView(name)

    def _renew(self) -> None:
        """Analyse the queries of views once more where their tables are others now; not each time that one is named."""
        while self._stale:
            name = self._stale[0]
            frame = self._asked(self._views[name])
            frame.createOrReplaceTempView(name)
            self._frames[name] = frame
            del self._stale[0]

    def bare(self, text: str) -> str:
        """Return a query without the semicolons and comments that end it, so that it can stand in parentheses."""
        pieces = TOKEN.findall(text)
        while pieces and (pieces[-1] == ";" or is_blank(pieces[-1])):
            pieces.pop()
        return "".join(pieces)

    def stream(self, text: str, tables: Mapping[str, pa.Table] | None = None) -> pa.RecordBatchReader:
        """Run one query, with tables that only it sees, and hand on its rows batch by batch.

        One partition of the result after the other comes to this machine.
        """
        with _refusals():
            frame = self._frame(text, tables or {})
            schema = _nullable(frame.limit(0).toArrow().schema)
        return pa.RecordBatchReader.from_batches(schema, _batches(frame, schema))

    def query(self, text: str, tables: Mapping[str, pa.Table] | None = None) -> pa.Table:
        """Run one query, with tables that only it sees, and return its rows."""
        with _refusals():
            table = self._frame(text, tables or {}).toArrow()
        return table.cast(_nullable(table.schema))

    def write(self, text: str, path: Path, tables: Mapping[str, pa.Table] | None = None) -> None:
        """Run one query and have the workers write its rows into a folder of Parquet files."""
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        with _refusals():
            self._frame(text, tables or {}).write.parquet(f"file://{path.resolve()}")

    def map_rows(
        self,
        text: str,
        function: RowFunction,
        schema: pa.Schema,
        order: Sequence[str] = (),
        tables: Mapping[str, pa.Table] | None = None,
    ) -> pa.Table:
        """Run a query and return what the workers make of its rows; each part is one partition."""
        columns = ", ".join(f"`{field.name}` {TYPES[field.type]}" for field in schema)
        with _refusals():
            frame = self._frame(text, tables or {})
            if order:
                frame = frame.repartition(order[0]).sortWithinPartitions(*order)
            return _mapped(frame, function, columns).toArrow().cast(schema)

    def map_files(self, function: Callable[[bytes], bytes], tasks: Sequence[bytes]) -> list[bytes]:
        """Return what a function makes of each task, in their order; each is a task of Spark's own."""
        from pyspark.errors import PySparkException

        def worked(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                done = [function(task) for task in batch["task"].to_pylist()]
                yield pa.RecordBatch.from_arrays([batch["number"], pa.array(done, pa.binary())], ["number", "done"])

        numbered = pa.table({"number": range(len(tasks)), "task": pa.array(tasks, pa.binary())})
        # Dealt out in turn from one hand: each partition gets one task.
        dealt = self._sent(numbered).coalesce(1).repartition(len(tasks))
        try:
            found = _mapped(dealt, worked, "number BIGINT, done BINARY").toArrow()
        except PySparkException as error:
            raise CaseError(f"Spark could not read the evidence: {error}") from error
        return list(found.sort_by("number")["done"].to_pylist())

    def _frame(self, text: str, tables: Mapping[str, pa.Table]) -> DataFrame:
        """Return what a query will give, with tables that only it sees; steps that it names several times run once."""
        self._renew()
        steps, rest = steps_of(text)
        if all(step.named < 2 for step in steps):  # noqa: PLR2004 - nothing would be computed twice
            steps, rest = [], text
        try:
            for name, table in tables.items():
                self._sent(table).createOrReplaceTempView(name)
            for step in steps:
                frame = self._asked(step.text)
                once = frame.localCheckpoint(eager=False) if step.named > 1 else frame
                once.createOrReplaceTempView(step.name)
            return self._asked(rest)
        finally:
            for name in (*tables, *(step.name for step in steps)):
                if name in self._frames:
                    self._frames[name].createOrReplaceTempView(name)
                else:
                    self._session.catalog.dropTempView(name)

    def _asked(self, text: str) -> DataFrame:
        """Return what a query will give, once it is known that the query only reads.

        A command would be run at once; in parentheses there can be a query alone, where no parenthesis ends them early.
        """
        depth = 0
        for piece in TOKEN.findall(text):
            depth += (piece == "(") - (piece == ")")
            if depth < 0:
                raise QueryError("a parenthesis is closed that was not opened")
        return self._session.sql(f"SELECT * FROM ({text}\n)")  # noqa: S608  # nothing is run


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _declared(file: Path) -> str:
    """Return the columns of a Parquet file as Spark declares them; it need not look itself."""
    from pyarrow.parquet import read_schema

    kinds = {field.name: field.type for field in read_schema(file)}
    plain = {name: kind.value_type if pa.types.is_dictionary(kind) else kind for name, kind in kinds.items()}
    return ", ".join(f"`{name}` {TYPES[kind]}" for name, kind in plain.items())


def _nullable(schema: pa.Schema) -> pa.Schema:
    """Return a schema that does not say where nulls cannot be, as other engines do not."""
    return pa.schema([pa.field(field.name, _nullable_type(field.type)) for field in schema])


def _nullable_type(kind: pa.DataType) -> pa.DataType:
    return pa.list_(kind.value_type) if pa.types.is_list(kind) else kind


def _batches(frame: DataFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a frame, in its order, with one partition in memory."""
    with _refusals():
        for row in _mapped(frame, _packed, "batch BINARY").toLocalIterator():
            with pa.ipc.open_stream(row.batch) as reader:
                for batch in reader:
                    yield batch.cast(schema)


def _mapped(
    frame: DataFrame, function: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]], columns: str
) -> DataFrame:
    """Return what the workers make of the batches of a frame."""
    with warnings.catch_warnings():
        # PySpark warns of versions of pandas whenever a function is handed over, also where none of it is used.
        warnings.simplefilter("ignore", FutureWarning)
        return frame.mapInArrow(function, columns)


def _packed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Put each batch into one value; runs in the workers."""
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        yield pa.RecordBatch.from_arrays([pa.array([sink.getvalue().to_pybytes()], pa.binary())], ["batch"])


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn the engine's errors into ours; they are told once, not also in a log."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.logger import PySparkLogger

    log = PySparkLogger.getLogger("SQLQueryContextLogger")
    disabled, log.disabled = log.disabled, True
    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise QueryError(str(error)) from error
    finally:
        log.disabled = disabled
