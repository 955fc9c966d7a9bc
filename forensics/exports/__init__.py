"""The hop graph for other programs: one module for each kind of file, found by being in this folder.

A module is a kind when it has the members of `Kind`; the name of a helper begins with ``_``.

Example: ``write_graph(graph, "hops.gexf")``; the suffix chooses the kind.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from os import PathLike

    from networkx import MultiDiGraph

__all__ = ["Kind", "all_kinds", "suffix_of", "write_graph"]


class Kind(Protocol):
    """What a module in this folder must have to be a kind of file."""

    SUFFIX: str
    """End of the file's name that chooses it, with its dot."""

    TITLE: str
    """What it is, in words."""

    def render(self, graph: MultiDiGraph[str]) -> dict[str, bytes]:
        """Return the content of each file by the end of its name; the same graph gives the same bytes.

        Parameters
        ----------
        graph
            The hop graph.
        """


@cache
def all_kinds() -> dict[str, Kind]:
    """Return every kind of file by its suffix, sorted."""
    names = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    kinds = (cast("Kind", importlib.import_module(f"{__name__}.{name}")) for name in names)
    return {kind.SUFFIX: kind for kind in sorted(kinds, key=lambda kind: kind.SUFFIX)}


def suffix_of(path: str | PathLike[str]) -> str:
    """Return the end of a file's name that says which kind of graph file it is.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ValueError
        The name ends with no such suffix; the message lists them.
    """
    name = Path(path).name
    fitting = [suffix for suffix in all_kinds() if name.lower().endswith(suffix)]
    if not fitting:
        raise ValueError(f"{name}: no kind of graph file has this suffix; choose one of {', '.join(all_kinds())}")
    return max(fitting, key=len)


def write_graph(graph: MultiDiGraph[str], path: str | PathLike[str]) -> list[Path]:
    """Write a hop graph for another program, in the kind of file that the suffix names.

    Parameters
    ----------
    graph
        The hop graph, as `forensics.build_hop_graph` returns it.
    path
        The file. Its name ends with ``.graphml``, ``.gexf``, ``.cyjs`` (Cytoscape), ``.dot`` (Graphviz), ``.json``
        (node-link), ``.csv`` (two files, ``.nodes.csv`` and ``.edges.csv``), ``.stix.json`` (STIX 2.1) or
        ``.case.jsonld`` (CASE/UCO).

    Returns
    -------
    list of pathlib.Path
        The files that were written: one, or the two of ``.csv``.

    Raises
    ------
    ValueError
        The name ends with no such suffix; the message lists them.

    Notes
    -----
    The same graph gives the same bytes. What was not observed is absent, empty or null, never 0. Text of the evidence
    is escaped for where it stands.

    Examples
    --------
    >>> write_graph(graph, "hops.csv")  # doctest: +SKIP
    [PosixPath('hops.edges.csv'), PosixPath('hops.nodes.csv')]
    """
    target, suffix = Path(path), suffix_of(path)
    stem = target.name[: -len(suffix)]
    written = []
    for ending, content in sorted(all_kinds()[suffix].render(graph).items()):
        written.append(target.with_name(stem + ending))
        written[-1].write_bytes(content)
    return written
