"""How roles, tiers, bytes and times look: the one place for colours, dashes and wording.

Example: ``format_bytes(4_210_000)`` is ``4.21 MB``.

Every role has a shape beside its colour and every tier a dash beside its colour, so that a picture loses nothing for a
colour-blind reader or on a black-and-white printer.

References
----------
.. [1] M. Okabe, K. Ito, *Color Universal Design: how to make figures and presentations that are friendly to colorblind
   people*, 2008: the hues used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from math import log10
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "CHAIN_BAND", "INK", "LINE", "MATCHED", "NOT_OBSERVED", "PALE", "ROLES", "SPIKE", "TIERS",
    "Role", "Tier", "format_bytes", "format_p", "format_range", "format_time", "pen_width", "shorten", "zone_name",
]  # fmt: skip

INK = "#1a1a1a"
PALE = "#5c5c5c"
LINE = "#4d4d4d"
SPIKE = "#c43c00"
MATCHED = "#004a80"
CHAIN_BAND = "#ffe08a"  # prints as a light grey band

NOT_OBSERVED = "not observed"

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True)
class Role:
    """How nodes of one role are drawn.

    Parameters
    ----------
    label
        What the legend says.
    fill, stroke, ink
        Colours of the shape, its outline and its text.
    width
        Pen width of the outline. [pt]
    cut, radius
        Corners cut off or rounded. [pt]
    double
        Whether a second outline stands inside the first.
    size
        Font size of the first line. [pt]
    shape
        The nearest shape of Cytoscape.js.
    """

    label: str
    fill: str
    stroke: str
    ink: str = INK
    width: float = 1.0
    cut: float = 0.0
    radius: float = 0.0
    double: bool = False
    size: float = 10.0
    shape: str = "rectangle"


ROLES: dict[str, Role] = {
    "terminal": Role("terminal of the organisation", "#d3e9f7", "#00609c", width=1.2),
    "proxy": Role("proxy", "#e4e4e4", "#808080", radius=11.0, size=8.5, shape="round-rectangle"),
    "relay": Role("relay (hop server) or candidate", "#fcdcb4", "#a63c00", width=2.4, cut=9.0, shape="cut-rectangle"),
    "upstream": Role("upstream: beyond a relay", "#4b2e5a", "#4b2e5a", ink="#ffffff", width=1.4, double=True),
    "other": Role("other server", "#ffffff", "#808080", radius=7.0, size=9.0, shape="round-rectangle"),
}
"""Roles in the order in which they are drawn and explained."""


@dataclass(frozen=True, slots=True)
class Tier:
    """How lines of one tier are drawn.

    Parameters
    ----------
    label
        What the legend says.
    colour
        Colour of the line.
    dash
        Lengths of dash and gap, in pen widths of at least one point.
    dashed
        The nearest line style of Cytoscape.js.
    """

    label: str
    colour: str
    dash: tuple[float, ...] = ()
    dashed: str = "solid"


TIERS: dict[str, Tier] = {
    "observed": Tier("observed: the connection is on record", LINE),
    "shared": Tier("shared: a rare server that several terminals use", LINE, (1.2, 2.4), "dotted"),
    "matched": Tier("matched: inferred from timing, not on record", MATCHED, (6.0, 3.0), "dashed"),
    "asserted": Tier("asserted by the analyst", "#7a5c00", (8.0, 2.5, 1.5, 2.5), "dashed"),
}
"""Tiers of an edge, from what a record shows to what somebody says."""


def format_bytes(count: float | None) -> str:
    """A number of bytes in words.

    Parameters
    ----------
    count
        The number [B]; None where the direction was not observed.

    Returns
    -------
    str
        Three significant digits and a unit of powers of 1000.

    Examples
    --------
    >>> format_bytes(None)
    'not observed'
    """
    if count is None:
        return NOT_OBSERVED
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:  # noqa: PLR2004 - from here on three digits round up to 1000
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB" if value < 999.5 else f"{value:,.0f} TB"  # noqa: PLR2004 - as above


def format_p(value: float) -> str:
    """A p-value to one digit, in powers of ten where it is small.

    Parameters
    ----------
    value
        The probability.

    Returns
    -------
    str
        Such as ``p = 0.004`` or ``p = 2\N{MULTIPLICATION SIGN}10\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT FIVE}``.
    """
    if value >= 0.001 or value <= 0:  # noqa: PLR2004 - as long as the zeros can be counted at a glance
        return f"p = {value:.1g}"
    digit, power = f"{value:.0e}".split("e")
    return f"p = {digit}\N{MULTIPLICATION SIGN}10{str(int(power)).translate(_SUPERSCRIPT)}"


def pen_width(count: float | None) -> float:
    """Pen width of a line that stands for so many bytes: 1 kB is 0.9 pt, and each power of ten 0.75 pt more.

    Parameters
    ----------
    count
        Bytes both ways [B]; None where neither direction was observed.

    Returns
    -------
    float
        Pen width between 0.9 and 8. [pt]
    """
    if not count:
        return 0.9
    return min(8.0, 0.9 + 0.75 * max(0.0, log10(count) - 3))


def zone_name(zone: str, moment: datetime | None) -> str:
    """The zone with its offset at that moment, such as ``Asia/Tokyo, UTC+09:00``."""
    if moment is None:
        return zone
    offset = moment.astimezone(ZoneInfo(zone)).strftime("%z")
    return f"{zone}, UTC{offset[:3]}:{offset[3:5]}"


def format_time(moment: datetime | None, zone: str = "UTC") -> str:
    """The moment in the zone, to the second; ``not observed`` for None."""
    if moment is None:
        return NOT_OBSERVED
    local = moment.astimezone(UTC if zone == "UTC" else ZoneInfo(zone))
    return local.strftime("%Y-%m-%d %H:%M:%S")


def format_range(start: datetime | None, end: datetime | None, zone: str) -> str:
    """The time range with its zone, to the minute."""
    if start is None or end is None:
        return f"time range {NOT_OBSERVED} ({zone})"
    first, last = format_time(start, zone)[:-3], format_time(end, zone)[:-3]
    return f"{first} to {last} ({zone_name(zone, start)})"


def shorten(text: str, longest: int) -> str:
    """The text, its middle replaced by an ellipsis where it is longer than so many characters."""
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return f"{text[: longest - 1 - tail]}\N{HORIZONTAL ELLIPSIS}{text[-tail:]}"
