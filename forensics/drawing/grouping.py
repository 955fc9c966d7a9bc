"""A picture that stays readable: where lines are too many, what is ordinary is taken together.

Example: ``take_together(plan)`` is the plan itself, as long as it has at most `MOST_LINES` lines.

Sixty terminals that all meet twenty servers are a wall of lines in which no spike can be seen. Beyond `MOST_LINES`, the
lines of terminals that neither carry a spike nor belong to a chain or a match become one line for each server, from one
card that stands for those terminals. Where that does not suffice, the nodes that matter least become one card for each
role: first those that neither a chain, a spike nor a rank speaks of. The picture says so; the interactive page can show
every node and tells each of the lines, and the graph itself is not touched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from forensics.drawing.model import Card, Line, Plan
from forensics.drawing.style import NOT_OBSERVED, format_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["MOST_LINES", "take_together"]

MOST_LINES = 80
"""Lines up to which every one is drawn for itself."""

KEPT = (60, 40, 30, 20, 12, 8)
"""Cards that are tried to be kept, where nodes are taken together: the first number that gives few enough lines."""

_MANY = {
    "terminal": "terminals",
    "proxy": "proxies",
    "relay": "relays or candidates",
    "upstream": "servers beyond relays",
    "other": "other servers",
}

Ends = tuple[str, str]


def take_together(plan: Plan) -> Plan:
    """The plan with what is ordinary taken together, where it has too many lines or cards.

    Parameters
    ----------
    plan
        What is drawn of a graph.

    Returns
    -------
    Plan
        The same plan, or one with fewer cards and lines.
    """
    if len(plan.lines) <= MOST_LINES and len(plan.cards) <= MOST_LINES:
        return plan
    fewer = _without_ordinary_lines(plan)
    if len(fewer.lines) <= MOST_LINES and len(fewer.cards) <= MOST_LINES:
        return fewer
    order = _by_importance(plan)
    for kept in KEPT:
        fewer = _without_ordinary_nodes(plan, frozenset(order[:kept]))
        if len(fewer.lines) <= MOST_LINES:
            break
    return fewer


def _without_ordinary_lines(plan: Plan) -> Plan:
    """The plan with the ordinary lines of its terminals taken together, one for each server."""
    terminals = {c.node for c in plan.cards if c.role == "terminal"}
    groups: dict[tuple[str, tuple[str, ...]], list[Line]] = {}
    for line in plan.lines:
        if line.tail in terminals and line.head not in terminals and not _remarkable(line):
            groups.setdefault((line.head, line.tiers), []).append(line)
    together = [lines for lines in groups.values() if len(lines) > 1]
    if not together:
        return plan
    group = _group_name("terminal", plan)
    merged = {id(line) for lines in together for line in lines}
    kept = [line for line in plan.lines if id(line) not in merged]
    met = {line.tail for lines in together for line in lines}
    used = {node for line in kept for node in (line.tail, line.head)}
    cards = [c for c in plan.cards if c.node not in met or c.node in used]
    card = Card(group, "terminal", (f"{len(met)} terminals", "lines without a spike or match", "taken together"), 0)
    lines = [_merge((group, members[0].head), members, plan, "terminals") for members in together]
    hidden = tuple(c.node for c in plan.cards if c.node in met and c.node not in used)
    return replace(plan, cards=(card, *cards), lines=(*lines, *kept), groups={group: hidden})


def _without_ordinary_nodes(plan: Plan, kept: Collection[str]) -> Plan:
    """The plan with all nodes but these taken together, one card for each role."""
    members: dict[str, list[Card]] = {}
    for card in plan.cards:
        if card.node not in kept:
            members.setdefault(_group_name(card.role, plan), []).append(card)
    members = {group: cards for group, cards in members.items() if len(cards) > 1}  # one alone stands for itself
    place = {c.node: group for group, cards in members.items() for c in cards}
    groups: dict[tuple[Ends, tuple[str, ...]], list[Line]] = {}
    for line in plan.lines:
        ends = place.get(line.tail, line.tail), place.get(line.head, line.head)
        groups.setdefault((ends, line.tiers), []).append(line)
    lines = tuple(
        lines[0] if ends == (lines[0].tail, lines[0].head) else _merge(ends, lines, plan, "lines")
        for (ends, _), lines in groups.items()
    )
    cards = [_group_card(group, cards) for group, cards in members.items()]
    names = {group: tuple(c.node for c in cards) for group, cards in members.items()}
    return replace(plan, cards=(*cards, *(c for c in plan.cards if c.node not in place)), lines=lines, groups=names)


def _by_importance(plan: Plan) -> list[str]:
    """The nodes, first those of chains, then of spikes and matches, then by role and rank as they are drawn."""
    weight = {c.node: (0, 0, -min(c.spikes, 1), place) for place, c in enumerate(plan.cards)}
    for line in plan.lines:
        for node in (line.tail, line.head):
            chain, told, spikes, place = weight[node]
            weight[node] = (
                min(chain, -bool(line.chains)),
                min(told, -(line.matched or "asserted" in line.tiers)),
                min(spikes, -line.spike),
                place,
            )
    servers = {c.node for c in plan.cards if c.role != "terminal"}
    # Of what is unremarkable, a ranked server says more than one of very many terminals.
    return sorted(weight, key=lambda node: (*weight[node][:3], node not in servers, weight[node][3]))


def _group_name(role: str, plan: Plan) -> str:
    """A name for the card that stands for several nodes of a role, which no node of the graph has."""
    name, taken = f"taken together: {role}", {c.node for c in plan.cards}
    while name in taken:
        name += "'"
    return name


def _group_card(group: str, members: Sequence[Card]) -> Card:
    """The card that stands for several nodes."""
    spikes = sum(c.spikes for c in members)
    about = f"taken together, {spikes} spike{'s' * (spikes > 1)} among them" if spikes else "taken together"
    return Card(group, members[0].role, (f"{len(members):,} {_MANY[members[0].role]}", about), spikes)


def _remarkable(line: Line) -> bool:
    """Whether a line must be seen for itself."""
    return line.spike or line.matched or bool(line.chains) or "asserted" in line.tiers


def _merge(ends: Ends, members: Sequence[Line], plan: Plan, what: str) -> Line:
    """One line for many."""
    if len(members) == 1:
        return replace(members[0], tail=ends[0], head=ends[1], members=tuple(members))
    edges, tiers = [m.edges[0] for m in members], members[0].tiers
    facts: dict[str, Any] = {key: _sum([e.get(key) for e in edges]) for key in ("bytes_out", "bytes_in")}
    kinds = sorted({e["bytes_kind"] for e in edges if e.get("bytes_kind")})
    count = sum(e.get("connections") or 0 for e in edges)
    facts |= {"tier": tiers[0], "bytes_kind": ", ".join(kinds), "connections": count}
    times = [[e[key] for e in edges if e.get(key) is not None] for key in ("start", "end")]
    facts |= {"start": min(times[0], default=None), "end": max(times[1], default=None)}
    facts |= {"via": sorted({p for e in edges for p in e.get("via") or ()})}
    facts |= {"spike": any(m.spike for m in members), "spike_bytes": sum(m.spike_bytes or 0 for m in members)}
    out, back = (_sum_text([e.get(key) for e in edges]) for key in ("bytes_out", "bytes_in"))
    parts = [
        f"{len(members):,} {what}",
        f"{count}\N{MULTIPLICATION SIGN}",
        *(t for t in tiers if t == "shared"),
        *(plan.proxies[p] for p in facts["via"]),
    ]
    label = (f"\N{RIGHTWARDS ARROW} {out}  \N{LEFTWARDS ARROW} {back}", " \N{MIDDLE DOT} ".join(parts))
    chains = tuple(dict.fromkeys(n for m in members for n in m.chains))
    # Of the other tiers a sum says nothing; the page tells them line by line.
    return Line(*ends, tiers, (facts, *({"tier": t} for t in tiers[1:])), label, chains, tuple(members))


def _sum(counts: Sequence[int | None]) -> int | None:
    """The sum of what was observed; None where nothing was. [B]"""
    known = [c for c in counts if c is not None]
    return sum(known) if known else None


def _sum_text(counts: Sequence[int | None]) -> str:
    """The sum in words; where some were not observed, it is a least."""
    total = _sum(counts)
    if total is None:
        return NOT_OBSERVED
    return ("\N{GREATER-THAN OR EQUAL TO} " if None in counts else "") + format_bytes(total)
