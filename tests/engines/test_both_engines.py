"""Every query and every detector on both engines: one text, the same rows."""

from __future__ import annotations

import importlib.util
import json
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest

import forensics as fx
from forensics.detectors import all_detectors
from forensics.detectors._findings import BEHIND_ALL, KEYS
from forensics.detectors._spike_reasons import ASKED
from forensics.detectors.beacons import rita_scores
from forensics.drawing.beats import times_of
from forensics.engines import VIEWS, query_text
from forensics.origins import REQUESTS
from forensics.roles import ALIKE, DEGREES, SERVERS, SHARED
from forensics.schema import PARTS, TABLES
from forensics.selection import selected_flows
from forensics.silences import tell_silences
from forensics.views import SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from types import ModuleType

    from forensics.case import Case
    from forensics.engines import Engine

pytestmark = pytest.mark.timeout(1200)  # Spark takes a second of processor time for each of a hundred queries

EVIDENCE = ("relay-1.pcap.gz", "relay-2.pcap", "access.log")
ALONE = ("rare_servers", "volume_spikes")
LOUD = Path(__file__).parents[2] / "sample_pcaps" / "detectors"


FEW_ROWS = {"spark.sql.shuffle.partitions": "1", "spark.sql.ui.explainMode": "simple"}
"""Settings of Spark for a case of some thousand rows."""


class Listening:
    """An engine that notes what it is asked, and its answers; it need not look again for what it has told."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[bytes, pa.Table] = {}
        self.heard: list[tuple[str, pa.Table]] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the engine has
        return getattr(self._engine, name)

    def query(self, text: str, tables: Mapping[str, pa.Table] | None = None) -> pa.Table:
        """Run a query."""
        asked = pickle.dumps((text, sorted((name, one.combine_chunks()) for name, one in (tables or {}).items())))
        if asked not in self._known:
            self._known[asked] = self._engine.query(text, tables)
        self.heard.append((text, self._known[asked]))
        return self._known[asked]

    def holding(self, name: str, text: str, tables: Mapping[str, pa.Table]) -> AbstractContextManager[None]:
        """Run a query whose rows others stand on."""
        self.query(text, tables)
        return self._engine.holding(name, text, tables)

    def map_rows(self, text: str, *how: Any) -> pa.Table:  # noqa: ANN401 - as the engine's
        """Run a query whose rows a function is given."""
        self.query(text, how[-1])
        return self._engine.map_rows(text, *how)

    def stream(self, text: str, tables: Mapping[str, pa.Table] | None = None) -> pa.RecordBatchReader:
        """Run a query whose rows come batch by batch."""
        self.heard.append((text, self._engine.stream(text, tables).read_all()))
        return self.heard[-1][1].to_reader()


@pytest.fixture(scope="module")
def folder(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a case on disk: two relays, the log of the proxy in front of them, and what each detector must find."""
    made = tmp_path_factory.mktemp("both") / "it's [2] *.case"
    loud = [LOUD / name / "loud" for name in all_detectors()]
    fx.open_case(made, timezone="Asia/Tokyo").add(*(lab / name for name in EVIDENCE), *loud)
    return made


@pytest.fixture(scope="module")
def cases(folder: Path, spark: Any) -> tuple[Case, Case]:  # noqa: ANN401 - PySpark may be missing
    """Return the case as each engine has it."""
    return opened(folder, spark)


@pytest.fixture(scope="module")
def alone(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Case, Case]]:  # noqa: ANN401 - as above
    """Return cases of the detectors that find nothing in the other one, which spans years and has many terminals."""
    made = tmp_path_factory.mktemp("alone")
    for name in ALONE:
        fx.open_case(made / name, timezone="Asia/Tokyo").add(LOUD / name / "loud")
    return {name: opened(made / name, spark) for name in ALONE}


def opened(folder: Path, spark: Any) -> tuple[Case, Case]:  # noqa: ANN401 - as above
    """Return a case as each engine has it."""
    both = fx.open_case(folder), fx.open_case(folder, engine=spark)
    on_spark: Any = both[1]._engine
    for name, value in FEW_ROWS.items():
        on_spark._session.conf.set(name, value)
    on_spark._renew()
    for name in (*TABLES, *VIEWS):  # read once, not in each of a hundred queries
        on_spark._session.catalog.cacheTable(name)
    for case in both:
        case._engine = Listening(case._engine)
    return both


def heard(case: Case) -> list[tuple[str, pa.Table]]:
    """Return what a case's engine was asked since this was asked last."""
    assert isinstance(case._engine, Listening)
    told, case._engine.heard = case._engine.heard, []
    return told


def sorted_rows(table: pa.Table) -> pa.Table:
    """Return rows in an order that hangs on nothing but themselves."""
    return table.sort_by([(name, "ascending") for name in table.column_names if not pa.types.is_list(table[name].type)])


def differences(one: list[tuple[str, pa.Table]], other: list[tuple[str, pa.Table]]) -> list[str]:
    """Return the queries to which two engines gave other rows; or others in order, where the query has one."""
    assert [text for text, _ in one] == [text for text, _ in other]
    return [text for (text, mine), (_, theirs) in zip(one, other, strict=True) if not alike(text, mine, theirs)]


def alike(text: str, mine: pa.Table, theirs: pa.Table) -> bool:
    """Tell whether two tables are the same rows."""
    ordered = re.search(r"\bORDER BY\b[^()]*$", text)
    if mine.schema != theirs.schema:
        return False
    return bool(mine == theirs if ordered else sorted_rows(mine) == sorted_rows(theirs))


CLIENTS_ASKED = pa.table({"src": ["192.0.2.2", "192.0.2.11"]})
SERVERS_ASKED = pa.table({"server": ["192.0.2.80", "198.51.100.20"]})
SHARED_ASKED = {
    "terminals": pa.table({"src": ["192.0.2.2", "192.0.2.11", "198.51.100.14", "203.0.113.21"]}),
    "infected": pa.table({"src": ["192.0.2.2", "198.51.100.14"]}),
    "options": pa.table({"least": [1], "most": [3]}),
}
DIRECT: dict[str, tuple[str, dict[str, pa.Table]]] = {
    **{name: (f"SELECT * FROM {name}", {}) for name in (*TABLES, *VIEWS)},  # noqa: S608 - our own names
    "clock matches": (query_text("clock_matches"), {}),
    "gateway contacts": (query_text("gateway_contacts"), {"named": SERVERS_ASKED, "clients": CLIENTS_ASKED}),
    "pivots": (
        query_text("pivots"),
        {
            "listed": SERVERS_ASKED,
            "hosts": pa.table({"host": ["192.0.2.2"]}),
            "ports": pa.table({"port": pa.array([3128], pa.int32())}),
            "offsets": pa.table({"source": ["access.log"], "ahead": pa.array([0], pa.int64())}),
        },
    ),
    "translated": (query_text("translated"), {"inside": CLIENTS_ASKED, "outside": CLIENTS_ASKED}),
    "series by hour": (query_text("series"), {"windows": pa.table({"hourly": [True]}), "named": SERVERS_ASKED}),
    "series by minute": (query_text("series"), {"windows": pa.table({"hourly": [False]}), "named": SERVERS_ASKED}),
    "shared": (query_text("shared_servers"), SHARED_ASKED),
    "asked": (ASKED, {"keys": KEYS.empty_table()}),
    "behind all": (BEHIND_ALL.format(since=0, until=1), {"found": KEYS.empty_table()}),
    "alike": (ALIKE, {"captured": pa.table({"via": ["192.0.2.10"]})}),
    "degrees": (DEGREES, {}),
    "shared by": (SHARED, {"rich": CLIENTS_ASKED, "elsewhere": CLIENTS_ASKED}),
    "servers": (SERVERS, {}),
    "seconds": (SECONDS.format(time="start", query="SELECT * FROM flows"), {}),
}


def options_of(name: str) -> dict[str, Any]:
    """Return the options that a detector's sample is tested with; names of files beside it are files."""
    file = LOUD / name / "options.json"
    options = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return {key: _path(LOUD / name, value) for key, value in options.items()}


def _path(folder: Path, value: object) -> object:
    if isinstance(value, list):
        return [_path(folder, one) for one in value]
    return str(folder / value) if isinstance(value, str) and (folder / value).exists() else value


def everything(case: Case) -> dict[str, Any]:
    """Return all that is found in a case."""
    tell_silences(case._store, case.sql, case.timezone)
    detected = {name: detector.detect(case, **options_of(name)) for name, detector in all_detectors().items()}
    spikes, found = detected["volume_spikes"], detected["beacons"]
    relays = fx.rank_relays(case, spikes=spikes, found_beacons=found, least_score=-9)
    graph = fx.build_hop_graph(case, spikes=spikes, found_beacons=found, relays=relays.assign(verdict="possible"))
    flows = case.flows.to_arrow()
    named = {"flow": flows.slice(3, 2), "finding": found.head(2), "condition": "dst_port = 443"}
    return {
        **detected,
        "coverage": [detector.coverage(case, **options_of(name)) for name, detector in all_detectors().items()],
        "rita": rita_scores(case),
        "relays": relays,
        "explained": fx.explain(case, found.iloc[0]).rows,
        "beats": times_of(case, found.iloc[0]),
        "graph": (list(graph.nodes(data=True)), list(graph.edges(data=True, keys=True)), graph.graph),
        "selected": {name: sorted_rows(selected_flows(case.sql, "a case", rows)) for name, rows in named.items()},
        "requests": sorted_rows(case.sql(REQUESTS, relays=SERVERS_ASKED).to_arrow()),
        "shown": [len(case.names), repr(case.volumes)],
    }


def test_every_query_and_every_finding_is_the_same(
    cases: tuple[Case, Case], alone: dict[str, tuple[Case, Case]]
) -> None:
    """All queries, those of detectors, relays, hops, selections and silences among them; and what is made of them."""
    for case in cases:
        for text, tables in DIRECT.values():
            case.sql(text, **tables).to_arrow()
    duckdb, spark = map(everything, cases)

    for name, both in alone.items():
        duckdb[name], spark[name] = (all_detectors()[name].detect(case, **options_of(name)) for case in both)
    one, other = ([told for both in (cases, *alone.values()) for told in heard(both[n])] for n in (0, 1))
    assert list(dict.fromkeys(differences(one, other))) == []
    for name, found in duckdb.items():
        if isinstance(found, pd.DataFrame):
            assert len(found), name
            pd.testing.assert_frame_equal(found, spark[name])
        else:
            assert found == spark[name], name
    streamed, also = (case.flows.to_batches().read_all() for case in cases)
    assert streamed == also == cases[0].flows.to_arrow()
    views = [(query_text(name), pa.table({})) for name in (*PARTS, *VIEWS)]
    assert [place for place, text in dialect().texts().items() if not ran(text, one + views)] == []


def ran(text: str, heard: list[tuple[str, pa.Table]]) -> bool:
    """Tell whether a query of the library was among those that ran; braces stand for anything."""
    pattern = re.compile(".*".join(map(re.escape, re.split(r"\{\w*\}", text.strip()))), re.DOTALL)
    return any(pattern.search(asked) for asked, _ in heard)


def dialect() -> ModuleType:
    """Return the rules of the dialect, which know where all queries stand."""
    spec = importlib.util.spec_from_file_location("dialect", Path(__file__).with_name("test_dialect.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
