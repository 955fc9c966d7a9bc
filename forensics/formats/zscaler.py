r"""Web logs of Zscaler's Nanolog Streaming Service, by their template.

Example line (of ``%s{time} %s{tz}|%s{cip}|%s{sip}|%s{proto}|%s{reqmethod}|%s{eurl}|%s{respcode}|%d{reqsize}``)::

    Thu May 21 10:00:01 2015 GMT|192.0.2.21|203.0.113.7|HTTPS|GET|www.example/a|200|512

==================  =================  ======================================================================
field               name               becomes
==================  =================  ======================================================================
time                time, epochtime    ``end``; so are the parts of a date (``%d{yyyy}-%02d{mth}-%02d{dd} ...``)
zone                tz                 zone of ``time``, where it is GMT or UTC
transaction time    ctime              ``start`` = end - transaction time [ms]
client              cip, cintip        ``src``: its own address where it is known, else the public one
server              sip                ``dst``
URL                 url, eurl          ``url``, without scheme, as logged; its server to ``name``, or ``dst``
host                host, ehost        ``name``, before that of the URL
protocol            proto              ``service``; ``dst_port`` where the URL has none
request size        reqsize            ``bytes_out`` [B]
reply size          respsize           ``bytes_in`` [B]
status              respcode           ``status``
action              action             ``state``
headers             ua, referer, ...   ``user_agent``, ``referer``, ``content_type``
==================  =================  ======================================================================

Traps: every customer may order the fields otherwise, so ``logformat="zscaler: ..."`` with the template is needed; a tab
is ``\t`` in it. Only the default feeds, as CSV or with tabs, are known without it. ``NA``, ``N/A`` and ``None`` are
nothing, and sizes that a template leaves out are null. ``cintip`` is the public address, behind the customer's NAT;
``cip`` is the client's own where Zscaler sees it (through tunnels, or ``X-Forwarded-For``), and the same public one
elsewhere. Bytes outside of 0x21 to 0x7E are written as %HH: undone in headers, in URLs kept, where they mean the same.
Base64 fields (``b64url``) are decoded. A port that the URL lacks is that of the protocol. The time is taken as the
transaction's end, which the specification does not say. Times without ``tz`` need a zone, so those of the default feeds
do. Made from the specification and the one line that it shows: no real file was met.

References
----------
.. [1] Zscaler, *General Guidelines for NSS Feeds and Feed Formats*,
   https://help.zscaler.com/unified/general-guidelines-nss-feeds-and-feed-formats
.. [2] Zscaler, *NSS Feed Output Format: Web Logs*, https://help.zscaler.com/zia/nss-feed-output-format-web-logs
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.errors import EvidenceError
from forensics.formats._clf import Access
from forensics.formats._clf_fields import address_in, method_of, name_in, port_in
from forensics.formats._cut import divided
from forensics.formats._head import definitions, first_lines
from forensics.formats._hosts import address_of
from forensics.formats._json import Peeked
from forensics.formats._layouts import Layouts
from forensics.formats._lines import text_of
from forensics.formats._nss_template import begins_as_feed, compile_template, default_of
from forensics.formats._sheet import Ints, Sheet, Words
from forensics.formats._stamps import NO_OFFSET, Civil

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats import Evidence, Hints
    from forensics.formats._cut import I32, I64
    from forensics.formats._layouts import Layout

__all__ = [
    "COMPANIONS",
    "EXACT_VOLUMES",
    "LINES",
    "LINES_STAND_ALONE",
    "NAME",
    "OBSERVES",
    "STAMP",
    "TITLE",
    "declines",
    "parse",
]

NAME = "zscaler"
TITLE = "Zscaler NSS web log"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
LINES_STAND_ALONE = True
LINES = True
STAMP = "end"
OBSERVES = ("out", "in")

_SERVICES = {"HTTP": "http", "HTTPS": "ssl", "SSL": "ssl", "HTTP2": "http", "FTP": "ftp", "FTPOVERHTTP": "ftp"}
_PORTS = {"http": 80, "ssl": 443, "ftp": 21}
_GREENWICH = re.compile("GMT|UTC|Z", re.IGNORECASE)


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no web log of a template, or None where at least half of its first lines are lines of it."""
    try:
        layout = _layout(hints, head)
    except ValueError as error:
        return str(error)
    if layout is None:
        return _unknown(first_lines(head, hints))
    lines = [line.encode() for line in first_lines(head, hints)]
    if not lines:
        return "it is empty"
    known = Layouts([layout])
    fitting = [known.fitting(line) is not None for line in lines]
    if sum(fitting) * 2 >= len(lines):
        return None
    number = fitting.index(False)
    return f"line {number + 1}: {known.problem(lines[number])}"


def _layout(hints: Hints, head: bytes) -> Layout | None:
    """Return the layout of the template, or of the default feed that the file is; None where neither is known."""
    given = definitions(hints.logformat, NAME)
    template = given[0] if given else default_of(first_lines(head, hints))
    return compile_template(template) if template else None


def _unknown(lines: list[str]) -> str:
    """Say what is missing where no template is known."""
    wanted = 'only its template tells its fields: logformat="zscaler: ..."'
    if lines and begins_as_feed(lines[0]):
        return f"line 1 begins as a feed of NSS does, and is of none of the default feeds; {wanted}"
    return wanted


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield exchanges and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If there is no usable template, nothing in the file can be read, or the stream is damaged.
    forensics.errors.TimezoneNeededError
        If the times carry no zone and ``hints.timezone`` is None.
    """
    stream = Peeked(evidence.stream)
    try:
        layout = _layout(evidence.hints, stream.head)
    except ValueError as error:
        raise EvidenceError(evidence.source, str(error)) from None
    if layout is None:
        raise EvidenceError(evidence.source, _unknown(first_lines(stream.head, evidence.hints)))
    if evidence.hints.logformat is None:
        evidence.notes["logformat_from"] = "its fields are those of a default feed"
    whole = replace(evidence, stream=cast("BinaryIO", stream))
    yield from _Feed(whole, Layouts([layout]), _undoubled).batches("a Zscaler web log of that template")


def _undoubled(text: str) -> str:
    """Undo the doubled quotes of comma-separated values."""
    return text.replace('""', '"')


def _decoded(text: str) -> str | None:
    """Return what a Base64 field holds."""
    try:
        return text_of(b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return text


def _name64(text: str) -> str | None:
    return name_in(_decoded(text) or "")


def _address64(text: str) -> str | None:
    return address_in(_decoded(text) or "")


def _server(text: str) -> str | None:
    """Return a server's address; 0.0.0.0 is none."""
    return "" if text == "0.0.0.0" else address_of(text)  # noqa: S104 - compared, not bound


def _protocol(text: str) -> str:
    return _SERVICES.get(text.upper().removesuffix("_PROXY").replace("TUNNEL_", ""), "")


class _Feed(Access):
    """A feed of web logs."""

    NULL = (b"-", b"NA", b"N/A", b"None")

    def put(self, sheet: Sheet, which: I32) -> None:
        """Put the rows of a sheet into ``exchanges``."""
        del which
        start, end = self.times(sheet)
        src = self._source(sheet)
        name, literal, port = self._asked_for(sheet)
        service = self.words(sheet, "protocol", _protocol)
        usual = Ints(
            np.array([*(_PORTS[value] for value in service.values), 0], np.int64)[service.codes], service.known
        )
        agent, referer, url = self._text(sheet, "agent"), self._text(sheet, "referer"), self._text(sheet, "url")
        coded = self.words(sheet, "url64", _decoded).array(pa.string())
        sheet.put(
            "exchanges",
            start=start,
            end=end,
            src=src,
            dst=self.words(sheet, "server", _server, what="server").otherwise(literal),
            dst_port=port.otherwise(usual),
            proto="tcp",
            service=service,
            name=name,
            via=self.evidence.vantage,
            bytes_out=self.counts(sheet, "sent", "request size"),
            bytes_in=self.counts(sheet, "received", "reply size"),
            bytes_kind="application",
            state=self.words(sheet, "state", str),
            host=name.otherwise(literal),
            method=self.words(sheet, "method", method_of),
            url=coded if url is None else pc.coalesce(url, coded),
            status=self.status(sheet),
            user_agent=None if agent is None else unescaped(agent),
            referer=None if referer is None else unescaped(referer),
            content_type=self.words(sheet, "content_type", str),
            how=Words.constant("proxy", name.known),
            is_flow=True,
            is_request=True,
        )

    def _source(self, sheet: Sheet) -> Words:
        """Return the clients: by their own addresses where those are logged, else by their public ones."""
        own = self.words(sheet, "client", _server, what="client")
        return own.otherwise(self.words(sheet, "public", _server, what="public address of the client"))

    def _asked_for(self, sheet: Sheet) -> tuple[Words, Words, Ints]:
        """Return name, address and port of the server that was asked for: of the host, else of the URL."""
        name, literal = self.words(sheet, "host", name_in), self.words(sheet, "host", address_in)
        name = name.otherwise(self.words(sheet, "host64", _name64))
        literal = literal.otherwise(self.words(sheet, "host64", _address64))
        port = Ints(np.zeros(sheet.rows, np.int64), np.zeros(sheet.rows, np.bool_))
        for place, _ in self.layouts.fields("url"):
            authority = divided(sheet.cut, place, b"/", 2)
            bare = ~name.known & ~literal.known
            name = name.otherwise(sheet.words((authority, 0), name_in, null=self.NULL).only(bare))
            literal = literal.otherwise(sheet.words((authority, 0), address_in, null=self.NULL).only(bare))
            ports = sheet.words((authority, 0), port_in, null=self.NULL)
            port = Ints(np.array([*map(int, ports.values), 0], np.int64)[ports.codes], ports.known)
        return name, literal, port

    def _utc(self, sheet: Sheet, civil: Civil) -> I64:
        """Return times in UTC: of the zone that the row names, where that is Greenwich's. [us]"""
        zone = self.words(sheet, "zone", str)
        greenwich = zone.mapped(lambda text: text if _GREENWICH.fullmatch(text) else None).known
        offset = np.where(greenwich & (civil.offset == NO_OFFSET), np.int32(0), civil.offset)
        return super()._utc(sheet, Civil(civil.local, offset, civil.known))


def unescaped(texts: pa.Array) -> pa.Array:
    """Undo %HH in texts that have one."""
    found = pc.match_substring(texts, "%").fill_null(fill_value=False)
    if not pc.any(found).as_py():
        return texts
    made = [unquote(text, errors="backslashreplace") for text in texts.filter(found).to_pylist()]
    return pc.replace_with_mask(texts, found, pa.array(made, pa.string()))
