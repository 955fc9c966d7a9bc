"""What is said in the benchmarks' captures: DNS, TLS and HTTP messages, and the scripts that put them in order.

References
----------
.. [1] RFC 1035, section 4.1: DNS messages and their compression.
.. [2] RFC 8446, section 4.1: ClientHello and ServerHello; RFC 6066, section 3: the server's name; RFC 7301: ALPN.
.. [3] RFC 9112: HTTP/1.1.
"""

from __future__ import annotations

import random
import struct
from typing import NamedTuple

import numpy as np
from wire import Array, Pool

__all__ = ["FILLER_BYTES", "SEGMENT", "Book", "Scripts", "host_name"]

FILLER_BYTES = 1 << 20
"""How much of a pool is payload that says nothing: it lies at the start. [B]"""

SEGMENT = 1428
"""The largest segment of a message: it fits every header. [B]"""

CIPHERS = bytes.fromhex("130113021303c02bc02fc02cc030cca9cca8c013c014009c009d002f0035")
GREASE = (0x0A0A, 0x1A1A, 0x2A2A, 0x3A3A, 0x4A4A, 0x5A5A, 0x6A6A, 0x7A7A)
WORDS = ("alpha", "bravo", "cedar", "delta", "ember", "falcon", "garnet", "harbor", "indigo", "jasper", "kite", "lumen",
         "maple", "north", "orbit", "pine")  # fmt: skip


class Scripts(NamedTuple):
    """What is said in which order: script ``i`` has the rows ``first[i]`` to ``first[i] + length[i]`` of the others."""

    first: Array
    length: Array
    back: Array
    start: Array
    size: Array


class Book:
    """Collects messages and scripts.

    Parameters
    ----------
    seed
        Seed of everything that is random.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self._bytes = bytearray(self.rng.randbytes(FILLER_BYTES))
        self._first: list[int] = []
        self._rows: list[tuple[bool, int, int]] = []

    def put(self, data: bytes) -> int:
        """Keep a message; return where it begins."""
        start = len(self._bytes)
        self._bytes += data + bytes(len(data) % 2)
        return start

    def begin(self) -> int:
        """Begin a new script; return its number."""
        self._first.append(len(self._rows))
        return len(self._first) - 1

    def say(self, start: int, size: int, *, back: bool, acknowledged: bool = False) -> None:
        """Add a message to the script in segments; an acknowledgement follows every second one where wanted."""
        for number, at in enumerate(range(0, size, SEGMENT)):
            self._rows.append((back, start + at, min(SEGMENT, size - at)))
            if acknowledged and number % 2:
                self._rows.append((not back, 0, 0))

    def close(self) -> tuple[Pool, Scripts]:
        """Return all that was collected."""
        ends = np.array([*self._first, len(self._rows)])
        columns = np.array(self._rows, np.int64).reshape(-1, 3)
        return Pool(bytes(self._bytes)), Scripts(
            ends[:-1], np.diff(ends), columns[:, 0] > 0, columns[:, 1], columns[:, 2]
        )

    # -- whole exchanges ---------------------------------------------------------------------------------------------

    def dns(self, name: str, *, six: bool) -> int:
        """Write a query and its reply: aliases, addresses, or the news that there is no such name."""
        query = _query(self.rng.randrange(65536), name, six=six)
        script = self.begin()
        self.say(self.put(query), len(query), back=False)
        reply = _reply(query, self.rng, name, six=six)
        self.say(self.put(reply), len(reply), back=True)
        return script

    def tls(self, host: str, *, large: bool, modern: bool) -> int:
        """Write both hellos, a certificate where it can be seen, and the end of the handshake."""
        hello = _client_hello(self.rng, host, large=large)
        answer = _server_hello(self.rng, modern=modern)
        if modern:
            answer += b"\x14\x03\x03\x00\x01\x01" + _record(0x17, self.rng.randbytes(2400))
            last = b"\x14\x03\x03\x00\x01\x01" + _record(0x17, self.rng.randbytes(53))
        else:
            certificates = b"".join(_certificate(self.rng, subject) for subject in (host, "Bench Issuing CA"))
            answer += _record(0x16, _handshake(11, _vector(certificates, 3)))
            answer += _record(0x16, _handshake(12, self.rng.randbytes(329)) + _handshake(14, b""))
            last = _record(0x16, _handshake(16, b"\x41\x04" + self.rng.randbytes(64))) + b"\x14\x03\x03\x00\x01\x01"
        script = self.begin()
        for data, back in ((hello, False), (answer, True), (last, False)):
            self.say(self.put(data), len(data), back=back, acknowledged=back)
        return script

    def http(self, host: str, requests: int) -> int:
        """Write requests and replies one after the other on one connection; one alone ends with the connection."""
        script = self.begin()
        for number in range(requests):
            page = f"/{self.rng.choice(WORDS)}/{self.rng.randrange(10**6)}.html"
            request = (
                f"GET {page} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) bench/{number}\r\n"
                "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\n"
                f"Referer: http://{host}/\r\nConnection: keep-alive\r\n\r\n"
            ).encode()
            size = min(int(self.rng.paretovariate(1.1) * 400), 60_000)
            ending = f"Content-Length: {size}" if requests > 1 else "Connection: close"
            reply = (
                f"HTTP/1.1 200 OK\r\nDate: Thu, 21 May 2015 01:02:03 GMT\r\nServer: bench\r\n"
                f"Content-Type: text/html; charset=utf-8\r\n{ending}\r\n\r\n"
            ).encode() + (b"<p>" + host.encode() + b"</p>\n" + b"lorem ipsum dolor sit amet " * (size // 27 + 1))[:size]
            self.say(self.put(request), len(request), back=False)
            self.say(self.put(reply), len(reply), back=True, acknowledged=True)
        return script


def host_name(number: int) -> str:
    """Return the name of a server: every number has its own."""
    first, second = WORDS[number % 16], WORDS[number // 16 % 16]
    return f"{('www', 'api', 'cdn-edge', 'mail')[number % 4]}.{first}-{second}{number // 256}.example"


def _labels(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _query(identity: int, name: str, *, six: bool) -> bytes:
    flags = struct.pack("!HHHHHH", identity, 0x0100, 1, 0, 0, 0)
    return flags + _labels(name) + struct.pack("!HH", 28 if six else 1, 1)


def _reply(query: bytes, rng: random.Random, name: str, *, six: bool) -> bytes:
    """Answer a query, with names compressed as servers do."""
    if rng.random() < 0.05:
        return query[:2] + b"\x81\x83" + query[4:]
    answers, owner, zone = [], 0xC00C, 0xC00C + 1 + name.index(".")
    at = len(query)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
        alias = bytes([len(word := rng.choice(WORDS) + "-edge")]) + word.encode() + struct.pack("!H", zone)
        answers.append(struct.pack("!HHHIH", owner, 5, 1, 300, len(alias)) + alias)
        owner = 0xC000 | (at + 12)  # the next record belongs to this one's target
        at += len(answers[-1])
    kind, size = (28, 16) if six else (1, 4)
    for _ in range(rng.randint(1, 4)):
        prefix = b"\x20\x01\x0d\xb8" if six else b"\xc6"
        address = prefix + rng.randbytes(size - len(prefix))
        answers.append(struct.pack("!HHHIH", owner, kind, 1, 60, size) + address)
    return query[:2] + b"\x81\x80\0\x01" + struct.pack("!H", len(answers)) + query[8:] + b"".join(answers)


def _vector(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size, "big") + data


def _record(kind: int, data: bytes, version: int = 0x0303) -> bytes:
    return struct.pack("!BHH", kind, version, len(data)) + data


def _handshake(kind: int, data: bytes) -> bytes:
    return bytes([kind]) + _vector(data, 3)


def _extension(kind: int, data: bytes) -> bytes:
    return struct.pack("!HH", kind, len(data)) + data


def _client_hello(rng: random.Random, host: str, *, large: bool) -> bytes:
    """Return what a browser says first; with a key share of a post-quantum group it takes two segments."""
    grease = struct.pack("!H", rng.choice(GREASE))
    key = grease + b"\0\x01\0" + b"\0\x1d\0\x20" + rng.randbytes(32)
    if large:
        key += b"\x11\xec\x04\xc0" + rng.randbytes(1216)
    extensions = [
        _extension(int.from_bytes(grease, "big"), b""),
        _extension(0, _vector(b"\0" + _vector(host.encode(), 2), 2)),
        _extension(23, b""),
        _extension(0xFF01, b"\0"),
        _extension(10, _vector(grease + b"\0\x1d\0\x17\0\x18", 2)),
        _extension(11, b"\x01\0"),
        _extension(35, b""),
        _extension(16, _vector(b"\x02h2\x08http/1.1" if rng.random() < 0.8 else b"\x08http/1.1", 2)),
        _extension(5, b"\x01\0\0\0\0"),
        _extension(13, _vector(bytes.fromhex("04030804040105030805050108060601"), 2)),
        _extension(18, b""),
        _extension(51, _vector(key, 2)),
        _extension(45, b"\x01\x01"),
        _extension(43, _vector(grease + b"\x03\x04\x03\x03", 1)),
        _extension(27, b"\x02\0\x02"),
    ]
    body = b"\x03\x03" + rng.randbytes(32) + _vector(rng.randbytes(32), 1) + _vector(grease + CIPHERS, 2) + b"\x01\0"
    body += _vector(b"".join(extensions) + _extension(21, bytes(160)), 2)
    return _record(0x16, _handshake(1, body), 0x0301)


def _server_hello(rng: random.Random, *, modern: bool) -> bytes:
    if modern:
        extensions = _extension(51, b"\0\x1d\0\x20" + rng.randbytes(32)) + _extension(43, b"\x03\x04")
    else:
        extensions = _extension(0xFF01, b"\0") + _extension(16, _vector(b"\x02h2", 2)) + _extension(11, b"\x01\0")
    suite = b"\x13\x01" if modern else b"\xc0\x2f"
    body = b"\x03\x03" + rng.randbytes(32) + _vector(rng.randbytes(32), 1) + suite + b"\0" + _vector(extensions, 2)
    return _record(0x16, _handshake(2, body))


def _der(tag: int, *parts: bytes) -> bytes:
    data = b"".join(parts)
    if len(data) < 128:
        return bytes([tag, len(data)]) + data
    return bytes([tag, 0x82]) + _vector(data, 2)


def _certificate(rng: random.Random, subject: str) -> bytes:
    """Return a certificate of the right shape, with a key and a signature that mean nothing."""
    signed_with = _der(0x30, bytes.fromhex("06092a864886f70d01010b0500"))
    key_kind = _der(0x30, bytes.fromhex("06092a864886f70d0101010500"))
    names = [
        _der(0x30, _der(0x31, _der(0x30, b"\x06\x03\x55\x04\x03", _der(0x0C, name.encode()))))
        for name in ("Bench Issuing CA", subject)
    ]
    validity = _der(0x30, _der(0x17, b"150101000000Z"), _der(0x17, b"160101000000Z"))
    modulus = _der(0x30, _der(2, b"\0\xc3" + rng.randbytes(255)), b"\x02\x03\x01\0\x01")
    key = _der(0x30, key_kind, _der(3, b"\0", modulus))
    serial = _der(2, b"\x01" + rng.randbytes(8))
    body = _der(0x30, b"\xa0\x03\x02\x01\x02", serial, signed_with, names[0], validity, names[1], key)
    return _vector(_der(0x30, body, signed_with, _der(3, b"\0", rng.randbytes(256))), 3)
