"""Years of times that are written without one, as syslog writes them: ``May 21 10:00:01``.

The year of one line is known; the others follow from the order of lines. That takes a look at all of them before the
first one is given its year: `Years.survey` sees the blocks of a file in order, `Years.of` gives the years afterwards.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from forensics.errors import EvidenceError, YearNeededError
from forensics.formats._stamps import NO_OFFSET, NO_YEAR, Civil
from forensics.formats._times import shown

if TYPE_CHECKING:
    from forensics.formats import Evidence

__all__ = ["NO_SUCH_DAY", "Years"]

_I64 = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]

NO_SUCH_DAY = "29 February is no day of that year"
"""Reason for the reject of a time that `Years.of` does not know."""

DAY = 86_400_000_000
LEAP_YEAR = 366 * DAY
HALF_YEAR = 6
"""A new year began where a month falls by more than this. [months]"""
JITTER = 7 * DAY
"""Lines of the old year may follow those of the new one by as much as this. [us]"""
MOST_TURNS = 1 << 16
"""Most changes of the year that are remembered; a log in some order of time has few."""

_NAMED = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d{3})")


class Years:
    """What is known of the years of one file.

    Parameters
    ----------
    evidence
        The file; its hints or its name have the year, its notes get it.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._turns: list[tuple[int, bool, bool]] = []  # line after it, whether the month falls, whether by few days
        self._first: int | None = None  # first and last time, in the year 0 [us]
        self._last = 0
        self._onward = 0  # way from the first time to the last but for the turns [us]

    def survey(self, civil: Civil, order: _I64) -> None:
        """Take in the times of a block, in the order of its lines.

        Raises
        ------
        forensics.errors.EvidenceError
            The lines are in no order of time at all.
        """
        bare = civil.known & (civil.local < NO_YEAR)
        local, numbers = civil.local[bare], order[bare]
        if not len(local):
            return
        if self._first is None:
            self._first = self._last = int(local[0])
        before = np.concatenate(([self._last], local[:-1]))
        months = _months(local) - _months(before)
        near = np.abs(months) <= HALF_YEAR
        self._onward += int((local - before)[near].sum())
        self._last = int(local[-1])
        days = LEAP_YEAR - np.abs(local - before)
        turned = np.flatnonzero(~near)
        if len(self._turns) + len(turned) > MOST_TURNS:
            problem = f"its times carry no year, and the month turns from one year to another {MOST_TURNS:,} times"
            raise EvidenceError(self._evidence.source, f"{problem}: sort its lines by time")
        for row in turned.tolist():
            self._turns.append((int(numbers[row]), bool(months[row] < 0), bool(days[row] <= JITTER)))

    @property
    def newest_first(self) -> bool:
        """Whether time goes backwards from line to line."""
        falls = sum(1 if fall else -1 for _, fall, _ in self._turns)
        return self._onward < 0 or (self._onward == 0 and falls < 0)

    def of(self, civil: Civil, order: _I64, *, sample: tuple[int, str], dates: Civil | None) -> Civil:
        """Return times with their years; see `forensics.formats._zones.Clock.years`."""
        bare = civil.known & (civil.local < NO_YEAR)
        if not bool(bare.any()):
            return civil
        if self._first is None:
            self.survey(civil, order)  # the file is a single block
        hint = self._evidence.hints.year
        if hint is None and dates is not None:
            self._evidence.notes["year_from"] = "date in the same line"
            there = bare & dates.known & (dates.local >= NO_YEAR)
            return _with_years(civil, bare, there, _nearest(civil.local, dates.local))
        year = hint or self._named()
        if year is None:
            raise self._needed(sample)
        self._evidence.notes["year"] = year
        self._evidence.notes["year_from"] = "the hint" if hint else "the file's name"
        return _with_years(civil, bare, bare, year + self._since_newest(order))

    def _since_newest(self, order: _I64) -> _I64:
        """Return by how many years each line differs from the file's newest one."""
        backwards = self.newest_first
        # The way of the file turns the year in any case; against it lines that are not quite in order do.
        steps = [(1 if fall else -1) if fall != backwards or near else 0 for _, fall, near in self._turns]
        years = np.concatenate(([0], np.cumsum(np.array(steps, np.int64))))
        passed = np.searchsorted(np.array([line for line, _, _ in self._turns], np.int64), order, side="right")
        since: _I64 = years[passed] - years[0 if backwards else -1]
        return since

    def _named(self) -> int | None:
        """Return the year of the newest line by the date in the file's name, on which it was put away."""
        found = _NAMED.search(self._evidence.source.rpartition("/")[2])
        if found is None:
            return None
        try:
            until = date(int(found[1]), int(found[3]), int(found[4])) + timedelta(days=1)
        except (ValueError, OverflowError):
            return None
        newest = np.datetime64((self._first or 0) if self.newest_first else self._last, "us").astype("datetime64[D]")
        month = int(newest.astype("datetime64[M]").astype(np.int64)) % 12 + 1
        day = int((newest - newest.astype("datetime64[M]")).astype(np.int64)) + 1
        return until.year if (month, day) <= (until.month, until.day) else until.year - 1

    def _needed(self, sample: tuple[int, str]) -> YearNeededError:
        """Return the error that asks for the year."""
        number, text = sample
        newest = "first line, its newest" if self.newest_first else "last line"
        return YearNeededError(
            self._evidence.source,
            f"its times carry no year (line {number}: {shown(text)}): give the year of its {newest}: year=2015",
        )


def _months(local: _I64) -> _I64:
    """Return the month of each time, counted from January 1970."""
    months: _I64 = local.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    return months


def _nearest(local: _I64, dates: _I64) -> _I64:
    """Return the year in which each time lies nearest to a date."""
    years = _months(dates) // 12 + 1970
    away = _moved(local, years) - dates
    return years - (away > LEAP_YEAR // 2) + (away < -LEAP_YEAR // 2)


def _moved(local: _I64, years: _I64) -> _I64:
    """Return times of the year 0 in other years; the 29 February may come to lie on the 1 March."""
    months = _months(local)
    inside = local - months.astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    moved: _I64 = (months + years * 12).astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    return moved + inside


def _with_years(civil: Civil, bare: _Bools, told: _Bools, years: _I64) -> Civil:
    """Return times of which the bare ones got their years, where these are told and have such a day."""
    moved = _moved(civil.local, np.where(told, years, 0))
    good = told & (_months(moved) - _months(civil.local) == np.where(told, years, 0) * 12)
    known = np.where(bare, good, civil.known)
    local = np.where(bare, moved, civil.local)
    return Civil(np.where(known, local, 0), np.where(known, civil.offset, NO_OFFSET).astype(np.int32), known)
