"""The tests behind the beacons: what chance gives, what clocks give, and that chance is never taken for a clock."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from forensics.detectors._clockwork import LEVELS, measure
from forensics.detectors._comb import best_clocks
from forensics.detectors._evenness import even_log_p
from forensics.detectors._pairs import Block
from forensics.detectors._visits import Floats, Streams, alike_sizes, intervals_between

if TYPE_CHECKING:
    from forensics.detectors._measured import Measured

PAUSE = 6 * 3600.0


def block(intervals: Floats, *, size: Floats | None = None, grain: int = 0) -> Block:
    """Return a block of pairs, one per row of intervals [s]; a pair's first contact comes after the first of them."""
    pairs, count = intervals.shape
    time = (np.cumsum(intervals, axis=1) * 1e6).astype(np.int64)
    if grain:
        time -= time % (grain * 1_000_000)
    owner = np.repeat(np.arange(pairs), count)
    sizes = np.full(pairs * count, np.nan) if size is None else size.ravel()
    return Block(np.arange(pairs), owner, time.ravel(), time.ravel(), sizes, np.full(pairs, float(grain)))


def measured(intervals: Floats, **more: object) -> Measured:
    """Return what is measured of rows of intervals."""
    return measure(block(intervals, **more), pause=PAUSE, least=6)  # type: ignore[arg-type]  # as block has them


def at_random(kind: str, pairs: int, count: int) -> Floats:
    """Return intervals [s] that no clock makes."""
    rng = np.random.default_rng([count, len(kind)])
    draws = rng.exponential(1, (pairs, count))
    if kind == "quick":
        return draws
    if kind == "steady":
        return draws * 60
    if kind == "rare":
        return draws * 7200
    if kind == "changing":
        return draws * 60 * np.exp(0.2 * np.cumsum(rng.normal(size=(pairs, count)), axis=1))
    if kind == "office":
        time = np.cumsum(draws * 600, axis=1)
        return np.diff(time // 32_400 * 86_400 + time % 32_400, axis=1, prepend=0)
    return rng.lognormal(math.log(6), 1.4, (pairs, count))


@pytest.mark.parametrize("grain", [0, 1, 60])
@pytest.mark.parametrize("count", [8, 40, 200])
@pytest.mark.parametrize("kind", ["quick", "steady", "rare", "changing", "office", "bursts"])
def test_chance_is_not_taken_for_a_clock(kind: str, count: int, grain: int) -> None:
    """Of 1,000 pairs that meet at random no greater share has a small p-value than it says, at any rate and unit."""
    log_p = measured(at_random(kind, 1000, count), grain=grain).log_p

    for share in (0.1, 0.01):
        assert (log_p <= math.log(share)).mean() <= share


@pytest.mark.parametrize("missed", [0.0, 0.4])
def test_permuted_clocks_are_chance(missed: float) -> None:
    """A clock whose every second contact is drawn anew between its neighbours has no small p-value, as a rule.

    Given its neighbours, a contact that comes at random lies anywhere between them: redrawing it is the permutation
    that fits the hypothesis. It destroys the clock and keeps how busy the pair was when.
    """
    rng = np.random.default_rng(5)
    intervals = 60 * (rng.geometric(1 - missed, (500, 101)) + rng.normal(0, 0.1, (500, 101)))
    time = np.cumsum(intervals, axis=1)
    before = measured(np.diff(time, axis=1, prepend=0)).log_p
    for first in (*(1, 2) * 20,):  # odd and even ones in turn, until nothing of the clock is left
        last = first + 2 * ((time.shape[1] - 1 - first) // 2)
        low, high = time[:, first - 1 : last - 1 : 2], time[:, first + 1 : last + 1 : 2]
        time[:, first:last:2] = low + (high - low) * rng.random(low.shape)
    after = measured(np.diff(time, axis=1, prepend=0)).log_p

    assert before.max() < math.log(1e-6)
    for share in (0.1, 0.01):
        assert (after <= math.log(share)).mean() <= share


def test_evenness_of_three_intervals_is_that_computed_by_hand() -> None:
    """The bound is exp(-max(sT - K(s))), with K(s) from the gamma function; T of 1, 2, 3 is ln 6 - 3 ln 2."""
    time = np.array([0, 101, 302, 603]) * 1_000_000
    streams = Streams(np.zeros(4, np.int64), time, time, np.zeros(1))
    found = even_log_p(intervals_between(streams, 1.0), streams.grain, apart=1.0, groups=(3,), pause=PAUSE)

    total = math.log(6) - 3 * math.log(2) - 3 * 1e-4**2 / 2
    grid = np.geomspace(0.02, 1e3, 5000)
    cumulant = [math.lgamma(3) + 3 * math.lgamma(1 + s) - math.lgamma(3 + 3 * s) + 3 * s * math.log(3) for s in grid]
    assert found[0] == pytest.approx(-max(grid * total - np.array(cumulant)), rel=0.01)


def test_transfers_one_after_the_other_are_no_clock() -> None:
    """Pieces of a backup come when the one before has ended: their even sizes are not taken for a clock's periods."""
    rng = np.random.default_rng(11)
    lasted = rng.gamma(8, 4, (40, 60))
    intervals = lasted + rng.exponential(4, lasted.shape)
    time = np.cumsum(intervals, axis=1) - intervals
    serial, quick = (
        Block(np.arange(40), np.repeat(np.arange(40), 60), start, end, np.full(2400, np.nan), np.zeros(40))
        for start, end in [
            ((1e6 * time).astype(np.int64).ravel(), (1e6 * (time + part * lasted)).astype(np.int64).ravel())
            for part in (1.0, 0.01)
        ]
    )

    assert (measure(serial, pause=PAUSE, least=6).log_p > math.log(1e-4)).mean() > 0.9
    assert (measure(quick, pause=PAUSE, least=6).log_p < math.log(1e-4)).mean() > 0.9


def test_pauses_belong_to_no_group() -> None:
    """Two runs of three intervals are two groups, whatever lies between them; a pause itself counts for nothing."""
    day = np.array([60.0, 60, 60, 60])
    whole = np.concatenate((day, [50_000.0], day[1:]))[None]
    streams = block(whole)
    found = [
        even_log_p(
            intervals_between(Streams(b.owner, b.time, b.until, b.grain), 1.0),
            b.grain,
            apart=1,
            groups=(5,),
            pause=PAUSE,
        )[0]
        for b in (streams, block(day[None]))
    ]

    assert found[0] == pytest.approx(2 * found[1])


@pytest.mark.parametrize("period", [3.0, 20.0, 60.0, 199.0, 600.0, 3600.0])
@pytest.mark.parametrize("missed", [0.0, 0.3, 0.5])
def test_the_period_is_not_half_of_it_nor_twice(period: float, missed: float) -> None:
    """A clock is reported with its own period, whatever beats are missed."""
    rng = np.random.default_rng(6)
    beats = rng.geometric(1 - missed, (50, 100))
    found = measured(period * beats + rng.normal(0, 0.03 * period, beats.shape) * np.sqrt(beats))

    assert (found.log_p < math.log(1e-6)).all()
    assert found.period == pytest.approx(np.full(50, period), rel=0.03)


def test_a_wide_jitter_needs_more_beats() -> None:
    """Half of the period as standard deviation: 200 beats show it, 12 do not, and the period is about right."""
    rng = np.random.default_rng(7)
    many, few = (60 * np.maximum(1 + 0.5 * rng.normal(size=(50, n)), 0.05) for n in (200, 12))

    found = measured(many)
    assert (found.log_p < math.log(1e-4)).mean() > 0.9
    assert np.median(found.period) == pytest.approx(60, rel=0.2)
    assert (measured(few).log_p > math.log(1e-4)).all()


def test_two_clocks_of_one_pair_do_not_hide_each_other() -> None:
    """A heartbeat with an hourly report is found, with the heartbeat's period."""
    rng = np.random.default_rng(8)
    time = np.sort(np.concatenate((np.cumsum(rng.normal(60, 3, 600)), 1000 + 3600 * np.arange(10.0))))
    found = measured(np.diff(time, prepend=0)[None])

    assert found.log_p[0] < math.log(1e-9)
    assert found.period[0] == pytest.approx(60, rel=0.03)


def test_sizes_tell_a_clock_from_visits() -> None:
    """Beats of one size among as many visits of all sizes are judged by themselves."""
    rng = np.random.default_rng(9)
    beats, visits = np.cumsum(rng.normal(300, 30, 60)), rng.uniform(0, 18_000, 90)
    order = np.argsort(np.concatenate((beats, visits)))
    size = np.concatenate((np.full(60, 500.0), rng.lognormal(7, 1.5, 90)))[order]
    intervals = np.diff(np.concatenate((beats, visits))[order], prepend=0)[None]

    assert measured(intervals).log_p[0] > math.log(1e-3)
    found = measured(intervals, size=size)
    assert found.log_p[0] < math.log(1e-6)
    assert found.chosen[0]
    assert found.alike[0] == pytest.approx(0.4, abs=0.1)


def test_like_sizes_are_those_of_the_fullest_steps() -> None:
    """Steps are a tenth wide; a pair without sizes has none that are alike."""
    size = np.array([100.0, 101, 102, 5000, np.nan, np.nan])
    alike, held, share = alike_sizes(np.array([0, 0, 0, 0, 0, 1]), size, 2)

    assert alike.tolist() == [True, True, True, False, False, False]
    assert held.tolist() == [3, 0]
    assert share.tolist() == [0.6, 0.0]


def test_pages_of_a_visit_do_not_hide_a_clock() -> None:
    """A beat of three requests within a second is one beat, and its period is that of the clock."""
    gaps = np.tile([58.0, 0.5, 0.5, 1.0], (1, 40))
    found = measured(gaps)

    assert found.period[0] == pytest.approx(60, rel=0.01)
    assert found.regular[0] == found.intervals[0] == 39


def test_times_in_whole_minutes_show_no_clock_of_a_minute() -> None:
    """A busy pair in a log that cuts its times to minutes is no beacon; one that meets every ten minutes is."""
    rng = np.random.default_rng(10)
    busy, clock = rng.exponential(10, (20, 600)), np.full((20, 60), 600.0)

    assert (measured(busy, grain=60).log_p > math.log(0.01)).all()
    assert (measured(clock, grain=60).log_p < math.log(1e-4)).all()


def test_nothing_in_nothing_out() -> None:
    """Pairs without an interval have no clock, and p-values of 1."""
    streams = Streams(np.array([0, 1]), np.array([5, 7]), np.array([5, 7]), np.zeros(2))
    between = intervals_between(streams, 2.0)

    assert best_clocks(between, streams.grain, LEVELS[1], PAUSE).period.tolist() == pytest.approx(
        [np.nan, np.nan], nan_ok=True
    )
    assert measured(np.ones((3, 1))).log_p.tolist() == [0, 0, 0]
