"""What several places saw of two hosts is one edge: the bytes of one place, and beside them what the others saw.

A *sight* is what one vantage saw of a client and a server, in bytes of one kind. Files of one vantage that follow each
other in time are parts of one sight. Files and sights that overlap in time saw the same connections, so that only those
of the sight that saw most count; one of another time is added, where its bytes are of the same kind. Times are compared
by the reference clock (`forensics.clocks`).

Sights that saw the same time may differ. What kinds of bytes, retransmissions and a proxy's own headers make is
expected, and follows from the number of bytes; more than that is told in words. Nothing is averaged.

When it misleads
----------------
Two sensors that share the traffic between them, under one vantage or two, look like two that saw the same: the smaller
one's bytes are then not counted, but stand in ``seen_by``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from forensics.addresses import address_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from forensics.clocks import Clocks

__all__ = ["EPOCH", "by_reference", "explained", "merge", "to_reference", "total"]

SLACK = timedelta(seconds=2)
"""Sensors that are compared by corrected clocks still differ by so much."""

SEAM = 0.1
"""Share of the shorter time by which parts of one log may overlap where one follows the other. [1]"""

NEAR = timedelta(minutes=1)
"""Two sights saw the same time where their ends differ by no more than that."""

KINDS = ("application", "payload", "ip", "frame")
"""Kinds of bytes: each counts what those before it count, and more."""

HEADERS, LEAST_SEGMENT, OPENING = 90, 536, 12
"""Most header bytes of a packet [B], least payload of a full segment (RFC 9293, section 3.7.1) [B], and packets of a
connection that carry none."""

CHANGED, CHANGED_SHARE = 1500, 0.05
"""Bytes that a proxy's own headers add to a request or take away [B], and the share that is sent twice. [1]"""

Row = dict[str, Any]

EPOCH = datetime.fromtimestamp(0, UTC)
"""What whole microseconds count from."""


@dataclass
class _Sight:
    """What one vantage saw, in bytes of one kind; of a gateway's connections only those that are the client's."""

    vantage: str
    bytes_kind: str
    gateway: str | None
    rows: list[Row] = field(default_factory=list)

    @property
    def start(self) -> datetime:
        first: datetime = min(row["corrected_start"] for row in self.rows)
        return first

    @property
    def end(self) -> datetime:
        last: datetime = max(row["corrected_end"] for row in self.rows)
        return last

    @property
    def bytes(self) -> Row:
        return total(self.rows)

    @property
    def connections(self) -> int:
        return sum(row["connections"] for row in self.rows)

    @property
    def through(self) -> set[str]:
        return {via for row in self.rows if (via := row["via"])}

    @property
    def rank(self) -> tuple[object, ...]:
        """What puts sights in order: the client's own before a gateway's, then those that saw most."""
        found = self.bytes
        most = (-(found["bytes_out"] or 0), -(found["bytes_in"] or 0))
        return (self.gateway is not None, *most, self.vantage, self.bytes_kind, self.rows[0]["source"])

    def told(self, *, counted: bool) -> Row:
        """Return it as the edge has it; its times are those of the evidence."""
        offsets = {row["source"]: row["clock_offset"] for row in self.rows}
        joined: Counter[str] = sum((Counter(row["joined"]) for row in self.rows if self.gateway), Counter())
        return {
            "vantage": self.vantage,
            "bytes_kind": self.bytes_kind,
            **self.bytes,
            "connections": self.connections,
            "start": min(row["start"] for row in self.rows),
            "end": max(row["end"] for row in self.rows),
            "sources": sorted(offsets),
            "clock_offsets": [offsets[source] for source in sorted(offsets)],
            "counted": counted,
            "gateway": self.gateway,
            "joined": dict(sorted(joined.items())),
        }


def to_reference(clocks: Clocks, source: str, time: datetime) -> datetime:
    """Return a time of a source as the reference clock has it."""
    micros = (time - EPOCH) // timedelta(microseconds=1)
    return time + timedelta(microseconds=clocks.moment(source, micros) - micros)


def by_reference(rows: Iterable[Row], clocks: Clocks) -> list[Row]:
    """Return rows with ``corrected_start`` and ``corrected_end`` beside their times, and their ``clock_offset``."""
    return [
        row
        | {f"corrected_{name}": to_reference(clocks, row["source"], row[name]) for name in ("start", "end")}
        | {"clock_offset": clocks.main_offset(row["source"])}
        for row in rows
    ]


def total(rows: Iterable[Mapping[str, Any]]) -> Row:
    """Return the sum of bytes of one kind seen at one place; a direction that no row observed stays None."""
    found: Row = {"bytes_out": None, "bytes_in": None}
    for row in rows:
        for direction in found:
            if row[direction] is not None:
                found[direction] = (found[direction] or 0) + row[direction]
    return found


def merge(rows: Sequence[Row]) -> Row:
    """Return the attributes of an edge that say what was seen of it, and where.

    Parameters
    ----------
    rows
        What each file saw of the pair, as `by_reference` gives it: ``vantage``, ``bytes_kind``, ``source``, ``via``,
        ``start``, ``end``, ``bytes_out``, ``bytes_in``, ``connections``; of connections of a gateway also ``gateway``
        and ``joined``.

    Returns
    -------
    dict
        ``start``, ``end`` (by the reference clock), ``bytes_out``, ``bytes_in`` [B], ``bytes_kind``, ``connections``,
        ``counted_at`` (the vantages whose figures these are), ``seen_by`` (all sights, with the times as recorded)
        and ``differences``, sentences.
    """
    sights = sorted(_sights(rows), key=lambda sight: sight.rank)
    first = sights[0]
    counted = [first]
    for sight in sights[1:]:
        same_kind = sight.bytes_kind == first.bytes_kind and sight.gateway == first.gateway
        if same_kind and all(_disjoint(sight, other) for other in counted):
            counted.append(sight)
    return {
        "start": min(sight.start for sight in sights),
        "end": max(sight.end for sight in sights),
        **total(sight.bytes for sight in counted),
        "bytes_kind": first.bytes_kind,
        "connections": sum(sight.connections for sight in counted),
        "counted_at": sorted({sight.vantage for sight in counted}),
        "seen_by": [sight.told(counted=sight in counted) for sight in sights],
        "differences": [text for sight in sights[1:] if sight not in counted for text in _differences(first, sight)],
    }


def _sights(rows: Sequence[Row]) -> list[_Sight]:
    """Return what each vantage saw: files that follow each other together, files that overlap each by itself."""
    files: defaultdict[tuple[str, str, str | None, str], list[Row]] = defaultdict(list)
    for row in rows:
        files[row["vantage"], row["bytes_kind"], row.get("gateway"), row["source"]].append(row)
    sights: list[_Sight] = []
    single = [_Sight(vantage, kind, gateway, own) for (vantage, kind, gateway, _), own in files.items()]
    for sight in sorted(single, key=lambda one: one.rank):
        same = (sight.vantage, sight.bytes_kind, sight.gateway)
        for other in sights:
            if (other.vantage, other.bytes_kind, other.gateway) == same and _apart(sight, other):
                other.rows += sight.rows
                break
        else:
            sights.append(sight)
    return sights


def _apart(one: _Sight, other: _Sight) -> bool:
    """Tell whether no file of one sight saw the time of a file of the other."""
    return all(_follow(a, b) for a in _spans(one) for b in _spans(other))


def _spans(sight: _Sight) -> list[tuple[datetime, datetime]]:
    files: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sight.rows:
        files[row["source"]].append(row)
    return [
        (min(row["corrected_start"] for row in own) - SLACK, max(row["corrected_end"] for row in own) + SLACK)
        for own in files.values()
    ]


def _follow(a: tuple[datetime, datetime], b: tuple[datetime, datetime]) -> bool:
    """Tell whether one time follows the other."""
    return min(a[1], b[1]) - max(a[0], b[0]) <= SEAM * min(a[1] - a[0], b[1] - b[0])


def _disjoint(one: _Sight, other: _Sight) -> bool:
    """Tell whether two sights have no connection in common: of other times, or through other proxies.

    Proxies that only the name of a log stands for may be one.
    """
    through = one.through | other.through
    known = all(address_text(via) for via in through) and one.through and other.through
    return _apart(one, other) or bool(known and not one.through & other.through)


def _differences(one: _Sight, other: _Sight) -> list[str]:
    """Return where two sights of the same time differ by more than their kinds of bytes explain.

    What a gateway sent for a client is compared with nothing: not all of its connections may have been told.
    """
    apart = max(abs(one.start - other.start), abs(one.end - other.end))
    if apart > NEAR or one.gateway != other.gateway:
        return []
    text = []
    for direction, words in (("bytes_out", "sent"), ("bytes_in", "received")):
        if not explained(_figures(one), _figures(other), direction):
            a, b = (f"{sight.bytes[direction]:,} B ({sight.bytes_kind})" for sight in (one, other))
            text.append(f"{words}: {a} at {one.vantage}, {b} at {other.vantage}: headers do not explain it")
    return text


def _figures(sight: _Sight) -> Row:
    return {**sight.bytes, "bytes_kind": sight.bytes_kind, "connections": sight.connections}


def explained(one: Mapping[str, Any], other: Mapping[str, Any], direction: str) -> bool:
    """Tell whether two counts of the same connections differ by no more than what they count.

    Parameters
    ----------
    one, other
        ``bytes_out``, ``bytes_in``, ``bytes_kind`` and ``connections`` of each.
    direction
        ``bytes_out`` or ``bytes_in``; where one of them did not observe it, there is nothing to explain.

    Examples
    --------
    >>> log = {"bytes_out": 1_000_000, "bytes_in": 500, "bytes_kind": "application", "connections": 1}
    >>> explained(log, {**log, "bytes_out": 1_060_000, "bytes_kind": "ip"}, "bytes_out")
    True
    >>> explained(log, {**log, "bytes_out": 1_900_000, "bytes_kind": "ip"}, "bytes_out")
    False
    """
    if one[direction] is None or other[direction] is None:
        return True
    less, more = sorted((one, other), key=lambda figures: KINDS.index(figures["bytes_kind"]))
    connections = max(one["connections"], other["connections"])
    slack = CHANGED * connections + CHANGED_SHARE * max(one[direction], other[direction])
    if less["bytes_kind"] == more["bytes_kind"]:
        return bool(abs(one[direction] - other[direction]) <= slack)
    carried = sum((less["bytes_out"] or 0, less["bytes_in"] or 0))
    # Each segment is answered by at most one packet.
    headers = HEADERS * (carried / LEAST_SEGMENT + OPENING * connections)
    return bool(-slack <= more[direction] - less[direction] <= slack + headers)
