"""Heads of HTTP/1 messages, many at a time: whole columns of what each of them says, where they are as most are.

A head out of the ordinary is only told to be so; `forensics.packets.protocols.http` reads it alone. Ordinary is one
whose bytes are printable ASCII, whose lines end in CR LF, the last one empty, and whose first line has single spaces, a
target that is a path, and a final status.

References
----------
.. [1] RFC 9112, sections 2.1 (messages), 3 (request line), 4 (status line) and 5 (fields).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from forensics.packets.texts import gathered

if TYPE_CHECKING:
    from forensics.packets.layout import Bytes, Longs

    Flags = npt.NDArray[np.bool_]

__all__ = ["FIELDS", "Heads", "Spans", "scan_heads", "text_column"]

FIELDS = ("host", "user-agent", "referer", "content-length", "content-type")
"""The fields that are looked for, in lower case."""

_LF, _CR, _SPACE, _SLASH, _DOT, _COLON = b"\n\r /.:"
_LOWER = 32  # the bit that tells a small letter from a large one
_FIRST_FINAL = ord("2")  # replies of 1xx answer nothing yet
_LONGEST_METHOD = 32
_VERSION = np.frombuffer(b"HTTP/", dtype=np.uint8)
_CONNECT = np.frombuffer(b"CONN", dtype=np.uint8)
_STATUS_LINE = len("HTTP/1.1 200")
_PADDING = 4  # spaces around a value that are taken off here

_ODD = np.ones(256, dtype=np.bool_)
_ODD[32:127] = _ODD[[_LF, _CR]] = False
_DIGIT = np.zeros(256, dtype=np.bool_)
_DIGIT[48:58] = True


class Spans(NamedTuple):
    """Where n texts lie; a text that begins below 0 is not there."""

    begins: Longs
    ends: Longs


class Heads(NamedTuple):
    """What n messages say.

    Parameters
    ----------
    simple
        Whether a message is a whole head and nothing about it out of the ordinary; of others nothing else holds. (n,)
    reply
        Whether it is a reply. (n,)
    method, url
        Of requests.
    status
        Of replies. (n,)
    fields
        Values by the name of the field, the first of each name, no space around it.
    """

    simple: Flags
    reply: Flags
    method: Spans
    url: Spans
    status: Longs
    fields: dict[str, Spans]


class _Lines(NamedTuple):
    """The lines of n messages: where each begins, where its CR stands, whose it is; and each message's first one."""

    begins: Longs
    ends: Longs
    whose: Longs
    firsts: Longs


def _owners(ends: Longs, places: Longs) -> Longs:
    """Return in which message bytes lie."""
    return np.searchsorted(ends, places, side="right") - 1


def _lines(data: Bytes, ends: Longs) -> tuple[_Lines, Flags]:
    """Find the lines of messages; tell which messages are made of ordinary ones, and end with the only empty one."""
    n = len(ends) - 1
    feeds, returns = np.flatnonzero(data == _LF), np.flatnonzero(data == _CR)
    whose = _owners(ends, feeds)
    count = np.bincount(whose, minlength=n)
    begins = np.concatenate([ends[:1], feeds[:-1] + 1]) if len(feeds) else feeds
    firsts = np.cumsum(count) - count
    begins[firsts[count > 0]] = ends[:-1][count > 0]
    lines = _Lines(begins, feeds - 1, whose, firsts)
    simple = (count > 1) & (np.bincount(_owners(ends, returns), minlength=n) == count)
    simple[_owners(ends, np.flatnonzero(_ODD[data]))] = False
    simple[whose[data[lines.ends] != _CR]] = False
    empty = lines.ends == begins
    simple &= np.bincount(whose[empty], minlength=n) == 1
    some = np.flatnonzero(simple)
    last = firsts[some] + count[some] - 1
    simple[some] = empty[last] & (feeds[last] + 1 == ends[some + 1])
    return lines, simple


def _is_at(data: Bytes, places: Longs, word: Bytes) -> Flags:
    """Tell whether a word in small letters stands at places, in whatever letters."""
    found: Flags = (data[places[:, None] + np.arange(len(word))] | _LOWER == word).all(axis=1)
    return found


def _field(data: Bytes, lines: _Lines, name: str, simple: Flags) -> Spans:
    """Find a field's value in every message; a name with a space behind it makes its message no simple one."""
    word = np.frombuffer(name.encode(), dtype=np.uint8)
    n = len(simple)
    some = np.flatnonzero((lines.ends - lines.begins > len(word)) & simple[lines.whose])
    some = some[some != lines.firsts[lines.whose[some]]]
    for k in (0, len(word) - 1):
        some = some[data[lines.begins[some] + k] | _LOWER == word[k]]
    some = some[_is_at(data, lines.begins[some], word)]
    behind = data[lines.begins[some] + len(word)]
    simple[lines.whose[some[behind == _SPACE]]] = False
    some = some[behind == _COLON][::-1]  # so that of several the first one stays
    begins, ends = np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    begins[lines.whose[some]] = lines.begins[some] + len(word) + 1
    ends[lines.whose[some]] = lines.ends[some]
    there = np.flatnonzero(begins >= 0)
    for _ in range(_PADDING):
        front, back = begins[there], ends[there]
        begins[there] += (data[front] == _SPACE) & (front < back)
        ends[there] -= (data[back - 1] == _SPACE) & (begins[there] < back)
    padded = (begins[there] < ends[there]) & ((data[begins[there]] == _SPACE) | (data[ends[there] - 1] == _SPACE))
    simple[there[padded]] = False
    return Spans(begins, ends)


def _request_lines(data: Bytes, begins: Longs, ends: Longs) -> tuple[Flags, Longs, Longs]:
    """Find the two spaces of request lines; tell where there are no others, and all else is as it should be."""
    room = np.flatnonzero(data == _SPACE)
    at = np.searchsorted(room, begins)
    room = np.concatenate([room, np.full(3, len(data))])
    first, second, third = room[at], room[at + 1], room[at + 2]
    simple = (first > begins) & (first <= begins + _LONGEST_METHOD) & (second > first + 1)
    simple &= (ends - second == len("HTTP/1.1") + 1) & (third > ends)
    some = np.flatnonzero(simple)
    connect = (data[begins[some, None] + np.arange(len(_CONNECT))] == _CONNECT).all(axis=1)
    simple[some] = ~connect & (data[first[some] + 1] == _SLASH) & _versions(data, second[some] + 1)
    return simple, first, second


def _versions(data: Bytes, places: Longs) -> Flags:
    """Tell whether ``HTTP/1.1`` stands at places, or other digits."""
    found: Flags = (data[places[:, None] + np.arange(len(_VERSION))] == _VERSION).all(axis=1)
    found &= _DIGIT[data[places + 5]] & (data[places + 6] == _DOT) & _DIGIT[data[places + 7]]
    return found


def _status_lines(data: Bytes, begins: Longs, ends: Longs) -> tuple[Flags, Longs]:
    """Return the status of replies, and which of them have a final one behind an ordinary version."""
    status = np.zeros(len(begins), dtype=np.int64)
    simple: Flags = ends - begins >= _STATUS_LINE
    some = np.flatnonzero(simple)
    at = begins[some] + len("HTTP/1.1 ")
    digits = data[at[:, None] + np.arange(3)]
    fine = _versions(data, begins[some]) & (data[at - 1] == _SPACE) & _DIGIT[digits].all(axis=1)
    simple[some] = fine & (digits[:, 0] >= _FIRST_FINAL) & ~_DIGIT[data[at + 3]]
    status[some] = (digits.astype(np.int64) - 48) @ (100, 10, 1)
    return simple, status


def scan_heads(data: Bytes, ends: Longs) -> Heads:
    """Take heads apart.

    Parameters
    ----------
    data
        The messages, end to end.
    ends
        Where each of them begins, and where the last one ends: n + 1 offsets.
    """
    n = len(ends) - 1
    lines, simple = _lines(data, ends)
    some = np.flatnonzero(simple)
    begins, stops = ends[some], lines.ends[lines.firsts[some]]
    reply, status = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.int64)
    reply[some] = (data[begins[:, None] + np.arange(len(_VERSION))] == _VERSION).all(axis=1)
    asked, first, second = _request_lines(data, begins, stops)
    answered, status[some] = _status_lines(data, begins, stops)
    simple[some] = np.where(reply[some], answered, asked)
    method, url = (Spans(np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)) for _ in range(2))
    method.begins[some], method.ends[some] = begins, first
    url.begins[some], url.ends[some] = first + 1, second
    fields = {name: _field(data, lines, name, simple) for name in FIELDS}
    return Heads(simple, reply, method, url, status, fields)


def text_column(data: Bytes, spans: Spans, chosen: Longs) -> pa.Array:
    """Return texts of ASCII as a column, null for one that is not there.

    Parameters
    ----------
    data
        Bytes that hold them.
    spans
        Where they lie.
    chosen
        Which of them are wanted.
    """
    begins, ends = spans.begins[chosen], spans.ends[chosen]
    packed, offsets = gathered(data, begins.clip(0), ends.clip(0))
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(packed)]
    texts = pa.Array.from_buffers(pa.string(), len(chosen), buffers)
    return pc.if_else(pa.array(begins >= 0), texts, pa.scalar(None, pa.string()))
