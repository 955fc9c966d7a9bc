"""Rows and notes made of the tables of SRUM.

Example: ``SrumRows(evidence).batches(database)`` yields the flows and rejects of a database.
"""

from __future__ import annotations

import heapq
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from forensics.errors import EvidenceError
from forensics.formats._esedb import Broken, unpacked
from forensics.formats._times import LATEST
from forensics.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence
    from forensics.formats._esedb import Database, Row

__all__ = ["CONNECTIVITY", "NAMES", "USAGE", "SrumRows"]

NAMES = "SruDbIdMapTable"
USAGE = "{973F5D5C-1D90-4944-BE8E-24B94231A174}"
CONNECTIVITY = "{DD6636C4-8929-4683-974E-22C046A43763}"

NUMBER = "AutoIncId"
_NAME_COLUMNS = {"IdType": "unsigned", "IdIndex": "signed", "IdBlob": "bytes"}
_USAGE_COLUMNS = {
    NUMBER: "signed", "TimeStamp": "float", "AppId": "signed", "UserId": "signed", "InterfaceLuid": "unsigned",
    "BytesSent": "signed", "BytesRecvd": "signed",
}  # fmt: skip
_CONNECTIVITY_COLUMNS = {
    NUMBER: "signed", "InterfaceLuid": "unsigned", "ConnectedTime": "signed", "ConnectStartTime": "signed",
}  # fmt: skip

INTERFACES = {6: "ethernet", 23: "ppp", 24: "loopback", 71: "wifi", 131: "tunnel", 243: "mobile", 244: "mobile"}
"""Kinds of interfaces by the numbers that IANA gave them; others are called by their number."""

LISTED, LARGEST = 50, 20
"""Programs and users that are told apart in the notes; rows that are told with their program."""

TOLD_APART = 65_536
"""Names, programs and users that are kept while reading."""

LONGEST = 256
"""Longest name in the notes. [characters]"""

INTERVAL = 3_600_000_000
"""How often SRUM writes, if nothing makes it write earlier. [us]"""

MOST = 2**50
_OTHERS = "(others)"
_DAY = 86_400_000_000
_EPOCH_OF_DAYS = 25_569
"""Days from 30 December 1899 to 1970."""

_EPOCH_OF_FILETIME = 11_644_473_600_000_000
_STATES = {1: "just created", 2: "dirty shutdown", 4: "being converted", 5: "detached by force"}
_TEXTS, _SID = (0, 1, 2), 3


class _UnreadableError(ValueError):
    """A row that cannot be read; the message says why."""


class _Use(NamedTuple):
    """A row of usage that could be read."""

    record: int
    end: int
    program: str | None
    user: str | None
    interface: str | None
    bytes_out: int | None
    bytes_in: int | None


class _Totals:
    """Bytes each way and rows, by something."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, int]] = {}

    def add(self, key: str | None, **counts: int | None) -> None:
        """Count a row; what is null is not counted."""
        if key is None:
            return
        key = key if key in self._found or len(self._found) < TOLD_APART else _OTHERS
        own = self._found.setdefault(key, {"records": 0})
        own["records"] += 1
        for name, count in counts.items():
            if count is not None:
                own[name] = own.get(name, 0) + count

    def told(self) -> dict[str, dict[str, int]]:
        """Return those with the most bytes, and the sum of the others."""
        order = sorted(self._found.items(), key=lambda one: (-sum(one[1].values()), one[0]))
        shown = dict(order[:LISTED])
        for _, counts in order[LISTED:]:
            others = shown.setdefault(_OTHERS, {})
            for name, count in counts.items():
                others[name] = others.get(name, 0) + count
        return shown


class SrumRows:
    """Rows made of one database, and what is to be told about it.

    Parameters
    ----------
    evidence
        The file.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence, self._rows = evidence, Rows()
        self._names: dict[int, str] = {}
        self._programs, self._users, self._interfaces, self._connected = (_Totals() for _ in range(4))
        self._largest: list[tuple[int, int, _Use]] = []
        self._records = self._rejected = self._not_read = 0
        self._first: str | None = None

    def batches(self, database: Database) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield what becomes of the tables; notes are complete at the end.

        Raises
        ------
        forensics.errors.EvidenceError
            It has no table of usage, or not one of the rows could be read.
        """
        usage = database.table(USAGE)
        if usage is None:
            shown = ", ".join(database.tables[:LISTED]) or "none"
            raise EvidenceError(self._evidence.source, f"it has no table {USAGE} of network usage; its tables: {shown}")
        self._read_names(database)
        for row in database.rows(usage, _USAGE_COLUMNS):
            self._take(row, self._add_usage)
            if self._rows.full:
                yield from self._rows.drain()
        connectivity = database.table(CONNECTIVITY)
        for row in database.rows(connectivity, _CONNECTIVITY_COLUMNS) if connectivity else ():
            self._take(row, self._add_connection)
            if self._rows.full:
                yield from self._rows.drain()
        self._tell(database)
        yield from self._rows.drain()
        if self._records == self._rejected and self._first:
            none = f"not one of its {self._records} records could be read as srum; the first: {self._first}"
            raise EvidenceError(self._evidence.source, none)

    def _take(self, row: Row | Broken, add: Any) -> None:  # noqa: ANN401 - a method
        """Make rows of a row, or a reject."""
        self._records += 1
        if isinstance(row, Broken):
            self._reject(None, row.reason, row.raw)
            return
        try:
            add(row.values)
        except _UnreadableError as error:
            self._reject(row.values[NUMBER], str(error), row.raw)

    def _reject(self, number: int | None, reason: str, raw: bytes) -> None:
        self._rows.reject(self._evidence.source, number, reason, raw)
        self._rejected += 1
        self._first = self._first or reason

    def _read_names(self, database: Database) -> None:
        """Read what programs and users are called."""
        table = database.table(NAMES)
        if table is None:
            return
        long = database.long_values(table)
        for row in database.rows(table, _NAME_COLUMNS):
            if isinstance(row, Broken):
                self._records += 1
                self._reject(None, row.reason, row.raw)
                continue
            kind, number, blob = row.values.values()
            if number is None or blob is None or not blob[0]:
                continue
            name = _name(kind, *long.get(blob[0], blob)) if len(self._names) < TOLD_APART else None
            if name is None:
                self._not_read += 1
            else:
                self._names[number] = name[:LONGEST]

    def _called(self, number: int | None) -> str | None:
        """Return a name by its number; the number where it has none."""
        return None if number is None else self._names.get(number, f"#{number}")

    def _add_usage(self, values: dict[str, Any]) -> None:
        """Put a row of usage into ``flows``."""
        number, end = values[NUMBER], _end(values["TimeStamp"])
        if number is None or number < 1:
            raise _UnreadableError(f"{NUMBER} is missing" if number is None else f"{NUMBER} is not above 0")
        out, into = _count(values, "BytesSent"), _count(values, "BytesRecvd")
        program, user = self._called(values["AppId"]), self._called(values["UserId"])
        use = _Use(number, end, program, user, _interface(values["InterfaceLuid"]), out, into)
        self._rows.add(
            "flows", start=end - INTERVAL, end=end, src=self._evidence.vantage, bytes_out=out, bytes_in=into,
            bytes_kind="application", vantage=self._evidence.vantage, source=self._evidence.source, record=number,
        )  # fmt: skip
        for totals, key in ((self._programs, program), (self._users, user), (self._interfaces, use.interface)):
            totals.add(key, bytes_out=out, bytes_in=into)
        if out:
            (heapq.heappush if len(self._largest) < LARGEST else heapq.heappushpop)(self._largest, (out, -number, use))

    def _add_connection(self, values: dict[str, Any]) -> None:
        """Count for how long an interface was connected."""
        seconds, start = values["ConnectedTime"], values["ConnectStartTime"]
        if seconds is not None and seconds < 0:
            raise _UnreadableError("connectivity: ConnectedTime is negative")
        if start is not None and not 0 <= start // 10 - _EPOCH_OF_FILETIME <= LATEST * 1_000_000:
            raise _UnreadableError("connectivity: ConnectStartTime is none that a log can hold")
        self._connected.add(_interface(values["InterfaceLuid"]), seconds=seconds)

    def _tell(self, database: Database) -> None:
        """Complete the notes of the file."""
        largest = [
            {"end": _shown(use.end)} | {k: v for k, v in use._asdict().items() if v is not None and k != "end"}
            for _, _, use in sorted(self._largest, key=lambda one: (-one[0], -one[1]))
        ]
        told = {
            "state": _STATES.get(database.state) if database.state != 3 else None,
            "programs": self._programs.told(), "users": self._users.told(), "interfaces": self._interfaces.told(),
            "connected": self._connected.told(), "largest": largest, "deleted": database.deleted,
            "names_not_read": self._not_read, "pages_with_wrong_checksum": database.changed,
            "missing_tables": [name for name in (NAMES, CONNECTIVITY) if database.table(name) is None],
        }  # fmt: skip
        self._evidence.notes["records"] = self._records
        self._evidence.notes.update({key: value for key, value in told.items() if value})
        if database.left_over:
            self._evidence.notes["truncated"] = f"it ends {database.left_over} bytes into a page"


def _name(kind: int | None, blob: bytes, packed: bool) -> str | None:  # noqa: FBT001 - as the database says it
    """Return the name of a program or a user, or None where it cannot be read."""
    content = unpacked(blob) if packed else blob
    if not content:
        return None
    if kind in _TEXTS:
        return content[: len(content) // 2 * 2].decode("utf-16-le", "backslashreplace").rstrip("\0") or None
    if kind == _SID and len(content) >= 8 and len(content) == 8 + 4 * content[1]:
        parts = (int.from_bytes(content[at : at + 4], "little") for at in range(8, len(content), 4))
        return "-".join(map(str, ("S", content[0], int.from_bytes(content[2:8], "big"), *parts)))
    return None


def _end(days: float | None) -> int:
    """Return when a row was written. [us]"""
    if days is None:
        raise _UnreadableError("TimeStamp is missing")
    if not INTERVAL <= (days - _EPOCH_OF_DAYS) * _DAY <= LATEST * 1_000_000:  # false where it is not a number
        raise _UnreadableError("TimeStamp is none that a log can hold")
    return round((days - _EPOCH_OF_DAYS) * _DAY)


def _count(values: dict[str, Any], name: str) -> int | None:
    """Return a count of bytes."""
    count: int | None = values[name]
    if count is not None and not 0 <= count <= MOST:
        raise _UnreadableError(f"{name} is not a count")
    return count


def _interface(luid: int | None) -> str | None:
    """Return what kind of interface a row is of: the upper 16 bits of its number."""
    return None if luid is None else INTERFACES.get(luid >> 48, f"type {luid >> 48}")


def _shown(time: int) -> str:
    """Return a time as text."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)).isoformat()
