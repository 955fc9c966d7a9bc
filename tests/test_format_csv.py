"""CSV is read by the names in its header, whatever order, delimiter, quotes and encoding it has."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.errors import EvidenceError
from forensics.formats import Evidence, _blocks
from forensics.formats._csv import header_in, header_of, opened, parts, sheet_of, unquoted
from forensics.formats._delimited import Dialect
from forensics.formats._vocabulary import Vocabulary

NAMES = {
    "start": ("Start Time", "Startzeit", "開始時刻"),
    "src": ("SrcAddr", "Source IP", "送信元アドレス"),
    "dst": ("DstAddr",),
    "bytes": ("Bytes Sent",),
    "note": ("Comment",),
}


def evidence_of(data: bytes) -> Evidence:
    """Return a file."""
    return Evidence(io.BytesIO(data), "export.csv", "host")


def read(data: bytes, evidence: Evidence | None = None) -> list[dict[str, str]]:
    """Return the fields of all rows by our names, and the reasons of rejects."""
    found: list[dict[str, str]] = []
    for columns, sheet in sheet_of(evidence or evidence_of(data), NAMES):
        texts = {name: sheet.text(columns[name], undo=unquoted).to_pylist() for name in NAMES}
        good = sheet.good.tolist()
        for row, number in enumerate(sheet.cut.number.tolist()):
            values = {name: text[row] for name, text in texts.items() if text[row]}
            found.append({"line": str(number)} | (values if good[row] else {"odd": sheet.cut.reason(row)}))
    return found


def test_columns_come_in_any_order() -> None:
    """A column is found by its name; unknown ones are passed over, and one that is not there is empty in every row."""
    found = read(b"Comment,Mode,Source IP,Start Time\nx,1,192.0.2.1,10:00\n,,192.0.2.2,-\n")

    assert found == [
        {"line": "2", "note": "x", "src": "192.0.2.1", "start": "10:00"},
        {"line": "3", "src": "192.0.2.2"},
    ]


def test_absent_columns_count_as_null() -> None:
    """Numbers and words of a column that the file does not have are unknown, and reject nothing."""
    columns, sheet = next(sheet_of(evidence_of(b"Start Time,SrcAddr,DstAddr\na,b,c\n"), NAMES))

    assert "src" in columns
    assert "bytes" not in columns
    assert "bytes" not in columns.header
    assert sheet.counts(columns["bytes"], what="bytes").known.tolist() == [False]
    assert sheet.words(columns["note"], what="note").known.tolist() == [False]
    assert sheet.good.tolist() == [True]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_recognised(delimiter: str) -> None:
    """The delimiter is the one that gives the most known names."""
    lines = [["Start Time", "SrcAddr", "Bytes Sent"], ["10:00", "192.0.2.1", "5"]]
    data = "".join(delimiter.join(line) + "\n" for line in lines).encode()

    assert read(data) == [{"line": "2", "start": "10:00", "src": "192.0.2.1", "bytes": "5"}]


def test_excel_may_say_its_delimiter() -> None:
    """A first line ``sep=;`` is no record, and holds."""
    assert read(b"sep=;\r\nStart Time;SrcAddr;Bytes Sent\r\n1;2,5;3\r\n") == [
        {"line": "3", "start": "1", "src": "2,5", "bytes": "3"}
    ]


@pytest.mark.parametrize(
    "name", ["START TIME", "start_time", "Start-Time", '"Start Time"', "ＳｔａｒｔＴｉｍｅ", "開始時刻"]
)
def test_names_are_compared_loosely(name: str) -> None:
    """Case, spaces, underscores, dashes, quotes and full width make no other name; translations are names too."""
    header = header_of(f"{name},SrcAddr,Bytes Sent", NAMES)

    assert header is not None
    assert header.places == {"start": 0, "src": 1, "bytes": 2}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp932", "utf-16", "euc-jp"])
def test_encodings_of_japanese_exports(encoding: str) -> None:
    """Headers and fields of a Japanese Windows are read, with or without byte order mark."""
    text = "開始時刻,送信元アドレス,Comment\r\n10:00,192.0.2.1,表示ソ\r\n"

    assert read(text.encode(encoding)) == [{"line": "2", "start": "10:00", "src": "192.0.2.1", "note": "表示ソ"}]


def test_quotes_hold_delimiters_quotes_and_line_ends() -> None:
    """A record is numbered by the line it begins at; what follows a record of several lines keeps its own number."""
    data = b'Start Time,SrcAddr,Comment\r\n"a,b",s,"say ""hi"", then\r\nleave"\r\nc,s,d\r\n'

    assert read(data) == [
        {"line": "2", "start": "a,b", "src": "s", "note": 'say "hi", then\r\nleave'},
        {"line": "4", "start": "c", "src": "s", "note": "d"},
    ]


def test_rows_of_another_width_are_rejects() -> None:
    """They are told as every format tells them; the rows around them stand."""
    found = read(b'Start Time,SrcAddr,Comment\n1,2\n1,2,3,4\na,b,c\n1,"2" 3,4\n')

    assert [row.get("odd") for row in found] == [
        "row has 2 fields, 3 are expected",
        "row has 4 fields, 3 are expected",
        None,
        "text follows a closing quote (field 2)",
    ]


def test_a_header_may_come_again_and_change() -> None:
    """Files that were put together: the header is no record, what follows stands under it, and it is counted."""
    evidence = evidence_of(
        b"Start Time,SrcAddr,Comment\n1,a,x\nStart Time,SrcAddr,Comment\n2,b,y\n"
        b"SrcAddr,Start Time,Bytes Sent,Comment\nc,3,7,z\n"
    )

    assert read(b"", evidence) == [
        {"line": "2", "start": "1", "src": "a", "note": "x"},
        {"line": "4", "start": "2", "src": "b", "note": "y"},
        {"line": "6", "start": "3", "src": "c", "bytes": "7", "note": "z"},
    ]
    assert evidence.notes == {"records": 3, "headers_repeated": 2}


def test_a_header_inside_of_quotes_is_text() -> None:
    """Nobody moves the columns of a file by what he sends as a comment."""
    evidence = evidence_of(
        b'Start Time,SrcAddr,Comment\n1,a,"x\nSrcAddr,Start Time,Comment\n"\n2,Start Time,Comment\n3,c,d\n'
    )
    found = read(b"", evidence)

    assert [row["src"] for row in found] == ["a", "Start Time", "c"]
    assert "headers_repeated" not in evidence.notes


def test_many_headers_take_no_time() -> None:
    """A file of headers alone, or of text that looks like them, is gone through once."""
    evidence = evidence_of(b"Start Time,SrcAddr,Comment\n" * 20_000 + b"1,a,x\n")

    assert [row["line"] for row in read(b"", evidence)] == ["20001"]
    assert evidence.notes["headers_repeated"] == 19_999
    quoted = b'Start Time,SrcAddr,Comment\n1,a,"' + b"Start Time,SrcAddr,Comment\n" * 20_000 + b'"\n2,b,y\n'
    assert [row["src"] for row in read(quoted)] == ["a", "b"]


def test_titles_may_stand_before_the_header() -> None:
    """Lines before it are counted, not read."""
    evidence = evidence_of(b"Report of May\n\nStart Time,SrcAddr,Comment\n1,a,x\n")

    assert [row["line"] for row in read(b"", evidence)] == ["4"]
    assert evidence.notes["lines_before_header"] == 1


def test_a_name_that_stands_twice() -> None:
    """The first column counts, and the notes say so."""
    evidence = evidence_of(b"Start Time,SrcAddr,Comment,Comment\n1,a,x,y\n")

    assert [row["note"] for row in read(b"", evidence)] == ["x"]
    assert evidence.notes["columns_named_twice"] == ["Comment"]


def test_a_file_without_header_is_an_error() -> None:
    """The error names columns that would be known; an empty file has no rows and no error."""
    with pytest.raises(EvidenceError, match="none of its first 20 lines names columns such as Start Time, SrcAddr"):
        read(b"1,2,3\n4,5,6\n")
    assert read(b"") == []
    assert header_in(["a,b", "Start Time,SrcAddr"], NAMES) is None
    assert header_in(["title", "Start Time,SrcAddr,Comment"], NAMES) is not None
    assert header_of('Start Time,"SrcAddr,Comment', NAMES) is None


def test_a_dialect_may_be_given() -> None:
    """Then no other is tried."""
    assert header_of("Start Time,SrcAddr,Comment", NAMES, Dialect(b";")) is None


def test_blocks_end_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the blocks, the same records come, under the header that stands over them."""
    data = (
        b'Start Time,SrcAddr,Comment\n1,a,"x\ny"\n\n2,b,"long ""text"" here"\n'
        b"SrcAddr,Start Time,Comment\nc,3,z\n" + b"d,4,w\n" * 5
    )
    whole = read(data)
    for size in (1, 7, 16, 50):
        monkeypatch.setattr(_blocks, "BLOCK", size)
        assert read(data) == whole


def test_rows_can_be_opened_in_two_steps() -> None:
    """What `sheet_of` does at once, for formats that read in several threads."""
    evidence = evidence_of(b"Start Time,SrcAddr,Comment\n1,a,x\n")
    sheets = [opened(evidence, header, block, Vocabulary())[1] for header, block in parts(evidence, NAMES)]

    assert [sheet.rows for sheet in sheets] == [1]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=6))
def test_what_python_writes_is_read_back(rows: list[tuple[str, str, str]]) -> None:
    """Fields come back as they were, whatever they hold; rows of three names of columns would be a header."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("Start Time", "SrcAddr", "Comment"), *rows])

    found = read(out.getvalue().encode())

    assert [tuple(row.get(name, "") for name in ("start", "src", "note")) for row in found] == [
        tuple("" if text == "-" else text for text in row) for row in rows
    ]
