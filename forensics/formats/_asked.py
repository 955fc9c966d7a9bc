"""Who asked: the client behind the proxies that the analyst trusts.

``X-Forwarded-For`` is written by whoever sends the request, and each proxy adds the address that it was asked from at
its end. So only what a trusted proxy has added is known; the rest is the client's word.

References
----------
.. [1] RFC 7239, *Forwarded HTTP Extension*, sections 5.2 and 8.1: forms of addresses, and what can be believed.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from threading import Lock
from typing import TYPE_CHECKING

from forensics.formats._hosts import address_of, host_port

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forensics.formats import Evidence

__all__ = ["Forwarded", "real_client"]

MOST_SHOWN = 5
"""Trusted peers that the notes of a file list."""

MOST_HOPS = 32
"""A list of more addresses is none that proxies wrote; only its last ones are looked at."""

_Networks = tuple[IPv4Network | IPv6Network, ...]


@lru_cache(maxsize=65536)
def real_client(peer: str, forwarded: str, trusted: _Networks) -> tuple[str, bool]:
    """Return who sent a request, and whether ``X-Forwarded-For`` says so.

    The list is read from its end. A trusted proxy's word for the one before it is taken; the first address that is not
    a trusted proxy is the client. What is no address (``unknown``, a name) ends the walk: the last proxy that is known
    stands for the client.

    Parameters
    ----------
    peer
        Address that the connection came from, canonical.
    forwarded
        The header's value; several headers joined by commas.
    trusted
        Networks of trusted proxies.

    Returns
    -------
    tuple
        The client's address, canonical, and whether it is another than the peer.

    Examples
    --------
    >>> from ipaddress import ip_network
    >>> real_client("192.0.2.1", "203.0.113.9, 198.51.100.7:4711", (ip_network("192.0.2.0/24"),))
    ('198.51.100.7', True)
    """
    client = peer
    for text in reversed(forwarded.rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
        if not _trusts(client, trusted):
            break
        address = _address(text.strip(' \t"'))
        if address is None:
            break
        client = address
    return client, client != peer


def _trusts(address: str, trusted: _Networks) -> bool:
    """Tell whether an address is one of a trusted proxy; a name is not."""
    try:
        known = ip_address(address)
    except ValueError:
        return False
    return any(known in network for network in trusted)


def _address(text: str) -> str | None:
    """Return an address, with or without a port, in canonical text."""
    return address_of(text) or address_of(host_port(text)[0])


class Forwarded:
    """Clients of one log behind trusted proxies, counted in the notes of the file.

    The notes are ``forwarded_for_used`` and ``forwarded_for_not_used`` (rows), and ``trusted_peers``, some of the
    proxies that were believed.

    Parameters
    ----------
    evidence
        The log; its hints name the trusted proxies.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence, self._trusted = evidence, evidence.hints.trusted_proxies
        self._peers = set[str]()
        self._lock = Lock()

    def client(self, peer: str, forwarded: str) -> tuple[str, bool]:
        """Return who sent a request; see `real_client`."""
        return real_client(peer, forwarded, self._trusted)

    def count(self, *, used: int, not_used: int, peers: Iterable[str]) -> None:
        """Count rows whose header was believed, and rows whose header was not.

        Parameters
        ----------
        used, not_used
            Numbers of rows.
        peers
            The peers that were believed.
        """
        self._evidence.note("forwarded_for_used", used)
        self._evidence.note("forwarded_for_not_used", not_used)
        with self._lock:
            self._peers = set(sorted(self._peers.union(peers))[:MOST_SHOWN])
            if self._peers:
                self._evidence.notes["trusted_peers"] = sorted(self._peers)
