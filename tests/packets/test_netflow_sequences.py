"""Sequence numbers of exporters: losses are told, and nothing else is taken for one."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.packets.protocols import netflow_sequences as module
from forensics.packets.protocols.netflow_sequences import Mark, Numbers, Stream

STREAM = Stream("192.0.2.1", 10, 1)
SECOND = 1_000_000
TOP = 1 << 32


def follow(numbers: Numbers, *sequences: int, stream: Stream = STREAM, boot: int | None = None, begin: int = 0) -> None:
    """Take in datagrams of ten records each, one a second."""
    for at, sequence in enumerate(sequences, begin):
        numbers.follow(stream, Mark(sequence % TOP, 10, at * SECOND, boot, at + 1))


def missing(numbers: Numbers) -> list[tuple[int | None, ...]]:
    """Return where something is missing: times [s], record, how much."""
    return [
        (*(None if t is None else t // SECOND for t in (b.start, b.end)), b.record, int(b.reason.split()[0]))
        for b in numbers.breaks()
    ]


def test_a_loss_is_told_where_it_is() -> None:
    """Between the datagrams before and behind it, and with the number of the one behind."""
    numbers = Numbers()
    follow(numbers, 0, 10, 50, 60, 80)

    assert missing(numbers) == [(1, 2, 3, 30), (3, 4, 5, 10)]
    assert (numbers.broken, numbers.missing, numbers.out_of_sequence) == (2, 40, 0)


def test_numbers_wrap_around() -> None:
    """Behind the last number comes 0; a loss over the end is as large as any."""
    numbers = Numbers()
    follow(numbers, TOP - 20, TOP - 10, 0, 10)
    assert missing(numbers) == []
    numbers = Numbers()
    follow(numbers, TOP - 20, 20)
    assert missing(numbers) == [(0, 1, 2, 30)]


@pytest.mark.parametrize("boot", [None, 5_000])
def test_an_exporter_that_begins_anew_has_lost_nothing(boot: int | None) -> None:
    """Numbers that fall back and go on from there began anew, and losses are found in the new ones as well."""
    numbers = Numbers()
    follow(numbers, 900, 910, boot=boot)
    follow(numbers, 0, 10, 20, 50, boot=None if boot is None else 1_000_000, begin=10)

    assert missing(numbers) == [(12, 13, 14, 20)]


def test_an_exporter_that_booted_has_lost_nothing_though_its_numbers_rose() -> None:
    """The time of the boot tells that the numbers are others; its clock may be a little off."""
    numbers = Numbers()
    follow(numbers, 0, 10, boot=5_000)
    follow(numbers, 700, 710, boot=900_000, begin=10)
    follow(numbers, 720, 750, boot=901_000, begin=12)

    assert missing(numbers) == [(12, 13, 14, 20)]


def test_a_clock_since_boot_that_wraps_is_the_same_boot() -> None:
    """The time of the boot is compared as the clock counts: modulo 2**32 milliseconds."""
    numbers = Numbers()
    follow(numbers, 0, boot=TOP - 100)
    follow(numbers, 30, boot=100, begin=1)

    assert missing(numbers) == [(0, 1, 2, 20)]


def test_datagrams_sent_twice_lose_nothing() -> None:
    """Alone or several in a row, at once or later."""
    numbers = Numbers()
    for at, sequence in enumerate([0, 10, 10, 20, 30, 10, 20, 40, 50]):
        numbers.follow(STREAM, Mark(sequence, 10, 0, None, at + 1))

    assert missing(numbers) == []
    assert numbers.out_of_sequence > 0


def test_exporters_that_look_like_one_have_no_losses() -> None:
    """Two numberings under one name do not follow each other; what is no loss is not told as one."""
    numbers = Numbers()
    for at in range(50):
        numbers.follow(STREAM, Mark(10 * at, 10, at * 2 * SECOND, None, 2 * at + 1))
        numbers.follow(STREAM, Mark(500_000 + 10 * at, 10, (at * 2 + 1) * SECOND, None, 2 * at + 2))

    assert missing(numbers) == []


def test_streams_are_kept_apart() -> None:
    """Exporter, version and domain each make a stream of its own."""
    numbers = Numbers()
    others = [STREAM, Stream("192.0.2.2", 10, 1), Stream("192.0.2.1", 9, 1), Stream("192.0.2.1", 10, 2)]
    for place, stream in enumerate(others):
        follow(numbers, 1000 * place, 1000 * place + 10, stream=stream)
    follow(numbers, 40, stream=STREAM, begin=2)

    assert missing(numbers) == [(1, 2, 3, 20)]


def test_after_data_whose_template_is_not_known_nothing_is_compared() -> None:
    """How many records a datagram has is then not known, nor what number comes next."""
    numbers = Numbers()
    follow(numbers, 0, 10)
    numbers.follow(STREAM, Mark(20, None, 2 * SECOND, None, 3))
    follow(numbers, 70, 80, begin=3)

    assert missing(numbers) == []


def test_numbers_that_count_something_else_are_one_gap() -> None:
    """An exporter most of whose numbers do not fit may have lost much, or count otherwise: that is told once."""
    numbers = Numbers()
    follow(numbers, *range(0, 1200, 12))
    (found,) = numbers.breaks()

    assert (found.start, found.end, found.record) == (0, 99 * SECOND, 2)
    assert found.reason == (
        "99 of 100 datagrams of domain 1 (version 10) of 192.0.2.1 do not follow the one before: "
        "198 data records are missing, or its numbers count something else"
    )


def test_all_of_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams, boots, holes and breaks beyond the limits are counted, not kept."""
    for name, limit in (("MOST_STREAMS", 3), ("MOST_BOOTS", 2), ("MOST_OPEN", 2), ("MOST_TOLD", 4)):
        monkeypatch.setattr(module, name, limit)
    numbers = Numbers()
    for domain in range(6):
        for boot in range(3):
            follow(numbers, 0, 20, stream=Stream(None, 5, domain), boot=boot * 100_000)
    found = numbers.breaks()

    assert len(found) == 5
    assert found[-1] == (None, None, "140 flows, datagrams or data records are missing in 14 further places", None)
    assert (numbers.broken, numbers.missing) == (18, 180)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.data())
def test_what_is_told_missing_is_what_was_taken_out(counts: list[int], data: st.DataObject) -> None:
    """Whatever is lost between the first and the last, in whatever order the rest comes, the sum is right."""
    ends = list(accumulate(counts, initial=data.draw(st.integers(0, TOP - 1))))
    sent = [Mark(end % TOP, count, 0, None, at) for at, (end, count) in enumerate(zip(ends, counts, strict=False))]
    lost = data.draw(st.sets(st.integers(1, max(1, len(sent) - 2)), max_size=len(sent) // 3))
    come = [mark for at, mark in enumerate(sent) if at not in lost or at == len(sent) - 1]
    middle = come[1:-1]
    shift = random.Random(data.draw(st.integers()))
    for at in range(0, len(middle) - 1, 2):
        if shift.random() < 0.3:
            middle[at], middle[at + 1] = middle[at + 1], middle[at]
    numbers = Numbers()
    for mark in [come[0], *middle, *come[-1:]]:
        numbers.follow(STREAM, mark)
    numbers.breaks()

    expected = sum(counts) - sum(mark.step or 0 for mark in come)
    assert numbers.missing == expected
