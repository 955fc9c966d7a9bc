"""Rows of ``names`` and ``fingerprints`` on their way into the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from forensics.addresses import host_name
from forensics.rows import BATCH_ROWS
from forensics.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.packets.columns import Origin
    from forensics.rows import Rows

__all__ = ["Teller"]


class Teller:
    """Writes rows for the messages of one capture.

    Parameters
    ----------
    rows
        Where the rows go.
    origin
        The evidence file.

    Attributes
    ----------
    failures
        How many messages could not be read, by kind.
    add_name
        Writes one row of ``names`` from time [us], address, name in canonical form, how, client, source and record.
    """

    def __init__(self, rows: Rows, origin: Origin) -> None:
        self.failures: dict[str, int] = {}
        self.rows = rows
        self.source = origin.source
        self._held: dict[str, list[pa.RecordBatch]] = {}
        self._count = 0
        self.add_name = rows.appender("names", "time", "address", "name", "how", "client", "source", "record")
        columns = ("time", "address", "peer", "peer_port", "kind", "fingerprint", "source", "record")
        self._fingerprints = rows.appender("fingerprints", *columns)

    def name(self, seen: tuple[int, int], address: str | None, name: str, how: str, client: str | None) -> None:
        """Write one row of ``names``, unless nothing is left of the name in its canonical form.

        Parameters
        ----------
        seen
            Time [ns] and number of the packet.
        address, name, how, client
            Columns of the table.
        """
        canonical = host_name(name)
        if canonical is not None:
            self.add_name((seen[0] // 1000, address, canonical, how, client, self.source, seen[1]))

    def fingerprint(
        self, seen: tuple[int, int], speaker: str, peer: tuple[str, int | None], kind: str, fingerprint: str
    ) -> None:
        """Write one row of ``fingerprints``.

        Parameters
        ----------
        seen
            Time [ns] and number of the packet.
        speaker
            Whose program it is.
        peer
            Address it spoke to, and the port where that is the server's.
        kind, fingerprint
            Columns of the table.
        """
        self._fingerprints((seen[0] // 1000, speaker, *peer, kind, fingerprint, self.source, seen[1]))

    def hold(self, table: str, **columns: pa.Array) -> None:
        """Keep many rows of a table, those of ``names`` without a name left out, until `tell_held`.

        Parameters
        ----------
        table
            ``names``, ``requests`` or ``fingerprints``.
        **columns
            Its columns, but for ``source``; one that is not given is null.
        """
        schema = TABLES[table].schema
        columns["source"] = pa.repeat(pa.scalar(self.source, pa.string()), len(columns["record"]))
        for field in schema:
            if field.name not in columns:
                columns[field.name] = pa.nulls(len(columns["source"]), field.type)
        batch = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
        if table == "names" and columns["name"].null_count:
            batch = batch.filter(columns["name"].is_valid())
        self._held.setdefault(table, []).append(batch)
        self._count += batch.num_rows

    @property
    def full(self) -> bool:
        """Whether it is time to tell the rows that were kept."""
        return self._count >= BATCH_ROWS

    def tell_held(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the rows that were kept."""
        held, self._held, self._count = self._held, {}, 0
        for table, batches in sorted(held.items()):
            for batch in pa.Table.from_batches(batches).combine_chunks().to_batches(BATCH_ROWS):
                yield table, batch

    def fail(self, kind: str, count: int = 1) -> None:
        """Count messages that could not be read."""
        self.failures[kind] = self.failures.get(kind, 0) + count
