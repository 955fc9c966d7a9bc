"""Bodies of HTTP messages: passed over by their length, chunk by chunk where they come in chunks.

References
----------
.. [1] RFC 9112, sections 6.3 (message body length) and 7.1 (chunked coding).
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import jit
from forensics.packets.framing import u8
from forensics.packets.layout import S_BODY, S_LEFT, S_LINE, S_MODE, S_SIDE, S_TIME, S_WHAT, Bytes, Longs

__all__ = [
    "BODY",
    "CHUNK",
    "CHUNK_END",
    "CLOSE",
    "EXTENSION",
    "HEAD",
    "LOOK",
    "SIZE",
    "START",
    "TRAILER",
    "body_so_far",
    "chunk_line",
    "pass_over",
]

# Modes: looking for a message at the beginning of a segment; at the place where one begins; inside a head; inside a
# body of known length, of one that lasts until the end; at a chunk's size, behind it on its line, inside a chunk, at
# the line end behind it; in the trailer.
LOOK, START, HEAD, BODY, CLOSE, SIZE, EXTENSION, CHUNK, CHUNK_END, TRAILER = range(10)

_MAX_CHUNK = 1 << 40


@jit
def pass_over(streams: Longs, r: int, s: int, count: int) -> int:
    """Pass over bytes of a body; return how many of them belonged to it."""
    mode = int(streams[r, S_MODE + s])
    if mode == CLOSE:
        n = count
    elif mode in (BODY, CHUNK):
        n = min(count, int(streams[r, S_LEFT + s]))
        streams[r, S_LEFT + s] -= n
    else:
        return 0
    streams[r, S_BODY + s] += n
    if mode == CHUNK and streams[r, S_LEFT + s] == 0:
        streams[r, S_MODE + s] = CHUNK_END
    return n


@jit
def _hex(c: int) -> int:
    """Return the value of a hexadecimal digit, -1 where it is none."""
    if 48 <= c <= 57:
        return c - 48
    lower = c | 32
    return lower - 87 if 97 <= lower <= 102 else -1


@jit
def chunk_line(b: Bytes, streams: Longs, r: int, s: int, p: int, end: int) -> int:
    """Read a chunk's size and the rest of its line, or the line end behind a chunk; return where it goes on."""
    mode = int(streams[r, S_MODE + s])
    left = int(streams[r, S_LEFT + s])
    c = 0
    while p < end and c != 10:
        c = u8(b, p)
        p += 1
        digit = _hex(c)
        if mode == SIZE and digit >= 0 and left < _MAX_CHUNK:
            left = left * 16 + digit
        elif mode != CHUNK_END and c in (13, 32, 9, 59):
            mode = EXTENSION
        elif c not in (10, 13) and mode != EXTENSION:
            streams[r, S_MODE + s] = LOOK
            return end
    if c == 10 and mode == CHUNK_END:
        mode = SIZE
    elif c == 10:
        mode = CHUNK if left else TRAILER
        streams[r, S_WHAT + s] = 0
        streams[r, S_LINE + s] = 0
    streams[r, S_MODE + s] = mode
    streams[r, S_LEFT + s] = left
    return p


def body_so_far(stream: list[int], side: int) -> tuple[int, int] | None:
    """Return the size of the body that a direction is in the middle of [B], and its last time [ns]; None: in none."""
    s = S_SIDE * side
    if stream[S_MODE + s] not in (BODY, CLOSE, SIZE, EXTENSION, CHUNK, CHUNK_END, TRAILER):
        return None
    return stream[S_BODY + s], stream[S_TIME + s]
