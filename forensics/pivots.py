"""Where a terminal that was in contact with a relay went on to, inside the office.

Whoever works through a terminal reaches other hosts from it, over the ports by which hosts are administered: SMB, RPC,
WinRM, remote desktop, SSH. Each such connection is on record, and so is that it began while the terminal was in contact
with the relay, or within a minute afterwards. That the one caused the other is not: commands are no volume that could
be matched. What half of the terminals reach, as a domain controller, is left out where there are enough terminals to
tell.

References
----------
.. [1] MITRE ATT&CK, tactic TA0008, *Lateral Movement*, and technique T1021, *Remote Services*.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from forensics.engines import query_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forensics.case import Case
    from forensics.clocks import Clocks
    from forensics.roles import Roles

__all__ = ["Pivot", "find_pivots"]

PORTS = {
    22: "SSH",
    23: "Telnet",
    135: "RPC",
    139: "SMB",
    445: "SMB",
    3389: "remote desktop",
    5900: "VNC",
    5985: "WinRM",
    5986: "WinRM",
}
"""Ports by which hosts are administered."""

FEW_TERMINALS = 5
"""Among fewer terminals nothing is what half of them do."""


@dataclass(frozen=True, slots=True)
class Pivot:
    """A terminal that reached another host of the office while it was in contact with a relay.

    Parameters
    ----------
    hops
        The relay, the terminal, the other host.
    services
        By what it reached the host.
    """

    hops: tuple[str, str, str]
    services: tuple[str, ...]

    @property
    def reason(self) -> str:
        """The statement in words."""
        relay, terminal, host = self.hops
        return f"{terminal} reached {host} by {', '.join(self.services)} while in contact with {relay}"


def find_pivots(case: Case, listed: Iterable[str], roles: Roles, clocks: Clocks) -> list[Pivot]:
    """Return the pivots of a case.

    Parameters
    ----------
    case
        The case.
    listed
        Servers that are taken for relays.
    roles
        Who is who: hosts of the office are private addresses like the terminals' own.
    clocks
        The clocks of the case's sources.

    Returns
    -------
    list of Pivot
        In order of their hops.
    """
    servers = sorted(listed)
    own = case.sql("SELECT DISTINCT dst FROM flows WHERE proto = 'tcp' AND dst IS NOT NULL").to_arrow()
    hosts = [host for host in sorted(own.column("dst").to_pylist()) if _is_host(host, roles) and host not in servers]
    if not servers or not hosts:
        return []
    sources = case.sql("SELECT source FROM sources").to_arrow().column("source").to_pylist()
    ahead = [round((clocks.main_offset(source) or 0.0) * 1e6) for source in sources]
    tables = {
        "listed": pa.table({"server": pa.array(servers, pa.string())}),
        "hosts": pa.table({"host": pa.array(hosts, pa.string())}),
        "ports": pa.table({"port": pa.array(sorted(PORTS), pa.int32())}),
        "offsets": pa.table({"source": pa.array(sources, pa.string()), "ahead": pa.array(ahead, pa.int64())}),
    }
    found: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in case.sql(query_text("pivots"), **tables).to_arrow().to_pylist():
        usual = len(roles.terminals) >= FEW_TERMINALS and 2 * row["clients"] >= len(roles.terminals)
        if row["src"] in roles.terminals and not usual:
            found[row["server"], row["src"], row["dst"]].add(PORTS[row["port"]])
    return [Pivot(hops, tuple(sorted(services))) for hops, services in sorted(found.items())]


def _is_host(address: str, roles: Roles) -> bool:
    """Tell whether an address is of a host of the office, that is neither proxy nor gateway."""
    speaks = address in roles.gateways or address in roles.proxies.values()
    return roles.is_inside(address) and not speaks
