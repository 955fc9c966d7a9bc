"""From a row back to its packets: the frames behind a flow or a finding, taken apart by tshark.

Example::

    spikes = fx.find_spikes(case)
    for packet in fx.dissect(case, spikes.iloc[0]):
        print(packet)
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from forensics.errors import EvidenceError
from forensics.reopen import reopened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from forensics.case import Case
    from forensics.packets.dissect import DissectedPacket

__all__ = ["dissect"]

TSHARK_READS = {None, "gzip"}
"""Compressions that every tshark reads by itself."""

BEHIND = """
WITH behind AS (
    SELECT c.source AS source, c.record AS record
    FROM contacts c
    JOIN wanted w ON c.src = w.src AND c.server = w.dst AND c.start < w."end" AND c."end" >= w.start
)
SELECT f.*
FROM flows f
JOIN behind b ON f.source = b.source AND f.record = b.record
WHERE f.frame_bytes_out IS NOT NULL
UNION
SELECT f.*
FROM flows f
JOIN requests r ON f.source = r.source AND f.src = r.src AND f.src_port = r.src_port
    AND f.dst = coalesce(r.via, r.dst) AND r.start >= f.start AND r.start <= f."end"
JOIN behind b ON r.source = b.source AND r.record = b.record
WHERE f.frame_bytes_out IS NOT NULL
"""
"""Flows behind a finding: its contacts, and the connections to a proxy that carried its requests."""

SAME = """
SELECT f.*
FROM flows f
JOIN wanted w ON f.source = w.source AND f.record = w.record AND f.src = w.src AND f.start = w.start
WHERE f.frame_bytes_out IS NOT NULL
"""
"""The flow that a row of ``flows`` is."""

WANTED = pa.schema(
    [
        ("src", pa.string()),
        ("dst", pa.string()),
        ("start", pa.timestamp("us", "UTC")),
        ("end", pa.timestamp("us", "UTC")),
        ("source", pa.string()),
        ("record", pa.int64()),
    ]
)


def dissect(
    case: Case, row_or_filter: Mapping[str, Any] | pd.Series[Any] | str, *, limit: int = 100
) -> list[DissectedPacket]:
    """Return the packets behind a row in full: every field of every layer, as Wireshark shows them.

    Parameters
    ----------
    case
        The case; its captures must still be where they were read.
    row_or_filter
        A row of ``flows``, a finding (a mapping, or a row of a data frame), or a condition on the columns of ``flows``
        in SQL: ``"dst = '203.0.113.7' AND dst_port = 443"``.
    limit
        Most packets to take apart, the first ones; tshark does some hundreds a second.

    Returns
    -------
    list
        `forensics.packets.dissect.DissectedPacket`, in order of capture and packet number; each prints itself and
        shows itself in a notebook.

    Raises
    ------
    EvidenceError
        No captured packet is behind it (the evidence may be a log), or a capture is no longer where it was, or has
        changed.
    MissingToolError
        tshark or pyshark is not installed; the message says how to get it.
    QueryError
        The condition is no SQL.
    ValueError
        ``limit`` is below 1, or more than tshark is asked for at once.
    """
    from forensics.packets.dissect import MAX_FRAMES
    from forensics.packets.dissect import dissect as take_apart

    if not 1 <= limit <= MAX_FRAMES:
        raise ValueError(f"limit is {limit}, it must be 1 to {MAX_FRAMES}")
    by_source: dict[str, list[Mapping[str, Any]]] = {}
    for flow in _flows(case, row_or_filter):
        by_source.setdefault(flow["source"], []).append(flow)
    if not by_source:
        raise EvidenceError(
            case.title, "no captured packet is behind this: the row comes from a log, or nothing matches"
        )
    compression = {row["source"]: row["compression"] for row in case.sources.to_arrow().to_pylist()}
    packets: list[DissectedPacket] = []
    for source in sorted(by_source):
        if len(packets) >= limit:
            break
        frames = _frames(case, source, by_source[source], limit)[: limit - len(packets)]
        with _plain_capture(case, source, compression[source]) as path:
            packets += take_apart(path, frames)
    return packets


def _flows(case: Case, row_or_filter: Mapping[str, Any] | pd.Series[Any] | str) -> list[dict[str, Any]]:
    """Return the captured flows that are meant."""
    if isinstance(row_or_filter, str):
        query = f"SELECT * FROM flows WHERE frame_bytes_out IS NOT NULL AND ({row_or_filter})"  # noqa: S608  # his own
        flows: list[dict[str, Any]] = case.sql(query).to_arrow().to_pylist()
        return flows
    row = {str(name): value for name, value in row_or_filter.items()}
    missing = {"src", "dst", "start", "end"} - row.keys()
    if missing:
        raise EvidenceError(case.title, f"this row lacks {', '.join(sorted(missing))}: give a flow or a finding")
    # Only a row of `flows` has a protocol; what a finding calls its record is a text of many.
    names = WANTED.names if "proto" in row else WANTED.names[:-2]
    wanted = pa.Table.from_pylist([{name: _plain(row[name]) for name in names}], WANTED)
    behind: list[dict[str, Any]] = case.sql(SAME if "proto" in row else BEHIND, wanted=wanted).to_arrow().to_pylist()
    return behind


def _plain(value: Any) -> Any:  # noqa: ANN401 - a value of a data frame can be anything
    """Return a value as Arrow takes it: pandas' missing values as None, NumPy's numbers as Python's."""
    import pandas as pd

    return None if pd.isna(value) else value.item() if hasattr(value, "item") else value


def _frames(case: Case, source: str, flows: list[Mapping[str, Any]], limit: int) -> list[int]:
    """Return the numbers of the flows' packets in the capture."""
    from forensics.packets.find import FlowKey, find_packets

    table = pa.Table.from_pylist([{"start": flow["start"], "end": flow["end"]} for flow in flows])
    start, end = (table.column(name).cast(pa.int64()).to_pylist() for name in ("start", "end"))
    keys = [FlowKey.of_row({**flow, "start": a, "end": b}) for flow, a, b in zip(flows, start, end, strict=True)]
    with reopened(case, source) as stream:
        found = find_packets(stream, keys, limit=limit)
    return sorted({number for numbers in found for number in numbers})


@contextmanager
def _plain_capture(case: Case, source: str, compression: str | None) -> Iterator[Path]:
    """Give the path of a capture that tshark reads: its own, or that of an expanded copy, which is removed."""
    path = case.evidence_file(source).path
    if compression in TSHARK_READS and path is not None:
        yield path
        return
    with TemporaryDirectory(prefix="forensics-") as folder:
        copy = Path(folder, "capture")
        with reopened(case, source) as stream, copy.open("wb") as target:
            shutil.copyfileobj(stream, target)
        yield copy
