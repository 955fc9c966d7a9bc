"""The operator's program: it waits behind the chain of relays and types at whoever calls.

Run inside the operator's namespace with the path of its orders (a JSON file).
"""

from __future__ import annotations

import json
import random
import socketserver
import ssl
import struct
import sys
import time
from pathlib import Path
from typing import Any

from lab_client import Recorder

_COMMANDS = (
    "whoami", "ipconfig /all", "net view", "net user /domain", "dir \\\\fs01\\share", "tasklist /v",
    "type report.txt", 'net group "domain admins" /domain', "dir c:\\users", "systeminfo", "netstat -ano",
)  # fmt: skip


class _Session(socketserver.BaseRequestHandler):
    """One caller."""

    server: _Server

    def handle(self) -> None:
        start = time.time()
        self.request.do_handshake()
        hello = json.loads(self._receive())
        rng = random.Random(f"operator {self.server.seed} {hello['topic']}")
        received = commands = keys = 0
        while time.time() < start + hello["length"]:
            for key in rng.choice(_COMMANDS):
                time.sleep(min(rng.lognormvariate(-1.8, 0.5), 1.5))
                self._send(key.encode())
                received += len(self._receive())
                keys += 1
            self._send(b"\r")
            received += len(self._receive())
            commands += 1
            time.sleep(min(rng.lognormvariate(1.2, 0.7), 15.0))
        counts = {"commands": commands, "keys": keys, "received": received}
        self.server.recorder.write("operator", id=hello["id"], start=start, end=time.time(), **counts)
        self._leave()

    def _leave(self) -> None:
        try:
            self.request.unwrap().close()
        except OSError:
            return  # the caller was faster

    def _send(self, message: bytes) -> None:
        self.request.sendall(struct.pack(">I", len(message)) + message)

    def _receive(self) -> bytes:
        (size,) = struct.unpack(">I", self._read(4))
        return self._read(size)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.request.recv(size - len(data))
            if not piece:
                message = "the caller left in the middle of a message"
                raise ConnectionError(message)
            data += piece
        return data


class _Server(socketserver.ThreadingTCPServer):
    """The listening side; it hears only what comes out of the SSH tunnel."""

    allow_reuse_address = True

    def __init__(self, spec: dict[str, Any]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(spec["certificate"], spec["key"])
        self.recorder = Recorder(Path(spec["records"]))
        self.seed = spec["seed"]
        super().__init__(("127.0.0.1", spec["port"]), _Session)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        # The handshake is left to the session's own thread: it waits for a far terminal.
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address


def main() -> None:
    """Serve until told to stop."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with _Server(spec) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
