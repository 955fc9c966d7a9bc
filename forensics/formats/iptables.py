"""Packets that Linux firewalls logged: iptables, nftables and ufw, in a syslog, kern.log or journal.

Example line::

    May 21 10:00:01 gate kernel: [ 8.1] [UFW BLOCK] IN=eth0 OUT= SRC=192.0.2.7 DST=203.0.113.9 PROTO=TCP SPT=4711 DPT=22

====================  ==============================================================================================
field                 becomes
====================  ==============================================================================================
time of syslog        ``start`` and ``end``: a line is one packet
SRC, DST              ``src``, ``dst``
SPT, DPT              ``src_port``, ``dst_port``; of ICMP TYPE and CODE
PROTO                 ``proto``
prefix before ``IN``  ``state``: what the rule calls it, without brackets and uptime
====================  ==============================================================================================

Which rule logs, and which packets, is not in the log: often only the first packet of a connection, or those refused.
So bytes and packets of the connection are null; ``LEN`` is the length of the one packet.

Traps: the time of most syslogs has neither year nor zone. The prefix is free text and may stand without space before
``IN=``. An ICMP error holds the packet that it is about in ``[SRC=... ]``, with the same keys. Ports are absent after
``INCOMPLETE``. UDP has ``LEN`` twice. A bracketed number in front is the uptime, not a time. Other lines of the syslog
are passed over and counted; ``last message repeated`` and ``callbacks suppressed`` are counted, since they say that
packets are not told.

References
----------
.. [1] iptables-extensions(8), target LOG; https://ipset.netfilter.org/iptables-extensions.man.html
.. [2] nft(8), log statement; https://www.netfilter.org/projects/nftables/manpage.html
.. [3] Linux, net/netfilter/nf_log_syslog.c: the keys and their order.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._blocks import PADDING, Block, blocks
from forensics.formats._cut import ABSENT
from forensics.formats._encodings import text_stream
from forensics.formats._firewall import first_then, proto_of, sample_of, selected, taken
from forensics.formats._head import first_lines
from forensics.formats._hosts import address_of
from forensics.formats._pairs import pairs
from forensics.formats._sheet import Bools, Sheet, Vocabularies, Words, finished
from forensics.formats._syslog import surveyed, without_heads
from forensics.formats._zones import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._cut import Cut
    from forensics.formats._syslog import Heads
    from forensics.formats._vocabulary import Vocabulary

__all__ = [
    "COMPANIONS", "EXACT_VOLUMES", "LINES", "LINES_STAND_ALONE", "NAME", "OBSERVES", "STAMP", "TITLE", "declines",
    "parse",
]  # fmt: skip

NAME = "iptables"
TITLE = "Linux firewall lines (iptables, nftables, ufw)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
LINES_STAND_ALONE = False
"""The years of syslog times follow from the order of lines."""
LINES = True
STAMP = "start"
OBSERVES: tuple[str, ...] = ()

KEYS = (b"IN", b"OUT", b"SRC", b"DST", b"PROTO", b"SPT", b"DPT", b"TYPE", b"CODE", b"[SRC")
IN, OUT, SRC, DST, PROTO, SPT, DPT, TYPE, CODE, NESTED = range(len(KEYS))

HEAD_LINES = 1000
LONGEST_UPTIME = 24

_PACKET = re.compile(r'[^"=]*IN=[^ "=]* OUT=[^ "=]* ')
_REST = (" SRC=", " DST=", " PROTO=")
_UPTIME = re.compile(r"^\s*(?:message repeated \d+ times: \[\s*)?(?:kernel:\s*)?(?:\[\s*\d+\.\d+\]\s*)?")
_GLUED = re.compile(r"IN=\S*\s*$")
_REPEATED = re.compile(rb"message repeated (\d{1,9}) times")
_SUPPRESSED = re.compile(rb"(\d{1,9}) (?:callbacks|messages) suppressed")


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file holds no lines of a Linux firewall, or None where one of its first lines is one."""
    lines = first_lines(head, hints, limit=HEAD_LINES)
    if not lines:
        return "it is empty"
    if any(_PACKET.match(line) and all(key in line for key in _REST) for line in lines):
        return None
    return "no line tells a packet as netfilter does: IN=... OUT=... SRC=... DST=... PROTO=..."


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If the stream is damaged.
    forensics.errors.YearNeededError, forensics.errors.TimezoneNeededError
        If the times carry no year or no zone, and nothing says them.
    """
    clock, own = Clock(evidence), Vocabularies()
    evidence.notes["records"] = 0
    with surveyed(replace(evidence, stream=text_stream(evidence)), clock) as log:
        made = first_then(lambda block: list(_read(block, evidence, clock, own.own)), blocks(log))
        yield from finished(evidence, NAME, (batch for batches in made for batch in batches))


def _read(block: Block, evidence: Evidence, clock: Clock, words: Vocabulary) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Read one block of lines."""
    body, heads = without_heads(block)
    cut = pairs(body, KEYS)
    if (cut.flag[NESTED] & ABSENT == 0).any():
        cut = pairs(_without_nested(body, block, cut), KEYS)
    is_packet: Bools = (cut.flag[OUT] & ABSENT == 0) | (cut.flag[IN] & ABSENT == 0)
    _count_others(evidence, body, cut.rows - int(is_packet.sum()))
    prefix = selected(_prefixes(cut), is_packet)
    cut = selected(heads.whole(cut), is_packet)
    if cut.rows:
        sheet = Sheet(cut, evidence, words)
        _fill(sheet, prefix, _times(sheet, heads, clock))
        yield from sheet.batches()


def _without_nested(body: Block, block: Block, cut: Cut) -> Block:
    """Return lines without the packets that ICMP errors are about; behind them are the lines as they stand."""
    data = np.concatenate((body.data[: body.end], np.zeros(PADDING, np.uint8), block.data))
    nested = cut.flag[NESTED] & ABSENT == 0
    for begin, end in zip(cut.begin[NESTED, nested].tolist(), cut.line[nested, 1].tolist(), strict=True):
        data[begin - len(b"[SRC=") : end] = ord(" ")
    return body._replace(data=data)


def _prefixes(cut: Cut) -> Cut:
    """Return the texts before ``OUT=``, or before ``IN=`` in a line that ends there."""
    place = np.where(cut.flag[OUT] & ABSENT == 0, cut.begin[OUT] - len(b"OUT="), cut.begin[IN] - len(b"IN="))
    begin = _behind_uptime(cut)
    end = np.maximum(np.minimum(place, cut.line[:, 1]), begin).astype(np.int32)
    return replace(cut, begin=begin[None], end=end[None], flag=np.zeros((1, cut.rows), np.uint8))


def _behind_uptime(cut: Cut) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """Return where each line goes on behind ``[ 123.456] ``, so that few prefixes differ."""
    begin = cut.line[:, 0].copy()
    inside = cut.data[begin] == ord("[")
    at = begin + inside
    for _ in range(LONGEST_UPTIME):
        inside = inside & (cut.data[at] <= ord("9")) & (cut.data[at] >= ord(" "))
        at += inside
    closed = (cut.data[begin] == ord("[")) & (cut.data[at] == ord("]")) & (at > begin + 1)
    return np.where(closed, at + 1, begin).astype(np.int32)


def _prefix(text: str) -> str:
    """Return what a rule calls its packets."""
    return _UPTIME.sub("", _GLUED.sub("", text)).strip(" []:-|,;")[:64]


def _count_others(evidence: Evidence, body: Block, others: int) -> None:
    """Count lines that tell no packet, and the packets that they say are not told."""
    if not others:
        return
    evidence.note("other_lines", others)
    data = body.data[: body.end].tobytes()
    evidence.note("messages_repeated", sum(map(int, _REPEATED.findall(data))))
    suppressed = sum(map(int, _SUPPRESSED.findall(data)))
    evidence.note("messages_suppressed", suppressed)
    if suppressed:
        evidence.gap("lost", None, None, f"the kernel's rate limit suppressed {suppressed} messages")


def _times(sheet: Sheet, heads: Heads, clock: Clock) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return when the lines were written. [us]"""
    cut, sample = sheet.cut, sample_of(sheet.cut)
    civil = taken(heads.civil, heads.rows(cut))
    sheet.reject(~civil.known, "no time of syslog stands before it")
    dated = clock.years(civil, cut.number, sample=sample)
    sheet.reject(~dated.known, "its time does not exist in the year that it falls in")
    return clock.utc(dated, sample)


def _fill(sheet: Sheet, prefix: Cut, times: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    """Put the packets of a sheet into flows."""
    proto = sheet.words(PROTO, proto_of, what="PROTO", kind="a protocol")
    sheet.reject(~proto.known, "PROTO is missing")
    dst = sheet.words(DST, address_of, what="DST")
    sheet.reject(~dst.known, "DST is missing")
    first, second = (
        sheet.counts(port, what=KEYS[port].decode(), limit=65_535).otherwise(sheet.counts(kind, what=None, limit=255))
        for port, kind in ((SPT, TYPE), (DPT, CODE))
    )
    state: Words = sheet.words((prefix, 0), _prefix, null=())
    sheet.put(
        "flows",
        start=times,
        end=times,
        src=sheet.words(SRC, address_of, what="SRC"),
        src_port=first,
        dst=dst,
        dst_port=second,
        proto=proto,
        state=state,
        bytes_kind="ip",
    )
