"""Stepping stones: which connection into a relay goes on as which connection out of it."""

from __future__ import annotations

import math
import socket
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

import forensics as fx
from forensics.chains import BIN, MAX_Q, Match, find_chains, held
from forensics.chains.joining import best_of, by_clocks, joined
from forensics.chains.matching import matches_at
from forensics.clocks import Clocks
from forensics.series import Connection, connections_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from forensics.case import Case

RELAY, SECOND, TERMINAL, OPERATOR = "203.0.113.7", "203.0.113.8", "192.0.2.11", "198.51.100.240"
HOUR = 3600.0
SECONDS = 1_000_000

Bytes = list[tuple[float, int]]
"""Times [s] and sizes [B]."""


def connection(
    src: str, dst: str, out: Bytes, back: Bytes, *, port: int = 40_000, source: str = "r.pcap"
) -> Connection:
    """Return a connection with this payload in each direction, from a second before it to a second behind it."""
    times = [time for time, _ in out + back]
    windows = sorted({math.floor(time * SECONDS) // BIN for time in times})
    series = np.zeros((2, len(windows)), dtype=np.int64)
    for row, sizes in enumerate((out, back)):
        for time, size in sizes:
            series[row, windows.index(math.floor(time * SECONDS) // BIN)] += size
    start, end = int((min(times) - 1) * SECONDS), int((max(times) + 1) * SECONDS)
    return Connection(source, port, src, port, dst, 443, start, end, np.array(windows), series[0], series[1])


def session(seed: int, *, begin: float = 600.0, length: float = 240.0, count: int = 60) -> tuple[Bytes, Bytes]:
    """Return what an operator's session sends and gets: bursts of heavy-tailed size with pauses between them."""
    rng = np.random.default_rng(seed)
    times = begin + np.sort(rng.uniform(0, length, count))
    out = [(float(t), int(s)) for t, s in zip(times, rng.lognormal(6, 1.2, count), strict=True)]
    back = [(float(t + 0.1), int(s)) for t, s in zip(times, rng.lognormal(5, 1.0, count), strict=True)]
    return out, back


def late(sizes: Bytes, seed: int, *, delay: float, jitter: float = 0.0, overhead: float = 1.0) -> Bytes:
    """Return the same bytes some time later, with jitter and overhead."""
    rng = np.random.default_rng(seed)
    return [(t + delay + float(rng.uniform(-jitter, jitter)), round(size * overhead)) for t, size in sizes]


def cut(sizes: Bytes, most: int = 300) -> Bytes:
    """Return the same bytes in packets of another size."""
    return [(t, min(most, size - at)) for t, size in sizes for at in range(0, size, most)]


def strangers(seed: int, count: int = 6) -> list[Connection]:
    """Return visitors of the relay over an hour, so that the capture is long enough to tell chance."""
    begins = np.random.default_rng(seed).uniform(0, HOUR - 300, count)
    return [
        connection(f"198.18.0.{n}", RELAY, *session(seed * 100 + n, begin=float(begin)), port=50_000 + n)
        for n, begin in enumerate(begins, 1)
    ]


def forwarded(
    seed: int, *, begin: float = 600.0, delay: float = 0.05, **changes: float
) -> tuple[Connection, Connection]:
    """Return a connection into the relay and the one it goes on as."""
    out, back = session(seed, begin=begin)
    onward = late(out, seed, delay=delay, **changes), late(back, seed + 1, delay=-delay, **changes)
    into = connection(TERMINAL, RELAY, out, back, port=40_000 + seed)
    return into, connection(RELAY, SECOND, *onward, port=60_000 + seed)


def held_at(host: str, connections: Iterable[Connection]) -> list[Match]:
    """Return the matches at one host that stand, the best of each inbound connection."""
    return best_of(held(*matches_at(host, list(connections))))


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.2, 1.5, 2.5])
def test_a_forwarded_session_is_matched(delay: float) -> None:
    """What goes on within 3 s is matched, with a small probability of chance, and the delay is told."""
    into, onward = forwarded(1, delay=delay)

    [match] = held_at(RELAY, [into, onward, *strangers(2)])

    assert (into, onward) == (match.inbound, match.outbound)
    assert (match.inward, match.onward) == (TERMINAL, SECOND)
    assert match.p_value < 1e-30
    assert match.q_value is not None
    assert match.p_value <= match.q_value < 1e-20
    assert match.score > 0.95
    assert match.delay is not None
    assert 0 <= delay * SECONDS - match.delay <= 2 * BIN


@pytest.mark.parametrize("jitter", [0.03, 0.1, 0.25])
def test_jitter_does_not_hide_it(jitter: float) -> None:
    """Delays that differ by up to half a second are no hindrance."""
    into, onward = forwarded(1, delay=0.3, jitter=jitter)

    [match] = held_at(RELAY, [into, onward, *strangers(2)])

    assert match.outbound is onward


def test_what_goes_on_comes_after() -> None:
    """A connection that is ahead of the inbound one, or later than the longest delay, is not its way on."""
    for delay in (-0.5, 3.5):
        into, onward = forwarded(1, delay=delay)
        assert held_at(RELAY, [into, onward, *strangers(2)]) == []


@pytest.mark.parametrize("overhead", [1.1, 0.9])
def test_repacketisation_and_overhead_do_not_hide_it(overhead: float) -> None:
    """A session whose bytes travel in other packets, with a tenth more or less as SSH makes it, is matched."""
    out, back = session(3)
    into = connection(TERMINAL, RELAY, out, back)
    onward = [cut(late(sizes, 4, delay=d, overhead=overhead)) for sizes, d in ((out, 0.08), (back, -0.08))]

    [match] = held_at(RELAY, [into, connection(RELAY, SECOND, *onward), *strangers(5)])

    assert match.onward == SECOND


def test_strangers_at_the_same_time_are_not_matched() -> None:
    """A session into the relay and another of the same size and time out of it have nothing to do with each other."""
    into = connection(TERMINAL, RELAY, *session(6))
    other = connection(RELAY, SECOND, *session(7))

    assert held_at(RELAY, [into, other, *strangers(8)]) == []


def test_a_tunnel_that_carries_several_sessions_matches_each() -> None:
    """Three sessions at once through one long connection are all matched to it."""
    pairs = [forwarded(seed, begin=600.0 + 20 * seed) for seed in (11, 12, 13)]
    out = [(float(b * BIN) / SECONDS, int(s)) for _, c in pairs for b, s in zip(c.bins, c.out, strict=True)]
    back = [(float(b * BIN) / SECONDS, int(s)) for _, c in pairs for b, s in zip(c.bins, c.back, strict=True)]
    tunnel = connection(RELAY, SECOND, [(500.0, 50), *out], back, port=61_000)

    found = held_at(RELAY, [*(into for into, _ in pairs), tunnel, *strangers(9)])

    assert {into.key for into, _ in pairs} == {match.inbound.key for match in found}
    assert {tunnel.key} == {match.outbound.key for match in found}


@pytest.mark.parametrize("before", [0.0, 300.0])
def test_a_reverse_tunnel_is_followed(before: float) -> None:
    """The way on may be a connection that the operator opened into the relay, long or just before the session."""
    out, back = session(14)
    into = connection(TERMINAL, RELAY, out, back)
    carried = late(out, 15, delay=0.05), late(back, 16, delay=-0.05)
    opened = [(min(t for t, _ in out) - before - 1, 60)]
    operators = connection(OPERATOR, RELAY, carried[1], opened + carried[0], port=22_022)

    found = joined(held_at(RELAY, [into, operators, *strangers(17)]), by_clocks(Clocks()))

    assert [chain.hops for chain in found] == [(TERMINAL, RELAY, OPERATOR)]


def test_too_little_is_not_compared() -> None:
    """Sessions of a few windows or a few bytes say nothing; nothing in gives nothing out."""
    short = [(600.0, 900), (600.1, 900)]
    faint = [(600.0 + n, 5) for n in range(20)]
    for sizes in (short, faint):
        into, onward = connection(TERMINAL, RELAY, sizes, []), connection(RELAY, SECOND, sizes, [], port=9)
        assert held_at(RELAY, [into, onward, *strangers(18)]) == []
    assert held_at(RELAY, []) == []


def test_a_session_of_a_few_seconds_proves_nothing() -> None:
    """In a tunnel that is older, where there is no room to shift the series, nothing is matched."""
    sizes = [(600 + at, 900) for at in (0.0, 0.15, 0.3, 0.5, 0.7)]
    into = connection(TERMINAL, RELAY, sizes, sizes)
    tunnel = connection(RELAY, SECOND, [(300.0, 10), *sizes], [*sizes, (900.0, 10)], port=9)

    assert matches_at(RELAY, [into, tunnel]) == ([], 1)


def test_one_direction_alone_can_match() -> None:
    """An upload whose answers are a handful of bytes is compared by its upload."""
    out, _ = session(19)
    into = connection(TERMINAL, RELAY, out, [(600.5, 20)])
    onward = connection(RELAY, SECOND, late(out, 20, delay=0.05), [(600.4, 20)])

    assert len(held_at(RELAY, [into, onward, *strangers(21)])) == 1


def test_the_volume_must_go_on() -> None:
    """A connection that keeps step, but carries a third of the bytes, is not the way on."""
    out, back = session(34)
    into = connection(TERMINAL, RELAY, out, back)
    sent = [(590.0, 90_000), *late(out, 1, delay=0.05, overhead=0.3)]
    third = connection(RELAY, SECOND, sent, back, port=9)
    more = connection(RELAY, OPERATOR, late(out, 1, delay=0.05), [(t - 0.05, 3 * s) for t, s in back], port=10)

    assert held_at(RELAY, [into, third, *strangers(35)]) == []
    assert [match.onward for match in held_at(RELAY, [into, third, more, *strangers(35)])] == [OPERATOR]


def test_all_that_was_tested_counts() -> None:
    """One match among few pairs stands; the same among a thousand does not (Benjamini-Hochberg)."""
    into, onward = forwarded(24)
    good = Match(RELAY, into, onward, 0.95, MAX_Q / 20)
    dull = replace(good, p_value=0.5, score=0.1)

    assert [replace(good, q_value=MAX_Q / 2)] == held([good, *[dull] * 9], 10)
    assert held([good, *[dull] * 9], 1000) == []
    assert held([replace(good, score=0.4)], 1) == []
    assert held([], 0) == []


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    """SciPy gives the same, with 1 for every pair that was passed over."""
    into, onward = forwarded(24)
    p_values = [1e-6, 1e-9, 3e-6, 1e-9, 1e-4, 2e-5]
    matches = [Match(RELAY, into, onward, 1.0, p) for p in p_values]

    known = stats.false_discovery_control([*p_values, *[1.0] * 94])[:6]
    assert [match.q_value for match in held(matches, 100)] == pytest.approx(known)


def test_the_best_of_several_ways_on_is_taken() -> None:
    """Of two connections that match one inbound, the less likely by chance is the way on, then the better score."""
    into, onward = forwarded(25)
    other = connection(RELAY, OPERATOR, *session(26))
    good, worse = Match(RELAY, into, onward, 0.9, 1e-4), Match(RELAY, into, other, 0.95, 1e-3)

    assert [good] == best_of([worse, good])
    assert [good] == best_of([good, worse])
    assert [good] == best_of([good, replace(worse, p_value=1e-4, score=0.8)])


# --- with captures -------------------------------------------------------------------------------------------------


Packet = tuple[float, tuple[str, int, str, int], int]
"""Time since 1970 [s], source and destination with their ports, payload [B]."""


def packet(time: float, ends: tuple[str, int, str, int], size: int) -> bytes:
    """Return a pcap record of one TCP packet (RFC 9293) with this much payload."""
    src, sport, dst, dport = ends
    tcp = struct.pack(">HHIIBBHHH", sport, dport, 1, 1, 5 << 4, 0x18, 8192, 0, 0) + b"x" * size
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, *map(socket.inet_aton, (src, dst)))
    frame = b"\x02" * 12 + b"\x08\x00" + head + tcp
    return struct.pack("<IIII", int(time), int(time % 1 * SECONDS), len(frame), len(frame)) + frame


def write_capture(path: Path, packets: Iterable[Packet]) -> Path:
    """Write packets as pcap, in order of time."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    path.write_bytes(head + b"".join(packet(*one) for one in sorted(packets)))
    return path


def talk(src: str, port: int, dst: str, sizes: Bytes, answers: Iterable[tuple[float, int]] = ()) -> list[Packet]:
    """Return the packets of a connection."""
    there, back = (src, port, dst, 443), (dst, 443, src, port)
    first = 1_431_000_000
    out = [(first + time, there, min(size, 1400)) for time, size in sizes]
    return out + [(first + time, back, min(size, 1400)) for time, size in answers]


def relay_capture(path: Path, *ends: str) -> Path:
    """Write a capture taken at a relay: a session that goes on to each of some ends, and visitors over an hour."""
    rows: list[Packet] = []
    for n, end in enumerate(ends or [SECOND]):
        out, back = session(30 + 100 * n, begin=n * 900.0)
        rows += talk(TERMINAL, 40_000 + n, RELAY, out, back)
        rows += talk(RELAY, 50_000 + n, end, late(out, 1, delay=0.05), late(back, 2, delay=-0.05))
    for n in range(8):
        rows += talk(f"198.18.0.{n}", 1000 + n, RELAY, *session(40 + n, begin=n * 400.0 + 1))
    return write_capture(path, rows)


def test_a_capture_at_a_relay_shows_the_chain(tmp_path: Path) -> None:
    """From the packets of a capture to the chain, with the packet numbers of both connections."""
    case = fx.read(relay_capture(tmp_path / "relay.pcap"))

    [chain] = find_chains(case)

    assert chain.hops == (TERMINAL, RELAY, SECOND)
    [[match]] = chain.sessions
    records = {
        row["record"] for row in case.sql("SELECT record FROM flows WHERE src_port >= 40000").to_arrow().to_pylist()
    }
    assert records == {match.inbound.record, match.outbound.record}
    assert match.inbound.source == "relay.pcap"


def test_a_server_that_a_chain_goes_through_is_ranked(tmp_path: Path) -> None:
    """What a capture shows passing traffic on is listed whatever else is said of it; where the traffic went is not."""
    ranked = fx.rank_relays(fx.read(relay_capture(tmp_path / "relay.pcap")), least_score=99.0)

    [row] = ranked.to_dict("records")
    assert (row["dst"], row["verdict"]) == (RELAY, "likely")
    assert f"it passed traffic on: 1 session from {TERMINAL} went on from it" in row["reasons"]
    assert row["reasons"].partition("p = ")[2].partition(" ")[0] != ""


@pytest.mark.parametrize("count", [2, 3])
def test_several_ends_of_chains_are_ranked(tmp_path: Path, count: int) -> None:
    """Of three ends at most one is the operators' own: they are candidates; of two it would be one in two."""
    ends = [f"203.0.113.{200 + n}" for n in range(count)]
    case = fx.read(relay_capture(tmp_path / "relay.pcap", *ends))

    ranked, graph = fx.rank_relays(case), fx.build_hop_graph(case)

    assert sorted(chain["hops"][-1] for chain in graph.graph["chains"]) == ends
    listed = ranked[ranked["dst"].isin(ends)]
    assert sorted(listed["dst"]) == (ends if count == 3 else [])
    assert {graph.nodes[end]["role"] for end in ends} == {"relay" if count == 3 else "upstream"}
    assert listed["reasons"].str.contains(f"traffic went on to it: 1 session from {TERMINAL}, with p = ").all()
    assert listed["reasons"].str.contains("one of 3 servers where chains end").all()


def test_only_captures_at_one_outside_host_are_looked_at(make_case: Callable[..., Case], tmp_path: Path) -> None:
    """A capture of many hosts, one taken inside the office, and a log show no relay from within."""
    crowd = [(f"198.18.0.{n}", f"198.18.1.{n}") for n in range(9)]
    mixed = [row for n, (a, b) in enumerate(crowd) for row in talk(a, 2000 + n, b, [(float(n), 100)])]
    office = [row for n in range(9) for row in talk("10.0.0.5", 3000 + n, f"198.18.1.{n}", [(float(n), 100)])]
    files = [write_capture(tmp_path / f"{n}.pcap", rows) for n, rows in enumerate((mixed, office))]

    assert find_chains(fx.read(*files)) == []
    assert find_chains(make_case([])) == []


def test_connections_of_a_host(tmp_path: Path) -> None:
    """A host's connections have their payload both ways; connections without payload and other hosts' are left out."""
    rows = talk(TERMINAL, 40_000, RELAY, [(1.0, 100), (1.05, 50), (9.0, 7)], [(1.2, 30)])
    rows += talk(TERMINAL, 40_001, RELAY, [(2.0, 0)]) + talk(TERMINAL, 40_002, SECOND, [(3.0, 10)])
    case = fx.read(write_capture(tmp_path / "r.pcap", rows))

    [one] = connections_of(case, "r.pcap", RELAY, BIN)

    assert one.key == (TERMINAL, 40_000, RELAY, 443)
    assert [int(size) for size in one.received(RELAY)] == [100, 50, 0, 7]
    assert [int(size) for size in one.sent(RELAY)] == [0, 0, 30, 0]
    assert (one.peer(RELAY), one.peer(TERMINAL)) == (TERMINAL, RELAY)
    assert [int(size) for size in one.sent(TERMINAL)] == [100, 50, 0, 7]
    assert connections_of(case, "r.pcap", "192.0.2.99", BIN) == []


def test_a_changed_capture_is_refused(tmp_path: Path) -> None:
    """A capture that was altered, or moved away, since it was read is an error that names it."""
    path = relay_capture(tmp_path / "relay.pcap")
    case = fx.read(path)

    path.write_bytes(path.read_bytes()[:-1] + b"y")
    with pytest.raises(fx.EvidenceError, match=r"relay.pcap: has changed since"):
        find_chains(case)
    path.unlink()
    with pytest.raises(fx.EvidenceError, match=r"relay.pcap: is no longer at"):
        find_chains(case)
