"""DNS messages, many at a time: names that were asked for, each with the addresses in the answers.

A busy resolver writes millions of messages, so they are taken apart in a compiled loop: a batch of them lies end to end
in one array of bytes, and what they answer comes back as rows of integers that point into an arena of names.

References
----------
.. [1] RFC 1035, sections 4.1 (messages) and 4.1.4 (compression); RFC 2308 (negative answers); RFC 3596 (AAAA).
.. [2] RFC 6762 (mDNS) and RFC 4795 (LLMNR): the same messages on other ports.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from forensics.addresses import ipv6_text
from forensics.packets._jit import entry, jit
from forensics.packets.framing import u8, u16, u32
from forensics.packets.texts import ipv4_texts, name_column

if TYPE_CHECKING:
    from forensics.packets.layout import Bytes, Longs

__all__ = ["Answers", "parse_messages"]

_MAX_MESSAGE = 65_535
"""Longest DNS message: the length before one over TCP has 16 bits. [B]"""

_MAX_NAME = 255
_MAX_STEPS = 256  # labels and pointers of one name: at most 127 labels fit, each behind a pointer
_MAX_CHAIN = 16  # aliases that are followed from one to the next
_MAX_ALIASES = 32  # of one message; a lawful reply has a handful
_MAX_RECORDS = _MAX_MESSAGE // 11  # the shortest record has an empty name
_ROWS = 4 * _MAX_RECORDS
_ARENA = 4 * _MAX_RECORDS * _MAX_NAME
_SPARE = (_MAX_RECORDS + 1) * 2 * _MAX_NAME  # what the names of one message can take, aliases included

# Columns of an answer. Kinds: an address of 4 or 6; an alias; a name without an address.
A_MESSAGE, A_KIND, A_NAME, A_NAME_END, A_HIGH, A_LOW = range(6)
_NO_ADDRESS, _IPV4, _IPV6, _ALIAS = 0, 4, 6, 5
_TYPE_A, _TYPE_CNAME, _TYPE_AAAA = 1, 5, 28
_IPV6_BYTES = 16

# What became of a message.
_UNREADABLE, _READ = -1, 0


@jit
def _name(b: Bytes, base: int, at: int, end: int, arena: Bytes, put: int) -> tuple[int, int]:
    """Write the name at ``at`` into the arena at ``put``, in lower case.

    Returns
    -------
    tuple
        Where the message goes on behind the name, or -1 where it is none; and the name's end in the arena. A pointer
        must lead back, before the name it stands in, so that no ring of them holds the reader up, and no long chain.
    """
    after = -1
    start = at
    begin = put
    for _ in range(_MAX_STEPS):
        if at >= end:
            break
        size = u8(b, at)
        if size == 0:
            return (after if after >= 0 else at + 1), max(put - 1, begin)
        if size >= 0xC0:
            if at + 2 > end or base + (u16(b, at) & 0x3FFF) >= start:
                return -1, begin
            if after < 0:
                after = at + 2
            start = base + (u16(b, at) & 0x3FFF)
            at = start
            continue
        if size >= 0x40 or at + 1 + size > end or put + size + 1 - begin > _MAX_NAME:
            return -1, begin
        for k in range(at + 1, at + 1 + size):
            c = u8(b, k)
            arena[put] = c + 32 if 65 <= c <= 90 else c
            put += 1
        arena[put] = 46
        put += 1
        at += 1 + size
    return -1, begin


@jit
def _equal(arena: Bytes, a: int, a_end: int, b: int, b_end: int) -> int:
    """Tell whether two names of the arena are the same."""
    if a_end - a != b_end - b:
        return 0
    for k in range(a_end - a):
        if arena[a + k] != arena[b + k]:
            return 0
    return 1


@jit
def _move(out: Longs, first: int, n: int, to: int) -> None:
    """Move rows up."""
    for k in range(first, n):
        for c in range(A_LOW + 1):
            out[k + to - first, c] = out[k, c]


@jit
def _alias_of(out: Longs, first: int, n: int, arena: Bytes, name: int, name_end: int) -> int:
    """Return the last row whose alias leads to this name, -1 where none does."""
    for k in range(n - 1, first - 1, -1):
        if out[k, A_KIND] == _ALIAS and _equal(arena, int(out[k, A_HIGH]), int(out[k, A_LOW]), name, name_end):
            return k
    return -1


@jit
def _unalias(out: Longs, first: int, n: int, arena: Bytes, aliases: int) -> int:
    """Give every address the name that was asked for, and drop the aliases; return the new end of the rows.

    The aliases stand in the first ``aliases`` rows.
    """
    middle = first + aliases
    for k in range(middle, n):
        for _ in range(_MAX_CHAIN):
            found = _alias_of(out, first, middle, arena, int(out[k, A_NAME]), int(out[k, A_NAME_END]))
            if found < 0:
                break
            out[k, A_NAME] = out[found, A_NAME]
            out[k, A_NAME_END] = out[found, A_NAME_END]
    _move(out, middle, n, first)
    return n - aliases


@jit
def _word(b: Bytes, o: int) -> int:
    """Read eight bytes as a signed number."""
    high = u32(b, o, 1)
    return (high - (high >> 31 << 32)) * 4294967296 + u32(b, o + 4, 1)


@jit
def _record(
    b: Bytes, base: int, at: int, end: int, out: Longs, n: int, arena: Bytes, used: int
) -> tuple[int, int, int]:
    """Read the record at ``at``; return where the next one is (-1: this one is cut), the rows and the arena's end."""
    start = used
    at, used = _name(b, base, at, end, arena, start)
    if at < 0 or at + 10 > end:
        return -1, n, start
    kind = u16(b, at)
    size = u16(b, at + 8)
    at += 10
    if at + size > end:
        return -1, n, start
    out[n, A_NAME] = start
    out[n, A_NAME_END] = used
    if kind == _TYPE_A and size == 4:
        out[n, A_KIND] = _IPV4
        out[n, A_LOW] = u32(b, at, 1)
    elif kind == _TYPE_AAAA and size == 16:
        out[n, A_KIND] = _IPV6
        out[n, A_HIGH] = _word(b, at)
        out[n, A_LOW] = _word(b, at + 8)
    elif kind == _TYPE_CNAME:
        out[n, A_KIND] = _ALIAS
        out[n, A_HIGH] = used
        after, used = _name(b, base, at, end, arena, used)
        out[n, A_LOW] = used
        if after < 0:
            return -1, n, start
    else:
        return at + size, n, start
    return at + size, n + 1, used


@jit
def _answers(b: Bytes, base: int, at: int, end: int, out: Longs, n: int, arena: Bytes, used: int) -> tuple[int, int]:
    """Read the answers of a reply that begin at ``at``, up to a cut; return the end of the rows and of the arena."""
    first = n
    aliases = 0
    for _ in range(u16(b, base + 6)):
        last = n
        at, n, used = _record(b, base, at, end, out, n, arena, used)
        if at < 0:
            break
        if n > last and out[last, A_KIND] == _ALIAS:
            if aliases == _MAX_ALIASES:
                n = last
                continue
            for c in range(A_LOW + 1):  # aliases go to the front
                kept = int(out[last, c])
                for k in range(last, first + aliases, -1):
                    out[k, c] = out[k - 1, c]
                out[first + aliases, c] = kept
            aliases += 1
    return _unalias(out, first, n, arena, aliases), used


@jit
def _message(b: Bytes, base: int, end: int, out: Longs, n: int, arena: Bytes, used: int) -> tuple[int, int]:
    """Read one message; return the end of the rows (-1: it is none) and of the arena.

    Records up to a cut are kept. A reply without an address tells its questions, be it that there is no such name, or
    that something else was asked for: a tunnel asks for texts.
    """
    if base + 12 > end:
        return -1, used
    flags = u16(b, base + 2)
    at = base + 12
    first = n
    asked = used
    for _ in range(u16(b, base + 4)):
        start = used
        at, used = _name(b, base, at, end, arena, start)
        if at < 0 or at + 4 > end:
            return -1, asked
        at += 4
        if used > start and n - first < _MAX_RECORDS:
            out[n, A_KIND] = _NO_ADDRESS
            out[n, A_NAME] = start
            out[n, A_NAME_END] = used
            n += 1
    if not flags >> 15:
        return first, asked
    answers = n
    n, used = _answers(b, base, at, end, out, n, arena, used)
    if n == answers:
        return n, used
    _move(out, answers, n, first)
    return first + n - answers, used


@entry
def _messages(b: Bytes, ends: Longs, m: int, out: Longs, arena: Bytes, state: Longs) -> tuple[int, int]:
    """Read messages from number ``m`` on until they or the room end; return the next message, and the rows."""
    n = 0
    used = 0
    while m < ends.shape[0] - 1:
        if n + 2 * _MAX_RECORDS > out.shape[0] or used + _SPARE > arena.shape[0]:
            break
        first = n
        base = int(ends[m])
        n, used = _message(b, base, min(int(ends[m + 1]), base + _MAX_MESSAGE), out, n, arena, used)
        state[m] = _READ
        if n < 0:
            n = first
            state[m] = _UNREADABLE
        for k in range(first, n):
            out[k, A_MESSAGE] = m
        m += 1
    return m, n


class Answers(NamedTuple):
    """What messages told: n answers, in the order of their messages.

    Parameters
    ----------
    message
        Place of the message. (n,)
    name
        Name that was asked for, in canonical form; null where nothing is left of it. (n,)
    address
        Address in the answer, null where it has none. (n,)
    """

    message: Longs
    name: pa.Array
    address: pa.Array


def parse_messages(data: Bytes, ends: Longs) -> tuple[Answers, Longs]:
    """Take DNS messages apart.

    Parameters
    ----------
    data
        The messages end to end, each as it was on the wire, without the length that TCP puts before it.
    ends
        Where each of them begins, and where the last one ends: one more than there are messages. What lies beyond
        the longest message that there can be, in a datagram larger than IP allows, is not looked at.

    Returns
    -------
    tuple
        The answers, and for each message 1 where it could be read, else 0. A name reached through aliases is given as
        it was asked for. A name that does not exist, or of which no address was asked for, has none. A query answers
        nothing.
    """
    state = np.full(len(ends) - 1, _UNREADABLE, dtype=np.int64)
    out = np.empty((_ROWS, A_LOW + 1), dtype=np.int64)
    arena = np.empty(_ARENA, dtype=np.uint8)
    parts, names = [out[:0]], [pa.array([], pa.string())]
    m = 0
    while m < len(state):
        m, n = _messages(data, ends, m, out, arena, state)
        names.append(name_column(arena, out[:n, A_NAME], out[:n, A_NAME_END]))
        parts.append(out[:n].copy())
    rows = np.concatenate(parts)
    answers = Answers(rows[:, A_MESSAGE], pa.concat_arrays(names), _address_column(rows))
    return answers, (state == _READ).astype(np.int64)


def _address_column(rows: Longs) -> pa.Array:
    """Return the addresses of answers."""
    ipv4, ipv6 = rows[:, A_KIND] == _IPV4, rows[:, A_KIND] == _IPV6
    wide = rows[ipv6][:, [A_HIGH, A_LOW]].astype(">i8").tobytes()
    buffers = [None, pa.py_buffer(wide)]
    encoded = pa.Array.from_buffers(pa.binary(_IPV6_BYTES), int(ipv6.sum()), buffers).dictionary_encode()
    texts = pa.array(map(ipv6_text, encoded.dictionary.to_pylist()), pa.string())
    found = pa.concat_arrays([ipv4_texts(rows[ipv4, A_LOW]), texts.take(encoded.indices)])
    places = np.zeros(len(rows), dtype=np.int64)
    places[ipv4] = np.arange(ipv4.sum())
    places[ipv6] = np.arange(ipv4.sum(), len(found))
    return found.take(pa.array(places, mask=~(ipv4 | ipv6)))
