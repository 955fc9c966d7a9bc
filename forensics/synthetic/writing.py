"""Puts the parts together and writes the folder, one slice of time after the other."""

from __future__ import annotations

import json
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import numpy as np

from . import browsing, catalog, gadgets, intrusion, services
from .captures import Collector, Studio
from .cast import OFFICE, OFFICE_RESOLVER, PROXY, RESOLVER, ROUTER, UPSTREAM_RESOLVER, Cast, make_cast, terminal_name
from .chains import plan_chains, plan_sessions, session_rows
from .options import HOUR, TIMEZONE, Campaign
from .squid import AccessLog
from .transactions import Holdback, Rows, make_rows
from .truth import Host, Log, Tally, Truth
from .zeek import Sensor
from .zeek_text import LOGS


def write_campaign(folder: str | Path, campaign: Campaign | None = None, *, compression: int = 6) -> Truth:
    """Write the evidence of a campaign and return its truth, which is also in ``truth.json``.

    The folder gets ``proxy/`` (Squid's log and the configuration that defines its format), ``zeek/`` (conn, http,
    dns and ssl logs of the uplink), ``captures/`` (of the chains' relays and one terminal) and ``truth.json``.
    Existing files of these names are replaced. Memory holds an hour of browsing at most and a day of
    the rest.

    Parameters
    ----------
    folder
        Where to write; made if absent.
    campaign
        The options; ``Campaign()`` if None.
    compression
        Level of gzip, 1 to 9. At 1 the logs are written about twice as fast and are a third larger.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     truth = write_campaign(folder, Campaign(days=7, terminals=8, infected=3, backups=1))
    >>> len([host for host in truth["hosts"] if host["role"] == "relay"])
    23
    """
    folder = Path(folder)
    cast = make_cast(campaign or Campaign())
    truth = _blank(cast)
    chains = plan_chains(cast)
    sessions = plan_sessions(cast, chains)
    collector = Collector(cast, chains)
    parts = browsing.slices(cast)
    schedule = _Schedule(cast, truth, session_rows(chains, sessions))
    with ExitStack() as stack:
        log = stack.enter_context(AccessLog(cast, folder / "proxy", compression))
        sensor = stack.enter_context(Sensor(cast, folder / "zeek", compression))
        held = Holdback("end")
        for day in range(cast.campaign.days):
            _take(schedule.day(day), held, sensor, collector)
            for hour, part in product(range(24), range(parts)):
                _take(browsing.browse(cast, day, hour, part), held, sensor, collector)
                before = cast.campaign.midnight(day) + hour * HOUR + (part + 1) * HOUR // parts
                log.write_rows(held.pop(before))
                collector.watch_uplink(sensor.see(before))
        log.write_rows(held.pop())
        collector.watch_uplink(sensor.see())
    schedule.close()
    Studio(cast, chains, sessions, collector).write(folder, truth)
    text = json.dumps(truth, indent=1, ensure_ascii=False)
    (folder / "truth.json").write_text(text + "\n", encoding="utf-8", newline="\n")
    return truth


def _take(rows: Rows, held: Holdback, sensor: Sensor, collector: Collector) -> None:
    held.push(rows)
    sensor.push(rows)
    collector.watch(rows)


class _Schedule:
    """All that is planned by the day, with its truth."""

    def __init__(self, cast: Cast, truth: Truth, chain_rows: Rows) -> None:
        self._cast, self._truth, self._chain_rows = cast, truth, chain_rows
        self._polling, self._beacons = Tally(cast), Tally(cast)
        self._gadgets = gadgets.plan_gadgets(cast)
        self._pairs = None if cast.campaign.clean else intrusion.plan_pairs(cast)

    def day(self, day: int) -> Rows:
        """Everything of one day but browsing."""
        cast, truth = self._cast, self._truth
        parts = [
            services.poll(cast, day, self._polling),
            gadgets.poll_gadgets(cast, self._gadgets, day, self._polling),
            services.update(cast, day),
            services.back_up(cast, day, truth["backups"]),
            services.single_uploads(cast, day, truth["one_off_uploads"]),
        ]
        if self._pairs is not None:
            parts += [
                intrusion.beacons(cast, self._pairs, day, self._beacons),
                intrusion.uploads(cast, day, truth["uploads"]),
                intrusion.visits(cast, day),
                self._chain_rows if day == cast.campaign.capture_day else make_rows(0),
            ]
        return np.concatenate(parts)

    def close(self) -> None:
        """Complete the truth of what repeats."""
        self._truth["polling"].extend(self._polling.entries())
        self._truth["beacons"].extend(self._beacons.entries())


def _blank(cast: Cast) -> Truth:
    logs = [Log(file="proxy/access.log.gz", format="squid")]
    logs += [Log(file=f"zeek/{name}.log.gz", format="zeek") for name in LOGS]
    return Truth(
        name="campaign",
        made=f"forensics.synthetic.write_campaign with {cast.campaign!r}",
        seed=cast.campaign.seed,
        timezone=TIMEZONE,
        internal=["10.20.0.0/16", f"{OFFICE}/32", f"{OFFICE_RESOLVER}/32"],
        hosts=_hosts(cast),
        captures=[],
        logs=logs,
        uploads=[],
        beacons=[],
        polling=[],
        backups=[],
        one_off_uploads=[],
        chains=[],
    )


def _hosts(cast: Cast) -> list[Host]:
    """Terminals, the office's machines, named services and the intrusion's servers; not the thousand web servers."""
    infected = set(cast.infected.tolist())
    hosts = [
        Host(address=address, role="terminal", infected=number in infected, names=[terminal_name(number)])
        for number, address in enumerate(cast.terminals)
    ]
    fixed = [
        (ROUTER, "router", "router.office.example"),
        (PROXY, "proxy", "proxy.office.example"),
        (OFFICE, "proxy", "proxy.office.example"),
        (RESOLVER, "dns", "dns.office.example"),
        (OFFICE_RESOLVER, "dns", "dns.office.example"),
        (UPSTREAM_RESOLVER, "dns", "resolver.provider.example"),
        *((cast.addresses[cast.service[name]], "web", name) for name in catalog.SERVICES),
    ]
    hosts += [Host(address=address, role=role, infected=False, names=[name]) for address, role, name in fixed]
    hosts += [
        Host(address=relay.address, role="relay", infected=False, names=[relay.name], tier=relay.tier)
        for relay in cast.relays
    ]
    if not cast.campaign.clean:
        hosts.append(Host(address=cast.operator, role="operator", infected=False, names=[]))
    return hosts
