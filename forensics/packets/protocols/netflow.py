"""Datagrams of NetFlow v5, v9 and IPFIX: headers, templates, and the records of data as bytes of known layout.

Example::

    datagrams = Datagrams()
    datagrams.take(payload, "192.0.2.1", 17)
    for pile in datagrams.piles():
        ...

A record is not read by itself: records of equal layout are piled up, to be read a column at a time. A template holds
for the exporter and domain that sent it. Data that comes before its template waits for it.

References
----------
.. [1] Cisco, *NetFlow Export Datagram Format*, version 5.
.. [2] RFC 3954, *Cisco Systems NetFlow Services Export Version 9*.
.. [3] RFC 7011, *Specification of the IPFIX Protocol for the Exchange of Flow Information*.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from struct import Struct, unpack_from
from typing import TYPE_CHECKING, NamedTuple

from forensics.packets.protocols.netflow_fields import V5, V5_RECORD
from forensics.packets.protocols.netflow_sequences import Mark, Numbers, Stream
from forensics.packets.protocols.netflow_templates import FIRST_DATA_SET, Layout, packed_records, templates_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.packets.protocols.netflow_sequences import Break
    from forensics.packets.protocols.netflow_templates import Template

__all__ = ["MAX_DATAGRAM", "Datagrams", "Pile", "Seen", "datagram_end"]

MAX_DATAGRAM = 65_535
"""[B]"""

V5_MOST = 30
"""Most records in a datagram of v5; Cisco allows as many."""

MOST_DOMAINS = 4096
MOST_TEMPLATES = 4096
"""Of one domain. Beyond these limits the oldest is forgotten, so that hostile exports cannot fill the memory."""

MOST_WAITING = 4 << 20
"""Data that waits for templates. [B]"""

_V5 = Struct(">HHIIIIBBH")
_V9 = Struct(">HHIIII")
_IPFIX = Struct(">HHIII")
_HEADERS = {5: _V5, 9: _V9, 10: _IPFIX}
_TEMPLATES = {9: (0, 1), 10: (2, 3)}
"""By version, the ids of sets of templates and of options templates."""


class Seen(NamedTuple):
    """What the header of a datagram says of its records.

    Parameters
    ----------
    records
        How many of its records follow each other here.
    record
        Number of the datagram, or of the packet that it came in.
    exporter
        Who sent it; None where that is not known.
    exported
        When, by the exporter's clock. [us since 1970]
    uptime
        How long the exporter was up; -1 where it does not say. [ms]
    """

    records: int
    record: int
    exporter: str | None
    exported: int
    uptime: int


class Pile(NamedTuple):
    """Records of one layout, end to end."""

    layout: Layout
    data: bytes
    seen: list[Seen]


@dataclass(slots=True)
class _Domain:
    """What is known of one stream of datagrams."""

    templates: OrderedDict[int, Template] = field(default_factory=OrderedDict)
    waiting: list[tuple[int, Seen, bytes]] = field(default_factory=list)


_V5_LAYOUT = Layout(V5, V5_RECORD)


def datagram_end(data: bytes, at: int, *, whole: bool) -> int:
    """Return where the datagram that begins at a place ends; 0 where none begins there, -1 where bytes are missing.

    Parameters
    ----------
    data
        Datagrams end to end.
    at
        The place.
    whole
        Whether nothing follows the data: what is missing then never comes.
    """
    left = len(data) - at
    if left < 20:
        return 0 if whole or (left >= 2 and unpack_from(">H", data, at)[0] not in _HEADERS) else -1
    version, number = unpack_from(">HH", data, at)
    if version == 5:
        size = _V5.size + V5_RECORD * number
        end = at + size if 0 < number <= V5_MOST else 0
    elif version == 10:
        end = at + number if number >= _IPFIX.size and _sets_fit(data, at + _IPFIX.size, at + number) else 0
    elif version == 9:
        return _v9_end(data, at + _V9.size, at, whole=whole)
    else:
        return 0
    return (0 if whole else -1) if end > len(data) else end


def _sets_fit(data: bytes, at: int, end: int) -> bool:
    """Tell whether sets follow each other up to an end, as far as the data goes."""
    while at + 4 <= min(end, len(data)):
        number, size = unpack_from(">HH", data, at)
        if not number and not any(data[at:end]):
            return True
        if size < 4 or at + size > end or not (number in (2, 3) or number >= FIRST_DATA_SET):
            return False
        at += size
    return at <= end


def _v9_end(data: bytes, at: int, begin: int, *, whole: bool) -> int:
    """Return where a datagram of v9 ends, which does not say its length: where no set begins any more."""
    while True:
        if at - begin > MAX_DATAGRAM:
            return 0
        if at + 4 > len(data):
            rest_is_padding = not any(data[at:])
            return (len(data) if rest_is_padding else 0) if whole else -1
        number, size = unpack_from(">HH", data, at)
        if number == 0 and size == 0:
            at += 4  # padding up to a whole packet
        elif number in (0, 1) or number >= FIRST_DATA_SET:
            if size < 4:
                return 0
            at += size
            if at > len(data):
                return 0 if whole else -1
        else:
            return at if number in _HEADERS else 0


class Datagrams:
    """Takes datagrams in, and piles up their records.

    Attributes
    ----------
    counts
        What was met, by kind: for the notes of the file.
    numbers
        What the sequence numbers say of datagrams that never came.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.numbers = Numbers()
        self.records = 0
        self._domains: OrderedDict[Stream, _Domain] = OrderedDict()
        self._piles: dict[Layout, tuple[list[bytes], list[Seen]]] = {}
        self._held = 0

    def count(self, key: str, number: int = 1) -> None:
        """Count something worth telling."""
        self.counts[key] = self.counts.get(key, 0) + number

    def take(self, data: bytes, exporter: str | None, record: int) -> bool:
        """Take in one datagram; tell whether it is one.

        Parameters
        ----------
        data
            All of its bytes.
        exporter
            Address that it came from; None where that is not known.
        record
            Its number.
        """
        if datagram_end(data, 0, whole=True) == 0:
            return False
        version = unpack_from(">H", data)[0]
        if version == 5:
            self._take_v5(data, exporter, record)
        else:
            self._take_sets(version, data, exporter, record)
        return True

    def piles(self) -> Iterator[Pile]:
        """Yield the records that were piled up, and begin anew."""
        piles, self._piles, self.records = self._piles, {}, 0
        for layout, (data, seen) in piles.items():
            yield Pile(layout, b"".join(data), seen)

    def unread(self) -> Iterator[tuple[int, str, bytes]]:
        """Yield number, reason and bytes of the data whose template never came, and forget them."""
        for (_, version, number), domain in self._domains.items():
            for set_id, seen, data in domain.waiting:
                yield seen.record, f"template {set_id} of domain {number} (version {version}) never came", data
            domain.waiting.clear()
        self._held = 0

    def breaks(self) -> list[Break]:
        """Return what never came, once all was taken in, and count it."""
        breaks = self.numbers.breaks()
        numbers = self.numbers
        met = {"sequence_breaks": numbers.broken, "lost_before_breaks": numbers.missing}
        for key, number in (met | {"out_of_sequence": numbers.out_of_sequence}).items():
            if number:
                self.count(key, number)
        return breaks

    def _domain(self, key: Stream) -> _Domain:
        """Return what is known of a stream."""
        domain = self._domains.get(key)
        if domain is None:
            domain = self._domains[key] = _Domain()
            if len(self._domains) > MOST_DOMAINS:
                _, oldest = self._domains.popitem(last=False)
                self._held -= sum(len(data) for _, _, data in oldest.waiting)
                self.count("sets_without_template", len(oldest.waiting))
        return domain

    def _put(self, layout: Layout, data: bytes, seen: Seen) -> None:
        """Pile records up."""
        pile = self._piles.setdefault(layout, ([], []))
        pile[0].append(data)
        pile[1].append(seen)
        self.records += seen.records

    def _follow(self, stream: Stream, seen: Seen, sequence: int, count: int | None) -> None:
        """Take in the sequence number of a datagram."""
        boot = (seen.exported // 1000 - seen.uptime) % (1 << 32) if seen.uptime > 0 else None
        self.numbers.follow(stream, Mark(sequence, count, seen.exported, boot, seen.record))

    def _take_v5(self, data: bytes, exporter: str | None, record: int) -> None:
        """Take in a datagram of version 5."""
        _, count, uptime, seconds, nanoseconds, sequence, kind, engine, sampling = _V5.unpack_from(data)
        self.count("version_5")
        self.count("flow_records", count)
        if sampling & 0x3FFF > 1:
            self.sampled(sampling & 0x3FFF)
        seen = Seen(count, record, exporter, seconds * 1_000_000 + nanoseconds // 1000, uptime)
        self._follow(Stream(exporter, 5, kind << 8 | engine), seen, sequence, count)
        self._put(_V5_LAYOUT, data[_V5.size : _V5.size + count * V5_RECORD], seen)

    def sampled(self, interval: int) -> None:
        """Note that only one packet in so many was looked at."""
        self.counts["sampled_one_in"] = max(interval, self.counts.get("sampled_one_in", 0))

    def _take_sets(self, version: int, data: bytes, exporter: str | None, record: int) -> None:
        """Take in a datagram of version 9 or IPFIX."""
        uptime = -1
        if version == 9:
            _, _, uptime, seconds, sequence, number = _V9.unpack_from(data)
            at, end = _V9.size, len(data)
        else:
            _, end, seconds, sequence, number = _IPFIX.unpack_from(data)
            at = _IPFIX.size
        self.count(f"version_{version}")
        stream = Stream(exporter, version, number)
        domain = self._domain(stream)
        seen = Seen(0, record, exporter, seconds * 1_000_000, uptime)
        records: int | None = 0
        for set_id, content in _sets(data, at, end):
            if set_id in _TEMPLATES[version]:
                self._learn(domain, version, content, options=set_id == _TEMPLATES[version][1])
            elif set_id >= FIRST_DATA_SET:
                count = self._data(domain, set_id, content, seen)
                records = None if count is None or records is None else records + count
        self._follow(stream, seen, sequence, 1 if version == 9 else records)

    def _learn(self, domain: _Domain, version: int, data: bytes, *, options: bool) -> None:
        """Take in a set of templates."""
        try:
            for number, template in templates_of(data, version, options=options):
                self._remember(domain, number, template)
        except ValueError:
            self.count("unreadable_templates")

    def _remember(self, domain: _Domain, number: int, template: Template | None) -> None:
        """Take in a template, or that it is withdrawn, and read what waited for it."""
        domain.templates.pop(number, None)
        if template is None:
            return
        domain.templates[number] = template
        if len(domain.templates) > MOST_TEMPLATES:
            domain.templates.popitem(last=False)
        ready = [entry for entry in domain.waiting if entry[0] == number]
        domain.waiting = [entry for entry in domain.waiting if entry[0] != number]
        for _, seen, content in ready:
            self._held -= len(content)
            self.count("sets_before_their_template")
            self._data(domain, number, content, seen)

    def _data(self, domain: _Domain, set_id: int, data: bytes, seen: Seen) -> int | None:
        """Pile up the records of a set; return how many they are, None where that is not known yet."""
        template = domain.templates.get(set_id)
        if template is None:
            if self._held + len(data) > MOST_WAITING:
                self.count("sets_without_template")
            else:
                self._held += len(data)
                domain.waiting.append((set_id, seen, data))
            return None
        if template.lengths:
            packed = list(packed_records(data, template))
            count, data = len(packed), b"".join(packed)
        else:
            count = len(data) // template.layout.size
            data = data[: count * template.layout.size]
        if count:
            self.count("option_records" if template.layout.options else "flow_records", count)
            if template.layout.parts:
                self._put(template.layout, data, seen._replace(records=count))
        return count


def _sets(data: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield id and content of each set."""
    while at + 4 <= end:
        number, size = unpack_from(">HH", data, at)
        if size < 4:  # padding
            break
        yield number, data[at + 4 : at + size]
        at += size
