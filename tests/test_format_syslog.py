"""What syslog puts before a log: heads that come off, and years that follow from the order of lines."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forensics.errors import EvidenceError, YearNeededError
from forensics.formats import Evidence, Hints
from forensics.formats._blocks import block_of, blocks
from forensics.formats._delimited import Dialect, delimited
from forensics.formats._head import body_of, definitions, first_lines, text
from forensics.formats._stamps import Civil, compile_stamp, read_column
from forensics.formats._syslog import heads, surveyed, without_heads
from forensics.formats._years import MOST_TURNS
from forensics.formats._zones import Clock

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the clock of a log
US = timedelta(microseconds=1)


def local(*parts: int) -> datetime:
    """Return a time on the clock of a log."""
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


HEADS = [
    ("<4>May 21 10:00:00 gate kernel: IN=eth0", "IN=eth0", "gate", "kernel:"),
    ("May  1 10:00:00.123 gate squid[21]:   a b", "a b", "gate", "squid[21]:"),
    ("May 21 2015 10:00:00 gate %ASA-6-302013: Built", "Built", "gate", "%ASA-6-302013:"),
    ("2015-05-21T10:00:00.123456+09:00 gate kernel: IN=eth0", "IN=eth0", "gate", "kernel:"),
    ("<4>1 2015-05-21T10:00:00Z gate app 21 id - IN=eth0", "IN=eth0", "gate", "app"),
    ('<4>1 - gate app - - [a b="]\\""][c] \ufeffIN=eth0', "IN=eth0", "gate", "app"),
    ("<4>1 2015-05-21T10:00:00Z gate app - - -", "", "gate", "app"),
    ("<189>date=2015-05-21 x=1", "date=2015-05-21 x=1", "", ""),
    ("<14>May 21 10:00:00 fw 1,2015/05/21 10:00:00,THREAT", "1,2015/05/21 10:00:00,THREAT", "fw", ""),
    ("<14>2015-05-21T10:00:00Z fw 1,2015/05/21", "1,2015/05/21", "fw", ""),
    ("May 21 10:00:00 kernel: x", "x", "", "kernel:"),
    ("May 21 10:00:00 relay May 21 10:00:01 fw kernel: x", "x", "fw", "kernel:"),
    ("May 21 10:00:00 gate last message repeated 3 times", "last message repeated 3 times", "gate", ""),
    ("2015-05-21T10:00:00Z 192.0.2.1 GET /", "2015-05-21T10:00:00Z 192.0.2.1 GET /", "", ""),
    ("1286536309.450 180 192.0.2.21 TCP_MISS/200", "1286536309.450 180 192.0.2.21 TCP_MISS/200", "", ""),
    ("<4>1 2015 x", "1 2015 x", "", ""),
    ('<4>1 - gate app - - [a b="] x', '1 - gate app - - [a b="] x', "", ""),
    ("<1234>May 21", "<1234>May 21", "", ""),
    ("May 21 10:00:00", "May 21 10:00:00", "", ""),
    ("May 21 10:00:00. gate x: y", "May 21 10:00:00. gate x: y", "", ""),
    ("Mai 21 10:00:00 gate x: y", "Mai 21 10:00:00 gate x: y", "", ""),
]


@pytest.mark.parametrize(("line", "body", "host", "tag"), HEADS)
def test_heads_of_syslog_come_off(line: str, body: str, host: str, tag: str) -> None:
    """Old and new syslog, rsyslog's files, relays, a priority alone, or no head at all."""
    found = heads(block_of(line.encode() + b"\n"))
    raw = found.block.data.tobytes()

    assert raw[found.body[0] : len(line.encode())].decode() == body == body_of(line)
    assert [raw[int(b[0]) : int(e[0])].decode() for b, e in (found.host, found.tag)] == [host, tag]


PIECES = [
    "<4>", "<", ">", "1 ", "- ", "-", "May 21 ", "May  1 ", "10:00:00", ".5", "2015 ", "2015-05-21T", "Z", "+09:00",
    "+0900", "gate ", "kernel:", " ", "  ", "[a]", '[a b="]"]', "[", '"', "\\", "A", "Mar", "\ufeff", "é:", "x=1,",
]  # fmt: skip


@given(parts=st.lists(st.sampled_from(PIECES), max_size=14))
@example(["<4>", "1 ", "- ", "- ", "- ", "- ", "- ", '[a b="]"]'])
def test_recognition_and_reading_agree_on_heads(parts: list[str]) -> None:
    """What a format is recognised by and what its loop reads are the same body, whatever the line."""
    line = "".join(parts)
    data = line.encode()

    assert data[heads(block_of(data + b"\n")).body[0] :].decode() == body_of(line)


@given(
    lines=st.lists(
        st.tuples(st.sampled_from(["", "May 21 10:00:00 gate app: ", "<4>"]), st.text("ab ,", max_size=9)), min_size=1
    ),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_lines_are_cut_without_heads_and_rejected_with_them(lines: list[tuple[str, str]], ending: str) -> None:
    """Records keep their numbers; a reject shows the line as it stands in the file."""
    block = block_of("".join(head + body + ending for head, body in lines).encode(), 5)
    bodies, found = without_heads(block)
    cut = delimited(bodies, Dialect(b","), 1)

    expected = [(5 + i, head + body, body) for i, (head, body) in enumerate(lines) if body.strip(" \t")]
    told = [(number, body.lstrip(" ") if head.startswith("May") else body) for (number, _, body), (head, _) in
            zip(expected, [pair for pair in lines if pair[1].strip(" ")], strict=True)]  # fmt: skip
    assert [(int(n), cut.record(row).decode()) for row, n in enumerate(cut.number)] == told
    whole = found.whole(cut)
    assert [whole.record(row).decode() for row in range(cut.rows)] == [line for _, line, _ in expected]
    assert found.rows(cut).tolist() == [number - 5 for number, _, _ in expected]


def test_the_head_of_a_file_is_told_without_heads_and_blank_lines() -> None:
    """Formats see twenty lines of text, whatever the encoding and whoever carried them."""
    data = "<4>May 21 10:00:00 gate squid[1]: 表 1\n\nplain\r\ncut"

    assert first_lines(data.encode("utf-16"), Hints()) == ["表 1", "plain"]
    assert text(data.encode("cp932"), Hints()) == "表 1\nplain"
    assert text(b"only", Hints()) == "only"
    assert len(first_lines(b"x\n" * 99, Hints())) == 20


def test_definitions_are_for_the_format_that_they_name() -> None:
    """A prefix names the format; without one it is Squid's, or nginx's where variables are in it."""
    told = "apache: %h %l\nnginx: $remote_addr\n\napache: %v %h"

    assert definitions(told, "apache") == ("%h %l", "%v %h")
    assert definitions("%ts.%03tu %>a", "squid") == ("%ts.%03tu %>a",)
    assert definitions("$remote_addr $status", "nginx") == ("$remote_addr $status",)
    assert definitions(None, "squid") == ()
    with pytest.raises(ValueError, match="--logformat is one of apache, nginx"):
        definitions(told, "squid")


def civil_of(times: list[datetime]) -> Civil:
    """Return times as a log without years writes them."""
    parts = [time.strftime("%b %e %H:%M:%S").encode() for time in times]
    ends = np.cumsum([len(part) for part in parts], dtype=np.int32)
    data = np.frombuffer(bytearray(b"".join(parts) + bytes(64)), np.uint8)
    return read_column(data, np.concatenate(([0], ends[:-1])).astype(np.int32), ends, compile_stamp("%b %e %T"))


def part_of(civil: Civil, part: slice) -> Civil:
    """Return some of the times of a column."""
    return Civil(civil.local[part], civil.offset[part], civil.known[part])


def clock_of(source: str = "messages", year: int | None = None) -> tuple[Clock, dict[str, object]]:
    """Return a clock and the notes that it fills."""
    log = Evidence(io.BytesIO(), source, "here", Hints(year=year))
    return Clock(log), log.notes


def dated(civil: Civil) -> list[datetime | None]:
    """Return times with their years."""
    return [EPOCH + int(t) * US if known else None for t, known in zip(civil.local, civil.known, strict=True)]


@given(
    last=st.datetimes(local(1999, 1, 1), local(2030, 1, 1)),
    steps=st.lists(st.integers(0, 150 * 86400), max_size=60),
    newest_first=st.booleans(),
    cut=st.integers(0, 60),
)
def test_years_follow_from_the_last_line(last: datetime, steps: list[int], newest_first: bool, cut: int) -> None:
    """Over years and leap years, in either direction, in one block or two: every line gets its own year."""
    times = [last.replace(microsecond=0)]
    for step in steps:
        times.append(times[-1] - timedelta(seconds=step))
    if not newest_first:
        times.reverse()
    civil, order = civil_of(times), np.arange(1, len(times) + 1)
    clock, notes = clock_of(year=last.year)
    for part in (slice(None, cut), slice(cut, None)):
        clock.survey(part_of(civil, part), order[part])
    found = [dated(clock.years(part_of(civil, part), order[part]))
             for part in (slice(None, cut), slice(cut, None))]  # fmt: skip

    if newest_first and len({time.replace(year=2000) for time in times}) == 1:
        return
    assert found[0] + found[1] == times
    assert notes == {"year": last.year, "year_from": "the hint"}


def test_lines_of_the_old_year_may_follow_the_new_one() -> None:
    """Around midnight lines are not quite in order; a month that falls by less is no new year."""
    times = [local(2014, 12, 31, 23, 59, 58), local(2015, 1, 1), local(2014, 12, 31, 23, 59, 59),
             local(2015, 1, 1, 0, 0, 1), local(2015, 7, 1), local(2015, 2, 1)]  # fmt: skip
    clock, _ = clock_of(year=2015)

    assert dated(clock.years(civil_of(times), np.arange(6))) == times


def test_29_february_needs_a_leap_year() -> None:
    """A day that the year does not have is not known; the others stand."""
    civil = civil_of([local(2016, 2, 28), local(2016, 2, 29), local(2016, 3, 1)])

    assert clock_of(year=2015)[0].years(civil, np.arange(3)).known.tolist() == [True, False, True]
    assert clock_of(year=2016)[0].years(civil, np.arange(3)).known.tolist() == [True, True, True]


@pytest.mark.parametrize(
    ("source", "day", "year"),
    [
        ("gw/messages-20150531", local(2015, 5, 30), 2015),
        ("gw/messages-20150101.gz", local(2014, 12, 31), 2014),
        ("gw/messages.2015-01-01.gz", local(2015, 1, 1), 2015),
        ("gw/20140101/messages-20150531", local(2015, 5, 31), 2015),
    ],
)  # fmt: skip
def test_the_name_of_a_file_tells_the_year(source: str, day: datetime, year: int) -> None:
    """A log is put away on the date in its name, so that its newest line is no younger."""
    clock, notes = clock_of(source)

    assert [time and time.year for time in dated(clock.years(civil_of([day]), np.arange(1)))] == [year]
    assert notes == {"year": year, "year_from": "the file's name"}


def test_a_full_date_in_the_line_tells_the_year() -> None:
    """The nearest year counts: the line is written after what it tells, which may lie in the year before."""
    civil = civil_of([local(2015, 1, 1), local(2015, 6, 1), local(2015, 6, 1)])
    written = [(day - EPOCH) // US for day in (local(2014, 12, 31), local(2015, 6, 1), EPOCH)]
    dates = Civil(np.array(written), civil.offset, np.array([True, True, False]))
    clock, notes = clock_of()

    assert dated(clock.years(civil, np.arange(3), dates=dates)) == [local(2015, 1, 1), local(2015, 6, 1), None]
    assert notes == {"year_from": "date in the same line"}


@pytest.mark.parametrize(("days", "line"), [((1, 2), "last line"), ((2, 1), "first line, its newest")])
def test_a_log_without_year_asks_for_it(days: tuple[int, int], line: str) -> None:
    """The error shows the line and says of which line the year is wanted; the file's own date is never taken."""
    civil = civil_of([local(2015, 5, day) for day in days])
    with pytest.raises(YearNeededError) as caught:
        clock_of("messages-20159999")[0].years(civil, np.arange(2), sample=(1, "May 21 10:00:00 gate kernel: x"))
    assert str(caught.value) == (
        "messages-20159999: its times carry no year (line 1: 'May 21 10:00:00 gate kernel: x'): "
        f"give the year of its {line}: year=2015"
    )


def test_lines_in_no_order_of_time_have_no_year() -> None:
    """A log whose months turn back and forth without end is refused, so that memory stays flat."""
    times = [local(2015, 1, 5), local(2015, 12, 30)] * (MOST_TURNS // 2 + 1)
    with pytest.raises(EvidenceError, match="sort its lines by time"):
        clock_of(year=2015)[0].years(civil_of(times), np.arange(len(times)))


class Damaged(io.BytesIO):
    """A stream that ends in damage."""

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes; raise at their end."""
        part = super().read(size)
        if not part:
            raise EvidenceError("messages", "damaged")
        return part


@pytest.mark.parametrize("stream", [io.BytesIO, Damaged])
@pytest.mark.parametrize("first", ["Dec 31 23:59:59 gate kernel: a", "2015-01-01T00:00:00Z gate kernel: a"])
def test_a_log_is_looked_over_before_its_first_line_is_read(stream: type[io.BytesIO], first: str) -> None:
    """The years of the first lines follow from the last one; then the log is read from its start, damage included."""
    data = (first + "\nJan  1 00:00:00 gate kernel: b\n").encode()
    log = Evidence(stream(data), "messages", "here", Hints(year=2015, timezone=UTC))
    clock = Clock(log)
    read, failed, years = b"", False, list[int]()
    with surveyed(log, clock) as again:
        try:
            for block in blocks(again):
                civil = clock.years(heads(block).civil, block.first_line + np.arange(2))
                years += [(EPOCH + int(time) * US).year for time in clock.utc(civil, (1, "x"))]
                read += block.data[: block.end].tobytes()
        except EvidenceError:
            failed = True
    assert (read, failed) == (data, stream is Damaged)
    assert years == [2015 if first.startswith("2015") else 2014, 2015]
