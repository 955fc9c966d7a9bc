"""Boxes, links and the two wires of each link, all running from left to right.

Example: ``wire_up([Box(90, 40, FIRST), Box(90, 40, LAST)], [Link(0, 1, 60, 20)])`` gives two wires by way of box 2,
which is the link's label.

A link that runs back, such as a server that connects to a terminal, is laid out the other way round and its curves are
reversed afterwards: a layout in layers can only go one way.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["FIRST", "LAST", "Box", "Link", "Wire", "wire_up"]

FIRST, LAST = 0, 2
"""Layers of the terminals and of the upstream; 1 is whatever lies between."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node, or the label of a link.

    Parameters
    ----------
    width, height
        Its size. [pt]
    layer
        `FIRST`, `LAST`, or 1 for what lies between.
    """

    width: float
    height: float
    layer: int


@dataclass(frozen=True, slots=True)
class Link:
    """An edge.

    Parameters
    ----------
    tail, head
        Numbers of the boxes.
    width, height
        Size of its label. [pt]
    weight
        How much it wants to be short and straight.
    """

    tail: int
    head: int
    width: float
    height: float
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Wire:
    """Half of a link, from left to right.

    Parameters
    ----------
    left, right
        Numbers of the boxes; labels are numbered after the nodes.
    left_port, right_port
        Side of the box at which it ends, ``:e`` or ``:w``; empty for any.
    backward
        Whether the link runs from right to left.
    weight
        How much it wants to be short and straight.
    """

    left: int
    right: int
    left_port: str
    right_port: str
    backward: bool
    weight: int


def wire_up(boxes: Sequence[Box], links: Sequence[Link]) -> list[Wire]:
    """The wires of all links, two for each: tail to label, label to head.

    Parameters
    ----------
    boxes
        The nodes.
    links
        Their links.

    Returns
    -------
    list of Wire
        Wires without a cycle.
    """
    back = _backward(boxes, links)
    wires: list[Wire] = []
    for number, k in enumerate(links):
        label = len(boxes) + number
        end = boxes[k.tail].layer
        if k.tail == k.head or (end == boxes[k.head].layer and end != FIRST + 1):
            wires.extend(_sideways(k, label, end))
        elif number in back:
            wires.append(Wire(label, k.tail, ":e", "", backward=True, weight=k.weight))
            wires.append(Wire(k.head, label, "", ":w", backward=True, weight=k.weight))
        else:
            wires.append(Wire(k.tail, label, "", ":w", backward=False, weight=k.weight))
            wires.append(Wire(label, k.head, ":e", "", backward=False, weight=k.weight))
    return wires


def _sideways(link: Link, label: int, layer: int) -> Iterator[Wire]:
    """Wires between two nodes of the first or of the last layer: out to the label, and back."""
    for node, backward in ((link.tail, False), (link.head, True)):
        if layer == LAST:
            yield Wire(label, node, ":e", "", backward=not backward, weight=link.weight)
        else:
            yield Wire(node, label, "", ":w", backward=backward, weight=link.weight)


def _backward(boxes: Sequence[Box], links: Sequence[Link]) -> set[int]:
    """Numbers of the links that run from right to left: into the terminals, out of the upstream, or closing a cycle."""
    back: set[int] = set()
    onward: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, k in enumerate(links):
        if boxes[k.head].layer == FIRST or boxes[k.tail].layer == LAST:
            back.add(number)
        else:
            onward[k.tail].append((number, k.head))
    done: set[int] = set()
    for start in range(len(boxes)):
        back.update(_cycle_links(start, onward, done))
    return back


def _cycle_links(start: int, onward: dict[int, list[tuple[int, int]]], done: set[int]) -> Iterator[int]:
    """The links that close a cycle, met on the way through all that can be reached from there."""
    way = [(start, iter(onward[start]))] if start not in done else []
    open_ = {start}
    while way:
        node, rest = way[-1]
        number, head = next(rest, (-1, -1))
        if number < 0:
            way.pop()
            open_.discard(node)
            done.add(node)
        elif head in open_:
            yield number
        elif head not in done:
            open_.add(head)
            way.append((head, iter(onward[head])))
