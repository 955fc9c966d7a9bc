"""What is inside the packets: real HTTP headers, TLS records and DNS messages around patterned, harmless bodies."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from .transactions import CONNECT_REQUEST

_PATTERN = b"0123456789abcdef" * 64
_RECORD = 16_384  # most payload of a TLS record [B]
_RECORD_HEAD = 5
_REASONS = {200: "OK", 302: "Found", 304: "Not Modified", 404: "Not Found"}
_NOT_MODIFIED = 304


def pattern(size: int) -> bytes:
    """``size`` bytes of pattern [B]."""
    return (_PATTERN * (size // len(_PATTERN) + 1))[:size]


def http_request(verb: str, target: str, host: str, agent: str, size: int, *, head: int, extra: str = "") -> bytes:
    """A request of exactly ``size`` bytes; a POST has ``head`` bytes of headers and the rest as body [B]."""
    posted = verb == "POST"
    body = size - head if posted else 0
    length = f"Content-Length:{body:10d}\r\n" if posted else ""
    lines = f"{verb} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n{extra}{length}"
    return _padded(lines, "Cookie: s=", size - body) + pattern(body)


def http_reply(status: int, mime: str, size: int, *, head: int, extra: str = "") -> bytes:
    """A reply of exactly ``size`` bytes with ``head`` bytes of headers [B]; 304 has headers only (RFC 9110 15.4.5)."""
    body = 0 if status == _NOT_MODIFIED else size - head
    length = "" if status == _NOT_MODIFIED else f"Content-Type: {mime}\r\nContent-Length:{body:10d}\r\n"
    lines = f"HTTP/1.1 {status} {_REASONS[status]}\r\nServer: Apache\r\n{extra}{length}"
    return _padded(lines, "ETag: ", size - body) + pattern(body)


def connect_request(name: str, agent: str) -> bytes:
    """A CONNECT request of the size the logs count for it."""
    lines = f"CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n"
    agent = agent[: CONNECT_REQUEST - len(lines) - 40]  # long names of browsers are cut to keep the size
    return _padded(f"{lines}User-Agent: {agent}\r\n", "X-T: ", CONNECT_REQUEST)


def connect_reply() -> bytes:
    """The proxy's answer to a CONNECT."""
    return b"HTTP/1.1 200 Connection established\r\n\r\n"


def _padded(lines: str, header: str, size: int) -> bytes:
    """The header lines with one more header that brings them, and the blank line, to ``size`` bytes."""
    missing = size - len(lines) - len(header) - 4
    if missing < 1:
        message = f"headers of {len(lines) + 4} B do not fit into {size} B"
        raise ValueError(message)
    return f"{lines}{header}{'a' * missing}\r\n\r\n".encode("ascii")


def records(size: int) -> bytes:
    """TLS application data of ``size`` bytes in all, record headers included [B]."""
    made = bytearray()
    while size > _RECORD_HEAD:
        whole = min(size, _RECORD + _RECORD_HEAD)
        # What is left over must hold a record of its own.
        whole -= _RECORD_HEAD + 1 if 0 < size - whole <= _RECORD_HEAD else 0
        made += struct.pack("!BHH", 23, 0x0303, whole - _RECORD_HEAD) + pattern(whole - _RECORD_HEAD)
        size -= whole
    return bytes(made)


def client_hello(name: str) -> bytes:
    """A TLS 1.2 ClientHello that names its server (RFC 5246 section 7.4.1.2, RFC 6066 section 3)."""
    host = name.encode("ascii")
    entry = struct.pack("!BH", 0, len(host)) + host
    names = struct.pack("!HHH", 0, len(entry) + 2, len(entry)) + entry
    suites = struct.pack("!HHH", 4, 0xC02F, 0x002F)
    body = b"\x03\x03" + pattern(32) + b"\0" + suites + b"\x01\x00" + struct.pack("!H", len(names)) + names
    handshake = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return struct.pack("!BHH", 22, 0x0301, len(handshake)) + handshake


def tunnelled(name: str, sizes: list[int]) -> list[bytes]:
    """Payloads of these sizes [B], the first of which begins with a ClientHello."""
    hello = client_hello(name)
    return [hello + records(sizes[0] - len(hello)), *map(records, sizes[1:])]


def dns_question(number: int, name: str) -> bytes:
    """A question for an address (RFC 1035 section 4)."""
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + _question(name)


def dns_answer(number: int, name: str, address: str, lifetime: int) -> bytes:
    """The answer with one address."""
    head = struct.pack("!HHHHHH", number, 0x8180, 1, 1, 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, lifetime, 4) + IPv4Address(address).packed
    return head + _question(name) + record


def _question(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    return labels + b"\0" + struct.pack("!HH", 1, 1)
