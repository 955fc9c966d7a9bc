"""How fast rows of a proxy's log go to disk: as three tables of text, and as exchanges.

``python tests/benches/exchanges.py`` prints processor time and size, of rows as those of 59 MB of a Squid log.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from forensics.reading.spread import spread_over_minutes
from forensics.schema import EXCHANGES, TABLES, WORD, parts_of
from forensics.table_files import TableFiles

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCKS = 7
ROWS = 57_000
"""Lines in 8 MiB of Squid's native format."""

LINE_BYTES = 148
RUNS = 4
HALF_HOUR = 1_800_000_000
"""[us]"""

Batches = list[tuple[str, pa.RecordBatch]]


def block(number: int, rng: np.random.Generator) -> pa.RecordBatch:
    """Return the rows of one block: 600 clients, 2,500 hosts of 250 addresses, hardly two URLs alike."""
    host = rng.zipf(1.3, ROWS) % 2500
    end = np.sort(rng.integers(0, HALF_HOUR // 1000, ROWS)) * 1000 + 1_432_180_800_000_000 + number * HALF_HOUR
    start = end - rng.exponential(300, ROWS).astype(np.int64) * 1000
    pages = rng.integers(0, 100_000, ROWS)
    urls = [
        f"http://www{h}.example/static/{p}/item{p % 97}.html?session={p * 7919 % 1_000_003}"
        for h, p in zip(host, pages, strict=True)
    ]
    made: dict[str, pa.Array] = {
        "start": pa.array(start),
        "end": pa.array(end),
        "src": words([f"192.0.{n // 250}.{n % 250}" for n in range(600)], rng.integers(0, 600, ROWS)),
        "dst": words([f"203.0.113.{n}" for n in range(250)], host % 250),
        "name": words([f"www{n}.example" for n in range(2500)], host),
        "state": words(["TCP_MISS/200", "TCP_HIT/200"], rng.integers(0, 2, ROWS)),
        "url": pa.array(urls),
        "bytes_in": pa.array(rng.integers(0, 100_000, ROWS)),
        "record": pa.array(np.arange(ROWS) + number * ROWS),
        "content_type": words(["text/html", "image/png"], rng.integers(0, 2, ROWS)),
    }
    made["host"] = made["name"]
    same = {
        "proto": "tcp",
        "service": "http",
        "via": "gw",
        "bytes_kind": "application",
        "vantage": "gw",
        "source": "gw.log",
        "method": "GET",
        "how": "proxy",
        "dst_port": 80,
        "status": 200,
        "is_flow": True,
        "is_request": True,
    }
    return pa.RecordBatch.from_arrays(
        [column(made, same, field) for field in EXCHANGES.schema], schema=EXCHANGES.schema
    )


def column(made: dict[str, pa.Array], same: dict[str, object], field: pa.Field) -> pa.Array:
    """Return a column: as it was made, of one value, or of nulls."""
    if field.name in made:
        return made[field.name].cast(field.type)
    if field.name not in same:
        return pa.nulls(ROWS, field.type)
    if field.type == WORD:
        return words([str(same[field.name])], np.zeros(ROWS))
    return pa.array([same[field.name]] * ROWS, field.type)


def words(texts: list[str], number: np.ndarray) -> pa.Array:
    """Return texts by their numbers."""
    return pa.DictionaryArray.from_arrays(pa.array(number.astype(np.int32)), texts)


def as_text(batches: Batches, folder: Path) -> None:
    """Write tables as text, compressed with zstd."""
    writers: dict[str, ParquetWriter] = {}
    for table, batch in batches:
        if table not in writers:
            writers[table] = ParquetWriter(folder / f"{table}.parquet", TABLES[table].schema, compression="zstd")
        writers[table].write_batch(batch)
    for writer in writers.values():
        writer.close()


def as_stored(batches: Batches, folder: Path) -> None:
    """Write tables as a case does."""
    files = TableFiles(folder)
    for table, batch in batches:
        files.write(table, batch)
    files.close()


def spread(batches: Batches, folder: Path) -> None:  # as the others
    """Make volumes of exchanges, and write nothing."""
    for _, batch in batches:
        list(spread_over_minutes(batch))


def told(what: str, write: Callable[[Batches, Path], None], batches: Batches) -> None:
    """Print the best processor time of some runs, and what lies on the disk."""
    times, size = [], 0
    for _ in range(RUNS):
        with TemporaryDirectory() as folder:
            begun = time.process_time()
            write(batches, Path(folder))
            times.append(time.process_time() - begun)
            size = sum(file.stat().st_size for file in Path(folder).iterdir())
    speed = BLOCKS * ROWS * LINE_BYTES / min(times) / 1e6
    print(f"{what:<24}{min(times) * 1000:6.0f} ms{speed:7.0f} MB/s of log{size / 1e6:7.1f} MB on disk")


def main() -> None:
    """Print all figures."""
    rng = np.random.default_rng(1)
    exchanges = [block(number, rng) for number in range(BLOCKS)]
    volumes = [part for batch in exchanges for part in spread_over_minutes(batch)]
    told("three tables of text", as_text, [part for batch in exchanges for part in parts_of(batch)])
    told("exchanges", as_stored, [("exchanges", batch) for batch in exchanges])
    told("volumes as text", as_text, [("volumes", batch.cast(TABLES["volumes"].schema)) for batch in volumes])
    told("volumes as words", as_stored, [("volumes", batch) for batch in volumes])
    told("spread over minutes", spread, [("exchanges", batch) for batch in exchanges])


if __name__ == "__main__":
    main()
