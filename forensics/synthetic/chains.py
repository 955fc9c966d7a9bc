"""Sessions that run through several relays: what is said, when, and over which hops.

A session is a tunnel from the terminal through the proxy to a first-tier relay, which opens a connection to the
second tier, and that one to the third tier or the operator. Interactive sessions are short orders and their answers;
bulk sessions push files out. Every relay decrypts and encrypts again, so that sizes change a little and messages wait
a little at each hop; times and sizes are alike, never equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import catalog
from .options import HOUR, MICROSECONDS
from .transactions import CONNECT_REPLY, CONNECT_REQUEST, Floats, Ints, Rows, make_rows

if TYPE_CHECKING:
    from .cast import Cast, Relay

PORT = 443
CAPTURE_BEGIN, CAPTURE_LENGTH = int(13.5 * HOUR), HOUR
_SESSIONS = 4  # per chain, interactive and bulk by turns
_PIECE = 2000  # [B]
_OPENING = 200  # first message, which greets and names the server [B]
_PAD = 16  # a relay pads every message to a multiple of this and adds a header of 5 [B]


@dataclass(frozen=True)
class Session:
    """One tunnel. Messages leave the terminal (up) or the far end (down) at ``time``; arrays of one length."""

    number: int  # from 1; the ``tag`` of its transaction
    chain: int
    client: int
    opened: int  # [us since 1970 UTC]
    closed: int
    time: Ints  # [us since 1970 UTC]
    up: Ints  # 1 or 0
    size: Ints  # [B]


@dataclass(frozen=True)
class Hops:
    """The addresses behind the proxy, first relay to the last, and the one-way delay of each link [us]."""

    client: int
    relays: list[Relay]
    addresses: list[str]
    delay: Ints  # shape (hops,): office to first relay, and so on


@dataclass(frozen=True)
class Carried:
    """A session on one link, at the near end (where it leaves) and at the far end (where it arrives)."""

    opened: tuple[int, int]
    closed: tuple[int, int]
    time: tuple[Ints, Ints]
    up: Ints
    size: Ints


def plan_chains(cast: Cast) -> list[Hops]:
    """Three chains; the first two share their second relay, the last one ends at the operator."""
    if cast.campaign.clean:
        return []
    rng = cast.campaign.random("chains")
    early = cast.infected[cast.infected_at < cast.campaign.midnight(cast.campaign.capture_day)]
    clients = rng.permutation(early)[:3] if len(early) >= 3 else cast.infected[:3]  # noqa: PLR2004
    front, second, third = cast.front, cast.tier(2), cast.tier(3)
    routes = [
        [front[0], second[0], third[0]],
        [front[1], second[0], third[-1]],
        [front[2], second[1]],
    ]
    chains = []
    for client, route in zip(clients.tolist(), routes, strict=True):
        addresses = [relay.address for relay in route]
        if len(route) == 2:  # noqa: PLR2004
            addresses.append(cast.operator)
        chains.append(Hops(client, route, addresses, rng.integers(4000, 80_000, len(addresses))))
    return chains


def plan_sessions(cast: Cast, chains: list[Hops]) -> list[Session]:
    """The sessions of all chains; all fall into the hour that is captured."""
    rng = cast.campaign.random("sessions")
    base = cast.campaign.midnight(cast.campaign.capture_day) + CAPTURE_BEGIN
    sessions: list[Session] = []
    for chain, hops in enumerate(chains):
        # Sessions of one chain follow each other, those of different chains overlap.
        minutes = np.array([2, 16, 29, 43]) + rng.uniform(0, 3, _SESSIONS)
        for place in range(_SESSIONS):
            opened = base + int(minutes[place] * 60 * MICROSECONDS)
            after_s, up, size = _bulk(rng, cast) if place % 2 else _interactive(rng)
            time = opened + 1_500_000 + (after_s * MICROSECONDS).astype(np.int64)
            closed = int(time[-1]) + 2 * MICROSECONDS
            sessions.append(Session(len(sessions) + 1, chain, hops.client, opened, closed, time, up, size))
    return sessions


def session_rows(chains: list[Hops], sessions: list[Session]) -> Rows:
    """The proxy's row of every session."""
    up = np.array([int(session.size[session.up == 1].sum()) for session in sessions], np.int64)
    down = np.array([int(session.size[session.up == 0].sum()) for session in sessions], np.int64)
    return make_rows(
        len(sessions),
        start=np.array([session.opened for session in sessions], np.int64),
        end=np.array([session.closed for session in sessions], np.int64),
        client=[session.client for session in sessions],
        server=[chains[session.chain].relays[0].index for session in sessions],
        sent=CONNECT_REQUEST + up,
        received=CONNECT_REPLY + down,
        verb=catalog.CONNECT,
        tag=[session.number for session in sessions],
    )


def carry(cast: Cast, hops: Hops, session: Session) -> list[Carried]:
    """The session on every link, the office's first."""
    rng = cast.campaign.random("carry", session.number)
    count, links = len(session.time), len(hops.addresses)
    waits = (rng.lognormal(np.log(25e3), 0.6, (links, count))).astype(np.int64)
    # Up: the near end of each link, then its far end, one relay after the other.
    leaving = session.time + 1000
    near = np.empty((links, count), np.int64)
    far = np.empty((links, count), np.int64)
    upward = session.up == 1
    for link in range(links):
        near[link], far[link] = leaving, leaving + hops.delay[link]
        leaving = far[link] + waits[link]
    leaving = session.time + 0
    for link in reversed(range(links)):
        far[link] = np.where(upward, far[link], leaving)
        near[link] = np.where(upward, near[link], leaving + hops.delay[link])
        leaving = leaving + hops.delay[link] + waits[link]
    for way in (upward, ~upward):  # no message overtakes another of its direction
        for side in (near, far):
            side[:, way] = np.maximum.accumulate(side[:, way], axis=1)
    settled = np.concatenate([[0], np.cumsum(2 * hops.delay + 5000)])
    return [
        Carried(
            opened=(session.opened + int(settled[link]), session.opened + int(settled[link] + hops.delay[link])),
            closed=(session.closed + int(settled[link]), session.closed + int(settled[link] + hops.delay[link])),
            time=(near[link], far[link]),
            up=session.up,
            size=session.size if link == 0 else -(-session.size // _PAD) * _PAD + 5,
        )
        for link in range(links)
    ]


def _interactive(rng: np.random.Generator) -> tuple[Floats, Ints, Ints]:
    """Orders from the far end, each answered by the terminal once it has arrived there."""
    orders = int(rng.integers(20, 40))
    asked = 0.5 + np.cumsum(np.minimum(rng.lognormal(np.log(4.0), 1.1, orders) + 1.6, 60))
    answered = asked + 0.8 + rng.random(orders) * 0.7
    time = np.concatenate([[0.0], np.column_stack([asked, answered]).ravel()])
    up = np.concatenate([[1], np.tile([0, 1], orders)])
    orders_size = rng.integers(24, 160, orders)
    answers_size = np.minimum(rng.lognormal(np.log(400), 1.0, orders), 6000).astype(np.int64) + 24
    return time, up, np.concatenate([[_OPENING], np.column_stack([orders_size, answers_size]).ravel()])


def _bulk(rng: np.random.Generator, cast: Cast) -> tuple[Floats, Ints, Ints]:
    """One order and the file that follows, in pieces with pauses of the disk and the line."""
    total = int(rng.lognormal(np.log(cast.campaign.chain_bytes), 0.4))
    pieces = max(total // _PIECE, 4)
    sizes = np.full(pieces, total // pieces)
    gaps = rng.lognormal(np.log(0.12), 0.6, pieces) + (rng.random(pieces) < 0.1) * rng.exponential(4.0, pieces)  # noqa: PLR2004
    time = np.concatenate([[0.0, 0.4], 1.4 + np.cumsum(gaps)])
    up = np.concatenate([[1, 0], np.ones(pieces, np.int64)])
    return time, up, np.concatenate([[_OPENING, 64], sizes])
