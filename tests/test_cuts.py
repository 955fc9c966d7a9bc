"""From rows to their packets, and to a capture of just those."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import os
import shutil
import struct
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import forensics as fx
from forensics.errors import CaseError, EvidenceError, QueryError
from forensics.packets.seek import Packet
from forensics.packets.writing import write_capture
from forensics.schema import FINDING_COLUMNS, SCHEMA_VERSION

if TYPE_CHECKING:
    from forensics.case import Case

SERVER = "203.0.113.44"  # of the samples' TLS connection
TERMINAL, RELAY = "10.20.1.7", "198.51.100.116"
FRAMES = ("frame.number", "frame.time_epoch", "frame.len", "frame.cap_len")


@pytest.fixture(scope="module")
def campaign_case(campaign: Path) -> Case:
    """Return a case of a terminal's capture, one at a relay, and the sensor's log of names."""
    captures = campaign / "captures"
    return fx.read(captures / "terminal.pcap", captures / "relay-1.pcap", campaign / "zeek/dns.log.gz", timezone="UTC")


@pytest.fixture
def sample(campaign: Path) -> Path:
    """Return the folder of the samples of formats."""
    return campaign.parent / "formats"


@pytest.fixture
def moved(sample: Path, tmp_path: Path) -> Path:
    """Return a copy of a capture that a test may do things to."""
    return Path(shutil.copy(sample / "pcap" / "normal.pcap", tmp_path / "normal.pcap"))


def rows_of(case: Case, condition: str = "true") -> list[dict[str, Any]]:
    """Return rows of flows."""
    query = f"SELECT * FROM flows WHERE {condition} ORDER BY source, record"  # noqa: S608
    rows: list[dict[str, Any]] = case.sql(query).to_arrow().to_pylist()
    return rows


def frames(tshark: str, path: Path, *fields: str) -> list[list[str]]:
    """Return what tshark says of each packet of a capture."""
    wanted = [part for field in fields for part in ("-e", field)]
    command = [tshark, "-n", "-r", str(path), "-T", "fields", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line.split("\t") for line in done.stdout.splitlines()]


def plain(packets: list[Packet]) -> list[tuple[object, ...]]:
    """Return packets without what their source is called."""
    return [(packet.number, packet.time, packet.wire_length, packet.link_type, packet.data) for packet in packets]


def test_a_flow_is_its_packets(campaign_case: Case, tshark: str, campaign: Path) -> None:
    """A row of flows gives that connection's packets as tshark numbers, times and measures them."""
    row = rows_of(campaign_case, f"src = '203.0.113.10' AND dst = '{RELAY}' AND payload_bytes_out > 1000")[0]

    packets = campaign_case.packets(row)

    theirs = {
        int(n): (t, size, kept) for n, t, size, kept in frames(tshark, campaign / "captures/relay-1.pcap", *FRAMES)
    }
    assert packets[0].number == row["record"]
    assert len(packets) == row["packets_out"] + row["packets_in"]
    assert sum(packet.wire_length for packet in packets) == row["frame_bytes_out"] + row["frame_bytes_in"]
    for packet in packets:
        time = f"{packet.time // 10**9}.{packet.time % 10**9:09d}"
        assert (time, str(packet.wire_length), str(len(packet.data))) == theirs[packet.number]
        assert (packet.source, packet.link_type) == ("relay-1.pcap", 1)
    assert packets[0].data.hex() not in repr(packets[0])


def test_rows_in_every_shape(campaign_case: Case) -> None:
    """One row as a mapping or of a data frame, several as a list, a frame, a view or a table: the same packets."""
    some = rows_of(campaign_case, "source = 'relay-1.pcap'")[:3]
    frame = campaign_case.flows.to_pandas()
    chosen = frame[(frame["source"] == "relay-1.pcap") & frame["record"].isin([row["record"] for row in some])]
    records = ", ".join(str(row["record"]) for row in some)
    condition = f"source = 'relay-1.pcap' AND record IN ({records})"
    view = campaign_case.sql(f"SELECT * FROM flows WHERE {condition}")  # noqa: S608

    expected = campaign_case.packets(some)

    assert len(expected) == sum(row["packets_out"] + row["packets_in"] for row in some)
    for shape in (chosen, view, view.to_arrow(), condition, condition + " -- a comment", [*some, *some]):
        assert campaign_case.packets(shape) == expected
    assert campaign_case.packets(chosen.iloc[0]) == campaign_case.packets(chosen.iloc[0].to_dict())


def test_a_packet_goes_on_to_dpkt(campaign_case: Case) -> None:
    """Scripts get the headers from dpkt; what it cannot read is told."""
    packet = next(iter(campaign_case.packets("proto = 'tcp'", limit=1)))
    segment = packet.to_dpkt().data.data
    flows = campaign_case.sql("SELECT src_port, dst_port FROM flows WHERE proto = 'tcp'").to_arrow().to_pylist()

    assert {segment.sport, segment.dport} in [set(flow.values()) for flow in flows]
    raw = replace(packet, link_type=101, data=bytes(packet.to_dpkt().data))
    assert raw.to_dpkt().data.dport == segment.dport
    with pytest.raises(EvidenceError, match="dpkt reads no packets of link type 147"):
        replace(packet, link_type=147).to_dpkt()
    with pytest.raises(EvidenceError, match=f"dpkt cannot read packet {packet.number}"):
        replace(packet, data=b"").to_dpkt()


def test_order_and_limit(campaign_case: Case) -> None:
    """Packets come by source and number; a limit keeps the first ones."""
    everything = campaign_case.packets("true", limit=10**6)
    places = [(packet.source, packet.number) for packet in everything]

    assert places == sorted(set(places))
    assert {source for source, _ in places} == {"relay-1.pcap", "terminal.pcap"}
    assert campaign_case.packets("true", limit=3) == everything[:3]
    assert len(campaign_case.packets("true")) == min(10_000, len(everything))


def test_findings_are_the_packets_of_their_contacts(campaign_case: Case) -> None:
    """Findings give the packets of what their terminals and servers did in their time; several those of all."""
    some = rows_of(campaign_case, f"dst = '{RELAY}' AND state = 'SF'")[:3]
    findings = pd.DataFrame([dict.fromkeys(FINDING_COLUMNS) | {"detector": "volume_spikes"} for _ in some])
    for column in ("start", "end", "src", "dst"):
        findings[column] = [row[column] for row in some]

    together = campaign_case.packets(findings, limit=10**6)
    each = {
        (packet.source, packet.number)
        for _, finding in findings.iterrows()
        for packet in campaign_case.packets(finding, limit=10**6)
    }

    assert {(packet.source, packet.number) for packet in together} == each
    assert {(row["source"], row["record"]) for row in some} <= each


@pytest.mark.parametrize("form", ["gz", "bz2", "xz", "none"])
def test_memory_disk_and_compression_give_the_same(sample: Path, tmp_path: Path, form: str) -> None:
    """A case on disk, opened anew, and evidence however compressed give the same packets as a plain one in memory."""
    data = (sample / "pcapng" / "two_sections.pcapng").read_bytes()
    expected = fx.read(sample / "pcapng" / "two_sections.pcapng").packets("true")
    packed = {"gz": gzip.compress(data), "bz2": bz2.compress(data), "xz": lzma.compress(data), "none": data}
    evidence = tmp_path / "capture"
    evidence.write_bytes(packed[form])
    fx.open_case(tmp_path / "case").add(evidence)

    assert len(expected) > 10
    assert plain(fx.read(evidence).packets("true")) == plain(expected)
    assert plain(fx.open_case(tmp_path / "case").packets("true")) == plain(expected)


CAPTURES = [
    "pcap/normal.pcap",
    "pcap/nanosecond_big_endian.pcap",
    "pcap/snaplen_60.pcap",
    "pcap/cut_inside_packet.pcap",
    "pcapng/normal.pcapng",
    "pcapng/two_sections.pcapng",
    "pcapng/cut_inside_block.pcapng",
]


@pytest.mark.parametrize("name", CAPTURES)
def test_an_export_holds_exactly_the_packets(sample: Path, tmp_path: Path, tshark: str, name: str) -> None:
    """What tshark says of the packets of an export is what it says of them in the evidence."""
    case = fx.read(sample / name)
    rows = rows_of(case)
    told = frames(tshark, sample / name, *FRAMES, "frame.protocols", "ip.id")
    # tshark also lists custom blocks, which are no packets and have no time.
    original = dict(enumerate((row[1:] for row in told if row[1]), start=1))
    for number, chosen in enumerate(([rows[0]], rows[-2:], rows)):
        target = tmp_path / f"{number}.pcapng"

        count = case.export_packets(chosen, target)

        packets = case.packets(chosen)
        assert count == len(packets) == sum(row["packets_out"] + row["packets_in"] for row in chosen)
        written = frames(tshark, target, *FRAMES, "frame.protocols", "ip.id")
        assert [row[1:] for row in written] == [original[packet.number] for packet in packets]
        comments = [row[0] for row in frames(tshark, target, "frame.comment")]
        assert comments == [f"source packet number {packet.number}" for packet in packets]


@pytest.mark.parametrize("name", [*CAPTURES, "pcapng/simple_blocks.pcapng"])
def test_an_export_read_again_has_the_same_flows(sample: Path, tmp_path: Path, name: str) -> None:
    """Our own reader makes the same flows of an export, but for where they come from."""
    case = fx.read(sample / name)
    rows = rows_of(case)
    case.export_packets(rows[::2], tmp_path / "cut.pcapng")
    again = rows_of(fx.read(tmp_path / "cut.pcapng"))

    def bare(row: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in row.items() if key not in {"source", "vantage", "record"}}

    assert [bare(row) for row in again] == [bare(row) for row in rows[::2]]


@pytest.mark.parametrize("folder", ["file-variants", "odd-headers", "same-100-packets", "pcapng-suite", "link-types"])
def test_exports_of_real_captures(corpus: Path, tmp_path: Path, folder: str) -> None:
    """Of captures of every kind, all packets that belong to flows come through unchanged."""
    seen = 0
    for path in sorted((corpus / "captures" / folder).rglob("*.pcap*")):
        try:
            case = fx.read(path)
        except fx.EvidenceError:
            continue  # a container that is not read, or no packet in it
        if not len(case.flows):
            continue
        expected = case.packets("true", limit=10**6)
        assert case.export_packets("true", tmp_path / "cut.pcapng") == len(expected)
        again = fx.read(tmp_path / "cut.pcapng")
        assert [row[1:] for row in plain(again.packets("true", limit=10**6))] == [row[1:] for row in plain(expected)]
        for name in ("packets", "bytes", "frame_bytes", "payload_bytes"):
            columns = ", ".join(f"sum({name}_{way})" for way in ("out", "in"))
            query = f"SELECT src, src_port, dst, dst_port, proto, {columns} FROM flows GROUP BY ALL ORDER BY ALL"  # noqa: S608
            assert again.sql(query).to_arrow() == case.sql(query).to_arrow()
        seen += 1

    assert seen > 0


def test_an_export_says_where_it_comes_from(campaign_case: Case, tmp_path: Path, tshark: str) -> None:
    """Section comments name library, captures, SHA-256 and selection; interfaces are named after the captures."""
    condition = f"dst = '{RELAY}' AND payload_bytes_out > 1000 OR dst_port = 3128 AND record < 300"
    count = campaign_case.export_packets(condition, tmp_path / "cut.pcapng")

    raw = (tmp_path / "cut.pcapng").read_bytes()
    sources = {row["source"]: row for row in campaign_case.sources.to_arrow().to_pylist()}
    counts = dict.fromkeys(("relay-1.pcap", "terminal.pcap"), 0)
    for packet in campaign_case.packets(condition, limit=count):
        counts[packet.source] += 1
    assert f"Cut by forensics {fx.__version__}. Packets: {count}. Captures: 2. Selection: flows WHERE {condition}" in (
        raw.decode("latin-1")
    )
    for name, packets in counts.items():
        told = f"From {name}, SHA-256 {sources[name]['sha256']}, {sources[name]['size']} bytes: {packets} packets"
        assert told.encode() in raw
    fields = frames(tshark, tmp_path / "cut.pcapng", "frame.interface_name", "frame.interface_description")
    assert {name: sum(row[0] == name for row in fields) for name in counts} == counts
    assert {row[1] for row in fields} == {
        f"SHA-256 {sources[name]['sha256']}, {sources[name]['size']} bytes" for name in counts
    }


def test_a_selection_by_rows_is_told_in_words(moved: Path, tmp_path: Path) -> None:
    """Rows are named by their ends and times, five of them at most; a finding with its detector."""
    case = fx.read(moved)
    rows = rows_of(case)
    case.export_packets(rows * 2, tmp_path / "cut.pcapng")
    text = (tmp_path / "cut.pcapng").read_bytes().decode("latin-1")
    first = rows[0]
    times = f"{first['start'].isoformat()} to {first['end'].isoformat()}"
    ends = f"from {first['src']} port {first['src_port']} to {first['dst']} port {first['dst_port']}"
    assert f"Selection: {first['proto']} flow {ends}, {times}; " in text
    assert f"; and {2 * len(rows) - 5} more" in text

    day = [datetime(2015, 5, day, tzinfo=UTC) for day in (20, 22)]
    case.export_packets(
        {"src": first["src"], "dst": first["dst"], "start": day[0], "end": day[1], "detector": "volume_spikes"},
        tmp_path / "finding.pcapng",
    )
    text = (tmp_path / "finding.pcapng").read_bytes().decode("latin-1")
    assert (
        f"Selection: finding volume_spikes from {first['src']} to {first['dst']}, 2015-05-20T00:00:00+00:00 to" in text
    )


def test_the_same_export_twice(moved: Path, tmp_path: Path) -> None:
    """The same rows of the same evidence give the same bytes, and a file of ours is replaced."""
    for target in ("a.pcapng", "b.pcapng"):
        (tmp_path / target).write_text("older")
        fx.read(moved).export_packets("true", tmp_path / target)

    assert (tmp_path / "a.pcapng").read_bytes() == (tmp_path / "b.pcapng").read_bytes()


def test_nothing_half_written(moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends an export, Ctrl-C too, the folder is as it was."""
    case = fx.read(moved)
    out = tmp_path / "out"
    out.mkdir()
    (out / "cut.pcapng").write_text("older")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    writing = importlib.import_module("forensics.packets.writing")  # other tests import builds of their own
    monkeypatch.setattr(writing, "_enhanced_packet", interrupted)
    with pytest.raises(KeyboardInterrupt):
        case.export_packets("true", out / "cut.pcapng")
    with pytest.raises(fx.EvidenceError, match="no captured packet is behind this"):
        case.export_packets("false", out / "cut.pcapng")

    assert {path.name: path.read_text() for path in out.iterdir()} == {"cut.pcapng": "older"}
    with pytest.raises(FileNotFoundError):
        case.export_packets("true", tmp_path / "missing" / "cut.pcapng")


def test_evidence_is_never_overwritten(moved: Path, tmp_path: Path) -> None:
    """Neither evidence, under whatever name, nor a file of the case itself can be the target."""
    before = moved.read_bytes()
    case = fx.open_case(tmp_path / "case").add(moved)
    (tmp_path / "link.pcapng").symlink_to(moved)
    (tmp_path / "hard.pcapng").hardlink_to(moved)

    for target in (moved, tmp_path / "case" / ".." / "normal.pcap", tmp_path / "link.pcapng", tmp_path / "hard.pcapng"):
        with pytest.raises(fx.EvidenceError, match=r"normal.pcap: is evidence and lies at"):
            case.export_packets("true", target)
    with pytest.raises(CaseError, match="lies in the folder of the case"):
        case.export_packets("true", tmp_path / "case" / "parts" / "cut.pcapng")
    with moved.open("rb") as stream:
        loose = fx.read(stream)
    with pytest.raises(fx.EvidenceError, match="was handed over as an open file"):
        loose.export_packets("true", tmp_path / "cut.pcapng")

    assert moved.read_bytes() == before


def test_changed_evidence_is_noticed(moved: Path) -> None:
    """Another size or, with another time, another SHA-256 is an error; a copy of the same bytes is not."""
    case = fx.read(moved)
    before, data = case.packets("true"), moved.read_bytes()
    stamp = moved.stat()

    os.utime(moved, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 10**9))
    assert case.packets("true") == before

    moved.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(fx.EvidenceError, match=r"has changed since it was read: .* has another SHA-256"):
        case.packets("true")

    moved.write_bytes(data + b"\0")
    with pytest.raises(fx.EvidenceError, match=r"has changed since it was read: .* has another size"):
        case.packets("true")

    moved.unlink()
    with pytest.raises(fx.EvidenceError, match="is no longer at"):
        case.packets("true")


def test_a_change_that_hides_its_time(moved: Path) -> None:
    """Bytes changed under the old time are found by `verify`, and where packets are no longer where they were."""
    case = fx.read(moved)
    data, stamp = moved.read_bytes(), moved.stat()
    moved.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(moved, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    assert len(case.packets("true")) > 0
    with pytest.raises(fx.EvidenceError, match="another SHA-256"):
        case.packets("true", verify=True)

    moved.write_bytes(data[:24] + bytes([255]) * (len(data) - 24))
    os.utime(moved, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with pytest.raises(fx.EvidenceError, match="has changed since it was read: packet 40 is not in it"):
        case.packets("true")
    with pytest.raises(fx.EvidenceError, match="another SHA-256"):
        case.export_packets("true", moved.with_name("cut.pcapng"), verify=True)


def test_a_damaged_index_is_told(moved: Path, tmp_path: Path) -> None:
    """A damaged file of the case is named, and what to do about it."""
    case = fx.open_case(tmp_path / "case").add(moved)
    for name in ("packets.arrow", "blocks.arrow"):
        file = next((tmp_path / "case" / "parts").glob(f"*/{name}"))
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CaseError, match=rf"{name} is damaged .*make the case anew"):
            case.packets("true")
        file.write_bytes(whole)

    assert len(case.packets("true")) == 40


def test_a_case_of_an_older_schema_is_refused(moved: Path, tmp_path: Path) -> None:
    """A case that was stored without indexes does not open, and the error says that it is of another schema."""
    fx.open_case(tmp_path / "case").add(moved)
    manifest = tmp_path / "case" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"schema": {SCHEMA_VERSION}', '"schema": 1'))

    with pytest.raises(CaseError, match=f"was written with schema 1, this library reads {SCHEMA_VERSION}"):
        fx.open_case(tmp_path / "case")


def test_what_is_no_row(campaign_case: Case) -> None:
    """A row that lacks what a flow or finding has, or holds something else, and a bad condition, are errors."""
    now = datetime(2015, 5, 20, tzinfo=UTC)
    lacking = {"src": TERMINAL, "dst": RELAY, "start": now}
    with pytest.raises(fx.EvidenceError, match="this row lacks end: give"):
        campaign_case.packets(lacking)
    with pytest.raises(fx.EvidenceError, match="this row lacks record, source: give"):
        campaign_case.packets([lacking | {"end": now, "proto": "tcp"}])
    with pytest.raises(fx.EvidenceError, match="is neither a flow nor a finding"):
        campaign_case.packets(lacking | {"end": "soon"})
    with pytest.raises(fx.EvidenceError, match="no captured packet is behind this"):
        campaign_case.packets([])
    with pytest.raises(QueryError):
        campaign_case.packets("dst == = 1")
    with pytest.raises(QueryError):
        campaign_case.packets("true) UNION SELECT 1, 2, 3 --")
    with pytest.raises(ValueError, match="limit is 0"):
        campaign_case.packets("true", limit=0)


def test_times_before_1970_and_hostile_names(tmp_path: Path, tshark: str) -> None:
    """Negative times come back as they were; control characters of a file's name are no bytes of the export."""
    source = "evil\x1b[2J\u202e.pcap"
    packets = [Packet(source, k, time, 60, 1, 0, bytes(60)) for k, time in ((1, -1), (2, 5), (3, -(10**18)))]
    with (tmp_path / "cut.pcapng").open("wb") as file:
        assert write_capture(file, packets, comments=["a" * 70_000], about={source: "x\x00y"}) == 3

    raw = (tmp_path / "cut.pcapng").read_bytes()
    assert b"\x1b[2J" not in raw
    assert b"x\x00y" not in raw
    assert struct.unpack_from("<I", raw)[0] == 0x0A0D0D0A
    times = [row[0] for row in frames(tshark, tmp_path / "cut.pcapng", "frame.time_epoch")]
    assert times[1] == "0.000000005"
    assert len(times) == 3
    again = fx.read(tmp_path / "cut.pcapng")
    assert again.sources.to_arrow().to_pylist()[0]["records"] == 3
