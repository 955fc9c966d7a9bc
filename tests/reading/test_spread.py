"""Volumes of logs: exact sums, bounded connections, nulls that stay nulls."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.reading._spreading import MINUTE
from forensics.reading.spread import MOST_MINUTES, spread_over_minutes
from forensics.schema import EXCHANGES, STORED, TABLES

FIGURES = ("bytes_out", "bytes_in", "packets_out", "packets_in")
PAIR = ("src", "dst", "name", "via", "bytes_kind", "vantage", "source")
NOON = 1_432_180_800_000_000  # 2015-05-21 04:00 UTC
"""[us]"""


def flow(start: int = NOON, length: int = 0, **values: object) -> dict[str, object]:
    """Return a row of `flows`."""
    row: dict[str, object] = {
        "start": start, "end": start + length, "src": "192.0.2.1", "dst": "203.0.113.7", "bytes_kind": "application",
        "vantage": "proxy", "source": "access.log", "record": 1,
    }  # fmt: skip
    return row | values


def spread(*flows: dict[str, object]) -> list[dict[str, Any]]:
    """Return the volumes of some flows, minutes counted from noon."""
    return volumes_of(pa.RecordBatch.from_pylist(list(flows), schema=TABLES["flows"].schema))


def volumes_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the volumes of a batch, minutes counted from noon."""
    table = pa.Table.from_batches(spread_over_minutes(batch), STORED["volumes"].schema)
    minutes = table["minute"].cast(pa.int64()).to_pylist()
    return [row | {"minute": (at - NOON) // MINUTE} for row, at in zip(table.to_pylist(), minutes, strict=True)]


def sums(rows: list[dict[str, Any]]) -> dict[tuple[object, ...], dict[str, int | None]]:
    """Return the sum of each figure by pair; null where no row holds a figure."""
    found: defaultdict[tuple[object, ...], dict[str, int | None]] = defaultdict(lambda: dict.fromkeys(FIGURES))
    for row in rows:
        total = found[tuple(row.get(name) for name in PAIR)]
        for figure in FIGURES:
            if row.get(figure) is not None:
                total[figure] = (total[figure] or 0) + row[figure]
    return dict(found)


amounts = st.none() | st.integers(0, 2**50) | st.integers(0, 5)
flows = st.lists(
    st.builds(
        flow,
        start=st.integers(-(2**50), 2**51) | st.integers(NOON, NOON + 5 * MINUTE),
        length=st.integers(-5, 10 * MINUTE) | st.integers(0, 600).map(lambda minutes: minutes * MINUTE),
        dst=st.sampled_from(["203.0.113.7", None]),
        name=st.sampled_from(["www.example", None]),
        tunnel=st.sampled_from([None, "inner", "outer"]),
        **dict.fromkeys(FIGURES, amounts),
    ),
    max_size=4,
)


@given(flows)
def test_sums_are_exact(rows: list[dict[str, Any]]) -> None:
    """Over its minutes a pair moved exactly what its connections moved, to the byte; outer tunnels do not count."""
    carried = [row for row in rows if row["tunnel"] != "outer"]

    volumes = spread(*rows)

    assert sums(volumes) == sums(carried)
    assert sum(row["connections"] for row in volumes) == len(carried)
    assert all(row[figure] is None or row[figure] >= 0 for row in volumes for figure in FIGURES)


@given(flows)
def test_rows_are_one_per_minute_and_pair(rows: list[dict[str, Any]]) -> None:
    """No minute of a pair stands twice, and the rows come in order."""
    keys = [(row["minute"], *(row[name] for name in PAIR)) for row in spread(*rows)]

    assert len(set(keys)) == len(keys)
    assert [key[0] for key in keys] == sorted(key[0] for key in keys)


def test_bytes_fall_evenly() -> None:
    """A connection of three minutes from the middle of one moves a sixth, a third, a third and a sixth."""
    rows = spread(flow(NOON + MINUTE // 2, 3 * MINUTE, bytes_out=600, bytes_in=6))

    assert [(row["minute"], row["bytes_out"], row["bytes_in"], row["connections"]) for row in rows] == [
        (0, 100, 1, 1),
        (1, 200, 2, 0),
        (2, 200, 2, 0),
        (3, 100, 1, 0),
    ]


def test_the_stroke_of_the_minute() -> None:
    """What ends on the stroke has nothing in the next minute; what begins and ends there belongs to it."""
    assert [row["minute"] for row in spread(flow(NOON, MINUTE, bytes_out=60))] == [0]
    assert [row["minute"] for row in spread(flow(NOON, MINUTE + 1, bytes_out=60))] == [0, 1]
    assert [row["minute"] for row in spread(flow(NOON + MINUTE, 0, bytes_out=60))] == [1]
    assert [row["minute"] for row in spread(flow(NOON + MINUTE - 1, 1, bytes_out=60))] == [0]


def test_an_end_before_the_start() -> None:
    """A connection that a log ends before it started is of its first moment."""
    assert [(row["minute"], row["bytes_out"]) for row in spread(flow(NOON, -7 * MINUTE, bytes_out=60))] == [(0, 60)]


def test_a_month_is_the_most() -> None:
    """What claims to last a century is spread over its first month, all of it."""
    rows = spread(flow(NOON, 100 * 365 * 24 * 60 * MINUTE, bytes_out=10**12))

    assert len(rows) == MOST_MINUTES
    assert sum(row["bytes_out"] for row in rows) == 10**12
    assert max(row["bytes_out"] for row in rows) - min(row["bytes_out"] for row in rows) <= 1


def test_nulls_stay_nulls() -> None:
    """A direction nobody observed is null; where one connection observed it, the minute holds what was observed."""
    unseen = flow(bytes_in=5)
    seen = flow(bytes_out=7, bytes_in=6)

    assert [(row["bytes_out"], row["bytes_in"]) for row in spread(unseen)] == [(None, 5)]
    assert [(row["bytes_out"], row["bytes_in"]) for row in spread(unseen, seen)] == [(7, 11)]


def test_huge_figures_do_not_turn_negative() -> None:
    """The largest figure a table holds is spread without a wrap."""
    rows = spread(flow(NOON + 7, 10 * MINUTE, bytes_out=2**63 - 1))

    assert all(row["bytes_out"] >= 0 for row in rows)
    assert sum(row["bytes_out"] for row in rows) == 2**63 - 1


def test_no_flows_no_volumes() -> None:
    """No flows, or only outer tunnels, give no volumes."""
    assert spread() == []
    assert spread(flow(tunnel="outer", bytes_out=1)) == []


def as_exchanges(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Return flows as exchanges, with a request among them that is no flow."""
    kinds = {"is_flow": True, "is_request": False}
    other = flow(bytes_out=10**9) | {"is_flow": False, "is_request": True}
    return pa.RecordBatch.from_pylist([*(row | kinds for row in rows), other], schema=EXCHANGES.schema)


@given(flows)
def test_exchanges_have_the_volumes_of_their_flows(rows: list[dict[str, Any]]) -> None:
    """What is stored as exchanges has the volumes that its flows have; what is no flow has none."""
    batch = pa.RecordBatch.from_pylist(rows, schema=TABLES["flows"].schema)

    assert volumes_of(as_exchanges(rows)) == volumes_of(batch)


def test_the_order_is_that_of_the_table() -> None:
    """Rows come by minute, source, src, dst, name and via, nulls behind; the order of flows does not matter."""
    hosts = ["b.example", None, "a.example"]
    mixed = [
        flow(NOON + late * MINUTE, 0, src=src, dst=dst, name=name, via=via, bytes_in=1, source=source)
        for late in (1, 0)
        for src in ("192.0.2.9", "192.0.2.10")
        for dst in (None, "203.0.113.7")
        for name in hosts
        for via in hosts
        for source in ("b.log", "a.log")
    ]
    rows = spread(*mixed)

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["minute"], *((row[n] is None, row[n]) for n in ("source", "src", "dst", "name", "via"))

    assert len(rows) == len(mixed)
    assert rows == sorted(rows, key=key) == spread(*reversed(mixed))


@pytest.mark.parametrize("largest", [1, 7, 100])
def test_more_groups_than_a_number_holds(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the numbers of groups would wrap around, they are counted anew: the rows are the same."""
    mixed = [flow(NOON + n * MINUTE // 3, 0, src=f"192.0.2.{n % 5}", name=f"{n % 7}.example") for n in range(40)]
    expected = spread(*mixed)
    monkeypatch.setattr("forensics.reading.spread.LARGEST_KEY", largest)

    assert spread(*mixed) == expected


def test_words_that_no_row_uses() -> None:
    """A dictionary may hold more words than the rows use, in any order, and one of them twice."""
    rows = as_exchanges([flow(bytes_in=1), flow(bytes_in=2), flow(bytes_in=4)])
    words = pa.DictionaryArray.from_arrays(pa.array([3, 1, 2, 0], pa.int32()), ["z", "b", "a", "b", "unused"])
    rows = rows.set_column(rows.schema.get_field_index("name"), EXCHANGES.schema.field("name"), words)

    found = [(row["name"], row["bytes_in"]) for row in volumes_of(rows)]
    assert found == [("a", 4), ("b", 3)]


def test_memory_is_bounded() -> None:
    """Connections that all claim to last a month come in batches of a million minutes, and none of them is lost."""
    rows = [flow(NOON, 40 * 24 * 60 * MINUTE, src=f"192.0.2.{n}", bytes_in=10**6 + n) for n in range(60)]
    batch = pa.RecordBatch.from_pylist(rows, schema=TABLES["flows"].schema)

    made = list(spread_over_minutes(batch))

    assert [len(part) for part in made] == [23 * MOST_MINUTES, 23 * MOST_MINUTES, 14 * MOST_MINUTES]
    assert sum(pc.sum(part["bytes_in"]).as_py() for part in made) == sum(10**6 + n for n in range(60))
