"""Blocks of whole lines: the same lines as one by one, in bounded memory, and work on them in order."""

from __future__ import annotations

import io
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.errors import EvidenceError
from forensics.formats import Evidence, _blocks
from forensics.formats._blocks import PADDING, Block, block_of, blocks, in_order, segments
from forensics.formats._lines import MAX_LINE, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def evidence(stream: io.BytesIO) -> Evidence:
    """Return evidence with some content."""
    return Evidence(stream, "x.log", "here")


class Trickle(io.BytesIO):
    """A stream that gives few bytes at once."""

    def read(self, size: int | None = -1) -> bytes:
        """Return at most three bytes."""
        return super().read(3 if size is None or size > 3 else size)

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        """Fill at most three bytes."""
        return super().readinto(memoryview(buffer)[:3])


class OnlyRead:
    """A stream that has nothing but what the readers of other encodings have."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        return self._inner.read(size)


class Damaged(io.BytesIO):
    """A stream that breaks at its end."""

    def read(self, size: int | None = -1) -> bytes:
        """Return bytes, or say that there are no more."""
        data = super().read(size)
        if not data:
            raise EvidenceError("x.log", "is damaged")
        return data

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        """Fill a buffer, or say that there is nothing more."""
        count = super().readinto(buffer)
        if not count:
            raise EvidenceError("x.log", "is damaged")
        return count


def numbered(block: Block) -> list[tuple[int, bytes]]:
    """Return the lines of a block with their numbers."""
    data = block.data[: block.end].tobytes()
    assert data.endswith(b"\n")
    return [(n, line.removesuffix(b"\r")) for n, line in enumerate(data[:-1].split(b"\n"), block.first_line)]


@pytest.mark.parametrize("kind", [io.BytesIO, Trickle, OnlyRead])
@given(data=st.lists(st.sampled_from([b"\n", b"\r", b"a", b"#", b"\0", b"bcd", b"\xef\xbb\xbf"])).map(b"".join))
def test_blocks_hold_the_lines_of_the_file(kind: Callable[[bytes], io.BytesIO], data: bytes) -> None:
    """In blocks of any size stand the lines that are read one by one, under the same numbers, with the same notes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_blocks, "BLOCK", 5)
        patch.setattr(_blocks, "MOST_LINES", 2)
        found, one_by_one = evidence(kind(data)), evidence(io.BytesIO(data))
        made = list(blocks(found))

    expected = list(lines(one_by_one))
    if data == b"\xef\xbb\xbf":  # nothing but a mark: one by one it is an empty line
        expected, one_by_one = [], found
    assert [line for block in made for line in numbered(block)] == expected
    assert found.notes == one_by_one.notes
    assert [block.last for block in made] == [False] * (len(made) - 1) + [True] * bool(made)


@given(data=st.lists(st.sampled_from([b"\n", b"a", b"\r\n", b"bcd"]), min_size=1).map(b"".join))
def test_padding_stands_behind_every_block(data: bytes) -> None:
    """Behind a block there are bytes that may be read, and arrays are of one kind, so that loops compile once."""
    for block in blocks(evidence(io.BytesIO(data))):
        assert len(block.data) >= block.end + PADDING
        assert not block.data[block.end :].any()
        assert block.data.flags.writeable


def test_damage_is_raised_behind_the_last_line() -> None:
    """What was read before a damage comes first, the piece of a line in front of it too."""
    stream = blocks(evidence(Damaged(b"a\nb\nc")))
    block = next(stream)
    assert numbered(block) == [(1, b"a"), (2, b"b"), (3, b"c")]
    assert block.last
    with pytest.raises(EvidenceError, match="is damaged"):
        next(stream)


def test_a_line_without_end_takes_bounded_memory() -> None:
    """Of a line of 50 MB about 1 MiB is kept, by whose length it is known; the lines around it are whole."""
    log = evidence(io.BytesIO(bytes(50_000_000)))
    (block,) = blocks(log)
    assert MAX_LINE < block.end <= MAX_LINE + 4
    assert log.notes["truncated"] == "line 1, the last, has no line end"

    made = list(blocks(evidence(io.BytesIO(b"a\n" + bytes(50_000_000) + b"\nb\n"))))
    found = [line for block in made for line in numbered(block)]
    assert [number for number, _ in found] == [1, 2, 3]
    assert (found[0][1], found[2][1]) == (b"a", b"b")
    assert len(found[1][1]) > MAX_LINE


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_line_of_the_longest_length_is_whole(ending: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of exactly the limit is whole, also where a block ends inside of it."""
    monkeypatch.setattr(_blocks, "BLOCK", MAX_LINE + 1)
    data = b"x" * MAX_LINE + ending + b"y" * (MAX_LINE + 1) + ending

    found = [len(line) for block in blocks(evidence(io.BytesIO(data))) for _, line in numbered(block)]

    assert found[0] == MAX_LINE
    assert found[1] > MAX_LINE


def test_memory_does_not_grow_with_the_file() -> None:
    """Eight blocks take no more memory than two."""
    peaks = []
    for size in (16 << 20, 64 << 20):
        stream = io.BytesIO(b"some line of a log\n" * (size // 19))
        tracemalloc.start()
        for _ in blocks(evidence(stream)):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.2 * peaks[0]


def test_memory_is_used_over_and_over_but_not_while_a_block_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that are kept keep their lines; where none is kept two take turns, however long the lines grow."""
    monkeypatch.setattr(_blocks, "BLOCK", 1 << 16)
    data = b"".join(b"%d" % number + b"x" * (40 * number) + b"\n" for number in range(1000))

    kept = [np.asarray(block.data[: block.end]) for block in blocks(evidence(io.BytesIO(data)))]
    assert b"".join(part.tobytes() for part in kept) == data

    tracemalloc.start()
    assert sum(block.end for block in blocks(evidence(io.BytesIO(data)))) == len(data)
    assert tracemalloc.get_traced_memory()[1] < 8 * (_blocks.BLOCK + 40_000)
    tracemalloc.stop()


@given(data=st.lists(st.sampled_from([b"\n", b"#", b"a", b"\r\n", b"#b\n", b"cd\n"])).map(b"".join))
def test_segments_are_directives_and_the_lines_under_them(data: bytes) -> None:
    """Directives and data lines together are the lines of the block, each under its number and of its kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_blocks, "MOST_DIRECTIVES", 2)
        block = block_of(data + b"\n", 7)
        made = list(segments(block))

    found = []
    for directives, under in made:
        assert all(line.startswith(b"#") for _, line in directives)
        rows = numbered(under) if under.end else []
        assert not any(line.startswith(b"#") for _, line in rows)
        found += directives + rows
    assert found == numbered(block)
    assert [under.last for _, under in made] == [False] * (len(made) - 1) + [True]
    assert all(len(under.data) >= under.end + PADDING for _, under in made)


def test_a_directive_of_any_length_is_cut() -> None:
    """A hostile directive line does not reach who reads headers at its full length."""
    ((directives, under),) = segments(block_of(b"#" * (3 * MAX_LINE) + b"\n"))

    assert len(directives[0][1]) == MAX_LINE + 1
    assert under.end == 0


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_results_come_in_order(workers: int) -> None:
    """Results stand in the order of their items, whoever was ready first."""
    rng = np.random.default_rng(1)
    waits = rng.random(50) / 500

    def work(item: int) -> int:
        threading.Event().wait(waits[item])
        return item * item

    assert list(in_order(work, range(50), workers)) == [n * n for n in range(50)]


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_items_than_the_window(workers: int) -> None:
    """While nobody takes results, few items are made."""
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        while made < 1000:
            made += 1
            yield made

    results = in_order(lambda item: item, items(), workers)
    assert next(results) == 1
    threading.Event().wait(0.1)
    assert made <= 2 * workers + 3
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_in_its_place(workers: int) -> None:
    """What the items or the work raise comes behind the results of the items before, and ends the threads."""

    def items() -> Iterator[int]:
        yield from range(5)
        raise EvidenceError("x.log", "is damaged")

    before = threading.active_count()
    results = in_order(lambda item: 10 // (item - 7), items(), workers)
    assert [next(results) for _ in range(5)] == [10 // (n - 7) for n in range(5)]
    with pytest.raises(EvidenceError):
        next(results)

    results = in_order(lambda item: 10 // (item - 3), items(), workers)
    assert [next(results) for _ in range(3)] == [10 // (n - 3) for n in range(3)]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert threading.active_count() == before


def test_closing_stops_the_threads() -> None:
    """Once nobody wants results no thread is left, and the items' own cleaning up has been done."""
    cleaned = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            cleaned.set()

    before = threading.active_count()
    results = in_order(lambda item: item, items(), 2)
    next(results)
    results.close()

    assert threading.active_count() == before
    del results
    assert cleaned.is_set()
