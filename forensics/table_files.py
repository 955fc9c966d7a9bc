"""Tables of one evidence file on their way to disk: a Parquet file for each that has rows.

They are written in a thread of their own, so that one core reads evidence while another encodes what was read.

References
----------
.. [1] Apache Parquet, *Encodings*: https://parquet.apache.org/docs/file-format/data-pages/encodings/
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

import pyarrow as pa

from forensics.replacing import replacing
from forensics.schema import STORED, TEXT, WORD

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pyarrow.parquet import ParquetWriter

__all__ = ["TableFiles", "as_stored", "put_gaps", "with_gaps"]

WAITING = 4
"""Batches that may wait to be written; bounds the memory of a reader that is faster than the disk."""

AT_ONCE = 1 << 16
"""Rows that an encoder is given at once; by default it is a thousand, and each time costs."""

COMPARED = ("start", "end", "time", "minute", "record", "dst", "via", "tunnel", "frame_bytes_out")
"""Columns by which a query can pass over whole row groups: rows come in the order of time, and most files have the last
four in every row or in none."""


class TableFiles:
    """Writes the tables of one evidence file.

    Parameters
    ----------
    folder
        Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, Path] = {}
        self._folder = folder
        self._writers: dict[str, ParquetWriter] = {}
        self._queue: queue.Queue[tuple[str, pa.RecordBatch] | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        self._unwanted = False
        self._error: BaseException | None = None

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Take rows of a table; they are written soon after.

        Raises
        ------
        OSError
            What was taken before could not be written.
        """
        self._check()
        self.files.setdefault(table, self._folder / f"{table}.parquet")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="table-files", daemon=True)
            self._thread.start()
        self._queue.put((table, batch))

    def close(self) -> None:
        """Wait until all is written, and end the files.

        Raises
        ------
        OSError
            Something could not be written.
        """
        self._stop()
        self._check()
        while self._writers:
            self._writers.popitem()[1].close()

    def abandon(self) -> None:
        """Let go of the files without writing what still waits; they are worth nothing."""
        self._unwanted = True
        self._stop()
        while self._writers:
            writer = self._writers.popitem()[1]
            try:
                writer.close()
            except OSError:  # a full disk has said so before
                continue

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _stop(self) -> None:
        """Let the thread end once it has come to the end of the queue."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        """Write what is in the queue; after an error only empty it, so that nobody waits for room in vain."""
        while (item := self._queue.get()) is not None:
            if self._error is None and not self._unwanted:
                try:
                    self._write(*item)
                except BaseException as error:  # noqa: BLE001  # whatever it is, the reader must see it
                    self._error = error

    def _write(self, table: str, batch: pa.RecordBatch) -> None:
        if table not in self._writers:
            from pyarrow.parquet import ParquetWriter

            self._writers[table] = ParquetWriter(self.files[table], STORED[table].schema, **_options(table))
        # One row group for each batch: in a second one of other words, all text would be written in full.
        self._writers[table].write_batch(batch)


def as_stored(table: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch of a table with the types in which it is stored."""
    schema = STORED[table].schema
    return batch if batch.schema == schema else batch.cast(schema)


def with_gaps(source: pa.RecordBatch, gaps: str | None) -> pa.RecordBatch:
    """Return a row of ``sources`` with other gaps."""
    place = source.schema.get_field_index("gaps")
    return source.set_column(place, source.schema.field(place), pa.array([gaps], TEXT))


def put_gaps(file: Path, gaps: str | None) -> None:
    """Put other gaps into a file with a row of ``sources``.

    Raises
    ------
    OSError
        It cannot be written; it is then as it was.
    """
    from pyarrow.parquet import ParquetFile, ParquetWriter

    with ParquetFile(file) as written:
        (batch,) = written.read().to_batches()
    with replacing(file) as opened, ParquetWriter(opened, batch.schema, **_options("sources")) as writer:
        writer.write_batch(with_gaps(batch, gaps))


def _options(table: str) -> Mapping[str, object]:
    """Return how the columns of a table are encoded."""
    kinds = {column.name: column.type for column in STORED[table].columns}
    words = WORD in kinds.values()
    # Integers are differences of few bits, of which most are met once: to look each up in a dictionary is in vain.
    whole = [name for name, kind in kinds.items() if pa.types.is_integer(kind) or pa.types.is_timestamp(kind)]
    options: dict[str, object] = {
        "compression": "zstd",
        "use_dictionary": [name for name, kind in kinds.items() if kind == (WORD if words else TEXT)],
        "column_encoding": dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        "write_statistics": [name for name in COMPARED if name in kinds],
        "write_batch_size": AT_ONCE,
    }
    if words:  # numbers of few bits themselves: packing them once more only takes time
        options["compression"] = {name: "lz4" if kind == TEXT else "none" for name, kind in kinds.items()}
    return options
