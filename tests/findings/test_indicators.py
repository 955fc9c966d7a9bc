"""Lists of indicators, and what of a case they name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from forensics.detectors import indicators
from forensics.detectors._indicator_lists import Lists, read_lists
from forensics.errors import EvidenceError

from .conftest import START, MakeCase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def lists_of(tmp_path: Path, text: str, name: str = "list.txt") -> Lists:
    """Return what a list gives."""
    (tmp_path / name).write_text(text, "utf-8")
    return read_lists([tmp_path / name])


def known(lists: Lists) -> list[tuple[str, str]]:
    """Return kinds and values."""
    return [(one.kind, one.value) for one in lists.indicators]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("192.0.2.7", ("network", "192.0.2.7/32")),
        ("192.0.2[.]7", ("network", "192.0.2.7/32")),
        ("192.0.2.77/26", ("network", "192.0.2.64/26")),
        ("2001:DB8::1", ("network", "2001:db8::1/128")),
        ("WWW.Kaiun(dot)Example.", ("domain", "www.kaiun.example")),
        ("*.kaiun.example", ("domain", "kaiun.example")),
        ("hxxps[:]//a[.]example/x.php?id=1", ("url", "https://a.example/x.php?id=1")),
        ("t13d1516h2_8daaf6152771_e5627efa2ab1", ("ja4", "t13d1516h2_8daaf6152771_e5627efa2ab1")),
    ],
)
def test_an_entry_tells_its_kind_and_is_refanged(tmp_path: Path, entry: str, expected: tuple[str, str]) -> None:
    """Lists are written so that nobody clicks on them."""
    assert known(lists_of(tmp_path, f"# a comment\n{entry}\n")) == [expected]


def test_what_could_be_two_things_is_refused_and_counted(tmp_path: Path) -> None:
    """32 hexadecimal digits are an MD5 as often as a JA3."""
    lists = lists_of(tmp_path, "e7d705a3286e19ea42f587b344ee6865\nnobody@example.com\n")

    assert known(lists) == []
    assert lists.refused.total() == 2


def test_csv_is_read_by_its_header(tmp_path: Path) -> None:
    """Semicolons, quotes, a type column, a line end inside of a field, a byte order mark."""
    text = '\ufefftype;value;comment\nja3;E7D705A3286E19EA42F587B344EE6865;"two\nlines"\nsha256;00ff;a file\ndomain;;\n'
    lists = lists_of(tmp_path, text, "list.csv")

    assert known(lists) == [("ja3", "e7d705a3286e19ea42f587b344ee6865")]
    assert lists.indicators[0].label == "two\nlines"
    assert lists.refused == {"sha256: not looked for": 1}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[ipv4-addr:value = '192.0.2.1']", [("network", "192.0.2.1/32")]),
        ("[ipv4-addr:value ISSUBSET '192.0.2.0/24']", [("network", "192.0.2.0/24")]),
        (
            "[domain-name:value = 'a.example' OR ipv6-addr:value='2001:db8::1']",
            [("domain", "a.example"), ("network", "2001:db8::1/128")],
        ),
        ("[domain-name:value IN ('a.example', 'b.example')]", [("domain", "a.example"), ("domain", "b.example")]),
        ("[domain-name:value = 'a.example'] OR [url:value = 'http://b.example/x']",
         [("domain", "a.example"), ("url", "http://b.example/x")]),
        ("[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.1']",
         [("network", "192.0.2.1/32")]),
        # a part of these would accuse what the whole does not
        ("[network-traffic:dst_ref.value = '192.0.2.1' AND network-traffic:dst_port = 443]", []),
        ("[domain-name:value = 'a.example'] FOLLOWEDBY [domain-name:value = 'b.example']", []),
        ("[domain-name:value = 'a.example'] REPEATS 5 TIMES WITHIN 60 SECONDS", []),
        ("[domain-name:value != 'a.example']", []),
        ("[file:hashes.'SHA-256' = 'aa']", []),
        ("nonsense", []),
    ],
)  # fmt: skip
def test_patterns_of_stix(tmp_path: Path, pattern: str, expected: list[tuple[str, str]]) -> None:
    """Comparisons joined by OR are looked for; of anything more the pattern is counted as not looked for."""
    one = {"type": "indicator", "id": "indicator--1", "pattern": pattern, "pattern_type": "stix", "confidence": 40}
    lists = lists_of(tmp_path, json.dumps({"type": "bundle", "objects": [one, {"type": "malware"}, 3]}))

    assert known(lists) == expected
    assert lists.refused.total() == (not expected)
    assert {one.confidence for one in lists.indicators} <= {0.4}


def test_what_its_author_took_back_is_not_looked_for(tmp_path: Path) -> None:
    """Revoked in STIX, deleted or not for detection in MISP."""
    revoked = {"type": "indicator", "pattern": "[domain-name:value = 'a.example']", "revoked": True}
    stix = lists_of(tmp_path, json.dumps({"type": "bundle", "objects": [revoked]}))
    attributes = [
        {"type": "domain", "value": "a.example", "deleted": True},
        {"type": "domain", "value": "b.example", "to_ids": False},
    ]
    misp = lists_of(tmp_path, json.dumps({"Event": {"Attribute": attributes}}))

    assert known(stix) == known(misp) == []
    assert (stix.refused.total(), misp.refused.total()) == (1, 2)


@pytest.mark.parametrize(
    "wrap", [lambda e: {"Event": e}, lambda e: {"response": [{"Event": e}]}, lambda e: [{"Event": e}], dict]
)
def test_exports_of_misp(tmp_path: Path, wrap: Callable[[object], object]) -> None:
    """An event, an export of several, attributes alone; attributes of objects too."""
    event = {
        "info": "JPS 2015",
        "Attribute": [
            {"type": "ip-dst|port", "value": "192.0.2.1|443"},
            {"type": "domain|ip", "value": "a.example|192.0.2.2"},
        ],
        "Object": [{"Attribute": [{"type": "ja3-fingerprint-md5", "value": "e7d705a3286e19ea42f587b344ee6865"}]}],
    }  # fmt: skip
    lists = lists_of(tmp_path, json.dumps(wrap(event)))

    assert known(lists) == [
        ("network", "192.0.2.1/32"),
        ("domain", "a.example"),
        ("network", "192.0.2.2/32"),
        ("ja3", "e7d705a3286e19ea42f587b344ee6865"),
    ]
    assert lists.indicators[0].label == "JPS 2015"


@pytest.mark.parametrize(
    ("text", "why"),
    [('{"type": "report"}', "neither a STIX"), ('{"type": "bundle"', "not JSON"), ("[" * 100_000, "not JSON")],
)
def test_json_of_another_kind_is_a_clear_error(tmp_path: Path, text: str, why: str) -> None:
    """Not an empty list."""
    with pytest.raises(EvidenceError, match=why):
        lists_of(tmp_path, text)


def test_a_list_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(EvidenceError, match=r"none\.csv"):
        read_lists([tmp_path / "none.csv"])


def test_a_domain_names_what_lies_under_it_and_not_what_ends_alike(tmp_path: Path, make_case: MakeCase) -> None:
    """Of two names, one; look-ups without a connection count, and a client that is not known is null."""
    flows = [
        {"start": START, "src": "10.20.1.1", "dst": f"198.51.100.{n}", "name": name, "bytes_out": 1}
        for n, name in enumerate(("www.kaiun.example", "mykaiun.example", "kaiun.example.test"), 1)
    ]
    asked = {"time": START, "name": "a.b.kaiun.example", "how": "dns", "source": "access.log", "record": 99}
    (tmp_path / "list.txt").write_text("kaiun.example\n", "utf-8")
    found = indicators.detect(make_case(flows, names=[asked]), lists=[tmp_path / "list.txt"])

    found = found.astype(object).where(found.notna(), None)
    assert [(row.src, row.dst, row.value, row.record) for row in found.itertuples()] == [
        ("10.20.1.1", "198.51.100.1", 1.0, "1"),
        (None, "a.b.kaiun.example", 1.0, "99"),
    ]


def test_a_server_that_connects_to_the_office_is_found_too(tmp_path: Path, make_case: MakeCase) -> None:
    """The listed address is the client."""
    flow = {"start": START, "src": "203.0.113.9", "dst": "10.20.1.1", "bytes_out": 1}
    (tmp_path / "list.txt").write_text("203.0.113.0/28\n203.0.113.9\n", "utf-8")
    found = indicators.detect(make_case([flow]), lists=[tmp_path / "list.txt"])

    assert found["src"].tolist() == ["203.0.113.9"] * 2  # one for each of the two that name it


def test_the_coverage_counts_what_cannot_be_looked_for(tmp_path: Path, make_case: MakeCase) -> None:
    """And says so where there is no list."""
    (tmp_path / "list.txt").write_text("kaiun.example\nnobody@example.com\n", "utf-8")
    case = make_case([{"start": START, "src": "10.20.1.1", "dst": "192.0.2.1", "bytes_out": 1}])
    given = indicators.coverage(case, lists=[tmp_path / "list.txt"])

    assert (given.tested, given.not_tested) == (1, 1)
    assert indicators.coverage(case).why == "no list was given"
    assert indicators.detect(case).empty
