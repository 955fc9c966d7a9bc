"""What captures hold of Emdivi's marks beside the URLs of requests: in bodies, in cookies, in replies of status 404."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from forensics.detectors._emdivi_marks import commands_in, hidden_in, shown
from forensics.detectors._remembered import remembered
from forensics.engines import query_text
from forensics.errors import EvidenceError
from forensics.roles import find_roles

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from forensics.case import Case
    from forensics.packets.http_messages import Ends, Exchange

__all__ = ["Plan", "marks_in", "plan_of"]

CHUNK = 128_000_000
"""Bytes of connections that are put together at once. [B]"""

NOT_FOUND = 404

FLOW = ("source", "record", "tunnel", "src", "src_port", "dst", "dst_port", "proto", "start", "end")

Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which connections of captures are opened.

    Parameters
    ----------
    requests
        Requests with their connections, as ``emdivi_flows`` returns them, by capture.
    connections
        How many connections those are.
    left
        Connections that are more than may be opened.
    closed
        Connections of captures that cannot be opened, by why.
    """

    requests: dict[str, list[Request]] = field(default_factory=dict)
    connections: int = 0
    left: int = 0
    closed: dict[str, int] = field(default_factory=dict)


@remembered
def plan_of(case: Case, most_flows: int) -> Plan:
    """Return which connections of a case to open: those to outside servers, the rarest servers first.

    Parameters
    ----------
    case
        The case.
    most_flows
        Most connections to open.
    """
    is_inside = find_roles(case).is_inside
    servers = case.sql(query_text("emdivi_servers")).to_arrow().to_pylist()
    chosen, total = [], 0
    for row in servers:
        if not is_inside(row["server"]):
            most = max(0, most_flows - total)
            total += row["connections"]
            if most:
                # all requests of its connections, or, of the last server, as many requests as connections are left
                chosen.append({"server": row["server"], "most": most if row["connections"] > most else 1 << 40})
    table = pa.Table.from_pylist(chosen, pa.schema([("server", pa.string()), ("most", pa.int64())]))
    rows = case.sql(query_text("emdivi_flows"), chosen=table).to_arrow().to_pylist()
    plan, opened, shut = Plan(left=max(0, total - most_flows)), {}, {}
    for source, group in groupby(rows, key=lambda row: row["source"]):
        requests = list(group)
        count = len({_flow_key(row) for row in requests})
        try:
            next(case.iter_packets([_flow(requests[0])]))  # the capture may be gone, or have no index
        except EvidenceError as error:
            shut[str(error)] = count
        else:
            opened[source] = requests
    connections = sum(len({_flow_key(row) for row in requests}) for requests in opened.values())
    return Plan(opened, connections, plan.left, shut)


def marks_in(case: Case, plan: Plan, names: Collection[bytes] | None, agent: str | None) -> Iterator[dict[str, object]]:
    """Yield the marks in the connections of a plan, each with its request, its place and what it says.

    Parameters
    ----------
    case
        The case.
    plan
        The connections.
    names
        Fields to decode; all of them without.
    agent
        What the User-Agent must contain; anything without.
    """
    wanted = (agent or "").encode()
    for requests in plan.requests.values():
        for chunk in _chunks(requests):
            asked: dict[Ends, list[Request]] = {}
            for row in chunk:
                asked.setdefault(_ends(row), []).append(row)
            for exchange in _exchanges(case, chunk):
                if wanted in exchange.fields.get(b"user-agent", b""):
                    # where packets came twice or late, another of them may count as the request's first
                    row = min(asked[exchange.ends], key=lambda one: abs(one["request"] - exchange.number))
                    yield from (
                        {**_place(row), "where": where, "said": said} for where, said in _marks(exchange, names)
                    )


def _place(row: Request) -> dict[str, object]:
    """Return what a finding needs to know of a request."""
    known = {name: row[name] for name in ("src", "server", "name", "source")}
    return known | {"start": row["asked_at"], "end": row["answered"], "record": row["request"]}


def _marks(exchange: Exchange, names: Collection[bytes] | None) -> Iterator[tuple[str, str]]:
    """Yield where an exchange has a mark, and what it says: the body counts before the cookie."""
    for where, text in (("body", exchange.body), ("cookie", exchange.fields.get(b"cookie", b""))):
        plain = hidden_in(text, names)
        if plain is not None:
            yield where, shown(plain)
            break
    if exchange.status == NOT_FOUND:
        commands = commands_in(exchange.reply)
        if commands:
            yield "reply", ", ".join(commands)


def _exchanges(case: Case, chunk: Sequence[Request]) -> Iterator[Exchange]:
    from forensics.packets.http_messages import read_exchanges

    flows = {_flow_key(row): _flow(row) for row in chunk}
    yield from read_exchanges(case.iter_packets(list(flows.values())), {_ends(row) for row in chunk})


def _chunks(requests: list[Request]) -> Iterator[list[Request]]:
    """Yield requests in parts whose connections are put together within `CHUNK`; one connection is never parted."""
    from forensics.packets.http_messages import MOST_BYTES

    chunk: list[Request] = []
    held = 0
    for _, group in groupby(requests, key=_flow_key):
        rows = list(group)
        size = sum(min(rows[0][way] or MOST_BYTES, MOST_BYTES) for way in ("sent", "received"))
        if chunk and held + size > CHUNK:
            yield chunk
            chunk, held = [], 0
        chunk += rows
        held += size
    if chunk:
        yield chunk


def _ends(row: Request) -> Ends:
    return row["src"], row["src_port"], row["dst"], row["dst_port"]


def _flow(row: Request) -> Request:
    return {name: row[name] for name in FLOW}


def _flow_key(row: Request) -> tuple[object, ...]:
    return tuple(row[name] for name in ("source", "record", "tunnel", "src", "src_port", "dst", "dst_port"))
