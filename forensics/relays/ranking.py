r"""The ranking of relay candidates: a sum of weights, its reasons, and the verdict.

A relay (hop server) is a server that the attackers use to reach the office: most often somebody's hacked site, which
others visit in good faith. Each candidate starts from the weight ``prior``; every trait adds the weight of its level,

.. math:: \text{score} = w_\text{prior} + \sum_\text{trait} w_{\text{trait}, \text{level}},

in natural log-odds. All weights stand in one table, ``forensics/relays/weights.csv``, which a program of the project
makes from seeded campaigns (`forensics.relays.weights`). The traits are told in `forensics.relays.traits`, what
counts as one server in `forensics.relays.sites`, and what shared terminals say in `forensics.relays.company`. A trait
that the evidence does not tell weighs nothing. A server that a chain goes through (`forensics.relays.passing`) is
listed whatever else is said of it, also where no terminal met it; and so are the servers where chains end, where these
are several.

When it misleads
----------------
The weights are those of made-up campaigns: the order is worth more than the score. A service that few terminals poll,
that began while they were under observation and that people read as well, looks like a relay that only beacons. A
relay that was met a few times only has no rhythm, and is lost among the sites that people read. One that all
terminals meet is no candidate unless a finding names it.

References
----------
.. [1] A. Oprea et al., "Detection of Early-Stage Enterprise Infection by Mining Large-Scale Log Data", DSN 2015,
   doi:10.1109/DSN.2015.14: rare destinations, regular contact and shared hosts, on proxy logs.
.. [2] I. J. Good, *Probability and the Weighing of Evidence*, Griffin 1950: evidence as a sum of log-likelihood ratios.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from forensics.detectors import all_detectors, volume_spikes
from forensics.engines import query_text
from forensics.relays.company import propagate
from forensics.relays.passing import ENDS, PASSING, find_passing
from forensics.relays.reasons import reasons_of
from forensics.relays.traits import find_candidates, levels_of
from forensics.relays.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from forensics.case import Case
    from forensics.relays.traits import Candidates
    from forensics.relays.weights import Weights

__all__ = ["RELAY_COLUMNS", "judged", "rank_relays"]

RELAY_COLUMNS = (
    "rank",
    "dst",
    "names",
    "score",
    "terminals",
    "first_seen",
    "last_seen",
    "bytes_out",
    "bytes_in",
    "reasons",
    "verdict",
)

FIRST = 20
"""Candidates that are listed without a verdict, too, where fewer have one: a score is that of made-up campaigns, and
where other traffic scores lower, the order still says where to look first. [1]"""


def rank_relays(
    case: Case,
    *,
    spikes: pd.DataFrame | None = None,
    found_beacons: pd.DataFrame | None = None,
    findings: Mapping[str, pd.DataFrame] | None = None,
    least_score: float | None = None,
) -> pd.DataFrame:
    """Return the servers that look like relays, the likeliest first.

    Parameters
    ----------
    case
        The case.
    spikes
        Findings of `forensics.find_spikes`, where they are there already.
    found_beacons
        Findings of `forensics.find_beacons`, where they are there already.
    findings
        Findings of more detectors by the detector's name, where they are there already. Those that have a weight and
        are not given are asked for.
    least_score
        Least sum of the weights for a server to be listed. [ln odds] Where it is None, all that have a verdict are
        listed, and if there are any, next in order those that a finding or a machine's rhythm speaks against, up to
        `FIRST` in all. What a chain goes through, and the ends of three chains or more, are listed with any.

    Returns
    -------
    pandas.DataFrame
        Columns `RELAY_COLUMNS`, one row per address. ``names`` and ``reasons`` are texts, their parts separated by
        ``; ``; ``terminals`` is the number of terminals that met the server; ``bytes_out`` and ``bytes_in`` are what
        the vantage that saw most of it saw, null where no evidence records the direction [B]; ``verdict`` is
        ``likely``, ``possible`` or empty.

    Raises
    ------
    EvidenceError
        A capture that was taken at a relay is no longer where it was, or has changed: it is read once more for chains.
    """
    import pandas as pd

    weights = load_weights()
    candidates = find_candidates(case, _findings(case, spikes, found_beacons, findings))
    levels = levels_of(candidates)
    parts = pd.DataFrame({trait: weights.of(trait, levels[trait]) for trait in map(str, levels)}, index=levels.index)
    own = parts.sum(axis=1) + weights.prior_of(len(levels))
    accused = candidates.pairs.loc[candidates.pairs["accused"], ["site", "src"]]
    steps = propagate(accused, own, weights)
    score = (own + steps[-1]).round(3)
    passing, ending = (levels.index.isin(candidates.found_by(name)["site"]) for name in (PASSING, ENDS))
    ranked = candidates.sites.assign(score=score, passing=passing, ending=ending)
    ranked = ranked.sort_values(["score", "dst", "names"], ascending=[False, True, True], kind="stable")
    ranked = ranked.drop_duplicates("dst")
    ranked = ranked[_listed(ranked, candidates, weights.possible, least_score)]
    reasons = reasons_of(case, candidates, ranked.index, (levels, parts), (own, steps))
    table = _met(candidates, ranked.index).assign(
        rank=range(1, len(ranked) + 1),
        dst=ranked["dst"],
        names=ranked["names"],
        score=ranked["score"],
        reasons=reasons,
        verdict=_verdicts(ranked, weights),
    )
    totals = _totals(case, ranked["dst"])
    for name in ("bytes_out", "bytes_in"):
        table[name] = totals[name].reindex(table["dst"]).to_numpy()
    table = table.reset_index(drop=True)
    return table[list(RELAY_COLUMNS)].astype({"bytes_out": "Int64", "bytes_in": "Int64"})


def _verdicts(ranked: pd.DataFrame, weights: Weights) -> np.ndarray:
    """Return the verdict of each: what a chain goes through is likely, what one ends at is possible at least."""
    by_score = np.array([weights.verdict(one) for one in ranked["score"]], dtype=object)
    return np.select([ranked["passing"], ranked["ending"] & (by_score == "")], ["likely", "possible"], by_score)


def judged(relays: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a verdict; the others only come next in order.

    Parameters
    ----------
    relays
        Rows of `rank_relays`.
    """
    return relays[relays["verdict"] != ""]


def _listed(ranked: pd.DataFrame, candidates: Candidates, possible: float, least: float | None) -> np.ndarray:
    """Tell which of the ranked candidates are listed: those with a verdict, then those in question up to `FIRST`."""
    named: np.ndarray = (ranked["passing"] | ranked["ending"]).to_numpy(dtype=bool)
    if least is not None:
        return named | (ranked["score"] >= least).to_numpy(dtype=bool)
    named = named | (ranked["score"] >= possible).to_numpy(dtype=bool)
    if not named.any():  # nothing speaks for an intrusion: what is polled there is no lead
        return named
    accused = candidates.pairs.loc[candidates.pairs["accused"], "site"]
    more = ~named & (ranked.index.isin(accused) | ranked.index.isin(candidates.findings["site"]))
    listed: np.ndarray = named | (more & (more.cumsum() <= FIRST - named.sum()))
    return listed


def _findings(
    case: Case,
    spikes: pd.DataFrame | None,
    found_beacons: pd.DataFrame | None,
    given: Mapping[str, pd.DataFrame] | None,
) -> dict[str, pd.DataFrame]:
    """Return the findings of the detectors that have a weight, the others that were given, and what chains show."""
    found = dict(given or {})
    found |= {name: one for name, one in (("volume_spikes", spikes), ("beacons", found_beacons)) if one is not None}
    detectors, weighed = all_detectors(), load_weights().levels
    found |= {name: one.detect(case) for name, one in detectors.items() if name in weighed and name not in found}
    found |= find_passing(case)
    uploads = found["volume_spikes"]
    return found | {"volume_spikes": uploads[volume_spikes.is_upload(uploads)]}  # the others count no bytes sent


def _met(candidates: Candidates, order: pd.Index[int]) -> pd.DataFrame:
    """Return terminals, first and last contact of candidates in the order given."""
    import pandas as pd

    pairs = candidates.pairs.groupby("site")
    table = pd.DataFrame({
        "terminals": pairs.size().reindex(order).fillna(0).astype("int64"),
        "first_seen": pairs["first_seen"].min().reindex(order),
        "last_seen": pairs["last_seen"].max().reindex(order),
    })  # fmt: skip
    found = candidates.findings.groupby("site")  # a server that no terminal's own row shows has findings alone
    for mine, theirs, which in (("first_seen", "start", "min"), ("last_seen", "end", "max")):
        table[mine] = table[mine].fillna(found[theirs].agg(which).reindex(order))
    return table


def _totals(case: Case, servers: pd.Series[str]) -> pd.DataFrame:
    """Return the bytes each way of each of these servers."""
    named = pa.table({"server": pa.array(servers.to_list(), pa.string())})
    totals: pd.DataFrame = case.sql(query_text("relay_totals"), named=named).to_pandas()
    return totals.set_index("server")
