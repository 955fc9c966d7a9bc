"""A scene as SVG: text stays text, so that it can be searched, copied and read aloud.

Example: ``to_svg(scene)`` is the whole file as text.

References
----------
.. [1] W3C, *Scalable Vector Graphics (SVG) 1.1 (Second Edition)*, chapters 8 (paths) and 10 (text).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.drawing.scene import FONTS, Outline, Scene, Text
from forensics.escaping import markup_safe

if TYPE_CHECKING:
    from forensics.drawing.scene import Step

__all__ = ["to_svg"]

_FAMILY = ", ".join(f"'{f}'" if " " in f else f for f in FONTS)


def to_svg(scene: Scene) -> str:
    """The scene as one SVG element, without an XML declaration, so that a page can hold it as it is.

    Parameters
    ----------
    scene
        What to draw.

    Returns
    -------
    str
        The element, which names nothing outside itself.
    """
    title = markup_safe(scene.title)
    size = (
        f'width="{_n(scene.width)}pt" height="{_n(scene.height)}pt" viewBox="0 0 {_n(scene.width)} {_n(scene.height)}"'
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{_FAMILY}">\n<title>{title}</title>'
    paper = f'<rect width="{_n(scene.width)}" height="{_n(scene.height)}" fill="#ffffff"/>'
    body = "\n".join(_outline(i) if isinstance(i, Outline) else _text(i) for i in scene.items)
    return f"{head}\n{paper}\n{body}\n</svg>\n"


def _n(value: float) -> str:
    """A number with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _path(steps: tuple[Step, ...]) -> str:
    """The path data of the steps."""
    return "".join(name + " ".join(f"{_n(x)},{_n(y)}" for x, y in points) for name, points in steps)


def _outline(item: Outline) -> str:
    """One path element."""
    stroke = f' stroke="{item.stroke}" stroke-width="{_n(item.width)}"' if item.stroke else ""
    dash = f' stroke-dasharray="{" ".join(_n(d) for d in item.dash)}"' if item.dash else ""
    start = f'<path d="{_path(item.steps)}" fill="{item.fill or "none"}"{stroke}{dash}'
    return f"{start}><title>{markup_safe(item.hint)}</title></path>" if item.hint else f"{start}/>"


def _text(item: Text) -> str:
    """One text element."""
    weight = ' font-weight="bold"' if item.bold else ""
    anchor = f' text-anchor="{item.anchor}"' if item.anchor != "start" else ""
    place = f'x="{_n(item.x)}" y="{_n(item.y)}" font-size="{_n(item.size)}" fill="{item.colour}"'
    turn = f' transform="rotate({_n(item.turn)} {_n(item.x)} {_n(item.y)})"' if item.turn else ""
    return f"<text {place}{weight}{anchor}{turn}>{markup_safe(item.text)}</text>"
