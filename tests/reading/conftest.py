"""What the tests of reading share: a sink that keeps, and a log format of two numbers a line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

import pyarrow as pa
import pytest

from forensics import reading
from forensics.errors import EvidenceError
from forensics.formats import Evidence, Format, Hints
from forensics.formats._lines import read_lines
from forensics.reading import EvidenceFile, ReadOptions, read_file
from forensics.rows import Rows

if TYPE_CHECKING:
    from pathlib import Path

Parse = Callable[[Evidence], Iterator[tuple[str, pa.RecordBatch]]]


class Reader(Protocol):
    """What reads a file."""

    def __call__(
        self, path: Path, options: ReadOptions | None = None, source: str | None = None
    ) -> tuple[dict[str, object], Kept, list[EvidenceError]]:
        """Return its row, its rows, and its troubles."""


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.batches: defaultdict[str, list[pa.RecordBatch]] = defaultdict(list)

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Keep a batch."""
        self.batches[table].append(batch)

    def rows(self, table: str) -> list[dict[str, object]]:
        """Return the rows of a table."""
        return [row for batch in self.batches[table] for row in batch.to_pylist()]


def parse_tiny(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Read lines of ``seconds bytes``; ``-`` is a bytes count that was not logged."""
    rows = Rows()

    def add(number: int, line: bytes) -> None:
        try:
            seconds, count = line.split()
            moment = int(seconds) * 1_000_000
            moved = None if count == b"-" else int(count)
        except ValueError:
            return rows.reject(evidence.source, number, "not two numbers", line)
        return rows.add(
            "flows", start=moment, end=moment + 90_000_000, src="192.0.2.1", dst="203.0.113.7", bytes_out=moved,
            bytes_kind="ip", vantage=evidence.vantage, source=evidence.source, record=number,
        )  # fmt: skip

    yield from read_lines(evidence, rows, add)
    evidence.notes["timezone"] = str(evidence.hints.timezone) if evidence.hints.timezone else None
    evidence.notes["extra"] = "a fact"


@dataclass
class Tiny:
    """A log format of two numbers a line."""

    NAME: str = "tiny"
    TITLE: str = "tiny log"
    COMPANIONS: tuple[str, ...] = ("tiny.conf",)
    EXACT_VOLUMES: bool = False
    parse: Parse = parse_tiny
    seen: list[Hints] = field(default_factory=list)

    def declines(self, head: bytes, hints: Hints) -> str | None:
        """Take what begins with a number."""
        self.seen.append(hints)
        return None if re.match(rb"\d+ ", head) else "it begins with no number"


@dataclass
class Other(Tiny):
    """A format that declines everything."""

    NAME: str = "other"
    COMPANIONS: tuple[str, ...] = ()

    def declines(self, head: bytes, hints: Hints) -> str | None:  # noqa: ARG002
        """Decline."""
        return "it is not other"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The only two formats there are."""
    fmt = Tiny()
    known = {"other": Other(), "tiny": cast("Format", fmt)}
    monkeypatch.setattr(reading, "format_names", lambda: tuple(known))
    monkeypatch.setattr(reading, "format_named", known.__getitem__)
    return fmt


def read_path(
    path: Path, options: ReadOptions | None = None, source: str | None = None
) -> tuple[dict[str, object], Kept, list[EvidenceError]]:
    """Read a file; return its row, its rows, and its troubles."""
    kept, troubles = Kept(), list[EvidenceError]()
    file = EvidenceFile(path.name, path)
    row = read_file(file, kept, source=source or path.name, options=options or ReadOptions(), trouble=troubles.append)
    return row, kept, troubles


@pytest.fixture
def read() -> Reader:
    """What reads a file and returns its row, its rows, and its troubles."""
    return read_path


@pytest.fixture
def sink() -> Kept:
    """An empty sink."""
    return Kept()
