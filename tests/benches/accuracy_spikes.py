"""How right the spikes are, beside two published rules on the same windows; `accuracy.py` has the command line.

A window is a terminal, a server and an hour; it is true where planted uploads fall into it. Windows of single large
uploads by people are left out: they are spikes by any measure of volume. The rules beside ours are

* the time series rule of MSTICPy 3 (``ts_anomalies_stl``), restated: STL with ``seasonal=7, period=24`` of a pair's
  bytes by the hour, zeros filled in; residuals as whole numbers; the z-score of a residual above 3 where the seasonal
  part is above 0. It runs only on pairs that ever sent a megabyte a day, which flatters it;
* a robust z of ln(1 + bytes) by the median and MAD of the pair's windows, above 3.5 (Iglewicz and Hoaglin).
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
SPIKE_COLUMNS = (
    "AP",
    "AP by p",
    "AP log-MAD z",
    "AP STL",
    "found log-MAD z",
    "precision log-MAD z",
    "found STL",
    "precision STL",
    "bursts",
    "drains",
    "false",
    "false per 10,000 h",
)

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
    for name, scores, limit in (("log-MAD z", _robust_z(windows), 3.5), ("STL", _stl(windows), 3.0)):
        flagged = (scores > limit) & ~windows.left_out
        figures[f"AP {name}"] = _precision(scores, windows)
        hits = int((flagged & windows.true).sum())
        figures[f"found {name}"] = hits / windows.planted if windows.planted else None
        figures[f"precision {name}"] = hits / max(int(flagged.sum()), 1) if windows.planted else None
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
    pairs, _ = volume_spikes._tested(read, FLOOR, least_drain=drain, least_spread=spread)[0]
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


def _stl(windows: Windows) -> np.ndarray:
    from statsmodels.tsa.seasonal import STL

    frame, scores = windows.frame, np.zeros(len(windows.frame))
    first, last = int(frame["hour"].min()), int(frame["hour"].max())
    days = frame.groupby(["src", "server", frame["hour"] // 24])["sent"].sum()
    busy = set(days[days >= FLOOR].reset_index()[["src", "server"]].itertuples(index=False, name=None))
    for pair, rows in frame.groupby(["src", "server"]):
        if pair not in busy:
            continue
        place = rows["hour"].to_numpy() - first
        dense = np.zeros(last - first + 1)
        dense[place] = rows["sent"]
        fit = STL(dense, seasonal=7, period=24).fit()
        residual = fit.resid.astype(np.int64)
        z = (residual - residual.mean()) / max(float(residual.std()), 1e-9)
        scores[rows.index] = np.where(fit.seasonal > 0, z, 0.0)[place]
    return scores
