"""The hop graph: who is in it, in which role, joined by which edges, on what evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from forensics import hops
from forensics.chains import Chain, Match
from forensics.hops import build_hop_graph
from forensics.relays import RELAY_COLUMNS
from forensics.schema import FINDING_COLUMNS
from forensics.series import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    import networkx as nx
    import pandas as pd

    from forensics.case import Case

SECOND = 1_000_000
START = 1_431_302_400_000_000
GATEWAY, PROXY = "203.0.113.10", "10.0.0.8"
RELAY, SECOND_RELAY, OPERATOR, OTHER = "198.51.100.116", "203.0.113.182", "198.51.100.204", "198.18.0.1"

Flows = list[dict[str, object]]


def request(terminal: int, dst: str, sent: int | None, **more: object) -> dict[str, object]:
    """Return a request in the proxy's log."""
    start = START + terminal * SECOND
    return {"start": start, "end": start + SECOND, "src": f"10.0.0.{terminal}", "dst": dst, "via": PROXY,
            "bytes_out": sent, **more}  # fmt: skip


def packets(src: str, dst: str, port: int, sent: int, **more: object) -> dict[str, object]:
    """Return a connection in a capture taken at the first relay."""
    return {"start": START + port * SECOND, "end": START + (port + 5) * SECOND, "src": src, "src_port": port,
            "dst": dst, "dst_port": 443, "proto": "tcp", "bytes_out": sent, "bytes_in": 10, "bytes_kind": "ip",
            "frame_bytes_out": sent, "source": "relay.pcap", "vantage": "relay", **more}  # fmt: skip


def office() -> Flows:
    """Return an office of seven terminals at a relay and at another server, and what a capture at the relay shows."""
    rows = [
        request(n, dst, 100 * n, name=name)
        for n in range(1, 8)
        for dst, name in ((RELAY, "shop.example"), (OTHER, "o"))
    ]
    rows += [packets(GATEWAY, RELAY, 1000 + n, 700) for n in range(3)]
    rows += [packets(RELAY, SECOND_RELAY, 2000 + n, 600) for n in range(3)]
    rows += [row | {"src": GATEWAY, "via": None, "source": "conn.log", "vantage": "uplink"} for row in rows[:14]]
    return rows


def relays(*servers: str) -> pd.DataFrame:
    """Return a ranking of these servers."""
    import pandas as pd

    rows = [
        {"rank": n, "dst": dst, "names": "shop.example; www.shop.example", "score": 9.0 - n,
         "reasons": "1 volume spike (+6.0); 1 of 7 terminals meet it (+2.8)"}
        for n, dst in enumerate(servers, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(RELAY_COLUMNS))


def findings(*pairs: tuple[str, str]) -> pd.DataFrame:
    """Return findings about these pairs of terminal and server."""
    import pandas as pd

    return pd.DataFrame([{"src": src, "dst": dst, "value": 5e6} for src, dst in pairs], columns=list(FINDING_COLUMNS))


def connection(src: str, dst: str, port: int, record: int) -> Connection:
    """Return one of the captured connections with some payload."""
    start = START + port * SECOND
    sizes = np.array([40, 60]), np.array([5, 0])
    return Connection("relay.pcap", record, src, port, dst, 443, start, start + 5 * SECOND, np.arange(2), *sizes)


def chain(first: str = "10.0.0.1", sessions: int = 3) -> Chain:
    """Return the chain that the capture shows."""
    steps = [
        (
            Match(
                RELAY,
                connection(GATEWAY, RELAY, 1000 + n, 15 + n),
                connection(RELAY, SECOND_RELAY, 2000 + n, 18 + n),
                1.0,
                2e-4,
                5e-3,
            ),
        )
        for n in range(sessions)
    ]
    return Chain((first, RELAY, SECOND_RELAY), tuple(steps))


@pytest.fixture
def build(make_case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch) -> Callable[..., nx.MultiDiGraph[str]]:
    """Return a builder of the graph of a case with given findings and chains."""

    def make(
        rows: Flows | None = None,
        chains: list[Chain] | None = None,
        *,
        listed: tuple[str, ...] = (RELAY,),
        spikes: tuple[tuple[str, str], ...] = (),
    ) -> nx.MultiDiGraph[str]:
        monkeypatch.setattr(hops, "find_chains", lambda _: [])
        monkeypatch.setattr(hops, "chains_from_terminals", lambda *_: chains or [])
        case = make_case(office() if rows is None else rows)
        return build_hop_graph(case, spikes=findings(*spikes), found_beacons=findings(), relays=relays(*listed))

    return make


def test_everybody_has_a_role(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """Terminals, the proxy, relays, what lies behind them; servers that are no relay are not there."""
    graph = build(chains=[chain()])

    roles: dict[str, str] = {node: data["role"] for node, data in graph.nodes(data=True)}
    assert {roles.pop(f"10.0.0.{n}") for n in range(1, 8)} == {"terminal"}
    assert roles == {PROXY: "proxy", RELAY: "relay", SECOND_RELAY: "upstream"}
    assert graph.graph["left_out"] == 2


def test_tiers_are_never_upgraded(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """A pair that records name and that a chain matches has an edge of each tier, with the figures of each."""
    graph = build(chains=[chain()])

    assert set(graph[RELAY][SECOND_RELAY]) == {"observed", "matched"}
    observed, matched = (graph.edges[RELAY, SECOND_RELAY, tier] for tier in ("observed", "matched"))
    assert (observed["tier"], matched["tier"]) == ("observed", "matched")
    assert (observed["bytes_out"], observed["bytes_kind"], observed["p_value"]) == (1800, "ip", None)
    assert (matched["bytes_out"], matched["bytes_in"], matched["bytes_kind"]) == (300, 15, "payload")
    assert (matched["p_value"], matched["q_value"], observed["q_value"]) == (2e-4, 5e-3, None)
    assert matched["connections"] == 3
    assert GATEWAY in matched["reason"]


def test_evidence_can_be_looked_up(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """Every edge names its files with their SHA-256 and the records in them."""
    graph = build(chains=[chain()])

    for _, _, data in graph.edges(data=True):
        assert data["evidence"]
        assert {entry["sha256"] for entry in data["evidence"]} == {f"hash of {e['source']}" for e in data["evidence"]}
    [entry] = graph.edges[RELAY, SECOND_RELAY, "matched"]["evidence"]
    assert entry == {"source": "relay.pcap", "sha256": "hash of relay.pcap", "records": "15-20", "rows": 6}
    [entry] = graph.edges["10.0.0.2", RELAY, "observed"]["evidence"]
    assert (entry["records"], entry["rows"]) == ("3", 1)


def test_a_proxy_is_seen_through(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """Requests are their terminal's; the proxy is named in ``via`` and has edges from its clients without bytes."""
    rows = [*office(), request(1, OTHER, 10, start=START + 60 * SECOND)]
    graph = build(rows, listed=(RELAY, OTHER))

    assert graph.edges["10.0.0.1", RELAY, "observed"]["via"] == [PROXY]
    assert not list(graph.successors(PROXY))
    carried = graph.edges["10.0.0.1", PROXY, "observed"]
    assert (carried["bytes_out"], carried["bytes_in"]) == (None, None)
    assert carried["connections"] == 3
    assert carried["end"] == graph.edges["10.0.0.1", OTHER, "observed"]["end"]
    assert len(carried["evidence"]) == 2
    assert len(graph.edges["10.0.0.1", RELAY, "observed"]["evidence"]) == 1


def test_what_was_not_observed_is_none(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """A direction that no record counts is None, never 0, on edges and nodes."""
    graph = build([request(n, RELAY, None, bytes_in=7) for n in range(1, 4)])

    edge = graph.edges["10.0.0.1", RELAY, "observed"]
    assert (edge["bytes_out"], edge["bytes_in"]) == (None, 7)
    assert (graph.nodes[RELAY]["bytes_out"], graph.nodes[RELAY]["bytes_in"]) == (None, 21)


def test_vantages_and_kinds_are_not_added(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """One upload that log and sensor both saw counts once, as where most was seen; a node's bytes are of one kind."""
    rows = [request(1, RELAY, 1000), request(1, RELAY, 500, start=START + 9 * SECOND)]
    rows += [row | {"bytes_out": 1600, "bytes_kind": "ip", "source": "t.pcap", "vantage": "t"} for row in rows[:1]]
    rows += [request(2, RELAY, 900)]

    graph = build(rows)

    edge = graph.edges["10.0.0.1", RELAY, "observed"]
    assert (edge["bytes_out"], edge["bytes_kind"], edge["connections"]) == (1600, "ip", 1)
    assert [entry["source"] for entry in edge["evidence"]] == ["access.log", "t.pcap"]
    assert graph.nodes[RELAY]["bytes_out"] == 1600


def test_a_servers_bytes_are_those_sent_to_it(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """What a relay passes on is not added to what it received; a terminal's bytes are its own."""
    graph = build(chains=[chain()])

    assert graph.nodes[RELAY]["bytes_out"] == 100 * sum(range(1, 8))
    assert graph.nodes[SECOND_RELAY]["bytes_out"] == 1800
    assert graph.nodes["10.0.0.7"]["bytes_out"] == 700


def test_the_gateways_own_edges_are_left_out(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """A gateway's connections say again what the terminals' own do; where there are none, they are all there is."""
    assert GATEWAY not in build()
    rows = [request(n, f"198.18.0.{server}", 100) for n in range(1, 8) for server in range(9)]
    uplink = {"src": GATEWAY, "via": None, "source": "conn.log", "vantage": "uplink"}
    rows += [row | uplink for row in [*rows[:9], request(1, RELAY, 100)]]

    graph = build(rows)

    assert list(graph.predecessors(RELAY)) == [GATEWAY]
    assert graph.nodes[GATEWAY]["role"] == "proxy"


def test_a_chain_keeps_where_it_starts(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """A chain whose terminal is not known starts at the gateway; one from outside the office at a stranger."""
    graph = build(chains=[chain(first=GATEWAY)])
    assert graph.has_edge(GATEWAY, RELAY, "observed")

    rows = [*office(), packets("198.18.9.9", RELAY, 900, 5)]
    graph = build(rows, chains=[chain(first="198.18.9.9")])
    assert graph.has_edge("198.18.9.9", RELAY, "observed")
    assert graph.nodes["198.18.9.9"]["role"] == "other"


def test_strangers_at_a_relay_are_not_drawn(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """A capture at a hacked site shows its ordinary visitors, too: they are no part of the graph."""
    assert "198.18.9.9" not in build([*office(), packets("198.18.9.9", RELAY, 900, 5)])


def test_findings_are_written_on_nodes_and_edges(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """Rank, score, names, reasons and spikes stand where they belong; a spike without an edge changes nothing."""
    graph = build(chains=[chain()], spikes=(("10.0.0.3", RELAY), ("10.0.0.99", RELAY)))

    node = graph.nodes[RELAY]
    assert (node["rank"], node["score"], node["spikes"]) == (1, 8.0, 1)
    assert node["names"] == ["shop.example", "www.shop.example"]
    assert node["reasons"] == [
        "1 volume spike (+6.0)",
        "1 of 7 terminals meet it (+2.8)",
        f"what came in from 10.0.0.1 went on to {SECOND_RELAY} (3 sessions, p = 0.0002)",
    ]
    assert graph.nodes[SECOND_RELAY]["rank"] is None
    assert [(a, b) for a, b, data in graph.edges(data=True) if data["spike"]] == [("10.0.0.3", RELAY)]
    assert graph.edges["10.0.0.3", RELAY, "observed"]["spike_bytes"] == 5_000_000


def test_every_role_has_its_reason(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """Of a terminal and the end of a chain as well as of a relay; nothing says that the end is a relay."""
    graph = build(chains=[chain()], listed=(RELAY,))
    reasons = {node: data["reasons"] for node, data in graph.nodes(data=True) if data["role"] != "other"}

    assert all(reasons.values())
    assert graph.nodes[SECOND_RELAY]["role"] == "upstream"
    assert reasons[SECOND_RELAY] == [
        f"traffic went on to it from {RELAY}; no record shows what it did with it: another relay, or the operators' own"
    ]


def test_a_listed_server_without_links_is_no_node(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """A ranked server that no record of the case links to anybody is not invented."""
    assert "192.0.2.99" not in build(listed=(RELAY, "192.0.2.99"))


def test_chains_are_told(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """The graph tells its chains with hops, sessions, p-value and reason, in the right number."""
    graph = build(chains=[chain(), chain("10.0.0.2", sessions=1)])

    assert graph.graph["chains"] == [
        {
            "hops": ["10.0.0.1", RELAY, SECOND_RELAY],
            "p_value": 2e-4,
            "q_value": 5e-3,
            "sessions": 3,
            "reason": f"3 sessions match in timing and volume at {RELAY}",
        },
        {
            "hops": ["10.0.0.2", RELAY, SECOND_RELAY],
            "p_value": 2e-4,
            "q_value": 5e-3,
            "sessions": 1,
            "reason": f"1 session matches in timing and volume at {RELAY}",
        },
    ]
    assert any("(1 session," in reason for reason in graph.nodes[RELAY]["reasons"])


@pytest.mark.parametrize(
    ("chains", "listed", "statement"),
    [
        ([], (), "no relay observed"),
        ([], (RELAY,), "no relay observed passing traffic on; 1 relay candidate"),
        ([], (RELAY, OTHER), "no relay observed passing traffic on; 2 relay candidates"),
        ([chain()], (RELAY,), "at least 1 relay observed passing traffic on"),
        ([chain()], (RELAY, OTHER), "at least 1 relay observed passing traffic on; 1 other relay candidate"),
    ],
)
def test_the_statement_says_no_more_than_is_known(
    build: Callable[..., nx.MultiDiGraph[str]], chains: list[Chain], listed: tuple[str, ...], statement: str
) -> None:
    """Relays that were seen passing traffic on are told apart from servers that a ranking lists."""
    assert build(chains=chains, listed=listed).graph["statement"] == statement


def test_an_upstream_known_from_matches_alone(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """Where the operator opened the way on, no record leads to him: the matched edge is all there is."""
    into, tunnel = connection(GATEWAY, RELAY, 1000, 15), connection(OPERATOR, RELAY, 3000, 30)
    way = Chain(("10.0.0.1", RELAY, OPERATOR), ((Match(RELAY, into, tunnel, 1.0, 1e-4),),))

    graph = build([*office(), packets(OPERATOR, RELAY, 3000, 50)], chains=[way])

    assert graph.nodes[OPERATOR]["role"] == "upstream"
    assert set(graph[RELAY][OPERATOR]) == {"matched"}
    assert graph.has_edge(OPERATOR, RELAY, "observed")


def test_an_empty_case_has_an_empty_graph(make_case: Callable[..., Case]) -> None:
    """A case without rows gives a graph without nodes that says so; all findings are made on the way."""
    graph = build_hop_graph(make_case([]))

    assert len(graph) == 0
    assert graph.graph["statement"] == "no relay observed"
    assert (graph.graph["start"], graph.graph["end"], graph.graph["chains"], graph.graph["left_out"]) == (
        None,
        None,
        [],
        0,
    )


def test_two_builds_are_equal(build: Callable[..., nx.MultiDiGraph[str]]) -> None:
    """The same evidence, in whatever order its rows came, gives the same nodes and edges in the same order."""

    def content(graph: nx.MultiDiGraph[str]) -> tuple[Any, ...]:
        return list(graph.nodes(data=True)), list(graph.edges(keys=True, data=True)), graph.graph

    first, second = (content(build(chains=[chain()], spikes=(("10.0.0.3", RELAY),))) for _ in range(2))

    assert first == second
    turned = build(office()[::-1], chains=[chain()])
    assert list(turned.nodes) == [node for node, _ in first[0]]
    assert list(turned.edges(keys=True)) == [edge[:3] for edge in first[1]]
