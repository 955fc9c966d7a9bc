r"""Servers that few terminals meet, first seen late, and then again and again.

A server that nobody met for weeks and that one or a few terminals then meet day after day is what a relay looks like
from the office. Most rare servers are none: people read a page once. Three things are asked for:

- at most ``most_share`` of the terminals (and at least `FEW` of them) met it in the whole time of the case;
- it was met on ``least_days`` days or more;
- it was met late. Let :math:`n` be the days on which any of these terminals did anything, :math:`b` those of them
  before the first meeting, and :math:`k` the days with a meeting. If the server were an old habit, its days would be
  any :math:`k` of the :math:`n`, and the probability that all fall behind the first :math:`b` is

.. math:: p = \binom{n - b}{k} / \binom{n}{k}

Over all servers tested Benjamini-Hochberg holds the false discovery rate at ``max_q``. A server whose smallest possible
p, :math:`1 / \binom{n}{k}`, could not be a finding among so many is not one of the tests [3]_. The score is
:math:`-\log_{10} p`. Days are those of the case's zone, so that a page of many requests, or three terminals on one
day, count once. A server is its name where it has one: a name that moves to another address is not new.

When it misleads
----------------
A new habit of a person is new and rare as well: a project, another newspaper. A hacked site that many read innocently
is not rare. What is met on one or two days is never tested, and a case of few days cannot show anything: with ten days
the smallest p is 1/252.

References
----------
.. [1] T.-F. Yen et al., "Beehive: Large-Scale Log Analysis for Detecting Suspicious Activity in Enterprise Networks",
   ACSAC 2013, doi:10.1145/2523649.2523670: new and rare destinations in proxy logs.
.. [2] A. Oprea et al., "Detection of Early-Stage Enterprise Infection by Mining Large-Scale Log Data", DSN 2015,
   doi:10.1109/DSN.2015.14.
.. [3] P. B. Gilbert, "A Modified False Discovery Rate Multiple-Comparisons Procedure for Discrete Data", J. R. Stat.
   Soc. C 54 (2005) 143-158, doi:10.1111/j.1467-9876.2005.00475.x.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forensics.detectors._chance import q_values
from forensics.detectors._findings import Coverage, findings_frame, records_of, server_text, time_text
from forensics.detectors._held import meetings_held
from forensics.detectors._office import office_of, others_of
from forensics.detectors._remembered import remembered
from forensics.engines import query_text

if TYPE_CHECKING:
    import pandas as pd

    from forensics.case import Case
    from forensics.detectors._chance import Floats

__all__ = ["SCORE", "TITLE", "VALUE", "coverage", "detect"]

TITLE = "Servers that few terminals meet, first seen late"
VALUE = "terminals that met it [1]"
SCORE = "surprise at so late a first meeting, -log10 p [1]"

FEW = 3
"""So many terminals are few in any office."""

LEAST = timedelta(microseconds=1)


def detect(case: Case, *, most_share: float = 0.05, least_days: int = 3, max_q: float = 0.05) -> pd.DataFrame:
    """Return the rare servers of a case that were first seen late, as findings, in order of time.

    Parameters
    ----------
    case
        The case.
    most_share
        Greatest share of the terminals that may have met the server. [1]
    least_days
        Days on which the server was met at least. [d]
    max_q
        Greatest expected share of false findings among all findings. [1]

    Returns
    -------
    pandas.DataFrame
        Findings (`forensics.schema.FINDING_COLUMNS`), one per server: ``value`` is the number of terminals that met it
        [1], ``score`` the surprise [1]; ``src`` is null where several terminals met it; ``expected`` is null.

    Raises
    ------
    ValueError
        An option is out of its range.
    """
    servers = _servers(case, most_share, least_days)
    tested = servers[_can_show(servers, max_q)]
    if tested.empty:
        return findings_frame(case, [])
    possible, before, days = (tested[name].to_numpy(np.float64) for name in ("possible", "before", "days"))
    p = _lateness(possible, before, days)
    q = q_values(p, len(p))
    kept = np.flatnonzero(q <= max_q)
    rows: list[dict[str, Any]] = tested.iloc[kept].to_dict("records")  # type: ignore[assignment]
    keys = pa.table({"finding": np.arange(len(rows)), "asked": [row["asked"] for row in rows]})
    behind = records_of(case, query_text("rare_servers_evidence"), keys, terminals=office_of(case)["terminals"])
    found = [
        _finding(case, row, float(p[at]), float(q[at])) | {"evidence": behind[number]}
        for number, (at, row) in enumerate(zip(kept, rows, strict=True))
    ]
    return findings_frame(case, found)


def coverage(case: Case, *, most_share: float = 0.05, least_days: int = 3, max_q: float = 0.05) -> Coverage:
    """Return how many rare servers could be tested, and how many were met on too few days.

    Parameters
    ----------
    case
        The case.
    most_share
        Greatest share of the terminals that may have met the server. [1]
    least_days
        Days on which the server was met at least. [d]
    max_q
        Greatest expected share of false findings among all findings. [1]
    """
    servers = _servers(case, most_share, least_days)
    enough = int(servers["possible"].notna().sum())
    tested = int(_can_show(servers, max_q).sum())
    why = [f"{len(servers) - enough:,} were met on fewer than {least_days} days"] if enough < len(servers) else []
    if tested < enough:
        why.append(f"{enough - tested:,} on too few or too many of the days to show by chance alone that they are late")
    unit = "servers that few terminals met"
    return Coverage("rare_servers", tested, len(servers) - tested, "; ".join(why), unit)


@remembered
def _servers(case: Case, most_share: float, least_days: int) -> pd.DataFrame:
    """Return the servers that few terminals met; ``possible`` and ``before`` only where the days suffice."""
    if not 0 < most_share <= 1 or least_days < 2:  # noqa: PLR2004  # a habit has two days at least
        raise ValueError("0 < most_share <= 1 and least_days >= 2 are needed")
    office = office_of(case)
    most = max(FEW, int(most_share * len(office["terminals"])))
    options = pa.table({"most_terminals": [most], "least_days": [least_days]})
    with meetings_held(case):
        return case.sql(query_text("rare_servers"), options=options, servers=others_of(case), **office).to_pandas()


def _can_show(servers: pd.DataFrame, max_q: float) -> np.ndarray:
    """Return which servers are tested: those whose smallest possible p could be a finding among so many."""
    if not 0 < max_q < 1:
        raise ValueError("0 < max_q < 1 is needed")
    possible, days = (servers[name].to_numpy(np.float64, na_value=np.nan) for name in ("possible", "days"))
    least = np.nan_to_num(_lateness(possible, possible - days, days), nan=1.0)
    ordered = np.sort(least)
    # the smallest K for which at most K servers could reach max_q / K
    reach = [int(np.searchsorted(ordered, max_q / k, side="right")) <= k for k in range(1, len(ordered) + 1)]
    number = 1 + reach.index(True) if any(reach) else 1
    shown: np.ndarray = least <= max_q / number
    return shown


def _lateness(possible: Floats, before: Floats, days: Floats) -> Floats:
    """Return the probability that ``days`` of the ``possible`` days all fall behind the first ``before``."""
    from scipy.special import gammaln

    # ln of C(n - b, k) / C(n, k), the factorials of k cancelling
    late = gammaln(possible - before + 1) - gammaln(possible - before - days + 1)
    any_day = gammaln(possible + 1) - gammaln(possible - days + 1)
    p: Floats = np.minimum(np.exp(late - any_day), 1.0)
    return p


def _finding(case: Case, row: dict[str, Any], p: float, q: float) -> dict[str, object]:
    count, days = int(row["terminals"]), int(row["days"])
    name = row["asked"] if row["asked"] != row["server"] else None
    shown = server_text(row["server"], name)
    who = row["src"] if count == 1 else f"{count} terminals"
    return {
        "detector": "rare_servers",
        "start": row["start"],
        "end": max(row["end"], row["start"] + LEAST),
        "src": row["src"] if count == 1 else None,
        "dst": row["server"],
        "name": name,
        "value": float(count),
        "expected": None,
        "score": float(-np.log10(max(p, np.finfo(float).tiny))),
        "p_value": p,
        "q_value": q,
        "reason": f"only {who} met {shown}, {int(row['contacts']):,} times on {days} days; the first time was "
        f"{time_text(row['start'], case.timezone)}, after {int(row['before'])} of {int(row['possible'])} days on which "
        f"it could have been met",
    }
