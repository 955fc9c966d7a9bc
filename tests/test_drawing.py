"""Pictures: what is drawn, where it stands, and that the same graph always gives the same bytes."""

from __future__ import annotations

import io
import json
import math
import random
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import networkx as nx
import pytest

from forensics.drawing import canvas, draw_hops, draw_volume, hops, layout, legend, marks
from forensics.drawing.chart import Series
from forensics.drawing.grouping import MOST_LINES, take_together
from forensics.drawing.model import _card, build_plan
from forensics.drawing.scene import Outline, Text, shorten_curve, text_width
from forensics.drawing.style import format_bytes, format_p, format_range, format_time, pen_width, shorten, zone_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from forensics.drawing.scene import Point

    Graph = nx.MultiDiGraph[str]

T0 = datetime(2026, 5, 8, tzinfo=UTC)
PROXY = "192.0.2.2"
KINDS = {"png": b"\x89PNG", "svg": b"<svg ", "pdf": b"%PDF", "html": b"<!doctype html>", "graphml": b"<?xml"}


def add_node(graph: Graph, node: str, role: str, *names: str, rank: int | None = None, spikes: int = 0) -> None:
    """Add a node as the hop graph has it."""
    reasons = ["three terminals use it"] if role == "relay" else []
    seen = {"first_seen": T0, "last_seen": T0 + timedelta(days=3), "bytes_out": 123_456, "bytes_in": None}
    score = None if rank is None else 9.0 - rank
    graph.add_node(node, role=role, names=list(names), reasons=reasons, rank=rank, score=score, spikes=spikes, **seen)


def add_edge(graph: Graph, tail: str, head: str, tier: str = "observed", **facts: object) -> None:
    """Add an edge as the hop graph has it."""
    evidence = [{"source": "proxy/access.log", "sha256": "ab" * 32, "records": "4,18-22 (+31 more)", "rows": 37}]
    usual: dict[str, Any] = {"bytes_out": None, "bytes_in": None, "bytes_kind": "ip", "connections": 1, "via": []}
    usual |= {"spike": False, "reason": "on record", "p_value": None, "evidence": evidence}
    graph.add_edge(tail, head, key=tier, **(usual | {"tier": tier, "start": T0, "end": T0, **facts}))


def described(graph: Graph, *chains: Sequence[str]) -> Graph:
    """Add what the graph as a whole tells."""
    told = [{"hops": list(c), "p_value": 2e-5, "sessions": 4, "reason": "follows within 2 s"} for c in chains]
    graph.graph.update(title="Laboratory intrusion", timezone="Asia/Tokyo", start=T0, end=T0 + timedelta(days=12))
    graph.graph.update(chains=told, statement="at least 5 relays observed", left_out=212)
    return graph


def lab() -> Graph:
    """Three terminals behind a proxy, five relays, the operator, six other servers; every tier and a way back."""
    graph: Graph = nx.MultiDiGraph()
    terminals, relays, operator = (
        [f"10.0.0.{i}" for i in (21, 22, 23)],
        [f"198.51.100.{i}" for i in range(1, 6)],
        "203.0.113.9",
    )
    for terminal, name in zip(terminals, ("pc-suzuki", "pc-tanaka", "経理部-端末03"), strict=True):
        add_node(graph, terminal, "terminal", name)
        add_edge(graph, terminal, PROXY, bytes_out=10**8, connections=4000)
    add_node(graph, PROXY, "proxy", "proxy.office.example")
    for rank, relay in enumerate(relays, 1):
        add_node(graph, relay, "relay", f"host{rank}.example", "other.example", rank=rank, spikes=int(rank < 3))
    add_node(graph, operator, "upstream", "operator")
    for i in range(6):
        add_node(graph, f"192.88.99.{i}", "other")
        add_edge(
            graph, terminals[i % 3], f"192.88.99.{i}", bytes_out=10 ** (3 + i), bytes_in=10 ** (4 + i), via=[PROXY]
        )
    add_edge(
        graph, terminals[0], relays[0], bytes_out=48_200_000, bytes_in=310_000, connections=37, via=[PROXY], spike=True
    )
    add_edge(graph, terminals[1], relays[0], bytes_out=1_200_000, via=[PROXY])
    add_edge(graph, terminals[1], relays[1], bytes_in=90_000, via=[PROXY])
    add_edge(graph, relays[0], relays[2], bytes_out=47_900_000, connections=35)
    add_edge(graph, relays[0], relays[2], "matched", p_value=2e-5)
    add_edge(graph, relays[2], operator, "matched", p_value=0.004)
    add_edge(graph, relays[3], relays[4], "shared", connections=0)
    add_edge(graph, relays[4], operator, "asserted", connections=0)
    add_edge(graph, operator, relays[3], bytes_out=5)
    add_edge(graph, relays[4], relays[3], bytes_out=5)
    add_edge(graph, relays[1], terminals[2], bytes_out=5)
    add_edge(graph, terminals[2], terminals[0], bytes_out=5)
    add_edge(graph, relays[1], relays[1], bytes_out=5)
    add_edge(graph, operator, operator, bytes_out=5)
    return described(graph, [terminals[0], relays[0], relays[2], operator])


def forty() -> Graph:
    """Forty nodes, twenty-three of them relays, in three rows of hops."""
    graph: Graph = nx.MultiDiGraph()
    terminals, relays = [f"10.1.{i}.5" for i in range(9)], [f"198.51.{i}.7" for i in range(23)]
    upstream, others = ["203.0.113.1", "203.0.113.2"], [f"192.88.99.{i}" for i in range(5)]
    roles = [(terminals, "terminal"), (relays, "relay"), (upstream, "upstream"), (others, "other"), ([PROXY], "proxy")]
    for members, role in roles:
        for i, node in enumerate(members):
            add_node(graph, node, role, f"host{i}.hosting-company.example", rank=i + 1 if role == "relay" else None)
    for i, relay in enumerate(relays[:15]):
        for terminal in {terminals[i % 9], terminals[(i * 4 + 1) % 9]}:
            add_edge(graph, terminal, relay, bytes_out=10 ** (3 + i % 6), bytes_in=5000, via=[PROXY], spike=i % 7 == 0)
    for i, relay in enumerate(relays[15:]):
        add_edge(graph, relays[i], relay, bytes_out=10**6)
        add_edge(graph, relays[i], relay, "matched", p_value=10.0**-i)
        add_edge(graph, relays[(i * 3 + 2) % 15], relay, bytes_out=10**5)
        add_edge(graph, relay, upstream[i % 2], "matched", p_value=0.01)
    for i, other in enumerate(others):
        add_edge(graph, terminals[i], other, bytes_out=10**5, via=[PROXY])
    return described(graph, *([terminals[i], relays[i], relays[15 + i], upstream[i % 2]] for i in range(8)))


def shuffled(graph: Graph) -> Graph:
    """The same graph, built in another order."""
    copy: Graph = nx.MultiDiGraph(**graph.graph)
    copy.add_nodes_from(sorted(graph.nodes(data=True), key=lambda item: item[0][::-1]))
    for tail, head, key in sorted(graph.edges(keys=True), key=lambda edge: edge[0][::-1] + edge[2]):
        copy.add_edge(tail, head, key=key, **graph[tail][head][key])
    return copy


@pytest.fixture(params=["graphviz", "columns"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to lay out a graph, one after the other."""
    if request.param == "columns":
        monkeypatch.setitem(sys.modules, "pygraphviz", None)
        monkeypatch.setattr(shutil, "which", lambda _: None)
    return str(request.param)


def sampled(points: tuple[Point, ...]) -> list[Point]:
    """Points on the curves."""
    found = []
    for k in range(0, len(points) - 1, 3):
        a, b, c, d = points[k : k + 4]
        for t in (i / 20 for i in range(21)):
            u = 1 - t
            w = (u**3, 3 * u * u * t, 3 * u * t * t, t**3)
            found.append(
                (
                    sum(f * p[0] for f, p in zip(w, (a, b, c, d), strict=True)),
                    sum(f * p[1] for f, p in zip(w, (a, b, c, d), strict=True)),
                )
            )
    return found


def inside(point: Point, centre: Point, size: tuple[float, float], slack: float) -> bool:
    """Whether a point lies in a box that is larger by the slack on every side."""
    return all(abs(p - c) < s / 2 + slack for p, c, s in zip(point, centre, size, strict=True))


def placed(graph: Graph) -> tuple[Any, Any, list[tuple[Point, tuple[float, float]]]]:
    """Plan and layout of a graph, and centre and size of all its cards and labels."""
    plan = build_plan(graph)
    laid = hops.lay_out(plan)
    boxes = [(c, marks.card_size(card)) for c, card in zip(laid.centres, plan.cards, strict=True)]
    boxes += [(r.label, marks.label_size(line)) for r, line in zip(laid.routes, plan.lines, strict=True)]
    return plan, laid, boxes


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_written_by_its_suffix(kind: str, tmp_path: Path) -> None:
    """The suffix chooses the kind, whatever its case."""
    path = draw_hops(lab()).save(tmp_path / f"hops.{kind.upper()}")

    assert path.read_bytes().startswith(KINDS[kind])


@pytest.mark.parametrize("name", ["hops.jpg", "hops"])
def test_another_suffix_is_an_error_that_lists_the_choices(name: str, tmp_path: Path) -> None:
    """What cannot be written is said before a file is made."""
    with pytest.raises(ValueError, match=r"\.png, \.svg, \.pdf, \.html, \.graphml"):
        draw_hops(lab()).save(tmp_path / name)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_graph_gives_the_same_bytes(kind: str) -> None:
    """The order in which the graph was built leaves no trace."""
    assert draw_hops(lab()).render(kind) == draw_hops(shuffled(lab())).render(kind)


def test_a_notebook_shows_the_svg() -> None:
    """The notebook is given the SVG, and one line where it shows text only."""
    bundle = draw_hops(lab())._repr_mimebundle_()

    assert bundle["image/svg+xml"].startswith("<svg ")
    assert bundle["text/plain"] == (
        "Laboratory intrusion. at least 5 relays observed. 2026-05-08 09:00 to 2026-05-20 09:00 (Asia/Tokyo, UTC+09:00)"
    )


@pytest.mark.parametrize("make", [lab, forty])
def test_nothing_overlaps(make: Callable[[], Graph], engine: str) -> None:
    """No card and no label lies on another, with Graphviz and without."""
    boxes = placed(make())[2]

    for ((ax, ay), (aw, ah)), ((bx, by), (bw, bh)) in combinations(boxes, 2):
        assert abs(ax - bx) >= (aw + bw) / 2 - 0.1 or abs(ay - by) >= (ah + bh) / 2 - 0.1


@pytest.mark.parametrize("make", [lab, forty])
def test_no_line_runs_through_a_label_of_another(make: Callable[[], Graph], engine: str) -> None:
    """A label is crossed by no line, so that no reader can take it for that line's."""
    plan, laid, boxes = placed(make())
    labels = boxes[len(plan.cards) :]

    for i, route in enumerate(laid.routes):
        for point in sampled(route.before) + sampled(route.after):
            assert not any(inside(point, *box, -2.0) for j, box in enumerate(labels) if j != i)


@pytest.mark.parametrize("make", [lab, forty])
def test_lines_run_from_tail_by_label_to_head(make: Callable[[], Graph], engine: str) -> None:
    """Each line begins at its tail, passes its label and ends at its head, forward, backward and sideways."""
    plan, laid, boxes = placed(make())
    place = {card.node: box for card, box in zip(plan.cards, boxes, strict=False)}

    for line, route, label in zip(plan.lines, laid.routes, boxes[len(plan.cards) :], strict=True):
        assert inside(route.before[0], *place[line.tail], 1.5)
        assert inside(route.after[-1], *place[line.head], 1.5)
        assert inside(route.before[-1], *label, 1.5)
        assert inside(route.after[0], *label, 1.5)


@pytest.mark.parametrize("make", [lab, forty])
def test_every_line_has_room_for_its_arrow(make: Callable[[], Graph], engine: str) -> None:
    """No arrow is lost where a line ends in a short curve."""
    for route in placed(make())[1].routes:
        (x, y), tip = shorten_curve(route.after, 9.0)[-1], route.after[-1]
        assert math.hypot(x - tip[0], y - tip[1]) == pytest.approx(9.0, abs=0.1)


def test_terminals_stand_left_and_upstream_right(engine: str) -> None:
    """Reading runs from the terminals at the left to what lies beyond the relays at the right."""
    plan, laid, _ = placed(forty())
    x = {
        role: [c[0] for card, c in zip(plan.cards, laid.centres, strict=True) if card.role == role]
        for role in ("terminal", "relay", "upstream")
    }

    assert max(x["terminal"]) < min(x["relay"])
    assert max(x["relay"]) < min(x["upstream"])


def test_without_pygraphviz_the_program_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``dot`` on the PATH gives the same picture from the same text."""
    answers = {}
    real = layout._with_pygraphviz

    def keep(text: str) -> bytes | None:
        answers[text] = real(text)
        return answers[text]

    def dot(command: list[str], *, input: bytes, **_: object) -> subprocess.CompletedProcess[bytes]:  # noqa: A002 - subprocess' own name
        assert command == ["/usr/bin/dot", "-Tjson0"]
        answer = answers[input.decode()]
        assert answer is not None
        return subprocess.CompletedProcess(command, 0, answer)

    monkeypatch.setattr(layout, "_with_pygraphviz", keep)
    through_pygraphviz = draw_hops(lab()).render("svg")
    monkeypatch.setattr(layout, "_with_pygraphviz", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/dot")
    monkeypatch.setattr(subprocess, "run", dot)

    assert draw_hops(lab()).render("svg") == through_pygraphviz


def test_a_program_that_fails_leaves_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``dot`` that cannot run is no error: there is a layout of our own."""
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    monkeypatch.setattr(shutil, "which", lambda _: "/no/such/dot")

    assert b"198.51.100.1" in draw_hops(lab()).render("svg")


def test_a_matched_edge_beside_an_observed_one_is_one_line() -> None:
    """A connection on record that was matched too is drawn once, solid; a match alone is drawn dashed."""
    plan = build_plan(lab())
    both = next(line for line in plan.lines if line.head == "198.51.100.3")
    alone = next(line for line in plan.lines if line.head == "203.0.113.9" and line.matched)

    assert (both.tiers, both.chains, both.volume) == (("observed", "matched"), (1,), 47_900_000)
    assert both.label == ("→ 47.9 MB  ← not observed", "35× · p = 2×10⁻⁵ · chain 1")
    assert marks.line_dash(both.tiers[0], 2.0) == ()
    assert (alone.tiers, alone.label) == (("matched",), ("1× · matched · p = 0.004 · chain 1",))
    assert marks.line_dash(alone.tiers[0], 2.0)


def test_a_passed_proxy_is_a_tag() -> None:
    """A proxy that terminals connected through is no node of the picture but a tag on the lines, explained below."""
    plan = build_plan(lab())

    assert plan.folded == {PROXY}
    assert PROXY not in {card.node for card in plan.cards}
    assert all(("P1" in line.label[-1]) == (line.edges[0]["via"] == [PROXY]) for line in plan.lines)
    assert b"P1  proxy 192.0.2.2  proxy.office.example" in draw_hops(lab()).render("svg")


def test_a_proxy_with_lines_of_its_own_stays_a_node() -> None:
    """A proxy whose onward connections are on record is drawn, with its tag."""
    graph = lab()
    add_edge(graph, PROXY, "198.51.100.1", bytes_out=7)

    card = next(c for c in build_plan(graph).cards if c.node == PROXY)

    assert card.lines == (PROXY, "proxy.office.example", "proxy · P1")


def test_a_proxy_that_is_no_node_is_a_tag_too() -> None:
    """A proxy known only by name from a record still has its tag and its row in the legend."""
    graph = described(nx.MultiDiGraph())
    add_edge(graph, "10.0.0.1", "192.0.2.9", via=["proxy.example"], bytes_out=5)

    assert b"P1  proxy proxy.example" in draw_hops(graph).render("svg")
    assert b'"tag":"P1"' in draw_hops(graph).render("html")


def crowd() -> Graph:
    """Twelve terminals that all meet eight servers; two spikes, one chain, one direction that was not observed."""
    graph: Graph = nx.MultiDiGraph()
    for i in range(12):
        add_node(graph, f"10.0.0.{i}", "terminal")
        for j in range(8):
            out = None if (i, j) == (5, 5) else 1000
            add_edge(
                graph,
                f"10.0.0.{i}",
                f"192.0.2.{j}",
                bytes_out=out,
                via=["192.0.2.99"],
                spike=(i, j) in {(1, 1), (2, 1)},
            )
    for j in range(8):
        add_node(graph, f"192.0.2.{j}", "relay", rank=j + 1)
    return described(graph, ["10.0.0.3", "192.0.2.3"])


def test_too_many_lines_of_terminals_are_taken_together() -> None:
    """Beyond 80 lines, spikes and chains stay lines of their own and the others become one line for each server."""
    plan = take_together(build_plan(crowd()))
    merged = {line.head: line for line in plan.lines if line.members}
    alone = {(line.tail, line.head) for line in plan.lines if not line.members}

    assert alone == {("10.0.0.1", "192.0.2.1"), ("10.0.0.2", "192.0.2.1"), ("10.0.0.3", "192.0.2.3")}
    assert [c.lines[0] for c in plan.cards if c.role == "terminal"] == [
        "12 terminals",
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
    ]
    assert len(merged) == 8
    assert merged["192.0.2.1"].label == ("→ 10 kB  ← not observed", "10 terminals · 10× · P1")
    assert merged["192.0.2.5"].label == ("→ ≥ 11 kB  ← not observed", "12 terminals · 12× · P1")


def test_a_crowd_is_drawn_with_a_word_on_it_and_told_in_full() -> None:
    """The picture says what was taken together; the page still tells every line with its evidence."""
    drawing = draw_hops(crowd())
    page = drawing.render("html").decode()

    assert "n terminals: their lines without a spike or match, taken together" in drawing.render("svg").decode()
    assert page.count("ab" * 32) == 12 * 8
    assert '"title":"10.0.0.7 \\u2192 192.0.2.1"' in page
    assert '"title":"12 terminals \\u2192 192.0.2.5"' in page
    assert "Take 9 nodes and 93 lines together" in page


def multitude(seed: int, spikes: int) -> Graph:
    """2,000 nodes of all roles with lines drawn by lot, so many of them with a spike; and a chain."""
    lot = random.Random(seed)
    graph: Graph = nx.MultiDiGraph()
    roles = ["terminal"] * 1400 + ["relay"] * 300 + ["upstream"] * 20 + ["other"] * 280
    nodes = [f"10.{i // 250}.0.{i % 250}" for i in range(2000)]
    for i, (node, role) in enumerate(zip(nodes, roles, strict=True)):
        add_node(graph, node, role, f"host{i}.example", rank=i - 1399 if role == "relay" else None)
    for i in range(4000):
        tail, head = lot.choice(nodes[:1700]), lot.choice(nodes[1400:])
        add_edge(graph, tail, head, bytes_out=lot.randrange(10**7), spike=i < spikes)
    for tail, head in pairwise((nodes[7], nodes[1500], nodes[1600], nodes[1710])):
        add_edge(graph, tail, head, bytes_out=10**6)
    return described(graph, [nodes[7], nodes[1500], nodes[1600], nodes[1710]])


@pytest.mark.parametrize("spikes", [0, 5, 400])
def test_two_thousand_nodes_stay_readable(spikes: int, engine: str) -> None:
    """Whatever the graph, few enough cards and lines are drawn, none on another; the chain is always among them."""
    start = time.monotonic()
    picture = hops.draw_scene(multitude(3, spikes))
    took = time.monotonic() - start
    cards = {c.node: marks.card_size(c) for c in picture.plan.cards}
    boxes = [(picture.centres[node], size) for node, size in cards.items()]
    boxes += [(r.label, marks.label_size(k)) for r, k in zip(picture.routes, picture.plan.lines, strict=True)]

    assert len(cards) <= MOST_LINES
    assert len(picture.plan.lines) <= 1.5 * MOST_LINES
    assert {"10.0.0.7", "10.6.0.0", "10.6.0.100", "10.6.0.210"} <= set(cards)
    assert sum(map(len, picture.plan.groups.values())) + len(cards) - len(picture.plan.groups) == 2000
    assert took < 20
    for ((ax, ay), (aw, ah)), ((bx, by), (bw, bh)) in combinations(boxes, 2):
        assert abs(ax - bx) >= (aw + bw) / 2 - 0.1 or abs(ay - by) >= (ah + bh) / 2 - 0.1


def test_what_is_taken_together_adds_up() -> None:
    """Bytes, connections and spikes of all lines are in the lines that are drawn; none is lost, none doubled."""
    graph = multitude(3, 5)
    full = build_plan(graph)
    fewer = take_together(full)

    def total(plan: Any) -> tuple[int, int]:  # noqa: ANN401 - a plan
        return sum(k.volume or 0 for k in plan.lines), sum(k.edges[0].get("connections") or 0 for k in plan.lines)

    assert total(fewer) == total(full)
    assert sum(len(k.members) or 1 for k in fewer.lines) == len(full.lines)
    assert sum(c.spikes for c in fewer.cards) == sum(c.spikes for c in full.cards)
    assert "n lines: of nodes that were taken together" in draw_hops(graph).render("svg").decode()


def test_the_picture_of_two_thousand_nodes_is_the_same_every_time() -> None:
    """What is taken together does not depend on the order in which the graph was built."""
    assert draw_hops(multitude(3, 5)).render("svg") == draw_hops(shuffled(multitude(3, 5))).render("svg")


def test_what_was_not_observed_is_said_and_is_not_zero() -> None:
    """Bytes of a direction that was not observed read *not observed*, and 0 B where 0 was observed."""
    graph = described(nx.MultiDiGraph())
    add_edge(graph, "10.0.0.1", "192.0.2.9", bytes_in=0)
    add_edge(graph, "10.0.0.2", "192.0.2.9", connections=0)

    known, unknown = build_plan(graph).lines

    assert known.label[0] == "→ not observed  ← 0 B"
    assert (unknown.label, unknown.volume) == (("bytes not observed",), None)


def test_the_legend_explains_what_is_there_and_nothing_else() -> None:
    """A picture without spikes, chains and matches has no row for them."""
    graph = described(nx.MultiDiGraph())
    add_edge(graph, "10.0.0.1", "192.0.2.9", bytes_out=5_000)
    rows = {row.text for block in legend.legend_blocks(graph, build_plan(graph)) for row in block.rows}
    full = {row.text for block in legend.legend_blocks(lab(), build_plan(lab())) for row in block.rows}

    assert "observed: the connection is on record" in rows
    assert not {text for text in rows if "spike" in text or "matched" in text or "chain" in text or "relay" in text}
    assert {"spike: unusual volume", "part of a chain", "bytes counted: ip", "1 kB", "1 MB", "1 GB"} <= full
    assert "observed, and matched with traffic that came in" in full


def test_long_lists_are_cut_and_say_so() -> None:
    """Ten chains of nine hops and ten proxies: eight rows each, and how many more there are."""
    graph = described(nx.MultiDiGraph(), *([f"192.0.2.{i}" for i in range(9)] for _ in range(10)))
    for i in range(10):
        add_edge(graph, f"192.0.2.{i}", f"192.0.2.{i + 1}", via=[f"proxy{i}"], bytes_out=9)
    svg = draw_hops(graph).render("svg").decode()

    assert "192.0.2.4 → … → 192.0.2.8  (p = 2×10⁻⁵, 4 sessions)" in svg
    assert "and 2 more chains" in svg
    assert "and 2 more<" in svg
    assert "chains 1, 2, 3, …" in svg


def test_every_file_of_evidence_counts_in_the_source_line() -> None:
    """The last line names the evidence and what was left out."""
    graph = lab()
    names = [f"day{i}.pcap" for i in range(6)]
    add_edge(graph, "10.0.0.21", "198.51.100.5", evidence=[{"source": n} for n in names])

    assert legend.footer(graph) == (
        "Evidence: 7 files (day0.pcap, day1.pcap, day2.pcap, day3.pcap, …)  ·  212 servers of no interest not drawn"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_graph_and_bare_nodes_are_drawn(kind: str, engine: str) -> None:
    """No node at all, and nodes and edges without any attribute, give a picture and no error."""
    bare: Graph = nx.MultiDiGraph()
    bare.add_edge("192.0.2.1", "192.0.2.2")

    assert draw_hops(nx.MultiDiGraph()).render(kind).startswith(KINDS[kind])
    assert draw_hops(bare).render(kind).startswith(KINDS[kind])


def test_japanese_names_are_text_in_the_svg_and_no_trouble_in_the_png() -> None:
    """A Japanese name stays text in the SVG; a machine without such a font still makes a PNG."""
    drawing = draw_hops(lab())

    assert "経理部-端末03" in drawing.render("svg").decode()
    assert drawing.render("png").startswith(KINDS["png"])


def test_text_is_as_wide_as_matplotlib_draws_it() -> None:
    """Widths come from the font that draws them; Japanese and unknown characters are one em wide."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family="DejaVu Sans", size=10.0)
    drawn, _, _ = TextToPath().get_text_width_height_descent("Wide Words 123", font, ismath=False)

    assert text_width("Wide Words 123", 10.0) == pytest.approx(drawn, rel=0.02)
    assert text_width("端末", 10.0) == text_width("\U00013000" * 2, 10.0) == 20.0


def test_a_curve_shorter_than_its_arrow_keeps_its_length() -> None:
    """Arrows take their room from the line, not from a line that has none."""
    long = shorten_curve(((0, 0), (30, 0), (60, 0), (90, 0)), 9.0)
    short = ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 0.0))

    assert long[-1] == pytest.approx((81.0, 0.0), abs=0.01)
    assert shorten_curve(short, 9.0) == short


def test_the_svg_is_well_formed_and_names_nothing_outside() -> None:
    """The SVG can be read by an XML parser and holds no link, no script and no style sheet."""
    svg = draw_hops(lab()).render("svg").decode()
    tags = {element.tag.split("}")[1] for element in ET.fromstring(svg).iter()}  # noqa: S314 - our own file

    assert tags == {"svg", "title", "rect", "path", "text"}
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]


def test_a_very_tall_picture_keeps_within_what_viewers_open() -> None:
    """The PNG of a picture of any height has sides of at most 16,000 pixels."""
    scene = hops.draw_scene(lab()).scene
    scene.height = 20_000.0

    width, height = (int.from_bytes(canvas.to_png(scene)[i : i + 4], "big") for i in (16, 20))

    assert width < height <= 16_001


def test_a_scene_holds_only_outlines_and_text() -> None:
    """What is painted is outlines and text, so that every kind of file can be made of it."""
    assert {type(item) for item in hops.draw_scene(lab()).scene.items} == {Outline, Text}


def test_graphml_comes_back_as_it_was() -> None:
    """Nodes, roles and tiers come back; what was not observed is absent; no edge id repeats."""
    graph, content = lab(), draw_hops(lab()).render("graphml")
    back = nx.read_graphml(io.BytesIO(content), force_multigraph=True)
    ids = re.findall(rb'<edge [^>]*id="(\w+)"', content)

    assert set(back) == set(graph)
    assert {n: d["role"] for n, d in back.nodes(data=True)} == {n: d["role"] for n, d in graph.nodes(data=True)}
    assert sorted((u, v, d["tier"]) for u, v, d in back.edges(data=True)) == sorted(graph.edges(keys=True))
    assert "bytes_in" not in back.nodes["10.0.0.21"]
    assert back.graph["start"] == "2026-05-08T00:00:00Z"
    assert json.loads(back.graph["chains"])[0]["sessions"] == 4
    assert len(set(ids)) == len(ids) == graph.number_of_edges()


def test_the_page_holds_places_facts_and_evidence() -> None:
    """The interactive page knows where each node stands, what is known of it and on what that rests."""
    page = draw_hops(lab()).render("html").decode()
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    relay = next(n for n in data["nodes"] if n["about"]["title"] == "198.51.100.3")
    line = next(e for e in data["lines"] if e["target"] == relay["id"])

    assert (len(data["nodes"]), len(data["lines"]), len(data["proxies"])) == (15, 19, 1)
    assert relay["x"] > 0
    assert ["Rank", "3"] in relay["about"]["rows"]
    assert relay["about"]["reasons"] == ["three terminals use it"]
    assert [part["tier"].split(":")[0] for part in line["about"]["parts"]] == ["observed", "matched"]
    assert line["about"]["parts"][0]["evidence"] == [["proxy/access.log", "4,18-22 (+31 more)", "ab" * 32]]
    assert ["Bytes back", "not observed (ip)"] in line["about"]["parts"][0]["rows"]
    assert ["Match", "p = 2×10⁻⁵ in unrelated traffic"] in line["about"]["parts"][1]["rows"]


def test_figures_in_words() -> None:
    """Bytes, probabilities, times and long names as the pictures tell them."""
    assert [format_bytes(b) for b in (0, 999, 999_600, 4_210_000, 5e15, 5e18)] == [
        "0 B",
        "999 B",
        "1 MB",
        "4.21 MB",
        "5,000 TB",
        "5,000,000 TB",
    ]
    assert [format_p(p) for p in (0.0, 1.0, 0.004, 2e-5)] == ["p = 0", "p = 1", "p = 0.004", "p = 2×10⁻⁵"]
    assert (format_time(T0), format_time(None)) == ("2026-05-08 00:00:00", "not observed")
    assert format_range(None, T0, "UTC") == "time range not observed (UTC)"
    assert zone_name("Asia/Tokyo", None) == "Asia/Tokyo"
    assert (shorten("abcdefgh", 5), shorten("abc", 5)) == ("ab…gh", "abc")
    assert pen_width(None) == pen_width(0) == pen_width(1000) < pen_width(10**6) < pen_width(10**30) == 8.0


def series(count: int = 48) -> dict[str, Any]:
    """A quiet series of hours with one spike."""
    times = [T0 + timedelta(hours=i) for i in range(count)]
    values = [2e5 + 1e4 * (i % 5) for i in range(count)]
    values[count // 2] = 4e7
    spikes = [(times[count // 2], times[count // 2] + timedelta(hours=1)), (times[-1], times[-1])]
    told = {"title": "pc-suzuki to $cdn$ 海運", "timezone": "Asia/Tokyo", "source": "proxy/access.log"}
    return {"times": times, "values": values, "expected": [None, *[2e5] * (count - 1)], "spikes": spikes, **told}


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_volume_chart_is_the_same_every_time(kind: str, tmp_path: Path) -> None:
    """The chart is written by suffix, and the same series gives the same bytes."""
    path = draw_volume(**series()).save(tmp_path / f"volume.{kind}")

    assert path.read_bytes() == draw_volume(**series()).render(kind)


def test_the_volume_chart_names_units_zone_and_source() -> None:
    """Each axis has its unit, the time axis its zone, the chart its source."""
    svg = draw_volume(**series()).render("svg").decode()

    for text in (
        "bytes per h",
        "time (Asia/Tokyo, UTC+09:00)",
        "Source: proxy/access.log",
        "expected",
        "spike",
        "海運",
    ):
        assert text in svg


def test_a_volume_chart_without_baseline_and_spikes_claims_none() -> None:
    """Without a baseline and spikes the legend has neither."""
    given = series() | {"expected": None, "spikes": ()}
    svg = draw_volume(**given).render("svg").decode()

    assert "expected" not in svg
    assert "spike" not in svg


@pytest.mark.parametrize(("seconds", "name"), [(1, "s"), (60, "min"), (600, "10 min"), (3600, "h"), (86_400, "day")])
def test_the_window_has_the_largest_unit_that_fits(seconds: int, name: str) -> None:
    """A window of 600 s is called 10 min."""
    times = [T0 + timedelta(seconds=seconds * i) for i in range(3)]
    given: dict[str, Any] = {"title": "t", "timezone": "UTC", "source": "s"}

    assert f">bytes per {name}<" in draw_volume(times, [1, 2, 3], **given).render("svg").decode()


def test_a_single_window_is_drawn() -> None:
    """One window alone tells no length and is taken for a minute."""
    assert Series([T0], [5.0], None, ()).window == 60.0
    assert draw_volume([T0], [5], title="t", timezone="UTC", source="s").render("png").startswith(KINDS["png"])


@pytest.mark.parametrize(("times", "values", "expected"), [([], [], None), ([T0], [1.0, 2.0], None), ([T0], [1.0], [])])
def test_series_of_unequal_length_are_an_error(
    times: list[datetime], values: list[float], expected: list[float] | None
) -> None:
    """A baseline that is shifted against its series would be a false picture."""
    with pytest.raises(ValueError, match="as many values as times"):
        draw_volume(times, values, expected=expected, title="t", timezone="UTC", source="s")


def test_drawing_leaves_the_analysts_matplotlib_alone() -> None:
    """Neither the style of a notebook changes a picture, nor a picture the style; pyplot is not loaded."""
    import matplotlib as mpl

    plain = draw_volume(**series()).render("svg")
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 30, "svg.fonttype": "path"}):
        assert draw_volume(**series()).render("svg") == plain
        assert mpl.rcParams["font.size"] == 30


def test_importing_is_cheap() -> None:
    """Importing the pictures and the report loads neither matplotlib nor networkx; drawing does not load pyplot."""
    code = (
        "import sys, forensics.drawing as d, forensics.report\n"
        "heavy = {'matplotlib', 'networkx', 'pygraphviz', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import networkx as nx\n"
        "d.draw_hops(nx.MultiDiGraph()).render('png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )

    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_rank_alone_makes_no_relay() -> None:
    """A card calls a ranked server a candidate; a relay is what traffic is on record to have passed through."""
    ranked = {"role": "relay", "rank": 2, "names": [], "spikes": 0}

    assert _card("203.0.113.7", ranked, None).lines[-1] == "candidate no. 2"
    assert _card("203.0.113.7", ranked | {"passes_on": True}, None).lines[-1] == "relay no. 2"
