"""SOCKS 4, 4a and 5: whom a client has a proxy connect it to.

References
----------
.. [1] RFC 1928, sections 3-6 (SOCKS 5); RFC 1929 (user name and password).
.. [2] Y. Lee, *SOCKS: A protocol for TCP proxy across firewalls*; *SOCKS 4A: A Simple Extension to SOCKS 4 Protocol*.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from forensics.addresses import address_text, host_name
from forensics.packets.protocols.streams import Stream

__all__ = ["Dialogue", "Target"]

_LIMIT = 2048
_CONNECT = 1
_PASSWORD = 2


@dataclass(frozen=True, slots=True)
class Target:
    """Where a SOCKS client wants to go: a host name or an address, and a port."""

    host: str
    port: int


class Dialogue:
    """What client and proxy say to each other before the proxy connects.

    Parameters
    ----------
    seq
        Sequence number of the client's first byte.
    """

    def __init__(self, seq: int) -> None:
        self._client = Stream(seq, _LIMIT)
        self._server: Stream | None = None

    def add(self, seq: int, data: bytes, *, from_client: bool) -> Target | None:
        """Take in a piece of either side; return the target once client and proxy have both named themselves SOCKS."""
        if from_client:
            self._client.add(seq, data)
        else:
            self._server = self._server or Stream(seq, _LIMIT)
            self._server.add(seq, data)
        said = self._client.data
        if self._server is None or not self._server.data or not said:
            return None
        return _target5(said, self._server.data) if said[0] == 5 else _target4(said, self._server.data)


def _target4(said: bytes, answer: bytes) -> Target | None:
    """Return the target of a SOCKS 4 request that was answered."""
    _, end, rest = said[8:].partition(b"\0")
    if len(said) < 9 or said[1] != _CONNECT or not end or answer[0] != 0:
        return None
    port = int.from_bytes(said[2:4], "big")
    if said[4:7] == b"\0\0\0" and said[7]:  # an address that cannot be: a name follows
        name, end, _ = rest.partition(b"\0")
        host = host_name(name.decode("utf-8", "backslashreplace"))
        return Target(address_text(host) or host, port) if end and host else None
    return Target(str(IPv4Address(said[4:8])), port)


def _target5(said: bytes, answer: bytes) -> Target | None:
    """Return the target of a SOCKS 5 request behind the greeting, and behind the password where one was asked for."""
    if answer[0] != 5 or len(answer) < 2:
        return None
    at = 2 + said[1] if len(said) > 1 else len(said)
    if answer[1] == _PASSWORD and len(said) > at + 1:
        name = at + 2 + said[at + 1]
        at = name + 1 + said[name] if len(said) > name else len(said)
    request = said[at:]
    if len(request) < 7 or request[0] != 5 or request[1] != _CONNECT or request[2] != 0:
        return None
    size = {1: 4, 3: 1 + request[4], 4: 16}.get(request[3], 0)
    raw, port = request[4 : 4 + size], request[4 + size : 6 + size]
    if not size or len(port) < 2:
        return None
    if request[3] == 3:
        host = host_name(raw[1:].decode("utf-8", "backslashreplace"))
        host = host and (address_text(host) or host)
    else:
        host = address_text(str(IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw)))
    return Target(host, int.from_bytes(port, "big")) if host else None
