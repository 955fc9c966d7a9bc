"""Access logs of Blue Coat / Symantec ProxySG (SGOS): main and any custom ELFF.

Example lines::

    #Software: SGOS 6.7.4.1
    #Fields: date time time-taken c-ip sc-status s-action sc-bytes cs-bytes cs-method cs-uri-scheme cs-host cs-uri-port
    2015-05-21 10:00:01 180 192.0.2.21 200 TCP_NC_MISS 941 729 GET http www.example 80

==============================  ==========================================================================
field                           becomes
==============================  ==========================================================================
date time                       ``end``, in UTC; ``start`` = end - time-taken
time-taken                      [ms]
c-ip, c-port                    ``src``, ``src_port``
cs-bytes, sc-bytes              ``bytes_out``, ``bytes_in``; ``request_bytes``, ``response_bytes`` [B]
cs-method                       ``method``
cs-uri, or its pieces           ``url``; host to ``name``, or ``dst`` if it is an address; ``dst_port``
s-hierarchy, s-supplier-...     ``dst``, where the proxy went to the server itself
r-ip                            ``dst``
s-ip                            ``via``; where not logged, the vantage
s-action                        ``state``
sc-status                       ``status``
cs(User-Agent), cs(Referer)     ``user_agent``, ``referer``
rs(Content-Type)                ``content_type``
cs(X-Forwarded-For)             ``src``, where the peer is a trusted proxy
==============================  ==========================================================================

Traps: times are UTC whatever the zone of the device, and tell the *end*. ``#Fields`` repeats in mid-file and may
change there; ``#Date`` may be older than the lines. A field that stands twice is read where it stands first. Lines may
come through syslog. ``-`` is nothing, never 0. Lines ``unknown - - 0 /`` are connections without a request. A supplier
that is a forwarding host is no server: its address counts only after ``DIRECT``, or where it bears the name that was
asked for. Versions before 4 may have logged ``time-taken`` in another unit; it is read as milliseconds, and the notes
say so. A quote that is never closed is text.

References
----------
.. [1] Broadcom, *ProxySG Access Log Formats*, https://techdocs.broadcom.com: ELFF fields, format "main".
.. [2] W3C, *Extended Log File Format*, https://www.w3.org/TR/WD-logfile.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._elff import declined
from forensics.formats._elff_columns import Reader
from forensics.formats._elff_web import HOST, METHOD, asked_of_proxy, put_requests
from forensics.formats._hosts import address_of, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._elff_columns import Lines
    from forensics.formats._sheet import Bools, Words

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "TITLE", "declines", "parse"]

NAME = "bluecoat"
TITLE = "Blue Coat ProxySG access log"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
LINES = True
STAMP = "end"
OBSERVES: tuple[str, ...] = ("out", "in")


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no log of a ProxySG, or None where its fields are those of one."""
    return declined(head, hints, NAME)


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of a log of a ProxySG.

    Parameters
    ----------
    evidence
        The opened log.
    """
    evidence.notes["time_taken_unit"] = "ms"
    return Reader(evidence, NAME, _put).batches()


def _put(lines: Lines) -> None:
    """Put the rows of a run into its sheet."""
    asked = asked_of_proxy(lines)
    taken = lines.counts("time-taken", what="time-taken", limit=10**12, scale=1000)
    method = lines.field(*METHOD)
    if method is not None:
        lines.sheet.note("without_request", int((lines.sheet.equals(method, b"unknown") & lines.sheet.good).sum()))
    put_requests(
        lines,
        asked,
        taken,
        dst=asked.address.otherwise(_server(lines)),
        via=lines.proxy(),
        how="proxy",
        state=lines.words("s-action"),
    )


def _server(lines: Lines) -> Words:
    """Return the addresses of servers that the proxy itself went to."""
    supplier = lines.words("s-supplier-ip", convert=address_of)
    outbound = lines.words("r-ip", convert=address_of)
    if lines.field("s-hierarchy") is not None:
        hierarchy, named = lines.words("s-hierarchy"), lines.words("s-supplier-name", convert=address_of)
        direct = np.isin(
            hierarchy.codes, [code for code, text in enumerate(hierarchy.values) if text.startswith("DIRECT")]
        )
        return supplier.otherwise(named).otherwise(outbound).only(direct)
    if not supplier.values:
        return outbound
    asked = _same(lines.words("s-supplier-name", convert=name_of), lines.words(*HOST, convert=name_of))
    return outbound.otherwise(supplier.only(asked))


def _same(one: Words, other: Words) -> Bools:
    """Tell which rows have the same word in both columns."""
    places = {value: code for code, value in enumerate(one.values)}
    codes = np.array([*(places.get(value, -2) for value in other.values), -2], np.int32)[other.codes]
    same: Bools = codes == one.codes
    return same
