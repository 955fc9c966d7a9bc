"""Times of logs by the column: layouts against datetime, zones against zoneinfo, units of Unix times."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forensics.errors import TimezoneNeededError
from forensics.formats import Evidence, Hints
from forensics.formats._stamps import NO_OFFSET, NO_YEAR, Civil, compile_stamp, joined, read_column
from forensics.formats._zones import Clock, offsets

US = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the clock of a log

moments = st.datetimes(min_value=datetime(1969, 1, 1), max_value=datetime(2068, 12, 31))  # noqa: DTZ001
minutes = st.integers(-1439, 1439)


def column(texts: list[str], layout: str) -> Civil:
    """Return what is read of texts that lie one behind the other."""
    parts = [text.encode() for text in texts]
    ends = np.cumsum([len(part) for part in parts], dtype=np.int32)
    begins = np.concatenate(([0], ends[:-1])).astype(np.int32)
    return read_column(
        np.frombuffer(bytearray(b"".join(parts) + bytes(64)), np.uint8), begins, ends, compile_stamp(layout)
    )


def one(text: str, layout: str) -> tuple[datetime | None, int | None]:
    """Return the time that a text tells, and its offset in minutes."""
    civil = column([text], layout)
    if not civil.known[0]:
        return None, None
    offset = int(civil.offset[0])
    return EPOCH + int(civil.local[0]) * US, None if offset == NO_OFFSET else offset


def evidence(**hints: object) -> Evidence:
    """Return evidence of which something is known."""
    return Evidence(io.BytesIO(), "gw/messages", "here", Hints(**hints))  # type: ignore[arg-type]


@given(moment=moments, ahead=minutes)
@pytest.mark.parametrize(
    "layout",
    [
        "%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%dT%H:%M:%S.%f%z", "%m/%d/%y %I:%M:%S %p %z", "%a %b %d %H:%M:%S.%f %Y %z",
        "%A, %d-%B-%Y %H:%M:%S %z", "%d.%m.%Y %T,%f %z", "[%F %R] %z 100%%", "%Y%m%d%H%M%S%z", "%j %u %w %F %T %z",
    ],
)  # fmt: skip
def test_what_strftime_writes_is_read(layout: str, moment: datetime, ahead: int) -> None:
    """A time comes back to the digit that its layout has, with its distance from UTC."""
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=ahead)))
    text = zoned.strftime(layout)
    whole = moment if "%f" in layout else moment.replace(microsecond=0)
    expected = whole if "%S" in layout or "%T" in layout else whole.replace(second=0)

    assert one(text, layout) == (expected, ahead)


@given(text=st.text("0123456789/:+-MayJunZ ", max_size=28))
@example("31/Apr/2015:10:00:00")
@example("29/Feb/2015:10:00:00")
@example("29/Feb/2016:10:00:00")
@example("1/May/2015:1:2:3")
def test_a_text_is_a_time_where_strptime_takes_it(text: str) -> None:
    """Whatever else the text is, it is no time; years before 1900 are damage."""
    try:
        expected = datetime.strptime(text, "%d/%b/%Y:%H:%M:%S")  # noqa: DTZ007
    except ValueError:
        expected = None
    if expected is not None and (expected.year < 1900 or expected.second > 59):
        expected = None
    assert one(text, "%d/%b/%Y:%H:%M:%S")[0] == expected


@pytest.mark.parametrize(
    ("text", "layout", "local", "offset"),
    [
        ("2015-05-21T10:00:00.123456789+09:00", "iso", "2015-05-21T10:00:00.123456", 540),
        ("2015-05-21 10:00:00", "iso", "2015-05-21T10:00:00", None),
        ("2015-05-21t10:00:00,5 z", "iso", "2015-05-21T10:00:00.5", 0),
        ("2015-05-21T10:00:00-0330", "iso", "2015-05-21T10:00:00", -210),
        ("2015-05-21T10:00:00 GMT", "iso", "2015-05-21T10:00:00", 0),
        ("2015-05-21T10:00:00+09", "iso", "2015-05-21T10:00:00", 540),
        ("2015-05-21T10:00:00JST", "iso", None, None),
        ("2015-05-21T10:00:00.", "iso", None, None),
        ("2015-05-21T24:00:00", "iso", None, None),
        ("2015-05-21T10:00:60", "iso", "2015-05-21T10:00:59", None),
        ("2015-05-21T10:00:61", "iso", None, None),
        ("2287-01-01T00:00:00", "iso", None, None),
        ("0000-01-01T00:00:00", "iso", None, None),
        ("May  1 10:00:00 2015", "%b %e %T %Y", "2015-05-01T10:00:00", None),
        ("1432170000.5", "%s.%f", "2015-05-21T01:00:00.5", 0),
        ("12:00:00 AM 2015-05-21", "%I:%M:%S %p %F", "2015-05-21T00:00:00", None),
        ("13:00:00 PM 2015-05-21", "%I:%M:%S %p %F", None, None),
        ("", "iso", None, None),
        ("2015-05-21T10:00:00+24:00", "iso", None, None),
    ],
)
def test_layouts_take_what_logs_write(text: str, layout: str, local: str | None, offset: int | None) -> None:
    """Fractions of any length, zones in any form, one leap second; nothing else."""
    assert one(text, layout) == (datetime.fromisoformat(local) if local else None, offset)


@pytest.mark.parametrize("layout", ["%Q", "%Y-%m", "%d %T", "plain", "%z"])
def test_a_layout_that_tells_no_time_is_refused(layout: str) -> None:
    """Half a date would be taken for another day."""
    with pytest.raises(ValueError, match=r"not known|date"):
        compile_stamp(layout)


def test_equal_neighbours_are_equal_times() -> None:
    """A text that equals the one before it is not read again, be it a time or none."""
    texts = ["2015-05-21 10:00:00", "2015-05-21 10:00:00", "x", "x", "", "2015-05-21 10:00:01+09"]
    civil = column(texts, "iso")

    assert civil.known.tolist() == [True, True, False, False, False, True]
    assert civil.local[0] == civil.local[1] == civil.local[5] - 1_000_000
    assert civil.offset.tolist() == [NO_OFFSET] * 5 + [540]


def test_date_and_time_of_day_may_stand_in_two_fields() -> None:
    """W3C logs write them in two fields; a row is known where both are."""
    both = joined(column(["2015-05-21", "2015-05-22", "x"], "%F"), column(["10:00:01", "y", "10:00:00"], "%T"))

    assert both.known.tolist() == [True, False, False]
    assert EPOCH + int(both.local[0]) * US == datetime(2015, 5, 21, 10, 0, 1)  # noqa: DTZ001


def test_compiled_loops_read_the_same() -> None:
    """The same texts give the same times, compiled and not; the other tests run as they are told."""
    program = (
        "import numpy as np; from forensics.formats._stamps import *;"
        "d = b'2015-05-21 10:00:00.5+0900|May  1|1/Jan/99';"
        "b = np.array([0, 27, 34, 1], np.int32); e = np.array([26, 33, 42, 9], np.int32);"
        "a = np.frombuffer(bytearray(d + bytes(64)), np.uint8);"
        "print([[c.tolist() for c in read_column(a, b, e, compile_stamp(f))] for f in ('iso', '%b %e', '%d/%b/%y')])"
    )
    told = {
        jit: subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"FORENSICS_JIT": jit}, capture_output=True, check=True
        ).stdout
        for jit in "01"
    }
    assert told["0"] == told["1"]
    assert b"True" in told["0"]


def by_zoneinfo(zone: tzinfo, local: datetime) -> int:
    """Return the UTC time of the first reading of a local time. [us]"""
    return (local.replace(tzinfo=zone, fold=0) - datetime(1970, 1, 1, tzinfo=UTC)) // US


@given(
    name=st.sampled_from(sorted(available_timezones())),
    base=moments,
    steps=st.lists(st.integers(-(10**13), 10**13), min_size=1, max_size=20),
)
def test_local_times_become_those_of_zoneinfo(name: str, base: datetime, steps: list[int]) -> None:
    """Whatever the zone, a local time is what zoneinfo makes of its first reading."""
    zone = ZoneInfo(name)
    times = [base + step * US for step in steps]
    local = np.array([(time - EPOCH) // US for time in times], np.int64)
    none = np.full(len(local), NO_OFFSET, np.int32)
    clock = Clock(evidence(timezone=zone))

    found = clock.utc(Civil(local, none, np.ones(len(local), np.bool_)), (1, "x"))

    assert found.tolist() == [by_zoneinfo(zone, time) for time in times]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Europe/Berlin", "2015-03-29T02:00"), ("Europe/Berlin", "2015-10-25T03:00"),
        ("Asia/Tokyo", "1951-05-06T00:00"),
        ("America/St_Johns", "2010-11-07T00:01"), ("America/St_Johns", "2010-03-14T00:01"),
        ("Australia/Lord_Howe", "2015-04-05T02:00"),
        ("Pacific/Apia", "2011-12-30T00:00"),
        ("America/Caracas", "2016-05-01T02:30"), ("Africa/Casablanca", "2015-06-14T03:00"),
        ("Asia/Pyongyang", "2015-08-15T00:00"), ("Asia/Gaza", "2015-03-28T00:00"),
        ("Europe/Dublin", "2015-10-25T02:00"),
        ("Antarctica/Troll", "2015-03-29T01:00"), ("Africa/Monrovia", "1972-01-07T00:00"), ("UTC", "2015-01-01T00:00"),
    ],
)  # fmt: skip
def test_every_second_around_a_change_is_that_of_zoneinfo(name: str, change: str) -> None:
    """Summer time begins and ends, zones move, days are left out: each time is right, both its readings too."""
    zone, around = ZoneInfo(name), datetime.fromisoformat(change)
    times = [around + timedelta(seconds=second) for second in range(-90 * 60, 90 * 60, 7)]
    first, second = offsets(zone, np.array([(time - EPOCH) // US for time in times], np.int64))

    for fold, found in enumerate((first, second)):
        expected = [time.replace(tzinfo=zone, fold=fold).utcoffset() for time in times]
        assert [timedelta(microseconds=int(us)) for us in found] == expected


def test_times_in_gaps_and_folds_are_counted() -> None:
    """The notes say how many times the clock skipped or showed twice, with the first and the last of them."""
    log = evidence(timezone=ZoneInfo("Europe/Berlin"))
    clock = Clock(log)
    texts = ["2015-10-25 02:59:59", "2015-10-25 01:59:59", "2015-10-25 02:00:00", "2015-03-29 02:30:00"]

    utc = clock.utc(column(texts, "iso"), (1, "x"))
    clock.utc(column(["2015-10-25 02:10:00"], "iso"), (1, "x"))

    assert [str(EPOCH + int(us) * US) for us in utc] == [
        "2015-10-25 00:59:59", "2015-10-24 23:59:59", "2015-10-25 00:00:00", "2015-03-29 01:30:00",
    ]  # fmt: skip
    assert log.notes == {
        "timezone": "Europe/Berlin",
        "times_in_fold": {"count": 3, "first": "2015-10-25 02:00:00", "last": "2015-10-25 02:59:59"},
        "times_in_gap": {"count": 1, "first": "2015-03-29 02:30:00", "last": "2015-03-29 02:30:00"},
    }


def test_a_log_without_zone_asks_for_one() -> None:
    """The error shows the line, names the choices, and how to make one of them the case's own."""
    line = "2015-05-21 10:00:01 ALLOW TCP 192.0.2.1 2001:db8::1 SEND a b c"
    clock = Clock(evidence())

    zoned = clock.utc(column(["2015-05-21 10:00:01+09", "x"], "iso"), (3, line))
    assert zoned.tolist() == [1432170001_000000, 0]
    with pytest.raises(TimezoneNeededError) as caught:
        clock.utc(column(["2015-05-21 10:00:01"], "iso"), (3, line))
    assert str(caught.value) == (
        "gw/messages: its times carry no zone "
        "(line 3: '2015-05-21 10:00:01 ALLOW TCP 192.0.2.1 2001:db8::1 SEND a b ...'); "
        'say which one the device kept: timezone="Asia/Tokyo" (UTC+9), timezone="UTC", or make it the case\'s default: '
        'open_case(..., log_timezone="Asia/Tokyo")'
    )


def test_the_zone_that_a_log_names_wins() -> None:
    """A zone in the log itself holds against the analyst's, and the notes say where it is from."""
    log = evidence(timezone=ZoneInfo("Asia/Tokyo"))
    found = Clock(log, zone_of_log=UTC).utc(column(["1970-01-01 00:00:01"], "iso"), (1, "x"))

    assert found.tolist() == [1_000_000]
    assert log.notes == {"timezone": "UTC", "timezone_from": "the log"}


def test_years_come_before_zones() -> None:
    """A time without a year is not taken for one of the year 0."""
    civil = column(["May 21 10:00:00"], "%b %e %T")
    assert civil.local[0] < NO_YEAR
    with pytest.raises(ValueError, match="years come first"):
        Clock(evidence(timezone=UTC)).utc(civil, (1, "x"))


@given(moment=moments.filter(lambda m: m.year > 1973), digits=st.sampled_from([0, 3, 6, 9]))
def test_the_unit_of_unix_times_is_told_by_their_size(moment: datetime, digits: int) -> None:
    """Seconds, milliseconds, microseconds and nanoseconds cannot be mixed up from 1973 to 2286."""
    us = (moment - EPOCH) // US
    value = us * 1000 // 10 ** (9 - digits)
    log = evidence()
    found = Clock(log).epoch((np.array([0, value], np.int64), np.array([False, True])))

    assert found.known.tolist() == [False, True]
    assert found.values[1] == (us if digits >= 6 else us // 10 ** (6 - digits) * 10 ** (6 - digits))
    assert log.notes["epoch_unit"] == {0: "seconds", 3: "milliseconds", 6: "microseconds", 9: "nanoseconds"}[digits]


def test_a_column_of_unix_times_has_one_unit() -> None:
    """The first time decides; a number of another unit, or one that is no time, is refused with a reason."""
    log = evidence()
    clock = Clock(log)
    known = np.ones(4, np.bool_)
    found = clock.epoch((np.array([7, 1432170001, 1432170001000, 1432170002], np.int64), known))

    assert found.known.tolist() == [False, True, False, True]
    assert [(where.tolist(), reason) for where, reason in found.refused] == [
        ([True, False, False, False], "time is no Unix time that a log can hold"),
        ([False, False, True, False], "time is in milliseconds, those before are in seconds"),
    ]
    later = clock.epoch((np.array([1432170001000], np.int64), known[:1]))
    assert later.known.tolist() == [False]
    other = clock.epoch((np.array([1432170001000], np.int64), known[:1]), column="end")
    assert (other.known.tolist(), log.notes["epoch_unit"]) == ([True], "milliseconds, seconds")
