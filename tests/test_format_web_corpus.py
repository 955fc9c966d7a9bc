"""Access logs of the reference corpora: our rows are what Filebeat's own tests expect of the same lines.

What differs, and why, stands in docs/explanation/agreement-logs/C.md.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from forensics.formats import HEAD_BYTES, Evidence, Hints, all_formats, apache

if TYPE_CHECKING:
    from pathlib import Path

LOGS = (
    "apache/filebeat/apache-access/darwin-2.4.23.log",
    "apache/filebeat/apache-access/ssl-request.log",
    "apache/filebeat/apache-access/test-vhost.log",
    "apache/filebeat/apache-access/test.log",
    "apache/filebeat/apache-access/ubuntu-2.2.22.log",
    "nginx/filebeat/nginx-access/access.log",
    "nginx/filebeat/nginx-access/test-with-host.log",
    "nginx/filebeat/nginx-access/test.log",
    "nginx/filebeat/nginx-ingress_controller/test.log",
)
COLUMNS = {
    "start": "@timestamp",
    "src": "source.address",
    "host": "url.domain",
    "method": "http.request.method",
    "url": "url.original",
    "status": "http.response.status_code",
    "bytes_in": "http.response.body.bytes",
    "referer": "http.request.referrer",
    "user_agent": "user_agent.original",
    "bytes_out": "nginx.ingress_controller.http.request.length",
}
DASH = "a dash of %b is no byte of a body"
LIST = "what stands before the peer is the client's own word"
HOST = "it stands in the place of $host"
SOCKET = "a client on a socket of the machine is called unix"
REQUEST = "what the client sent for a request line is the URL"
DIFFERENCES: dict[tuple[str, int, str], str] = {
    ("apache-access/darwin-2.4.23.log", 3, "bytes_in"): DASH,
    ("apache-access/ssl-request.log", 2, "bytes_in"): DASH,
    ("apache-access/test.log", 3, "bytes_in"): DASH,
    ("apache-access/test-vhost.log", 1, "src"): "Filebeat has it as source.ip",
    ("nginx-access/test-with-host.log", 1, "src"): LIST,
    ("nginx-access/test-with-host.log", 5, "src"): LIST,
    ("nginx-access/test-with-host.log", 6, "src"): LIST,
    ("nginx-access/test-with-host.log", 6, "host"): HOST,
    ("nginx-access/test-with-host.log", 7, "host"): HOST,
    ("nginx-access/test-with-host.log", 9, "host"): HOST,
    ("nginx-access/test-with-host.log", 8, "src"): SOCKET,
    ("nginx-access/test-with-host.log", 8, "url"): REQUEST,
    ("nginx-access/test.log", 1, "src"): LIST,
    ("nginx-access/test.log", 5, "src"): LIST,
    ("nginx-access/test.log", 6, "src"): LIST,
    ("nginx-access/test.log", 8, "src"): SOCKET,
    ("nginx-access/test.log", 8, "url"): REQUEST,
}


def rows_of(path: Path) -> tuple[str, list[dict[str, Any]]]:
    """Return the only format that claims a log, and its exchanges by line."""
    data = path.read_bytes()
    claims = [name for name, fmt in all_formats().items() if fmt.declines(data[:HEAD_BYTES], Hints()) is None]
    assert len(claims) == 1
    found = list(all_formats()[claims[0]].parse(Evidence(io.BytesIO(data), path.name, "web")))
    assert {table for table, _ in found} == {"exchanges"}
    return claims[0], [row for _, batch in found for row in batch.to_pylist()]


def plain(column: str, row: dict[str, Any]) -> object:
    """Return a value of ours as Filebeat has it."""
    value = row["end"] if column == "start" else row[column]
    return value.strftime("%Y-%m-%dT%H:%M:%S.000Z") if column == "start" else value


@pytest.mark.parametrize("name", LOGS)
def test_rows_are_as_filebeat_has_them(corpus: Path, name: str) -> None:
    """Time, client, host, method, URL, status, sizes and headers are Filebeat's, but for what is listed."""
    path = corpus / "logs" / name
    expected = json.loads(path.with_name(f"{path.name}-expected.json").read_text(encoding="utf-8"))
    expected.sort(key=lambda event: event["log.offset"])
    _, rows = rows_of(path)

    short = name.rpartition("filebeat/")[2]
    differing = {
        (short, row["record"], column)
        for row, event in zip(rows, expected, strict=True)
        for column, key in COLUMNS.items()
        if plain(column, row) != {"-": None}.get(event.get(key), event.get(key))
    }

    assert differing == {place for place in DIFFERENCES if place[0] == short}


def test_a_mixed_log_is_read_line_by_line(corpus: Path) -> None:
    """Plaso's sample mixes layouts and bare quotes: 14 of its 15 lines are rows, the one that is cut is a reject."""
    data = (corpus / "logs/plaso/apache_access.log").read_bytes()
    evidence = Evidence(io.BytesIO(data), "access.log", "web")
    found = {table: batch.to_pylist() for table, batch in apache.parse(evidence)}

    assert [row["record"] for row in found["rejects"]] == [8]
    assert len(found["exchanges"]) == 14
    assert evidence.notes["logformat"] == "combined, common, vhost_combined"
    by_line = {row["record"]: row for row in found["exchanges"]}
    assert by_line[13]["url"] == '/aaaa.xxxx/SomeText?action=edit&template=<script>alert("text")</script>'
    assert (by_line[9]["name"], by_line[9]["dst_port"]) == ("plaso.log2timeline.net", 443)
    assert by_line[5]["start"].isoformat() == "2016-01-13T17:31:20+00:00"


@pytest.mark.parametrize("name", ["aws_elb_access.log", "appfirewall.log", "suricata_alert_fast.log"])
def test_logs_of_others_are_declined(corpus: Path, name: str) -> None:
    """Neighbours that look alike are nobody's here."""
    head = (corpus / "logs/plaso" / name).read_bytes()[:HEAD_BYTES]

    assert all(all_formats()[ours].declines(head, Hints()) for ours in ("apache", "nginx", "haproxy", "zscaler"))
