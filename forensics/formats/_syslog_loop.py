"""The compiled loop behind `forensics.formats._syslog`: where the head of each line of a block ends, and its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.formats._scanning import next_of
from forensics.packets._jit import entry, jit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Ints32 = npt.NDArray[np.int32]

__all__ = ["SPANS", "find_heads"]

S_LINE, S_LINE_END, S_BODY, S_STAMP, S_STAMP_END, S_KIND, S_HOST, S_HOST_END, S_TAG, S_TAG_END = range(10)
SPANS = 10
"""What is told of each line: places in the block, and the kind of the stamp."""

BARE, YEARLESS, YEARLY, ISO = range(4)
"""Kinds of stamps: none, ``May 21 10:00:00``, ``May 21 2015 10:00:00``, ISO 8601."""

_MONTHS = tuple(
    name[0] << 16 | name[1] << 8 | name[2]
    for name in (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
)
_LONGEST_TAG = 64
_NO = -1


@entry
def find_heads(data: Bytes, spans: Ints32, bodies: Bytes) -> None:
    """Fill the spans of the first lines of ``data``; each ends with a line end.

    Where a relay put its head in front of the sender's own, the sender's counts. The lines without heads go to
    ``bodies``, if that has room for any.
    """
    at = 0
    to = 0
    for row in range(spans.shape[1]):
        stop = next_of(data, at, 10, 10)
        last = stop - 1 if stop > at and data[stop - 1] == 13 else stop
        spans[S_LINE, row] = at
        spans[S_LINE_END, row] = last
        for span in range(S_STAMP, SPANS):
            spans[span, row] = 0
        body = _head(data, at, last, spans, row)
        if body > at and body < last and 65 <= data[body] <= 83:  # A to S: a month
            body = _head(data, body, last, spans, row)
        spans[S_BODY, row] = body
        if bodies.shape[0] > 0:
            for place in range(body, stop + 1):
                bodies[to + place - body] = data[place]
            to += stop + 1 - body
        at = stop + 1


@jit
def _head(data: Bytes, b: int, e: int, spans: Ints32, row: int) -> int:
    """Return where the body of a line begins, ``b`` where it has no head."""
    at = _priority(data, b, e)
    marked = at > b
    if marked and at + 1 < e and data[at] == 49 and data[at + 1] == 32:
        return _rfc5424(data, at, e, spans, row)
    kind, after = BARE, 0
    found = _old_stamp(data, at, e)
    if found > 0:
        kind, after = YEARLY if found & 1 else YEARLESS, found >> 1
    else:
        after = _iso_stamp(data, at, e)
        kind = ISO if after > 0 else BARE
    if kind == BARE or after >= e or data[after] != 32:
        return at
    host, host_end = after + 1, _word(data, after + 1, e)
    tag, tag_end = host_end + 1, _word(data, host_end + 1, e)
    body = host_end + 1
    if _is_tag(data, host, host_end):
        tag, tag_end, host_end, body = host, host_end, host, host_end + 1  # no host was written
    elif _is_tag(data, tag, tag_end):
        body = tag_end + 1
    elif kind == ISO and not marked:
        return at  # a log whose own lines begin with a time
    else:
        tag_end = tag
    spans[S_STAMP, row], spans[S_STAMP_END, row], spans[S_KIND, row] = at, after, kind
    spans[S_HOST, row], spans[S_HOST_END, row] = host, host_end
    spans[S_TAG, row], spans[S_TAG_END, row] = tag, tag_end
    while body < e and data[body] == 32:
        body += 1
    return min(body, e)


@jit
def _priority(data: Bytes, at: int, e: int) -> int:
    """Pass ``<134>``."""
    b = at
    if at >= e or data[at] != 60:
        return b
    at += 1
    while at < e and at - b < 4 and 48 <= data[at] <= 57:
        at += 1
    return at + 1 if at < e and data[at] == 62 and at - b > 1 else b


@jit
def _word(data: Bytes, at: int, e: int) -> int:
    """Return where a word ends."""
    while at < e and data[at] != 32:
        at += 1
    return min(at, e)


@jit
def _is_tag(data: Bytes, b: int, e: int) -> bool:
    """Tell whether a word is the name of a program, as syslog writes it: ``kernel:``, ``squid[21]:``."""
    if e - b < 2 or e - b > _LONGEST_TAG or data[e - 1] != 58:
        return False
    for at in range(b, e - 1):
        c = int(data[at])
        if c in (34, 44, 58, 61, 124):  # " , : = |
            return False
    return True


@jit
def _digits(data: Bytes, at: int, e: int, fewest: int, most: int) -> int:
    """Pass digits; `_NO` where there are too few."""
    b = at
    while at < e and at - b < most and 48 <= data[at] <= 57:
        at += 1
    return at if at - b >= fewest else _NO


@jit
def _clock(data: Bytes, at: int, e: int) -> int:
    """Pass ``10:00:01`` and a fraction; `_NO` where it is none."""
    if at + 8 > e or data[at + 2] != 58 or data[at + 5] != 58:
        return _NO
    for place in range(0, 8, 3):
        if _digits(data, at + place, e, 2, 2) == _NO:
            return _NO
    at += 8
    if at < e and data[at] == 46:
        return _digits(data, at + 1, e, 1, 9)
    return at


@jit
def _old_stamp(data: Bytes, at: int, e: int) -> int:
    """Pass ``May  1 10:00:01`` or ``May  1 2015 10:00:01``; return the end twice, plus 1 with a year, 0 for none."""
    if at + 15 > e or not _month(data, at) or data[at + 3] != 32:
        return 0
    at += 5 if data[at + 4] == 32 else 4
    at = _digits(data, at, e, 1, 2)
    if at == _NO or at >= e or data[at] != 32:
        return 0
    year = _digits(data, at + 1, e, 4, 4)
    yearly = 1 if year != _NO and year < e and data[year] == 32 else 0
    at = _clock(data, year + 1 if yearly == 1 else at + 1, e)
    return 0 if at == _NO else at << 1 | yearly


@jit
def _month(data: Bytes, at: int) -> bool:
    """Tell whether three bytes are the name of a month, as syslog writes it."""
    word = int(data[at]) << 16 | int(data[at + 1]) << 8 | int(data[at + 2])
    month = 0
    while month < 12 and word != _MONTHS[month]:
        month += 1
    return month < 12


@jit
def _iso_stamp(data: Bytes, at: int, e: int) -> int:
    """Pass ``2015-05-21T10:00:01.5+09:00``; 0 where it is none."""
    if at + 19 > e or data[at + 4] != 45 or data[at + 7] != 45 or data[at + 10] != 84:
        return 0
    if _digits(data, at, e, 4, 4) == _NO or _digits(data, at + 5, e, 2, 2) == _NO:
        return 0
    if _digits(data, at + 8, e, 2, 2) == _NO:
        return 0
    at = _clock(data, at + 11, e)
    if at == _NO:
        return 0
    if at < e and data[at] == 90:
        return at + 1
    if at < e and data[at] in (43, 45) and _digits(data, at + 1, e, 2, 2) != _NO:
        at += 3
        if at < e and data[at] == 58:
            at += 1
        at = _digits(data, at, e, 2, 2)
    return max(at, 0)


@jit
def _rfc5424(data: Bytes, version: int, e: int, spans: Ints32, row: int) -> int:
    """Return where the message of RFC 5424 begins, the place of its version where it has none."""
    b = at = version + 2
    ends = _word(data, at, e)
    iso = _iso_stamp(data, at, e) == ends and ends > at
    host = ends + 1
    host_end = _word(data, host, e)
    tag = host_end + 1
    tag_end = _word(data, tag, e)
    at = _word(data, _word(data, tag_end + 1, e) + 1, e) + 1  # process and message
    at = _elements(data, at, e)
    if at == _NO or (at < e and data[at] != 32) or (not iso and not (ends == b + 1 and data[b] == 45)):
        return version
    if iso:
        spans[S_STAMP, row], spans[S_STAMP_END, row], spans[S_KIND, row] = b, ends, ISO
    spans[S_HOST, row], spans[S_HOST_END, row] = host, host_end
    spans[S_TAG, row], spans[S_TAG_END, row] = tag, tag_end
    at = min(at + 1, e)
    if at + 3 <= e and data[at] == 0xEF and data[at + 1] == 0xBB and data[at + 2] == 0xBF:
        at += 3
    return at


@jit
def _elements(data: Bytes, at: int, e: int) -> int:
    """Pass structured data; `_NO` where it is none, or is never closed."""
    if at < e and data[at] == 45:
        return at + 1
    if at >= e or data[at] != 91:
        return _NO
    while at < e and data[at] == 91:
        quoted = 0
        while at < e and (quoted == 1 or data[at] != 93):
            if data[at] == 34:
                quoted = 1 - quoted
            elif data[at] == 92 and quoted == 1:
                at += 1
            at += 1
        at += 1
    return at if at <= e else _NO
