"""Recorded intrusions of the corpus: the attackers' server is first, and what was carried off is found."""

from __future__ import annotations

from pathlib import Path

import pytest

import forensics as fx

FOLDER = Path("intrusions", "pivot-through-workstation")
C2 = "10.10.10.5"
THIEVES = "empire_shell_dcerpc_smb_service_dll_hijack"
REACHING = 21
"""Captures with a contact with the attackers' server."""


@pytest.fixture(scope="module")
def cases(corpus: Path) -> dict[str, fx.Case]:
    """Return a case of each capture in which somebody met the attackers' server, by the capture's name."""
    found = {path.stem: fx.read(path, progress=False) for path in sorted((corpus / FOLDER).glob("*/*.cap"))}
    asked = f"SELECT 1 AS n FROM contacts WHERE server = '{C2}' LIMIT 1"  # noqa: S608 - our own name
    return {name: case for name, case in found.items() if len(case.sql(asked))}


def test_the_server_of_the_attackers_is_first(cases: dict[str, fx.Case]) -> None:
    """Of all servers outside, in each capture by itself; no capture is long enough for a verdict."""
    first = {name: fx.rank_relays(case, least_score=-99).iloc[0] for name, case in cases.items()}

    assert len(first) == REACHING
    assert {name: row["dst"] for name, row in first.items() if row["dst"] != C2} == {}
    assert {row["verdict"] for row in first.values()} == {""}


def test_what_was_carried_off_is_found(cases: dict[str, fx.Case]) -> None:
    """717 kB in a minute to that server are a spike; 3 to 18 kB are none."""
    found = {name: fx.find_spikes(case) for name, case in cases.items()}

    [(name, spike)] = [(name, row) for name, rows in found.items() for _, row in rows.iterrows()]
    assert name.startswith(THIEVES)
    assert spike["dst"] == C2
    assert spike["value"] == pytest.approx(717_000, rel=0.01)
