"""The hop graph as GEXF 1.3, for Gephi with its timeline.

Nodes and edges bear the time from which and until which they were seen, so that Gephi can show how the operation grew.

Example: ``render(graph)[".gexf"]`` is the file as bytes.

References
----------
.. [1] Gephi Consortium, *GEXF 1.3 schema*, https://gexf.net/schema.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from forensics.exports._plain import edges_of, flat, node_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from networkx import MultiDiGraph

    from forensics.exports._plain import Plain

__all__ = ["SUFFIX", "TITLE", "render"]

SUFFIX = ".gexf"
TITLE = "GEXF 1.3"

_TYPES = ((bool, "boolean"), (int, "long"), (float, "double"))


def render(graph: MultiDiGraph[str]) -> dict[str, bytes]:
    """Return the file.

    `xml.etree` writes it and not networkx, which puts the day of writing into its own.
    """
    root = ET.Element("gexf", {"xmlns": "http://gexf.net/1.3", "version": "1.3"})
    facts = flat(graph.graph)
    about = ET.SubElement(root, "meta")
    for tag, key in (("title", "title"), ("description", "statement")):
        ET.SubElement(about, tag).text = str(facts.get(key, ""))
    # `date` takes times, too, and is the only format of text that networkx reads.
    inner = ET.SubElement(root, "graph", {"mode": "dynamic", "defaultedgetype": "directed", "timeformat": "date"})
    ids = node_ids(graph)
    nodes = [({"id": name, "label": name}, flat(graph.nodes[node])) for node, name in ids.items()]
    edges = [
        ({"id": e.id, "source": ids[e.tail], "target": ids[e.head], "kind": str(e.data.get("tier"))}, flat(e.data))
        for e in edges_of(graph)
    ]
    _add(inner, "node", nodes, ("first_seen", "last_seen"))
    _add(inner, "edge", edges, ("start", "end"))
    ET.indent(root, " ")
    return {SUFFIX: ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"}


def _add(
    parent: ET.Element, tag: str, rows: Sequence[tuple[dict[str, str], Mapping[str, Plain]]], times: tuple[str, str]
) -> None:
    """Add the attributes that the rows have, then the rows."""
    columns: dict[str, list[Plain]] = {}
    for _, values in rows:
        for key, value in values.items():
            columns.setdefault(key, []).append(value)
    kinds = {key: _kind(values) for key, values in columns.items()}
    declared = ET.SubElement(parent, "attributes", {"class": tag, "mode": "static"})
    numbers = {key: str(number) for number, key in enumerate(sorted(kinds))}
    for key, number in numbers.items():
        ET.SubElement(declared, "attribute", {"id": number, "title": key, "type": kinds[key]})
    group = ET.SubElement(parent, f"{tag}s")
    for fixed, values in rows:
        spell = {name: str(values[key]) for name, key in zip(("start", "end"), times, strict=True) if key in values}
        element = ET.SubElement(group, tag, fixed | spell)
        held = ET.SubElement(element, "attvalues")
        for key, value in values.items():
            ET.SubElement(held, "attvalue", {"for": numbers[key], "value": _text(value)})


def _kind(values: Sequence[Any]) -> str:
    """Return the type of an attribute; text, where its values are of several."""
    kinds = {next((name for kind, name in _TYPES if isinstance(value, kind)), "string") for value in values}
    if kinds == {"long", "double"}:
        return "double"
    return kinds.pop() if len(kinds) == 1 else "string"


def _text(value: Plain) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
