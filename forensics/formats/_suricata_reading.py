"""Suricata's events, a block at a time, turned into rows.

References
----------
.. [1] Suricata User Guide, *EVE JSON Format*, https://docs.suricata.io/en/latest/output/eve/eve-json-format.html
"""

from __future__ import annotations

import json
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from forensics.errors import EvidenceError
from forensics.formats._blocks import blocks, in_order
from forensics.formats._columns import either
from forensics.formats._fields import Fields
from forensics.formats._hosts import address_of, name_of, server_of
from forensics.formats._kinds import Named, exploded
from forensics.formats._picked import picked
from forensics.formats._sheet import Sheet, Vocabularies
from forensics.formats._stamps import ISO, NO_OFFSET
from forensics.formats._tally import Tally
from forensics.formats._vocabulary import Words, lawful
from forensics.protocols import proto_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from forensics.formats import Evidence
    from forensics.formats._blocks import Block
    from forensics.formats._columns import Ints
    from forensics.formats._cut import I64

__all__ = ["read"]

LONGEST_KIND = 64

_PATHS = (
    "event_type", "timestamp", "flow_id", "src_ip", "src_port", "dest_ip", "dest_port", "proto", "app_proto",
    "icmp_type", "icmp_code", "flow.start", "flow.end", "flow.bytes_toserver", "flow.bytes_toclient",
    "flow.pkts_toserver", "flow.pkts_toclient", "flow.state", "netflow.start", "netflow.end", "netflow.bytes",
    "netflow.pkts", "http.hostname", "http.url", "http.http_user_agent", "http.http_method", "http.http_refer",
    "http.http_content_type", "http.status", "http.length", "dns.rrname", "dns.rdata", "dns.queries", "dns.answers",
    "dns.grouped.A", "dns.grouped.AAAA", "tls.sni", "tls.subject", "tls.ja3.hash", "tls.ja4",
)  # fmt: skip
_PLACES = {path: place for place, path in enumerate(_PATHS)}
_SERVICES = {"tls": "ssl", "failed": None, "unknown": None}
_DNS_PORT = 53
_LARGEST_ID = 2**62 - 1
_HIGHEST_STATUS = 9999


class _Made(NamedTuple):
    """What became of a block; rows of netflow apart, since they may be said again."""

    batches: list[tuple[str, pa.RecordBatch]]
    flows: I64
    netflow: list[tuple[str, pa.RecordBatch]]
    netflow_ids: dict[int, int]


class _Events:
    """Events of one kind, as columns by their paths."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet

    def count(self, path: str, limit: int = 2**50) -> Ints:
        """Return counts."""
        return self.sheet.counts(_PLACES[path], what=path, null=b"", limit=limit)

    def words(self, path: str, convert: Callable[[str], str | None] = str) -> Words:
        """Return texts that repeat."""
        return self.sheet.words(_PLACES[path], convert, null=b"", undo=_undo)

    def listed(self, path: str, convert: Callable[[str], str]) -> Words:
        """Return what becomes of lists."""
        return self.sheet.words(_PLACES[path], convert, what=path, kind="a list", null=b"")

    def text(self, path: str) -> pa.Array:
        """Return texts that do not repeat."""
        return self.sheet.text(_PLACES[path], null=b"", undo=_undo)

    def address(self, path: str) -> Words:
        """Return addresses; an event without one is rejected."""
        found = self.sheet.words(_PLACES[path], address_of, what=path, null=b"")
        self.sheet.reject(~found.known, f"{path} is missing")
        return found

    def time(self, path: str = "timestamp") -> I64:
        """Return times; an event without one is rejected. [us since 1970]"""
        found = self.sheet.stamps(_PLACES[path], ISO, what=path, null=b"")
        self.sheet.reject(~found.known, f"{path} is missing")
        self.sheet.reject(found.offset == NO_OFFSET, f"{path} has no time zone")
        return np.where(found.known, found.local - found.offset.astype(np.int64) * 60_000_000, 0)


def read(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of a log, and complete the notes of the file."""
    evidence.notes["records"] = 0
    log = _Log(evidence)
    before, held = np.zeros(0, np.int64), _Made([], np.zeros(0, np.int64), [], {})
    try:
        for made in in_order(log.made, blocks(evidence)):
            yield from made.batches
            yield from log.unsaid(held, np.concatenate([before, held.flows, made.flows]))
            before, held = held.flows, made
    except EvidenceError:  # what was read before the damage stands
        yield from log.unsaid(held, np.concatenate([before, held.flows]))
        raise
    yield from log.unsaid(held, np.concatenate([before, held.flows]))
    log.finish()


class _Log:
    """One log, and what was passed over."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._words = Vocabularies()
        self._lock = Lock()
        self._skipped = Tally()
        self._read = 0

    def made(self, block: Block) -> _Made:
        """Return what becomes of a block."""
        made = _Made([], np.zeros(0, np.int64), [], {})
        cut = picked(block, _PATHS)
        for kind, records in _kinds(Fields(cut, self._words.own)).cuts(cut):
            sheet = Sheet(records, self._evidence, self._words.own)
            events = _Events(sheet)
            if kind in _PUT:
                _PUT[kind](events)
            elif not kind:
                sheet.reject(np.ones(records.rows, np.bool_), "it has no event_type")
            ids = events.count("flow_id", _LARGEST_ID) if kind in ("flow", "netflow") else None
            batches = list(sheet.batches())
            self._tell(kind, int(sheet.good.sum()))
            if kind == "netflow" and ids is not None:
                made.netflow.extend(batches)
                known = ids.known & sheet.good
                made.netflow_ids.update(zip(records.number[known].tolist(), ids.values[known].tolist(), strict=True))
                continue
            made.batches.extend(batches)
            if ids is not None:
                made = made._replace(flows=np.concatenate([made.flows, ids.values[ids.known & sheet.good]]))
        return made

    def unsaid(self, made: _Made, flows: I64) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the rows of netflow events whose flow no event of its own tells."""
        told = set(flows.tolist()) if made.netflow else set()
        for table, batch in made.netflow:
            if table == "rejects":
                yield table, batch
                continue
            ids = (made.netflow_ids.get(number) for number in batch["record"].to_pylist())
            kept = pa.array([number is None or number not in told for number in ids], pa.bool_())
            rows = batch.filter(kept)
            self._evidence.note("netflow_told_by_flow", len(batch) - len(rows))
            if len(rows):
                yield table, rows

    def _tell(self, kind: str, count: int) -> None:
        """Count events of a kind."""
        if kind not in _PUT:
            self._skipped.add(kind[:LONGEST_KIND], count)
            return
        with self._lock:
            self._read += count

    def finish(self) -> None:
        """Complete the notes of the file.

        Raises
        ------
        EvidenceError
            It holds events, but none of the kinds that are read.
        """
        skipped = self._skipped.told()
        if skipped:
            self._evidence.notes["skipped_events"] = skipped
        if skipped and not self._read:
            counts = ", ".join(f"{count} {kind}" for kind, count in [*skipped.items()][:5])
            problem = f"it holds no flow, netflow, http, dns or tls event: {counts}"
            raise EvidenceError(self._evidence.source, problem)


def _kinds(fields: Fields) -> Named:
    """Return the kind of each event."""
    kinds = fields.words(_PLACES["event_type"], null=b"")
    return Named(tuple(kinds.values), kinds.codes.astype(np.int64))


def _put_flow(events: _Events) -> None:
    """Flow: one row, with all that was sent each way."""
    _put_flows(
        events,
        "flow",
        bytes_out=events.count("flow.bytes_toserver"),
        bytes_in=events.count("flow.bytes_toclient"),
        packets_out=events.count("flow.pkts_toserver"),
        packets_in=events.count("flow.pkts_toclient"),
        state=events.words("flow.state"),
    )


def _put_netflow(events: _Events) -> None:
    """Netflow: one row for each direction."""
    _put_flows(events, "netflow", bytes_out=events.count("netflow.bytes"), packets_out=events.count("netflow.pkts"))


def _put_flows(events: _Events, kind: str, **columns: object) -> None:
    """Put events into flows."""
    start, end = events.time(f"{kind}.start"), events.time(f"{kind}.end")
    events.sheet.reject(end < start, f"{kind}.end is before {kind}.start")
    src_port, dst_port = (
        events.count(port).otherwise(events.count(icmp))
        for port, icmp in (("src_port", "icmp_type"), ("dest_port", "icmp_code"))
    )
    events.sheet.put(
        "exchanges",  # whose texts are words: a flow's are stored, and made, several times as fast as in flows
        None,
        start=start,
        end=end,
        src=events.address("src_ip"),
        src_port=src_port,
        dst=events.address("dest_ip"),
        dst_port=dst_port,
        proto=events.words("proto", proto_of),
        service=events.words("app_proto", _service),
        bytes_kind="frame",
        is_flow=True,
        is_request=False,
        **columns,
    )


def _service(text: str) -> str | None:
    """Return an application protocol as Zeek names it."""
    return _SERVICES.get(text, text)


def _put_http(events: _Events) -> None:
    """HTTP: a request and the name of the server; a request to a proxy tells nothing of the proxy's own name."""
    sheet, server = events.sheet, events.address("dest_ip")
    status = events.count("http.status")
    sheet.reject(status.values > _HIGHEST_STATUS, "http.status is not a status")
    asked = sheet.targets(_PLACES["http.http_method"], _PLACES["http.url"], null=b"", undo=_undo)
    to_proxy = asked.name.known | asked.address.known
    host = asked.name.otherwise(asked.address).otherwise(events.words("http.hostname", server_of))
    name = host.mapped(_not_address)
    port = events.count("dest_port")
    sheet.put(
        "exchanges",
        start=events.time(),
        src=events.address("src_ip"),
        src_port=events.count("src_port"),
        dst=asked.address.otherwise(server.only(~to_proxy)),
        dst_port=either(to_proxy, asked.port, port),
        host=host,
        name=name,
        how=Words.constant("proxy", name.known & to_proxy).otherwise(Words.constant("http", name.known & ~to_proxy)),
        via=server.only(to_proxy),
        method=events.words("http.http_method"),
        url=events.text("http.url"),
        status=status,
        user_agent=events.text("http.http_user_agent"),
        referer=events.text("http.http_refer"),
        content_type=events.words("http.http_content_type"),
        bytes_in=events.count("http.length"),
        bytes_kind="application",
        is_flow=False,
        is_request=True,
    )


def _not_address(name: str) -> str | None:
    """Return a name that is no address."""
    return None if address_of(name) else name


def _put_dns(events: _Events) -> None:
    """DNS: the name that was asked for, once for each address in the answers."""
    sheet, time = events.sheet, events.time()
    # Some versions write a reply as it came: from the server to the client.
    ports = (events.count("src_port"), events.count("dest_port"))
    reply = (ports[0].values == _DNS_PORT) & (ports[1].values != _DNS_PORT)
    source, target = events.address("src_ip"), events.address("dest_ip")
    client = target.only(reply).otherwise(source.only(~reply))
    name = events.words("dns.rrname", name_of).otherwise(events.listed("dns.queries", _asked))
    answers = events.listed("dns.answers", _addresses)
    bare = ~answers.known
    found = answers.otherwise(events.words("dns.rdata", address_of).only(bare))
    columns = [found, *(events.listed(f"dns.grouped.{kind}", _addresses).only(bare) for kind in ("A", "AAAA"))]
    told = np.zeros(sheet.rows, np.bool_)
    for column in columns:
        many, addresses = exploded(column)
        sheet.reject(many, "it has more answers than are read")
        for address in addresses:
            where = name.known & address.known
            told |= where
            sheet.put("names", where, time=time, address=address, name=name, how="dns", client=client)
    sheet.put("names", name.known & ~told, time=time, name=name, how="dns", client=client)


def _put_tls(events: _Events) -> None:
    """TLS: the name that the client asked for, and what both ends gave away of themselves."""
    sheet, time = events.sheet, events.time()
    client, server, port = events.address("src_ip"), events.address("dest_ip"), events.count("dest_port")
    name = events.words("tls.sni", name_of).mapped(_not_address)
    sheet.put("names", name.known, time=time, address=server, name=name, how="sni", client=client)
    for kind, path in (("ja3", "tls.ja3.hash"), ("ja4", "tls.ja4")):
        given = events.words(path)
        sheet.put(
            "fingerprints", given.known, time=time, address=client, peer=server, peer_port=port, kind=kind,
            fingerprint=given,
        )  # fmt: skip
    subject = events.words("tls.subject")
    sheet.put(
        "fingerprints", subject.known, time=time, address=server, peer=client, kind="certificate", fingerprint=subject
    )


def _undo(text: str) -> str:
    """Undo the escapes of a text of JSON."""
    return lawful(str(json.loads(f'"{text}"')))


def _list_of(text: str) -> list[object]:
    """Return a list."""
    found: object = json.loads(text)
    if not isinstance(found, list):
        raise ValueError("not a list")  # noqa: TRY004 - as of a text that is no JSON
    return found


def _addresses(text: str) -> str:
    """Return the addresses of answers, each once, with line ends between them."""
    parts = (
        part.get("rdata") if isinstance(part, dict) and part.get("rrtype", "A") in {"A", "AAAA"} else part
        for part in _list_of(text)
    )
    return "\n".join(dict.fromkeys(filter(None, (address_of(part) for part in parts if isinstance(part, str)))))


def _asked(text: str) -> str:
    """Return the name of the first query."""
    names = (part.get("rrname") for part in _list_of(text) if isinstance(part, dict))
    return next((name_of(name) or "" for name in names if isinstance(name, str)), "")


_PUT: dict[str, Callable[[_Events], None]] = {
    "dns": _put_dns,
    "flow": _put_flow,
    "http": _put_http,
    "netflow": _put_netflow,
    "tls": _put_tls,
}
"""What is made of the events of each kind."""
