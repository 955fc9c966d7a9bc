"""What each level of each trait weighs: the one table of the ranking, ``weights.csv``, and the sum.

The table is made by ``tests/benches/calibrate_relays.py`` on seeded campaigns. Its columns: ``trait``, ``level``;
``weight``, the level's log-likelihood ratio given all other traits [ln]; ``relays`` and ``innocents``, the share of
each that had the level [1]; ``alone``, the logarithm of their ratio [ln]. The row ``prior`` is where every candidate
starts, in a case of as many candidates as stand under ``innocents``; `Weights.prior_of` has it for more or fewer of
them. The rows ``verdict`` have the least score of each verdict, the share of the relays that reached it, and the
share of innocents among the servers that reached it: both measured on campaigns that nobody had looked at, by
``tests/benches/accuracy.py``, where the program that makes the table writes those of campaigns left out of the fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["COMPANY", "Weights", "load_weights"]

COMPANY = "company"
"""The trait that is about a candidate's terminals at other candidates."""


FEWEST = 10
"""Candidates below which a case counts as having so many: no server is suspect for being one of few. [1]"""


@dataclass(frozen=True)
class Weights:
    """The table of weights.

    Parameters
    ----------
    prior
        Score of a candidate of which nothing is known, in a case of ``usual`` candidates. [ln odds]
    usual
        Candidates of the campaigns that the weights were made from, on average. [1]
    levels
        Weight of each level of each trait. [ln]
    likely, possible
        Least score of these verdicts. [ln odds]
    errors
        Share of innocents among those that reach each verdict, as measured. [1]
    """

    prior: float
    usual: float
    levels: dict[str, dict[str, float]]
    likely: float
    possible: float
    errors: dict[str, float]

    def prior_of(self, candidates: int) -> float:
        """Return where a candidate starts in a case: the number of relays does not grow with that of the candidates."""
        return self.prior + math.log(self.usual / max(candidates, FEWEST))

    def of(self, trait: str, levels: pd.Series[str]) -> np.ndarray:
        """Return the weight of each candidate's level of a trait; 0 where the table does not know it. [ln]"""
        return levels.map(self.levels.get(trait, {})).fillna(0.0).to_numpy(dtype=float)

    def verdict(self, score: float) -> str:
        """Return ``likely`` or ``possible``; nothing for less."""
        return "likely" if score >= self.likely else "possible" if score >= self.possible else ""


def read_weights(table: pd.DataFrame) -> Weights:
    """Return the weights of a table with the columns of ``weights.csv``."""
    levels: dict[str, dict[str, float]] = {}
    for row in table.to_dict("records"):
        levels.setdefault(str(row["trait"]), {})[str(row["level"])] = float(row["weight"])
    verdicts = levels.pop("verdict")
    told = table[table["trait"] == "verdict"]
    errors = dict(zip(told["level"], told["innocents"].astype(float), strict=True))
    usual = float(table.loc[table["trait"] == "prior", "innocents"].iloc[0])
    prior = levels.pop("prior")["all"]
    return Weights(prior, usual, levels, verdicts["likely"], verdicts["possible"], errors)


@cache
def load_weights() -> Weights:
    """Return the weights that come with the library."""
    import pandas as pd

    with resources.files("forensics.relays").joinpath("weights.csv").open("r", encoding="utf-8") as file:
        return read_weights(pd.read_csv(file, keep_default_na=False))
