"""Community ID: one text for a connection that Zeek, Suricata, Arkime, Wireshark and others compute alike.

Example::

    flows = case.flows.to_pandas()
    flows[fx.community_ids(flows) == "1:wCb3OG7yAFWelaUydu0D+125CLM="]

References
----------
.. [1] Corelight, *Community ID Flow Hashing*, version 1: https://github.com/corelight/community-id-spec
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from forensics.protocols import number_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

__all__ = ["COLUMNS", "community_id", "community_ids", "community_texts"]

COLUMNS = ("src", "dst", "src_port", "dst_port", "proto")
"""What of a flow goes into its Community ID."""

_PORTED = {1, 6, 17, 58, 132}

_ANSWERS = {
    1: {8: 0, 0: 8, 10: 9, 9: 10, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17},
    58: {128: 129, 129: 128, 130: 131, 131: 130, 133: 134, 134: 133, 135: 136, 136: 135, 139: 140, 140: 139,
         144: 145, 145: 144},
}  # fmt: skip
"""ICMP and ICMPv6 types that ask or answer, with the other of the pair; a message of any other type goes one way."""

_MAPPED = bytes(10) + b"\xff\xff"  # before the four bytes of an IPv4 address that stands in an IPv6 one
_LAST_WORD = 0xFFFF


def community_id(src: str, dst: str, src_port: int | None, dst_port: int | None, proto: str, *, seed: int = 0) -> str:
    """Return the Community ID of one connection; both directions have the same.

    Parameters
    ----------
    src, dst
        Its addresses.
    src_port, dst_port
        Its ports; type and code of an ICMP message; None where it has none.
    proto
        As ``flows`` has it: ``tcp``, ``udp``, ``icmp``, ``icmp6``, ``sctp`` or ``ip-N``.
    seed
        Number of 16 bits that whoever shares the IDs has agreed on.

    Returns
    -------
    str
        The ID, which begins with ``1:``.

    Raises
    ------
    ValueError
        An address or a protocol is none, or a port or the seed has more than 16 bits.

    Notes
    -----
    The tables of a case have an IPv4-mapped IPv6 address as the IPv4 address that it stands for, and its ID is that of
    the IPv4 address.

    Examples
    --------
    >>> community_id("1.2.3.4", "5.6.7.8", 1122, 3344, "tcp")
    '1:wCb3OG7yAFWelaUydu0D+125CLM='
    >>> community_id("5.6.7.8", "1.2.3.4", 0, 0, "icmp")  # an echo reply
    '1:crodRHL2FEsHjbv3UkRrfbs4bZ0='
    """
    number = _number(proto)
    low, high = _packed(src), _packed(dst)
    width = max(len(low), len(high))
    low, high = (_MAPPED + low)[-width:], (_MAPPED + high)[-width:]
    ports = b""
    if number in _PORTED and src_port is not None and dst_port is not None:
        answers = _ANSWERS.get(number)
        one_way = answers is not None and src_port not in answers
        first, second = (src_port, dst_port if one_way else answers[src_port]) if answers else (src_port, dst_port)
        if not one_way and (high, second) < (low, first):
            low, high, first, second = high, low, second, first
        ports = _word("port", first) + _word("port", second)
    elif high < low:
        low, high = high, low
    digest = hashlib.sha1(_word("seed", seed) + low + high + bytes([number, 0]) + ports, usedforsecurity=False).digest()
    return f"1:{base64.b64encode(digest).decode()}"


def community_ids(flows: pd.DataFrame, *, seed: int = 0) -> pd.Series[str]:
    """Return the Community IDs of flows.

    Parameters
    ----------
    flows
        Rows of ``flows``: a data frame with the columns `COLUMNS`.
    seed
        Number of 16 bits that whoever shares the IDs has agreed on; 0 is what tools take by default.

    Returns
    -------
    pandas.Series
        An ID per row, with the index of ``flows``; missing where the row has no address of a server or no protocol.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        The seed has more than 16 bits.

    Examples
    --------
    >>> community_ids(case.flows.to_pandas())  # doctest: +SKIP
    """
    import pandas as pd

    columns = [flows[name].astype(object).where(flows[name].notna(), None).tolist() for name in COLUMNS]
    return pd.Series(community_texts(zip(*columns, strict=True), seed=seed), index=flows.index, name="community_id")


def community_texts(rows: Iterable[tuple[object, ...]], *, seed: int = 0) -> list[str | None]:
    """Return the Community IDs of rows of the columns `COLUMNS`; None of a row that names no two addresses."""
    _word("seed", seed)
    return [_or_none(row, seed) for row in rows]


def _or_none(row: tuple[object, ...], seed: int) -> str | None:
    src, dst, src_port, dst_port, proto = row
    first, second = (None if port is None else int(str(port)) for port in (src_port, dst_port))
    try:
        return community_id(str(src), str(dst), first, second, str(proto), seed=seed)
    except ValueError:  # a log may name a server by its name, or no protocol
        return None


def _number(proto: str) -> int:
    """Return the number of a protocol."""
    number = number_of(proto)
    if number is None:
        raise ValueError(f"{proto!r} is no protocol: tcp, udp, icmp, icmp6, sctp and ip-N are")
    return number


@lru_cache(maxsize=65536)
def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _word(name: str, value: int) -> bytes:
    """Return a number of 16 bits as the network writes it."""
    if not 0 <= value <= _LAST_WORD:
        raise ValueError(f"{name} is {value}, it must be 0 to {_LAST_WORD}")
    return value.to_bytes(2, "big")
