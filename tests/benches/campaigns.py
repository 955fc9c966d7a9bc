"""Campaigns of varied difficulty, each wholly determined by its seed: what relays are calibrated and judged on."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

import forensics as fx
from forensics.synthetic import Campaign, Truth, write_campaign

if TYPE_CHECKING:
    from forensics.case import Case


def varied(seed: int, *, clean: bool = False) -> Campaign:
    """Return a campaign whose size, noise, rhythm, relays and innocents are drawn by its seed."""
    rng = np.random.default_rng([seed, 5])
    terminals = int(rng.integers(30, 121))
    return Campaign(
        seed=seed,
        days=int(rng.choice([14, 21])),
        terminals=terminals,
        requests_per_day=float(rng.uniform(15, 45)),
        noise=float(rng.uniform(0.4, 1.0)),
        backups=int(rng.integers(1, 8)),
        one_off_uploads=int(rng.integers(4, 20)),
        sensor_days=0,
        clean=clean,
        infected=int(np.clip(terminals * rng.uniform(0.15, 0.5), 12, terminals)),
        relays=int(rng.choice([23, 31, 31, 31, 38])),
        period_s=(float(rng.uniform(30, 90)), float(rng.uniform(600, 1800))),
        jitter=float(rng.uniform(0.05, 0.4)),
        missed=float(rng.uniform(0.0, 0.2)),
        beats_per_day=float(rng.uniform(12, 50)),
        innocent_visits=float(rng.uniform(0, 12)),
        scale=float(rng.uniform(0.1, 1.0)),
        gadgets=int(rng.integers(10, 80)),
        hosted=float(rng.uniform(0.0, 0.5)),
        answered_404=float(rng.uniform(0.0, 0.9)),
        disguise=float(rng.uniform(0.0, 0.4)),
    )


def proxy_case(campaign: Campaign) -> tuple[Case, Truth]:
    """Return the case of a campaign's proxy log, with the planted truth."""
    with TemporaryDirectory() as folder:
        truth = write_campaign(Path(folder), campaign, compression=1)
        return fx.read(Path(folder, "proxy/access.log.gz"), timezone=truth["timezone"], progress=False), truth


def relays_of(truth: Truth) -> set[str]:
    """Return the addresses of the relays that the office met."""
    met = {entry["dst"] for entry in (*truth["beacons"], *truth["uploads"])}
    return {host["address"] for host in truth["hosts"] if host["role"] == "relay"} & met


def relay_names(truth: Truth) -> set[str]:
    """Return the names of the relays that the office met."""
    met = {entry["name"] for entry in (*truth["beacons"], *truth["uploads"])}
    return {name for host in truth["hosts"] if host["role"] == "relay" for name in host["names"]} & met
