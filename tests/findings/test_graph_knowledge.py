"""What the hop graph knows beside observed and matched edges: names over time, shared servers, the analyst's word."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from forensics import hops
from forensics.errors import EvidenceError
from forensics.hops import build_hop_graph
from forensics.relays import RELAY_COLUMNS
from forensics.schema import FINDING_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import networkx as nx

    from forensics.case import Case

SECOND = 1_000_000
START = 1_431_302_400_000_000
T0 = datetime.fromtimestamp(START / SECOND, UTC)
RELAY, RARE, COMMON, FEW = "198.51.100.116", "203.0.113.50", "203.0.113.80", "203.0.113.60"
INFECTED = [f"10.0.0.{n}" for n in (3, 4, 5, 6)]


def request(terminal: int, dst: str, **more: object) -> dict[str, object]:
    """Return a request in the proxy's log."""
    start = START + terminal * SECOND
    return {"start": start, "end": start + SECOND, "src": f"10.0.0.{terminal}", "dst": dst, "via": "10.0.0.250",
            "bytes_out": 100, **more}  # fmt: skip


def office() -> list[dict[str, object]]:
    """Return 60 terminals: all at one server, four at the relay, those four at another server, two at a third one."""
    rows = [request(n, COMMON) for n in range(1, 61)]
    rows += [request(n, dst) for n in range(3, 7) for dst in (RELAY, RARE)]
    rows += [request(n, FEW) for n in (3, 4, 40)]
    return rows + [request(n, f"192.0.2.{s}") for s in range(9) for n in range(20 + s, 23 + s)]


def findings(*pairs: tuple[str, str]) -> pd.DataFrame:
    """Return findings about these pairs."""
    return pd.DataFrame([{"src": src, "dst": dst, "value": 5e6} for src, dst in pairs], columns=list(FINDING_COLUMNS))


@pytest.fixture
def build(make_case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch) -> Callable[..., nx.MultiDiGraph[str]]:
    """Return a builder of the graph of the office, with beacons of the infected at the relay."""

    def make(
        rows: list[dict[str, object]] | None = None,
        names: list[dict[str, object]] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> nx.MultiDiGraph[str]:
        monkeypatch.setattr(hops, "find_chains", lambda _: [])
        monkeypatch.setattr(hops, "chains_from_terminals", lambda *_: [])
        ranked = [{"rank": 1, "dst": RELAY, "names": "", "score": 9.0, "reasons": "x"}]
        given = {"spikes": findings(), "found_beacons": findings(*((src, RELAY) for src in INFECTED))}
        case = make_case(office() if rows is None else rows, names or [])
        relays = pd.DataFrame(ranked, columns=list(RELAY_COLUMNS))
        return build_hop_graph(case, relays=relays, **(given | options))

    return make


def of_tier(graph: nx.MultiDiGraph[str], tier: str) -> list[tuple[str, str]]:
    """Return the edges of a tier."""
    return sorted((u, v) for u, v, key in graph.edges(keys=True) if key == tier)


def test_a_rare_server_of_the_infected_is_shared(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """Four infected terminals and nobody else met it: an edge of the tier shared each, with figures and evidence."""
    graph = build()

    assert of_tier(graph, "shared") == [(src, RARE) for src in INFECTED]
    edge = graph.edges[INFECTED[0], RARE, "shared"]
    assert edge["tier"] == "shared"
    assert edge["reason"].startswith("4 of the 4 infected terminals met it, and 0 of the 56 others (q = ")
    assert (edge["bytes_out"], edge["connections"], edge["via"]) == (100, 1, ["10.0.0.250"])
    assert edge["evidence"][0]["sha256"] == "hash of access.log"
    assert not graph.has_edge(INFECTED[0], RARE, "observed")


def test_a_shared_server_is_no_relay(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """Its role is other, it has no rank, and the result of the graph counts it nowhere."""
    graph, without = build(), build(shared_by=50)

    assert (graph.nodes[RARE]["role"], graph.nodes[RARE]["rank"], graph.nodes[RARE]["bytes_out"]) == (
        "other",
        None,
        400,
    )
    assert graph.graph["statement"] == without.graph["statement"]
    assert RARE not in without


def test_what_many_or_few_meet_is_not_shared(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """A server of the whole office, one that only two of the infected met, and those of others are not there."""
    assert not {COMMON, FEW, "192.0.2.0"} & set(build())


def test_three_infected_of_five_are_no_surprise(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """Where nearly everybody is infected, what they share says nothing."""
    rows = [request(n, dst) for n in range(3, 8) for dst in (RELAY, COMMON)]
    rows += [request(n, RARE) for n in range(3, 6)]

    assert of_tier(build(rows), "shared") == []


def test_chance_is_weighed_against_all_servers(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """The same coincidence among a thousand servers that few terminals met is expected, and not told."""
    rows = [request(n, COMMON) for n in range(1, 41)] + [request(n, RELAY) for n in range(3, 7)]
    rows += [request(n, RARE) for n in (3, 4, 5)]
    many = [request(n + s % 30, f"192.0.{s // 250}.{s % 250}") for s in range(1000) for n in (7, 8, 9)]

    assert of_tier(build(rows), "shared") == [(src, RARE) for src in INFECTED[:3]]
    assert of_tier(build([*rows, *many]), "shared") == []


def test_names_over_time(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """Each name of a node, how it is known, its first and last time, and how often; in order of time."""
    rows: list[dict[str, object]] = [
        {
            "time": START + n * SECOND,
            "address": RELAY,
            "name": name,
            "how": how,
            "source": "access.log",
            "record": n + 1,
        }
        for n, (name, how) in enumerate([("new.example", "sni"), ("old.example", "dns"), ("new.example", "sni")])
    ]
    rows.append(rows[0] | {"address": "192.0.2.99", "name": "elsewhere.example"})

    graph = build(names=rows)

    seconds = [T0 + n * timedelta(seconds=1) for n in range(3)]
    assert graph.nodes[RELAY]["names_seen"] == [
        {"name": "new.example", "how": "sni", "first": seconds[0], "last": seconds[2], "times": 2},
        {"name": "old.example", "how": "dns", "first": seconds[1], "last": seconds[1], "times": 1},
    ]
    assert graph.nodes[INFECTED[0]]["names_seen"] == []


def test_findings_are_counted(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """A node says how many findings of each detector concern it, those of other detectors included."""
    graph = build(findings={"rare_servers": findings((None, RELAY), (INFECTED[0], RELAY))})  # type: ignore[arg-type]

    assert graph.nodes[RELAY]["findings"] == {"beacons": 4, "rare_servers": 2}
    assert graph.nodes[INFECTED[0]]["findings"] == {"beacons": 1, "rare_servers": 1}
    assert graph.nodes[RARE]["findings"] == {}


def asserted(tmp_path: Path, *lines: str, head: str = "src,dst,reason,start,end") -> Path:
    """Return a file of assertions."""
    path = tmp_path / "said.csv"
    path.write_text("\n".join([head, *lines]) + "\n", "utf-8")
    return path


def test_the_analysts_word_is_an_edge_of_its_own(build: Callable[..., nx.MultiDiGraph[str]], tmp_path: Path) -> None:
    """An assertion stands beside the observed edge, cites its line, and gives a new node no role but other."""
    path = asserted(
        tmp_path,
        f"{INFECTED[0]},{RELAY},image of the disk,2015-05-11T10:00,2015-05-11T11:00+09:00",
        f"{RELAY},Boss.Example.,police of X,,",
        f"{RELAY},boss.example,=SUM(A1),2015-05-12T00:00:00Z,",
    )
    graph, without = build(asserted=path), build()

    assert of_tier(graph, "asserted") == [(INFECTED[0], RELAY), (RELAY, "boss.example")]
    assert graph.edges[INFECTED[0], RELAY, "observed"] == without.edges[INFECTED[0], RELAY, "observed"]
    edge = graph.edges[INFECTED[0], RELAY, "asserted"]
    assert (edge["start"], edge["end"]) == (
        datetime(2015, 5, 11, 1, tzinfo=UTC),
        datetime(2015, 5, 11, 2, tzinfo=UTC),
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert edge["evidence"] == [{"source": "said.csv", "sha256": digest, "records": "2", "rows": 1}]
    said = graph.edges[RELAY, "boss.example", "asserted"]
    assert (said["reason"], said["evidence"][0]["records"]) == ("police of X; =SUM(A1)", "3-4")
    assert (said["start"], said["end"], said["bytes_out"]) == (datetime(2015, 5, 12, tzinfo=UTC), None, None)
    new = graph.nodes["boss.example"]
    assert (new["role"], new["asserted"], new["rank"], new["first_seen"]) == (
        "other", True, None, datetime(2015, 5, 12, tzinfo=UTC),
    )  # fmt: skip


def test_assertions_change_no_result(build: Callable[..., nx.MultiDiGraph[str]], tmp_path: Path) -> None:
    """Statement, chains, time and every observed node are those of the evidence alone."""
    graph, without = build(asserted=asserted(tmp_path, f"{RELAY},203.0.113.99,said,,")), build()

    assert graph.graph == without.graph
    assert {node: graph.nodes[node] for node in without} == {node: without.nodes[node] for node in without}
    assert set(graph) - set(without) == {"203.0.113.99"}


def test_columns_may_stand_in_any_order_and_times_be_missing(
    build: Callable[..., nx.MultiDiGraph[str]], tmp_path: Path
) -> None:
    """Only src, dst and reason are needed; other columns, a byte order mark and blanks are no trouble."""
    path = tmp_path / "said.csv"
    path.write_bytes(f"\ufeffreason,note,dst,src\r\nsaid,x, {RELAY} ,10.0.0.9\r\n".encode())

    assert of_tier(build(asserted=path), "asserted") == [("10.0.0.9", RELAY)]


@pytest.mark.parametrize(
    ("head", "line", "problem"),
    [
        ("src,dst", "a.example,b.example", "has no column reason; its first line must name src, dst, reason"),
        ("", "", "has no column src, dst, reason"),
        ("src,dst,reason", "a.example,,said", "line 2: dst is empty"),
        ("src,dst,reason", "a.example,b.example,", "line 2: reason is empty"),
        ("src,dst,reason", "a.example,A.example.,said", "line 2: src and dst are the same, a.example"),
        ("src,dst,reason", "...,b.example,said", "line 2: src '...' is neither an address nor a host name"),
        ("src,dst,reason,start", "a.example,b.example,said,yesterday", "line 2: start 'yesterday' is no time as 2015"),
        ("src,dst,reason,start,end", "a.example,b.example,x,2015-05-09,2015-05-08", "line 2: it ends before it starts"),
        ("src,dst,reason", 'a.example,b.example,"open', "line 2: unexpected end of data"),
    ],
)
def test_a_bad_assertion_is_an_error_that_names_its_line(
    build: Callable[..., nx.MultiDiGraph[str]], tmp_path: Path, head: str, line: str, problem: str
) -> None:
    """Nothing of a file is taken where a line of it is not as it should be."""
    with pytest.raises(EvidenceError) as raised:
        build(asserted=asserted(tmp_path, line, head=head))

    assert str(raised.value).startswith(f"said.csv: {problem}")


def test_files_that_cannot_be_read(build: Callable[..., nx.MultiDiGraph[str]], tmp_path: Path) -> None:
    """A missing file and one in another encoding are said, with what to do."""
    (tmp_path / "sjis.csv").write_bytes("src,dst,reason\na,b,警察\n".encode("cp932"))

    with pytest.raises(EvidenceError, match=r"none\.csv: cannot be read: No such file"):
        build(asserted=tmp_path / "none.csv")
    with pytest.raises(EvidenceError, match=r"sjis\.csv: is not UTF-8 \(byte 20\); save it as CSV in UTF-8"):
        build(asserted=tmp_path / "sjis.csv")
