r"""Access logs of nginx, where they are not the combined format: lists of clients, Ingress-NGINX, any ``log_format``.

Example line (a list of clients in front)::

    192.0.2.21, 198.51.100.7 - - [21/May/2015:10:00:01 +0900] "GET /a HTTP/1.1" 200 59 "-" "curl/7.54.0"

====================  ===========================  ================================================================
field                 variable                     becomes
====================  ===========================  ================================================================
client                $remote_addr, $remote_port   ``src``, ``src_port``; behind trusted proxies what a header says
clients               $proxy_add_x_forwarded_for   ``src``: the last of them, or who stands behind it
host                  $host, $http_host            ``name`` (or ``dst`` if it is an address), ``dst_port``
own address and port  $server_addr, $server_port   ``dst``, ``dst_port``
time                  $time_local, $msec           ``end``
elapsed               $request_time                ``start`` = end - elapsed
request               $request, $request_uri       ``method``, ``url``; an absolute URL gives ``name``, and ``via``
reply size            $bytes_sent                  ``bytes_in`` with head; else $body_bytes_sent, the body alone [B]
request size          $request_length              ``bytes_out`` [B]
headers               $http_referer and so on      ``referer``, ``user_agent``, ``content_type``
X-Forwarded-For       $http_x_forwarded_for        ``src``, where the peer is a trusted proxy; ``via`` is the peer
TLS                   $ssl_protocol, $scheme       ``service``
====================  ===========================  ================================================================

Traps: the built-in *combined* format is Apache's to the byte; without an nginx.conf beside it or ``logformat=`` such a
log is read as Apache's, the times of which are starts. Here the time is the request's *end*. Where a list of clients
stands first and the peer is not logged, its last address is the one that the proxy in front of nginx saw, and stands
for the peer; what is before it is believed only behind trusted proxies. Upstreams are lists. A request that is none
(``""``, 400) leaves method and URL unknown. A client on a socket of the machine is called ``unix``.

References
----------
.. [1] nginx, Module ngx_http_log_module, https://nginx.org/en/docs/http/ngx_http_log_module.html
.. [2] Ingress-NGINX, *Log format*, https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/log-format/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.errors import EvidenceError
from forensics.formats._apache_logformat import KNOWN
from forensics.formats._apache_logformat import compile_logformat as compile_apache
from forensics.formats._clf import Access
from forensics.formats._head import definitions, first_lines
from forensics.formats._layouts import Layout, Layouts
from forensics.formats._nginx_logformat import COMBINED, CONF, ONLY, compile_logformat, configured, only_nginx

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

NAME = "nginx"
TITLE = "nginx access log"
COMPANIONS: tuple[str, ...] = (CONF,)
EXACT_VOLUMES = False
LINES_STAND_ALONE = True
LINES = True
STAMP = "end"
OBSERVES = ("out", "in")


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no access log of nginx, or None where half of its first lines, and one of nginx alone, are."""
    try:
        known = _layouts(hints)
    except ValueError as error:
        return str(error)
    lines = [line.encode() for line in first_lines(head, hints)]
    if not lines:
        return "it is empty"
    if not hints.logformat and CONF not in hints.companions and not any(only_nginx(line) for line in lines):
        return "none of its first lines is of a format that only nginx writes"
    fitting = [known.fitting(line) is not None for line in lines]
    if sum(fitting) * 2 >= len(lines):
        return None
    number = fitting.index(False)
    return f"line {number + 1}: {known.problem(lines[number])}"


def _layouts(hints: Hints) -> Layouts:
    """Return how the lines of a log may be made up."""
    given = definitions(hints.logformat, NAME)
    if given:
        return Layouts([compile_logformat(text, COMBINED if text == "combined" else text) for text in given])
    found: list[Layout] = []
    for name, text in configured(hints.companions).items():
        try:
            found.append(compile_logformat(name, text))
        except ValueError:  # of another log: the built-in ones always remain
            continue
    others = [compile_apache(name, text) for name, text in KNOWN.items() if name != "ssl_request"]
    return Layouts([*found, *(compile_logformat(name, text) for name, text in ONLY.items()), *others])


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield exchanges and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        If ``hints.logformat`` is no usable definition, nothing in the file can be read, or the stream is damaged.
    """
    try:
        known = _layouts(evidence.hints)
    except ValueError as error:
        raise EvidenceError(evidence.source, str(error)) from None
    yield from Access(evidence, known).batches("an access log of nginx")
