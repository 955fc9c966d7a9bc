"""How right clock offsets are: seeded campaigns whose sensors have wrong clocks.

    python tests/benches/clocks.py --seeds 501 502 503

The relays' captures are off by seconds to minutes, the last one in every second campaign by nine hours besides. The
clock of the proxy's log is given an offset, a drift and, in every second campaign, a setting, drawn by the seed. The
error of a record is its corrected time minus what the reference clock showed then; of each file the best 99 of
100 records count, since when a clock was set is known to the next event only. Prints the worst file of each kind.
"""

from __future__ import annotations

import argparse
import gzip
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

import forensics as fx
from forensics.clocks import find_clocks
from forensics.synthetic import Campaign, Truth, write_campaign

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forensics.case import Case

    Floats: TypeAlias = NDArray[np.float64]

LOG = "access.log.gz"
PLANTED = ("offset s", "drift ppm", "set by s")
COUNTED = ("reference", "sources", "compared")
KINDS = ("relays s", "proxy s", "others s")
TIMES = """
SELECT DISTINCT source, unix_micros(time) AS t
FROM (SELECT source, start AS time FROM flows UNION ALL SELECT source, time FROM names)
ORDER BY source NULLS LAST, t NULLS LAST
"""


@dataclass(frozen=True)
class Wrong:
    """A wrong clock: ahead by so much at first [s], gaining [s/s], and set once [s]."""

    offset: float = 0.0
    drift: float = 0.0
    set_by: float = 0.0
    begin: float = 0.0
    set_at: float = np.inf

    def ahead(self, time: Floats) -> Floats:
        """Return by how much it is ahead at true times. [s]"""
        return self.offset + self.drift * (time - self.begin) + np.where(time >= self.set_at, self.set_by, 0.0)

    def true(self, shown: Floats) -> Floats:
        """Return the true times at which it showed times."""
        time = shown - self.offset
        for _ in range(9):  # each step brings it nearer by the drift, a few in a hundred thousand
            time = shown - self.ahead(time)
        return time


def put_wrong(log: Path, seed: int) -> Wrong:
    """Give the proxy's log a wrong clock, and return it."""
    rng = np.random.default_rng([seed, 6])
    lines = gzip.decompress(log.read_bytes()).decode().splitlines()
    times = np.array([float(line[:14]) for line in lines])
    # It is set within the days in which the sensor ran, and forward: a time that it shows is then that of one moment.
    offset, drift, set_by = rng.uniform(-300, 300), rng.uniform(-60e-6, 60e-6), rng.uniform(1, 100) * (seed % 2)
    wrong = Wrong(offset, drift, set_by, times.min(), np.quantile(times, rng.uniform(0.7, 0.95)) if set_by else np.inf)
    shown = times + wrong.ahead(times)
    text = "".join(f"{time:.3f}{line[14:]}\n" for time, line in zip(shown.tolist(), lines, strict=True))
    log.write_bytes(gzip.compress(text.encode(), 1, mtime=0))
    return wrong


def run(seed: int) -> dict[str, object]:
    """Make a campaign and return what was planted and how wrong the corrected times are."""
    with TemporaryDirectory() as folder:
        options = Campaign(seed=seed, days=14, terminals=30, infected=15, clock_error_hours=9 * (seed % 2))
        truth = write_campaign(Path(folder), options, compression=1)
        wrong = put_wrong(Path(folder, "proxy", LOG), seed)
        files = [str(Path(folder, one["file"])) for one in (*truth["logs"], *truth["captures"])]
        case = fx.read(*files, timezone=truth["timezone"], progress=False)
        planted = dict(zip(PLANTED, (wrong.offset, wrong.drift * 1e6, wrong.set_by), strict=True))
        return planted | errors(case, planted_clocks(truth) | {LOG: wrong})


def planted_clocks(truth: Truth) -> dict[str, Wrong]:
    """Return the wrong clocks of the captures."""
    return {Path(one["file"]).name: Wrong(one["clock_offset_s"]) for one in truth["captures"]}


def errors(case: Case, planted: dict[str, Wrong]) -> dict[str, object]:
    """Return the greatest errors by kind of source. [s]"""
    clocks, times = find_clocks(case), case.sql(TIMES).to_pandas()
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for source, rows in times.groupby("source"):
        name, shown = str(source), rows["t"].to_numpy()
        reference = clocks.references.get(name, name)
        if reference != name:
            true = planted.get(name, Wrong()).true(shown / 1e6)
            should = true + planted.get(reference, Wrong()).ahead(true)
            off = np.abs(clocks.to_reference(name, shown) / 1e6 - should)
            kind = KINDS[0] if name.startswith("relay") else KINDS[1] if LOG in {name, reference} else KINDS[2]
            found[kind].append(float(np.quantile(off, 0.99)))
    counted = (max(clocks.references.values(), default="none"), times["source"].nunique(), len(clocks.references))
    return dict(zip(COUNTED, counted, strict=True)) | {kind: max(group, default=0.0) for kind, group in found.items()}


def main() -> None:
    """Run the campaigns that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[501])
    columns = (*PLANTED, *COUNTED, *KINDS)
    print("campaign", *columns, sep="\t")
    for seed in parser.parse_args().seeds:
        row = run(seed)
        shown = (f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in columns)
        print(seed, *shown, sep="\t", flush=True)


if __name__ == "__main__":
    main()
