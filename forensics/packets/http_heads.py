"""Heads of HTTP messages, as far as the length of the body depends on them, byte by byte over any number of segments.

References
----------
.. [1] RFC 9112, sections 2.1 (messages), 5 (fields), 6.1 (Transfer-Encoding) and 6.2 (Content-Length).
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import jit
from forensics.packets.framing import u8
from forensics.packets.layout import S_LEFT, S_LINE, S_WHAT, Bytes, Longs

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
W_REPLY, W_CHUNKED, W_LENGTH, W_UNSURE, W_FRESH = 1, 2, 4, 8, 32
_ASKED_SHIFT, _STATUS_SHIFT = 6, 8
W_GAP = 1 << 20

ASKED_OTHER, ASKED_HEAD, ASKED_CONNECT = 1, 2, 3

# Where in a line the scan is: at its start; behind nothing but a carriage return; in the first word, before the status
# or inside it; in one of two names or their values; in what does not matter. Above four bits, how far in it.
(_AT_START, _ONLY_RETURN, _WORD, _BEFORE_STATUS, _STATUS, _NAME_LENGTH, _NAME_ENCODING, _LENGTH, _ENCODING,
 _REST) = range(10)  # fmt: skip

_HTTP, _HEAD, _CONN = (int.from_bytes(word, "big") for word in (b"HTTP", b"HEAD", b"CONN"))
_LENGTH_NAME = b"content-length"
_ENCODING_NAME = b"transfer-encoding"
_CHUNKED = b"chunked"
_MAX_DIGITS = 15
_TENS = (100, 10, 1)


@jit
def what_asked(what: int) -> int:
    """Return what a request asks for: one of the codes above."""
    return what >> _ASKED_SHIFT & 3


@jit
def what_status(what: int) -> int:
    """Return the status of a reply."""
    return what >> _STATUS_SHIFT & 1023


@jit
def _in_first_line(c: int, line: int, left: int, what: int) -> tuple[int, int, int]:
    """Take a byte of the first line; return where in the line, the first word so far, and what is known."""
    n = line >> 4
    kind = line & 15
    if kind == _WORD:
        left = left << 8 | c
        if n < 3:
            return _WORD | (n + 1) << 4, left, what
        if left == _HTTP:
            return _BEFORE_STATUS, 0, what | W_REPLY
        asked = ASKED_HEAD if left == _HEAD else ASKED_CONNECT if left == _CONN else ASKED_OTHER
        return _REST, 0, what | asked << _ASKED_SHIFT
    if kind == _BEFORE_STATUS:
        return (_STATUS if c == 32 else line), left, what
    if 48 <= c <= 57 and n < 3:
        return _STATUS | (n + 1) << 4, left, what + ((c - 48) * _TENS[n] << _STATUS_SHIFT)
    return (line if c == 32 and n == 0 else _REST), left, what


@jit
def _in_name(c: int, line: int, name: bytes, value: int) -> int:
    """Take a byte of a field's name that may be the one looked for; return where in the line, its value behind it."""
    n = line >> 4
    if n == len(name):
        return value if c == 58 else line if c in (32, 9) else _REST
    return line + 16 if (c + 32 if 65 <= c <= 90 else c) == name[n] else _REST


@jit
def _in_field(c: int, line: int, left: int, what: int) -> tuple[int, int, int]:
    """Take a byte of a field; return where in the line, the length of the body, and what is known."""
    n = line >> 4
    kind = line & 15
    if kind == _NAME_LENGTH:
        return _in_name(c, line, _LENGTH_NAME, _LENGTH), left, what
    if kind == _NAME_ENCODING:
        return _in_name(c, line, _ENCODING_NAME, _ENCODING), left, what
    if kind == _ENCODING:
        lower = c | 32
        n = n + 1 if lower == _CHUNKED[n] else int(lower == _CHUNKED[0])
        return (_REST, left, what | W_CHUNKED) if n == len(_CHUNKED) else (_ENCODING | n << 4, left, what)
    if 48 <= c <= 57 and n < _MAX_DIGITS:
        return line + 16, left * 10 + c - 48, what | W_LENGTH
    return (line, left, what) if c in (32, 9, 13) else (_REST, left, what | W_UNSURE)


@jit
def _begin_line(c: int, what: int) -> int:
    """Return where in the line its first byte leads."""
    if c == 13:
        return _ONLY_RETURN
    if what & W_FRESH:
        return _WORD
    if c | 32 == 99 and not what & W_LENGTH:
        return _NAME_LENGTH
    return _NAME_ENCODING if c | 32 == 116 else _REST


@jit
def scan_head(b: Bytes, p: int, end: int, streams: Longs, r: int, s: int) -> int:
    """Go through a head from ``p`` on; return where its empty line ends, -1 where that is not here."""
    what = int(streams[r, S_WHAT + s])
    left = int(streams[r, S_LEFT + s])
    line = int(streams[r, S_LINE + s])
    after = -1
    while p < end and after < 0:
        c = u8(b, p)
        p += 1
        if c == 10:
            if line in (_AT_START, _ONLY_RETURN):
                after = p
            elif line == _LENGTH:  # a length without a digit
                what |= W_UNSURE
            what &= ~W_FRESH
            line = _AT_START
            continue
        if line in (_AT_START, _ONLY_RETURN):
            line = _begin_line(c, what)
        if line & 15 in (_WORD, _BEFORE_STATUS, _STATUS):
            line, left, what = _in_first_line(c, line, left, what)
        elif line & 15 in (_NAME_LENGTH, _NAME_ENCODING, _LENGTH, _ENCODING):
            line, left, what = _in_field(c, line, left, what)
    streams[r, S_WHAT + s] = what
    streams[r, S_LEFT + s] = left
    streams[r, S_LINE + s] = line
    return after
