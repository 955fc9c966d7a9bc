"""Makes the weights of the relay ranking from seeded campaigns, and says what each trait is worth.

    python tests/benches/calibrate_relays.py --seeds $(seq 201 220) --clean $(seq 221 225)

The weights are those of a logistic regression over the levels of all traits together, with a ridge that draws towards 0
what few campaigns show; so what two traits say in common is counted once. Company comes last, given all others. The
scores by which the verdicts' thresholds are set are those of campaigns left out of the fit, a fifth at a time.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from campaigns import proxy_case, relay_names, varied
from scipy.optimize import minimize
from scipy.special import expit

from forensics.detectors import all_detectors
from forensics.relays.company import EDGES, STEPS, company_levels
from forensics.relays.traits import UNKNOWN, Candidates, find_candidates, levels_of
from forensics.relays.weights import COMPANY, Weights

TABLE = Path(__file__).resolve().parents[2] / "forensics" / "relays" / "weights.csv"
RIDGE = 1.0
FOLDS = 5
VERDICTS = {"likely": 0.02, "possible": 0.1}
"""Greatest share of innocents among the candidates that reach each verdict. [1]"""
JUDGED = {("indicators", f">= {count}"): 4.0 for count in (1, 2, 4)}
JUDGED |= {(trait, f">= {count}"): w for trait, w in (("chains", 9.7), ("chain_ends", 5.8)) for count in (1, 2, 4)}
JUDGED |= {("volume_spikes", f">= {count} repeated"): 7.0 for count in (1, 2, 4)}
"""What the campaigns cannot measure: a hit in the analyst's own lists; a chain that goes through the server, of which
at most one in a hundred is held falsely, so that from the prior of the table it takes a server to ln 99; a chain that
ends there, where of three ends at most one is the operators' own: to ln 2; and uploads of one terminal again and again,
which in every campaign go to the one relay that much else speaks against, too. [ln]"""
COLUMNS = ["trait", "level", "weight", "relays", "innocents", "alone"]


@dataclass(frozen=True)
class Measured:
    """One campaign: the levels of its candidates, the accused pairs, and which candidates are relays."""

    levels: pd.DataFrame
    accused: pd.DataFrame
    is_relay: np.ndarray


def measured(candidates: Candidates, relays: set[str]) -> Measured:
    """Return what calibration needs of a campaign's candidates; ``relays`` are the names of its relays."""
    names = candidates.sites["names"].str.split("; ")
    is_relay = np.array([bool(relays & set(one)) for one in names], dtype=bool)
    pairs = candidates.pairs
    return Measured(levels_of(candidates), pairs[pairs["accused"]][["site", "src"]], is_relay)


def gathered(seed: int, *, clean: bool) -> Measured:
    """Make a campaign and return what was measured on it."""
    case, truth = proxy_case(varied(seed, clean=clean))
    found = {name: detector.detect(case) for name, detector in all_detectors().items()}
    return measured(find_candidates(case, found), relay_names(truth))


def fit(levels: pd.DataFrame, is_relay: np.ndarray) -> pd.Series:
    """Return the weights by (trait, level), and the prior."""
    # Most candidates are alike: each kind stands once, with its number.
    kinds = levels.assign(is_relay=is_relay).value_counts(sort=False).rename("count").reset_index()
    is_relay, count, levels = kinds.pop("is_relay").to_numpy(), kinds.pop("count").to_numpy(dtype=float), kinds
    keys = [(trait, level) for trait in levels for level in sorted(set(levels[trait]) - {UNKNOWN})]
    design = np.column_stack([levels[trait].to_numpy() == level for trait, level in keys]).astype(float)
    sign = np.where(is_relay, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (design @ weights[:-1] + weights[-1])
        slope = -sign * expit(-margin) * count
        gradient = np.append(design.T @ slope + RIDGE * weights[:-1], slope.sum())
        value = (np.logaddexp(0, -margin) * count).sum() + RIDGE / 2 * (weights[:-1] ** 2).sum()
        return float(value), gradient

    best = minimize(loss, np.zeros(len(keys) + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return pd.Series(best.x, index=pd.MultiIndex.from_tuples([*keys, ("prior", "all")]))


def fit_company(level: np.ndarray, is_relay: np.ndarray, score: np.ndarray) -> pd.Series:
    """Return the weights of company given the scores of all else: more company never weighs less."""
    known = [f">= {edge:g}" for edge in EDGES]
    place = np.array([known.index(one) if one != UNKNOWN else 0 for one in level])
    design = (place[:, None] >= np.arange(1, len(known))).astype(float)
    sign = np.where(is_relay, 1.0, -1.0)

    def loss(steps: np.ndarray) -> float:
        margin = sign * (score + design @ steps[:-1] + steps[-1])
        return float(np.logaddexp(0, -margin).sum() + RIDGE / 2 * (steps[:-1] ** 2).sum())

    bounds = [(0, None)] * (len(known) - 1) + [(None, None)]
    best = minimize(loss, np.zeros(len(known)), method="L-BFGS-B", bounds=bounds)
    total = np.concatenate([[0.0], np.cumsum(best.x[:-1])]) + best.x[-1]
    return pd.Series(total, index=pd.MultiIndex.from_tuples([(COMPANY, level) for level in known]))


def fitted(campaigns: list[Measured], without: frozenset[str] = frozenset()) -> Weights:
    """Return the weights of some campaigns, of all traits or without some."""
    levels = pd.concat([one.levels for one in campaigns], ignore_index=True).drop(columns=list(without - {COMPANY}))
    levels = levels[[trait for trait in levels if len(set(levels[trait])) > 1]]
    usual = float(np.mean([len(one.levels) for one in campaigns]))
    is_relay = np.concatenate([one.is_relay for one in campaigns])
    weights = fit(levels, is_relay)
    if COMPANY not in without:
        own = as_weights(weights, usual)
        scores = [score_of(one, own) for one in campaigns]
        company = pd.concat([company_levels(one.accused, s) for one, s in zip(campaigns, scores, strict=True)])
        more = fit_company(company.to_numpy(), is_relay, np.concatenate(scores))
        weights = pd.concat([more, weights])
    return as_weights(weights, usual)


def as_weights(weights: pd.Series, usual: float) -> Weights:
    """Return fitted weights in the form that the library uses."""
    levels: dict[str, dict[str, float]] = {}
    for key, weight in weights.items():
        trait, level = cast("tuple[str, str]", key)
        levels.setdefault(trait, {})[level] = JUDGED.get((trait, level), round(float(weight), 2))
    return Weights(levels.pop("prior")["all"], usual, levels, 0.0, 0.0, {})


def score_of(one: Measured, weights: Weights) -> pd.Series:
    """Return the score of each candidate of a campaign, with company where the weights have it."""
    score = pd.Series(weights.prior_of(len(one.levels)), index=one.levels.index)
    for trait in map(str, one.levels):
        score += weights.of(trait, one.levels[trait])
    own = score.copy()
    for _ in range(STEPS if COMPANY in weights.levels else 0):
        score = own + weights.of(COMPANY, company_levels(one.accused, score))
    return score


def left_out(campaigns: list[Measured], without: frozenset[str] = frozenset()) -> list[pd.Series]:
    """Return the scores of each campaign by weights of campaigns of which it is none."""
    scores: dict[int, pd.Series] = {}
    for fold in range(FOLDS):
        weights = fitted([one for n, one in enumerate(campaigns) if n % FOLDS != fold], without)
        scores |= {n: score_of(one, weights) for n, one in enumerate(campaigns) if n % FOLDS == fold}
    return [scores[n] for n in range(len(campaigns))]


def of_first(one: Measured, score: pd.Series) -> float:
    """Return the share of relays among as many first candidates as there are relays."""
    count = int(one.is_relay.sum())
    order = np.argsort(-score.to_numpy(), kind="stable")[:count]
    return float(one.is_relay[order].mean()) if count else float("nan")


def verdicts(campaigns: list[Measured], scores: list[pd.Series]) -> list[dict[str, object]]:
    """Return the rows of the verdicts: threshold, share of relays that reach it, share of innocents that do."""
    score = np.concatenate(scores)
    relay = np.concatenate([one.is_relay for one in campaigns])
    order = np.argsort(-score, kind="stable")
    wrong = np.cumsum(~relay[order]) / np.arange(1, len(order) + 1)
    rows = []
    for name, most in VERDICTS.items():
        place = np.flatnonzero(wrong <= most)[-1]
        least = round(float(score[order][place]), 2)
        listed = score >= least
        rows.append({
            "trait": "verdict", "level": name, "weight": least, "alone": "",
            "relays": round(float(relay[listed].sum() / relay.sum()), 3),
            "innocents": round(float((~relay[listed]).mean()), 3),
        })  # fmt: skip
    return rows


def table_of(campaigns: list[Measured], weights: Weights, scores: list[pd.Series]) -> pd.DataFrame:
    """Return the table that the library reads."""
    levels = pd.concat([one.levels for one in campaigns], ignore_index=True)
    company = [company_levels(one.accused, score) for one, score in zip(campaigns, scores, strict=True)]
    levels[COMPANY] = np.concatenate([one.to_numpy() for one in company])
    relay = np.concatenate([one.is_relay for one in campaigns])
    prior = {"trait": "prior", "level": "all", "weight": weights.prior, "alone": ""}
    rows: list[dict[str, object]] = [prior | {"innocents": round(weights.usual)}]
    for trait in weights.levels:
        known = {level: w for level, w in weights.levels[trait].items() if (trait, level) not in JUDGED}
        told = (levels[trait] != UNKNOWN).to_numpy()
        for level, weight in known.items():
            has = (levels[trait] == level).to_numpy()
            share = [(has & of).sum() + 0.5 for of in (relay, ~relay)]
            share = [n / ((told & of).sum() + 1) for n, of in zip(share, (relay, ~relay), strict=True)]
            alone = round(float(np.log(share[0] / share[1])), 2)
            row = {"weight": weight, "relays": f"{share[0]:.4f}", "innocents": f"{share[1]:.4f}", "alone": alone}
            rows.append({"trait": trait, "level": level, **row})
    rows += [{"trait": t, "level": level, "weight": w, "alone": "judged"} for (t, level), w in JUDGED.items()]
    return pd.DataFrame([*rows, *verdicts(campaigns, scores)], columns=COLUMNS)


def report(campaigns: list[Measured]) -> None:
    """Print what the ranking loses without each trait."""
    traits = [frozenset[str](), *(frozenset({trait}) for trait in (COMPANY, *campaigns[0].levels))]
    print("without", "median", "worst", "mean", sep="\t")
    for without in traits:
        scores = left_out(campaigns, without)
        shares = [of_first(one, s) for one, s in zip(campaigns, scores, strict=True) if one.is_relay.any()]
        values = (f"{value:.3f}" for value in (np.median(shares), min(shares), np.mean(shares)))
        print(", ".join(without) or "none", *values, sep="\t", flush=True)


def main() -> None:
    """Calibrate on the campaigns that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(range(201, 221)))
    parser.add_argument("--clean", type=int, nargs="*", default=list(range(221, 226)))
    options = parser.parse_args()
    campaigns = [gathered(seed, clean=False) for seed in options.seeds]
    campaigns += [gathered(seed, clean=True) for seed in options.clean]
    report(campaigns)
    table_of(campaigns, fitted(campaigns), left_out(campaigns)).to_csv(TABLE, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
