"""NetFlow and IPFIX: what datagrams say becomes flows, in files and in captures."""

from __future__ import annotations

import io
import json
import os
import struct
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import forensics as fx
from forensics.formats import Evidence, Hints, netflow
from forensics.packets.protocols import netflow as protocol

SAMPLES = Path(__file__).resolve().parents[1] / "sample_pcaps" / "formats" / "netflow"
CORPUS = os.environ.get("FORENSICS_CORPUS")
needs_corpus = pytest.mark.skipif(not CORPUS, reason="FORENSICS_CORPUS does not name the corpus of real evidence")
TRUTH = Path(CORPUS or ".") / "logs/netflow_ipfix/filebeat-input"
SENT = 1_432_166_460
PROTOS = {"tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58, "sctp": 132}

STATIONS = "records of stations of a wireless network: they name one address, of the station, and no peer"
TOLD = "a file that filebeat refuses for its record count, which exporters get wrong; all sets in it are sound"
BOTH = "records with addresses of both kinds: filebeat takes 0.0.0.0, we take the address of IPv6 that is filled"
CLIENTS = "filebeat does not know Cisco's elements of client and server; it has counts between no one and no one"
DIFFERENT: dict[str, str] = {
    "IPFIX Procera": BOTH,
    "ipfix_cisco.pcap": CLIENTS,
    "Netflow 9 Cisco WLC": STATIONS,
    "Netflow 9 invalid 01": TOLD,
    "netflow9_e10s_4_7byte_pad.pcap": "two records came before their template; filebeat drops them",
}
"""Where our rows are not the truth's, and why; docs/explanation/agreement-logs has the list in words."""


def read(data: bytes) -> tuple[dict[str, list[dict[str, Any]]], dict[str, object]]:
    """Return the rows of a file by table, and its notes."""
    evidence = Evidence(io.BytesIO(data), "export.dat", "collector")
    found: dict[str, list[dict[str, Any]]] = {"flows": [], "rejects": []}
    for table, batch in netflow.parse(evidence):
        batch.validate(full=True)
        found[table] += batch.to_pylist()
    return found, evidence.notes


def message(sets: bytes, sequence: int = 0, domain: int = 1) -> bytes:
    """Return a message of IPFIX."""
    return struct.pack(">HHIII", 10, 16 + len(sets), SENT, sequence, domain) + sets


def a_set(number: int, content: bytes) -> bytes:
    """Return a set."""
    return struct.pack(">HH", number, 4 + len(content)) + content


def template(number: int, *fields: tuple[int, int]) -> bytes:
    """Return a set of one template."""
    packed = b"".join(struct.pack(">HH", *field) for field in fields)
    return a_set(2, struct.pack(">HH", number, len(fields)) + packed)


def version_5(sequence: int, at: int, boot: int = 100) -> bytes:
    """Return a datagram of version 5 with one flow, of an exporter that booted so many seconds before the first."""
    header = struct.pack(">HHIIIIBBH", 5, 1, (boot + at) * 1000, SENT + at, 0, sequence, 0, 0, 0)
    return header + struct.pack(">4s4s4sHHIIIIHHBBBBHHBBH", ENDS[:4], ENDS[4:], bytes(4), 0, 0, 1, 9, 0, 0, 1, 2, 0, 0,
                                6, 0, 0, 0, 0, 0, 0)  # fmt: skip


def version_9(sequence: int, at: int) -> bytes:
    """Return a datagram of version 9 with a template alone."""
    return struct.pack(">HHIIII", 9, 1, (100 + at) * 1000, SENT + at, sequence, 7) + a_set(0, V9_TEMPLATE)


ENDS = bytes([192, 0, 2, 7, 203, 0, 113, 9])
PAIR = ((8, 4), (12, 4))
V9_TEMPLATE = struct.pack(">HHHHHH", 256, 2, 8, 4, 12, 4)
SETS = template(256, *PAIR) + a_set(256, ENDS)


def one(fields: tuple[tuple[int, int], ...], data: bytes) -> dict[str, Any]:
    """Return the only row of a record with these fields behind its addresses."""
    found, _ = read(message(template(256, *PAIR, *fields) + a_set(256, ENDS + data)))
    (row,) = found["flows"]
    return dict(row)


@pytest.mark.parametrize(
    ("fields", "data", "start", "end"),
    [
        (((150, 4), (151, 4)), struct.pack(">II", SENT - 9, SENT - 3), -9.0, -3.0),
        (((152, 8), (153, 8)), struct.pack(">QQ", SENT * 1000 - 1500, SENT * 1000 - 1), -1.5, -0.001),
        (((154, 8), (155, 8)), struct.pack(">IIII", SENT + 2_208_988_800, 1 << 31, SENT + 2_208_988_801, 0), 0.5, 1.0),
        (((158, 4), (159, 4)), struct.pack(">II", 2_000_000, 500_000), -2.0, -0.5),
        (((160, 8), (22, 4), (21, 4)), struct.pack(">QII", SENT * 1000, 250, 750), 0.25, 0.75),
        (((152, 8), (161, 4)), struct.pack(">QI", SENT * 1000, 1250), 0.0, 1.25),
        (((153, 8), (162, 4)), struct.pack(">QI", SENT * 1000, 250_000), -0.25, 0.0),
        (((152, 8), (323, 8)), struct.pack(">QQ", SENT * 1000, SENT * 1000 + 2000), 0.0, 2.0),
        (((323, 8),), struct.pack(">Q", SENT * 1000 - 4000), -4.0, -4.0),
        (((22, 4), (21, 4)), struct.pack(">II", 5, 6), 0.0, 0.0),
    ],
)
def test_times_are_told_in_many_ways(
    fields: tuple[tuple[int, int], ...], data: bytes, start: float, end: float
) -> None:
    """Seconds, milliseconds, NTP's fractions, ages, times since boot and durations all become start and end."""
    row = one(fields, data)

    assert [round(row[name].timestamp() - SENT, 6) for name in ("start", "end")] == [start, end]


@pytest.mark.parametrize(
    ("fields", "data", "out", "back"),
    [
        (((1, 4),), struct.pack(">I", 9), 9, None),
        (((1, 3),), b"\x01\x00\x00", 65_536, None),
        (((85, 8), (1, 4)), struct.pack(">QI", 99, 9), 9, None),
        (((85, 8),), struct.pack(">Q", 99), 99, None),
        (((23, 4),), struct.pack(">I", 7), 7, None),
        (((1, 4), (23, 4)), struct.pack(">II", 9, 7), 9, None),
        (((231, 4), (232, 4)), struct.pack(">II", 5, 6), 5, 6),
        (((1, 0), (2, 4)), struct.pack(">I", 3), None, None),
        (((1, 12),), bytes(12), None, None),
    ],
)
def test_bytes_are_counted_once(
    fields: tuple[tuple[int, int], ...], data: bytes, out: int | None, back: int | None
) -> None:
    """Of counts that say the same the first is taken; a direction that no field counts is null."""
    row = one(fields, data)

    assert (row["bytes_out"], row["bytes_in"], row["bytes_kind"]) == (out, back, "ip")


@pytest.mark.parametrize(
    ("fields", "data", "ports"),
    [
        (((4, 1), (7, 2), (11, 2)), struct.pack(">BHH", 1, 0, 0x0303), (3, 3)),
        (((4, 1), (32, 2), (7, 2), (11, 2)), struct.pack(">BHHH", 1, 0x0800, 0, 0), (8, 0)),
        (((4, 1), (139, 2)), struct.pack(">BH", 58, 0x8700), (135, 0)),
        (((4, 1), (176, 1), (177, 1)), struct.pack(">BBB", 1, 11, 1), (11, 1)),
        (((4, 1), (7, 2), (11, 2)), struct.pack(">BHH", 58, 136, 135), (136, 135)),
        (((4, 1), (182, 2), (183, 2)), struct.pack(">BHH", 6, 1024, 443), (1024, 443)),
        (((4, 1),), b"\x2f", (None, None)),
    ],
)
def test_icmp_has_type_and_code_for_ports(
    fields: tuple[tuple[int, int], ...], data: bytes, ports: tuple[int | None, int | None]
) -> None:
    """ICMP's type and code come from elements of their own, or from the port of the destination."""
    row = one(fields, data)

    assert (row["src_port"], row["dst_port"]) == ports


def test_an_address_of_ipv6_counts_where_that_of_ipv4_is_empty() -> None:
    """A template for both kinds leaves the other one at zero."""
    fields = ((8, 4), (12, 4), (27, 16), (28, 16))
    six = bytes.fromhex("20010db8000000000000000000000007"), bytes.fromhex("20010db8000000000000000000000009")
    data = message(template(256, *fields) + a_set(256, bytes(8) + six[0] + six[1] + ENDS + bytes(32)))

    assert [(row["src"], row["dst"]) for row in read(data)[0]["flows"]] == [
        ("2001:db8::7", "2001:db8::9"), ("192.0.2.7", "203.0.113.9"),
    ]  # fmt: skip


def test_templates_change_and_are_withdrawn() -> None:
    """Data is read by the template that holds when it comes; without one it waits."""
    data = (
        message(template(256, *PAIR, (1, 4)) + a_set(256, ENDS + struct.pack(">I", 5)))
        + message(template(256, *PAIR, (2, 4)) + a_set(256, ENDS + struct.pack(">I", 6)), 1)
        + message(a_set(2, struct.pack(">HH", 256, 0)) + a_set(256, ENDS + struct.pack(">I", 7)), 2)
    )
    found, notes = read(data)

    assert [(row["bytes_out"], row["packets_out"]) for row in found["flows"]] == [(5, None), (None, 6)]
    assert [row["reason"] for row in found["rejects"]] == ["template 256 of domain 1 (version 10) never came"]
    assert "sequence_breaks" not in notes


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (
            b"".join(version_5(sequence, at) for at, sequence in enumerate((0, 1, 11, 12))),
            "9 flows of engine 0 (version 5)",
        ),
        (
            b"".join(version_9(sequence, at) for at, sequence in enumerate((0, 1, 4, 5))),
            "2 datagrams of source 7 (version 9)",
        ),
        (
            b"".join(message(SETS, sequence) for sequence in (5, 6, 17, 18)),
            "10 data records of domain 1 (version 10)",
        ),
    ],
)
def test_numbers_that_never_came_are_a_gap(data: bytes, missing: str) -> None:
    """What is missing stands with its unit, between the datagrams before and behind it."""
    evidence = Evidence(io.BytesIO(data), "export.dat", "collector")
    list(netflow.parse(evidence))
    (gap,) = evidence.gaps

    assert (gap.kind, gap.record) == ("sequence", 3)
    assert gap.reason == f"{missing} are missing: their numbers never came"
    assert gap.start is not None
    assert gap.end is not None
    assert SENT * 1_000_000 <= gap.start <= gap.end <= (SENT + 3) * 1_000_000
    assert evidence.notes["sequence_breaks"] == 1
    assert "out_of_sequence" not in evidence.notes


def test_breaks_stand_in_the_sources(tmp_path: Path) -> None:
    """The gap is in the file's row of ``sources``; in a capture it names the exporter."""
    path = tmp_path / "exports.pcap"
    path.write_bytes(capture([packet(4739, message(SETS, sequence)) for sequence in (5, 6, 17)]))
    (gap,) = json.loads(fx.read(path).sources.to_pandas().gaps[0])

    assert (gap["kind"], gap["record"]) == ("sequence", 3)
    assert gap["reason"] == (
        "10 data records of domain 1 (version 10) of 198.51.100.1 are missing: their numbers never came"
    )


def test_what_came_late_is_not_missing() -> None:
    """A datagram that was sent before and came later fills its hole, and a second copy of it changes nothing."""
    _, notes = read(b"".join(message(SETS, sequence) for sequence in (5, 6, 17, 7, 7, 18)))

    assert (notes["sequence_breaks"], notes["lost_before_breaks"], notes["out_of_sequence"]) == (1, 9, 2)


def test_exporters_do_not_share_templates() -> None:
    """The same number means something else at another exporter, or in another domain."""
    datagrams = protocol.Datagrams()
    sets = template(256, *PAIR)
    assert datagrams.take(message(sets), "192.0.2.1", 1)
    assert datagrams.take(message(a_set(256, ENDS)), "192.0.2.2", 2)
    assert datagrams.take(message(a_set(256, ENDS), domain=2), "192.0.2.1", 3)
    assert datagrams.take(message(a_set(256, ENDS)), "192.0.2.1", 4)

    assert [[seen.record for seen in pile.seen] for pile in datagrams.piles()] == [[4]]
    assert sorted(record for record, _, _ in datagrams.unread()) == [2, 3]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data without templates, streams and templates beyond the limits are given up and counted."""
    monkeypatch.setattr(protocol, "MOST_WAITING", 40)
    monkeypatch.setattr(protocol, "MOST_DOMAINS", 2)
    monkeypatch.setattr(protocol, "MOST_TEMPLATES", 1)
    datagrams = protocol.Datagrams()
    for domain in range(1, 5):
        datagrams.take(message(a_set(256, bytes(20)), domain=domain), None, domain)
    datagrams.take(message(template(300, *PAIR) + template(301, *PAIR) + a_set(300, ENDS), domain=4), None, 9)

    assert datagrams.counts["sets_without_template"] == 3
    assert [record for record, _, _ in datagrams.unread()] == [3, 4]


def test_files_of_other_things_are_declined() -> None:
    """One header may be lawful by chance; what follows it must be too."""
    good = (SAMPLES / "normal.dat").read_bytes()

    assert netflow.declines(good, Hints()) is None
    assert netflow.declines(good[:100], Hints()) is not None
    assert netflow.declines(b"", Hints()) == "it is empty"
    assert "byte 121 begins no datagram" in str(netflow.declines(good[:120] + b"and some text that follows", Hints()))


def test_a_datagram_cut_in_two_by_reading_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """However the stream is read, the datagrams are the same."""
    data = (SAMPLES / "normal.dat").read_bytes()
    expected = read(data)
    for size in (1, 7, 100):
        monkeypatch.setattr(netflow, "CHUNK", size)
        assert read(data) == expected


@given(st.integers(0, 10_000), st.binary(max_size=40))
def test_damaged_files_give_rows_or_rejects(place: int, noise: bytes) -> None:
    """Whatever bytes come in between: nothing raises, and every datagram is rows or rejects."""
    data = (SAMPLES / "traps.dat").read_bytes()
    place %= len(data)
    found, notes = read(data[:place] + noise + data[place:])

    assert all(row["start"] <= row["end"] for row in found["flows"])
    assert all(row["record"] <= notes["records"] for rows in found.values() for row in rows)


def test_datagrams_in_a_capture_give_flows_of_their_exporter(tmp_path: Path) -> None:
    """A capture of exports has the flows told of, with the exporter as vantage, their volumes, and its own flow."""
    datagrams = [(SAMPLES / "normal.dat").read_bytes()[:120], message(template(256, *PAIR) + a_set(256, ENDS))]
    packets = [packet(4739, data) for data in datagrams] + [packet(4739, b"\x00\x0a" + bytes(30)), packet(9, b"x")]
    path = tmp_path / "exports.pcap"
    path.write_bytes(capture(packets))
    case = fx.read(path)
    flows = case.flows.to_pandas().sort_values(["record", "src"])
    told = flows[flows.vantage == "198.51.100.1"]

    assert told[["src", "dst", "bytes_out", "record"]].astype(object).where(told.notna(), None).to_numpy().tolist()[
        0
    ] == ["192.0.2.7", "203.0.113.9", 1200, 1]
    assert told.record.tolist() == [1, 1, 2]
    assert flows[flows.vantage == "exports"].dst_port.tolist() == [4739, 9]
    volumes = case.volumes.to_pandas()
    assert volumes[volumes.vantage == "198.51.100.1"].bytes_out.sum() == 1200 + 9000
    notes = json.loads(case.sources.to_pandas().notes[0])
    assert notes["netflow"] == {
        "flow_records": 3, "records_without_times": 1, "version_10": 1, "version_5": 1
    }  # fmt: skip
    assert notes["unread_messages"] == {"netflow": 1}


def packet(port: int, data: bytes) -> bytes:
    """Return an Ethernet frame of UDP from an exporter to a collector."""
    udp = struct.pack(">HHHH", 40_000, port, 8 + len(data), 0) + data
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes([198, 51, 100, 1]),
                         bytes([198, 51, 100, 2]))  # fmt: skip
    return bytes(12) + b"\x08\x00" + header + udp


def capture(packets: list[bytes]) -> bytes:
    """Return a capture."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)
    return head + b"".join(struct.pack("<IIII", SENT + n, 0, len(p), len(p)) + p for n, p in enumerate(packets))


def corpus_tests() -> dict[str, list[Path]]:
    """Return the files of each of filebeat's tests by its name."""
    found: dict[str, list[Path]] = {}
    name = ""
    listed = (TRUTH / "dat_tests.yaml").read_text(encoding="utf-8").splitlines() if CORPUS else []
    for line in listed:
        if line.startswith("  ") and not line.startswith("   ") and line.endswith(":"):
            name = line.strip()[:-1]
        elif line.strip().endswith(".dat"):
            found.setdefault(name, []).append(TRUTH / "dat" / line.strip()[2:])
    found |= {p.name: [p] for p in sorted((TRUTH / "pcap").glob("*.pcap"))} if CORPUS else {}
    return found


def expected_of(name: str) -> Counter[tuple[object, ...]]:
    """Return what filebeat's fields say of flows; times come from the elements where it makes none of them."""
    (golden,) = (
        p
        for p in (TRUTH / "golden").glob("*.json")
        if json.loads(p.read_text())["test_name"] == name.removesuffix(".pcap")
    )
    rows: Counter[tuple[object, ...]] = Counter()
    for event in json.loads(golden.read_text()).get("events") or ():
        fields = event["Fields"]["netflow"]
        if fields["type"] == "netflow_flow":
            rows[_expected(fields, event["Fields"])] += 1
    return rows


def _expected(n: dict[str, Any], fields: dict[str, Any]) -> tuple[object, ...]:
    """Return one row of the truth."""
    out = n.get("initiator_octets", n.get("octet_delta_count", n.get("octet_total_count")))
    back = n.get("responder_octets", n.get("reverse_octet_total_count"))
    if n.get("firewall_event") == 1:
        out, back = out or None, back or None
    src = n.get("source_ipv4_address") or n.get("source_ipv6_address")
    dst = n.get("destination_ipv4_address") or n.get("destination_ipv6_address")
    proto = n.get("protocol_identifier")
    ports = None, None
    if proto not in (1, 58):
        ports = fields.get("source", {}).get("port"), fields.get("destination", {}).get("port")
    start = fields["event"].get("start") or next(
        (n[k] for k in ("flow_start_microseconds", "flow_start_milliseconds", "flow_start_seconds") if k in n), None
    )
    return src, dst, *ports, proto, out, back, start and _time(start)


def _time(text: str) -> datetime:
    """Return a time."""
    return datetime.fromisoformat(text).astimezone(UTC)


def ours(rows: list[dict[str, Any]], *, timed: bool) -> Counter[tuple[object, ...]]:
    """Return our rows as the truth has them."""
    return Counter(
        (
            row["src"], row["dst"], *((row["src_port"], row["dst_port"]) if "icmp" not in str(row["proto"]) else (None,
            None)), row["proto"] and (PROTOS.get(row["proto"]) if row["proto"] in PROTOS else int(row["proto"][3:])),
            row["bytes_out"], row["bytes_in"], row["start"] if timed else None,
        )
        for row in rows
    )  # fmt: skip


@needs_corpus
@pytest.mark.parametrize("name", corpus_tests() or ["-"])
def test_the_corpus_agrees(name: str) -> None:
    """Addresses, ports, bytes and starts of all real exports are those that filebeat reads, but for what is listed."""
    if name == "-":
        pytest.skip("the corpus has no exports")
    files = corpus_tests()[name]
    for path in files:
        if path.suffix == ".dat":
            assert netflow.declines(path.read_bytes()[:65_536], Hints()) is None
    truth = expected_of(name)
    if files[0].suffix == ".pcap":
        flows = fx.read(files[0]).flows.to_arrow().to_pylist()
        rows = [row for row in flows if row["vantage"] != row["source"].removesuffix(".pcap")]
    else:
        rows = read(b"".join(path.read_bytes() for path in files))[0]["flows"]
    timed = any(row[-1] is not None for row in truth)
    made = ours(rows, timed=timed)

    if name in DIFFERENT:
        assert made != truth
    else:
        assert made == truth


@needs_corpus
def test_version_5_of_the_corpus_is_read_whole() -> None:
    """Every record of the datagrams of version 5 becomes a flow; what is cut short is a reject."""
    made = {}
    for path in sorted((TRUTH / "dat").glob("netflow5*.dat")):
        found, _ = read(path.read_bytes())
        made[path.stem] = len(found["flows"]), len(found["rejects"])

    assert made == {
        "netflow5": (30, 0),
        "netflow5_test_invalid01": (0, 1),  # its header promises 55,582 records
        "netflow5_test_invalid02": (0, 4),  # so do its header, and what begins like headers in it
        "netflow5_test_juniper_mx80": (29, 0),
        "netflow5_test_microtik": (30, 0),
    }
