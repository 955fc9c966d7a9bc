"""Innocent services that poll as the beacons beat: what a ranking of relays must tell from relays.

Each is polled by one to three terminals, with periods, jitter, missed beats and hours of the beacons' own
distribution. A third of them begin in the middle of the period, as a program does that somebody installs; one in five
answers 404, one in four is asked by CONNECT, half of them by the browser itself, as an open page does. Half of them
have a page that other terminals read, as the relays have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import catalog
from .beats import beat
from .options import DAY, HOUR, MICROSECONDS
from .services import read_sites
from .transactions import LEAST_RECEIVED, LEAST_SENT, Bools, Floats, Ints, Rows, lognormal_int, make_rows

if TYPE_CHECKING:
    from .cast import Cast
    from .truth import Tally

_OPENING, _CLOSING = 8.75, 18.0  # [h]
_LATE, _DEAD, _TUNNELLED, _POSTING, _ALL_DAY, _BROWSER = 0.33, 0.2, 0.25, 0.3, 0.3, 0.5  # shares [1]
AGENT = "Gadget/%d.0"


@dataclass(frozen=True)
class Gadgets:
    """Which terminal polls which gadget and how; arrays of one length."""

    client: Ints
    server: Ints
    period_s: Floats
    jitter: Floats
    first_day: Ints
    all_day: Bools
    status: Ints
    verb: Ints
    sent: Ints
    received: Ints


def plan_gadgets(cast: Cast) -> Gadgets:
    """Every gadget's terminals, and what the gadget is like."""
    campaign, count = cast.campaign, cast.campaign.gadgets
    rng = campaign.random("gadgets")
    fellows = np.minimum(rng.choice([1, 2, 3], count, p=[0.6, 0.25, 0.15]), len(cast.terminals))
    one = np.repeat(np.arange(count), fellows)
    clients = [rng.permutation(len(cast.terminals))[:n] for n in fellows.tolist()]
    least, greatest = campaign.period_s
    late = rng.random(count) < _LATE
    verb = rng.choice(
        [catalog.CONNECT, catalog.POST, catalog.GET], count, p=[_TUNNELLED, _POSTING, 1 - _TUNNELLED - _POSTING]
    )
    return Gadgets(
        client=np.concatenate([np.zeros(0, np.int64), *clients]).astype(np.int64),
        server=cast.first_gadget + one,
        period_s=np.exp(rng.uniform(np.log(least), np.log(greatest), count))[one],
        jitter=(campaign.jitter * rng.uniform(0.5, 1.5, count))[one],
        first_day=np.where(late, rng.integers(1, campaign.days, count), 0)[one],
        all_day=(rng.random(count) < _ALL_DAY)[one],
        status=np.where((rng.random(count) < _DEAD) & (verb != catalog.CONNECT), 404, 200)[one],
        verb=verb[one],
        sent=lognormal_int(rng, 250, 1.0, count)[one],
        received=lognormal_int(rng, 400, 1.2, count)[one],
    )


def browser_asks(cast: Cast) -> list[bool]:
    """Of each gadget, whether the browser asks it."""
    answer: list[bool] = (cast.campaign.random("gadget agents").random(cast.campaign.gadgets) < _BROWSER).tolist()
    return answer


def poll_gadgets(cast: Cast, gadgets: Gadgets, day: int, tally: Tally) -> Rows:
    """One working day of all gadgets; those that are not busy all day make as many requests as a beacon."""
    if not cast.campaign.is_workday(day) or not len(gadgets.client):
        return make_rows(0)
    rng = cast.campaign.random("gadget polling", day)
    count = len(gadgets.client)
    whole_s = 3600 * (_CLOSING - _OPENING)
    wanted_s = np.where(gadgets.all_day, whole_s, np.minimum(cast.campaign.beats_per_day * gadgets.period_s, whole_s))
    begin_s = 3600 * _OPENING + rng.random(count) * np.maximum(whole_s - wanted_s, 1800)
    start = cast.campaign.midnight(day) + (begin_s * MICROSECONDS).astype(np.int64)
    left_s = (cast.campaign.midnight(day) + int(_CLOSING * HOUR) - start) / MICROSECONDS
    active_s = np.where(day >= gadgets.first_day, np.maximum(np.minimum(wanted_s, left_s), 0), 0)
    owner, time = beat(
        rng,
        start=np.minimum(start, cast.campaign.midnight(day) + DAY),
        active_s=active_s,
        period_s=gadgets.period_s,
        jitter=gadgets.jitter,
        missed=cast.campaign.missed,
    )
    rows = _rows(rng, gadgets, owner, time)
    tally.add(rows, owner, gadgets.period_s, gadgets.jitter)
    return np.concatenate([rows, _visits(cast, day)])


def _visits(cast: Cast, day: int) -> Rows:
    """Readers of the pages that belong to every other gadget, as many as the relays have."""
    rng = cast.campaign.random("gadget visits", day)
    pages = np.arange(0, cast.campaign.gadgets, 2)
    return read_sites(cast, rng, day, cast.first_gadget + pages, np.arange(len(cast.terminals)))


def _rows(rng: np.random.Generator, gadgets: Gadgets, owner: Ints, time: Ints) -> Rows:
    count = len(time)
    return make_rows(
        count,
        start=time,
        end=time + lognormal_int(rng, 120_000, 0.5, count),
        client=gadgets.client[owner],
        server=gadgets.server[owner],
        sent=LEAST_SENT + (gadgets.sent[owner] * rng.lognormal(0, 0.25, count)).astype(np.int64),
        received=LEAST_RECEIVED + (gadgets.received[owner] * rng.lognormal(0, 0.3, count)).astype(np.int64),
        page=catalog.POLL_PAGE,
        number=gadgets.server[owner] % 90 + 10,
        status=gadgets.status[owner],
        verb=gadgets.verb[owner],
    )
