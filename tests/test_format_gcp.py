"""Flow logs of Google Cloud: the traps in words."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from forensics.errors import EvidenceError
from forensics.formats import Evidence, Hints, _blocks, _gcp_twins, gcp

SAMPLES = Path(__file__).resolve().parents[1] / "sample_pcaps" / "formats" / "gcp"


def read(data: bytes) -> tuple[list[dict[str, Any]], dict[str, object]]:
    """Return the flows of a file, and its notes."""
    evidence = Evidence(io.BytesIO(data), "flows.json", "vpc")
    rows = [row for table, batch in gcp.parse(evidence) if table == "flows" for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row["record"]), evidence.notes


def entry(reporter: str, begin: int, end: int, *, port: int = 5000, size: str | None = "10") -> dict[str, Any]:
    """Return an entry whose window is these seconds of a minute."""
    ends = {"src_ip": "192.0.2.7", "dest_ip": "192.0.2.9", "src_port": port, "dest_port": 443, "protocol": 6}
    times = {"start_time": f"2015-05-21T00:00:{begin:02}Z", "end_time": f"2015-05-21T00:00:{end:02}Z"}
    return {"jsonPayload": {"connection": ends, "reporter": reporter, **times} | ({"bytes_sent": size} if size else {})}


def kept(*entries: dict[str, Any]) -> list[int]:
    """Return the records that become flows."""
    return [row["record"] for row in read("".join(f"{json.dumps(one)}\n" for one in entries).encode())[0]]


def test_what_both_ends_report_counts_once() -> None:
    """The receiver's row is left out and counted, whichever of the two comes first."""
    assert kept(entry("SRC", 10, 14), entry("DEST", 12, 16)) == [1]
    assert kept(entry("DEST_GATEWAY", 12, 16), entry("SRC_GATEWAY", 10, 14)) == [2]
    assert read((SAMPLES / "normal.json").read_bytes())[1]["told_by_sender"] == 1


def test_a_receiver_alone_is_kept() -> None:
    """Other ports, another window, or a sender that tells no bytes are no twin."""
    assert kept(entry("SRC", 10, 14), entry("DEST", 10, 14, port=5001)) == [1, 2]
    assert kept(entry("SRC", 10, 14), entry("DEST", 15, 16), entry("SRC", 20, 24), entry("DEST", 17, 19)) == [
        1,
        2,
        3,
        4,
    ]
    assert kept(entry("SRC", 10, 14, size=None), entry("DEST", 10, 14)) == [1, 2]


def test_a_long_window_before_a_short_one_is_found() -> None:
    """The sender's row that overlaps need not be the last that began before."""
    assert kept(entry("SRC", 1, 50), entry("SRC", 2, 3), entry("DEST", 30, 31)) == [1, 2]


@pytest.mark.parametrize("sender_first", [True, False])
def test_twins_are_found_wherever_they_stand(monkeypatch: pytest.MonkeyPatch, *, sender_first: bool) -> None:
    """The two may stand in different blocks of a file, in either order; what is no twin stays."""
    monkeypatch.setattr(_blocks, "BLOCK", 1)
    sent = [entry("SRC", place, place + 1, port=5000 + place) for place in range(20)]
    received = [entry("DEST", place, place + 1, port=5000 + place) for place in range(1, 22)]
    told = [*sent, *received] if sender_first else [*received, *sent]
    rows, notes = read("".join(f"{json.dumps(one)}\n" for one in told).encode())

    assert Counter((row["src_port"], row["state"]) for row in rows) == Counter(
        [*((5000 + place, "SRC") for place in range(20)), (5020, "DEST"), (5021, "DEST")]
    )
    assert notes["told_by_sender"] == 19
    assert "receivers_not_matched" not in notes


@pytest.mark.parametrize("sender_first", [True, False])
def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch, *, sender_first: bool) -> None:
    """Twins that stand too far apart are both kept; receivers that could not wait are counted."""
    monkeypatch.setattr(_blocks, "BLOCK", 1)
    monkeypatch.setattr(_gcp_twins, "MOST_ROWS", 5)
    sent = [entry("SRC", place, place + 1, port=5000 + place) for place in range(10)]
    received = [entry("DEST", place, place + 1, port=5000 + place) for place in range(10)]
    told = [*sent, *received] if sender_first else [*received, *sent]
    rows, notes = read("".join(f"{json.dumps(one)}\n" for one in told).encode())

    assert len(rows) == 15
    assert notes["told_by_sender"] == 5
    assert notes.get("receivers_not_matched") == (None if sender_first else 5)


def test_receivers_that_wait_stand_before_a_damage() -> None:
    """What was read before the damage of a file is told, receivers too."""
    text = "".join(f"{json.dumps(entry('DEST', place, place + 1))}\n" for place in range(30)).encode()
    evidence = Evidence(cast("BinaryIO", Damaged(text)), "flows.json", "vpc")
    found, batches = list[Any](), gcp.parse(evidence)
    while len(found) < 30:
        found += next(batches)[1].to_pylist()

    assert len(found) == 30
    with pytest.raises(EvidenceError, match="torn"):
        next(batches)


class Damaged(io.BytesIO):
    """A stream that fails at its end."""

    def read(self, size: int | None = -1) -> bytes:
        """Return more; fail where there is no more."""
        more = super().read(size)
        if not more:
            raise EvidenceError("flows.json", "torn")
        return more


def test_a_list_gives_what_lines_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of a list, of any layout and in small blocks, become the same flows."""
    entries = [entry("SRC", place, place + 1, port=5000 + place) for place in range(30)]
    lines = read("".join(f"{json.dumps(one)}\n" for one in entries).encode())
    monkeypatch.setattr(gcp, "PART", 300)

    for text in (json.dumps(entries), json.dumps(entries, indent=2), json.dumps({"entries": entries})):
        assert read(text.encode()) == lines


def test_only_one_direction_is_observed() -> None:
    """Whatever the log, nothing is known of the way back; counts are said to be estimates."""
    for path in SAMPLES.glob("*.json"):
        rows, notes = read(path.read_bytes())

        assert {row["bytes_in"] for row in rows} == {None}
        assert notes["sampled"]


@pytest.mark.parametrize(
    ("head", "reason"),
    [(b"", "it is not JSON"), (b'{"jsonPayload":{}}\n', "it is JSON without jsonPayload.connection.src_ip")],
)
def test_what_is_no_flow_log_is_declined(head: bytes, reason: str) -> None:
    """The reason says what is missing."""
    assert gcp.declines(head, Hints()) == reason
