"""Lines of Linux firewalls: what is in them is read, what they do not say is null."""

from __future__ import annotations

import io
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from forensics.errors import EvidenceError, TimezoneNeededError
from forensics.formats import Evidence, Hints, iptables
from forensics.formats._firewall import proto_of

TOKYO = Hints(timezone=ZoneInfo("Asia/Tokyo"), year=2015)
PACKET = "IN=eth0 OUT= SRC=192.0.2.7 DST=203.0.113.9 LEN=40 PROTO=TCP SPT=1024 DPT=22 "


def read(text: str, hints: Hints = TOKYO) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, object]]:
    """Return flows, rejects and notes of a log."""
    evidence = Evidence(io.BytesIO(text.encode()), "kern.log", "gate", hints)
    found: dict[str, list[dict[str, Any]]] = {"flows": [], "rejects": []}
    for table, batch in iptables.parse(evidence):
        found[table] += batch.to_pylist()
    return found["flows"], found["rejects"], evidence.notes


def line(body: str, time: str = "May 21 10:00:00") -> str:
    """Return a line of syslog."""
    return f"{time} gate kernel: {body}\n"


@pytest.mark.parametrize(
    ("prefix", "state"),
    [
        ("", None),
        ("[UFW BLOCK] ", "UFW BLOCK"),
        ("[ 8211.014522] [UFW BLOCK] ", "UFW BLOCK"),
        ("[8211.014522] DROP", "DROP"),
        ("nft in drop: ", "nft in drop"),
        ("[ 12.5", "12.5"),
    ],
)
def test_the_prefix_is_the_state(prefix: str, state: str | None) -> None:
    """What the rule calls its packets, without brackets and the uptime, with or without a space behind it."""
    flows, rejects, _ = read(line(prefix + PACKET))

    assert not rejects
    assert [flow["state"] for flow in flows] == [state]


def test_an_icmp_error_is_not_the_packet_it_is_about() -> None:
    """Addresses and protocol are those of the error; a reject shows the whole line."""
    inner = "[SRC=198.51.100.1 DST=198.51.100.2 LEN=60 PROTO=UDP SPT=9 DPT=53 LEN=40 ]"
    good = line(f"IN= OUT=eth0 SRC=192.0.2.7 DST=203.0.113.9 LEN=88 PROTO=ICMP TYPE=3 CODE=3 {inner}")
    bad = line(f"IN= OUT=eth0 SRC=192.0.2.7 DST=here LEN=88 PROTO=ICMP TYPE=3 CODE=3 {inner}")
    flows, rejects, _ = read(good + bad + line(PACKET))

    assert [(f["src"], f["dst"], f["proto"], f["src_port"], f["dst_port"]) for f in flows] == [
        ("192.0.2.7", "203.0.113.9", "icmp", 3, 3),
        ("192.0.2.7", "203.0.113.9", "tcp", 1024, 22),
    ]
    assert [(row["record"], row["reason"], row["raw"]) for row in rejects] == [
        (2, "DST is not an address", bad.strip().encode())
    ]


def test_no_bytes_are_told() -> None:
    """The length of one packet is not the size of a connection."""
    flows, _, _ = read(line(PACKET))

    assert {flows[0][name] for name in ("bytes_out", "bytes_in", "packets_out", "packets_in")} == {None}


def test_other_lines_are_counted() -> None:
    """They are no rejects: a syslog holds the lines of many programs."""
    flows, rejects, notes = read(
        line(PACKET) + line("eth0: link up") + "May 21 10:00:01 gate last message repeated 7 times\n"
        "May 21 10:00:02 gate kernel: nf_log: 40 callbacks suppressed\n"
    )

    assert (len(flows), rejects) == (1, [])
    assert {key: notes[key] for key in ("records", "other_lines", "messages_repeated", "messages_suppressed")} == {
        "records": 1, "other_lines": 3, "messages_repeated": 7, "messages_suppressed": 40,
    }  # fmt: skip


def test_years_go_with_the_lines() -> None:
    """The year is that of the last line; a 29 February that does not exist is a reject."""
    flows, rejects, _ = read(
        line(PACKET, "Feb 29 10:00:00") + line(PACKET, "Dec 31 23:00:00") + line(PACKET, "Jan  1 00:00:00")
    )

    assert [flow["start"].year for flow in flows] == [2014, 2014]
    assert [row["reason"] for row in rejects] == ["its time does not exist in the year that it falls in"]


def test_without_zone_or_year_it_is_an_error() -> None:
    """Both are asked for, with the first line."""
    with pytest.raises(TimezoneNeededError, match="May 21 10:00:00"):
        read(line(PACKET), Hints(year=2015))
    with pytest.raises(EvidenceError, match="year"):
        read(line(PACKET), Hints(timezone=ZoneInfo("Asia/Tokyo")))


def test_a_log_without_any_packet_that_can_be_read_is_an_error() -> None:
    """The error names the first trouble."""
    with pytest.raises(EvidenceError, match="its only line could not be read as iptables; line 1: SRC is not"):
        read(line(PACKET.replace("192.0.2.7", "x")))


@pytest.mark.parametrize(
    ("text", "proto"),
    [("17", "udp"), ("58", "icmp6"), ("2]", "ip-2"), ("256", None), ("a b", None), ("UDPLITE", "ip-136")],
)
def test_protocols_have_one_form(text: str, proto: str | None) -> None:
    """Numbers and names of any case give the names of ``flows``."""
    assert proto_of(text) == proto


def test_web_logs_that_quote_a_packet_are_declined() -> None:
    """What a client sends does not make a log one of the kernel."""
    assert iptables.declines(f'192.0.2.1 - - [x] "GET /?{PACKET}"\n'.encode(), Hints())
    assert iptables.declines(line("up").encode() + line(PACKET).encode(), Hints()) is None
    assert iptables.declines(b"\n", Hints()) == "it is empty"
