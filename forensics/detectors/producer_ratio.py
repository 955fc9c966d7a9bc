r"""Terminals that begin to send to a server more than they receive from it.

The producer/consumer ratio of a terminal toward a server in a window (an hour; a minute where the case is shorter than
a day) is

.. math:: \text{PCR} = \frac{\text{out} - \text{in}}{\text{out} + \text{in}} = \tanh(L / 2), \quad
   L = \ln\frac{\text{out}}{\text{in}}

which is -1 for a pure consumer (reading), +1 for a pure producer (sending). What matters is the shift: a backup has
always been a producer, a site that was read for weeks has not. Each window with a ``history`` of earlier windows of the
same pair is compared with their median on the scale :math:`L` (one byte added on either side). The spread is
:math:`1.4826 \cdot \text{MAD}`, averaged as variance with the usual spread of pairs (or that of the pairs of this
server, where it is greater), which counts as `PRIOR_DEGREES` windows more. The tail probability is Student's t, and
over all windows with a history Benjamini-Hochberg holds the false discovery rate at ``max_q``.

A finding sent ``least_bytes`` or more in a window, has a PCR above 0, and one that is ``least_shift`` above what is
usual. Windows that follow each other are one finding. Only the last `MOST_HISTORY` windows are the past, so that a new
habit is one.

The ratio is undefined where a direction was not observed. Such rows are left out and counted in the coverage: logs
that do not tell what was sent (Squid's native layout, web servers) are never taken for pure consumers.

When it misleads
----------------
A file that a person sends to a site where he used to read is a shift, and innocent. A server that nobody met before has
no past: `volume_spikes` judges it. Chaff, downloads beside the upload, hides a shift.

References
----------
.. [1] C. Bullard, J. Gerth, "PCR - A New Flow Metric", FloCon 2014: the producer/consumer ratio of Argus.
.. [2] G. K. Smyth, "Linear Models and Empirical Bayes Methods ...", Stat. Appl. Genet. Mol. Biol. 3 (2004),
   doi:10.2202/1544-6115.1027: the moderated t statistic.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forensics.detectors._chance import MAD_TO_SIGMA, MOST_DEGREES, PRIOR_DEGREES, Floats, moderated, q_values
from forensics.detectors._findings import Coverage, findings_frame, server_text, size_text, time_text
from forensics.detectors._held import windows_held
from forensics.detectors._office import clients_of, office_of
from forensics.detectors._remembered import remembered
from forensics.detectors.volume_spikes import window_of
from forensics.engines import query_text

if TYPE_CHECKING:
    import pandas as pd

    from forensics.case import Case

__all__ = ["SCORE", "TITLE", "VALUE", "coverage", "detect"]

TITLE = "Servers that begin to be sent more than they send"
VALUE = "producer/consumer ratio [1]"
SCORE = "greatest robust z of its windows on the log scale [1]"

SHORT_CASE = timedelta(hours=24)
"""Cases that say for a shorter time than this what was sent are looked at by the minute, longer ones by the hour: each
window is compared with those before it, so that an hour serves from the first day on."""

HISTORY = 6
"""Earlier windows that a test needs."""

MOST_HISTORY = 200
"""Windows of a baseline, the latest ones."""

LEAST_SPREAD = 0.7
"""Least spread of a baseline: a factor of two. [ln]"""

PORTION = 4096
"""Windows whose baselines are made at once."""

REFUSED = """
SELECT count(*) AS refused, count(DISTINCT f.source) AS files
FROM flows f
JOIN terminals t ON f.src = t.src
WHERE f.bytes_out IS NULL OR f.bytes_in IS NULL
"""


def detect(
    case: Case,
    *,
    least_bytes: int = 1_000_000,
    least_shift: float = 0.5,
    history: int = HISTORY,
    max_q: float = 0.01,
) -> pd.DataFrame:
    """Return the shifts of a case from reading to sending, as findings, in order of time.

    Parameters
    ----------
    case
        The case.
    least_bytes
        Floor: windows in which a terminal sent less to the server are never a finding. [B]
    least_shift
        How far the ratio must lie above what is usual for the pair. [1]
    history
        Earlier windows of the pair that a test needs. [1]
    max_q
        Greatest expected share of false findings among all findings. [1]

    Returns
    -------
    pandas.DataFrame
        Findings (`forensics.schema.FINDING_COLUMNS`): ``value`` is the ratio over the finding's windows and
        ``expected`` the median of the windows before [1], ``score`` the greatest robust z [1].

    Raises
    ------
    ValueError
        An option is out of its range.
    """
    if least_bytes < 1 or not 0 <= least_shift < 2 or history < 2 or not 0 < max_q < 1:  # noqa: PLR2004  # its range
        raise ValueError("least_bytes >= 1, 0 <= least_shift < 2, history >= 2 and 0 < max_q < 1 are needed")
    windows, told = _windows(case, least_bytes, history)
    if windows.empty:
        return findings_frame(case, [])
    usual = max(MAD_TO_SIGMA * told["spread"], LEAST_SPREAD)
    judged = _judged(windows, usual, least_bytes, history)
    judged["q_value"] = q_values(judged["p_value"].to_numpy(), told["tested"])
    shifted = np.tanh(judged["level"] / 2) - np.tanh(judged["usual"] / 2) >= least_shift
    flagged = judged[(judged["q_value"] <= max_q) & shifted]
    length = window_of(case, short=SHORT_CASE)
    parted = (flagged["pair"].diff() != 0) | (flagged["start"].diff() > 2 * length)
    found = [_finding(case, run, length) for _, run in flagged.groupby(parted.cumsum())]
    return findings_frame(case, found)


def coverage(case: Case, *, least_bytes: int = 1_000_000, history: int = HISTORY) -> Coverage:
    """Return how many windows could be tested, how many have too short a past, and how many rows show no ratio.

    Parameters
    ----------
    case
        The case.
    least_bytes
        As `detect`.
    history
        As `detect`.
    """
    _, told = _windows(case, least_bytes, history)
    tested, untested = told["tested"] or 0, told["untested"] or 0
    known = case.sql(REFUSED, terminals=office_of(case)["terminals"]).to_arrow().to_pylist()[0]
    why = [f"the first {history} windows of a pair are learnt from"] if untested else []
    if known["refused"]:
        why.append(f"{known['refused']:,} flows of {known['files']:,} files show one direction alone, or none")
    return Coverage("producer_ratio", tested, untested, "; ".join(why), refused=known["refused"])


@remembered
def _windows(case: Case, least_bytes: int, history: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the windows of pairs with a candidate, in order; and what is known of all: how many, and their spread."""
    length = window_of(case, short=SHORT_CASE)
    size = length // timedelta(microseconds=1)
    asked = {"options": pa.table({"size": [size], "least_bytes": [least_bytes], "history": [history]})}
    asked |= {"members": clients_of(case), "outside": office_of(case)["outside"]}
    with windows_held(case, length):
        rows = case.sql(query_text("producer_ratio"), **asked).to_arrow()
    told: dict[str, Any] = rows.slice(0, 1).to_pylist()[0]
    windows: pd.DataFrame = rows.slice(1).drop_columns(["tested", "untested"]).to_pandas()
    return windows, told


def _judged(windows: pd.DataFrame, usual: float, least_bytes: int, history: int) -> pd.DataFrame:
    """Return the candidates among windows, with what is usual, z and p of each."""
    from scipy import stats

    sent, received, level = (windows[name].to_numpy(np.float64) for name in ("sent", "received", "level"))
    pair = ((windows["src"] != windows["src"].shift()) | (windows["server"] != windows["server"].shift())).cumsum()
    first = pair.searchsorted(pair, side="left")
    place = np.arange(len(windows))
    at = np.flatnonzero((sent >= least_bytes) & (sent > received) & (place - first >= history))
    centre, spread = _past(level, at, first[at])
    degrees = np.minimum(at - first[at], MOST_HISTORY) - 1
    usual_here = np.maximum(MAD_TO_SIGMA * windows["spread"].to_numpy(np.float64)[at], usual)
    variance = moderated(degrees * spread**2, degrees, usual_here**2)
    z = (level[at] - centre) / np.sqrt(variance)
    p = stats.t.sf(z, np.minimum(PRIOR_DEGREES + degrees, MOST_DEGREES))
    return windows.iloc[at].assign(pair=pair.iloc[at], level=level[at], usual=centre, z=z, p_value=p)


def _past(level: Floats, at: np.ndarray, first: np.ndarray) -> tuple[Floats, Floats]:
    """Return median and spread of the windows before each of some windows, back to the first of its pair."""
    centre, spread = np.empty(len(at)), np.empty(len(at))
    for begin in range(0, len(at), PORTION):
        part = slice(begin, begin + PORTION)
        longest = min(int((at[part] - first[part]).max()), MOST_HISTORY)
        before = at[part, None] - 1 - np.arange(longest)
        past = np.where(before >= first[part, None], level[before], np.nan)
        centre[part] = np.nanmedian(past, axis=1)
        spread[part] = MAD_TO_SIGMA * np.nanmedian(np.abs(past - centre[part, None]), axis=1)
    return centre, spread


def _finding(case: Case, run: pd.DataFrame, window: timedelta) -> dict[str, Any]:
    src, server = run["src"].iloc[0], run["server"].iloc[0]
    sent, received = float(run["sent"].sum()), float(run["received"].sum())
    ratio, usual = (sent - received) / (sent + received), float(np.tanh(run["usual"].iloc[0] / 2))
    named = run["name"].dropna()
    name = named.iloc[-1] if len(named) else None
    shown = server_text(server, name)
    return {
        "detector": "producer_ratio",
        "start": run["start"].iloc[0],
        "end": run["start"].iloc[-1] + window,
        "src": src,
        "dst": server,
        "name": name,
        "value": ratio,
        "expected": usual,
        "score": float(run["z"].max()),
        "p_value": float(run["p_value"].min()),
        "q_value": float(run["q_value"].min()),
        "reason": f"{src} sent {shown} {size_text(sent)} and received {size_text(received)} from "
        f"{time_text(run['start'].iloc[0], case.timezone)}: a ratio of {ratio:+.2f} where {usual:+.2f} was usual",
    }
