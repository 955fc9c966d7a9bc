"""What is on record of the nodes of a graph: their names over time, and how many findings concern them."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from forensics.engines import query_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import networkx as nx
    import pandas as pd

    from forensics.case import Case

__all__ = ["add_names", "count_findings"]

NAMED = pa.schema([("server", pa.string())])


def add_names(graph: nx.MultiDiGraph[str], case: Case) -> None:
    """Give every node ``names_seen``: its names over time, in order of their first time.

    Each is a dictionary with ``name``, ``how`` (as in the table `names`), ``first``, ``last`` and ``times``, the number
    of records that call it so.

    Parameters
    ----------
    graph
        The hop graph.
    case
        Its case.
    """
    named = pa.Table.from_pylist([{"server": node} for node in sorted(graph)], NAMED)
    rows: list[dict[str, Any]] = case.sql(query_text("node_names"), named=named).to_arrow().to_pylist()
    seen: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        seen[row.pop("address")].append(row)
    for node, data in graph.nodes(data=True):
        data["names_seen"] = seen[node]


def count_findings(graph: nx.MultiDiGraph[str], found: Mapping[str, pd.DataFrame]) -> None:
    """Give every node ``findings``: how many findings of each detector concern it, where there are any.

    Parameters
    ----------
    graph
        The hop graph.
    found
        Findings by the detector's name.
    """
    counts = {
        name: Counter(end for pair in zip(frame["src"], frame["dst"], strict=True) for end in set(pair))
        for name, frame in sorted(found.items())
    }
    for node, data in graph.nodes(data=True):
        data["findings"] = {name: count[node] for name, count in counts.items() if count[node]}
