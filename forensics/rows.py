"""Rows on their way into tables: collected one by one, handed on as Arrow record batches.

Example::

    rows = Rows()
    rows.add("rejects", source="access.log", record=3, reason="elapsed is not a number", raw=line[:512])
    for table, batch in rows.drain():
        ...
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pyarrow as pa

from forensics.schema import FILLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["BATCH_ROWS", "RAW_BYTES", "Rows"]

BATCH_ROWS = 64 * 1024
"""Rows after which a batch is handed on; bounds the memory of a reader."""

RAW_BYTES = 512
"""How much of a rejected record is kept. [B]"""


class Rows:
    """A buffer of rows for any table; a column that is not given is null."""

    def __init__(self) -> None:
        self._rows: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
        self._count = 0
        self._values: dict[tuple[str, tuple[str, ...]], list[object]] = {}

    def add(self, table: str, /, **values: object) -> None:
        """Put one row into the buffer.

        Parameters
        ----------
        table
            A table name of `forensics.schema.FILLED`.
        **values
            The row, by column. Times are integers: microseconds since 1970-01-01 UTC. [us]

        Raises
        ------
        ValueError
            At `drain`: the table has no such column.
        """
        self._rows[table].append(values)
        self._count += 1

    def appender(self, table: str, /, *columns: str) -> Callable[[tuple[object, ...]], None]:
        """Return a function that puts one row into the buffer: a tuple of the values of `columns`.

        It does what `add` does at several times the speed; for readers that give every row of a long log the same
        columns. It stays valid after `drain`.

        Parameters
        ----------
        table
            A table name of `forensics.schema.FILLED`.
        *columns
            The columns that a row gives, in the order of its values; every other column is null.
        """
        # One flat list: rows kept as tuples would have the garbage collector walk over them again and again.
        return self._values.setdefault((table, columns), []).extend

    def reject(self, source: str, record: int | None, reason: str, raw: bytes) -> None:
        """Put a record that could not be read into ``rejects``, its raw bytes cut to `RAW_BYTES`."""
        self.add("rejects", source=source, record=record, reason=reason, raw=raw[:RAW_BYTES])

    @property
    def full(self) -> bool:
        """Whether it is time to `drain`."""
        return self._count + sum(len(v) // len(key[1]) for key, v in self._values.items()) >= BATCH_ROWS

    def drain(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield what was collected, a batch per table, and start anew."""
        collected, self._rows, self._count = self._rows, defaultdict(list), 0
        for table, rows in sorted(collected.items()):
            columns = tuple(sorted(set().union(*rows)))
            values = [row.get(column) for row in rows for column in columns]
            yield table, _batch(table, columns, values)
        for (table, columns), values in sorted(self._values.items()):
            if values:
                batch = _batch(table, columns, values)
                values.clear()  # kept, not replaced: appenders hold on to it
                yield table, batch


def _batch(table: str, columns: tuple[str, ...], values: list[object]) -> pa.RecordBatch:
    """Return rows of equal columns, their values one after the other, as a batch of a table."""
    places = {column: place for place, column in enumerate(columns)}
    width, schema = len(columns), FILLED[table].schema
    if unknown := places.keys() - set(schema.names):
        raise ValueError(f"{table} has no column {', '.join(sorted(unknown))}")
    arrays = [
        _array(values[places[field.name] :: width], field.type)
        if field.name in places
        else pa.nulls(len(values) // width, type=field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: list[object], kind: pa.DataType) -> pa.Array:
    r"""Return values as Arrow; the half of a surrogate pair, which no UTF-8 can hold, becomes ``\udNNN``."""
    try:
        return pa.array(values, type=kind)
    except UnicodeEncodeError:  # a hostile JSON text
        lawful = [v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for v in values]
        return pa.array(lawful, type=kind)
