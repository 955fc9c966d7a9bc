r"""Spikes in the volume that a terminal sends to a server.

For each terminal and server the bytes sent in each window (an hour; a minute where the case is shorter than
`SHORT_CASE`) are compared with a baseline on the log scale, :math:`x = \ln(1 + \text{bytes})`. Every window sees
only what came before it:

1. the pair's own earlier windows, where there are at least ``history`` of them;
2. else the earlier windows of the other terminals toward the same server, where there are that many: what all
   terminals send there (a backup, a patch day's telemetry) is no spike of one;
3. else the first windows of all pairs: what a terminal commonly sends to a server that it has just met. In the first
   `SETTLING` of the case's time such windows are learnt from and not judged.

The centre is the median. The spread is moderated: the pair's :math:`1.4826 \cdot \text{MAD}` and the usual spread
within pairs, which counts as `PRIOR_DEGREES` windows more, are averaged as variances; so a short history is neither
trusted nor useless. The tail probability is Student's t with as many degrees of freedom, at most 30, since the tails
of traffic are heavier than normal ones. Over all windows of all pairs the false discovery rate is held at ``max_q``
(Benjamini-Hochberg), and a window must pass the floor ``least_bytes``. Windows far above their baseline do not enter
later baselines, so that an attacker cannot teach the detector his own level. Adjacent windows are one finding.

What a gateway sent, where no terminal's own rows show it (a proxy's log without upload sizes), is put to the terminal
that alone asked for the server in that time; where several did, the finding stays the gateway's.

When it misleads
----------------
A five-fold rise of a pair that is always busy is no outlier of an hour; a slow drain below the floor is not seen. A
large file that a person sends to a new server once is a spike like any other: `forensics.rank_relays` weighs whether
the server looks like a relay. Directions that the evidence does not observe are not tested; `coverage` says which.

References
----------
.. [1] B. Iglewicz, D. C. Hoaglin, *How to Detect and Handle Outliers*, ASQC 1993: median and MAD as z-score.
.. [2] Y. Benjamini, Y. Hochberg, "Controlling the False Discovery Rate", J. R. Stat. Soc. B 57 (1995) 289-300,
   doi:10.1111/j.2517-6161.1995.tb02031.x.
.. [3] M. Marchetti et al., "Analysis of high volumes of network traffic for Advanced Persistent Threat detection",
   Computer Networks 109 (2016) 127-141, doi:10.1016/j.comnet.2016.05.018.
.. [4] G. K. Smyth, "Linear Models and Empirical Bayes Methods ...", Stat. Appl. Genet. Mol. Biol. 3 (2004),
   doi:10.2202/1544-6115.1027: the moderated t statistic.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forensics.detectors._findings import KEYS, Coverage, findings_frame, size_text, time_text, without_uploads
from forensics.engines import query_text
from forensics.roles import Roles, find_roles

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from forensics.case import Case

__all__ = ["SCORE", "SHORT_CASE", "TITLE", "VALUE", "coverage", "detect", "series_by", "series_of", "window_of"]

TITLE = "Volumes above what is usual"
VALUE = "bytes sent [B]"
SCORE = "greatest robust z of its windows [1]"

SHORT_CASE = timedelta(hours=24)
"""Cases shorter than this are looked at by the minute, longer ones by the hour."""

MAD_TO_SIGMA = 1.4826
MOST_DEGREES = 30

PRIOR_DEGREES = 10
"""Windows that the usual spread counts as, beside a pair's own."""

FIRST_WINDOWS = 3
"""Windows of a pair that count as its first meeting with the server."""

MOST_HISTORY = 200
"""Windows of a baseline, the latest ones; more would only cost time."""

SETTLING = 0.1
"""Share of the case's time in which a pair without history is not judged. [1]"""

ANTI_POISON = 3.5
"""Robust z above which a window does not enter later baselines."""

SHOWN_WINDOWS = 72
"""Windows before and after a finding that explain it, at least."""

ASKED = """
SELECT DISTINCT k.finding AS finding, c.src AS src
FROM keys k
JOIN contacts c ON c.server = k.server AND c.start < k."end" AND c."end" >= k.start
ORDER BY finding NULLS LAST, src NULLS LAST
"""


def window_of(case: Case) -> timedelta:
    """Return the window by which a case is looked at: an hour, or a minute where it is shorter than `SHORT_CASE`."""
    span = case.sql("SELECT min(minute) AS first, max(minute) AS last FROM volumes").to_arrow().to_pylist()[0]
    if span["first"] is None or span["last"] - span["first"] >= SHORT_CASE:
        return timedelta(hours=1)
    return timedelta(minutes=1)


def series_by(case: Case, window: timedelta) -> pd.DataFrame:
    """Return bytes and connections of each client and server in each window: an hour, or a minute."""
    windows = pa.table({"hourly": [window >= timedelta(hours=1)]})
    return case.sql(query_text("series"), windows=windows).to_pandas()


def detect(
    case: Case,
    *,
    least_bytes: int = 1_000_000,
    max_q: float = 0.01,
    history: int = 6,
    least_spread: float = 0.7,
) -> pd.DataFrame:
    """Return the spikes of a case, as findings, in order of time.

    Parameters
    ----------
    case
        The case.
    least_bytes
        Floor: windows in which a terminal sent less to the server are never a spike. [B]
    max_q
        Greatest expected share of false findings among all findings. [1]
    history
        Windows that a baseline needs. [1]
    least_spread
        Least spread of a baseline on the log scale: 0.7 is a factor of two. [ln B]

    Returns
    -------
    pandas.DataFrame
        Findings (`forensics.schema.FINDING_COLUMNS`): ``value`` and ``expected`` are bytes sent in the finding's
        windows [B], ``score`` is the greatest robust z of its windows [1].

    Raises
    ------
    ValueError
        An option is out of its range.
    """
    if least_bytes < 0 or not 0 < max_q < 1 or history < 2 or least_spread <= 0:  # noqa: PLR2004  # a spread needs two
        raise ValueError("least_bytes >= 0, 0 < max_q < 1, history >= 2 and least_spread > 0 are needed")
    window = window_of(case)
    roles = find_roles(case)
    series = _series(case, window, roles)
    if series.empty:
        return findings_frame(case, [])
    tested = _tested(series, history=history, least_spread=least_spread)
    flagged = tested[(tested["q_value"] <= max_q) & (tested["bytes_out"] >= least_bytes)]
    found = [_finding(case, group, window) for group in _runs(flagged, window)]
    return findings_frame(case, _attributed(case, found, roles))


def coverage(case: Case, *, history: int = 6, least_spread: float = 0.7) -> Coverage:
    """Return how many windows could be tested, and how many not, with the reasons.

    Rows that do not record what was sent are refused, never taken for zero: the coverage counts them and names their
    files. A window that other rows of the same pair observe is tested on what those say.
    """
    series = _series(case, window_of(case), find_roles(case), observed=False)
    known = series[series["bytes_out"].notna()]
    tested = len(_tested(known, history=history, least_spread=least_spread)) if len(known) else 0
    why = []
    refused, files, sources = without_uploads(case)
    if refused:
        rows = "1 flow of 1 file does" if refused == 1 else f"{refused:,} flows of {files:,} file{'s' * (files > 1)} do"
        why.append(f"{rows} not record what was sent ({sources})")
    if tested < len(known):
        why.append(f"pairs without history in the first {SETTLING:.0%} of the time, which is learnt from")
    return Coverage("volume_spikes", tested, len(series) - tested, "; ".join(why), refused=refused, sources=sources)


def series_of(case: Case, finding: Mapping[str, Any]) -> pd.DataFrame:
    """Return the series around a finding, with the baseline that `detect` has without options.

    Returns
    -------
    pandas.DataFrame
        ``start`` of each window, ``value`` and ``expected`` [B]; null where nothing was sent, or there is no baseline.
        Without rows where the finding's own terminal has none.
    """
    import pandas as pd

    window = window_of(case)
    series = _series(case, window, find_roles(case))
    series = series.join(_tested(series, history=6, least_spread=0.7)["expected"]) if len(series) else series
    margin = max(finding["end"] - finding["start"], SHOWN_WINDOWS * window)
    near = series["start"].between(finding["start"] - margin, finding["end"] + margin, inclusive="left")
    pair = series[near & (series["src"] == finding["src"]) & (series["server"] == finding["dst"])].set_index("start")
    if pair.empty:
        return pd.DataFrame({"start": [], "value": [], "expected": []})
    whole = pair.reindex(pd.date_range(pair.index.min(), pair.index.max(), freq=window, name="start"))
    values = {"value": whole["bytes_out"].astype("float64"), "expected": whole["expected"].astype("float64")}
    return pd.DataFrame(values).reset_index()


def _series(case: Case, window: timedelta, roles: Roles, *, observed: bool = True) -> pd.DataFrame:
    """Return bytes per terminal, server and window; a gateway's are there only where no terminal's own are."""
    series = series_by(case, window)
    series = series[~series["server"].map(roles.is_inside).astype(bool)]
    direct = series["src"].isin(roles.terminals)
    behind = series["src"].isin(roles.gateways)
    terminal_bytes = series[direct & series["bytes_out"].notna()]
    # What the terminals' own rows show already is not shown again as the gateway's.
    shown = set(zip(terminal_bytes["server"], terminal_bytes["start"], strict=True))
    fresh = [(server, start) not in shown for server, start in zip(series["server"], series["start"], strict=True)]
    series = series[direct | (behind & np.array(fresh, dtype=bool))]
    if observed:
        series = series[series["bytes_out"].notna()]
    return series.sort_values(["start", "src", "server"], kind="stable").reset_index(drop=True)


def _tested(series: pd.DataFrame, *, history: int, least_spread: float) -> pd.DataFrame:
    """Return the windows that have a baseline, with expectation, z, p and q of each."""
    from scipy import stats

    x = np.log1p(series["bytes_out"].to_numpy(dtype=np.float64))
    baselines = _Baselines(series, x, history=history, least_spread=least_spread)
    centre, spread, degrees = baselines.of_all()
    z = (x - centre) / spread
    tested: pd.DataFrame = series.assign(expected=np.expm1(centre), z=z, p_value=stats.t.sf(z, degrees))
    tested = tested[~np.isnan(z)]
    return tested.assign(q_value=stats.false_discovery_control(tested["p_value"]) if len(tested) else [])


class _Baselines:
    """The baselines of all windows, made in order of time: each window sees only what came before it.

    Parameters
    ----------
    series
        Windows in order of time.
    x
        Their bytes on the log scale, shape (n,).
    history, least_spread
        As `detect`.
    """

    def __init__(self, series: pd.DataFrame, x: np.ndarray, *, history: int, least_spread: float) -> None:
        pairs = series.groupby(["src", "server"], sort=False)
        self._x = x
        self._pair = pairs.ngroup().to_numpy()
        self._server = series["server"].astype("category").cat.codes.to_numpy()
        self._history = history
        first = x[pairs.cumcount().to_numpy() < FIRST_WINDOWS]
        usual = x - _group_median(x, self._pair)
        self._spread = max(_mad(usual[np.bincount(self._pair)[self._pair] >= history]), least_spread)
        self._pooled = (float(np.median(first)), max(_mad(first), least_spread), float(MOST_DEGREES))
        time = series["start"].astype("int64").to_numpy()
        self._judged = time >= time[0] + SETTLING * (time[-1] - time[0])
        self._calm: defaultdict[int, list[float]] = defaultdict(list)
        self._met: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)

    def of_all(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return centre, spread and degrees of freedom of each window's baseline, each of shape (n,)."""
        found = np.full((3, len(self._x)), np.nan)
        for place, (x, pair, server) in enumerate(zip(self._x, self._pair, self._server, strict=True)):
            baseline = self._of(int(pair), int(server), judged=bool(self._judged[place]))
            if baseline is not None:
                found[:, place] = baseline
            # What lies far above its baseline must not become the baseline of what follows.
            if baseline is None or x <= baseline[0] + ANTI_POISON * baseline[1]:
                self._calm[int(pair)].append(float(x))
                self._met[int(server)].append((int(pair), float(x)))
        return found[0], found[1], found[2]

    def _of(self, pair: int, server: int, *, judged: bool) -> tuple[float, float, float] | None:
        """Return the baseline of a pair's next window; None where there is none yet."""
        own = self._calm[pair][-MOST_HISTORY:]
        if len(own) >= self._history:
            return self._moderated(own)
        others = [x for other, x in self._met[server][-MOST_HISTORY:] if other != pair]
        if len(others) >= self._history:
            return self._moderated(others)
        return self._pooled if judged else None

    def _moderated(self, values: list[float]) -> tuple[float, float, float]:
        """Return a baseline whose spread leans on that of all pairs, the more the fewer values it has."""
        known = np.array(values)
        degrees = len(known) - 1
        variance = (PRIOR_DEGREES * self._spread**2 + degrees * _mad(known) ** 2) / (PRIOR_DEGREES + degrees)
        return float(np.median(known)), float(np.sqrt(variance)), float(min(PRIOR_DEGREES + degrees, MOST_DEGREES))


def _group_median(x: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return for each value the median of its group."""
    import pandas as pd

    median: np.ndarray = pd.Series(x).groupby(group).transform("median").to_numpy()
    return median


def _mad(values: np.ndarray) -> float:
    """Return the median absolute deviation, scaled to the standard deviation of normal values; 0 for no values."""
    return MAD_TO_SIGMA * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def _attributed(case: Case, found: list[dict[str, object]], roles: Roles) -> list[dict[str, object]]:
    """Return the findings with a gateway's put to the terminal that alone asked for the server in that time."""
    behind = [(number, finding) for number, finding in enumerate(found) if finding["src"] in roles.gateways]
    keys = [{"finding": number, "server": f["dst"], "start": f["start"], "end": f["end"]} for number, f in behind]
    rows = case.sql(ASKED, keys=pa.Table.from_pylist(keys, KEYS)).to_arrow().to_pylist()
    for number, finding in behind:
        asked = [row["src"] for row in rows if row["finding"] == number and row["src"] in roles.terminals]
        if len(asked) == 1:
            seen_as = finding["src"]
            reason = str(finding["reason"]).replace(f"{seen_as} sent", f"{asked[0]} sent", 1)
            reason += f" (recorded as {seen_as}'s; of the terminals only {asked[0]} asked for this server then)"
            found[number] = finding | {"src": asked[0], "seen_as": seen_as, "reason": reason}
    return found


def _runs(flagged: pd.DataFrame, window: timedelta) -> list[pd.DataFrame]:
    """Return the flagged windows of each pair in runs: a window between two flagged ones does not part them."""
    runs = []
    for _, pair in flagged.groupby(["src", "server"], sort=True):
        ordered = pair.sort_values("start")
        parted = (ordered["start"].diff() > 2 * window).cumsum()
        runs += [run for _, run in ordered.groupby(parted)]
    return runs


def _finding(case: Case, run: pd.DataFrame, window: timedelta) -> dict[str, object]:
    src, server = run["src"].iloc[0], run["server"].iloc[0]
    start, end = run["start"].iloc[0], run["start"].iloc[-1] + window
    value, expected = float(run["bytes_out"].sum()), float(run["expected"].sum())
    named = run["name"].dropna()
    name = named.iloc[-1] if len(named) else None
    unit = "hour" if window >= timedelta(hours=1) else "minute"
    shown = f"{server} ({name})" if name and name != server else server
    reason = (
        f"{src} sent {size_text(value)} to {shown} in {len(run)} {unit}{'s' * (len(run) > 1)} from "
        f"{time_text(start, case.timezone)}; {size_text(expected)} was to be expected"
    )
    return {
        "detector": "volume_spikes",
        "start": start,
        "end": end,
        "src": src,
        "dst": server,
        "name": name,
        "value": value,
        "expected": expected,
        "score": float(run["z"].max()),
        "p_value": float(run["p_value"].min()),
        "q_value": float(run["q_value"].min()),
        "reason": reason,
    }
