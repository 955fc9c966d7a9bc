"""Indicators: of many servers one address, one network, one name and one page are on the analyst's list."""

from __future__ import annotations

import random
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from office import MONDAY, TERMINALS, connection, write_log, write_truth

HERE = Path(__file__).parent
SITES = [f"198.18.3.{n}" for n in range(1, 31)]
LISTED, IN_NETWORK, NAMED = "203.0.113.77", "192.0.2.201", "198.51.100.7"
LIST = """type,indicator,comment
ip,203.0.113[.]77,relay seen in May
network,192.0.2.192/26,rented by the attackers
domain,kaiun[.]example,hacked
url,hxxp://www.bbs.example/images/album.php,
md5,0123456789abcdef0123456789abcdef,a dropper
"""


def request(time: object, src: str, dst: str, host: str, uri: str) -> dict[str, object]:
    """Return a row of http.log."""
    return {
        "ts": time, "id.orig_h": src, "id.resp_h": dst, "id.resp_p": 80, "method": "GET", "host": host, "uri": uri,
        "request_body_len": 0, "response_body_len": 900, "status_code": 200,
    }  # fmt: skip


def look_up(time: object, src: str, name: str, answer: str) -> dict[str, object]:
    """Return a row of dns.log."""
    return {
        "ts": time, "id.orig_h": src, "id.resp_h": "10.20.0.53", "id.resp_p": 53, "proto": "udp", "query": name,
        "qtype_name": "A", "rcode_name": "NOERROR", "answers": answer,
    }  # fmt: skip


def main() -> None:
    """Write both cases, the list and the truth."""
    rng = random.Random(9)
    times = [MONDAY + timedelta(hours=9, seconds=rng.uniform(0, 9 * 3600)) for _ in range(300)]
    quiet = [connection(t, rng.choice(TERMINALS), rng.choice(SITES), sent=700, received=9000) for t in times]
    # neighbours of what is listed: another host, a name that only ends alike, another page of the same site
    near = [look_up(times[0], TERMINALS[0], "my-kaiun.example", "198.51.100.8")]
    pages = [request(times[1], TERMINALS[1], "198.18.3.5", "www.bbs.example", "/images/album2.php")]
    quiet.append(connection(times[2], TERMINALS[2], "203.0.113.78", sent=700, received=900))
    met = [connection(times[3], TERMINALS[3], LISTED, sent=700, received=900)]
    met += [connection(t, TERMINALS[4], IN_NETWORK, sent=700, received=900) for t in times[4:6]]
    asked = [look_up(times[6], TERMINALS[5], "www.kaiun.example", NAMED)]
    page = [request(times[7], TERMINALS[6], "198.18.3.5", "www.bbs.example", "/images/album.php")]
    for folder, more, names, read in (("quiet", [], [], []), ("loud", met, asked, page)):
        write_log(HERE / folder, "conn", [*quiet, *more])
        write_log(HERE / folder, "dns", [*near, *names])
        write_log(HERE / folder, "http", [*pages, *read])
    (HERE / "list.csv").write_text(LIST, "utf-8")
    (HERE / "options.json").write_text('{"lists": ["list.csv"]}\n', "utf-8")
    write_truth(
        HERE,
        [
            {"src": TERMINALS[3], "dst": LISTED, "value": 1.0},
            {"src": TERMINALS[4], "dst": IN_NETWORK, "value": 2.0},
            {"src": TERMINALS[5], "dst": NAMED, "name": "www.kaiun.example"},
            {"src": TERMINALS[6], "dst": "198.18.3.5", "name": "www.bbs.example"},
        ],
    )


if __name__ == "__main__":
    main()
