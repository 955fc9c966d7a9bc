"""How right the beacons are: made-up campaigns, and beacons of every kind planted into clean ones.

    python tests/benches/accuracy_beacons.py --seeds 1 2 3 --planted 4 5

``--seeds`` are campaigns with an intrusion: how many of its beacons are found, of the polling services (which are
beacons by truth), and of 1,000 innocent pairs that were tested. ``--planted`` are clean campaigns with beacons of every
kind, six of each for each number of beats. RITA's score stands beside, over the data set's span and the pair's own.
`docs/explanation/measurements.md` quotes the tables.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

import forensics as fx
from forensics.detectors import beacons
from forensics.detectors._pairs import find_pairs
from forensics.synthetic import Campaign, Truth, write_campaign

sys.path.insert(0, str(Path(__file__).parents[2] / "sample_pcaps" / "detectors"))
from office import connection, write_log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.case import Case

Pair = tuple[str, str]
Found = dict[str, set[Pair]]

BEATS = (6, 12, 25, 50, 100, 200)
KINDS: dict[str, dict[str, float]] = {
    **{f"jitter {jitter}": {"jitter": jitter} for jitter in (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)},
    **{f"missed {missed}": {"jitter": 0.1, "missed": missed} for missed in (0.1, 0.3, 0.5)},
    "office hours": {"jitter": 0.1, "missed": 0.05, "office": 1},
    "and every hour": {"jitter": 0.05, "hourly": 1},
    "among visits": {"jitter": 0.1, "visits": 1},
}
EACH = 6
"""Planted pairs of each kind."""


def found_by_each(case: Case) -> Found:
    """Return the pairs that each way finds."""
    ours = beacons.detect(case)
    found = {"ours": set(zip(ours["src"], ours["dst"], strict=True))}
    scores = beacons.rita_scores(case)
    pairs = list(zip(scores["src"], scores["dst"], strict=True))
    for span in ("case", "pair"):
        for least in (0.7, 0.9):
            high = (scores[f"score_{span}"] >= least).tolist()
            found[f"rita {span} {least}"] = {pair for pair, one in zip(pairs, high, strict=True) if one}
    return found


def tested_pairs(case: Case) -> set[Pair]:
    """Return the pairs that have enough contacts."""
    table = find_pairs(case, 6).table
    return set(zip(table.column("src").to_pylist(), table.column("server").to_pylist(), strict=True))


def read(folder: Path, truth: Truth, *more: Path) -> Case:
    """Return the case of a campaign's proxy log."""
    logs = [str(folder / one["file"]) for one in truth["logs"] if one["format"].startswith("squid")]
    return fx.read(*logs, *map(str, more), timezone=truth["timezone"], progress=False)


def campaign(seed: int, **options: float) -> dict[str, tuple[float, float, float]]:
    """Return, of each way, the shares of beacons and polling found, and false pairs per 1,000 innocent ones."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        truth = write_campaign(folder, Campaign(seed=seed, **options), compression=1)  # type: ignore[arg-type]  # floats
        case = read(folder, truth)
        tested = tested_pairs(case)
        planted = {(one["src"], one["dst"]) for one in truth["beacons"]} & tested
        polling = {(one["src"], one["dst"]) for one in truth["polling"]} & tested
        innocent = tested - planted - polling
        return {
            way: (
                len(pairs & planted) / max(len(planted), 1),
                len(pairs & polling) / max(len(polling), 1),
                1000 * len(pairs & innocent) / max(len(innocent), 1),
            )
            for way, pairs in found_by_each(case).items()
        }


def beat(rng: np.random.Generator, beats: int, kind: dict[str, float]) -> Iterator[tuple[float, int]]:
    """Return times [s] and sizes [B] of one planted beacon, of a period between 45 and 900 s."""
    period, missed = float(np.exp(rng.uniform(np.log(45), np.log(900)))), kind.get("missed", 0.0)
    count = int(beats / (1 - missed) * 1.3) + 20
    time = np.cumsum(period * np.maximum(1 + kind["jitter"] * rng.normal(size=count), 0.05))
    time = time[rng.random(count) >= missed][:beats] + rng.uniform(0, 8 * 3600)
    if kind.get("office"):
        time = time // (9 * 3600) * 86_400 + time % (9 * 3600)
    if kind.get("hourly"):
        time = np.concatenate((time, np.arange(time[0] + 1000, time[-1], 3600)))
    yield from zip(time, rng.normal(500, 20, len(time)).astype(int), strict=True)
    if kind.get("visits"):
        # as many contacts of a person: visits of some pages each
        begin = rng.uniform(time[0], time[-1], beats // 5 + 1)
        pages = (begin[:, None] + np.cumsum(rng.lognormal(np.log(6), 1.4, (len(begin), 5)), axis=1)).ravel()[:beats]
        yield from zip(pages, (300 + rng.lognormal(np.log(400), 1, len(pages))).astype(int), strict=True)


def plant(folder: Path, seed: int, beats: int) -> dict[str, set[Pair]]:
    """Write a log of planted beacons with so many beats each; return the pairs of each kind."""
    rng = np.random.default_rng([seed, beats])
    start, rows = datetime(2015, 5, 11, tzinfo=UTC), []
    planted: defaultdict[str, set[Pair]] = defaultdict(set)
    for kind, options in KINDS.items():
        for _ in range(EACH):
            number = sum(map(len, planted.values()))
            pair = (f"10.20.9.{number + 1}", f"203.0.113.{number + 100}")
            planted[kind].add(pair)
            for time, size in beat(rng, beats, options):
                rows.append(connection(start + timedelta(seconds=float(time)), *pair, sent=size, received=400))
    write_log(folder, "conn", rows)
    return dict(planted)


def planted(seed: int) -> Iterator[tuple[int, str, str, float]]:
    """Return the share found, by beats, kind and way."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        truth = write_campaign(folder, Campaign(seed=seed, clean=True), compression=1)
        for beats in BEATS:
            pairs = plant(folder / "planted", seed, beats)
            found = found_by_each(read(folder, truth, folder / "planted" / "conn.log.gz"))
            for kind, mine in pairs.items():
                for way, theirs in found.items():
                    yield beats, kind, way, len(mine & theirs) / len(mine)


def show_campaigns(seeds: list[int], **options: float) -> None:
    """Print one row per way: medians and worst over campaigns."""
    rows: defaultdict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for seed in seeds:
        for way, row in campaign(seed, **options).items():
            rows[way].append(row)
    said = " ".join(f"{name}={value}" for name, value in options.items())
    for way, all_of_it in rows.items():
        mean, least, most = (f(all_of_it, axis=0) for f in (np.mean, np.min, np.max))
        shares = (
            f"{mean[0]:.1%} ({least[0]:.1%})",
            f"{mean[1]:.1%} ({least[1]:.1%})",
            f"{mean[2]:.1f} ({most[2]:.1f})",
        )
        print(said or "as is", way, *shares, sep=" | ", flush=True)


def show_planted(seeds: list[int]) -> None:
    """Print the share found of every kind, by beats, for each way."""
    shares: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
    for seed in seeds:
        for beats, kind, way, share in planted(seed):
            shares[way, kind, beats].append(share)
    for way in dict.fromkeys(key[0] for key in shares):
        for kind in KINDS:
            print(way, kind, *(f"{np.mean(shares[way, kind, beats]):.0%}" for beats in BEATS), sep=" | ")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    parser.add_argument("--planted", type=int, nargs="*", default=[])
    parser.add_argument("--jitter", type=float, nargs="*", default=[])
    parser.add_argument("--missed", type=float, nargs="*", default=[])
    options = parser.parse_args()
    if options.seeds:
        print("campaign", "way", "beacons found (worst)", "polling found", "false per 1,000 (worst)", sep=" | ")
        for jitter in options.jitter:
            show_campaigns(options.seeds, jitter=jitter)
        for missed in options.missed:
            show_campaigns(options.seeds, missed=missed)
        if not options.jitter and not options.missed:
            show_campaigns(options.seeds)
    if options.planted:
        print("way", "kind", *(f"{beats} beats" for beats in BEATS), sep=" | ")
        show_planted(options.planted)


if __name__ == "__main__":
    main()
