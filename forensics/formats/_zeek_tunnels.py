"""Which connections of a Zeek log carry others: a connection is told of its children by theirs, which come earlier.

References
----------
.. [1] Zeek, *conn.log*, https://docs.zeek.org/en/master/logs/conn.html: ``tunnel_parents``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.formats._columns import arrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from forensics.formats._cut import I64
    from forensics.formats._vocabulary import Words

__all__ = ["Carriers", "Links", "told"]

PARENTS_KEPT = 1_000_000
"""Carrying connections that are remembered; bounds the memory that a hostile log can take."""

LONGEST_UID = 64


class Links(NamedTuple):
    """What the connections of a part of a log say of each other.

    Parameters
    ----------
    numbers
        Their lines.
    parents
        The uids of those that carry each, with line ends between them.
    uids
        Returns their own uids.
    """

    numbers: I64
    parents: Words
    uids: Callable[[], pa.Array]


class Carriers:
    """The connections of one log that carry others, as far as it was read."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}
        self._known = pa.array([], pa.string())
        self._lines = np.zeros(0, np.int64)

    def learn(self, links: Links) -> None:
        """Take in which connections are named as carriers."""
        codes, places = np.unique(links.parents.codes, return_index=True)
        for code, place in zip(codes.tolist(), places.tolist(), strict=True):
            if code >= 0:
                self.name(int(links.numbers[place]), links.parents.values[code].split("\n"))

    def name(self, number: int, uids: list[str]) -> None:
        """Take in one connection's carriers."""
        for uid in uids:
            if len(uid) <= LONGEST_UID and (uid in self._first or len(self._first) < PARENTS_KEPT):
                self._first[uid] = min(number, self._first.get(uid, number))

    def carrying(self, links: Links) -> I64:
        """Return the lines of connections that were named as carriers by then."""
        if not self._first:
            return np.zeros(0, np.int64)
        if len(self._first) != len(self._known):
            self._known, self._lines = pa.array(self._first), np.array([*self._first.values()], np.int64)
        found = pc.index_in(links.uids(), value_set=self._known).fill_null(-1).to_numpy()
        there: I64 = links.numbers[(found >= 0) & (self._lines[found] <= links.numbers)]
        return there

    def is_known(self, number: int, uid: str) -> bool:
        """Tell whether one connection was named as a carrier by then."""
        return self._first.get(uid, number + 1) <= number


def told(batches: list[tuple[str, pa.RecordBatch]], carrying: list[int]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield batches, the flows of the lines that carry others marked so."""
    wanted = pa.array(carrying, pa.int64())
    for table, batch in batches:
        if not carrying or "tunnel" not in batch.schema.names:
            yield table, batch
            continue
        carries, tunnel = pc.is_in(batch["record"], value_set=wanted), batch["tunnel"].cast(pa.string())
        inside = pc.is_in(tunnel, value_set=pa.array(["inner", "middle"]))
        marked = pc.if_else(carries, pc.if_else(inside, "middle", "outer"), tunnel)
        place = batch.schema.get_field_index("tunnel")
        yield (
            table,
            batch.set_column(place, batch.schema.field(place), arrow(marked, batch.schema.types[place], len(batch))),
        )
