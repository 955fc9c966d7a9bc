"""Values of JSON one after another: objects a line, objects end to end, or the records of a document's list.

Example::

    for value, text, problem in values(evidence, under="records"):
        ...

Only one record is held at a time, however long the list is.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, BinaryIO

from forensics.errors import EvidenceError
from forensics.formats import HEAD_BYTES
from forensics.formats._encodings import text_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats import Evidence

__all__ = ["Peeked", "values"]

CHUNK = 1 << 18
LONGEST = 16 << 20
"""Longest record, or document that is no list of records, that is read. [characters]"""

DEEPEST = 64
"""Levels of nesting; no record has more than a few."""

LONGEST_LITERAL = 16
"""So near to the end of what is read an error may be that of a number or word that goes on. [characters]"""

_DECODER = json.JSONDecoder()
_GAPS = " \t\r\n,[]\ufeff"


def values(evidence: Evidence, under: str = "") -> Iterator[tuple[object, str, str]]:
    """Yield each value of a file with its text, and what is wrong with it.

    Parameters
    ----------
    evidence
        The file; lists at its top are gone into.
    under
        A key: an object that begins with a list of that key is gone into too.

    Raises
    ------
    forensics.errors.EvidenceError
        The stream was damaged; what came before was yielded.
    """
    opening = re.compile(rf'\{{\s*"{under}"\s*:\s*\[') if under else None
    source, text, at, opened, sound = _Text(evidence), "", 0, 0, True
    while True:
        at, opened = _behind_gap(text, at, opened)
        if at >= len(text):
            text, at = source.more(), 0
            if not text:
                break
            continue
        if opening and (found := opening.match(text, at)):
            at, opened = found.end(), opened + 1
            continue
        try:
            value, end = _DECODER.raw_decode(text, at)
            problem = "" if _depth(value) <= DEEPEST else f"nested deeper than {DEEPEST} levels"
        except (ValueError, RecursionError) as error:
            if _is_cut(error, text) and len(text) - at < LONGEST and (more := source.more(len(text) - at)):
                text, at = text[at:] + more, 0
                continue
            value, end, problem = None, _behind(text, at), f"not JSON: {str(error).partition(': line')[0]}"
        yield value, text[at:end], problem
        sound = sound and not problem
        text, at = (text[end:], 0) if end > CHUNK else (text, end)
    if opened and sound:
        evidence.notes["truncated"] = f"the list {under} is never closed"
    if source.damage is not None:
        raise source.damage


def _behind_gap(text: str, at: int, opened: int) -> tuple[int, int]:
    """Return where the next value begins, and how many objects are open that lists were gone into of."""
    while at < len(text) and (text[at] in _GAPS or (opened and text[at] == "}")):
        opened -= text[at] == "}"
        at += 1
    return at, opened


def _is_cut(error: Exception, text: str) -> bool:
    """Tell whether a value may be whole once more of the file is read."""
    return isinstance(error, json.JSONDecodeError) and (
        error.pos + LONGEST_LITERAL >= len(text) or error.msg.startswith("Unterminated")
    )


def _depth(value: object) -> int:
    """Return how deep a value is nested, as far as that matters."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        depth += 1
    return depth


def _behind(text: str, at: int) -> int:
    """Return where reading goes on behind a damage: the next line, which there is none of in a document of one."""
    return text.find("\n", at) + 1 or len(text)


class _Text:
    """The text of a file, a part at a time."""

    def __init__(self, evidence: Evidence) -> None:
        self._stream = text_stream(evidence)
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._over = False
        self.damage: EvidenceError | None = None

    def more(self, size: int = CHUNK) -> str:
        """Return more of it; nothing at its end."""
        text = ""
        while not text and not self._over:
            try:
                part = self._stream.read(size)
            except EvidenceError as error:
                part, self.damage = b"", error
            self._over = not part
            text = self._decoder.decode(part, final=not part)
        return text


class Peeked:
    """A stream of which the head is known before it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._damage = stream, list[EvidenceError]()
        self.head = b""
        part = b"?"
        while part and len(self.head) < HEAD_BYTES:
            part = self._more(HEAD_BYTES - len(self.head))
            self.head += part
        self._left = self.head

    def _more(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except EvidenceError as error:
            self._damage.append(error)
            return b""

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; what failed before fails again."""
        if self._left:
            part, self._left = (self._left, b"") if size < 0 else (self._left[:size], self._left[size:])
            return part
        if self._damage:
            raise self._damage[0]
        return self._stream.read(size)
