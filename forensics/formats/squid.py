r"""Squid access logs: native, common, combined, and any ``logformat``.

Example line (native, Squid 3 to 6)::

    1286536309.450    180 192.0.2.21 TCP_MISS/200 411 GET http://www.example/ alice HIER_DIRECT/203.0.113.7 text/html

========================  ======================  ==================================================================
field                     code                    becomes
========================  ======================  ==================================================================
time                      %ts.%03tu, %tl, %tg     ``end``; ``start`` = end - elapsed [ms]
elapsed                   %tr                     [ms]; without it ``start`` is %tS, else equals ``end``
client                    %>a, %>p                ``src``, ``src_port``
result, status            %Ss/%03>Hs              ``state``, as logged; ``status``, null where it is 000
reply size                %<st                    ``bytes_in``, ``response_bytes`` [B]
request size              %>st                    ``bytes_out``, ``request_bytes`` [B]; the native format has none
method, URL               %rm %ru                 ``method``, ``url``; host to ``name``, or ``dst`` if it is an address
hierarchy code, peer      %Sh/%<a                 ``dst``, where Squid went to the server itself
proxy address             %>la                    ``via``; where not logged, the vantage
content type, headers     %mt, %{User-Agent}>h    ``content_type``, ``user_agent``, ``referer``
SNI                       %ssl::>sni              ``names``, and ``name`` where the URL has none
========================  ======================  ==================================================================

Traps: the time is the request's *end*. Reply sizes only, unless %>st is logged: uploads are null, never 0. A CONNECT
is logged when its tunnel closes. A peer is the server itself only after a ``DIRECT`` code; a parent proxy is not. A
tunnel is called ``ssl`` only on port 443. ``X-Forwarded-For`` is the client's word, so ``src`` stays the connection's
address. ICP rows (``UDP_...``) are queries of other caches. A log of another layout than the built-in ones needs its
squid.conf beside it or ``logformat=``. Logs without result and sizes (referrer, useragent) list requests that
access.log has too: they give no flows.

References
----------
.. [1] Squid configuration directive logformat, https://www.squid-cache.org/Doc/config/logformat/
.. [2] Squid wiki, *Squid Log Files*, https://wiki.squid-cache.org/SquidFaq/SquidLogs: result and hierarchy codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.errors import EvidenceError
from forensics.formats._head import first_lines
from forensics.formats._sheet import finished
from forensics.formats._squid_conf import CONF, layouts
from forensics.formats._squid_log import Log, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "LINES_STAND_ALONE", "NAME", "TITLE", "declines", "parse"]

NAME = "squid"
TITLE = "Squid access log"
COMPANIONS = (CONF,)
EXACT_VOLUMES = False
LINES = True
LINES_STAND_ALONE = True
"""No line depends on another: in any order they give the same rows."""

STAMP = "end"
OBSERVES = ("out", "in")


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no Squid log, or None where at least half of its first lines are lines of one."""
    try:
        known = layouts(hints)
    except ValueError as error:
        return str(error)
    texts = first_lines(head, hints)
    if not texts:
        return "it is empty"
    readable = [any(layout.split(text) for layout in known) for text in texts]
    if sum(readable) * 2 >= len(texts):
        return None
    number = readable.index(False)
    layout, problem = nearest(known, texts[number])
    return f"line {number + 1} as logformat {layout.name}: {problem}"


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, requests, names and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If ``hints.logformat`` is no usable definition, or the stream is damaged.
    forensics.errors.TimezoneNeededError
        If the times carry no zone and ``hints.timezone`` is None.
    """
    try:
        known = layouts(evidence.hints)
    except ValueError as error:
        raise EvidenceError(evidence.source, str(error)) from None
    log = Log(evidence, known)
    yield from finished(evidence, NAME, log.batches())
    log.finish()
