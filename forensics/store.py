"""Where the tables of a case lie on disk: in a folder, as Parquet. `forensics.memory` has those in memory.

The folder of a case::

    manifest.json              title, time zone, schema; the list of sources, for people
    parts/<sha256>/*.parquet   all rows of one evidence file; where the file lay is in origin.json
    parts/<sha256>/*.arrow     of a capture, the seek index: see `forensics.packets.index`
    parts/<sha256>.1/          the same file read anew, with better hints; the highest number counts
    staging/                   a file that is being read; worth nothing until it is renamed into parts/
    reading/                   the same of files that other processes read; see `forensics.apart`

A record that is a flow, a request and a name is stored once, in ``exchanges.parquet``; queries see it in all three.

The rename is the one step that adds a file, and it is atomic: a process killed at any point leaves a case that opens,
without the file it was reading, or with that file as it was read before.
"""

from __future__ import annotations

import json
import shutil
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from forensics.engines import VIEWS, query_text
from forensics.errors import CaseError
from forensics.packets.index import INDEX, IndexWriter, PacketIndex
from forensics.reopen import Origin
from forensics.replacing import beside, replacing, sync
from forensics.schema import EXCHANGES, PARTS, SCHEMA_VERSION, STORED, TABLES
from forensics.table_files import TableFiles, as_stored, put_gaps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from forensics.engines import Engine

__all__ = ["HIDDEN", "DiskStore", "Origin", "Part", "StagedRows", "Store", "register_tables", "source_batch", "writing"]

UNSYNCED = 128 << 20
"""Rows of so many bytes are brought to the disk while the next ones are read; the last step then waits for less. [B]"""

HIDDEN = {name: f"stored_{name}" for name in (*PARTS, EXCHANGES.name)}
"""Tables that an engine knows as they are stored under other names; queries of ours alone use those."""


class Part(Protocol):
    """The rows of one evidence file, on their way into the store."""

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Take a batch of rows of a table, or of the index of a capture."""

    def commit(self, row: dict[str, object], path: Path | None, modified: int | None) -> None:
        """Make the rows part of the case, all at once, with the file's row of ``sources`` and what `Origin` has of it.

        They replace what the case holds of a file of the same SHA-256.
        """

    def discard(self) -> None:
        """Let go of what was not committed; nothing after `commit`."""


class Store(Protocol):
    """Tables of a case, one part per evidence file."""

    @property
    def folder(self) -> Path:
        """The folder that an engine must be able to read."""

    @property
    def origins(self) -> dict[str, Origin]:
        """The evidence files by their SHA-256."""

    def begin(self) -> Part:
        """Start a new part."""

    def adding(self) -> AbstractContextManager[None]:
        """Keep other processes from adding to the case; `origins` is what they have added until now."""

    def holds(self, path: Path) -> bool:
        """Tell whether a file is one of the store's own."""

    def register(self, engine: Engine) -> None:
        """Make the tables known to an engine."""

    def index(self, sha256: str) -> PacketIndex | None:
        """Return the seek index of an evidence file; None where it is no capture."""

    def tell_gaps(self, sha256: str, gaps: str | None) -> None:
        """Put other gaps into the row of ``sources`` of an evidence file."""


class DiskStore:
    """Tables in a folder, one sub-folder of Parquet files per evidence file.

    Parameters
    ----------
    folder
        The case's folder; made where it does not exist.
    settings
        What the manifest holds besides the sources. An existing case keeps its own.

    Raises
    ------
    CaseError
        The folder holds something else, a case of another schema, or a damaged one; or it cannot be written.
    """

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.origins: dict[str, Origin] = {}
        self._parts: dict[str, Path] = {}
        self._manifest = folder / "manifest.json"
        if not self._manifest.exists():
            self._create(settings)
        self.settings = self._read_settings()
        self._load()

    def _create(self, settings: dict[str, str]) -> None:
        with writing(self.folder):
            if self.folder.exists() and not (self.folder.is_dir() and self._is_empty()):
                raise CaseError(f"{self.folder} is not a case: name a case's folder, or one that does not exist yet")
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_manifest(settings)

    def _is_empty(self) -> bool:
        """Tell whether the folder holds nothing but a manifest that a killed process did not end."""
        return {path.name for path in self.folder.iterdir()} <= {beside(self._manifest).name}

    def _read_settings(self) -> dict[str, str]:
        with _undamaged(self._manifest):
            manifest = json.loads(self._manifest.read_text("utf-8"))
            version = manifest["schema"]
            held = manifest["settings"]
            settings = {name: str(held[name]) for name in ("title", "timezone", *({"log_timezone"} & held.keys()))}
        if version != SCHEMA_VERSION:
            raise CaseError(f"{self.folder} was written with schema {version}, this library reads {SCHEMA_VERSION}")
        return settings

    def _load(self) -> list[Path]:
        """Read what the parts say; return those that a newer one of the same file replaces."""
        self.origins, self._parts = {}, {}
        replaced = []
        for file in sorted((self.folder / "parts").glob("*/origin.json"), key=lambda file: _number(file.parent)):
            with _undamaged(file):
                origin = Origin(**json.loads(file.read_text("utf-8")))
            if origin.sha256 in self._parts:
                replaced.append(self._parts[origin.sha256])
            self.origins[origin.sha256], self._parts[origin.sha256] = origin, file.parent
        return replaced

    def _write_manifest(self, settings: dict[str, str]) -> None:
        listed = sorted(map(asdict, self.origins.values()), key=lambda origin: str(origin["source"]))
        text = json.dumps({"schema": SCHEMA_VERSION, "settings": settings, "sources": listed}, indent=2, sort_keys=True)
        with replacing(self._manifest) as file:
            file.write(f"{text}\n".encode())
        sync(self.folder)

    def begin(self) -> Part:
        """Start a new part."""
        with writing(self.folder):
            self._staging.mkdir()
        return _DiskPart(self, self._staging)

    @property
    def _staging(self) -> Path:
        return self.folder / "staging"

    @property
    def apart(self) -> Path:
        """Where other processes put the rows of files that they read, each into a folder of its own."""
        return self.folder / "reading"

    def take(self, folder: Path, row: dict[str, object], path: Path | None, modified: int | None) -> None:
        """Make what another process wrote into a folder a part of the case, as `Part.commit` does."""
        part = _DiskPart(self, folder)
        try:
            part.commit(row, path, modified)
        finally:
            part.discard()

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Keep other processes from adding to the case; a process that dies lets go of it.

        What others added since the case was opened becomes known, what a killed process left behind is removed.
        """
        with self._locked():
            with writing(self.folder):
                for left in (self._staging, self.apart):
                    shutil.rmtree(left, ignore_errors=True)
                for path in self._load():
                    shutil.rmtree(path)
            try:
                yield
            finally:
                with writing(self.folder):
                    self._write_manifest(self.settings)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as held:
            with writing(self.folder):
                lock = held.enter_context((self.folder / ".lock").open("w"))
            if sys.platform != "win32":
                import fcntl

                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise CaseError(f"another process is adding to {self.folder}; wait until it has ended") from error
            yield

    def holds(self, path: Path) -> bool:
        """Tell whether a file is one of the store's own, which are no evidence."""
        return self.folder.resolve() in path.resolve().parents

    def keep(self, staging: Path, origin: Origin) -> None:
        """Make a staged part one of the case: the atomic step."""
        parts = self.folder / "parts"
        if not parts.exists():
            parts.mkdir()
            sync(self.folder)
        (staging / "origin.json").write_text(json.dumps(asdict(origin), sort_keys=True), "utf-8")
        for written in (*staging.iterdir(), staging):
            sync(written)
        before = self._parts.get(origin.sha256)
        part = parts / (f"{origin.sha256}.{_number(before) + 1}" if before else origin.sha256)
        staging.rename(part)
        sync(parts)
        self.origins[origin.sha256], self._parts[origin.sha256] = origin, part
        if before:
            shutil.rmtree(before)

    def register(self, engine: Engine) -> None:
        """Make the tables known to an engine."""
        files = {name: [part / f"{name}.parquet" for part in self._parts.values()] for name in STORED}
        present = {name: [file for file in listed if file.exists()] for name, listed in files.items()}
        register_tables(engine, present, {})

    def index(self, sha256: str) -> PacketIndex | None:
        """Return the seek index of an evidence file; None where it is no capture."""
        return PacketIndex.of(self._parts[sha256])

    def tell_gaps(self, sha256: str, gaps: str | None) -> None:
        """Put other gaps into the row of ``sources`` of an evidence file; it is replaced whole, in one step."""
        with writing(self.folder):
            put_gaps(self._parts[sha256] / "sources.parquet", gaps)


class StagedRows:
    """The rows of one evidence file in a folder that is no part of the case yet; any process may write it.

    Parameters
    ----------
    case
        The folder of the case, for messages.
    folder
        The folder; it exists.
    """

    def __init__(self, case: Path, folder: Path) -> None:
        self._case = case
        self._folder = folder
        self._tables = TableFiles(folder)
        self._index = IndexWriter(folder)
        self._syncer = ThreadPoolExecutor(1, "sync")
        self._syncing: Future[None] | None = None
        self._unsynced = 0

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Take a batch of rows of a table, or of the index of a capture."""
        with writing(self._case):
            if table in INDEX:
                self._index.write(table, batch)
                return
            self._tables.write(table, as_stored(table, batch))
            self._unsynced += batch.nbytes
            if self._unsynced > UNSYNCED and (self._syncing is None or self._syncing.done()):
                self._sync()

    def _sync(self) -> None:
        """Have the operating system begin to bring to the disk what is written by now."""
        self._wait()
        self._unsynced = 0
        self._syncing = self._syncer.submit(_sync_all, self._folder)

    def _wait(self) -> None:
        """Wait until what was to be brought to the disk is there; raise what went wrong."""
        if self._syncing is not None:
            self._syncing.result()
            self._syncing = None

    def close(self) -> None:
        """Wait until all is written, and end the files."""
        with writing(self._case):
            self._tables.close()
            self._index.close()
            self._wait()
        self._syncer.shutdown()

    def discard(self) -> None:
        """Remove the folder, where it is not a part of the case by now."""
        self._tables.abandon()
        self._syncer.shutdown()
        with suppress(OSError):  # a full disk has said so before
            self._index.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _sync_all(folder: Path) -> None:
    """Bring the files of a folder to the disk."""
    for file in folder.iterdir():
        sync(file)


class _DiskPart(StagedRows):
    def __init__(self, store: DiskStore, staging: Path) -> None:
        super().__init__(store.folder, staging)
        self._store = store

    def commit(self, row: dict[str, object], path: Path | None, modified: int | None) -> None:
        self.write("sources", source_batch(row))
        self.close()
        with writing(self._case):
            self._store.keep(self._folder, Origin.of(row, path, modified))


def register_tables(
    engine: Engine, files: Mapping[str, Sequence[Path]], batches: Mapping[str, Sequence[pa.RecordBatch]]
) -> None:
    """Make tables known to an engine, those of `PARTS` with the rows of exchanges, and the views that build on them.

    Parameters
    ----------
    engine
        The engine.
    files
        Parquet files of the tables of `STORED`, by table.
    batches
        Rows that are in memory, by table.
    """
    for name, table in STORED.items():
        known = HIDDEN.get(name, name)
        rows = pa.Table.from_batches(batches.get(name, ()), table.schema)
        if written := sorted(files.get(name, ())):
            engine.register_parquet(known, written, rows if rows.num_rows else None)
        else:
            engine.register_arrow(known, rows)
    for name in (*PARTS, *VIEWS):
        engine.register_view(name, query_text(name))


def source_batch(row: dict[str, object]) -> pa.RecordBatch:
    """Return a row of ``sources`` as a batch."""
    return pa.RecordBatch.from_pylist([row], schema=TABLES["sources"].schema)


def _number(part: Path) -> int:
    """Return how many times a file had been read before this part of it was written."""
    number = part.name.partition(".")[2]
    return int(number) if number.isdecimal() else 0


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say which case could not be written, and why."""
    try:
        yield
    except OSError as error:
        raise CaseError(f"cannot write to the case in {folder}: {error.strerror or error}") from error


@contextmanager
def _undamaged(file: Path) -> Iterator[None]:
    """Say which file of the case is damaged."""
    try:
        yield
    except OSError as error:
        raise CaseError(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CaseError(f"{file} is damaged ({error!r}); restore it, or make the case anew") from error
