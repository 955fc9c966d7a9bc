"""The made-up campaign against its planted truth, and an office in which nothing happened.

The floors of precision and recall are what was measured when the test was written. They keep the results from becoming
worse; nothing was tuned to reach them.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import forensics as fx
from forensics.investigation import investigate
from forensics.synthetic import Campaign, write_campaign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forensics.case import Case
    from forensics.investigation import Investigation

HACKED = "198.51.100.116"
LEAST_UPLOAD = 5_000_000
RELAY_PRECISION = 14 / 25
SPIKE_PRECISION = 16 / 28


def evidence(folder: Path, truth: Any) -> list[Path]:  # noqa: ANN401 - the truth is plain JSON
    """Return the captures and logs of a campaign."""
    return [folder / entry["file"] for entry in (*truth["captures"], *truth["logs"])]


@pytest.fixture(scope="session")
def truth(campaign: Path) -> Any:  # noqa: ANN401 - plain JSON
    """Return what was planted."""
    return json.loads((campaign / "truth.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def case(campaign: Path, truth: Any) -> Case:  # noqa: ANN401 - plain JSON
    """Return the case of all evidence of the campaign."""
    return fx.read(*evidence(campaign, truth), timezone="Asia/Tokyo")


@pytest.fixture(scope="session")
def found(case: Case) -> Investigation:
    """Return what is found in it."""
    return investigate(case)


def test_the_planted_chains_are_found(found: Investigation, truth: Any) -> None:  # noqa: ANN401 - plain JSON
    """All three chains are found from terminal to end, with all their sessions, and no other is."""
    office = {host["address"] for host in truth["hosts"] if host["role"] == "proxy"}
    planted = {
        tuple(hop for hop in chain["hops"] if hop not in office): len(chain["sessions"]) for chain in truth["chains"]
    }

    assert {tuple(chain["hops"]): chain["sessions"] for chain in found.graph.graph["chains"]} == planted
    assert found.graph.graph["statement"].startswith("at least 5 relays observed passing traffic on")


def test_clocks_are_found(case: Case, truth: Any, offsets_of: Callable[[Case], dict[str, float]]) -> None:  # noqa: ANN401 - plain JSON
    """Every source is compared, and its clock offset is right to a tenth of a second, whatever it is compared by.

    The terminal's capture and the proxy's log share requests, the proxy's log and the sensor's URLs and names.
    """
    offsets = offsets_of(case)
    assert {row["clock_offset"] for row in case.sources.to_arrow().to_pylist()} == {None}  # the case is what was read

    assert set(offsets) == {row["source"] for row in case.sources.to_arrow().to_pylist()}
    planted = {entry["file"].rpartition("/")[2]: entry["clock_offset_s"] for entry in truth["captures"]}
    for name, offset in offsets.items():
        assert offset - offsets["conn.log.gz"] == pytest.approx(planted.get(name, 0.0), abs=0.1)


def test_uploads_are_found(found: Investigation, truth: Any) -> None:  # noqa: ANN401 - plain JSON
    """Every planted upload of 5 MB or more lies in a spike of its terminal toward the hacked server, which is named."""
    uploads = [upload for upload in truth["uploads"] if upload["bytes"] >= LEAST_UPLOAD]
    spikes = found.spikes.to_dict("records")

    missed = [
        upload
        for upload in uploads
        if not any(
            (spike["src"], spike["dst"]) == (upload["src"], upload["dst"])
            and spike["start"] <= datetime.fromisoformat(upload["end"])
            and spike["end"] >= datetime.fromisoformat(upload["start"])
            for spike in spikes
        )
    ]

    assert missed == []
    assert {upload["dst"] for upload in uploads} == {HACKED}
    toward = found.spikes[found.spikes["dst"] == HACKED]
    assert set(toward["name"]) == {"www.minato-kaiun.example"}
    assert set(toward["src"]) == {upload["src"] for upload in uploads}
    assert len(toward) / len(found.spikes) >= SPIKE_PRECISION


def test_first_tier_relays_are_listed(found: Investigation, truth: Any) -> None:  # noqa: ANN401 - plain JSON
    """All relays that the office's logs can show are ranked, and not too many servers beside them."""
    relays = {host["address"] for host in truth["hosts"] if host["role"] == "relay"}
    first_tier = {host["address"] for host in truth["hosts"] if host.get("tier") == 1}
    listed = set(found.relays["dst"])

    assert len(first_tier) == 14
    assert first_tier <= listed
    assert len(listed & relays) / len(listed) >= RELAY_PRECISION
    assert HACKED in set(found.relays["dst"].head(3))
    passing = {hop for chain in found.graph.graph["chains"] for hop in chain["hops"][1:-1]}
    assert passing == set(found.relays["dst"][found.relays["reasons"].str.contains("it passed traffic on")])


def test_the_graph_shows_who_is_who(found: Investigation, truth: Any) -> None:  # noqa: ANN401 - plain JSON
    """Terminals, proxy and relays have their roles, the ends of the three chains too; everything stands on evidence."""
    roles = {host["address"]: host["role"] for host in truth["hosts"]}
    shown: dict[str, str] = {node: data["role"] for node, data in found.graph.nodes(data=True)}

    assert {roles[node] for node, role in shown.items() if role == "terminal"} == {"terminal"}
    assert {node for node, role in shown.items() if role == "proxy"} == {"10.20.0.8"}
    ends = {c["hops"][-1] for c in truth["chains"]}
    assert [roles[end] for end in sorted(ends)] == ["relay", "relay", "operator"]
    assert ends <= {node for node, role in shown.items() if role == "relay"}
    told = found.relays.set_index("dst").loc[sorted(ends)]
    assert set(told["verdict"]) == {"possible"}
    assert (
        told["reasons"].str.contains("one of 3 servers where chains end, of which one may be the operators' own").all()
    )
    assert all(data["evidence"] for _, _, data in found.graph.edges(data=True))


def test_the_graph_grows_as_the_campaign_did(found: Investigation, truth: Any) -> None:  # noqa: ANN401 - plain JSON
    """At the end of each day the graph has every pair whose beacon had begun by then, and grows to the whole."""
    starts = {(one["src"], one["dst"]): datetime.fromisoformat(one["start"]) for one in truth["beacons"]}
    known = {pair: start for pair, start in starts.items() if found.graph.has_edge(*pair)}
    first, last = min(known.values()), max(known.values())
    parts = []
    for day in range((last - first).days + 2):
        moment = first + timedelta(days=day)
        parts.append(fx.graph_at(found.graph, moment + timedelta(seconds=1)))  # clocks are corrected to within that
        assert {pair for pair, start in known.items() if start <= moment} <= set(parts[-1].edges())
    sizes = [part.number_of_edges() for part in parts]

    assert len(known) > len(starts) / 2
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] <= found.graph.number_of_edges()


def test_only_what_passes_traffic_on_is_called_a_relay(found: Investigation) -> None:
    """In the summary a ranked server is a relay where a chain passes through it, else a candidate."""
    passing = {hop for chain in found.graph.graph["chains"] for hop in chain["hops"][1:-1]}
    kinds = {"Relay" if server in passing else "Candidate" for server in found.relays["dst"].head(3)}
    said = [line.partition(":")[0] for line in found.sentences() if " no. " in line.partition(":")[0]]

    assert said == [
        f"{'Relay' if server in passing else 'Candidate'} no. {rank}"
        for rank, server in enumerate(found.relays["dst"].head(3), 1)
    ]
    assert "Relay" in kinds


def test_a_clean_office_has_no_chain(tmp_path: Path) -> None:
    """Where nothing happened no server is seen passing traffic on, and the report says what was tested."""
    options = Campaign(clean=True, days=7, terminals=12, backups=2, one_off_uploads=2, requests_per_day=12)
    truth = write_campaign(tmp_path / "office", options, compression=1)

    found = investigate(fx.read(*evidence(tmp_path / "office", truth), timezone="Asia/Tokyo"))
    text = found.write(tmp_path / "report").read_text("utf-8")

    assert found.graph.graph["chains"] == []
    assert found.graph.graph["statement"].startswith("no relay observed")
    assert {data["tier"] for _, _, data in found.graph.edges(data=True)} <= {"observed"}
    for coverage in found.coverage:
        assert coverage.tested > 0 or coverage.why  # without lists there are no indicators to test
        assert coverage.detector in text
        assert f"{coverage.tested:,}" in text or str(coverage.tested) in text
