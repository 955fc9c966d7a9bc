"""The engine against others: tshark on samples and real captures, and truth that lies beside them."""

from __future__ import annotations

import csv
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forensics.addresses import address_text

if TYPE_CHECKING:
    from tests.packets.conftest import Build

Conversation = tuple[str, str]
FIELDS = (
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "frame.len",
)
HERE = Path(__file__).resolve().parents[2] / "sample_pcaps" / "formats"
SAMPLES = [HERE / "pcap" / "normal.pcap", HERE / "pcap" / "nanosecond_big_endian.pcap"]
SAMPLES += [HERE / "pcap" / "snaplen_60.pcap", HERE / "pcapng" / "normal.pcapng"]
REAL = [
    "flows-by-protocol/443-curl.pcap",
    "flows-by-protocol/tumblr.pcap",
    "flows-by-protocol/bittorrent.pcap",
    "flows-by-protocol/ethereum.pcap",
    "zeek/opt.basic/trace.pcap",
]


def end(address: str, port: object) -> str:
    """Return one end as text."""
    return f"{address_text(address) or address} {port}"


def add(totals: Counter[tuple[Conversation, str]], a: str, b: str, counts: dict[str, int]) -> None:
    """Add frames and bytes from ``a`` (out) and to it (in) under the conversation's ends, the lower first."""
    if a > b:
        a, b = b, a
        counts = {"out_frames": counts["in_frames"], "in_frames": counts["out_frames"]} | {
            "out_bytes": counts["in_bytes"],
            "in_bytes": counts["out_bytes"],
        }
    for name, count in counts.items():
        totals[(a, b), name] += count


def tsharks(path: Path, tshark: str, proto: str) -> Counter[tuple[Conversation, str]]:
    """Return frames and bytes per conversation of TCP or UDP, summed over what tshark says of every packet."""
    fields = [part for field in FIELDS for part in ("-e", field)]
    command = [tshark, "-n", "-r", str(path), "-Y", proto, "-T", "fields", "-E", "occurrence=f", *fields]
    done = subprocess.run([*command, "-o", "ip.defragment:FALSE"], capture_output=True, text=True, check=False)
    totals: Counter[tuple[Conversation, str]] = Counter()
    for line in done.stdout.splitlines():
        row = dict(zip(FIELDS, line.split("\t"), strict=True))
        src, dst = (row[f"ip.{way}"] or row[f"ipv6.{way}"] for way in ("src", "dst"))
        counts = {"out_frames": 1, "out_bytes": int(row["frame.len"]), "in_frames": 0, "in_bytes": 0}
        add(totals, end(src, row[f"{proto}.srcport"]), end(dst, row[f"{proto}.dstport"]), counts)
    return totals


def ours(flows: list[dict[str, Any]], proto: str) -> Counter[tuple[Conversation, str]]:
    """Return what we count, summed over the flows of a conversation."""
    totals: Counter[tuple[Conversation, str]] = Counter()
    for flow in flows:
        if flow["proto"] == proto and flow["src_port"] is not None:
            counts = {f"{way}_frames": flow[f"packets_{way}"] for way in ("out", "in")}
            counts |= {f"{way}_bytes": flow[f"frame_bytes_{way}"] for way in ("out", "in")}
            add(totals, end(flow["src"], flow["src_port"]), end(flow["dst"], flow["dst_port"]), counts)
    return totals


def compare(build: Build, path: Path, tshark: str) -> None:
    """Compare every conversation, exactly."""
    flows = build.flows(path.read_bytes())
    for proto in ("tcp", "udp"):
        assert +ours(flows, proto) == +tsharks(path, tshark, proto)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples_as_tshark_counts_them(compiled: Build, tshark: str, path: Path) -> None:
    """Frames and bytes of every conversation of our samples are tshark's."""
    compare(compiled, path, tshark)


@pytest.mark.parametrize("name", REAL)
def test_real_captures_as_tshark_counts_them(compiled: Build, corpus: Path, tshark: str, name: str) -> None:
    """Frames and bytes of every conversation of real captures are tshark's."""
    compare(compiled, corpus / name, tshark)


def test_packets_and_frame_bytes_of_real_captures(compiled: Build, corpus: Path) -> None:
    """At least nine in ten captures agree in every 5-tuple with the truth beside them; the rest are tunnels."""
    equal = total = 0
    for truth in sorted((corpus / "flows-by-protocol").glob("*.flows.csv")):
        capture = truth.with_name(truth.name.removesuffix(".flows.csv"))
        expected: Counter[str] = Counter()
        with truth.open(newline="") as file:
            for row in csv.DictReader(file):
                expected[row["proto"].lower()] += int(row["a_frame_bytes"]) + int(row["b_frame_bytes"])
        found: Counter[str] = Counter()
        for flow in compiled.flows(capture.read_bytes()):
            found[flow["proto"]] += flow["frame_bytes_out"] + flow["frame_bytes_in"]
        total += 1
        equal += all(found[proto] == expected[proto] for proto in ("tcp", "udp"))

    assert equal / total > 0.9


@pytest.mark.parametrize("folder", ["missing-syn", "flip-without-syn", "large-file-reassembly", "miss-end-data"])
def test_connections_as_zeek_logs_them(compiled: Build, corpus: Path, folder: str) -> None:
    """State, packets and IP bytes of connections are Zeek's."""
    base = corpus / "zeek" / f"core.tcp.{folder}"
    fields: list[str] = []
    theirs: Counter[tuple[str, ...]] = Counter()
    for line in (base / "conn.log").read_text().splitlines():
        if line.startswith("#fields"):
            fields = line.split("\t")[1:]
        elif not line.startswith("#"):
            row = dict(zip(fields, line.split("\t"), strict=True))
            columns = (
                "id.orig_h",
                "id.resp_h",
                "conn_state",
                "orig_pkts",
                "orig_ip_bytes",
                "resp_pkts",
                "resp_ip_bytes",
            )
            theirs[tuple(row[name] for name in columns)] += 1
    columns = ("src", "dst", "state", "packets_out", "bytes_out", "packets_in", "bytes_in")
    found = compiled.flows(next(base.glob("trace.*")).read_bytes())

    assert Counter(tuple(str(flow[name]) for name in columns) for flow in found) == theirs


def test_the_same_packets_in_other_containers(compiled: Build, corpus: Path) -> None:
    """The same hundred packets give the same flows from pcap and pcapng."""
    folder = corpus / "captures" / "same-100-packets" / "test" / "traces"
    names = ("100_packets.pcap", "100_packets.pcapng", "100_packetsns.pcap", "100_seconds.pcap")
    found = [compiled.flows((folder / name).read_bytes()) for name in names]
    bare = [[{k: v for k, v in flow.items() if k not in {"start", "end"}} for flow in flows] for flows in found]

    assert len(bare[0]) == 44
    assert all(flows == bare[0] for flows in bare)
    assert found[0] == found[1] == found[2]


def test_malformed_captures_are_read(compiled: Build, corpus: Path) -> None:
    """No capture made to crash dissectors crashes this one, and every packet is acnotes for."""
    for path in sorted((corpus / "captures" / "malformed").rglob("*.pcap*")):
        tables, notes = compiled.read(path.read_bytes())
        inside = sum(f["packets_out"] + f["packets_in"] for f in tables["flows"])
        others = sum(notes.get("not_ip", {}).values()) + sum(notes.get("unread_link_types", {}).values())
        bad = [r for r in tables["rejects"] if r["reason"] in compiled.layout.REJECT_REASONS.values()]
        assert inside + others + len(bad) == notes["records"], path.name
