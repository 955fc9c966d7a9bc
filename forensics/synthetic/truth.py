"""The planted truth: what ``truth.json`` holds, times as ISO 8601 text in UTC, bytes as the client sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np

from .options import iso

if TYPE_CHECKING:
    from .cast import Cast
    from .transactions import Rows


class Host(TypedDict, total=False):
    """A machine; ``tier`` only for relays."""

    address: str
    role: str
    infected: bool
    names: list[str]
    tier: int


class Capture(TypedDict):
    """A capture file; ``clock_offset_s`` is the file's time minus true time [s]."""

    file: str
    vantage: str
    snaplen: int
    precision: str
    packets: int
    clock_offset_s: float


class Log(TypedDict):
    """A log file and its format."""

    file: str
    format: str


class Transfer(TypedDict, total=False):
    """Uploaded bytes between two times [B]; ``kind`` only for the intrusion's uploads."""

    src: str
    dst: str
    name: str
    start: str
    end: str
    bytes: int
    kind: str


class Repeated(TypedDict):
    """Regular requests of one terminal to one server; ``jitter`` is the intervals' deviation over the period."""

    src: str
    dst: str
    name: str
    period_s: float
    jitter: float
    count: int
    start: str
    end: str


class ChainFlow(TypedDict):
    """One connection of a chain session and the files it can be seen in."""

    src: str
    src_port: int
    dst: str
    dst_port: int
    seen_in: list[str]


class ChainSession(TypedDict):
    """One use of a chain; payload bytes as they left the terminal (up) and reached it (down) [B]."""

    start: str
    end: str
    bytes_up: int
    bytes_down: int
    flows: list[ChainFlow]


class Chain(TypedDict):
    """Successive addresses from the terminal on; the office's public address is the proxy's other side."""

    hops: list[str]
    sessions: list[ChainSession]


class Truth(TypedDict):
    """Everything that was planted."""

    name: str
    made: str
    seed: int
    timezone: str
    internal: list[str]
    hosts: list[Host]
    captures: list[Capture]
    logs: list[Log]
    uploads: list[Transfer]
    beacons: list[Repeated]
    polling: list[Repeated]
    backups: list[Transfer]
    one_off_uploads: list[Transfer]
    chains: list[Chain]


def transfers(cast: Cast, rows: Rows, kind: str | None = None) -> list[Transfer]:
    """One entry per (client, server) among the rows of one event, in order of their first appearance."""
    entries = []
    for client, server in dict.fromkeys(zip(rows["client"].tolist(), rows["server"].tolist(), strict=True)):
        mine = rows[(rows["client"] == client) & (rows["server"] == server)]
        entry = Transfer(
            src=cast.terminals[client],
            dst=cast.addresses[server],
            name=cast.names[server],
            start=iso(int(mine["start"].min())),
            end=iso(int(mine["end"].max())),
            bytes=int(mine["sent"].sum()),
        )
        if kind is not None:
            entry["kind"] = kind
        entries.append(entry)
    return entries


class Tally:
    """Counts the beats of every pair over the days."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        self._pairs: dict[tuple[int, int], Repeated] = {}

    def add(self, rows: Rows, owner: np.ndarray, period_s: np.ndarray, jitter: np.ndarray) -> None:
        """Count one day's beats; ``owner`` says to which period and jitter each row belongs, in ascending order."""
        places, first, counts = np.unique(owner, return_index=True, return_counts=True)
        for place, begin, count in zip(places.tolist(), first.tolist(), counts.tolist(), strict=True):
            mine = rows[begin : begin + count]
            client, server = int(mine["client"][0]), int(mine["server"][0])
            last = iso(int(mine["end"].max()))
            entry = self._pairs.get((client, server))
            if entry is None:
                self._pairs[client, server] = Repeated(
                    src=self._cast.terminals[client],
                    dst=self._cast.addresses[server],
                    name=self._cast.names[server],
                    period_s=round(float(period_s[place]), 3),
                    jitter=round(float(jitter[place]), 4),
                    count=count,
                    start=iso(int(mine["start"].min())),
                    end=last,
                )
            else:
                entry["count"] += count
                entry["end"] = max(last, entry["end"])

    def entries(self) -> list[Repeated]:
        """All pairs, by server and then terminal."""
        return [self._pairs[pair] for pair in sorted(self._pairs, key=lambda pair: pair[::-1])]
