"""Events of EVTX files, read by the package ``evtx``; a damaged record is one reject, and the others follow.

Example: ``for event in evtx_events(evidence): ...``

References
----------
.. [1] libyal, *Windows XML Event Log (EVTX)*, https://github.com/libyal/libevtx, documentation: file, chunk, record.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, BinaryIO, cast

from forensics.errors import EvidenceError, MissingToolError
from forensics.formats._copied import copied
from forensics.formats._event_json import event_of
from forensics.formats._events import Damage, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats import Evidence
    from forensics.formats._event_times import EventTimes
    from forensics.formats._events import Event

__all__ = ["MAGIC", "evtx_events"]

MAGIC = b"ElfFile\0"

_RECORD = re.compile(r"record number (\d+)")


def evtx_events(evidence: Evidence, times: EventTimes) -> Iterator[Event | Damage]:
    """Yield the events of a file in their order; their number is their ``EventRecordID``.

    Raises
    ------
    forensics.errors.MissingToolError
        The package is not installed.
    forensics.errors.EvidenceError
        The file has no header that could be read, or the stream was damaged; what came before was yielded.
    """
    try:
        from evtx import PyEvtxParser
    except ImportError:
        raise MissingToolError("EVTX files are read by the package evtx: pip install 'forensics[host]'") from None
    with copied(evidence) as copy:  # records are not found in one go
        yield from _read(PyEvtxParser, copy.file, evidence.source, times)
    copy.check()


def _read(parser: type, copy: BinaryIO, source: str, times: EventTimes) -> Iterator[Event | Damage]:
    """Yield what the parser makes of a file."""
    try:
        records = parser(copy, number_of_threads=1).records_json()
    except Exception as error:
        raise EvidenceError(source, f"its header cannot be read: {_short(error)}") from error
    while True:
        try:
            record = next(records)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001 - one record or chunk; the parser goes on behind it
            number = _RECORD.search(str(error))
            yield Damage(int(number[1]) if number else None, _short(error), b"")
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise EvidenceError(source, f"its reader gave up: {_short(error)}") from error
        else:
            yield _event(record, times)


def _event(record: dict[str, object], times: EventTimes) -> Event | Damage:
    """Return the event of a record."""
    number, text = cast("int", record["event_record_id"]), cast("str", record["data"])
    raw = text.encode("utf-8", "backslashreplace")
    try:
        return event_of(json.loads(text), number, raw, times)
    except UnreadableError as error:
        return Damage(number, str(error), raw)
    except (ValueError, RecursionError) as error:
        return Damage(number, f"not an event: {_short(error)}", raw)


def _short(error: BaseException) -> str:
    """Return what an error says, in one line that is not long."""
    return " ".join(str(error).split())[:200]
