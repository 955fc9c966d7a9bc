"""The hop graph as GraphML, for Gephi, yEd, Cytoscape and networkx.

Example: ``to_graphml(graph)`` is the file as bytes.

References
----------
.. [1] The GraphML Project Group, *GraphML Specification*, http://graphml.graphdrawing.org/specification.html
"""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from forensics.escaping import xml_safe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from networkx import MultiDiGraph

__all__ = ["clean_attrs", "to_graphml"]


def clean_attrs(attributes: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Attributes as graph formats can hold them.

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
    >>> clean_attrs({"names": ["a.example", "b.example"], "rank": None})
    {'names': 'a.example; b.example'}
    """
    cleaned = ((key, _clean(attributes[key])) for key in sorted(attributes))
    return {key: value for key, value in cleaned if value is not None}


def _clean(value: object) -> str | int | float | bool | None:
    """One value, None for one that is left out."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (datetime, Real)):
        return None if value != value else _single(value)  # noqa: PLR0124 - NaN and NaT differ from themselves
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(v, str) for v in value):
        return xml_safe("; ".join(sorted(value) if isinstance(value, (set, frozenset)) else value))
    if isinstance(value, (list, tuple, dict)):
        return xml_safe(json.dumps(value, default=_text, ensure_ascii=False, sort_keys=True))
    return xml_safe(str(value))


def _single(value: datetime | Real) -> str | int | float:
    """A time or a number, NumPy's too."""
    if isinstance(value, datetime):
        return _iso(value)
    return int(value) if isinstance(value, Integral) else float(value)


def _iso(moment: datetime) -> str:
    """The moment as ISO 8601 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _text(value: object) -> str:
    """What JSON does not know, as text."""
    return _iso(value) if isinstance(value, datetime) else str(value)


def to_graphml(graph: MultiDiGraph[str]) -> bytes:
    """The graph as GraphML.

    Parameters
    ----------
    graph
        The hop graph.

    Returns
    -------
    bytes
        The file: nodes and edges sorted, and every edge with an id of its own (the graph's keys, the tiers, repeat).
    """
    import networkx as nx

    copy: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    copy.graph.update(clean_attrs(graph.graph))
    for node in sorted(graph):
        copy.add_node(xml_safe(node), **clean_attrs(graph.nodes[node]))
    for number, (tail, head, key) in enumerate(sorted(graph.edges(keys=True))):
        copy.add_edge(xml_safe(tail), xml_safe(head), key=f"e{number}", **clean_attrs(graph[tail][head][key]))
    buffer = io.BytesIO()
    nx.write_graphml_xml(copy, buffer, infer_numeric_types=True)
    return buffer.getvalue()
