"""One evidence file on its way into a store: known already, read for the first time, or read anew."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from forensics.errors import EvidenceError, TimezoneNeededError
from forensics.escaping import terminal_safe
from forensics.reading import Earlier, EvidenceFile, ReadOptions, read_file, sha256_of
from forensics.reopen import reopened

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from forensics.reopen import Origin
    from forensics.store import Store

__all__ = ["add_file", "earlier_of", "free_name", "headline", "is_better", "known_file", "names_of", "told", "warn"]

_log = logging.getLogger(__name__)


def add_file(
    store: Store, file: EvidenceFile, options: ReadOptions, progress: Callable[[int], object]
) -> list[EvidenceError]:
    """Add one file to a store.

    Parameters
    ----------
    store
        The store.
    file
        The file.
    options
        What the analyst says about it.
    progress
        Called with the number of bytes of each read.

    Returns
    -------
    list of EvidenceError
        What was wrong, where nothing could be read; whatever was wrong goes to the log.

    Raises
    ------
    TimezoneNeededError
        Its times carry no zone and ``options`` give none.
    """
    try:
        known = known_file(store, file)
        if known and known.complete:
            progress(known.size)
            return []
        source = known.source if known else free_name(file.name, names_of(store))
        return _read_file(store, file, source, options, progress)
    except TimezoneNeededError:
        raise
    except EvidenceError as error:
        warn(error)
        return [error]


def _read_file(
    store: Store, file: EvidenceFile, source: str, options: ReadOptions, progress: Callable[[int], object]
) -> list[EvidenceError]:
    troubles: list[EvidenceError] = []
    modified = file.modified  # before the first byte is read: a later change is then noticed
    part = store.begin()
    try:
        earlier = [earlier_of(origin) for origin in store.origins.values() if origin.source != source]
        row = read_file(
            file, part, source=source, options=options, earlier=earlier, progress=progress, trouble=troubles.append
        )
        before = store.origins.get(str(row["sha256"]))
        if is_better(row, before):
            part.commit(row | {"source": before.source if before else source}, file.path, modified)
    finally:
        part.discard()
    return told(row, troubles)


def is_better(row: Mapping[str, object], before: Origin | None) -> bool:
    """Tell whether what was read of a file, as its row of ``sources`` says, is to replace what a case has of it."""
    return before is None or (not before.complete and int(str(row["records"])) >= before.records)


def told(row: Mapping[str, object], troubles: list[EvidenceError]) -> list[EvidenceError]:
    """Put what was wrong with a file into the log; return it where nothing could be read."""
    for error in troubles:
        warn(error)
    return [] if row["records"] else troubles


def earlier_of(origin: Origin) -> Earlier:
    """Return what the reader of another file of the same log needs to know of a file."""
    return Earlier(origin.source, origin.format, origin.vantage, origin.first, origin.last, partial(reopened, origin))


def known_file(store: Store, file: EvidenceFile) -> Origin | None:
    """Return what the case knows of a file; it is hashed only where its size is one that the case holds."""
    if file.path is None or file.size not in {origin.size for origin in store.origins.values()}:
        return None
    return store.origins.get(sha256_of(file))


def names_of(store: Store) -> set[str]:
    """Return the names that the files of a case bear."""
    return {origin.source for origin in store.origins.values()}


def free_name(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number behind it where another file already bears it."""
    names = (name, *(f"{name}~{number}" for number in range(2, len(taken) + 3)))
    return next(free for free in names if free not in taken)


def headline(error: str) -> str:
    """Return what an error says first; what follows, such as the reasons of each format, stands in ``sources``."""
    return error.partition("\n")[0].removesuffix(":")


def warn(error: EvidenceError) -> None:
    """Put the first line of an error into the log, free of what would act on a terminal; ``sources`` holds it whole."""
    _log.warning("%s", terminal_safe(headline(str(error))))
