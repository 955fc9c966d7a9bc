"""Columns of text out of arrays of numbers and bytes, whole columns at a time."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.addresses import host_name, ipv6_text

if TYPE_CHECKING:
    from forensics.packets.layout import Bytes, Longs

__all__ = ["address_codes", "address_of", "gathered", "ipv4_texts", "name_column"]

_TOP = np.int64(-(1 << 63))
_SPACE, _DOT, _A, _Z, _TILDE = 32, 46, 65, 90, 126
_known_text = lru_cache(maxsize=16_384)(ipv6_text)  # the same clients in every batch


def gathered(data: Bytes, begins: Longs, ends: Longs) -> tuple[Bytes, Longs]:
    """Copy pieces of an array of bytes end to end.

    Parameters
    ----------
    data
        The bytes.
    begins, ends
        Where the n pieces lie.

    Returns
    -------
    tuple
        Their bytes, and n + 1 offsets: where each begins among them, and where the last one ends.

    Examples
    --------
    >>> packed, offsets = gathered(np.arange(9, dtype=np.uint8), np.array([6, 1]), np.array([8, 4]))
    >>> packed.tolist(), offsets.tolist()
    ([6, 7, 1, 2, 3], [0, 2, 5])
    """
    n = len(begins)
    bounds = np.empty(2 * n + 2, dtype=np.int64)
    bounds[0], bounds[1:-1:2], bounds[2:-1:2], bounds[-1] = 0, begins, ends, len(data)
    # as Arrow sees it every other value is a piece: it copies them at the speed of the memory
    pieces = pa.Array.from_buffers(pa.large_binary(), 2 * n + 1, [None, pa.py_buffer(bounds), pa.py_buffer(data)])
    _, offsets, packed = pieces.take(pa.array(np.arange(1, 2 * n + 1, 2))).buffers()
    copied = np.frombuffer(packed, dtype=np.uint8) if packed else np.zeros(0, dtype=np.uint8)  # what loops may write
    return copied, np.frombuffer(offsets, dtype=np.int64)[: n + 1]


@cache
def _octets() -> pa.Array:
    """Return all octets as text; made when they are needed, since Arrow wakes slowly."""
    return pa.array([str(octet) for octet in range(256)], pa.string())


def ipv4_texts(numbers: Longs) -> pa.Array:
    """Return IPv4 addresses as text.

    Examples
    --------
    >>> ipv4_texts(np.array([0xC0000201])).to_pylist()
    ['192.0.2.1']
    """
    octets = [_octets().take(pa.array(numbers >> shift & 255)) for shift in (24, 16, 8, 0)]
    return pc.binary_join_element_wise(*octets, ".")


def address_of(number: int, addresses: Longs | None) -> str:
    """Return the text of an address.

    Parameters
    ----------
    number
        An IPv4 address as a number, or an index into ``addresses``.
    addresses
        The engine's IPv6 addresses, None for IPv4.
    """
    if addresses is None:
        return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return ipv6_text((addresses[number] ^ _TOP).astype(">i8").tobytes())


def address_codes(numbers: Longs, ipv6: Longs, addresses: Longs) -> tuple[pa.Array, pa.Array]:
    """Return addresses as text, each distinct one made once.

    Parameters
    ----------
    numbers
        IPv4 addresses as numbers, or indices into ``addresses``.
    ipv6
        Which of them are the latter: anything but 0.
    addresses
        The engine's IPv6 addresses.

    Returns
    -------
    tuple
        The distinct texts, and for each address the index of its own.
    """
    encoded = pa.array(numbers * 2 + (ipv6 != 0)).dictionary_encode()
    keys = encoded.dictionary.to_numpy()
    is6, values = (keys & 1).astype(bool), keys >> 1
    packed = (addresses[values[is6]] ^ _TOP).astype(">i8").tobytes()
    wide = pa.array([_known_text(packed[at : at + 16]) for at in range(0, len(packed), 16)], pa.string())
    texts = pa.concat_arrays([ipv4_texts(values[~is6]), wide])
    place = np.argsort(np.argsort(is6, kind="stable"), kind="stable")  # IPv4 addresses first, each kind in its order
    return texts.take(pa.array(place)), encoded.indices


def name_column(data: Bytes, begins: Longs, ends: Longs) -> pa.Array:
    """Return host names in canonical form, null where nothing is left of one.

    Parameters
    ----------
    data
        Bytes that hold them.
    begins, ends
        Where the n names lie.
    """
    packed, offsets = gathered(data, begins, ends)
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(packed)]
    upper = (packed >= _A) & (packed <= _Z)
    if not ((packed <= _SPACE) | (packed > _TILDE) | upper).any() and _end_well(packed, offsets):
        return pa.Array.from_buffers(pa.string(), len(begins), buffers)  # canonical as they are
    encoded = pa.Array.from_buffers(pa.binary(), len(begins), buffers).dictionary_encode()
    texts = [host_name(name.decode("utf-8", "backslashreplace")) for name in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices)


def _end_well(packed: Bytes, offsets: Longs) -> bool:
    """Tell whether every name has a byte, and ends with something else than a dot."""
    return bool((np.diff(offsets) > 0).all() and (packed[offsets[1:] - 1] != _DOT).all())
