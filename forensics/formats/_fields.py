"""The fields of a block, read a whole column at a time: numbers, times, words, texts, servers asked for.

`forensics.formats._sheet.Sheet` is what formats use; here is how it reads. Nothing that stands in a row raises: a field
is read, or null where the log has nothing, or its row gets a reason to be rejected. The first reason of a row stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.formats._columns import Bools, Ints
from forensics.formats._cut import DEEP, ESCAPED, NOT_JSON, TWICE, Cut
from forensics.formats._exact import exact
from forensics.formats._hosts import target
from forensics.formats._lines import text_of
from forensics.formats._rooms import own_room
from forensics.formats._stamps import Civil, Stamp, read_column
from forensics.formats._times import LATEST
from forensics.formats._values import (
    BAD_VALUE,
    GOOD_VALUE,
    NO_VALUE,
    TUNNEL,
    UNUSUAL_VALUE,
    by_eight,
    find_authorities,
    find_text,
    gather_text,
    read_numbers,
)
from forensics.formats._vocabulary import Vocabulary, Words, lawful
from forensics.packets._bits import BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.formats._cut import I32, I64, U8

    Undo: TypeAlias = Callable[[str], str]

__all__ = ["MOST", "Field", "Fields", "Nulls", "Targets", "gathered"]

Field: TypeAlias = int | tuple[Cut, int]
"""A column of the sheet's cut by its number, or a column of another cut of the same records."""

Nulls: TypeAlias = bytes | tuple[bytes, ...]
"""What a log writes where it has nothing; an empty or absent field always is that."""

MOST = 1 << 50
"""Largest count that is believed: a pebibyte. A larger one is a damaged number."""


class Targets(NamedTuple):
    """The servers that requests ask for, as `forensics.formats._hosts.Target` has each."""

    service: Words
    name: Words
    address: Words
    port: Ints


class _Span(NamedTuple):
    """Where the texts of a column stand, and what the cutting saw of them."""

    begin: I32
    end: I32
    flag: U8


class Fields:
    """The fields of one block, and what is wrong with its rows.

    Parameters
    ----------
    cut
        Where the fields are. What its ``odd`` says is final by now.
    words
        What is known of texts that repeat; of this thread.
    """

    def __init__(self, cut: Cut, words: Vocabulary) -> None:
        self.cut, self._words = cut, words
        self._reasons: list[str] = []
        self._places: dict[str, int] = {}
        self._why: I32 = np.zeros(cut.rows, np.int32)
        self._interned: dict[tuple[int, int, int], tuple[Cut, I32, I32]] = {}
        words.begin_block()
        self._refuse_odd()

    @property
    def rows(self) -> int:
        """How many records there are."""
        return self.cut.rows

    @property
    def good(self) -> Bools:
        """Which rows have no reason to be rejected by now."""
        fine: Bools = self._why == 0
        return fine

    def reject(self, where: Bools, reason: str) -> None:
        """Refuse some rows; the first reason of a row stands."""
        if not where.any():
            return
        new = where & self.good
        if new.any():
            self._why[new] = self._place(reason)

    def _place(self, reason: str) -> int:
        """Return the number of a reason, from 1."""
        place = self._places.setdefault(reason, len(self._places) + 1)
        if place > len(self._reasons):
            self._reasons.append(reason)
        return place

    def _refuse_odd(self) -> None:
        """Refuse the records that do not fit; of a key that stands twice the last one counts."""
        odd = self.cut.odd
        each = (odd == NOT_JSON) | (odd == DEEP)
        for row in np.flatnonzero(each).tolist():
            self._why[row] = self._place(self.cut.reason(row))
        fitting = (odd == 0) | (odd == TWICE) | each
        rows = np.flatnonzero(~fitting)
        trouble = odd[rows].astype(np.int64) << 32 | self.cut.count[rows]
        _, first, which = np.unique(trouble, return_index=True, return_inverse=True)
        places = [self._place(self.cut.reason(row)) for row in rows[first].tolist()]
        self._why[rows] = np.array(places, np.int32)[which]

    def _span(self, field: Field) -> _Span:
        """Return where the texts of a column stand."""
        cut, place = (self.cut, field) if isinstance(field, int) else field
        return _Span(cut.begin[place], cut.end[place], cut.flag[place])

    def _texts(self, span: _Span, rows: I64, undo: Undo | None) -> list[str]:
        """Return the texts of some rows, one by one."""
        places = zip(span.begin[rows].tolist(), span.end[rows].tolist(), span.flag[rows].tolist(), strict=True)
        data = self.cut.data
        return [_undone(text_of(data[at:end].tobytes()), flag, undo) for at, end, flag in places]

    def equals(self, field: Field, text: bytes) -> Bools:
        """Tell which rows have just this text in a field."""
        span, same = self._span(field), np.empty(self.rows, np.uint8)
        find_text(self.cut.data, span.begin, span.end, np.frombuffer(bytearray(text), np.uint8), same)
        return same.view(np.bool_)

    def nothing(self, field: Field, null: Nulls = b"-") -> Bools:
        """Tell which rows have nothing in a field."""
        span = self._span(field)
        absent: Bools = span.begin >= span.end
        for form in _forms(null):
            absent |= self.equals(field, form)
        return absent

    def counts(self, field: Field, *, what: str | None, null: Nulls = b"-", limit: int = MOST, scale: int = 1) -> Ints:
        """Return whole numbers.

        Parameters
        ----------
        field
            The column.
        what
            Name of the number; a row is then rejected whose field is neither a count nor nothing.
        null
            What stands for nothing.
        limit
            Largest result that is believed, below 2^62.
        scale
            What one of them stands for.
        """
        values, state = self._numbers(field, null, (scale, limit // scale, 0))
        return self._ints(values, state, what, "a count")

    def decimals(
        self, field: Field, *, what: str | None, null: Nulls = b"-", unit: int = 1_000_000, limit: int = LATEST
    ) -> Ints:
        """Return decimal numbers in parts of one, exact, rounded half to even.

        Parameters
        ----------
        field
            The column.
        what
            Name of the number; a row is then rejected whose field is neither a decimal number nor nothing.
        null
            What stands for nothing.
        unit
            How many parts one has.
        limit
            Largest that is believed, above or below 0; it has less than 2^62 parts.
        """
        values, state = self._numbers(field, null, (unit, limit, 1))
        rows = np.flatnonzero(state == UNUSUAL_VALUE)
        for row, text in zip(rows.tolist(), self._texts(self._span(field), rows, None), strict=True):
            value = exact(text, unit, limit)
            values[row], state[row] = (0, BAD_VALUE) if value is None else (value, GOOD_VALUE)
        return self._ints(values, state, what, "a decimal number")

    def _numbers(self, field: Field, null: Nulls, how: tuple[int, int, int]) -> tuple[I64, U8]:
        """Return numbers and what became of each."""
        span = self._span(field)
        values, state = np.empty(self.rows, np.int64), np.empty(self.rows, np.uint8)
        data, eights = self.cut.data, by_eight(self.cut.data)
        read_numbers(data, eights, span.begin, span.end, _listed(null), np.array(how, np.int64), values, state)
        return values, state

    def _ints(self, values: I64, state: U8, what: str | None, kind: str) -> Ints:
        """Return numbers that were read; reject the others where they have a name."""
        if what:
            self.reject(state == BAD_VALUE, f"{what} is not {kind}")
        return Ints(values, state == GOOD_VALUE)

    def stamps(self, field: Field, layout: Stamp, *, what: str | None, null: Nulls = b"-") -> Civil:
        """Return times; where they have a name, a row whose field is neither one nor nothing is rejected."""
        span = self._span(field)
        times = read_column(self.cut.data, span.begin, span.end, layout)
        if what and not times.known.all():
            self.reject(~times.known & ~self.nothing(field, null), f"{what} is not a time of its format")
        return times

    def words(
        self,
        field: Field,
        convert: Callable[[str], str | None] = str,
        *,
        what: str | None = None,
        kind: str = "an address",
        null: Nulls = b"-",
        undo: Undo | None = None,
    ) -> Words:
        """Return texts that repeat.

        Parameters
        ----------
        field
            The column.
        convert
            What becomes of a text, None where it is not lawful; called once for each distinct one. Results are kept by
            the function: give one that lives as long as the file.
        what
            Name of the value; a row is then rejected whose field is neither lawful nor nothing: it is not `kind`.
        kind
            What it has to be.
        null
            What stands for nothing.
        undo
            Undoes the escapes of a field that has any.
        """
        forms = frozenset(map(text_of, _forms(null)))

        def made(text: str, flag: int) -> tuple[str | bool | None]:
            value = "" if text in forms else _attempt(convert, _undone(text, flag, undo))
            return (lawful(value) if value else None if value == "" else False,)

        codes, order = self._intern(field)
        if not len(order):
            return self._empty
        ((found, unlawful),) = self._words.words(codes, order, (convert, undo, forms), made)
        if what and unlawful is not None:
            self.reject(np.append(unlawful, [False])[codes], f"{what} is not {kind}")
        return found

    def _intern(self, field: Field) -> tuple[I32, I32]:
        """Return the distinct texts of a column as numbers; each column is gone through once."""
        cut, place = (self.cut, field) if isinstance(field, int) else field
        key = self._words.filling, id(cut), place
        if key not in self._interned:
            begin, end, flag = self._span(field)
            # the cut is kept with it, so that no other one can have its id
            self._interned[key] = cut, *self._words.intern(cut.data, begin, end, flag & np.uint8(ESCAPED))
        return self._interned[key][1:]

    def targets(self, method: Field, url: Field, *, null: Nulls = b"-", undo: Undo | None = None) -> Targets:
        """Return the servers that requests ask for.

        Parameters
        ----------
        method
            Column of the methods: the target of a CONNECT is ``host:port``.
        url
            Column of the request targets.
        null
            What stands for no target.
        undo
            Undoes the escapes of a target that has any.
        """
        data, span = self.cut.data, self._span(url)
        end, kinds = np.empty(self.rows, np.int32), span.flag & np.uint8(ESCAPED)
        last = span.end - (span.end - span.begin) * self.nothing(url, null)
        find_authorities(data, span.begin, last, self.equals(method, b"CONNECT").view(np.uint8), end, kinds)
        codes, order = self._words.intern(data, span.begin, end, kinds)

        def made(text: str, kind: int) -> tuple[str | None, ...]:
            asked = target("CONNECT" if kind & TUNNEL else "", _undone(text, kind, undo))
            port = None if asked.port is None else str(asked.port)
            return asked.service, asked.name and lawful(asked.name), asked.address, port

        found = self._words.words(codes, order, (target, undo), made)
        service, name, address, port = (words for words, _ in found) if found else [self._empty] * 4
        ports = np.array([*map(int, port.values), 0], np.int64)[port.codes]
        return Targets(service, name, address, Ints(ports, port.known))

    @property
    def _empty(self) -> Words:
        """A column of texts that has none."""
        return Words(np.full(self.rows, -1, np.int32), ())

    def text(self, field: Field, *, null: Nulls = b"-", undo: Undo | None = None) -> pa.Array:
        """Return texts that do not repeat, gathered.

        Parameters
        ----------
        field
            The column.
        null
            What stands for nothing.
        undo
            Undoes the escapes of a field that has any.
        """
        span = self._span(field)
        texts, state = gathered(self.cut.data, span.begin, span.end, null, pa.string())
        by_hand = state == BAD_VALUE
        if undo:
            by_hand |= (span.flag & ESCAPED != 0) & (state == GOOD_VALUE)
        if not by_hand.any():
            return texts
        found = self._texts(span, np.flatnonzero(by_hand), undo)
        return pc.replace_with_mask(texts, pa.array(by_hand), pa.array(map(lawful, found), pa.string()))


def gathered(data: U8, begin: I32, end: I32, null: Nulls, kind: pa.DataType) -> tuple[pa.Array, U8]:
    """Return texts or bytes copied end to end, and what became of each; one that is not UTF-8 is left empty.

    Parameters
    ----------
    data, begin, end
        The spans.
    null
        What stands for nothing.
    kind
        The type of the array; bytes are copied as they are.
    """
    rows = len(begin)
    out = own_room("texts", int((end - begin).sum(dtype=np.int64)) + BYTES)
    offsets, state = np.empty(rows + 1, np.int32), np.empty(rows, np.uint8)
    raw = int(pa.types.is_binary(kind))
    gather_text(data, begin, end, _listed(null), raw, out, offsets, state)
    valid = None if not (absent := state == NO_VALUE).any() else pa.py_buffer(np.packbits(~absent, bitorder="little"))
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(out)]
    return pa.Array.from_buffers(kind, rows, buffers, int(absent.sum())), state


def _forms(null: Nulls) -> tuple[bytes, ...]:
    """Return all that stands for nothing."""
    return (null,) if isinstance(null, bytes) else null


def _listed(null: Nulls) -> U8:
    """Return all that stands for nothing as the loops take it, each with a line end behind it."""
    return np.frombuffer(bytearray(b"".join(form + b"\n" for form in _forms(null))), np.uint8)


def _undone(text: str, flag: int, undo: Undo | None) -> str:
    """Return a text with its escapes undone, or as it is where they are none."""
    return (undo and _attempt(undo, text)) or text if flag & ESCAPED else text


def _attempt(convert: Callable[[str], str | None], text: str) -> str | None:
    """Return what becomes of a text; None where it is not lawful."""
    try:
        return convert(text)
    except ValueError:
        return None
