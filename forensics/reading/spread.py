"""Volumes of logs: what a connection moved, spread evenly over the minutes of its time.

A log says how much a connection moved and when it ran, not when within that time. Captures say more and bring their
own ``volumes``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.schema import EXCHANGES, STORED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["spread_over_minutes"]

MINUTE = 60_000_000
"""[us]"""

MOST_MINUTES = 60 * 24 * 31
"""Longest connection that is spread; what claims to be longer is spread over this much of its start. [min]"""

MOST_PORTIONS = 2**20
"""Minutes of connections that are held at once; more are a batch of their own."""

LARGEST_KEY = 2**62
"""Numbers of groups stay below this: beyond it they would wrap around."""

_PAIR = ("source", "src", "dst", "name", "via", "bytes_kind", "vantage")
_SUMS = ("bytes_out", "bytes_in", "packets_out", "packets_in")

Longs = np.ndarray[tuple[int], np.dtype[np.int64]]
Ints = np.ndarray[tuple[int], np.dtype[np.int32]]
Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


class _Portions(NamedTuple):
    """The parts of connections that lie in one minute each, in the order of the connections."""

    row: Longs
    nth: Longs  # of the connection's minutes, from 0
    minute: Longs  # since 1970
    share: Floats  # of the connection, that lies before the end of the minute


class _Words(NamedTuple):
    """A column of text as the places of its texts among the distinct ones, which are in order, null behind them."""

    number: Ints
    texts: pa.Array
    distinct: int  # texts, and null where there are any


def spread_over_minutes(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield the volumes of a batch of flows.

    Every sum over minutes equals the flow's own figure to the byte. A direction that was not observed stays null; a
    minute in which one flow observed it and another did not holds what was observed.

    Parameters
    ----------
    rows
        Rows of ``flows`` or ``exchanges``. Those that carry others are left out, since ``volumes`` are of
        conversations, and so are exchanges that are no flows.

    Yields
    ------
    pyarrow.RecordBatch
        Rows of ``volumes`` as they are stored, one per minute and pair, in order: one batch, but for connections of so
        many minutes that memory would not hold them.
    """
    flows = _conversations(rows)
    start = _integers(flows["start"])
    end = np.maximum(_integers(flows["end"]), start)
    # What ends on the stroke of a minute has nothing in the minute that begins then.
    parts = np.minimum(np.maximum(end - 1, start) // MINUTE - start // MINUTE + 1, MOST_MINUTES)
    bounds = np.flatnonzero(np.diff(np.cumsum(parts) // MOST_PORTIONS, prepend=-1, append=-1)).tolist()
    for begin, stop in pairwise(bounds):
        yield _volumes(flows.slice(begin, stop - begin), _portions(*(a[begin:stop] for a in (start, end, parts))))


def _volumes(flows: pa.RecordBatch, portions: _Portions) -> pa.RecordBatch:
    """Return the volumes of connections that were cut into minutes."""
    schema = STORED["volumes"].schema
    pairs = {name: _words(flows[name]) for name in _PAIR}
    order, begins = _grouped(portions, pairs.values())
    one = order[begins]  # of each minute and pair
    columns: dict[str, pa.Array] = {"minute": pa.array(portions.minute[one] * MINUTE).cast(schema.field("minute").type)}
    for name, words in pairs.items():
        columns[name] = _words_at(words, portions.row[one])
    for name in _SUMS:
        columns[name] = _summed(flows[name], portions, order, begins)
    columns["connections"] = pa.array(np.add.reduceat((portions.nth[order] == 0).astype(np.int64), begins))
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _conversations(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the flows among the rows that carry no others."""
    wanted = [*_PAIR, *_SUMS, "start", "end"]
    if EXCHANGES.schema.equals(rows.schema) and rows["is_flow"].true_count < rows.num_rows:
        rows = rows.filter(rows["is_flow"])
    if rows["tunnel"].null_count < rows.num_rows:
        rows = rows.filter(pc.fill_null(pc.equal(rows["tunnel"], "inner"), True))  # noqa: FBT003  # Arrow's signature
    return rows.select(wanted)


def _integers(column: pa.Array) -> Longs:
    """Return a column of times or counts as integers, 0 where it is null."""
    if column.null_count:
        column = pc.fill_null(column, 0)
    whole: Longs = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return whole


def _portions(start: Longs, end: Longs, parts: Longs) -> _Portions:
    """Cut connections into so many minutes. [us]"""
    first = start // MINUTE
    row = np.repeat(np.arange(len(start)), parts)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    minute = first[row] + nth
    span = np.maximum(np.minimum(end, (first + parts) * MINUTE) - start, 1)[row]
    share = np.clip(((minute + 1) * MINUTE - start[row]) / span, 0.0, 1.0)
    return _Portions(row, nth, minute, share)


def _words(column: pa.Array) -> _Words:
    """Number the distinct texts of a column in their order."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    null = _nulls(column)
    if null is None and len(column.dictionary) == 1:
        return _Words(np.zeros(len(column), dtype=np.int32), column.dictionary, 1)
    place = (column.indices if null is None else pc.fill_null(column.indices, 0)).to_numpy()
    # The words of a long log are far more than these rows use.
    used = np.zeros(len(column.dictionary), dtype=np.bool_)
    used[place if null is None else place[~null]] = True
    texts = column.dictionary.take(pa.array(np.flatnonzero(used)))
    rank = pc.rank(texts, tiebreaker="dense").to_numpy().astype(np.int32) - 1
    ordered = np.zeros(int(rank.max(initial=-1)) + 1, dtype=np.int32)
    ordered[rank] = np.arange(len(rank))
    ranks = np.zeros(max(len(used), 1), dtype=np.int32)
    ranks[used.nonzero()] = rank
    number, texts = ranks[place], texts.take(pa.array(ordered))
    if null is not None:
        number[null] = len(texts)
    return _Words(number, texts, len(texts) + (null is not None))


def _words_at(words: _Words, rows: Longs) -> pa.Array:
    """Return the words of rows as a column."""
    number = words.number[rows]
    mask = number == len(words.texts) if words.distinct > len(words.texts) else None
    return pa.DictionaryArray.from_arrays(pa.array(number, mask=mask), words.texts)


def _nulls(column: pa.Array) -> Bools | None:
    """Return where a column is null; None where it nowhere is."""
    if not column.null_count:
        return None
    null: Bools = column.is_null().to_numpy(zero_copy_only=False)
    return null


def _grouped(portions: _Portions, pairs: Iterable[_Words]) -> tuple[Longs, Longs]:
    """Return an order that has portions of one minute and pair side by side, and the places where another one begins.

    The order is that of the rows of ``volumes``.
    """
    key = portions.minute - portions.minute.min()
    size = int(key.max()) + 1
    for words in pairs:
        if words.distinct == 1:
            continue  # the same in all rows
        if size > LARGEST_KEY // words.distinct:
            key = np.unique(key, return_inverse=True)[1]
            size = int(key.max()) + 1
        key = key * words.distinct + words.number[portions.row]
        size *= words.distinct
    order = np.argsort(key)
    ordered = key[order]
    return order, np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))


def _summed(column: pa.Array, portions: _Portions, order: Longs, begins: Longs) -> pa.Array:
    """Return a figure's sum of each minute and pair, null where no connection observed it."""
    if column.null_count == len(column):
        return pa.nulls(len(begins), pa.int64())
    sums = np.add.reduceat(_shares(_integers(column), portions)[order], begins)
    null = _nulls(column)
    if null is None:
        return pa.array(sums)
    return pa.array(sums, mask=np.logical_and.reduceat(null[portions.row][order], begins))


def _shares(total: Longs, portions: _Portions) -> Longs:
    """Return each minute's portion of a figure: differences of rounded running sums, so that they add up exactly."""
    whole = total[portions.row]
    if len(whole) == len(total):
        return whole  # every connection lies in one minute
    upto, parted = whole.copy(), np.flatnonzero(portions.share < 1.0)
    part = np.floor(whole[parted] * portions.share[parted]).astype(np.int64)
    upto[parted] = np.minimum(part, whole[parted])
    later = np.flatnonzero(portions.nth)
    share = upto.copy()
    share[later] -= upto[later - 1]
    return share
