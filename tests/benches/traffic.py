"""Made-up traffic for benchmarks: conversations with heavy-tailed sizes, and their packets in the order of time.

Memory holds the table of conversations and the packets of one slice of time with those that are still to come, so a
capture may be far larger than the memory.

References
----------
.. [1] RFC 9293: sequence and acknowledgement numbers of TCP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from messages import FILLER_BYTES, Scripts
from wire import ACK, FIN, PSH, RST, SYN, TCP, UDP, Array, Flows, Packets

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["START", "Mix", "Services", "plan", "timeline"]

START = 1_432_166_400
"""When every capture begins: 2015-05-21 00:00 UTC. [s]"""

ICMP = 1
SLICE_PACKETS = 60_000
LARGEST = 20_000
CLOSED, BROKEN, OPEN = range(3)


@dataclass(frozen=True)
class Services:
    """The scripts of a capture by what they speak, as numbers of `Scripts`; none where nobody speaks it."""

    dns: Array
    tls: Array
    http: Array


@dataclass(frozen=True)
class Mix:
    """What a capture is made of: shares of the conversations.

    Parameters
    ----------
    dns, udp, icmp
        Of one query and its reply; of other datagrams; of echo requests and replies. The rest is TCP.
    refused
        Of TCP: a SYN alone, or one that is refused.
    http, other
        Of TCP: HTTP, and what is neither HTTP nor TLS.
    scripted
        Whether TCP conversations are as long as their scripts, HTTP to the packet, and all of them are closed;
        otherwise the total decides.
    seconds
        Time between the first conversation's start and the last one's. [s]
    """

    dns: float = 0.2
    udp: float = 0.07
    icmp: float = 0.03
    refused: float = 0.25
    http: float = 0.12
    other: float = 0.13
    scripted: bool = False
    seconds: float = 3600.0


def plan(rng: np.random.Generator, mix: Mix, services: Services, scripts: Scripts, *, size: tuple[int, int]) -> Flows:
    """Return so many conversations in the order in which they start, of so many packets altogether."""
    count, packets = size
    ranks = rng.random(count)
    names = np.digitize(ranks, np.cumsum([mix.dns, mix.udp, mix.icmp]))  # 0 DNS, 1 UDP, 2 ICMP, 3 TCP
    proto = np.array([UDP, UDP, ICMP, TCP])[names]
    port, script = _services(rng, mix, services, names)
    sizes = _sizes(rng, mix, scripts, (names, script), packets)
    script[(names == 3) & (sizes <= 2)] = -1
    client = np.minimum(rng.zipf(1.3, count), 4000) + rng.integers(0, 400, count)
    order = np.argsort(client, kind="stable")
    first = np.searchsorted(client[order], client[order])
    number = np.empty(count, np.int64)
    number[order] = np.arange(count) - first  # of the conversation among its client's: gives each its own port
    server = (rng.zipf(1.4, count) * 2654435761) % 20_000
    return Flows(
        begin=np.sort(rng.integers(0, int(mix.seconds * 1e6) + 1, count)) + START * 1_000_000,
        packets=sizes,
        proto=proto,
        six=rng.random(count) < 0.05,
        vlan=np.where(rng.random(count) < 0.08, rng.integers(10, 20, count), 0),
        client=0x0A000000 + client,
        server=np.where(names == 0, 0x0A00FF35, 0xC6120000 + server),
        client_port=1024 + number % 64_000,
        server_port=port,
        stamped=rng.random(count) < 0.6,
        client_isn=rng.integers(0, 1 << 32, count),
        server_isn=rng.integers(0, 1 << 32, count),
        script=script,
        ending=np.where(mix.scripted, CLOSED, rng.choice([CLOSED, BROKEN, OPEN], count, p=[0.75, 0.15, 0.1])),
        upload=rng.random(count) < 0.1,
        gap=np.minimum(rng.lognormal(np.log(20e3), 1.0, count), 300e6 / sizes),
    )


def _services(rng: np.random.Generator, mix: Mix, services: Services, names: Array) -> tuple[Array, Array]:
    """Return port and script of each conversation."""
    count = len(names)
    kinds = np.digitize(rng.random(count), np.cumsum([mix.http, mix.other]))  # 0 HTTP, 1 other, 2 TLS
    port = np.select([kinds == 0, kinds == 1], [80, rng.choice([22, 445, 993, 3389], count)], 443)
    script = np.full(count, -1)
    for some, chosen in (
        (names == 0, services.dns),
        ((names == 3) & (kinds == 0), services.http),
        ((names == 3) & (kinds == 2), services.tls),
    ):
        if len(chosen):
            popular = (rng.zipf(1.2, some.sum()) - 1) % len(chosen)
            script[some] = chosen[popular]
    port = np.select([names == 0, names == 1], [53, rng.choice([4500, 27015, 40000, 51820], count)], port)
    return np.where(names == 2, 0, port), script


def _sizes(rng: np.random.Generator, mix: Mix, scripts: Scripts, kinds: tuple[Array, Array], packets: int) -> Array:
    """Return how many packets each conversation has."""
    names, script = kinds
    count = len(names)
    small = np.select([names == 0, names == 1], [2, rng.geometric(1 / 20, count)], 2 * rng.geometric(1 / 2, count))
    if mix.scripted:
        more = np.minimum(rng.lognormal(1.0, 1.6, count), LARGEST).astype(np.int64)
        encrypted = scripts.length[script] + 6 + np.where(scripts.size[scripts.first[script]] > 500, more, 0)
        return np.asarray(np.where(names == 3, encrypted, small))
    refused = rng.random(count) < mix.refused
    sizes = np.where(names == 3, np.where(refused, rng.integers(1, 3, count), 0), small)
    free = np.flatnonzero(sizes == 0)
    if len(free):
        rest = max(packets - int(sizes.sum()), 6 * len(free))  # a very small capture may become a little longer
        sizes[free] = _fit(6 * np.ones(len(free)), rng.lognormal(0, 2.0, len(free)), rest)
    return sizes


def _fit(least: Array, weights: Array, total: int) -> Array:
    """Return whole numbers of heavy-tailed sizes, capped, that add up to a total."""
    low, high = 0.0, float(total)
    for _ in range(100):
        middle = (low + high) / 2
        fits = np.minimum(least + weights * middle, LARGEST).astype(np.int64).sum() <= total
        low, high = (middle, high) if fits else (low, middle)
    sizes = np.minimum(least + weights * low, LARGEST).astype(np.int64)
    missing = total - int(sizes.sum())
    sizes += missing // len(sizes)
    sizes[: missing % len(sizes)] += 1
    return sizes


def timeline(rng: np.random.Generator, flows: Flows, scripts: Scripts) -> Iterator[Packets]:
    """Yield the packets of all conversations in the order of time, some ten thousand at once."""
    slices = int(flows.packets.sum()) // SLICE_PACKETS + 1
    limits = np.searchsorted(np.cumsum(flows.packets), np.arange(1, slices) * SLICE_PACKETS)
    edges = np.unique([0, *limits, len(flows.begin)])
    waiting: list[Packets] = []
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        fresh = _expand(rng, flows, scripts, np.arange(begin, end))
        together = Packets.together([*waiting, fresh])
        order = np.argsort(together.time, kind="stable")
        last = end == len(flows.begin)
        ready = len(order) if last else int(np.searchsorted(together.time[order], flows.begin[end]))
        yield together.pick(order[:ready])
        waiting = [together.pick(order[ready:])]


def _expand(rng: np.random.Generator, flows: Flows, scripts: Scripts, rows: Array) -> Packets:
    """Return all packets of some conversations, one conversation after the other."""
    n = flows.packets[rows]
    flow = np.repeat(rows, n)
    first = np.repeat(np.cumsum(n) - n, n)  # where each packet's conversation begins
    place = np.arange(len(flow)) - first
    left = np.repeat(n, n) - place
    back, start, size = _bodies(rng, flows, flow, place)
    flags = np.where((size > 0) & (size < 1400), ACK | PSH, ACK)
    _follow_scripts(flows, scripts, flow, place, (back, start, size, flags))
    _open_and_close(flows, flow, place, left, (back, size, flags))
    tcp = flows.proto[flow] == TCP
    repeated = _repeat_some(rng, tcp & (flags == ACK) & (place > 8), (back, start, size))
    new = np.where(repeated, 0, size + ((flags & (SYN | FIN)) > 0))
    sent, other = (_before(new * side, first) for side in (~back, back))
    ours, theirs = np.where(back, other, sent), np.where(back, sent, other)
    mine, yours = (
        np.where(back, flows.server_isn[flow], flows.client_isn[flow]),
        np.where(back, flows.client_isn[flow], flows.server_isn[flow]),
    )
    gaps = rng.exponential(1.0, len(flow)) * flows.gap[flow]
    time = flows.begin[flow] + _before(gaps, first).astype(np.int64)
    seq = np.where(tcp, mine + ours - repeated * size, place // 2)
    ack = np.where(flags & ACK, yours + theirs, 0)
    return Packets(flow, time, back, flags, seq, ack, start, size)


def _before(values: Array, first: Array) -> Array:
    """Return for each packet the sum over those of its conversation that came before."""
    sums = np.cumsum(values) - values
    return np.asarray(sums - sums[first])


def _bodies(rng: np.random.Generator, flows: Flows, flow: Array, place: Array) -> tuple[Array, Array, Array]:
    """Return direction and payload of packets that only move data: mostly large ones one way, acknowledged."""
    tcp, icmp = flows.proto[flow] == TCP, flows.proto[flow] == ICMP
    kind, length = rng.random(len(flow)), rng.random(len(flow))
    largest = 1460 - 12 * flows.stamped[flow] - 20 * flows.six[flow]
    partial = 1 + (length * 1400).astype(np.int64)
    full = np.where(length < 0.85, largest, partial)
    down = kind < 0.68
    up = (kind >= 0.68) & (kind < 0.72) & (flows.server_port[flow] != 80)  # HTTP has a script for what it asks
    size = np.select([~tcp, down, up], [np.where(icmp, 56, 20 + partial * 6 // 8), full, partial // 2 + 1], 0)
    back = np.where(tcp, down ^ flows.upload[flow] & (flows.server_port[flow] != 80), place % 2 == 1)
    start = rng.integers(0, (FILLER_BYTES - 2000) // 2, len(flow)) * 2
    return back, start, size


def _follow_scripts(
    flows: Flows, scripts: Scripts, flow: Array, place: Array, columns: tuple[Array, Array, Array, Array]
) -> None:
    """Put the messages of each conversation's script behind its handshake."""
    back, start, size, flags = columns
    number = flows.script[flow]
    line = place - 3 * (flows.proto[flow] == TCP)
    said = np.flatnonzero((number >= 0) & (line >= 0) & (line < scripts.length[number]))
    rows = scripts.first[number[said]] + line[said]
    back[said], start[said], size[said] = scripts.back[rows], scripts.start[rows], scripts.size[rows]
    flags[said] = np.where(scripts.size[rows] > 0, ACK | PSH, ACK)


def _open_and_close(flows: Flows, flow: Array, place: Array, left: Array, columns: tuple[Array, Array, Array]) -> None:
    """Write handshakes and endings over the first and last packets of TCP; anything else has neither."""
    back, size, flags = columns
    tcp = flows.proto[flow] == TCP
    flags[~tcp] = 0
    long = tcp & (place + left >= 6)
    ending = flows.ending[flow]
    closed, broken = long & (ending == CLOSED), long & (ending == BROKEN)
    for some, side, mark in (
        (tcp & (place == 0), False, SYN),
        (tcp & (place == 1), True, SYN | ACK),
        (tcp & (place == 1) & (left == 1), True, RST | ACK),
        (tcp & (place == 2), False, ACK),
        (closed & (left == 3), False, FIN | ACK),
        (closed & (left == 2), True, FIN | ACK),
        (closed & (left == 1), False, ACK),
        (broken & (left == 1), False, RST | ACK),
    ):
        back[some], size[some], flags[some] = side, 0, mark


def _repeat_some(rng: np.random.Generator, data: Array, columns: tuple[Array, Array, Array]) -> Array:
    """Turn one segment in two hundred into a second copy of the one before; return which."""
    back, start, size = columns
    before = np.roll(data & (size > 0), 1) & data & (np.roll(back, 1) == back)
    chosen = before & (rng.random(len(data)) < 0.005)
    chosen &= ~np.roll(chosen, 1)
    rows = np.flatnonzero(chosen)
    start[rows], size[rows] = start[rows - 1], size[rows - 1]
    return np.asarray(chosen)
