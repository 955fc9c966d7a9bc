"""The operation on one axis of time: when each relay was used, its spikes, regular contacts and what went on from it.

Example: ``draw_scene(graph, spikes, beacons)`` is the chart of a hop graph and its findings.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from forensics.drawing import marks
from forensics.drawing.frames import MARGIN, SMALL, Frame, evidence_of, line, time_ticks
from forensics.drawing.model import caption, role_of, seen
from forensics.drawing.scene import Outline, Text, box, text_width
from forensics.drawing.style import INK, MATCHED, PALE, SPIKE, format_range, format_time, shorten, zone_name
from forensics.words import ENGLISH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from networkx import MultiDiGraph

    from forensics.drawing.scene import Scene
    from forensics.words import Words

    Item = Outline | Text
    Finding = Mapping[Any, Any]
    Spans = Mapping[str, Sequence[tuple[datetime, datetime]]]

__all__ = ["MOST_RELAYS", "draw_scene"]

MOST_RELAYS = 30
"""Rows; of further relays the chart gives the number."""

_HIGH = 34.0  # of a row [pt]
_WIDE = 620.0  # of the axis [pt]
_LONGEST = 30
_GRID, _BAR, _BEACON = "#e0e0e0", "#b9c6d2", "#5b4a00"
_LEAST = 2.0  # a moment is drawn as wide as this [pt]
_TO = "\N{RIGHTWARDS ARROW}"
_INSTANT = timedelta(minutes=1)
_KINDS = {
    "contact": "from first to last contact",
    "spike": "spike of volume",
    "beacon": "regular contact",
    "matched": "traffic went on, matched in time: first to last session",
}


@dataclass(frozen=True, slots=True)
class Axis:
    """Where a moment stands.

    Parameters
    ----------
    start, end
        The times at its ends.
    left
        Where it begins. [pt]
    """

    start: datetime
    end: datetime
    left: float

    def x(self, moment: datetime) -> float:
        """The place of a moment. [pt]"""
        return self.left + _WIDE * ((moment - self.start) / (self.end - self.start))

    def span(self, first: datetime, last: datetime) -> tuple[float, float]:
        """Left end and width of a time, wide enough to be seen. [pt]"""
        x = self.x(max(first, self.start))
        return x, max(self.x(min(last, self.end)) - x, _LEAST)


@dataclass(frozen=True, slots=True)
class Told:
    """What is told: the graph, where moments stand, when findings of each server begin and end, and the zone."""

    graph: MultiDiGraph[str]
    axis: Axis
    spikes: Spans
    beacons: Spans
    zone: str


def draw_scene(
    graph: MultiDiGraph[str], spikes: Iterable[Finding], beacons: Iterable[Finding], words: Words = ENGLISH
) -> Scene:
    """The timeline of a hop graph.

    Parameters
    ----------
    graph
        The hop graph.
    spikes, beacons
        Findings; those that concern its relays are shown.
    words
        The language of the chart.

    Returns
    -------
    Scene
        The chart; it says so where there is nothing to show.
    """
    facts = graph.graph
    zone = facts.get("timezone") or "UTC"
    rows = _relays(graph)
    named = {node: caption(graph, node, _LONGEST) for node in rows[:MOST_RELAYS]}
    left = MARGIN + max((text_width(t, SMALL, bold=True) for name in named.values() for t in name), default=0.0) + 14
    known = [t for node in rows for t in _times(graph, node)]
    when = format_range(min(known, default=None), max(known, default=None), zone)
    more = len(rows) - len(named)
    about = [when, f"{more:,} further relays or candidates are not shown"] if more > 0 else [when]
    title = f"{facts.get('title') or 'Hop graph'}: relays over time"
    frame = Frame(title, about, max(left + _WIDE + MARGIN + 30, 560.0), words)
    if known:
        last = max(*known, min(known) + _INSTANT)
        told = Told(graph, Axis(min(known), last, left), _by_server(spikes), _by_server(beacons), zone)
        _paint(frame, told, named)
    else:
        frame.scene.add([Text(MARGIN, frame.y + 14, frame.say("No relay or candidate with known times."), 10.0)])
        frame.y += 28
    return frame.finish(evidence_of(graph))


def _relays(graph: MultiDiGraph[str]) -> list[str]:
    """The relays, by rank."""
    ranks = {n: d.get("rank") for n, d in graph.nodes(data=True) if role_of(d) == "relay"}
    return sorted(ranks, key=lambda n: (float("inf") if ranks[n] is None else ranks[n], n))


def _times(graph: MultiDiGraph[str], node: str) -> list[datetime]:
    """When it was seen first and last, as far as that is known."""
    return [graph.nodes[node][key] for key in ("first_seen", "last_seen") if graph.nodes[node].get(key) is not None]


def _by_server(findings: Iterable[Finding]) -> dict[str, list[tuple[datetime, datetime]]]:
    """When findings that concern each server begin and end."""
    found: defaultdict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in findings:
        if isinstance(row["dst"], str):
            found[row["dst"]].append((row["start"], row["end"]))
    return found


def _paint(frame: Frame, told: Told, named: Mapping[str, tuple[str, str]]) -> None:
    """Axis, rows and legend."""
    axis = told.axis
    top = frame.y + 6
    bottom = top + _HIGH * len(named)
    for moment, text in time_ticks(axis.start, axis.end, told.zone):
        x = axis.x(moment)
        frame.scene.add([line((x, top), (x, bottom), _GRID), Text(x, bottom + 12, text, SMALL, anchor="middle")])
    frame.scene.add([line((axis.left, bottom), (axis.left + _WIDE, bottom), INK, 0.8)])
    title = frame.say(f"time ({zone_name(told.zone, axis.start)})")
    frame.scene.add([Text(axis.left + _WIDE / 2, bottom + 26, title, 9.0, anchor="middle")])
    shown = set()
    for number, (node, (address, name)) in enumerate(named.items()):
        y = top + _HIGH * (number + 0.5)
        frame.scene.add([Text(axis.left - 8, y + (-1 if name else 3), address, SMALL, bold=True, anchor="end")])
        frame.scene.add([Text(axis.left - 8, y + 9, name, SMALL, colour=PALE, anchor="end")] if name else [])
        for kind, items in _row(told, node, y):
            shown.add(kind)
            frame.scene.add(items)
    frame.y = bottom + 36
    frame.scene.add(_legend(shown, frame.y, frame.say))
    frame.y += 20


def _row(told: Told, node: str, y: float) -> Iterator[tuple[str, list[Item]]]:
    """What is known of one relay: kind and items, from below to above."""
    axis = told.axis
    times = _times(told.graph, node)
    if times:
        x, width = axis.span(min(times), max(times))
        first, last = (format_time(t, told.zone) for t in (min(times), max(times)))
        hint = f"{seen(node)} | {first} to {last}"
        yield "contact", [Outline(box(x, y - 5, width, 10), fill=_BAR, stroke=INK, width=0.7, hint=hint)]
    for start, end in told.beacons.get(node, ()):
        x, width = axis.span(start, end)
        yield "beacon", [line((x, y), (x + width, y), _BEACON, 2.2, (2.0, 2.0))]
    yield from (("matched", items) for items in _ways_on(told, node, y + 10))
    for start, end in told.spikes.get(node, ()):
        x, width = axis.span(start, end)
        yield "spike", [line((x, y - 7), (x + width, y - 7), SPIKE, 2.0), *marks.flag(x, y - 16)]


def _ways_on(told: Told, node: str, y: float) -> Iterator[list[Item]]:
    """The matched edges of a relay, and to whom they lead."""
    axis, ends, heads = told.axis, [], []
    for _, head, edge in sorted(told.graph.out_edges(node, data=True), key=lambda edge: edge[1]):
        if edge.get("tier") == "matched" and edge.get("start") is not None:
            x, width = axis.span(edge["start"], edge["end"])
            first, last = (format_time(edge[key], told.zone) for key in ("start", "end"))
            hint = f"{seen(node)} {_TO} {seen(head)} | {first} to {last}"
            yield [replace(line((x, y), (x + width, y), MATCHED, 2.4), hint=hint), *marks.rings(x, y)]
            ends += [x, x + width]
            heads.append(seen(head))
    if heads:
        text = shorten(f"{_TO} {', '.join(heads)}", 2 * _LONGEST)
        fits = max(ends) + text_width(text, SMALL) < axis.left + _WIDE + MARGIN
        x = max(ends) + 4 if fits else min(ends) - 4
        yield [Text(x, y + 3, text, SMALL, colour=MATCHED, anchor="start" if fits else "end")]


def _legend(shown: set[str], y: float, say: Callable[[str], str]) -> Iterator[Item]:
    """What the marks mean that are in the picture."""
    x = MARGIN
    for kind, text in _KINDS.items():
        if kind in shown:
            yield from _swatch(kind, x, y)
            yield Text(x + 28, y + 9, say(text), SMALL)
            x += 28 + text_width(say(text), SMALL) + 18


def _swatch(kind: str, x: float, y: float) -> Iterator[Item]:
    """A mark as the legend shows it."""
    if kind == "contact":
        yield Outline(box(x, y + 1, 22, 10), fill=_BAR, stroke=INK, width=0.7)
    elif kind == "spike":
        yield line((x, y + 9), (x + 22, y + 9), SPIKE, 2.0)
        yield from marks.flag(x, y + 2)
    elif kind == "beacon":
        yield line((x, y + 6), (x + 22, y + 6), _BEACON, 2.2, (2.0, 2.0))
    else:
        yield line((x, y + 6), (x + 22, y + 6), MATCHED, 2.4)
        yield from marks.rings(x, y + 6)
