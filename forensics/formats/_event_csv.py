"""Events in CSV: what the Event Viewer writes in the language of its Windows, and ``Get-WinEvent | Export-Csv``.

Example::

    レベル,日付と時刻,ソース,イベント ID,タスクのカテゴリ
    情報,2015/05/21 10:00:01,Microsoft-Windows-Security-Auditing,5156,フィルタリング プラットフォームの接続,"..."

The message is a field of many lines without a name in the header; its parts are translated, as the header is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forensics.formats._blocks import blocks
from forensics.formats._cut import FEW
from forensics.formats._delimited import Dialect, delimited, whole_records
from forensics.formats._events import Damage, Event, UnreadableError, fields_of_message, is_wanted
from forensics.formats._lines import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats import Evidence
    from forensics.formats._cut import Cut
    from forensics.formats._event_times import EventTimes

__all__ = ["Header", "csv_events", "find_header"]

_OURS = {
    "eventid": "id", "id": "id", "イベントid": "id", "ereignisid": "id",
    "dateandtime": "time", "timecreated": "time", "timegenerated": "time", "日付と時刻": "time", "日付と時間": "time",
    "datumunduhrzeit": "time",
    "source": "provider", "providername": "provider", "ソース": "provider", "quelle": "provider",
    "message": "message", "description": "message", "メッセージ": "message", "説明": "message", "nachricht": "message",
    "beschreibung": "message",
}  # fmt: skip
_NEEDED = {"id", "time", "provider"}
_DELIMITERS = (",", ";", "\t")
_FIRST_LINES = 3


class Header(NamedTuple):
    """The first line of a table of events.

    Parameters
    ----------
    delimiter
        What stands between fields.
    places
        Number of the column of each of our fields; that of the message is behind the others where it has no name.
    width
        How many fields a record has.
    number
        The header's line.
    """

    delimiter: str
    places: dict[str, int]
    width: int
    number: int


def find_header(lines: list[str]) -> Header | None:
    """Return the header among the first lines of a file; a line ``sep=`` or ``#TYPE`` may stand before it."""
    for number, line in enumerate(lines[:_FIRST_LINES], 1):
        for delimiter in _DELIMITERS:
            names = [_folded(name) for name in line.removeprefix("\ufeff").rstrip("\r").split(delimiter)]
            places: dict[str, int] = {}
            for place, name in enumerate(names):
                if name in _OURS:
                    places.setdefault(_OURS[name], place)
            if places.keys() >= _NEEDED:
                unnamed = "message" not in places
                return Header(delimiter, {"message": len(names)} | places, len(names) + unnamed, number)
    return None


def _folded(name: str) -> str:
    """Return a column's name without what differs between exports."""
    return "".join(part for part in name.strip().strip('"').casefold() if part not in " _-\u3000")


def csv_events(evidence: Evidence, times: EventTimes, header: Header) -> Iterator[Event | Damage]:
    """Yield the events of a file in their order; their number is the line that they begin in.

    Raises
    ------
    forensics.errors.TimezoneNeededError
        An event has a time on the clock of the exporting machine only, and no zone was given.
    forensics.errors.EvidenceError
        The stream was damaged; what came before was yielded.
    """
    dialect = Dialect(header.delimiter.encode(), quote=b'"', doubled=True, multiline=True)
    for block in whole_records(blocks(evidence), dialect):
        cut = delimited(block, dialect, header.width)
        for row in range(cut.rows):
            number = int(cut.number[row])
            if number <= header.number:
                continue
            if cut.odd[row] and not (cut.odd[row] == FEW and cut.count[row] == header.width - 1):
                yield Damage(number, cut.reason(row), cut.record(row))
                continue
            try:
                one = _event(cut, row, header, times)
            except UnreadableError as error:
                yield Damage(number, str(error), cut.record(row))
            else:
                if one is not None:
                    yield one


def _event(cut: Cut, row: int, header: Header, times: EventTimes) -> Event | None:
    """Return the event of a record; None for a header that is repeated."""
    number, places = int(cut.number[row]), header.places
    event, provider = _field(cut, places["id"], row).strip(), _field(cut, places["provider"], row)
    if _OURS.get(_folded(event)) == "id":
        return None
    if not (event.isascii() and event.isdecimal() and len(event) <= 10):
        raise UnreadableError("its event ID is not a number")
    time = _field(cut, places["time"], row)
    message = _field(cut, places["message"], row) if is_wanted(provider, int(event)) else None
    if message is not None and not message.strip():
        raise UnreadableError("it has no message, which alone has its fields")
    fields = fields_of_message(message or "")
    return Event(number, provider, int(event), lambda: times.utc(time, number), fields, cut.record(row))


def _field(cut: Cut, place: int, row: int) -> str:
    """Return a field, quotes that were doubled made single."""
    return text_of(cut.content(place, row)).replace('""', '"')
