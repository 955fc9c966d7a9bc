"""The hop graph: terminals, proxies, relays and what lies behind them, with the evidence on every edge.

Edges carry a tier that says how they are known, and is never upgraded:

``observed``
    a record names both ends;
``shared``
    so many infected terminals and so few others met a server that it may belong to the operation
    (`forensics.graphs.shared`);
``matched``
    what came in to a relay on one connection went out on another: a statement about timing and volume, with its
    p-value (`forensics.chains`);
``asserted``
    the analyst says so (`forensics.graphs.asserted`).

Example::

    graph = fx.build_hop_graph(case)
    [n for n, role in graph.nodes(data="role") if role == "relay"]

References
----------
.. [1] Y. Zhang, V. Paxson, "Detecting Stepping Stones", USENIX Security 2000: the hop and the chain.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from forensics.chains import find_chains
from forensics.clocks import find_clocks
from forensics.detectors import beacons, volume_spikes
from forensics.engines import query_text
from forensics.evidence import record_ranges
from forensics.gateways import find_passages
from forensics.graphs.asserted import add_asserted
from forensics.graphs.geoip import add_places
from forensics.graphs.names import add_names, count_findings
from forensics.graphs.result import say_why, state_result
from forensics.graphs.shared import infected_terminals, shared_servers
from forensics.merging import EPOCH, by_reference, merge, to_reference, total
from forensics.origins import chains_from_terminals
from forensics.pivots import find_pivots
from forensics.relays import judged, rank_relays
from forensics.roles import Roles, find_roles

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    import networkx as nx
    import pandas as pd

    from forensics.case import Case
    from forensics.chains import Chain, Match
    from forensics.clocks import Clocks

__all__ = ["build_hop_graph"]

NAMED = pa.schema([("server", pa.string())])

Row = dict[str, Any]


def build_hop_graph(
    case: Case,
    *,
    spikes: pd.DataFrame | None = None,
    found_beacons: pd.DataFrame | None = None,
    relays: pd.DataFrame | None = None,
    findings: Mapping[str, pd.DataFrame] | None = None,
    asserted: str | os.PathLike[str] | None = None,
    geoip: Iterable[str | os.PathLike[str]] = (),
    shared_by: int = 3,
) -> nx.MultiDiGraph[str]:
    """Return the hop graph of a case.

    Parameters
    ----------
    case
        The case.
    spikes
        Findings of `forensics.find_spikes`, where they are there already.
    found_beacons
        Findings of `forensics.find_beacons`, where they are there already.
    relays
        Rows of `forensics.rank_relays`, where they are there already. Those without a verdict have no role for it.
    findings
        Findings of other detectors, by the detector's name.
    asserted
        CSV file of edges on the analyst's word: ``src``, ``dst``, ``reason`` and, where known, ``start``, ``end``.
    geoip
        Files in MaxMind's format (``.mmdb``) with countries or networks of addresses.
    shared_by
        Infected terminals that make a server ``shared``, at least.

    Returns
    -------
    networkx.MultiDiGraph
        Nodes are addresses (names where no address is known) with ``role`` (``terminal``, ``proxy``, ``relay``,
        ``upstream``, ``other``), ``names``, ``first_seen``, ``last_seen``, ``bytes_out``, ``bytes_in`` (of a server
        what others sent to it and got from it, of a client what it sent and got) [B], ``reasons``, ``rank``, ``score``,
        ``spikes``, ``findings`` (how many of each detector), ``names_seen`` (its names over time), ``country``,
        ``as_number``, ``as_name``, ``passes_on`` where a chain goes through, and ``asserted`` where only an assertion
        names it. Edges, keyed by tier, have ``tier``, ``start``, ``end`` (by the reference clock), ``bytes_out``,
        ``bytes_in`` [B] (None where not observed), ``bytes_kind``, ``connections``, ``via``, ``spike`` (and, where
        true, ``spike_bytes``: what the spikes sent [B]), ``reason``, ``p_value``, ``q_value`` and ``evidence``,
        observed and shared ones also ``counted_at``, ``seen_by`` and ``differences`` (`forensics.merging`). The graph
        itself has ``title``, ``timezone``, ``start``, ``end``, ``chains``, ``statement``, ``geoip``, ``left_out``, the
        number of other servers, ``gateways``: how many connections of each could be given to terminals
        (`forensics.gateways`), and ``pivots``: ways on from a terminal into the office (`forensics.pivots`), each with
        ``hops``, ``services`` and ``reason``.

    Raises
    ------
    EvidenceError
        A file of assertions or of countries is not as it should be; the message says where.
    MissingToolError
        A file of countries was given, and the package that reads it is not installed.
    """
    import networkx as nx

    spikes = volume_spikes.detect(case) if spikes is None else spikes
    found_beacons = beacons.detect(case) if found_beacons is None else found_beacons
    if relays is None:
        relays = rank_relays(case, spikes=spikes, found_beacons=found_beacons)
    roles = find_roles(case)
    chains = chains_from_terminals(case, find_chains(case), roles)
    listed = set(judged(relays)["dst"]) | {hop for chain in chains for hop in chain.relays}
    ends = {chain.hops[-1] for chain in chains} - listed
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    starts = {chain.hops[:2] for chain in chains}
    _add_observed(graph, case, roles, chains, listed)
    found = {"volume_spikes": spikes, "beacons": found_beacons, **(findings or {})}
    infected = infected_terminals(roles, listed, found.values()) | {start for start, _ in starts} & roles.terminals
    _add_shared(graph, case, roles, infected, shared_servers(case, roles, infected, listed | ends, shared_by))
    _add_chains(graph, case, chains)
    _add_proxies(graph, roles)
    _describe(graph, roles, listed, ends)
    _add_findings(graph, spikes, relays, chains)
    say_why(graph)
    state_result(graph, case, chains)
    count_findings(graph, found)
    if asserted is not None:
        add_asserted(graph, asserted, case.timezone)
    add_names(graph, case)
    add_places(graph, geoip)
    return graph


def _links(case: Case, servers: set[str]) -> list[Row]:
    named = pa.Table.from_pylist([{"server": server} for server in sorted(servers)], NAMED)
    rows: list[Row] = case.sql(query_text("links"), named=named).to_arrow().to_pylist()
    return rows


def _with_evidence(case: Case, rows: list[Row], clocks: Clocks) -> list[Row]:
    """Return rows with the records they stand on, and by the reference clock."""
    hashes = _hashes(case)
    for row in rows:
        row["evidence"] = _cited(row["source"], hashes, row["records"]) | {"rows": row["connections"]}
    return by_reference(rows, clocks)


def _hashes(case: Case) -> dict[str, str]:
    return {row["source"]: row["sha256"] for row in case.sources.to_arrow().to_pylist()}


def _cited(source: str, hashes: dict[str, str], records: list[int]) -> Row:
    return {
        "source": source,
        "sha256": hashes[source],
        "records": record_ranges(records),
        "rows": len(records),
    }


def _time(source: str, microseconds: int, clocks: Clocks) -> datetime:
    return to_reference(clocks, source, EPOCH + timedelta(microseconds=microseconds))


def _add_observed(graph: nx.MultiDiGraph[str], case: Case, roles: Roles, chains: list[Chain], listed: set[str]) -> None:
    """Add what records show: of the servers, of gateways before them, and of where terminals went on to inside."""
    clocks = find_clocks(case)
    servers = listed | {chain.hops[-1] for chain in chains}
    passages = find_passages(case, servers, roles, clocks)
    pivots = find_pivots(case, listed, roles, clocks)
    inner = {pivot.hops[1:] for pivot in pivots}
    within = [row for row in _links(case, {host for _, host in inner}) if (row["src"], row["server"]) in inner]
    links = _with_evidence(case, [*_links(case, servers), *within, *passages.rows], clocks)
    _add_links(graph, links, roles, servers, {chain.hops[:2] for chain in chains})
    told = [{"hops": list(pivot.hops), "services": list(pivot.services), "reason": pivot.reason} for pivot in pivots]
    graph.graph.update(gateways=passages.counts, pivots=told)


def _add_links(
    graph: nx.MultiDiGraph[str], links: list[Row], roles: Roles, servers: set[str], starts: set[tuple[str, ...]]
) -> None:
    """Add one observed edge per pair.

    A gateway's own connections stay out where the terminals' are known, unless a chain starts with them.
    """
    pairs: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for link in links:
        pair = (link["src"], link["server"])
        if link["src"] in servers or roles.is_inside(link["src"]) or pair in starts:
            pairs[pair].append(link)
    seen_through = {server for src, server in pairs if src in roles.terminals}
    for (src, server), rows in sorted(pairs.items()):
        if src not in roles.gateways or server not in seen_through or (src, server) in starts:
            _add_edge(graph, src, server, rows, roles)


def _add_shared(
    graph: nx.MultiDiGraph[str], case: Case, roles: Roles, infected: set[str], shared: Mapping[str, str]
) -> None:
    """Add an edge from every infected terminal to every server that they share."""
    pairs: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    links = _links(case, set(shared)) if shared else []
    for link in _with_evidence(case, links, find_clocks(case)):
        if link["src"] in infected:
            pairs[link["src"], link["server"]].append(link)
    for (src, server), rows in sorted(pairs.items()):
        _add_edge(graph, src, server, rows, roles)
        edge = graph.edges[src, server, "observed"]
        graph.remove_edge(src, server, "observed")
        graph.add_edge(src, server, key="shared", **(edge | {"tier": "shared", "reason": shared[server]}))


def _add_edge(graph: nx.MultiDiGraph[str], src: str, server: str, rows: list[Row], roles: Roles) -> None:
    """Add the edge of one pair; its figures are never a sum over what several places saw of the same."""
    named = [row | {"via": row["via"] and str(roles.proxies.get(row["via"], row["via"]))} for row in rows]
    merged = merge(named)
    through = {row["via"] for row in named if row["via"]} or {row["gateway"] for row in named if row.get("gateway")}
    places = ", ".join(merged["counted_at"])
    graph.add_edge(
        src,
        server,
        key="observed",
        tier="observed",
        **merged,
        via=sorted(through),
        spike=False,
        reason=f"{merged['connections']:,} connections or requests recorded at {places}",
        p_value=None,
        q_value=None,
        evidence=[row["evidence"] for row in rows],
    )
    names = {str(row["name"]) for row in rows if row["name"]} - {server}
    graph.nodes[server].setdefault("names", []).extend(sorted(names))


def _most(totals: Mapping[tuple[str, str], Row]) -> tuple[str, str]:
    """Return the place and kind with the largest totals: what two places saw of one thing is never added up."""
    return max(totals, key=lambda key: (totals[key]["bytes_out"] or 0, totals[key]["bytes_in"] or 0, key))


def _add_chains(graph: nx.MultiDiGraph[str], case: Case, chains: list[Chain]) -> None:
    """Add a matched edge for every way on out of a relay."""
    ways: defaultdict[tuple[str, str], list[Match]] = defaultdict(list)
    for chain in chains:
        for session in chain.sessions:
            for match in session:
                ways[match.host, match.onward].append(match)
    hashes, clocks = _hashes(case), find_clocks(case)
    for (host, onward), matches in sorted(ways.items()):
        records: defaultdict[str, set[int]] = defaultdict(set)
        for match in matches:
            records[match.inbound.source] |= {match.inbound.record, match.outbound.record}
        inward = ", ".join(sorted({match.inward for match in matches}))
        graph.add_edge(
            host,
            onward,
            key="matched",
            tier="matched",
            start=min(_time(match.inbound.source, match.inbound.start, clocks) for match in matches),
            end=max(_time(match.inbound.source, match.inbound.end, clocks) for match in matches),
            bytes_out=sum(int(match.inbound.received(host).sum()) for match in matches),
            bytes_in=sum(int(match.inbound.sent(host).sum()) for match in matches),
            bytes_kind="payload",
            connections=len(matches),
            via=[],
            spike=False,
            reason=f"carries on what came in from {inward}, by timing and volume of {len(matches)} connections",
            p_value=min(match.p_value for match in matches),
            q_value=min((match.q_value for match in matches if match.q_value is not None), default=None),
            evidence=[_cited(source, hashes, sorted(numbers)) for source, numbers in sorted(records.items())],
        )


def _add_proxies(graph: nx.MultiDiGraph[str], roles: Roles) -> None:
    """Add the proxies that edges went through, each with an edge from the terminals that it served."""
    for src, _, data in list(graph.edges(data=True)):
        if data["tier"] != "observed":
            continue
        for proxy in data["via"]:
            before = graph.get_edge_data(src, proxy, "observed")
            if before is None:
                kept = {key: data[key] for key in ("tier", "start", "end", "bytes_kind", "p_value", "q_value")}
                reason = f"its requests to the relays went through {proxy}"
                graph.add_edge(src, proxy, key="observed", **kept, **_carried(data), via=[], spike=False, reason=reason)
            else:
                before["start"], before["end"] = min(before["start"], data["start"]), max(before["end"], data["end"])
                before["connections"] += data["connections"]
                before["evidence"] += data["evidence"]
    for proxy in set(roles.proxies.values()) & set(graph):
        graph.nodes[proxy]["role"] = "proxy"


def _carried(data: Row) -> Row:
    """Return what the edge to a proxy says of its volume: nothing, since it carried other traffic too."""
    return {"bytes_out": None, "bytes_in": None, "connections": data["connections"], "evidence": [*data["evidence"]]}


def _describe(graph: nx.MultiDiGraph[str], roles: Roles, relays: set[str], ends: set[str]) -> None:
    """Give every node its role and its figures."""
    for node, data in graph.nodes(data=True):
        edges = [e for _, _, e in (*graph.in_edges(node, data=True), *graph.out_edges(node, data=True))]
        default = "proxy" if node in roles.gateways else "terminal" if roles.is_inside(node) else "other"
        role = "relay" if node in relays else "upstream" if node in ends else default
        data.setdefault("role", role)
        data["names"] = sorted(set(data.get("names", [])))
        data["first_seen"] = min(edge["start"] for edge in edges)
        data["last_seen"] = max(edge["end"] for edge in edges)
        data.update(_volume(graph, node, server=node in relays or node in ends))
        data.update(reasons=[], rank=None, score=None, spikes=0)


def _volume(graph: nx.MultiDiGraph[str], node: str, *, server: bool) -> Row:
    """Return a node's bytes: of a server those sent to it, of a client its own; observed ones before others."""
    toward = [data for _, _, data in graph.in_edges(node, data=True)]
    away = [data for _, _, data in graph.out_edges(node, data=True)]
    first, second = (toward, away) if server else (away, toward)
    groups = [
        [e for e in edges if e["tier"] == tier]
        for tier in ("observed", "shared", "matched")
        for edges in (first, second)
    ]
    group = next(group for group in groups if group)
    kinds = sorted({edge["bytes_kind"] for edge in group})
    totals = {("", kind): total(edge for edge in group if edge["bytes_kind"] == kind) for kind in kinds}
    return totals[_most(totals)]


def _add_findings(graph: nx.MultiDiGraph[str], spikes: pd.DataFrame, relays: pd.DataFrame, chains: list[Chain]) -> None:
    for row in relays.to_dict("records"):
        if row["dst"] in graph:
            node = graph.nodes[row["dst"]]
            node["rank"], node["score"] = int(row["rank"]), float(row["score"])
            node["reasons"] = row["reasons"].split("; ")
            node["names"] = sorted(set(node["names"]) | {name for name in row["names"].split("; ") if name})
    for chain in chains:
        for before, relay, after in zip(chain.hops, chain.relays, chain.hops[2:], strict=False):
            node = graph.nodes[relay]
            node["passes_on"] = True
            count = len(chain.sessions)
            sessions = f"{count} session{'s' * (count != 1)}"
            text = f"what came in from {before} went on to {after} ({sessions}, p = {chain.p_value:.2g})"
            node["reasons"] = [*node["reasons"], *({text} - set(node["reasons"]))]
    sent = spikes[volume_spikes.is_upload(spikes)]
    for src, dst, value in zip(sent["src"], sent["dst"], sent["value"], strict=True):
        if graph.has_edge(src, dst, "observed"):
            edge = graph.edges[src, dst, "observed"]
            edge |= {"spike": True, "spike_bytes": edge.get("spike_bytes", 0) + int(value)}
            graph.nodes[src]["spikes"] += 1
            graph.nodes[dst]["spikes"] += 1
