r"""The hop graph in the DOT language, for Graphviz and what reads its files.

All text stands between quotation marks, where only ``\"`` has a meaning to the parser. The backslashes of evidence are
doubled: none ends a string early or becomes one of Graphviz's own sequences (``\N``, ``\G``, ``\l``) in a label.
``&`` is written as an entity in labels, since Graphviz would take ``&lt;`` of the evidence for one. There are no HTML
labels, no addresses to click and no images.

Example: ``render(graph)[".dot"]`` is the file as bytes.

References
----------
.. [1] Graphviz, *DOT Language*, https://graphviz.org/doc/info/lang.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.escaping import terminal_safe
from forensics.exports._plain import edges_of, flat, node_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from networkx import MultiDiGraph

    from forensics.exports._plain import Plain

__all__ = ["SUFFIX", "TITLE", "render"]

SUFFIX = ".dot"
TITLE = "DOT"

_SHAPES = {"terminal": "box", "proxy": "hexagon", "relay": "doubleoctagon", "upstream": "diamond"}
_STYLES = {"observed": "solid", "shared": "dotted", "matched": "dashed", "asserted": "bold"}


def render(graph: MultiDiGraph[str]) -> dict[str, bytes]:
    """Return the file; every attribute of ours that is no word of Graphviz begins with ``x_``."""
    ids = node_ids(graph, terminal_safe)
    title = _label(str(flat(graph.graph).get("title", "")))
    lines = ["digraph hops {", f"  graph [rankdir=LR, label={title}];"]
    for node, name in ids.items():
        data = flat(graph.nodes[node])
        names = str(data.get("names", ""))
        shown = {"label": _label(*(text for text in (name, names) if text))}
        shown["shape"] = _SHAPES.get(str(data.get("role")), "ellipse")
        lines.append(f"  {_quoted(name)} [{_listed(shown, data)}];")
    for edge in edges_of(graph):
        data = flat(edge.data)
        tier = str(data.get("tier", ""))
        shown = {"key": edge.id, "label": _label(tier), "style": _STYLES.get(tier, "solid")}
        lines.append(f"  {_quoted(ids[edge.tail])} -> {_quoted(ids[edge.head])} [{_listed(shown, data)}];")
    return {SUFFIX: ("\n".join([*lines, "}"]) + "\n").encode()}


def _listed(shown: Mapping[str, str], data: Mapping[str, Plain]) -> str:
    """Return what Graphviz draws, then our attributes as text."""
    ours = {f"x_{key}": _quoted(terminal_safe(str(value))) for key, value in data.items() if key.isidentifier()}
    return ", ".join(f"{key}={value}" for key, value in {**shown, **ours}.items())


def _quoted(text: str) -> str:
    """Return text of one line as a quoted string."""
    doubled = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{doubled}"'


def _label(*lines: str) -> str:
    """Return lines as a label."""
    safe = (_quoted(terminal_safe(line).replace("&", "&amp;"))[1:-1] for line in lines)
    return '"' + "\\n".join(safe) + '"'
