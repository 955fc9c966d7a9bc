"""Forcepoint (Websense) web security: what it sends to a SIEM as key=value, CEF or LEEF, and its cloud's traffic logs.

Example line (in one line)::

    May 21 10:00:00 gw vendor=Forcepoint product=Security product_version=8.5.0 action=permitted severity=1 category=153
    user=- src_host=192.0.2.21 src_port=62189 dst_host=mail.example dst_ip=203.0.113.7 dst_port=443 bytes_out=197 ...

=================================  =================================================================================
key (key=value; CEF; LEEF)         becomes
=================================  =================================================================================
time of syslog; rt; of syslog      ``start``, ``end``; of the cloud DateAndTime
src_host; src; src                 ``src``, and the port ``src_port``
dst_ip; dst; dst                   ``dst``, null where it is 0.0.0.0
url; request; url                  ``url``; its host to ``name`` and ``names``, its port to ``dst_port``
bytes_out; out; srcBytes           ``bytes_out`` [B]; of the cloud RequestSize
bytes_in; in; dstBytes             ``bytes_in`` [B]; of the cloud ResponseSize
action; act; name of the event     ``state``; of the cloud the number of the disposition
dvc (CEF)                          ``via``, the proxy; else the vantage
=================================  =================================================================================

Traps: what is sent is set by a template; these are the predefined ones. Addresses may be written as one number. A row
of the cloud stands for several requests where RequestCount is above 1: they are added up in the notes. A URL of a
CONNECT is written as ``https://``. The port in a key may be that of the proxy, so the URL's own counts first. The head
of syslog has neither year nor zone. Values of CEF escape ``=``; in LEEF tabs stand between keys, or spaces.

Made from the specification; no real file was met.

References
----------
.. [1] Forcepoint, *SIEM Solutions*, Working with SIEM integration format strings,
   https://help.forcepoint.com/websec/en-us/on-prem/85/siem/B180CA52-DB55-4DCD-A393-2F3DE855CFC8.html
.. [2] The same, Keys, .../siem/5EA353E4-BD6A-4DB1-9F1A-BB8AFA6A328E.html
.. [3] Forcepoint, *Configuring Full Traffic Logging*, File format definition,
   https://help.forcepoint.com/websec/en-us/cloud/traffic_logging/6590dd12-054a-47c3-990e-10c1fa473238.html
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from forensics.errors import EvidenceError
from forensics.formats._blocks import blocks
from forensics.formats._cut import divided
from forensics.formats._encodings import text_stream
from forensics.formats._firewall import (
    first_then,
    fitting,
    nonzero,
    sample_of,
    taken,
    unescaped,
)
from forensics.formats._forcepoint_cloud import Cloud, integer_address, record_of
from forensics.formats._head import first_lines
from forensics.formats._hosts import host_of, server_of
from forensics.formats._pairs import pairs
from forensics.formats._sheet import Sheet, Vocabularies, Words, finished
from forensics.formats._stamps import ISO, Civil
from forensics.formats._syslog import surveyed, without_heads
from forensics.formats._zones import Clock
from forensics.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._blocks import Block
    from forensics.formats._cut import Cut
    from forensics.formats._syslog import Heads
    from forensics.formats._vocabulary import Vocabulary

    I64 = npt.NDArray[np.int64]

__all__ = [
    "COMPANIONS", "EXACT_VOLUMES", "LINES", "LINES_STAND_ALONE", "NAME", "OBSERVES", "STAMP", "TITLE", "declines",
    "parse",
]  # fmt: skip

NAME = "forcepoint"
TITLE = "Forcepoint web security log (SIEM, cloud)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
LINES_STAND_ALONE = False
"""The years of syslog times follow from the order of lines."""
LINES = True
STAMP = "start"
OBSERVES = ("out", "in")

TIME, SRC, SPORT, DST, DPORT, HOST, METHOD, URL, STATUS, SENT, RECEIVED, AGENT, TYPE, ACTION, PROXY = range(15)
PLAIN = (
    b"time", b"src_host", b"src_port", b"dst_ip", b"dst_port", b"dst_host", b"http_method", b"url", b"http_response",
    b"bytes_out", b"bytes_in", b"http_user_agent", b"http_content_type", b"action", b"source_server",
)  # fmt: skip
CEF = (
    b"rt", b"src", b"spt", b"dst", b"dpt", b"dhost", b"requestMethod", b"request", b"status", b"out", b"in",
    b"requestClientApplication", b"cs3", b"act", b"dvc",
)  # fmt: skip
LEEF = (
    b"devTime", b"src", b"srcPort", b"dst", b"dstPort", b"dstHost", b"method", b"url", b"serverStatus-code",
    b"srcBytes", b"dstBytes", b"userAgent", b"contentType", b"action", b"dvc",
)  # fmt: skip

_MAKERS = r"(?:Forcepoint|Websense)"
_LINE = re.compile(rf"(?:CEF|LEEF): ?[\d.]+\|{_MAKERS}\||(?:[^ =]+ ){{0,2}}vendor={_MAKERS} ")
_LIST = re.compile(r"\s*\[\s*(?:\d{9,10}\s*,|\{)")


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no such log, or None where at least half of its first lines are lines of one."""
    lines = first_lines(head, hints)
    if not lines:
        return "it is empty"
    number = fitting(lines, _is_list if _LIST.match(lines[0]) else _LINE.match)
    return f"line {number} does not name Forcepoint or Websense as its maker" if number else None


def _is_list(line: str) -> bool:
    """Tell whether a line is a record of the cloud's."""
    record = record_of(line)
    return not isinstance(record, str) and isinstance(record["URI"], str) and record["ClientIP"] is not None


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, requests, names and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If the stream is damaged.
    forensics.errors.YearNeededError, forensics.errors.TimezoneNeededError
        If the times carry no year or no zone, and nothing says them.
    """
    return finished(evidence, NAME, _batches(evidence))


def _batches(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield what the log gives."""
    evidence.notes["records"] = 0
    clock, own = Clock(evidence), Vocabularies()
    with surveyed(replace(evidence, stream=text_stream(evidence)), clock) as log:
        all_blocks = blocks(log)
        first = next(all_blocks, None)
        if first is None:
            return
        again = chain([first], all_blocks)
        if _LIST.match(first.data[: min(first.end, 64)].tobytes().decode("latin-1")):
            yield from _cloud(evidence, again)
            return
        for found in first_then(lambda block: list(_read(block, evidence, clock, own.own)), again):
            yield from found


def _read(block: Block, evidence: Evidence, clock: Clock, words: Vocabulary) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Read one block of lines."""
    body, heads = without_heads(block)
    head = body.data[: min(body.end, 1 << 16)].tobytes()
    cef, leef = (b"%s:" % name in head for name in (b"CEF", b"LEEF"))
    tabs = leef and b"\t" in head
    cut = pairs(body, CEF if cef else LEEF if leef else PLAIN, delimiter=b"\t" if tabs else b" ", spaced=cef or leef)
    sheet = Sheet(heads.whole(cut), evidence, words)
    state = sheet.words(ACTION, str.casefold)
    if leef:
        state = state.otherwise(sheet.words((divided(_lines(cut), 0, b"|", 6), 4), _disposition))
    _fill(sheet, _times(sheet, heads, clock), state, evidence.vantage)
    yield from sheet.batches()


def _lines(cut: Cut) -> Cut:
    """Return whole lines as fields."""
    begin, end = (np.ascontiguousarray(cut.line[:, side])[None] for side in (0, 1))
    return replace(cut, begin=begin, end=end, flag=np.zeros((1, cut.rows), np.uint8))


def _disposition(text: str) -> str:
    """Return what was done with a request: the name of an event of LEEF is ``transaction:permitted``."""
    return text.casefold().rpartition(":")[2]


def _times(sheet: Sheet, heads: Heads, clock: Clock) -> I64:
    """Return when requests were made: what the row says, else syslog. [us]"""
    cut, sample = sheet.cut, sample_of(sheet.cut)
    moments = clock.epoch(sheet.counts(TIME, what=None))
    for where, reason in moments.refused:
        sheet.reject(where, reason)
    civil = taken(heads.civil, heads.rows(cut))
    if not civil.known.all():  # rsyslog writes a time that is no head where no program is named
        own = sheet.stamps((divided(_lines(cut), 0, b" ", 2), 0), ISO, what=None)
        local = np.where(civil.known, civil.local, own.local)
        civil = Civil(local, np.where(civil.known, civil.offset, own.offset), civil.known | own.known)
    civil = Civil(np.where(moments.known, 0, civil.local), civil.offset, civil.known & ~moments.known)
    sheet.reject(~civil.known & ~moments.known, "neither the row nor syslog tells its time")
    dated = clock.years(civil, cut.number, sample=sample)
    sheet.reject(~dated.known & civil.known, "its time does not exist in the year that it falls in")
    return np.where(moments.known, moments.values, clock.utc(dated, sample))


def _fill(sheet: Sheet, time: I64, state: Words, vantage: str) -> None:
    """Put requests into exchanges."""
    every = Words(np.zeros(sheet.rows, np.int32), (vantage,))
    src = sheet.words(SRC, integer_address, what="source")
    dst = sheet.words(DST, integer_address, what="destination")
    via = sheet.words(PROXY, integer_address).otherwise(every)
    asked = sheet.targets(URL, URL, undo=unescaped)  # the URL of a CONNECT has a scheme too
    name = asked.name.otherwise(sheet.words(HOST, host_of).only(~asked.address.known))
    host = name.otherwise(asked.address).otherwise(sheet.words(HOST, server_of))
    port = nonzero(sheet.counts(DPORT, what="destination port", limit=65_535))
    status = nonzero(sheet.counts(STATUS, what=None, limit=999))
    sheet.put(
        "exchanges", start=time, end=time, src=src, dst=dst.otherwise(asked.address),
        src_port=nonzero(sheet.counts(SPORT, what="source port", limit=65_535)),
        dst_port=asked.port.otherwise(port),
        proto="tcp", service=asked.service, name=name, host=host, via=via,
        bytes_out=sheet.counts(SENT, what="bytes sent"), bytes_in=sheet.counts(RECEIVED, what="bytes received"),
        bytes_kind="application", state=state, method=sheet.words(METHOD, str.upper), status=status,
        url=sheet.text(URL, undo=unescaped), user_agent=sheet.text(AGENT, undo=unescaped),
        content_type=sheet.words(TYPE), how=name.mapped(lambda _: "proxy"), is_flow=True, is_request=True,
    )  # fmt: skip


def _cloud(evidence: Evidence, all_blocks: Iterator[Block]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Read lists of JSON, one a line."""
    rows = Rows()
    cloud = Cloud(evidence, rows)
    try:
        for block in all_blocks:
            for number, line in enumerate(block.data[: block.end].tobytes().split(b"\n")[:-1], block.first_line):
                if line and not line.isspace():
                    evidence.note("records", 1)
                    cloud.add(number, line.removesuffix(b"\r"))
            yield from rows.drain()
    except EvidenceError:
        yield from rows.drain()
        raise
