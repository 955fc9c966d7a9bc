"""Evidence files, opened: to be read for the first time, or for a second look at single packets or lines.

Example: ``with open_expanded(file) as stream: head = stream.read(512)``
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from forensics.errors import EvidenceError
from forensics.reading.streams import ExpandedStream, Limits, RawStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from forensics.reading.files import EvidenceFile

__all__ = ["open_expanded", "open_seekable", "opened", "sha256_of"]


def opened(file: EvidenceFile, source: str) -> AbstractContextManager[BinaryIO]:
    """Open a file as it lies on disk; what is wrong with it is said in words."""
    try:
        return file.open()
    except OSError as error:
        raise EvidenceError(source, f"cannot be opened: {error.strerror or error}") from error


@contextmanager
def open_expanded(file: EvidenceFile, limits: Limits | None = None) -> Iterator[ExpandedStream]:
    """Open a file that a case already holds, for a second look at single packets or lines.

    Parameters
    ----------
    file
        The file, as `forensics.reopen.Origin` has it.
    limits
        How far it may grow, if it is compressed.

    Yields
    ------
    ExpandedStream
        Its expanded bytes.

    Raises
    ------
    EvidenceError
        The file is gone, or cannot be opened.
    """
    if file.path is None:
        raise EvidenceError(file.name, "was handed over as an open file: add it by its path to look at its packets")
    if not file.path.is_file():
        raise EvidenceError(file.name, f"is no longer at {file.path}; put it back to look at its packets")
    with opened(file, file.name) as stored:
        yield ExpandedStream(file.name, RawStream(stored), limits or Limits())


@contextmanager
def open_seekable(file: EvidenceFile) -> Iterator[BinaryIO]:
    """Open a file that a case already holds, to read it at any place; a compressed one only ever forward.

    No limit holds for how far it grows: it is read no further than it was read before.

    Parameters
    ----------
    file
        The file, as `forensics.reopen.Origin` has it.

    Yields
    ------
    typing.BinaryIO
        Its expanded bytes.

    Raises
    ------
    EvidenceError
        As `open_expanded`.
    """
    with open_expanded(file, Limits(max_expanded=2**62, max_ratio=math.inf)) as expanded:
        if expanded.compression is not None:
            yield cast("BinaryIO", expanded)
            return
    with opened(file, file.name) as stored:
        yield stored


def sha256_of(file: EvidenceFile, progress: Callable[[int], object] = lambda _: None) -> str:
    """Return the SHA-256 of a file as it lies on disk, hexadecimal.

    Raises
    ------
    EvidenceError
        The file cannot be read.
    """
    try:
        with file.open() as stored:
            return RawStream(stored, progress).finish()
    except OSError as error:
        raise EvidenceError(file.name, f"cannot be read: {error.strerror or error}") from error
