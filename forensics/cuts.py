"""From rows back to their packets, by the seek index: which packets of which captures, as they were captured.

Example::

    case.export_packets("dst = '203.0.113.7'", "cut.pcapng")
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from forensics._version import __version__
from forensics.errors import EvidenceError
from forensics.reopen import reopened_for_seeking
from forensics.replacing import replacing
from forensics.selection import selected_flows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from forensics.packets.index import PacketIndex
    from forensics.packets.layout import Longs
    from forensics.packets.seek import Packet
    from forensics.reopen import Origin
    from forensics.selection import Rows
    from forensics.store import Store
    from forensics.views import View

__all__ = ["MOST_PACKETS", "Cut", "export_packets", "find_cuts", "read_packets"]

MOST_PACKETS = 10_000
"""Packets that are returned where nobody asks for more."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Some packets of one capture.

    Parameters
    ----------
    origin
        The capture.
    index
        Its index.
    numbers
        Numbers of the packets, ascending.
    """

    origin: Origin
    index: PacketIndex
    numbers: Longs


def find_cuts(sql: Callable[..., View], store: Store, title: str, rows: Rows) -> Iterator[Cut]:
    """Find the packets behind rows.

    Parameters
    ----------
    sql
        Runs a query over the case's tables.
    store
        Where the case's indexes lie.
    title
        The case's, for messages.
    rows
        The rows, as `forensics.selection.selected_flows` takes them.

    Yields
    ------
    Cut
        The packets of each capture that has some, in the order of the captures' names.

    Raises
    ------
    EvidenceError
        There are none; a row is neither a flow nor a finding.
    QueryError
        The condition is no SQL.
    """
    flows = selected_flows(sql, title, rows)
    origins = {origin.source: origin for origin in store.origins.values()}
    found = False
    for source in sorted(pc.unique(flows.column("source")).to_pylist()):
        index = store.index(origins[source].sha256)
        mine = flows.filter(pc.equal(flows.column("source"), source))
        numbers = index.numbers(index.serials(mine)) if index is not None else np.zeros(0, dtype=np.int64)
        if index is not None and len(numbers):
            found = True
            yield Cut(origins[source], index, numbers)
    if not found:
        raise EvidenceError(title, "no captured packet is behind this: the row comes from a log, or nothing matches")


def read_packets(cuts: Iterable[Cut], *, verify: bool) -> Iterator[Packet]:
    """Read packets from the captures.

    Parameters
    ----------
    cuts
        The packets.
    verify
        Whether to compare the SHA-256 of each capture first.

    Yields
    ------
    Packet
        The packets, in their order.

    Raises
    ------
    EvidenceError
        A capture is no longer where it was, or has changed.
    """
    from forensics.packets import seek

    for cut in cuts:
        source, last = cut.origin.source, 0
        with reopened_for_seeking(cut.origin, verify=verify) as stream:
            for packet in seek.read_packets(source, stream, cut.index.checkpoints(), cut.numbers):
                last = packet.number
                yield packet
        if last != cut.numbers[-1]:
            raise EvidenceError(source, f"has changed since it was read: packet {cut.numbers[-1]} is not in it")


def export_packets(cuts: Iterable[Cut], target: Path, *, selection: str, verify: bool) -> int:
    """Write packets into a pcapng file that says where they come from.

    Parameters
    ----------
    cuts
        The packets.
    target
        The file, which appears once it is whole.
    selection
        How the packets were chosen, in words.
    verify
        As for `read_packets`.

    Returns
    -------
    int
        Packets written.

    Raises
    ------
    EvidenceError
        As `read_packets`.
    OSError
        The file cannot be written.
    """
    from forensics.packets.writing import write_capture

    listed = list(cuts)
    count = sum(len(cut.numbers) for cut in listed)
    comments = [f"Cut by forensics {__version__}. Packets: {count}. Captures: {len(listed)}. Selection: {selection}"]
    about = {cut.origin.source: f"SHA-256 {cut.origin.sha256}, {cut.origin.size} bytes" for cut in listed}
    comments += [f"From {cut.origin.source}, {about[cut.origin.source]}: {len(cut.numbers)} packets" for cut in listed]
    with replacing(target) as file:
        return write_capture(file, read_packets(listed, verify=verify), comments=comments, about=about)
