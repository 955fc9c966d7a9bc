"""The picture of a hop graph: title, graph, legend and source line as one scene.

Example: ``hop_scene(graph).scene`` can be written as SVG, PNG or PDF.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from forensics.drawing import legend, marks
from forensics.drawing.grouping import take_together
from forensics.drawing.layout import place
from forensics.drawing.model import build_plan, said, seen
from forensics.drawing.scene import Outline, Scene, Text, text_width
from forensics.drawing.style import PALE, format_range, shorten
from forensics.drawing.wiring import FIRST, LAST, Box, Link
from forensics.words import ENGLISH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from networkx import MultiDiGraph

    from forensics.drawing.layout import Layout, Route
    from forensics.drawing.legend import Block
    from forensics.drawing.model import Line, Plan
    from forensics.drawing.scene import Point
    from forensics.words import Words

__all__ = ["HopPicture", "draw_scene", "heading", "lay_out"]

_MARGIN = 26.0
_NARROWEST = 620.0
_LAYERS = {"terminal": FIRST, "upstream": LAST}


@dataclass(frozen=True, slots=True)
class HopPicture:
    """A hop graph, laid out and painted.

    Parameters
    ----------
    full
        Everything that could be drawn.
    plan
        What is drawn of it.
    centres
        Where each node that is drawn stands. [pt]
    routes
        Where each line runs.
    scene
        The painted picture.
    """

    full: Plan
    plan: Plan
    centres: Mapping[str, Point]
    routes: tuple[Route, ...]
    scene: Scene


def heading(graph: MultiDiGraph[str], words: Words = ENGLISH) -> tuple[str, str, str]:
    """Title, statement and time range of the graph, ready to be shown."""
    facts = graph.graph
    title = seen(facts.get("title") or words("Hop graph"))
    when = words.told(format_range(facts.get("start"), facts.get("end"), facts.get("timezone") or "UTC"))
    return title, words.told(seen(facts.get("statement") or "")), when


def draw_scene(graph: MultiDiGraph[str], words: Words = ENGLISH) -> HopPicture:
    """Lay out and paint the graph.

    Parameters
    ----------
    graph
        The hop graph, as `forensics.hops` builds it.
    words
        The language of the picture.

    Returns
    -------
    HopPicture
        The picture and where each node stands in it.
    """
    full = build_plan(graph)
    drawn = take_together(full)
    plan = said(drawn, words)
    layout = lay_out(plan)
    # What has to be explained is told by the marks of the plan, before these are words of another language.
    blocks = [legend.in_words(block, words) for block in legend.legend_blocks(graph, drawn)]
    chains = [words.told(row) for row in legend.chain_rows(graph)]
    inner = max(layout.width, _NARROWEST, *(b.width for b in blocks), *(text_width(c, legend.SIZE) for c in chains))
    title, statement, when = heading(graph, words)
    scene = Scene(inner + 2 * _MARGIN, 0.0, f"{title}. {statement}. {when}")
    y = _paint_heading(scene, title, statement, when)
    left = _MARGIN + (inner - layout.width) / 2
    layout = layout.moved(left, y)
    _paint_graph(scene, plan, layout, words)
    told = legend.Block(words("Chains"), tuple(legend.Row(row) for row in chains))
    y = _paint_legend(scene, blocks, told, y + layout.height + 22)
    source = shorten(words.told(legend.footer(graph)), int(inner / 4.6))
    scene.add([Text(_MARGIN, y + 12, source, 8.0, colour=PALE)])
    scene.height = y + 12 + _MARGIN
    centres = {c.node: centre for c, centre in zip(plan.cards, layout.centres, strict=True)}
    return HopPicture(full, plan, centres, tuple(layout.routes), scene)


def lay_out(plan: Plan) -> Layout:
    """Where the cards and lines of a plan stand, from (0, 0) on."""
    index = {c.node: i for i, c in enumerate(plan.cards)}
    boxes = [Box(*marks.card_size(c), _LAYERS.get(c.role, FIRST + 1)) for c in plan.cards]
    # The lines of a chain are kept short and straight: the eye should follow them.
    links = [Link(index[k.tail], index[k.head], *marks.label_size(k), 6 if k.chains else 1) for k in plan.lines]
    return place(boxes, links)


def _paint_heading(scene: Scene, title: str, statement: str, when: str) -> float:
    """Title, statement and time range; returns where the graph begins. [pt]"""
    y = _MARGIN + 14
    scene.add([Text(_MARGIN, y, shorten(title, int(scene.width / 10)), 17.0, bold=True)])
    for text, size in ((statement, 11.5), (when, 10.0)):
        if text:
            y += size + 7
            scene.add([Text(_MARGIN, y, shorten(text, int(scene.width / 6)), size, colour=PALE)])
    return y + 22


def _paint_graph(scene: Scene, plan: Plan, layout: Layout, words: Words) -> None:
    """Bands, lines, labels, cards; of the lines, chains and spikes last: what must be read lies on top."""
    pairs = sorted(zip(plan.lines, layout.routes, strict=True), key=lambda pair: (bool(pair[0].chains), pair[0].spike))
    for line, route in pairs:
        scene.add(marks.band(line, route))
    for line, route in pairs:
        scene.add(marks.line(line, route, _hint(line, plan, words)))
    for line, route in pairs:
        scene.add(marks.line_label(line, route))
    for card, (x, y) in zip(plan.cards, layout.centres, strict=True):
        scene.add(marks.card(card, x, y))


def _hint(line: Line, plan: Plan, words: Words) -> str:
    """What a viewer shows for a line."""
    tail, head = (words.told("taken together") if end in plan.groups else seen(end) for end in (line.tail, line.head))
    reasons = [words.told(seen(e["reason"])) for e in line.edges if e.get("reason")]
    way = f"{tail} \N{RIGHTWARDS ARROW} {head} ({words.told(' and '.join(line.tiers))})"
    return " | ".join([way, *line.label, *reasons])


def _paint_legend(scene: Scene, blocks: Sequence[Block], chains: Block, y: float) -> float:
    """The legend below the graph, in as many rows of blocks as it takes; returns where it ends. [pt]"""
    right = scene.width - _MARGIN
    scene.add([Outline((("M", ((_MARGIN, y),)), ("L", ((right, y),))), stroke="#b0b0b0", width=0.8)])
    x, y, height = _MARGIN, y + 12, 0.0
    for block in blocks:
        if x > _MARGIN and x + block.width > right:
            x, y, height = _MARGIN, y + height + 8, 0.0
        scene.add(legend.draw_block(block, x, y))
        x, height = x + block.width + 30, max(height, block.height)
    y += height + 6
    if chains.rows:
        scene.add(legend.draw_block(chains, _MARGIN, y))
        y += legend.ROW * (len(chains.rows) + 1) + 6
    return y
