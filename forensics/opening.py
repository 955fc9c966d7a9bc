"""How a case begins: evidence read into one in memory, or a folder that holds one.

Example::

    case = read("capture.pcapng", "gateway/access.log.gz", timezone="Asia/Tokyo")
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.case import Case
from forensics.memory import MemoryStore
from forensics.reading.options import zone_of
from forensics.store import DiskStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.reading import EvidenceLike, Limits, TableLike

__all__ = ["open_case", "read"]


def read(
    *evidence: EvidenceLike,
    timezone: str | None = None,
    year: int | None = None,
    logformat: str | None = None,
    encoding: str | None = None,
    trusted_proxies: Sequence[str] = (),
    table: TableLike | None = None,
    vantage: str | None = None,
    title: str | None = None,
    limits: Limits | None = None,
    progress: bool | None = None,
) -> Case:
    """Read evidence into a case in memory; what is beyond a bound lies in a temporary folder that goes with the case.

    Parameters
    ----------
    *evidence
        Paths, folders, globs, open binary files.
    timezone
        IANA zone of times that carry none and of the report; UTC for the report where it is not given.
    year, logformat, encoding, trusted_proxies, table, vantage
        What is known about the evidence, as for `Case.add`.
    title
        What the report and the pictures call the case; by default the names of the evidence.
    limits
        How far compressed files may grow.
    progress
        Whether to show a progress bar; by default in terminals and notebooks.

    Returns
    -------
    Case
        The case; see `Case.add` for what happens to files that cannot be read.

    Raises
    ------
    EvidenceError
        As `Case.add`.
    CaseError
        An option is not usable.
    """
    names = ", ".join(Path(str(item)).name for item in evidence if isinstance(item, str | os.PathLike))
    case = Case(MemoryStore(), title=title or names or "case", timezone=zone_of(timezone or "UTC"))
    return case.add(
        *evidence,
        timezone=timezone,
        year=year,
        logformat=logformat,
        encoding=encoding,
        trusted_proxies=trusted_proxies,
        table=table,
        vantage=vantage,
        limits=limits,
        progress=progress,
    )


def open_case(
    folder: str | os.PathLike[str],
    *,
    title: str | None = None,
    timezone: str | None = None,
    log_timezone: str | None = None,
) -> Case:
    """Open the case in a folder, or make a new one there.

    Parameters
    ----------
    folder
        The case's folder. What it holds is described in `forensics.store`.
    title
        Title of a new case; by default the folder's name. An existing case keeps its own.
    timezone
        IANA zone of a new case's report and office hours; by default UTC. An existing case keeps its own.
    log_timezone
        IANA zone of logs whose times carry none, which holds wherever `Case.add` is not told another. An existing case
        keeps its own where none is given, and takes the new one with what is added next.

    Returns
    -------
    Case
        The case, with all that was added to it before.

    Raises
    ------
    CaseError
        The folder holds something else, a case of another schema, or a damaged one; the zone is not known.
    """
    path = Path(folder)
    given = {"log_timezone": str(zone_of(log_timezone))} if log_timezone else {}
    store = DiskStore(
        path, {"title": title or path.resolve().stem, "timezone": str(zone_of(timezone or "UTC"))} | given
    )
    store.settings |= given
    return Case(
        store,
        title=store.settings["title"],
        timezone=zone_of(store.settings["timezone"]),
        log_timezone=store.settings.get("log_timezone"),
    )
