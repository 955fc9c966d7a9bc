"""Community IDs: as the specification's own implementation and its baseline have them."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING

import communityid
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import forensics as fx
from forensics.addresses import address_text
from forensics.community import community_id, community_texts

if TYPE_CHECKING:
    from pathlib import Path

NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}


def theirs(proto: int, src: str, dst: str, ports: tuple[int, int] | None, seed: int) -> str:
    """Return what the specification's own implementation says."""
    tuple_of_flow = communityid.FlowTuple(proto, src, dst, *(ports or ()))
    return str(communityid.CommunityID(seed).calc(tuple_of_flow))


@given(
    proto=st.sampled_from([*NAMES, 46, 47, 255]),
    ends=st.one_of(
        st.tuples(*[st.integers(0, 2**32 - 1).map(lambda n: str(ipaddress.IPv4Address(n)))] * 2),
        st.tuples(*[st.integers(0, 2**128 - 1).map(lambda n: str(ipaddress.IPv6Address(n)))] * 2),
    ),
    ports=st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
    kind=st.tuples(st.integers(0, 255), st.integers(0, 255)),
    seed=st.integers(0, 65535),
)
def test_ids_are_those_of_the_specification(
    proto: int, ends: tuple[str, str], ports: tuple[int, int], kind: tuple[int, int], seed: int
) -> None:
    """Any protocol, addresses, ports, types and seed give what Corelight's implementation gives."""
    chosen = kind if proto in {1, 58} else ports if proto in NAMES else None
    first, second = chosen or (None, None)
    name = NAMES.get(proto, f"ip-{proto}")

    assert community_id(*ends, first, second, name, seed=seed) == theirs(proto, *ends, chosen, seed)


@pytest.mark.parametrize(("baseline", "seed"), [("deflt", 0), ("seed1", 1)])
def test_flows_of_captures_have_the_ids_of_the_baseline(corpus: Path, baseline: str, seed: int) -> None:
    """The flows that we read from the specification's captures have exactly the IDs of its baseline."""
    folder = corpus / "captures" / "community-id"
    expected = {row["communityid"] for row in json.loads((folder / f"baseline/baseline_{baseline}.json").read_text())}
    combined = fx.read(folder / "pcaps" / "combined.pcap.gz").flows.to_pandas()

    assert set(fx.community_ids(combined, seed=seed)) == expected
    single = fx.read(*sorted((folder / "pcaps").glob("*.pcap"))).flows.to_pandas()
    assert set(fx.community_ids(single, seed=seed)) == expected


def test_tuples_of_the_baseline(corpus: Path) -> None:
    """Every line of the baselines, each direction by itself, in both writings of the hash."""
    folder = corpus / "captures" / "community-id" / "baseline"
    for name, seed in (("deflt", 0), ("seed1", 1)):
        for row in json.loads((folder / f"baseline_{name}.json").read_text()):
            proto = NAMES.get(row["proto"], f"ip-{row['proto']}")
            found = community_id(row["saddr"], row["daddr"], row["sport"], row["dport"], proto, seed=seed)
            assert found == row["communityid"]


def test_a_data_frame_keeps_its_index() -> None:
    """An ID per row under the row's own index; missing where there is no server address or no protocol."""
    rows = {
        "src": ["1.2.3.4", "5.6.7.8", "1.2.3.4", "1.2.3.4", "2001:db8::1"],
        "dst": ["5.6.7.8", "1.2.3.4", None, "5.6.7.8", "192.0.2.1"],
        "src_port": [1122, 3344, 1122, 1122, 1122],
        "dst_port": [3344, 1122, 3344, 3344, 3344],
        "proto": ["tcp", "tcp", "tcp", None, "tcp"],
    }
    frame = pd.DataFrame(rows, index=[7, 5, 3, 1, 0]).astype({"src_port": "Int32", "dst_port": "Int32"})

    ids = fx.community_ids(frame)

    assert ids.index.tolist() == [7, 5, 3, 1, 0]
    assert ids[7] == ids[5] == "1:wCb3OG7yAFWelaUydu0D+125CLM="
    assert ids[[3, 1]].isna().all()
    mapped = str(ipaddress.IPv6Address("::ffff:192.0.2.1"))
    assert address_text(mapped) == "192.0.2.1"
    assert ids[0] == theirs(6, "2001:db8::1", mapped, (1122, 3344), 0)


def test_ports_unknown_are_left_out() -> None:
    """A later fragment whose ports were not seen has the ID of its two addresses and protocol."""
    assert community_texts([("1.2.3.4", "5.6.7.8", None, None, "tcp")]) == community_texts(
        [("5.6.7.8", "1.2.3.4", None, None, "tcp")]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("1.2.3.4", "www.example", 1, 2, "tcp"), "www.example"),
        (("1.2.3.4", "5.6.7.8", 1, 2, "ip-256"), "'ip-256' is no protocol"),
        (("1.2.3.4", "5.6.7.8", 1, 2, "TCP"), "'TCP' is no protocol"),
        (("1.2.3.4", "5.6.7.8", 1, 65536, "tcp"), "port is 65536"),
    ],
)
def test_what_is_no_connection_is_refused(arguments: tuple[str, str, int, int, str], message: str) -> None:
    """An address, a protocol or a port that is none is an error that says which."""
    with pytest.raises(ValueError, match=message):
        community_id(*arguments)


@pytest.mark.parametrize("seed", [-1, 65536])
def test_a_seed_of_more_than_sixteen_bits_is_refused(seed: int) -> None:
    """A seed out of range is an error, also where there are no rows."""
    with pytest.raises(ValueError, match=f"seed is {seed}, it must be 0 to 65535"):
        fx.community_ids(pd.DataFrame(columns=["src", "dst", "src_port", "dst_port", "proto"]), seed=seed)
