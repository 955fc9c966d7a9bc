"""VPC flow logs of Amazon Web Services, versions 2 to 5: lines with fields in any order under a header, or events.

Example lines::

    version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
    2 123456789010 eni-1235b8ca123456789 192.0.2.7 203.0.113.9 49152 443 6 20 4249 1418530010 1418530070 ACCEPT OK

==============================  ===================================================================================
field                           becomes
==============================  ===================================================================================
start, end                      ``start``, ``end``: first and last packet of the window [s]
srcaddr, dstaddr                ``src``, ``dst``; where pkt-srcaddr, pkt-dstaddr are logged those, the real ends
srcport, dstport, protocol      ``src_port``, ``dst_port``, ``proto``
bytes, packets                  ``bytes_out``, ``packets_out``; ``bytes_kind`` is ``ip``
action                          ``state``: ACCEPT or REJECT
==============================  ===================================================================================

Traps: a row is one direction of a window of 1 or 10 minutes; the answer is another row, so ``bytes_in`` is null. The
order of fields is the owner's choice, and a file without a header has the 14 of version 2. ``NODATA`` rows say that
nothing passed and ``SKIPDATA`` rows that records were lost: neither is a flow, both are counted in the notes. ``-`` is
nothing. Behind a NAT gateway or a load balancer ``srcaddr`` is an address of the interface, ``pkt-srcaddr`` the real
one; where that is ``-`` the logged one stands. ICMP has no type and code, its ports are 0. A flow that passes two
interfaces stands twice. Files put end to end have further headers: each names the fields of what follows, ``headers``
in the notes counts them.

What went through CloudWatch Logs has no header. There an export task puts the time of the event before each record,
and subscriptions, Firehose and the command line give JSON, whose events have the record as ``message``: ``record`` is
then the number of the event. Without a header the fields are the 14 of version 2.

Made from the specification; no real file was met.

References
----------
.. [1] Amazon Web Services, *Flow log records*,
   https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
.. [2] The same, *CloudWatch Logs API reference*, FilteredLogEvent,
   https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilteredLogEvent.html
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from forensics.formats._aws_events import event_blocks, messages_in
from forensics.formats._blocks import block_of, blocks, in_order, segments
from forensics.formats._delimited import Dialect, delimited
from forensics.formats._encodings import utf8_head
from forensics.formats._hosts import address_of
from forensics.formats._json import Peeked
from forensics.formats._lines import complete_lines
from forensics.formats._sheet import Ints, Sheet, Vocabularies, Words, finished
from forensics.formats._zones import Clock
from forensics.protocols import proto_numbered

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._blocks import Block
    from forensics.formats._sheet import Bools, Vocabulary

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "OBSERVES", "STAMP", "TITLE", "declines", "parse"]

NAME = "aws_vpc"
TITLE = "AWS VPC flow log"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
STAMP = "window"
OBSERVES = ("out",)

VERSION_2 = (
    "version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes",
    "start", "end", "action", "log-status",
)  # fmt: skip
NEEDED = frozenset(("start", "end"))
ENDS = (("srcaddr", "pkt-srcaddr"), ("dstaddr", "pkt-dstaddr"))
STATUS = 13

_STAMPED = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z ")
"""What an export task of CloudWatch Logs puts before a record."""


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no flow log of AWS, or None where it is."""
    first = complete_lines(head, 1)
    if not first:
        return "it is empty"
    if messages := messages_in(utf8_head(head, hints)):
        fits = any(_is_record(message) for message in messages)
        return None if fits else "none of its first events has a record of version 2 as its message"
    if _header(first[0]) is not None or _is_record(_STAMPED.sub(b"", first[0], count=1)):
        return None
    if len(first[0].split(b" ")) != len(VERSION_2):
        return "line 1 is neither a header of a VPC flow log nor a record of its version 2"
    return "line 1 is no record of version 2"


def _is_record(line: bytes) -> bool:
    """Tell whether a line is a record of version 2."""
    fields = line.split(b" ")
    return (
        len(fields) == len(VERSION_2)
        and fields[0] == b"2"
        and fields[2].startswith(b"eni-")
        and fields[STATUS] in (b"OK", b"NODATA", b"SKIPDATA")
    )


def _header(line: bytes) -> tuple[str, ...] | None:
    """Return the fields that a header names; None where it is none."""
    names = tuple(line.decode("utf-8", "replace").split(" "))
    held = set(names)
    ends = all(held & set(either) for either in ENDS)
    return names if held >= NEEDED and ends and not line[:1].isdigit() else None


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        Nothing in it can be read, or the stream is damaged.
    """
    clock, words = Clock(evidence), Vocabularies()
    stream = Peeked(evidence.stream)
    whole = replace(evidence, stream=cast("BinaryIO", stream))
    found = event_blocks(whole) if messages_in(utf8_head(stream.head, evidence.hints)) else blocks(whole)
    made = in_order(lambda part: list(_sheet(*part, evidence, clock, words.own).batches()), _parts(evidence, found))
    yield from finished(evidence, NAME, (batch for batches in made for batch in batches))


def _parts(evidence: Evidence, found: Iterator[Block]) -> Iterator[tuple[tuple[str, ...], Block]]:
    """Yield the records under each header, with the fields it names; no record begins with the name of a field."""
    names: tuple[str, ...] = VERSION_2
    headers = 0
    for block in found:
        if block.first_line == 1:
            first = block.data[: block.end].tobytes().partition(b"\n")[0].removesuffix(b"\r")
            names = _header(first) or (("stamp", *names) if _STAMPED.match(first) else names)
        for lines, part in segments(block, f"{names[0]} ".encode()):
            for number, line in lines:
                if (header := _header(line)) is None:
                    yield names, block_of(line + b"\n", number)
                    continue
                names, headers = header, headers + 1
                if number > 1:
                    evidence.notes["headers"] = headers
            if part.end:
                yield names, part


def _sheet(names: tuple[str, ...], block: Block, evidence: Evidence, clock: Clock, words: Vocabulary) -> Sheet:
    """Return the flows of a block."""
    sheet = Sheet(delimited(block, Dialect(b" "), len(names)), evidence, words)
    places = {name: place for place, name in reversed(list(enumerate(names)))}
    none = Ints(np.zeros(sheet.rows, np.int64), np.zeros(sheet.rows, np.bool_))
    empty = np.zeros(sheet.rows, np.bool_)
    for status in ("NODATA", "SKIPDATA"):
        there = sheet.equals(places["log-status"], status.encode()) if "log-status" in places else empty
        told = np.flatnonzero(there & sheet.good)
        sheet.note(f"{status.lower()}_rows", len(told))
        if status == "SKIPDATA" and len(told):
            line = int(sheet.cut.number[told[0]])
            evidence.gap("lost", None, None, f"{len(told)} windows were skipped, this is the first", line)
        empty = empty | there
    given = {
        n: sheet.counts(places[n], what=n) if n in places else none for n in ("srcport", "dstport", "bytes", "packets")
    }
    moments = _window(sheet, places, clock, ~empty)
    src, dst = (_address(sheet, places, pair) for pair in ENDS)
    sheet.put(
        "flows",
        ~empty,
        **moments,
        src=src,
        src_port=given["srcport"],
        dst=dst,
        dst_port=given["dstport"],
        proto=sheet.words(places["protocol"], proto_numbered, what="protocol", kind="a number")
        if "protocol" in places
        else None,
        bytes_out=given["bytes"],
        packets_out=given["packets"],
        bytes_kind="ip",
        state=sheet.words(places["action"]) if "action" in places else None,
    )
    return sheet


def _window(sheet: Sheet, places: dict[str, int], clock: Clock, there: Bools) -> dict[str, Ints]:
    """Return start and end of windows."""
    moments = {}
    for name in ("start", "end"):
        found = clock.epoch(sheet.counts(places[name], what=name, limit=1 << 60), column="time")
        for where, reason in found.refused:
            sheet.reject(where, reason)
        sheet.reject(~found.known & there, f"there is no {name}")
        moments[name] = Ints(found.values, found.known)
    sheet.reject(there & (moments["end"].values < moments["start"].values), "it ends before it starts")
    return moments


def _address(sheet: Sheet, places: dict[str, int], pair: tuple[str, str]) -> Words:
    """Return one end of flows: the packet's own address where it is logged."""
    logged, real = pair
    if not (logged in places and real in places):
        name = real if real in places else logged
        return sheet.words(places[name], address_of, what=name)
    own, interface = sheet.words(places[real], address_of, what=real), sheet.words(places[logged], address_of)
    absent = sheet.nothing(places[real])
    sheet.reject(absent & ~interface.known & ~sheet.nothing(places[logged]), f"{logged} is not an address")
    codes = np.where(absent & interface.known, interface.codes + np.int32(len(own.values)), own.codes)
    return Words.of(codes, (*own.values, *interface.values))
