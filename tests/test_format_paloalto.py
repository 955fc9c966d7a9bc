"""Rows of PAN-OS: sessions are counted once, requests have no bytes, later versions and exports are read too."""

from __future__ import annotations

import io
from dataclasses import replace
from ipaddress import ip_network
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from forensics.errors import EvidenceError, TimezoneNeededError
from forensics.formats import Evidence, Hints, _blocks, paloalto
from forensics.formats._paloalto_columns import NAMES, TRAFFIC, URL
from forensics.schema import parts_of

TOKYO = Hints(timezone=ZoneInfo("Asia/Tokyo"))
BOTH = {
    "time": "2015/05/21 10:00:09", "src": "192.0.2.21", "dst": "203.0.113.7", "session": "1", "sport": "4000",
    "dport": "443", "proto": "tcp", "action": "allow",
}  # fmt: skip
ENDED = {
    "type": "TRAFFIC",
    "subtype": "end",
    "sent": "10",
    "received": "20",
    "start": "2015/05/21 10:00:00",
    "elapsed": "8",
}
ASKED = {"type": "THREAT", "subtype": "url", "url": "www.example/"}


def row(more: dict[str, str], width: int = 60, **others: str) -> str:
    """Return a row as the firewall sends it."""
    values = BOTH | more | others
    places = (URL if values["type"] == "THREAT" else TRAFFIC).places
    fields = ["1", "2015/05/21 10:00:10", "0018"] + [""] * (width - 3)
    for name, value in values.items():
        fields[places[name]] = value
    return ",".join(fields) + "\n"


def read(text: str, hints: Hints = TOKYO) -> tuple[dict[str, list[dict[str, Any]]], dict[str, object]]:
    """Return rows by table, and notes."""
    evidence = Evidence(io.BytesIO(text.encode()), "pan.csv", "fw", hints)
    found: dict[str, list[dict[str, Any]]] = {"flows": [], "requests": [], "names": [], "rejects": []}
    for table, batch in paloalto.parse(evidence):
        for part, rows in parts_of(batch) if table == "exchanges" else ((table, batch),):
            found[part] += rows.to_pylist()
    return found, evidence.notes


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_starts_are_not_counted_beside_ends(monkeypatch: pytest.MonkeyPatch, block: int, *, newest_first: bool) -> None:
    """The start of a session is a flow, without bytes, only where no row of its end is there."""
    monkeypatch.setattr(_blocks, "BLOCK", block)
    told = [
        row(ENDED, subtype="start", sent="66", received="0", elapsed="0"),
        row(ENDED, subtype="start", session="2", sent="66", elapsed="0"),
        row(ENDED),
        row(ENDED, subtype="start", start="2015/05/21 11:00:00", elapsed="0"),
    ]
    found, notes = read("".join(reversed(told) if newest_first else told))

    assert sorted(((flow["bytes_out"] or 0), flow["state"]) for flow in found["flows"]) == [
        (0, "start"), (0, "start"), (10, "allow"),
    ]  # fmt: skip
    assert (notes["session_starts"], notes["sessions_without_end"]) == (3, 2)


@pytest.mark.parametrize("width", [38, 47, 64, 65, 120])
def test_versions_have_more_and_more_columns(width: int) -> None:
    """What stands behind the columns that are read is passed over; what an old version lacks is null."""
    found, _ = read(row(ENDED, width))

    assert not found["rejects"]
    assert [(flow["bytes_out"], flow["bytes_in"], flow["packets_out"]) for flow in found["flows"]] == [(10, 20, None)]


def test_a_row_that_is_cut_is_a_reject() -> None:
    """A number at its end may be half of one."""
    found, _ = read(row(ENDED) + row(ENDED, 37))

    assert [reject["reason"] for reject in found["rejects"]] == ["row has fewer than 38 fields"]


@pytest.mark.parametrize(
    ("url", "name", "host"),
    [
        ("WWW.Example./a/b", "www.example", "www.example"),
        ("www.example:8080/http://other.example/", "www.example", "www.example"),
        ("http://www.example/x", "www.example", "www.example"),
        ("www.example", "www.example", "www.example"),
        ("[2001:db8::9]:443/", None, "2001:db8::9"),
        ("198.51.100.1/", None, "198.51.100.1"),
        ("", None, "203.0.113.7"),
        ('"www.example/a,b""c"', "www.example", "www.example"),
    ],
)
def test_hosts_of_urls(url: str, name: str | None, host: str) -> None:
    """URLs have no scheme, or one; a name is told apart from an address."""
    found, _ = read(row(ASKED, url=url))

    assert [request["name"] for request in found["requests"]] == [host]
    assert [seen["name"] for seen in found["names"]] == ([name] if name else [])
    assert not found["flows"]


def test_an_export_is_read_by_its_header() -> None:
    """The columns of an export have names, in any order; both kinds of rows may be in one."""
    names = [*TRAFFIC.places, "url"]
    lines = [names, [(BOTH | ENDED).get(name, "") for name in names], [(BOTH | ASKED).get(name, "") for name in names]]
    lines[0] = [NAMES[name][0] for name in names]
    text = "".join(",".join(reversed(line)) + "\r\n" for line in lines)
    found, _ = read("\ufeff" + text)

    assert [(flow["bytes_out"], flow["record"]) for flow in found["flows"]] == [(10, 2)]
    assert [(request["name"], request["record"]) for request in found["requests"]] == [("www.example", 3)]
    assert paloalto.declines(text.encode(), Hints()) is None
    assert paloalto.declines(text.replace("Session ID", "x").encode(), Hints()) == "its header has no column Session ID"


def test_refused_sessions_say_so() -> None:
    """The state of an allowed session is how it ended, that of another what was done with it."""
    found, _ = read(
        row(ENDED, reason="tcp-fin") + row(ENDED, reason="policy-deny", action="deny") + row(ENDED, reason="n/a")
    )

    assert [flow["state"] for flow in found["flows"]] == ["tcp-fin", "deny", "allow"]


def test_other_rows_are_counted() -> None:
    """System and configuration rows, and threats that are no URLs, are no rejects, however short."""
    found, notes = read(row(ENDED) + "1,2015/05/21 10:00:00,0018,SYSTEM,general\n" + row(ASKED, subtype="virus"))

    assert not found["rejects"]
    assert (notes["records"], notes["rows_of_other_types"]) == (3, 2)


def test_times_need_a_zone() -> None:
    """They are the firewall's own; without a zone it is an error that shows the first line."""
    found, _ = read(row(ENDED))

    assert [flow["start"].isoformat() for flow in found["flows"]] == ["2015-05-21T01:00:00+00:00"]
    assert [flow["end"].isoformat() for flow in found["flows"]] == ["2015-05-21T01:00:08+00:00"]
    with pytest.raises(TimezoneNeededError, match="2015/05/21 10:00"):
        read(row(ENDED), Hints())


def test_a_log_in_which_nothing_can_be_read_is_an_error() -> None:
    """The error names the first trouble."""
    with pytest.raises(EvidenceError, match="its only line could not be read as paloalto; line 1: Source address is"):
        read(row(ENDED, src="x"))
    assert paloalto.declines(b"a,b\n", Hints()) == "line 1 is no row of PAN-OS: ...,time,serial,TYPE,..."


def test_a_row_of_an_export_is_a_line() -> None:
    """A quote that a line end follows spoils its own row alone: so a row has one number, and copies can be compared."""
    names = ",".join(NAMES[name][0] for name in (*TRAFFIC.places, "url")) + "\n"
    good = ",".join((BOTH | ENDED).get(name, "") for name in (*TRAFFIC.places, "url")) + "\n"
    found, _ = read(names + good + good[:-1] + '"cut\n' + good)

    assert [flow["record"] for flow in found["flows"]] == [2, 4]
    assert [reject["record"] for reject in found["rejects"]] == [3]


@pytest.mark.parametrize("zone", ["+09:00", "-05:00"])
def test_rows_that_tell_a_zone_need_none(zone: str) -> None:
    """The high-resolution time has the zone of the others; a request is as precise as it, a session is not."""
    precise = f"2015-05-21T10:00:10.250{zone}"
    found, notes = read(row(ENDED, 120, precise=precise) + row(ASKED, 120, precise=precise), Hints())
    (flow,), (request,) = found["flows"], found["requests"]
    hours = 10 - int(zone[:3])

    assert flow["start"].isoformat() == f"2015-05-21T{hours:02}:00:00+00:00"
    assert flow["end"].isoformat() == f"2015-05-21T{hours:02}:00:08+00:00"
    assert request["start"].isoformat() == f"2015-05-21T{hours:02}:00:10.250000+00:00"
    assert "timezone" not in notes


@pytest.mark.parametrize("precise", ["2015-05-21T01:00:10.250+00:00", "2015-05-21T10:00:10.250", "x", ""])
def test_a_time_of_another_clock_tells_no_zone(precise: str) -> None:
    """Where the high-resolution time is not on the clock of the others, or has no zone, it says nothing of them."""
    found, _ = read(row(ENDED, 120, precise=precise) + row(ASKED, 120, precise=precise))

    assert [flow["start"].isoformat() for flow in found["flows"]] == ["2015-05-21T01:00:00+00:00"]
    assert [request["start"].isoformat() for request in found["requests"]] == ["2015-05-21T01:00:09+00:00"]
    with pytest.raises(TimezoneNeededError):
        read(row(ENDED, 120, precise=precise), Hints())


def test_the_client_behind_a_trusted_proxy() -> None:
    """Who asked is the proxy; who stands behind it counts only where the analyst trusts it."""
    asked = row(ASKED, 120, forwarded='"198.51.100.9, 192.0.2.99"', sport="4000")
    found, notes = read(asked)
    assert [(one["src"], one["src_port"]) for one in found["requests"]] == [("192.0.2.21", 4000)]
    assert notes["forwarded_for_not_used"] == 1

    found, notes = read(asked, replace(TOKYO, trusted_proxies=(ip_network("192.0.2.21/32"),)))
    assert [(one["src"], one["src_port"], one["via"]) for one in found["requests"]] == [
        ("192.0.2.99", None, "192.0.2.21")
    ]
    assert (notes["forwarded_for_used"], notes["trusted_peers"]) == (1, ["192.0.2.21"])
