"""Evidence as a stream: hashed whole, expanded within limits."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tracemalloc
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.errors import ExpansionLimitError
from forensics.reading import streams
from forensics.reading.streams import ExpandedStream, Limits, RawStream

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Failing(io.BytesIO):
    """A file on a disk that gives out after some bytes."""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Take what is left; raise where the disk is broken."""
        if count := super().readinto(buffer):
            return count
        raise OSError(5, "Input/output error")


def opened(data: bytes, limits: Limits | None = None) -> tuple[RawStream, ExpandedStream]:
    """Return the two streams of a file."""
    raw = RawStream(io.BytesIO(data))
    return raw, ExpandedStream("a.gz", raw, limits or Limits())


@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_the_hash_is_of_the_whole_file(data: bytes, consumed: int) -> None:
    """However little was read before, `finish` returns the SHA-256 of the file as it lies on disk."""
    raw, expanded = opened(data)
    expanded.head(consumed)

    assert raw.finish() == hashlib.sha256(data).hexdigest()
    assert raw.count == len(data)


@pytest.mark.parametrize(
    "data", [gzip.compress(bytes(10_000), mtime=0)[:40], b"BZh9" + b"junk" * 99, b"\x1f\x8b\x08rest"]
)
def test_the_hash_survives_damage(data: bytes) -> None:
    """A file that cannot be expanded is hashed all the same."""
    raw, expanded = opened(data)
    io.BufferedReader(expanded).read()

    assert expanded.problem is not None
    assert raw.finish() == hashlib.sha256(data).hexdigest()


def test_a_file_nobody_read_is_hashed() -> None:
    """A file larger than every buffer is read to its end for its hash."""
    data = bytes(range(256)) * 8000

    assert opened(data)[0].finish() == hashlib.sha256(data).hexdigest()


def test_progress_sums_to_the_size() -> None:
    """Progress is told in bytes of the file on disk, and all of them."""
    data = gzip.compress(bytes(range(256)) * 9000)
    told: list[int] = []
    raw = RawStream(io.BytesIO(data), told.append)
    io.BufferedReader(ExpandedStream("a", raw, Limits())).read()
    raw.finish()

    assert sum(told) == len(data)


@given(st.binary(max_size=3000), st.integers(0, 3000), st.integers(1, 50))
def test_the_head_stays_to_be_read(data: bytes, size: int, step: int) -> None:
    """A look at the first bytes takes none of them away, in whatever steps they are read then."""
    _, expanded = opened(gzip.compress(data, mtime=0))

    assert expanded.head(size) == data[:size]
    assert expanded.head(size) == data[:size]
    assert b"".join(iter(lambda: expanded.read(step) or b"", b"")) == data


def test_the_size_limit() -> None:
    """A file that expands beyond `max_expanded` ends there with an error that names limit and remedy."""
    data = bytes(range(256)) * 4000
    _, expanded = opened(gzip.compress(data, mtime=0), Limits(max_expanded=700_000))

    read = io.BufferedReader(expanded).read()

    assert data.startswith(read)
    assert 700_000 - streams.BLOCK <= len(read) <= 700_000
    assert isinstance(expanded.problem, ExpansionLimitError)
    assert expanded.problem.limit == "max_expanded"
    assert "max_expanded=700,000" in str(expanded.problem)
    assert "Limits(max_expanded=...)" in str(expanded.problem)


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_the_ratio_limit(pack: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb of zeros ends with an error that names limit and remedy, at bounded memory."""
    monkeypatch.setattr(streams, "RATIO_GRACE", 1 << 20)
    bomb = pack(bytes(8 << 20))  # type: ignore[operator]
    raw, expanded = opened(bomb)
    tracemalloc.start()
    count = 0
    while data := expanded.read(1 << 16):
        count += len(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count <= 2 << 20
    assert peak < 16 << 20  # of these, xz takes 8 MB
    assert isinstance(expanded.problem, ExpansionLimitError)
    assert expanded.problem.limit == "max_ratio"
    assert "max_ratio=1000" in str(expanded.problem)
    assert "Limits(max_ratio=...)" in str(expanded.problem)
    assert raw.finish() == hashlib.sha256(bomb).hexdigest()


def test_limits_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a higher limit the same file is read to its end."""
    monkeypatch.setattr(streams, "RATIO_GRACE", 1 << 20)
    bomb = bz2.compress(bytes(8 << 20))

    _, bounded = opened(bomb)
    _, trusted = opened(bomb, Limits(max_ratio=1e9))

    assert sum(len(d) for d in iter(lambda: bounded.read(1 << 20) or b"", b"")) < 8 << 20
    assert sum(len(d) for d in iter(lambda: trusted.read(1 << 20) or b"", b"")) == 8 << 20
    assert isinstance(bounded.problem, ExpansionLimitError)
    assert trusted.problem is None


def test_a_short_run_of_zeros_is_no_bomb() -> None:
    """Below 64 MB nobody asks for the ratio."""
    _, expanded = opened(lzma.compress(bytes(1 << 20)))

    assert len(io.BufferedReader(expanded).read()) == 1 << 20
    assert expanded.problem is None


class ReadOnly:
    """A file object that can do no more than it must."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("kind", [io.BytesIO, ReadOnly])
def test_the_hash_is_of_all_that_was_read(kind: type[io.BytesIO | ReadOnly], in_place: bool) -> None:
    """Whoever reads may overwrite its buffer at once, whatever the sizes are: the hash is that of the file."""
    data = np.random.default_rng(3).bytes(12_000_000)
    raw, buffer, found = RawStream(cast("BinaryIO", kind(data))), bytearray(5 << 20), b""
    sizes = [100, 300_000, 2_000_000, 1, 700_000, 5 << 20]
    while count := raw.readinto(memoryview(buffer)[: sizes[len(found) % len(sizes)]]):
        raw.in_place = in_place  # as a format does that has looked at the head
        found += buffer[:count]
        buffer[:count] = bytes(count)

    assert found == data
    assert raw.finish() == hashlib.sha256(data).hexdigest()


def test_the_disk_gives_out() -> None:
    """Bytes before a bad sector are read; then there is a problem, and no hash."""
    raw = RawStream(Failing(b"x" * 1000))
    expanded = ExpandedStream("a", raw, Limits())

    assert expanded.read(400) == b"x" * 400
    assert len(io.BufferedReader(expanded).read()) == 600
    with pytest.raises(OSError, match="Input/output error"):
        raw.finish()


def test_the_disk_gives_out_at_once() -> None:
    """A file of which nothing can be read is a problem too, not an exception."""
    raw = RawStream(Failing(b""))
    expanded = ExpandedStream("a", raw, Limits())

    assert expanded.head(10) == b""
    assert isinstance(expanded.problem, OSError)
    assert raw.failure is expanded.problem


def test_streams_are_readable() -> None:
    """Both say that they can be read, as buffers ask them."""
    assert all(stream.readable() for stream in opened(b""))
