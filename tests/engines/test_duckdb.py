"""DuckDB: what it may see, what it may do, and that queries do not get in each other's way."""

from __future__ import annotations

import gc
import tempfile
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.engines import KEPT, VIEWS, holding, keeping, query_text
from forensics.engines.duckdb import DuckDBEngine
from forensics.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SCHEMA = pa.schema([("n", pa.int64())])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A case's folder with one Parquet file, and a secret outside."""
    case = tmp_path / "it's [2] *.case"
    case.mkdir()
    pq.write_table(pa.table({"n": [1, 2, 3]}), case / "flows.parquet")
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    return case


@pytest.fixture
def engine(folder: Path) -> DuckDBEngine:
    """An engine of that case."""
    made = DuckDBEngine(folder)
    made.register_parquet("flows", [folder / "flows.parquet"])
    return made


def first(engine: DuckDBEngine, query: str) -> object:
    """Return the first value of a query."""
    return engine.query(query).column(0)[0].as_py()


def test_folders_of_any_name(engine: DuckDBEngine) -> None:
    """Quotes, brackets and stars in a case's name are part of the name."""
    assert first(engine, "SELECT sum(n) FROM flows") == 6


def test_views_are_kept_within_a_block(engine: DuckDBEngine) -> None:
    """What a view gives is worked out once for a block, also where it ends in an error; views on it see the same."""
    engine.register_view("total", "SELECT CAST(sum(n) AS BIGINT) AS total FROM flows")
    engine.register_view("twice", "SELECT 2 * total AS total FROM total")

    with suppress(KeyError), engine.keeping(["total"]):
        engine.register_arrow("flows", pa.table({"n": [10]}))
        within = first(engine, "SELECT total FROM total"), first(engine, "SELECT total FROM twice")
        raise KeyError

    assert within == (6, 12)
    assert (first(engine, "SELECT total FROM total"), first(engine, "SELECT total FROM twice")) == (10, 20)


@pytest.mark.parametrize(("most", "kept"), [(2, ["address_of"]), (3, list(KEPT))])
def test_more_views_of_a_small_case_are_kept(engine: DuckDBEngine, most: int, kept: list[str]) -> None:
    """Of a case with more records only the addresses of names are kept; a block within a block keeps nothing more."""
    engine.register_arrow("sources", pa.table({"records": [1, 2]}))
    for name in VIEWS:
        engine.register_view(name, "SELECT 1 AS n")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("forensics.engines.MOST_KEPT", most)
        with keeping(engine), keeping(engine):
            tables = engine.query("SELECT table_name FROM duckdb_tables() ORDER BY table_oid").column(0).to_pylist()

    assert tables == [f"kept {name}" for name in kept]
    assert engine.query("SELECT table_name FROM duckdb_tables()").num_rows == 0


def test_rows_are_held_until_the_end_of_a_block(engine: DuckDBEngine) -> None:
    """Who asks again within a block of keeping finds the rows; others under the name take their place; then they go."""
    engine.register_arrow("sources", pa.table({"records": [1]}))
    for name in VIEWS:
        engine.register_view(name, "SELECT 1 AS n")
    found = []
    with keeping(engine):
        for n, of in ((1, "a"), (2, "a"), (3, "b")):
            with holding(engine, "rows", "SELECT m AS n FROM given", {"given": pa.table({"m": [n]})}, of):
                found.append(first(engine, "SELECT n FROM rows"))
        assert first(engine, "SELECT n FROM rows") == 3
    with holding(engine, "rows", "SELECT 4 AS n", {}):
        found.append(first(engine, "SELECT n FROM rows"))

    assert found == [1, 1, 3, 4]
    with pytest.raises(QueryError, match="rows"):
        engine.query("SELECT n FROM rows")


def test_rows_that_are_refused_are_not_held(engine: DuckDBEngine) -> None:
    """A query that only reads is needed here as well, and its error is a query's."""
    with pytest.raises(QueryError, match="read-only"), holding(engine, "rows", "DROP TABLE flows", {}):
        pass


def doubled(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the numbers of each batch twice as large, with those of the batch before."""
    seen: list[int] = []
    for batch in batches:
        seen += batch.column("n").to_pylist()
        yield pa.RecordBatch.from_pydict({"n": [2 * n for n in seen]})


def test_rows_are_mapped_in_order(engine: DuckDBEngine) -> None:
    """A function gets the rows of a query in the order that is asked for, with tables that only it sees."""
    handed = {"less": pa.table({"m": [2]})}

    made = engine.map_rows("SELECT -n AS n FROM flows, less WHERE n >= m", doubled, SCHEMA, ["n"], handed)

    assert made.to_pydict() == {"n": [-6, -4]}
    assert engine.map_rows("SELECT n FROM flows WHERE n > 9", doubled, SCHEMA).num_rows == 0


REFUSED = [
    "COPY flows TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '{outside}/out.csv'",
    "WITH a AS (COPY (SELECT 1) TO '{folder}/out.csv') SELECT 1",
    "WITH a AS (COPY (SELECT 1) TO '{folder}/flows.parquet') SELECT * FROM flows",
    "SELECT * FROM query('WITH a AS (COPY (SELECT 1) TO ''{folder}/out.csv'') SELECT 1')",
    "EXPORT DATABASE '{folder}/out'",
    "ATTACH '{outside}/x.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 1",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA enable_progress_bar",
    "CALL pragma_version()",
    "CREATE TABLE x AS SELECT 1",
    "CREATE OR REPLACE VIEW flows AS SELECT 1",
    "DROP VIEW flows",
    "INSERT INTO flows VALUES (1)",
    "DELETE FROM flows",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY flows TO '{folder}/out.csv'",
    "SELECT 1) TO '{folder}/out.csv'; --",
    "",
    "-- nothing",
    "SELEC 1",
    "SELECT * FROM read_csv('{outside}/secret.csv')",
    "SELECT * FROM '{outside}/secret.csv'",
    "SELECT * FROM read_text('{outside}/secret.csv')",
    "SELECT * FROM read_blob('{folder}/../secret.csv')",
    "SELECT * FROM glob('{outside}/*')",
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM read_csv('https://192.0.2.1/x.csv')",
    "SELECT getenv('HOME')",
    "SELECT * FROM variable_of_the_program",
]


@pytest.mark.parametrize("how", ["query", "stream"])
@pytest.mark.parametrize("query", REFUSED)
def test_queries_read_the_case_and_nothing_else(query: str, how: str, engine: DuckDBEngine, folder: Path) -> None:
    """Nothing is written, no other file read, no setting changed, no variable seen, whichever way rows are fetched."""
    variable_of_the_program = pa.table({"n": [1]})
    before = {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}

    with pytest.raises(QueryError):
        getattr(engine, how)(query.format(folder=str(folder).replace("'", "''"), outside=folder.parent))

    assert {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()} == before
    assert first(engine, "SELECT count(*) FROM flows") == 3
    assert len(variable_of_the_program) == 1


def test_without_a_folder_no_file_is_read(folder: Path) -> None:
    """An engine of tables in memory reads no file at all."""
    text = str(folder / "flows.parquet").replace("'", "''")

    with pytest.raises(QueryError, match="disabled by configuration"):
        DuckDBEngine().query(f"SELECT * FROM read_parquet('{text}')")  # noqa: S608


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT nope FROM flows", 'Referenced column "nope" not found'),
        ("SELECT * FROM flaws", "flaws does not exist"),
        ("SELECT FROM", "syntax error"),
        ("SELECT error('boom ' || n) FROM flows", "boom"),
    ],
)
def test_errors_are_the_engines_words(query: str, said: str, engine: DuckDBEngine) -> None:
    """What is wrong with a query, DuckDB says best."""
    with pytest.raises(QueryError, match=said):
        engine.query(query)
    with pytest.raises(QueryError, match=said):
        engine.stream(query).read_all()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS n",
        "FROM flows SELECT n LIMIT 1",
        "VALUES (1)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        'SELECT 1 AS "copy"',
        "SELECT 1 -- ; COPY",
        "(SELECT 1)",
        "SELECT 2 UNION SELECT 1 ORDER BY 1",
    ],
)
def test_lawful_queries_pass(query: str, engine: DuckDBEngine) -> None:
    """Every form of one SELECT is run."""
    assert first(engine, query) == 1


@pytest.mark.parametrize("query", ["DESCRIBE flows", "SUMMARIZE flows", "SHOW TABLES"])
def test_looking_around(query: str, engine: DuckDBEngine) -> None:
    """What tables and columns there are can be asked for."""
    assert engine.query(query).num_rows >= 1


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT 1;", "SELECT 1"),
        (" SELECT 1 ; ;\n", " SELECT 1"),
        ("SELECT ';'", "SELECT ';'"),
        ('SELECT 1 AS ";" ;', 'SELECT 1 AS ";"'),
        ("", ""),
        (";", ""),
        ("SELECT 'open", "SELECT 'open"),
    ],
)
def test_semicolons_at_the_end_go(text: str, bare: str, engine: DuckDBEngine) -> None:
    """A query can be put in parentheses after its last semicolon is gone; those inside it stay."""
    assert engine.bare(text) == bare


def test_comments_behind_a_semicolon(engine: DuckDBEngine) -> None:
    """A comment behind the last semicolon does not stand in the way."""
    assert engine.query(f"SELECT count(*) FROM ({engine.bare('SELECT 1; -- done')}\n)").num_rows == 1  # noqa: S608


def test_own_tables_are_seen_by_one_query(engine: DuckDBEngine) -> None:
    """A table handed to a query is gone after it, also where it hid one of the case, also after an error."""
    mine = pa.table({"n": [40, 2]})

    assert engine.query("SELECT sum(n) FROM mine", {"mine": mine}).column(0).to_pylist() == [42]
    assert engine.query("SELECT sum(n) FROM flows", {"flows": mine}).column(0).to_pylist() == [42]
    assert engine.stream("SELECT sum(n) FROM mine", {"mine": mine}).read_all().column(0).to_pylist() == [42]
    with pytest.raises(QueryError):
        engine.query("SELECT nope FROM mine", {"mine": mine})
    with pytest.raises(QueryError, match="mine does not exist"):
        engine.query("SELECT * FROM mine")
    assert first(engine, "SELECT sum(n) FROM flows") == 6


def test_tables_replace_each_other(engine: DuckDBEngine, folder: Path) -> None:
    """A name can pass from files to a table in memory and back; views see what bears it now."""
    engine.register_view("doubled", "SELECT 2 * n AS n FROM flows")
    assert first(engine, "SELECT sum(n) FROM doubled") == 12

    engine.register_arrow("flows", pa.table({"n": [5]}))
    assert first(engine, "SELECT sum(n) FROM doubled") == 10
    engine.register_arrow("flows", pa.table({"n": [7]}))
    assert first(engine, "SELECT sum(n) FROM doubled") == 14

    engine.register_parquet("flows", [folder / "flows.parquet"] * 2)
    assert first(engine, "SELECT sum(n) FROM doubled") == 24

    engine.register_parquet("flows", [folder / "flows.parquet"], pa.table({"n": [10, 20]}))
    assert first(engine, "SELECT sum(n) FROM doubled") == 72
    engine.register_parquet("flows", [folder / "flows.parquet"], pa.table({"n": [30]}))
    assert first(engine, "SELECT sum(n) FROM doubled") == 72


def test_sums_of_integers_are_integers(engine: DuckDBEngine) -> None:
    """A sum is 64 bits wide as in Spark; one that does not fit stays what it is, in a stream it is an error."""
    big = {"big": pa.table({"n": pa.array([2**62, 2**62], pa.int64())})}

    assert engine.query("SELECT sum(n) AS n, avg(n) AS m FROM flows").schema.types == [pa.int64(), pa.float64()]
    assert engine.stream("SELECT sum(n) AS n FROM flows").read_all().to_pylist() == [{"n": 6}]
    assert int(engine.query("SELECT sum(n) FROM big", big).column(0)[0].as_py()) == 2**63
    with pytest.raises(QueryError):
        engine.stream("SELECT sum(n) FROM big", big).read_all()


def test_times_are_utc(engine: DuckDBEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's zone, a day begins at midnight UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        day = first(engine, "SELECT CAST(date_trunc('day', TIMESTAMPTZ '2015-05-21 20:00:00+00') AS VARCHAR)")
    finally:
        monkeypatch.undo()
        time.tzset()

    assert day == "2015-05-21 00:00:00+00"


def test_streams_stream(engine: DuckDBEngine) -> None:
    """The first rows of a huge result come at once, and the result is never held as a whole."""
    reader = engine.stream("SELECT n FROM range(10_000_000_000) t(n)")
    batch = next(iter(reader))

    assert batch.column(0)[0].as_py() == 0
    assert pa.total_allocated_bytes() < 200 << 20


def test_queries_run_while_a_stream_is_read(engine: DuckDBEngine) -> None:
    """Rows can be looked up while others are streamed; two streams do not disturb each other."""
    one, other = (engine.stream("SELECT n FROM range(300000) t(n)") for _ in range(2))
    count = 0
    for left, right in zip(one, other, strict=True):
        assert first(engine, "SELECT count(*) FROM flows") == 3
        assert left == right
        count += left.num_rows

    assert count == 300_000


def test_a_stream_tells_of_late_errors(engine: DuckDBEngine) -> None:
    """What goes wrong in the middle of a stream is a query error too."""
    text = "SELECT CASE WHEN n = 900000 THEN error('boom') ELSE 'x' END AS n FROM range(1000000) t(n)"

    with pytest.raises(QueryError, match="boom"):
        engine.stream(text).read_all()


def test_spilled_rows_go_with_the_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder for what does not fit into memory is this user's alone and vanishes with the engine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    engine = DuckDBEngine()
    [spill] = tmp_path.iterdir()
    assert spill.stat().st_mode & 0o077 == 0
    assert first(engine, "SELECT current_setting('temp_directory')") == str(spill)

    del engine
    gc.collect()

    assert list(tmp_path.iterdir()) == []


def test_no_bar_of_the_engines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where DuckDB would draw a progress bar into a notebook, it is told not to."""
    connect = duckdb.connect

    def in_a_notebook(config: dict[str, str | bool | int | float | list[str]]) -> duckdb.DuckDBPyConnection:
        made = connect(config=config)
        made.execute("SET enable_progress_bar = true")
        return made

    monkeypatch.setattr(duckdb, "connect", in_a_notebook)

    assert first(DuckDBEngine(), "SELECT current_setting('enable_progress_bar')") is False


def test_query_texts() -> None:
    """A query is found by its name."""
    assert all("SELECT" in query_text(name) for name in VIEWS)


def test_rows_are_written(engine: DuckDBEngine, folder: Path) -> None:
    """A query can be written into a file beside the case, into none that is there already; a bad one leaves nothing."""
    written = folder.parent / "written.parquet"
    engine.write("SELECT n + m AS n FROM flows, mine ORDER BY n NULLS LAST", written, {"mine": pa.table({"m": [10]})})
    assert pq.read_table(written).to_pylist() == [{"n": 11}, {"n": 12}, {"n": 13}]
    with pytest.raises(FileExistsError):
        engine.write("SELECT 1 AS n", written)
    with pytest.raises(QueryError, match="boom"):
        engine.write("SELECT error('boom') AS n", folder.parent / "other.parquet")
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, "secret.csv", "written.parquet"]


def test_names_of_spark_are_known(engine: DuckDBEngine) -> None:
    """Functions that queries call by Spark's name do here what they do there."""
    mine = {"mine": pa.table({"n": pa.array([2, None, 1], pa.int64()), "big": [2**62, 2**62, 2**62]})}
    text = "SELECT sort_array(collect_list(n)) AS listed, try_sum(n) AS n, try_sum(big) AS big FROM mine"

    assert engine.query(text, mine).to_pylist() == [{"listed": [1, 2], "n": 3, "big": None}]
    assert first(engine, "SELECT unix_micros(timestamp_micros(-7)) AS n") == -7
