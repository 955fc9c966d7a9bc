"""Country and network of the nodes, from files in MaxMind's format, made here by its specification."""

from __future__ import annotations

import hashlib
import ipaddress
import random
import struct
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import networkx as nx
import pytest

from forensics.errors import EvidenceError, MissingToolError
from forensics.graphs.geoip import add_places, country_file

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("maxminddb")

RELAY, NEXT, OLD, NAMED = "198.51.100.7", "2001:db8::7", "192.0.2.1", "relay.example"
BUILT = 1_431_302_400


def packed(value: object) -> bytes:
    """Return a value in the format's data section: text, unsigned integers, maps and lists."""
    if isinstance(value, str):
        return head(2, len(value.encode())) + value.encode()
    if isinstance(value, int):
        content = value.to_bytes((value.bit_length() + 7) // 8, "big")
        return head(9, len(content)) + content
    if isinstance(value, dict):
        return head(7, len(value)) + b"".join(packed(key) + packed(one) for key, one in value.items())
    assert isinstance(value, list)
    return head(11, len(value)) + b"".join(map(packed, value))


def head(kind: int, size: int) -> bytes:
    """Return the control byte of a value, with what follows of it for extended types and sizes from 29 on."""
    more = b"" if size < 29 else bytes([size - 29])
    first = min(size, 29)
    return (bytes([first, kind - 7]) if kind > 7 else bytes([kind << 5 | first])) + more


def database(records: dict[str, object], version: int = 6) -> bytes:
    """Return a file that tells these records of networks, IPv4 ones below ``::/96`` as the format has it."""
    nodes: list[list[int | bytes | None]] = [[None, None]]
    for name, record in records.items():
        network = ipaddress.ip_network(name)
        bits = format(int(network.network_address), f"0{network.max_prefixlen}b")[: network.prefixlen]
        bits = "0" * 96 + bits if version == 6 and network.version == 4 else bits
        at = 0
        for bit in map(int, bits[:-1]):
            if not isinstance(below := nodes[at][bit], int):
                nodes.append([None, None])
                below = nodes[at][bit] = len(nodes) - 1
            at = below
        nodes[at][int(bits[-1])] = packed(record)
    data, tree = b"", b""
    for node in nodes:
        for side in node:
            if isinstance(side, bytes):
                tree += struct.pack(">I", len(nodes) + 16 + len(data))
                data += side
            else:
                tree += struct.pack(">I", len(nodes) if side is None else side)
    about = {"node_count": len(nodes), "record_size": 32, "ip_version": version, "database_type": "Test-Country"}
    about |= {"binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": BUILT}
    return (
        tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + packed(about | {"languages": ["en"], "description": {}})
    )


def country(code: str) -> dict[str, object]:
    """Return a record as MaxMind's country files have it."""
    return {"country": {"iso_code": code, "names": {"en": "Somewhere"}}, "continent": {"code": "XX"}}


COUNTRIES = database({"198.51.100.0/24": country("JP"), "2001:db8::/32": country("SG"), "0.0.0.0/5": country("ZZ")})
NETWORKS = database(
    {"198.51.100.0/25": {"autonomous_system_number": 64500, "autonomous_system_organization": "Example K.K."}}
)


def nodes(*files: Path) -> tuple[dict[str, tuple[Any, ...]], Any]:
    """Return what the nodes of a graph get from files, and what the graph says of the files."""
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    graph.add_nodes_from([RELAY, NEXT, OLD, NAMED])
    add_places(graph, files)
    places: dict[str, tuple[Any, ...]] = {}
    for node, data in graph.nodes(data=True):
        places[node] = (data["country"], data["as_number"], data["as_name"])
    return places, graph.graph["geoip"]


def test_addresses_get_country_and_network(tmp_path: Path) -> None:
    """Each file says what it knows, of both families; what no file knows, and a name, stays None."""
    (tmp_path / "country.mmdb").write_bytes(COUNTRIES)
    (tmp_path / "asn.mmdb").write_bytes(NETWORKS)

    places, _ = nodes(tmp_path / "country.mmdb", tmp_path / "asn.mmdb")

    assert places == {
        RELAY: ("JP", 64500, "Example K.K."),
        NEXT: ("SG", None, None),
        OLD: (None, None, None),
        NAMED: (None, None, None),
    }


def test_the_graph_names_the_files(tmp_path: Path) -> None:
    """What a file says holds for the day it was made: the graph tells its name, hash, type and day."""
    (tmp_path / "country.mmdb").write_bytes(COUNTRIES)

    _, about = nodes(tmp_path / "country.mmdb")

    assert about == [
        {
            "file": "country.mmdb",
            "sha256": hashlib.sha256(COUNTRIES).hexdigest(),
            "type": "Test-Country",
            "built": datetime.fromtimestamp(BUILT, UTC),
        }
    ]


def test_without_files_nothing_is_known() -> None:
    """The attributes are there all the same, and None."""
    places, about = nodes()

    assert set(places.values()) == {(None, None, None)}
    assert about == []


def test_the_first_file_counts(tmp_path: Path) -> None:
    """Where two files disagree the first one says, and the second fills what it left open."""
    flat = {"country_code": "US", "country": "Somewhere", "asn": "AS64501", "as_name": "Other"}
    (tmp_path / "a.mmdb").write_bytes(COUNTRIES)
    (tmp_path / "b.mmdb").write_bytes(database({"198.51.100.0/24": flat, "192.0.2.0/24": flat}))

    places, _ = nodes(tmp_path / "a.mmdb", tmp_path / "b.mmdb")

    assert places[RELAY] == ("JP", 64501, "Other")
    assert places[OLD] == ("US", 64501, "Other")


def test_a_file_of_ipv4_alone(tmp_path: Path) -> None:
    """It says nothing of IPv6 addresses, and that is no error."""
    (tmp_path / "four.mmdb").write_bytes(database({"198.51.100.0/24": country("JP")}, version=4))

    places, _ = nodes(tmp_path / "four.mmdb")

    assert (places[RELAY][0], places[NEXT][0]) == ("JP", None)


@pytest.mark.parametrize(
    "record", ["text", 7, ["JP"], {"country": 5, "asn": "AS?"}, {"country": {"iso_code": ["JP"]}, "asn": [1]}]
)
def test_records_of_another_shape_say_nothing(record: object, tmp_path: Path) -> None:
    """A record that is not as MaxMind and others have it leaves the node as it was."""
    (tmp_path / "odd.mmdb").write_bytes(database({"198.51.100.0/24": record}))

    assert nodes(tmp_path / "odd.mmdb")[0][RELAY] == (None, None, None)


@pytest.mark.parametrize("content", [b"", b"GEO-106", b"\xab\xcd\xefMaxMind.com", COUNTRIES[:-80], COUNTRIES[9000:]])
def test_what_is_no_such_file_is_an_error(content: bytes, tmp_path: Path) -> None:
    """Another file, half a file and nothing at all give one error that names the file."""
    (tmp_path / "bad.mmdb").write_bytes(content)

    with pytest.raises(EvidenceError, match=r"bad\.mmdb: .*damaged"):
        nodes(tmp_path / "bad.mmdb")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """A file that is not there is said, with its name."""
    with pytest.raises(EvidenceError, match=r"none\.mmdb: cannot be read: No such file"):
        nodes(tmp_path / "none.mmdb")


def test_damage_is_told_or_harmless(tmp_path: Path) -> None:
    """Whatever bytes of a file are changed, there is an answer or the one error, and nothing else."""
    dice = random.Random(6)
    told = []
    for _ in range(300):
        content = bytearray(COUNTRIES)
        for _ in range(dice.randint(1, 20)):
            content[dice.randrange(len(content))] = dice.randrange(256)
        (tmp_path / "bad.mmdb").write_bytes(content)
        try:
            nodes(tmp_path / "bad.mmdb")
        except EvidenceError as error:
            told.append(str(error))

    assert 0 < len(told) < 300
    assert all(text.startswith("bad.mmdb: is") for text in told)


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for countries without maxminddb names the extra; not asking needs nothing."""
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    (tmp_path / "country.mmdb").write_bytes(COUNTRIES)

    with pytest.raises(MissingToolError, match=r"pip install 'forensics\[enrich\]'"):
        nodes(tmp_path / "country.mmdb")
    assert nodes()[1] == []


def test_the_extra_brings_a_country_file() -> None:
    """Its file is GeoLite2 of July 2018 and knows countries of both families."""
    pytest.importorskip("geolite2")
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    graph.add_nodes_from(["133.242.0.1", "2001:200::1", "8.8.8.8", RELAY])

    add_places(graph, [country_file()])

    assert [data["country"] for _, data in graph.nodes(data=True)] == ["JP", "JP", "US", None]
    assert f"{graph.graph['geoip'][0]['built']:%Y-%m}" == "2018-07"
    assert graph.graph["geoip"][0]["type"] == "GeoLite2-City"


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for its file says what to install."""
    monkeypatch.setattr("forensics.graphs.geoip.PACKAGE", "no-such-distribution")

    with pytest.raises(MissingToolError, match=r"pip install 'forensics\[countries\]'"):
        country_file()
