"""Sequence numbers of NetFlow and IPFIX: what exporters sent and the collector never got.

Example::

    numbers = Numbers()
    numbers.follow(Stream("192.0.2.1", 5, 0), Mark(sequence=0, step=30, exported=now, boot=None, record=1))
    for found in numbers.breaks():
        ...

Versions count differently: flows (5), datagrams (9), data records (IPFIX). Datagrams that come late or twice lose
nothing, nor does an exporter that begins anew. Those that boot at other times are kept apart even where nothing else
tells them apart, as in files, which do not say who sent a datagram.

References
----------
.. [1] RFC 3954, *Cisco Systems NetFlow Services Export Version 9*, section 5.1.
.. [2] RFC 7011, *Specification of the IPFIX Protocol for the Exchange of Flow Information*, section 3.1.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Break", "Mark", "Numbers", "Stream"]

MOST_STREAMS = 4096
"""Streams that are followed; beyond, the one that was silent for longest is forgotten."""

MOST_BOOTS = 4
"""Exporters of a stream that are told apart by when they booted."""

MOST_OPEN = 16
"""Holes of a stream that a late datagram may still fill."""

MOST_TOLD = 1000
"""Breaks that are told one by one; a hostile file may hold millions."""

SAME_BOOT = 5_000
"""Two datagrams of one exporter give the same time of its boot, but for as much. [ms]"""

LATE = 1_000_000
"""A datagram may be stamped this much later than one that was numbered behind it: clocks of seconds. [us]"""

FARTHEST = 1 << 28
"""More than this is never missing: the numbers began anew, or are another exporter's."""

FEW = 8
"""With fewer breaks than this no stream is suspected of counting otherwise."""

_MODULUS = 1 << 32
_UNITS = {5: "flows", 9: "datagrams", 10: "data records"}
_STREAMS = {5: "engine", 9: "source", 10: "domain"}


class Stream(NamedTuple):
    """Who numbers: exporter (None where not known), version, and source, engine or domain."""

    exporter: str | None
    version: int
    domain: int

    @property
    def words(self) -> str:
        """How to speak of it."""
        named = f"{_STREAMS[self.version]} {self.domain} (version {self.version})"
        return f"{named} of {self.exporter}" if self.exporter else named


class Mark(NamedTuple):
    """What a datagram says of its place in a stream.

    Parameters
    ----------
    sequence
        Its number.
    step
        How far it counts on; None where that is not known.
    exported
        When it was sent. [us since 1970]
    boot
        When its exporter booted; None where it does not say. [ms since 1970, modulo 2**32]
    record
        Number of the datagram or packet.
    """

    sequence: int
    step: int | None
    exported: int
    boot: int | None
    record: int


class Break(NamedTuple):
    """What never came: between which times [us since 1970], in words, and the number of what came behind it."""

    start: int | None
    end: int | None
    reason: str
    record: int | None


class _Hole(NamedTuple):
    """Numbers that are missing, from ``first`` on, and the datagrams before and behind them."""

    first: int
    missing: int
    start: int
    end: int
    record: int

    def without(self, mark: Mark) -> list[_Hole]:
        """Return what is left of it once a late datagram has come."""
        offset = (mark.sequence - self.first) % _MODULUS
        after = self.missing if mark.step is None else min(self.missing, offset + max(mark.step, 1))
        left = self._replace(missing=offset)
        right = self._replace(first=(self.first + after) % _MODULUS, missing=self.missing - after)
        return [hole for hole in (left, right) if hole.missing]


@dataclass(slots=True)
class _Track:
    """One numbering: what comes next in it, and what is missing from it."""

    boot: int | None
    expected: int | None = None
    other: int | None = None
    exported: int = -(2**62)
    datagrams: int = 0
    broken: int = 0
    missing: int = 0
    holes: list[_Hole] = field(default_factory=list)

    @property
    def counts_otherwise(self) -> bool:
        """Whether so many of its datagrams do not follow each other that its numbers may count something else."""
        return self.broken >= FEW and self.broken * 2 > self.datagrams

    def follow(self, mark: Mark) -> bool:
        """Take the next datagram in; tell whether it is out of sequence."""
        self.datagrams += 1
        lawful = self.expected is None or mark.sequence == self.expected
        if not lawful and mark.sequence == self.other:
            # The second in a row with numbers of its own: they began anew, or two exporters look like one.
            self.other, lawful = self.expected, True
        if not lawful and self._fills(mark):
            return True
        following = None if mark.step is None else (mark.sequence + mark.step) % _MODULUS
        if not lawful and not self._ahead(mark):
            self.other = following
            return True
        self.expected, self.exported = following, max(self.exported, mark.exported)
        return False

    def _fills(self, mark: Mark) -> bool:
        """Tell whether a datagram is a late one, and take it out of what is missing."""
        for place, hole in enumerate(self.holes):
            if (mark.sequence - hole.first) % _MODULUS < hole.missing:
                late = mark.exported <= hole.end + LATE
                # What was sent after the datagram behind the hole cannot have been sent before it: there is no hole.
                self.holes[place : place + 1] = hole.without(mark) if late else []
                return late
        return False

    def _ahead(self, mark: Mark) -> bool:
        """Tell whether numbers are missing before a datagram, and keep them."""
        missing = (mark.sequence - (self.expected or 0)) % _MODULUS
        if missing >= FARTHEST or mark.exported + LATE < self.exported:
            return False
        self.holes.append(_Hole(self.expected or 0, missing, self.exported, mark.exported, mark.record))
        return True


class Numbers:
    """Follows the sequence numbers of all streams of an evidence file.

    Attributes
    ----------
    out_of_sequence
        Datagrams that came late or twice, or began anew.
    missing
        What is missing, all units together; known once `breaks` were asked for.
    broken
        In how many places something is missing; known then as well.
    """

    def __init__(self) -> None:
        self.out_of_sequence = 0
        self.missing = 0
        self.broken = 0
        self._streams: OrderedDict[Stream, list[_Track]] = OrderedDict()
        self._told: list[tuple[Stream, _Track, _Hole]] = []

    def follow(self, stream: Stream, mark: Mark) -> None:
        """Take in what a datagram says of its place.

        Parameters
        ----------
        stream
            Whose numbers they are.
        mark
            Its place.
        """
        tracks = self._streams.setdefault(stream, [])
        self._streams.move_to_end(stream)
        if len(self._streams) > MOST_STREAMS:
            self._close(*self._streams.popitem(last=False))
        track = next((track for track in tracks if _same_boot(track.boot, mark.boot)), None)
        if track is None:
            track = _Track(mark.boot)
            tracks.append(track)
            self._close(stream, tracks[:-MOST_BOOTS])
            del tracks[:-MOST_BOOTS]
        self.out_of_sequence += track.follow(mark)
        track.boot = mark.boot
        self._close(stream, [track], but=MOST_OPEN)

    def breaks(self) -> list[Break]:
        """Return what is missing once all was read."""
        for stream, tracks in self._streams.items():
            self._close(stream, tracks)
        found, others, told = [], dict[int, _Track](), [0, 0]
        for stream, track, hole in self._told:
            if track.counts_otherwise and id(track) in others:
                continue
            if track.counts_otherwise:
                others[id(track)] = track
            told[0] += track.broken if track.counts_otherwise else 1
            told[1] += track.missing if track.counts_otherwise else hole.missing
            found.append(_break(stream, track, hole))
        if self.broken > told[0]:
            missing = f"{self.missing - told[1]:,} flows, datagrams or data records are missing"
            found.append(Break(None, None, f"{missing} in {self.broken - told[0]:,} further places", None))
        return found

    def _close(self, stream: Stream, tracks: list[_Track], but: int = 0) -> None:
        """Count the holes that nothing fills any more: all but the latest ones."""
        for track in tracks:
            while len(track.holes) > but:
                hole = track.holes.pop(0)
                track.broken, track.missing = track.broken + 1, track.missing + hole.missing
                self.broken, self.missing = self.broken + 1, self.missing + hole.missing
                if len(self._told) < MOST_TOLD:
                    self._told.append((stream, track, hole))


def _same_boot(one: int | None, other: int | None) -> bool:
    """Tell whether two times of a boot are of one."""
    if one is None or other is None:
        return one is other
    return min((one - other) % _MODULUS, (other - one) % _MODULUS) <= SAME_BOOT


def _break(stream: Stream, track: _Track, hole: _Hole) -> Break:
    """Return a hole in words; of a numbering that is more holes than numbers, one for all of them."""
    if track.counts_otherwise:
        reason = (
            f"{track.broken:,} of {track.datagrams:,} datagrams of {stream.words} do not follow the one before: "
            f"{track.missing:,} {_UNITS[stream.version]} are missing, or its numbers count something else"
        )
        return Break(hole.start, track.exported, reason, hole.record)
    reason = f"{hole.missing:,} {_UNITS[stream.version]} of {stream.words} are missing: their numbers never came"
    return Break(hole.start, hole.end, reason, hole.record)
