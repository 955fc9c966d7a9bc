"""The hop graph as Cytoscape JSON, for the program Cytoscape and for Cytoscape.js.

Example: ``render(graph)[".cyjs"]`` is the file as bytes.

References
----------
.. [1] M. Franz et al., "Cytoscape.js: a graph theory library for visualisation and analysis", Bioinformatics 32 (2016)
   309-311, doi:10.1093/bioinformatics/btv557.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.exports._plain import edges_of, flat, json_bytes, node_ids

if TYPE_CHECKING:
    from networkx import MultiDiGraph

__all__ = ["SUFFIX", "TITLE", "render"]

SUFFIX = ".cyjs"
TITLE = "Cytoscape JSON"


def render(graph: MultiDiGraph[str]) -> dict[str, bytes]:
    """Return the file; ids are numbers of ours, since a node and an edge must not share one: ``name`` is the node."""
    ids = node_ids(graph)
    nodes = [
        {"data": flat(graph.nodes[node]) | {"id": f"n{number}", "value": f"n{number}", "name": name}}
        for number, (node, name) in enumerate(ids.items())
    ]
    places = {node: f"n{number}" for number, node in enumerate(ids)}
    edges = [
        {"data": flat(e.data) | {"id": e.id, "source": places[e.tail], "target": places[e.head], "key": e.id}}
        for e in edges_of(graph)
    ]
    facts = flat(graph.graph)
    return {
        SUFFIX: json_bytes(
            {
                "format_version": "1.0",
                "generated_by": "forensics",
                "directed": True,
                "multigraph": True,
                "data": facts | {"name": facts.get("title", "")},
                "elements": {"nodes": nodes, "edges": edges},
            }
        )
    }
