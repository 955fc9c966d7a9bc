r"""Contacts outside of office hours that a terminal does not usually have.

Who works through a relay does so when he is awake, and the office is empty. A *period* is the time between two office
hours of the case's zone: the night after a working day, or a day off (a weekend's, a public holiday's) with the night
that follows it. In each period of each terminal the quarters of an hour with *unusual* contacts are counted. A contact
is unusual unless

- the terminal met the server in `HABIT` or more periods before: a backup, a poll, a habit of the evening;
- ``crowd`` or more of the terminals (at least `FEW`) met the server for the first times in this same period: updates,
  a thing of the whole office.

The number :math:`y` of a terminal's period is compared with all earlier periods of its kind (night or day off) of all
terminals. Counts like these are zero for the most part, and clustered where not, so their law is negative binomial,
with the mean :math:`\mu` and the variance :math:`\mu + \mu^2 / r` of those periods. A terminal that was busier in its
own :math:`n` periods, with :math:`S` in all, has a mean of its own, for which :math:`\mu` counts as `PRIOR` periods:

.. math:: p = P(Y \ge y), \quad Y \sim \text{NB}(r, m), \quad
   m = \max\left(\mu, \frac{S + \text{PRIOR} \cdot \mu}{n + \text{PRIOR}}\right)

so who often works late must be later still to be noticed. Over all periods of all terminals Benjamini-Hochberg holds
the false discovery rate at ``max_q``. The first `HABIT` periods of a case only tell habits; of those that follow, the
first `SETTLING` of either kind are learnt from alone.

When it misleads
----------------
People work late before a deadline. A terminal that stays switched on polls, and each new program it has is new once. An
intruder who comes every night is a habit after the third one, and is reported for the first. A short visit, a quarter
of an hour, is never a finding.

References
----------
.. [1] A. Noufaily et al., "An improved algorithm for outbreak detection in multiple surveillance systems", Statistics
   in Medicine 32 (2013) 1206-1222, doi:10.1002/sim.5595: overdispersed counts against earlier time.
.. [2] Y. Benjamini, Y. Hochberg, "Controlling the False Discovery Rate", J. R. Stat. Soc. B 57 (1995) 289-300,
   doi:10.1111/j.2517-6161.1995.tb02031.x.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.detectors._chance import q_values
from forensics.detectors._findings import Coverage, findings_frame, records_of, server_text, time_text, with_evidence
from forensics.detectors._office import day_of, office_of, quarters_of
from forensics.detectors._remembered import remembered
from forensics.engines import query_text
from forensics.workdays import FIRST_YEAR, LAST_YEAR, holidays_in, is_workday

if TYPE_CHECKING:
    from collections.abc import Container

    import pandas as pd

    from forensics.case import Case
    from forensics.detectors._chance import Floats

__all__ = ["SCORE", "TITLE", "VALUE", "coverage", "detect"]

TITLE = "Contacts at times when a terminal is usually quiet"
VALUE = "time with unusual contacts, in quarters of an hour [min]"
SCORE = "surprise, -log10 p [1]"

HABIT = 3
"""Periods after which contacts with a server are a habit."""

FEW = 3
"""Fewer terminals than this are no crowd in any office."""

SETTLING = 2
"""Periods of each kind, night or day off, that are learnt from and not judged."""

PRIOR = 6
"""Periods that the mean of all terminals counts as, beside a terminal's own."""

LEAST_MEAN = 0.05
"""Least mean of a baseline: who never saw a quarter with contacts cannot rule it out. [1]"""

QUARTER_MINUTES = 15
TINY = 1e-300
LEAST = timedelta(microseconds=1)


def detect(
    case: Case,
    *,
    hours: tuple[float, float] = (7, 21),
    holidays: Container[date] | None = None,
    least_minutes: int = 60,
    crowd: float = 0.1,
    max_q: float = 0.01,
) -> pd.DataFrame:
    """Return the terminals of a case that were busy when they usually are not, as findings, in order of time.

    Parameters
    ----------
    case
        The case; its zone is that of the office.
    hours
        When the first come and the last go on working days. [h]
    holidays
        Days off besides weekends; by default Japan's public holidays where the case's zone is Japan's, else none.
    least_minutes
        Floor: periods with less time with unusual contacts are never a finding. [min]
    crowd
        Share of the terminals whose common new contacts of one period are no finding. [1]
    max_q
        Greatest expected share of false findings among all findings. [1]

    Returns
    -------
    pandas.DataFrame
        Findings (`forensics.schema.FINDING_COLUMNS`), one per terminal and period: ``value`` is the time with unusual
        contacts and ``expected`` its mean by the baseline [min], ``score`` the surprise [1]; ``dst`` is the server that
        most of it was spent with, null where that is less than half.

    Raises
    ------
    ValueError
        An option is out of its range.
    """
    if least_minutes < 1 or not 0 < crowd <= 1 or not 0 < max_q < 1 or not 0 <= hours[0] < hours[1] <= 24:  # noqa: PLR2004  # a day's hours
        raise ValueError(
            "least_minutes >= 1, 0 < crowd <= 1, 0 < max_q < 1 and 0 <= opening < closing <= 24 are needed"
        )
    periods = _periods(case, hours, holidays, crowd)
    counts, expected, p = periods.judged()
    known = np.flatnonzero((counts * QUARTER_MINUTES >= least_minutes) & ~np.isnan(p))
    q = q_values(p.ravel()[known], int((~np.isnan(p)).sum())) if len(known) else np.empty(0)
    kept = known[q <= max_q]
    found = [
        _described(case, periods.row(at), float(expected.ravel()[at]))
        | {"score": -float(np.log10(max(p.ravel()[at], TINY))), "p_value": float(p.ravel()[at]), "q_value": float(one)}
        for at, one in zip(kept.tolist(), q[q <= max_q], strict=True)
    ]
    return findings_frame(case, _with_evidence(case, found))


def coverage(
    case: Case,
    *,
    hours: tuple[float, float] = (7, 21),
    holidays: Container[date] | None = None,
    crowd: float = 0.1,
) -> Coverage:
    """Return how many periods of terminals could be tested, and how many are learnt from alone.

    Parameters
    ----------
    case
        The case.
    hours
        As `detect`. [h]
    holidays
        As `detect`.
    crowd
        As `detect`. [1]
    """
    _, _, p = _periods(case, hours, holidays, crowd).judged()
    tested = int((~np.isnan(p)).sum())
    why = "what is usual at night and on days off is learnt from the first ones" if tested < p.size else ""
    return Coverage("off_hours", tested, p.size - tested, why, "nights and days off of terminals")


def _periods(case: Case, hours: tuple[float, float], holidays: Container[date] | None, crowd: float) -> _Periods:
    """Return what every terminal did in every period; once where the days off are those of the case's zone."""
    return _usual_periods(case, hours, crowd) if holidays is None else _Periods(case, hours, holidays, crowd)


@remembered
def _usual_periods(case: Case, hours: tuple[float, float], crowd: float) -> _Periods:
    return _Periods(case, hours, holidays_in(str(case.timezone), range(FIRST_YEAR, LAST_YEAR + 1)), crowd)


class _Periods:
    """What every terminal did in every period of a case.

    Parameters
    ----------
    case
        The case.
    hours, holidays, crowd
        As `detect`.
    """

    def __init__(self, case: Case, hours: tuple[float, float], holidays: Container[date], crowd: float) -> None:
        office = office_of(case)
        quarters = quarters_of(case, hours=hours, holidays=holidays)
        terminals = office["terminals"]["src"].combine_chunks()
        options = pa.table({"habit": [HABIT], "crowd": [max(FEW, int(np.ceil(crowd * len(terminals))))]})
        rows = case.sql(query_text("off_hours"), options=options, quarters=quarters, **office).to_arrow()
        # a period in which nobody had any contact is not known to have been recorded at all
        days = np.unique(quarters["period"].drop_null().to_numpy())
        self._days = days[[_is_date(day) for day in days.tolist()]]
        self._off = np.array([not is_workday(day_of(d), holidays) for d in self._days.tolist()], dtype=bool)
        self._rows = rows.filter(pc.is_in(rows["period"], pa.array(self._days, pa.int64())))
        who = pc.index_in(self._rows["src"], terminals).to_numpy()
        period = np.searchsorted(self._days, self._rows["period"].to_numpy())
        self._place = who * len(self._days) + period
        self._shape = (len(terminals), len(self._days))

    def judged(self) -> tuple[np.ndarray, Floats, Floats]:
        """Return the quarters with unusual contacts, what was expected [min], and p; each (terminals, periods).

        p is nan where a period is not judged.
        """
        counts = np.zeros(self._shape, dtype=np.int64)
        counts.ravel()[self._place] = self._rows["quarters"].to_numpy()
        expected, p = np.full(self._shape, np.nan), np.full(self._shape, np.nan)
        known = np.arange(self._shape[1]) >= HABIT
        for kind in (False, True):
            own, squares = np.zeros(len(counts)), 0.0
            for number, now in enumerate(np.flatnonzero((self._off == kind) & known).tolist()):
                if number >= SETTLING and len(counts):
                    expected[:, now], p[:, now] = _tail(counts[:, now], own, squares, number)
                own += counts[:, now]
                squares += float((counts[:, now] ** 2).sum())
        return counts, expected * QUARTER_MINUTES, p

    def row(self, at: int) -> dict[str, Any]:
        """Return what is known of a terminal's period, by its place in the flat arrays."""
        row: dict[str, Any] = self._rows.slice(int(np.flatnonzero(self._place == at)[0]), 1).to_pylist()[0]
        return row


def _is_date(day: int) -> bool:
    """Tell whether a number of days since 1970 is a date of the calendar."""
    try:
        day_of(day)
    except (ValueError, OverflowError):
        return False
    return True


def _tail(now: np.ndarray, own: Floats, squares: float, n: int) -> tuple[Floats, Floats]:
    """Return expectation and tail probability of each terminal's count.

    Parameters
    ----------
    now
        The counts, shape (terminals,).
    own
        The sums over the periods before, shape (terminals,).
    squares
        The sum of all terminals' squares in the periods before.
    n
        How many periods there were before.
    """
    from scipy import stats

    number = n * len(own)
    usual = max(float(own.sum()) / number, LEAST_MEAN)
    over = max(squares / number - usual**2 - usual, usual**2)  # never closer to Poisson than a geometric law
    r = usual**2 / over
    mean: Floats = np.maximum(usual, (own + PRIOR * usual) / (n + PRIOR))
    p: Floats = np.asarray(stats.nbinom.sf(now - 1, r, r / (r + mean)))
    return mean, p


def _described(case: Case, row: dict[str, Any], expected: float) -> dict[str, object]:
    alone = 2 * row["with_server"] >= row["quarters"]
    name = row["name"] if alone else None
    minutes = row["quarters"] * QUARTER_MINUTES
    shown = server_text(row["server"], row["name"])
    spent = f", {row['with_server'] * QUARTER_MINUTES} of them with {shown}" if alone else ""
    servers = f"{row['servers']:,} server{'s' * (row['servers'] > 1)}"
    return {
        "detector": "off_hours",
        "start": row["start"],
        "end": max(row["end"], row["start"] + LEAST),
        "src": row["src"],
        "dst": row["server"] if alone else None,
        "name": name,
        "value": float(minutes),
        "expected": expected,
        "reason": f"{row['src']} had contacts with {servers} that it does not usually meet out of hours in {minutes} "
        f"minutes{spent}, from {time_text(row['start'], case.timezone)} to {time_text(row['end'], case.timezone)}; "
        f"{expected:.0f} minutes were to be expected",
    }


def _with_evidence(case: Case, found: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return findings with the contacts behind them."""
    moment = pa.timestamp("us", "UTC")
    schema = pa.schema(
        [("finding", pa.int64()), ("src", pa.string()), ("server", pa.string()), ("start", moment), ("end", moment)]
    )
    keys = [
        {"finding": number, "src": f["src"], "server": f["dst"], "start": f["start"], "end": f["end"]}
        for number, f in enumerate(found)
    ]
    table, outside = pa.Table.from_pylist(keys, schema), office_of(case)["outside"]
    behind = records_of(case, query_text("off_hours_evidence"), table, outside=outside)
    return with_evidence(found, behind)
