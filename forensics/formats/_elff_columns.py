"""Columns of logs of the W3C extended format by the names of their fields, and their times.

Example::

    reader = Reader(evidence, NAME, lambda lines: put_requests(lines, PROXY))
    yield from reader.batches()
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._asked import Forwarded
from forensics.formats._blocks import in_order
from forensics.formats._elff import CLIENTS, MOST_FIELDS
from forensics.formats._elff_blocks import cut_of, runs
from forensics.formats._hosts import address_of
from forensics.formats._lines import text_of
from forensics.formats._sheet import Ints, Sheet, Vocabularies, Words, finished
from forensics.formats._stamps import Civil, compile_stamp, joined
from forensics.formats._zones import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import tzinfo

    import pyarrow as pa

    from forensics.formats import Evidence
    from forensics.formats._elff_blocks import Run
    from forensics.formats._sheet import Bools

__all__ = ["Lines", "Reader", "no_numbers", "no_words", "unquoted"]

_DATE, _TIME = compile_stamp("%Y-%m-%d"), compile_stamp("%H:%M:%S.%f")
_WRITTEN = compile_stamp("%d/%b/%Y:%H:%M:%S %z")
_NOTHING = (b"-", b"")
SECOND = 1_000_000


def unquoted(text: str) -> str:
    """Return a quoted text with its doubled quotes undone."""
    return text.replace('""', '"')


def no_numbers(rows: int) -> Ints:
    """Return a column of numbers that the log does not have."""
    return Ints(np.zeros(rows, np.int64), np.zeros(rows, np.bool_))


def no_words(rows: int) -> Words:
    """Return a column of words that the log does not have."""
    return Words(np.full(rows, -1, np.int32), ())


class Lines:
    """The lines of one run: a sheet whose columns go by the names of their fields; of names that stand twice the first.

    Parameters
    ----------
    sheet
        The sheet.
    run
        The lines.
    reader
        What is known of the whole file.
    """

    def __init__(self, sheet: Sheet, run: Run, reader: Reader) -> None:
        self.sheet, self.run, self.reader = sheet, run, reader
        self.rows = sheet.rows
        self._places = {name: place for place, name in reversed(list(enumerate(run.header.fields)))}

    def field(self, *names: str) -> int | None:
        """Return the place of the first of some fields that the log has, None where it has none of them."""
        return next((self._places[name] for name in names if name in self._places), None)

    def words(
        self, *names: str, convert: Callable[[str], str | None] = str, what: str | None = None, kind: str = "an address"
    ) -> Words:
        """Return texts that repeat, of the first of some fields that the log has."""
        place = self.field(*names)
        if place is None:
            return no_words(self.rows)
        return self.sheet.words(place, convert, what=what, kind=kind, null=_NOTHING, undo=unquoted)

    def counts(self, *names: str, what: str | None = None, limit: int = 1 << 50, scale: int = 1) -> Ints:
        """Return whole numbers, of the first of some fields that the log has."""
        place = self.field(*names)
        if place is None:
            return no_numbers(self.rows)
        return self.sheet.counts(place, what=what, null=_NOTHING, limit=limit, scale=scale)

    def ports(self, *names: str) -> Ints:
        """Return ports; 0 is none."""
        found = self.counts(*names, limit=65_535)
        return Ints(found.values, found.known & (found.values > 0))

    def text(self, *names: str) -> pa.Array | None:
        """Return texts that do not repeat, of the first of some fields that the log has."""
        place = self.field(*names)
        return None if place is None else self.sheet.text(place, null=_NOTHING, undo=unquoted)

    def nothing(self, *names: str) -> Bools:
        """Tell which rows have nothing in the first of some fields that the log has."""
        place = self.field(*names)
        return np.ones(self.rows, np.bool_) if place is None else self.sheet.nothing(place, _NOTHING)

    def times(self) -> Ints:
        """Return when the lines were written; a line without a time is rejected. [us since 1970]"""
        place = self.field("timestamp", "x-timestamp-unix")
        if place is not None and self.field("time", "time-local") is None:
            seconds = self.sheet.decimals(place, what="timestamp", null=_NOTHING)
            self.sheet.reject(~seconds.known | (seconds.values < 0), "it has no time")
            return seconds
        civil = self._civil()
        self.sheet.reject(~civil.known, "it has no time")
        good = Civil(civil.local, civil.offset, civil.known & self.sheet.good)
        if not good.known.any():
            return no_numbers(self.rows)
        row = int(np.argmax(good.known))
        sample = int(self.sheet.cut.number[row]), text_of(self.sheet.cut.record(row))
        return Ints(self.reader.clock(self.run.header.zone).utc(good, sample), good.known)

    def _civil(self) -> Civil:
        """Return the times as they are written."""
        place = self.field("time", "time-local")
        if place is None:
            place = self.field("gmttime", "localtime")
            return self.sheet.stamps(place or 0, _WRITTEN, what="time", null=_NOTHING)
        time = self.sheet.stamps(place, _TIME, what="time", null=_NOTHING)
        place = self.field("date", "date-local")
        if place is not None:
            return joined(self.sheet.stamps(place, _DATE, what="date", null=_NOTHING), time)
        days = self.run.days
        if days is None:
            days = np.full(self.rows, -1, np.int64)
        self.sheet.reject(days < 0, "no #Date says the day")
        return Civil(days + time.local, time.offset, time.known & (days >= 0))

    def client(self) -> Words:
        """Return the clients: behind trusted proxies the one that ``X-Forwarded-For`` names."""
        peer = self.words(*CLIENTS, convert=address_of, what="client")
        forwarded = self.words("x-forwarded-for", "cs(x-forwarded-for)", "x_forwarded_for", "s-xff")
        both = peer.known & forwarded.known & self.sheet.good
        if not both.any():
            return peer
        pairs, place = np.unique(peer.codes[both].astype(np.int64) << 32 | forwarded.codes[both], return_inverse=True)
        asked = self.reader.forwarded
        found = [asked.client(peer.values[pair >> 32], forwarded.values[pair & 0xFFFFFFFF]) for pair in pairs.tolist()]
        used = np.array([used for _, used in found], np.bool_)[place]
        asked.count(
            used=int(used.sum()), not_used=int((~used).sum()),
            peers={peer.values[pair >> 32] for pair, (_, used) in zip(pairs.tolist(), found, strict=True) if used},
        )  # fmt: skip
        codes = np.full(self.rows, -1, np.int32)
        codes[both] = place
        return Words.of(codes, [client for client, _ in found]).otherwise(peer)

    def proxy(self, name: str = "s-ip", convert: Callable[[str], str | None] = address_of) -> Words | str:
        """Return the proxies that a field of the log names, else its vantage."""
        vantage = self.reader.evidence.vantage
        named = self.words(name, convert=convert)
        return named.otherwise(Words(np.zeros(self.rows, np.int32), (vantage,))) if named.known.any() else vantage

    def began(self, end: Ints, taken: Ints) -> Ints:
        """Return when requests began that ended at some times and took so long; without that, when they ended. [us]"""
        return Ints(end.values - np.where(taken.known, taken.values, 0), end.known)


class Reader:
    """Reads one log.

    Parameters
    ----------
    evidence
        The log.
    name
        The format that reads it.
    put
        Puts the rows of a run into its sheet.
    quotes
        Tells whether the program that a header names writes quotes around fields.
    """

    def __init__(
        self, evidence: Evidence, name: str, put: Callable[[Lines], None], quotes: Callable[[str], bool] | None = None
    ) -> None:
        self.evidence, self._name, self._put, self._quotes = evidence, name, put, quotes
        self.forwarded = Forwarded(evidence)
        self._vocabularies = Vocabularies()
        self._clocks: dict[tzinfo | None, Clock] = {}
        self._lock = Lock()

    def clock(self, zone: tzinfo | None) -> Clock:
        """Return the clock of a zone that the log names, or of the one that the hints name."""
        with self._lock:
            if zone not in self._clocks:
                self._clocks[zone] = Clock(self.evidence, zone_of_log=zone)
            return self._clocks[zone]

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the rows of the log."""
        made = in_order(self._read, runs(self.evidence, self._name))
        try:
            yield from finished(self.evidence, self._name, (batch for batches in made for batch in batches))
        finally:
            zones = {str(zone or self.evidence.hints.timezone) for zone in self._clocks}
            if "timezone" in self.evidence.notes:  # of several, not the one that a thread was last at
                self.evidence.notes["timezone"] = ", ".join(sorted(zones))

    def _read(self, run: Run) -> list[tuple[str, pa.RecordBatch]]:
        """Return the rows of a run."""
        fields = run.header.fields
        cut = cut_of(run, quotes=self._quotes is None or self._quotes(run.header.software))
        trouble = None
        if not fields:
            trouble = "no #Fields line stands before it"
        elif len(fields) > MOST_FIELDS:
            trouble = f"the #Fields line names {len(fields)} fields, more than {MOST_FIELDS}"
        elif not set(fields).intersection(CLIENTS):
            trouble = "the #Fields line names no client"
        elif not {"time", "time-local", "timestamp", "x-timestamp-unix", "gmttime", "localtime"} & set(fields):
            trouble = "the #Fields line names no time"
        if trouble:
            cut.odd[:] = 0
        sheet = Sheet(cut, self.evidence, self._vocabularies.own)
        if trouble:
            sheet.reject(np.ones(sheet.rows, np.bool_), trouble)
        else:
            self._put(Lines(sheet, run, self))
        return list(sheet.batches())
