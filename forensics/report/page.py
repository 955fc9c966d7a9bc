"""The report's page: what stands in it and in which order is in ``report.html.j2``, what it says is made here.

Example: ``render_report(data)`` is the page as text.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensics.detectors import all_detectors
from forensics.drawing import draw_heatmap, draw_hops, draw_timeline
from forensics.drawing.style import format_bytes, format_p, format_time, zone_name
from forensics.escaping import CONTENT_POLICY, html_template
from forensics.reading.gaps import gaps_of
from forensics.relays.weights import load_weights
from forensics.report.defanging import defanged_report
from forensics.report.sentences import WEIGHT
from forensics.report.tables import plain
from forensics.words import ENGLISH

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from forensics.report.data import ReportData, Rows
    from forensics.words import Words

__all__ = ["render_report", "save_report"]

_MOST = 200
"""Rows of a table in the report; the CSV files hold all of them, and the report says so."""

_FIRST_REASONS = 5
"""Reasons of a relay that are seen at once; the others are folded, and printed."""

_MOST_OTHERS = 25
"""Findings of each of the other detectors in the report."""

Row = dict[str, Any]


def save_report(data: ReportData, path: str | PathLike[str], *, words: Words = ENGLISH, defang: bool = False) -> Path:
    """Write the report.

    Parameters
    ----------
    data
        What stands in it.
    path
        The file, such as ``report.html``.
    words
        The language it is written in.
    defang
        Whether addresses and names are written so that nobody opens them by mistake.

    Returns
    -------
    pathlib.Path
        The file that was written.
    """
    target = Path(path)
    target.write_bytes(render_report(data, words=words, defang=defang).encode())
    return target


def render_report(data: ReportData, *, words: Words = ENGLISH, defang: bool = False) -> str:
    """The report as one HTML page that needs no other file and no network.

    Parameters
    ----------
    data
        What stands in it. Its sentences are in the language already.
    words
        The language it is written in.
    defang
        Whether addresses and names are written so that nobody opens them by mistake.

    Returns
    -------
    str
        The page; the same data give the same text.
    """
    from markupsafe import Markup

    data = defanged_report(data) if defang else data
    source = (files("forensics.report") / "report.html.j2").read_text("utf-8")
    facts = data.graph.graph
    relays, spikes, beacons = (_rows(rows) for rows in (data.relays, data.spikes, data.beacons))
    sources = [_source(row) for row in _rows(data.sources)]
    graph = draw_hops(data.graph, language=words.language).render("svg").decode()
    width, height = map(float, graph.split('viewBox="0 0 ', 1)[1].split('"', 1)[0].split())
    return html_template(source, words("not observed")).render(
        data=data,
        say=words,
        tell=words.told,
        weightiest=_weightiest,
        titles={name: detector.TITLE for name, detector in all_detectors().items()},
        number=words.number,
        language=words.language,
        defanged=defang,
        policy=CONTENT_POLICY,
        range=_range(facts.get("start"), facts.get("end"), data.timezone, words),
        shape="tall" if height > width else "broad",
        graph=Markup(graph),  # noqa: S704 - ours, every text in it escaped
        chains=_rows(facts.get("chains") or ()),
        relays=relays,
        judged=_judged(relays),
        wrong={verdict: f"{share:.0%}" for verdict, share in load_weights().errors.items()},
        spikes=_strongest([_finding(row) for row in spikes]),
        beacons=_strongest([_finding(row) for row in beacons]),
        others=_by_detector([_finding(row) for row in _rows(data.others)]),
        events=_events(_judged(relays), spikes, beacons),
        sources=sources,
        gaps=_gaps(sources),
        place={row["source"]: number for number, row in enumerate(sources, 1)},
        **_pictures(data, words),
        settings=[(name, json.dumps(data.settings[name], default=str)) for name in sorted(data.settings)],
        coverage=_rows(data.coverage),
        **_cells(data.timezone, words),
    )


def _cells(zone: str, words: Words) -> dict[str, Callable[[Any], Any]]:
    """What the template writes values with, by its names there."""
    nothing = words("not observed")
    return {
        "words": lambda value: ", ".join(map(str, _items(value))) or words("none observed"),
        "bytes": lambda count: nothing if count is None else format_bytes(count),
        "time": lambda moment: nothing if moment is None else format_time(moment, zone),
        "p": lambda value: None if value is None else format_p(value).removeprefix("p = "),
    }


def _range(start: datetime | None, end: datetime | None, zone: str, words: Words) -> str:
    """The time range with its zone, to the minute."""
    if start is None or end is None:
        return words("not observed")
    first, last = (format_time(moment, zone)[:-3] for moment in (start, end))
    return words("{first} to {last} ({zone})", first=first, last=last, zone=zone_name(zone, start))


def _pictures(data: ReportData, words: Words) -> dict[str, Any]:
    """Charts, rasters, heat map and timeline, as images, by their names in the template."""
    import pandas as pd

    spikes, beacons = (pd.DataFrame([dict(r) for r in rows], dtype=object) for rows in (data.spikes, data.beacons))
    timeline = draw_timeline(data.graph, spikes=spikes, beacons=beacons, language=words.language)
    return {
        "charts": [(caption, _image(picture)) for caption, picture in data.charts],
        "rasters": [(caption, _image(picture)) for caption, picture in data.rasters],
        "heatmap": _image(draw_heatmap(data.graph, language=words.language).render("svg").decode()),
        "timeline": _image(timeline.render("svg").decode()),
    }


def _rows(rows: Rows) -> list[Row]:
    """The rows with None for every missing value."""
    return [{key: plain(value) for key, value in row.items()} for row in rows]


def _items(value: object) -> list[object]:
    """A list as a list, also where a table holds it as text with ``; `` between; a number as a list of one."""
    if isinstance(value, str):
        return list(value.split("; "))
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _weightiest(reasons: object) -> tuple[list[str], list[str]]:
    """The reasons that weigh most, for or against, and the others; both in the order of their weight."""
    told = [str(reason) for reason in _items(reasons)]
    weights = {reason: abs(float(found[1])) for reason in told if (found := WEIGHT.search(reason))}
    told.sort(key=lambda reason: -weights.get(reason, 0.0))
    return told[:_FIRST_REASONS], told[_FIRST_REASONS:]


def _strongest(rows: list[Row], most: int = _MOST) -> list[Row]:
    """The strongest findings, as many as a reader can take in, in order of time."""
    chosen = sorted(rows, key=lambda row: -(row["score"] or 0))[:most]
    return sorted(chosen, key=lambda row: (row["start"], row["src"] or "", row["dst"] or ""))


def _by_detector(rows: list[Row]) -> list[tuple[str, str, str, list[Row], list[Row]]]:
    """The other findings: of each detector what it finds, what its values are, all of them, the strongest."""
    names = sorted({row["detector"] for row in rows})
    found = [(all_detectors()[name], [row for row in rows if row["detector"] == name]) for name in names]
    return [(one.TITLE, one.VALUE, one.SCORE, mine, _strongest(mine, _MOST_OTHERS)) for one, mine in found]


def _finding(row: Row) -> Row:
    """A finding with its evidence as pairs of file and records."""
    sources, records = (str(row.get(key) or "").split("; ") for key in ("source", "record"))
    if len(sources) == len(records):
        pairs = list(zip(sources, records, strict=True))
    else:  # a file's name holds the separator: show both as they stand
        pairs = [(row["source"], row["record"])]
    return row | {"evidence": pairs}


def _source(row: Row) -> Row:
    """An evidence file with its notes as pairs; ``notes`` is JSON."""
    notes = row.get("notes")
    try:
        read = json.loads(notes) if notes else {}
    except ValueError:
        read = {"notes": notes}
    pairs = sorted(read.items()) if isinstance(read, dict) else [("notes", read)]
    return row | {"notes": [(key, "; ".join(map(_text, _items(value)))) for key, value in pairs]}


def _gaps(sources: list[Row]) -> list[Row]:
    """The gaps of all evidence files in order of time, those of unknown times first."""
    gaps = [{"source": row["source"]} | gap for row in sources for gap in gaps_of(row.get("gaps"))]
    first = datetime.min.replace(tzinfo=UTC)
    return sorted(gaps, key=lambda gap: (gap["start"] or first, str(gap["source"]), str(gap["kind"])))


def _text(value: object) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _judged(relays: list[Row]) -> list[Row]:
    """The candidates that have a verdict; the others only come next in order."""
    return [row for row in relays if row.get("verdict") != ""]


def _events(relays: list[Row], spikes: list[Row], beacons: list[Row]) -> list[tuple[Any, str, str]]:
    """When, what and who, in order of time: the course of the intrusion as far as it is on record."""
    arrow = " \N{RIGHTWARDS ARROW} "
    events = [(r["first_seen"], "first contact with relay", r["dst"]) for r in relays]
    events += [(r["last_seen"], "last contact with relay", r["dst"]) for r in relays]
    for what, rows in (("spike begins", spikes), ("regular contact begins", beacons)):
        events += [(r["start"], what, arrow.join(x for x in (r["src"], r["dst"]) if x)) for r in _strongest(rows)]
    return sorted((e for e in events if e[0] is not None), key=lambda e: (e[0], e[1], e[2]))


def _image(picture: str | bytes) -> str:
    """A picture as a data address: what an image holds can run nothing."""
    kind, content = ("svg+xml", picture.encode()) if isinstance(picture, str) else ("png", picture)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
