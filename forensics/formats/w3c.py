"""Any other log of the W3C extended format: Cisco WSA, CloudFront, Incapsula, Oracle Web Cache, Zscaler ELFF.

Example lines::

    #Fields: date time c-ip cs-method cs-uri sc-status cs-bytes sc-bytes cs(User-Agent)
    2015-05-21 10:00:01 192.0.2.21 GET http://www.example/a 200 411 5120 "curl/7.88"

=============================  =========================================================================
field                          becomes
=============================  =========================================================================
date time, timestamp           ``end``, in UTC, or as ``#GMT-Offset`` says
c-ip, c-port                   ``src``, ``src_port``
cs-uri, cs-url, or its pieces  ``url``; host to ``name``, or ``dst`` if it is an address; ``dst_port``
cs-host, cs(Host), r-host      ``name``
r-ip                           ``dst``
s-ip, s-port                   ``via`` where a whole URL was asked for; else ``dst``, ``dst_port``
cs-method, sc-status           ``method``, ``status``
cs-bytes, sc-bytes             ``bytes_out``, ``bytes_in``; ``request_bytes``, ``response_bytes`` [B]
cs(User-Agent), cs(Referer)    ``user_agent``, ``referer``
x-elapsed-time                 [ms]
time-taken                     [s] in logs of CloudFront (x-edge-location)
=============================  =========================================================================

Traps: the draft gives ``time-taken`` in seconds, most programs write milliseconds and some microseconds: it is used
only where the unit is certain, else ``start`` = ``end``. The field ``bytes`` has no direction and is passed over, as
are all fields that are not listed. Text in quotes doubles the quotes in it. Fields are parted by spaces, several of
which are one, or by tabs. ``#Date`` stands in several forms. Whoever wrote ``X-Forwarded-For`` is believed only if
trusted.

References
----------
.. [1] W3C, *Extended Log File Format*, Working Draft WD-logfile-960323, https://www.w3.org/TR/WD-logfile.html
.. [2] Amazon, *CloudFront standard logs*,
   https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/AccessLogs.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._columns import either
from forensics.formats._elff import declined
from forensics.formats._elff_columns import Reader, no_numbers
from forensics.formats._elff_web import METHOD, URI, Asked, asked_of_proxy, asked_of_server, put_requests
from forensics.formats._hosts import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._columns import Ints
    from forensics.formats._elff_columns import Lines

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "TITLE", "declines", "parse"]

NAME = "w3c"
TITLE = "W3C extended log"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
LINES = True
STAMP = "end"
OBSERVES: tuple[str, ...] = ("out", "in")


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no log of the W3C extended format, or None where no other format reads its fields."""
    return declined(head, hints, NAME)


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of a log of the W3C extended format.

    Parameters
    ----------
    evidence
        The opened log.
    """
    return Reader(evidence, NAME, _put).batches()


def _put(lines: Lines) -> None:
    """Put the rows of a run into its sheet."""
    server = lines.words("s-ip", convert=address_of)
    asked, absolute = asked_of_server(lines), np.zeros(lines.rows, np.bool_)
    outbound = lines.words("r-ip", convert=address_of)
    if lines.field(*URI, "cs-uri-scheme", "r-host") is not None:
        whole = asked_of_proxy(lines)
        absolute = whole.service.known | outbound.known | (whole.port.known & (lines.field("r-host") is not None))
        asked = _either(whole, asked, absolute)
    dst = asked.address.only(absolute).otherwise(outbound).otherwise(server.only(~absolute))
    spoken = lines.words(*METHOD).known | absolute
    asked = asked._replace(service=asked.service.only(spoken))
    name = "proxy" if absolute.any() else None
    put_requests(lines, asked, _taken(lines), dst=dst, via=server.only(absolute), how=name)


def _either(whole: Asked, own: Asked, absolute: np.ndarray) -> Asked:
    """Return what was asked of a proxy in some rows, of the server itself in the others."""
    return Asked(
        whole.url,
        whole.service.only(absolute).otherwise(own.service.only(~absolute)),
        whole.name.only(absolute).otherwise(own.name.only(~absolute)),
        whole.address.only(absolute).otherwise(own.address.only(~absolute)),
        either(absolute, whole.port, own.port),
    )


def _taken(lines: Lines) -> Ints:
    """Return how long requests took, where the unit is certain. [us]"""
    if lines.field("x-elapsed-time") is not None:
        return lines.counts("x-elapsed-time", what="x-elapsed-time", limit=10**12, scale=1000)
    place = lines.field("time-taken")
    if place is None:
        return no_numbers(lines.rows)
    if lines.field("x-edge-location") is not None:
        return lines.sheet.decimals(place, what="time-taken", null=(b"-", b""), limit=10**6)
    lines.reader.evidence.notes["time_taken"] = "not used: its unit is not known"
    return no_numbers(lines.rows)
