"""The office as queries have it: numbers for addresses, and which clients were seen in several places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pytest

import forensics as fx
from forensics.detectors import _spike_windows, producer_ratio, volume_spikes
from forensics.detectors._office import clients_of, office_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from forensics.case import Case

RELAY, OTHER = "203.0.113.7", "198.51.100.9"
LOUD = Path(__file__).parents[2] / "sample_pcaps" / "detectors"


def test_numbers_go_up_as_addresses_do(make_case: Callable[..., Case]) -> None:
    """The least number is that of the least address, whatever the order of the rows: minima of both are the same."""
    met = [("10.0.0.10", RELAY), ("10.0.0.9", "2001:db8::1"), ("10.0.0.2", OTHER), ("10.0.0.9", "100.64.0.1")]
    case = make_case({"start": n, "src": src, "dst": dst, "bytes_out": 1} for n, (src, dst) in enumerate(met))

    office = office_of(case)

    assert office["terminals"].to_pydict() == {"src": ["10.0.0.10", "10.0.0.2", "10.0.0.9"], "number": [0, 1, 2]}
    assert office["outside"]["server"].to_pylist() == ["100.64.0.1", OTHER, "2001:db8::1", RELAY]
    assert office["outside"]["number"].to_pylist() == [0, 1, 2, 3]


def test_clients_of_several_places(make_case: Callable[..., Case]) -> None:
    """A client is mixed where two places saw it, or two kinds of bytes were counted of it."""
    rows = [
        {"src": "10.0.0.1", "vantage": "proxy"},
        {"src": "10.0.0.1", "vantage": "sensor", "source": "sensor.log"},
        {"src": "10.0.0.2", "vantage": "proxy"},
        {"src": "10.0.0.3", "vantage": "proxy"},
        {"src": "10.0.0.3", "vantage": "proxy", "bytes_kind": "ip"},
    ]
    case = make_case({"start": 0, "dst": RELAY, "bytes_out": 1, "bytes_in": 1, **row} for row in rows)

    clients = clients_of(case).to_pydict()

    assert clients["address"] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert clients["mixed"] == [True, False, True]
    assert clients["own"] == [True] * 3


@pytest.mark.parametrize("detector", [producer_ratio, volume_spikes])
def test_a_client_of_one_place_may_be_called_mixed(detector: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that one place saw are the same where they are put in order as if several had: the short way is one."""
    name = detector.__name__.rpartition(".")[2]
    case = fx.read(LOUD / name / "loud", timezone="Asia/Tokyo")
    clients = clients_of(case)
    assert not any(clients["mixed"].to_pylist())
    found, covered = detector.detect(case), detector.coverage(case)
    place = clients.schema.get_field_index("mixed")
    mixed = clients.set_column(place, "mixed", pa.array([True] * len(clients)))
    for module in (_spike_windows, producer_ratio):
        monkeypatch.setattr(module, "clients_of", lambda _: mixed)

    assert len(found)
    pd.testing.assert_frame_equal(detector.detect(case), found)
    assert detector.coverage(case) == covered
