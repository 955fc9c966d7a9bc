"""Overlapping copies of one log: a line that stands in two files gives its rows once.

A proxy's log is often collected more than once, each time longer, or once as it is and once rotated. Where the times of
a file overlap those of another file of its set, the lines of both are compared by content, whole and byte for byte (by
a hash of 128 bits under a key that is drawn anew each time, so that nobody can make two lines with one hash). Of equal
lines as many give rows as the file has that has more of them: equal lines within one file are records of their own.
What is compared is only ever a file with another: a line can be left out only because the very same line is read
elsewhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from forensics.errors import EvidenceError
from forensics.formats import Evidence
from forensics.formats._lines import lines
from forensics.reading.sets import vantage_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forensics.formats import Hints

__all__ = ["Copies", "Earlier", "Opener", "find_copies"]

PROBES = 5
"""Lines at the head of the later file of two that are looked for in the other before all lines are compared."""

MOST_LINES = 10_000_000
"""Lines of two files that are compared; of more it is noted that they were not. It bounds memory."""

_WIDTH = 16
_NONE = bytes(_WIDTH)

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]

Opener = Callable[[], AbstractContextManager[BinaryIO]]
"""What opens the expanded bytes of a file, once more each time."""


class Earlier(NamedTuple):
    """A file that was read before, as far as it matters here.

    Parameters
    ----------
    source, format, vantage
        As ``sources`` has them.
    first, last
        Earliest and latest time in it. [us]
    open
        Opens its expanded bytes, as they were when it was read.
    """

    source: str
    format: str | None
    vantage: str
    first: int | None
    last: int | None
    open: Opener

    def may_overlap(self, source: str, fmt: str, vantage: str, first: int) -> bool:
        """Tell whether a file of these facts may hold lines of this one."""
        same = (self.format, self.vantage, vantage_of(self.source)) == (fmt, vantage, vantage_of(source))
        return same and self.last is not None and first <= self.last


class Copies:
    """Which lines of a file another file has already given.

    Parameters
    ----------
    copied
        Whether a line is one of them, by its number; shape (lines + 1,).
    """

    def __init__(self, copied: Bools) -> None:
        self._copied = copied

    def left(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of a batch whose lines were not given already."""
        record = batch["record"].fill_null(0).to_numpy()
        known = record < len(self._copied)
        copied = known & self._copied[np.where(known, record, 0)]
        return batch.filter(pa.array(~copied)) if copied.any() else batch


def find_copies(
    evidence: Evidence, fmt: str, first: int, opener: Opener,
    earlier: Iterable[Earlier],
) -> Copies | None:  # fmt: skip
    """Return which lines of a file stand in files of its set that were read before; None where none does.

    Parameters
    ----------
    evidence
        The file; its notes are told how many lines of which files it repeats, and which could not be compared.
    fmt
        The name of its format.
    first
        Earliest time at its head. [us]
    opener
        Opens its expanded bytes.
    earlier
        Files that were read before.
    """
    mine: np.ndarray[tuple[int], np.dtype[np.bytes_]] | None = None
    copied, repeated, unchecked = np.zeros(0, np.bool_), dict[str, int](), list[str]()
    key = secrets.token_bytes(16)
    for file in earlier:
        if not file.may_overlap(evidence.source, fmt, evidence.vantage, first):
            continue
        try:
            if not _shared(file, first, opener, evidence.hints):
                continue
            mine = _digests(opener, evidence.hints, key) if mine is None else mine
            found = _repeated(_digests(file.open, evidence.hints, key), mine, copied)
        except (EvidenceError, OSError, _TooManyError) as error:
            unchecked.append(f"{file.source}: {error.problem if isinstance(error, EvidenceError) else error}")
            continue
        if found.any():
            repeated[file.source] = int(np.count_nonzero(found))
            copied = found if not len(copied) else copied | found
    if repeated:
        evidence.notes["copies_of"] = repeated
    if unchecked:
        evidence.notes["overlap_not_checked"] = sorted(unchecked)
    return Copies(np.concatenate([[False], copied])) if repeated else None


class _TooManyError(Exception):
    """There are more lines than are compared."""


def _lines(stream: BinaryIO, hints: Hints) -> Iterable[bytes]:
    """Yield the lines of a file as its format sees them; none for those that are no record."""
    for _, line in lines(Evidence(stream, "", "", hints)):
        yield b"" if line.startswith(b"#") or line.isspace() else line


def _shared(file: Earlier, first: int, opener: Opener, hints: Hints) -> bool:
    """Tell whether the head of the later file of two stands in the other: else they follow each other."""
    behind = file.first is None or first >= file.first
    head, whole = (opener, file.open) if behind else (file.open, opener)
    probes = set[bytes]()
    with head() as stream:
        for line in _lines(stream, hints):
            probes |= {line} - {b""}
            if len(probes) == PROBES:
                break
    with whole() as stream:
        return any(line in probes for line in _lines(stream, hints))


def _digests(opener: Opener, hints: Hints, key: bytes) -> np.ndarray[tuple[int], np.dtype[np.bytes_]]:
    """Return a hash of each line under a key; of lines that are no record, zeros."""
    found = bytearray()
    with opener() as stream:
        for line in _lines(stream, hints):
            found += blake2b(line, digest_size=_WIDTH, key=key).digest() if line else _NONE
            if len(found) > MOST_LINES * _WIDTH:
                raise _TooManyError(f"has more than {MOST_LINES:,} lines, which were not compared")
    return np.frombuffer(found, f"S{_WIDTH}")


def _repeated(
    theirs: np.ndarray[tuple[int], np.dtype[np.bytes_]],
    mine: np.ndarray[tuple[int], np.dtype[np.bytes_]],
    copied: Bools,
) -> Bools:
    """Return which of my lines are theirs too: of each as many as they have, the first ones that are left."""
    _, numbers = np.unique(np.concatenate([theirs, mine]), return_inverse=True)
    held = np.bincount(numbers[: len(theirs)], minlength=int(numbers.max(initial=0)) + 1)
    own = numbers[len(theirs) :]
    order = np.argsort(own, kind="stable")
    ordered = own[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    rank = np.empty(len(own), np.int64)
    rank[order] = np.arange(len(own)) - np.repeat(begins, np.diff(begins, append=len(own)))
    found: Bools = (rank < held[own]) & (mine != b"")
    return found if not len(copied) else found & ~copied
