"""Pairs of terminal and outside server with the times of their contacts, block by block, in order."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from forensics.detectors._office import inside_of, office_of
from forensics.detectors._remembered import remembered
from forensics.engines import query_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.case import Case
    from forensics.detectors._visits import Floats, Ints

__all__ = ["STROBE", "Block", "Pairs", "blocks_of", "find_pairs"]

STROBE = 86_400
"""Contacts a day from which on they are no beats that could be told apart."""

BLOCK = 2_000_000
"""Contacts that are held at once; a pair is never cut."""

DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs that have enough contacts to be tested, in order of terminal and server.

    Parameters
    ----------
    table
        Columns of ``beacon_pairs``.
    strobes
        Pairs that have too many contacts and are not in the table.
    total
        All pairs, however few contacts they have.
    """

    table: pa.Table
    strobes: int
    total: int


@dataclass(frozen=True, slots=True)
class Block:
    """Contacts of some pairs, in order of pair and time; the pairs are ``first`` and those that follow.

    Parameters
    ----------
    first
        Number of the first pair.
    owner
        Number of each contact's pair within the block, from 0.
    time
        Start of each contact. [us since 1970]
    until
        End of each contact. [us since 1970]
    size
        Bytes sent, NaN where not observed. [B]
    grain
        For each pair, the unit of its times: 0 (finer than it matters), 1 or 60. [s]
    """

    first: int
    owner: Ints
    time: Ints
    until: Ints
    size: Floats
    grain: Floats

    @property
    def count(self) -> int:
        """Number of pairs."""
        return len(self.grain)


@remembered
def find_pairs(case: Case, least: int) -> Pairs:
    """Return the pairs with at least so many contacts."""
    table = case.sql(query_text("beacon_pairs"), **_who(case), limits=_limits(least)).to_arrow()
    first, last = (table.column(name).cast(pa.int64()).to_numpy() for name in ("first_seen", "last_seen"))
    days = np.maximum((last - first) / DAY, 1)
    calm = table.column("contacts").to_numpy() < STROBE * days
    total = table.column("total")[0].as_py() if len(table) else _count_pairs(case)
    return Pairs(table.filter(pa.array(calm)), int((~calm).sum()), total)


def _count_pairs(case: Case) -> int:
    """Return the number of all pairs, where none has enough contacts to tell it."""
    counted = f"SELECT count(*) AS n FROM ({query_text('beacon_pairs')}\n)"  # noqa: S608  # a query of ours
    return int(case.sql(counted, **_who(case), limits=_limits(1)).to_arrow().column("n")[0].as_py())


def blocks_of(case: Case, pairs: Pairs) -> Iterator[Block]:
    """Return the contacts of pairs, block by block."""
    count = pairs.table.num_rows
    if not count:
        return
    grain = pairs.table.column("grain").to_numpy().astype(np.float64)
    keys = pairs.table.select(["src", "server", "vantage"]).append_column("pair", pa.array(np.arange(count)))
    held: list[pa.RecordBatch] = []
    rows = first = 0
    for batch in case.sql(query_text("beacon_contacts"), pairs=keys).to_batches():
        held.append(batch)
        rows += batch.num_rows
        if rows >= BLOCK:
            whole = pa.Table.from_batches(held)
            number = whole.column("pair").to_numpy()
            cut = int(np.searchsorted(number, number[-1]))
            if cut:
                yield _block(whole.slice(0, cut), first, grain[first : number[-1]])
                first = int(number[-1])
                held, rows = whole.slice(cut).to_batches(), whole.num_rows - cut
    yield _block(pa.Table.from_batches(held), first, grain[first:])


def _block(rows: pa.Table, first: int, grain: Floats) -> Block:
    owner = rows.column("pair").to_numpy().astype(np.int64) - first
    time, until = (rows.column(name).cast(pa.int64()).to_numpy() for name in ("start", "until"))
    size = rows.column("bytes_out").cast(pa.float64()).to_numpy(zero_copy_only=False)
    return Block(first, owner, time, until, size, grain)


def _who(case: Case) -> dict[str, pa.Table]:
    """Return the terminals, and the servers that are no outside ones: inside, or all that listen."""
    office = office_of(case)
    groups = filter(_is_group, office["outside"]["server"].to_pylist())
    listening = pa.table({"server": pa.array(groups, pa.string())})
    return {"terminals": office["terminals"], "inside": pa.concat_tables([inside_of(case), listening])}


def _is_group(server: str) -> bool:
    """Tell whether an address is that of a group or of everybody: announcements by the clock are how networks work."""
    try:
        address = ip_address(server)
    except ValueError:
        return False
    return address.is_multicast or server == "255.255.255.255"


def _limits(least: int) -> pa.Table:
    return pa.table({"least": pa.array([least], pa.int64())})
