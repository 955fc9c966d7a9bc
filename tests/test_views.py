"""Rows on their way to the analyst, and hostile text on its way to nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from forensics.engines.duckdb import DuckDBEngine
from forensics.errors import QueryError
from forensics.views import SHOWN_ROWS, View

if TYPE_CHECKING:
    from collections.abc import Mapping

HOSTILE = '<script>alert("x")</script>\x1b[2J\u202e'


@pytest.fixture
def engine() -> DuckDBEngine:
    """An engine with a small table."""
    made = DuckDBEngine()
    count = pa.array([3, None, 1, 2], pa.int64())
    port = pa.array([80, 443, None, 22], pa.int32())
    made.register_arrow("t", pa.table({"name": ["c", "x", "a", HOSTILE], "count": count, "port": port}))
    return made


def test_rows_come_in_order(engine: DuckDBEngine) -> None:
    """The columns of the order decide, nulls last; every way out gives the same rows."""
    view = View(engine, "SELECT * FROM t", ("count",))

    assert view.to_arrow().column("count").to_pylist() == [1, 2, 3, None]
    assert view.to_batches().read_all() == view.to_arrow()
    assert pa.table(view) == view.to_arrow()
    assert view.to_pandas()["name"].tolist() == view.to_arrow().column("name").to_pylist()
    assert len(view) == 4


def test_long_tables_are_sorted_span_by_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of time give the rows of one sort, also before 1970, within one second, at one time, and without a time."""
    made = DuckDBEngine()
    times = [
        0,
        5,
        -3,
        2_000_000,
        -7_000_001,
        1_500_000,
        1_500_000,
        9_000_000_000,
        None,
        None,
        -1_000_000,
        7_000_000,
    ] * 2
    time = pa.array(times, pa.int64()).cast(pa.timestamp("us", "UTC"))
    made.register_arrow("t", pa.table({"time": time, "n": range(len(times))}))
    view = View(made, "SELECT * FROM t", ("time", "n"), timed=True)
    asked: list[str] = []
    stream = made.stream

    def listen(text: str, tables: Mapping[str, pa.Table] | None = None) -> pa.RecordBatchReader:
        asked.append(text)
        return stream(text, tables)

    monkeypatch.setattr(made, "stream", listen)
    for rows in (1, 3, 5, 1000):
        asked.clear()
        monkeypatch.setattr("forensics.views.SPAN_ROWS", rows)
        assert view.to_batches().read_all() == view.to_arrow()
        assert (len(asked) > 4) == (rows < 5), asked
    assert len(asked) == 1


def test_a_query_keeps_its_own_order(engine: DuckDBEngine) -> None:
    """Without an order the rows come as the query gives them."""
    view = View(engine, "SELECT count FROM t ORDER BY count DESC NULLS LAST")

    assert view.to_arrow().column("count").to_pylist() == [3, 2, 1, None]
    assert view.to_batches().read_all().column("count").to_pylist() == [3, 2, 1, None]


def test_integers_stay_integers_in_pandas(engine: DuckDBEngine) -> None:
    """A column of integers with a null keeps its type; a sum of one too."""
    frame = View(engine, "SELECT * FROM t", ("count",)).to_pandas()
    summed = View(engine, "SELECT sum(count) AS total, avg(count) AS mean FROM t").to_pandas()

    assert frame.dtypes["count"] == pd.Int64Dtype()
    assert frame.dtypes["port"] == pd.Int32Dtype()
    assert frame["count"].isna().tolist() == [False, False, False, True]
    assert summed.dtypes.tolist() == [pd.Int64Dtype(), np.dtype("float64")]


def test_other_libraries_read_a_view(engine: DuckDBEngine) -> None:
    """A view is an Arrow C stream: any library that speaks it reads the rows."""
    view = View(engine, "SELECT count FROM t", ("count",))
    reader = pa.RecordBatchReader.from_stream(view)
    relation = duckdb.from_arrow(view.to_arrow())

    assert reader.read_all().column("count").to_pylist() == [1, 2, 3, None]
    assert relation.aggregate("sum(count)").fetchall() == [(6,)]


def test_a_notebook_shows_hostile_text_as_text(engine: DuckDBEngine) -> None:
    """Markup, escape sequences and direction marks of the evidence, in values and names, come out harmless."""
    shown = View(engine, 'SELECT name, 1 AS "<b>x" FROM t', ("name",))._repr_html_()

    assert "<script" not in shown
    assert "<b>" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&lt;U+001B&gt;[2J" in shown
    assert shown.endswith("<p>4 rows</p>")


def test_a_terminal_shows_hostile_text_as_text(engine: DuckDBEngine) -> None:
    """The text form holds no escape sequence; a null is empty."""
    shown = repr(View(engine, "SELECT name, count FROM t", ("name",)))

    assert shown.startswith("<4 rows>\n")
    assert "\x1b" not in shown
    assert "<U+001B>" in shown


def test_long_tables_are_cut(engine: DuckDBEngine) -> None:
    """The first rows are shown and all are counted."""
    view = View(engine, "SELECT range AS n FROM range(1234)", ("n",))

    assert view._repr_html_().endswith(f"<p>1,234 rows, the first {SHOWN_ROWS} shown</p>")
    assert view._repr_html_().count("<tr>") == SHOWN_ROWS + 1
    assert repr(view).startswith("<1,234 rows>\n")


def test_an_empty_table_is_shown(engine: DuckDBEngine) -> None:
    """No rows are a head and a count."""
    view = View(engine, "SELECT name FROM t WHERE false")

    assert view._repr_html_() == "<table><thead><tr><th>name</th></tr></thead><tbody></tbody></table><p>0 rows</p>"
    assert len(view.to_batches().read_all()) == 0


def test_own_tables_go_with_the_view(engine: DuckDBEngine) -> None:
    """Tables of a view are seen however its rows are fetched, and by no other view."""
    mine = {"mine": pa.table({"count": [2, 3]})}
    view = View(engine, "SELECT t.count FROM t JOIN mine USING (count)", ("count",), mine)

    assert view.to_arrow().column("count").to_pylist() == [2, 3]
    assert view.to_batches().read_all() == view.to_arrow()
    assert len(view) == 2
    assert "2 rows" in view._repr_html_()
    with pytest.raises(QueryError, match="mine"):
        len(View(engine, "SELECT * FROM mine"))


def test_a_comment_may_end_a_query(engine: DuckDBEngine) -> None:
    """A comment at the end comments out nothing of what a view puts around the query."""
    view = View(engine, "SELECT count FROM t -- all of them", ("count",))

    assert len(view) == len(view.to_arrow()) == 4
    assert "4 rows" in view._repr_html_()
