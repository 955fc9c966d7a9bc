"""A case survives: killed at any point it opens, and the next add ends as if nothing had happened."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from forensics.errors import CaseError
from forensics.opening import open_case

if TYPE_CHECKING:
    from pathlib import Path

LINE = (
    "{time}.010 90 192.0.2.{client} TCP_MISS/200 {size} GET http://www.example/ - HIER_DIRECT/203.0.113.7 text/html\n"
)
OWN = "1433122500.010 192.0.2.1 TCP_MISS/200 900 300 GET http://www.example/ HIER_DIRECT/203.0.113.7\n"

PROGRAM = textwrap.dedent(
    '''
    """Add evidence in a child process that kills itself at its n-th write; see what is left; for every n."""
    import hashlib, json, os, pathlib, shutil, signal, sys

    import pandas
    import pyarrow.dataset
    import pyarrow.parquet
    import rich.progress

    import forensics.engines.duckdb
    import forensics.packets.containers
    from forensics.opening import open_case
    from forensics.formats import all_formats

    all_formats()  # what is imported here, no child has to import
    os.fsync = lambda _: None  # a killed process loses nothing that it has written; a killed machine is another test

    folder, evidence, *first = map(pathlib.Path, sys.argv[1:])
    HINT = "%ts.%03tu %>a %Ss/%03>Hs %<st %>st %rm %ru %Sh/%<a"
    TABLES = ("flows", "volumes", "names", "requests", "rejects", "sources")
    WRITES = [
        (os, "fsync"), (pathlib.Path, "rename"), (pathlib.Path, "replace"), (pathlib.Path, "mkdir"),
        (pathlib.Path, "write_text"), (os, "rmdir"), (os, "unlink"), (pyarrow.parquet.ParquetWriter, "write_batch"),
        (pyarrow.parquet.ParquetWriter, "close"),
    ]
    left = 0


    def armed(owner, name):
        """Let a call kill the process instead of being made, once enough calls have passed."""
        made = getattr(owner, name)

        def call(*args, **kwargs):
            global left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return made(*args, **kwargs)

        setattr(owner, name, call)


    def digest(case):
        """Return a hash of every table."""
        rows = {name: getattr(case, name).to_arrow().to_pylist() for name in TABLES}
        return {name: hashlib.sha256(repr(found).encode()).hexdigest() for name, found in rows.items()}


    def in_child(work):
        """Run a function in a process of its own; return whether it was killed, and what it said."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writer, json.dumps(work()).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()
        return os.WIFSIGNALED(os.waitpid(child, 0)[1]), json.loads(said) if said else None


    def prepared():
        """Make the case as it is before the add that is disturbed."""
        case = open_case(folder / "before")
        if first:
            case.add(*first, progress=False)


    def undisturbed():
        return digest(open_case(target).add(evidence, logformat=HINT if first else None))


    class Idle:
        """An engine for those that are to be killed before they ask it anything."""

        readers = 1

        def __init__(self, *args):
            self.register_arrow = self.register_parquet = self.register_view = lambda *args: None


    def disturbed():
        global left
        forensics.engines.duckdb.DuckDBEngine = Idle
        for owner, name in WRITES:
            armed(owner, name)
        left = number
        open_case(target).add(evidence, logformat=HINT if first else None)


    def afterwards():
        case = open_case(target)
        found = {"sources": len(case.sources)}
        if first:
            assert len(case.sources) >= 1, "a file was lost"
        case.add(evidence, logformat=HINT if first else None)
        strays = sorted(set(os.listdir(target)) - {".lock", "manifest.json", "parts"})
        listed = len(json.loads((target / "manifest.json").read_text())["sources"])
        return found | {"again": digest(case), "strays": strays, "listed": listed, "sources_again": len(case.sources)}


    def begun(name):
        """Return the folder of a case that is still as it was before; of none where there was none."""
        if first:
            shutil.copytree(folder / "before", folder / name)
        return folder / name


    in_child(prepared)
    target = begun("calm")
    _, expected = in_child(undisturbed)
    number, report, killed = 1, [], True
    while killed:
        target = begun(str(number))
        killed, _ = in_child(disturbed)
        _, found = in_child(afterwards)
        good = found is not None and found["again"] == expected and not found["strays"]
        report.append({"number": number, "killed": killed, "good": good and found["listed"] == found["sources_again"],
                       "sources": found and found["sources"]})
        number += 1
    print(json.dumps(report))
    '''
)


def log(client: int, lines: int = 4) -> bytes:
    """Return a Squid log of one client."""
    return "".join(LINE.format(time=1433122500 + n, client=client, size=900 + n) for n in range(lines)).encode()


def run(program: str, *args: Path) -> str:
    """Run a program in a process that has no thread yet, and return what it prints."""
    done = subprocess.run(  # noqa: PLW1510  # the message of a failure is more than its code
        [sys.executable, "-c", program, *map(str, args)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_killed_add_ends_well(tmp_path: Path) -> None:
    """Before each single write of an add, a kill leaves a case that opens and can be completed."""
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    (evidence / "a.log").write_bytes(log(1) + b"broken\n")
    (evidence / "b.txt").write_text("no format knows this")

    report = json.loads(run(PROGRAM, tmp_path / "cases", evidence))

    assert [step for step in report if not step["good"]] == []
    assert len(report) > 30
    counts = [step["sources"] for step in report]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 2)


def test_a_killed_replacement_ends_well(tmp_path: Path) -> None:
    """A file that is read anew is at every moment there, as it was or as it is."""
    unknown = tmp_path / "own.log"
    unknown.write_text(OWN * 3)
    (tmp_path / "known.log").write_bytes(log(1))

    report = json.loads(run(PROGRAM, tmp_path / "cases", unknown, unknown, tmp_path / "known.log"))

    assert [step for step in report if not step["good"]] == []
    assert len(report) > 20
    assert {step["sources"] for step in report} == {2}


ADDING = """
import pathlib, sys, time
from forensics.opening import open_case

case = open_case(sys.argv[1])
with case._store.adding():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_second_process_has_to_wait(tmp_path: Path) -> None:
    """While one process adds, another gets an error that says so; a killed one lets go at once."""
    (tmp_path / "a.log").write_bytes(log(1))
    case = open_case(tmp_path / "case")
    with subprocess.Popen([sys.executable, "-c", ADDING, str(tmp_path / "case")], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(CaseError, match="another process is adding"):
            case.add(tmp_path / "a.log")
        assert len(open_case(tmp_path / "case").flows) == 0
        other.kill()

    case.add(tmp_path / "a.log")

    assert len(case.flows) == 4


def test_two_processes_add_in_turn(tmp_path: Path) -> None:
    """What another process has added since the case was opened is neither added again nor lost."""
    for number in (1, 2):
        (tmp_path / f"{number}.log").write_bytes(log(number))
    one, other = (open_case(tmp_path / "case") for _ in range(2))

    one.add(tmp_path / "1.log")
    other.add(tmp_path / "1.log", tmp_path / "2.log")
    one.add(tmp_path / "2.log")

    assert one.flows.to_arrow() == other.flows.to_arrow()
    assert len(one.flows) == 8
