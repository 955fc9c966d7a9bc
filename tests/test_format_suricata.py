"""Suricata's eve.json: what counts volume, and what only repeats it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from forensics.errors import EvidenceError
from forensics.formats import Evidence, Hints, _blocks, suricata
from forensics.schema import parts_of

ENDS = {"src_ip": "192.0.2.21", "src_port": 50122, "dest_ip": "203.0.113.7", "dest_port": 80, "proto": "TCP"}
TIME = "2015-06-01T10:30:00.000000+0900"
SPAN = {"start": TIME, "end": "2015-06-01T10:30:09.000000+0900"}


def event(kind: str, flow_id: int = 1, **more: object) -> str:
    """Return an event."""
    return json.dumps({"timestamp": TIME, "flow_id": flow_id, "event_type": kind} | ENDS | more) + "\n"


def read(text: str) -> tuple[dict[str, list[dict[str, Any]]], dict[str, object]]:
    """Return the rows of a log by table, and its notes."""
    evidence = Evidence(io.BytesIO(text.encode()), "eve.json", "sensor")
    found: dict[str, list[dict[str, Any]]] = {}
    for stored, whole in suricata.parse(evidence):
        for table, batch in parts_of(whole) if stored == "exchanges" else [(stored, whole)]:
            found.setdefault(table, []).extend(batch.to_pylist())
    return found, evidence.notes


def test_only_flow_events_count_volume() -> None:
    """What alerts and others say of a flow so far is not added to what its own event says."""
    partial = {"flow": SPAN | {"bytes_toserver": 700, "bytes_toclient": 70}}
    text = event("flow", flow=SPAN | {"bytes_toserver": 900, "bytes_toclient": 90})
    for kind in ("alert", "anomaly", "fileinfo", "http", "tls", "ssh"):
        text += event(kind, 1, **partial)
    flows = read(text)[0]["flows"]

    assert [(flow["bytes_out"], flow["bytes_in"], flow["bytes_kind"]) for flow in flows] == [(900, 90, "frame")]


@pytest.mark.parametrize("size", [300, 8 << 20])
def test_netflow_beside_flow_is_not_added(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow that has an event of its own is not counted again by netflow, before or behind it, across blocks too."""
    monkeypatch.setattr(_blocks, "BLOCK", size)
    netflow = [event("netflow", n, netflow=SPAN | {"bytes": 10 * n, "pkts": 1}) for n in (1, 2, 3)]
    flow = event("flow", 2, flow=SPAN | {"bytes_toserver": 20, "bytes_toclient": 5})
    found, notes = read(netflow[0] + netflow[1] + flow + netflow[1] + netflow[2])

    assert sorted(row["bytes_out"] for row in found["flows"]) == [10, 20, 30]
    assert notes["netflow_told_by_flow"] == 2


def test_netflow_alone_is_read() -> None:
    """Where only netflow is logged, each of its rows is one direction; the other was not observed in it."""
    found, _ = read(event("netflow", netflow=SPAN | {"bytes": 10, "pkts": 1}))

    assert [(row["bytes_out"], row["bytes_in"], row["packets_in"]) for row in found["flows"]] == [(10, None, None)]


def test_a_file_of_alerts_is_an_error() -> None:
    """A file in which nothing tells of traffic is not a quiet one."""
    with pytest.raises(EvidenceError, match="holds no flow, netflow, http, dns or tls event: 2 alert"):
        read(event("alert") * 2)


def test_replies_that_were_logged_as_they_came() -> None:
    """Where a DNS reply runs from the server, the client is its destination."""
    swapped = {"src_ip": "192.0.2.53", "src_port": 53, "dest_ip": "192.0.2.21", "dest_port": 50300}
    log = event("dns", 1, **swapped, dns={"type": "answer", "rrname": "a.example", "rdata": "203.0.113.1"})
    log += event("dns", dest_port=53, dns={"type": "query", "rrname": "a.example"})

    assert [(row["client"], row["address"]) for row in read(log)[0]["names"]] == [
        ("192.0.2.21", "203.0.113.1"), ("192.0.2.21", None),
    ]  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"a b\n", b"{}\n", b'{"event_type":1,"timestamp":"x"}\n', b"[1]\n"])
def test_other_files_are_declined(data: bytes) -> None:
    """An event has a type and a time."""
    assert suricata.declines(data, Hints())
