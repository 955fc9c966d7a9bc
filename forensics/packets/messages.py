"""Single messages of application protocols, taken apart: DNS replies, TLS ClientHellos, heads of HTTP messages.

DNS and TLS go through dpkt. HTTP heads are read here: dpkt wants the whole body, refuses a head for one bad line, does
not know PATCH, and drops every byte that is not ASCII, all of which loses evidence.

References
----------
.. [1] RFC 1035, section 4.1.4 (compression); RFC 2308 (negative answers).
.. [2] RFC 8446, section 4.1.2 (ClientHello); RFC 6066, section 3 (server name indication).
.. [3] RFC 9112, sections 3 (request line) and 5 (fields); RFC 9110, section 7.2 (Host).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import dpkt
from dpkt import dns, ssl

from forensics.addresses import address_text, host_name

__all__ = ["Reply", "Request", "dns_answers", "parse_reply", "parse_request", "server_name"]

DPKT_ERRORS = (dpkt.Error, ssl.SSL3Exception, struct.error, IndexError, ValueError)
"""What dpkt raises on bytes that are not what they claim to be (``UnicodeError`` is a ``ValueError``)."""

_MAX_ALIASES = 16
_MAX_NUMBER = 2**63 - 1


class _Record(dns.DNS.RR):  # type: ignore[misc]
    """A DNS record; dpkt gives a whole reply up for one record of a type it does not know, such as HTTPS or NSEC."""

    def unpack_rdata(self, buf: bytes, off: int) -> None:
        """Read the data of addresses and aliases, and no other."""
        if self.type in (dns.DNS_A, dns.DNS_AAAA, dns.DNS_CNAME):
            super().unpack_rdata(buf, off)


class _Reply(dns.DNS):  # type: ignore[misc]
    """A DNS message up to its answers; a cut one has the answers before the cut."""

    RR = _Record

    def unpack(self, buf: bytes) -> None:
        """Read questions and answers."""
        dpkt.Packet.unpack(self, buf)
        questions, answers, off = int(self.qd), int(self.an), self.__hdr_len__
        self.qd: Any = []
        self.an: Any = []
        for _ in range(questions):
            question, off = self.unpack_q(buf, off)
            self.qd.append(question)
        try:
            for _ in range(answers):
                record, off = self.unpack_rr(buf, off)
                self.an.append(record)
        except DPKT_ERRORS:
            self.cut = True


def dns_answers(data: bytes) -> list[tuple[str, str | None]] | None:
    """Return the names a DNS message answers for, each with an address; None where it cannot be read.

    A name reached through aliases is given as it was asked for. A name that does not exist has no address. A query
    has no answers.
    """
    try:
        message = _Reply(data)
    except DPKT_ERRORS:
        return None
    if not message.qr:
        return []
    aliases = {r.cname.lower(): r.name for r in message.an if r.type == dns.DNS_CNAME and hasattr(r, "cname")}
    found: list[tuple[str, str | None]] = []
    for record in message.an:
        size = {dns.DNS_A: 4, dns.DNS_AAAA: 16}.get(record.type, -1)
        if len(record.rdata) == size:
            found.append((_asked(record.name, aliases), _address(record.rdata)))
    if message.rcode and not found:
        found = [(question.name, None) for question in message.qd if question.name]
    return found


def _asked(name: str, aliases: dict[str, str]) -> str:
    """Follow aliases back to the name that was asked for."""
    for _ in range(_MAX_ALIASES):
        if name.lower() not in aliases:
            break
        name = aliases[name.lower()]
    return name


def _address(raw: bytes) -> str | None:
    """Return the text of an address of four or sixteen bytes."""
    if len(raw) == 4:
        return ".".join(map(str, raw))
    return address_text(":".join(f"{raw[k]:02x}{raw[k + 1]:02x}" for k in range(0, 16, 2)))


def server_name(data: bytes) -> str | None:
    """Return the server name of a ClientHello, empty where it has none; None where it cannot be read.

    Parameters
    ----------
    data
        One TLS record, its header of five bytes included.
    """
    try:
        hello = ssl.TLSHandshake(data[5 : 5 + int.from_bytes(data[3:5], "big")]).data
        extensions = dict(getattr(hello, "extensions", []))
    except DPKT_ERRORS:
        return None
    raw = extensions.get(0, b"")
    size = int.from_bytes(raw[3:5], "big")  # list length, type of name, length of name
    return raw[5 : 5 + size].decode("utf-8", "backslashreplace") if raw[2:3] == b"\0" else ""


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


_REQUEST = re.compile(r"(?P<method>[!-~]{1,32}) +(?P<url>\S+)(?: +HTTP/\d[.\d]*)?\s*")
_STATUS = re.compile(r"HTTP/\d[.\d]* +(?P<status>\d{3})(?!\d)")
_ABSOLUTE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:[^/?#@]*@)?(?P<authority>[^/?#]*)")
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>\d{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}


def _head(data: bytes) -> tuple[str, dict[str, str]]:
    """Split the head of a message into its first line and its headers; of a repeated header the first counts.

    A line without an end was cut and is left out: half a URL or host name is worse than none.
    """
    lines = re.split(r"\r?\n", data.decode("utf-8", "backslashreplace"))[:-1] or [""]
    headers: dict[str, str] = {}
    for line in lines[1:]:
        if not line:
            break
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return lines[0], headers


def _number(text: str | None) -> int | None:
    """Return a header's number, None where it is none."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    return min(int(text), _MAX_NUMBER)


def _host_and_port(authority: str) -> tuple[str | None, int | None]:
    """Split ``host:port``; the host in canonical form."""
    match = _AUTHORITY.match(authority.strip())
    if match is None:  # pragma: no cover - the pattern matches every text
        return None, None
    host, port = match["host"], _number(match["port"])
    return address_text(host) or host_name(host), port if port is not None and port < 65536 else None


def parse_request(data: bytes) -> Request | None:
    """Read the head of an HTTP request, as far as it is there; None where its first line is none of a request."""
    line, headers = _head(data)
    match = _REQUEST.fullmatch(line)
    if match is None:
        return None
    method, url = match["method"], match["url"]
    absolute = _ABSOLUTE.match(url)
    to_proxy = method == "CONNECT" or absolute is not None
    if absolute is not None:
        host, port = _host_and_port(absolute["authority"])
        port = port or _DEFAULT_PORTS.get(absolute["scheme"].lower())
    else:
        host, port = _host_and_port(url if method == "CONNECT" else headers.get("host", ""))
    return Request(
        method=method,
        url=url,
        host=host,
        port=port,
        to_proxy=to_proxy,
        user_agent=headers.get("user-agent"),
        referer=headers.get("referer"),
        content_length=_number(headers.get("content-length")),
    )


def parse_reply(data: bytes) -> Reply | None:
    """Read the head of an HTTP reply; None where its first line is none of a reply."""
    line, headers = _head(data)
    match = _STATUS.match(line)
    if match is None:
        return None
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    return Reply(int(match["status"]), media or None, _number(headers.get("content-length")))
