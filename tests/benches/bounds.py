"""How the packet engine behaves at its limits: start-up, first compilation, growing files, a flood, two files, Ctrl-C.

Each measurement prints one Markdown table; ``peers.py`` runs them by their names.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from processes import Run, into_case, into_flows, run, spread

__all__ = ["MEASURES"]

SIZES = (1, 2, 4, 8)
"""Sizes of the growing file. [GB]"""

WAITS = (0.2, 1.0, 3.0)
"""When Ctrl-C comes: while the program starts, and while it reads. [s]"""

SOURCES = "import sys, forensics; print(len(forensics.open_case(sys.argv[1]).sources), 'sources')"


def made(place: Path, letter: str, name: str, scale: float) -> Path:
    """Return a capture, made by another process where it is missing."""
    maker = Path(__file__).with_name("captures.py")
    done = run([sys.executable, str(maker), str(place), "--only", letter, "--scale", str(scale)])
    if done.code:
        raise SystemExit(done.output)
    return place / name


def once(place: Path, *files: Path, environment: dict[str, str] | None = None) -> Run:
    """Read files into a new case, and remove it."""
    with TemporaryDirectory(dir=place) as scratch:
        done = run(into_case(Path(scratch, "case"), *files), environment=environment)
    if done.code:
        raise SystemExit(done.output)
    return done


def start(place: Path, rounds: int, scale: float) -> None:
    """Print how long the smallest of files takes."""
    small = made(place, "t", "ten.pcap", scale)
    out = place / "ten.parquet"
    commands = {
        "Python alone": [sys.executable, "-c", "pass"],
        "`import forensics`": [sys.executable, "-c", "import forensics"],
        "`forensics flows`, CSV, ten packets": [sys.executable, "-m", "forensics", "flows", str(small)],
        "`forensics flows`, Parquet, ten packets": into_flows(out, small),
    }
    print("\n**Start-up**\n\n| process | wall [s] | peak [MB] |\n|---|---|---|")
    for name, command in commands.items():
        run(command)
        runs = [run(command) for _ in range(rounds)]
        print(f"| {name} | {spread([r.wall for r in runs])} | {max(r.peak for r in runs) / 1e6:,.0f} |")
    out.unlink()


def cold(place: Path, rounds: int, scale: float) -> None:
    """Print how long the first run takes, with nothing compiled."""
    capture = made(place, "t", "ten.pcap", scale)
    warm = once(place, capture)
    with TemporaryDirectory(dir=place) as empty:
        first = once(place, capture, environment={"NUMBA_CACHE_DIR": empty})
        second = once(place, capture, environment={"NUMBA_CACHE_DIR": empty})
    print("\n**Compilation**, ten packets\n\n| run | wall [s] | peak [MB] |\n|---|---|---|")
    for name, done in (("compiled before", warm), ("first", first), ("second", second)):
        print(f"| {name} | {done.wall:.2f} | {done.peak / 1e6:,.0f} |")


def growth(place: Path, rounds: int, scale: float) -> None:
    """Print the peak memory for files of growing size; each file is removed before the next one is made."""
    print("\n**Growing files**\n\n| file [GB] | wall [s] | GB/s | peak [MB] |\n|---|---|---|---|")
    code = "import sys, pathlib, captures; captures.write_full(pathlib.Path(sys.argv[1]), float(sys.argv[2]))"
    for size in SIZES:
        path = place / f"growth-{size}.pcap"
        benches = str(Path(__file__).parent)
        done = run([sys.executable, "-c", code, str(path), str(size * scale)], environment={"PYTHONPATH": benches})
        if done.code:
            raise SystemExit(done.output)
        try:
            taken, gigabytes = once(place, path), path.stat().st_size / 1e9
        finally:
            path.unlink()
        speed = gigabytes / taken.wall
        print(f"| {gigabytes:.2f} | {taken.wall:.2f} | {speed:.2f} | {taken.peak / 1e6:,.0f} |", flush=True)


def flood(place: Path, rounds: int, scale: float) -> None:
    """Print the peak memory under a flood of connections of one packet."""
    path = made(place, "f", "flood.pcap", scale)
    done = once(place, path)
    print("\n**Flood**\n\n| one-packet flows | wall [s] | peak [MB] |\n|---|---|---|")
    print(f"| {(path.stat().st_size - 24) // 76:,} | {done.wall:.2f} | {done.peak / 1e6:,.0f} |")


def two(place: Path, rounds: int, scale: float) -> None:
    """Print what a second file costs beside the first: 1 where it takes no time, 2 where it waits for its turn."""
    second = made(place, "w", "twin-1.pcap", scale)
    first = second.with_name("twin-0.pcap")
    once(place, first, second)
    pairs = [(once(place, first), once(place, first, second)) for _ in range(rounds)]
    print("\n**Two files at once**\n\n| files | wall [s] | processor [s] | peak [MB] |\n|---|---|---|---|")
    for name, runs in zip(("one", "two"), zip(*pairs, strict=True), strict=True):
        cpu = spread([r.cpu for r in runs])
        print(f"| {name} | {spread([r.wall for r in runs])} | {cpu} | {max(r.peak for r in runs) / 1e6:,.0f} |")
    print(f"| two : one | {spread([b.wall / a.wall for a, b in pairs])} | | |")


def interrupted(place: Path, rounds: int, scale: float) -> None:
    """Print how soon Ctrl-C ends a run, and what it leaves behind; a case that is left must open, and be empty."""
    path = made(place, "b", "full.pcap", scale)
    print("\n**Ctrl-C**\n\n| after [s] | command | ended after [s] | exit code | left behind |\n|---|---|---|---|---|")
    for wait in WAITS:
        for name, command in (("into a case", into_case), ("`forensics flows`", into_flows)):
            with TemporaryDirectory(dir=place) as scratch:
                out = Path(scratch, "out")
                done = run(command(out, path), interrupt=wait)
                left = sorted(str(p.relative_to(scratch)) for p in Path(scratch).rglob("*") if p.is_file())
                if out.is_dir():
                    left += [run([sys.executable, "-c", SOURCES, str(out)]).output.strip()]
            print(f"| {wait} | {name} | {done.wall:.2f} | {done.code} | {', '.join(left) or 'nothing'} |")


MEASURES = {
    "start": start,
    "cold": cold,
    "growth": growth,
    "flood": flood,
    "two": two,
    "interrupt": interrupted,
}
"""The measurements by name."""
