"""Which connection of a gateway is which terminal's: what was seen before a gateway and behind it is one connection.

A gateway translates addresses, or is a proxy. Its connection with a server belongs to the terminal whose own connection
or request for that server

- has the same initial sequence numbers, both ends': a gateway that only translates keeps them, and two of 32 bits are
  no chance; or that of the client, where no other is recorded, and begins within `APART` by corrected clocks;
- else has the same port, where a gateway keeps it, and begins within `APART`;
- else is the only terminal's that begins within `APART` of it;
- else, among several, is the only terminal's with as many bytes, but for what kinds of bytes explain.

All other connections stay the gateway's own, and are counted. A proxy keeps its connections and uses them for others:
where another terminal asked for the server while one was open, its bytes are nobody's in particular.

When it misleads
----------------
A terminal of which nothing is recorded cannot be told: its connections through the gateway may be given to another one
that met the same server in the same two seconds, unless sequence numbers tell. Firewalls that draw the numbers anew
have others on either side, as proxies do: that they differ says nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forensics.engines import query_text
from forensics.merging import EPOCH, explained, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from forensics.case import Case
    from forensics.clocks import Clocks
    from forensics.roles import Roles

__all__ = ["Passages", "find_passages"]

APART = 2_000_000
"""How far from each other a terminal's connection and the gateway's begin. [us]"""

MOST_CITED = 200
"""Records of a file that are cited of one pair."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Passages:
    """Connections of gateways, as those of the terminals whose they are.

    Parameters
    ----------
    rows
        What each file saw of a terminal's connections behind a gateway: ``src``, ``server``, ``source``, ``vantage``,
        ``bytes_kind``, ``bytes_out``, ``bytes_in``, ``connections``, ``start``, ``end``, ``records``, ``gateway`` and
        ``joined``, the number of connections by how they were told.
    counts
        Of each gateway and server: ``gateway``, ``server``, ``connections`` and ``joined``.
    """

    rows: list[Row]
    counts: list[Row]


def find_passages(case: Case, servers: Iterable[str], roles: Roles, clocks: Clocks) -> Passages:
    """Return which connections of gateways with some servers are which terminal's.

    Parameters
    ----------
    case
        The case.
    servers
        The servers in question.
    roles
        Who is who: a gateway is what `forensics.roles.find_roles` takes for one.
    clocks
        The clocks of the case's sources.
    """
    clients = roles.terminals | roles.gateways
    if not roles.gateways:
        return Passages([], [])
    named = pa.table({"server": pa.array(sorted(servers), pa.string())})
    asked = pa.table({"src": pa.array(sorted(clients), pa.string())})
    rows = case.sql(query_text("gateway_contacts"), named=named, clients=asked).to_arrow().to_pylist()
    by_server: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        times = clocks.to_reference(row["source"], np.array([row["start"], row["end"]])).tolist()
        by_server[row["server"]].append(row | {"begins": times[0], "ends": times[1], "connections": 1})
    passed: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    counts: list[Row] = []
    for server, met in sorted(by_server.items()):
        own = _Own(sorted((row for row in met if row["src"] in roles.terminals), key=lambda row: row["begins"]))
        tried: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for row in met:
            if row["src"] in roles.gateways:
                how, terminal, shared = _whose(row, own)
                tried[row["src"]][how] += 1
                if terminal is not None:
                    hidden = {"bytes_out": None, "bytes_in": None} if shared else {}
                    place = (terminal, server, row["source"], row["vantage"], row["bytes_kind"], row["src"])
                    passed[place].append(row | hidden | {"how": how})
        counts += [_counted(gateway, server, ways) for gateway, ways in sorted(tried.items())]
    return Passages([_told(place, found) for place, found in sorted(passed.items())], counts)


class _Own:
    """The terminals' own connections with a server, in order of time, and by their sequence numbers."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self._by_numbers: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
        for row in rows:
            self._by_numbers[row["isn_out"], row["isn_in"]].add(row["src"])

    def near(self, row: Row) -> list[Row]:
        """Return those that begin about when another one does."""
        return self._begun(row["begins"] - APART, row["begins"] + APART)

    def during(self, row: Row) -> list[Row]:
        """Return those that begin while another one is open."""
        return self._begun(row["begins"] - APART, row["ends"])

    def numbered(self, row: Row, near: list[Row]) -> set[str]:
        """Return the terminals whose connections have a connection's sequence numbers."""
        out, back = row["isn_out"], row["isn_in"]
        if out is None:
            return set()
        if back is not None and (exact := self._by_numbers.get((out, back))):
            return exact
        return {one["src"] for one in near if one["isn_out"] == out and None in (back, one["isn_in"])}

    def _begun(self, first: int, last: int) -> list[Row]:
        low = bisect_left(self.rows, first, key=lambda one: one["begins"])
        return self.rows[low : bisect_right(self.rows, last, key=lambda one: one["begins"])]


def _whose(row: Row, own: _Own) -> tuple[str, str | None, bool]:
    """Return how it is known whose a gateway's connection is, whose, and whether others used it, too."""
    near = own.near(row)
    numbered = own.numbered(row, near)
    if len(numbered) == 1:
        return "sequence numbers", next(iter(numbered)), False
    same = {one["src"] for one in near if one["via"] is None and _ports(one) == _ports(row) and None not in _ports(one)}
    terminals = {one["src"] for one in near}
    if len(same) == 1:
        return "ports", same.pop(), False
    if len(terminals) > 1:
        terminals = {one["src"] for one in near if all(explained(one, row, way) for way in ("bytes_out", "bytes_in"))}
        how = "time and sizes"
    else:
        how = "time"
    if len(terminals) != 1:
        return "", None, False
    terminal = terminals.pop()
    shared = any(one["via"] is not None and one["src"] != terminal for one in own.during(row))
    return how, terminal, shared


def _ports(row: Row) -> tuple[int | None, int | None]:
    return row["src_port"], row["dst_port"]


def _counted(gateway: str, server: str, ways: Mapping[str, int]) -> Row:
    joined = {how: count for how, count in sorted(ways.items()) if how}
    return {"gateway": gateway, "server": server, "connections": sum(ways.values()), "joined": joined}


def _told(place: tuple[str, ...], found: list[Row]) -> Row:
    """Return connections of one terminal in one file as one row, as the links of the graph are."""
    names = ("src", "server", "source", "vantage", "bytes_kind", "gateway")
    return {
        **dict(zip(names, place, strict=True)),
        **total(found),
        "via": None,
        "name": None,
        "connections": len(found),
        "start": EPOCH + timedelta(microseconds=min(row["start"] for row in found)),
        "end": EPOCH + timedelta(microseconds=max(row["end"] for row in found)),
        "records": sorted({row["record"] for row in found})[:MOST_CITED],
        "joined": dict(Counter(row["how"] for row in found)),
    }
