"""The rows a finding stands on, as text that a person can look up: which files, which packets or lines."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

__all__ = ["cite", "cite_each", "record_ranges"]

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
    ordered = np.unique(records if isinstance(records, np.ndarray) else np.fromiter(records, np.int64))
    breaks = np.flatnonzero(np.diff(ordered) > 1)
    starts, ends = ordered[np.append(0, breaks + 1)[: len(ordered)]], ordered[np.append(breaks, -1)[: len(ordered)]]
    ranges = [
        str(a) if a == b else f"{a}-{b}" for a, b in zip(starts[:most].tolist(), ends[:most].tolist(), strict=True)
    ]
    left = int((ends[most:] - starts[most:] + 1).sum())
    return ",".join(ranges) + (f" (+{left} more)" if left else "")


def cite(rows: Iterable[tuple[str, int]]) -> tuple[str, str]:
    """Return ``source`` and ``record`` of a finding that stands on these (source, record) rows.

    Examples
    --------
    >>> cite([("a.pcap", 1), ("a.pcap", 2), ("b.log", 7)])
    ('a.pcap; b.log', '1-2; 7')
    """
    by_source: defaultdict[str, list[int]] = defaultdict(list)
    for source, record in rows:
        by_source[source].append(record)
    sources = sorted(by_source)
    return "; ".join(sources), "; ".join(record_ranges(by_source[source]) for source in sources)


def cite_each(rows: pa.Table, count: int) -> list[tuple[str, str]]:
    """Return ``source`` and ``record`` of each of several findings; none is a Python object but the result.

    Parameters
    ----------
    rows
        What they stand on: ``finding`` counts them from 0, ``source`` and ``record``.
    count
        How many findings there are.
    """
    order = np.argsort(rows["finding"].to_numpy(), kind="stable")
    edges = np.searchsorted(rows["finding"].to_numpy()[order], np.arange(count + 1))
    coded = rows["source"].combine_chunks().dictionary_encode()
    named = np.array(coded.dictionary.to_pylist(), dtype=object)
    by_name = np.argsort(named, kind="stable")
    files, code = named[by_name], np.argsort(by_name)[coded.indices.to_numpy()[order]]
    record = rows["record"].to_numpy()[order]
    told = []
    for mine in map(slice, edges[:-1], edges[1:]):
        of, records = code[mine], record[mine]
        known = np.unique(of)
        ranges = (record_ranges(records[of == file]) for file in known)
        told.append(("; ".join(files[known].tolist()), "; ".join(ranges)))
    return told
