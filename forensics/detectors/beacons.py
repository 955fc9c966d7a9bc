r"""Beacons: contacts of a terminal with a server that a clock makes, not a person.

For each terminal and server the intervals between contacts are taken. With :math:`p` their median, an interval is
*regular* when it lies within ``tolerance`` of :math:`p`, :math:`2p` or :math:`3p` (one or two missed beats). Contacts
within `VISIT` of each other are one: a page with its pictures, or a beat of several requests. Intervals longer than
``pause`` are nights and weekends and do not count. The score is the share of regular intervals. Contacts at
random (a Poisson process of the same median) reach a share of

.. math:: r_0 = \sum_{k=1}^{3} 2^{-(k - t)} - 2^{-(k + t)}

for tolerance :math:`t`; the probability of so many regular intervals among so many is binomial, and Benjamini-Hochberg
holds the false discovery rate over all pairs at ``max_q``.

When it misleads
----------------
Updates, mail and telemetry poll by the clock, too: a beacon alone accuses nobody; `forensics.rank_relays` weighs how
many terminals share the server. A beacon whose jitter exceeds the tolerance is missed, and one hidden among many visits
to the same server.

References
----------
.. [1] X. Hu et al., "BAYWATCH: Robust Beaconing Detection to Identify Infected Hosts in Large-Scale Enterprise
   Networks", DSN 2016, doi:10.1109/DSN.2016.50.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from forensics.detectors._findings import Coverage, findings_frame, period_text, without_uploads
from forensics.roles import find_roles

if TYPE_CHECKING:
    import pandas as pd

    from forensics.case import Case

__all__ = ["SCORE", "TITLE", "VALUE", "coverage", "detect"]

TITLE = "Contacts that a clock makes"
VALUE = "period [s]"
SCORE = "share of regular intervals [1]"

CONTACTS = """
SELECT src, server, vantage, unix_micros(start) AS start, max(name) AS name
FROM contacts
WHERE server <> src
GROUP BY 1, 2, 3, 4
ORDER BY src NULLS LAST, server NULLS LAST, vantage NULLS LAST, start NULLS LAST
"""
"""Contacts at the same microsecond are one."""

VISIT = 2_000_000
"""Contacts that follow each other within this time are one. [us]"""

BEATS = 3
"""One beat, or one or two missed ones."""


def detect(
    case: Case,
    *,
    least_contacts: int = 12,
    tolerance: float = 0.35,
    least_score: float = 0.7,
    max_q: float = 0.001,
    pause: timedelta = timedelta(hours=3),
) -> pd.DataFrame:
    """Return the beacons of a case, as findings, in order of time.

    Parameters
    ----------
    case
        The case.
    least_contacts
        Contacts that a pair must have to be tested. [1]
    tolerance
        How far an interval may lie from a whole multiple of the period, as a share of the period. [1]
    least_score
        Least share of regular intervals. [1]
    max_q
        Greatest expected share of false findings among all findings. [1]
    pause
        Intervals longer than this are pauses, not beats.

    Returns
    -------
    pandas.DataFrame
        Findings (`forensics.schema.FINDING_COLUMNS`): ``value`` is the period [s], ``score`` the share of regular
        intervals [1]; ``expected`` is null.

    Raises
    ------
    ValueError
        An option is out of its range.
    """
    if least_contacts < 4 or not 0 < tolerance < 0.5 or not 0 < max_q < 1:  # noqa: PLR2004  # bands must not overlap
        raise ValueError("least_contacts >= 4, 0 < tolerance < 0.5 and 0 < max_q < 1 are needed")
    from scipy import stats

    measured = [m for pair in _pairs(case, least_contacts) if (m := _measure(pair, tolerance, pause, least_contacts))]
    if not measured:
        return findings_frame(case, [])
    by_chance = sum(2 ** -(k - tolerance) - 2 ** -(k + tolerance) for k in range(1, BEATS + 1))
    p_values = [float(stats.binom.sf(m.regular - 1, m.intervals, by_chance)) for m in measured]
    q_values = stats.false_discovery_control(p_values)
    found = [
        _finding(m, p, float(q))
        for m, p, q in zip(measured, p_values, q_values, strict=True)
        if q <= max_q and m.score >= least_score
    ]
    return findings_frame(case, found)


def coverage(case: Case, *, least_contacts: int = 12) -> Coverage:
    """Return how many pairs have enough contacts to be tested, and how many have not.

    Intervals need no byte counts, so no row is refused for lack of them; where rows have none, the coverage says so.

    Parameters
    ----------
    case
        The case.
    least_contacts
        Contacts that a pair must have to be tested. [1]

    Returns
    -------
    Coverage
        The counts, and why some pairs were not tested.
    """
    counts = _counts(_contacts(case))
    tested = int((counts >= least_contacts).sum())
    untested = len(counts) - tested
    why = [f"fewer than {least_contacts} contacts"] if untested else []
    if without_uploads(case)[0]:
        why.append("rows that do not record what was sent were tested too, since intervals need no byte counts")
    return Coverage("beacons", tested, untested, "; ".join(why), "pairs of terminal and server")


def _pairs(case: Case, least_contacts: int) -> list[pd.DataFrame]:
    """Return the contacts of each pair that has enough of them, from the vantage that saw most of them."""
    contacts = _contacts(case)
    counts = _counts(contacts)
    enough = counts.index[counts >= least_contacts]
    seen = contacts.set_index(_SEEN)
    return [frame.reset_index() for _, frame in seen[seen.index.isin(enough)].groupby(level=_SEEN, sort=True)]


_SEEN = ["src", "server", "vantage"]


def _contacts(case: Case) -> pd.DataFrame:
    """Return the contacts of terminals with outside servers."""
    roles = find_roles(case)
    contacts = case.sql(CONTACTS).to_pandas()
    outside = {server for server in contacts["server"].unique() if not roles.is_inside(server)}
    return contacts[contacts["src"].isin(roles.terminals) & contacts["server"].isin(outside)]


def _counts(contacts: pd.DataFrame) -> pd.Series[int]:
    """Return the number of contacts of each pair at the vantage that saw most of them; of equal ones, the first."""
    counts = contacts.groupby(_SEEN, sort=True).size().sort_values(ascending=False, kind="stable")
    best: pd.Series[int] = counts.groupby(level=_SEEN[:2], sort=True).head(1)
    return best


@dataclass(frozen=True, slots=True)
class _Measured:
    """Regularity of one pair's contacts; times in microseconds since 1970, the period in seconds."""

    src: str
    dst: str
    name: str | None
    start: int
    end: int
    period: float
    intervals: int
    regular: int

    @property
    def score(self) -> float:
        return self.regular / self.intervals


def _measure(pair: pd.DataFrame, tolerance: float, pause: timedelta, least: int) -> _Measured | None:
    """Return period and regularity of one pair's contacts; None where pauses leave too few intervals."""
    start = pair["start"].to_numpy(dtype=np.int64)
    start = start[np.concatenate(([True], np.diff(start) > VISIT))]
    intervals = np.diff(start) / 1e6
    intervals = intervals[intervals <= pause.total_seconds()]
    if len(intervals) < least - 1:
        return None
    period = float(np.median(intervals))
    beats = np.clip(np.round(intervals / period), 1, BEATS)
    regular = int((np.abs(intervals - beats * period) <= tolerance * period).sum())
    named = pair["name"].dropna()
    return _Measured(
        src=str(pair["src"].iloc[0]),
        dst=str(pair["server"].iloc[0]),
        name=str(named.iloc[-1]) if len(named) else None,
        start=int(start[0]),
        end=int(start[-1]),
        period=period,
        intervals=len(intervals),
        regular=regular,
    )


def _finding(pair: _Measured, p_value: float, q_value: float) -> dict[str, object]:
    shown = f"{pair.dst} ({pair.name})" if pair.name and pair.name != pair.dst else pair.dst
    regular = f"{pair.regular} of {pair.intervals} intervals are regular"
    reason = f"{pair.src} met {shown} every {period_text(pair.period)}: {regular}"
    return {
        "detector": "beacons",
        "start": pair.start,
        "end": pair.end + 1,
        "src": pair.src,
        "dst": pair.dst,
        "name": pair.name,
        "value": pair.period,
        "expected": None,
        "score": pair.score,
        "p_value": p_value,
        "q_value": q_value,
        "reason": reason,
    }
