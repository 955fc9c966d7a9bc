"""Where the time of reading a capture goes: each stage alone, each adding one thing to the one before.

    python tests/benches/stages.py FILE [--rounds 3]

Stages are timed, not sampled: a sampling profiler cannot see into compiled loops, and slows what it sees. What a stage
costs is the difference to the one it builds on; where two overlap on two cores, the sum of the stages alone is more
than the whole, and the table shows by how much.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from processes import count_packets, into_case, run, spread

import forensics as fx
from forensics.formats import Evidence, Hints, all_formats
from forensics.packets.engine import Engine
from forensics.packets.layout import FlowOptions
from forensics.reading import EvidenceFile, ReadOptions, read_file
from forensics.table_files import TableFiles, as_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

BLOCK = 8 * 1024 * 1024


class Nowhere:
    """Takes rows and lets them go."""

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Let a batch go."""


def read(path: Path) -> None:
    """Read the file, and nothing else."""
    block = bytearray(BLOCK)
    with path.open("rb", buffering=0) as file:
        while file.readinto(block):
            pass


def digest(path: Path) -> None:
    """Read and hash."""
    with path.open("rb", buffering=0) as file:
        hashlib.file_digest(file, "sha256")


def assemble_alone(path: Path) -> None:
    """Read, frame, decode, and assemble flows; no packet is looked into for names."""
    with path.open("rb", buffering=0) as file:
        engine = Engine(file, FlowOptions(pick=False))
        engine.open()
        for _ in engine.events():
            pass


def assemble(path: Path) -> None:
    """The same, and pick the packets with names in them; what is collected is let go."""
    with path.open("rb", buffering=0) as file:
        engine = Engine(file)
        engine.open()
        for _ in engine.events():
            pass


def batches(path: Path) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the tables of a capture, as its format makes them."""
    with path.open("rb") as file:
        head = file.read(65536)
        file.seek(0)
        name = next(name for name in ("pcap", "pcapng") if all_formats()[name].declines(head, Hints()) is None)
        yield from all_formats()[name].parse(Evidence(file, path.name, "bench"))


def tables(path: Path) -> None:
    """Do all that a format does: flows, volumes, names and requests as Arrow tables."""
    for _ in batches(path):
        pass


def whole_file(path: Path) -> None:
    """Read as a case does, hash and checks included, and write nothing."""
    read_file(EvidenceFile(path.name, path), Nowhere(), source=path.name, options=ReadOptions())


def into_folder(path: Path) -> None:
    """Read into a case on disk: all of it."""
    with TemporaryDirectory(dir=path.parent) as folder:
        fx.open_case(Path(folder, "case")).add(path, progress=False)


def parquet(collected: list[tuple[str, pa.RecordBatch]], folder: Path) -> None:
    """Write tables that are in memory already, as a case writes them."""
    with TemporaryDirectory(dir=folder) as place:
        files = TableFiles(Path(place))
        for table, batch in collected:
            files.write(table, as_stored(table, batch))
        files.close()


STAGES: dict[str, tuple[Callable[[Path], None], str | None]] = {
    "read": (read, None),
    "read, SHA-256": (digest, "read"),
    "read, flows": (assemble_alone, "read"),
    "the same, picking": (assemble, "read, flows"),
    "the same, names and Arrow": (tables, "the same, picking"),
    "the same, SHA-256 and checks (`read_file`)": (whole_file, "the same, names and Arrow"),
    "the same, Parquet (`open_case().add`)": (into_folder, "the same, SHA-256 and checks (`read_file`)"),
}
"""What is timed, and on which stage each builds."""


def timed(rounds: int, work: Callable[[], None]) -> list[float]:
    """Return how long some work takes, each time. [s]"""
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return taken


def warm_up(path: Path) -> None:
    """Have everything compiled and imported, by the start of the file, and the file in memory."""
    with TemporaryDirectory(dir=path.parent) as folder:
        start = Path(folder, path.name)
        with path.open("rb") as file:
            start.write_bytes(file.read(BLOCK // 8))
        for stage, _ in STAGES.values():
            stage(start)
    read(path)


def processes(path: Path, rounds: int) -> None:
    """Print what comes before and after reading: a whole process beside its parts."""
    commands = {
        "Python starts": [sys.executable, "-c", "pass"],
        "the same, `import forensics`": [sys.executable, "-c", "import forensics"],
        "the same, `import forensics.case`, all a case needs": [
            sys.executable, "-c", "import forensics.case, forensics.packets.pipeline",
        ],
    }  # fmt: skip
    for name, command in commands.items():
        print(f"| {name} | {spread([run(command).wall for _ in range(rounds)])} | | | |")
    with TemporaryDirectory(dir=path.parent) as folder:
        walls = [run(into_case(Path(folder, str(n)), path)).wall for n in range(rounds)]
    print(f"| whole process, into a case | {spread(walls)} | | | |")


def main() -> None:
    """Print the table of one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a pcap file, for example of captures.py")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    path, size = options.file, options.file.stat().st_size
    packets = count_packets(path)
    warm_up(path)
    print(f"**{path.name}**: {packets:,} packets, {size / 1e6:,.0f} MB, {options.rounds} rounds\n")
    print("| stage | wall [s] | beyond the stage before [s] | MB/s | million packets/s |\n|---|---|---|---|---|")
    medians: dict[str | None, float] = {None: 0.0}
    for name, (stage, before) in STAGES.items():
        walls = timed(options.rounds, lambda stage=stage: stage(path))  # type: ignore[misc]
        middle = medians[name] = statistics.median(walls)
        more = middle - medians[before]
        print(f"| {name} | {spread(walls)} | {more:.2f} | {size / middle / 1e6:,.0f} | {packets / middle / 1e6:.2f} |")
        sys.stdout.flush()
    collected = list(batches(path))
    print(f"| Parquet alone | {spread(timed(options.rounds, lambda: parquet(collected, path.parent)))} | | | |")
    processes(path, options.rounds)


if __name__ == "__main__":
    main()
