"""The rows a finding stands on, as text that a person can look up: which files, which packets or lines."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["cite", "record_ranges"]

MOST_RANGES = 12
"""Ranges that are written out; the rest is counted."""


def record_ranges(records: Iterable[int], most: int = MOST_RANGES) -> str:
    """Return record numbers as ranges: ``4,18-22``, with the number of records left out where there are many ranges.

    Examples
    --------
    >>> record_ranges([18, 4, 19, 20])
    '4,18-20'
    >>> record_ranges([1, 3, 5], most=2)
    '1,3 (+1 more)'
    """
    ordered = sorted(set(records))
    starts = [n for place, n in enumerate(ordered) if place == 0 or ordered[place - 1] != n - 1]
    ends = [n for place, n in enumerate(ordered) if place == len(ordered) - 1 or ordered[place + 1] != n + 1]
    ranges = [str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    left = sum(b - a + 1 for a, b in zip(starts[most:], ends[most:], strict=True))
    return ",".join(ranges[:most]) + (f" (+{left} more)" if left else "")


def cite(rows: Iterable[tuple[str, int]]) -> tuple[str, str]:
    """Return ``source`` and ``record`` of a finding that stands on these (source, record) rows.

    Examples
    --------
    >>> cite([("a.pcap", 1), ("a.pcap", 2), ("b.log", 7)])
    ('a.pcap; b.log', '1-2; 7')
    """
    by_source: defaultdict[str, set[int]] = defaultdict(set)
    for source, record in rows:
        by_source[source].add(record)
    sources = sorted(by_source)
    return "; ".join(sources), "; ".join(record_ranges(by_source[source]) for source in sources)
