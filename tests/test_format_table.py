"""Tables by a description: in TOML, in Python, in a data frame; the same rows each way, and errors that help."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import forensics as fx
from forensics.cli import app
from forensics.errors import CaseError, EvidenceError, TimezoneNeededError
from forensics.formats._description import Column, description_of

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_pcaps" / "formats" / "table"
PAGE = ROOT / "docs" / "how-to" / "read-a-table.md"

COLUMNS: dict[str, Any] = {
    "start": {"field": "Zeit", "format": "%d.%m.%Y %H:%M:%S", "stamps": "end"},
    "elapsed": {"field": "Dauer (ms)", "times": 0.001},
    "src": "Client", "dst": "Ziel-IP", "dst_port": "Port", "name": "Host", "proto": "Protokoll",
    "bytes_out": Column("gesendet KB", times=1024), "bytes_in": "empfangen", "state": "Aktion",
}  # fmt: skip
ONLY = {"Aktion": ["erlaubt", "allow"]}


def flows(case: fx.Case) -> list[dict[str, Any]]:
    """Return what the flows of a case say, without where they stand."""
    rows = case.sql("SELECT * EXCLUDE (source, record, vantage) FROM flows ORDER BY start, src").to_arrow()
    found: list[dict[str, Any]] = rows.to_pylist()
    return found


def page(language: str) -> list[str]:
    """Return the blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_toml_and_python_say_the_same() -> None:
    """A file by its description in TOML, by `read_table`, and as a data frame gives the same flows."""
    path = SAMPLES / "normal.csv"
    described = fx.read(path, table=SAMPLES / "german.toml")
    named = fx.read_table(path, columns=COLUMNS, only=ONLY, timezone="Europe/Berlin")
    frame = pd.read_csv(path, sep=";", dtype=str)
    framed = fx.read_table(frame, columns=COLUMNS, only=ONLY, timezone="Europe/Berlin")

    assert len(flows(described)) == 3
    assert flows(named) == flows(described)
    assert flows(framed) == flows(described)


def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files, the command and the scripts of the page give what it tells."""
    monkeypatch.chdir(tmp_path)
    Path("proxy.csv").write_text(page("text")[0], encoding="utf-8")
    Path("proxy.toml").write_text(page("toml")[0], encoding="utf-8")
    (command,) = page("console")
    done = CliRunner().invoke(app, command.removeprefix("$ forensics ").split())
    assert done.exit_code == 0, done.output
    assert [int(sent) for sent in re.findall(r'"bytes_out": ?(\d+)', Path("flows.jsonl").read_text())] == [12_800, 256]

    found = []
    for script in page("python"):
        names: dict[str, Any] = {}
        exec(compile(script, str(PAGE), "exec"), names)  # noqa: S102 - the page's own
        found.append(names["case"])
    described, framed = found
    assert flows(described) == flows(framed)
    assert [row["record"] for row in described.rejects.to_arrow().to_pylist()] == [5]


def test_the_page_names_every_column() -> None:
    """The list of our columns on the page is that of the code."""
    from forensics.formats._description import OURS

    text = PAGE.read_text(encoding="utf-8")

    assert [name for name in OURS if f"`{name}`" not in text] == []


def test_a_frame_of_typed_columns(tmp_path: Path) -> None:
    """Times, numbers with gaps and categories of a data frame are read; so is the same in Arrow and Parquet."""
    frame = pd.DataFrame({
        "t": pd.to_datetime(["2015-05-21 10:00:01.5", "2015-05-21 10:00:02.0", ""]).tz_localize("Asia/Tokyo"),
        "c": pd.Categorical(["192.0.2.7", None, "192.0.2.8"]),
        "b": [1.0, 2.0, None],
        "p": [80, 443, 1],
    })  # fmt: skip
    columns = {"start": "t", "src": "c", "bytes_out": "b", "dst_port": "p"}
    case = fx.read_table(frame, columns=columns)
    (row,) = flows(case)
    rejects = case.rejects.to_arrow().to_pylist()

    assert (str(row["start"]), row["src"], row["bytes_out"], row["dst_port"]) == (
        "2015-05-21 01:00:01.500000+00:00", "192.0.2.7", 1, 80,
    )  # fmt: skip
    assert [(one["record"], one["reason"]) for one in rejects] == [(2, "src is missing"), (3, "start is missing")]
    table = pa.Table.from_pandas(frame)
    pq.write_table(table, tmp_path / "t.parquet")
    assert flows(fx.read_table(table, columns=columns)) == [row]
    assert flows(fx.read_table(tmp_path / "t.parquet", columns=columns)) == [row]


def test_the_same_frame_is_the_same_evidence() -> None:
    """The hash of a data frame is that of what it says, whatever else it holds."""
    frame = pd.DataFrame({"t": ["2015-05-21T10:00:01Z"], "c": ["192.0.2.7"]})
    columns = {"start": "t", "src": "c"}
    hashes = {
        str(fx.read_table(one, columns=columns).sources.to_arrow()["sha256"][0])
        for one in (frame, frame.assign(other=1), frame.set_index(pd.Index([7])))
    }

    assert len(hashes) == 1


def test_a_table_goes_into_a_case_that_there_is() -> None:
    """Rows of a table stand beside those of another file, under their own vantage."""
    case = fx.read(SAMPLES / "normal.csv", table=SAMPLES / "german.toml")
    frame = pd.DataFrame({"t": ["2015-05-21 10:00:01"], "c": ["192.0.2.7"]})
    same = fx.read_table(frame, columns={"start": "t", "src": "c"}, timezone="UTC", vantage="gate", case=case)

    assert same is case
    assert {row["vantage"]: row["flows"] for row in case.sources.to_arrow().to_pylist()} == {"normal": 3, "gate": 1}


def test_times_without_zone_ask_for_one() -> None:
    """A data frame with bare times needs a zone, as a log does."""
    frame = pd.DataFrame({"t": ["2015-05-21 10:00:01"], "c": ["192.0.2.7"]})

    with pytest.raises(TimezoneNeededError):
        fx.read_table(frame, columns={"start": "t", "src": "c"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[colums]\nstart='t'", "unknown key 'colums'; did you mean 'columns'?"),
        ("form='csv'", "has no table [columns]"),
        ("[columns]\nsrc='c'", "[columns] has no 'start'"),
        ("[columns]\nstart='t'", "[columns] has no 'src'"),
        ("[columns]\nstart='t'\nsrc='c'\nbytesout='b'", "unknown column 'bytesout'; did you mean 'bytes_out'?"),
        ("[columns]\nstart={field='t', fromat='iso'}\nsrc='c'", "did you mean 'format'?"),
        ("[columns]\nstart={format='iso'}\nsrc='c'", "column 'start' has no 'field'"),
        ("[columns]\nstart=1\nsrc='c'", "column 'start' is neither a text nor a table"),
        ("[columns]\nstart={field='t', format='%d.%m. %H:%M'}\nsrc='c'", "holds no date with its year"),
        ("[columns]\nstart={field='t', format='%Q'}\nsrc='c'", "format of 'start': %Q is not known"),
        ("[columns]\nstart='t'\nsrc='c'\nbytes_out={field='b', times=0.5}", "'times' of 'bytes_out' is 0.5"),
        ("[columns]\nstart='t'\nsrc='c'\nbytes_out={field='b', times='x'}", "'times' of 'bytes_out' is x"),
        ("[columns]\nstart='t'\nsrc={field='c', times=2}", "'times' does nothing for 'src'"),
        ("form='xlsx'\n[columns]\nstart='t'\nsrc='c'", "form 'xlsx' is not known: known are csv"),
        ("form=1\n[columns]\nstart='t'\nsrc='c'", "form is not a text"),
        ("bytes_kind='bits'\n[columns]\nstart='t'\nsrc='c'", "bytes_kind 'bits' is not known"),
        ("timezone='Mars'\n[columns]\nstart='t'\nsrc='c'", "unknown time zone 'Mars'"),
        ("encoding='iso-2022-jp'\n[columns]\nstart='t'\nsrc='c'", "is not one that logs use"),
        ("delimiter=';;'\n[columns]\nstart='t'\nsrc='c'", "delimiter ';;' is not one ASCII character"),
        ("null=[1]\n[columns]\nstart='t'\nsrc='c'", "null is not a list of texts"),
        ("only=1\n[columns]\nstart='t'\nsrc='c'", "only is not a table of fields"),
        ("pattern='(?P<t>.*'\n[columns]\nstart='t'\nsrc='c'", "pattern is no regular expression"),
        ("pattern='(?P<t>.*)'\n[columns]\nstart='t'\nsrc='c'", "pattern has no group (?P<c>...)"),
        ("pattern='(?P<t>.*)'\nform='csv'\n[columns]\nstart='t'\nsrc='c'", "form 'fixed' has a pattern"),
        ("columns =", "is not TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_description_is_said(text: str, problem: str) -> None:
    """Every mistake in a description has its message, with the file's name in front."""
    with pytest.raises(EvidenceError, match=re.escape(problem)) as caught:
        description_of(text, "proxy.toml")

    assert str(caught.value).startswith("proxy.toml: ")


def test_a_description_that_cannot_be_read(tmp_path: Path) -> None:
    """A path without a file, or with one that is no text, is said to be that."""
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")

    for name, problem in (("none.toml", "cannot be read"), ("x.toml", "is not UTF-8")):
        with pytest.raises(CaseError, match=problem):
            fx.read(SAMPLES / "normal.csv", table=tmp_path / name)


@pytest.mark.parametrize("form", ["csv", "frame", "arrow"])
def test_a_column_that_is_not_there(form: str) -> None:
    """A column that the table lacks is an error that lists those it has."""
    path = SAMPLES / "normal.csv"
    arrow = pa.table({"Zeit": ["x"], "Client": ["y"]})
    table: Any = {"csv": path, "frame": pd.read_csv(path, sep=";"), "arrow": arrow}[form]
    columns = {"start": "Zeit", "src": "Client", "dst": "Zieladresse"}

    with pytest.raises(EvidenceError, match=r"no column 'Zieladresse'; it has 'Zeit', "):
        fx.read_table(table, columns=columns, timezone="UTC")


def test_columns_that_are_no_text_numbers_or_times() -> None:
    """A column of lists, or of mixed values, is an error that names it."""
    lists = pa.table({"t": ["2015-05-21T10:00:01Z"], "c": [["192.0.2.7"]]})
    mixed = pd.DataFrame({"t": ["2015-05-21T10:00:01Z", "x"], "c": ["192.0.2.7", 5]})

    with pytest.raises(EvidenceError, match="column 'c' is a list"):
        fx.read_table(lists, columns={"start": "t", "src": "c"})
    with pytest.raises(EvidenceError, match="mixed types"):
        fx.read_table(mixed, columns={"start": "t", "src": "c"})


def test_the_encoding_that_is_said_holds(tmp_path: Path) -> None:
    """A table in cp932 is decoded once, names of columns as well."""
    text = "時刻,端末,宛先\r\n2015/05/21 10:00:01,192.0.2.7,www.例え.example\r\n"
    (tmp_path / "gate.csv").write_bytes(text.encode("cp932"))
    columns = 'start = { field = "時刻", format = "%Y/%m/%d %H:%M:%S" }\nsrc = "端末"\nname = "宛先"\n'
    said = f'encoding = "cp932"\ntimezone = "Asia/Tokyo"\n[columns]\n{columns}'
    (tmp_path / "gate.toml").write_text(said, encoding="utf-8")
    (row,) = flows(fx.read(tmp_path / "gate.csv", table=tmp_path / "gate.toml"))

    assert (str(row["start"]), row["name"]) == ("2015-05-21 01:00:01+00:00", "www.xn--r8jz45g.example")


def test_a_described_file_is_nothing_else(tmp_path: Path) -> None:
    """Where a description is given no other format is asked: a Squid log is then no table."""
    log = ROOT / "sample_pcaps" / "formats" / "squid" / "native.log"
    shutil.copy(log, tmp_path / "access.log")

    with pytest.raises(EvidenceError, match="none of its first 20 lines names columns"):
        fx.read(tmp_path / "access.log", table=SAMPLES / "german.toml")
