"""What a detector works out of a case for its findings, its coverage needs as well: both stand on one answer.

Only while somebody asks for both (`remembering`): what grows with the evidence is let go of afterwards.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from forensics.case import Case

__all__ = ["remembered", "remembering"]

P = ParamSpec("P")
T = TypeVar("T")

_HELD: WeakKeyDictionary[Case, dict[Hashable, Any]] = WeakKeyDictionary()


@contextmanager
def remembering(case: Case) -> Iterator[None]:
    """Keep what the functions that are `remembered` return for a case, until the end of the block.

    Parameters
    ----------
    case
        The case. No evidence may be added to it meanwhile.
    """
    before = _HELD.pop(case, None)
    _HELD[case] = {}
    try:
        yield
    finally:
        del _HELD[case]
        if before is not None:
            _HELD[case] = before


def remembered(function: Callable[Concatenate[Case, P], T]) -> Callable[Concatenate[Case, P], T]:
    """Return a function of a case that works out an answer once while the case is `remembering`.

    Its answers are shared: nobody may change them. Its options must be hashable.
    """

    @wraps(function)
    def answered(case: Case, /, *options: P.args, **named: P.kwargs) -> T:
        held = _HELD.get(case)
        if held is None:
            return function(case, *options, **named)
        question = (function, options, frozenset(named.items()))
        if question not in held:
            held[question] = function(case, *options, **named)
        answer: T = held[question]
        return answer

    return answered
