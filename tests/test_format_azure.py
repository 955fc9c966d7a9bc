"""Flow logs of Azure: the traps in words."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import EvidenceError
from forensics.formats import Evidence, Hints, _json, azure

SAMPLES = Path(__file__).resolve().parents[1] / "sample_pcaps" / "formats" / "azure"
TUPLE = "1432166405,192.0.2.7,203.0.113.9,49152,443,T,O,A,E,2,120,1,60"


def read(data: bytes, table: str = "flows") -> tuple[list[dict[str, Any]], dict[str, object]]:
    """Return the rows of a file, and its notes."""
    evidence = Evidence(io.BytesIO(data), "PT1H.json", "vpc")
    rows = [row for name, batch in azure.parse(evidence) if name == table for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row["record"]), evidence.notes


def record(*tuples: str, version: int = 2) -> dict[str, Any]:
    """Return a record of a log of a network security group."""
    return {"properties": {"Version": version, "flows": [{"rule": "r", "flows": [{"flowTuples": list(tuples)}]}]}}


@pytest.mark.parametrize("name", ["normal.json", "vnet.json"])
def test_bytes_are_increments_and_none_where_a_flow_only_begins(name: str) -> None:
    """The three rows of one flow: nothing, what was sent since, what was sent since then; a denied flow has nothing."""
    rows, _ = read((SAMPLES / name).read_bytes())

    assert [row["state"] for row in rows[:4]] == ["B", "C", "E", "D"]
    assert [row["bytes_out"] for row in rows[:2]] == [None, 4249]
    assert (rows[3]["bytes_out"], rows[3]["packets_in"]) == (None, None)


def test_an_inbound_flow_keeps_its_ends() -> None:
    """The source is who began, whatever the direction at the interface."""
    rows, _ = read((SAMPLES / "normal.json").read_bytes())

    assert (rows[3]["src"], rows[3]["dst"]) == ("198.51.100.20", "192.0.2.7")


def test_both_units_of_time_give_the_same_day() -> None:
    """Logs of groups count seconds, those of networks milliseconds."""
    days = {
        row["start"].date() for name in ("normal.json", "vnet.json") for row in read((SAMPLES / name).read_bytes())[0]
    }

    assert len(days) == 1


def test_documents_follow_one_another() -> None:
    """A document, a record of its own and another document in one file: all are read."""
    rows, notes = read((SAMPLES / "traps.json").read_bytes())

    assert [row["record"] for row in rows] == [1, 9, 12, 13, 15]
    assert notes["empty_records"] == 1


@pytest.mark.parametrize("chunk", [7, 64, 1 << 18])
def test_records_are_read_across_the_parts_of_a_file(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a file is cut into parts, its records are the same; nothing is lost where blocks are small."""
    monkeypatch.setattr(_json, "CHUNK", chunk)
    monkeypatch.setattr(azure, "PART", 100)
    data = json.dumps({"records": [record(*[TUPLE] * 3) for _ in range(20)]}, indent=1).encode()

    rows, notes = read(data)

    assert [row["record"] for row in rows] == list(range(1, 61))
    assert {row["bytes_in"] for row in rows} == {60}
    assert notes["records"] == 60


def test_a_document_that_ends_early_is_told() -> None:
    """A list that is never closed is noted; the record that is cut is a reject."""
    data = json.dumps({"records": [record(TUPLE), record(TUPLE)]}).encode()
    between = data.index(b"}, {") + 1

    assert read(data[:between])[1]["truncated"] == "the list records is never closed"
    assert [row["reason"] for row in read(data[:-40], "rejects")[0]] == ["not JSON: Unterminated string starting at"]


def test_a_file_without_a_flow_is_an_error() -> None:
    """Where nothing can be read, the error says what the first tuple lacks."""
    with pytest.raises(
        EvidenceError, match=r"its only line could not be read as azure; line 1: row has 1 field, 13 are"
    ):
        read(json.dumps({"records": [record("x")]}).encode())


@pytest.mark.parametrize(
    ("head", "reason"), [(b"", "it is not JSON"), (b'{"records":[]}', "it is JSON without flowTuples")]
)
def test_what_is_no_flow_log_is_declined(head: bytes, reason: str) -> None:
    """The reason says what is missing."""
    assert azure.declines(head, Hints()) == reason
