"""Producer ratio: a terminal that has read a site for days begins to send it 3 MB an hour.

Innocent: a nightly backup, which has always been sent; mail with attachments, which goes both ways; and a photograph of
2 MB that somebody sends to a site that he reads a lot of, within an hour of reading.
"""

from __future__ import annotations

import random
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from office import MONDAY, TERMINALS, connection, write_log, write_truth

HERE = Path(__file__).parent
RELAY, MAIL, BACKUP, SITES = "203.0.113.77", "198.18.4.4", "198.18.9.9", [f"198.18.3.{n}" for n in range(1, 11)]


def office_day(rng: random.Random, day: int) -> list[dict[str, object]]:
    """Pages, mail and backup of a working day; everybody reads the site that will be the relay."""
    morning, rows = MONDAY + timedelta(days=day, hours=9), []
    for terminal in TERMINALS:
        for _ in range(20):
            time, site = morning + timedelta(seconds=rng.uniform(0, 9 * 3600)), rng.choice([*SITES, RELAY])
            sent, received = int(rng.lognormvariate(6.8, 0.3)), int(rng.lognormvariate(9.5, 0.8))
            rows.append(connection(time, terminal, site, sent=sent, received=received))
        for _ in range(4):
            time = morning + timedelta(seconds=rng.uniform(0, 9 * 3600))
            sent, received = int(rng.lognormvariate(12, 2)), int(rng.lognormvariate(12, 2))
            rows.append(connection(time, terminal, MAIL, sent=sent, received=received))
    evening = morning + timedelta(hours=13, seconds=rng.uniform(0, 900))
    rows.append(connection(evening, TERMINALS[0], BACKUP, sent=rng.randint(50, 90) * 1_000_000, received=90_000))
    return rows


def main() -> None:
    """Write both cases and the truth."""
    rng = random.Random(8)
    quiet = [row for day in range(12) if day % 7 < 5 for row in office_day(rng, day)]
    photo = MONDAY + timedelta(days=8, hours=11)
    quiet += [
        connection(photo, TERMINALS[2], SITES[3], sent=2_000_000, received=4000),
        connection(photo + timedelta(minutes=9), TERMINALS[2], SITES[3], sent=9000, received=2_600_000),
    ]
    start = MONDAY + timedelta(days=10, hours=10)
    sent = [
        connection(start + timedelta(minutes=15 * n), TERMINALS[7], RELAY, sent=750_000, received=1200)
        for n in range(12)
    ]
    write_log(HERE / "quiet", "conn", quiet)
    write_log(HERE / "loud", "conn", [*quiet, *sent])
    write_truth(HERE, [{"src": TERMINALS[7], "dst": RELAY, "start": start, "end": start + timedelta(hours=3)}])


if __name__ == "__main__":
    main()
