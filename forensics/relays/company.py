r"""Servers that share suspected terminals: what one candidate shows makes others of the same terminals likelier.

Candidates and terminals are a graph; an edge is a use that a finding or the terminal's own rhythm speaks against. With
:math:`p_s` the probability that candidate :math:`s` is a relay by its score so far, the suspicion of terminal
:math:`t` as candidate :math:`s` sees it is

.. math:: S_{t \setminus s} = 1 - \prod_{s' \ne s} (1 - p_{s'})

over the other candidates that its edges lead to: no candidate is its own witness. The mean of this over the candidate's
terminals is its trait *company*, whose levels have weights like those of any other trait. `STEPS` times the scores of
the step before are taken. It cannot run away: company always replaces what the step before said of it, and its weight
is at most that of its highest level.

References
----------
.. [1] A. Oprea et al., "Detection of Early-Stage Enterprise Infection by Mining Large-Scale Log Data", DSN 2015,
   doi:10.1109/DSN.2015.14: belief propagation from seeds over the graph of hosts and rare domains of proxy logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.relays.weights import COMPANY

if TYPE_CHECKING:
    import pandas as pd

    from forensics.relays.weights import Weights

__all__ = ["EDGES", "STEPS", "company_levels", "propagate", "suspicion"]

STEPS = 2
"""How often suspicion is handed on."""

EDGES = (0.0, 0.05, 0.2, 0.5, 0.8)
"""Least mean suspicion of each level of company. [1]"""

SUREST = 0.99
"""No candidate is surer than this when it accuses others. [1]"""


def suspicion(accused: pd.DataFrame, score: pd.Series[float]) -> pd.Series[float]:
    """Return the suspicion of each accused terminal from the candidates other than the row's own.

    Parameters
    ----------
    accused
        Rows of candidate (``site``) and terminal (``src``).
    score
        Score by candidate. [ln odds]

    Returns
    -------
    pandas.Series
        One value per row. [1]
    """
    p = np.minimum(1 / (1 + np.exp(-score.reindex(accused["site"]).to_numpy(dtype=float))), SUREST)
    doubt = accused.assign(doubt=np.log1p(-p))["doubt"]
    others = doubt.groupby(accused["src"]).transform("sum") - doubt
    suspected: pd.Series[float] = doubt * 0 + (1 - np.exp(others.to_numpy(dtype=float)))
    return suspected


def company_levels(accused: pd.DataFrame, score: pd.Series[float]) -> pd.Series[str]:
    """Return each candidate's level of company; empty for one without accused terminals."""
    import pandas as pd

    mean = suspicion(accused, score).groupby(accused["site"]).mean().reindex(score.index)
    place = np.clip(np.searchsorted(EDGES, mean.to_numpy(dtype=float) + 1e-12, side="right") - 1, 0, len(EDGES) - 1)
    words = np.array([f">= {edge:g}" for edge in EDGES], dtype=object)[place]
    return pd.Series(np.where(mean.isna(), "", words), index=score.index, dtype=object)


def propagate(accused: pd.DataFrame, score: pd.Series[float], weights: Weights) -> list[pd.Series[float]]:
    """Return what company weighs after each step.

    Parameters
    ----------
    accused
        Rows of candidate (``site``) and terminal (``src``).
    score
        Score of each candidate without company. [ln odds]
    weights
        The table of weights.

    Returns
    -------
    list of pandas.Series
        One per step: the weight by candidate. [ln]
    """
    steps: list[pd.Series[float]] = []
    for _ in range(STEPS):
        before = score + steps[-1] if steps else score
        level = company_levels(accused, before)
        steps.append(score * 0.0 + weights.of(COMPANY, level))
    return steps
