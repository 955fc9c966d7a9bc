"""FortiGate logs: traffic and web filter, as ``key=value`` or CEF.

Example line (in one line)::

    date=2019-05-10 time=11:37:47 logid="0000000013" type="traffic" subtype="forward" vd="root" eventtime=1557455867
    srcip=192.0.2.21 srcport=58012 dstip=203.0.113.7 dstport=443 proto=6 action="close" duration=9 sentbyte=1188 ...

==========================  ========================================================================================
field                       becomes
==========================  ========================================================================================
eventtime, or date, time    ``end``; ``start`` = end - duration [s]
srcip, dstip, ports         ``src``, ``dst``, ``src_port``, ``dst_port``; before address translation
proto                       ``proto``
sentbyte, rcvdbyte          ``bytes_out``, ``bytes_in`` [B]; ``sentdelta``, ``rcvddelta`` where they stand
sentpkt, rcvdpkt            ``packets_out``, ``packets_in``
action                      ``state``
hostname                    ``name``, and ``names``
url, agent, referralurl     ``url``, ``user_agent``, ``referer`` of web filter rows
forwardedfor                ``src`` of web filter rows where srcip is a trusted proxy, which then is ``via``
httpmethod                  ``method``; the key ``method`` is how the site was rated
==========================  ========================================================================================

Traps: a session that lives long is told every two minutes (``logid`` ...20) with totals so far: only their deltas are
added, and of totals without delta none. A row with deltas, but no ``durationdelta``, says when it was written, not
since when it counts: its bytes stand at its end. ``action=start`` rows have no bytes; they are flows only where no
other row of the session is there. ``eventtime`` is in seconds, milliseconds, microseconds or nanoseconds, by version;
without it ``date`` and ``time`` are the device's, with ``tz`` or without zone. Ports of protocols that have none are
passed over. ``forwardedfor`` is the word of whoever asks, and is believed of trusted proxies alone. Bytes of web filter
rows are counters of the session at that moment: the traffic row has them. ``service`` is the name of a port, nothing
that was recognised. The documents do not say which headers ``sentbyte`` counts; it is taken as IP bytes. Rows of other
types are passed over and counted.

Made from the specification; no real file was met.

References
----------
.. [1] Fortinet, *FortiOS Log Message Reference*, LOG_ID_TRAFFIC_END_FORWARD (13), LOG_ID_TRAFFIC_STAT (20),
   https://docs.fortinet.com/product/fortigate
.. [2] Fortinet, *Log fields for long-live sessions*,
   https://docs.fortinet.com/document/fortigate/7.4.3/administration-guide/285753/log-fields-for-long-live-sessions
.. [3] Fortinet, article 189711: traffic logs of ongoing sessions, https://community.fortinet.com
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats import _fortigate_keys as k
from forensics.formats._asked import Forwarded
from forensics.formats._blocks import blocks
from forensics.formats._columns import either
from forensics.formats._encodings import text_stream
from forensics.formats._fields import Fields
from forensics.formats._firewall import (
    SECOND,
    Ends,
    Sessions,
    Started,
    behind_proxies,
    ends_of,
    first_then,
    fitting,
    is_one_of,
    keys,
    sample_of,
    selected,
    unescaped,
)
from forensics.formats._head import first_lines
from forensics.formats._hosts import host_of, server_of
from forensics.formats._pairs import pairs
from forensics.formats._sheet import Bools, Ints, Sheet, Vocabularies, Words, finished
from forensics.formats._stamps import NO_OFFSET, Civil, compile_stamp, joined
from forensics.formats._syslog import without_heads
from forensics.formats._zones import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._blocks import Block
    from forensics.formats._vocabulary import Vocabulary

    I64 = npt.NDArray[np.int64]

__all__ = [
    "COMPANIONS", "EXACT_VOLUMES", "LINES_STAND_ALONE", "NAME", "OBSERVES", "STAMP", "TITLE", "declines", "parse",
]  # fmt: skip

NAME = "fortigate"
TITLE = "FortiGate log (traffic, web filter)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
LINES_STAND_ALONE = True
"""In any order lines give the same rows: starts are matched with ends wherever they stand."""
LINES = True
STAMP = "end"
OBSERVES = ("out", "in")

_LINE = re.compile(
    r'(?=.*\blogid="?\d{5,10}"?(?: |$))(?=.*\btype="?[a-z-]+"?(?: |$))(?=.*\b(?:devid|vd|eventtime)=)'
    r"|CEF: ?\d\|Fortinet\|Forti[gG]ate\|"
)
_DATE, _TIME = compile_stamp("%Y-%m-%d"), compile_stamp("%H:%M:%S")
_ZONE = re.compile(r"([+-])(\d\d):?(\d\d)")


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no FortiGate log, or None where at least half of its first lines are lines of one."""
    lines = first_lines(head, hints)
    if not lines:
        return "it is empty"
    number = fitting(lines, _LINE.match)
    return f"line {number} has no logid=, type= and vd= or devid= as FortiGate writes them" if number else None


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, requests, names and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If the stream is damaged.
    forensics.errors.TimezoneNeededError
        If the times carry no zone and ``hints.timezone`` is None.
    """
    return finished(evidence, NAME, _batches(evidence))


class _Known(NamedTuple):
    """What is known of the whole log."""

    clock: Clock
    forwarded: Forwarded


def _batches(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Return what all blocks give, then sessions that did not end."""
    known, own, sessions = _Known(Clock(evidence), Forwarded(evidence)), Vocabularies(), Sessions(evidence)
    evidence.notes["records"] = 0
    log = replace(evidence, stream=text_stream(evidence))
    return sessions.watch(first_then(lambda block: _read(block, evidence, known, own.own), blocks(log)))


def _read(
    block: Block, evidence: Evidence, known: _Known, words: Vocabulary
) -> tuple[list[tuple[str, pa.RecordBatch]], Started]:
    """Read one block of lines; return batches, and sessions that started or ended."""
    body, heads = without_heads(block)
    cef = b"|Fortinet|" in body.data[: min(body.end, 1 << 16)].tobytes()
    cut = heads.whole(pairs(body, k.CEF if cef else k.PLAIN, spaced=cef))
    kinds = Fields(cut, words)
    kind, sub = kinds.words(k.TYPE, k.kind_of), kinds.words(k.SUBTYPE, str.casefold)
    web = is_one_of(kind, "webfilter") | (is_one_of(kind, "utm") & is_one_of(sub, "webfilter"))
    traffic = is_one_of(kind, "traffic")
    start = traffic & is_one_of(kinds.words(k.ACTION, str.casefold), "start")
    other = kind.known & ~traffic & ~web
    evidence.note("records", int(other.sum()))
    evidence.note("rows_of_other_types", int(other.sum()))
    sheets = [Sheet(selected(cut, rows), evidence, words) for rows in (~other & ~start & ~web, start, web)]
    ends = _flows(sheets[0], known.clock)
    starts = _starts(sheets[1], known.clock)
    _requests(sheets[2], known)
    flows, starting, requests = (list(sheet.batches()) for sheet in sheets)
    begun = next((batch for table, batch in starting if table == "flows"), None)
    others = [one for one in starting if one[0] != "flows"]
    return [*flows, *requests, *others], Started(begun, starts[sheets[1].good], ends)


def _times(sheet: Sheet, clock: Clock) -> I64:
    """Return when rows were written. [us]"""
    moments = clock.epoch(sheet.counts(k.EVENTTIME, what="eventtime", limit=(1 << 62) - 1), column="eventtime")
    for where, reason in moments.refused:
        sheet.reject(where, reason)
    date = sheet.stamps(k.DATE, _DATE, what="date")
    civil = joined(date, sheet.stamps(k.TIME, _TIME, what="time"))
    there = sheet.nothing(k.EVENTTIME)
    known = civil.known & there
    zone = sheet.words(k.TZ, _minutes, what="tz", kind="an offset from UTC")
    ahead = np.array([*map(int, zone.values), NO_OFFSET], np.int32)[zone.codes]
    local = clock.utc(Civil(np.where(known, civil.local, 0), ahead, known), sample_of(sheet.cut))
    sheet.reject(~moments.known & ~known, "there is no time")
    return np.where(moments.known, moments.values, local)


def _minutes(text: str) -> str | None:
    """Return an offset from UTC in minutes."""
    found = _ZONE.fullmatch(text)
    return found and str((int(found[2]) * 60 + int(found[3])) * (-1 if found[1] == "-" else 1))


def _ends(sheet: Sheet) -> Ends:
    """Return the ends of the connections of a sheet; before address translation."""
    return ends_of(sheet, [(key, k.PLAIN[key].decode()) for key in (k.SRC, k.SPORT, k.DST, k.DPORT, k.PROTO)])


def _flows(sheet: Sheet, clock: Clock) -> I64:
    """Put rows of traffic into flows; return what tells their sessions from others."""
    sheet.reject(~sheet.words(k.TYPE, k.kind_of).known, "type is missing")
    end, ends = _times(sheet, clock), _ends(sheet)
    duration = sheet.counts(k.DURATION, what="duration", limit=1 << 31)
    sent, received = (
        _increments(sheet, total, delta) for total, delta in ((k.SENT, k.SENT_DELTA), (k.RECEIVED, k.RECEIVED_DELTA))
    )
    part: Bools = sent.partly | received.partly
    since = sheet.counts(k.DURATION_DELTA, what="durationdelta", limit=1 << 31)
    elapsed = np.where(part, since.values, duration.values) * SECOND
    packets = [
        either(part, delta, total._replace(known=total.known & ~sent.interim))
        for total, delta in (
            (sheet.counts(k.SENT_PACKETS, what="sentpkt"), sheet.counts(k.SENT_PACKETS_DELTA, what="sentpktdelta")),
            (sheet.counts(k.RECEIVED_PACKETS, what="rcvdpkt"),
             sheet.counts(k.RECEIVED_PACKETS_DELTA, what="rcvdpktdelta")),
        )
    ]  # fmt: skip
    sheet.note("interim_rows", int(sent.interim.sum()))
    name = sheet.words(k.HOST, host_of)
    sheet.put(
        "flows", start=end - elapsed, end=end, **ends._asdict(), name=name, bytes_out=sent.bytes,
        bytes_in=received.bytes, bytes_kind="ip", packets_out=packets[0], packets_in=packets[1],
        state=sheet.words(k.ACTION),
    )  # fmt: skip
    sheet.put("names", name.known, time=end, address=ends.dst, name=name, how="proxy", client=ends.src)
    return _session_keys(sheet, ends, end - duration.values * SECOND, (-1, 0, 1))[np.tile(sheet.good, 3)]


class _Bytes(NamedTuple):
    """What a row adds to its session.

    Parameters
    ----------
    bytes
        Bytes that no other row tells.
    partly
        Which rows tell what came since the row before.
    interim
        Which rows are of a session that goes on.
    """

    bytes: Ints
    partly: Bools
    interim: Bools


def _increments(sheet: Sheet, total: int, delta: int) -> _Bytes:
    """Return what rows add in one direction: what came since the last row, or all; totals of interim rows add none."""
    whole, since = (sheet.counts(key, what=k.PLAIN[key].decode()) for key in (total, delta))
    interim = is_one_of(sheet.words(k.LOGID, _number), "20")
    partly = since.known & (interim | (whole.values != since.values))
    values = since.otherwise(whole._replace(known=whole.known & ~interim))
    return _Bytes(values, partly | (interim & ~since.known), interim)


def _number(text: str) -> str:
    """Return the number of a message: the last six digits of ``logid`` without zeros."""
    return text[-6:].lstrip("0")


def _starts(sheet: Sheet, clock: Clock) -> I64:
    """Put sessions that started into flows, without bytes; return what tells them from others."""
    time, ends = _times(sheet, clock), _ends(sheet)
    sheet.put("flows", start=time, end=time, **ends._asdict(), bytes_kind="ip", state="start")
    return _session_keys(sheet, ends, time, (0,))


def _session_keys(sheet: Sheet, ends: Ends, begin: I64, around: tuple[int, ...]) -> I64:
    """Return what tells sessions from others: number, ports and the second of their start, or those around it."""
    session = sheet.counts(k.SESSION, what="sessionid", limit=(1 << 62) - 1)
    parts = (session.values, ends.src_port.values, ends.dst_port.values)
    return np.concatenate([keys(*parts, begin // SECOND + shift) for shift in around])


def _requests(sheet: Sheet, known: _Known) -> None:
    """Put rows of the web filter into requests and names."""
    time, ends = _times(sheet, known.clock), _ends(sheet)
    ends, via = behind_proxies(ends, sheet.words(k.FORWARDED, undo=unescaped), known.forwarded)
    name, host = sheet.words(k.HOST, host_of), sheet.words(k.HOST, server_of).otherwise(ends.dst)
    sheet.put(
        "exchanges", start=time, **ends._asdict(), name=name, host=host, via=via, bytes_kind="ip",
        state=sheet.words(k.ACTION), method=sheet.words(k.METHOD), url=sheet.text(k.URL, undo=unescaped),
        user_agent=sheet.text(k.AGENT, undo=unescaped), referer=sheet.text(k.REFERER, undo=unescaped),
        how=_how(name), is_flow=False, is_request=True,
    )  # fmt: skip


def _how(name: Words) -> Words:
    """Return how names are known: the firewall tells them."""
    return name.mapped(lambda _: "proxy")
