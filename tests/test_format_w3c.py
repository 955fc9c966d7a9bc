"""W3C extended logs of other programs: lnav's samples, and traps."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from forensics.formats import Evidence, Hints, w3c
from forensics.schema import parts_of


def read(data: bytes, hints: Hints | None = None) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Return the rows of a log by table, in the order of its lines, and the notes."""
    evidence = Evidence(io.BytesIO(data), "a.log", "sensor", hints or Hints())
    found: dict[str, list[dict[str, Any]]] = {}
    for table, batch in w3c.parse(evidence):
        for part, rows in parts_of(batch) if table == "exchanges" else [(table, batch)]:
            found.setdefault(part, []).extend(rows.to_pylist())
    return {part: sorted(rows, key=lambda row: int(row["record"])) for part, rows in found.items()}, evidence.notes


def corpus(*parts: str) -> Path:
    """Return a file of the reference corpus; the test is skipped without it."""
    folder = os.environ.get("FORENSICS_CORPUS")
    if not folder:
        pytest.skip("FORENSICS_CORPUS names no reference corpus")
    return Path(folder, "logs", *parts)


def test_a_web_cache_of_lnav_keeps_its_own_time() -> None:
    """The log says how far its clock is from UTC; bytes without a direction and times without a unit are not used."""
    found, notes = read(corpus("w3c", "lnav", "logfile_w3c.1").read_bytes())
    (flow,) = found["flows"]

    assert flow["end"].isoformat() == "2001-10-31T08:00:18+00:00"
    assert (flow["start"], flow["bytes_out"], flow["bytes_in"]) == (flow["end"], None, None)
    assert found["requests"][0]["user_agent"] == "Mozilla/4.5 [en] (WinNT; I)"
    assert notes["time_taken"] == "not used: its unit is not known"


def test_quoted_fields_of_lnav_are_read() -> None:
    """A log that quotes every field, empty ones too, is read by its names."""
    found, _ = read(corpus("w3c", "lnav", "logfile_w3c.4").read_bytes())

    assert [(row["src"], row["dst"], row["dst_port"], row["bytes_out"]) for row in found["flows"]] == [
        ("123.123.123.123", "124.124.124.124", 80, 10117), ("125.125.125.125", "125.125.125.125", 80, None),
    ]  # fmt: skip
    assert [row["status"] for row in found["requests"]] == [200, None]


def test_a_header_without_client_is_declined() -> None:
    """Lines of lnav that do not fit their header, which names no client, are no log of requests."""
    data = corpus("w3c", "lnav", "logfile_w3c.5").read_bytes()

    assert w3c.declines(data, Hints()) == "its #Fields name no client address (c-ip)"


def test_a_server_and_a_proxy_are_told_apart_line_by_line() -> None:
    """Where a whole URL was asked for, the machine is a proxy; else it is the server."""
    head = b"#Fields: date time c-ip s-ip s-port cs-method cs-uri\n"
    line = b"2015-05-21 01:00:00 192.0.2.1 198.51.100.7 8080 GET "
    data = head + b"".join(line + uri + b"\n" for uri in (b"/a", b"http://www.example/a", b"-"))
    found, _ = read(data)

    assert [(row["dst"], row["dst_port"], row["name"], row["via"]) for row in found["flows"]] == [
        ("198.51.100.7", 8080, None, None),
        (None, 80, "www.example", "198.51.100.7"),
        ("198.51.100.7", 8080, None, None),
    ]
    assert [row["name"] for row in found["names"]] == ["www.example"]
