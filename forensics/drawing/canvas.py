"""A scene as PNG or PDF, painted by matplotlib without its global state; the same scene gives the same bytes.

Example: ``to_png(scene)`` is the file as bytes.
"""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from forensics.drawing.glyphs import NOTE, drawable, fonts_here
from forensics.drawing.scene import Outline, Scene, Text
from forensics.drawing.style import SPIKE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

__all__ = ["plain_matplotlib", "save_figure", "to_pdf", "to_png"]

_POINTS_PER_INCH = 72
_DPI = 160  # a screenful stays sharp on paper
_NOTE_X, _NOTE_HEIGHT = 24.0, 16.0  # where the note on characters stands [pt]
_LARGEST = 16_000  # pixels of a side; beyond it viewers refuse a PNG

# No date, no version: the same scene gives the same bytes on the same machine, today and tomorrow.
_NO_DATES: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


_ALIGN: dict[str, Literal["left", "center", "right"]] = {"start": "left", "middle": "center", "end": "right"}


@contextmanager
def plain_matplotlib() -> Iterator[None]:
    """Matplotlib with its own defaults, whatever style the analyst's notebook has set."""
    import matplotlib as mpl

    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    with mpl.rc_context(), warnings.catch_warnings():
        log.setLevel(logging.ERROR)  # many Japanese fonts have no bold face: that is no news to the reader
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.hashsalt": "forensics", "svg.fonttype": "none", "pdf.fonttype": 42})
        mpl.rcParams["font.family"] = list(fonts_here())
        # The text of an SVG is drawn by whoever looks at it: what the fonts here lack matters to other kinds alone.
        warnings.filterwarnings("ignore", message=r"(?s)Glyph .* missing from")
        try:
            yield
        finally:
            log.setLevel(level)


def save_figure(figure: Figure, kind: str, *, dpi: float = _DPI) -> bytes:
    """The figure as the bytes of a file.

    Parameters
    ----------
    figure
        A figure that is not in pyplot's hands.
    kind
        ``png``, ``pdf`` or ``svg``.
    dpi
        Pixels per inch of a PNG.

    Returns
    -------
    bytes
        The file, without a date.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=dpi, metadata=_NO_DATES[kind])
    return buffer.getvalue()


def to_png(scene: Scene) -> bytes:
    """The scene as PNG."""
    longest = max(scene.width, scene.height) / _POINTS_PER_INCH
    return _paint(scene, "png", min(_DPI, _LARGEST / longest))


def to_pdf(scene: Scene) -> bytes:
    """The scene as PDF, one page of its own size."""
    return _paint(scene, "pdf", _POINTS_PER_INCH)


def _paint(scene: Scene, kind: str, dpi: float) -> bytes:
    """The scene as the bytes of a file."""
    from matplotlib.figure import Figure

    scene = _with_note(scene)
    with plain_matplotlib():
        size = (scene.width / _POINTS_PER_INCH, scene.height / _POINTS_PER_INCH)
        figure = Figure(figsize=size, facecolor="#ffffff")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set_xlim(0, scene.width)
        axes.set_ylim(scene.height, 0)  # y downwards, as in the scene
        for order, item in enumerate(scene.items):
            artist = _patch(item) if isinstance(item, Outline) else _line(item)
            artist.set_zorder(order)
            axes.add_artist(artist)
        return save_figure(figure, kind, dpi=dpi)


def _with_note(scene: Scene) -> Scene:
    """The scene, with a note below it where a text has characters that cannot be drawn here."""
    texts = [item.text for item in scene.items if isinstance(item, Text)]
    if all(drawable(text) == text for text in texts):
        return scene
    note = Text(_NOTE_X, scene.height, NOTE, 8.0, colour=SPIKE)
    return Scene(scene.width, scene.height + _NOTE_HEIGHT, scene.title, [*scene.items, note])


def _patch(item: Outline) -> Artist:
    """One outline for matplotlib."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    codes: list[int] = []
    points: list[tuple[float, float]] = []
    kinds = {"M": Path.MOVETO, "L": Path.LINETO, "C": Path.CURVE4, "Z": Path.CLOSEPOLY}
    for name, steps in item.steps:
        placed: Sequence[tuple[float, float]] = steps or ((0.0, 0.0),)
        points.extend(placed)
        codes.extend([int(kinds[name])] * len(placed))
    # matplotlib counts dashes in pen widths when it is told to scale them; they are given in points here.
    dash = tuple(d / item.width for d in item.dash)
    return PathPatch(
        Path(points, codes),
        facecolor=item.fill or "none",
        edgecolor=item.stroke or "none",
        linewidth=item.width if item.stroke else 0.0,
        linestyle=(0.0, dash) if dash else "solid",
        capstyle="butt",
        joinstyle="miter",
    )


def _line(item: Text) -> Artist:
    """One line of text for matplotlib, which must not take a ``$`` for mathematics."""
    from matplotlib.text import Text as MatplotlibText

    weight = "bold" if item.bold else "normal"
    return MatplotlibText(
        item.x,
        item.y,
        drawable(item.text),
        color=item.colour,
        fontsize=item.size,
        fontweight=weight,
        horizontalalignment=_ALIGN[item.anchor],
        verticalalignment="baseline",
        rotation=-item.turn,
        rotation_mode="anchor",
        parse_math=False,
    )
