"""Connections that both of their machines report: the receiver's rows wait for the sender's, and are left out then.

Example::

    yield from Twins(evidence).watch(in_order(read, blocks))

A receiver's row is told by the sender where a row of the same ends, with bytes, has a window that overlaps. The two may
stand anywhere in a file, in either order, with up to `MOST_ROWS` rows of senders, or of receivers that wait, between
them: that bounds the memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forensics.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats import Evidence

__all__ = ["Reported", "Twins", "Windows"]

MOST_ROWS = 1 << 18
"""Rows of senders that are remembered, and rows of receivers that wait."""

_I64 = npt.NDArray[np.int64]
_Batches = list[tuple[str, pa.RecordBatch]]


class Windows(NamedTuple):
    """Rows of one side: what tells connections apart, and from when to when each row counts. [us]"""

    key: _I64
    start: _I64
    end: _I64

    def of(self, rows: npt.NDArray[np.bool_]) -> Windows:
        """Return some of the rows."""
        return Windows(self.key[rows], self.start[rows], self.end[rows])


class Reported(NamedTuple):
    """What a block tells.

    Parameters
    ----------
    others
        Batches of all that is no row of a receiver.
    received
        Rows of ``flows`` of receivers; None where there are none.
    receivers, senders
        Windows of those rows, and of rows of senders that have bytes.
    """

    others: _Batches
    received: pa.RecordBatch | None
    receivers: Windows
    senders: Windows


class Twins:
    """Leaves out rows of receivers that senders tell as well.

    Parameters
    ----------
    evidence
        The log; its notes count the rows that are left out as ``told_by_sender``, and receivers that could not wait
        for a sender as ``receivers_not_matched``.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        none = np.zeros(0, np.int64)
        self._senders = Windows(none, none, none)
        self._waiting: list[tuple[pa.RecordBatch, Windows]] = []

    def watch(self, made: Iterator[Reported]) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield what blocks give; behind them, and before a damage, the receivers that no sender tells."""
        try:
            for told in made:
                yield from told.others
                yield from self._take(told)
        except EvidenceError:
            yield from self._rest()
            raise
        yield from self._rest()

    def _take(self, told: Reported) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Take what a block tells; yield receivers for which there is no room."""
        self._waiting = [left for pair in self._waiting if (left := self._left(*pair, told.senders))]
        joined = (np.concatenate(pair)[-MOST_ROWS:] for pair in zip(self._senders, told.senders, strict=True))
        self._senders = Windows(*joined)
        if told.received is not None and (left := self._left(told.received, told.receivers, self._senders)):
            self._waiting.append(left)
        while sum(len(windows.key) for _, windows in self._waiting) > MOST_ROWS:
            rows, _ = self._waiting.pop(0)
            self._count("receivers_not_matched", rows.num_rows)
            yield "flows", rows

    def _left(self, rows: pa.RecordBatch, windows: Windows, senders: Windows) -> tuple[pa.RecordBatch, Windows] | None:
        """Return receivers without those that senders tell; None where none is left."""
        told = overlapping(windows, senders)
        self._count("told_by_sender", int(told.sum()))
        if told.all():
            return None
        return (rows.filter(pa.array(~told)), windows.of(~told)) if told.any() else (rows, windows)

    def _count(self, key: str, number: int) -> None:
        """Add to a number in the notes."""
        before = self._evidence.notes.get(key, 0)
        if number and isinstance(before, int):
            self._evidence.notes[key] = before + number

    def _rest(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the receivers that no sender tells."""
        for rows, _ in self._waiting:
            yield "flows", rows
        self._waiting = []


def overlapping(receivers: Windows, senders: Windows) -> npt.NDArray[np.bool_]:
    """Tell which windows of receivers overlap one of a sender of the same connection."""
    near = np.isin(senders.key, receivers.key)
    if not near.any():
        return np.zeros(len(receivers.key), np.bool_)
    senders = senders.of(near)
    size = len(senders.key)
    _, pair = np.unique(np.concatenate([senders.key, receivers.key]), return_inverse=True)
    both = np.concatenate([senders.start, receivers.start, senders.end, receivers.end])
    times, rank = np.unique(both, return_inverse=True)
    # Ranks, not times: pair and rank fit one number, so that one search finds the pair and the time in it.
    base = pair.astype(np.int64) * (len(times) + 1)
    begins, stops = base + rank[: len(pair)], base + rank[len(pair) :]
    order = np.argsort(begins[:size])
    latest = np.maximum.accumulate(stops[:size][order])
    place = np.searchsorted(begins[:size][order], stops[size:], side="right") - 1
    told: npt.NDArray[np.bool_] = (place >= 0) & (latest[np.maximum(place, 0)] >= begins[size:])
    return told
