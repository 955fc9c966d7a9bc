"""Evidence read by the workers of an engine: one file each, its rows written into the case's own folder.

A file's rows can hang on the files before it: its name may be taken, and lines that stand in an earlier file of the
same log give no rows again. Workers read many files at once; so each is read under an assumption about those before
it, and is read again where that proves wrong. Files become part of the case one after the other, in the order in which
one process would read them: the case is the same to the byte, whoever read it.
"""

from __future__ import annotations

import pickle
import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from forensics.adding import add_file, earlier_of, free_name, is_better, known_file, names_of, told, warn
from forensics.errors import EvidenceError, ForensicsError, TimezoneNeededError
from forensics.formats import all_formats
from forensics.reading import read_file
from forensics.store import StagedRows, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from forensics.engines import Engine
    from forensics.reading import EvidenceFile, ReadOptions
    from forensics.reopen import Origin
    from forensics.store import DiskStore

__all__ = ["add_apart", "read_apart"]

ROUND = 8
"""Files for each worker that are read before they are made part of the case; what a killed process loses at most."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One file to read: under which name, after which others, and into which folder of which case."""

    file: EvidenceFile
    source: str
    options: ReadOptions
    earlier: tuple[Origin, ...]
    case: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a task: the file's row of ``sources``, or the error that left nothing of it."""

    row: dict[str, object] = field(default_factory=dict)
    modified: int | None = None
    troubles: list[EvidenceError] = field(default_factory=list)
    error: ForensicsError | None = None


def add_apart(
    store: DiskStore,
    engine: Engine,
    files: Sequence[EvidenceFile],
    options: ReadOptions,
    advance: Callable[[int, str | None], object],
) -> list[EvidenceError]:
    """Have the workers of an engine read files into a case.

    Parameters
    ----------
    store
        The case. The workers see its folder and the files under the same paths as this process.
    engine
        The engine.
    files
        The files, in the order in which they are read.
    options
        What the analyst says about them.
    advance
        Told of the bytes that were read, and of the file.

    Returns
    -------
    list of EvidenceError
        What was wrong with files of which nothing could be read.

    Raises
    ------
    TimezoneNeededError
        Times of a file carry no zone and ``options`` give none; files before it stay.
    CaseError
        The case cannot be written; a worker failed.
    """
    with writing(store.folder):
        store.apart.mkdir()
    failed: list[EvidenceError] = []
    try:
        size = ROUND * engine.readers
        for some in (files[place : place + size] for place in range(0, len(files), size)):
            tasks = _tasks(store, some, options)
            outcomes = dict(zip(tasks, _read(engine, list(tasks.values())), strict=True))
            for file in some:
                advance(0, file.name)
                if file in tasks:
                    failed += _taken(store, engine, tasks[file], outcomes[file])
                    advance(file.size or 0, None)
                else:
                    failed += add_file(store, file, options, lambda count: advance(count, None))
    finally:
        shutil.rmtree(store.apart, ignore_errors=True)
    return failed


def _tasks(store: DiskStore, files: Sequence[EvidenceFile], options: ReadOptions) -> dict[EvidenceFile, _Task]:
    """Return the tasks of files that are new, as if each of them became part of the case under a name of its own."""
    taken = names_of(store)
    tasks: dict[EvidenceFile, _Task] = {}
    for file in files:
        if file.path is not None and known_file(store, file) is None:
            source = free_name(file.name, taken)
            taken.add(source)
            tasks[file] = _task(store, file, source, options)
    return tasks


def _task(store: DiskStore, file: EvidenceFile, source: str, options: ReadOptions) -> _Task:
    path = file.path.absolute() if file.path else None
    folder = store.folder.absolute()
    earlier = tuple(origin for origin in store.origins.values() if origin.source != source)
    return _Task(replace(file, path=path), source, options, earlier, folder, folder / store.apart.name / uuid4().hex)


def _read(engine: Engine, tasks: list[_Task]) -> list[_Outcome]:
    if not tasks:
        return []
    done = engine.map_files(read_apart, [pickle.dumps(task) for task in tasks])
    return [pickle.loads(outcome) for outcome in done]  # noqa: S301  # our own, from our own workers


def read_apart(task: bytes) -> bytes:
    """Read one file; runs in a worker.

    Parameters
    ----------
    task
        What to read, pickled.

    Returns
    -------
    bytes
        What became of it, pickled.
    """
    asked: _Task = pickle.loads(task)  # noqa: S301  # our own
    file, modified = asked.file, asked.file.modified  # before the first byte is read: a later change is then noticed
    troubles: list[EvidenceError] = []
    try:
        with writing(asked.case):
            shutil.rmtree(asked.folder, ignore_errors=True)  # of a worker that was lost
            asked.folder.mkdir()
        rows = StagedRows(asked.case, asked.folder)
        try:
            earlier = [earlier_of(origin) for origin in asked.earlier]
            row = read_file(
                file, rows, source=asked.source, options=asked.options, earlier=earlier, trouble=troubles.append
            )
            rows.close()
        except BaseException:
            rows.discard()
            raise
    except ForensicsError as error:
        return pickle.dumps(_Outcome(error=error))
    return pickle.dumps(_Outcome(row, modified, troubles))


def _taken(store: DiskStore, engine: Engine, task: _Task, outcome: _Outcome) -> list[EvidenceError]:
    """Make a file that was read part of the case, where it is to be one; return its errors as `add_file` does."""
    row, before = outcome.row, store.origins.get(str(outcome.row.get("sha256")))
    if before and before.complete:
        return []
    source = before.source if before else free_name(task.file.name, names_of(store))
    if source != task.source or _missed(store, task, row):
        again = _task(store, task.file, source, task.options)
        [outcome] = _read(engine, [again])
        task, row = again, outcome.row
    if isinstance(outcome.error, EvidenceError) and not isinstance(outcome.error, TimezoneNeededError):
        warn(outcome.error)
        return [outcome.error]
    if outcome.error:
        raise outcome.error
    if is_better(row, before):
        store.take(task.folder, row, task.file.path, outcome.modified)
    return told(row, outcome.troubles)


def _missed(store: DiskStore, task: _Task, row: dict[str, object]) -> bool:
    """Tell whether a file that came before this one, and that its reader did not know, may hold lines of it."""
    fmt, first = row.get("format"), row.get("first")
    if not isinstance(fmt, str) or not isinstance(first, int) or not getattr(all_formats()[fmt], "LINES", False):
        return False
    unknown = (origin for origin in store.origins.values() if origin not in task.earlier)
    facts = (task.source, fmt, str(row["vantage"]), first)
    return any(earlier_of(origin).may_overlap(*facts) for origin in unknown if origin.source != task.source)
