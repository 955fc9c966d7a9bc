"""What counts as one server: names and addresses put together and kept apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from forensics.relays import rank_relays
from forensics.relays.company import EDGES, company_levels, propagate, suspicion
from forensics.relays.sites import MOST_ALIASES, find_sites, hosts_of
from forensics.relays.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

HOST, OTHER = "198.51.100.1", "198.51.100.2"
HOUR = 3_600_000_000
START = 1_431_302_400_000_000


def met(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Return rows of servers by name, each met once by the terminals whose letters are given."""
    return pd.DataFrame(
        [(server, name, len(who), min(who), max(who), len(who)) for server, name, who in rows],
        columns=["server", "name", "terminals", "least_src", "greatest_src", "contacts"],
    )


def groups(frame: pd.DataFrame) -> list[set[tuple[str, str]]]:
    """Return servers and names of each site."""
    found = find_sites(frame)
    return [set(zip(one["server"], one["name"], strict=True)) for _, one in found.groupby("site")]


def test_one_name_on_many_addresses_is_one_site() -> None:
    """A name that a network delivers from two addresses is one site, at the address of most contacts."""
    found = find_sites(met((HOST, "cdn.example", "a"), (OTHER, "cdn.example", "bcd")))

    assert len(set(found["site"])) == 1
    assert set(found["dst"]) == {OTHER}


def test_a_leading_www_makes_no_other_site() -> None:
    """``www.shop.example`` and ``shop.example`` at one address are one site, whoever met them."""
    assert len(groups(met((HOST, "www.shop.example", "abc"), (HOST, "shop.example", "d")))) == 1


def test_names_of_shared_hosting_are_sites_of_their_own() -> None:
    """Sites of one address that different terminals read are judged apart, and a nameless contact is neither's."""
    frame = met((HOST, "a.example", "abc"), (HOST, "b.example", "cd"), (HOST, "", "e"))

    assert len(groups(frame)) == 3
    assert set(hosts_of(find_sites(frame)).column("host").to_pylist()) == {"a.example", "b.example"}


def test_aliases_that_the_same_terminals_use_are_one_site() -> None:
    """Names of one address met by the very same terminal are one server, but not on an address of many names."""
    few = [(HOST, f"{n}.example", "a") for n in range(MOST_ALIASES)]

    assert len(groups(met(*few))) == 1
    assert len(groups(met(*few, (HOST, "more.example", "a")))) == MOST_ALIASES + 1


def test_nameless_contacts_belong_to_the_only_name_of_an_address() -> None:
    """A contact without a name counts for the one name of its address; an address without names is a site."""
    assert groups(met((HOST, "a.example", "ab"), (HOST, "", "c"), (OTHER, "", "c"))) == [
        {(HOST, "a.example"), (HOST, "")},
        {(OTHER, "")},
    ]


def test_a_relay_on_shared_hosting_is_named_not_its_neighbours(make_case: Callable[..., Case]) -> None:
    """A hacked site that shares its address with sites that all read is listed under its own name alone."""
    rng = np.random.default_rng(3)

    def request(hour: float, terminal: int, dst: str, name: str) -> dict[str, object]:
        start = START + int(hour * HOUR)
        return {"start": start, "src": f"10.0.0.{terminal}", "dst": dst, "via": "proxy", "bytes_out": 500, "name": name}

    rows = [
        request(hour + rng.random(), terminal, f"198.18.0.{server}", f"w{server}.example")
        for hour in range(240)
        for terminal in range(1, 13)
        for server in rng.integers(1, 20, 2)
    ]
    rows += [request(n * 11 + rng.random(), t, HOST, "news.example") for n in range(20) for t in range(1, 13)]
    rows += [request(100 + at, 3, HOST, "hacked.example") for at in np.cumsum(0.05 * rng.uniform(0.9, 1.1, 90))]

    ranked = rank_relays(make_case(rows))

    assert list(ranked["dst"]) == [HOST]
    assert list(ranked["names"]) == ["hacked.example"]
    assert list(ranked["terminals"]) == [1]


def test_no_candidate_is_its_own_witness() -> None:
    """A terminal's suspicion as one candidate sees it comes from its other candidates alone: 1 - (1 - p)."""
    accused = pd.DataFrame({"site": [0, 1, 0], "src": ["a", "a", "b"]})
    score = pd.Series({0: 0.0, 1: np.log(3)})

    assert suspicion(accused, score).to_numpy() == pytest.approx([0.75, 0.5, 0.0])


def test_company_cannot_run_away() -> None:
    """However many candidates accuse each other, company weighs no more than its highest level."""
    accused = pd.DataFrame([(site, f"t{src}") for site in range(50) for src in range(20)], columns=["site", "src"])
    score = pd.Series(3.0, index=range(50))
    weights = load_weights()

    steps = propagate(accused, score, weights)

    assert all(step.max() == max(weights.levels["company"].values()) for step in steps)
    assert set(company_levels(accused, score)) == {f">= {EDGES[-1]:g}"}


def test_more_company_never_weighs_less() -> None:
    """The weights of company rise from level to level."""
    known = load_weights().levels["company"]

    assert [known[f">= {edge:g}"] for edge in EDGES] == sorted(known.values())
