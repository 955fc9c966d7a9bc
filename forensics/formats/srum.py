r"""SRUM, what Windows keeps of each program's use of the network: ``SRUDB.dat``, with the package ``dissect.esedb``.

Example of a row of the table ``{973F5D5C-1D90-4944-BE8E-24B94231A174}``, and of the name of its program::

    AutoIncId 4  TimeStamp 42145.0833...  AppId 6  UserId 4  InterfaceLuid 0x6008000000000
    BytesSent 734003200  BytesRecvd 2202010
    IdType 0  IdIndex 6  IdBlob \Device\HarddiskVolume2\Users\mori\AppData\Local\Temp\copier.exe

It tells how much a machine sent and received in each hour, and by which program; *not* to whom. Its rows have neither
``dst`` nor ``name``. So no detector of servers uses them; they are the volume of a host by hour, for
``case.sql``, beside what other evidence of the same hours saw::

    select "end", sum(bytes_out) as sent from flows where src = 'pc7/SRUDB' group by "end" order by sent desc

======================================  ===========================================================================
column                                  becomes
======================================  ===========================================================================
``AutoIncId``                           ``record``
``TimeStamp``                           ``end``; ``start`` is an hour earlier
``BytesSent``, ``BytesRecvd``           ``bytes_out``, ``bytes_in``; ``bytes_kind`` is ``application``
the file                                ``src`` and ``vantage``: no address is in it; give the host as ``vantage=``
``AppId``, ``UserId``                   notes: ``programs``, ``users`` with their bytes, by name
``InterfaceLuid``                       notes: ``interfaces`` with their bytes, by kind
the rows that sent most                 notes: ``largest``, each with time, program, user and interface
``ConnectedTime`` of connectivity       notes: ``connected``, seconds by kind of interface
``IdBlob`` of ``SruDbIdMapTable``       the names of programs and users (security identifiers)
======================================  ===========================================================================

Traps:

- Made from the specification; no real file was met. The samples are our own; ``dissect.esedb`` and libesedb see the
  same rows in them. What ``BytesSent`` counts, headers or not, is not documented.
- A row is written at the end of its hour. Windows also writes earlier, as when it shuts down: such a row covers less
  than the hour that it is spread over. Times are days since 30 December 1899, UTC.
- A program has no column of ours: ``service`` is a protocol, ``name`` a server. So it is in the notes alone.
- Traffic of the machine with itself may be among the rows; ``interfaces`` tells how much (``loopback``).
- The table has the last 30 to 60 days. A database copied from a running machine is in the state ``dirty shutdown``:
  what lies in its transaction logs, ``SRU*.log``, is not in it. ``state`` in the notes says so.
- Deleted rows are passed over and counted. A damaged page or row is a reject, and the others are read. One whose
  checksum is wrong is read, and listed in the notes (pages of up to 8 KiB). A damaged catalog ends the file.
- Names compressed by XPRESS are not unpacked, and some have none: then a program is called by its number, ``#6``.

References
----------
.. [1] libyal, *System Resource Usage Monitor (SRUM) database*, https://github.com/libyal/esedb-kb, documentation.
.. [2] WithSecure, *SRUM Analysis*, https://github.com/WithSecureOpenSource/chainsaw/wiki/SRUM-Analysis: written each
   hour, kept for 60 days.
.. [3] Cyberengage, *Unpacking SRUM*, https://cyberengage.org/post/unpacking-srum-the-digital-forensics-goldmine-in-windows:
   a time is that of writing, each hour and at shutdown.
.. [4] Microsoft, *NET_LUID_LH union*, https://learn.microsoft.com/windows/win32/api/ifdef/ns-ifdef-net_luid_lh
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from forensics.formats._esedb import MAGIC, PAGE_SIZES, opened
from forensics.formats._srum_rows import SrumRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "OBSERVES", "STAMP", "TITLE", "declines", "parse"]

NAME = "srum"
TITLE = "Windows SRUM database"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
STAMP = "end"
OBSERVES = ("out", "in")

_HEADER = 668
_CATALOG = 4
_LEAF = 2


def declines(head: bytes, hints: Hints) -> str | None:  # noqa: ARG001 - the protocol's signature
    """Say why a file is no database of SRUM, or None where it is one, or where its tables are beyond the head."""
    if len(head) < _HEADER or head[4:8] != MAGIC:
        return "it has not the header of a database of ESE"
    (size,) = struct.unpack_from("<I", head, 236)
    if size not in PAGE_SIZES:
        return f"its pages have {size} bytes, which is no size of pages of ESE"
    catalog = head[(_CATALOG + 1) * size : (_CATALOG + 2) * size]
    if b"SruDbIdMapTable" not in head and len(catalog) == size and struct.unpack_from("<I", catalog, 36)[0] & _LEAF:
        return "its catalog, which is one page, has no table of SRUM"
    return None


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.MissingToolError
        The package that reads such databases is not installed.
    forensics.errors.EvidenceError
        Header or catalog cannot be read, the table of usage is missing, nothing of it could be read, or the stream is
        damaged.
    """
    with opened(evidence) as database:
        yield from SrumRows(evidence).batches(database)
