r"""Encodings of logs: what a file is written in, its text in UTF-8, and the bytes of the evidence in its rejects."""

from __future__ import annotations

import io
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forensics.errors import CaseError, EvidenceError
from forensics.formats import Evidence, Hints, squid
from forensics.formats._encodings import decoded, encoding_of, known_encoding, text_stream
from forensics.formats._lines import lines
from forensics.opening import read
from forensics.reading.options import ReadOptions

if TYPE_CHECKING:
    from pathlib import Path

JAPANESE = "2015-05-21 10:00:00 許可 表示ソフト ｶﾅ -> サーバー\n"
ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "cp932", "euc_jp", "cp1252"]


def evidence(data: bytes, encoding: str | None = None) -> Evidence:
    """Return evidence with some content."""
    return Evidence(io.BytesIO(data), "x.log", "here", Hints(encoding=encoding))


def whole(log: Evidence) -> bytes:
    """Return all that a text stream gives."""
    stream, parts = text_stream(log), list[bytes]()
    while part := stream.read(1000):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b"", "utf-8"),
        (b"plain\n", "utf-8"),
        (b"\xef\xbb\xbfplain\n", "utf-8"),
        (JAPANESE.encode(), "utf-8"),
        (JAPANESE.encode()[:-12], "utf-8"),
        (JAPANESE.encode() + b"one \xff\xfe hostile line\n", "utf-8"),
        (JAPANESE.encode("utf-16"), "utf-16-le"),
        (b"\xfe\xff" + JAPANESE.encode("utf-16-be"), "utf-16-be"),
        (JAPANESE.encode("utf-16-le"), "utf-16-le"),
        (JAPANESE.encode("utf-16-be"), "utf-16-be"),
        (JAPANESE.encode("cp932"), "cp932"),
        (JAPANESE.encode("euc_jp"), "euc_jp"),
        ("許可".encode("cp932")[:3], "cp932"),
        ("caf\xe9 \xc0 la carte\n".encode("latin-1"), "utf-8"),
        (bytes(range(256)), "utf-8"),
    ],
)
def test_the_encoding_is_told_by_the_first_bytes(head: bytes, encoding: str) -> None:
    """Byte order marks, the zeros of UTF-16, kana and kanji; else UTF-8 with escapes."""
    assert encoding_of(head) == encoding


def test_the_hint_wins_but_over_a_byte_order_mark() -> None:
    """What the analyst says holds where the file does not say otherwise itself."""
    assert encoding_of(JAPANESE.encode(), "euc_jp") == "euc_jp"
    assert encoding_of(JAPANESE.encode("utf-16"), "utf-16-be") == "utf-16-le"
    assert encoding_of(JAPANESE.encode("utf-16"), "cp932") == "cp932"
    assert [known_encoding(name) for name in ("Shift_JIS", "ms932", "UTF-16", "utf8", "EUC-JP")] == [
        "shift_jis", "cp932", "utf-16-le", "utf-8", "euc_jp",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["klingon", "iso2022_jp", "utf-7", "cp037", "rot13", "hex", "utf-32"])
def test_encodings_whose_lines_cannot_be_told_apart_are_refused(name: str) -> None:
    """The message names those that logs use."""
    with pytest.raises(CaseError, match=r"is not one that logs use: utf-8, utf-16-le, cp932"):
        ReadOptions.of(encoding=name)


@given(text=st.text(max_size=200), encoding=st.sampled_from(ENCODINGS), sizes=st.integers(1, 50))
@example("表\\\r\n\udc81", "cp932", 1)
def test_text_comes_out_as_it_went_in(text: str, encoding: str, sizes: int) -> None:
    """Whatever the encoding and however the bytes arrive: the same text, in UTF-8."""
    data = text.encode(encoding, "ignore")
    expected = data.decode(encoding).removeprefix("\ufeff").encode()

    assert whole(evidence(data, encoding)).removeprefix(b"\xef\xbb\xbf") == expected.removeprefix(b"\xef\xbb\xbf")
    stream = text_stream(evidence(data, encoding))
    parts = list(iter(lambda: stream.read(sizes), b""))
    assert b"".join(parts).removeprefix(b"\xef\xbb\xbf") == expected.removeprefix(b"\xef\xbb\xbf")


@given(data=st.binary(max_size=300), encoding=st.sampled_from(ENCODINGS[1:]))
@example(b"\x81\x5c\n\x81\n\xff\n", "cp932")
@example(b"\x8f\xa1\na\xff\n", "euc_jp")
@example(b"\x00\xd8\n\x00\x00\xdca", "utf-16-le")
def test_no_byte_is_lost_whatever_the_bytes(data: bytes, encoding: str) -> None:
    r"""What cannot be decoded is ``\xNN`` in the text, a line stays a line, and each gives its bytes back."""
    log = evidence(data, encoding)
    found = list(lines(log))
    text = "\n".join(line.decode() for _, line in found)

    if not log.originals:  # a byte order mark says that it is UTF-8
        return
    assert text.replace("\r", "") == decoded(data, encoding).removesuffix("\n").replace("\r", "")
    raw = [log.originals[-1].of(number, line) for number, line in found]
    joined = "\n".encode(encoding).join(raw)
    bare = data.removesuffix("\n".encode(encoding))
    assert joined.replace("\r".encode(encoding), b"") == bare.replace("\r".encode(encoding), b"") or b"\r" in data


def test_rejects_show_the_bytes_of_the_evidence(tmp_path: Path) -> None:
    """A reject of a cp932 log holds cp932, also where two of its bytes stand for one character, or for none."""
    good = "1286536309.450 180 192.0.2.21 TCP_MISS/200 411 GET http://www.example/表 アリス HIER_DIRECT/203.0.113.7 -\n"
    bad = [b"\x87\x90 \x81\xe0 \xfa\x54 \x81\xca not a line of it \x83\x5c", b"\x81 \xff cut \xa0"]
    log = tmp_path / "access.log"
    log.write_bytes(good.encode("cp932") * 30 + b"\n".join(bad) + b"\n" + good.encode("cp932"))
    case = read(log)

    assert [row["raw"] for row in case.rejects.to_arrow().to_pylist()] == bad
    assert {row["url"] for row in case.requests.to_arrow().to_pylist()} == {"http://www.example/表"}
    row = case.sources.to_arrow().to_pylist()[0]
    assert row["encoding"] == "cp932"
    notes = row["notes"]
    assert '"encoding_from": "its first bytes"' in notes


def test_an_encoding_may_be_said(tmp_path: Path) -> None:
    """A log that looks like another encoding is read in the one that the analyst names."""
    log = tmp_path / "access.log"
    line = "1286536309.450 180 192.0.2.21 TCP_MISS/200 411 GET http://www.example/é - HIER_DIRECT/203.0.113.7 -\n"
    log.write_bytes(line.encode("cp1252"))

    assert read(log).requests.to_arrow()["url"].to_pylist() == ["http://www.example/\\xe9"]
    assert read(log, encoding="cp1252").requests.to_arrow()["url"].to_pylist() == ["http://www.example/é"]


def test_a_wide_log_keeps_its_line_numbers_and_its_last_line() -> None:
    """UTF-16 as Windows writes it: a mark, two bytes a character, and an end that may be cut."""
    data = ("one\r\ntwo 表\r\n\r\nlast").encode("utf-16")

    assert list(lines(evidence(data))) == [(1, b"one"), (2, "two 表".encode()), (3, b""), (4, b"last")]
    assert list(lines(evidence(data + b"x")))[-1] == (4, b"last\\x78")


def test_damage_comes_after_what_was_read_before_it() -> None:
    """A stream that ends in damage gives its lines first."""

    class Damaged(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if part := super().read(size):
                return part
            raise EvidenceError("x.log", "damaged")

    for data in (b"a\nb\n", "表 a\nb\n".encode("cp932")):
        log = Evidence(Damaged(data), "x.log", "here", Hints())
        found = list[bytes]()
        with pytest.raises(EvidenceError, match="damaged"):
            found.extend(line for _, line in lines(log))
        assert found[-1] == b"b"


class Endless(io.RawIOBase):
    """Many megabytes of one line, made while they are read."""

    def __init__(self, line: bytes, size: int) -> None:
        self._line, self._left = line, size

    def read(self, size: int = -1) -> bytes:
        """Return whole copies of the line."""
        count = min(self._left, size) // len(self._line)
        self._left -= count * len(self._line)
        return self._line * count


@pytest.mark.parametrize("line", [JAPANESE.encode("cp932"), b"\x83\x5c \xff bad\n"])
def test_memory_stays_flat(line: bytes) -> None:
    """Ten times the file take no more memory; of lines that cannot be decoded a bounded number is kept."""
    peaks = []
    for size in (1 << 22, 1 << 24):
        log = Evidence(Endless(line, size), "x.log", "here", Hints(encoding="cp932"))  # type: ignore[arg-type]
        stream = text_stream(log)
        log.originals[-1]._kept = type(log.originals[-1]._kept)(maxlen=2)
        tracemalloc.start()
        while stream.read(1 << 20):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5


def test_squid_takes_a_log_that_is_not_utf_8() -> None:
    """What it is recognised by is read as the log will be."""
    line = "1286536309.450 180 192.0.2.21 TCP_MISS/200 411 GET http://www.example/ 表 HIER_DIRECT/203.0.113.7 -\n"

    assert squid.declines(line.encode("utf-16"), Hints()) is None
    assert squid.declines(line.encode("cp932"), Hints()) is None
