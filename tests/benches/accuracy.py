"""How right the findings are: seeded campaigns with planted truth, and clean ones.

    python tests/benches/accuracy.py --seeds 1 2 3 --clean 4 5
    python tests/benches/accuracy.py --spikes --seeds 101 102 --clean 121 --vary scale=0.1 noise=1.0

``--spikes`` measures the spikes alone, beside published rules (it needs statsmodels); ``--vary`` sets options of the
campaigns. Prints one row per campaign and the medians; `docs/explanation/measurements.md` quotes them.
"""

from __future__ import annotations

import argparse
import statistics
from ast import literal_eval
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from accuracy_spikes import SPIKE_COLUMNS, measure_spikes

import forensics as fx
from forensics.investigation import Investigation, investigate
from forensics.synthetic import Campaign, Truth, write_campaign

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = ("spikes found", "spikes false", "relays found", "relays listed", "first 20", "chains", "chains false")


def measure(found: Investigation, truth: Truth) -> dict[str, float]:
    """Return the counts and shares of one campaign."""
    uploads = {(upload["src"], upload["dst"]) for upload in truth["uploads"]}
    single = {(upload["src"], upload["dst"]) for upload in truth["one_off_uploads"]}
    spikes = set(zip(found.spikes["src"], found.spikes["dst"], strict=True))
    relays = {host["address"] for host in truth["hosts"] if host["role"] == "relay" and host.get("tier") == 1}
    listed = list(found.relays["dst"])
    planted = {tuple(hop for hop in chain["hops"] if hop not in _offices(truth)) for chain in truth["chains"]}
    chains = {tuple(chain["hops"]) for chain in found.graph.graph["chains"]}
    return {
        "spikes found": len(uploads & spikes) / max(len(uploads), 1),
        "spikes false": float(len(spikes - uploads - single)),
        "relays found": len(relays & set(listed)) / max(len(relays), 1),
        "relays listed": float(len(listed)),
        "first 20": float(len(relays & set(listed[:20]))),
        "chains": len(planted & chains) / max(len(planted), 1),
        "chains false": float(len(chains - planted)),
    }


def _offices(truth: Truth) -> set[str]:
    """Return the office's own addresses between terminal and relay."""
    return {host["address"] for host in truth["hosts"] if host["role"] in {"proxy", "router"}}


def run(seed: int, *, clean: bool, spikes: bool, vary: Mapping[str, Any]) -> dict[str, float]:
    """Make a campaign, investigate it, and compare with the truth."""
    with TemporaryDirectory() as folder:
        campaign = Campaign(seed=seed, clean=clean, **vary)
        truth = write_campaign(Path(folder), campaign, compression=1)
        files = [str(Path(folder, one["file"])) for one in (*truth["logs"], *truth["captures"])]
        if spikes:
            case = fx.read(*files, timezone=truth["timezone"], progress=False)
            return measure_spikes(case, truth, campaign.terminals * campaign.days * 24)
        found = investigate(fx.read(*files, timezone=truth["timezone"], progress=False))
        return measure(found, truth)


def main() -> None:
    """Run the campaigns that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--clean", type=int, nargs="*", default=[])
    parser.add_argument("--spikes", action="store_true")
    parser.add_argument("--vary", nargs="*", default=[], metavar="OPTION=VALUE")
    options = parser.parse_args()
    vary = {name: literal_eval(value) for name, value in (one.split("=") for one in options.vary)}
    columns = SPIKE_COLUMNS if options.spikes else COLUMNS
    print("campaign", *columns, sep="\t")
    for kind, seeds in (("planted", options.seeds), ("clean", options.clean)):
        rows = []
        for seed in seeds:
            rows.append(run(seed, clean=kind == "clean", spikes=options.spikes, vary=vary))
            print(f"{kind} {seed}", *(f"{rows[-1][name]:.3g}" for name in columns), sep="\t", flush=True)
        if rows:
            print(f"{kind} median", *(f"{statistics.median(r[c] for r in rows):.3g}" for c in columns), sep="\t")


if __name__ == "__main__":
    main()
