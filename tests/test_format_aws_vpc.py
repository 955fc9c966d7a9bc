"""Flow logs of AWS: the traps in words."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from forensics.formats import Evidence, Hints, _aws_events, aws_vpc

SAMPLES = Path(__file__).resolve().parents[1] / "sample_pcaps" / "formats" / "aws_vpc"


def read(data: bytes) -> tuple[list[dict[str, Any]], dict[str, object]]:
    """Return the flows of a file, and its notes."""
    evidence = Evidence(io.BytesIO(data), "flow.log", "vpc")
    rows = [row for table, batch in aws_vpc.parse(evidence) if table == "flows" for row in batch.to_pylist()]
    return rows, evidence.notes


def test_the_real_ends_count_and_not_the_interface() -> None:
    """Behind a NAT gateway the packet's own address is the client; without those fields the logged one is."""
    rows, _ = read((SAMPLES / "traps.log").read_bytes())

    assert rows[0]["src"] == "192.0.2.7"


def test_rows_without_flows_are_counted() -> None:
    """Rows that say that nothing passed, or that records were lost, are no flows and no rejects."""
    _, notes = read((SAMPLES / "traps.log").read_bytes())

    assert (notes["nodata_rows"], notes["skipdata_rows"]) == (1, 1)


def test_where_the_real_end_is_not_logged_the_interface_counts() -> None:
    """A dash for the packet's address leaves what the interface saw; what is no address there is a reject."""
    head = b"version srcaddr dstaddr pkt-srcaddr pkt-dstaddr start end\n"
    rows, _ = read(
        head + b"5 192.0.2.7 203.0.113.9 - 203.0.113.9 1432166410 1432166470\n"
        b"5 192.0.2.220 203.0.113.9 192.0.2.8 - 1432166410 1432166470\n"
        b"5 gateway 203.0.113.9 - - 1432166410 1432166470\n"
        b"5 - 203.0.113.9 - - 1432166410 1432166470\n"
    )

    assert [(row["src"], row["dst"]) for row in rows] == [("192.0.2.7", "203.0.113.9"), ("192.0.2.8", "203.0.113.9")]


def test_files_put_end_to_end_have_headers_between() -> None:
    """A further header is no record, and names the fields of what follows; a line that only begins so is a reject."""
    first = b"version srcaddr dstaddr start end bytes\n5 192.0.2.7 203.0.113.9 1432166410 1432166470 10\n"
    second = b"version bytes srcaddr dstaddr start end\r\n5 20 192.0.2.7 203.0.113.9 1432166410 1432166470\r\n"

    rows, notes = read(first + first + second + b"version 5\n")

    assert [(row["record"], row["bytes_out"]) for row in rows] == [(2, 10), (4, 10), (6, 20)]
    assert (notes["headers"], notes["records"]) == (3, 4)


def test_only_one_direction_is_observed() -> None:
    """Whatever the log, nothing is known of the way back."""
    for path in SAMPLES.glob("*.log"):
        assert {row["bytes_in"] for row in read(path.read_bytes())[0]} == {None}


@pytest.mark.parametrize("name", ["exported.log", "answer.json"])
def test_what_went_through_cloudwatch_has_the_same_flows(name: str) -> None:
    """With the time of an event before each record, or as the messages of an answer, the records are the same."""
    assert read((SAMPLES / name).read_bytes()) == read((SAMPLES / "normal.log").read_bytes())


def test_an_event_has_a_number() -> None:
    """What a subscription delivers are documents end to end; what tests the destination is no event of the log."""
    rows, notes = read((SAMPLES / "subscription.json").read_bytes())

    assert [row["record"] for row in rows] == [1, 2, 3]
    assert rows == read((SAMPLES / "normal.log").read_bytes())[0]
    assert (notes["records"], notes["skipdata_rows"], notes["control_messages"]) == (5, 1, 1)


def test_events_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event a line, in blocks however small; what is none is a reject with its own number."""
    lines = (SAMPLES / "normal.log").read_text("utf-8").splitlines()
    text = (
        "".join(json.dumps({"message": line}) + "\n" for line in lines)
        + '{"message": 7}\n[1, {"logEvents": 2}]\n{"mess'
    )
    expected = read(text.encode())

    assert [row["record"] for row in expected[0]] == [1, 2, 3]
    assert expected[1]["records"] == 7
    monkeypatch.setattr(_aws_events, "PART", 1)
    assert read(text.encode()) == expected
    assert read(text.encode("utf-16"))[0] == expected[0]


@pytest.mark.parametrize("indent", [None, 4])
def test_what_stands_behind_the_events_of_an_answer(indent: int | None) -> None:
    """Tokens and the streams that were searched are no events; two answers may stand in one file."""
    lines = (SAMPLES / "normal.log").read_text("utf-8").splitlines()
    answer = {
        "events": [{"message": line} for line in lines],
        "nextForwardToken": "f/31",
        "searchedLogStreams": [{"logStreamName": "eni-1", "searchedCompletely": True}],
    }
    text = json.dumps(answer, indent=indent) + "\n"
    rows, notes = read((text + text).encode())

    assert [row["record"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert notes["records"] == 6


def test_other_logs_in_cloudwatch_are_declined() -> None:
    """The documents say nothing of what their messages are; the messages do."""
    reason = aws_vpc.declines((SAMPLES / "cloudtrail.other").read_bytes(), Hints())

    assert reason == "none of its first events has a record of version 2 as its message"


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "it is empty"),
        (b"2 1 eni-1 192.0.2.7 203.0.113.9 1 2 6 1 1 1 1 ACCEPT MAYBE\n", "line 1 is no record of version 2"),
        (b"start end bytes\n", "line 1 is neither a header"),
    ],
)
def test_what_is_no_flow_log_is_declined(head: bytes, reason: str) -> None:
    """The reason says what is missing."""
    assert str(aws_vpc.declines(head, Hints())).startswith(reason)
