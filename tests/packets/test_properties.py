"""What holds of any sequence of packets: connections, fragments, pings and tunnels of all kinds, in any disorder."""

# ruff: noqa: PLR0917 - fixtures and parameters of a test

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forensics.formats import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from tests.packets.conftest import Build

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
SYN, FIN, ACK = 2, 1, 16
LAYERS = 6  # connections of one packet that are told apart


@dataclass(frozen=True)
class Spec:
    """A packet to be written: what it says, through which tunnels (from the inside out), on which link, how late."""

    what: tuple[Any, ...]
    pair: int
    back: bool
    six: bool
    tunnels: tuple[str, ...]
    link: str
    gap: int


WHAT = st.one_of(
    st.tuples(
        st.just("tcp"),
        st.integers(0, 1),
        st.sampled_from([0, 7, 0x7FFF_FFF0, 0xFFFF_FFF0]),
        st.integers(0, 120),
        st.sampled_from([ACK, SYN, SYN | ACK, FIN | ACK, 4, 0]),
        st.one_of(st.binary(max_size=40), st.sampled_from([b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])),
    ),
    st.tuples(st.just("udp"), st.integers(0, 2), st.binary(max_size=40)),
    st.tuples(st.just("icmp"), st.integers(0, 18), st.integers(0, 1)),
    st.tuples(st.just("part"), st.sampled_from([0x2000, 0x2001, 2, 3]), st.integers(1, 2)),
    st.tuples(st.just("ip"), st.sampled_from([50, 89, 132, 255])),
    st.tuples(st.just("arp")),
    st.tuples(st.just("cut")),
)
TUNNELS = st.lists(st.sampled_from(["ip", "gre", "gre bridged", "vxlan", "gtp"]), max_size=2).map(tuple)
DEEP = st.lists(st.sampled_from(["ip", "gre", "gre bridged", "vxlan", "gtp"]), min_size=1, max_size=8).map(tuple)
GAPS = st.sampled_from([0, 1, 999, 1000, SECOND, 29 * SECOND, 61 * SECOND, 3700 * SECOND, -1000, -SECOND, -90 * SECOND])
SPECS = st.builds(
    Spec,
    what=WHAT,
    pair=st.integers(0, 2),
    back=st.booleans(),
    six=st.booleans(),
    tunnels=st.one_of(st.just(()), st.just(()), TUNNELS, DEEP),
    link=st.sampled_from(["ethernet", "ethernet", "vlan", "qinq", "raw", "cooked"]),
    gap=GAPS,
)
SEQUENCES = st.lists(SPECS, max_size=24)
PORTS = (53, 9999, 443)
SLOW = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def content(make: ModuleType, spec: Spec) -> tuple[int, bytes]:
    """Return the protocol and the payload of a packet."""
    kind, *rest = spec.what
    if kind == "tcp":
        port, start, offset, flags, payload = rest
        ports = (PORTS[port], 40000) if spec.back else (40000, PORTS[port])
        return 6, make.tcp(*ports, start + offset & 0xFFFF_FFFF, start, flags, payload)
    if kind in {"udp", "part"}:
        port, payload = rest if kind == "udp" else (1, b"datagram in pieces")
        return 17, make.udp(*((PORTS[port], 40000) if spec.back else (40000, PORTS[port])), payload)
    if kind == "icmp":
        return 58 if spec.six else 1, bytes([rest[0] + (120 if spec.six else 0), rest[1]]) + bytes(12)
    return (rest[0] if kind == "ip" else 17), bytes(16)


def innermost(make: ModuleType, spec: Spec) -> bytes:
    """Return the IP packet that no tunnel is put around yet."""
    prefix = "2001:db8::" if spec.six else "192.0.2."
    ends = (f"{prefix}1", f"{prefix}{2 + spec.pair}")
    src, dst = ends[::-1] if spec.back else ends
    proto, payload = content(make, spec)
    if spec.what[0] == "part" and not spec.six:
        return bytes(make.ipv4(src, dst, proto, payload[:16], ident=spec.what[2], fragment=spec.what[1]))
    return bytes(make.ip(src, dst, proto, payload))


def wrapped(make: ModuleType, packet: bytes, tunnel: str, depth: int) -> bytes:
    """Return an IP packet that carries another."""
    six = packet[0] >> 4 == 6
    kind = struct.pack(">H", 0x86DD if six else 0x0800)
    load = {
        "ip": (41 if six else 4, packet),
        "gre": (47, b"\0\0" + kind + packet),
        "gre bridged": (47, b"\x20\0\x65\x58" + bytes(4) + make.ethernet(packet)),
        "vxlan": (17, make.udp(50_000, 4789, b"\x08" + bytes(7) + make.ethernet(packet))),
        "gtp": (17, make.udp(2152, 2152, b"\x30\xff" + struct.pack(">HI", len(packet), 1) + packet)),
    }
    proto, payload = load[tunnel]
    src, dst = f"10.0.{depth}.1", f"10.0.{depth}.2"
    return bytes(
        make.ipv6("fc00::1", "fc00::2", proto, payload) if depth % 3 == 2 else make.ipv4(src, dst, proto, payload)
    )


@dataclass(frozen=True)
class Written:
    """A packet with what is known of it: its IP packets from the outermost to the one that its bytes are told of."""

    packet: Any
    spec: Spec
    layers: tuple[bytes, ...]


def write(make: ModuleType, specs: list[Spec], *, one_link: bool = False) -> list[Written]:
    """Return the packets that are specified."""
    time, found = make.START, []
    for spec in specs:
        time += spec.gap
        layers = [innermost(make, spec)]
        for depth, tunnel in enumerate(spec.tunnels):
            layers.insert(0, wrapped(make, layers[0], tunnel, depth))
        if spec.what[0] in {"arp", "cut"}:
            head = bytes.fromhex("0806" if spec.what[0] == "arp" else "0800")
            found.append(Written(make.Packet(time, bytes(12) + head + b"\x45" + bytes(7)), spec, ()))
            continue
        frame, link = make.ethernet(layers[0]), 1
        if spec.link in {"vlan", "qinq"}:
            frame = make.ethernet(layers[0], *((10, 20) if spec.link == "qinq" else (10,)))
        elif spec.link == "raw" and not one_link:
            frame, link = layers[0], 101
        elif spec.link == "cooked" and not one_link:
            kind = 0x86DD if layers[0][0] >> 4 == 6 else 0x0800
            frame, link = struct.pack(">HHHQH", 0, 1, 6, 0, kind) + layers[0], 113
        found.append(Written(make.Packet(time, frame, link), spec, tuple(layers[:LAYERS])))
    return found


def pcapng(make: ModuleType, packets: list[Any], order: str = "<", snaplen: int = 65535) -> bytes:
    """Return a pcapng file of packets of several link types."""
    links = [1, 101, 113]
    file = make.section(order) + b"".join(make.interface(order, link=link, resolution=9) for link in links)
    for packet in packets:
        cut = make.Packet(packet.time, packet.data, packet.link, snaplen)
        file += make.enhanced(order, cut, packet.time, links.index(packet.link))
    return bytes(file)


@pytest.fixture
def tiny(plain: Build, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Return the plain engine with batches of four packets and epochs of eight, so that few packets cross them."""
    for module in (plain.engine, plain.assembly):
        monkeypatch.setattr(module, "BATCH", 4)
    monkeypatch.setattr(plain.engine, "EPOCH_PACKETS", 8)
    return plain


@SLOW
@given(specs=SEQUENCES, snaplen=st.one_of(st.just(65535), st.integers(1, 150)), cut=st.integers(0, 60))
def test_both_builds_give_the_same_tables(
    plain: Build, compiled: Build, make: ModuleType, specs: list[Spec], snaplen: int, cut: int
) -> None:
    """Compiled and plain Python, every row and every fact is the same, whatever is cut."""
    data = pcapng(make, [w.packet for w in write(make, specs)], snaplen=snaplen)
    data = data[: len(data) - cut]

    assert plain.read(data) == compiled.read(data)


class Drops(io.RawIOBase):
    """Bytes that come so many at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size = io.BytesIO(data), size

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Fill some of the buffer."""
        data = self._data.read(min(self._size, len(buffer)))
        buffer[: len(data)] = data
        return len(data)


def read(build: Build, data: bytes, size: int) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Return the rows of a capture that comes in pieces, and its notes."""
    evidence = Evidence(cast("BinaryIO", Drops(data, size)), "sample", "sensor")
    rows = defaultdict(list)
    for table, batch in build.pipeline.read_capture(evidence, build.layout.FlowOptions()):
        rows[table].extend(batch.to_pylist())
    return rows, evidence.notes


@SLOW
@given(specs=SEQUENCES, size=st.integers(1, 3000))
def test_blocks_change_nothing(tiny: Build, make: ModuleType, specs: list[Spec], size: int) -> None:
    """However the file comes, byte by byte or in blocks of any size, the tables are the same."""
    data = pcapng(make, [w.packet for w in write(make, specs)])
    whole = tiny.read(data)

    assert read(tiny, data, size) == whole
    assert read(tiny, data, 1) == whole


def sums_of(volumes: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """Return what each pair moved per minute."""
    found: Counter[tuple[Any, ...]] = Counter()
    for row in volumes:
        for name in ("bytes_out", "bytes_in", "packets_out", "packets_in", "connections"):
            found[row["minute"], row["src"], row["dst"], name] += row[name]
    return found


@SLOW
@given(specs=SEQUENCES, late=st.integers(1, 24))
def test_epochs_and_batches_change_nothing(plain: Build, make: ModuleType, specs: list[Spec], late: int) -> None:
    """Wherever the engine stops to hand out what it has, the flows and their volumes are the same."""
    data = pcapng(make, [w.packet for w in write(make, specs)])
    whole, facts = plain.read(data)
    with pytest.MonkeyPatch.context() as patch:
        for module in (plain.engine, plain.assembly):
            patch.setattr(module, "BATCH", late)
        patch.setattr(plain.engine, "EPOCH_PACKETS", late)
        some, some_facts = plain.read(data)

    assert some["flows"] == whole["flows"]
    assert some["packets"] == whole["packets"]
    assert sums_of(some["volumes"]) == sums_of(whole["volumes"])
    assert some_facts == facts


def containers(make: ModuleType, make_links: ModuleType) -> dict[str, Callable[[list[Any]], bytes]]:
    """Return what writes packets of one link type into a file, by container."""
    return {
        "pcap": make.pcap,
        "big-endian": lambda some: make.pcap(some, big=True),
        "nanoseconds": lambda some: make.pcap(some, nano=True),
        "modified": make_links.modified_pcap,
        "snoop": make_links.snoop,
        "pcapng": make.pcapng_plain,
        "pcapng, big-endian": lambda some: pcapng(make, some, ">"),
        "pcapng, all blocks": lambda some: make_links.blocks("<", some),
    }


@SLOW
@given(specs=st.lists(SPECS, min_size=1, max_size=24))
def test_containers_change_nothing(plain: Build, make: ModuleType, make_links: ModuleType, specs: list[Spec]) -> None:
    """The same packets in any container give the same flows and volumes."""
    packets = [make.Packet(w.packet.time // 1000 * 1000, w.packet.data) for w in write(make, specs, one_link=True)]
    tables = {name: plain.read(writer(packets))[0] for name, writer in containers(make, make_links).items()}

    for name, rows in tables.items():
        for table in ("flows", "volumes", "requests", "rejects"):
            assert rows[table] == tables["pcap"][table], name


def check_cuts(plain: Build, writer: Callable[[list[Any]], bytes], packets: list[Any], share: float | None) -> None:
    """Assert what must hold of a file that is cut at a place, or at any: whole packets stay, a cut one is a reject."""
    lengths = [len(writer(packets[:k])) for k in range(len(packets) + 1)]
    span = range(lengths[0], lengths[-1] + 1)
    known = [plain.read(writer(packets[:k]))[0] for k in range(len(lengths))]
    for size in span if share is None else [span[int(share * (len(span) - 1))]]:
        rows, notes = plain.read(writer(packets)[:size])
        whole = bisect_right(lengths, size) - 1
        cut = int(size != lengths[whole])
        assert all(rows[table] == known[whole][table] for table in {*rows, *known[whole]} - {"rejects"})
        assert len(rows["rejects"]) == len(known[whole]["rejects"]) + cut
        assert ("truncated" in notes) == cut


@pytest.mark.parametrize("form", ["pcap", "snoop", "pcapng, big-endian"])
def test_a_file_cut_anywhere_keeps_what_is_whole(
    plain: Build, make: ModuleType, make_links: ModuleType, form: str
) -> None:
    """Cut at any byte, a file gives the flows of its whole packets, and one reject where a packet was cut."""
    tunnelled = Spec(("tcp", 2, 7, 0, SYN, b""), 0, False, False, ("vxlan",), "ethernet", 0)
    specs = [
        Spec(("udp", 0, b"x"), 0, False, False, (), "vlan", 0),
        tunnelled,
        Spec(("arp",), 0, False, False, (), "", 5),
    ]
    packets = [w.packet for w in write(make, specs, one_link=True)]

    check_cuts(plain, containers(make, make_links)[form], packets, None)


@SLOW
@given(specs=SEQUENCES, share=st.floats(0, 1))
def test_any_file_cut_keeps_what_is_whole(plain: Build, make: ModuleType, specs: list[Spec], share: float) -> None:
    """So does a file of any packets."""
    check_cuts(plain, make.pcap, [w.packet for w in write(make, specs, one_link=True)], share)


def total(rows: list[dict[str, Any]], *names: str) -> int:
    """Return the sum of columns, both ways."""
    return sum(row[f"{name}_{way}"] for row in rows for name in names for way in ("out", "in"))


@SLOW
@given(specs=SEQUENCES)
def test_packets_and_bytes_are_counted_once(plain: Build, make: ModuleType, specs: list[Spec]) -> None:
    """Flows of the wire have every frame once, volumes the IP bytes of each packet's innermost connection."""
    packets = write(make, specs)
    rows, facts = plain.read(pcapng(make, [w.packet for w in packets]))
    outside = [flow for flow in rows["flows"] if flow["tunnel"] in {None, "outer"}]
    carried = [w for w in packets if w.layers]
    kinds = Counter(w.spec.what[0] for w in packets)

    assert facts["records"] == len(packets) == len(rows["packets"])
    assert facts.get("not_ip_packets", 0) == kinds["arp"]
    assert facts.get("rejected_packets", 0) == len(rows["rejects"]) == kinds["cut"]
    assert facts.get("tunnelled_packets", 0) == sum(len(w.layers) - 1 for w in carried)
    assert total(outside, "packets") == facts["packets_in_flows"] == len(carried)
    assert total(outside, "frame_bytes") == sum(len(w.packet.data) for w in carried)
    assert total(rows["flows"], "packets") == sum(len(w.layers) for w in carried)
    assert total(rows["flows"], "bytes") == sum(len(layer) for w in carried for layer in w.layers)
    wanted: Counter[int] = Counter()
    for w in carried:
        wanted[w.packet.time // MINUTE * 60] += len(w.layers[-1])
    told: Counter[int] = Counter()
    for row in rows["volumes"]:
        told[int(row["minute"].timestamp())] += total([row], "bytes")
    assert told == wanted
    assert total(rows["volumes"], "packets") == len(carried)


@SLOW
@given(specs=SEQUENCES)
def test_the_index_knows_both_ends_of_a_tunnel(tiny: Build, make: ModuleType, specs: list[Spec]) -> None:
    """A flow on the wire has all its packets in the index, and so has a flow that it carries.

    Tunnels within tunnels have tests of their own.
    """
    packets = [w for w in write(make, specs) if len(w.layers) < 3]
    rows, _ = tiny.read(pcapng(make, [w.packet for w in packets]))
    members = rows["packets"]

    assert [row["flow"] is not None for row in members] == [bool(w.layers) for w in packets]
    assert [row["inner"] is not None for row in members] == [len(w.layers) > 1 for w in packets]
    column_of = {None: "flow", "outer": "flow", "inner": "inner"}
    begun = Counter((column_of[flow["tunnel"]], flow["record"]) for flow in rows["flows"])
    for flow in rows["flows"]:
        column, record = column_of[flow["tunnel"]], flow["record"]
        numbers = [number for number, row in enumerate(members, 1) if row[column] == record]
        assert numbers[0] == record
        assert len(numbers) >= total([flow], "packets")
        assert begun[column, record] > 1 or len(numbers) == total([flow], "packets")


CONVERSIONS = {
    "pcapng": ["editcap", "-F", "pcapng"],
    "nanoseconds": ["editcap", "-F", "nsecpcap"],
    "snoop": ["editcap", "-F", "snoop"],
    "modified": ["editcap", "-F", "modpcap"],
    "tcpdump": ["tcpdump", "-r", "{}", "-w"],
    "tshark": ["tshark", "-F", "pcapng", "-r", "{}", "-w"],
}


@pytest.mark.parametrize("program", CONVERSIONS)
@settings(SLOW, max_examples=3)
@given(specs=st.lists(SPECS, min_size=10, max_size=40))
def test_other_programs_write_the_same(
    plain: Build, make: ModuleType, tmp_path: Path, program: str, specs: list[Spec]
) -> None:
    """What editcap, tcpdump and tshark make of a capture gives the same flows."""
    command, *options = CONVERSIONS[program]
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    packets = [make.Packet(w.packet.time // 1000 * 1000, w.packet.data) for w in write(make, specs, one_link=True)]
    before, after = tmp_path / "before.pcap", tmp_path / "after"
    before.write_bytes(make.pcap(packets))
    places = [option.format(before) for option in options]
    files = [after] if "{}" in options else [before, after]
    subprocess.run([command, *places, *files], check=True, capture_output=True)

    rows, _ = plain.read(after.read_bytes())
    assert {t: rows[t] for t in ("flows", "volumes")} == {
        t: plain.read(before.read_bytes())[0][t] for t in ("flows", "volumes")
    }
