"""The hop graph as GraphML, for Gephi, yEd, Cytoscape and networkx.

Example: ``render(graph)[".graphml"]`` is the file as bytes.

References
----------
.. [1] The GraphML Project Group, *GraphML Specification*, http://graphml.graphdrawing.org/specification.html
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from forensics.exports._plain import edges_of, flat, node_ids

if TYPE_CHECKING:
    from networkx import MultiDiGraph

__all__ = ["SUFFIX", "TITLE", "render"]

SUFFIX = ".graphml"
TITLE = "GraphML"


def render(graph: MultiDiGraph[str]) -> dict[str, bytes]:
    """Return the file: nodes and edges sorted, and every edge with an id of its own."""
    import networkx as nx

    copy: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    copy.graph.update(flat(graph.graph))
    ids = node_ids(graph)
    for node, name in ids.items():
        copy.add_node(name, **flat(graph.nodes[node]))
    for edge in edges_of(graph):
        copy.add_edge(ids[edge.tail], ids[edge.head], key=edge.id, **flat(edge.data))
    buffer = io.BytesIO()
    nx.write_graphml_xml(copy, buffer, infer_numeric_types=True)
    return {SUFFIX: buffer.getvalue()}
