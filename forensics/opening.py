"""How a case begins: evidence read into one in memory, or a folder that holds one.

Example::

    case = read("capture.pcapng", "gateway/access.log.gz", timezone="Asia/Tokyo")
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.case import Case
from forensics.engines import engine_of
from forensics.errors import CaseError
from forensics.memory import MemoryStore
from forensics.reading.options import zone_of
from forensics.store import DiskStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.engines import EngineLike
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
    engine: EngineLike | None = None,
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
    engine
        What runs the queries: ``duckdb``, which is the default, or Apache Spark on this machine (``local[4]``, or a
        session of Spark). The evidence is read here in either case.

    Returns
    -------
    Case
        The case; see `Case.add` for what happens to files that cannot be read.

    Raises
    ------
    EvidenceError
        As `Case.add`.
    CaseError
        An option is not usable; the engine is a cluster, which does not see the memory of this machine.
    MissingToolError
        PySpark or Java is not installed, or Spark does not start.
    """
    names = ", ".join(Path(str(item)).name for item in evidence if isinstance(item, str | os.PathLike))
    store = MemoryStore()
    runs = None if engine is None else engine_of(engine, store.folder)  # DuckDB begins with the first query
    if runs is not None and not runs.local:
        raise CaseError("a cluster does not see a case in memory: open_case a folder that all of its machines see")
    case = Case(store, title=title or names or "case", timezone=zone_of(timezone or "UTC"), engine=runs)
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
    engine: EngineLike | None = None,
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
    engine
        What runs the queries and reads evidence: ``duckdb``, which is the default, the URL of a Spark master
        (``local[4]``, ``spark://host:7077``), or a session of Spark. All machines of a cluster must see the case's
        folder and the evidence under the same paths. It is not a property of the case: the next one may use another.

    Returns
    -------
    Case
        The case, with all that was added to it before.

    Raises
    ------
    CaseError
        The folder holds something else, a case of another schema, or a damaged one; the zone is not known; there is no
        such engine.
    MissingToolError
        PySpark or Java is not installed, or Spark does not start.
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
        engine=None if engine is None else engine_of(engine, store.folder),
    )
