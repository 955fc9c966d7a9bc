"""Tables of a case in memory, and in a temporary folder what would take too much of it.

Small evidence never touches the disk, and large evidence needs no more memory than small: rows that are beyond a bound
are written as Parquet, as a case on disk has them, and queries see both as one table. The folder can be read by this
user alone, and goes with the case.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.packets.index import INDEX, IndexWriter, PacketIndex
from forensics.reopen import Origin
from forensics.store import Part, register_tables, source_batch, writing
from forensics.table_files import TableFiles, as_stored, put_gaps, with_gaps

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.engines import Engine

__all__ = ["MemoryStore"]

HELD_BYTES = 32 * 1024 * 1024
"""Rows that a case keeps in memory. [B]"""


@dataclass(frozen=True, slots=True)
class _Kept:
    """All rows of one evidence file: those in memory, their size, the files of the others, and the index."""

    batches: dict[str, list[pa.RecordBatch]]
    held: int
    folder: Path
    files: dict[str, Path]
    index: PacketIndex | None


class MemoryStore:
    """Tables that are gone with the process."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="forensics-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.origins: dict[str, Origin] = {}
        self._parts: dict[str, _Kept] = {}
        self._begun = 0

    def begin(self) -> Part:
        """Start a new part."""
        self._begun += 1
        folder = self.folder / str(self._begun)
        with writing(self.folder):
            folder.mkdir()
        return _MemoryPart(self, folder)

    @property
    def room(self) -> int:
        """How many more bytes of rows may stay in memory. [B]"""
        return HELD_BYTES - sum(part.held for part in self._parts.values())

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Do nothing: no other process sees this memory."""
        yield

    def holds(self, path: Path) -> bool:
        """Tell whether a file is one of the store's own, which are no evidence."""
        return self.folder.resolve() in path.resolve().parents

    def keep(self, part: _Kept, origin: Origin) -> None:
        """Take over the rows of one file."""
        before = self._parts.get(origin.sha256)
        self.origins[origin.sha256], self._parts[origin.sha256] = origin, part
        if before:
            shutil.rmtree(before.folder, ignore_errors=True)

    def index(self, sha256: str) -> PacketIndex | None:
        """Return the seek index of an evidence file; None where it is no capture."""
        return self._parts[sha256].index

    def tell_gaps(self, sha256: str, gaps: str | None) -> None:
        """Put other gaps into the row of ``sources`` of an evidence file."""
        part = self._parts[sha256]
        if held := part.batches.get("sources"):
            part.batches["sources"] = [with_gaps(held[0], gaps)]
            return
        with writing(self.folder):
            put_gaps(part.files["sources"], gaps)

    def register(self, engine: Engine) -> None:
        """Make the tables known to an engine."""
        files: defaultdict[str, list[Path]] = defaultdict(list)
        batches: defaultdict[str, list[pa.RecordBatch]] = defaultdict(list)
        for part in self._parts.values():
            for name, rows in part.batches.items():
                batches[name] += rows
            for name, file in part.files.items():
                files[name].append(file)
        register_tables(engine, files, batches)


class _MemoryPart:
    def __init__(self, store: MemoryStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._room = store.room
        self._held = 0
        self._batches: defaultdict[str, list[pa.RecordBatch]] = defaultdict(list)
        self._tables = TableFiles(folder)
        self._index = IndexWriter(folder)
        self._kept = False

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        if table in INDEX:
            with writing(self._store.folder):
                self._index.write(table, batch)
            return
        batch = as_stored(table, batch)
        self._batches[table].append(batch)
        self._held += batch.nbytes
        if self._held > self._room:
            self._spill()

    def _spill(self) -> None:
        """Move the rows from memory into files."""
        with writing(self._store.folder):
            for table, batches in self._batches.items():
                for batch in batches:
                    self._tables.write(table, batch)
        self._batches.clear()
        self._held = 0

    def commit(self, row: dict[str, object], path: Path | None, modified: int | None) -> None:
        self.write("sources", source_batch(row))
        with writing(self._store.folder):
            self._tables.close()
            index = self._index.close()
        kept = _Kept(dict(self._batches), self._held, self._folder, self._tables.files, index)
        self._store.keep(kept, Origin.of(row, path, modified))
        self._kept = True

    def discard(self) -> None:
        if self._kept:
            return
        self._tables.abandon()
        with suppress(OSError):  # a full disk has said so before
            self._index.close()
        shutil.rmtree(self._folder, ignore_errors=True)
