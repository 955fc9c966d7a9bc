"""Heads of HTTP/1 messages, taken apart.

They are read here, not by dpkt: it wants the whole body, refuses a head for one bad line, does not know PATCH, and
drops every byte that is not ASCII, all of which loses evidence.

References
----------
.. [1] RFC 9112, sections 3 (request line) and 5 (fields); RFC 9110, section 7.2 (Host) and 7.8 (Upgrade).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from forensics.addresses import address_text, host_name

__all__ = ["Reply", "Request", "asked_host", "ends_head", "media_type", "number", "parse_reply", "parse_request"]

_MAX_NUMBER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Request:
    """The head of an HTTP request.

    Parameters
    ----------
    method, url
        As the client sent them.
    host
        Host it asks for, canonical: of the target where the target names one, else of the Host header.
    port
        Port it asks for, where the target names one.
    to_proxy
        Whether the form of the target is the one that only proxies are sent.
    user_agent, referer, content_length
        Of the headers of these names.
    """

    method: str
    url: str
    host: str | None
    port: int | None
    to_proxy: bool
    user_agent: str | None
    referer: str | None
    content_length: int | None


@dataclass(frozen=True, slots=True)
class Reply:
    """The head of an HTTP reply."""

    status: int
    content_type: str | None
    content_length: int | None
    upgrade: str | None


_BODY = re.compile(rb"\n\r?\n")
_VALUE = re.compile(rb"[ \t]*:([^\n]*)")
_REQUEST = re.compile(r"(?P<method>[!-~]{1,32}) +(?P<url>\S+)(?: +HTTP/\d[.\d]*)?\s*")
_STATUS = re.compile(r"HTTP/\d[.\d]* +(?P<status>\d{3})(?!\d)")
_ABSOLUTE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:[^/?#@]*@)?(?P<authority>[^/?#]*)")
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>\d{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}


class _Head:
    """The head of a message: its first line, and the first field of each name.

    A line without an end was cut and is left out: half a URL or host name is worse than none.

    Parameters
    ----------
    data
        What is there of the message.
    """

    def __init__(self, data: bytes) -> None:
        end = _BODY.search(data)
        self._head = data[: end.start() + 1 if end else data.rfind(b"\n") + 1]
        self._lower = self._head.lower()
        self.line = _text(self._head[: self._head.find(b"\n") + 1])

    def field(self, name: bytes) -> str | None:
        """Return the value of a field; ``name`` in lower case, a line feed before it."""
        at = self._lower.find(name)
        while at >= 0:
            value = _VALUE.match(self._head, at + len(name))
            if value is not None:
                return _text(value[1])
            at = self._lower.find(name, at + 1)
        return None


def _text(raw: bytes) -> str:
    """Return bytes as text, no space around it."""
    return raw.decode("utf-8", "backslashreplace").strip()


def number(text: str | None) -> int | None:
    """Return a field's number, None where it is none."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    return min(int(text), _MAX_NUMBER)


def _host_and_port(authority: str) -> tuple[str | None, int | None]:
    """Split ``host:port``; the host in canonical form."""
    match = _AUTHORITY.match(authority.strip())
    if match is None:  # pragma: no cover - the pattern matches every text
        return None, None
    host, port = match["host"], number(match["port"])
    return address_text(host) or host_name(host), port if port is not None and port < 65536 else None


def asked_host(field: str | None) -> str | None:
    """Return the host that a Host field names, in canonical form."""
    return _host_and_port(field or "")[0]


def media_type(field: str | None) -> str | None:
    """Return the media type that a Content-Type field names, None where it names none."""
    return (field or "").partition(";")[0].strip().lower() or None


def parse_request(data: bytes) -> Request | None:
    """Read the head of an HTTP request, as far as it is there; None where its first line is none of a request."""
    head = _Head(data)
    match = _REQUEST.fullmatch(head.line)
    if match is None:
        return None
    method, url = match["method"], match["url"]
    absolute = _ABSOLUTE.match(url)
    to_proxy = method == "CONNECT" or absolute is not None
    if absolute is not None:
        host, port = _host_and_port(absolute["authority"])
        port = port or _DEFAULT_PORTS.get(absolute["scheme"].lower())
    else:
        host, port = _host_and_port(url if method == "CONNECT" else head.field(b"\nhost") or "")
    return Request(
        method=method,
        url=url,
        host=host,
        port=port,
        to_proxy=to_proxy,
        user_agent=head.field(b"\nuser-agent"),
        referer=head.field(b"\nreferer"),
        content_length=number(head.field(b"\ncontent-length")),
    )


def parse_reply(data: bytes) -> Reply | None:
    """Read the head of an HTTP reply; None where its first line is none of a reply."""
    head = _Head(data)
    match = _STATUS.match(head.line)
    if match is None:
        return None
    return Reply(
        status=int(match["status"]),
        content_type=media_type(head.field(b"\ncontent-type")),
        content_length=number(head.field(b"\ncontent-length")),
        upgrade=head.field(b"\nupgrade"),
    )


def ends_head(data: bytes) -> bool:
    """Tell whether all of a head is there."""
    return b"\r\n\r\n" in data or b"\n\n" in data or b"\n\r\n" in data
