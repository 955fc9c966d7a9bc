"""The shapes a picture is made of: cards, lines with arrows, labels, the flag of a spike and the rings of a match.

Example: ``card(Card("192.0.2.7", "relay", ("192.0.2.7", "relay no. 1"), 0), 100, 50)`` draws a node around (100, 50).
"""

from __future__ import annotations

from math import hypot
from typing import TYPE_CHECKING

from forensics.drawing.model import spike_text
from forensics.drawing.scene import Outline, Text, box, circle, curve, polygon, shorten_curve, text_width
from forensics.drawing.style import CHAIN_BAND, INK, MATCHED, ROLES, SPIKE, TIERS, pen_width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.drawing.layout import Route
    from forensics.drawing.model import Card, Line
    from forensics.drawing.scene import Point, Step

    Item = Outline | Text

__all__ = [
    "band",
    "card",
    "card_size",
    "flag",
    "label_rows",
    "label_size",
    "line",
    "line_colour",
    "line_dash",
    "line_label",
    "rings",
    "shape",
]

_SMALL = 8.0  # font size of all but the first line of a card, and of labels [pt]
_LEADING = 11.0  # from one line to the next [pt]
_MARK = 15.0  # room of a flag or of rings before a text [pt]
_ARROW = 9.0  # length of an arrow [pt]


def shape(role: str, x: float, y: float, size: tuple[float, float], hint: str = "") -> Iterator[Item]:
    """The outline of a role, (x, y) its top left. [pt]"""
    look, (width, height) = ROLES[role], size
    radius, cut = min(look.radius, height / 2), min(look.cut, height / 3)
    steps = box(x, y, width, height, cut=cut, radius=radius)
    yield Outline(steps, fill=look.fill, stroke=look.stroke, width=look.width, hint=hint)
    if look.double:
        yield Outline(box(x + 3, y + 3, width - 6, height - 6), stroke="#ffffff", width=0.9)


def card_size(card: Card) -> tuple[float, float]:
    """Width and height of a card. [pt]"""
    first, *rest = card.lines
    widths = [text_width(first, ROLES[card.role].size, bold=True), *(text_width(t, _SMALL) for t in rest)]
    widths[-1] += _MARK if card.spikes else 0.0
    return max(widths) + 24.0, 13.0 + _LEADING * len(card.lines)


def card(card: Card, x: float, y: float) -> Iterator[Item]:
    """A node around (x, y). [pt]"""
    width, height = card_size(card)
    look = ROLES[card.role]
    yield from shape(card.role, x - width / 2, y - height / 2, (width, height), " | ".join(card.lines))
    base = y - height / 2 + 15.0
    for number, text in enumerate(card.lines):
        size = _SMALL if number else look.size
        middle = x
        if card.spikes and number == len(card.lines) - 1:
            middle += _MARK / 2
            paint = look.ink if look.ink != INK else SPIKE
            yield from flag(middle - text_width(text, _SMALL) / 2 - _MARK + 3, base - 8, paint)
        yield Text(middle, base, text, size, bold=not number, colour=look.ink, anchor="middle")
        base += _LEADING


def flag(x: float, y: float, colour: str = SPIKE) -> Iterator[Item]:
    """The flag of a spike, 9 by 10 points, (x, y) its top left."""
    yield Outline((("M", ((x, y),)), ("L", ((x, y + 10),))), stroke=colour, width=1.2)
    yield Outline(polygon([(x, y), (x + 9, y + 3), (x, y + 6)]), fill=colour)


def rings(x: float, y: float) -> Iterator[Item]:
    """Two rings that hold each other, the mark of a match; 11 by 6 points, (x, y) the left of their middle."""
    for centre in (x + 3.2, x + 7.6):
        yield Outline(circle(centre, y, 3.0), stroke=MATCHED, width=1.3)


def line_colour(line: Line) -> str:
    """The colour of a line."""
    if line.spike:
        return SPIKE
    return MATCHED if line.matched else TIERS[line.tiers[0]].colour


def line_dash(tier: str, width: float) -> tuple[float, ...]:
    """Dash and gap of a tier on a line so wide. [pt]"""
    return tuple(d * max(1.0, width * 0.7) for d in TIERS[tier].dash)


def band(line: Line, route: Route) -> Iterator[Item]:
    """The band that lies under the lines of a chain, and under their label too."""
    if line.chains:
        for part in (route.before, route.after):
            yield Outline(curve(part), stroke=CHAIN_BAND, width=pen_width(line.volume) + 9.0)
        width, height = label_size(line)
        x, y = route.label[0] - width / 2, route.label[1] - height / 2
        yield Outline(box(x - 1, y, width + 2, height, radius=4.0), fill=CHAIN_BAND)


def line(line: Line, route: Route, hint: str) -> Iterator[Item]:
    """A line with its arrow, interrupted by its label."""
    width, colour = pen_width(line.volume), line_colour(line)
    dash = line_dash(line.tiers[0], width)
    after, tip = shorten_curve(route.after, _ARROW), route.after[-1]
    for part in (route.before, after):
        yield Outline(curve(part), stroke=colour, width=width, dash=dash, hint=hint)
    yield Outline(_arrow(after[-1], tip, width), fill=colour)


def _arrow(start: Point, tip: Point, width: float) -> tuple[Step, ...]:
    """A triangle from there to its tip, never thinner than the line it ends."""
    dx, dy = tip[0] - start[0], tip[1] - start[1]
    length = hypot(dx, dy) or 1.0
    half = max(3.4, width * 1.1) / length
    (x, y), side_x, side_y = start, -dy * half, dx * half
    return polygon([tip, (x + side_x, y + side_y), (x - side_x, y - side_y)])


def label_size(line: Line) -> tuple[float, float]:
    """Width and height of a line's label. [pt]"""
    rows = label_rows(line)
    width = max(text_width(text, _SMALL, bold=bold) + (_MARK if mark else 0.0) for text, bold, mark in rows)
    return width + 8.0, 4.0 + _LEADING * len(rows)


def label_rows(line: Line) -> list[tuple[str, bool, str]]:
    """Text, weight and mark of each row of a label."""
    rows = [(text, False, "") for text in line.label]
    if line.matched:
        rows[-1] = (rows[-1][0], False, "rings")
    if line.spike:
        rows = [(line.flag or spike_text(line), True, "flag"), *rows]
    return rows


def line_label(line: Line, route: Route) -> Iterator[Item]:
    """A line's label around its place."""
    _, height = label_size(line)
    base = route.label[1] - height / 2 + 10.0
    for text, bold, mark in label_rows(line):
        x = route.label[0] - (text_width(text, _SMALL, bold=bold) + (_MARK if mark else 0.0)) / 2
        if mark == "flag":
            yield from flag(x + 2, base - 8)
        if mark == "rings":
            yield from rings(x, base - 3)
        colour = SPIKE if bold else MATCHED if mark == "rings" else INK
        yield Text(x + (_MARK if mark else 0.0), base, text, _SMALL, bold=bold, colour=colour)
        base += _LEADING
