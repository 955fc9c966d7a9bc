"""Logs of IIS: what Filebeat, plaso's samples and lnav's say, and traps."""

from __future__ import annotations

import io
import json
import os
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest

from forensics.formats import Evidence, Hints, iis
from forensics.formats._hosts import address_of
from forensics.schema import parts_of

FILEBEAT = {
    "iis-access/test-iis-7.2.log": "iis: default",
    "iis-access/test-iis-7.5.log": None,
    "iis-access/test-ipv6zone.log": None,
    "iis-access/test.log": None,
    "iis-access/test-x-forward-for.log": "iis: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username "
    "c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken X-Forwarded-For",
    "iis-access/test-x-forward-for-extended.log": "iis: date time s-sitename s-computername s-ip cs-method cs-uri-stem "
    "cs-uri-query s-port cs-username c-ip cs-version cs(User-Agent) cs(Cookie) cs(Referer) cs-host sc-status "
    "sc-substatus sc-win32-status sc-bytes cs-bytes time-taken X-Forwarded-For",
    "iis-error/iis_error_url.log": "iis: date time c-ip c-port s-ip s-port cs-version cs-method cs-uri sc-status "
    "s-siteid s-reason s-queuename",
    "iis-error/ipv6_zone_id.log": None,
    "iis-error/test.log": None,
}
"""Filebeat's logs, and what names the fields of those without header."""

REFUSED = {
    ("iis-access/test-iis-7.5.log", 5): "client is not an address",
    ("iis-access/test.log", 16): "row has 15 fields, 22 are expected",
    ("iis-access/test.log", 17): "row has 15 fields, 22 are expected",
}
"""Lines that Filebeat reads and we refuse: docs/explanation/agreement-logs/B.md says why."""


def read(data: bytes, hints: Hints | None = None) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Return the rows of a log by table, in the order of its lines, and the notes."""
    evidence = Evidence(io.BytesIO(data), "a.log", "sensor", hints or Hints())
    found: dict[str, list[dict[str, Any]]] = {}
    for table, batch in iis.parse(evidence):
        for part, rows in parts_of(batch) if table == "exchanges" else [(table, batch)]:
            found.setdefault(part, []).extend(rows.to_pylist())
    return {part: sorted(rows, key=lambda row: int(row["record"])) for part, rows in found.items()}, evidence.notes


def corpus(*parts: str) -> Path:
    """Return a file of the reference corpus; the test is skipped without it."""
    folder = os.environ.get("FORENSICS_CORPUS")
    if not folder:
        pytest.skip("FORENSICS_CORPUS names no reference corpus")
    return Path(folder, "logs", *parts)


def of_filebeat(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event of Filebeat as our rows have it, where it has it."""
    end = datetime.fromisoformat(event["@timestamp"])
    query = event.get("url.query")
    path = event.get("url.original") or event.get("url.path")
    taken = timedelta(microseconds=event.get("event.duration", 0) // 1000)
    return {
        "start": end - taken,
        "end": end,
        "src": address_of(event["source.ip"]),
        "src_port": event.get("source.port"),
        "dst": address_of(event.get("destination.ip", "")),
        "dst_port": event.get("destination.port"),
        "name": event.get("destination.domain"),
        "bytes_out": event.get("http.request.body.bytes"),
        "bytes_in": event.get("http.response.body.bytes"),
        "state": event.get("iis.error.reason_phrase"),
        "method": event.get("http.request.method"),
        "url": unquote_plus((path or "") if query is None else f"{path}?{query}"),
        "status": event.get("http.response.status_code"),
        "user_agent": event.get("user_agent.original"),
        "referer": event.get("http.request.referrer"),
    }


@pytest.mark.parametrize("name", FILEBEAT)
def test_rows_are_those_of_filebeat(name: str) -> None:
    """Each event of Filebeat is a row of ours with the same values, or a reject of the list."""
    path = corpus("iis", "filebeat", name)
    events = json.loads(path.with_name(f"{path.name}-expected.json").read_text(encoding="utf-8"))
    found, notes = read(path.read_bytes(), Hints(logformat=FILEBEAT[name]))
    requests = {row["record"]: row for row in found.get("requests", [])}
    refused = {(name, row["record"]): row["reason"] for row in found.get("rejects", [])}
    places = sorted([row["record"] for row in found["flows"]] + [record for _, record in refused])

    assert len(places) == len(events) == notes["records"]
    assert refused == {key: reason for key, reason in REFUSED.items() if key[0] == name}
    flows = {row["record"]: row for row in found["flows"]}
    for record, event in zip(places, events, strict=True):
        if record in flows:
            ours = {**requests.get(record, {}), **flows[record]}
            told = of_filebeat(event)
            ours["url"] = unquote_plus(ours.get("url") or "")  # Filebeat undoes escapes and + in queries
            assert {key: ours.get(key) for key in told} == told


def test_x_forwarded_for_is_believed_of_trusted_proxies_only() -> None:
    """The balancer's word for the client counts once the analyst trusts it, as Filebeat's ``network.forwarded_ip``."""
    name = "iis-access/test-x-forward-for.log"
    path = corpus("iis", "filebeat", name)
    events = json.loads(path.with_name(f"{path.name}-expected.json").read_text(encoding="utf-8"))
    hints = Hints(logformat=FILEBEAT[name], trusted_proxies=(ip_network("192.168.7.63/32"),))
    found, notes = read(path.read_bytes(), hints)

    assert [row["src"] for row in found["flows"]] == [
        event["network.forwarded_ip"] if event["source.ip"] == "192.168.7.63" else event["source.ip"]
        for event in events
    ]
    assert notes["forwarded_for_used"] > 0


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("iis10.log", 1), ("iis10_cookies.log", 3), ("iis10_edge_cases.log", 11), ("iis6.log", 12), ("iis7_owa.log", 3),
        ("iis7_sqli.log", 2), ("iis_without_date.log", 11),
    ],
)  # fmt: skip
def test_samples_of_plaso_are_read_whole(name: str, rows: int) -> None:
    """Each line of plaso's samples is a request, none is refused."""
    data = corpus("plaso", "iis", name).read_bytes()
    lines = [line for line in data.splitlines() if line.strip() and not line.startswith(b"#")]
    found, _ = read(data)

    assert "rejects" not in found
    assert len(found["requests"]) == len(lines)
    assert rows <= len(lines)


def test_a_log_of_lnav_is_read_as_its_lines_say() -> None:
    """Each column of lnav's long log is what stands in its field, whichever header is in force."""
    data = corpus("w3c", "lnav", "logfile_w3c_big.0").read_bytes()
    names: list[str] = []
    told = []
    for number, line in enumerate(data.decode().splitlines(), 1):
        if line.startswith("#Fields:"):
            names = line.split()[1:]
        elif line.strip() and not line.startswith("#"):
            row = dict(zip(names, line.split(), strict=True))
            told.append((number, row["c-ip"], int(row["cs-bytes"]), int(row["sc-bytes"]), int(row["time-taken"])))
    found, _ = read(data)

    assert [
        (
            row["record"],
            row["src"],
            row["bytes_out"],
            row["bytes_in"],
            (row["end"] - row["start"]) // timedelta(milliseconds=1),
        )
        for row in found["flows"]
    ] == told


def test_ftp_of_lnav_is_ftp() -> None:
    """The numbers of sessions are no part of the commands, and they tell FTP from HTTP."""
    found, _ = read(corpus("w3c", "lnav", "logfile_w3c.2").read_bytes())

    assert {row["service"] for row in found["flows"]} == {"ftp"}
    assert [row["method"] for row in found["requests"]][:4] == ["USER", "PASS", "QUIT", "USER"]
    assert [row["start"].day for row in found["flows"]] == [9] * 11 + [10] * 3
