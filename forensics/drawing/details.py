"""What the interactive page tells of a node or a line: every fact of the graph, in words.

Example: ``node_details(graph, "192.0.2.7", "UTC")["rows"]`` is a list of label and value.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from forensics.detectors import all_detectors
from forensics.drawing.model import role_of, seen
from forensics.drawing.style import NOT_OBSERVED, ROLES, TIERS, format_bytes, format_p, format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from networkx import MultiDiGraph

    from forensics.drawing.model import Card, Line

__all__ = ["group_details", "line_details", "node_details", "when"]

_MOST_NAMES = 20  # that a panel lists
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def node_details(graph: MultiDiGraph[str], node: str, zone: str) -> dict[str, Any]:
    """Facts, names over time, place, findings and reasons of a node.

    Parameters
    ----------
    graph
        The hop graph.
    node
        One of its nodes.
    zone
        IANA name of the zone in which times are told.

    Returns
    -------
    dict
        ``title``, ``rows`` and ``reasons``, all of them text that is ready to be shown.
    """
    data: Mapping[str, Any] = graph.nodes.get(node, {"role": "proxy"})
    rows = [["Role", ROLES[role_of(data)].label]]
    rows += [["Rank", str(data["rank"])]] if data.get("rank") is not None else []
    rows += [["Score", f"{data['score']:.3g}"]] if data.get("score") is not None else []
    rows += [
        ["Names", ", ".join(seen(n) for n in sorted(data.get("names") or ())) or "none observed"],
        *_names_over_time(data.get("names_seen") or (), zone),
        *_place(data),
        ["First seen", format_time(data.get("first_seen"), zone)],
        ["Last seen", format_time(data.get("last_seen"), zone)],
        ["Bytes out", _count(data.get("bytes_out"))],
        ["Bytes in", _count(data.get("bytes_in"))],
        ["Spikes", str(data.get("spikes") or 0)],
        *([_title(name), f"findings: {count:,}"] for name, count in sorted((data.get("findings") or {}).items())),
    ]
    return {"title": seen(node), "rows": rows, "reasons": [seen(r) for r in data.get("reasons") or ()]}


def _names_over_time(names: Sequence[Mapping[str, Any]], zone: str) -> Iterator[list[str]]:
    """What it was called, how that is known, and from when to when."""
    for name in names[:_MOST_NAMES]:
        first, last = (format_time(name[key], zone) for key in ("first", "last"))
        records = f"{name['times']:,} record{'s' * (name['times'] != 1)}"
        yield [f"Called by {seen(name['how'])}", f"{seen(name['name'])}: {records}, {first} to {last}"]
    if len(names) > _MOST_NAMES:
        yield ["Called", f"{len(names) - _MOST_NAMES:,} further names; the graph's files have all"]


def _place(data: Mapping[str, Any]) -> Iterator[list[str]]:
    """Country and network, where a file of the analyst says them."""
    if data.get("country"):
        yield ["Country", seen(data["country"])]
    if data.get("as_number") is not None or data.get("as_name"):
        number = [f"AS{data['as_number']}"] if data.get("as_number") is not None else []
        yield ["Network", " ".join([*number, seen(data.get("as_name") or "")]).strip()]


def _title(detector: str) -> str:
    """What a detector finds."""
    return all_detectors()[detector].TITLE if detector in all_detectors() else seen(detector)


def group_details(card: Card) -> dict[str, Any]:
    """What is told of a card that stands for several nodes; the page lists those beside it."""
    return {"title": ", ".join(card.lines), "rows": [["Role", ROLES[card.role].label]], "reasons": []}


def line_details(line: Line, zone: str, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Facts and evidence of a line, tier by tier.

    Parameters
    ----------
    line
        A line of the picture.
    zone
        IANA name of the zone in which times are told.
    names
        What the cards that stand for several nodes are called.

    Returns
    -------
    dict
        ``title`` and ``parts``, one for each tier: ``tier``, ``rows``, ``reasons`` and ``evidence``.
    """
    parts = [_part(t, e, zone) for t, e in zip(line.tiers, line.edges, strict=True)]
    tail, head = ((names or {}).get(end) or seen(end) for end in (line.tail, line.head))
    return {"title": f"{tail} \N{RIGHTWARDS ARROW} {head}", "parts": parts}


def _part(tier: str, edge: Mapping[str, Any], zone: str) -> dict[str, Any]:
    """What one edge tells."""
    kind = f" ({seen(edge['bytes_kind'])})" if edge.get("bytes_kind") else ""
    rows = [
        ["First", format_time(edge.get("start"), zone)],
        ["Last", format_time(edge.get("end"), zone)],
        ["Bytes along the arrow", _count(edge.get("bytes_out")) + kind],
        ["Bytes back", _count(edge.get("bytes_in")) + kind],
        ["Connections", str(edge.get("connections") or NOT_OBSERVED)],
        ["Through", ", ".join(seen(p) for p in sorted(edge.get("via") or ())) or "no proxy on record"],
    ]
    rows += [["Match", f"{format_p(edge['p_value'])} in unrelated traffic"]] if edge.get("p_value") is not None else []
    rows += [[f"Seen at {seen(sight['vantage'])}", _sight(sight)] for sight in edge.get("seen_by") or ()]
    rows += [["Differs", seen(difference)] for difference in edge.get("differences") or ()]
    rows += [["Spike", "yes: unusual volume"]] if edge.get("spike") else []
    evidence = [[seen(e[k]) for k in ("source", "records", "sha256")] for e in edge.get("evidence") or ()]
    reasons = [seen(edge["reason"])] if edge.get("reason") else []
    return {"tier": TIERS[tier].label, "rows": rows, "reasons": reasons, "evidence": evidence}


def _sight(sight: Mapping[str, Any]) -> str:
    """What one place saw: bytes each way, and whether they are those that count."""
    ways = f"{format_bytes(sight['bytes_out'])} along, {format_bytes(sight['bytes_in'])} back"
    behind = f", behind {seen(sight['gateway'])}" if sight["gateway"] else ""
    return f"{ways} ({seen(sight['bytes_kind'])}){behind}{'' if sight['counted'] else ', not counted again'}"


def _count(count: int | None) -> str:
    """Bytes in words and to the byte."""
    return format_bytes(count) if count is None else f"{format_bytes(count)} ({count:,} B)"


def when(edges: Iterable[Mapping[str, Any]], first: str = "start", last: str = "end") -> list[int | None]:
    """The first and the last moment of these facts, in microseconds since 1970 UTC; None where none is known."""
    told = list(edges)
    starts = [_moment(e[first]) for e in told if e.get(first) is not None]
    ends = [_moment(e[last]) for e in told if e.get(last) is not None]
    return [min(starts, default=None), max(ends, default=None)]


def _moment(time: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (time.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
