"""How surprising something is: probabilities, robust baselines, and many tests at once."""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAD_TO_SIGMA", "MOST_DEGREES", "PRIOR_DEGREES", "Floats", "mad", "moderated", "q_values"]

Floats: TypeAlias = NDArray[np.float64]
"""An array of numbers."""

Number = TypeVar("Number", float, Floats)
"""One number, or an array of them."""

MAD_TO_SIGMA = 1.4826

PRIOR_DEGREES = 10
"""Observations that the usual spread counts as, beside those of a baseline's own. [1]"""

MOST_DEGREES = 30
"""Most degrees of freedom of Student's t: the tails of traffic are heavier than normal ones. [1]"""


def q_values(p_values: Floats, tested: int) -> Floats:
    """Return p-values under Benjamini-Hochberg control where only the least of all are at hand.

    Parameters
    ----------
    p_values
        The p-values at hand, in any order, shape (n,); NaN where no test was made.
    tested
        Tests that were made, those whose p-values were not worth computing included; they count as 1, which only makes
        the result larger. Where it is less than the p-values at hand, it is their number.

    Returns
    -------
    numpy.ndarray
        q-values, shape (n,); NaN where no test was made.

    Examples
    --------
    >>> q_values(np.array([0.01, 0.001]), 10).tolist()
    [0.05, 0.01]
    """
    known = int(np.count_nonzero(~np.isnan(p_values)))
    order = np.argsort(p_values, kind="stable")[:known]  # NaN comes last
    ranked = p_values[order] * max(tested, known) / np.arange(1, known + 1)
    q = np.full(len(p_values), np.nan)
    q[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return q


def moderated(squares: Number, degrees: Number, usual: Number | float, prior: float = PRIOR_DEGREES) -> Number:
    """Return the variance of a baseline, averaged with the usual one (Smyth 2004, doi:10.2202/1544-6115.1027).

    Parameters
    ----------
    squares
        Sum of its own squared deviations.
    degrees
        How many observations they are of.
    usual
        The usual variance.
    prior
        Observations that the usual variance counts as.
    """
    return (prior * usual + squares) / (prior + degrees)


def mad(values: Floats) -> float:
    """Return the median absolute deviation, scaled to the standard deviation of normal values; 0 for no values."""
    return MAD_TO_SIGMA * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
