"""Findings of fuzzing and of property tests, each as small as it gets."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from forensics.rows import Rows

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build


def test_fragments_in_a_tunnel_and_beside_it_are_kept_apart(plain: Build, make: ModuleType) -> None:
    """A first fragment in a tunnel gives no ports to a later one outside, however packets fall into batches."""
    load = make.udp(40_000, 9999, bytes(8))
    first = make.ipv4("192.0.2.1", "192.0.2.2", 17, load, ident=7, fragment=0x2000)
    later = make.ipv4("192.0.2.1", "192.0.2.2", 17, bytes(8), ident=7, fragment=2)
    carrier = make.ipv4("10.0.0.1", "10.0.0.2", 4, first)
    packets = [make.Packet(make.START, make.ethernet(packet)) for packet in (carrier, later)]

    for data in (make.pcap(packets), make.pcapng_plain(packets[:1]) + make.pcapng_plain(packets[1:])):
        flows = plain.flows(data)
        assert [(f["tunnel"], f["dst_port"]) for f in flows] == [("outer", None), ("inner", 9999), (None, None)]


def test_a_dns_message_longer_than_any_can_be(plain: Build, compiled: Build, make: ModuleType) -> None:
    """A datagram of a megabyte, which only a length of zero makes possible, is read as far as a message goes."""
    record = b"\1a\0" + struct.pack(">HHIH", 1, 1, 0, 4) + bytes(4)
    message = struct.pack(">HHHHHH", 1, 0x8180, 0, 65_535, 0, 0) + record * 65_535
    datagram = bytearray(make.ipv4("192.0.2.53", "192.0.2.1", 17, struct.pack(">HHHH", 53, 40_000, 0, 0)))
    datagram[2:4] = bytes(2)  # left to the network card
    data = make.pcap([make.Packet(make.START, bytes(datagram) + message)], link=101)
    data = data[:16] + struct.pack("<I", 1 << 23) + data[20:]  # snaplen
    data = data[:32] + struct.pack("<II", *[len(datagram) + len(message)] * 2) + bytes(datagram) + message

    for build in (plain, compiled):
        names = build.read(data)[0]["names"]
        assert len(names) == (65_535 - 12) // len(record)


def test_a_dns_name_of_thousands_of_pointers(plain: Build, make: ModuleType) -> None:
    """A chain of pointers longer than any name needs is no name; 127 labels, each behind a pointer, are one."""
    for count, found in ((127, 1), (4000, 0)):
        name, places = b"\0", [23]
        for _ in range(count):  # each piece is one letter and a pointer to the piece before it
            piece = (b"\1a" if found else b"") + struct.pack(">H", 0xC000 | places[-1])
            places.append(23 + len(name))
            name += piece
        record = b"\0" + struct.pack(">HHIH", 99, 1, 0, len(name)) + name
        answer = struct.pack(">HHHIH", 0xC000 | places[-1], 1, 1, 0, 4) + bytes([192, 0, 2, 1])
        message = struct.pack(">HHHHHH", 1, 0x8180, 0, 2, 0, 0) + record + answer

        answers, _ = plain.dns.parse_messages(np.frombuffer(message, dtype=np.uint8), np.array([0, len(message)]))
        assert len(answers.name) == found


def test_acknowledgements_that_run_away(plain: Build) -> None:
    """Numbers that jump ahead thousands of times leave a count of missing bytes that is still one."""
    lay = plain.layout
    t = plain.arrays.new_tables(lay.FlowOptions())
    t.flows[0] = 0  # a new flow is written before it is read
    t.flows[0, lay.F_BITS] = lay.BIT_SEQ
    step = 0x7FFF_FFFF
    for k in range(1, 33_000):
        plain.sequences.note_acknowledged(t.flows, t.holes, t.cursor, 0, 0, k * step & 0xFFFF_FFFF, 10**9)

    assert t.cursor[lay.HOLES_LOST] > 0
    assert int(t.flows[0, lay.F_HOLES]) >> lay.HOLE_BITS == ((1 << 46) // step + 1) * step


def test_initials_that_cannot_be_read_are_bounded(
    plain: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Datagrams that only look like QUIC leave no more behind than is followed at once."""
    monkeypatch.setattr(plain.applications, "MAX_FOLLOWED", 3)
    kept: list[int] = []
    take = plain.applications.Applications._take_one

    def watched(self: Any, *given: object) -> None:  # noqa: ANN401 - a class of a build
        take(self, *given)
        kept.append(len(self._followed.initials))

    monkeypatch.setattr(plain.applications.Applications, "_take_one", watched)
    nonsense = b"\xc0\0\0\0\1\x08" + bytes(10) + b"\x44\x90" + bytes(1300)
    frames = [make.ethernet(make.ipv4("192.0.2.1", "192.0.2.2", 17, make.udp(k, 443, nonsense))) for k in range(1, 9)]
    plain.read(make.pcap([make.Packet(make.START, frame) for frame in frames]))

    assert kept == [1, 2, 3, 3, 3, 3, 3, 3]


def test_dns_messages_of_no_length(plain: Build) -> None:
    """A stream of lengths that are all zero is read in one go, not copied for each of them."""
    dropped: list[int] = []
    lookups = plain.lookups.Lookups(plain.telling.Teller(Rows(), plain.columns.Origin("s", "v")), {})
    columns = [0] * plain.layout.P_COLUMNS
    columns[plain.layout.P_KIND] = plain.layout.PICK_DNS_STREAM
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain.streams.Stream, "drop", lambda _, size: dropped.append(size))
        lookups.take_segment(plain.harvest.Pick(columns, bytes(60_001)))

    assert dropped == [60_000]


def test_volumes_come_in_the_order_of_their_cells(plain: Build) -> None:
    """The rows of ``volumes`` do not depend on how anything is hashed."""
    lay = plain.layout
    cells = np.zeros((300, lay.C_COLUMNS), dtype=np.int64)
    cells[:, lay.C_KEY1] = np.random.default_rng(1).permutation(100).repeat(3) * 7919
    keys, _ = plain.columns._grouped(cells, np.zeros(len(cells), dtype=np.int64))

    assert keys[:, 1].tolist() == cells[::3, lay.C_KEY1].tolist()
