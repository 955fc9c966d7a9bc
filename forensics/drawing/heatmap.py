"""Which terminal sent how much to which relay: a table of coloured cells.

Example: ``draw_scene(graph)`` is the chart of a hop graph.

A cell has its figure beside its colour, so that it loses nothing without colours. What was not observed is hatched, and
where no contact is on record there is no cell: neither looks like a little.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10, sqrt
from typing import TYPE_CHECKING

from forensics.drawing import marks
from forensics.drawing.frames import MARGIN, SMALL, Frame, evidence_of, line
from forensics.drawing.model import caption, role_of
from forensics.drawing.scene import Outline, Text, box, text_width
from forensics.drawing.style import INK, PALE, SPIKE, format_bytes, format_range
from forensics.words import ENGLISH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from networkx import MultiDiGraph

    from forensics.drawing.scene import Scene
    from forensics.words import Words

    Item = Outline | Text
    Say = Callable[[str], str]
    Cells = Mapping[tuple[str, str], "Cell"]

__all__ = ["MOST_RELAYS", "MOST_TERMINALS", "draw_scene"]

MOST_TERMINALS = 40
"""Rows; further terminals are one row."""

MOST_RELAYS = 24
"""Columns; further relays are one column."""

_REST = ""  # row and column of all others: no address and no name is empty
_WIDE, _HIGH = 47.0, 19.0  # of a cell [pt]
_TURN = -45.0
_LIGHT, _DARK = (234, 243, 250), (8, 48, 107)
_SCALE = 5  # cells of the legend, at most
_READABLE = 0.62  # share of the scale from which on text must be white
_NARROWEST = 560.0  # [pt]
_LONGEST = 28  # characters of an address or a name
_GRID = "#e0e0e0"


@dataclass(slots=True)
class Cell:
    """What is known of a terminal's traffic to a relay.

    Parameters
    ----------
    sent
        What it sent, None where that was not observed. [B]
    spikes
        Number of pairs in it with a spike.
    """

    sent: int | None = None
    spikes: int = 0

    def add(self, sent: int | None, *, spikes: int) -> None:
        """Add what another edge tells."""
        if sent is not None:
            self.sent = (self.sent or 0) + sent
        self.spikes += spikes


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, columns and cells.

    Parameters
    ----------
    rows, columns
        Nodes and what stands beside them: terminals, those with spikes first and then those that sent most; relays by
        rank.
    cells
        Cells by row and column.
    """

    rows: Mapping[str, str]
    columns: Mapping[str, str]
    cells: Cells


def draw_scene(graph: MultiDiGraph[str], words: Words = ENGLISH) -> Scene:
    """The heat map of a hop graph.

    Parameters
    ----------
    graph
        The hop graph.
    words
        The language of the chart.

    Returns
    -------
    Scene
        The chart; it says so where there is nothing to show.
    """
    table, facts = _table(graph, words), graph.graph
    left = MARGIN + max((text_width(n, SMALL) for n in table.rows.values()), default=0.0) + 22.0
    lean = max((text_width(h, SMALL) for h in table.columns.values()), default=0.0) / sqrt(2.0)
    kinds = sorted({str(d["bytes_kind"]) for _, _, d in graph.edges(data=True) if d.get("bytes_kind")})
    counted = f", counted as {', '.join(kinds)}" if kinds else ""
    when = format_range(facts.get("start"), facts.get("end"), facts.get("timezone") or "UTC")
    about = (f"Bytes that each terminal sent to each relay or candidate [B]{counted}", when)
    width = max(left + _WIDE * len(table.columns) + lean + MARGIN, _NARROWEST)
    frame = Frame(f"{facts.get('title') or 'Hop graph'}: terminals and relays", about, width, words)
    if table.cells:
        _paint(frame, table, left, frame.y + lean + 16)
    else:
        frame.scene.add(
            [Text(MARGIN, frame.y + 14, frame.say("No contact of a terminal with a relay is on record."), 10.0)]
        )
        frame.y += 28
    return frame.finish(evidence_of(graph))


def _table(graph: MultiDiGraph[str], words: Words = ENGLISH) -> Table:
    """What is shown of the graph, as many rows and columns as can be read."""
    pairs: dict[tuple[str, str], Cell] = {}
    for tail, head, data in graph.edges(data=True):
        if role_of(graph.nodes[tail]) == "terminal" and role_of(graph.nodes[head]) == "relay":
            pairs.setdefault((tail, head), Cell()).add(data.get("bytes_out"), spikes=int(bool(data.get("spike"))))
    sums: dict[str, Cell] = {}
    for (tail, _), cell in pairs.items():
        sums.setdefault(tail, Cell()).add(cell.sent, spikes=cell.spikes)
    rows = sorted(sums, key=lambda node: (-sums[node].spikes, -(sums[node].sent or 0), node))
    columns = sorted({head for _, head in pairs}, key=lambda node: (_rank(graph, node), node))
    shown, heads = rows[: _fitting(rows, MOST_TERMINALS)], columns[: _fitting(columns, MOST_RELAYS)]
    cells: dict[tuple[str, str], Cell] = {}
    for (tail, head), cell in sorted(pairs.items()):
        key = tail if tail in shown else _REST, head if head in heads else _REST
        cells.setdefault(key, Cell()).add(cell.sent, spikes=cell.spikes)
    named, titled = (
        {node: "  ".join(filter(None, caption(graph, node, _LONGEST))) for node in nodes} for nodes in (shown, heads)
    )
    terminals, relays = len(rows) - len(shown), len(columns) - len(heads)
    named |= {_REST: words.told(f"{terminals:,} more terminals, in sum")} if terminals else {}
    titled |= {_REST: words.told(f"{relays:,} more, in sum")} if relays else {}
    return Table(named, titled, cells)


def _fitting(nodes: list[str], most: int) -> int:
    """How many of the nodes have a row of their own: all, or one less than fit, which then stands for all others."""
    return len(nodes) if len(nodes) <= most else most - 1


def _rank(graph: MultiDiGraph[str], node: str) -> float:
    """The relay's rank; behind all others where it has none."""
    rank = graph.nodes[node].get("rank")
    return float("inf") if rank is None else float(rank)


def _paint(frame: Frame, table: Table, left: float, top: float) -> None:
    """Labels, cells and legend."""
    rows, columns = list(table.rows), list(table.columns)
    right, bottom = left + _WIDE * len(columns), top + _HIGH * len(rows)
    for number, name in enumerate(table.rows.values()):
        y = top + _HIGH * (number + 0.5)
        frame.scene.add([line((left, y), (right, y), _GRID), Text(left - 6, y + 3, name, SMALL, anchor="end")])
    for number, name in enumerate(table.columns.values()):
        x = left + _WIDE * (number + 0.5)
        frame.scene.add([line((x, top), (x, bottom), _GRID), Text(x - 4, top - 6, name, SMALL, turn=_TURN)])
    scale = Scale.of(table.cells)
    for (row, column), cell in table.cells.items():
        corner = left + _WIDE * columns.index(column), top + _HIGH * rows.index(row)
        hint = f"{table.rows[row]} | {table.columns[column]}"
        frame.scene.add(_cell(cell, *corner, scale, hint, say=frame.say))
    frame.scene.add(_legend(table.cells, scale, bottom + 18, frame.say))
    frame.y = bottom + 62


@dataclass(frozen=True, slots=True)
class Scale:
    """The logarithmic scale of the colours.

    Parameters
    ----------
    low, high
        Powers of ten at its ends.
    """

    low: int
    high: int

    @classmethod
    def of(cls, cells: Cells) -> Scale:
        """The scale that holds all these cells."""
        known = [cell.sent for cell in cells.values() if cell.sent]
        low = floor(log10(min(known, default=1)))
        return cls(low, max(low + 1, ceil(log10(max(known, default=10)))))

    def share(self, count: float) -> float:
        """How far up the scale so many bytes are, from 0 to 1."""
        return min(1.0, max(0.0, (log10(count) - self.low) / (self.high - self.low))) if count else 0.0

    def colour(self, count: float) -> str:
        """The colour of so many bytes: the more, the darker."""
        share = self.share(count)
        return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(_LIGHT, _DARK, strict=True))


def _cell(cell: Cell, x: float, y: float, scale: Scale, hint: str, *, say: Say) -> Iterator[Item]:
    """One cell, (x, y) its top left."""
    text = say(format_bytes(cell.sent))
    told = f"{hint} | {text}" + (f" | {say('spike')}" if cell.spikes else "")
    outline = box(x + 1, y + 1, _WIDE - 2, _HIGH - 2)
    if cell.sent is None:
        yield Outline(outline, fill="#ffffff", stroke=PALE, width=0.6, hint=told)
        for offset in range(6, int(_WIDE - 2), 8):
            yield line((x + offset, y + _HIGH - 1), (min(x + offset + 9, x + _WIDE - 1), y + 1), PALE, 0.5)
    else:
        yield Outline(outline, fill=scale.colour(cell.sent), hint=told)
        ink = "#ffffff" if scale.share(cell.sent) > _READABLE else INK
        yield Text(x + _WIDE / 2 + (4 if cell.spikes else 0), y + 12.5, text, 7.0, colour=ink, anchor="middle")
    if cell.spikes:
        yield Outline(box(x + 1, y + 1, _WIDE - 2, _HIGH - 2), stroke=SPIKE, width=1.8)
        yield Outline(box(x + 2, y + 3, 10, 13), fill="#ffffff")
        yield from marks.flag(x + 3, y + 4.5)


def _legend(cells: Cells, scale: Scale, y: float, say: Say) -> Iterator[Item]:
    """What colours and marks mean."""
    x = MARGIN
    step = max(1, ceil((scale.high - scale.low) / _SCALE))
    head, hint = say("bytes sent, log scale:"), say("legend")
    yield Text(x, y + 12, head, SMALL)
    x += text_width(head, SMALL) + 8
    for power in range(scale.low, scale.high + 1, step):
        yield from _cell(Cell(10**power), x, y, scale, hint, say=say)
        x += _WIDE
    x, y = MARGIN, y + 24
    marked = [
        (Cell(None), say("contact, bytes not observed"), any(c.sent is None for c in cells.values())),
        (Cell(10**scale.low, 1), say("with a spike: unusual volume"), any(c.spikes for c in cells.values())),
    ]
    for cell, text, there in marked:
        if there:
            yield from _cell(cell, x, y, scale, hint, say=say)
            yield Text(x + _WIDE + 5, y + 12, text, SMALL)
            x += _WIDE + text_width(text, SMALL) + 22
    yield Text(x, y + 12, say("no cell: no contact is on record"), SMALL)
