"""Sequence numbers: what was sent again, what the capture lacks, and what is neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build

SECOND = 1_000_000_000
FIN, SYN, RST, ACK = 1, 2, 4, 16
FAR = 1 << 30
ENDS = ("192.0.2.1", "198.51.100.2", 40000, 4444)

Segment = tuple[float, int, int, int, int, int]  # second, side, flags, relative number, acknowledged, bytes


def flow_of(
    build: Build, make: ModuleType, *segments: Segment, first: int = 0xFFFF_FF00, start: bool = True
) -> dict[str, Any]:
    """Return the flow of segments that follow a handshake, if there is one; the client's numbers wrap around."""
    opening: list[Segment] = [(0, 0, SYN, -1, 0, 0), (0, 1, SYN | ACK, -1, 0, 0), (0, 0, ACK, 0, 0, 0)]
    packets = []
    for second, side, flags, number, acknowledged, size in [*(opening if start else ()), *segments]:
        src, dst, sport, dport = ENDS if side == 0 else (ENDS[1], ENDS[0], ENDS[3], ENDS[2])
        bases = (first, 5000) if side == 0 else (5000, first)
        segment = make.tcp(sport, dport, bases[0] + number, bases[1] + acknowledged, flags, bytes(size))
        packets.append(make.Packet(make.START + int(second * SECOND), make.ethernet(make.ip(src, dst, 6, segment))))
    (flow,) = build.flows(make.pcap(packets))
    return flow


def told(flow: dict[str, Any]) -> tuple[object, ...]:
    """Return what the numbers told of the client's payload."""
    return flow["payload_bytes_out"], flow["retransmitted_out"], flow["missed_out"], flow["history"]


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([(1, 0, ACK, 0, 0, 100), (1, 0, ACK, 100, 0, 100)], (200, 0, 0, "ShAD")),
        ([(1, 0, ACK, 0, 0, 100), (1, 0, ACK, 0, 0, 100)], (200, 100, 0, "ShADT")),
        ([(1, 0, ACK, 0, 0, 100), (1, 0, ACK, 50, 0, 100)], (200, 50, 0, "ShAD")),
        ([(1, 0, ACK, 0, 0, 100), (1, 0, ACK, 300, 0, 100)], (200, 0, 200, "ShAD")),
        ([(1, 0, ACK, 0, 0, 100), (1, 0, ACK, 300, 0, 100), (1, 1, ACK, 0, 100, 0)], (200, 0, 200, "ShADa")),
        ([(1, 0, ACK, 0, 0, 100), (1, 0, ACK, 300, 0, 100), (1, 1, ACK, 0, 400, 0)], (200, 0, 200, "ShADaG")),
        ([(1, 0, ACK, 200, 0, 100), (1, 0, ACK, 0, 0, 200), (1, 1, ACK, 0, 300, 0)], (300, 0, 0, "ShADTa")),
        ([(1, 0, ACK, 0, 0, 100), (1, 0, ACK, 900, 0, 100), (1, 0, ACK, 300, 0, 200)], (400, 0, 600, "ShADT")),
        ([(1, 0, ACK, 0, 0, 100), (1, 1, ACK, 0, 300, 0)], (100, 0, 200, "ShADaG")),
        ([(1, 0, ACK, 0, 0, 100), (1, 1, ACK, 0, 300, 0), (1, 0, ACK, 100, 0, 200)], (300, 0, 0, "ShADaGT")),
    ],
)
def test_what_was_sent_again_and_what_is_missing(
    plain: Build, make: ModuleType, segments: list[Segment], expected: tuple[object, ...]
) -> None:
    """Payload without what was sent again, and with what is missing, is what the numbers say was sent."""
    assert told(flow_of(plain, make, *segments)) == expected


@pytest.mark.parametrize("size", [100, 1 << 14])
def test_a_syn_sent_again_is_no_new_beginning(plain: Build, make: ModuleType, size: int) -> None:
    """The same SYN once more, behind payload, takes the numbers nowhere; another one begins anew."""
    segments: list[Segment] = [(1, 0, ACK, 0, 0, size), (1, 0, SYN, -1, 0, 0), (1, 0, ACK, size, 0, 50)]
    anew: list[Segment] = [DATA, (1, 0, SYN, 4999, 0, 0), (1, 0, SYN, 9, 0, 0), (1, 0, ACK, 10, 0, 5)]

    assert told(flow_of(plain, make, *segments)) == (size + 50, 0, 0, "ShAD")
    assert told(flow_of(plain, make, *anew))[1:3] == (0, 0)


LAST = FIN | ACK
DATA: Segment = (1, 0, ACK, 0, 0, 100)


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([DATA, (1, 0, LAST, 100, 0, 0), (1, 1, ACK, 0, 101, 0)], (100, 0, 0, "ShADFa")),
        ([DATA, (1, 0, LAST, 100, 0, 0), (1, 0, LAST, 100, 0, 0), (1, 1, ACK, 0, 101, 0)], (100, 0, 0, "ShADFa")),
        ([DATA, (1, 1, ACK, 0, 101, 0), (1, 0, LAST, 100, 0, 0)], (100, 0, 0, "ShADaGF")),
        ([DATA, (1, 1, ACK, 0, 151, 0), (1, 0, LAST, 100, 0, 50)], (150, 0, 0, "ShADaGFT")),
        ([DATA, (1, 1, ACK, 0, 151, 0), (1, 0, LAST, 150, 0, 0)], (100, 0, 50, "ShADaGF")),
        ([DATA, (1, 0, LAST, 150, 0, 0), (1, 0, ACK, 100, 0, 50)], (150, 0, 0, "ShADFT")),
    ],
)
def test_a_late_fin_is_no_payload(
    plain: Build, make: ModuleType, segments: list[Segment], expected: tuple[object, ...]
) -> None:
    """A FIN takes a number, which is neither missing nor sent again, whenever it comes."""
    assert told(flow_of(plain, make, *segments)) == expected


@pytest.mark.parametrize(
    ("segments", "missing"),
    [
        ([(1, 1, ACK, 0, 101, 0), (2, 1, LAST, 0, 101, 0), (2, 0, ACK, 101, 1, 0)], 0),
        ([(2, 1, LAST, 0, 101, 0)], 0),
        ([(1, 0, ACK, 101, 0, 0), (2, 1, LAST, 0, 101, 0)], 0),
        ([(2, 1, LAST, 0, 151, 0)], 50),  # with payload before it
        ([(1, 1, ACK, 0, 101, 0)], 1),  # the other end did not close
        ([(2, 1, LAST, 0, 101, 0), (3, 0, ACK, 101, 1, 10)], 1),  # payload behind it
        ([(2, 1, LAST, 0, 101, 0), (3, 0, RST, 101, 1, 0)], 1),  # no orderly end
        ([(1, 1, ACK, 0, 101, 0), (2, 0, LAST, 101, 0, 0), (3, 1, LAST, 0, 102, 0)], 1),  # a FIN of its own
        ([(2, 1, LAST, 0, 100, 0)], 0),  # nothing was acknowledged
    ],
)
def test_a_fin_that_the_capture_lacks(plain: Build, make: ModuleType, segments: list[Segment], missing: int) -> None:
    """The last missing number is taken for a FIN where the other end closed too; else it may be payload."""
    assert flow_of(plain, make, DATA, *segments)["missed_out"] == missing


@pytest.mark.parametrize("later", [(9, 0, ACK, FAR, 0, 100), (9, 1, ACK, 0, FAR + 100, 0)])
def test_an_outage_of_the_capture_is_missing(plain: Build, make: ModuleType, later: Segment) -> None:
    """After some time without packets a gap of a gigabyte is believed, whichever end tells it."""
    flow = flow_of(plain, make, (1, 0, ACK, 0, 0, 100), later, (9, 1, ACK, 0, FAR + 100, 0))

    assert flow["payload_bytes_out"] - flow["retransmitted_out"] + flow["missed_out"] == FAR + 100
    assert "G" in flow["history"]


def test_gaps_beyond_four_gigabytes_add_up(plain: Build, make: ModuleType) -> None:
    """Numbers that come round several times are counted every time."""
    segments = [(10.0 * n, 0, ACK, n * FAR, 0, 100) for n in range(9)]

    assert flow_of(plain, make, *segments)["missed_out"] == 8 * FAR - 800


def test_a_syn_that_comes_late_is_no_new_beginning(plain: Build, make: ModuleType) -> None:
    """A SYN that the capture has behind the first payload leaves the number expected next as it is."""
    assert flow_of(plain, make, DATA, (1, 0, SYN, -1, 0, 0), (1, 0, ACK, 100, 0, 9), start=False)["missed_out"] == 0


@pytest.mark.parametrize("stray", [(1, 0, ACK, FAR, 0, 10), (9, 0, RST, FAR, 0, 0), (1, 1, ACK, 0, FAR, 0)])
def test_stray_numbers_are_no_gap(plain: Build, make: ModuleType, stray: Segment) -> None:
    """Numbers that no link could have reached since the last packet, and those of a RST, are nobody's."""
    assert flow_of(plain, make, (1, 0, ACK, 0, 0, 100), stray)["missed_out"] == 0


def test_other_protocols_have_no_numbers(plain: Build, make: ModuleType) -> None:
    """What is no TCP can neither be sent again nor be missing: null."""
    frame = make.ethernet(make.ip(*ENDS[:2], 17, make.udp(1, 2, b"x")))
    (flow,) = plain.flows(make.pcap([make.Packet(make.START, frame)]))

    assert {flow[f"{name}_{way}"] for name in ("retransmitted", "missed") for way in ("out", "in")} == {None}
