"""What all charts that are painted as scenes share: heading, source line, and an axis of time.

Example: ``frame = Frame("Case 7", "bytes sent"); ...; frame.finish("a.pcap")`` is a scene with title and source.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from forensics.drawing.model import seen
from forensics.drawing.scene import Outline, Scene, Text, text_width
from forensics.drawing.style import PALE, shorten
from forensics.words import ENGLISH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from networkx import MultiDiGraph

    from forensics.drawing.scene import Point
    from forensics.words import Words

__all__ = ["MARGIN", "SMALL", "Frame", "evidence_of", "line", "time_ticks"]

MARGIN = 24.0  # around a chart [pt]
SMALL = 8.0  # font size of labels [pt]
_MOST_TICKS = 10
_SOURCES = 4  # files that a source line names
_NO_BLANKS = "\u3000"  # from here on are scripts that a line may be broken in without a blank

_STEPS = (
    *(timedelta(seconds=s) for s in (1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600)),
    *(timedelta(days=d) for d in (1, 2, 7, 14, 28, 91, 182, 364, 728, 1820, 3640)),
)


class Frame:
    """A chart that is being painted: its scene, with the heading on it.

    Parameters
    ----------
    title
        What is shown; text of the evidence may stand in it.
    about
        What is counted, in which unit, time and zone: lines below the title.
    width
        Width of the whole. [pt]
    words
        The language of the chart.
    """

    def __init__(self, title: str, about: Sequence[str], width: float, words: Words = ENGLISH) -> None:
        """Paint the heading."""
        self.say = words.told
        title, about = self.say(title), [self.say(text) for text in about]
        told = ". ".join(seen(text) for text in (title, *about))
        self.scene = Scene(width, 0.0, told)
        self.y = MARGIN + 12.0
        self.scene.add([Text(MARGIN, self.y, _fitted(seen(title), 14.0, width, bold=True), 14.0, bold=True)])
        for text in about:
            for row in _wrapped(seen(text), 9.0, width):
                self.y += 14.0
                self.scene.add([Text(MARGIN, self.y, row, 9.0, colour=PALE)])
        self.y += 14.0

    def finish(self, source: str) -> Scene:
        """The scene, with the source line as its last."""
        text = _fitted(self.say(f"Source: {seen(source)}"), SMALL, self.scene.width)
        self.scene.add([Text(MARGIN, self.y + 10, text, SMALL, colour=PALE)])
        self.scene.height = self.y + 10 + MARGIN
        return self.scene


def _wrapped(text: str, size: float, width: float) -> list[str]:
    """The text in two lines where it needs them; the second is shortened where it is still too long."""
    ends = [place for place, character in enumerate(text) if character == " " or character >= _NO_BLANKS]
    fits = (end for end in reversed([*ends, len(text)]) if text_width(text[:end], size) <= width - 2 * MARGIN)
    first = next(fits, len(text))
    return [_fitted(row, size, width) for row in (text[:first], text[first:].strip()) if row]


def _fitted(text: str, size: float, width: float, *, bold: bool = False) -> str:
    """The text, shortened until it keeps within the margins."""
    room, length = width - 2 * MARGIN, len(text)
    while length > 1 and text_width(text, size, bold=bold) > room:
        length = min(length - 1, int(length * room / text_width(text, size, bold=bold)))
        text = shorten(text, max(length, 1))
    return text


def line(start: Point, stop: Point, colour: str, width: float = 0.6, dash: tuple[float, ...] = ()) -> Outline:
    """A straight line."""
    return Outline((("M", (start,)), ("L", (stop,))), stroke=colour, width=width, dash=dash)


def time_ticks(start: datetime, end: datetime, timezone: str) -> list[tuple[datetime, str]]:
    """Round moments between two times, by the clock of a zone, and how an axis writes them.

    Parameters
    ----------
    start, end
        The times.
    timezone
        IANA name of the zone.

    Returns
    -------
    list of tuple
        Moment and text, in order; those of less than a day without the year, which stands in the chart's heading.
    """
    zone = ZoneInfo(timezone)
    first, last = (t.astimezone(zone).replace(tzinfo=None) for t in (start, end))
    step = next((s for s in _STEPS if (last - first) / s <= _MOST_TICKS), _STEPS[-1])
    midnight = datetime.combine(first.date(), datetime.min.time())
    local = midnight + (first - midnight) // step * step if step < timedelta(days=1) else midnight
    form = "%Y-%m-%d" if step >= timedelta(days=1) else "%m-%d %H:%M" if step >= timedelta(minutes=1) else "%H:%M:%S"
    found = []
    while local <= last:
        if local >= first:
            found.append((local.replace(tzinfo=zone), local.strftime(form)))
        local += step
    # Where the clocks go back an hour comes twice: what would stand before its neighbour is left out.
    return [tick for before, tick in pairwise([(start, ""), *found]) if tick[0] >= before[0]]


def evidence_of(graph: MultiDiGraph[str]) -> str:
    """The evidence files of a graph, the first ones by name."""
    files = sorted({seen(e["source"]) for _, _, d in graph.edges(data=True) for e in d.get("evidence") or ()})
    more = len(files) - _SOURCES
    return ", ".join(files[:_SOURCES]) + (f" and {more} more" if more > 0 else "") if files else "none named"
