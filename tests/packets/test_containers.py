"""Captures of every kind of pcap and pcapng: byte orders, clocks, sections, cut and damaged ones."""

from __future__ import annotations

import io
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from forensics.errors import EvidenceError
from forensics.formats import Evidence, Hints, all_formats

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build

SECOND = 1_000_000_000


def first_times(plain: Build, data: bytes) -> list[datetime]:
    """Return when flows began."""
    return [flow["start"] for flow in plain.flows(data)]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("nano", [False, True])
def test_pcap_of_either_order_and_resolution(plain: Build, make: ModuleType, big: bool, nano: bool) -> None:
    """The same packets give the same flows, however their times are written."""
    packets = make.web(make.START + 123_456_000)

    flows = plain.flows(make.pcap(packets, big=big, nano=nano))

    assert flows == plain.flows(make.pcap(packets))
    assert flows[0]["start"] == datetime(2015, 5, 21, 2, 0, 0, 123_456, tzinfo=UTC)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("resolution", "ticks"),
    [
        (0, 1_432_173_600),
        (3, 1_432_173_600_500),
        (9, 1_432_173_600_500_000_000),
        (10, 14_321_736_005_000_000_000 // 2),
        (0x80, 1_432_173_600),
        (0x80 | 20, (1_432_173_600 << 20) + (1 << 19)),
        (0x80 | 33, (1_432_173_600 << 31)),
    ],
)
def test_pcapng_clocks(plain: Build, make: ModuleType, order: str, resolution: int, ticks: int) -> None:
    """Powers of ten and of two, and an offset, give the same instant."""
    bits = resolution & 0x7F
    per_second = 2**bits if resolution & 0x80 else 10**bits
    packet = make.web(make.START)[0]
    data = (
        make.section(order)
        + make.interface(order, resolution=resolution, offset=-100)
        + make.enhanced(order, packet, ticks)
    )

    start = first_times(plain, data)[0]

    assert abs(start.timestamp() - (ticks / per_second - 100)) < 1e-3


@pytest.mark.parametrize(
    ("resolution", "ticks", "expected"),
    [
        (25, 10**18, 0),
        (60, 10**18, 0),
        (0x80 | 62, 2**62, 1),
        (0x80 | 100, 2**62, 0),
        (6, 2**63, None),
        (0, 2**40, None),
    ],
)
def test_absurd_clocks(plain: Build, make: ModuleType, resolution: int, ticks: int, expected: int | None) -> None:
    """Resolutions beyond all reason are computed all the same; a time that does not fit is a reject."""
    packet = make.web(make.START)[0]
    data = make.section("<") + make.interface("<", resolution=resolution) + make.enhanced("<", packet, ticks)

    tables, notes = plain.read(data)

    assert notes["records"] == 1
    if expected is None:
        assert [r["reason"] for r in tables["rejects"]] == ["the time lies outside the years 1825-2115"]
    else:
        assert int(tables["flows"][0]["start"].timestamp()) == expected


def test_an_offset_beyond_all_time_is_a_reject(plain: Build, make: ModuleType) -> None:
    """An interface whose clock is off by more than all of time gives no times."""
    data = make.section("<") + make.interface("<", offset=-(2**62)) + make.enhanced("<", make.web(make.START)[0], 5)

    assert len(plain.read(data)[0]["rejects"]) == 1


def test_two_sections_hold_the_same_connection(plain: Build, samples: dict[str, bytes]) -> None:
    """Sections of different byte order, interfaces of different clocks and links: one connection."""
    tables, notes = plain.read(samples["two_sections.pcapng"])

    assert [(f["packets_out"], f["packets_in"]) for f in tables["flows"]] == [(10, 6)]
    assert (notes["sections"], notes["link_types"], notes["unread_link_types"]) == (2, [1, 101, 147], {"147": 1})
    assert [(r["record"], r["raw"]) for r in tables["rejects"]] == [(17, b"unread link")]


def test_simple_and_old_blocks(plain: Build, samples: dict[str, bytes]) -> None:
    """Simple blocks take the time before them; both keep the length on the wire."""
    tables, notes = plain.read(samples["simple_blocks.pcapng"])

    assert notes["untimed_packets"] == 11
    assert notes["cut_by_snaplen"] == 10
    assert [(f["bytes_out"], f["bytes_in"]) for f in tables["flows"]] == [(938, 540)]


def test_statistics_and_unknown_blocks(plain: Build, samples: dict[str, bytes]) -> None:
    """Unknown blocks are passed over, drops of the interface noted; the packets are those of the pcap."""
    tables, notes = plain.read(samples["normal.pcapng"])

    assert notes["dropped_by_interface"] == 3
    assert tables["flows"] == plain.read(samples["normal.pcap"])[0]["flows"]


def test_big_endian_statistics_and_old_blocks(plain: Build, make: ModuleType) -> None:
    """The same blocks in the other byte order."""
    packet = make.web(make.START)[0]
    ticks = packet.time // 1000
    old = struct.pack(">HHIIII", 0, 7, ticks >> 32, ticks & 0xFFFF_FFFF, len(packet.data), len(packet.data))
    drops = make.option(">", 5, struct.pack(">Q", 9)) + make.option(">", 4, b"short")
    data = make.section(">") + make.interface(">") + make.block(">", 2, old + packet.data)
    data += make.block(">", 5, struct.pack(">III", 0, 0, 0) + drops + bytes(4))
    data += make.block(">", 5, struct.pack(">III", 0, 0, 0))

    tables, notes = plain.read(data)

    assert notes["dropped_by_interface"] == 9
    assert len(tables["flows"]) == 1


def test_packets_of_undescribed_interfaces_are_rejects(plain: Build, make: ModuleType) -> None:
    """A packet block that names an interface the section lacks is set aside, and the next one read."""
    packet = make.web(make.START)[0]
    data = make.section("<") + make.block("<", 3, struct.pack("<I", 4) + b"none") + make.interface("<")
    data += make.enhanced("<", packet, 1, 5) + make.enhanced("<", packet, packet.time // 1000)

    tables, notes = plain.read(data)

    assert [r["record"] for r in tables["rejects"]] == [1, 2]
    assert len(tables["flows"]) == 1
    assert notes["records"] == 3


@pytest.mark.parametrize("name", ["normal.pcap", "two_sections.pcapng", "simple_blocks.pcapng", "oddities.pcap"])
def test_any_truncation_keeps_what_came_before(plain: Build, samples: dict[str, bytes], name: str) -> None:
    """A file cut anywhere gives the packets before the cut, and says where and why it ends."""
    data = samples[name]
    before = 0
    for end in range(1, len(data), 7):
        tables, notes = plain.read(data[:end])
        assert notes["records"] >= before
        before = notes["records"]
        inside = sum(f["packets_out"] + f["packets_in"] for f in tables["flows"])
        others = sum(notes.get("not_ip", {}).values()) + sum(notes.get("unread_link_types", {}).values())
        assert inside + others == notes["records"]
        reasons = [r["reason"] for r in tables["rejects"] if "are not read" not in r["reason"]]
        assert reasons == [notes[key] for key in notes if key == "truncated"]


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (struct.pack("<IIII", 1, 1, 0xFFFF_FFFF, 60), "a packet has an absurd length"),
        (struct.pack("<IIII", 1, 1, 300_000, 60), "a packet has an absurd length"),
        (b"\0" * 5, "the file is cut inside a packet"),
    ],
)
def test_damage_in_pcap_ends_reading(plain: Build, make: ModuleType, tail: bytes, reason: str) -> None:
    """Reading stops at a length that cannot be, and everything before it stands."""
    tables, notes = plain.read(make.pcap(make.web(make.START)) + tail)

    assert len(tables["flows"]) == 1
    assert notes["truncated"].startswith(f"{reason} at byte ")
    assert tables["rejects"][0]["record"] == 12
    assert tables["rejects"][0]["raw"] == tail


def test_a_large_snaplen_allows_large_packets(plain: Build, make: ModuleType) -> None:
    """Where the file's header promises packets above 256 KiB, they are read."""
    big = make.Packet(
        make.START,
        make.ethernet(make.ipv4("192.0.2.1", "198.51.100.2", 99, bytes(1000))).ljust(300_000, b"\0"),
        snaplen=400_000,
    )

    assert plain.read(make.pcap([big], snaplen=400_000))[1]["packets_in_flows"] == 1


def block_lengths(first: int, last: int) -> bytes:
    """Return a block whose two lengths are the given ones."""
    return struct.pack("<III", 6, first, 0) + bytes(8) + struct.pack("<I", last)


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (block_lengths(24, 28), "a block contradicts its own length"),
        (block_lengths(25, 25), "a block contradicts its own length"),
        (block_lengths(8, 8), "a block contradicts its own length"),
        (block_lengths(0x7FFF_FFF0, 0), "a packet has an absurd length"),
        (struct.pack("<III", 6, 24, 0) + bytes(8) + struct.pack("<I", 24), "a block contradicts its own length"),
        (struct.pack("<III", 3, 12, 12), "a block contradicts its own length"),
        (struct.pack("<9I", 6, 36, 0, 0, 0, 99, 99, 0, 36), "a block contradicts its own length"),
        (struct.pack("<III", 1, 12, 12), "an interface description is cut short"),
        (struct.pack("<III", 0x0A0D0D0A, 28, 0) + bytes(16), "a section header has no byte-order magic"),
        (struct.pack("<III", 0x0A0D0D0A, 13, 0x1A2B3C4D) + bytes(16), "a block has an absurd length"),
        (struct.pack("<III", 0x0A0D0D0A, 28, 0x1A2B3C4D) + bytes(16), "the two lengths of a block differ"),
        (struct.pack("<III", 0x0A0D0D0A, 28, 0x1A2B3C4D) + bytes(2), "the file is cut inside a block"),
    ],
)  # fmt: skip
def test_damage_in_pcapng_ends_reading(plain: Build, make: ModuleType, tail: bytes, reason: str) -> None:
    """A block that contradicts itself ends the reading, with a note and a reject."""
    tables, notes = plain.read(make.pcapng_plain(make.web(make.START)) + tail)

    assert len(tables["flows"]) == 1
    assert notes["truncated"].startswith(reason)
    assert len(tables["rejects"]) == 1


def test_interfaces_are_bounded(plain: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A section cannot fill the memory with interfaces."""
    monkeypatch.setattr(plain.containers, "MAX_INTERFACES", 2)

    assert "more than 2 interfaces" in plain.read(make.section("<") + make.interface("<") * 3)[1]["truncated"]


def test_broken_options_are_left_out(plain: Build, make: ModuleType) -> None:
    """An option longer than its block ends the options, not the reading."""
    body = struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 9, 500) + b"\x09\0\0\0"
    packet = make.web(make.START)[0]
    data = make.section("<") + make.block("<", 1, body) + make.enhanced("<", packet, packet.time // 1000)

    assert first_times(plain, data)[0].year == 2015


@pytest.mark.parametrize(
    ("link", "head"),
    [
        (1, "ffffffffffff0200000000aa0800"),
        (1, "ffffffffffff0200000000aa88a8000181000002 0800"),
        (1, "ffffffffffff0200000000aa0040aaaa030000000800"),
        (12, ""), (14, ""), (101, ""), (228, ""),
        (0, "02000000"), (0, "00000002"), (108, "00000002"),
        (113, "0000000100060200000000aa00000800"),
        (276, "0800000000000001000100060200000000aa0000"),
    ],
)  # fmt: skip
def test_link_types(plain: Build, make: ModuleType, link: int, head: str) -> None:
    """IPv4 behind every link header that is read."""
    inner = make.ipv4("192.0.2.1", "198.51.100.2", 17, make.udp(1000, 2000, b"data"))
    frame = bytes.fromhex(head) + inner
    flow = plain.flows(make.pcap([make.Packet(make.START, frame)], link=link))[0]

    assert (flow["src"], flow["dst_port"], flow["bytes_out"], flow["frame_bytes_out"]) == (
        "192.0.2.1",
        2000,
        32,
        len(frame),
    )


@pytest.mark.parametrize(("link", "head"), [(101, ""), (229, ""), (0, "1e000000"), (0, "0000000a")])
def test_link_types_of_ipv6(plain: Build, make: ModuleType, link: int, head: str) -> None:
    """IPv6 behind link headers that tell it by version or address family."""
    inner = make.ipv6("2001:db8::1", "2001:db8::2", 17, make.udp(1000, 2000, b"data"))

    assert (
        plain.flows(make.pcap([make.Packet(make.START, bytes.fromhex(head) + inner)], link=link))[0]["bytes_out"] == 52
    )


@pytest.mark.parametrize(
    ("link", "frame", "notes"),
    [
        (0, "07000000", {"not_ip": {"0x0007": 1}}),
        (1, "ffffffffffff0200000000aa0026424203", {"not_ip": {"llc": 1}}),
        (1, "ffffffffffff0200000000aa" + "81000001" * 13 + "0800", {"not_ip": {"0x8100": 1}}),
        (147, "00", {"unread_link_types": {"147": 1}}),
    ],
)
def test_what_is_not_ip_is_counted(
    plain: Build, make: ModuleType, link: int, frame: str, notes: dict[str, object]
) -> None:
    """Packets that are no IP are counted by what they are."""
    found = plain.read(make.pcap([make.Packet(make.START, bytes.fromhex(frame))], link=link))[1]

    assert notes.items() <= found.items()
    assert found["packets_in_flows"] == 0


@pytest.mark.parametrize(
    ("link", "frame", "reason"),
    [
        (1, "ffff", "the link header is cut short"),
        (101, "", "the link header is cut short"),
        (0, "02", "the link header is cut short"),
        (113, "00", "the link header is cut short"),
        (276, "00", "the link header is cut short"),
        (101, "4500", "the IP header is cut short"),
        (101, "6000", "the IP header is cut short"),
        (228, "60" * 40, "the IP header contradicts itself (version or length)"),
        (229, "45" * 40, "the IP header contradicts itself (version or length)"),
        (101, "44" + "00" * 39, "the IP header contradicts itself (version or length)"),
        (101, "45000001" + "00" * 39, "the IP header contradicts itself (version or length)"),
    ],
)
def test_what_cannot_be_read_is_a_reject(plain: Build, make: ModuleType, link: int, frame: str, reason: str) -> None:
    """A packet that cannot be read is a row with a reason, and the next packet is read."""
    raw = bytes.fromhex(frame)
    tables, notes = plain.read(make.pcap([make.Packet(make.START, raw)] * 2, link=link))

    assert [(r["record"], r["reason"], r["raw"]) for r in tables["rejects"]] == [(k, reason, raw) for k in (1, 2)]
    assert notes["records"] == 2


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"GMBU" + bytes(12), "a Network Monitor 2 capture: convert it with `editcap -F pcapng IN OUT`"),
        (bytes.fromhex("a1b234cd") + bytes(20), "Mesquita"),
        (b"\x01\x10\x4c\0\x01\x05", "a LANalyzer capture"),
        (b"\x07\x55\0\0\0\x01", "a pppd log"),
        (bytes.fromhex("3082009da1 5a8008 040002020501"), "lawful interception"),
        (bytes.fromhex("d4c3b2a1"), "the pcap header is cut short: 4 of 24 bytes"),
        ((bytes(8) + struct.pack(">BBHHH", 2, 0, 32, 0, 60) + bytes(16)) * 3, "an ERF capture"),
        (b"text", "it does not begin with a pcap magic number"),
    ],
)
def test_other_containers_are_named(head: bytes, reason: str) -> None:
    """A capture in a container that is not read is declined with what converts it."""
    why = all_formats()["pcap"].declines(head, Hints())

    assert why is not None
    assert reason in why


def test_a_file_that_is_no_capture_gives_a_note(plain: Build) -> None:
    """Reading on request what is no capture tells so, and raises nothing."""
    for data in (b"", b"text and no capture", bytes.fromhex("d4c3b2a1"), b"\n\r\r\n"):
        tables, notes = plain.read(data)
        assert not tables["flows"]
        assert notes["records"] == 0
    assert (
        all_formats()["pcapng"].declines(b"\n\r\r\n" + bytes(12), Hints()) == "a section header has no byte-order magic"
    )


class Damaged(io.BytesIO):
    """A stream of a damaged compressed file: its bytes, then an error."""

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        """Give bytes while there are any."""
        count = super().readinto(buffer)
        if not count:
            raise EvidenceError("sample", "compressed data is damaged")
        return count


@pytest.mark.parametrize("end", [10, 500, 1000, None])
@pytest.mark.parametrize("name", ["normal.pcap", "normal.pcapng"])
def test_what_was_read_before_damaged_compression_stands(
    plain: Build, samples: dict[str, bytes], name: str, end: int | None
) -> None:
    """The stream's own error comes after the rows before it, and is no packet's fault."""
    data = samples[name][:end]
    evidence = Evidence(Damaged(data), "sample", "sensor")
    rows: list[str] = []
    with pytest.raises(EvidenceError, match="compressed data is damaged"):
        rows.extend(table for table, batch in plain.pipeline.read_capture(evidence) for _ in range(batch.num_rows))

    whole = plain.read(data)[0]
    assert sorted(rows) == sorted(t for t, found in whole.items() for _ in found if t != "rejects")


@pytest.mark.parametrize("name", ["normal.pcap", "normal.pcapng"])
def test_the_format_modules_read_captures(samples: dict[str, bytes], name: str) -> None:
    """A format claims its own container, declines the other, and gives tables, the index and notes."""
    both = all_formats()["pcap"], all_formats()["pcapng"]
    mine, other = both if name.endswith(".pcap") else both[::-1]
    evidence = Evidence(io.BytesIO(samples[name]), name, "sensor")

    assert mine.declines(samples[name], Hints()) is None
    assert other.declines(samples[name], Hints())
    assert {table for table, _ in mine.parse(evidence)} == {
        "fingerprints",
        "flows",
        "volumes",
        "names",
        "requests",
        "packets",
        "blocks",
    }
    assert evidence.notes["records"] == 40
