"""The report in other forms: in Japanese, with addresses that nobody opens, and as a PDF."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from forensics.detectors import all_detectors
from forensics.errors import MissingToolError, ReportError
from forensics.formats._gaps import Kind
from forensics.report import render_report, save_pdf
from forensics.report.defanging import Defanged
from forensics.report.pdf import BROWSERS
from forensics.report.sentences import REASONS, summary_of
from forensics.words import ENGLISH, LANGUAGES, words_of
from tests.test_report import data, hop_graph, words

ROOT = Path(__file__).resolve().parents[1] / "forensics"

TEXT = r'"((?:[^"\\]|\\.)*)"'


PAGE = [f"drawing/assets/{name}" for name in ("hops.html.j2", "hops.js", "hops_controls.js", "hops_details.js")]
CODE = ["report/page.py", "report/sentences.py", "investigation.py", "charting.py"]
CODE += [f"drawing/{name}.py" for name in ("hops", "page", "details")]

REASONED = "a (+1.0); b (+3.0); c (-1.0); d (+2.0)"


def used() -> set[str]:
    """Every English text that report and page may say: of templates, scripts and code, of detectors and gaps."""
    pages = [(ROOT / name).read_text("utf-8") for name in ("report/report.html.j2", *PAGE)]
    texts = set(re.findall(rf"say\({TEXT}", "\n".join(pages)))
    for name in CODE:
        code = (ROOT / name).read_text("utf-8")
        pages.append(code)
        texts |= set(re.findall(rf"words\(\s*{TEXT}", code)) | set(re.findall(rf"told = {TEXT}", code))
        texts |= set(re.findall(r'"((?:first|last) contact with relay|spike begins|regular contact begins)"', code))
    for one, many in re.findall(rf"number\([^\"]*{TEXT}, {TEXT}\)", "\n".join(pages)):
        texts |= {one, many}
    for detector in all_detectors().values():
        texts |= {detector.TITLE, detector.VALUE, detector.SCORE}
    return texts | {kind.replace("_", " ") for kind in get_args(Kind)}


def blanks(text: str) -> list[str]:
    """What a text leaves open, with how it is written."""
    return sorted(f"{name}:{form}" for _, name, form, _ in Formatter().parse(text) if name)


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
def test_every_text_is_translated_and_nothing_else(language: str) -> None:
    """The list of a language has exactly the texts that the report says, each with the same blanks."""
    texts = tomllib.loads((ROOT / f"words/{language}.toml").read_text("utf-8"))
    also = tomllib.loads((ROOT / f"words/{language}_told.toml").read_text("utf-8"))["words"]

    assert {text for text in used() if not text.startswith("{_kind")} <= texts.keys() | also.keys()
    assert {key for key, text in texts.items() if blanks(key) != blanks(text)} == set()
    assert not {key for key in texts if key not in used() and "no. {rank}" not in key}


def test_the_report_in_japanese() -> None:
    """Headings, captions, cells and the course of events are Japanese; a reason that is no sentence of ours stays."""
    page = render_report(data(), words=words_of("ja"))
    said = words(page)

    assert '<html lang="ja">' in page
    for text in ("概要", "中継サーバ", "通信量の急増の始まり", "観測なし", "台の中継サーバ・候補", "reason 0"):
        assert text in said
    for text in ("Summary", "First seen", "no baseline", "spike begins", "Made by"):
        assert text not in said


def test_sentences_in_japanese_tell_the_same_figures() -> None:
    """Chain, spike and candidate are told from their columns."""
    graph = hop_graph()
    graph.graph["statement"] = "at least 1 relay"
    graph.nodes["198.51.100.7"]["passes_on"] = True
    report = data()
    relay = {
        **report.relays[0],
        "names": "cdn.example",
        "terminals": 3,
        "reasons": "a (+1.0); b (+3.0); c (-1.0); d (+2.0)",
    }

    told = summary_of(graph, report.spikes, [relay], "Asia/Tokyo", words_of("ja"))
    english = summary_of(graph, report.spikes, [relay], "Asia/Tokyo", ENGLISH)

    assert told[0] == "通信を中継したことが記録にある中継サーバは少なくとも 1 台。ほかの候補は 0 台。"
    assert "10.0.0.21 → 198.51.100.7 → 203.0.113.9" in told[1]
    assert (
        told[2]
        == "10.0.0.21 は 2026-05-08 09:00:00 から 2026-05-08 10:00:00 までに 198.51.100.7 へ 48.2 MB を送信した。"
    )
    reasons = "b（+3.0）。d（+2.0）。a（+1.0）"
    assert told[3] == f"中継サーバ 第 1 位: 198.51.100.7 (cdn.example)。端末数: 3。主な理由: {reasons}。"
    assert english[-1] == "Relay no. 1: 198.51.100.7 (cdn.example); b (+3.0); d (+2.0); a (+1.0)."
    assert REASONS == 3


def test_no_report_in_a_language_that_is_not_known() -> None:
    """The error names the languages there are."""
    with pytest.raises(ValueError, match="no report in the language 'fr'; choose one of en, ja"):
        words_of("fr")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("48 MB to cdn.example", "48 MB to cdn[.]example"),
        ("http://cdn.example/x.html", "hxxp://cdn[.]example/x.html"),
        ("HTTPS://cdn.example:443", "hxxpS://cdn[.]example:443"),
        ("from 192.0.2.99 in access.log.gz, 1.5 s", "from 192[.]0[.]2[.]99 in access.log.gz, 1.5 s"),
        ("2001:db8::7 at 12:30:00", "2001[:]db8[:][:]7 at 12:30:00"),
        ("WWW.CDN.EXAMPLE and cdn.example.", "WWW.CDN.EXAMPLE and cdn[.]example."),
        ("host without dots", "host without dots"),
    ],
)
def test_addresses_and_names_cannot_be_opened(text: str, safe: str) -> None:
    """Known hosts and every IPv4 address get brackets; files, numbers and times do not."""
    assert Defanged(["cdn.example", "2001:db8::7", "localhost"]).text(text) == safe


def test_many_names_are_all_found() -> None:
    """A case may know more names than one expression takes."""
    hosts = [f"host{number}.example" for number in range(5_000)]

    assert Defanged(hosts).text("host4999.example host7.example") == "host4999[.]example host7[.]example"


def test_a_defanged_report_names_no_host_as_it_is() -> None:
    """Neither in the tables nor in the graph; evidence files keep their names, and the report says what was done."""
    report = data(summary=["Sent to 198.51.100.7, http://cdn.example/a."])
    page = render_report(report, defang=True)

    for host in ("10.0.0.21", "198.51.100.7", "203.0.113.9", "cdn.example"):
        assert host in render_report(report)
        assert host not in page
    for text in ("198[.]51[.]100[.]7", "hxxp://cdn[.]example/a", "proxy.log", "written with [.]"):
        assert text in page


@pytest.fixture
def chromium() -> str:
    """Return Chromium's path."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium on the PATH (apt install chromium)")
    return found


@pytest.mark.usefixtures("chromium")
def test_the_report_is_printed_to_the_same_bytes(tmp_path: Path) -> None:
    """The PDF is whole, has no time of its printing, and is the same again."""
    page = tmp_path / "report.html"
    page.write_text(render_report(data(), words=words_of("ja")), "utf-8")

    first = save_pdf(page, tmp_path / "one.pdf").read_bytes()
    again = save_pdf(page, tmp_path / "two.pdf").read_bytes()

    assert first.startswith(b"%PDF-")
    assert first.rstrip().endswith(b"%%EOF")
    assert b"/CreationDate (D:20000101000000" in first
    assert first == again


def test_without_chromium_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PDF needs a program of its own."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingToolError, match="install one of chromium"):
        save_pdf(tmp_path / "report.html", tmp_path / "report.pdf")


@pytest.mark.parametrize(
    ("does", "says"), [("echo no room >&2; exit 3", r"exit code 3\): no room"), ("true", "exit code 0")]
)
def test_a_printer_that_fails_is_an_error(
    does: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Chromium said last is told, and no file is left."""
    fake = tmp_path / "chromium"
    fake.write_text(f"#!/bin/sh\n{does}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(ReportError, match=says):
        save_pdf(tmp_path / "report.html", tmp_path / "report.pdf")

    assert not (tmp_path / "report.pdf").exists()
