"""Proxy bypass: two terminals that use the proxy go directly to a server as well; one of them gets no answer.

Innocent: servers of the office itself; an update server that the proxy rules exclude for all; clocks; a site that one
of the proxy's own users asks for through it while the sensor sees the connection (a proxy in the path); and a visitor's
notebook that uses no proxy at all.
"""

from __future__ import annotations

import gzip
import random
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from office import MONDAY, TERMINALS, connection, write_log, write_truth

HERE = Path(__file__).parent
PROXY, INTRANET, VISITOR = "10.20.0.8", "10.20.0.20", "10.20.9.9"
RELAY, UPDATES, CLOCK, SEEN = "203.0.113.77", "198.18.7.7", "198.18.8.8", "198.18.3.1"
SITES = [f"198.18.3.{n}" for n in range(1, 31)]
USERS = TERMINALS[:10]


def proxy_lines(rng: random.Random) -> list[tuple[float, str]]:
    """Lines of Squid's log, with their times: what people read."""
    lines = []
    for day in range(3):
        for terminal in USERS:
            for _ in range(20):
                time = MONDAY + timedelta(days=day, hours=9, seconds=rng.uniform(0, 9 * 3600))
                site = rng.choice(SITES[1:])
                lines.append(
                    (time.timestamp(), f"{terminal} TCP_TUNNEL/200 {rng.randint(3000, 90_000)} CONNECT {site}:443")
                )
    return lines


def sensor_rows(rng: random.Random) -> list[dict[str, object]]:
    """Connections that a sensor sees in the office."""
    rows: list[dict[str, object]] = []
    for day in range(3):
        morning = MONDAY + timedelta(days=day, hours=9)
        for place, terminal in enumerate(USERS):
            time = morning + timedelta(seconds=rng.uniform(0, 9 * 3600))
            rows.append(connection(time, terminal, PROXY, sent=900, received=20_000, port=3128))
            rows.append(connection(time, terminal, INTRANET, sent=900, received=20_000))
            rows.append(connection(time, terminal, CLOCK, sent=48, received=48, port=123) | {"proto": "udp"})
            rows += [connection(time, terminal, UPDATES, sent=900, received=20_000)] * (place < 5)
        rows.append(connection(morning, VISITOR, SITES[9], sent=900, received=20_000))
    return rows


def write_proxy(folder: Path, lines: list[tuple[float, str]]) -> None:
    """Write Squid's log."""
    text = "".join(
        f"{time:.3f}    900 {rest} - HIER_DIRECT/{rest.rpartition(' ')[2].removesuffix(':443')} -\n"
        for time, rest in sorted(lines)
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "access.log.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> None:
    """Write both cases and the truth."""
    rng = random.Random(31)
    lines, rows = proxy_lines(rng), sensor_rows(rng)
    noon = MONDAY + timedelta(days=1, hours=12)
    lines.append((noon.timestamp() + 1, f"{USERS[3]} TCP_TUNNEL/200 9000 CONNECT {SEEN}:443"))
    rows.append(connection(noon, USERS[3], SEEN, sent=900, received=9000))
    past = [
        connection(noon + timedelta(minutes=9 * n), USERS[6], RELAY, sent=700, received=900, port=80) for n in range(9)
    ]
    tried = connection(noon, USERS[2], RELAY, sent=0, received=0, port=8080) | {
        "conn_state": "S0", "service": "-", "resp_pkts": 0, "resp_ip_bytes": 0,
    }  # fmt: skip
    for kind, more in (("quiet", []), ("loud", [*past, tried])):
        write_proxy(HERE / kind, lines)
        write_log(HERE / kind, "conn", [*rows, *more])
    write_truth(
        HERE,
        [{"src": USERS[6], "dst": RELAY, "value": 9.0, "start": noon}, {"src": USERS[2], "dst": RELAY, "value": 1.0}],
    )


if __name__ == "__main__":
    main()
