"""Who takes part: terminals, servers, relays, their names and addresses.

All addresses are private (RFC 1918), for documentation (RFC 5737) or for benchmarks (RFC 2544); all names lie under
the reserved top-level domains of RFC 2606.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from . import catalog
from .options import HOUR, Campaign

if TYPE_CHECKING:
    from .transactions import Floats, Ints

PROXY = "10.20.0.8"
PROXY_PORT = 3128
RESOLVER = "10.20.0.53"
ROUTER = "10.20.0.1"
OFFICE = "203.0.113.10"  # the proxy's public address
OFFICE_RESOLVER = "203.0.113.11"
UPSTREAM_RESOLVER = "198.18.0.53"
_RESERVED = 16  # the office's own part of 203.0.113.0/24
_FAVOURITES = 12  # servers a terminal goes back to
_LIFETIMES = (1800, 7200, 28_800, 86_400)  # of DNS answers [s]
_CHAINED = 3  # first-tier relays that the chains go through: each has an address of its own
_LODGERS = 8  # mean sites of an address with several
_TIERS = (0.65, 0.22)  # shares of the first and second tier of relays; the rest is the third


@dataclass(frozen=True)
class Relay:
    """A hacked server; ``index`` is its place among the servers, ``tier`` counts from the office."""

    index: int
    address: str
    name: str
    tier: int


@dataclass(frozen=True)
class Cast:
    """Everybody, drawn once per campaign; arrays have one entry per terminal or per server."""

    campaign: Campaign
    terminals: list[str]
    agents: list[int]
    heaviness: Floats
    names: list[str]
    addresses: list[str]
    secure: Ints
    lifetime: Ints  # of the name's DNS answer [s]
    relays: list[Relay]
    operator: str
    infected: Ints
    infected_at: Ints  # [us since 1970 UTC]

    @cached_property
    def popularity(self) -> Floats:
        """Cumulative Zipf popularity of the web servers, shape (servers,)."""
        weight = 1.0 / np.arange(1, self.campaign.servers + 1) ** 1.05
        result: Floats = np.cumsum(weight) / weight.sum()
        return result

    @cached_property
    def favourites(self) -> Ints:
        """Each terminal's own servers, shape (terminals, 12)."""
        rng = self.campaign.random("favourites")
        return self.pick(rng, len(self.terminals) * _FAVOURITES).reshape(-1, _FAVOURITES)

    @cached_property
    def service(self) -> dict[str, int]:
        """Index of each named service among the servers."""
        return {name: self.campaign.servers + place for place, name in enumerate(catalog.SERVICES)}

    @property
    def first_gadget(self) -> int:
        """Index of the first polled gadget among the servers; they come after the relays."""
        return self.campaign.servers + len(catalog.SERVICES) + len(self.relays)

    @property
    def front(self) -> list[Relay]:
        """The relays the office contacts."""
        return [relay for relay in self.relays if relay.tier == 1]

    def tier(self, tier: int) -> list[Relay]:
        """The relays of one tier."""
        return [relay for relay in self.relays if relay.tier == tier]

    def pick(self, rng: np.random.Generator, count: int) -> Ints:
        """Servers by popularity."""
        place = np.searchsorted(self.popularity, rng.random(count))
        return np.minimum(place, self.campaign.servers - 1).astype(np.int64)


def make_cast(campaign: Campaign) -> Cast:
    """Draw everybody, each property from its own stream: the innocent are the same with and without the intrusion."""
    pool = _relay_addresses(campaign.random("relay addresses"))
    relays = [] if campaign.clean else _relays(campaign, pool)
    servers = campaign.servers + len(catalog.SERVICES)
    gadgets = [f"poll{number}.gadget.test" for number in range(campaign.gadgets)]
    names = [*_web_names(campaign), *catalog.SERVICES, *(relay.name for relay in relays), *gadgets]
    places = _server_addresses(campaign, servers + campaign.gadgets)
    places[: campaign.servers] = _shared(campaign, places[: campaign.servers])
    relays = _lodged(campaign, relays, places[: campaign.servers])
    addresses = [*places[:servers], *(relay.address for relay in relays), *places[servers:]]
    infected, infected_at = _infections(campaign)
    return Cast(
        campaign=campaign,
        terminals=[f"10.20.{1 + n // 250}.{1 + n % 250}" for n in range(campaign.terminals)],
        agents=campaign.random("agents").choice(3, campaign.terminals, p=[0.6, 0.15, 0.25]).tolist(),
        heaviness=campaign.random("heaviness").lognormal(-0.32, 0.8, campaign.terminals),
        names=names,
        addresses=addresses,
        secure=_secure(campaign, len(names)),
        lifetime=campaign.random("lifetimes").choice(_LIFETIMES, len(names), p=[0.1, 0.2, 0.3, 0.4]),
        relays=relays,
        operator=pool[-1],
        infected=infected,
        infected_at=infected_at,
    )


def terminal_name(index: int) -> str:
    """Name of a terminal."""
    return f"pc-{index + 1:05d}.office.example"


def _relay_addresses(rng: np.random.Generator) -> list[str]:
    ranges = (("203.0.113", _RESERVED), ("198.51.100", 1), ("192.0.2", 1))
    pool = [f"{prefix}.{host}" for prefix, first in ranges for host in range(first, 255)]
    return [pool[place] for place in rng.permutation(len(pool))]


def _relays(campaign: Campaign, pool: list[str]) -> list[Relay]:
    rng = campaign.random("relays")
    first = math.floor(campaign.relays * _TIERS[0])
    second = first + math.ceil(campaign.relays * _TIERS[1])
    words = len(catalog.TRADES)
    sites = rng.permutation(len(catalog.PLACES) * words)
    suffixes = rng.choice(["example", "test"], campaign.relays, p=[0.7, 0.3])
    base = campaign.servers + len(catalog.SERVICES)
    relays = []
    for place in range(campaign.relays):
        name = f"www.{catalog.PLACES[sites[place] // words]}-{catalog.TRADES[sites[place] % words]}.{suffixes[place]}"
        tier = 1 if place < first else 2 if place < second else 3
        # The first relay is the shipping company in Minato, on whose server the data were found.
        relays.append(Relay(base + place, pool[place], catalog.SHIPPING if place == 0 else name, tier))
    return relays


def _web_names(campaign: Campaign) -> list[str]:
    rng, count = campaign.random("web names"), campaign.servers
    words = rng.integers(len(catalog.PLACES), size=count)
    kinds = rng.choice(["www", "cdn", "img", "news", "ads"], count)
    ends = rng.choice(["example", "test"], count)
    return [f"{kinds[n]}.{catalog.PLACES[words[n]]}{n}.{ends[n]}" for n in range(count)]


def _server_addresses(campaign: Campaign, count: int) -> list[str]:
    # 198.18.0.x is left to the resolver, 198.19.x.x to the strangers who visit the relays.
    places = 256 + campaign.random("server addresses").permutation(65_536 - 256)[np.arange(count) % (65_536 - 256)]
    return [f"198.18.{place // 256}.{place % 256}" for place in places.tolist()]


def _shared(campaign: Campaign, addresses: list[str]) -> list[str]:
    """Put a share of the web servers onto addresses with others, popular and unpopular ones side by side."""
    rng = campaign.random("shared hosting")
    shared = np.flatnonzero(rng.random(len(addresses)) < campaign.hosted)
    houses = rng.choice(shared, len(shared) // _LODGERS + 1) if len(shared) else shared
    result = list(addresses)
    for place, house in zip(
        shared.tolist(), rng.choice(houses, len(shared)).tolist() if len(shared) else [], strict=True
    ):
        result[place] = addresses[house]
    return result


def _lodged(campaign: Campaign, relays: list[Relay], addresses: list[str]) -> list[Relay]:
    """Put a share of the first-tier relays onto addresses that other sites have, too."""
    rng = campaign.random("lodged relays")
    shared = sorted(address for address, count in Counter(addresses).items() if count > 1)
    lodges = (rng.random(len(relays)) < campaign.hosted).tolist()
    return [
        replace(relay, address=shared[rng.integers(len(shared))])
        if lodge and shared and relay.tier == 1 and place >= _CHAINED
        else relay
        for place, (relay, lodge) in enumerate(zip(relays, lodges, strict=True))
    ]


def _secure(campaign: Campaign, count: int) -> Ints:
    secure = (campaign.random("secure").random(count) < 0.35).astype(np.int64)  # noqa: PLR2004 - HTTPS in 2015
    base = campaign.servers
    by_service = {one.name: one.verb == catalog.CONNECT for one in catalog.POLLERS}
    by_service |= {catalog.UPDATES: False, catalog.BACKUP: True} | dict.fromkeys(catalog.SHARING, True)
    secure[base : base + len(catalog.SERVICES)] = [by_service[name] for name in catalog.SERVICES]
    secure[base + len(catalog.SERVICES) :] = 0
    return secure


def _infections(campaign: Campaign) -> tuple[Ints, Ints]:
    """Infected terminals in the order of infection, with the time; the first at 10:28 of the infection day."""
    if campaign.clean:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    rng = campaign.random("infections")
    infected = rng.permutation(campaign.terminals)[: campaign.infected]
    days = range(campaign.infection_day, campaign.upload_days[0])
    workdays = [day for day in days if campaign.is_workday(day)] or list(days)
    midnights = np.array([campaign.midnight(day) for day in workdays])
    first = midnights[0] + int(10.5 * HOUR) - HOUR // 30
    others = rng.choice(midnights, campaign.infected - 1) + rng.integers(11 * HOUR, 17 * HOUR, campaign.infected - 1)
    return infected.astype(np.int64), np.concatenate([[first], np.sort(others)]).astype(np.int64)
