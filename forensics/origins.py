"""Whose session it was: from the gateway's connection into a chain back to the terminal behind the gateway.

A capture at a relay shows the office's gateway or proxy, not the terminal. The proxy's log shows the terminal. Both
tell of one session when the terminal's request and the gateway's connection to the same relay start at the same moment,
by corrected clocks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

import pyarrow as pa

from forensics.chains import Chain
from forensics.clocks import find_clocks

if TYPE_CHECKING:
    from forensics.case import Case
    from forensics.chains import Match
    from forensics.clocks import Clocks
    from forensics.roles import Roles

__all__ = ["chains_from_terminals"]

MOST_APART = 2_000_000
"""Greatest difference between request and connection. [us]"""

REQUESTS = """
SELECT unix_micros(c.start) AS start, c.src AS src, c.source AS source
FROM contacts c
JOIN relays r ON c.server = r.server
"""


def chains_from_terminals(case: Case, chains: list[Chain], roles: Roles) -> list[Chain]:
    """Return the chains with the gateways in front replaced by the terminals whose sessions they are.

    A session whose terminal is not known keeps the gateway. Proxies do not count as hops: what went through one is the
    terminal's.

    Parameters
    ----------
    case
        The case.
    chains
        Chains as captures show them.
    roles
        Who is who.

    Returns
    -------
    list of Chain
        The chains, those of each terminal by themselves.
    """
    clocks = find_clocks(case)
    found: list[Chain] = []
    for chain in chains:
        if chain.hops[0] not in roles.gateways and chain.hops[0] not in roles.proxies.values():
            found.append(chain)
            continue
        requests = _requests(case, chain.hops[1], roles, clocks)
        by_terminal: defaultdict[str, list[tuple[Match, ...]]] = defaultdict(list)
        for session in chain.sessions:
            inbound = session[0].inbound
            start = clocks.moment(inbound.source, inbound.start)
            by_terminal[_nearest(requests, start) or chain.hops[0]].append(session)
        found += [
            Chain((terminal, *chain.hops[1:]), tuple(sessions)) for terminal, sessions in sorted(by_terminal.items())
        ]
    return found


def _requests(case: Case, relay: str, roles: Roles, clocks: Clocks) -> list[tuple[int, str]]:
    """Return time, by the reference clock, and terminal of the terminals' contacts with a relay, in order of time."""
    rows = case.sql(REQUESTS, relays=pa.table({"server": [relay]})).to_arrow().to_pylist()
    return sorted(
        (clocks.moment(row["source"], row["start"]), row["src"]) for row in rows if row["src"] in roles.terminals
    )


def _nearest(requests: list[tuple[int, str]], start: int) -> str | None:
    """Return the terminal whose request is nearest in time, where one is near enough."""
    place = bisect_left(requests, (start, ""))
    near = [(abs(time - start), terminal) for time, terminal in requests[max(place - 1, 0) : place + 1]]
    apart, terminal = min(near, default=(MOST_APART + 1, None))
    return terminal if apart <= MOST_APART else None
