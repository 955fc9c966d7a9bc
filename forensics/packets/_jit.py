"""One decorator for the packet loops: compiled where numba is there, plain Python where it is not.

``FORENSICS_JIT=0`` (or numba's own ``NUMBA_DISABLE_JIT=1``) in the environment gives plain Python, which is how the
loops are debugged, fuzzed with bounds checks and covered by tests. Both ways give the same tables.

A loop that must be the same in both keeps to these rules:

- a byte or a cell that takes part in arithmetic goes through ``int()``: a NumPy scalar is eight or 64 bits wide;
- no sum and no product passes 63 bits: compiled, that is undefined, not a wrap-around;
- a byte becomes a signed word (`framing.u8`) before it meets a signed one: compiled, the two would mix to a float;
- a function that only loops call is a `part`: without a way in from Python it compiles in two thirds of the time, and
  Python must never call it;
- every offset is compared with the end of its packet before it is used, since compiled code checks no bounds.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COMPILED", "jit", "part"]

_Loop = TypeVar("_Loop", bound="Callable[..., object]")


def _switched_off() -> bool:
    """Tell whether the environment asks for plain Python."""
    return os.environ.get("FORENSICS_JIT") == "0" or os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def _choose(*, inner: bool = False) -> Callable[[_Loop], _Loop] | None:
    """Return numba's compiler, or None where the loops stay plain Python."""
    if _switched_off():
        return None
    try:
        numba = importlib.import_module("numba")
    except ImportError:
        return None
    # _nrt=False: no reference counts, which took two thirds of the time; hence no loop may make or return an array
    options = {"nogil": True, "cache": True, "_nrt": False, "no_cfunc_wrapper": True, "no_cpython_wrapper": inner}
    return cast("Callable[[_Loop], _Loop]", numba.njit(**options))


_compiler = _choose()
_inner_compiler = _choose(inner=True)

COMPILED: bool = _compiler is not None
"""Whether the loops are compiled in this process."""


def jit(loop: _Loop) -> _Loop:
    """Compile a loop, or leave it as it is."""
    return loop if _compiler is None else _compiler(loop)


def part(loop: _Loop) -> _Loop:
    """Compile a part of loops, which only compiled code may call (Python would crash), or leave it as it is."""
    return loop if _inner_compiler is None else _inner_compiler(loop)
