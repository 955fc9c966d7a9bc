"""The hop graph as JSON-LD of the CASE and UCO ontologies, which exchange evidence between forensic programs.

An edge is an ``ObservableRelationship`` between two addresses or names, tagged with its tier. Where it was observed, a
``NetworkFlow`` has its times and bytes. The files that an edge stands on are ``File`` objects with their SHA-256, in
which it is ``Contained_Within``; the packets or lines are in the description of that relationship. All of those files
are the objects of one ``ProvenanceRecord``.

Ids are UUIDs of version 5 over what a thing is.

Example: ``render(graph)[".case.jsonld"]`` is the file as bytes.

References
----------
.. [1] E. Casey et al., "Advancing coordinated cyber-investigations and tool interoperability using a community
   developed specification language", Digital Investigation 22 (2017) 14-45, doi:10.1016/j.diin.2017.08.002.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from forensics.addresses import address_text
from forensics.exports._plain import Edge, edges_of, json_bytes, nested, node_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from networkx import MultiDiGraph

__all__ = ["SUFFIX", "TITLE", "render"]

SUFFIX = ".case.jsonld"
TITLE = "CASE/UCO JSON-LD"

_OURS = uuid5(NAMESPACE_OID, "forensics: CASE/UCO")
_UCO = "https://ontology.unifiedcyberontology.org/uco/"
_CONTEXT = {
    "case-investigation": "https://ontology.caseontology.org/case/investigation/",
    "uco-core": f"{_UCO}core/",
    "uco-observable": f"{_UCO}observable/",
    "uco-types": f"{_UCO}types/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_SHA256 = re.compile("[0-9a-fA-F]{64}")
_TOLD = ("rank", "score", "country", "as_number", "as_name", "first_seen", "last_seen", "bytes_out", "bytes_in")

Made = dict[str, Any]


def render(graph: MultiDiGraph[str]) -> dict[str, bytes]:
    """Return the file."""
    ids = node_ids(graph)
    nodes = {node: _node(name, nested(graph.nodes[node])) for node, name in ids.items()}
    ends = {node: {"@id": thing["@id"]} for node, thing in nodes.items()}
    called: dict[str, Made] = {}
    things: list[Made] = [*nodes.values()]
    for node, thing in nodes.items():
        things += _names(thing, nested(graph.nodes[node]), called)
    things += [called[key] for key in sorted(called.keys() - {end["@id"] for end in ends.values()})]
    files: dict[str, Made] = {}
    for edge in edges_of(graph):
        things += _edge(edge, ends, files)
    things += [files[key] for key in sorted(files)]
    things.append(_whole(nested(graph.graph), sorted(file["@id"] for file in files.values())))
    return {SUFFIX: json_bytes({"@context": _CONTEXT, "@graph": things})}


def _id(*content: object) -> str:
    """Return the id of a thing: always the same for the same content."""
    return f"urn:uuid:{uuid5(_OURS, json.dumps(content, sort_keys=True, default=str))}"


def _thing(kind: str, content: object, told: Mapping[str, object]) -> Made:
    """Return a thing with what is known of it."""
    known = {key: value for key, value in told.items() if value not in (None, "", [])}
    return {"@id": _id(kind, content), "@type": kind, **known}


def _time(text: str | None) -> Made | None:
    return None if text is None else {"@type": "xsd:dateTime", "@value": text}


def _address(name: str) -> Made:
    """Return an address, or a domain name where it is none; without what a graph knows of it."""
    canonical = address_text(name)
    if canonical is None:
        facet = _thing("uco-observable:DomainNameFacet", name, {"uco-observable:value": name})
        return _thing("uco-observable:DomainName", name, {"uco-core:hasFacet": [facet]})
    kind = "uco-observable:IPv6Address" if ":" in canonical else "uco-observable:IPv4Address"
    facet = _thing(f"{kind}Facet", name, {"uco-observable:addressValue": canonical})
    return _thing(kind, name, {"uco-core:hasFacet": [facet]})


def _node(name: str, data: Mapping[str, Any]) -> Made:
    """Return a node with its role as a tag, and where it stands and what it was called in words."""
    about = [f"names: {'; '.join(data['names'])}"] if data.get("names") else []
    about += [f"{key.replace('_', ' ')}: {data[key]}" for key in _TOLD if data.get(key) is not None]
    about += data.get("reasons") or []
    told = {"uco-core:name": name, "uco-core:tag": data.get("role"), "uco-core:description": "\n".join(about)}
    return _address(name) | {key: value for key, value in told.items() if value}


def _names(node: Made, data: Mapping[str, Any], called: dict[str, Made]) -> list[Made]:
    """Return what a node was called, by what that is known, and from when to when; adds the names."""
    made = []
    for seen in data.get("names_seen") or ():
        name = _address(seen["name"])
        called[name["@id"]] = name
        ends = {"@id": name["@id"]}, {"@id": node["@id"]}
        told = {
            "uco-core:description": f"known by: {seen['how']}",
            "uco-core:startTime": _time(seen["first"]),
            "uco-core:endTime": _time(seen["last"]),
        }
        kind = "Resolved_To" if seen["how"] == "dns" else "Related_To"
        made.append(_relationship(f"name by {seen['how']}", *ends, kind) | told)
    return made


def _edge(edge: Edge, ends: Mapping[str, Made], files: dict[str, Made]) -> list[Made]:
    """Return an edge, its traffic where it was observed, and where in which files it is; adds the files."""
    data = nested(dict(edge.data))
    source, target = ends[edge.tail], ends[edge.head]
    observed = data.get("tier") == "observed"
    relation = _relationship(edge.id, source, target, "Connected_To" if observed else "Related_To")
    more = {
        "uco-core:tag": data.get("tier"),
        "uco-core:description": _reason(data),
        "uco-core:startTime": _time(data.get("start")),
        "uco-core:endTime": _time(data.get("end")),
    }
    made = [relation | {key: value for key, value in more.items() if value}]
    held = _flow(edge.id, source, target, data) if observed else made[0]
    made += [held] if observed else []
    for number, entry in enumerate(data.get("evidence") or ()):
        file = _file(entry)
        files[file["@id"]] = file
        contained = _relationship(f"{edge.id}/{number}", {"@id": held["@id"]}, {"@id": file["@id"]}, "Contained_Within")
        made.append(contained | {"uco-core:description": f"packets or lines {entry.get('records') or 'not known'}"})
    return made


def _relationship(content: str, source: Made, target: Made, kind: str) -> Made:
    told = {
        "uco-core:source": source,
        "uco-core:target": target,
        "uco-core:kindOfRelationship": kind,
        "uco-core:isDirectional": True,
    }
    return _thing("uco-observable:ObservableRelationship", [content, source, target], told)


def _reason(data: Mapping[str, Any]) -> str:
    """Return why an edge is there, with its probability where it has one."""
    p_value = data.get("p_value")
    return str(data.get("reason") or "") + (f" (p = {p_value:.2g})" if p_value is not None else "")


def _flow(content: str, source: Made, target: Made, data: Mapping[str, Any]) -> Made:
    """Return the traffic of an observed edge."""
    connection = {
        "uco-observable:src": source,
        "uco-observable:dst": target,
        "uco-observable:startTime": _time(data.get("start")),
        "uco-observable:endTime": _time(data.get("end")),
    }
    counts = {"uco-observable:srcBytes": data.get("bytes_out"), "uco-observable:dstBytes": data.get("bytes_in")}
    key = [content, source, target]
    facets = [
        _thing("uco-observable:NetworkConnectionFacet", key, connection),
        _thing("uco-observable:NetworkFlowFacet", key, counts),
    ]
    kind = f"bytes counted: {data['bytes_kind']}" if data.get("bytes_kind") else None
    return _thing("uco-observable:NetworkFlow", key, {"uco-core:hasFacet": facets, "uco-core:description": kind})


def _file(entry: Mapping[str, Any]) -> Made:
    """Return a file of the evidence with its hash."""
    name, digest = str(entry.get("source") or "evidence"), str(entry.get("sha256"))
    facets = [_thing("uco-observable:FileFacet", [name, digest], {"uco-observable:fileName": name})]
    if _SHA256.fullmatch(digest):
        told = {
            "uco-types:hashMethod": "SHA256",
            "uco-types:hashValue": {"@type": "xsd:hexBinary", "@value": digest},
        }
        held = {"uco-observable:hash": [_thing("uco-types:Hash", [name, digest], told)]}
        facets.append(_thing("uco-observable:ContentDataFacet", [name, digest], held))
    return _thing("uco-observable:File", [name, digest], {"uco-core:hasFacet": facets})


def _whole(facts: Mapping[str, Any], files: list[str]) -> Made:
    """Return the record of all evidence, with what the graph as a whole states."""
    told = {
        "uco-core:name": facts.get("title") or "Hop graph",
        "uco-core:description": facts.get("statement"),
        "uco-core:object": [{"@id": file} for file in files],
    }
    return _thing("case-investigation:ProvenanceRecord", [facts.get("title"), files], told)
