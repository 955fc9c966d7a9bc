"""Clock offsets between evidence sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forensics.clocks import LEAST_TWINS, clock_offsets

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

SECOND = 1_000_000
START = 1_431_302_400_000_000

Flows = list[dict[str, object]]


def seen(source: str, offset: float, ports: range, *, drift: float = 0.0) -> Flows:
    """Return connections as one source saw them: one every minute, by a clock that is off by so much [s]."""
    return [
        {
            "start": START + int((60 * port + offset + drift * place) * SECOND),
            "src": "203.0.113.10",
            "src_port": port,
            "dst": "198.51.100.116",
            "dst_port": 443,
            "proto": "tcp",
            "source": source,
            "vantage": source,
        }
        for place, port in enumerate(ports)
    ]


def test_offset_is_the_median_of_shared_connections(make_case: Callable[..., Case]) -> None:
    """A capture whose clock is 37.4 s ahead is found to be so, though one connection was delayed."""
    rows = seen("conn.log", 0.0, range(5)) + seen("relay.pcap", 37.4, range(5))
    rows[-1] = rows[-1] | {"start": int(str(rows[-1]["start"])) + 2 * SECOND}

    assert clock_offsets(make_case(rows)) == {"conn.log": 0.0, "relay.pcap": pytest.approx(37.4)}


def test_offsets_are_carried_from_source_to_source(make_case: Callable[..., Case]) -> None:
    """A source that shares nothing with the reference is compared through one that does, in either direction."""
    rows = seen("b", 0.0, range(20)) + seen("a", 5.0, range(8)) + seen("c", -7.0, range(8, 16))
    rows += [row | {"dst": "203.0.113.182"} for row in seen("c", -7.0, range(30, 34)) + seen("d", 3.0, range(30, 34))]

    offsets = clock_offsets(make_case(rows))

    assert offsets == {"b": 0.0, "a": pytest.approx(5.0), "c": pytest.approx(-7.0), "d": pytest.approx(3.0)}


def test_few_shared_connections_say_nothing(make_case: Callable[..., Case]) -> None:
    """Fewer shared connections than an offset needs give none."""
    few = range(LEAST_TWINS - 1)

    assert clock_offsets(make_case(seen("a", 0.0, few) + seen("b", 1.0, few))) == {}


def test_connections_that_disagree_say_nothing(make_case: Callable[..., Case]) -> None:
    """Five-tuples that were used again, minutes apart, are no offset."""
    rows = seen("a", 0.0, range(9)) + seen("b", 1.0, range(9), drift=30.0)

    assert clock_offsets(make_case(rows)) == {}


def test_a_five_tuple_used_twice_is_left_out(make_case: Callable[..., Case]) -> None:
    """Of connections that one source holds twice it is not known which is meant."""
    rows = seen("a", 0.0, range(3)) + seen("b", 4.0, range(3))
    rows += [row | {"start": int(str(row["start"])) + 900 * SECOND} for row in seen("b", 0.0, range(1))]

    assert clock_offsets(make_case(rows)) == {}


def test_nothing_to_compare(make_case: Callable[..., Case]) -> None:
    """A case without rows, or with one source, has no offsets."""
    assert clock_offsets(make_case([])) == {}
    assert clock_offsets(make_case(seen("a", 0.0, range(9)))) == {}
