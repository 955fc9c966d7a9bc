"""Flows of real captures: against nDPI's and Zeek's truth, differences listed; and every packet accounted for."""

from __future__ import annotations

import csv
import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forensics.addresses import address_text
from forensics.formats import Hints, all_formats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.packets.conftest import Build

Row = dict[str, Any]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "agreement-flows.md"
NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "icmp6": 58, "sctp": 132}
RENAMED = {"src": "id.orig_h", "src_ip": "id.orig_h", "src_port": "id.orig_p"}
RENAMED |= {name.replace("src", "dst"): column.replace("orig", "resp") for name, column in RENAMED.items()}
READ = {1, 6, 17, 58}
"""Protocols whose ports and payload Zeek reads; others it counts by their addresses."""

LOGS_CARRIER = "udp"
"""Zeek logs the connection that carries others where it is UDP; of others it logs only what they carry."""


def listed(part: str) -> set[str]:
    """Return the captures that a table of the page lists."""
    text = PAGE.read_text(encoding="utf-8").partition(f"## {part}")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def canonical(text: str) -> str:
    """Return an address as the tables have it."""
    return address_text(text) or text


# -- nDPI: packets and frame bytes of every 5-tuple ------------------------------------------------------------------


def add(totals: dict[tuple[object, ...], Counter[str]], proto: str, ends: list[Any], counts: list[int]) -> None:
    """Sum packets and bytes each way under a protocol and two ends that may come in either order."""
    if ends[:2] > ends[2:]:
        ends, counts = [*ends[2:], *ends[:2]], [*counts[2:], *counts[:2]]
    # the truth names a rare protocol where we number it
    key = (NUMBERS.get(proto, 0) if proto in {"tcp", "udp", "icmp", "icmpv6", "icmp6"} else 0, *ends)
    totals.setdefault(key, Counter()).update(dict(zip("abcd", counts, strict=True)))


def conversations_of_ndpi(path: Path) -> dict[tuple[object, ...], Counter[str]]:
    """Return packets and frame bytes each way of every 5-tuple; of tunnels the innermost one."""
    totals: dict[tuple[object, ...], Counter[str]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            ends = [canonical(row["a_addr"]), int(row["a_port"]), canonical(row["b_addr"]), int(row["b_port"])]
            counts = [int(row[c]) for c in ("a_packets", "a_frame_bytes", "b_packets", "b_frame_bytes")]
            add(totals, row["proto"].lower(), ends, counts)
    return totals


def conversations_of_ours(flows: list[Row]) -> dict[tuple[object, ...], Counter[str]]:
    """Return the same of ours; the truth has no types of ICMP."""
    totals: dict[tuple[object, ...], Counter[str]] = {}
    for row in flows:
        if row["tunnel"] in {"outer", "middle"}:
            continue
        ports = [row[c] or 0 if row["proto"] in {"tcp", "udp"} else 0 for c in ("src_port", "dst_port")]
        counts = [row[f"{what}_{way}"] for way in ("out", "in") for what in ("packets", "frame_bytes")]
        add(totals, row["proto"], [row["src"], ports[0], row["dst"], ports[1]], counts)
    return totals


def test_packets_and_frame_bytes_are_ndpis(compiled: Build, corpus: Path) -> None:
    """Packets and frame bytes of every 5-tuple are equal in all captures but those that the page lists."""
    differing = set()
    for truth in sorted((corpus / "flows-by-protocol").glob("*.flows.csv")):
        capture = truth.with_name(truth.name.removesuffix(".flows.csv"))
        if conversations_of_ours(compiled.flows(capture.read_bytes())) != conversations_of_ndpi(truth):
            differing.add(capture.name)

    assert differing == listed("Conversations")


# -- Zeek: connections, what they count and how they went ------------------------------------------------------------


def log_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a Zeek log; three traces were made to give columns other names."""
    fields: list[str] = []
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        if line.startswith("#fields"):
            fields = [RENAMED.get(name, name) for name in line.split("\t")[1:]]
        elif not line.startswith("#"):
            yield dict(zip(fields, line.split("\t"), strict=False))


def once(history: str) -> str:
    """Return a history without the letters that were there before."""
    return "".join(dict.fromkeys(history))


def pair(row: dict[str, str], *columns: str) -> tuple[int, ...] | None:
    """Return two counts, None where they were not logged."""
    values = [row[column] for column in columns]
    return None if "-" in values else tuple(map(int, values))


def connections_of_zeek(path: Path) -> Iterator[Row]:
    """Yield what a conn.log says of every connection."""
    for row in log_rows(path):
        number = int(row["ip_proto"])
        icmp = number in {NUMBERS["icmp"], NUMBERS["icmp6"]}
        yield {
            "ends": (canonical(row["id.orig_h"]), canonical(row["id.resp_h"])),
            "ports": (number, int(row["id.orig_p"]), 0 if icmp else int(row["id.resp_p"])),
            "packets": pair(row, "orig_pkts", "resp_pkts"),
            "bytes": pair(row, "orig_ip_bytes", "resp_ip_bytes"),
            "payload": pair(row, "orig_bytes", "resp_bytes") if number in READ else None,
            "missed": int(row["missed_bytes"]),
            "state": row["conn_state"],
            "history": once(row["history"].strip("-")) if number in {NUMBERS["tcp"], NUMBERS["udp"]} else "",
        }


def connections_of_ours(flows: list[Row], unwanted: str) -> Iterator[Row]:
    """Yield the same of ours; payload by sequence numbers, as Zeek has it, and the history without some letters."""
    for row in flows:
        if row["tunnel"] in {"outer", "middle"} and row["proto"] != LOGS_CARRIER:
            continue
        number = NUMBERS.get(row["proto"]) or int(row["proto"].removeprefix("ip-"))
        ports = row["src_port"] or 0, 0 if row["proto"] in {"icmp", "icmp6"} else row["dst_port"] or 0
        ways = ("out", "in")
        payload = [
            row[f"payload_bytes_{way}"] - (row[f"retransmitted_{way}"] or 0) + (row[f"missed_{way}"] or 0)
            for way in ways
        ]
        yield {
            "ends": (row["src"], row["dst"]),
            "ports": (number, *(ports if number in READ else (0, 0))),
            "packets": tuple(row[f"packets_{way}"] for way in ways),
            "bytes": tuple(row[f"bytes_{way}"] for way in ways),
            "payload": tuple(payload),
            "missed": sum(row[f"missed_{way}"] or 0 for way in ways),
            "state": row["state"],
            "history": (row["history"] or "").translate(dict.fromkeys(map(ord, unwanted))),
        }


def differences(theirs: list[Row], ours: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return the connections of each side that the other has not, or has otherwise."""
    left = list(ours)
    missing = []
    for row in theirs:
        known = {name for name, value in row.items() if value is not None}
        match = next((one for one in left if all(one[name] == row[name] for name in known)), None)
        if match is None:
            missing.append(row)
        else:
            left.remove(match)
    return missing, left


def compare(build: Build, folder: Path) -> tuple[list[Row], list[Row], int]:
    """Compare one trace; return what differs, theirs and ours, and how many connections Zeek logged."""
    rules = json.loads((folder / "meta.json").read_text())
    trace = next(folder.glob("trace.*"))
    blind = rules["ignore_checksums"]
    flows = build.flows(trace.read_bytes(), drop_bad_checksums=not blind)
    theirs = list(connections_of_zeek(folder / "conn.log"))
    return *differences(theirs, list(connections_of_ours(flows, "cC" if blind else ""))), len(theirs)


def test_connections_are_zeeks(compiled: Build, corpus: Path) -> None:
    """Connections, what they count, state and history are Zeek's in all traces but those that the page lists."""
    differing = set()
    for log in sorted((corpus / "zeek").glob("*/conn.log")):
        missing, extra, _ = compare(compiled, log.parent)
        if missing or extra:
            differing.add(log.parent.name)

    assert differing == listed("Connections")


# -- every capture: no packet is lost --------------------------------------------------------------------------------

FATES = ("packets_in_flows", "not_ip_packets", "unread_packets", "rejected_packets", "dropped_for_checksum")
SLOW = 1.0
"""Longer than this for a small capture counts as a hang. [s]"""


def captures(corpus: Path) -> Iterator[bytes]:
    """Yield every capture of the corpus that is in one of our containers."""
    ours = [all_formats()[name] for name in ("pcap", "pcapng", "snoop")]
    for path in sorted(path for path in corpus.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            head = file.read(65536)
        if any(one.declines(head, Hints()) is None for one in ours):
            yield path.read_bytes()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("drop", [False, True])
def test_every_packet_is_told(compiled: Build, corpus: Path, drop: bool) -> None:
    """Every packet of every capture has one fate, and is in one flow of the wire; small captures take no second."""
    for data in captures(corpus):
        for _ in range(2):  # the first of its kind may have to wait for the compiler
            start = time.perf_counter()
            tables, notes = compiled.read(data, drop_bad_checksums=drop)
            took = time.perf_counter() - start
            if took < SLOW:
                break
        wire = [row for row in tables["flows"] if row["tunnel"] not in {"inner", "middle"}]
        more = notes.get("further_packets_in_aggregates", 0)
        assert sum(notes.get(name, 0) for name in FATES) == notes["records"] + more
        assert sum(row["packets_out"] + row["packets_in"] for row in wire) == notes["packets_in_flows"]
        assert took < SLOW or len(data) > 1_000_000
