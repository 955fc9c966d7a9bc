"""Records cut into delimited fields: any bytes, against a plain reading of the rules and against Python's csv."""

from __future__ import annotations

import csv
import io
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.formats import Evidence, Hints, _blocks, _cut
from forensics.formats._blocks import block_of, blocks
from forensics.formats._cut import ABSENT, AFTER_QUOTE, ESCAPED, FEW, LONG, MANY, OPEN, QUOTED, Cut, divided
from forensics.formats._delimited import Dialect, delimited, whole_records
from forensics.formats._lines import MAX_LINE
from forensics.formats._scanning import next_of
from forensics.packets._jit import entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forensics.formats._cut import U8

DIALECTS = [
    Dialect(b" "),
    Dialect(b" ", runs=True),
    Dialect(b"\t", escape=b"\\"),
    Dialect(b" ", quote=b'"', escape=b"\\", brackets=b"[]"),
    Dialect(b" ", runs=True, quote=b'"', brackets=b"[]{}<>"),
    Dialect(b",", quote=b'"', doubled=True),
    Dialect(b",", quote=b"'", doubled=True, escape=b"\\"),
]
PIECES = [b" ", b"\t", b",", b'"', b"'", b"\\", b"[", b"]", b"{", b"}", b"a", b"bc", b"\0", b"\r", b'""', b' "', b'" ']

Field = tuple[bytes, int]


def plain_field(line: bytes, at: int, d: Dialect) -> tuple[Field | int, int]:
    """Return a field, or the code of what is wrong, and where what follows it stands."""
    first, flags, ends = line[at : at + 1], 0, (b"", d.delimiter)
    start = at
    if first and first == d.quote:
        at, flags = at + 1, QUOTED
        while line[at : at + 1] != d.quote or (d.doubled and line[at + 1 : at + 2] == d.quote):
            if at >= len(line):
                return OPEN, at
            special = line[at : at + 1] in (d.quote, d.escape)
            flags |= ESCAPED if special else 0
            at += 2 if special else 1
        return ((line[start + 1 : at], flags), at + 1) if line[at + 1 : at + 2] in ends else (AFTER_QUOTE, at)
    if first and first in [d.brackets[n : n + 1] for n in range(0, len(d.brackets), 2)]:
        closing, depth = d.brackets[d.brackets.index(first) + 1 :][:1], 1
        while depth:
            at += 1
            if at >= len(line):
                return OPEN, at
            depth += (line[at : at + 1] == first) - (line[at : at + 1] == closing)
        if line[at + 1 : at + 2] in ends:
            text = line[start + 1 : at]
            return (text, QUOTED | (ESCAPED if d.escape and d.escape in text else 0)), at + 1
    while line[at : at + 1] not in ends:
        at += 1
    return (line[start:at], ESCAPED if d.escape and d.escape in line[start:at] else 0), at


def plain_record(line: bytes, d: Dialect) -> tuple[list[Field], int, int]:
    """Return the fields of a line, how many there are, and the code of what is wrong."""
    fields: list[Field] = []
    at = 0
    while True:
        field, at = plain_field(line, at, d)
        if isinstance(field, int):
            return fields, len(fields) + 1, field
        fields.append(field)
        if at == len(line):
            return fields, len(fields), 0
        at += 1
        while d.runs and line[at : at + 1] == d.delimiter:
            at += 1


def shown(cut: Cut) -> list[tuple[int, bytes, list[Field], int, int]]:
    """Return everything that a cut says, record by record."""
    return [
        (
            int(cut.number[row]),
            cut.record(row),
            [(cut.content(field, row), int(cut.flag[field, row])) for field in range(cut.fields)],
            int(cut.count[row]),
            int(cut.odd[row]),
        )
        for row in range(cut.rows)
    ]


def plain_cut(data: bytes, d: Dialect, width: int) -> list[tuple[int, bytes, list[Field], int, int]]:
    """Return what a cut has to say."""
    records = []
    for number, text in enumerate(data[:-1].split(b"\n"), 1):
        line = text.removesuffix(b"\r")
        if not line or line.isspace():
            continue
        fields, count, odd = plain_record(line, d)
        odd = odd or (FEW if count < width else MANY if count > width else 0)
        kept = [] if odd == OPEN else fields[:width]
        records.append((number, line, kept + [(b"", ABSENT)] * (width - len(kept)), count, odd))
    return records


@pytest.mark.parametrize("dialect", DIALECTS)
@given(
    data=st.lists(st.one_of(st.sampled_from(PIECES), st.just(b"\n"), st.just(b"\r\n")), max_size=40).map(b"".join),
    width=st.integers(1, 4),
)
def test_fields_are_those_of_the_rules(dialect: Dialect, data: bytes, width: int) -> None:
    """Every byte falls into the field, and every record under the code, that a plain reading of the rules says."""
    cut = delimited(block_of(data + b"\n"), dialect, width)

    assert shown(cut) == plain_cut(data + b"\n", dialect, width)
    assert all(cut.reason(row) for row in range(cut.rows) if cut.odd[row])


CELL = st.text(alphabet='ab,"\n ;é\0', max_size=6)
TABLE = st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=8)


def csv_text(table: Iterable[list[str]]) -> bytes:
    """Return a table as Python writes it."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(table)
    return out.getvalue().encode()


@given(table=TABLE, size=st.integers(1, 30))
def test_tables_of_pythons_csv_are_read_back(table: list[list[str]], size: int) -> None:
    """What csv wrote is read back: line ends in quotes, doubled quotes, in blocks of any size; so are the numbers."""
    dialect, data = Dialect(b",", quote=b'"', doubled=True, multiline=True), csv_text(table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_blocks, "BLOCK", size)
        evidence = Evidence(io.BytesIO(data), "x.log", "here", Hints(encoding="utf-8"))
        given_blocks = list(whole_records(blocks(evidence), dialect))
    cuts = [delimited(block, dialect, 3) for block in given_blocks]

    found = [
        [
            cut.content(field, row).decode().replace('""', '"' if cut.flag[field, row] & QUOTED else '""')
            for field in range(3)
        ]
        for cut in cuts
        for row in range(cut.rows)
    ]
    assert found == list(csv.reader(io.StringIO(data.decode(), newline="")))
    lengths = [csv_text([row]).count(b"\n") for row in table]
    assert [n for cut in cuts for n in cut.number.tolist()] == [1 + sum(lengths[:i]) for i in range(len(table))]
    assert not any(cut.odd.any() for cut in cuts)


@entry
def first_of(data: U8, begin: int, sought: int) -> int:
    """Call a loop that only others call."""
    return next_of(data, begin, sought, 10)


@given(
    st.lists(st.sampled_from([0, 1, 9, 10, 11, 32, 33, 127, 128, 137, 138, 160, 255]), max_size=40).map(bytes),
    st.sampled_from([9, 10, 32, 128, 160, 255]),
    st.integers(0, 8),
)
def test_the_next_byte_of_two_is_found_among_any(data: bytes, sought: int, begin: int) -> None:
    """Seven bytes looked at together give what a look at each of them gives, whatever their upper bits are."""
    block = block_of(bytes(begin) + data + b"\n")

    found = first_of(block.data, begin, sought)

    assert found == min(place for place in range(begin, block.end) if block.data[place] in (sought, 10))


def test_an_open_quote_takes_one_line() -> None:
    """A quote that is not closed in the longest record takes its own line alone; the lines behind it are read."""
    dialect = Dialect(b",", quote=b'"', doubled=True, multiline=True)
    data = b'a,"b\n' + b"c,d\n" * (MAX_LINE // 4 + 1) + b'e,"f\ng"\nh,"i\n'

    (block,) = whole_records([block_of(data)], dialect)
    cut = delimited(block, dialect, 2)

    lines = data.count(b"\n")
    assert cut.odd.nonzero()[0].tolist() == [0, cut.rows - 1]
    assert (cut.reason(0), cut.record(0)) == ("a quote is never closed (field 2)", b'a,"b')
    assert cut.number[-2:].tolist() == [lines - 2, lines]
    assert cut.content(1, cut.rows - 2) == b"f\ng"


def test_reasons_are_in_words() -> None:
    """A reject says what was found and what was expected."""
    dialect = Dialect(b" ", quote=b'"')
    data = b'a\na b c d\na "b\na "b"c d\n' + b"x" * (MAX_LINE + 1) + b"\n"

    cut = delimited(block_of(data), dialect, 3)

    assert [cut.reason(row) for row in range(5)] == [
        "row has 1 field, 3 are expected",
        "row has 4 fields, 3 are expected",
        "a quote is never closed (field 2)",
        "text follows a closing quote (field 2)",
        "line longer than 1 MiB",
    ]
    assert cut.odd[4] == LONG
    assert (cut.flag[:, 4] == ABSENT).all()


@pytest.mark.parametrize(
    "data",
    [b'"' * 3_000_001, b"[" * 3_000_000, bytes(3_000_000), b'" "\\' * 700_000, (b'a "' + b"b" * 90 + b"\n") * 9000],
    ids=["quotes", "brackets", "nuls", "escapes", "open quotes"],
)
@pytest.mark.parametrize("multiline", [False, True])
def test_hostile_lines_take_no_time(data: bytes, multiline: bool) -> None:
    """Whatever stands in a line, it is looked at a few times at most, and the record is odd."""
    dialect = Dialect(b" ", quote=b'"', escape=b"\\", brackets=b"[]", multiline=multiline)
    # once for the compiler, in case loops are compiled
    delimited(block_of(b"a\n"), dialect, 3)
    begin = time.process_time()
    cut = delimited(block_of(data + b"\n"), dialect, 3)

    assert time.process_time() - begin < 20  # plain Python included
    assert cut.odd.all()


@given(
    texts=st.lists(st.text(alphabet="ab/: ", max_size=9), max_size=5),
    width=st.integers(1, 4),
    from_end=st.booleans(),
)
def test_a_field_is_divided(texts: list[str], width: int, from_end: bool) -> None:
    """One field is divided into several, from either end, as Python's split does."""
    data = b"".join(b"x\t" + text.encode() + b"\n" for text in texts)
    cut = divided(delimited(block_of(data), Dialect(b"\t"), 2), 1, b"/", width, from_end=from_end)

    for row, text in enumerate(texts):
        parts = text.rsplit("/", width - 1) if from_end else text.split("/", width - 1)
        fields = [None] * (width - len(parts)) + parts if from_end else parts + [None] * (width - len(parts))
        found = [None if cut.flag[field, row] & ABSENT else cut.content(field, row).decode() for field in range(width)]
        assert found == fields


def test_delimiters_of_a_divided_field_come_in_order() -> None:
    """Each delimiter is looked for behind the one before; a missing field stays missing."""
    cut = delimited(block_of(b'x "fe be/s/r v"\nx "fe"\nx\n'), Dialect(b" ", quote=b'"'), 2)

    parts = divided(cut, 1, b" /", 3)

    assert [parts.content(field, 0) for field in range(3)] == [b"fe", b"be", b"s/r v"]
    assert parts.flag.T.tolist() == [[QUOTED] * 3, [QUOTED, ABSENT, ABSENT], [ABSENT] * 3]
    assert parts.odd.tolist() == cut.odd.tolist()
    with pytest.raises(ValueError, match="2 delimiters cannot stand between 2 fields"):
        divided(cut, 1, b" /", 2)


def test_all_records_can_go_to_the_slow_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may send every record to the slow path of its format."""
    monkeypatch.setattr(_cut, "SLOW_ONLY", True)

    assert delimited(block_of(b"a b\nc d\n"), Dialect(b" "), 2).odd.tolist() == [_cut.SLOW] * 2
