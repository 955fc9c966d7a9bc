"""Volume spikes: a terminal sends 60 MB in an hour to a server it met an hour before; nightly backups are no spikes."""

from __future__ import annotations

import random
import sys
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from office import MONDAY, TERMINALS, connection, write_log, write_truth

HERE = Path(__file__).parent
RELAY, BACKUP, SITES = "203.0.113.77", "198.18.9.9", [f"198.18.3.{n}" for n in range(1, 31)]
DAYS = 19
BURST = MONDAY + timedelta(days=15, hours=14)


def office_day(rng: random.Random, day: datetime) -> list[dict[str, object]]:
    """People's pages and small uploads on a working day, and a backup of two terminals every night."""
    rows = []
    if day.weekday() < 5:
        for terminal in TERMINALS:
            for _ in range(rng.randint(8, 16)):
                time = day + timedelta(hours=9, seconds=rng.uniform(0, 9 * 3600))
                sent = int(rng.lognormvariate(7.2, 1.0))
                rows.append(connection(time, terminal, rng.choice(SITES), sent=sent, received=rng.randrange(60_000)))
    for terminal in TERMINALS[:2]:
        time = day + timedelta(hours=21, seconds=rng.uniform(0, 600))
        sent = int(rng.lognormvariate(17.5, 0.3))
        rows.append(connection(time, terminal, BACKUP, sent=sent, received=4000, seconds=120))
    return rows


def main() -> None:
    """Write both cases and the truth."""
    rng = random.Random(7)
    quiet = [row for n in range(DAYS) for row in office_day(rng, MONDAY + timedelta(days=n))]
    burst = [connection(BURST - timedelta(hours=1), TERMINALS[6], RELAY, sent=900, received=5000)]
    burst += [
        connection(BURST + timedelta(minutes=6 * n), TERMINALS[6], RELAY, sent=10_000_000, received=900, seconds=60)
        for n in range(6)
    ]
    write_log(HERE / "quiet", "conn", quiet)
    write_log(HERE / "loud", "conn", [*quiet, *burst])
    write_truth(HERE, [{"src": TERMINALS[6], "dst": RELAY, "start": BURST, "end": BURST + timedelta(minutes=31)}])


if __name__ == "__main__":
    main()
