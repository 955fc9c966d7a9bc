r"""Spikes in the volume that a terminal sends: to one server, or to all of its servers together.

The bytes sent in each window (an hour; a minute where the case says for less than `SHORT_CASE` what was sent) are
compared with a baseline on the log scale, :math:`x = \ln(1 + \text{bytes})`. Every day sees only what came before it
(in a short case every minute does). The first tenth of the case's time is learnt from and not judged; of a case of
days, at least a day and a half, which hold a whole night, but no more than a quarter of the case. Baselines are nested,
and each leans on the wider one as if it were two windows: with :math:`n` windows of mean :math:`\bar x`,

.. math:: c = (n \bar x + 2 c') / (n + 2)

1. the pair's windows at this hour of the day (and the ones beside it) on days of this type: working days, or weekends
   and public holidays, in the case's zone;
2. its windows at this hour on any day;
3. all its windows;
4. what other terminals sent to that server, which is what a new pair is judged by;
5. the first windows of all pairs: what a terminal commonly sends to a server that it has just met.

The spread is moderated: the pair's own squared deviations and the usual spread within pairs, which counts as 20
windows, are averaged; while a pair has few windows, the spread between terminals is added. First windows have a long
upper tail, for most pairs begin with a request or two and some with a form. Their spread is that of the tail where it
is the wider: :math:`(Q_{1-a} - Q_{1/2}) / \Phi^{-1}(1 - a)` with :math:`a` = 2.5 %, or the share of six windows.
With :math:`z = (x - c) / s`, the tail probability is Student's t with as many degrees of freedom as there are windows
behind it, at most 30, since the tails of traffic are heavier than normal ones.

A **burst** is a window of at least ``least_bytes`` that is unusual by itself. A **drain** is a rise that lasts: the
CUSUM of the same z as a normal score, at most 4 for one window,

.. math:: S_t = \max(0, S_{t-1} + z_t - 1/2)

must reach ``least_drain``; with the tail probability :math:`e^{-(S + 1.166)} / 2` [6]_. It begins where the sum was
last zero, and ends at its peak; on one of its days it must send ``least_bytes`` more than its baseline. Windows above
the floor that it holds beside a burst belong to that burst. Over all windows of all pairs and terminals, each tested
for both, the false discovery rate is held at ``max_q`` (Benjamini-Hochberg); what was screened out for its size counts
as tested.

Windows far above their baseline (z above 3.5) do not enter later baselines, so that an attacker cannot teach the
detector his own level; while a drain is suspected (a CUSUM of 5), windows count a fifth. By a suspected drain other
terminals are not judged at all, and by another judged window of a candidate with the weight
:math:`1 / \max(1, z)^2` [7]_. What a series does on three days at the same hour is its habit from the fourth on: what
it sent at that hour then is its baseline. A habit that began late is one finding, from its first night to its last.
What half of the office does in the same hour (patch day), or where half of it sends more to a server on one day than
it used to (a new service), is no spike of one, but for a terminal that sends ten times what they do. Adjacent windows
are one finding; its start and end are the minutes in which it was sent.

A terminal's total is a finding, with no ``dst``, only where its pairs by themselves do not explain it: much sent to
many servers, a little to each. What a gateway sent, where no terminal's own rows show it, is put to the terminal that
alone asked for the server in that time; where several did, the finding stays the gateway's.

Pairs of which no record says what was sent (a proxy's log in its native form) are compared by requests, by durations
and by reply sizes, each in the same manner, and the finding says so.

When it misleads
----------------
A large file that a person sends to a new server once is a spike like any other: `forensics.rank_relays` weighs
whether the server looks like a relay. An attacker who was there before the evidence begins, and sends as much every
night, is a habit. A rise of a pair that is always busy shows as a drain after some windows, or not at all below a
factor of three. Where half of a small office sends to one relay on one day, that looks like a new service. A form of a
megabyte to a site that so far got kilobytes is a burst, and so are the first nights of a backup to a service that
nobody used before. So few windows that no day came before them are not judged. Without upload bytes, downloads and long
sessions of people look like uploads. `coverage` says what was tested.

References
----------
.. [1] B. Iglewicz, D. C. Hoaglin, *How to Detect and Handle Outliers*, ASQC 1993: robust z-scores.
.. [2] Y. Benjamini, Y. Hochberg, "Controlling the False Discovery Rate", J. R. Stat. Soc. B 57 (1995) 289-300,
   doi:10.1111/j.2517-6161.1995.tb02031.x.
.. [3] M. Marchetti et al., "Analysis of high volumes of network traffic for Advanced Persistent Threat detection",
   Computer Networks 109 (2016) 127-141, doi:10.1016/j.comnet.2016.05.018.
.. [4] G. K. Smyth, "Linear Models and Empirical Bayes Methods ...", Stat. Appl. Genet. Mol. Biol. 3 (2004),
   doi:10.2202/1544-6115.1027: the moderated t statistic.
.. [5] A. Noufaily et al., "An improved algorithm for outbreak detection in multiple surveillance systems",
   Statistics in Medicine 32 (2013) 1206-1222, doi:10.1002/sim.5595: past outbreaks kept out of the baseline.
.. [6] D. Siegmund, *Sequential Analysis*, Springer 1985, doi:10.1007/978-1-4757-1862-1: how often a CUSUM alarms.
.. [7] C. P. Farrington et al., "A Statistical Algorithm for the Early Detection of Outbreaks of Infectious Disease",
   J. R. Stat. Soc. A 159 (1996) 547-563, doi:10.2307/2983331: what lies high weighs less in later baselines.
"""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forensics.detectors._chance import q_values
from forensics.detectors._findings import Coverage, findings_frame, without_uploads
from forensics.detectors._remembered import remembered
from forensics.detectors._spike_baselines import STEADY, Judged, judge
from forensics.detectors._spike_reasons import UNSAID, attributed, finding, is_upload, trimmed
from forensics.detectors._spike_runs import Run, Tested, bursts, common, crowded, drain_p, drains, unexplained
from forensics.detectors._spike_windows import (
    INSTEAD,
    SENT,
    SHORT_CASE,
    Series,
    Windows,
    read_windows,
    settled_of,
    span_of,
    window_of,
)
from forensics.engines import query_text
from forensics.roles import find_roles

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date

    import pandas as pd

    from forensics.case import Case

__all__ = [
    "SCORE",
    "SHORT_CASE",
    "TITLE",
    "VALUE",
    "coverage",
    "detect",
    "is_upload",
    "series_by",
    "series_of",
    "span_of",
    "window_of",
]

TITLE = "Volumes above what is usual"
VALUE = "bytes sent; where no record says them, what the reason says [B]"
SCORE = "greatest robust z of its windows, or the CUSUM of a drain [1]"

LEAST_BYTES = 1_000_000
"""Least that a terminal must send to a server in an hour for that to be a spike. [B]"""

TERMINAL_FLOOR = 10
"""Times the floor of a pair that a terminal must send to all servers together. [1]"""

SHORT_FLOOR = 0.1
"""What a minute of a short case must hold, as a share of the floor of an hour. [1]"""

TYPICAL = 30
"""What a minute of a short case must hold, over the median of what terminals first sent to a server. [1]"""

SHOWN_WINDOWS = 72
"""Windows before and after a finding that explain it, at least."""

MICROSECOND = timedelta(microseconds=1)


def series_by(case: Case, window: timedelta, servers: Sequence[str]) -> pd.DataFrame:
    """Return bytes and connections of each client with each of some servers in each window: an hour, or a minute."""
    windows = pa.table({"hourly": [window >= timedelta(hours=1)]})
    named = pa.table({"server": pa.array(servers, pa.string())})
    return case.sql(query_text("series"), windows=windows, named=named).to_pandas()


def detect(
    case: Case,
    *,
    least_bytes: int = LEAST_BYTES,
    max_q: float = 0.01,
    least_drain: float = 8.0,
    least_spread: float = 0.7,
    holidays: Collection[date] | None = None,
) -> pd.DataFrame:
    """Return the spikes of a case, as findings, in order of time.

    Parameters
    ----------
    case
        The case.
    least_bytes
        Floor: hours in which a terminal sent less to the server are never a spike, nor are minutes of a short case
        in which it sent less than a tenth, nor drains on none of whose days it sent as much above its baseline; to all
        servers together it must be `TERMINAL_FLOOR` times as much. [B]
    max_q
        Greatest expected share of false findings among all findings. [1]
    least_drain
        Least CUSUM of a drain, in standard deviations; ``max_q`` asks for more where little else is found. [1]
    least_spread
        Least spread of a baseline on the log scale: 0.7 is a factor of two. [ln B]
    holidays
        Days on which nobody works, beside weekends. Where none are given they are the public holidays of Japan if the
        case's zone is Japan's, else none.

    Returns
    -------
    pandas.DataFrame
        Findings (`forensics.schema.FINDING_COLUMNS`): ``value`` and ``expected`` are bytes sent in the finding's
        windows [B], ``score`` is the greatest robust z of its windows, or the CUSUM of a drain [1]. ``dst`` is null
        where a terminal sent unusually much to its servers together and to none of them by itself. Where no record
        says what was sent, ``value`` and ``expected`` are requests, seconds or bytes of replies, and the reason says
        so; `is_upload` tells these findings apart.

    Raises
    ------
    ValueError
        An option is out of its range.
    """
    if least_bytes < 0 or not 0 < max_q < 1 or least_drain <= 0 or least_spread <= 0:
        raise ValueError("least_bytes >= 0, 0 < max_q < 1, least_drain > 0 and least_spread > 0 are needed")
    roles = find_roles(case)
    read = _read(case, least_bytes, None if holidays is None else frozenset(holidays))
    tested = _tested(read, least_bytes, least_spread=least_spread)
    found: list[dict[str, Any]] = []
    for pairs, terminals in tested:
        flagged = _flagged(pairs, pairs.series.amount, max_q)
        runs = _runs(pairs, flagged, max_q, least_drain)
        found += [finding(case, pairs, run, _q(pairs, run)) for run in runs]
        left = unexplained(terminals.series, pairs.series, pairs.judged, flagged)
        told = _flagged(terminals, left, max_q)
        runs = bursts(terminals.series, terminals.judged, told, told, terminals.windows.window // MICROSECOND)
        found += [finding(case, terminals, run, _q(terminals, run)) for run in runs]
    return findings_frame(case, attributed(case, trimmed(case, _strongest(found)), roles))


def coverage(case: Case) -> Coverage:
    """Return how many windows could be tested, and how many not, with the reasons.

    Rows that do not record what was sent are refused, never taken for zero: the coverage counts them and names their
    files. A window that other rows of the same pair observe is tested on what those say. Pairs of which no row does are
    tested on requests, durations and reply sizes instead, and it says so.
    """
    main, *others = _read(case, LEAST_BYTES, None)  # what is counted is the same whatever the floor
    why = []
    refused, files, sources = without_uploads(case)
    if refused:
        rows = "1 flow of 1 file does" if refused == 1 else f"{refused:,} flows of {files:,} file{'s' * (files > 1)} do"
        why.append(f"{rows} not record what was sent ({sources})")
    instead = sum(one.judged for one in others)
    if instead:
        names = ", ".join(one.measure.title for one in others if one.judged)
        why.append(f"pairs without any record of it were tested on {names} instead, {instead:,} windows in all")
    if main.learnt:
        first, last = span_of(case)
        begin = first or last
        share = (settled_of(case) - begin) / max(last - begin, MICROSECOND)
        why.append(f"{main.learnt:,} windows lie in the first {share:.0%} of the time, which is learnt from")
    left = main.learnt + main.unobserved
    tested = main.judged + main.totals
    return Coverage("volume_spikes", tested, left, "; ".join(why), refused=refused, sources=sources)


def series_of(case: Case, finding: Mapping[str, Any]) -> pd.DataFrame:
    """Return the series around a finding, with the baseline that `detect` has without options.

    Returns
    -------
    pandas.DataFrame
        ``start`` of each window, ``value`` and ``expected`` [B]; null where nothing was sent, or there is no baseline.
        Without rows where the finding is not of what was sent, or the finding's own terminal has none.
    """
    import pandas as pd

    options = inspect.signature(detect).parameters
    least, spread = (options[name].default for name in ("least_bytes", "least_spread"))
    [(pairs, terminals)] = _tested(_read(case, least, None)[:1], least, least_spread=spread)
    tested = terminals if finding["dst"] is None else pairs
    series, window = tested.series, tested.windows.window
    number = {key: place for place, key in enumerate(zip(series.src, series.dst, strict=True))}
    mine = series.of == number.get((finding["src"], finding["dst"]), -1)
    frame = pd.DataFrame(
        {
            "start": pd.to_datetime(series.start[mine], unit="us", utc=True),
            "value": series.amount[mine].astype(float),
            "expected": np.expm1(tested.judged.centre[mine]),
        }
    )
    margin = max(finding["end"] - finding["start"], SHOWN_WINDOWS * window)
    near = frame["start"].between(finding["start"] - margin, finding["end"] + margin, inclusive="left")
    if UNSAID in finding["reason"] or not near.any():
        return frame.iloc[:0]
    near_frame = frame[near].set_index("start")
    whole = pd.date_range(near_frame.index.min(), near_frame.index.max(), freq=window, name="start")
    return near_frame.reindex(whole).reset_index()


@remembered
def _read(case: Case, least: float, holidays: frozenset[date] | None) -> list[Windows]:
    """Return the windows of what was sent, and those of other measures where some rows do not say what was sent."""
    share, other = (SHORT_FLOOR if window_of(case, one) < timedelta(hours=1) else 1.0 for one in (SENT, INSTEAD[0]))
    main = read_windows(case, SENT, least=share * least, least_total=TERMINAL_FLOOR * least, holidays=holidays)
    instead = INSTEAD if main.unobserved else ()
    return [
        main,
        *(read_windows(case, one, least=one.floor(other * least), least_total=0, holidays=holidays) for one in instead),
    ]


def _tested(read: list[Windows], least_bytes: float, *, least_spread: float) -> list[tuple[Tested, Tested]]:
    """Return the series of pairs and of terminals of each measure, with q-values over everything that was tested."""
    from scipy import stats  # noqa: F401  # imported here once, not while the first window waits

    parts: list[tuple[Windows, Series, Judged]] = []
    for windows in read:
        by_minute = windows.window < timedelta(hours=1)
        for series, first, usual in (
            (windows.pairs, windows.first, windows.usual),
            (windows.terminals, None, least_spread),
        ):
            judged = judge(series, first, usual, least_spread=least_spread, by_minute=by_minute)
            parts.append((windows, series, judged))
    # A window is tested twice: by itself, and as part of a drain.
    count = 2 * sum(windows.judged + windows.totals for windows in read)
    p = np.concatenate([np.where(s.judged, values, np.nan) for _, s, j in parts for values in (j.p, drain_p(j.drain))])
    q = np.split(q_values(p, count), np.cumsum([len(s.of) for _, s, _ in parts for _ in range(2)]))
    tested = [
        Tested(
            windows,
            series,
            judged,
            _floor(windows, least_bytes, series),
            q[2 * n],
            q[2 * n + 1],
            common(series, judged, windows.office),
        )
        for n, (windows, series, judged) in enumerate(parts)
    ]
    return list(zip(tested[::2], tested[1::2], strict=True))


def _floor(windows: Windows, least_bytes: float, series: Series) -> float:
    """Return the least amount of a window that can be a finding."""
    floor = windows.measure.floor(least_bytes)
    if series is windows.terminals:
        floor *= TERMINAL_FLOOR
    if windows.window >= timedelta(hours=1):
        return floor
    return max(SHORT_FLOOR * floor, min(TYPICAL * windows.typical, floor))


def _flagged(tested: Tested, amount: np.ndarray, max_q: float) -> np.ndarray:
    """Return which windows are spikes by themselves: unusual, above the floor, and not what all do at once."""
    series, judged = tested.series, tested.judged
    flagged: np.ndarray = (tested.q <= max_q) & (amount >= tested.least) & ~judged.habit & ~tested.shared
    if tested.series is tested.windows.terminals:
        # What is left must be as unusual as the whole was.
        flagged &= (np.log1p(amount) - judged.centre) / judged.spread >= judged.z[flagged].min(initial=np.inf)
    flagged &= ~crowded(series, flagged, tested.windows.office)
    return flagged


def _runs(tested: Tested, flagged: np.ndarray, max_q: float, least_drain: float) -> list[Run]:
    series, judged = tested.series, tested.judged
    window = tested.windows.window // MICROSECOND
    if tested.windows.measure is not SENT:
        # Durations of long connections are too heavy-tailed for sums.
        return bursts(series, judged, flagged, flagged, window)
    alarmed = (tested.drain_q <= max_q) & (judged.drain >= least_drain)
    carried = alarmed & (judged.z > STEADY) & (series.amount >= tested.least)
    found = bursts(series, judged, flagged, carried, window)
    told = tested.shared.copy()
    for run in found:
        told[run.windows] = True
    return found + drains(series, judged, alarmed, told, least=tested.least, least_drain=least_drain)


def _q(tested: Tested, run: Run) -> tuple[float, float]:
    """Return the least p- and q-value of a run."""
    if run.kind == "drain":
        return float(drain_p(tested.judged.drain[run.windows]).min()), float(np.nanmin(tested.drain_q[run.windows]))
    return float(np.nanmin(tested.judged.p[run.windows])), float(np.nanmin(tested.q[run.windows]))


def _strongest(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return findings without those that another measure shows as well, and more strongly."""
    kept: list[dict[str, Any]] = []
    for one in sorted(found, key=lambda f: (f["q_value"], f["p_value"], f["start"], f["src"], f["dst"] or "")):
        alike = (
            other
            for other in kept
            if (other["src"], other["dst"]) == (one["src"], one["dst"])
            and other["measure"] is not one["measure"]
            and other["start"] < one["end"]
            and one["start"] < other["end"]
        )
        if not any(alike):
            kept.append(one)
    return kept
