"""What a case knows of where its evidence lay, and a second look at it: the same bytes as at the first, or an error."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from forensics.errors import EvidenceError
from forensics.reading import EvidenceFile, open_expanded, open_seekable, sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Origin", "check_unchanged", "reopened", "reopened_for_seeking"]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a case knows of an evidence file besides its rows.

    Parameters
    ----------
    source
        Its name in ``sources``.
    sha256
        SHA-256 of the file, hexadecimal.
    size
        Size of the file. [B]
    path
        Where it lay when it was read; None for a file object.
    records
        Packets or lines that were read.
    complete
        Whether it was read to its end. One that was not may be added again, with better hints or higher limits.
    modified
        When the file had been changed last as its reading began, as the file system says; None for a file object.
        [ns since 1970]
    format
        Format that read it; None where none did.
    vantage
        Where it was recorded.
    first, last
        Earliest and latest time in it; None where no record could be read. [us since 1970]
    """

    source: str
    sha256: str
    size: int
    path: str | None
    records: int
    complete: bool
    modified: int | None
    format: str | None
    vantage: str
    first: int | None
    last: int | None

    @classmethod
    def of(cls, row: dict[str, object], path: Path | None, modified: int | None) -> Origin:
        """Return the origin that belongs to a row of ``sources``."""
        return cls(
            source=str(row["source"]),
            sha256=str(row["sha256"]),
            size=int(str(row["size"])),
            path=str(path.resolve()) if path else None,
            records=int(str(row["records"])),
            complete=row["error"] is None,
            modified=modified,
            format=cast("str | None", row["format"]),
            vantage=str(row["vantage"]),
            first=cast("int | None", row.get("first")),
            last=cast("int | None", row.get("last")),
        )

    def is_at(self, path: Path) -> bool:
        """Tell whether the file lies at a path, by whatever name."""
        if self.path is None:
            return False
        known = Path(self.path)
        return path.resolve() == known or (path.exists() and known.exists() and path.samefile(known))

    @property
    def file(self) -> EvidenceFile:
        """The file, not yet opened; its path is None where it was handed over as an open file."""
        return EvidenceFile(self.source, Path(self.path) if self.path else None)


def check_unchanged(origin: Origin, *, verify: bool = False) -> None:
    """Make sure that an evidence file still holds what was read.

    A file of the same size that was not modified since is taken to be the same. Where its time of modification is
    another, as after a copy, its SHA-256 decides.

    Parameters
    ----------
    origin
        The file as it was read.
    verify
        Whether to compare the SHA-256 in any case; that reads the whole file.

    Raises
    ------
    EvidenceError
        The file is no longer where it was, or is another: packet numbers would name other packets.
    """
    file = origin.file
    with open_expanded(file):
        pass  # says in words what is wrong where it cannot be opened
    if file.size != origin.size:
        raise EvidenceError(origin.source, f"has changed since it was read: {file.path} has another size")
    if (verify or file.modified != origin.modified) and sha256_of(file) != origin.sha256:
        raise EvidenceError(origin.source, f"has changed since it was read: {file.path} has another SHA-256")


@contextmanager
def reopened(origin: Origin) -> Iterator[BinaryIO]:
    """Open an evidence file, expanded, to read it once more from its start.

    Parameters
    ----------
    origin
        The file as it was read.

    Yields
    ------
    typing.BinaryIO
        Its expanded bytes.

    Raises
    ------
    EvidenceError
        As `check_unchanged`.
    """
    check_unchanged(origin)
    with open_expanded(origin.file) as stream, BufferedReader(stream) as buffered:
        yield buffered


@contextmanager
def reopened_for_seeking(origin: Origin, *, verify: bool = False) -> Iterator[BinaryIO]:
    """Open an evidence file, expanded, to read single packets of it.

    Parameters
    ----------
    origin
        The file as it was read.
    verify
        As for `check_unchanged`.

    Yields
    ------
    typing.BinaryIO
        Its expanded bytes; seekable where it is not compressed.

    Raises
    ------
    EvidenceError
        As `check_unchanged`.
    """
    check_unchanged(origin, verify=verify)
    with open_seekable(origin.file) as stream:
        yield stream
