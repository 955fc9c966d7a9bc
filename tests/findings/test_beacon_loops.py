"""The compiled loops behind the beacons say what they say as plain Python."""

from __future__ import annotations

import importlib
import os
import sys

import numpy as np
import pytest

from forensics.detectors import _beat_loops, _comb, _evenness, _visits
from forensics.detectors._clockwork import measure
from forensics.detectors._measured import MEASURED, Measured
from forensics.detectors._pairs import Block

LOOPS = ("forensics.packets._jit", "forensics.detectors._beat_loops", "forensics.detectors._comb_loops")
USERS = {
    "count_alike": _visits,
    "join_contacts": _visits,
    "bound_evenness": _evenness,
    "count_crowds": _comb,
    "search_periods": _comb,
    "center_periods": _comb,
}


def mixed() -> Block:
    """Return clocks that miss beats, and visits at random; sizes alike, unlike and unknown."""
    rng = np.random.default_rng(12)
    owner = np.repeat(np.arange(8), 60)
    beats = rng.geometric(0.8, (3, 60)) * 60 + rng.normal(0, 2, (3, 60))
    time = np.cumsum(np.concatenate((beats, rng.exponential(90, (5, 60)))), axis=1).ravel() * 1e6
    until = time + rng.exponential(5e6, time.shape)
    size = np.where(rng.random(480) < 0.5, 500.0, rng.lognormal(7, 1.5, 480))
    size[rng.random(480) < 0.1] = np.nan
    size[owner == 4] = np.nan
    grain = np.array([0.0, 1, 60, 0, 1, 60, 0, 0])
    return Block(np.arange(8), owner, time.astype(np.int64), until.astype(np.int64), size, grain)


def measured() -> Measured:
    """Return what is measured of them."""
    return measure(mixed(), pause=6 * 3600.0, least=6)


@pytest.mark.skipif(os.environ.get("FORENSICS_JIT") == "0", reason="loops are plain already")
def test_compiled_and_plain_loops_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops say the same without their compiler, up to the last digits of a logarithm."""
    compiled = measured()
    kept = {name: sys.modules.pop(name) for name in LOOPS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "FORENSICS_JIT", "0")
        plain = [importlib.import_module(name) for name in LOOPS[1:]]
    for name, module in kept.items():
        folder, _, last = name.rpartition(".")
        sys.modules[name] = module
        setattr(sys.modules[folder], last, module)
    assert plain[0].count_alike is not _beat_loops.count_alike
    for name, user in USERS.items():
        monkeypatch.setattr(user, name, next(getattr(module, name) for module in plain if hasattr(module, name)))

    found = measured()

    assert np.isfinite(compiled.period).sum() >= 3
    assert ((compiled.alike > 0.1) & (compiled.alike < 0.9)).any()  # these are streams of their own, too
    for name in MEASURED.names:
        assert getattr(found, name) == pytest.approx(getattr(compiled, name), rel=1e-9, nan_ok=True)
