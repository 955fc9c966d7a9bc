"""The console script: what it writes, what it says, how it fails."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

import forensics as fx
from forensics import cli
from forensics.investigation import WRITTEN
from forensics.report.pdf import BROWSERS
from forensics.samples import sample_evidence, sample_folder
from forensics.schema import FINDING_COLUMNS, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
LOG = "".join(
    f"{1_431_302_400 + 9 * n}.000    50 10.0.0.{n % 5} TCP_MISS/200 900 GET http://www{n % 7}.example/ - "
    f"HIER_DIRECT/198.18.0.{n % 7} text/html\n"
    for n in range(200)
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a proxy's log in Squid's native format."""
    path = tmp_path / "evidence" / "access.log"
    path.parent.mkdir()
    path.write_text(LOG, "utf-8")
    return path


@contextmanager
def bare_logging() -> Iterator[None]:
    """Take the test runner's handlers off the root logger, so that the command line sets up its own."""
    root = logging.getLogger()
    kept, level = root.handlers, root.level
    root.handlers = []
    try:
        yield
    finally:
        root.handlers = kept
        root.setLevel(level)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., tuple[int, str, str]]:
    """Return a runner of the console script in this process: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["forensics", *map(str, arguments)])
        with bare_logging(), pytest.raises(SystemExit) as ended:
            cli.main()
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else int(code is not None)), out.decode(), err.decode()

    return call


def test_investigate_writes_the_promised_files(
    run: Callable[..., tuple[int, str, str]], log: Path, tmp_path: Path
) -> None:
    """`investigate` writes exactly the files of the report, with their columns, and says where they are."""
    out = tmp_path / "report"

    code, told, errors = run("investigate", log, "--out", out, "--timezone", "Asia/Tokyo")

    assert (code, errors) == (0, "")
    assert {path.name for path in out.iterdir()} == {*WRITTEN, "manifest.json"}
    with (out / "spikes.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == list(FINDING_COLUMNS)
    assert pq.read_schema(out / "flows.parquet").names == TABLES["flows"].schema.names
    assert f"Report:   {out / 'report.html'}\n" in told
    assert told.startswith("No relay observed.")


def test_a_kept_case_is_not_read_anew(
    run: Callable[..., tuple[int, str, str]], log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --case a second run reads no file again and writes the same bytes."""
    arguments = ("investigate", log, "--case", tmp_path / "jps.case", "--timezone", "Asia/Tokyo", "--out")
    assert run(*arguments, tmp_path / "one")[0] == 0

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a file was read anew")

    monkeypatch.setattr("forensics.adding.read_file", refuse)
    assert run(*arguments, tmp_path / "two")[0] == 0
    for name in (*WRITTEN, "manifest.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_the_graph_for_other_programs(run: Callable[..., tuple[int, str, str]], log: Path, tmp_path: Path) -> None:
    """From evidence and from the kept case alone the same file; what cannot be done is one message, before any work."""
    first, again, kept = tmp_path / "a.stix.json", tmp_path / "b.stix.json", str(tmp_path / "kept.case")

    assert run("graph", str(log), "--output", str(first), "--case", kept, "--timezone", "UTC")[0] == 0
    code, told, _ = run("graph", "--case", kept, "--output", str(again), "--timezone", "UTC")
    assert (code, told) == (0, f"Written: {again}\n")
    assert first.read_bytes() == again.read_bytes()
    assert json.loads(first.read_text("utf-8"))["type"] == "bundle"
    for options, message in (
        (["--case", kept, "--output", "hops.xlsx"], "no kind of graph file has this suffix"),
        (["--output", "hops.json"], "nothing to read"),
        (["--case", str(tmp_path / "none"), "--output", "hops.json"], "nothing to read"),
    ):
        code, _, error = run("graph", *options)
        assert code == 2
        assert message in error


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_flows_into_a_file(run: Callable[..., tuple[int, str, str]], log: Path, tmp_path: Path, form: str) -> None:
    """`flows` writes one row per flow under the schema's names, in each form."""
    target = tmp_path / f"flows.{form}"

    assert run("flows", log, "--format", form, "--output", target) == (0, "", "")

    names = TABLES["flows"].schema.names
    if form == "parquet":
        assert (pq.read_schema(target).names, pq.read_metadata(target).num_rows) == (names, 200)
    elif form == "csv":
        assert target.read_text("utf-8").splitlines()[0] == ",".join(names)
        assert target.read_text("utf-8").count("\n") == 201
    else:
        assert [list(json.loads(line)) for line in target.read_text("utf-8").splitlines()] == [names] * 200


STARTED = """
import sys
from forensics import cli
try:
    cli.main()
except SystemExit:
    pass
print(sorted({"pandas", "scipy.linalg", "networkx", "matplotlib"} & sys.modules.keys()))
import forensics as fx, pandas
frame = fx.read(sys.argv[2]).flows.to_pandas()
print(type(frame).__module__, len(frame), len(pandas.DataFrame({"n": [1]})))
"""


def test_flows_start_without_what_they_do_not_need(log: Path, tmp_path: Path) -> None:
    """`flows` imports no library that it has no use for; a data frame can be had all the same."""
    capture = ROOT / "sample_pcaps" / "formats" / "pcap"
    for evidence in (log, next(iter(sorted(capture.glob("*.pcap"))))):
        arguments = ("flows", str(evidence), "--timezone", "UTC", "--output", str(tmp_path / "flows.csv"))
        told = subprocess.run(
            [sys.executable, "-c", STARTED, *arguments], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout.splitlines()
        rows = (tmp_path / "flows.csv").read_text("utf-8").count("\n") - 1
        assert told == ["[]", f"pandas {rows} 1"]


def test_flows_to_standard_output(run: Callable[..., tuple[int, str, str]], log: Path) -> None:
    """Without --output the rows go to standard output, and nothing else does."""
    code, told, errors = run("flows", log)
    assert (code, errors) == (0, "")
    assert len(list(csv.DictReader(io.StringIO(told)))) == 200

    code, told, _ = run("flows", log, "--format", "jsonl")
    assert code == 0
    assert {json.loads(line)["source"] for line in told.splitlines()} == {"access.log"}


def test_a_reader_that_has_seen_enough(log: Path) -> None:
    """`forensics flows ... | head -1` ends without a traceback."""
    log.write_text(LOG * 50, "utf-8")
    program = "from forensics.cli import main; main()"
    command = f'"{sys.executable}" -c "{program}" flows "{log}" --format jsonl | head -1'
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=100,
    )

    assert json.loads(done.stdout)["source"] == "access.log"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["flows", "{tmp}/missing.pcap"], "no such file or folder"),
        (["flows", "{tmp}/evidence/*.pcap"], "no file matches"),
        (["flows", "{tmp}/unknown.bin"], "no format recognises this file"),
        (["flows", "{tmp}/evidence", "--timezone", "Tokyo"], "unknown time zone 'Tokyo'"),
        (["flows", "{tmp}/evidence", "--format", "parquet"], "name a file with --output"),
        (["flows", "{tmp}/evidence", "--output", "{tmp}"], "Is a directory"),
        (["investigate", "{tmp}/evidence", "--out", "{tmp}/unknown.bin"], "File exists"),
        (["investigate", "{tmp}/evidence", "--case", "{tmp}/evidence", "--out", "{tmp}/out"], "is not a case"),
        (
            ["investigate", "{tmp}/evidence", "--asserted", "{tmp}/unknown.bin", "--out", "{tmp}/out"],
            "has no column src",
        ),
        (["investigate", "{tmp}/evidence", "--geoip", "{tmp}/unknown.bin", "--out", "{tmp}/out"], "is damaged"),
        (["investigate", "{tmp}/evidence", "--geoip", "{tmp}/countries", "--out", "{tmp}/out"], "cannot be read"),
        (["flows"], "Missing argument"),
        (["flows", "{tmp}/evidence", "--format", "xlsx"], "xlsx"),
        (["investigate", "{tmp}/evidence"], "--out"),
    ],
)
def test_errors_are_one_message(
    run: Callable[..., tuple[int, str, str]], log: Path, tmp_path: Path, arguments: list[str], part: str
) -> None:
    """What the user can mend ends with exit code 2 and a message, without a traceback and without output."""
    (tmp_path / "unknown.bin").write_bytes(b"\x01nothing of the kind")

    code, told, errors = run(*(text.format(tmp=tmp_path) for text in arguments))

    assert (code, told) == (2, "")
    assert part in errors
    assert "Traceback" not in errors
    assert errors.count("forensics:") <= 1


def test_hostile_text_in_messages_is_made_visible(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """A file's name can neither colour the terminal nor turn the reading order nor pass for markup."""
    path = tmp_path / "a\x1b[31m\u202e[red]:smile:.pcap"

    code, _, errors = run("flows", path)

    assert code == 2
    assert "\x1b" not in errors
    assert "\u202e" not in errors
    assert "<U+202E>[red]:smile:.pcap" in errors


def test_hostile_text_in_findings_is_made_visible(
    run: Callable[..., tuple[int, str, str]], log: Path, tmp_path: Path
) -> None:
    """What evidence wrote is printed as visible characters only."""
    (log.parent / "b\x1b[31m.txt").write_bytes(b"nothing of the kind")

    code, told, errors = run("investigate", log.parent, "--out", tmp_path / "o\u202eut")

    assert code == 0
    assert "\x1b" not in told + errors
    assert "\u202e" not in told + errors
    assert "o<U+202E>ut" in told


def test_unread_files_are_one_line(run: Callable[..., tuple[int, str, str]], log: Path) -> None:
    """A file that no format recognises is one line of the log; why each format declined it stands in the report."""
    (log.parent / "notes.txt").write_bytes(b"nothing of the kind")

    code, _, errors = run("flows", log.parent)

    assert code == 0
    [line] = errors.splitlines()
    assert line == "notes.txt: no format recognises this file"


def test_log_records_cannot_act_on_the_terminal() -> None:
    """Whatever a record of the log holds, only visible characters and line ends reach the terminal."""
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "a bug in %s\n\x1b[31mred", ("b\u202e",), None)

    assert cli._Visible().format(record) == "a bug in b<U+202E>\n<U+001B>[31mred"


def test_the_report_in_other_forms(run: Callable[..., tuple[int, str, str]], log: Path, tmp_path: Path) -> None:
    """--language, --defang and --pdf reach the report; the manifest lists the PDF."""
    out = tmp_path / "out"
    if not any(map(shutil.which, BROWSERS)):
        pytest.skip("no Chromium on the PATH (apt install chromium)")

    code, _, errors = run("investigate", log, "--out", out, "--language", "ja", "--defang", "--pdf")

    assert (code, errors) == (0, "")
    assert "概要" in (out / "report.html").read_text("utf-8")
    assert "[.]" in (out / "report.html").read_text("utf-8")
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert "report.pdf" in json.loads((out / "manifest.json").read_text("utf-8"))["files"]


@pytest.mark.parametrize("command", ["investigate", "flows", "demo"])
def test_help_teaches(run: Callable[..., tuple[int, str, str]], command: str) -> None:
    """The help of every command says what it does and gives an example that begins with its name."""
    code, told, _ = run(command, "--help")

    assert code == 0
    assert f"Example: forensics {command}" in re.sub(r"\s+", " ", told)


def test_help_of_all(run: Callable[..., tuple[int, str, str]]) -> None:
    """Help lists the commands and says where to start, also where no command is given."""
    code, told, _ = run("--help")

    assert code == 0
    assert all(command in told for command in ("investigate", "flows", "demo", "Start with: forensics demo"))
    assert "investigate" in "".join(run()[1:])


def test_version(run: Callable[..., tuple[int, str, str]]) -> None:
    """``--version`` says the version and ends."""
    assert run("--version") == (0, f"forensics {fx.__version__}\n", "")


def test_samples_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The samples lie beside the package in a checkout, inside it where it is installed; else the error says so."""
    assert sample_folder() == ROOT / "sample_pcaps"

    package = tmp_path / "site" / "forensics"
    (package / "_samples" / "lab").mkdir(parents=True)
    monkeypatch.setattr("importlib.resources.files", lambda _: package)
    assert sample_folder() == package / "_samples"

    (package / "_samples" / "lab").rmdir()
    with pytest.raises(fx.ForensicsError, match="install the library anew"):
        sample_folder()


@pytest.mark.parametrize("sample", ["lab", "campaign"])
def test_only_evidence_of_a_sample_is_read(sample: str) -> None:
    """Of a sample, what its truth lists is evidence: neither the truth itself nor README, programs, configuration."""
    files = sample_evidence(ROOT / "sample_pcaps" / sample)

    assert files
    assert all(path.is_file() for path in files)
    assert not {path.suffix for path in files} & {".md", ".py", ".json", ".conf"}


@pytest.mark.timeout(280)
def test_demo(run: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo investigates both samples, reads nothing that is no evidence, and prints what it found and where."""
    monkeypatch.setenv("FORENSICS_JIT", os.environ.get("FORENSICS_JIT", "0"))

    code, told, errors = run("demo", "--out", tmp_path)

    assert (code, errors) == (0, "")
    for sample in ("lab", "campaign"):
        out = tmp_path / sample
        assert {path.name for path in out.iterdir()} == {*WRITTEN, "manifest.json"}
        assert f"Report:   {out / 'report.html'}" in told
        assert not [
            source for source in json.loads((out / "manifest.json").read_text("utf-8"))["evidence"] if source["error"]
        ]
    assert "203.0.113.21 -> 203.0.113.77 -> 203.0.113.240" in told
    assert "10.20.1.7 -> 198.51.100.116 -> 203.0.113.182 -> 198.51.100.204" in told
