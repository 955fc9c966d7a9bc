r"""Argus: flows as ``ra -c ,`` prints them, with their labels in the first line.

Example line, and the command that makes files like it (``-u``: Unix times, ``-n``: numbers for ports)::

    ra -r FILE -n -u -c , -L 0 -s stime,ltime,proto,saddr,sport,dir,daddr,dport,spkts,dpkts,sbytes,dbytes,state
    1432171802.512001,1432171803.694251,tcp,192.0.2.21,50122,   ->,203.0.113.7,80,6,7,806,5281,FIN

====================  =========================================================================================
field                 becomes
====================  =========================================================================================
StartTime             ``start``
LastTime, or Dur      ``end``; where neither is printed, ``end`` = ``start``
SrcAddr, Sport        ``src`` and its port
DstAddr, Dport        ``dst`` and its port
SrcBytes, DstBytes    ``bytes_out``, ``bytes_in`` [B]; ``bytes_kind`` is ``frame``: the link header counts
SrcPkts, DstPkts      ``packets_out``, ``packets_in``
Proto, State          ``proto``, ``state``
====================  =========================================================================================

Bytes are those of frames: tested against the frames of a capture that Argus itself read.

Traps: ``TotBytes`` does not say which way bytes went: both directions are null. ``<-`` means that the second address
began: the ends are swapped; with ``?`` the direction is unknown and they stay. A long flow has many rows, each with
what came since the one before: they are all rows, and are rightly added up. ``man`` rows are of Argus itself; ARP and
other rows without IP addresses are passed over; both are counted. ``SAppBytes`` is 0 where Argus was not told to count
them, and is not read. Without ``-n`` ports are names of services, which are no ports: null, and counted. By default
``ra`` prints times without a date: such a file is an error that says so. Other times are local without zone. The ports
of ICMP rows, in hexadecimal, are none.

References
----------
.. [1] Argus, *ra(1)*, https://openargus.org/oldsite/man/man1/ra.1.pdf: fields, ``-c``, ``-n``, ``-u``.
.. [2] Argus, *rarc(5)*: ``RA_TIME_FORMAT``, and its default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.errors import EvidenceError
from forensics.formats._argus_rows import Layout, layout_of, put_rows
from forensics.formats._blocks import Block, blocks, in_order
from forensics.formats._encodings import utf8_head
from forensics.formats._lines import complete_lines, text_of
from forensics.formats._sheet import Vocabularies, finished
from forensics.formats._zones import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "TITLE", "declines", "parse"]

NAME = "argus"
TITLE = "Argus (ra -c ,)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no table of ``ra``, or None where it is one."""
    lines = complete_lines(utf8_head(head, hints), 1)
    if not lines:
        return "it is empty"
    layout = layout_of(text_of(lines[0]))
    return layout if isinstance(layout, str) else None


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If nothing in the file can be read, its times have no date, or the stream is damaged.
    forensics.errors.TimezoneNeededError
        If its times have no zone, and the hints name none.
    """
    yield from finished(evidence, NAME, _read(evidence))


def _read(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of a file."""
    evidence.notes["records"] = 0
    words, clock = Vocabularies(), Clock(evidence)

    def made(part: tuple[Layout, Block]) -> list[tuple[str, pa.RecordBatch]]:
        return list(put_rows(*part, evidence, words.own, clock).batches())

    for batches in in_order(made, _parts(evidence)):
        yield from batches


def _parts(evidence: Evidence) -> Iterator[tuple[Layout, Block]]:
    """Yield the lines under the header, and what it and the first row under it say of them."""
    layout: Layout | str = ""
    for block in blocks(evidence):
        data, number = block.data[: block.end].tobytes(), block.first_line
        at = 0
        while isinstance(layout, str) and at < block.end:
            stop = data.index(b"\n", at) + 1
            if line := data[at:stop].strip():
                layout = layout_of(text_of(line))
                if isinstance(layout, str):
                    raise EvidenceError(evidence.source, layout)
            at, number = stop, number + 1
        if isinstance(layout, str) or at == block.end:
            continue
        rest = Block(np.ascontiguousarray(block.data[at:]), block.end - at, number, block.last)
        if layout.stamp is None:
            layout = layout.timed(rest, evidence.source)
        yield layout, rest
