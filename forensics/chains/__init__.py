r"""Stepping stones: which connection into a relay goes on as which connection out of it.

A capture taken at a relay shows both sides. What the relay passes on comes after what came in, by the time that the
relay takes. So every connection into the host is compared with every other that lives as long and carried enough bytes
to be its way on; also with those that the operator opened into the relay (reverse tunnels), which were there before
what they carry. Pairs are found by a sweep over time, so that the work grows with how many connections live at once,
and not with all pairs there are.

What is compared are *events*: the moments (in windows of 20 ms) at which a direction of a connection begins to send
after a pause of 100 ms. For a delay :math:`d` and a spread :math:`w` of 40, 160 or 640 ms, :math:`c` counts the events
of the way in that are followed by an event of the way on between :math:`d` and :math:`d + w` later. Delays from 0 to
3 s are searched, in both directions; order is part of it, since nothing is passed on before it came. Left out are the
first event of the way in, by which candidates were chosen, and events that come after the same interval once more: two
clocks that tick alike keep step for ever by one chance.

The p-value comes from shifting the one series against the other in a circle, by up to 150 s either way. That keeps the
rhythm of both. The shifts give the mean :math:`\mu` of the count and its variance :math:`\varphi\mu`; :math:`\mu` is
not taken lower than within 5 s of the delays that are searched, so that common busy times do not count. A session of a
minute has a few thousand shifts, and a permutation could not tell p-values below their reciprocal; among millions of
pairs that is nothing. So the tail beyond the shifts is bounded by

.. math:: p \le T_d \exp\left(-\frac{c \ln(c / \mu) - c + \mu}{\varphi}\right),

Chernoff's bound for a Poisson count of clumps of :math:`\varphi` events, times the number :math:`T_d` of ways to agree:
a Bonferroni correction over directions, spreads and delays, in which delay :math:`d` has a weight that falls as
:math:`1 / d`. Where some shift reaches the count, the p-value is at least the share of such shifts.

Fisher's method puts this together with what else a relay does, as far as it is there: how soon the way on was opened
after the way in, how nearly both end (unless connections of this host live as long by habit), and how near the volumes
are, by rank among the host's connections. A way on that is older, or carries more, loses nothing by it. On pairs of
strangers no more have a small p-value than it says (``tests/findings/test_chain_chance.py``).

Over all pairs of all captures that were compared, the false discovery rate is held at `MAX_Q` (Benjamini-Hochberg). A
quick look at the first events passes over most pairs of a large capture; they count as compared, with p-value 1. In
both directions, `LEAST_SCORE` of the bytes that come in must find their equal on the way on, within four times the
spread. More may go on than came in, so that padding and tunnels that carry several sessions at once are no hindrance.

Steps at two relays are one chain when the connection out of the first is, by its five-tuple and its start by corrected
clocks, the connection into the second. Where the clock of a capture is not known, the five-tuple alone decides.

When it misleads
----------------
A match says that two connections keep step, not why: a web server and the database it asks keep step, too. What has
few events, because it never pauses or because only a clock drives it, is matched by its opening, its end and its volume
alone, which tells little on a busy host. Delays above 3 s break the match; so do waits that differ by more than half a
second, and padding that the relay takes off, above half of what came in.

References
----------
.. [1] Y. Zhang, V. Paxson, "Detecting Stepping Stones", USENIX Security 2000.
.. [2] A. Blum, D. Song, S. Venkataraman, "Detection of Interactive Stepping Stones", RAID 2004,
   doi:10.1007/978-3-540-30143-1_14.
.. [3] Y. Benjamini, Y. Hochberg, "Controlling the False Discovery Rate", J. R. Stat. Soc. B 57 (1995) 289-300,
   doi:10.1111/j.2517-6161.1995.tb02031.x.
.. [4] R. A. Fisher, "Statistical Methods for Research Workers", 4th edition, 1932, section 21.1.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forensics.chains.joining import Chain, best_of, by_clocks, joined
from forensics.chains.match import BIN, Match
from forensics.clocks import find_clocks
from forensics.detectors._chance import q_values
from forensics.roles import Roles, find_roles, once_per_case
from forensics.series import connections_of

if TYPE_CHECKING:
    from forensics.case import Case

__all__ = ["BIN", "Chain", "Match", "find_chains", "held"]

MAX_Q = 0.01
"""Greatest expected share of false matches among all matches."""

LEAST_SCORE = 0.5
"""Least share of the bytes that must find their equal."""

VANTAGE_SHARE = 0.5
"""A host that takes part in at least this share of a capture's connections is where it was taken."""


ENDS = """
SELECT source, host, count(*) AS met
FROM (
    SELECT source, src AS host FROM flows WHERE frame_bytes_out IS NOT NULL AND dst IS NOT NULL
    UNION ALL
    SELECT source, dst AS host FROM flows WHERE frame_bytes_out IS NOT NULL AND dst IS NOT NULL
)
GROUP BY source, host
"""


def find_chains(case: Case) -> list[Chain]:
    """Return the chains that captures at relays show, the longest first.

    Parameters
    ----------
    case
        The case. Captures are read once more, for the timing of their packets; chains are found once per case and
        again when evidence was added.

    Returns
    -------
    list of Chain
        The chains; empty where no capture was taken at a relay.

    Raises
    ------
    EvidenceError
        A capture is no longer where it was, or has changed.
    """
    return once_per_case(case, "chains", _chains_of)


def _chains_of(case: Case) -> list[Chain]:
    from forensics.chains.matching import matches_at  # loads the compiler

    roles = find_roles(case)
    found: list[Match] = []
    compared = 0
    for source, host in _vantage_hosts(case, roles):
        matches, tested = matches_at(host, connections_of(case, source, host, BIN))
        found += matches
        compared += tested
    kept = best_of(held(found, compared))
    return joined(kept, by_clocks(find_clocks(case))) if kept else []


def held(matches: list[Match], compared: int) -> list[Match]:
    """Return the matches that stand when all that was compared is counted, with their q-values.

    Parameters
    ----------
    matches
        The matches.
    compared
        Number of pairs that were compared; those that are not among the matches have p-value 1.

    Returns
    -------
    list of Match
        Those with a q-value up to `MAX_Q` and a score from `LEAST_SCORE` on.
    """
    q = q_values(np.array([match.p_value for match in matches]), compared).tolist()
    return [
        replace(match, q_value=value)
        for match, value in zip(matches, q, strict=True)
        if value <= MAX_Q and match.score >= LEAST_SCORE
    ]


def _vantage_hosts(case: Case, roles: Roles) -> list[tuple[str, str]]:
    """Return (capture, host) of captures that were taken at one host outside the office."""
    ends: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in case.sql(ENDS).to_arrow().to_pylist():
        ends[row["source"]].append((row["met"], row["host"]))
    found = []
    for source, hosts in sorted(ends.items()):
        count, host = max(hosts)
        connections = sum(met for met, _ in hosts) / 2  # each has two ends
        if count >= VANTAGE_SHARE * connections and not roles.is_inside(host):
            found.append((source, host))
    return found
