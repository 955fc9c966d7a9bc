"""Single connections of a capture with the timing of their bytes, for comparing them with each other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.reopen import reopened

if TYPE_CHECKING:
    from forensics.case import Case

__all__ = ["Connection", "connections_of"]

KNOWN = """
SELECT
    f.src AS src, f.src_port AS src_port, f.dst AS dst, f.dst_port AS dst_port, f.record AS record,
    unix_micros(f.start) AS start, unix_micros(f."end") AS "end"
FROM flows f
JOIN wanted w ON f.source = w.source AND (f.src = w.host OR f.dst = w.host)
WHERE f.proto = 'tcp'
"""


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """One connection of a capture, with its payload in windows of equal length.

    Parameters
    ----------
    source, record
        The capture and the number of the connection's first packet.
    src, src_port, dst, dst_port
        Originator and responder.
    start, end
        Time of the first and last packet, by the capture's clock, since 1970-01-01 UTC. [us]
    bins
        Numbers of the windows with payload since 1970-01-01 UTC, ascending; shape (n,).
    out, back
        Payload from originator to responder, and back, in each of these windows; shape (n,). [B]
    """

    source: str
    record: int
    src: str
    src_port: int
    dst: str
    dst_port: int
    start: int
    end: int
    bins: np.ndarray
    out: np.ndarray
    back: np.ndarray

    @property
    def key(self) -> tuple[str, int, str, int]:
        """What another capture knows the same connection by."""
        return (self.src, self.src_port, self.dst, self.dst_port)

    def peer(self, host: str) -> str:
        """The other end, seen from one of its hosts."""
        return self.src if self.dst == host else self.dst

    def received(self, host: str) -> np.ndarray:
        """What one of its hosts received in each window. [B]"""
        return self.out if self.dst == host else self.back

    def sent(self, host: str) -> np.ndarray:
        """What one of its hosts sent in each window. [B]"""
        return self.back if self.dst == host else self.out


def connections_of(case: Case, source: str, host: str, bin_us: int) -> list[Connection]:
    """Return the TCP connections of a capture that one host took part in, in order of their start.

    Parameters
    ----------
    case
        The case.
    source
        A capture of the case; it is read once more.
    host
        Address of the host.
    bin_us
        Length of the windows. [us]

    Returns
    -------
    list of Connection
        Those of the connections in ``flows`` that carried payload.

    Raises
    ------
    EvidenceError
        The capture is no longer where it was, or has changed.
    """
    from forensics.packets.activity import activity

    with reopened(case.origin(source)) as stream:
        table = activity(stream, bin_us)
    both = pc.or_(pc.equal(table.column("src"), host), pc.equal(table.column("dst"), host))
    table = table.filter(pc.and_(both, pc.equal(table.column("proto"), "tcp"))).combine_chunks()
    numbers = table.column("flow").to_numpy()
    if not len(numbers):
        return []
    edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1))
    # Columns leave Arrow once, not once for each connection.
    ends = table.take(pa.array(edges[:-1])).select(["src", "src_port", "dst", "dst_port"]).to_pylist()
    starts = table.column("start").cast(pa.int64()).to_numpy()[edges[:-1]].tolist()
    series = tuple(table.column(name).to_numpy() for name in ("bin", "payload_out", "payload_in"))
    known = _known(case, source, host)
    found = []
    for first, start, (a, b) in zip(ends, starts, pairwise(edges.tolist()), strict=True):
        flow = known.get((*_ends(first), start))
        bins, out, back = (column[a:b] for column in series)
        carried = (out > 0) | (back > 0)
        # One that ``flows`` lacks could not be cited, one that carried nothing says nothing.
        if flow is not None and carried.any():
            record, end = flow
            kept = {"bins": bins[carried], "out": out[carried], "back": back[carried]}
            found.append(Connection(source, record, **first, start=start, end=end, **kept))
    return found


def _known(case: Case, source: str, host: str) -> dict[tuple[object, ...], tuple[int, int]]:
    """Return first packet and end of each flow of a host in a capture, by its ends and start."""
    wanted = pa.table({"source": [source], "host": [host]})
    rows = case.sql(KNOWN, wanted=wanted).to_arrow().to_pylist()
    return {(*_ends(row), row["start"]): (row["record"], row["end"]) for row in rows}


def _ends(row: dict[str, object]) -> list[tuple[str, object]]:
    return sorted([(str(row["src"]), row["src_port"]), (str(row["dst"]), row["dst_port"])], key=str)
