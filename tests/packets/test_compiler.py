"""How the loops are compiled: parts with their callers, a word to the user, the garbage collector as it was."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from forensics.packets._jit import garbage_kept

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.packets.conftest import Build

compiler: Any = pytest.importorskip("forensics.packets._compiler", reason="numba is not installed")


@pytest.fixture
def loops(compiled: Build) -> Any:  # noqa: ANN401 - a module
    """Return the decorators of loops, compiling."""
    return compiled.modules["_jit"]


def entry(loops: Any, loop: Callable[..., int]) -> Any:  # noqa: ANN401 - what numba makes of a loop
    """Compile an entry as the decorator does, but keep nothing on disk."""
    return loops._compiler.njit(nogil=True, _nrt=False, **loops._by("EntryCompiler"))(loop)


def test_an_entry_holds_its_parts(loops: Any) -> None:  # noqa: ANN401 - a module
    """Parts that share a part, compiled into their callers or not, do their work; none is machine code of its own."""
    square = loops.jit(lambda x: x * x)
    twice = loops.hot(lambda x: square(x) + square(x))
    both = loops.jit(lambda x: twice(x) + square(x))
    total = entry(loops, lambda x: both(x) + twice(1))

    assert total(5) == 3 * 25 + 2
    for part in (square, twice, both):
        assert len(part.overloads) == 1
        library = next(iter(part.overloads.values())).library
        assert type(library).__name__ == "_PartLibrary"
        assert library.get_pointer_to_function(library.name) == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("run", "compiling the packet loops, once per machine: this takes about ten seconds"),
        ("unwrap", "compiling more of the packet loops, once per machine: this takes a few seconds"),
    ],
)
def test_compiling_is_told_once(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first loop that is compiled says how long it takes; meanwhile the garbage collector waits."""
    numba = pytest.importorskip("numba")
    seen: list[bool] = []
    compile_loop = compiler.PartCompiler.compile_extra

    def look(self: object, loop: object) -> object:
        seen.append(gc.isenabled())
        return compile_loop(self, loop)

    monkeypatch.setattr(compiler.PartCompiler, "compile_extra", look)
    monkeypatch.setattr(compiler, "_told", set())
    with caplog.at_level(logging.WARNING):
        for called, more in ((name, 1), ("sweep", 2)):

            def add(x: int, more: int = more) -> int:
                return x + more

            add.__name__ = called
            assert numba.njit(pipeline_class=compiler.EntryCompiler)(add)(1) == 1 + more

    assert [r.getMessage() for r in caplog.records if r.name == compiler.__name__] == [said]
    assert seen == [False, False]
    assert gc.isenabled()


def test_the_garbage_collector_is_left_as_it_was() -> None:
    """One that is switched off stays so, one that runs runs again, also after an error."""
    with pytest.raises(ValueError, match="wrong"), garbage_kept():
        raise ValueError("wrong")
    assert gc.isenabled()
    gc.disable()
    try:
        with garbage_kept():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


LOOP = """
import sys
from forensics.packets._jit import entry, jit

@jit
def square(x):
    return x * x

@entry
def total(x):
    return square(x) + 1

print(total(3), "numba.np.arraymath" in sys.modules)
"""


def test_a_compiled_entry_is_loaded_without_the_compiler(tmp_path: Path) -> None:
    """What is on disk is run without all that only compiling needs; what is not is compiled."""
    script = tmp_path / "loop.py"
    script.write_text(LOOP, "utf-8")
    wanted = os.environ | {
        "FORENSICS_JIT": "1",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    told = [
        subprocess.run([sys.executable, script], env=wanted, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    ]

    assert told == [["10", "True"], ["10", "False"]]


def test_an_operator_is_looked_up_once(loops: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401 - a module
    """However often an entry adds, numba goes through its definitions of a sum once; afterwards it is as it was."""
    asked: list[tuple[object, ...]] = []
    find = compiler.BaseFunction.get_call_type

    def look(self: Any, context: object, args: Any, kws: object) -> object:  # noqa: ANN401 - numba's
        asked.append((self, tuple(args)))
        return find(self, context, args, kws)

    monkeypatch.setattr(compiler.BaseFunction, "get_call_type", look)

    assert entry(loops, lambda x, y: x + y + x + y)(1, 2) == 6
    assert asked
    assert len(asked) == len(set(asked))
    assert compiler.BaseFunction.get_call_type is look


def test_another_numba_compiles_as_it_does(
    loops: Any,  # noqa: ANN401 - a module
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where numba's insides are not those that the compiler builds on, the loops are compiled all the same."""
    monkeypatch.setattr(loops, "_own", None)

    half = loops.jit(lambda x: x // 2)
    quarter = entry(loops, lambda x: half(half(x)))

    assert quarter(12) == 3
    assert type(next(iter(half.overloads.values())).library).__name__ == "JITCodeLibrary"
