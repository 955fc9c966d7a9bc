"""Make captures under ``pcap/`` and ``pcapng/``: small, every byte ours, addresses and names for documentation.

Run: ``python sample_pcaps/formats/make_captures.py``; the same bytes every time.

References
----------
.. [1] RFC 5737, RFC 3849 (addresses for documentation); RFC 2606 (names for documentation).
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
START = 1_432_173_600_000_000_000  # 2015-05-21 02:00:00 UTC [ns]
CLIENT, RESOLVER, WEB, TLS, PROXY = "192.0.2.10", "192.0.2.53", "198.51.100.80", "203.0.113.44", "192.0.2.8"
CLIENT6, SERVER6 = "2001:db8::10", "2001:db8:1::443"
FIN, SYN, RST, ACK = 1, 2, 4, 16


@dataclass(frozen=True)
class Packet:
    """One packet on the wire: its time [ns], its bytes, its link type and how much of it is captured."""

    time: int
    data: bytes
    link: int = 1
    snaplen: int = 65535

    @property
    def captured(self) -> bytes:
        """The part of it that was captured."""
        return self.data[: self.snaplen]


def ones_sum(data: bytes) -> int:
    """Return the checksum of RFC 1071 over some bytes."""
    total: int = sum(struct.unpack(f">{len(data) // 2 + len(data) % 2}H", data + b"\0" * (len(data) % 2)))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def summed(addresses: bytes, proto: int, payload: bytes) -> bytes:
    """Return a TCP, UDP or ICMP packet with its checksum, whatever else as it is."""
    at = {1: 2, 6: 16, 17: 6, 58: 2}.get(proto)
    if at is None or len(payload) < at + 2:
        return payload
    pseudo = b"" if proto == 1 else addresses + struct.pack(">II", len(payload), proto)
    payload = payload[:at] + b"\0\0" + payload[at + 2 :]
    return payload[:at] + struct.pack(">H", ones_sum(pseudo + payload) or 0xFFFF) + payload[at + 2 :]


def ipv4(src: str, dst: str, proto: int, payload: bytes, *, ident: int = 1, fragment: int = 0) -> bytes:
    """Return an IPv4 packet with its checksums; ``fragment`` is the field of flags and offset."""
    addresses = socket.inet_aton(src) + socket.inet_aton(dst)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), ident, fragment, 64, proto, 0)
    head = head[:10] + struct.pack(">H", ones_sum(head + addresses)) + addresses
    return head + (payload if fragment else summed(addresses, proto, payload))


def ipv6(src: str, dst: str, following: int, payload: bytes) -> bytes:
    """Return an IPv6 packet with its checksum."""
    head = struct.pack(">IHBB", 6 << 28, len(payload), following, 64)
    addresses = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst)
    return head + addresses + summed(addresses, following, payload)


def ip(src: str, dst: str, proto: int, payload: bytes) -> bytes:
    """Return an IP packet of the version of its addresses."""
    return ipv6(src, dst, proto, payload) if ":" in src else ipv4(src, dst, proto, payload)


def udp(sport: int, dport: int, payload: bytes) -> bytes:
    """Return a UDP datagram."""
    return struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload


def tcp(  # noqa: PLR0917 - in the order of the header
    sport: int, dport: int, seq: int, ack: int, flags: int, payload: bytes = b""
) -> bytes:
    """Return a TCP segment."""
    numbers = seq & 0xFFFF_FFFF, ack & 0xFFFF_FFFF
    return struct.pack(">HHIIBBHHH", sport, dport, *numbers, 0x50, flags, 65535, 0, 0) + payload


def ethernet(packet: bytes, *tags: int) -> bytes:
    """Return an Ethernet frame with VLAN tags, padded to the 60 bytes that Ethernet wants."""
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    vlan = b"".join(struct.pack(">HH", 0x8100, tag) for tag in tags)
    frame = bytes.fromhex("0200000000020200000000aa") + vlan + struct.pack(">H", kind) + packet
    return frame.ljust(60, b"\0")


@dataclass
class Talk:
    """A TCP connection being written down, packet by packet."""

    src: str
    sport: int
    dst: str
    dport: int
    time: int
    step: int = 10_000_000
    seq: list[int] = field(default_factory=lambda: [1000, 0xFFFF_FFF0])  # the server's wraps around
    packets: list[Packet] = field(default_factory=list)

    def say(self, side: int, flags: int, payload: bytes = b"") -> None:
        """Send a segment from the client (0) or the server (1)."""
        ends = (self.src, self.dst, self.sport, self.dport)
        src, dst, sport, dport = ends if side == 0 else (ends[1], ends[0], ends[3], ends[2])
        segment = tcp(sport, dport, self.seq[side], self.seq[1 - side], flags, payload)
        self.packets.append(Packet(self.time, ethernet(ip(src, dst, 6, segment))))
        self.seq[side] += len(payload) + bool(flags & (SYN | FIN))
        self.time += self.step

    def open(self) -> Talk:
        """Shake hands."""
        self.say(0, SYN)
        self.say(1, SYN | ACK)
        self.say(0, ACK)
        return self

    def close(self) -> list[Packet]:
        """End both directions; return all packets."""
        self.say(0, FIN | ACK)
        self.say(1, FIN | ACK)
        self.say(0, ACK)
        return self.packets


def name(text: str) -> bytes:
    """Return a DNS name on the wire."""
    return b"".join(bytes([len(part)]) + part.encode() for part in text.split(".")) + b"\0"


def dns_lookup(asked: str, alias: str, address: str, time: int) -> list[Packet]:
    """Return a look-up that is answered through an alias."""
    question = name(asked) + struct.pack(">HH", 1, 1)
    query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question
    cname = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 60, len(name(alias))) + name(alias)
    a = name(alias) + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
    unknown = b"\xc0\x0c" + struct.pack(">HHIH", 65, 1, 60, 3) + b"\0\x01\0"  # HTTPS record, RFC 9460
    reply = struct.pack(">HHHHHH", 7, 0x8180, 1, 3, 0, 0) + question + cname + unknown + a
    return [
        Packet(time, ethernet(ipv4(CLIENT, RESOLVER, 17, udp(40_000, 53, query)))),
        Packet(time + 1_000_000, ethernet(ipv4(RESOLVER, CLIENT, 17, udp(53, 40_000, reply)))),
    ]


def client_hello(host: str, padding: int = 0) -> bytes:
    """Return a TLS record with a ClientHello that names its server."""
    entry = b"\0" + struct.pack(">H", len(host)) + host.encode()
    sni = struct.pack(">HHH", 0, len(entry) + 2, len(entry)) + entry
    pad = struct.pack(">HH", 21, padding) + bytes(padding)
    extensions = sni + pad
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    body += struct.pack(">H", len(extensions)) + extensions
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack(">H", len(handshake)) + handshake


def web(time: int) -> list[Packet]:
    """Return a kept-alive HTTP connection with two requests, one of them in two segments."""
    talk = Talk(CLIENT, 49_152, WEB, 80, time).open()
    talk.say(0, ACK, b"GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Sample/1.0\r\n\r\n")
    talk.say(1, ACK, b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello")
    talk.say(0, ACK, b"POST /upload HTTP/1.1\r\nHost: www.example.com\r\nReferer: http://www.exa")
    talk.say(0, ACK, b"mple.com/index.html\r\nContent-Length: 3\r\n\r\nabc")
    talk.say(1, ACK, b"HTTP/1.1 204 No Content\r\n\r\n")
    return talk.close()


def tls(time: int, host: str = "shop.example.net", dst: str = TLS, src: str = CLIENT) -> list[Packet]:
    """Return a TLS connection whose ClientHello spans two segments, over more than one minute."""
    talk = Talk(src, 49_153, dst, 443, time, step=15_000_000_000).open()
    hello = client_hello(host, padding=1200)
    talk.say(0, ACK, hello[:1000])
    talk.say(0, ACK, hello[1000:])
    talk.say(1, ACK, b"\x16\x03\x03\x00\x02\x02\x00" + bytes(700))
    return talk.close()


def proxied(time: int) -> list[Packet]:
    """Return a tunnel through a proxy, and a plain request to the same proxy."""
    tunnel = Talk(CLIENT, 49_154, PROXY, 3128, time).open()
    tunnel.say(0, ACK, b"CONNECT relay.example.org:443 HTTP/1.1\r\nHost: relay.example.org:443\r\n\r\n")
    tunnel.say(1, ACK, b"HTTP/1.1 200 Connection established\r\n\r\n")
    tunnel.say(0, ACK, client_hello("relay.example.org"))
    tunnel.say(0, ACK, bytes(1300))
    plain = Talk(CLIENT, 49_155, PROXY, 3128, time + 1_000_000_000).open()
    plain.say(0, ACK, b"GET http://www.example.com/a HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
    plain.say(1, ACK, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    return tunnel.close() + plain.close()


def oddities(time: int) -> list[Packet]:
    """Return what is no plain TCP or UDP: ping, VLAN, fragments, extension header, ARP, GRE, a refused connection."""
    echo = [ipv4(CLIENT, WEB, 1, bytes([8, 0]) + bytes(30)), ipv4(WEB, CLIENT, 1, bytes([0, 0]) + bytes(30))]
    long = udp(5000, 5001, bytes(100))
    pieces = [
        ipv4(CLIENT, TLS, 17, long[:64], ident=9, fragment=0x2000),
        ipv4(CLIENT, TLS, 17, long[64:], ident=9, fragment=8),
    ]
    hop = bytes([17, 0]) + bytes(6) + udp(6000, 6001, b"hop-by-hop")
    refused = Talk(CLIENT, 49_160, WEB, 81, time)
    refused.say(0, SYN)
    refused.say(1, RST | ACK)
    frames = [ethernet(p) for p in (*echo, *pieces, ipv6(CLIENT6, SERVER6, 0, hop), ipv4(CLIENT, WEB, 47, bytes(24)))]
    frames.append(ethernet(ipv4(CLIENT, WEB, 17, udp(7000, 7001, b"tagged")), 10, 20))
    frames.append(b"\xff" * 6 + bytes.fromhex("0200000000aa0806") + bytes(46))
    return refused.packets + [Packet(time + k * 1_000_000, frame) for k, frame in enumerate(frames, 5)]


def pcap(packets: list[Packet], *, big: bool = False, nano: bool = False, snaplen: int = 65535, link: int = 1) -> bytes:
    """Return a pcap file."""
    order = ">" if big else "<"
    file = struct.pack(order + "IHHIIII", 0xA1B2_3C4D if nano else 0xA1B2_C3D4, 2, 4, 0, 0, snaplen, link)
    for packet in packets:
        seconds, rest = divmod(packet.time, 1_000_000_000)
        data = packet.captured[:snaplen]
        file += struct.pack(order + "IIII", seconds, rest if nano else rest // 1000, len(data), len(packet.data)) + data
    return file


def block(order: str, kind: int, body: bytes) -> bytes:
    """Return a pcapng block."""
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def option(order: str, code: int, value: bytes) -> bytes:
    """Return a pcapng option."""
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str) -> bytes:
    """Return a Section Header Block."""
    return block(order, 0x0A0D_0D0A, struct.pack(order + "IHHq", 0x1A2B_3C4D, 1, 0, -1))


def interface(order: str, link: int = 1, resolution: int = 6, offset: int = 0, snaplen: int = 0) -> bytes:
    """Return an Interface Description Block."""
    options = option(order, 9, bytes([resolution])) + option(order, 14, struct.pack(order + "q", offset))
    return block(order, 1, struct.pack(order + "HHI", link, 0, snaplen) + options + bytes(4))


def enhanced(order: str, packet: Packet, ticks: int, number: int = 0) -> bytes:
    """Return an Enhanced Packet Block; the time is given in the interface's own ticks."""
    head = struct.pack(
        order + "IIIII", number, ticks >> 32, ticks & 0xFFFF_FFFF, len(packet.captured), len(packet.data)
    )
    return block(order, 6, head + packet.captured)


def pcapng_plain(packets: list[Packet]) -> bytes:
    """Return an ordinary pcapng file with an unknown block and statistics in it."""
    file = section("<") + interface("<") + block("<", 0x0BAD, b"unknown block")
    file += b"".join(enhanced("<", p, p.time // 1000) for p in packets)
    drops = option("<", 5, struct.pack("<Q", 3))
    return file + block("<", 5, struct.pack("<III", 0, 0, 0) + drops + bytes(4))


def pcapng_sections(packets: list[Packet]) -> bytes:
    """Return two sections of different byte order, with interfaces of different clocks and link types."""
    halves = packets[: len(packets) // 2], packets[len(packets) // 2 :]
    file = (
        section("<") + interface("<", resolution=9) + interface("<", link=101, resolution=0x80 | 20, offset=1_000_000)
    )
    for p in halves[0]:
        file += enhanced("<", p, p.time)
        bare = Packet(p.time, p.data[14:], 101)
        file += enhanced("<", bare, (p.time - 1_000_000 * 1_000_000_000 << 20) // 1_000_000_000, 1)
    file += section(">") + interface(">", resolution=3) + interface(">", link=147)
    file += b"".join(enhanced(">", p, p.time // 1_000_000) for p in halves[1])
    return file + enhanced(">", Packet(START, b"unread link"), START // 1000, 1)


def pcapng_simple(packets: list[Packet]) -> bytes:
    """Return Simple Packet Blocks and old Packet Blocks, some cut by the interface's snaplen."""
    file = section("<") + interface("<", snaplen=80)
    for p in packets:
        short = Packet(p.time, p.data, snaplen=80)
        ticks = p.time // 1000
        old = struct.pack("<HHIIII", 0, 0, ticks >> 32, ticks & 0xFFFF_FFFF, len(short.captured), len(p.data))
        file += block("<", 2, old + short.captured)
        file += block("<", 3, struct.pack("<I", len(p.data)) + short.captured)
    return file


def captures() -> dict[str, bytes]:
    """Return the content of every sample by its name."""
    look = dns_lookup("www.example.com", "web.example.net", WEB, START)
    normal = look + web(START + 100_000_000) + tls(START + 1_000_000_000) + proxied(START + 2_000_000_000)
    cut = [Packet(p.time, p.data, snaplen=60) for p in web(START) + tls(START)]
    return {
        "pcap/normal.pcap": pcap(normal),
        "pcap/oddities.pcap": pcap(oddities(START)),
        "pcap/nanosecond_big_endian.pcap": pcap(
            tls(START + 123_456_789, src=CLIENT6, dst=SERVER6), big=True, nano=True
        ),
        "pcap/snaplen_60.pcap": pcap(cut, snaplen=60),
        "pcap/cut_inside_packet.pcap": pcap(web(START))[:-31],
        "pcap/unread_link_type.pcap": pcap([Packet(START, b"unread link")], link=147),
        "pcap/snoop.other": b"snoop\0\0\0" + struct.pack(">II", 2, 4),
        "pcap/pcapng.other": section("<"),
        "pcapng/normal.pcapng": pcapng_plain(normal),
        "pcapng/two_sections.pcapng": pcapng_sections(web(START)),
        "pcapng/simple_blocks.pcapng": pcapng_simple(web(START)),
        "pcapng/cut_inside_block.pcapng": pcapng_plain(web(START))[:-70],
        "pcapng/pcap.other": pcap([]),
    }


def main() -> None:
    """Write all samples."""
    for path, data in captures().items():
        target = HERE / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        print(f"{path}: {len(data)} bytes")


if __name__ == "__main__":
    main()
