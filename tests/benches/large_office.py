"""A made-up office of any size as a case on disk: flows, volumes, names and requests, written without a log between.

Its shape is that of a sensor at the gateway of an office over `DAYS` days. The office grows with the number of flows:
10,000 flows a terminal, that is 360 a day. Servers are met by Zipf's law; ten percent of the flows are polls by the
clock; people come in the morning and go in the evening. A few relays are planted, as many in any case: terminals that
poll them, and send them much in the last week. The same number of flows and seed give the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

import forensics as fx
from forensics.reading.spread import spread_over_minutes
from forensics.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from forensics.store import Part

__all__ = ["DAYS", "make_office"]

DAYS = 28
PER_TERMINAL = 10_000
"""Flows of a terminal in all days."""

START = int(datetime(2015, 4, 19, 15, tzinfo=UTC).timestamp()) * 1_000_000
"""Midnight of Monday, 20 April 2015, in Tokyo. [us]"""

SECOND, DAY = 1_000_000, 86_400_000_000
POLLED = 0.1
"""Share of the flows that are polls."""

RELAYS, ACCUSED = 3, 2
"""Relays, and terminals that meet each."""

BATCH = 250_000
"""Rows that are written at once."""

AGENTS = tuple(f"Mozilla/5.0 (Windows NT 6.1; rv:{n}.0) Gecko/20100101 Firefox/{n}.0" for n in range(20, 40))


@dataclass(frozen=True)
class Office:
    """How large it is.

    Parameters
    ----------
    flows
        About how many flows it has in all.
    seed
        What random numbers begin with.
    """

    flows: int
    seed: int

    @property
    def terminals(self) -> int:
        """Terminals of the office."""
        return max(20, self.flows // PER_TERMINAL)

    @property
    def servers(self) -> int:
        """Servers outside: the more people, the more sites, but not as many times."""
        return int(20 * self.flows**0.5)


@dataclass
class Rows:
    """Flows of a day: arrays of one length. Times are in [us], since the day's midnight at first; sizes in [B]."""

    start: np.ndarray
    lasted: np.ndarray
    terminal: np.ndarray
    server: np.ndarray
    sent: np.ndarray
    received: np.ndarray

    def ordered(self) -> Rows:
        """Return them in order of time."""
        order = np.argsort(self.start, kind="stable")
        return Rows(*(column[order] for column in vars(self).values()))


def make_office(folder: Path, flows: int, seed: int = 1) -> None:
    """Write a case.

    Parameters
    ----------
    folder
        Where to; it must not exist.
    flows
        About how many flows.
    seed
        What random numbers begin with.
    """
    office = Office(flows, seed)
    case = fx.open_case(folder, timezone="Asia/Tokyo")
    texts = _texts(office)
    written = 0
    with case._store.adding():
        part = case._store.begin()
        for day in range(DAYS):
            rng = np.random.default_rng([seed, day])
            rows = _joined([_browsing(office, day, rng), _polls(office, day, rng), *_planted(office, day, rng)])
            rows = rows.ordered()
            rows.start += START + day * DAY
            for begin in range(0, len(rows.start), BATCH):
                piece = Rows(*(column[begin : begin + BATCH] for column in vars(rows).values()))
                _write(part, piece, written, texts, rng)
                written += len(piece.start)
        part.commit(_source(written, seed), None, None)


def _texts(office: Office) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return addresses and names of servers, and addresses of terminals; every tenth server shares its name."""
    number = np.arange(office.servers + RELAYS)
    addresses = [f"{20 + (n >> 16) % 80}.{(n >> 8) % 256}.{n % 256}.{n * 7 % 250 + 1}" for n in number.tolist()]
    named = np.where(number % 10 == 0, number // 40 * 40, number)
    names = [f"www.site{n}.example" for n in named.tolist()]
    terminals = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(office.terminals)]
    return tuple(pa.array(texts) for texts in (addresses, names, terminals))


def _hours(day: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return times of a day at which people do things; few at night, few on days off. [us]"""
    night = rng.random(count) < (0.03 if day % 7 < 5 else 0.3)  # Saturday and Sunday
    hour = np.where(night, rng.uniform(0, 24, count), np.clip(rng.normal(13.5, 2.6, count), 0, 23.99))
    times: np.ndarray = (hour * 3600 * SECOND).astype(np.int64)
    return times


def _browsing(office: Office, day: int, rng: np.random.Generator) -> Rows:
    """Return what people do: visits of one to a few flows each."""
    share = np.full(DAYS, 1.0)
    share[np.arange(DAYS) % 7 > 4] = 0.1  # Saturday and Sunday
    wanted = office.flows * (1 - POLLED) * share[day] / share.sum()
    size = rng.geometric(0.25, int(wanted / 4))
    visits = len(size)
    # Who is busier is so every day; everybody has a taste of his own for the servers that few know.
    busy = np.cumsum(np.random.default_rng(office.seed).lognormal(0, 0.5, office.terminals))
    terminal = np.searchsorted(busy, rng.uniform(0, busy[-1], visits), side="right").clip(0, office.terminals - 1)
    rank = np.exp(rng.uniform(0, np.log(office.servers), visits)).astype(np.int64) - 1
    own = (rank * 7919 + terminal * 104_729) % office.servers
    server = np.where(rank < office.servers // 50, rank, own)
    visit = np.repeat(np.arange(visits), size)
    count = len(visit)
    start = np.minimum(_hours(day, visits, rng)[visit] + rng.exponential(2 * SECOND, count).astype(np.int64), DAY - 1)
    lasted = np.minimum(rng.lognormal(np.log(2), 1.6, count), 36_000)
    sent, received = rng.lognormal(np.log(1500), 1.2, count), rng.lognormal(np.log(12_000), 1.7, count)
    return _rows(start, lasted, terminal[visit], server[visit], sent, received)


def _polls(office: Office, day: int, rng: np.random.Generator) -> Rows:
    """Return what programs do by the clock while a terminal is on: each polls three of forty services."""
    count = int(office.flows * POLLED / DAYS / office.terminals / 3)
    terminal, turn, beat = np.indices((office.terminals, 3, count)).reshape(3, -1)
    service = (terminal * 31 + turn * 17) % 40
    phase = (terminal * 7919 + turn * 104_729) % 600
    start = 8 * 3600 + phase + beat * (10 * 3600 / max(count, 1)) + rng.normal(0, 2, len(beat))
    shape = rng.normal(1, 0.02, (2, len(beat)))
    return _rows(start * SECOND, np.full(len(beat), 0.4), terminal, service + 40, 600 * shape[0], 900 * shape[1])


def _planted(office: Office, day: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Yield what the relays' terminals do: a beat every ten minutes from the ninth day, uploads in the last week."""
    if day < 9 or day % 7 > 4:
        return
    for relay in range(RELAYS):
        for one in range(ACCUSED):
            beats = 8 * 3600 + np.arange(60) * 600 + rng.normal(0, 20, 60)
            who = np.full(60, (relay * 5 + one * 3 + 1) % office.terminals)
            server = np.full(60, office.servers + relay)
            sent = np.full(60, 700.0)
            if day >= 21:  # the last week
                sent[30:36] = rng.uniform(5e6, 20e6, 6)
            yield _rows(beats * SECOND, np.full(60, 1.5), who, server, sent, np.full(60, 400.0))


def _rows(start: np.ndarray, lasted: np.ndarray, *others: np.ndarray) -> Rows:
    whole = [column.astype(np.int64) for column in (start, lasted * SECOND, *others)]
    return Rows(*whole)


def _joined(parts: list[Rows]) -> Rows:
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Rows(*(np.concatenate(column) for column in columns))


def _write(part: Part, rows: Rows, first: int, texts: tuple[pa.Array, ...], rng: np.random.Generator) -> None:
    """Write flows with their volumes, names and requests."""
    addresses, names, terminals = texts
    count, start = len(rows.start), rows.start
    src, dst = (pa.DictionaryArray.from_arrays(pa.array(at, pa.int32()), words) for at, words in
                ((rows.terminal, terminals), (rows.server, addresses)))  # fmt: skip
    record = np.arange(first + 1, first + count + 1)
    columns = {
        "start": _times(start), "end": _times(start + rows.lasted), "src": src, "dst": dst,
        "src_port": pa.array(rng.integers(1024, 65_536, count), pa.int32()),
        "dst_port": pa.array(np.where(rows.server % 3 == 0, 80, 443), pa.int32()),
        "proto": _same("tcp", count), "service": _same("ssl", count), "bytes_out": rows.sent,
        "bytes_in": rows.received, "bytes_kind": _same("payload", count), "packets_out": rows.sent // 900 + 3,
        "packets_in": rows.received // 900 + 3, "payload_bytes_out": rows.sent, "payload_bytes_in": rows.received,
        "state": _same("SF", count), "vantage": _same("sensor", count), "source": _same("sensor", count),
        "record": record,
    }  # fmt: skip
    flows = _batch("flows", columns, count)
    part.write("flows", flows)
    for volumes in spread_over_minutes(flows):
        part.write("volumes", volumes)
    asked = np.flatnonzero(rng.random(count) < 0.1)
    looked = {
        "time": _times(start[asked] - 30_000), "address": dst.take(pa.array(asked)), "how": _same("dns", len(asked)),
        "name": names.take(pa.array(rows.server[asked])), "client": src.take(pa.array(asked)),
        "source": _same("sensor", len(asked)), "record": record[asked],
    }  # fmt: skip
    part.write("names", _batch("names", looked, len(asked)))
    _write_requests(part, rows, columns, names, rng)


def _write_requests(
    part: Part, rows: Rows, flows: dict[str, pa.Array], names: pa.Array, rng: np.random.Generator
) -> None:
    """Write the requests of those flows that are not encrypted: a third of a third of them."""
    plain = np.flatnonzero((rows.server % 3 == 0) & (rng.random(len(rows.start)) < 0.33))
    at, count = pa.array(plain), len(plain)
    page = rng.integers(0, 500, count).tolist()
    agent = pa.DictionaryArray.from_arrays(pa.array(rows.terminal[plain] % len(AGENTS), pa.int32()), pa.array(AGENTS))
    taken = {name: flows[name].take(at) for name in ("start", "end", "src", "dst", "src_port", "dst_port")}
    columns = taken | {
        "name": names.take(pa.array(rows.server[plain])), "method": _same("GET", count),
        "url": pa.array([f"/page/{n}" for n in page]), "status": pa.array(np.full(count, 200), pa.int32()),
        "user_agent": agent, "request_bytes": rows.sent[plain], "response_bytes": rows.received[plain],
        "source": _same("sensor", count), "record": flows["record"][plain],
    }  # fmt: skip
    part.write("requests", _batch("requests", columns, count))


def _batch(table: str, columns: dict[str, pa.Array], count: int) -> pa.RecordBatch:
    schema = TABLES[table].schema
    arrays = [_array(columns[field.name], field.type) if field.name in columns else pa.nulls(count, field.type)
              for field in schema]  # fmt: skip
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(column: pa.Array | np.ndarray, kind: pa.DataType) -> pa.Array:
    return (column if isinstance(column, pa.Array) else pa.array(column)).cast(kind)


def _times(micros: np.ndarray) -> pa.Array:
    return pa.array(micros, pa.int64()).cast(pa.timestamp("us", "UTC"))


def _same(text: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def _source(flows: int, seed: int) -> dict[str, object]:
    return {
        "source": "sensor", "sha256": sha256(f"{flows} {seed}".encode()).hexdigest(), "size": flows * 120,
        "format": "zeek", "first": START, "last": START + DAYS * DAY,
        "records": flows, "rejected": 0,
        "flows": flows, "observed_out": flows, "observed_in": flows, "vantage": "sensor", "error": None,
    }  # fmt: skip
