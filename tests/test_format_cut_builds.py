"""Cutting compiled and as plain Python: both say the same, and neither looks behind its block."""

from __future__ import annotations

import importlib
import random
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from types import ModuleType

MODULES = ("_blocks", "_cut", "_delimited", "_pairs", "_picked")
RECORDS = [
    b'192.0.2.1 - - [21/May/2015:10:00:00 +0900] "GET /a HTTP/1.1" 200 5 "-" "a \\"b\\" c"',
    b'a,"b ""c"" d",\'e\',"f',
    b"1432000000.123     56 192.0.2.1 TCP_MISS/200 512 GET http://www.example.com/ - HIER_DIRECT/203.0.113.1 -",
    b'{"a":{"b":[1,{"c":"\\u0061\\n"}],"c":-1.5e3},"a.c":null,"\\u0064":true}',
    b'date=2015-05-21 a=1 b="x \\" y" c= d=e\\=f bare',
    b"\xef\xbb\xbf\0\xff\r\t \v",
]


def build(*, plain: bool) -> dict[str, ModuleType]:
    """Return the modules that cut, freshly imported, as plain Python or as users have them."""
    prefixes = ("forensics.packets", "forensics.formats")
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(prefixes)}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FORENSICS_JIT", raising=False)
        if plain:
            patch.setenv("FORENSICS_JIT", "0")
        made = {name: importlib.import_module(f"forensics.formats.{name}") for name in MODULES}
        made["_jit"] = importlib.import_module("forensics.packets._jit")
    for name in [name for name in sys.modules if name.startswith(prefixes)]:
        del sys.modules[name]
    sys.modules.update(kept)
    for name, module in kept.items():  # a package has its modules as attributes, too
        folder, _, last = name.rpartition(".")
        setattr(sys.modules[folder], last, module)
    return made


@pytest.fixture(scope="module")
def plain() -> dict[str, ModuleType]:
    """Return the modules as plain Python."""
    return build(plain=True)


@pytest.fixture(scope="module")
def compiled() -> dict[str, ModuleType]:
    """Return the modules as users have them."""
    made = build(plain=False)
    if not made["_jit"].COMPILED:
        pytest.skip("numba is not installed, or switched off")
    return made


def damaged(seed: int) -> bytes:
    """Return lines of which bytes were changed, left out and doubled at random."""
    rng = random.Random(seed)
    data = bytearray(b"\n".join(rng.choices(RECORDS, k=30)) + b"\n")
    for _ in range(rng.randrange(40)):
        at = rng.randrange(len(data))
        data[at : at + rng.randrange(3)] = bytes(rng.choices(b' ,\t"\\[]{}=:\r\n\0a', k=rng.randrange(3)))
    return bytes(data) + b"\n"


class Exact(np.ndarray[Any, Any]):
    """An array that takes no index below 0; one behind it NumPy refuses by itself."""

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - whatever NumPy takes
        if isinstance(index, int | np.integer) and index < 0:
            raise IndexError(f"index {index} is below 0")
        return super().__getitem__(index)


def cuts(made: dict[str, ModuleType], data: bytes, *, exact: bool = False) -> list[list[Any]]:
    """Return what every way of cutting says of lines; `exact` leaves nothing behind them to be read."""
    block = made["_blocks"].block_of(data, 5)
    if exact:
        block = block._replace(data=block.data[: block.end].view(Exact))
    dialect = made["_delimited"].Dialect
    dialects = [
        dialect(b" ", runs=True, quote=b'"', escape=b"\\", brackets=b"[]"),
        dialect(b",", quote=b'"', doubled=True, multiline=True),
        dialect(b"\t"),
    ]
    found = [made["_delimited"].delimited(block, one, 5) for one in dialects]
    found += [made["_cut"].divided(found[0], 0, b".", 3, from_end=from_end) for from_end in (False, True)]
    found.append(made["_picked"].picked(block, ["a.b", "a.c", "d", "a"]))
    found += [made["_pairs"].pairs(block, [b"a", b"b", b"d"], spaced=spaced) for spaced in (False, True)]
    ends = [whole.end for whole in made["_delimited"].whole_records([block._replace(last=False)], dialects[1])]
    return [[part.tolist() for part in (c.number, c.line, c.begin, c.end, c.flag, c.odd, c.count)] for c in found] + [
        ends
    ]


def test_compiled_and_plain_say_the_same(plain: dict[str, ModuleType], compiled: dict[str, ModuleType]) -> None:
    """Every array of every cut is the same, whatever the lines."""
    for seed in range(150):
        data = damaged(seed)
        assert cuts(plain, data) == cuts(compiled, data), f"seed {seed}"


def test_nothing_behind_a_block_is_read(plain: dict[str, ModuleType]) -> None:
    """No loop reads a byte behind the last line end, or in front of the first byte."""
    for seed in range(60):
        data = damaged(seed)
        for cut in range(1, 12):  # an end in the middle of anything
            piece = data[: len(data) // cut] + b"\n"
            assert cuts(plain, piece, exact=True) == cuts(plain, piece)
