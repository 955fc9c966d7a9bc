"""How far the packet engine agrees with other people's truth about real captures; prints shares, and what differs.

Run: ``FORENSICS_CORPUS=... python tests/benches/corpus_agreement.py [--verbose]``.
"""

from __future__ import annotations

import csv
import io
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa

from forensics.addresses import address_text
from forensics.formats import Evidence, Format, Hints, all_formats

Totals = dict[tuple[object, ...], tuple[int, ...]]

SLOW = 1.0
"""Longer than this for a small capture counts as a hang. [s]"""


def read(path: Path) -> tuple[dict[str, list[dict[str, object]]], dict[str, object]] | None:
    """Return the rows of a capture by table, and its notes; None where no capture format takes it."""
    data = path.read_bytes()
    for name in ("pcap", "pcapng"):
        format_: Format = all_formats()[name]
        if format_.declines(data[:65536], Hints()) is None:
            evidence = Evidence(io.BytesIO(data), path.name, "corpus")
            tables: dict[str, list[dict[str, object]]] = {}
            for table, batch in format_.parse(evidence):
                tables.setdefault(table, []).extend(pa.table(batch).to_pylist())
            return tables, evidence.notes
    return None


def add(totals: Totals, key: tuple[object, ...], values: tuple[int, ...]) -> None:
    """Sum values under a key whose two ends may come in either order."""
    low, high = key[1:3], key[3:5]
    if low > high:
        key, values = (key[0], *high, *low), (values[2], values[3], values[0], values[1])
    old = totals.get(key, (0,) * len(values))
    totals[key] = tuple(a + b for a, b in zip(old, values, strict=True))


def expected_conversations(path: Path) -> Totals:
    """Read the truth beside a capture: packets and frame bytes each way by protocol and 5-tuple."""
    totals: Totals = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            ends = (
                address_text(row["a_addr"]) or row["a_addr"],
                int(row["a_port"]),
                address_text(row["b_addr"]) or row["b_addr"],
                int(row["b_port"]),
            )
            counts = (row["a_packets"], row["a_frame_bytes"], row["b_packets"], row["b_frame_bytes"])
            add(totals, (row["proto"].lower(), *ends), tuple(map(int, counts)))
    return totals


def our_conversations(flows: list[dict[str, object]]) -> Totals:
    """Sum our flows the same way; the truth has neither ICMP types nor names for rare protocols."""
    names = {"icmp6": "icmpv6"}
    totals: Totals = {}
    for flow in flows:
        proto = str(flow["proto"])
        portless = proto not in ("tcp", "udp")
        ports = [0 if portless else flow[column] or 0 for column in ("src_port", "dst_port")]
        ends = (flow["src"], ports[0], flow["dst"], ports[1])
        counts = [flow[f"{c}_{way}"] for way in ("out", "in") for c in ("packets", "frame_bytes")]
        add(totals, (names.get(proto, proto), *ends), tuple(map(int, map(str, counts))))
    return totals


def by_protocol(corpus: Path, *, verbose: bool) -> None:
    """Compare packets and frame bytes of every 5-tuple."""
    equal, total, flows_equal, flows_total = 0, 0, 0, 0
    for truth in sorted((corpus / "flows-by-protocol").glob("*.flows.csv")):
        result = read(truth.with_name(truth.name.removesuffix(".flows.csv")))
        ours = our_conversations(result[0].get("flows", [])) if result else {}
        # the truth names a rare protocol where we number it: compare those by their ends alone
        named = {"tcp", "udp", "icmp", "icmpv6"}
        theirs: Totals = {}
        for key, values in expected_conversations(truth).items():
            add(theirs, (key[0] if key[0] in named else "other", *key[1:]), values)
        mine: Totals = {}
        for key, values in ours.items():
            add(mine, (key[0] if key[0] in named else "other", *key[1:]), values)
        hits = sum(theirs[key] == mine.get(key) for key in theirs)
        total += 1
        equal += mine == theirs
        flows_total += len(theirs)
        flows_equal += hits
        if verbose and mine != theirs:
            wrong = [(k, mine.get(k), theirs.get(k)) for k in {**mine, **theirs} if mine.get(k) != theirs.get(k)]
            print(f"  {truth.name}: {hits} of {len(theirs)}; {wrong[:2]} {result[1] if result else ''}")
    print(f"flows-by-protocol: {equal} of {total} captures equal; {flows_equal} of {flows_total} 5-tuples")


def zeek_connections(path: Path) -> Counter[tuple[object, ...]]:
    """Read a conn.log: each connection's ends, protocol, IP bytes, packets and state."""
    fields: list[str] = []
    found: Counter[tuple[object, ...]] = Counter()
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("#fields"):
            fields = line.split("\t")[1:]
        elif not line.startswith("#") and fields:
            row = dict(zip(fields, line.split("\t"), strict=False))
            if not {"id.orig_h", "id.resp_h", "proto"} <= row.keys():
                continue
            counts = [row.get(c, "-") for c in ("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes")]
            ends = [address_text(row[c]) or row[c] for c in ("id.orig_h", "id.resp_h")]
            found[(*ends, row["proto"], *counts, row.get("conn_state", "-"), row.get("history", "-"))] += 1
    return found


def our_connections(flows: list[dict[str, object]]) -> Counter[tuple[object, ...]]:
    """Bring our flows into the same form."""
    names = {"icmp6": "icmp"}
    found: Counter[tuple[object, ...]] = Counter()
    for flow in flows:
        proto = names.get(str(flow["proto"]), str(flow["proto"]))
        counts = [str(flow[c]) for c in ("packets_out", "bytes_out", "packets_in", "bytes_in")]
        found[(flow["src"], flow["dst"], proto, *counts, flow["state"], flow["history"] or "-")] += 1
    return found


def strip(counter: Counter[tuple[object, ...]], size: int) -> Counter[tuple[object, ...]]:
    """Keep the first columns of the keys."""
    short: Counter[tuple[object, ...]] = Counter()
    for key, count in counter.items():
        if size == 9:  # letters that need sequence numbers are not written
            key = (*key[:8], re.sub("[tTcCgGwWiI]", "", str(key[8])))  # noqa: PLW2901
        short[key[:size]] += count
    return short


def zeek(corpus: Path, *, verbose: bool) -> None:
    """Compare connections with Zeek's."""
    read_total, crashed = 0, 0
    agree: Counter[str] = Counter()
    for folder in sorted((corpus / "zeek").iterdir()):
        traces = sorted(folder.glob("trace.*"))
        results = [read(trace) for trace in traces]
        read_total += any(r is not None for r in results)
        crashed += all(r is None for r in results)
        log = folder / "conn.log"
        theirs = zeek_connections(log) if log.exists() else Counter()
        if not theirs or not results or results[0] is None:
            continue
        ours = our_connections(results[0][0].get("flows", []))
        agree["traces"] += 1
        agree["count"] += theirs.total() == ours.total()
        for name, size in (("ip bytes and packets", 7), ("state", 8), ("history", 9)):
            agree[name] += strip(theirs, size) == strip(ours, size)
        agree["connections"] += theirs.total()
        common = strip(theirs, 7) & strip(ours, 7)
        agree["connections equal"] += common.total()
        if verbose and strip(theirs, 8) != strip(ours, 8):
            print(f"  {folder.name}: zeek {list(theirs - ours)[:2]} ours {list(ours - theirs)[:2]}")
    print(f"zeek: {read_total} read, {crashed} not read; {dict(agree)}")


def malformed(corpus: Path) -> None:
    """Read every small capture made to crash dissectors, and time it."""
    slow, files, unread, packets = [], 0, 0, 0
    begin = time.perf_counter()
    for path in sorted((corpus / "captures" / "malformed").rglob("*.pcap*")):
        start = time.perf_counter()
        result = read(path)
        files += 1
        unread += result is None
        if result is not None:
            cursor = result[1]
            packets += int(str(cursor["records"]))
        if time.perf_counter() - start > SLOW:
            slow.append((path.name, round(time.perf_counter() - start, 2)))
    print(
        f"malformed: {files} files, {packets} packets, {unread} of another container, no crash, "
        f"{time.perf_counter() - begin:.1f} s; slower than {SLOW} s: {slow}"
    )


def main() -> None:
    """Print all shares."""
    corpus = Path(os.environ["FORENSICS_CORPUS"])
    verbose = "--verbose" in sys.argv
    read(next((corpus / "flows-by-protocol").glob("*.pcap")))  # compile first
    by_protocol(corpus, verbose=verbose)
    zeek(corpus, verbose=verbose)
    malformed(corpus)


if __name__ == "__main__":
    main()
