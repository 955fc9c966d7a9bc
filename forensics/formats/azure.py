r"""Flow logs of Azure: of network security groups (NSG, versions 1 and 2) and of virtual networks (VNet).

Example: a tuple of a VNet flow log, in a document ``{"records":[{..., "flowRecords":{... "flowTuples":[...]}}]}``::

    1432166400123,192.0.2.7,203.0.113.9,49152,443,6,O,E,NX,20,4249,18,9120

========================= ==================================================================
place in a tuple          becomes
========================= ==================================================================
1                         ``start``, ``end``: when it was logged [s] of NSG, [ms] of VNet
2, 3                      ``src``, ``dst``: who began, and the other end
4, 5                      ``src_port``, ``dst_port``
6                         ``proto``: ``T`` or ``U`` of NSG, a number of VNet
7                         direction ``I`` or ``O`` at the interface: not used
8 of NSG                  ``state``: ``A`` or ``D``; in version 2 ``D``, or place 9
9 of NSG 2, 8 of VNet     ``state``: ``B`` begin, ``C`` continuing, ``E`` end, ``D`` denied
last four, not NSG 1      ``packets_out``, ``bytes_out``, ``packets_in``, ``bytes_in``
========================= ==================================================================

The number of a record is the place of the tuple in the file, counted from 1. ``bytes_kind`` is ``ip``: bytes are those
of packets with their headers; the documentation does not say which headers. No real file was met: made from the
specification.

Traps:

- Version 1 has no bytes. A row ``B`` or ``D`` has none either, also where a VNet log writes 0: they are null.
- Bytes of ``C`` and ``E`` are increments since the row before: each is a flow of its own and none is a total.
- An inbound flow keeps its ends: the source is who began, not the machine of the log.
- A flow between two machines with flow logs stands in the log of each: in one file, too, under two addresses of cards.
- A file is an hour of one target, in blocks of a minute; documents may follow one another. A minute in which nothing
  passed is counted in the notes, as ``empty_records``.
- The kind of encryption (``X``, ``NX`` and others) is passed over.
- Behind a damage in a document of one line nothing is found again up to the next part that is read: one reject each.

References
----------
.. [1] Microsoft, *Flow logging for network security groups*, log format,
   https://learn.microsoft.com/azure/network-watcher/nsg-flow-logs-overview
.. [2] Microsoft, *Virtual network flow logs*, log format,
   https://learn.microsoft.com/azure/network-watcher/vnet-flow-logs-overview
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.errors import EvidenceError
from forensics.formats._blocks import block_of
from forensics.formats._delimited import Dialect, delimited
from forensics.formats._encodings import utf8_head
from forensics.formats._hosts import address_of
from forensics.formats._json import values
from forensics.formats._sheet import Sheet, Vocabulary, finished
from forensics.formats._zones import Clock
from forensics.protocols import proto_numbered
from forensics.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._blocks import Block
    from forensics.formats._sheet import Bools, Ints, Words

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "OBSERVES", "STAMP", "TITLE", "declines", "parse"]

NAME = "azure"
TITLE = "Azure flow log (NSG, virtual network)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
STAMP = "end"
OBSERVES = ("in", "out")

PART = 4 << 20
"""So much text of tuples becomes a block. [B]"""

DECISION, STATE = 7, 8
NSG_1, NSG_2, VNET = 8, 13, -13
"""The layouts, by the number of fields; VNet's has as many as version 2."""


class _Line(NamedTuple):
    """A tuple, or what stands in the place of a record and is none."""

    layout: int
    text: str
    problem: str = ""


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no flow log of Azure, or None where it is."""
    text = utf8_head(head, hints).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith((b"{", b"[")):
        return "it is not JSON"
    return None if b'"flowTuples"' in text else "it is JSON without flowTuples"


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        Nothing in it can be read, or the stream is damaged.
    """
    evidence.notes["records"] = 0
    yield from finished(evidence, NAME, _batches(evidence))


def _batches(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of a file; a damage is raised behind those that came before it."""
    clock, words, number, size = Clock(evidence), Vocabulary(), 1, 0
    held: list[_Line] = []

    def made() -> Iterator[tuple[str, pa.RecordBatch]]:
        if held and held[0].problem:
            yield from _rejects(evidence, held, number)
        elif held:
            block = block_of("".join(f"{line.text}\n" for line in held).encode("utf-8", "backslashreplace"), number)
            yield from _sheet(held[0].layout, block, evidence, clock, words).batches()

    lines = _lines(evidence)
    while True:
        try:
            line = next(lines, None)
        except EvidenceError:
            yield from made()
            raise
        if line is None or size > PART or (held and _kind(held[0]) != _kind(line)):
            yield from made()
            number, size, held = number + len(held), 0, []
        if line is None:
            return
        held.append(line)
        size += len(line.text)


def _kind(line: _Line) -> tuple[int, bool]:
    """Return what lines of one block have in common."""
    return line.layout, bool(line.problem)


def _rejects(evidence: Evidence, lines: list[_Line], number: int) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield what cannot be read as rejects."""
    rows = Rows()
    for place, line in enumerate(lines, number):
        rows.reject(evidence.source, place, line.problem, line.text.encode("utf-8", "backslashreplace"))
    evidence.note("records", len(lines))
    yield from rows.drain()


def _lines(evidence: Evidence) -> Iterator[_Line]:
    """Yield the tuples of a file."""
    for value, text, problem in values(evidence, under="records"):
        if problem:
            yield _Line(0, text, problem)
            continue
        inner = value.get("records") if isinstance(value, dict) else None
        for record in inner if isinstance(inner, list) else [value]:
            tuples = list(_tuples(record, is_vnet=isinstance(record, dict) and "flowRecords" in record))
            if not tuples and not _has_flows(record):
                yield _Line(0, json.dumps(record), "not a record of a flow log: it has no flowTuples")
            elif not tuples:
                evidence.note("empty_records", 1)
            yield from tuples


def _tuples(record: object, *, is_vnet: bool) -> Iterator[_Line]:
    """Yield the tuples of a record, wherever in it they stand; `values` bounds how deep that is."""
    version = None
    level = [record]
    while level:
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                version = one.get("Version", version)
                found = one.get("flowTuples")
                yield from (_line(entry, version, is_vnet=is_vnet) for entry in _list(found))
                below.extend(value for key, value in one.items() if key != "flowTuples")
            elif isinstance(one, list):
                below.extend(one)
        level = below


def _line(entry: object, version: object, *, is_vnet: bool) -> _Line:
    """Return one tuple with its layout."""
    text = entry if isinstance(entry, str) else json.dumps(entry)
    text = " ".join(text.split()) or ","  # a line end in it would be two
    if is_vnet:
        return _Line(VNET, text)
    is_first = version == 1 or (version is None and text.count(",") == NSG_1 - 1)
    return _Line(NSG_1 if is_first else NSG_2, text)


def _list(value: object) -> list[object]:
    """Return a list; an empty one where a value is none."""
    return value if isinstance(value, list) else []


def _has_flows(record: object) -> bool:
    """Tell whether a record has a list of flows, be it empty."""
    if not isinstance(record, dict):
        return False
    inner = record.get("flowRecords", record.get("properties"))
    return isinstance(inner, dict) and isinstance(inner.get("flows"), list)


def _sheet(layout: int, block: Block, evidence: Evidence, clock: Clock, words: Vocabulary) -> Sheet:
    """Return the flows of a block of tuples."""
    sheet = Sheet(delimited(block, Dialect(b","), abs(layout)), evidence, words)
    time = clock.epoch(sheet.counts(0, what="time", limit=1 << 60))
    for where, reason in time.refused:
        sheet.reject(where, reason)
    sheet.reject(~time.known, "there is no time")
    state, silent = _state(sheet, layout)
    sheet.put(
        "flows",
        None,
        start=time.values,
        end=time.values,
        src=sheet.words(1, address_of, what="source"),
        src_port=sheet.counts(3, what="source port"),
        dst=sheet.words(2, address_of, what="destination"),
        dst_port=sheet.counts(4, what="destination port"),
        proto=sheet.words(5, _proto, what="protocol", kind="one that is known"),
        bytes_kind="ip",
        state=state,
        **_counters(sheet, layout, silent),
    )
    return sheet


def _counters(sheet: Sheet, layout: int, silent: Bools) -> dict[str, Ints]:
    """Return packets and bytes each way; there are none where a flow only begins or was denied."""
    if layout == NSG_1:
        return {}
    names = ("packets_out", "bytes_out", "packets_in", "bytes_in")
    found = {name: sheet.counts(9 + place, what=name) for place, name in enumerate(names)}
    return {name: count._replace(known=count.known & ~silent) for name, count in found.items()}


def _state(sheet: Sheet, layout: int) -> tuple[Words, Bools]:
    """Return the states of flows, and which of them have no counters."""
    denied = sheet.equals(DECISION, b"D")
    if layout != NSG_2:
        return sheet.words(DECISION), denied | sheet.equals(DECISION, b"B")
    state = sheet.words(STATE)
    both = state._replace(codes=np.where(denied, np.int32(len(state.values)), state.codes), values=(*state.values, "D"))
    return both, denied | sheet.equals(STATE, b"B")


def _proto(text: str) -> str | None:
    """Return the name of a protocol."""
    if text in ("T", "U"):
        return "tcp" if text == "T" else "udp"
    return proto_numbered(text)
