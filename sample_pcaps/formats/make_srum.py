"""Make the samples of SRUM anew: ``python sample_pcaps/formats/make_srum.py``.

The databases are made from descriptions of ESE and of SRUM; nothing in them was recorded. `ese` writes them.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path

from ese import DIRTY, Column, Table, Tagged, Value, write_database

FOLDER = Path(__file__).resolve().parent / "srum"

Row = dict[str, Value | Tagged]

NAMES = (Column(1, "IdType", "byte"), Column(2, "IdIndex", "long"), Column(256, "IdBlob", "long binary"))
USAGE = (
    Column(1, "AutoIncId", "long"), Column(2, "TimeStamp", "date"), Column(3, "AppId", "long"),
    Column(4, "UserId", "long"), Column(5, "InterfaceLuid", "long long"), Column(6, "L2ProfileId", "long"),
    Column(7, "L2ProfileFlags", "long"), Column(8, "BytesSent", "long long"), Column(9, "BytesRecvd", "long long"),
)  # fmt: skip
CONNECTIVITY = (
    *USAGE[:6], Column(7, "ConnectedTime", "long"), Column(8, "ConnectStartTime", "long long"),
    Column(9, "L2ProfileFlags", "long"),
)  # fmt: skip
USAGE_TABLE, CONNECTIVITY_TABLE = "{973F5D5C-1D90-4944-BE8E-24B94231A174}", "{DD6636C4-8929-4683-974E-22C046A43763}"

ETHERNET, WIFI, LOOPBACK = (kind << 48 | 0x8000 << 24 for kind in (6, 71, 24))

BROWSER = r"\Device\HarddiskVolume2\Program Files\Browser\browser.exe"
COPIER = r"\Device\HarddiskVolume2\Users\mori\AppData\Local\Temp\copier.exe"
SERVICE = "!!svchost.exe!1970/01/01:00:00:00!0![NetworkService]"


def at(text: str) -> float:
    """Return a time as OLE Automation has it: days since 30 December 1899."""
    passed = datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime(1899, 12, 30, tzinfo=UTC)
    return passed.total_seconds() / 86_400


def filetime(text: str) -> int:
    """Return a time as FILETIME has it: steps of 100 ns since 1601."""
    passed = datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime(1601, 1, 1, tzinfo=UTC)
    return int(passed.total_seconds()) * 10_000_000


def wide(text: str) -> bytes:
    """Return a text as SRUM keeps it."""
    return (text + "\0").encode("utf-16-le")


def sid(*parts: int) -> bytes:
    """Return a security identifier; its first part is the authority."""
    head = struct.pack("<BB", 1, len(parts) - 1) + parts[0].to_bytes(6, "big")
    return head + struct.pack(f"<{len(parts) - 1}I", *parts[1:])


def seven_bits(text: str) -> bytes:
    """Return a text of ASCII letters as ESE compresses wide ones: 7 bits for each, behind a byte that says so."""
    value = sum(ord(letter) << 7 * place for place, letter in enumerate(text))
    spare = -7 * len(text) % 8
    return bytes([2 << 3 | (7 - spare) & 7]) + value.to_bytes((7 * len(text) + 7) // 8, "little")


def name(kind: int, number: int, blob: bytes | Tagged | None) -> Row:
    """Return a row of the table of names."""
    return {"IdType": kind, "IdIndex": number, "IdBlob": blob}


def used(
    number: int,
    time: str | float | None,
    who: tuple[int | None, int | None],
    moved: tuple[int | None, int | None],
    interface: int | None = ETHERNET,
) -> Row:
    """Return a row of the table of usage: by which program and user, how much was sent and received."""
    return {
        "AutoIncId": number, "TimeStamp": at(time) if isinstance(time, str) else time, "AppId": who[0],
        "UserId": who[1], "InterfaceLuid": interface, "L2ProfileId": 0, "L2ProfileFlags": 0, "BytesSent": moved[0],
        "BytesRecvd": moved[1],
    }  # fmt: skip


def connected(number: int, time: str, start: str | None, seconds: int | None, interface: int | None = ETHERNET) -> Row:
    """Return a row of the table of connectivity."""
    return {
        "AutoIncId": number, "TimeStamp": at(time), "AppId": 1, "UserId": 2, "InterfaceLuid": interface,
        "L2ProfileId": 0, "ConnectedTime": seconds, "L2ProfileFlags": 0,
        "ConnectStartTime": None if start is None else filetime(start),
    }  # fmt: skip


MORI = sid(5, 21, 1111, 2222, 3333, 1001)
SYSTEM = sid(5, 18)


def normal() -> bytes:
    """Return three hours of a machine, in which a program copies much away."""
    names = [
        name(0, 1, b""), name(3, 2, SYSTEM), name(0, 3, wide(BROWSER)), name(3, 4, MORI), name(1, 5, wide(SERVICE)),
        name(0, 6, wide(COPIER)),
    ]  # fmt: skip
    usage = [
        used(1, "2015-05-21T01:00:00", (3, 4), (120_000, 4_800_000)),
        used(2, "2015-05-21T01:00:00", (5, 2), (9_000, 31_000)),
        used(3, "2015-05-21T02:00:00", (3, 4), (98_000, 3_100_000)),
        used(4, "2015-05-21T02:00:00", (6, 4), (734_003_200, 2_202_010)),
        used(5, "2015-05-21T02:00:00", (5, 2), (8_500, 30_500)),
        used(6, "2015-05-21T03:00:00", (3, 4), (0, 1_500), WIFI),
        used(7, "2015-05-21T03:00:00", (1, 2), (640, 640), LOOPBACK),
    ]
    met = [
        connected(1, "2015-05-21T01:00:00", "2015-05-20T23:55:10", 3_600),
        connected(2, "2015-05-21T02:00:00", "2015-05-20T23:55:10", 3_600),
        connected(3, "2015-05-21T03:00:00", "2015-05-21T02:10:30", 2_970, WIFI),
    ]
    return write_database(
        [Table("SruDbIdMapTable", NAMES, names, key=2), Table(USAGE_TABLE, USAGE, usage, most=3),
         Table(CONNECTIVITY_TABLE, CONNECTIVITY, met)]
    )  # fmt: skip


def unknown() -> bytes:
    """Return rows in which everything is null that may be."""
    usage = [used(1, "2015-05-21T01:00:00", (None, None), (None, None), None),
             used(2, "2015-05-21T02:00:00", (7, 8), (None, 5_000))]  # fmt: skip
    met = [connected(1, "2015-05-21T01:00:00", None, None, None)]
    return write_database(
        [Table("SruDbIdMapTable", NAMES, [name(0, 7, None)], key=2), Table(USAGE_TABLE, USAGE, usage),
         Table(CONNECTIVITY_TABLE, CONNECTIVITY, met)]
    )  # fmt: skip


def odd_names() -> list[Row]:
    """Return names that are odd, compressed, elsewhere, or none."""
    long = "\\Device\\HarddiskVolume2\\" + "deep\\" * 500 + "long.exe"
    return [
        name(0, 1, wide("<script>\u4e8c\u202e.exe")),
        name(0, 2, Tagged(seven_bits("copier.exe"), "compressed")),
        name(0, 3, Tagged(wide(long), "separate")),
        name(0, 4, Tagged(b"\x18\x10\x27" + b"\xff" * 40, "compressed")),  # XPRESS
        name(3, 5, b"\x01\x05\x00"),
        name(9, 6, wide("what is it")),
        name(0, 7, b"\xff\xd8"),
        name(0, 8, wide("separate.exe")),
    ]


def odd_usage(time: str) -> list[Row]:
    """Return rows of usage that are odd; the one numbered 15 is to be deleted."""
    return [
        used(1, time, (1, 5), (100, 200)),
        used(2, time, (2, 5), (101, 201)),
        used(3, time, (3, 5), (102, 202)),
        used(4, time, (4, 5), (103, 203)),
        used(5, time, (6, 5), (104, 204)),
        used(6, time, (99, 5), (105, 205)),
        used(7, time, (7, 5), (106, 206), 999 << 48),
        used(8, time, (8, 5), (-1, 207)),
        used(9, time, (8, 5), (108, 1 << 60)),
        used(10, None, (8, 5), (109, 209)),
        used(11, float("nan"), (8, 5), (110, 210)),
        used(12, 0.5, (8, 5), (111, 211)),
        used(13, 1e12, (8, 5), (112, 212)),
        used(14, time, (8, 5), (113, 213), -1),
        used(15, time, (8, 5), (114, 214)),  # deleted
        used(16, "2015-05-21T01:37:21.250000", (8, 5), (115, 215)),
        used(17, time, (8, 5), (116, 216)),  # of before the last column
        {"TimeStamp": at(time), "BytesSent": 1, "BytesRecvd": 1},
    ]


def traps() -> bytes:
    """Return what is odd, in a database that was copied while it was in use."""
    time = "2015-05-21T01:00:00"
    met = [connected(1, time, "1601-01-01T00:00:00", -5), connected(2, time, "2015-05-21T00:10:00", 60)]
    return write_database(
        [Table("SruDbIdMapTable", NAMES, odd_names(), key=2, most=3),
         Table(USAGE_TABLE, USAGE, odd_usage(time), most=5, deleted=frozenset({14}), stored={16: 8}),
         Table(CONNECTIVITY_TABLE, CONNECTIVITY, met)],
        DIRTY,
    )  # fmt: skip


def neighbour() -> bytes:
    """Return a database of the same engine that is of another program."""
    columns = (Column(1, "ContainerId", "long"), Column(128, "Directory", "text"))
    return write_database([Table("Containers", columns, [{"ContainerId": 1, "Directory": r"C:\cache"}])])


def main() -> None:
    """Write the samples."""
    (FOLDER / "normal.dat").write_bytes(normal())
    (FOLDER / "unknown.dat").write_bytes(unknown())
    (FOLDER / "traps.dat").write_bytes(traps())
    (FOLDER / "webcache.other").write_bytes(neighbour())


if __name__ == "__main__":
    main()
