"""The lab sample agrees with its own truth, read with the standard library and with tshark if there is one."""

from __future__ import annotations

import gzip
import ipaddress
import json
import lzma
import re
import shutil
import struct
import subprocess
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

LAB = Path(__file__).resolve().parent.parent / "sample_pcaps" / "lab"
DOCUMENTATION = [
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]
MAGICS = {0xA1B2C3D4: "us", 0xA1B23C4D: "ns"}
LARGEST_FRAME = 1514
LARGEST_SAMPLE = 15_000_000
CONNECT_HEAD = len("HTTP/1.1 200 Connection established\r\n\r\n")
CAPTURES = ("terminal-11.pcap.gz", "uplink.pcap.xz", "relay-1.pcap.gz", "relay-2.pcap")

Flow = tuple[str, int, str, int]


@dataclass(frozen=True)
class Packet:
    """One TCP packet: when, which way, and where its payload lies in the stream."""

    time: float
    flow: Flow
    sequence: int
    payload: int
    syn: bool


@cache
def truth() -> dict[str, Any]:
    """Return the sample's truth."""
    loaded: dict[str, Any] = json.loads((LAB / "truth.json").read_text(encoding="utf-8"))
    return loaded


@cache
def requests() -> list[dict[str, Any]]:
    """Return what the terminals' programs say they requested."""
    with gzip.open(LAB / "requests.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@cache
def log_rows() -> list[list[str]]:
    """Return the fields of every row of the proxy's log."""
    return [line.split() for line in (LAB / "access.log").read_text(encoding="ascii").splitlines()]


@cache
def capture_bytes(file: str) -> bytes:
    """Return a whole capture, decompressed."""
    data = (LAB / file).read_bytes()
    if file.endswith(".gz"):
        return gzip.decompress(data)
    return lzma.decompress(data) if file.endswith(".xz") else data


def walk(file: str) -> Iterator[tuple[int, int, bytes]]:
    """Yield time [ns], length on the wire and captured bytes of every packet."""
    data = capture_bytes(file)
    scale = 1 if MAGICS[struct.unpack_from("<I", data)[0]] == "ns" else 1000
    offset = 24
    while offset < len(data):
        seconds, fraction, captured, length = struct.unpack_from("<IIII", data, offset)
        offset += 16 + captured
        yield seconds * 10**9 + fraction * scale, length, data[offset - captured : offset]


@cache
def address_text(packed: bytes) -> str:
    """Return an address of 4 or 16 bytes as text."""
    return str(ipaddress.ip_address(packed))


@cache
def tcp_packets(file: str) -> list[Packet]:
    """Return the TCP packets of a capture."""
    packets = []
    for time_ns, _, frame in walk(file):
        if frame[12:14] == b"\x08\x00" and frame[23] == 6:
            start, size = (
                14 + 4 * (frame[14] & 15),
                int.from_bytes(frame[16:18], "big") - 4 * (frame[14] & 15),
            )
            ends = frame[26:30], frame[30:34]
        elif frame[12:14] == b"\x86\xdd" and frame[20] == 6:
            start, size = 54, int.from_bytes(frame[18:20], "big")
            ends = frame[22:38], frame[38:54]
        else:
            continue
        src, dst = map(address_text, ends)
        src_port, dst_port, sequence = struct.unpack_from(">HHI", frame, start)
        payload = size - 4 * (frame[start + 12] >> 4)
        syn = bool(frame[start + 13] & 2)
        packets.append(Packet(time_ns / 1e9, (src, src_port, dst, dst_port), sequence, payload, syn))
    return packets


@cache
def streams(file: str) -> dict[Flow, int]:
    """Return the payload bytes of every direction of every connection, retransmissions counted once."""
    first: dict[Flow, int] = {}
    last: dict[Flow, int] = defaultdict(int)
    for packet in tcp_packets(file):
        if packet.syn:
            first[packet.flow] = packet.sequence + 1
        elif packet.flow in first:
            end = (packet.sequence - first[packet.flow] + packet.payload) % 2**32
            if packet.payload:
                last[packet.flow] = max(last[packet.flow], end)
    return {flow: last[flow] for flow in first}


def seconds(text: str) -> float:
    """Return an ISO time of the truth as seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def nanoseconds(text: str) -> int:
    """Return tshark's decimal seconds as nanoseconds, exactly; its versions differ in the digits they print."""
    whole, _, fraction = text.partition(".")
    return int(whole) * 10**9 + int(fraction.ljust(9, "0"))


def addresses_of(role: str) -> set[str]:
    """Return all addresses with a role."""
    return {host["address"] for host in truth()["hosts"] if host["role"] == role}


def is_documentation(address: str) -> bool:
    """Tell whether an address is in a range reserved for documentation."""
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in DOCUMENTATION if network.version == parsed.version)


def test_every_host_has_one_documentation_address() -> None:
    """Every host of the truth has an own address, out of RFC 5737 or RFC 3849."""
    addresses = [host["address"] for host in truth()["hosts"]]
    assert len(addresses) == len(set(addresses))
    assert all(is_documentation(address) for address in addresses)


def test_roles_are_complete() -> None:
    """There are three terminals, of which two are infected, five relays and six web servers."""
    hosts = truth()["hosts"]
    counts = Counter(host["role"] for host in hosts if "." in host["address"])
    assert (counts["terminal"], counts["relay"], counts["web"], counts["operator"]) == (3, 5, 6, 1)
    assert {host["address"] for host in hosts if host["infected"]} == {"192.0.2.11", "192.0.2.12"}


def test_all_that_truth_names_is_a_known_host() -> None:
    """Uploads, beacons, polling and chains speak only of hosts that are listed, with their roles."""
    parts = truth()
    names = {name: host["address"] for host in parts["hosts"] for name in host["names"]}
    for entry in parts["uploads"] + parts["beacons"] + parts["polling"]:
        assert entry["src"] in addresses_of("terminal")
        assert names[entry["name"]] == entry["dst"]
    assert {entry["dst"] for entry in parts["uploads"] + parts["beacons"]} <= addresses_of("relay")
    assert {entry["dst"] for entry in parts["polling"]} <= addresses_of("web")
    for chain in parts["chains"]:
        roles = [next(host["role"] for host in parts["hosts"] if host["address"] == hop) for hop in chain["hops"]]
        assert roles == ["terminal", "relay", "relay", "operator"]


def test_only_infected_terminals_do_what_agents_do() -> None:
    """The clean terminal uploads nothing, has no beacon and no session; it polls as the others do."""
    parts = truth()
    infected = {host["address"] for host in parts["hosts"] if host["infected"]}
    actors = {entry["src"] for entry in parts["uploads"] + parts["beacons"]}
    assert actors | {chain["hops"][0] for chain in parts["chains"]} == infected
    assert {entry["src"] for entry in parts["polling"]} == addresses_of("terminal")


def test_sample_is_small() -> None:
    """Everything in the folder together is below 15 MB."""
    assert sum(path.stat().st_size for path in LAB.rglob("*") if path.is_file()) < LARGEST_SAMPLE


def test_no_private_key() -> None:
    """No file of the sample is or holds a private key."""
    needle = b"PRIVATE " + b"KEY-----"
    assert not [path.name for path in LAB.iterdir() if path.is_file() and needle in path.read_bytes()]
    assert not [file for file in CAPTURES if needle in capture_bytes(file)]


@pytest.mark.parametrize("file", CAPTURES)
def test_capture_has_the_packets_tcpdump_counted(file: str) -> None:
    """A walk over the headers finds the packets tcpdump counted; snap length and precision agree."""
    (entry,) = (entry for entry in truth()["captures"] if entry["file"] == file)
    magic, snaplen = struct.unpack_from("<I12xI", capture_bytes(file))
    assert (MAGICS[magic], snaplen) == (entry["precision"], entry["snaplen"])
    lengths = [(length, len(frame)) for _, length, frame in walk(file)]
    assert len(lengths) == entry["packets"]
    assert all(captured == min(length, snaplen) for length, captured in lengths)
    assert max(length for length, _ in lengths) == LARGEST_FRAME


@pytest.mark.parametrize("file", CAPTURES)
def test_capture_shows_only_documentation_addresses(file: str) -> None:
    """Every IP packet is between documentation addresses, or is IPv6's own multicast housekeeping."""
    seen = set()
    for _, _, frame in walk(file):
        if frame[12:14] == b"\x08\x00":
            seen |= {frame[26:30], frame[30:34]}
        elif frame[12:14] == b"\x86\xdd":
            seen |= {frame[22:38], frame[38:54]}
    texts = {ipaddress.ip_address(packed) for packed in seen}
    assert not [
        str(address)
        for address in texts
        if not is_documentation(str(address)) and not address.is_multicast and not address.is_unspecified
    ]


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
@pytest.mark.parametrize("file", CAPTURES)
def test_tshark_agrees_with_the_header_walk(file: str, tmp_path: Path) -> None:
    """Tshark sees the same packets at the same times, and finds none malformed where packets are whole."""
    fields = ["-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "_ws.malformed"]
    plain = tmp_path / "plain.pcap"
    plain.write_bytes(capture_bytes(file))
    # Sessions on port 443 are TLS; the tunnel port of the second relay carries it too.
    command = ["tshark", "-n", "-r", str(plain), "-d", "tcp.port==8443,tls", *fields]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in output.splitlines()]
    assert [(nanoseconds(row[0]), int(row[1])) for row in rows] == [(time, length) for time, length, _ in walk(file)]
    (snaplen,) = (entry["snaplen"] for entry in truth()["captures"] if entry["file"] == file)
    assert snaplen < LARGEST_FRAME or not [row for row in rows if row[2]]


def test_log_shows_only_documentation_addresses() -> None:
    """Clients and servers of the proxy's log are documentation addresses, over IPv4 and IPv6."""
    servers = {row[8].split("/")[1] for row in log_rows()} - {"-"}
    assert {row[2] for row in log_rows()} == addresses_of("terminal")
    assert all(is_documentation(server) for server in servers)
    assert {ipaddress.ip_address(server).version for server in servers} == {4, 6}


def test_truth_counts_the_requests() -> None:
    """The counts per terminal are those of the list of requests."""
    assert Counter(request["src"] for request in requests()) == truth()["requests"]


def test_every_request_has_its_log_row() -> None:
    """Log and requests are one to one: same client, method, URL and status, at the request's end."""
    ours: dict[tuple[str, str, str, str], list[tuple[float, int]]] = defaultdict(list)
    for request in requests():
        # Squid's default hides the query: everything behind the question mark is left out of the log.
        url = re.sub(r"\?.*", "?", request["url"])
        key = (request["src"], request["method"], url, str(request["status"]))
        ours[key].append((seconds(request["end"]), request["response_body"]))
    logged: dict[tuple[str, str, str, str], list[tuple[float, int]]] = defaultdict(list)
    for row in log_rows():
        logged[row[2], row[5], row[6], row[3].split("/")[1]].append((float(row[0]), int(row[4])))
    assert {key: len(rows) for key, rows in logged.items()} == {key: len(rows) for key, rows in ours.items()}
    for key, rows in ours.items():
        for (end, body), (time, size) in zip(sorted(rows), sorted(logged[key]), strict=True):
            assert abs(end - time) < 1.0, key
            head = size - body
            # The log counts the answer's head too; that of a CONNECT is always the same.
            assert head == CONNECT_HEAD if key[1] == "CONNECT" else 100 < head < 600, key


def test_beacons_and_polling_are_requests() -> None:
    """Every beacon and every poll of the truth is a request of the list: as many, within the same time."""
    for kind, purpose in (("beacons", "beacon"), ("polling", "poll")):
        for entry in truth()[kind]:
            own = [
                request
                for request in requests()
                if (request["src"], request["purpose"]) == (entry["src"], purpose) and entry["name"] in request["url"]
            ]
            assert len(own) == entry["count"]
            assert min(request["start"] for request in own) >= entry["start"]
            assert max(request["end"] for request in own) <= entry["end"]


def test_uploads_follow_a_baseline_in_separate_minutes() -> None:
    """The first upload comes eight minutes or more after the first packet; each has its own minute."""
    first_ns = next(walk("uplink.pcap.xz"))[0]
    spans = [(seconds(upload["start"]), seconds(upload["end"])) for upload in truth()["uploads"]]
    assert spans[0][0] - first_ns / 1e9 >= 8 * 60
    assert all(start // 60 == end // 60 for start, end in spans)
    assert len({start // 60 for start, _ in spans}) == len(spans)


def test_uploads_are_visible_at_the_uplink() -> None:
    """In an upload's time the proxy sends the relay its bytes and little more, at other times hardly any."""
    proxy = addresses_of("proxy")
    for upload in truth()["uploads"]:
        toward = [
            packet
            for packet in tcp_packets("uplink.pcap.xz")
            if packet.flow[0] in proxy and packet.flow[2] == upload["dst"]
        ]
        start, end = seconds(upload["start"]), seconds(upload["end"])
        inside = sum(packet.payload for packet in toward if start <= packet.time <= end)
        assert upload["bytes"] <= inside < 1.05 * upload["bytes"]
    minutes = {int(seconds(upload["start"]) // 60) for upload in truth()["uploads"]}
    outside = sum(packet.payload for packet in toward if packet.time // 60 not in minutes)
    assert outside < 100_000


def test_uploads_are_posts() -> None:
    """An upload's bytes are the bodies of the POST requests made for it."""
    for upload in truth()["uploads"]:
        parts = [
            request["request_body"]
            for request in requests()
            if request["purpose"] == "upload"
            and request["src"] == upload["src"]
            and upload["start"] <= request["start"] <= upload["end"]
        ]
        assert sum(parts) == upload["bytes"]


def test_chains_have_their_sessions() -> None:
    """The first terminal has two sessions and the second one; two of the three overlap in time."""
    chains = {chain["hops"][0]: chain["sessions"] for chain in truth()["chains"]}
    assert {terminal: len(sessions) for terminal, sessions in chains.items()} == {
        "192.0.2.11": 2,
        "192.0.2.12": 1,
    }
    later, other = chains["192.0.2.11"][1], chains["192.0.2.12"][0]
    assert max(later["start"], other["start"]) < min(later["end"], other["end"])
    assert len({session["bytes_up"] for sessions in chains.values() for session in sessions}) == 3


def test_every_leg_of_every_session_is_in_its_captures() -> None:
    """A flow of a chain is in the captures it is said to be seen in, and in no other."""
    for chain in truth()["chains"]:
        for session in chain["sessions"]:
            for flow in session["flows"]:
                key = (flow["src"], flow["src_port"], flow["dst"], flow["dst_port"])
                seen = [file for file in CAPTURES if key in streams(file)]
                assert seen == sorted(flow["seen_in"], key=CAPTURES.index)


def test_every_leg_carries_the_bytes_of_its_session() -> None:
    """From the proxy on, each leg carries exactly the tunnel's bytes each way, until SSH wraps them."""
    for chain in truth()["chains"]:
        for session in chain["sessions"]:
            for flow in session["flows"][1:3]:
                up = (flow["src"], flow["src_port"], flow["dst"], flow["dst_port"])
                down = (*up[2:], *up[:2])
                for file in flow["seen_in"]:
                    assert streams(file)[up] == session["bytes_up"]
                    assert streams(file)[down] == session["bytes_down"]


@pytest.mark.parametrize("file", ["relay-1.pcap.gz", "relay-2.pcap"])
def test_relays_have_traffic_that_is_no_chain(file: str) -> None:
    """A relay's capture holds visits and connections of its own beside the legs of the chains."""
    legs = {
        (flow["src"], flow["src_port"], flow["dst"], flow["dst_port"])
        for chain in truth()["chains"]
        for session in chain["sessions"]
        for flow in session["flows"]
    }
    relay = {"relay-1.pcap.gz": "203.0.113.21", "relay-2.pcap": "203.0.113.77"}[file]
    opened = {packet.flow for packet in tcp_packets(file) if packet.syn and packet.flow[3] in {80, 443}} - legs
    assert [flow for flow in opened if flow[0] == relay]
    assert [flow for flow in opened if flow[2] == relay]
