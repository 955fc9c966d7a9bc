"""A sheet: columns of a block become rows of tables, and what cannot be read becomes rejects.

The format `gatelog` stands for all formats here: ``time client server:port bytes "user agent"``.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.errors import EvidenceError
from forensics.formats import Evidence, _cut, _fields, _vocabulary
from forensics.formats._blocks import PADDING, Block, block_of, blocks, in_order
from forensics.formats._cut import TWICE, divided
from forensics.formats._delimited import Dialect, delimited
from forensics.formats._hosts import address_of, name_of
from forensics.formats._lines import MAX_LINE
from forensics.formats._sheet import Ints, Sheet, Vocabularies, Vocabulary, finished
from forensics.formats._stamps import compile_stamp
from forensics.schema import STORED, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.rows import Rows

GATE = Dialect(b" ", quote=b'"', escape=b"\\")
NORMAL = b"""\
1432166400.5 10.0.0.7 www.Example:443 120 "curl \\"8\\""
1432166401 2001:DB8::7 [2001:db8::1]:80 - "-"
1432166402.25 10.0.0.7 203.0.113.9:8080 0 "caf\xc3\xa9"
"""


def gate_sheet(block: Block, evidence: Evidence, words: Vocabulary) -> Sheet:
    """Read one block of a gatelog."""
    cut = delimited(block, GATE, 5)
    sheet = Sheet(cut, evidence, words)
    server = divided(cut, 2, b":", 2, from_end=True)
    time = sheet.decimals(0, what="time")
    sheet.reject(sheet.nothing(0), "there is no time")
    address = sheet.words((server, 0), address_of)
    sheet.put(
        "exchanges",
        start=time,
        end=time.values,
        src=sheet.words(1, address_of, what="client"),
        dst=address,
        dst_port=sheet.counts((server, 1), what="port", limit=65_535),
        name=sheet.words((server, 0), name_of).only(~address.known),
        proto="tcp",
        bytes_in=sheet.counts(3, what="size"),
        bytes_kind="application",
        user_agent=sheet.text(4, undo=lambda text: text.replace("\\", "")),
        is_flow=True,
        is_request=address.known,
    )
    sheet.put("names", ~address.known, time=time, name=sheet.words((server, 0), name_of), how="proxy")
    return sheet


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Read a gatelog."""
    own = Vocabularies()
    made = in_order(lambda block: list(gate_sheet(block, evidence, own.own).batches()), blocks(evidence))
    return finished(evidence, "gatelog", (batch for batches in made for batch in batches))


def evidence_of(data: bytes) -> Evidence:
    """Return a log."""
    return Evidence(io.BytesIO(data), "gate.log", "gate")


def rows_of(data: bytes) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a gatelog by table; each batch is sound, and has the columns of its table."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table, batch in parse(evidence_of(data)):
        batch.validate(full=True)
        assert batch.schema.equals(STORED[table].schema)
        assert not any(batch[field.name].null_count for field in batch.schema if not field.nullable)
        found.setdefault(table, []).extend(batch.to_pylist())
    return found


def sheet_of(data: bytes, width: int = 1) -> Sheet:
    """Return a sheet of fields with spaces between them."""
    return Sheet(delimited(block_of(data), Dialect(b" "), width), evidence_of(data), Vocabulary())


def test_normal_lines_become_rows() -> None:
    """A log's columns come out with their types, null where the log has nothing, 0 where it says 0."""
    found = rows_of(NORMAL)
    rows = found["exchanges"]

    assert [row["start"].timestamp() for row in rows] == [1432166400.5, 1432166401, 1432166402.25]
    assert [row["src"] for row in rows] == ["10.0.0.7", "2001:db8::7", "10.0.0.7"]
    assert [row["dst"] for row in rows] == [None, "2001:db8::1", "203.0.113.9"]
    assert [row["name"] for row in rows] == ["www.example", None, None]
    assert [row["dst_port"] for row in rows] == [443, 80, 8080]
    assert [row["bytes_in"] for row in rows] == [120, None, 0]
    assert [row["user_agent"] for row in rows] == ['curl "8"', None, "café"]
    assert [row["is_request"] for row in rows] == [False, True, True]
    assert {(row["source"], row["vantage"], row["bytes_out"], row["proto"]) for row in rows} == {
        ("gate.log", "gate", None, "tcp")
    }
    assert [row["record"] for row in rows] == [1, 2, 3]
    assert [(row["name"], row["record"]) for row in found["names"]] == [("www.example", 1)]
    assert "rejects" not in found


def test_texts_of_exchanges_are_dictionaries() -> None:
    """A text that repeats is stored once for a block; a constant too; long texts are not."""
    batch = next(parse(evidence_of(NORMAL * 100)))[1]

    assert batch["src"].dictionary.to_pylist() == ["10.0.0.7", "2001:db8::7"]
    assert batch["bytes_kind"].dictionary.to_pylist() == ["application"]
    assert batch.schema.field("user_agent").type == pa.string()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1432166400 10.0.0.7 a:1 1", "row has 4 fields, 5 are expected"),
        (b'1432166400 10.0.0.7 a:1 1 "x" y', "row has 6 fields, 5 are expected"),
        (b'1432166400 10.0.0.7 a:1 1 "x', "a quote is never closed (field 5)"),
        (b'noon 10.0.0.7 a:1 1 "x"', "time is not a decimal number"),
        (b'- 10.0.0.7 a:1 1 "x"', "there is no time"),
        (b'99999999999 10.0.0.7 a:1 1 "x"', "time is not a decimal number"),
        (b'1432166400 printer a:1 1 "x"', "client is not an address"),
        (b'1432166400 - a:1 1 "x"', "src is missing"),
        (b'1432166400 10.0.0.7 a:65536 1 "x"', "port is not a count"),
        (b'1432166400 10.0.0.7 a:1 -1 "x"', "size is not a count"),
        (b'1432166400 10.0.0.7 a:1 1125899906842625 "x"', "size is not a count"),
        (b'1432166400 10.0.0.7 a:1 1\x00 "x"', "size is not a count"),
        (b'noon printer a:x y "x"', "time is not a decimal number"),
        (b"\xff" * 600, "row has 1 field, 5 are expected"),
    ],
)
def test_lines_that_cannot_be_read_are_rejects(line: bytes, reason: str) -> None:
    """A line is a reject with its number, the first thing wrong with it, and how it begins; others are not touched."""
    found = rows_of(NORMAL + b"\n" + line + b"\n" + NORMAL)

    assert found["rejects"] == [{"source": "gate.log", "record": 5, "reason": reason, "raw": line[:512]}]
    assert [row["record"] for row in found["exchanges"]] == [1, 2, 3, 6, 7, 8]
    assert [row["record"] for row in found["names"]] == [1, 6]


def test_a_file_in_which_nothing_parses_is_an_error() -> None:
    """The error says how many lines there are, and what is wrong with the first; their rejects came before it."""
    batches = parse(evidence_of(b"one\n\ntwo lines\n"))

    assert next(batches)[1].num_rows == 2
    with pytest.raises(
        EvidenceError, match=r"^gate.log: not one of its 2 lines could be read as gatelog; line 1: row has"
    ):
        next(batches)
    with pytest.raises(EvidenceError, match="its only line could not be read as gatelog; line 1: row has 1 field"):
        list(parse(evidence_of(b"one\n")))
    assert list(parse(evidence_of(b"\n"))) == []


@given(
    st.lists(st.sampled_from([*NORMAL.splitlines(), b'"', b" ", b"-", b"\\", b"\xff", b":", b"\n", b"\r\n", b"1e400"]))
)
def test_every_line_is_a_row_or_a_reject(parts: list[bytes]) -> None:
    """Whatever a log holds: a record gives one row or one reject, and nothing raises but that nothing parses."""
    evidence = evidence_of(b"".join(parts))
    found: list[int] = []
    with suppress(EvidenceError):
        for table, batch in parse(evidence):
            batch.validate(full=True)
            found += batch["record"].to_pylist() if table != "names" else []

    assert len(found) == len(set(found)) == evidence.notes.get("records", 0)


class Loops:
    """The loops of columns as plain Python, freshly imported."""

    NAMES = (
        "packets._jit", "packets._bits", "packets.layout", "packets.framing", "formats._values", "formats._interning",
    )  # fmt: skip

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kept = {name: sys.modules.pop(f"forensics.{name}") for name in self.NAMES if f"forensics.{name}" in sys.modules}
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(os.environ, "FORENSICS_JIT", "0")
            fresh = {name: importlib.import_module(f"forensics.{name}") for name in self.NAMES}
        for name, module in kept.items():
            folder, _, last = name.partition(".")
            sys.modules[f"forensics.{name}"] = module
            setattr(sys.modules[f"forensics.{folder}"], last, module)
        assert not fresh["packets._jit"].COMPILED
        for loop in ("read_numbers", "gather_text", "find_authorities"):
            monkeypatch.setattr(_fields, loop, getattr(fresh["formats._values"], loop))
        monkeypatch.setattr(_vocabulary, "intern_words", fresh["formats._interning"].intern_words)


def test_words_are_hashed_and_told_apart_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done to 32 bytes by one instruction is what plain Python does to each eight of them."""
    sizes = [*range(1, 42), 64, 200]
    texts = [bytes(7 * k % 256 for k in range(size)) for size in sizes]
    texts += [text[:-1] + b"\xff" for text in texts]
    data = np.frombuffer(bytearray(b"".join(texts * 2) + bytes(PADDING)), np.uint8)
    end = np.cumsum([len(text) for text in texts * 2]).astype(np.int32)
    begin, kinds = np.append(np.int32(0), end[:-1]), np.zeros(len(end), np.uint8)

    def interned(vocabulary: Vocabulary) -> list[list[int]]:
        codes, order = vocabulary.intern(data, begin, end, kinds)
        return [codes.tolist(), *vocabulary._words[order].tolist()]

    compiled, plain = Vocabulary(), Vocabulary()
    plain._cursor[:] = compiled._cursor  # the same keys
    found = interned(compiled)
    Loops(monkeypatch)

    assert found == interned(plain)
    assert found[0] == [*range(len(texts))] * 2


def test_compiled_and_plain_loops_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables do not depend on whether numba is there."""
    odd = [
        b'1e9 ::1 \xe3\x81\x82:1 007 "\\""',
        b'-1.5 10.0.0.7 a:b 1 "x"',
        b'1 10.0.0.7 a:1 1 "\xed\xa0\x80"',
        b'1 "" a 1 b',
    ]
    data = (
        NORMAL
        + b"\n".join(odd)
        + b"\n"
        + b"".join(b'%d.%d 10.0.%d.1 host%d.example:1 %d "%d"\n' % ((n,) * 6) for n in range(999))
    )
    compiled = rows_of(data)
    Loops(monkeypatch)

    assert rows_of(data) == compiled
    assert len(compiled["rejects"]) == 2 + 999 - 256


def test_the_first_reason_of_a_row_stands() -> None:
    """What is found later about a row does not change its reason, and brings back no row."""
    sheet = sheet_of(b"a\nb\nc\n")
    sheet.reject(np.array([True, False, False]), "first")
    sheet.put("names", time=np.zeros(3, np.int64), name=sheet.words(0), how="proxy")
    sheet.reject(np.array([True, True, False]), "second")
    found = {table: batch.to_pylist() for table, batch in sheet.batches()}

    assert [(row["record"], row["reason"]) for row in found["rejects"]] == [(1, "first"), (2, "second")]
    assert [row["name"] for row in found["names"]] == ["c"]


def test_values_that_a_column_cannot_take_reject_their_rows() -> None:
    """Ports above 65535, numbers above 32 bits, times after 2286 and absent values that never are null are rejects."""
    sheet = sheet_of(b"1\n2\n3\n4\n5\n")
    every = np.ones(5, np.bool_)
    sheet.put(
        "requests",
        np.array([True, True, True, True, False]),
        start=Ints(np.array([0, 10**17, 0, 0, 10**17]), every),
        src=sheet.words(0, {"1": "a", "2": "a", "4": "a"}.get),
        dst_port=Ints(np.array([65_536, 0, 0, 65_535, -(2**63)]), every),
        status=Ints(np.array([0, 0, 0, 2**40, 0]), np.array([True, True, True, False, True])),
    )
    sheet.put("requests", start=np.zeros(5, np.int64), src="b", status=Ints(np.array([0, 0, 0, 2**31, -200]), every))
    found = [(table, batch.to_pylist()) for table, batch in sheet.batches()]

    assert [(table, len(rows)) for table, rows in found] == [("requests", 1), ("rejects", 4)]
    assert [row["reason"] for row in found[1][1]] == [
        "dst_port is above 65535", "start is no time that a log can hold", "src is missing", "status is too large",
    ]  # fmt: skip


def test_a_formats_mistakes_raise() -> None:
    """A column that the table does not have, and one that it cannot do without, are mistakes of a programmer."""
    sheet = sheet_of(b"a\n")

    with pytest.raises(
        ValueError, match=r"flows: no column \['colour'\]; without \['bytes_kind', 'end'\] there is no row"
    ):
        sheet.put("flows", start=np.zeros(1, np.int64), src="a", colour="red", bytes_in=None)


def test_notes_count_what_threads_and_copies_of_a_file_add() -> None:
    """Nothing is lost where several threads count; nothing is no note, but a file of no records has none."""

    class Slow(dict[str, object]):
        def get(self, key: str, default: object = None) -> object:
            found = super().get(key, default)
            time.sleep(0.001)  # here another thread would come between
            return found

    one = Evidence(io.BytesIO(), "a", "a", notes=Slow())
    other = replace(one, vantage="b")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda evidence: evidence.note("met", 2), [one, other] * 8))
    one.note("none", 0)
    one.note("records", 0)
    one.note("records", 3)
    one.note("records", -1)

    assert one.notes == {"met": 32, "records": 2}


def test_columns_may_be_of_any_kind() -> None:
    """Words, arrays of Arrow, numbers, truths and constants fill plain columns and dictionaries alike."""
    sheet = sheet_of(b"a\nb\n")
    zero = np.zeros(2, np.int64)
    arrow = pa.array(["x", "y"])
    for table, more in (
        ("flows", {"name": arrow}),
        ("exchanges", {"name": arrow, "is_flow": True, "is_request": False}),
    ):
        assert (table in TABLES) == (table == "flows")
        sheet.put(table, start=zero, end=zero, src=sheet.words(0), proto="tcp", bytes_kind="ip", packets_in=3, **more)
    flows, exchanges = (batch.to_pylist() for _, batch in sheet.batches())

    assert [(row["src"], row["name"], row["proto"], row["packets_in"]) for row in flows] == [
        ("a", "x", "tcp", 3), ("b", "y", "tcp", 3),
    ]  # fmt: skip
    assert [{name: row[name] for name in row if name in flows[0]} for row in exchanges] == [
        {name: row[name] for name in exchanges[0] if name in row} for row in flows
    ]


def test_times_are_read_by_their_layout() -> None:
    """A written-out time that is none rejects its row where it has a name; a dash is nothing."""
    sheet = sheet_of(b"21/May/2015:10:00:01\n-\n32/May/2015:10:00:01\n")
    times = sheet.stamps(0, compile_stamp("%d/%b/%Y:%H:%M:%S"), what="stamp")

    assert times.known.tolist() == [True, False, False]
    assert sheet.good.tolist() == [True, True, False]
    assert [batch["reason"].to_pylist() for _, batch in sheet.batches()] == [["stamp is not a time of its format"]]


def slowly(number: int, line: bytes, rows: Rows) -> None:
    """Read one line the slow way."""
    if line == b"c":
        rows.reject("gate.log", number, "it is c", line)
    else:
        rows.add("names", time=number, name=line.decode(), how="slow", source="gate.log", record=number)


def read_slowly(data: bytes) -> list[tuple[str, list[str]]]:
    """Return tables and what stands in their rows, of a sheet that cannot read ``c``."""
    cut = delimited(block_of(data), Dialect(b" "), 1)
    sheet = Sheet(cut, evidence_of(b""), Vocabulary(), slowly)
    sheet.reject(sheet.equals(0, b"c"), "never seen")
    sheet.put("names", time=np.zeros(cut.rows, np.int64), name=sheet.words(0), how="fast")
    found = [(table, batch.to_pylist()) for table, batch in sheet.batches()]
    return [(table, [row.get("how") or row["reason"] for row in rows]) for table, rows in found]


def test_a_slow_way_has_the_last_word() -> None:
    """Where a format has a reader of single lines, what the sheet cannot read goes through it, as row or reject."""
    assert read_slowly(b"a\nb b\nc\n") == [("names", ["fast"]), ("names", ["slow"]), ("rejects", ["it is c"])]


def test_the_slow_way_can_be_asked_for_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of a format compare both ways; a line that is too long is a reject in either."""
    monkeypatch.setattr(_cut, "SLOW_ONLY", True)

    assert read_slowly(b"a\nb b\nc\n") == [("names", ["slow", "slow"]), ("rejects", ["it is c"])]
    assert read_slowly(b"c" * (MAX_LINE + 1) + b"\n") == [("rejects", ["line longer than 1 MiB"])]


def test_a_key_that_stands_twice_is_counted() -> None:
    """The last of equal keys counts, and the notes say how often that was."""
    cut = delimited(block_of(b"a\nb\n"), Dialect(b" "), 1)
    cut.odd[0] = TWICE
    evidence = evidence_of(b"")
    sheet = Sheet(cut, evidence, Vocabulary())

    assert sheet.good.all()
    assert evidence.notes == {"records": 2, "repeated_keys": 1}


def test_sheets_of_several_threads_count_together() -> None:
    """No count is lost where blocks are read at the same time."""
    evidence = evidence_of(b"")
    block = block_of(NORMAL)
    own = Vocabularies()
    with ThreadPoolExecutor(4) as pool:
        sheets = list(pool.map(lambda _: gate_sheet(block, evidence, own.own), range(200)))

    assert evidence.notes["records"] == 600
    assert {sheet.good.all() for sheet in sheets} == {True}
