"""The legend of a hop graph: what is in the picture is explained, what is not in it is not.

Example: ``blocks, chains = legend_blocks(graph, plan), chain_rows(graph)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from forensics.drawing import marks
from forensics.drawing.model import seen
from forensics.drawing.scene import Outline, Text, text_width
from forensics.drawing.style import (
    CHAIN_BAND,
    INK,
    LINE,
    MATCHED,
    ROLES,
    TIERS,
    format_bytes,
    format_p,
    pen_width,
    shorten,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from networkx import MultiDiGraph

    from forensics.drawing.model import Plan
    from forensics.words import Words

    Item = Outline | Text
    Swatch = Callable[[float, float], Iterator[Item]]

__all__ = ["ROW", "SIZE", "Block", "Row", "chain_rows", "draw_block", "footer", "in_words", "legend_blocks"]

SIZE = 8.5  # font size [pt]
ROW = 14.0  # height of a row [pt]
_SWATCH = 36.0  # room of a swatch [pt]
_MOST = 8  # rows of proxies and of chains; more would hide the graph
_HOPS = 6


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a swatch drawn around the middle of its left edge, and what it means."""

    text: str
    swatch: Swatch | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Rows under a heading."""

    heading: str
    rows: tuple[Row, ...]

    @property
    def width(self) -> float:
        """Its width. [pt]"""
        rows = max(text_width(r.text, SIZE) + (_SWATCH if r.swatch else 0.0) for r in self.rows)
        return max(rows, text_width(self.heading, SIZE, bold=True))

    @property
    def height(self) -> float:
        """Its height. [pt]"""
        return ROW * (len(self.rows) + 1) + 4.0


def in_words(block: Block, words: Words) -> Block:
    """The block in a language."""
    return Block(words.told(block.heading), tuple(replace(row, text=words.told(row.text)) for row in block.rows))


def draw_block(block: Block, x: float, y: float) -> Iterator[Item]:
    """The block with its top left at (x, y). [pt]"""
    yield Text(x, y + 9, block.heading, SIZE, bold=True)
    for number, row in enumerate(block.rows, 1):
        middle = y + ROW * number + 8
        if row.swatch:
            yield from row.swatch(x, middle)
        yield Text(x + (_SWATCH if row.swatch else 0.0), middle + 3, row.text, SIZE, colour=INK)


def legend_blocks(graph: MultiDiGraph[str], plan: Plan) -> list[Block]:
    """The blocks that explain this picture.

    Parameters
    ----------
    graph
        The hop graph.
    plan
        What is drawn of it.

    Returns
    -------
    list of Block
        Those that have something to say.
    """
    blocks = [
        Block("Role", _role_rows(plan)),
        Block("Line", _tier_rows(plan)),
        Block("Line width: bytes both ways (log scale)", _width_rows(plan)),
        Block("Marks", _mark_rows(plan)),
        Block("Connections went through", _proxy_rows(graph, plan)),
    ]
    return [b for b in blocks if b.rows]


def chain_rows(graph: MultiDiGraph[str]) -> list[str]:
    """The chains in words, one row each.

    Parameters
    ----------
    graph
        The hop graph.

    Returns
    -------
    list of str
        At most eight, and then how many more there are.
    """
    chains = list(graph.graph.get("chains") or ())
    rows = []
    for number, chain in enumerate(chains[:_MOST], 1):
        hops = [shorten(seen(h), 39) for h in chain["hops"]]
        if len(hops) > _HOPS:
            hops = [*hops[: _HOPS - 1], "\N{HORIZONTAL ELLIPSIS}", hops[-1]]
        facts = [format_p(chain["p_value"])] if chain.get("p_value") is not None else []
        facts += [f"{chain['sessions']} session{'s' * (chain['sessions'] != 1)}"] if chain.get("sessions") else []
        way = " \N{RIGHTWARDS ARROW} ".join(hops)
        rows.append(f"chain {number}:  {way}" + (f"  ({', '.join(facts)})" if facts else ""))
    more = len(chains) - _MOST
    return [*rows, f"and {more} more chain{'s' * (more > 1)}"] if more > 0 else rows


def _role_rows(plan: Plan) -> tuple[Row, ...]:
    """The roles in the picture."""
    here = {c.role for c in plan.cards}
    return tuple(Row(look.label, partial(_role_swatch, role)) for role, look in ROLES.items() if role in here)


def _role_swatch(role: str, x: float, y: float) -> Iterator[Item]:
    """A small node."""
    return marks.shape(role, x, y - 5.5, (26.0, 11.0))


def _tier_rows(plan: Plan) -> tuple[Row, ...]:
    """The tiers in the picture; an observed line that is matched too has its own row."""
    here = {line.tiers for line in plan.lines}
    rows = [
        Row(look.label, partial(_stroke, look.colour, 2.2, marks.line_dash(tier, 2.2)))
        for tier, look in TIERS.items()
        if (tier,) in here
    ]
    if any(len(t) > 1 and "matched" in t for t in here):
        both = Row("observed, and matched with traffic that came in", partial(_stroke, MATCHED, 2.2, ()))
        rows.insert(int(rows[:1] != [] and ("observed",) in here), both)
    return tuple(rows)


def _stroke(colour: str, width: float, dash: tuple[float, ...], x: float, y: float) -> Iterator[Item]:
    """A piece of a line."""
    yield Outline((("M", ((x, y),)), ("L", ((x + 28, y),))), stroke=colour, width=width, dash=dash)


def _width_rows(plan: Plan) -> tuple[Row, ...]:
    """The powers of ten that the picture's lines span: the least, the middle, the greatest."""
    volumes = [line.volume for line in plan.lines if line.volume]
    if not volumes:
        return ()
    low, high = max(3, len(str(min(volumes))) - 1), max(3, len(str(max(volumes))) - 1)
    rows = [
        Row(format_bytes(10**power), partial(_stroke, LINE, pen_width(10**power), ()))
        for power in sorted({low, (low + high) // 2, high})
    ]
    kinds = sorted({seen(line.edges[0]["bytes_kind"]) for line in plan.lines if line.edges[0].get("bytes_kind")})
    return (*rows, Row(f"bytes counted: {', '.join(kinds)}")) if kinds else tuple(rows)


def _mark_rows(plan: Plan) -> tuple[Row, ...]:
    """The marks in the picture, and how to read a label."""
    rows, merged = [], [line for line in plan.lines if line.members]
    if any(c.spikes for c in plan.cards) or any(line.spike for line in plan.lines):
        rows.append(Row("spike: unusual volume", lambda x, y: marks.flag(x + 9, y - 5)))
    if any(line.matched for line in plan.lines):
        rows.append(
            Row("matched in time; p: chance of such a match in unrelated traffic", lambda x, y: marks.rings(x + 8, y))
        )
    if any(line.chains for line in plan.lines):
        rows.append(Row("part of a chain", partial(_stroke, CHAIN_BAND, 9.0, ())))
    if any(line.volume for line in plan.lines):
        rows.append(Row("\N{RIGHTWARDS ARROW} bytes along the arrow, \N{LEFTWARDS ARROW} bytes back"))
    if any(line.edges[0].get("connections") for line in plan.lines):
        rows.append(Row("n\N{MULTIPLICATION SIGN}: number of connections or requests"))
    if any(" terminals" in line.label[-1] for line in merged):
        rows.append(Row("n terminals: their lines without a spike or match, taken together"))
    if any(" lines" in line.label[-1] for line in merged):
        rows.append(Row("n lines: of nodes that were taken together, since there are too many to draw"))
    if any("\N{GREATER-THAN OR EQUAL TO}" in line.label[0] for line in plan.lines):
        rows.append(Row("\N{GREATER-THAN OR EQUAL TO}: of some of these lines the bytes were not observed"))
    return tuple(rows)


def _proxy_rows(graph: MultiDiGraph[str], plan: Plan) -> tuple[Row, ...]:
    """The proxies behind the tags."""
    rows = []
    for proxy, tag in plan.proxies.items():
        names = sorted(n for n in graph.nodes.get(proxy, {}).get("names") or () if n != proxy)
        rows.append(
            Row(f"{tag}  proxy {shorten(seen(proxy), 39)}" + (f"  {shorten(seen(names[0]), 30)}" if names else ""))
        )
    more = len(rows) - _MOST
    return (*rows[:_MOST], Row(f"and {more} more")) if more > 0 else tuple(rows)


def footer(graph: MultiDiGraph[str]) -> str:
    """The last line: what the picture stands on and what it leaves out."""
    files = sorted({seen(e["source"]) for _, _, d in graph.edges(data=True) for e in d.get("evidence") or ()})
    named = ", ".join(files[:4]) + (", \N{HORIZONTAL ELLIPSIS}" if len(files) > 4 else "")  # noqa: PLR2004 - as many as fit
    parts = [f"Evidence: {len(files)} file{'s' * (len(files) != 1)}" + (f" ({named})" if files else "")]
    left = graph.graph.get("left_out") or 0
    parts += [f"{left:,} server{'s' * (left != 1)} of no interest not drawn"] if left else []
    return "  \N{MIDDLE DOT}  ".join(parts)
