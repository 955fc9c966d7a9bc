"""A case: the same tables in memory and on disk, whatever order, name or accident the evidence comes with."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics import case as case_module
from forensics.errors import EvidenceError, ExpansionLimitError, TimezoneNeededError, UnknownFormatError
from forensics.opening import open_case, read
from forensics.reading import Limits
from forensics.schema import TABLES

if TYPE_CHECKING:
    import random

    import pyarrow as pa

    from forensics.case import Case

LINE = "{time}.010 {elapsed} 192.0.2.{client} TCP_MISS/200 {size} GET http://{host}/ - HIER_DIRECT/203.0.113.7 -\n"
SIZED = "%ts.%03tu %>a %Ss/%03>Hs %<st %>st %rm %ru %Sh/%<a"
LOCAL = "%{%Y-%m-%d %H:%M:%S}tl %>a %Ss/%03>Hs %<st %rm %ru"


def log(client: int, lines: int = 5, host: str = "www.example") -> bytes:
    """Return a Squid log of one client."""
    return "".join(
        LINE.format(time=1433122500 + 40 * n, elapsed=n % 7 * 30_000, client=client, size=900 + n, host=host)
        for n in range(lines)
    ).encode()


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """A folder of evidence: three logs, one of them with a broken line, and a text that is none."""
    folder = tmp_path / "evidence"
    (folder / "gw1").mkdir(parents=True)
    (folder / "gw2").mkdir()
    (folder / "gw1/access.log").write_bytes(log(1))
    (folder / "gw2/access.log.gz").write_bytes(gzip.compress(log(2) + b"broken\n", mtime=0))
    (folder / "other.log").write_bytes(log(3, 9))
    (folder / "readme.txt").write_text("What lies here.\n")
    return folder


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without waiting for the disk: no test pulls the plug."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def tables(case: Case) -> dict[str, pa.Table]:
    """Return all tables of a case."""
    return {name: getattr(case, name).to_arrow() for name in TABLES}


def sources(case: Case) -> list[str]:
    """Return the names of the evidence files."""
    names: list[str] = case.sources.to_arrow().column("source").to_pylist()
    return names


def test_memory_and_disk_hold_the_same(evidence: Path, tmp_path: Path) -> None:
    """The same evidence gives the same tables in memory, on disk, and on disk once more."""
    memory = read(evidence)
    disk = open_case(tmp_path / "jps.case").add(evidence)

    assert tables(disk) == tables(memory)
    assert tables(open_case(tmp_path / "jps.case")) == tables(memory)
    assert sources(memory) == ["gw1/access.log", "gw2/access.log.gz", "other.log", "readme.txt"]
    assert [len(getattr(memory, name)) for name in ("flows", "rejects")] == [19, 1]
    assert all(table.schema.names == TABLES[name].schema.names for name, table in tables(memory).items())


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_the_same_bytes_are_added_once(where: str, evidence: Path, tmp_path: Path) -> None:
    """What the case holds, under whatever name or as an open file, is not added again."""
    case = read(evidence) if where == "memory" else open_case(tmp_path / "c").add(evidence)
    before = tables(case)
    (tmp_path / "copy.log").write_bytes(log(3, 9))

    case.add(evidence)
    case.add(tmp_path / "copy.log")
    with (tmp_path / "copy.log").open("rb") as stream:
        case.add(stream)

    assert tables(case) == before


def test_copies_in_one_call_are_one(tmp_path: Path) -> None:
    """Two files of the same bytes are one source, under the first one's name."""
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_bytes(log(1))

    assert sources(read(tmp_path)) == ["a.log"]


def test_names_that_clash_are_numbered(evidence: Path) -> None:
    """Files of one name in different places stay apart: the later ones get a number."""
    (evidence / "gw2/access.log").write_bytes(log(4))

    case = read(evidence / "gw1/access.log", evidence / "gw2/access.log")
    case.add(evidence / "gw1").add(evidence / "other.log")
    (evidence / "access.log").write_bytes(log(5))
    case.add(evidence / "access.log")

    assert sources(case) == ["access.log", "access.log~2", "access.log~3", "other.log"]
    assert case.origin("access.log~2").file.path == evidence / "gw2/access.log"
    assert set(case.flows.to_arrow().column("vantage").to_pylist()) == {"access", "other"}


def test_an_unknown_file_is_read_again_with_better_hints(tmp_path: Path) -> None:
    """What no format recognised is kept as a source, and replaced once somebody says what it is."""
    path = tmp_path / "sized.log"
    path.write_text("1433122500.010 192.0.2.1 TCP_MISS/200 900 300 GET http://www.example/ HIER_DIRECT/203.0.113.7\n")
    case = open_case(tmp_path / "c")
    with pytest.raises(UnknownFormatError) as caught:
        case.add(path)
    assert "squid" in caught.value.declined
    assert case.sources.to_pandas()["format"].isna().tolist() == [True]

    case.add(path, logformat=SIZED)

    assert case.sources.to_pandas()["format"].tolist() == ["squid"]
    assert case.flows.to_pandas()["bytes_out"].tolist() == [300]
    case.add(path)  # without the hint: it is known, and complete
    assert len(case.flows) == 1
    assert tables(open_case(tmp_path / "c")) == tables(case)


def test_a_higher_limit_reads_on(tmp_path: Path) -> None:
    """A file that met a limit is read again, and what is read then replaces what was read before, if it is more."""
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(log(1, 9000)))
    case = open_case(tmp_path / "c")
    case.add(path, limits=Limits(max_expanded=600_000))
    rows = len(case.flows)
    assert 0 < rows < 9000
    assert "max_expanded" in case.sources.to_pandas()["error"][0]

    case.add(path, limits=Limits(max_expanded=300_000))
    assert len(case.flows) == rows

    case.add(path)
    assert len(case.flows) == 9000
    assert case.sources.to_pandas()["error"].isna().all()


def test_one_bad_file_never_stops_the_others(evidence: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Bad files are told in the log, one line each, and in the sources; the others are read."""
    (evidence / "torn.log.gz").write_bytes(gzip.compress(log(7, 4000))[:-9000])
    (evidence / "evil\x1b[2J").write_text("x")

    case = read(evidence)

    logged = [record.getMessage() for record in caplog.records if record.name == "forensics.adding"]
    assert [line.partition(":")[0] for line in logged] == ["evil<U+001B>[2J", "readme.txt", "torn.log.gz"]
    assert logged[1] == "readme.txt: no format recognises this file"
    assert "damaged after" in logged[2]
    assert case.sql("SELECT count(*) AS n FROM sources WHERE error IS NULL").to_pandas()["n"].tolist() == [3]


def test_nothing_readable_raises(tmp_path: Path) -> None:
    """Where not one file could be read, the first one's own error is raised; the sources hold them all."""
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "b.gz").write_bytes(gzip.compress(bytes(100))[:-9])
    case = read_nothing()
    with pytest.raises(UnknownFormatError, match=r"^a\.txt: no format"):
        case.add(tmp_path)
    assert sources(case) == ["a.txt", "b.gz"]

    with pytest.raises(ExpansionLimitError):
        read(tmp_path / "b.gz", limits=Limits(max_expanded=1))


def read_nothing() -> Case:
    """Return an empty case in memory."""
    return read()


def test_an_empty_case(tmp_path: Path) -> None:
    """A case without evidence has all its tables, empty, and can be looked at."""
    for case in (read_nothing(), open_case(tmp_path / "c")):
        assert all(len(table) == 0 for table in tables(case).values())
        assert len(case.sql("SELECT * FROM contacts")) == 0
        with pytest.raises(EvidenceError, match="not in this case, which holds no evidence"):
            case.origin("a")


def test_what_cannot_be_opened_is_told(
    evidence: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file the system refuses is in the log and not in the case; alone it is an error, now and when it is known."""
    case = read(evidence)
    opener = Path.open

    def refuse(path: Path, *args: object, **kwargs: object) -> BinaryIO:
        if path.name == "other.log":
            raise PermissionError(13, "Permission denied")
        return opener(path, *args, **kwargs)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(Path, "open", refuse)

    assert sources(read(evidence)) == ["gw1/access.log", "gw2/access.log.gz", "readme.txt"]
    assert "other.log: cannot be opened: Permission denied" in caplog.text
    with pytest.raises(EvidenceError, match=r"other\.log: cannot be read: Permission denied"):
        case.add(evidence / "other.log")


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_needed_zone_stops_the_add(where: str, evidence: Path, tmp_path: Path) -> None:
    """Times without a zone stop the add; what was added before stays, and all goes on once the zone is given."""
    path = tmp_path / "local.log"
    path.write_text("2015-05-21 13:05:00 192.0.2.1 TCP_MISS/200 900 GET http://www.example/\n")
    case = read_nothing() if where == "memory" else open_case(tmp_path / "c")
    with pytest.raises(TimezoneNeededError):
        case.add(evidence / "gw1", path, logformat=LOCAL)
    case.add(evidence / "gw1")
    assert sources(case)[0] == "access.log"

    case.add(path, logformat=LOCAL, timezone="Asia/Tokyo")

    row = case.sql("SELECT * FROM sources WHERE source = 'local.log'").to_pandas().iloc[0]
    assert row["timezone"] == "Asia/Tokyo"
    assert str(row["first"]) == "2015-05-21 04:05:00+00:00"


def test_a_case_among_its_evidence(evidence: Path) -> None:
    """A case that lies in the folder of the evidence never reads itself."""
    case = open_case(evidence / "jps.case").add(evidence)
    before = sources(case)

    case.add(evidence)

    assert sources(case) == before == ["gw1/access.log", "gw2/access.log.gz", "other.log", "readme.txt"]


def test_evidence_is_not_touched(evidence: Path, tmp_path: Path) -> None:
    """Reading needs no right to write, and changes neither bytes nor times."""
    files = [path for path in evidence.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o400)
    (evidence / "gw1").chmod(0o500)
    before = [(path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) for path in files]

    open_case(tmp_path / "c").add(evidence)

    (evidence / "gw1").chmod(0o700)
    assert [(path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) for path in files] == before


def test_files_are_opened_read_only(evidence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No evidence file is ever opened for writing."""
    modes: set[tuple[str, int]] = set()
    opener = os.open

    def watch(path: str, flags: int, *args: int, **kwargs: int) -> int:
        modes.add((str(path), flags & os.O_ACCMODE))
        return opener(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", watch)
    read(evidence)

    assert {mode for path, mode in modes if str(evidence) in path} <= {os.O_RDONLY}


def test_progress_is_told_of_every_file(evidence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar knows the size of all files and is told of each byte, also of files that the case knows."""
    told: list[tuple[int | None, list[int], list[str]]] = []

    class Bar:
        def __init__(self, total: int | None, **_: object) -> None:
            told.append((total, [], []))

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __call__(self, count: int, name: str | None) -> None:
            told[-1][1].append(count)
            told[-1][2].extend([name] if name else [])

    monkeypatch.setattr(case_module, "progress_bar", lambda total, show: Bar(total, show=show))
    case = read(evidence)
    case.add(evidence)
    with (evidence / "other.log").open("rb") as stream:
        case.add(stream)

    size = sum(path.stat().st_size for path in evidence.rglob("*") if path.is_file())
    assert [(total, sum(counts)) for total, counts, _ in told[:2]] == [(size, size)] * 2
    assert told[2][0] is None
    assert told[0][2] == sources(case)


def test_a_vantage_is_for_all_files(evidence: Path) -> None:
    """A vantage that the analyst gives holds for every file of the call."""
    case = read(evidence, vantage="uplink")

    assert set(case.sources.to_arrow().column("vantage").to_pylist()) == {"uplink"}
    assert set(case.flows.to_arrow().column("vantage").to_pylist()) == {"uplink"}


logs = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 3), st.sampled_from(["a.example", "b.example"])), max_size=4
)


@settings(max_examples=10)
@given(files=logs, shuffler=st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_matter(
    files: list[tuple[int, int, str]], shuffler: random.Random, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever order files are read in, the tables are the same."""
    folder = tmp_path_factory.mktemp("any")
    paths = [folder / f"{number}.log" for number in range(len(files))]
    for path, (client, lines, host) in zip(paths, files, strict=True):
        path.write_bytes(log(client, lines, host) + f"# {path.name}\n".encode())
    mixed = paths.copy()
    shuffler.shuffle(mixed)

    def found(order: list[Path]) -> dict[str, pa.Table]:
        case = read_nothing()
        for path in order:
            try:
                case.add(path)
            except EvidenceError:  # no line, only the comment: no format claims it
                continue
        return tables(case)

    assert found(mixed) == found(paths)
