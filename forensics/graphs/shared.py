r"""Servers that the infected terminals share, and hardly anybody else uses.

Infected is what the detectors found at a listed server: the terminals of findings whose server is a relay of the graph,
and those at which a chain begins. A server outside that at least ``least`` of them met, and of all terminals at most
`MOST_SHARE` (or as many as are infected), may belong to the same operation: another relay, or where it fetched its
tools. It may be a page that one department reads, too. If the :math:`i` infected were any of the :math:`n` terminals,
the probability that :math:`k` or more of the :math:`m` who met the server are infected is that of drawing without
replacement,

.. math:: p = \sum_{j \ge k} \binom{i}{j} \binom{n - i}{m - j} / \binom{n}{m}

and Benjamini-Hochberg over all servers so few met holds the false discovery rate at `MAX_Q`. The edges are of the tier
``shared``: that the terminals met the server is on record, that it belongs to the operation is inferred. The server is
no relay for that and has the role ``other``.

References
----------
.. [1] T.-F. Yen et al., "Beehive: Large-Scale Log Analysis for Detecting Suspicious Activity in Enterprise Networks",
   ACSAC 2013, doi:10.1145/2523649.2523670: rare destinations that infected hosts have in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from forensics.detectors._chance import q_values
from forensics.engines import query_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import pandas as pd

    from forensics.case import Case
    from forensics.roles import Roles

__all__ = ["infected_terminals", "shared_servers"]

MOST_SHARE = 0.05
"""Greatest share of the terminals that may have met the server. [1]"""

MAX_Q = 0.05
"""Greatest expected share of servers that are shared by chance. [1]"""


def infected_terminals(roles: Roles, relays: Collection[str], found: Iterable[pd.DataFrame]) -> set[str]:
    """Return the terminals that a finding ties to one of the relays.

    Parameters
    ----------
    roles
        Who is who in the case.
    relays
        The listed servers.
    found
        Findings of detectors.
    """
    pairs = {(src, dst) for frame in found for src, dst in zip(frame["src"], frame["dst"], strict=True)}
    return {src for src, dst in pairs if dst in relays and src in roles.terminals}


def shared_servers(
    case: Case, roles: Roles, infected: Collection[str], known: Collection[str], least: int
) -> dict[str, str]:
    """Return the servers that infected terminals share, each with the reason in words.

    Parameters
    ----------
    case
        The case.
    roles
        Who is who in it.
    infected
        The infected terminals.
    known
        Servers that are in the graph already.
    least
        Infected terminals that must have met the server.
    """
    from scipy.stats import hypergeom

    if len(infected) < least:
        return {}
    everybody = len(roles.terminals)
    tables = {
        "terminals": pa.table({"src": pa.array(sorted(roles.terminals), pa.string())}),
        "infected": pa.table({"src": pa.array(sorted(infected), pa.string())}),
        "options": pa.table({"least": [least], "most": [max(least, len(infected), int(MOST_SHARE * everybody))]}),
    }
    rows = case.sql(query_text("shared_servers"), **tables).to_arrow().to_pylist()
    rows = [row for row in rows if row["server"] not in known and not roles.is_inside(row["server"])]
    if not rows:
        return {}
    met, theirs = (np.array([row[key] for row in rows]) for key in ("terminals", "infected"))
    p = np.asarray(hypergeom.sf(theirs - 1, everybody, len(infected), met), np.float64)
    q = q_values(p, len(p))  # of all that could have been shared: a look at those that were would be half the test
    return {
        row["server"]: f"{row['infected']} of the {len(infected)} infected terminals met it, and "
        f"{row['terminals'] - row['infected']} of the {everybody - len(infected)} others (q = {chance:.2g})"
        for row, chance in zip(rows, q, strict=True)
        if chance <= MAX_Q and row["infected"] >= least
    }
