r"""Access logs of web servers and load balancers: from the codes of their lines to rows of ``exchanges``.

Example line, of which all others are variations (the *common log format*)::

    192.0.2.21 - alice [21/May/2015:10:00:01 +0900] "GET /index.html HTTP/1.1" 200 2326

What a program's codes tell is a role: ``client``, ``time``, ``request``, ``status``, ``received`` and so on; `Access`
reads the roles that a file has. Whoever defines codes for a program (`forensics.formats.apache` and its like) gives
them these roles:

=================  ===========================================================================================
role               what the code tells
=================  ===========================================================================================
client, named      address of the peer; the same, or its host name
client_port        port of the peer
forwarded          ``X-Forwarded-For``
listed             the same where the peer is not logged besides: the last address stands for it
time               written-out time; ``epoch`` is a number since 1970
elapsed            how long it took
request            method, target and version; ``method`` and ``url`` where they are apart
status             status code
received, body     bytes of the reply with its head; without it (``-`` is 0 there)
sent               bytes of the request
host, vhost, port  server that was asked for, perhaps with port; as it is configured; its port
server             address of the server itself
secure             version of TLS, or the scheme
referer, agent, content_type, state
=================  ===========================================================================================

References
----------
.. [1] W3C, *Logging Control In W3C httpd*, https://www.w3.org/Daemon/User/Config/Logging.html: the common log format.
.. [2] RFC 9112, section 3: the request line.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.compute as pc

from forensics.formats._asked import Forwarded
from forensics.formats._blocks import blocks, in_order
from forensics.formats._clf_fields import (
    address_in,
    backslashes,
    before_last,
    behind,
    client_of,
    last_client,
    method_of,
    name_in,
    nothing,
    port_in,
    request_line,
    secured,
)
from forensics.formats._columns import either
from forensics.formats._hosts import address_of
from forensics.formats._lines import text_of
from forensics.formats._sheet import Ints, Sheet, Vocabularies, Words, finished
from forensics.formats._stamps import NO_OFFSET, Civil, compile_stamp
from forensics.formats._syslog import without_heads
from forensics.formats._times import LATEST
from forensics.formats._zones import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from forensics.formats import Evidence
    from forensics.formats._blocks import Block
    from forensics.formats._columns import Bools
    from forensics.formats._cut import I32, I64
    from forensics.formats._fields import Field, Targets
    from forensics.formats._layouts import Layouts

__all__ = ["Access", "Asked"]

LONGEST = 10**9
"""Longest duration that is believed. [s]"""


class Asked(NamedTuple):
    """What requests ask for.

    Parameters
    ----------
    method, url
        Columns for a table.
    targets
        The servers of absolute URLs and of CONNECT.
    """

    method: Words | None
    url: pa.Array | None
    targets: Targets | None


class Access:
    """One access log on its way into tables.

    Parameters
    ----------
    evidence
        The log.
    layouts
        How its lines may be made up.
    undo
        Undoes the escapes of its program.
    """

    NULL: tuple[bytes, ...] = (b"-",)

    def __init__(self, evidence: Evidence, layouts: Layouts, undo: Callable[[str], str] = backslashes) -> None:
        self.evidence, self.layouts, self._undo = evidence, layouts, undo
        self._clock, self._forwarded = Clock(evidence), Forwarded(evidence)
        self._vocabularies, self._used = Vocabularies(), set[str]()

    def batches(self, title: str) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the rows of the log.

        Parameters
        ----------
        title
            What the log is read as, where nothing of it can be read.
        """
        made = in_order(self._made, blocks(self.evidence))
        yield from finished(self.evidence, title, (batch for batches in made for batch in batches))
        if self._used:
            self.evidence.notes["logformat"] = ", ".join(sorted(self._used))

    def _made(self, block: Block) -> list[tuple[str, pa.RecordBatch]]:
        """Return the rows of a block."""
        bodies, heads = without_heads(block)
        cut, which, wrong = self.layouts.cut(bodies)
        sheet = Sheet(heads.whole(cut), self.evidence, self._vocabularies.own)
        for reason, rows in wrong.items():
            where = np.zeros(sheet.rows, np.bool_)
            where[rows] = True
            sheet.reject(where, reason)
        self._used |= {self.layouts.known[place].name for place in np.unique(which[which >= 0]).tolist()}
        self.put(sheet, which)
        return list(sheet.batches())

    def put(self, sheet: Sheet, which: I32) -> None:
        """Put the rows of a sheet into tables.

        Parameters
        ----------
        sheet
            The sheet.
        which
            For each row the place of its layout.
        """
        asked = self.asked(sheet)
        (start, end), (peer, src, passed) = self.times(sheet), self.clients(sheet)
        host, literal = self._host(sheet, name_in), self._host(sheet, address_in)
        port = self._port_of(sheet).otherwise(self.counts(sheet, "port", "server port", limit=65_535))
        name, dst = host, self.words(sheet, "server", address_of).otherwise(literal)
        there = np.zeros(sheet.rows, np.bool_)
        if asked.targets is not None:
            there = asked.targets.name.known | asked.targets.address.known
            name = asked.targets.name.otherwise(host.only(~there))
            dst = asked.targets.address.otherwise(dst.only(~there))
            port = either(there, asked.targets.port, port)
            literal = asked.targets.address.otherwise(literal.only(~there))
        sheet.put(
            "exchanges",
            start=start,
            end=end,
            src=src,
            src_port=self._src_port(sheet, peer.only(~passed)),
            dst=dst,
            dst_port=port,
            proto="tcp",
            service=self.service(sheet, which, asked, port),
            name=name,
            via=Words.constant(self.evidence.vantage, there).otherwise(peer.only(passed)),
            bytes_out=self.counts(sheet, "sent", "request size"),
            bytes_in=self.received(sheet),
            bytes_kind="application",
            state=self.words(sheet, "state", str),
            host=name.otherwise(literal),
            method=asked.method,
            url=asked.url,
            status=self.status(sheet),
            user_agent=self._text(sheet, "agent"),
            referer=self._text(sheet, "referer"),
            content_type=self.words(sheet, "content_type", str),
            is_flow=True,
            is_request=self.is_request(which),
        )

    def is_request(self, which: I32) -> Bools | bool:
        """Tell which rows are requests, by their layouts."""
        del which
        return True

    def words(self, sheet: Sheet, role: str, convert: Callable[[str], str | None], *, what: str | None = None,
              kind: str = "an address") -> Words:  # fmt: skip
        """Return texts that repeat: of the first code of a role that has one in a row."""
        made = Words(np.full(sheet.rows, -1, np.int32), ())
        for place, _ in self.layouts.fields(role):
            found = sheet.words(place, convert, what=what, kind=kind, null=self.NULL, undo=self._undo)
            made = made.otherwise(found)
        return made

    def counts(self, sheet: Sheet, role: str, what: str, limit: int = 1 << 50) -> Ints:
        """Return numbers: of the first code of a role that has one in a row."""
        made = nothing(sheet.rows)
        for place, _ in self.layouts.fields(role):
            made = made.otherwise(sheet.counts(place, what=what, null=self.NULL, limit=limit))
        return made

    def _host(self, sheet: Sheet, convert: Callable[[str], str | None]) -> Words:
        """Return what the server that was asked for becomes; what the client said goes before what is configured."""
        return self.words(sheet, "host", convert).otherwise(self.words(sheet, "vhost", convert))

    def _text(self, sheet: Sheet, role: str) -> pa.Array | None:
        """Return texts that do not repeat."""
        made = None
        for place, _ in self.layouts.fields(role):
            found = sheet.text(place, null=self.NULL, undo=self._undo)
            made = found if made is None else pc.coalesce(made, found)
        return made

    def times(self, sheet: Sheet) -> tuple[Ints, Ints]:
        """Return start and end of each row. [us]"""
        stamp, ends = self._stamp(sheet)
        sheet.reject(~stamp.known, "there is no time")
        elapsed = self._elapsed(sheet)
        start = Ints(np.where(ends, stamp.values - elapsed, stamp.values), stamp.known)
        end = Ints(np.where(ends, stamp.values, stamp.values + elapsed), stamp.known)
        return start, end

    def _stamp(self, sheet: Sheet) -> tuple[Ints, Bools]:
        """Return the time of each row, and whether it is the end. [us]"""
        made, ends = nothing(sheet.rows), np.zeros(sheet.rows, np.bool_)
        for place, code in self.layouts.fields("epoch"):
            found = sheet.decimals(place, what=code.title, unit=code.unit, limit=LATEST * 1_000_000 // code.unit)
            ends |= ~made.known & found.known & code.ends
            made = made.otherwise(found)
        for place, code in self.layouts.fields("time"):
            civil = sheet.stamps(place, compile_stamp(code.stamp), what=code.title)
            found = Ints(self._utc(sheet, civil), civil.known)
            ends |= ~made.known & found.known & code.ends
            made = made.otherwise(found)
        return made, ends

    def _utc(self, sheet: Sheet, civil: Civil) -> I64:
        """Return times in UTC. [us]"""
        bare = np.flatnonzero(civil.known & (civil.offset == NO_OFFSET))
        row = int(bare[0]) if len(bare) else 0
        sample = (int(sheet.cut.number[row]), text_of(sheet.cut.record(row))) if sheet.rows else (1, "")
        return self._clock.utc(civil, sample)

    def _elapsed(self, sheet: Sheet) -> I64:
        """Return how long each row took, 0 where that is not known. [us]"""
        made = nothing(sheet.rows)
        for place, code in sorted(self.layouts.fields("elapsed"), key=lambda field: field[1].unit):
            limit = LONGEST * 1_000_000 // code.unit
            made = made.otherwise(sheet.decimals(place, what=code.title, null=self.NULL, unit=code.unit, limit=limit))
        sheet.note("negative_elapsed", int((made.values < -1_000).sum()))
        return np.where(made.known, np.maximum(made.values, 0), 0)

    def clients(self, sheet: Sheet) -> tuple[Words, Words, Bools]:
        """Return the peer of each row, its client, and whether it is another, as the headers of trusted proxies say."""
        what, kind = "client", "an address or a host name"
        peer = self.words(sheet, "client", client_of, what=what, kind=kind)
        peer = peer.otherwise(self.words(sheet, "named", client_of, what=what, kind=kind))
        listed = self.words(sheet, "listed", last_client, what=what, kind=kind)
        peer, forwarded = peer.otherwise(listed), self.words(sheet, "forwarded", str)
        forwarded = forwarded.otherwise(self.words(sheet, "listed", before_last).only(listed.known))
        names = np.array([address_of(value) is None for value in peer.values] + [False], np.bool_)
        sheet.note("clients_by_name", int(names[peer.codes].sum()))
        src = behind(peer, forwarded, self._forwarded)
        return peer, src, src.codes != peer.codes

    def _src_port(self, sheet: Sheet, peer: Words) -> Ints:
        """Return the port of the client, where it is the peer; one on a socket of the machine has none."""
        port = self.counts(sheet, "client_port", "client port", limit=65_535)
        there = np.array([*(value != "unix" for value in peer.values), False], np.bool_)[peer.codes]
        return Ints(port.values, port.known & there & (port.values > 0))

    def _port_of(self, sheet: Sheet) -> Ints:
        """Return the port of the server that was asked for."""
        words = self._host(sheet, port_in)
        numbers = np.array([*map(int, words.values), 0], np.int64)[words.codes]
        return Ints(numbers, words.known)

    def status(self, sheet: Sheet) -> Ints:
        """Return the status codes; 0 is none."""
        status = self.counts(sheet, "status", "status", limit=999)
        return Ints(status.values, status.known & (status.values > 0))

    def received(self, sheet: Sheet) -> Ints:
        """Return the bytes of the replies; a dash is 0 where the body alone is counted."""
        made = self.counts(sheet, "received", "reply size")
        for place, _ in self.layouts.fields("body"):
            body = sheet.counts(place, what="reply size", null=self.NULL)
            made = made.otherwise(Ints(body.values, body.known | sheet.equals(place, b"-")))
        return made

    def service(self, sheet: Sheet, which: I32, asked: Asked, port: Ints) -> Words:
        """Return the application protocols."""
        del which
        on_443 = Words.constant("ssl", port.known & (port.values == 443))
        secure = self.words(sheet, "secure", secured).otherwise(on_443)
        plain = secure.otherwise(Words.constant("http", np.ones(sheet.rows, np.bool_)))
        if asked.targets is None:
            return plain
        there = asked.targets.name.known | asked.targets.address.known
        return asked.targets.service.otherwise(plain.only(~there))

    def asked(self, sheet: Sheet) -> Asked:
        """Return what requests ask for."""
        requests = self.layouts.fields("request")
        if requests:
            return self._requests(sheet, requests[0][0])
        method, url = (self.layouts.fields(role)[:1] for role in ("method", "url"))
        words = self.words(sheet, "method", method_of)
        targets = sheet.targets(method[0][0], url[0][0], null=self.NULL, undo=self._undo) if method and url else None
        return Asked(words, self._text(sheet, "url"), targets)

    def _requests(self, sheet: Sheet, field: int) -> Asked:
        """Return what request lines ask for; of one that is none all its text is the target."""
        method, url = request_line(sheet.cut, field)
        place: Field = (method, 0)
        words = sheet.words(place, method_of, null=self.NULL, undo=self._undo)
        whole = ~words.known
        target = replace(url, begin=np.where(whole, sheet.cut.begin[field], url.begin[0])[None],
                         end=np.where(whole, sheet.cut.end[field], url.end[0])[None],
                         flag=np.where(whole, sheet.cut.flag[field], url.flag[0])[None])  # fmt: skip
        targets = sheet.targets(place, (target, 0), null=self.NULL, undo=self._undo)
        return Asked(words, sheet.text((target, 0), null=self.NULL, undo=self._undo), targets)
