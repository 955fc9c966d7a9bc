"""Parts of the rows of a query, and a function at work on some of them at the same time."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

__all__ = ["in_turn", "parts_of"]

PART_ROWS = 200_000
"""Rows of a part, about: arrays of so many stay in the cache of a processor."""

MOST_THREADS = 4
"""Parts that are worked on at the same time, at most: what Python itself does, one thread alone can do."""

Given = TypeVar("Given")
Made = TypeVar("Made")


def parts_of(batches: Iterable[pa.RecordBatch], column: str) -> Iterator[pa.Table]:
    """Yield rows in parts of about `PART_ROWS`; rows that are alike in a column are in one part.

    Parameters
    ----------
    batches
        The rows, in order of that column.
    column
        Its name; it holds whole numbers and no null.
    """
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= PART_ROWS:
            whole = pa.Table.from_batches(held)
            cuts = _cuts(whole.column(column).to_numpy())
            for begin, end in pairwise(cuts):
                yield whole.slice(begin, end - begin)
            held, rows = whole.slice(cuts[-1]).to_batches(), whole.num_rows - cuts[-1]
    if rows:
        yield pa.Table.from_batches(held)


def _cuts(values: npt.NDArray[np.int64]) -> list[int]:
    """Return where parts of sorted values begin; what comes behind the last one may go on in the next batch."""
    begins = np.flatnonzero(values[1:] != values[:-1]) + 1
    wanted = np.arange(PART_ROWS, len(values) + 1, PART_ROWS)
    before = np.searchsorted(begins, wanted, side="right") - 1
    return [0, *np.unique(begins[before[before >= 0]]).tolist()]


def in_turn(function: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
    """Yield what a function makes of each thing, in their order; threads work on some of them at the same time.

    No more things are taken than are worked on.

    Parameters
    ----------
    function
        What is done with each.
    given
        The things.
    """
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Made]] = deque()
        for one in given:
            waiting.append(pool.submit(function, one))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
