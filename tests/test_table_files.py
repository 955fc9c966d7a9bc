"""Tables on their way to disk: written beside the reading, told where they cannot be, half written never."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.schema import EXCHANGES, STORED, TABLES
from forensics.table_files import WAITING, TableFiles, as_stored

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2015, 5, 21, 4, tzinfo=UTC)


def rejects(*records: int) -> pa.RecordBatch:
    """Return rows of `rejects`."""
    rows = [{"source": "a.log", "record": record, "reason": "torn"} for record in records]
    return pa.RecordBatch.from_pylist(rows, schema=TABLES["rejects"].schema)


def exchanges(*hosts: str) -> pa.RecordBatch:
    """Return rows of `exchanges`, one for each host."""
    rows = [
        {"start": START, "end": START, "src": "192.0.2.1", "host": host, "url": f"http://{host}/", "vantage": "gw",
         "bytes_kind": "application", "source": "a.log", "record": 1, "is_flow": True, "is_request": True}
        for host in hosts
    ]  # fmt: skip
    return pa.RecordBatch.from_pylist(rows, schema=EXCHANGES.schema)


class Slow:
    """A disk that takes nothing until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> None:
        self.free = threading.Event()
        self.written = 0
        made = pq.ParquetWriter.write_batch

        def write_batch(writer: pq.ParquetWriter, batch: pa.RecordBatch) -> None:
            self.free.wait(10)
            if error is not None:
                raise error
            made(writer, batch)
            self.written += 1

        monkeypatch.setattr(pq.ParquetWriter, "write_batch", write_batch)


def write_on(files: TableFiles) -> None:
    """Write more than may wait."""
    for record in range(2 * WAITING + 2):
        files.write("rejects", rejects(record))


def test_rows_come_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    """Every table has its file, and each batch is a row group of its own."""
    files = TableFiles(tmp_path)
    for record in range(1, 20):
        files.write("rejects", rejects(record))
        files.write("exchanges", exchanges(f"{record}.example", "www.example"))
    files.close()

    assert files.files == {name: tmp_path / f"{name}.parquet" for name in ("rejects", "exchanges")}
    assert pq.read_table(files.files["rejects"])["record"].to_pylist() == list(range(1, 20))
    assert pq.read_table(files.files["exchanges"])["host"].to_pylist()[-2:] == ["19.example", "www.example"]
    assert pq.ParquetFile(files.files["exchanges"]).num_row_groups == 19


def test_words_are_stored_once_for_each_row_group(tmp_path: Path) -> None:
    """Text of few values is dictionary-encoded, whole numbers are differences, and only long text is compressed."""
    files = TableFiles(tmp_path)
    for first in range(3):
        files.write("exchanges", exchanges(*(f"{first}-{n % 7}.example" for n in range(1000))))
    files.close()

    meta = pq.ParquetFile(files.files["exchanges"]).metadata
    for group in range(meta.num_row_groups):
        columns = {c.path_in_schema: c for c in map(meta.row_group(group).column, range(meta.num_columns))}
        assert set(columns["host"].encodings) == {"PLAIN", "RLE", "RLE_DICTIONARY"}  # PLAIN: the dictionary itself
        assert columns["host"].total_uncompressed_size < 1000
        assert "DELTA_BINARY_PACKED" in columns["start"].encodings
        assert (columns["url"].compression, columns["host"].compression) == ("LZ4", "UNCOMPRESSED")
        told = {name: c.statistics.null_count for name, c in columns.items() if c.is_stats_set}
        # Of these a query can pass over the rows: by their times, or since all of them are null, or none is.
        assert told == {"start": 0, "end": 0, "record": 0, "dst": 1000, "via": 1000, "tunnel": 1000}


def test_text_of_volumes_is_stored_as_words() -> None:
    """What captures give as text is stored as the volumes of logs are; other tables stay as they are."""
    row = {"minute": START, "src": "192.0.2.1", "bytes_kind": "ip", "connections": 1, "vantage": "gw", "source": "a"}
    batch = pa.RecordBatch.from_pylist([row], schema=TABLES["volumes"].schema)

    assert as_stored("volumes", batch).schema == STORED["volumes"].schema
    assert as_stored("volumes", batch).to_pylist() == batch.to_pylist()
    assert as_stored("rejects", rejects(1)).schema == TABLES["rejects"].schema


def test_reading_and_writing_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader goes on while the disk is busy, until so many batches wait; all of them are written in the end."""
    disk = Slow(monkeypatch)
    files = TableFiles(tmp_path)
    for record in range(WAITING + 1):
        files.write("rejects", rejects(record))
    late = threading.Thread(target=files.write, args=("rejects", rejects(99)))
    late.start()
    late.join(0.05)
    assert late.is_alive()

    disk.free.set()
    late.join()
    files.close()
    assert disk.written == WAITING + 2


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), pa.ArrowInvalid("bad batch")])
def test_an_error_is_raised_at_the_next_call(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the thread met is raised where rows are written next, and at the end; nobody waits for it in vain."""
    disk = Slow(monkeypatch, error)
    disk.free.set()
    files = TableFiles(tmp_path)

    with pytest.raises(type(error), match=str(error.args[-1])):
        write_on(files)
    with pytest.raises(type(error), match=str(error.args[-1])):
        files.close()
    files.abandon()
    assert "table-files" not in {thread.name for thread in threading.enumerate()}


def test_what_is_abandoned_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interruption nothing that waits is written any more, and the thread is gone."""
    disk = Slow(monkeypatch)
    files = TableFiles(tmp_path)
    for record in range(WAITING):
        files.write("rejects", rejects(record))
    threading.Timer(0.05, disk.free.set).start()

    files.abandon()

    assert disk.written <= 1
    assert "table-files" not in {thread.name for thread in threading.enumerate()}
    files.abandon()


def test_files_that_cannot_be_ended_are_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk even the end of a file fails; what is abandoned does not care."""

    def full(writer: pq.ParquetWriter) -> None:
        writer.is_open = False
        raise OSError(28, "No space left on device")

    files = TableFiles(tmp_path)
    files.write("rejects", rejects(1))
    monkeypatch.setattr(pq.ParquetWriter, "close", full)
    with pytest.raises(OSError, match="No space left"):
        files.close()
    files = TableFiles(tmp_path)
    files.write("rejects", rejects(1))
    files.abandon()


def test_nothing_written_is_no_file(tmp_path: Path) -> None:
    """Without rows there is neither a file nor a thread."""
    files = TableFiles(tmp_path)
    files.close()

    assert not files.files
    assert not list(tmp_path.iterdir())
