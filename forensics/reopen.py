"""A second look at an evidence file: the same bytes as at the first, or an error."""

from __future__ import annotations

from contextlib import contextmanager
from io import BufferedReader
from typing import TYPE_CHECKING, BinaryIO

from forensics.errors import EvidenceError
from forensics.reading import open_expanded, sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.case import Case
    from forensics.reading import EvidenceFile

__all__ = ["reopened", "unchanged"]


def unchanged(case: Case, source: str) -> EvidenceFile:
    """Return an evidence file of the case that still holds what was read.

    Parameters
    ----------
    case
        The case.
    source
        Name of the file in ``sources``.

    Returns
    -------
    EvidenceFile
        The file.

    Raises
    ------
    EvidenceError
        The file is no longer where it was, or its SHA-256 is another: packet numbers would name other packets.
    """
    file = case.evidence_file(source)
    with open_expanded(file):
        pass  # says in words what is wrong where it cannot be opened
    known = {row["source"]: row["sha256"] for row in case.sources.to_arrow().to_pylist()}
    if sha256_of(file) != known[source]:
        raise EvidenceError(source, f"has changed since it was read: {file.path} has another SHA-256")
    return file


@contextmanager
def reopened(case: Case, source: str) -> Iterator[BinaryIO]:
    """Open an evidence file of the case, expanded, for a second look.

    Parameters
    ----------
    case
        The case.
    source
        Name of the file in ``sources``.

    Yields
    ------
    typing.BinaryIO
        Its expanded bytes.

    Raises
    ------
    EvidenceError
        As `unchanged`.
    """
    with open_expanded(unchanged(case, source)) as stream, BufferedReader(stream) as buffered:
        yield buffered
