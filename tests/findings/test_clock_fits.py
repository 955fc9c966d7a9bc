"""The difference of two clocks, from matches of which many are wrong: against planted offsets, drifts and jumps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.clocks.fit import LEAST_FAR, LEAST_MATCHES, Matches, Piece, fit_pieces, moments

DAY = 86_400.0
BEGIN = 1_431_302_400.0


def matches(
    seed: int,
    right: int,
    wrong: int,
    *,
    offset: float = 37.4,
    drift: float = 0.0,
    noise: float = 0.02,
    days: float = 3.0,
    exact: bool = True,
) -> Matches:
    """Return right matches at random times, with late ones among them, and wrong ones within half a day."""
    rng = np.random.default_rng(seed)
    time = rng.uniform(0, days * DAY, right + wrong)
    apart = offset + drift * time + rng.exponential(noise, right + wrong)
    apart[:wrong] = rng.uniform(-DAY / 2, DAY / 2, wrong)
    return Matches(time + BEGIN, apart, np.full(right + wrong, exact))


def error(pieces: list[Piece], offset: float, drift: float = 0.0, days: float = 3.0) -> float:
    """Return the greatest error of one piece over the whole time."""
    [piece] = pieces
    times = np.linspace(piece.start, piece.end, 50)
    assert piece.end - piece.start > 0.5 * days * DAY
    return float(np.abs(piece.at(times) - offset - drift * (times - BEGIN)).max())


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("seed", range(5))
def test_wrong_matches_do_no_harm(seed: int, share: float) -> None:
    """With 60 right matches, half and even nineteen of twenty may be wrong: the offset is right to a few hundredths."""
    pieces = fit_pieces(matches(seed, 60, round(60 * share / (1 - share))))

    assert error(pieces, 37.4) < 0.05
    assert pieces[0].drift == 0
    assert pieces[0].matches >= 55


@pytest.mark.parametrize("seed", range(20))
def test_wrong_matches_alone_are_no_offset(seed: int) -> None:
    """Matches that are all wrong give nothing, however many they are."""
    assert fit_pieces(matches(seed, 0, 30 + 50 * seed, days=1 + seed)) == []


@pytest.mark.parametrize("ppm", [-150, -20, 5, 100])
def test_a_drift_is_found_among_wrong_matches(ppm: float) -> None:
    """A drift is followed over three weeks though half of the matches are wrong."""
    pieces = fit_pieces(matches(1, 150, 150, drift=ppm * 1e-6, days=21))

    assert error(pieces, 37.4, ppm * 1e-6, days=21) < 0.1
    assert pieces[0].drift * 1e6 == pytest.approx(ppm, abs=0.1)


def test_a_drift_that_is_none_is_not_told() -> None:
    """Where a level explains the differences as well as a line, or there is little time, no drift is told."""
    assert fit_pieces(matches(2, 300, 0, days=21))[0].drift == 0
    assert fit_pieces(matches(2, 300, 0, drift=100e-6, days=300 / DAY))[0].drift == 0


@pytest.mark.parametrize("jump", [-3600.0, -2.0, 1.0, 9 * 3600.0])
def test_a_clock_that_was_set(jump: float) -> None:
    """A jump of a second is found as one of hours is, at its place, though a third of the matches is wrong."""
    found = matches(3, 120, 60, noise=0.01)
    set_at = BEGIN + DAY
    moved = Matches(found.time, found.apart + jump * (found.time > set_at), found.exact)

    one, other = fit_pieces(moved)

    assert one.offset == pytest.approx(37.4, abs=0.05)
    assert other.offset == pytest.approx(37.4 + jump, abs=0.05)
    assert one.end <= set_at < other.start
    assert other.start - one.end < DAY / 4


def test_a_clock_that_was_set_twice_and_drifts() -> None:
    """Each time between two settings has its own offset and drift."""
    found = matches(4, 300, 100, drift=80e-6, days=9, noise=0.01)
    part = np.floor((found.time - BEGIN) / (3 * DAY))
    pieces = fit_pieces(Matches(found.time, found.apart - 20 * part, found.exact))

    assert len(pieces) == 3
    assert [piece.drift * 1e6 for piece in pieces] == pytest.approx([80] * 3, abs=1)
    for number, piece in enumerate(pieces):
        assert piece.offset == pytest.approx(37.4 - 20 * number + 80e-6 * (piece.start - BEGIN), abs=0.1)


def test_a_few_outliers_are_no_setting() -> None:
    """Some matches in a row that are all late by the same are not a clock that was set and set back."""
    found = matches(5, 100, 0)
    order = np.argsort(found.time)
    apart = found.apart[order]
    apart[40:45] += 7
    assert len(fit_pieces(Matches(found.time[order], apart, found.exact))) == 1


def test_too_few_matches_are_refused() -> None:
    """Two matches are no offset, and three only where they agree."""
    few = matches(6, LEAST_MATCHES, 0)
    assert fit_pieces(few)
    assert fit_pieces(few.of(np.arange(LEAST_MATCHES - 1))) == []
    assert fit_pieces(matches(6, LEAST_MATCHES - 1, 1)) == []
    assert fit_pieces(few.of(np.zeros(0, np.intp))) == []


def test_far_offsets_without_ports_need_more() -> None:
    """Nine hours without ports need more matches than nine hours with them."""
    assert fit_pieces(matches(7, LEAST_FAR - 5, 0, offset=32_400, exact=False)) == []
    assert fit_pieces(matches(7, LEAST_FAR + 5, 0, offset=32_400, exact=False))
    assert fit_pieces(matches(7, LEAST_FAR - 5, 0, offset=32_400))


def test_bursts_without_ports_count_once() -> None:
    """Matches without ports count once in ten seconds; those with ports count each."""
    time = BEGIN + np.repeat([0.0, 100.0], 50) + np.tile(np.linspace(0, 5, 50), 2)
    burst = Matches(time, np.full(100, 4.0), np.zeros(100, np.bool_))

    assert moments(burst) == 2
    assert fit_pieces(burst) == []
    assert moments(Matches(burst.time, burst.apart, ~burst.exact)) == 100


def test_many_matches_are_thinned() -> None:
    """More matches than can be compared with each other give the same offset."""
    assert error(fit_pieces(matches(8, 20_000, 20_000)), 37.4) < 0.05


@given(
    kind=st.tuples(st.integers(0, 1000), st.integers(30, 80)),
    share=st.floats(0, 0.5),
    offset=st.floats(-40_000, 40_000),
    ppm=st.floats(-150, 150),
    shift=st.floats(-1e6, 1e6),
)
def test_what_is_planted_is_found(kind: tuple[int, int], share: float, offset: float, ppm: float, shift: float) -> None:
    """Any offset with any drift is found among as many wrong matches; moving all times moves nothing else."""
    seed, right = kind
    found = matches(seed, right, round(right * share / (1 - share)), offset=offset, drift=ppm * 1e-6)
    pieces = fit_pieces(found)
    assert error(pieces, offset, ppm * 1e-6) < 0.3
    [one], [moved] = pieces, fit_pieces(Matches(found.time + shift, found.apart, found.exact))
    assert moved.offset == pytest.approx(one.offset, abs=1e-3)
    assert moved.matches == one.matches
