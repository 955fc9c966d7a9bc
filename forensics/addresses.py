"""Addresses and host names in their one canonical text.

References
----------
.. [1] RFC 5952, *A Recommendation for IPv6 Address Text Representation*.
.. [2] RFC 4291, section 2.5.5.2: IPv4-mapped IPv6 addresses.
.. [3] RFC 3490, *Internationalizing Domain Names in Applications*.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from contextlib import suppress
from functools import lru_cache
from unicodedata import normalize

__all__ = ["address_text", "host_name", "ipv6_text", "is_private", "packed_text"]


@lru_cache(maxsize=65536)
def address_text(text: str) -> str | None:
    """Return an address in canonical text, or None where the text is no address.

    An IPv4-mapped IPv6 address becomes the IPv4 address that it stands for; brackets and a zone index are taken off.

    Examples
    --------
    >>> address_text("2001:DB8:0:0::1")
    '2001:db8::1'
    >>> address_text("::ffff:192.0.2.1")
    '192.0.2.1'
    >>> address_text("www.example") is None
    True
    """
    bare = text.strip("[]").partition("%")[0]
    if ":" not in bare and not bare[-1:].isdecimal():
        return None  # most are names, and an error takes longer than a look
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def packed_text(packed: bytes) -> str:
    """Return the canonical text of an address as packets hold it.

    Parameters
    ----------
    packed
        4 bytes of an IPv4 address, or 16 of an IPv6 address.

    Examples
    --------
    >>> packed_text(bytes([192, 0, 2, 1]))
    '192.0.2.1'
    """
    return ".".join(map(str, packed)) if len(packed) < _LONG else ipv6_text(packed)


_LONG = 16
"""Bytes of an IPv6 address."""

_GROUPS = struct.Struct(">8H")
_ZEROS = re.compile(r"\b0(?::0)+\b")
_MAPPED = bytes(10) + b"\xff\xff"


def ipv6_text(packed: bytes) -> str:
    """Return the canonical text of an IPv6 address as packets hold it; several times as fast as `ipaddress`.

    Parameters
    ----------
    packed
        16 bytes.

    Examples
    --------
    >>> ipv6_text(bytes.fromhex("20010db8000000000001000000000001"))
    '2001:db8::1:0:0:1'
    >>> ipv6_text(bytes(10) + bytes.fromhex("ffffc0000201"))
    '192.0.2.1'
    """
    if packed.startswith(_MAPPED):
        return packed_text(packed[12:])
    text = "{:x}:{:x}:{:x}:{:x}:{:x}:{:x}:{:x}:{:x}".format(*_GROUPS.unpack(packed))
    longest = max(_ZEROS.finditer(text), key=lambda run: run.end() - run.start(), default=None)  # the first of equals
    if longest is None:
        return text
    return f"{text[: longest.start()].removesuffix(':')}::{text[longest.end() :].removeprefix(':')}"


_END = re.compile("[\\s.\u3002\uff0e\uff61]+$")
"""Last dots of a name, in any of the four forms that RFC 3490, section 3.1, takes for a dot."""


@lru_cache(maxsize=65536)
def host_name(text: str) -> str | None:
    """Return a host name in canonical form: lower case, no trailing dot, IDN as ASCII; None where nothing is left.

    Names that break the rules are kept, lower-cased: attackers write such names, and they are evidence.

    Examples
    --------
    >>> host_name("WWW.Example.")
    'www.example'
    >>> host_name("b\u00fccher.example")
    'xn--bcher-kva.example'
    """
    name = _END.sub("", text.lstrip().lower())
    if not name.isascii():
        # Letters of full width are letters, and an accent that stands alone stands on a blank.
        name = _END.sub("", normalize("NFKC", name).lower().lstrip())
        with suppress(UnicodeError):  # no lawful IDN: the text itself is what was observed
            name = _END.sub("", name.encode("idna").decode("ascii"))
    return name or None


@lru_cache(maxsize=65536)
def is_private(address: str) -> bool:
    """Tell whether an address is of a range that the internet does not route; a name is of none.

    These are RFC 1918, RFC 4193, link-local and loopback. Documentation ranges are not private: samples use them for
    servers.

    Examples
    --------
    >>> is_private("10.20.0.7"), is_private("203.0.113.7")
    (True, False)
    """
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(known in network for network in _PRIVATE)


_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16",
        "fc00::/7", "fe80::/10", "::1/128",
    )
)  # fmt: skip
