"""Whether the p-values of chains hold on strangers, and do not depend on what they must not depend on."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.chains import BIN, held, loops, matching
from forensics.chains.matching import matches_at
from forensics.series import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.chains import Match

RELAY = "203.0.113.7"
HOUR = 3_600_000_000

Times = np.ndarray
"""Times of messages. [s]"""


def talk(ends: tuple[str, str], number: int, out: Times, back: Times, life: tuple[float, float]) -> Connection:
    """Return a connection with messages of 300 bytes at these times."""
    windows = [(times * 1_000_000).astype(np.int64) // BIN for times in (out, back)]
    bins, places = np.unique(np.concatenate(windows), return_inverse=True)
    sizes = [300 * np.bincount(p, minlength=len(bins)) for p in np.split(places, [len(out)])]
    begin, end = (int(time * 1_000_000) for time in life)
    return Connection("relay.pcap", number, ends[0], 1000 + number, ends[1], 443, begin, end, bins, *sizes)


def typed(rng: np.random.Generator, begin: float, length: float) -> tuple[Times, Times]:
    """Return messages with heavy-tailed pauses between them, busy and calm by turns, and their answers."""
    pace = np.repeat(rng.lognormal(0, 0.7, int(length)), 8)  # eight messages at one pace
    times = begin + np.cumsum(np.minimum(rng.lognormal(-0.3, 1.0, len(pace)) * pace, 6))
    times = times[times < begin + length - 1]
    return times, times + 0.05 + rng.exponential(0.1, len(times))


def together(rng: np.random.Generator, begin: float, length: float) -> tuple[Times, Times]:
    """Return messages that come in bursts at the beginning of the connection."""
    times = begin + np.sort(np.concatenate([rng.exponential(3, 15), rng.uniform(0, length - 1, 8)]))
    return times, times + 0.1


def ticked(rng: np.random.Generator, begin: float, length: float) -> tuple[Times, Times]:
    """Return keep-alives by the clock."""
    times = np.arange(begin + rng.uniform(0, 10), begin + length - 1, 10.0)
    return times, times + 0.02


def strangers(seed: int, count: int, kind: Callable[..., tuple[Times, Times]], length: float) -> list[Connection]:
    """Return connections into the relay and out of it that begin at much the same time, of one kind."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        other = f"10.0.{number // 200}.{number % 200}"
        begin = float(rng.uniform(100, 102))
        ends = (other, RELAY) if number % 2 else (RELAY, other)
        found.append(talk(ends, number, *kind(rng, begin, length), (begin - 0.5, begin + length)))
    return found


def seldom(rng: np.random.Generator, begin: float, length: float) -> tuple[Times, Times]:
    """Return keep-alives by the clock with so long a period that no shift shows the next."""
    times = np.arange(begin + rng.uniform(0, 4), begin + length - 1, 300.0)
    times = times + rng.normal(0, 0.02, len(times))
    return times, times + 0.02


@pytest.mark.parametrize(("kind", "length"), [(typed, 120.0), (together, 120.0), (ticked, 120.0), (seldom, 7200.0)])
def test_strangers_have_small_p_values_no_more_often_than_they_say(
    kind: Callable[..., tuple[Times, Times]], length: float
) -> None:
    """Pairs that begin together, keep busy together or tick alike: a p-value below p has at most a share of p."""
    compared, small = 0, np.zeros(2)
    levels = np.array([1e-2, 1e-3])
    for seed in range(3):
        matches, tested = matches_at(RELAY, strangers(seed, 24, kind, length))
        compared += tested
        small += [sum(match.p_value <= level for match in matches) for level in levels]
        assert held(matches, tested) == []
    assert compared > 350
    assert (small <= levels * compared).all(), small / compared


def mixed(seed: int) -> list[Connection]:
    """Return strangers, and sessions that go on among them."""
    found = strangers(seed, 12, typed, 90.0)
    rng = np.random.default_rng(seed + 1000)
    for number in range(100, 103):
        out, back = typed(rng, 101.0, 80.0)
        found.append(talk((f"10.9.0.{number}", RELAY), number, out, back + 0.4, (100.5, 182.0)))
        found.append(talk((RELAY, f"10.8.0.{number}"), number, out + 0.2, back + 0.2, (100.5, 182.0)))
    return found


def told(matches: list[Match]) -> dict[tuple[int, str, int, str], tuple[float, ...]]:
    """Return what was found by pair."""
    return {
        (m.inbound.record, m.inbound.src, m.outbound.record, m.outbound.src): (m.p_value, m.score, m.delay or 0)
        for m in matches
    }


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_order_of_connections_does_not_matter(seed: int, random: Any) -> None:  # noqa: ANN401 - no public class
    """Connections in another order give the same matches."""
    connections = mixed(seed)
    turned = list(connections)
    random.shuffle(turned)

    assert told(matches_at(RELAY, connections)[0]) == told(matches_at(RELAY, turned)[0])


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 1000), st.integers(-(10**9), 10**9))
def test_the_time_of_day_does_not_matter(seed: int, shift: int) -> None:
    """The same traffic at another time gives the same matches."""
    connections = mixed(seed)
    moved = [replace(c, bins=c.bins + shift, start=c.start + shift * BIN, end=c.end + shift * BIN) for c in connections]

    assert told(matches_at(RELAY, connections)[0]) == told(matches_at(RELAY, moved)[0])


def test_all_ways_on_are_found_among_strangers() -> None:
    """The sessions that go on are found, and nothing else is."""
    for seed in range(5):
        matches = held(*matches_at(RELAY, mixed(seed)))
        assert {(m.inbound.record, m.outbound.record) for m in matches} == {(n, n) for n in (100, 101, 102)}


def test_the_screening_goes_on_where_its_room_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs are found in as many runs as they need."""
    whole = told(matches_at(RELAY, mixed(1))[0])

    monkeypatch.setattr(matching, "ROOM", 1)

    assert told(matches_at(RELAY, mixed(1))[0]) == whole


def test_nothing_is_compared_with_nothing() -> None:
    """Without connections there is no pair."""
    assert matches_at(RELAY, []) == ([], 0)


@pytest.mark.skipif(os.environ.get("FORENSICS_JIT") == "0", reason="loops are plain already")
def test_compiled_and_plain_loops_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops say the same without their compiler, up to the last digits of a logarithm."""
    compiled = told(matches_at(RELAY, mixed(2))[0])
    names = ("forensics.packets._jit", "forensics.chains.loops")
    kept = {name: sys.modules.pop(name) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "FORENSICS_JIT", "0")
        plain = importlib.import_module("forensics.chains.loops")
    for name, module in kept.items():
        folder, _, last = name.rpartition(".")
        sys.modules[name] = module
        setattr(sys.modules[folder], last, module)
    assert plain.judge is not loops.judge
    monkeypatch.setattr(matching, "loops", plain)

    found = told(matches_at(RELAY, mixed(2))[0])

    assert found.keys() == compiled.keys()
    for pair, values in found.items():
        assert values == pytest.approx(compiled[pair], rel=1e-9)
