r"""Events in JSON: winlogbeat's, those that EVTX tools write, those of collectors that keep all fields in one object.

Example: ``{"winlog":{"provider_name":"Microsoft-Windows-Sysmon","event_id":3,"event_data":{"SourceIp": ...}}}``

One object a line, objects one after another, or one document with a list of them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from forensics.formats._events import Damage, Event, UnreadableError, canonical, fields_of_message, is_wanted
from forensics.formats._json import values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from forensics.formats import Evidence
    from forensics.formats._event_times import EventTimes

__all__ = ["event_of", "json_events"]

_LISTS = ("events", "records", "hits", "value", "data")
_TIMES = ("timecreated", "systemtime", "@timestamp", "timestamp", "eventtime", "time")
_IDS = ("eventid", "event_id", "id")
_PROVIDERS = ("provider_name", "providername", "provider", "source_name", "sourcename", "source")
_ECS = {
    "source.ip": "sourceip", "source.port": "sourceport", "destination.ip": "destinationip",
    "destination.port": "destinationport", "network.transport": "protocol", "dns.question.name": "queryname",
    "process.executable": "image",
}  # fmt: skip
"""Where winlogbeat's own processing of Sysmon moves fields, as the Elastic Common Schema calls them."""


def json_events(evidence: Evidence, times: EventTimes) -> Iterator[Event | Damage]:
    """Yield the events of a file in their order; their number counts them from 1.

    Raises
    ------
    forensics.errors.EvidenceError
        The stream was damaged; what came before was yielded.
    """
    number = 0
    for value, raw, reason in values(evidence):
        for one in [value] if reason else _listed(value):
            number += 1
            text = raw if reason or one is value else json.dumps(one, ensure_ascii=False)
            yield _event(one, number, text.encode("utf-8", "backslashreplace"), times, reason)


def _event(value: object, number: int, raw: bytes, times: EventTimes, reason: str) -> Event | Damage:
    """Return the event of a value, or what is wrong with it."""
    try:
        return Damage(number, reason, raw) if reason else event_of(value, number, raw, times)
    except UnreadableError as error:
        return Damage(number, str(error), raw)


def _listed(value: object) -> list[object]:
    """Return the records of a value: itself, or those of a list that it holds."""
    inner = value
    while isinstance(inner, dict) and "_source" not in inner:
        found = next((inner[key] for key in inner if key.casefold() in _LISTS and _holds(inner[key])), None)
        if found is None:
            break
        inner = found
    return inner if isinstance(inner, list) else [inner]


def _holds(value: object) -> bool:
    """Tell whether a value is a list of objects, or an object that has one."""
    if isinstance(value, dict):
        return any(key.casefold() in _LISTS and _holds(value[key]) for key in value)
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def event_of(record: object, number: int, raw: bytes, times: EventTimes) -> Event:
    """Return the event of a record.

    Raises
    ------
    UnreadableError
        It is none.
    """
    if not isinstance(record, dict):
        raise UnreadableError(f"not an event: it is a {type(record).__name__}")
    top = _unfolded(_dict(record.get("_source")) or record)
    system, data = _parts(top)
    provider, event = _text(_first(system, _PROVIDERS)), _number(_first(system, _IDS))
    if event is None:
        raise UnreadableError("not an event: it has no number")
    given = [_text(system.get(name)) for name in _TIMES] + [_text(top.get(name)) for name in _TIMES]

    def when() -> int:
        return _when([text for text in given if text], number, times)

    fields: Mapping[str, str] = {}
    if is_wanted(provider, event):
        fields = {canonical(key): _text(value) for key, value in data.items()}
        if not fields.keys() & {"sourceip", "destinationip", "queryname"}:
            fields = fields_of_message(_text(top.get("message"))) | fields | _common(top)
    return Event(number, provider, event, when, fields, raw)


def _when(given: list[str], number: int, times: EventTimes) -> int:
    """Return the time of a record that may tell several; one with a zone comes first."""
    if not given:
        raise UnreadableError("it has no time")
    zoned = [text for text in given if text.endswith(("Z", ")/")) or text[-6:-5] in ("+", "-")]
    return times.utc((zoned or given)[0], number)


def _parts(top: dict[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """Return what the system says of an event, and the event's own fields."""
    holder = _dict(_dict(top.get("data")).get("win")) or _dict(top.get("win")) or _dict(top.get("event"))
    holder = _lower(holder)
    if system := _lower(_dict(holder.get("system"))):
        return system, _dict(holder.get("eventdata")) or _named(holder.get("eventdata"))
    if winlog := _lower(_dict(top.get("winlog"))):
        return winlog, _dict(winlog.get("event_data"))
    return top, _dict(top.get("event_data")) or _dict(top.get("eventdata")) or top


def _named(value: object) -> dict[str, object]:
    """Return the fields of a list of objects, as some tools write them; there are none in anything else."""
    pairs = [_lower(one) for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    return {_text(one.get("name")): one.get("#text", one.get("value")) for one in pairs}


def _common(top: dict[str, object]) -> dict[str, str]:
    """Return fields that stand where the Elastic Common Schema has them."""
    found: dict[str, str] = {}
    for path, name in _ECS.items():
        value: object = top
        for key in path.split("."):
            value = _dict(value).get(key)
        if value is not None:
            found[name] = _text(value)
    answers = _dict(top.get("dns")).get("resolved_ip")
    if isinstance(answers, list):
        found["queryresults"] = ";".join(map(_text, answers))
    direction = _text(_dict(top.get("network")).get("direction"))
    return found | ({"direction": direction} if direction else {})


def _unfolded(record: Mapping[str, object]) -> dict[str, object]:
    """Return a record with its keys in small letters; ``a.b`` becomes an object in an object."""
    found: dict[str, object] = {}
    for key, value in record.items():
        parts = key.split(".")
        inner = found
        for part in parts[:-1]:
            inner = _dict(inner.setdefault(part.casefold(), {}))
        inner[parts[-1].casefold()] = value
    return found


def _lower(record: Mapping[str, object]) -> dict[str, object]:
    """Return an object with its keys in small letters."""
    return {key.casefold(): value for key, value in record.items()}


def _dict(value: object) -> dict[str, object]:
    """Return an object; an empty one where a value is none."""
    return value if isinstance(value, dict) else {}


def _first(record: Mapping[str, object], names: tuple[str, ...]) -> object:
    """Return the first of some values that there is."""
    return next((record[name] for name in names if record.get(name) is not None), None)


def _text(value: object) -> str:
    """Return a value as text; of an object what stands in it as text, name or time."""
    if isinstance(value, dict):
        inner = _lower(value)
        return _text(_first(inner | _lower(_dict(inner.get("#attributes"))), ("#text", "name", "systemtime")))
    if value is None or isinstance(value, list):
        return ""
    return str(value).casefold() if isinstance(value, bool) else str(value)


def _number(value: object) -> int | None:
    """Return the number of an event."""
    text = _text(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None
