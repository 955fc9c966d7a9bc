"""Long connections: a terminal keeps one open for ten hours with a server that nobody else knows.

Innocent: the chat server, with which everybody keeps a connection all day; films; and a video call of seventy
minutes.
"""

from __future__ import annotations

import random
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from office import MONDAY, TERMINALS, connection, write_log, write_truth

HERE = Path(__file__).parent
RELAY, CHAT, CALLS, SITES = "203.0.113.77", "198.18.4.4", "198.18.5.5", [f"198.18.3.{n}" for n in range(1, 31)]


def office_day(rng: random.Random, day: int) -> list[dict[str, object]]:
    """Pages, films, and the chat on a working day."""
    morning, rows = MONDAY + timedelta(days=day, hours=9), []
    for terminal in TERMINALS:
        rows.append(
            connection(morning, terminal, CHAT, sent=90_000, received=200_000, seconds=rng.uniform(3, 9) * 3600)
        )
        for _ in range(40):
            time = morning + timedelta(seconds=rng.uniform(0, 9 * 3600))
            seconds = min(rng.lognormvariate(3.2, 1.5), 4000)
            rows.append(connection(time, terminal, rng.choice(SITES), sent=900, received=30_000, seconds=seconds))
    return rows


def main() -> None:
    """Write both cases and the truth."""
    rng = random.Random(3)
    quiet = [row for day in range(5) for row in office_day(rng, day)]
    call = MONDAY + timedelta(days=2, hours=13)
    quiet.append(connection(call, TERMINALS[2], CALLS, sent=9_000_000, received=9_000_000, seconds=4200))
    tunnel = MONDAY + timedelta(days=3, hours=8)
    loud = [*quiet, connection(tunnel, TERMINALS[6], RELAY, sent=60_000, received=50_000, seconds=36_000)]
    write_log(HERE / "quiet", "conn", quiet)
    write_log(HERE / "loud", "conn", loud)
    write_truth(HERE, [{"src": TERMINALS[6], "dst": RELAY, "start": tunnel, "value": 36_000.0}])


if __name__ == "__main__":
    main()
