"""The console script ``forensics``: every verb is one public function, and nothing more.

Example::

    forensics investigate evidence/ --out report/ --timezone Asia/Tokyo
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import pyarrow as pa
import typer
from rich.console import Console

from forensics import __version__
from forensics.errors import CaseError, ForensicsError
from forensics.escaping import terminal_safe
from forensics.exports import suffix_of, write_graph
from forensics.flow_files import write_flows
from forensics.graphs.geoip import with_country_file
from forensics.investigation import Investigation, investigate
from forensics.opening import open_case, read
from forensics.samples import sample_evidence, sample_folder

if TYPE_CHECKING:
    from forensics.case import Case

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Find unusual transfers, the servers that look like attackers' relays, and the chain of hops, "
    "in captures and logs. Works offline; evidence is only ever read.",
    epilog="Start with: forensics demo",
)

Evidence = Annotated[
    list[str], typer.Argument(help="Captures and logs: files, folders (read with all below) or globs.")
]
Zone = Annotated[
    str | None,
    typer.Option("--timezone", help="IANA zone of times that carry none, and of the report: Asia/Tokyo."),
]
Logformat = Annotated[
    str | None,
    typer.Option(
        "--logformat",
        help="How lines are made up: '<format>: <definition>', several of them one a line; without a format's name a "
        "Squid logformat.",
    ),
]
Year = Annotated[
    int | None,
    typer.Option("--year", help="Year of each log's newest record, where its times carry none: 2015."),
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", help="Encoding of logs, where it cannot be told from them: cp932, euc-jp, utf-16-le."),
]
TrustedProxies = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted-proxy",
        help="Address or network of a proxy whose X-Forwarded-For is believed; may be given again and again.",
    ),
]

TableFile = Annotated[
    Path | None,
    typer.Option(
        "--table", help="TOML file that says which columns of a table are which of ours; all evidence is such tables."
    ),
]

Indicators = Annotated[
    list[Path] | None,
    typer.Option(
        "--indicators",
        help="File of indicators to look for (CSV, text, STIX 2.1, MISP); may be given again and again.",
    ),
]

Asserted = Annotated[
    Path | None,
    typer.Option(
        "--asserted", help="CSV file of edges on the analyst's word: src, dst, reason, and start, end where known."
    ),
]

GeoIP = Annotated[
    list[Path] | None,
    typer.Option(
        "--geoip",
        help="MaxMind-format file (.mmdb) of countries or networks; 'countries' is the one of the extra of that name."
        " May be given again and again.",
        callback=with_country_file,
    ),
]

SAMPLES = (
    ("lab", "UTC", "Sample: a small office, recorded"),
    ("campaign", "Asia/Tokyo", "Sample: a campaign of three weeks, made up"),
)
"""The samples that the demo investigates: folder, zone of the report, title."""


class Told(TypedDict):
    """What the options say about the evidence."""

    timezone: str | None
    year: int | None
    logformat: str | None
    encoding: str | None
    trusted_proxies: Sequence[str]
    table: Path | None


class Table(StrEnum):
    """Forms in which rows are written."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Language(StrEnum):
    """Languages of the report."""

    ENGLISH = "en"
    JAPANESE = "ja"


@app.command("investigate")
def investigate_command(
    evidence: Evidence,
    out: Annotated[Path, typer.Option("--out", help="Folder for the report, the pictures and the tables.")],
    *,
    case: Annotated[
        Path | None,
        typer.Option("--case", help="Keep the case in this folder: a second run reads only what is new."),
    ] = None,
    timezone: Zone = None,
    year: Year = None,
    logformat: Logformat = None,
    encoding: Encoding = None,
    trusted_proxy: TrustedProxies = None,
    table: TableFile = None,
    engine: Annotated[
        str, typer.Option("--engine", help="What reads and queries: duckdb, or Spark by its URL: local[4], spark://...")
    ] = "duckdb",
    indicators: Indicators = None,
    asserted: Asserted = None,
    geoip: GeoIP = None,
    language: Annotated[
        Language, typer.Option("--language", help="Language of the report and the pictures.")
    ] = Language.ENGLISH,
    defang: Annotated[
        bool,
        typer.Option("--defang", help="Write addresses in the report as 203[.]0[.]113[.]7: nobody opens them."),
    ] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="Print the report into report.pdf, too, by Chromium.")] = False,
) -> None:
    """Read evidence, find spikes, beacons and relays, and write the report with the hop graph.

    Writes report.html, hops.png, hops.svg, hops.html, hops.graphml, flows.parquet, spikes.csv, beacons.csv,
    findings.csv, relays.csv and manifest.json into the folder given by --out.

    Example: forensics investigate capture.pcapng gateway/ --out report --timezone Asia/Tokyo
    """
    told = _told(timezone, year, logformat, encoding, proxies=trusted_proxy, table=table)
    opened = _opened(evidence, case, told, engine)
    with opened.keeping():
        found = investigate(opened, indicators=indicators or (), asserted=asserted, geoip=geoip or ())
        _tell(found, out, found.write(out, language=language, defang=defang, pdf=pdf))


@app.command("graph")
def graph_command(
    evidence: Annotated[list[str] | None, typer.Argument(help="Captures and logs; none where --case has all.")] = None,
    *,
    output: Annotated[Path, typer.Option("--output", help="The file to write; the end of its name chooses the kind.")],
    case: Annotated[Path | None, typer.Option("--case", help="A kept case; evidence is added to it.")] = None,
    timezone: Zone = None,
    year: Year = None,
    logformat: Logformat = None,
    encoding: Encoding = None,
    trusted_proxy: TrustedProxies = None,
    table: TableFile = None,
    indicators: Indicators = None,
    asserted: Asserted = None,
    geoip: GeoIP = None,
) -> None:
    """Write the hop graph for other programs.

    The name ends with .graphml, .gexf, .cyjs, .dot, .json, .csv, .stix.json or .case.jsonld.

    Example: forensics graph gateway/ --output hops.stix.json --timezone Asia/Tokyo
    """
    try:
        suffix_of(output)  # before the work, not behind it
    except ValueError as error:
        raise CaseError(str(error)) from error
    if not evidence and not (case and case.is_dir()):
        raise CaseError("nothing to read: name evidence, or a kept case with --case")
    told = _told(timezone, year, logformat, encoding, proxies=trusted_proxy, table=table)
    opened = _opened(evidence or [], case, told)
    found = investigate(opened, indicators=indicators or (), asserted=asserted, geoip=geoip or ())
    for path in write_graph(found.graph, output):
        _say(f"Written: {path}")


@app.command("flows")
def flows_command(
    evidence: Evidence,
    *,
    form: Annotated[Table, typer.Option("--format", help="Form of the rows.")] = Table.CSV,
    output: Annotated[Path | None, typer.Option("--output", help="File to write; standard output otherwise.")] = None,
    community_id: Annotated[
        bool, typer.Option("--community-id", help="Add the column community_id, which other tools have too.")
    ] = False,
    timezone: Zone = None,
    year: Year = None,
    logformat: Logformat = None,
    encoding: Encoding = None,
    trusted_proxy: TrustedProxies = None,
    table: TableFile = None,
) -> None:
    """Write one row per flow, with the columns of the schema as header.

    Example: forensics flows capture.pcapng --format jsonl | head
    """
    if form is Table.PARQUET and output is None:
        raise CaseError("Parquet is no text: name a file with --output")
    _spare_pandas()
    opened = read(*evidence, **_told(timezone, year, logformat, encoding, proxies=trusted_proxy, table=table))
    if output is None:
        write_flows(opened, sys.stdout.buffer, form.value, community=community_id)
    else:
        with output.open("wb") as file:
            write_flows(opened, file, form.value, community=community_id)


class _NoPandas:
    """Has an import of pandas fail."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Find nothing, and have nobody else find pandas."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _spare_pandas() -> None:
    """Have Arrow begin without pandas, which takes longer to import than a small capture to read.

    Arrow looks for pandas when it converts its first value, even one that has nothing to do with a data frame. Where it
    finds none it looks again once it is asked for a data frame, so that nothing is lost.
    """
    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.scalar(0)
    finally:
        sys.meta_path.remove(_NoPandas)


@app.command("cut")
def cut_command(
    evidence: Evidence,
    where: Annotated[str, typer.Option("--where", help="Condition on the columns of flows, in SQL.")],
    output: Annotated[Path, typer.Option("--output", help="The pcapng file to write.")],
    *,
    timezone: Zone = "UTC",
    year: Year = None,
    logformat: Logformat = None,
    encoding: Encoding = None,
    trusted_proxy: TrustedProxies = None,
    table: TableFile = None,
) -> None:
    """Write the packets of some flows into a capture that says where each of them comes from.

    Example: forensics cut uplink.pcap.gz --where "dst = '203.0.113.7'" --output cut.pcapng
    """
    opened = read(*evidence, **_told(timezone, year, logformat, encoding, proxies=trusted_proxy, table=table))
    _say(f"Packets written: {opened.export_packets(where, output):,}")


def _told(
    timezone: str | None,
    year: int | None,
    logformat: str | None,
    encoding: str | None,
    *,
    proxies: list[str] | None,
    table: Path | None,
) -> Told:
    """Return the options as the library's functions take them."""
    return Told(
        timezone=timezone,
        year=year,
        logformat=logformat,
        encoding=encoding,
        trusted_proxies=tuple(proxies or ()),
        table=table,
    )


def _opened(evidence: Sequence[str], case: Path | None, told: Told, engine: str = "duckdb") -> Case:
    """Return what was read: in memory, or in a kept case, to which evidence is added."""
    if case is None:
        return read(*evidence, **told, engine=engine)
    kept = open_case(case, timezone=told["timezone"], engine=engine)
    return kept.add(*evidence, **told) if evidence else kept


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option("--out", help="Folder for what the demo writes.")] = Path("forensics-demo"),
) -> None:
    """Investigate the samples that come with the library, and say where to look.

    The lab is twenty minutes of a small office, recorded from real programs; the campaign is three weeks of a larger
    one, made up after the breach of the Japan Pension Service of 2015.

    Example: forensics demo --out what-it-finds
    """
    # The samples are so small that compiling the packet loops takes longer than reading them as plain Python.
    os.environ.setdefault("FORENSICS_JIT", "0")
    samples = sample_folder()
    for name, zone, title in SAMPLES:
        _say(f"Investigating the sample {name!r} ...")
        found = investigate(read(*sample_evidence(samples / name), timezone=zone, title=title))
        _tell(found, out / name, found.write(out / name))


def _tell(found: Investigation, out: Path, report: Path) -> None:
    """Say in a few lines what was found and where the report is."""
    for sentence in found.sentences():
        _say(sentence)
    _say("")
    _say(f"Report:   {report}")
    _say(f"Pictures: {out / 'hops.png'} (.svg, .html to click on)")
    _say(f"Tables:   {out / 'relays.csv'}, spikes.csv, beacons.csv, findings.csv, flows.parquet")
    _say("")


def _say(line: str, *, stderr: bool = False) -> None:
    """Print one line of which nothing acts on the terminal, neither by control characters nor as Rich's markup."""
    Console(stderr=stderr).print(terminal_safe(line), markup=False, highlight=False, emoji=False, soft_wrap=True)


class _Visible(logging.Formatter):
    """Log records of which nothing acts on the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(terminal_safe, super().format(record).split("\n")))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"forensics {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Set up what all verbs share."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Visible())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def main() -> None:
    """Run the console script; errors that are not bugs end it with one message and exit code 2."""
    try:
        app()
    except (ForensicsError, OSError) as error:  # an OSError here is a folder or file that cannot be written
        for line in f"forensics: {error}".split("\n"):
            _say(line, stderr=True)
        sys.exit(2)
