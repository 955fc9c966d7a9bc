"""What loops ask of the processor by an instruction or two, and compilers do not find by themselves.

Example: ``at + trailing(places(data, at, 32, 10))`` is where the next space or line end is, if it is one of 64 bytes.

References
----------
.. [1] G. Langdale and D. Lemire, *Parsing gigabytes of JSON per second*, VLDB Journal 28, 2019,
   doi:10.1007/s00778-019-00578-5: bytes that divide a text as bits, and how they are gone through.
"""

# ruff: noqa: PLR0917 - what loops call takes its arguments by place

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forensics.packets._jit import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["BYTES", "PARTS", "byte_at", "copied", "differing", "folded", "places", "trailing", "word_at"]

Bytes = npt.NDArray[np.uint8]
Longs = npt.NDArray[np.int64]

_WORD = Struct("<q")
_LAST_ASCII = 127

BYTES = 64
"""How many bytes `places` looks at, and `copied` copies."""

PARTS = 4
"""How many numbers of eight bytes `folded` and `differing` look at."""

_LOW32 = 0xFFFF_FFFF


def _trailing(number: int) -> int:
    """Return how many bits at the low end of a number, which is not 0, are clear."""
    return (int(number) & -int(number)).bit_length() - 1


def _trailing_made(numba: ModuleType) -> object:
    """Return `trailing` for numba."""
    word = numba.types.int64
    yes = numba.core.cgutils.true_bit  # that the number is not 0

    def trailing(_context: object, _number: object) -> tuple[object, object]:
        return word(word), lambda _, builder, __, args: builder.cttz(args[0], yes)

    return trailing


def _places(data: Bytes, at: int, one: int, other: int) -> int:
    """Return a bit for each of 64 bytes from a place on, set where it is one of two; the first is the lowest."""
    held = data[at : at + BYTES]
    return int(np.packbits((held == one) | (held == other), bitorder="little").view("<i8")[0])


def _places_made(numba: ModuleType) -> object:
    """Return `places` for numba."""
    from llvmlite import ir

    word, byte = numba.types.int64, ir.IntType(8)
    lanes = ir.VectorType(byte, BYTES)
    nothing, first = ir.Constant(lanes, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), BYTES), None)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> object:  # noqa: ANN401 - numba's
        def same(value: object) -> object:
            alone = builder.insert_element(nothing, builder.trunc(value, byte), ir.Constant(ir.IntType(32), 0))
            return builder.icmp_unsigned("==", held, builder.shuffle_vector(alone, nothing, first))

        held = builder.load(_pointer(context, builder, (signature.args[0], args[0]), args[1], lanes), align=1)
        return builder.bitcast(builder.or_(same(args[2]), same(args[3])), ir.IntType(BYTES))

    def places(_context: object, data: object, _at: object, _one: object, _other: object) -> tuple[object, object]:
        return word(data, word, word, word), emit

    return places


def _pointer(context: Any, builder: Any, array: tuple[object, object], at: object, what: Any) -> object:  # noqa: ANN401
    """Return where something lies in an array of bytes, for numba; nothing is looked for at a place below 0."""
    kind, held = array
    begin = context.make_array(kind)(context, builder, held).data
    return builder.bitcast(builder.gep(begin, [at]), what.as_pointer())


def _copied(source: Bytes, at: int, target: Bytes, to: int) -> int:
    """Copy 64 bytes, and return a bit for each of them, set where it is no ASCII; the first is the lowest."""
    target[to : to + BYTES] = held = source[at : at + BYTES]
    return int(np.packbits(held > _LAST_ASCII, bitorder="little").view("<i8")[0])


def _copied_made(numba: ModuleType) -> object:
    """Return `copied` for numba."""
    from llvmlite import ir

    word, lanes = numba.types.int64, ir.VectorType(ir.IntType(8), BYTES)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> object:  # noqa: ANN401 - numba's
        kinds = signature.args
        held = builder.load(_pointer(context, builder, (kinds[0], args[0]), args[1], lanes), align=1)
        builder.store(held, _pointer(context, builder, (kinds[2], args[2]), args[3], lanes), align=1)
        return builder.bitcast(builder.icmp_signed("<", held, ir.Constant(lanes, None)), ir.IntType(BYTES))

    def copied(_context: object, source: object, _at: object, target: object, _to: object) -> tuple[object, object]:
        return word(source, word, target, word), emit

    return copied


def _folded(data: Bytes, at: int, masks: Longs, row: int, keys: Longs, first: int) -> int:
    """Return 32 bytes as one number of 63 bits: the products of each four bytes with a key of 31 bits, without carry.

    Parameters
    ----------
    data, at
        The bytes; eight at a time are a number, the first of them the lowest.
    masks, row
        Which bits of those numbers count; one row of four is used.
    keys, first
        The keys: of the lower halves of the four numbers, then of the upper ones.
    """
    number = 0
    for part in range(PARTS):
        held = _word_at(data, at + 8 * part) & int(masks[row, part])
        number ^= (held & _LOW32) * int(keys[first + part]) ^ (held >> 32 & _LOW32) * int(keys[first + PARTS + part])
    return number


def _folded_made(numba: ModuleType) -> object:
    """Return `folded` for numba."""
    from llvmlite import ir

    word, lanes = numba.types.int64, ir.VectorType(ir.IntType(64), PARTS)
    low, upper = ir.Constant(lanes, [_LOW32] * PARTS), ir.Constant(lanes, [32] * PARTS)
    nothing, half = ir.Constant(lanes, ir.Undefined), ir.VectorType(ir.IntType(32), PARTS // 2)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> object:  # noqa: ANN401 - numba's
        kinds = signature.args
        held = _masked(context, builder, signature, args)
        keys = [_lanes_at(context, builder, (kinds[4], args[4]), args[5], lanes, part) for part in (0, PARTS)]
        products = builder.mul(builder.and_(held, low), keys[0]), builder.mul(builder.lshr(held, upper), keys[1])
        both = builder.xor(*products)
        halves = [builder.shuffle_vector(both, nothing, ir.Constant(half, [k, k + 1])) for k in (0, PARTS // 2)]
        pair = builder.xor(*halves)
        return builder.xor(*(builder.extract_element(pair, ir.Constant(ir.IntType(32), k)) for k in (0, 1)))

    def folded(
        _context: object, data: object, _at: object, masks: object, _row: object, keys: object, _first: object
    ) -> tuple[object, object]:
        return word(data, word, masks, word, keys, word), emit

    return folded


def _differing(data: Bytes, at: int, masks: Longs, row: int, rows: Longs, other: int) -> int:
    """Return 0 where 32 bytes are the first four numbers of a row of eight, else another number; see `folded`.

    Parameters
    ----------
    data, at, masks, row
        The bytes, and which bits of them count.
    rows, other
        The rows, and which of them they are compared with.
    """
    held = [_word_at(data, at + 8 * part) & int(masks[row, part]) for part in range(PARTS)]
    return sum(1 << part for part in range(PARTS) if held[part] != int(rows[other, part]))


def _differing_made(numba: ModuleType) -> object:
    """Return `differing` for numba."""
    from llvmlite import ir

    word, lanes = numba.types.int64, ir.VectorType(ir.IntType(64), PARTS)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> object:  # noqa: ANN401 - numba's
        held = _masked(context, builder, signature, args)
        row = builder.mul(args[5], ir.Constant(ir.IntType(64), 2 * PARTS))
        known = _lanes_at(context, builder, (signature.args[4], args[4]), row, lanes, 0)
        bits = builder.bitcast(builder.icmp_unsigned("!=", held, known), ir.IntType(PARTS))
        return builder.zext(bits, ir.IntType(64))

    def differing(
        _context: object, data: object, _at: object, masks: object, _row: object, rows: object, _other: object
    ) -> tuple[object, object]:
        return word(data, word, masks, word, rows, word), emit

    return differing


def _masked(context: Any, builder: Any, signature: Any, args: Any) -> object:  # noqa: ANN401 - numba's
    """Return four numbers of eight bytes each, of which only some bits count."""
    from llvmlite import ir

    lanes = ir.VectorType(ir.IntType(64), PARTS)
    held = builder.load(_pointer(context, builder, (signature.args[0], args[0]), args[1], lanes), align=1)
    row = builder.mul(args[3], ir.Constant(ir.IntType(64), PARTS))
    return builder.and_(held, _lanes_at(context, builder, (signature.args[2], args[2]), row, lanes, 0))


def _lanes_at(context: Any, builder: Any, array: tuple[object, object], at: Any, lanes: Any, more: int) -> Any:  # noqa: ANN401 - numba's
    """Return some neighbours of an array of numbers, from a place on."""
    place = builder.add(at, at.type(more))
    return builder.load(_pointer(context, builder, array, place, lanes), align=8)


def _byte_at(data: Bytes, at: int) -> int:
    """Return a byte; its place is not negative."""
    return int(data[at])


def _word_at(data: Bytes, at: int) -> int:
    """Return the eight bytes from a place on as one number; the first is the lowest. The place is not negative."""
    return int(_WORD.unpack_from(data.data, at)[0])


def _loader(bits: int) -> Callable[[ModuleType], object]:
    """Return how numba is told of `byte_at` and `word_at`: a load without a look at a place below 0."""

    def made(numba: ModuleType) -> object:
        from llvmlite import ir

        word = numba.types.int64

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> object:  # noqa: ANN401 - numba's
            place = _pointer(context, builder, (signature.args[0], args[0]), args[1], ir.IntType(bits))
            held = builder.load(place, align=1)
            return held if bits == 64 else builder.zext(held, ir.IntType(64))

        def load(_context: object, data: object, _at: object) -> tuple[object, object]:
            return word(data, word), emit

        return load

    return made


trailing = intrinsic(_trailing_made, _trailing)
byte_at = intrinsic(_loader(8), _byte_at)
word_at = intrinsic(_loader(64), _word_at)
copied = intrinsic(_copied_made, _copied)
differing = intrinsic(_differing_made, _differing)
folded = intrinsic(_folded_made, _folded)
places = intrinsic(_places_made, _places)
