"""Flows that exporters of NetFlow and IPFIX tell of: from piles of records to rows, a whole column at a time.

A row is one direction of a flow, as its exporter counted it: ``bytes_out`` are its IP bytes, ``bytes_in`` is filled
only where the record itself counts both directions. ``vantage`` is the exporter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from forensics.addresses import ipv6_text
from forensics.formats._columns import arrow
from forensics.packets.protocols.netflow import Datagrams
from forensics.packets.texts import ipv4_texts
from forensics.protocols import proto_name
from forensics.rows import BATCH_ROWS, RAW_BYTES
from forensics.schema import FILLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from forensics.formats import Evidence
    from forensics.packets.columns import Origin
    from forensics.packets.protocols.netflow import Pile

__all__ = ["Exported"]

MOST_BYTES = 1 << 50
"""Largest count that is believed: a pebibyte."""

LATEST = (10**10 - 1) * 1_000_000
"""Latest time that is believed. [us since 1970]"""

NTP = 2_208_988_800
"""From 1900, where times of NTP begin, to 1970. [s]"""

WIDEST = 8
"""Longest number. [B]"""

_ICMP = (1, 58)
_EVENTS = {1: "created", 2: "deleted", 3: "denied", 4: "alert", 5: "updated"}
_ADDRESSES = {"src4": 4, "src6": 16, "dst4": 4, "dst6": 16}


Bools = npt.NDArray[np.bool_]
Values = npt.NDArray[np.int64]


class _Numbers(NamedTuple):
    """A column of numbers, and which rows have one."""

    values: Values
    known: Bools

    def otherwise(self, other: _Numbers) -> _Numbers:
        """Return these, and those of another column where they are not known."""
        return _Numbers(np.where(self.known, self.values, other.values), self.known | other.known)


class Exported:
    """Reads the datagrams of one evidence file into rows.

    Parameters
    ----------
    origin
        The evidence file; its vantage is that of datagrams whose exporter is not known.
    table
        Where the rows go: ``flows``, or ``exchanges`` where they stand beside flows of another kind.
    """

    def __init__(self, origin: Origin, table: str) -> None:
        self.datagrams = Datagrams()
        self._origin, self._table = origin, table

    @property
    def full(self) -> bool:
        """Whether it is time to `drain`."""
        return self.datagrams.records >= BATCH_ROWS

    def drain(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the rows of the records that were piled up."""
        for pile in self.datagrams.piles():
            if pile.layout.options:
                self._sampling(_Records(pile))
            else:
                yield from self._flows(_Records(pile))

    def finish(self, evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield what is left, and rejects of the data that cannot be read; tell the evidence of what never came."""
        for found in self.datagrams.breaks():
            evidence.gap("sequence", *found)
        yield from self.drain()
        unread = list(self.datagrams.unread())
        for at in range(0, len(unread), BATCH_ROWS):
            numbers, reasons, raw = zip(*unread[at : at + BATCH_ROWS], strict=True)
            yield self._rejects(list(numbers), list(reasons), [data[:RAW_BYTES] for data in raw])

    def _sampling(self, records: _Records) -> None:
        """Note what options say of sampling."""
        for part, more in (("sampling", 0), ("skipped", 1)):
            column = records.number(part)
            interval = int(column.values.max(initial=0, where=column.known & (column.values < 1 << 31))) + more
            if interval > 1:
                self.datagrams.sampled(interval)

    def _flows(self, records: _Records) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the rows of flows, and rejects of records that contradict themselves."""
        src, dst = records.address("src4", "src6"), records.address("dst4", "dst6")
        there = src.is_valid().to_numpy(zero_copy_only=False)
        if not there.all():
            self.datagrams.count("records_without_addresses", int((~there).sum()))
        start, end = records.times(self.datagrams)
        columns, wrong = _columns(records)
        wrong |= {
            "its times lie outside the years 1970 to 2286": (start < 0) | (end > LATEST) | (end < 0) | (start > LATEST),
            "it ends before it starts": end < start,
        }
        bad = np.zeros(len(start), np.bool_)
        reasons = np.zeros(len(start), np.int64)
        for place, fault in enumerate(wrong.values()):
            reasons[fault & there & ~bad] = place
            bad |= fault & there
        columns |= {"start": start, "end": end, "src": src, "dst": dst, "bytes_kind": "ip", "is_flow": True,
                    "is_request": False, "source": self._origin.source, "record": records.record,
                    "vantage": records.exporter(self._origin.vantage)}  # fmt: skip
        schema = FILLED[self._table].schema
        count = len(start)
        arrays = [arrow(_column(columns.get(f.name), f.type), f.type, count) for f in schema]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema).filter(pa.array(there & ~bad))
        if batch.num_rows:
            yield self._table, batch
        rejected = np.flatnonzero(bad)
        if len(rejected):
            named = list(wrong)
            raw = [records.raw(row) for row in rejected.tolist()]
            yield self._rejects(records.record[rejected].tolist(), [named[k] for k in reasons[rejected]], raw)

    def _rejects(self, numbers: list[int], reasons: list[str], raw: list[bytes]) -> tuple[str, pa.RecordBatch]:
        """Return rows of ``rejects``."""
        schema = FILLED["rejects"].schema
        columns = {"source": [self._origin.source] * len(raw), "record": numbers, "reason": reasons, "raw": raw}
        return "rejects", pa.RecordBatch.from_arrays([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def _column(value: object, kind: pa.DataType) -> object:
    """Return a column as Arrow where it is numbers or times; as it is else."""
    if isinstance(value, _Numbers):
        return pa.array(value.values, mask=~value.known).cast(kind, safe=False)
    if isinstance(value, np.ndarray):
        return pa.array(value).cast(kind)
    return value


def _columns(records: _Records) -> tuple[dict[str, object], dict[str, Bools]]:
    """Return what flows moved, by column, and what is wrong with which of them."""
    moved = {}
    for what in ("bytes", "packets"):
        out = records.first(f"initiator_{what}", what, f"total_{what}", f"post_{what}")
        moved[f"{what}_out"] = out
        moved[f"{what}_in"] = records.first(f"responder_{what}", f"back_{what}", f"back_total_{what}")
    event = records.number("event")
    begun = event.known & (event.values == 1)  # nothing was counted yet where a session only begins
    moved = {name: _Numbers(c.values, c.known & ~(begun & (c.values == 0))) for name, c in moved.items()}
    fault = np.zeros(len(begun), np.bool_)
    for column in moved.values():
        fault |= column.known & ((column.values > MOST_BYTES) | (column.values < 0))
    proto = records.number("proto")
    src_port, dst_port = records.ports(proto)
    columns: dict[str, object] = {
        **moved,
        "src_port": src_port,
        "dst_port": dst_port,
        "proto": _words(proto, proto_name),
        "state": _words(event, _EVENTS.get),
    }
    return columns, {"it counts more than any flow moves": fault}


def _words(numbers: _Numbers, name: Callable[[int], str | None]) -> pa.Array:
    """Return names of numbers, null where there is none."""
    values, place = np.unique(numbers.values, return_inverse=True)
    texts = pa.array([name(value) if value >= 0 else None for value in values.tolist()], pa.string())
    return texts.take(pa.array(place, mask=~numbers.known))


class _Records:
    """The records of a pile, and what their datagrams say."""

    def __init__(self, pile: Pile) -> None:
        self._matrix = np.frombuffer(pile.data, np.uint8).reshape(-1, pile.layout.size)
        self._places = {part: (place, length) for part, place, length in pile.layout.parts}
        counts = np.array([seen.records for seen in pile.seen], np.int64)
        self._which = np.repeat(np.arange(len(counts)), counts)
        self.record = self._of(pile, "record")
        self._exported, self._uptime = self._of(pile, "exported"), self._of(pile, "uptime")
        self._exporters = [seen.exporter for seen in pile.seen]
        self.rows = len(self._matrix)

    def _of(self, pile: Pile, name: str) -> Values:
        """Return what the headers say, for each record."""
        return np.array([getattr(seen, name) for seen in pile.seen], np.int64)[self._which]

    def exporter(self, unknown: str) -> pa.Array:
        """Return who told of each record."""
        named = pa.array([exporter or unknown for exporter in self._exporters], pa.string())
        return named.take(pa.array(self._which))

    def raw(self, row: int) -> bytes:
        """Return the bytes of a record."""
        return bytes(self._matrix[row].tobytes()[:RAW_BYTES])

    def number(self, part: str) -> _Numbers:
        """Return a part as numbers; below 0 where it does not fit."""
        place, length = self._places.get(part, (0, 0))
        values = np.zeros(self.rows, np.int64)
        if not 0 < length <= WIDEST:
            return _Numbers(values, np.zeros(self.rows, np.bool_))
        for column in range(place, place + length):
            values = values << 8 | self._matrix[:, column]
        return _Numbers(values, np.ones(self.rows, np.bool_))

    def first(self, *parts: str) -> _Numbers:
        """Return the first of some parts that records have; further ones count the same again."""
        return self.number(next((part for part in parts if self._places.get(part)), parts[0]))

    def address(self, short: str, long: str) -> pa.Array:
        """Return addresses as text: of IPv4, or where there is none or it is 0.0.0.0, of IPv6."""
        narrow, wide = self._narrow(short), self._wide(long)
        if narrow is None or wide is None:
            found = narrow if wide is None else wide
            return pa.nulls(self.rows, pa.string()) if found is None else found
        place = self._places[short][0]
        given = self._matrix[:, place : place + 4].any(axis=1)
        other = self._places[long][0]
        given |= ~self._matrix[:, other : other + 16].any(axis=1)
        return pc.if_else(pa.array(given), narrow, wide)

    def _narrow(self, part: str) -> pa.Array | None:
        """Return IPv4 addresses."""
        if self._places.get(part, (0, 0))[1] != _ADDRESSES[part]:
            return None
        values, place = np.unique(self.number(part).values, return_inverse=True)
        return ipv4_texts(values).take(pa.array(place))

    def _wide(self, part: str) -> pa.Array | None:
        """Return IPv6 addresses."""
        place, length = self._places.get(part, (0, 0))
        if length != _ADDRESSES[part]:
            return None
        packed = np.ascontiguousarray(self._matrix[:, place : place + length]).view("V16").reshape(-1)
        values, which = np.unique(packed, return_inverse=True)
        texts = pa.array([ipv6_text(value.tobytes()) for value in values], pa.string())
        return texts.take(pa.array(which))

    def ports(self, proto: _Numbers) -> tuple[_Numbers, _Numbers]:
        """Return the ports; of ICMP its type and code, which some write into the port of the destination."""
        src, dst = self.number("src_port"), self.number("dst_port")
        icmp = proto.known & np.isin(proto.values, _ICMP)
        in_port = _Numbers(dst.values, dst.known & (src.values == 0))
        both = self.number("icmp")
        both = _Numbers(both.values, both.known & ((both.values != 0) | ~dst.known)).otherwise(in_port)
        kind = self.number("icmp_type").otherwise(_Numbers(both.values >> 8, both.known))
        code = self.number("icmp_code").otherwise(_Numbers(both.values & 255, both.known))
        return _chosen(icmp, kind, src), _chosen(icmp, code, dst)

    def times(self, datagrams: Datagrams) -> tuple[Values, Values]:
        """Return start and end of flows [us since 1970]; where records tell neither, both are when they were sent."""
        start, end = self._moment("start"), self._moment("end")
        seen = self._absolute("seen")
        lasted = self.number("lasted_us").otherwise(_scaled(self.number("lasted_ms"), 1000))
        end = end.otherwise(_Numbers(start.values + lasted.values, start.known & lasted.known))
        end = end.otherwise(seen)
        start = start.otherwise(_Numbers(end.values - lasted.values, end.known & lasted.known))
        told = start.known | end.known
        if not told.all():
            datagrams.count("records_without_times", int((~told).sum()))
        sent = _Numbers(self._exported, np.ones(self.rows, np.bool_))
        first = start.otherwise(end).otherwise(sent).values
        return first, end.otherwise(start).otherwise(sent).values

    def _moment(self, which: str) -> _Numbers:
        """Return one end of flows, as precisely as records tell it."""
        found = self._absolute(which)
        since_boot = self.number(f"{which}_up")
        boot = self.number("boot_ms")
        by_boot = _Numbers((boot.values + since_boot.values) * 1000, boot.known & since_boot.known)
        # The clock since boot wraps around after 49 days: what counts is how long ago it was, at most half of that.
        ago = (self._uptime - since_boot.values + (1 << 31) & 0xFFFF_FFFF) - (1 << 31)
        by_uptime = _Numbers(self._exported - ago * 1000, since_boot.known & (self._uptime >= 0))
        before = self.number(f"{which}_ago")
        by_age = _Numbers(self._exported - before.values, before.known)
        return found.otherwise(by_boot).otherwise(by_uptime).otherwise(by_age)

    def _absolute(self, which: str) -> _Numbers:
        """Return times that records tell in full."""
        ntp = self.number(f"{which}_ntp")
        seconds, part = (ntp.values >> 32 & 0xFFFF_FFFF) - NTP, ntp.values & 0xFFFF_FFFF
        found = _Numbers(seconds * 1_000_000 + (part * 1_000_000 >> 32), ntp.known)
        found = found.otherwise(_scaled(self.number(f"{which}_ms"), 1000))
        return found.otherwise(_scaled(self.number(f"{which}_s"), 1_000_000))


def _chosen(where: Bools, first: _Numbers, second: _Numbers) -> _Numbers:
    """Return one column where the first says, as far as it is known, and another elsewhere."""
    return _Numbers(first.values, first.known & where).otherwise(second)


def _scaled(numbers: _Numbers, factor: int) -> _Numbers:
    """Return numbers times a factor; one too large to be one stays as large as it can be."""
    return _Numbers(np.clip(numbers.values, -1, (1 << 62) // factor) * factor, numbers.known)
