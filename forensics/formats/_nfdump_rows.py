"""Columns of nfdump's records, whatever layout they were printed in.

References
----------
.. [1] nfdump, *nfdump.1*, OUTPUT FORMATS: the columns and their names.
.. [2] nfdump, ``src/output/output_csv_fast.c``: Unix times in milliseconds, type and code of ICMP in ``dstPort``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats._columns import either
from forensics.formats._cut import FEW, Cut, divided
from forensics.formats._hosts import address_of
from forensics.formats._sheet import Ints, Sheet, Vocabulary
from forensics.formats._stamps import compile_stamp
from forensics.protocols import PORTED, proto_name, proto_of

if TYPE_CHECKING:
    from forensics.formats import Evidence
    from forensics.formats._columns import Bools
    from forensics.formats._stamps import Stamp
    from forensics.formats._zones import Clock

__all__ = ["NAMES", "TIMES", "Layout", "layout_of", "sheet_of"]

NAMES = {
    "ts": "start", "firstseen": "start", "te": "end", "lastseen": "end", "td": "lasted", "duration": "lasted",
    "pr": "proto", "proto": "proto", "sa": "src", "srcaddr": "src", "sp": "src_port", "srcport": "src_port",
    "da": "dst", "dstaddr": "dst", "dp": "dst_port", "dstport": "dst_port", "ipkt": "packets", "packets": "packets",
    "ibyt": "bytes", "bytes": "bytes", "opkt": "packets_back", "outpackets": "packets_back", "obyt": "bytes_back",
    "outbytes": "bytes_back",
}  # fmt: skip
"""What nfdump calls its columns, in small letters, and what they are here."""

NEEDED = frozenset(("start", "src", "dst", "bytes"))

TIMES = compile_stamp("%Y-%m-%d %H:%M:%S.%f")

_ICMP = ("icmp", "icmp6")
_SUMMARY = (
    b"Summary",
    b"flows,bytes",
    b"No matching flows",
    b"Nomatchingflows",
    b"Time window",
    b"Total flows",
    b"Sys:",
    b"Wall:",
)


class Layout(NamedTuple):
    """The columns of a file.

    Parameters
    ----------
    places
        By our name of a column, which one it is.
    width
        How many there are.
    times
        How times are written; None where they are Unix times.
    """

    places: dict[str, int]
    width: int
    times: Stamp | None = TIMES


def layout_of(header: bytes) -> Layout | None:
    """Return the columns that a header names; None where it is none of nfdump's."""
    names = [name.strip().lower() for name in header.decode("ascii", "replace").split(",")]
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        if name in NAMES:
            places.setdefault(NAMES[name], place)
    return Layout(places, len(names)) if places.keys() >= NEEDED else None


def sheet_of(cut: Cut, layout: Layout, evidence: Evidence, clock: Clock, words: Vocabulary) -> Sheet:
    """Return the flows of a block.

    Parameters
    ----------
    cut
        Its records; those of the summary at the end are left out.
    layout
        What their fields are.
    evidence, clock, words
        The file, its clock, and what is known of its texts.
    """
    sheet = Sheet(_without_summary(cut, layout.width), evidence, words)
    start, end = _times(sheet, layout, clock)
    proto = (
        sheet.words(layout.places["proto"], _proto, what="protocol", kind="one") if "proto" in layout.places else None
    )
    icmp = np.zeros(sheet.rows, np.bool_)
    if proto is not None:
        is_icmp = np.array([*(value in _ICMP for value in proto.values), False], np.bool_)
        icmp = is_icmp[proto.codes]
    src_port, dst_port = _ports(sheet, layout, icmp)
    if proto is not None:  # nfdump prints 0 where a protocol has no ports
        ported = np.array([*(value in PORTED for value in proto.values), True], np.bool_)[proto.codes] | icmp
        src_port, dst_port = (Ints(p.values, p.known & (ported | (p.values > 0))) for p in (src_port, dst_port))
    moved = {name: _count(sheet, layout, name) for name in ("bytes", "packets", "bytes_back", "packets_back")}
    sheet.put(
        "flows",
        start=start,
        end=end,
        src=sheet.words(layout.places["src"], address_of, what="source"),
        src_port=src_port,
        dst=sheet.words(layout.places["dst"], address_of, what="destination"),
        dst_port=dst_port,
        proto=proto,
        bytes_out=_seen(moved["bytes"]),
        bytes_in=_seen(moved["bytes_back"]),
        packets_out=_seen(moved["packets"]),
        packets_in=_seen(moved["packets_back"]),
        bytes_kind="ip",
    )
    return sheet


def _without_summary(cut: Cut, width: int) -> Cut:
    """Return the records without what nfdump prints behind the last one."""
    few = np.flatnonzero((cut.odd == FEW) & (cut.count < width))
    passed = [row for row in few.tolist() if _is_summary(cut.record(row))]
    if not passed:
        return cut
    keep = np.ones(cut.rows, np.bool_)
    keep[passed] = False
    return replace(
        cut,
        number=cut.number[keep],
        line=cut.line[keep],
        begin=np.ascontiguousarray(cut.begin[:, keep]),
        end=np.ascontiguousarray(cut.end[:, keep]),
        flag=np.ascontiguousarray(cut.flag[:, keep]),
        odd=cut.odd[keep],
        count=cut.count[keep],
    )


def _is_summary(line: bytes) -> bool:
    """Tell whether a line is of the summary: its words, or its six figures."""
    return line.startswith(_SUMMARY) or (line.count(b",") == 5 and not line.translate(None, b"0123456789.,"))


def _times(sheet: Sheet, layout: Layout, clock: Clock) -> tuple[Ints, Ints]:
    """Return start and end of flows."""
    start = _moments(sheet, layout, clock, "start")
    if start is None:
        raise ValueError("a layout has a start")
    sheet.reject(~start.known & sheet.good, "there is no start")
    sheet.reject(start.values == 0, "there is no start: nfdump prints that of 1970 where its record has none")
    lasted = Ints(np.zeros(sheet.rows, np.int64), np.zeros(sheet.rows, np.bool_))
    if "lasted" in layout.places:
        lasted = sheet.decimals(layout.places["lasted"], what="duration")
    end = _moments(sheet, layout, clock, "end")
    until = start.values + np.where(lasted.known, lasted.values, 0)
    if end is None:
        end = Ints(until, start.known)
    else:  # in the old layout times are whole seconds, and the duration is not
        sheet.reject(end.known & (end.values < start.values), "it ends before it starts")
        end = Ints(np.where(end.known, np.maximum(end.values, until), until), start.known)
    sheet.reject(end.values < start.values, "it ends before it starts")
    return start, end


def _moments(sheet: Sheet, layout: Layout, clock: Clock, name: str) -> Ints | None:
    """Return a column of times."""
    if name not in layout.places:
        return None
    place = layout.places[name]
    if layout.times is None:
        found = clock.epoch(sheet.counts(place, what=name, limit=1 << 60), column=name)
        for where, reason in found.refused:
            sheet.reject(where, reason)
        return Ints(found.values, found.known)
    civil = sheet.stamps(place, layout.times, what=name)
    rows = np.flatnonzero(civil.known)
    first = int(rows[0]) if len(rows) else 0
    sample = (
        (int(sheet.cut.number[first]), sheet.cut.record(first).decode("utf-8", "replace")) if sheet.rows else (1, "")
    )
    return Ints(clock.utc(civil, sample), civil.known)


def _count(sheet: Sheet, layout: Layout, name: str) -> Ints:
    """Return a column of counts; nothing known where the layout has none."""
    if name not in layout.places:
        return Ints(np.zeros(sheet.rows, np.int64), np.zeros(sheet.rows, np.bool_))
    return sheet.counts(layout.places[name], what=name)


def _seen(count: Ints) -> Ints:
    """Return counts of one way: nfdump prints 0 where its record has none, and no flow has no packet, or empty ones."""
    return Ints(count.values, count.known & (count.values > 0))


def _ports(sheet: Sheet, layout: Layout, icmp: Bools) -> tuple[Ints, Ints]:
    """Return the ports; of ICMP its type and code, written ``8.0`` or as one number."""
    src = _count(sheet, layout, "src_port")
    if "dst_port" not in layout.places:
        return src, _count(sheet, layout, "dst_port")
    cut = divided(sheet.cut, layout.places["dst_port"], b".", 2)
    first = sheet.counts((cut, 0), what="destination port")
    code = sheet.counts((cut, 1), what="code")
    pair = icmp & code.known
    kind = np.where(pair, first.values, first.values >> 8)
    low = np.where(pair, code.values, first.values & 255)
    in_one = icmp & first.known
    return (
        either(in_one, Ints(kind, first.known), src),
        either(in_one, Ints(low, first.known), first),
    )


def _proto(text: str) -> str | None:
    """Return the name of a protocol, from a number or from what nfdump calls it."""
    return proto_name(4) if text == "IPIP" else proto_of(text)
