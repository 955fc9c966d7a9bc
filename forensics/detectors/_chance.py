"""How surprising something is: probabilities, robust baselines, and many tests at once."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAD_TO_SIGMA", "Floats", "mad", "q_values"]

Floats: TypeAlias = NDArray[np.float64]
"""An array of numbers."""

MAD_TO_SIGMA = 1.4826


def q_values(p_values: Floats, tested: int) -> Floats:
    """Return p-values under Benjamini-Hochberg control where only the least of all are at hand.

    Parameters
    ----------
    p_values
        The p-values at hand, in any order, shape (n,).
    tested
        Tests that were made, those whose p-values were not worth computing included; they count as 1, which only makes
        the result larger. At least n.

    Returns
    -------
    numpy.ndarray
        q-values, shape (n,).

    Examples
    --------
    >>> q_values(np.array([0.01, 0.001]), 10).tolist()
    [0.05, 0.01]
    """
    order = np.argsort(p_values, kind="stable")
    ranked = p_values[order] * tested / np.arange(1, len(p_values) + 1)
    least = np.minimum.accumulate(ranked[::-1])[::-1]
    q = np.empty_like(least)
    q[order] = np.minimum(least, 1.0)
    return q


def mad(values: Floats) -> float:
    """Return the median absolute deviation, scaled to the standard deviation of normal values; 0 for no values."""
    return MAD_TO_SIGMA * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
