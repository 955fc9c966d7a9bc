"""Places for the nodes that the static picture takes together, for the page that can show each of them.

Example: ``places_of_members(picture)["10.0.0.7"]`` is a point left of the picture.

They stand in blocks beside the picture, so that whatever is drawn in it keeps its place: terminals at the left, all
others at the right.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import TYPE_CHECKING

from forensics.drawing import marks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.drawing.hops import HopPicture
    from forensics.drawing.model import Card
    from forensics.drawing.scene import Point

__all__ = ["places_of_members"]

_GAP = 14.0  # between cards [pt]
_AWAY = 160.0  # from the picture, and from block to block [pt]


def places_of_members(picture: HopPicture) -> dict[str, Point]:
    """Where the nodes stand that the picture takes together.

    Parameters
    ----------
    picture
        The laid out picture.

    Returns
    -------
    dict
        Centre of each such node, beside the picture, in its coordinates. [pt]
    """
    cards = {c.node: c for c in picture.full.cards}
    left, right = 0.0, picture.scene.width
    top = min((y for _, y in picture.centres.values()), default=0.0)
    places: dict[str, Point] = {}
    for members in picture.plan.groups.values():
        block = [cards[node] for node in members]
        if not block:
            continue
        grid, width = _grid(block)
        if block[0].role == "terminal":
            left -= _AWAY + width
            corner = left
        else:
            corner = right + _AWAY
            right = corner + width
        places |= {card.node: (corner + x, top + y) for card, (x, y) in zip(block, grid, strict=True)}
    return places


def _grid(cards: Sequence[Card]) -> tuple[list[Point], float]:
    """Centres of the cards in a block that is about as high as it is wide, column by column, and its width. [pt]"""
    sizes = [marks.card_size(c) for c in cards]
    wide, high = max(w for w, _ in sizes) + _GAP, max(h for _, h in sizes) + _GAP
    rows = ceil(sqrt(len(cards) * wide / high))
    centres = [(wide * (i // rows + 0.5), high * (i % rows)) for i in range(len(cards))]
    return centres, wide * ceil(len(cards) / rows)
