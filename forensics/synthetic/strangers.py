"""The rest of a relay's traffic: what makes it hard to tell which flow goes on as which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import catalog, payloads
from .cast import UPSTREAM_RESOLVER, Cast, Relay
from .chains import CAPTURE_BEGIN, CAPTURE_LENGTH
from .options import MICROSECONDS
from .packets import Connection, Message, Packet, converse, datagram, hash_number
from .transactions import LEAST_RECEIVED, LEAST_SENT

if TYPE_CHECKING:
    from collections.abc import Iterator

_VISITS = 10  # mean visits of strangers in the captured hour
_MIRROR = ("mirror.hosting.example", "198.18.0.60")
_VAULT = "198.18.0.61"
_DATABASE = "198.18.0.62"
_PIECE = 2000  # [B]


def strangers(cast: Cast, relay: Relay) -> Iterator[Packet]:
    """Visits, an upload and a copy of about a bulk session's size, an administrator, a database, look-ups."""
    rng = cast.campaign.random("strangers", relay.index)
    begin = cast.campaign.midnight(cast.campaign.capture_day) + CAPTURE_BEGIN
    for time in np.sort(rng.integers(begin, begin + CAPTURE_LENGTH * 9 // 10, rng.poisson(_VISITS))).tolist():
        yield from _visit(rng, relay, time)
    # About when the bulk sessions run: a stranger's upload in, and the relay's own copy out.
    for minute in (17, 44):
        size = int(rng.lognormal(np.log(cast.campaign.chain_bytes), 0.3))
        time = begin + int((minute + rng.uniform(0, 2)) * 60 * MICROSECONDS)
        yield from _stream(rng, (_stranger(rng), relay.address), time, size, near_client=False)
        time += int(rng.uniform(0.05, 8) * MICROSECONDS)
        yield from _stream(rng, (relay.address, _VAULT), time, int(size * rng.uniform(0.85, 1.2)), near_client=True)
    time = begin + int(rng.uniform(1, 20) * 60 * MICROSECONDS)
    yield from _chat(rng, (_stranger(rng), relay.address), time, near_client=False)
    yield from _chat(rng, (relay.address, _DATABASE), time + int(rng.uniform(-60, 60) * MICROSECONDS), near_client=True)
    for time in rng.integers(begin, begin + CAPTURE_LENGTH, 6).tolist():
        yield from _lookup(relay, time)


def _stranger(rng: np.random.Generator) -> str:
    return f"198.19.{rng.integers(256)}.{rng.integers(1, 255)}"


def _visit(rng: np.random.Generator, relay: Relay, time: int) -> Iterator[Packet]:
    address, messages, moment = _stranger(rng), [], time + 1
    agent = catalog.AGENTS[rng.integers(len(catalog.AGENTS))]
    for _ in range(int(rng.integers(1, 5))):
        template, mime = catalog.PAGES[rng.choice([2, 3, 4, catalog.SITE_PAGE])]
        path = template % rng.integers(1, 30)
        asked = payloads.http_request("GET", path, relay.name, agent, LEAST_SENT, head=LEAST_SENT)
        size = LEAST_RECEIVED + int(min(rng.lognormal(np.log(3000), 1.0), 30_000))
        reply = payloads.http_reply(200, mime, size, head=LEAST_RECEIVED)
        messages += [Message(moment, up=True, payload=asked), Message(moment + 30_000, up=False, payload=reply)]
        moment += int(rng.lognormal(np.log(2.0), 1.0) * MICROSECONDS) + 100_000
    port, rtt = int(rng.integers(32_768, 61_000)), int(rng.integers(4000, 150_000))
    yield from converse(
        Connection(address, port, relay.address, 80, time, moment, near_client=False, rtt=rtt), messages
    )


def _stream(
    rng: np.random.Generator, ends: tuple[str, str], time: int, size: int, *, near_client: bool
) -> Iterator[Packet]:
    """A one-way transfer over TLS, paced as the bulk sessions are."""
    pieces = max(size // _PIECE, 2)
    times = time + 500_000 + np.cumsum(rng.lognormal(np.log(0.12), 0.6, pieces) * MICROSECONDS).astype(np.int64)
    messages = [Message(moment, up=True, payload=payloads.records(size // pieces)) for moment in times.tolist()]
    messages.append(Message(int(times[-1]) + 200_000, up=False, payload=payloads.records(90)))
    yield from _secure(rng, ends, time, messages, near_client=near_client)


def _chat(rng: np.random.Generator, ends: tuple[str, str], time: int, *, near_client: bool) -> Iterator[Packet]:
    """Short questions and answers over TLS, as an administrator's session or a database has them."""
    messages, moment = [], time + 500_000
    for _ in range(int(rng.integers(20, 40))):
        moment += int(rng.lognormal(np.log(3.0), 1.1) * MICROSECONDS)
        size = int(rng.lognormal(np.log(400), 1.0)) + 40
        messages.append(Message(moment, up=True, payload=payloads.records(int(rng.integers(40, 200)))))
        messages.append(Message(moment + 40_000, up=False, payload=payloads.records(min(size, 6000))))
    yield from _secure(rng, ends, time, messages, near_client=near_client)


def _secure(
    rng: np.random.Generator, ends: tuple[str, str], time: int, messages: list[Message], *, near_client: bool
) -> Iterator[Packet]:
    port, rtt = int(rng.integers(32_768, 61_000)), int(rng.integers(4000, 90_000))
    closed = messages[-1].time + MICROSECONDS
    yield from converse(Connection(ends[0], port, ends[1], 443, time, closed, near_client, rtt), messages)


def _lookup(relay: Relay, time: int) -> Iterator[Packet]:
    name, address = _MIRROR
    number = hash_number(relay.address, time) % 65_536
    here, there = (relay.address, 32_768 + number % 28_000), (UPSTREAM_RESOLVER, 53)
    yield datagram(time, here, there, payloads.dns_question(number, name), near=True)
    yield datagram(time + 9000, there, here, payloads.dns_answer(number, name, address, 3600), near=False)
