"""The contract that every log and capture format keeps; formats and samples are found by their folders.

A sample is any file under ``sample_pcaps/formats/<name>/``. Beside it lie ``<file>.expected.jsonl``, its rows, written
by ``pytest --update-golden`` and read by eye; ``<file>.hints.json`` where it needs ``timezone`` or ``logformat``; and
the companion files its format names. ``*.other`` is a neighbour that looks alike and must be declined.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from collections import Counter
from datetime import datetime
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.errors import EvidenceError
from forensics.formats import HEAD_BYTES, Evidence, Format, Hints, all_formats
from forensics.packets.index import INDEX
from forensics.reading.checking import check_batch
from forensics.reading.options import ReadOptions
from forensics.schema import NEVER, TABLES, parts_of

if TYPE_CHECKING:
    import pyarrow as pa

Batches = list[tuple[str, "pa.RecordBatch"]]

SAMPLES = Path(__file__).resolve().parents[1] / "sample_pcaps" / "formats"
FORMATS = all_formats()
FILLED = {"volumes", "flows", "names", "requests", "fingerprints", "rejects"}
SIDE = re.compile(r"\.(expected\.jsonl|hints\.json|other|py|md|toml)$")
POSITIONS = 120  # at most so many truncations of a sample, and every one of its last 40 bytes
DOCUMENTATION = re.compile(r"^(192\.0\.2|198\.51\.100|203\.0\.113)\.\d+$|^2001:db8:|^(fe80|ff0[0-9a-f]):|^::$")


def samples_of(name: str) -> list[Path]:
    """Return the samples of a format."""
    companions = FORMATS[name].COMPANIONS
    return [
        path
        for path in sorted((SAMPLES / name).rglob("*"))
        if path.is_file() and not SIDE.search(path.name) and path.name not in companions
    ]


def readable(name: str) -> tuple[pytest.MarkDecorator, ...]:
    """Return the marks of a format's tests: one that is read through a program is skipped where that is missing."""
    program = getattr(FORMATS[name], "PROGRAM", None)
    missing = program is not None and shutil.which(program) is None
    return (pytest.mark.skip(reason=f"{program} is not installed"),) if missing else ()


SAMPLED = [(name, path) for name in FORMATS for path in samples_of(name)]
NEIGHBOURS = [(name, path) for name in FORMATS for path in sorted((SAMPLES / name).rglob("*.other"))]


def label(value: object) -> str:
    """Return a parameter's name in test ids."""
    return value.relative_to(SAMPLES).as_posix() if isinstance(value, Path) else str(value)


each_sample = pytest.mark.parametrize(
    ("name", "path"), [pytest.param(name, path, marks=readable(name)) for name, path in SAMPLED], ids=label
)
each_format = pytest.mark.parametrize("name", list(FORMATS))


@cache
def hints_of(path: Path, name: str) -> Hints:
    """Return what the files beside a sample say about it, as a format would be told."""
    beside = path.with_name(f"{path.name}.hints.json")
    said = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}
    if "table" in said:  # a description lies beside the sample
        said["table"] = path.with_name(said["table"])
    companions = {
        companion: path.with_name(companion).read_bytes()
        for companion in FORMATS[name].COMPANIONS
        if path.with_name(companion).exists()
    }
    return ReadOptions.of(**said).hints(companions)


def batches(fmt: Format, data: bytes, hints: Hints, source: str = "sample") -> tuple[Batches, dict[str, object]]:
    """Return what a format makes of some bytes up to its end or its error, and the notes it left.

    The index of a capture is held to its schema here and left out: tests/test_cuts.py has what it is good for.
    """
    evidence = Evidence(io.BytesIO(data), source, "sensor", hints)
    found: Batches = []
    indexed: Counter[str] = Counter()
    try:
        for table, batch in fmt.parse(evidence):
            if table in INDEX:
                assert batch.schema.equals(INDEX[table])
                batch.validate(full=True)
                indexed[table] += batch.num_rows
            else:
                found.extend(parted(table, batch))
    except EvidenceError as error:
        evidence.notes["error"] = str(error)
    assert indexed["packets"] == (evidence.notes["records"] if indexed else 0)
    return found, evidence.notes


def parted(table: str, batch: pa.RecordBatch) -> Batches:
    """Return a batch as the tables that queries see; exchanges are rows of several."""
    if table != "exchanges":
        return [(table, batch)]
    batch.validate(full=True)
    check_batch(table, batch)
    return list(parts_of(batch))


def plain(value: object) -> object:
    """Return a value as JSON can hold it."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value.decode("latin-1") if isinstance(value, bytes) else value


def rows(found: Batches, *without: str) -> list[dict[str, object]]:
    """Return all rows in one order, nulls left out."""
    made = [
        {"table": table} | {key: plain(v) for key, v in row.items() if v is not None and key not in without}
        for table, batch in found
        for row in batch.to_pylist()
    ]
    return sorted(made, key=in_order)


def in_order(row: dict[str, object]) -> str:
    """Return what sorts rows: by table, then by the table's own order."""
    table = str(row["table"])
    return json.dumps([table, *(row.get(column) for column in TABLES[table].order), row])


def check(found: Batches) -> None:
    """Assert that batches are lawful rows of the tables a format may fill."""
    for table, batch in found:
        assert table in FILLED
        assert batch.schema.equals(TABLES[table].schema)
        batch.validate(full=True)
        for column in TABLES[table].columns:
            assert column.null != NEVER or batch[column.name].null_count == 0, f"{table}.{column.name} is null"
        for row in batch.to_pylist():
            assert table != "flows" or row["start"] <= row["end"]
            assert (row.get("bytes_out") or 0) >= 0
            assert (row.get("bytes_in") or 0) >= 0


@each_format
def test_module_describes_its_format(name: str) -> None:
    """A format is called as its module, and its docstring shows an example and cites a specification."""
    fmt = FORMATS[name]
    text = fmt.__doc__ or ""

    assert name == fmt.NAME
    assert fmt.TITLE
    assert isinstance(fmt.COMPANIONS, tuple)
    assert isinstance(fmt.EXACT_VOLUMES, bool)
    assert "\nExample" in text
    assert re.search(r"\nReferences\n-+\n\.\. \[1\] \S", text)


@each_format
def test_samples_exist(name: str) -> None:
    """A format has at least three samples, and a neighbour that looks alike and is none."""
    assert len(samples_of(name)) >= 3
    assert any(path == name for path, _ in NEIGHBOURS)


@pytest.mark.parametrize("name", [name for name in FORMATS if not FORMATS[name].EXACT_VOLUMES])
def test_a_log_has_samples_of_each_kind(name: str) -> None:
    """A log has a sample with unknown fields, one with traps, and one that is read whole; some record is a reject."""
    rejects = {}
    for path in samples_of(name):
        found, _ = batches(FORMATS[name], path.read_bytes(), hints_of(path, name), path.name)
        rejects[path.name] = any(table == "rejects" for table, _ in found)
    kinds = {sample.partition(".")[0] for sample in rejects}

    assert {"unknown", "traps"} <= kinds
    assert any(rejects.values())
    assert any(not rejected for sample, rejected in rejects.items() if not sample.startswith(("unknown", "traps")))


@each_sample
def test_rows_are_as_expected(name: str, path: Path, request: pytest.FixtureRequest) -> None:
    """A sample gives the rows and notes that lie beside it, reviewed by eye."""
    found, notes = batches(FORMATS[name], path.read_bytes(), hints_of(path, name), path.name)
    notes.pop(getattr(FORMATS[name], "PROGRAM", ""), None)  # its version
    lines = [json.dumps(row, ensure_ascii=True) for row in [*rows(found), {"notes": notes}]]
    golden = path.with_name(f"{path.name}.expected.jsonl")
    if request.config.getoption("--update-golden"):
        golden.write_text("\n".join(lines) + "\n", encoding="utf-8")

    check(found)
    # notes are filled by several threads: their order says nothing
    assert list(map(json.loads, lines)) == list(map(json.loads, golden.read_text(encoding="utf-8").splitlines()))


@each_sample
def test_exactly_one_format_claims_a_sample(name: str, path: Path) -> None:
    """A sample is claimed by its own format and by no other, so that no order of formats matters."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)

    declined = {other: fmt.declines(head, hints_of(path, other)) for other, fmt in FORMATS.items()}

    assert [other for other, why in declined.items() if why is None] == [name]
    assert all(declined[other] for other in declined if other != name)


@pytest.mark.parametrize(("name", "path"), NEIGHBOURS, ids=label)
def test_neighbours_are_declined(name: str, path: Path) -> None:
    """A file that merely looks alike is declined with a reason."""
    assert FORMATS[name].declines(path.read_bytes()[:HEAD_BYTES], Hints())


@each_sample
def test_truncations_give_rows_or_rejects(name: str, path: Path) -> None:
    """A sample cut at any byte gives lawful rows and rejects, and raises nothing but EvidenceError."""
    data = path.read_bytes()
    step = max(1, len(data) // POSITIONS)

    for end in {*range(0, len(data), step), *range(max(0, len(data) - 40), len(data))}:
        found, _ = batches(FORMATS[name], data[:end], hints_of(path, name))
        check(found)
        FORMATS[name].declines(data[:end][:HEAD_BYTES], hints_of(path, name))


@each_sample
def test_damaged_bytes_give_rows_or_rejects(name: str, path: Path) -> None:
    """A sample with one byte overwritten gives lawful rows and rejects, and raises nothing but EvidenceError."""
    data = path.read_bytes()
    places = range(0, len(data), max(1, len(data) // 90))
    for place, value in zip(places, cycle((b"\x00", b"\xff", b"9")), strict=False):
        found, _ = batches(FORMATS[name], data[:place] + value + data[place + 1 :], hints_of(path, name))
        check(found)


@each_format
@given(head=st.binary(max_size=300))
def test_declines_never_raises(name: str, head: bytes) -> None:
    """Whatever the bytes, a format answers with a reason or None."""
    why = FORMATS[name].declines(head, Hints())

    assert why is None or why


@each_sample
@settings(max_examples=25)
@given(data=st.data())
def test_declines_never_raises_on_near_misses(name: str, path: Path, data: st.DataObject) -> None:
    """Bytes put into a sample's head at any place lead to a reason or None."""
    head = path.read_bytes()[:HEAD_BYTES]
    place = data.draw(st.integers(0, len(head)))

    why = FORMATS[name].declines(head[:place] + data.draw(st.binary(max_size=8)) + head[place:], hints_of(path, name))

    assert why is None or why


@pytest.mark.parametrize(("name", "path"), [s for s in SAMPLED if s[1].name.startswith("unknown")], ids=label)
def test_unknown_is_null_and_not_zero(name: str, path: Path) -> None:
    """In the sample of unknown fields, no count that was not logged became 0."""
    found, _ = batches(FORMATS[name], path.read_bytes(), hints_of(path, name))
    made = [row for table, batch in found if table == "flows" for row in batch.to_pylist()]

    assert made
    assert any(row["bytes_out"] is None and row["bytes_in"] is None for row in made)
    assert not [row for row in made for key, value in row.items() if value == 0 and not isinstance(value, bool)]


@pytest.mark.parametrize(
    ("name", "path"), [s for s in SAMPLED if getattr(FORMATS[s[0]], "LINES_STAND_ALONE", False)], ids=label
)
def test_order_of_lines_does_not_matter(name: str, path: Path) -> None:
    """Where a format says that its lines stand alone, their order changes nothing but their numbers."""
    lines = path.read_bytes().splitlines(keepends=True)
    if not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n"
    hints = hints_of(path, name)

    forward, _ = batches(FORMATS[name], b"".join(lines), hints)
    backward, _ = batches(FORMATS[name], b"".join(reversed(lines)), hints)

    assert Counter(map(str, rows(forward, "record"))) == Counter(map(str, rows(backward, "record")))


@each_sample
def test_samples_hold_no_strangers(name: str, path: Path) -> None:
    """Addresses in samples are of the ranges for documentation, RFC 5737 and RFC 3849."""
    found, _ = batches(FORMATS[name], path.read_bytes(), hints_of(path, name))
    addresses = {
        address
        for table, batch in found
        for column in ("src", "dst", "address", "client")
        if table != "rejects" and column in batch.schema.names
        for address in batch[column].to_pylist()
        if address is not None and re.fullmatch(r"[0-9.]+|[0-9a-f:.]*:[0-9a-f:.]*", address)
    }

    assert [address for address in addresses if not DOCUMENTATION.search(address)] == []


class _Breaking(io.BytesIO):
    """A stream whose compressed data is damaged after the bytes it was given."""

    def read(self, size: int | None = -1) -> bytes:
        """Return bytes, and raise where there are none left."""
        found = super().read(size)
        if not found:
            raise EvidenceError("sample", "compressed data is damaged")
        return found

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        """Fill the buffer, and raise where no bytes are left."""
        count = super().readinto(buffer)
        if not count:
            raise EvidenceError("sample", "compressed data is damaged")
        return count


@each_sample
def test_what_was_read_before_damage_stands(name: str, path: Path) -> None:
    """Where the stream breaks, the rows before the break come first, then its error."""
    data = path.read_bytes()
    hints = hints_of(path, name)
    whole, _ = batches(FORMATS[name], data, hints)
    found: Batches = []

    with pytest.raises(EvidenceError, match="compressed data is damaged"):
        found.extend(FORMATS[name].parse(Evidence(_Breaking(data), "sample", "sensor", hints)))
    found = [part for table, batch in found for part in parted(table, batch)]

    # A capture that ends inside a packet is a reject only where the file itself ends there.
    told = FILLED - {"rejects"}
    assert rows([batch for batch in found if batch[0] in told]) == rows([b for b in whole if b[0] in told])
