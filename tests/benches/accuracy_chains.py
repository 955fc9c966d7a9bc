"""How many chains are found at a relay, and how many that are none, beside the ON/OFF rule of Zhang and Paxson.

    python tests/benches/accuracy_chains.py                     tables: jitter, padding, connections at once, chance
    python tests/benches/accuracy_chains.py --cost 1000 10000   time against the number of connections

The rule beside ours [1]_: a direction is idle after 0.5 s without payload; two ends of idle times coincide within
80 ms, the later one after the relay; a pair is a stepping stone where at least 0.3 of the lesser number of idle times
coincide, and 2 coincidences in a row are seen (they share the host), for each 100 idle times. Directions count together
as the authors' script counts them. It is applied to whole connections, once: while they run, it would report more.

References
----------
.. [1] Y. Zhang, V. Paxson, "Detecting Stepping Stones", USENIX Security 2000; its parameters as in Bro's stepping.bro.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from relay_traffic import RELAY, Relaying, Scene, interactive, scene, upload

from forensics.chains import BIN, held
from forensics.chains.joining import best_of
from forensics.chains.matching import matches_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forensics.series import Connection

Pairs = set[tuple[int, int]]

IDLE, DELTA = 500_000 // BIN, 80_000 // BIN
RATIO, IN_A_ROW, SCALE = 0.3, 2, 100.0
PORTION = 2_000_000
MOST_AT_ONCE = 10_000


def resumed(connections: list[Connection], *, received: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the ends of idle times in order: time, the one before, whose; and how many each connection has."""
    times, before, owner = [], [], []
    for number, one in enumerate(connections):
        sizes = one.received(RELAY) if received else one.sent(RELAY)
        bins = one.bins[sizes > 0]
        ends = bins[np.diff(bins, prepend=bins[0] - IDLE - 1 if len(bins) else 0) >= IDLE]
        times.append(ends)
        before.append(np.concatenate([[-(10**15)], ends[:-1]])[: len(ends)])
        owner.append(np.full(len(ends), number))
    flat = [np.concatenate(part) for part in (times, before, owner)]
    order = np.argsort(flat[0], kind="stable")
    return flat[0][order], flat[1][order], flat[2][order], np.array([len(part) for part in times])


def coincidences(first: list[Connection], second: list[Connection], *, up: bool) -> tuple[np.ndarray, ...]:
    """Return for each pair how many idle ends coincide, how many in a row, and the lesser number of idle times."""
    # up: what came in on the first goes on on the second; down: what came in on the second goes on on the first
    came, went = (first, second) if up else (second, first)
    t, t_before, i, idle = resumed(came, received=True)
    u, u_before, o, idle_on = resumed(went, received=False)
    shape = len(came) * len(went)
    hits, rows = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    low, high = np.searchsorted(u, t), np.searchsorted(u, t + DELTA, side="right")
    count = high - low
    edges = np.searchsorted(np.cumsum(count), np.arange(0, count.sum() + PORTION, PORTION))
    for a, b in zip(edges, np.append(edges[1:], len(t)), strict=True):
        if b <= a:
            continue
        x = np.repeat(np.arange(a, b), count[a:b])
        y = np.arange(len(x)) - np.repeat(np.cumsum(count[a:b]) - count[a:b], count[a:b]) + low[x]
        places = i[x] * len(went) + o[y]
        apart = u_before[y] - t_before[x]
        np.add.at(hits, places, 1)
        np.add.at(rows, places[(apart >= 0) & (apart <= DELTA)], 1)
    least = np.minimum(idle[:, None], idle_on[None, :])
    matrices = [hits.reshape(len(came), -1), rows.reshape(len(came), -1), least]
    return tuple(matrix if up else matrix.T for matrix in matrices)


def zhang_paxson(connections: list[Connection]) -> Pairs:
    """Return the pairs that the rule takes for stepping stones, as record numbers."""
    first = [one for one in connections if one.dst == RELAY]
    second = [one for one in connections if one.src == RELAY]
    hits, rows, least = coincidences(first, second, up=True)
    back_hits, back_rows, back_least = coincidences(first, second, up=False)
    factor = np.maximum(1.0, least / SCALE)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(back_hits > hits, back_hits / back_least, hits / least)
    found = np.nonzero((rows + back_rows >= IN_A_ROW * factor) & (ratio >= RATIO))
    return {(first[i].record, second[o].record) for i, o in zip(*found, strict=True)}


def ours(connections: list[Connection]) -> Pairs:
    """Return the pairs that are matched."""
    matches = best_of(held(*matches_at(RELAY, connections)))
    return {(match.inbound.record, match.outbound.record) for match in matches}


def rates(scenes: Iterable[Scene], *, rule: bool = True) -> list[str]:
    """Return chains found and false pairs of ours, and of the rule."""
    planted, counts = 0, np.zeros(4, int)
    for one in scenes:
        truth = {(a.record, b.record) for a, b in one.planted}
        planted += len(truth)
        found, theirs = ours(one.connections), zhang_paxson(one.connections) if rule else set()
        counts += [len(found & truth), len(found - truth), len(theirs & truth), len(theirs - truth)]
    shown = [f"{counts[0] / planted:.1%}", str(counts[1]), f"{counts[2] / planted:.1%}", str(counts[3])]
    return shown if rule else shown[:2]


def row(label: object, *cells: object) -> None:
    """Print a row of a table."""
    print("| " + " | ".join(map(str, (label, *cells))) + " |", flush=True)


def tables(seeds: list[int], flows: int, chains: int) -> None:
    """Print the rates against jitter and padding."""
    usual = Relaying()
    ways = [(f"jitter {1000 * j:g} ms", replace(usual, jitter=j)) for j in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)]
    ways += [(f"delay up to {d:g} s", replace(usual, longest=d)) for d in (0.3, 1.0, 2.5)]
    ways += [(f"filled up to {size} B", replace(usual, padded_to=size)) for size in (512, 1400)]
    ways += [(f"{share:g} dummies for a message", replace(usual, dummies=share)) for share in (0.5, 1.0, 3.0, 10.0)]
    ways += [(f"{s:g} dummies that the relay takes off", replace(usual, stripped=s)) for s in (0.1, 0.2, 0.5, 1.0)]
    for label, how in ways:
        row(label, *rates(scene(seed, flows=flows, chains=chains, how=how) for seed in seeds))
    row("uploads", *rates(scene(seed, flows=flows, chains=chains, how=usual, kind=upload) for seed in seeds))


def crowds(seeds: list[int]) -> None:
    """Print the rates against the number of connections that live at once."""
    for flows, chains in ((100, 10), (1000, 50), (3000, 50), (10_000, 100)):
        scenes = [scene(seed, flows=flows, chains=chains, how=Relaying(), kind=interactive) for seed in seeds]
        row(f"{flows:,}", *rates(scenes))


def chance(seeds: list[int], flows: int) -> None:
    """Print how often pairs of strangers have small p-values."""
    levels = [10.0**-k for k in range(3, 10)]
    counts, compared = np.zeros(len(levels), int), 0
    for seed in seeds:
        matches, tested = matches_at(RELAY, scene(seed, flows=flows, chains=0, how=Relaying()).connections)
        compared += tested
        counts += [sum(match.p_value <= level for match in matches) for level in levels]
    for level, count in zip(levels, counts.tolist(), strict=True):
        row(f"p <= {level:.0e}", f"{compared:,}", count, f"{level * compared:.3g}")


def cost(sizes: list[int], alive: int) -> None:
    """Print the time against the number of connections, with about ``alive`` of them at once, and with all at once."""
    matches_at(RELAY, scene(0, flows=50, chains=2, how=Relaying()).connections)  # compiles the loops
    for flows in sizes:
        at_once = [60.0] if flows <= MOST_AT_ONCE else []
        for spread in sorted({*at_once, max(60.0, 150.0 * flows / alive)}):
            connections = scene(1, flows=flows, chains=flows // 100, how=Relaying(), spread=spread).connections
            begin = time.perf_counter()
            matches, tested = matches_at(RELAY, connections)
            kept = best_of(held(matches, tested))
            seconds = time.perf_counter() - begin
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            row(f"{flows:,}", f"{spread:.0f} s", f"{tested:,}", len(kept), f"{seconds:.1f} s", f"{peak:.0f} MB")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[11, 12, 13])
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=50)
    parser.add_argument("--only", choices=("tables", "crowds", "chance"))
    parser.add_argument("--cost", type=int, nargs="*", metavar="FLOWS")
    parser.add_argument("--alive", type=int, default=1000)
    options = parser.parse_args()
    if options.cost is not None:
        cost(options.cost or [1000, 10_000, 100_000], options.alive)
        return
    if options.only in {None, "tables"}:
        tables(options.seeds, options.flows, options.chains)
    if options.only in {None, "crowds"}:
        crowds(options.seeds[:1])
    if options.only in {None, "chance"}:
        chance(options.seeds, options.flows)


if __name__ == "__main__":
    main()
