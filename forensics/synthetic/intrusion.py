"""The intrusion as the proxy sees it: beacons, uploads, and innocent visits to the same hacked sites.

The shape follows the model case: first infection at 10:28, spread over two weeks, beacons that are answered with
404 and a body, uploads on the last three days before discovery, from two terminals massively and ten less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import catalog
from .beats import beat
from .options import HOUR, MICROSECONDS
from .services import read_sites, send
from .transactions import (
    CONNECT_REQUEST,
    LEAST_RECEIVED,
    LEAST_SENT,
    Bools,
    Floats,
    Ints,
    Rows,
    lognormal_int,
    make_rows,
)
from .truth import Tally, Transfer, transfers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .cast import Cast

_OPENING, _CLOSING = 9.0, 18.0  # office hours [h]
_HEAVY, _LIGHT = 2, 10
_RETIRED = 0.3  # share of pairs given up before the end


@dataclass(frozen=True)
class Pairs:
    """Which infected terminal asks which relay, how often, from when until which day; arrays of one length."""

    client: Ints
    server: Ints
    period_s: Floats
    jitter: Floats
    first: Ints  # [us since 1970 UTC]
    last_day: Ints
    disguised: Bools  # the beacons look like reading


def plan_pairs(cast: Cast) -> Pairs:
    """Every infected terminal has a relay, some have two, and every first-tier relay has a terminal."""
    rng = cast.campaign.random("pairs")
    front, infected = len(cast.front), len(cast.infected)
    count = max(infected + infected * 2 // 5, front)
    weights = 1 / np.arange(1, front + 1)
    relay = np.concatenate([np.arange(front), rng.choice(front, count, p=weights / weights.sum())])[:count]
    order = np.arange(count) % infected
    pairs = np.array(list(dict.fromkeys(zip(order.tolist(), relay.tolist(), strict=True))), np.int64)
    order, relay = pairs[:, 0], pairs[:, 1]
    count, (least, greatest) = len(pairs), cast.campaign.period_s
    first = cast.infected_at[order] + rng.integers(30, 90, count) * MICROSECONDS
    first_day = (first - cast.campaign.midnight(0)) // (24 * HOUR)
    end = cast.campaign.upload_days[2]
    retired = rng.integers(first_day, max(end, int(first_day.max()) + 1))
    return Pairs(
        client=cast.infected[order],
        server=np.array([cast.front[place].index for place in relay], np.int64),
        period_s=np.exp(rng.uniform(np.log(least), np.log(greatest), count)),
        jitter=cast.campaign.jitter * rng.uniform(0.5, 1.5, count),
        first=first,
        last_day=np.where(rng.random(count) < _RETIRED, retired, end),
        disguised=cast.campaign.random("disguised").random(count) < cast.campaign.disguise,
    )


def beacons(cast: Cast, pairs: Pairs, day: int, tally: Tally) -> Rows:
    """One day's beacons; the faster a pair beats, the shorter it is active."""
    if not (cast.campaign.is_workday(day) or day in cast.campaign.upload_days):
        return make_rows(0)
    rng = cast.campaign.random("beacons", day)
    count = len(pairs.client)
    wanted_s = cast.campaign.beats_per_day * pairs.period_s
    latest_s = 3600 * (_CLOSING - _OPENING) - wanted_s
    begin_s = 3600 * _OPENING + rng.random(count) * np.maximum(latest_s, 1800)
    start = cast.campaign.midnight(day) + (begin_s * MICROSECONDS).astype(np.int64)
    start = np.where(pairs.first >= cast.campaign.midnight(day), pairs.first, start)
    closing = cast.campaign.midnight(day) + int(_CLOSING * HOUR)
    active_s = np.minimum(wanted_s, (closing - start) / MICROSECONDS)
    awake = cast.campaign.is_workday(day) | np.isin(pairs.client, uploaders(cast))
    awake &= (pairs.first < cast.campaign.midnight(day + 1)) & (day <= pairs.last_day)
    active_s = np.where(awake, np.maximum(active_s, 0), 0)
    owner, time = beat(
        rng,
        start=start,
        active_s=active_s,
        period_s=pairs.period_s,
        jitter=pairs.jitter,
        missed=cast.campaign.missed,
    )
    rows = _beacon_rows(rng, cast.campaign.answered_404, pairs, owner, time)
    tally.add(rows, owner, pairs.period_s, pairs.jitter)
    return rows


def _beacon_rows(rng: np.random.Generator, answered_404: float, pairs: Pairs, owner: Ints, time: Ints) -> Rows:
    count = len(time)
    ordered = rng.random(count) < 0.06  # noqa: PLR2004 - orders in the body of the reply, results in the next request
    rows = make_rows(
        count,
        start=time,
        end=time + lognormal_int(rng, 220_000, 0.5, count),
        client=pairs.client[owner],
        server=pairs.server[owner],
        sent=LEAST_SENT + lognormal_int(rng, 160, 0.25, count) + ordered * lognormal_int(rng, 3000, 1.0, count),
        received=LEAST_RECEIVED + lognormal_int(rng, 260, 0.3, count) + ordered * lognormal_int(rng, 2500, 1.1, count),
        page=catalog.BEACON_PAGE,
        number=pairs.server[owner] % 90 + 10,
        status=np.where(rng.random(count) < answered_404, 404, 200),
        verb=np.where(rng.random(count) < 0.3, catalog.POST, catalog.GET),  # noqa: PLR2004
    )
    hidden = np.flatnonzero(pairs.disguised[owner])
    rows["page"][hidden] = rng.choice([2, 3, 4, catalog.SITE_PAGE], len(hidden))
    rows["number"][hidden] = rng.integers(1, 30, len(hidden))
    rows["status"][hidden], rows["verb"][hidden] = 200, catalog.GET
    rows["received"][hidden] = LEAST_RECEIVED + lognormal_int(rng, 5000, 1.2, len(hidden))
    return rows


def uploaders(cast: Cast) -> Ints:
    """The terminals that upload: the two main ones first."""
    order = cast.campaign.random("uploaders").permutation(len(cast.infected))[: _HEAVY + _LIGHT]
    return cast.infected[order]


def uploads(cast: Cast, day: int, truth: list[Transfer]) -> Rows:
    """One day's uploads toward the shipping company's server."""
    if day not in cast.campaign.upload_days:
        return make_rows(0)
    rng = cast.campaign.random("uploads", day)
    parts = [make_rows(0)]
    for kind, rows in _day_of_uploads(cast, rng, day):
        parts.append(rows)
        truth.extend(transfers(cast, rows, kind))
    return np.concatenate(parts)


def _day_of_uploads(cast: Cast, rng: np.random.Generator, day: int) -> Iterator[tuple[str, Rows]]:
    server, scale = cast.front[0].index, cast.campaign.scale
    chosen = uploaders(cast).tolist()

    def burst(client: int, hours: tuple[float, float], median: float, pieces: int) -> tuple[str, Rows]:
        begin = cast.campaign.midnight(day) + int(rng.uniform(*hours) * HOUR)
        size = int(scale * rng.lognormal(np.log(median), 0.5))
        rows = send(rng, begin=begin, client=client, server=server, size=size, pieces=pieces, verb=catalog.POST)
        rows["page"] = catalog.DROP_PAGE
        return "burst", rows

    def drain(client: int, hours: tuple[float, float], rate: float) -> tuple[str, Rows]:
        begin, end = (cast.campaign.midnight(day) + int(hour * HOUR) for hour in hours)
        size = int(scale * rate * (hours[1] - hours[0]) * rng.lognormal(0, 0.25))
        return "drain", _trickle(rng, (begin, end), client, server, size)

    # Drains and bursts of one terminal do not overlap, so that each one's bytes can be read off the log.
    for client in chosen[:_HEAVY]:
        yield drain(client, (9.5 + rng.uniform(0, 0.5), 16.5 + rng.uniform(0, 0.4)), 26e6)
        yield burst(client, (7.5, 8.5), 120e6, 8)
        yield burst(client, (17.2, 19.0), 140e6, 12)
    place = cast.campaign.random("upload days").integers(3, size=_LIGHT)
    for client, own in zip(chosen[_HEAVY:], place, strict=False):
        if cast.campaign.upload_days[own] != day:
            continue
        if rng.random() < 0.6:  # noqa: PLR2004
            yield burst(client, (9.0, 18.0), 22e6, 5)
        else:
            yield drain(client, (11.0 + rng.uniform(0, 2), 15.0 + rng.uniform(0, 3)), 3e6)


def _trickle(rng: np.random.Generator, span: tuple[int, int], client: int, server: int, size: int) -> Rows:
    """A drain: a piece about every five minutes."""
    begin, end = span
    pieces = max((end - begin) // (300 * MICROSECONDS), 2)
    share = rng.lognormal(0, 0.5, pieces)
    sent = (share / share.sum() * size).astype(np.int64) + 4 * CONNECT_REQUEST
    lasted = (sent / rng.lognormal(np.log(1.0e6), 0.4, pieces) * MICROSECONDS).astype(np.int64) + 250_000
    start = np.sort(rng.integers(begin, end, pieces))
    return make_rows(
        pieces,
        start=start,
        end=start + lasted,
        client=client,
        server=server,
        sent=sent,
        received=LEAST_RECEIVED + lognormal_int(rng, 240, 0.3, pieces),
        number=rng.integers(1, 1000, pieces),
        verb=catalog.POST,
        page=catalog.DROP_PAGE,
    )


def visits(cast: Cast, day: int) -> Rows:
    """Uninfected terminals that read the hacked sites for what they are."""
    innocent = np.setdiff1d(np.arange(len(cast.terminals)), cast.infected)
    if not (cast.campaign.is_workday(day) and len(innocent) and cast.front):
        return make_rows(0)
    servers = np.array([relay.index for relay in cast.front], np.int64)
    return read_sites(cast, cast.campaign.random("visits", day), day, servers, innocent)
