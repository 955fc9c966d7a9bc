"""A Zeek sensor on the office's uplink: it sees the proxy's public address, never a terminal's.

Rows are written when a connection ends, while ``ts`` is its start; consecutive plain requests to a server share a
connection, as Squid keeps them open. Requests answered from the cache never get here.

References
----------
https://docs.zeek.org/en/v6.0.0/scripts/base/protocols/conn/main.zeek.html and the same for http, dns and ssl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from . import catalog
from .options import MICROSECONDS
from .transactions import (
    ADDED_TO_REPLY,
    ADDED_TO_REQUEST,
    CONNECT_REPLY,
    CONNECT_REQUEST,
    Holdback,
    Ints,
    Rows,
    make_rows,
)
from .zeek_text import LOGS, ZeekLog, conn_lines, dns_lines, http_lines, ssl_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from .cast import Cast

DNS = 3  # stands beside the proxy's verbs in connection rows
_IDLE = 15 * MICROSECONDS  # how long an unused server connection stays open
_MARGIN = 5 * MICROSECONDS
_PORTS = (32_768, 28_232)  # first source port and their number
_LINES: dict[str, Callable[[Cast, Rows], str]] = {
    "conn": conn_lines,
    "http": http_lines,
    "ssl": ssl_lines,
    "dns": dns_lines,
}


class Sensor:
    """Turns the proxy's transactions into the four logs."""

    def __init__(self, cast: Cast, folder: Path, compression: int) -> None:
        self._cast = cast
        self._intake = Holdback("start")
        self._held = {name: Holdback("end") for name in LOGS}
        opened = cast.campaign.midnight(cast.campaign.days - cast.campaign.sensor_days)
        closed = cast.campaign.midnight(cast.campaign.days)
        self._logs = {name: ZeekLog(folder / f"{name}.log.gz", name, (opened, closed), compression) for name in LOGS}
        self._opened = opened
        self._connections = 0
        self._asked = np.full(len(cast.names), -1, np.int64)

    def push(self, rows: Rows) -> None:
        """Take transactions, in any order."""
        self._intake.push(rows)

    def see(self, before: int | None = None) -> Rows:
        """Write what is due before a time [us]; give back the transactions that began before it.

        They come as the uplink has them: without cache hits, sorted by server and start, with ``port``, ``depth`` and
        ``connection`` filled in, and with the sizes of the uplink.
        """
        seen = self._assign(_uplink(self._intake.pop(before)))
        connections = _connections(seen)
        questions = self._ask(connections)
        tunnel = seen["verb"] == catalog.CONNECT
        self._hold("conn", connections)
        self._hold("conn", questions)
        self._hold("dns", questions)
        self._hold("http", seen[~tunnel])
        self._hold("ssl", _handshakes(seen[tunnel]))
        for name, held in self._held.items():
            # A question comes a moment before its connection, so the last seconds are not complete yet.
            due = held.pop(None if before is None else before - _MARGIN)
            self._logs[name].write_rows(due, self._cast, _LINES[name])
        return seen

    def _hold(self, name: str, rows: Rows) -> None:
        """Keep rows for a log, but for what came before the sensor was put up."""
        self._held[name].push(rows[rows["start"] >= self._opened])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for log in self._logs.values():
            log.__exit__(kind, error, trace)

    def _assign(self, rows: Rows) -> Rows:
        """Number the connections; a request shares one if the last to that server has ended a moment ago."""
        rows = rows[np.lexsort((rows["start"], rows["server"]))]
        pause = rows["start"][1:] - rows["end"][:-1]
        plain = rows["verb"] != catalog.CONNECT
        shared = np.zeros(len(rows), bool)
        shared[1:] = (rows["server"][1:] == rows["server"][:-1]) & (pause >= 0) & (pause < _IDLE)
        shared[1:] &= plain[1:] & plain[:-1]
        group = np.cumsum(~shared) - 1
        first = np.flatnonzero(~shared)
        rows["depth"] = np.arange(len(rows)) - first[group] + 1
        rows["connection"] = self._connections + group
        rows["port"] = _port(rows["connection"])
        self._connections += len(first)
        return rows

    def _ask(self, connections: Rows) -> Rows:
        """DNS questions of connections to servers whose answer is no longer cached."""
        server = connections["server"]
        period = connections["start"] // (self._cast.lifetime[server] * MICROSECONDS)
        order = np.lexsort((connections["start"], server))
        server, period = server[order], period[order]
        new = np.ones(len(order), bool)
        new[1:] = (server[1:] != server[:-1]) | (period[1:] != period[:-1])
        new &= period > self._asked[server]
        np.maximum.at(self._asked, server, period)
        asking = connections[order[new]]
        count = len(asking)
        rng = self._cast.campaign.random("dns", self._connections)
        rtt = (rng.lognormal(np.log(12e3), 0.7, count)).astype(np.int64)
        number = self._connections + np.arange(count)
        self._connections += count
        asked = asking["start"] - rtt - 1000
        lengths = np.array([len(self._cast.names[place]) for place in asking["server"].tolist()], np.int64)
        return make_rows(
            count,
            start=asked,
            end=asked + rtt,
            server=asking["server"],
            sent=18 + lengths,  # header, name, type and class: RFC 1035 section 4
            received=34 + lengths,  # and one answer of 16 bytes, its name compressed
            verb=DNS,
            connection=number,
            port=_port(number),
            number=rng.integers(1, 65_536, count),
        )


def _port(number: Ints) -> Ints:
    return _PORTS[0] + number * 7919 % _PORTS[1]


def _uplink(rows: Rows) -> Rows:
    rows = rows[~rows["hit"]]
    tunnel = rows["verb"] == catalog.CONNECT
    rows["sent"] += np.where(tunnel, -CONNECT_REQUEST, ADDED_TO_REQUEST)
    rows["received"] -= np.where(tunnel, CONNECT_REPLY, ADDED_TO_REPLY)
    return rows


def _connections(rows: Rows) -> Rows:
    """One row per connection, with the sums of its requests."""
    first = np.flatnonzero(rows["depth"] == 1)
    if not len(first):
        return make_rows(0)
    connections = rows[first]
    last = np.append(first[1:], len(rows)) - 1
    connections["end"] = rows["end"][last]
    # An idle connection is closed by the server some seconds later; how many is the server's habit.
    idle = np.where(connections["verb"] == catalog.CONNECT, 0, 1 + connections["server"] % 5)
    connections["end"] += idle * MICROSECONDS
    for column in ("sent", "received"):
        connections[column] = np.add.reduceat(rows[column], first)
    return connections


def _handshakes(rows: Rows) -> Rows:
    rows = rows.copy()
    rows["end"] = np.minimum(rows["start"] + 80_000, rows["end"])
    return rows
