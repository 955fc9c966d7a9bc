r"""Emdivi, the remote control of the campaigns of 2014 and 2015 against Japan, by the published marks of its protocol.

A sample tells its server about its terminal in fields ``name=value``, parted by ``;`` where there is one, else by
``&``; the value is written as in URLs. With :math:`n_1, ..., n_k` the characters of a field's name, each byte
:math:`v` of its value is

.. math:: p = v \oplus n_1 \oplus n_2 \oplus \ldots \oplus n_k

in the clear [1]_. Fields stand in the body of a request, else in its ``Cookie`` header [2]_, or in the query of its
URL. A mark is a field that reads like ``?VER: t20.09... | NT: ... | MEM: 128M | GMT(-6)``: with the zone, or ``GMT``
beside one of those labels. (``GMT`` alone, as in [2]_, is there by chance in one of a thousand long cookies.)
A mark is also a command of t17 in the body of a reply of status 404 [3]_ [4]_: DOABORT, DOWNBG, GETFILE, LOADDLL or
SETCMD anywhere, GOTO, SUSPEND, UPLOAD or VERSION as its first word. A reply 404 alone is none.

Queries are found in the requests of any log. Bodies, cookies and replies are read from the captures once more, of each
direction of a connection the first 65,536 bytes, up to the first missing packet.

When it misleads
----------------
It finds the protocol as published, no more: other families, versions that write another way, and HTTPS are not seen.
Which User-Agent, which field names and which interval samples use was never published; name them by the options, or see
``beacons``, where a sample is at hand. Logs keep neither bodies nor cookies, and many cut queries off: `coverage` says
how many requests that are. A page that lists those commands, such as one about the malware, reads like a command where
it is answered with 404. A request that several captures and a log saw counts once for each.

References
----------
.. [1] JPCERT/CC, ``emdivi_postdata_decoder.py``, https://github.com/JPCERTCC/aa-tools.
.. [2] Dshell, decoder ``emdivi_c2``, https://github.com/USArmyResearchLab/Dshell.
.. [3] Kaspersky, "New activity of the Blue Termite APT", 2015, https://securelist.com/71876/: commands of t17.
.. [4] National Police Agency of Japan, notice of 2016-03-17: commands in the body of replies 404.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from forensics.detectors._emdivi_captured import Plan, marks_in, plan_of
from forensics.detectors._emdivi_marks import hidden_in, shown, suspects
from forensics.detectors._findings import Coverage, findings_frame, server_text
from forensics.engines import query_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    import pandas as pd

    from forensics.case import Case

__all__ = ["SCORE", "TITLE", "VALUE", "coverage", "detect"]

TITLE = "Marks of Emdivi's protocol"
VALUE = "records with a mark [1]"
SCORE = "1 for a decoded field, 0.5 for commands alone [1]"

COUNTED = """
SELECT
    count(CASE WHEN r.url LIKE '%?%=%' THEN 1 END) AS queries,
    count(CASE WHEN f.source IS NULL AND (r.url IS NULL OR r.url NOT LIKE '%?%=%') THEN 1 END) AS blind
FROM requests r
CROSS JOIN options o
LEFT JOIN (SELECT DISTINCT source FROM flows WHERE frame_bytes_out IS NOT NULL) f ON r.source = f.source
WHERE o.agent IS NULL OR instr(r.user_agent, o.agent) > 0
"""
"""Requests with a query, and those that show nothing at all: of logs, without a query."""

PLACES = {"body": "in bodies", "cookie": "in cookies", "query": "in queries", "reply": "as commands in replies 404"}

MATCHED = pa.schema([("url", pa.string()), ("plain", pa.string())])


def detect(
    case: Case,
    *,
    most_flows: int = 20_000,
    field_names: Sequence[str] | None = None,
    user_agent: str | None = None,
) -> pd.DataFrame:
    """Return which terminals spoke Emdivi's protocol to which servers, as findings, in order of time.

    Parameters
    ----------
    case
        The case.
    most_flows
        Most connections of captures to open, those to the rarest servers first. [1]
    field_names
        Names of fields to decode, where a sample's are known; fields of any name without. [text]
    user_agent
        What the User-Agent of requests must contain, where a sample's is known; anything without. [text]

    Returns
    -------
    pandas.DataFrame
        Findings (`forensics.schema.FINDING_COLUMNS`), one for each terminal and server: ``value`` is the number of
        records with a mark [1], ``score`` 1 where a field was decoded, 0.5 where only commands were seen [1]; the
        reason quotes what was decoded first. The rest is null.

    Raises
    ------
    ValueError
        An option is out of its range.
    """
    options, names = _options(most_flows, field_names, user_agent)
    marks = [*_in_queries(case, names, options), *marks_in(case, plan_of(case, most_flows), names, user_agent)]
    grouped: dict[tuple[str | None, str | None], list[dict[str, Any]]] = {}
    for mark in marks:
        grouped.setdefault((mark["src"], mark["server"]), []).append(mark)
    return findings_frame(case, [_finding(parts) for parts in grouped.values()])


def coverage(
    case: Case,
    *,
    most_flows: int = 20_000,
    field_names: Sequence[str] | None = None,
    user_agent: str | None = None,
) -> Coverage:
    """Return how many requests with a query and connections could be looked into, and what not, and why.

    Parameters
    ----------
    case
        The case.
    most_flows, field_names, user_agent
        As `detect`.
    """
    options, _ = _options(most_flows, field_names, user_agent)
    counted = case.sql(COUNTED, options=options).to_arrow().to_pylist()[0]
    plan = plan_of(case, most_flows)
    closed = sum(plan.closed.values())
    tested = counted["queries"] + plan.connections
    unit = "requests with a query, and connections"
    return Coverage("emdivi", tested, counted["blind"] + plan.left + closed, "; ".join(_why(counted, plan)), unit)


def _why(counted: dict[str, int], plan: Plan) -> list[str]:
    why = [f"{count:,} connection{'s' * (count > 1)}: {reason}" for reason, count in sorted(plan.closed.items())]
    if plan.left:
        why.append(f"{plan.left:,} connections to the most visited servers: more than most_flows")
    if counted["blind"]:
        why.append(f"{counted['blind']:,} requests of logs have no query, and logs keep neither bodies nor cookies")
    return why


def _options(
    most_flows: int, field_names: Sequence[str] | None, user_agent: str | None
) -> tuple[pa.Table, frozenset[bytes] | None]:
    """Return the options of the queries, and the names of fields."""
    if most_flows < 0:
        raise ValueError(f"most_flows is {most_flows}, it must be 0 or more")
    table = pa.table({"agent": pa.array([user_agent], pa.string())})
    return table, None if field_names is None else frozenset(name.encode() for name in field_names)


def _in_queries(case: Case, names: Collection[bytes] | None, options: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the marks in the queries of requests."""
    urls = case.sql(query_text("emdivi_queries"), options=options)
    matched = urls.mapped(partial(_matched, names=names), MATCHED)
    hits = case.sql(query_text("emdivi_hits"), matched=matched, options=options)
    for row in hits.to_arrow().to_pylist() if len(matched) else ():
        yield {**row, "where": "query", "said": row["plain"]}


def _matched(batches: Iterable[pa.RecordBatch], *, names: Collection[bytes] | None) -> Iterator[pa.RecordBatch]:
    """Yield those of many URLs that hide something, with what it is in the clear; runs where the URLs lie."""
    for batch in batches:
        found = []
        for url in suspects(pa.chunked_array([batch.column("url")])):
            plain = hidden_in(url.partition("?")[2].encode(), names)
            if plain is not None:
                found.append({"url": url, "plain": shown(plain)})
        yield pa.RecordBatch.from_pylist(found, MATCHED)


def _finding(marks: list[dict[str, Any]]) -> dict[str, object]:
    """Return the finding of a terminal and a server."""
    marks = sorted(marks, key=lambda mark: (mark["start"], mark["source"], mark["record"], mark["where"]))
    src, dst = marks[0]["src"], marks[0]["server"]
    name = next((mark["name"] for mark in marks if mark["name"]), None)
    records = {(mark["source"], mark["record"]) for mark in marks}
    decoded = [mark for mark in marks if mark["where"] != "reply"]
    return {
        "detector": "emdivi",
        "start": marks[0]["start"],
        "end": max(mark["end"] for mark in marks) + timedelta(microseconds=1),
        "src": src,
        "dst": dst,
        "name": name,
        "value": float(len(records)),
        "expected": None,
        "score": 1.0 if decoded else 0.5,
        "p_value": None,
        "q_value": None,
        "reason": _reason(marks, decoded, server_text(str(dst), name), len(records)),
        "evidence": sorted(records),
    }


def _reason(marks: Iterable[dict[str, Any]], decoded: list[dict[str, Any]], server: str, records: int) -> str:
    marks = list(marks)
    counts = Counter(mark["where"] for mark in marks)
    places = ", ".join(f"{counts[where]:,} {text}" for where, text in PLACES.items() if counts[where])
    told = [f'the first field reads "{decoded[0]["said"]}" (in the {decoded[0]["where"]})'] if decoded else []
    commands = sorted({word for mark in marks if mark["where"] == "reply" for word in mark["said"].split(", ")})
    told += [f"the server commanded {', '.join(commands)}"] if commands else []
    src = marks[0]["src"] or "a client that the evidence does not name"
    counted = f"{records:,} record{'s' * (records > 1)}"
    return f"{src} and {server} have marks of Emdivi in {counted}: {places}; {'; '.join(told)}"
