"""The hop graph as a bundle of STIX 2.1, for MISP, OpenCTI and other platforms that share what is known of attacks.

=====================  ===================================================================================
in the graph           in the bundle
=====================  ===================================================================================
node                   ``infrastructure``, its role as label, made of an address or domain name
name of a node         ``domain-name``, with a ``resolves-to`` or ``related-to`` relationship
edge                   ``relationship`` between two infrastructures, its tier as label: ``communicates-with``
                       where it was observed, ``related-to`` where it was not
observed edge          ``network-traffic`` with its bytes, in an ``observed-data`` that counts the records
evidence of an edge    ``external_references``: file, SHA-256, packets or lines
country, network       ``location``, ``autonomous-system``
the whole              ``grouping``, which states the result
=====================  ===================================================================================

Ids follow from content, and nothing is dated to the time of writing: ``created`` is the last time of the evidence.

Example: ``render(graph)[".stix.json"]`` is the file as bytes.

References
----------
.. [1] OASIS, *STIX Version 2.1*, 2021, https://docs.oasis-open.org/cti/stix/v2.1/os/stix-v2.1-os.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from uuid import uuid5

from forensics.exports._plain import Edge, edges_of, flat, json_bytes, nested
from forensics.exports._stix_objects import (
    OURS,
    Made,
    address,
    millisecond_text,
    observable,
    said,
    statement,
    time_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from networkx import MultiDiGraph

__all__ = ["SUFFIX", "TITLE", "render"]

SUFFIX = ".stix.json"
TITLE = "STIX 2.1 bundle"

_MOST_OBSERVED = 999_999_999
_SHA256 = re.compile("[0-9a-fA-F]{64}")


def render(graph: MultiDiGraph[str]) -> dict[str, bytes]:
    """Return the file."""
    bundle = _Bundle(graph)
    for node in sorted(graph):
        bundle.add_node(node, graph.nodes[node])
    for edge in edges_of(graph):
        bundle.add_edge(edge)
    bundle.add_grouping(graph.graph)
    objects = [bundle.objects[key] for key in sorted(bundle.objects)]
    name = json.dumps([thing["id"] for thing in objects])
    return {SUFFIX: json_bytes({"type": "bundle", "id": f"bundle--{uuid5(OURS, name)}", "objects": objects})}


class _Bundle:
    """Objects by id, so that none is there twice."""

    def __init__(self, graph: MultiDiGraph[str]) -> None:
        self.objects: dict[str, Made] = {}
        self._made = millisecond_text(graph.graph.get("end"))
        self._author: str | None = None
        self._author = self._state("identity", name="forensics", identity_class="system")
        self._nodes: dict[str, str] = {}
        self._places: dict[str, str] = {}

    def _keep(self, thing: Made) -> str:
        self.objects[thing["id"]] = thing
        return str(thing["id"])

    def _state(self, kind: str, **told: object) -> str:
        known = {key: value for key, value in told.items() if value not in (None, "", [])}
        return self._keep(statement(kind, known, self._made, self._author))

    def _relate(self, kind: str, source: str, target: str, **told: object) -> None:
        self._state("relationship", relationship_type=kind, source_ref=source, target_ref=target, **told)

    def add_node(self, node: str, data: Mapping[str, Any]) -> None:
        """Add a node, its names, its country and its network."""
        thing = address(node)
        place = self._places[node] = self._keep(thing)
        first, last = (data.get(key) for key in ("first_seen", "last_seen"))
        self._nodes[node] = self._state(
            "infrastructure",
            name=said(node),
            infrastructure_types=["unknown"],
            labels=[said(data.get("role", "other"))],
            description="; ".join(said(reason) for reason in data.get("reasons") or ()),
            first_seen=time_text(first) if first else None,
            last_seen=time_text(last) if last else None,
        )
        self._relate("consists-of", self._nodes[node], place)
        for name, known in _names(data).items():
            if (called := address(name))["id"] != place:
                self._relate(**_naming(known, thing), source=self._keep(called), target=place)
        self._locate(self._nodes[node], place, data)

    def _locate(self, infrastructure: str, place: str, data: Mapping[str, Any]) -> None:
        """Add the country and the autonomous system, where a file of the user's named them."""
        if data.get("country"):
            self._relate("located-at", infrastructure, self._state("location", country=said(data["country"])))
        if data.get("as_number"):
            told: Made = {"number": int(data["as_number"])}
            told |= {"name": said(data["as_name"])} if data.get("as_name") else {}
            self._relate("belongs-to", place, self._keep(observable("autonomous-system", told, ["number"])))

    def add_edge(self, edge: Edge) -> None:
        """Add an edge; an observed one with what was counted."""
        tier, data = str(edge.data.get("tier")), edge.data
        start, end = data.get("start"), data.get("end")
        observed = tier == "observed"
        source, target = self._nodes[edge.tail], self._nodes[edge.head]
        references = [_reference(entry) for entry in data.get("evidence") or ()]
        p_value = data.get("p_value")
        self._relate(
            "communicates-with" if observed else "related-to",
            source,
            target,
            labels=[said(tier)],
            description=said(data.get("reason") or "") + (f" (p = {p_value:.2g})" if p_value is not None else ""),
            start_time=time_text(start) if start else None,
            stop_time=time_text(end) if start and end and end > start else None,
            external_references=references,
        )
        if observed and start and end:
            self._count(edge, references)

    def _count(self, edge: Edge, references: list[Made]) -> None:
        """Add the traffic of an observed edge and how often it was observed."""
        ends = [self._places[node] for node in (edge.tail, edge.head)]
        data = nested(dict(edge.data))
        start, end = (time_text(edge.data[key]) for key in ("start", "end"))
        told: Made = {"start": start, "end": end, "is_active": False, "src_ref": ends[0], "dst_ref": ends[1]}
        told["protocols"] = ["ipv6" if any(kind.startswith("ipv6") for kind in ends) else "ipv4"]
        counts = {"src_byte_count": data.get("bytes_out"), "dst_byte_count": data.get("bytes_in")}
        told |= {key: count for key, count in counts.items() if count is not None}
        traffic = observable("network-traffic", told, ["start", "end", "src_ref", "dst_ref", "protocols"])
        kind = data.get("bytes_kind")
        self._state(
            "observed-data",
            first_observed=start,
            last_observed=end,
            number_observed=min(max(int(data.get("connections") or 1), 1), _MOST_OBSERVED),
            object_refs=sorted({self._keep(traffic), *ends}),
            labels=["observed", *([f"bytes counted: {said(kind)}"] if kind else [])],
            external_references=references,
        )

    def add_grouping(self, facts: Mapping[str, Any]) -> None:
        """Add what the graph as a whole states."""
        if self._nodes:
            self._state(
                "grouping",
                name=said(facts.get("title") or "Hop graph"),
                description=str(flat(facts).get("statement", "")),
                context="suspicious-activity",
                object_refs=sorted(self.objects),
            )


def _names(data: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return every name of a node with what is on record of it: how it is known, from when to when."""
    names: dict[str, list[Mapping[str, Any]]] = {name: [] for name in data.get("names") or ()}
    for seen in data.get("names_seen") or ():
        names.setdefault(seen["name"], []).append(seen)
    return names


def _naming(known: list[Mapping[str, Any]], thing: Made) -> Made:
    """Return how a name and a node belong together: a DNS answer resolves, other evidence only relates."""
    answers = [seen for seen in known if seen["how"] == "dns" and thing["type"] != "domain-name"]
    told: Made = {"kind": "resolves-to" if answers else "related-to"}
    used = answers or known
    if used:
        first, last = min(seen["first"] for seen in used), max(seen["last"] for seen in used)
        told |= {"description": f"known by: {', '.join(sorted({said(seen['how']) for seen in used}))}"}
        told |= {"start_time": time_text(first)} | ({"stop_time": time_text(last)} if last > first else {})
    return told


def _reference(entry: Mapping[str, Any]) -> Made:
    """Return where to look an edge up: the file, its hash, and the packets or lines in it."""
    told: Made = {"source_name": said(entry.get("source") or "evidence")}
    told["description"] = f"packets or lines {said(entry.get('records') or 'not known')}"
    if _SHA256.fullmatch(str(entry.get("sha256"))):
        told["hashes"] = {"SHA-256": str(entry["sha256"])}
    return told
