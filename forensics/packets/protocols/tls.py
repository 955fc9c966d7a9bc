"""TLS handshakes in the clear: what a ClientHello asks for, its JA3 and JA4, and the server's certificate.

References
----------
.. [1] RFC 8446, sections 4.1.2 (ClientHello), 4.2 (extensions) and 5.1 (records); RFC 5246, section 7.4.2
   (Certificate).
.. [2] RFC 6066, section 3 (server name); RFC 7301, section 3.1 (ALPN); RFC 8701 (GREASE).
.. [3] J. Althouse, J. Atkinson, J. Atkins, *JA3* (2017), https://github.com/salesforce/ja3.
.. [4] FoxIO, *JA4: TLS Client Fingerprint* (BSD 3-Clause),
   https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CERTIFICATE",
    "CLIENT_HELLO",
    "HANDSHAKE",
    "ClientHello",
    "certificate",
    "handshake_bytes",
    "is_whole",
    "parse_client_hello",
]

CLIENT_HELLO = 1
HANDSHAKE, CERTIFICATE = 22, 11
_SERVER_NAME, _GROUPS, _POINT_FORMATS, _SIGNATURES, _ALPN, _VERSIONS = 0, 10, 11, 13, 16, 43
_VERSION_CODES = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}
_NOTHING = "000000000000"
_GREASE = frozenset(0x0A0A + 0x1010 * k for k in range(16))
"""Codes that only keep servers tolerant."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client offers, in the order in which it does.

    Parameters
    ----------
    version
        Highest version offered.
    legacy_version
        Version in the fixed part of the message.
    ciphers, extensions, groups, signatures
        Codes, GREASE left out.
    points
        Point formats.
    alpn
        Application protocols, as raw bytes.
    server_name
        Name of the server, empty where the client names none.
    """

    version: int
    legacy_version: int
    ciphers: tuple[int, ...]
    extensions: tuple[int, ...]
    groups: tuple[int, ...]
    points: bytes
    signatures: tuple[int, ...]
    alpn: tuple[bytes, ...]
    server_name: str

    @property
    def ja3(self) -> str:
        """The JA3 fingerprint: an MD5 in hexadecimal."""
        return _ja3(self.legacy_version, (self.ciphers, self.extensions, self.groups, self.points))

    def ja4(self, transport: str = "t") -> str:
        """Return the JA4 fingerprint.

        Parameters
        ----------
        transport
            ``t`` for TCP, ``q`` for QUIC.
        """
        head = f"{transport}{_VERSION_CODES.get(self.version, '00')}"
        return head + _ja4(self.ciphers, self.extensions, self.signatures, self.alpn[:1])

    @property
    def protocols(self) -> str:
        """The application protocols offered, separated by commas."""
        return ",".join(name.decode("utf-8", "backslashreplace") for name in self.alpn)


# Clients of one make send the same lists again and again.


@lru_cache(maxsize=4096)
def _ja3(version: int, lists: tuple[Sequence[int], ...]) -> str:
    """Return a JA3 fingerprint."""
    text = ",".join([str(version), *("-".join(map(str, codes)) for codes in lists)])
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@lru_cache(maxsize=4096)
def _ja4(
    ciphers: tuple[int, ...], extensions: tuple[int, ...], signatures: tuple[int, ...], alpn: tuple[bytes, ...]
) -> str:
    """Return a JA4 fingerprint, from whether a name is given on."""
    named = "d" if _SERVER_NAME in extensions else "i"
    head = f"{named}{min(len(ciphers), 99):02}{min(len(extensions), 99):02}{_alpn_letters(alpn)}"
    offered = ",".join(sorted(f"{code:04x}" for code in ciphers))
    extended = ",".join(sorted(f"{code:04x}" for code in extensions if code not in (_SERVER_NAME, _ALPN)))
    signed = "".join(f"{'_' if k == 0 else ','}{code:04x}" for k, code in enumerate(signatures))
    return f"{head}_{_short_hash(offered)}_{_short_hash(extended and extended + signed)}"


def _short_hash(text: str) -> str:
    """Return the first twelve digits of a SHA-256, zeros for an empty text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else _NOTHING


def _alpn_letters(alpn: tuple[bytes, ...]) -> str:
    """Return first and last letter of the first protocol; ``00`` for none, ``99`` where it is not ASCII."""
    if not alpn or not alpn[0]:
        return "00"
    first, last = alpn[0][0], alpn[0][-1]
    return "99" if first > 127 else chr(first) + chr(last)


@lru_cache(maxsize=4096)
def _codes(raw: bytes) -> tuple[int, ...]:
    """Return a list of 16-bit codes without GREASE."""
    codes = struct.unpack(f">{len(raw) // 2}H", raw[: len(raw) & ~1])
    return tuple(code for code in codes if code not in _GREASE)


def _listed(raw: bytes) -> bytes:
    """Return the inside of a list whose length stands before it in 16 bits."""
    return raw[2 : 2 + int.from_bytes(raw[:2], "big")]


def _alpn(raw: bytes) -> tuple[bytes, ...]:
    """Return the names of an ALPN extension."""
    names: list[bytes] = []
    listed, at = _listed(raw), 0
    while at < len(listed):
        names.append(listed[at + 1 : at + 1 + listed[at]])
        at += 1 + listed[at]
    return tuple(names)


def _server_name(raw: bytes) -> str:
    """Return the host name of a server name extension, empty where it has none."""
    size = int.from_bytes(raw[3:5], "big")  # length of the list, type of the name, length of the name
    return raw[5 : 5 + size].decode("utf-8", "backslashreplace") if raw[2:3] == b"\0" else ""


def _extensions(raw: bytes) -> list[tuple[int, bytes]]:
    """Return the extensions of a hello in order; one that is cut has what is there of it."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at + 4 <= len(raw):
        code, size = struct.unpack_from(">HH", raw, at)
        found.append((code, raw[at + 4 : at + 4 + size]))
        at += 4 + size
    return found


def parse_client_hello(data: bytes) -> ClientHello | None:
    """Read a ClientHello, as far as it is there; None where its ciphers are not.

    Parameters
    ----------
    data
        The handshake message, its header of four bytes included.
    """
    at = 39 + (data[38] if len(data) > 38 else 0)  # header, version, random, session
    size = int.from_bytes(data[at : at + 2], "big")
    if data[:1] != b"\x01" or len(data) < at + 2 + size or size < 2:
        return None
    legacy = int.from_bytes(data[4:6], "big")
    ciphers = _codes(data[at + 2 : at + 2 + size])
    at += 2 + size
    at += 1 + (data[at] if at < len(data) else 0)  # compression methods
    listed = _extensions(_listed(data[at : 4 + int.from_bytes(data[1:4], "big")]))
    inside = dict(reversed(listed))  # of a repeated extension the first counts
    versions = _codes(inside.get(_VERSIONS, b"")[1:])
    return ClientHello(
        version=max(versions, default=legacy),
        legacy_version=legacy,
        ciphers=ciphers,
        extensions=tuple(code for code, _ in listed if code not in _GREASE),
        groups=_codes(_listed(inside.get(_GROUPS, b""))),
        points=inside.get(_POINT_FORMATS, b"")[1:],
        signatures=_codes(_listed(inside.get(_SIGNATURES, b""))),
        alpn=_alpn(inside.get(_ALPN, b"")),
        server_name=_server_name(inside.get(_SERVER_NAME, b"")),
    )


def handshake_bytes(data: bytes) -> bytes:
    """Return what the leading handshake records of a stream carry, the record headers taken off."""
    found = b""
    at = 0
    while at + 5 <= len(data) and data[at] == HANDSHAKE:
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        found += data[at + 5 : at + 5 + size]
        at += 5 + size
    return found


def is_whole(handshake: bytes) -> bool:
    """Tell whether a handshake message is all there."""
    return len(handshake) >= 4 and len(handshake) >= 4 + int.from_bytes(handshake[1:4], "big")


def certificate(handshake: bytes) -> bytes | None:
    """Return the server's own certificate out of its first flight, in DER; None where it is not there, or not yet."""
    at = 0
    while at + 4 <= len(handshake):
        size = int.from_bytes(handshake[at + 1 : at + 4], "big")
        if handshake[at] == CERTIFICATE:
            first = int.from_bytes(handshake[at + 7 : at + 10], "big")
            der = handshake[at + 10 : at + 10 + first]
            return der if 0 < first == len(der) else None
        at += 4 + size
    return None
