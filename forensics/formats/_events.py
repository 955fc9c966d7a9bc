"""Events of Windows that tell of connections and of names, whatever form they were exported in.

Example: ``EventRows(evidence).add(event)`` puts a connection of Sysmon into ``flows``.

A reader of one form makes an `Event` of each record: where it came from, which event it is, and its fields by one name
for all forms (`canonical`). What an event means is said here, once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from forensics.formats._hosts import address_of, name_of
from forensics.formats._sheet import finish
from forensics.formats._tally import Tally
from forensics.formats._times import LATEST, iso_us
from forensics.protocols import proto_of
from forensics.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pyarrow as pa

    from forensics.formats import Evidence

__all__ = ["Damage", "Event", "EventRows", "UnreadableError", "canonical", "fields_of_message", "is_wanted"]

LONGEST = 256
"""Longest name of a program or provider in the notes. [characters]"""

_SYSMON, _SECURITY = "Sysmon", "Security"
_CONNECTIONS = {(_SYSMON, 3), (_SECURITY, 5156), (_SECURITY, 5157)}
_QUERY = (_SYSMON, 22)

_INBOUND = dict.fromkeys(("%%14592", "inbound", "着信", "受信", "eingehend"), True)
_OUTBOUND = dict.fromkeys(("%%14593", "outbound", "送信", "ausgehend"), False)
_DIRECTIONS = _INBOUND | _OUTBOUND

_NAMES = {
    "sourceaddress": "sourceip", "ソースアドレス": "sourceip", "送信元アドレス": "sourceip", "quelladresse": "sourceip",
    "ソースポート": "sourceport", "送信元ポート": "sourceport", "quellport": "sourceport",
    "destaddress": "destinationip", "destinationaddress": "destinationip", "宛先アドレス": "destinationip",
    "送信先アドレス": "destinationip", "zieladresse": "destinationip",
    "destport": "destinationport", "宛先ポート": "destinationport", "送信先ポート": "destinationport",
    "zielport": "destinationport",
    "プロトコル": "protocol", "protokoll": "protocol", "方向": "direction", "richtung": "direction",
    "applicationname": "application", "アプリケーション名": "application", "anwendungsname": "application",
}  # fmt: skip
"""Our name of a field by what it is called in events and in the messages of English, Japanese and German Windows."""

_ALIAS = re.compile(r"type:\s*\d+\s")
_BLANKS = re.compile(r"\s+")


class UnreadableError(ValueError):
    """An event that cannot be read; the message says why."""


class Event(NamedTuple):
    """One event.

    Parameters
    ----------
    number
        Its place in the file.
    provider
        Who logged it, as written.
    id
        Its number, which has a meaning for its provider alone.
    when
        Tells the time that Windows gave it, in microseconds since 1970, or raises `UnreadableError`. It is asked only
        where the event itself has no other.
    data
        Its fields by their `canonical` names; of an event that is not wanted none.
    raw
        Its bytes, for rejects.
    """

    number: int
    provider: str
    id: int
    when: Callable[[], int]
    data: Mapping[str, str]
    raw: bytes


class Damage(NamedTuple):
    """A part of a file that is no event.

    Parameters
    ----------
    number
        Its place in the file, if it has one.
    reason
        What is wrong.
    raw
        How it begins.
    """

    number: int | None
    reason: str
    raw: bytes


def canonical(name: str) -> str:
    """Return the name by which a field goes here.

    Examples
    --------
    >>> canonical("SourceAddress"), canonical("Destination Port"), canonical("宛先アドレス")
    ('sourceip', 'destinationport', 'destinationip')
    """
    bare = _BLANKS.sub("", name).casefold()
    return _NAMES.get(bare, bare)


def fields_of_message(message: str) -> dict[str, str]:
    """Return the fields of an event's message as it is shown: lines of ``name: value``, the first of a name counts."""
    fields: dict[str, str] = {}
    for line in message.splitlines():
        name, colon, value = line.replace("\uff1a", ":", 1).partition(":")
        if colon and len(name) <= LONGEST:
            fields.setdefault(canonical(name), value.strip())
    return fields


def is_wanted(provider: str, event: int) -> bool:
    """Tell whether an event gives rows; of others only the number is counted."""
    key = (_provider(provider), event)
    return key in _CONNECTIONS or key == _QUERY


def _provider(text: str) -> str:
    """Return the short name of a provider."""
    folded = text.casefold()
    if "sysmon" in folded:
        return _SYSMON
    return _SECURITY if "security" in folded and "audit" in folded else text[:LONGEST]


class EventRows:
    """Rows made of the events of one file, and what is to be told about it.

    Parameters
    ----------
    evidence
        The file.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence, self._rows = evidence, Rows()
        self._events, self._programs = Tally(), Tally()
        self._records = self._rejected = self._inbound = 0
        self._first: tuple[int | None, str] | None = None

    def batches(self, found: Iterable[Event | Damage], name: str) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield what becomes of events; notes are complete at the end, also at that of a damaged file.

        Raises
        ------
        forensics.errors.EvidenceError
            The file has records, and none of them could be read.
        """
        try:
            for one in found:
                self._records += 1
                if isinstance(one, Event):
                    self._add(one)
                else:
                    self._reject(*one)
                if self._rows.full:
                    yield from self._rows.drain()
        except Exception:
            yield from self._rows.drain()
            raise
        finally:
            self._tell()
        yield from self._rows.drain()
        finish(self._evidence, name, self._records - self._rejected, self._first)

    def _add(self, event: Event) -> None:
        """Take one event."""
        key = (_provider(event.provider), event.id)
        self._events.add(f"{key[0]} {event.id}")
        try:
            if key in _CONNECTIONS:
                self._connection(event, key[1])
            elif key == _QUERY:
                self._query(event)
        except UnreadableError as error:
            self._reject(event.number, str(error), event.raw)

    def _reject(self, number: int | None, reason: str, raw: bytes) -> None:
        self._rows.reject(self._evidence.source, number, reason, raw)
        self._rejected += 1
        self._first = self._first or (number, reason)

    def _connection(self, event: Event, number: int) -> None:
        """Put a connection into ``flows``."""
        data, time = event.data, _time(event)
        proto = _proto(data)
        src, src_port = _end(data, "source")
        dst, dst_port = _end(data, "destination")
        state = {5156: "allowed", 5157: "blocked"}.get(number)
        if state and _inbound(data):  # the filtering platform calls its own end the source
            self._inbound += 1
            src, dst = dst, src
            if proto not in ("icmp", "icmp6"):  # there the two numbers are type and code
                src_port, dst_port = dst_port, src_port
        if src is None:
            raise UnreadableError("source is missing")
        self._inbound += _value(data, "initiated").casefold() == "false"
        self._rows.add(
            "flows", start=time, end=time, src=src, src_port=src_port, dst=dst, dst_port=dst_port, proto=proto,
            bytes_kind="ip", state=state, vantage=self._evidence.vantage, source=self._evidence.source,
            record=event.number,
        )  # fmt: skip
        if program := _value(data, "image") or _value(data, "application"):
            self._programs.add(program[:LONGEST])

    def _query(self, event: Event) -> None:
        """Put a question to DNS into ``names``: a row for each address that was the answer."""
        name, time = name_of(_value(event.data, "queryname")), _time(event)
        if name is None:
            raise UnreadableError("the query has no name that could be one")
        parts = (part.strip() for part in _value(event.data, "queryresults").split(";"))
        found = dict.fromkeys(address_of(part) for part in parts if part and not _ALIAS.match(part))
        found.pop(None, None)
        for address in found or {None: None}:
            self._rows.add(
                "names", time=time, address=address, name=name, how="dns", source=self._evidence.source,
                record=event.number,
            )  # fmt: skip

    def _tell(self) -> None:
        """Complete the notes of the file."""
        notes = self._evidence.notes
        notes["records"] = self._records
        notes["events"] = self._events.told()
        if programs := self._programs.told():
            notes["programs"] = programs
        if self._inbound:
            notes["inbound"] = self._inbound


def _value(data: Mapping[str, str], name: str) -> str:
    """Return a field, empty where the event has none."""
    text = data.get(name, "").strip()
    return "" if text == "-" else text


def _time(event: Event) -> int:
    """Return when it happened: the event's own ``UtcTime``, else when Windows logged it. [us]"""
    own = _value(event.data, "utctime")
    try:
        time = iso_us(f"{own}+00:00") if own else None
    except ValueError:
        raise UnreadableError("its time is not one of its format") from None
    time = event.when() if time is None else time
    if not 0 <= time <= LATEST * 1_000_000:
        raise UnreadableError("its time is none that a log can hold")
    return time


def _end(data: Mapping[str, str], side: str) -> tuple[str | None, int | None]:
    """Return address and port of one end of a connection."""
    text, port = _value(data, f"{side}ip"), _value(data, f"{side}port")
    address = address_of(text) if text else None
    if text and address is None:
        raise UnreadableError(f"{side} is not an address")
    if port and not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 65536):
        raise UnreadableError(f"{side} port is not a port")
    return address, int(port) if port else None


def _proto(data: Mapping[str, str]) -> str | None:
    """Return the transport protocol; Sysmon names it, the filtering platform has its number."""
    text = _value(data, "protocol")
    proto = proto_of(text[:LONGEST])
    if text and proto is None:
        raise UnreadableError("protocol is not one of IP")
    return proto


def _inbound(data: Mapping[str, str]) -> bool:
    """Tell whether the other end began the connection."""
    direction = _value(data, "direction").casefold()
    if direction not in _DIRECTIONS:
        raise UnreadableError("its direction is neither inbound nor outbound")
    return _DIRECTIONS[direction]
