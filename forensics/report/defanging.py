r"""Addresses and names that nobody opens by mistake: ``203[.]0[.]113[.]7``, ``cdn[.]example``, ``hxxp://``.

Example::

    safe = Defanged(["203.0.113.7", "cdn.example"])
    safe.text("48 MB to cdn.example")  # '48 MB to cdn[.]example'

Only what the case knows as an address or a name is changed, and every IPv4 address: file names, versions and times
have dots too. In an IPv6 address the colons are written in brackets.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import networkx as nx

    from forensics.report.data import ReportData, Rows

__all__ = ["Defanged", "defanged_report", "hosts_of"]

_IPV4 = r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w])"
_SCHEME = re.compile(r"\bhttp(?=s?://)", re.IGNORECASE)
_CHUNK = 2_000
"""Names in one expression: a case may know very many."""


class Defanged:
    """Texts in which known addresses and names cannot be opened.

    Parameters
    ----------
    hosts
        Addresses and host names of the case.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        known = sorted({host for host in hosts if "." in host or ":" in host}, key=lambda host: (-len(host), host))
        parts = [known[i : i + _CHUNK] for i in range(0, len(known), _CHUNK)] or [[]]
        self._expressions = [
            re.compile("|".join([*(rf"(?<![\w.:-]){re.escape(host)}(?![\w-])" for host in part), _IPV4]), re.IGNORECASE)
            for part in parts
        ]

    def text(self, text: str) -> str:
        """Return a text with every address and name in it written with brackets."""
        for expression in self._expressions:
            text = expression.sub(lambda found: _bracketed(found[0]), text)
        return _SCHEME.sub("hxxp", text)

    def value(self, value: Any) -> Any:  # noqa: ANN401 - what rows hold: texts, lists, numbers, times
        """Return a value, the texts in it changed."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return type(value)(self.value(one) for one in value)
        if isinstance(value, dict):
            return {key: self.value(one) for key, one in value.items()}
        return value

    def rows(self, rows: Rows, *, but: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
        """Return rows, the texts in all columns but some changed."""
        return [{key: value if key in but else self.value(value) for key, value in row.items()} for row in rows]


def _bracketed(host: str) -> str:
    return host.replace(".", "[.]").replace(":", "[:]")


def hosts_of(graph: nx.MultiDiGraph[str], rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the addresses and names that a graph and rows of findings and relays name."""
    hosts = {str(node) for node in graph}
    hosts |= {str(name) for _, names in graph.nodes(data="names") for name in names or ()}
    for row in rows:
        values = (row.get(key) for key in ("src", "dst", "name", "names", "terminals"))
        texts = (one for value in values for one in (value if isinstance(value, list | tuple) else [value]))
        hosts |= {part for text in texts if isinstance(text, str) for part in text.split("; ")}
    return hosts


_OF_FILES = frozenset({"source", "record", "sha256", "detector"})


def defanged_report(data: ReportData) -> ReportData:
    """Return what stands in a report, with addresses and names that cannot be opened.

    Names of evidence files, hashes, settings and pictures of charts stay as they are; captions do not.
    """
    found = [*data.spikes, *data.beacons, *data.others, *data.relays]
    safe = Defanged(hosts_of(data.graph, found))
    spikes, beacons, others, relays = (
        safe.rows(rows, but=_OF_FILES) for rows in (data.spikes, data.beacons, data.others, data.relays)
    )
    return replace(
        data,
        statement=safe.text(data.statement),
        summary=[safe.text(sentence) for sentence in data.summary],
        graph=_graph(data.graph, safe),
        spikes=spikes,
        beacons=beacons,
        others=others,
        relays=relays,
        charts=[(safe.text(caption), picture) for caption, picture in data.charts],
        rasters=[(safe.text(caption), picture) for caption, picture in data.rasters],
        assumptions=[safe.text(sentence) for sentence in data.assumptions],
        coverage=safe.rows(data.coverage, but=_OF_FILES),
    )


def _graph(graph: nx.MultiDiGraph[str], safe: Defanged) -> nx.MultiDiGraph[str]:
    """Return a graph with other names of its nodes, and the same everything else."""
    import networkx as nx

    renamed: nx.MultiDiGraph[str] = nx.relabel_nodes(graph, {node: safe.text(node) for node in graph})
    renamed.graph = {key: safe.value(value) for key, value in graph.graph.items()}
    for _, data in renamed.nodes(data=True):
        data.update({key: safe.value(value) for key, value in data.items() if key in {"names", "reasons"}})
    for *_, data in renamed.edges(data=True):
        data.update({key: safe.value(value) for key, value in data.items() if key in {"via", "reason"}})
    return renamed
