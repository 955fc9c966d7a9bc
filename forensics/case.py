"""A case: the tables of one investigation with their provenance, in memory or on disk.

Example::

    import forensics as fx

    case = fx.open_case("jps.case")
    case.add("evidence/", timezone="Asia/Tokyo")
    case.sql("SELECT dst, sum(bytes_out) AS bytes FROM flows GROUP BY dst ORDER BY bytes DESC")
"""

from __future__ import annotations

from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.adding import add_file
from forensics.apart import add_apart
from forensics.cuts import MOST_PACKETS, export_packets, find_cuts, read_packets
from forensics.engines import VIEWS, engine_of, keeping
from forensics.errors import CaseError, EvidenceError, QueryError
from forensics.escaping import markup_safe
from forensics.reading import (
    EvidenceFile,
    EvidenceLike,
    Limits,
    ReadOptions,
    companion_names,
    find_evidence,
    in_order,
    progress_bar,
)
from forensics.schema import TABLES, TIME
from forensics.selection import selection_text
from forensics.silences import tell_silences
from forensics.store import HIDDEN, DiskStore
from forensics.views import View

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from zoneinfo import ZoneInfo

    import pyarrow as pa

    from forensics.engines import Engine
    from forensics.packets.seek import Packet
    from forensics.reading import TableLike
    from forensics.reopen import Origin
    from forensics.selection import Rows
    from forensics.store import Store

__all__ = ["Case"]


class Case:
    """The tables of one investigation. Made by `forensics.opening.read` or `forensics.opening.open_case`.

    Parameters
    ----------
    store
        Where its tables lie.
    title
        What the report calls it.
    timezone
        Zone in which the report shows times and in which office hours are reckoned.
    log_timezone
        Name of the zone of logs whose times carry none, where `add` is not told another.
    engine
        What runs its queries; DuckDB where none is given.
    """

    def __init__(
        self,
        store: Store,
        *,
        title: str,
        timezone: ZoneInfo,
        log_timezone: str | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._store = store
        self._chosen = engine
        self.title = title
        self.timezone = timezone
        self.log_timezone = log_timezone

    @cached_property
    def _engine(self) -> Engine:
        """What runs the queries; it begins with the first of them, so that who only adds evidence need not wait."""
        engine = self._chosen or engine_of(None, self._store.folder)
        self._store.register(engine)
        return engine

    @property
    def flows(self) -> View:
        """Connections of captures and flow logs, requests of proxy logs."""
        return self._table("flows")

    @property
    def volumes(self) -> View:
        """Bytes and packets of each pair in each minute."""
        return self._table("volumes")

    @property
    def names(self) -> View:
        """What servers were called, when, and by whom."""
        return self._table("names")

    @property
    def requests(self) -> View:
        """HTTP requests of captures, proxies and sensors."""
        return self._table("requests")

    @property
    def fingerprints(self) -> View:
        """What programs gave away of themselves: JA3, JA4, ALPN, SSH versions, subjects of certificates."""
        return self._table("fingerprints")

    @property
    def rejects(self) -> View:
        """Every record that could not be read, with its reason."""
        return self._table("rejects")

    @property
    def sources(self) -> View:
        """The evidence files: hash, size, span, what was assumed, what could not be read."""
        return self._table("sources")

    def sql(self, query: str, **tables: pa.Table) -> View:
        """Return the rows of one SELECT over the case's tables.

        Parameters
        ----------
        query
            One SELECT in the dialect of the case's engine; a semicolon may end it. It writes nothing. On DuckDB it sees
            the tables of this case and nothing else of the machine; on Spark also the tables that the session's
            catalog holds.
        **tables
            Arrow tables of your own that the query may use, by name: a list of addresses to look for, for example.

        Returns
        -------
        View
            The rows, in the order that the query gives them. Whole numbers are 64 bits wide, sums too, unless they do
            not fit.

        Raises
        ------
        QueryError
            A table of your own bears the name of one of the case. When the rows are fetched: the query is wrong, or is
            not one SELECT.
        """
        taken = {name for name in tables if name.lower() in {*TABLES, *VIEWS, *HIDDEN.values()}}
        if taken:
            raise QueryError(f"the case has a table {min(taken)} already: give yours another name")
        return View(self._engine, self._engine.bare(query), tables=tables)

    def add(
        self,
        *evidence: EvidenceLike,
        timezone: str | None = None,
        year: int | None = None,
        logformat: str | None = None,
        encoding: str | None = None,
        trusted_proxies: Sequence[str] = (),
        table: TableLike | None = None,
        vantage: str | None = None,
        limits: Limits | None = None,
        progress: bool | None = None,
    ) -> Case:
        """Read evidence into the case and return the case.

        A file whose SHA-256 the case already holds is not added again, unless it could not be read to its end: then
        it is read anew, and what is read replaces what the case holds of it where it is not less. One bad file never
        stops the others: why a file could not be read, or not to its end, stands in ``sources`` and goes to the log.
        A file that the operating system cannot read has no SHA-256 and is only in the log. The case's own files are
        never its evidence. The parts of a rotated log are read in order of time, and are of one vantage;
        where it is silent against its habit, ``sources`` tells it as a gap.

        Parameters
        ----------
        *evidence
            Paths, folders, globs, open binary files.
        timezone
            IANA zone of times that carry none, for example ``Asia/Tokyo``; by default the case's ``log_timezone``.
        year
            Year of each file's newest record, of logs whose times carry none.
        logformat
            How lines are made up: ``<format>: <definition>``, several of them one a line; without a format's name a
            Squid ``logformat``. Formats with a fixed layout need none.
        encoding
            Encoding of logs: ``cp932``, ``euc-jp``, ``utf-16-le``; by default each file tells.
        trusted_proxies
            Addresses or networks of proxies whose ``X-Forwarded-For`` is believed; by default nobody's is.
        table
            Path of a TOML file that says which columns of a table are which of ours: all files are read as such tables.
        vantage
            Where this evidence was recorded; by default each file's name without its suffixes.
        limits
            How far compressed files may grow.
        progress
            Whether to show a progress bar; by default in terminals and notebooks.

        Raises
        ------
        EvidenceError
            A path does not exist; nothing at all could be read of the only file, or of any of several. The error is
            that of the first file, so that an `UnknownFormatError` says why each format declined.
        TimezoneNeededError
            Times carry no zone and ``timezone`` is not given.
        YearNeededError
            Times carry no year, the file's name tells none, and ``year`` is not given.
        CaseError
            Another process is adding to the case; the case cannot be written; an option is not usable.
        """
        options = ReadOptions.of(
            timezone=timezone or self.log_timezone,
            year=year,
            logformat=logformat,
            encoding=encoding,
            trusted_proxies=trusted_proxies,
            table=table,
            vantage=vantage,
            limits=limits,
        )
        found = find_evidence(*evidence, beside=companion_names)
        files = in_order([file for file in found if not self._is_own(file)], options)
        with self._store.adding():
            failed = self._add_files(files, options, progress=progress)
            if tell_silences(self._store, self.sql, self.timezone):
                self._register()
        if failed and len(failed) == len(files):
            raise failed[0]
        return self

    def _add_files(
        self, files: Sequence[EvidenceFile], options: ReadOptions, *, progress: bool | None
    ) -> list[EvidenceError]:
        """Read files into the case; return the errors of those of which nothing could be read."""
        known = [file.size for file in files]
        total = sum(size for size in known if size is not None) if None not in known else None
        failed: list[EvidenceError] = []
        try:
            with progress_bar(total, show=progress) as advance:
                if self._chosen and self._chosen.readers > 1 and isinstance(self._store, DiskStore):
                    return add_apart(self._store, self._chosen, files, options, advance)
                for file in files:
                    advance(0, file.name)
                    failed += add_file(self._store, file, options, lambda count: advance(count, None))
        finally:
            self._register()  # what was added before an error stays
        return failed

    def _is_own(self, file: EvidenceFile) -> bool:
        return file.path is not None and self._store.holds(file.path)

    def keeping(self) -> AbstractContextManager[None]:
        """Work out once what many questions need, until the end of a block to which no evidence is added."""
        return keeping(self._engine)

    def _register(self) -> None:
        """Tell the engine that the tables have changed, where it has begun."""
        if "_engine" in vars(self):
            self._store.register(self._engine)

    def packets(self, rows: Rows, *, limit: int = MOST_PACKETS, verify: bool = False) -> list[Packet]:
        """Return the captured packets behind rows, each as it was captured.

        They are found through the index that was made when the captures were read: of a capture that is not compressed
        only the parts that hold them are read, a compressed one is expanded up to the last of them.

        Parameters
        ----------
        rows
            A row of ``flows`` or a finding (a mapping, or a row of a data frame), several of them (a data frame, a
            view, an Arrow table, a list), or a condition on the columns of ``flows`` in SQL: ``"dst = '203.0.113.7'"``.
        limit
            Most packets to return, the first ones. They are held in memory.
        verify
            Whether to compare the SHA-256 of each capture first, which reads the whole of it. Otherwise a capture
            counts as unchanged where its size and time of modification are; where only the time differs, the SHA-256
            decides.

        Returns
        -------
        list of forensics.packets.seek.Packet
            In the order of captures by name, and of packet numbers.

        Raises
        ------
        EvidenceError
            No captured packet is behind the rows (they may come from a log), or a capture is no longer where it was,
            or has changed.
        QueryError
            The condition is no SQL.
        ValueError
            ``limit`` is below 1.
        """
        if limit < 1:
            raise ValueError(f"limit is {limit}, it must be 1 or more")
        return list(islice(self.iter_packets(rows, verify=verify), limit))

    def iter_packets(self, rows: Rows, *, verify: bool = False) -> Iterator[Packet]:
        """Return the captured packets behind rows one by one: as `packets`, but however many there are.

        Parameters
        ----------
        rows, verify
            As for `packets`.

        Yields
        ------
        forensics.packets.seek.Packet
            In the order of captures by name, and of packet numbers.

        Raises
        ------
        EvidenceError, QueryError
            As `packets`.
        """
        yield from read_packets(find_cuts(self.sql, self._store, self.title, rows), verify=verify)

    def export_packets(self, rows: Rows, path: str | os.PathLike[str], *, verify: bool = False) -> int:
        """Write the captured packets behind rows into a pcapng file, for Wireshark or whoever must see them.

        Packets keep their bytes, their times, to the nanosecond, and their lengths; each has its number in the evidence
        as a comment, and the file's own comments say of which evidence it is a part. The same rows of the same case
        give the same file, byte for byte. It appears under its name once it is whole.

        Parameters
        ----------
        rows
            As for `packets`.
        path
            The file to write. A file of that name is replaced, unless it is evidence of the case.
        verify
            As for `packets`.

        Returns
        -------
        int
            Packets that were written.

        Raises
        ------
        EvidenceError
            As `packets`; the path is that of evidence.
        QueryError
            The condition is no SQL.
        OSError
            The file cannot be written.
        """
        target = Path(path)
        if self._is_own(EvidenceFile(target.name, target)):
            raise CaseError(f"{target} lies in the folder of the case: name a file somewhere else")
        for origin in self._store.origins.values():
            if origin.is_at(target):
                raise EvidenceError(origin.source, f"is evidence and lies at {target}: name another file")
        return export_packets(
            find_cuts(self.sql, self._store, self.title, rows), target, selection=selection_text(rows), verify=verify
        )

    def origin(self, source: str) -> Origin:
        """Return what the case knows of an evidence file besides its rows, to look at its packets or lines once more.

        Its path is None where it was handed over as an open file.

        Raises
        ------
        EvidenceError
            The case holds no such source.
        """
        origins = {origin.source: origin for origin in self._store.origins.values()}
        if source not in origins:
            known = ", ".join(sorted(origins)) or "no evidence"
            raise EvidenceError(source, f"is not in this case, which holds {known}")
        return origins[source]

    def __repr__(self) -> str:
        return f"<Case {self.title!r}: " + ", ".join(f"{n:,} {name}" for name, n in self._counts().items()) + ">"

    def _repr_html_(self) -> str:
        """Show in a notebook what the case holds; everything evidence wrote is escaped."""
        counts = " · ".join(f"{n:,} {name}" for name, n in self._counts().items())
        return f"<h4>{markup_safe(self.title)}</h4><p>{counts}</p>{self.sources._repr_html_()}"

    def _counts(self) -> dict[str, int]:
        return {name: len(self._table(name)) for name in TABLES}

    def _table(self, name: str) -> View:
        # Rows that are equal in the columns of the order are told apart by the others: one case, one order.
        table = TABLES[name]
        order = dict.fromkeys((*table.order, *table.schema.names))
        timed = table.schema.field(table.order[0]).type == TIME
        return View(self._engine, f'SELECT * FROM "{name}"', tuple(order), timed=timed)  # noqa: S608  # a table of ours
