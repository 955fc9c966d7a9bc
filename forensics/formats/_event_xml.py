"""Events in XML: what the Event Viewer and ``wevtutil`` export, one event after another, with or without a root.

Example: ``<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System>...</System>...</Event>``

Each event is parsed alone, so that a damage costs one event and no declaration of entities can reach the parser.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from forensics.errors import EvidenceError
from forensics.formats._encodings import text_stream
from forensics.formats._events import Damage, Event, UnreadableError, canonical, is_wanted
from forensics.formats._lines import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats import Evidence
    from forensics.formats._event_times import EventTimes

__all__ = ["OPENING", "xml_events"]

CHUNK = 1 << 20
LONGEST = 16 << 20
"""Longest event that is read. [B]"""

OPENING = re.compile(rb"<Event(?=[\s>])")
_CLOSING = b"</Event>"
_BETWEEN = re.compile(rb"(?:\s+|<\?xml[^>]*\?>|</?Events(?:\s[^>]*)?>|<!--.*?-->|\xef\xbb\xbf)+", re.DOTALL)
_NUMBER = re.compile(rb"<EventID(?:\s[^>]*)?>\s*(\d{1,10})\s*</EventID>")
_PROVIDER = re.compile(rb"<Provider\s[^>]*?Name\s*=\s*(?:'([^']*)'|\"([^\"]*)\")")


def xml_events(evidence: Evidence, times: EventTimes) -> Iterator[Event | Damage]:
    """Yield the events of a file in their order; their number counts them from 1.

    Raises
    ------
    forensics.errors.EvidenceError
        The stream was damaged; what came before was yielded.
    """
    number, damage = 0, list[EvidenceError]()
    for reason, raw in _pieces(evidence, damage):
        number += 1
        if reason:
            yield Damage(number, reason, raw)
            continue
        try:
            yield _event(raw, number, times)
        except UnreadableError as error:
            yield Damage(number, str(error), raw)
    if damage:
        raise damage[0]


def _pieces(evidence: Evidence, damage: list[EvidenceError]) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes of each event, and with a reason those of what is none."""
    stream, buffer, over = text_stream(evidence), b"", False
    while not over:
        try:
            part = stream.read(CHUNK)
        except EvidenceError as error:
            part = b""
            damage.append(error)
        over = not part
        buffer += part
        at = 0
        while (end := buffer.find(_CLOSING, at)) >= 0:
            yield from _divided(buffer[at : end + len(_CLOSING)])
            at = end + len(_CLOSING)
        buffer = buffer[at:]
        if len(buffer) > LONGEST:
            yield f"not an event: it is longer than {LONGEST >> 20} MiB", buffer
            buffer = b""
    if _BETWEEN.sub(b"", buffer):
        yield "the last event has no end" if OPENING.search(buffer) else "not an event", buffer.strip()


def _divided(piece: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield an event, and before it what stands between the one before and it."""
    begins = [found.start() for found in OPENING.finditer(piece)]
    before = piece[: begins[-1]] if begins else piece
    if _BETWEEN.sub(b"", before):
        yield "not an event, or one without its end", before.strip()
    if begins:
        yield "", piece[begins[-1] :]


def _event(raw: bytes, number: int, times: EventTimes) -> Event:
    """Return the event of an element; of one that is not wanted no more than which it is."""
    found, provider = _NUMBER.search(raw), _PROVIDER.search(raw)
    if found and provider and not is_wanted(name := text_of(provider[1] or provider[2] or b""), int(found[1])):
        return Event(number, name, int(found[1]), lambda: 0, {}, raw)
    try:
        root = ET.fromstring(text_of(raw))  # noqa: S314 - a single element
    except (ET.ParseError, ValueError) as error:
        raise UnreadableError(f"not XML: {error}") from None
    system, data = _child(root, "System"), _child(root, "EventData")
    event = (_child(system, "EventID").text or "").strip()
    if not (event.isascii() and event.isdecimal() and len(event) <= 10):
        raise UnreadableError("not an event: it has no number")
    time = _child(system, "TimeCreated").get("SystemTime", "")
    fields = {canonical(one.get("Name", "")): one.text or "" for one in data}
    return Event(
        number, _child(system, "Provider").get("Name", ""), int(event), lambda: times.utc(time, number), fields, raw
    )


def _child(element: ET.Element, name: str) -> ET.Element:
    """Return a child by its name, whatever its namespace; an empty one where there is none."""
    return next((child for child in element if child.tag.rpartition("}")[2] == name), ET.Element(name))
