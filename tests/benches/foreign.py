"""Proxy logs of a second generator, which shares no code and few choices with `forensics.synthetic`.

What is fitted to the campaigns of one generator learns its habits. Here half of the relays are met through tunnels
(CONNECT), whose inside no log tells; most are read by few others; 3 to 8 terminals are infected, each relay serves one
to three of them; beacons come every 5 to 60 minutes with uniform jitter up to half the period, for days; uploads go to
several relays, in one request or in many, and drain for days. Beside them stand gadgets that one to four terminals
poll, video calls, uploads to clouds, nightly backups, a day of patches and a service that all begin to use one day.
Every second log is in Squid's native form, which does not say what was sent (odd seeds).

    python tests/benches/foreign.py --seeds 32 33 --clean 37

measures the ranking and the spikes of such campaigns.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import forensics as fx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.case import Case

Pair = tuple[float, float]

HOUR, DAY = 3600.0, 86_400.0
MIDNIGHT = 1_778_425_200.0
"""Monday, 11 May 2026, 0:00 in Tokyo. [s]"""
SITES, THIRD_PARTIES = 2500, 50
SIZES = "squid: %ts.%03tu %6tr %>a %Ss/%03>Hs %<st %>st %rm %ru %[un %Sh/%<a %mt"
"""Squid's native form with the size of the request beside that of the reply."""


class Site(NamedTuple):
    """A server, and whether it is met through a tunnel."""

    name: str
    address: str
    tunnel: bool


class Relay(NamedTuple):
    """A relay, and the terminals that use it."""

    site: Site
    users: list[int]


class Planted(NamedTuple):
    """What was planted: the relays that the office met, and uploads by client, server and time."""

    relays: set[str]
    uploads: list[tuple[str, str, float, float]]


class Office:
    """Terminals, who is there when, and what the proxy wrote; times are seconds since the first midnight."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng([seed, 77])
        self.terminals, self.days = int(rng.integers(30, 151)), int(rng.integers(5, 15))
        self.span, self.scale = self.days * DAY, float(rng.uniform(0.2, 1.0))
        self.lines: list[tuple[float, str]] = []
        self.planted = Planted(set(), [])
        self.sizes = seed % 2 == 0
        self.sites = [self.site(n) for n in range(SITES)]
        come, leave = rng.normal(8.9, 0.6, self.terminals), rng.normal(18.0, 1.1, self.terminals)
        self.stays_on = rng.random(self.terminals) < 0.3
        self.present: dict[tuple[int, int], Pair] = {
            (terminal, day): (day * DAY + come[terminal] * HOUR, day * DAY + leave[terminal] * HOUR)
            for terminal in range(self.terminals)
            for day in range(self.days)
            if rng.random() < (0.93 if day % 7 < 5 else 0.03)
        }

    def site(self, number: int) -> Site:
        """Return a new site; some share their address with others."""
        rng = self.rng
        shared = rng.random() < 0.4
        low = int(rng.integers(0, 90)) if shared else int(rng.integers(256, 65_536))
        return Site(f"host{number}.example", f"198.{18 + shared}.{low // 256}.{low % 256}", bool(rng.random() < 0.8))

    def on(self, terminal: int) -> Iterator[Pair]:
        """Yield when a terminal runs."""
        if self.stays_on[terminal]:
            yield 0.0, self.span
        else:
            yield from (when for (one, _), when in self.present.items() if one == terminal)

    def ask(self, when: Pair, terminal: int, site: Site, size: Pair, page: tuple[str, int] = ("", 200)) -> None:
        """Write one line of the log: start and duration, bytes sent and got, path and status."""
        (start, lasts), (sent, got) = when, size
        if not 0 <= start < self.span:
            return
        verb, url = ("GET" if sent <= 900 else "POST"), f"http://{site.name}{page[0]}"
        if site.tunnel:
            verb, url = "CONNECT", f"{site.name}:443"
        sizes = f"{got:.0f} {sent:.0f}" if self.sizes else f"{got:.0f}"
        status = "TCP_TUNNEL/200" if site.tunnel else f"TCP_MISS/{page[1]}"
        head = f"{MIDNIGHT + start + lasts:.3f} {lasts * 1000:.0f} {client_of(terminal)}"
        self.lines.append((start + lasts, f"{head} {status} {sizes} {verb} {url} - HIER_DIRECT/{site.address} -"))

    def poll(self, terminals: list[int], site: Site, clock: Pair, size: Pair) -> None:
        """Let terminals ask a service by the clock while they run: period and jitter, bytes sent and got."""
        rng, (period, jitter) = self.rng, clock
        for terminal in terminals:
            for begin, end in self.on(terminal):
                at = begin + period * rng.random()
                while at < end:
                    now = size[0] * rng.lognormal(0, 0.15), size[1] * rng.lognormal(0, 0.3)
                    self.ask((at, rng.lognormal(0, 0.4)), terminal, site, now, ("/status", 200))
                    at += max(5.0, period * (1 + jitter * rng.uniform(-1, 1)))


def client_of(terminal: int) -> str:
    """Return the address of a terminal."""
    return f"10.7.{terminal // 200}.{10 + terminal % 200}"


def browse(office: Office) -> None:
    """Let people read: favourites and what is popular, in sessions."""
    rng = office.rng
    popular = 1 / np.arange(1, SITES + 1) ** 0.9
    popular /= popular.sum()
    busy = rng.lognormal(0, 0.5, office.terminals) * rng.uniform(15, 40)
    favourites = [rng.choice(SITES, 25, p=popular, replace=False) for _ in range(office.terminals)]
    for (terminal, _), (begin, end) in office.present.items():
        sessions = np.repeat(rng.uniform(begin, end, max(1, rng.poisson(busy[terminal]) // 6)), 6)
        for at in (sessions + rng.lognormal(4, 1.2, len(sessions))).tolist():
            mine = rng.random() < 0.6
            site = office.sites[int(rng.choice(favourites[terminal]) if mine else rng.choice(SITES, p=popular))]
            read(office, at, terminal, site)
            for other in rng.zipf(2.1, rng.poisson(1.5)):
                third = office.sites[SITES - 1 - int(other) % THIRD_PARTIES]
                size = rng.lognormal(7.5, 0.7), rng.lognormal(9, 1.3)
                office.ask((at + 1, rng.lognormal(2.5, 1)), terminal, third, size)


def read(office: Office, at: float, terminal: int, site: Site) -> None:
    """Let a person open a page: one tunnel, or some requests; one in a hundred sends a file."""
    rng = office.rng
    if site.tunnel:
        sent = rng.lognormal(8, 0.9) + (rng.random() < 0.01) * min(rng.lognormal(11.5, 1.8), 3e7)
        got = min(2e3 + rng.pareto(1.15) * 15e3, 3e8)
        office.ask((at, rng.lognormal(2.8, 1.2)), terminal, site, (sent, got))
        return
    for n in range(1 + rng.poisson(4)):
        code = int(rng.choice([200, 304, 404, 302], p=[0.8, 0.13, 0.03, 0.04]))
        size = min(rng.lognormal(6.3, 0.4), 900), rng.lognormal(9, 1.6)
        office.ask((at + 0.7 * n, 0.2), terminal, site, size, (f"/{rng.integers(1, 200)}.html", code))


def serve(office: Office) -> None:
    """Let services be polled: by all, and gadgets by few, of which some begin in the middle."""
    rng, everyone = office.rng, list(range(office.terminals))
    services = ((300, 0.02, 2e3, 9e3), (3600, 0.1, 1.5e3, 5e3), (1260, 0.3, 5e3, 1.2e3), (16_200, 0.5, 3e3, 3e4))
    for n, (period, jitter, sent, got) in enumerate(services):
        office.poll(everyone, office.site(SITES + n)._replace(tunnel=True), (period, jitter), (sent, got))
    office.poll(everyone[::3], office.site(SITES + 9)._replace(tunnel=True), (240, 0.05), (4e3, 6e3))
    for n in range(int(rng.integers(10, 60))):
        site, few = office.site(SITES + 10 + n), rng.choice(office.terminals, int(rng.integers(1, 5)), replace=False)
        clock = float(np.exp(rng.uniform(np.log(120), np.log(7200)))), float(rng.choice([0, 0.01, 0.1, 0.3]))
        begun = len(office.lines)
        office.poll([int(one) for one in few], site, clock, (rng.lognormal(6.5, 0.5), rng.lognormal(8.5, 1)))
        if rng.random() < 0.3:
            office.lines[begun:] = [line for line in office.lines[begun:] if line[0] > office.span / 2]


def carry(office: Office) -> None:
    """Let people and machines move much in good faith: calls, clouds, patches and a new service for all."""
    rng, scale = office.rng, office.scale
    call, patches, new, *clouds = (office.site(SITES + 100 + n)._replace(tunnel=True) for n in range(7))
    for (terminal, day), (begin, end) in office.present.items():
        if rng.random() < 0.25:
            lasts = rng.uniform(900, 3600)
            size = lasts * rng.uniform(2e4, 1e5) * scale, lasts * rng.uniform(4e4, 2e5) * scale
            office.ask((rng.uniform(begin, end), lasts), terminal, call, size)
        if rng.random() < 0.012:
            sent, cloud = rng.uniform(5e7, 5e8) * scale, clouds[int(rng.integers(0, 4))]
            office.ask((rng.uniform(begin, end), sent / 3e6), terminal, cloud, (sent, sent * 0.01))
        if day == office.days * 3 // 5:
            size = 4e4, rng.uniform(2e8, 6e8) * scale
            office.ask((begin + rng.exponential(2 * HOUR), 300), terminal, patches, size)
        for _ in range(rng.poisson(4) if day >= office.days // 2 else 0):
            size = rng.lognormal(12.5, 1.3), rng.lognormal(12, 1.2)
            office.ask((rng.uniform(begin, end), 60), terminal, new, size)


def back_up(office: Office) -> None:
    """Let six terminals save their files every night, in four pieces."""
    rng, service = office.rng, office.site(SITES + 200)._replace(tunnel=True)
    for terminal in rng.choice(office.terminals, 6, replace=False).tolist():
        size, hour = rng.uniform(2e7, 3e8) * office.scale, rng.choice([1.0, 2.0, 22.5])
        for at in (np.arange(office.days) * DAY + hour * HOUR + rng.uniform(0, 1000, office.days)).tolist():
            for piece in range(4):
                office.ask((at + 200 * piece, 180), terminal, service, (size / 4 * rng.lognormal(0, 0.3), 6e4))


def intrude(office: Office) -> None:
    """Plant relays on some sites, with beacons, uploads and drains."""
    rng = office.rng
    infected = rng.choice(office.terminals, int(rng.integers(3, 9)), replace=False).tolist()
    for one in infected:
        office.stays_on[one] |= rng.random() < 0.4
    relays = []
    for place in rng.choice(np.arange(200, SITES - THIRD_PARTIES), 20, replace=False).tolist():
        site = office.sites[place] = office.sites[place]._replace(tunnel=bool(rng.random() < 0.5))
        relays.append(Relay(site, rng.choice(infected, int(rng.integers(1, 4)), replace=False).tolist()))
    office.planted.relays.update(relay.site.name for relay in relays if beacon(office, relay))
    chosen = [relays[n] for n in rng.choice(len(relays), 6, replace=False).tolist()]
    kinds = [upload] * int(rng.integers(6, 16)) + [drain] * int(rng.integers(2, 5))
    for kind in kinds:
        relay, begun = chosen[int(rng.integers(0, 6))], len(office.lines)
        terminal = kind(office, relay)
        times = [time for time, _ in office.lines[begun:]]
        if times:
            office.planted.relays.add(relay.site.name)
            office.planted.uploads.append((client_of(terminal), relay.site.address, min(times), max(times)))


def meet(office: Office, relay: Relay, terminal: int, at: float, size: Pair) -> None:
    """Write a contact with a relay; a tunnel adds what its opening takes."""
    extra = (900, 3200) if relay.site.tunnel else (0, 0)
    code = int(office.rng.choice([200, 404], p=[0.7, 0.3]))
    lasts = max(office.rng.uniform(0.1, 2), max(size) / 8e5)
    whole = size[0] + extra[0], size[1] + extra[1]
    office.ask((at, lasts), terminal, relay.site, whole, ("/img/top.php", code))


def beacon(office: Office, relay: Relay) -> bool:
    """Let the users of a relay beacon for a while; tell whether any did."""
    rng, before = office.rng, len(office.lines)
    begin = office.span * rng.uniform(0.2, 0.6)
    end, period, jitter = begin + rng.uniform(2, 9) * DAY, rng.uniform(300, 3600), rng.uniform(0, 0.5)
    for terminal in relay.users:
        for come, leave in office.on(terminal):
            at = max(begin, come) + period * rng.random()
            while at < min(end, leave):
                if rng.random() > 0.03:
                    got = rng.lognormal(6.5, 0.6) if rng.random() > 0.02 else rng.lognormal(12, 1)
                    meet(office, relay, terminal, at, (rng.uniform(250, 800), got))
                at += period * (1 + jitter * rng.uniform(-1, 1))
    return len(office.lines) > before


def upload(office: Office, relay: Relay) -> int:
    """Let one user, who is returned, send 5 to 500 MB at once, in one request or in many."""
    rng = office.rng
    at, terminal = office.span * rng.uniform(0.25, 0.95), int(rng.choice(relay.users))
    size = float(np.exp(rng.uniform(np.log(5e6), np.log(5e8))))
    pieces = int(np.clip(size / rng.choice([1e6, 4e6, 2e7, 1e9]), 1, 80))
    for _ in range(pieces):
        meet(office, relay, terminal, at, (size / pieces, 900))
        at += size / pieces / 8e5 + rng.exponential(3)
    return terminal


def drain(office: Office, relay: Relay) -> int:
    """Let one user, who is returned, send a little again and again for two to four days."""
    rng = office.rng
    terminal, begin = int(rng.choice(relay.users)), office.span * rng.uniform(0.25, 0.7)
    end, gap, each = begin + rng.uniform(2, 4) * DAY, rng.uniform(300, 1500), rng.uniform(1e5, 1e6)
    for come, leave in office.on(terminal):
        for at in np.arange(max(begin, come), min(end, leave), gap).tolist():
            meet(office, relay, terminal, at, (each * rng.lognormal(0, 0.3), 700))
    return terminal


def made(seed: int, *, clean: bool) -> tuple[Case, Office]:
    """Return the case of a campaign's proxy log, and the office with what was planted."""
    office = Office(seed)
    for part in (browse, serve, carry, back_up) if clean else (intrude, browse, serve, carry, back_up):
        part(office)
    with TemporaryDirectory() as folder:
        log = Path(folder, "access.log")
        log.write_text("".join(f"{text}\n" for _, text in sorted(office.lines)), encoding="utf-8")
        sizes = SIZES if office.sizes else None
        return fx.read(log, timezone="Asia/Tokyo", progress=False, logformat=sizes), office


def measure(seed: int, *, clean: bool) -> list[object]:
    """Return the figures of one campaign, in the order of `COLUMNS`."""
    case, office = made(seed, clean=clean)
    relays, uploads = office.planted
    spikes = fx.find_spikes(case)
    ranked = fx.rank_relays(case, spikes=spikes)
    right = [bool(relays & set(names.split("; "))) for names in ranked["names"]]
    judged = [hit for hit, verdict in zip(right, ranked["verdict"], strict=True) if verdict]
    keys = list(zip(spikes["src"], spikes["dst"], spikes["start"], spikes["end"], strict=True))
    found = sum(
        any((src, dst) == key[:2] and key[2].timestamp() < end < key[3].timestamp() + HOUR for key in keys)
        for src, dst, end in ((src, dst, MIDNIGHT + end) for src, dst, _, end in uploads)
    )
    servers = {dst for _, dst, _, _ in uploads}
    false = sum(key[1] not in servers for key in keys)
    hours = office.terminals * office.days * 24
    told = f"{found} of {len(uploads)}" if office.sizes else "not recorded"
    return [
        seed,
        len(relays),
        sum(right[:20]),
        sum(judged),
        len(judged) - sum(judged),
        told,
        f"{false / hours * 1e4:.1f}",
    ]


COLUMNS = ("seed", "relays met", "first 20", "with a verdict", "innocents with one", "uploads", "false per 10,000 h")


def main() -> None:
    """Measure the campaigns that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    parser.add_argument("--clean", type=int, nargs="*", default=[])
    options = parser.parse_args()
    print(*COLUMNS, sep="\t")
    for seed in (*options.seeds, *options.clean):
        print(*measure(seed, clean=seed in options.clean), sep="\t", flush=True)


if __name__ == "__main__":
    main()
