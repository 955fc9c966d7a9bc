"""How right the spikes are, beside two published rules on the same windows; `accuracy.py` has the command line.

A window is a terminal, a server and an hour; it is true where planted uploads fall into it. Windows of single large
uploads by people are left out: they are spikes by any measure of volume. The rules beside ours are

* the time series rule of MSTICPy 3 (``ts_anomalies_stl``), restated: STL with ``seasonal=7, period=24`` of a pair's
  bytes by the hour, zeros filled in; residuals as whole numbers; the z-score of a residual above 3 where the seasonal
  part is above 0. It runs on pairs that sent a megabyte on some day alone, which flatters it; and on *totals* of
  terminals, where only hours of bursts must be found;
* a robust z of ln(1 + bytes) by the median and MAD of the pair's windows, above 3.5 (Iglewicz and Hoaglin). *AP bursts*
  asks for the hours of bursts alone, of pairs that sent a megabyte on some day.
"""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forensics.detectors import volume_spikes
from forensics.roles import find_roles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from forensics.case import Case
    from forensics.synthetic import Truth

HOUR = 3600
LEAST, FLOOR = 1.0, 1_000_000
STL_LIMIT = 3.0
RULE_COLUMNS = (
    "AP log-MAD z",
    "found log-MAD z",
    "precision log-MAD z",
    "AP bursts log-MAD z",
    "AP STL",
    "found STL",
    "precision STL",
    "found bursts STL totals",
    "precision STL totals",
)
SPIKE_COLUMNS = ("AP", "AP by p", "bursts", "drains", "false", "false per 10,000 h", *RULE_COLUMNS)

Key = tuple[str, str, int]


class Windows(NamedTuple):
    """Every window of a campaign: keys, bytes, whether planted, whether a person's single upload."""

    frame: pd.DataFrame
    true: np.ndarray
    left_out: np.ndarray
    planted: int


def measure_spikes(case: Case, truth: Truth, hours: float) -> dict[str, float | None]:
    """Return the figures of one campaign; None where nothing was planted.

    Parameters
    ----------
    case, truth
        The campaign.
    hours
        Terminals times hours.
    """
    windows = _windows(case, truth)
    found = volume_spikes.detect(case).to_dict("records")
    innocent = [row for row in found if not _any(row, [*truth["uploads"], *truth["one_off_uploads"]])]
    figures: dict[str, float | None] = {
        "false": float(len(innocent)),
        "false per 10,000 h": len(innocent) / hours * 1e4,
    }
    figures["AP"], figures["AP by p"] = (_precision(score, windows) for score in _ours(case, windows))
    for kind in ("burst", "drain"):
        planted = [one for one in truth["uploads"] if one.get("kind") == kind]
        hit = [one for one in planted if any(_any(row, [one]) for row in found)]
        figures[f"{kind}s"] = len(hit) / len(planted) if planted else None
    return figures | (_rules(windows, truth) if windows.planted else dict.fromkeys(RULE_COLUMNS))


def _rules(windows: Windows, truth: Truth) -> dict[str, float | None]:
    """Return how the published rules fare, on all planted windows and in the easier settings."""
    figures: dict[str, float | None] = {}
    z, busy = _robust_z(windows), _busy(windows)
    for name, scores, limit in (("log-MAD z", z, 3.5), ("STL", _stl(windows, busy), STL_LIMIT)):
        flagged = (scores > limit) & ~windows.left_out
        hits = int((flagged & windows.true).sum())
        figures[f"AP {name}"] = _precision(scores, windows)
        figures[f"found {name}"] = hits / windows.planted
        figures[f"precision {name}"] = hits / max(int(flagged.sum()), 1)
    frame = windows.frame
    bursts = set(_hours([one for one in truth["uploads"] if one.get("kind") == "burst"]))
    true = np.array([key in bursts for key in zip(frame["src"], frame["server"], frame["hour"], strict=True)])
    easy = Windows(frame, true, windows.left_out | (windows.true & ~true), len(bursts))
    figures["AP bursts log-MAD z"] = _precision(np.where(busy, z, -np.inf), easy)
    flagged_hours = _stl_of_terminals(windows)
    hours = {(src, hour) for src, _, hour in bursts}
    planted = {(src, hour) for src, _, hour in _hours(truth["uploads"])}
    figures["found bursts STL totals"] = len(hours & flagged_hours) / max(len(hours), 1)
    figures["precision STL totals"] = len(planted & flagged_hours) / max(len(flagged_hours), 1)
    return figures


def _windows(case: Case, truth: Truth) -> Windows:
    servers = case.sql("SELECT DISTINCT server FROM traffic").to_arrow()["server"].to_pylist()
    frame = volume_spikes.series_by(case, timedelta(hours=1), servers)
    roles = find_roles(case)
    frame = frame[frame["src"].isin(roles.terminals) & frame["bytes_out"].notna()]
    frame = frame[~frame["server"].map(roles.is_inside).astype(bool)].reset_index(drop=True)
    hour = frame["start"].to_numpy(dtype="datetime64[us]").astype(np.int64) // (HOUR * 1_000_000)
    frame = frame.assign(hour=hour, sent=frame["bytes_out"].astype(float))
    keys = list(zip(frame["src"], frame["server"], hour.tolist(), strict=True))
    planted, single = set(_hours(truth["uploads"])), set(_hours(truth["one_off_uploads"]))
    true = np.array([key in planted for key in keys])
    return Windows(frame, true, np.array([key in single for key in keys]) & ~true, len(planted))


def _hours(transfers: Iterable[Mapping[str, Any]]) -> Iterable[Key]:
    for one in transfers:
        first, last = (int(datetime.fromisoformat(one[end]).timestamp()) // HOUR for end in ("start", "end"))
        yield from ((one["src"], one["dst"], hour) for hour in range(first, last + 1))


def _any(row: Mapping[Any, Any], transfers: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether a finding is about one of these transfers."""
    return any(
        row["src"] == one["src"]
        and row["dst"] == one["dst"]
        and row["start"] < datetime.fromisoformat(one["end"])
        and row["end"] > datetime.fromisoformat(one["start"])
        for one in transfers
    )


def _precision(score: np.ndarray, windows: Windows) -> float | None:
    """Return the average precision of a ranking; planted windows that no row shows count as never found."""
    if not windows.planted:
        return None
    kept = ~windows.left_out
    ranked = windows.true[kept][np.argsort(-score[kept], kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked].sum() / windows.planted)


def _ours(case: Case, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Return two scores of each window: as the detector ranks it, what is in a finding first; and by p alone.

    Both go by -log10 of the window's p-value, which is 0 where its pair never passes the floor.
    """
    options = inspect.signature(volume_spikes.detect).parameters
    drain, spread = (options[name].default for name in ("least_drain", "least_spread"))
    read = volume_spikes._read(case, FLOOR, None)
    pairs, _ = volume_spikes._tested(read, FLOOR, least_spread=spread)[0]
    series, p = pairs.series, np.where(pairs.series.judged, pairs.judged.p, 1.0)
    most_q = options["max_q"].default
    runs = volume_spikes._runs(pairs, volume_spikes._flagged(pairs, series.amount, most_q), most_q, drain)
    shown = np.zeros(len(p))
    for run in runs:
        shown[run.windows] = 1000.0
    score = -np.log10(np.maximum(p, 1e-300))
    hour = series.start // (HOUR * 1_000_000)
    keys = [(series.src[one], series.dst[one], at) for one, at in zip(series.of.tolist(), hour.tolist(), strict=True)]
    frame = windows.frame
    wanted = list(zip(frame["src"], frame["server"], frame["hour"], strict=True))
    ranked, alone = dict(zip(keys, shown + score, strict=True)), dict(zip(keys, score, strict=True))
    return np.array([ranked.get(key, 0.0) for key in wanted]), np.array([alone.get(key, 0.0) for key in wanted])


def _robust_z(windows: Windows) -> np.ndarray:
    x = np.log1p(windows.frame["sent"])
    by_pair = [windows.frame["src"], windows.frame["server"]]
    off = x - x.groupby(by_pair).transform("median")
    spread = off.abs().groupby(by_pair).transform("median") / 0.6745
    found: np.ndarray = (off / np.maximum(spread, LEAST)).to_numpy()
    return found


def _busy(windows: Windows) -> np.ndarray:
    """Return which windows are of pairs that sent a megabyte on some day."""
    frame = windows.frame
    days = frame.groupby(["src", "server", frame["hour"] // 24])["sent"].transform("sum")
    found: np.ndarray = days.groupby([frame["src"], frame["server"]]).transform("max").to_numpy() >= FLOOR
    return found


def _stl(windows: Windows, busy: np.ndarray) -> np.ndarray:
    frame, scores = windows.frame, np.zeros(len(windows.frame))
    for _, rows in frame[busy].groupby(["src", "server"]):
        hours, z = _stl_z(windows, rows.set_index("hour")["sent"])
        scores[rows.index] = z[np.searchsorted(hours, rows["hour"])]
    return scores


def _stl_of_terminals(windows: Windows) -> set[tuple[str, int]]:
    """Return the terminals and hours that the rule flags in what a terminal sent to all servers together."""
    flagged: set[tuple[str, int]] = set()
    for src, rows in windows.frame.groupby("src"):
        hours, z = _stl_z(windows, rows.groupby("hour")["sent"].sum())
        flagged |= {(str(src), hour) for hour in hours[z > STL_LIMIT].tolist()}
    return flagged


def _stl_z(windows: Windows, sent: pd.Series[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the hours of a campaign and the rule's z-score of each; 0 where the seasonal part is not above 0."""
    from statsmodels.tsa.seasonal import STL

    hours = np.arange(int(windows.frame["hour"].min()), int(windows.frame["hour"].max()) + 1)
    dense = np.zeros(len(hours))
    dense[sent.index.to_numpy() - hours[0]] = sent.to_numpy()
    fit = STL(dense, seasonal=7, period=24).fit()
    residual = fit.resid.astype(np.int64)
    z = (residual - residual.mean()) / max(float(residual.std()), 1e-9)
    return hours, np.where(fit.seasonal > 0, z, 0.0)
