"""How long a hop graph takes: built from a proxy's log, and written for other programs.

    python tests/benches/hop_graphs.py --servers 20 400 --terminals 100 1600

Every terminal meets five of the servers a few times in two weeks, and all servers are listed as candidates: nothing can
be left out for being ordinary. Prints one row per step, and how large what it made is;
`docs/explanation/measurements.md` quotes it.
"""

from __future__ import annotations

import argparse
import random
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd

import forensics as fx
from forensics.exports import all_kinds
from forensics.relays import RELAY_COLUMNS
from forensics.schema import FINDING_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_431_302_400
"""A Monday, 09:00 in Tokyo. [s]"""

FORTNIGHT = 14 * 86_400
MET = 5
VISITS = 3


def write_log(path: Path, terminals: list[str], servers: list[str]) -> None:
    """Write the log of a Squid proxy."""
    dice = random.Random(6)
    visits = [
        (START + dice.randrange(FORTNIGHT), terminal, server)
        for terminal in terminals
        for server in dice.sample(servers, MET)
        for _ in range(VISITS)
    ]
    lines = [
        f"{second}.000 9 {terminal} TCP_MISS/200 {dice.randrange(10**6)} GET http://{server}/ - HIER_DIRECT/{server} -"
        for second, terminal, server in sorted(visits)
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def timed(step: str, work: Callable[[], Any], size: Callable[[Any], str]) -> Any:  # noqa: ANN401 - whatever is made
    """Do one step and print how long it took."""
    begin = time.perf_counter()
    made = work()
    print(step, f"{time.perf_counter() - begin:.1f} s", size(made), sep="\t", flush=True)
    return made


def measure(terminals: list[str], servers: list[str], folder: Path) -> None:
    """Build the graph of one case and write it as every kind."""
    write_log(folder / "access.log", terminals, servers)
    case = fx.read(folder / "access.log", timezone="Asia/Tokyo", progress=False)
    ranked = [{"rank": n, "dst": dst, "names": "", "score": 9.0, "reasons": "x"} for n, dst in enumerate(servers, 1)]
    relays, nothing = pd.DataFrame(ranked, columns=list(RELAY_COLUMNS)), pd.DataFrame(columns=list(FINDING_COLUMNS))
    graph = timed(
        "built",
        lambda: fx.build_hop_graph(case, spikes=nothing, found_beacons=nothing, relays=relays),
        lambda made: f"{len(made)} nodes, {made.number_of_edges()} edges",
    )
    for suffix in all_kinds():
        timed(suffix, partial(fx.write_graph, graph, folder / f"hops{suffix}"), megabytes)


def megabytes(paths: list[Path]) -> str:
    """Return the size of files."""
    return f"{sum(path.stat().st_size for path in paths) / 1e6:.1f} MB"


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, nargs="*", default=[20, 400])
    parser.add_argument("--terminals", type=int, nargs="*", default=[100, 1600])
    options = parser.parse_args()
    for few, many in zip(options.servers, options.terminals, strict=True):
        servers = [f"198.51.{n // 250}.{n % 250 + 1}" for n in range(few)]
        terminals = [f"10.1.{n // 250}.{n % 250 + 1}" for n in range(many)]
        with TemporaryDirectory() as folder:
            measure(terminals, servers, Path(folder))


if __name__ == "__main__":
    main()
