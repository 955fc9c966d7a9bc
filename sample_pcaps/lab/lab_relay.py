"""What the attackers left on the hacked sites: it takes uploads and answers beacons.

Run inside a relay's namespace, behind its nginx, with the path of its orders (a JSON file).
"""

from __future__ import annotations

import json
import random
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab_client import Recorder


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        start = time.time()
        left = size = int(self.headers.get("Content-Length", 0))
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        path = urlsplit(self.path).path
        status, longest = self.server.answers[path]
        body = self.server.random.randbytes(self.server.random.randint(8, longest)).hex().encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)
        self.server.recorder.write("received", path=path, bytes=size, start=start, end=time.time())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Stay silent: the record says it."""


class _Server(ThreadingHTTPServer):
    """The program behind the relay's nginx."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.recorder = Recorder(Path(spec["records"]))
        self.random = random.Random(f"relay {spec['seed']}")
        self.answers: dict[str, tuple[int, int]] = dict(spec["answers"])
        super().__init__(("127.0.0.1", 8080), _Handler)


def main() -> None:
    """Serve until told to stop."""
    _Server(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))).serve_forever()


if __name__ == "__main__":
    main()
