"""Write small databases of Windows' Extensible Storage Engine (ESE), for samples.

Example: ``write_database([Table("Numbers", (Column(1, "Id", "long"),), [{"Id": 7}])])`` returns the bytes of a file.

It is made from descriptions of the layout; nothing in it was recorded. Pages have 4 KiB, the format is 0x620,11h. There
are the file's header and its copy, the catalog and its copy, and a tree of pages for each table and for its long
values; indexes and the trees of free space, which a reader of rows does not ask for, are left out.

References
----------
.. [1] libyal, *Extensible Storage Engine (ESE) Database File (EDB) format*, https://github.com/libyal/libesedb,
   documentation: file header, data definitions, long values, catalog.
.. [2] Microsoft, *Extensible Storage Engine*, https://github.com/microsoft/Extensible-Storage-Engine: page header,
   tags, keys and checksums.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = 4096
CATALOG, CATALOG_COPY, FIRST_FREE = 4, 24, 25
ROOT, LEAF, ABOVE_LEAVES, LONG, NEW_RECORDS, NEW_CHECKSUM = 1, 2, 4, 0x80, 0x800, 0x2000
DELETED, COMMON_KEY = 2, 4
CLEAN, DIRTY = 3, 2

TYPES = {
    "bit": (1, "B"), "byte": (2, "B"), "short": (3, "<h"), "long": (4, "<i"), "date": (8, "<d"), "text": (10, ""),
    "binary": (9, ""), "long binary": (11, ""), "long long": (15, "<q"),
}  # fmt: skip
"""Number of a type, and how its values are packed."""

Value = int | float | bytes | str | None


class Column(NamedTuple):
    """A column; its number says how it is stored: from 1 at a fixed place, from 128 with its end, from 256 tagged."""

    number: int
    name: str
    type: str


@dataclass
class Tagged:
    """A value of a tagged column that is stored in another way than as it is."""

    content: bytes
    how: Literal["compressed", "separate"]


@dataclass
class Table:
    """A table with its rows, in the order of their keys.

    Parameters
    ----------
    name
        Its name.
    columns
        Its columns.
    rows
        Values by column; a column that a row does not have is null.
    key
        How many of the first columns make up the key.
    most
        How many rows a page takes at most.
    deleted
        Places of rows that are marked as deleted.
    stored
        How many fixed columns a row stores; later ones were added to the table after it was written.
    """

    name: str
    columns: tuple[Column, ...]
    rows: Sequence[dict[str, Value | Tagged]]
    key: int = 1
    most: int = 1000
    deleted: frozenset[int] = frozenset()
    stored: dict[int, int] = field(default_factory=dict)


class Entry(NamedTuple):
    """What stands in a page: a key, what it leads to, and marks."""

    key: bytes
    data: bytes
    marks: int = 0


CATALOG_COLUMNS = (
    Column(1, "ObjidTable", "long"), Column(2, "Type", "short"), Column(3, "Id", "long"),
    Column(4, "ColtypOrPgnoFDP", "long"), Column(5, "SpaceUsage", "long"), Column(6, "Flags", "long"),
    Column(7, "PagesOrLocale", "long"), Column(8, "RootFlag", "bit"), Column(9, "RecordOffset", "short"),
    Column(10, "LCMapFlags", "long"), Column(11, "KeyMost", "short"), Column(128, "Name", "text"),
)  # fmt: skip


def packed(column: Column, value: Value) -> bytes:
    """Return a value as it is stored; nothing stored, zeros, where it is null."""
    form = TYPES[column.type][1]
    if not form:
        return value.encode("ascii") if isinstance(value, str) else bytes(value or b"")  # type: ignore[arg-type]
    return struct.pack(form, value or 0)


def record(columns: Sequence[Column], row: dict[str, Value | Tagged], stored: int | None = None) -> bytes:
    """Return a row: its head, fixed values and which of them are null, variable values, tagged values."""
    fixed = [column for column in columns if column.number < 128][:stored]
    variable = [column for column in columns if 128 <= column.number < 256]
    nulls = bytearray((len(fixed) + 7) // 8)
    content = b""
    for place, column in enumerate(fixed):
        value = row.get(column.name)
        nulls[place // 8] |= (value is None) << place % 8
        content += packed(column, value)  # type: ignore[arg-type]
    ends, values = b"", b""
    for column in variable:
        values += packed(column, row.get(column.name))  # type: ignore[arg-type]
        ends += struct.pack("<H", len(values))
    last_variable = variable[-1].number if variable else 127
    head = struct.pack("<BBH", len(fixed), last_variable, 4 + len(content) + len(nulls))
    return head + content + bytes(nulls) + ends + values + tagged(columns, row)


def tagged(columns: Sequence[Column], row: dict[str, Value | Tagged]) -> bytes:
    """Return the tagged values of a row, behind the list of where they stand."""
    given = [(c, row[c.name]) for c in columns if c.number > 255 and row.get(c.name) is not None]
    places, values = b"", b""
    for column, value in given:
        places += struct.pack("<HH", column.number, 0x4000 | (4 * len(given) + len(values)))
        if isinstance(value, Tagged):
            values += bytes([0x03 if value.how == "compressed" else 0x05]) + value.content
        else:
            values += b"\x01" + packed(column, value)
    return places + values


def key_of(value: int, width: int = 4) -> bytes:
    """Return a signed number as a part of a key: it is not null, and sorts as bytes."""
    return b"\x7f" + (value + (1 << (8 * width - 1))).to_bytes(width, "big")


def checksums(page: bytes, number: int) -> bytes:
    """Return the XOR and the error-correcting code of a page, which stand in its first 8 bytes.

    The code is the XOR of the places of all bits that are set, and in its upper half that of the complements.
    """
    words = np.frombuffer(page[8:], "<u4")
    places = np.flatnonzero(np.unpackbits(np.frombuffer(page[8:], np.uint8), bitorder="little")) + 64
    low = int(np.bitwise_xor.reduce(places))
    high = low ^ (0x7FFF if len(places) % 2 else 0)
    return struct.pack("<II", int(np.bitwise_xor.reduce(words)) ^ number, high << 16 | low)


class Pages:
    """The pages of a database that is being written."""

    def __init__(self) -> None:
        self._pages: dict[int, bytes] = {}
        self._next = FIRST_FREE

    def reserve(self) -> int:
        """Return the number of a page that is not in use."""
        self._next += 1
        return self._next - 1

    def put(
        self, number: int, entries: Sequence[Entry], head: bytes, *, owner: int, flags: int, neighbours: tuple[int, int]
    ) -> None:
        """Write a page: its header, what stands in it from the front, and the list of where from the back."""
        body, tags = head, struct.pack("<HH", len(head), 0)
        for entry in entries:
            key, marks = entry.key, entry.marks
            made = struct.pack("<H", len(key)) + key + entry.data
            if marks & COMMON_KEY:  # the key begins as the page's common key does
                made = struct.pack("<HH", len(head), len(key) - len(head)) + key[len(head) :] + entry.data
            tags = struct.pack("<HH", len(made), len(body) | marks << 13) + tags
            body += made
        free = PAGE - 40 - len(body) - len(tags)
        assert free >= 0, "the page is too small"  # noqa: S101 - a generator
        flags |= NEW_RECORDS | NEW_CHECKSUM
        page = struct.pack("<QIIIHHHHI", 1, *neighbours, owner, free, 0, len(body), len(entries) + 1, flags)
        page = bytes(8) + page + body + bytes(free) + tags
        self._pages[number] = checksums(page, number) + page[8:]

    def tree(self, root: int, entries: Sequence[Entry], owner: int, most: int, flags: int = 0) -> None:
        """Write a tree of pages: a root, and as many levels of pages below it as its entries need."""
        head = struct.pack("<IIII", 1, 1, 0, 0)  # pages at first, parent, no extent, no tree of free space
        level, groups = LEAF, in_pages(entries, most)
        while len(groups) > 1:
            above = self.level(groups, owner, flags | level, common=level == LEAF and not flags)
            level, groups = (ABOVE_LEAVES if level == LEAF else 0), in_pages(above, 1000)
        self.put(root, groups[0], head, owner=owner, flags=flags | ROOT | level, neighbours=(0, 0))

    def level(self, groups: Sequence[list[Entry]], owner: int, flags: int, *, common: bool) -> list[Entry]:
        """Write the pages of a level of a tree, and return what leads to them: the key that follows, and the page."""
        numbers = [self.reserve() for _ in groups]
        keys = [group[0].key for group in groups[1:]] + [b""]
        for place, (number, group) in enumerate(zip(numbers, groups, strict=True)):
            around = (([0, *numbers])[place], ([*numbers, 0])[place + 1]) if flags & LEAF else (0, 0)
            begins = group[0].key[:4] if common else b""
            made = [e._replace(marks=e.marks | COMMON_KEY) if begins and e.key.startswith(begins) else e for e in group]
            self.put(number, made, begins, owner=owner, flags=flags, neighbours=around)
        return [Entry(key, struct.pack("<I", number)) for key, number in zip(keys, numbers, strict=True)]

    def bytes(self) -> bytes:
        """Return all pages; those that nothing was put into are zeros."""
        return b"".join(self._pages.get(number, bytes(PAGE)) for number in range(1, self._next))


def in_pages(entries: Sequence[Entry], most: int) -> list[list[Entry]]:
    """Return entries page by page."""
    pages: list[list[Entry]] = [[]]
    room = PAGE - 200
    for entry in entries:
        size = len(entry.key) + len(entry.data) + 8
        if pages[-1] and (size > room or len(pages[-1]) >= most):
            pages.append([])
            room = PAGE - 200
        pages[-1].append(entry)
        room -= size
    return pages


def long_values(table: Table) -> list[Entry]:
    """Return what the tree of long values holds: for each a head, and pieces by where they begin."""
    found = []
    separate = [v for row in table.rows for v in row.values() if isinstance(v, Tagged) and v.how == "separate"]
    for number, value in enumerate(separate, 1):
        key, content = number.to_bytes(4, "big"), value.content
        found.append(Entry(key, struct.pack("<II", 1, len(content))))
        found += [Entry(key + at.to_bytes(4, "big"), content[at : at + 1500]) for at in range(0, len(content), 1500)]
        value.content = key[::-1]
    return found


def write_table(pages: Pages, table: Table, number: int) -> list[dict[str, Value | Tagged]]:
    """Write a table, and return its rows of the catalog."""
    root = pages.reserve()
    listed: list[dict[str, Value | Tagged]] = [
        {"ObjidTable": number, "Type": 1, "Id": number, "ColtypOrPgnoFDP": root, "SpaceUsage": 1, "RootFlag": 0xFF,
         "PagesOrLocale": 1, "Name": table.name}
    ]  # fmt: skip
    offset = 4
    for column in table.columns:
        size = struct.calcsize(TYPES[column.type][1]) if column.number < 128 else 0
        listed.append(
            {"ObjidTable": number, "Type": 2, "Id": column.number, "ColtypOrPgnoFDP": TYPES[column.type][0],
             "SpaceUsage": size, "PagesOrLocale": 1252, "RecordOffset": offset if size else 0, "Name": column.name}
        )  # fmt: skip
        offset += size
    if values := long_values(table):
        tree = pages.reserve()
        listed.append(
            {"ObjidTable": number, "Type": 4, "Id": number + 100, "ColtypOrPgnoFDP": tree, "SpaceUsage": 1,
             "Name": "LV"}
        )  # fmt: skip
        pages.tree(tree, values, number + 100, 1000, LONG)
    entries = []
    for place, row in enumerate(table.rows):
        values_of_key = [row.get(column.name) for column in table.columns[: table.key]]
        key = b"".join(key_of(value) if isinstance(value, int) else b"\0" for value in values_of_key)
        marks = DELETED if place in table.deleted else 0
        entries.append(Entry(key, record(table.columns, row, table.stored.get(place)), marks))
    pages.tree(root, sorted(entries), number, table.most)
    return listed


def header(state: int) -> bytes:
    """Return the header of a file: format and state; the rest, times of backups and the like, is zero."""
    made = bytearray(PAGE)
    struct.pack_into("<4sIIQ", made, 4, b"\xef\xcd\xab\x89", 0x620, 0, 1)
    struct.pack_into("<I", made, 52, state)
    struct.pack_into("<II", made, 232, 0x11, PAGE)
    struct.pack_into("<II", made, 340, 0x620, 0x11)
    words = np.frombuffer(bytes(made[4:]), "<u4")
    struct.pack_into("<I", made, 0, int(np.bitwise_xor.reduce(words)) ^ 0x89ABCDEF)
    return bytes(made)


def write_database(tables: Sequence[Table], state: int = CLEAN) -> bytes:
    """Return a database with some tables."""
    pages = Pages()
    listed: list[dict[str, Value | Tagged]] = [
        {"ObjidTable": 2, "Type": 1, "Id": 2, "ColtypOrPgnoFDP": CATALOG, "SpaceUsage": 1, "RootFlag": 0xFF,
         "PagesOrLocale": 1, "Name": "MSysObjects"}
    ]  # fmt: skip
    for number, table in enumerate(tables, 10):
        listed += write_table(pages, table, number)
    entries = []
    for row in listed:
        parts = (row["ObjidTable"], 4), (row["Type"], 2), (row["Id"], 4)
        key = b"".join(key_of(int(value), width) for value, width in parts)  # type: ignore[arg-type]
        entries.append(Entry(key, record(CATALOG_COLUMNS, row)))
    pages.tree(CATALOG, entries, 2, 1000)
    pages.tree(CATALOG_COPY, entries, 3, 1000)
    head = header(state)
    return head + head + pages.bytes()
