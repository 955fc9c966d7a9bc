"""The steps of a query: what it puts before itself by WITH, so that an engine can run each of them once.

Spark puts the text of a step wherever the step is named: one that is named five times is computed five times, and what
it stands on as often again. A query whose steps are tables of their own is computed once.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

__all__ = ["TOKEN", "Step", "is_blank", "steps_of"]

TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|\s+|\w+|.""",
    re.DOTALL,
)
"""One piece of a query: a comment, something quoted, white space, a word, or any other character."""


class Step(NamedTuple):
    """A step: its name, its query, and how often what follows it names it."""

    name: str
    text: str
    named: int


def is_blank(piece: str) -> bool:
    """Tell whether a piece says nothing: white space or a comment."""
    return piece.isspace() or piece.startswith(("--", "/*"))


def steps_of(text: str) -> tuple[list[Step], str]:
    """Return the steps of a query, and what stands after them; no step where it is written in any other way.

    Examples
    --------
    >>> steps, rest = steps_of("WITH a AS (SELECT 1 AS n) SELECT a.n FROM a JOIN a b ON a.n = b.n")
    >>> steps[0], rest
    (Step(name='a', text='SELECT 1 AS n', named=2), 'SELECT a.n FROM a JOIN a b ON a.n = b.n')
    """
    pieces = TOKEN.findall(text)
    words = [place for place, piece in enumerate(pieces) if not is_blank(piece)]
    found: list[tuple[str, str]] = []
    at = 0
    while at + 3 < len(words):
        first, name, as_, opened = (pieces[place] for place in words[at : at + 4])
        if first.upper() != ("," if found else "WITH") or as_.upper() != "AS" or opened != "(":
            break
        closed = _closed(pieces, words, at + 3)
        found.append((name, "".join(pieces[words[at + 3] + 1 : words[closed]]).strip()))
        at = closed + 1
    if not found or at >= len(words) or pieces[words[at]].upper() != "SELECT":
        return [], text
    rest = "".join(pieces[words[at] :])
    named = Counter(word for _, query in [*found, ("", rest)] for word in _named(query))
    return [Step(name, query, named[name.lower()]) for name, query in found], rest


def _closed(pieces: list[str], words: list[int], opened: int) -> int:
    """Return where the parenthesis is closed that is opened at a place; the end where it is not."""
    depth = 0
    for at in range(opened, len(words)):
        depth += {"(": 1, ")": -1}.get(pieces[words[at]], 0)
        if not depth:
            return at
    return len(words) - 1


def _named(query: str) -> list[str]:
    """Return the tables that a query names, in small letters, each as often as it is named."""
    words = [piece.lower() for piece in TOKEN.findall(query) if not is_blank(piece)]
    return [name for before, name in pairwise(words) if before in ("from", "join")]
