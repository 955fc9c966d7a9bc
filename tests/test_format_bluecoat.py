"""Logs of ProxySG: stroom's sample, and traps."""

from __future__ import annotations

import io
import os
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forensics.formats import Evidence, Hints, bluecoat
from forensics.schema import parts_of

OLD = b"#Software: SGOS 3.2.4.28\n#Fields: date time c-ip cs-method cs-uri-scheme cs-host s-hierarchy s-supplier-name\n"
NEW = (
    b"#Software: SGOS 6.7\n#Fields: date time c-ip cs-method cs-uri-scheme cs-host r-ip s-supplier-ip s-supplier-name\n"
)


def read(data: bytes, hints: Hints | None = None) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Return the rows of a log by table, in the order of its lines, and the notes."""
    evidence = Evidence(io.BytesIO(data), "a.log", "sensor", hints or Hints())
    found: dict[str, list[dict[str, Any]]] = {}
    for table, batch in bluecoat.parse(evidence):
        for part, rows in parts_of(batch) if table == "exchanges" else [(table, batch)]:
            found.setdefault(part, []).extend(rows.to_pylist())
    return {part: sorted(rows, key=lambda row: int(row["record"])) for part, rows in found.items()}, evidence.notes


def corpus(*parts: str) -> Path:
    """Return a file of the reference corpus; the test is skipped without it."""
    folder = os.environ.get("FORENSICS_CORPUS")
    if not folder:
        pytest.skip("FORENSICS_CORPUS names no reference corpus")
    return Path(folder, "logs", *parts)


def test_a_sample_of_stroom_is_read_as_its_lines_say() -> None:
    """Each line of stroom's sample is a flow, a request and a name, with what a shell's splitting finds in it."""
    data = corpus("bluecoat", "stroom", "sampleBluecoat.log").read_bytes()
    lines = data.decode().splitlines()
    names = next(line for line in lines if line.startswith("#Fields:")).split()[1:]
    told = [dict(zip(names, shlex.split(line), strict=True)) for line in lines if not line.startswith("#")]
    found, notes = read(data)

    assert notes["records"] == len(told) == len(found["flows"]) == len(found["requests"]) == len(found["names"])
    for flow, request, row in zip(found["flows"], found["requests"], told, strict=True):
        assert flow["end"] == datetime.fromisoformat(f"{row['date']} {row['time']}").replace(tzinfo=UTC)
        assert (flow["end"] - flow["start"]).total_seconds() * 1000 == int(row["time-taken"])
        assert (flow["src"], flow["name"], flow["via"]) == (row["c-ip"], row["cs-host"], row["s-ip"])
        assert (flow["bytes_out"], flow["bytes_in"]) == (int(row["cs-bytes"]), int(row["sc-bytes"]))
        assert flow["dst"] == (row["s-supplier-name"] if row["s-supplier-name"][0].isdigit() else None)
        query = "" if row["cs-uri-query"] == "-" else row["cs-uri-query"]
        assert request["url"] == f"{row['cs-uri-scheme']}://{row['cs-host']}{row['cs-uri-path']}{query}"
        assert (request["method"], request["status"]) == (row["cs-method"], int(row["sc-status"]))
        assert request["user_agent"] == row["cs(User-Agent)"]
        assert request["content_type"] == row["rs(Content-Type)"]


@pytest.mark.parametrize(
    ("hierarchy", "dst"), [(b"DIRECT", "203.0.113.7"), (b"FORWARD", None), (b"NONE", None), (b"-", None)]
)
def test_a_supplier_is_the_server_only_after_direct(hierarchy: bytes, dst: str | None) -> None:
    """A forwarding host is not where the client wanted to go."""
    found, _ = read(OLD + b"2015-05-21 01:00:00 192.0.2.1 GET http www.example " + hierarchy + b" 203.0.113.7\n")

    assert found["flows"][0]["dst"] == dst


@pytest.mark.parametrize(
    ("fields", "dst"),
    [
        (b"203.0.113.1 203.0.113.2 www.example", "203.0.113.1"),
        (b"- 203.0.113.2 WWW.example.", "203.0.113.2"),
        (b"- 203.0.113.2 parent.example", None),
        (b"- 203.0.113.2 -", None),
        (b"- - www.example", None),
    ],
)
def test_a_supplier_is_the_server_where_it_bears_its_name(fields: bytes, dst: str | None) -> None:
    """Newer versions log no hierarchy: there the name of the supplier tells."""
    found, _ = read(NEW + b"2015-05-21 01:00:00 192.0.2.1 GET http www.example " + fields + b"\n")

    assert found["flows"][0]["dst"] == dst


def test_lines_of_syslog_are_the_same_lines() -> None:
    """What syslog puts before the lines changes nothing but the bytes of rejects."""
    lines = NEW + b"2015-05-21 01:00:00 192.0.2.1 GET http www.example - - -\n2015-05-21 01:00:00 x\n"
    found, _ = read(lines)
    sent, _ = read(b"".join(b"<134>May 21 10:00:00 gate SG: " + line for line in lines.splitlines(keepends=True)))

    assert sent["flows"] == found["flows"]
    assert sent["rejects"][0]["raw"] == b"<134>May 21 10:00:00 gate SG: " + found["rejects"][0]["raw"]


def test_lines_without_a_request_are_flows() -> None:
    """A connection that asked for nothing is no request, and is counted."""
    found, notes = read(NEW + b"2015-05-21 01:00:00 192.0.2.1 unknown - - - - -\n")

    assert list(found) == ["flows"]
    assert notes["without_request"] == 1


def test_urls_are_put_together_as_they_were_asked_for() -> None:
    """Ports that the scheme implies are left out, literals of IPv6 stand in brackets, a CONNECT has no path."""
    head = b"#Software: SGOS\n#Fields: date time c-ip cs-method cs-uri-scheme cs-host cs-uri-port cs-uri-path "
    head += b"cs-uri-query\n"
    lines = {
        b"GET http www.example 80 /a ?b": "http://www.example/a?b",
        b"GET http www.example 8080 /a b": "http://www.example:8080/a?b",
        b"GET https 2001:db8::1 443 / -": "https://[2001:db8::1]/",
        b"CONNECT tcp www.example 443 / -": "www.example:443",
        b"GET - www.example - / -": "http://www.example/",
        b"- - - - - -": None,
    }
    found, _ = read(head + b"".join(b"2015-05-21 01:00:00 192.0.2.1 " + line + b"\n" for line in lines))

    assert [row["url"] for row in found["requests"]] == list(lines.values())[:-1]
    assert [row["service"] for row in found["flows"]] == ["http", "http", "ssl", "ssl", None, None]
