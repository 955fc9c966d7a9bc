"""Off hours: a terminal meets a relay every ten minutes of a Saturday on which nobody is there.

Innocent: nightly backups, a mail program that polls day and night, updates that all fetch in one night, and people who
now and then stay till ten, or look in on a Saturday.
"""

from __future__ import annotations

import random
import sys
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from office import MONDAY, TERMINALS, connection, write_log, write_truth

HERE = Path(__file__).parent
RELAY, BACKUP, MAIL, UPDATES = "203.0.113.77", "198.18.9.9", "198.18.4.4", "198.18.7.7"
SITES = [f"198.18.3.{n}" for n in range(1, 31)]


def pages(rng: random.Random, terminal: str, start: datetime, hours: float, count: int) -> list[dict[str, object]]:
    """What somebody reads in some hours."""
    times = [start + timedelta(seconds=rng.uniform(0, hours * 3600)) for _ in range(count)]
    return [connection(time, terminal, rng.choice(SITES), sent=700, received=9000) for time in times]


def day_and_night(rng: random.Random, number: int) -> list[dict[str, object]]:
    """One day of the office."""
    day, rows = MONDAY + timedelta(days=number), []
    for place, terminal in enumerate(TERMINALS):
        if day.weekday() < 5:
            rows += pages(rng, terminal, day + timedelta(hours=8), 11, 25)
            rows += pages(rng, terminal, day + timedelta(hours=21), 1, 4) if rng.random() < 0.08 else []
        elif rng.random() < 0.2:
            rows += pages(rng, terminal, day + timedelta(hours=rng.uniform(9, 18)), 0.7, 6)
        if number == 15:
            patched = day + timedelta(hours=26, seconds=rng.uniform(0, 5000))
            rows += [
                connection(patched + timedelta(minutes=20 * n), terminal, UPDATES, sent=900, received=9_000_000)
                for n in range(6)
            ]
        if place < 3:
            backup = day + timedelta(hours=22, minutes=10 * place)
            rows += [
                connection(backup + timedelta(minutes=15 * n), terminal, BACKUP, sent=9_000_000, received=900)
                for n in range(6)
            ]
        if place == 5:
            rows += [
                connection(day + timedelta(minutes=20 * n), terminal, MAIL, sent=300, received=300) for n in range(72)
            ]
    return rows


def main() -> None:
    """Write both cases and the truth."""
    rng = random.Random(21)
    quiet = [row for number in range(21) for row in day_and_night(rng, number)]
    saturday = MONDAY + timedelta(days=19, hours=9)
    beats = [
        connection(saturday + timedelta(minutes=10 * n), TERMINALS[8], RELAY, sent=600, received=900) for n in range(40)
    ]
    write_log(HERE / "quiet", "conn", quiet)
    write_log(HERE / "loud", "conn", [*quiet, *beats])
    write_truth(HERE, [{"src": TERMINALS[8], "dst": RELAY, "start": saturday}])


if __name__ == "__main__":
    main()
