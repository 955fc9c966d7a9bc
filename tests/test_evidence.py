"""The citation of evidence: which files, which records."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.evidence import MOST_RANGES, cite, cite_each, record_ranges

records = st.lists(st.integers(1, 200))


def expanded(text: str) -> tuple[list[int], int]:
    """Return the records that a text of ranges names, and how many more it speaks of."""
    listed, _, more = text.partition(" (+")
    found: list[int] = []
    for part in filter(None, listed.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found, int(re.sub(r"\D", "", more) or 0)


@given(records)
def test_ranges_name_every_record(numbers: list[int]) -> None:
    """Without a limit the text stands for exactly the records, each once, ascending."""
    assert expanded(record_ranges(numbers, most=10**6)) == (sorted(set(numbers)), 0)


@given(records, st.integers(1, 5))
def test_what_is_left_out_is_counted(numbers: list[int], most: int) -> None:
    """The records that are named and those that are counted are all of them."""
    named, more = expanded(record_ranges(numbers, most))

    assert named == sorted(set(numbers))[: len(named)]
    assert len(named) + more == len(set(numbers))


def test_ranges_read_well() -> None:
    """Neighbours are joined, single records stand alone, the default limit is twelve ranges."""
    assert record_ranges([]) == ""
    assert record_ranges([7]) == "7"
    assert record_ranges([22, 18, 4, 19, 20, 21, 4]) == "4,18-22"
    assert record_ranges(range(1, 100, 2)).count(",") == MOST_RANGES - 1


@given(st.lists(st.tuples(st.sampled_from(["a.pcap", "b.log", "gw/c.log"]), st.integers(1, 50))))
def test_citations_have_a_part_per_file(rows: list[tuple[str, int]]) -> None:
    """Files and their records come in the same, sorted order."""
    sources, numbers = cite(rows)

    named = dict(zip(sources.split("; "), numbers.split("; "), strict=True)) if rows else {}
    assert list(named) == sorted({source for source, _ in rows})
    for source, text in named.items():
        assert text == record_ranges(record for other, record in rows if other == source)


def test_nothing_cites_nothing() -> None:
    """A finding without rows has empty citations."""
    assert cite([]) == ("", "")


@given(
    st.sampled_from([1, 2_000, 1 << 62]),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a.pcap", "b.log"]), st.integers(1, 30))),
)
def test_many_findings_are_cited_as_each_is(most: int, rows: list[tuple[int, str, int]]) -> None:
    """The evidence of several findings reads as that of each by itself; one without any has empty texts."""
    names = ("finding", "source", "record")
    schema = pa.schema([("finding", pa.int64()), ("source", pa.string()), ("record", pa.int64())])
    table = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("forensics.evidence.MOST", most)  # as many findings at once as fit into a number
        told = cite_each(table, 4)

    assert told == [cite((source, n) for of, source, n in rows if of == one) for one in range(4)]
