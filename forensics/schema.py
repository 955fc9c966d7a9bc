"""Every table of a case, declared once: columns, Arrow types, units, and what a null means.

Example: ``TABLES["flows"].schema`` is the Arrow schema of the flow table.

Times are ``timestamp[us, UTC]``. Integers are signed, since Spark has no unsigned ones. A null always means *not
observed*; no column holds a 0 in its place.

References
----------
.. [1] RFC 5952, *A Recommendation for IPv6 Address Text Representation*: the canonical text of addresses.
.. [2] RFC 7011, *IP Flow Information Export*, section 2: the terms *flow* and *observation point* (here: vantage).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "EXCHANGES",
    "FILLED",
    "FINDING_COLUMNS",
    "PARTS",
    "SCHEMA_VERSION",
    "STORED",
    "TABLES",
    "Column",
    "Table",
    "parts_of",
]

SCHEMA_VERSION = 4
"""Raised whenever a stored case of the previous version can no longer be read as it is."""

TIME = pa.timestamp("us", tz="UTC")
TEXT = pa.string()
COUNT = pa.int64()
SMALL = pa.int32()
RAW = pa.binary()
WORD = pa.dictionary(pa.int32(), pa.string())
"""Text of few distinct values: each is stored once, and the rows have its number."""

NEVER = "never null"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name
        The column's name, the same in every table, export and finding.
    type
        Its Arrow type.
    doc
        What it holds, in one sentence, with its unit in brackets where it has one.
    null
        What a null in it means; ``never null`` where there is none.
    """

    name: str
    type: pa.DataType
    doc: str
    null: str = NEVER


@dataclass(frozen=True)
class Table:
    """One table of a case.

    Parameters
    ----------
    name
        The table's name in SQL and the name of its Parquet files.
    doc
        What one row is.
    columns
        Its columns, in order.
    order
        Columns that put its rows into the one order every export uses.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    order: tuple[str, ...]

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the table."""
        return pa.schema([pa.field(c.name, c.type, nullable=c.null != NEVER) for c in self.columns])

    def column(self, name: str) -> Column:
        """Return a column by its name."""
        return next(column for column in self.columns if column.name == name)


_SOURCE = Column("source", TEXT, "Evidence file the row comes from: its name in the `sources` table.")
_RECORD = Column(
    "record", COUNT, "Place in the evidence file, from 1: the number of the (first) packet, or of the log's line."
)
_SRC = Column(
    "src", TEXT, "Address of the originator (client), canonical text; the vantage, where a host counts its own traffic."
)
_SRC_PORT = Column("src_port", SMALL, "Port of the originator; ICMP type.", "the record has none")
_DST = Column("dst", TEXT, "Address of the responder (server), canonical text.", "the record names no server address")
_DST_PORT = Column("dst_port", SMALL, "Port of the responder; ICMP code.", "the record has none")
_VIA = Column("via", TEXT, "Address or name of the proxy the connection went through.", "no proxy is named")
_VANTAGE = Column("vantage", TEXT, "Observation point: where the evidence was recorded.")
_KIND = Column(
    "bytes_kind",
    TEXT,
    "What the bytes count: `frame` (link header included), `ip`, `payload` (transport payload) or `application`.",
)

FLOWS = Table(
    "flows",
    "One connection of a capture or flow log, or one request of a proxy log.",
    (
        Column("start", TIME, "First packet, or start of the request."),
        Column("end", TIME, "Last packet, or end of the request."),
        _SRC,
        _SRC_PORT,
        _DST,
        _DST_PORT,
        Column("proto", TEXT, "Transport protocol: `tcp`, `udp`, `icmp`, `icmp6`, ... or `ip-N`.", "not logged"),
        Column("service", TEXT, "Application protocol, as Zeek names it: `http`, `ssl`, `dns`, ...", "not recognised"),
        Column("name", TEXT, "Host name that the client asked for.", "no name was seen"),
        _VIA,
        Column("bytes_out", COUNT, "Bytes from src to dst, of `bytes_kind`. [B]", "the direction was not observed"),
        Column("bytes_in", COUNT, "Bytes from dst to src, of `bytes_kind`. [B]", "the direction was not observed"),
        _KIND,
        Column("packets_out", COUNT, "Packets from src to dst.", "not a capture or flow log"),
        Column("packets_in", COUNT, "Packets from dst to src.", "not a capture or flow log"),
        Column("frame_bytes_out", COUNT, "Frame bytes on the wire from src to dst. [B]", "not a capture"),
        Column("frame_bytes_in", COUNT, "Frame bytes on the wire from dst to src. [B]", "not a capture"),
        Column("payload_bytes_out", COUNT, "Transport payload from src to dst. [B]", "not recorded"),
        Column("payload_bytes_in", COUNT, "Transport payload from dst to src. [B]", "not recorded"),
        Column("retransmitted_out", COUNT, "Payload that src sent again. [B]", "not a TCP connection of a capture"),
        Column("retransmitted_in", COUNT, "Payload that dst sent again. [B]", "not a TCP connection of a capture"),
        Column(
            "missed_out",
            COUNT,
            "Payload of src that the capture lacks; a FIN that it lacks may count as one byte. [B]",
            "not a TCP connection of a capture",
        ),
        Column("missed_in", COUNT, "The same of dst. [B]", "not a TCP connection of a capture"),
        Column("isn_out", COUNT, "Initial sequence number of src, that of its SYN.", "its SYN was not captured"),
        Column("isn_in", COUNT, "Initial sequence number of dst, that of its SYN.", "its SYN was not captured"),
        Column("state", TEXT, "Zeek's `conn_state` (S0, SF, RSTO, ...), or a proxy's result code.", "not known"),
        Column("history", TEXT, "Packet history as Zeek's `history` (ShADadFf ...).", "not recorded"),
        Column(
            "tunnel", TEXT, "`outer`: carries other connections; `inner`: is carried; `middle`: both.", "not tunnelled"
        ),
        _VANTAGE,
        _SOURCE,
        _RECORD,
    ),
    ("start", "source", "record", "src", "src_port"),
)

VOLUMES = Table(
    "volumes",
    "Traffic of one pair in one minute. Exact from captures; spread evenly over the connection's time for logs.",
    (
        Column("minute", TIME, "Start of the minute."),
        _SRC,
        _DST,
        Column("name", TEXT, "Host name that the client asked for.", "no name was seen"),
        _VIA,
        Column("bytes_out", COUNT, "Bytes from src to dst in this minute. [B]", "the direction was not observed"),
        Column("bytes_in", COUNT, "Bytes from dst to src in this minute. [B]", "the direction was not observed"),
        _KIND,
        Column("packets_out", COUNT, "Packets from src to dst in this minute.", "not a capture"),
        Column("packets_in", COUNT, "Packets from dst to src in this minute.", "not a capture"),
        Column("connections", COUNT, "Connections or requests that started in this minute."),
        _VANTAGE,
        _SOURCE,
    ),
    ("minute", "source", "src", "dst", "name", "via"),
)

NAMES = Table(
    "names",
    "One observation of what a server was called.",
    (
        Column("time", TIME, "When it was seen."),
        Column("address", TEXT, "Address that bore the name, canonical text.", "asked for, no address was seen"),
        Column("name", TEXT, "Host name: lower case, no trailing dot, IDN in its ASCII form."),
        Column(
            "how",
            TEXT,
            "How it is known: `dns`, `sni`, `http`, `connect`, `socks`, `proxy`, `certificate`, or `capture` itself.",
        ),
        Column("client", TEXT, "Address that asked for or used the name.", "not observed"),
        _SOURCE,
        _RECORD,
    ),
    ("time", "source", "record", "address", "name"),
)

REQUESTS = Table(
    "requests",
    "One HTTP request of a capture, a proxy or a sensor; or a CONNECT of SOCKS.",
    (
        Column("start", TIME, "Start of the request."),
        Column("end", TIME, "End of the reply.", "not observed"),
        _SRC,
        _SRC_PORT,
        _DST,
        _DST_PORT,
        Column("name", TEXT, "Host that was asked for.", "the request names none"),
        _VIA,
        Column("method", TEXT, "Method: GET, POST, CONNECT, ...", "not logged"),
        Column("url", TEXT, "URL or request target, as the client sent it.", "not logged"),
        Column("status", SMALL, "Status code of the reply.", "no reply was observed"),
        Column("user_agent", TEXT, "User-Agent header.", "absent or not logged"),
        Column("referer", TEXT, "Referer header.", "absent or not logged"),
        Column("content_type", TEXT, "Media type of the reply.", "absent or not logged"),
        Column("request_bytes", COUNT, "Size of the request; its body, in captures. [B]", "not observed"),
        Column("response_bytes", COUNT, "Size of the reply; its body, in captures. [B]", "not observed"),
        _SOURCE,
        _RECORD,
    ),
    ("start", "source", "record"),
)

FINGERPRINTS = Table(
    "fingerprints",
    "What a program gave away of itself in one connection.",
    (
        Column("time", TIME, "When it was seen."),
        Column("address", TEXT, "Address of the host whose program it is, canonical text."),
        Column("peer", TEXT, "Address that it spoke to.", "not observed"),
        Column("peer_port", SMALL, "Port of the peer, where the peer is the server.", "the peer is the client"),
        Column(
            "kind",
            TEXT,
            "What was given away: `ja3`, `ja4` and `alpn` of TLS clients, `certificate` of TLS servers, `ssh`.",
        ),
        Column(
            "fingerprint",
            TEXT,
            "The fingerprint itself, the protocols offered, the subject of the certificate, the SSH version.",
        ),
        _SOURCE,
        _RECORD,
    ),
    ("time", "source", "record", "address", "kind"),
)

REJECTS = Table(
    "rejects",
    "One record that could not be read.",
    (
        _SOURCE,
        Column("record", COUNT, "Number of the packet or line, from 1.", "the trouble lies outside any record"),
        Column("reason", TEXT, "What is wrong with it."),
        Column("raw", RAW, "Its first 512 bytes as they stand in the evidence.", "nothing was left to keep"),
    ),
    ("source", "record", "reason"),
)

SOURCES = Table(
    "sources",
    "One evidence file.",
    (
        Column("source", TEXT, "Name of the file, unique in the case."),
        Column("sha256", TEXT, "SHA-256 of the file as it lies on disk, hexadecimal."),
        Column("size", COUNT, "Size of the file as it lies on disk. [B]"),
        Column("format", TEXT, "Format that read it.", "no format recognised it"),
        Column("compression", TEXT, "Outer compression: `gzip`, `bzip2`, `xz`, `zstd`, `lz4`.", "not compressed"),
        Column("first", TIME, "Earliest time in it.", "no record could be read"),
        Column("last", TIME, "Latest time in it.", "no record could be read"),
        Column("records", COUNT, "Packets or lines in it, rejected ones included."),
        Column("rejected", COUNT, "Records that could not be read."),
        Column("flows", COUNT, "Rows it gave to `flows`."),
        Column("observed_out", COUNT, "Rows of `flows` whose `bytes_out` it recorded."),
        Column("observed_in", COUNT, "Rows of `flows` whose `bytes_in` it recorded."),
        _VANTAGE,
        Column("timezone", TEXT, "Time zone assumed for times that carry none.", "all times carry their zone"),
        Column("encoding", TEXT, "Encoding of its text.", "UTF-8, or no text"),
        Column(
            "clock_offset", pa.float64(), "Clock minus the reference clock. [s]", "always; `find_clock_offsets` has it"
        ),
        Column("error", TEXT, "Why reading stopped before the end of the file.", "it was read to its end"),
        Column(
            "gaps",
            TEXT,
            "What is missing in it: a JSON list of objects with `kind`, `start`, `end`, `reason` and `record`.",
            "no gap was found",
        ),
        Column(
            "notes", TEXT, "Other facts and assumptions, as a JSON object; `told` is what the analyst said.", "none"
        ),
    ),
    ("source",),
)

TABLES: dict[str, Table] = {t.name: t for t in (FLOWS, VOLUMES, NAMES, REQUESTS, FINGERPRINTS, REJECTS, SOURCES)}


def _word(table: Table, name: str) -> Column:
    """Return a column of a table; if it is text, as words."""
    column = table.column(name)
    return replace(column, type=WORD) if column.type == TEXT else column


_STORED_VOLUMES = replace(VOLUMES, columns=tuple(_word(VOLUMES, column.name) for column in VOLUMES.columns))

EXCHANGES = Table(
    "exchanges",
    "One record of a log that is a row of more than one table at once: of `flows`, of `requests` or of `names`.",
    (
        Column("start", TIME, "Start of the request."),
        Column("end", TIME, "End of the reply.", "not observed; a row of `flows` has it"),
        *(_word(FLOWS, name) for name in ("src", "src_port", "dst", "dst_port", "proto", "service")),
        Column("name", WORD, "Host name that the client asked for.", "no name was seen; where `how` is set, one was"),
        *(_word(FLOWS, name) for name in ("via", "bytes_out", "bytes_in", "bytes_kind", "packets_out", "packets_in")),
        *(_word(FLOWS, name) for name in ("payload_bytes_out", "payload_bytes_in", "state", "history", "tunnel")),
        *(_word(FLOWS, name) for name in ("vantage", "source", "record")),
        Column("host", WORD, "Host that was asked for, as `requests` has it: a name or an address.", "none is named"),
        _word(REQUESTS, "method"),
        *(REQUESTS.column(name) for name in ("url", "status", "user_agent", "referer")),
        _word(REQUESTS, "content_type"),
        Column("how", WORD, "How `name` is known, as in `names`.", "it is no row of `names`"),
        Column("is_flow", pa.bool_(), "Whether it is a row of `flows`."),
        Column("is_request", pa.bool_(), "Whether it is a row of `requests`."),
    ),
    FLOWS.order,
)

FILLED: dict[str, Table] = {**TABLES, EXCHANGES.name: EXCHANGES}
"""The tables that readers of evidence fill."""

STORED: dict[str, Table] = {**FILLED, "volumes": _STORED_VOLUMES}
"""The tables as they are stored: the text of `volumes` is words, and `exchanges` has rows of `PARTS`."""

PARTS = ("flows", "requests", "names")
"""The tables of which `exchanges` holds rows."""

_RENAMED = {
    "requests": {"name": "host", "request_bytes": "bytes_out", "response_bytes": "bytes_in"},
    "names": {"time": "start", "address": "dst", "client": "src"},
}
"""Columns of the tables that bear another name in `exchanges`."""


def parts_of(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the tables of `PARTS` of which a batch of ``exchanges`` has rows, with these rows.

    It is what queries see of the batch; tests compare by it.
    """
    for name, kept in zip(PARTS, (batch["is_flow"], batch["is_request"], batch["how"].is_valid()), strict=True):
        rows, schema = batch.filter(kept), TABLES[name].schema
        if rows.num_rows:
            yield name, pa.RecordBatch.from_arrays([_of_exchange(rows, name, field) for field in schema], schema=schema)


def _of_exchange(rows: pa.RecordBatch, table: str, field: pa.Field) -> pa.Array:
    """Return a column of a table as exchanges have it; nulls where they have none."""
    name = _RENAMED.get(table, {}).get(field.name, field.name)
    if name not in rows.schema.names:
        return pa.nulls(len(rows), field.type)
    return rows[name].cast(field.type)


FINDINGS = Table(
    "findings",
    "One statement of a detector, with the evidence it stands on.",
    (
        Column("detector", TEXT, "Detector that made it."),
        Column("start", TIME, "Start of what was found."),
        Column("end", TIME, "End of what was found."),
        Column("src", TEXT, "Terminal concerned.", "concerns no single terminal"),
        Column("dst", TEXT, "Server concerned: address, or name where none was observed.", "concerns no single server"),
        Column("name", TEXT, "Name the server was asked for by.", "no name was seen"),
        Column("value", pa.float64(), "What was observed, in the detector's unit."),
        Column("expected", pa.float64(), "What the baseline expects, in the same unit.", "no baseline"),
        Column("score", pa.float64(), "Strength, in the detector's unit: higher is stronger."),
        Column("p_value", pa.float64(), "Probability of so extreme a value under the baseline.", "not a test"),
        Column("q_value", pa.float64(), "p-value under Benjamini-Hochberg control over all tested.", "not a test"),
        Column("reason", TEXT, "The finding in words."),
        Column("source", TEXT, "Evidence files of the rows it stands on, separated by `; `."),
        Column("record", TEXT, "Their record numbers, per file in the same order, for example `4,18-22; 7`."),
    ),
    ("detector", "start", "src", "dst"),
)

FINDING_COLUMNS: tuple[str, ...] = tuple(c.name for c in FINDINGS.columns)
