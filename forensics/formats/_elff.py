"""Headers of the W3C extended log file format: what the lines of a log hold, and which program wrote them.

Example::

    # Software: Microsoft Internet Information Services 10.0
    # Date: 2015-05-21 10:00:00
    # Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) sc-status

A header may stand anywhere, again and again, and each holds for the lines under it. One function tells all logs of this
kind apart, so that exactly one format claims each.

References
----------
.. [1] W3C, *Extended Log File Format*, Working Draft WD-logfile-960323, https://www.w3.org/TR/WD-logfile.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from forensics.formats._head import definitions, first_lines
from forensics.formats._lines import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from forensics.formats import Hints

__all__ = ["CLIENTS", "MOST_FIELDS", "Header", "declined", "header_of", "kind_of", "read_directives"]

MOST_FIELDS = 128
"""A header with more fields is damaged; the most that programs write is about 60."""

CLIENTS = ("c-ip", "x-client-address", "source", "original client ip", "src-ip", "clientip")
"""Fields that hold the address of the client."""

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z -]{0,30}?)\s*:\s*(.*)", re.DOTALL)
_DAYS = (
    (re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[ T]+(\d\d):(\d\d):(\d\d))?"), "%Y-%m-%d"),
    (re.compile(r"(\d\d)/([A-Za-z]{3})/(\d{4})(?:[ :]+(\d\d):(\d\d):(\d\d))?"), "%d/%b/%Y"),
    (re.compile(r"(\d\d)-([A-Za-z]{3})-(\d{4})(?:[ :]+(\d\d):(\d\d):(\d\d))?"), "%d-%b-%Y"),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_OFFSET = re.compile(r"([+-]?)(\d\d):?(\d\d)")


@dataclass(frozen=True, slots=True)
class Header:
    """What the directives up to some line say.

    Parameters
    ----------
    fields
        Names of the fields, in lower case; none before the first ``#Fields``.
    software
        The program, as it calls itself.
    moment
        The last ``#Date``: time counted as if it were UTC, None where there is none. It matters only to lines that
        carry no date. [us]
    offset
        ``#GMT-Offset``: distance of the log's clock from UTC; None where it is not given. [min]
    local
        Whether ``#Time Format`` says that times are those of the machine's own clock; None where it is not given.
    """

    fields: tuple[str, ...] = ()
    software: str = ""
    moment: int | None = None
    offset: int | None = None
    local: bool | None = None

    @property
    def dated(self) -> bool:
        """Whether the lines carry their dates."""
        return not {"time", "time-local"}.intersection(self.fields) or bool(
            {"date", "date-local"}.intersection(self.fields)
        )

    @property
    def zone(self) -> tzinfo | None:
        """The zone of its times, None where it is that of the machine."""
        local = kind_of(self) == "windows_firewall" if self.local is None else self.local
        if local or ("time-local" in self.fields and "time" not in self.fields):
            return None
        return UTC if self.offset is None else timezone(timedelta(minutes=self.offset))

    def reads_like(self, other: Header) -> bool:
        """Tell whether lines are read the same under both."""
        return self == (other if not self.dated else replace(other, moment=self.moment))


def read_directives(header: Header, lines: Iterable[bytes]) -> Header:
    """Return a header after some more directive lines; what is none of those that count is passed over."""
    for line in lines:
        found = _DIRECTIVE.match(text_of(line))
        if found is None:
            continue
        name, value = found[1].lower(), found[2].strip()
        match name:
            case "fields":
                header = replace(header, fields=_fields(found[2]))
            case "software":
                header = replace(header, software=value[:200])
            case "date" | "start-date":
                header = replace(header, moment=_moment(value))
            case "gmt-offset":
                header = replace(header, offset=_offset(value))
            case "time format":
                header = replace(header, local=value.lower() == "local")
            case _:
                pass
    return header


def _fields(text: str) -> tuple[str, ...]:
    """Return the names of fields; where tabs part them they may hold spaces."""
    parts = text.strip(" \r\n").split("\t") if "\t" in text.strip() else text.split()
    return tuple(part.strip().strip('"').lower() for part in parts if part.strip())


def _moment(text: str) -> int | None:
    """Return the time of a ``#Date``. [us]"""
    for pattern, layout in _DAYS:
        if found := pattern.match(text):
            day = text[: found.end(3)]
            hour, minute, second = (int(part or 0) for part in found.groups()[3:])
            try:
                date = datetime.strptime(day, layout).replace(tzinfo=UTC)
                return (date + timedelta(hours=hour, minutes=minute, seconds=second) - _EPOCH) // _MICROSECOND
            except (ValueError, OverflowError):
                return None
    return None


def _offset(text: str) -> int | None:
    """Return a distance from UTC. [min]"""
    found = _OFFSET.match(text)
    if found is None or int(found[2]) > 14 or int(found[3]) > 59:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    return -minutes if found[1] == "-" else minutes


def kind_of(header: Header) -> str:
    """Return the format that reads the lines under a header."""
    software, fields = header.software.lower(), frozenset(header.fields)
    if "windows firewall" in software or {"tcpflags", "path"} <= fields:
        return "windows_firewall"
    if (
        re.search(r"internet security and acceleration|threat management|\bisa server", software)
        or fields & {"s-object-source", "cs-transport", "original client ip"}
    ):  # fmt: skip
        return "tmg"
    if software.startswith("sgos") or fields & _BLUE_COAT or {"s-action", "cs-uri-scheme"} <= fields:
        return "bluecoat"
    own = fields & {"sc-win32-status", "sc-substatus", "s-queuename", "s-computername"} and "cs-vid" not in fields
    if own or re.search(r"microsoft (internet information|http|iis)|iis advanced", software):
        return "iis"
    return "w3c"


_BLUE_COAT = {"s-supplier-name", "s-supplier-ip", "sc-filter-result", "x-exception-id", "x-bluecoat-application-name"}


PREDEFINED = {
    ("iis", "default"): (
        "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) "
        "sc-status sc-substatus sc-win32-status time-taken"
    ),
    ("bluecoat", "main"): (
        "date time time-taken c-ip sc-status s-action sc-bytes cs-bytes cs-method cs-uri-scheme cs-host cs-uri-port "
        "cs-uri-path cs-uri-query cs-username cs-auth-group s-supplier-name rs(Content-Type) cs(Referer) "
        "cs(User-Agent) sc-filter-result cs-categories x-virus-id s-ip"
    ),
    ("tmg", "web"): (
        "c-ip\tcs-username\tc-agent\tsc-authenticated\tdate\ttime\ts-svcname\ts-computername\tcs-referred\tr-host"
        "\tr-ip\tr-port\ttime-taken\tcs-bytes\tsc-bytes\tcs-protocol\tcs-transport\ts-operation\tcs-uri\tcs-mime-type"
        "\ts-object-source\tsc-status\ts-cache-info\trule\tfilterinfo\tcs-network\tsc-network\terror-info\taction"
    ),
    ("tmg", "firewall"): (
        "computer\tdate\ttime\tip protocol\tsource\tdestination\toriginal client ip\tsource network"
        "\tdestination network\taction\tstatus\trule\tapplication protocol\tbytes sent\tbytes sent intermediate"
        "\tbytes received\tbytes received intermediate\tconnection time\tconnection time intermediate\tsource name"
        "\tdestination name\tusername\tagent\tsession id\tconnection id\tinterface\tip header\tprotocol payload"
    ),
}
"""Fields of logs without header, by format and the name that ``--logformat`` may give them."""


def header_of(hints: Hints, name: str) -> Header:
    """Return the header of a log that has none: ``--logformat`` with the names of its fields."""
    try:
        given = definitions(hints.logformat, name)
    except ValueError:
        return Header()
    if not given:
        return Header()
    text = PREDEFINED.get((name, given[0].strip().lower()), given[0]).removeprefix("#Fields:")
    return Header(_fields(text), local=True if name == "tmg" else None)


def declined(head: bytes, hints: Hints, name: str) -> str | None:
    """Say why a file is no log of this kind that `name` reads, or None where it is."""
    lines = first_lines(head, hints)
    own = read_directives(Header(), [line.encode("utf-8", "surrogateescape") for line in lines if line[:1] == "#"])
    if not own.fields:
        return _without_header(lines, hints, name)
    if len(own.fields) > MOST_FIELDS:
        return f"its #Fields line names {len(own.fields)} fields, more than {MOST_FIELDS}"
    kind = kind_of(own)
    if kind != name:
        return f"its #Fields are those of {kind}"
    return _unusable(own)


def _without_header(lines: list[str], hints: Hints, name: str) -> str | None:
    """Say why a file without header is no log that `name` reads; it is where ``--logformat`` names its fields."""
    try:
        given = definitions(hints.logformat, name)
    except ValueError as error:
        return str(error)
    if not given or not lines:
        return "it has no #Fields line" if lines else "it is empty"
    header = header_of(hints, name)
    first = next((line for line in lines if line[:1] != "#"), "")
    width = len(first.split("\t" if "\t" in first else None))
    if width < len(header.fields) and '"' not in first:
        return f"line 1 has {width} fields, --logformat names {len(header.fields)}"
    return _unusable(header)


def _unusable(header: Header) -> str | None:
    """Say why nothing can be read under a header, or None where something can."""
    fields = frozenset(header.fields)
    if not fields.intersection(CLIENTS):
        return "its #Fields name no client address (c-ip)"
    if not fields & {"time", "time-local", "timestamp", "x-timestamp-unix", "gmttime", "localtime"}:
        return "its #Fields name no time"
    return None
