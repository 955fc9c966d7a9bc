"""The rows a finding stands on, as text that a person can look up: which files, which packets or lines."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    import pyarrow as pa

    Ints = npt.NDArray[np.int64]

__all__ = ["cite", "cite_each", "record_ranges"]

MOST_RANGES = 12
"""Ranges that are written out; the rest is counted."""

MOST = 1 << 62
"""Numbers below this are added and multiplied without being cut."""


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
    starts, ends = _runs(ordered)
    return _text(starts[:most].tolist(), ends[:most].tolist(), int((ends[most:] - starts[most:] + 1).sum()))


def _runs(ordered: Ints) -> tuple[Ints, Ints]:
    """Return the first and the last of each run of whole numbers that follow each other."""
    breaks = np.flatnonzero(np.diff(ordered) > 1)
    return ordered[np.append(0, breaks + 1)[: len(ordered)]], ordered[np.append(breaks, -1)[: len(ordered)]]


def _text(starts: list[int], ends: list[int], left: int) -> str:
    ranges = [str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
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
    coded = rows["source"].combine_chunks().dictionary_encode()
    named = np.array(coded.dictionary.to_pylist(), dtype=object)
    by_name = np.argsort(named, kind="stable")
    files, code = named[by_name].tolist(), np.argsort(by_name)[coded.indices.to_numpy()]
    finding, record = rows["finding"].to_numpy(), rows["record"].to_numpy()
    # Finding, file and record are one number, which is sorted faster than three; as many findings as it holds.
    width = int(record.max(initial=0)) + 2  # the last record of a file and the first of the next are no run
    some = max(MOST // (width * max(len(files), 1)), 1)
    told: list[tuple[str, str]] = []
    for first in range(0, count, some):
        mine = slice(None) if some >= count else (finding >= first) & (finding < first + some)
        numbers = ((finding[mine] - first) * len(files) + code[mine]) * width + record[mine]
        told += _told(np.sort(numbers), width, files, min(some, count - first))
    return told


def _told(ordered: Ints, width: int, files: list[str], count: int) -> list[tuple[str, str]]:
    """Return files and records of findings, from numbers in order of which each is finding, file and record."""
    starts, ends = _runs(ordered[np.append(True, np.diff(ordered) > 0)[: len(ordered)]])
    # Only files that a finding stands on are gone through: of many findings and files, few go together.
    places, begins = np.unique(starts // width, return_index=True)
    held = np.append(0, np.cumsum(ends - starts + 1))
    after = np.append(begins[1:], len(starts))[: len(begins)]
    shown = np.minimum(begins + MOST_RANGES, after)
    told: list[tuple[list[str], list[str]]] = [([], []) for _ in range(count)]
    for place, begin, end, left in zip(
        places.tolist(), begins.tolist(), shown.tolist(), (held[after] - held[shown]).tolist(), strict=True
    ):
        least, greatest = ((each[begin:end] - place * width).tolist() for each in (starts, ends))
        known, ranges = told[place // len(files)]
        known.append(files[place % len(files)])
        ranges.append(_text(least, greatest, left))
    return [("; ".join(known), "; ".join(ranges)) for known, ranges in told]
