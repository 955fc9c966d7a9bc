r"""VPC flow logs of Google Cloud, as Cloud Logging exports them: an entry a line, or a list of entries.

Example line::

    {"jsonPayload":{"connection":{"src_ip":"192.0.2.7","src_port":49152,"dest_ip":"203.0.113.9","dest_port":443,
     "protocol":6},"bytes_sent":"4249","packets_sent":"20","start_time":"2015-05-21T00:00:10.123456789Z",
     "end_time":"2015-05-21T00:00:14Z","reporter":"SRC"},"insertId":"x"}  (one line in the file)

============================================ ============================================================
field of jsonPayload                         becomes
============================================ ============================================================
start_time, end_time                         ``start``, ``end``: first and last packet of the window
connection.src_ip, dest_ip                   ``src``, ``dst``
connection.src_port, dest_port, protocol     ``src_port``, ``dst_port``, ``proto``
bytes_sent, packets_sent                     ``bytes_out``, ``packets_out``; ``bytes_kind`` is ``ip``
reporter                                     ``state``: ``SRC``, ``DEST``, ``SRC_GATEWAY``, ``DEST_GATEWAY``
============================================ ============================================================

The documentation does not say which headers the bytes include. No real file was met: made from the specification.

Traps:

- A row is one direction; the answer is another row, so ``bytes_in`` is null.
- Packets are sampled, and counts are scaled up by Google: they are estimates, and the notes say ``sampled``. Of the
  entries that follow from it Google may drop a part as well, as it is set up.
- Both machines of a connection report it. A row of the receiver is left out where the file has the sender's, with
  bytes: same ends, ports and protocol, and windows that overlap. ``told_by_sender`` counts them. More than 262,144 rows
  of senders are not remembered, nor do more receivers wait for one (``receivers_not_matched`` counts those that could
  not): where the two stand farther apart, or in two files, both are kept, and the same bytes stand twice.
- Numbers of 64 bits are texts in JSON. ICMP has no ports. Times have up to nine digits behind the point.

References
----------
.. [1] Google Cloud, *About VPC Flow Logs records*, https://cloud.google.com/vpc/docs/about-flow-logs-records
.. [2] Google Cloud, *VPC Flow Logs*, log sampling and processing, https://cloud.google.com/vpc/docs/flow-logs
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
import pyarrow as pa

from forensics.errors import EvidenceError
from forensics.formats._blocks import block_of, blocks, in_order
from forensics.formats._encodings import utf8_head
from forensics.formats._firewall import keys
from forensics.formats._gcp_twins import Reported, Twins, Windows
from forensics.formats._hosts import address_of
from forensics.formats._json import Peeked, values
from forensics.formats._lines import complete_lines
from forensics.formats._picked import picked
from forensics.formats._sheet import Sheet, Vocabularies, finished
from forensics.formats._stamps import ISO, NO_OFFSET
from forensics.protocols import proto_numbered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats import Evidence, Hints
    from forensics.formats._blocks import Block
    from forensics.formats._cut import I64
    from forensics.formats._sheet import Bools, Vocabulary, Words

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "OBSERVES", "STAMP", "TITLE", "declines", "parse"]

NAME = "gcp"
TITLE = "Google Cloud VPC flow log"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
STAMP = "window"
OBSERVES = ("out",)

PART = 4 << 20
"""So much text of entries becomes a block, where they are no lines. [characters]"""

_PATHS = tuple(
    f"jsonPayload.{path}"
    for path in (
        "start_time", "end_time", "connection.src_ip", "connection.dest_ip", "connection.src_port",
        "connection.dest_port", "connection.protocol", "bytes_sent", "packets_sent", "reporter",
    )
)  # fmt: skip
_START, _END, _SRC, _DST, _SRC_PORT, _DST_PORT, _PROTO, _BYTES, _PACKETS, _REPORTER = range(len(_PATHS))
_CONNECTION = re.compile(rb'"(?:jsonPayload\.)?connection(?:\.src_ip"|"\s*:\s*\{[^{}]*"src_ip")')


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no flow log of Google Cloud, or None where it is."""
    text = utf8_head(head, hints).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith((b"{", b"[")):
        return "it is not JSON"
    fits = b'"jsonPayload' in text and _CONNECTION.search(text)
    return None if fits else "it is JSON without jsonPayload.connection.src_ip"


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        Nothing in it can be read, or the stream is damaged.
    """
    stream, words = Peeked(evidence.stream), Vocabularies()
    whole = replace(evidence, stream=cast("BinaryIO", stream))
    found = blocks(whole) if _is_lines(utf8_head(stream.head, evidence.hints)) else _entries(whole)
    evidence.notes["sampled"] = "counts are estimates from sampled packets"
    made = in_order(lambda block: _read(block, evidence, words.own), found)
    yield from finished(evidence, NAME, Twins(evidence).watch(made))


def _is_lines(head: bytes) -> bool:
    """Tell whether a file has an object a line; one that is damaged is no reason to think otherwise."""
    for line in complete_lines(head, 5):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return "entries" not in found
    return False


def _entries(evidence: Evidence) -> Iterator[Block]:
    """Yield the entries of a document as blocks of lines; a damage is raised behind those that came before it."""
    number, size = 1, 0
    held: list[str] = []
    found = values(evidence, under="entries")
    while True:
        try:
            value, text, problem = next(found, (None, None, ""))
        except EvidenceError:
            if held:
                yield _block(held, number)
            raise
        if held and (text is None or size > PART):
            yield _block(held, number)
            number, size, held = number + len(held), 0, []
        if text is None:
            return
        held.append(" ".join(text.split()) if problem else json.dumps(value))
        size += len(held[-1])


def _block(lines: list[str], number: int) -> Block:
    """Return lines as a block."""
    return block_of("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"), number)


def _read(block: Block, evidence: Evidence, words: Vocabulary) -> Reported:
    """Return the flows of a block, those of receivers apart."""
    sheet = Sheet(picked(block, _PATHS), evidence, words)
    start, end = _time(sheet, _START, "start_time"), _time(sheet, _END, "end_time")
    sheet.reject(end < start, "end_time is before start_time")
    src, dst = (
        sheet.words(place, address_of, what=what, null=b"") for place, what in ((_SRC, "src_ip"), (_DST, "dest_ip"))
    )
    ports = [
        sheet.counts(place, what=what, null=b"") for place, what in ((_SRC_PORT, "src_port"), (_DST_PORT, "dest_port"))
    ]
    proto = sheet.words(_PROTO, proto_numbered, what="protocol", kind="a number", null=b"")
    counts = [
        sheet.counts(place, what=what, null=b"") for place, what in ((_BYTES, "bytes_sent"), (_PACKETS, "packets_sent"))
    ]
    sheet.put(
        "flows",
        start=start,
        end=end,
        src=src,
        src_port=ports[0],
        dst=dst,
        dst_port=ports[1],
        proto=proto,
        bytes_out=counts[0],
        packets_out=counts[1],
        bytes_kind="ip",
        state=sheet.words(_REPORTER, null=b""),
    )
    apart = [_told_apart(src), _told_apart(dst), _told_apart(proto), *(np.where(p.known, p.values, -1) for p in ports)]
    return _sides(sheet, Windows(keys(*apart), start, end), counts[0].known)


def _told_apart(words: Words) -> I64:
    """Return a number for each row that is the same for one text in all blocks, 0 where there is none."""
    known = [
        int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True) for text in words.values
    ]
    return np.array([*known, 0], np.int64)[words.codes]


def _sides(sheet: Sheet, windows: Windows, sized: Bools) -> Reported:
    """Return the rows of a sheet, those of receivers apart from the others."""
    sender = sheet.equals(_REPORTER, b"SRC") | sheet.equals(_REPORTER, b"SRC_GATEWAY")
    receiver = sheet.equals(_REPORTER, b"DEST") | sheet.equals(_REPORTER, b"DEST_GATEWAY")
    others, received, good = list[tuple[str, pa.RecordBatch]](), None, sheet.good
    for table, batch in sheet.batches():
        if table == "flows" and (receiver & good).any():
            received = batch.filter(pa.array(receiver[good]))
            batch = batch.filter(pa.array(~receiver[good]))  # noqa: PLW2901 - the same without them
        if batch.num_rows:
            others.append((table, batch))
    return Reported(others, received, windows.of(receiver & good), windows.of(sender & good & sized))


def _time(sheet: Sheet, place: int, what: str) -> I64:
    """Return times; a row without one is rejected. [us since 1970]"""
    found = sheet.stamps(place, ISO, what=what, null=b"")
    sheet.reject(~found.known, f"{what} is missing")
    sheet.reject(found.known & (found.offset == NO_OFFSET), f"{what} has no time zone")
    return np.where(found.known, found.local - found.offset.astype(np.int64) * 60_000_000, 0)
