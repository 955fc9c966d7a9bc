"""What is known of the clocks of a case, as a table for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from forensics.clocks.fit import LEAST_MATCHES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forensics.clocks.fit import Piece

__all__ = ["CLOCK_COLUMNS", "clock_rows", "zone_note"]

CLOCK_COLUMNS = ("source", "reference", "start", "end", "offset", "drift", "spread", "matches", "note")

NEAR_HOUR, NEAR_QUARTER = 120.0, 60.0
"""How near an offset must be to whole hours, or to quarters of an hour, to look like a zone. [s]"""

MOST_HOURS = 26
"""Zones are not farther from each other. [h]"""


def clock_rows(
    pieces: Mapping[str, Sequence[Piece]], references: Mapping[str, str], refused: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return the rows of the table, by source and time.

    Parameters
    ----------
    pieces, references, refused
        What `forensics.clocks.Clocks` holds.
    """
    rows: list[dict[str, Any]] = []
    for source in sorted({*references, *refused}):
        row: dict[str, Any] = dict.fromkeys(CLOCK_COLUMNS) | {"source": source}
        if source in refused:
            count = refused[source]
            seen = f"{count} event{'s' * (count != 1)} that another source may have seen, too"
            note = f"not compared: {seen}; {LEAST_MATCHES} that agree are needed"
            rows.append(row | {"matches": count, "note": note})
        elif references[source] == source:
            note = "the reference: taken to keep right time"
            rows.append(row | {"reference": source, "offset": 0.0, "drift": 0.0, "note": note})
        else:
            row["reference"] = references[source]
            rows += [row | told for told in _told(pieces[source])]
    return rows


def _told(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    rows = []
    for number, piece in enumerate(pieces):
        end = float(piece.at(np.array([piece.end]))[0])
        notes = [zone_note(piece.offset)]
        if piece.drift:
            notes.append(f"it drifts, to {end:+z,.3f} s at the end")
        if number:
            before = pieces[number - 1]
            by = piece.offset - float(before.at(np.array([before.end]))[0])
            notes.append(f"set by {by:+z,.3f} s since {_time(before.end):%Y-%m-%d %H:%M:%S} by its own clock")
        rows.append(
            {
                "start": _time(piece.start),
                "end": _time(piece.end),
                "offset": piece.offset,
                "drift": piece.drift * 1e6,
                "spread": piece.spread,
                "matches": piece.matches,
                "note": "; ".join(note for note in notes if note),
            }
        )
    return rows


def zone_note(offset: float) -> str:
    """Return what an offset says of a time zone; nothing where it does not look like one.

    Examples
    --------
    >>> zone_note(32437.4)
    'looks like a time zone: +9:00 h, and +37.400 s beside'
    >>> zone_note(37.4)
    ''
    """
    hours, quarters = round(offset / 3600), round(offset / 900)
    if hours and abs(offset - 3600 * hours) <= NEAR_HOUR:
        minutes = 60 * hours
    elif abs(quarters) > 1 and abs(offset - 900 * quarters) <= NEAR_QUARTER:
        minutes = 15 * quarters
    else:
        return ""
    if abs(minutes) > 60 * MOST_HOURS:
        return ""
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60}:{abs(minutes) % 60:02}"
    return f"looks like a time zone: {zone} h, and {offset - 60 * minutes:+z,.3f} s beside"


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)
