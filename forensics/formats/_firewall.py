"""What logs of firewalls have in common: their lines under syslog, protocols, and sessions told at start and end.

Example: ``src_port=nonzero(sheet.counts(...))``, since a firewall writes port 0 for protocols that have none.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forensics import protocols
from forensics.errors import EvidenceError
from forensics.formats._blocks import in_order
from forensics.formats._clf_fields import behind
from forensics.formats._columns import Bools, Ints
from forensics.formats._hosts import address_of
from forensics.formats._lines import text_of
from forensics.formats._stamps import Civil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from forensics.formats import Evidence
    from forensics.formats._asked import Forwarded
    from forensics.formats._cut import Cut
    from forensics.formats._sheet import Field, Sheet
    from forensics.formats._vocabulary import Words

__all__ = [
    "Sessions",
    "Started",
    "behind_proxies",
    "ends_of",
    "first_then",
    "keys",
    "nonzero",
    "proto_of",
    "sample_of",
    "selected",
    "taken",
]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_I64 = npt.NDArray[np.int64]

SECOND = 1_000_000

MOST_SESSIONS = 1 << 18
"""Sessions of which a start is kept until the end comes, or an end until the start; bounds the memory."""

_LONGEST_PROTOCOL = 16

_ESCAPE = re.compile(r"\\(.)")


def proto_of(text: str) -> str | None:
    """Return a protocol as ``flows`` has it, from its number or its name; None where the text is not like either.

    Examples
    --------
    >>> proto_of("6"), proto_of("UDP"), proto_of("ICMPv6"), proto_of("47]"), proto_of("no name")
    ('tcp', 'udp', 'icmp6', 'ip-47', None)
    """
    text = text.strip().rstrip("]")
    return protocols.proto_of(text) if text.replace("-", "").isalnum() and len(text) <= _LONGEST_PROTOCOL else None


def fitting(lines: list[str], match: Callable[[str], object]) -> int | None:
    """Return the number of the first line that does not fit, from 1, where fewer than half do; else None."""
    fits = [bool(match(line)) for line in lines]
    return None if sum(fits) * 2 >= len(fits) else fits.index(False) + 1


def is_one_of(words: Words, *values: str) -> Bools:
    """Tell which rows have one of some values."""
    found: Bools = np.array([*(value in values for value in words.values), False], np.bool_)[words.codes]
    return found


def unescaped(text: str) -> str:
    """Undo the backslashes of a value."""
    return _ESCAPE.sub(r"\1", text)


def nonzero(values: Ints) -> Ints:
    """Return numbers of which 0 stands for nothing."""
    return Ints(values.values, values.known & (values.values != 0))


class Ends(NamedTuple):
    """Who speaks with whom."""

    src: Words
    src_port: Ints
    dst: Words
    dst_port: Ints
    proto: Words


def ends_of(sheet: Sheet, fields: Sequence[tuple[Field, str]]) -> Ends:
    """Return the ends of connections; what is no address, port or protocol rejects its row.

    Ports are null where they are 0, and for protocols without ports: what stands there is no port.

    Parameters
    ----------
    sheet
        The rows.
    fields
        The columns of the five, in the order of `Ends`, each with its name.
    """
    (src, src_called), sport, (dst, dst_called), dport, (proto, proto_called) = fields
    protos = sheet.words(proto, proto_of, what=proto_called, kind="a protocol")
    ported = is_one_of(protos, *protocols.PORTED) | ~protos.known
    ports = []
    for field, called in (sport, dport):
        port = nonzero(sheet.counts(field, what=None, limit=65_535))
        sheet.reject(ported & ~port.known & ~sheet.nothing(field, (b"-", b"0")), f"{called} is not a port")
        ports.append(Ints(port.values, port.known & ported))
    return Ends(
        sheet.words(src, address_of, what=src_called),
        ports[0],
        sheet.words(dst, address_of, what=dst_called),
        ports[1],
        protos,
    )


def behind_proxies(ends: Ends, forwarded: Words, known: Forwarded) -> tuple[Ends, Words]:
    """Return the ends with the clients behind trusted proxies, and those proxies; the port is that of the proxy.

    Parameters
    ----------
    ends
        Who speaks with whom.
    forwarded
        What ``X-Forwarded-For`` says.
    known
        What is trusted; it counts.
    """
    src = behind(ends.src, forwarded, known)
    passed = src.codes != ends.src.codes
    port = Ints(ends.src_port.values, ends.src_port.known & ~passed)
    return ends._replace(src=src, src_port=port), ends.src.only(passed)


def selected(cut: Cut, rows: Bools) -> Cut:
    """Return some of the records of a cut."""
    if rows.all():
        return cut
    places = np.flatnonzero(rows)
    begin, end = (np.ascontiguousarray(part[:, places]) for part in (cut.begin, cut.end))
    flag = np.ascontiguousarray(cut.flag[:, places])
    line = np.ascontiguousarray(cut.line[places])
    odd, count = cut.odd[places], cut.count[places]
    return replace(cut, number=cut.number[places], line=line, begin=begin, end=end, flag=flag, odd=odd, count=count)


def taken(civil: Civil, rows: _I64) -> Civil:
    """Return some of a column's times."""
    return Civil(civil.local[rows], civil.offset[rows], civil.known[rows])


def sample_of(cut: Cut) -> tuple[int, str]:
    """Return number and text of the first record, for a message."""
    return (int(cut.number[0]), text_of(cut.record(0))) if cut.rows else (1, "")


def first_then(work: Callable[[_Item], _Result], items: Iterator[_Item]) -> Iterator[_Result]:
    """Yield what a function makes of each item; of the first before any other, since it decides for them."""
    for item in islice(items, 1):
        yield work(item)
    yield from in_order(work, items)


class Started(NamedTuple):
    """Sessions of which a block tells that they started, and those of which it tells how they ended.

    Parameters
    ----------
    rows
        Rows of ``flows`` of sessions that started, one for each.
    starts
        What tells each of them from other sessions.
    ends
        The same of the sessions that ended.
    """

    rows: pa.RecordBatch | None
    starts: _I64
    ends: _I64


def keys(*parts: _I64) -> _I64:
    """Return one number for each row that tells it from rows of which any of some numbers differs."""
    made = np.zeros(len(parts[0]), np.uint64)
    for part in parts:
        made = (made ^ part.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        made ^= made >> np.uint64(29)
    return made.astype(np.int64)


class Sessions:
    """Starts of sessions without an end, so that a session that is told twice is counted once.

    An end may come before its start, where the newest records come first. Of each at most `MOST_SESSIONS` are kept:
    the oldest starts are then rows, and counted in ``sessions_not_matched``.

    Parameters
    ----------
    evidence
        The log.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._ended: list[_I64] = []
        self._open: list[tuple[pa.RecordBatch, _I64]] = []

    def take(self, told: Started) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Take what a block tells; yield starts for which there is no room."""
        self._evidence.note("session_starts", len(told.starts))
        if told.rows is not None:
            self._open.append((told.rows, told.starts))
        if len(told.ends):
            self._ended.append(told.ends)
        if self._open:
            self._match()
        while sum(map(len, self._ended)) > MOST_SESSIONS and len(self._ended) > 1:
            self._ended.pop(0)
        while sum(len(starts) for _, starts in self._open) > MOST_SESSIONS:
            rows, starts = self._open.pop(0)
            self._evidence.note("sessions_not_matched", len(starts))
            yield "flows", rows

    def _match(self) -> None:
        """Forget the starts of sessions that ended."""
        ended = np.concatenate(self._ended) if self._ended else np.zeros(0, np.int64)
        left = []
        for rows, starts in self._open:
            kept = ~np.isin(starts, ended)
            if kept.all():
                left.append((rows, starts))
            elif kept.any():
                left.append((rows.filter(pa.array(kept)), starts[kept]))
        self._open = left

    def watch(
        self, made: Iterator[tuple[list[tuple[str, pa.RecordBatch]], Started]]
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield what blocks give, and behind them the starts of sessions that did not end; also before a damage."""
        try:
            for found, told in made:
                yield from found
                yield from self.take(told)
        except EvidenceError:
            yield from self.rest()
            raise
        yield from self.rest()

    def rest(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the starts of sessions that did not end."""
        for rows, starts in self._open:
            self._evidence.note("sessions_without_end", len(starts))
            yield "flows", rows
        self._open = []
