"""Rows of databases of Windows' Extensible Storage Engine (ESE), read by the package ``dissect.esedb``.

Example::

    with opened(evidence) as database:
        for row in database.rows(database.table("SruDbIdMapTable"), {"IdIndex": "signed"}):
            ...

The package knows header, catalog, pages and records. What a hostile file could make of it is held back here: every
page of a tree is met once, entries of a page do not overlap, the catalog has a limit, and nothing is unpacked that
could become large.

References
----------
.. [1] libyal, *Extensible Storage Engine (ESE) Database File (EDB) format*, https://github.com/libyal/libesedb,
   documentation: file header, page, catalog, data definitions, long values, 7-bit compression.
.. [2] Microsoft, *Extensible Storage Engine*, https://github.com/microsoft/Extensible-Storage-Engine: page checksums.
"""

from __future__ import annotations

import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import numpy as np

from forensics.errors import EvidenceError, MissingToolError
from forensics.formats._copied import copied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from forensics.formats import Evidence

__all__ = ["MAGIC", "PAGE_SIZES", "Broken", "Database", "Row", "opened", "unpacked"]

MAGIC = b"\xef\xcd\xab\x89"
"""Bytes 4 to 8 of a database."""

PAGE_SIZES = (2048, 4096, 8192, 16384, 32768)

CATALOG = 256 << 10
"""Most that the catalog may have. A lawful one has a tenth of it, and hostile ones take their time. [B]"""

KEPT = 64
"""How many pages the package keeps in memory."""

NOTED = 50
"""How many pages with a wrong checksum are listed."""

LONG = 512
"""How much of a long value is kept. [B]"""

LONG_VALUES = 65_536
"""How many long values of a table are kept."""

_DELETED = 2
_NEW_CHECKSUM = 0x2000
_SEVEN_BIT, _SEVEN_BIT_WIDE = 1, 2


class Row(NamedTuple):
    """A row of a table: its values by column, None where they are null, and its bytes."""

    values: dict[str, Any]
    raw: bytes


class Broken(NamedTuple):
    """A page or a row that cannot be read: why, and how it begins."""

    reason: str
    raw: bytes


def _short(error: BaseException) -> str:
    """Return what an error says, in one line that is not long."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def opened(evidence: Evidence) -> Iterator[Database]:
    """Yield the database that a file is; where the stream was damaged, raise that at the end.

    Raises
    ------
    forensics.errors.MissingToolError
        The package is not installed.
    forensics.errors.EvidenceError
        Header or catalog cannot be read, or the stream was damaged.
    """
    try:
        from dissect.esedb import EseDB
    except ImportError:
        raise MissingToolError(
            "SRUM databases are read by the package dissect.esedb: pip install 'forensics[host]'"
        ) from None
    with copied(evidence) as copy:  # pages stand in any order
        try:
            pages = _Pages(copy.file, evidence.source)
            # In this mode the package tells compressed values from others, and unpacks none.
            found = EseDB(pages, impacket_compat=True)
        except EvidenceError as error:
            raise copy.damage or error from None
        except Exception as error:
            problem = f"its catalog cannot be read: {_short(error)}"
            raise copy.damage or EvidenceError(evidence.source, problem) from error
        pages.limit = None
        yield Database(found, pages, evidence.source)
    copy.check()


class _Pages:
    """The file as the package reads it: page by page, each looked at before the package sees it.

    Parameters
    ----------
    file
        The file.
    source
        Its name.
    """

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._file = file
        head = file.read(668)
        self.size = file.seek(0, os.SEEK_END)
        if len(head) < 668 or head[4:8] != MAGIC:
            raise EvidenceError(source, "it ends within its header" if len(head) < 668 else "it is no ESE database")
        self.state, self.page_size = _number(head, 52), _number(head, 236)
        if self.page_size not in PAGE_SIZES:
            raise EvidenceError(source, f"its pages have {self.page_size} bytes, which is no size of pages of ESE")
        if _number(head, 232) < 9:
            raise EvidenceError(source, f"it is of revision {_number(head, 232)} of ESE; from 9 on they are read")
        self.limit: int | None = CATALOG // self.page_size
        self.changed: set[int] = set()
        file.seek(0)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        return self._file.seek(place, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """Read the header, or a page."""
        place = self._file.tell()
        data = self._file.read(size)
        if size == self.page_size and len(data) == size and place >= 2 * size:
            self._look_at(data, place // size - 1)
        return data

    def _look_at(self, page: bytes, number: int) -> None:
        """Hold a page to what lawful ones keep, and note one whose checksum is not its own."""
        if self.limit is not None:
            self.limit -= 1
            if self.limit < 0:
                raise ValueError(f"it has more than {CATALOG >> 10} KiB")
        tags = struct.unpack_from("<H", page, 34)[0] & 0x0FFF
        if 4 * tags > self.page_size - 40:
            raise ValueError(f"page {number} has more entries than room")
        small = self.page_size <= 8192
        sizes = np.frombuffer(page[self.page_size - 4 * tags :], "<u2")[::2] & (0x1FFF if small else 0x7FFF)
        if int(sizes.sum()) > self.page_size:
            raise ValueError(f"entries of page {number} overlap")
        if small and _number(page, 36) & _NEW_CHECKSUM and len(self.changed) < NOTED:
            found = int(np.bitwise_xor.reduce(np.frombuffer(page, "<u4", offset=8))) ^ number
            if found != _number(page, 0):
                self.changed.add(number)


def _number(data: bytes, place: int) -> int:
    """Return 32 bits as a number."""
    return cast("int", struct.unpack_from("<I", data, place)[0])


class Database:
    """A database.

    Parameters
    ----------
    found
        The database as the package has it.
    pages
        Its pages.
    source
        Name of the file.
    """

    def __init__(self, found: Any, pages: _Pages, source: str) -> None:  # noqa: ANN401 - the package has no types
        self._found, self._pages, self._source = found, pages, source
        self.state, self.deleted = pages.state, 0

    @property
    def changed(self) -> list[int]:
        """Numbers of pages, of those that were read, whose checksum is wrong."""
        return sorted(self._pages.changed)

    @property
    def left_over(self) -> int:
        """How many bytes there are behind the last whole page. [B]"""
        return self._pages.size % self._pages.page_size

    @property
    def tables(self) -> list[str]:
        """Names of its tables."""
        return [str(table.name) for table in self._found.tables()]

    def table(self, name: str) -> Any:  # noqa: ANN401 - the package has no types
        """Return a table, or None where there is none of that name."""
        return self._found.table(name) if name in self.tables else None

    def rows(self, table: Any, columns: Mapping[str, str]) -> Iterator[Row | Broken]:  # noqa: ANN401 - the same
        """Yield the rows of a table; deleted ones are counted in `deleted`.

        Parameters
        ----------
        table
            The table.
        columns
            What the values of each column are: ``signed`` or ``unsigned`` numbers of any width, ``float`` or ``bytes``.

        Raises
        ------
        forensics.errors.EvidenceError
            The table has not all of these columns.
        """
        from dissect.esedb.record import Record

        if missing := [name for name in columns if name not in table.column_names]:
            raise EvidenceError(self._source, f"its table {table.name} has no column {', '.join(missing)}")
        for node in self._leaves(table.root_page):
            if isinstance(node, Broken):
                yield node
                continue
            raw = bytes(node.data)
            try:
                found = Record(table, node)
                yield Row({name: _value(found, name, form) for name, form in columns.items()}, raw)
            except Exception as error:  # noqa: BLE001 - one row; the others are read
                yield Broken(f"its record cannot be read: {_short(error)}", raw)

    def long_values(self, table: Any) -> dict[bytes, tuple[bytes, bool]]:  # noqa: ANN401 - the same
        """Return how each long value of a table begins, by what stands in its place, and whether it is compressed."""
        found: dict[bytes, tuple[bytes, bool]] = {}
        try:
            root = table.lv_page.num
        except Exception:  # noqa: BLE001 - it has none, or their page is none
            return found
        sizes: dict[bytes, int] = {}
        for node in self._leaves(root):
            if isinstance(node, Broken) or len(found) >= LONG_VALUES:
                continue
            key, data = bytes(node.key), bytes(node.data)
            if len(key) == 4 and len(data) >= 8:
                sizes = {key: _number(data, 4)}  # its pieces follow
            elif len(key) == 8 and key.endswith(bytes(4)) and data:
                # pieces that are not compressed fill a page, or are the whole; no text begins with these bytes
                packed = len(data) < sizes.get(key[:4], 0) and data[0] >> 3 in (1, 2, 3)
                found[key[3::-1]] = data[:LONG], packed
        return found

    def _leaves(self, root: int) -> Iterator[Any]:
        """Yield the entries of a tree's leaves in their order, and what is broken; each page is met once."""
        met = bytearray(self._pages.size // self._pages.page_size + 1)
        waiting, owner = [root], None
        while waiting:
            number = waiting.pop()
            try:
                page = self._page(number, met)
                owner = page.header.objidFDP if owner is None else owner
                if page.header.objidFDP != owner:
                    raise ValueError("it belongs to another tree")
                children = [] if page.is_leaf else [node.child for node in page.nodes()]
                if not children and not page.is_leaf:
                    raise ValueError("it is empty")
            except Exception as error:  # noqa: BLE001 - one page; the others are read
                yield Broken(f"page {number} cannot be read: {_short(error)}", b"")
                continue
            waiting += reversed(children)
            if page.is_leaf:
                yield from self._entries(page)
                behind = page.next_page  # a database in use may have a last leaf that no page above names yet
                waiting += [behind] if not waiting and behind and met[behind : behind + 1] != b"\1" else []

    def _page(self, number: int, met: bytearray) -> Any:  # noqa: ANN401 - the package has no types
        """Return a page that was not met before."""
        if not 0 < number < len(met) - 2:
            raise ValueError("the file ends before it")
        if met[number]:
            raise ValueError("it is named twice")
        met[number] = 1
        if self._found.page.cache_info().currsize >= KEPT:
            self._found.page.cache_clear()
        return self._found.page(number)

    def _entries(self, page: Any) -> Iterator[Any]:  # noqa: ANN401 - the same
        """Yield the entries of a leaf that are not deleted, and what is broken."""
        for place in range(page.node_count):
            try:
                node = page.node(place)
            except Exception as error:  # noqa: BLE001 - one entry; the others are read
                yield Broken(f"entry {place + 1} of page {page.num} cannot be read: {_short(error)}", b"")
                continue
            if node.tag.flags.value & _DELETED:
                self.deleted += 1
            else:
                yield node


def _value(record: Any, name: str, form: str) -> Any:  # noqa: ANN401 - of any type
    """Return a value of a record: a number, or bytes and whether they are compressed."""
    raw = record.get(name, raw=True)
    if raw is None:
        return None
    raw = bytes(raw)
    if form == "bytes":
        return raw[:LONG], record.get(name) is None
    if len(raw) not in ((8,) if form == "float" else (1, 2, 4, 8)):
        raise ValueError(f"{name} has {len(raw)} bytes")
    return struct.unpack("<d", raw)[0] if form == "float" else int.from_bytes(raw, "little", signed=form == "signed")


def unpacked(data: bytes) -> bytes | None:
    """Return a value that was compressed to 7 bits a letter, or None where it was compressed in another way.

    Other ways are for long texts, and a few bytes of them can become as large as a hostile file likes.
    """
    from dissect.util.compression import sevenbit

    kind = data[0] >> 3 if data else 0
    if kind not in (_SEVEN_BIT, _SEVEN_BIT_WIDE):
        return None
    return cast("bytes", sevenbit.decompress(data[1:], wide=kind == _SEVEN_BIT_WIDE))
