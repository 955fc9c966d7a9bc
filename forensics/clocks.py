"""Clock offsets between evidence sources, from connections that two of them saw.

Every sensor has its own clock. A TCP connection between public addresses keeps its five-tuple on its way, so the same
one in two captures shows the difference of their clocks at once. The median over all such connections is the offset.

References
----------
.. [1] B. Schatz, G. Mohay, A. Clark, "A correlation method for establishing provenance of timestamps in digital
   evidence", Digital Investigation 3S (2006) S98-S107, doi:10.1016/j.diin.2006.06.009.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

import numpy as np

from forensics.engines import query_text

if TYPE_CHECKING:
    from forensics.case import Case

__all__ = ["LEAST_TWINS", "clock_offsets"]

LEAST_TWINS = 3
"""Connections seen by both that an offset needs."""

MOST_SPREAD = 2.0
"""Greatest median deviation from the offset; above it, the connections do not agree on one. [s]"""


def clock_offsets(case: Case) -> dict[str, float]:
    """Return each source's clock minus the reference clock. [s]

    The reference is the source that shares connections with most others; its offset is 0. A source that shares fewer
    than `LEAST_TWINS` connections with any other, or whose connections do not agree, is not in the result.

    Parameters
    ----------
    case
        The case.

    Returns
    -------
    dict
        Offset by source. [s]
    """
    links: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for (one, other), differences in _differences(case).items():
        offset = float(np.median(differences))
        if len(differences) >= LEAST_TWINS and np.median(np.abs(np.array(differences) - offset)) <= MOST_SPREAD:
            links[one][other] = offset
            links[other][one] = -offset
    if not links:
        return {}
    reference = min(links, key=lambda source: (-len(links[source]), source))
    offsets = {reference: 0.0}
    waiting = deque([reference])
    while waiting:
        source = waiting.popleft()
        for other in sorted(links[source].keys() - offsets.keys()):
            offsets[other] = offsets[source] + links[source][other]
            waiting.append(other)
    return offsets


def _differences(case: Case) -> dict[tuple[str, str], list[float]]:
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for row in case.sql(query_text("twins")).to_arrow().to_pylist():
        found[row["one"], row["other"]].append(row["difference"] / 1e6)
    return found
