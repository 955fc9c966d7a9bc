"""The head of a file as formats are recognised by it: text, lines, without what syslog put before them.

Example: ``first_lines(head, hints)`` gives the first twenty lines of a log in UTF-16 that came through syslog.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from forensics.formats._encodings import decoded, encoding_of

if TYPE_CHECKING:
    from forensics.formats import Hints

__all__ = ["LINES", "body_of", "definitions", "first_lines", "text"]

LINES = 20
"""Lines that decide whether a file is of a format; half of them must be readable."""

_TIME = rb"\d\d:\d\d:\d\d(?:\.\d{1,9}+|(?!\.))"
_ISO = rb"\d{4}-\d\d-\d\dT" + _TIME + rb"(?:Z|[+-]\d\d:?\d\d)?"
_MONTHS = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_OLD = _MONTHS + rb"  ?\d{1,2} (?:\d{4} )?" + _TIME
_TAG = rb"[^ \",:=|]{1,63}:(?: +|$)"
_PRIORITY = re.compile(rb"<\d{1,3}>")
_STRUCTURED = re.compile(
    rb"1 (?:" + _ISO + rb"|-) [^ ]* [^ ]* [^ ]* [^ ]* "
    rb"(?:-|(?:\[(?:[^\"\]]|\"(?:[^\"\\]|\\.)*+\")*+\])++)(?: |$)(?:\xef\xbb\xbf)?",
    re.DOTALL,
)
_MARKED = re.compile(rb"(?:" + _OLD + rb"|" + _ISO + rb") (?:" + _TAG + rb"|[^ ]*(?: +|$)(?:" + _TAG + rb")?)")
_UNMARKED = re.compile(
    rb"(?:" + _OLD + rb" (?:" + _TAG + rb"|[^ ]*(?: +|$)(?:" + _TAG + rb")?)"
    rb"|" + _ISO + rb" (?:" + _TAG + rb"|[^ ]* " + _TAG + rb"))"
)
"""Heads as `forensics.formats._syslog` knows them, without its compiled loop: a few lines are not worth loading it."""

_CAPITALS = b"ABCDEFGHIJKLMNOPQRS"  # a month may follow

_PREFIX = re.compile(r"([a-z][a-z0-9_]*):\s+(.+)", re.DOTALL)


def text(head: bytes, hints: Hints, *, limit: int = LINES) -> str:
    r"""Return the first lines of a file, joined by ``\n``: decoded, without heads of syslog and blank lines.

    Parameters
    ----------
    head
        The first bytes of the file; a line that they cut is left out, unless it is the only one.
    hints
        Its ``encoding`` counts.
    limit
        Most lines to return.
    """
    return "\n".join(first_lines(head, hints, limit=limit))


def first_lines(head: bytes, hints: Hints, *, limit: int = LINES) -> list[str]:
    """Return the first lines of a file, as `text` has them.

    Parameters
    ----------
    head, hints, limit
        As for `text`.
    """
    return list(_bodies(head, encoding_of(head, hints.encoding), limit))


@lru_cache(maxsize=4)  # every format asks for the same file
def _bodies(head: bytes, encoding: str, limit: int) -> tuple[str, ...]:
    found = decoded(head, encoding).split("\n")
    if len(found) > 1:
        found.pop()  # cut by the end of the head, or empty after the last line end
    lines = (line.removesuffix("\r") for line in found)
    return tuple(islice((body_of(line) for line in lines if line and not line.isspace()), limit))


def body_of(line: str) -> str:
    """Return a line without the head that syslog put before it; where there are two, without both."""
    data = line.encode("utf-8", "surrogateescape")
    at = _head_end(data, 0)
    if at and data[at : at + 1] in _CAPITALS:
        at = _head_end(data, at)
    return data[at:].decode("utf-8", "surrogateescape")


def _head_end(data: bytes, at: int) -> int:
    """Return where the head of a line ends."""
    marked = _PRIORITY.match(data, at)
    at = marked.end() if marked else at
    found = (marked and _STRUCTURED.match(data, at)) or (_MARKED if marked else _UNMARKED).match(data, at)
    return found.end() if found else at


def definitions(logformat: str | None, name: str) -> tuple[str, ...]:
    """Return what the hint ``logformat`` says to a format: its definitions, one a line, without the format's name.

    Without a name a definition is Squid's, or nginx's where it holds ``$name``.

    Parameters
    ----------
    logformat
        The hint; None where there is none.
    name
        Name of the format that asks.

    Raises
    ------
    ValueError
        The hint is for other formats; the message says for which.
    """
    if logformat is None:
        return ()
    found = [_named(line) for line in logformat.splitlines() if line.strip()] or [_named(logformat)]
    others = sorted({other for other, _ in found} - {name})
    mine = tuple(definition for other, definition in found if other == name)
    if not mine:
        raise ValueError(f"--logformat is one of {', '.join(others)}")
    return mine


def _named(line: str) -> tuple[str, str]:
    """Return the format that a definition is for, and the definition."""
    if found := _PREFIX.fullmatch(line):
        return found[1], found[2]
    return ("nginx" if re.search(r"\$\w", line) else "squid"), line
