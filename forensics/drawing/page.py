"""The interactive hop graph: one HTML file with everything in it, which asks nothing of any network.

Example: ``to_page(graph, picture)`` is the file as text.

Cytoscape.js draws it, from the copy beside this module (MIT licence, ``assets/cytoscape.LICENSE``). Nodes stand where
they stand in the static picture, and lines run as they run there.
"""

from __future__ import annotations

from importlib.resources import files
from math import hypot
from typing import TYPE_CHECKING, Any

from forensics.drawing import marks
from forensics.drawing.details import line_details, node_details
from forensics.drawing.hops import heading
from forensics.drawing.scene import FONTS, points_along
from forensics.drawing.style import CHAIN_BAND, ROLES, TIERS, pen_width
from forensics.escaping import CONTENT_POLICY, html_template, script_json

if TYPE_CHECKING:
    from networkx import MultiDiGraph

    from forensics.drawing.hops import HopPicture
    from forensics.drawing.layout import Route
    from forensics.drawing.model import Card, Line
    from forensics.drawing.scene import Point

__all__ = ["to_page"]

_POINTS = 12  # on each half of a line: enough for a curve to look like one


def to_page(graph: MultiDiGraph[str], picture: HopPicture) -> str:
    """The page.

    Parameters
    ----------
    graph
        The hop graph.
    picture
        The same graph, laid out.

    Returns
    -------
    str
        HTML that a browser shows without any other file.
    """
    from markupsafe import Markup

    assets = files("forensics.drawing") / "assets"
    title, statement, when = heading(graph)
    plan = picture.plan
    return html_template((assets / "hops.html.j2").read_text("utf-8")).render(
        policy=f"{CONTENT_POLICY}; script-src 'unsafe-inline'",
        title=title,
        statement=statement,
        when=when,
        roles={r: look for r, look in ROLES.items() if any(c.role == r for c in plan.cards)},
        tiers={t: look for t, look in TIERS.items() if any(t in line.tiers for line in plan.lines)},
        style=Markup((assets / "hops.css").read_text("utf-8")),  # noqa: S704 - ours
        cytoscape=Markup((assets / "cytoscape.min.js").read_text("utf-8")),  # noqa: S704 - the library's
        script=Markup((assets / "hops.js").read_text("utf-8")),  # noqa: S704 - ours
        data=Markup(script_json(_data(graph, picture))),  # noqa: S704 - escaped for a script
    )


def _data(graph: MultiDiGraph[str], picture: HopPicture) -> dict[str, Any]:
    """Everything the page's script knows."""
    zone = graph.graph.get("timezone") or "UTC"
    plan, ids = picture.plan, {c.node: f"n{i}" for i, c in enumerate(picture.plan.cards)}
    nodes = [
        _node(c, ids[c.node], picture.centres[c.node]) | {"about": node_details(graph, c.node, zone)}
        for c in plan.cards
    ]
    lines = []
    for i, (line, route) in enumerate(zip(plan.lines, picture.routes, strict=True)):
        ends = {"source": ids[line.tail], "target": ids[line.head]}
        way = _way(picture.centres[line.tail], picture.centres[line.head], route)
        lines.append(_line(line, f"e{i}") | ends | way | {"about": line_details(line, zone)})
    proxies = [{"tag": plan.proxies[p], "about": node_details(graph, p, zone)} for p in sorted(plan.folded)]
    return {"nodes": nodes, "lines": lines, "proxies": proxies, "fonts": ", ".join(FONTS), "band": CHAIN_BAND}


def _node(card: Card, identity: str, centre: Point) -> dict[str, Any]:
    """One node for the script."""
    look, (width, height) = ROLES[card.role], marks.card_size(card)
    return {
        "id": identity,
        "role": card.role,
        "label": "\n".join(card.lines),
        "shape": look.shape,
        "fill": look.fill,
        "stroke": look.stroke,
        "ink": look.ink,
        "border": look.width,
        "spikes": card.spikes,
        "x": round(centre[0], 2),
        "y": round(centre[1], 2),
        "w": round(width, 2),
        "h": round(height, 2),
    }


def _line(line: Line, identity: str) -> dict[str, Any]:
    """One line for the script."""
    return {
        "id": identity,
        "tiers": list(line.tiers),
        "label": "\n".join(text for text, _, _ in marks.label_rows(line)),
        "colour": marks.line_colour(line),
        "width": round(pen_width(line.volume), 2),
        "dash": TIERS[line.tiers[0]].dashed,
        "chained": bool(line.chains),
    }


def _way(tail: Point, head: Point, route: Route) -> dict[str, Any]:
    """A line's way as Cytoscape.js wants it.

    Its ends are told from the centres of their nodes. Every point between is told by how far along the straight way
    from centre to centre it lies, and how far off it.
    """
    dx, dy = head[0] - tail[0], head[1] - tail[1]
    length = hypot(dx, dy)
    # As many points before the label as after it: Cytoscape.js puts the label at the one in the middle.
    way = [*points_along(route.before, _POINTS), route.label, *points_along(route.after, _POINTS)] if length else []
    away = [(x - tail[0], y - tail[1]) for x, y in way]
    (x0, y0), (x1, y1) = route.before[0], route.after[-1]
    return {
        "from": f"{x0 - tail[0]:.2f}px {y0 - tail[1]:.2f}px",
        "to": f"{x1 - head[0]:.2f}px {y1 - head[1]:.2f}px",
        "weights": [round((x * dx + y * dy) / length**2, 4) for x, y in away],
        "distances": [round((y * dx - x * dy) / length, 2) for x, y in away],
    }
