"""Sequence numbers of TCP against a model that knows every byte: what was sent again, what is missing."""

# ruff: noqa: PLR0917 - fixtures and parameters of a test

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build

FIN, SYN, ACK = 1, 2, 16
MANY = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
STARTS = st.sampled_from([0, 5, 0x7FFF_FFD0, 0x8000_0000, 0xFFFF_FFD0, 0xFFFF_FFFF])


@dataclass
class Direction:
    """One direction of a connection, byte by byte; numbers count from the SYN's, however they wrap around.

    A byte is missing when it lies below the highest number seen or acknowledged, and was not seen itself.
    """

    seen: set[int] = field(default_factory=set)
    again: int = 0
    payload: int = 0
    top: int = 0

    def say(self, offset: int, size: int) -> None:
        """Take a segment in."""
        numbers = set(range(offset, offset + size))
        self.again += len(numbers & self.seen)
        self.seen |= numbers
        self.payload += size
        self.top = max(self.top, offset + size)

    @property
    def missing(self) -> int:
        """How many bytes were passed over and never came."""
        return self.top - len([number for number in self.seen if number < self.top])


def connection(
    make: ModuleType,
    starts: tuple[int, int],
    segments: list[tuple[int, int, int, int]],
    *,
    syn: bool = True,
    ends: tuple[int, int] = (-1, -1),
) -> bytes:
    """Return a capture of a connection: (side, offset from the first byte, size, offset acknowledged) per segment.

    A segment that ends where its direction ends has the FIN.
    """
    packets: list[Any] = []

    def put(side: int, seq: int, ack: int, flags: int, payload: bytes) -> None:
        client, server = ("192.0.2.1", 40000), ("198.51.100.2", 9999)
        (src, sport), (dst, dport) = (client, server) if side == 0 else (server, client)
        segment = make.tcp(sport, dport, seq & 0xFFFF_FFFF, ack & 0xFFFF_FFFF, flags, payload)
        packets.append(make.Packet(make.START + len(packets), make.ethernet(make.ip(src, dst, 6, segment))))

    for side in range(2 if syn else 0):
        put(side, starts[side] - 1, starts[0], SYN | ACK if side else SYN, b"")
    for side, offset, size, acked in segments:
        flags = (ACK if acked >= 0 else 0) | (FIN if offset + size == ends[side] else 0)
        put(side, starts[side] + offset, starts[1 - side] + max(0, acked), flags, bytes(size))
    return bytes(make.pcap(packets))


def followed(build: Build, data: bytes) -> tuple[Any, Any]:
    """Return the only flow of a capture, and the engine that closed it; no row of the table of holes is lost."""
    engine = build.engine.Engine(io.BytesIO(data))
    engine.open()
    flows = np.concatenate([event.closed for event in engine.events() if hasattr(event, "closed")])
    lay, cursor, holes = build.layout, engine.tables.cursor, engine.tables.holes
    free, k = 0, int(cursor[lay.HOLE_FREE])
    while k:
        free, k = free + 1, int(holes[k, lay.H_NEXT])
    assert free == cursor[lay.HOLE_TOP]
    assert len(flows) == 1
    return flows[0], engine


def counted(build: Build, data: bytes) -> list[tuple[int, int, int]]:
    """Return payload, bytes sent again and bytes missing, of each direction; no hole is left behind."""
    flow, _ = followed(build, data)
    lay = build.layout
    return [
        (
            int(flow[lay.F_SUM_PAYLOAD + side]),
            int(flow[lay.F_AGAIN + lay.F_HIGH * side]),
            int(flow[lay.F_HOLES + lay.F_HIGH * side]) >> lay.HOLE_BITS,
        )
        for side in range(2)
    ]


@MANY
@given(
    starts=st.tuples(STARTS, STARTS),
    segments=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 90), st.integers(0, 30), st.just(-1)), max_size=40),
)
def test_every_byte_is_told_as_the_model_has_it(
    plain: Build, make: ModuleType, starts: tuple[int, int], segments: list[tuple[int, int, int, int]]
) -> None:
    """Payload without what was sent again is the number of distinct bytes; what is missing are the holes left."""
    model = (Direction(), Direction())
    for side, offset, size, _ in segments:
        model[side].say(offset, size)

    found = counted(plain, connection(make, starts, segments))

    assert found == [(m.payload, m.again, m.missing) for m in model]
    assert [payload - again for payload, again, _ in found] == [len(m.seen) for m in model]


@MANY
@given(
    starts=st.tuples(STARTS, STARTS),
    segments=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 90), st.integers(0, 30), st.just(-1)), max_size=10),
    syn=st.booleans(),
)
def test_the_numbers_of_both_syns_are_kept(
    plain: Build, make: ModuleType, starts: tuple[int, int], segments: list[tuple[int, int, int, int]], *, syn: bool
) -> None:
    """As they were sent, whatever comes behind them; unknown where no SYN was captured."""
    data = connection(make, starts, segments or [(0, 0, 1, -1)], syn=syn)

    flow, _ = followed(plain, data)

    # A SYN's number of 2^32 - 1 looks like none: one connection in four thousand million.
    expected = [start - 1 if syn else -1 for start in starts]
    assert [int(plain.sequences.initial_numbers(flow[None, :], side)[0]) for side in range(2)] == expected


@MANY
@given(
    starts=st.tuples(STARTS, STARTS),
    segments=st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 90), st.integers(0, 30), st.integers(-1, 130)), max_size=40
    ),
)
def test_what_is_acknowledged_was_sent(
    plain: Build, make: ModuleType, starts: tuple[int, int], segments: list[tuple[int, int, int, int]]
) -> None:
    """Bytes that the other end acknowledges and the capture lacks are missing, until they come after all."""
    model = (Direction(), Direction())
    for side, offset, size, acked in segments:
        model[side].say(offset, size)
        model[1 - side].top = max(model[1 - side].top, acked)

    found = counted(plain, connection(make, starts, segments))

    assert found == [(m.payload, m.again, m.missing) for m in model]


@MANY
@given(
    starts=st.tuples(STARTS, STARTS),
    ends=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    segments=st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 90), st.integers(0, 30), st.integers(-1, 91)), max_size=30
    ),
)
def test_a_fin_is_no_payload_whenever_it_comes(
    plain: Build,
    make: ModuleType,
    starts: tuple[int, int],
    ends: tuple[int, int],
    segments: list[tuple[int, int, int, int]],
) -> None:
    """However late or often FINs come, before or after they are acknowledged, only payload is told."""
    model = (Direction(), Direction())
    sent = []
    for side, start, most, acked in segments:
        offset = min(start, ends[side])
        sent.append((side, offset, min(most, ends[side] - offset), min(acked, ends[1 - side] + 1)))
    sent += [(side, ends[side], 0, -1) for side in range(2)]  # the FINs
    for side, offset, size, acked in sent:
        model[side].say(offset, size)
        model[1 - side].top = max(model[1 - side].top, min(acked, ends[1 - side]))

    found = counted(plain, connection(make, starts, sent, ends=ends))

    assert found == [(m.payload, m.again, m.missing) for m in model]


@MANY
@given(
    start=STARTS,
    segments=st.lists(
        st.tuples(st.just(0), st.integers(0, 60), st.integers(1, 30), st.just(-1)), min_size=1, max_size=30
    ),
)
def test_without_a_start_nothing_before_the_first_byte_is_missing(
    plain: Build, make: ModuleType, start: int, segments: list[tuple[int, int, int, int]]
) -> None:
    """Where no SYN was seen, what lies below the first segment counts as sent again, for it was not waited for."""
    first = segments[0][1]
    model = Direction(seen=set(range(-100, first)))
    for _, offset, size, _ in segments:
        model.say(offset, size)

    payload, again, missing = counted(plain, connection(make, (start, 0), segments, syn=False))[0]

    assert (payload, again) == (model.payload, model.again)
    assert missing == len(set(range(first, model.top)) - model.seen)


@pytest.mark.parametrize("holes", [31, 32, 33, 40, 100])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_oldest_holes_are_given_up(plain: Build, make: ModuleType, holes: int, backwards: bool) -> None:
    """Of more holes than are remembered the oldest stay missing, and what fills them counts as sent again."""
    sent = [(0, 20 * k + 10, 10, -1) for k in range(holes)]
    late = [(0, 20 * k, 10, -1) for k in range(holes)]
    given_up = max(0, holes - plain.layout.MOST_HOLES)

    payload, again, missing = counted(plain, connection(make, (7, 0), sent + (late[::-1] if backwards else late)))[0]

    assert payload == 20 * holes
    assert (again, missing) == (10 * given_up, 10 * given_up)


@MANY
@given(
    sizes=st.lists(st.integers(3, 200), min_size=1, max_size=8),
    splits=st.lists(st.tuples(st.integers(0, 900), st.integers(1, 3)), max_size=90),
    more=st.integers(0, 6),
)
def test_holes_that_fall_apart_are_bounded_too(
    plain: Build, make: ModuleType, sizes: list[int], splits: list[tuple[int, int]], more: int
) -> None:
    """However many pieces holes fall into, each is given back, and never is more missing than was passed over."""
    top, segments = 0, []
    for size in sizes:
        segments.append((0, top + size, 1, -1))
        top += size + 1
    segments += [(0, min(offset, top - 1), size, -1) for offset, size in splits]
    segments += [(0, top + 1000 + 10 * k, 1, -1) for k in range(more)]
    model = Direction()
    for _, offset, size, _ in segments:
        model.say(offset, size)

    payload, again, missing = counted(plain, connection(make, (7, 0), segments))[0]

    assert payload == model.payload
    assert again >= model.again
    assert again - model.again == missing - model.missing


@pytest.mark.parametrize("more", [0, 1, 2, 40])
def test_a_hole_in_many_pieces_is_given_back(plain: Build, make: ModuleType, more: int) -> None:
    """A hole that fell into more pieces than are remembered leaves no row of the table behind."""
    segments = [(0, 1000, 1, -1), *((0, 10 * k, 1, -1) for k in range(1, 61))]
    segments += [(0, 1001 + 10 * k, 1, -1) for k in range(1, more + 1)]

    assert counted(plain, connection(make, (7, 0), segments))[0] == (61 + more, 0, 940 + 9 * more + bool(more))


def test_a_wrap_around_in_the_middle_of_a_hole(plain: Build, make: ModuleType) -> None:
    """A hole across the number 0 is filled from both of its ends and from the middle."""
    segments = [(0, 0, 10, -1), (0, 50, 10, -1), (0, 15, 10, -1), (0, 25, 25, -1), (0, 8, 8, -1)]

    assert counted(plain, connection(make, (0xFFFF_FFE0, 0), segments))[0] == (63, 3, 0)


@MANY
@given(
    starts=st.tuples(STARTS, STARTS),
    segments=st.lists(
        st.tuples(st.integers(0, 1), st.integers(-40, 1 << 26), st.integers(0, 60), st.integers(-1, 1 << 26)),
        max_size=40,
    ),
    syn=st.booleans(),
)
def test_both_builds_follow_any_numbers(
    plain: Build,
    compiled: Build,
    make: ModuleType,
    starts: tuple[int, int],
    segments: list[tuple[int, int, int, int]],
    syn: bool,
) -> None:
    """Jumps of any width give the same compiled and as plain Python, and no count falls below 0."""
    data = connection(make, starts, [*segments, (0, 0, 1, -1)], syn=syn)
    found = counted(plain, data)

    assert counted(compiled, data) == found
    assert min(min(row) for row in found) >= 0
    assert all(again <= payload for payload, again, _ in found)
