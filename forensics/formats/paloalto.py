"""Palo Alto Networks firewalls (PAN-OS): traffic and URL logs as CSV, by syslog or exported with a header.

Example line (in one line)::

    1,2015/05/21 10:00:09,001801000001,TRAFFIC,end,1,2015/05/21 10:00:09,192.0.2.21,203.0.113.7,0.0.0.0,0.0.0.0,out,,,
    ssl,vsys1,trust,untrust,ae1,ae2,fwd,2015/05/21 10:00:09,4711,1,50122,443,0,0,0x19,tcp,allow,1724,924,800,17,...

==========================  ========================================================================================
field                       becomes
==========================  ========================================================================================
Start Time, Elapsed Time    ``start``, ``end`` = start + elapsed [s]; of URL rows Generated Time
Source, Destination, ports  ``src``, ``dst``, ``src_port``, ``dst_port``; before address translation
IP Protocol                 ``proto``
Bytes Sent, Bytes Received  ``bytes_out``, ``bytes_in`` [B]
Packets Sent, Received      ``packets_out``, ``packets_in``
Application                 ``service``, where it is one that Zeek names
Action, Session End Reason  ``state``: the reason of sessions that were allowed, the action of others
URL/Filename                ``url``; its host to ``name`` and ``names``
User Agent, Referer, ...    ``user_agent``, ``referer``, ``content_type``, ``method``
X-Forwarded-For             ``src`` of URL rows where Source is a trusted proxy, which then is ``via``
High Resolution Timestamp   the zone of the row's times, and ``start`` of URL rows [ms]
==========================  ========================================================================================

Traps: a session may be told when it starts and when it ends: a start is a flow, without bytes, only where no other row
of the session is there. Times are the firewall's own, in seconds and without zone. Since PAN-OS 10 a row says with
milliseconds and a zone when the management plane got it: its other times are of that zone where it lies within five
minutes of Generated Time on the same clock; where it does not, and in older versions, a zone is asked for. It is no
start or end of a session: those stay in seconds. Later versions have more columns; what stands behind those that are
read is passed over. URLs have no scheme and may hold commas, in quotes, but no line ends. URL rows have no bytes: the
traffic row of the session has them. Ports are 0 where the protocol has none. A row with a repeat count stands for
several sessions of the same ends; the counts are added up in the notes. ``X-Forwarded-For`` is the word of whoever
asks, and is believed of trusted proxies alone. The documents do not say which headers the bytes count; they are taken
as IP bytes. Rows of other types are passed over and counted.

Made from the specification; no real file was met.

References
----------
.. [1] Palo Alto Networks, *PAN-OS Administrator's Guide*, Traffic Log Fields,
   https://docs.paloaltonetworks.com/pan-os/11-0/pan-os-admin/monitoring/use-syslog-for-monitoring/
   syslog-field-descriptions/traffic-log-fields
.. [2] The same, URL Filtering Log Fields, .../syslog-field-descriptions/url-filtering-log-fields
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats._asked import Forwarded
from forensics.formats._blocks import blocks
from forensics.formats._csv import Columns, header_in, under_headers, unquoted
from forensics.formats._cut import ABSENT, FEW, MANY, divided
from forensics.formats._delimited import delimited
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
)
from forensics.formats._head import first_lines
from forensics.formats._hosts import host_of, server_of
from forensics.formats._lines import text_of
from forensics.formats._paloalto_columns import DIALECT, NAMES, TRAFFIC, URL, WIDTH
from forensics.formats._sheet import Sheet, Vocabularies, finished
from forensics.formats._stamps import ISO, NO_OFFSET, Civil, compile_stamp
from forensics.formats._syslog import without_heads
from forensics.formats._zones import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._blocks import Block
    from forensics.formats._csv import Header
    from forensics.formats._cut import Cut
    from forensics.formats._fields import Field
    from forensics.formats._vocabulary import Vocabulary, Words

    I64 = npt.NDArray[np.int64]

__all__ = [
    "COMPANIONS", "EXACT_VOLUMES", "LINES", "LINES_STAND_ALONE", "NAME", "OBSERVES", "STAMP", "TITLE", "declines",
    "parse",
]  # fmt: skip

NAME = "paloalto"
TITLE = "Palo Alto Networks log (traffic, URL)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
LINES_STAND_ALONE = False
"""Those of an export stand under its header."""
LINES = True
STAMP = "start"
OBSERVES = ("out", "in")

SAME_CLOCK = 300 * SECOND
"""The management plane gets a row within seconds of its making; times that differ by more are of two zones. [us]"""

LEAST_TRAFFIC, LEAST_URL = 38, 33
"""Fields that rows of every version have: one more than are needed, lest the last of them be cut."""

_LINE = re.compile(r"[^,]*,\d{4}/\d\d/\d\d \d\d:\d\d:\d\d,[^,]*,[A-Z-]{3,20},")
_TRAFFIC_OR_URL = re.compile(r"(?:[^,]*,){3}(?:TRAFFIC|THREAT),")
_STAMP = compile_stamp("%Y/%m/%d %H:%M:%S")

_SERVICES = {
    "web-browsing": "http", "ssl": "ssl", "dns": "dns", "dns-base": "dns", "ssh": "ssh", "ftp": "ftp", "smtp": "smtp",
    "smtp-base": "smtp", "ntp": "ntp", "ntp-base": "ntp", "imap": "imap", "pop3": "pop3", "dhcp": "dhcp",
    "ldap": "ldap", "kerberos": "krb", "ms-rdp": "rdp", "snmp": "snmp", "snmp-base": "snmp", "syslog": "syslog",
    "quic": "quic", "quic-base": "quic", "sip": "sip", "radius": "radius", "socks": "socks", "tor": "tor",
}  # fmt: skip


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no such log, or None where it is an export, or at least half of its first lines are rows."""
    lines = first_lines(head, hints)
    if not lines:
        return "it is empty"
    header = header_in(lines, NAMES)
    if header is not None:
        missing = [NAMES[name][0] for name in ("type", "session", "src") if name not in header]
        return f"its header has no column {missing[0]}" if missing else None
    if number := fitting(lines, _LINE.match):
        return f"line {number} is no row of PAN-OS: ...,time,serial,TYPE,..."
    return None if any(map(_TRAFFIC_OR_URL.match, lines)) else "no row is TRAFFIC or THREAT"


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, requests, names and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If the stream is damaged.
    forensics.errors.TimezoneNeededError
        If ``hints.timezone`` is None, and times carry no zone.
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
    items = _items(evidence)
    return sessions.watch(first_then(lambda item: _read(*item, evidence, known, own.own), items))


def _items(evidence: Evidence) -> Iterator[tuple[Header | None, Block]]:
    """Yield blocks of rows, each with the header over them; None where the firewall's own order holds."""
    lines = blocks(replace(evidence, stream=text_stream(evidence)))
    first = next(lines, None)
    if first is None:
        return
    texts = text_of(first.data[: min(first.end, 1 << 16)].tobytes()).split("\n")
    again = chain([first], lines)
    if header := header_in(texts, NAMES):
        # A row is a line, also between quotes, as the firewall writes it: only so can copies of a log be compared.
        yield from under_headers(evidence, again, NAMES, dialect=replace(header.dialect, multiline=False))
    else:
        yield from ((None, block) for block in again)


def _read(
    header: Header | None, block: Block, evidence: Evidence, known: _Known, words: Vocabulary
) -> tuple[list[tuple[str, pa.RecordBatch]], Started]:
    """Read one block of rows; return batches, and sessions that started or ended."""
    cut = delimited(block, header.dialect, len(header.cells)) if header else _sent(block)
    columns, kinds = Columns.of(header or TRAFFIC, cut), Fields(cut, words)
    kind, sub = (kinds.words(columns[name], str.casefold) for name in ("type", "subtype"))
    web = is_one_of(kind, "url") | (is_one_of(kind, "threat") & is_one_of(sub, "url"))
    traffic = is_one_of(kind, "traffic")
    start = traffic & is_one_of(sub, "start")
    other = kind.known & ~traffic & ~web
    evidence.note("records", int(other.sum()))
    evidence.note("rows_of_other_types", int(other.sum()))
    flows, starting, requests = (
        _Rows(Sheet(selected(cut, rows), evidence, words), header or own, least)
        for rows, own, least in (
            (~other & ~start & ~web, TRAFFIC, LEAST_TRAFFIC),
            (start, TRAFFIC, LEAST_TRAFFIC),
            (web, URL, LEAST_URL),
        )
    )
    ends, starts = _flows(flows, known.clock), _starts(starting, known.clock)
    _requests(requests, known)
    told = list(starting.sheet.batches())
    begun = next((batch for table, batch in told if table == "flows"), None)
    found = [*flows.sheet.batches(), *requests.sheet.batches(), *(one for one in told if one[0] != "flows")]
    return found, Started(begun, starts[starting.sheet.good], ends)


def _sent(block: Block) -> Cut:
    """Return rows as the firewall sends them, of whatever version."""
    body, heads = without_heads(block)
    cut = delimited(body, DIALECT, WIDTH)
    cut.odd[(cut.odd == MANY) | (cut.odd == FEW)] = 0
    return heads.whole(cut)


class _Rows:
    """Rows of one kind, and their columns."""

    def __init__(self, sheet: Sheet, header: Header, least: int) -> None:
        self.sheet = sheet
        self._columns = Columns.of(header, sheet.cut)
        if not header.cells:
            sheet.reject(sheet.cut.count < least, f"row has fewer than {least} fields")

    def __getitem__(self, name: str) -> Field:
        """Return a column by our name for it."""
        return self._columns[name]

    def ends(self) -> Ends:
        """Return who speaks with whom."""
        return ends_of(self.sheet, [(self[name], NAMES[name][0]) for name in ("src", "sport", "dst", "dport", "proto")])

    def times(self, clock: Clock, first: str) -> I64:
        """Return times in UTC, of the column that is named, or when the row was generated. [us]"""
        sheet = self.sheet
        one, other = (sheet.stamps(self[name], _STAMP, what=NAMES[name][0]) for name in (first, "time"))
        precise = sheet.stamps(self["precise"], ISO, what=None)
        zoned = precise.known & (precise.offset != NO_OFFSET) & other.known
        zoned &= np.abs(precise.local - other.local) <= SAME_CLOCK
        local = np.where(one.known, one.local, other.local)
        if first == "time":
            local = np.where(zoned, precise.local, local)
        civil = Civil(local, np.where(zoned, precise.offset, NO_OFFSET).astype(np.int32), one.known | other.known)
        sheet.reject(~civil.known, "there is no time")
        return clock.utc(civil, sample_of(sheet.cut))

    def service(self) -> Words:
        """Return what Zeek calls the application."""
        return self.sheet.words(self["app"], _SERVICES.get)

    def sessions(self, ends: Ends, begin: I64, around: tuple[int, ...]) -> I64:
        """Return what tells sessions from others: number, ports and the second of their start, or those around it."""
        number = self.sheet.counts(self["session"], what="Session ID", limit=(1 << 62) - 1)
        parts = (number.values, ends.src_port.values, ends.dst_port.values)
        return np.concatenate([keys(*parts, begin // SECOND + shift) for shift in around])


def _flows(rows: _Rows, clock: Clock) -> I64:
    """Put sessions that ended, or were refused, into flows; return what tells them from others."""
    sheet = rows.sheet
    sheet.reject(~sheet.words(rows["type"], str.casefold).known, "type is missing")
    start, ends = rows.times(clock, "start"), rows.ends()
    elapsed = sheet.counts(rows["elapsed"], what="Elapsed Time", limit=1 << 31)
    repeat = sheet.counts(rows["repeat"], what=None)
    sheet.note("repeated_sessions", int(np.maximum(repeat.values - 1, 0).sum()))
    reason, action = sheet.words(rows["reason"], null=(b"-", b"n/a")), sheet.words(rows["action"])
    sent, received, packets_sent, packets_received = (
        sheet.counts(rows[name], what=NAMES[name][0])
        for name in ("sent", "received", "packets sent", "packets received")
    )
    sheet.put(
        "flows", start=start, end=start + elapsed.values * SECOND, **ends._asdict(), service=rows.service(),
        bytes_out=sent, bytes_in=received, bytes_kind="ip", packets_out=packets_sent, packets_in=packets_received,
        state=action.only(~is_one_of(action, "allow")).otherwise(reason).otherwise(action),
    )  # fmt: skip
    return rows.sessions(ends, start, (-1, 0, 1))[np.tile(sheet.good, 3)]


def _starts(rows: _Rows, clock: Clock) -> I64:
    """Put sessions that started into flows, without bytes; return what tells them from others."""
    time, ends = rows.times(clock, "start"), rows.ends()
    rows.sheet.put(
        "flows", start=time, end=time, **ends._asdict(), service=rows.service(), bytes_kind="ip", state="start"
    )
    return rows.sessions(ends, time, (0,))


def _requests(rows: _Rows, known: _Known) -> None:
    """Put rows of the URL log into requests and names."""
    sheet = rows.sheet
    time, ends = rows.times(known.clock, "time"), rows.ends()
    ends, via = behind_proxies(ends, sheet.words(rows["forwarded"], undo=unquoted), known.forwarded)
    authority = _authorities(sheet.cut, rows["url"])
    name, host = (sheet.words(authority, convert) for convert in (host_of, server_of))
    agent, referer = (sheet.text(rows[column], undo=unquoted) for column in ("agent", "referer"))
    sheet.put(
        "exchanges", start=time, **ends._asdict(), service=rows.service(), name=name, host=host.otherwise(ends.dst),
        via=via, bytes_kind="ip", state=sheet.words(rows["action"]), method=sheet.words(rows["method"], str.upper),
        url=sheet.text(rows["url"], undo=unquoted), user_agent=agent, referer=referer,
        content_type=sheet.words(rows["content type"]), how=name.mapped(lambda _: "proxy"), is_flow=False,
        is_request=True,
    )  # fmt: skip


def _authorities(cut: Cut, url: Field) -> Field:
    """Return the hosts of URLs, which mostly have no scheme."""
    given, place = (cut, url) if isinstance(url, int) else url
    parts = divided(given, place, b"/", 4)
    last = parts.data[np.maximum(parts.end[0] - 1, 0)]
    schemed = (last == ord(":")) & (parts.flag[2] & ABSENT == 0) & (parts.begin[1] == parts.end[1])
    begin, end, flag = (np.where(schemed, part[2], part[0])[None] for part in (parts.begin, parts.end, parts.flag))
    return replace(cut, begin=begin, end=end, flag=flag), 0
