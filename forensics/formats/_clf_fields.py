r"""What the fields of access logs become: escapes, clients, hosts, request lines, and columns put together.

Example: ``client_of("unix:")`` is ``"unix"``; `request_line` divides ``GET /a b HTTP/1.1`` into method and target.

References
----------
.. [1] RFC 9112, section 3: the request line; RFC 9110, section 5.6.2: the characters of a method.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._cut import ABSENT, Cut, divided
from forensics.formats._hosts import address_of, host_port, name_of
from forensics.formats._sheet import Ints, Words

if TYPE_CHECKING:
    from forensics.formats._asked import Forwarded

__all__ = [
    "address_in", "backslashes", "before_last", "behind", "client_of", "last_client",
    "method_of", "name_in", "nothing", "port_in", "request_line", "secured",
]  # fmt: skip

_LONGEST_METHOD = 32
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ESCAPES = re.compile(r"(?:\\x[0-9A-Fa-f]{2})+|\\u([0-9A-Fa-f]{4})|\\(.)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "v": "\v", "f": "\f"}
_SECURE = re.compile(r"https|wss|on|(?:TLS|SSL).*", re.IGNORECASE)


def backslashes(text: str) -> str:
    r"""Undo the escapes of Apache and nginx: ``\"``, ``\n``, and ``\xNN``; bytes that are no UTF-8 stay so.

    nginx writes JSON's ``\\u0007`` where it is told to.
    """
    return _ESCAPES.sub(_unescaped, text)


def _unescaped(match: re.Match[str]) -> str:
    if match[1] is not None:
        return chr(int(match[1], 16))
    if match[2] is not None:
        return _PLAIN.get(match[2], match[2])
    return bytes.fromhex(match[0].replace("\\x", "")).decode("utf-8", "backslashreplace")


def client_of(text: str) -> str | None:
    """Return the address of a client, or its name, which some servers look up; None where it is neither."""
    address = address_of(text)
    if address:
        return address
    if text.startswith("unix:"):
        return "unix"  # through a socket of the machine itself
    bare = re.sub(r"[-._]", "", text)
    return name_of(text) if bare.isalnum() and not bare.isdecimal() else None


def method_of(text: str) -> str | None:
    return text if len(text) <= _LONGEST_METHOD and _METHOD.fullmatch(text) else None


def address_in(text: str) -> str | None:
    return address_of(host_port(text)[0]) or ""


def name_in(text: str) -> str | None:
    """Return the name in a ``Host`` header; a pattern as servers have them (``_``, ``*.example``) is none."""
    host = host_port(text)[0]
    return "" if address_of(host) or host.strip("_") == "" or "*" in host or "/" in host else name_of(host)


def port_in(text: str) -> str:
    port = host_port(text)[1]
    return str(port) if port else ""


def secured(text: str) -> str:
    return "ssl" if _SECURE.fullmatch(text) else "http"


def request_line(cut: Cut, field: int) -> tuple[Cut, Cut]:
    """Return the methods and the targets of request lines; targets may hold spaces, and no version may follow."""
    parts = divided(cut, field, b" ", 2)
    spaced = parts.flag[1] & ABSENT == 0
    parts.flag[0][~spaced] = ABSENT
    parts.begin[0][~spaced] = parts.end[0][~spaced] = 0
    tail = divided(parts, 1, b" ", 2, from_end=True)
    begin, end = tail.begin[1], tail.end[1]
    versioned = (tail.flag[0] & ABSENT == 0) & (end - begin >= 5)
    for place, byte in enumerate(b"HTTP/"):
        versioned &= cut.data[np.where(versioned, begin + np.int32(place), 0)] == byte
    stop = np.where(versioned, tail.end[0], parts.end[1])
    url = replace(parts, begin=parts.begin[1:], end=np.ascontiguousarray(stop[None], np.int32), flag=parts.flag[1:])
    return parts, url


def nothing(rows: int) -> Ints:
    """Return a column without numbers."""
    return Ints(np.zeros(rows, np.int64), np.zeros(rows, np.bool_))


def last_client(text: str) -> str | None:
    return client_of(text.rpartition(",")[2].strip())


def before_last(text: str) -> str:
    return text.rpartition(",")[0].strip()


def behind(peer: Words, forwarded: Words, known: Forwarded) -> Words:
    """Return the clients behind peers; a code differs from the peer's where a header was believed.

    Parameters
    ----------
    peer
        Whom the connections came from.
    forwarded
        Their ``X-Forwarded-For``.
    known
        What is trusted; it counts.
    """
    both = peer.known & forwarded.known
    pair = peer.codes.astype(np.int64) << 32 | forwarded.codes
    distinct, turned, rows = np.unique(pair[both], return_inverse=True, return_counts=True)
    places, peers = {value: place for place, value in enumerate(peer.values)}, set[str]()
    new, used = np.zeros(len(distinct), np.int32), 0
    for place, (code, count) in enumerate(zip(distinct.tolist(), rows.tolist(), strict=True)):
        own = peer.values[code >> 32]
        client, believed = known.client(own, forwarded.values[code & 0xFFFFFFFF])
        new[place] = code >> 32
        if believed:
            used += count
            peers.add(own)
            new[place] = places.setdefault(client, len(places))
    known.count(used=used, not_used=int(both.sum()) - used, peers=peers)
    codes = peer.codes.copy()
    codes[both] = new[turned]
    return Words(codes, tuple(places))
