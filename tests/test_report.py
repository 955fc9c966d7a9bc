"""The report: what stands in it, that it needs nothing else, and the tables beside it."""

from __future__ import annotations

import base64
import csv
import dataclasses
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from forensics.formats._gaps import Gap
from forensics.reading.gaps import gaps_text
from forensics.relays.weights import load_weights
from forensics.report import ReportData, render_report, save_report, write_csv
from forensics.report.tables import plain
from forensics.schema import FINDING_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

T0 = datetime(2026, 5, 8, tzinfo=UTC)


def hop_graph() -> nx.MultiDiGraph[str]:
    """Terminal, relay, operator and one chain."""
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    chain = {
        "hops": ["10.0.0.21", "198.51.100.7", "203.0.113.9"],
        "p_value": 2e-5,
        "sessions": 4,
        "reason": "within 2 s",
    }
    graph.graph.update(title="Case 7", timezone="Asia/Tokyo", start=T0, end=T0 + timedelta(days=12), chains=[chain])
    for node, role in (("10.0.0.21", "terminal"), ("198.51.100.7", "relay"), ("203.0.113.9", "upstream")):
        graph.add_node(node, role=role)
    graph.add_edge("10.0.0.21", "198.51.100.7", key="observed", tier="observed", bytes_out=48_200_000)
    graph.add_edge("198.51.100.7", "203.0.113.9", key="matched", tier="matched", p_value=2e-5)
    return graph


def finding(number: int = 0, **over: object) -> dict[str, Any]:
    """A finding as a detector makes it, with missing values as a data frame has them."""
    start = pd.Timestamp(T0) + pd.Timedelta(hours=number)
    row = {"detector": "volume_spikes", "start": start, "end": start + pd.Timedelta(hours=1), "src": "10.0.0.21"}
    row |= {"dst": "198.51.100.7", "name": "cdn.example", "value": 48.2e6, "expected": float("nan")}
    row |= {"score": np.float64(number), "p_value": 2e-9, "q_value": pd.NA, "reason": f"reason {number}"}
    return row | {"source": "proxy.log; sensor.pcap", "record": "4,18-22; 7", **over}


def source(**over: object) -> dict[str, Any]:
    """A row of the table of sources."""
    row = {"source": "proxy.log", "sha256": "ab" * 32, "size": 123_456, "format": "squid", "compression": "gzip"}
    row |= {"first": T0, "last": T0 + timedelta(days=1), "records": 9_000, "rejected": 17, "flows": 8_983}
    row |= {"vantage": "office", "timezone": "Asia/Tokyo", "clock_offset": None, "error": None}
    row |= {"observed_out": 8_000, "observed_in": 8_983, "encoding": None, "gaps": None}
    return row | {"notes": '{"gaps": ["02:00 to 04:10"], "epoch": "seconds", "n": {"a": 1}}', **over}


def data(**over: Any) -> ReportData:  # noqa: ANN401 - fields of every type
    """A small report."""
    relay = {"rank": 1, "dst": "198.51.100.7", "names": ["cdn.example"], "score": 9.25, "terminals": ["10.0.0.21"]}
    relay |= {"first_seen": T0, "last_seen": pd.NaT, "bytes_out": 48_200_000, "bytes_in": None}
    made = ReportData(
        title="Case 7",
        timezone="Asia/Tokyo",
        made_by="forensics 0.1.0",
        statement="at least 1 relay observed",
        summary=["A terminal sent 48.2 MB to one server within an hour."],
        graph=hop_graph(),
        spikes=[finding()],
        beacons=[finding(3, detector="beacons", value=300.0)],
        others=[finding(5, detector="indicators", value=3.0, reason="met a listed server")],
        relays=[relay | {"reasons": ["a spike of 48 MB", "regular contact"]}],
        charts=[("From pc-suzuki", "<svg/>"), ("The same", b"\x89PNG")],
        rasters=[("every 5 min", "<svg>beats</svg>")],
        sources=[source()],
        coverage=[
            {"detector": "volume_spikes", "tested": 1200, "not_tested": 88, "why": "the direction was not observed"}
        ],
        assumptions=["Times without a zone were read as Asia/Tokyo."],
        settings={"max_q": 0.01, "b": [1, 2]},
        settings_hash="cd" * 32,
        reproduce=["forensics investigate proxy.log --out report"],
    )
    return dataclasses.replace(made, **over)


def words(page: str) -> str:
    """The text of a page as a reader sees it, white space squeezed."""
    body = re.sub(r"<(style|svg).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_the_report_tells_the_case() -> None:
    """Summary, relays, findings, evidence, limits and the way to repeat it are all there, in this order."""
    text = words(render_report(data()))
    told = [
        "at least 1 relay observed",
        "2026-05-08 09:00 to 2026-05-20 09:00 (Asia/Tokyo, UTC+09:00)",
        "A terminal sent 48.2 MB to one server within an hour.",
        "1 relay or candidate",
        "10.0.0.21 → 198.51.100.7 → 203.0.113.9 2×10⁻⁵ 4 within 2 s",
        "1 198.51.100.7 cdn.example 9.25 10.0.0.21 2026-05-08 09:00:00 not observed 48.2 MB not observed",
        "a spike of 48 MB regular contact",
        "48.2 MB no baseline 2×10⁻⁹ no test",
        "Evidence: proxy.log : records 4,18-22; sensor.pcap: records 7",
        "300 s",
        "first contact with relay",
        "spike begins 10.0.0.21 → 198.51.100.7",
        "regular contact begins",
        "ab" * 32,
        "Could not be read 17",
        "epoch seconds",
        "gaps 02:00 to 04:10",
        "volume_spikes 1,200 88 the direction was not observed",
        "Times without a zone were read as Asia/Tokyo.",
        "forensics investigate proxy.log --out report",
        "cd" * 32,
        "max_q 0.01",
    ]

    places = [text.find(sentence) for sentence in told]

    assert -1 not in places, told[places.index(-1)]
    assert places == sorted(places)


def test_the_report_says_what_it_did_not_find() -> None:
    """Nothing found is said in words, and an empty case is a report too."""
    empty: dict[str, Any] = dict.fromkeys(
        ("spikes", "beacons", "relays", "charts", "rasters", "sources", "coverage", "summary"), ()
    )
    text = words(render_report(data(**empty, graph=nx.MultiDiGraph(), settings={}, assumptions=())))

    for sentence in (
        "No server was found that looks like a relay",
        "No spike was found.",
        "No regular contact was found.",
    ):
        assert sentence in text
    assert "evidence files: 0." in text


def test_the_graph_is_drawn_inside() -> None:
    """The hop graph stands in the page as SVG, its names as text."""
    assert re.search(r"<svg .*>198\.51\.100\.7</text>", render_report(data()), re.DOTALL)


def test_charts_are_images_that_can_run_nothing() -> None:
    """SVG and PNG charts stand in the page as data addresses."""
    page = render_report(data())
    images = re.findall(r'src="data:image/([^;]+);base64,([^"]+)"', page)

    told = [(kind, base64.b64decode(content)) for kind, content in images]
    assert told[1:4] == [("svg+xml", b"<svg/>"), ("png", b"\x89PNG"), ("svg+xml", b"<svg>beats</svg>")]
    assert b"Bytes that each terminal sent" in told[0][1]
    assert b"relays over time" in told[4][1]
    assert len(told) == 5


def test_of_many_regular_contacts_some_are_drawn_and_it_is_said() -> None:
    """The page says how many rasters it has of how many regular contacts, where it has not all."""
    sentence = "Of 3 regular contacts the 1 strongest are drawn"

    assert sentence in words(render_report(data(beacons=[finding(i, detector="beacons") for i in range(3)])))
    assert "strongest are drawn" not in words(render_report(data()))


def test_the_report_needs_no_network_and_no_script() -> None:
    """The page forbids itself everything but its own styles and images, and links to nothing but itself."""
    page = render_report(data())

    assert "default-src &#39;none&#39;" in page
    assert "script-src" not in page
    assert "<script" not in page
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', page))


def test_every_place_that_is_linked_exists() -> None:
    """No link of the page leads nowhere."""
    page = render_report(data())

    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(re.findall(r'id="([^"]*)"', page))


def test_the_same_data_give_the_same_file(tmp_path: Path) -> None:
    """The report holds no time of its making."""
    one, two = save_report(data(), tmp_path / "one.html"), save_report(data(), tmp_path / "two.html")

    assert one.read_bytes() == two.read_bytes() == render_report(data()).encode()


def test_of_very_many_findings_the_strongest_are_shown_and_it_is_said() -> None:
    """A reader gets 200 findings, the strongest, in order of time; the page says where the others are."""
    spikes = [finding(i) for i in range(250)]
    page = render_report(data(spikes=spikes[::-1]))
    shown = [int(number) for number in re.findall(r"<td colspan=\"8\">reason (\d+)<br>", page)][:200]

    assert shown == list(range(50, 250))
    assert "The 200 strongest of 250 are shown, in order of time; spikes.csv holds all." in words(page)


def test_gaps_are_a_list_of_their_own() -> None:
    """Gaps of all files stand in one list in order of time, each with its file; where there are none, it is said."""
    late = gaps_text([Gap("silence", 1_432_166_400_000_000, 1_432_170_000_000_000, "no record for 1:00:00 h")])
    early = gaps_text([Gap("lost", None, None, "3 events <were> lost", 7)])
    page = words(render_report(data(sources=[source(gaps=late), source(source="b.log", gaps=early)])))
    told = page.partition("What is missing")[2]
    assert "not known not known lost b.log , record 7 3 events" in told
    assert "2015-05-21 09:00" in told
    assert told.index("b.log") < told.index("silence proxy.log")
    assert "None was found. A log that was shortened" in words(render_report(data()))


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"error": "cut off inside packet 9"}, "Reading stopped cut off inside packet 9"),
        ({"clock_offset": -2.25}, "Clock offset -2.250 s"),
        ({"timezone": None}, "none: its times carry their zone"),
        ({"format": None}, "not recognised"),
        ({"first": None}, "First time not observed"),
        ({"notes": "no JSON"}, "notes no JSON"),
        ({"notes": "[1, 2]"}, "notes 1; 2"),
        ({"notes": None}, "Clock offset not estimated Gaps"),
        ({"encoding": "cp932"}, "Encoding cp932"),
        ({"observed_out": 0}, "Uploads recorded of 0 flows Downloads recorded of 8,983 flows"),
    ],
)
def test_what_is_odd_about_a_file_is_said(over: dict[str, Any], sentence: str) -> None:
    """Errors, offsets, assumed zones and notes of every evidence file stand in the manifest."""
    assert sentence in re.sub(r" 1\. proxy\.log", "", words(render_report(data(sources=[source(**over)]))))


def test_a_file_name_with_the_separator_is_shown_as_it_stands() -> None:
    """Where files and records cannot be paired, both are shown unpaired instead of wrongly paired."""
    row = finding(source="a; b.log", record="4")

    assert "Evidence: a; b.log: records 4" in words(render_report(data(spikes=[row])))


def test_missing_reasons_and_names_are_said() -> None:
    """A relay without names reads *none observed*; reasons in one text are told one by one, a count as it is."""
    relay = dict(data().relays[0]) | {"names": None, "reasons": "one reason; another", "score": None, "terminals": 12}
    page = render_report(data(relays=[relay]))

    assert "198.51.100.7 none observed" in words(page)
    assert "<li>one reason</li><li>another</li>" in page
    assert "<td>12</td>" in page


def test_the_weightiest_reasons_stand_first_and_the_others_fold() -> None:
    """Five for or against are seen at once; a paper shows all of them."""
    reasons = [f"reason {n} ({weight:+.1f})" for n, weight in enumerate((0.1, -3.0, 2.0, 0.2, 1.0, -0.3, 0.4))]
    page = render_report(data(relays=[dict(data().relays[0]) | {"reasons": "; ".join(reasons)}]))
    first, folded = page.partition("<tbody>")[2].split("<details>", 1)

    assert [int(n) for n in re.findall(r"reason (\d)", first.rpartition("<ul>")[2])] == [1, 2, 4, 6, 5]
    assert [int(n) for n in re.findall(r"reason (\d)", folded.partition("</details>")[0])] == [3, 0]
    assert "Further reasons, of less weight: 2" in page
    assert "details::details-content { content-visibility: visible" in page.partition("@media print")[2]


def test_a_relay_has_its_verdict_and_how_often_that_was_wrong() -> None:
    """Beside the score stands what the ranking calls the server; above the table, how many so called were innocent."""
    errors = load_weights().errors
    for verdict in ("likely", "possible"):
        page = words(render_report(data(relays=[{**data().relays[0], "verdict": verdict}])))

        assert f"9.25 {verdict}" in page
        assert f"{errors['likely']:.0%} of the servers that were called likely were innocent" in page
        assert f"{errors['possible']:.0%} of all that were called likely or possible" in page


def test_what_has_no_verdict_is_not_called_a_candidate() -> None:
    """It stands in the table, after those that have one, and is neither counted nor an event."""
    first = data().relays[0]
    relays = [{**first, "verdict": "possible"}, {**first, "dst": "198.51.100.77", "rank": 2, "verdict": ""}]
    page = words(render_report(data(relays=relays)))

    assert "1 relay or candidate " in page
    assert "no verdict" in page
    assert "Servers without a verdict: 1." in page
    assert "first contact with relay 198.51.100.77" not in page


@pytest.mark.parametrize("value", [None, float("nan"), np.float64("nan"), pd.NaT, pd.NA, np.datetime64("NaT")])
def test_every_kind_of_missing_value_is_none(value: object) -> None:
    """However a data frame says *missing*, the report reads None."""
    assert plain(value) is None


def test_arrays_and_scalars_lose_their_numpy() -> None:
    """Values come out as Python has them."""
    values = plain(np.array(["a", "b"])), plain(np.int64(3)), plain("x"), plain([1])

    assert values == (["a", "b"], 3, "x", [1])
    assert type(values[1]) is int


def written(path: Path, columns: Sequence[str], rows: list[dict[str, Any]]) -> list[list[str]]:
    """The cells of a CSV file, header included."""
    with write_csv(path, columns, rows).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_table_is_csv_with_times_in_utc(tmp_path: Path) -> None:
    """Times are ISO 8601 in UTC, missing values empty cells, lists joined, lines ended by a line feed."""
    tokyo = datetime(2026, 5, 8, 9, tzinfo=timezone(timedelta(hours=9)))
    row = {"t": tokyo, "n": None, "x": float("nan"), "i": -5, "f": 0.5, "b": True, "l": ["a", "b"], "d": {"k": 1}}
    path = tmp_path / "t.csv"

    header, cells = written(path, list(row), [row])

    assert header == list(row)
    assert cells == ["2026-05-08T00:00:00.000000Z", "", "", "-5", "0.5", "true", "a; b", "{'k': 1}"]
    assert path.read_bytes().count(b"\n") == 2
    assert b"\r" not in path.read_bytes()


def test_findings_become_their_columns(tmp_path: Path) -> None:
    """A table of findings has the columns of the schema, in their order."""
    header, cells = written(tmp_path / "spikes.csv", FINDING_COLUMNS, [finding()])

    assert header == list(FINDING_COLUMNS)
    assert cells[:4] == ["volume_spikes", "2026-05-08T00:00:00.000000Z", "2026-05-08T01:00:00.000000Z", "10.0.0.21"]


def test_a_formula_becomes_text(tmp_path: Path) -> None:
    """A host name that would be a formula, and a list that begins with one, are text in the file."""
    _, cells = written(tmp_path / "t.csv", ["a", "b"], [{"a": "=1+1", "b": ["@x", "y"]}])

    assert cells == ["'=1+1", "'@x; y"]


def test_a_row_without_a_column_is_an_error(tmp_path: Path) -> None:
    """A forgotten column is an error and not an empty cell: that would read *not observed*."""
    with pytest.raises(KeyError):
        write_csv(tmp_path / "t.csv", ["a", "b"], [{"a": 1}])


def test_other_findings_stand_under_what_their_detector_finds() -> None:
    """Each detector's findings have their own table and units; of many the strongest are shown, and the file named."""
    rows = [finding(n % 20, detector="indicators", value=3.0, score=n, reason=f"reason {n}.") for n in range(40)]
    text = words(render_report(data(others=rows)))

    assert "lists name The 25 strongest of 40 are shown" in text
    assert "records [1]" in text
    assert "reason 39." in text
    assert "reason 14." not in text
    assert "No other detector found anything." in words(render_report(data(others=[])))
