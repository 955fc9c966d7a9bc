"""What a hop graph states as a whole: its result in one sentence, its chains, its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx

    from forensics.case import Case
    from forensics.chains import Chain

__all__ = ["say_why", "state_result"]

WHY = {
    "terminal": "taken for a terminal of the office: an address of its own, or a client of its proxy",
    "proxy": "connections of terminals went through it",
}
"""Why a node has its role, where nothing else is said of it."""

Row = dict[str, Any]


def state_result(graph: nx.MultiDiGraph[str], case: Case, chains: list[Chain]) -> None:
    """Give the graph its title, its statement, its chains, its time and the number of servers that it leaves out.

    Parameters
    ----------
    graph
        The hop graph; edges that are added later on are no part of its result.
    case
        Its case.
    chains
        The chains of the case.
    """
    times = [(data["start"], data["end"]) for _, _, data in graph.edges(data=True)]
    count = sum(data["role"] == "relay" for _, data in graph.nodes(data=True))
    servers = case.sql("SELECT count(DISTINCT server) AS n FROM traffic").to_arrow().column("n")[0].as_py()
    graph.graph.update(
        title=case.title,
        timezone=str(case.timezone),
        start=min((start for start, _ in times), default=None),
        end=max((end for _, end in times), default=None),
        chains=[_way(chain) for chain in chains],
        statement=_statement(graph, chains),
        left_out=max(servers - count, 0),
    )


def say_why(graph: nx.MultiDiGraph[str]) -> None:
    """Give every terminal, proxy and upstream the reason of its role.

    Parameters
    ----------
    graph
        The hop graph; relays have their reasons already.
    """
    for node, data in graph.nodes(data=True):
        role = data["role"]
        if role == "upstream":
            before = sorted({src for src, _, tier in graph.in_edges(node, keys=True) if tier == "matched"})
            way = f"traffic went on to it from {', '.join(before)}"
            data["reasons"] = [f"{way}; no record shows what it did with it: another relay, or the operators' own"]
        elif role in WHY and not data["reasons"]:
            data["reasons"] = [WHY[role]]


def _statement(graph: nx.MultiDiGraph[str], chains: list[Chain]) -> str:
    """Return the main result: relays whose passing on is on record, apart from servers that are only candidates."""
    passing = len({relay for chain in chains for relay in chain.relays})
    alike = sum(data["role"] == "relay" for _, data in graph.nodes(data=True)) - passing
    shown = f"at least {passing} relay{'s' * (passing != 1)} observed passing traffic on"
    look = f"{alike} {'other ' if passing else ''}relay candidate{'s' if alike != 1 else ''}"
    if passing:
        return f"{shown}; {look}" if alike else shown
    return f"no relay observed passing traffic on; {look}" if alike else "no relay observed"


def _way(chain: Chain) -> Row:
    count = len(chain.sessions)
    matching = "1 session matches" if count == 1 else f"{count} sessions match"
    return {
        "hops": list(chain.hops),
        "p_value": chain.p_value,
        "q_value": chain.q_value,
        "sessions": count,
        "reason": f"{matching} in timing and volume at {', '.join(chain.relays)}",
    }
