"""Volumes of logs: what a connection moved, spread evenly over the minutes of its time.

A log says how much a connection moved and when it ran, not when within that time. Captures say more and bring their
own ``volumes``.
"""

from __future__ import annotations

import secrets
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from forensics.reading._spreading import MINUTE, spread_rows
from forensics.schema import EXCHANGES, STORED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["spread_over_minutes"]

MOST_MINUTES = 60 * 24 * 31
"""Longest connection that is spread; what claims to be longer is spread over this much of its start. [min]"""

MOST_PORTIONS = 2**20
"""Minutes of connections that are held at once; more are a batch of their own."""

LARGEST_KEY = 2**62
"""Numbers of groups stay below this: beyond it they would wrap around."""

_DIGIT = 0xFFFF

_PAIR = ("source", "src", "dst", "name", "via", "bytes_kind", "vantage")
_SUMS = ("bytes_out", "bytes_in", "packets_out", "packets_in")

Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


class _Sums(NamedTuple):
    """What the flows of one minute and pair add up to."""

    key: Longs  # the minute, from the first, times the pairs, and the pair
    row: Longs  # of one of the flows
    connections: Longs
    figures: Longs  # a row for each kind
    seen: Bytes  # where any flow has the figure


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
        yield _volumes(flows.slice(begin, stop - begin), *(a[begin:stop] for a in (start, end, parts)))


def _volumes(flows: pa.RecordBatch, start: Longs, end: Longs, parts: Longs) -> pa.RecordBatch:
    """Return the volumes of flows that lie in so many minutes each. [us]"""
    schema = STORED["volumes"].schema
    words = {name: _words(flows[name]) for name in _PAIR}
    first = int(start.min()) // MINUTE
    pair, pairs = _pairs(words.values(), len(start), int((start // MINUTE + parts).max()) - first)
    kinds = [name for name in _SUMS if flows[name].null_count < len(start)]
    totals = np.array([_integers(flows[name]) for name in kinds], np.int64)
    known = np.array([flows[name].is_valid().to_numpy(zero_copy_only=False) for name in kinds], np.uint8)
    shape = len(kinds), len(start)
    sums = _added(start, end, parts, pair, totals.reshape(shape), known.reshape(shape), pairs, first)
    order = _order(sums.key)
    minute, row = sums.key[order] // pairs + first, sums.row[order]
    columns: dict[str, pa.Array] = {"minute": pa.array(minute * MINUTE).cast(schema.field("minute").type)}
    columns["connections"] = pa.array(sums.connections[order])
    columns |= {name: _words_at(column, row) for name, column in words.items()}
    columns |= {name: pa.nulls(len(order), pa.int64()) for name in _SUMS}
    for name, values, seen in zip(kinds, sums.figures, sums.seen, strict=True):
        columns[name] = pa.array(values[order], mask=None if seen.all() else seen[order] == 0)
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


def _pairs(columns: Iterable[_Words], rows: int, minutes: int) -> tuple[Longs, int]:
    """Return which pair each row is of, in the order of the words, and how many there may be.

    Their number times that of the minutes stays below `LARGEST_KEY`.
    """
    pair, pairs = np.zeros(rows, np.int64), 1
    for words in columns:
        if words.distinct == 1:
            continue  # the same in all rows
        if pairs > LARGEST_KEY // minutes // words.distinct:
            pair = np.unique(pair, return_inverse=True)[1]
            pairs = int(pair.max()) + 1
        pair = pair * words.distinct + words.number
        pairs *= words.distinct
    return pair, pairs


def _added(  # noqa: PLR0917 - as the loop takes them
    start: Longs, end: Longs, parts: Longs, pair: Longs, totals: Longs, known: Bytes, pairs: int, first: int
) -> _Sums:
    """Return the sums of each minute and pair, in the order in which the flows have them."""
    room = int(parts.sum())
    slots = np.full(1 << (2 * room - 1).bit_length(), -1, np.int64)
    # The keys of the hash are drawn: nobody can write a log whose minutes and pairs all fall into one place.
    how = np.array([pairs, first, *(secrets.randbits(30) << 1 | 1 for _ in range(2))], np.int64)
    key, row, connections = (np.empty(room, np.int64) for _ in range(3))
    figures, seen = np.empty((len(totals), room), np.int64), np.empty((len(totals), room), np.uint8)
    count = spread_rows(
        start, end, parts, pair, totals, known, how, slots, key, row, connections, figures, seen
    )  # fmt: skip
    return _Sums(key[:count], row[:count], connections[:count], figures[:, :count], seen[:, :count])


def _order(key: Longs) -> Longs:
    """Return the order of numbers, digit by digit from the last: of 16 bits, NumPy sorts without comparing.

    Comparing takes twice the time, or more.
    """
    order = np.argsort((key & _DIGIT).astype(np.uint16), kind="stable")
    for shift in range(16, int(key.max()).bit_length(), 16):
        digit = ((key >> shift) & _DIGIT).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
    return order
