"""The whole job: from a case to its findings, graph, pictures, tables and report.

Example::

    investigate(case).write("report/")
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensics._version import __version__
from forensics.adding import headline
from forensics.charting import beacon_rasters, volume_charts
from forensics.clocks import find_clocks
from forensics.detectors import all_detectors
from forensics.detectors._findings import Coverage, all_findings, size_text
from forensics.detectors._remembered import remembering
from forensics.drawing import draw_hops
from forensics.flow_files import write_flows
from forensics.hops import build_hop_graph
from forensics.relays import RELAY_COLUMNS, judged, rank_relays
from forensics.report import ReportData, save_pdf, save_report, write_csv
from forensics.report.sentences import clocks_told, pivot_told, statement_of, summary_of
from forensics.report.tables import plain
from forensics.reproducing import Given, ReportForm, again, settings_hash, settings_of
from forensics.roles import Roles, find_roles
from forensics.schema import FINDING_COLUMNS
from forensics.words import ENGLISH, words_of

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Sequence

    import networkx as nx
    import pandas as pd

    from forensics.case import Case
    from forensics.clocks import Clocks
    from forensics.words import Words

__all__ = ["Investigation", "investigate", "write_report"]

WRITTEN = (
    "beacons.csv",
    "findings.csv",
    "flows.parquet",
    "hops.graphml",
    "hops.html",
    "hops.png",
    "hops.svg",
    "relays.csv",
    "report.html",
    "spikes.csv",
)
"""Files of an investigation, beside the manifest that lists them."""

SAID = 5
"""Of unread files, of differences and of pivots the summary names so many; the report and the graph have all."""


@dataclass(frozen=True)
class Investigation:
    """A case and everything that was found in it. Made by `investigate`."""

    case: Case
    spikes: pd.DataFrame
    beacons: pd.DataFrame
    others: pd.DataFrame
    relays: pd.DataFrame
    graph: nx.MultiDiGraph[str]
    coverage: tuple[Coverage, ...]
    given: Given

    def sentences(self, words: Words = ENGLISH) -> list[str]:
        """Return the findings in plain words, the most important first.

        Parameters
        ----------
        words
            The language.

        Returns
        -------
        list of str
            Sentences. They hold text of the evidence as it is; escape them for where they are shown.
        """
        largest = self.spikes.sort_values("value", ascending=False, kind="stable").head(3)
        zone = str(self.case.timezone)
        text = summary_of(self.graph, _rows(largest), _rows(judged(self.relays).head(3)), zone, words)
        text += [pivot_told(pivot, words) for pivot in self.graph.graph["pivots"][:SAID]]
        text += [words.told(difference) for difference in _differences(self.graph)[:SAID]]
        unread = [row for row in _sources(self.case) if row["error"]]
        told = "Not read, or not to its end: {source} ({why})."
        text += [words(told, source=row["source"], why=headline(row["error"])) for row in unread[:SAID]]
        more = len(unread) - SAID
        text += [words("{more:,} more files were not read, or not to their end.", more=more)] if more > 0 else []
        return text

    def write(
        self, folder: str | os.PathLike[str], *, language: str = "en", defang: bool = False, pdf: bool = False
    ) -> Path:
        """Write report, pictures and tables into a folder.

        Parameters
        ----------
        folder
            Where to write; made where it does not exist. Other files in it stay as they are.
        language
            Language of the report and of the pictures: ``en`` or ``ja``.
        defang
            Whether the report writes addresses and names so that nobody opens them by mistake (``203[.]0[.]113[.]7``).
            Pictures and tables beside it have them as they are.
        pdf
            Whether Chromium prints the report into ``report.pdf``, too.

        Returns
        -------
        pathlib.Path
            The report.

        Raises
        ------
        ValueError
            There is no report in that language.
        MissingToolError
            ``pdf`` is asked for, and no Chromium is installed.
        ReportError
            Chromium did not print the report.
        """
        words, out = words_of(language), Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        drawing = draw_hops(self.graph, language=language)
        for kind in ("png", "svg", "html", "graphml"):
            drawing.save(out / f"hops.{kind}")
        with (out / "flows.parquet").open("wb") as file:
            write_flows(self.case, file, "parquet")
        write_csv(out / "spikes.csv", FINDING_COLUMNS, _rows(self.spikes))
        write_csv(out / "beacons.csv", FINDING_COLUMNS, _rows(self.beacons))
        write_csv(out / "findings.csv", FINDING_COLUMNS, _rows(self.others))
        write_csv(out / "relays.csv", RELAY_COLUMNS, _rows(self.relays))
        data = self._report(words, ReportForm(language, defang=defang, pdf=pdf))
        report = save_report(data, out / "report.html", words=words, defang=defang)
        printed = [save_pdf(report, out / "report.pdf").name] if pdf else []
        _write_manifest(self, data, out, [*WRITTEN, *printed])
        return report

    def _report(self, words: Words, form: ReportForm) -> ReportData:
        settings = settings_of(self.case, self.given)
        clocks = find_clocks(self.case)
        return ReportData(
            title=self.case.title,
            timezone=str(self.case.timezone),
            made_by=f"forensics {__version__}",
            statement=statement_of(self.graph, words),
            summary=self.sentences(words),
            graph=self.graph,
            spikes=_rows(self.spikes),
            beacons=_rows(self.beacons),
            others=_rows(self.others),
            relays=_rows(self.relays),
            charts=volume_charts(self.case, self.spikes, self.relays, words),
            rasters=beacon_rasters(self.case, self.beacons, words),
            sources=[row | {"clock_offset": clocks.main_offset(row["source"])} for row in _sources(self.case)],
            coverage=[asdict(one) for one in self.coverage],
            assumptions=[
                *_assumptions(self.case, find_roles(self.case), clocks, words),
                *_from_others(self.graph, words),
            ],
            settings=settings,
            settings_hash=settings_hash(settings),
            reproduce=again(settings, form),
        )


def investigate(
    case: Case,
    *,
    indicators: Sequence[str | os.PathLike[str]] = (),
    asserted: str | os.PathLike[str] | None = None,
    geoip: Sequence[str | os.PathLike[str]] = (),
) -> Investigation:
    """Run every detector on a case, rank the relays and build the hop graph.

    Parameters
    ----------
    case
        The case.
    indicators
        Files of indicators to look for: CSV, text, STIX 2.1 or MISP.
    asserted
        CSV file of edges on the analyst's word, for `forensics.build_hop_graph`.
    geoip
        Files in MaxMind's format with countries or networks of addresses, for the same.

    Returns
    -------
    Investigation
        All that was found, ready to be written.

    Raises
    ------
    EvidenceError
        A file of indicators, of assertions or of countries cannot be read.
    MissingToolError
        A file of countries was given, and the package that reads it is not installed.
    """
    given = Given(tuple(indicators), asserted, tuple(geoip))
    with case.keeping():
        found, coverage = find_all(case, indicators=indicators)
        spikes, ticking = found.pop("volume_spikes"), found.pop("beacons")
        relays = rank_relays(case, spikes=spikes, found_beacons=ticking, findings=found)
        known: dict[str, Any] = {"spikes": spikes, "found_beacons": ticking, "relays": relays, "findings": found}
        graph = build_hop_graph(case, **known, asserted=asserted, geoip=geoip)
    return Investigation(case, spikes, ticking, all_findings(found.values()), relays, graph, tuple(coverage), given)


def find_all(
    case: Case, *, indicators: Sequence[str | os.PathLike[str]] = (), only: Collection[str] | None = None
) -> tuple[dict[str, pd.DataFrame], list[Coverage]]:
    """Return the findings of every detector by its name, and what each could test; what both need is worked out once.

    Parameters
    ----------
    case
        The case.
    indicators
        As `investigate`.
    only
        Names of the detectors to run; all of them without.
    """
    options: dict[str, dict[str, Any]] = {"indicators": {"lists": indicators}}
    found, coverage = {}, []
    wanted = {name: detector for name, detector in all_detectors().items() if only is None or name in only}
    with case.keeping():
        for name, detector in wanted.items():
            with remembering(case):
                found[name] = detector.detect(case, **options.get(name, {}))
                coverage.append(detector.coverage(case, **options.get(name, {})))
    return found, coverage


def write_report(
    case: Case,
    folder: str | os.PathLike[str],
    *,
    indicators: Sequence[str | os.PathLike[str]] = (),
    asserted: str | os.PathLike[str] | None = None,
    geoip: Sequence[str | os.PathLike[str]] = (),
    language: str = "en",
    defang: bool = False,
    pdf: bool = False,
) -> Path:
    """Investigate a case and write the report, the pictures and the tables.

    Parameters
    ----------
    case
        The case.
    folder
        Where to write; made where it does not exist.
    indicators
        Files of indicators to look for: CSV, text, STIX 2.1 or MISP.
    asserted
        CSV file of edges on the analyst's word, as for `forensics.build_hop_graph`.
    geoip
        Files in MaxMind's format with countries or networks of addresses, as for the same.
    language
        Language of the report and of the pictures: ``en`` or ``ja``.
    defang
        Whether the report writes addresses and names so that nobody opens them by mistake (``203[.]0[.]113[.]7``).
    pdf
        Whether Chromium prints the report into ``report.pdf``, too.

    Returns
    -------
    pathlib.Path
        The report. Beside it lie ``hops.png``, ``.svg``, ``.html``, ``.graphml``, ``flows.parquet``, ``spikes.csv``,
        ``beacons.csv``, ``findings.csv``, ``relays.csv`` and ``manifest.json``. The same case gives the same bytes.

    Raises
    ------
    EvidenceError
        A file of indicators, of assertions or of countries cannot be read.
    ValueError
        There is no report in that language.
    MissingToolError
        ``pdf`` is asked for, and no Chromium is installed; a file of countries was given, and the package that reads it
        is not installed.
    ReportError
        Chromium did not print the report.
    """
    words_of(language)  # before the work, not behind it
    with case.keeping():
        found = investigate(case, indicators=indicators, asserted=asserted, geoip=geoip)
        return found.write(folder, language=language, defang=defang, pdf=pdf)


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def _differences(graph: nx.MultiDiGraph[str]) -> list[str]:
    """Return where sensors differ in what they counted of two hosts."""
    return [
        f"{src} and {dst}: {difference}."
        for src, dst, edge in graph.edges(data=True)
        for difference in edge.get("differences", ())
    ]


def _sources(case: Case) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = case.sources.to_arrow().to_pylist()
    return rows


def _assumptions(case: Case, roles: Roles, clocks: Clocks, words: Words) -> list[str]:
    """Return in sentences what was taken for granted."""
    rows = _sources(case)
    text = [words("Times in this report are told in {zone}.", zone=case.timezone)]
    told = "{source}: its times carry no zone; {zone} was assumed."
    text += [words(told, source=row["source"], zone=row["timezone"]) for row in rows if row["timezone"]]
    told = "Addresses taken for terminals of the office: {count:,}; they are clients of proxies, and private ones."
    text.append(words(told, count=len(roles.terminals)))
    if networks := roles.networks():
        told = "Private addresses of {networks} were taken for the office's own, others for outside."
        text.append(words(told, networks=", ".join(networks)))
    for via, address in sorted(roles.proxies.items()):
        known = "" if via == address else words(", which captured connections show to be {address},", address=address)
        told = "Requests through the proxy {proxy}{known} were counted as their client's with the server asked for."
        text.append(words(told, proxy=via, known=known))
    told = "{address} was taken for a gateway that speaks for several terminals."
    text += [words(told, address=address) for address in sorted(roles.gateways)]
    told = "Thresholds stand in the settings. Of a detector's findings with q-values, the share max_q may be false."
    text.append(words(told))
    read = {row["source"] for row in rows if row["format"]}
    text += clocks_told([row for row in clocks.rows() if row["source"] in read], words)
    return text


def _from_others(graph: nx.MultiDiGraph[str], words: Words) -> list[str]:
    """Return in sentences what the graph has from elsewhere than the evidence."""
    told = "Countries and networks of addresses are those of {file} ({type}, SHA-256 {sha256}), made on {day}."
    text = [words(told, day=f"{entry['built']:%Y-%m-%d}", **entry) for entry in graph.graph["geoip"]]
    if any(entry["type"].startswith("GeoLite2") for entry in graph.graph["geoip"]):  # its licence asks for this
        text.append(
            words("These files include GeoLite2 data created by MaxMind, available from https://www.maxmind.com.")
        )
    said = [data["evidence"] for _, _, data in graph.edges(data=True) if data["tier"] == "asserted"]
    files = sorted({(entry["source"], entry["sha256"]) for evidence in said for entry in evidence})
    told = "Edges of the graph that stand on the analyst's word alone, those of {file} (SHA-256 {sha256}): {count}."
    return text + [words(told, file=name, sha256=sha256, count=len(said)) for name, sha256 in files]


def _write_manifest(found: Investigation, report: ReportData, out: Path, written: Sequence[str]) -> None:
    """Write what was read, what was found and what was written, with the SHA-256 of each file."""
    sources = [
        {key: row[key] for key in ("source", "sha256", "size", "format", "records", "rejected", "error")}
        for row in _sources(found.case)
    ]
    manifest = {
        "made_by": f"forensics {__version__}",
        "title": found.case.title,
        "settings": report.settings,
        "settings_sha256": report.settings_hash,
        "evidence": sources,
        "findings": {
            "spikes": len(found.spikes),
            "beacons": len(found.beacons),
            "others": len(found.others),
            "relays": len(judged(found.relays)),
        },
        "evidence_bytes": size_text(float(sum(row["size"] for row in sources))),
        "files": {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in sorted(written)},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", "utf-8")
