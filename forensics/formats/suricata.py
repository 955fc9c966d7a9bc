r"""Suricata's eve.json: flow, netflow, http, dns and tls events.

Example line::

    {"timestamp":"2015-05-21T10:00:02.123456+0900","flow_id":1,"event_type":"flow","src_ip":"192.0.2.21", ...}

========  ========================================  =================================================================
event     field                                     becomes
========  ========================================  =================================================================
all       src_ip, dest_ip, src_port, dest_port      ``src``, ``dst`` and ports; of a reply the ends are swapped back
flow      flow.start, flow.end                      ``start``, ``end``
flow      flow.bytes_toserver, bytes_toclient       ``bytes_out``, ``bytes_in`` [B]; ``bytes_kind`` is ``frame``
flow      flow.pkts_toserver, pkts_toclient         ``packets_out``, ``packets_in``
flow      flow.state, app_proto, proto              ``state``, ``service``, ``proto``
netflow   netflow.bytes, pkts, start, end           a flow of one direction: ``bytes_out``, ``packets_out``
http      http.hostname, url, http_method ...       ``requests`` and ``names`` (http); ``length``: body [B]
dns       dns.rrname, answers, grouped, rdata       ``names`` (dns), one for each address; null address where none came
tls       tls.sni                                   ``names`` (sni)
tls       tls.subject, ja3.hash, ja4                ``fingerprints`` (certificate, ja3, ja4)
========  ========================================  =================================================================

Bytes are lengths of packets with their link header: Suricata adds up the packet length as captured [3]_, which was not
checked with the program itself here: no version of it could be installed. No real file was met: made from the
specification and the program's source.

Traps: only flow and netflow events count volume; the ``flow`` object that alerts and others carry repeats partial
counters of the same flow. Where netflow is logged beside flow, the bytes of a flow stand in both: netflow events
of flows with an event ``flow`` within a block of the file before or behind them are left out. Times have an offset
without colon. DNS has three forms: an event for each answer (version 1), one event with ``answers`` or ``grouped``
(version 2), ``queries`` in place of ``rrname`` (version 3). ``app_proto`` ``failed`` means that none was recognised. A
file cut by rotation lacks events, not bytes: counters of a flow are written once, at its end. ``eve`` files of alerts
alone are an error that says so: alerts say what was matched, not how much was sent.

References
----------
.. [1] Suricata User Guide, *EVE JSON Output*, https://docs.suricata.io/en/latest/output/eve/eve-json-output.html
.. [2] Suricata User Guide, *EVE JSON Format*, https://docs.suricata.io/en/latest/output/eve/eve-json-format.html
.. [3] Suricata, *src/flow.c*: ``FlowHandlePacketUpdate`` adds ``GET_PKT_LEN`` to ``todstbytecnt`` and ``tosrcbytecnt``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from forensics.formats._encodings import utf8_head
from forensics.formats._lines import complete_lines, text_of
from forensics.formats._sheet import finished
from forensics.formats._suricata_reading import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "TITLE", "declines", "parse"]

NAME = "suricata"
TITLE = "Suricata eve.json (flow, netflow, http, dns, tls)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False

HEAD_LINES = 20


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no eve.json, or None where it is one."""
    lines = complete_lines(utf8_head(head, hints), HEAD_LINES)
    if not lines:
        return "it is empty"
    fitting = sum(map(_is_event, lines))
    if 2 * fitting < len(lines) or not fitting:
        return f"{fitting} of its first {len(lines)} lines are JSON objects with event_type and timestamp"
    return None


def _is_event(line: bytes) -> bool:
    """Tell whether a line is an event of Suricata."""
    if not line.lstrip().startswith(b"{"):
        return False
    try:
        found = json.loads(text_of(line))
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("event_type"), str) and "timestamp" in found


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, requests, names, fingerprints and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If nothing in the file can be read, it holds no event that is, or the stream is damaged.
    """
    yield from finished(evidence, NAME, read(evidence))
