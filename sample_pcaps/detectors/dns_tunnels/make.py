"""DNS tunnels: a terminal sends 9 kB in the names that it looks up under one domain.

Innocent, and alike: the office's virus scanner, which asks for hashes; another scanner on one terminal, answered from
127.0.0.0/8; a mail server that asks a blocklist for addresses; a content network with a name for each customer and many
for its own; and reverse look-ups.
"""

from __future__ import annotations

import random
import sys
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from office import MONDAY, TERMINALS, write_log, write_truth

HERE = Path(__file__).parent
RESOLVER, MAIL, TUNNEL = "10.20.0.53", "10.20.0.25", "status-report.example"


def lookup(time: datetime, client: str, name: str, answer: str | None, kind: str = "A") -> dict[str, object]:
    """Return a row of dns.log."""
    row: dict[str, object] = {
        "ts": time, "id.orig_h": client, "id.resp_h": RESOLVER, "id.resp_p": 53, "proto": "udp", "query": name,
        "qtype_name": kind, "rcode_name": "NOERROR",
    }  # fmt: skip
    return row | ({"answers": answer} if answer else {})


def hexadecimal(rng: random.Random, count: int) -> str:
    """Return random digits as a hash or a tunnel writes them."""
    return f"{rng.getrandbits(4 * count):0{count}x}"


def innocent(rng: random.Random) -> list[dict[str, object]]:
    """What a day's look-ups are."""
    rows, morning = [], MONDAY + timedelta(hours=9)

    def at() -> datetime:
        return morning + timedelta(seconds=rng.uniform(0, 9 * 3600))

    for terminal in TERMINALS:
        rows += [lookup(at(), terminal, f"www.site{rng.randint(1, 40)}.example", "198.18.3.1") for _ in range(60)]
        rows += [lookup(at(), terminal, f"{hexadecimal(rng, 40)}.avscan.example", None, "TXT") for _ in range(120)]
        rows += [lookup(at(), terminal, f"d{hexadecimal(rng, 13)}.cloudfront.net", "198.18.4.1") for _ in range(130)]
        rows += [lookup(at(), terminal, f"img{n}.shop.co.jp", "198.18.4.2") for n in range(150)]
    rows += [
        lookup(at(), TERMINALS[4], f"{hexadecimal(rng, 32)}.reputation.example", f"127.0.0.{n % 9}") for n in range(300)
    ]
    for _ in range(400):
        reverse = ".".join(str(rng.randint(1, 254)) for _ in range(4))
        rows.append(lookup(at(), MAIL, f"{reverse}.blocklist.example", None))
        rows.append(lookup(at(), MAIL, f"{reverse}.in-addr.arpa", None, "PTR"))
    return rows


def main() -> None:
    """Write both cases and the truth."""
    rng = random.Random(53)
    quiet = innocent(rng)
    start = MONDAY + timedelta(hours=11)
    tunnel = [
        lookup(
            start + timedelta(seconds=4 * n),
            TERMINALS[9],
            f"{hexadecimal(rng, 60)}.{hexadecimal(rng, 60)}.{TUNNEL}",
            None,
            "TXT",
        )
        for n in range(150)
    ]
    write_log(HERE / "quiet", "dns", quiet)
    write_log(HERE / "loud", "dns", [*quiet, *tunnel])
    write_truth(HERE, [{"src": TERMINALS[9], "dst": TUNNEL, "value": 150.0, "start": start}])


if __name__ == "__main__":
    main()
