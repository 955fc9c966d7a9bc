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
    from forensics.words import Words

__all__ = ["group_details", "line_details", "node_details", "when"]

_MOST_NAMES = 20  # that a panel lists
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def node_details(graph: MultiDiGraph[str], node: str, zone: str, words: Words) -> dict[str, Any]:
    """Facts, names over time, place, findings and reasons of a node.

    Parameters
    ----------
    graph
        The hop graph.
    node
        One of its nodes.
    zone
        IANA name of the zone in which times are told.
    words
        The language.

    Returns
    -------
    dict
        ``title``, ``rows`` and ``reasons``, all of them text that is ready to be shown.
    """
    data: Mapping[str, Any] = graph.nodes.get(node, {"role": "proxy"})
    rows = [[words("Role"), words(ROLES[role_of(data)].label)]]
    rows += [[words("Rank"), str(data["rank"])]] if data.get("rank") is not None else []
    rows += [[words("Score"), f"{data['score']:.3g}"]] if data.get("score") is not None else []
    rows += [
        [words("Names"), ", ".join(seen(n) for n in sorted(data.get("names") or ())) or words("none observed")],
        *_names_over_time(data.get("names_seen") or (), zone, words),
        *_place(data, words),
        [words("First seen"), words(format_time(data.get("first_seen"), zone))],
        [words("Last seen"), words(format_time(data.get("last_seen"), zone))],
        [words("Bytes out"), words(_count(data.get("bytes_out")))],
        [words("Bytes in"), words(_count(data.get("bytes_in")))],
        [words("Spikes"), str(data.get("spikes") or 0)],
        *(
            [_title(name, words), words("findings: {count:,}", count=count)]
            for name, count in sorted((data.get("findings") or {}).items())
        ),
    ]
    return {"title": seen(node), "rows": rows, "reasons": [words.told(seen(r)) for r in data.get("reasons") or ()]}


def _names_over_time(names: Sequence[Mapping[str, Any]], zone: str, words: Words) -> Iterator[list[str]]:
    """What it was called, how that is known, and from when to when."""
    for name in names[:_MOST_NAMES]:
        first, last = (format_time(name[key], zone) for key in ("first", "last"))
        count = name["times"]
        told = words.number(count, "{name}: {count:,} record, {time}", "{name}: {count:,} records, {time}")
        time = words("{first} to {last}", first=first, last=last)
        yield [
            words("Called by {how}", how=seen(name["how"])),
            told.format(name=seen(name["name"]), count=count, time=time),
        ]
    if len(names) > _MOST_NAMES:
        told = "{more:,} further names; the graph's files have all"
        yield [words("Called"), words(told, more=len(names) - _MOST_NAMES)]


def _place(data: Mapping[str, Any], words: Words) -> Iterator[list[str]]:
    """Country and network, where a file of the analyst says them."""
    if data.get("country"):
        yield [words("Country"), seen(data["country"])]
    if data.get("as_number") is not None or data.get("as_name"):
        number = [f"AS{data['as_number']}"] if data.get("as_number") is not None else []
        yield [words("Network"), " ".join([*number, seen(data.get("as_name") or "")]).strip()]


def _title(detector: str, words: Words) -> str:
    """What a detector finds."""
    return words(all_detectors()[detector].TITLE) if detector in all_detectors() else seen(detector)


def group_details(card: Card, words: Words) -> dict[str, Any]:
    """What is told of a card that stands for several nodes; the page lists those beside it."""
    return {"title": ", ".join(card.lines), "rows": [[words("Role"), words(ROLES[card.role].label)]], "reasons": []}


def line_details(line: Line, zone: str, words: Words, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Facts and evidence of a line, tier by tier.

    Parameters
    ----------
    line
        A line of the picture.
    zone
        IANA name of the zone in which times are told.
    words
        The language.
    names
        What the cards that stand for several nodes are called.

    Returns
    -------
    dict
        ``title`` and ``parts``, one for each tier: ``tier``, ``rows``, ``reasons`` and ``evidence``.
    """
    parts = [_part(t, e, zone, words) for t, e in zip(line.tiers, line.edges, strict=True)]
    tail, head = ((names or {}).get(end) or seen(end) for end in (line.tail, line.head))
    return {"title": f"{tail} \N{RIGHTWARDS ARROW} {head}", "parts": parts}


def _part(tier: str, edge: Mapping[str, Any], zone: str, words: Words) -> dict[str, Any]:
    """What one edge tells."""
    kind = f" ({seen(edge['bytes_kind'])})" if edge.get("bytes_kind") else ""
    rows = [
        [words("First"), words(format_time(edge.get("start"), zone))],
        [words("Last"), words(format_time(edge.get("end"), zone))],
        [words("Bytes along the arrow"), words(_count(edge.get("bytes_out"))) + kind],
        [words("Bytes back"), words(_count(edge.get("bytes_in"))) + kind],
        [words("Connections"), str(edge.get("connections") or words(NOT_OBSERVED))],
        [words("Through"), ", ".join(seen(p) for p in sorted(edge.get("via") or ())) or words("no proxy on record")],
    ]
    if edge.get("p_value") is not None:
        rows.append([words("Match"), words("{p} in unrelated traffic", p=format_p(edge["p_value"]))])
    sights = edge.get("seen_by") or ()
    rows += [[words("Seen at {place}", place=seen(sight["vantage"])), _sight(sight, words)] for sight in sights]
    rows += [[words("Differs"), words.told(seen(difference))] for difference in edge.get("differences") or ()]
    rows += [[words("Spike"), words("yes: unusual volume")]] if edge.get("spike") else []
    evidence = [[seen(e[k]) for k in ("source", "records", "sha256")] for e in edge.get("evidence") or ()]
    reasons = [words.told(seen(edge["reason"]))] if edge.get("reason") else []
    return {"tier": words(TIERS[tier].label), "rows": rows, "reasons": reasons, "evidence": evidence}


def _sight(sight: Mapping[str, Any], words: Words) -> str:
    """What one place saw: bytes each way, and whether they are those that count."""
    along, back = (words(format_bytes(sight[f"bytes_{way}"])) for way in ("out", "in"))
    text = words("{along} along, {back} back ({kind})", along=along, back=back, kind=seen(sight["bytes_kind"]))
    text += words(", behind {gateway}", gateway=seen(sight["gateway"])) if sight["gateway"] else ""
    return text if sight["counted"] else text + words(", not counted again")


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
