"""What a case shows: its tables, the answers to queries, its files, itself."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pytest

from forensics.errors import CaseError, EvidenceError, QueryError
from forensics.opening import open_case, read

if TYPE_CHECKING:
    from pathlib import Path

LINE = (
    "{time}.010 90 192.0.2.{client} TCP_MISS/200 {size} GET http://www.example/ - HIER_DIRECT/203.0.113.7 text/html\n"
)


def log(client: int, lines: int) -> bytes:
    """Return a Squid log of one client."""
    return "".join(LINE.format(time=1433122500 + n, client=client, size=900 + n) for n in range(lines)).encode()


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """A folder of three logs and a text that is none."""
    folder = tmp_path / "evidence"
    for name, client, lines in (("gw1/access.log", 1, 5), ("gw2/access.log", 2, 5), ("other.log", 3, 9)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(log(client, lines))
    (folder / "readme.txt").write_text("What lies here.\n")
    return folder


@pytest.mark.parametrize("zone", ["Tokyo", "Asia", "../etc/passwd", "/etc/passwd", "x" * 300, "\0"])
def test_unknown_zones(zone: str, tmp_path: Path) -> None:
    """A zone that is none is told as such wherever it is given, before anything is read or made."""
    with pytest.raises(CaseError, match=r"unknown time zone .*: give an IANA name"):
        read(timezone=zone)
    with pytest.raises(CaseError, match="unknown time zone"):
        open_case(tmp_path / "c", timezone=zone)
    assert not (tmp_path / "c").exists()


def test_title_and_zone_belong_to_the_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new case is called after its folder unless it is given a title; an existing one keeps title and zone."""
    made = open_case(tmp_path / "jps.case", timezone="Asia/Tokyo")
    again = open_case(tmp_path / "jps.case", title="other", timezone="UTC")
    assert (made.title, str(made.timezone)) == (again.title, str(again.timezone)) == ("jps", "Asia/Tokyo")
    assert open_case(str(tmp_path / "b"), title="Relays of May").title == "Relays of May"

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert open_case(".").title == "here"
    assert read().title == "case"


def test_a_read_case_is_called_after_its_evidence(evidence: Path) -> None:
    """The title of a case in memory names what was read."""
    assert read(evidence / "gw1", str(evidence / "other.log")).title == "gw1, other.log"


def test_tables_of_ones_own(evidence: Path) -> None:
    """A query joins tables of the analyst's; a name that the case has is refused."""
    case = read(evidence)
    wanted = pa.table({"src": ["192.0.2.1", "192.0.2.9"]})

    found = case.sql("SELECT count(*) AS n FROM flows JOIN wanted USING (src);", wanted=wanted)

    assert found.to_pandas()["n"].tolist() == [5]
    for name in ("flows", "Contacts"):
        with pytest.raises(QueryError, match="already: give yours another name"):
            case.sql("SELECT 1", **{name: wanted})
    assert len(case.flows) == 19


def test_queries_see_the_case_only(evidence: Path, tmp_path: Path) -> None:
    """A query of a case on disk reads no file outside it and writes none inside."""
    case = open_case(tmp_path / "c").add(evidence)

    for query in (
        f"SELECT * FROM read_text('{evidence}/readme.txt')",  # noqa: S608  # what a query must not do
        f"COPY flows TO '{tmp_path}/c/x.csv'",
        "SELECT 1; SELECT 2",
        "SET threads = 1",
    ):
        with pytest.raises(QueryError):
            case.sql(query).to_arrow()
    assert not (tmp_path / "c/x.csv").exists()


def test_views_of_the_case(evidence: Path) -> None:
    """Sums are integers in pandas; a direction no one observed is missing, not nought."""
    case = read(evidence)
    frame = case.flows.to_pandas()

    assert frame.dtypes["bytes_out"] == pd.Int64Dtype()
    assert frame["bytes_out"].isna().all()
    summed = case.sql("SELECT src, sum(bytes_in) AS bytes FROM flows GROUP BY src ORDER BY src").to_pandas()
    assert summed.dtypes["bytes"] == pd.Int64Dtype()
    assert summed["bytes"].tolist() == [4510, 4510, 8136]


def test_a_case_shows_itself(evidence: Path) -> None:
    """Both forms count the tables; the notebook's escapes what evidence and analyst wrote."""
    (evidence / "<img src=x>.txt").write_text("x")
    case = read(evidence)
    case.title = "<b>bold</b>"

    assert repr(case).startswith("<Case '<b>bold</b>': 19 flows, ")
    shown = case._repr_html_()
    assert html.escape("<b>bold</b>") in shown
    assert html.escape("<img src=x>.txt") in shown
    assert "<img" not in shown


def test_files_of_the_case(evidence: Path) -> None:
    """A source leads back to its file; a file object has no path; an unknown one lists what there is."""
    with (evidence / "other.log").open("rb") as stream:
        case = read(evidence / "gw1", stream)

    assert case.origin("access.log").file.path == evidence / "gw1/access.log"
    assert case.origin("other.log").file.path is None
    with pytest.raises(EvidenceError, match=r"nope: is not in this case, which holds access\.log, other\.log"):
        case.origin("nope")
