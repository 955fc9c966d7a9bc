"""Zeek's records, turned one by one into rows of ``flows``, ``requests``, ``names`` and ``fingerprints``.

`forensics.formats._zeek_tables` does the same to a whole block at a time, and leaves to this what is out of the common.

References
----------
.. [1] Zeek, *conn.log*, https://docs.zeek.org/en/master/logs/conn.html: states, history, byte counts.
.. [2] Zeek, *base/protocols/conn/main.zeek*: ``orig_bytes`` is told from sequence numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.formats._hosts import address_of, host_port, name_of, target
from forensics.formats._times import epoch_us, iso_us, seconds_us
from forensics.formats._zeek_log import RowError
from forensics.protocols import proto_numbered, proto_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.formats import Evidence
    from forensics.formats._zeek_log import Record
    from forensics.rows import Rows

__all__ = ["KINDS", "LONGEST_UID", "Reader", "certificate_name", "is_carrier", "named_protocol"]

KINDS = ("conn", "dns", "files", "http", "ssl", "x509")
"""Paths of the logs that are read line by line."""

CARRIERS = frozenset(("ayiya", "teredo", "gtpv1", "vxlan", "geneve"))
"""Services of connections that carry others, which Zeek logs as well, with ``tunnel_parents``."""

LONGEST_UID = 64

_LARGEST = 2**50  # a pebibyte: no single connection moved more, and sums of honest figures stay far below 63 bits

_FLOW = (
    "start", "end", "src", "src_port", "dst", "dst_port", "proto", "service", "bytes_out", "bytes_in", "bytes_kind",
    "packets_out", "packets_in", "payload_bytes_out", "payload_bytes_in", "state", "history", "tunnel", "vantage",
    "source", "record",
)  # fmt: skip
_REQUEST = (
    "start", "src", "src_port", "dst", "dst_port", "name", "via", "method", "url", "status", "user_agent", "referer",
    "content_type", "request_bytes", "response_bytes", "source", "record",
)  # fmt: skip
_NAME = ("time", "address", "name", "how", "client", "source", "record")
_PRINT = ("time", "address", "peer", "peer_port", "kind", "fingerprint", "source", "record")


class Reader:
    """Turns single records into rows: the whole truth about what a record means.

    Parameters
    ----------
    evidence
        The log.
    rows
        Where the rows go.
    note
        Adds to a number in the notes of the file.
    link
        Is told of each connection: its line, uid and the uids of those that carry it.
    """

    def __init__(
        self,
        evidence: Evidence,
        rows: Rows,
        note: Callable[[str, int], None],
        link: Callable[[int, str, list[str]], None],
    ) -> None:
        self._evidence, self._note, self._link = evidence, note, link
        self._flow = rows.appender("flows", *_FLOW)
        self._request = rows.appender("requests", *_REQUEST)
        self._name = rows.appender("names", *_NAME)
        self._print = rows.appender("fingerprints", *_PRINT)

    def add(self, kind: str, number: int, record: Record) -> None:
        """Put a record into the rows.

        Parameters
        ----------
        kind
            Path of its log, one of `KINDS`.
        number
            Its line.
        record
            What was logged.

        Raises
        ------
        RowError
            If it cannot be read; no row was added.
        """
        {"conn": self._conn, "dns": self._dns, "files": self._file, "http": self._http, "ssl": self._ssl,
         "x509": self._x509}[kind](number, record)  # fmt: skip

    def _conn(self, number: int, record: Record) -> None:
        """Connection: one flow. Zeek writes it at the connection's end, ``ts`` is its start."""
        start = _time(record)
        src, src_port, dst, dst_port = _ends(record)
        duration = _seconds(record, "duration")
        payload_out, payload_in = _number(record, "orig_bytes"), _number(record, "resp_bytes")
        ip_out, ip_in = _number(record, "orig_ip_bytes"), _number(record, "resp_ip_bytes")
        packets_out, packets_in = _number(record, "orig_pkts"), _number(record, "resp_pkts")
        has_ip = ip_out is not None or ip_in is not None
        out, back, kind = (ip_out, ip_in, "ip") if has_ip else (payload_out, payload_in, "payload")
        history, service = _text(record, "history"), _text(record, "service")
        parents = _list(record, "tunnel_parents")
        tunnel = ("middle" if parents else "outer") if is_carrier(service) else "inner" if parents else None
        self._flow(
            (start, start + duration, src, src_port, dst, dst_port, _protocol(record, src), service, out, back, kind,
             packets_out, packets_in, payload_out, payload_in, _text(record, "conn_state"), history, tunnel,
             self._evidence.vantage, self._evidence.source, number)
        )  # fmt: skip
        self._link(number, _text(record, "uid") or "", parents)
        if history and "^" in history:
            self._note("direction_flipped", 1)
        if record.get("missed_bytes") not in (None, "", "0"):
            self._note("with_missed_bytes", 1)

    def _dns(self, number: int, record: Record) -> None:
        """DNS: the name that was asked for, once for each address in the answers."""
        time = _time(record)
        client, _, _, _ = _ends(record)
        name = name_of(_text(record, "query") or "")
        found = dict.fromkeys(map(address_of, _list(record, "answers")))
        found.pop(None, None)
        for address in list(found) or [None]:
            if name:
                self._name((time, address, name, "dns", client, self._evidence.source, number))

    def _http(self, number: int, record: Record) -> None:
        """HTTP: a request and the name of the server; a request to a proxy tells nothing of the proxy's own name."""
        time = _time(record)
        src, src_port, dst, dst_port = _ends(record)
        host, method, url = (_text(record, field) for field in ("host", "method", "uri"))
        status = _number(record, "status_code")
        if status is not None and status > 9999:
            raise RowError("status_code is not a status")
        sent, received = _number(record, "request_body_len"), _number(record, "response_body_len")
        asked = target(method or "", url or "")
        name = host_port(host)[0] if host else ""
        server, port, via = (asked.address, asked.port, dst) if asked.host else (dst, dst_port, None)
        named = asked.host or address_of(name) or name_of(name)
        self._request(
            (time, src, src_port, server, port, named, via, method, url, status, _text(record, "user_agent"),
             _text(record, "referrer"), next(iter(_list(record, "resp_mime_types")), "") or None, sent, received,
             self._evidence.source, number)
        )  # fmt: skip
        if named and not address_of(named):
            how = "proxy" if via else "http"
            self._name((time, server, named, how, src, self._evidence.source, number))

    def _ssl(self, number: int, record: Record) -> None:
        """TLS: the name that the client asked for."""
        time = _time(record)
        client, _, server, port = _ends(record)
        name = name_of(_text(record, "server_name") or "")
        if name and not address_of(name):
            self._name((time, server, name, "sni", client, self._evidence.source, number))
        for kind in ("ja3", "ja4"):
            if given := _text(record, kind):
                self._print((time, client, server, port, kind, given, self._evidence.source, number))
        if subject := _text(record, "subject"):
            self._print((time, server, client, None, "certificate", subject, self._evidence.source, number))

    def _x509(self, number: int, record: Record) -> None:
        """X.509: the names in a certificate; which server showed it, ssl.log tells."""
        time = _time(record)
        for name in dict.fromkeys(filter(None, map(certificate_name, _list(record, "san.dns")))):
            self._name((time, None, name, "certificate", None, self._evidence.source, number))

    def _file(self, number: int, record: Record) -> None:  # noqa: ARG002 - as the others
        """File: no row; its bytes are in the flow that carried it, its kind is told by the notes."""
        _time(record)


def is_carrier(service: str | None) -> bool:
    """Tell whether a service carries other connections."""
    return not CARRIERS.isdisjoint((service or "").split(","))


def certificate_name(text: str) -> str | None:
    """Return a name of a certificate; None where it is none of a host."""
    name = name_of(text)
    return None if name is None or address_of(name) else name


def _text(record: Record, field: str) -> str | None:
    """Return a field's text; null where it is not observed or empty."""
    value = record.get(field)
    return (",".join(value) if isinstance(value, list) else value) or None


def _list(record: Record, field: str) -> list[str]:
    """Return the elements of a set or vector; none where it is not observed."""
    value = record.get(field) or []
    return [value] if isinstance(value, str) else value


def _time(record: Record) -> int:
    """Return ``ts``, a Unix time or ISO 8601. [us]"""
    text = _text(record, "ts")
    if text is None:
        raise RowError("ts is missing")
    try:
        return iso_us(text) if text[4:5] == "-" else epoch_us(text)
    except (ValueError, OverflowError) as error:
        raise RowError(f"ts is {error}") from None


def _seconds(record: Record, field: str) -> int:
    """Return a span, 0 where it is not observed. [us]"""
    text = _text(record, field)
    try:
        span = 0 if text is None else seconds_us(text)
    except ValueError as error:
        raise RowError(f"{field} is {error}") from None
    if span < 0:
        raise RowError(f"{field} is negative")
    return span


def _number(record: Record, field: str) -> int | None:
    """Return a count, None where it is not observed."""
    text = _text(record, field)
    if text is None:
        return None
    if len(text) > 19 or not text.isdecimal() or not text.isascii() or int(text) > _LARGEST:
        raise RowError(f"{field} is not a count")
    return int(text)


def _ends(record: Record) -> tuple[str, int | None, str, int | None]:
    """Return address and port of originator and responder."""
    found = []
    for field in ("id.orig_h", "id.resp_h"):
        address = address_of(_text(record, field) or "")
        if address is None:
            raise RowError(f"{field} is not an address" if field in record else f"{field} is missing")
        found.append(address)
    return found[0], _port(record, "id.orig_p"), found[1], _port(record, "id.resp_p")


def _port(record: Record, field: str) -> int | None:
    """Return a port."""
    port = _number(record, field)
    if port is not None and port > 65535:
        raise RowError(f"{field} is not a port")
    return port


def _protocol(record: Record, src: str) -> str | None:
    """Return the transport protocol; Zeek calls ICMPv6 icmp, too, and knows no name of rare ones."""
    proto = named_protocol(_text(record, "proto") or "") or proto_numbered(_text(record, "ip_proto") or "")
    return "icmp6" if proto == "icmp" and ":" in src else proto


def named_protocol(text: str) -> str | None:
    """Return a protocol that Zeek has a name for."""
    return None if text.lower() == "unknown_transport" else proto_of(text)
