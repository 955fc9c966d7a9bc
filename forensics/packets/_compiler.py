"""How numba compiles the packet loops: each entry with all its parts at once, in about half of the time.

Numba by itself optimises every function together with all that it calls, and makes machine code of it: what lies ten
calls deep is optimised ten times over, although only the code of the entries is ever run. Here a part stops behind its
lowering, and an entry is optimised once, with all its parts. Passes over what the loops do not use are left out, what
``+`` or ``[]`` makes of its operands' types is found out once, not at every place, and the garbage collector waits: it
found nothing, and took a fifth of the time.

What is overridden of numba is not documented. A numba without it compiles parts as it compiles any function
(`forensics.packets._jit`), which takes longer and changes nothing else.

References
----------
.. [1] Numba, *Customizing the compiler*: compiler classes and their passes.
"""

# mypy: disable-error-code="no-untyped-call"
# numba has no annotations

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from numba import _dynfunc  # type: ignore[attr-defined]  # written in C
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import NativeLowering
from numba.core.types.functions import BaseFunction

from forensics.packets._jit import garbage_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numba.core.base import BaseContext
    from numba.core.compiler import CompileResult, StateDict
    from numba.core.types import Type
    from numba.core.typing.context import Context
    from numba.core.typing.templates import Signature

__all__ = ["EntryCache", "EntryCompiler", "PartCompiler"]

_log = logging.getLogger(__name__)

_LONG = "compiling the packet loops, once per machine: this takes about ten seconds"
_SHORT = "compiling more of the packet loops, once per machine: this takes a few seconds"

_told: set[str] = set()
"""Loops that were compiled in this process."""

_UNUSED = {
    "AnnotateTypes",
    "DeadBranchPrune",
    "FindLiterallyCalls",
    "GenericRewrites",
    "InlineClosureLikes",
    "InlineInlinables",
    "InlineOverloads",
    "LiteralPropagationSubPipelinePass",
    "LiteralUnroll",
    "MakeFunctionToJitFunction",
    "NopythonRewrites",
    "PreserveIR",
    "RewriteDynamicRaises",
    "RewriteSemanticConstants",
    "WithLifting",
}
"""Passes for closures, ``with``, array expressions, exceptions, types that depend on a value, and for reports."""


class _PartLibrary(JITCodeLibrary):
    """The intermediate code of a part."""

    def finalize(self) -> None:
        """Leave optimisation and machine code to the entry."""
        self._finalized = True


class _EntryLibrary(JITCodeLibrary):
    """The code of an entry."""

    def add_linking_library(self, library: JITCodeLibrary) -> None:
        """Link with a library, and with those that a part needs: callers first, since a link takes what is called."""
        if library in self._linking_libraries:
            return
        super().add_linking_library(library)
        if isinstance(library, _PartLibrary):
            for inner in library._linking_libraries:  # noqa: SLF001 - a library's own
                self.add_linking_library(inner)


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(NativeLowering):
    """Lowering that leaves a part to its callers."""

    _name = "part_lowering"

    def run_pass(self, state: StateDict) -> bool:
        """Lower a part, and make it known by a handle that cannot be called."""
        target, name = state.targetctx, state.func_id.func_name
        library = state.library = _PartLibrary(target.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        made = state["cr"]
        handle = _dynfunc.make_function(made.fndesc.lookup_module(), name, "", 0, made.env, (library,))
        target.insert_user_function(handle, made.fndesc, [library])
        state["cr"] = made._replace(cfunc=handle)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _EntryLowering(NativeLowering):
    """Lowering into a library that links with parts."""

    _name = "entry_lowering"

    def run_pass(self, state: StateDict) -> bool:
        """Lower an entry."""
        state.library = _EntryLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        super().run_pass(state)
        return True


class EntryCache(FunctionCache):
    """The entries' machine code on disk, loaded without all that only compiling needs.

    Numba by itself first learns what it can compile, SciPy's linear algebra included, which takes longer than all the
    rest of a small capture. A compiler does the same before it begins.
    """

    def load_overload(self, sig: Signature, target_context: BaseContext) -> CompileResult | None:
        """Return the code of an entry, or None where it is not on disk."""
        with self._guard_against_spurious_io_errors():
            loaded: CompileResult | None = self._load_overload(sig, target_context)
            return loaded
        return None


class PartCompiler(CompilerBase):
    """Numba's compiler for loops that only other loops call."""

    lowering: ClassVar[type[NativeLowering]] = _PartLowering

    def define_pipelines(self) -> list[PassManager]:
        """Return the passes in their order."""
        usual = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager = PassManager(usual.pipeline_name)
        manager._ENFORCING = False  # noqa: SLF001 - numba's check of its own passes, after each of them
        for step, what in usual.passes:
            if step.__name__ not in _UNUSED:
                manager.add_pass(self.lowering if step is NativeLowering else step, what)
        manager.finalize()
        return [manager]


class EntryCompiler(PartCompiler):
    """Numba's compiler for loops that Python calls."""

    lowering = _EntryLowering

    def compile_extra(self, func: Callable[..., object]) -> object:
        """Compile a loop that was not found on disk."""
        _tell(func.__name__)
        with garbage_kept(), _types_kept():
            return super().compile_extra(func)


def _tell(entry: str) -> None:
    """Say, once in a process, why it takes so long."""
    if not _told:
        _log.warning(_LONG if entry == "run" else _SHORT)
    _told.add(entry)


@contextmanager
def _types_kept() -> Iterator[None]:
    """Have numba remember the types that its own functions and operators return.

    It goes through all its definitions of ``[]`` or ``int`` at every place where one stands, and several times.
    """
    known: dict[tuple[object, ...], tuple[BaseFunction, Signature | None]] = {}
    find = BaseFunction.get_call_type

    def look_up(
        self: BaseFunction, context: Context, args: tuple[Type, ...], kws: Mapping[str, Type]
    ) -> Signature | None:
        key = (id(self), context, tuple(args), tuple(kws.items()) if kws else ())  # its own hash takes long
        if key not in known:
            known[key] = self, find(self, context, args, kws)  # kept, so that no other has its id
        return known[key][1]

    BaseFunction.get_call_type = look_up  # type: ignore[method-assign]
    try:
        yield
    finally:
        BaseFunction.get_call_type = find  # type: ignore[method-assign]
