"""Files that are written whole or not at all: a reader finds the old file or the new one, never a part."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["beside", "replacing", "sync"]


def beside(file: Path) -> Path:
    """Return where a file is written before it takes its name; a killed process may leave it."""
    return file.with_name(f".{file.name}.new")


@contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name once it is whole; nothing is left of one that was given up.

    Parameters
    ----------
    file
        The file; an older one of its name stays until then.

    Yields
    ------
    typing.BinaryIO
        Where to write.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    fresh = beside(file)
    try:
        with fresh.open("wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Have the operating system write a file or folder to disk."""
    if sys.platform == "win32" and path.is_dir():
        return  # folders cannot be opened there
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
