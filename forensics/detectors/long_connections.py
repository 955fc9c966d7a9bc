r"""Connections that last long beside what is usual at the same port of the same server.

A tunnel or a remote shell holds its connection open for hours where others are done in seconds. For each terminal and
port of a server the longest connection is compared with the others, on the scale :math:`x = \ln(1 + d)` with :math:`d`
the duration in seconds:

1. with the connections that other terminals had with this port of this server, where `OTHERS` of them or more had
   `HISTORY` or more: at a server of a chat or of a mailbox they are all long;
2. else with all connections of the office's terminals with this port of any server.

The centre is the median :math:`m`, the spread :math:`s` is :math:`1.4826 \cdot \text{MAD}`; of a server's own it is
averaged, as variance, with that of the port, which counts as `PRIOR_DEGREES` connections more. With
:math:`z = (x - m) / s` and Student's :math:`t` of at most 30 degrees of freedom, the longest of :math:`n` connections
of a pair has

.. math:: p = 1 - (1 - P(T > z))^n

Over all pairs Benjamini-Hochberg holds the false discovery rate at ``max_q``, and nothing below ``least`` is found. The
reason names the threshold of RITA that it passes: 1, 4, 8 and 12 h (base, low, medium, high), whatever is usual there.

What a flow meter cuts every few minutes is put together again: the view ``connections``.

When it misleads
----------------
Video calls, remote desktops and push services of one terminal alone last long and are innocent. Where three infected
terminals hold a server, its connections are the usual ones of each other. A capture or log that was started late or
stopped early shows less than there was. A proxy logs a tunnel when it ends: one that is still open is not there.

References
----------
.. [1] Active Countermeasures, *RITA* v5, ``default_config.hjson``: its thresholds of long connections.
.. [2] G. K. Smyth, "Linear Models and Empirical Bayes Methods ...", Stat. Appl. Genet. Mol. Biol. 3 (2004),
   doi:10.2202/1544-6115.1027: the moderated t statistic.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.detectors._chance import MAD_TO_SIGMA, MOST_DEGREES, PRIOR_DEGREES, moderated, q_values
from forensics.detectors._findings import Coverage, findings_frame, period_text, server_text, time_text
from forensics.detectors._office import office_of
from forensics.detectors._remembered import remembered
from forensics.engines import query_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from forensics.case import Case
    from forensics.detectors._chance import Floats

__all__ = ["SCORE", "TITLE", "VALUE", "coverage", "detect"]

TITLE = "Connections that last long"
VALUE = "duration of the longest connection [s]"
SCORE = "robust z of its duration on the log scale [1]"

HISTORY = 6
"""Connections of other terminals that a server's own baseline needs."""

OTHERS = 3
"""Other terminals that they must be of."""

LEAST = timedelta(hours=1)
"""Shorter connections are never a finding."""

LEAST_SPREAD = 0.5
"""Least spread of a baseline on the log scale. [ln s]"""

STEP = 0.25
"""Width of a place of the histogram. [ln s]"""

STRANGER = -1
"""Number of the servers that are not outside of the office."""

RITA = ((12, "high"), (8, "medium"), (4, "low"), (1, "base"))
"""RITA's thresholds. [h]"""

PAIR = ("client", "host", "port", "proto")
"""A terminal and a server, by their numbers in the office's tables, and the server's port."""

PAIRS = pa.schema([("client", pa.int32()), ("host", pa.int32()), ("port", pa.int32()), ("proto", pa.string())])

REFUSED = """
SELECT count(*) AS refused, count(DISTINCT f.source) AS files
FROM flows f
JOIN terminals t ON f.src = t.src
WHERE f."end" = f.start AND (f.dst IS NULL OR f.dst IN (SELECT server FROM outside))
"""


def detect(case: Case, *, least: timedelta = LEAST, max_q: float = 0.01) -> pd.DataFrame:
    """Return the connections of a case that last unusually long, as findings, in order of time.

    Parameters
    ----------
    case
        The case.
    least
        Shorter connections are never a finding.
    max_q
        Greatest expected share of false findings among all findings. [1]

    Returns
    -------
    pandas.DataFrame
        Findings (`forensics.schema.FINDING_COLUMNS`), one per terminal and port of a server: the longest connection.
        ``value`` is its duration and ``expected`` the median of the baseline [s], ``score`` the robust z [1].

    Raises
    ------
    ValueError
        An option is out of its range.
    """
    if least <= timedelta(0) or not 0 < max_q < 1:
        raise ValueError("least > 0 and 0 < max_q < 1 are needed")
    lengths = _lengths(case, least)
    rows = lengths.longest
    if not rows:
        return findings_frame(case, [])
    from scipy import stats

    centre, spread, degrees = np.array([lengths.usual(row) for row in rows]).T
    lasted = np.array([row["lasted"] for row in rows]) / 1e6
    z = (np.log1p(lasted) - centre) / spread
    number = np.array([row["connections"] for row in rows])
    p = -np.expm1(number * np.log1p(-stats.t.sf(z, degrees)))
    q = q_values(p, lengths.tested)
    found = [
        _described(case, rows[at], float(np.expm1(centre[at])))
        | {"score": float(z[at]), "p_value": float(p[at]), "q_value": float(q[at])}
        for at in np.flatnonzero(q <= max_q)
    ]
    return findings_frame(case, found)


def coverage(case: Case) -> Coverage:
    """Return how many pairs of a terminal and a server's port were tested, and which rows have no duration.

    Parameters
    ----------
    case
        The case.
    """
    tested = _lengths(case, LEAST).tested
    known = case.sql(REFUSED, **office_of(case)).to_arrow().to_pylist()[0]
    why = f"{known['refused']:,} flows in {known['files']:,} files have no duration" if known["refused"] else ""
    return Coverage("long_connections", tested, 0, why, "pairs of terminal and server's port", known["refused"])


class _Lengths:
    """How long connections last: the longest one of each pair that has a long one, and all as histograms.

    Parameters
    ----------
    case
        The case.
    least
        How long a connection is that is long.

    Attributes
    ----------
    longest
        The longest connections, one of each terminal and port of a server, in their order.
    tested
        Number of all pairs of a terminal and port of a server.
    """

    def __init__(self, case: Case, least: timedelta) -> None:
        self._counts: defaultdict[tuple[object, ...], Counter[int]] = defaultdict(Counter)
        self._names: dict[tuple[object, ...], str] = {}
        office = office_of(case)
        options = pa.table({"least_us": [least // timedelta(microseconds=1)]})
        rows = case.sql(query_text("long_connections"), options=options, **office).to_arrow().to_pylist()
        self._counted(rows)
        # The longest one of a pair is in one place of its histogram alone.
        found = [row for row in rows if row["pieces"] is not None]
        pairs = pa.Table.from_pylist(found, PAIRS)
        office = {
            "terminals": _asked(office["terminals"], pairs["client"]),
            "outside": _asked(office["outside"], pairs["host"]),
        }
        rows = case.sql(query_text("connected"), **office).to_arrow().to_pylist()
        self.tested = sum(row["tested"] for row in rows)
        self._terminals = {(row["host"], row["port"], row["proto"]): row["pairs"] for row in rows}
        if found:
            strangers = [row["server"] for row in rows if row["server"] is not None]
            self._counted(_shorter(case, office, pairs, strangers))
        self.longest = [self._told(row, office) for row in found]

    def _counted(self, rows: list[dict[str, Any]]) -> None:
        """Count connections: of a pair also as the server's, and those of all servers as the port's."""
        for row in rows:
            client, host, *port = pair = tuple(row[name] for name in PAIR)
            for key in {(None, None, *port), (None, host, *port), (client, host, *port)}:
                self._counts[key][row["place"]] += row["n"]
            if row["name"] is not None:
                self._names[pair] = max(self._names.get(pair, ""), row["name"])

    def _told(self, row: dict[str, Any], office: Mapping[str, pa.Table]) -> dict[str, Any]:
        """Return the longest connection of a pair with its ends, and with the number and the name of all of them."""
        pair = tuple(row[name] for name in PAIR)
        return row | {
            "src": office["terminals"]["src"][row["client"]].as_py(),
            "server": office["outside"]["server"][row["host"]].as_py(),
            "connections": self._counts[pair].total(),
            "name": self._names.get(pair),
        }

    def usual(self, row: dict[str, Any]) -> tuple[float, float, float]:
        """Return centre, spread and degrees of freedom of what is usual where a connection was."""
        client, host, *port = (row[name] for name in PAIR)
        centre, spread = _centre(self._counts[None, None, *port])
        own = self._counts[client, host, *port]
        others = {place: n - own[place] for place, n in self._counts[None, host, *port].items()}
        connections = sum(others.values())
        # The terminal itself is one of them.
        if self._terminals[host, *port] <= OTHERS or connections < HISTORY:
            return centre, spread, float(MOST_DEGREES)
        centre, own_spread = _centre(others)
        degrees = float(connections - 1)
        variance = moderated(degrees * own_spread**2, degrees, spread**2)
        return centre, float(np.sqrt(variance)), min(PRIOR_DEGREES + degrees, MOST_DEGREES)


_lengths = remembered(_Lengths)


def _asked(table: pa.Table, numbers: pa.ChunkedArray) -> pa.Table:
    """Return a table of the office with a column more: which of its rows are asked for."""
    return table.append_column("asked", pc.is_in(table["number"], numbers.combine_chunks()))


def _shorter(case: Case, office: Mapping[str, pa.Table], pairs: pa.Table, strangers: list[str]) -> list[dict[str, Any]]:
    """Return the histogram of connections that are shorter than pieces of a flow meter.

    Parameters
    ----------
    case
        The case.
    office
        Its terminals and the servers outside of it, and which of them are asked for.
    pairs
        The pairs that have rows of their own.
    strangers
        Servers that are not outside of the office.
    """
    outside = office["outside"]
    asked = outside.filter(outside["asked"]).select(["server", "number"])
    apart = pa.table({"server": strangers, "number": [STRANGER] * len(strangers)}, asked.schema)
    tables = {"terminals": office["terminals"], "known": pa.concat_tables([asked, apart]), "longest": pairs}
    rows: list[dict[str, Any]] = case.sql(query_text("durations"), **tables).to_arrow().to_pylist()
    return [row for row in rows if row["host"] != STRANGER]


def _centre(histogram: Mapping[Any, int]) -> tuple[float, float]:
    """Return median and spread of a histogram, both on the log scale."""
    places, counts = np.array([(place, n) for place, n in histogram.items() if n]).T
    values = (places + 0.5) * STEP
    centre = _median(values, counts)
    return centre, max(MAD_TO_SIGMA * _median(np.abs(values - centre), counts), LEAST_SPREAD)


def _median(values: Floats, counts: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    below = np.cumsum(counts[order])
    return float(values[order][np.searchsorted(below, below[-1] / 2)])


def _described(case: Case, row: dict[str, Any], expected: float) -> dict[str, object]:
    seconds = row["lasted"] / 1e6
    shown = server_text(row["server"], row["name"])
    port = "" if row["port"] is None else f" port {row['port']}"
    level = next((f"; RITA's threshold {name} ({hours} h)" for hours, name in RITA if seconds >= hours * 3600), "")
    pieces = f", logged in {row['pieces']} pieces" if row["pieces"] > 1 else ""
    more = f"; {row['long_ones'] - 1} more were long" if row["long_ones"] > 1 else ""
    return {
        "detector": "long_connections",
        "start": row["start"],
        "end": row["end"],
        "src": row["src"],
        "dst": row["server"],
        "name": row["name"],
        "value": seconds,
        "expected": expected,
        "reason": f"a connection of {row['src']} with {shown}{port} lasted {_hours(seconds)} from "
        f"{time_text(row['start'], case.timezone)}{pieces}; {period_text(expected)} are usual there{level}{more}",
    }


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"  # noqa: PLR2004  # an hour
