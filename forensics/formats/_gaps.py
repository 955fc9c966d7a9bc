"""Gaps in the evidence: what a source should tell and does not, as its reader meets it."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Gap", "Kind"]

Kind = Literal["silence", "sequence", "lost", "truncated", "clock_jump"]
"""No record where some are usual; numbers that are missing; records that the source itself says it lost; an end that
comes too early; a clock that was set back."""


class Gap(NamedTuple):
    """One gap.

    Parameters
    ----------
    kind
        What kind of gap it is.
    start, end
        The time of which something is missing; None where that is not known. [us since 1970]
    reason
        What is missing, in words.
    record
        Packet or line where it shows; None where it is at none.
    """

    kind: Kind
    start: int | None
    end: int | None
    reason: str
    record: int | None = None
