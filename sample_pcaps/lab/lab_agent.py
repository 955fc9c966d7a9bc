"""A stand-in for what runs on an infected terminal: it makes traffic, runs no command and reads no file.

Run inside a terminal's namespace with the path of its orders (a JSON file).
"""

from __future__ import annotations

import base64
import json
import random
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_client import ProxyClient, Recorder, sleep_until

if TYPE_CHECKING:
    from lab_client import TunnelSocket

_PART_BYTES = 2_000_000
# A real archive is all random. This one repeats a block, so that the captures compress well.
_BLOCK_BYTES = 4096


def _beacon(spec: dict[str, Any], client: ProxyClient, number: int) -> None:
    """Ask a relay for orders: small, regular, with jitter."""
    beacon = spec["plan"]["beacons"][number]
    name, path = spec["targets"][beacon["relay"]]
    rng = random.Random(f"beacon {spec['seed']} {client.src} {number}")
    due = spec["t0"] + rng.uniform(5, beacon["period_s"])
    while due < spec["until"]:
        sleep_until(due)
        start = time.time()
        token = base64.urlsafe_b64encode(rng.randbytes(rng.randint(12, 60))).decode()
        if beacon["method"] == "GET":
            client.fetch([f"http://{name}{path}?s={token}"], "beacon")
        else:
            client.fetch([f"http://{name}{path}"], "beacon", "POST", f"s={token}".encode())
        period, jitter = beacon["period_s"], beacon["jitter"]
        client.recorder.write(
            "beacon", src=client.src, name=name, period_s=period, jitter=jitter, start=start, end=time.time()
        )
        due += period * rng.uniform(1 - jitter, 1 + jitter)


def _upload(spec: dict[str, Any], client: ProxyClient) -> None:
    """Send an archive in parts, at the planned moments."""
    name, path = spec["targets"]["relay3"]
    rng = random.Random(f"upload {spec['seed']} {client.src}")
    for when, size in spec["plan"]["uploads"]:
        sleep_until(spec["t0"] + when)
        start = time.time()
        block = rng.randbytes(_BLOCK_BYTES)
        archive = (b"Rar!\x1a\x07\x01\x00" + block * (size // _BLOCK_BYTES + 1))[:size]
        for number, offset in enumerate(range(0, size, _PART_BYTES), 1):
            part = archive[offset : offset + _PART_BYTES]
            client.fetch([f"http://{name}{path}?part={number}"], "upload", "POST", part)
        client.recorder.write("upload", src=client.src, name=name, start=start, end=time.time(), bytes=size)


def _session(spec: dict[str, Any], client: ProxyClient) -> None:
    """Open a way for the operator and answer until the operator leaves."""
    name, _ = spec["targets"]["relay1"]
    rng = random.Random(f"session {spec['seed']} {client.src}")
    for number, (when, length) in enumerate(spec["plan"]["sessions"]):
        sleep_until(spec["t0"] + when)
        start = time.time()
        tunnel = client.open_tunnel(name)
        identity = f"{client.src} {tunnel.port}"
        _send(tunnel, json.dumps({"id": identity, "topic": f"{client.src} {number}", "length": length}).encode())
        while message := _receive(tunnel):
            if message != b"\r":
                _send(tunnel, message)  # the echo of a keystroke
                continue
            time.sleep(rng.uniform(0.05, 0.6))
            _send(tunnel, rng.randbytes(min(int(rng.lognormvariate(9.0, 1.0)), 60_000)))
        client.close_tunnel(tunnel, "session", start, inner=0)
        client.recorder.write(
            "session", id=identity, src=client.src, src_port=tunnel.port, start=start, end=time.time(),
            bytes_up=tunnel.bytes_up, bytes_down=tunnel.bytes_down,
        )  # fmt: skip


def _send(tunnel: TunnelSocket, message: bytes) -> None:
    tunnel.sendall(struct.pack(">I", len(message)) + message)


def _receive(tunnel: TunnelSocket) -> bytes:
    """Return the next message; empty when the other side has closed."""
    head = _read(tunnel, 4)
    return _read(tunnel, struct.unpack(">I", head)[0]) if head else b""


def _read(tunnel: TunnelSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = tunnel.recv(size - len(data))
        if not piece:
            return b""
        data += piece
    return data


def main() -> None:
    """Follow the plan and end with its last step."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    client = ProxyClient(spec, Recorder(Path(spec["records"])))
    beacons = range(len(spec["plan"]["beacons"]))
    tasks = [
        *(threading.Thread(target=_beacon, args=(spec, client, number)) for number in beacons),
        threading.Thread(target=_upload, args=(spec, client)),
        threading.Thread(target=_session, args=(spec, client)),
    ]
    sleep_until(spec["t0"])
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()


if __name__ == "__main__":
    main()
