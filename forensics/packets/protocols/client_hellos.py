"""ClientHellos, many at a time: whose name each asks for, and which of them offer the same.

What a client offers hardly differs from one of its connections to the next, so that fingerprints are worth making
once: hellos that offer the same are told by a key, in a compiled loop that goes through each of them once.

References
----------
.. [1] RFC 8446, sections 4.1.2 (ClientHello), 4.2 (extensions) and 5.1 (records); RFC 6066, section 3 (server name).
.. [2] RFC 8701 (GREASE): codes that a client draws at random stand in no key.
.. [3] R. M. Karp, M. O. Rabin, *Efficient randomized pattern-matching algorithms* (1987), doi:10.1147/rd.312.0249: two
   texts of n codes have the same key with a chance below (n / 2**31)**2, whoever wrote them.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.packets._jit import entry, jit
from forensics.packets.framing import u8, u16

if TYPE_CHECKING:
    from forensics.packets.layout import Bytes, Longs

__all__ = ["Hellos", "scan_hellos"]

_PRIME = (1 << 31) - 1
_SERVER_NAME, _GROUPS, _POINT_FORMATS, _SIGNATURES, _ALPN, _VERSIONS = 0, 10, 11, 13, 16, 43

# Columns of what the loop finds.
_SIMPLE, _NAME, _NAME_END, _KEY, _OTHER_KEY, _COLUMNS = range(6)


@jit
def _mix(out: Longs, i: int, factors: Longs, code: int) -> None:
    """Take a code into the keys of hello ``i``."""
    for k in range(2):
        out[i, _KEY + k] = (int(out[i, _KEY + k]) * int(factors[k]) + code + 1) % _PRIME


@jit
def _mix_codes(b: Bytes, at: int, end: int, out: Longs, i: int, factors: Longs) -> None:
    """Take a list of 16-bit codes into the keys, GREASE left out."""
    _mix(out, i, factors, 1 << 16)  # where a list begins
    for p in range(at, end - 1, 2):
        code = u16(b, p)
        if code & 0x0F0F != 0x0A0A or code >> 8 != code & 255:
            _mix(out, i, factors, code)


@jit
def _mix_bytes(b: Bytes, at: int, end: int, out: Longs, i: int, factors: Longs) -> None:
    """Take bytes into the keys."""
    _mix(out, i, factors, (1 << 16) + end - at)
    for p in range(at, end):
        _mix(out, i, factors, u8(b, p))


@jit
def _extension(b: Bytes, at: int, end: int, code: int, out: Longs, i: int, factors: Longs) -> int:
    """Take in what matters of an extension; return 0 where it is none that such an extension should be."""
    if code == _SERVER_NAME:
        if end - at < 5 or u8(b, at + 2) != 0 or at + 5 + u16(b, at + 3) > end or out[i, _NAME_END]:
            return 0
        out[i, _NAME] = at + 5
        out[i, _NAME_END] = at + 5 + u16(b, at + 3)
    elif code in (_GROUPS, _SIGNATURES):
        if end - at < 2 or at + 2 + u16(b, at) != end:
            return 0
        _mix_codes(b, at + 2, end, out, i, factors)
    elif code == _VERSIONS:
        _mix_codes(b, at + 1, end, out, i, factors)
    elif code in (_POINT_FORMATS, _ALPN):
        _mix_bytes(b, at, end, out, i, factors)
    return 1


@jit
def _extensions(b: Bytes, at: int, end: int, out: Longs, i: int, factors: Longs) -> int:
    """Go through the extensions of a hello; return 1 where they are whole, and each there but once."""
    seen = 0
    while at + 4 <= end:
        code = u16(b, at)
        size = u16(b, at + 2)
        if at + 4 + size > end or (code < 63 and seen >> code & 1):
            return 0
        if code & 0x0F0F != 0x0A0A or code >> 8 != code & 255:
            _mix(out, i, factors, (2 << 16) + code)
            if code < 63:
                seen |= 1 << code
            if not _extension(b, at + 4, at + 4 + size, code, out, i, factors):
                return 0
        at += 4 + size
    return int(at == end)


@jit
def _handshake_end(b: Bytes, o: int, end: int) -> int:
    """Return where the ClientHello ends that begins a TLS record at ``o``; 0 where there is none, or not all of it."""
    if o + 44 > end or u8(b, o) != 22 or u8(b, o + 5) != 1:
        return 0
    size = 4 + (u8(b, o + 6) << 16 | u16(b, o + 7))
    return o + 5 + size if 39 < size <= u16(b, o + 3) and o + 5 + size <= end else 0


@jit
def _hello(b: Bytes, o: int, end: int, out: Longs, i: int, factors: Longs) -> int:
    """Go through what may be a hello in one record; return 1 where it is one, whole and as it should be."""
    end = _handshake_end(b, o, end)
    at = o + 44 + (u8(b, o + 43) if end else 0)  # behind version, random and session
    ciphers = u16(b, at) if at + 2 <= end else 0
    if ciphers < 2 or at + 3 + ciphers > end:
        return 0
    _mix(out, i, factors, u16(b, o + 9))
    _mix_codes(b, at + 2, at + 2 + ciphers, out, i, factors)
    at += 2 + ciphers
    at += 1 + u8(b, at)  # compression methods
    if at == end:
        return 1
    if at + 2 > end or at + 2 + u16(b, at) != end:
        return 0
    return _extensions(b, at + 2, end, out, i, factors)


@entry
def _scan(b: Bytes, ends: Longs, out: Longs, factors: Longs) -> None:
    """Go through hellos."""
    for i in range(ends.shape[0] - 1):
        out[i, _SIMPLE] = _hello(b, int(ends[i]), int(ends[i + 1]), out, i, factors)


class Hellos(NamedTuple):
    """What a loop over n pieces of TLS found.

    Parameters
    ----------
    simple
        Whether a piece is a whole ClientHello in one record, and nothing about it out of the ordinary. (n,)
    names, name_ends
        Where the name that it asks for lies; empty where it has none. (n,)
    offers
        The same number for hellos that offer the same. (n,)
    """

    simple: np.ndarray[tuple[int], np.dtype[np.bool_]]
    names: Longs
    name_ends: Longs
    offers: Longs


def scan_hellos(data: Bytes, ends: Longs) -> Hellos:
    """Go through what may be ClientHellos.

    Parameters
    ----------
    data
        First pieces of TLS connections, end to end.
    ends
        Where each of them begins, and where the last one ends: n + 1 offsets.
    """
    out = np.zeros((len(ends) - 1, _COLUMNS), dtype=np.int64)
    factors = np.array([2 + secrets.randbelow(_PRIME - 2) for _ in range(2)], dtype=np.int64)
    _scan(data, ends, out, factors)
    offers = out[:, _KEY] << 31 | out[:, _OTHER_KEY]
    return Hellos(out[:, _SIMPLE] == 1, out[:, _NAME], out[:, _NAME_END], offers)
