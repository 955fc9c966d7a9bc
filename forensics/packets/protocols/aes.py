"""AES-128 in counter mode, encryption only: what reading a QUIC Initial needs. No secret is protected by it.

The standard library has no AES. This one is not hardened against timing, which would matter for keys that are secret;
the keys of an Initial packet follow from the packet itself.

References
----------
.. [1] NIST FIPS 197, *Advanced Encryption Standard*: sections 5.1 (cipher) and 5.2 (key expansion).
.. [2] NIST SP 800-38D, section 6.5 (GCTR): the counter mode inside GCM.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.packets._jit import entry, jit
from forensics.packets.framing import u8

if TYPE_CHECKING:
    from forensics.packets.layout import Bytes, Longs

__all__ = ["block", "counter_mode", "expand_key"]

_ROUNDS = 10
_KEY_BYTES = 16


def _double(value: int) -> int:
    """Multiply by two in the field of AES."""
    return (value << 1 ^ (0x11B if value & 0x80 else 0)) & 0xFF


def _make_tables() -> tuple[list[int], Longs]:
    """Return the substitution box, and for each byte its column of the mixing step, as a word."""
    powers, logs = [1] * 255, [0] * 256
    for k in range(1, 255):
        powers[k] = powers[k - 1] ^ _double(powers[k - 1])  # times three
    for k, power in enumerate(powers):
        logs[power] = k
    box = []
    for value in range(256):
        inverse = powers[-logs[value] % 255] if value else 0
        spread = inverse
        for shift in range(1, 5):
            spread ^= (inverse << shift | inverse >> 8 - shift) & 0xFF
        box.append(spread ^ 0x63)
    mixed = [_double(s) << 24 | s << 16 | s << 8 | s ^ _double(s) for s in box]
    return box, np.array([*mixed, *box], dtype=np.int64)


_BOX, _TABLES = _make_tables()


def expand_key(key: bytes) -> Longs:
    """Return the words of all round keys, the tables of the cipher behind them.

    Parameters
    ----------
    key
        16 bytes.
    """
    words = [int.from_bytes(key[k : k + 4], "big") for k in range(0, _KEY_BYTES, 4)]
    constant = 1
    for k in range(4, 4 * _ROUNDS + 4):
        word = words[k - 1]
        if k % 4 == 0:
            turned = (word << 8 | word >> 24) & 0xFFFF_FFFF
            word = sum(_BOX[turned >> shift & 255] << shift for shift in (24, 16, 8, 0)) ^ constant << 24
            constant = _double(constant)
        words.append(words[k - 4] ^ word)
    return np.concatenate([np.array(words, dtype=np.int64), _TABLES])


_TABLE, _S = 4 * _ROUNDS + 4, 4 * _ROUNDS + 4 + 256


@jit
def _mixed(keys: Longs, a: int, b: int, c: int, d: int) -> int:
    """Return a column of the next state, its key not yet added: bytes of four columns, substituted and mixed."""
    x = int(keys[_TABLE + (b >> 16 & 255)])
    y = int(keys[_TABLE + (c >> 8 & 255)])
    z = int(keys[_TABLE + (d & 255)])
    x = x >> 8 | (x & 0xFF) << 24
    y = y >> 16 | (y & 0xFFFF) << 16
    z = z >> 24 | (z & 0xFFFFFF) << 8
    return int(keys[_TABLE + (a >> 24 & 255)]) ^ x ^ y ^ z


@jit
def _last(keys: Longs, a: int, b: int, c: int, d: int) -> int:
    """Return a column of the last state: substituted, not mixed."""
    high = int(keys[_S + (a >> 24 & 255)]) << 24 | int(keys[_S + (b >> 16 & 255)]) << 16
    return high | int(keys[_S + (c >> 8 & 255)]) << 8 | int(keys[_S + (d & 255)])


@entry
def _encrypt(keys: Longs, a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    """Encrypt one block, given and returned as four words."""
    a ^= int(keys[0])
    b ^= int(keys[1])
    c ^= int(keys[2])
    d ^= int(keys[3])
    for r in range(4, 4 * _ROUNDS, 4):
        w = _mixed(keys, a, b, c, d) ^ int(keys[r])
        x = _mixed(keys, b, c, d, a) ^ int(keys[r + 1])
        y = _mixed(keys, c, d, a, b) ^ int(keys[r + 2])
        d = _mixed(keys, d, a, b, c) ^ int(keys[r + 3])
        a = w
        b = x
        c = y
    r = 4 * _ROUNDS
    return (
        _last(keys, a, b, c, d) ^ int(keys[r]),
        _last(keys, b, c, d, a) ^ int(keys[r + 1]),
        _last(keys, c, d, a, b) ^ int(keys[r + 2]),
        _last(keys, d, a, b, c) ^ int(keys[r + 3]),
    )


@entry
def _apply(data: Bytes, keys: Longs, a: int, b: int, c: int, d: int) -> None:
    """Combine bytes with the key stream whose counter, the fourth word, begins at ``d``."""
    for at in range(0, data.shape[0], 16):
        stream = _encrypt(keys, a, b, c, d)
        d = d + 1 & 0xFFFF_FFFF
        for k in range(min(16, data.shape[0] - at)):
            data[at + k] = u8(data, at + k) ^ (stream[k >> 2] >> 24 - 8 * (k & 3) & 255)


def block(keys: Longs, plain: bytes) -> bytes:
    """Return one block of 16 bytes, encrypted."""
    return counter_mode(keys, plain, bytes(_KEY_BYTES))


def counter_mode(keys: Longs, counter: bytes, data: bytes) -> bytes:
    """Return data encrypted, or decrypted, which is the same, in counter mode.

    Parameters
    ----------
    keys
        Of `expand_key`.
    counter
        First block of the counter, 16 bytes.
    data
        Any number of bytes.
    """
    out = np.frombuffer(data, dtype=np.uint8).copy()
    a, b, c, d = (int.from_bytes(counter[k : k + 4], "big") for k in range(0, _KEY_BYTES, 4))
    _apply(out, keys, a, b, c, d)
    return out.tobytes()
