"""Relays that chains go through, and servers that chains end at, as findings: captures show what came in go on.

To go through is the strongest thing that can be said of a relay, and needs no terminal of the office: none ever met the
second hop of a chain. Where a chain ends, the records do: it is the next relay, or the operators' own server. The
operators are taken to have one such server. Of `LEAST_ENDS` ends or more, each is then more likely a relay than not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from forensics.chains import find_chains
from forensics.clocks import find_clocks
from forensics.detectors._findings import findings_frame
from forensics.origins import chains_from_terminals
from forensics.roles import find_roles

if TYPE_CHECKING:
    import pandas as pd

    from forensics.case import Case
    from forensics.chains import Chain, Match
    from forensics.clocks import Clocks

__all__ = ["ENDS", "PASSING", "find_passing"]

PASSING, ENDS = "chains", "chain_ends"
"""Names of these findings, and of the traits."""

LEAST_ENDS = 3
"""Fewest ends of chains that are relay candidates. [1]"""

EPOCH = datetime.fromtimestamp(0, UTC)


def find_passing(case: Case) -> dict[str, pd.DataFrame]:
    """Return a finding for every relay of every chain, and for every end where there are `LEAST_ENDS` or more.

    Parameters
    ----------
    case
        The case. Captures are read once more, for the timing of their packets.

    Returns
    -------
    dict
        Findings under `PASSING` and `ENDS`: ``src`` is where the chain begins, ``dst`` the relay or the end, ``value``
        and ``score`` the number of sessions, ``p_value`` and ``q_value`` those of the best match at the relay, or at
        the one before the end. [1]

    Raises
    ------
    EvidenceError
        A capture is no longer where it was, or has changed.
    """
    clocks = find_clocks(case)
    chains = chains_from_terminals(case, find_chains(case), find_roles(case))
    steps = [step for chain in chains for step in _steps(chain)]
    relays = {step.relay for step in steps}
    last = [step for step in steps if step.after not in relays]
    if len({step.after for step in last}) < LEAST_ENDS:
        last = []
    told = {
        PASSING: [
            _row(PASSING, step, step.relay, f"what came in from {step.before} went on to {step.after}", clocks)
            for step in steps
        ],
        ENDS: [_row(ENDS, step, step.after, f"what came in to {step.relay} went on to it", clocks) for step in last],
    }
    return {name: findings_frame(case, rows) for name, rows in told.items()}


class _Step(NamedTuple):
    """How one chain goes through one relay."""

    origin: str
    before: str
    relay: str
    after: str
    matches: tuple[Match, ...]


def _steps(chain: Chain) -> list[_Step]:
    """Return how a chain goes through each of its relays."""
    ways = zip(chain.hops, chain.relays, chain.hops[2:], zip(*chain.sessions, strict=True), strict=False)
    return [_Step(chain.hops[0], *way) for way in ways]


def _row(detector: str, step: _Step, dst: str, reason: str, clocks: Clocks) -> dict[str, object]:
    """Return the finding of a server that a step is about."""
    inbound = [match.inbound for match in step.matches]
    best = min(step.matches, key=lambda match: match.p_value)
    return {
        "detector": detector,
        "start": _time(min(clocks.moment(c.source, c.start) for c in inbound)),
        "end": _time(max(clocks.moment(c.source, c.end) for c in inbound)),
        "src": step.origin,
        "dst": dst,
        "name": None,
        "value": float(len(step.matches)),
        "expected": None,
        "score": float(len(step.matches)),
        "p_value": best.p_value,
        "q_value": best.q_value,
        "reason": reason,
        "evidence": sorted({(c.source, c.record) for match in step.matches for c in (match.inbound, match.outbound)}),
    }  # fmt: skip


def _time(moment: int) -> datetime:
    return EPOCH + timedelta(microseconds=moment)
