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

from forensics.formats._columns import firsts, nulls
from forensics.formats._vocabulary import whole_numbers
from forensics.reading._spreading import (
    DIGIT,
    MINUTE,
    S_CONNECTIONS,
    S_FIGURES,
    S_KEY,
    S_ROW,
    S_SEEN,
    SUM_COLUMNS,
    count_minutes,
    find_numbers,
    find_used,
    number_pairs,
    put_in_order,
    spread_rows,
)
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

_PAIR = ("source", "src", "dst", "name", "via", "bytes_kind", "vantage")
_SUMS = ("bytes_out", "bytes_in", "packets_out", "packets_in")

Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

_ALL: Bytes = np.empty(0, np.uint8)
"""That every row has a word."""


class _Words(NamedTuple):
    """A column of text whose words are numbered in their order, null behind them."""

    places: Ints  # of the word of each row in the dictionary of the column
    valid: Bytes  # 1 where a row has one; nothing where all have
    numbers: Ints  # of the words of the dictionary
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
    start, end = _integers(flows["start"]), _integers(flows["end"])
    first, parts = np.empty(len(start), np.int64), np.empty(len(start), np.int64)
    count_minutes(start, end, MOST_MINUTES, first, parts)
    bounds = [0, len(parts)] if 0 < int(parts.sum()) < MOST_PORTIONS else _bounds(parts)
    for begin, stop in pairwise(bounds):
        yield _volumes(flows.slice(begin, stop - begin), *(a[begin:stop] for a in (start, end, first, parts)))


def _bounds(parts: Longs) -> list[int]:
    """Return where flows are divided, so that no more minutes of them are held at once than memory bears."""
    return [int(at) for at in np.flatnonzero(np.diff(np.cumsum(parts) // MOST_PORTIONS, prepend=-1, append=-1))]


def _volumes(flows: pa.RecordBatch, start: Longs, end: Longs, first: Longs, parts: Longs) -> pa.RecordBatch:
    """Return the volumes of flows that lie in so many minutes each. [us]"""
    schema = STORED["volumes"].schema
    words = {name: _words(flows[name]) for name in _PAIR}
    base = int(first.min())
    pair, pairs = _pairs(words.values(), len(start), int((first + parts).max()) - base)
    kinds = [name for name in _SUMS if flows[name].null_count < len(start)]
    totals = np.array([_integers(flows[name]) for name in kinds], np.int64).reshape(-1, len(start))
    known = np.array([_valid(flows[name], len(start)) for name in kinds], np.uint8).reshape(-1, len(start))
    sums = _added((start, end, first, parts, pair, totals, known), int(parts.sum()), pairs, base)
    sums = np.take(sums, _order(np.ascontiguousarray(sums[:, S_KEY])), axis=0)
    minute = (sums[:, S_KEY] // pairs + base) * MINUTE
    columns: dict[str, pa.Array] = {"minute": pa.array(minute).cast(schema.field("minute").type)}
    columns["connections"] = pa.array(sums[:, S_CONNECTIONS])
    columns |= {name: _words_at(column, sums[:, S_ROW]) for name, column in words.items()}
    columns |= {name: nulls(len(sums), pa.int64()) for name in _SUMS}
    for kind, name in enumerate(kinds):
        columns[name] = whole_numbers(sums[:, S_FIGURES + kind], sums[:, S_SEEN] >> kind & 1 != 0)
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


def _valid(column: pa.Array, rows: int) -> Bytes:
    """Return 1 where a column has a value, 0 where it has none."""
    if not column.null_count:
        return np.ones(rows, np.uint8)
    valid = column.is_valid()
    bits = np.frombuffer(valid.buffers()[1], np.uint8)
    return np.unpackbits(bits, count=valid.offset + rows, bitorder="little")[valid.offset :]


def _words(column: pa.Array) -> _Words:
    """Number the distinct texts of a column in their order."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    rows, nulls, listed = len(column), column.null_count, len(column.dictionary)
    places = np.frombuffer(column.indices.buffers()[1], np.int32, rows, 4 * column.offset)
    if not nulls and listed == 1:
        return _Words(places, _ALL, np.zeros(1, np.int32), column.dictionary, 1)
    # The words of a long log are far more than these rows use.
    valid, used = _valid(column, rows) if nulls else _ALL, np.zeros(listed, np.uint8)
    find_used(places, valid, used)
    texts = column.dictionary.take(pa.array(np.flatnonzero(used)))
    rank = pc.rank(texts, tiebreaker="dense").to_numpy().astype(np.int32) - 1
    ordered = np.zeros(int(rank.max(initial=-1)) + 1, np.int32)
    ordered[rank] = np.arange(len(rank))
    numbers = np.zeros(listed, np.int32)
    numbers[used.nonzero()] = rank
    texts = texts.take(pa.array(ordered))
    return _Words(places, valid, numbers, texts, len(texts) + (nulls > 0))


def _words_at(words: _Words, rows: Longs) -> pa.Array:
    """Return the words of rows as a column."""
    if words.distinct == 1 and len(words.texts):
        found = firsts(len(rows))
    else:
        numbers, known = np.empty(len(rows), np.int32), np.empty(len(rows), np.bool_)
        find_numbers(words.places, words.valid, words.numbers, rows, numbers, known.view(np.uint8))
        found = whole_numbers(numbers, known)
    return pa.DictionaryArray.from_arrays(found, words.texts, safe=False)  # every number has its text


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
        number_pairs(words.places, words.valid, words.numbers, words.distinct, pair)
        pairs *= words.distinct
    return pair, pairs


def _added(flows: tuple[Longs, Longs, Longs, Longs, Longs, Longs, Bytes], room: int, pairs: int, base: int) -> Longs:
    """Return the sums of each minute and pair, in the order in which the flows have them."""
    slots = np.full(1 << (2 * room - 1).bit_length(), -1, np.int64)
    # The keys of the hash are drawn: nobody can write a log whose minutes and pairs all fall into one place.
    how = np.array([pairs, base, *(secrets.randbits(30) << 1 | 1 for _ in range(2))], np.int64)
    sums, places = np.empty((room + 1, SUM_COLUMNS), np.int64), np.empty(len(slots), np.int32)
    return sums[: spread_rows(*flows, how, slots, places, sums)]


def _order(keys: Longs) -> Longs:
    """Return the order of numbers; to compare them takes several times as long."""
    order, other = np.arange(len(keys)), np.empty(len(keys), np.int64)
    counts = np.empty(1 << DIGIT, np.int64)
    return other if put_in_order(keys, int(keys.max()).bit_length(), counts, order, other) else order
