"""The hop graph as node-link JSON, for scripts: networkx, D3.

Nothing is flattened: lists stay lists, evidence stays a list of objects, what was not observed is null.

Example: ``networkx.node_link_graph(json.load(open("hops.json")), edges="edges")``
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.exports._plain import edges_of, json_bytes, nested, node_ids

if TYPE_CHECKING:
    from networkx import MultiDiGraph

__all__ = ["SUFFIX", "TITLE", "render"]

SUFFIX = ".json"
TITLE = "Node-link JSON"


def render(graph: MultiDiGraph[str]) -> dict[str, bytes]:
    """Return the file."""
    ids = node_ids(graph)
    nodes = [nested(graph.nodes[node]) | {"id": name} for node, name in ids.items()]
    edges = [
        nested(dict(edge.data)) | {"source": ids[edge.tail], "target": ids[edge.head], "key": edge.id}
        for edge in edges_of(graph)
    ]
    told = {"directed": True, "multigraph": True, "graph": nested(graph.graph), "nodes": nodes, "edges": edges}
    return {SUFFIX: json_bytes(told)}
