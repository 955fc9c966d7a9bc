"""The published marks of Emdivi's protocol: what a text hides, and which commands a reply gives."""

from __future__ import annotations

import re
from functools import reduce
from operator import xor
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.escaping import terminal_safe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["commands_in", "decoded_fields", "hidden_in", "shown", "suspects"]

SHOWN = 120
"""Characters of evidence that a reason quotes."""

SHORTEST = len(b"GMT(6")
"""No shorter value is a mark; a hostile text can have very many of them. [B]"""

ROWS = 50_000
"""Texts that are screened at once: the screen takes some 30 bytes for each of their characters."""

RARE = (b"DOABORT", b"DOWNBG", b"GETFILE", b"LOADDLL", b"SETCMD")
"""Commands of t17 that are no words of any language."""

WORDS = (b"GOTO", b"SUSPEND", b"UPLOAD", b"VERSION")
"""Commands of t17 that are words: they count where a reply begins with them."""

_RARE = re.compile(rb"(?<![A-Za-z0-9_])(" + b"|".join(RARE) + rb")(?![A-Za-z0-9_])")
_BEGINS = re.compile(rb"\s*(" + b"|".join(WORDS) + rb")(?![A-Za-z0-9_])")
_ZONE = re.compile(rb"GMT\(\s*[+-]?\d")
_LABELS = (b"VER:", b"NT:", b"MEM:")

_HEX = np.full(256, 255, dtype=np.uint8)
for _digit in b"0123456789abcdefABCDEF":
    _HEX[_digit] = int(chr(_digit), 16)


def decoded_fields(
    text: bytes, names: Collection[bytes] | None = None, *, least: int = 0
) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield the fields of a text as Emdivi's rule decodes them: name, key and what was hidden.

    Parameters
    ----------
    text
        A body, a query or the value of a ``Cookie`` header.
    names
        Fields to decode; all of them without.
    least
        Length of the shortest value to decode. [B]

    Examples
    --------
    >>> list(decoded_fields(b"ab=%44NW"))
    [(b'ab', 3, b'GMT')]
    """
    delimiter = b";" if b";" in text else b"&"
    for part in text.split(delimiter):
        written, equals, value = part.partition(b"=")
        # Browsers put a blank behind the delimiter of cookies; whether a sample reckons with it is not published.
        for name in dict.fromkeys((written, written.strip())) if equals and len(value) >= least else ():
            if names is None or name in names:
                key = reduce(xor, name, 0)
                yield name, key, bytes(np.frombuffer(unquote_to_bytes(value), dtype=np.uint8) ^ np.uint8(key))


def hidden_in(text: bytes, names: Collection[bytes] | None = None) -> bytes | None:
    """Return the first field of a text that hides Emdivi's account of its terminal; None where none does.

    A field does where it has a zone, ``GMT(-6)``, or ``GMT`` beside one of the labels ``VER:``, ``NT:`` and ``MEM:``. A
    name whose characters cancel out hides nothing: what other programs send in the clear is no mark.
    """
    if not len(_suspicious(pa.array([text], pa.binary()))):
        return None
    for _, key, plain in decoded_fields(text, names, least=SHORTEST):
        if key and b"GMT" in plain and (_ZONE.search(plain) or any(label in plain for label in _LABELS)):
            return plain
    return None


def commands_in(reply: bytes) -> tuple[str, ...]:
    """Return the commands of t17 that the body of a reply gives, sorted.

    Examples
    --------
    >>> commands_in(b"GETFILE c:/a.doc"), commands_in(b"<p>Unsupported VERSION</p>")
    (('GETFILE',), ())
    """
    begins = _BEGINS.match(reply)
    found = set(_RARE.findall(reply)) | ({begins[1]} if begins else set())
    return tuple(sorted(command.decode() for command in found))


def shown(plain: bytes) -> str:
    """Return what evidence says as text of one line, cut at `SHOWN` characters."""
    text = terminal_safe(plain[: 4 * SHOWN].decode("ascii", "backslashreplace"))
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def suspects(texts: pa.ChunkedArray) -> list[str]:
    """Return those of many texts in which ``GMT`` may be hidden, whatever the key is.

    Two bytes that were hidden with one key differ by the same bits as before: three bytes in a row that differ as
    ``G``, ``M`` and ``T`` do are there in every text that hides them.

    Parameters
    ----------
    texts
        Strings without null.
    """
    found: list[str] = []
    for chunk in texts.chunks:
        for first in range(0, len(chunk), ROWS):
            part = chunk.slice(first, ROWS)
            found += pc.take(part, pa.array(_suspicious(part))).to_pylist()
    return found


def _suspicious(texts: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the places of texts that pass the screen."""
    lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.cumsum(lengths)
    data = np.frombuffer(b"".join(pc.cast(texts, pa.binary()).to_pylist()), dtype=np.uint8)
    if len(data) < 3:  # noqa: PLR2004 - GMT has three
        return np.zeros(0, dtype=np.int64)
    high, low = _HEX[data[1:-1]], _HEX[data[2:]]
    escapes = np.flatnonzero((data[:-2] == ord("%")) & (high < 16) & (low < 16))  # noqa: PLR2004 - hexadecimal digits
    escapes = escapes[escapes + 2 < ends[np.searchsorted(ends, escapes, side="right")]]
    values, kept = data.copy(), np.ones(len(data), dtype=bool)
    values[escapes] = high[escapes] << 4 | low[escapes]
    kept[escapes + 1] = kept[escapes + 2] = False
    places = np.flatnonzero(kept)
    values = values[places]
    steps = values[1:] ^ values[:-1]
    hits = np.flatnonzero((steps[:-1] == ord("G") ^ ord("M")) & (steps[1:] == ord("M") ^ ord("T")))
    rows = np.searchsorted(ends, places[hits], side="right")
    same = rows == np.searchsorted(ends, places[hits + 2], side="right")
    unique: np.ndarray[tuple[int], np.dtype[np.int64]] = np.unique(rows[same]).astype(np.int64)
    return unique
