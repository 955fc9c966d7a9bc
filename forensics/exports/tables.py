"""The hop graph as two tables, nodes and edges, for spreadsheets, pandas and Gephi.

Example: ``render(graph)[".edges.csv"]`` is one row per edge.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from forensics.escaping import csv_safe
from forensics.exports._plain import edges_of, flat, node_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from networkx import MultiDiGraph

    from forensics.exports._plain import Plain

__all__ = ["SUFFIX", "TITLE", "render"]

SUFFIX = ".csv"
TITLE = "Two tables, CSV"

_NODE_COLUMNS = ("id", "role", "names", "first_seen", "last_seen", "bytes_out", "bytes_in", "rank", "score", "reasons")
_EDGE_COLUMNS = (
    "source", "target", "tier", "start", "end", "bytes_out", "bytes_in", "bytes_kind", "connections", "via", "reason",
    "evidence",
)  # fmt: skip


def render(graph: MultiDiGraph[str]) -> dict[str, bytes]:
    """Return both files; an empty cell was not observed."""
    ids = node_ids(graph)
    nodes = [flat(graph.nodes[node]) | {"id": name} for node, name in ids.items()]
    edges = [flat(edge.data) | {"source": ids[edge.tail], "target": ids[edge.head]} for edge in edges_of(graph)]
    return {".nodes.csv": _table(_NODE_COLUMNS, nodes), ".edges.csv": _table(_EDGE_COLUMNS, edges)}


def _table(first: Sequence[str], rows: Sequence[Mapping[str, Plain]]) -> bytes:
    """Return rows as CSV: the first columns are always there, others where a row has them."""
    more = sorted({key for row in rows for key in row} - set(first))
    columns = [*first, *more]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([csv_safe(column) for column in columns])
    for row in rows:
        cells = [row.get(column, "") for column in columns]
        writer.writerow([csv_safe(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue().encode()
