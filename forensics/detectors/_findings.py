"""What all detectors share: the frame of findings, the evidence behind each, coverage, and figures in words."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa

from forensics.evidence import cite, cite_each
from forensics.schema import FINDINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime, tzinfo

    import pandas as pd

    from forensics.case import Case

__all__ = [
    "Coverage",
    "all_findings",
    "findings_frame",
    "period_text",
    "records_of",
    "server_text",
    "size_text",
    "time_text",
    "with_evidence",
    "without_uploads",
]

SAID = 5
"""Files that are named; the rest is counted."""

KEYS = pa.schema(
    [
        ("finding", pa.int64()),
        ("src", pa.string()),
        ("server", pa.string()),
        ("start", pa.timestamp("us", "UTC")),
        ("end", pa.timestamp("us", "UTC")),
    ]
)

SPANS = 8
"""Spans of time that evidence is asked for in, at most: what lies between them is not read."""

HOUR = 3_600_000_000
"""A shorter time between two findings is read with them. [us]"""

BEHIND = """
SELECT f.finding AS finding, c.source AS source, c.record AS record
FROM found f
JOIN contacts c ON c.src = f.src AND c.server = f.server AND c.start < f."end" AND c."end" >= f.start
WHERE c.start < timestamp_micros({until}) AND c."end" >= timestamp_micros({since})
"""

BEHIND_ALL = """
SELECT f.finding AS finding, c.source AS source, c.record AS record
FROM found f
JOIN contacts c ON c.src = f.src AND c.start < f."end" AND c."end" >= f.start
WHERE c.start < timestamp_micros({until}) AND c."end" >= timestamp_micros({since})
"""
"""The same with any server."""

CITED = pa.schema([("finding", pa.int64()), ("source", pa.string()), ("record", pa.int64())])


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a detector could test, and what it could not.

    Parameters
    ----------
    detector
        Its name.
    tested, not_tested
        Windows, pairs or whatever it tests, as ``unit`` says.
    why
        Why some could not be tested; empty where all were.
    unit
        What is counted.
    refused
        Rows of ``flows`` that it cannot use, since their source does not record what it needs.
    sources
        The files that they are in, with the format and number of each; the first few of them.
    """

    detector: str
    tested: int
    not_tested: int
    why: str
    unit: str = "windows"
    refused: int = 0
    sources: str = ""


def without_uploads(case: Case) -> tuple[int, int, str]:
    """Return how many flows do not record what was sent, in how many files, and which those are.

    Returns
    -------
    tuple
        Flows whose ``bytes_out`` is null, the files they are in, and the first `SAID` of those in words, most flows
        first.
    """
    rows = case.sql(
        "SELECT source, format, flows - observed_out AS refused FROM sources WHERE flows > observed_out "
        "ORDER BY refused DESC NULLS LAST, source NULLS LAST"
    ).to_arrow().to_pylist()  # fmt: skip
    told = [f"{row['source']}: {row['format']}, {row['refused']:,}" for row in rows[:SAID]]
    told += [f"{len(rows) - SAID:,} more"] if len(rows) > SAID else []
    return sum(row["refused"] for row in rows), len(rows), "; ".join(told)


def findings_frame(case: Case, findings: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Return findings as a data frame, each with the rows of the evidence that it stands on.

    Parameters
    ----------
    case
        The case they were found in.
    findings
        The columns of ``FINDINGS`` but ``source`` and ``record``; the evidence is every contact of the finding's
        ``src`` (and of ``seen_as``, the gateway that spoke for it, where there is one) and ``dst`` between its
        ``start`` and ``end``, with any server where ``dst`` is None, unless ``evidence`` says which sources and records
        it is.
    """
    keys = [
        {"finding": number, "src": src, "server": f["dst"], "start": f["start"], "end": f["end"]}
        for number, f in enumerate(findings)
        for src in (f["src"], f.get("seen_as"))
        if src is not None and "evidence" not in f
    ]
    behind = [CITED.empty_table()]
    for query, some in ((BEHIND, True), (BEHIND_ALL, False)):
        found = pa.Table.from_pylist([key for key in keys if (key["server"] is not None) == some], KEYS)
        behind += _behind(case, query, found)
    contacts = cite_each(pa.concat_tables(behind), len(findings))
    cited = [
        {name: value for name, value in finding.items() if name not in ("seen_as", "evidence")}
        | dict(zip(("source", "record"), _cited(finding, met), strict=True))
        for finding, met in zip(findings, contacts, strict=True)
    ]
    table = pa.Table.from_pylist(cited, FINDINGS.schema).sort_by([(name, "ascending") for name in FINDINGS.order])
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _behind(case: Case, query: str, found: pa.Table) -> Iterator[pa.Table]:
    """Yield the contacts behind findings, of one span of time after the other."""
    found = found.sort_by("start")
    since, until = (found[name].cast(pa.int64()).to_numpy() for name in ("start", "end"))
    until = np.maximum.accumulate(until)
    between = since[1:] - until[:-1]
    widest = np.argsort(-between, kind="stable")[: SPANS - 1]
    cuts = np.sort(widest[between[widest] >= HOUR]) + 1
    for first, after in pairwise(np.unique([0, *cuts, len(found)]).tolist()):
        # Times that are written out are compared with those of whole pieces of a file; joined ones are not.
        text = query.format(since=since[first], until=until[after - 1])
        yield case.sql(text, found=found.slice(first, after - first)).to_arrow().cast(CITED)


def _cited(finding: dict[str, object], contacts: tuple[str, str]) -> tuple[str, str]:
    """Return the evidence of a finding: its own, else its contacts."""
    return cite(cast("list[tuple[str, int]]", finding["evidence"])) if "evidence" in finding else contacts


def all_findings(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the findings of several detectors as one frame, in their order."""
    tables = [pa.Table.from_pandas(frame, FINDINGS.schema, preserve_index=False) for frame in frames]
    table = pa.concat_tables([FINDINGS.schema.empty_table(), *tables])
    whole: pd.DataFrame = table.sort_by([(name, "ascending") for name in FINDINGS.order]).to_pandas()
    return whole


def records_of(case: Case, query: str, found: pa.Table, **tables: pa.Table) -> list[list[tuple[str, int]]]:
    """Return the rows that findings stand on, as ``evidence`` of `findings_frame` takes them.

    Parameters
    ----------
    case
        The case.
    query
        Returns ``finding``, ``source`` and ``record``.
    found
        The findings, as the query wants them, under the name ``found``; ``finding`` counts them from 0. Without any
        nothing is asked.
    **tables
        Other tables that the query wants.
    """
    behind: list[list[tuple[str, int]]] = [[] for _ in range(found.num_rows)]
    if behind:
        rows = case.sql(query, found=found, **tables).to_arrow().to_pydict()
        for number, source, record in zip(rows["finding"], rows["source"], rows["record"], strict=True):
            behind[number].append((source, record))
    return behind


def with_evidence(
    found: Iterable[dict[str, object]], behind: Iterable[list[tuple[str, int]]]
) -> list[dict[str, object]]:
    """Return findings with the rows that `records_of` found behind each, in the same order."""
    return [finding | {"evidence": rows} for finding, rows in zip(found, behind, strict=True)]


def server_text(server: str, name: str | None) -> str:
    """Return a server in words, with its name where it has another than its address.

    Examples
    --------
    >>> server_text("198.51.100.7", "www.example"), server_text("www.example", "www.example")
    ('198.51.100.7 (www.example)', 'www.example')
    """
    return f"{server} ({name})" if name and name != server else server


def size_text(count: float) -> str:
    """Return a number of bytes in words.

    Examples
    --------
    >>> size_text(6_240_000), size_text(512)
    ('6.24 MB', '512 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:  # noqa: PLR2004  # decimal units; from here on three digits would read 1e+03
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.4g} TB"


def period_text(seconds: float) -> str:
    """Return a period in words, with three digits.

    Examples
    --------
    >>> period_text(53.42), period_text(1799.6)
    ('53.4 s', '1,800 s')
    """
    return f"{float(f'{seconds:.3g}'):,g} s"


def time_text(time: datetime, zone: tzinfo) -> str:
    """Return a time in the case's zone: ``2015-05-21 13:05 JST``."""
    return f"{time.astimezone(zone):%Y-%m-%d %H:%M %Z}"
