"""Edges on the analyst's word: what a partner reported, a host examination showed, a court file says.

They come from a CSV file with the columns ``src``, ``dst`` and ``reason`` (who says so, and on what ground) and, where
they are known, ``start`` and ``end`` (ISO 8601). Each becomes an edge of the tier ``asserted``, whose evidence is the
line of that file. Nothing turns it into another tier: an observed edge between the same two stands beside it.
"""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensics.addresses import address_text, host_name
from forensics.errors import EvidenceError
from forensics.evidence import record_ranges

if TYPE_CHECKING:
    import os
    from datetime import tzinfo

    import networkx as nx

__all__ = ["add_asserted"]

NEEDED = ("src", "dst", "reason")
KNOWN = (*NEEDED, "start", "end")


def add_asserted(graph: nx.MultiDiGraph[str], file: str | os.PathLike[str], zone: tzinfo) -> None:
    """Add the edges of a file of assertions, and those of their ends that the graph lacks, as ``other``.

    Parameters
    ----------
    graph
        The hop graph.
    file
        The CSV file.
    zone
        Zone of times that carry none.

    Raises
    ------
    EvidenceError
        The file cannot be read, lacks a column, or a line of it is not as it should be; the message names the line.
    """
    path = Path(file)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvidenceError(path.name, f"cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in _rows(path.name, content, zone):
        pairs.setdefault((row["src"], row["dst"]), []).append(row)
    for (src, dst), rows in sorted(pairs.items()):
        starts, ends = ([row[key] for row in rows if row[key] is not None] for key in ("start", "end"))
        lines = [row["line"] for row in rows]
        edge = {
            "tier": "asserted",
            "start": min(starts, default=None),
            "end": max(ends, default=None),
            "bytes_out": None,
            "bytes_in": None,
            "bytes_kind": None,
            "connections": None,
            "via": [],
            "spike": False,
            "reason": "; ".join(dict.fromkeys(row["reason"] for row in rows)),
            "p_value": None,
            "q_value": None,
            "evidence": [
                {"source": path.name, "sha256": digest, "records": record_ranges(lines), "rows": len(lines)},
            ],
        }
        for node in (src, dst):
            _add_node(graph, node, edge)
        graph.add_edge(src, dst, key="asserted", **edge)


def _add_node(graph: nx.MultiDiGraph[str], node: str, edge: dict[str, Any]) -> None:
    """Add a node of which nothing is known but the assertion; one that is there stays as it is."""
    if node not in graph:
        unknown = dict.fromkeys(("bytes_out", "bytes_in", "rank", "score"))
        seen = {"first_seen": edge["start"], "last_seen": edge["end"]}
        told = {"names": [], "names_seen": [], "reasons": [], "findings": {}, "spikes": 0, "asserted": True}
        graph.add_node(node, role="other", **told, **seen, **unknown)


def _rows(name: str, content: bytes, zone: tzinfo) -> list[dict[str, Any]]:
    """Return the rows of the file with the number of their line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvidenceError(name, f"is not UTF-8 (byte {error.start + 1:,}); save it as CSV in UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = reader.fieldnames or ()
        if missing := [column for column in NEEDED if column not in columns]:
            raise EvidenceError(
                name, f"has no column {', '.join(missing)}; its first line must name {', '.join(KNOWN)}"
            )
        return [_row(name, reader.line_num, row, zone) for row in reader]
    except csv.Error as error:
        raise EvidenceError(name, f"line {reader.reader.line_num}: {error}") from error


def _row(name: str, line: int, row: dict[str, Any], zone: tzinfo) -> dict[str, Any]:
    """Return one assertion, checked."""
    cells = {key: (row.get(key) or "").strip() for key in KNOWN}
    if empty := [key for key in NEEDED if not cells[key]]:
        raise EvidenceError(
            name, f"line {line}: {', '.join(empty)} is empty; an assertion needs both ends and a reason"
        )
    read: dict[str, Any] = {"line": line, "reason": cells["reason"]}
    for key in ("src", "dst"):
        read[key] = address_text(cells[key]) or host_name(cells[key])
        if read[key] is None:
            raise EvidenceError(name, f"line {line}: {key} {cells[key]!r} is neither an address nor a host name")
    if read["src"] == read["dst"]:
        raise EvidenceError(name, f"line {line}: src and dst are the same, {read['src']}")
    for key in ("start", "end"):
        read[key] = _time(name, line, key, cells[key], zone)
    if read["start"] and read["end"] and read["end"] < read["start"]:
        raise EvidenceError(name, f"line {line}: it ends before it starts")
    return read


def _time(name: str, line: int, key: str, text: str, zone: tzinfo) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise EvidenceError(name, f"line {line}: {key} {text!r} is no time as 2015-05-08T10:30:00+09:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
