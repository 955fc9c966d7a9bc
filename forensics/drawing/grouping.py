"""A picture that stays readable: where lines are too many, the ordinary ones of the terminals are taken together.

Example: ``group_terminals(plan)`` is the plan itself, as long as it has at most `MOST_LINES` lines.

Sixty terminals that all meet twenty servers are a wall of lines in which no spike can be seen. Beyond `MOST_LINES`, the
lines of terminals that neither carry a spike nor belong to a chain or a match become one line for each server, from one
card that stands for those terminals. The picture says so; the interactive page still tells each of the lines, and the
graph itself is not touched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from forensics.drawing.model import Card, Line, Plan
from forensics.drawing.style import NOT_OBSERVED, format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GROUP", "MOST_LINES", "group_terminals"]

MOST_LINES = 80
"""Lines up to which every one is drawn for itself."""

GROUP = ""
"""Node of the card that stands for several terminals: no address and no name is empty."""


def group_terminals(plan: Plan) -> Plan:
    """The plan with the ordinary lines of its terminals taken together, where it has too many lines.

    Parameters
    ----------
    plan
        What is drawn of a graph.

    Returns
    -------
    Plan
        The same plan, or one with fewer cards and lines.
    """
    terminals = {c.node for c in plan.cards if c.role == "terminal"}
    groups: dict[tuple[str, tuple[str, ...]], list[Line]] = {}
    for line in plan.lines:
        if line.tail in terminals and line.head not in terminals and not _remarkable(line):
            groups.setdefault((line.head, line.tiers), []).append(line)
    together = {key: lines for key, lines in groups.items() if len(lines) > 1}
    if len(plan.lines) <= MOST_LINES or not together:
        return plan
    merged = {id(line) for lines in together.values() for line in lines}
    kept = [line for line in plan.lines if id(line) not in merged]
    met = {line.tail for lines in together.values() for line in lines}
    used = {node for line in kept for node in (line.tail, line.head)}
    cards = [c for c in plan.cards if c.node not in met or c.node in used]
    group = Card(GROUP, "terminal", (f"{len(met)} terminals", "lines without a spike or match", "taken together"), 0)
    lines = [_merge(head, tiers, members, plan) for (head, tiers), members in together.items()]
    return replace(plan, cards=(group, *cards), lines=(*lines, *kept))


def _remarkable(line: Line) -> bool:
    """Whether a line must be seen for itself."""
    return line.spike or line.matched or bool(line.chains) or "asserted" in line.tiers


def _merge(head: str, tiers: tuple[str, ...], members: Sequence[Line], plan: Plan) -> Line:
    """One line for many."""
    edges = [m.edges[0] for m in members]
    known: dict[str, Any] = {key: _sum([e.get(key) for e in edges]) for key in ("bytes_out", "bytes_in")}
    kinds = sorted({e["bytes_kind"] for e in edges if e.get("bytes_kind")})
    facts = known | {"tier": tiers[0], "bytes_kind": ", ".join(kinds)}
    count = sum(e.get("connections") or 0 for e in edges)
    facts |= {"connections": count, "via": sorted({p for e in edges for p in e.get("via") or ()})}
    out, back = (_sum_text([e.get(key) for e in edges]) for key in ("bytes_out", "bytes_in"))
    tags = [plan.proxies[p] for p in facts["via"]]
    parts = [
        f"{len(members)} terminals",
        f"{count}\N{MULTIPLICATION SIGN}",
        *(t for t in tiers if t == "shared"),
        *tags,
    ]
    label = (f"\N{RIGHTWARDS ARROW} {out}  \N{LEFTWARDS ARROW} {back}", " \N{MIDDLE DOT} ".join(parts))
    return Line(GROUP, head, tiers, (facts,), label, (), tuple(members))


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
