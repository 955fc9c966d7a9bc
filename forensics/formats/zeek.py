r"""Zeek logs: conn, dns, http, ssl, x509 and files, tab-separated or JSON.

Example line (conn, JSON)::

    {"ts": 1591367999.3059881, "uid": "CMdzit1AMNsmfAIiQc", "id.orig_h": "192.0.2.5", "id.orig_p": 36844, ...}

=======  ==================================  =======================================================================
log      field                               becomes
=======  ==================================  =======================================================================
all      ts                                  start of the connection, request or query; exact to the microsecond
all      id.orig_h, id.resp_h, ports         ``src``, ``dst`` and ports (ICMP: type and code)
conn     duration                            ``end`` = ts + duration [s]; where it is not observed, ``end`` = ``start``
conn     orig_ip_bytes, resp_ip_bytes        ``bytes_out``, ``bytes_in`` [B]; ``bytes_kind`` is ``ip``
conn     orig_bytes, resp_bytes              ``payload_bytes_*`` [B]; without IP bytes also ``bytes_*``, ``payload``
conn     conn_state, history, service        ``state``, ``history``, ``service``
conn     tunnel_parents                      ``tunnel`` = ``inner``; a carrying connection is ``outer``
dns      query, answers                      ``names`` (dns), one for each address; null address where none came
http     method, host, uri, status_code ...  ``requests`` and ``names`` (http); sizes are those of the bodies [B]
ssl      server_name                         ``names`` (sni)
ssl      ja3, ja4, subject                   ``fingerprints``, where a package or an older Zeek logs them
x509     san.dns                             ``names`` (certificate); which server showed it is not logged there
files    mime_type                           no row: the notes count the types of what was transferred
=======  ==================================  =======================================================================

Only conn gives flows: http.log, ssl.log and files.log describe connections whose bytes conn.log counts.

Traps: fields come in any order, and the header repeats and changes where logs were concatenated. ``-`` is unset,
``(empty)`` an empty string or set. Bytes are written as ``\xNN``. JSON leaves unset fields out and writes times as
seconds, milliseconds or ISO 8601; shippers rename ``id.orig_h`` or make an object of it. A count above 2^50 is damaged,
and its record a reject. A connection is known to carry others by its service, or because earlier lines of the same
file name it as their parent. ``orig_bytes`` is counted by sequence numbers and wrong where packets were lost.
``^`` in the history means that Zeek swapped the ends. An HTTP request with an absolute URL or CONNECT went to a
proxy: then the responder is ``via``, and the server asked for has no address yet. The SNI of a tunnel through a proxy
stands at the proxy's address, since ssl.log does not tell. ``open_conn`` and
``conn_long`` logs repeat cumulative totals, which are never added: of each connection the row of the largest duration
is a flow of state ``OPEN``, and none where a conn.log in the same folder, rotated or not, has the connection, or
another log of open connections there has a longer row. What lies in other folders is not seen. Other ``open_`` logs
are not read. Which connections carry others is known within a file, not across a set.

References
----------
.. [1] Zeek, *Zeek Log Formats and Inspection*, https://docs.zeek.org/en/master/log-formats.html
.. [2] Zeek, *conn.log*, https://docs.zeek.org/en/master/logs/conn.html
.. [3] zeek-open-connections, https://github.com/activecm/zeek-open-connections
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from forensics.errors import EvidenceError
from forensics.formats._encodings import utf8_head
from forensics.formats._lines import complete_lines, text_of
from forensics.formats._sheet import finished
from forensics.formats._zeek_log import Header, RowError, json_record, kind_of
from forensics.formats._zeek_open import OPEN
from forensics.formats._zeek_reading import read
from forensics.formats._zeek_rows import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "TITLE", "declines", "parse"]

NAME = "zeek"
TITLE = "Zeek log (conn, dns, http, ssl, x509, files)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
LINES = True

HEADER_LINES = 64
"""Lines in which the header of a tab-separated log is looked for."""

OPEN_LOG = "a log of open connections that repeats what it says: of these only open_conn and conn_long are read"


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no Zeek log that is read, or None where it is one."""
    first = complete_lines(utf8_head(head, hints), HEADER_LINES)
    if not first:
        return "it is empty"
    if first[0].startswith(b"#"):
        return _declines_header(first)
    if not first[0].startswith(b"{"):
        return "line 1 begins neither with a # header nor with a JSON object"
    try:
        record = json_record(first[0])
    except RowError as error:
        return f"line 1 is {error}"
    kind = kind_of(record)
    if kind is None:
        return "line 1 is a JSON object without the keys of a Zeek log that is read"
    return None if "ts" in record and kind in (*KINDS, *OPEN) else _declines_kind(kind)


def _declines_header(first: list[bytes]) -> str | None:
    """Say why a file that begins with ``#`` is no Zeek log that is read."""
    header = Header()
    for line in first:
        if line.startswith(b"#"):
            header.read(text_of(line))
    if not header.path:
        return "its # lines hold no #path"
    return None if header.path in (*KINDS, *OPEN) else _declines_kind(header.path)


def _declines_kind(path: str) -> str:
    """Say why a Zeek log of another path is not read."""
    return f"Zeek log of path {path!r} is not read yet" if not path.startswith("open_") else OPEN_LOG


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, requests, names and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If the file is a log of open connections by its name, nothing in it can be read, or the stream is damaged.
    """
    name = PurePath(evidence.source).name
    if name.startswith("open_") and not name.startswith(OPEN):
        # Some exports keep the path of the log that they repeat; their rows say the same thing again and again.
        raise EvidenceError(evidence.source, OPEN_LOG)
    yield from finished(evidence, NAME, read(evidence))
