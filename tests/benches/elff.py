"""How fast logs of the W3C extended format become batches, beside pandas on the same bytes.

``python tests/benches/elff.py`` prints wall and processor time of both, for a log of a ProxySG and one of IIS.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from forensics.formats import Evidence, bluecoat, iis

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 64_000_000
RUNS = 4

BLUE_COAT = (
    "date time time-taken c-ip sc-status s-action sc-bytes cs-bytes cs-method cs-uri-scheme cs-host cs-uri-port "
    "cs-uri-path cs-uri-query cs-username cs-auth-group s-supplier-name rs(Content-Type) cs(Referer) cs(User-Agent) "
    "sc-filter-result cs-categories x-virus-id s-ip"
)
IIS = (
    "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) cs-host "
    "sc-status sc-substatus sc-win32-status sc-bytes cs-bytes time-taken"
)


def proxy_line(number: int, draw: np.ndarray) -> str:
    """Return a line of a ProxySG."""
    client, host, page = int(draw[0]) % 600, int(draw[1]) % 2500, int(draw[2]) % 100_000
    return (
        f"2015-05-21 {moment(number)} {page % 900} 192.0.{2 + client // 250}.{client % 250} 200 TCP_NC_MISS "
        f"{page * 7 % 90_000} {page % 3000} GET http www{host}.example 80 /static/{page}/item{page % 97}.html "
        f"?session={page * 7919 % 1_000_003} user{client} - www{host}.example text/html - "
        f'"Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.{client % 9}) like Gecko" OBSERVED '
        f'"Technology/Internet" - 198.51.100.7'
    )


def server_line(number: int, draw: np.ndarray) -> str:
    """Return a line of IIS."""
    client, host, page = int(draw[0]) % 6000, int(draw[1]) % 20, int(draw[2]) % 100_000
    return (
        f"2015-05-21 {moment(number)} 198.51.100.7 GET /static/{page}/item{page % 97}.aspx q={page} 443 - "
        f"203.0.{client // 250}.{client % 250} Mozilla/5.0+(Windows+NT+6.1;+WOW64;+rv:11.{client % 9})+like+Gecko "
        f"https://www{host}.example/{page % 50} www{host}.example 200 0 0 {page * 7 % 90_000} {page % 3000} "
        f"{page % 900}"
    )


def moment(number: int) -> str:
    """Return the time of day of a line."""
    second = number // 4 % 86_400
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def log_of(fields: str, line: Callable[[int, np.ndarray], str]) -> bytes:
    """Return a log; the same lines again and again, since making them takes longer than reading them."""
    draws = np.random.default_rng(7).zipf(1.2, (60_000, 3))
    lines = "\n".join(line(number, draw) for number, draw in enumerate(draws)) + "\n"
    header = f"#Version: 1.0\n#Date: 2015-05-21 00:00:00\n#Fields: {fields}\n"
    part = (header + lines).encode()
    return part * max(1, SIZE // len(part))


def told(what: str, data: bytes, read: Callable[[], object]) -> None:
    """Print the best wall and processor time of some runs."""
    wall = used = float("inf")
    for _ in range(RUNS):
        begin, before = time.perf_counter(), time.process_time()
        read()
        wall, used = min(wall, time.perf_counter() - begin), min(used, time.process_time() - before)
    size = len(data) / 1e6
    print(f"{what:24} {size:6.0f} MB  wall {size / wall:6.0f} MB/s  processor {size / used:6.0f} MB/s")


def by_pandas(data: bytes, fields: str) -> None:
    """Read with pandas: numbers, times, and all else as text."""
    names = fields.split()
    frame = pd.read_csv(
        io.BytesIO(data), sep=" ", comment="#", names=names, na_values="-", keep_default_na=False, low_memory=False
    )
    pd.to_datetime(frame["date"] + " " + frame["time"], format="%Y-%m-%d %H:%M:%S", utc=True)


def main() -> None:
    """Print the figures."""
    for module, fields, line in ((bluecoat, BLUE_COAT, proxy_line), (iis, IIS, server_line)):
        data = log_of(fields, line)

        def ours(data: bytes = data, module: object = module) -> None:
            for _ in module.parse(Evidence(io.BytesIO(data), "bench.log", "bench")):  # type: ignore[attr-defined]
                pass

        told(module.NAME, data, ours)
        told("pandas", data, lambda data=data, fields=fields: by_pandas(data, fields))  # type: ignore[misc]


if __name__ == "__main__":
    main()
