"""How fast a conn.log becomes batches here, beside what others make of the same file; processor time and wall time.

``python tests/benches/zeek.py [rows]``. A library that is not installed is left out. The others make a frame of texts
and numbers, without host names in canonical form, rejects or line numbers.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from forensics.formats import Evidence, zeek

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = 4
FIELDS = [
    "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "duration", "orig_bytes",
    "resp_bytes", "conn_state", "local_orig", "local_resp", "missed_bytes", "history", "orig_pkts", "orig_ip_bytes",
    "resp_pkts", "resp_ip_bytes", "tunnel_parents", "ip_proto",
]  # fmt: skip
TYPES = [
    "time", "string", "addr", "port", "addr", "port", "enum", "string", "interval", "count", "count", "string", "bool",
    "bool", "count", "string", "count", "count", "count", "count", "set[string]", "count",
]  # fmt: skip
HEAD = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
NUMBERS = {"time", "port", "interval", "count"}


def rows(number: int) -> list[list[str]]:
    """Return connections: 600 clients, 5,000 servers."""
    rng = np.random.default_rng(1)
    start = 1433122200 + np.cumsum(rng.exponential(0.02, number))
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"))
    uids = ["C" + "".join(row) for row in letters[rng.integers(0, 62, (number, 17))]]
    sizes, client, server = rng.integers(0, 10**6, (number, 2)), rng.integers(0, 600, number), rng.zipf(1.3, number)
    return [
        [f"{t:.6f}", uid, f"10.0.{c // 200}.{c % 200}", str(1024 + c * 7), f"203.0.{s % 5000 // 250}.{s % 250}", "443",
         "tcp", "ssl" if s % 2 else "http", f"{out / 1e5:.6f}", str(out), str(back), "SF" if s % 3 else "RSTO", "T",
         "F", "0", "ShADadFf", str(out // 1000), str(out + 400), str(back // 1400), str(back + 600), "-", "6"]
        for t, uid, c, s, (out, back) in zip(start, uids, client, server, sizes.tolist(), strict=True)
    ]  # fmt: skip


def as_json(row: list[str]) -> str:
    """Return a connection as an object."""
    pairs = zip(FIELDS, TYPES, row, strict=True)
    return "{" + ",".join(f'"{f}":{v if t in NUMBERS else json.dumps(v)}' for f, t, v in pairs if v != "-") + "}\n"


def ours(path: Path) -> int:
    """Read a log here."""
    evidence = Evidence(io.BytesIO(path.read_bytes()), "conn.log", "sensor")
    return sum(batch.num_rows for _, batch in zeek.parse(evidence))


def with_pandas(path: Path) -> int:
    """Read it with pandas."""
    pandas = importlib.import_module("pandas")
    if path.suffix == ".json":
        return len(pandas.read_json(path, lines=True))
    return len(pandas.read_csv(path, sep="\t", comment="#", names=FIELDS, na_values="-", low_memory=False))


def with_polars(path: Path) -> int:
    """Read it with Polars."""
    polars = importlib.import_module("polars")
    if path.suffix == ".json":
        return len(polars.read_ndjson(path))
    how = {"separator": "\t", "comment_prefix": "#", "has_header": False, "null_values": "-"}
    return len(polars.read_csv(path, new_columns=FIELDS, **how))


def with_zat(path: Path) -> int:
    """Read it with zat."""
    if path.suffix == ".json":
        raise ImportError
    frames: Any = importlib.import_module("zat.log_to_dataframe")
    return len(frames.LogToDataFrame().create_dataframe(str(path)))


def told(what: str, read: Callable[[Path], int], path: Path, number: int) -> None:
    """Print the best of some runs."""
    best: list[tuple[float, float]] = []
    for _ in range(RUNS):
        wall, processor = time.perf_counter(), time.process_time()
        try:
            found = read(path)
        except ImportError:
            print(f"{what:<10}{path.suffix:<6} not installed, or does not read it")
            return
        assert found == number
        best.append((time.process_time() - processor, time.perf_counter() - wall))
    processor, wall = (path.stat().st_size / min(times) / 1e6 for times in zip(*best, strict=True))
    print(f"{what:<10}{path.suffix:<6}{processor:6.0f} MB/s of processor time{wall:7.0f} MB/s")


def main() -> None:
    """Print all figures."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000
    made = rows(number)
    with TemporaryDirectory() as folder:
        tabs, objects = Path(folder) / "conn.log", Path(folder) / "conn.json"
        head = HEAD + "\t".join(("#fields", *FIELDS)) + "\n" + "\t".join(("#types", *TYPES)) + "\n"
        tabs.write_text(head + "".join("\t".join(row) + "\n" for row in made), encoding="ascii")
        objects.write_text("".join(map(as_json, made)), encoding="ascii")
        for path in (tabs, objects):
            for what, read in (("ours", ours), ("pandas", with_pandas), ("polars", with_polars), ("zat", with_zat)):
                told(what, read, path, number)


if __name__ == "__main__":
    main()
