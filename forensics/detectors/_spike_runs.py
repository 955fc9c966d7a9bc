"""From judged windows of `volume_spikes` to findings: what all do is dropped, adjacent windows become one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forensics.detectors._spike_baselines import STEADY

if TYPE_CHECKING:
    from forensics.detectors._spike_baselines import Judged
    from forensics.detectors._spike_windows import Series, Windows

__all__ = ["Run", "Tested", "bursts", "common", "crowded", "drain_p", "drains", "unexplained"]

CROWD = 5
"""Fewest terminals that are a crowd. [1]"""

CROWD_SHARE = 0.5
"""Share of the office that is a crowd. [1]"""

STANDS_OUT = 10
"""Times the crowd's median that a terminal must send to stand out of it. [1]"""

NIGHT = 3
"""Most windows of a run that may be one night of many. [1]"""

PAUSE = 4
"""Most days between two nights: a weekend and a holiday. [d]"""

DRAIN_WINDOWS = 3
"""Fewest windows of a drain. [1]"""

HALF_DAY, DAY = 12, 24
OVERSHOOT = 1.166
"""What a CUSUM of normal values passes its limit by. [1]"""


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """Series with what was found of their windows.

    Parameters
    ----------
    windows
        What was read of the case.
    series, judged
        The series, and how each of their windows lies to its baseline.
    least
        Least amount of a finding, in units of the measure.
    q, drain_q
        q-values of the windows, and of the drains that reach up to them; each of shape (n,).
    shared
        Which windows are only what half of the office does toward that server on that day; shape (n,).
    """

    windows: Windows
    series: Series
    judged: Judged
    least: float
    q: np.ndarray
    drain_q: np.ndarray
    shared: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Windows of one series that are one finding.

    Parameters
    ----------
    windows
        Their places in the series; ascending.
    first, last
        Start of its first window and of its last one. [us since 1970 UTC]
    kind
        ``burst``, ``nights`` or ``drain``.
    """

    windows: np.ndarray
    first: int
    last: int
    kind: str


def crowded(series: Series, flagged: np.ndarray, office: int) -> np.ndarray:
    """Return which flagged windows are only what half of the office does in the same hour.

    A window that holds `STANDS_OUT` times what the crowd sent stays.

    Parameters
    ----------
    series
        The windows.
    flagged
        Which of them are unusual; shape (n,).
    office
        Most terminals that were active in one window.
    """
    places = np.flatnonzero(flagged)
    found = np.zeros(len(flagged), dtype=bool)
    source = np.unique(np.array(series.src), return_inverse=True)[1][series.of[places]] if len(places) else places
    for start in np.unique(series.start[places]).tolist():
        mine = np.flatnonzero(series.start[places] == start)
        if len(np.unique(source[mine])) >= max(CROWD, CROWD_SHARE * office):
            amount = series.amount[places[mine]]
            found[places[mine]] = amount < STANDS_OUT * np.median(amount)
    return found


def common(series: Series, judged: Judged, office: int) -> np.ndarray:
    """Return which windows are of a day on which half of the office sends more to that server than it used to.

    A rise is one where the windows of that day lie more than `STEADY` above their baselines on average: a service that
    all begin to use makes few of them unusual by themselves. A terminal that sends `STANDS_OUT` times what the crowd
    sent on that day stays.

    Parameters
    ----------
    series, judged
        The windows.
    office
        Most terminals that were active in one window.
    """
    found = np.zeros(len(series.of), dtype=bool)
    known = np.flatnonzero(np.isfinite(judged.z))
    if not len(known):
        return found
    of, count = series.of[known], len(series.src)
    each, mine = np.unique((series.day[known] * count + series.pool[of]) * count + of, return_inverse=True)
    number, rise, sent = (np.bincount(mine, weights) for weights in (None, judged.z[known], series.amount[known]))
    risen = rise > STEADY * number
    _, where = np.unique(each // count, return_inverse=True)
    for place in np.flatnonzero(np.bincount(where, risen) >= max(CROWD, CROWD_SHARE * office)).tolist():
        there = where == place
        usual = STANDS_OUT * np.median(sent[there & risen])
        found[known] |= (there & (sent < usual))[mine]
    return found


def bursts(series: Series, judged: Judged, flagged: np.ndarray, carried: np.ndarray, window: int) -> list[Run]:
    """Return runs of flagged windows; a window between two flagged ones does not part them.

    Short runs at the same hour of successive days are one finding, and what has become a habit continues it, as does
    what a drain carries on.

    Parameters
    ----------
    series, judged
        The windows.
    flagged
        Which of them are unusual; shape (n,).
    carried
        Which belong to a run beside them, though not unusual by themselves; shape (n,).
    window
        Length of a window. [us]
    """
    kept = np.flatnonzero(flagged | carried | judged.habit)
    kept = kept[np.lexsort((series.start[kept], series.of[kept]))]
    parted = (np.diff(series.of[kept], prepend=-1) != 0) | (np.diff(series.start[kept], prepend=0) > 2 * window)
    runs = np.split(kept, np.flatnonzero(parted)[1:]) if len(kept) else []
    found: list[list[np.ndarray]] = []
    for run in runs:
        if found and _same_hour(series, found[-1][-1], run):
            found[-1].append(run)
        elif flagged[run].any():
            found.append([run])
    return [_run(series, np.concatenate(parts), "nights" if len(parts) > 1 else "burst") for parts in found]


def _run(series: Series, windows: np.ndarray, kind: str) -> Run:
    return Run(windows, int(series.start[windows[0]]), int(series.start[windows[-1]]), kind)


def _same_hour(series: Series, one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two runs are the same hour's on different days."""
    a, b = one[0], other[0]
    if series.of[a] != series.of[b] or max(len(one), len(other)) > NIGHT:
        return False
    apart = abs(int(series.hour[b]) - int(series.hour[a]))
    return min(apart, DAY - apart) <= 1 and 0 < series.day[b] - series.day[one[-1]] <= PAUSE


def drain_p(drain: np.ndarray) -> np.ndarray:
    r"""Return the probability that a CUSUM of standard normal values has come so far at a window.

    With allowance :math:`k`, alarms above :math:`h` come once in about :math:`e^{2k(h + 1.166)} / 2k^2` windows; here
    :math:`k = 1/2`.
    """
    return np.minimum(0.5 * np.exp(-(drain + OVERSHOOT)), 1.0)


def drains(
    series: Series, judged: Judged, alarmed: np.ndarray, told: np.ndarray, *, least: float, least_drain: float
) -> list[Run]:
    """Return drains: from the last time the sum was zero to its peak, without the windows that are findings already.

    Parameters
    ----------
    series, judged
        The windows.
    alarmed
        Windows at which the CUSUM is beyond its limit; shape (n,).
    told
        Windows that are findings already or what all do; the sum must pass its limit without them.
    least
        What a drain must send above its baseline on one of its days. [B]
    least_drain
        Least sum.
    """
    found = []
    order = np.argsort(series.of, kind="stable")
    keys = np.stack([series.of[alarmed], judged.since[alarmed]], axis=1)
    for one, since in np.unique(keys, axis=0).tolist():
        mine = order[slice(*np.searchsorted(series.of[order], [one, one + 1]))]
        mine = mine[judged.since[mine] == since]
        rise = np.diff(judged.drain[mine], prepend=0.0)[~told[mine]]
        mine, total = mine[~told[mine]], np.cumsum(rise)
        if len(mine) < DRAIN_WINDOWS or total.max() < least_drain:
            continue
        mine = mine[: int(np.argmax(total)) + 1]
        above = np.maximum(series.amount[mine] - np.expm1(judged.centre[mine]), 0)
        by_day = np.bincount(series.day[mine] - series.day[mine[0]], above)
        if len(mine) >= DRAIN_WINDOWS and by_day.max() >= least:
            found.append(_run(series, mine, "drain"))
    return found


def unexplained(terminals: Series, pairs: Series, judged: Judged, flagged: np.ndarray) -> np.ndarray:
    """Return what terminals sent beside what their pairs' own windows explain; shape (windows of terminals,). [B]

    A window that is a finding explains all it holds, another one what its baseline expects. Where one pair holds half
    of what is left, nothing is: that pair was judged by itself.
    """
    places = {key: place for place, key in enumerate(_keys(terminals))}
    at = np.array([places.get(key, -1) for key in _keys(pairs)], dtype=np.int64)
    usual = np.minimum(np.nan_to_num(np.expm1(judged.centre + judged.spread)), pairs.amount)
    rest = np.where(flagged | judged.habit, 0.0, pairs.amount - usual)[at >= 0]
    left, largest = terminals.amount.copy(), np.zeros(len(terminals.amount))
    np.subtract.at(left, at[at >= 0], pairs.amount[at >= 0] - rest)
    np.maximum.at(largest, at[at >= 0], rest)
    return np.where(largest < left / 2, left, 0.0)


def _keys(series: Series) -> list[tuple[str, int]]:
    return [(series.src[one], start) for one, start in zip(series.of.tolist(), series.start.tolist(), strict=True)]
