"""Real web servers and a real load balancer on the loopback interface: our rows are what the client counted."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from forensics.formats import HEAD_BYTES, Evidence, Format, Hints, apache, haproxy, nginx
from forensics.reading.options import ReadOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

AGENT = 'tool "quoted" \\ \u5c71'
BODY = b"p" * 40_000
SERVED = b"x" * 70_000

APACHE = """\
ServerRoot {folder}
ServerName www.example
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/error.log
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dir_module {modules}/mod_dir.so
<IfModule !logio_module>
    LoadModule logio_module {modules}/mod_logio.so
</IfModule>
DocumentRoot {folder}/www
LogFormat "%v:%{{local}}p %a:%{{remote}}p [%{{%F %T}}t.%{{usec_frac}}t %{{%z}}t] \\"%r\\" %>s \
    %O %I %D \\"%{{User-Agent}}i\\"" sized
LogFormat "%h %l %u %t \\"%r\\" %>s %b \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog {folder}/sized.log sized
CustomLog {folder}/combined.log combined
"""
NGINX = """\
{user}
error_log {folder}/error.log;
pid {folder}/pid;
events {{ worker_connections 64; }}
http {{
    log_format sized '$host $remote_addr:$remote_port [$msec] "$request" $status $bytes_sent $request_length '
                     '$request_time "$http_user_agent"';
    log_format listed '$proxy_add_x_forwarded_for - $remote_user [$time_local] "$request" $status $body_bytes_sent '
                      '"$http_referer" "$http_user_agent"';
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        access_log {folder}/sized.log sized;
        access_log {folder}/combined.log combined;
        access_log {folder}/listed.log listed;
        root {folder}/www;
        location /post {{ proxy_pass http://127.0.0.1:{origin}; }}
    }}
}}
"""
HAPROXY = """\
global
    log {folder}/log format rfc3164 local0
defaults
    log global
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend www
    mode http
    option httplog
    capture request header Host len 64
    bind 127.0.0.1:{port}
    default_backend web
frontend sized
    mode http
    log-format '%ci:%cp [%tr] %ft %ST %B %U %Ta %tsc "%HM %HU" %{{+Q}}[capture.req.hdr(0)] %{{+Q}}r'
    capture request header User-Agent len 64
    bind 127.0.0.1:{second}
    default_backend web
frontend raw
    mode tcp
    option tcplog
    bind 127.0.0.1:{third}
    default_backend bare
backend web
    mode http
    server w1 127.0.0.1:{origin}
backend bare
    mode tcp
    server w1 127.0.0.1:{origin}
"""


class Sent(NamedTuple):
    """What the client of one connection counted."""

    port: int
    sent: int
    received: int
    began: float
    ended: float
    headers_sent: int
    headers_received: int


class Origin(BaseHTTPRequestHandler):
    """A server that answers every request with the same bytes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        time.sleep(0.1)
        self.send_response(200)
        self.send_header("Content-Length", str(len(SERVED)))
        self.end_headers()
        self.wfile.write(SERVED)

    def do_POST(self) -> None:
        """Take a body in and answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_arguments: object) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def origin() -> Generator[int]:
    """The port of a small HTTP server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Origin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def program(name: str, package: str) -> str:
    """Return where a program lies."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed (apt install {package})")
    return found


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def running(command: Callable[[Path], list[object]], port: int) -> Generator[Path]:
    """Run a server while the block does; its command is told the folder of its own."""
    with tempfile.TemporaryDirectory(prefix="web") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "www").mkdir()
        (folder / "www" / "a").write_bytes(SERVED)
        process = subprocess.Popen(
            [str(word) for word in command(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, "the server ended at once"
                time.sleep(0.05)
            yield folder
        finally:
            process.terminate()
            process.wait(20)


def ask(port: int, request: bytes) -> Sent:
    """Send a request and count what goes both ways."""
    began, received, first = time.time(), 0, b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        own = client.getsockname()[1]
        client.sendall(request)
        while chunk := client.recv(65536):
            received += len(chunk)
            first = first or chunk
    headers = [part.partition(b"\r\n\r\n")[0].count(b"\r\n") for part in (request, first)]
    return Sent(own, len(request), received, began, time.time(), *headers)


def head(method: str, target: str, *headers: str) -> bytes:
    """Return the head of a request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: www.example", "Connection: close", f"User-Agent: {AGENT}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def asked(port: int) -> list[Sent]:
    """Return what a client counted of a page, a body that is sent, a page that is not there, and nonsense."""
    return [
        ask(port, head("GET", "/a?b=c", "Referer: http://r.example/", "X-Forwarded-For: 203.0.113.66")),
        ask(port, head("POST", "/post", f"Content-Length: {len(BODY)}") + BODY),
        ask(port, head("GET", "/missing")),
        ask(port, b"nonsense\r\n\r\n"),
    ]


def lines_of(path: Path, count: int) -> bytes:
    """Return a log once it has so many lines."""
    for _ in range(200):
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            break
        time.sleep(0.02)
    return path.read_bytes()


def rows_of(fmt: Format, data: bytes, hints: Hints) -> list[dict[str, Any]]:
    """Return the exchanges of a log; nothing of it is rejected."""
    assert fmt.declines(data[:HEAD_BYTES], hints) is None
    found = [
        (table, batch.to_pylist()) for table, batch in fmt.parse(Evidence(io.BytesIO(data), "a.log", "web", hints))
    ]
    assert {table for table, _ in found} == {"exchanges"}, found
    return [row for _, rows in found for row in rows]


def check_counts(rows: list[dict[str, Any]], counts: list[Sent], slack: float = 0.02) -> None:
    """Assert that rows have the bytes, ports and times that the client counted; the last sent what is no request."""
    by_port = {row["src_port"]: row for row in rows}
    for count in counts:
        row = by_port[count.port]
        assert (row["src"], row["bytes_in"]) == ("127.0.0.1", count.received)
        assert row["bytes_out"] == count.sent or count is counts[-1]
        assert count.began - slack <= row["start"].timestamp() <= row["end"].timestamp() <= count.ended + slack


def test_apache_logs_what_the_client_counted() -> None:
    """Apache with mod_logio: bytes each way, ports, times, status and method; in ``combined`` no uploads."""
    command = program("apache2", "apache2")
    modules = "/usr/lib/apache2/modules"
    (port,) = free_ports(1)

    def started(folder: Path) -> list[object]:
        conf = folder / "httpd.conf"
        conf.write_text(APACHE.format(folder=folder, port=port, modules=modules), encoding="utf-8")
        return [command, "-X", "-f", conf, "-d", folder]

    with running(started, port) as folder:
        counts = asked(port)
        sized, combined = lines_of(folder / "sized.log", 4), lines_of(folder / "combined.log", 4)
        conf = (folder / "httpd.conf").read_bytes()
    rows = rows_of(apache, sized, Hints(companions={"httpd.conf": conf}))
    plain = rows_of(apache, combined, Hints())

    check_counts(rows, counts)
    mine = [row for row in rows if row["src_port"] in {count.port for count in counts}]
    assert [row["method"] for row in mine] == ["GET", "POST", "GET", None]
    assert [row["url"] for row in mine] == ["/a?b=c", "/post", "/missing", "nonsense"]
    assert [row["status"] for row in mine][0::2] == [200, 404]
    assert {row["name"] for row in mine} == {"www.example"}
    assert {row["dst_port"] for row in mine} == {port}
    assert mine[0]["user_agent"] == plain[-4]["user_agent"] == AGENT
    assert plain[-4]["bytes_in"] == len(SERVED)
    assert {row["bytes_out"] for row in plain} == {None}
    assert plain[-4]["referer"] == "http://r.example/"


def test_nginx_logs_what_the_client_counted(origin: int) -> None:
    """Nginx with ``$bytes_sent`` and ``$request_length``: the same; its lists of clients are believed where trusted."""
    command = program("nginx", "nginx-light")
    (port,) = free_ports(1)
    user = "user root;" if os.geteuid() == 0 else ""

    def started(folder: Path) -> list[object]:
        conf = folder / "nginx.conf"
        conf.write_text(NGINX.format(folder=folder, port=port, origin=origin, user=user), encoding="utf-8")
        return [command, "-c", conf, "-p", folder, "-e", folder / "error.log", "-g", "daemon off;"]

    with running(started, port) as folder:
        counts = asked(port)
        sized, combined = lines_of(folder / "sized.log", 4), lines_of(folder / "combined.log", 4)
        listed = lines_of(folder / "listed.log", 4)
        beside = {"nginx.conf": (folder / "nginx.conf").read_bytes()}
    rows = rows_of(nginx, sized, Hints(companions=beside))
    trusted = ReadOptions.of(trusted_proxies=["127.0.0.1"]).hints({})
    definition = (
        """nginx: $proxy_add_x_forwarded_for - $remote_user [$time_local] "$request" $status $body_bytes_sent"""
    )
    definition += ' "$http_referer" "$http_user_agent"'
    believed = Hints(logformat=definition, trusted_proxies=trusted.trusted_proxies)

    check_counts(rows, counts)
    mine = [row for row in rows if row["src_port"] in {count.port for count in counts}]
    assert [row["method"] for row in mine] == ["GET", "POST", "GET", None]
    assert [row["status"] for row in mine] == [200, 200, 404, 400]
    assert mine[0]["user_agent"] == AGENT
    assert (mine[1]["end"] - mine[1]["start"]).total_seconds() >= 0.09
    assert rows_of(apache, combined, Hints())[-4]["bytes_in"] == len(SERVED)
    assert [row["src"] for row in rows_of(nginx, listed, believed)][-4:] == ["203.0.113.66", *["127.0.0.1"] * 3]


def test_haproxy_logs_what_the_client_counted(origin: int) -> None:
    """HAProxy: bytes, ports, times and states of HTTP and of TCP; uploads with ``%U`` alone.

    In a message of HTTP it holds names and values of headers without the four bytes that stand around each.
    """
    command = program("haproxy", "haproxy")
    port, second, third = free_ports(3)
    with tempfile.TemporaryDirectory(prefix="log") as name, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(f"{name}/log")
        log.settimeout(10)

        def started(folder: Path) -> list[object]:
            conf = folder / "haproxy.cfg"
            ports = {"port": port, "second": second, "third": third, "origin": origin}
            conf.write_text(HAPROXY.format(folder=name, **ports), encoding="utf-8")
            return [command, "-db", "-f", conf]

        with running(started, port):
            counts, sized, raw = asked(port), asked(second), ask(third, head("GET", "/a"))
            lines = received(log, {count.port for count in (*counts, *sized, raw)})
    own = b"".join(line for line in lines if b"] sized " in line)
    others = b"".join(line for line in lines if b"] sized " not in line)
    rows = {row["src_port"]: row for row in rows_of(haproxy, others, said())}
    definition = 'haproxy: %ci:%cp [%tr] %ft %ST %B %U %Ta %tsc "%HM %HU" %{+Q}[capture.req.hdr(0)] %{+Q}r'
    full = {row["src_port"]: row for row in rows_of(haproxy, own, said(definition))}

    for count in (*counts[:3], raw):
        row, missing = rows[count.port], 4 * count.headers_received * (count is not raw)
        assert (row["src"], row["bytes_out"], row["bytes_in"]) == ("127.0.0.1", None, count.received - missing)
        assert count.began - 0.02 <= row["start"].timestamp() <= row["end"].timestamp() <= count.ended + 0.02
    for count in sized[:3]:
        assert full[count.port]["bytes_out"] == count.sent - 4 * count.headers_sent
        assert full[count.port]["bytes_in"] == count.received - 4 * count.headers_received
    assert [rows[count.port]["status"] for count in counts] == [200, 200, 200, 400]
    assert [rows[count.port]["url"] for count in counts] == ["/a?b=c", "/post", "/missing", None]
    assert [rows[count.port]["is_request"] for count in (counts[0], raw)] == [True, False]
    assert rows[raw.port]["service"] is None


def received(log: socket.socket, ports: set[int]) -> list[bytes]:
    """Return the lines that a log got, until there is one of each port."""
    lines: list[bytes] = []
    left = set(ports)
    while left:
        line = log.recv(65536)
        found = {port for port in left if f":{port} [".encode() in line}
        left -= found
        lines += [line.rstrip(b"\n") + b"\n"] * len(found)
    return lines


def said(logformat: str | None = None) -> Hints:
    """Return what is said of HAProxy's log: its zone is that of the machine."""
    zone = os.environ.get("TZ") or str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    return ReadOptions.of(timezone=zone or "UTC", logformat=logformat).hints({})
