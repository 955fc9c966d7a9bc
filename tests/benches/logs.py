"""How fast a Squid log becomes Parquet: this library, a compiled expression for each line, pandas and Polars.

``python tests/benches/logs.py FOLDER`` makes a log of each size that is named (``--size 60 --size 500``, in MB) and
prints wall time, processor time and the largest memory of each program, best of ``--runs`` in processes of their own.
All fill the same columns and write them to Parquet. The log is the same for the same seed: half of its requests are
tunnels or POSTs, are denied, hit the cache or go to parents, with users, long queries, ICP and failed requests among
them, as in the log of an office.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 100_000
"""Lines that are made at once, and that the comparators take at once."""

CODES = (
    ("TCP_MISS/200", 44, "GET"), ("TCP_TUNNEL/200", 22, "CONNECT"), ("TCP_MEM_HIT/200", 6, "GET"),
    ("TCP_HIT/200", 4, "GET"), ("TCP_REFRESH_UNMODIFIED/304", 6, "GET"), ("TCP_MISS/304", 4, "GET"),
    ("TCP_MISS/302", 4, "GET"), ("TCP_MISS/404", 2, "GET"), ("TCP_MISS/200", 4, "POST"),
    ("TCP_DENIED/407", 2, "CONNECT"),
    ("TCP_DENIED/403", 1, "GET"), ("TCP_MISS_ABORTED/000", 0.6, "GET"), ("NONE_NONE/000", 0.2, "-"),
    ("UDP_MISS/000", 0.2, "ICP_QUERY"),
)  # fmt: skip
"""Result, how many in a hundred, method."""

TYPES = ("text/html", "image/png", "image/jpeg", "application/javascript", "text/css", "application/json", "-")


def make(path: Path, megabytes: int, seed: int = 4) -> None:
    """Write a native log of about this size."""
    rng, size, at = np.random.default_rng(seed), 0, 1_433_120_400_000
    weights = np.array([weight for _, weight, _ in CODES])
    beside = path.with_suffix(".part")
    with beside.open("w", encoding="ascii") as file:
        while size < megabytes * 1_000_000:
            times = at + np.cumsum(rng.exponential(9, CHUNK)).astype(np.int64)
            at = int(times[-1])
            columns = (
                times, rng.lognormal(4.5, 1.6, CHUNK).astype(np.int64), rng.zipf(1.25, CHUNK) % 900,
                rng.choice(len(CODES), CHUNK, p=weights / weights.sum()),
                rng.lognormal(8.2, 1.9, CHUNK).astype(np.int64),
                rng.zipf(1.3, CHUNK) % 4000, rng.integers(0, 1 << 40, CHUNK), rng.integers(0, 100, CHUNK),
            )  # fmt: skip
            text = "".join(map(line, zip(*(column.tolist() for column in columns), strict=True)))
            file.write(text)
            size += len(text)
    beside.replace(path)


def line(drawn: tuple[int, ...]) -> str:
    """Return one line, made of what was drawn for it."""
    end, elapsed, client, kind, size, host, noise, dice = drawn
    code, _, method = CODES[kind]
    name = f"{('www', 'cdn', 'mail', 'api')[host % 4]}{host}.example"
    query = f"?id={noise:x}&s={noise % 9973}" if dice % 3 else ""
    url = f"http://{name}/{'static/' * (dice % 4)}{noise % 65537}/page{noise % 97}.html{query}"
    user = f"user{client}" if client % 3 == 0 else "-"
    server = f"HIER_DIRECT/{203 if host % 2 else 198}.{0 if host % 2 else 51}.{113 if host % 2 else 100}.{host % 250}"
    content = TYPES[noise % len(TYPES)]
    if method == "CONNECT":
        url, content = f"{name}:443", "-"
    if method == "-":
        url, content = "error:transaction-end-before-headers", "-"
    if "HIT" in code or "DENIED" in code or "NONE" in code or "UDP" in code:
        server = "HIER_NONE/-"
    elif dice % 20 == 0:
        server = "FIRSTUP_PARENT/198.51.100.3"
    address = f"10.{client % 4}.{client // 250}.{client % 250}"
    stamp = f"{end // 1000}.{end % 1000:03d} {elapsed:6d}"
    return f"{stamp} {address} {code} {size} {method} {url} {user} {server} {content}\n"


def ours(log: Path, folder: Path) -> None:
    """Put the log into a case: flows, requests, names, and volumes besides."""
    from forensics import open_case

    open_case(folder / "case").add(log, progress=False)


LINE = re.compile(rb"(\d+\.\d+) +(-?\d+) (\S+) ([A-Z_]+)/(\d+) (\d+) (\S+) (\S+) (\S+) ([A-Z_]+)/(\S+) (\S+)")
HOST = re.compile(r"(?:[a-z]+://)?([^/:]+)(?::(\d+))?").match
DIRECT = ("HIER_DIRECT", "DIRECT", "ORIGINAL_DST", "PINNED")


def row(found: re.Match[bytes]) -> tuple[object, ...]:
    """Return the values that `ours` has, in the leanest way."""
    end, took, client, result, status, size, method, url, _, code, peer, kind = found.groups()
    text, asked = url.decode(), HOST(url.decode())
    stop = int(end[:-4]) * 1_000_000 + int(end[-3:]) * 1000
    return (
        stop - int(took) * 1000, stop, client.decode(), peer.decode() if code.decode() in DIRECT else None,
        int(asked[2] or 80) if asked else None, asked[1] if asked else None, int(size),
        f"{result.decode()}/{status.decode()}", method.decode(), text, int(status), kind.decode(),
    )  # fmt: skip


NAMES = (
    "start", "end", "src", "dst", "dst_port", "name", "bytes_in", "state", "method", "url", "status", "content_type",
)  # fmt: skip


def expression(log: Path, folder: Path) -> None:
    """Match a compiled expression against each line."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    whole, texts = (pa.int64(), pa.int64()), {"start", "end", "dst_port", "bytes_in", "status"}
    schema = pa.schema([(name, whole[0] if name in texts else pa.string()) for name in NAMES])
    with log.open("rb") as file, ParquetWriter(folder / "rows.parquet", schema, compression="zstd") as writer:
        for rows in chunks(filter(None, map(LINE.match, file))):
            columns = zip(*map(row, rows), strict=True)
            writer.write_batch(
                pa.RecordBatch.from_arrays(
                    [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
                )
            )


def chunks(found: Iterator[re.Match[bytes]]) -> Iterator[list[re.Match[bytes]]]:
    """Yield matches, so many at a time."""
    taken: list[re.Match[bytes]] = []
    for match in found:
        taken.append(match)
        if len(taken) == CHUNK:
            yield taken
            taken = []
    if taken:
        yield taken


FIELDS = ["end", "took", "src", "state", "bytes_in", "method", "url", "user", "peer", "content_type"]


def pandas(log: Path, folder: Path) -> None:
    """Read the fields alone by pandas: no servers, no names, no checks."""
    import pandas as pd

    for number, frame in enumerate(pd.read_csv(log, sep=r"\s+", names=FIELDS, chunksize=5 * CHUNK)):
        frame.to_parquet(folder / f"{number}.parquet")


def polars(log: Path, folder: Path) -> None:
    """Read whole lines by Polars and take their fields apart: no servers, no names, no checks."""
    import polars as pl  # type: ignore[import-not-found,unused-ignore]

    pattern = r"(?<end>\S+) +(?<took>\S+) (?<src>\S+) (?<state>\S+) (?<bytes_in>\d+) (?<method>\S+) (?<url>\S+) "
    pattern += r"(?<user>\S+) (?<peer>\S+) (?<content_type>\S+)"
    lines = pl.scan_csv(log, has_header=False, separator="\n", quote_char=None, new_columns=["line"])
    fields = lines.select(pl.col("line").str.extract_groups(pattern)).unnest("line")
    fields.with_columns(pl.col("bytes_in").cast(pl.Int64)).sink_parquet(folder / "rows.parquet")


PROGRAMS: dict[str, Callable[[Path, Path], None]] = {
    "ours": ours, "expression": expression, "pandas": pandas, "polars": polars,
}  # fmt: skip


def run(name: str, log: Path) -> None:
    """Run one program in this process and print what it took: wall and processor time [s], memory [MB]."""
    with TemporaryDirectory() as folder:
        if name == "ours":  # what is loaded and compiled once is no part of the speed
            warm = Path(folder) / "warm.log"
            with log.open("rb") as file:
                warm.write_bytes(b"".join(file.readlines(200_000)))
            (Path(folder) / "warm").mkdir()
            ours(warm, Path(folder) / "warm")
        wall, processor = time.perf_counter(), time.process_time()
        PROGRAMS[name](log, Path(folder))
        print(time.perf_counter() - wall, time.process_time() - processor, peak())


def peak() -> float:
    """Return the largest memory of this process. [MB]"""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(name: str, log: Path, runs: int) -> tuple[float, float, float]:
    """Return the best wall and processor time of some runs [s], and the largest memory [MB]."""
    command = [sys.executable, __file__, str(log.parent), "--program", name, "--log", str(log)]
    found = [
        tuple(map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-3:]))
        for _ in range(runs)
    ]
    return min(f[0] for f in found), min(f[1] for f in found), max(f[2] for f in found)


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, action="append", help="size of a log [MB]; 60 and 500 if none is given")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", action="append", choices=PROGRAMS)
    parser.add_argument("--program", choices=PROGRAMS, help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.program:
        run(given.program, given.log)
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    for size in given.size or (60, 500):
        log = given.folder / f"squid-{size}.log"
        if not log.exists():
            make(log, size)
        compare(log, given.only or list(PROGRAMS), given.runs)


def compare(log: Path, names: list[str], runs: int) -> None:
    """Print what each program takes for one log, and how often ours is faster."""
    size, base = log.stat().st_size / 1e6, 0.0
    print(f"{log.name}: {size:,.0f} MB")
    for name in names:
        if name in ("pandas", "polars") and find_spec(name) is None:
            print(f"  {name:<12} is not installed")
            continue
        wall, processor, memory = measured(name, log, runs)
        base = base or wall
        speeds = f"{wall:7.2f} s{size / wall:7.0f} MB/s wall{processor:8.2f} s{size / processor:7.0f} MB/s processor"
        print(f"  {name:<12}{speeds}{memory:7.0f} MB memory{wall / base:8.1f} x")


if __name__ == "__main__":
    main()
