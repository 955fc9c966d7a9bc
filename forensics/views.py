"""Rows of a case on their way to the analyst: Arrow, pandas, or a table in a notebook."""

from __future__ import annotations

from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forensics.engines import holding
from forensics.escaping import markup_safe, terminal_safe

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable, Mapping, Sequence
    from contextlib import AbstractContextManager

    import pandas as pd
    import pyarrow as pa

    from forensics.engines import Engine, RowFunction

__all__ = ["View"]

SPAN_ROWS = 64 * 1024
"""Rows that are sorted at once where rows are handed on batch by batch."""

SECONDS = """
SELECT unix_micros(date_trunc('second', "{time}")) AS second, count(*) AS n
FROM ({query}
)
WHERE "{time}" IS NOT NULL
GROUP BY 1
ORDER BY second NULLS LAST
"""
"""How many rows there are of each second. [us since 1970]"""

SHOWN_ROWS = 10
"""Rows that a notebook shows."""


class View:
    """The rows of one query. They are fetched when they are asked for, so that a view of any size costs nothing.

    Parameters
    ----------
    engine
        What runs the query.
    query
        One SELECT, without a semicolon.
    order
        Columns that put the rows in order; none where the query does.
    tables
        Tables that only this query sees, by name.
    timed
        Whether the first column of the order is a time.
    """

    def __init__(
        self,
        engine: Engine,
        query: str,
        order: tuple[str, ...] = (),
        tables: Mapping[str, pa.Table] | None = None,
        *,
        timed: bool = False,
    ) -> None:
        self._engine = engine
        self._tables = dict(tables or {})
        self._query = query
        self._time = order[0] if timed else None
        keys = ", ".join(f'"{column}" NULLS LAST' for column in order)
        self._keys = f" ORDER BY {keys}" if order else ""
        self._ordered = self._sorted()

    def _sorted(self, condition: str = "true") -> str:
        """Return a query of the rows for which a condition holds, in order."""
        if not self._keys:
            return self._query
        return f"SELECT * FROM ({self._query}\n) WHERE {condition}{self._keys}"  # noqa: S608  # our own columns

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table."""
        return self._engine.query(self._ordered, self._tables)

    def to_batches(self) -> pa.RecordBatchReader:
        """Return the rows batch by batch, for tables that are larger than memory.

        What is ordered by time is sorted one span of it after the other, so that sorting needs no more memory either.
        """
        import pyarrow as pa

        first, *others = self._spans()
        head = self._engine.stream(self._sorted(first), self._tables)
        more = (batch for span in others for batch in self._engine.stream(self._sorted(span), self._tables))
        return pa.RecordBatchReader.from_batches(head.schema, chain(head, more))

    def mapped(self, function: RowFunction, schema: pa.Schema, order: Sequence[str] = ()) -> pa.Table:
        """Return what a function makes of the rows where they lie, on a cluster in its workers.

        Parameters
        ----------
        function, schema, order
            As of the engine's ``map_rows``: it makes batches of this schema out of an iterator of batches. Rows that
            are alike in the first column of ``order`` come to one call.
        """
        return self._engine.map_rows(self._query, function, schema, order, self._tables)

    def held(self, name: str, of: Hashable = None) -> AbstractContextManager[None]:
        """Have the rows as a table to other queries, until the end of the block.

        Within a block of the case's ``keeping`` they are worked out once: who asks for them next finds them there.

        Parameters
        ----------
        name
            Name of the table.
        of
            What tells these rows from others that such a block has under the name.
        """
        return holding(self._engine, name, self._query, self._tables, of)

    def _spans(self) -> list[str]:
        """Return the conditions of spans of about `SPAN_ROWS` each, in their order; one of them holds for every row."""
        if self._time is None or not self._engine.sorts_in_memory:
            return ["true"]
        counted = self._engine.query(SECONDS.format(time=self._time, query=self._query), self._tables)
        seconds, counts = (column.to_numpy() for column in counted.columns)
        place = (np.cumsum(counts) - counts) // SPAN_ROWS
        cuts = [f"timestamp_micros({second})" for second in seconds[1:][np.diff(place) > 0].tolist()]
        if not cuts:
            return ["true"]
        time = f'"{self._time}"'
        between = [f"{time} >= {since} AND {time} < {until}" for since, until in pairwise(cuts)]
        return [f"{time} < {cuts[0]}", *between, f"({time} >= {cuts[-1]} OR {time} IS NULL)"]

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as Parquet, however many there are.

        Parameters
        ----------
        path
            Where to; nothing may be there yet. DuckDB writes one file. The workers of Spark write a folder of files,
            which readers of Parquet take as one table.

        Raises
        ------
        OSError
            There is something already, or it cannot be written.
        """
        self._engine.write(self._ordered, Path(path), self._tables)

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas data frame; integers that may be null keep their type (``Int64``)."""
        import pandas as pd
        import pyarrow as pa

        integers = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}
        frame: pd.DataFrame = self.to_arrow().to_pandas(types_mapper=integers.get)
        return frame

    def __len__(self) -> int:
        counted = self._engine.query(f"SELECT count(*) AS n FROM ({self._query}\n)", self._tables)  # noqa: S608  # the analyst's
        return int(counted.column("n")[0].as_py())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand the rows to any library that speaks the Arrow C stream interface (Polars, DuckDB, ...)."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        frame = self._shown_rows().to_pandas()
        return f"<{len(self):,} rows>\n{frame}"

    def _repr_html_(self) -> str:
        """Show the first rows in a notebook; everything evidence wrote is escaped."""
        rows = self._shown_rows()
        head = "".join(f"<th>{markup_safe(name)}</th>" for name in rows.column_names)
        body = "".join(
            "<tr>" + "".join(f"<td>{markup_safe(value)}</td>" for value in row) + "</tr>"
            for row in zip(*(column.to_pylist() for column in rows.columns), strict=True)
        )
        count = len(self)
        shown = f"{count:,} rows" + (f", the first {SHOWN_ROWS} shown" if count > SHOWN_ROWS else "")
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{shown}</p>"

    def _shown_rows(self) -> pa.Table:
        """Return the first rows as text that does nothing but be read; a null is empty."""
        import pyarrow as pa

        query = f"SELECT * FROM ({self._ordered}\n) LIMIT {SHOWN_ROWS}"  # noqa: S608  # the analyst's
        head = self._engine.query(query, self._tables)
        columns = [pa.array(map(_cell, column.to_pylist()), pa.string()) for column in head.columns]
        return pa.table(columns, names=[terminal_safe(name) for name in head.column_names])


def _cell(value: object) -> str:
    return "" if value is None else terminal_safe(str(value))
