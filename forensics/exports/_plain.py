"""A graph as other programs can hold it: plain values, ids that stay apart, one order.

Example: ``flat({"names": ["a.example", "b.example"], "rank": None})`` is ``{"names": "a.example; b.example"}``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from forensics.escaping import xml_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from networkx import MultiDiGraph

__all__ = ["Edge", "edges_of", "flat", "json_bytes", "nested", "node_ids", "utc_text"]

Plain = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge of a graph, in the order of all exports.

    Parameters
    ----------
    id
        An id that no other edge has; the graph's keys, the tiers, repeat.
    tail, head
        Nodes of the graph.
    data
        Attributes of the edge.
    """

    id: str
    tail: str
    head: str
    data: Mapping[str, Any]


def edges_of(graph: MultiDiGraph[str]) -> list[Edge]:
    """Return the edges, sorted by tail, head and key, with ids ``e0``, ``e1``, ..."""
    ordered = sorted(graph.edges(keys=True))
    return [Edge(f"e{number}", tail, head, graph[tail][head][key]) for number, (tail, head, key) in enumerate(ordered)]


def node_ids(graph: MultiDiGraph[str], escape: Callable[[str], str] = xml_safe) -> dict[str, str]:
    """Return the id of every node, in the order of the nodes: its name, escaped.

    Two hostile names may be alike once they are escaped; the second gets a number then, so that no node is lost.
    """
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for node in sorted(graph):
        first = escape(node)
        name, number = first, 1
        while name in taken:
            number += 1
            name = f"{first} ({number})"
        taken.add(name)
        ids[node] = name
    return ids


def flat(attributes: Mapping[str, Any]) -> dict[str, Plain]:
    """Return attributes as formats of graphs can hold them.

    Parameters
    ----------
    attributes
        Attributes of a node, an edge or the graph.

    Returns
    -------
    dict
        None and *not a number* left out (what was not observed is absent, never 0), times as ISO 8601 in UTC, lists of
        text joined by ``; ``, other lists and dictionaries as JSON, text without what XML cannot hold; sorted by key.

    Examples
    --------
    >>> flat({"names": ["a.example", "b.example"], "rank": None})
    {'names': 'a.example; b.example'}
    """
    cleaned = ((xml_safe(key), _flat(attributes[key])) for key in sorted(attributes))
    return {key: value for key, value in cleaned if value is not None}


def _flat(value: object) -> Plain | None:
    """Return one value, None for one that is left out."""
    plain: Plain | list[Any] | dict[str, Any] | None = nested(value)
    if not isinstance(plain, (list, dict)):
        return plain
    if isinstance(plain, list) and all(isinstance(one, str) for one in plain):
        return "; ".join(plain)
    return json.dumps(plain, ensure_ascii=False, sort_keys=True)


def nested(value: Any) -> Any:  # noqa: ANN401 - whatever an attribute is
    """Return a value as JSON can hold it: lists and dictionaries stay, None and *not a number* are None."""
    kind = type(value)  # nearly every value is of these, and the checks below take far longer
    if value is None or kind in (str, int, bool):
        return xml_safe(value) if kind is str else value
    if isinstance(value, (datetime, Real)):
        return None if value != value else _single(value)  # noqa: PLR0124 - NaN and NaT differ from themselves
    if isinstance(value, (list, tuple)):
        return [nested(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(nested(one) for one in value)
    if isinstance(value, dict):
        return {xml_safe(str(key)): nested(one) for key, one in value.items()}
    return xml_safe(str(value))


def _single(value: datetime | Real) -> str | int | float | None:
    """Return a time or a number, NumPy's too; an infinite number has no place in JSON."""
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, Integral):
        return int(value)
    return None if abs(number := float(value)) == float("inf") else number


def utc_text(moment: datetime) -> str:
    """Return the moment as ISO 8601 in UTC: ``2015-05-08T01:30:00Z``."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def json_bytes(value: object) -> bytes:
    """Return JSON in ASCII, sorted by key: nothing in it acts on a terminal or turns the reading order.

    Each object of a list stands on a line of its own, so that versions can be compared and lines be searched.
    """
    return (_spread(value, 2) + "\n").encode()


def _spread(value: object, levels: int) -> str:
    """Return JSON with lists and the outer objects over several lines; the standard library's indent is far slower."""
    if isinstance(value, dict) and value and levels:
        pairs = (f"{_dumped(key)}: {_spread(value[key], levels - 1)}" for key in sorted(value))
        return "{\n" + ",\n".join(pairs) + "\n}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(map(_dumped, value)) + "\n]"
    return _dumped(value)


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True)
