"""From a flow back to its packets: their numbers in the capture, as Wireshark counts them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from forensics.packets import layout
from forensics.packets.decode import write_key
from forensics.packets.engine import Engine
from forensics.packets.hashing import address_id
from forensics.packets.layout import (
    FlowOptions,
    Longs,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MAX_FOUND", "FlowKey", "find_packets"]

MAX_FOUND = 100_000
"""Packets of one flow that are listed at most."""

_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58, "sctp": 132}


@dataclass(frozen=True, slots=True)
class FlowKey:
    """What tells one flow of a capture from all others.

    Parameters
    ----------
    proto
        As ``flows`` has it: ``tcp``, ``udp``, ``ip-47``, ...
    src, src_port, dst, dst_port
        Its ends; ICMP type and code in the place of ports, None where there are none.
    start, end
        Its first and last packet, both included; microseconds since 1970. [us]
    """

    proto: str
    src: str
    src_port: int | None
    dst: str
    dst_port: int | None
    start: int
    end: int

    @classmethod
    def of_row(cls, row: Mapping[str, object]) -> FlowKey:
        """Make the key of a row of ``flows``, its times as integers in microseconds."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})  # type: ignore[arg-type]


def find_packets(stream: BinaryIO, keys: Sequence[FlowKey], *, limit: int = MAX_FOUND) -> list[list[int]]:
    """Find the packets of flows by one pass through their capture.

    Parameters
    ----------
    stream
        The decompressed capture, pcap or pcapng, at its first byte.
    keys
        The flows.
    limit
        Packets listed per flow.

    Returns
    -------
    list
        For each key the numbers of its packets, both directions, from 1.
    """
    engine = Engine(stream, FlowOptions(pick=False))
    engine.open()
    wanted = [_numbers(engine, key) for key in keys]
    hashes = np.array(sorted({int(row[layout.Q_HASH]) for row in wanted}), dtype=np.int64)
    found: list[list[int]] = [[] for _ in keys]
    for rows in engine.batches():
        first = int(engine.tables.cursor[layout.NUMBER]) - len(rows) + 1
        hit = np.flatnonzero((rows[:, layout.Q_KIND] == layout.OK) & np.isin(rows[:, layout.Q_HASH], hashes))
        for k in hit.tolist():
            _assign(rows[k], first + k, keys, wanted, found)
    return [numbers[:limit] for numbers in found]


def _assign(row: Longs, number: int, keys: Sequence[FlowKey], wanted: Sequence[Longs], found: list[list[int]]) -> None:
    """Give a packet to the flows whose key and time it has."""
    pair = [layout.Q_KEY1, layout.Q_KEY2]
    time = int(row[layout.Q_TIME]) // 1000
    for key, want, numbers in zip(keys, wanted, found, strict=True):
        if key.start <= time <= key.end and (row[pair] == want[pair]).all():
            numbers.append(number)


def _numbers(engine: Engine, key: FlowKey) -> Longs:
    """Write a key as the engine has it: the row of a packet of that flow."""
    rows = np.zeros((1, layout.Q_COLUMNS), dtype=np.int64)
    proto = _NUMBERS.get(key.proto)
    rows[0, layout.Q_PROTO] = int(key.proto.removeprefix("ip-")) if proto is None else proto
    src, dst = ipaddress.ip_address(key.src), ipaddress.ip_address(key.dst)
    ports = -1 if key.src_port is None else key.src_port << 16 | (key.dst_port or 0)
    version6 = int(src.version == 6)
    write_key(rows, 0, _address_number(engine, src), _address_number(engine, dst), ports, version6)
    first: Longs = rows[0]
    return first


def _address_number(engine: Engine, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    """Return an address as the engine has it."""
    if address.version == 4:
        return int(address)
    t = engine.tables
    raw = np.frombuffer(address.packed, dtype=np.uint8).copy()
    return address_id(raw, 0, t.cursor, t.addresses, t.address_slots)
