"""Columns of repeated texts: each distinct one becomes a number, and Python sees distinct ones only.

A `Vocabulary` lives for many blocks: a word that was met before keeps its number, and whatever was made of its text is
at hand. A hostile log of ever new words does not make it grow without end, since it is emptied between blocks.

Which number a word has depends on when it was met first, never on its hash. So the keys of the hash are drawn at random
and nobody can write a log whose words all fall into one place, and the output is still the same each time.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forensics.formats._interning import (
    C_FIRST_KEY,
    C_LOCAL,
    C_PASS,
    C_REHASH,
    C_ROW,
    C_USED,
    C_WORDS,
    CURSOR_COLUMNS,
    KEYS,
    MASKS,
    W_BEGIN,
    W_SIZE,
    WORD_COLUMNS,
    intern_words,
    number_as_met,
    recode,
)
from forensics.formats._lines import text_of
from forensics.formats._values import by_eight
from forensics.packets._jit import garbage_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from forensics.formats._cut import I32, U8

    Value: TypeAlias = str | bool | None
    Made: TypeAlias = dict[Hashable, dict[tuple[str, int], tuple[Value, ...]]]

__all__ = ["MOST_BYTES", "MOST_WORDS", "Vocabularies", "Vocabulary", "Words", "lawful", "recoded", "whole_numbers"]

MOST_WORDS = 65_536
"""With more words than that a vocabulary is emptied before the next block."""

MOST_BYTES = 16 << 20
"""With more bytes of words than that a vocabulary is emptied before the next block. [B]"""

_FIRST_SLOTS = 8192
_FIRST_BYTES = 1 << 16
_MOST_MAKERS = 64


def lawful(text: str) -> str:
    r"""Return a text that UTF-8 can hold: the half of a surrogate pair, which a JSON escape can give, as ``\udNNN``."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class Words(NamedTuple):
    """A column of texts, each distinct one kept once.

    Codes are chosen by sums and products: ``np.where`` takes ten times as long where nobody can foresee which it is.

    Parameters
    ----------
    codes
        For each row which of the values it has, -1 for none.
    values
        The distinct values.
    """

    codes: I32
    values: Sequence[str]

    @classmethod
    def of(cls, codes: I32, values: Sequence[str | None]) -> Words:
        """Return a column whose rows point into values that may repeat, or be None."""
        distinct = tuple(value for value in dict.fromkeys(values) if value is not None)
        if len(distinct) < len(values):
            places: dict[str | None, int] = {None: -1, **dict(zip(distinct, range(len(distinct)), strict=True))}
            codes = recoded(codes, np.fromiter(map(places.__getitem__, values), np.int32, len(values)))
        return cls(codes, distinct)

    @classmethod
    def constant(cls, text: str, where: npt.NDArray[np.bool_]) -> Words:
        """Return a column that has one text in some rows, nothing in the others."""
        return cls(where.astype(np.int32) - np.int32(1), (text,))

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which rows have a value."""
        return self.codes >= 0

    def mapped(self, convert: Callable[[str], str | None]) -> Words:
        """Return what becomes of each value."""
        return Words.of(self.codes, [convert(value) for value in self.values])

    def only(self, where: npt.NDArray[np.bool_]) -> Words:
        """Return the values of some rows, nothing in the others."""
        return Words((self.codes + np.int32(1)) * where - np.int32(1), self.values)

    def otherwise(self, other: Words) -> Words:
        """Return the values of another column where this one has none."""
        if not (self.values and other.values):
            return self if self.values else other
        known = self.known
        if known.all():
            return self
        codes = other.codes + np.int32(len(self.values)) * other.known
        return Words.of(codes + (self.codes - codes) * known, (*self.values, *other.values))

    def array(self, kind: pa.DataType) -> pa.Array:
        """Return the column as Arrow: strings, or a dictionary of them."""
        codes = whole_numbers(self.codes, self.known)
        values = self.values.array if isinstance(self.values, _Met) else pa.array(self.values, pa.string())
        if pa.types.is_dictionary(kind):
            return pa.DictionaryArray.from_arrays(codes, values, safe=False)  # every code has its value
        return values.take(codes)


def whole_numbers(values: npt.NDArray[np.int32 | np.int64], known: npt.NDArray[np.bool_]) -> pa.Array:
    """Return numbers as Arrow, without a copy; null where they are not known."""
    missing = len(known) - int(np.count_nonzero(known))
    valid = pa.py_buffer(np.packbits(known, bitorder="little")) if missing else None
    held = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(held.dtype), len(held), [valid, pa.py_buffer(held)], missing)


def recoded(codes: I32, turned: I32) -> I32:
    """Return what each code turns into; -1, which is no word, stays so."""
    out = np.empty(len(codes), np.int32)
    recode(codes, turned, out)
    return out


_NONE, _UNLAWFUL, _UNMADE = -1, -2, -3
"""Places of words that become nothing, that are not lawful, of which nothing was made yet."""


class _Table:
    """What one function made of words: distinct texts, and the place among them for each word."""

    def __init__(self, size: int) -> None:
        self.places: I32 = np.full(size, _UNMADE, np.int32)
        self._numbers: I32 = np.full(size, -1, np.int32)
        self.values: list[str] = []
        self._known: dict[str, int] = {}
        self._texts = pa.array((), pa.string())

    def grow(self, size: int) -> None:
        """Make room for so many words."""
        if len(self.places) < size:
            self.places = np.append(self.places, np.full(size - len(self.places), _UNMADE, np.int32))
            self._numbers = np.full(size, -1, np.int32)

    def add(self, numbers: I32, values: Iterable[Value]) -> None:
        """Keep what was made of words."""
        places = []
        for value in values:
            if isinstance(value, str):
                place = self._known.setdefault(value, len(self.values))
                if place == len(self.values):
                    self.values.append(value)
                places.append(place)
            else:
                places.append(_NONE if value is None else _UNLAWFUL)
        self.places[numbers] = places

    def column(self, codes: I32, order: I32) -> tuple[Words, npt.NDArray[np.bool_] | None]:
        """Return a column, and which of the words are not lawful, if any."""
        # Numbered as they come, whatever was met in other blocks: threads share these, and output is always the same.
        met, turned = np.empty(len(order), np.int32), np.empty(len(order), np.int32)
        count = number_as_met(order, self.places, self._numbers, met, turned)
        values = _Met(self, met[:count])
        none = turned < 0
        if not none.any():
            return Words(recoded(codes, turned), values), None
        unlawful = turned == _UNLAWFUL
        turned[none] = -1
        return Words(recoded(codes, turned), values), unlawful if unlawful.any() else None

    def texts(self, places: I32) -> pa.Array:
        """Return some of the values as Arrow; each becomes Arrow's once, however many blocks have it."""
        if (kept := len(self._texts)) < len(self.values):
            self._texts = pa.concat_arrays([self._texts, pa.array(self.values[kept:], pa.string())])
        return self._texts.take(pa.array(places))


class _Met(Sequence[str]):
    """The values of a table that a column has. Python looks at them only where somebody asks for their text."""

    def __init__(self, table: _Table, places: I32) -> None:
        self._table, self._places = table, places

    def __len__(self) -> int:
        return len(self._places)

    @cached_property
    def _values(self) -> tuple[str, ...]:
        return tuple(map(self._table.values.__getitem__, self._places.tolist()))

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        return self._values[place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    @cached_property
    def array(self) -> pa.Array:
        """The values as Arrow."""
        return self._table.texts(self._places)


class Vocabulary:
    """Distinct words of the columns of many blocks, and what was made of them. Used by one thread at a time.

    Parameters
    ----------
    made
        What each function made of each word; threads that share it make a word once. It is emptied with the words.
    """

    def __init__(self, made: Made | None = None) -> None:
        self._cursor = np.zeros(CURSOR_COLUMNS, np.int64)
        for key in range(C_FIRST_KEY, C_FIRST_KEY + KEYS):
            self._cursor[key] = secrets.randbits(30) << 1 | 1
        self._made: Made = {} if made is None else made
        self._tables: dict[Hashable, list[_Table]] = {}
        self.filling = 0
        self._empty()

    def _empty(self) -> None:
        """Forget all words."""
        self.filling += 1
        self._cursor[:C_FIRST_KEY] = 0
        self._tables.clear()
        self._slots = np.full(_FIRST_SLOTS, -1, np.int64)
        self._words = np.zeros((_FIRST_SLOTS // 2, WORD_COLUMNS), np.int64)
        self._arena = np.zeros(_FIRST_BYTES, np.uint8)

    def begin_block(self) -> None:
        """Forget all words where they are too many; ``filling`` then changes, and their numbers mean nothing more."""
        if len(self) > MOST_WORDS or self._cursor[C_USED] > MOST_BYTES:
            self._made.clear()
            self._empty()

    def __len__(self) -> int:
        return int(self._cursor[C_WORDS])

    def intern(self, data: U8, begin: I32, end: I32, kinds: U8) -> tuple[I32, I32]:
        """Number the distinct words of a column.

        Parameters
        ----------
        data, begin, end
            Their spans; an empty one is no word.
        kinds
            A small number for each, that makes equal bytes different words.

        Returns
        -------
        tuple
            For each row which of the column's words it holds, -1 for none; and the numbers that those words have here.
        """
        cursor, rows, eights = self._cursor, len(begin), by_eight(data)
        codes, order = np.empty(rows, np.int32), np.empty(rows, np.int32)
        cursor[[C_ROW, C_LOCAL]] = 0
        cursor[C_PASS] += 1
        while True:
            arena = by_eight(self._arena)
            table = cursor, self._words, self._slots, arena, MASKS
            intern_words(data, eights, begin, end, kinds, *table, codes, order)
            row = int(cursor[C_ROW])
            if row == rows:
                return codes, order[: cursor[C_LOCAL]]
            self._make_room(int(end[row] - begin[row]))

    def _make_room(self, size: int) -> None:
        """Make room for a word that found none: for more words, or for its bytes."""
        if len(self) >= len(self._words):
            words = np.zeros((4 * len(self._words), WORD_COLUMNS), np.int64)
            words[: len(self._words)] = self._words
            self._words, self._slots = words, np.full(2 * len(words), -1, np.int64)
            self._cursor[C_REHASH] = 1
        else:
            arena = np.zeros(2 * (len(self._arena) + size + 16), np.uint8)
            arena[: len(self._arena)] = self._arena
            self._arena = arena

    def words(
        self, codes: I32, order: I32, key: Hashable, make: Callable[[str, int], tuple[Value, ...]]
    ) -> list[tuple[Words, npt.NDArray[np.bool_] | None]]:
        """Return columns of what becomes of words, each with which of the words are not lawful; None where all are.

        Each word is made once, and what was made of it is found again without a look at each.

        Parameters
        ----------
        codes, order
            The column, as `intern` gives it; it has a word.
        key
            What tells the function from others; one made anew for each block would never be met again.
        make
            Takes the text of a word and its kind; what is made is one value for each column: a text, None for none,
            False for not lawful.
        """
        if key not in self._tables and len(self._tables) >= _MOST_MAKERS:
            self._tables.clear()
        tables = self._tables.setdefault(key, [])
        for table in tables:
            table.grow(len(self._words))
        if key not in self._made and len(self._made) >= _MOST_MAKERS:
            self._made.clear()
        made = self._made.setdefault(key, {})
        numbers = order[tables[0].places[order] == _UNMADE] if tables else order
        if len(numbers):
            with garbage_kept():
                new = [made.get(word) or made.setdefault(word, make(*word)) for word in self._texts(numbers)]
                tables += [] if tables else [_Table(len(self._words)) for _ in new[0]]
                for table, values in zip(tables, zip(*new, strict=True), strict=True):
                    table.add(numbers, values)
        return [table.column(codes, order) for table in tables]

    def _texts(self, numbers: I32) -> Iterator[tuple[str, int]]:
        """Yield text and kind of some words."""
        arena, words = self._arena.data, self._words[numbers]
        for begin, size in zip(words[:, W_BEGIN].tolist(), words[:, W_SIZE].tolist(), strict=True):
            yield text_of(arena[begin : begin + (size >> 8)].tobytes()), size & 255


class Vocabularies:
    """A vocabulary for each thread that works on a file: ``vocabularies.own``."""

    def __init__(self) -> None:
        self._threads = threading.local()
        self._made: Made = {}

    @property
    def own(self) -> Vocabulary:
        """The vocabulary of this thread."""
        if not hasattr(self._threads, "own"):
            self._threads.own = Vocabulary(self._made)
        own: Vocabulary = self._threads.own
        return own
