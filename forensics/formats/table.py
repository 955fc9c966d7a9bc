"""Any table, by a description that the analyst writes: which of its columns are which of ours.

Example (``proxy.csv``, and ``proxy.toml`` that describes it)::

    Zeit;Client;Ziel-IP;Host;gesendet KB;Aktion
    21.05.2015 10:00:01;192.0.2.7;203.0.113.9;www.shop.example;12,5;erlaubt

    form = "csv"
    timezone = "Europe/Berlin"
    [columns]
    start = { field = "Zeit", format = "%d.%m.%Y %H:%M:%S" }
    src = "Client"
    dst = "Ziel-IP"

No file is read so unless a description is given; then it alone decides.

============================ =========================================================================
column                       becomes
============================ =========================================================================
``start``, ``end``           ``start`` and ``end`` of the row; one of the two will do
``elapsed``                  what lies between them [s]
``src``                      ``src``, an address
``dst``                      ``dst``, an address
``name``                     ``name``; where it is an address, ``dst``
``url``                      the row is a request too; name, address, port and service are taken from it
``bytes_out``, ``bytes_in``  the counts, of the kind that ``bytes_kind`` says
all others                   the column of that name
============================ =========================================================================

Traps:

- A column that the description names and the file lacks is an error, and the message lists those that there are.
- Rows that ``[only]`` leaves out are counted, as ``passed_over``, and are no rejects, whatever else they hold.
- Numbers of Unix times have one unit in a file; ``times = 1024`` is exact, rounded half to even.
- A decimal comma is no decimal number: such a row is a reject.
- The number of a record is its line; in a table of Arrow or pandas its row, from 1.

References
----------
.. [1] *TOML v1.0.0*, https://toml.io/en/v1.0.0
.. [2] RFC 4180, *Common Format and MIME Type for CSV Files*.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from forensics.errors import EvidenceError
from forensics.formats._sheet import finished
from forensics.formats._table_cuts import cuts_of
from forensics.formats._table_rows import TableRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints

NAME = "table"
TITLE = "Any table, by a description"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False


def declines(head: bytes, hints: Hints) -> str | None:
    """Say why a file is not read as a table: there is no description, or nothing in the file."""
    if hints.table is None:
        return "a table is read only with a description of it: --table"
    return None if head.strip() else "it is empty"


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, requests, names and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.EvidenceError
        There is no description, the file has not the columns that it names, nothing could be read, or the stream is
        damaged.
    forensics.errors.TimezoneNeededError
        Its times carry no zone, and none was given.
    """
    table = evidence.hints.table
    if table is None:
        raise EvidenceError(evidence.source, "a table is read only with a description of it")
    said = evidence.hints
    hints = replace(said, timezone=table.timezone or said.timezone, encoding=table.encoding or said.encoding)
    told = replace(evidence, hints=hints)
    yield from finished(told, NAME, _batches(told))


def _batches(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield what becomes of the records."""
    table = evidence.hints.table
    if table is not None:
        rows = TableRows(evidence, table)
        for cut, places in cuts_of(evidence, table):
            yield from rows.batches(cut, places)
