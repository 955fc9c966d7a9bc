"""Hosts in logs: what a URL, a ``Host`` header or the target of a CONNECT asks for.

Example: ``target("GET", "http://WWW.Example:8080/a")`` is ``Target("http", "www.example", None, 8080)``.

References
----------
.. [1] RFC 9110, section 4.2, and RFC 9112, section 3.2: forms of a request target, default ports.
.. [2] RFC 3986, section 3.2: authority, user information, IPv6 literals in brackets.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from unicodedata import normalize
from urllib.parse import unquote

from forensics import addresses

__all__ = ["Target", "address_of", "host_of", "host_port", "name_of", "server_of", "target"]

LONGEST_NAME = 1024
"""A longer host is none: DNS allows 253 characters, and kept ones are held in caches. [characters]"""

LONGEST_ADDRESS = 64

_SCHEMES: dict[str, tuple[str, int]] = {
    "http": ("http", 80),
    "https": ("ssl", 443),
    "ws": ("http", 80),
    "wss": ("ssl", 443),
    "ftp": ("ftp", 21),
    "gopher": ("gopher", 70),
    "wais": ("wais", 210),
    "whois": ("whois", 43),
}


_ABSOLUTE = re.compile(rf"([A-Za-z][A-Za-z0-9+._-]{{0,15}})://([^/?#]{{0,{LONGEST_NAME}}}+)(?:[/?#]|$)").match


class Target(NamedTuple):
    """The server a request asks for.

    Parameters
    ----------
    service
        Application protocol, as Zeek names it; None where it is not known.
    name
        Host name, canonical; None where the host is an address, or there is none.
    address
        The host where it is an address, canonical.
    port
        Its port, from the URL or the scheme's default.
    """

    service: str | None
    name: str | None
    address: str | None
    port: int | None

    @property
    def host(self) -> str | None:
        """Name or address, whichever was asked for."""
        return self.name or self.address


NOWHERE = Target(None, None, None, None)


def address_of(text: str) -> str | None:
    """Return an address in canonical text, or None where the text is no address.

    Digits and dots of full width are what they stand for. An address in another notation (``0x7f.1``, ``010.0.0.1``,
    ``2130706433``) is none: what the program that wrote it made of it is not known.

    Examples
    --------
    >>> address_of("\uff11\uff19\uff12.0\u30022.1"), address_of("010.0.0.1")
    ('192.0.2.1', None)
    """
    if len(text) > LONGEST_ADDRESS:
        return None
    return addresses.address_text(text if text.isascii() else normalize("NFKC", text).replace("\u3002", "."))


def name_of(text: str) -> str | None:
    """Return a host name in canonical text, or None where the text is empty or too long for a name."""
    return addresses.host_name(text) if len(text) <= LONGEST_NAME else None


def host_port(text: str) -> tuple[str, int | None]:
    """Split ``host:port``; the port is None where there is none, or none that exists.

    Examples
    --------
    >>> host_port("[2001:db8::1]:443"), host_port("www.example"), host_port("2001:db8::1")
    (('[2001:db8::1]', 443), ('www.example', None), ('2001:db8::1', None))
    """
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]") or (":" in host and not host.endswith("]")):
        return text, None
    valid = port.isdecimal() and port.isascii() and len(port) <= 5 and 0 < int(port) < 65536
    return host, int(port) if valid else None


def host_of(text: str) -> str | None:
    """Return the name of a host that is told with or without its port; None where it is an address.

    Examples
    --------
    >>> host_of("WWW.Example:8080"), host_of("192.0.2.1:80")
    ('www.example', None)
    """
    host, _ = host_port(text)
    return None if address_of(host) else name_of(host)


def server_of(text: str) -> str | None:
    """Return a host that is told with or without its port, whether it is a name or an address.

    Examples
    --------
    >>> server_of("WWW.Example:8080"), server_of("[2001:DB8::1]:443")
    ('www.example', '2001:db8::1')
    """
    host, _ = host_port(text)
    return address_of(host) or name_of(host)


def target(method: str, url: str) -> Target:
    """Return what a request asks for; nothing where the target names no server.

    Parameters
    ----------
    method
        Method of the request: a CONNECT's target is ``host:port``.
    url
        Target of the request: absolute URL, or ``host:port``.
    """
    if method == "CONNECT":
        return _tunnel(url) if len(url) <= LONGEST_NAME else NOWHERE
    absolute = _ABSOLUTE(url)
    return _server(*absolute.groups()) if absolute else NOWHERE


@lru_cache(maxsize=65536)
def _server(scheme: str, authority: str) -> Target:
    """Return the server of an absolute URL."""
    service, default = _SCHEMES.get(scheme.lower(), (None, None))
    host, port = host_port(_plain(authority.rpartition("@")[2]))
    address = address_of(host)
    return Target(service, None if address else name_of(host), address, port or default)


@lru_cache(maxsize=65536)
def _tunnel(authority: str) -> Target:
    """Return the server of a CONNECT; older proxies write IPv6 addresses without brackets."""
    authority = _plain(authority)
    host, port = host_port(authority)
    if port is None and authority.count(":") > 1 and "[" not in authority:
        bare, _, last = authority.rpartition(":")
        host, port = host_port(f"[{bare}]:{last}")
    address = address_of(host)
    # Whatever speaks inside a tunnel, only on its own port can TLS be taken for granted.
    return Target("ssl" if port == 443 else None, None if address else name_of(host), address, port)


def _plain(authority: str) -> str:
    """Return an authority with percent-escapes resolved: Squid writes the brackets of IPv6 addresses so."""
    return unquote(authority) if "%" in authority else authority
