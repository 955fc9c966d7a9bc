"""Who is who: terminals of the office, and the proxies and gateways that speak for them.

A proxy's or gateway's own address stands for many terminals and must not be taken for one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import pyarrow as pa

from forensics.addresses import address_text, is_private
from forensics.engines import query_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

__all__ = ["Roles", "find_roles", "once_per_case"]

Found = TypeVar("Found")

GATEWAY_SHARE = 0.8
"""Share of a gateway's servers that clients seen elsewhere must have met. [1]"""

GATEWAY_CLIENTS = 5
"""Fewest such clients for that to mean anything."""

ALIKE_SHARE = 0.5
"""Share of a captured proxy's (client, server) pairs that a log must have for the proxy to be the log's; and share of
the connections of one side of a gateway that must be on the other side, too."""

LEAST_ALIKE = 3
"""Connections that must be on both sides of a gateway."""

CLIENTS = """
SELECT src, vantage, max(CASE WHEN via IS NULL THEN 0 ELSE 1 END) AS proxied
FROM traffic
GROUP BY src, vantage
ORDER BY src NULLS LAST, vantage NULLS LAST
"""

PROXIES = "SELECT DISTINCT via FROM traffic WHERE via IS NOT NULL ORDER BY via NULLS LAST"

ALIKE = """
WITH pairs AS (
    SELECT DISTINCT via, src, server FROM traffic WHERE via IS NOT NULL
),
counted AS (
    SELECT via, count(*) AS pairs FROM pairs GROUP BY via
)
SELECT n.via AS via, c.via AS other, max(k.pairs) AS pairs, count(*) AS shared
FROM pairs n
JOIN pairs c ON n.src = c.src AND n.server = c.server
JOIN captured w ON c.via = w.via
JOIN counted k ON c.via = k.via
LEFT JOIN captured v ON n.via = v.via
WHERE v.via IS NULL
GROUP BY n.via, c.via
ORDER BY via NULLS LAST, other NULLS LAST
"""
"""How many pairs each of the proxies in `captured` carried, and how many of them a log's proxy has, too."""

DEGREES = "SELECT src, count(DISTINCT server) AS servers FROM traffic GROUP BY src"

SHARED = """
WITH theirs AS (
    SELECT DISTINCT t.server AS server FROM traffic t JOIN elsewhere e ON t.src = e.src
)
SELECT t.src AS src, count(DISTINCT t.server) AS shared
FROM traffic t
JOIN rich r ON t.src = r.src
JOIN theirs o ON t.server = o.server
GROUP BY t.src
"""
"""How many servers of each client in `rich` the clients in `elsewhere` met."""

SERVERS = """
SELECT DISTINCT c.src AS src
FROM (SELECT DISTINCT src FROM traffic) c
JOIN (SELECT DISTINCT server FROM traffic) s ON c.src = s.server
"""
"""Clients that are servers, too."""


@dataclass(frozen=True)
class Roles:
    """Who is who in a case.

    Parameters
    ----------
    terminals
        Addresses of the office's own hosts that acted as clients.
    proxies
        What proxies are called in ``via``: the address, or the log's vantage where the log does not name one. Each
        with the address it is known by, where one was found.
    gateways
        Addresses that stand for many terminals: proxies as seen from outside, address translation.
    """

    terminals: frozenset[str] = frozenset()
    proxies: dict[str, str] = field(default_factory=dict)
    gateways: frozenset[str] = frozenset()

    def is_inside(self, address: str) -> bool:
        """Tell whether an address is of the office: a terminal, a proxy, a gateway, or a private address like theirs.

        A private address is like theirs where one of them is of the same private network (RFC 1918, RFC 4193). One of
        another network is not the office's: in a laboratory, and behind a VPN, servers of others bear such addresses.
        """
        known = address in self.terminals or address in self.gateways or address in self.proxies
        # Which network an address is of is told faster than whether it is an address at all.
        return known or address in self._proxies or (_network(address) in self._networks and _private(address))

    def networks(self) -> tuple[str, ...]:
        """Return the private networks that the office's own addresses are of, such as ``10.0.0.0/8``."""
        return self._networks

    @cached_property
    def _networks(self) -> tuple[str, ...]:
        members = (*self.terminals, *self.gateways, *self.proxies.values())
        return tuple(sorted({_network(member) for member in members if _private(member)}))

    @cached_property
    def _proxies(self) -> frozenset[str]:
        return frozenset(self.proxies.values())


def find_roles(case: Case) -> Roles:
    """Return who is who in a case.

    Terminals are the clients of proxies and the private addresses that act as clients; where there are neither, all
    clients that serve nobody. Documentation and public addresses are the office's own only as clients of a proxy.

    Parameters
    ----------
    case
        The case.

    Returns
    -------
    Roles
        Who is who; found once per case and again when evidence was added.
    """
    return once_per_case(case, "roles", _roles_of)


def once_per_case(case: Case, what: str, find: Callable[[Case], Found]) -> Found:
    """Return what is found in a case; it is found once, and again when evidence was added.

    Parameters
    ----------
    case
        The case.
    what
        What it is called.
    find
        What finds it.
    """
    held = case.sql("SELECT sha256, records FROM sources").to_arrow().to_pydict()
    evidence = frozenset(zip(held["sha256"], held["records"], strict=True))
    known = _KNOWN.setdefault(case, {})
    if what not in known or known[what][0] != evidence:
        known[what] = (evidence, find(case))
    found: Found = known[what][1]
    return found


_KNOWN: WeakKeyDictionary[Case, dict[str, tuple[frozenset[tuple[str, int]], Any]]] = WeakKeyDictionary()
"""By case, what was found in which evidence: every detector asks for roles, chains and hops for clocks."""


def _roles_of(case: Case) -> Roles:
    rows = case.sql(CLIENTS).to_arrow().to_pylist()
    seen_at: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        seen_at[row["src"]].add(row["vantage"])
    proxies = _named_proxies(case)
    addresses = set(proxies.values()) | set(proxies)
    gateways = frozenset(addresses & seen_at.keys()) | _gateways(case, seen_at, addresses)
    gateways |= _translators(case, seen_at.keys() - gateways)
    clients = {row["src"] for row in rows if row["proxied"]} | {src for src in seen_at if _private(src)}
    # A client that others are served by is a server too: a relay, in a capture that was taken there.
    alone = clients or set(seen_at) - set(case.sql(SERVERS).to_arrow()["src"].to_pylist())
    return Roles(frozenset(alone - gateways - addresses), proxies, gateways)


def _named_proxies(case: Case) -> dict[str, str]:
    """Return each proxy's address by what ``via`` calls it.

    A proxy's own log seldom says its address. A captured proxy that carried the log's pairs is the log's proxy.
    """
    called = case.sql(PROXIES).to_arrow()["via"].to_pylist()
    captured = [via for via in called if address_text(via)]
    named = {via: via for via in called}
    if captured and len(captured) < len(called):
        table = pa.table({"via": pa.array(captured, pa.string())})
        best: dict[str, float] = {}
        for row in case.sql(ALIKE, captured=table).to_arrow().to_pylist():
            share = row["shared"] / row["pairs"]
            if share >= ALIKE_SHARE and share > best.get(row["via"], 0):  # of equal ones the first by address
                best[row["via"]], named[row["via"]] = share, row["other"]
    return named


def _gateways(case: Case, seen_at: dict[str, set[str]], proxies: set[str]) -> frozenset[str]:
    """Return clients that met more servers than any client seen elsewhere, and nearly only servers that those met."""
    places: defaultdict[frozenset[str], list[str]] = defaultdict(list)
    for client, seen in seen_at.items():
        places[frozenset(seen)].append(client)
    found: set[str] = set()
    met: dict[str, int] = {}
    # Clients that were seen in the same places are compared with the same others: there are few such places.
    for place, clients in places.items():
        elsewhere = [c for other, theirs in places.items() if not other & place for c in theirs if c not in proxies]
        if len(elsewhere) >= GATEWAY_CLIENTS:
            met = met or dict(zip(*case.sql(DEGREES).to_arrow().to_pydict().values(), strict=True))
            most = max(met[client] for client in elsewhere)
            if rich := [client for client in clients if met[client] > most]:
                tables = {name: pa.table({"src": them}) for name, them in (("rich", rich), ("elsewhere", elsewhere))}
                shared = case.sql(SHARED, **tables).to_arrow().to_pylist()
                found |= {row["src"] for row in shared if row["shared"] >= GATEWAY_SHARE * met[row["src"]]}
    return frozenset(found)


def _translators(case: Case, clients: set[str]) -> frozenset[str]:
    """Return public addresses whose connections are those of private ones, with the same ports: address translation.

    Where most of what one side did with common servers is on the other side, too, that is no chance.
    """
    inside = sorted(client for client in clients if _private(client))
    outside = sorted(clients - set(inside))
    if not inside or not outside:
        return frozenset()
    tables = {name: pa.table({"src": of}) for name, of in (("inside", inside), ("outside", outside))}
    rows = case.sql(query_text("translated"), **tables).to_arrow().to_pylist()
    return frozenset(
        row["src"]
        for row in rows
        if row["alike"] >= LEAST_ALIKE and row["alike"] >= ALIKE_SHARE * min(row["mine"], row["theirs"])
    )


_PRIVATE = {"10": "10.0.0.0/8", "172": "172.16.0.0/12", "192": "192.168.0.0/16", "169": "169.254.0.0/16"}


def _network(address: str) -> str:
    """Return which of the private networks a private address is of."""
    first = address.partition(".")[0]
    return "private IPv6" if ":" in address else _PRIVATE.get(first, f"{first}.0.0.0/8")


def _private(address: str) -> bool:
    return address_text(address) is not None and is_private(address)
