"""Which flows are meant: a row of ``flows``, a finding, many of either, or a condition in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import pyarrow as pa

from forensics.errors import EvidenceError
from forensics.views import View

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

__all__ = ["Row", "Rows", "selected_flows", "selection_text"]

Row: TypeAlias = Union[Mapping[str, Any], "pd.Series[Any]"]
"""A row of ``flows`` or a finding."""

Rows: TypeAlias = Union[Row, "pd.DataFrame", View, pa.Table, Iterable[Row], str]
"""What a caller may name flows by: one row, several, or a condition on the columns of ``flows``."""

SHOWN_ROWS = 5
"""Rows that a text about a selection names."""

CONDITION = """
SELECT DISTINCT source, record, tunnel, src, src_port, dst, dst_port, proto
FROM flows
WHERE frame_bytes_out IS NOT NULL AND ({condition}
)
"""
"""Captured flows for which a condition holds; it may end in a comment."""

SAME = """
SELECT DISTINCT f.source AS source, f.record AS record, f.tunnel AS tunnel, f.src AS src, f.src_port AS src_port,
    f.dst AS dst, f.dst_port AS dst_port, f.proto AS proto
FROM flows f
JOIN wanted w ON f.source = w.source AND f.record = w.record AND f.src = w.src AND f.start = w.start
    AND f.dst = w.dst AND f.proto = w.proto
WHERE f.frame_bytes_out IS NOT NULL AND (w.tunnel IS NULL OR f.tunnel = w.tunnel)
    AND (w.src_port IS NULL OR f.src_port = w.src_port) AND (w.dst_port IS NULL OR f.dst_port = w.dst_port)
"""
"""The flows that rows of ``flows`` are: a tunnel and what it carries may begin with the same packet."""

BEHIND = """
WITH behind AS (
    SELECT c.source AS source, c.record AS record
    FROM contacts c
    JOIN wanted w ON c.src = w.src AND c.server = w.dst AND c.start < w."end" AND c."end" >= w.start
)
SELECT f.source AS source, f.record AS record, f.tunnel AS tunnel, f.src AS src, f.src_port AS src_port,
    f.dst AS dst, f.dst_port AS dst_port, f.proto AS proto
FROM flows f
JOIN behind b ON f.source = b.source AND f.record = b.record
WHERE f.frame_bytes_out IS NOT NULL
UNION
SELECT f.source AS source, f.record AS record, f.tunnel AS tunnel, f.src AS src, f.src_port AS src_port,
    f.dst AS dst, f.dst_port AS dst_port, f.proto AS proto
FROM flows f
JOIN requests r ON f.source = r.source AND f.src = r.src AND f.src_port = r.src_port
    AND f.dst = coalesce(r.via, r.dst) AND r.start >= f.start AND r.start <= f."end"
JOIN behind b ON r.source = b.source AND r.record = b.record
WHERE f.frame_bytes_out IS NOT NULL
"""
"""Flows behind findings: their contacts, and the connections to a proxy that carried their requests."""

FINDING = {
    "src": pa.string(),
    "dst": pa.string(),
    "start": pa.timestamp("us", "UTC"),
    "end": pa.timestamp("us", "UTC"),
}
OPTIONAL = {"tunnel": pa.string(), "src_port": pa.int32(), "dst_port": pa.int32()}
FLOW = FINDING | {"source": pa.string(), "record": pa.int64(), "proto": pa.string()} | OPTIONAL
CHOSEN = ("source", "record", "tunnel", "src", "src_port", "dst", "dst_port", "proto")
"""What is returned of a flow: all that tells it from others that begin with the same packet."""


def selected_flows(sql: Callable[..., View], title: str, rows: Rows) -> pa.Table:
    """Return the captured flows that are meant.

    Parameters
    ----------
    sql
        Runs a query over the case's tables and tables handed over by name.
    title
        The case's, for messages.
    rows
        One row, several, or a condition.

    Returns
    -------
    pyarrow.Table
        The columns `CHOSEN` of each flow once; empty where no captured flow is meant.

    Raises
    ------
    EvidenceError
        A row is neither a flow nor a finding.
    QueryError
        The condition is no SQL.
    """
    if isinstance(rows, str):
        return sql(CONDITION.format(condition=rows)).to_arrow()
    found = []
    # Only a row of `flows` has a protocol; what a finding calls its record is a text of many.
    listed = _listed(rows)
    for query, columns, some in (
        (SAME, FLOW, [row for row in listed if "proto" in row]),
        (BEHIND, FINDING, [row for row in listed if "proto" not in row]),
    ):
        if some:
            found.append(sql(query, wanted=_wanted(title, some, columns)).to_arrow())
    return pa.concat_tables(found) if found else pa.table({name: [] for name in CHOSEN})


def _listed(rows: Row | pd.DataFrame | View | pa.Table | Iterable[Row]) -> list[dict[str, Any]]:
    """Return rows as mappings."""
    import pandas as pd

    if isinstance(rows, View):
        rows = rows.to_arrow()
    if isinstance(rows, pa.Table):
        listed: list[dict[str, Any]] = rows.to_pylist()
        return listed
    if isinstance(rows, pd.DataFrame):
        rows = rows.to_dict("records")
    elif isinstance(rows, Mapping | pd.Series):
        rows = [rows]
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:  # noqa: ANN401 - a value of a data frame can be anything
    """Return a value as Arrow takes it: pandas' missing values as None, NumPy's numbers as Python's."""
    import pandas as pd

    if not pd.api.types.is_scalar(value):
        return value
    return None if pd.isna(value) else value.item() if hasattr(value, "item") else value


def _wanted(title: str, rows: list[dict[str, Any]], columns: Mapping[str, pa.DataType]) -> pa.Table:
    """Return rows as a table that a query can join."""
    missing = {name for name in columns if name not in OPTIONAL and not all(name in row for row in rows)}
    if missing:
        raise EvidenceError(title, f"this row lacks {', '.join(sorted(missing))}: give a flow or a finding")
    try:
        return pa.Table.from_pylist(
            [{name: row.get(name) for name in columns} for row in rows], pa.schema(list(columns.items()))
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise EvidenceError(title, f"this row is neither a flow nor a finding: {error}") from error


def selection_text(rows: Rows) -> str:
    """Return in words what is meant, for whoever meets the packets without the case.

    Examples
    --------
    >>> selection_text("dst_port = 443")
    'flows WHERE dst_port = 443'
    """
    if isinstance(rows, str):
        return f"flows WHERE {rows}"
    listed = _listed(rows)
    more = len(listed) - SHOWN_ROWS
    return "; ".join(map(_row_text, listed[:SHOWN_ROWS])) + (f"; and {more} more" if more > 0 else "")


def _row_text(row: Mapping[str, Any]) -> str:
    """Return what one row is."""
    src, dst = (
        " port ".join(str(row[name]) for name in (end, f"{end}_port") if row.get(name) is not None)
        for end in ("src", "dst")
    )
    start, end = (
        time.astimezone(UTC).isoformat() if isinstance(time, datetime) else str(time)
        for time in (row.get("start"), row.get("end"))
    )
    kind = f"{row['proto']} flow" if "proto" in row else f"finding {row.get('detector', '')}".rstrip()
    return f"{kind} from {src} to {dst}, {start} to {end}"
