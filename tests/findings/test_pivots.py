"""Where a terminal went on to inside the office while it was in contact with a relay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import forensics as fx
from forensics.clocks import Clocks
from forensics.clocks.fit import Piece
from forensics.detectors import indicators
from forensics.pivots import Pivot, find_pivots
from forensics.roles import find_roles
from forensics.schema import FINDING_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forensics.case import Case

START = 1_431_302_400_000_000
SECOND = 1_000_000
RELAY = "198.51.100.116"
C2, FIRST, SECOND_HOST, DOMAIN = "10.10.10.5", "172.18.39.5", "172.18.39.6", "172.18.38.5"

Rows = list[dict[str, Any]]


def flow(at: float, dst: str, port: int, client: int = 1, lasts: float = 10.0, **more: object) -> dict[str, Any]:
    """Return a connection of a terminal."""
    start = START + round(at * SECOND)
    return {"start": start, "end": start + round(lasts * SECOND), "src": f"10.0.0.{client}", "dst": dst,
            "dst_port": port, "proto": "tcp", "bytes_out": 100, **more}  # fmt: skip


def pivots(case: Case, clocks: Clocks | None = None) -> list[Pivot]:
    """Return the pivots of a case in which the relay is known."""
    return find_pivots(case, [RELAY], find_roles(case), clocks or Clocks())


def test_a_terminal_in_contact_goes_on(make_case: Callable[..., Case]) -> None:
    """A terminal that reaches another host by SMB and RPC during its contact with a relay is a pivot."""
    rows = [flow(0, RELAY, 80, lasts=600), flow(60, "10.0.0.7", 445), flow(61, "10.0.0.7", 135)]

    [pivot] = pivots(make_case(rows))

    assert pivot.hops == (RELAY, "10.0.0.1", "10.0.0.7")
    assert pivot.reason == f"10.0.0.1 reached 10.0.0.7 by RPC, SMB while in contact with {RELAY}"


@pytest.mark.parametrize(
    "row",
    [
        flow(-300, "10.0.0.7", 445),
        flow(700, "10.0.0.7", 445),
        flow(60, "10.0.0.7", 8080),
        flow(60, "10.0.0.7", 445, client=2),
        flow(60, "192.0.2.7", 445),
        flow(60, "10.0.0.7", 445, proto="udp"),
    ],
    ids=["before", "afterwards", "another port", "another terminal", "outside", "no TCP"],
)
def test_other_connections_are_no_pivots(make_case: Callable[..., Case], row: dict[str, Any]) -> None:
    """Neither at another time, nor by another port, nor of another terminal, nor to the outside."""
    assert pivots(make_case([flow(0, RELAY, 80, lasts=600), row])) == []


def test_what_half_of_the_terminals_reach_is_left_out(make_case: Callable[..., Case]) -> None:
    """A domain controller that everybody reaches is none; what one of six terminals reaches is one."""
    rows = [flow(0, RELAY, 80, lasts=600), flow(60, "10.0.0.7", 445)]
    rows += [flow(60, "10.0.0.53", 445, client=client) for client in range(1, 6)]

    assert [pivot.hops[2] for pivot in pivots(make_case(rows))] == ["10.0.0.7"]


def test_clocks_are_corrected(make_case: Callable[..., Case]) -> None:
    """The contact is in the proxy's log, the connection in a capture whose clock is an hour ahead."""
    inside = flow(3660, "10.0.0.7", 445, source="inside.pcap", vantage="inside")
    rows = [flow(0, RELAY, 80, lasts=600), inside]
    clocks = Clocks({"inside.pcap": [Piece(0.0, 0.0, 3600.0, 0.0, 0.0, 9)]}, {"inside.pcap": "access.log"})

    assert pivots(make_case(rows)) == []
    assert len(pivots(make_case(rows), clocks)) == 1


def test_without_relays_there_are_no_pivots(make_case: Callable[..., Case]) -> None:
    """Where nothing is taken for a relay, nobody is a pivot."""
    case = make_case([flow(60, "10.0.0.7", 445)])

    assert find_pivots(case, [], find_roles(case), Clocks()) == []


ATTACKS = {
    "covenant_wmi_wbemcomn_dll_hijack": set(),
    "empire_msbuild_dcerpc_wmi_smb": set(),
    "empire_smbexec_dcerpc_smb_svcctl": {DOMAIN},
    "empire_wmi_dcerpc_wmi_IWbemServices_ExecMethod": set(),
}
"""Attacks that were captured at both workstations, and what else the first one reached while in contact.

Of a fifth, ``covenant_wmi_remote_event_subscription_ActiveScriptEventConsumers``, the captures lack the first
workstation's contact with the operator, so that nothing can be said.
"""


@pytest.mark.parametrize(("name", "others"), ATTACKS.items(), ids=ATTACKS)
def test_a_real_attack_seen_from_two_hosts(corpus: Path, tmp_path: Path, name: str, others: set[str]) -> None:
    """The way from the operator's server over one workstation to the next is there, and is one edge, seen twice."""
    (tmp_path / "known.txt").write_text(f"{C2}\n", "utf-8")
    case = fx.read(*sorted((corpus / "intrusions/pivot-through-workstation" / name).glob("*.cap")))
    none = pd.DataFrame(columns=list(FINDING_COLUMNS))
    hits = indicators.detect(case, lists=[tmp_path / "known.txt"])
    listed = fx.rank_relays(case, spikes=none, found_beacons=none, findings={"indicators": hits}, least_score=-99)

    listed = listed.assign(verdict="possible")  # a short capture gives none

    graph = fx.build_hop_graph(case, spikes=none, found_beacons=none, relays=listed)

    assert {tuple(pivot["hops"]) for pivot in graph.graph["pivots"]} >= {
        (C2, FIRST, host) for host in {SECOND_HOST, *others}
    }
    assert graph.has_edge(FIRST, C2)
    assert all(graph.has_edge(FIRST, host) for host in others)
    [edge] = graph.get_edge_data(FIRST, SECOND_HOST).values()
    assert len({entry["source"] for entry in edge["evidence"]}) == 2
    seen = [sight["bytes_out"] for sight in edge["seen_by"]]
    assert len(seen) == 2
    assert edge["bytes_out"] == max(seen)
    assert edge["differences"] == []
