"""Engines that run the queries: DuckDB in process. Nothing else in the library knows which one runs.

The queries are one text each, kept in ``forensics/sql``; `query_text` returns them. Those of `VIEWS` are tables to the
others, and to the analyst: ``case.sql("SELECT * FROM contacts WHERE server = '203.0.113.7'")``.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

__all__ = ["VIEWS", "Engine", "query_text"]

VIEWS = ("address_of", "traffic", "contacts")
"""Queries that every case offers as tables, in the order in which they build on each other."""


class Engine(Protocol):
    """What a case needs of an engine."""

    def register_arrow(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table known to queries under a name, in place of what bore the name before."""

    def register_parquet(self, name: str, files: Sequence[Path], rows: pa.Table | None = None) -> None:
        """Make Parquet files of one schema, and more rows in memory, known to queries as one table under a name."""

    def register_view(self, name: str, text: str) -> None:
        """Make a query known to other queries under a name."""

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


@cache
def query_text(name: str, **words: str) -> str:
    """Return a query of ``forensics/sql`` by its file's name without the suffix.

    Parameters
    ----------
    name
        The file's name.
    **words
        What stands for the words in braces; never anything that evidence wrote.
    """
    text = resources.files("forensics").joinpath("sql", f"{name}.sql").read_text("utf-8")
    return text.format(**words) if words else text
