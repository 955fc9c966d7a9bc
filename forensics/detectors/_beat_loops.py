"""Compiled loops of the search for beacons: sizes alike, visits, how even their intervals are, where they crowd.

Each goes once over the contacts, or the intervals, of many streams; they stand one stream after the other, in order of
time. What a stream is, `forensics.detectors._visits` says.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from forensics.packets._jit import entry, hot

__all__ = ["SIZES", "STRIDE", "bound_evenness", "count_alike", "count_crowds", "end_of", "join_contacts"]

Longs = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SIZES = 7200
"""More steps of a tenth than the logarithm of a number can have; the step of what was not observed."""

STRIDE = 8
"""Of the values of s, every so many-th is tried first."""


@hot
def end_of(owner: Longs, row: int) -> int:
    """Return where the rows of the owner of a row end."""
    end = row + 1
    while end < owner.shape[0] and owner[end] == owner[row]:
        end += 1
    return end


@entry
def count_alike(
    owner: Longs, size: Doubles, width: float, steps: Longs, counts: Longs, alike: Bools, held: Longs, every: Longs
) -> None:
    """Tell which contacts sent about as many bytes as most of their pair did; see `forensics.detectors._visits`.

    Parameters
    ----------
    owner, size
        Number of each contact's pair, ascending, and bytes sent, NaN where not observed. [B]
    width
        Width of a step. [ln B]
    steps, counts
        Room for as many numbers as there are contacts, and for two more than `SIZES`, all 0.
    alike
        Takes which contacts are alike.
    held, every
        Take how many of each pair are, and how many it has.
    """
    begin = 0
    while begin < owner.shape[0]:
        end = end_of(owner, begin)
        for row in range(begin, end):
            known = math.isfinite(size[row])
            steps[row] = int(math.log(1.0 + max(float(size[row]), 0.0)) / width) if known else SIZES
        for row in range(begin, end):
            counts[steps[row]] += 1
        counts[SIZES] = 0
        full = _fullest(steps, counts, begin, end)
        many = 0
        for row in range(begin, end):
            step = int(steps[row])
            same = (step == full) | (step == full + 1)  # at once: which of the two it is nobody can foresee
            alike[row] = same
            many += 1 if same else 0
        for row in range(begin, end):
            counts[steps[row]] = 0
        held[owner[begin]], every[owner[begin]] = many, end - begin
        begin = end


@hot
def _fullest(steps: Longs, counts: Longs, begin: int, end: int) -> int:
    """Return the step that holds most together with the next one; of equal ones, that of smaller sizes."""
    most = 0
    for row in range(begin, end):
        step = int(steps[row])
        # In one number, since which of two holds more nobody can foresee; a step without anything is none.
        both = int(counts[step]) + int(counts[step + 1])
        most = max(most, both * (SIZES + 1) - step if counts[step] > 0 else 0)
    return -most % (SIZES + 1)


@entry
def join_contacts(
    owner: Longs, time: Longs, until: Longs, apart: float, stream: Longs, length: Doubles, busy: Doubles, held: Doubles
) -> int:
    """Find the intervals between visits; return how many there are.

    Parameters
    ----------
    owner, time, until
        Number of each contact's stream, when it began and when it ended. [us]
    apart
        Contacts that follow each other within this are one visit. [us]
    stream, length, busy, held
        Take the intervals, see `forensics.detectors._visits.Intervals`; room for as many as there are contacts.
    """
    made = 0
    first, last, latest = 0, 0, 0
    for row in range(owner.shape[0]):
        start, end = int(time[row]), int(until[row])
        new = row == 0 or owner[row] != owner[row - 1]
        opens = start - last > apart
        # Whether contacts are one visit nobody can foresee: no branch, but what is none is written over.
        stream[made] = owner[row]
        length[made] = (start - first) / 1e6
        busy[made] = (last - first) / 1e6
        held[made] = (latest - first) / 1e6
        made += 1 if opens and not new else 0
        first = start if new or opens else first
        latest = end if new or opens else max(latest, end)
        last = start
    return made


@entry
def bound_evenness(
    owner: Longs,
    length: Doubles,
    busy: Doubles,
    held: Doubles,
    grain: Doubles,
    limits: Doubles,
    groups: Longs,
    grid: Doubles,
    cumulants: Doubles,
    left: Doubles,
    sizes: Longs,
    bound: Doubles,
) -> None:
    """Find the bound of each stream's p-value; see `forensics.detectors._evenness`.

    Parameters
    ----------
    owner, length, busy, held
        The intervals, see `forensics.detectors._visits.Intervals`.
    grain
        The unit of each stream's times. [s]
    limits
        What visits are apart at least; longest interval and group; least share of the mean; so many times its contacts
        must an interval last.
    groups
        Intervals of a group at most, for each test, ascending.
    grid, cumulants
        Values of s, and K(s) for groups of 0 and more intervals.
    left, sizes
        Room for as many numbers as there are intervals, and for one more than the largest group has.
    bound
        Takes the logarithms; all are 0.
    """
    apart, pause, least, idle = float(limits[0]), float(limits[1]), float(limits[2]), float(limits[3])
    begin = 0
    while begin < owner.shape[0]:
        end, who = end_of(owner, begin), int(owner[begin])
        unit = float(grain[who])
        # Times in whole seconds are apart by the next whole second.
        shift = unit * (math.floor(apart / max(unit, 1.0)) + 1.0) if unit > 0 else apart
        run, longest = 0, 0
        for row in range(begin, end):
            # Transfers one after the other come when the earlier one has ended, and not at random: those that fill half
            # of their interval or more belong to no group. What is longer than that is still exponential.
            own = idle * float(held[row])
            taken = max(shift + float(busy[row]), own)
            chosen = (length[row] > own) & (length[row] <= pause)
            left[row] = max(float(length[row]) - taken, 0.1 * unit, 1e-6) if chosen else -1.0
            run = run + 1 if chosen else 0
            longest = max(longest, run)
        for k in range(groups.shape[0]):
            group = int(groups[k])
            if longest <= (groups[k - 1] if k > 0 else 1):
                break  # larger groups are the same ones
            total = _group(length, left, begin, end, group, pause, unit, least, sizes)
            bound[who] = min(bound[who], _least_exponent(sizes, group, total, grid, cumulants))
        begin = end


@hot
def _group(
    length: Doubles, left: Doubles, begin: int, end: int, group: int, pause: float, unit: float, least: float,
    sizes: Longs,
) -> float:  # fmt: skip
    """Return how even the groups of a stream are together, and write how many there are of each size."""
    for size in range(group + 1):
        sizes[size] = 0
    total = 0.0
    row = begin
    while row < end:
        stop, lasted, whole = row, 0.0, 0.0
        while stop < end and stop - row < group and left[stop] > 0:
            lasted += float(length[stop])
            whole += float(left[stop])
            stop += 1
        size = stop - row
        if size > 1 and lasted <= pause:
            mean = whole / size
            even = 0.0
            for k in range(row, stop):
                even += math.log(max(float(left[k]) / mean, least))
            blur = max(unit / mean, least)  # no evenness is believed that is finer than the times are
            total += even - size * (blur * blur) / 2
            sizes[size] += 1
        row = max(stop, row + 1)
    return total


@hot
def _exponent(sizes: Longs, group: int, total: float, at: int, grid: Doubles, cumulants: Doubles) -> float:
    """Return the exponent of the bound at a value of s."""
    cumulant = 0.0
    for size in range(2, group + 1):
        if sizes[size] > 0:
            cumulant += int(sizes[size]) * float(cumulants[size, at])
    return cumulant - total * float(grid[at])


@hot
def _least_exponent(sizes: Longs, group: int, total: float, grid: Doubles, cumulants: Doubles) -> float:
    """Return the least exponent, or 0: it is convex and 0 at 0, so what rises at first, and behind the least, rises on.

    So the best lies beside the best of every `STRIDE`-th.
    """
    near, best = 0, _exponent(sizes, group, total, 0, grid, cumulants)
    if best >= 0:
        return 0.0
    for at in range(STRIDE, grid.shape[0], STRIDE):
        value = _exponent(sizes, group, total, at, grid, cumulants)
        if value >= best:
            break
        near, best = at, value
    for at in range(max(near - STRIDE + 1, 0), min(near + STRIDE, grid.shape[0])):
        best = min(best, _exponent(sizes, group, total, at, grid, cumulants))
    return best


@entry
def count_crowds(owner: Longs, length: Doubles, limits: Doubles, counts: Longs, fullest: Longs, total: Longs) -> None:
    """Count how many intervals of each stream are no pauses, and how many of them lie in its fullest two bins.

    Parameters
    ----------
    owner, length
        Number of each interval's stream, and its length. [s]
    limits
        Longest and shortest interval that counts; the unit of the logarithms [s], and the width of bins [ln s]; number
        of the bin before that of the shortest.
    counts
        Room for five more numbers than there are bins.
    fullest, total
        Take the counts; all are 0.
    """
    pause, shortest, unit, width = float(limits[0]), float(limits[1]), float(limits[2]), float(limits[3])
    before = int(limits[4]) - 2
    begin = 0
    while begin < owner.shape[0]:
        end, runs, most = end_of(owner, begin), 0, 0
        counts[:] = 0
        for row in range(begin, end):
            one = float(length[row])
            # No branch, since which interval counts nobody can foresee: what does not has a bin of its own.
            counted = (one >= shortest) & (one <= pause)
            step = math.floor(math.log(one / unit) / width) - before if counted else 1
            counts[step] += 1
            both = int(counts[step]) + max(int(counts[step + 1]), int(counts[step - 1]))
            most = max(most, both if counted else 0)
            runs += 1 if one <= pause else 0
        fullest[owner[begin]], total[owner[begin]] = most, runs
        begin = end
