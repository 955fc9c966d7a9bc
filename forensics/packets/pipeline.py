"""The pipeline of all capture formats: engine, names, tables, in one bounded pass."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from forensics.packets import layout
from forensics.packets.ahead import made_ahead
from forensics.packets.applications import Applications
from forensics.packets.columns import Origin, carried_batches, flow_batches, volume_batches
from forensics.packets.engine import Engine
from forensics.packets.harvest import Harvest, Picks
from forensics.packets.index import block_batches, packet_batches
from forensics.packets.layout import FlowOptions
from forensics.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats import Evidence
    from forensics.packets.opening import ListedName

__all__ = ["read_capture"]


def read_capture(evidence: Evidence, options: FlowOptions | None = None) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Read a capture into tables.

    Parameters
    ----------
    evidence
        The opened file, in any of the containers that are read.
    options
        Where flows end.

    Yields
    ------
    tuple
        A table name (``flows``, ``volumes``, ``names``, ``requests``, ``fingerprints``, ``rejects``, ``exchanges`` for
        flows that exporters of NetFlow told of, and of the index ``packets``, ``blocks``) and a batch of its rows.

    Raises
    ------
    EvidenceError
        The stream's own error, after the rows of all that came before it.
    RuntimeError
        Packets are unaccounted for, see `Engine.audit`; after all rows.
    """
    engine = Engine(evidence.stream, options or FlowOptions())
    engine.open()
    origin = Origin(evidence.source, evidence.vantage)
    rows = Rows()
    applications = Applications(rows, origin)
    with closing(made_ahead(engine.events(), meanwhile=_wake_arrow)) as events:
        for event in events:
            if isinstance(event, Harvest):
                yield from _tables(event, applications, origin)
            elif isinstance(event, Picks):
                applications.take(event)
                yield from applications.told()
                _reject(event, rows, origin)
            else:
                for name in event:
                    _list_name(name, rows, origin)
            if isinstance(event, Harvest) or rows.full:
                yield from rows.drain()
    if engine.damage is not None:
        reason, raw = engine.damage
        rows.reject(origin.source, int(engine.tables.cursor[layout.NUMBER]) + 1, reason, raw)
    _list_last_names(engine, rows, origin)
    yield from rows.drain()
    yield from applications.exported.finish(evidence)
    _note(evidence, engine, applications)
    engine.audit()
    if engine.error is not None:
        raise engine.error


def _wake_arrow() -> None:
    """Have Arrow convert its first value, for which it looks for pandas and imports that where it is installed."""
    pa.scalar(0)


def _note(evidence: Evidence, engine: Engine, applications: Applications) -> None:
    """Write what was met into the notes of the file."""
    evidence.notes.update(engine.facts())
    unread = Counter(applications.failures) + Counter(tls=int(engine.tables.cursor[layout.CUT_HELLOS]))
    met = {"unread_messages": unread, "netflow": applications.exported.datagrams.counts}
    evidence.notes.update({key: dict(sorted(counts.items())) for key, counts in met.items() if counts})


def _tables(event: Harvest, applications: Applications, origin: Origin) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of what the engine has collected."""
    yield from applications.finish(event.closed, event.streams, event.addresses)
    yield from flow_batches(event.closed, event.addresses, applications.labels, origin)
    yield from volume_batches(event.cells, event.addresses, applications.labels, origin)
    applications.forget(event.closed[:, layout.F_SERIAL])
    yield from packet_batches(event.members, event.further)
    yield from carried_batches(event.closed, event.addresses)
    yield from block_batches(event.checkpoints)


def _list_name(name: ListedName, rows: Rows, origin: Origin) -> None:
    """Write a name that the capture itself lists."""
    columns = {"time": name.time // 1000, "record": name.record, "source": origin.source}
    rows.add("names", **columns, address=name.address, name=name.name, how="capture")


def _list_last_names(engine: Engine, rows: Rows, origin: Origin) -> None:
    """Write the names that are left at the end; without any packet they have no time, and are a reject."""
    left = engine.container.settle(engine.tables.cursor)
    for name in engine.container.told():
        _list_name(name, rows, origin)
    if left:
        raw = "\n".join(f"{address} {name}" for address, name in left).encode("utf-8", "backslashreplace")
        rows.reject(origin.source, None, "names listed by a capture without packets: they have no time", raw)


def _reject(picks: Picks, rows: Rows, origin: Origin) -> None:
    """Write packets that belong to no flow into ``rejects``; of an unread link type only the first one comes here."""
    for place in np.flatnonzero(picks.columns[:, layout.P_KIND] < layout.PICK_DNS).tolist():
        pick = picks.one(place)
        kind = pick.columns[layout.P_KIND]
        if kind == layout.UNREAD_LINK:
            reason = f"packets of link type {pick.columns[layout.P_START]} are not read; this is the first of them"
        else:
            reason = layout.REJECT_REASONS[kind]
        rows.reject(origin.source, pick.columns[layout.P_NUMBER], reason, pick.data)
