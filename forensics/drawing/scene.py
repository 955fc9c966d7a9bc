"""What a picture consists of: outlines and lines of text, in points, y downwards. Every kind of file is made of it.

Example: ``Outline(box(0, 0, 40, 20), fill="#ffffff")`` is a white rectangle.

Text is measured with the DejaVu Sans that matplotlib carries, one of the widest of the common fonts: a viewer that
has to take another font still keeps inside the boxes, and a picture has the same size on every machine.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from math import cos, hypot, pi, sin
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.ft2font import FT2Font

__all__ = [
    "FONTS",
    "Outline",
    "Point",
    "Scene",
    "Text",
    "box",
    "circle",
    "curve",
    "points_along",
    "polygon",
    "shorten_curve",
    "text_width",
]

FONTS = (
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "IPAexGothic",
    "IPAPGothic",
    "TakaoPGothic",
    "VL PGothic",
    "Hiragino Sans",
    "Yu Gothic",
    "Meiryo",
    "MS PGothic",
    "sans-serif",
)
"""Fonts in the order in which a character is looked for; from the third on they hold Japanese."""

Point = tuple[float, float]
Step = tuple[Literal["M", "L", "C", "Z"], tuple[Point, ...]]
_CUBIC = 4  # control points of one cubic curve
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class Outline:
    """A path that is filled, stroked or both.

    Parameters
    ----------
    steps
        The path: move, line, cubic curve and close, as SVG knows them. [pt]
    fill, stroke
        Colours as ``#rrggbb``; None for none.
    width
        Pen width. [pt]
    dash
        Lengths of dash and gap, alternating. [pt]
    hint
        What a viewer shows when the pointer rests on it.
    """

    steps: tuple[Step, ...]
    fill: str | None = None
    stroke: str | None = None
    width: float = 1.0
    dash: tuple[float, ...] = ()
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text.

    Parameters
    ----------
    x, y
        Where its base line is anchored. [pt]
    text
        The text; it has passed `forensics.escaping.terminal_safe`.
    size
        Font size. [pt]
    bold
        Whether it is bold.
    colour
        Colour as ``#rrggbb``.
    anchor
        Which point of the line stands at x.
    turn
        How far it is turned around (x, y), clockwise. [degrees]
    """

    x: float
    y: float
    text: str
    size: float
    bold: bool = False
    colour: str = "#1a1a1a"
    anchor: Anchor = "start"
    turn: float = 0.0


@dataclass(slots=True)
class Scene:
    """Outlines and texts, painted in order.

    Parameters
    ----------
    width, height
        Size of the picture. [pt]
    title
        What the picture shows, for readers who cannot see it.
    items
        What is painted.
    """

    width: float
    height: float
    title: str
    items: list[Outline | Text] = field(default_factory=list)

    def add(self, items: Iterable[Outline | Text]) -> None:
        """Paint more on top of what is there."""
        self.items.extend(items)


def polygon(points: Iterable[Point]) -> tuple[Step, ...]:
    """The closed path through the points."""
    first, *rest = points
    return (("M", (first,)), *(("L", (p,)) for p in rest), ("Z", ()))


def box(x: float, y: float, width: float, height: float, *, cut: float = 0.0, radius: float = 0.0) -> tuple[Step, ...]:
    """A rectangle, its corners cut off straight (`cut`) or rounded (`radius`). All in points, (x, y) its top left."""
    r, b = x + width, y + height
    if cut:
        c = cut
        return polygon([(x + c, y), (r - c, y), (r, y + c), (r, b - c), (r - c, b), (x + c, b), (x, b - c), (x, y + c)])
    if not radius:
        return polygon([(x, y), (r, y), (r, b), (x, b)])
    k = radius * 0.4477  # distance of a control point from the corner, for a quarter of a circle
    return (
        ("M", ((x + radius, y),)),
        ("L", ((r - radius, y),)),
        ("C", ((r - k, y), (r, y + k), (r, y + radius))),
        ("L", ((r, b - radius),)),
        ("C", ((r, b - k), (r - k, b), (r - radius, b))),
        ("L", ((x + radius, b),)),
        ("C", ((x + k, b), (x, b - k), (x, b - radius))),
        ("L", ((x, y + radius),)),
        ("C", ((x, y + k), (x + k, y), (x + radius, y))),
        ("Z", ()),
    )


def circle(x: float, y: float, radius: float) -> tuple[Step, ...]:
    """A circle around (x, y), as a polygon of 24 corners: at the few points of our marks nobody sees them."""
    return polygon([(x + radius * cos(a * pi / 12), y + radius * sin(a * pi / 12)) for a in range(24)])


def curve(points: tuple[Point, ...]) -> tuple[Step, ...]:
    """The open path of cubic curves with these control points: one start, then three for each curve."""
    return (("M", points[:1]), *(("C", points[i : i + 3]) for i in range(1, len(points) - 2, 3)))


def shorten_curve(points: tuple[Point, ...], length: float) -> tuple[Point, ...]:
    """The curves without so much of their end [pt], measured straight; curves that are shorter lose nothing."""
    tip, kept = points[-1], points
    while len(kept) > _CUBIC and _distance(kept[-_CUBIC], tip) <= length:
        kept = kept[:-3]  # this curve lies within what is cut off
    *before, a, b, c, d = kept
    low, high = 0.0, 1.0
    for _ in range(30):  # bisection: 30 halvings are far below a hundredth of a point
        t = (low + high) / 2
        low, high = (t, high) if _distance(_split(a, b, c, d, t)[-1], tip) > length else (low, t)
    return (*before, *_split(a, b, c, d, high)) if low else points


def points_along(points: tuple[Point, ...], count: int) -> list[Point]:
    """So many points on the curves, spread evenly over their parameter, without the first and the last."""
    curves = (len(points) - 1) // 3
    found = []
    for i in range(1, count + 1):
        number, t = divmod(i * curves / (count + 1), 1.0)
        start = 3 * int(number)
        a, b, c, d = points[start : start + _CUBIC]
        found.append(_split(a, b, c, d, t)[-1])
    return found


def _distance(a: Point, b: Point) -> float:
    """Straight distance of two points. [pt]"""
    return hypot(a[0] - b[0], a[1] - b[1])


def _split(a: Point, b: Point, c: Point, d: Point, t: float) -> tuple[Point, Point, Point, Point]:
    """The first part of a cubic curve, up to parameter t (de Casteljau)."""

    def between(p: Point, q: Point) -> Point:
        return p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t

    ab, bc, cd = between(a, b), between(b, c), between(c, d)
    abc, bcd = between(ab, bc), between(bc, cd)
    return a, ab, abc, between(abc, bcd)


@lru_cache(maxsize=2)
def _font(*, bold: bool) -> FT2Font:
    """DejaVu Sans as matplotlib carries it."""
    import matplotlib as mpl
    from matplotlib.ft2font import FT2Font

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    font = FT2Font(str(Path(mpl.get_data_path(), "fonts", "ttf", name)))
    font.set_size(1000, 72)
    return font


@lru_cache(maxsize=8192)
def _advance(character: str, *, bold: bool) -> float:
    """Width of one character. [em]"""
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    font = _font(bold=bold)
    index = font.get_char_index(ord(character))
    if index == 0:
        return 1.0  # not in DejaVu Sans: as wide as characters get
    return font.load_glyph(index).linearHoriAdvance / 65536 / 1000


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a line of text.

    Parameters
    ----------
    text
        The line.
    size
        Font size. [pt]
    bold
        Whether it is bold.

    Returns
    -------
    float
        Its width. [pt]
    """
    return size * sum(_advance(c, bold=bold) for c in text)
