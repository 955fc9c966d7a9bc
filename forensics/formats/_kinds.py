"""Records of several kinds in one block, each kind as a cut of its own.

Example::

    flows = selected(cut, np.flatnonzero(kinds == FLOW))
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats._cut import ABSENT, NUMBER, QUOTED, TWICE

if TYPE_CHECKING:
    from forensics.formats._columns import Bools
    from forensics.formats._cut import I64, Cut
    from forensics.formats._vocabulary import Words

__all__ = ["MOST_PARTS", "Named", "absent_field", "exploded", "present", "selected", "strange"]

MOST_PARTS = 256
"""Most parts of a list that are put into rows a whole column at a time; longer lists are left to the slow way."""


def selected(cut: Cut, rows: I64) -> Cut:
    """Return some records of a cut, by their numbers from 0; the cut itself where they are all of them."""
    if len(rows) == cut.rows:
        return cut
    return replace(
        cut,
        number=cut.number[rows],
        line=np.ascontiguousarray(cut.line[rows]),
        begin=np.ascontiguousarray(cut.begin[:, rows]),
        end=np.ascontiguousarray(cut.end[:, rows]),
        flag=np.ascontiguousarray(cut.flag[:, rows]),
        odd=cut.odd[rows],
        count=cut.count[rows],
    )


def absent_field(cut: Cut) -> tuple[Cut, int]:
    """Return a field that none of the records has."""
    none = np.zeros((1, cut.rows), np.int32)
    return replace(cut, begin=none, end=none, flag=np.full((1, cut.rows), ABSENT, np.uint8)), 0


def present(cut: Cut, *fields: int) -> Bools:
    """Tell which records have all of these fields."""
    there = np.ones(cut.rows, np.bool_)
    for field in fields:
        there &= cut.flag[field] & ABSENT == 0
    return there


def strange(cut: Cut, field: int) -> Bools:
    """Tell which records of JSON have a value here that is neither a text nor a number: true, a list, an object."""
    found: Bools = cut.flag[field] & (ABSENT | QUOTED | NUMBER) == 0
    return found


class Named(NamedTuple):
    """Records of JSON by their kind.

    Parameters
    ----------
    names
        The kinds.
    which
        For each record which of them it is, -1 where that is not known.
    """

    names: tuple[str, ...]
    which: I64

    def cuts(self, cut: Cut) -> list[tuple[str, Cut]]:
        """Return the records of each kind; those that do not fit, and those of no kind, as kind ``""``."""
        which = np.where((cut.odd == 0) | (cut.odd == TWICE), self.which, -1)
        found = [(self.names[k] if k >= 0 else "", np.flatnonzero(which == k)) for k in np.unique(which).tolist()]
        return [(name, selected(cut, rows)) for name, rows in found]


def exploded(lists: Words) -> tuple[Bools, list[Words]]:
    """Return columns of the first, second, ... part of texts that hold parts with line ends between them.

    Returns
    -------
    tuple
        Which rows have more than `MOST_PARTS`, and the columns.
    """
    parts = [value.split("\n") for value in lists.values]
    sizes = np.array([*map(len, parts), 0], np.int64)[lists.codes]
    widest = min(int(sizes.max(initial=0)), MOST_PARTS)
    columns = [
        type(lists).of(lists.codes, [part[place] if place < len(part) else None for part in parts])
        for place in range(widest)
    ]
    return sizes > MOST_PARTS, columns
