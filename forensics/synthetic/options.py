"""The options of a synthetic campaign.

>>> Campaign(terminals=10, infected=4).upload_days
(17, 18, 19)
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

MICROSECONDS = 1_000_000
HOUR = 3600 * MICROSECONDS
DAY = 24 * HOUR
TIMEZONE = "Asia/Tokyo"
_UTC_OFFSET = 9 * HOUR  # Japan has kept no daylight saving time since 1951
_EPOCH = date(1970, 1, 1)
_LEAST_DAYS = 7
_MOST_TERMINALS = 60_000
_MOST_RELAYS = 500
_CHAIN_RELAYS = 8  # three chains need three first-tier relays and two tiers behind them
_LEAST_SERVERS, _MOST_SERVERS = 20, 100_000
_LEAST_INFECTED = 3  # as many as chains
_LEAST_BEATS = 2
_MOST_GADGETS = 10_000


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """One office's traffic, with or without an intrusion, wholly determined by these options.

    The size of the logs grows with ``terminals`` x ``days`` x ``requests_per_day``; a million requests make about
    200 MB of proxy log before compression.

    Parameters
    ----------
    seed
        Same options and seed, same bytes; another seed gives other relays, periods, times and sizes.
    start
        First day, in office time (Asia/Tokyo).
    days
        Length [d], at least 7. The events keep their places of the model case (first infection 4/21 into the
        period, uploads on the three days from 17/21 on).
    terminals
        Terminals behind the proxy [1], at most 60,000.
    requests_per_day
        Mean browsing requests of one terminal on a working day [1/d]. Services and updates come on top.
    servers
        Benign web servers, of Zipf popularity [1].
    noise
        Standard deviation of the logarithm of a terminal's activity from hour to hour [1]; successive hours
        correlate with 0.8.
    backups
        Terminals that make a nightly backup to an outside service [1]; the last of them starts late.
    one_off_uploads
        Innocent single large uploads during the whole period [1].
    sensor_days
        Last days of the period in which the Zeek sensor ran [d]: it was put up late. ``days`` for all of them.
    clean
        No intrusion at all: no relays, no visits to them, only ``captures/terminal.pcap``. All else is the same
        as with the intrusion.
    infected
        Terminals infected by the end [1].
    relays
        Relays of all tiers [1], 8 to 500; about two thirds are contacted by the office.
    period_s
        Least and greatest beacon period [s]; a pair's period is log-uniform between them.
    jitter
        Typical standard deviation of a beacon interval over its period [1]; a pair has 0.5 to 1.5 times it.
    missed
        Share of beats that do not happen [1].
    beats_per_day
        Beats of one terminal toward one relay on a working day [1/d], as far as office hours allow.
    innocent_visits
        Visits by uninfected terminals to each first-tier relay per week [1/week]; the relays are hacked sites.
    scale
        Factor on the bytes of the planted uploads [1]; at 1 the two main terminals send some 1.5 GB each.
    chain_bytes
        Median payload of a bulk session through a chain [B]; the size of the relay captures follows it.
    gadgets
        Further innocent services that one to three terminals poll [1], in the rhythm of the beacons: some begin in the
        middle of the period, some answer 404 or take POSTs, half of them are asked by the browser itself.
    hosted
        Share of the web servers, and of the first-tier relays without a chain, that live on an address with others
        (shared hosting, content delivery networks) [1].
    answered_404
        Share of beacons that are answered with 404 and a body [1].
    disguise
        Share of the pairs whose beacons look like reading: no 404, other pages and sizes each time [1].
    clock_error_hours
        Whole hours added to the clock of the last captured relay [h], such as 9 for JST read as UTC.

    Raises
    ------
    ValueError
        An option is out of its range.
    """

    seed: int = 20150513
    start: date = date(2015, 5, 4)
    days: int = 21
    terminals: int = 60
    requests_per_day: float = 33.0
    servers: int = 1200
    noise: float = 0.6
    backups: int = 6
    one_off_uploads: int = 12
    sensor_days: int = 5
    clean: bool = False
    infected: int = 31
    relays: int = 23
    period_s: tuple[float, float] = (45.0, 900.0)
    jitter: float = 0.15
    missed: float = 0.05
    beats_per_day: float = 46.0
    innocent_visits: float = 6.0
    scale: float = 1.0
    chain_bytes: int = 24_000
    gadgets: int = 0
    hosted: float = 0.0
    answered_404: float = 0.85
    disguise: float = 0.0
    clock_error_hours: int = 0

    def __post_init__(self) -> None:
        """Fail at once on options that make no campaign."""
        limits = {
            f"days must be at least {_LEAST_DAYS}": self.days >= _LEAST_DAYS,
            f"terminals must be 1 to {_MOST_TERMINALS}": 1 <= self.terminals <= _MOST_TERMINALS,
            "requests_per_day must not be negative": self.requests_per_day >= 0,
            f"servers must be {_LEAST_SERVERS} to 100,000": _LEAST_SERVERS <= self.servers <= _MOST_SERVERS,
            "backups must be 0 to terminals": 0 <= self.backups <= self.terminals,
            "sensor_days must be 0 to days": 0 <= self.sensor_days <= self.days,
            "infected must be 3 to terminals": self.clean or _LEAST_INFECTED <= self.infected <= self.terminals,
            f"relays must be {_CHAIN_RELAYS} to {_MOST_RELAYS}": _CHAIN_RELAYS <= self.relays <= _MOST_RELAYS,
            "period_s must be (least, greatest), positive": 0 < self.period_s[0] <= self.period_s[1],
            "jitter must be 0 to 1": 0 <= self.jitter <= 1,
            "missed must be 0 or more and less than 1": 0 <= self.missed < 1,
            "beats_per_day must be at least 2": self.beats_per_day >= _LEAST_BEATS,
            "noise, innocent_visits and one_off_uploads must not be negative": min(
                self.noise, self.innocent_visits, self.one_off_uploads
            )
            >= 0,
            "gadgets must be 0 to 10,000": 0 <= self.gadgets <= _MOST_GADGETS,
            "hosted, answered_404 and disguise must be 0 to 1": all(
                0 <= share <= 1 for share in (self.hosted, self.answered_404, self.disguise)
            ),
            "scale and chain_bytes must be positive": self.scale > 0 and self.chain_bytes > 0,
        }
        for message, kept in limits.items():
            if not kept:
                raise ValueError(message)

    @property
    def infection_day(self) -> int:
        """Index of the day of the first infection (8 May by default)."""
        return self.days * 4 // 21

    @property
    def upload_days(self) -> tuple[int, int, int]:
        """Indices of the three days of the uploads (21 to 23 May by default)."""
        first = min(self.days * 17 // 21, self.days - 3)
        return first, first + 1, first + 2

    @property
    def capture_day(self) -> int:
        """Index of the day on which relays and the terminal are captured: the last working day before uploads."""
        return max(day for day in range(self.upload_days[0]) if self.is_workday(day) or day == 0)

    def midnight(self, day: int) -> int:
        """First instant of a day of office time [us since 1970 UTC]."""
        return ((self.start - _EPOCH).days + day) * DAY - _UTC_OFFSET

    def is_workday(self, day: int) -> bool:
        """Monday to Friday; the sample keeps no public holidays."""
        return (self.start + timedelta(days=day)).weekday() < 5  # noqa: PLR2004

    def random(self, stream: str, *key: int) -> np.random.Generator:
        """Independent random numbers of one part of the campaign, so that parts do not disturb each other."""
        return np.random.default_rng([self.seed, zlib.crc32(stream.encode()), *key])


def iso(time: int) -> str:
    """ISO 8601 text in UTC of a time [us since 1970 UTC]."""
    moment = datetime.fromtimestamp(time // MICROSECONDS, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time % MICROSECONDS:06d}Z"
