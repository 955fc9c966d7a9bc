"""Pictures of an investigation: the hop graph and the charts, as files and in a notebook.

Example: ``draw_hops(graph).save("hops.png")``; the suffix chooses the kind.

    graph -> model (what is drawn) -> layout (where) -> hops (painted scene) -> svg | canvas (png, pdf) | page (html)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensics.words import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from os import PathLike

    import pandas as pd
    from networkx import MultiDiGraph

    from forensics.case import Case
    from forensics.drawing.scene import Scene

__all__ = ["Drawing", "draw_beacon", "draw_heatmap", "draw_hops", "draw_timeline", "draw_volume"]


@dataclass(frozen=True)
class Drawing:
    """A picture that can be saved and that shows itself in a notebook.

    Parameters
    ----------
    title
        What it shows, in one line.
    writers
        A function for each kind of file it can be: ``svg``, ``png``, ...
    """

    title: str
    writers: Mapping[str, Callable[[], bytes]]

    def render(self, kind: str) -> bytes:
        """The picture as the bytes of a file.

        Parameters
        ----------
        kind
            One of `writers`, such as ``svg``.

        Returns
        -------
        bytes
            The file; the same picture gives the same bytes.

        Raises
        ------
        ValueError
            The picture has no such kind.
        """
        if kind not in self.writers:
            choices = ", ".join(f".{k}" for k in self.writers)
            raise ValueError(f"a drawing cannot be saved as .{kind}; choose one of {choices}")
        return self.writers[kind]()

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the picture to a file of the kind its suffix names.

        Parameters
        ----------
        path
            The file, such as ``hops.png``.

        Returns
        -------
        pathlib.Path
            The file that was written.

        Raises
        ------
        ValueError
            The suffix names no kind of this picture; the message lists them.
        """
        target = Path(path)
        target.write_bytes(self.render(target.suffix.lower().removeprefix(".")))
        return target

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the SVG, and the title where it shows text only."""
        del include, exclude  # one kind for all
        return {"image/svg+xml": self.render("svg").decode(), "text/plain": self.title}


def draw_hops(graph: MultiDiGraph[str], *, language: str = "en") -> Drawing:
    """Draw a hop graph: terminals at the left, relays, what lies beyond them at the right.

    Parameters
    ----------
    graph
        The hop graph, as `forensics.build_hop_graph` returns it.
    language
        Language of legend, marks and reasons, and of the interactive page: ``en`` or ``ja``.

    Returns
    -------
    Drawing
        To be saved as ``.png``, ``.svg``, ``.pdf``, ``.html`` (interactive) or ``.graphml``.

    Raises
    ------
    ValueError
        There are no pictures in that language.

    Notes
    -----
    The graph is read when a file is made, once for all kinds.

    Examples
    --------
    >>> draw_hops(graph).save("hops.svg")  # doctest: +SKIP
    PosixPath('hops.svg')
    """
    from forensics.drawing import canvas, hops, page, svg
    from forensics.exports import graphml

    words = words_of(language)
    picture = cache(partial(hops.draw_scene, graph, words))
    title, statement, when = hops.heading(graph, words)
    return Drawing(
        ". ".join(t for t in (title, statement, when) if t),
        {
            "png": lambda: canvas.to_png(picture().scene),
            "svg": lambda: svg.to_svg(picture().scene).encode(),
            "pdf": lambda: canvas.to_pdf(picture().scene),
            "html": lambda: page.to_page(graph, picture(), words).encode(),
            "graphml": lambda: graphml.render(graph)[graphml.SUFFIX],
        },
    )


def draw_heatmap(graph: MultiDiGraph[str], *, language: str = "en") -> Drawing:
    """Draw which terminal sent how much to which relay or candidate, as a table of coloured cells.

    Parameters
    ----------
    graph
        The hop graph, as `forensics.build_hop_graph` returns it.
    language
        Language of its words: ``en`` or ``ja``.

    Returns
    -------
    Drawing
        To be saved as ``.png``, ``.svg`` or ``.pdf``. Colours are by the logarithm of the bytes sent. [B]

    Notes
    -----
    At most 40 terminals and 24 relays have a row or column of their own; the others are one, in sum.

    Examples
    --------
    >>> draw_heatmap(graph).save("heatmap.svg")  # doctest: +SKIP
    PosixPath('heatmap.svg')
    """
    from forensics.drawing import heatmap

    return _painted("Bytes from terminals to relays", partial(heatmap.draw_scene, graph, words_of(language)))


def draw_timeline(
    graph: MultiDiGraph[str],
    *,
    spikes: pd.DataFrame | None = None,
    beacons: pd.DataFrame | None = None,
    language: str = "en",
) -> Drawing:
    """Draw the operation over time: each relay from its first to its last contact, and what was found about it.

    Parameters
    ----------
    graph
        The hop graph, as `forensics.build_hop_graph` returns it.
    spikes
        Findings of `forensics.find_spikes`, to be marked.
    beacons
        Findings of `forensics.find_beacons`, to be marked.
    language
        Language of its words: ``en`` or ``ja``.

    Returns
    -------
    Drawing
        To be saved as ``.png``, ``.svg`` or ``.pdf``.

    Notes
    -----
    The first 30 relays and candidates of the ranking are shown; the chart gives the number of the others.

    Examples
    --------
    >>> draw_timeline(graph, spikes=find_spikes(case)).save("timeline.svg")  # doctest: +SKIP
    PosixPath('timeline.svg')
    """
    from forensics.drawing import timeline

    first, second = ([] if found is None else found.to_dict("records") for found in (spikes, beacons))
    return _painted("Relays over time", partial(timeline.draw_scene, graph, first, second, words_of(language)))


def draw_beacon(case: Case, finding: Mapping[Any, Any] | pd.Series[Any], *, language: str = "en") -> Drawing:
    """Draw the contacts of a finding as a raster: one row for each day or hour, one stroke for each contact.

    Parameters
    ----------
    case
        The case that it was found in.
    finding
        A row of `forensics.find_beacons`: a mapping, or a row of the data frame (``beacons.iloc[0]``).
    language
        Language of its words: ``en`` or ``ja``.

    Returns
    -------
    Drawing
        To be saved as ``.png``, ``.svg`` or ``.pdf``.

    Raises
    ------
    ValueError
        No contact of the finding is on record.

    Examples
    --------
    >>> draw_beacon(case, find_beacons(case).iloc[0]).save("beacon.svg")  # doctest: +SKIP
    PosixPath('beacon.svg')
    """
    from forensics.drawing import beats, raster

    times = beats.times_of(case, finding)
    title = " to ".join(str(finding[end]) for end in ("src", "dst"))
    if not times:
        raise ValueError(f"no contact of {title} is on record in the time of this finding")
    told = {"about": str(finding["reason"]), "timezone": str(case.timezone), "source": str(finding["source"])}
    return _painted(title, partial(raster.draw_scene, times, title=title, words=words_of(language), **told))


def _painted(title: str, paint: Callable[[], Scene]) -> Drawing:
    """A drawing of a scene, which is painted once for all kinds."""
    from forensics.drawing import canvas, svg

    scene = cache(paint)
    return Drawing(
        title,
        {
            "png": lambda: canvas.to_png(scene()),
            "svg": lambda: svg.to_svg(scene()).encode(),
            "pdf": lambda: canvas.to_pdf(scene()),
        },
    )


def draw_volume(
    times: Sequence[datetime],
    values: Sequence[float],
    *,
    expected: Sequence[float | None] | None = None,
    spikes: Sequence[tuple[datetime, datetime]] = (),
    marked: str = "spike",
    title: str,
    timezone: str,
    source: str,
    language: str = "en",
) -> Drawing:
    """Draw the bytes per window toward one server, its baseline and its spikes.

    Parameters
    ----------
    times
        Start of each window, in order, with their zone.
    values
        Bytes of each window. [B]
    expected
        Bytes that the baseline expects in each window [B]; None where there is no baseline.
    spikes
        Start and end of each spike.
    marked
        What the legend calls those, where they are no spikes.
    title
        What is shown, such as the terminal and the server.
    timezone
        IANA name of the zone of the time axis.
    source
        Evidence that the chart stands on, for its source line.
    language
        Language of its other words: ``en`` or ``ja``.

    Returns
    -------
    Drawing
        To be saved as ``.png`` or ``.svg``.

    Raises
    ------
    ValueError
        The sequences differ in length.
    """
    from forensics.drawing import chart

    baseline = None if expected is None else tuple(expected)
    series = chart.Series(tuple(times), tuple(values), baseline, tuple(spikes), marked, words_of(language))
    paint = partial(chart.to_chart, series, title=title, timezone=timezone, source=source)
    return Drawing(title, {kind: partial(paint, kind) for kind in ("png", "svg")})
