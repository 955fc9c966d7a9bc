"""Parts of a hop graph: by time, tier and role, and as it was known at a moment.

Example::

    at_first = fx.graph_at(graph, datetime(2015, 5, 8, 12, tzinfo=UTC))
    sure = fx.filter_graph(graph, tiers=["observed"])
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    import networkx as nx

__all__ = ["ROLES", "TIERS", "filter_graph", "graph_at"]

TIERS = ("observed", "shared", "matched", "asserted")
ROLES = ("terminal", "proxy", "relay", "upstream", "other")


def filter_graph(
    graph: nx.MultiDiGraph[str],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    tiers: Collection[str] | None = None,
    roles: Collection[str] | None = None,
) -> nx.MultiDiGraph[str]:
    """Return the part of a hop graph that is of some time, some tiers and some roles.

    An edge stays whose time overlaps the one asked for, whose tier is asked for, and both of whose ends stay. A node
    stays whose role is asked for and which an edge of that time and tier touches.

    Parameters
    ----------
    graph
        The hop graph; it stays as it is.
    start, end
        The time asked for, with its zone; None where it has no such bound. Edges without a time (assertions that give
        none) are left out where there is one.
    tiers
        Tiers asked for: ``observed``, ``shared``, ``matched``, ``asserted``. None for all.
    roles
        Roles asked for: ``terminal``, ``proxy``, ``relay``, ``upstream``, ``other``. None for all.

    Returns
    -------
    networkx.MultiDiGraph
        Nodes and edges with what is known of them in the whole evidence. ``filtered`` of the graph says what was asked
        for and how many nodes and edges were left out, and ``statement`` says that it is of the whole evidence.

    Raises
    ------
    ValueError
        A tier or a role does not exist; a time has no zone.
    """
    _check(tiers, TIERS, "tier")
    _check(roles, ROLES, "role")
    _check_times(start, end)
    wanted = [
        (tail, head, key)
        for tail, head, key, data in graph.edges(keys=True, data=True)
        if (tiers is None or data["tier"] in tiers) and _overlaps(data, start, end)
    ]
    narrowed = tiers is not None or start is not None or end is not None
    touched = {node for tail, head, _ in wanted for node in (tail, head)} if narrowed else set(graph)
    nodes = {node for node in touched if roles is None or graph.nodes[node]["role"] in roles}
    part = _part(graph, nodes, [edge for edge in wanted if edge[0] in nodes and edge[1] in nodes])
    asked = {"start": start, "end": end, "tiers": _listed(tiers, TIERS), "roles": _listed(roles, ROLES)}
    _say(part, graph, {key: value for key, value in asked.items() if value is not None})
    return part


def graph_at(graph: nx.MultiDiGraph[str], time: datetime) -> nx.MultiDiGraph[str]:
    """Return the hop graph as far as it had grown at a moment: what had begun until then.

    Parameters
    ----------
    graph
        The hop graph; it stays as it is.
    time
        The moment, with its zone.

    Returns
    -------
    networkx.MultiDiGraph
        Edges that had begun, and their nodes. An edge that went on after the moment has ``goes_on``; its ``end``,
        ``connections``, ``spike`` and bytes are None, since they were counted over its whole time and not until then;
        so are ``last_seen`` and the bytes of nodes that were seen later, too. Roles, ranks and reasons are those of
        the whole evidence: hindsight, not what was known then. Edges without a time are left out.

    Raises
    ------
    ValueError
        The time has no zone.
    """
    _check_times(time, None)
    begun = [
        (tail, head, key)
        for tail, head, key, data in graph.edges(keys=True, data=True)
        if data["start"] is not None and data["start"] <= time
    ]
    part = _part(graph, {node for tail, head, _ in begun for node in (tail, head)}, begun)
    for _, _, data in part.edges(data=True):
        if data["end"] is None or data["end"] > time:
            data.update(end=None, bytes_out=None, bytes_in=None, connections=None, spike=None, goes_on=True)
            for counted in ("spike_bytes", "seen_by", "differences"):
                data.pop(counted, None)
    for node, data in part.nodes(data=True):
        last = graph.nodes[node]["last_seen"]
        if last is None or last > time:
            data.update(last_seen=None, bytes_out=None, bytes_in=None)
    _say(part, graph, {"as_of": time})
    return part


def _part(graph: nx.MultiDiGraph[str], nodes: set[str], edges: list[tuple[str, str, str]]) -> nx.MultiDiGraph[str]:
    """Return nodes and edges of a graph in its order, with copies of what is known of them."""
    part = graph.__class__()
    part.graph.update(graph.graph)
    part.add_nodes_from((node, dict(data)) for node, data in graph.nodes(data=True) if node in nodes)
    for tail, head, key in edges:
        part.add_edge(tail, head, key=key, **graph.edges[tail, head, key])
    return part


def _overlaps(data: dict[str, Any], start: datetime | None, end: datetime | None) -> bool:
    if start is None and end is None:
        return True
    first, last = data["start"], data["end"]
    if first is None or last is None:
        return False
    return (start is None or last >= start) and (end is None or first <= end)


def _say(part: nx.MultiDiGraph[str], whole: nx.MultiDiGraph[str], asked: dict[str, Any]) -> None:
    """Have the part tell that it is one, and keep the chains of which it has every hop."""
    left = {"nodes": len(whole) - len(part), "edges": whole.number_of_edges() - part.number_of_edges()}
    edges = [(data["start"], data["end"]) for _, _, data in part.edges(data=True)]
    text = ", ".join(f"{key.replace('_', ' ')} {_shown(value)}" for key, value in asked.items()) or "everything"
    statement = whole.graph.get("statement", "")
    part.graph.update(
        filtered=asked | {f"{kind}_left_out": count for kind, count in left.items()},
        statement=f"{statement} (in the whole evidence; shown here: {text})",
        chains=[
            chain
            for chain in whole.graph.get("chains", [])
            if all(part.has_edge(*pair) or part.has_edge(*pair[::-1]) for pair in pairwise(chain["hops"]))
        ],
        start=min((start for start, _ in edges if start is not None), default=None),
        end=asked.get("as_of") or max((end for _, end in edges if end is not None), default=None),
    )


def _shown(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _listed(chosen: Collection[str] | None, order: tuple[str, ...]) -> list[str] | None:
    return None if chosen is None else [name for name in order if name in chosen]


def _check(chosen: Collection[str] | None, known: tuple[str, ...], what: str) -> None:
    if isinstance(chosen, str):
        raise ValueError(f"{what}s are a list: [{chosen!r}]")  # noqa: TRY004 - as for a wrong name in the list
    if unknown := set(chosen or ()) - set(known):
        raise ValueError(f"no such {what}: {', '.join(sorted(unknown))}; choose of {', '.join(known)}")


def _check_times(start: datetime | None, end: datetime | None) -> None:
    if any(time is not None and time.tzinfo is None for time in (start, end)):
        raise ValueError("a time without a zone: give one, such as datetime(2015, 5, 8, tzinfo=UTC)")
    if start is not None and end is not None and end < start:
        raise ValueError("the end lies before the start")
