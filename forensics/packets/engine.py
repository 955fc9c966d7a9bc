"""The engine: a capture's bytes in, closed flows, cells of time and picked packets out, memory bounded.

The bytes come in blocks, whatever is left of a packet is carried over. The engine stops after every epoch of packets,
at numbers that do not depend on the blocks, hands out what was collected, and closes idle flows where they pile up.

References
----------
.. [1] RFC 7011, section 5.1.1: flow expiration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from forensics.errors import EvidenceError
from forensics.packets import containers, layout
from forensics.packets.assembly import decode_next, run, sweep
from forensics.packets.hashing import rehash_addresses, rehash_flows
from forensics.packets.layout import (
    ABSURD_LENGTH,
    AT,
    BATCH,
    EPOCH_DONE,
    MALFORMED_BLOCK,
    NEED_CONTROL,
    NEED_DATA,
    NUMBER,
    OPEN,
    OUTPUT_FULL,
    TABLE_FULL,
    FlowOptions,
    Longs,
    Tables,
)
from forensics.packets.ports import port_table

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BLOCK_BYTES", "EPOCH_PACKETS", "Engine", "Harvest", "Pick"]

BLOCK_BYTES = 8 * 1024 * 1024
"""How much of a capture is read at once. [B]"""

EPOCH_PACKETS = 1 << 18
"""Packets after which what was collected is handed out. A constant, so that the output depends on the capture only."""

_OUTPUT_ROWS = 1 << 16
_PATIENCE = 65_536  # open flows that cause no sweep


@dataclass(frozen=True, slots=True)
class Pick:
    """One packet handed to Python: its columns (``layout.P_*``) and its bytes."""

    columns: list[int]
    data: bytes


@dataclass(frozen=True, slots=True)
class Harvest:
    """What the engine collected.

    Parameters
    ----------
    closed
        Flows that are over, columns ``layout.F_*``.
    cells
        What flows moved per cell of time, columns ``layout.C_*``.
    """

    closed: Longs
    cells: Longs


@dataclass
class Engine:
    """One pass over one capture.

    Parameters
    ----------
    stream
        The decompressed capture, at its first byte.
    options
        Where flows end, and what is kept.
    block
        How much is read at once. [B]
    """

    stream: BinaryIO
    options: FlowOptions = field(default_factory=FlowOptions)
    block: int = BLOCK_BYTES
    truncated: str | None = None
    notes: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tables = _new_tables(self.options)
        self.section = containers.Section()
        self._buffer = np.zeros(0, dtype=np.uint8)
        self._ended = self._stopped = False
        self._offset = 0  # of the buffer in the stream
        self._swept = 0
        self._dropped = 0
        self._links: set[int] = set()
        self.damage: tuple[str, bytes] | None = None
        self.error: EvidenceError | None = None

    # -- reading -----------------------------------------------------------------------------------------------------

    def _read_more(self) -> bool:
        """Put the next block behind what is left of the last; tell whether there was one."""
        if self._ended:
            return False
        try:
            data = self.stream.read(self.block)
        except EvidenceError as error:  # the compressed data is damaged; what was read before stands
            self.error, self.truncated = error, error.problem
            data = b""
        if not data:
            self._ended = True
            return False
        at = int(self.tables.cursor[AT])
        self._offset += at
        self.tables.cursor[AT] = 0
        self._buffer = np.concatenate([self._buffer[at:], np.frombuffer(data, dtype=np.uint8)])
        return True

    def _head(self, size: int) -> bytes:
        """Return the next bytes without taking them, fewer at the end of the file."""
        while len(self._buffer) - int(self.tables.cursor[AT]) < size and self._read_more():
            pass
        at = int(self.tables.cursor[AT])
        return self._buffer[at : at + size].tobytes()

    def _stop(self, reason: str) -> None:
        """Note that reading ends here, and keep the bytes that caused it."""
        at = int(self.tables.cursor[AT])
        self._ended = self._stopped = True
        if self.error is None:
            self.truncated = f"{reason} at byte {self._offset + at}, after packet {int(self.tables.cursor[NUMBER])}"
            self.damage = (self.truncated, self._buffer[at : at + 512].tobytes())

    # -- containers --------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Read the start of the capture: pcap or pcapng by its magic number. A bad start ends the pass with a note."""
        cursor = self.tables.cursor
        head = self._head(containers.PCAP_HEADER_BYTES)
        if head.startswith(containers.PCAPNG_MAGIC):
            cursor[layout.CONTAINER] = layout.PCAPNG
            return
        try:
            header = containers.read_pcap_header(head)
        except containers.BadContainerError as error:
            self._stop(str(error))
            return
        cursor[[AT, layout.CONTAINER]] = containers.PCAP_HEADER_BYTES, layout.PCAP
        cursor[[layout.BIG, layout.UNIT, layout.LINK]] = header.big, header.unit, header.link
        cursor[layout.LIMIT] = header.limit
        self._links.add(header.link)
        self.notes.update(snaplen=header.snaplen, resolution=header.resolution)

    def _control_block(self) -> None:
        """Take in the block at the cursor that describes the file."""
        head = self._head(12)
        try:
            fresh = head[:4] == containers.PCAPNG_MAGIC
            big = containers.section_order(head) if fresh else self.section.big
            length = int.from_bytes(head[4:8], "big" if big else "little")
            if not 12 <= length <= layout.MAX_RECORD or length % 4:
                raise containers.BadContainerError("a block has an absurd length")
            block = self._head(length)
            if len(block) < length:
                raise containers.BadContainerError("the file is cut inside a block")
            self._take_block(block, fresh, big)
        except containers.BadContainerError as error:
            self._stop(str(error))
            return
        self.tables.cursor[AT] += length

    def _take_block(self, block: bytes, fresh: bool, big: int) -> None:  # noqa: FBT001 - a flag of the block
        """Take in a section header, an interface description or interface statistics."""
        if block[-4:] != block[4:8]:
            raise containers.BadContainerError("the two lengths of a block differ")
        body = block[8:-4]
        if fresh:
            self.section = containers.Section(big)
            self.notes["sections"] = int(str(self.notes.get("sections", 0))) + 1
        elif block[0 if not big else 3] == 1:
            self.section.describe(body)
            self._links.add(int(self.section.interfaces[-1, layout.I_LINK]))
        else:
            self._dropped += containers.dropped_packets(body, big)
        cursor = self.tables.cursor
        cursor[layout.BIG], cursor[layout.N_INTERFACES] = big, len(self.section.interfaces)
        self.tables = self.tables._replace(interfaces=self.section.interfaces)

    # -- the pass ----------------------------------------------------------------------------------------------------

    def events(self) -> Iterator[Harvest | list[Pick]]:
        """Go through the capture.

        Yields
        ------
        Harvest or list of Pick
            Picks in the order of their packets, always before the harvest that has their flows; a harvest at the end
            of every epoch, several where many flows close at once, and at the end of the capture.
        """
        cursor = self.tables.cursor
        closed, cells = _Pile(layout.F_COLUMNS), _Pile(layout.C_COLUMNS)
        cursor[layout.EPOCH_END] = EPOCH_PACKETS
        while not self._stopped:
            status = run(self._buffer, self.tables)
            picks = self._picks()
            if picks:
                yield picks
            self._collect(closed, cells)
            if status == EPOCH_DONE:
                cursor[layout.EPOCH_END] += EPOCH_PACKETS
                yield Harvest(closed.take(), cells.take())
                yield from self._tidy()
            elif not self._serve(status):
                break
        yield Harvest(closed.take(), cells.take())
        yield from self._sweep(0, everything=True)

    def batches(self) -> Iterator[Longs]:
        """Go through the capture without assembling flows.

        Yields
        ------
        numpy.ndarray
            Decoded packets, columns ``layout.Q_*``, valid until the next batch; the cursor's ``NUMBER`` is the number
            of the last of them.
        """
        while not self._stopped:
            m, status = decode_next(self._buffer, self.tables)
            if m:
                self.tables.cursor[NUMBER] += m
                yield self.tables.rows[:m]
            if status != layout.GO_ON and not self._serve(status):
                break

    def _serve(self, status: int) -> bool:
        """Do what the loop came back for; False where the capture has ended."""
        if status == NEED_DATA:
            if self._read_more():
                return True
            if self.error is None and self._head(1):
                self._stop("the file is cut inside a packet")
            return False
        if status == NEED_CONTROL:
            self._control_block()
            return not self._stopped
        if status == ABSURD_LENGTH:
            self._stop("a packet has an absurd length")
        elif status == MALFORMED_BLOCK:
            self._stop("a block contradicts its own length")
        elif status == TABLE_FULL:
            self._grow()
        return status in (TABLE_FULL, OUTPUT_FULL)

    def _collect(self, closed: _Pile, cells: _Pile) -> None:
        """Move what the loop wrote out of its arrays, and count the output as empty."""
        t = self.tables
        closed.put(t.closed[: t.cursor[layout.N_CLOSED]])
        cells.put(t.cells[: t.cursor[layout.N_CELLS]])
        t.cursor[layout.N_CLOSED] = t.cursor[layout.N_CELLS] = 0

    def _picks(self) -> list[Pick]:
        """Copy the picked packets out of the buffer."""
        t = self.tables
        rows = t.picks[: t.cursor[layout.N_PICKS]].tolist()
        t.cursor[layout.N_PICKS] = 0
        b = self._buffer
        return [Pick(row, b[row[layout.P_DATA] : row[layout.P_DATA_END]].tobytes()) for row in rows]

    def _grow(self) -> None:
        """Double what is nearly full: the flows with their slots, the addresses with theirs."""
        t = self.tables
        if t.cursor[OPEN] + BATCH > t.flows.shape[0]:
            flows = _rows(2 * len(t.flows), layout.F_COLUMNS)
            flows[: len(t.flows)] = t.flows
            t = t._replace(flows=flows, slots=np.full(2 * len(t.slots), -1, dtype=np.int64))
            rehash_flows(t.cursor, t.flows, t.slots)
        if t.cursor[layout.ADDRESSES] + 2 * BATCH > t.addresses.shape[0]:
            addresses = np.zeros((2 * len(t.addresses), 2), dtype=np.int64)
            addresses[: len(t.addresses)] = t.addresses
            t = t._replace(addresses=addresses, address_slots=np.full(4 * len(addresses), -1, dtype=np.int64))
            rehash_addresses(t.cursor, t.addresses, t.address_slots)
        self.tables = t

    def _tidy(self) -> Iterator[Harvest]:
        """Close idle flows where open ones have piled up, and the ones idle longest where there are too many."""
        open_flows = int(self.tables.cursor[OPEN])
        if open_flows < 2 * self._swept + _PATIENCE and open_flows <= self.options.max_open:
            return
        before = layout.NO_TIME
        if open_flows > self.options.max_open:
            keep = self.options.max_open // 2
            last = self.tables.flows[:open_flows, layout.F_LAST]
            before = int(np.partition(last, open_flows - keep)[open_flows - keep])
            self.notes["closed_early"] = int(str(self.notes.get("closed_early", 0))) + int((last < before).sum())
        yield from self._sweep(before)
        self._swept = int(self.tables.cursor[OPEN])

    def _sweep(self, before: int, *, everything: bool = False) -> Iterator[Harvest]:
        """Close flows, handing them out as often as the output is full."""
        done = False
        while not done:
            done = bool(sweep(self.tables, before, int(everything)))
            closed, cells = _Pile(layout.F_COLUMNS), _Pile(layout.C_COLUMNS)
            self._collect(closed, cells)
            yield Harvest(closed.take(), cells.take())
        self.tables.slots[:] = -1
        rehash_flows(self.tables.cursor, self.tables.flows, self.tables.slots)

    # -- what was met ------------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, object]:
        """Return what ``sources`` should know about the capture: counts of packets, by what became of them."""
        cursor, t = self.tables.cursor, self.tables
        unread = {str(k): int(t.links[k]) for k in np.flatnonzero(t.links)}
        not_ip = {f"0x{k:04x}" if k else "llc": int(t.ethertypes[k]) for k in np.flatnonzero(t.ethertypes)}
        optional: dict[str, object] = {
            "unread_link_types": unread,
            "not_ip": not_ip,
            "untimed_packets": int(cursor[layout.UNTIMED]),
            "cut_by_snaplen": int(cursor[layout.SNAPPED]),
            "dropped_by_interface": self._dropped,
            "truncated": self.truncated,
        }
        return {
            "records": int(cursor[NUMBER]),
            "link_types": sorted(self._links),
            "packets_in_flows": int(cursor[layout.IN_FLOWS]),
            "checksums": "not verified",
            **self.notes,
            **{k: v for k, v in optional.items() if v},
        }


class _Pile:
    """Arrays of rows on their way out."""

    def __init__(self, columns: int) -> None:
        self._none: Longs = np.zeros((0, columns), dtype=np.int64)
        self._parts: list[Longs] = []

    def put(self, rows: Longs) -> None:
        """Keep a copy of rows that the loop will overwrite."""
        self._parts.append(rows.copy())

    def take(self) -> Longs:
        """Return all rows kept, and start anew."""
        parts, self._parts = self._parts, []
        return np.concatenate([self._none, *parts])


def _rows(count: int, columns: int) -> Longs:
    """Return rows of zeros that begin at a cache line: a flow then spans four lines, not five."""
    raw = np.zeros(count * columns + 8, dtype=np.int64)
    skip = -raw.ctypes.data // 8 % 8
    return raw[skip : skip + count * columns].reshape(count, columns)


def _new_tables(options: FlowOptions) -> Tables:
    """Return empty arrays for a pass; they start small, since most captures are."""
    cursor = np.zeros(layout.CURSOR_COLUMNS, dtype=np.int64)
    cursor[layout.FIRST], cursor[layout.LAST] = 2**63 - 1, layout.NO_TIME
    cursor[layout.NOW] = layout.NO_TIME

    return Tables(
        cursor=cursor,
        options=options.as_array(),
        rows=_rows(BATCH, layout.Q_COLUMNS),
        flows=_rows(8 * BATCH, layout.F_COLUMNS),
        slots=np.full(32 * BATCH, -1, dtype=np.int64),
        closed=_rows(_OUTPUT_ROWS, layout.F_COLUMNS),
        cells=_rows(2 * _OUTPUT_ROWS, layout.C_COLUMNS),
        picks=_rows(_OUTPUT_ROWS, layout.P_COLUMNS),
        addresses=_rows(8 * BATCH, 2),
        address_slots=np.full(32 * BATCH, -1, dtype=np.int64),
        fragments=np.full((layout.FRAGMENT_ROWS, 4), -1, dtype=np.int64),
        interfaces=_rows(0, layout.I_COLUMNS),
        links=np.zeros(65536, dtype=np.int64),
        ethertypes=np.zeros(65536, dtype=np.int64),
        ports=port_table(),
        streams=_rows(layout.STREAM_ROWS, layout.S_COLUMNS),
    )
