"""Decimal numbers in rarer notations, exact: what the compiled loop leaves to Python.

Example: ``exact("1.5e3", 1000, 10**10)`` is ``1500000``.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache

__all__ = ["exact"]

_LONGEST = 40  # characters of a number that any program writes
_FAR = 60  # powers of ten beyond which a number is nothing in any unit, or too large for any


@lru_cache(maxsize=65536)
def exact(text: str, unit: int, limit: int) -> int | None:
    """Return a decimal number in parts of one, rounded half to even; None where it is none, or passes the limit.

    Parameters
    ----------
    text
        The number; it may have a sign and an exponent.
    unit
        How many parts one has.
    limit
        Largest that is lawful, above or below 0.
    """
    if len(text) > _LONGEST:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite():
        return None
    if not number or number.adjusted() < -_FAR:  # nothing in any unit, and its power of ten could fill the memory
        return 0
    if number.adjusted() > _FAR:
        return None
    value = Fraction(number)
    return round(value * unit) if abs(value) <= limit else None
