"""nfdump's CSV: what ``nfdump -o csv`` and ``-o csv-fast`` print of flows, in the layouts before and since 1.7.4.

Example lines::

    ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt,in,out, ...
    2015-05-21 09:00:01,2015-05-21 09:00:02,0.220,192.0.2.7,203.0.113.9,49152,443,TCP,...AP.SF,0,0,24,27409,0,0, ...

======================================  ===========================================================================
column, old and new                     becomes
======================================  ===========================================================================
ts, te, td; firstSeen, lastSeen         ``start``, ``end``; whole seconds before 1.7.4, where the duration has more
sa, sp, da, dp; srcAddr ...             ``src``, ``src_port``, ``dst``, ``dst_port``; of ICMP its type and code
pr; proto                               ``proto``, from a name or a number
ibyt, ipkt; bytes, packets              ``bytes_out``, ``packets_out`` where they are above 0; ``bytes_kind`` is ``ip``
obyt, opkt                              ``bytes_in``, ``packets_in`` where they are above 0
======================================  ===========================================================================

Traps: the two layouts have nothing in common but the commas. A row is one direction: the answer is another row. Times
are on the clock of the computer that ran nfdump and carry no zone, but in ``csv-fast``, where they are Unix times in
milliseconds. ``8.0`` in the place of a port is type and code of ICMP, in ``csv-fast`` they are one number. A summary
follows the last record, and records under another header may follow that. Sampled counts stand as they were exported.

References
----------
.. [1] nfdump, *nfdump.1*, https://github.com/phaag/nfdump/blob/master/man/nfdump.1
.. [2] nfdump, ``src/output/output_csv_fast.c`` and *ChangeLog*, 1.7.4: the new layouts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.formats._blocks import blocks, in_order, segments
from forensics.formats._delimited import Dialect, delimited
from forensics.formats._lines import complete_lines
from forensics.formats._nfdump_rows import layout_of, sheet_of
from forensics.formats._sheet import Vocabularies, finished
from forensics.formats._zones import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._blocks import Block
    from forensics.formats._nfdump_rows import Layout

__all__ = [
    "COMPANIONS", "EXACT_VOLUMES", "LINES_STAND_ALONE", "NAME", "OBSERVES", "STAMP", "TITLE", "declines", "parse",
]  # fmt: skip

NAME = "nfdump"
TITLE = "nfdump CSV"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
LINES_STAND_ALONE = False
STAMP = "window"
OBSERVES = ("out", "in")

_BEGINNINGS = (b"ts,te,td,", b"cnt,af,firstSeen,", b"firstSeen,")


def declines(head: bytes, hints: Hints) -> str | None:  # noqa: ARG001 - the header explains itself
    """Say why a file is no CSV of nfdump, or None where it is."""
    first = complete_lines(head, 1)
    if not first:
        return "it is empty"
    if not first[0].startswith(_BEGINNINGS):
        return "line 1 is not a header of nfdump: ts,te,td,sa ... or cnt,af,firstSeen ..."
    return None if layout_of(first[0]) else "its header names no addresses or no bytes"


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.TimezoneNeededError
        Its times carry no zone, and none is known.
    forensics.errors.EvidenceError
        Nothing in it can be read, or the stream is damaged.
    """
    clock, words, commas = Clock(evidence), Vocabularies(), Dialect(b",")

    def work(item: tuple[Layout, Block]) -> list[tuple[str, pa.RecordBatch]]:
        layout, block = item
        cut = delimited(block, commas, layout.width)
        return list(sheet_of(cut, layout, evidence, clock, words.own).batches())

    made = in_order(work, _parts(evidence))
    yield from finished(evidence, NAME, (batch for batches in made for batch in batches))


def _parts(evidence: Evidence) -> Iterator[tuple[Layout, Block]]:
    """Yield the records under each header, with what it says; logs may be put together from several files."""
    layout: Layout | None = None
    for block in blocks(evidence):
        for headers, records in _headed(block, _BEGINNINGS):
            for _, line in headers:
                layout = layout_of(line) or layout
                # Only nfdump's csv-fast counts its records, and has Unix times.
                layout = layout and (layout._replace(times=None) if line.startswith(b"cnt,") else layout)
            if layout and records.end:
                yield layout, records
    evidence.notes.setdefault("records", 0)


def _headed(block: Block, beginnings: tuple[bytes, ...]) -> Iterator[tuple[list[tuple[int, bytes]], Block]]:
    """Yield lines that begin so, with the lines under them."""
    if not beginnings:
        yield [], block
        return
    for headers, records in segments(block, beginnings[0]):
        yield headers, records._replace(end=0)
        yield from _headed(records, beginnings[1:])
