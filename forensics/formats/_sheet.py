"""One block of a log on its way into tables, a whole column at a time.

A format asks its `Sheet` for the columns of a cut, says what is wrong with which rows, and puts columns into tables.
Python sees distinct values and odd ones, never each row::

    sheet = Sheet(delimited(block, ACCESS, 5), evidence, vocabularies.own)
    src = sheet.words(1, address_of, what="client")
    size = sheet.counts(3, what="size")
    sheet.put("flows", start=times, end=times, src=src, bytes_in=size, bytes_kind="application")
    yield from sheet.batches()

Nothing that stands in a row raises: it is read, or null where the log has nothing, or its row becomes a reject with the
first reason that was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from forensics.errors import EvidenceError
from forensics.formats._columns import Bools, Ints, arrow, column, faults
from forensics.formats._cut import TWICE
from forensics.formats._fields import Field, Fields, Nulls, Targets, gathered
from forensics.formats._lines import MAX_LINE
from forensics.formats._vocabulary import Vocabularies, Vocabulary, Words
from forensics.rows import RAW_BYTES, Rows
from forensics.schema import STORED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from forensics.formats import Evidence
    from forensics.formats._cut import Cut

__all__ = [
    "Bools", "Field", "Ints", "Nulls", "Sheet", "Targets", "Vocabularies", "Vocabulary", "Words", "finish", "finished",
]  # fmt: skip


class Sheet(Fields):
    """One block of a log: its columns, its rejects, and the rows that were made of it.

    Parameters
    ----------
    cut
        Where the fields of its records are. What its ``odd`` says is final by now.
    evidence
        The log.
    words
        What is known of texts that repeat; of this thread.
    slow
        The whole truth of a format that has one: it is given number and bytes of each row that cannot be read here,
        and the rows to put it into, as a reject or what it is.
    """

    def __init__(
        self,
        cut: Cut,
        evidence: Evidence,
        words: Vocabulary,
        slow: Callable[[int, bytes, Rows], None] | None = None,
    ) -> None:
        super().__init__(cut, words)
        self._evidence, self._slow = evidence, slow
        self._puts: list[tuple[str, Bools | None, Mapping[str, object]]] = []
        self.note("records", cut.rows)
        self.note("repeated_keys", int((cut.odd == TWICE).sum()))

    def note(self, key: str, count: int) -> None:
        """Add to a number in the notes of the file; sheets of several threads may."""
        self._evidence.note(key, count)

    def gap(self, row: int, time: int, reason: str) -> None:
        """Tell of records that the log itself says are lost, where it says so.

        Parameters
        ----------
        row
            The row that says it.
        time
            When it was written. [us]
        reason
            What it says.
        """
        self._evidence.gap("lost", time, time, reason, int(self.cut.number[row]))

    def put(self, table: str, where: Bools | None = None, **columns: object) -> None:
        """Put rows into a table; ``source``, ``vantage`` and ``record`` are filled in.

        A row is rejected where a column that is never null has nothing, or a value is larger than its column takes.

        Parameters
        ----------
        table
            A table name of `forensics.schema.STORED`.
        where
            Which rows; by default all. Rejected ones never come out, whenever they are rejected.
        **columns
            Its columns: `Ints`, `Words`, an array of Arrow, of times [us] or truths, or one value for all rows. One
            that is not given is null.

        Raises
        ------
        ValueError
            If the table has no such column, or one that is never null is not given: the format's mistake.
        """
        schema = STORED[table].schema
        given = {name: column(value) for name, value in columns.items()}
        mine = {"source": self._evidence.source, "vantage": self._evidence.vantage, "record": column(self.cut.number)}
        given = {name: value for name, value in mine.items() if name in schema.names} | given
        unknown = given.keys() - set(schema.names)
        missing = {field.name for field in schema if not field.nullable and given.get(field.name) is None}
        if unknown or missing:
            raise ValueError(f"{table}: no column {sorted(unknown)}; without {sorted(missing)} there is no row")
        for name, value in given.items():
            for fault, reason in faults(schema.field(name), value):
                self.reject(fault if where is None else fault & where, reason)
        self._puts.append((table, where, given))

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the rows of each `put`, in their order, then the rejects."""
        good = self.good
        for table, where, columns in self._puts:
            kept = good if where is None else good & where
            if kept.any():
                schema = STORED[table].schema
                arrays = [arrow(columns.get(field.name), field.type, self.rows) for field in schema]
                batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
                yield table, batch if kept.all() else batch.filter(pa.array(kept))
        rejected = np.flatnonzero(~good)
        if len(rejected) and self._slow:
            yield from self._read_slowly(rejected.tolist(), self._slow)
        elif len(rejected):
            yield "rejects", self._rejects(rejected)

    def _read_slowly(
        self, rejected: list[int], slow: Callable[[int, bytes, Rows], None]
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield what the slow way makes of rows."""
        rows = Rows()
        for row in rejected:
            number, line = int(self.cut.number[row]), self.cut.record(row)
            if len(line) > MAX_LINE:
                rows.reject(self._evidence.source, number, f"line longer than {MAX_LINE >> 20} MiB", line)
            else:
                slow(number, line, rows)
            if rows.full:
                yield from rows.drain()
        yield from rows.drain()

    def _rejects(self, rejected: np.ndarray[tuple[int], np.dtype[np.intp]]) -> pa.RecordBatch:
        """Return the rows of ``rejects``: number of the line, the first reason, how the line begins."""
        schema = STORED["rejects"].schema
        begin, end = (np.ascontiguousarray(self.cut.line[rejected, side]) for side in (0, 1))
        raw, _ = gathered(
            self.cut.data, begin, np.minimum(end, begin + np.int32(RAW_BYTES)), (), schema.field("raw").type
        )
        reasons = pa.array(self._reasons, pa.string()).take(pa.array(self._why[rejected] - 1))
        columns = {
            "source": self._evidence.source,
            "record": column(self.cut.number[rejected]),
            "reason": reasons,
            "raw": raw,
        }
        arrays = [arrow(columns[field.name], field.type, len(rejected)) for field in schema]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def finished(
    evidence: Evidence, name: str, batches: Iterable[tuple[str, pa.RecordBatch]]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the batches of a file, and raise at its end where nothing of it could be read; see `finish`."""
    rejected, first = 0, None
    for table, batch in batches:
        if table == "rejects":
            rejected += batch.num_rows
            head = batch.slice(0, 1).to_pylist()
            first = first or (head[0]["record"], head[0]["reason"])
        yield table, batch
    records = evidence.notes.get("records", 0)
    finish(evidence, name, (records if isinstance(records, int) else 0) - rejected, first)


def finish(evidence: Evidence, name: str, made: int, first_reject: tuple[int | None, str] | None) -> None:
    """Raise where a file has records and none of them could be read.

    Parameters
    ----------
    evidence
        The file, its records counted in its notes.
    name
        The format that it was read as.
    made
        How many records could be read.
    first_reject
        Number and reason of the first that could not.

    Raises
    ------
    forensics.errors.EvidenceError
        If there is such a reject, and nothing else.
    """
    if made > 0 or first_reject is None:
        return
    records = evidence.notes.get("records", 0)
    what = "its only line could not" if records == 1 else f"not one of its {records} lines could"
    line, reason = first_reject
    raise EvidenceError(evidence.source, f"{what} be read as {name}; line {line}: {reason}")
