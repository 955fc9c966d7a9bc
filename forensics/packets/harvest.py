"""What the engine hands out while it goes through a capture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from forensics.packets import layout

if TYPE_CHECKING:
    from forensics.packets.index import Checkpoint
    from forensics.packets.layout import Bytes, Longs

__all__ = ["Harvest", "Messages", "Pick", "Picks"]


class Pick(NamedTuple):
    """One packet handed to Python, or a part of one: its columns (``layout.P_*``) and its bytes."""

    columns: list[int]
    data: bytes


class Picks(NamedTuple):
    """Packets handed to Python, or parts of them, in the order of their packets.

    Parameters
    ----------
    columns
        n rows of ``layout.P_*``; ``P_DATA`` and ``P_DATA_END`` are places in ``data``.
    data
        Their bytes.
    addresses
        The engine's IPv6 addresses.
    """

    columns: Longs
    data: Bytes
    addresses: Longs

    def one(self, place: int) -> Pick:
        """Return one of them."""
        row = self.columns[place].tolist()
        return Pick(row, self.data[row[layout.P_DATA] : row[layout.P_DATA_END]].tobytes())


class Messages(NamedTuple):
    """Messages, many at a time: n datagrams of DNS, or as many messages of TCP streams.

    Parameters
    ----------
    columns
        The packets in which they begin, n rows of ``layout.P_*``.
    data
        Their bytes, end to end.
    ends
        Where each begins, and where the last one ends: n + 1 offsets.
    addresses
        The engine's IPv6 addresses.
    """

    columns: Longs
    data: Bytes
    ends: Longs
    addresses: Longs


@dataclass(frozen=True, slots=True)
class Harvest:
    """What the engine collected.

    Parameters
    ----------
    closed
        Flows that are over, columns ``layout.F_*``.
    cells
        What flows moved per cell of time, columns ``layout.C_*``.
    addresses
        IPv6 addresses by their numbers, which hold for this harvest.
    members
        For each packet of the epoch the number of the first packet of its flow: of the outermost connection, and of
        the one that it carries; 0 for none, and where ``further`` has it.
    further
        Numbers of packets, and serial numbers of flows that they belong to besides: in tunnels within tunnels.
    checkpoints
        Places where framing can begin anew.
    streams
        HTTP connections that are followed, columns ``layout.S_*``.
    """

    closed: Longs
    cells: Longs
    addresses: Longs
    members: Longs
    further: Longs
    checkpoints: list[Checkpoint]
    streams: Longs
