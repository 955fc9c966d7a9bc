"""Logs of Microsoft IIS in the W3C format, of its advanced logging, of its FTP and SMTP services, and ``httperr``.

Example lines::

    #Software: Microsoft Internet Information Services 10.0
    #Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip sc-status time-taken
    2015-05-21 10:00:01 198.51.100.7 GET /a.asp q=1 80 - 192.0.2.21 200 15

=========================  =============================================================================
field                      becomes
=========================  =============================================================================
date time                  ``end``, in UTC; ``start`` = end - time-taken
date-local time-local      the same, on the clock of the machine: a zone is needed
time-taken, TimeTakenMS    [ms]
c-ip, c-port               ``src``, ``src_port``
s-ip, s-port               ``dst``, ``dst_port``: the web server itself
cs-host, cs(Host)          ``name``
cs-method                  ``method``; of FTP without the number of its session
cs-uri-stem, cs-uri-query  ``url``
sc-status                  ``status``
cs-bytes, sc-bytes         ``bytes_out``, ``bytes_in``; ``request_bytes``, ``response_bytes`` [B]
s-reason                   ``state`` (httperr)
cs(User-Agent)             ``user_agent``, its ``+`` as spaces
X-Forwarded-For            ``src``, where the peer is a trusted proxy
=========================  =============================================================================

Traps: the default fields have no byte counts: both are null then, never 0. A log without a ``date`` field takes the
day from ``#Date``, and one more at each midnight; ``#Date`` comes again whenever the service starts. Spaces in headers
are logged as ``+``, which real ones then are too. IPv6 addresses have a zone (``%0``), which is taken off. Only
advanced logging writes quotes, others may begin a field with one. Lines of ``httperr`` without a method are
connections that the kernel closed: flows, no requests. Text that the client sent may be cut (``...``) where it was too
long. Ports 443 are called ``ssl``.

References
----------
.. [1] Microsoft, *W3C Logging*, https://learn.microsoft.com/en-us/windows/win32/http/w3c-logging
.. [2] Microsoft, *Error logging in HTTP APIs*: ``httperr``,
   https://learn.microsoft.com/en-us/troubleshoot/developer/webapps/aspnet/site-behavior-performance
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.formats._elff import declined
from forensics.formats._elff_columns import Reader
from forensics.formats._elff_web import asked_of_server, put_requests
from forensics.formats._hosts import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._elff_columns import Lines

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "TITLE", "declines", "parse"]

NAME = "iis"
TITLE = "Microsoft IIS log"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
LINES = True
STAMP = "end"
OBSERVES: tuple[str, ...] = ("out", "in")


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no log of IIS, or None where its fields are those of one."""
    return declined(head, hints, NAME)


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of a log of IIS.

    Parameters
    ----------
    evidence
        The opened log.
    """
    return Reader(evidence, NAME, _put, lambda software: "advanced" in software.lower()).batches()


def _put(lines: Lines) -> None:
    """Put the rows of a run into its sheet."""
    put_requests(
        lines,
        asked_of_server(lines),
        lines.counts("time-taken", "timetakenms", what="time-taken", limit=10**12, scale=1000),
        dst=lines.words("s-ip", convert=address_of),
        via=None,
        plus=True,
        state=lines.words("s-reason"),
    )
