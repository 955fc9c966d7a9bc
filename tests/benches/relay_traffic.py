"""Made-up connections of a relay, seen at the relay: sessions that go on, and much else that does not.

Interactive sessions (orders and their answers, with pauses as people and programs make them), uploads with stalls,
visitors of an ordinary web site, clients and sessions of the relay's own, keep-alives by the clock. What goes on is
late, jittered, cut into other packets, encrypted again, and, where asked, padded or mixed with dummies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from forensics.chains import BIN
from forensics.series import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = npt.NDArray[np.float64]

RELAY = "203.0.113.7"
EPOCH = 1_431_302_400.0
PACKET = 1400


@dataclass(frozen=True)
class Relaying:
    """How the relay passes on. [s], shares, [B]"""

    jitter: float = 0.02  # scale of the wait of each message, exponential, beside a delay that each chain has
    longest: float = 0.06  # longest delay of a chain
    padded_to: int = 0  # messages on the way on are filled up to multiples of this
    dummies: float = 0.0  # further messages on the way on, by message
    stripped: float = 0.0  # the same on the way in, which the relay takes off


@dataclass(frozen=True)
class Side:
    """Messages of one direction."""

    time: Floats
    size: Floats


Talk = tuple[Side, Side]
"""What the one who opens the connection sends, and what comes back."""


def interactive(rng: np.random.Generator, length: float) -> Talk:
    """Orders from the far end and answers of the near end, as a remote-control program has them."""
    gaps = np.minimum(rng.lognormal(np.log(1.8), 1.0, int(length / 1.2) + 4) + 0.2, 40)
    asked = np.cumsum(gaps)
    asked = asked[asked < length - 1]
    answered = asked + 0.06 + rng.exponential(0.4, len(asked))
    back = Side(asked, rng.integers(24, 160, len(asked)).astype(float))
    return Side(np.sort(answered), np.minimum(rng.lognormal(np.log(400), 1.0, len(asked)), 6000) + 24), back


def upload(rng: np.random.Generator, length: float) -> Talk:
    """A file in pieces, with stalls of the disk and the line."""
    n = int(length / 0.35)
    gaps = rng.lognormal(np.log(0.1), 0.6, n) + (rng.random(n) < 0.07) * rng.exponential(3.0, n)
    time = np.cumsum(gaps)
    time = time[time < length - 1]
    acks = time[:: 1 + int(rng.integers(8, 20))]
    return Side(time, np.full(len(time), 2000.0)), Side(acks + 0.05, np.full(len(acks), 40.0))


def browsing(rng: np.random.Generator, length: float) -> Talk:
    """Pages of a web site: requests in bunches, answers much larger."""
    pages = np.cumsum(rng.lognormal(np.log(9), 1.0, int(length / 6) + 3))
    pages = np.concatenate([[0.0], pages[pages < length - 3]])
    each = rng.geometric(0.3, len(pages))
    asked = np.sort(np.repeat(pages, each) + rng.exponential(0.5, each.sum()))
    return (
        Side(asked, rng.integers(350, 900, len(asked)).astype(float)),
        Side(np.sort(asked + rng.exponential(0.08, len(asked))), rng.lognormal(np.log(9000), 1.3, len(asked))),
    )


def ticking(rng: np.random.Generator, length: float) -> Talk:
    """Keep-alives by a clock, answered at once."""
    every = float(rng.choice([5.0, 15.0, 30.0]))
    time = np.arange(rng.uniform(0, every), length, every)
    return Side(time, np.full(len(time), 48.0)), Side(time + 0.03, np.full(len(time), 48.0))


def connection(ends: tuple[str, str], port: int, talk: Talk, begin: float, length: float) -> Connection:
    """Return a connection from its messages; larger ones than a packet take several, a millisecond apart."""
    windows, sizes = [], []
    for side in talk:
        pieces = np.maximum(np.ceil(side.size / PACKET), 1).astype(int)
        inner = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        times = np.repeat(side.time, pieces) + inner * 1e-3
        windows.append(((EPOCH + begin + times) * 1e6).astype(np.int64) // BIN)
        sizes.append(np.repeat(side.size / pieces, pieces))
    bins, places = np.unique(np.concatenate(windows), return_inverse=True)
    split = len(windows[0])
    out = np.bincount(places[:split], sizes[0], len(bins)).astype(np.int64)
    back = np.bincount(places[split:], sizes[1], len(bins)).astype(np.int64)
    start, end = int((EPOCH + begin) * 1e6), int((EPOCH + begin + length) * 1e6)
    src, dst = ends
    return Connection("relay.pcap", port, src, 1024 + port % 60_000, dst, 443, start, end, bins, out, back)


def passed_on(rng: np.random.Generator, side: Side, how: Relaying, delay: float) -> Side:
    """Return messages as they leave the relay: none overtakes another."""
    time = np.maximum.accumulate(side.time + delay + rng.exponential(max(how.jitter, 1e-9), len(side.time)))
    return Side(time, np.ceil(side.size / 16) * 16 + 5)


def padded(rng: np.random.Generator, side: Side, to: int, dummies: float, length: float) -> Side:
    """Return messages filled up, with dummies of their sizes between them at random."""
    size = np.ceil(side.size / to) * to if to else side.size
    more = rng.poisson(dummies * len(size))
    time = np.concatenate([side.time, rng.uniform(0, length, more)])
    size = np.concatenate([size, rng.choice(size, more) if len(size) else np.zeros(0)])
    order = np.argsort(time, kind="stable")
    return Side(time[order], size[order])


def chain(
    rng: np.random.Generator, kind: Callable[..., Talk], number: int, life: tuple[float, float], how: Relaying
) -> tuple[Connection, Connection]:
    """Return a connection into the relay and the one that carries it on."""
    begin, length = life
    near, far = kind(rng, length - 3)
    delay = float(rng.uniform(0.002, how.longest))
    # each side arrives at the relay, waits, and leaves it
    into = near, passed_on(rng, far, how, delay)
    onward = passed_on(rng, near, how, delay), far
    a, b = (padded(rng, side, 0, how.stripped, length - 3) for side in into)
    c, d = (padded(rng, side, how.padded_to, how.dummies, length - 3) for side in onward)
    opened = delay + 0.05
    c, d = Side(c.time - opened, c.size), Side(d.time - opened, d.size)
    keep = [Side(np.maximum(side.time, 0.0), side.size) for side in (c, d)]
    return (
        connection((f"10.1.{number % 200}.{number // 200}", RELAY), number, (a, b), begin, length),
        connection((RELAY, f"10.2.{number % 200}.{number // 200}"), number, (keep[0], keep[1]), begin + opened, length),
    )


STRANGERS: tuple[tuple[float, Callable[..., Talk], bool], ...] = (
    (0.20, interactive, True),
    (0.20, interactive, False),
    (0.33, browsing, True),
    (0.12, browsing, False),
    (0.03, upload, True),
    (0.03, upload, False),
    (0.045, ticking, True),
    (0.045, ticking, False),
)
"""Share of each kind, and whether it leads into the relay. None of them goes on."""


def strangers(rng: np.random.Generator, count: int, spread: float, lengths: tuple[float, float]) -> list[Connection]:
    """Return connections that have nothing to do with each other, opened during ``spread`` seconds."""
    kinds = rng.choice(len(STRANGERS), count, p=[share for share, _, _ in STRANGERS])
    found = []
    for number, kind in enumerate(kinds.tolist()):
        _, make, into = STRANGERS[kind]
        begin, length = float(rng.uniform(0, spread)), float(rng.uniform(*lengths))
        other = f"10.{3 + number // 40_000}.{number % 200}.{number // 200 % 200}"
        ends = (other, RELAY) if into else (RELAY, other)
        found.append(connection(ends, 100_000 + number, make(rng, length), begin, length))
    return found


@dataclass(frozen=True)
class Scene:
    """Connections of a relay, and which pairs of them are one session: record numbers of inbound and outbound."""

    connections: list[Connection]
    planted: list[tuple[Connection, Connection]]


def scene(
    seed: int,
    *,
    flows: int,
    chains: int,
    how: Relaying,
    kind: Callable[..., Talk] = interactive,
    spread: float = 60.0,
    lengths: tuple[float, float] = (65.0, 240.0),
) -> Scene:
    """Return a relay's connections, all but the two of each chain by strangers."""
    rng = np.random.default_rng(seed)
    planted = [
        chain(rng, kind, n, (float(rng.uniform(0, spread)), float(rng.uniform(*lengths))), how) for n in range(chains)
    ]
    others = strangers(rng, flows - 2 * chains, spread, lengths)
    both = [one for pair in planted for one in pair] + others
    order = rng.permutation(len(both))
    return Scene([both[k] for k in order], planted)
