"""The checksum of the Internet protocols, verified at memory speed.

References
----------
.. [1] RFC 1071, *Computing the Internet Checksum*, section 2: byte order independence, parallel summation.
.. [2] RFC 9293, section 3.1; RFC 768; RFC 8200, section 8.1: the pseudo-headers.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from forensics.packets._jit import hot, jit
from forensics.packets.framing import u8

if TYPE_CHECKING:
    from forensics.packets.layout import Bytes, Longs

__all__ = ["is_sum_right", "ones_sum"]

_LOW32 = 0xFFFF_FFFF
# Sums are made in the machine's own byte order, and only compared with 0xffff, which is the same in both.
_FIRST, _SECOND = (0, 8) if sys.byteorder == "little" else (8, 0)


@hot
def _swap(value: int) -> int:
    """Swap the two bytes of a 16-bit number."""
    return (value & 0xFF) << 8 | value >> 8 & 0xFF


@hot
def _native(value: int) -> int:
    """Bring a 16-bit number into the byte order that sums are made in."""
    return _swap(value) if _FIRST == 0 else value


@jit
def ones_sum(b: Bytes, words: Longs, o: int, end: int) -> int:
    """Return the one's complement sum of the 16-bit numbers from ``o`` to ``end``, in 16 bits.

    Parameters
    ----------
    b, words
        The buffer, once as bytes and once as words of eight bytes; ``b`` begins at a word.
    o, end
        Where the numbers begin and end; a last odd byte is followed by a zero.
    """
    total = 0
    k = o
    while k < end and k & 7:
        total += u8(b, k) << (_SECOND if k & 1 else _FIRST)
        k += 1
    last = max(k >> 3, end >> 3)
    for w in range(k >> 3, last):
        word = int(words[w])
        total += (word & _LOW32) + (word >> 32 & _LOW32)
    for at in range(max(k, last << 3), end):
        total += u8(b, at) << (_SECOND if at & 1 else _FIRST)
    total = (total & _LOW32) + (total >> 32)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return _swap(total) if o & 1 else total


@jit
def is_sum_right(b: Bytes, words: Longs, o: int, end: int, addresses: int, width: int, proto: int) -> int:
    """Tell whether the checksum of a transport header and its payload is right.

    Parameters
    ----------
    b, words
        The buffer.
    o, end
        Where the header begins and the payload ends.
    addresses, width
        Where the two IP addresses begin, and how many bytes they take; 0 bytes for a sum without a pseudo-header.
    proto
        Protocol number of the pseudo-header.
    """
    total = ones_sum(b, words, o, end)
    if width > 0:
        length = end - o
        total += ones_sum(b, words, addresses, addresses + width)
        total += _native(proto) + _native(length & 0xFFFF) + _native(length >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
    return int(total == 0xFFFF)
