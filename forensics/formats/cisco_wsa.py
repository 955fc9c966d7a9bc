r"""Access logs of Cisco's Web Security Appliance (WSA, IronPort, Secure Web Appliance): Squid's line with a tail.

Example line::

    1433122200.512 97 192.0.2.21 TCP_MISS/200 8187 GET http://www.example/ "CORP\tanaka@HQ" DIRECT/www.example text/html
    DEFAULT_CASE_11-Access-Id-Mal-Data-Dlp-Route <IW_comp,6.9,-,"-",-,-,-,-,"-",-,-> - "Mozilla/5.0"

========================  ==========================================================================================
field                     becomes
========================  ==========================================================================================
time, elapsed (%t, %e)    ``end``; ``start`` = end - elapsed [ms]
client (%a)               ``src``; a name where the appliance masks or resolves addresses
result, status (%w, %h)   ``state``, as logged; ``status``
reply size (%s)           ``bytes_in``, ``response_bytes`` [B]; what was sent is not logged
method, URL (%2r)         ``method``, ``url``; its host to ``name``, or ``dst`` if it is an address
user (%A)                 not kept
hierarchy, peer (%H/%d)   ``dst``, where the appliance went to the server itself and logged its address
content type (%c)         ``content_type``
decision tag (%D)         not kept, nor the list of verdicts and what an analyst had put behind it
========================  ==========================================================================================

Traps: the time is the request's *end*. Replies alone are counted: uploads are null. The peer behind ``DIRECT`` mostly
is a *name*: ``dst`` is then null. The target of a CONNECT is written ``tunnel://host:443/``. Users stand in quotes and
may hold spaces and backslashes; FTP URLs may hold ``%40``. Custom fields (``%:...``) stand behind the verdicts and are
passed over. A file begins with lines of the logging itself (``Info: Begin Logfile``); they are no records. A log in the
W3C form has a ``#Fields`` line and is another format.

Made from the specification: no real file of this format was met.

References
----------
.. [1] AsyncOS for Cisco Web Security Appliances, User Guide, chapter *Monitor System Activity Through Logs*, section
   *Web Proxy Information in Access Log Files*,
   https://www.cisco.com/c/en/us/support/security/web-security-appliance/products-user-guide-list.html
.. [2] Squid wiki, *Squid Log Files*, https://wiki.squid-cache.org/SquidFaq/SquidLogs: the first ten fields.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from forensics.formats._head import definitions, first_lines
from forensics.formats._sheet import finished
from forensics.formats._squid_log import Log
from forensics.formats._squid_logformat import compile_logformat

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

NAME = "cisco_wsa"
TITLE = "Cisco WSA access log"
COMPANIONS = ()
EXACT_VOLUMES = False
LINES_STAND_ALONE = True
LINES = True
STAMP = "end"
OBSERVES = ("in",)

LAYOUT = compile_logformat(
    NAME, "%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt %'note{tag} <%'note{verdicts}>%'note{more}"
)
"""The line in Squid's words: the tail is one tag, a list in angle brackets, and anything."""

PASSED = re.compile(r"#|[^/\"]{0,64}?\b(?:Info|Warning|Critical): ")
"""Lines of the logging itself."""


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no access log of a WSA, or None where at least half of its first lines are lines of one."""
    try:
        definitions(hints.logformat, NAME)
    except ValueError as error:
        return str(error)
    texts = [text for text in first_lines(head, hints) if not PASSED.match(text)]
    if not texts:
        return "it has no lines but those of the logging itself"
    readable = [LAYOUT.split(text) is not None for text in texts]
    if sum(readable) * 2 >= len(texts):
        return None
    number = readable.index(False)
    return f"line {number + 1}: {LAYOUT.problem(texts[number])}"


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield exchanges and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If no line could be read, or the stream is damaged.
    """
    yield from finished(evidence, NAME, Log(evidence, (LAYOUT,), PASSED).batches())
