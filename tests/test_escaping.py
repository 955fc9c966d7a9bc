"""Evidence is hostile: what an attacker writes is shown, and does nothing, wherever it ends up."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import unicodedata
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from markupsafe import Markup

from forensics.drawing import draw_hops, layout
from forensics.escaping import (
    CONTENT_POLICY,
    csv_safe,
    html_template,
    markup_safe,
    script_json,
    terminal_safe,
    xml_safe,
)
from forensics.formats._gaps import Gap
from forensics.reading.gaps import gaps_text
from forensics.report import ReportData, render_report

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '=HYPERLINK("http://192.0.2.1","open")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\tpadded",
    "\rreturned",
    "＝1＋1",
    "  =1+1",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "invoice\u202efdp.exe",
    "zero\u200bwidth\ufeff",
    "nul\x00nul",
    "lone\ud800surrogate",
    "]]><!--",
    "--><!DOCTYPE x [<!ENTITY y 'z'>]>&y;&amp;",
    "line\N{LINE SEPARATOR}paragraph\N{PARAGRAPH SEPARATOR}end\n",
    'quote"back\\slash\\N\\G\\l|{record}',
    "<B>bold</B><TABLE><TR><TD>",
    "$\\frac{1}{2}$ %s {0} {{7*7}}{% raw %}${x}",
    "\x80\x9b31mC1",
    "\U000e0041tag",
)
TIMES = {"start": datetime(2026, 5, 8, tzinfo=UTC), "end": datetime(2026, 5, 9, tzinfo=UTC)}


class Elements(HTMLParser):
    """The elements, event attributes and text of a page, as a browser sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the element and its attributes."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data


def hostile_graph() -> nx.MultiDiGraph[str]:
    """A hop graph in which every text is hostile, node ids included."""
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    chain = {"hops": list(HOSTILE[:3]), "p_value": 0.01, "sessions": 1, "reason": HOSTILE[0]}
    graph.graph.update(TIMES, title=HOSTILE[0], statement=HOSTILE[1], timezone="Asia/Tokyo", chains=[chain])
    for i, text in enumerate(HOSTILE):
        about = {
            "names": [HOSTILE[i - 1], HOSTILE[i - 2]],
            "reasons": list(HOSTILE),
            "role": "relay" if i else "terminal",
        }
        graph.add_node(text, **about, rank=i, spikes=i % 2, first_seen=TIMES["start"])
        evidence = [{"source": text, "sha256": text, "records": text, "rows": 1}]
        facts = {"via": [HOSTILE[i - 3]], "bytes_kind": text, "reason": text, "evidence": evidence, "bytes_out": i}
        graph.add_edge(HOSTILE[i // 3], text, key="observed", tier="observed", spike=i % 2 == 0, **facts)
    return graph


def hostile_report() -> ReportData:
    """A report in which every text is hostile."""
    rows = []
    for text in HOSTILE:
        finding = dict.fromkeys(("detector", "src", "dst", "name", "reason", "source", "record"), text)
        rows.append(finding | TIMES | {"value": 5.0, "expected": None, "score": 1.0, "p_value": 0.01, "q_value": None})
    relay = {"rank": 1, "dst": HOSTILE[0], "names": list(HOSTILE), "score": 1.0, "terminals": list(HOSTILE)}
    relay |= {"first_seen": None, "last_seen": TIMES["end"], "bytes_out": None, "bytes_in": 5, "reasons": list(HOSTILE)}
    texts = ("source", "sha256", "format", "compression", "vantage", "timezone", "error", "notes", "encoding")
    numbers: dict[str, object] = dict.fromkeys(
        ("size", "records", "rejected", "flows", "observed_out", "observed_in"), 1
    )
    numbers |= {"first": None, "last": None, "clock_offset": None}
    gaps = gaps_text([Gap("lost", None, None, text) for text in HOSTILE])
    sources = [dict.fromkeys(texts, t) | numbers | {"gaps": gaps} for t in HOSTILE]
    return ReportData(
        title=HOSTILE[0],
        timezone="Asia/Tokyo",
        made_by=HOSTILE[1],
        statement=HOSTILE[2],
        summary=HOSTILE,
        graph=hostile_graph(),
        spikes=rows,
        beacons=rows,
        others=[row | {"detector": "indicators"} for row in rows],
        relays=[relay],
        charts=[(HOSTILE[1], HOSTILE[0]), (HOSTILE[0], b"\x89PNG")],
        rasters=[(HOSTILE[0], HOSTILE[1])],
        sources=sources,
        coverage=[{"detector": HOSTILE[0], "tested": 1, "not_tested": 2, "why": HOSTILE[1]}],
        assumptions=HOSTILE,
        settings=dict.fromkeys(HOSTILE, HOSTILE[0]),
        settings_hash=HOSTILE[0],
        reproduce=[HOSTILE[0]],
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_terminal_text_moves_nothing(text: str) -> None:
    """No control, format, surrogate or separator character is left; everything else stays."""
    safe = terminal_safe(text)

    assert not [c for c in safe if unicodedata.category(c)[0] == "C" or unicodedata.category(c) in {"Zl", "Zp"}]
    assert re.sub(r"<U\+([0-9A-F]+)>", lambda match: chr(int(match[1], 16)), safe) == text
    assert safe.encode()


def test_unseen_characters_are_shown_by_their_code_points() -> None:
    """The turned file name shows what turns it; Japanese and the ideographic space stay as they are."""
    assert terminal_safe("invoice\u202efdp.exe\x1b[1m\ud800") == "invoice<U+202E>fdp.exe<U+001B>[1m<U+D800>"
    assert terminal_safe("株式会社\u3000海運 é") == "株式会社\u3000海運 é"


@pytest.mark.parametrize("text", HOSTILE)
def test_markup_is_text_to_a_parser(text: str) -> None:
    """An HTML parser finds the text again, as text and in an attribute, and no element of it."""
    seen = Elements(f'<i title="{markup_safe(text)}">{markup_safe(text)}</i>')

    assert seen.tags == ["i"]
    assert seen.attributes == [("title", terminal_safe(text))]
    assert seen.text == terminal_safe(text)


@given(st.text())
def test_any_text_survives_xml(text: str) -> None:
    """Whatever text there is, an XML writer can write it and a reader read it."""
    element = ET.Element("x")
    element.text = xml_safe(text)

    back = ET.fromstring(ET.tostring(element, encoding="unicode")).text or ""  # noqa: S314 - written a line above

    assert back == xml_safe(text).replace("\r\n", "\n").replace("\r", "\n")


@given(st.text(st.characters()))
def test_any_text_survives_a_script(text: str) -> None:
    """JSON for a script element is ASCII without a character of markup, and reads back as it was."""
    written = script_json({text: [text, 1.5, None]})

    assert written.isascii()
    assert not set("<>&") & set(written)
    assert json.loads(written) == {text: [text, 1.5, None]}


def test_a_number_that_is_none_cannot_stand_in_a_script() -> None:
    """NaN is no JSON: it is an error here and not a blank page there."""
    with pytest.raises(ValueError, match="JSON"):
        script_json(float("nan"))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_starts_a_formula(text: str) -> None:
    """A cell begins with nothing that a spreadsheet takes for a formula, in ASCII or full width, and reads back."""
    cell = csv_safe(text)
    written = io.StringIO()
    csv.writer(written).writerow([cell])

    assert not cell.lstrip().startswith(tuple("=+-@\t\r＝＋－＠"))
    assert next(csv.reader(io.StringIO(written.getvalue()))) == [cell]
    assert cell in {terminal_safe(text), "'" + terminal_safe(text)}


def test_a_template_escapes_every_value() -> None:
    """Values are escaped, None is *not observed*, markup of ours passes, and a forgotten value is an error."""
    template = html_template("{{ a }}|{{ b }}|{{ c }}|{{ d }}")

    assert template.render(a="<\x1b>", b=None, c=Markup("<b>"), d=5) == "&lt;&lt;U+001B&gt;&gt;|not observed|<b>|5"
    with pytest.raises(UndefinedError):
        template.render(a=1)


def test_no_word_of_the_evidence_reaches_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphviz is told numbers only: a label cannot act as its markup, as a record, or as an escape."""
    told: list[str] = []
    real = layout._with_pygraphviz

    def listen(text: str) -> bytes | None:
        told.append(text)
        return real(text)

    monkeypatch.setattr(layout, "_with_pygraphviz", listen)
    draw_hops(hostile_graph()).render("svg")
    head, body = told[0].split("edge [dir=none];")
    size, rank = r"n\d+ \[width=[\d.]+, height=[\d.]+\];", r"\{ rank=\w+;( n\d+;)+ \}"
    wire = r"n\d+(:[ew])? -> n\d+(:[ew])? \[id=e\d+, weight=\d\];"

    assert all(re.fullmatch(rf"{size}|{rank}|{wire}|}}|", row) for row in body.split("\n"))
    assert "label" not in head.replace('label=""', "")


def test_hostile_names_are_text_in_the_svg() -> None:
    """The SVG parses, holds no element but ours, and shows each name."""
    svg = draw_hops(hostile_graph()).render("svg").decode()
    root = ET.fromstring(svg)  # noqa: S314 - our own file
    text = "".join(root.itertext())

    assert {e.tag.split("}")[1] for e in root.iter()} == {"svg", "title", "rect", "path", "text"}
    assert all(terminal_safe(name) in text for name in HOSTILE)


def test_hostile_names_are_data_in_graphml() -> None:
    """GraphML with hostile ids and attributes reads back."""
    back = nx.read_graphml(io.BytesIO(draw_hops(hostile_graph()).render("graphml")))

    assert len(back) == len(HOSTILE)
    assert back.nodes[HOSTILE[0]]["role"] == "terminal"


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_hostile_names_are_drawn(kind: str) -> None:
    """No name stops the painting, not even one that looks like mathematics."""
    assert draw_hops(hostile_graph()).render(kind)


def pages() -> dict[str, str]:
    """Both pages, made of nothing but hostile text."""
    return {"hops": draw_hops(hostile_graph()).render("html").decode(), "report": render_report(hostile_report())}


@pytest.mark.parametrize(("name", "scripts"), [("hops", 3), ("report", 0)])
def test_pages_hold_no_element_of_the_evidence(name: str, scripts: int) -> None:
    """A page of hostile text has its own scripts and images, no event attribute, and no address but its own places."""
    page = Elements(pages()[name])
    links = [value for attribute, value in page.attributes if attribute in {"src", "href", "action", "srcset"}]

    assert page.tags.count("script") == scripts
    assert not [attribute for attribute, _ in page.attributes if attribute.startswith("on")]
    assert all(link.startswith(("#", "data:image/")) for link in links)
    assert page.attributes[3][1].startswith(CONTENT_POLICY)


def browse(page: Path) -> tuple[str, list[str]]:
    """The page as Chromium made it, and what it wrote to its console."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the PATH (apt install chromium)")
    quiet = ["first-run", "default-browser-check", "sandbox"]
    off = ["gpu", "quic", "background-networking", "component-update", "sync", "extensions", "dev-shm-usage"]
    command = [chromium, "--headless", *(f"--no-{q}" for q in quiet), *(f"--disable-{o}" for o in off)]
    command += [f"--user-data-dir={page.parent / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += ["--enable-logging=stderr", "--v=0", "--virtual-time-budget=4000", "--dump-dom", f"{page.as_uri()}#n3"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    said = done.stderr.decode(errors="replace").splitlines()
    return done.stdout.decode(errors="replace"), [line for line in said if "CONSOLE" in line]


def test_chromium_draws_both_pages_and_says_nothing(tmp_path: Path) -> None:
    """In a real browser the graph is drawn and a node opens, the console is silent, and nothing asks the network.

    Whatever a page tries to load is against its policy and would be told on the console (see the next test).
    """
    for name, content in pages().items():
        (tmp_path / f"{name}.html").write_text(content, encoding="utf-8")

    hops, hops_said = browse(tmp_path / "hops.html")
    report, report_said = browse(tmp_path / "report.html")

    assert hops_said == report_said == []
    assert f'data-drawn="{len(HOSTILE)} nodes, {len(HOSTILE)} lines"' in hops
    assert '<section id="details" tabindex="-1" aria-live="polite"><h2>' in hops
    assert "<canvas" in hops
    assert "<svg" in report


def test_the_policy_stops_what_gets_through(tmp_path: Path) -> None:
    """Were an escape forgotten, the browser would still refuse the script and the image, and say so."""
    page = tmp_path / "leak.html"
    head = f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">'
    page.write_text(
        f"{head}<img src='http://192.0.2.1/x.png'><script>document.title='run'</script><p>end", encoding="utf-8"
    )

    dom, said = browse(page)

    assert len(said) == 2
    assert "run</title>" not in dom
