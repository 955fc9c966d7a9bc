"""Headers of W3C extended logs: they repeat, change, stand inside of blocks and at their borders, or are missing."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.errors import EvidenceError, TimezoneNeededError
from forensics.formats import HEAD_BYTES, Evidence, Hints, _blocks, all_formats, iis, tmg, w3c, windows_firewall
from forensics.formats._elff import MOST_FIELDS, Header, kind_of, read_directives
from forensics.schema import parts_of

if TYPE_CHECKING:
    from forensics.formats import Format

Rows = dict[str, list[dict[str, Any]]]

ONE = b"#Fields: date time c-ip cs-method cs-uri cs-bytes sc-bytes\n"
TWO = b"#Fields: sc-bytes cs-uri cs-method c-ip time date\n"


def read(fmt: Format, data: bytes, hints: Hints | None = None) -> tuple[Rows, dict[str, Any]]:
    """Return the rows of a log by table, in the order of its lines, and the notes."""
    evidence = Evidence(io.BytesIO(data), "a.log", "sensor", hints or Hints())
    found: dict[str, list[dict[str, Any]]] = {}
    for table, batch in fmt.parse(evidence):
        for part, rows in parts_of(batch) if table == "exchanges" else [(table, batch)]:
            found.setdefault(part, []).extend(rows.to_pylist())
    return {part: sorted(rows, key=lambda row: int(row["record"])) for part, rows in found.items()}, evidence.notes


def claimed(data: bytes, hints: Hints | None = None) -> list[str]:
    """Return the formats that claim a file."""
    declined = {name: fmt.declines(data[:HEAD_BYTES], hints or Hints()) for name, fmt in all_formats().items()}
    return [name for name, why in declined.items() if why is None]


def one(second: int) -> bytes:
    """Return a line under the first header."""
    return b"2015-05-21 01:%02d:%02d 192.0.2.1 GET /one/%d %d 7\n" % (second // 60, second % 60, second, second)


def two(second: int) -> bytes:
    """Return a line under the second header."""
    return b"9 /two/%d POST 192.0.2.2 01:%02d:%02d 2015-05-21\n" % (second, second // 60, second % 60)


def mixed() -> bytes:
    """Return a log whose header changes after ever more lines."""
    parts = []
    for turn in range(1, 40):
        make = two if turn % 2 else one
        parts += [TWO if turn % 2 else ONE, *(make(turn * 60 + number) for number in range(turn))]
    return b"".join(parts)


@pytest.mark.parametrize("size", [64, 97, 128, 333, 1000, 1 << 20])
def test_headers_change_inside_of_blocks_and_at_their_borders(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever blocks end, each line is read under the header above it."""
    whole, notes = read(w3c, mixed())
    monkeypatch.setattr(_blocks, "BLOCK", size)
    found, again = read(w3c, mixed())

    assert found == whole
    assert again == notes
    assert len(found["requests"]) == sum(range(40)) == notes["records"]
    assert notes["fields_changed"] == 38
    assert all(
        row["url"].startswith("/one/" if row["method"] == "GET" else "/two/")
        and int(row["url"][5:]) == row["start"].minute * 60 + row["start"].second
        and (row["request_bytes"], row["response_bytes"])
        == ((int(row["url"][5:]), 7) if row["method"] == "GET" else (None, 9))
        for row in found["requests"]
    )
    lines = mixed().splitlines()
    assert all(row["url"].encode() in lines[row["record"] - 1] for row in found["requests"])


def test_a_header_before_every_line_costs_nothing() -> None:
    """A header that says nothing new leaves no trace: the lines are read as if it were not there."""
    lines = [one(number) for number in range(200)]
    plain, _ = read(w3c, ONE + b"".join(lines))
    found, notes = read(w3c, b"".join(b"#Version: 1.0\n" + ONE + line for line in lines))

    drop = [{**row, "record": 0} for row in plain["flows"]]
    assert [{**row, "record": 0} for row in found["flows"]] == drop
    assert [row["record"] for row in found["flows"]] == list(range(3, 603, 3))
    assert "fields_changed" not in notes


def test_lines_before_any_header_are_rejects() -> None:
    """What stands before the first header, or under one that names no client, cannot be read, and is kept."""
    found, _ = read(w3c, one(1) + ONE + one(2) + b"#Fields: date time cs-uri\n2015-05-21 01:00:00 /x\n")

    assert [(row["record"], row["reason"]) for row in found["rejects"]] == [
        (1, "no #Fields line stands before it"), (5, "the #Fields line names no client"),
    ]  # fmt: skip
    assert [row["record"] for row in found["flows"]] == [3]


def test_a_file_whose_lines_do_not_fit_is_an_error() -> None:
    """The error names the format, and what is wrong with the first line."""
    with pytest.raises(EvidenceError, match="as w3c; line 2: row has 3 fields, 7 are expected"):
        read(w3c, ONE + b"a b c\n")


def test_days_are_counted_where_lines_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log without dates takes the day from ``#Date``, and one more each time its clock starts anew."""
    hours = [22, 23, 1, 12, 23, 0, 5]
    data = b"#Software: Microsoft HTTP API 2.0\n#Date: 2015-12-30 21:59:59\n#Fields: time c-ip cs-method cs-uri\n"
    data += b"".join(b"%02d:00:00 192.0.2.1 GET /\n" % hour for hour in hours)
    data += b"#Date: 2016-02-28 23:59:59\n00:00:01 192.0.2.1 GET /\n"
    days = [(12, 30), (12, 30), (12, 31), (12, 31), (12, 31), (1, 1), (1, 1), (2, 29)]
    for size in (64, 1 << 20):
        monkeypatch.setattr(_blocks, "BLOCK", size)
        found, notes = read(iis, data)

        assert [(row["end"].month, row["end"].day) for row in found["flows"]] == days
        assert notes["midnights"] == 3


def test_without_any_date_lines_are_rejects() -> None:
    """A time of day that no date belongs to is not guessed."""
    data = b"#Software: Microsoft HTTP API 2.0\n#Fields: time c-ip cs-method cs-uri\n01:00:00 192.0.2.1 GET /\n"

    with pytest.raises(EvidenceError, match="line 3: no #Date says the day"):
        read(iis, data)


def test_w3c_times_are_utc_whatever_the_hint() -> None:
    """The format prescribes UTC: a zone that the analyst names for other logs does not shift it."""
    found, notes = read(w3c, ONE + one(0), Hints(timezone=ZoneInfo("Asia/Tokyo")))

    assert found["flows"][0]["end"].hour == 1
    assert (notes["timezone"], notes["timezone_from"]) == ("UTC", "the log")


@pytest.mark.parametrize(
    ("module", "head"),
    [
        (windows_firewall, b"#Software: Microsoft Windows Firewall\n#Time Format: Local\n#Fields: date time src-ip\n"),
        (iis, b"#Software: IIS Advanced Logging Module\n#Fields: date-local time-local c-ip\n"),
    ],
)
def test_local_times_need_a_zone(module: Format, head: bytes) -> None:
    """Without a zone the error shows the first line and how to name one."""
    with pytest.raises(TimezoneNeededError, match=r"line \d: '2015-05-21 10:00:00 192.0.2.1'\).*timezone="):
        read(module, head + b"2015-05-21 10:00:00 192.0.2.1\n")


def test_quotes_that_are_never_closed_are_text() -> None:
    """A client that sends a quote does not hide its request."""
    data = b"#Fields: date time c-ip cs(User-Agent) cs-method\n" + b"".join(
        b"2015-05-21 01:00:00 192.0.2.1 %s GET\n" % agent for agent in (b'"a b"', b'"a', b'a"', b'"a"b', b'"a ""b"""')
    )
    found, _ = read(w3c, data)

    assert [row["user_agent"] for row in found["requests"]] == ["a b", '"a', 'a"', '"a"b', 'a "b"']


def test_blanks_around_lines_part_nothing() -> None:
    """Several spaces are one, and one at the end of a line, or a tab, begins no further field."""
    found, _ = read(w3c, b"#Fields: date time c-ip\n2015-05-21  01:00:00   192.0.2.1 \r\n")
    tabs, _ = read(w3c, b"#Fields: date time c-ip\n2015-05-21\t01:00:00\t192.0.2.1\t\n")

    assert found == tabs
    assert len(found["flows"]) == 1


def test_a_hostile_header_takes_no_memory() -> None:
    """A header of very many fields is refused, and its lines are rejects."""
    wide = b"#Fields: date time c-ip " + b"x " * MOST_FIELDS + b"\n"

    assert claimed(wide + one(1)) == []
    found, _ = read(w3c, ONE + one(1) + wide + one(2))
    assert [row["reason"] for row in found["rejects"]] == ["the #Fields line names 131 fields, more than 128"]


@pytest.mark.parametrize(
    ("software", "fields", "kind"),
    [
        (b"SGOS 6.7", b"date time c-ip", "bluecoat"),
        (b"", b"date time c-ip s-action cs-uri-scheme", "bluecoat"),
        (b"Microsoft Internet Information Services 10.0", b"date time c-ip", "iis"),
        (b"", b"date time c-ip sc-win32-status", "iis"),
        (b"Microsoft(R) Internet Security and Acceleration Server 2000", b"date time c-ip", "tmg"),
        (b"", b"date time c-ip cs-transport", "tmg"),
        (b"Microsoft Windows Firewall", b"date time src-ip", "windows_firewall"),
        (b"", b"date time src-ip tcpflags path", "windows_firewall"),
        (b"Zscaler", b"date time c-ip cs-method", "w3c"),
    ],
)
def test_one_format_claims_each_header(software: bytes, fields: bytes, kind: str) -> None:
    """Program or fields tell which format a log is of, and no other claims it."""
    data = b"#Software: %s\n#Fields: %s\n" % (software, fields)

    assert kind_of(read_directives(Header(), data.splitlines())) == kind
    assert claimed(data + b"2015-05-21 01:00:00 192.0.2.1\n") == [kind]


def test_a_log_without_header_needs_its_fields() -> None:
    """``--logformat`` names the fields of a log whose header was lost; a header in the file wins over it."""
    line = b"2015-05-21 01:00:00 192.0.2.1 GET /a 5\n"
    hints = Hints(logformat="w3c: date time c-ip cs-method cs-uri cs-bytes")

    assert claimed(line) == []
    assert claimed(line, hints) == ["w3c"]
    assert read(w3c, line, hints)[0]["flows"][0]["bytes_out"] == 5
    assert read(w3c, ONE + one(3), hints)[0]["flows"][0]["bytes_out"] == 3
    assert iis.declines(line, hints) == "--logformat is one of w3c"
    assert claimed(line, Hints(logformat="w3c: date time cs-uri cs-bytes")) == []


def test_offsets_of_the_log_count() -> None:
    """``#GMT-Offset`` says how far the clock of the log is from UTC; one that no clock has is passed over."""
    for offset, hour in ((b"-0800", 9), (b"+0900", 16), (b"09:00", 16), (b"+9900", 1)):
        found, _ = read(w3c, b"#GMT-Offset: %s\n%s%s" % (offset, ONE, one(0)))
        assert found["flows"][0]["end"].hour == hour


@given(st.lists(st.sampled_from([
    ONE, TWO, one(1), two(2), b"#", b"#Fields:\n", b"#Date: 2015-05-21 00:00:00\n", b"#Fields: time c-ip\n",
    b"01:00:00 192.0.2.3\n", b"\n", b'"', b"\t", b"\x00", b"#Fields: c-ip c-ip time date\n", b" ", b"\xff\xfe",
])))  # fmt: skip
def test_every_line_is_a_row_or_a_reject(parts: list[bytes]) -> None:
    """Whatever stands in a log, in whatever order: each record gives one row or one reject."""
    for module in (w3c, iis, tmg):
        try:
            found, notes = read(module, b"".join(parts))
        except EvidenceError:
            continue
        made = [row["record"] for table in ("flows", "rejects") for row in found.get(table, [])]
        assert len(made) == len(set(made)) == notes.get("records", 0)
