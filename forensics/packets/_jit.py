"""One decorator for the packet loops: compiled where numba is there, plain Python where it is not.

``FORENSICS_JIT=0`` (or numba's own ``NUMBA_DISABLE_JIT=1``) in the environment gives plain Python, which is how the
loops are debugged, fuzzed with bounds checks and covered by tests. Both ways give the same tables.

A loop that must be the same in both keeps to these rules:

- a byte or a cell that takes part in arithmetic goes through ``int()``: a NumPy scalar is eight or 64 bits wide;
- no sum and no product passes 63 bits: compiled, that is undefined, not a wrap-around;
- a byte becomes a signed word (`framing.u8`) before it meets a signed one: compiled, the two would mix to a float;
- every offset is compared with the end of its packet before it is used, since compiled code checks no bounds.
"""

from __future__ import annotations

import gc
import importlib
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import ModuleType

__all__ = ["COMPILED", "entry", "garbage_kept", "hot", "intrinsic", "jit"]

_Loop = TypeVar("_Loop", bound="Callable[..., object]")


def _switched_off() -> bool:
    """Tell whether the environment asks for plain Python."""
    return os.environ.get("FORENSICS_JIT") == "0" or os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


@contextmanager
def garbage_kept() -> Iterator[None]:
    """Have the garbage collector wait while much is made that stays: to look it through again is time lost."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _numba() -> ModuleType | None:
    """Return numba, or None where the loops stay plain Python."""
    if _switched_off():
        return None
    with garbage_kept(), suppress(ImportError):
        return importlib.import_module("numba")
    return None


def _own_compiler() -> ModuleType | None:
    """Return the loops' own compiler classes; none where numba's insides are not those that they build on."""
    try:
        return importlib.import_module("forensics.packets._compiler")
    except ImportError:
        return None


_compiler = _numba()
_own = _own_compiler() if _compiler else None

COMPILED: bool = _compiler is not None
"""Whether the loops are compiled in this process."""


def entry(loop: _Loop) -> _Loop:
    """Compile a loop that Python calls, and keep what was compiled on disk; or leave it as it is."""
    if _compiler is None:
        return loop
    # _nrt=False: no reference counts, which took two thirds of the time; hence no loop may make or return an array
    compiled = _compiler.njit(nogil=True, cache=_own is None, _nrt=False, **_by("EntryCompiler"))(loop)
    if _own is not None:
        compiled._cache = _own.EntryCache(loop)  # noqa: SLF001 - what cache=True does, with numba's own class
    return cast("_Loop", compiled)


def jit(loop: _Loop) -> _Loop:
    """Compile a loop that only other loops call, or leave it as it is."""
    return loop if _compiler is None else _inner(_compiler, loop)


def hot(loop: _Loop) -> _Loop:
    """Compile a loop into its callers, or leave it as it is; for what every packet goes through.

    An array is nine words to pass, so that calls took more time than the work. What few packets need is better a
    function of its own: each copy takes its time to compile.
    """
    return loop if _compiler is None else _inner(_compiler, loop, forceinline=True)


def _by(name: str) -> dict[str, object]:
    """Return which of the loops' own compilers numba is to use."""
    return {} if _own is None else {"pipeline_class": getattr(_own, name)}


def _inner(numba: ModuleType, loop: _Loop, **options: bool) -> _Loop:
    """Compile a loop for other loops alone."""
    # no wrappers for Python: they took a quarter of the time to compile
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    compiled = numba.njit(nogil=True, _nrt=False, **_by("PartCompiler"), **options)(loop)
    template = compiled.get_call_template

    def unliteral(args: Iterable[object], kws: Mapping[str, object]) -> object:
        # a constant among the arguments would have the loop compiled once more for that very number
        return template(tuple(map(numba.types.unliteral, args)), {k: numba.types.unliteral(v) for k, v in kws.items()})

    compiled.get_call_template = unliteral
    return cast("_Loop", compiled)


def intrinsic(made: Callable[[ModuleType], object], plain: _Loop) -> _Loop:
    """Return a function that loops call, made of single instructions where they are compiled, or its plain twin.

    Parameters
    ----------
    made
        Takes numba, and returns what `numba.extending.intrinsic` takes.
    plain
        The same in Python.
    """
    if _compiler is None:
        return plain
    return cast("_Loop", importlib.import_module("numba.extending").intrinsic(made(_compiler)))
