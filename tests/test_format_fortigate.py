"""FortiGate's rows: bytes of a session are counted once, however often it is told."""

from __future__ import annotations

import io
from ipaddress import ip_network
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from forensics.errors import EvidenceError, TimezoneNeededError
from forensics.formats import Evidence, Hints, _blocks, _firewall, fortigate
from forensics.formats._firewall import Sessions, Started, keys
from forensics.schema import parts_of

HEAD = "date=2019-05-10 time=11:00:00 vd=root type=traffic srcip=192.0.2.21 dstip=203.0.113.7 dstport=443 proto=6 "


def read(text: str, hints: Hints | None = None) -> tuple[dict[str, list[dict[str, Any]]], dict[str, object]]:
    """Return rows by table, and notes."""
    evidence = Evidence(io.BytesIO(text.encode()), "fg.log", "fg", hints or Hints())
    found: dict[str, list[dict[str, Any]]] = {"flows": [], "requests": [], "names": [], "rejects": []}
    for table, batch in fortigate.parse(evidence):
        for part, rows in parts_of(batch) if table == "exchanges" else ((table, batch),):
            found[part] += rows.to_pylist()
    return found, evidence.notes


def row(time: int, *, logid: int = 13, port: int = 4000, session: int = 1, more: str = "") -> str:
    """Return a row of traffic."""
    return f"{HEAD}eventtime={time} logid=00000000{logid} srcport={port} sessionid={session} {more}\n"


def test_interim_rows_add_what_came_since() -> None:
    """Deltas of a long session add up to its total; totals so far are never added."""
    told = [
        row(1557453720, logid=20, more="duration=120 sentbyte=10 rcvdbyte=20 sentdelta=10 rcvddelta=20"),
        row(1557453840, logid=20, more="duration=240 sentbyte=15 rcvdbyte=26 sentdelta=5 rcvddelta=6"),
        row(1557453870, more="duration=270 sentbyte=16 rcvdbyte=27 sentdelta=1 rcvddelta=1 durationdelta=30"),
        row(1557453870, logid=20, port=1, more="duration=270 sentbyte=16 rcvdbyte=27"),
        row(1557453870, port=2, more="duration=9 sentbyte=7 rcvdbyte=8 sentdelta=7 rcvddelta=8"),
    ]
    found, notes = read("".join(told))
    flows = found["flows"]

    assert [(flow["bytes_out"], flow["bytes_in"]) for flow in flows] == [(10, 20), (5, 6), (1, 1), (None, None), (7, 8)]
    assert [(flow["end"] - flow["start"]).seconds for flow in flows] == [0, 0, 30, 0, 9]
    assert notes["interim_rows"] == 3


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_starts_are_not_counted_beside_ends(monkeypatch: pytest.MonkeyPatch, block: int, *, newest_first: bool) -> None:
    """A start is a flow only where no other row of its session is there, in whatever order and blocks."""
    monkeypatch.setattr(_blocks, "BLOCK", block)
    told = [
        row(1557453600, logid=15, more="action=start"),
        row(1557453700, logid=15, session=2, port=4001, more="action=start"),
        row(1557453720, more="action=close duration=120 sentbyte=10 rcvdbyte=20"),
        row(1557453800, logid=15, more="action=start"),
    ]
    found, notes = read("".join(reversed(told) if newest_first else told))

    assert sorted((flow["start"].timestamp(), flow["bytes_out"], flow["state"]) for flow in found["flows"]) == [
        (1557453600, 10, "close"),
        (1557453700, None, "start"),
        (1557453800, None, "start"),
    ]
    assert (notes["session_starts"], notes["sessions_without_end"]) == (3, 2)


def test_sessions_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """With too many sessions the oldest starts become rows, and the notes say so."""
    monkeypatch.setattr(_firewall, "MOST_SESSIONS", 2)
    evidence = Evidence(io.BytesIO(), "fg.log", "fg")
    sessions, none = Sessions(evidence), np.zeros(0, np.int64)
    out = []
    for number in range(4):
        batch = pa.RecordBatch.from_pydict({"n": [number]})
        out += list(sessions.take(Started(batch, np.array([number]), none)))
        out += list(sessions.take(Started(None, none, np.array([100 + number]))))
    out += list(sessions.rest())

    assert [batch["n"].to_pylist() for _, batch in out] == [[0], [1], [2], [3]]
    assert evidence.notes == {"session_starts": 4, "sessions_not_matched": 2, "sessions_without_end": 2}


def test_keys_tell_sessions_apart() -> None:
    """Equal numbers give equal keys, others do not, also where only their order differs."""
    made = keys(np.array([1, 1, 2, 0]), np.array([2, 2, 1, 0]))

    assert made[0] == made[1]
    assert len(set(made.tolist())) == 3


@pytest.mark.parametrize("unit", [1, 1000, 10**6, 10**9])
def test_event_times_have_any_unit(unit: int) -> None:
    """Seconds to nanoseconds, told apart by their magnitude; one unit in a file."""
    found, notes = read(row(1557453720 * unit) + row(1557453721 * unit) + row(1557453722 * (1 if unit > 1 else 1000)))

    assert [flow["end"].timestamp() for flow in found["flows"]] == [1557453720, 1557453721]
    assert found["rejects"][0]["reason"].startswith("time is in ")
    assert notes["epoch_unit"] in {"seconds", "milliseconds", "microseconds", "nanoseconds"}


def test_dates_need_a_zone() -> None:
    """Without eventtime the row's ``tz`` counts, else the zone of the hints; without any it is an error."""
    bare = HEAD + "logid=0000000013\n"
    found, _ = read(HEAD + 'logid=0000000013 tz="-0330"\n')
    tokyo, notes = read(bare, Hints(timezone=ZoneInfo("Asia/Tokyo")))

    assert [flow["end"].isoformat() for flow in found["flows"]] == ["2019-05-10T14:30:00+00:00"]
    assert [flow["end"].isoformat() for flow in tokyo["flows"]] == ["2019-05-10T02:00:00+00:00"]
    assert notes["timezone"] == "Asia/Tokyo"
    with pytest.raises(TimezoneNeededError, match="date=2019-05-10 time=11:00:00"):
        read(bare)


def test_web_filter_rows_are_requests_without_bytes() -> None:
    """Their counters are those of the session, which its traffic row tells; ``method`` is no method of HTTP."""
    web = HEAD.replace("traffic", "utm") + "eventtime=1557453720 logid=0316013056 subtype=webfilter "
    found, _ = read(web + 'hostname="A.Example" url="/x" method="domain" sentbyte=5 rcvdbyte=6\n')

    assert not found["flows"]
    assert [(r["name"], r["url"], r["method"], r["request_bytes"], r["response_bytes"]) for r in found["requests"]] == [
        ("a.example", "/x", None, None, None)
    ]
    assert [(n["name"], n["address"], n["client"]) for n in found["names"]] == [
        ("a.example", "203.0.113.7", "192.0.2.21")
    ]


def test_a_log_in_which_nothing_can_be_read_is_an_error() -> None:
    """The error names the first trouble."""
    with pytest.raises(EvidenceError, match="its only line could not be read as fortigate; line 1: srcip is not"):
        read(row(1557453720).replace("192.0.2.21", "x"))


@pytest.mark.parametrize("cef", [False, True])
def test_the_client_behind_a_trusted_proxy(*, cef: bool) -> None:
    """Who asked is the proxy; who stands behind it counts only where the analyst trusts it."""
    asked = (
        "CEF: 0|Fortinet|Fortigate|v6.0.3|13056|utm:webfilter|4|FTNTFGTlogid=0316013056 cat=utm:webfilter "
        "FTNTFGTsubtype=webfilter FTNTFGTvd=root FTNTFGTeventtime=1557453600 externalId=7 src=192.0.2.21 spt=4000 "
        "dst=203.0.113.7 dpt=80 proto=6 dhost=www.example request=/ FTNTFGTforwardedfor=198.51.100.9, 192.0.2.99\n"
        if cef
        else "logid=0316013056 type=utm subtype=webfilter vd=root eventtime=1557453600 sessionid=7 srcip=192.0.2.21 "
        'srcport=4000 dstip=203.0.113.7 dstport=80 proto=6 hostname="www.example" url="/" '
        'forwardedfor="198.51.100.9, 192.0.2.99"\n'
    )
    found, notes = read(asked)
    assert [(one["src"], one["src_port"]) for one in found["requests"]] == [("192.0.2.21", 4000)]
    assert notes["forwarded_for_not_used"] == 1

    found, notes = read(asked, Hints(trusted_proxies=(ip_network("192.0.2.0/25"),)))
    assert [(one["src"], one["src_port"], one["via"]) for one in found["requests"]] == [
        ("198.51.100.9", None, "192.0.2.21")
    ]
    assert (notes["forwarded_for_used"], notes["trusted_peers"]) == (1, ["192.0.2.21"])
