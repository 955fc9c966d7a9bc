"""Logs of the Windows Firewall: plaso's sample, and traps."""

from __future__ import annotations

import io
import os
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from forensics.formats import Evidence, Hints, windows_firewall
from forensics.schema import parts_of

TOKYO = ZoneInfo("Asia/Tokyo")
HEAD = (
    b"#Version: 1.5\n#Software: Microsoft Windows Firewall\n#Time Format: Local\n"
    b"#Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin icmptype "
    b"icmpcode info path\n"
)


def read(data: bytes, hints: Hints | None = None) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Return the rows of a log by table, in the order of its lines, and the notes."""
    evidence = Evidence(io.BytesIO(data), "a.log", "sensor", hints or Hints(timezone=TOKYO))
    found: dict[str, list[dict[str, Any]]] = {}
    for table, batch in windows_firewall.parse(evidence):
        for part, rows in parts_of(batch) if table == "exchanges" else [(table, batch)]:
            found.setdefault(part, []).extend(rows.to_pylist())
    return {part: sorted(rows, key=lambda row: int(row["record"])) for part, rows in found.items()}, evidence.notes


def corpus(*parts: str) -> Path:
    """Return a file of the reference corpus; the test is skipped without it."""
    folder = os.environ.get("FORENSICS_CORPUS")
    if not folder:
        pytest.skip("FORENSICS_CORPUS names no reference corpus")
    return Path(folder, "logs", *parts)


def test_a_sample_of_plaso_is_read_as_its_lines_say() -> None:
    """Each line of plaso's sample is a flow with its ends and action, on the clock of the machine, and no bytes."""
    data = corpus("plaso", "windows_firewall.log").read_bytes()
    told = [line.split() for line in data.decode().splitlines() if line and not line.startswith("#")]
    told = [row for row in told if row[2] != "INFO-EVENTS-LOST"]
    found, notes = read(data)

    assert "rejects" not in found
    assert sorted((row["record"] - 5, row["state"], row["src"], row["dst"]) for row in found["flows"]) == [
        (number, row[2], row[4], row[5]) for number, row in enumerate(told)
    ]
    for row in found["flows"]:
        written = told[row["record"] - 5]
        assert row["end"] == datetime.fromisoformat(f"{written[0]} {written[1]}").replace(tzinfo=TOKYO)
        ports = (8, 0) if written[3] == "ICMP" else (int(written[6]), int(written[7]))
        assert (row["proto"], row["src_port"], row["dst_port"]) == (written[3].lower(), *ports)
        assert (row["bytes_out"], row["bytes_in"]) == (None, None)
    assert (notes["events_lost"], notes["records"]) == (59, len(told) + 1)


def test_the_size_of_one_packet_is_no_volume() -> None:
    """``size`` says nothing of a connection: bytes are not observed."""
    found, _ = read(HEAD + b"2015-05-21 10:00:00 DROP TCP 192.0.2.1 203.0.113.7 1 2 1500 S 1 0 8192 - - - SEND\n")

    assert found["flows"][0]["bytes_out"] is None


def test_what_opens_and_closes_is_one_flow() -> None:
    """A close takes the time of its opening; one without stands alone, and so does an opening that never closes."""
    line = b"2015-05-21 10:00:%02d %s TCP 192.0.2.1 203.0.113.7 %d 443 - - - - - - - - -\n"
    found, _ = read(HEAD + b"".join(line % (second, what, port) for second, what, port in (
        (1, b"OPEN", 5), (2, b"OPEN", 6), (9, b"CLOSE", 5), (10, b"CLOSE", 7), (11, b"OPEN", 5),
    )))  # fmt: skip

    assert [(row["src_port"], row["state"], (row["end"] - row["start"]).seconds) for row in found["flows"]] == [
        (6, "OPEN", 0), (5, "CLOSE", 8), (7, "CLOSE", 0), (5, "OPEN", 0),
    ]  # fmt: skip


@pytest.mark.parametrize("directives", [b"#Zeitformat: Lokal\n", b"", b"#Time Format: Local\n"])
def test_localised_systems_translate_directives_only(directives: bytes) -> None:
    """Times are local even where a directive that says so cannot be read."""
    head = directives + HEAD.splitlines(keepends=True)[-1]
    found, notes = read(head + b"2015-05-21 10:00:00 DROP TCP 192.0.2.1 203.0.113.7 1 2 - - - - - - - - -\n")

    assert found["flows"][0]["end"].hour == 1
    assert notes["timezone"] == "Asia/Tokyo"
