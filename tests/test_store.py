"""Where tables lie: atomic on disk, bounded in memory, and forgiving of nothing that would mix up evidence."""

from __future__ import annotations

import gc
import json
import os
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from forensics.engines.duckdb import DuckDBEngine
from forensics.errors import CaseError
from forensics.memory import MemoryStore
from forensics.schema import SCHEMA_VERSION, TABLES
from forensics.store import DiskStore, Origin, Part, Store

SETTINGS = {"title": "jps", "timezone": "Asia/Tokyo"}


def source_row(name: str = "a.log", sha256: str = "ab" * 32, **values: object) -> dict[str, object]:
    """Return a row of `sources`."""
    row: dict[str, object] = {
        "source": name, "sha256": sha256, "size": 4, "format": "squid", "records": 1, "rejected": 1, "flows": 0,
        "observed_out": 0, "observed_in": 0,
        "vantage": "a", "error": None,
    }  # fmt: skip
    return row | values


def rejects(source: str, *records: int) -> pa.RecordBatch:
    """Return rows of `rejects`."""
    rows = [{"source": source, "record": record, "reason": "torn"} for record in records]
    return pa.RecordBatch.from_pylist(rows, schema=TABLES["rejects"].schema)


def put(store: Store, row: dict[str, object], *records: int) -> None:
    """Add a file to a store."""
    with store.adding():
        part = store.begin()
        part.write("rejects", rejects(str(row["source"]), *records))
        part.commit(row, Path("evidence/a.log"), 5)
        part.discard()


def write_on(part: Part, pause: float = 0) -> None:
    """Write until a call is told of what came before it, which another thread writes; wait so long in between. [s]"""
    for record in range(1, 1000):
        part.write("rejects", rejects("a.log", record))
        threading.Event().wait(pause)


def held(store: Store, folder: Path | None = None, table: str = "rejects") -> list[dict[str, object]]:
    """Return the rows of a table as an engine sees them."""
    engine = DuckDBEngine(folder)
    store.register(engine)
    rows: list[dict[str, object]] = engine.query(f"SELECT * FROM {table} ORDER BY 1, 2").to_pylist()  # noqa: S608
    return rows


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without waiting for the disk: no test pulls the plug."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def disk(tmp_path: Path) -> DiskStore:
    """A new store on disk."""
    return DiskStore(tmp_path / "case", SETTINGS)


@pytest.mark.parametrize(("kind", "room"), [("disk", 0), ("memory", 1 << 20), ("memory", 400), ("memory", 0)])
def test_both_stores_do_the_same(kind: str, room: int, disk: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of committed parts are held, of discarded ones not; a part replaces an older one of the same file.

    In memory it makes no difference whether rows lie there, or in files, or some here and some there.
    """
    monkeypatch.setattr("forensics.memory.HELD_BYTES", room)
    store: Store = disk if kind == "disk" else MemoryStore()
    folder = store.folder
    put(store, source_row(error="torn"), 1, 2)
    put(store, source_row("b.log", "cd" * 32), 7)
    with store.adding():
        part = store.begin()
        part.write("rejects", rejects("c.log", 9))
        part.discard()
    assert [row["record"] for row in held(store, folder)] == [1, 2, 7]

    put(store, source_row(), 5)

    assert [(row["source"], row["record"]) for row in held(store, folder)] == [("a.log", 5), ("b.log", 7)]
    assert [row["source"] for row in held(store, folder, "sources")] == ["a.log", "b.log"]
    assert held(store, folder, "flows") == []
    origin = store.origins["ab" * 32]
    assert (origin.source, origin.complete, origin.records) == ("a.log", True, 1)
    assert origin.path == str(Path("evidence/a.log").resolve())


def test_a_file_object_has_no_path() -> None:
    """Of what was handed over as an open file no path is known; an error makes it incomplete."""
    origin = Origin.of(source_row(error="torn"), None, None)

    assert (origin.path, origin.complete) == (None, False)


def test_a_store_opens_again(disk: DiskStore) -> None:
    """What one process stored, the next one finds; its settings stay those it was made with."""
    put(disk, source_row(error="torn"), 1)
    put(disk, source_row(), 2)
    again = DiskStore(disk.folder, {"title": "other", "timezone": "UTC"})

    assert again.settings == SETTINGS
    assert again.origins == disk.origins
    assert held(again, disk.folder) == held(disk, disk.folder)
    assert sorted(path.name for path in disk.folder.iterdir()) == [".lock", "manifest.json", "parts"]
    assert [path.name for path in (disk.folder / "parts").iterdir()] == [f"{'ab' * 32}.1"]
    manifest = json.loads((disk.folder / "manifest.json").read_text("utf-8"))
    assert [source["source"] for source in manifest["sources"]] == ["a.log"]


def test_what_a_kill_left_is_removed(disk: DiskStore) -> None:
    """An older part that was not removed counts for nothing, and goes, like a staging folder, with the next add."""
    put(disk, source_row(error="torn"), 1)
    older = disk.folder / "parts" / ("ab" * 32)
    newer = older.with_name(f"{older.name}.1")
    older.rename(newer)
    put(DiskStore(disk.folder, SETTINGS), source_row("b.log", "cd" * 32), 3)
    newer.rename(newer.with_name(f"{older.name}.2"))
    put(DiskStore(disk.folder, SETTINGS), source_row("c.log", "ef" * 32), 4)
    older.mkdir()
    origin = json.loads((older.with_name(f"{older.name}.2") / "origin.json").read_text("utf-8"))
    (older / "origin.json").write_text(json.dumps(origin | {"source": "stale"}), "utf-8")
    (disk.folder / "staging").mkdir()
    (disk.folder / "staging" / "flows.parquet").write_bytes(b"half")

    store = DiskStore(disk.folder, SETTINGS)
    assert store.origins["ab" * 32].source == "a.log"
    with store.adding():
        assert not older.exists()
        assert not (disk.folder / "staging").exists()
    assert [row["record"] for row in held(store, disk.folder)] == [1, 3, 4]


def test_what_others_added_is_known_when_adding(disk: DiskStore) -> None:
    """Two processes may open a case; the one that adds second knows what the first one added."""
    other = DiskStore(disk.folder, SETTINGS)
    put(other, source_row(), 1)
    assert disk.origins == {}

    with disk.adding():
        assert disk.origins == other.origins


def test_one_process_adds_at_a_time(disk: DiskStore) -> None:
    """While one is adding, another is refused with an error that says so, and may add afterwards."""
    other = DiskStore(disk.folder, SETTINGS)
    with disk.adding(), pytest.raises(CaseError, match=r"another process is adding to .*case; wait"), other.adding():
        pass

    put(other, source_row(), 1)


def test_an_unfinished_creation_is_taken_up(tmp_path: Path) -> None:
    """A folder that holds nothing but a manifest that was not finished becomes a case."""
    (tmp_path / ".manifest.json.new").write_text("{", "utf-8")

    assert DiskStore(tmp_path, SETTINGS).settings == SETTINGS


@pytest.mark.parametrize("name", ["photo.jpg", ".hidden", "parts"])
def test_a_folder_of_something_else_is_no_case(name: str, tmp_path: Path) -> None:
    """A folder with other things in it is refused and left as it is."""
    (tmp_path / name).write_text("x")

    with pytest.raises(CaseError, match="is not a case"):
        DiskStore(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_is_no_case(tmp_path: Path) -> None:
    """Neither a file nor a path below one can be a case."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(CaseError, match="is not a case"):
        DiskStore(tmp_path / "file", SETTINGS)
    with pytest.raises(CaseError, match=r"cannot write to the case in .*Not a directory"):
        DiskStore(tmp_path / "file" / "case", SETTINGS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"schema": 1}',
        '{"schema": 1, "settings": {}}',
        '{"schema": 1, "settings": ["title"]}',
        '{"schema": 1, "settings": {"title": "a"}}',
        "\udcff",
    ],
)
def test_a_damaged_manifest_is_told(text: str, disk: DiskStore) -> None:
    """A manifest that is none is named, never replaced."""
    data = text.encode("utf-8", "surrogateescape")
    manifest = disk.folder / "manifest.json"
    manifest.write_bytes(data)

    with pytest.raises(CaseError, match=r"manifest\.json is damaged"):
        DiskStore(disk.folder, SETTINGS)
    assert manifest.read_bytes() == data


def test_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    """A manifest that is a folder cannot be read, and the error says so."""
    (tmp_path / "manifest.json").mkdir()

    with pytest.raises(CaseError, match=r"cannot read .*manifest\.json: Is a directory"):
        DiskStore(tmp_path, SETTINGS)


@pytest.mark.parametrize("text", ["", "{}", '{"source": "a", "colour": 1}', "3"])
def test_a_damaged_part_is_told(text: str, disk: DiskStore) -> None:
    """A part whose origin cannot be read is an error that names it: its rows are evidence."""
    put(disk, source_row(), 1)
    (disk.folder / "parts" / ("ab" * 32) / "origin.json").write_text(text, "utf-8")

    with pytest.raises(CaseError, match=r"origin\.json is damaged"):
        DiskStore(disk.folder, SETTINGS)


def test_another_schema_is_told(disk: DiskStore) -> None:
    """A case of another schema says which it has and which is read."""
    manifest = disk.folder / "manifest.json"
    known = json.loads(manifest.read_text("utf-8"))
    manifest.write_text(json.dumps(known | {"schema": 999}), "utf-8")

    with pytest.raises(CaseError, match=f"written with schema 999, this library reads {SCHEMA_VERSION}"):
        DiskStore(disk.folder, SETTINGS)


def test_a_full_disk_is_told(disk: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the case cannot be written, the error names the case and the reason, and the part is gone."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_batch", full)
    with disk.adding():
        part = disk.begin()
        with pytest.raises(CaseError, match=r"cannot write to the case in .*: No space left on device"):
            write_on(part)
        monkeypatch.setattr("pyarrow.parquet.ParquetWriter.close", full)
        part.discard()
        monkeypatch.undo()
    assert disk.origins == {}
    assert not (disk.folder / "staging").exists()


def test_rows_come_to_the_disk_while_others_are_read(disk: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before a file is whole the disk is asked to take what there is of it; what is wrong with it then is told."""
    synced: list[str] = []

    def sync(path: Path) -> None:
        synced.append(path.name)
        if len(synced) > 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("forensics.store.UNSYNCED", 0)
    monkeypatch.setattr("forensics.store.sync", sync)
    part = disk.begin()
    with pytest.raises(CaseError, match="No space left on device"):
        write_on(part, 0.005)
    assert set(synced) == {"rejects.parquet"}
    part.discard()

    assert not (disk.folder / "staging").exists()
    assert "sync_0" not in {thread.name for thread in threading.enumerate()}


def test_the_stores_own_files_are_known(disk: DiskStore, tmp_path: Path) -> None:
    """A store knows its files from others."""
    store = MemoryStore()
    assert disk.holds(disk.folder / "parts" / "x")
    assert not disk.holds(tmp_path / "a.log")
    assert store.holds(store.folder / "1" / "flows.parquet")
    assert not store.holds(tmp_path / "a.log")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows stay in memory up to a bound, of all files together; the others lie in files, in a folder of this user's."""
    monkeypatch.setattr("forensics.memory.HELD_BYTES", 1500)
    store = MemoryStore()
    for number in range(40):
        put(store, source_row(f"{number}.log", f"{number:064}"), number, number)
        assert 0 <= store.room <= 1500
    files = sorted(store.folder.glob("*/rejects.parquet"))

    assert 0 < len(files) < 40
    assert len(held(store, store.folder)) == 80
    assert store.folder.stat().st_mode & 0o77 == 0


def test_a_file_in_memory_that_is_read_anew_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is replaced goes, from memory and from the folder, and so does a part that is discarded."""
    store = MemoryStore()
    put(store, source_row(error="torn"), 1)
    room = store.room
    put(store, source_row(error="torn"), 1)
    assert store.room == room
    monkeypatch.setattr("forensics.memory.HELD_BYTES", 0)
    put(store, source_row(), 2)
    part = store.begin()
    part.write("rejects", rejects("a.log", 3))
    part.discard()

    assert sorted(path.name for path in store.folder.glob("*/*.parquet")) == ["rejects.parquet", "sources.parquet"]
    assert len(list(store.folder.iterdir())) == 1


def test_the_folder_of_memory_goes_with_it() -> None:
    """A case in memory leaves nothing on the disk."""
    store = MemoryStore()
    folder = store.folder
    assert folder.is_dir()
    del store
    gc.collect()
    assert not folder.exists()


def test_a_full_disk_is_told_in_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows find no room in memory nor on disk, the error says so, and the part is gone."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("forensics.memory.HELD_BYTES", 0)
    store = MemoryStore()
    part = store.begin()
    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_batch", full)
    part.write("rejects", rejects("a.log", 1))
    with pytest.raises(CaseError, match=r"cannot write to the case in .*: No space left on device"):
        part.commit(source_row(), None, None)
    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.close", full)
    part.discard()
    assert not list(store.folder.iterdir())
