"""Wanted values of JSON lines against Python's json; pairs of keys and values against a plain reading of the rules."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.formats._blocks import block_of
from forensics.formats._cut import (
    ABSENT,
    AFTER_QUOTE,
    DEEP,
    ESCAPED,
    MAX_DEPTH,
    NOT_JSON,
    NUMBER,
    OPEN,
    QUOTED,
    TWICE,
    Cut,
)
from forensics.formats._pairs import pairs
from forensics.formats._picked import picked

PATHS = ["a", "b.c", "b.c.d", "b.e", "long_key_1", "long_key_2"]
KEYS = ["a", "b", "c", "d", "e", "b.c", "b.c.d", "c.d", "long_key_1", "long_key_2", "", "é", 'x"y\\']


class Pairs(list[tuple[str, Any]]):
    """A JSON object with every pair that it was written with."""


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=4).map(Pairs)
    ),
    max_leaves=12,
)
OBJECTS = st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=6).map(Pairs)


def written(value: object, draw: st.DrawFn) -> str:
    """Return a value as JSON, with white space and escapes where they may be."""

    def white() -> str:
        return draw(st.sampled_from(["", "", "", " ", "\t \r"]))

    if isinstance(value, Pairs):
        inside = ",".join(
            f"{white()}{text_written(key, draw)}{white()}:{white()}{written(item, draw)}{white()}"
            for key, item in value
        )
        return f"{{{inside or white()}}}"
    if isinstance(value, list):
        return f"[{','.join(white() + written(item, draw) + white() for item in value) or white()}]"
    return text_written(value, draw) if isinstance(value, str) else json.dumps(value)


def text_written(text: str, draw: st.DrawFn) -> str:
    """Return a string as JSON, some of its characters escaped that need not be."""
    if draw(st.booleans()):
        return json.dumps(text, ensure_ascii=draw(st.booleans()))
    return '"' + "".join(f"\\u{ord(c):04X}" if ord(c) < 0x10000 else json.dumps(c)[1:-1] for c in text) + '"'


@st.composite
def objects(draw: st.DrawFn) -> str:
    """Return the text of an object."""
    return written(draw(OBJECTS), draw)


def expected_of(value: Pairs, above: str, found: dict[str, object], met: set[str]) -> bool:
    """Find the values of all paths, nested and flat, the last of each; tell whether one stood twice."""
    twice = False
    for key, item in value:
        path = f"{above}.{key}" if above else key
        if not key or not any(want == path or want.startswith(f"{path}.") for want in PATHS):
            continue
        if path in met:
            twice = True
            for name in [name for name in found if name == path or name.startswith(f"{path}.")]:
                del found[name]
        met.add(path)
        found[path] = item
        if isinstance(item, Pairs):
            twice |= expected_of(item, path, found, met)
    return twice


def value_at(cut: Cut, field: int, row: int) -> object:
    """Return a field as a Python value."""
    text, flag = cut.content(field, row).decode("utf-8", "surrogatepass"), int(cut.flag[field, row])
    if flag & ABSENT:
        assert (flag, text) == (ABSENT, "")
        return None
    assert bool(flag & ESCAPED) == bool(flag & QUOTED and "\\" in text)
    value = json.loads(f'"{text}"' if flag & QUOTED else text, object_pairs_hook=Pairs)
    assert bool(flag & NUMBER) == (isinstance(value, int | float) and not isinstance(value, bool))
    return value


@given(texts=st.lists(objects(), max_size=4))
def test_values_are_those_of_pythons_json(texts: list[str]) -> None:
    """Nested and flat paths, duplicate keys, escapes, white space: each value is the one that json finds."""
    cut = picked(block_of("".join(f"{text}\n" for text in texts).encode("utf-8", "surrogatepass")), PATHS)

    assert cut.number.tolist() == list(range(1, len(texts) + 1))
    for row, text in enumerate(texts):
        found: dict[str, object] = {}
        twice = expected_of(json.loads(text, object_pairs_hook=Pairs), "", found, set())
        assert [value_at(cut, field, row) for field in range(len(PATHS))] == [found.get(path) for path in PATHS]
        assert int(cut.odd[row]) == (TWICE if twice else 0)


@given(
    text=objects(),
    at=st.integers(0, 60),
    gone=st.integers(0, 2),
    new=st.text(alphabet='{}[],:"\\u0e.-+1tnx \v\x00', max_size=2),
)
def test_what_json_refuses_is_odd(text: str, at: int, gone: int, new: str) -> None:
    """A damaged object is refused where json refuses it, and said to be none; nothing of it is kept."""
    damaged = text[:at] + new + text[at + gone :]
    try:
        lawful = isinstance(json.loads(damaged, parse_constant=int), dict)
    except ValueError:
        lawful = False
    cut = picked(block_of(damaged.encode("utf-8", "surrogatepass") + b"\n"), PATHS)

    if cut.rows == 0:
        assert not damaged.strip()
    elif lawful:
        assert int(cut.odd[0]) in (0, TWICE)
    else:
        assert int(cut.odd[0]) == NOT_JSON
        assert cut.reason(0).startswith("not a JSON object: ")
        assert (cut.flag == ABSENT).all()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[1]", "not a JSON object: it is a list"),
        (b'{"a": NaN}', "not a JSON object: NaN is no value of JSON"),
        (b'{"a": 1', "not a JSON object: Expecting ',' delimiter: line 1 column 8 (char 7)"),
        (b'{"a":' * 10_000, f"not a JSON object: nested deeper than {MAX_DEPTH} levels"),
        (b'{"a":' * 99 + b"1" + b"}" * 99, f"not a JSON object: nested deeper than {MAX_DEPTH} levels"),
        (b'{"b": {"c": 1}, "b": 2}', "key 'b' stands twice"),
    ],
)
def test_reasons_of_objects_are_in_words(line: bytes, reason: str) -> None:
    """A reject says what is wrong with a line of JSON."""
    assert picked(block_of(line + b"\n"), PATHS).reason(0) == reason


def test_the_deepest_object_is_read() -> None:
    """Objects as deep as the limit are read, deeper ones are odd."""
    deep, deeper = (b'{"x":' * n + b"{}" + b"}" * n + b"\n" for n in (MAX_DEPTH - 1, MAX_DEPTH))

    assert picked(block_of(deep + deeper), PATHS).odd.tolist() == [0, DEEP]


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 2_000_000,
        b'{"' + bytes(2_000_000),
        b'{"a":"' + b"\\\\" * 1_000_000,
        b'{"":{},' * 300_000,
        b"=" * 2_000_000,
    ],
    ids=["brackets", "nuls", "escapes", "keys", "equals"],
)
def test_hostile_lines_take_no_time(line: bytes) -> None:
    """A line of megabytes is looked at once."""
    block = block_of(line + b"\n")
    picked(block_of(b"{}\n"), PATHS)
    pairs(block_of(b"a=1\n"), [b"a"])
    begin = time.process_time()
    odd = picked(block, PATHS).odd.tolist(), pairs(block, [b"a"]).odd.tolist()

    assert time.process_time() - begin < 20  # plain Python included
    assert all(all(codes) for codes in odd)


WANTED = [b"a", b"bc", b"d"]
PAIR_PIECES = [b" ", b"a=", b"bc=", b"d=", b'"', b'\\"', b"\\", b"=", b"x", b"yz", b"\r", b"\n", b"a", b"\0"]


def plain_value(line: bytes, at: int) -> tuple[int, int, int, int]:
    """Return begin, end and flags of a value, and the code of what is wrong."""
    first, ends, odd = at, (b"", b" "), 0
    if line[at : at + 1] == b'"':
        at = first = at + 1
        while line[at : at + 1] != b'"':
            if at >= len(line):
                return at, at, 0, OPEN
            at += 2 if line[at : at + 1] == b"\\" else 1
        odd = 0 if line[at + 1 : at + 2] in ends else AFTER_QUOTE
    while line[first - 1 : first] != b'"' and line[at : at + 1] not in ends:
        at += 1
    quoted = QUOTED if line[first - 1 : first] == b'"' else 0
    return first, at, quoted | (ESCAPED if b"\\" in line[first:at] else 0), odd


def plain_pairs(line: bytes, *, spaced: bool) -> tuple[dict[bytes, tuple[bytes, int]], int]:
    """Return the values of a line with their flags, and the code of what is wrong."""
    at, found, twice, last = 0, dict[bytes, tuple[int, int, int]](), 0, b""
    while at < len(line):
        first = at
        while line[at : at + 1] not in (b"", b" ", b"="):
            at += 2 if line[at : at + 1] == b"\\" else 1
        at = min(at, len(line))
        if line[at : at + 1] == b"=":
            key = line[first:at]
            begin, at, flags, odd = plain_value(line, at + 1)
            if odd:
                return {} if odd == OPEN else shown(line, found), odd
            twice = TWICE if key in found and key in WANTED else twice
            found[key] = begin, at, flags
            last = key if spaced and key in WANTED and not flags & QUOTED else b""
            at += bool(flags & QUOTED)
        elif at > first and last:
            found[last] = (found[last][0], at, found[last][2] | (ESCAPED if b"\\" in line[first:at] else 0))
        at += line[at : at + 1] == b" "
    return shown(line, found), twice


def shown(line: bytes, found: dict[bytes, tuple[int, int, int]]) -> dict[bytes, tuple[bytes, int]]:
    """Return the texts at some places, and their flags."""
    return {key: (line[a:b], flags) for key, (a, b, flags) in found.items()}


@given(data=st.lists(st.sampled_from(PAIR_PIECES), max_size=40).map(b"".join), spaced=st.booleans())
def test_pairs_are_those_of_the_rules(data: bytes, spaced: bool) -> None:
    """Any bytes give the values, flags and codes that a plain reading of the rules says."""
    cut = pairs(block_of(data + b"\n"), WANTED, spaced=spaced)

    lines = [(n, line.removesuffix(b"\r")) for n, line in enumerate(data.split(b"\n"), 1)]
    lines = [(n, line) for n, line in lines if line and not line.isspace()]
    assert cut.number.tolist() == [n for n, _ in lines]
    for row, (_, line) in enumerate(lines):
        values, odd = plain_pairs(line, spaced=spaced)
        found = [(cut.content(field, row), int(cut.flag[field, row])) for field in range(3)]
        assert found == [values.get(key, (b"", ABSENT)) for key in WANTED]
        assert int(cut.odd[row]) == odd
        assert not odd or cut.reason(row)


def test_pairs_may_have_another_delimiter() -> None:
    """LEEF keeps its pairs apart with tabs; values then hold spaces."""
    cut = pairs(block_of(b"a=1 2\tbc=\t\td=4\r\n"), WANTED, delimiter=b"\t")

    assert [cut.content(field, 0) for field in range(3)] == [b"1 2", b"", b"4"]
    assert not cut.flag.any()
