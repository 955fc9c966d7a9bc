"""One row, stored once: queries see the same rows, whether they were stored as exchanges or table by table."""

from __future__ import annotations

import os
import re
import threading
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.engines.duckdb import DuckDBEngine
from forensics.errors import QueryError
from forensics.memory import MemoryStore
from forensics.opening import open_case, read
from forensics.reading.checking import check_batch
from forensics.schema import FILLED, PARTS, WORD, parts_of
from forensics.store import DiskStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forensics.case import Case
    from forensics.store import Store

START = datetime(2015, 5, 21, 4, tzinfo=UTC)
Batches = list[tuple[str, pa.RecordBatch]]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without waiting for the disk: no test pulls the plug."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def values(kind: pa.DataType) -> st.SearchStrategy[object]:
    """Return values of a type, few enough that rows meet."""
    if pa.types.is_timestamp(kind):
        return st.integers(0, 3).map(lambda minutes: START + timedelta(minutes=minutes))
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_integer(kind):
        return st.integers(0, 5)
    return st.sampled_from(["", "a.example", "b.example", "\u65e5\u672c"])


def rows_of(table: str) -> st.SearchStrategy[dict[str, object]]:
    """Return rows of a table."""
    columns = {field.name: values(field.type) for field in FILLED[table].schema}
    nullable = {field.name for field in FILLED[table].schema if field.nullable}
    return st.fixed_dictionaries({n: st.none() | made if n in nullable else made for n, made in columns.items()})


def lawful(row: dict[str, object]) -> dict[str, object]:
    """Return a row of exchanges that is of some table, with what that table needs."""
    row = row | {"is_flow": row["is_flow"] or not (row["is_request"] or row["how"])}
    return row | {"end": row["end"] or row["start"], "name": row["name"] or "c.example"}


def batch_of(table: str, rows: Iterable[dict[str, object]]) -> tuple[str, pa.RecordBatch]:
    """Return a batch of a table."""
    made = [lawful(row) if table == "exchanges" else row for row in rows]
    return table, pa.RecordBatch.from_pylist(made, schema=FILLED[table].schema)


batches = st.lists(
    st.sampled_from([*PARTS, "exchanges", "exchanges"]).flatmap(
        lambda table: st.lists(rows_of(table), min_size=1, max_size=4).map(lambda rows: batch_of(table, rows))
    ),
    max_size=5,
)


def parted(found: Batches) -> Batches:
    """Return batches of tables alone."""
    return [part for table, batch in found for part in (parts_of(batch) if table == "exchanges" else [(table, batch)])]


def put(store: Store, found: Batches, sha256: str) -> None:
    """Add a file of these rows to a store."""
    row: dict[str, object] = {
        "source": sha256[:2], "sha256": sha256, "size": 4, "format": "squid", "records": 1, "rejected": 0, "flows": 0,
        "observed_out": 0, "observed_in": 0,
        "vantage": "a", "error": None,
    }  # fmt: skip
    with store.adding():
        part = store.begin()
        for table, batch in found:
            part.write(table, batch)
        part.commit(row, None, None)
        part.discard()


def seen(store: Store) -> dict[str, list[str]]:
    """Return what queries see of a store, with the types of the columns."""
    engine = DuckDBEngine(store.folder)
    store.register(engine)
    tables = {name: engine.query(f"SELECT * FROM {name}") for name in PARTS}  # noqa: S608
    assert all(table.schema.names == FILLED[name].schema.names for name, table in tables.items())
    assert all(table.schema.types == FILLED[name].schema.types for name, table in tables.items())
    return {name: sorted(map(repr, table.to_pylist())) for name, table in tables.items()}


@settings(max_examples=25, deadline=None)
@given(batches, batches)
def test_exchanges_are_rows_of_their_tables(one: Batches, other: Batches) -> None:
    """Any mix of batches, of several files, on disk and in memory, gives the rows that the single tables would give."""
    expected: dict[str, list[str]] = {name: [] for name in PARTS}
    for table, batch in parted([*one, *other]):
        expected[table] += map(repr, batch.to_pylist())

    with TemporaryDirectory() as folder:
        for store in (DiskStore(Path(folder, "case"), {"title": "a", "timezone": "UTC"}), MemoryStore()):
            put(store, one, "ab" * 32)
            put(store, other, "cd" * 32)
            assert seen(store) == {name: sorted(rows) for name, rows in expected.items()}


LOG = b"""\
1432180800.512 182 192.0.2.21 TCP_MISS/200 4811 GET http://www.example/ - HIER_DIRECT/203.0.113.7 text/html
1432180801.512 190 192.0.2.22 TCP_TUNNEL/200 90811 CONNECT mail.example:443 - HIER_DIRECT/203.0.113.8 -
1432180802.512 10 192.0.2.22 TCP_DENIED/403 411 GET http://203.0.113.9/x - HIER_NONE/- -
1432180803.512 0 192.0.2.250 UDP_MISS/000 62 ICP_QUERY http://www.example/ - HIER_NONE/- -
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A proxy log of every kind of row."""
    path = tmp_path / "access.log"
    path.write_bytes(LOG)
    return path


def counts(case: Case) -> dict[str, int]:
    """Return the number of rows by table."""
    return {name: len(getattr(case, name)) for name in (*PARTS, "volumes", "sources")}


def test_a_log_is_stored_once(log: Path, tmp_path: Path) -> None:
    """A proxy's log is one table on disk; the case shows flows, requests, names and volumes of it, as in memory."""
    case = open_case(tmp_path / "case").add(log)
    memory = read(log)

    assert counts(case) == counts(memory) == {"flows": 4, "requests": 3, "names": 2, "volumes": 4, "sources": 1}
    for name in (*PARTS, "volumes"):
        assert getattr(case, name).to_arrow().equals(getattr(memory, name).to_arrow())
    [part] = (tmp_path / "case" / "parts").iterdir()
    assert {path.stem for path in part.glob("*.parquet")} == {"exchanges", "volumes", "sources"}
    [source] = case.sources.to_arrow().to_pylist()
    assert (source["flows"], source["records"]) == (4, 4)
    assert source["last"] == datetime(2015, 5, 21, 4, 0, 3, 512000, tzinfo=UTC)


def test_parquet_opens_by_hand(log: Path, tmp_path: Path) -> None:
    """Who opens the file with other programs finds text, numbers, and which table each row is of."""
    open_case(tmp_path / "case").add(log)
    [file] = (tmp_path / "case" / "parts").glob("*/exchanges.parquet")

    rows = pq.read_table(file).to_pylist()
    assert [(row["host"], row["how"], row["is_flow"], row["is_request"]) for row in rows] == [
        ("www.example", "proxy", True, True),
        ("mail.example", "proxy", True, True),
        ("203.0.113.9", None, True, True),
        ("www.example", None, True, False),
    ]


def test_the_query_of_the_docs_gives_all_requests(log: Path, tmp_path: Path) -> None:
    """What the reference says about requests by hand, DuckDB alone can do: with the rows that the case itself shows."""
    case = open_case(tmp_path / "jps.case").add(log)
    page = (Path(__file__).parents[1] / "docs" / "reference" / "case.md").read_text("utf-8")
    [query] = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    alone = query.partition("UNION ALL")[2].replace("jps.case", str(tmp_path / "jps.case"))

    relation = duckdb.sql(alone)
    assert relation is not None
    by_hand = relation.to_arrow_table()

    wanted = case.sql("SELECT start, src, name, url FROM requests").to_arrow()
    assert by_hand.drop_columns("start").to_pylist() == wanted.drop_columns("start").to_pylist()
    assert by_hand.num_rows == 3


def test_stored_tables_are_not_the_analysts(log: Path) -> None:
    """A table of one's own cannot take the place of one that the case's own queries stand on."""
    case = read(log)
    for name in ("stored_flows", "Stored_Exchanges"):
        with pytest.raises(QueryError, match="has a table"):
            case.sql("SELECT 1", **{name: pa.table({"a": [1]})})


def test_words_are_text_to_queries(log: Path) -> None:
    """Nobody who asks the case meets the types in which it stores."""
    case = read(log)
    tables = [case.flows, case.requests, case.names, case.volumes, case.sql("SELECT * FROM contacts")]
    assert not any(field.type == WORD for table in tables for field in table.to_arrow().schema)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"end": None}, "end is never null in a flow"),
        ({"how": "proxy"}, "name is never null where it is known how"),
        ({"is_flow": False}, "a row of exchanges is of no table"),
        ({"src": None}, "src is never null"),
        ({}, None),
    ],
)
def test_unlawful_exchanges_are_refused(change: dict[str, object], problem: str | None) -> None:
    """An exchange without what its tables need, or of no table, is a bug that is told, not a row that is lost."""
    row: dict[str, object] = {
        "start": START, "end": START, "src": "192.0.2.1", "bytes_kind": "application", "vantage": "gw",
        "source": "a.log", "record": 1, "is_flow": True, "is_request": False,
    }  # fmt: skip
    batch = pa.RecordBatch.from_pylist([row | change], schema=FILLED["exchanges"].schema)

    with pytest.raises(ValueError, match=problem) if problem else nullcontext():
        check_batch("exchanges", batch)


def test_a_null_is_no_word() -> None:
    """A null among the words would be counted as text: it is refused."""
    _, batch = batch_of("exchanges", [])
    words = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), pa.array([None], pa.string()))
    batch = batch.set_column(8, FILLED["exchanges"].schema.field(8), words)

    with pytest.raises(ValueError, match="not a word"):
        check_batch("exchanges", batch)


def test_an_interruption_leaves_nothing_half_written(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a log is read and written leaves the case without it, no thread behind, and the next add works."""
    log.write_bytes(LOG + b"torn\n")

    def interrupted(table: str, batch: pa.RecordBatch) -> None:
        if table == "rejects":
            raise KeyboardInterrupt

    monkeypatch.setattr("forensics.reading.check_batch", interrupted)
    case = open_case(tmp_path / "case")
    with pytest.raises(KeyboardInterrupt):
        case.add(log)
    monkeypatch.undo()

    assert "table-files" not in {thread.name for thread in threading.enumerate()}
    assert {path.name for path in (tmp_path / "case").iterdir()} == {".lock", "manifest.json"}
    assert counts(open_case(tmp_path / "case").add(log))["flows"] == 4
