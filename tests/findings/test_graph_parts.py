"""Parts of the hop graph: what filters keep, and how the operation grew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import networkx as nx
import pytest

from forensics import draw_hops, filter_graph, graph_at, write_graph

DAY = timedelta(days=1)
T0 = datetime(2015, 5, 8, tzinfo=UTC)
A, B, RELAY, NEXT, END, SAID = "10.0.0.1", "10.0.0.2", "198.51.100.1", "198.51.100.2", "203.0.113.9", "said.example"

Graph = nx.MultiDiGraph


def grown() -> Graph[str]:
    """Return an operation of ten days: first a relay, on day 3 the way on, on day 5 another terminal, a rumour."""
    graph: Graph[str] = nx.MultiDiGraph(title="t", statement="at least 1 relay observed", timezone="UTC")
    chain = {"hops": [A, RELAY, NEXT, END], "p_value": 1e-4, "sessions": 2, "reason": "2 sessions match"}
    graph.graph.update(start=T0, end=T0 + 10 * DAY, chains=[chain])
    roles = {A: "terminal", B: "terminal", RELAY: "relay", NEXT: "relay", END: "upstream", SAID: "other"}
    edges: list[tuple[str, str, str, int | None, int | None]] = [
        (A, RELAY, "observed", 0, 2),
        (RELAY, NEXT, "observed", 3, 10),
        (RELAY, NEXT, "matched", 3, 4),
        (NEXT, END, "matched", 3, 4),
        (B, RELAY, "observed", 5, 6),
        (END, SAID, "asserted", None, None),
    ]
    for node, role in roles.items():
        mine = [(a, b) for u, v, _, a, b in edges if node in {u, v} and a is not None and b is not None]
        first, last = (T0 + min(mine)[0] * DAY, T0 + max(b for _, b in mine) * DAY) if mine else (None, None)
        about: dict[str, Any] = {"names": [], "reasons": [], "rank": None, "spikes": 0, "bytes_in": 5}
        graph.add_node(node, role=role, first_seen=first, last_seen=last, bytes_out=7, **about)
    for tail, head, tier, a, b in edges:
        facts: dict[str, Any] = {"connections": 3, "bytes_out": 100, "bytes_in": 5, "bytes_kind": "ip", "via": []}
        facts |= {"spike": True, "spike_bytes": 90, "reason": "r", "p_value": None, "evidence": []}
        times = {key: None if day is None else T0 + day * DAY for key, day in (("start", a), ("end", b))}
        graph.add_edge(tail, head, key=tier, tier=tier, **facts, **times)
    return graph


def test_tiers_are_filtered() -> None:
    """Only edges of the tiers asked for stay, and only the nodes that they touch; chains need all their hops."""
    part = filter_graph(grown(), tiers=["observed"])

    assert set(part.edges(keys=True)) == {(A, RELAY, "observed"), (RELAY, NEXT, "observed"), (B, RELAY, "observed")}
    assert set(part) == {A, B, RELAY, NEXT}
    assert part.graph["chains"] == []
    assert filter_graph(grown(), tiers=["observed", "matched"]).graph["chains"] == grown().graph["chains"]


def test_roles_are_filtered() -> None:
    """Nodes of the roles asked for stay, also without an edge; an edge stays where both of its ends do."""
    part = filter_graph(grown(), roles=["relay", "other"])

    assert set(part) == {RELAY, NEXT, SAID}
    assert set(part.edges(keys=True)) == {(RELAY, NEXT, "observed"), (RELAY, NEXT, "matched")}
    assert set(filter_graph(grown(), roles=["terminal"], tiers=["matched"])) == set()


@pytest.mark.parametrize(
    ("start", "end", "kept"),
    [
        (None, 2.5, {(A, RELAY)}),
        (6, None, {(RELAY, NEXT), (B, RELAY)}),
        (2, 3, {(A, RELAY), (RELAY, NEXT), (NEXT, END)}),
        (11, None, set()),
        (None, None, set(grown().edges())),
    ],
)
def test_times_are_filtered(start: float | None, end: float | None, kept: set[tuple[str, str]]) -> None:
    """Edges stay whose time overlaps the one asked for, its ends included; one without a time only where none is."""
    bounds: dict[str, Any] = {
        key: None if day is None else T0 + day * DAY for key, day in (("start", start), ("end", end))
    }

    assert set(filter_graph(grown(), **bounds).edges()) == kept


def test_a_part_says_that_it_is_one() -> None:
    """What was asked for and left out is told, the result is said to be of the whole; the whole stays as it was."""
    whole = grown()
    part = filter_graph(whole, tiers=["matched", "observed"], roles=["relay"], start=T0)

    assert part.graph["filtered"] == {
        "start": T0,
        "tiers": ["observed", "matched"],
        "roles": ["relay"],
        "nodes_left_out": 4,
        "edges_left_out": 4,
    }
    assert part.graph["statement"] == (
        "at least 1 relay observed (in the whole evidence; shown here: start 2015-05-08 00:00:00+00:00, "
        "tiers observed, matched, roles relay)"
    )
    part.nodes[RELAY]["role"] = part.edges[RELAY, NEXT, "observed"]["tier"] = "changed"
    assert list(whole.nodes(data=True)) == list(grown().nodes(data=True))
    assert list(whole.edges(data=True)) == list(grown().edges(data=True))
    assert whole.graph == grown().graph


def test_the_operation_grows() -> None:
    """Each moment has the edges that had begun; one that is over keeps its figures."""
    sizes = [graph_at(grown(), T0 + day * DAY).number_of_edges() for day in (-1, 0, 2, 3, 5, 20)]
    assert sizes == [0, 1, 1, 4, 5, 5]

    late = graph_at(grown(), T0 + 20 * DAY)
    assert SAID not in late
    assert late.edges[RELAY, NEXT, "observed"] == grown().edges[RELAY, NEXT, "observed"]
    assert late.nodes[RELAY] == grown().nodes[RELAY]


def test_what_goes_on_has_no_figures_yet() -> None:
    """Bytes counted over the whole time are not those until then: they are None, and so are those of its nodes."""
    part = graph_at(grown(), T0 + 5 * DAY)
    going, over = part.edges[RELAY, NEXT, "observed"], part.edges[RELAY, NEXT, "matched"]

    assert [going[key] for key in ("end", "bytes_out", "bytes_in", "connections", "spike")] == [None] * 5
    assert (going["goes_on"], "spike_bytes" in going) == (True, False)
    assert (over["bytes_out"], over["end"], "goes_on" in over) == (100, T0 + 4 * DAY, False)
    assert [part.nodes[RELAY][key] for key in ("last_seen", "bytes_out", "bytes_in")] == [None] * 3
    assert part.nodes[A] == grown().nodes[A]
    assert (part.graph["filtered"]["as_of"], part.graph["end"]) == (T0 + 5 * DAY, T0 + 5 * DAY)


@pytest.mark.parametrize("suffix", [".svg", ".html", ".gexf", ".stix.json", ".case.jsonld", ".json", ".csv"])
def test_a_part_can_be_drawn_and_written(suffix: str, tmp_path: Any) -> None:  # noqa: ANN401 - pytest's path
    """Edges that go on, and assertions without a time, are no trouble to pictures and files."""
    for graph in (graph_at(grown(), T0 + 5 * DAY), grown(), filter_graph(grown(), start=T0 + 11 * DAY)):
        path = tmp_path / f"part{suffix}"
        made = [draw_hops(graph).save(path)] if suffix in {".svg", ".html"} else write_graph(graph, path)
        assert all(file.stat().st_size for file in made)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"tiers": ["seen"]}, "no such tier: seen; choose of observed, shared, matched, asserted"),
        ({"roles": ["hop", "boss"]}, "no such role: boss, hop"),
        ({"tiers": "observed"}, r"tiers are a list: \['observed'\]"),
        ({"start": datetime(2015, 5, 8)}, "a time without a zone"),  # noqa: DTZ001 - what is tested
        ({"start": T0, "end": T0 - DAY}, "the end lies before the start"),
    ],
)
def test_what_cannot_be_asked_is_an_error(asked: dict[str, Any], problem: str) -> None:
    """Wrong names and times without a zone are said, not passed over."""
    with pytest.raises(ValueError, match=problem):
        filter_graph(grown(), **asked)


def test_a_moment_needs_its_zone() -> None:
    """The growth is not asked for at a time without a zone either."""
    with pytest.raises(ValueError, match="a time without a zone"):
        graph_at(grown(), datetime(2015, 5, 8))  # noqa: DTZ001 - what is tested
