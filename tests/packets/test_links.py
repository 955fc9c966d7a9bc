"""Link layers: what lies before the network layer, against our own samples and against tshark on real captures."""

from __future__ import annotations

import gzip
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from tests.packets.conftest import Build

Network = tuple[int, int]
MAGICS = tuple(
    bytes.fromhex(text)
    for text in ("d4c3b2a1", "a1b2c3d4", "4d3cb2a1", "a1b23c4d", "34cdb2a1", "0a0d0d0a", "736e6f6f70")
)
FIELDS = ("frame.protocols", "frame.time_epoch", "frame.len", "frame.cap_len")
FOLDERS = ("file-variants", "link-types", "odd-headers", "wireshark")
SNAP = "aaaa030000000800"
WLAN = "08010000" + "00" * 20 + SNAP
DIFFERENT = {
    "brcm-tag.pcap": "tshark does not know link type 281",
    "brcm-tag-stp.pcap": "tshark does not know link type 281",
    "dsa.pcap": "tshark does not know link type 284",
    "slip-bad-direction.pcap": "tshark does not read SLIP",
    "slip-compressed_sl_print-oobr.pcap": "tshark does not read SLIP",
    "slip-sliplink_print-oobr.pcap": "tshark does not read SLIP",
    "pcap-invalid-version-1.pcap": "tshark refuses version 1.4; we read it and note the version",
    "pcapng-invalid-vers-2.pcapng": "tshark refuses version 1.1; blocks of version 1 are read",
    "test017-be.pcapng": "tshark counts custom blocks as packets",
    "test017-le.pcapng": "tshark counts custom blocks as packets",
}
"""Captures in which tshark 4.0 and we differ, and why."""


def network(build: Build, frame: bytes, link: int, room: int = 0) -> Network:
    """Return what `find_network` makes of a frame, in a buffer with so many bytes of others behind it."""
    return build.network(frame + bytes(room), 0, len(frame), link)


def test_every_link_type_leads_to_its_packet(plain: Build, make_links: ModuleType, samples: dict[str, bytes]) -> None:
    """Behind the header of every link type that is read lies the packet whose port tells it."""
    flows = plain.flows(samples["link_types.pcapng"])

    assert [flow["dst_port"] - 10_000 for flow in flows] == list(make_links.LINK_HEADERS)
    assert {flow["bytes_out"] for flow in flows} == {43, 63}


def test_every_tag_leads_to_its_packet(plain: Build, make_links: ModuleType, samples: dict[str, bytes]) -> None:
    """Behind tags, labels, sessions and frames in frames lies the packet whose port tells them."""
    ports = [flow["dst_port"] - 20_000 for flow in plain.flows(samples["tags.pcap"])]

    assert ports == list(range(len(make_links.TAGS)))


def test_compiled_and_plain_are_the_same_on_samples(compiled: Build, plain: Build, samples: dict[str, bytes]) -> None:
    """Both builds give the same tables for every link, tag and kind of block."""
    for name in ("link_types.pcapng", "tags.pcap", "no_ip.pcapng", "blocks_big_endian.pcapng", "token_ring.snoop"):
        assert compiled.read(samples[name]) == plain.read(samples[name])


def test_headers_cut_at_every_byte(plain: Build, make_links: ModuleType) -> None:
    """A frame cut inside its header is never read beyond the cut, nor taken for IP whose first byte is not there."""
    frames = [(link, bytes.fromhex(head)) for link, head in make_links.LINK_HEADERS.items()]
    frames += [(1, bytes.fromhex(make_links.MACS + head)) for head in make_links.TAGS.values()]
    for link, head in frames:  # of link type 16, what is no PPP of BSD/OS may be bare IP
        whole, at = network(plain, head + b"\x45" + bytes(40), link)
        assert whole in {0x0800, 0x86DD}
        assert at == len(head)
        for end in range(len(head)):
            kind, at = network(plain, head[:end], link)
            assert link == 16 or kind not in {0x0800, 0x86DD} or at >= end, (link, end)


@given(data=st.binary(max_size=80), link=st.integers(0, 300))
def test_any_bytes_of_any_link(plain: Build, data: bytes, link: int) -> None:
    """Whatever the bytes, there is an answer, and what lies behind the end of the packet does not change it."""
    assert network(plain, data, link) == network(plain, data, link, room=64)


@given(data=st.data())
def test_compiled_and_plain_are_the_same_on_damaged_headers(
    compiled: Build, plain: Build, make_links: ModuleType, data: st.DataObject
) -> None:
    """Bytes put into a header at any place lead both builds to the same answer."""
    link = data.draw(st.sampled_from([*make_links.LINK_HEADERS, -1]))
    tag = data.draw(st.sampled_from(list(make_links.TAGS.values())))
    head = bytes.fromhex(make_links.LINK_HEADERS[link] if link >= 0 else make_links.MACS + tag)
    place = data.draw(st.integers(0, len(head)))
    frame = head[:place] + data.draw(st.binary(max_size=6)) + head[place:] + data.draw(st.binary(max_size=30))

    assert network(compiled, frame, abs(link)) == network(plain, frame, abs(link))


def test_deep_stacks_end(plain: Build, make_links: ModuleType) -> None:
    """Tags, labels and capture headers without end are given up, and counted."""
    macs = bytes.fromhex(make_links.MACS)

    assert network(plain, macs + bytes.fromhex("81000001") * 50, 1)[0] == 0x8100
    assert network(plain, macs + b"\x88\x47" + bytes(400), 1)[0] == plain.ethertypes.OTHER
    assert network(plain, bytes.fromhex("00000800c0000000") * 10, 192)[0] == plain.ethertypes.UNREAD
    assert network(plain, bytes.fromhex("00000000c0000000"), 192)[0] == plain.ethertypes.UNREAD


@pytest.mark.parametrize(
    ("link", "frame", "kind"),
    [
        (149, "00" * 120, "UNREAD"),
        (178, "000000000000", "UNREAD"),
        (197, "00" * 16, "UNREAD"),
        (107, "1840" * 4, "OTHER"),
        (143, "40" + "00" * 20, "OTHER"),
        (7, "01020000000000", "OTHER"),
        (7, "0102d4020000000000", "LINK_FRAGMENT"),
        (123, "01000020" + "00" * 8, "CUT"),
        (123, "06000020" + "00" * 8, "LINK_CONTROL"),
        (105, "88020000" + "00" * 20, "CUT"),
        (1, "ffffffffffff0200000000aa" + "894f0fc60106" + "00" * 30, "OTHER"),
        (1, "ffffffffffff0200000000aa" + "88470002013f", "CUT"),
        (1, "ffffffffffff0200000000aa" + "0040fefe0381" + "00" * 8, "LLC"),
    ],
)
def test_what_leads_to_no_packet(plain: Build, link: int, frame: str, kind: str) -> None:
    """Frames that carry no IP are told apart by what they are."""
    assert network(plain, bytes.fromhex(frame), link)[0] == getattr(plain.ethertypes, kind)


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (7, "0102d4ffffff d4010001"), (7, "0102f0"), (123, "01000020 0000 0200000000020200000000aa0800"),
        (107, "184103cf0021"), (107, "18410800"), (50, "ff030021"), (9, "21"),
        (113, "00040311" + "00" * 10 + "0004" + SNAP),
        (113, "00040323" + "00" * 10 + "0004" + "0000080000000000" + WLAN),
        (105, "08030000" + "00" * 20 + "020000000001" + SNAP),
        (105, "88810000" + "00" * 20 + "000000000000" + SNAP),
        (119, "8021100100000008" + WLAN), (239, "02000000" + "0008000100080000" + "00180009"),
        (178, "4d47430200000000"),
        (1, "0200000000020200000000aa" + "8903 0b01 0200000000020200000000aa 0800"),
        (1, "0200000000020200000000aa" + "0040fefe03cc"), (127, "00001500" + "03000080" + "00" * 13 + WLAN),
    ],
)  # fmt: skip
def test_other_ways_to_a_packet(plain: Build, link: int, frame: str) -> None:
    """Rarer forms of the same headers."""
    head = bytes.fromhex(frame.replace(" ", ""))

    assert network(plain, head + b"\x45" + bytes(40), link) == (0x0800, len(head))


def test_frames_on_their_way_from_an_access_point(plain: Build, make: ModuleType) -> None:
    """Behind GRE with a number of Aruba's lies an 802.11 frame."""
    inner = make.ip("192.0.2.9", "198.51.100.2", 17, make.udp(1, 2, b"x"))
    outer = make.ethernet(make.ip("192.0.2.1", "192.0.2.2", 47, bytes.fromhex("00008240" + WLAN) + inner))
    flows = plain.flows(make.pcap([make.Packet(make.START, outer)]))

    assert [(flow["src"], flow["tunnel"]) for flow in flows] == [("192.0.2.1", "outer"), ("192.0.2.9", "inner")]


def content(path: Path) -> bytes:
    """Return a capture, expanded."""
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def tsharks(tshark: str, path: Path) -> list[tuple[str, str, int, int]]:
    """Return what tshark says of every packet: version of its outermost IP, time, and the two lengths."""
    fields = [part for field in FIELDS for part in ("-e", field)]
    command = [tshark, "-n", "-o", "ip.defragment:FALSE", "-r", str(path), "-T", "fields", *fields]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = []
    for line in done.stdout.splitlines():
        protocols, time, wire, captured = line.split("\t")
        version = next((name for name in protocols.split(":") if name in {"ip", "ipv6"}), "")
        found.append((version, time, int(wire), int(captured)))
    return found


def same(theirs: list[tuple[str, str, int, int]], mine: list[tuple[str, str, int, int]]) -> bool:
    """Tell whether both are equal; a packet without a time of its own (Simple Packet Block) has ours alone."""
    timed = [(*b[:1], b[1] if a[1] else "", *b[2:]) for a, b in zip(theirs, mine, strict=False)]
    return len(theirs) == len(mine) and timed == theirs


def ours(build: Build, data: bytes) -> list[tuple[str, str, int, int]]:
    """Return the same as we have it."""
    layout = build.layout
    found = []
    for row in build.framed(data):
        start, end = row[layout.Q_START], row[layout.Q_END]
        kind, _ = build.network(data, start, end, row[layout.Q_LINK])
        seconds, rest = divmod(row[layout.Q_TIME], layout.SECOND)
        version = {0x0800: "ip", 0x86DD: "ipv6"}.get(kind, "")
        found.append((version, f"{seconds}.{rest:09d}", row[layout.Q_WIRE], end - start))
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_real_captures_as_tshark_reads_them(compiled: Build, corpus: Path, tshark: str, folder: str) -> None:
    """IP version, time, length on the wire and captured length of every packet are tshark's."""
    files = [path for path in sorted((corpus / "captures" / folder).rglob("*")) if path.is_file()]
    read = {path: data for path in files if path.name not in DIFFERENT and (data := content(path)).startswith(MAGICS)}
    with ThreadPoolExecutor(4) as pool:
        theirs = pool.map(lambda path: tsharks(tshark, path), read)
        different = [
            path.name for path, other in zip(read, theirs, strict=True) if not same(other, ours(compiled, read[path]))
        ]

    assert different == []
