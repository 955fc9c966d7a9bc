"""Which characters this machine can draw: Japanese names need a font that holds them.

Example: ``drawable("端末")`` is the same text where such a font is installed, else ``??``.

PNG and PDF are drawn with the fonts of the machine that makes them; a character that none of them holds would be an
empty box, which looks like a name of its own. It becomes a question mark, and the picture says so. SVG and HTML hold
the text itself and rely on the fonts of whoever looks at them.
"""

from __future__ import annotations

from functools import cache

from forensics.drawing.scene import FONTS

__all__ = ["NOTE", "drawable", "fonts_here"]

NOTE = "? stands for a character that no font of this machine holds; the SVG of the same picture has it."
"""What a picture says in which characters were replaced."""


@cache
def fonts_here() -> tuple[str, ...]:
    """The fonts of `FONTS` that this machine has: a missing one would be reported for every piece of text."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    # matplotlib keeps a list of fonts from an earlier day; a font that was installed since is not in it.
    known = {font.fname for font in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - known):
        try:
            fontManager.addfont(path)
        except (OSError, RuntimeError):  # a broken font, or a kind that matplotlib cannot read
            continue
    names = set(fontManager.get_font_names())
    return tuple(f for f in FONTS if f in names)


@cache
def _characters(fonts: tuple[str, ...]) -> frozenset[int]:
    """Code points that one of these fonts holds."""
    from matplotlib.font_manager import FontProperties, fontManager, get_font

    paths = [fontManager.findfont(FontProperties(family=[name]), fallback_to_default=False) for name in fonts]
    return frozenset(code for path in paths for code in get_font(path).get_charmap())


def drawable(text: str) -> str:
    """The text with a question mark for every character that this machine cannot draw.

    Parameters
    ----------
    text
        The text.

    Returns
    -------
    str
        Text of the same length.
    """
    if text.isascii():
        return text
    held = _characters(fonts_here())
    return "".join(c if ord(c) in held else "?" for c in text)
