"""What goes wrong with evidence: told in words, kept to one file, and nothing lost that was read before."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pytest

from forensics.errors import EvidenceError, ExpansionLimitError, MissingToolError, TimezoneNeededError
from forensics.reading import EvidenceFile, Limits, ReadOptions, read_file
from forensics.rows import Rows
from forensics.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

    from forensics.formats import Evidence
    from tests.reading.conftest import Kept, Parse, Reader, Tiny


def tar_head() -> bytes:
    """Return the first block of a tar archive."""
    return b"log/access.log".ljust(257, b"\0") + b"ustar\x0000" + bytes(300)


def zip_file() -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("access.log", "x")
    return buffer.getvalue()


def raising(error: Exception) -> Parse:
    """Return a reader that yields one reject and then fails."""

    def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
        rows = Rows()
        rows.reject(evidence.source, 1, "first", b"x")
        evidence.notes["records"] = 1
        yield from rows.drain()
        raise error

    return parse


def names_batch(**values: object) -> pa.RecordBatch:
    """Return one row of `names` in a schema without rules."""
    row = {"time": 0, "name": "www.example", "how": "dns", "source": "a", "record": 1} | values
    return pa.RecordBatch.from_pylist([row], schema=TABLES["names"].schema)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (gzip.compress(b""), "the file is empty"),
        (zip_file(), "a zip archive: unpack it"),
        (tar_head(), "a tar archive: unpack it"),
        (gzip.compress(tar_head()), "a tar archive: unpack it"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(32), "a 7z archive: unpack it"),
        (b"Rar!\x1a\x07\x01\x00", "a rar archive: unpack it"),
        (gzip.compress(gzip.compress(b"1 2\n")), "compressed twice.*the gzip file in it"),
    ],
    ids=["empty", "empty gzip", "zip", "tar", "tar in gzip", "7z", "rar", "gzip in gzip"],
)
def test_what_a_file_is_instead(read: Reader, data: bytes, said: str, tmp_path: Path) -> None:
    """Empty files, archives and doubly compressed files are told by what they are and what to do."""
    path = tmp_path / "x"
    path.write_bytes(data)

    row, _, [error] = read(path)

    with pytest.raises(EvidenceError, match=said):
        raise error
    assert row["error"] == error.problem


@pytest.mark.usefixtures("tiny")
def test_damage_leaves_what_was_before_it(read: Reader, tmp_path: Path) -> None:
    """Of a torn file the rows before the damage stand; the row says where it ended, and the format is known."""
    text = b"".join(b"%d 1\n" % n for n in range(10_000, 30_000))
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(text)[:-9_000])

    row, kept, [error] = read(path)

    assert row["format"] == "tiny"
    assert str(row["error"]).startswith("damaged after ")
    assert 5_000 < cast("int", row["records"]) < 20_000
    assert cast("int", row["records"]) == len(kept.rows("flows")) + len(kept.rows("rejects"))
    assert error.problem == row["error"]


@pytest.mark.usefixtures("tiny")
def test_limits_are_the_analysts(read: Reader, tmp_path: Path) -> None:
    """A file that grows past a limit is read up to it; the error is one that can be caught by its name."""
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(b"1 1\n" * 100_000))

    row, _, [error] = read(path, ReadOptions(limits=Limits(max_expanded=300_000)))

    assert isinstance(error, ExpansionLimitError)
    assert "max_expanded=300,000" in str(row["error"])
    assert cast("int", row["records"]) >= 5_000


@pytest.mark.usefixtures("tiny")
def test_hostile_memory_needs_are_told(read: Reader, tmp_path: Path) -> None:
    """A frame that asks for a window of 2 GB is not called damaged."""
    path = tmp_path / "a.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes([0x00, (31 - 10) << 3]) + b"\x01\x00\x00")

    row, _, _ = read(path)

    assert str(row["error"]).startswith("asks for more memory")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (EvidenceError("a.log", "is torn"), "is torn"),
        (MissingToolError("evtx is not installed"), "evtx is not installed"),
        (KeyError("oops"), r"the reader of tiny met a bug \(KeyError: 'oops'\); what it read before stands"),
        (RecursionError("deep"), "met a bug"),
    ],
)
def test_a_failing_reader_ends_one_file(
    read: Reader, *, error: Exception, said: str, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a reader meets, its rows before stand and the row says what happened; a bug goes to the log as one."""
    tiny.parse = raising(error)
    path = tmp_path / "a.log"
    path.write_text("1 1\n")

    row, kept, [trouble] = read(path)

    with pytest.raises(EvidenceError, match=said):
        raise trouble
    assert (row["error"], row["records"], row["rejected"]) == (trouble.problem, 1, 1)
    assert len(kept.rows("rejects")) == 1
    assert ("please report it" in caplog.text) == ("bug" in said)


def test_a_needed_zone_is_asked_for(read: Reader, tiny: Tiny, tmp_path: Path) -> None:
    """Times without a zone raise: a zone is never guessed, and no row says otherwise."""
    tiny.parse = raising(TimezoneNeededError("a.log", "give timezone="))
    path = tmp_path / "a.log"
    path.write_text("1 1\n")

    with pytest.raises(TimezoneNeededError):
        read(path)


@pytest.mark.parametrize(
    ("table", "batch"),
    [
        ("names", names_batch(name=None)),
        ("names", names_batch().select(["time", "name"])),
        ("nomes", names_batch()),
        ("names", names_batch(time=2**62)),
        ("names", names_batch(time=-(2**62))),
    ],
)
def test_readers_are_held_to_the_schema(
    read: Reader, table: str, batch: pa.RecordBatch, tiny: Tiny, tmp_path: Path
) -> None:
    """A null where none may be, a time without a date, missing columns, an unknown table never reach a case."""
    tiny.parse = lambda _: iter([(table, batch)])
    path = tmp_path / "a.log"
    path.write_text("1 1\n")

    row, kept, _ = read(path)

    assert "met a bug" in str(row["error"])
    assert not kept.batches


def test_empty_batches_are_passed_over(read: Reader, tiny: Tiny, tmp_path: Path) -> None:
    """A batch without rows goes nowhere; a request without an end is spanned by its start."""
    row = {"start": 7, "src": "192.0.2.1", "source": "a", "record": 1}
    batch = pa.RecordBatch.from_pylist([row], schema=TABLES["requests"].schema)
    tiny.parse = lambda _: iter([("requests", batch.slice(0, 0)), ("requests", batch)])
    path = tmp_path / "a.log"
    path.write_text("1 1\n")

    found, kept, _ = read(path)

    assert [b.num_rows for b in kept.batches["requests"]] == [1]
    assert (found["first"], found["last"]) == (7, 7)


def test_an_unreadable_companion_is_told(
    read: Reader, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A configuration that may not be read is a warning; the log is read without it."""

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "tiny.conf").write_bytes(b"speed 9")
    path = tmp_path / "a.log"
    path.write_text("1 1\n")
    monkeypatch.setattr(Path, "read_bytes", refuse)

    row, _, _ = read(path)

    assert row["error"] is None
    assert "tiny.conf lies beside a.log and cannot be read: Permission denied" in caplog.text


@pytest.mark.usefixtures("tiny")
def test_a_file_that_cannot_be_opened(read: Reader, tmp_path: Path) -> None:
    """What cannot be read at all raises: without a hash it is no evidence."""
    with pytest.raises(EvidenceError, match=r"gone\.log: cannot be opened: No such file"):
        read(tmp_path / "gone.log")


@pytest.mark.usefixtures("tiny")
def test_a_file_on_a_broken_disk(read: Reader, sink: Kept) -> None:
    """Where the disk gives out there is no hash of the file, so it raises and says what to do."""

    class Broken(io.BytesIO):
        def readinto(self, buffer: WriteableBuffer, /) -> int:
            if count := super().readinto(buffer):
                return count
            raise OSError(5, "Input/output error")

    with pytest.raises(EvidenceError, match=r"cannot be read to its end \(Input/output error\): rescue it"):
        read_file(EvidenceFile("a", stream=Broken(b"1 1\n")), sink, source="a", options=ReadOptions())


def test_a_full_disk_is_no_fault_of_the_evidence(tiny: Tiny, tmp_path: Path) -> None:
    """An error of the sink passes through as it is."""

    class Full:
        def write(self, table: str, batch: pa.RecordBatch) -> None:  # noqa: ARG002  # the protocol's signature
            raise OSError(28, "No space left on device")

    path = tmp_path / "a.log"
    path.write_text("1 1\n")

    with pytest.raises(OSError, match="No space left"):
        read_file(EvidenceFile("a", path), Full(), source="a", options=ReadOptions())
    assert tiny.seen
