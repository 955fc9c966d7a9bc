"""Beacons: one terminal meets a server about every ten minutes of each working day; another reads the same site."""

from __future__ import annotations

import random
import sys
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from office import MONDAY, TERMINALS, connection, write_log, write_truth

HERE = Path(__file__).parent
RELAY, SITES = "203.0.113.77", [f"198.18.3.{n}" for n in range(1, 31)]


def browsing(rng: random.Random, day: datetime) -> list[dict[str, object]]:
    """What people do: pages now and then, a few connections each, on sites they like and on others."""
    rows = []
    for terminal in TERMINALS:
        for _ in range(rng.randint(20, 40)):
            time = day + timedelta(hours=9, seconds=rng.uniform(0, 9 * 3600))
            site = rng.choice(SITES[: rng.choice((3, 10, 30))])
            rows += [
                connection(time + timedelta(seconds=rng.expovariate(0.2)), terminal, site, sent=700, received=9000)
                for _ in range(rng.randint(1, 5))
            ]
    return rows


def beats(rng: random.Random, day: datetime) -> list[dict[str, object]]:
    """One terminal's contacts with the relay: every 600 s, give or take a tenth, one of twenty missing."""
    rows, time = [], day + timedelta(hours=9, seconds=rng.uniform(0, 900))
    while time < day + timedelta(hours=18):
        if rng.random() > 0.05:
            rows.append(connection(time, TERMINALS[4], RELAY, sent=620 + rng.randrange(30), received=400))
        time += timedelta(seconds=rng.gauss(600, 60))
    return rows


def main() -> None:
    """Write both cases and the truth."""
    rng = random.Random(4)
    days = [MONDAY + timedelta(days=n) for n in range(3)]
    quiet = [row for day in days for row in browsing(rng, day)]
    write_log(HERE / "quiet", "conn", quiet)
    write_log(HERE / "loud", "conn", [*quiet, *(row for day in days for row in beats(rng, day))])
    write_truth(HERE, [{"src": TERMINALS[4], "dst": RELAY}])


if __name__ == "__main__":
    main()
