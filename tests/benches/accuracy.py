"""How right the findings are: seeded campaigns with planted truth, and clean ones, beside published rules.

    python tests/benches/accuracy.py --seeds $(seq 601 620) --clean $(seq 621 640) --keep figures.jsonl
    python tests/benches/accuracy.py --plain --vary scale=0.1 noise=1.0 --seeds 1 2 3
    python tests/benches/accuracy.py --whole --seeds 1 2 3 --clean 4 5

Spikes and relays of a proxy's log, in campaigns whose size, noise, rhythm, relays and innocents are drawn by the seed
(`campaigns.varied`); ``--plain`` takes the campaign as it comes without options, and ``--vary`` sets some. ``--whole``
takes plain campaigns with all their evidence, and looks at what `forensics.investigation.investigate` shows, chains
included. It needs statsmodels, but for ``--whole``.

``--keep`` appends each campaign's figures to a file and takes from it what it has, so that a run that was stopped goes
on where it was; several runs may share one file. Figures of another version of the code belong into another file.
Prints a row for each campaign, then median, least, greatest and sum; `docs/explanation/measurements.md` quotes them.
"""

from __future__ import annotations

import argparse
import json
from ast import literal_eval
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from accuracy_relays import RELAY_COLUMNS, measure_relays
from accuracy_spikes import SPIKE_COLUMNS, measure_spikes
from campaigns import proxy_case, varied

import forensics as fx
from forensics.investigation import Investigation, investigate
from forensics.synthetic import Campaign, Truth, write_campaign

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WHOLE_COLUMNS = ("spikes found", "spikes false", "relays found", "relays listed", "first 20", "chains", "chains false")
Figures = dict[str, float | None]


def findings_of(campaign: Campaign) -> Figures:
    """Make a campaign and measure the spikes and the ranking of its proxy's log."""
    case, truth = proxy_case(campaign)
    return {**measure_spikes(case, truth, campaign.terminals * campaign.days * 24), **measure_relays(case, truth)}


def whole_of(campaign: Campaign) -> Figures:
    """Make a campaign, investigate all its evidence, and compare with the truth."""
    with TemporaryDirectory() as folder:
        truth = write_campaign(Path(folder), campaign, compression=1)
        files = [str(Path(folder, one["file"])) for one in (*truth["logs"], *truth["captures"])]
        return _whole(investigate(fx.read(*files, timezone=truth["timezone"], progress=False)), truth)


def _whole(found: Investigation, truth: Truth) -> Figures:
    uploads = {(upload["src"], upload["dst"]) for upload in truth["uploads"]}
    single = {(upload["src"], upload["dst"]) for upload in truth["one_off_uploads"]}
    spikes = set(zip(found.spikes["src"], found.spikes["dst"], strict=True))
    relays = {host["address"] for host in truth["hosts"] if host["role"] == "relay" and host.get("tier") == 1}
    listed = list(found.relays.loc[found.relays["verdict"] != "", "dst"])
    planted = {tuple(hop for hop in chain["hops"] if hop not in _offices(truth)) for chain in truth["chains"]}
    chains = {tuple(chain["hops"]) for chain in found.graph.graph["chains"]}
    return {
        "spikes found": len(uploads & spikes) / len(uploads) if uploads else None,
        "spikes false": len(spikes - uploads - single),
        "relays found": len(relays & set(listed)) / len(relays) if relays else None,
        "relays listed": len(listed),
        "first 20": len(relays & set(listed[:20])),
        "chains": len(planted & chains) / len(planted) if planted else None,
        "chains false": len(chains - planted),
    }


def _offices(truth: Truth) -> set[str]:
    """Return the office's own addresses between terminal and relay."""
    return {host["address"] for host in truth["hosts"] if host["role"] in {"proxy", "router"}}


def kept(file: Path | None, key: Mapping[str, Any]) -> Figures | None:
    """Return the figures that a file has for a campaign."""
    if file is None or not file.exists():
        return None
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return next((row["figures"] for row in rows if row["campaign"] == key), None)


def run(options: argparse.Namespace, seed: int, *, clean: bool) -> Figures:
    """Return the figures of one campaign, from the file or measured."""
    vary = {name: literal_eval(value) for name, value in (one.split("=") for one in options.vary)}
    plain = options.plain or options.whole
    campaign = replace(Campaign(seed=seed, clean=clean) if plain else varied(seed, clean=clean), **vary)
    kind = "whole" if options.whole else "plain" if plain else "varied"
    key = {"kind": kind, "seed": seed, "clean": clean, "vary": sorted(options.vary)}
    figures = kept(options.keep, key)
    if figures is None:
        figures = whole_of(campaign) if options.whole else findings_of(campaign)
        if options.keep is not None:
            with options.keep.open("a", encoding="utf-8") as file:  # one short write: runs may share the file
                file.write(json.dumps({"campaign": key, "figures": figures}) + "\n")
    return figures


def table(kind: str, columns: Iterable[str], rows: list[Figures]) -> None:
    """Print median, least, greatest and sum of the figures of some campaigns."""
    told = [[value for row in rows if (value := row[name]) is not None] for name in columns]
    for name, of in (("median", median), ("least", min), ("greatest", max), ("sum", sum)):
        print(f"{kind} {name}", *(f"{of(values):.3g}" if values else "-" for values in told), sep="\t")


def main() -> None:
    """Run the campaigns that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--clean", type=int, nargs="*", default=[])
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--vary", nargs="*", default=[], metavar="OPTION=VALUE")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    columns = WHOLE_COLUMNS if options.whole else (*SPIKE_COLUMNS, *RELAY_COLUMNS)
    print("campaign", *columns, sep="\t")
    for kind, seeds in (("planted", options.seeds), ("clean", options.clean)):
        rows = []
        for seed in seeds:
            rows.append(run(options, seed, clean=kind == "clean"))
            shown = ("-" if rows[-1][name] is None else f"{rows[-1][name]:.3g}" for name in columns)
            print(f"{kind} {seed}", *shown, sep="\t", flush=True)
        if rows:
            table(kind, columns, rows)


if __name__ == "__main__":
    main()
