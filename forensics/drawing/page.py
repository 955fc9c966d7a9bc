"""The interactive hop graph: one HTML file with everything in it, which asks nothing of any network.

Example: ``to_page(graph, picture)`` is the file as text.

Cytoscape.js draws it, from the copy beside this module (MIT licence, ``assets/cytoscape.LICENSE``). Nodes stand where
they stand in the static picture, and lines run as they run there.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from math import hypot
from typing import TYPE_CHECKING, Any

from forensics.drawing import marks
from forensics.drawing.crowd import places_of_members
from forensics.drawing.details import group_details, line_details, node_details, when
from forensics.drawing.hops import heading
from forensics.drawing.model import last_told
from forensics.drawing.scene import FONTS, points_along
from forensics.drawing.style import CHAIN_BAND, ROLES, TIERS, format_time, pen_width
from forensics.escaping import CONTENT_POLICY, html_template, script_json
from forensics.words import ENGLISH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from networkx import MultiDiGraph

    from forensics.drawing.hops import HopPicture
    from forensics.drawing.layout import Route
    from forensics.drawing.model import Card, Line
    from forensics.drawing.scene import Point
    from forensics.words import Words

__all__ = ["to_page"]

_POINTS = 12  # on each half of a line: enough for a curve to look like one
_STEPS = 240  # of the time slider
_SCRIPTS = ("hops_details.js", "hops.js", "hops_controls.js")
_SAID = re.compile(r'\bsay\("([^"]+)"')  # what the scripts say themselves
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_page(graph: MultiDiGraph[str], picture: HopPicture, words: Words = ENGLISH) -> str:
    """The page.

    Parameters
    ----------
    graph
        The hop graph.
    picture
        The same graph, laid out.
    words
        The language of the page.

    Returns
    -------
    str
        HTML that a browser shows without any other file.
    """
    from markupsafe import Markup

    assets = files("forensics.drawing") / "assets"
    title, statement, when = heading(graph, words)
    plan = picture.plan
    script = "\n".join((assets / name).read_text("utf-8") for name in _SCRIPTS)
    said = {text: words(text) for text in _SAID.findall(script)} if words.language != ENGLISH.language else {}
    return html_template((assets / "hops.html.j2").read_text("utf-8")).render(
        policy=f"{CONTENT_POLICY}; script-src 'unsafe-inline'",
        title=title,
        statement=statement,
        when=when,
        roles={r: look for r, look in ROLES.items() if any(c.role == r for c in plan.cards)},
        tiers={t: look for t, look in TIERS.items() if any(t in line.tiers for line in plan.lines)},
        together=_counted(picture, words),
        say=words,
        style=Markup((assets / "hops.css").read_text("utf-8")),  # noqa: S704 - ours
        cytoscape=Markup((assets / "cytoscape.min.js").read_text("utf-8")),  # noqa: S704 - the library's
        script=Markup(script),  # noqa: S704 - ours
        data=Markup(script_json(_data(graph, picture, words) | {"words": said})),  # noqa: S704 - escaped for a script
    )


def _data(graph: MultiDiGraph[str], picture: HopPicture, words: Words) -> dict[str, Any]:
    """Everything the page's script knows."""
    zone = graph.graph.get("timezone") or "UTC"
    title, statement, range_ = heading(graph, words)
    folded = sorted(picture.plan.folded)
    proxies = [{"tag": picture.plan.proxies[p], "about": node_details(graph, p, zone, words)} for p in folded]
    nodes, ids = _nodes(graph, picture, zone, words)
    lines = _lines(picture, ids, zone, words)
    return {
        "nodes": nodes,
        "lines": lines,
        "proxies": proxies,
        "steps": _steps([row["when"] for row in (*nodes, *lines)], zone),
        "fonts": ", ".join(FONTS),
        "band": CHAIN_BAND,
        "heading": {"title": title, "statement": statement, "range": range_},
    }


def _counted(picture: HopPicture, words: Words) -> str:
    """What takes nodes and lines together, in words; empty where nothing is."""
    nodes = sum(map(len, picture.plan.groups.values()))
    lines = sum(len(line.members) for line in picture.plan.lines)
    told = "Take {nodes:,} nodes and {lines:,} lines together, as in the static picture"
    return words(told, nodes=nodes, lines=lines) if nodes or lines else ""


def _nodes(
    graph: MultiDiGraph[str], picture: HopPicture, zone: str, words: Words
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The nodes for the script: those of the picture, then those that it takes together; and the id of each."""
    plan, beside = picture.plan, places_of_members(picture)
    members = {node: group for group, nodes in plan.groups.items() for node in nodes}
    single = (c for c in picture.full.cards if c.node in members)
    cards = [*plan.cards, *(replace(c, lines=last_told(c.lines, words)) for c in single)]
    ids = {c.node: f"n{i}" for i, c in enumerate(cards)}
    rows = []
    for card in cards:
        own = plan.groups.get(card.node)
        facts = [graph.nodes.get(node, {}) for node in ((card.node,) if own is None else own)]
        rows.append(
            _node(card, ids[card.node], picture.centres.get(card.node) or beside[card.node])
            | {"about": group_details(card, words) if own is not None else node_details(graph, card.node, zone, words)}
            | {"when": when(facts, "first_seen", "last_seen"), "group": own is not None}
            | {"of": ids[members[card.node]] if card.node in members else None}
        )
    return rows, ids


def _lines(picture: HopPicture, ids: Mapping[str, str], zone: str, words: Words) -> list[dict[str, Any]]:
    """The lines for the script: those of the picture, then those that it takes together."""
    drawn = zip(picture.plan.lines, picture.routes, strict=True)
    names = {c.node: c.lines[0] for c in picture.plan.cards if c.node in picture.plan.groups}
    rows: list[dict[str, Any]] = []
    merged: dict[int, str] = {}
    for i, (line, route) in enumerate(drawn):
        way = _way(picture.centres[line.tail], picture.centres[line.head], route)
        about = line_details(line, zone, words, names)
        rows.append(_line(line, f"e{i}") | way | _ends(line, ids) | {"about": about, "of": None})
        merged |= {id(member): f"e{i}" for member in line.members}
    for line in picture.full.lines:
        if id(line) in merged:
            facts = {"about": line_details(line, zone, words), "of": merged[id(line)], "label": "", "weights": []}
            rows.append(_line(line, f"e{len(rows)}") | _ends(line, ids) | facts)
    return rows


def _ends(line: Line, ids: Mapping[str, str]) -> dict[str, Any]:
    """Where a line begins and ends, when it was seen, and whether it stands for several."""
    return {
        "source": ids[line.tail],
        "target": ids[line.head],
        "when": when(line.edges),
        "group": bool(line.members),
    }


def _steps(times: Sequence[Sequence[int | None]], zone: str) -> list[list[Any]]:
    """The moments at which the page's time can be cut, evenly from the first to the last, each in words."""
    known = [moment for pair in times for moment in pair if moment is not None]
    if not known:
        return []
    first, last = min(known), max(known)
    moments = sorted({first + (last - first) * i // _STEPS for i in range(_STEPS + 1)})
    return [[m, format_time(_EPOCH + timedelta(microseconds=m), zone)] for m in moments]


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
