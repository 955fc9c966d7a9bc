"""What a clean terminal does all day: people read and fill in forms, programs ask for updates and mail.

Run inside a terminal's namespace with the path of its orders (a JSON file).
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from lab_client import ProxyClient, Recorder, sleep_until

_FORM_MEAN_S = 75.0


def _browse(spec: dict[str, Any], client: ProxyClient) -> None:
    """Read pages: what a person chooses, with pauses that are mostly short and sometimes long."""
    rng = random.Random(f"browse {spec['seed']} {client.src}")
    sites = spec["sites"]
    names, weights = list(sites), [sites[name]["weight"] for name in sites]
    while time.time() < spec["until"]:
        name = rng.choices(names, weights)[0]
        scheme = "https" if sites[name]["tls"] else "http"
        for page, assets in rng.sample(sites[name]["pages"], rng.choice((1, 1, 2, 3))):
            if time.time() > spec["until"]:
                return
            client.fetch([f"{scheme}://{name}{path}" for path in (page, *assets)], "browse")
            pause = min(rng.lognormvariate(2.6, 0.9), 80.0)
            sleep_until(min(time.time() + pause, spec["until"]))


def _send_forms(spec: dict[str, Any], client: ProxyClient) -> None:
    """Send what people send: forms, comments, now and then a picture."""
    rng = random.Random(f"forms {spec['seed']} {client.src}")
    while True:
        sleep_until(min(time.time() + rng.expovariate(1 / _FORM_MEAN_S), spec["until"]))
        if time.time() >= spec["until"]:
            return
        url = rng.choice(("https://docs.example/form", "http://weather.example/form", "https://mail.example/form"))
        size = min(int(rng.lognormvariate(7.5, 1.3)), 60_000)
        client.fetch([url], "form", "POST", rng.randbytes(size // 2).hex().encode())


def _poll(spec: dict[str, Any], client: ProxyClient, number: int) -> None:
    """Ask one service again and again, as its client program does."""
    name, tls, path, period, jitter = spec["polling"][number]
    rng = random.Random(f"poll {spec['seed']} {client.src} {number}")
    url = f"{'https' if tls else 'http'}://{name}{path}"
    due = spec["t0"] + rng.uniform(0, period)
    while due < spec["until"]:
        sleep_until(due)
        start = time.time()
        client.fetch([url], "poll")
        client.recorder.write(
            "poll", src=client.src, name=name, period_s=period, jitter=jitter, start=start, end=time.time()
        )
        due += period * rng.uniform(1 - jitter, 1 + jitter)


def main() -> None:
    """Start all habits of the terminal and end with the last of them."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    client = ProxyClient(spec, Recorder(Path(spec["records"])))
    habits = [
        threading.Thread(target=_browse, args=(spec, client)),
        threading.Thread(target=_send_forms, args=(spec, client)),
        *(threading.Thread(target=_poll, args=(spec, client, number)) for number in range(len(spec["polling"]))),
    ]
    sleep_until(spec["t0"])
    for habit in habits:
        habit.start()
    for habit in habits:
        habit.join()


if __name__ == "__main__":
    main()
