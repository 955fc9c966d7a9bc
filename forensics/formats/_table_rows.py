"""From the records of a described table to rows, by the same rules as for logs.

Example: ``yield from TableRows(evidence, table).batches(cut)``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats._description import COUNTS
from forensics.formats._fields import MOST, Fields
from forensics.formats._hosts import address_of, name_of
from forensics.formats._sheet import Ints, Sheet, Vocabulary, Words
from forensics.formats._stamps import compile_stamp
from forensics.formats._table_cuts import undo_of
from forensics.formats._times import LATEST
from forensics.formats._zones import Clock
from forensics.protocols import proto_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from forensics.formats import Evidence
    from forensics.formats._columns import Bools
    from forensics.formats._cut import Cut
    from forensics.formats._description import Column, TableDescription

__all__ = ["TableRows"]

_REQUEST = ("url", "method", "status", "user_agent", "referer", "content_type")
_MOST_PORT = 65_535


class _Asked(NamedTuple):
    """The servers of the rows."""

    dst: Words | None
    name: Words | None
    port: Ints | None
    service: Words | None


class TableRows:
    """Makes rows of one table.

    Parameters
    ----------
    evidence
        The table; its hints have the zone.
    table
        Its description.
    """

    def __init__(self, evidence: Evidence, table: TableDescription) -> None:
        self._evidence, self._table = evidence, table
        self._clock, self._words = Clock(evidence), Vocabulary()
        self._places: Mapping[str, int] = {}
        self._null = tuple(text.encode() for text in table.null if text) or (b"",)
        self._undo = undo_of(table)

    def batches(self, cut: Cut, places: Mapping[str, int]) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield what becomes of some records, of which the named fields have these numbers."""
        self._places = places
        kept = self._only(cut)
        sheet = Sheet(cut if kept is None else _rows(cut, kept), self._evidence, self._words)
        if kept is not None:
            sheet.note("records", int((~kept).sum()))
            sheet.note("passed_over", int((~kept).sum()))
        self._put(sheet)
        yield from sheet.batches()

    def _only(self, cut: Cut) -> Bools | None:
        """Return which records count; None where all do. One that cannot be read does: it will be a reject."""
        if not self._table.only:
            return None
        sheet = Fields(cut, self._words)
        kept = np.ones(cut.rows, np.bool_)
        for name, values in self._table.only.items():
            words = sheet.words(self._places[name], null=b"", undo=self._undo)
            wanted = np.array([*(value in values for value in words.values), "" in values], np.bool_)
            kept &= wanted[words.codes]
        return kept | ~sheet.good

    def _put(self, sheet: Sheet) -> None:
        """Put the rows of a sheet into tables."""
        if self._table.pattern is not None:
            sheet.reject(sheet.cut.count == 0, "the line does not fit the pattern")
        start, end = self._times(sheet)
        src = self._text(sheet, "src", address_of, what="src")
        if src is None:
            raise ValueError("a description has a src")
        asked = self._asked(sheet)
        proto = self._text(sheet, "proto", proto_of, what="proto", kind="a protocol")
        columns: dict[str, object] = {
            "start": start, "end": end, "src": src, "dst": asked.dst, "name": asked.name, "dst_port": asked.port,
            "service": asked.service, "proto": proto, "bytes_kind": self._table.bytes_kind,
            "via": self._text(sheet, "via", _host),
            "state": self._text(sheet, "state", str),
        }  # fmt: skip
        columns |= {name: self._count(sheet, name) for name in COUNTS if name in self._table.columns}
        columns |= {"src_port": self._number(sheet, "src_port", _MOST_PORT)}
        given = {name: value for name, value in columns.items() if value is not None}
        if any(name in self._table.columns for name in _REQUEST):
            self._put_requests(sheet, given, asked)
        else:
            sheet.put("flows", None, **given)

    def _put_requests(self, sheet: Sheet, columns: dict[str, object], asked: _Asked) -> None:
        """Put rows that are flow and request."""
        host = asked.name if asked.dst is None else asked.name.otherwise(asked.dst) if asked.name else asked.dst
        more: dict[str, object] = {
            "host": host, "method": self._text(sheet, "method", str.upper),
            "status": self._number(sheet, "status", 999),
            "content_type": self._text(sheet, "content_type", str),
        }  # fmt: skip
        for name in ("url", "user_agent", "referer"):
            if (column := self._table.columns.get(name)) is not None:
                more[name] = sheet.text(self._places[column.field], null=self._null, undo=self._undo)
        if asked.name is not None:
            more["how"] = Words.constant("proxy", asked.name.known)
        given = {name: value for name, value in more.items() if value is not None}
        sheet.put("exchanges", None, **columns, **given, is_flow=True, is_request=True)

    def _asked(self, sheet: Sheet) -> _Asked:
        """Return the servers: what columns of their own say, else what the URL says."""
        dst = self._text(sheet, "dst", address_of, what="dst")
        name = self._text(sheet, "name", _only_name)
        numeric = self._text(sheet, "name", address_of)
        dst = numeric if dst is None else dst if numeric is None else dst.otherwise(numeric)
        port, service = self._number(sheet, "dst_port", _MOST_PORT), self._text(sheet, "service", str.lower)
        if "url" in self._table.columns:
            url, method = self._place("url"), self._place("method" if "method" in self._table.columns else "url")
            found = sheet.targets(method, url, null=self._null, undo=self._undo)
            name = found.name if name is None else name.otherwise(found.name)
            dst = found.address if dst is None else dst.otherwise(found.address)
            service = found.service if service is None else service.otherwise(found.service)
            port = found.port if port is None else port.otherwise(found.port)
        return _Asked(dst, name, port, service)

    def _place(self, name: str) -> int:
        """Return the field of one of our columns."""
        return self._places[self._table.columns[name].field]

    def _text(
        self, sheet: Sheet, name: str, convert: Callable[[str], str | None], *, what: str | None = None,
        kind: str = "an address",
    ) -> Words | None:  # fmt: skip
        """Return a column of texts; None where the table has none."""
        if name not in self._table.columns:
            return None
        return sheet.words(self._place(name), convert, what=what, kind=kind, null=self._null, undo=self._undo)

    def _number(self, sheet: Sheet, name: str, limit: int) -> Ints | None:
        """Return a port or status; None where the table has none."""
        if name not in self._table.columns:
            return None
        return sheet.counts(self._place(name), what=name, null=self._null, limit=limit)

    def _count(self, sheet: Sheet, name: str) -> Ints:
        """Return bytes or packets."""
        times = int(self._table.columns[name].times)
        if times == 1:
            return sheet.counts(self._place(name), what=name, null=self._null)
        found = sheet.decimals(self._place(name), what=name, null=self._null, unit=times, limit=MOST // times)
        sheet.reject(found.known & (found.values < 0), f"{name} is below 0")
        return found

    def _times(self, sheet: Sheet) -> tuple[Ints, Ints]:
        """Return start and end of each row."""
        columns = self._table.columns
        found = {name: self._moments(sheet, name, columns[name]) for name in ("start", "end") if name in columns}
        elapsed = None
        if "elapsed" in columns:
            unit = int(columns["elapsed"].times * 1_000_000)
            limit = LATEST * 1_000_000 // unit
            elapsed = sheet.decimals(self._place("elapsed"), what="elapsed", null=self._null, unit=unit, limit=limit)
            sheet.reject(elapsed.known & (elapsed.values < 0), "elapsed is below 0")
        if len(found) == 2:
            start, end = found["start"], found["end"]
            end = Ints(np.where(end.known, end.values, start.values), start.known)
            sheet.reject(end.known & (end.values < start.values), "end is before start")
            return start, end
        ((name, moment),) = found.items()
        if elapsed is None:
            return moment, moment
        other = np.where(elapsed.known, elapsed.values, 0)
        if columns[name].stamps == "end":
            sheet.reject(moment.known & (moment.values < other), "start is before 1970")
            return Ints(np.maximum(moment.values - other, 0), moment.known), moment
        return moment, Ints(moment.values + other, moment.known)

    def _moments(self, sheet: Sheet, name: str, column: Column) -> Ints:
        """Return a column of times."""
        field = self._places[column.field]
        if column.format == "epoch":
            return self._epoch(sheet, name, field)
        civil = sheet.stamps(field, compile_stamp(column.format), what=name, null=self._null)
        usable = civil._replace(known=civil.known & sheet.good)
        first = int(np.argmax(usable.known)) if usable.known.any() else 0
        line = sheet.cut.record(first).decode("utf-8", "backslashreplace") if sheet.rows else ""
        sample = int(sheet.cut.number[first]) if sheet.rows else 0, line
        times = self._clock.utc(usable, sample)
        unbelieved = usable.known & ((times < 0) | (times > LATEST * 1_000_000))
        sheet.reject(unbelieved, f"{name} is none that a log can hold")
        return Ints(np.where(unbelieved, 0, times), usable.known & ~unbelieved)

    def _epoch(self, sheet: Sheet, name: str, field: int) -> Ints:
        """Return a column of Unix times: whole ones in the unit that their magnitude tells, decimal ones in seconds."""
        whole = sheet.counts(field, what=None, null=self._null, limit=(1 << 62) - 1)
        if whole.known.all():
            parts = Ints(np.zeros_like(whole.values), np.zeros_like(whole.known))
        else:
            parts = sheet.decimals(field, what=None, null=self._null)
            nothing = sheet.nothing(field, self._null)
            sheet.reject(~whole.known & ~parts.known & ~nothing, f"{name} is no Unix time")
        found = self._clock.epoch(whole, column=name)
        for where, reason in found.refused:
            sheet.reject(where, reason)
        decimal = parts.known & ~whole.known
        sheet.reject(decimal & (parts.values < 0), f"{name} is before 1970")
        values = np.where(decimal, np.maximum(parts.values, 0), found.values)
        return Ints(values, found.known | decimal)


def _rows(cut: Cut, kept: Bools) -> Cut:
    """Return some records of a cut."""
    pick = np.flatnonzero(kept)
    return replace(
        cut, number=cut.number[pick], line=np.ascontiguousarray(cut.line[pick]),
        begin=np.ascontiguousarray(cut.begin[:, pick]), end=np.ascontiguousarray(cut.end[:, pick]),
        flag=np.ascontiguousarray(cut.flag[:, pick]), odd=cut.odd[pick], count=cut.count[pick],
    )  # fmt: skip


def _host(text: str) -> str | None:
    """Return an address or a name."""
    return address_of(text) or name_of(text)


def _only_name(text: str) -> str | None:
    """Return a name; nothing where it is an address."""
    return "" if address_of(text) else name_of(text)
