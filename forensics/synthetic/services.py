"""What machines do by themselves or people do once: polling, updates, backups, single large uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import catalog
from .beats import beat
from .options import HOUR, MICROSECONDS
from .transactions import CONNECT_REQUEST, LEAST_RECEIVED, LEAST_SENT, Ints, Rows, lognormal_int, make_rows
from .truth import Tally, Transfer, transfers

if TYPE_CHECKING:
    from .cast import Cast

_PATCHES = 6  # files of a patch day, per terminal
_SINGLE = 40_000_000  # median of a one-off upload [B]
_MOST_SINGLE = 900_000_000
_OFF_CAPTURE = np.array([*range(9 * 60, 13 * 60), *range(15 * 60, 18 * 60)])  # minutes of the day


def poll(cast: Cast, day: int, tally: Tally) -> Rows:
    """One day of all polling services."""
    parts = [_poll_one(cast, day, place, tally) for place in range(len(catalog.POLLERS))]
    return np.concatenate(parts)


def _poll_one(cast: Cast, day: int, place: int, tally: Tally) -> Rows:
    poller = catalog.POLLERS[place]
    workday = cast.campaign.is_workday(day)
    begins, ends = poller.hours
    always = (begins, ends) == (0, 24)
    if not (always or workday):
        return make_rows(0)
    clients = _pollers(cast, place)
    rng = cast.campaign.random("polling", place, day)
    # Terminals are switched on within half an hour and off within an hour.
    begin = begins + rng.random(len(clients)) / 2 * (not always)
    active_s = 3600 * (ends - begin + rng.random(len(clients)) * (not always))
    start = cast.campaign.midnight(day) + (begin * HOUR).astype(np.int64) + rng.integers(60 * MICROSECONDS, size=1)
    period, jitter = np.full(len(clients), poller.period_s), np.full(len(clients), poller.jitter)
    owner, time = beat(rng, start=start, active_s=active_s, period_s=period, jitter=jitter, missed=0.01)
    count = len(time)
    received = lognormal_int(rng, poller.received, 0.05, count)
    received = np.where(rng.random(count) < 0.03, received * rng.integers(2, 40, count), received)  # noqa: PLR2004
    rows = make_rows(
        count,
        start=time,
        end=time + lognormal_int(rng, 90_000, 0.5, count),
        client=clients[owner],
        server=cast.service[poller.name],
        sent=poller.sent + rng.integers(24, size=count),
        received=np.maximum(received, LEAST_RECEIVED),
        page=catalog.POLL_PAGE,
        number=6,
        status=poller.status,
        verb=poller.verb,
    )
    tally.add(rows, owner, period, jitter)
    return rows


def _pollers(cast: Cast, place: int) -> Ints:
    poller = catalog.POLLERS[place]
    count = min(len(cast.terminals), max(poller.fewest, round(poller.share * len(cast.terminals))))
    return np.sort(cast.campaign.random("pollers", place).permutation(len(cast.terminals))[:count])


def update(cast: Cast, day: int) -> Rows:
    """Daily definitions for every terminal, and on patch day all patches for all terminals at once."""
    if not cast.campaign.is_workday(day):
        return make_rows(0)
    rng = cast.campaign.random("updates", day)
    patched = day == patch_day(cast)
    files = _PATCHES if patched else 1
    count = len(cast.terminals) * files
    client = np.repeat(np.arange(len(cast.terminals)), files)
    received = lognormal_int(rng, 25_000_000 if patched else 250_000, 1.0, count)
    lasted = (received / rng.lognormal(np.log(2e6), 0.5, count) * MICROSECONDS).astype(np.int64) + 200_000
    begin = cast.campaign.midnight(day) + 9 * HOUR + (rng.exponential(0.4, count) * HOUR).astype(np.int64)
    return make_rows(
        count,
        start=begin,
        end=begin + lasted,
        client=client,
        server=cast.service[catalog.UPDATES],
        sent=rng.integers(500, 560, count),
        received=received,
        page=catalog.UPDATE_PAGE,
        number=3_000_000 + day * 100 + np.arange(count) % files,
    )


def patch_day(cast: Cast) -> int:
    """Day of the patches: the second Wednesday of office time (13 May 2015 by default), or the first."""
    weekday = cast.campaign.start.weekday()
    first = (2 - weekday) % 7
    return first + 7 if first + 7 < cast.campaign.days else first


def back_up(cast: Cast, day: int, truth: list[Transfer]) -> Rows:
    """Nightly uploads of some terminals to a backup service, in several tunnels each."""
    rng = cast.campaign.random("backups", day)
    plan = cast.campaign.random("backup plan")
    clients = plan.permutation(len(cast.terminals))[: cast.campaign.backups]
    hours, medians = plan.uniform(19.5, 27.5, len(clients)), plan.lognormal(np.log(90e6), 0.7, len(clients))
    # The last one is installed late: a new, regular, large upload, and innocent.
    firsts = np.where(np.arange(len(clients)) == cast.campaign.backups - 1, cast.campaign.days * 2 // 3, 0)
    everyday = plan.random(len(clients)) < 0.5  # noqa: PLR2004
    parts = []
    for place, client in enumerate(clients.tolist()):
        if day < firsts[place] or not (everyday[place] or cast.campaign.is_workday(day)):
            continue
        begin = cast.campaign.midnight(day) + int((hours[place] + rng.normal(0, 0.03)) * HOUR)
        size = int(medians[place] * rng.lognormal(0, 0.35))
        rows = send(
            rng,
            begin=begin,
            client=client,
            server=cast.service[catalog.BACKUP],
            size=size,
            pieces=int(rng.integers(3, 7)),
            verb=catalog.CONNECT,
        )
        truth.extend(transfers(cast, rows))
        parts.append(rows)
    return np.concatenate([make_rows(0), *parts])


def single_uploads(cast: Cast, day: int, truth: list[Transfer]) -> Rows:
    """Large files sent once to file sharing, web mail or a print shop, as large as a burst of the intrusion."""
    rng = cast.campaign.random("one-off uploads")
    count = cast.campaign.one_off_uploads
    workdays = [one for one in range(cast.campaign.days) if cast.campaign.is_workday(one)]
    days, clients = rng.choice(workdays, count), rng.integers(len(cast.terminals), size=count)
    minutes, places = rng.choice(_OFF_CAPTURE, count), rng.integers(len(catalog.SHARING), size=count)
    sizes = np.minimum(lognormal_int(rng, _SINGLE, 1.2, count), _MOST_SINGLE)
    parts = []
    for one in np.flatnonzero(days == day):
        begin = cast.campaign.midnight(day) + int(minutes[one]) * 60 * MICROSECONDS
        server = cast.service[catalog.SHARING[places[one]]]
        rows = send(
            cast.campaign.random("one-off upload", int(one)),
            begin=begin,
            client=int(clients[one]),
            server=server,
            size=int(sizes[one]),
            pieces=1 + int(one) % 3,
            verb=catalog.CONNECT,
        )
        truth.extend(transfers(cast, rows))
        parts.append(rows)
    return np.concatenate([make_rows(0), *parts])


def send(rng: np.random.Generator, *, begin: int, client: int, server: int, size: int, pieces: int, verb: int) -> Rows:
    """``pieces`` transactions one after the other that send ``size`` bytes [B] from ``begin`` [us] on."""
    share = rng.dirichlet(np.full(pieces, 4.0))
    sent = (share * size).astype(np.int64) + 4 * CONNECT_REQUEST
    lasted = (sent / rng.lognormal(np.log(1.2e6), 0.4, pieces) * MICROSECONDS).astype(np.int64) + 300_000
    pauses = (rng.exponential(4.0, pieces) * MICROSECONDS).astype(np.int64)
    end = begin + np.cumsum(lasted + pauses)
    return make_rows(
        pieces,
        start=end - lasted,
        end=end,
        client=client,
        server=server,
        sent=sent,
        received=np.maximum(lognormal_int(rng, 3000 if verb == catalog.CONNECT else 700, 0.3, pieces), LEAST_RECEIVED),
        page=catalog.SHARE_PAGE,
        number=rng.integers(1, 1000, pieces),
        verb=verb,
    )


def read_sites(cast: Cast, rng: np.random.Generator, day: int, servers: Ints, readers: Ints) -> Rows:
    """One working day of people who read ordinary sites."""
    counts = rng.poisson(cast.campaign.innocent_visits / 5, len(servers))
    server = np.repeat(servers, counts)
    begin = cast.campaign.midnight(day) + rng.integers(9 * HOUR, 18 * HOUR, len(server))
    pages = rng.integers(2, 9, len(server))
    client = np.repeat(rng.choice(readers, len(server)), pages)
    count = len(client)
    start = np.repeat(begin, pages) + np.sort(rng.integers(0, 240 * MICROSECONDS, count))
    return make_rows(
        count,
        start=start,
        end=start + lognormal_int(rng, 180_000, 0.6, count),
        client=client,
        server=np.repeat(server, pages),
        sent=LEAST_SENT + lognormal_int(rng, 120, 0.5, count),
        received=LEAST_RECEIVED + np.minimum(lognormal_int(rng, 9000, 1.2, count), 60_000),
        page=rng.choice([2, 3, 4, catalog.SITE_PAGE], count),
        number=rng.integers(1, 30, count),
    )
