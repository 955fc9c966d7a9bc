"""Rows in parts, and threads that work on them: nothing is cut that belongs together, and the order stays."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.engines import _parts
from forensics.engines._parts import in_turn, parts_of
from forensics.engines.duckdb import DuckDBEngine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCHEMA = pa.schema([("pair", pa.int64()), ("first", pa.int64()), ("rows", pa.int64())])


@given(st.lists(st.integers(1, 9), max_size=40), st.lists(st.integers(0, 30), max_size=6), st.integers(1, 25))
def test_no_value_is_in_two_parts(runs: list[int], sizes: list[int], rows: int) -> None:
    """All rows come in their order, whatever the batches; a part may be longer by rows of one value."""
    values = np.repeat(np.arange(len(runs)), runs)
    table = pa.table({"pair": values, "n": np.arange(len(values))})
    batches: list[pa.RecordBatch] = []
    for size in [*sizes, len(values)]:
        batches += table.slice(sum(batch.num_rows for batch in batches), size).to_batches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_parts, "PART_ROWS", rows)
        parts = list(parts_of(batches, "pair"))

    assert [n for part in parts for n in part["n"].to_pylist()] == list(range(len(values)))
    seen = [set(part["pair"].to_pylist()) for part in parts]
    assert sum(map(len, seen)) == len(set().union(*seen))
    assert all(len(part) < rows + max(runs) for part in parts[:-1])


def test_what_is_made_comes_in_order() -> None:
    """What is made of the first comes first, also where the second is done before; only so many are taken at once."""
    taken: list[int] = []
    second_done = threading.Event()

    def numbers() -> Iterator[int]:
        for n in range(20):
            taken.append(n)
            yield n

    def double(n: int) -> int:
        if n == 0:
            second_done.wait(0.2)  # where there is one thread alone, nobody sets it
        second_done.set()
        return 2 * n

    made = in_turn(double, numbers())
    assert next(made) == 0
    assert len(taken) <= _parts.MOST_THREADS + 1
    assert list(made) == list(range(2, 40, 2))


def test_an_error_of_the_function_arrives() -> None:
    """What goes wrong in a thread is raised where its result is asked for."""
    with pytest.raises(ZeroDivisionError):
        list(in_turn(lambda n: 1 // n, [1, 0, 1]))


def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB maps rows in many parts as it does in one: the same rows in the same order, each run."""

    def told(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for row in pa.Table.from_batches(batches).group_by("pair", use_threads=False).aggregate(
            [("n", "min"), ("n", "count")]
        ).to_batches():  # fmt: skip
            yield pa.RecordBatch.from_arrays([row["pair"], row["n_min"], row["n_count"]], schema=SCHEMA)

    engine = DuckDBEngine()
    text = "SELECT CAST(floor(sqrt(range)) AS BIGINT) AS pair, range AS n FROM range(5000)"
    whole = engine.map_rows(text, told, SCHEMA, ("pair", "n"))
    monkeypatch.setattr(_parts, "PART_ROWS", 100)
    assert whole.num_rows == 71
    assert [engine.map_rows(text, told, SCHEMA, ("pair", "n")) for _ in range(3)] == [whole] * 3
