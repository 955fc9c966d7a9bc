"""Access logs of McAfee Web Gateway: headers that are right, wrong or missing."""

from __future__ import annotations

import io
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from forensics.errors import EvidenceError, TimezoneNeededError
from forensics.formats import Evidence, Hints, mcafee
from forensics.schema import parts_of

LINE = (
    '[01/Jun/2015:10:30:00 +0900] "tanaka" 192.0.2.21 200 "GET http://www.example/ HTTP/1.1" "Business" "Minimal Risk" '
    '"text/html" 4811 "Mozilla/5.0" "" "0" ""'
)


def read(
    *lines: str, logformat: str | None = None, timezone: str | None = None
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, object]]:
    """Return the rows of a log by table, and its notes."""
    hints = Hints(logformat=logformat, timezone=ZoneInfo(timezone) if timezone else None)
    evidence = Evidence(io.BytesIO("\n".join(lines).encode() + b"\n"), "mwg.log", "office", hints)
    found: dict[str, list[dict[str, Any]]] = {}
    for table, batch in mcafee.parse(evidence):
        for part, rows in parts_of(batch) if table == "exchanges" else [(table, batch)]:
            found.setdefault(part, []).extend(rows.to_pylist())
    return found, evidence.notes


@pytest.mark.parametrize("line", [LINE, LINE.removesuffix(' ""')])
def test_without_a_header_the_order_is_the_gateways_own(line: str) -> None:
    """Rows of newer and of older versions are read; what was sent is not known."""
    found, notes = read(line)
    flow = found["flows"][0]

    assert (flow["name"], flow["bytes_in"], flow["bytes_out"], flow["state"]) == ("www.example", 4811, None, "0")
    assert found["requests"][0]["content_type"] == "text/html"
    assert ("header_not_used" in notes) == (line != LINE)


def test_a_header_names_the_fields() -> None:
    """A header of other fields is believed where the rows have as many; a new one counts from there on."""
    sized = '#time_stamp src_ip status_code "req_line" bytes_from_client bytes_to_client'
    turned = '# time_stamp src_ip "req_line" status_code bytes_to_client bytes_from_client'
    one = '[01/Jun/2015:10:30:00 +0900] 192.0.2.21 200 "POST http://a.example/ HTTP/1.1" 700 35'
    two = '[01/Jun/2015:10:30:00 +0900] 192.0.2.21 "POST http://a.example/ HTTP/1.1" 200 35 700'
    found, _ = read(sized, one, turned, two, "# nothing", two)

    assert [(flow["bytes_out"], flow["bytes_in"]) for flow in found["flows"]] == [(700, 35)] * 3


def test_a_header_that_does_not_fit_is_not_used() -> None:
    """Rows of the usual number of fields are read as usual, and the notes say so."""
    found, notes = read('#time_stamp "auth_user" src_ip "req_line"', LINE, LINE)

    assert [flow["bytes_in"] for flow in found["flows"]] == [4811, 4811]
    assert notes["header_not_used"] == "its rows have 13 fields, not 4"


def test_a_header_that_fits_nothing_is_named_by_the_error() -> None:
    """Where rows have a number of fields that nobody knows, the error says which was expected."""
    with pytest.raises(EvidenceError, match=r"read as mcafee; line 2: row has 3 fields, 4 are expected"):
        read('#time_stamp "auth_user" src_ip "req_line"', "[x] y z")


def test_a_definition_wins() -> None:
    """What the analyst says counts more than a header."""
    said = 'mcafee: time_stamp src_ip "req_line" bytes_from_client'
    found, _ = read(
        '#time_stamp src_ip "req_line" bytes_to_client',
        '[01/Jun/2015:10:30:00 +0900] 192.0.2.21 "GET http://a.example/ HTTP/1.1" 7',
        logformat=said,
    )

    assert (found["flows"][0]["bytes_out"], found["flows"][0]["bytes_in"]) == (7, None)
    assert "needs req_line, src_ip, time_stamp" in (mcafee.declines(b"x\n", Hints(logformat="mcafee: src_ip")) or "")
    with pytest.raises(EvidenceError, match="needs req_line, src_ip, time_stamp"):
        read(LINE, logformat="mcafee: src_ip")


def test_times_without_a_zone_need_one() -> None:
    """The error shows the first line; with a zone the log is read."""
    bare = LINE.replace(" +0900", "")

    with pytest.raises(TimezoneNeededError, match=r"line 1: '\[01/Jun/2015:10:30:00\] "):
        read(bare)
    assert read(bare, timezone="Asia/Tokyo")[0]["flows"] == read(LINE)[0]["flows"]


@pytest.mark.parametrize(
    ("request_line", "url", "name"),
    [
        ("GET http://a.example/b c HTTP/1.1", "http://a.example/b c", "a.example"),
        ("GET http://a.example/", "http://a.example/", "a.example"),
        ("CONNECT a.example:443 HTTP/1.1", "a.example:443", "a.example"),
        ("GET /index.html HTTP/1.1", "/index.html", None),
        ("", None, None),
        ("-", None, None),
    ],
)
def test_request_lines_are_taken_apart(request_line: str, url: str | None, name: str | None) -> None:
    """Targets may hold spaces or have no version behind them; empty quotes are nothing."""
    request = read(LINE.replace("GET http://www.example/ HTTP/1.1", request_line))[0]["requests"][0]

    assert (request["url"], request["name"]) == (url, name)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("01/Jun", "31/Jun", "time is not a time of its format"),
        ("192.0.2.21", "-", "client is not logged"),
        ("192.0.2.21", "pc21", "client is not an address"),
        ("4811", "4k", "size is not a count"),
        (" 200 ", " 2000 ", "status is not a count"),
        ("Mozilla/5.0", 'a "b" c', "text follows a closing quote (field 10)"),
    ],
)
def test_rejects_say_what_is_wrong(old: str, new: str, reason: str) -> None:
    """A line that cannot be read is a reject; the others are not touched."""
    found, _ = read(LINE, LINE.replace(old, new), LINE)

    assert [(row["record"], row["reason"]) for row in found["rejects"]] == [(2, reason)]
    assert len(found["flows"]) == 2


def test_declining_names_the_line() -> None:
    """A file of other lines is declined; one with a header is not, whatever its rows."""
    assert mcafee.declines(b"192.0.2.1 - - [x]\n", Hints()) == (
        'line 1 is neither a header nor: [time] "user" client status "request" ...'
    )
    assert mcafee.declines(b"# nothing\n", Hints()) == "it has no lines"
    assert mcafee.declines(b'#time_stamp "auth_user" src_ip "req_line"\nx\n', Hints()) is None
    assert mcafee.declines(b"x\n", Hints(logformat="apache: %h")) == "--logformat is one of apache"
