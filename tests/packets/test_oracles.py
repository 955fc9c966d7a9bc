"""The engine against tshark, on samples and real captures; the same packets in several containers."""

from __future__ import annotations

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


def test_the_same_packets_in_other_containers(compiled: Build, corpus: Path) -> None:
    """The same hundred packets give the same flows from pcap and pcapng."""
    folder = corpus / "captures" / "same-100-packets" / "test" / "traces"
    names = ("100_packets.pcap", "100_packets.pcapng", "100_packetsns.pcap", "100_seconds.pcap")
    found = [compiled.flows((folder / name).read_bytes()) for name in names]
    bare = [[{k: v for k, v in flow.items() if k not in {"start", "end"}} for flow in flows] for flows in found]

    assert len(bare[0]) == 44
    assert all(flows == bare[0] for flows in bare)
    assert found[0] == found[1] == found[2]
