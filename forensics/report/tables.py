r"""Tables as CSV, and what a value of a data frame is without its frame.

Example: ``write_csv("spikes.csv", FINDING_COLUMNS, rows)``.

References
----------
.. [1] RFC 4180, *Common Format and MIME Type for Comma-Separated Values (CSV) Files*; lines end with ``\n`` here, as
   every current reader accepts.
"""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from forensics.escaping import csv_safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

__all__ = ["iso_time", "plain", "write_csv", "write_rows"]


def write_csv(path: str | PathLike[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as CSV that a spreadsheet opens without running anything.

    Parameters
    ----------
    path
        The file.
    columns
        Names of the columns, in order; they are the header.
    rows
        Rows by column name. A missing value is an empty cell; times become ISO 8601 in UTC; lists are joined by ``; ``.

    Returns
    -------
    pathlib.Path
        The file that was written: UTF-8, lines ended by a line feed.

    Raises
    ------
    KeyError
        A row lacks a column.

    Examples
    --------
    >>> write_csv("spikes.csv", ["dst"], [{"dst": "192.0.2.7"}])  # doctest: +SKIP
    PosixPath('spikes.csv')
    """
    target = Path(path)
    with target.open("w", encoding="utf-8", newline="") as file:
        write_rows(file, columns, rows)
    return target


def write_rows(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the header and the rows of `write_csv` to an open text file, which must not translate line ends."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row[c]) for c in columns] for row in rows)


def plain(value: Any) -> Any:  # noqa: ANN401 - a value of a data frame can be anything
    """The value as Python knows it: None for every kind of missing value, lists and scalars without NumPy.

    Parameters
    ----------
    value
        A value of a row of a data frame or of an Arrow table.

    Returns
    -------
    object
        The same value, None for NaN, NaT and NA.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    try:
        return None if value != value else value  # noqa: PLR0124 - NaN and NaT differ from themselves
    except TypeError:  # pandas' NA refuses to be compared
        return None


def iso_time(moment: datetime) -> str:
    """The moment as ISO 8601 in UTC with microseconds, so that text order is time order."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _cell(value: object) -> str | int | float:
    """One cell."""
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, datetime):
        return iso_time(value)
    return csv_safe("; ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))
