r"""Silences of a log: times without a record in which, by the log's own rhythm, there should be some.

A silence is a run of minutes without a record between the first and the last of a set. Office hours (Monday to Friday,
8 to 18), nights and weekends have rhythms of their own, so a silence is looked at piece by piece, one for each stretch
of such hours. It is a gap where one of its pieces

- is more than `TIMES_LONGER` times as long as 99 of 100 silences in such hours, and
- has at least `HOURS` hours of the day that on at least half of the other days of its kind have records. Mondays to
  Fridays are of one kind; Saturdays are of another, Sundays of a third.

So nights and weekends without traffic are none, while a day that is missing is one, and so is a hole of some hours in a
working day. Nothing is known in the first days of a log, or of one with a few records a day. More than `LONG` days
without a record are told in any case.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._gaps import Gap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

__all__ = ["HOURS", "LONG", "TIMES_LONGER", "silences"]

TIMES_LONGER = 10
"""[1]"""

HOURS = 3
"""[h]"""

LONG = 31
"""[d]"""

OFFICE = range(8, 18)
"""Hours of the day in which people work. [h]"""

_KINDS = ("office hours", "nights", "weekends")
_DAY = 24 * 60
_MINUTE = 60_000_000
_SPAN = 3650 * _DAY
"""Most minutes that are looked at together; it bounds the memory that dates of a hostile log can ask for."""

Longs = np.ndarray[tuple[int], np.dtype[np.int64]]
Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]


def silences(minutes: Longs, zone: tzinfo) -> list[Gap]:
    """Return the silences of a set of files.

    Parameters
    ----------
    minutes
        Minutes with records, each once, in order. [min since 1970, UTC]
    zone
        Zone in which office hours are reckoned.
    """
    steps = np.diff(minutes)
    found = [
        _gap(int(minutes[place]) + 1, int(minutes[place + 1]), f"no record for {int(steps[place]) // _DAY} days")
        for place in np.flatnonzero(steps > LONG * _DAY)
    ]
    parted = np.flatnonzero((steps > LONG * _DAY) | (np.diff(minutes // _SPAN) > 0)) + 1
    for part in np.split(minutes, parted):
        found += _of_part(part, zone)
    return sorted(found, key=lambda gap: gap.start or 0)


def _of_part(minutes: Longs, zone: tzinfo) -> Iterator[Gap]:
    """Yield the silences of minutes that lie within `_SPAN`."""
    if len(minutes) < 2:  # noqa: PLR2004  # a silence lies between two
        return
    busy = np.zeros(int(minutes[-1] - minutes[0]) + 1, np.bool_)
    busy[minutes - minutes[0]] = True
    hour = _local_hours(int(minutes[0]), len(busy), zone)
    week = (hour // 24 + 3) % 7  # 1 January 1970 was a Thursday, and weeks begin on Monday
    kind = np.where(week > 4, 2, np.where((hour % 24 >= OFFICE.start) & (hour % 24 < OFFICE.stop), 0, 1))  # noqa: PLR2004
    usual = _usual(busy, hour)
    told = 0
    for begin, stop, each, commonly in _long_pieces(busy, kind):
        hours, counts = np.unique(hour[begin:stop], return_counts=True)
        hit = int(np.count_nonzero(usual[hours - hour[0]] & (counts >= 30)))  # noqa: PLR2004  # half an hour
        if hit < HOURS or begin < told:
            continue
        place = int(np.searchsorted(minutes, minutes[0] + begin))
        silence, told = (int(minutes[place - 1]) + 1, int(minutes[place])), int(minutes[place] - minutes[0])
        yield _gap(*silence, _reason(silence[1] - silence[0], hit, _KINDS[each], commonly))


def _reason(length: int, hours: int, kind: str, commonly: int) -> str:
    return (
        f"no record for {timedelta(minutes=length)} h, in {hours} hours in which most other such days have some; "
        f"in {kind} 99 of 100 silences last {commonly} min or less"
    )


def _gap(start: int, end: int, reason: str) -> Gap:
    return Gap("silence", start * _MINUTE, end * _MINUTE, reason)


def _local_hours(first: int, count: int, zone: tzinfo) -> Longs:
    """Return for each minute from the first on the hour in a zone. [h since 1970]"""
    minute = np.arange(first, first + count, dtype=np.int64)
    offsets = [_offset(hour, zone) for hour in range(first // 60, (first + count - 1) // 60 + 1)]
    return (minute + np.array(offsets, np.int64)[minute // 60 - first // 60]) // 60


def _offset(hour: int, zone: tzinfo) -> int:
    """Return how far a zone is ahead of UTC. [min]"""
    ahead = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)).astimezone(zone).utcoffset()
    return int(ahead.total_seconds()) // 60 if ahead else 0


def _usual(busy: Bools, hour: Longs) -> Bools:
    """Return for each hour, the first minute's first, whether most of the other days of its kind have records in it."""
    place = hour - hour[0]
    within = np.bincount(place) > 0
    active = np.bincount(place[busy], minlength=len(within)) > 0
    each = np.arange(len(within)) + hour[0]
    days = np.maximum((each // 24 + 3) % 7 - 4, 0) * 24 + each % 24  # Monday to Friday, Saturday, Sunday; by the hour
    others = np.bincount(days, within, minlength=72)[days] - within
    records = np.bincount(days, active, minlength=72)[days] - active
    usual: Bools = (others > 0) & (2 * records >= others)
    return usual


def _long_pieces(busy: Bools, kind: Longs) -> list[tuple[int, int, int, int]]:
    """Return begin, end and kind of the long pieces of silences, and how long such pieces commonly are, in order."""
    state = np.where(busy, -1, kind)
    begins = np.concatenate([[0], np.flatnonzero(np.diff(state)) + 1])
    lengths = np.diff(begins, append=len(state))
    found = []
    for each in range(len(_KINDS)):
        mine = state[begins] == each
        if not mine.any():
            continue
        unbroken = int(np.count_nonzero(busy[:-1] & busy[1:] & (kind[:-1] == each)))
        known = np.concatenate([np.zeros(unbroken, np.int64), lengths[mine]])
        commonly = int(np.quantile(known, 0.99, method="lower"))
        chosen = np.flatnonzero(mine & (lengths > TIMES_LONGER * commonly) & (lengths > 30 * HOURS))
        found += [(int(begins[n]), int(begins[n] + lengths[n]), each, commonly) for n in chosen]
    return sorted(found)
