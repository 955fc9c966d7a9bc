"""Contacts as a raster: one row for each day or hour, one stroke for each contact, so that a clock shows as a pattern.

Example: ``draw_scene(times, title="10.0.0.21 to 198.51.100.7", about="", timezone="UTC", source="a.pcap")``.

A beacon whose period divides the row's length stands in columns; any other in slanted lines; people leave blank nights.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from forensics.drawing.frames import MARGIN, SMALL, Frame, line
from forensics.drawing.scene import Outline, Text, text_width
from forensics.drawing.style import INK, MATCHED, format_range, zone_name
from forensics.words import ENGLISH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.drawing.scene import Scene, Step
    from forensics.words import Words

__all__ = ["MOST_ROWS", "draw_scene"]

MOST_ROWS = 366
"""Rows; later ones are not shown, and the chart says so."""

_WIDE = 620.0  # of a row [pt]
_FINE = 0.5  # two strokes nearer than this are one [pt]
_HIGHEST, _LOWEST, _ALL = 16.0, 2.5, 420.0  # of a row, and of all rows where they are many [pt]
_LABEL = 11.0  # room that a row's label needs [pt]
_GRID = "#e0e0e0"
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_DAYS_FROM = timedelta(hours=36)  # what lasts longer is shown by the day, else by the hour


def draw_scene(
    times: Sequence[datetime], *, title: str, about: str, timezone: str, source: str, words: Words = ENGLISH
) -> Scene:
    """The raster.

    Parameters
    ----------
    times
        When contacts began; at least one.
    title, about
        Who met whom, and what was found about it.
    timezone
        IANA name of the zone by whose clock rows begin.
    source
        Evidence it stands on.
    words
        The language of the chart.

    Returns
    -------
    Scene
        The chart.
    """
    zone = ZoneInfo(timezone)
    local = sorted(t.astimezone(zone).replace(tzinfo=None) for t in times)
    row = _DAY if local[-1] - local[0] > _DAYS_FROM else _HOUR
    begin = local[0].replace(minute=0, second=0, microsecond=0)
    begin = begin.replace(hour=0) if row == _DAY else begin
    rows: defaultdict[int, set[int]] = defaultdict(set)
    for moment in local:
        number, rest = divmod(moment - begin, row)
        rows[number].add(round(_WIDE * (rest / row) / _FINE))
    count = max(rows) + 1
    unit = "day" if row == _DAY else "hour"
    what = f"{len(times):,} contacts, one stroke each; one row per {unit}"
    what += f"; the first {MOST_ROWS} of {count:,} rows" if count > MOST_ROWS else ""
    when = format_range(min(times), max(times), timezone)
    frame = Frame(title, [text for text in (about, what, when) if text], MARGIN * 2 + _WIDE + _left(row) + 20, words)
    _paint(frame, rows, begin, row, min(count, MOST_ROWS))
    axis = "time of day [h]" if row == _DAY else "minute of the hour [min]"
    middle = MARGIN + _left(row) + _WIDE / 2
    text = frame.say(f"{axis}, {zone_name(timezone, min(times))}")
    frame.scene.add([Text(middle, frame.y + 26, text, 9.0, anchor="middle")])
    frame.y += 36
    return frame.finish(source)


def _left(row: timedelta) -> float:
    """Room for the names of the rows. [pt]"""
    return text_width("2000-00-00" if row == _DAY else "2000-00-00 00 h", SMALL) + 10


def _paint(frame: Frame, rows: dict[int, set[int]], begin: datetime, row: timedelta, count: int) -> None:
    """Axes and strokes."""
    left, top = MARGIN + _left(row), frame.y + 4
    high = min(_HIGHEST, max(_LOWEST, _ALL / count))
    bottom = top + high * count
    ticks = range(0, 25, 3) if row == _DAY else range(0, 61, 5)
    for tick in ticks:
        x = left + _WIDE * tick / ticks[-1]
        frame.scene.add([line((x, top), (x, bottom), _GRID), Text(x, bottom + 12, str(tick), SMALL, anchor="middle")])
    every = max(1, -int(-_LABEL // high))
    form = "%Y-%m-%d" if row == _DAY else "%Y-%m-%d %H h"
    for number in range(0, count, every):
        label, y = (begin + number * row).strftime(form), top + high * number
        frame.scene.add([line((left, y), (left + _WIDE, y), _GRID)])
        frame.scene.add([Text(left - 6, y + high / 2 + 3, label, SMALL, anchor="end")])
    frame.scene.add([line((left, bottom), (left + _WIDE, bottom), INK, 0.8)])
    steps: list[Step] = []
    for number in sorted(set(rows) & set(range(count))):
        y = top + high * number
        for place in sorted(rows[number]):
            x = left + place * _FINE
            steps += [("M", ((x, y + high * 0.08),)), ("L", ((x, y + high * 0.92),))]
    frame.scene.add([Outline(tuple(steps), stroke=MATCHED, width=0.9)])
    frame.y = bottom
