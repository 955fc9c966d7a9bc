"""A finding explained: its series, its rows, its text and its chart."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import forensics as fx
from forensics.detectors import all_detectors
from forensics.errors import EvidenceError

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_pcaps" / "detectors"
PAGE = ROOT / "docs" / "how-to" / "explain-a-finding.md"


@pytest.fixture(scope="module")
def spiky() -> tuple[fx.Case, pd.DataFrame]:
    """Return a case with a spike, and its spikes."""
    case = fx.read(SAMPLES / "volume_spikes" / "loud", timezone="Asia/Tokyo", progress=False)
    return case, fx.find_spikes(case)


@pytest.fixture(scope="module")
def marked() -> tuple[fx.Case, pd.DataFrame]:
    """Return a case of a capture and a log, and its findings of Emdivi."""
    case = fx.read(SAMPLES / "emdivi" / "loud", timezone="Asia/Tokyo", progress=False)
    return case, all_detectors()["emdivi"].detect(case)


def test_a_spike_is_shown_against_its_baseline(spiky: tuple[fx.Case, pd.DataFrame]) -> None:
    """The series holds the finding's own value and expectation; the rows add up to the value."""
    case, spikes = spiky
    finding = spikes.iloc[0]
    why = fx.explain(case, finding)

    assert list(why.series.columns) == ["start", "value", "expected"]
    inside = why.series[why.series["start"].between(finding["start"], finding["end"], inclusive="left")]
    assert inside["value"].sum() == pytest.approx(finding["value"])
    assert inside["expected"].sum() == pytest.approx(finding["expected"])
    assert len(set(why.series["start"].diff().dropna())) <= 1
    contacts = why.rows[why.rows["kind"] == "contacts"]
    assert contacts["bytes_out"].sum() == finding["value"]
    assert set(contacts["src"]) == {finding["src"]}
    assert set(contacts["dst"]) == {finding["dst"]}
    assert finding["reason"] in str(why)
    assert "When it misleads: " in why.text
    assert why.chart is not None
    picture = why.chart.render("svg").decode()
    assert "expected" in picture
    assert "finding" in picture


def test_findings_without_a_baseline_show_what_was_sent(marked: tuple[fx.Case, pd.DataFrame]) -> None:
    """By the minute; a minute without a record is null; three kinds of rows."""
    case, found = marked
    finding = found[found["src"] == "10.20.1.5"].iloc[0]
    why = fx.explain(case, finding)

    assert why.series["value"].isna().tolist() == [False, True, False, True, False]
    assert len(set(why.series["value"].dropna())) == 1
    assert why.series["expected"].isna().all()
    assert why.rows["kind"].value_counts().to_dict() == {"contacts": 3, "names": 3, "requests": 3}
    requests = why.rows[why.rows["kind"] == "requests"]
    assert ",".join(map(str, requests["record"])) == finding["record"]
    assert "bytes sent [B]; windows around the finding: 5, with a record: 3" in why.text


def test_what_is_not_recorded_is_not_zero(marked: tuple[fx.Case, pd.DataFrame]) -> None:
    """A proxy's log that keeps no uploads: what was received is shown, and the text says so."""
    case, found = marked
    why = fx.explain(case, found[found["src"] == "10.20.1.8"].iloc[0].to_dict())

    assert "series: bytes received [B]" in why.text
    assert set(why.series["value"]) == {900.0}
    assert why.rows["bytes_out"].isna().all()


def test_long_findings_are_looked_at_by_the_hour(marked: tuple[fx.Case, pd.DataFrame]) -> None:
    """And one of all servers takes all of them."""
    case, found = marked
    finding = found.iloc[0].to_dict() | {"dst": None, "detector": "of another", "value": None}
    finding["end"] += pd.Timedelta(hours=7)
    why = fx.explain(case, finding)

    assert (why.series["start"].dt.minute == 0).all()
    assert len(set(why.rows["dst"])) > 1
    assert "When it misleads" not in why.text


def test_nothing_known_is_no_chart(marked: tuple[fx.Case, pd.DataFrame]) -> None:
    """A pair that never met: no rows, no chart, no error."""
    case, found = marked
    why = fx.explain(case, found.iloc[0].to_dict() | {"dst": "192.0.2.250"})

    assert why.chart is None
    assert (len(why.series), len(why.rows)) == (0, 0)
    assert "<table>" in why._repr_html_()


def test_a_notebook_shows_text_chart_and_rows(marked: tuple[fx.Case, pd.DataFrame]) -> None:
    """With what was not observed in words."""
    case, found = marked
    shown = fx.explain(case, found.iloc[0])._repr_html_()

    assert "<svg" in shown
    assert "<td>/a.php</td>" in shown
    assert "<td>not observed</td>" in shown
    assert "nan" not in shown.partition("<table>")[2].lower()


def test_what_evidence_says_does_not_act(marked: tuple[fx.Case, pd.DataFrame]) -> None:
    """Neither on a terminal nor in a notebook."""
    case, found = marked
    why = fx.explain(case, found.iloc[0].to_dict() | {"reason": "<script>alert(1)</script>\x1b[31m", "source": "<b>"})

    assert "\x1b" not in str(why)
    assert "<script>" not in why._repr_html_()
    assert "<b>" not in why._repr_html_()


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"src": "10.0.0.1", "dst": "192.0.2.1"},
        dict.fromkeys(["detector", "start", "end", "src", "dst", "value", "expected", "score", "reason", "source"]),
    ],
)
def test_what_is_no_finding_is_refused(marked: tuple[fx.Case, pd.DataFrame], row: dict[str, Any]) -> None:
    """With what is missing."""
    with pytest.raises(EvidenceError, match="finding"):
        fx.explain(marked[0], row)


def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its examples run in order, on evidence with a spike and with marks of Emdivi."""
    shutil.copytree(SAMPLES / "volume_spikes" / "loud", tmp_path / "evidence" / "spikes")
    shutil.copytree(SAMPLES / "emdivi" / "loud", tmp_path / "evidence" / "emdivi")
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), known)  # noqa: S102 - our own page

    assert (tmp_path / "spike.svg").stat().st_size > 1000
    assert len(known["found"]) == 4
