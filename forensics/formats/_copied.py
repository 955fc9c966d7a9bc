"""A file in a copy that can be read from anywhere, for readers that need more than a stream.

Example::

    with copied(evidence) as copy:
        rows = reader(copy.file)
    copy.check()
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from shutil import copyfileobj
from tempfile import NamedTemporaryFile, SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, cast

from forensics.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats import Evidence

__all__ = ["Copy", "copied", "copied_to_disk"]

IN_MEMORY = 32 << 20
"""A larger file is read from a temporary copy on the disk. [B]"""

CHUNK = 1 << 20
"""Bytes that are copied at once. [B]"""


@dataclass(slots=True)
class Copy:
    """The copy of a file.

    Parameters
    ----------
    file
        The copy, at its start.
    damage
        What ended the stream too early; the copy holds what came before it.
    """

    file: BinaryIO
    damage: EvidenceError | None = None

    def check(self) -> None:
        """Raise the damage of the stream, once all that came before it is read.

        Raises
        ------
        forensics.errors.EvidenceError
            The stream was damaged.
        """
        if self.damage is not None:
            raise self.damage


@contextmanager
def copied(evidence: Evidence) -> Iterator[Copy]:
    """Yield a copy of what is left of a file, in memory where it is small."""
    with SpooledTemporaryFile(IN_MEMORY) as file:
        yield _filled(evidence, cast("BinaryIO", file))


@contextmanager
def copied_to_disk(evidence: Evidence) -> Iterator[tuple[str, Copy]]:
    """Yield a copy of what is left of a file for another program: its path, and the copy."""
    with NamedTemporaryFile(prefix="forensics.") as file:
        copy = _filled(evidence, cast("BinaryIO", file))
        file.flush()
        yield file.name, copy


def _filled(evidence: Evidence, file: BinaryIO) -> Copy:
    """Copy a stream to its end, or to its damage."""
    copy = Copy(file)
    try:
        copyfileobj(evidence.stream, file, CHUNK)
    except EvidenceError as error:
        copy.damage = error
    file.seek(0)
    return copy
