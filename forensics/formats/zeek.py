r"""Zeek logs: conn, dns, http and ssl, tab-separated or JSON.

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
=======  ==================================  =======================================================================

Only conn gives flows: http.log and ssl.log describe connections whose bytes conn.log counts.

Traps: fields come in any order, and the header repeats and changes where logs were concatenated. ``-`` is unset,
``(empty)`` an empty string or set. Bytes are written as ``\xNN``. JSON leaves unset fields out and writes times as
seconds, milliseconds or ISO 8601. ``orig_bytes`` is counted by sequence numbers and wrong where packets were lost.
``^`` in the history means that Zeek swapped the ends. An HTTP request with an absolute URL or CONNECT went to a
proxy: then the responder is ``via``, and the server asked for has no address yet. The SNI of a tunnel through a proxy
stands at the proxy's address, since ssl.log does not tell. ``open_conn`` logs repeat cumulative totals of connections
that are still open and are not read, lest bytes count again and again.

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
from forensics.formats._lines import complete_lines, read_lines, text_of
from forensics.formats._zeek_log import Header, RowError, json_record, kind_of
from forensics.formats._zeek_rows import KINDS, Reader
from forensics.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._zeek_log import Record

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "TITLE", "declines", "parse"]

NAME = "zeek"
TITLE = "Zeek log (conn, dns, http, ssl)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False

HEADER_LINES = 64
"""Lines in which the header of a tab-separated log is looked for."""

PATHS_LISTED = 50
"""Paths of skipped records that are told apart in the notes."""

LONGEST_PATH = 64

OPEN_LOG = "an open-connection log: its rows repeat cumulative totals and are not read yet"


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
        return "line 1 is a JSON object without the keys of a Zeek conn, dns, http or ssl log"
    return None if "ts" in record and kind in KINDS else _declines_kind(kind)


def _declines_header(first: list[bytes]) -> str | None:
    """Say why a file that begins with ``#`` is no Zeek log that is read."""
    header = Header()
    for line in first:
        if line.startswith(b"#"):
            header.read(text_of(line))
    if not header.path:
        return "its # lines hold no #path"
    return None if header.path in KINDS else _declines_kind(header.path)


def _declines_kind(path: str) -> str:
    """Say why a Zeek log of another path is not read."""
    return f"Zeek log of path {path!r} is not read yet" if not path.startswith("open_") else OPEN_LOG


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, requests, names and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If the file is a log of open connections by its name, or the stream is damaged.
    """
    if PurePath(evidence.source).name.startswith("open_"):
        # Some exports keep the path "conn" for them; adding them up would multiply long connections.
        raise EvidenceError(evidence.source, OPEN_LOG)
    rows = Rows()
    log = _Log(evidence, rows)
    yield from read_lines(evidence, rows, log.add)
    log.finish()


class _Log:
    """One log on its way into rows: its header, and what was passed over."""

    def __init__(self, evidence: Evidence, rows: Rows) -> None:
        self._evidence, self._rows = evidence, rows
        self._reader = Reader(evidence, rows)
        self._header = Header()
        self._comments = 0
        self._kind = ""
        self._skipped: dict[str, int] = {}

    def add(self, number: int, line: bytes) -> None:
        """Take one line."""
        if line.startswith(b"#"):
            self._comments += 1
            self._header.read(text_of(line))
            return
        try:
            kind, record = self._json(line) if line.startswith(b"{") else self._row(line)
            if kind in KINDS:
                self._reader.add(kind, number, record)
            else:
                self._skip(kind[:LONGEST_PATH])
        except RowError as error:
            self._rows.reject(self._evidence.source, number, str(error), line)

    def _skip(self, kind: str) -> None:
        """Count a record of another log; a hostile file cannot make the list of their paths long."""
        if kind not in self._skipped and len(self._skipped) >= PATHS_LISTED:
            kind = "(others)"
        self._skipped[kind] = self._skipped.get(kind, 0) + 1

    def _row(self, line: bytes) -> tuple[str, Record]:
        """Return kind and record of a tab-separated row."""
        return self._header.path, self._header.record(text_of(line))

    def _json(self, line: bytes) -> tuple[str, Record]:
        """Return kind and record of a JSON row; where its keys tell nothing, it is what came before."""
        record = json_record(line)
        self._kind = kind_of(record) or self._kind
        if not self._kind:
            raise RowError("its keys are not those of a conn, dns, http or ssl log")
        return self._kind, record

    def finish(self) -> None:
        """Complete the notes of the file."""
        notes = self._evidence.notes
        notes["records"] = notes["records"] - self._comments if isinstance(notes["records"], int) else 0
        if self._skipped:
            notes["skipped_paths"] = dict(sorted(self._skipped.items()))
        if self._header.opened > self._header.closed:
            notes["unclosed"] = "a #close line is missing: the log was still being written, or its end is lost"
