"""A layout without Graphviz: boxes in columns, crossings reduced by barycentres.

Example: ``place_in_columns(boxes, wires)`` gives centres, curves, width and height.

A wire that passes a column gets a place in it, so that it runs between the boxes and never behind them.

References
----------
.. [1] K. Sugiyama, S. Tagawa, M. Toda, *Methods for visual understanding of hierarchical system structures*, IEEE
   Transactions on Systems, Man, and Cybernetics 11(2), 1981. doi:10.1109/TSMC.1981.4308636
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from forensics.drawing.wiring import FIRST, LAST, Box

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forensics.drawing.scene import Point
    from forensics.drawing.wiring import Wire

    Span = tuple[float, float, float]  # left, right, middle height of a box [pt]

__all__ = ["place_in_columns"]

_SWEEPS = 24
_GAP = 12.0  # between boxes of a column [pt]
_ROOM = 46.0  # between columns [pt]


def place_in_columns(
    boxes: Sequence[Box], wires: Sequence[Wire]
) -> tuple[list[Point], list[tuple[Point, ...]], float, float]:
    """Places for all boxes and curves for all wires.

    Parameters
    ----------
    boxes
        Nodes and labels.
    wires
        Wires from left to right, without a cycle.

    Returns
    -------
    tuple
        Centre of each box, control points of each wire, width and height, in points, y downwards.
    """
    depth = _depths(boxes, wires)
    every, ways = list(boxes), []
    for w in wires:
        passed = range(depth[w.left] + 1, depth[w.right])
        ways.append([w.left, *range(len(every), len(every) + len(passed)), w.right])
        every += [Box(0.0, 4.0, FIRST + 1)] * len(passed)
        depth += passed
    columns = _order(_columns(depth), ways)
    spans, width, height = _spans(every, columns)
    centres = [((spans[i][0] + spans[i][1]) / 2, spans[i][2]) for i in range(len(boxes))]
    ports = _ports(boxes, wires, centres)
    curves = []
    for number, (w, way) in enumerate(zip(wires, ways, strict=True)):
        (start, y), (end, y2) = ports[number, w.left], ports[number, w.right]
        first, *between, last = (spans[i] for i in way)
        curves.append(_curve(start, [(*first[:2], y), *between, (*last[:2], y2)], end))
    return centres, curves, width, height


def _ports(boxes: Sequence[Box], wires: Sequence[Wire], centres: Sequence[Point]) -> dict[tuple[int, int], Point]:
    """Where each wire meets each of its boxes: spread over the side, so that no two lie on each other."""
    sides: dict[tuple[int, float], list[tuple[float, int]]] = defaultdict(list)
    for number, w in enumerate(wires):
        sides[w.left, 0.5].append((centres[w.right][1], number))
        sides[w.right, -0.5].append((centres[w.left][1], number))
    found = {}
    for (box, side), ends in sides.items():
        (x, y), width, height = centres[box], boxes[box].width, boxes[box].height
        for place, (_, number) in enumerate(sorted(ends), 1):
            found[number, box] = (x + side * width, y + height * (place / (len(ends) + 1) - 0.5))
    return found


def _depths(boxes: Sequence[Box], wires: Sequence[Wire]) -> list[int]:
    """The column of each box: the longest way from the left, the upstream at the right."""
    ends: dict[int, list[int]] = defaultdict(list)
    waiting = [0] * len(boxes)
    for w in wires:
        ends[w.left].append(w.right)
        waiting[w.right] += 1
    depth = [0 if b.layer == FIRST or waiting[i] else 2 * b.layer for i, b in enumerate(boxes)]
    ready = [i for i, count in enumerate(waiting) if not count]
    for i in ready:  # grows as it runs
        for end in ends[i]:
            depth[end] = max(depth[end], depth[i] + 1)
            waiting[end] -= 1
            ready += [] if waiting[end] else [end]
    last = max(depth, default=0)
    return [last if b.layer == LAST else d for d, b in zip(depth, boxes, strict=True)]


def _columns(depth: Sequence[int]) -> list[list[int]]:
    """The members of each column."""
    columns: dict[int, list[int]] = defaultdict(list)
    for i, d in enumerate(depth):
        columns[d].append(i)
    return [columns[d] for d in sorted(columns)]


def _order(columns: list[list[int]], ways: Sequence[Sequence[int]]) -> list[list[int]]:
    """The columns, each member near the mean place of its neighbours."""
    neighbours: dict[int, list[int]] = defaultdict(list)
    for way in ways:
        for left, right in pairwise(way):
            neighbours[left].append(right)
            neighbours[right].append(left)
    place = {i: (p + 0.5) / len(c) for c in columns for p, i in enumerate(c)}
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 else reversed(columns):
            column.sort(key=lambda i: (_mean(place, neighbours[i], place[i]), i))
            place.update({i: (p + 0.5) / len(column) for p, i in enumerate(column)})
    return columns


def _mean(place: Mapping[int, float], members: Sequence[int], own: float) -> float:
    """Mean place of the members; its own where it has none."""
    return sum(place[m] for m in members) / len(members) if members else own


def _spans(boxes: Sequence[Box], columns: Sequence[Sequence[int]]) -> tuple[list[Span], float, float]:
    """Sides of each box's column and its middle height; width and height of the whole."""
    spans: list[Span] = [(0.0, 0.0, 0.0)] * len(boxes)
    heights = [sum(boxes[i].height + _GAP for i in c) for c in columns]
    height, x = max(heights, default=0.0), 0.0
    for column, own in zip(columns, heights, strict=True):
        wide = max(boxes[i].width for i in column)
        y, spread = 0.0, height / own  # a short column spreads over the whole height
        for i in column:
            room = (boxes[i].height + _GAP) * spread
            spans[i] = (x, x + wide, y + room / 2)
            y += room
        x += wide + _ROOM
    return spans, max(x - _ROOM, 0.0), height


def _curve(start: float, spans: Sequence[Span], end: float) -> tuple[Point, ...]:
    """A curve from one x to the other: straight where a column is passed, bent only between columns."""
    (_, right, y), *_ = spans
    points: list[Point] = [(start, y), *_straight(start, right, y)]
    for (_, right, y), (left, far, y2) in pairwise(spans):
        middle, stop = (right + left) / 2, far if left < spans[-1][0] else end
        points += [(middle, y), (middle, y2), (left, y2), *_straight(left, stop, y2)]
    return tuple(points)


def _straight(start: float, stop: float, y: float) -> list[Point]:
    """A straight line as a cubic curve, without its start; nothing where it has no length."""
    return [(start, y), (stop, y), (stop, y)] if stop > start else []
