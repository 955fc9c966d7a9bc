"""Traffic the servers make themselves: update checks of the hacked sites, and a search engine reading them.

None of it belongs to a chain. Run inside a server's namespace with the path of its orders (a JSON file).
"""

from __future__ import annotations

import http.client
import json
import random
import ssl
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab_client import Recorder, sleep_until


def _get(url: str, context: ssl.SSLContext) -> int:
    parts = urlsplit(url)
    connection: http.client.HTTPConnection = http.client.HTTPConnection(parts.netloc, timeout=30)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.netloc, timeout=30, context=context)
    connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
    size = len(connection.getresponse().read())
    connection.close()
    return size


def main() -> None:
    """Visit one of the given URLs again and again."""
    spec: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rng = random.Random(f"visitor {spec['seed']} {spec['src']}")
    recorder = Recorder(Path(spec["records"]))
    context = ssl.create_default_context(cafile=spec["ca"])
    sleep_until(spec["t0"] + rng.uniform(0, spec["mean_s"]))
    while time.time() < spec["until"]:
        start, url = time.time(), rng.choice(spec["urls"])
        size = _get(url, context)
        recorder.write("visit", src=spec["src"], url=url, start=start, end=time.time(), bytes=size)
        sleep_until(min(time.time() + spec["mean_s"] * rng.lognormvariate(0, 0.6), spec["until"]))


if __name__ == "__main__":
    main()
