"""Charts over time, painted by matplotlib without its global state.

Example: ``to_chart(Series(times, values, None, ()), "png", title="to 192.0.2.7", timezone="UTC", source="a.pcap")``.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from forensics.drawing.canvas import plain_matplotlib, save_figure
from forensics.drawing.glyphs import NOTE, drawable
from forensics.drawing.model import seen
from forensics.drawing.style import INK, MATCHED, PALE, SPIKE, format_bytes, shorten, zone_name
from forensics.words import ENGLISH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from matplotlib.axes import Axes

    from forensics.words import Words

__all__ = ["Series", "to_chart"]

_SIZE = (9.0, 3.4)  # [in]
_TITLE_LENGTH, _SOURCE_LENGTH = 90, 85
_DAY = 86400.0  # [s]
_WINDOWS = (("day", _DAY), ("h", 3600.0), ("min", 60.0), ("s", 1.0))


@dataclass(frozen=True, slots=True)
class Series:
    """Bytes per window.

    Parameters
    ----------
    times
        Start of each window, in order.
    values
        Bytes of each window. [B]
    expected
        Bytes that the baseline expects [B]; None where there is none.
    spikes
        Start and end of each spike.
    marked
        What the legend calls those.
    words
        The language of the chart.

    Raises
    ------
    ValueError
        The sequences differ in length, or are empty.
    """

    times: Sequence[datetime]
    values: Sequence[float]
    expected: Sequence[float | None] | None
    spikes: Sequence[tuple[datetime, datetime]]
    marked: str = "spike"
    words: Words = ENGLISH

    def __post_init__(self) -> None:
        """Check the lengths: a shifted baseline would be a false picture."""
        lengths = {"times": len(self.times), "values": len(self.values)}
        if self.expected is not None:
            lengths["expected"] = len(self.expected)
        if len(set(lengths.values())) > 1 or not self.times:
            found = ", ".join(f"{name} {count}" for name, count in lengths.items())
            raise ValueError(f"a chart needs as many values as times, and at least one; it was given {found}")

    @property
    def window(self) -> float:
        """Length of a window. [s]"""
        steps = [(b - a).total_seconds() for a, b in zip(self.times, self.times[1:], strict=False)]
        return median(steps) if steps else 60.0


def to_chart(series: Series, kind: str, *, title: str, timezone: str, source: str) -> bytes:
    """The chart as the bytes of a file.

    Parameters
    ----------
    series
        What is shown.
    kind
        ``png`` or ``svg``.
    title
        Its title.
    timezone
        IANA name of the zone of the time axis.
    source
        Evidence it stands on.

    Returns
    -------
    bytes
        The file; the same series gives the same bytes.
    """
    from matplotlib.figure import Figure

    with plain_matplotlib():
        figure = Figure(figsize=_SIZE, facecolor="#ffffff", layout="constrained")
        axes = figure.add_subplot()
        _plot(axes, series)
        _dress(axes, series, timezone)
        head, note = (
            shorten(seen(title), _TITLE_LENGTH),
            shorten(series.words.told(f"Source: {seen(source)}"), _SOURCE_LENGTH),
        )
        if kind != "svg" and (drawable(head), drawable(note)) != (head, note):
            head, note = drawable(head), f"{drawable(note)}\n{NOTE}"
        axes.set_title(head, loc="left", fontsize=11, fontweight="bold", parse_math=False)
        figure.legend(loc="outside lower right", ncols=3, fontsize=8, frameon=False)
        figure.supxlabel(note, x=0.01, ha="left", fontsize=7.5, color=PALE, parse_math=False)
        return save_figure(figure, kind)


def _plot(axes: Axes, series: Series) -> None:
    """The volumes as steps, the baseline over them, the spikes as marked bands."""
    times = [_days(t) for t in series.times]
    times.append(times[-1] + series.window / _DAY)
    axes.stairs(list(series.values), times, fill=True, color="#9cc3df", label=series.words.told("observed"))
    axes.stairs(list(series.values), times, color=MATCHED, linewidth=0.8)
    if series.expected is not None:
        base = [float("nan") if e is None else float(e) for e in series.expected]
        known = [e for e in series.expected if e is not None]
        # Beside a spike the baseline may lie on the axis: its figure tells it all the same.
        text = f"expected, at most {format_bytes(max(known))}" if known else "expected: not known"
        axes.step(
            times,
            [*base, base[-1]],
            where="post",
            color=INK,
            linewidth=1.4,
            linestyle="--",
            label=series.words.told(text),
        )
    for number, (start, end) in enumerate(series.spikes):
        label = None if number else series.words.told(series.marked)
        band = axes.axvspan(_days(start), _days(end), facecolor="#ffd9c7", edgecolor=SPIKE, zorder=0, label=label)
        band.set_hatch("///")  # tells the spike without its colour


def _days(moment: datetime) -> float:
    """The moment as matplotlib counts time: days since 1970."""
    return moment.timestamp() / _DAY


def _dress(axes: Axes, series: Series, timezone: str) -> None:
    """Axes with their units."""
    from matplotlib.dates import AutoDateLocator, DateFormatter
    from matplotlib.ticker import FuncFormatter

    zone = ZoneInfo(timezone)
    axes.xaxis.set_major_locator(AutoDateLocator(tz=zone, maxticks=8))  # type: ignore[no-untyped-call] # matplotlib.dates has no types
    axes.xaxis.set_major_formatter(DateFormatter("%Y-%m-%d\n%H:%M", tz=zone))  # type: ignore[no-untyped-call] # as above
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_bytes(value)))
    axes.margins(x=0, y=0.1)
    axes.set_ylim(bottom=0)
    say = series.words.told
    axes.set_xlabel(say(f"time ({zone_name(timezone, series.times[0])})"), fontsize=9)
    axes.set_ylabel(say(f"bytes per {_window_name(series.window)}"), fontsize=9)
    axes.tick_params(labelsize=8.5)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _window_name(seconds: float) -> str:
    """The length of a window in the largest unit that fits: ``min``, ``10 min``, ``h``."""
    unit, size = next(((u, s) for u, s in _WINDOWS if seconds >= s), _WINDOWS[-1])
    count = seconds / size
    return unit if count == 1 else f"{count:g} {unit}"
