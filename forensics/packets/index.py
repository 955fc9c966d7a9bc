"""The seek index of a capture: which flow each packet belongs to, and where in the file packets can be found.

It is made while the capture is read and kept beside the tables of the case, as two Arrow files. With it, the packets
of a flow are found without reading the capture again.

References
----------
.. [1] Apache Arrow, *Columnar Format*, "IPC File Format".
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.errors import CaseError
from forensics.packets import layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from forensics.packets.layout import Longs, Tables

__all__ = [
    "CARRIED",
    "INDEX",
    "Checkpoint",
    "IndexWriter",
    "PacketIndex",
    "block_batches",
    "packet_batches",
    "read_section",
    "section_state",
]

PACKETS = pa.schema([("flow", pa.int64()), ("inner", pa.int64())])
"""One row per packet, in their order: row ``k`` is packet ``k + 1``. ``flow`` is the ``record`` of the flow that the
packet belongs to by its outermost IP header, null where it belongs to none; ``inner`` that of the flow which it carries
in a tunnel, null of every other."""

FURTHER = pa.schema([pa.field("packet", pa.int64(), nullable=False), pa.field("flow", pa.int64(), nullable=False)])
"""What the table before has no room for, in tunnels within tunnels and in aggregates of 802.11: the number of a packet,
and the serial number of a flow that it belongs to (``layout.F_SERIAL``)."""

CARRIED = pa.schema(
    [
        pa.field("flow", pa.int64(), nullable=False),
        ("src", pa.string()),
        ("src_port", pa.int32()),
        ("dst", pa.string()),
        ("dst_port", pa.int32()),
        ("proto", pa.string()),
    ]
)
"""One row per flow that began further in than a packet's second layer, or in a later part of an aggregate: its serial
number, and what tells it from the other flows that began with the same packet."""

BLOCKS = pa.schema(
    [
        pa.field("record", pa.int64(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("time", pa.int64(), nullable=False),
        pa.field("section", pa.binary()),
    ]
)
"""One row per checkpoint, a place where framing can begin anew: the number of the packet that comes next, the byte of
the expanded capture, the last time seen before it (ns since 1970), which packets without a time of their own take, and
what the file has said about its packets until then (`section_state`), null where that is the same as the row before."""

INDEX: dict[str, pa.Schema] = {"packets": PACKETS, "blocks": BLOCKS, "further": FURTHER, "carried": CARRIED}
"""The tables of the index. They are no tables of a case: queries do not see them."""

_ALWAYS = {"packets", "blocks"}
"""Tables that every index has; the others only where there are tunnels within tunnels, or aggregates."""

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class Checkpoint(NamedTuple):
    """A place in a capture where framing can begin anew; a row of `BLOCKS`."""

    record: int
    offset: int
    time: int
    section: bytes


def section_state(tables: Tables) -> bytes:
    """Return what decides how the packets that follow are framed: a line of the cursor, and the interfaces."""
    cursor = tables.cursor[list(layout.FRAMED_BY)]
    return np.concatenate([cursor, tables.interfaces.ravel()]).astype("<i8").tobytes()


def read_section(state: bytes) -> tuple[Longs, Longs]:
    """Return the values of the cursor (``layout.FRAMED_BY``) and the interfaces that `section_state` wrote."""
    words = np.frombuffer(state, dtype="<i8").astype(np.int64)
    cursor, interfaces = np.split(words, [len(layout.FRAMED_BY)])
    return cursor, interfaces.reshape(-1, layout.I_COLUMNS)


def packet_batches(members: Longs, further: Longs) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield rows of ``packets`` and of ``further``.

    Parameters
    ----------
    members, further
        As `forensics.packets.engine.Harvest` has them.
    """
    if len(members):
        columns = [pa.array(members[:, place], mask=members[:, place] == 0) for place in range(2)]
        yield "packets", pa.RecordBatch.from_arrays(columns, schema=PACKETS)
    if len(further):
        yield "further", pa.RecordBatch.from_arrays([pa.array(further[:, k]) for k in range(2)], schema=FURTHER)


def block_batches(checkpoints: list[Checkpoint]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield rows of ``blocks`` for the checkpoints in a list, and empty it."""
    if checkpoints:
        records, offsets, times, sections = zip(*checkpoints, strict=True)
        changed = [sections[0], *(b if b != a else None for a, b in pairwise(sections))]
        checkpoints.clear()
        yield (
            "blocks",
            pa.RecordBatch.from_pydict(
                {"record": records, "offset": offsets, "time": times, "section": changed}, schema=BLOCKS
            ),
        )


class IndexWriter:
    """Writes the index of one capture.

    Parameters
    ----------
    folder
        Where its files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sinks: dict[str, pa.NativeFile] = {}
        self._writers: dict[str, pa.ipc.RecordBatchFileWriter] = {}

    def write(self, name: str, batch: pa.RecordBatch) -> None:
        """Take a batch of rows of one of the tables of `INDEX`."""
        if name not in self._writers:
            self._sinks[name] = pa.OSFile(str(_file(self._folder, name)), "wb")
            self._writers[name] = pa.ipc.new_file(self._sinks[name], INDEX[name], options=_OPTIONS)
        self._writers[name].write_batch(batch)

    def close(self) -> PacketIndex | None:
        """End the index and return it; None where it is not whole, since the evidence was no capture."""
        while self._writers:
            self._writers.popitem()[1].close()
        for sink in self._sinks.values():
            sink.close()
        return PacketIndex.of(self._folder)


class PacketIndex:
    """The index of one capture, made by `IndexWriter`.

    Parameters
    ----------
    tables
        The files of the tables of `INDEX`, which are mapped into memory.
    """

    def __init__(self, tables: Mapping[str, Path]) -> None:
        self._tables = tables

    @classmethod
    def of(cls, folder: Path) -> PacketIndex | None:
        """Return the index in a folder, None where there is none."""
        files = {name: _file(folder, name) for name in INDEX if _file(folder, name).exists()}
        return cls(files) if files.keys() >= _ALWAYS else None

    def serials(self, flows: pa.Table) -> Longs:
        """Return the serial numbers of flows (``layout.F_SERIAL``).

        Parameters
        ----------
        flows
            The columns of `CARRIED` but ``flow``, and ``record`` and ``tunnel``, as the table ``flows`` has them.
        """
        records = flows.column("record").to_numpy()
        inside = pc.is_in(flows.column("tunnel"), pa.array(["inner", "middle"])).to_numpy(zero_copy_only=False)
        serials: Longs = records << layout.SERIAL_SHIFT | inside
        known: dict[tuple[object, ...], int] = {}
        for batch in self._batches("carried"):
            begun = pc.shift_right(batch.column("flow"), layout.SERIAL_SHIFT)
            for row in batch.filter(pc.is_in(begun, flows.column("record"))).to_pylist():
                serial = row.pop("flow")
                known[serial >> layout.SERIAL_SHIFT, serial & layout.LAYER_MASK > 0, *row.values()] = serial
        if known:
            columns = (flows.column(name).to_pylist() for name in CARRIED.names[1:])
            rows = zip(records.tolist(), inside.tolist(), *columns, strict=True)
            serials = np.array([known.get(row, serials[k]) for k, row in enumerate(rows)], dtype=np.int64)
        return serials

    def numbers(self, serials: Longs) -> Longs:
        """Return the numbers of the packets of flows, from 1, ascending.

        Parameters
        ----------
        serials
            The flows' serial numbers, as `serials` gives them.
        """
        layers, records = serials & layout.SERIAL_PLACE, serials >> layout.SERIAL_SHIFT
        wanted = [(layer, _marked(records[layers == layer])) for layer in range(2) if (layers == layer).any()]
        found: list[Longs] = [np.zeros(0, dtype=np.int64)]
        first = 1
        for batch in self._batches("packets"):
            hit = np.zeros(batch.num_rows, dtype=bool)
            for layer, marked in wanted:
                begun = batch.column(layer).fill_null(0).to_numpy()
                hit |= marked[np.minimum(begun, len(marked) - 1)]
            found.append(np.flatnonzero(hit) + first)
            first += batch.num_rows
        for batch in self._batches("further"):
            hit = np.isin(batch.column("flow").to_numpy(), serials)
            found.append(batch.column("packet").to_numpy()[hit])
        return np.unique(np.concatenate(found))

    def checkpoints(self) -> list[Checkpoint]:
        """Return the places where framing can begin anew, in the order of the file."""
        found: list[Checkpoint] = []
        section = b""
        for batch in self._batches("blocks"):
            for row in batch.to_pylist():
                section = section if row["section"] is None else row["section"]
                found.append(Checkpoint(row["record"], row["offset"], row["time"], section))
        return found

    def _batches(self, name: str) -> Iterator[pa.RecordBatch]:
        """Yield the batches of a table; none of one that is not there."""
        if name not in self._tables:
            return
        with _opened(self._tables[name]) as file:
            reader = pa.ipc.open_file(file)
            for place in range(reader.num_record_batches):
                yield reader.get_batch(place)


def _marked(records: Longs) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return an array that is true at these records; its first and last places, for none and for greater ones, not."""
    marked = np.zeros(int(records.max()) + 2, dtype=bool)
    marked[records] = True
    return marked


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.arrow"


@contextmanager
def _opened(table: Path) -> Iterator[pa.NativeFile]:
    """Open one of the tables; say which file of the case is damaged."""
    try:
        with pa.memory_map(str(table)) as file:
            yield file
    except (OSError, pa.ArrowInvalid) as error:
        raise CaseError(f"{table} is damaged ({error}); restore it, or make the case anew") from error
