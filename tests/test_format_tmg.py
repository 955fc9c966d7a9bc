"""Logs of TMG and ISA Server: connections that are logged several times, and traps."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from forensics.errors import TimezoneNeededError
from forensics.formats import Evidence, Hints, _blocks, _connections, tmg
from forensics.schema import parts_of

HEAD = (
    "#Software: Microsoft Forefront Threat Management Gateway\n"
    "#Fields: date\ttime\tIP protocol\tsource\tdestination\taction\tbytes sent\tbytes received\tconnection time"
)


def read(data: bytes, hints: Hints | None = None) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Return the rows of a log by table, in the order of its lines, and the notes."""
    evidence = Evidence(io.BytesIO(data), "a.log", "sensor", hints or Hints())
    found: dict[str, list[dict[str, Any]]] = {}
    for table, batch in tmg.parse(evidence):
        for part, rows in parts_of(batch) if table == "exchanges" else [(table, batch)]:
            found.setdefault(part, []).extend(rows.to_pylist())
    return {part: sorted(rows, key=lambda row: int(row["record"])) for part, rows in found.items()}, evidence.notes


def row(second: int, port: int, action: str, *counts: int) -> str:
    """Return a line of a firewall log."""
    time = f"2015-05-21\t01:{second // 60:02}:{second % 60:02}"
    told = "\t".join(map(str, (*counts, 0, 0, 0)[:3]))
    return f"{time}\tTCP\t192.0.2.1:{port}\t203.0.113.7:443\t{action}\t{told}"


def log(*rows: str) -> bytes:
    """Return a firewall log."""
    return "\n".join([HEAD, *rows, ""]).encode()


@pytest.mark.parametrize("size", [64, 1 << 20])
def test_a_connection_is_one_flow(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes so far are not added: the last row of a connection has them all; blocks make no difference."""
    monkeypatch.setattr(_blocks, "BLOCK", size)
    found, _ = read(log(
        row(0, 1, "Establish"), row(1, 2, "Establish"), row(10, 1, "Intermediate", 10, 20, 10_000),
        row(20, 1, "Intermediate", 15, 30, 20_000), row(30, 1, "Terminate", 40, 50, 30_000), row(31, 3, "Denied", 9, 9),
        row(40, 1, "Establish"), row(50, 1, "Terminate", 1, 2, 10_000), row(55, 4, "Intermediate", 7, 8, 55_000),
    ))  # fmt: skip

    told = [
        (flow["src_port"], flow["state"], flow["bytes_out"], flow["bytes_in"], (flow["end"] - flow["start"]).seconds)
        for flow in found["flows"]
    ]
    assert told == [
        (2, "Establish", None, None, 0), (1, "Terminate", 40, 50, 30), (3, "Denied", None, None, 0),
        (1, "Terminate", 1, 2, 10), (4, "Intermediate", 7, 8, 55),
    ]  # fmt: skip


def test_open_connections_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of open connections the oldest is told as it is; none is lost."""
    monkeypatch.setattr(_connections, "MOST_OPEN", 3)
    monkeypatch.setattr(_blocks, "BLOCK", 256)
    found, _ = read(log(*(row(number, number, "Establish") for number in range(1, 50))))

    assert [flow["src_port"] for flow in found["flows"]] == list(range(1, 50))


def test_a_log_as_text_is_in_local_time() -> None:
    """Only W3C files are in UTC; the other form needs a zone."""
    data = row(0, 1, "Terminate", 1, 2, 0).encode() + b"\n"
    fields = HEAD.splitlines()[1].removeprefix("#Fields: ")
    hints = Hints(logformat=f"tmg: {fields}", timezone=ZoneInfo("Asia/Tokyo"))

    assert tmg.declines(data, hints) is None
    local = read(data, hints)[0]["flows"][0]["end"]
    assert read(log(data.decode().strip()))[0]["flows"][0]["end"] - local == timedelta(hours=9)
    with pytest.raises(TimezoneNeededError):
        read(data, Hints(logformat=f"tmg: {fields}"))


def test_an_upstream_proxy_is_not_the_server() -> None:
    """The address that was asked is the server's only where the object came from the Internet."""
    head = b"#Fields: c-ip\tdate\ttime\tr-host\tr-ip\tr-port\tcs-uri\ts-operation\ts-object-source\n"
    line = b"192.0.2.1\t2015-05-21\t01:00:00\twww.example\t203.0.113.7\t80\thttp://www.example/\tGET\t"
    found, _ = read(head + b"".join(line + source + b"\n" for source in (b"Inet", b"Upstream", b"Cache", b"-")))

    assert [flow["dst"] for flow in found["flows"]] == ["203.0.113.7", None, None, None]
    assert {flow["name"] for flow in found["flows"]} == {"www.example"}
