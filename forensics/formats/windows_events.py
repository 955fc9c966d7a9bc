"""Event logs of Windows: connections that Sysmon or the filtering platform saw, and names that were looked up.

Example (XML; one line in the file)::

    <Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System>
      <Provider Name="Microsoft-Windows-Sysmon"/><EventID>3</EventID>
      <TimeCreated SystemTime="2015-05-21T01:00:01.5Z"/><Computer>pc7.office.example</Computer></System><EventData>
      <Data Name="UtcTime">2015-05-21 01:00:00.250</Data><Data Name="Protocol">tcp</Data>
      <Data Name="Initiated">true</Data><Data Name="SourceIp">192.0.2.7</Data><Data Name="SourcePort">49160</Data>
      <Data Name="DestinationIp">203.0.113.9</Data><Data Name="DestinationPort">443</Data></EventData></Event>

Read are EVTX files (with the package ``evtx``), XML of the Event Viewer and of ``wevtutil``, JSON of winlogbeat and of
tools that keep the layout of the event, and CSV in English, Japanese and German.

=================================== ==================================================================
event, field                        becomes
=================================== ==================================================================
Sysmon 3                            a row of ``flows``, from source to destination as logged
Security 5156, 5157                 a row of ``flows`` with the state ``allowed`` or ``blocked``
Sysmon 22 ``QueryName``             ``names.name``; a row for each address in ``QueryResults``
``UtcTime``, else ``TimeCreated``   ``start``, ``end``, ``time``
``Image``, ``Application``          counted in the notes, as ``programs``
every other event                   counted in the notes, as ``events``
=================================== ==================================================================

The number of a record is the ``EventRecordID`` in EVTX, the line in CSV, elsewhere the place of the event in the file.

Traps:

- No event has a size: bytes are null. One event is one connection that began; its end is not logged.
- Sysmon's source is the end that began, also where ``Initiated`` is false: then the machine itself is the destination.
- The filtering platform's source is its own end: an inbound connection (``%%14592``, or a word of the language) goes
  from destination to source. The two numbers of ICMP are type and code, and stay.
- ``DestinationHostname`` is a reverse look-up by Sysmon, not what was asked for: it is not used.
- Answers of Sysmon 22 have the form ``type:  5 alias;::ffff:203.0.113.9;``: aliases are left out.
- In CSV the time is that of the exporting machine's clock: a zone is needed, but not for Sysmon, whose message says
  UTC. ``3/4/2015`` is read as the dates around it; notes say how.
- CSV has the message in a field without a name, of several lines, newest event first; Excel writes ``sep=``.
- A damaged record, or chunk, of EVTX is one reject; those behind it are read. Rejects show a record of EVTX as JSON.
- Two event logs of one machine, Sysmon's and the filtering platform's, tell of the same connections: each is a vantage.

References
----------
.. [1] Microsoft, *Sysmon*, events 3 and 22, https://learn.microsoft.com/sysinternals/downloads/sysmon
.. [2] Microsoft, *5156(S): The Windows Filtering Platform has permitted a connection*; 5157(F), 5158(S),
   https://learn.microsoft.com/previous-versions/windows/it-pro/windows-10/security/threat-protection/auditing/event-5156
.. [3] Elastic, *Winlogbeat*, exported fields, https://www.elastic.co/guide/en/beats/winlogbeat/current/index.html
.. [4] https://github.com/wazuh/wazuh/issues/9240, an inbound connection as Sysmon logs it, with the machine's address.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

from forensics.formats._encodings import utf8_head
from forensics.formats._event_csv import csv_events, find_header
from forensics.formats._event_json import json_events
from forensics.formats._event_times import EventTimes
from forensics.formats._event_xml import OPENING, xml_events
from forensics.formats._events import EventRows
from forensics.formats._evtx import MAGIC, evtx_events
from forensics.formats._json import Peeked
from forensics.formats._lines import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._events import Damage, Event

NAME = "windows_events"
TITLE = "Windows event log (Sysmon, Security)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
STAMP = "start"
OBSERVES: tuple[str, ...] = ()

_KEYS = re.compile(
    rb'"winlog(?:\.event_id)?"\s*:|"Event"\s*:\s*\{\s*"(?:#attributes|System)"|"event_data"\s*:'
    rb'|"(?:EventID|Id|event_id|eventID)"\s*:\s*"?\d+"?(?=.*"(?:SourceName|ProviderName|source_name|providerName)"\s*:)'
    rb'|"(?:SourceName|ProviderName|source_name|providerName)"\s*:(?=.*"(?:EventID|Id|event_id|eventID)"\s*:\s*"?\d)',
    re.DOTALL,
)
_SYSTEM = re.compile(rb"<System(?=[\s>])")
_LINES = 40


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no log of Windows events, or None where it is one."""
    if head.startswith(MAGIC):
        return None
    given = utf8_head(head, hints).removeprefix(b"\xef\xbb\xbf")
    text = given.lstrip()
    if text.startswith(b"<"):
        return None if OPENING.search(text) and _SYSTEM.search(text) else "it is XML without events of Windows"
    if text.startswith((b"{", b"[")):
        return None if _KEYS.search(text) else "it is JSON without the keys of an event of Windows"
    if find_header(_first(given)):
        return None
    return "it is neither EVTX, nor XML or JSON of events, nor a table with columns for event ID, time and source"


def _first(text: bytes) -> list[str]:
    """Return the first lines of a file that is UTF-8."""
    return [line.rstrip("\r") for line in text_of(text).split("\n")[:_LINES]]


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, names and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.MissingToolError
        The file is EVTX, and the package that reads it is not installed.
    forensics.errors.TimezoneNeededError
        Times carry no zone, and none was given.
    forensics.errors.EvidenceError
        Nothing of the file could be read, or the stream is damaged.
    """
    stream = Peeked(evidence.stream)
    whole = replace(evidence, stream=cast("BinaryIO", stream))
    yield from EventRows(whole).batches(_events(whole, stream.head), NAME)


def _events(evidence: Evidence, head: bytes) -> Iterator[Event | Damage]:
    """Yield the events of a file of any form."""
    if head.startswith(MAGIC):
        yield from evtx_events(evidence, EventTimes(evidence))
        return
    given = utf8_head(head, evidence.hints).removeprefix(b"\xef\xbb\xbf")
    text = given.lstrip()
    if text.startswith((b"{", b"[")):
        yield from json_events(evidence, EventTimes(evidence))
    elif (header := find_header(lines := _first(given))) and not text.startswith(b"<"):
        place, mark = header.places["time"], header.delimiter
        dates = [fields[place].strip('"') for line in lines if len(fields := line.split(mark)) > place]
        yield from csv_events(evidence, EventTimes(evidence, dates), header)
    else:
        yield from xml_events(evidence, EventTimes(evidence))
