"""Where wanted values lie in JSON objects, one object a line: the grammar is read once, nothing is made of the rest.

Example::

    cut = picked(block, ["timestamp", "src_ip", "flow.bytes_toserver"])

A path with a dot is found nested and flat: ``flow.bytes_toserver`` in ``{"flow": {"bytes_toserver": 1}}`` and in
``{"flow.bytes_toserver": 1}``. Nothing is looked for in lists. Of a key that stands twice the last one is taken, with
all that is in it.

Places hold what was written: a string without its quotes and with its escapes, a number with all its digits, a list or
an object with its brackets. Bytes that are no UTF-8 are let through, as they are in other logs.

References
----------
.. [1] RFC 8259, *The JavaScript Object Notation (JSON) Data Interchange Format*.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats._cut import (
    ABSENT,
    DEEP,
    ESCAPED,
    MAX_DEPTH,
    NOT_JSON,
    NUMBER,
    SPAN_AT,
    SPAN_END,
    SPAN_LINE,
    SPAN_ROWS,
    TWICE,
    Cut,
    room_for,
    span_of,
    trimmed,
)
from forensics.formats._json_tokens import (
    BACKSLASH,
    CLOSE_LIST,
    CLOSE_OBJECT,
    COLON,
    COMMA,
    KINDS,
    MARK,
    MINUS,
    NINE,
    OPEN_LIST,
    OPEN_OBJECT,
    ZERO,
    N,
    U,
    behind_white,
    character,
    number_end,
    string_end,
    word_end,
)
from forensics.formats._scanning import (
    FEED,
    NEVER,
    Keys,
    behind_blanks,
    clear_fields,
    found_key,
    keys_of,
    line_end,
    note_line,
)
from forensics.packets._jit import entry, hot, jit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forensics.formats._blocks import Block
    from forensics.formats._cut import I32, I64, U8

__all__ = ["picked"]

_NODE, _IS_LIST, _FIELD = range(3)
"""Of a value that is open: the node of its path, whether it is a list, the field that it is."""

_ABORTED = -2


class _Paths(NamedTuple):
    """Wanted paths: each of them, and each that leads to one, is a node; node 0 is the object itself."""

    names: tuple[str, ...]
    keys: Keys
    own: I64  # the field of a node, or NEVER
    bounds: I64  # where the fields in a node begin in the next one
    inside: I64


def picked(block: Block, paths: Sequence[str]) -> Cut:
    """Return where the values of paths lie, a field each; a field that an object lacks is `ABSENT`.

    Parameters
    ----------
    block
        Whole lines.
    paths
        Keys joined by dots, in ASCII, all different.
    """
    want = _paths_of(tuple(paths))
    cut, span = room_for(block, len(paths), want.names), span_of(block)
    pick_json(
        cut.data, span, KINDS, *want.keys, want.own, want.bounds, want.inside,
        np.zeros(len(want.names), np.int64), np.zeros((MAX_DEPTH, 3), np.int64),
        cut.begin, cut.end, cut.flag, cut.number, cut.line, cut.count, cut.odd,
    )  # fmt: skip
    return trimmed(cut, int(span[SPAN_ROWS]))


@lru_cache
def _paths_of(paths: tuple[str, ...]) -> _Paths:
    """Return wanted paths in a form for compiled loops."""
    pieces = [path.split(".") for path in paths]
    names = list(dict.fromkeys([".".join(piece[:n]) for piece in pieces for n in range(len(piece) + 1)]))
    edges = [
        (node, name.removeprefix(f"{above}." if above else "").encode("ascii"), target)
        for node, above in enumerate(names)
        for target, name in enumerate(names)
        if name and name != above and name.startswith(f"{above}." if above else "")
    ]
    inside = [[f for f, path in enumerate(paths) if path == name or path.startswith(f"{name}.")] for name in names]
    own = [paths.index(name) if name in paths else NEVER for name in names]
    bounds = np.cumsum([0, *map(len, inside)])
    flat = np.array([field for fields in inside for field in fields] or [0], np.int64)
    return _Paths(tuple(names), keys_of(edges), np.array(own, np.int64), bounds.astype(np.int64), flat)


@entry
def pick_json(
    data: U8, span: I64, kinds: U8, text: U8, edges: I64, slots: I64, own: I64, bounds: I64, inside: I64, seen: I64,
    stack: I64, begin: I32, end: I32, flag: U8, number: I64, line: I32, count: I32, odd: U8,
) -> None:  # fmt: skip
    """Find the values of wanted paths in every line of a span."""
    at, stop, at_line, row = span[SPAN_AT], span[SPAN_END], span[SPAN_LINE], 0
    while at < stop:
        first = at
        at = behind_blanks(data, first)
        if int(data[at]) != FEED:
            at = _object(
                data, first, row, kinds, text, edges, slots, own, bounds, inside, seen, stack, begin, end, flag, count,
                odd,
            )  # fmt: skip
            if at == NEVER:
                odd[row] = NOT_JSON
            elif at == _ABORTED:
                odd[row] = DEEP
            if at < 0:
                at = line_end(data, first)
            note_line(data, first, at, at_line, row, number, line, odd)
            if odd[row] not in (0, TWICE):
                clear_fields(row, begin, end, flag)
            row += 1
        at, at_line = at + 1, at_line + 1
    span[SPAN_ROWS], span[SPAN_LINE] = row, at_line


@hot
def _object(
    data: U8, at: int, row: int, kinds: U8, text: U8, edges: I64, slots: I64, own: I64, bounds: I64, inside: I64,
    seen: I64, stack: I64, begin: I32, end: I32, flag: U8, count: I32, odd: U8,
) -> int:  # fmt: skip
    """Read a line's object; return where the line ends, `NEVER` where it is none, `_ABORTED` where it is too deep."""
    at = behind_white(data, at)
    if int(data[at]) != OPEN_OBJECT:
        return NEVER
    stack[0, _NODE], stack[0, _IS_LIST], stack[0, _FIELD] = 0, 0, NEVER
    at, depth = behind_white(data, at + 1), 0
    opened = int(data[at]) != CLOSE_OBJECT
    while depth >= 0:
        if opened:
            at, field, target = _place(
                data, at, row, depth, kinds, text, edges, slots, own, bounds, inside, seen, stack, begin, end, flag,
                count, odd,
            )  # fmt: skip
            if at >= 0 and int(data[at]) in (OPEN_OBJECT, OPEN_LIST):
                depth += 1
                if depth == MAX_DEPTH:
                    return _ABORTED
                at = _enter(data, at, stack, depth, target, field, row, begin, flag)
                opened = int(data[at]) != _closer(stack, depth)
                if opened:
                    continue
            elif at >= 0:
                at = _value(data, at, kinds, field, row, begin, end, flag)
        if at >= 0:
            at, depth = _leave(data, at, stack, depth, row, end)
        if at < 0:
            return NEVER
        opened = True
    return at if int(data[at]) == FEED else NEVER


@hot
def _place(
    data: U8, at: int, row: int, depth: int, kinds: U8, text: U8, edges: I64, slots: I64, own: I64, bounds: I64,
    inside: I64, seen: I64, stack: I64, begin: I32, end: I32, flag: U8, count: I32, odd: U8,
) -> tuple[int, int, int]:  # fmt: skip
    """Return where the next value begins, which field it is and which node; each may be `NEVER`."""
    if stack[depth, _IS_LIST]:
        return at, NEVER, NEVER
    at, target = _key(data, at, stack[depth, _NODE], kinds, text, edges, slots)
    if target < 0:
        return at, NEVER, NEVER
    _meet(target, row, bounds, inside, seen, begin, end, flag, count, odd)
    return at, own[target], target


@hot
def _closer(stack: I64, depth: int) -> int:
    """Return the byte that closes the value that is open."""
    return CLOSE_LIST if stack[depth, _IS_LIST] else CLOSE_OBJECT


@hot
def _key(data: U8, at: int, node: int, kinds: U8, text: U8, edges: I64, slots: I64) -> tuple[int, int]:
    """Read a key; return where its value begins and which node it leads to, either of them `NEVER`."""
    if int(data[at]) != MARK:
        return NEVER, NEVER
    close, flags = string_end(data, at + 1, kinds)
    if close < 0:
        return NEVER, NEVER
    target = NEVER
    if node != NEVER:
        if flags & ESCAPED:
            target = _escaped_key(data, at + 1, close, node, text, edges, kinds)
        else:
            target = found_key(data, at + 1, close, node, text, edges, slots)
    at = behind_white(data, close + 1)
    return behind_white(data, at + 1) if int(data[at]) == COLON else NEVER, target


@hot
def _meet(
    target: int, row: int, bounds: I64, inside: I64, seen: I64, begin: I32, end: I32, flag: U8, count: I32, odd: U8
) -> None:
    """Note that a node was met; forget what an earlier one of the same path held."""
    if seen[target] == row + 1:
        odd[row], count[row] = TWICE, target + 1
        for place in range(bounds[target], bounds[target + 1]):
            field = inside[place]
            begin[field, row], end[field, row], flag[field, row] = 0, 0, ABSENT
    seen[target] = row + 1


@hot
def _enter(data: U8, at: int, stack: I64, depth: int, target: int, field: int, row: int, begin: I32, flag: U8) -> int:
    """Open a list or an object; return where what is in it begins."""
    is_list = int(data[at]) == OPEN_LIST
    stack[depth, _NODE] = NEVER if is_list else target
    stack[depth, _IS_LIST] = is_list
    stack[depth, _FIELD] = field
    if field >= 0:
        begin[field, row], flag[field, row] = at, 0
    return behind_white(data, at + 1)


@hot
def _leave(data: U8, at: int, stack: I64, depth: int, row: int, end: I32) -> tuple[int, int]:
    """Close what ends behind a value; return where the next one begins, or `NEVER`, and how deep it lies."""
    at = behind_white(data, at)
    while depth >= 0:
        if int(data[at]) == COMMA:
            return behind_white(data, at + 1), depth
        if int(data[at]) != _closer(stack, depth):
            return NEVER, depth
        field = stack[depth, _FIELD]
        if field >= 0:
            end[field, row] = at + 1
        depth -= 1
        at = behind_white(data, at + 1)
    return at, depth


@hot
def _value(data: U8, at: int, kinds: U8, field: int, row: int, begin: I32, end: I32, flag: U8) -> int:
    """Read a value that is no list and no object; return what is behind it, or `NEVER`."""
    left, flags = at, 0
    if int(data[at]) == MARK:
        left += 1
        right, flags = string_end(data, left, kinds)
        at = right + 1
    elif int(data[at]) == MINUS or ZERO <= int(data[at]) <= NINE:
        right = at = number_end(data, at)
        flags = NUMBER
    else:
        right = at = word_end(data, at, kinds)
        flags = ABSENT if int(data[left]) == N else 0
    if right < 0:
        return NEVER
    if field >= 0 and flags != ABSENT:
        begin[field, row], end[field, row], flag[field, row] = left, right, flags
    return at


@jit
def _escaped_key(data: U8, begin: int, end: int, node: int, text: U8, edges: I64, kinds: U8) -> int:
    """Return which node a key with escapes leads to, or `NEVER`."""
    for edge in range(len(edges)):
        if edges[edge, 0] != node:
            continue
        at, place, stop = begin, edges[edge, 1], edges[edge, 2]
        while at < end and place < stop and character(data, at, kinds) == int(text[place]):
            at += 1 if int(data[at]) != BACKSLASH else 6 if int(data[at + 1]) == U else 2
            place += 1
        if at == end and place == stop:
            return int(edges[edge, 3])
    return NEVER
