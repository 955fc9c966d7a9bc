"""The whole job: what is written, that it is the same every time, and what an empty case says."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import forensics as fx
from forensics.charting import _expected
from forensics.detectors import all_detectors
from forensics.flow_files import write_flows
from forensics.investigation import WRITTEN, investigate
from forensics.relays import RELAY_COLUMNS
from forensics.schema import FINDING_COLUMNS, TABLES

if TYPE_CHECKING:
    from forensics.case import Case
    from forensics.investigation import Investigation

ROOT = Path(__file__).resolve().parents[1]
UPLOAD = 7_000_000
LOGFORMAT = r"%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt %>st"

PROGRAM = """
import sys, forensics as fx
fx.write_report(fx.read(sys.argv[1], timezone="Asia/Tokyo", logformat=sys.argv[3]), sys.argv[2])
"""


def log_lines() -> list[str]:
    """Return two hours of five terminals behind a Squid proxy, and two uploads of one of them."""
    lines = [
        request(minute * 60 + terminal, terminal, f"198.18.0.{minute % 7}", 600)
        for minute in range(120)
        for terminal in range(1, 6)
    ]
    lines += [request(5400 + 600 * n, 3, "203.0.113.7", UPLOAD) for n in range(2)]
    return sorted(lines)


def request(seconds: int, terminal: int, server: str, sent: int, host: str | None = None) -> str:
    """Return one line of the log."""
    url = f"http://{host or server}/a"
    return (
        f"{1_431_302_400 + seconds}.000     50 10.0.0.{terminal} TCP_MISS/200 900 POST {url} - "
        f"HIER_DIRECT/{server} text/html {sent}"
    )


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the proxy's log, with a line that cannot be read."""
    path = tmp_path_factory.mktemp("evidence") / "access.log"
    path.write_text("\n".join([*log_lines(), "no line of Squid's", ""]), "utf-8")
    return path


@pytest.fixture(scope="module")
def case(log: Path) -> Case:
    """Return the case of the log."""
    return fx.read(log, timezone="Asia/Tokyo", logformat=LOGFORMAT)


@pytest.fixture(scope="module")
def found(case: Case) -> Investigation:
    """Return what is found in it."""
    return investigate(case)


@pytest.fixture(scope="module")
def written(found: Investigation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder into which it was written."""
    return found.write(tmp_path_factory.mktemp("out")).parent


def test_exactly_the_promised_files_are_written(written: Path) -> None:
    """The folder holds the files of the investigation and their manifest, nothing else, and none is empty."""
    assert {path.name for path in written.iterdir()} == {*WRITTEN, "manifest.json"}
    assert all(path.stat().st_size for path in written.iterdir())


def test_tables_have_their_columns(written: Path, case: Case) -> None:
    """The tables bear the columns that every user and test relies on."""
    for name, columns in (
        ("spikes", FINDING_COLUMNS),
        ("beacons", FINDING_COLUMNS),
        ("findings", FINDING_COLUMNS),
        ("relays", RELAY_COLUMNS),
    ):
        with (written / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            assert next(csv.reader(file)) == list(columns)
    flows = pq.read_table(written / "flows.parquet")
    assert flows.schema.equals(TABLES["flows"].schema)
    assert flows.equals(case.flows.to_arrow().cast(flows.schema))


def test_the_manifest_lists_every_file(written: Path, log: Path) -> None:
    """The manifest gives the SHA-256 of every file written and of every source, and how the report was set."""
    manifest = json.loads((written / "manifest.json").read_text("utf-8"))

    assert manifest["files"] == {
        name: hashlib.sha256((written / name).read_bytes()).hexdigest() for name in sorted(WRITTEN)
    }
    [source] = manifest["evidence"]
    assert source["sha256"] == hashlib.sha256(log.read_bytes()).hexdigest()
    assert (source["source"], source["format"], source["rejected"]) == ("access.log", "squid", 1)
    assert manifest["findings"] == {"spikes": 2, "beacons": manifest["findings"]["beacons"], "others": 0, "relays": 1}
    assert manifest["settings"]["timezone"] == "Asia/Tokyo"
    assert len(manifest["settings_sha256"]) == 64


def test_files_of_others_are_left_alone(found: Investigation, written: Path, tmp_path: Path) -> None:
    """What lay in the folder before stays, is in no manifest, and changes nothing."""
    (tmp_path / "notes.txt").write_text("mine", "utf-8")

    found.write(tmp_path)

    assert (tmp_path / "notes.txt").read_text("utf-8") == "mine"
    assert (tmp_path / "manifest.json").read_bytes() == (written / "manifest.json").read_bytes()


def test_the_same_case_gives_the_same_bytes(log: Path, written: Path, tmp_path: Path) -> None:
    """Two processes with other hash seeds write the same bytes in every file."""
    for seed in ("1", "271828"):
        out = tmp_path / seed
        env = os.environ | {
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": str(ROOT),
            "TZ": "America/Lima" if seed == "1" else "UTC",
        }
        subprocess.run([sys.executable, "-c", PROGRAM, str(log), str(out), LOGFORMAT], check=True, env=env, timeout=200)
        for path in sorted(written.iterdir()):
            assert (out / path.name).read_bytes() == path.read_bytes(), path.name


def test_sentences_say_the_most_important_first(found: Investigation) -> None:
    """The summary names the main result, the greatest upload, the relay and its reasons."""
    sentences = found.sentences()

    assert sentences[0] == "No relay observed passing traffic on; 1 relay candidate."
    assert sentences[1].startswith("10.0.0.3 sent 7 MB to 203.0.113.7 in 1 minute from 2015-05-11 ")
    assert any(line.startswith("Candidate no. 1: 203.0.113.7; ") for line in sentences)


def test_the_report_tells_what_was_assumed_and_tested(written: Path) -> None:
    """The report names the zone, who was taken for what, what each detector tested, and how to make it again."""
    text = (written / "report.html").read_text("utf-8")

    for part in (
        "Asia/Tokyo",
        "volume_spikes",
        "beacons",
        "Addresses taken for terminals of the office",
        "forensics investigate",
    ):
        assert part in text
    assert "The clocks of access.log could not be compared" in text
    assert "Requests through the proxy access were counted as their client" in text
    assert "Sent to 203.0.113.7; senders: 1; dashed: what the baseline expects" in text


def test_charts_have_the_baseline_of_their_spikes(found: Investigation) -> None:
    """In the windows of spikes stands what their baselines expect, in sum what the findings say; elsewhere none."""
    spikes = found.spikes.assign(expected=[60.0, float("nan")])
    windows = pd.date_range(spikes["start"].min() - pd.Timedelta(minutes=5), periods=60, freq="min")
    expected = _expected(spikes, windows)

    assert [value for value in expected if value is not None] == [60.0]
    assert expected.index(60.0) == 5
    assert set(_expected(spikes[:0], windows)) == {None}


def test_unread_files_are_told(log: Path, tmp_path: Path) -> None:
    """A file that no format recognises is named in the summary, in one line."""
    (tmp_path / "notes.txt").write_text("nothing of the kind\n", "utf-8")

    sentences = investigate(fx.read(log, tmp_path / "notes.txt", timezone="UTC", logformat=LOGFORMAT)).sentences()

    [line] = [line for line in sentences if "notes.txt" in line]
    assert "\n" not in line
    assert line.startswith("Not read, or not to its end: notes.txt (")


def test_a_case_with_nothing_in_it(tmp_path: Path) -> None:
    """A case without evidence still gives all files, and a report that says that nothing was found."""
    case = fx.open_case(tmp_path / "empty.case")

    report = fx.write_report(case, tmp_path / "out")

    assert {path.name for path in report.parent.iterdir()} == {*WRITTEN, "manifest.json"}
    assert "no relay observed" in report.read_text("utf-8")
    assert (tmp_path / "out/spikes.csv").read_text("utf-8").count("\n") == 1
    assert investigate(case).sentences() == ["No relay observed."]


def test_hours_are_charted_in_long_cases(tmp_path: Path) -> None:
    """A case of days has its charts by the hour, and one for every relay that received spikes."""
    lines = [
        request(3600 * hour + terminal * 7, terminal, f"198.18.0.{hour % 7}", 600)
        for hour in range(72)
        for terminal in range(1, 6)
    ]
    lines += [request(3600 * 50 + n, 3, "203.0.113.7", UPLOAD, "relay.example") for n in (0, 4000)]
    path = tmp_path / "access.log"
    path.write_text("\n".join([*sorted(lines), ""]), "utf-8")

    text = fx.write_report(fx.read(path, timezone="UTC", logformat=LOGFORMAT), tmp_path / "out").read_text("utf-8")

    assert text.count("Sent to 203.0.113.7") >= 1


def rows_as(case: Case, form: str) -> bytes:
    """Return the flows of a case in one form."""
    file = io.BytesIO()
    write_flows(case, file, form)
    assert not file.closed
    return file.getvalue()


def test_flows_in_every_form_are_the_same(case: Case) -> None:
    """CSV, JSON lines and Parquet hold the same rows, with the schema's names."""
    parquet: list[dict[str, Any]] = pq.read_table(io.BytesIO(rows_as(case, "parquet"))).to_pylist()
    lines = [json.loads(line) for line in rows_as(case, "jsonl").splitlines()]
    cells = list(csv.DictReader(io.StringIO(rows_as(case, "csv").decode())))

    assert len(parquet) == len(lines) == len(cells) == len(case.flows)
    assert list(parquet[0]) == list(lines[0]) == list(cells[0]) == TABLES["flows"].schema.names
    for name in ("src", "bytes_out", "record"):
        assert [row[name] for row in parquet] == [row[name] for row in lines]
        assert [str(row[name]) for row in parquet] == [row[name] for row in cells]
    assert lines[0]["start"] == cells[0]["start"] == parquet[0]["start"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_row_groups_do_not_depend_on_batches(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the engine cuts the rows into batches, the files are the same, byte for byte."""
    monkeypatch.setattr("forensics.flow_files.GROUP_ROWS", 7)
    whole = {form: rows_as(case, form) for form in ("csv", "jsonl", "parquet")}
    monkeypatch.setattr("forensics.views.SPAN_ROWS", 3)
    monkeypatch.setattr("forensics.flow_files.PYTHON_ROWS", 2)

    for form, text in whole.items():
        assert rows_as(case, form) == text
    written = pq.ParquetFile(io.BytesIO(whole["parquet"])).metadata
    groups = [written.row_group(place).num_rows for place in range(written.num_row_groups)]
    assert groups == [7] * (written.num_rows // 7) + [written.num_rows % 7] * (written.num_rows % 7 > 0)


def test_names_of_the_evidence_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    """Characters that turn the reading order come out as ASCII escapes in JSON lines, and lose nothing."""
    path = tmp_path / "access.log"
    path.write_text(request(1, 1, "203.0.113.7", 10, "evil\u202egpj.exe.example") + "\n", "utf-8")
    case = fx.read(path, timezone="UTC", logformat=LOGFORMAT)

    assert rows_as(case, "jsonl").isascii()


def test_an_unknown_form_is_refused(case: Case) -> None:
    """A form that does not exist is an error that names those that do."""
    with pytest.raises(ValueError, match="csv, jsonl and parquet are"):
        rows_as(case, "xlsx")


def test_many_unread_files_are_counted(tmp_path: Path, log: Path) -> None:
    """Of many files that could not be read the summary names the first and counts the rest."""
    for number in range(8):
        (tmp_path / f"note{number}.txt").write_text(f"nothing of the kind, {number}\n")

    case = fx.read(log, *tmp_path.glob("note*.txt"), logformat=LOGFORMAT)
    sentences = investigate(case).sentences()

    assert sum(sentence.startswith("Not read") for sentence in sentences) == 5
    assert sentences[-1] == "3 more files were not read, or not to their end."


def test_every_detector_runs_and_lists_of_indicators_are_looked_for(case: Case, tmp_path: Path) -> None:
    """What the other detectors find is in one frame; each says what it tested."""
    listed = tmp_path / "list.txt"
    met = case.sql("SELECT min(server) AS server FROM contacts").to_pandas()["server"].iloc[0]
    listed.write_text(f"{met}\n", "utf-8")
    found = investigate(case, indicators=[listed])

    assert "indicators" in set(found.others["detector"])
    assert {one.detector for one in found.coverage} == set(all_detectors())


def test_what_comes_from_elsewhere_is_said(case: Case, tmp_path: Path) -> None:
    """The report names the file of assertions and those of countries; the graph has the edges."""
    said = tmp_path / "said.csv"
    said.write_text("src,dst,reason\n203.0.113.7,boss.example,a letter\n", "utf-8")
    found = investigate(case, asserted=said)
    built = datetime(2015, 6, 1, tzinfo=UTC)
    found.graph.graph["geoip"] = [{"file": "c.mmdb", "type": "Country", "sha256": "ab", "built": built}]

    page = found.write(tmp_path / "out").read_text("utf-8")

    assert found.graph.edges["203.0.113.7", "boss.example", "asserted"]["reason"] == "a letter"
    assert "the analyst's word alone, those of said.csv" in page.replace("&#39;", "'")
    assert "are those of c.mmdb (Country, SHA-256 ab), made on 2015-06-01." in page
    assert "boss.example" in (tmp_path / "out" / "hops.graphml").read_text("utf-8")
