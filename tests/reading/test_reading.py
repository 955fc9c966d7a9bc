"""Reading one evidence file: recognised by content, hashed, read whole, told of in `sources`."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from forensics import reading
from forensics.errors import EvidenceError, ExpansionLimitError, UnknownFormatError
from forensics.reading import EvidenceFile, Limits, ReadOptions, companion_names, open_expanded, read_file, sha256_of
from forensics.schema import TABLES

if TYPE_CHECKING:
    from tests.reading.conftest import Kept, Reader, Tiny


def at(seconds: int) -> int:
    """Return a time as the row holds it. [us]"""
    return seconds * 1_000_000


def test_the_row_of_a_file(read: Reader, tiny: Tiny, tmp_path: Path) -> None:
    """The row says what the file was, what it spans, how much could be read and what was noted."""
    text = b"86400 10\n\nbroken\n0 -\n3600 5\n"
    path = tmp_path / "Uplink.2015.log.gz"
    path.write_bytes(gzip.compress(text))

    row, kept, troubles = read(path, ReadOptions(timezone=ZoneInfo("Asia/Tokyo")), source="gw/Uplink.2015.log.gz")

    assert row == {
        "source": "gw/Uplink.2015.log.gz",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "size": path.stat().st_size,
        "format": "tiny",
        "compression": "gzip",
        "first": 0,
        "last": at(86_490),
        "records": 4,
        "rejected": 1,
        "flows": 3,
        "observed_out": 2,
        "observed_in": 0,
        "vantage": "gw/Uplink",
        "timezone": "Asia/Tokyo",
        "encoding": None,
        "clock_offset": None,
        "error": None,
        "gaps": None,
        "notes": '{"extra": "a fact"}',
    }
    assert troubles == []
    assert kept.rows("rejects")[0]["raw"] == b"broken"
    written = pa.RecordBatch.from_pylist([row], schema=TABLES["sources"].schema)
    assert written.column("last").to_pylist() == [datetime(1970, 1, 2, 0, 1, 30, tzinfo=UTC)]


@pytest.mark.usefixtures("tiny")
def test_volumes_follow_from_flows(read: Reader, tmp_path: Path) -> None:
    """Flows of a log are spread over their minutes; unlogged bytes stay null."""
    path = tmp_path / "a.log"
    path.write_text("0 90\n600 -\n")

    _, kept, _ = read(path)

    assert [row["bytes_out"] for row in kept.rows("volumes")] == [60, 30, None, None]


def test_exact_volumes_are_left_alone(read: Reader, tiny: Tiny, tmp_path: Path) -> None:
    """A format that brings its own volumes gets none made for it."""
    tiny.EXACT_VOLUMES = True
    path = tmp_path / "a.log"
    path.write_text("0 90\n")

    assert read(path)[1].rows("volumes") == []


@pytest.mark.usefixtures("tiny")
def test_an_unknown_format_says_why(read: Reader, tmp_path: Path) -> None:
    """Where no format claims a file, its row and the error give the reason of each."""
    path = tmp_path / "readme.txt"
    path.write_text("hello\n")

    row, _, [error] = read(path)

    assert isinstance(error, UnknownFormatError)
    assert error.declined == {"other": "it is not other", "tiny": "it begins with no number"}
    assert row["error"] == error.problem
    assert "tiny: it begins with no number" in str(row["error"])
    assert (row["format"], row["records"], row["first"], row["notes"]) == (None, 0, None, None)
    assert row["sha256"] == hashlib.sha256(b"hello\n").hexdigest()


def test_companions_go_to_the_log_beside_them(read: Reader, tiny: Tiny, tmp_path: Path) -> None:
    """The configuration beside a log is handed to its format, and noted with its hash."""
    (tmp_path / "tiny.conf").write_bytes(b"speed 9")
    path = tmp_path / "a.log"
    path.write_text("1 1\n")

    row, _, _ = read(path)

    assert tiny.seen[-1].companions == {"tiny.conf": b"speed 9"}
    assert json.loads(str(row["notes"]))["read with tiny.conf"] == hashlib.sha256(b"speed 9").hexdigest()
    assert companion_names() == {"tiny.conf"}


def test_too_large_a_companion_is_none(
    read: Reader, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no configuration by its size is not read."""
    monkeypatch.setattr(reading, "COMPANION_BYTES", 6)
    (tmp_path / "tiny.conf").write_bytes(b"speed 9")
    path = tmp_path / "a.log"
    path.write_text("1 1\n")

    read(path)

    assert tiny.seen[-1].companions == {}


@pytest.mark.usefixtures("tiny")
def test_a_line_without_end_does_not_exhaust_memory(read: Reader, tmp_path: Path) -> None:
    """A line of 50 MB becomes one reject, in a few megabytes."""
    path = tmp_path / "a.log"
    with path.open("wb") as file:
        file.write(b"1 1\n2 ")
        os.truncate(path, 50 << 20)
    with path.open("ab") as file:
        file.write(b"\n3 3\n")
    tracemalloc.start()

    row, kept, _ = read(path)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20
    assert (row["records"], row["rejected"], row["flows"]) == (3, 1, 2)
    assert "longer than" in str(kept.rows("rejects")[0]["reason"])


@pytest.mark.usefixtures("tiny")
def test_progress_sums_to_the_file(sink: Kept, tmp_path: Path) -> None:
    """Progress counts the bytes on disk, all of them, also where reading stops early."""
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(os.urandom(600_000)) + b"junk" * 100_000)
    told: list[int] = []

    read_file(EvidenceFile("a", path), sink, source="a", options=ReadOptions(), progress=told.append)

    assert sum(told) == path.stat().st_size
    assert sha256_of(EvidenceFile("a", path)) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.usefixtures("tiny")
def test_file_objects_stay_open(sink: Kept) -> None:
    """An open file is read from where it stands and stays its owner's to close."""
    stream = io.BytesIO(b"skipped\n1 1\n")
    stream.seek(8)

    row = read_file(EvidenceFile("a", stream=stream), sink, source="a", options=ReadOptions(vantage="tap"))

    assert not stream.closed
    assert (row["size"], row["flows"], row["vantage"]) == (4, 1, "tap")


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("source", "vantage"),
    [
        ("captures/uplink.pcap.gz", "captures/uplink"),
        ("access.log~2", "access"),
        (".log", "log"),
        ("...", "..."),
        ("x", "x"),
    ],
)
def test_the_vantage_is_the_name_without_suffixes(read: Reader, source: str, vantage: str, tmp_path: Path) -> None:
    """Where nobody says where evidence was recorded, the file's folder and name do."""
    path = tmp_path / "a"
    path.write_text("1 1\n")

    assert read(path, source=source)[0]["vantage"] == vantage


def test_a_second_look(tmp_path: Path) -> None:
    """A file of a case is opened again, expanded, and closed after use."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"1 1\n" * 100))

    with open_expanded(EvidenceFile("a", path)) as stream:
        assert stream.read(7) == b"1 1\n1 1"
    with open_expanded(EvidenceFile("a", path), Limits(max_expanded=3)) as stream:
        assert stream.read(7) == b""
        assert isinstance(stream.problem, ExpansionLimitError)


@pytest.mark.parametrize(
    ("path", "said"),
    [(Path("nowhere/a.pcap"), "no longer at nowhere/a.pcap"), (None, "was handed over as an open file")],
)
def test_no_second_look(path: Path | None, said: str) -> None:
    """What has gone, or never had a path, cannot be looked at again."""
    with pytest.raises(EvidenceError, match=said), open_expanded(EvidenceFile("a.pcap", path)):
        pass
