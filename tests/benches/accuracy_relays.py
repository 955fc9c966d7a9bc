"""How many relays are first in the ranking, beside two published rules; `accuracy.py` has the command line.

The rules: RITA v5's beacon score with its modifiers for prevalence and first sight, the best pair of each server
[1]_; and plain upload volume over the square of the number of terminals. Shared addresses count for every name on them.

References
----------
.. [1] https://github.com/activecm/rita, analysis/beacons.go and default_config.hjson of version 5: the formulas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from campaigns import relay_names, relays_of

from forensics.relays import rank_relays

if TYPE_CHECKING:
    from forensics.case import Case
    from forensics.synthetic import Truth

CONTACTS = "SELECT src, server, unix_micros(start) AS t, bytes_out FROM contacts ORDER BY src, server, t"
BINS, DAY = 24, 86_400
RELAY_COLUMNS = (
    "relays",
    "first n",
    "first 20",
    "RITA first 20",
    "upload first 20",
    "likely",
    "likely false",
    "listed",
    "listed false",
)


def regularity(values: np.ndarray, default: float) -> float:
    """Return RITA's mean of Bowley skewness and median absolute deviation scores."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    skewed = high - low >= 10 and middle not in (low, high)
    skew = 1 - abs((low + high - 2 * middle) / (high - low)) if skewed else 1.0
    mad = np.median(np.abs(values - middle))
    return float((skew + (max(0.0, (middle - mad) / middle) if middle >= 1 else default)) / 2)


def rita(times: np.ndarray, sizes: np.ndarray, span: tuple[float, float]) -> float:
    """Return RITA's beacon score of one pair; 0 where it is not eligible. Times in seconds."""
    unique = np.unique(times)
    gaps = np.diff(unique)
    if len(unique) < 4 or len(gaps) < 3 or len(times) >= DAY:
        return 0.0
    bars, _ = np.histogram(times, BINS, span)
    steady = max(0.0, 1 - bars.std() / bars.mean())
    busy = bars[bars > 0]
    modes = np.unique(np.ceil(busy / np.ceil(0.05 * bars.max())), return_counts=True)[1]
    bimodal = min(np.sort(modes)[-2:].sum() / max(len(busy) - 1, 1), 1.0) if len(busy) >= 11 else 0.0
    longest, run = 0, 0
    for bar in [*bars, *bars]:
        run = run + 1 if bar else 0
        longest = max(longest, min(run, BINS))
    covered = (times.max() - times.min()) / (span[1] - span[0])
    lasting = min(max(covered, longest / 12), 1.0) if len(busy) >= 6 else 0.0
    parts = (regularity(gaps, 1.0), regularity(sizes, 0.0), max(steady, bimodal), lasting)
    return round(sum(0.25 * part for part in parts), 3)


def published(contacts: pd.DataFrame) -> pd.DataFrame:
    """Return both rules' scores by server."""
    span = (contacts["t"].min() / 1e6, contacts["t"].max() / 1e6)
    office = contacts["src"].nunique()
    rows = []
    for (_, server), pair in contacts.groupby(["src", "server"]):
        seconds = np.floor(pair["t"].to_numpy() / 1e6)
        rows.append((server, rita(seconds, pair["bytes_out"].to_numpy(dtype=float), span), seconds[0]))
    pairs = pd.DataFrame(rows, columns=["server", "rita", "first"])
    table = pairs.groupby("server").agg(rita=("rita", "max"), first=("first", "min"), met=("first", "size"))
    share, age = table["met"] / office, (span[1] - table["first"]) / DAY
    table["rita"] += np.select([share <= 0.02, share >= 0.5], [0.15, -0.15]) * (table["rita"] > 0)
    table["rita"] += np.select([age <= 7, age >= 30], [0.15, -0.15]) * (table["rita"] > 0)
    table["upload"] = contacts.groupby("server")["bytes_out"].sum() / table["met"] ** 2
    return table


def measure_relays(case: Case, truth: Truth) -> dict[str, float | None]:
    """Return the figures of one campaign: relays that the office met, and how many are where in which ranking."""
    relays, names = relays_of(truth), relay_names(truth)
    ranked = rank_relays(case, least_score=-99.0)
    # On a shared address the ranking must name the relay, not a neighbour.
    right = [bool(names & set(text.split("; "))) for text in ranked["names"]]
    rules = published(case.sql(CONTACTS).to_pandas()) if relays else pd.DataFrame(columns=["rita", "upload"])
    first = {
        name: sum(server in relays for server in rules[rule].sort_values(ascending=False, kind="stable").index[:20])
        for name, rule in (("RITA", "rita"), ("upload", "upload"))
    }
    likely = [hit for hit, verdict in zip(right, ranked["verdict"], strict=True) if verdict == "likely"]
    listed = [hit for hit, verdict in zip(right, ranked["verdict"], strict=True) if verdict]
    met = len(relays)
    return {
        "relays": met,
        "first n": sum(right[:met]) / met if met else None,
        "first 20": sum(right[:20]) if met else None,
        **{f"{name} first 20": count if met else None for name, count in first.items()},
        "likely": len(likely),
        "likely false": len(likely) - sum(likely),
        "listed": len(listed),
        "listed false": len(listed) - sum(listed),
    }
