"""The table that Argus's client ``ra`` prints, turned into flows a block at a time.

References
----------
.. [1] Argus, *ra(1)*: labels of the fields, and what the signs of ``Dir`` mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from forensics.errors import EvidenceError
from forensics.formats._columns import either
from forensics.formats._delimited import Dialect, delimited
from forensics.formats._fields import Fields
from forensics.formats._hosts import address_of
from forensics.formats._kinds import absent_field, selected
from forensics.formats._lines import text_of
from forensics.formats._sheet import Field, Sheet
from forensics.formats._stamps import Stamp, compile_stamp, read_column
from forensics.protocols import proto_of

if TYPE_CHECKING:
    from forensics.formats import Evidence
    from forensics.formats._blocks import Block
    from forensics.formats._columns import Bools, Ints
    from forensics.formats._cut import I64
    from forensics.formats._vocabulary import Vocabulary
    from forensics.formats._zones import Clock

__all__ = ["Layout", "layout_of", "put_rows"]

_KNOWN = frozenset((
    "StartTime", "LastTime", "Dur", "Flgs", "Proto", "SrcAddr", "Sport", "Dir", "DstAddr", "Dport", "TotPkts",
    "SrcPkts", "DstPkts", "TotBytes", "SrcBytes", "DstBytes", "State",
))  # fmt: skip
_NEEDED = ("StartTime", "SrcAddr", "DstAddr")
_FEWEST = 5
_EPOCH = "%s.%f"
_STAMPS = (_EPOCH, "iso", "%Y/%m/%d.%H:%M:%S.%f%?z", "%Y/%m/%d %H:%M:%S.%f%?z", "%a %b %e %H:%M:%S %Y")
_TIME_OF_DAY = re.compile(r"\d\d:\d\d:\d\d(\.\d+)?")
_TRIED = 1000
"""Rows in which the first time is looked for."""

_CUT_SHORT = "ipv6-icm"  # by the width of ra's column
_ON_IP = frozenset(("tcp", "udp", "icmp", "icmp6", "sctp"))


@dataclass(frozen=True)
class Layout:
    """What the header of a table says, and how its times are written.

    Parameters
    ----------
    delimiter
        What stands between two fields.
    header
        The header.
    places
        The field of each label.
    stamp
        Layout of the times; None before a row was seen.
    """

    delimiter: bytes
    header: str
    places: dict[str, int]
    stamp: Stamp | None = None

    def field(self, fields: Fields, label: str) -> Field:
        """Return a column; one without values where it is not printed."""
        return self.places.get(label, absent_field(fields.cut))

    def timed(self, block: Block, source: str) -> Layout:
        """Return the layout with that of its times, as the first row that has one shows it.

        Raises
        ------
        EvidenceError
            The times have no date, or are written in no way that is known.
        """
        place = self.places["StartTime"]
        lines = block.data[: block.end].tobytes().split(b"\n", _TRIED)[:_TRIED]
        for number, line in enumerate(lines, block.first_line):
            fields = text_of(line).split(self.delimiter.decode())
            if len(fields) != len(self.header.split(self.delimiter.decode())) or not (text := fields[place].strip()):
                continue
            for layout in _STAMPS:
                stamp = compile_stamp(layout)
                data = np.frombuffer(bytearray(text.encode() + bytes(64)), np.uint8)
                ends = np.zeros(1, np.int32), np.array([len(text.encode())], np.int32)
                if read_column(data, *ends, stamp).known[0]:
                    return replace(self, stamp=stamp)
            if _TIME_OF_DAY.fullmatch(text):
                problem = f"its times have no date (line {number}: {text!r}): print them with ra -u"
                raise EvidenceError(source, problem)
        return replace(self, stamp=compile_stamp(_EPOCH))


def layout_of(line: str) -> Layout | str:
    """Return what a header says, or why it is none."""
    for delimiter in ",\t;|":
        labels = [label.strip() for label in line.rstrip("\r\n").split(delimiter)]
        if len(_KNOWN.intersection(labels)) >= _FEWEST and all(label in labels for label in _NEEDED):
            places = {label: place for place, label in reversed([*enumerate(labels)])}
            return Layout(delimiter.encode(), delimiter.join(labels), places)
    return "line 1 does not hold the labels of ra: StartTime, SrcAddr, DstAddr and at least two more"


def put_rows(layout: Layout, block: Block, evidence: Evidence, words: Vocabulary, clock: Clock) -> Sheet:
    """Return the rows of a block as a sheet."""
    cut = delimited(block, Dialect(layout.delimiter), layout.header.count(layout.delimiter.decode()) + 1)
    passed_over, notes = _passed_over(Fields(cut, words), layout)
    sheet = Sheet(selected(cut, np.flatnonzero(~passed_over)), evidence, words)
    for key, count in notes.items():
        sheet.note(key, count)
    proto = sheet.words(layout.field(sheet, "Proto"), _protocol, null=b"")
    one, other = (sheet.words(layout.field(sheet, name), _address, null=b"") for name in ("SrcAddr", "DstAddr"))
    for name, address in (("SrcAddr", one), ("DstAddr", other)):
        sheet.reject(~address.known, f"{name} is not an address")
    start, end = _times(sheet, layout, clock)
    turned = sheet.words(layout.field(sheet, "Dir"), _turned, null=b"").known
    ports = [_port(sheet, layout, name) for name in ("Sport", "Dport")]
    counts = [
        sheet.counts(layout.field(sheet, name), what=name, null=b"")
        for name in ("SrcBytes", "DstBytes", "SrcPkts", "DstPkts")
    ]
    (out, back), (packets_out, packets_in) = _swapped(turned, *counts[:2]), _swapped(turned, *counts[2:])
    src_port, dst_port = _swapped(turned, *ports)
    sheet.put(
        "exchanges",  # whose texts are words: a flow's are stored, and made, several times as fast as in flows
        start=start,
        end=end,
        src=one.only(~turned).otherwise(other.only(turned)),
        src_port=src_port,
        dst=other.only(~turned).otherwise(one.only(turned)),
        dst_port=dst_port,
        proto=proto,
        bytes_out=out,
        bytes_in=back,
        bytes_kind="frame",
        packets_out=packets_out,
        packets_in=packets_in,
        state=sheet.words(layout.field(sheet, "State"), _stripped, null=b""),
        is_flow=True,
        is_request=False,
    )
    return sheet


def _passed_over(fields: Fields, layout: Layout) -> tuple[Bools, dict[str, int]]:
    """Tell which rows are no flows: of Argus itself, without IP, headers again; and how many there are of each."""
    proto = fields.words(layout.field(fields, "Proto"), _protocol, null=b"")
    one, other = (fields.words(layout.field(fields, name), _address, null=b"") for name in ("SrcAddr", "DstAddr"))
    header = fields.equals(layout.places["StartTime"], b"StartTime")
    management = proto.mapped(lambda name: name if name == "man" else None).known
    arp = proto.mapped(lambda name: name if name in {"arp", "rarp"} else None).known
    needs_ip = proto.mapped(lambda name: name if name in _ON_IP else None).known
    not_ip = fields.good & ~management & ~header & (arp | ~(one.known | other.known | needs_ip))
    notes = {
        "records": int((management | not_ip).sum()),
        "management_records": int(management.sum()),
        "records_without_ip": int(not_ip.sum()),
    }
    return header | management | not_ip, notes


def _times(sheet: Sheet, layout: Layout, clock: Clock) -> tuple[I64, I64]:
    """Return starts and ends."""
    assert layout.stamp is not None  # noqa: S101 - known before the first row is read
    found = []
    for label in ("StartTime", "LastTime"):
        field = layout.field(sheet, label)
        times = sheet.stamps(field, layout.stamp, what=None, null=b"")
        if label == "StartTime" or label in layout.places:
            sheet.reject(~times.known, f"{label} is not a time of its format")
        sample = int(sheet.cut.number[0]) if sheet.rows else 1, text_of(sheet.cut.record(0)) if sheet.rows else ""
        found.append(clock.utc(times, sample))
    start, end = found
    if "LastTime" not in layout.places:
        span = sheet.decimals(layout.field(sheet, "Dur"), what="Dur", null=b"")
        sheet.reject(span.values < 0, "Dur is negative")
        return start, start + np.maximum(span.values, 0)
    # Clocks of several sensors, or one set back in between: the earlier time comes first.
    sheet.note("ends_before_start", int(((end < start) & sheet.good).sum()))
    return np.minimum(start, end), np.maximum(start, end)


def _port(sheet: Sheet, layout: Layout, label: str) -> Ints:
    """Return ports; names of services and what ICMP has in their place are none."""
    field = layout.field(sheet, label)
    port = sheet.counts(field, what=None, null=b"")
    if isinstance(field, int):
        begin = sheet.cut.begin[field]
        is_hex = sheet.cut.data[begin + 1] == ord("x")
        named = ~port.known & ~is_hex & ~sheet.nothing(field, b"*") & sheet.good
        sheet.note("ports_by_name", int(named.sum()))
    return port


def _swapped(where: Bools, one: Ints, other: Ints) -> tuple[Ints, Ints]:
    """Return two columns, exchanged in some rows."""
    return (either(where, other, one), either(where, one, other)) if where.any() else (one, other)


def _stripped(text: str) -> str:
    """Return a text without the spaces that line it up."""
    return text.strip()


def _address(text: str) -> str | None:
    """Return an address."""
    return address_of(text.strip())


def _protocol(text: str) -> str | None:
    """Return a transport protocol as it goes here."""
    return proto_of("ipv6-icmp" if text.strip().casefold() == _CUT_SHORT else text)


def _turned(text: str) -> str | None:
    """Return something where the second address began the flow."""
    return "turned" if re.fullmatch(r"<[-|o]", text.strip()) else None
