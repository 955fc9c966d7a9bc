"""The beacon score of RITA 5, to compare findings with those of an installation of it.

Written anew from its formulas. It is a score and no test: nobody has published how often innocent pairs reach which
value of it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from forensics.detectors._pairs import find_pairs, per_pair

if TYPE_CHECKING:
    import pandas as pd

    from forensics.case import Case
    from forensics.detectors._pairs import Block
    from forensics.detectors._visits import Floats, Ints

__all__ = ["rita_scores"]

FEWEST = 4
"""Contacts in different seconds that a pair must have."""

SIZES = 3
"""Observed sizes that a pair must have."""

BINS = 24
BIMODAL_BARS, DURATION_BARS, IDEAL_RUN = 11, 6, 12
SENSITIVITY = 0.05
"""Bars whose heights differ by less than this share of the highest are of one height. [1]"""

LEAST_SPREAD = 10
"""Quartiles closer than this have no skew. [s or B]"""


COLUMNS = ("contacts", "ts", "ds", "hist_case", "dur_case", "score_case", "hist_pair", "dur_pair", "score_pair")
SCORES = pa.schema([(name, pa.float64()) for name in COLUMNS])
"""What is told of each pair."""


def rita_scores(case: Case) -> pd.DataFrame:
    """Return the score that RITA 5 gives each pair of terminal and outside server, with its parts.

    The score is the mean of four parts, each 0 to 1: how symmetric and narrow the intervals are (``ts``) and the sizes
    sent (``ds``), how level the histogram of contacts over 24 bins is (``hist``), and for how much of the time they
    went on (``dur``). The last two depend on the span that is cut into bins: RITA takes that of the data set, so
    that the same contacts score otherwise in another import. Here both are given: ``_case`` over the span of all
    contacts of the case, ``_pair`` over the pair's own.

    Parameters
    ----------
    case
        The case.

    Returns
    -------
    pandas.DataFrame
        Columns ``src, dst, name, contacts, ts, ds, hist_case, dur_case, score_case, hist_pair, dur_pair, score_pair``,
        in order of ``src`` and ``dst``. Pairs with fewer than four different seconds of contact, or as many as RITA
        calls a strobe, are left out; ``ds`` and the scores are NaN where fewer than three sizes were observed.

    Notes
    -----
    Quartiles are the medians of the halves below and above the median. Bowley's skew counts where quartiles are at
    least 10 apart and the median equals neither. RITA's thresholds are 0.5, 0.7, 0.9 and 1 (base, low,
    medium, high); what it then adds and takes off for prevalence, first sight and the like is not done here.

    References
    ----------
    .. [1] Active Countermeasures, RITA 5, ``analysis/beacons.go``: https://github.com/activecm/rita
    """
    import pandas as pd

    pairs = find_pairs(case, FEWEST)
    span = case.sql("SELECT min(start) AS first, max(start) AS last FROM contacts").to_arrow()
    whole = tuple(span.column(name).cast(pa.int64())[0].as_py() or 0 for name in ("first", "last"))
    told = per_pair(case, pairs, partial(_score, whole=(whole[0] // 1_000_000, whole[1] // 1_000_000)), SCORES)
    frame = pairs.table.select(["src", "server", "name"]).rename_columns(["src", "dst", "name"]).to_pandas()
    frame = pd.concat([frame, told.to_pandas()], axis=1)
    scored: pd.DataFrame = frame[frame["ts"].notna()].astype({"contacts": "int64"}).reset_index(drop=True)
    return scored


def _score(block: Block, *, whole: tuple[int, int]) -> dict[str, Floats]:
    """Return the score of each pair of a block; ``ts`` is NaN where RITA gives none."""
    second, count = block.time // 1_000_000, block.count
    change = (np.diff(second) > 0) & (np.diff(block.owner) == 0)
    ts = _shape(block.owner[1:][change], np.diff(second)[change].astype(np.float64), count, FEWEST - 1, 1.0)
    known = np.isfinite(block.size)
    ds = _shape(block.owner[known], block.size[known], count, SIZES, 0.0)
    edge = np.searchsorted(block.owner, np.arange(count + 1))
    first, last = second[edge[:-1]], second[edge[1:] - 1]
    found: dict[str, Floats] = {"contacts": np.diff(edge).astype(np.float64), "ts": ts, "ds": ds}
    for name, since, until in (("case", np.full(count, whole[0]), np.full(count, whole[1])), ("pair", first, last)):
        bars = _bars(block.owner, second, since, until)
        held = (bars > 0).sum(axis=1)
        hist = np.maximum(_level(bars), np.where(held >= BIMODAL_BARS, _two_heights(bars, held), 0))
        covered = np.minimum(np.ceil((last - first) / np.maximum(until - since, 1) * 1000) / 1000, 1)
        steady = np.minimum(np.ceil(_longest_run(bars) / IDEAL_RUN * 1000) / 1000, 1)
        dur = np.where(held >= DURATION_BARS, np.maximum(covered, steady), 0.0)
        found |= {f"hist_{name}": hist, f"dur_{name}": dur, f"score_{name}": _rounded((ts + ds + dur + hist) / 4)}
    return found


def _rounded(value: Floats) -> Floats:
    """Round to three digits, halves up."""
    result: Floats = np.floor(value * 1000 + 0.5) / 1000
    return result


def _shape(owner: Ints, value: Floats, count: int, fewest: int, by_default: float) -> Floats:
    """Return how symmetric and narrow the values of each pair are; NaN where there are too few."""
    first, middle, third = _quartiles(owner, value, count)
    apart = third - first
    skewed = (apart >= LEAST_SPREAD) & (middle != first) & (middle != third)
    skew = np.where(skewed, (first + third - 2 * middle) / np.where(skewed, apart, 1), 0)
    spread = _quartiles(owner, np.abs(value - middle[owner]), count)[1]
    narrow = np.where(middle >= 1, np.maximum(middle - spread, 0) / np.maximum(middle, 1), by_default)
    enough = np.bincount(owner, minlength=count) >= fewest
    return np.where(enough, _rounded((1 - np.abs(skew) + narrow) / 2), np.nan)


def _quartiles(owner: Ints, value: Floats, count: int) -> tuple[Floats, Floats, Floats]:
    """Return the median of each pair's values, and those of the halves below and above it; 0 where there are none."""
    ordered = np.append(value[np.lexsort((value, owner))], 0.0)
    held = np.bincount(owner, minlength=count)
    start = np.cumsum(held) - held
    half = held // 2

    def median(begin: Ints, size: Ints) -> Floats:
        middle: Floats = (ordered[begin + np.maximum(size - 1, 0) // 2] + ordered[begin + size // 2]) / 2
        return np.where(size > 0, middle, 0)

    return median(start, half), median(start, held), median(start + held - half, half)


def _bars(owner: Ints, second: Ints, since: Ints, until: Ints) -> Ints:
    """Return the contacts of each pair in each of 24 equal bins; the last one has its end, too."""
    step = np.maximum(until - since, 1) / BINS
    place = np.clip(np.floor((second - since[owner]) / step[owner]), 0, BINS - 1).astype(np.int64)
    bars: Ints = np.bincount(owner * BINS + place, minlength=len(since) * BINS).reshape(-1, BINS)
    return bars


def _level(bars: Ints) -> Floats:
    """Return one less the coefficient of variation of the bars, 0 at least."""
    mean = bars.mean(axis=1)
    return _rounded(np.maximum(1 - bars.std(axis=1) / np.maximum(mean, 1e-9), 0))


def _two_heights(bars: Ints, held: Ints) -> Floats:
    """Return the share of bars that have one of the two most frequent heights; one bar may be an outlier."""
    width = np.ceil(bars.max(axis=1) * SENSITIVITY)[:, None]
    height = np.where(bars > 0, np.floor(bars / np.maximum(width, 1)), -1)
    alike = np.stack([(height == height[:, [n]]).sum(axis=1) for n in range(BINS)], axis=1)
    alike[bars == 0] = 0
    most = alike.max(axis=1)
    mode = height[np.arange(len(bars)), alike.argmax(axis=1)][:, None]
    second = np.where(height != mode, alike, 0).max(axis=1)
    return np.minimum(_rounded((most + second) / np.maximum(held - 1, 1)), 1)


def _longest_run(bars: Ints) -> Ints:
    """Return the longest run of bins with contacts; the first follows the last."""
    run = longest = np.zeros(len(bars), np.int64)
    for n in range(2 * BINS):
        run = np.where(bars[:, n % BINS] > 0, run + 1, 0)
        longest = np.maximum(longest, run)
    return np.minimum(longest, BINS)
