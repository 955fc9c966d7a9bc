"""The laboratory from its files to its findings: against tshark, against Squid, against what the programs recorded."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import subprocess
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import forensics as fx
from forensics.detectors import all_detectors
from forensics.investigation import Investigation, investigate

LAB = Path(__file__).resolve().parents[1] / "sample_pcaps" / "lab"
TRUTH: dict[str, Any] = json.loads((LAB / "truth.json").read_text("utf-8"))
CAPTURES = [capture["file"] for capture in TRUTH["captures"]]
RELAYS = {host["address"] for host in TRUTH["hosts"] if host["role"] == "relay"}
UNITS = {"bytes": 1, "kB": 1000, "MB": 1_000_000}

Conversation = tuple[str, ...]


@pytest.fixture(scope="module")
def found() -> Investigation:
    """Return the investigation of the whole laboratory."""
    os.environ.setdefault("FORENSICS_JIT", "0")
    case = fx.read(*(LAB / name for name in (*CAPTURES, "access.log")))
    return investigate(case)


def rows(found: Investigation, query: str) -> list[dict[str, Any]]:
    """Return the rows of a query over the case."""
    answer: list[dict[str, Any]] = found.case.sql(query).to_arrow().to_pylist()
    return answer


def plain(name: str, folder: Path) -> Path:
    """Return a capture in a form that every tshark reads."""
    if not name.endswith(".xz"):
        return LAB / name
    path = folder / name.removesuffix(".xz")
    with path.open("wb") as file:
        subprocess.run(["xz", "-dc", str(LAB / name)], stdout=file, check=True)
    return path


def conversation(a: str, b: str) -> Conversation:
    """Return both ends of a conversation, in one order whoever began it."""
    return tuple(sorted((a, b)))


def tshark_packets(path: Path, tshark: str, proto: str) -> Counter[tuple[Conversation, str]]:
    """Return frames and frame bytes of every conversation, summed over the packets that tshark shows."""
    fields = [
        f"-e{name}" for name in ("ip.src", "ipv6.src", "ip.dst", "ipv6.dst", f"{proto}.srcport", f"{proto}.dstport")
    ]
    command = [tshark, "-n", "-r", str(path), "-Y", f"{proto} && !icmp && !icmpv6", "-Tfields", "-eframe.len", *fields]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    counted: Counter[tuple[Conversation, str]] = Counter()
    for line in done.stdout.splitlines():
        size, src4, src6, dst4, dst6, src_port, dst_port = line.split("\t")
        ends = conversation(f"{src4 or src6}:{src_port}", f"{dst4 or dst6}:{dst_port}")
        counted[ends, "frames"] += 1
        counted[ends, "bytes"] += int(size)
    return counted


def our_flows(found: Investigation, source: str, proto: str) -> Counter[tuple[Conversation, str]]:
    """Return the same of our flows."""
    counted: Counter[tuple[Conversation, str]] = Counter()
    for flow in rows(found, f"SELECT * FROM flows WHERE source = '{source}' AND proto = '{proto}'"):  # noqa: S608
        ends = conversation(f"{flow['src']}:{flow['src_port']}", f"{flow['dst']}:{flow['dst_port']}")
        counted[ends, "frames"] += flow["packets_out"] + flow["packets_in"]
        counted[ends, "bytes"] += flow["frame_bytes_out"] + flow["frame_bytes_in"]
    return counted


@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_every_conversation_has_tsharks_frames_and_bytes(
    found: Investigation, tshark: str, tmp_path: Path, name: str, proto: str
) -> None:
    """Frames and bytes of every conversation of every capture are those that tshark counts."""
    theirs = tshark_packets(plain(name, tmp_path), tshark, proto)

    assert theirs == our_flows(found, name, proto)


@pytest.mark.parametrize("name", CAPTURES)
def test_tsharks_conversation_table_lists_the_same(
    found: Investigation, tshark: str, tmp_path: Path, name: str
) -> None:
    """The table of ``tshark -z conv,tcp`` lists our conversations with our frames."""
    command = [tshark, "-n", "-q", "-r", str(plain(name, tmp_path)), "-z", "conv,tcp"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    listed: Counter[Conversation] = Counter()
    ours = our_flows(found, name, "tcp")
    for line in re.findall(r"^(\S+) +<-> (\S+) +(.+)$", done.stdout, re.MULTILINE):
        frames = [int(number) for number in re.findall(r"(\d+) [\d.]+ (?:bytes|kB|MB)", line[2])]
        listed[conversation(line[0], line[1])] += frames[2]

    assert listed == Counter({ends: n for (ends, what), n in ours.items() if what == "frames"})


@pytest.mark.parametrize("name", CAPTURES[:2])
def test_initial_sequence_numbers_are_tsharks(found: Investigation, tshark: str, tmp_path: Path, name: str) -> None:
    """Each connection has the raw numbers of the two SYNs that tshark shows, the client's and the server's."""
    command = [tshark, "-n", "-r", str(plain(name, tmp_path)), "-Y", "tcp.flags.syn == 1 && !icmp", "-Tfields"]
    command += [f"-e{field}" for field in ("tcp.srcport", "tcp.dstport", "tcp.flags.ack", "tcp.seq_raw")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    shown = [line.split("\t") for line in done.stdout.splitlines()]
    theirs = {(port, other, int(number)) for port, other, ack, number in shown if ack in ("0", "False")}
    replies = {(other, port, int(number)) for port, other, ack, number in shown if ack in ("1", "True")}

    flows = rows(found, f"SELECT * FROM flows WHERE source = '{name}' AND proto = 'tcp'")  # noqa: S608

    assert {(str(f["src_port"]), str(f["dst_port"]), f["isn_out"]) for f in flows if f["isn_out"] is not None} == theirs
    assert {(str(f["src_port"]), str(f["dst_port"]), f["isn_in"]) for f in flows if f["isn_in"] is not None} == replies
    assert len(theirs) > 10


def test_all_clocks_are_one(found: Investigation) -> None:
    """All sources of the laboratory are compared; none is off by more than a twentieth of a second, for one ran them.

    Half of the longest way from the office to a relay and back is part of the offset of what was captured there.
    """
    table = fx.find_clock_offsets(found.case)

    assert set(table["source"]) == {*CAPTURES, "access.log"}
    assert table["offset"].abs().max() < 0.05
    assert (table["drift"] == 0).all()


def test_minutes_of_volumes_add_up_to_the_flows(found: Investigation) -> None:
    """For every capture the exact minutes sum to the flows' IP bytes, each way."""
    query = (
        "SELECT source, sum(bytes_out) AS o, sum(bytes_in) AS i FROM {} WHERE bytes_kind = 'ip' GROUP BY 1 ORDER BY 1"
    )

    assert rows(found, query.format("flows")) == rows(found, query.format("volumes"))


def test_squids_rows_are_the_captured_requests(found: Investigation) -> None:
    """Every request that terminal .11 was captured sending to the proxy has its row in Squid's log, by time and URL.

    Squid stamps the end of a request; ours are starts, so both must agree within a second.
    """
    captured = rows(
        found,
        """SELECT start, method, name FROM requests
        WHERE source LIKE 'terminal-11%' AND src = '192.0.2.11' ORDER BY start""",
    )
    logged = rows(
        found,
        "SELECT start, method, name FROM requests WHERE source = 'access.log' AND src = '192.0.2.11' ORDER BY start",
    )

    assert Counter((r["method"], r["name"]) for r in captured) == Counter((r["method"], r["name"]) for r in logged)
    for ours, theirs in zip(captured, logged, strict=True):
        assert abs(ours["start"] - theirs["start"]) < timedelta(seconds=1)


def test_squids_tunnel_bytes_are_the_captured_reply_bytes(found: Investigation) -> None:
    """A CONNECT row counts the reply alone: the captured connection's payload from the proxy, and no upload."""
    logged = rows(
        found,
        """SELECT f.start, f.bytes_in, f.bytes_out
        FROM flows f JOIN requests r ON f.source = r.source AND f.record = r.record
        WHERE f.source = 'access.log' AND f.src = '192.0.2.11' AND r.method = 'CONNECT' ORDER BY f.start""",
    )
    tunnels = rows(
        found,
        """SELECT f.start, f.payload_bytes_in
        FROM flows f JOIN requests r ON f.source = r.source AND f.src_port = r.src_port
        WHERE f.source LIKE 'terminal-11%' AND f.dst = '192.0.2.2' AND r.method = 'CONNECT' ORDER BY f.start""",
    )

    assert [row["payload_bytes_in"] for row in tunnels] == [row["bytes_in"] for row in logged]
    assert {None} == {row["bytes_out"] for row in logged}


def test_spikes_name_terminal_relay_and_minute(found: Investigation) -> None:
    """Each upload is one finding, with its terminal, relay, name and minute; there is no other."""
    planted = [(upload["src"], upload["dst"], upload["name"], _minute(upload["start"])) for upload in TRUTH["uploads"]]
    s = found.spikes

    assert planted == list(zip(s["src"], s["dst"], s["name"], s["start"], strict=True))
    for upload, value in zip(TRUTH["uploads"], s["value"], strict=True):
        assert upload["bytes"] < value < 1.1 * upload["bytes"]


def test_the_chains_are_found_whole(found: Investigation) -> None:
    """Each terminal's chain of three hops is found with all its sessions, and no other chain."""
    planted = {tuple(chain["hops"]): len(chain["sessions"]) for chain in TRUTH["chains"]}

    assert planted == {tuple(chain["hops"]): chain["sessions"] for chain in found.graph.graph["chains"]}


def test_the_graph_shows_who_is_who(found: Investigation) -> None:
    """Terminals, all five relays and the operator bear their roles; the proxy is seen through."""
    roles = {node: data["role"] for node, data in found.graph.nodes(data=True)}
    of = {role: {node for node, its in roles.items() if its == role} for role in roles.values()}

    assert of["relay"] == RELAYS
    assert {"203.0.113.240"} == of["upstream"]
    assert {"192.0.2.11", "192.0.2.12", "192.0.2.13"} == of["terminal"]
    assert not [node for node in RELAYS if found.graph.has_edge("192.0.2.2", node)]
    assert found.graph.edges["192.0.2.11", "203.0.113.130", "observed"]["via"] == ["192.0.2.2"]


def test_all_relays_are_ranked_and_nothing_else(found: Investigation) -> None:
    """What all terminals poll by the clock comes after the relays and without a verdict."""
    assert set(found.relays.loc[found.relays["verdict"] != "", "dst"]) == RELAYS
    assert set(found.relays["dst"].head(len(RELAYS))) == RELAYS


def _minute(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(second=0, microsecond=0)


def test_the_japanese_report_has_no_english_sentence(found: Investigation, tmp_path: Path) -> None:
    """Nor do its pictures: but for the title, the command and what evidence wrote, no three English words in a row."""
    page = found.write(tmp_path, language="ja").read_text("utf-8").partition("</style>")[2]
    pictures = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page)
    told = [page, *(base64.b64decode(picture).decode() for picture in pictures)]
    texts = [
        text
        for part in told
        for text in html.unescape(re.sub(r"<style.*?</style>|<[^>]+>", "\n", part, flags=re.DOTALL)).splitlines()
    ]
    left = {text for text in texts if re.search(r"(?<![\w./-])[a-z]{2,} [a-z]{2,} [a-z]{2,}", text)}

    assert len(pictures) > 5
    assert left == set()
    for name in all_detectors():
        assert name in page
