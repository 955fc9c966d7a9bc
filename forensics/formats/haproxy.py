r"""Logs of HAProxy: of HTTP, HTTPS and TCP, and any ``log-format``; with or without syslog's head.

Example line (HTTP)::

    192.0.2.21:33317 [21/May/2015:10:00:01.655] www web/w1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 "GET /a"

==================  =============  ======================================================================
field               code           becomes
==================  =============  ======================================================================
client              %ci:%cp        ``src``, ``src_port``; ``unix`` where it came through a socket of the machine
time                %tr, %t        ``start``; of the request, or of the connection
frontend            %ft            ``service`` is ``ssl`` where it ends in ``~``, else ``http``; of TCP not known
own address         %fi:%fp        ``dst``, ``dst_port``
elapsed             %Ta, %Tt       ``end`` = start + elapsed [ms]
status              %ST            ``status``; -1 is none
bytes read          %B             ``bytes_in``, head included [B]; null where it was logged too early
bytes uploaded      %U             ``bytes_out`` [B]; the built-in formats have none
termination state   %tsc, %ts      ``state``
request             %{+Q}r         ``method``, ``url``; ``<BADREQ>`` is none
==================  =============  ======================================================================

Traps: times carry no zone, whatever syslog's head says, which has no year. ``+`` before a number: it was logged before
the end (``option logasap``), so the bytes are not known. Lines are cut at 1024 bytes: what is left of the request
stands, and the notes count ``cut_lines``. A timer of -1 did not run. Captured headers ``{a|b}`` are absent where
nothing is captured; which headers they are only the configuration knows. Backend and server are names of the
configuration, not addresses: ``dst`` is the frontend's, where it is logged. Uploads are null without %U. Bytes in
requests are escaped as ``#22``. Of HTTP the sizes are those of the messages as HAProxy holds them: since 2.0 that is
four bytes a header line less than on the wire; replies of its own (errors) count 0.

References
----------
.. [1] HAProxy configuration manual, section 8, https://docs.haproxy.org/2.6/configuration.html#8: *Logging*.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forensics.errors import EvidenceError
from forensics.formats._clf import Access, Asked
from forensics.formats._haproxy_logformat import KNOWN, compile_logformat
from forensics.formats._head import definitions, first_lines
from forensics.formats._layouts import Layouts
from forensics.formats._sheet import Ints, Sheet, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._columns import Bools
    from forensics.formats._cut import I32

__all__ = [
    "COMPANIONS",
    "EXACT_VOLUMES",
    "LINES_STAND_ALONE",
    "NAME",
    "OBSERVES",
    "STAMP",
    "TITLE",
    "declines",
    "parse",
]

NAME = "haproxy"
TITLE = "HAProxy log"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
LINES_STAND_ALONE = True
LINES = True
STAMP = "start"
OBSERVES = ("out", "in")

_ESCAPE = re.compile("(?:#[0-9A-Fa-f]{2})+")


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no log of HAProxy, or None where at least half of its first lines are lines of one."""
    try:
        known = _layouts(hints)
    except ValueError as error:
        return str(error)
    lines = [line.encode() for line in first_lines(head, hints)]
    if not lines:
        return "it is empty"
    fitting = [known.fitting(line) is not None for line in lines]
    if sum(fitting) * 2 >= len(lines):
        return None
    number = fitting.index(False)
    return f"line {number + 1}: {known.problem(lines[number])}"


def _layouts(hints: Hints) -> Layouts:
    """Return how the lines of a log may be made up."""
    given = definitions(hints.logformat, NAME)
    named = [(text, KNOWN.get(text, text)) for text in given] or list(KNOWN.items())
    return Layouts([layout for name, text in named for layout in compile_logformat(name, text)])


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield exchanges and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If ``hints.logformat`` is no usable definition, nothing in the file can be read, or the stream is damaged.
    forensics.errors.TimezoneNeededError
        If the times carry no zone and ``hints.timezone`` is None.
    """
    try:
        known = _layouts(evidence.hints)
    except ValueError as error:
        raise EvidenceError(evidence.source, str(error)) from None
    yield from _Log(evidence, known, _undone).batches("a log of HAProxy")


def _undone(text: str) -> str:
    """Undo HAProxy's escapes."""
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[0].replace("#", "")).decode("utf-8", "backslashreplace"), text)


def _tls(frontend: str) -> str:
    """Return ``ssl`` for a frontend whose connection was encrypted."""
    return "ssl" if frontend.endswith("~") else ""


class _Log(Access):
    """A log of HAProxy."""

    NULL = (b"-", b"-1", b"<BADREQ>")

    def is_request(self, which: I32) -> Bools:
        """Tell which rows are requests, by their layouts."""
        asks = [bool({"request", "method", "url"} & {code.role for code in one.codes}) for one in self.layouts.known]
        found: Bools = np.array([*asks, False], np.bool_)[which]
        return found

    def service(self, sheet: Sheet, which: I32, asked: Asked, port: Ints) -> Words:
        """Return the application protocols; what a TCP connection carries is not known."""
        tls = self.words(sheet, "frontend", _tls)
        plain = super().service(sheet, which, asked, port)
        return tls.otherwise(plain.only(self.is_request(which)))

    def asked(self, sheet: Sheet) -> Asked:
        """Return what requests ask for, and count those that were cut."""
        for place, _ in self.layouts.fields("request"):
            end = sheet.cut.end[place]
            cut_off = (sheet.cut.flag[place] & 1 == 0) & (sheet.cut.data[end] == ord("\n"))
            sheet.note("cut_lines", int(cut_off.sum()))
        return super().asked(sheet)

    def counts(self, sheet: Sheet, role: str, what: str, limit: int = 1 << 50) -> Ints:
        """Return numbers; one that was logged too early is not known."""
        made = Ints(np.zeros(sheet.rows, np.int64), np.zeros(sheet.rows, np.bool_))
        for place, _ in self.layouts.fields(role):
            cut = sheet.cut
            early = (cut.begin[place] < cut.end[place]) & (cut.data[cut.begin[place]] == ord("+"))
            begin = (cut.begin[place] + early.astype(np.int32))[None]
            bare = replace(cut, begin=begin, end=cut.end[place][None], flag=cut.flag[place][None])
            found = sheet.counts((bare, 0), what=what, null=self.NULL, limit=limit)
            sheet.note(f"early_{role}", int(early.sum()))
            made = made.otherwise(found._replace(known=found.known & ~early))
        return made
