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

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forensics.detectors._chance import MAD_TO_SIGMA, MOST_DEGREES, PRIOR_DEGREES, moderated, q_values
from forensics.detectors._findings import Coverage, findings_frame, period_text, server_text, time_text
from forensics.detectors._office import numbered, office_of
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

RITA = ((12, "high"), (8, "medium"), (4, "low"), (1, "base"))
"""RITA's thresholds. [h]"""

LONGEST = pa.schema([("src", pa.string()), ("server", pa.string()), ("port", pa.int32()), ("proto", pa.string()),
                     ("lasted", pa.int64())])  # fmt: skip

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
    rows, tested = _longest(case, least)
    if not rows:
        return findings_frame(case, [])
    baselines = _Baselines(case, rows)
    rows = [row | baselines.told(row) for row in rows]
    from scipy import stats

    centre, spread, degrees = np.array([baselines.of(row) for row in rows]).T
    lasted = np.array([row["lasted"] for row in rows]) / 1e6
    z = (np.log1p(lasted) - centre) / spread
    number = np.array([row["connections"] for row in rows])
    p = -np.expm1(number * np.log1p(-stats.t.sf(z, degrees)))
    q = q_values(p, tested)
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
    _, tested = _longest(case, LEAST)
    known = case.sql(REFUSED, **office_of(case)).to_arrow().to_pylist()[0]
    why = f"{known['refused']:,} flows in {known['files']:,} files have no duration" if known["refused"] else ""
    return Coverage("long_connections", tested, 0, why, "pairs of terminal and server's port", known["refused"])


@remembered
def _longest(case: Case, least: timedelta) -> tuple[list[dict[str, Any]], int]:
    """Return the longest connection of each pair that has a long one, and the number of all pairs."""
    options = pa.table({"least_us": [least // timedelta(microseconds=1)]})
    rows = case.sql(query_text("long_connections"), options=options, **office_of(case)).to_arrow().to_pylist()
    return rows[1:], rows[0]["tested"] if rows else 0


class _Baselines:
    """How long connections last at the servers in question, and at the ports of all.

    Parameters
    ----------
    case
        The case.
    longest
        The longest connections, one of each pair in question.
    """

    def __init__(self, case: Case, longest: list[dict[str, Any]]) -> None:
        self._own: defaultdict[tuple[object, ...], list[dict[str, Any]]] = defaultdict(list)
        self._all: defaultdict[tuple[object, ...], dict[int | None, int]] = defaultdict(dict)
        servers = pa.table({"server": pa.array(sorted({row["server"] for row in longest}), pa.string())})
        asked = {"wanted": numbered(servers), "longest": pa.Table.from_pylist(longest, LONGEST), **office_of(case)}
        for row in case.sql(query_text("durations"), **asked).to_arrow().to_pylist():
            port = (row["server"], row["port"], row["proto"])
            if row["src"] is None:
                self._all[port][row["place"]] = row["n"]
            else:
                self._own[row["src"], *port].append(row)

    def told(self, row: dict[str, Any]) -> dict[str, object]:
        """Return how many connections a terminal had with a server's port, its name, and when the longest one was."""
        own = self._own[row["src"], row["server"], row["port"], row["proto"]]
        named = [one["name"] for one in own if one["name"] is not None]
        # The longest one is of one place of the histogram alone.
        when = next(
            {name: one[name] for name in ("start", "end", "pieces")} for one in own if one["pieces"] is not None
        )
        return {"connections": sum(one["n"] for one in own), "name": max(named, default=None), **when}

    def of(self, row: dict[str, Any]) -> tuple[float, float, float]:
        """Return centre, spread and degrees of freedom of what is usual where a connection was."""
        key = (row["port"], row["proto"])
        centre, spread = _centre(self._all[None, *key])
        own = {one["place"]: one["n"] for one in self._own[row["src"], row["server"], *key]}
        every = self._all[row["server"], *key]
        others = {place: n - own.get(place, 0) for place, n in every.items() if place is not None}
        connections = sum(others.values())
        if every[None] <= OTHERS or connections < HISTORY:  # the terminal itself is one of them
            return centre, spread, float(MOST_DEGREES)
        centre, own_spread = _centre(others)
        degrees = float(connections - 1)
        variance = moderated(degrees * own_spread**2, degrees, spread**2)
        return centre, float(np.sqrt(variance)), min(PRIOR_DEGREES + degrees, MOST_DEGREES)


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
