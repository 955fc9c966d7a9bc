"""People at their terminals: diurnal, bursty, autocorrelated, heavy-tailed.

References
----------
Session and size distributions follow the shape reported by Crovella and Bestavros (1997), "Self-similarity in World
Wide Web traffic", doi:10.1109/90.650143; the numbers are chosen, not fitted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from . import catalog
from .options import HOUR, MICROSECONDS
from .transactions import LEAST_RECEIVED, LEAST_SENT, Bools, Floats, Ints, Rows, lognormal_int, make_rows, running_sum

if TYPE_CHECKING:
    from .cast import Cast

_SESSION = 6  # mean requests of a session
_SLICE = 200_000  # requests made at a time
_OWN_SITES, _THIRD_PARTY, _POSTED, _CACHED = 0.4, 0.35, 0.05, 0.08
_PERSISTENCE = 0.8  # correlation of a terminal's activity with that of the hour before
_WEEKEND = 0.05
_WEIGHTS = {7: 2, 8: 7, 9: 12, 10: 12, 11: 10, 12: 8, 13: 11, 14: 11, 15: 10, 16: 9, 17: 7, 18: 4, 19: 2, 20: 1}
_PROFILE = np.array([_WEIGHTS.get(hour, 0.2) for hour in range(24)], float)
_PROFILE /= _PROFILE.sum()
_MOST_SENT, _MOST_RECEIVED = 3_000_000, 400_000_000  # [B]
_LONGEST_TUNNEL = 7200.0  # [s]
_STATUSES = ([200, 304, 302, 404], [0.86, 0.08, 0.04, 0.02])


def slices(cast: Cast) -> int:
    """Into how many slices an hour is cut, so that the busiest one has about 200,000 requests."""
    return math.ceil(len(cast.terminals) * cast.campaign.requests_per_day * _PROFILE.max() / _SLICE) or 1


def browse(cast: Cast, day: int, hour: int, part: int = 0) -> Rows:
    """Transactions of the sessions that begin in one slice of an hour of office time."""
    rng = cast.campaign.random("browsing", day, hour + 24 * part)
    parts = slices(cast)
    weight = _PROFILE[hour] * (1.0 if cast.campaign.is_workday(day) else _WEEKEND)
    rate = cast.campaign.requests_per_day * weight * cast.heaviness * activity(cast, day)[:, hour]
    sessions = np.repeat(np.arange(len(rate)), rng.poisson(rate / _SESSION / parts))
    lengths = rng.geometric(1 / _SESSION, len(sessions))
    first = cast.campaign.midnight(day) + hour * HOUR + part * HOUR // parts
    begin = np.repeat(first + rng.integers(HOUR // parts, size=len(sessions)), lengths)
    pauses = rng.lognormal(np.log(6.0), 1.4, len(begin))
    start = begin + (running_sum(pauses, lengths) * MICROSECONDS).astype(np.int64)
    site = _sites(rng, cast, sessions)
    client, server = np.repeat(sessions, lengths), np.repeat(site, lengths)
    elsewhere = rng.random(len(client)) < _THIRD_PARTY
    server[elsewhere] = cast.pick(rng, int(elsewhere.sum()))
    return _exchange(rng, start, client, server, cast.secure[server] > 0)


def activity(cast: Cast, day: int) -> Floats:
    """Factor on each terminal's traffic by hour, of mean 1; shape (terminals, 24)."""
    shocks = cast.campaign.random("activity", day).normal(size=(len(cast.terminals), 24))
    level = np.empty_like(shocks)
    level[:, 0] = shocks[:, 0]
    for hour in range(1, 24):
        level[:, hour] = _PERSISTENCE * level[:, hour - 1] + np.sqrt(1 - _PERSISTENCE**2) * shocks[:, hour]
    result: Floats = np.exp(cast.campaign.noise * level - cast.campaign.noise**2 / 2)
    return result


def _sites(rng: np.random.Generator, cast: Cast, client: Ints) -> Ints:
    popular = cast.pick(rng, len(client))
    own = cast.favourites[client, rng.integers(cast.favourites.shape[1], size=len(client))]
    return np.where(rng.random(len(client)) < _OWN_SITES, own, popular)


def _exchange(rng: np.random.Generator, start: Ints, client: Ints, server: Ints, tunnel: Bools) -> Rows:
    """Fill in sizes, durations, pages and statuses."""
    count = len(start)
    posted = (rng.random(count) < _POSTED) & ~tunnel
    sent = LEAST_SENT + lognormal_int(rng, 180, 0.8, count)
    sent += np.where(posted, lognormal_int(rng, 2500, 1.8, count), 0)
    sent += np.where(tunnel, 700 + lognormal_int(rng, 1800, 1.3, count), 0)
    received = np.where(tunnel, lognormal_int(rng, 24_000, 1.7, count), lognormal_int(rng, 7000, 1.9, count))
    status = np.where(tunnel | posted, 200, rng.choice(_STATUSES[0], count, p=_STATUSES[1]))
    received = np.where(status == 200, received, lognormal_int(rng, 500, 0.3, count))  # noqa: PLR2004
    sent, received = np.minimum(sent, _MOST_SENT), np.clip(received, LEAST_RECEIVED, _MOST_RECEIVED)
    lasted = rng.lognormal(np.log(0.12), 0.8, count) + (sent + received) / rng.lognormal(np.log(1.5e6), 0.6, count)
    lasted += np.where(tunnel, np.minimum(rng.lognormal(np.log(25.0), 1.2, count), _LONGEST_TUNNEL), 0)
    verb = np.where(tunnel, catalog.CONNECT, np.where(posted, catalog.POST, catalog.GET))
    return make_rows(
        count,
        start=start,
        end=start + (lasted * MICROSECONDS).astype(np.int64),
        client=client,
        server=server,
        sent=sent,
        received=received,
        page=rng.integers(catalog.BROWSED, size=count),
        number=np.minimum(rng.zipf(1.7, count), 9999),
        status=status,
        verb=verb,
        hit=(verb == catalog.GET) & (status == 200) & (rng.random(count) < _CACHED),  # noqa: PLR2004
    )
