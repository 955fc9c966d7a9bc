"""Evidence read by workers, each file by itself: the case is the same to the byte as one that one process made."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import forensics as fx
from forensics import apart
from forensics.engines.duckdb import DuckDBEngine
from forensics.errors import CaseError, EvidenceError, TimezoneNeededError, UnknownFormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ZONELESS = Path(__file__).parents[1] / "sample_pcaps" / "formats" / "windows_firewall" / "normal.log"

LINE = "{:.3f}    120 192.0.2.10 TCP_MISS/200 4512 GET http://www.example.com/{} - HIER_DIRECT/198.51.100.7 text/html\n"


class Workers(DuckDBEngine):
    """An engine with workers, who notes what each is given; here they are one process after all."""

    readers = 2

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(folder)
        self.rounds: list[int] = []

    def map_files(self, function: Callable[[bytes], bytes], tasks: Sequence[bytes]) -> list[bytes]:
        """Do the last task first."""
        self.rounds.append(len(tasks))
        return super().map_files(function, tasks[::-1])[::-1]


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[Workers]:
    """Give every case that names an engine one with workers, and return those."""
    made: list[Workers] = []

    def engine_of(engine: object, folder: Path) -> DuckDBEngine:
        if engine is None:
            return DuckDBEngine(folder)
        made.append(Workers(folder))
        return made[-1]

    monkeypatch.setattr("forensics.opening.engine_of", engine_of)
    return made


def log(path: Path, times: range) -> Path:
    """Write a proxy's log with a line for each second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(LINE.format(1_432_166_400 + time, time) for time in times))
    return path


def content(folder: Path) -> dict[str, bytes]:
    """Return all files of a case."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_alike(tmp_path: Path, *evidence: Any, **options: Any) -> None:  # noqa: ANN401 - whatever `add` takes
    """Check that a case is the same whoever reads it."""
    for name, engine in (("one", None), ("many", "workers")):
        fx.open_case(tmp_path / name / "a.case", engine=engine).add(*evidence, progress=False, **options)
    assert content(tmp_path / "many" / "a.case") == content(tmp_path / "one" / "a.case")


def test_the_case_is_the_same_to_the_byte(tmp_path: Path, lab: Path, workers: list[Workers]) -> None:
    """Captures with their index, logs, rejects, what no format reads and what is no longer whole."""
    (tmp_path / "in").mkdir()
    shutil.copy(lab / "relay-2.pcap", tmp_path / "in")
    (tmp_path / "in" / "cut.pcap").write_bytes((lab / "relay-2.pcap").read_bytes()[:50_001])
    (tmp_path / "in" / "notes.txt").write_text("nothing to see\n")
    torn = log(tmp_path / "in" / "access.log", range(100))
    torn.write_text(torn.read_text() + "torn\n")

    check_alike(tmp_path, tmp_path / "in")

    assert workers[0].rounds == [4]


def test_names_copies_and_overlaps(tmp_path: Path, workers: list[Workers]) -> None:
    """What hangs on files before it comes out alike: a name that is taken, a copy, lines that stand in two files."""
    log(tmp_path / "a" / "access.log", range(50))
    log(tmp_path / "b" / "access.log", range(50))
    log(tmp_path / "b" / "access.log.1", range(20, 80))
    log(tmp_path / "c" / "access.log", range(200, 210))
    log(tmp_path / "c" / "other.log", range(300, 310))

    check_alike(tmp_path, *(tmp_path / name / "access.log" for name in "abc"), tmp_path / "b", tmp_path / "c")

    case = fx.open_case(tmp_path / "many" / "a.case")
    assert len(case.flows) == 80 + 10 + 10
    assert workers[0].rounds[0] == 5
    assert set(workers[0].rounds[1:]) == {1}  # those whose assumption did not hold


def test_rounds_and_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: list[Workers]) -> None:
    """Many files are read round by round; a file that was opened by the caller is read in this process."""
    monkeypatch.setattr(apart, "ROUND", 1)
    files = [log(tmp_path / f"{name}.log", range(100 * n, 100 * n + 5)) for n, name in enumerate("abcde")]

    with files[2].open("rb") as one:
        check_alike(tmp_path / "first", *files[:2], *files[3:])
        case = fx.open_case(tmp_path / "second", engine="workers").add(files[0], one, files[4], progress=False)

    assert workers[0].rounds == [2, 2]
    assert case.sources.to_arrow()["source"].to_pylist() == ["a.log", "c.log", "e.log"]
    assert [len(fx.open_case(tmp_path / "second", engine="workers").add(*files).sources)] == [5]
    assert workers[-1].rounds == [1, 1]  # the others are known


def test_a_file_that_is_read_anew(tmp_path: Path, workers: list[Workers]) -> None:
    """What could not be read before is read anew, and replaced by what is better; then it is known."""
    own = log(tmp_path / "own.log", range(3))
    own.write_text("1433122500.010 192.0.2.1 TCP_MISS/200 900 300 GET http://www.example/ HIER_DIRECT/203.0.113.7\n")
    for name, engine in (("one", None), ("many", "workers")):
        case = fx.open_case(tmp_path / name / "a.case", engine=engine)
        with pytest.raises(UnknownFormatError):
            case.add(own, progress=False)
        for _ in range(2):
            case.add(own, progress=False, logformat="%ts.%03tu %>a %Ss/%03>Hs %<st %>st %rm %ru %Sh/%<a")
        assert len(case.flows) == 1

    assert content(tmp_path / "many" / "a.case") == content(tmp_path / "one" / "a.case")


def test_errors_are_those_of_one_process(tmp_path: Path, workers: list[Workers]) -> None:
    """A file that nothing reads, a file that is gone, a zone that is needed: the same, and what came before stays."""
    good = log(tmp_path / "a.log", range(3))
    (tmp_path / "b.txt").write_text("nothing to see\n")
    for name, engine in (("one", None), ("many", "workers")):
        case = fx.open_case(tmp_path / name, engine=engine, title="same")
        with pytest.raises(UnknownFormatError, match="squid: "):
            case.add(tmp_path / "b.txt", progress=False)
        with pytest.raises(EvidenceError, match=r"gone\.log"):
            case.add(tmp_path / "gone.log", progress=False)
        with pytest.raises(TimezoneNeededError):
            case.add(good, ZONELESS, progress=False)
        assert case.sources.to_arrow()["source"].to_pylist() == ["a.log", "b.txt"]

    assert content(tmp_path / "many") == content(tmp_path / "one")


def test_what_a_killed_process_left(tmp_path: Path, workers: list[Workers]) -> None:
    """Folders of workers that are no part of the case go with the next add."""
    case = fx.open_case(tmp_path / "a.case", engine="workers")
    (tmp_path / "a.case" / "reading" / "stray").mkdir(parents=True)

    case.add(log(tmp_path / "a.log", range(3)), progress=False)

    assert sorted(path.name for path in (tmp_path / "a.case").iterdir()) == [".lock", "manifest.json", "parts"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: list[Workers]) -> None:
    """A worker that cannot write says which case it is."""
    case = fx.open_case(tmp_path / "a.case", engine="workers")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("forensics.table_files.TableFiles.close", full)
    with pytest.raises(CaseError, match=r"cannot write to the case in .*a.case: No space left"):
        case.add(log(tmp_path / "a.log", range(3)), progress=False)
    assert not (tmp_path / "a.case" / "reading").exists()
