"""Every compression: read whole, read up to its damage, and never more than that."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.reading.compression import OPENERS, PIECE, outer_compression
from forensics.reading.streams import ExpandedStream, Limits, RawStream

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"".join(b"%08d 192.0.2.%d GET http://www.example/%x\n" % (n, n % 250, n**3) for n in range(10_000))
BYTES = {"text": TEXT, "empty": b"", "byte": b"x", "zeros": bytes(300_000)}


def lz4(data: bytes) -> bytes:
    """Compress to an lz4 frame."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as out:
        out.write(data)
    return cast("bytes", sink.getvalue().to_pybytes())


def zst(data: bytes) -> bytes:
    """Compress to a zstd frame with a checksum, as the command line does."""
    return bytes(zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}))


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=1),
    "zstd": zst,
    "lz4": lz4,
}

each_kind = pytest.mark.parametrize("kind", PACK)


def expand(data: bytes, limits: Limits | None = None) -> tuple[bytes, ExpandedStream]:
    """Return what a file expands to, and the stream that tells about it."""
    stream = ExpandedStream("a", RawStream(io.BytesIO(data)), limits or Limits())
    return io.BufferedReader(stream).read(), stream


@pytest.fixture
def without_isal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which isal is not installed."""
    monkeypatch.setitem(sys.modules, "isal", None)


@each_kind
@pytest.mark.parametrize("content", BYTES)
def test_whole_files(kind: str, content: str) -> None:
    """A whole file gives its bytes and no problem; the compression is told by its first bytes."""
    data, stream = expand(PACK[kind](BYTES[content]))

    assert data == BYTES[content]
    assert stream.problem is None
    assert stream.compression == kind
    assert stream.count == len(data)


@each_kind
def test_several_members(kind: str) -> None:
    """Members behind each other are one file, as ``cat`` and parallel compressors make them."""
    packed = PACK[kind](TEXT) + PACK[kind](b"") + PACK[kind](b"the end")

    data, stream = expand(packed)

    assert data == TEXT + b"the end"
    assert stream.problem is None


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd"])
@pytest.mark.parametrize("length", [4, PIECE, 3 * PIECE + 4])
def test_zeros_behind_the_last_member(kind: str, length: int) -> None:
    """Zeros that fill up a tape block or a disk sector are no damage."""
    data, stream = expand(PACK[kind](TEXT) + bytes(length))

    assert data == TEXT
    assert stream.problem is None


@each_kind
def test_something_else_behind_the_last_member(kind: str) -> None:
    """Garbage behind the data is told, and costs none of the data."""
    data, stream = expand(PACK[kind](TEXT) + b"garbage behind it")

    assert data[: len(TEXT) - PIECE] == TEXT[: len(TEXT) - PIECE]
    assert stream.problem is not None


@each_kind
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_truncated_files(kind: str, share: float) -> None:
    """A file that ends too early gives everything before its end and says so."""
    packed = PACK[kind](TEXT)
    cut = max(int(len(packed) * share), 7)

    data, stream = expand(packed[:cut])

    assert TEXT.startswith(data)
    assert stream.problem is not None
    if kind in {"gzip", "xz", "zstd"}:  # bzip2 decodes blocks of 900 kB, lz4 blocks of 64 kB and more
        assert len(data) >= len(TEXT) * share * 0.8 - 200_000 * (kind == "zstd")


@pytest.mark.parametrize("isal", [True, False])
def test_truncated_gzip_loses_nothing(isal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What zlib can expand of a cut gzip file is what comes out, to the byte."""
    if not isal:
        monkeypatch.setitem(sys.modules, "isal", None)
    packed = gzip.compress(TEXT)
    cut = packed[: len(packed) // 2]

    data, stream = expand(cut)

    oracle = zlib.decompressobj(31).decompress(cut)
    assert TEXT.startswith(data)
    assert len(oracle) - len(data) <= 64  # isal keeps the last bytes for a match it has not seen whole
    assert isinstance(stream.problem, EOFError)


@each_kind
@pytest.mark.parametrize("place", [0.4, 0.9])
def test_damaged_files(kind: str, place: float) -> None:
    """A torn file gives the data before the damage and says what is wrong."""
    packed = PACK[kind](TEXT) * 3
    torn = bytearray(packed)
    at = int(len(torn) * place)
    torn[at : at + 64] = b"\xff" * 64

    data, stream = expand(bytes(torn))

    whole = int(place * 3) * len(TEXT)  # the members before the damaged one
    assert data[: whole - PIECE] == (TEXT * 3)[: whole - PIECE]
    assert len(data) >= whole - PIECE
    assert stream.problem is not None
    assert str(stream.problem)


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd"])
def test_a_wrong_checksum_is_damage(kind: str) -> None:
    """One wrong bit of the content is noticed at the end of the member at the latest."""
    packed = bytearray(PACK[kind](bytes(range(256)) * 100))
    packed[-6 if kind == "gzip" else -2] ^= 1

    assert expand(bytes(packed))[1].problem is not None


@each_kind
@given(junk=st.binary(max_size=600))
def test_random_bytes_behind_a_magic(kind: str, junk: bytes) -> None:
    """Whatever follows the first bytes, nothing raises and reading ends."""
    expand(PACK[kind](b"")[:6] + junk)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    """Any file can be expanded; one that is not compressed comes out as it is."""
    expanded, stream = expand(data)

    assert stream.compression is not None or (expanded == data and stream.problem is None)


@each_kind
@given(change=st.tuples(st.integers(0, 10**6), st.integers(1, 255)))
def test_any_flipped_byte(kind: str, change: tuple[int, int]) -> None:
    """A file with one changed byte never raises."""
    packed = bytearray(PACK[kind](TEXT[:5000]))
    packed[change[0] % len(packed)] ^= change[1]

    expand(bytes(packed))


@pytest.mark.usefixtures("without_isal")
@pytest.mark.parametrize("content", BYTES)
def test_without_isal_the_bytes_are_the_same(content: str) -> None:
    """The standard library reads gzip where isal has no wheel, members and all."""
    data, stream = expand(gzip.compress(BYTES[content]) * 2 + bytes(10))

    assert data == BYTES[content] * 2
    assert stream.problem is None


@pytest.mark.usefixtures("without_isal")
def test_without_isal_damage_is_told() -> None:
    """Torn and cut files end with a problem there too."""
    packed = gzip.compress(TEXT)

    assert isinstance(expand(packed[:1000])[1].problem, EOFError)
    assert expand(packed[:1000] + b"\xff" * 99 + packed[1099:])[1].problem is not None


def test_xz_that_asks_for_much_memory_is_refused() -> None:
    """A header that asks for a dictionary of 1.5 GB is refused before a byte is set aside."""
    packed = lzma.compress(b"small", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 12}])
    header = bytearray(packed[12:24])
    header[4] = 37  # LZMA2 dictionary size: 3 << 29 bytes
    header[8:12] = zlib.crc32(header[:8]).to_bytes(4, "little")

    data, stream = expand(packed[:12] + bytes(header) + packed[24:])

    assert data == b""
    assert "emory" in str(stream.problem)


def test_zstd_that_asks_for_much_memory_is_refused() -> None:
    """A frame with a window of 2 GB is refused."""
    frame = b"\x28\xb5\x2f\xfd" + bytes([0x00, (31 - 10) << 3]) + b"\x01\x00\x00"

    data, stream = expand(frame)

    assert data == b""
    assert "emory" in str(stream.problem)


@pytest.mark.parametrize("head", [b"", b"\x1f\x8b", b"BZ", b"GET / HTTP/1.1", b"\xa1\xb2\xc3\xd4"])
def test_what_is_not_compressed(head: bytes) -> None:
    """Too short a start, text and captures are no compression."""
    assert outer_compression(head) is None


def test_every_magic_has_an_opener() -> None:
    """Each compression that is recognised can be read."""
    assert set(OPENERS) == {None, *PACK}
    assert {outer_compression(pack(b"x")) for pack in PACK.values()} == set(PACK)
