"""From the columns of a sheet to the columns of a table: Arrow arrays of its types, and which rows cannot be in it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forensics.formats._times import LATEST
from forensics.formats._vocabulary import Words, whole_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats._cut import I64

__all__ = ["Bools", "Ints", "arrow", "column", "either", "faults", "firsts", "nulls"]

Bools = npt.NDArray[np.bool_]

_LARGEST_PORT = 65_535
_LATEST_US = LATEST * 1_000_000


class Ints(NamedTuple):
    """A column of whole numbers.

    Parameters
    ----------
    values
        The numbers, 0 where there is none.
    known
        Which rows have one.
    """

    values: I64
    known: Bools

    def otherwise(self, other: Ints) -> Ints:
        """Return the numbers of another column where this one has none."""
        if not other.known.any():
            return self
        return Ints(np.where(self.known, self.values, other.values), self.known | other.known)


def either(where: Bools, one: Ints, other: Ints) -> Ints:
    """Return the numbers of one column in some rows, of another in the others."""
    if where.all():
        return one
    return Ints(np.where(where, one.values, other.values), np.where(where, one.known, other.known))


def column(value: object) -> object:
    """Return a column as a sheet keeps it: an array of numbers as `Ints` that are all known."""
    if isinstance(value, np.ndarray) and value.dtype == np.int64:
        return Ints(value, np.ones(len(value), np.bool_))
    return value


def faults(field: pa.Field, value: object) -> Iterator[tuple[Bools, str]]:
    """Yield rows whose value a column of a table cannot hold, with the reason."""
    if isinstance(value, Ints):
        most, problem = _most(field)
        if value.values.max(initial=0) > most or value.values.min(initial=0) < -most:
            yield value.known & ((value.values > most) | (value.values < -most)), f"{field.name} is {problem}"
    if not field.nullable and (known := _known(value)) is not None:
        yield ~known, f"{field.name} is missing"


def _most(field: pa.Field) -> tuple[int, str]:
    """Return the largest value that a column of numbers or times takes, and what a larger one is."""
    if pa.types.is_timestamp(field.type):
        return _LATEST_US, "no time that a log can hold"
    if field.name.endswith("_port"):
        return _LARGEST_PORT, "above 65535"
    return int(np.iinfo(field.type.to_pandas_dtype()).max), "too large"


def _known(value: object) -> Bools | None:
    """Return which rows of a column have a value; None where it is the same in all."""
    if isinstance(value, Ints | Words):
        return value.known
    if isinstance(value, pa.Array):
        valid: Bools = value.is_valid().to_numpy(zero_copy_only=False)
        return valid
    return None


def arrow(value: object, kind: pa.DataType, rows: int) -> pa.Array:
    """Return a column of a table.

    Parameters
    ----------
    value
        `Ints`, `Words`, an array of Arrow or of truths, or one value for all rows.
    kind
        Type of the column.
    rows
        How many there are.
    """
    if isinstance(value, Words):
        return value.array(kind)
    if isinstance(value, Ints):
        # Unsafe: a number that its column cannot take is in a rejected row.
        return whole_numbers(value.values, value.known).cast(kind, safe=False)
    if isinstance(value, np.ndarray):
        return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(np.packbits(value, bitorder="little"))], 0)
    if isinstance(value, pa.Array):
        return value.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else value
    if value is not None and pa.types.is_dictionary(kind):
        held = pa.array([value], kind.value_type)
        return pa.DictionaryArray.from_arrays(firsts(rows), held, safe=False)
    return nulls(rows, kind) if value is None else pa.repeat(pa.scalar(value, kind), rows)


def nulls(rows: int, kind: pa.DataType) -> pa.Array:
    """Return a column of nulls, a part of a longer one: none is ever changed, and many tables have many of them."""
    return _nulls(rows.bit_length(), kind)[:rows]


@lru_cache(maxsize=64)
def _nulls(bits: int, kind: pa.DataType) -> pa.Array:
    """Return more nulls than any number of so many bits."""
    return pa.nulls(1 << bits, kind)


def firsts(rows: int) -> pa.Array:
    """Return the numbers of words in a column that has only one, a part of a longer one."""
    return _firsts(rows.bit_length())[:rows]


@lru_cache(maxsize=32)
def _firsts(bits: int) -> pa.Array:
    """Return more such numbers than any number of so many bits."""
    return pa.array(np.zeros(1 << bits, np.int32))
