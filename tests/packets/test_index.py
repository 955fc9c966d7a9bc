"""The seek index: what it says of every packet is what a pass through the whole capture finds."""

# ruff: noqa: PLR0917 - fixtures and parameters of a test

from __future__ import annotations

import gzip
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from tests.packets.conftest import Build

SECOND = 1_000_000_000
NONE = np.zeros(0, dtype=np.int64)
REAL = [
    "flows-by-protocol/443-curl.pcap",
    "flows-by-protocol/tumblr.pcap",
    "flows-by-protocol/bittorrent.pcap",
    "flows-by-protocol/ethereum.pcap",
    "zeek/opt.basic/trace.pcap",
]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have temporary folders go with the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


class Forward(io.RawIOBase):
    """Bytes that can only be read forward, as those of a compressed capture."""

    def __init__(self, data: bytes) -> None:
        self._inner = gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(data, 1)))

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Fill some of the buffer, less than there is room."""
        data = self._inner.read(min(len(buffer), 7000))
        buffer[: len(data)] = data
        return len(data)


def made(build: Build, data: bytes, **options: object) -> tuple[Any, Any, dict[str, object]]:
    """Return the closed flows of a capture, its index and the engine's facts."""
    engine = build.engine.Engine(io.BytesIO(data), build.layout.FlowOptions(**options))
    engine.open()
    writer, closed = build.index.IndexWriter(Path(tempfile.mkdtemp())), []
    for event in engine.events():
        if hasattr(event, "closed"):
            closed.append(event.closed)
            for name, batch in (
                *build.index.packet_batches(event.members, event.further),
                *build.columns.carried_batches(event.closed, event.addresses),
                *build.index.block_batches(event.checkpoints),
            ):
                writer.write(name, batch)
    return np.concatenate(closed), writer.close(), engine.facts()


def scanned(build: Build, data: bytes) -> Iterator[tuple[list[int], bytes]]:
    """Yield every packet of a capture, by one pass without an index: its columns and its bytes."""
    engine = build.engine.Engine(io.BytesIO(data), build.layout.FlowOptions(pick=False))
    engine.open()
    layout, window, t = build.layout, engine._window, engine.tables
    while not engine._stopped:
        t = build.arrays.grown(engine.tables, len(engine.tables.frames))
        engine.tables = t
        m, status = build.assembly.frame_next(window.data, t.cursor, t.frames, t.interfaces, len(t.frames))
        t.cursor[layout.N_FRAMES] = m
        t.frames[:m, layout.FR_TYPE] = layout.UNKNOWN
        build.links.find_networks(window.data, t)
        build.decode.decode_frames(window.data, window.words, t)
        t.cursor[layout.NUMBER] += m
        for row in t.rows[:m].tolist():
            yield row, window.data[row[layout.Q_START] : row[layout.Q_END]].tobytes()
        if status != build.layout.GO_ON and not engine._serve(status):
            return


def check_flows(build: Build, data: bytes, reference: Build | None = None, **options: object) -> None:
    """Assert that each flow has the packets of its key and time, its first one first, and each packet one flow."""
    lay = build.layout
    flows, index, facts = made(build, data, **options)
    packets = [row for row, _ in scanned(reference or build, data)]
    assert len(packets) == facts["records"]
    taken = np.zeros(len(packets) + 1, dtype=int)
    for flow in flows:
        numbers = index.numbers(flow[[lay.F_SERIAL]])
        assert len(numbers) == flow[lay.F_SUM_PACKETS] + flow[lay.F_SUM_PACKETS_HIGH]
        assert numbers[0] == flow[lay.F_SERIAL] >> lay.SERIAL_SHIFT
        taken[numbers] += 1
        for row in (packets[number - 1] for number in numbers.tolist()):
            assert (row[lay.Q_KEY1], row[lay.Q_KEY2]) == (flow[lay.F_KEY1], flow[lay.F_KEY2])
            assert flow[lay.F_START] <= row[lay.Q_TIME] <= flow[lay.F_LAST]
    assert taken[1:].tolist() == [int(row[lay.Q_KIND] == lay.OK) for row in packets]
    if len(flows):
        every = index.numbers(flows[:, lay.F_SERIAL])
        assert every.tolist() == np.flatnonzero(taken).tolist()


def check_seeking(
    build: Build,
    data: bytes,
    numbers: list[int],
    index: Any,  # noqa: ANN401 - of a build
    reference: Build | None = None,
) -> None:
    """Assert that single packets are what a pass through the whole capture finds, from any kind of stream."""
    lay = build.layout
    known = [(row[lay.Q_TIME], row[lay.Q_WIRE], row[lay.Q_LINK], raw) for row, raw in scanned(reference or build, data)]
    wanted = np.array(sorted(numbers), dtype=np.int64)
    for stream in (io.BytesIO(data), Forward(data)):
        found = list(build.seek.read_packets("s", stream, index.checkpoints(), wanted))
        assert [packet.number for packet in found] == wanted.tolist()
        got = [(packet.time, packet.wire_length, packet.link_type, packet.data) for packet in found]
        assert got == [known[number - 1] for number in wanted.tolist()]


@pytest.fixture
def small(plain: Build, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Return the plain engine with batches of four packets, so that small captures have many checkpoints."""
    for module in (plain.engine, plain.assembly, plain.seek, plain.arrays):
        monkeypatch.setattr(module, "BATCH", 4)
    for module in (plain.engine, plain.arrays):
        monkeypatch.setattr(module, "EPOCH_PACKETS", 64)
    monkeypatch.setattr(plain.seek, "SEEK_BYTES", 500)
    return plain


SAMPLES = [
    "normal.pcap",
    "oddities.pcap",
    "nanosecond_big_endian.pcap",
    "snaplen_60.pcap",
    "unread_link_type.pcap",
    "cut_inside_packet.pcap",
    "normal.pcapng",
    "two_sections.pcapng",
    "simple_blocks.pcapng",
    "cut_inside_block.pcapng",
]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_packet_of_every_flow_is_found(small: Build, samples: dict[str, bytes], name: str) -> None:
    """The index gives each flow its packets and no others, and each packet can be read by itself."""
    check_flows(small, samples[name])
    _, index, facts = made(small, samples[name])
    count = int(str(facts["records"]))
    assert [checkpoint.record for checkpoint in index.checkpoints()] == list(range(1, count + 2, 4))
    for number in range(1, count + 1):
        check_seeking(small, samples[name], [number], index)
    check_seeking(small, samples[name], list(range(1, count + 1)), index)


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("name", ["normal.pcap", "two_sections.pcapng"])
def test_the_index_does_not_depend_on_blocks(small: Build, samples: dict[str, bytes], name: str, block: int) -> None:
    """However the file comes, the checkpoints and the flows of the packets are the same."""
    found = []
    for size in (block, small.engine.BLOCK_BYTES):
        engine = small.engine.Engine(io.BytesIO(samples[name]), block=size)
        engine.open()
        harvests = [event for event in engine.events() if hasattr(event, "closed")]
        checkpoints = [checkpoint for event in harvests for checkpoint in event.checkpoints]
        found.append((checkpoints, np.concatenate([event.members for event in harvests]).tolist()))

    assert found[0] == found[1]


def test_interfaces_are_kept_with_their_limits(small: Build, make: ModuleType) -> None:
    """A packet carries the snaplen of its interface; where interfaces of one link type differ, none is claimed."""
    packets = [
        make.Packet(make.START + k, make.ethernet(make.ipv4("192.0.2.1", "192.0.2.2", 17, make.udp(1, 2, b""))))
        for k in range(9)
    ]
    cut = make.pcap(packets, snaplen=96)
    _, index, _ = made(small, cut)
    found = list(small.seek.read_packets("s", io.BytesIO(cut), index.checkpoints(), np.array([9])))
    assert [packet.snaplen for packet in found] == [96]

    parts = [make.section("<"), make.interface("<", snaplen=96), make.interface("<", snaplen=0)]
    both = b"".join(
        [*parts, *(make.enhanced("<", packet, packet.time // 1000, k % 2) for k, packet in enumerate(packets))]
    )
    _, index, _ = made(small, both)
    found = list(small.seek.read_packets("s", io.BytesIO(both), index.checkpoints(), np.array([3, 8])))
    assert [packet.snaplen for packet in found] == [0, 0]


def test_packets_that_belong_to_no_flow(small: Build, make: ModuleType) -> None:
    """A packet that is not IP has no flow, and nobody's packets are it."""
    frames = [bytes(12) + b"\x08\x06" + bytes(28), make.ethernet(make.ipv4("192.0.2.1", "192.0.2.2", 1, b"\x08\0"))]
    data = make.pcap([make.Packet(make.START, frame) for frame in frames])
    _, index, _ = made(small, data)

    shift = small.layout.SERIAL_SHIFT
    assert index.numbers(np.array([2 << shift])).tolist() == [2]
    assert index.numbers(np.array([1 << shift])).tolist() == []
    assert index.numbers(np.array([2 << shift | 1])).tolist() == []  # no packet is in a tunnel
    assert index.numbers(NONE).tolist() == []


def test_inner_flows_are_looked_up_by_themselves(plain: Build) -> None:
    """A tunnel and a flow in it may begin with the same packet; each has its own packets."""
    pa = pytest.importorskip("pyarrow")
    rows = {"flow": [1, 1, None, 1, 5], "inner": [1, 2, None, 1, None]}
    writer = plain.index.IndexWriter(Path(tempfile.mkdtemp()))
    writer.write("packets", pa.RecordBatch.from_pydict(rows, schema=plain.index.INDEX["packets"]))
    for name, batch in plain.index.block_batches([plain.index.Checkpoint(1, 24, 0, b"")]):
        writer.write(name, batch)
    index = writer.close()

    shift = plain.layout.SERIAL_SHIFT
    assert index.numbers(np.array([1 << shift])).tolist() == [1, 2, 4]
    assert index.numbers(np.array([1 << shift | 1])).tolist() == [1, 4]
    assert index.numbers(np.array([5 << shift, 2 << shift | 1])).tolist() == [2, 5]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    packets=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(-1, 90), st.binary(max_size=40)), max_size=60
    ),
    form=st.sampled_from(["micro", "nano", "big", "pcapng"]),
    cut=st.integers(0, 200),
    data=st.data(),
)
def test_any_packets_are_found_again(
    small: Build, make: ModuleType, packets: list[tuple[int, int, int, bytes]], form: str, cut: int, data: st.DataObject
) -> None:
    """Flows interleaved, idle, in both directions, times running backwards, the file cut anywhere."""
    time, wire = make.START, []
    for port, side, gap, payload in packets:
        time += gap * SECOND
        ends = ("192.0.2.1", "192.0.2.2") if side else ("192.0.2.2", "192.0.2.1")
        ports = (1000 + port, 53) if side else (53, 1000 + port)
        wire.append(make.Packet(time, make.ethernet(make.ipv4(*ends, 17, make.udp(*ports, payload)))))
    writers = {
        "micro": make.pcap,
        "nano": lambda some: make.pcap(some, nano=True),
        "big": lambda some: make.pcap(some, big=True),
        "pcapng": make.pcapng_sections if len(wire) > 8 else make.pcapng_plain,
    }
    capture = writers[form](wire)
    capture = capture[: max(24, len(capture) - cut)]

    _, index, facts = made(small, capture)
    flows = made(small, capture, udp=60.0)[0]
    assert len(flows) == 0 or check_counts(small, flows, index)
    count = int(str(facts["records"]))
    if count:
        chosen = data.draw(st.sets(st.integers(1, count), min_size=1, max_size=10))
        check_seeking(small, capture, sorted(chosen), index)


def check_counts(build: Build, flows: Any, index: Any) -> bool:  # noqa: ANN401 - of a build
    """Tell whether the flows share out the packets: as many as each has counted, none twice, the first one first."""
    lay = build.layout
    found = [index.numbers(flow[[lay.F_SERIAL]]).tolist() for flow in flows]
    counted = [int(flow[lay.F_SUM_PACKETS] + flow[lay.F_SUM_PACKETS_HIGH]) for flow in flows]
    return (
        [len(numbers) for numbers in found] == counted
        and [numbers[0] for numbers in found] == (flows[:, lay.F_SERIAL] >> lay.SERIAL_SHIFT).tolist()
        and len({number for numbers in found for number in numbers}) == sum(counted)
    )


@pytest.mark.parametrize("name", REAL)
def test_real_captures(compiled: Build, plain: Build, corpus: Path, name: str) -> None:
    """Every flow of real captures has the packets that a pass through the whole file gives it."""
    data = (corpus / name).read_bytes()
    check_flows(compiled, data, plain)
    _, index, facts = made(compiled, data)
    count = int(str(facts["records"]))
    check_seeking(compiled, data, list(range(1, count + 1, 97)), index, plain)


def test_every_kind_of_pcapng(plain: Build, corpus: Path) -> None:
    """Sections of both byte orders, interfaces of any clock, blocks of any kind: each packet is read by itself."""
    seen = 0
    for path in sorted((corpus / "captures" / "pcapng-suite").rglob("*.pcapng")):
        data = path.read_bytes()
        _, index, facts = made(plain, data)
        for number in range(1, int(str(facts["records"])) + 1):
            check_seeking(plain, data, [number], index)
            seen += 1

    assert seen > 100


def test_both_builds_index_alike(plain: Build, compiled: Build, samples: dict[str, bytes]) -> None:
    """Compiled and plain Python give the same index."""
    for data in samples.values():
        found = []
        for build in (plain, compiled):
            engine = build.engine.Engine(io.BytesIO(data))
            engine.open()
            harvests = [event for event in engine.events() if hasattr(event, "closed")]
            found.append([(event.members.tolist(), [tuple(c) for c in event.checkpoints]) for event in harvests])
        assert found[0] == found[1]
