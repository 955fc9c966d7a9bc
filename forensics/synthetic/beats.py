"""Regular requests: the same rhythm for innocent polling and for beacons."""

from __future__ import annotations

import numpy as np

from .options import MICROSECONDS
from .transactions import Floats, Ints, running_sum

_LEAST_GAP = 0.05  # shortest interval over the period [1]


def beat(
    rng: np.random.Generator, *, start: Ints, active_s: Floats, period_s: Floats, jitter: Floats, missed: float
) -> tuple[Ints, Ints]:
    """Owner and time [us] of every beat of one day, by owner and time.

    Intervals are normal around the period, so the error of the times adds up as it does for a program that sleeps
    between requests. ``start`` is [us since 1970 UTC], shape (owners,), like the others.
    """
    counts = np.ceil(active_s / period_s * 1.2).astype(np.int64) + 1
    owner = np.repeat(np.arange(len(counts)), counts)
    gaps = period_s[owner] * np.maximum(1 + jitter[owner] * rng.normal(size=len(owner)), _LEAST_GAP)
    # The first beat comes at once; gaps follow it.
    first = np.cumsum(counts) - counts
    gaps[first] = 0.0
    passed = running_sum(gaps, counts)
    kept = (passed < active_s[owner]) & (rng.random(len(owner)) >= missed)
    # A first beat always happens, or a pair with few beats could vanish from the log but not from the truth.
    kept[first] = active_s > 0
    time = start[owner] + (passed * MICROSECONDS).astype(np.int64)
    return owner[kept], time[kept]
