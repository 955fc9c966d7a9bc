r"""Access logs of McAfee Web Gateway, later Skyhigh Secure Web Gateway: what its log handler writes unless changed.

Example lines: the header, then a request (each is one line)::

    #time_stamp "auth_user" src_ip status_code "req_line" "categories" "rep_level" "media_type" bytes_to_client
    "user_agent" "virus_name" "block_res" "application_name"
    [01/Jun/2015:10:30:00 +0900] "tanaka" 192.0.2.21 200 "GET http://www.example/ HTTP/1.1" "Business, Software"
    "Minimal Risk" "text/html" 4811 "Mozilla/5.0" "" "0" ""

========================  ==========================================================================================
field                     becomes
========================  ==========================================================================================
time_stamp                ``start`` and ``end``: it is written when the request is over, and how long it took is not
src_ip                    ``src``
status_code               ``status``, null where it is 0
req_line                  ``method``, ``url``; its host to ``name``, or ``dst`` if it is an address
bytes_to_client           ``bytes_in``, ``response_bytes`` [B]
bytes_from_client         ``bytes_out``, ``request_bytes`` [B]; only where an administrator added it
media_type                ``content_type``
user_agent, referer       ``user_agent``, ``referer``
block_res                 ``state``: why the gateway blocked a request, as logged; 0 is not blocked
========================  ==========================================================================================

The order is that of ``logformat="mcafee: time_stamp ..."``, else of the log's header, else the one above.

Traps: the header is free text that an administrator wrote once; the rows need not be like it. Where they have another
number of fields, and it is that of the order above (with or without ``application_name``), that order counts and the
note ``header_not_used`` tells. Uploads are null unless logged. Empty quotes are nothing. A request that has to be made
again with a password stands twice, once with status 407. Categories hold commas. Quotes inside a field are not
escaped: such a line is a reject.

Made from the specification: no real file of this format was met.

References
----------
.. [1] McAfee Web Gateway 7.1.5, Product Guide, *Log handler rule sets*, rule *Write access.log*.
.. [2] McAfee community, *Access.log header descriptions*, https://community.mcafee.com/thread/27946
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forensics.errors import EvidenceError
from forensics.formats._blocks import blocks, segments
from forensics.formats._cut import FEW, MANY, divided
from forensics.formats._delimited import Dialect, delimited
from forensics.formats._head import definitions, first_lines
from forensics.formats._hosts import address_of
from forensics.formats._lines import text_of
from forensics.formats._sheet import Ints, Sheet, Vocabulary, Words, finished
from forensics.formats._stamps import Civil, compile_stamp
from forensics.formats._syslog import without_heads
from forensics.formats._zones import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._blocks import Block
    from forensics.formats._cut import I64, Cut

__all__ = [
    "COMPANIONS",
    "EXACT_VOLUMES",
    "LINES_STAND_ALONE",
    "NAME",
    "OBSERVES",
    "STAMP",
    "TITLE",
    "declines",
    "parse",
]

NAME = "mcafee"
TITLE = "McAfee (Skyhigh) Web Gateway access log"
COMPANIONS = ()
EXACT_VOLUMES = False
LINES_STAND_ALONE = False
LINES = True
STAMP = "end"
OBSERVES = ("out", "in")

DEFAULT = (
    "time_stamp", "auth_user", "src_ip", "status_code", "req_line", "categories", "rep_level", "media_type",
    "bytes_to_client", "user_agent", "virus_name", "block_res", "application_name",
)  # fmt: skip
"""The fields that the gateway writes unless changed; older versions write no name of an application."""

NEEDED = {"time_stamp", "src_ip", "req_line"}
ORDERS = {len(DEFAULT): DEFAULT, len(DEFAULT) - 1: DEFAULT[:-1]}

_DIALECT = Dialect(b" ", quote=b'"', brackets=b"[]")
_BARE = compile_stamp("%d/%b/%Y:%H:%M:%S")
_ZONED = compile_stamp("%d/%b/%Y:%H:%M:%S %z")
_STATUS = 999
_LINE = re.compile(r'\[\d\d/[A-Z][a-z]{2}/\d{4}:[\d:]{8}(?: [+-]\d{4})?\] "[^"]*" [^ "]+ (?:\d{1,3}|-) "[^"]*" "')


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no log of this gateway, or None where its header or half of its first lines say it is."""
    try:
        given = definitions(hints.logformat, NAME)
        if given:
            _hinted(given[0])
    except ValueError as error:
        return str(error)
    texts = first_lines(head, hints)
    if any(_named(text) for text in texts):
        return None
    lines = [text for text in texts if not text.startswith("#")]
    if not lines:
        return "it has no lines"
    fitting = [text.startswith("[") if given else _LINE.match(text) is not None for text in lines]
    if sum(fitting) * 2 >= len(fitting):
        return None
    number = texts.index(lines[fitting.index(False)]) + 1
    return f'line {number} is neither a header nor: [time] "user" client status "request" ...'


def _named(text: str) -> tuple[str, ...] | None:
    """Return the fields that a header names, None where it is none."""
    names = tuple(name.strip('"') for name in text.removeprefix("#").split())
    return names if text.startswith("#") and set(names) >= NEEDED else None


def _hinted(definition: str) -> tuple[str, ...]:
    """Return the fields that a hint names."""
    names = _named(f"#{definition.removeprefix('#')}")
    if names is None:
        raise ValueError(f"logformat {NAME!r} needs {', '.join(sorted(NEEDED))}")
    return names


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield exchanges and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If ``hints.logformat`` is no usable definition, no line could be read, or the stream is damaged.
    forensics.errors.TimezoneNeededError
        If the times carry no zone and ``hints.timezone`` is None.
    """
    yield from finished(evidence, NAME, _read(evidence))


def _read(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of a log, each under the header before it."""
    try:
        given = definitions(evidence.hints.logformat, NAME)
        names = _hinted(given[0]) if given else DEFAULT
    except ValueError as error:
        raise EvidenceError(evidence.source, str(error)) from None
    evidence.notes["records"] = 0
    clock, words = Clock(evidence), Vocabulary()
    for block in blocks(evidence):
        bare, heads = without_heads(block)
        for headers, rows in segments(bare):
            for _, text in headers:
                names = names if given else _named(text_of(text)) or names
            if rows.end:
                cut, order = _fitting(rows, names)
                if order is not names:
                    evidence.notes["header_not_used"] = f"its rows have {len(order)} fields, not {len(names)}"
                at = np.int32(len(bare.data) - len(rows.data))
                sheet = Sheet(heads.whole(replace(cut, line=cut.line + at)), evidence, words)
                _Rows(sheet, order, clock, evidence.vantage).put()
                yield from sheet.batches()


def _fitting(rows: Block, names: tuple[str, ...]) -> tuple[Cut, tuple[str, ...]]:
    """Return the fields of rows, and what they are called: as the gateway's own order says, where most are like it."""
    cut = delimited(rows, _DIALECT, len(names))
    other = cut.count[(cut.odd == FEW) | (cut.odd == MANY)]
    if len(other) * 2 <= cut.rows:
        return cut, names
    order = ORDERS.get(int(np.bincount(other).argmax()), names)
    return (cut, names) if len(order) == len(names) else (delimited(rows, _DIALECT, len(order)), order)


class _Rows:
    """The rows of a block, as columns."""

    def __init__(self, sheet: Sheet, names: tuple[str, ...], clock: Clock, vantage: str) -> None:
        self._sheet, self._clock, self._vantage = sheet, clock, vantage
        self._places = {name: place for place, name in reversed(list(enumerate(names)))}

    def put(self) -> None:
        """Put them into the sheet."""
        sheet, places = self._sheet, self._places
        src = sheet.words(places["src_ip"], address_of, what="client")
        sheet.reject(~src.known, "client is not logged")
        line = divided(sheet.cut, places["req_line"], b" ", 2)
        target = divided(line, 1, b" ", 2, from_end=True)
        whole = sheet.nothing((target, 0))  # a request without its version
        target.begin[0, whole], target.end[0, whole] = line.begin[1, whole], line.end[1, whole]
        asked = sheet.targets((line, 0), (target, 0))
        status = self._counts("status_code", "status", _STATUS)
        time = self._times()
        sheet.put(
            "exchanges", start=time, end=time, src=src, dst=asked.address, dst_port=asked.port, proto="tcp",
            service=asked.service, name=asked.name, via=self._vantage, bytes_kind="application",
            bytes_out=self._counts("bytes_from_client", "size"), bytes_in=self._counts("bytes_to_client", "size"),
            state=self._words("block_res"), host=asked.name.otherwise(asked.address), method=sheet.words((line, 0)),
            url=sheet.text((target, 0)), status=status and Ints(status.values, status.values > 0),
            user_agent=self._text("user_agent"), referer=self._text("referer"),
            content_type=self._words("media_type"),
            how=Words.constant("proxy", asked.name.known),
            is_flow=True, is_request=True,
        )  # fmt: skip

    def _counts(self, name: str, what: str, limit: int = 1 << 50) -> Ints | None:
        """Return a column of numbers, None where it is not logged."""
        return self._sheet.counts(self._places[name], what=what, limit=limit) if name in self._places else None

    def _words(self, name: str) -> Words | None:
        """Return a column of texts that repeat, None where it is not logged."""
        return self._sheet.words(self._places[name]) if name in self._places else None

    def _text(self, name: str) -> pa.Array | None:
        """Return a column of texts, None where it is not logged."""
        return self._sheet.text(self._places[name]) if name in self._places else None

    def _times(self) -> I64:
        """Return when the requests were over, in UTC. [us]"""
        sheet, place = self._sheet, self._places["time_stamp"]
        civil = sheet.stamps(place, _ZONED, what=None)
        if not civil.known.all():
            bare = sheet.stamps(place, _BARE, what=None)
            where = civil.known
            local, offset = np.where(where, civil.local, bare.local), np.where(where, civil.offset, bare.offset)
            civil = Civil(local, offset.astype(np.int32), where | bare.known)
            sheet.reject(~civil.known, "time is not a time of its format")
        first = int(np.argmax(sheet.good)) if sheet.rows else 0
        sample = (int(sheet.cut.number[first]), text_of(sheet.cut.record(first))) if sheet.rows else (0, "")
        return self._clock.utc(civil._replace(known=civil.known & sheet.good), sample)
