"""NetFlow v5 and v9 and IPFIX: files of the datagrams that exporters send, end to end, as collectors dump them.

Example of the first bytes, version 5, one record, exported at 1432166460::

    0005 0001 0001d4c0 555d1c3c 00000000 00000000 0000 0000 ...

====================================  =============================================================================
field (information element)           becomes
====================================  =============================================================================
addresses (8, 12, 27, 28)             ``src``, ``dst``
ports (7, 11, 180-183)                ``src_port``, ``dst_port``; of ICMP (32, 139, 176-179) its type and code
protocol (4)                          ``proto``
octets (1, 23, 85, 231)               ``bytes_out`` [B]; ``bytes_kind`` is ``ip``
octets of the reverse way             ``bytes_in``: elements 232, and 1 and 85 of the enterprise 29305; else null
packets (2, 24, 86, 298, 299)         ``packets_out``, ``packets_in``
firewallEvent (233)                   ``state``: created, deleted, denied, alert, updated
21, 22, 150-162, 322-325              ``start``, ``end``; where there are none, when the datagram was sent
====================================  =============================================================================

``record`` is the number of the datagram. The same datagrams in a capture give the same rows: those of packets to the
UDP ports 2055, 2056, 4432, 4739, 9995 and 9996, with the exporter's address as ``vantage`` and the packet as
``record``.

Traps: a row is one direction, the answer is a row of its own. Templates come late, change, and hold for one domain of
one exporter: data waits for them, and is a reject where they never come. Templates of options are no flows. Where a
record counts the same twice (delta and total, before and after), the first counts. Fields may have no length, fewer
bytes than usual, or a length of their own in each record. Datagrams of version 9 do not say how long they are, and may
be padded. The clock since boot wraps around after 49 days. Sampled counts are not multiplied; the notes have
``sampled_one_in``. A firewall's ``created`` row that counts 0 has counted nothing yet: its bytes are null.

Breaks in the sequence numbers are gaps of the kind ``sequence``: what is missing are flows in version 5, datagrams in
version 9, data records in IPFIX. Datagrams that come late or twice are no loss, nor is an exporter that begins anew. A
file does not say who sent a datagram: there, exporters of version 5 and 9 with one number are told apart by when they
booted, those of IPFIX that share a domain cannot be, and breaks of theirs may go unnoticed. Where most datagrams of an
exporter do not follow each other, that is one gap: it may count something else.

References
----------
.. [1] Cisco, *NetFlow Export Datagram Format*, version 5,
   https://www.cisco.com/c/en/us/td/docs/net_mgmt/netflow_collection_engine/3-6/user/guide/format.html
.. [2] RFC 3954, *Cisco Systems NetFlow Services Export Version 9*, sections 5 to 8.
.. [3] RFC 7011, *Specification of the IPFIX Protocol*, sections 3, 7 and 10.3.2.
.. [4] RFC 5103, *Bidirectional Flow Export Using IPFIX*.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from forensics.errors import EvidenceError
from forensics.formats import HEAD_BYTES
from forensics.packets.protocols.netflow import MAX_DATAGRAM, datagram_end
from forensics.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "OBSERVES", "STAMP", "TITLE", "declines", "parse"]

NAME = "netflow"
TITLE = "NetFlow v5, v9 and IPFIX datagrams"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
STAMP = "window"
OBSERVES = ("out", "in")

CHUNK = 1 << 20
"""How much is read at once. [B]"""

_VERSION = re.compile(rb"(?=\x00[\x05\x09\x0a])")


def declines(head: bytes, hints: Hints) -> str | None:  # noqa: ARG001 - the protocol's signature
    """Say why a file does not hold datagrams of NetFlow, or None where it does."""
    if not head:
        return "it is empty"
    at, datagrams = 0, 0
    while at < len(head):
        end = datagram_end(head, at, whole=len(head) < HEAD_BYTES)
        if end == 0 and datagrams < 2:  # a lawful one by chance is not followed by another
            return f"byte {at + 1} begins no datagram of NetFlow v5, v9 or IPFIX"
        if end <= 0:
            break
        at, datagrams = end, datagrams + 1
    return None if datagrams else "its first datagram is longer than any"


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows and rejects; see `forensics.formats.Format.parse`."""
    # here: they load what data frames are made of, a fifth of a second that no other format needs
    from forensics.packets.columns import Origin
    from forensics.packets.exported import Exported

    exported = Exported(Origin(evidence.source, evidence.vantage), "flows")
    datagrams, number, damage = exported.datagrams, 0, None
    walk = _Walk(evidence)
    try:
        for data in walk.pieces():
            number += 1
            if not datagrams.take(data, None, number):
                walk.strange.append((number, data))
            if exported.full:
                yield from exported.drain()
    except EvidenceError as error:
        damage = error
    yield from exported.finish(evidence)
    if walk.strange:
        yield walk.rejects(evidence.source)
    evidence.notes.update({"records": number} | dict(sorted(datagrams.counts.items())))
    if damage is not None:
        raise damage


class _Walk:
    """Goes through a file from datagram to datagram."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.strange: list[tuple[int, bytes]] = []

    def pieces(self) -> Iterator[bytes]:
        """Yield datagrams, and what lies between them where the file is damaged, each as one piece."""
        data, at, over = b"", 0, False
        damage: EvidenceError | None = None
        while at < len(data) or not over:
            end = datagram_end(data, at, whole=over) if at < len(data) else -1
            if end == 0 and (over or len(data) - at > MAX_DATAGRAM):
                end = _next(data, at)
                self._tell(end - at, last=over and end == len(data))
            if end > 0:
                yield data[at:end]
                at = end
                continue
            try:
                more = self._evidence.stream.read(CHUNK)
            except EvidenceError as error:
                damage, more = error, b""
            data, at, over = data[at:] + more, 0, not more
        if damage is not None:
            raise damage

    def _tell(self, size: int, *, last: bool) -> None:
        """Note that the file ends inside of a datagram."""
        if last:
            self._evidence.notes["truncated"] = f"its last {size} bytes are no whole datagram"

    def rejects(self, source: str) -> tuple[str, pa.RecordBatch]:
        """Return the pieces that are no datagrams."""
        rows = Rows()
        for number, data in self.strange:
            rows.reject(source, number, f"{len(data)} bytes that are no datagram of NetFlow v5, v9 or IPFIX", data)
        return next(iter(rows.drain()))


def _next(data: bytes, at: int) -> int:
    """Return where the next datagram begins, behind the byte at a place; the end of the data where none does."""
    for found in _VERSION.finditer(data, at + 1):
        if datagram_end(data, found.start(), whole=False) > 0:
            return found.start()
    return len(data)
