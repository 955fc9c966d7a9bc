"""Logs of the Windows Firewall: ``pfirewall.log``, and ``pfirewall.log.old`` beside it.

Example lines::

    #Version: 1.5
    #Software: Microsoft Windows Firewall
    #Time Format: Local
    #Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin icmptype ...
    2015-05-21 10:00:01 ALLOW TCP 192.0.2.21 203.0.113.7 49152 443 0 - 0 0 0 - - - SEND

==================  ====================================================================
field               becomes
==================  ====================================================================
date time           ``start``, ``end``; on the clock of the machine: a zone is needed
action              ``state``
protocol            ``proto``: a name, or the number of the protocol
src-ip, dst-ip      ``src``, ``dst``, as logged
src-port, dst-port  ``src_port``, ``dst_port``
icmptype, icmpcode  ``src_port``, ``dst_port`` of ICMP
==================  ====================================================================

Traps: no bytes. ``size`` is the length of *one* packet, of a dropped one mostly: both directions are null. The log is
off by default, and so are its lines of connections that were allowed. ``INFO-EVENTS-LOST`` tells of lines that were
never written: it is a gap, not a record. An ``OPEN`` and the ``CLOSE`` of the same ends are one flow; a connection
that never closes has its ``OPEN``. Lines of either ``path`` keep their ends as logged: the sender of a packet that
came in is the other machine. Times are local, and nothing says of which zone. The file starts anew at its largest
size; what was in it is then ``.old``. Localised systems translate the directives, not the fields.

References
----------
.. [1] Microsoft, *Configure Windows Firewall logging*,
   https://learn.microsoft.com/en-us/windows/security/operating-system-security/network-security/windows-firewall/configure-logging
.. [2] Network Uptime, *Windows XP firewall log*, http://www.networkuptime.com: fields and actions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._columns import either
from forensics.formats._connections import joined
from forensics.formats._elff import declined
from forensics.formats._elff_columns import Reader
from forensics.formats._firewall import proto_of
from forensics.formats._hosts import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints
    from forensics.formats._elff_columns import Lines
    from forensics.formats._sheet import Bools, Ints

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "TITLE", "declines", "parse"]

NAME = "windows_firewall"
TITLE = "Windows Firewall log"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
STAMP = "end"
OBSERVES: tuple[str, ...] = ()

_LOST = b"INFO-EVENTS-LOST"


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is no log of the Windows Firewall, or None where its fields are those of one."""
    return declined(head, hints, NAME)


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of a log of the Windows Firewall.

    Parameters
    ----------
    evidence
        The opened log.
    """
    return joined(Reader(evidence, NAME, _put).batches(), opens=("OPEN", "OPEN-INBOUND"), closes=("CLOSE",))


def _put(lines: Lines) -> None:
    """Put the rows of a run into its sheet."""
    time = lines.times()
    action = lines.field("action")
    lost = np.zeros(lines.rows, np.bool_) if action is None else lines.sheet.equals(action, _LOST)
    if lost.any():
        _tell(lines, time, lost)
    proto = lines.words("protocol", convert=proto_of, what="protocol", kind="a protocol")
    icmp = np.isin(proto.codes, [code for code, text in enumerate(proto.values) if text.startswith("icmp")])
    lines.sheet.put(
        "flows",
        ~lost,
        start=time,
        end=time,
        src=lines.client(),
        src_port=either(
            icmp, lines.counts("icmptype", limit=255), lines.counts("src-port", what="src-port", limit=65_535)
        ),
        dst=lines.words("dst-ip", convert=address_of, what="dst-ip"),
        dst_port=either(
            icmp, lines.counts("icmpcode", limit=255), lines.counts("dst-port", what="dst-port", limit=65_535)
        ),
        proto=proto,
        bytes_kind="ip",
        state=lines.words("action"),
    )


def _tell(lines: Lines, time: Ints, lost: Bools) -> None:
    """Tell of lines that the firewall could not write."""
    number = lines.counts("info")
    lines.sheet.note("events_lost", int(number.values[lost & number.known & lines.sheet.good].sum()))
    told = np.flatnonzero(lost & time.known & lines.sheet.good)
    lines.sheet.note("events_lost_lines", len(told))
    for row in told.tolist():
        count = str(number.values[row]) if number.known[row] else "some"
        lines.sheet.gap(row, int(time.values[row]), f"the firewall could not write {count} lines")
