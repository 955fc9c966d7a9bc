"""Clock offsets between evidence sources, from events that two of them saw.

Every sensor has its own clock. It may be off, drift, be set in between, or be read in the wrong time zone. What two
sensors saw of the same event shows the difference of their clocks: a connection by its ends and ports, a request by
client, method and URL, a look-up by client and name, a row of a log without ports by client, server and sizes.
`forensics.clocks.fit` says how the difference is estimated where many of these matches are wrong.

The reference is the source that shares events with most others. The other sources are compared with it one after the
other, the one with most matches first; each is compared with all those before it at once, by their corrected times.

No time in the tables is changed. `Clocks.to_reference` and `Clocks.corrected` give the corrected times beside them.

Example::

    clocks = find_clocks(case)
    clocks.to_reference("relay.pcap", times)

References
----------
.. [1] B. Schatz, G. Mohay, A. Clark, "A correlation method for establishing provenance of timestamps in digital
   evidence", Digital Investigation 3S (2006) S98-S107, doi:10.1016/j.diin.2006.06.009.
.. [2] F. Buchholz, B. Tjaden, "A brief study of time", Digital Investigation 4S (2007) S31-S42,
   doi:10.1016/j.diin.2007.06.004.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from forensics.clocks.fit import Matches, Piece, fit_pieces, moments
from forensics.clocks.table import CLOCK_COLUMNS, clock_rows
from forensics.engines import query_text
from forensics.roles import once_per_case
from forensics.schema import TIME

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forensics.case import Case

__all__ = ["CLOCK_COLUMNS", "Clocks", "find_clock_offsets", "find_clocks"]

Pairs: TypeAlias = "dict[tuple[str, str], Matches]"
"""By source and other source, what both may have seen: the time by the first, and how much later that is."""


@dataclass(frozen=True)
class Clocks:
    """How far the clocks of a case's sources are off.

    Parameters
    ----------
    pieces
        By source, its offset from the reference clock over time. A reference has none.
    references
        By source, the source whose clock it was compared with in the end. A reference is its own.
    refused
        By source that could not be compared, the events that it and another source may both have seen.
    """

    pieces: dict[str, list[Piece]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    def offsets(self, source: str, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return by how much a source's clock was ahead of the reference clock at times by that clock. [us]

        A source that could not be compared is taken to keep right time.
        """
        pieces = self.pieces.get(source, [])
        if not pieces:
            return np.zeros(len(times), np.int64)
        seconds = times / 1e6
        # Between two pieces the clock was set, it is not known when: in the middle, as long as nothing says otherwise.
        cuts = [(one.end + other.start) / 2 for one, other in pairwise(pieces)]
        place = np.searchsorted(cuts, seconds, side="right")
        found = np.stack([piece.at(seconds) for piece in pieces])[place, np.arange(len(times))]
        return np.round(found * 1e6).astype(np.int64)

    def to_reference(self, source: str, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return times of a source as the reference clock has them. [us]"""
        return times - self.offsets(source, times)

    def moment(self, source: str, time: int) -> int:
        """Return one time of a source as the reference clock has it. [us]"""
        return int(self.to_reference(source, np.array([time]))[0])

    def corrected(self, rows: pa.Table) -> pa.Table:
        """Return rows with columns ``corrected_start`` and so on beside their times ``start``, ``end`` and ``time``.

        Parameters
        ----------
        rows
            Rows with a column ``source``, as a query over the case gives them.
        """
        sources = np.array(rows.column("source").to_pylist(), dtype=object)
        for name in [name for name in ("start", "end", "time") if name in rows.column_names]:
            times = rows.column(name).combine_chunks().cast(TIME)
            known = times.is_valid().to_numpy(zero_copy_only=False)
            moved = times.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).copy()
            for source in sorted(set(sources.tolist())):
                own = sources == source
                moved[own] = self.to_reference(source, moved[own])
            rows = rows.append_column(f"corrected_{name}", pa.array(moved, mask=~known).cast(TIME))
        return rows

    def main_offset(self, source: str) -> float | None:
        """Return one offset of a source: that of the piece with most matches, in its middle; None without any. [s]"""
        if self.references.get(source) == source:
            return 0.0
        best = max(self.pieces.get(source, []), key=lambda piece: piece.matches, default=None)
        return None if best is None else float(best.at(np.array([(best.start + best.end) / 2]))[0])

    def rows(self) -> list[dict[str, Any]]:
        """Return what is known, as the rows of the table of `find_clock_offsets`."""
        return clock_rows(self.pieces, self.references, self.refused)


def find_clocks(case: Case) -> Clocks:
    """Return how far the clocks of a case's sources are off.

    Parameters
    ----------
    case
        The case.

    Returns
    -------
    Clocks
        The offsets; found once per case and again when evidence was added.
    """
    return once_per_case(case, "clocks", _clocks_of)


def find_clock_offsets(case: Case) -> pd.DataFrame:
    """Return how far the clock of each source is off, with what that rests on.

    A source that too few events connect with any other gets one row without an offset, which says how many there are.

    Parameters
    ----------
    case
        The case.

    Returns
    -------
    pandas.DataFrame
        One row for each source and time between two settings of its clock, with the columns ``source``, ``reference``
        (the source whose clock is taken to be right), ``start``, ``end`` (first and last event compared, by the
        source's own clock), ``offset`` (its clock minus the reference clock, at the start) [s], ``drift`` (by how much
        it gains) [ppm], ``spread`` (median distance of the events from that) [s], ``matches`` (events that agree) and
        ``note`` (a time zone, a new setting, a drift, or why there is no offset).
    """
    import pandas as pd

    return pd.DataFrame(find_clocks(case).rows(), columns=list(CLOCK_COLUMNS)).astype({"matches": "Int64"})


def _clocks_of(case: Case) -> Clocks:
    sources: list[str] = sorted(case.sql("SELECT source FROM sources").to_arrow().column("source").to_pylist())
    if len(sources) < 2:  # noqa: PLR2004 - a clock alone is compared with nothing
        return Clocks({}, {}, dict.fromkeys(sources, 0))
    pairs = _pairs(case)
    links = {pair: sum(piece.matches for piece in fit_pieces(matches)) for pair, matches in pairs.items()}
    links = {pair: votes for pair, votes in links.items() if votes}
    found = Clocks()
    while left := {one for one, _ in links} - found.references.keys():
        _place(found, _reference({pair: votes for pair, votes in links.items() if pair[0] in left}), links, pairs)
    for source in sources:
        if source not in found.references:
            shared = [moments(matches) for (one, _), matches in pairs.items() if one == source]
            found.refused[source] = max(shared, default=0)
    return found


def _pairs(case: Case) -> Pairs:
    """Return what each two sources may both have seen, from the side of either."""
    rows = case.sql(query_text("clock_matches")).to_arrow()
    one, other = (np.array(rows.column(name).to_pylist(), dtype=object) for name in ("one", "other"))
    time, apart = (rows.column(name).to_numpy() / 1e6 for name in ("time", "difference"))
    exact = rows.column("exact").to_numpy() == 1
    pairs: Pairs = {}
    # Rows of a pair stand together.
    cuts = np.flatnonzero((one[1:] != one[:-1]) | (other[1:] != other[:-1])) + 1
    for start, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(one)], strict=True):
        if end > start:
            own = slice(start, end)
            pairs[one[start], other[start]] = Matches(time[own], -apart[own], exact[own])
            pairs[other[start], one[start]] = Matches((time + apart)[own], apart[own], exact[own])
    return pairs


def _reference(links: dict[tuple[str, str], int]) -> str:
    """Return the source that is linked with most others."""
    sources = sorted({one for one, _ in links})
    return min(sources, key=lambda source: (-sum(one == source for one, _ in links), source))


def _place(found: Clocks, reference: str, links: dict[tuple[str, str], int], pairs: Pairs) -> None:
    """Compare all sources that are linked with a reference with it, one after the other."""
    found.references[reference] = reference
    group, tried = {reference}, {reference}
    while True:
        votes = {
            source: sum(links.get((source, placed), 0) for placed in group)
            for source in {one for one, other in links if other in group} - tried
        }
        if not votes:
            return
        source = min(votes, key=lambda one: (-votes[one], one))
        tried.add(source)
        parts = [
            _referred(found, placed, pairs[source, placed]) for placed in sorted(group) if (source, placed) in links
        ]
        pieces = fit_pieces(_joined(parts)) or fit_pieces(max(parts, key=len))
        if pieces:
            found.references[source], found.pieces[source] = reference, pieces
            group.add(source)


def _referred(found: Clocks, placed: str, matches: Matches) -> Matches:
    """Return matches with a source that has its place, by the reference clock instead of the clock of that source."""
    theirs = np.round((matches.time - matches.apart) * 1e6).astype(np.int64)
    return Matches(matches.time, matches.apart + found.offsets(placed, theirs) / 1e6, matches.exact)


def _joined(parts: list[Matches]) -> Matches:
    return Matches(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("time", "apart", "exact")))
