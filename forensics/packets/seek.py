"""Single packets out of a capture, from the nearest checkpoint on: only the blocks that hold them are framed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from forensics.errors import EvidenceError
from forensics.packets import layout
from forensics.packets.arrays import framing_tables
from forensics.packets.assembly import frame_next
from forensics.packets.containers import Section
from forensics.packets.engine import Engine
from forensics.packets.index import read_section
from forensics.packets.layout import AT, BATCH, GO_ON, NUMBER, FlowOptions, Longs, Tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import dpkt

    from forensics.packets.index import Checkpoint

__all__ = ["Packet", "read_packets"]

SEEK_BYTES = 256 * 1024
"""How much of a capture is read at once. [B]"""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it was captured.

    Parameters
    ----------
    source
        The capture: its name in ``sources``.
    number
        Its number in the capture, from 1, as Wireshark counts.
    time
        When it was captured. [ns since 1970]
    wire_length
        Its length on the wire. [B]
    link_type
        What it begins with: a number of the list at https://www.tcpdump.org/linktypes.html.
    snaplen
        Most bytes of a packet that its interface kept, 0 where there is no limit or none is known. [B]
    data
        What was captured of it.
    """

    source: str
    number: int
    time: int
    wire_length: int
    link_type: int
    snaplen: int
    data: bytes = field(repr=False)

    def to_dpkt(self) -> dpkt.Packet:
        """Return the packet as dpkt takes it apart, for scripts that look at single headers.

        Returns
        -------
        dpkt.Packet
            The link header; what it carries is its ``data``: ``packet.to_dpkt().data.data.dport``.

        Raises
        ------
        EvidenceError
            dpkt does not know the link type, or the packet is cut or damaged: `forensics.dissect` reads more.
        """
        kind = _DPKT.get(self.link_type)
        if kind is None:
            raise EvidenceError(self.source, f"dpkt reads no packets of link type {self.link_type}: use fx.dissect")
        module, name = kind[self.data[:1] >= b"\x60"] if isinstance(kind, list) else kind
        reader: type[dpkt.Packet] = getattr(importlib.import_module(f"dpkt.{module}"), name)
        try:
            return reader(self.data)
        except Exception as error:  # dpkt raises whatever its parsers meet
            raise EvidenceError(self.source, f"dpkt cannot read packet {self.number}: {error!r}") from error


_IP = [("ip", "IP"), ("ip6", "IP6")]  # told by the first four bits
_DPKT: dict[int, tuple[str, str] | list[tuple[str, str]]] = {
    0: ("loopback", "Loopback"),
    1: ("ethernet", "Ethernet"),
    9: ("ppp", "PPP"),
    12: _IP,
    14: _IP,
    101: _IP,
    105: ("ieee80211", "IEEE80211"),
    108: ("loopback", "Loopback"),
    113: ("sll", "SLL"),
    127: ("radiotap", "Radiotap"),
    228: _IP[0],
    229: _IP[1],
    276: ("sll2", "SLL2"),
}
"""Modules and classes of dpkt by link type."""


def read_packets(source: str, stream: BinaryIO, checkpoints: Sequence[Checkpoint], numbers: Longs) -> Iterator[Packet]:
    """Read single packets.

    Parameters
    ----------
    source
        Name of the capture.
    stream
        The expanded capture, at its first byte. What is not wanted is passed over, by a seek where the stream can.
    checkpoints
        Those of its index.
    numbers
        Numbers of the packets, ascending.

    Yields
    ------
    Packet
        The packets, in their order. They end early where the capture does not hold what its index says.
    """
    seeker = _Seeker(source, stream)
    starts = np.array([checkpoint.record for checkpoint in checkpoints], dtype=np.int64)
    places = np.searchsorted(starts, numbers, side="right") - 1
    for place in np.unique(places).tolist():
        seeker.resume(checkpoints[place])
        yield from seeker.packets(numbers[places == place])


class _Seeker(Engine):
    """An engine that frames packets from any checkpoint on and assembles no flows."""

    def __init__(self, source: str, stream: BinaryIO) -> None:
        super().__init__(stream, FlowOptions(), SEEK_BYTES)
        self._source = source

    def _new_tables(self) -> Tables:
        """Return the arrays for framing alone."""
        return framing_tables()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Stand where the engine stood that made the checkpoint."""
        self._move(checkpoint.offset)
        state, interfaces = read_section(checkpoint.section)
        cursor = self.tables.cursor
        cursor[list(layout.FRAMED_BY)] = state
        cursor[[NUMBER, layout.SEEN_TIME]] = checkpoint.record - 1, checkpoint.time
        cursor[layout.N_INTERFACES] = len(interfaces)
        self.container.section = Section(int(cursor[layout.BIG]), interfaces)
        self.tables = self.tables._replace(interfaces=interfaces)

    def _move(self, offset: int) -> None:
        """Put the cursor at a byte of the capture that lies ahead."""
        self.tables.cursor[AT] = self._window.go_to(offset)

    def packets(self, numbers: Longs) -> Iterator[Packet]:
        """Yield packets of these numbers, ascending, all of which lie ahead."""
        cursor, last = self.tables.cursor, int(numbers[-1])
        while not self._stopped and cursor[NUMBER] < last:
            t, room = self.tables, min(BATCH, last - int(cursor[NUMBER]))
            m, status = frame_next(self._window.data, cursor, t.frames, t.interfaces, room)
            first = int(cursor[NUMBER]) + 1
            cursor[NUMBER] += m
            for number in numbers[(numbers >= first) & (numbers < first + m)].tolist():
                yield self._packet(number, number - first)
            if status != GO_ON and not self._serve(status):
                break

    def _packet(self, number: int, place: int) -> Packet:
        """Copy a packet out of the buffer."""
        row = self.tables.frames[place].tolist()
        link = row[layout.Q_LINK]
        snaplens = self.tables.interfaces[self.tables.interfaces[:, layout.I_LINK] == link, layout.I_SNAPLEN]
        return Packet(
            source=self._source,
            number=number,
            time=row[layout.Q_TIME],
            wire_length=row[layout.Q_WIRE],
            link_type=link,
            snaplen=int(snaplens.max()) if len(snaplens) and snaplens.all() else 0,
            data=self._window.data[row[layout.Q_START] : row[layout.Q_END]].tobytes(),
        )
