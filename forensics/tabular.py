"""A table that is in hand already, a data frame or a file of any layout, becomes a case.

Example::

    case = read_table(frame, columns={"start": "time", "src": "client", "bytes_out": "sent"}, timezone="Asia/Tokyo")
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from forensics.case import Case
from forensics.errors import EvidenceError
from forensics.formats._description import Column, TableDescription, description_of
from forensics.memory import MemoryStore
from forensics.reading.options import zone_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

__all__ = ["Column", "read_table"]

_FORMS = {".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "arrow"}
_SAID = "read_table"


class _Frame(BytesIO):
    """A table of Arrow as the bytes of a file."""

    name = "table.arrow"


def read_table(
    table: pd.DataFrame | pa.Table | str | os.PathLike[str],
    *,
    columns: Mapping[str, str | Column | Mapping[str, object]],
    timezone: str | None = None,
    bytes_kind: str = "application",
    vantage: str | None = None,
    null: Sequence[str] = ("", "-"),
    only: Mapping[str, Sequence[str]] | None = None,
    case: Case | None = None,
) -> Case:
    """Read a table of any layout into a case.

    A row that cannot be read becomes one of ``rejects``, with its number and the reason. The table counts as evidence:
    a file with its SHA-256, a data frame with that of its named columns as a stream of Arrow.

    Parameters
    ----------
    table
        A data frame, a table of Arrow, or the path of a file: CSV with a header, ``.tsv``, ``.jsonl``, ``.parquet``.
    columns
        Of our columns, such as ``start``, ``src``, ``dst``, ``bytes_out``, what the table calls them; or a mapping with
        ``field`` and ``format`` (``iso``, ``epoch``, or in the words of ``strptime``), ``times`` or ``stamps``.
        ``start`` (or ``end``) and ``src`` are needed.
    timezone
        IANA zone of times that carry none.
    bytes_kind
        What bytes count: ``frame``, ``ip``, ``payload`` or ``application``.
    vantage
        Where it was recorded; by default the file's name without its suffixes.
    null
        Texts that stand for nothing.
    only
        Of some of the table's columns the values that a row must have to count.
    case
        Case that takes the rows; by default a new one in memory.

    Returns
    -------
    Case
        The case.

    Raises
    ------
    EvidenceError
        The description is not usable, the table has not the columns that it names, or no row could be read.
    TimezoneNeededError
        Times carry no zone and ``timezone`` is not given.
    CaseError
        The zone is not known.
    """
    path = Path(table) if isinstance(table, str | os.PathLike) else None
    form = _FORMS.get(path.suffix.lower(), "csv") if path else "arrow"
    said: dict[str, object] = {
        "form": form, "columns": columns, "bytes_kind": bytes_kind, "null": tuple(null), "only": only or {},
    }  # fmt: skip
    described = description_of(said, _SAID)
    zone = zone_of(timezone or "UTC")
    opened = case if case is not None else Case(MemoryStore(), title="table", timezone=zone)
    evidence = path if path and form != "arrow" else _stream(table, described)
    return opened.add(evidence, timezone=timezone, vantage=vantage, table=described)


def _stream(table: pd.DataFrame | pa.Table | str | os.PathLike[str], described: TableDescription) -> _Frame:
    """Return the named columns of a table as a stream of Arrow."""
    names = list(described.fields)
    if isinstance(table, str | os.PathLike):
        found = _parquet(Path(table))
    elif isinstance(table, pa.Table):
        found = table
    else:
        missing = [name for name in names if name not in table.columns]
        found = None if missing else _of_frame(table[names])
        if missing:
            listed = ", ".join(repr(name) for name in list(table.columns)[:30])
            raise EvidenceError(_SAID, f"the data frame has no column {missing[0]!r}; it has {listed}")
    kept = found.select([name for name in names if name in found.column_names]).replace_schema_metadata(None)
    frame = _Frame()
    with pa.ipc.new_stream(frame, kept.schema) as writer:
        writer.write_table(kept)
    frame.seek(0)
    return frame


def _parquet(path: Path) -> pa.Table:
    """Return a table of Parquet."""
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise EvidenceError(path.name, f"cannot be read as Parquet: {error}") from error


def _of_frame(frame: pd.DataFrame) -> pa.Table:
    """Return a data frame as a table of Arrow."""
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise EvidenceError(_SAID, f"a column of the data frame is of mixed types: {error}") from None
