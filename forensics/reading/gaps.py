"""Gaps in the evidence: what a file should tell and does not, as far as the file itself shows it.

A format tells of what it meets through `forensics.formats.Evidence.gap`; here is what holds for all formats. Silences,
which need all files of a set, are in `forensics.reading.silences`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forensics.formats._gaps import Gap
from forensics.schema import EXCHANGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forensics.errors import EvidenceError
    from forensics.formats import Evidence, Format
    from forensics.formats._gaps import Kind

__all__ = ["JUMP", "Jumps", "gaps_of", "gaps_text", "tell_ends"]

JUMP = 60_000_000
"""A log's time may fall by this much without its clock having been set: entries are written a little late. [us]"""

MOST_GAPS = 100
"""Gaps of a kind that are written out; of a hostile file there might be millions."""

_EARLY = ("truncated", "unclosed")
"""Notes that say that a file ends too early."""


class Jumps:
    """Looks for places where the time of a log falls: its clock was set back, or files were joined.

    Parameters
    ----------
    fmt
        The format. Only one whose entries bear the time of their writing (``STAMP`` is ``end``) is looked at.
    evidence
        The log; it is told of what is found.
    """

    def __init__(self, fmt: Format, evidence: Evidence) -> None:
        self._looks = getattr(fmt, "STAMP", None) == "end"
        self._evidence = evidence
        self._latest = -(2**62)
        self._record = 0
        self._found = 0

    def look(self, table: str, batch: pa.RecordBatch) -> None:
        """Look at a batch of rows.

        Single entries that come late are no jump: three entries in a row must lie before what was already reached.
        """
        if not self._looks or self._found >= MOST_GAPS or table not in ("flows", EXCHANGES.name):
            return
        columns = [batch[name].cast(pa.int64()) for name in ("record", "end")]
        if columns[1].null_count:
            timed = columns[1].is_valid()
            columns = [column.filter(timed) for column in columns]
        record, time = (column.to_numpy() for column in columns)
        if not len(record) or record[0] <= self._record:  # rows that a slow reader had to read come behind the others
            return
        self._record = int(record[-1])
        begin = 0
        while begin < len(time) and self._found < MOST_GAPS:
            reached = np.maximum.accumulate(np.concatenate([[self._latest], time[begin:]]))
            low = time[begin:] < reached[:-1] - JUMP
            late = np.flatnonzero(low)
            falls = late[:-2][late[2:] == late[:-2] + 2]
            if not len(falls):
                self._latest = int(reached[-1])
                return
            place = begin + int(falls[0])
            self._tell(int(reached[falls[0]]), int(time[place]), int(record[place]))
            self._latest, begin = int(time[place]), place + 1

    def _tell(self, before: int, after: int, record: int) -> None:
        self._found += 1
        by = timedelta(microseconds=before - after)
        reason = f"its time falls back by {by}: the clock was set back, or parts were joined out of order"
        self._evidence.gap("clock_jump", after, before, reason, record)


def tell_ends(evidence: Evidence, last: int | None, ended: EvidenceError | None) -> None:
    """Tell of an end that comes too early.

    Parameters
    ----------
    evidence
        The file, read as far as it goes.
    last
        Latest time in it. [us]
    ended
        What ended its bytes before their end.
    """
    if ended is not None:
        evidence.gap("truncated", last, None, ended.problem)
        return
    for key in _EARLY:
        if key in evidence.notes and not any(gap.kind == "truncated" for gap in evidence.gaps):
            evidence.gap("truncated", last, None, str(evidence.notes[key]))


def gaps_text(gaps: Iterable[Gap]) -> str | None:
    """Return gaps as the column ``gaps`` of ``sources`` has them, in order of time; None where there are none."""
    told: list[dict[str, Any]] = []
    counts: dict[Kind, int] = {}
    for gap in sorted(gaps, key=_order):
        counts[gap.kind] = counts.get(gap.kind, 0) + 1
        if counts[gap.kind] <= MOST_GAPS:
            told.append(gap._asdict() | {"start": _iso(gap.start), "end": _iso(gap.end)})
    for kind, count in sorted(counts.items()):
        if count > MOST_GAPS:
            reason = f"{count - MOST_GAPS:,} more of this kind"
            told.append(Gap(kind, None, None, reason)._asdict())
    return json.dumps(told, ensure_ascii=False) if told else None


def gaps_of(text: str | None) -> list[dict[str, Any]]:
    """Return the gaps that a cell of the column ``gaps`` holds, their times as `datetime.datetime` in UTC."""
    found: list[dict[str, Any]] = json.loads(text) if text else []
    return [gap | {side: _moment(gap[side]) for side in ("start", "end")} for gap in found]


def _order(gap: Gap) -> tuple[int, str, int, int, str]:
    times = [-(2**62) if time is None else time for time in (gap.start, gap.end)]
    return times[0], gap.kind, gap.record or 0, times[1], gap.reason


def _iso(time: int | None) -> str | None:
    if time is None:
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    return moment.isoformat().replace("+00:00", "Z")


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
