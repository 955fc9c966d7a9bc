"""Where everything stands: Graphviz's ``dot`` where there is one, else columns of our own.

Example: ``place(boxes, links)`` gives the centre of every box and the route of every link.

The label of a link is a box of its own in the middle of the link: so no line can run through a label, and no reader can
take it for the label of the line beside it.

Graphviz is asked through pygraphviz, which carries it, and else through a ``dot`` on the PATH. Both are given the same
text, and it holds nothing but numbers: no word of the evidence reaches Graphviz, so that none can act as its markup.

References
----------
.. [1] E. R. Gansner, E. Koutsofios, S. C. North, K.-P. Vo, *A technique for drawing directed graphs*, IEEE Transactions
   on Software Engineering 19(3), 1993. doi:10.1109/32.221135
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forensics.drawing.columns import place_in_columns
from forensics.drawing.wiring import FIRST, LAST, Box, Wire, wire_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.drawing.scene import Point
    from forensics.drawing.wiring import Link

__all__ = ["Layout", "Route", "dot_text", "place"]

_POINTS_PER_INCH = 72
_TIMEOUT = 120  # [s]; beyond it the columns are the better picture


@dataclass(frozen=True, slots=True)
class Route:
    """Where a link runs.

    Parameters
    ----------
    before, after
        Control points of cubic curves, to the label and from it on: one start, then three for each curve. [pt]
    label
        Centre of the label. [pt]
    """

    before: tuple[Point, ...]
    after: tuple[Point, ...]
    label: Point

    def moved(self, dx: float, dy: float) -> Route:
        """The same route, so much further right and down. [pt]"""
        before, after = (tuple((x + dx, y + dy) for x, y in part) for part in (self.before, self.after))
        return Route(before, after, (self.label[0] + dx, self.label[1] + dy))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands, y downwards.

    Parameters
    ----------
    centres
        Centre of each box. [pt]
    routes
        Route of each link.
    width, height
        Size of the whole. [pt]
    """

    centres: list[Point]
    routes: list[Route]
    width: float
    height: float

    def moved(self, dx: float, dy: float) -> Layout:
        """The same layout, so much further right and down. [pt]"""
        centres = [(x + dx, y + dy) for x, y in self.centres]
        return Layout(centres, [r.moved(dx, dy) for r in self.routes], self.width, self.height)


def place(boxes: Sequence[Box], links: Sequence[Link]) -> Layout:
    """Places for all boxes and routes for all links.

    Parameters
    ----------
    boxes
        Sizes of the nodes.
    links
        Which boxes are linked, and the sizes of the labels.

    Returns
    -------
    Layout
        Centres, routes and the size of the whole, in points, y downwards.
    """
    wires = wire_up(boxes, links)
    everything = [*boxes, *(Box(k.width, k.height, FIRST + 1) for k in links)]
    text = dot_text(everything, wires)
    answer = _with_pygraphviz(text) or _with_program(text)
    placed = _read(answer) if answer else place_in_columns(everything, wires)
    centres, curves, width, height = placed
    runs = [tuple(reversed(c)) if w.backward else c for w, c in zip(wires, curves, strict=True)]
    labels = centres[len(boxes) :]
    routes = [Route(runs[2 * i], runs[2 * i + 1], label) for i, label in enumerate(labels)]
    return Layout(centres[: len(boxes)], routes, width, height)


def dot_text(boxes: Sequence[Box], wires: Sequence[Wire]) -> str:
    """What Graphviz is told: numbers of nodes, sizes and wires.

    Parameters
    ----------
    boxes
        Nodes and labels.
    wires
        The halves of the links.

    Returns
    -------
    str
        A graph in the DOT language.
    """
    lines = [
        "digraph hops {",
        "graph [rankdir=LR, nodesep=0.17, ranksep=0.42, splines=true];",
        'node [shape=box, fixedsize=true, label=""];',
        "edge [dir=none];",
    ]
    for i, b in enumerate(boxes):
        lines.append(f"n{i} [width={b.width / _POINTS_PER_INCH:.3f}, height={b.height / _POINTS_PER_INCH:.3f}];")
    for rank, layer in (("source", FIRST), ("sink", LAST)):
        members = "".join(f" n{i};" for i, b in enumerate(boxes) if b.layer == layer)
        lines += [f"{{ rank={rank};{members} }}"] if members else []
    for i, w in enumerate(wires):
        lines.append(f"n{w.left}{w.left_port} -> n{w.right}{w.right_port} [id=e{i}, weight={w.weight}];")
    return "\n".join([*lines, "}", ""])


def _with_pygraphviz(text: str) -> bytes | None:
    """Graphviz's answer through pygraphviz; None where that is absent or broken."""
    try:
        import pygraphviz

        answer: bytes = pygraphviz.AGraph(string=text).draw(format="json0", prog="dot")
    except (ImportError, OSError, ValueError):
        return None
    return answer


def _with_program(text: str) -> bytes | None:
    """Graphviz's answer through the program; None where it is absent or fails."""
    program = shutil.which("dot")
    if program is None:
        return None
    command = [program, "-Tjson0"]
    try:
        return subprocess.run(command, input=text.encode(), capture_output=True, check=True, timeout=_TIMEOUT).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _read(answer: bytes) -> tuple[list[Point], list[tuple[Point, ...]], float, float]:
    """Centres, curves, width and height in Graphviz's answer."""
    data = json.loads(answer)
    width, height = (float(v) for v in data["bb"].split(",")[2:])
    nodes = sorted((o for o in data.get("objects", ()) if "pos" in o), key=lambda o: int(o["name"][1:]))
    edges = sorted(data.get("edges", ()), key=lambda e: int(e["id"][1:]))
    curves = [tuple(_point(p, height) for p in e["pos"].split(" ")) for e in edges]
    return [_point(o["pos"], height) for o in nodes], curves, width, height


def _point(text: str, height: float) -> Point:
    """``12,34`` as a point, y turned downwards."""
    x, y = text.split(",")
    return float(x), height - float(y)
