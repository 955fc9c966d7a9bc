"""QUIC Initial packets of clients: the ClientHello inside.

Initial packets are encrypted with keys that follow from the packet's own connection ID, so that anyone can read them.
The tag that authenticates a packet is not verified: evidence is read as it stands, and bytes that are no Initial
packet do not give a chain of valid frames.

References
----------
.. [1] RFC 9000, sections 17.2.2 (Initial packet) and 19 (frames); RFC 9001, sections 5.2 (keys) and 5.4 (header
   protection).
.. [2] RFC 9369, section 3 (QUIC version 2). RFC 5869 (HKDF); RFC 8446, section 7.1 (HKDF-Expand-Label).
.. [3] draft-ietf-quic-tls, versions 23 and 29, section 5.2: the salts before RFC 9001.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from forensics.packets.protocols.aes import block, counter_mode, expand_key
from forensics.packets.protocols.streams import Stream
from forensics.packets.protocols.tls import is_whole

if TYPE_CHECKING:
    from forensics.packets.layout import Longs

__all__ = ["Initials", "initial_frames"]

_LIMIT = 16 * 1024
_SALT_1 = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
_SALT_2 = bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9")
_SALT_DRAFT_29 = bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899")
_SALT_DRAFT_23 = bytes.fromhex("c3eef712c72ebb5a11a7d2432bb46365bef9f502")
_VERSION_2 = 0x6B3343CF
_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO, _CLOSE = 0, 1, 2, 3, 6, 0x1C
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Keys:
    """What protects the Initial packets of a client."""

    data: Longs
    iv: bytes
    header: Longs


@dataclass(frozen=True, slots=True)
class _Initial:
    """An Initial packet, still protected."""

    version: int
    connection_id: bytes
    start: int
    at: int  # of the packet number
    end: int


def _salt(version: int) -> tuple[bytes, str] | None:
    """Return salt and label prefix of a version, None for one that is not known."""
    if version == 1:
        return _SALT_1, "quic"
    if version == _VERSION_2:
        return _SALT_2, "quicv2"
    draft = version & 255
    if version >> 8 == 0xFF0000 and 23 <= draft <= 34:
        return (_SALT_DRAFT_29 if 29 <= draft <= 32 else _SALT_1 if draft > 32 else _SALT_DRAFT_23), "quic"
    return (_SALT_DRAFT_23, "quic") if version == 0xFACEB002 else None


def _expand(secret: bytes, label: str, size: int) -> bytes:
    """Derive a secret by its label; all that are needed fit into one block of SHA-256."""
    name = f"tls13 {label}".encode()
    info = size.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0\1"
    return hmac.digest(secret, info, "sha256")[:size]


@lru_cache(maxsize=256)
def _client_keys(version: int, connection_id: bytes) -> _Keys | None:
    """Return the client's keys, None for a version that is not known."""
    known = _salt(version)
    if known is None:
        return None
    salt, prefix = known
    secret = _expand(hmac.digest(salt, connection_id, "sha256"), "client in", 32)
    return _Keys(
        data=expand_key(_expand(secret, f"{prefix} key", 16)),
        iv=_expand(secret, f"{prefix} iv", 12),
        header=expand_key(_expand(secret, f"{prefix} hp", 16)),
    )


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of variable length; return it and where it ends. An index error where it is cut."""
    size = 1 << (data[at] >> 6)
    if at + size > len(data):
        raise IndexError(at)
    return int.from_bytes(data[at : at + size], "big") & (1 << 8 * size - 2) - 1, at + size


def _initials(datagram: bytes) -> list[_Initial]:
    """Return the Initial packets of a datagram; others may stand between them."""
    found: list[_Initial] = []
    start = 0
    while start + 7 <= len(datagram) and datagram[start] & 0xC0 == 0xC0:
        version = int.from_bytes(datagram[start + 1 : start + 5], "big")
        kind = datagram[start] >> 4 & 3
        if version == _VERSION_2:
            kind = kind - 1 & 3
        if kind == 3:  # a Retry has no length
            break
        at = start + 6 + datagram[start + 5]
        connection_id = datagram[start + 6 : at]
        at += 1 + datagram[at]
        if kind == 0:
            size, at = _integer(datagram, at)
            at += size
        size, at = _integer(datagram, at)
        if kind == 0:
            found.append(_Initial(version, connection_id, start, at, min(at + size, len(datagram))))
        start = at + size
    return found


def _plain(datagram: bytes, packet: _Initial, keys: _Keys) -> bytes | None:
    """Take the protection off a packet; None where the bits that must be zero then are not."""
    sample = datagram[packet.at + 4 : packet.at + 20]
    if len(sample) < 16 or packet.end - packet.at < 4 + _TAG_BYTES:
        return None
    mask = block(keys.header, sample)
    first = datagram[packet.start] ^ mask[0] & 0x0F
    if first & 0x0C:
        return None
    size = (first & 3) + 1
    number = int.from_bytes(bytes(a ^ b for a, b in zip(datagram[packet.at :][:size], mask[1:], strict=False)), "big")
    nonce = (int.from_bytes(keys.iv, "big") ^ number).to_bytes(12, "big")
    return counter_mode(keys.data, nonce + b"\0\0\0\2", datagram[packet.at + size : packet.end - _TAG_BYTES])


def _skip_ack(data: bytes, at: int, kind: int) -> int:
    """Return where an ACK frame ends."""
    _, at = _integer(data, at)
    _, at = _integer(data, at)
    ranges, at = _integer(data, at)
    for _ in range(1 + 2 * ranges + (3 if kind == _ACK_ECN else 0)):
        _, at = _integer(data, at)
    return at


def initial_frames(data: bytes) -> list[tuple[int, bytes]] | None:
    """Return offset and bytes of the CRYPTO frames of an Initial packet; None where it is no chain of valid frames."""
    found: list[tuple[int, bytes]] = []
    at = 0
    try:
        while at < len(data):
            kind = data[at]
            at += 1
            if kind in (_ACK, _ACK_ECN):
                at = _skip_ack(data, at, kind)
            elif kind == _CRYPTO:
                offset, at = _integer(data, at)
                size, at = _integer(data, at)
                found.append((offset, data[at : at + size]))
                at += size
            elif kind == _CLOSE:
                break
            elif kind not in (_PADDING, _PING):
                return None
    except IndexError:
        return None
    return found


@dataclass(slots=True)
class Initials:
    """The Initial packets of one client: their CRYPTO frames, put in order.

    Attributes
    ----------
    number, time
        Packet and time of the first of them. [ns]
    """

    number: int
    time: int
    _first: bytes | None = None
    _crypto: Stream = field(default_factory=lambda: Stream(0, _LIMIT))

    @property
    def is_quic(self) -> bool:
        """Whether an Initial packet was met that could be read."""
        return self._first is not None

    def add(self, datagram: bytes) -> bytes | None:
        """Take in a datagram; return the ClientHello once it is whole.

        A client goes on with the keys of its first packet, but for a server that sent it a Retry.
        """
        try:
            packets = _initials(datagram)
        except IndexError:
            return None
        for packet in packets:
            for connection_id in dict.fromkeys((self._first or packet.connection_id, packet.connection_id)):
                keys = _client_keys(packet.version, connection_id)
                plain = keys and _plain(datagram, packet, keys)
                frames = initial_frames(plain) if plain else None
                if frames is not None:
                    self._first = connection_id
                    for offset, data in frames:
                        if offset < _LIMIT:
                            self._crypto.add(offset, data)
                    break
        return self._crypto.data if is_whole(self._crypto.data) else None
