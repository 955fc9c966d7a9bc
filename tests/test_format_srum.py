"""SRUM: what its tables become, two other readers of the same databases, and what hostile ones cannot do.

The databases are made by our own writer, from descriptions of the layout; no real one was met.
"""

from __future__ import annotations

import io
import struct
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyesedb
import pytest
from dissect.esedb import EseDB

import forensics as fx
from forensics.errors import EvidenceError, MissingToolError
from forensics.formats import Evidence, Hints, srum
from forensics.formats._copied import IN_MEMORY
from forensics.formats._esedb import CATALOG, LONG

FOLDER = Path(__file__).resolve().parents[1] / "sample_pcaps" / "formats"
sys.path.append(str(FOLDER))

import ese  # noqa: E402 - writes databases; lies beside the samples
import make_srum  # noqa: E402 - the same

Rows = list[dict[str, Any]]
TABLES = ("SruDbIdMapTable", make_srum.USAGE_TABLE, make_srum.CONNECTIVITY_TABLE)
TIME = "2015-05-21T01:00:00"


def read(data: bytes) -> tuple[Rows, Rows, dict[str, Any]]:
    """Return flows, rejects and notes of a database."""
    evidence = Evidence(io.BytesIO(data), "SRUDB.dat", "pc7", Hints())
    found: dict[str, Rows] = {"flows": [], "rejects": []}
    for table, batch in srum.parse(evidence):
        found[table].extend(batch.to_pylist())
    return found["flows"], found["rejects"], evidence.notes


def sample(name: str) -> bytes:
    """Return a sample."""
    return (FOLDER / "srum" / name).read_bytes()


def database(
    rows: list[make_srum.Row], names: list[make_srum.Row] | None = None, most: int = 1000, state: int = ese.CLEAN
) -> bytes:
    """Return a database with rows of usage."""
    called = ese.Table(TABLES[0], make_srum.NAMES, names or [], key=2, most=most)
    return ese.write_database([called, ese.Table(TABLES[1], make_srum.USAGE, rows, most=most)], state)


def used(count: int) -> list[make_srum.Row]:
    """Return rows of usage, numbered from 1."""
    return [make_srum.used(number, TIME, (3, 4), (number, 2 * number)) for number in range(1, count + 1)]


def page_of(data: bytes | bytearray, number: int) -> slice:
    """Return where a page stands."""
    return slice((number + 1) * ese.PAGE, (number + 2) * ese.PAGE)


def changed(data: bytes, number: int, place: int, content: bytes) -> bytes:
    """Return a database with some bytes of a page changed, its checksum made right."""
    page = bytearray(data[page_of(data, number)])
    page[place : place + len(content)] = content
    page[:8] = ese.checksums(bytes(page), number)
    whole = bytearray(data)
    whole[page_of(data, number)] = page
    return bytes(whole)


def root_of(data: bytes, table: str) -> int:
    """Return the number of a table's first page."""
    return int(EseDB(io.BytesIO(data)).table(table).root_page)


def test_samples_are_what_the_writer_makes() -> None:
    """The samples in the folder are those that the writer makes today."""
    made = {"normal.dat": make_srum.normal(), "unknown.dat": make_srum.unknown(), "traps.dat": make_srum.traps()}

    assert {name: sample(name) for name in made} == made
    assert sample("webcache.other") == make_srum.neighbour()


def by_dissect(data: bytes, table: str) -> Rows:
    """Return the values of a table as dissect.esedb reads them, deleted rows left out."""
    found = EseDB(io.BytesIO(data)).table(table)
    return [
        {name: record.get(name, raw=True) for name in found.column_names}
        for record in found.records()
        if not record._node.tag.flags.value & ese.DELETED
    ]


def by_libesedb(data: bytes, table: str) -> Rows:
    """Return the values of a table as libesedb reads them."""
    file = pyesedb.file()
    file.open_file_object(io.BytesIO(data))
    return [
        {record.get_column_name(n): record.get_value_data(n) for n in range(record.number_of_values)}
        for record in file.get_table_by_name(table).records
    ]


@pytest.mark.parametrize("name", ["normal.dat", "unknown.dat", "traps.dat"])
@pytest.mark.parametrize("table", TABLES)
def test_two_readers_see_the_same_rows(name: str, table: str) -> None:
    """The packages libesedb and dissect.esedb read each table of each sample alike; libesedb shows a null as zeros."""
    one, other = by_dissect(sample(name), table), by_libesedb(sample(name), table)

    assert one
    assert [list(row) for row in one] == [list(row) for row in other]
    for ours, theirs in zip(one, other, strict=True):
        for column, value in ours.items():
            same = theirs[column] == value or (not value and not any(theirs[column] or b""))
            assert same or theirs[column] == long_value(sample(name), value), column


def long_value(data: bytes, place: bytes) -> bytes | None:
    """Return the long value that stands for a value in a row, as dissect.esedb finds it."""
    return bytes(EseDB(io.BytesIO(data)).table(TABLES[0]).get_long_value(place)) if len(place) == 4 else None


def test_both_readers_see_deep_trees() -> None:
    """A table of 400 pages, three levels deep, is read whole by both readers and by ours."""
    data = database(used(400), most=1)
    sent = [row["bytes_out"] for row in read(data)[0]]

    assert sent == list(range(1, 401))
    assert [struct.unpack("<q", row["BytesSent"])[0] for row in by_dissect(data, TABLES[1])] == sent
    assert [struct.unpack("<q", row["BytesSent"])[0] for row in by_libesedb(data, TABLES[1])] == sent


def test_names_are_those_that_the_other_reader_sees() -> None:
    """A compressed name, and one that is stored as a long value, is what dissect.esedb makes of it."""
    table = EseDB(io.BytesIO(sample("traps.dat"))).table(TABLES[0])
    seen = {r.get("IdIndex"): r.get("IdBlob") for r in table.records() if r.get("IdIndex") in (2, 3)}
    programs = [one["program"] for one in read(sample("traps.dat"))[2]["largest"]]

    assert seen[2].decode("utf-16-le") in programs
    assert seen[3].decode("utf-16-le")[: LONG // 2] in programs


def test_checksums_are_as_documented() -> None:
    """The writer's checksum has the place of each single bit in it, and the number of the page."""
    page = bytearray(ese.PAGE)
    page[100] = 0b100

    assert ese.checksums(bytes(page), 7) == struct.pack("<II", 0b100 ^ 7, (0x7FFF ^ 802) << 16 | 802)


def test_an_hour_ends_at_its_time() -> None:
    """A row tells of the hour before its time; days since 1899 give whole seconds exactly."""
    rows, _, _ = read(sample("normal.dat"))

    assert {(row["start"], row["end"]) for row in rows if row["record"] == 4} == {
        (datetime(2015, 5, 21, 1, tzinfo=UTC), datetime(2015, 5, 21, 2, tzinfo=UTC))
    }


@pytest.mark.parametrize("second", range(0, 86_400, 7_919))
def test_times_are_exact(second: int) -> None:
    """Any second of a day comes back as it was, although it was a part of a day."""
    time_ = datetime.fromtimestamp(1_432_166_400 + second, UTC)
    ((row,), _, _) = read(database([make_srum.used(1, time_.replace(tzinfo=None).isoformat(), (3, 4), (1, 1))]))

    assert row["end"] == time_


def test_rows_have_no_server(tmp_path: Path) -> None:
    """A case has the volumes of the host by hour, exact to the byte, and no detector takes them for a server's."""
    folder = tmp_path / "pc7"
    folder.mkdir()
    (folder / "SRUDB.dat").write_bytes(sample("normal.dat"))
    case = fx.read(tmp_path)
    by_hour = (
        """select "end", sum(bytes_out) as sent from flows where src = 'pc7/SRUDB' group by "end" order by 2 desc"""
    )
    rows = case.sql(by_hour).to_arrow().to_pylist()

    assert [(row["end"].hour, row["sent"]) for row in rows] == [(2, 734_109_700), (1, 129_000), (3, 640)]
    assert case.sql("select sum(bytes_out) as sent from volumes").to_arrow().to_pylist() == [{"sent": 734_239_340}]
    assert case.sql("select count(*) as rows from traffic").to_arrow().to_pylist() == [{"rows": 0}]
    assert fx.find_spikes(case).empty


def test_the_program_that_sent_most_is_told() -> None:
    """The notes tell which program sent most, for which user, in which hour."""
    most = read(sample("normal.dat"))[2]["largest"][0]

    assert most == {
        "end": "2015-05-21T02:00:00+00:00", "record": 4, "program": make_srum.COPIER,
        "user": "S-1-5-21-1111-2222-3333-1001", "interface": "ethernet", "bytes_out": 734_003_200,
        "bytes_in": 2_202_010,
    }  # fmt: skip


def test_notes_stay_short() -> None:
    """Ever new programs do not make the notes grow without end; the sum of the others is told."""
    rows = [make_srum.used(n, TIME, (n, 4), (n, 1)) for n in range(1, 201)]
    notes = read(database(rows))[2]

    assert len(notes["programs"]) == 51
    assert len(notes["largest"]) == 20
    assert notes["programs"]["(others)"] == {"records": 150, "bytes_out": sum(range(1, 151)), "bytes_in": 150}


def test_a_database_in_use_says_so() -> None:
    """A database that was not closed is read, and the notes say what state it is in."""
    assert read(database(used(1), state=ese.DIRTY))[2]["state"] == "dirty shutdown"
    assert "state" not in read(database(used(1)))[2]


def test_deleted_rows_are_passed_over() -> None:
    """A row that is marked as deleted is counted, and no flow."""
    rows, _, notes = read(sample("traps.dat"))

    assert 15 not in {row["record"] for row in rows}
    assert notes["deleted"] == 1


def test_a_changed_page_is_told() -> None:
    """A page whose bytes are not those that its checksum was made of is read, and listed."""
    data = bytearray(sample("normal.dat"))
    data[data.index(struct.pack("<q", 734_003_200))] ^= 1
    rows, _, notes = read(bytes(data))

    assert max(row["bytes_out"] for row in rows) == 734_003_201
    assert len(notes["pages_with_wrong_checksum"]) == 1
    assert "pages_with_wrong_checksum" not in read(sample("normal.dat"))[2]


def test_the_package_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error says what to install; the file is recognised all the same."""
    monkeypatch.setitem(sys.modules, "dissect.esedb", None)

    assert srum.declines(sample("normal.dat"), Hints()) is None
    with pytest.raises(MissingToolError, match=r"pip install 'forensics\[host\]'"):
        read(sample("normal.dat"))


def test_a_large_file_is_not_kept_in_memory() -> None:
    """What is larger than a limit goes to a temporary file, and its pages are read from there."""
    data = sample("normal.dat")
    rows, _, _ = read(data + bytes(IN_MEMORY))

    assert len(rows) == 7


def test_catalogs_beyond_the_head_are_not_declined() -> None:
    """Where the catalog's first page only leads to others, the head cannot tell, and the reader says what it met."""
    columns = tuple(ese.Column(n, f"Column{n}", "long") for n in range(1, 101))
    data = ese.write_database([ese.Table("Other", columns, [])])

    assert srum.declines(data[: 64 << 10], Hints()) is None
    with pytest.raises(EvidenceError, match=r"no table .* of network usage; its tables: MSysObjects, Other"):
        read(data)


@pytest.mark.parametrize(
    ("place", "number", "expected"),
    [(236, 4095, "its pages have 4095 bytes"), (236, 1 << 31, "its pages have"), (232, 2, "it is of revision 2")],
)
def test_headers_that_are_none(place: int, number: int, expected: str) -> None:
    """Pages of no lawful size, and revisions with another layout, are said to be so."""
    data = bytearray(sample("normal.dat"))
    struct.pack_into("<I", data, place, number)

    with pytest.raises(EvidenceError, match=expected):
        read(bytes(data))


def test_a_file_that_ends_early() -> None:
    """A file cut within its header or catalog is an error; cut behind it, what is there is read."""
    data = sample("normal.dat")
    root = root_of(data, TABLES[1])

    for end in (0, 300, 5000, 20_000):
        with pytest.raises(EvidenceError, match=r"ends within its header|catalog cannot be read"):
            read(data[:end])
    rows, rejects, notes = read(data[: page_of(data, root + 2).stop + 100])
    assert [row["record"] for row in rows] == [1, 2, 3, 4, 5, 6]
    lost = [f"page {page} cannot be read: the file ends before it" for page in (root + 3, root + 4)]
    assert [row["reason"] for row in rejects] == lost
    assert notes["truncated"] == "it ends 100 bytes into a page"


def test_what_makes_a_file_an_error() -> None:
    """A file of which no row can be read, or whose table of usage lacks columns, is an error that says so."""
    with pytest.raises(EvidenceError, match="not one of its 1 records could be read as srum; the first: BytesSent"):
        read(database([make_srum.used(1, TIME, (3, 4), (-1, 1))]))
    with pytest.raises(EvidenceError, match="has no column BytesRecvd"):
        read(ese.write_database([ese.Table(TABLES[1], make_srum.USAGE[:-1], [])]))


def test_a_page_is_met_once() -> None:
    """Pages that lead back to themselves, or to one page again and again, cost a reject each and no time."""
    data = database(used(9), most=3)
    root = root_of(data, TABLES[1])
    content = data[page_of(data, root)]
    for child in (root, root + 1):
        place = content.index(struct.pack("<I", root + 2), 40)
        rows, rejects, _ = read(changed(data, root, place, struct.pack("<I", child)))

        assert [row["record"] for row in rows] == [1, 2, 3, 7, 8, 9]
        assert [row["reason"] for row in rejects] == [f"page {child} cannot be read: it is named twice"]


def test_a_page_of_another_table_is_none_of_this() -> None:
    """A page that belongs to another tree is a reject, and its rows are no rows of this table."""
    data = database(used(9), most=3)
    root = root_of(data, TABLES[1])
    rows, rejects, _ = read(changed(data, root + 2, 24, struct.pack("<I", 99)))

    assert [row["record"] for row in rows] == [1, 2, 3, 7, 8, 9]
    assert [row["reason"] for row in rejects] == [f"page {root + 2} cannot be read: it belongs to another tree"]


def test_a_page_of_zeros_is_told() -> None:
    """A table whose first page was never written, or was wiped, has a reject and no silence."""
    data = bytearray(make_srum.normal())
    root = root_of(bytes(data), TABLES[1])
    data[page_of(data, root)] = bytes(ese.PAGE)
    rows, rejects, _ = read(bytes(data))

    assert not rows
    assert [row["reason"] for row in rejects] == [f"page {root} cannot be read: it is empty"]


def test_a_last_page_that_none_above_names_is_read() -> None:
    """In a database in use, the last page may be known to its neighbour alone."""
    data = database(used(9), most=3)
    root = root_of(data, TABLES[1])
    tags = struct.unpack_from("<H", data, page_of(data, root).start + 34)[0]
    cut = changed(data, root, 34, struct.pack("<H", tags - 1))

    assert [row["record"] for row in read(cut)[0]] == list(range(1, 10))


def test_entries_do_not_overlap() -> None:
    """A page whose entries say they have more bytes than the page is a reject: it would be read again and again."""
    data = database(used(50))
    root = root_of(data, TABLES[1])
    tags = b"".join(struct.pack("<HH", 200, 16) for _ in range(50))
    with pytest.raises(EvidenceError, match=f"page {root} cannot be read: entries of page {root} overlap"):
        read(changed(data, root, ese.PAGE - 4 - len(tags), tags))


def test_a_catalog_has_a_limit() -> None:
    """A catalog that is larger than any lawful one, or that leads to itself, is an error, soon."""
    columns = tuple(ese.Column(n, f"Column{n:03}", "long") for n in range(1, 120))
    large = ese.write_database([ese.Table(f"Table{n}", columns, []) for n in range(CATALOG // 6_000)])
    above = large[page_of(large, ese.CATALOG)]
    child = above.index(struct.pack("<I", EseDB(io.BytesIO(large)).page(ese.CATALOG).node(1).child), 40)
    looped = changed(large, ese.CATALOG, child, struct.pack("<I", ese.CATALOG))

    for data in (large, looped):
        began = time.monotonic()
        with pytest.raises(EvidenceError, match="its catalog cannot be read: it has more than 256 KiB"):
            read(data)
        assert time.monotonic() - began < 20


@pytest.mark.parametrize("how", ["compressed", "separate"])
def test_nothing_grows_when_unpacked(how: Any) -> None:  # noqa: ANN401 - one of the two
    """A name that says it has gigabytes when unpacked is left alone; its program is called by its number."""
    bomb = b"\x18\xff\xff" + b"\0\0\0\x40" + b"a" + struct.pack("<HBBHI", 7, 15, 255, 0, 1 << 31)
    content = bomb if how == "compressed" else bomb.ljust(100, b"\0") * 20
    rows = [make_srum.used(1, TIME, (3, 4), (1, 1))]
    began = time.monotonic()
    _, _, notes = read(database(rows, [make_srum.name(0, 3, ese.Tagged(content, how))]))

    assert time.monotonic() - began < 5
    assert list(notes["programs"]) == ["#3"]
    assert notes["names_not_read"] == 1


class _Damaged(io.BytesIO):
    """A stream that breaks where it ends."""

    def read(self, size: int | None = -1) -> bytes:
        """Return bytes, and raise where there are none left."""
        if not (found := super().read(size)):
            raise EvidenceError("SRUDB.dat", "compressed data is damaged")
        return found


def test_damage_of_the_stream_is_what_is_told() -> None:
    """Where a compressed file breaks before its catalog, the error is the damage, not what is missing thereby."""
    for end in (100, 9_000):
        evidence = Evidence(_Damaged(sample("normal.dat")[:end]), "SRUDB.dat", "pc7", Hints())
        with pytest.raises(EvidenceError, match="compressed data is damaged"):
            list(srum.parse(evidence))
