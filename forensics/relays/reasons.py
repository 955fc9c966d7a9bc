"""The reasons of a score in words: what each trait says, its weight, and the terminals concerned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.detectors._findings import period_text, size_text, time_text
from forensics.relays.company import suspicion
from forensics.relays.passing import ENDS, PASSING
from forensics.relays.weights import load_weights

if TYPE_CHECKING:
    import pandas as pd

    from forensics.case import Case
    from forensics.relays.traits import Candidates

__all__ = ["reasons_of"]

TOLD = 0.15
"""Weights below this are told together. [ln]"""

NAMED = 4
"""Terminals that a reason names; the others are counted."""

IN_QUESTION = "terminals in question"
"""Those whose use of the candidate a finding or its own rhythm speaks against, as reasons call them."""


def reasons_of(
    case: Case,
    candidates: Candidates,
    listed: pd.Index[int],
    weighed: tuple[pd.DataFrame, pd.DataFrame],
    company: tuple[pd.Series[float], list[pd.Series[float]]],
) -> list[str]:
    """Return the reasons of each listed candidate, separated by ``; ``, each with its weight in parentheses.

    Parameters
    ----------
    case
        The case.
    candidates
        Its candidates.
    listed
        Numbers of the candidates to tell of, in order.
    weighed
        Level and weight of each trait.
    company
        Score of each candidate without company, and the weight of company after each step.
    """
    pairs = candidates.pairs.set_index("site")
    (levels, parts), (own, steps) = weighed, company
    witnesses = [_witnesses(candidates, own if n == 0 else own + steps[n - 1]) for n in range(len(steps))]
    told = []
    for site in listed:
        mine = pairs.loc[[site]] if site in pairs.index else pairs.iloc[:0]
        words = [(load_weights().prior_of(len(own)), f"one of {len(own)} candidates")]
        facts = _Facts(case, candidates, site, mine)
        mine_weighed = {str(t): float(w) for t, w in parts.loc[site].to_dict().items()}
        level = {str(t): str(name) for t, name in levels.loc[site].to_dict().items()}
        words += [(w, facts.of(t, level[t])) for t, w in mine_weighed.items() if abs(w) >= TOLD]
        rest = sum(w for w in mine_weighed.values() if abs(w) < TOLD)
        words += [(rest, "its other traits together")] if abs(rest) >= 0.05 else []  # noqa: PLR2004 - shown as 0.0
        before = 0.0
        for number, step in enumerate(steps):
            if abs(step[site] - before) >= 0.05:  # noqa: PLR2004 - shown as 0.0
                words.append(
                    (step[site] - before, f"company, step {number + 1}: {witnesses[number].get(site, 'none')}")
                )
            before = step[site]
        told.append("; ".join(f"{text} ({weight:+.1f})" for weight, text in words))
    return told


def _witnesses(candidates: Candidates, score: pd.Series[float]) -> dict[int, str]:
    """Return which other candidate speaks most against the terminals of each, in words."""
    accused = candidates.pairs[candidates.pairs["accused"]][["site", "src"]]
    suspected = accused.assign(suspicion=suspicion(accused, score))
    best = accused.assign(score=score.reindex(accused["site"]).to_numpy())
    best = best.sort_values(["src", "score"], ascending=[True, False], kind="stable")
    place = best.groupby("src").cumcount()
    first, second = (best[place == n].set_index("src")["site"].to_dict() for n in (0, 1))
    words: dict[int, str] = {}
    order = suspected.sort_values(["site", "suspicion", "src"], ascending=[True, False, True], kind="stable")
    for row in order.drop_duplicates("site").to_dict("records"):
        site, src = int(row["site"]), str(row["src"])
        other = first[src] if first[src] != site else second.get(src)
        if other is None:
            words[site] = "its terminals stand out at no other candidate"
        else:
            dst = candidates.sites.loc[other, "dst"]
            words[site] = f"{src} is suspected with {row['suspicion']:.2f}, most of all for {dst}"
    return words


class _Facts:
    """What the evidence says of one candidate, in words."""

    def __init__(self, case: Case, candidates: Candidates, site: int, pairs: pd.DataFrame) -> None:
        self._zone, self._candidates, self._site, self._pairs = case.timezone, candidates, site, pairs
        self._accused = pairs[pairs["accused"]]

    def of(self, trait: str, level: str) -> str:
        """Return what a trait's level means."""
        tell = getattr(self, f"_{trait}", None)
        return (
            str(tell()) if tell else self._finding(trait) if trait in self._candidates.detectors else f"{trait} {level}"
        )

    def _met_by(self) -> str:
        return f"{len(self._pairs)} of {self._candidates.office} terminals met it"

    def _rhythm(self) -> str:
        if self._pairs["certainty"].isna().all():
            return "no terminal met it often enough to tell a rhythm"
        best = self._pairs.loc[self._pairs["certainty"] == self._pairs["certainty"].max()].iloc[0]
        return (
            f"{best['src']} met it every {period_text(best['period'])}: "
            f"{best['regular']:.0f} of {best['gaps']:.0f} gaps are regular"
        )

    def _certainty(self) -> str:
        most = self._pairs["certainty"].max()
        if np.isnan(most):
            return "no rhythm"
        return f"regular gaps of its most regular terminal: {most:+.1f} standard deviations from chance"

    def _machines(self) -> str:
        if self._accused.empty:
            return "no finding and no machine's rhythm puts a terminal in question"
        sources = sorted(self._accused["src"])
        first, last = self._accused["first_seen"].min(), self._accused["last_seen"].max()
        return (
            f"{IN_QUESTION}, by a finding or a machine's rhythm: {_listed(sources)}, "
            f"from {time_text(first, self._zone)} to {time_text(last, self._zone)}"
        )

    def _onset(self) -> str:
        if self._accused.empty:
            return "no terminal in question that could have begun"
        settled = self._accused["terminal_first"] + self._candidates.length / 10
        begun = self._accused[self._accused["first_seen"] > settled]
        if begun.empty:
            return f"the {IN_QUESTION} met it from the beginning of the evidence"
        first = time_text(begun["first_seen"].min(), self._zone)
        return (
            f"{len(begun)} of {len(self._accused)} {IN_QUESTION} began to meet it under observation, first at {first}"
        )

    def _visits(self) -> str:
        return (
            f"{self._accused['visits'].median():.0f} visits by each of the {IN_QUESTION} (median)"
            if len(self._accused)
            else f"no visit by {IN_QUESTION}"
        )

    def _not_found(self) -> str:
        return f"{self._share('missing', 'answered')} of the replies to the {IN_QUESTION} were 404"

    def _posted(self) -> str:
        return f"{self._share('posted', 'methods')} of the requests by the {IN_QUESTION} were POST"

    def _strange_program(self) -> str:
        usual = 1 - self._part("strange", "agents")
        return f"{usual:.0%} of the requests by the {IN_QUESTION} came from the program that the terminal mostly uses"

    def _lone(self) -> str:
        return f"{self._share('visits', 'contacts')} of the contacts of the {IN_QUESTION} came alone"

    def _pages(self) -> str:
        pages = int(self._accused["urls"].sum())
        return f"{pages} page{'s' * (pages != 1)} in {self._accused['requests'].sum():.0f} requests"

    def _reply_sizes(self) -> str:
        factor = np.exp(self._accused["spread_in"].median())
        return f"the sizes of its replies to the {IN_QUESTION} vary by a factor of {factor:.2g}"

    def _sent(self) -> str:
        return f"its busiest terminal sent {size_text(self._pairs['bytes_out'].max())}"

    def _upload_share(self) -> str:
        out, back = self._accused["bytes_out"].sum(), self._accused["bytes_in"].sum()
        return f"{out / max(out + back, 1):.0%} of the bytes of the {IN_QUESTION} were sent to it, the others received"

    def _readers(self) -> str:
        count = int((~self._pairs["accused"]).sum())
        return f"{count} other terminal{'s' * (count != 1)} met it without a rhythm"

    def _chains(self) -> str:
        mine = self._found_by(PASSING)
        count = int(mine["value"].sum())
        sources = sorted(set(mine["src"]))
        return (
            f"it passed traffic on: {count} session{'s' * (count != 1)} from {_listed(sources)} went on from it, "
            f"by timing and volume with p = {mine['p_value'].min():.2g}"
        )

    def _chain_ends(self) -> str:
        mine, ends = self._found_by(ENDS), self._candidates.found_by(ENDS)["site"].nunique()
        count = int(mine["value"].sum())
        way = f"traffic went on to it: {count} session{'s' * (count != 1)} from {_listed(sorted(set(mine['src'])))}"
        place = f"one of {ends} servers where chains end, of which one may be the operators' own"
        return f"{way}, with p = {mine['p_value'].min():.2g}: {place}"

    def _found_by(self, detector: str) -> pd.DataFrame:
        found = self._candidates.found_by(detector)
        return found[found["site"] == self._site]

    def _share(self, part: str, whole: str) -> str:
        return f"{self._part(part, whole):.0%}"

    def _part(self, part: str, whole: str) -> float:
        return float(self._accused[part].sum() / max(self._accused[whole].sum(), 1))

    def _finding(self, detector: str) -> str:
        mine = self._found_by(detector)
        title = detector.replace("_", " ")
        if mine.empty:
            return f"no finding of {title}"
        sources = sorted(set(mine["src"].dropna()))
        total = f", {size_text(float(mine['value'].sum()))} together" if detector == "volume_spikes" else ""
        count = f"{len(mine)} finding{'s' * (len(mine) != 1)}"
        return f"{count} of {title} from {_listed(sources)}{total}"


def _listed(sources: list[str]) -> str:
    """Return the first `NAMED` terminals, and how many more there are."""
    more = f" and {len(sources) - NAMED} more" if len(sources) > NAMED else ""
    return ", ".join(sources[:NAMED]) + more
