"""Rare servers: from the second week on two terminals meet a server day after day that nobody had met before.

Innocent: terminals' own sites from the first days on, every day or every other; sites that somebody read once, or
late on two days; and a late newspaper that everybody reads.
"""

from __future__ import annotations

import random
import sys
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from office import MONDAY, TERMINALS, connection, write_log, write_truth

HERE = Path(__file__).parent
RELAY, NEWSPAPER, OWN, CLUB = "203.0.113.77", "198.18.4.1", "198.18.5.5", "198.18.5.6"
SITES = [f"198.18.3.{n}" for n in range(1, 31)]
DAYS = 19


def at(rng: random.Random, day: datetime) -> datetime:
    """Return a time within office hours."""
    return day + timedelta(hours=9, seconds=rng.uniform(0, 9 * 3600))


def office_day(rng: random.Random, number: int) -> list[dict[str, object]]:
    """What people read on a working day."""
    day, rows = MONDAY + timedelta(days=number), []
    for place, terminal in enumerate(TERMINALS if day.weekday() < 5 else ()):
        sites = rng.sample(SITES, 6) + [OWN] * (place == 3) + [CLUB] * (place == 7 and rng.random() < 0.5)
        sites += [NEWSPAPER] * (number > 8)
        sites += [f"198.18.6.{number}"] * (place == number % 12) + ["198.18.7.7"] * (place == 1 and number in (15, 16))
        rows += [connection(at(rng, day), terminal, site, sent=700, received=9000) for site in sites]
    return rows


def relayed_day(rng: random.Random, number: int) -> list[dict[str, object]]:
    """Two terminals' contacts with the relay on a working day."""
    day = MONDAY + timedelta(days=number)
    return [
        connection(at(rng, day), terminal, RELAY, sent=640, received=900)
        for terminal in TERMINALS[4:6]
        for _ in range(3 if day.weekday() < 5 else 0)
    ]


def main() -> None:
    """Write both cases and the truth."""
    rng = random.Random(11)
    quiet = [row for number in range(DAYS) for row in office_day(rng, number)]
    relayed = [row for number in range(8, DAYS) for row in relayed_day(rng, number)]
    write_log(HERE / "quiet", "conn", quiet)
    write_log(HERE / "loud", "conn", [*quiet, *relayed])
    write_truth(HERE, [{"src": None, "dst": RELAY, "value": 2.0}])


if __name__ == "__main__":
    main()
