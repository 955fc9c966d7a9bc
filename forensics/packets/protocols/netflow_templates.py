"""Templates of NetFlow v9 and IPFIX: what the records of a set are made of.

References
----------
.. [1] RFC 3954, sections 5.2 and 6.1: templates and options templates.
.. [2] RFC 7011, sections 3.4 and 7: the same, enterprise numbers, fields of variable length.
"""

from __future__ import annotations

import struct
from struct import unpack_from
from typing import TYPE_CHECKING, NamedTuple

from forensics.packets.protocols.netflow_fields import CISCO, part_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FIRST_DATA_SET", "Layout", "Template", "packed_records", "templates_of"]

FIRST_DATA_SET = 256
VARIABLE = 65_535
"""Length of a field that says its own length in each record."""

_LONG = 255
"""First byte of a field's length that stands in the two bytes behind it."""


class Layout(NamedTuple):
    """Where the parts of a record lie.

    Parameters
    ----------
    parts
        Name, place and length of each. [B]
    size
        Length of the record. [B]
    options
        Whether it is of options, and no flow.
    """

    parts: tuple[tuple[str, int, int], ...]
    size: int
    options: bool = False


class Template(NamedTuple):
    """A template: the layout of its records, or of what is kept of them where their length varies."""

    layout: Layout
    lengths: tuple[tuple[str | None, int], ...]  # of a record whose length varies: part and length of each field


def templates_of(data: bytes, version: int, *, options: bool) -> Iterator[tuple[int, Template | None]]:
    """Yield numbers and templates of a set; None where one is withdrawn.

    Parameters
    ----------
    data
        Content of the set.
    version
        9 or 10.
    options
        Whether they are of options.

    Raises
    ------
    ValueError
        A template goes beyond the set, after those before it were yielded.
    """
    at = 0
    while at + 4 <= len(data) and any(data[at : at + 4]):
        try:
            number, fields, at = _template(data, at, version, options=options)
        except struct.error:
            raise ValueError("a template goes beyond its set") from None
        if number < FIRST_DATA_SET:
            raise ValueError("a template has the number of a set of templates")
        yield number, _made(fields, options=options) if any(length for _, length in fields) else None


_Fields = tuple[tuple[str | None, int], ...]


def _template(data: bytes, at: int, version: int, *, options: bool) -> tuple[int, _Fields, int]:
    """Return number and fields of the template at a place, and where it ends."""
    number, count = unpack_from(">HH", data, at)
    at += 4
    if options and (count or version == 9):
        (second,) = unpack_from(">H", data, at)
        at += 2
        if version == 9:  # lengths of scope and options, in bytes
            count = (count + second) // 4
    fields = []
    for _ in range(count):
        element, length = unpack_from(">HH", data, at)
        at, enterprise = at + 4, 0
        if element & 0x8000:
            if version == 10:
                (enterprise,) = unpack_from(">I", data, at)
            element, at, enterprise = element & 0x7FFF, at + 4 * (version == 10), enterprise or CISCO
        fields.append((part_of(element, enterprise, options=options), length))
    return number, tuple(fields), at


def _made(fields: _Fields, *, options: bool) -> Template:
    """Return a template of fields: the part that each plays, and its length."""
    varies = any(length == VARIABLE for _, length in fields)
    parts: dict[str, tuple[int, int]] = {}
    place = 0
    for part, length in fields:
        if part and length and length != VARIABLE and part not in parts:
            parts[part] = place, length
        if not varies or (part and parts.get(part) == (place, length)):
            place += length
    # Where lengths vary only the parts are kept, one after the other.
    layout = Layout(tuple((part, *where) for part, where in parts.items()), place, options)
    return Template(layout, fields if varies else ())


def packed_records(data: bytes, template: Template) -> Iterator[bytes]:
    """Yield of each record whose length varies what its layout keeps."""
    at, shortest = 0, sum(1 if length == VARIABLE else length for _, length in template.lengths)
    while at + shortest <= len(data):
        kept: dict[str, bytes] = {}
        for part, given in template.lengths:
            length = given
            if length == VARIABLE:
                length, at = (data[at], at + 1) if at < len(data) else (VARIABLE, at)
                if length == _LONG and at + 2 <= len(data):
                    length, at = int.from_bytes(data[at : at + 2], "big"), at + 2
            elif part and length:
                kept.setdefault(part, data[at : at + length])
            at += length
        if at > len(data):
            return
        yield b"".join(kept.values())
