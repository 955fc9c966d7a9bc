"""Gaps in the evidence: ends that come too early, clocks that fall back, silences against a log's own rhythm."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import forensics as fx
from forensics import reading
from forensics.formats import Evidence, Format
from forensics.reading.gaps import MOST_GAPS, gaps_of, gaps_text
from forensics.reading.silences import silences
from tests.reading.conftest import Tiny

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from forensics.formats._gaps import Gap
    from tests.reading.conftest import Reader

TOKYO = ZoneInfo("Asia/Tokyo")
MONDAY = datetime(2015, 5, 18, tzinfo=TOKYO)
LINE = "{}.000 0 192.0.2.1 TCP_MISS/200 9 GET http://www.example/ - DIRECT/203.0.113.7 text/html\n"


def kinds(row: dict[str, object]) -> list[tuple[Any, ...]]:
    """Return kind, record and reason of the gaps of a row of ``sources``."""
    return [(gap["kind"], gap["record"], gap["reason"]) for gap in gaps_of(cast("str | None", row["gaps"]))]


@dataclass
class Stamped(Tiny):
    """The tiny log, whose entries bear the time of their writing."""

    STAMP: str = "end"


@pytest.fixture
def stamped(monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The only format there is."""
    fmt = Stamped()
    monkeypatch.setattr(reading, "format_names", lambda: ("tiny",))
    monkeypatch.setattr(reading, "format_named", lambda _: cast("Format", fmt))
    return fmt


def test_a_last_line_that_is_cut(read: Reader, tiny: Tiny, tmp_path: Path) -> None:
    """A file without end of its last line, and one that is damaged, end too early; a whole file has no gap."""
    assert tiny.NAME == "tiny"
    (tmp_path / "whole.log").write_bytes(b"60 1\n")
    (tmp_path / "cut.log").write_bytes(b"60 1\n120 1")
    (tmp_path / "torn.log.gz").write_bytes(gzip.compress(b"60 1\n" * 20_000)[:-9])
    assert read(tmp_path / "whole.log")[0]["gaps"] is None
    cut = gaps_of(cast("str", read(tmp_path / "cut.log")[0]["gaps"]))
    assert cut == [
        {
            "kind": "truncated",
            "start": datetime(1970, 1, 1, 0, 3, 30, tzinfo=UTC),
            "end": None,
            "reason": "line 2, the last, has no line end",
            "record": None,
        }
    ]
    ((kind, _, reason),) = kinds(read(tmp_path / "torn.log.gz")[0])
    assert (kind, reason.partition(" after")[0]) == ("truncated", "damaged")


def test_what_a_format_tells(read: Reader, tiny: Tiny, tmp_path: Path) -> None:
    """What a reader tells of stands in ``sources``, in order of time, whatever thread told it first."""
    whole = tiny.parse

    def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
        evidence.gap("sequence", 120_000_000, 180_000_000, "7 messages are missing", 2)
        evidence.gap("lost", None, None, "3 events were lost")
        yield from whole(evidence)

    tiny.parse = parse
    (tmp_path / "a.log").write_bytes(b"60 1\n120 1\n")
    row = read(tmp_path / "a.log")[0]
    assert kinds(row) == [("lost", None, "3 events were lost"), ("sequence", 2, "7 messages are missing")]
    assert json.loads(str(row["gaps"]))[1]["start"] == "1970-01-01T00:02:00Z"


def test_a_clock_that_was_set_back(read: Reader, stamped: Tiny, tmp_path: Path) -> None:
    """Where the time falls by more than a minute and stays there, the clock was set; a late entry is no such place."""
    assert stamped.NAME == "tiny"
    times = [*range(1000, 2000, 10), 1500, *range(2000, 2100, 10), *range(500, 900, 10), *range(905, 960, 5)]
    (tmp_path / "a.log").write_bytes(b"".join(b"%d 1\n" % time for time in times))
    row = read(tmp_path / "a.log")[0]
    ((kind, record, reason),) = kinds(row)
    assert (kind, record) == ("clock_jump", times.index(500) + 1)
    assert "falls back by 0:26:30" in reason


def test_late_entries_are_no_jump(read: Reader, tiny: Tiny, tmp_path: Path) -> None:
    """A format that does not say that entries bear the time of their writing has no clock jumps."""
    assert tiny.NAME == "tiny"
    (tmp_path / "a.log").write_bytes(b"".join(b"%d 1\n" % time for time in (9000, 100, 200, 300, 400)))
    assert read(tmp_path / "a.log")[0]["gaps"] is None


def test_gaps_of_a_hostile_file_are_bounded(read: Reader, stamped: Tiny, tmp_path: Path) -> None:
    """A clock that falls back all the time is told a hundred times, and many gaps of a kind are counted."""
    assert stamped.NAME == "tiny"
    (tmp_path / "a.log").write_bytes(b"".join(b"%d 1\n" % (10**6 - n * 100) for n in range(3000)))
    assert len(kinds(read(tmp_path / "a.log")[0])) == MOST_GAPS
    evidence = Evidence(cast("Any", None), "a", "a")
    for number in range(MOST_GAPS + 5):
        evidence.gap("lost", number, number, "lost")
    told = gaps_of(gaps_text(evidence.gaps))
    assert len(told) == MOST_GAPS + 1
    assert told[-1]["reason"] == "5 more of this kind"


def minutes(spans: Iterable[tuple[datetime, datetime]], step: int = 1) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the minutes of spans."""
    parts = [range(int(a.timestamp()) // 60, int(b.timestamp()) // 60, step) for a, b in spans]
    return np.unique(np.concatenate([np.array(part, np.int64) for part in parts]))


def office(days: Iterable[int]) -> list[tuple[datetime, datetime]]:
    """Return the hours from 8 to 19 of days from a Monday on, but Saturdays and Sundays."""
    return [
        (MONDAY + timedelta(days=day, hours=8), MONDAY + timedelta(days=day, hours=19)) for day in days if day % 7 < 5
    ]


def spans(found: list[Gap]) -> list[tuple[datetime, datetime]]:
    """Return the times of gaps."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [tuple(epoch + timedelta(microseconds=t or 0) for t in (gap.start, gap.end)) for gap in found]  # type: ignore[misc]


@pytest.mark.parametrize("step", [1, 4])
def test_nights_and_weekends_are_no_gaps(step: int) -> None:
    """Two weeks of office hours, with nothing at night and at the weekends, have no silence to tell."""
    assert silences(minutes(office(range(14)), step), TOKYO) == []


@pytest.mark.parametrize("step", [1, 4])
def test_a_missing_day_is_a_gap(step: int) -> None:
    """A working day without a record is told, from the last record before it to the first one after it."""
    found = silences(minutes(office([0, 1, 3, 4]), step), TOKYO)
    ((start, end),) = spans(found)
    assert start - (MONDAY + timedelta(days=1, hours=19)) < timedelta(minutes=1)
    assert end == MONDAY + timedelta(days=3, hours=8)
    assert "in office hours 99 of 100 silences last" in found[0].reason


def test_a_hole_of_hours_in_office_time_is_a_gap() -> None:
    """Three hours without a record of a working day are told, lunch breaks and one hour are not."""
    days = office(range(5))
    busy = minutes(days)
    hole = minutes([(MONDAY + timedelta(days=2, hours=13), MONDAY + timedelta(days=2, hours=16))])
    hour = minutes([(MONDAY + timedelta(days=3, hours=13), MONDAY + timedelta(days=3, hours=14))])
    lunch = minutes([(MONDAY + timedelta(days=n, hours=12), MONDAY + timedelta(days=n, hours=13)) for n in range(5)])
    found = silences(np.setdiff1d(busy, np.concatenate([hole, hour, lunch])), TOKYO)
    assert spans(found) == [(MONDAY + timedelta(days=2, hours=12), MONDAY + timedelta(days=2, hours=16))]


def test_a_hole_in_the_night_of_a_server_is_a_gap() -> None:
    """Where a log has records day and night, hours at night or on a Sunday without any are told."""
    busy = minutes([(MONDAY, MONDAY + timedelta(days=14))])
    night = (MONDAY + timedelta(days=2, hours=1), MONDAY + timedelta(days=2, hours=5))
    sunday = (MONDAY + timedelta(days=6, hours=9), MONDAY + timedelta(days=6, hours=15))
    assert spans(silences(np.setdiff1d(busy, minutes([night, sunday])), TOKYO)) == [night, sunday]


def test_long_silences_are_told_without_a_rhythm() -> None:
    """Two records that are years apart have a silence between them, and cost no memory for it."""
    ((start, end),) = spans(silences(np.array([0, 100 * 525_600], np.int64), TOKYO))
    assert (start, end.year) == (datetime(1970, 1, 1, 0, 1, tzinfo=UTC), 2069)


@given(st.lists(st.integers(0, 20_000), max_size=200))
def test_silences_hold_no_record(times: list[int]) -> None:
    """No record lies in a silence; a record ends it, and one stands before it."""
    busy = np.unique(np.array(times, np.int64))
    for gap in silences(busy, TOKYO):
        first, after = (gap.start or 0) // 60_000_000, (gap.end or 0) // 60_000_000
        assert not ((busy >= first) & (busy < after)).any()
        assert {first - 1, after} <= set(busy.tolist())


def write_days(folder: Path, days: Iterable[int]) -> None:
    """Write an office proxy's log, a file a day, a request each minute."""
    for start, _ in office(days):
        seconds = range(int(start.timestamp()), int(start.timestamp()) + 11 * 3600, 60)
        text = "".join(LINE.format(second) for second in seconds)
        (folder / f"access-{start:%Y%m%d}.log").write_text(text, "utf-8")


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_deleted_day_in_a_case(tmp_path: Path, on_disk: bool) -> None:
    """A day that was deleted is told at the file behind it; once its file is added, it is no gap any more."""
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    write_days(evidence, [0, 1, 3, 4])
    case = fx.open_case(tmp_path / "x.case", timezone="Asia/Tokyo") if on_disk else fx.read(evidence)
    case.add(evidence)
    gaps = {row["source"]: gaps_of(row["gaps"]) for row in case.sources.to_arrow().to_pylist()}
    assert [len(gaps[source]) for source in sorted(gaps)] == [0, 0, 1, 0]
    assert gaps["access-20150521.log"][0]["start"] == datetime(2015, 5, 19, 10, 0, tzinfo=UTC)
    write_days(evidence, [2])
    case.add(evidence)
    assert [row["gaps"] for row in case.sources.to_arrow().to_pylist()] == [None] * 5
