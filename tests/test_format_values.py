"""The loops that read columns give what plain Python gives, whatever stands in the fields."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.formats._columns import Ints, either
from forensics.formats._cut import Cut
from forensics.formats._fields import MOST, Fields
from forensics.formats._hosts import target
from forensics.formats._interning import C_FIRST_KEY, W_HASH
from forensics.formats._lines import text_of
from forensics.formats._times import LATEST
from forensics.formats._vocabulary import MOST_WORDS, Vocabularies, Vocabulary, Words

if TYPE_CHECKING:
    from collections.abc import Sequence

DIGITS = st.text("0123456789", max_size=24)
NUMBERS = st.one_of(
    DIGITS,
    st.from_regex(r"-?[0-9]{0,11}(\.[0-9]{0,14})?", fullmatch=True),
    st.text("0123456789.eE+-", max_size=8),
    st.sampled_from(
        ["-", "", "1e999999999", "0e999999999", "1e-999999999", "NaN", "٣", "1_0", " 1", "0.0000005", "1.5e3"]
    ),
    st.builds(str, st.integers(MOST - 2, MOST + 2)),
    st.builds(str, st.integers(LATEST - 2, LATEST + 2)),
)
PIECES = st.lists(
    st.sampled_from(
        [b"a", b"-", b"\xc3\xa9", b"\xe3\x81\x82", b"\xf0\x9f\x98\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xff", b"\x80",
         b"\xf4\x90\x80\x80", b"\xe3\x81", b"\xf0\x9f", b"\xe0\x9f\x80", b"\xf5", b"more than eight bytes", b"\x00"]
    ),
    max_size=6,
).map(b"".join)  # fmt: skip
URL_PARTS = st.lists(
    st.sampled_from(
        [b"http", b"://", b"https://", b"www.Example", b"/", b"?", b"#", b":", b"443", b"[2001:db8::1]", b"192.0.2.1",
         b"user@", b"%5B", b"-", b"1", b"\xe3\x81\x82", b"x" * 17, b"y" * 1100, b"z" * 4200, b"\xff"]
    ),
    max_size=6,
).map(b"".join)  # fmt: skip


def cut_of(*columns: Sequence[bytes], escaped: Sequence[bool] = ()) -> Cut:
    """Return a cut whose fields hold these bytes; one that is empty is absent."""
    rows = len(columns[0])
    data, begin, end = (
        bytearray(b"#"),
        np.zeros((len(columns), rows), np.int32),
        np.zeros((len(columns), rows), np.int32),
    )
    line = np.zeros((rows, 2), np.int32)
    for row in range(rows):
        line[row, 0] = len(data)
        for place, column in enumerate(columns):
            begin[place, row] = len(data)
            data += column[row]
            end[place, row] = len(data)
            data += b" "
        line[row, 1] = len(data) - 1
        data += b"\n"
    flag = np.zeros(begin.shape, np.uint8)
    flag[:, : len(escaped)] = np.array(escaped, np.uint8) * 4
    zeros = np.zeros(rows, np.uint8)
    count = np.full(rows, len(columns), np.int32)
    padded = np.frombuffer(data + b"\xff" * 64, np.uint8)
    return Cut(padded, np.arange(1, rows + 1), line, begin, end, flag, zeros, count)


def fields_of(*columns: Sequence[bytes], escaped: Sequence[bool] = ()) -> Fields:
    """Return the fields that hold these bytes."""
    return Fields(cut_of(*columns, escaped=escaped), Vocabulary())


def column_of(words: Words) -> list[str | None]:
    """Return the texts of a column."""
    return [words.values[code] if code >= 0 else None for code in words.codes.tolist()]


def exactly(text: str, unit: int, limit: int) -> int | None:
    """Return a decimal number in parts of one, the slow way; None where it is none."""
    plain = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text)
    if not plain or (plain[2] and abs(int(plain[2][1:])) > 100):
        return 0 if plain and (plain[2][1] == "-" or not float(plain[1])) else None
    value = Fraction(text.rstrip(".")) if not plain[2] else Fraction(plain[0].replace(".e", "e").replace(".E", "E"))
    return round(value * unit) if abs(value) <= limit else None


@given(st.lists(NUMBERS, max_size=12), st.sampled_from([1, 1000, 1024]))
def test_counts_are_digits_up_to_a_limit(texts: list[str], scale: int) -> None:
    """A count is ASCII digits, at most 2^50 after scaling; a dash or an empty field is none; all else is rejected."""
    fields = fields_of([text.encode() for text in texts])

    values, known = fields.counts(0, what="size", scale=scale)

    lawful = [bool(re.fullmatch("[0-9]+", text)) and int(text) * scale <= MOST for text in texts]
    assert known.tolist() == lawful
    assert values.tolist() == [int(text) * scale if good else 0 for text, good in zip(texts, lawful, strict=True)]
    assert fields.good.tolist() == [good or text in {"", "-"} for text, good in zip(texts, lawful, strict=True)]


@given(st.lists(NUMBERS, max_size=12), st.sampled_from([(1, LATEST), (1_000_000, LATEST), (1024, MOST), (60_000, 7)]))
def test_decimals_are_exact(texts: list[str], how: tuple[int, int]) -> None:
    """A decimal number has any number of digits and maybe an exponent, and is rounded half to even, once."""
    fields = fields_of([text.encode() for text in texts])
    unit, limit = how

    values, known = fields.decimals(0, what="time", unit=unit, limit=limit)

    expected = [None if text == "-" else exactly(text, unit, limit) for text in texts]
    assert [value if good else None for value, good in zip(values.tolist(), known.tolist(), strict=True)] == expected
    assert fields.good.tolist() == [
        value is not None or text in {"", "-"} for text, value in zip(texts, expected, strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [("0.0000005", 0), ("0.0000015", 2), ("0.00000050000000000000000000000000000000000000001", 1), ("-.0000025", -2),
     ("9999999999", 9_999_999_999_000_000), ("1e3", 1_000_000_000), ("+1", 1_000_000), ("5.", 5_000_000)],
)  # fmt: skip
def test_halves_go_to_the_even_neighbour(text: str, parts: int) -> None:
    """Half of a microsecond goes to the even one, and a digit far behind makes it more than half."""
    values, known = fields_of([text.encode()]).decimals(0, what=None)

    assert (values.tolist(), known.tolist()) == ([parts], [True])


@given(st.lists(PIECES, max_size=30))
def test_texts_are_copied_as_utf8(texts: list[bytes]) -> None:
    r"""Bytes that are not UTF-8 become ``\xNN``, as in a line read alone; a dash is null."""
    expected = [None if text in {b"", b"-"} else text_of(text) for text in texts]

    array = fields_of(texts).text(0)

    array.validate(full=True)
    assert array.to_pylist() == expected
    assert column_of(fields_of(texts).words(0)) == expected


@given(st.lists(PIECES, max_size=12), st.lists(st.booleans(), min_size=12, max_size=12))
def test_escapes_are_undone_where_there_are_any(texts: list[bytes], escaped: list[bool]) -> None:
    """Only fields that the cutting saw an escape in are undone; equal bytes with and without are two words."""
    fields = fields_of(texts, escaped=escaped[: len(texts)])
    expected = [
        None if text in {b"", b"-"} else text_of(text).upper() if marked else text_of(text)
        for text, marked in zip(texts, escaped, strict=False)
    ]

    assert fields.text(0, undo=str.upper).to_pylist() == expected
    assert column_of(fields.words(0, undo=str.upper)) == expected


@given(st.lists(st.tuples(st.sampled_from([b"GET", b"CONNECT", b"-"]), URL_PARTS), max_size=12))
def test_targets_are_those_of_each_line(requests: list[tuple[bytes, bytes]]) -> None:
    """The server of a column of requests is the one that each request asks for by itself."""
    fields = fields_of([method for method, _ in requests], [url for _, url in requests])

    service, name, address, port = fields.targets(0, 1)

    alone = [target(method.decode(), "" if url == b"-" else text_of(url)) for method, url in requests]
    assert column_of(service) == [
        asked.service if url != b"" else None for asked, (_, url) in zip(alone, requests, strict=True)
    ]
    assert column_of(name) == [asked.name for asked in alone]
    assert column_of(address) == [asked.address for asked in alone]
    assert [value if good else None for value, good in zip(port.values.tolist(), port.known.tolist(), strict=True)] == [
        asked.port for asked in alone
    ]


@settings(max_examples=20)
@given(st.lists(st.lists(st.binary(min_size=1, max_size=20), max_size=30), max_size=5))
def test_words_keep_their_numbers_over_blocks(blocks: list[list[bytes]]) -> None:
    """A word has one number in all blocks of a vocabulary, and gives its bytes back."""
    vocabulary = Vocabulary()
    numbers: dict[bytes, int] = {}
    for texts in blocks:
        cut = cut_of(texts)
        codes, order = vocabulary.intern(cut.data, cut.begin[0], cut.end[0], cut.flag[0])
        found = [text for text, _ in vocabulary._texts(order)]

        assert [found[code] for code in codes.tolist()] == [text_of(text) for text in texts]
        for text, number in zip(texts, order[codes].tolist(), strict=True):
            assert numbers.setdefault(text, number) == number


def test_a_table_of_words_grows() -> None:
    """Many words, and one longer than all room there is, find their place."""
    texts = [b"w%d" % number for number in range(9000)] + [b"x" * 200_000] + [b"w%d" % number for number in range(9000)]

    assert column_of(fields_of(texts).words(0)) == [text.decode() for text in texts]


def test_words_of_one_hash_are_told_apart() -> None:
    """Words that all fall into one place of the table are still different words."""
    texts = [b"%d" % number for number in range(300)] * 2
    cut, vocabulary = cut_of(texts), Vocabulary()
    vocabulary._cursor[C_FIRST_KEY:] = 0

    codes, order = vocabulary.intern(cut.data, cut.begin[0], cut.end[0], cut.flag[0])

    assert not vocabulary._words[:300, W_HASH].any()
    assert codes.tolist() == [*range(300)] * 2
    assert [text.encode() for text, _ in vocabulary._texts(order)] == texts[:300]


def test_a_vocabulary_of_ever_new_words_stays_bounded() -> None:
    """With more words than it may keep it is emptied before the next block, and what was read before stands."""
    vocabulary = Vocabulary()
    sizes = []
    for block in range(4):
        texts = [b"%d-%d" % (block, number) for number in range(MOST_WORDS // 2 + 1)]
        fields = Fields(cut_of(texts), vocabulary)
        sizes.append(len(vocabulary))
        assert column_of(fields.words(0, str))[-1] == texts[-1].decode()

    assert sizes == [0, MOST_WORDS // 2 + 1, 0, MOST_WORDS // 2 + 1]


def test_two_sheets_of_one_vocabulary_do_not_mix_up_words() -> None:
    """Words read before the vocabulary was emptied are read anew where they are asked for again."""
    vocabulary = Vocabulary()
    first = Fields(cut_of([b"%d" % number for number in range(MOST_WORDS + 1)]), vocabulary)
    before = column_of(first.words(0))
    second = Fields(cut_of([b"other"]), vocabulary)
    second.words(0)

    assert column_of(first.words(0, str.strip)) == before


def test_results_are_kept_over_blocks() -> None:
    """A function is called once for each distinct word of a file, and may also say that one is not lawful."""
    vocabulary, asked = Vocabulary(), []

    def convert(text: str) -> str | None:
        asked.append(text)
        if text == "c":
            raise ValueError(text)
        return {"a": "x", "b": "x", "d": ""}.get(text)

    for _ in range(3):
        fields = Fields(cut_of([b"a", b"b", b"-", b"a", b"c", b"d", b""]), vocabulary)
        words = fields.words(0, convert, what="client")
        assert column_of(words) == ["x", "x", None, "x", None, None, None]
        assert tuple(words.values) == ("x",)
        assert fields.good.tolist() == [True, True, True, True, False, True, True]

    assert asked == ["a", "b", "c", "d"]


def test_threads_share_what_is_made_of_words() -> None:
    """A word that two threads meet is made once, until the words are too many and all is forgotten."""
    own, asked = Vocabularies(), []

    def convert(text: str) -> str:
        asked.append(text)
        return text

    def read(texts: list[bytes]) -> list[str | None]:
        return column_of(Fields(cut_of(texts), own.own).words(0, convert))

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        assert one.submit(read, [b"a", b"b"]).result() == ["a", "b"]
        assert other.submit(read, [b"b", b"c", b"a"]).result() == ["b", "c", "a"]
        assert asked == ["a", "b", "c"]
        one.submit(read, [b"%d" % number for number in range(MOST_WORDS)]).result()
        one.submit(read, [b"d"]).result()

    assert sum(map(len, own._made.values())) == 1


def test_functions_made_anew_for_each_block_fill_no_memory() -> None:
    """Results are kept for a bounded number of functions."""
    vocabulary = Vocabulary()
    for number in range(1000):
        column = Fields(cut_of([b"a"]), vocabulary).words(0, lambda text, number=number: f"{text}{number}")  # type: ignore[misc]
        assert tuple(column.values) == (f"a{number}",)

    assert len(vocabulary._made) <= 64


def test_words_are_combined_by_row() -> None:
    """A column takes some of its rows, fills in those of another, and is made into another."""
    fields = fields_of([b"a", b"b", b"-", b"c"], [b"x", b"a", b"y", b"-"])
    one, other = fields.words(0), fields.words(1)

    assert column_of(one.only(np.array([True, False, True, True])).otherwise(other)) == ["a", "a", "y", "c"]
    assert column_of(one.mapped({"a": "z", "c": "z"}.get)) == ["z", None, None, "z"]
    constant = Words.constant("k", np.array([True, False, True, False]))
    assert column_of(constant.otherwise(other)) == ["k", "a", "k", None]


def test_numbers_are_combined_by_row() -> None:
    """A column of numbers fills in those of another where it has none, or takes its rows from either of two."""
    fields = fields_of([b"1", b"2", b"-", b"-"], [b"5", b"-", b"7", b"-"])
    one, other = fields.counts(0, what="one"), fields.counts(1, what="other")
    where = np.array([False, True, True, False])

    def shown(column: Ints) -> list[int | None]:
        return [value if known else None for value, known in zip(*map(np.ndarray.tolist, column), strict=True)]

    assert shown(one.otherwise(other)) == [1, 2, 7, None]
    assert shown(either(where, one, other)) == [5, 2, None, None]
    assert shown(either(where | True, one, other)) == [1, 2, None, None]


def test_what_stands_for_nothing_is_the_formats_own() -> None:
    """Several texts can stand for nothing; the longest of them is no text either."""
    texts = [b"None", b"NA", b"-", b"N", b"12", b"", b"Nones"]
    fields = fields_of(texts)
    null = (b"None", b"NA", b"12")

    assert fields.text(0, null=null).to_pylist() == [None, None, "-", "N", None, None, "Nones"]
    assert column_of(fields.words(0, null=null)) == [None, None, "-", "N", None, None, "Nones"]
    assert fields.nothing(0, null).tolist() == [True, True, False, False, True, True, False]
    assert fields.counts(0, what="n", null=null).known.tolist() == [False] * 7
    assert fields.good.tolist() == [True, True, False, False, True, True, False]
