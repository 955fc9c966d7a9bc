"""The compressions of evidence, each as a stream of expanded bytes at bounded memory.

They are told apart by the file's first bytes, never by its name. Files of several members (as ``cat a.gz b.gz`` and
``pigz`` make them) are read to the end of the last.

References
----------
.. [1] RFC 1952 (gzip), RFC 8878 (Zstandard); *The .xz File Format* 1.2.1; *LZ4 Frame Format* 1.6.4.
"""

from __future__ import annotations

import bz2
import io
import lzma
import sys
import zlib
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

__all__ = ["OPENERS", "outer_compression"]

PIECE = 4 * 1024
"""How much compressed data is expanded at a time (of lz4: how much is fetched from Arrow, which keeps at an error what
it was about to return). So much of the good data before a damage goes with it, at most. [B]"""

XZ_MEMORY = 1 << 30
"""Memory an xz file may ask for; `xz -9` asks for 65 MB, a hostile header for 4 GB. [B]"""

MAGIC = {
    b"\x1f\x8b\x08": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}


def outer_compression(head: bytes) -> str | None:
    """Return the compression that a file's first bytes show, or None."""
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)


class _Decompressor(Protocol):
    """What the decompressors of bz2, lzma, zstd and isal have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Plain(io.RawIOBase):
    """The bytes of a file that is not compressed."""

    def __init__(self, raw: io.BufferedReader) -> None:
        self._raw = raw

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes of one read: where a disk gives out, the reads before it stand."""
        return self._raw.read1(size)

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer by one read, and return how many bytes it was."""
        return self._raw.readinto1(buffer)


class _Members(io.RawIOBase):
    """The expanded bytes of a file of one or more compressed members, at bounded memory."""

    def __init__(self, raw: io.BufferedReader, factory: Callable[[], _Decompressor]) -> None:
        self._raw = raw
        self._factory = factory
        self._member = factory()

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` expanded bytes; nothing at the end."""
        while True:
            data = b""
            if self._member.eof:
                data = self._next_member(self._member.unused_data)
                if not data:
                    return b""
                self._member = self._factory()
            elif self._member.needs_input:
                data = self._raw.read(PIECE)
                if not data:
                    raise EOFError("the file ends in the middle of its compressed data")
            expanded = self._member.decompress(data, size)
            if expanded:
                return expanded

    def _next_member(self, data: bytes) -> bytes:
        """Return the first bytes behind a member; the zeros that fill up tapes and sectors are passed over."""
        while True:
            data = data.lstrip(b"\0")
            if data:
                return data
            data = self._raw.read(PIECE)
            if not data:
                return b""


class _ZlibMember:
    """A gzip member by the standard library."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._more = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._more

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        expanded = self._inner.decompress(self._inner.unconsumed_tail + data, max(max_length, 0))
        self._more = bool(self._inner.unconsumed_tail) or len(expanded) == max_length
        return expanded


class _Pieces(io.RawIOBase):
    """Compressed bytes that come in small pieces, whatever is asked for."""

    def __init__(self, raw: io.BufferedReader) -> None:
        self._raw = raw

    def readable(self) -> bool:
        """Tell that the stream can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, at most a piece."""
        return self._raw.read(min(size, PIECE))


class _Lz4Frames(io.RawIOBase):
    """The expanded bytes of an lz4 file."""

    def __init__(self, raw: io.BufferedReader) -> None:
        self._inner = pa.CompressedInputStream(pa.PythonFile(_Pieces(raw), mode="r"), "lz4")

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` expanded bytes; nothing at the end."""
        data: bytes = self._inner.read(min(size, PIECE))
        return data


Opened = tuple[BinaryIO, tuple[type[Exception], ...]]
"""A stream of expanded bytes, and what it raises on damaged data besides EOFError and OSError."""


def _gzip(raw: io.BufferedReader) -> Opened:
    try:
        from isal import igzip_lib
    except ImportError:  # no wheel for this platform: half the speed, the same bytes
        return _members(raw, _ZlibMember), (zlib.error,)
    damage = cast("type[Exception]", igzip_lib.error)  # its stub calls it an instance
    return _members(raw, lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)), (damage,)


def _xz(raw: io.BufferedReader) -> Opened:
    return _members(raw, lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY)), (lzma.LZMAError,)


def _zstd(raw: io.BufferedReader) -> Opened:
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdDecompressor, ZstdError
    else:
        from backports.zstd import ZstdDecompressor, ZstdError
    return _members(raw, ZstdDecompressor), (ZstdError,)


def _lz4(raw: io.BufferedReader) -> Opened:
    return cast("BinaryIO", _Lz4Frames(raw)), (pa.ArrowInvalid,)


def _members(raw: io.BufferedReader, factory: Callable[[], _Decompressor]) -> BinaryIO:
    return cast("BinaryIO", _Members(raw, factory))


OPENERS: dict[str | None, Callable[[io.BufferedReader], Opened]] = {
    None: lambda raw: (cast("BinaryIO", _Plain(raw)), ()),
    "gzip": _gzip,
    "bzip2": lambda raw: (_members(raw, bz2.BZ2Decompressor), ()),
    "xz": _xz,
    "zstd": _zstd,
    "lz4": _lz4,
}
"""What opens a stream of each compression; None is a file that is not compressed."""
