"""Silences of all sets of a case, told in its ``sources``.

They are found once all files of a set are known, since only the whole of a set shows its rhythm; each is told at the
file whose record ends it.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from forensics.errors import CaseError
from forensics.formats._gaps import Gap
from forensics.reading.gaps import gaps_of, gaps_text
from forensics.reading.options import zone_of
from forensics.reading.silences import silences

if TYPE_CHECKING:
    from datetime import tzinfo

    from forensics.store import Store
    from forensics.views import View

__all__ = ["tell_silences"]

LEAST_SPAN = timedelta(days=1)
"""A set of a shorter span shows no rhythm."""

MINUTES = """
SELECT s.number AS number, s.source AS source, date_trunc('minute', r.start) AS minute
FROM sets s
JOIN (
    SELECT source, start FROM flows
    UNION ALL SELECT source, start FROM requests WHERE source NOT IN (SELECT source FROM flows)
    UNION ALL SELECT source, time AS start FROM names WHERE source NOT IN (SELECT source FROM flows)
) r ON r.source = s.source
GROUP BY 1, 2, 3
ORDER BY number NULLS LAST, minute NULLS LAST, source NULLS LAST
"""


class Sql(Protocol):
    """The queries of a case."""

    def __call__(self, query: str, **tables: pa.Table) -> View:
        """Return the rows of a query."""


def tell_silences(store: Store, sql: Sql, zone: tzinfo) -> bool:
    """Put the silences of a case's sets into its ``sources``, in place of those that are there.

    Parameters
    ----------
    store
        Where the case lies.
    sql
        Its queries.
    zone
        Zone of office hours, where a log's own is not known.

    Returns
    -------
    bool
        Whether ``sources`` changed: the engine must be told.
    """
    if _is_short(store):
        return False
    rows = sql("SELECT * FROM sources WHERE first IS NOT NULL ORDER BY source NULLS LAST").to_arrow().to_pylist()
    sets: defaultdict[object, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        sets[row["format"], row["vantage"]].append(row)
    long = [rows for rows in sets.values() if _span(rows) >= LEAST_SPAN]
    found = _found(sql, long, zone) if long else {}
    changed = False
    for row in rows:
        kept = [Gap(**gap) for gap in gaps_of(row["gaps"]) if gap["kind"] != "silence"]
        kept = [gap._replace(start=_us(gap.start), end=_us(gap.end)) for gap in kept]
        if (gaps := gaps_text([*kept, *found.get(row["source"], [])])) != row["gaps"]:
            store.tell_gaps(row["sha256"], gaps)
            changed = True
    return changed


def _is_short(store: Store) -> bool:
    """Tell whether the case holds no more than one file, of too short a span; its row is as it was read."""
    spans = [(origin.first or 0, origin.last or 0) for origin in store.origins.values()]
    return len(spans) <= 1 and all(timedelta(microseconds=last - first) < LEAST_SPAN for first, last in spans)


def _span(rows: list[dict[str, Any]]) -> timedelta:
    span: timedelta = max(row["last"] for row in rows) - min(row["first"] for row in rows)
    return span


def _found(sql: Sql, sets: list[list[dict[str, Any]]], zone: tzinfo) -> dict[str, list[Gap]]:
    """Return the silences by the source at which they are told."""
    members = [{"number": number, "source": row["source"]} for number, rows in enumerate(sets) for row in rows]
    table = sql(MINUTES, sets=pa.Table.from_pylist(members)).to_arrow()
    number = table["number"].to_numpy()
    minute = table["minute"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy() // 60_000_000
    found: defaultdict[str, list[Gap]] = defaultdict(list)
    for each, rows in enumerate(sets):
        begin, end = np.searchsorted(number, [each, each + 1])
        distinct, first = np.unique(minute[begin:end], return_index=True)
        for gap in silences(distinct, _zone(rows, zone)):
            place = np.searchsorted(distinct, (gap.end or 0) // 60_000_000)
            found[table["source"][int(begin + first[place])].as_py()].append(gap)
    return found


def _zone(rows: list[dict[str, Any]], zone: tzinfo) -> tzinfo:
    """Return the zone that a set's times were read in, where they carry none."""
    for row in rows:
        try:
            return zone_of(row["timezone"]) if row["timezone"] else zone
        except CaseError:  # the log's own way of saying it, such as GMT+09:00
            continue
    return zone


def _us(moment: object) -> int | None:
    """Return a time as gaps have it. [us since 1970]"""
    if not isinstance(moment, datetime):
        return None
    return (moment - datetime.fromtimestamp(0, moment.tzinfo)) // timedelta(microseconds=1)
