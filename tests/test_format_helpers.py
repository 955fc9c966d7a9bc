"""What the formats share: lines of any length, exact times, hosts of requests, rows by columns."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.errors import EvidenceError
from forensics.formats import Evidence, Hints
from forensics.formats._hosts import Target, host_port, name_of, target
from forensics.formats._lines import MAX_LINE, complete_lines, lines, read_lines
from forensics.formats._tally import LISTED, Tally
from forensics.formats._times import compile_strftime, epoch_us, iso_us, seconds_us
from forensics.rows import Rows

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def evidence(data: bytes | io.BytesIO) -> Evidence:
    """Return evidence with some content."""
    stream = data if isinstance(data, io.BytesIO) else io.BytesIO(data)
    return Evidence(stream, "x.log", "here", Hints(encoding="utf-8"))


class Trickle(io.BytesIO):
    """A stream that gives few bytes at once."""

    def read(self, size: int | None = -1) -> bytes:
        """Return at most three bytes."""
        return super().read(3 if size is None or size > 3 else size)


@given(parts=st.lists(st.binary(max_size=9).filter(lambda b: b"\n" not in b and not b.endswith(b"\r")), max_size=9))
def test_lines_are_numbered_from_one(parts: list[bytes]) -> None:
    """Whatever the bytes and however they arrive, line n is what stands before the n-th line end."""
    data = b"".join(part + b"\n" for part in parts)
    bare = [part.removeprefix(b"\xef\xbb\xbf") if i == 0 else part for i, part in enumerate(parts)]

    assert list(lines(evidence(data))) == list(enumerate(bare, 1))
    assert list(lines(evidence(Trickle(data)))) == list(enumerate(bare, 1))
    assert list(lines(evidence(data.replace(b"\n", b"\r\n")))) == list(enumerate(bare, 1))


def test_last_line_without_end_is_read_and_noted() -> None:
    """A last line that has no line end is a line, and the notes say so."""
    log = evidence(b"a\nb")

    assert list(lines(log)) == [(1, b"a"), (2, b"b")]
    assert log.notes == {"truncated": "line 2, the last, has no line end"}


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_line_of_the_longest_length_is_whole(ending: bytes) -> None:
    """A line of exactly the limit comes whole; with one byte more it is known by its length."""
    whole, longer = list(lines(evidence(b"x" * MAX_LINE + ending + b"y" * (MAX_LINE + 1) + ending)))

    assert whole == (1, b"x" * MAX_LINE)
    assert len(longer[1]) > MAX_LINE


def test_a_huge_line_is_one_reject_in_small_memory() -> None:
    """A line of 50 MB becomes one reject with its first bytes; the lines around it are read."""
    log, seen = evidence(b"a\n" + b"z" * 50_000_000 + b"\nb\n"), []

    found = list(read_lines(log, Rows(), lambda number, line: seen.append((number, line))))

    assert seen == [(1, b"a"), (3, b"b")]
    assert [(t, b.to_pylist()) for t, b in found] == [
        ("rejects", [{"source": "x.log", "record": 2, "reason": "line longer than 1 MiB", "raw": b"z" * 512}])
    ]
    assert log.notes["records"] == 3


def test_blank_lines_are_no_records() -> None:
    """Blank lines are passed over and not counted."""
    log = evidence(b"\n  \na\n\r\n")

    assert list(read_lines(log, Rows(), lambda _number, _line: None)) == []
    assert log.notes["records"] == 1


def test_batches_come_while_reading() -> None:
    """Rows are handed on long before the end of a long log."""
    rows = Rows()
    put = rows.appender("rejects", "source", "record", "reason")
    stream = read_lines(evidence(b"a\n" * 200_000), rows, lambda number, _line: put(("x", number, "r")))

    sizes = [batch.num_rows for _, batch in stream]

    assert len(sizes) == 4
    assert sum(sizes) == 200_000


@pytest.mark.parametrize(
    ("head", "expected"),
    [(b"", []), (b"a", [b"a"]), (b"a\nb", [b"a"]), (b"\n\na\r\nb\n", [b"a", b"b"]), (b"\xef\xbb\xbfa\n", [b"a"])],
)
def test_complete_lines_leave_out_a_cut_one(head: bytes, expected: list[bytes]) -> None:
    """The cut last line of a head does not count, unless it is the only line."""
    assert complete_lines(head, 9) == expected


@given(st.integers(0, 10**16 - 1))
def test_times_lose_no_microsecond(microseconds: int) -> None:
    """A decimal time becomes exactly its microseconds, where a float would be wrong."""
    whole, part = divmod(microseconds, 1_000_000)

    assert seconds_us(f"{whole}.{part:06d}") == microseconds


@given(st.decimals(0, 10**9, places=12))
def test_finer_times_are_rounded(number: object) -> None:
    """More digits than microseconds are rounded half to even."""
    assert seconds_us(str(number)) == round(Fraction(str(number)) * 1_000_000)


def test_a_tally_tells_so_many_names_apart() -> None:
    """The first names in their order are told apart, whichever came first; nothing is no name."""
    names = ["b", "a", *map(str, range(LISTED - 1)), "a"]
    tally, turned = Tally(), Tally()
    for name, last in zip(names, reversed(names), strict=True):
        tally.add(name, 2)
        turned.add(last, 2)
    tally.add("none", 0)

    told = tally.told()
    assert [*told.items()] == sorted(turned.told().items())
    assert (told["a"], told["0"], told["(others)"], len(told)) == (4, 2, 2, LISTED + 1)
    assert Tally().told() == {}


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1432166400.0000004999999999999999", 1432166400000000),  # 32 digits, where decimals round at 28
        ("1432166400.0000005000000000000001", 1432166400000001),
        ("1432166400.0000005", 1432166400000000),
        ("1432166400.0000015", 1432166400000002),
        ("9999999999.0", 9999999999000000),
        ("1.5e3", 1500000000),
        ("1e-999999999", 0),
        ("0e999999999", 0),
    ],
)
def test_rare_notations_are_exact(text: str, microseconds: int) -> None:
    """A number of seconds of any length or power of ten is rounded once, from all of its digits."""
    assert seconds_us(text) == microseconds


@pytest.mark.parametrize("text", ["1e99", "1e999999999", "-1e999999999", "1e+99999999999999999", "10000000000", "NaN"])
def test_no_log_holds_such_a_time(text: str) -> None:
    """A number that is too large raises ValueError, however large it is."""
    with pytest.raises(ValueError, match="not a number of seconds that a log can hold"):
        seconds_us(text)


@pytest.mark.parametrize(
    "text", ["", "-", "x", "1_0", "NaN", "inf", "1e99", "1e99999999999999999999", "9" * 50, "1.2.3", "١", "."]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """Text that is no number of seconds a log can hold raises ValueError."""
    with pytest.raises(ValueError, match="not a number of seconds"):
        epoch_us(text)


def test_epochs_of_all_kinds_agree() -> None:
    """Seconds, milliseconds and ISO 8601 tell the same time; one before 1970 or without zone is refused."""
    assert epoch_us("1433122200") == epoch_us("1433122200000") == iso_us("2015-06-01T10:30:00+09:00")
    with pytest.raises(ValueError, match="before 1970"):
        epoch_us("-1.5")
    with pytest.raises(ValueError, match="without a time zone"):
        iso_us("2015-06-01T10:30:00")
    with pytest.raises(ValueError, match="not an ISO 8601 time"):
        iso_us("2015-06-01T25:30:00Z")


@pytest.mark.parametrize(
    "spec",
    [
        "%d/%b/%Y:%H:%M:%S %z",
        "%Y-%m-%dT%H:%M:%S%z",
        "%s",
        "%a %b %e %T %Y %z",
        "%D %I:%M:%S %p %z",
        "(%j) %F %R:%S %z%%",
    ],
)
@given(moment=st.datetimes(datetime(1970, 1, 2), datetime(2037, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_strftime_is_undone(spec: str, moment: datetime) -> None:
    """What strftime writes with a zone is read back to the second."""
    zoned = moment.replace(microsecond=0, tzinfo=UTC)
    time = compile_strftime(spec)

    assert time.zoned
    assert time.read(zoned.strftime(spec), None) == (zoned - EPOCH) // timedelta(microseconds=1)


def test_strftime_without_zone_needs_one() -> None:
    """A format without zone says so, and takes the zone that is given."""
    time = compile_strftime("%Y/%m/%d %H:%M:%S %Z")

    assert not time.zoned
    assert time.read("2015/06/01 10:30:00 JST", ZoneInfo("Asia/Tokyo")) == 1433122200 * 1_000_000
    with pytest.raises(ValueError, match="not a date that exists"):
        time.read("2015/02/30 10:30:00 JST", None)
    with pytest.raises(ValueError, match="not a time of its format"):
        time.read("yesterday", None)


@pytest.mark.parametrize(("spec", "why"), [("%H:%M:%S", "it holds no date"), ("%d %Q", "%Q is not known")])
def test_unusable_strftime_formats_are_refused(spec: str, why: str) -> None:
    """A format that tells no date, or holds an unknown conversion, raises ValueError."""
    with pytest.raises(ValueError, match=why):
        compile_strftime(spec)


@pytest.mark.parametrize(
    ("method", "url", "expected"),
    [
        ("GET", "http://WWW.Example./a", Target("http", "www.example", None, 80)),
        ("GET", "HTTPS://u:p@www.example:8443?x=http://b/", Target("ssl", "www.example", None, 8443)),
        ("GET", "http://[2001:DB8::1]:81/", Target("http", None, "2001:db8::1", 81)),
        ("GET", "http://192.0.2.1#x", Target("http", None, "192.0.2.1", 80)),
        ("GET", "odd://www.example/", Target(None, "www.example", None, None)),
        ("GET", "http://www.example:0x50/", Target("http", "www.example", None, 80)),
        ("GET", "/path", Target(None, None, None, None)),
        ("GET", "error:invalid-request", Target(None, None, None, None)),
        ("GET", "http:///x", Target("http", None, None, 80)),
        ("GET", "http://" + "a" * 2000 + "/", Target(None, None, None, None)),
        ("CONNECT", "www.example:443", Target("ssl", "www.example", None, 443)),
        ("CONNECT", "www.example:22", Target(None, "www.example", None, 22)),
        ("CONNECT", "%5B2001:db8::1%5D:443", Target("ssl", None, "2001:db8::1", 443)),
        ("CONNECT", "2001:db8::1:443", Target("ssl", None, "2001:db8::1", 443)),
        ("CONNECT", "a" * 2000, Target(None, None, None, None)),
    ],
)
def test_targets_of_requests(method: str, url: str, expected: Target) -> None:
    """A request target names server and port in one canonical form."""
    assert target(method, url) == expected


@given(method=st.sampled_from(["GET", "CONNECT"]), url=st.text(max_size=40))
def test_no_target_raises(method: str, url: str) -> None:
    """Whatever a client asks for, the answer is a target."""
    assert isinstance(target(method, url), Target)
    assert isinstance(target(method, f"http://{url}"), Target)
    assert host_port(url)[0] in url


def test_overlong_names_are_none() -> None:
    """A name that no resolver would take is not kept in caches."""
    assert name_of("a" * 5000) is None


def test_appender_does_what_add_does() -> None:
    """Rows given as tuples become the same batch as rows given by keyword, before and after a drain."""
    by_keyword, by_tuple = Rows(), Rows()
    put = by_tuple.appender("names", "time", "name", "how", "source", "record")
    for _ in range(2):
        by_keyword.add("names", time=5, name="a.example", how="dns", source="x", record=1)
        put((5, "a.example", "dns", "x", 1))
        one, two = list(by_keyword.drain()), list(by_tuple.drain())
        assert pa.Table.from_batches([one[0][1]]).equals(pa.Table.from_batches([two[0][1]]))
    assert not list(by_tuple.drain())
    assert not by_tuple.full


class Breaking(io.BytesIO):
    """A stream that is damaged at its end."""

    def read(self, size: int | None = -1) -> bytes:
        """Return bytes while there are some."""
        found = super().read(size)
        if not found:
            raise EvidenceError("x.log", "damaged")
        return found


def test_lines_before_damage_are_yielded() -> None:
    """All that was read comes before the error, the cut line too."""
    seen: list[tuple[int, bytes]] = []
    with pytest.raises(EvidenceError, match="damaged"):
        seen.extend(lines(evidence(Breaking(b"a\nb\nhal"))))

    assert seen == [(1, b"a"), (2, b"b"), (3, b"hal")]
