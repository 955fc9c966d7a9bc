"""Rows of a case on their way to the analyst: Arrow, pandas, or a table in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.escaping import markup_safe, terminal_safe

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import pyarrow as pa

    from forensics.engines import Engine

__all__ = ["View"]

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
    """

    def __init__(
        self,
        engine: Engine,
        query: str,
        order: tuple[str, ...] = (),
        tables: Mapping[str, pa.Table] | None = None,
    ) -> None:
        self._engine = engine
        self._tables = dict(tables or {})
        self._query = query
        keys = ", ".join(f'"{column}" NULLS LAST' for column in order)
        self._ordered = f"SELECT * FROM ({query}\n) ORDER BY {keys}" if order else query  # noqa: S608  # our own columns

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table."""
        return self._engine.query(self._ordered, self._tables)

    def to_batches(self) -> pa.RecordBatchReader:
        """Return the rows batch by batch, for tables that are larger than memory."""
        return self._engine.stream(self._ordered, self._tables)

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
