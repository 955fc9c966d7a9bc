r"""Beacons: contacts of a terminal with a server that a clock makes, not a person.

What chance makes
-----------------
The null hypothesis is that contacts come at random, at any rate that may change from each contact to the next: no
matter how much busier a terminal is by day, and how long the pauses are. Contacts in bursts are less regular still.
Two kinds of tests have p-values that hold for all such contacts, for any number of them; nothing is fitted.

*Evenness.* Of :math:`k` successive intervals :math:`x_i` (5, and 15), :math:`T = \sum \ln x_i - k \ln \bar x` is 0
where they are equal, else less. :math:`E\,e^{sT} \le e^{K(s)}` with
:math:`K(s) = \ln\Gamma(k) + k\ln\Gamma(1+s) - \ln\Gamma(k+ks) + ks\ln k`, so that
:math:`p \le e^{-\max_s(s \sum T - m K(s))}` over :math:`m` groups. It finds clocks with much jitter or many missed
beats, and needs few contacts of an exact one.

*Comb.* An interval is regular for a period :math:`P` when it lies within a tolerance :math:`t` (3 to 45 %) of
:math:`P`, or of a multiple :math:`kP` where beats are missed. Chance gives that at most with

.. math:: r = \max_\lambda \sum_k \frac{e^{-\lambda a_k} - e^{-\lambda b_k}}{1 - e^{-\lambda c}},

the bands being :math:`[a_k, b_k]` and the pause :math:`c`; so the number of regular intervals is at most binomial.
Every period, tolerance and number of multiples that was tried is paid for (Bonferroni). The period that explains most
is the clock's own: half of it needs twice as many bands for the same intervals, twice of it misses most of them.

Contacts close to each other are one visit (0.2 s for periods up to 20 s, 2 s up to 200 s, 20 s beyond), and what
visits are apart anyway counts for nothing. Nor does a contact that begins right after the earlier one has ended, as the
pieces of a backup do, but where a narrow tolerance shows the clock. Intervals longer than ``pause`` are nights and
weekends. Where many but not all contacts of a pair sent about as many bytes, these are tested by themselves, too: a
clock among a person's visits to the same server. Over all pairs tested the false discovery rate is held at ``max_q``
(Benjamini-Hochberg). The score is the share of regular intervals beyond chance, :math:`(h - r) / (1 - r)` for the share
:math:`h`.

When it misleads
----------------
Updates, mail and telemetry poll by the clock, too: a beacon alone accuses nobody; `forensics.rank_relays` weighs how
many terminals share the server. Periods longer than ``pause`` are not told from habits of the day. A clock with few
beats, much jitter and many missed beats is missed. So is one hidden among many visits that send as much, and one that
ran for an hour among days of other contacts with the same server. A person who turns pages at an even pace for a long
time looks like a clock. With much jitter the period is a rough one.

``forensics.detectors.beacons.rita_scores(case)`` gives the scores that RITA would give, for comparison.

References
----------
.. [1] X. Hu et al., "BAYWATCH: Robust Beaconing Detection to Identify Infected Hosts in Large-Scale Enterprise
   Networks", DSN 2016, doi:10.1109/DSN.2016.50.
.. [2] P. A. P. Moran, "The Random Division of an Interval. Part II", J. R. Stat. Soc. B 13 (1951) 147-150,
   doi:10.1111/j.2517-6161.1951.tb00079.x: the statistic of evenness.
.. [3] Y. Benjamini, Y. Hochberg, "Controlling the False Discovery Rate", J. R. Stat. Soc. B 57 (1995) 289-300,
   doi:10.1111/j.2517-6161.1995.tb02031.x.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from forensics.detectors._findings import Coverage, findings_frame, period_text, server_text, without_uploads
from forensics.detectors._measured import MEASURED, Measured
from forensics.detectors._pairs import STROBE, find_pairs, per_pair
from forensics.detectors._rita import rita_scores

if TYPE_CHECKING:
    import pandas as pd

    from forensics.case import Case
    from forensics.detectors._pairs import Block

__all__ = ["SCORE", "TITLE", "VALUE", "coverage", "detect", "rita_scores"]

TITLE = "Contacts that a clock makes"
VALUE = "period [s]"
SCORE = "share of regular intervals beyond chance [1]"

FEWEST = 4
"""Contacts that give three intervals, as RITA asks for."""


def detect(
    case: Case,
    *,
    least_contacts: int = 6,
    least_score: float = 0.25,
    max_q: float = 0.001,
    pause: timedelta = timedelta(hours=6),
) -> pd.DataFrame:
    """Return the beacons of a case, as findings, in order of time.

    Parameters
    ----------
    case
        The case.
    least_contacts
        Contacts that a pair must have to be tested. [1]
    least_score
        Least share of regular intervals beyond chance. [1]
    max_q
        Greatest expected share of false findings among all findings. [1]
    pause
        Intervals longer than this are pauses, not beats; so no period is longer.

    Returns
    -------
    pandas.DataFrame
        Findings (`forensics.schema.FINDING_COLUMNS`): ``value`` is the period [s], ``score`` the share of regular
        intervals beyond chance [1]; ``expected`` is null.

    Raises
    ------
    ValueError
        An option is out of its range.
    """
    ranges = least_contacts >= FEWEST and 0 <= least_score <= 1 and 0 < max_q < 1
    if not ranges or pause < timedelta(minutes=1):
        raise ValueError(
            f"least_contacts >= {FEWEST}, 0 <= least_score <= 1, 0 < max_q < 1 and pause of a minute or more are needed"
        )
    from scipy import stats

    pairs = find_pairs(case, least_contacts)
    if not len(pairs.table):
        return findings_frame(case, [])
    tests = partial(_measured, pause=pause.total_seconds(), least=least_contacts)
    measured = Measured.of(per_pair(case, pairs, tests, MEASURED))
    p_values = np.exp(measured.log_p)
    q_values = stats.false_discovery_control(p_values)
    found = np.flatnonzero((q_values <= max_q) & (measured.score >= least_score))
    rows = pairs.table.take(found).to_pylist()
    return findings_frame(
        case,
        [
            _finding(row, measured, int(place), float(p_values[place]), float(q_values[place]))
            for row, place in zip(rows, found, strict=True)
        ],
    )


def _measured(block: Block, *, pause: float, least: int) -> dict[str, np.ndarray]:
    """Return what the pairs of a block show, as columns; runs where the contacts lie."""
    from forensics.detectors._clockwork import measure  # loads the compiled loops

    return vars(measure(block, pause=pause, least=least))


def coverage(case: Case, *, least_contacts: int = 6) -> Coverage:
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
    pairs = find_pairs(case, least_contacts)
    tested, total = pairs.table.num_rows, pairs.total
    few = total - tested - pairs.strobes
    why = [f"fewer than {least_contacts} contacts"] if few else []
    if pairs.strobes:
        why.append(f"{pairs.strobes:,} with {STROBE:,} contacts a day or more, which no clock's beats can be told from")
    if without_uploads(case)[0]:
        why.append("rows that do not record what was sent were tested too, since intervals need no byte counts")
    return Coverage("beacons", tested, total - tested, "; ".join(why), "pairs of terminal and server")


def _finding(
    pair: dict[str, object], measured: Measured, place: int, p_value: float, q_value: float
) -> dict[str, object]:
    server, name, period = pair["server"], pair["name"], float(measured.period[place])
    shown = server_text(str(server), None if name is None else str(name))
    within = f"within {measured.tolerance[place]:.0%} of it or of a multiple"
    regular = f"{measured.regular[place]:,} of {measured.intervals[place]:,} intervals are regular ({within})"
    alike = f"{measured.alike[place]:.0%} of the contacts sent about as many bytes"
    sizes = f"; {alike}{', judged by these alone' * bool(measured.chosen[place])}" if measured.alike[place] else ""
    return {
        "detector": "beacons",
        "start": pair["first_seen"],
        "end": pair["last_seen"] + _MICROSECOND,  # type: ignore[operator]  # a time
        "src": pair["src"],
        "dst": server,
        "name": name,
        "value": period,
        "expected": None,
        "score": float(measured.score[place]),
        "p_value": p_value,
        "q_value": q_value,
        "reason": f"{pair['src']} met {shown} every {period_text(period)}: {regular}{sizes}",
    }


_MICROSECOND = timedelta(microseconds=1)
