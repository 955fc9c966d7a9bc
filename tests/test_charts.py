"""The charts: heat map, timeline and raster, what stands on their axes, and the fonts of this machine."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import networkx as nx
import pandas as pd
import pytest

import forensics as fx
from forensics.drawing import canvas, glyphs, heatmap, raster, timeline
from forensics.drawing.frames import time_ticks
from forensics.drawing.scene import FONTS, Outline, Scene, Text
from forensics.words import words_of

if TYPE_CHECKING:
    Graph = nx.MultiDiGraph[str]

SAMPLES = Path(__file__).resolve().parents[1] / "sample_pcaps" / "detectors"
T0 = datetime(2015, 5, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
KINDS = {"png": b"\x89PNG", "svg": b"<svg ", "pdf": b"%PDF"}


def add_edge(graph: Graph, tail: str, head: str, tier: str = "observed", **facts: object) -> None:
    """Add an edge."""
    usual: dict[str, Any] = {"bytes_out": None, "bytes_in": None, "bytes_kind": "ip", "spike": False}
    evidence = [{"source": "proxy/access.log", "sha256": "ab" * 32, "records": "4", "rows": 1}]
    graph.add_edge(tail, head, key=tier, **(usual | {"tier": tier, "evidence": evidence} | facts))


def office(terminals: int = 3, relays: int = 2) -> Graph:
    """Terminals that sent to relays: more and more; the first to the first in a spike, the last without bytes."""
    graph: Graph = nx.MultiDiGraph(title="Case 7", timezone="Asia/Tokyo", start=T0, end=T0 + 48 * HOUR)
    for i in range(relays):
        times = {"first_seen": T0 + i * HOUR, "last_seen": T0 + (24 + i) * HOUR}
        graph.add_node(f"198.51.100.{i}", role="relay", names=["海運.example"] if i == 0 else [], rank=i + 1, **times)
    for i in range(terminals):
        graph.add_node(f"10.0.0.{i}", role="terminal", names=["<script>alert(1)</script>"] if i == 1 else [])
        for j in range(relays):
            if (i, j) != (1, 1):
                out = None if (i, j) == (2, 0) else 1000 * 10**i + j
                add_edge(graph, f"10.0.0.{i}", f"198.51.100.{j}", bytes_out=out, spike=(i, j) == (0, 0))
    return graph


def texts(scene: Scene) -> list[str]:
    """All that is written in a chart."""
    return [item.text for item in scene.items if isinstance(item, Text)]


def found(server: str, start: float, hours: float) -> pd.DataFrame:
    """A finding about a server, so many hours after the beginning."""
    first = pd.Timestamp(T0) + pd.Timedelta(hours=start)
    return pd.DataFrame({"dst": [server], "start": [first], "end": [first + pd.Timedelta(hours=hours)]})


@pytest.mark.parametrize("kind", KINDS)
def test_charts_are_written_by_suffix_and_are_the_same_every_time(kind: str, tmp_path: Path) -> None:
    """Heat map and timeline are PNG, SVG or PDF, and the same graph gives the same bytes."""
    for name, draw in (("heat", fx.draw_heatmap), ("time", fx.draw_timeline)):
        path = draw(office()).save(tmp_path / f"{name}.{kind}")
        assert path.read_bytes().startswith(KINDS[kind])
        assert path.read_bytes() == draw(office()).render(kind)


def test_the_heat_map_says_what_it_shows() -> None:
    """Title, unit, kind of bytes, time range with its zone, scale and source stand in the chart."""
    told = texts(heatmap.draw_scene(office()))

    assert told[:3] == [
        "Case 7: terminals and relays",
        "Bytes that each terminal sent to each relay or candidate [B], counted as ip",
        "2015-05-08 09:00 to 2015-05-10 09:00 (Asia/Tokyo, UTC+09:00)",
    ]
    assert "Source: proxy/access.log" in told
    assert {"bytes sent, log scale:", "1 kB", "10 kB", "100 kB", "no cell: no contact is on record"} <= set(told)
    assert {"with a spike: unusual volume", "contact, bytes not observed"} <= set(told)
    assert "1. 198.51.100.0  海運.example" in told


def test_the_heat_map_tells_nothing_from_not_observed_from_little() -> None:
    """A contact without bytes is hatched and no figure; a pair without contact has no cell; others have figures."""
    hints = [item.hint for item in heatmap.draw_scene(office()).items if isinstance(item, Outline) and item.hint]

    assert [hint for hint in hints if not hint.startswith("legend")] == [
        "10.0.0.0 | 1. 198.51.100.0  海運.example | 1 kB | spike",
        "10.0.0.0 | 2. 198.51.100.1 | 1 kB",
        "10.0.0.1  <script>alert(1)</script> | 1. 198.51.100.0  海運.example | 10 kB",
        "10.0.0.2 | 1. 198.51.100.0  海運.example | not observed",
        "10.0.0.2 | 2. 198.51.100.1 | 100 kB",
    ]


def test_more_is_darker_in_grey_too() -> None:
    """Colours of the heat map grow darker with the bytes, so that they can be told apart in black-and-white print."""
    scale = heatmap.Scale(3, 9)
    grey = []
    for power in range(3, 10):
        red, green, blue = bytes.fromhex(scale.colour(10**power)[1:])
        grey.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)

    assert all(before - after > 20 for before, after in pairwise(grey))


def test_of_many_terminals_and_relays_the_others_are_one_row_and_one_column() -> None:
    """Of 60 terminals and 30 relays the strongest have rows and columns of their own; the others are summed."""
    graph = office(60, 30)
    table = heatmap._table(graph)
    told = texts(heatmap.draw_scene(graph))

    assert (len(table.rows), len(table.columns)) == (heatmap.MOST_TERMINALS, heatmap.MOST_RELAYS)
    assert "21 more terminals, in sum" in told
    assert "7 more, in sum" in told
    assert next(iter(table.rows)) == "10.0.0.0"  # that with the spike
    sent = [d["bytes_out"] for _, _, d in graph.edges(data=True) if d["bytes_out"] is not None]
    assert sum(cell.sent or 0 for cell in table.cells.values()) == sum(sent)


@pytest.mark.parametrize("chart", [heatmap.draw_scene, lambda graph: timeline.draw_scene(graph, [], [])])
def test_an_empty_graph_says_that_there_is_nothing(chart: Any) -> None:  # noqa: ANN401 - a function
    """No relay, no chart, but a sentence."""
    assert any(text.startswith("No ") for text in texts(chart(nx.MultiDiGraph())))


def test_the_timeline_shows_each_relay_with_what_was_found() -> None:
    """Bars from first to last contact, spikes, regular contacts and matched traffic, each explained where it is."""
    graph = office()
    bare = texts(timeline.draw_scene(graph, [], []))
    add_edge(graph, "198.51.100.0", "198.51.100.1", "matched", start=T0 + HOUR, end=T0 + 2 * HOUR)
    spikes, beacons = found("198.51.100.0", 3, 1), found("198.51.100.1", 2, 20)
    told = texts(timeline.draw_scene(graph, spikes.to_dict("records"), beacons.to_dict("records")))
    marks = {"spike of volume", "regular contact", "traffic went on, matched in time: first to last session"}

    assert told[1] == "2015-05-08 09:00 to 2015-05-09 10:00 (Asia/Tokyo, UTC+09:00)"
    assert {"time (Asia/Tokyo, UTC+09:00)", "1. 198.51.100.0", "海運.example", "2. 198.51.100.1"} <= set(told)
    assert marks | {"→ 198.51.100.1"} <= set(told)
    assert not marks & set(bare)
    assert "from first to last contact" in bare
    assert (
        fx.draw_timeline(graph, spikes=spikes, beacons=beacons).render("svg").decode().count("2015-05-08 09:00:00 to")
    )


def test_the_timeline_has_the_first_thirty_relays() -> None:
    """Further relays are not drawn, and it is said how many."""
    told = texts(timeline.draw_scene(office(1, 34), [], []))

    assert "4 further relays or candidates are not shown" in told
    assert sum(text.partition(". ")[2].startswith("198.51.100.") for text in told) == 30


def test_charts_are_told_in_japanese() -> None:
    """Headings, legends and axes; addresses and names stay as they are."""
    japanese = words_of("ja")
    told = texts(timeline.draw_scene(office(), [], [], japanese)) + texts(heatmap.draw_scene(office(60, 30), japanese))

    assert {"最初から最後の通信まで", "1. 198.51.100.0", "海運.example"} <= set(told)
    assert not [text for text in told if re.search(r"[a-z]{2,} [a-z]{2,}", text)]


def test_one_moment_is_a_timeline_too() -> None:
    """A relay that was seen once is a mark that can be seen."""
    graph: Graph = nx.MultiDiGraph()
    graph.add_node("192.0.2.1", role="relay", first_seen=T0, last_seen=T0)
    bars = [i for i in timeline.draw_scene(graph, [], []).items if isinstance(i, Outline) and i.hint]

    assert max(x for _, points in bars[0].steps for x, _ in points) - min(
        x for _, points in bars[0].steps for x, _ in points
    ) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("hours", "first", "count"),
    [
        (0.001, "09:00:00", 5),
        (1, "05-08 09:00", 5),
        (48, "05-08 12:00", 8),
        (24 * 14, "2015-05-10", 7),
        (24 * 4000, "2017-05-05", 5),
    ],
)
def test_ticks_are_round_by_the_clock_of_the_zone(hours: float, first: str, count: int) -> None:
    """From seconds to years there are a few ticks, at round times of the zone."""
    ticks = time_ticks(T0, T0 + hours * HOUR, "Asia/Tokyo")

    assert first in {text for _, text in ticks[:2]}
    assert count - 2 <= len(ticks) <= 10


def test_ticks_are_in_order_where_clocks_change() -> None:
    """Where summer time ends, no tick stands before its neighbour."""
    night = datetime(2015, 10, 24, 20, tzinfo=UTC)
    moments = [moment for moment, _ in time_ticks(night, night + 9 * HOUR, "Europe/Berlin")]

    assert moments == sorted(moments)


def beats(count: int, period: float, **over: Any) -> Scene:  # noqa: ANN401 - options of a raster
    """A raster of regular contacts."""
    told: dict[str, Any] = {
        "title": "a to b",
        "about": "every now and then",
        "timezone": "Asia/Tokyo",
        "source": "s.log",
    }
    return raster.draw_scene([T0 + timedelta(seconds=period * i) for i in range(count)], **(told | over))


def strokes(scene: Scene) -> list[tuple[float, float]]:
    """Where the strokes of a raster begin."""
    path = max((i for i in scene.items if isinstance(i, Outline)), key=lambda i: len(i.steps))
    return [points[0] for name, points in path.steps if name == "M"]


def test_a_raster_by_the_day_has_a_clock_in_columns() -> None:
    """Contacts every three hours over ten days are eight columns; each contact is one stroke."""
    scene = beats(80, 3 * 3600)

    assert len({round(x) for x, _ in strokes(scene)}) == 8
    assert len(strokes(scene)) == 80
    assert {"time of day [h], Asia/Tokyo, UTC+09:00", "80 contacts, one stroke each; one row per day"} <= set(
        texts(scene)
    )
    assert {"2015-05-08", "2015-05-18", "Source: s.log"} <= set(texts(scene))


def test_a_raster_of_a_day_is_by_the_hour() -> None:
    """Contacts of an afternoon are shown by the minute of each hour."""
    told = texts(beats(100, 120))

    assert {"minute of the hour [min], Asia/Tokyo, UTC+09:00", "2015-05-08 09 h", "60"} <= set(told)


def test_a_raster_of_years_is_cut_and_says_so() -> None:
    """Rows beyond a year are not drawn."""
    scene = beats(800, 86_400)

    assert len(strokes(scene)) == raster.MOST_ROWS
    assert any("the first 366 of 800 rows" in text for text in texts(scene))
    assert scene.height < 1200


@pytest.fixture(scope="module")
def ticking() -> tuple[fx.Case, pd.DataFrame]:
    """A case with beacons, and its beacons."""
    case = fx.read(SAMPLES / "beacons" / "loud", timezone="Asia/Tokyo", progress=False)
    return case, fx.find_beacons(case)


def test_a_beacon_is_drawn_from_its_case(ticking: tuple[fx.Case, pd.DataFrame]) -> None:
    """Every contact of the finding is counted, in SVG that can be parsed and that is the same every time."""
    case, beacons = ticking
    finding = beacons.iloc[0]
    drawing = fx.draw_beacon(case, finding)
    svg = drawing.render("svg")
    rows = case.sql("SELECT DISTINCT src, server, start FROM contacts").to_pandas()
    contacts = ((rows["src"] == finding["src"]) & (rows["server"] == finding["dst"])).sum()

    assert drawing.title == f"{finding['src']} to {finding['dst']}"
    assert f"{contacts:,} contacts, one stroke each" in svg.decode()
    assert ET.fromstring(svg) is not None  # noqa: S314 - our own file
    assert svg == fx.draw_beacon(case, finding.to_dict()).render("svg")


def test_a_finding_without_contacts_has_no_raster(ticking: tuple[fx.Case, pd.DataFrame]) -> None:
    """A server that was never met cannot be drawn."""
    case, beacons = ticking
    with pytest.raises(ValueError, match=r"no contact of 10\.\S+ to 192\.0\.2\.254 is on record"):
        fx.draw_beacon(case, {**beacons.iloc[0], "dst": "192.0.2.254"})
    assert fx.explain(case, {**beacons.iloc[0], "dst": "192.0.2.254"}).chart is None


def test_a_beacon_is_explained_by_its_raster(ticking: tuple[fx.Case, pd.DataFrame]) -> None:
    """The chart of an explained beacon is the raster of its contacts."""
    case, beacons = ticking
    chart = fx.explain(case, beacons.iloc[0]).chart

    assert chart is not None
    assert chart.render("svg") == fx.draw_beacon(case, beacons.iloc[0]).render("svg")


def test_japanese_is_drawn_where_there_is_a_font() -> None:
    """The glyphs of a Japanese name exist in a font that is used, and the PNG has neither boxes nor question marks."""
    if not set(glyphs.fonts_here()) & set(FONTS[2:]):
        pytest.skip("no Japanese font on this machine (apt install fonts-ipaexfont-gothic)")
    scene = Scene(200, 40, "t", [Text(10, 20, "経理部-端末03 ガンダム", 10.0)])

    assert glyphs.drawable("経理部-端末03 ガンダム海運") == "経理部-端末03 ガンダム海運"
    assert canvas._with_note(scene) is scene


def test_without_a_font_it_is_said_instead_of_boxes_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A character that cannot be drawn is a question mark in the PNG, a note says so, and the SVG holds the name."""
    graph = office()
    with_font = fx.draw_heatmap(graph).render("png")
    monkeypatch.setattr(glyphs, "fonts_here", lambda: ("DejaVu Sans",))
    monkeypatch.setattr(canvas, "fonts_here", lambda: ("DejaVu Sans",))
    scene = heatmap.draw_scene(graph)
    noted = canvas._with_note(scene)
    volume: dict[str, Any] = {"title": "海運", "timezone": "UTC", "source": "s"}

    assert glyphs.drawable("海運.example") == "??.example"
    assert texts(noted)[-1] == glyphs.NOTE
    assert noted.height > scene.height
    assert fx.draw_heatmap(graph).render("png") != with_font or len(glyphs.fonts_here()) == 1
    assert "海運.example" in fx.draw_heatmap(graph).render("svg").decode()
    assert fx.draw_volume([T0], [5], **volume).render("png").startswith(KINDS["png"])
    assert glyphs.NOTE not in fx.draw_volume([T0], [5], **volume).render("svg").decode()


def test_a_font_that_was_installed_since_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fonts that are missing from matplotlib's own list, which may be of an earlier day, are added; broken ones not."""
    from matplotlib import font_manager

    real = font_manager.fontManager
    others = [font for font in real.ttflist if "DejaVuSans.ttf" not in font.fname]
    path = next(font.fname for font in real.ttflist if font.fname.endswith("DejaVuSans.ttf"))
    monkeypatch.setattr(real, "ttflist", others)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [path, "/no/such/font.ttf"])
    glyphs.fonts_here.cache_clear()
    try:
        assert "DejaVu Sans" in glyphs.fonts_here()
        assert path in {font.fname for font in real.ttflist}
    finally:
        glyphs.fonts_here.cache_clear()
