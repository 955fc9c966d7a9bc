"""The ranking of relay candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.detectors._findings import period_text, size_text
from forensics.hops import build_hop_graph
from forensics.relays import RELAY_COLUMNS, rank_relays

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

SECOND, HOUR = 1_000_000, 3_600_000_000
START = 1_431_302_400_000_000
RELAY, BEACONED, POLLED = "203.0.113.7", "203.0.113.8", "198.18.0.200"

Flows = list[dict[str, object]]


def request(hour: float, terminal: int, dst: str, sent: int, **more: object) -> dict[str, object]:
    """Return one request through the proxy."""
    start = START + int(hour * HOUR)
    return {"start": start, "src": f"10.0.0.{terminal}", "dst": dst, "via": "proxy", "bytes_out": sent, **more}


def campaign(seed: int = 1) -> Flows:
    """Return ten days of twelve terminals, an upload to one relay, a beacon to another, and a service all poll."""
    rng = np.random.default_rng(seed)
    rows = [
        request(hour + rng.random(), terminal, f"198.18.0.{server}", int(rng.lognormal(6, 1)), bytes_in=1000)
        for hour in range(240)
        for terminal in range(1, 13)
        for server in rng.integers(1, 30, 2)
    ]
    rows += [
        request(hour + n / 10, 3, RELAY, 5_000_000, name="shipping.example") for n in range(4) for hour in (130, 154)
    ]
    rows += [request(100 + hours, 3, BEACONED, 300) for hours in np.cumsum(0.05 * rng.uniform(0.9, 1.1, 80))]
    rows += [request(n * 0.5, terminal, POLLED, 300) for n in range(480) for terminal in range(1, 13)]
    return rows


def test_relays_come_first(make_case: Callable[..., Case]) -> None:
    """The server of the uploads and the server of the beacon lead; what all terminals poll comes last, unjudged."""
    ranked = rank_relays(make_case(campaign()))

    shown = ranked.set_index("dst")
    assert list(RELAY_COLUMNS) == list(ranked.columns)
    assert {RELAY, BEACONED} == set(ranked["dst"][:2])
    assert list(zip(ranked["dst"][2:], ranked["verdict"][2:], strict=True)) == [(POLLED, "")]
    assert all(ranked["verdict"][:2])
    assert list(ranked["rank"]) == [1, 2, 3]
    assert shown.loc[RELAY, "names"] == "shipping.example"
    assert list(ranked["terminals"]) == [1, 1, 12]
    assert shown.loc[RELAY, "bytes_out"] == 40_000_000
    assert ranked["bytes_in"].isna().all()


def test_reasons_say_what_the_score_is_made_of(make_case: Callable[..., Case]) -> None:
    """The weights written into the reasons add up to the score."""
    ranked = rank_relays(make_case(campaign()))

    for score, reasons in zip(ranked["score"], ranked["reasons"], strict=True):
        weights = [float(part.rpartition("(")[2].rstrip(")")) for part in reasons.split("; ")]
        assert abs(sum(weights) - score) < 0.05 * len(weights) + 0.01
    told = ranked.set_index("dst")["reasons"]
    assert "1 finding of volume spikes from 10.0.0.3, 40 MB together (+7.0)" in told[RELAY]
    assert "met it every 182 s: 79 of 79 gaps are regular" in told[BEACONED]
    assert "1 of 1 terminals in question began to meet it under observation, first at 2015-05-15" in told[BEACONED]
    assert f"10.0.0.3 is suspected with 0.99, most of all for {RELAY}" in told[BEACONED]


def test_threshold_decides_who_is_listed(make_case: Callable[..., Case]) -> None:
    """A higher threshold lists fewer servers, in the same order."""
    case = make_case(campaign())

    every = rank_relays(case, least_score=-99.0)
    some = rank_relays(case, least_score=float(every["score"][0]))

    assert POLLED in set(every["dst"])
    assert list(some["dst"]) == [every["dst"][0]]


def slow_beacons(count: int) -> Flows:
    """Return servers, each beaconed to by one terminal twenty times in the last days of the campaign."""
    rng = np.random.default_rng(5)
    beats = [(n, at) for n in range(count) for at in np.cumsum(0.9 * rng.uniform(0.9, 1.1, 20))]
    return [request(200 + at, 1 + n % 12, f"203.0.113.{100 + n}", 300, bytes_in=900) for n, at in beats]


def test_the_next_in_order_are_listed_without_a_verdict(make_case: Callable[..., Case]) -> None:
    """Where few reach a verdict, the list goes on to twenty, with what a finding or a rhythm speaks against alone."""
    rows = campaign()
    some, many = (rank_relays(make_case([*rows, *slow_beacons(count)])) for count in (12, 40))

    beaconed = {f"203.0.113.{100 + n}" for n in range(40)}
    assert len(set(some["dst"]) & beaconed) == 12
    assert not set(some["dst"]) - beaconed - {RELAY, BEACONED, POLLED}
    assert len(many) == max(20, sum(many["verdict"] != ""))
    assert list(many["score"]) == sorted(many["score"], reverse=True)


def test_where_nothing_has_a_verdict_nothing_is_listed(make_case: Callable[..., Case]) -> None:
    """In a clean office the servers that machines poll are no lead."""
    clean = [row for row in campaign() if row["dst"] not in {RELAY, BEACONED}]

    assert POLLED in set(rank_relays(make_case(clean), least_score=-99.0)["dst"])
    assert rank_relays(make_case(clean)).empty


def test_what_has_no_verdict_is_no_relay_of_the_graph(make_case: Callable[..., Case]) -> None:
    """The graph draws candidates that have a verdict, and no others."""
    case = make_case(campaign())
    ranked = rank_relays(case)

    graph = build_hop_graph(case, relays=ranked)

    assert POLLED in set(ranked["dst"])
    assert {node for node, data in graph.nodes(data=True) if data["role"] == "relay"} == {RELAY, BEACONED}


def test_short_cases_do_not_ask_when_the_clock_began(make_case: Callable[..., Case]) -> None:
    """In a case of an hour a beacon is a candidate although it ticks from start to end."""
    rows = [request(n / 60, 1, BEACONED, 300) for n in range(60)]
    rows += [request(0.1007, terminal, "198.18.0.1", 300) for terminal in range(1, 9)]

    ranked = rank_relays(make_case(rows))

    assert list(ranked["dst"]) == [BEACONED]
    assert "began" not in ranked["reasons"][0]


def test_an_empty_case_has_no_relay(make_case: Callable[..., Case]) -> None:
    """A case without rows gives an empty ranking with all columns."""
    ranked = rank_relays(make_case([]))

    assert list(RELAY_COLUMNS) == list(ranked.columns)
    assert len(ranked) == 0


def test_a_server_that_only_the_gateway_met_is_not_weighed_by_terminals(make_case: Callable[..., Case]) -> None:
    """Where an upload shows at the uplink alone, nobody knows whose it was: no terminal is counted or called rare."""
    rows = [request(n, n, f"198.18.0.{server}", 300) for n in range(1, 8) for server in range(1, 10)]
    uplink = {"src": "203.0.113.10", "via": None, "source": "conn.log", "vantage": "uplink"}
    rows += [row | uplink for row in rows[:9]]
    rows += [request(40 + n, 1, RELAY, 90_000_000) | uplink for n in (0, 4)]

    ranked = rank_relays(make_case(rows))

    assert list(ranked["dst"]) == [RELAY]
    assert list(ranked["terminals"]) == [0]
    assert "terminals met it" not in ranked["reasons"][0]


def test_periods_in_words() -> None:
    """Periods keep three digits, and none is written as a power of ten."""
    assert [period_text(period) for period in (0.5, 53.42, 999.7, 1799.6, 86_400)] == [
        "0.5 s",
        "53.4 s",
        "1,000 s",
        "1,800 s",
        "86,400 s",
    ]


def test_sizes_in_words() -> None:
    """Sizes keep three digits and take the unit that fits, up to terabytes."""
    assert [size_text(size) for size in (0, 999, 999.7, 1e3, 6.24e6, 7e9, 5.5e12, 4.2e15)] == [
        "0 B",
        "999 B",
        "1 kB",
        "1 kB",
        "6.24 MB",
        "7 GB",
        "5.5 TB",
        "4,200 TB",
    ]
