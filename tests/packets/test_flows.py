"""Where flows begin and end, what they count, and which end began."""

# ruff: noqa: PLR0917 - fixtures and parameters of a test

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build

Row = dict[str, Any]
SECOND = 1_000_000_000
FIN, SYN, RST, ACK = 1, 2, 4, 16


def capture(make: ModuleType, *segments: tuple[float, int, bytes, bytes], dport: int = 4444) -> bytes:
    """Return a capture of one TCP connection: (second, side, flags, payload) per segment, nothing lost."""
    packets = []
    numbers = [100, 200]
    for second, side, flags, payload in segments:
        ends = ("192.0.2.1", "198.51.100.2", 40000, dport)
        src, dst, sport, port = ends if side == 0 else (ends[1], ends[0], ends[3], ends[2])
        segment = make.tcp(sport, port, numbers[side], numbers[1 - side], flags[0], payload)
        numbers[side] += len(payload) + bool(flags[0] & SYN) + bool(flags[0] & FIN)
        packets.append(make.Packet(make.START + int(second * SECOND), make.ethernet(make.ip(src, dst, 6, segment))))
    return bytes(make.pcap(packets))


def flags(*values: int) -> bytes:
    """Return TCP flags."""
    return bytes([sum(values)])


def summary(flow: Row) -> tuple[object, ...]:
    """Return what most tests look at."""
    return flow["src"], flow["packets_out"], flow["packets_in"], flow["state"], flow["history"]


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([(0, 0, SYN), (1, 1, SYN | ACK), (2, 0, ACK), (3, 0, FIN), (4, 1, FIN)], ("SF", "ShAFf")),
        ([(0, 0, SYN)], ("S0", "S")),
        ([(0, 0, SYN), (1, 1, RST | ACK)], ("REJ", "Sr")),
        ([(0, 0, SYN), (1, 1, SYN | ACK), (2, 0, ACK), (3, 0, RST)], ("RSTO", "ShAR")),
        ([(0, 0, SYN), (1, 1, SYN | ACK), (2, 0, ACK), (3, 1, RST)], ("RSTR", "ShAr")),
        ([(0, 0, SYN), (1, 1, SYN | ACK), (2, 0, ACK)], ("S1", "ShA")),
        ([(0, 0, SYN), (1, 1, SYN | ACK), (2, 0, ACK), (3, 0, FIN)], ("S2", "ShAF")),
        ([(0, 0, SYN), (1, 1, SYN | ACK), (2, 0, ACK), (3, 1, FIN)], ("S3", "ShAf")),
        ([(0, 0, SYN), (1, 0, FIN)], ("SH", "SF")),
        ([(0, 0, SYN), (1, 0, RST)], ("RSTOS0", "SR")),
        ([(0, 1, SYN | ACK), (1, 1, FIN)], ("SHR", "^hf")),
        ([(0, 1, SYN | ACK), (1, 1, RST)], ("RSTRH", "^hr")),
        ([(0, 0, ACK), (1, 1, ACK)], ("OTH", "Aa")),
        ([(0, 0, SYN | FIN)], ("SH", "Q")),
        ([(0, 0, SYN), (1, 1, ACK)], ("S0", "Sa")),
        ([(0, 0, SYN), (1, 1, SYN | ACK), (2, 0, FIN), (3, 0, RST), (4, 1, FIN)], ("SF", "ShFRf")),
        ([(0, 0, SYN), (1, 1, SYN | ACK), (2, 0, FIN), (3, 1, FIN), (4, 0, RST)], ("SF", "ShFfR")),
        ([(0, 0, ACK), (1, 0, SYN)], ("S0", "AS")),
        ([(0, 1, SYN | ACK), (1, 0, ACK)], ("S1", "^hA")),
        ([(0, 0, 0)], ("OTH", None)),
        ([(0, 0, SYN), (1, 1, SYN)], ("S1", "Ss")),
    ],
)
def test_states_and_history_are_zeeks(
    plain: Build, make: ModuleType, segments: list[Any], expected: tuple[str, str]
) -> None:
    """A connection's state and history are the ones that Zeek gives."""
    flow, *more = plain.flows(capture(make, *((s, side, bytes([f]), b"") for s, side, f in segments)))

    assert not more
    assert (flow["state"], flow["history"]) == expected
    assert flow["src"] == "192.0.2.1"


def test_a_new_syn_after_the_end_is_a_new_flow(plain: Build, make: ModuleType) -> None:
    """After a RST a SYN with another sequence number begins a flow; the same SYN sent again does not."""
    first, second = make.Talk("192.0.2.1", 40000, "198.51.100.2", 80, make.START), None
    first.say(0, SYN)
    first.say(1, RST | ACK)
    again = make.Talk("192.0.2.1", 40000, "198.51.100.2", 80, first.time)
    again.say(0, SYN)  # the same sequence number: sent again
    second = make.Talk("192.0.2.1", 40000, "198.51.100.2", 80, again.time, seq=[7777, 8888])
    second.say(0, SYN)

    flows = plain.flows(make.pcap(first.packets + again.packets + second.packets))

    assert [(f["packets_out"], f["packets_in"], f["record"]) for f in flows] == [(2, 1, 1), (1, 0, 4)]


def test_a_syn_inside_an_open_connection_is_no_new_flow(plain: Build, make: ModuleType) -> None:
    """As long as a connection is open, a SYN belongs to it."""
    flows = plain.flows(capture(make, (0, 0, flags(SYN), b""), (1, 1, flags(SYN, ACK), b""), (2, 0, flags(SYN), b"")))

    assert [summary(f)[1:3] for f in flows] == [(2, 1)]


@pytest.mark.parametrize(
    ("option", "segments", "flows"),
    [
        ("tcp", [(0, 0, flags(ACK)), (11, 0, flags(ACK))], 2),
        ("tcp", [(0, 0, flags(ACK)), (10, 0, flags(ACK))], 1),
        ("tcp_attempt", [(0, 0, flags(SYN)), (11, 0, flags(SYN))], 2),
        ("tcp_closed", [(0, 0, flags(RST)), (11, 0, flags(RST))], 2),
    ],
)
def test_idle_limits_end_tcp_flows(
    plain: Build, make: ModuleType, option: str, segments: list[Any], flows: int
) -> None:
    """A packet that comes later than the limit begins a new flow."""
    data = capture(make, *((*segment, b"") for segment in segments))

    assert len(plain.flows(data, **{option: 10.0})) == flows


@pytest.mark.parametrize(("option", "proto"), [("udp", 17), ("icmp", 1), ("other", 47)])
def test_idle_limits_end_other_flows(plain: Build, make: ModuleType, option: str, proto: int) -> None:
    """Every kind of protocol has its own limit."""
    body = make.udp(5000, 6000, b"x") if proto == 17 else bytes([8, 0]) + bytes(30)
    frame = make.ethernet(make.ipv4("192.0.2.1", "198.51.100.2", proto, body))
    data = make.pcap([make.Packet(make.START, frame), make.Packet(make.START + 11 * SECOND, frame)])

    assert len(plain.flows(data)) == 1
    assert len(plain.flows(data, **{option: 10.0})) == 2


def test_the_server_is_told_by_its_port_where_the_start_was_not_seen(plain: Build, make: ModuleType) -> None:
    """A first packet from a well-known port to another one is the responder's; otherwise the sender began."""
    http = plain.flows(capture(make, (0, 1, flags(ACK), b"data"), dport=80))
    unknown = plain.flows(capture(make, (0, 1, flags(ACK), b"data"), dport=4444))

    assert [summary(f) for f in http] == [("192.0.2.1", 0, 1, "OTH", "^d")]
    assert [summary(f) for f in unknown] == [("198.51.100.2", 1, 0, "OTH", "D")]


def test_a_later_syn_corrects_the_roles(plain: Build, make: ModuleType) -> None:
    """Where packets come out of order, the SYN says who began, unless a minute was already told."""
    early = plain.flows(capture(make, (0, 1, flags(ACK), b""), (1, 0, flags(SYN), b"")))
    late = plain.flows(capture(make, (0, 1, flags(ACK), b""), (70, 1, flags(ACK), b""), (71, 0, flags(SYN), b"")))

    assert [f["src"] for f in early] == ["192.0.2.1"]
    assert [f["src"] for f in late] == ["198.51.100.2"]


def test_half_a_connection_is_no_attempt(plain: Build, make: ModuleType) -> None:
    """Where the capture has one direction only, what follows the SYN says that it was answered."""
    flows = plain.flows(capture(make, (0, 0, flags(SYN), b""), (1, 0, flags(ACK), b""), (100, 0, flags(ACK), b"x")))

    assert [summary(f)[1:] for f in flows] == [(3, 0, "S0", "SAD")]


def test_an_empty_datagram_is_in_the_history(plain: Build, make: ModuleType) -> None:
    """Of UDP every packet counts as data, as with Zeek."""
    frame = make.ethernet(make.ip("192.0.2.1", "198.51.100.2", 17, make.udp(1, 2, b"")))

    assert [summary(f)[3:] for f in plain.flows(make.pcap([make.Packet(make.START, frame)]))] == [("S0", "D")]


def test_udp_answers_belong_to_the_question(plain: Build, samples: dict[str, bytes]) -> None:
    """Both directions of a conversation are one flow of the one who spoke first."""
    flow = plain.flows(samples["normal.pcap"])[0]

    assert (flow["proto"], flow["service"], flow["src"], flow["dst_port"]) == ("udp", "dns", "192.0.2.10", 53)
    assert (flow["state"], flow["history"], flow["bytes_out"], flow["bytes_in"]) == ("SF", "Dd", 61, 136)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("version", "request_type", "reply_type"),
    [(4, 8, 0), (4, 10, 9), (4, 13, 14), (6, 128, 129), (6, 133, 134), (6, 139, 140)],
)
def test_ping_and_its_answer_are_one_flow(
    plain: Build, make: ModuleType, first: int, version: int, request_type: int, reply_type: int
) -> None:
    """An ICMP request and its reply are one flow of the one who asked, whichever is seen first."""
    ends = ("192.0.2.9", "192.0.2.1") if version == 4 else ("2001:db8::9", "2001:db8::1")
    proto = 1 if version == 4 else 58
    frames = [
        make.ethernet(make.ip(*ends, proto, bytes([request_type, 0]) + bytes(20))),
        make.ethernet(make.ip(*ends[::-1], proto, bytes([reply_type, 0]) + bytes(20))),
    ]
    flow, *more = plain.flows(make.pcap([make.Packet(make.START, f) for f in (frames if first == 0 else frames[::-1])]))

    assert not more
    assert (flow["src"], flow["src_port"], flow["dst_port"], flow["packets_in"]) == (ends[0], request_type, 0, 1)
    assert flow["state"] == "OTH"


@pytest.mark.parametrize(("version", "kind"), [(4, 3), (6, 1)])
def test_errors_of_icmp_are_one_way(plain: Build, make: ModuleType, version: int, kind: int) -> None:
    """An ICMP error has no reply: the same type in the other direction is another flow."""
    ends = ("192.0.2.9", "192.0.2.1") if version == 4 else ("2001:db8::9", "2001:db8::1")
    body = bytes([kind, 1]) + bytes(20)
    frames = [make.ethernet(make.ip(*pair, 1 if version == 4 else 58, body)) for pair in (ends, ends[::-1])]

    flows = plain.flows(make.pcap([make.Packet(make.START, f) for f in frames]))

    assert [(f["src"], f["src_port"], f["dst_port"], f["packets_out"]) for f in flows] == [
        (e, kind, 1, 1) for e in ends
    ]


def test_neighbour_discovery_pairs_up(plain: Build, make: ModuleType) -> None:
    """A neighbour advertisement answers a solicitation."""
    frames = [
        make.ethernet(make.ipv6("2001:db8::9", "2001:db8::1", 58, bytes([135, 0]) + bytes(20))),
        make.ethernet(make.ipv6("2001:db8::1", "2001:db8::9", 58, bytes([136, 0]) + bytes(20))),
    ]

    assert [summary(f)[:3] for f in plain.flows(make.pcap([make.Packet(make.START, f) for f in frames]))] == [
        ("2001:db8::9", 1, 1)
    ]


def test_a_host_pinging_itself_is_one_flow(plain: Build, make: ModuleType) -> None:
    """With one address at both ends, request and reply still tell the direction."""
    frames = [make.ethernet(make.ipv4("192.0.2.1", "192.0.2.1", 1, bytes([t, 0]) + bytes(20))) for t in (8, 0)]

    assert [summary(f)[1:3] for f in plain.flows(make.pcap([make.Packet(make.START, f) for f in frames]))] == [(1, 1)]


def test_oddities_are_flows_or_counted(plain: Build, samples: dict[str, bytes]) -> None:
    """Fragments join their datagram, tags and extension headers are passed over, ARP is counted."""
    tables, notes = plain.read(samples["oddities.pcap"])
    flows = {(f["proto"], f["src_port"]): f for f in tables["flows"]}

    assert flows["udp", 5000]["packets_out"] == 2
    assert flows["udp", 5000]["payload_bytes_out"] == 100
    assert flows["udp", 6000]["payload_bytes_out"] == 10
    assert flows["udp", 7000]["bytes_out"] == 34
    assert flows["udp", 7000]["frame_bytes_out"] == 60
    assert flows["ip-47", None]["dst_port"] is None
    assert flows["tcp", 49160]["state"] == "REJ"
    assert notes["not_ip"] == {"0x0806": 1}


def test_a_fragment_without_its_first_is_counted_by_address_pair(plain: Build, make: ModuleType) -> None:
    """Later fragments whose first one was not seen have no ports."""
    frames = [
        make.ethernet(make.ipv4("192.0.2.1", "198.51.100.2", 17, bytes(64), ident=5, fragment=8)),
        make.ethernet(make.ipv6("2001:db8::1", "2001:db8::2", 44, bytes([17, 0, 0, 8, 0, 0, 0, 5]) + bytes(16))),
    ]
    flows = plain.flows(make.pcap([make.Packet(make.START, f) for f in frames]))

    assert [(f["proto"], f["src_port"], f["payload_bytes_out"]) for f in flows] == [
        ("udp", None, 64),
        ("udp", None, 16),
    ]


def test_fragments_of_ipv6_join_their_datagram(plain: Build, make: ModuleType) -> None:
    """The fragment header's identification joins later fragments to the first; AH and options are passed over."""
    long = make.udp(5000, 5001, bytes(72))
    header = struct.Struct(">BBHI")
    first = make.ipv6("2001:db8::1", "2001:db8::2", 44, header.pack(17, 0, 1, 77) + long[:40])
    later = make.ipv6("2001:db8::1", "2001:db8::2", 44, header.pack(17, 0, 5 << 3, 77) + long[40:])
    secured = make.ipv6("2001:db8::1", "2001:db8::2", 51, bytes([60, 4]) + bytes(22) + bytes([17, 0]) + bytes(6) + long)
    flow, *more = plain.flows(make.pcap([make.Packet(make.START, make.ethernet(p)) for p in (first, later, secured)]))

    assert not more
    assert (flow["packets_out"], flow["payload_bytes_out"], flow["src_port"]) == (3, 144, 5000)


def test_bytes_are_those_of_the_wire(plain: Build, make: ModuleType) -> None:
    """Capturing less of each packet changes no count, only what can be read inside."""
    packets = make.web(make.START)
    whole = plain.flows(make.pcap(packets))[0]

    for snaplen in (34, 40, 54, 60, 100):
        cut = plain.flows(make.pcap([make.Packet(p.time, p.data, snaplen=snaplen) for p in packets], snaplen=snaplen))
        assert len(cut) == 1
        if snaplen >= 54:
            assert {k: v for k, v in cut[0].items() if "bytes" in k or "packets" in k} == {
                k: v for k, v in whole.items() if "bytes" in k or "packets" in k
            }
        else:
            assert sum(cut[0][k] for k in ("bytes_out", "bytes_in")) == whole["bytes_out"] + whole["bytes_in"]


def test_a_total_length_of_zero_is_taken_from_the_frame(plain: Build, make: ModuleType) -> None:
    """A sender that leaves the length to its network card writes 0."""
    v4 = bytearray(make.ipv4("192.0.2.1", "198.51.100.2", 17, make.udp(1000, 2000, bytes(5000))))
    v4[2:4] = b"\0\0"
    v6 = bytearray(make.ipv6("2001:db8::1", "2001:db8::2", 17, make.udp(1000, 2000, bytes(5000))))
    v6[4:6] = b"\0\0"
    empty = make.ipv6("2001:db8::1", "2001:db8::2", 59, b"")
    flows = plain.flows(make.pcap([make.Packet(make.START, make.ethernet(bytes(p))) for p in (v4, v6, empty)]))

    assert [(f["proto"], f["bytes_out"]) for f in flows] == [("udp", 5028), ("udp", 5048), ("ip-59", 40)]


def test_padding_behind_an_empty_ipv6_packet_is_not_its_own(plain: Build, make: ModuleType) -> None:
    """A frame of the least size says nothing about a length of zero."""
    frame = make.ethernet(make.ipv6("2001:db8::1", "2001:db8::2", 99, b""))

    assert [f["bytes_out"] for f in plain.flows(make.pcap([make.Packet(make.START, frame)]))] == [40]


def test_backward_time_keeps_start_and_end_exact(plain: Build, make: ModuleType) -> None:
    """A packet stamped earlier than the first one moves the start, not the end."""
    flow = plain.flows(
        capture(make, (100, 0, flags(ACK), b"x"), (40, 0, flags(ACK), b"y"), (101, 0, flags(ACK), b"z"))
    )[0]

    assert (flow["end"] - flow["start"]).total_seconds() == 61


def totals(rows: list[Row]) -> Counter[tuple[object, ...]]:
    """Sum bytes and packets each way by originator."""
    found: Counter[tuple[object, ...]] = Counter()
    for row in rows:
        for column in ("bytes_out", "bytes_in", "packets_out", "packets_in"):
            found[row["src"], column] += row[column]
    return found


@pytest.mark.parametrize("name", ["normal.pcap", "oddities.pcap", "two_sections.pcapng", "nanosecond_big_endian.pcap"])
def test_minutes_sum_to_the_flows(plain: Build, samples: dict[str, bytes], name: str) -> None:
    """No byte is lost or counted twice on the way into minutes, and every flow starts once."""
    tables, _ = plain.read(samples[name])

    assert totals(tables["volumes"]) == totals(tables["flows"])
    assert sum(row["connections"] for row in tables["volumes"]) == len(tables["flows"])
    assert all(row["minute"].second == row["minute"].microsecond == 0 for row in tables["volumes"])


def test_bytes_fall_into_the_minute_they_were_sent(plain: Build, samples: dict[str, bytes]) -> None:
    """A connection of two minutes is not spread: each minute has what was sent in it."""
    tables, _ = plain.read(samples["nanosecond_big_endian.pcap"])

    assert [(r["minute"].minute, r["bytes_out"], r["bytes_in"], r["connections"]) for r in tables["volumes"]] == [
        (0, 1180, 60, 1),
        (1, 401, 827, 0),
        (2, 60, 0, 0),
    ]


@pytest.mark.parametrize(
    ("src", "dst"), [("192.0.2.1", "255.255.255.255"), ("2001:db8::1", "ff02::1"), ("203.0.113.9", "224.0.0.1")]
)
def test_a_group_begins_nothing(plain: Build, make: ModuleType, src: str, dst: str) -> None:
    """What a server's port sends to a broadcast or multicast address was not asked for by that address."""
    packet = make.ip(src, dst, 17, make.udp(67, 68, b"offer"))

    assert plain.flows(make.pcap([make.Packet(make.START, packet, 101)], link=101))[0]["src"] == src
