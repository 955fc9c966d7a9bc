"""Spark: what it may do, how its rows come, what is said where it is missing."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import forensics as fx
from forensics.engines import engine_of
from forensics.engines._session import session_of
from forensics.engines.spark import SparkEngine
from forensics.errors import CaseError, MissingToolError, QueryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def engine(spark: Any, tmp_path: Path) -> SparkEngine:  # noqa: ANN401 - PySpark may be missing
    """Return an engine with a table in files of a folder with an odd name."""
    case = tmp_path / "it's [2] *{a}?\\.case"
    case.mkdir()
    words = pa.array(["a", None, "a"]).dictionary_encode()
    pq.write_table(pa.table({"n": [1, 2, 3], "word": words}).slice(0, 2), case / "one.parquet")
    pq.write_table(pa.table({"n": [1, 2, 3], "word": words}).slice(2), case / "two.parquet")
    made = SparkEngine(spark)
    made.register_parquet("flows", [case / "one.parquet", case / "two.parquet"])
    return made


def first(engine: SparkEngine, query: str) -> object:
    """Return the first value of a query."""
    return engine.query(query).column(0)[0].as_py()


def last_of_each(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Return the last row of each group, as the rows come; runs in the workers."""
    last: dict[int, int] = {}
    for batch in batches:
        last |= dict(zip(*batch.to_pydict().values(), strict=True))
    yield pa.RecordBatch.from_pydict({"group": list(last), "n": list(last.values())})


def broken_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Fail; runs in the workers."""
    raise ValueError("never")


REFUSED = [
    "CREATE TABLE x AS SELECT 1",
    "CREATE OR REPLACE TEMPORARY VIEW flows AS SELECT 1 AS n",
    "DROP VIEW flows",
    "INSERT INTO flows VALUES (1)",
    "FROM flows INSERT INTO x SELECT n",
    "INSERT OVERWRITE DIRECTORY '{folder}/out' USING csv SELECT 1",
    "SET spark.sql.ansi.enabled = false",
    "ADD JAR '{folder}/x.jar'",
    "SELECT 1; SELECT 2",
    "SELECT 1) UNION (SELECT 2",
    "SHOW TABLES",
    "SELEC 1",
    "",
    "SELECT * FROM csv.`{folder}/secret.csv`",
    "SELECT nope FROM flows",
    "SELECT * FROM flaws",
    "SELECT raise_error('boom') FROM flows",
]


def test_queries_only_read(engine: SparkEngine, tmp_path: Path) -> None:
    """Nothing is written or set and no file is read by name, whichever way rows are fetched; the error is ours."""
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    before = sorted(tmp_path.rglob("*"))

    for query in REFUSED:
        with pytest.raises(QueryError):
            engine.query(query.format(folder=tmp_path))
    with pytest.raises(QueryError):
        engine.stream("DROP VIEW flows")
    with pytest.raises(QueryError, match="boom"):
        engine.stream("SELECT raise_error('boom') AS n FROM flows").read_all()
    with pytest.raises(QueryError):
        engine.write("DROP VIEW flows", tmp_path / "out")

    assert sorted(tmp_path.rglob("*")) == before
    assert first(engine, "SELECT count(*) FROM flows") == 3


def test_tables_and_views(engine: SparkEngine, spark: Any) -> None:  # noqa: ANN401 - PySpark may be missing
    """Files and rows make one table, own tables go with their query, and nobody else sees any of them."""
    mine = pa.table({"n": [40, 2]})
    engine.register_view("doubled", "SELECT 2 * n AS n FROM flows -- twice")

    assert first(engine, "SELECT try_sum(n) FROM doubled") == 12
    assert engine.query("SELECT try_sum(n) AS n FROM mine", {"mine": mine}).to_pylist() == [{"n": 42}]
    assert engine.query("SELECT try_sum(n) AS n FROM flows", {"flows": mine}).to_pylist() == [{"n": 42}]
    assert engine.stream("SELECT n FROM mine ORDER BY n NULLS LAST", {"mine": mine}).read_all()["n"].to_pylist() == [
        2,
        40,
    ]
    with pytest.raises(QueryError, match="mine"):
        engine.query("SELECT * FROM mine")
    engine.register_arrow("flows", pa.table({"n": [7]}))
    assert first(engine, "SELECT try_sum(n) FROM doubled") == 14
    with pytest.raises(QueryError):
        SparkEngine(spark).query("SELECT * FROM flows")
    assert spark.catalog.listTables() == []


def test_a_step_runs_once(engine: SparkEngine) -> None:
    """What a query names several times is computed once; a step may bear the name of a table, which then is back."""
    query = """WITH flows AS (SELECT n + 1 AS n FROM flows), again AS (SELECT n FROM flows WHERE n > 2)
    SELECT a.n AS n, f.n AS m FROM again a JOIN flows f ON a.n <= f.n ORDER BY n NULLS LAST, m NULLS LAST"""

    assert engine.query(query).to_pylist() == [{"n": 3, "m": 3}, {"n": 3, "m": 4}, {"n": 4, "m": 4}]
    once = engine._frame(query.replace("FROM flows)", "FROM flows WHERE n > 0)"), {})
    assert "parquet" not in once._jdf.queryExecution().executedPlan().toString()  # of the step's rows, not of the files
    assert first(engine, "SELECT try_sum(n) FROM flows") == 6
    with pytest.raises(QueryError, match="again"):
        engine.query("SELECT * FROM again")


def test_views_are_kept_within_a_block(engine: SparkEngine) -> None:
    """What a view gives is worked out once for a block; views on it see the same."""
    engine.register_view("total", "SELECT sum(n) AS total FROM flows")
    engine.register_view("twice", "SELECT 2 * total AS total FROM total")

    with engine.keeping(["total"]):
        plan = engine._frame("SELECT total FROM twice", {})._jdf.queryExecution().toString()
        within = first(engine, "SELECT total FROM total"), first(engine, "SELECT total FROM twice")
    engine.register_arrow("flows", pa.table({"n": [10]}))

    assert "parquet" not in plan.lower()
    assert within == (6, 12)
    assert (first(engine, "SELECT total FROM total"), first(engine, "SELECT total FROM twice")) == (10, 20)


def test_rows_are_held_until_the_end_of_a_block(engine: SparkEngine) -> None:
    """They are worked out once, from tables that only their query sees."""
    with engine.holding("held", "SELECT m AS n FROM given", {"given": pa.table({"m": [5]})}):
        assert first(engine, "SELECT n FROM held") == 5
        assert first(engine, "SELECT 2 * n AS n FROM held") == 10
    with pytest.raises(QueryError, match="held"):
        engine.query("SELECT n FROM held")


def test_rows_are_mapped_by_workers(engine: SparkEngine) -> None:
    """Rows alike in the first column of the order come to one call, in order; what is made of them comes here."""
    handed = {"few": pa.table({"group": [0, 1, 2] * 20, "n": list(range(60))})}
    schema = pa.schema([("group", pa.int64()), ("n", pa.int64())])

    made = engine.map_rows('SELECT "group", n FROM few', last_of_each, schema, ["group", "n"], handed)

    assert sorted(made.to_pylist(), key=str) == [{"group": n, "n": 57 + n} for n in range(3)]
    with pytest.raises(QueryError, match="never"):
        engine.map_rows("SELECT n FROM flows", broken_rows, pa.schema([("n", pa.int64())]))


def test_rows_come_and_go(engine: SparkEngine, tmp_path: Path) -> None:
    """Rows are streamed in the order of the query, and written by the workers; no file is replaced."""
    asked = "SELECT id AS n FROM range(30000) ORDER BY n DESC NULLS LAST"

    assert engine.stream(asked).read_all()["n"].to_pylist() == list(range(29999, -1, -1))
    assert engine.stream("SELECT n FROM flows WHERE n > 3").read_all().schema == pa.schema([("n", pa.int64())])
    engine.write("SELECT n, word FROM flows", tmp_path / "written")
    assert pq.read_table(tmp_path / "written").sort_by("n").to_pylist()[0] == {"n": 1, "word": "a"}
    with pytest.raises(FileExistsError):
        engine.write("SELECT 1 AS n", tmp_path / "written")


def test_evidence_read_by_workers(spark: Any, tmp_path: Path, lab: Path) -> None:  # noqa: ANN401 - PySpark may be missing
    """The page's own example: the case that workers made is the one that a single process makes, to the byte."""
    (tmp_path / "evidence").mkdir()
    for name in ("relay-2.pcap", "access.log", "README.md"):
        shutil.copy(lab / name, tmp_path / "evidence")
    (tmp_path / "evidence" / "again.log").write_bytes((lab / "access.log").read_bytes())
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "spark.md").read_text("utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    found: dict[str, Any] = {}
    with contextlib.chdir(tmp_path):
        exec(code, found)  # noqa: S102 - what readers are told to run
    here = fx.open_case(tmp_path / "one" / "office.case").add(
        tmp_path / "evidence", timezone="Asia/Tokyo", progress=False
    )

    one, many = (
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "one" / "office.case", tmp_path / "office.case")
    )
    assert one == many
    assert found["case"].flows.to_arrow() == here.flows.to_arrow()
    assert found["spikes"].equals(fx.find_spikes(here))


def test_a_worker_that_fails(spark: Any) -> None:  # noqa: ANN401 - PySpark may be missing
    """What goes wrong in a worker is one error; without any, results come in the order of the tasks."""
    engine = SparkEngine(spark)

    assert engine.map_files(bytes.upper, [b"a", b"b", b"c"]) == [b"A", b"B", b"C"]
    with pytest.raises(CaseError, match="Spark could not read the evidence"):
        engine.map_files(pickle.loads, [b"no pickle"])


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("SELECT 1", "SELECT 1"),
        (" SELECT 1 ; ;\n", " SELECT 1"),
        ("SELECT 1; -- done", "SELECT 1"),
        ("SELECT 1 /* ; */;", "SELECT 1"),
        ("SELECT ';'", "SELECT ';'"),
        ('SELECT 1 AS ";" ;', 'SELECT 1 AS ";"'),
        ("SELECT '--' ;", "SELECT '--'"),
        (";", ""),
        ("SELECT 'open", "SELECT 'open"),
    ],
)
def test_semicolons_at_the_end_go(text: str, bare: str) -> None:
    """A query can be put in parentheses after its last semicolon is gone; those inside it stay."""
    assert SparkEngine.bare(SimpleNamespace(), text) == bare  # type: ignore[arg-type]


def test_a_session_is_left_as_it_was(spark: Any, tmp_path: Path) -> None:  # noqa: ANN401 - PySpark may be missing
    """The engine's settings are its own, and a case that is done with leaves the session running."""
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    try:
        case = fx.open_case(tmp_path / "a.case", engine=spark)
        row = case.sql("SELECT CAST(date_trunc('day', TIMESTAMP '2015-05-21 20:00:00Z') AS STRING) AS day").to_arrow()
        assert row["day"].to_pylist() == ["2015-05-21 00:00:00"]
        assert spark.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")


def test_the_environment_is_left_as_it_was(spark: Any) -> None:  # noqa: ANN401 - PySpark may be missing
    """What Spark takes from the environment is there only while it starts; nothing of it listens to the network."""
    assert "SPARK_LOCAL_IP" not in os.environ
    assert spark.conf.get("spark.driver.bindAddress") == "127.0.0.1"
    assert spark.sparkContext.uiWebUrl is None


def test_one_spark_at_a_time(spark: Any) -> None:  # noqa: ANN401 - PySpark may be missing
    """A second master in one process is refused; the first is taken up again."""
    assert session_of("local[2]").sparkContext is spark.sparkContext
    with pytest.raises(CaseError, match="runs as local\\[2\\] in this process"):
        session_of("spark://192.0.2.1:7077")


@pytest.mark.parametrize("engine", ["postgres", "", "sparks", 7])
def test_what_is_no_engine(engine: Any, tmp_path: Path) -> None:  # noqa: ANN401 - anything can be handed over
    """An engine that does not exist is refused in words that name those that do."""
    with pytest.raises(CaseError, match="is no engine: give"):
        engine_of(engine, tmp_path)


def test_without_pyspark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PySpark the error says how to get it."""
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)

    with pytest.raises(MissingToolError, match=r"pip install 'forensics\[spark\]'"):
        fx.read(engine="local[2]")


def test_without_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Java the error says what to install, wherever Java was looked for."""
    sql = pytest.importorskip("pyspark.sql", reason="PySpark is not installed")
    monkeypatch.setattr(sql.SparkSession, "getActiveSession", lambda: None)
    for name, value in (("PATH", str(tmp_path)), ("JAVA_HOME", str(tmp_path))):
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setenv(name, value)
        with pytest.raises(MissingToolError, match=r"needs Java 17 or newer.*apt install default-jre-headless"):
            fx.open_case(tmp_path / "a.case", engine="local[2]")


def test_a_spark_that_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Java that fails gives one error with the reason."""
    sql = pytest.importorskip("pyspark.sql", reason="PySpark is not installed")
    monkeypatch.setattr(sql.SparkSession, "getActiveSession", lambda: None)
    monkeypatch.setattr("shutil.which", lambda *_, **__: "java")

    def refuse(*_: object) -> None:
        raise OSError("no such program")

    monkeypatch.setattr(sql.SparkSession.Builder, "getOrCreate", refuse)
    with pytest.raises(MissingToolError, match="does not start as local\\[2\\]: no such program"):
        fx.open_case(tmp_path / "a.case", engine="local[2]")


def test_memory_is_not_for_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case in memory on a cluster is refused: its machines could not see the rows."""
    monkeypatch.setattr("forensics.opening.engine_of", lambda *_: SimpleNamespace(local=False))

    with pytest.raises(CaseError, match="open_case a folder that all of its machines see"):
        fx.read(engine="spark://192.0.2.1:7077")
