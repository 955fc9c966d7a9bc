"""Pairs of terminal and outside server with the times of their contacts, block by block, in order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.detectors._held import meetings_held
from forensics.detectors._office import office_of, others_of
from forensics.detectors._remembered import remembered
from forensics.engines import query_text
from forensics.engines._parts import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from forensics.case import Case
    from forensics.detectors._visits import Floats, Ints

    PairFunction: TypeAlias = Callable[["Block"], Mapping[str, np.ndarray]]

__all__ = ["STROBE", "Block", "Pairs", "find_pairs", "per_pair"]

STROBE = 86_400
"""Contacts a day from which on they are no beats that could be told apart."""

KEYS = ("src", "server", "vantage")
"""Columns that a contact and its pair have in common."""

DAY = 86_400_000_000

GROUPS = (*(f"{first}." for first in range(224, 240)), "255.", "ff")
"""How addresses of groups, and of everybody, begin; most servers need no closer look."""


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
    """Contacts of some pairs, in order of pair and time.

    Parameters
    ----------
    pair
        Number of each pair among all, ascending.
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

    pair: Ints
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
    with meetings_held(case):
        table = case.sql(query_text("beacon_pairs"), **_who(case), limits=_limits(least)).to_arrow()
    first, last = (table.column(name).cast(pa.int64()).to_numpy() for name in ("first_seen", "last_seen"))
    days = np.maximum((last - first) / DAY, 1)
    calm = table.column("contacts").to_numpy() < STROBE * days
    total = table.column("total")[0].as_py() if len(table) else _count_pairs(case)
    return Pairs(table.filter(pa.array(calm)), int((~calm).sum()), total)


def _count_pairs(case: Case) -> int:
    """Return the number of all pairs, where none has enough contacts to tell it."""
    counted = f"SELECT count(*) AS n FROM ({query_text('beacon_pairs')}\n)"  # noqa: S608  # a query of ours
    with meetings_held(case):
        return int(case.sql(counted, **_who(case), limits=_limits(1)).to_arrow().column("n")[0].as_py())


def per_pair(case: Case, pairs: Pairs, function: PairFunction, schema: pa.Schema) -> pa.Table:
    """Return what a function tells of each pair, in their order; it runs where the contacts lie, block by block.

    Parameters
    ----------
    case
        The case.
    pairs
        The pairs.
    function
        Returns arrays of a block, with a value for each of its pairs, by name. It must be one that workers can import.
    schema
        The names, and the types of the values.
    """
    narrow = pa.schema([(name, pairs.table.schema.field(name).type) for name in KEYS] + [("grain", pa.int32())])
    keys = pairs.table.select([*KEYS, "grain"]).cast(narrow)
    keys = keys.append_column("pair", pa.array(np.arange(len(keys)), pa.int32()))
    told = pa.schema([pa.field("pair", pa.int64()), *schema])
    rows = case.sql(query_text("beacon_contacts"), pairs=keys)
    found = rows.mapped(partial(_told, function=function, schema=told), told, ("pair", "start"))
    # Where one process works, parts come back in order; to sort so many rows takes seconds.
    in_order = bool((np.diff(found.column("pair").to_numpy()) > 0).all())
    return (found if in_order else found.sort_by("pair")).drop_columns("pair")


def _told(batches: Iterable[pa.RecordBatch], *, function: PairFunction, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Return what a function tells of the pairs of a part of the contacts."""
    for block in _blocks_of(batches):
        values = {"pair": block.pair, **function(block)}
        columns = [pa.array(values[field.name], field.type) for field in schema]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _blocks_of(batches: Iterable[pa.RecordBatch]) -> Iterator[Block]:
    """Return contacts in order of pair and time, block by block; a pair is never cut."""
    return map(_block, parts_of(batches, "pair"))


def _block(rows: pa.Table) -> Block:
    """Return rows in order of pair and time as a block; contacts at one microsecond are one."""
    pair, grain = (rows.column(name).to_numpy() for name in ("pair", "grain"))
    time, until = (rows.column(name).cast(pa.int64()).to_numpy() for name in ("start", "until"))
    size = rows.column("bytes_out").cast(pa.float64()).to_numpy(zero_copy_only=False)
    begin = np.flatnonzero(np.append(True, (pair[1:] != pair[:-1]) | (time[1:] != time[:-1])))
    if len(begin) < len(pair):
        pair, time, grain = pair[begin], time[begin], grain[begin]
        until, size = np.maximum.reduceat(until, begin), np.fmax.reduceat(size, begin)
    opens = np.append(True, pair[1:] != pair[:-1])
    first = np.flatnonzero(opens)
    return Block(pair[first], np.cumsum(opens) - 1, time, until, size, grain[first].astype(np.float64))


def _who(case: Case) -> dict[str, pa.Table]:
    """Return the terminals, the servers, and which of these are meant: not those at whose address all listen."""
    office, servers = office_of(case), others_of(case)
    groups = pa.array(filter(_is_group, office["outside"]["server"].to_pylist()), pa.string())
    meant = servers.filter(pc.invert(pc.is_in(servers["server"], groups)))
    return {"terminals": office["terminals"], "servers": servers, "asked": meant.select(["number"])}


def _is_group(server: str) -> bool:
    """Tell whether an address is that of a group or of everybody: announcements by the clock are how networks work."""
    if not server.lower().startswith(GROUPS):
        return False
    try:
        address = ip_address(server)
    except ValueError:
        return False
    return address.is_multicast or server == "255.255.255.255"


def _limits(least: int) -> pa.Table:
    return pa.table({"least": pa.array([least], pa.int64())})
