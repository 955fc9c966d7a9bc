"""Fuzz the loops that cut log lines with atheris (https://github.com/google/atheris), in plain Python with bounds.

Run: ``python tests/fuzz/fuzz_logs.py TARGET [INPUTS [SEEDS ...]] [options of libFuzzer]``, for example
``python tests/fuzz/fuzz_logs.py cut inputs -max_total_time=600``. TARGET is one of:

- ``cut``: the input is lines of delimited fields or of pairs; its first bytes say of which kind;
- ``pick``: the input is lines of JSON.

As in ``fuzz_captures.py`` an index outside of an array is an error, also one below 0. An input passes when the fields
are those that a plain reading of the rules finds, or Python's json: the readings of the property tests.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

os.environ["FORENSICS_JIT"] = "0"
sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

try:
    import atheris
except ImportError:  # the tests take the checks without it
    atheris = None

CUTTING = ("_cut", "_delimited", "_pairs", "_picked", "_scanning")
if atheris is not None and __name__ == "__main__":
    with atheris.instrument_imports(include=[f"forensics.formats.{name}" for name in CUTTING]):
        for module in CUTTING:
            importlib.import_module(f"forensics.formats.{module}")
import json

import numpy as np

from forensics.formats import _cut, _delimited, _pairs, _picked
from forensics.formats._blocks import block_of
from forensics.formats._cut import ABSENT, DEEP, ESCAPED, NOT_JSON, NUMBER, QUOTED, TWICE, divided
from tests import test_format_cut as cutting
from tests import test_format_picked as picking
from tests.fuzz.fuzz_captures import Guarded, timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.formats._blocks import Block
    from forensics.formats._cut import Cut

sys.set_int_max_str_digits(0)  # a number of JSON may have any length, and only the reading to compare with minds


def block(data: bytes) -> Block:
    """Return lines as a block that takes no index below 0."""
    made = block_of(data)
    return made._replace(data=made.data.view(Guarded))


def guarded(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that makes an array, guarded."""
    return lambda *given, **more: make(*given, **more).view(Guarded)


def guard() -> None:
    """Have the loops work on guarded arrays."""
    shim = SimpleNamespace(**vars(np))
    for name in ("zeros", "empty", "full"):
        setattr(shim, name, guarded(getattr(np, name)))
    for part in (_cut, _delimited, _pairs, _picked):
        part.__dict__["np"] = shim


def check_cut(data: bytes) -> None:
    """Read the input as lines: a byte of how fields are kept apart, one of how many there are, the lines."""
    if len(data) < 2:
        return
    kind, size, lines = data[0] % (len(cutting.DIALECTS) + 2), data[1], data[2:] + b"\n"
    if kind >= len(cutting.DIALECTS):
        check_pairs(lines, spaced=kind > len(cutting.DIALECTS))
        return
    dialect, width = cutting.DIALECTS[kind], 1 + size % 4
    cut = _delimited.delimited(block(lines), dialect, width)
    assert cutting.shown(cut) == cutting.plain_cut(lines, dialect, width)
    assert all(cut.reason(row) for row in range(cut.rows) if cut.odd[row])
    check_divided(cut, size >> 2 & 3, 1 + (size >> 4 & 3), from_end=bool(size & 64))


def check_divided(cut: Cut, field: int, width: int, *, from_end: bool) -> None:
    """Divide a field of all records at slashes."""
    field %= cut.fields
    parts = divided(cut, field, b"/", width, from_end=from_end)
    for row in range(cut.rows):
        expected: list[bytes | None] = [None] * width
        if not cut.flag[field, row] & ABSENT:
            text = cut.content(field, row)
            found = text.rsplit(b"/", width - 1) if from_end else text.split(b"/", width - 1)
            rest = [None] * (width - len(found))
            expected = [*rest, *found] if from_end else [*found, *rest]
        assert [None if parts.flag[k, row] & ABSENT else parts.content(k, row) for k in range(width)] == expected


def check_pairs(data: bytes, *, spaced: bool) -> None:
    """Read the input as pairs of keys and values."""
    cut = _pairs.pairs(block(data), picking.WANTED, spaced=spaced)
    numbered = [(n, line.removesuffix(b"\r")) for n, line in enumerate(data[:-1].split(b"\n"), 1)]
    numbered = [(n, line) for n, line in numbered if line and not line.isspace()]
    assert cut.number.tolist() == [n for n, _ in numbered]
    for row, (_, line) in enumerate(numbered):
        values, odd = picking.plain_pairs(line, spaced=spaced)
        found = [(cut.content(field, row), int(cut.flag[field, row])) for field in range(len(picking.WANTED))]
        assert found == [values.get(key, (b"", ABSENT)) for key in picking.WANTED]
        assert int(cut.odd[row]) == odd
        assert not odd or cut.reason(row)


def check_pick(data: bytes) -> None:
    """Read the input as lines of JSON."""
    cut = _picked.picked(block(data + b"\n"), picking.PATHS)
    numbered = [(n, line.removesuffix(b"\r")) for n, line in enumerate(data.split(b"\n"), 1)]
    numbered = [(n, line) for n, line in numbered if line.strip(b" \t\r\v\f")]
    assert cut.number.tolist() == [n for n, _ in numbered]
    for row, (_, line) in enumerate(numbered):
        check_object(cut, row, line)


def check_object(cut: Cut, row: int, line: bytes) -> None:
    """Compare a row with what Python's json makes of its line."""
    odd = int(cut.odd[row])
    try:
        value: Any = json.loads(
            line.decode("utf-8", "surrogateescape"), object_pairs_hook=picking.Pairs, parse_constant=int
        )
    except (ValueError, RecursionError):
        value = None
    if odd == DEEP:
        assert line.count(b"{") + line.count(b"[") > _cut.MAX_DEPTH
    elif isinstance(value, picking.Pairs):
        found: dict[str, object] = {}
        twice = picking.expected_of(value, "", found, set())
        assert odd == (TWICE if twice else 0), (odd, line)
        told = [value_at(cut, field, row) for field in range(len(picking.PATHS))]
        assert told == [found.get(path) for path in picking.PATHS], line
    else:
        assert odd == NOT_JSON, (odd, line)
        assert (cut.flag[:, row] == ABSENT).all()
    assert not odd or cut.reason(row)


def value_at(cut: Cut, field: int, row: int) -> object:
    """Return a field as Python's json reads it; what its flags say must be so."""
    flag, text = int(cut.flag[field, row]), cut.content(field, row).decode("utf-8", "surrogateescape")
    if flag & ABSENT:
        assert (flag, text) == (ABSENT, "")
        return None
    assert bool(flag & ESCAPED) == bool(flag & QUOTED and "\\" in text)
    value: object = json.loads(f'"{text}"' if flag & QUOTED else text, object_pairs_hook=picking.Pairs)
    assert bool(flag & NUMBER) == (isinstance(value, int | float) and not isinstance(value, bool))
    return value


TARGETS: dict[str, Callable[[bytes], None]] = {"cut": check_cut, "pick": check_pick}


def main() -> None:
    """Fuzz the target that the command line names."""
    if atheris is None or sys.argv[1:2] == [] or sys.argv[1] not in TARGETS:
        names = ",".join(TARGETS)
        sys.exit(f"usage: fuzz_logs.py {{{names}}} [inputs [seeds ...]] [-option=value]; it needs atheris")
    for folder in [Path(word) for word in sys.argv[2:3] if not word.startswith("-")]:
        folder.mkdir(parents=True, exist_ok=True)
    guard()
    atheris.Setup([sys.argv[0], *sys.argv[2:]], timed(TARGETS[sys.argv[1]]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
