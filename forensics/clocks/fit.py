r"""The difference of two clocks over time, from events that both may have seen: many of the matches may be wrong.

A right match lies near a line, a wrong one anywhere. So the longest chain is looked for: matches in the order of time,
each of which lies within `STEP` of the one before, or as much farther as a clock can drift meanwhile (`MOST_DRIFT`). A
chain may jump, as a clock does that is set, at the price of `JUMP` matches. With the matches :math:`(t_i, d_i)`,

.. math:: s_j = 1 + \max(0,\; \max_{i \in N_j} s_i,\; \max_{i < j} s_i - J), \quad
    N_j = \{i < j : |d_j - d_i| \le \epsilon + \rho\,(t_j - t_i)\},

and the best chain ends where :math:`s` is largest. It is looked for twice, the second time with a step that suits the
spread of the first chain, and with the drift of its longest part taken out. Each part between jumps gets the median of
its differences, or a Theil-Sen line where that is a real improvement: the interval of its slope excludes 0 and what it
adds up to stands out of the spread.

When it misleads
----------------
What two places did not both see, but each at a time of its own and always equally far apart, looks like an offset: jobs
that run every hour, in two files that share no hour. Offsets of more than half an hour that rest on no ports
therefore need more matches. A delay that is always the same is part of the offset.

References
----------
.. [1] P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", J. Am. Stat. Assoc. 63 (1968)
   1379-1389, doi:10.1080/01621459.1968.10480934.
.. [2] S. B. Moon, P. Skelly, D. Towsley, "Estimation and removal of clock skew from network delay measurements",
   INFOCOM 1999, doi:10.1109/INFCOM.1999.749287.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Places: TypeAlias = NDArray[np.intp]
    Bools: TypeAlias = NDArray[np.bool_]

__all__ = ["LEAST_FAR", "LEAST_MATCHES", "Matches", "Piece", "fit_pieces", "moments"]

LEAST_MATCHES = 3
"""Matches that must agree."""

LEAST_FAR = 20
"""The same of offsets of more than `FAR` that rest on no ports."""

FAR = 1800.0
"""[s]"""

STEP = 2.0
"""How far right matches lie from each other, beside the drift; at most. [s]"""

LEAST_STEP = 0.5
"""The same at least: no smaller jumps are looked for. [s]"""

MOST_DRIFT = 200e-6
"""Fastest drift; quartz clocks keep within a quarter of it. [s/s]"""

LEFT_DRIFT = 20e-6
"""The same once the drift is known: it changes with the temperature. [s/s]"""

JUMP = 6.0
"""Matches that a jump costs: fewer than that are rather wrong than the sign of a new setting."""

MOST = 2000
"""Matches that are compared with each other; more are thinned evenly."""

MOMENT = 10.0
"""Events without ports come in bursts, as the parts of a page do: within this time they count once. [s]"""

CHANCE = 1e-3
"""Greatest probability that as many matches agree by chance."""

LEAST_RANGE = 3600.0
"""Wrong matches are taken to scatter over at least so much. [s]"""

LEAST_DRIFT_MATCHES, LEAST_DRIFT_SPAN, SURE = 10, 600.0, 0.999
"""Matches and span [s] that a drift needs, and the level of its interval."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Events that two clocks may both have seen, in order of time.

    Parameters
    ----------
    time
        By the clock in question, since any moment. [s]
    apart
        That time minus the time by the other clock. [s]
    exact
        Whether ports tell the event from all others.
    """

    time: Floats
    apart: Floats
    exact: Bools

    def __len__(self) -> int:
        return len(self.time)

    def of(self, places: Places | Bools) -> Matches:
        """Return some of them."""
        return Matches(self.time[places], self.apart[places], self.exact[places])


@dataclass(frozen=True, slots=True)
class Piece:
    """A time in which a clock was off by one offset, or drifted evenly.

    Parameters
    ----------
    start, end
        First and last match, by the clock in question. [s]
    offset
        This clock minus the other one, at the start. [s]
    drift
        By how much it gains. [s/s]
    spread
        Median distance of the matches from that. [s]
    matches
        Matches that agree.
    """

    start: float
    end: float
    offset: float
    drift: float
    spread: float
    matches: int

    def at(self, time: Floats) -> Floats:
        """Return the offset at times. [s]

        Before the first match and after the last one it is taken to drift on: a clock that drifts is set by nobody.
        """
        return self.offset + self.drift * (time - self.start)


def fit_pieces(matches: Matches) -> list[Piece]:
    """Return how far a clock was off, one piece for each time between two jumps; none where the matches do not tell.

    Parameters
    ----------
    matches
        Events that both clocks may have seen; most of them may be wrong.

    Returns
    -------
    list of Piece
        In order of time.
    """
    matches = _thinned(matches)
    if moments(matches) < LEAST_MATCHES:
        return []
    rough = _chain(matches, STEP, MOST_DRIFT)
    step = _step(matches, rough)
    level, drift = _levelled(matches, max(rough, key=len))
    chains = _chain(level, step, drift)
    pieces = []
    for number, part in enumerate(chains):
        since = -np.inf if number == 0 else (matches.time[chains[number - 1][-1]] + matches.time[part[0]]) / 2
        last = number == len(chains) - 1
        until = np.inf if last else (matches.time[part[-1]] + matches.time[chains[number + 1][0]]) / 2
        within = matches.of((matches.time >= since) & (matches.time <= until))
        agreeing = within.of(np.abs(within.apart - _line(matches.of(part)).at(within.time)) <= step)
        if len(agreeing) and _holds(piece := _line(agreeing), agreeing, within, step):
            pieces.append(piece)
    return pieces


def moments(matches: Matches) -> int:
    """Return how many matches there are, those without ports counted once in `MOMENT`."""
    times = np.unique(matches.time[~matches.exact])
    count, last = int(matches.exact.sum()), -np.inf
    for time in times.tolist():
        if time - last > MOMENT:
            count, last = count + 1, time
    return count


def _thinned(matches: Matches) -> Matches:
    """Return matches in order of time: one of each burst, and not more than can be compared with each other."""
    order = np.lexsort((matches.apart, matches.time))
    matches = matches.of(order)
    burst = np.stack([np.floor(matches.time / MOMENT), np.floor(matches.apart)])
    burst[:, matches.exact] = np.stack([np.arange(len(matches)), np.full(len(matches), np.nan)])[:, matches.exact]
    _, first = np.unique(burst, axis=1, return_index=True)
    kept = np.sort(first)
    if len(kept) > MOST:
        kept = kept[np.linspace(0, len(kept) - 1, MOST).astype(np.intp)]
    return matches.of(kept)


def _levelled(matches: Matches, part: Places) -> tuple[Matches, float]:
    """Return matches without the drift of a part of them, where it shows one, and how much drift may be left."""
    found = matches.of(part)
    line = _line(found)
    if len(found) < LEAST_DRIFT_MATCHES or line.end - line.start < LEAST_DRIFT_SPAN:
        return matches, MOST_DRIFT
    return Matches(matches.time, matches.apart - line.drift * (matches.time - line.start), matches.exact), LEFT_DRIFT


def _chain(matches: Matches, step: float, drift: float) -> list[Places]:
    """Return the best chain, cut where it jumps."""
    count = len(matches)
    score, before, jumped = np.ones(count), np.full(count, -1), np.zeros(count, np.bool_)
    best = 0
    for j in range(1, count):
        reach = step + drift * (matches.time[j] - matches.time[:j])
        near = np.where(np.abs(matches.apart[:j] - matches.apart[j]) <= reach, score[:j], 0.0)
        # Of chains that are equally long the last one is gone on with: its end is nearest in time.
        i = j - 1 - int(near[::-1].argmax())
        if near[i] >= score[best] - JUMP:
            score[j], before[j] = (near[i] + 1, i) if near[i] else (1.0, -1)
        elif score[best] > JUMP:
            score[j], before[j], jumped[j] = score[best] - JUMP + 1, best, True
        best = j if score[j] >= score[best] else best
    parts, part, place = [], [], best
    while place >= 0:
        part.append(place)
        if jumped[place]:
            parts.append(part)
            part = []
        place = int(before[place])
    return [np.array(places[::-1]) for places in [*parts, part][::-1]]


def _step(matches: Matches, chain: list[Places]) -> float:
    """Return how far the matches of a chain lie from each other, beside jumps. [s]"""
    between = np.concatenate([np.abs(np.diff(matches.apart[part])) for part in chain])
    return float(np.clip(8 * np.median(between), LEAST_STEP, STEP)) if len(between) else STEP


def _line(matches: Matches) -> Piece:
    """Return the median of the differences, or a line where the clock drifts."""
    start, end = float(matches.time[0]), float(matches.time[-1])
    offset = float(np.median(matches.apart))
    spread = float(np.median(np.abs(matches.apart - offset)))
    level = Piece(start, end, offset, 0.0, spread, moments(matches))
    if len(matches) < LEAST_DRIFT_MATCHES or end - start < LEAST_DRIFT_SPAN:
        return level
    from scipy import stats

    some = np.unique(np.linspace(0, len(matches) - 1, 400).astype(np.intp))
    slope, _, low, high = stats.theilslopes(matches.apart[some], matches.time[some], SURE)
    along = matches.apart - slope * (matches.time - start)
    offset = float(np.median(along))
    spread = float(np.median(np.abs(along - offset)))
    real = low * high > 0 and abs(slope) * (end - start) > 4 * spread and spread < level.spread
    return Piece(start, end, offset, float(slope), spread, level.matches) if real else level


def _holds(piece: Piece, agreeing: Matches, among: Matches, step: float) -> bool:
    """Tell whether so many matches agree that chance does not explain it."""
    from scipy import stats

    far = max(abs(piece.offset), abs(piece.at(np.array([piece.end]))[0])) > FAR
    least = LEAST_FAR if far and not agreeing.exact.any() else LEAST_MATCHES
    if piece.matches < least:
        return False
    scatter = max(float(np.ptp(among.apart)), LEAST_RANGE)
    # Each match could have been the one that others agree with, under as many drifts as can be told apart.
    looks = moments(among) * (1 + MOST_DRIFT * (piece.end - piece.start) / step)
    others = moments(among) - 1
    return bool(looks * stats.binom.sf(piece.matches - 2, others, min(2 * step / scatter, 1.0)) <= CHANCE)
