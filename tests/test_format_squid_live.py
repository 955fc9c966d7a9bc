"""A real Squid on the loopback interface: our rows are what its client counted."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from forensics.formats import HEAD_BYTES, Evidence, Hints, squid
from forensics.schema import parts_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

CONF = r"""
http_port 127.0.0.1:{port}
visible_hostname proxy.example
pid_filename {folder}/squid.pid
cache_log {folder}/cache.log
coredump_dir {folder}
cache_effective_user proxy
http_access allow all
shutdown_lifetime 0 seconds
logformat sized %ts.%03tu %6tr %>a:%>p %>la %Ss/%03>Hs %>st %<st %rm %ru \
    %Sh/%<a:%<p %mt "%{{User-Agent}}>h" "%{{Referer}}>h"
access_log stdio:{folder}/access.log logformat=sized
logformat extended %ts.%03tu %tr %adapt::sum_trs %>a:%>p %Ss/%03>Hs %>st %<st %rm %ru %[un %Sh/%<a:%<p %mt \
    [%>h] [%<h] %note "%{{User-Agent}}>h" %err_code/%err_detail
access_log stdio:{folder}/extended.log logformat=extended
access_log stdio:{folder}/native.log squid
access_log stdio:{folder}/combined.log combined
"""
AGENT = r'tool "quoted" [x] \ 100% ' + "\u5c71"
PAYLOAD = b"p" * 40_000


class Sent(NamedTuple):
    """What the client of one request counted."""

    port: int
    sent: int
    received: int
    began: float
    ended: float


class Origin(BaseHTTPRequestHandler):
    """A server that answers with as many bytes as the path asks for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a GET."""
        size = int(self.path.strip("/").partition("?")[0])
        time.sleep(0.15)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(b"x" * size)

    def do_POST(self) -> None:
        """Take a body in and answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_arguments: object) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def origin() -> Iterator[int]:
    """The port of a small HTTP server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Origin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def running_squid() -> Generator[tuple[Path, int], None, None]:
    """Run a Squid while the block does; afterwards its logs are complete."""
    program = shutil.which("squid") or shutil.which("squid", path="/usr/sbin")
    if program is None:
        pytest.skip("squid is not installed (apt install squid)")
    with tempfile.TemporaryDirectory(prefix="squid") as name, socket.socket() as probe:
        folder = Path(name)
        folder.chmod(0o755)
        if os.geteuid() == 0:  # Squid gives up root's rights, then writes its logs
            shutil.chown(folder, "proxy")
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        conf = folder / "squid.conf"
        conf.write_text(CONF.format(port=port, folder=folder), encoding="utf-8")
        process = subprocess.Popen(
            [program, "-n", f"t{os.getpid()}", "-N", "-f", conf],  # a name of its own: two Squids share no memory
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(port, process)
            yield folder, port
        finally:
            process.terminate()
            process.wait(20)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until something listens."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "squid ended at once"
        time.sleep(0.05)
    pytest.fail("squid does not listen")


def ask(proxy: int, request: bytes, *more: bytes) -> Sent:
    """Send a request, then more where the proxy answered, and count what goes both ways."""
    began = time.time()
    received, sent = 0, len(request) + sum(map(len, more))
    with socket.create_connection(("127.0.0.1", proxy), timeout=10) as client:
        port = client.getsockname()[1]
        client.sendall(request)
        for part in more:
            received += len(client.recv(65536))
            client.sendall(part)
        while chunk := client.recv(65536):
            received += len(chunk)
    return Sent(port, sent, received, began, time.time())


def read(path: Path, conf: bytes | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a log by table."""
    data = path.read_bytes()
    hints = Hints(companions={"squid.conf": conf} if conf else {})
    assert squid.declines(data[:HEAD_BYTES], hints) is None
    found: dict[str, list[dict[str, Any]]] = {}
    with path.open("rb") as stream:
        for table, batch in squid.parse(Evidence(stream, path.name, "office", hints)):
            for part, rows in parts_of(batch) if table == "exchanges" else [(table, batch)]:
                found.setdefault(part, []).extend(rows.to_pylist())
    return {part: sorted(rows, key=lambda row: row["record"]) for part, rows in found.items()}


def extended_of(conf: bytes) -> bytes:
    """Return a squid.conf of which only the extended format is used."""
    return b"\n".join(line for line in conf.splitlines() if b"access_log" not in line or b"extended" in line)


def head(method: str, target: str, *headers: str) -> bytes:
    """Return the head of a request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", f"User-Agent: {AGENT}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def assert_alike(one: dict[str, list[dict[str, Any]]], other: dict[str, list[dict[str, Any]]]) -> None:
    """Assert that two logs of the same requests tell the same of them."""
    assert "rejects" not in one
    for table, shown in (
        ("flows", ("src_port", "bytes_out", "bytes_in", "dst", "dst_port", "name", "state")),
        ("requests", ("method", "url", "user_agent", "content_type")),
    ):
        assert [[row[column] for column in shown] for row in one[table]] == [
            [row[column] for column in shown] for row in other[table]
        ]


def test_rows_are_what_the_client_counted(origin: int) -> None:
    """Ports, bytes each way, times, methods and headers of real requests are those of the client's own count."""
    base = f"http://127.0.0.1:{origin}"
    with running_squid() as (folder, proxy):
        got = ask(proxy, head("GET", f"{base}/70000?q=a", "Referer: http://r.example/"))
        posted = ask(proxy, head("POST", f"{base}/10", f"Content-Length: {len(PAYLOAD)}") + PAYLOAD)
        tunnel = ask(proxy, head("CONNECT", f"127.0.0.1:{origin}"), head("GET", "/5000"))
        failed = ask(proxy, b"nonsense\r\n\r\n")
        conf = (folder / "squid.conf").read_bytes()
        for _ in range(100):
            if (folder / "access.log").read_bytes().count(b"\n") == 5:  # the first is of `wait_for`
                break
            time.sleep(0.02)
        sized, native = read(folder / "access.log", conf), read(folder / "native.log", conf)
        combined, extended = read(folder / "combined.log"), read(folder / "extended.log", extended_of(conf))

    assert not {"rejects"} & (sized.keys() | native.keys() | combined.keys())
    flows = {flow["src_port"]: flow for flow in sized["flows"]}
    for count in (got, posted, tunnel, failed):
        flow = flows[count.port]
        assert (flow["src"], flow["via"], flow["proto"]) == ("127.0.0.1", "127.0.0.1", "tcp")
        assert (flow["bytes_out"], flow["bytes_in"]) == (count.sent, count.received)
        assert count.began - 0.002 <= flow["start"].timestamp() <= flow["end"].timestamp() <= count.ended + 0.002
    for count in (got, posted, tunnel):
        flow = flows[count.port]
        assert (flow["dst"], flow["dst_port"], flow["name"]) == ("127.0.0.1", origin, None)
        assert (flow["end"] - flow["start"]).total_seconds() >= 0.14
    assert [r["method"] for r in sized["requests"]] == [None, "GET", "POST", "CONNECT", "nonsense"]
    assert [r["status"] for r in sized["requests"]] == [None, 200, 200, 200, 400]
    assert sized["requests"][1]["user_agent"] == combined["requests"][1]["user_agent"] == AGENT
    assert sized["requests"][1]["referer"] == "http://r.example/"
    assert_alike(extended, sized)
    assert [f["bytes_in"] for f in native["flows"]] == [f["bytes_in"] for f in sized["flows"]]
    assert {f["bytes_out"] for f in native["flows"] + combined["flows"]} == {None}
    assert [f["start"] for f in native["flows"]] == [f["start"] for f in sized["flows"]]
