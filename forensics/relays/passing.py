"""Relays that chains go through, as findings: captures taken there show what came in go on.

It is the strongest thing that can be said of a relay, and needs no terminal of the office: none ever met the second hop
of a chain.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from forensics.chains import find_chains
from forensics.clocks import find_clocks
from forensics.detectors._findings import findings_frame
from forensics.origins import chains_from_terminals
from forensics.roles import find_roles

if TYPE_CHECKING:
    import pandas as pd

    from forensics.case import Case
    from forensics.chains import Chain
    from forensics.clocks import Clocks

__all__ = ["PASSING", "find_passing"]

PASSING = "chains"
"""Name of these findings, and of the trait."""

EPOCH = datetime.fromtimestamp(0, UTC)


def find_passing(case: Case) -> pd.DataFrame:
    """Return a finding for every relay of every chain.

    Parameters
    ----------
    case
        The case. Captures are read once more, for the timing of their packets.

    Returns
    -------
    pandas.DataFrame
        Findings: ``src`` is where the chain begins, ``dst`` the relay, ``value`` and ``score`` the number of sessions,
        ``p_value`` and ``q_value`` those of the best match at the relay. [1]

    Raises
    ------
    EvidenceError
        A capture is no longer where it was, or has changed.
    """
    clocks = find_clocks(case)
    chains = chains_from_terminals(case, find_chains(case), find_roles(case))
    return findings_frame(case, [row for chain in chains for row in _rows(chain, clocks)])


def _rows(chain: Chain, clocks: Clocks) -> list[dict[str, object]]:
    """Return the findings of one chain."""
    rows: list[dict[str, object]] = []
    for before, relay, after, matches in zip(
        chain.hops, chain.relays, chain.hops[2:], zip(*chain.sessions, strict=True), strict=False
    ):
        inbound = [match.inbound for match in matches]
        cited = {(c.source, c.record) for match in matches for c in (match.inbound, match.outbound)}
        best = min(matches, key=lambda match: match.p_value)
        rows.append({
            "detector": PASSING,
            "start": _time(min(clocks.moment(c.source, c.start) for c in inbound)),
            "end": _time(max(clocks.moment(c.source, c.end) for c in inbound)),
            "src": chain.hops[0],
            "dst": relay,
            "name": None,
            "value": float(len(matches)),
            "expected": None,
            "score": float(len(matches)),
            "p_value": best.p_value,
            "q_value": best.q_value,
            "reason": f"what came in from {before} went on to {after}",
            "evidence": sorted(cited),
        })  # fmt: skip
    return rows


def _time(moment: int) -> datetime:
    return EPOCH + timedelta(microseconds=moment)
