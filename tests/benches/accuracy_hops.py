"""How right the hop graph is: chains, matched edges, roles and clocks, on the same campaigns.

    python tests/benches/accuracy_hops.py --seeds $(seq 701 720) --clean 721 722 --keep rows.jsonl

The campaigns are those of `campaigns.varied` with a sensor in their last days and captures at five relays. The relays'
clocks are off by seconds to minutes, the last one in every second campaign by nine hours besides, and the proxy's clock
is wrong as in `clocks.py`.

*Seen* are the planted relays that a record of any source has as either end of a connection. An *end* is one that a
chain leads to and of which no source saw what it does with the traffic: the operators' own server looks the same there.
Each campaign has three ends, so the graph takes all for relay candidates, and one of them falsely. ``--keep`` appends
the figures of each campaign to a file and takes from it what it has, so that a run that was stopped goes on where it
was.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from campaigns import varied
from clocks import KINDS, LOG, errors, planted_clocks, put_wrong

import forensics as fx
from forensics.synthetic import Campaign, Truth, write_campaign

if TYPE_CHECKING:
    import networkx as nx

    from forensics.case import Case

HOP_COLUMNS = (
    "chains",
    "chains found",
    "matched edges",
    "matched false",
    "relays seen",
    "role relay",
    "ends",
    "called relay falsely",
    "clock errors s",
)
SENSOR_DAYS = 0.4
"""Share of the days in which the sensor ran: the proxy's clock is set in these, or nothing could show when. [1]"""

SERVERS = """
SELECT DISTINCT host FROM (SELECT src AS host FROM flows UNION ALL SELECT dst AS host FROM flows)
ORDER BY host NULLS LAST
"""


def hard(seed: int, *, clean: bool) -> Campaign:
    """Return the campaign of a seed."""
    campaign = varied(seed, clean=clean)
    return replace(campaign, sensor_days=round(SENSOR_DAYS * campaign.days), clock_error_hours=9 * (seed % 2))


def measure_hops(seed: int, folder: Path, *, clean: bool) -> dict[str, float]:
    """Make a campaign in a folder, build its graph, and compare it with the truth."""
    truth = write_campaign(folder, hard(seed, clean=clean), compression=1)
    wrong = put_wrong(folder / "proxy" / LOG, seed)
    files = [str(folder / one["file"]) for one in (*truth["logs"], *truth["captures"])]
    case = fx.read(*files, timezone=truth["timezone"], progress=False)
    found = errors(case, planted_clocks(truth) | {LOG: wrong})
    return compare(case, fx.build_hop_graph(case), truth) | {
        "clock errors s": max(float(str(found[kind])) for kind in KINDS)
    }


def compare(case: Case, graph: nx.MultiDiGraph[str], truth: Truth) -> dict[str, float]:
    """Return the counts of one graph."""
    office = {host["address"] for host in truth["hosts"] if host["role"] in {"proxy", "router"}}
    planted = {tuple(hop for hop in chain["hops"] if hop not in office) for chain in truth["chains"]}
    steps = {step for chain in planted for step in pairwise(chain[1:])}
    matched = {(a, b) for a, b, data in graph.edges(data=True) if data["tier"] == "matched"}
    relays = {host["address"] for host in truth["hosts"] if host["role"] == "relay"}
    seen = relays & set(case.sql(SERVERS).to_arrow().column("host").to_pylist())
    ends = seen & ({chain[-1] for chain in planted} - {hop for chain in planted for hop in chain[:-1]})
    called = {node for node, data in graph.nodes(data=True) if data["role"] == "relay"}
    return {
        "chains": len(planted),
        "chains found": len(planted & {tuple(chain["hops"]) for chain in graph.graph["chains"]}),
        "matched edges": len(matched),
        "matched false": len(matched - steps),
        "relays seen": len(seen),
        "role relay": len(seen & called),
        "ends": len(ends),
        "called relay falsely": len(called - relays),
    }


def run(seed: int, keep: Path | None, *, clean: bool) -> dict[str, float]:
    """Return the figures of a campaign, from the file or measured."""
    lines = keep.read_text("utf-8").splitlines() if keep and keep.exists() else []
    for row in map(json.loads, lines):
        if (row["seed"], row["clean"]) == (seed, clean):
            return {name: row[name] for name in HOP_COLUMNS}
    with TemporaryDirectory() as folder:
        figures = measure_hops(seed, Path(folder), clean=clean)
    if keep:
        with keep.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"seed": seed, "clean": clean} | figures) + "\n")
    return figures


def main() -> None:
    """Run the campaigns that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[31])
    parser.add_argument("--clean", type=int, nargs="*", default=[])
    parser.add_argument("--keep", type=Path, metavar="FILE")
    options = parser.parse_args()
    print("campaign", *HOP_COLUMNS, sep="\t")
    for kind, seeds in (("planted", options.seeds), ("clean", options.clean)):
        rows = []
        for seed in seeds:
            rows.append(run(seed, options.keep, clean=kind == "clean"))
            print(f"{kind} {seed}", *(f"{rows[-1][name]:.3g}" for name in HOP_COLUMNS), sep="\t", flush=True)
        for name, of in (("median", median), ("least", min), ("greatest", max)):
            if rows:
                print(f"{kind} {name}", *(f"{of(row[c] for row in rows):.3g}" for c in HOP_COLUMNS), sep="\t")


if __name__ == "__main__":
    main()
