"""Squid logs: definitions of any kind, fields of any kind, and what a real Squid writes."""

from __future__ import annotations

import io
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.errors import EvidenceError, TimezoneNeededError
from forensics.formats import Evidence, Hints, squid
from forensics.formats._squid_conf import layouts
from forensics.formats._squid_logformat import PREDEFINED, compile_logformat
from forensics.schema import parts_of

if TYPE_CHECKING:
    from collections.abc import Generator

NATIVE = (
    "1433122200.512    182 192.0.2.21 TCP_MISS/200 4811 GET http://www.example/ - HIER_DIRECT/203.0.113.7 text/html"
)
CODES = """
sn err_code err_detail note {a:;}note master_xaction request_attempts random >A >eui >qos >nfmark la lp <A <p <la <lp
<qos <nfmark >handshake transport::>connection_id tl tg tr dt tS et ea un ul ue ui us credentials rm >rm <rm ru >ru <ru
>rs <rs >rd <rd >rP <rP rp >rp <rp rv >rv <rv {X}>h {X:;y}>h >ha {X}>ha <Hs >Hs Hs <h {X}<h mt st >st <st >sh <sh <sH
<sS <bs <pt <tt Ss Sh ssl::bump_mode ssl::>sni ssl::>cert_subject ssl::<cert_issuer ssl::<cert ssl::<cert_errors
ssl::>negotiated_version ssl::<received_hello_version ssl::>negotiated_cipher icap::tt icap::<A icap::<service_name
icap::>st icap::Hs icap::<last_h adapt::all_trs adapt::<last_h adapt::sum_trs tcp::x proxy_protocol::>h http::>a
http::<st byte{10} >la{x} oa >v
"""
MINIMAL = "%ts.%03tu %>a %Ss/%03>Hs %<st %rm %ru"


def read(
    data: str,
    *,
    logformat: str | None = None,
    timezone: ZoneInfo | None = None,
    companions: dict[str, bytes] | None = None,
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, object]]:
    """Return the rows of a log by table, and its notes."""
    hints = Hints(timezone=timezone, logformat=logformat, companions=companions or {})
    evidence = Evidence(io.BytesIO(data.encode()), "access.log", "office", hints)
    found: dict[str, list[dict[str, Any]]] = {}
    with nothing_read():
        for table, batch in squid.parse(evidence):
            for part, rows in parts_of(batch) if table == "exchanges" else [(table, batch)]:
                found.setdefault(part, []).extend(rows.to_pylist())
    return found, evidence.notes


@contextmanager
def nothing_read() -> Generator[None, None, None]:
    """Pass over the error of a log of which no line could be read; its rejects came before it."""
    try:
        yield
    except EvidenceError as error:
        if "could be read as squid" not in str(error) and "could not be read as squid" not in str(error):
            raise


def test_the_time_of_a_line_is_its_end() -> None:
    """Squid stamps the end of a request: it began %tr milliseconds earlier."""
    flow = read(NATIVE)[0]["flows"][0]

    assert flow["end"] == datetime(2015, 6, 1, 1, 30, 0, 512_000, tzinfo=UTC)
    assert flow["start"] == datetime(2015, 6, 1, 1, 30, 0, 330_000, tzinfo=UTC)


def test_native_uploads_are_unknown() -> None:
    """The native format counts replies only: what was sent is null."""
    flow = read(NATIVE)[0]["flows"][0]

    assert (flow["bytes_out"], flow["bytes_in"], flow["bytes_kind"]) == (None, 4811, "application")


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("HIER_DIRECT/203.0.113.7", "203.0.113.7"),
        ("DIRECT/2001:DB8::7", "2001:db8::7"),
        ("TIMEOUT_HIER_DIRECT/203.0.113.7", "203.0.113.7"),
        ("ORIGINAL_DST/203.0.113.7", "203.0.113.7"),
        ("PINNED/203.0.113.7", "203.0.113.7"),
        ("HIER_DIRECT/www.example", None),
        ("FIRSTUP_PARENT/198.51.100.3", None),
        ("DEFAULT_PARENT/198.51.100.3", None),
        ("SIBLING_HIT/198.51.100.4", None),
        ("HIER_NONE/-", None),
    ],
)
def test_a_peer_is_the_server_only_where_squid_went_direct(peer: str, expected: str | None) -> None:
    """Only the peer of a direct fetch is the server's address; a parent proxy's is not."""
    assert read(NATIVE.replace("HIER_DIRECT/203.0.113.7", peer))[0]["flows"][0]["dst"] == expected


def test_an_address_asked_for_is_the_destination_through_a_parent() -> None:
    """A URL with an address names the server whatever the way to it; it is no host name."""
    line = NATIVE.replace("www.example", "203.0.113.9").replace(
        "HIER_DIRECT/203.0.113.7", "FIRSTUP_PARENT/198.51.100.3"
    )
    found, _ = read(line)

    assert found["flows"][0]["dst"] == "203.0.113.9"
    assert found["flows"][0]["name"] is None
    assert "names" not in found


def test_cache_queries_are_no_http_requests() -> None:
    """An ICP row is a UDP flow and no request."""
    line = NATIVE.replace("TCP_MISS/200", "UDP_HIT/000").replace("GET", "ICP_QUERY")
    found, _ = read(line)

    assert (found["flows"][0]["proto"], found["flows"][0]["service"]) == ("udp", "icp")
    assert "requests" not in found


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("1433122200.512", "today", "field 1 (time) is not a Unix time"),
        ("182 ", "soon ", "field 2 (elapsed) is not a number"),
        ("4811", "4k", "field 5 (reply size) is not a number"),
        ("TCP_MISS/200", "TCP_MISS", "field 4 (result code) is not followed by '/'"),
        ("/200", "/2000", "field 4 (status) is not a status"),
        (" - HIER_DIRECT/203.0.113.7 text/html", "", "field 8 (user) is missing"),
        (" text/html", "", "field 10 (content type) is missing"),
        ("text/html", "text/html more", "field 10 (content type) is not the last: text follows it"),
        ("192.0.2.21", '"', "client is neither an address nor a host name"),
        ("192.0.2.21", "192.0.2.999", "client is neither an address nor a host name"),
    ],
)
def test_rejects_name_the_field(old: str, new: str, reason: str) -> None:
    """A line that cannot be read is a reject that says which column is wrong."""
    found, _ = read(NATIVE.replace(old, new, 1))

    assert [row["reason"] for row in found["rejects"]] == [reason]


def test_declining_names_line_and_field() -> None:
    """A file that is no Squid log is declined with the line and field that show it."""
    why = squid.declines(f"{NATIVE.replace('182 ', 'soon ')}\n".encode(), Hints())

    assert why == "line 1 as logformat squid: field 2 (elapsed) is not a number"


def test_a_damaged_first_line_does_not_hide_a_log() -> None:
    """Half of the first lines decide: a log whose first line was cut is still one."""
    assert squid.declines(f"cut line\n{NATIVE}\n{NATIVE}\n".encode(), Hints()) is None
    assert squid.declines(f"cut line\nother\n{NATIVE}\n".encode(), Hints()) is not None


def test_a_log_changes_its_format_midway() -> None:
    """Where Squid was reconfigured, each line is read by the format that fits it."""
    conf = (
        f"logformat old {MINIMAL}\nlogformat new %ts.%03tu %>a %>st %<st %rm %ru\naccess_log x old\naccess_log x new\n"
    )
    log = "1.5 192.0.2.1 TCP_MISS/200 5 GET http://a.example/\n1.5 192.0.2.1 70 5 GET http://a.example/\n"

    found, notes = read(log, companions={"squid.conf": conf.encode()})

    assert [flow["bytes_out"] for flow in found["flows"]] == [None, 70]
    assert notes["logformat"] == "new, old"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("access_log daemon:/x logformat=mine", "mine"),
        ("access_log daemon:/x buffer-size=64KB logformat=mine all", "mine"),
        ("access_log /x mine all", "mine"),
        ("access_log /x \\\n   mine", "mine"),
        ("access_log /x", "squid"),
        ("access_log /x rotate=3", "squid"),
        ("access_log none", "mine"),
        ("access_log /x undefined", "mine"),
    ],
)
def test_squid_conf_tells_the_format(line: str, name: str) -> None:
    """The format named by access_log comes first, then the other definitions, then the built-in ones."""
    conf = f"# comment\nlogformat mine {MINIMAL}\n{line}\nlogformat broken %ts\n".encode()

    known = [layout.name for layout in layouts(Hints(companions={"squid.conf": conf}))]

    assert known[0] == name
    assert {"mine", "squid", "common", "combined"} == set(known)


def test_a_hint_may_be_a_name_or_a_definition() -> None:
    """hints.logformat takes a predefined name, a name of squid.conf, or a definition; a wrong one is an error."""
    conf = {"squid.conf": f"logformat mine {MINIMAL}".encode()}

    assert layouts(Hints(logformat="mine", companions=conf)) == (compile_logformat("mine", MINIMAL),)
    assert layouts(Hints(logformat=MINIMAL)) == (compile_logformat(MINIMAL, MINIMAL),)
    assert "no logformat is called 'mine'" in (squid.declines(b"x\n", Hints(logformat="mine")) or "")
    with pytest.raises(EvidenceError, match="unknown logformat code at '%nonsense"):
        read("x", logformat="%nonsense %ts")


@pytest.mark.parametrize(
    ("definition", "why"), [("%>a %ru", "no time"), ("%ts %ru", "no client"), ("plain", "no logform")]
)
def test_definitions_without_time_or_client_are_refused(definition: str, why: str) -> None:
    """A format from which no row could be made is refused with the reason."""
    with pytest.raises(ValueError, match=why):
        compile_logformat("x", definition)


def test_every_code_of_the_manual_is_known() -> None:
    """All codes of Squid 5 and 6 compile and are passed over."""
    for code in CODES.split():
        for modifier in ("", "-", "9", "09", "-9.12", '"', "[", "#", "/", "'"):
            layout = compile_logformat("x", f"%ts.%03tu %>a %{modifier}{code}")
            assert layout.split("1.500 192.0.2.1 x") or layout.problem("1.500 192.0.2.1 x").field == 3


@pytest.mark.parametrize(
    ("code", "logged", "agent"),
    [
        ('"%{User-Agent}>h"', r'"a \"b\" \\ c"', 'a "b" \\ c'),
        ("[%{User-Agent}>h]", r'[a "b" %5bc%5d \\ d%25e]', 'a "b" [c] \\ d%e'),
        ("%{User-Agent}>h", "a%20%22b%22%20d%e", 'a "b" d%e'),
        ("%/{User-Agent}>h", r'"a \"b\""', 'a "b"'),
        ("%/{User-Agent}>h", "plain", "plain"),
        ("%#{User-Agent}>h", "a%20%25", "a %"),
        ("|%'{User-Agent}>h|", '|a "b" \\|', 'a "b" \\'),
        ("%12{User-Agent}>h", "        curl", "curl"),
        ("|%-12>h{User-Agent}|", "|curl        |", "curl"),
        ('"%{User-Agent}>h"', '"-"', None),
    ],
)
def test_encodings_are_undone(code: str, logged: str, agent: str | None) -> None:
    """Each of Squid's encodings, written by Squid 5.7 for such headers, gives back what the client sent."""
    found, _ = read(f"1.5 192.0.2.1 GET {logged} 5", logformat=f"%ts.%03tu %>a %rm {code} %<st")

    assert found["requests"][0]["user_agent"] == agent


@given(agent=st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=30))
def test_quoted_headers_round_trip(agent: str) -> None:
    """Any header survives the quoted encoding."""
    quoted = agent.replace("\\", "\\\\").replace('"', '\\"')
    found, _ = read(f'1.5 192.0.2.1 GET "{quoted}" 5', logformat='%ts.%03tu %>a %rm "%{User-Agent}>h" %<st')

    assert found["requests"][0]["user_agent"] == (None if agent in ("", "-") else agent)


@pytest.mark.parametrize(("code", "text"), [("%tu", "7"), ("%03tu", "007"), ("%.1tu", "0"), ("%06.6tu", "007000")])
def test_subseconds_count_in_the_unit_of_their_precision(code: str, text: str) -> None:
    """%tu is milliseconds; a precision asks for that many digits of the second."""
    found, _ = read(f"1.{text} 192.0.2.1 GET 5", logformat=f"%ts.{code} %>a %rm %<st")

    assert found["flows"][0]["end"].microsecond == (0 if code == "%.1tu" else 7000)


def test_local_times_need_a_zone() -> None:
    """A time without zone stops with the first line and the way out; with a zone it is read, and that is noted."""
    log, said = "2015-06-01 10:30:00 192.0.2.1 GET 5\n", "%{%Y-%m-%d %H:%M:%S}tl %>a %rm %<st"

    with pytest.raises(TimezoneNeededError, match=r"line 1: '2015-06-01 10:30:00 192.*timezone=\"Asia/Tokyo\""):
        read(log, logformat=said)
    found, notes = read(log, logformat=said, timezone=ZoneInfo("Asia/Tokyo"))

    assert found["flows"][0]["end"] == datetime(2015, 6, 1, 1, 30, tzinfo=UTC)
    assert notes["timezone"] == "Asia/Tokyo"
    assert read(log, logformat=said.replace("tl", "tg"))[0]["flows"][0]["end"].hour == 10


def test_start_time_stands_in_for_elapsed() -> None:
    """Without %tr the start is %tS; without %ts the end is %tS plus %tr."""
    one = read("2.500 1.250 192.0.2.1 5", logformat="%ts.%03tu %tS %>a %<st")[0]["flows"][0]
    two = read("1.250 1250 192.0.2.1 5", logformat="%tS %tr %>a %<st")[0]["flows"][0]

    assert (one["start"], one["end"]) == (two["start"], two["end"])
    assert "time is not logged" in read("- 1250 192.0.2.1 5", logformat="%tS %tr %>a %<st")[0]["rejects"][0]["reason"]


def test_a_url_in_pieces_is_put_together() -> None:
    """A format that logs scheme, domain, port and path gives the URL and its host."""
    found, _ = read(
        "1.5 192.0.2.1 GET http www.example 81 /a 5", logformat="%ts.%03tu %>a %rm %>rs %>rd %>rP %>rp %<st"
    )

    assert found["requests"][0]["url"] == "http://www.example:81/a"
    assert (found["flows"][0]["name"], found["flows"][0]["dst_port"]) == ("www.example", 81)


def test_logs_of_headers_alone_give_no_flows() -> None:
    """A referrer log repeats requests that access.log has: it gives requests, not flows."""
    found, _ = read("1.500 192.0.2.1 http://a.example/ http://b.example/x\n", logformat="referrer")

    assert found.keys() == {"requests", "names"}
    assert found["requests"][0]["referer"] == "http://a.example/"


@pytest.mark.parametrize("name", PREDEFINED)
@given(text=st.text(max_size=60))
def test_no_line_raises(name: str, text: str) -> None:
    """Whatever the line, it is split or a problem is named."""
    layout = compile_logformat(name, PREDEFINED[name])

    assert layout.split(text) or str(layout.problem(text))


@pytest.mark.parametrize(
    "filler", ["a ", "- ", '" "', "TCP_MISS:X ", "\\", "[", "[a] ", "1 ", "http://a/ - HIER_NONE/- "], ids=repr
)
@pytest.mark.timeout(20)
def test_hostile_lines_take_one_pass(filler: str) -> None:
    """A line of 1 MB that nearly fits is given up at once, not after trying every way to divide it."""
    for name, definition in PREDEFINED.items():
        layout = compile_logformat(name, definition)
        for start in (NATIVE, '192.0.2.1 - - [01/Jun/2015:10:30:00 +0900] "GET http://a/ HTTP/1.1" 200 5 "'):
            line = start + filler * (1_000_000 // len(filler)) + "\x00 !"
            assert layout.split(line) or layout.problem(line)
