"""From the clock of a log to UTC: zones with their summer times, years that are not written, units of Unix times.

Example::

    clock = Clock(evidence)
    start = clock.utc(clock.years(civil, numbers), (first_line, text))

What is assumed goes to the notes of the file. Blocks may be worked on in threads; what the first block decides holds
for the others, so it is worked on before them.

References
----------
.. [1] PEP 495, *Local Time Disambiguation*: ``fold``, and what it says of times in a gap.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from forensics.formats._stamps import NO_OFFSET, NO_YEAR, Civil
from forensics.formats._times import LATEST, zone_needed
from forensics.formats._years import Years

if TYPE_CHECKING:
    from datetime import tzinfo

    from forensics.formats import Evidence

__all__ = ["Clock", "Moments", "offsets"]

_I64 = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]

MINUTE = 60_000_000
QUARTER = 15 * MINUTE
SECOND = 1_000_000

UNITS = (("seconds", 10**8, SECOND), ("milliseconds", 10**11, 1000), ("microseconds", 10**14, 1),
         ("nanoseconds", 10**17, 0))  # fmt: skip
"""Units of Unix times: name, the lowest number that is one, and microseconds in it (nanoseconds are divided)."""

_LOWEST = np.array([lowest for _, lowest, _ in UNITS], np.int64)

_START = datetime(1970, 1, 1)  # noqa: DTZ001 - the clock of the log, whatever its zone


class Moments(NamedTuple):
    """A column of Unix times.

    Parameters
    ----------
    values
        The times. [us since 1970]
    known
        False where there is no time; the others are 0 then.
    refused
        Rows that are refused, each with the reason.
    """

    values: _I64
    known: _Bools
    refused: tuple[tuple[_Bools, str], ...]


class Clock:
    """The clock of one log file.

    Parameters
    ----------
    evidence
        The log; its hints have the zone and the year, its notes get what was assumed.
    zone_of_log
        Zone that the log itself names, or that its format prescribes; it wins over the hint.
    """

    def __init__(self, evidence: Evidence, *, zone_of_log: tzinfo | None = None) -> None:
        self._evidence = evidence
        self._zone = zone_of_log or evidence.hints.timezone
        self._from_log = zone_of_log is not None
        self._years = Years(evidence)
        self._units: dict[str, int | None] = {}
        self._lock = Lock()

    def utc(self, civil: Civil, sample: tuple[int, str]) -> _I64:
        """Return times in UTC; 0 where they are not known. [us since 1970]

        A time that the clock skipped in spring counts on from before the gap; of the two times of the hour that it
        showed twice in autumn the first is taken, since the order of lines must not decide. Both are counted in the
        notes ``times_in_gap`` and ``times_in_fold``.

        Parameters
        ----------
        civil
            Times with their years.
        sample
            Number and text of the first line, for the message.

        Raises
        ------
        forensics.errors.TimezoneNeededError
            A time has no zone, and neither the log nor the hints name one.
        """
        if bool((civil.known & (civil.local < NO_YEAR)).any()):
            raise ValueError("years come first")
        ahead = np.where(civil.offset == NO_OFFSET, 0, civil.offset).astype(np.int64) * MINUTE
        bare = civil.known & (civil.offset == NO_OFFSET)
        if bool(bare.any()):
            ahead[bare] = self._ahead(civil.local[bare], sample)
        return np.where(civil.known, civil.local - ahead, 0)

    def _ahead(self, local: _I64, sample: tuple[int, str]) -> _I64:
        """Return by how much the zone is ahead of UTC at local times. [us]"""
        if self._zone is None:
            raise zone_needed(self._evidence.source, *sample)
        first, second = offsets(self._zone, local)
        notes = self._evidence.notes
        with self._lock:
            notes["timezone"] = str(self._zone)
            if self._from_log:
                notes["timezone_from"] = "the log"
            self._tell("times_in_gap", local[first < second])
            self._tell("times_in_fold", local[first > second])
        return first

    def _tell(self, key: str, local: _I64) -> None:
        """Count times in the notes, with the first and the last of them on their own clock."""
        if not len(local):
            return
        found = self._evidence.notes.get(key)
        before = found if isinstance(found, dict) else {"count": 0}
        first, last = (_text(int(time)) for time in (local.min(), local.max()))
        self._evidence.notes[key] = {
            "count": before["count"] + len(local),
            "first": min(first, before.get("first", first)),
            "last": max(last, before.get("last", last)),
        }

    def survey(self, civil: Civil, order: _I64) -> None:
        """Take in the times of a block, before any block is asked for its `years`; blocks come in order.

        Parameters
        ----------
        civil
            The times; those that have a year do not matter.
        order
            Number of each one's line.
        """
        self._years.survey(civil, order)

    def years(
        self, civil: Civil, order: _I64, *, sample: tuple[int, str] = (1, ""), dates: Civil | None = None
    ) -> Civil:
        """Return times with the years that their texts do not have.

        ``hints.year`` is the year of the file's newest record, which is its last line, or its first where the newest
        come first. From there the years follow the order of lines: where a month falls by more than six, a new year
        began. Without the hint the year is that of a full date in the same line, or the file's name says it. The notes
        ``year`` and ``year_from`` tell which.

        Parameters
        ----------
        civil
            The times; those with a year stay as they are. A 29 February of a year that has none is not known.
        order
            Number of each one's line.
        sample
            Number and text of the first line, for the message.
        dates
            Times with year that stand in the same lines, if there are some.

        Raises
        ------
        forensics.errors.YearNeededError
            Nothing says the year.
        """
        with self._lock:
            return self._years.of(civil, order, sample=sample, dates=dates)

    def epoch(self, values: tuple[_I64, _Bools], *, column: str = "time") -> Moments:
        """Return Unix times in the unit that their magnitude tells: one unit for a column of a file.

        Parameters
        ----------
        values
            The numbers, and which of them are known.
        column
            What the column is called. Its first number that is a time decides, of the first block that is given; where
            that block has none, each further block decides for itself.
        """
        numbers, known = values
        unit = np.searchsorted(_LOWEST, numbers, side="right") - 1  # -1: no time
        times = _in_us(numbers, unit)
        lawful = known & (unit >= 0) & (times < (LATEST + 1) * SECOND)
        own = int(unit[np.argmax(lawful)]) if bool(lawful.any()) else None
        with self._lock:
            decided = self._units.setdefault(column, own)
            decided = own if decided is None else decided
            if decided is not None:
                told = self._evidence.notes.get("epoch_unit")
                names = {*(told.split(", ") if isinstance(told, str) else ()), UNITS[decided][0]}
                self._evidence.notes["epoch_unit"] = ", ".join(sorted(names))
        refused = [(known & ~lawful, "time is no Unix time that a log can hold")]
        for other in range(len(UNITS)):
            if other != decided and bool((there := lawful & (unit == other)).any()):
                reason = f"time is in {UNITS[other][0]}, those before are in {UNITS[decided or 0][0]}"
                refused.append((there, reason))
        good = lawful & (unit == (-1 if decided is None else decided))
        return Moments(np.where(good, times, 0), good, tuple((w, reason) for w, reason in refused if bool(w.any())))


def _in_us(numbers: _I64, unit: _I64) -> _I64:
    """Return Unix times of the units of `UNITS` as microseconds; what is none becomes 0."""
    times = np.where(unit == 3, numbers // 1000, 0)
    for place, (_, lowest, factor) in enumerate(UNITS[:3]):
        times = np.where(unit == place, np.clip(numbers, 0, lowest * 1000) * factor, times)
    return times


def offsets(zone: tzinfo, local: _I64) -> tuple[_I64, _I64]:
    """Return by how much a zone is ahead of UTC at local times, at their first and at their second reading. [us]

    The two are equal but in a gap (the first is smaller) and in a fold (the first is larger). They are looked up once
    for each quarter of an hour; where an offset changes inside of one, once for each second.
    """
    if isinstance(zone, timezone):
        fixed = np.full(len(local), zone.utcoffset(None) // timedelta(microseconds=1), np.int64)
        return fixed, fixed
    quarters, place = np.unique(local // QUARTER, return_inverse=True)
    found = np.array([_of_quarter(zone, int(q)) for q in quarters], np.int64).reshape(-1, 3)[place]
    first, second, whole = found[:, 0], found[:, 1], found[:, 2] == 1
    if not whole.all():
        seconds, place = np.unique(local[~whole] // SECOND, return_inverse=True)
        exact = np.array([_at(zone, int(s) * SECOND) for s in seconds], np.int64).reshape(-1, 2)[place]
        first[~whole], second[~whole] = exact[:, 0], exact[:, 1]
    return first, second


def _of_quarter(zone: tzinfo, quarter: int) -> tuple[int, int, int]:
    """Return both offsets at the start of a quarter of an hour, and whether they hold to its end. [us]"""
    start = _at(zone, quarter * QUARTER)
    return (*start, int(start == _at(zone, (quarter + 1) * QUARTER - 1)))


def _at(zone: tzinfo, local: int) -> tuple[int, int]:
    """Return both offsets of a zone at one local time. [us]"""
    moment = _START + timedelta(microseconds=local)
    first, second = (moment.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return first // timedelta(microseconds=1), second // timedelta(microseconds=1)


def _text(local: int) -> str:
    """Return a local time as text."""
    return (_START + timedelta(microseconds=local)).isoformat(" ", "seconds")
