"""When the terminal of a finding met its server: the strokes of a raster.

Example: ``times_of(case, beacons.iloc[0])`` is a list of times.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from forensics.engines import query_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import pandas as pd

    from forensics.case import Case

__all__ = ["times_of"]

_TIME = pa.timestamp("us", "UTC")
_ASKED = pa.schema([("src", pa.string()), ("server", pa.string()), ("start", _TIME), ("end", _TIME)])


def times_of(case: Case, finding: Mapping[Any, Any] | pd.Series[Any]) -> list[datetime]:
    """When the contacts of a finding began.

    Parameters
    ----------
    case
        The case that it was found in.
    finding
        A row of a detector's findings.

    Returns
    -------
    list of datetime
        Times in order, at the one vantage that saw most of the contacts: two would show each of them twice.
    """
    asked = {"src": finding["src"], "server": finding["dst"], "start": finding["start"], "end": finding["end"]}
    rows = case.sql(query_text("beats"), asked=pa.Table.from_pylist([asked], _ASKED)).to_arrow()
    vantages = rows.column("vantage").to_pylist()
    if not vantages:
        return []
    counts = Counter(vantages)
    best = min(counts, key=lambda vantage: (-counts[vantage], str(vantage)))
    starts = rows.column("start").to_pylist()
    return [start for vantage, start in zip(vantages, starts, strict=True) if vantage == best]
