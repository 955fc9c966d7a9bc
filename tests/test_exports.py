"""The hop graph in files of other programs: each is read back by a program that uses it, hostile names included."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import networkx as nx
import pandas as pd
import pygraphviz
import pytest

import forensics
from forensics import draw_hops, write_graph
from forensics.escaping import csv_safe, script_json, terminal_safe, xml_safe
from forensics.exports import all_kinds
from forensics.exports._plain import flat, node_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    Graph = nx.MultiDiGraph[str]

T0 = datetime(2015, 5, 8, 1, 30, tzinfo=UTC)
SHA = "ab" * 32
TERMINAL, RELAY, NEXT, NAMED = "10.0.0.21", "198.51.100.116", "2001:db8::7", "operator.example"
SUFFIXES = [".case.jsonld", ".csv", ".cyjs", ".dot", ".gexf", ".graphml", ".json", ".stix.json"]
HOSTILE = [
    '"><script>alert(1)</script>',
    '=HYPERLINK("http://192.0.2.1")',
    "+cmd|' /C calc'!A0",
    "nul\0bell\x07",
    "lone\ud800surrogate",
    "not\ufffexml",
    "]]><!--",
    "ends in a backslash\\",
    'quote\\" -> evil [label="x',
    "\\N\\G\\l&lt;&amp;",
    "<b>html</b>",
    "two\nlines\r\n\ttabbed",
    "invoice\u202efdp.exe",
    "a,b;c\"d'e",
    "{record|<port>}",
    "経理部-端末03",
    "nul<U+0000>bell<U+0007>",
]  # fmt: skip


def add_edge(graph: Graph, tail: str, head: str, tier: str, **facts: object) -> None:
    """Add an edge as the hop graph has it."""
    usual: dict[str, Any] = {"bytes_out": None, "bytes_in": None, "bytes_kind": "ip", "connections": 3, "via": []}
    evidence = [{"source": "proxy/access.log", "sha256": SHA, "records": "4,18-22", "rows": 6}]
    usual |= {"spike": False, "reason": "on record", "p_value": None, "evidence": evidence}
    times = {"start": T0, "end": T0 + timedelta(days=3)}
    graph.add_edge(tail, head, key=tier, **(usual | times | {"tier": tier} | facts))


def add_node(graph: Graph, node: str, role: str, **facts: object) -> None:
    """Add a node as the hop graph has it."""
    usual: dict[str, Any] = {"names": [], "reasons": [], "rank": None, "score": None, "spikes": 0, "bytes_out": 10**9}
    usual |= {"bytes_in": None, "first_seen": T0, "last_seen": T0 + timedelta(days=3, microseconds=5)}
    graph.add_node(node, role=role, **(usual | facts))


def operation() -> Graph:
    """Return a graph with every tier, an address of each family, a name without address, and what is not known."""
    graph: Graph = nx.MultiDiGraph()
    add_node(graph, NAMED, "upstream")
    add_node(graph, RELAY, "relay", names=["shop.example", "www.shop.example"], rank=1, score=8.5, reasons=["a", "b"])
    add_node(graph, NEXT, "relay", rank=2, score=float("nan"), passes_on=True)
    add_node(graph, TERMINAL, "terminal", spikes=1)
    add_edge(graph, TERMINAL, RELAY, "observed", bytes_out=48_200_000, bytes_in=310_000, spike=True)
    add_edge(graph, RELAY, NEXT, "observed", bytes_out=0, end=T0)
    add_edge(graph, RELAY, NEXT, "matched", p_value=2e-4, bytes_kind="payload")
    add_edge(graph, NEXT, NAMED, "asserted", connections=None, bytes_kind=None)
    add_edge(graph, TERMINAL, NAMED, "shared")
    told = {"hops": [TERMINAL, RELAY, NEXT], "p_value": 2e-4, "sessions": 4, "reason": "follows"}
    graph.graph.update(title="Test & co", timezone="Asia/Tokyo", start=T0, end=T0 + timedelta(days=3), chains=[told])
    graph.graph.update(statement="at least 1 relay observed passing traffic on", left_out=7)
    return graph


def hostile() -> Graph:
    """Return a ring of nodes whose names, reasons and files an attacker wrote."""
    graph: Graph = nx.MultiDiGraph(title=HOSTILE[0], statement=HOSTILE[9], chains=[], start=T0, end=T0)
    for i, name in enumerate(HOSTILE):
        other = HOSTILE[i - 1]
        add_node(graph, name, "relay", names=[other, name], reasons=[other, name])
        evidence = [{"source": name, "sha256": "no hash", "records": other, "rows": 1}]
        add_edge(graph, name, other, "observed", reason=name, via=[other], evidence=evidence)
        add_edge(graph, name, other, "matched", reason=other, evidence=evidence)
    return graph


def shuffled(graph: Graph) -> Graph:
    """Return the same graph, built in another order."""
    copy: Graph = nx.MultiDiGraph(**dict(reversed(graph.graph.items())))
    copy.add_nodes_from(reversed([(n, dict(reversed(d.items()))) for n, d in graph.nodes(data=True)]))
    for tail, head, key, data in reversed(list(graph.edges(keys=True, data=True))):
        copy.add_edge(tail, head, key=key, **dict(reversed(data.items())))
    return copy


def content(graph: Graph, suffix: str) -> bytes:
    """Return the only file of a kind."""
    [(ending, made)] = all_kinds()[suffix].render(graph).items()
    assert ending == suffix
    return made


def tiers(graph: Graph, ids: Mapping[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Return the ends and the tier of every edge, the ends as they are called in a file."""
    called = ids or {node: node for node in graph}
    return sorted((called[u], called[v], d["tier"]) for u, v, d in graph.edges(data=True))


def test_every_kind_is_found_by_its_suffix(tmp_path: Path) -> None:
    """The longest fitting suffix chooses, whatever its case; only tables are two files."""
    assert list(all_kinds()) == SUFFIXES
    for suffix in SUFFIXES:
        written = write_graph(operation(), tmp_path / f"hops{suffix.upper()}")
        names = ["hops.edges.csv", "hops.nodes.csv"] if suffix == ".csv" else [f"hops{suffix}"]
        assert [path.name for path in written] == names
        assert all(path.stat().st_size for path in written)


def test_another_suffix_is_an_error_that_lists_the_choices(tmp_path: Path) -> None:
    """What cannot be written is said before a file is made."""
    with pytest.raises(ValueError, match=r"hops\.xlsx: .* choose one of \.case\.jsonld, \.csv, "):
        write_graph(operation(), tmp_path / "hops.xlsx")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("make", [operation, hostile])
def test_the_same_graph_gives_the_same_bytes(suffix: str, make: Any) -> None:  # noqa: ANN401 - a maker
    """The order in which the graph was built leaves no trace, and neither does the time of writing."""
    kind = all_kinds()[suffix]

    assert kind.render(make()) == kind.render(shuffled(make()))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_graph_is_a_file_too(suffix: str) -> None:
    """A graph of an empty case can be written as any kind."""
    assert all(all_kinds()[suffix].render(nx.MultiDiGraph()).values())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_unseen_leaves_the_evidence_as_text_that_acts(suffix: str) -> None:
    """Whatever names hold, a file is UTF-8 without control characters; CSV, DOT and JSON have none that turn text."""
    for made in all_kinds()[suffix].render(hostile()).values():
        text = made.decode()
        assert not {c for c in text if ord(c) < 32} - {"\n"} or suffix in {".gexf", ".graphml"}
        assert "\0" not in text
        if suffix not in {".gexf", ".graphml"}:
            assert "\u202e" not in text


def test_attributes_are_flat_for_graph_formats() -> None:
    """Missing values vanish, times are ISO 8601 in UTC, lists are joined, NumPy's numbers are plain ones."""
    import numpy as np

    given: dict[str, Any] = {"a": None, "b": float("nan"), "c": pd.NaT, "d": np.int64(3), "e": np.float64(0.5)}
    given |= {"f": ["x", "y"], "g": T0, "h": [{"t": T0, "n": np.int64(1)}], "i": True, "j": {"b", "a"}}
    given |= {"k": "n\0l", "l": object, "m": float("inf")}

    assert flat(given) == {
        "d": 3,
        "e": 0.5,
        "f": "x; y",
        "g": "2015-05-08T01:30:00Z",
        "h": '[{"n": 1, "t": "2015-05-08T01:30:00Z"}]',
        "i": True,
        "j": "a; b",
        "k": "n<U+0000>l",
        "l": "<class 'object'>",
    }


@pytest.mark.parametrize("escape", [xml_safe, terminal_safe])
def test_names_that_are_alike_once_escaped_stay_two_nodes(escape: Any) -> None:  # noqa: ANN401 - a function
    """A server that calls itself what another is escaped to does not hide the other."""
    ids = node_ids(hostile(), escape)

    assert len(set(ids.values())) == len(HOSTILE)
    assert "nul<U+0000>bell<U+0007> (2)" in ids.values() or escape is xml_safe


@pytest.mark.parametrize("make", [operation, hostile])
@pytest.mark.parametrize("suffix", [".graphml", ".gexf"])
def test_networkx_reads_graphml_and_gexf(suffix: str, make: Any) -> None:  # noqa: ANN401 - a maker
    """Nodes, edges, roles and tiers come back as they were."""
    graph = make()
    made, ids = io.BytesIO(content(graph, suffix)), node_ids(graph)
    back: Any = nx.read_graphml(made, force_multigraph=True) if suffix == ".graphml" else nx.read_gexf(made)

    assert set(back) == set(ids.values())
    assert tiers(back) == tiers(graph, ids)
    assert {back.nodes[ids[n]]["role"] for n in graph} == {graph.nodes[n]["role"] for n in graph}


@pytest.mark.parametrize("suffix", [".graphml", ".gexf"])
def test_xml_keeps_figures_and_leaves_out_what_was_not_observed(suffix: str) -> None:
    """Numbers stay numbers, 0 stays 0, what was not observed is absent, evidence is JSON."""
    made = io.BytesIO(content(operation(), suffix))
    back = nx.read_graphml(made, force_multigraph=True) if suffix == ".graphml" else nx.read_gexf(made)
    edges = {(u, v, d["tier"]): d for u, v, d in back.edges(data=True)}

    assert (back.nodes[RELAY]["score"], back.nodes[RELAY]["rank"]) == (8.5, 1)
    assert back.nodes[NEXT]["passes_on"] is True
    assert not {"bytes_in", "rank"} & set(back.nodes[TERMINAL])
    assert edges[TERMINAL, RELAY, "observed"]["bytes_out"] == 48_200_000
    assert edges[RELAY, NEXT, "observed"]["bytes_out"] == 0
    assert "bytes_in" not in edges[RELAY, NEXT, "observed"]
    assert edges[RELAY, NEXT, "matched"]["p_value"] == 2e-4
    assert json.loads(edges[RELAY, NEXT, "matched"]["evidence"])[0]["sha256"] == SHA
    assert edges[TERMINAL, RELAY, "observed"]["start"] == "2015-05-08T01:30:00Z"


def test_gexf_has_a_timeline() -> None:
    """Nodes and edges exist from when to when they were seen; parallel edges are of a kind each."""
    text = content(operation(), ".gexf").decode()

    assert '<graph mode="dynamic" defaultedgetype="directed" timeformat="date">' in text
    assert f'<node id="{RELAY}" label="{RELAY}" start="2015-05-08T01:30:00Z" end="2015-05-11T01:30:00.000005Z">' in text
    assert text.count(f'source="{RELAY}" target="{NEXT}" kind=') == 2


def test_gexf_calls_mixed_values_text() -> None:
    """An attribute that is a number here and a text there is text; integers among fractions are fractions."""
    graph: Graph = nx.MultiDiGraph()
    graph.add_node("a", mixed=1, number=1)
    graph.add_node("b", mixed="x", number=0.5)

    back = nx.read_gexf(io.BytesIO(content(graph, ".gexf")))

    assert dict(back.nodes(data=True))["a"] == {"label": "a", "mixed": "1", "number": 1.0}


@pytest.mark.parametrize("make", [operation, hostile])
def test_networkx_reads_node_link(make: Any) -> None:  # noqa: ANN401 - a maker
    """Nothing is flattened: lists, evidence and nulls come back."""
    graph = make()
    back: Any = nx.node_link_graph(json.loads(content(graph, ".json")), edges="edges")
    ids = node_ids(graph)

    assert set(back) == set(ids.values())
    assert tiers(back) == tiers(graph, ids)
    for node, data in graph.nodes(data=True):
        assert back.nodes[ids[node]]["names"] == [xml_safe(name) for name in data["names"]]
        assert back.nodes[ids[node]]["bytes_in"] is None
    for _, _, data in back.edges(data=True):
        assert data["evidence"][0]["rows"] in {1, 6}


@pytest.mark.parametrize("make", [operation, hostile])
def test_pandas_reads_the_tables(make: Any, tmp_path: Path) -> None:  # noqa: ANN401 - a maker
    """A row per node and per edge; no cell of text starts a formula; what was not observed is missing."""
    graph = make()
    edges_file, nodes_file = write_graph(graph, tmp_path / "hops.csv")
    nodes, edges = pd.read_csv(nodes_file), pd.read_csv(edges_file)
    ids = node_ids(graph)

    assert list(nodes["id"]) == [csv_safe(name) for name in ids.values()]
    assert sorted(zip(edges["source"], edges["target"], edges["tier"], strict=True)) == sorted(
        (csv_safe(a), csv_safe(b), tier) for a, b, tier in tiers(graph, ids)
    )
    assert not [c for table in (nodes, edges) for c in table.to_numpy().flat if _formula(c)]
    assert nodes["bytes_in"].isna().all()
    assert set(pd.to_datetime(edges["start"])) == {pd.Timestamp(T0)}


def _formula(cell: object) -> bool:
    return isinstance(cell, str) and cell.lstrip().startswith(("=", "+", "-", "@"))


def test_graphviz_reads_dot() -> None:
    """Graphviz itself parses and lays out the file: nodes, edges, roles, and a picture of it."""
    graph = operation()
    back = pygraphviz.AGraph(string=content(graph, ".dot").decode())

    assert sorted(back.nodes()) == sorted(graph)
    assert sorted((u, v, back.get_edge(u, v, k).attr["x_tier"]) for u, v, k in back.edges(keys=True)) == tiers(graph)
    assert back.get_node(RELAY).attr["label"] == f"{RELAY}\\nshop.example; www.shop.example"
    assert b"<svg" in back.draw(format="svg", prog="dot")


def test_graphviz_reads_hostile_dot_as_text() -> None:
    """Whatever names hold, Graphviz finds as many nodes and edges as there are, and draws the names as they are."""
    graph = hostile()
    back = pygraphviz.AGraph(string=content(graph, ".dot").decode())
    drawn = back.draw(format="svg", prog="dot").decode()

    assert len(back.nodes()) == len(HOSTILE)
    assert len(back.edges(keys=True)) == 2 * len(HOSTILE)
    assert sorted(str(n).replace("\\\\", "\\") for n in back.nodes()) == sorted(node_ids(graph, terminal_safe).values())
    assert "\\N\\G\\l&amp;lt;&amp;amp;" in drawn.replace("&#45;", "-")
    assert "<script" not in drawn
    assert "<a " not in drawn


def test_cytoscape_js_reads_its_json_in_a_browser(tmp_path: Path) -> None:
    """Cytoscape.js in Chromium has every node and edge, with ends, tier and text as they were."""
    told = {name: look(make(), tmp_path / f"{name}.html") for name, make in (("op", operation), ("bad", hostile))}

    graph = operation()
    assert told["op"]["nodes"] == sorted(graph)
    assert [tuple(edge) for edge in told["op"]["edges"]] == tiers(graph)
    assert told["op"]["sent"] == 48_200_000
    ids = node_ids(hostile())
    assert sorted(told["bad"]["nodes"]) == sorted(ids.values())
    assert sorted(tuple(edge) for edge in told["bad"]["edges"]) == tiers(hostile(), ids)


def look(graph: Graph, page: Path) -> dict[str, Any]:
    """Return what Cytoscape.js says of the graph."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the PATH (apt install chromium)")
    library = Path(forensics.__file__).parent / "drawing" / "assets" / "cytoscape.min.js"
    data = script_json(json.loads(content(graph, ".cyjs")))
    ask = """
      const cy = cytoscape({headless: true, elements: data.elements});
      const name = id => cy.getElementById(id).data("name");
      const told = {
        nodes: cy.nodes().map(n => n.data("name")).sort(),
        edges: cy.edges().map(e => [name(e.data("source")), name(e.data("target")), e.data("tier")]),
        sent: Math.max(...cy.edges().map(e => e.data("bytes_out") || 0))};
      document.body.textContent = encodeURIComponent(JSON.stringify(told));"""
    scripts = f"<script>{library.read_text('utf-8')}</script><body></body><script>const data = {data};{ask}</script>"
    page.write_text(f"<!doctype html><meta charset=utf-8>{scripts}", "utf-8")
    quiet = ["first-run", "default-browser-check", "sandbox"]
    off = ["gpu", "quic", "background-networking", "component-update", "sync", "extensions", "dev-shm-usage"]
    command = [chromium, "--headless", *(f"--no-{q}" for q in quiet), *(f"--disable-{o}" for o in off)]
    command += [f"--user-data-dir={page.parent / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += ["--virtual-time-budget=4000", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()
    body = dom.rpartition("<body>")[2].partition("</body>")[0]
    told: dict[str, Any] = json.loads(unquote(body))
    return told


def test_networkx_reads_cytoscape_json_too() -> None:
    """The file has what networkx expects of Cytoscape's."""
    back = nx.cytoscape_graph(json.loads(content(operation(), ".cyjs")))

    assert {data["name"] for _, data in back.nodes(data=True)} == set(operation())
    assert back.number_of_edges() == operation().number_of_edges()


def test_a_picture_saves_the_same_graphml() -> None:
    """There is one writer of GraphML."""
    assert draw_hops(operation()).render("graphml") == content(operation(), ".graphml")
