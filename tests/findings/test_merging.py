"""One connection that several places saw is one edge: whose bytes count, and what is said of the others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

import forensics as fx
from forensics.clocks import Clocks
from forensics.clocks.fit import Piece
from forensics.merging import by_reference, explained, merge
from forensics.relays import RELAY_COLUMNS
from forensics.schema import FINDING_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from forensics.case import Case

T0 = datetime(2015, 5, 20, 5, tzinfo=UTC)
START = int(T0.timestamp()) * 1_000_000
SECOND = 1_000_000
TERMINAL, PROXY, GATEWAY, RELAY = "10.0.0.1", "10.0.0.8", "203.0.113.10", "198.51.100.116"

Rows = list[dict[str, Any]]


def seen(vantage: str, out: int | None, *, at: float = 0.0, lasts: float = 3600.0, **more: object) -> dict[str, Any]:
    """Return what one file saw of a pair."""
    start = T0 + timedelta(seconds=at)
    return {"vantage": vantage, "source": vantage, "bytes_kind": "ip", "via": None, "bytes_out": out, "bytes_in": 1000,
            "connections": 2, "start": start, "end": start + timedelta(seconds=lasts), **more}  # fmt: skip


def merged(*rows: dict[str, Any], clocks: Clocks | None = None) -> dict[str, Any]:
    """Return the edge of these rows."""
    return merge(by_reference(rows, clocks or Clocks()))


def test_the_place_that_saw_most_counts() -> None:
    """Of two places that saw the same time one counts, whole; the other stands beside it."""
    edge = merged(seen("uplink", 9_000), seen("terminal", 10_000), seen("log", 8_000, bytes_kind="application"))

    assert (edge["bytes_out"], edge["bytes_in"], edge["connections"]) == (10_000, 1000, 2)
    assert (edge["bytes_kind"], edge["counted_at"]) == ("ip", ["terminal"])
    assert [(sight["vantage"], sight["counted"]) for sight in edge["seen_by"]] == [
        ("terminal", True), ("uplink", False), ("log", False)
    ]  # fmt: skip


def test_parts_of_a_log_are_added() -> None:
    """Files of one place that follow each other are one sight; a seam of seconds between days is none."""
    edge = merged(*(seen("log", 100, at=3598.0 * day, source=f"log.{day}") for day in range(5)))

    assert (edge["bytes_out"], edge["connections"]) == (500, 10)
    [sight] = edge["seen_by"]
    assert sight["sources"] == [f"log.{day}" for day in range(5)]


def test_files_of_one_place_that_overlap_are_not_added() -> None:
    """Two files of one place over the same time saw the same, also a single connection of no length."""
    assert merged(seen("up", 100, source="a"), seen("up", 100, source="b"))["bytes_out"] == 100
    assert merged(seen("up", 7, source="a", lasts=0), seen("up", 7, source="b", lasts=0))["bytes_out"] == 7


def test_another_time_is_added_where_the_bytes_are_of_one_kind() -> None:
    """What only one place watched at a time counts, unless it counted something else."""
    later = seen("uplink", 50, at=7200.0)

    assert merged(seen("terminal", 100), later)["bytes_out"] == 150
    assert merged(seen("terminal", 100), later)["counted_at"] == ["terminal", "uplink"]
    assert merged(seen("terminal", 100), later | {"bytes_kind": "application"})["bytes_out"] == 100


def test_times_are_compared_by_corrected_clocks() -> None:
    """Two hours apart by their clocks, at one time by corrected ones: it is the same; both times are kept."""
    late = seen("uplink", 90, at=7200.0)
    clocks = Clocks({"uplink": [Piece(0.0, 0.0, 7200.0, 0.0, 0.0, 9)]}, {"uplink": "terminal", "terminal": "terminal"})

    edge = merged(seen("terminal", 100), late, clocks=clocks)

    assert edge["bytes_out"] == 100
    assert (edge["start"], edge["end"]) == (T0, T0 + timedelta(hours=1))
    assert edge["seen_by"][1]["start"] == T0 + timedelta(hours=2)
    assert edge["seen_by"][1]["clock_offsets"] == [7200.0]


def test_other_proxies_carried_other_requests() -> None:
    """What went through two proxies of known addresses is added; a log's name alone may stand for either."""
    one = seen("log1", 100, bytes_kind="application", via="10.0.0.8")
    other = seen("log2", 60, bytes_kind="application", via="10.0.0.9")

    assert merged(one, other)["bytes_out"] == 160
    assert merged(one, other | {"via": "log2"})["bytes_out"] == 100
    assert merged(one, other | {"via": "10.0.0.8"})["bytes_out"] == 100


def test_differences_are_told() -> None:
    """Two sensors that counted different bytes of one time are told, with both figures; nothing is averaged."""
    edge = merged(seen("terminal", 5_000_000), seen("uplink", 3_000_000))

    assert edge["bytes_out"] == 5_000_000
    assert edge["differences"] == [
        "sent: 5,000,000 B (ip) at terminal, 3,000,000 B (ip) at uplink: headers do not explain it"
    ]


def test_a_place_that_saw_less_time_is_no_difference() -> None:
    """A capture of an hour says nothing against a log of a day."""
    assert merged(seen("log", 5_000_000, lasts=86_400), seen("uplink", 100_000))["differences"] == []


def test_what_was_not_observed_explains_nothing() -> None:
    """A log that does not count uploads does not differ in them."""
    assert merged(seen("uplink", 3_000_000), seen("log", None, bytes_kind="application"))["differences"] == []


@given(
    size=st.integers(0, 10**9),
    back=st.integers(0, 10**9),
    segment=st.integers(536, 1460),
    connections=st.integers(1, 50),
)
def test_headers_are_always_explained(size: int, back: int, segment: int, connections: int) -> None:
    """Whatever the segments: the same transfer counted as payload, as IP and as frames is no difference."""
    packets = size // segment + back // segment + 8 * connections
    kinds = {"application": 0, "payload": 0, "ip": 40 * packets, "frame": 58 * packets}
    counted = [
        {"bytes_out": size + more, "bytes_in": back + more, "bytes_kind": kind, "connections": connections}
        for kind, more in kinds.items()
    ]

    for one in counted:
        for other in counted:
            assert explained(one, other, "bytes_out")
            assert explained(one, other, "bytes_in")


@given(st.permutations(range(4)))
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    """Rows in any order make the same edge."""
    rows = [seen("a", 10), seen("b", 10), seen("b", 7, at=9e4, source="b2"), seen("c", 3, bytes_kind="payload")]

    assert merged(*(rows[place] for place in order)) == merged(*rows)


def four_places() -> tuple[Rows, Rows]:
    """Return flows and requests of three uploads: at the terminal, in the proxy's log, at uplink and firewall."""
    flows: Rows = []
    requests: Rows = []
    for n in range(3):
        start, sent = START + 600 * n * SECOND, 4_000_000 + n
        ends = {"start": start, "end": start + 9 * SECOND, "bytes_in": 900, "dst_port": 80, "proto": "tcp"}
        flows += [
            ends | {"src": TERMINAL, "src_port": 5000 + n, "dst": PROXY, "dst_port": 3128, "bytes_out": sent + 90_000,
                    "bytes_kind": "ip", "source": "terminal.pcap", "vantage": "terminal"},
            ends | {"src": TERMINAL, "dst": RELAY, "via": PROXY, "src_port": None, "bytes_out": sent,
                    "bytes_kind": "application", "source": "access.log", "vantage": "proxy"},
            ends | {"src": GATEWAY, "src_port": 9000 + n, "dst": RELAY, "bytes_out": sent + 95_000,
                    "bytes_kind": "ip", "source": "uplink.pcap", "vantage": "uplink"},
            ends | {"src": GATEWAY, "src_port": 9000 + n, "dst": RELAY, "bytes_out": sent + 95_000,
                    "bytes_kind": "ip", "source": "firewall.log", "vantage": "firewall"},
        ]  # fmt: skip
        requests.append({"start": start, "end": start + 9 * SECOND, "src": TERMINAL, "src_port": 5000 + n, "dst": RELAY,
                         "via": PROXY, "name": "shop.example", "method": "POST", "url": f"http://shop.example/{n}",
                         "request_bytes": sent, "response_bytes": 500, "source": "terminal.pcap",
                         "record": n})  # fmt: skip
    # Six more terminals show that the uplink's address is a gateway: it met what they met.
    for client in range(2, 9):
        for server in range(9):
            one = {"start": START + (client * 40 + server) * SECOND, "dst": f"192.0.2.{server}", "bytes_out": 10}
            flows.append(one | {"src": f"10.0.0.{client}", "via": PROXY, "source": "access.log", "vantage": "proxy"})
            gone = {"src": GATEWAY, "source": "uplink.pcap", "vantage": "uplink", "bytes_kind": "ip"}
            flows += [one | gone] if client == 2 else []
    return flows, requests


def graph_of(case: Case, *relays: str) -> Any:  # noqa: ANN401 - a graph of networkx
    """Return the graph of a case with these relays."""
    import pandas as pd

    listed = [{"rank": n, "dst": dst, "names": "", "score": 9.0, "reasons": "x"} for n, dst in enumerate(relays, 1)]
    none = pd.DataFrame(columns=list(FINDING_COLUMNS))
    ranking = pd.DataFrame(listed, columns=list(RELAY_COLUMNS))
    return fx.build_hop_graph(case, spikes=none, found_beacons=none, relays=ranking)


def test_four_places_are_one_edge(make_case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch) -> None:
    """Terminal, proxy's log, uplink and firewall: one edge, four pieces of evidence, the bytes once."""
    monkeypatch.setattr("forensics.hops.find_chains", lambda _: [])
    flows, requests = four_places()

    graph = graph_of(make_case(flows, requests=requests), RELAY)

    [(src, dst, edge)] = [edge for edge in graph.edges(data=True) if edge[1] == RELAY]
    assert (src, dst) == (TERMINAL, RELAY)
    assert edge["connections"] == 3
    assert edge["bytes_out"] == 3 * 4_000_000 + 3
    assert edge["bytes_kind"] == "application"
    assert edge["via"] == [PROXY]
    assert {entry["source"] for entry in edge["evidence"]} == {
        "terminal.pcap", "access.log", "uplink.pcap", "firewall.log"
    }  # fmt: skip
    sights = {sight["vantage"]: sight for sight in edge["seen_by"]}
    assert set(sights) == {"terminal", "proxy", "uplink", "firewall"}
    assert [vantage for vantage, sight in sights.items() if sight["counted"]] == edge["counted_at"]
    assert {sights[place]["bytes_out"] for place in ("uplink", "firewall")} == {3 * 4_095_000 + 3}
    assert sights["uplink"]["joined"] == {"time": 3}
    assert edge["differences"] == []
