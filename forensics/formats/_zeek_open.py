"""Zeek's logs of connections that are still open: each row has all that was sent so far, so rows are never added.

Of each connection the row of its largest duration counts, the later one of two, and none where a conn.log of the same
folder has the connection: there it was closed, and all its bytes are in that row.

References
----------
.. [1] zeek-open-connections, https://github.com/activecm/zeek-open-connections
.. [2] zeek-long-connections, https://github.com/corelight/zeek-long-connections
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from forensics.formats import Evidence
    from forensics.formats._cut import I64

__all__ = ["BESIDE", "OPEN", "Open", "OpenRows", "Seen", "is_open"]

OPEN = ("open_conn", "conn_long")
"""Paths, and beginnings of file names, of logs that repeat cumulative totals."""

BESIDE = ("conn*", "open_conn*")
"""Names of files that may tell more of the same connections."""

MOST_OPEN = 1_000_000
"""Connections that may be open; bounds the memory that a hostile log can take."""


FILES_LISTED = 50
"""Files compared with that are named in the notes."""


class OpenRows(NamedTuple):
    """Rows of open connections, with their uids."""

    rows: pa.RecordBatch
    uids: pa.Array


class Seen(NamedTuple):
    """What a part of another log says of connections: uids, durations, and whether they were still open."""

    uids: pa.Array
    durations: I64
    open: bool


def is_open(path: str, source: str) -> bool:
    """Tell whether records repeat cumulative totals: by their path, or a conn's by its file name."""
    return path in OPEN or (path == "conn" and PurePath(source).name.startswith(OPEN))


class Open:
    """The open connections of one log: of each the row of its largest duration.

    Parameters
    ----------
    evidence
        The log.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._rows: pa.Table | None = None

    def add(self, found: OpenRows) -> None:
        """Take in rows."""
        known = found.uids.is_valid()
        self._evidence.note("open_without_uid", len(known) - known.true_count)
        table = pa.Table.from_batches([found.rows.append_column("uid", found.uids).filter(known)])
        table = table.append_column("duration", pc.subtract(*(table[c].cast("int64") for c in ("end", "start"))))
        both = [table] if self._rows is None else [self._rows, table]
        together = pa.concat_tables(both).sort_by(
            [("uid", "ascending"), ("duration", "descending"), ("record", "descending")]
        )
        uids = together["uid"].combine_chunks()
        first = np.ones(len(uids), np.bool_)
        first[1:] = pc.not_equal(uids[1:], uids[:-1]).to_numpy(zero_copy_only=False)
        self._rows = together.filter(pa.array(first))
        if len(self._rows) > MOST_OPEN:
            raise EvidenceError(self._evidence.source, f"more than {MOST_OPEN:,} connections are open in it")

    @property
    def any(self) -> bool:
        """Whether there are some."""
        return self._rows is not None and len(self._rows) > 0

    def closed(self, uids: pa.Array) -> None:
        """Leave out connections that a row of the same file closes."""
        if self._rows is not None and len(self._rows):
            self._leave_out(pc.is_in(self._rows["uid"], value_set=uids).to_numpy())

    def _leave_out(self, where: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        """Leave out some connections."""
        assert self._rows is not None  # noqa: S101 - some are there
        self._evidence.note("told_elsewhere", int(where.sum()))
        self._rows = self._rows.filter(pa.array(~where))

    def compare(self, name: str, others: Iterable[Seen]) -> None:
        """Leave out connections of which another file says more: that they were closed, or a later state."""
        own = PurePath(self._evidence.source).name
        told = self._evidence.notes.setdefault("compared_with", [])
        if isinstance(told, list) and len(told) < FILES_LISTED:
            told.append(name)
        for other in others:
            if self._rows is None or not len(self._rows):
                return
            uids = self._rows["uid"].combine_chunks()
            place = pc.index_in(other.uids, value_set=uids).fill_null(-1).to_numpy()
            found = np.flatnonzero(place >= 0)
            if other.open:
                mine = self._rows["duration"].to_numpy()[place[found]]
                theirs = other.durations[found]
                found = found[(theirs > mine) | ((theirs == mine) & (name > own))]
            if len(found):
                gone = np.zeros(len(uids), np.bool_)
                gone[place[found]] = True
                self._leave_out(gone)

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the rows that stand."""
        if self._rows is None or not len(self._rows):
            return
        self._evidence.note("open_connections", len(self._rows))
        rows = self._rows.drop_columns(["uid", "duration"]).sort_by("record").unify_dictionaries().combine_chunks()
        yield from (("exchanges", batch) for batch in rows.to_batches())
