"""From a row back to its packets in full: the packets behind a flow or a finding, taken apart by tshark.

Example::

    spikes = fx.find_spikes(case)
    for packet in fx.dissect(case, spikes.iloc[0]):
        print(packet)
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forensics.case import Case
    from forensics.packets.dissect import DissectedPacket
    from forensics.selection import Rows

__all__ = ["dissect"]


def dissect(case: Case, rows: Rows, *, limit: int = 100) -> list[DissectedPacket]:
    """Return the packets behind rows in full: every field of every layer, as Wireshark shows them.

    Parameters
    ----------
    case
        The case; its captures must still be where they were read.
    rows
        A row of ``flows``, a finding (a mapping, or a row of a data frame), several of them, or a condition on the
        columns of ``flows`` in SQL: ``"dst = '203.0.113.7' AND dst_port = 443"``.
    limit
        Most packets to take apart, the first ones; tshark does some hundreds a second.

    Returns
    -------
    list
        `forensics.packets.dissect.DissectedPacket`, in order of capture and packet number; each prints itself and
        shows itself in a notebook. tshark sees these packets alone: what it counts over a capture (the number of a TCP
        stream, the time since the first frame) counts among them.

    Raises
    ------
    EvidenceError
        No captured packet is behind it (the evidence may be a log), or a capture is no longer where it was, or has
        changed.
    MissingToolError
        tshark or pyshark is not installed; the message says how to get it.
    QueryError
        The condition is no SQL.
    ValueError
        ``limit`` is below 1, or more than tshark is asked for at once.
    """
    from forensics.packets.dissect import MAX_FRAMES
    from forensics.packets.dissect import dissect as take_apart
    from forensics.packets.writing import write_capture

    if not 1 <= limit <= MAX_FRAMES:
        raise ValueError(f"limit is {limit}, it must be 1 to {MAX_FRAMES}")
    dissected: list[DissectedPacket] = []
    for _, group in groupby(case.packets(rows, limit=limit), key=lambda packet: packet.source):
        packets = list(group)
        with TemporaryDirectory(prefix="forensics-") as folder:
            capture = Path(folder, "cut.pcapng")
            with capture.open("wb") as file:
                write_capture(file, packets)
            dissected += take_apart(capture, [packet.number for packet in packets])
    return dissected
