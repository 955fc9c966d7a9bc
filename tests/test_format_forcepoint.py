"""Forcepoint's four forms say the same: who asked for what, and how much was sent and received."""

from __future__ import annotations

import io
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from forensics.errors import EvidenceError, TimezoneNeededError
from forensics.formats import Evidence, Hints, forcepoint
from forensics.formats._forcepoint_cloud import integer_address, record_of
from forensics.schema import parts_of

TOKYO = Hints(timezone=ZoneInfo("Asia/Tokyo"), year=2015)
PAIRS = (
    "May 21 09:00:00 gw vendor=Forcepoint product=Security action=permitted src_host=192.0.2.21 src_port=1 "
    "dst_ip=203.0.113.7 dst_port=8080 bytes_out=350 bytes_in=5120 url=http://b.example/x\n"
)
CEF = (
    "May 21 09:00:00 gw CEF:0|Forcepoint|Security|8.5.0|148|Transaction permitted|1| act=permitted dst=203.0.113.7 "
    "dpt=80 src=192.0.2.21 spt=1 rt=1432166400 in=5120 out=350 request=http://b.example/x\n"
)
LEEF = (
    "May 21 09:00:00 gw LEEF:1.0|Forcepoint|Security|8.5|transaction:permitted|sev=1\tsrc=192.0.2.21\tsrcPort=1\t"
    "srcBytes=350\tdstBytes=5120\tdst=203.0.113.7\tdstPort=80\turl=http://b.example/x\n"
)
CLOUD = '[1432166400,1,"u",3221226005,1,350,5120,1026,"153","HTTP",80,3405803783,"http://b.example/x",0,0]\n'


def read(text: str, hints: Hints = TOKYO) -> tuple[dict[str, list[dict[str, Any]]], dict[str, object]]:
    """Return rows by table, and notes."""
    evidence = Evidence(io.BytesIO(text.encode()), "fp.log", "gw", hints)
    found: dict[str, list[dict[str, Any]]] = {"flows": [], "requests": [], "names": [], "rejects": []}
    for table, batch in forcepoint.parse(evidence):
        for part, rows in parts_of(batch) if table == "exchanges" else ((table, batch),):
            found[part] += rows.to_pylist()
    return found, evidence.notes


@pytest.mark.parametrize("line", [PAIRS, CEF, LEEF, LEEF.replace("\t", " "), CLOUD])
def test_all_forms_give_the_same_row(line: str) -> None:
    """Client, server, bytes each way, name and time."""
    found, _ = read(line)
    (flow,) = found["flows"]

    assert not found["rejects"]
    assert (flow["src"], flow["dst"], flow["dst_port"], flow["name"]) == ("192.0.2.21", "203.0.113.7", 80, "b.example")
    assert (flow["bytes_out"], flow["bytes_in"], flow["bytes_kind"]) == (350, 5120, "application")
    assert flow["start"].isoformat() == "2015-05-21T00:00:00+00:00"
    assert flow["state"] == ("1026" if line is CLOUD else "permitted")
    assert [request["url"] for request in found["requests"]] == ["http://b.example/x"]
    assert [seen["name"] for seen in found["names"]] == ["b.example"]


def test_a_client_cannot_write_its_own_address() -> None:
    """What stands in a user agent is part of it: CEF escapes its signs of equality, LEEF has tabs between keys."""
    for line, agent in (
        (CEF, "requestClientApplication=x src\\=198.51.100.66 dst\\=y "),
        (LEEF, "userAgent=x src=198.51.100.66\t"),
    ):
        found, _ = read(line.replace("request=", f"{agent}request=").replace("url=", f"{agent}url="))

        assert [flow["src"] for flow in found["flows"]] == ["192.0.2.21"]
        assert found["requests"][0]["user_agent"].startswith("x src=198.51.100.66")


@pytest.mark.parametrize(
    ("text", "address"),
    [("3221226005", "192.0.2.21"), ("192.0.2.21", "192.0.2.21"), ("4294967296", None), ("0", ""), ("::", "")],
)
def test_addresses_may_be_numbers(text: str, address: str | None) -> None:
    """A number is an IPv4 address, its first byte the highest; the address of nothing is none."""
    assert integer_address(text) == address


def test_a_row_may_stand_for_several_requests() -> None:
    """Its bytes are what the row says; how many more requests there were is counted."""
    found, notes = read(CLOUD + CLOUD.replace(",1,350", ",4,350"))

    assert [flow["bytes_out"] for flow in found["flows"]] == [350, 350]
    assert notes["requests_of_other_rows"] == 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1,2]", "list has 2 fields, at least 13 are expected"),
        ('{"a": 1}', "not a JSON list: it is a dict"),
        ("[" * 100_000, "not a JSON list: "),
        (CLOUD.replace("1432166400", "7").strip(), "DateAndTime is no Unix time in seconds"),
        (CLOUD.replace(",80,", ",70000,").strip(), "Port is not a port"),
        (CLOUD.replace("3405803783", '"x"').strip(), "DestinationIP is not an address"),
        (CLOUD.replace("5120", "5e3").strip(), "ResponseSize is not a count"),
    ],
)
def test_bad_lines_of_the_cloud_are_rejects(line: str, reason: str) -> None:
    """Each with its number and what is wrong with it; the lines around it stand."""
    found, _ = read(CLOUD + line + "\n" + CLOUD)

    assert [(row["record"], row["reason"].startswith(reason)) for row in found["rejects"]] == [(2, True)]
    assert [flow["record"] for flow in found["flows"]] == [1, 3]


def test_times_of_syslog_need_year_and_zone() -> None:
    """A row that tells its own time needs neither."""
    with pytest.raises(EvidenceError, match="year"):
        read(PAIRS, Hints(timezone=ZoneInfo("Asia/Tokyo")))
    with pytest.raises(TimezoneNeededError):
        read(PAIRS, Hints(year=2015))

    assert read(CEF, Hints())[0]["flows"]
    iso = PAIRS.replace("May 21 09:00:00", "2015-05-21T09:00:00+09:00")
    assert read(iso, Hints())[0]["flows"][0]["start"].isoformat() == "2015-05-21T00:00:00+00:00"


def test_only_its_own_logs_are_claimed() -> None:
    """CEF of other makers, and lists that are no records, are declined."""
    assert forcepoint.declines(CEF.replace("Forcepoint", "Other").encode(), Hints())
    assert forcepoint.declines(b"[1432166400, 1, 2]\n", Hints())
    assert forcepoint.declines(b"", Hints()) == "it is empty"
    assert isinstance(record_of("[1"), str)
