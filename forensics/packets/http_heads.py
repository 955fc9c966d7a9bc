"""Heads of HTTP messages, as far as the length of the body depends on them, line by line over any number of segments.

References
----------
.. [1] RFC 9112, sections 2.1 (messages), 6.1 (Transfer-Encoding) and 6.2 (Content-Length).
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import jit
from forensics.packets.framing import u8, u32
from forensics.packets.layout import S_LEFT, S_WHAT, Bytes, Longs

__all__ = [
    "ASKED_CONNECT",
    "ASKED_HEAD",
    "W_CHUNKED",
    "W_FRESH",
    "W_GAP",
    "W_LENGTH",
    "W_REPLY",
    "W_UNSURE",
    "scan_head",
    "what_asked",
    "what_status",
]

# What is known of a message: bits, a code of what it asks for, the status of a reply, and a count of gaps.
W_REPLY, W_CHUNKED, W_LENGTH, W_UNSURE, W_MIDLINE, W_FRESH = 1, 2, 4, 8, 16, 32
_ASKED_SHIFT, _STATUS_SHIFT = 6, 8
W_GAP = 1 << 20

ASKED_OTHER, ASKED_HEAD, ASKED_CONNECT = 1, 2, 3

_HTTP, _HEAD, _CONN = (int.from_bytes(word, "big") for word in (b"HTTP", b"HEAD", b"CONN"))
_LENGTH = b"content-length"
_ENCODING = b"transfer-encoding"
_CHUNKED = b"chunked"
_MAX_DIGITS = 15


@jit
def what_asked(what: int) -> int:
    """Return what a request asks for: one of the codes above."""
    return what >> _ASKED_SHIFT & 3


@jit
def what_status(what: int) -> int:
    """Return the status of a reply."""
    return what >> _STATUS_SHIFT & 1023


@jit
def _first_line(b: Bytes, q: int, end: int) -> int:
    """Return what the first line of a message tells."""
    if end - q < 4:
        return 0
    word = u32(b, q, 1)
    if word != _HTTP:
        asked = ASKED_HEAD if word == _HEAD else ASKED_CONNECT if word == _CONN else ASKED_OTHER
        return asked << _ASKED_SHIFT
    k = q
    while k < end and b[k] != 32:
        k += 1
    while k < end and b[k] == 32:
        k += 1
    status = 0
    for m in range(k, min(k + 3, end)):
        status = status * 10 + max(0, min(9, u8(b, m) - 48))
    return W_REPLY | status << _STATUS_SHIFT


@jit
def _starts(b: Bytes, q: int, end: int, name: bytes) -> int:
    """Tell whether a text in lower case stands at ``q``, in letters of any case."""
    if end - q < len(name):
        return 0
    for k in range(len(name)):
        c = u8(b, q + k)
        if (c + 32 if 65 <= c <= 90 else c) != name[k]:
            return 0
    return 1


@jit
def _number(b: Bytes, q: int, end: int) -> int:
    """Return the number that a field's value is, -1 where it is none."""
    while q < end and (b[q] == 32 or b[q] == 9 or b[q] == 58):
        q += 1
    value = 0
    digits = 0
    while q < end and 48 <= b[q] <= 57 and digits <= _MAX_DIGITS:
        value = value * 10 + u8(b, q) - 48
        digits += 1
        q += 1
    while q < end and (b[q] == 32 or b[q] == 9 or b[q] == 13):
        q += 1
    return value if q == end and 0 < digits <= _MAX_DIGITS else -1


@jit
def _field(b: Bytes, q: int, end: int, left: int, what: int) -> tuple[int, int]:
    """Take in a line of a head; return the length of the body and what is known of the message."""
    c = u8(b, q) | 32
    if c == 99 and not what & W_LENGTH and _starts(b, q, end, _LENGTH):
        length = _number(b, q + len(_LENGTH), end)
        return (length, what | W_LENGTH) if length >= 0 else (left, what | W_UNSURE)
    if c == 116 and _starts(b, q, end, _ENCODING):
        for k in range(q + len(_ENCODING), end):
            if _starts(b, k, end, _CHUNKED):
                return left, what | W_CHUNKED
    return left, what


@jit
def _may_matter(b: Bytes, q: int, end: int, what: int) -> int:
    """Tell whether a line that is cut here may have told the length of the body."""
    if what & W_FRESH:
        return int(u32(b, q, 1) == _HTTP and end - q < 13) if end - q >= 4 else 1
    c = u8(b, q) | 32
    if end - q >= 3:
        return int((c == 99 and u8(b, q + 2) | 32 == 110) or (c == 116 and u8(b, q + 2) | 32 == 97))
    return int(c in (99, 116))


@jit
def scan_head(b: Bytes, p: int, end: int, streams: Longs, r: int, s: int) -> int:
    """Go through a head from ``p`` on; return where its empty line ends, -1 where that is not here."""
    what = int(streams[r, S_WHAT + s])
    left = int(streams[r, S_LEFT + s])
    q = p
    after = -1
    while q < end and after < 0:
        stop = q
        while stop < end and b[stop] != 10:
            stop += 1
        empty = int(stop == q or (stop == q + 1 and b[q] == 13))
        if stop == end:
            if not empty and not what & W_MIDLINE:
                if _may_matter(b, q, end, what):
                    what |= W_UNSURE
                if what & W_FRESH:
                    what |= _first_line(b, q, end)
                what = (what | W_MIDLINE) & ~W_FRESH
        elif what & W_MIDLINE:
            what &= ~W_MIDLINE
        elif empty:
            after = stop + 1
        elif what & W_FRESH:
            what = (what | _first_line(b, q, stop)) & ~W_FRESH
        else:
            left, what = _field(b, q, stop, left, what)
        q = stop + 1
    streams[r, S_WHAT + s] = what
    streams[r, S_LEFT + s] = left
    return after
