"""How fast JSON lines and CSV become batches here, beside what DuckDB's and Arrow's readers make of the same file.

``python tests/benches/readers.py FOLDER [--size MB]`` makes a log of each format for a seed and prints wall and
processor time, best of ``--runs`` in one process. The others make a table of what stands in the file, nested objects as
structs: no rows of ``flows``, ``requests`` and ``names``, no rejects, no line numbers. All threads are theirs to use.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
from pyarrow import csv
from pyarrow import json as arrow_json

from forensics.formats import Evidence, Hints, format_named
from forensics.reading.options import ReadOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 20_000
"""Lines drawn at once."""

PAN_COLUMNS = 109
PAN_TEXT = {
    0: "1", 2: "001801000001", 3: "TRAFFIC", 4: "end", 9: "198.51.100.2", 11: "out", 14: "ssl", 15: "vsys1",
    16: "trust", 17: "untrust", 18: "ae1", 19: "ae2", 20: "fwd", 23: "1", 25: "443", 28: "0x400019", 29: "tcp",
    30: "allow", 37: "any", 38: "0", 40: "0x0", 41: "192.0.2.0-192.0.2.255", 42: "Japan", 46: "tcp-fin",
}  # fmt: skip
"""What is the same in all lines of a firewall, by its column."""


def draws(lines: int, seed: int = 5) -> Iterator[tuple[int, ...]]:
    """Yield of each line: its number, client, server, two sizes, what it lasted [ms]."""
    rng = np.random.default_rng(seed)
    for first in range(0, lines, CHUNK):
        columns = (
            np.arange(first, first + CHUNK), rng.integers(0, 600, CHUNK), rng.zipf(1.3, CHUNK) % 5000,
            rng.integers(60, 10**6, CHUNK), rng.integers(60, 10**6, CHUNK), rng.integers(1, 60_000, CHUNK),
        )  # fmt: skip
        yield from zip(*(column.tolist() for column in columns), strict=True)


def moment(number: int, more: int = 0) -> str:
    """Return a time of one day, as Suricata writes it; two lines a millisecond."""
    at = number // 2 % 80_000_000 + more
    return f"2015-05-21T{at // 3_600_000:02}:{at // 60_000 % 60:02}:{at // 1000 % 60:02}.{at % 1000:03}000"


def eve(drawn: tuple[int, ...]) -> str:
    """Return an event of Suricata: of three one is a request, the others are flows."""
    number, client, server, out, back, lasted = drawn
    event: dict[str, object] = {
        "timestamp": f"{moment(number, lasted)}+0900", "flow_id": number * 7919, "in_iface": "eth0",
        "event_type": "flow", "src_ip": f"192.0.2.{client % 250}", "src_port": 1024 + client * 7,
        "dest_ip": f"203.0.113.{server % 250}", "dest_port": 443, "proto": "TCP",
    }  # fmt: skip
    if number % 3 == 0:
        http = {"hostname": f"www{server}.example", "url": f"/static/{out % 9973}/page{back % 97}.html",
                "http_user_agent": "Mozilla/5.0 (Windows NT 6.1)", "http_content_type": "text/html",
                "http_method": "GET", "protocol": "HTTP/1.1", "status": 200, "length": back}  # fmt: skip
        return json.dumps(event | {"event_type": "http", "tx_id": 0, "http": http}, separators=(",", ":"))
    flow = {"pkts_toserver": out // 1000, "pkts_toclient": back // 1400, "bytes_toserver": out, "bytes_toclient": back,
            "start": f"{moment(number)}+0900", "end": f"{moment(number, lasted)}+0900", "age": lasted // 1000,
            "state": "closed", "reason": "timeout", "alerted": False}  # fmt: skip
    return json.dumps(event | {"app_proto": "tls", "flow": flow}, separators=(",", ":"))


def conn(drawn: tuple[int, ...]) -> str:
    """Return a connection of Zeek."""
    number, client, server, out, back, lasted = drawn
    made = {
        "ts": 1_432_166_400 + number / 2000, "uid": f"C{number * 7919 % (1 << 60):017x}",
        "id.orig_h": f"192.0.2.{client % 250}", "id.orig_p": 1024 + client * 7,
        "id.resp_h": f"203.0.113.{server % 250}", "id.resp_p": 443, "proto": "tcp", "service": "ssl",
        "duration": lasted / 1000, "orig_bytes": out, "resp_bytes": back, "conn_state": "SF", "local_orig": True,
        "missed_bytes": 0, "history": "ShADadFf", "orig_pkts": out // 1000, "orig_ip_bytes": out + 400,
        "resp_pkts": back // 1400, "resp_ip_bytes": back + 600,
    }  # fmt: skip
    return json.dumps(made, separators=(",", ":"))


def gcp(drawn: tuple[int, ...]) -> str:
    """Return an entry of a flow log of Google Cloud."""
    number, client, server, out, _, lasted = drawn
    payload = {
        "connection": {"src_ip": f"192.0.2.{client % 250}", "src_port": 1024 + client * 7,
                       "dest_ip": f"203.0.113.{server % 250}", "dest_port": 443, "protocol": 6},
        "reporter": "SRC", "bytes_sent": str(out), "packets_sent": str(out // 1000 + 1),
        "start_time": f"{moment(number)}Z", "end_time": f"{moment(number, lasted)}Z", "rtt_msec": "12",
        "src_instance": {"project_id": "office", "vm_name": f"vm-{client % 40}", "zone": "asia-northeast1-b"},
    }  # fmt: skip
    entry = {
        "insertId": f"{number * 7919:x}", "jsonPayload": payload,
        "logName": "projects/office/logs/compute.googleapis.com%2Fvpc_flows",
        "receiveTimestamp": f"{moment(number, lasted)}Z", "resource": {"type": "gce_subnetwork"},
        "timestamp": f"{moment(number, lasted)}Z",
    }  # fmt: skip
    return json.dumps(entry, separators=(",", ":"))


def pan(drawn: tuple[int, ...]) -> str:
    """Return a session of a firewall of Palo Alto Networks, of 109 columns."""
    number, client, server, out, back, lasted = drawn
    begin, end = (moment(number, more)[:19].replace("-", "/").replace("T", " ") for more in (0, lasted))
    told = PAN_TEXT | {
        1: end, 6: end, 7: f"192.0.2.{client % 250}", 8: f"203.0.113.{server % 250}",
        10: f"203.0.113.{server % 250}", 21: end, 22: str(number % (1 << 24)), 24: str(1024 + client * 7),
        26: str(1024 + number % 60_000), 27: "443", 31: str(out + back), 32: str(out), 33: str(back),
        34: str(out // 1000 + back // 1400 + 2), 35: begin, 36: str(lasted // 1000), 39: str(number),
        44: str(out // 1000 + 1), 45: str(back // 1400 + 1),
    }  # fmt: skip
    return ",".join(told.get(place, "") for place in range(PAN_COLUMNS))


LINES: dict[str, tuple[str, Callable[[tuple[int, ...]], str], dict[str, Any]]] = {
    "suricata": ("eve.json", eve, {}), "zeek": ("conn.json", conn, {}), "gcp": ("flows.json", gcp, {}),
    "paloalto": ("traffic.csv", pan, {"timezone": "Asia/Tokyo"}),
}  # fmt: skip
"""Of each format a file's name, what makes a line, what the analyst says."""


def make(path: Path, line: Callable[[tuple[int, ...]], str], megabytes: int) -> None:
    """Write a log of about this size."""
    one = len(line((999_999, 599, 4999, 500_000, 500_000, 30_000))) + 1
    with path.open("w", encoding="ascii") as file:
        for drawn in draws(megabytes * 1_000_000 // one):
            file.write(line(drawn) + "\n")


def by_us(path: Path, name: str, hints: Hints) -> int:
    """Read a log here; return how many records it has."""
    with path.open("rb") as file:
        evidence = Evidence(file, path.name, "sensor", hints)
        for _ in format_named(name).parse(evidence):
            pass
    return int(str(evidence.notes["records"]))


def by_duckdb(path: Path) -> int:
    """Read it by DuckDB into a table of Arrow."""
    if path.suffix == ".csv":
        relation = duckdb.read_csv(str(path), header=False)
    else:
        relation = duckdb.read_json(str(path), format="newline_delimited")
    found: pa.Table = relation.to_arrow_table()
    return int(found.num_rows)


def by_arrow(path: Path) -> int:
    """Read it by Arrow's own reader."""
    if path.suffix == ".csv":
        return int(csv.read_csv(path, csv.ReadOptions(autogenerate_column_names=True)).num_rows)
    return int(arrow_json.read_json(path).num_rows)


def told(what: str, read: Callable[[], int], size: int, runs: int) -> tuple[float, int]:
    """Print the best of some runs; return its speed [MB/s] and the records."""
    best: list[tuple[float, float]] = []
    for _ in range(runs):
        wall, processor = time.perf_counter(), time.process_time()
        records = read()
        best.append((time.perf_counter() - wall, time.process_time() - processor))
    wall, processor = (size / min(times) / 1e6 for times in zip(*best, strict=True))
    print(f"  {what:<10}{wall:6.0f} MB/s{processor:7.0f} MB/s of processor time")
    return wall, records


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=200, help="size of each log [MB]")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", action="append", choices=LINES)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.only or LINES:
        file, line, said = LINES[name]
        path = given.folder / f"{given.size}-{file}"
        if not path.exists():
            make(path, line, given.size)
        size, hints = path.stat().st_size, ReadOptions.of(**said).hints({})
        print(f"{name}, {size / 1e6:.0f} MB:")
        ours, records = told("ours", lambda: by_us(path, name, hints), size, given.runs)  # noqa: B023 - called at once
        others = [told(what, lambda: read(path), size, given.runs)  # noqa: B023
                  for what, read in (("DuckDB", by_duckdb), ("Arrow", by_arrow))]  # fmt: skip
        assert all(found == records for _, found in others)
        print(f"  of the best of the others: {ours / max(speed for speed, _ in others):.2f}")


if __name__ == "__main__":
    main()
