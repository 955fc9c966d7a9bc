"""From a row back to its packets."""

from __future__ import annotations

import asyncio
import lzma
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import forensics as fx
from forensics.errors import MissingToolError, QueryError
from forensics.packets.dissect import MAX_FRAMES

if TYPE_CHECKING:
    from forensics.case import Case

TERMINAL, PROXY, RELAY = "10.20.1.7", "10.20.0.8", "198.51.100.116"
ONE = f"src = '203.0.113.10' AND dst = '{RELAY}' AND payload_bytes_out > 1000"


@pytest.fixture(scope="module")
def case(campaign: Path) -> Case:
    """Return a case of a terminal's capture, one at a relay, and the sensor's log of names."""
    captures = campaign / "captures"
    return fx.read(captures / "terminal.pcap", captures / "relay-1.pcap", campaign / "zeek/dns.log.gz", timezone="UTC")


@pytest.fixture
def moved(campaign: Path, tmp_path: Path) -> Path:
    """Return a copy of a capture that a test may do things to."""
    return Path(shutil.copy(campaign / "captures" / "relay-4.pcapng", tmp_path / "relay.pcapng"))


def flow(case: Case, condition: str = ONE) -> dict[str, object]:
    """Return the first flow for which the condition holds."""
    rows: list[dict[str, object]] = (
        case.sql(
            f"SELECT * FROM flows WHERE {condition} ORDER BY start LIMIT 1"  # noqa: S608
        )
        .to_arrow()
        .to_pylist()
    )
    return rows[0]


def test_a_flow_is_its_packets(case: Case, tshark: str) -> None:
    """A row of flows, as a mapping or of a data frame, gives exactly that connection's packets, the first one first."""
    row = flow(case)

    packets = fx.dissect(case, row, limit=MAX_FRAMES)

    assert packets[0].number == row["record"]
    assert len(packets) == int(str(row["packets_out"])) + int(str(row["packets_in"]))
    assert {packet.layers["tcp"]["stream"] for packet in packets} == {packets[0].layers["tcp"]["stream"]}
    frame = case.flows.to_pandas()
    same = frame[(frame["source"] == row["source"]) & (frame["record"] == row["record"])].iloc[0]
    assert fx.dissect(case, same, limit=MAX_FRAMES) == packets


def test_a_finding_is_the_packets_of_its_contacts(case: Case, tshark: str) -> None:
    """A finding gives the packets of what its terminal and server did with each other in its time, and no others."""
    row = flow(case)
    finding = {
        "src": "203.0.113.10",
        "dst": RELAY,
        "start": row["start"],
        "end": row["end"],
        "source": "x",
        "record": "1-9",
    }

    packets = fx.dissect(case, finding, limit=MAX_FRAMES)

    assert {frozenset(p.layers["ip"][end] for end in ("src", "dst")) for p in packets} == {
        frozenset({"203.0.113.10", RELAY})
    }
    assert row["record"] in {packet.number for packet in packets}


def test_a_finding_through_a_proxy(case: Case, tshark: str) -> None:
    """What went through a proxy is found although the packets bear the proxy's address, and nothing else is."""
    day = [datetime(2015, 5, day, tzinfo=UTC) for day in (20, 21)]

    packets = fx.dissect(case, {"src": TERMINAL, "dst": RELAY, "start": day[0], "end": day[1]}, limit=MAX_FRAMES)

    assert {frozenset(p.layers["ip"][end] for end in ("src", "dst")) for p in packets} == {frozenset({TERMINAL, PROXY})}
    hosts = {packet.layers["http"].get("host") for packet in packets if "http" in packet.layers} - {None}
    assert {str(host).partition(":")[0] for host in hosts} == {"www.minato-kaiun.example"}


def test_a_condition_and_a_limit(case: Case, tshark: str) -> None:
    """A condition in SQL gives the first packets of all that it holds for, no more than the limit over all captures."""
    packets = fx.dissect(case, "dst_port IN (443, 3128)", limit=3)

    assert [packet.number for packet in packets] == sorted(packet.number for packet in packets)
    assert len(packets) == 3
    both = fx.dissect(case, "record = 1", limit=MAX_FRAMES)
    assert len({packet.time for packet in both}) > 3
    assert sum(packet.number == 1 for packet in both) == 2


@pytest.mark.parametrize("limit", [0, -1, MAX_FRAMES + 1])
def test_a_limit_out_of_range_is_refused(case: Case, limit: int) -> None:
    """A limit that cannot be kept is an error that names the range."""
    with pytest.raises(ValueError, match=f"must be 1 to {MAX_FRAMES}"):
        fx.dissect(case, ONE, limit=limit)


@pytest.mark.parametrize("suffix", ["xz", "zst"])
def test_a_compressed_capture_gives_the_same_packets(
    moved: Path, tmp_path: Path, tshark: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packets of a compressed capture are the same, and the copy that tshark reads is gone afterwards."""
    plain = fx.dissect(fx.read(moved), "record = 1")
    packed = tmp_path / f"relay.pcapng.{suffix}"
    if suffix == "xz":
        packed.write_bytes(lzma.compress(moved.read_bytes()))
    else:
        zstd = pytest.importorskip("backports.zstd")
        packed.write_bytes(zstd.compress(moved.read_bytes()))
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))

    assert fx.dissect(fx.read(packed), "record = 1") == plain
    assert not list(copies.iterdir())


def test_nothing_captured_behind_it(case: Case) -> None:
    """A row of a log, and a condition that holds for nothing, have no packets: an error that says so."""
    log = {
        "src": "203.0.113.11",
        "dst": "198.18.0.1",
        "start": datetime(2000, 1, 1, tzinfo=UTC),
        "end": datetime(2000, 1, 2, tzinfo=UTC),
    }
    for row in (log, "dst = '192.0.2.250'"):
        with pytest.raises(fx.EvidenceError, match="no captured packet is behind this"):
            fx.dissect(case, row)
    with pytest.raises(fx.EvidenceError, match="no captured packet"):
        fx.dissect(case, flow(case) | {"source": "dns.log.gz"})


def test_a_row_of_something_else(case: Case) -> None:
    """A row that is neither flow nor finding is an error that names what it lacks."""
    with pytest.raises(fx.EvidenceError, match="this row lacks dst, end, src"):
        fx.dissect(case, {"rank": 1, "start": datetime(2000, 1, 1, tzinfo=UTC)})


def test_evidence_that_is_gone_or_changed(moved: Path) -> None:
    """A capture that was altered since would show other packets, one that was moved none: both are errors."""
    case = fx.read(moved)
    moved.write_bytes(moved.read_bytes() + b"\0")
    with pytest.raises(fx.EvidenceError, match=r"relay.pcapng: has changed since it was read"):
        fx.dissect(case, "record = 1")
    moved.unlink()
    with pytest.raises(fx.EvidenceError, match=r"relay.pcapng: is no longer at"):
        fx.dissect(case, "record = 1")


def test_a_bad_condition(case: Case) -> None:
    """A condition that is no SQL is the engine's own error."""
    with pytest.raises(QueryError):
        fx.dissect(case, "dst == = 1")


def test_without_tshark(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where tshark is not installed, the error says how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingToolError, match="apt install tshark"):
        fx.dissect(case, ONE)


def test_inside_a_running_event_loop(case: Case, tshark: str) -> None:
    """A notebook's own event loop is running while a cell calls it."""

    async def cell() -> int:
        return len(fx.dissect(case, ONE, limit=2))

    assert asyncio.run(cell()) == 2
