"""What every program of the lab shares: its record of what it did, and requests through the proxy."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TIMEOUT_S = 60.0


class Recorder:
    """Append what a program did to a file of JSON lines, at once and from any thread."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, kind: str, **values: object) -> None:
        """Append one record."""
        with self._lock:
            self._file.write(json.dumps({"kind": kind, **values}) + "\n")
            self._file.flush()


def sleep_until(when: float) -> None:
    """Sleep until a moment of the wall clock [s since the epoch]."""
    time.sleep(max(0.0, when - time.time()))


class TunnelSocket:
    """TLS inside a CONNECT tunnel, counting the bytes the tunnel carries each way.

    ``ssl.SSLSocket`` hides how many bytes it puts on the wire, and these are what the proxy logs.

    Parameters
    ----------
    raw : socket.socket
        Connection to the proxy, after its answer to CONNECT.
    context : ssl.SSLContext
        Whom to trust.
    name : str
        Host name for the server name indication.
    """

    def __init__(self, raw: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self._raw = raw
        self.name = name
        self.port: int = raw.getsockname()[1]
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self.bytes_up = 0
        self.bytes_down = 0
        self._run(self._tls.do_handshake)

    def _run(self, operation: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - what it returns
        while True:
            try:
                result = operation(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
                continue
            self._flush()
            return result

    def _flush(self) -> None:
        data = self._outgoing.read()
        self._raw.sendall(data)
        self.bytes_up += len(data)

    def _fill(self) -> None:
        data = self._raw.recv(65536)
        self.bytes_down += len(data)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def sendall(self, data: bytes) -> None:
        """Send all of the data."""
        self._run(self._tls.write, data)

    def recv(self, size: int) -> bytes:
        """Receive at most ``size`` bytes; empty at the end."""
        try:
            return bytes(self._run(self._tls.read, size))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a reader, as ``http.client`` wants it."""
        return io.BufferedReader(_TunnelReader(self))

    def close(self) -> None:
        """Say goodbye, take in what the other side still sends, and close."""
        with contextlib.suppress(OSError):
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            self._flush()
            self._raw.shutdown(socket.SHUT_WR)
            self._raw.settimeout(3.0)
            while data := self._raw.recv(65536):
                self.bytes_down += len(data)
        self._raw.close()


class _TunnelReader(io.RawIOBase):
    """The reading side of a tunnel as a file."""

    def __init__(self, tunnel: TunnelSocket) -> None:
        super().__init__()
        self._tunnel = tunnel

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - typed from 3.12 on
        data = self._tunnel.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class ProxyClient:
    """Ask for things through the office's proxy and record every request as the proxy sees it.

    Parameters
    ----------
    spec : dict
        The program's orders: ``src``, ``proxy``, ``ca``, ``agent`` (user agent) are read here.
    recorder : Recorder
        Where the records go.
    """

    def __init__(self, spec: dict[str, Any], recorder: Recorder) -> None:
        self.src: str = spec["src"]
        self._proxy = (spec["proxy"][0], int(spec["proxy"][1]))
        self._agent: str = spec["user_agent"]
        self._context = ssl.create_default_context(cafile=spec["ca"])
        self.recorder = recorder

    def fetch(self, urls: list[str], purpose: str, method: str = "GET", body: bytes | None = None) -> list[int]:
        """Request one or more URLs of the same host one after the other over one connection.

        Returns
        -------
        list of int
            The status of every answer.
        """
        parts = urlsplit(urls[0])
        if parts.scheme == "https":
            return self._fetch_in_tunnel(urls, purpose, method, body)
        connection = http.client.HTTPConnection(*self._proxy, timeout=_TIMEOUT_S)
        connection.connect()
        port = connection.sock.getsockname()[1]
        statuses = []
        for url in urls:
            start = time.time()
            status, size = self._exchange(connection, method, url, body)
            self._record(
                start, src_port=port, purpose=purpose, method=method, url=url, status=status,
                request_body=len(body or b""), response_body=size, inner=0,
            )  # fmt: skip
            statuses.append(status)
        connection.close()
        return statuses

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, url: str, body: bytes | None
    ) -> tuple[int, int]:
        headers = {"User-Agent": self._agent, "Accept": "*/*"}
        connection.request(method, url, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, len(answer.read())

    def _fetch_in_tunnel(self, urls: list[str], purpose: str, method: str, body: bytes | None) -> list[int]:
        name = urlsplit(urls[0]).netloc
        start = time.time()
        tunnel = self.open_tunnel(name)
        connection = http.client.HTTPConnection(name)
        connection.sock = tunnel  # it has all that http.client uses
        statuses = []
        for url in urls:
            parts = urlsplit(url)
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            statuses.append(self._exchange(connection, method, path, body)[0])
        self.close_tunnel(tunnel, purpose, start, inner=len(urls))
        return statuses

    def open_tunnel(self, name: str) -> TunnelSocket:
        """CONNECT to port 443 of a host through the proxy and speak TLS with it."""
        raw = socket.create_connection(self._proxy, timeout=_TIMEOUT_S)
        head = (f"CONNECT {name}:443 HTTP/1.1", f"Host: {name}:443", f"User-Agent: {self._agent}", "", "")
        raw.sendall("\r\n".join(head).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            data = raw.recv(1)  # byte by byte: what follows the head belongs to the tunnel
            if not data:
                break
            answer += data
        if b" 200 " not in answer.split(b"\r\n")[0]:
            message = f"CONNECT {name}:443 refused: {answer[:80]!r}"
            raise RuntimeError(message)
        return TunnelSocket(raw, self._context, name)

    def close_tunnel(self, tunnel: TunnelSocket, purpose: str, start: float, *, inner: int) -> None:
        """Close a tunnel and record it as the one request the proxy saw, with how many were inside."""
        tunnel.close()
        self._record(
            start, src_port=tunnel.port, purpose=purpose, method="CONNECT", url=f"{tunnel.name}:443",
            status=200, request_body=tunnel.bytes_up, response_body=tunnel.bytes_down, inner=inner,
        )  # fmt: skip

    def _record(self, start: float, **values: object) -> None:
        self.recorder.write("request", src=self.src, start=start, end=time.time(), **values)
