"""What detectors, ranking and report cost as a case grows: time and peak memory of each stage, and the slope.

    python tests/benches/scale.py --flows 1e6 1e7 [--folder DIR] [--stages off_hours beacons ...]

Each stage is a process of its own, so that its peak memory is its own, too; it opens a case of `large_office` and
does one thing: a detector's findings with their coverage, all detectors one after the other (it tells the time of each
by the clock, and of processors), the whole investigation.
The slope is that of the logarithm of processor time over the logarithm of flows, between the smallest and the largest
case: 1 where it grows as the evidence does. Processor time is of all threads; what else the machine does changes it
less than the time by the clock. `docs/explanation/scale.md` quotes the tables.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

DETECTORS = (
    "beacons", "dns_tunnels", "emdivi", "indicators", "long_connections", "off_hours", "producer_ratio",
    "proxy_bypass", "rare_servers", "volume_spikes",
)  # fmt: skip
STAGES = ("roles", *DETECTORS, "detectors", "relays", "investigate", "write")


def stage(name: str, folder: Path) -> None:
    """Do one stage in this process, and print how long it took. [s]"""
    import forensics as fx

    case = fx.open_case(folder)
    begin, spent = time.perf_counter(), time.process_time()
    told = _work(name)(case)
    seconds = {"wall": time.perf_counter() - begin, "spent": time.process_time() - spent}
    print(json.dumps({**seconds, "told": told}))


def _work(name: str) -> Callable[[Case], str]:
    """Return what a stage does."""
    import forensics as fx
    from forensics.detectors import all_detectors
    from forensics.investigation import find_all, investigate
    from forensics.roles import find_roles

    def detect(case: Case) -> str:
        found, coverage = find_all(case, only=(name,))
        return f"{len(found[name])} findings, {coverage[0].tested:,} {coverage[0].unit}"

    def detect_all(case: Case) -> str:
        told = []
        with case.keeping():
            find_roles(case)
            for one in DETECTORS:
                begin, spent = time.perf_counter(), time.process_time()
                found, _ = find_all(case, only=(one,))
                seconds = f"{time.perf_counter() - begin:.1f} s ({time.process_time() - spent:.1f} s)"
                told.append(f"{one} {seconds}, {len(found[one])} findings")
        return "; ".join(told)

    def write(case: Case) -> str:
        with tempfile.TemporaryDirectory() as folder:
            return str(len(investigate(case).write(folder).read_bytes()))

    works: dict[str, Callable[[Case], str]] = dict.fromkeys(all_detectors(), detect)
    works |= {
        "roles": lambda case: f"{len(find_roles(case).terminals):,} terminals",
        "detectors": detect_all,
        "relays": lambda case: f"{len(fx.rank_relays(case))} relays",
        "investigate": lambda case: f"{len(investigate(case).relays)} relays",
        "write": write,
    }
    return works[name]


def make(folder: Path, flows: int) -> None:
    """Write a case of so many flows, in this process."""
    from large_office import make_office

    make_office(folder, flows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flows", type=float, nargs="+", default=[1e6, 1e7])
    parser.add_argument("--folder", type=Path, help="where cases are kept; they are removed without it")
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES)
    parser.add_argument("--stage", nargs=2, metavar=("NAME", "CASE"), help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=2, metavar=("CASE", "FLOWS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        stage(options.stage[0], Path(options.stage[1]))
    elif options.make:
        make(Path(options.make[0]), int(options.make[1]))
    else:
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """Make the cases, run the stages, print a row for each."""
    folder = options.folder or Path(tempfile.mkdtemp(prefix="scale-"))
    sizes = sorted(int(size) for size in options.flows)
    taken: dict[str, dict[int, float]] = {}
    print("| flows | stage | wall [s] | processor [s] | peak memory [GB] | what |\n|---|---|---|---|---|---|")
    for size in sizes:
        case = folder / f"{size}.case"
        if not case.exists():
            _print(size, "make the case", ["--make", str(case), str(size)])
        for name in options.stages:
            taken.setdefault(name, {})[size] = _print(size, name, ["--stage", name, str(case)])
        if not options.folder:
            shutil.rmtree(case)
    if len(sizes) > 1:
        print("\n| stage | slope |\n|---|---|")
        for name, spent in taken.items():
            small, large = sizes[0], sizes[-1]
            slope = math.log(spent[large] / spent[small]) / math.log(large / small)
            print(f"| {name} | {slope:.2f} |")


def _print(size: int, name: str, arguments: list[str]) -> float:
    """Run a stage and print its row; return the processor time it took without the start of the process. [s]"""
    done = run([sys.executable, __file__, *arguments])
    lines = done.output.strip().splitlines()
    if done.code or not (lines or name == "make the case"):
        sys.exit(f"{name} failed:\n{done.output}")
    said: dict[str, Any] = {"wall": done.wall, "spent": done.cpu, "told": ""}
    said |= json.loads(lines[-1]) if lines else {}
    row = (f"{size:,}", name, f"{said['wall']:.1f}", f"{said['spent']:.1f}", f"{done.peak / 1e9:.2f}", said["told"])
    print(f"| {' | '.join(row)} |", flush=True)
    return float(said["spent"])


if __name__ == "__main__":
    main()
