"""Which files are meant: paths, folders, globs and open files become a list of evidence files."""

from __future__ import annotations

import glob
import io
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from forensics.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["EvidenceFile", "EvidenceLike", "find_evidence"]

EvidenceLike = str | os.PathLike[str] | BinaryIO
"""What a caller may hand over as evidence: a path, a folder, a glob, or a binary file object."""


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """One evidence file, not yet opened.

    Parameters
    ----------
    name
        What it is called in the ``sources`` table: relative to the folder that was named, with forward slashes.
    path
        Where it lies; None for a file object.
    stream
        The file object; None for a path.
    """

    name: str
    path: Path | None = None
    stream: BinaryIO | None = None

    @property
    def size(self) -> int | None:
        """Size on disk; None where it cannot be known without reading. [B]"""
        try:
            return self.path.stat().st_size if self.path is not None else None
        except OSError:  # gone since it was found, or in a folder that may be listed only
            return None

    @property
    def modified(self) -> int | None:
        """When it was changed last, as the file system says; None where there is no path. [ns since 1970]"""
        try:
            return self.path.stat().st_mtime_ns if self.path is not None else None
        except OSError:
            return None

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open the file read-only; a file object stays its owner's to close."""
        if self.path is not None:
            return self.path.open("rb", buffering=0)
        assert self.stream is not None  # noqa: S101  # one of the two is always there
        return nullcontext(self.stream)

    def companion(self, name: str) -> Path | None:
        """Return the path of a file of this name in the same folder, or None."""
        if self.path is None:
            return None
        beside = self.path.with_name(name)
        return beside if beside.is_file() else None


def find_evidence(*evidence: EvidenceLike, beside: Callable[[], Collection[str]] = frozenset) -> list[EvidenceFile]:
    r"""Return the evidence files that are meant, each once.

    A folder stands for every file below it, sorted by path; hidden files and folders are left out, links to folders
    are not followed, and what is no regular file (a pipe, a device, a socket) is passed over. A text with ``*``, ``?``
    or ``[`` that is no existing path is a glob; ``**`` crosses folders, and a folder that matches stands for its files.

    Files are named relative to the folder that was given, files of a glob relative to its part before the first
    pattern: ``evidence/*/access.log`` gives ``gw1/access.log``. Bytes of a name that are not UTF-8 show as ``\xNN``.

    Parameters
    ----------
    *evidence
        Paths, folders, globs, open binary files.
    beside
        Gives names of files that, in a folder or a glob, only say how to read others; named by themselves they are
        evidence. It is asked only where there is a folder or a glob.

    Raises
    ------
    EvidenceError
        A path does not exist or is no regular file, a folder holds no file, or a glob matches nothing.
    TypeError
        A file object is opened as text.
    """
    found: dict[object, EvidenceFile] = {}
    for item in evidence:
        for file in _expand(item, beside):
            found.setdefault(file.path.resolve() if file.path else id(file.stream), file)
    return list(found.values())


def _expand(item: EvidenceLike, beside: Callable[[], Collection[str]]) -> list[EvidenceFile]:
    if not isinstance(item, str | os.PathLike):
        return [EvidenceFile(name=_stream_name(item), stream=item)]
    path = Path(item)
    if path.is_dir():
        passed = beside()
        files = [EvidenceFile(_name(file, path), file) for file in _files_below(path) if file.name not in passed]
        if not files:
            raise EvidenceError(_shown(path), "the folder holds no file")
        return files
    if path.is_file():
        return [EvidenceFile(_shown(path.name), path)]
    if path.exists():
        problem = "is no regular file: open it yourself and hand over the file object, or copy what it gives to a file"
        raise EvidenceError(_shown(path), problem)
    if glob.has_magic(str(path)):
        passed = beside()
        files = [EvidenceFile(name, file) for name, file in _matches(path) if file.name not in passed]
        if not files:
            raise EvidenceError(_shown(path), "no file matches this pattern")
        return files
    raise EvidenceError(_shown(path), "no such file or folder")


def _matches(pattern: Path) -> list[tuple[str, Path]]:
    """Return the files that a glob stands for, with their names, in path order."""
    plain = next(place for place, part in enumerate(pattern.parts) if glob.has_magic(part))
    base = Path(*pattern.parts[:plain])
    files: set[Path] = set()
    for match in glob.glob(str(pattern), recursive=True):  # noqa: PTH207  # absolute globs
        path = Path(match)
        files |= set(_files_below(path)) if path.is_dir() and not path.is_symlink() else {path}
    return [(_name(file, base), file) for file in sorted(files) if file.is_file()]


def _files_below(folder: Path) -> list[Path]:
    """Return the files below a folder in path order; hidden ones are left out, links to folders are not followed."""
    files: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(root, name) for name in names if not name.startswith(".")]
    return sorted(file for file in files if file.is_file())


def _name(file: Path, base: Path) -> str:
    """Return what a file is called: relative to the folder that was named."""
    return _shown(file.relative_to(base).as_posix())


def _shown(path: str | Path) -> str:
    r"""Return a path as text that every table can hold; bytes that are not UTF-8 become ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _stream_name(stream: BinaryIO) -> str:
    """Return what a file object calls itself; ``stream`` where it has no name."""
    if not hasattr(stream, "read"):
        raise TypeError(f"{type(stream).__name__} is no evidence: give a path, a folder, a glob or an open binary file")
    if isinstance(stream, io.TextIOBase):
        raise TypeError("a file object must be opened in binary mode: open(path, 'rb')")
    name = getattr(stream, "name", None)
    return _shown(Path(name).name) if isinstance(name, str) and name else "stream"
