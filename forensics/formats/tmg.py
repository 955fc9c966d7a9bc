r"""Logs of Microsoft ISA Server and Forefront TMG: web proxy and firewall, in W3C form or as text.

Example lines, with tabs between the fields::

    #Software: Microsoft Internet Security and Acceleration Server 2004
    #Fields: c-ip  c-agent  date  time  r-host  r-ip  r-port  time-taken  cs-bytes  sc-bytes  s-operation  cs-uri
    192.0.2.21  curl  2015-05-21  10:00:01  www.example  203.0.113.7  80  78  489  5591  GET  http://www.example/

============================  =====================================================================
field (web)                   becomes
============================  =====================================================================
date time                     ``end``; ``start`` = end - time-taken [ms]
c-ip                          ``src``
cs-uri, r-host, r-port        ``url``, ``name``, ``dst_port``
r-ip                          ``dst``, where the object came from the Internet (s-object-source)
cs-bytes, sc-bytes            ``bytes_out``, ``bytes_in`` [B]
s-operation, sc-status        ``method``, ``status``; a code of Windows is no status
cs-protocol                   ``method`` CONNECT, where it is SSL-tunnel
s-computername                ``via``
action                        ``state``
c-agent, cs-mime-type         ``user_agent``, ``content_type``
============================  =====================================================================

============================  =====================================================================
field (firewall)              becomes
============================  =====================================================================
date time                     ``end``; ``start`` = end - connection time [ms]
source, destination           ``src``, ``src_port``, ``dst``, ``dst_port``; of ICMP type and code
IP protocol                   ``proto``
application protocol          ``service``
bytes sent, bytes received    ``bytes_out``, ``bytes_in``: from client to server, and back [B]
action                        ``state``
destination name              ``name``
============================  =====================================================================

Traps: a W3C file is in UTC, every other form in local time: that needs a zone. A field that is switched off is absent
in W3C form, and ``-`` as text. The firewall logs a connection when it opens (``Establish``), in between
(``Intermediate``, with the bytes *so far*) and when it ends (``Terminate``): they are one flow with the bytes of its
last line; a denied one has none. ``r-ip`` is the upstream proxy where there is one. The user ``anonymous`` is nobody.
Fields hold spaces, tabs part them; the names of the firewall's fields hold spaces too. A log as text has no header:
``logformat="tmg: web"``, ``"tmg: firewall"``, or the names of the fields with tabs. Made from the specification; never
met a real file here.

References
----------
.. [1] Microsoft, *Firewall log fields* (Forefront TMG),
   https://learn.microsoft.com/en-us/previous-versions/tn-archive/cc995278(v=technet.10)
.. [2] Microsoft, *Web proxy log fields*,
   https://learn.microsoft.com/en-us/previous-versions/windows/desktop/ff825150(v=vs.85)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._connections import joined
from forensics.formats._cut import divided
from forensics.formats._elff import declined
from forensics.formats._elff_columns import Reader, no_words
from forensics.formats._elff_web import asked_of_proxy, put_requests
from forensics.formats._firewall import proto_of
from forensics.formats._hosts import address_of, name_of
from forensics.formats._sheet import Ints, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._elff_columns import Lines
    from forensics.formats._sheet import Bools

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "TITLE", "declines", "parse"]

NAME = "tmg"
TITLE = "Microsoft TMG / ISA Server log"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
STAMP = "end"
OBSERVES: tuple[str, ...] = ("out", "in")

OPENS = ("Establish", "Initiated Connection", "Intermediate")
CLOSES = ("Terminate", "Closed Connection")
COUNTED = ("Terminate", "Closed Connection", "Intermediate")

_SERVICES = {"http": "http", "https": "ssl", "dns": "dns", "ftp": "ftp", "smtp": "smtp", "pop3": "pop3"}


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no log of ISA Server or TMG, or None where its fields are those of one."""
    return declined(head, hints, NAME)


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of a log of ISA Server or TMG.

    Parameters
    ----------
    evidence
        The opened log.
    """
    return joined(Reader(evidence, NAME, _put, lambda _: False).batches(), opens=OPENS, closes=CLOSES)


def _put(lines: Lines) -> None:
    """Put the rows of a run into its sheet."""
    if lines.field("source") is not None:
        _put_connections(lines)
        return
    asked = asked_of_proxy(lines)
    source = lines.words("s-object-source")
    direct = _among(source, "Inet", "VFInet", "NotVerifiedInet") if lines.field("s-object-source") is not None else None
    server = lines.words("r-ip", convert=address_of)
    tunnels = _among(lines.words("cs-protocol", convert=str.lower), "ssl-tunnel")
    secure = tunnels & asked.port.known & (asked.port.values == 443)
    put_requests(
        lines,
        asked._replace(service=asked.service.otherwise(Words.constant("ssl", secure))),
        lines.counts("time-taken", what="time-taken", limit=10**12, scale=1000),
        dst=asked.address.otherwise(server if direct is None else server.only(direct)),
        via=lines.proxy("s-computername", convert=name_of),
        how="proxy",
        state=lines.words("action"),
        tunnels=tunnels,
    )


def _put_connections(lines: Lines) -> None:
    """Put the connections of a firewall log into the sheet of their run."""
    time, action = lines.times(), lines.words("action")
    taken = lines.counts("connection time", what="connection time", limit=10**12, scale=1000)
    counted = _among(action, *COUNTED)
    src, src_port = _end(lines, "source")
    dst, dst_port = _end(lines, "destination")
    lines.sheet.reject(~src.known, "source is not an address")
    sent = lines.counts("bytes sent", what="bytes sent")
    received = lines.counts("bytes received", what="bytes received")
    lines.sheet.put(
        "flows",
        start=lines.began(time, taken),
        end=time,
        src=src,
        src_port=src_port,
        dst=dst,
        dst_port=dst_port,
        proto=lines.words("ip protocol", convert=_protocol),
        service=lines.words("application protocol", convert=_service),
        name=lines.words("destination name", convert=name_of),
        bytes_out=Ints(sent.values, sent.known & counted),
        bytes_in=Ints(received.values, received.known & counted),
        bytes_kind="application",
        state=action,
    )


def _service(text: str) -> str:
    """Return the application protocol as flows name it."""
    return _SERVICES.get(text.lower(), "")


def _protocol(text: str) -> str | None:
    """Return a transport protocol as flows name it."""
    name = text.lower()
    return proto_of(name if name == "ipv6-icmp" else name.removeprefix("ipv6-"))


def _among(words: Words, *texts: str) -> Bools:
    """Tell which rows have one of some words."""
    found: Bools = np.isin(words.codes, [code for code, text in enumerate(words.values) if text in texts])
    return found


def _end(lines: Lines, name: str) -> tuple[Words, Ints]:
    """Return address and port of one end of the connections; the port may be absent."""
    place = lines.field(name)
    if place is None:
        return no_words(lines.rows), Ints(np.zeros(lines.rows, np.int64), np.zeros(lines.rows, np.bool_))
    parts = divided(lines.sheet.cut, place, b":", 2, from_end=True)
    bare = lines.words(name, convert=address_of)
    first = lines.sheet.words((parts, 0), address_of)
    port = lines.sheet.counts((parts, 1), what=None, limit=65_535)
    return first.otherwise(bare), Ints(port.values, port.known & first.known)
