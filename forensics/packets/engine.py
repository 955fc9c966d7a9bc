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

from forensics.packets import layout
from forensics.packets.arrays import (
    EPOCH_PACKETS,
    Pile,
    grown,
    new_tables,
    renumbered,
    with_layers,
    with_more_rows,
    with_output,
)
from forensics.packets.assembly import run, sweep
from forensics.packets.collecting import Collector
from forensics.packets.containers import BadContainerError
from forensics.packets.ethertypes import NOT_IP_NAMES
from forensics.packets.harvest import Harvest, Picks
from forensics.packets.hashing import rehash_flows
from forensics.packets.index import Checkpoint, section_state
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
)
from forensics.packets.links import find_networks
from forensics.packets.opening import Container, ListedName
from forensics.packets.unwrapping import unwrap
from forensics.packets.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.errors import EvidenceError

__all__ = ["BLOCK_BYTES", "EPOCH_PACKETS", "Engine"]

BLOCK_BYTES = 8 * 1024 * 1024
"""How much of a capture is read at once. [B]"""

CHECKSUMS = {"verified": layout.CHECKED, "wrong": layout.BAD_SUMS, "wrong_in_ip_header": layout.BAD_IP_SUMS}

FATES = {
    "packets_in_flows": layout.IN_FLOWS,
    "not_ip_packets": layout.NOT_IP_COUNT,
    "unread_packets": layout.UNREAD_COUNT,
    "rejected_packets": layout.REJECT_COUNT,
    "dropped_for_checksum": layout.DROPPED_COUNT,
}
"""What becomes of a packet, and of each further one in an aggregate of 802.11: exactly one of these."""

_PATIENCE = 65_536  # open flows that cause no sweep, and addresses that cause no renumbering


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
        self.tables = self._new_tables()
        self.container = Container()
        self._window = Window(self.stream, self.block)
        self._stopped = False
        self._swept = self._kept_addresses = 0
        self._told = 0
        self._checkpoints: list[Checkpoint] = []
        self._further = Pile(2)
        self.damage: tuple[str, bytes] | None = None

    def _new_tables(self) -> layout.Tables:
        """Return the arrays of the pass."""
        return new_tables(self.options)

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def error(self) -> EvidenceError | None:
        """What ended the stream before its end."""
        return self._window.error

    def _read_more(self) -> bool:
        """Put the next block behind what is left of the last; tell whether there was one."""
        more = self._window.more(int(self.tables.cursor[AT]))
        if more:
            self.tables.cursor[AT] = 0
        elif self.error is not None:
            self.truncated = self.error.problem
        return more

    def _head(self, size: int) -> bytes:
        """Return the next bytes without taking them, fewer at the end of the file."""
        while len(self._window.data) - int(self.tables.cursor[AT]) < size and self._read_more():
            pass
        at = int(self.tables.cursor[AT])
        return self._window.data[at : at + size].tobytes()

    def _stop(self, reason: str) -> None:
        """Note that reading ends here, and keep the bytes that caused it."""
        at = int(self.tables.cursor[AT])
        self._stopped = True
        self._window.end()
        if self.error is None:
            place = self._window.offset + at
            self.truncated = f"{reason} at byte {place}, after packet {int(self.tables.cursor[NUMBER])}"
            self.damage = (self.truncated, self._window.data[at : at + 512].tobytes())

    # -- containers --------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Read the start of the capture; a bad start ends the pass with a note."""
        try:
            self.tables.cursor[AT] += self.container.begin(self._head, self.tables.cursor)
            self.tables = self.tables._replace(interfaces=self.container.section.interfaces)
        except BadContainerError as error:
            self._stop(str(error))

    def _control_block(self) -> None:
        """Take in the block at the cursor that describes the file."""
        try:
            length = self.container.take_block(self._head, self.tables.cursor)
        except BadContainerError as error:
            self._stop(str(error))
            return
        self.tables.cursor[AT] += length
        self.tables = self.tables._replace(interfaces=self.container.section.interfaces)

    # -- the pass ----------------------------------------------------------------------------------------------------

    def events(self) -> Iterator[Harvest | Picks | list[ListedName]]:
        """Go through the capture.

        Yields
        ------
        Harvest or Picks or list of ListedName
            Picks in the order of their packets, always before the harvest that has their flows; names that the capture
            lists; a harvest at the end of every epoch, several where many flows close at once, and at the end of the
            capture.
        """
        cursor = self.tables.cursor
        closed, cells, picked = Pile(layout.F_COLUMNS), Pile(layout.C_COLUMNS), Collector()
        cursor[layout.EPOCH_END] = EPOCH_PACKETS
        while not self._stopped:
            status = self._run()
            picked.put(self.tables.picks[: cursor[layout.N_PICKS]], self._window.data)
            cursor[layout.N_PICKS] = 0
            if picked.full or status == EPOCH_DONE:
                yield from picked.take(self.tables.addresses)
            if self.container.names:
                yield self.container.told()
            self._collect(closed, cells)
            if status == EPOCH_DONE:
                yield self._harvest(closed, cells)
                yield from self._tidy()
                self._forget_addresses()
            elif not self._serve(status):
                break
        yield from picked.take(self.tables.addresses)
        yield self._harvest(closed, cells)
        yield from self._sweep(0, everything=True)

    def _run(self) -> int:
        """Run the loop until something needs more than another loop."""
        window = self._window
        while True:
            status = run(window.data, window.words, self.tables)
            if status == layout.NEED_LINKS:
                find_networks(window.data, self.tables)
            elif status == layout.NEED_TUNNELS:
                self._unwrap()
            else:
                return status

    def _unwrap(self) -> None:
        """Put what the packets of the batch carry beside them."""
        t = with_layers(self.tables)
        while not unwrap(self._window.data, self._window.words, t):
            t = with_more_rows(t)
        self.tables = t._replace(rows=t.spare, spare=t.rows)

    def _harvest(self, closed: Pile, cells: Pile) -> Harvest:
        """Return what an epoch gave, and begin the next."""
        cursor, t = self.tables.cursor, self.tables
        count = int(cursor[NUMBER] - cursor[layout.EPOCH_START])
        members = t.members[:count].copy()
        t.members[:count] = 0
        cursor[layout.EPOCH_START] = cursor[NUMBER]
        cursor[layout.EPOCH_END] = cursor[NUMBER] + EPOCH_PACKETS
        checkpoints, self._checkpoints = self._checkpoints, []
        further = self._further.take()
        return Harvest(closed.take(), cells.take(), t.addresses, members, further, checkpoints, self._streams())

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
            self.tables = grown(self.tables, max(BATCH, int(self.tables.cursor[layout.ROWS])))
        elif status == OUTPUT_FULL:
            self.tables = with_output(self.tables)
        return status in (TABLE_FULL, OUTPUT_FULL)

    def _collect(self, closed: Pile, cells: Pile) -> None:
        """Move what the loop wrote out of its arrays, and count the output as empty."""
        t = self.tables
        flows = t.closed[: t.cursor[layout.N_CLOSED]]
        of_the_wire = flows[:, layout.F_KEY2] & layout.KEY_INNER == 0
        self._told += int(flows[of_the_wire, layout.F_SUM_PACKETS : layout.F_SUM_PACKETS_HIGH + 1].sum())
        closed.put(flows)
        cells.put(t.cells[: t.cursor[layout.N_CELLS]])
        self._further.put(t.further[: t.cursor[layout.N_FURTHER]])
        t.cursor[layout.N_CLOSED] = t.cursor[layout.N_CELLS] = t.cursor[layout.N_FURTHER] = 0
        for record, offset, time in t.marks[: t.cursor[layout.N_MARKS]].tolist():
            self._checkpoints.append(Checkpoint(record, self._window.offset + offset, time, section_state(t)))
        t.cursor[layout.N_MARKS] = 0

    def _streams(self) -> Longs:
        """Return the streams as they stand."""
        count = min(int(self.tables.cursor[layout.N_STREAMS]), layout.STREAM_ROWS)
        return self.tables.streams[:count].copy()

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

    def _forget_addresses(self) -> None:
        """Drop IPv6 addresses that nobody has any more where they have piled up: a scan meets millions."""
        if self.tables.cursor[layout.ADDRESSES] >= 2 * self._kept_addresses + _PATIENCE:
            self.tables = renumbered(self.tables)
            self._kept_addresses = int(self.tables.cursor[layout.ADDRESSES])

    def _sweep(self, before: int, *, everything: bool = False) -> Iterator[Harvest]:
        """Close flows, handing them out as often as the output is full."""
        done = False
        while not done:
            done = bool(sweep(self.tables, before, int(everything)))
            closed, cells, t = Pile(layout.F_COLUMNS), Pile(layout.C_COLUMNS), self.tables
            self._collect(closed, cells)
            none = t.members[:0]
            yield Harvest(closed.take(), cells.take(), t.addresses, none, none, [], self._streams())
        self.tables.slots[:] = -1
        rehash_flows(self.tables.cursor, self.tables.flows, self.tables.slots)

    # -- what was met ------------------------------------------------------------------------------------------------

    def audit(self) -> None:
        """Verify, after the pass, that every packet of the capture went somewhere, and into one flow of the wire.

        Raises
        ------
        RuntimeError
            The counts contradict each other: a bug of the engine, which must not go unnoticed.
        """
        cursor = self.tables.cursor
        fates = {name: int(cursor[k]) for name, k in FATES.items()}
        packets = int(cursor[NUMBER] + cursor[layout.FURTHER_PACKETS])
        if sum(fates.values()) != packets or self._told != cursor[layout.IN_FLOWS]:
            counts = ", ".join(f"{name}: {count}" for name, count in fates.items())
            problem = f"of {packets} packets, {counts}; flows of the wire hold {self._told}"
            raise RuntimeError(problem)

    def facts(self) -> dict[str, object]:
        """Return what ``sources`` should know about the capture: counts of packets, by what became of them."""
        cursor, t = self.tables.cursor, self.tables
        unread = {str(k): int(t.links[k]) for k in np.flatnonzero(t.links)}
        not_ip = {NOT_IP_NAMES.get(int(k), f"0x{k:04x}"): int(t.ethertypes[k]) for k in np.flatnonzero(t.ethertypes)}
        optional: dict[str, object] = {
            "unread_link_types": unread,
            "not_ip": not_ip,
            "untimed_packets": int(cursor[layout.UNTIMED]),
            **{name: int(cursor[k]) for name, k in FATES.items() if name != "packets_in_flows"},
            "further_packets_in_aggregates": int(cursor[layout.FURTHER_PACKETS]),
            "tunnelled_packets": int(cursor[layout.TUNNELLED]),
            "out_of_order": int(cursor[layout.BACKWARD]),
            "gaps_not_followed": int(cursor[layout.HOLES_LOST]),
            "cut_by_snaplen": int(cursor[layout.SNAPPED]),
            "truncated": self.truncated,
        }
        return {
            "records": int(cursor[NUMBER]),
            "link_types": sorted(self.container.links),
            "packets_in_flows": int(cursor[layout.IN_FLOWS]),
            "checksums": {name: int(cursor[k]) for name, k in CHECKSUMS.items()},
            **self.container.facts(cursor),
            **self.notes,
            **{k: v for k, v in optional.items() if v},
        }
