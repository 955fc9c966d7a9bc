r"""What stands between two delimiters of a layout, taken for many rows at once: quotes, literal texts, codes.

Example: in ``[%t]`` the piece is opened by a bracket and holds one code; in ``%ci:%cp`` it holds two.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats._cut import ABSENT, QUOTED, Cut, divided

if TYPE_CHECKING:
    import numpy.typing as npt

    from forensics.formats._cut import I32, I64, U8

__all__ = ["Piece", "cut_piece", "opened"]

COMMA = ord(",")


class Piece(NamedTuple):
    """What stands between two delimiters.

    Parameters
    ----------
    opening
        The byte that opens it; 0 where there is none.
    codes
        The places of its codes.
    literals
        The texts in front of, between and behind them.
    from_end
        Whether the codes are told apart from the last on: an address may hold the byte that its port stands behind.
    """

    opening: int
    codes: tuple[int, ...]
    literals: tuple[bytes, ...]
    from_end: bool


def opened(raw: Cut, field: int, rows: I64, opening: int) -> npt.NDArray[np.bool_]:
    """Tell which fields stand in the quotes or brackets that a piece has; none, where it has none."""
    quoted: npt.NDArray[np.bool_] = raw.flag[field, rows] & QUOTED != 0
    if not opening:
        return ~quoted
    same: npt.NDArray[np.bool_] = quoted & (raw.data[raw.begin[field, rows] - 1] == opening)
    return same


def cut_piece(
    raw: Cut, place: tuple[int, Piece], rows: I64, found: dict[int, tuple[I32, I32, U8]]
) -> npt.NDArray[np.bool_]:
    """Put the codes of a piece into those found; return which rows have its literals."""
    field, piece = place
    begin, end, flag = raw.begin[field, rows], raw.end[field, rows], raw.flag[field, rows]
    first, last = piece.literals[0], piece.literals[-1] if piece.codes else b""
    good: npt.NDArray[np.bool_] = end - begin >= len(first) + len(last)
    good &= _equal(raw.data, begin, first, good) & _equal(raw.data, end - np.int32(len(last)), last, good)
    if not piece.codes:
        good &= end - begin == len(first)
        return good
    begin, end = begin + np.int32(len(first)), end - np.int32(len(last))
    if not piece.opening:
        good &= begin < end
        good &= raw.data[np.where(good, end - 1, 0)] != COMMA  # a list goes on behind the delimiter
    if len(piece.codes) == 1:
        found[piece.codes[0]] = begin, end, flag
        return good
    inner = replace(raw, begin=begin[None], end=end[None], flag=np.where(good, flag, np.uint8(ABSENT))[None],
                    number=raw.number[rows])  # fmt: skip
    parts = divided(inner, 0, b"".join(piece.literals[1:-1]), len(piece.codes), from_end=piece.from_end)
    for part, code in enumerate(piece.codes):
        found[code] = parts.begin[part], parts.end[part], parts.flag[part]
        good &= parts.flag[part] & ABSENT == 0
    return good


def _equal(data: U8, begin: I32, text: bytes, where: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Tell which places hold a text."""
    same: npt.NDArray[np.bool_] = where.copy()
    for place, byte in enumerate(text):
        same &= data[np.where(same, begin + np.int32(place), 0)] == byte
    return same
