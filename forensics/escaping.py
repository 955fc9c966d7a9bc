r"""Evidence is hostile: one escaper for each place where text of the evidence ends up.

====================  =============================================================================
place                 escaper
====================  =============================================================================
HTML, SVG             `html_template`, which escapes every value; `markup_safe` elsewhere
script inside HTML    `script_json`
XML data (GraphML)    `xml_safe`, then the XML writer's own escaping
CSV                   `csv_safe`, then the CSV writer's own quoting
terminal, pictures    `terminal_safe`
DOT                   none is needed: only numbers go to Graphviz (`forensics.drawing.dot`)
====================  =============================================================================

Example: ``terminal_safe("abc\x1b[31m")`` gives ``abc<U+001B>[31m``.

References
----------
.. [1] Unicode Technical Report 36, *Unicode Security Considerations*, section 2: bidirectional text spoofing.
.. [2] OWASP, *CSV Injection*: the leading characters that a spreadsheet takes for a formula.
.. [3] W3C, *Extensible Markup Language (XML) 1.0*, section 2.2: the characters XML can hold.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["CONTENT_POLICY", "csv_safe", "html_template", "markup_safe", "script_json", "terminal_safe", "xml_safe"]

# Control, format (bidi and zero-width), surrogate, private and unassigned characters; line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# The full-width forms count too: a Japanese spreadsheet reads them as the ASCII ones.
_FORMULA = tuple(
    "=+-@\t\r\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""What every page may do: show what it holds. A page with a script of its own adds ``script-src 'unsafe-inline'``."""


def html_template(source: str, nothing: str = "not observed") -> Template:
    """The template of a page in which every value is escaped unless it is marked as markup of ours.

    Parameters
    ----------
    source
        The text of a jinja2 template.
    nothing
        What None reads.

    Returns
    -------
    jinja2.Template
        A template in which a missing value is an error.
    """
    from jinja2 import Environment, StrictUndefined

    def shown(value: object) -> object:
        if value is None:
            return nothing
        return terminal_safe(value) if type(value) is str else value  # markup of ours is a subclass of str

    settings = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=shown, trim_blocks=True, lstrip_blocks=True
    )
    return settings.from_string(source)


def _code_point(character: str) -> str:
    """The character as ``<U+202E>``."""
    return f"<U+{ord(character):04X}>"


def terminal_safe(text: str) -> str:
    r"""The text with every character that acts without being seen replaced by its code point.

    Parameters
    ----------
    text
        Any text, lone surrogates included.

    Returns
    -------
    str
        Text of one line that can be encoded as UTF-8 and neither moves the cursor nor turns the reading order.

    Examples
    --------
    >>> terminal_safe("invoice\u202efdp.exe")
    'invoice<U+202E>fdp.exe'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_code_point(c) if unicodedata.category(c) in _UNSEEN else c for c in text)


def markup_safe(text: str) -> str:
    """The text for HTML or SVG, inside an element or a quoted attribute.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        The text, unseen characters replaced and the five characters of markup escaped.

    Examples
    --------
    >>> markup_safe('"><b>')
    '&quot;&gt;&lt;b&gt;'
    """
    return html.escape(terminal_safe(text), quote=True)


def xml_safe(text: str) -> str:
    r"""The text with every character that XML 1.0 cannot hold replaced by its code point.

    Parameters
    ----------
    text
        Any text. The markup characters stay: the XML writer escapes them.

    Returns
    -------
    str
        Text that XML can hold.

    Examples
    --------
    >>> xml_safe("a\x00b")
    'a<U+0000>b'
    """
    return _NOT_XML.sub(lambda match: _code_point(match[0]), text)


def script_json(value: object) -> str:
    r"""The value as JSON that can stand inside a ``<script>`` element.

    Parameters
    ----------
    value
        Dictionaries, lists, text, finite numbers, booleans, None.

    Returns
    -------
    str
        ASCII JSON without ``<``, ``>`` and ``&``: no ``</script>`` and no ``<!--`` can end or open anything.

    Raises
    ------
    ValueError
        A number is infinite or not a number.

    Examples
    --------
    >>> script_json("</script>")
    '"\\u003c/script\\u003e"'
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def csv_safe(text: str) -> str:
    r"""The text for a CSV cell that a spreadsheet takes for text and never for a formula.

    Parameters
    ----------
    text
        Text of a cell; numbers need no care and must not come here, or -1 would become text.

    Returns
    -------
    str
        The text, unseen characters replaced, after a ``'`` where it would start a formula.

    Examples
    --------
    >>> csv_safe('=HYPERLINK("http://192.0.2.1")')
    '\'=HYPERLINK("http://192.0.2.1")'
    """
    safe = terminal_safe(text)
    return f"'{safe}" if safe.lstrip(" ").startswith(_FORMULA) else safe
