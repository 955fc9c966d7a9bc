"""From the hop graph to what is drawn: one card for each node, one line for each connection.

Example: ``build_plan(graph).cards[0].lines`` is what stands on the first card.

Two things differ from the graph. A proxy that connections merely passed becomes a tag on them (``P1``): as a node it
would be a hub that hides who talked to whom. And a ``matched`` or ``shared`` edge beside an ``observed`` one between
the same two nodes becomes one line, since it is one connection of which two things are known.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from forensics.drawing.style import ROLES, TIERS, format_bytes, format_p, shorten
from forensics.escaping import terminal_safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from networkx import MultiDiGraph

    from forensics.words import Words

__all__ = ["Card", "Line", "Plan", "build_plan", "caption", "last_told", "role_of", "said", "seen", "spike_text"]

_NAME_LENGTH = 30
_CHAINS_ON_A_LINE = 3
_SAME_LINE = frozenset({"matched", "shared"})  # what is said of a connection that is on record too
_ROLE_ORDER = {role: place for place, role in enumerate(ROLES)}
_TIER_ORDER = {tier: place for place, tier in enumerate(TIERS)}


@dataclass(frozen=True, slots=True)
class Card:
    """One node as it is drawn.

    Parameters
    ----------
    node
        The node of the graph.
    role
        A key of `ROLES`.
    lines
        What stands on it: address, name, role.
    spikes
        Number of spike findings that concern it.
    """

    node: str
    role: str
    lines: tuple[str, ...]
    spikes: int


@dataclass(frozen=True, slots=True)
class Line:
    """One edge as it is drawn, or an observed one together with what else is known of it.

    Parameters
    ----------
    tail, head
        Nodes of the graph.
    tiers
        Keys of `TIERS`: one, or ``observed`` and what else is known of the same connection.
    edges
        The edges' attributes, in the order of `tiers`.
    label
        What stands beside it.
    chains
        Numbers of the chains it belongs to, from 1.
    members
        The lines that it stands for, where it stands for several.
    flag
        What stands beside the flag of its spikes, in another language than English.
    """

    tail: str
    head: str
    tiers: tuple[str, ...]
    edges: tuple[Mapping[str, Any], ...]
    label: tuple[str, ...]
    chains: tuple[int, ...]
    members: tuple[Line, ...] = ()
    flag: str = ""

    @property
    def spike(self) -> bool:
        """Whether a spike finding concerns it."""
        return any(e.get("spike") for e in self.edges)

    @property
    def spike_bytes(self) -> int | None:
        """What its spikes sent, which a log that records no uploads does not show; None where it is not known. [B]"""
        return sum(e.get("spike_bytes") or 0 for e in self.edges) or None

    @property
    def matched(self) -> bool:
        """Whether it is matched with the traffic that came in."""
        return "matched" in self.tiers

    @property
    def volume(self) -> int | None:
        """Bytes both ways, as far as they were observed. [B]"""
        return _volume(self.edges[0])


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is drawn.

    Parameters
    ----------
    cards, lines
        Nodes and edges, in drawing order.
    proxies
        Tag of every proxy that connections went through.
    folded
        The proxies that are drawn as tags only.
    groups
        Nodes of the cards that stand for several nodes, with those nodes.
    """

    cards: tuple[Card, ...]
    lines: tuple[Line, ...]
    proxies: Mapping[str, str]
    folded: frozenset[str]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def seen(text: object) -> str:
    """Text of the evidence as a picture shows it."""
    return terminal_safe(str(text))


def caption(graph: MultiDiGraph[str], node: str, longest: int) -> tuple[str, str]:
    """A node's rank and address, and its first name, neither longer than so many characters."""
    data = graph.nodes[node]
    names = sorted(name for name in data.get("names") or () if name != node)
    rank = f"{data['rank']}. " if data.get("rank") is not None else ""
    return rank + shorten(seen(node), longest), shorten(seen(names[0]), longest) if names else ""


def role_of(attributes: Mapping[str, Any]) -> str:
    """The node's role; ``other`` where it has none."""
    role = attributes.get("role")
    return role if isinstance(role, str) and role in ROLES else "other"


def build_plan(graph: MultiDiGraph[str]) -> Plan:
    """What is drawn of the graph.

    Parameters
    ----------
    graph
        The hop graph.

    Returns
    -------
    Plan
        Cards and lines in an order that does not depend on how the graph was built.
    """
    proxies = _proxy_tags(graph)
    folded = frozenset(p for p in proxies if _is_passed(graph, p))
    nodes = sorted((n for n in graph if n not in folded), key=lambda n: _node_order(graph, n))
    cards = tuple(_card(n, graph.nodes[n], proxies.get(n)) for n in nodes)
    place = {n: i for i, n in enumerate(nodes)}
    chains = _chain_numbers(graph, folded)
    lines: list[Line] = []
    for tail, head in sorted(
        {(u, v) for u, v in graph.edges() if u in place and v in place}, key=lambda e: (place[e[0]], place[e[1]])
    ):
        lines.extend(_lines(graph, tail, head, proxies, chains.get((tail, head), ())))
    return Plan(cards, tuple(lines), proxies, folded)


def said(plan: Plan, words: Words) -> Plan:
    """The plan in a language: what stands on cards below addresses and names, and beside lines."""
    cards = [
        replace(c, lines=tuple(map(words.told, c.lines)) if c.node in plan.groups else last_told(c.lines, words))
        for c in plan.cards
    ]
    lines = [
        replace(k, label=tuple(map(words.told, k.label)), flag=words.told(spike_text(k)) if k.spike else "")
        for k in plan.lines
    ]
    return replace(plan, cards=tuple(cards), lines=tuple(lines))


def spike_text(line: Line) -> str:
    """What stands beside the flag of a line's spikes."""
    return f"spike {format_bytes(line.spike_bytes)}" if line.spike_bytes else "spike"


def last_told(lines: tuple[str, ...], words: Words) -> tuple[str, ...]:
    """The lines of a card, the last one in words: the others are evidence."""
    return *lines[:-1], words.told(lines[-1])


def _node_order(graph: MultiDiGraph[str], node: str) -> tuple[int, float, str]:
    """Role, then rank, then address."""
    attributes = graph.nodes[node]
    rank = attributes.get("rank")
    return _ROLE_ORDER[role_of(attributes)], float("inf") if rank is None else float(rank), node


def _proxy_tags(graph: MultiDiGraph[str]) -> dict[str, str]:
    """A tag for every proxy that connections went through."""
    names = {p for _, _, data in graph.edges(data=True) for p in data.get("via") or ()}
    return {p: f"P{i}" for i, p in enumerate(sorted(names), 1)}


def _is_passed(graph: MultiDiGraph[str], proxy: str) -> bool:
    """Whether the proxy's own edges say no more than that terminals connected to it."""
    if proxy not in graph:
        return True
    only_clients = all(role_of(graph.nodes[u]) == "terminal" for u in graph.predecessors(proxy))
    return only_clients and graph.out_degree(proxy) == 0 and role_of(graph.nodes[proxy]) == "proxy"


def _card(node: str, attributes: Mapping[str, Any], tag: str | None) -> Card:
    """The card of one node."""
    role, spikes, rank = role_of(attributes), int(attributes.get("spikes") or 0), attributes.get("rank")
    names = sorted(n for n in attributes.get("names") or () if n != node)
    more = f" (+{len(names) - 1})" if len(names) > 1 else ""
    kind = "other server" if role == "other" else role
    if rank is not None and role == "relay" and not attributes.get("passes_on"):
        kind = "candidate"  # a rank is no proof: a court must not read "relay" where only a score speaks
    about = [f"{kind} no. {rank}" if rank is not None else kind]
    about += [tag] if tag else []
    about += [f"{spikes} spike{'s' * (spikes > 1)}"] if spikes else []
    lines = [shorten(seen(node), _NAME_LENGTH + 9)]  # the longest IPv6 address stays whole
    lines += [shorten(seen(names[0]), _NAME_LENGTH) + more] if names else []
    return Card(node, role, (*lines, " \N{MIDDLE DOT} ".join(about)), spikes)


def _chain_numbers(graph: MultiDiGraph[str], folded: frozenset[str]) -> dict[tuple[str, str], tuple[int, ...]]:
    """The chains that each pair of neighbouring hops belongs to."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for number, chain in enumerate(graph.graph.get("chains") or (), 1):
        for pair in pairwise(h for h in chain["hops"] if h not in folded):
            numbers.setdefault(pair, []).append(number)
    return {pair: tuple(dict.fromkeys(n)) for pair, n in numbers.items()}


def _lines(
    graph: MultiDiGraph[str], tail: str, head: str, proxies: Mapping[str, str], chains: tuple[int, ...]
) -> list[Line]:
    """The lines between two nodes, a matched edge on the same line as the observed one."""
    edges = sorted(graph[tail][head].values(), key=lambda d: _TIER_ORDER.get(d.get("tier", "asserted"), 9))
    groups: list[list[Mapping[str, Any]]] = []
    for edge in edges:
        if edge.get("tier") in _SAME_LINE and groups and groups[0][0].get("tier") == "observed":
            groups[0].append(edge)
        else:
            groups.append([edge])
    # A chain runs over what was observed or matched; where neither exists, over what there is.
    return [_line(tail, head, group, proxies, chains if i == 0 else ()) for i, group in enumerate(groups)]


def _line(
    tail: str, head: str, edges: Sequence[Mapping[str, Any]], proxies: Mapping[str, str], chains: tuple[int, ...]
) -> Line:
    """One line with its label."""
    tiers = tuple(e["tier"] if e.get("tier") in TIERS else "asserted" for e in edges)
    label = _volume_text(edges[0]), _count_text(edges, tiers, proxies, chains)
    return Line(tail, head, tiers, tuple(edges), tuple(text for text in label if text), chains)


def _volume(edge: Mapping[str, Any]) -> int | None:
    """Bytes both ways, as far as they were observed. [B]"""
    counts = [c for c in (edge.get("bytes_out"), edge.get("bytes_in")) if c is not None]
    return sum(counts) if counts else None


def _volume_text(edge: Mapping[str, Any]) -> str:
    """The bytes each way; nothing for an edge that stands for no recorded connection."""
    if _volume(edge) is None:
        return "bytes not observed" if edge.get("tier") == "observed" else ""
    out, back = format_bytes(edge.get("bytes_out")), format_bytes(edge.get("bytes_in"))
    return f"\N{RIGHTWARDS ARROW} {out}  \N{LEFTWARDS ARROW} {back}"


def _count_text(
    edges: Sequence[Mapping[str, Any]], tiers: tuple[str, ...], proxies: Mapping[str, str], chains: tuple[int, ...]
) -> str:
    """Connections, p-value of a match, proxies and chains."""
    parts = [f"{edges[0]['connections']}\N{MULTIPLICATION SIGN}"] if edges[0].get("connections") else []
    parts += [t for t in tiers if t in {"shared", "asserted"} or t == tiers[0] == "matched"]
    parts += [format_p(e["p_value"]) for e in edges if e.get("p_value") is not None]
    parts += sorted({proxies[p] for e in edges for p in e.get("via") or ()}, key=lambda tag: int(tag[1:]))
    if chains:
        shown = ", ".join(map(str, chains[:_CHAINS_ON_A_LINE])) + ", \N{HORIZONTAL ELLIPSIS}" * (
            len(chains) > _CHAINS_ON_A_LINE
        )
        parts.append(f"chain{'s' * (len(chains) > 1)} {shown}")
    return " \N{MIDDLE DOT} ".join(parts)
