"""What is measured of pairs of terminal and server; apart from what measures it, which loads the compiled loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from forensics.detectors._visits import Bools, Floats, Ints

__all__ = ["MEASURED", "Measured"]

MEASURED = pa.schema(
    [
        ("log_p", pa.float64()),
        ("period", pa.float64()),
        ("tolerance", pa.float64()),
        ("regular", pa.int64()),
        ("intervals", pa.int64()),
        ("score", pa.float64()),
        ("alike", pa.float64()),
        ("chosen", pa.bool_()),
    ]
)
"""What is measured of each pair; `Measured` says what it is."""


@dataclass(frozen=True)
class Measured:
    """What was measured of each pair, arrays of one length.

    Parameters
    ----------
    log_p
        Logarithm of its p-value.
    period
        Its best period; NaN where none was looked for. [s]
    tolerance
        How far regular intervals lie from it at most, as a share of it. [1]
    regular, intervals
        Regular intervals, and all that are no pauses.
    score
        Share of regular intervals beyond what chance gives. [1]
    alike
        Share of its contacts that sent about as many bytes. [1]
    chosen
        Whether those contacts alone were judged.
    """

    log_p: Floats
    period: Floats
    tolerance: Floats
    regular: Ints
    intervals: Ints
    score: Floats
    alike: Floats
    chosen: Bools

    @classmethod
    def of(cls, table: pa.Table) -> Measured:
        """Return what was measured of the pairs of a table whose columns are those of `MEASURED`."""
        return cls(*(table.column(name).to_numpy() for name in MEASURED.names))
