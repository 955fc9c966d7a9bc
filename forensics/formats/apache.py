r"""Access logs of the Apache HTTP Server: common, combined, with virtual hosts, and any ``LogFormat``.

Example line (combined; nginx writes the very same)::

    192.0.2.21 - - [21/May/2015:10:00:01 +0900] "GET /a HTTP/1.1" 200 2326 "http://www.example/" "Mozilla/5.0"

====================  =====================  ======================================================================
field                 code                   becomes
====================  =====================  ======================================================================
client                %h, %a, %{remote}p     ``src``, ``src_port``; behind trusted proxies what their header says
virtual host          %v, %V, %{Host}i, %p   ``name`` (or ``dst`` if it is an address), ``dst_port``
own address           %A                     ``dst``
time                  %t, %{...}t            ``start``, and ``end`` where no elapsed time is logged
elapsed               %D, %T, %{ms}T         ``end`` = start + elapsed
request               %r, %m, %U%q           ``method``, ``url``; an absolute URL gives ``name`` or ``dst``, and ``via``
status                %>s                    ``status``
reply size            %O, or %b, %B          ``bytes_in``; %O with head, %b and %B the body alone [B]
request size          %I                     ``bytes_out`` [B]; the usual formats have none
headers               %{Referer}i and so on  ``referer``, ``user_agent``, ``content_type``
X-Forwarded-For       %{X-Forwarded-For}i    ``src``, where the peer is a trusted proxy; ``via`` is the peer then
TLS                   %{SSL_PROTOCOL}x       ``service``
====================  =====================  ======================================================================

Traps: the server is the vantage; it is named in a row only where the log does. The time is the request's *start*. Reply
sizes only, unless mod_logio's %I is logged: uploads are null, never 0. A dash for %b means no byte of a body. A request
``"-"`` is none (408). Quotes and bytes that are not ASCII are escaped (``\"``, ``\xNN``), but old versions and other
programs write quotes bare, and user names may hold spaces. ``X-Forwarded-For`` is the client's word unless the peer is
a trusted proxy. Debian's ``combined`` has %O where others have %b. A request target is not the server's own where it is
absolute: those are tries to use the server as a proxy. nginx's combined format is the same to the byte: its time is the
request's end, which matters by the time that a request took.

References
----------
.. [1] Apache module mod_log_config, https://httpd.apache.org/docs/current/mod/mod_log_config.html
.. [2] Apache module mod_logio, https://httpd.apache.org/docs/current/mod/mod_logio.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.errors import EvidenceError
from forensics.formats._apache_logformat import CONFS, KNOWN, compile_logformat, configured
from forensics.formats._clf import Access
from forensics.formats._head import definitions, first_lines
from forensics.formats._layouts import Layout, Layouts
from forensics.formats._nginx_logformat import CONF, only_nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints

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

NAME = "apache"
TITLE = "Apache access log (or nginx in the combined format)"
COMPANIONS: tuple[str, ...] = (*CONFS, CONF)
EXACT_VOLUMES = False
LINES_STAND_ALONE = True
LINES = True
STAMP = "start"
OBSERVES = ("out", "in")


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no access log of Apache, or None where at least half of its first lines are lines of one."""
    try:
        known = _layouts(hints)
    except ValueError as error:
        return str(error)
    lines = [line.encode() for line in first_lines(head, hints)]
    if not lines:
        return "it is empty"
    if CONF in hints.companions and not hints.logformat:
        return f"a {CONF} lies beside it"
    if not hints.logformat and any(only_nginx(line) for line in lines):
        return "it has lines that only nginx writes"
    fitting = [known.fitting(line) is not None for line in lines]
    if sum(fitting) * 2 >= len(lines):
        return None
    number = fitting.index(False)
    return f"line {number + 1}: {known.problem(lines[number])}"


def _layouts(hints: Hints) -> Layouts:
    """Return how the lines of a log may be made up."""
    given = definitions(hints.logformat, NAME)
    if given:
        return Layouts([compile_logformat(text, KNOWN.get(text, text)) for text in given])
    found: list[Layout] = []
    for name, text in configured(hints.companions).items():
        try:
            found.append(compile_logformat(name, text))
        except ValueError:  # of another log: the built-in ones always remain
            continue
    return Layouts([*found, *(compile_logformat(name, text) for name, text in KNOWN.items())])


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
    yield from Access(evidence, known).batches("an access log of Apache")
