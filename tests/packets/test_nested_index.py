"""The seek index in tunnels within tunnels: each flow of every layer has its packets, and no others."""

from __future__ import annotations

import io
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import forensics as fx
from forensics.schema import FLOWS
from tests.packets.test_properties import DEEP, SLOW, SPECS, Spec, pcapng, write

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build

NESTED = st.builds(
    Spec,
    what=st.just(("udp", 0, b"x")),
    pair=st.integers(0, 2),
    back=st.booleans(),
    six=st.booleans(),
    tunnels=DEEP,
    link=st.just("ethernet"),
    gap=st.sampled_from([0, 1000, 61_000_000_000]),
)


def watched(build: Build, data: bytes, patch: pytest.MonkeyPatch) -> tuple[Any, Any, dict[int, set[int]]]:
    """Return closed flows as rows of ``flows``, their index, and by serial number the packets that each was given."""
    lay, update = build.layout, build.assembly.update
    given: dict[int, set[int]] = defaultdict(set)

    def watch(b: Any, t: Any, i: int) -> None:  # noqa: ANN401 - arrays of a build
        update(b, t, i)
        keys = t.rows[i, [lay.Q_KEY1, lay.Q_KEY2]]
        flows = t.flows[: t.cursor[lay.OPEN]]
        (place,) = np.flatnonzero((flows[:, [lay.F_KEY1, lay.F_KEY2]] == keys).all(axis=1))
        given[int(flows[place, lay.F_SERIAL])].add(int(t.rows[i, lay.Q_NUMBER]))

    patch.setattr(build.assembly, "update", watch)
    engine = build.engine.Engine(io.BytesIO(data))
    engine.open()
    writer, tables, serials = build.index.IndexWriter(Path(tempfile.mkdtemp())), [], []
    origin = build.columns.Origin("sample", "sensor")
    for event in engine.events():
        if hasattr(event, "closed"):
            serials.append(event.closed[:, lay.F_SERIAL])
            tables += [
                batch
                for _, batch in build.columns.flow_batches(event.closed, event.addresses, build.labels.Labels(), origin)
            ]
            for name, batch in (
                *build.index.packet_batches(event.members, event.further),
                *build.columns.carried_batches(event.closed, event.addresses),
                *build.index.block_batches(event.checkpoints),
            ):
                writer.write(name, batch)
    return (np.concatenate(serials), pa.Table.from_batches(tables, FLOWS.schema)), writer.close(), given


@SLOW
@given(specs=st.lists(st.one_of(SPECS, NESTED), min_size=1, max_size=24))
def test_flows_of_every_layer_have_their_packets(plain: Build, make: ModuleType, specs: list[Spec]) -> None:
    """What the index says is what the loop did with each layer of each packet, however deep, in any disorder."""
    data = pcapng(make, [w.packet for w in write(make, specs)])
    with pytest.MonkeyPatch.context() as patch:
        for module in (plain.engine, plain.assembly):
            patch.setattr(module, "BATCH", 4)
        patch.setattr(plain.engine, "EPOCH_PACKETS", 8)
        (serials, flows), index, given = watched(plain, data, patch)

    assert set(serials.tolist()) == given.keys()
    assert index.serials(flows).tolist() == serials.tolist()
    for serial in serials.tolist():
        assert index.numbers(np.array([serial])).tolist() == sorted(given[serial])
    assert index.numbers(serials).tolist() == sorted(set().union(*given.values()))


def nested(tunnels: tuple[str, ...], pair: int = 0, *, gap: int = 1000) -> Spec:
    """Return a datagram through tunnels, from the inside out."""
    return Spec(("udp", 0, b"x"), pair, False, False, tunnels, "ethernet", gap)


def test_ordinary_captures_have_no_more_in_their_index(plain: Build, make: ModuleType) -> None:
    """Only tunnels within tunnels have rows beside those of the packets."""
    plainly = [nested(()), nested(("gre",)), nested(("vxlan",), 1)]
    deeply = [*plainly, nested(("gre", "vxlan", "ip"))]
    rows, _ = plain.read(make.pcap([w.packet for w in write(make, plainly)]))
    more, _ = plain.read(make.pcap([w.packet for w in write(make, deeply)]))

    assert {"further", "carried"} & rows.keys() == set()
    assert [row["packet"] for row in more["further"]] == [4, 4]
    assert [row["proto"] for row in more["carried"]] == ["ip-47"]


@pytest.mark.parametrize("stored", [False, True])
def test_a_case_gives_each_layer_its_packets(make: ModuleType, tmp_path: Path, *, stored: bool) -> None:
    """Four connections may begin with one packet and part then; each is found by its row, by its condition, by all."""
    specs = [
        nested(("gre", "vxlan", "ip")),
        nested(("gre", "vxlan", "ip"), 1),  # another conversation in the same carriers
        nested(("gre", "vxlan")),  # VXLAN without what is around it, now itself around all
        nested(("gre",)),
        nested(()),
        nested(("gre", "vxlan", "ip")),
    ]
    capture = tmp_path / "deep.pcap"
    capture.write_bytes(make.pcap([w.packet for w in write(make, specs)]))
    if stored:
        case = fx.open_case(tmp_path / "deep.case")
        case.add(capture)
    else:
        case = fx.read(capture)
    rows = case.flows.to_arrow().sort_by([("record", "ascending"), ("dst", "ascending")]).to_pylist()
    found = {
        (row["record"], row["tunnel"], row["dst"]): [packet.number for packet in case.packets(row)] for row in rows
    }

    assert found == {
        (1, "inner", "192.0.2.2"): [1, 3, 4, 6],
        (1, "middle", "10.0.0.2"): [1, 2, 3, 6],
        (1, "middle", "10.0.1.2"): [1, 2, 6],
        (1, "outer", "fc00::2"): [1, 2, 6],
        (2, "inner", "192.0.2.3"): [2],
        (3, "outer", "10.0.1.2"): [3],
        (4, "outer", "10.0.0.2"): [4],
        (5, None, "192.0.2.2"): [5],
    }
    assert [p.number for p in case.packets("tunnel = 'middle' AND dst = '10.0.1.2'")] == [1, 2, 6]
    assert [p.number for p in case.packets(case.flows)] == [1, 2, 3, 4, 5, 6]
    assert [p.number for p in case.packets(case.flows.to_pandas().query("dst == '10.0.1.2'"))] == [1, 2, 3, 6]
