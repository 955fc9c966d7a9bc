"""Make the captures of every link layer and of every kind of container, under ``pcap/``, ``pcapng/`` and ``snoop/``.

Run: ``python sample_pcaps/formats/make_link_captures.py``; the same bytes every time. Each packet is one UDP datagram
whose port tells which link header or tag it lies behind.

References
----------
.. [1] https://www.tcpdump.org/linktypes.html: link types. IEEE 802.1Q, RFC 3032, RFC 2516, RFC 8300: tags and labels.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from make_captures import (
    CLIENT,
    CLIENT6,
    SERVER6,
    START,
    WEB,
    Packet,
    block,
    dns_lookup,
    enhanced,
    ethernet,
    interface,
    ipv4,
    ipv6,
    option,
    section,
    udp,
    web,
)

HERE = Path(__file__).resolve().parent
MACS = "0200000000020200000000aa"
SNAP = "aaaa030000000800"
WLAN = "08010000" + "02000000000f" + MACS + "0000"
QOS_WLAN = "88010000" + "02000000000f" + MACS + "0000" + "0000"
ETHER = MACS + "0800"

# Hexadecimal bytes that lie between the start of a packet and IPv4 (IPv6 for 229), by link type.
LINK_HEADERS = {
    0: "02000000",
    1: ETHER,
    6: "1040" + "020000000002" + "8200000000aa" + "0630" + "00100020" + SNAP,  # token ring, source-routed
    7: "0102d4000001",
    8: "00" * 16,
    9: "ff030021",
    10: "50" + MACS + SNAP,
    11: SNAP,
    12: "",
    14: "",
    15: "00" * 24,
    16: "00" * 5 + "0021" + "00" * 17,
    50: "0f000800",  # Cisco's HDLC on a PPP link
    51: "110000010020" + "0021",
    100: "aaaa030080c20007" + "0000" + ETHER,  # a bridged frame
    101: "",
    104: "0f000800",
    105: WLAN + SNAP,
    106: "",
    107: "184103cc",
    108: "00000002",
    109: "02000000" + "00000001" + "00000000",
    113: "00040001000602000000000a00000800",
    117: "3d02" + "00" * 62,
    119: "44000000" + "90000000" + "00" * 136 + WLAN + SNAP,
    123: "02000020" + SNAP,
    127: "00000900" + "02000000" + "20" + QOS_WLAN + "0000" + SNAP,  # radiotap that tells of padding
    129: "01020000d4000001",
    138: "00" * 8 + "0200000000aa0000" + "0800",
    143: "00000039abcd" + ETHER,
    163: "80211001" + "00000040" + "00" * 56 + WLAN + SNAP,
    166: "00030021",
    178: "4d474380" + "0004" + "00000000" + ETHER,
    192: "00000800" + "69000000" + WLAN + SNAP,
    197: "00" * 8 + "8204" + "0053" + "0000" + "0039" + "00" * 8 + "0000" + ETHER,
    204: "00ff030021",
    205: "000f000800",
    206: "00184103cc",
    219: "0001003f" + "0002013f",
    226: "0102" + "00" * 22,
    228: "",
    229: "",
    239: "02000000" + "08000100080000" + "00" + "2f000900",
    242: "00" * 40 + "08000000",
    258: "6c000000" + "01000000" + "01000000" + "00" * 96 + ETHER,
    276: "0800" + "0000" + "00000001" + "0001" + "00" + "06" + "02000000000a0000",
    281: MACS + "00000003" + "0800",
    282: "00000003" + ETHER,
    284: MACS + "40000000" + "0800",
    285: MACS + "dada0000" + "40000000" + "0800",
}

# The same for what may follow the two addresses of an Ethernet frame.
TAGS = {
    "one VLAN tag": "8100000a0800",
    "provider and customer tag": "88a8000b8100000a0800",
    "old provider tags": "9100000b9200000a0800",
    "VLAN tag and 802.3": "8100000a0040" + SNAP,
    "802.3 with SNAP": "0040" + SNAP,
    "802.3 with the access point of IP": "0040060603",
    "a bridged frame in SNAP": "0050aaaa030080c20007" + "0000" + ETHER,
    "two labels": "88470001003f0002013f",
    "multicast label": "88480002013f",
    "pseudowire with control word": "88470002013f" + "00000000" + ETHER,
    "pseudowire without": "88470002013f" + ETHER,
    "PPPoE": "8864" + "110000010020" + "0021",
    "PPPoE, short protocol": "8864" + "110000010020" + "21",
    "PPP": "880bff030021",
    "bridged": "6558" + ETHER,
    "customer frame of a backbone": "88e7" + "00000101" + ETHER,
    "service header": "894f" + "0fc60101" + "00000a01" + "00" * 16,
    "service header and a frame": "894f" + "0fc60103" + "00000a01" + "00" * 16 + ETHER,
    "Cisco MetaData": "8909" + "01010001000a" + "0800",
    "VN-Tag": "8926" + "00000001" + "0800",
    "E-Tag": "893f" + "000000010000" + "0800",
    "seamless redundancy": "892f" + "00400001" + "0800",
    "guarded, not encrypted": "88e5" + "200000000001" + "0200000000aa0001" + "0800",
    "time stamp of a packet broker": "d28b" + "00010010" + "0000000100000002" + "0800",
}


def datagram(port: int, *, version6: bool = False) -> bytes:
    """Return an IP packet whose destination port is given."""
    load = udp(40_000, port, b"behind a header")
    return ipv6(CLIENT6, SERVER6, 17, load) if version6 else ipv4(CLIENT, WEB, 17, load)


def link_types() -> bytes:
    """Return a pcapng file with one interface and one packet of every link type; the port is 10000 and the type."""
    file = section("<") + b"".join(interface("<", link=link) for link in LINK_HEADERS)
    for number, (link, head) in enumerate(LINK_HEADERS.items()):
        packet = Packet(START, bytes.fromhex(head) + datagram(10_000 + link, version6=link == 229))
        file += enhanced("<", packet, START // 1000 + number, number)
    return file


def tags() -> list[Packet]:
    """Return Ethernet frames with everything that may lie before IP; the port is 20000 and the place in the list."""
    return [
        Packet(START + k, bytes.fromhex(MACS + head) + datagram(20_000 + k)) for k, head in enumerate(TAGS.values())
    ]


def no_ip() -> bytes:
    """Return frames of many links that carry no IP, or none that can be read."""
    frames = (
        (1, MACS + "0026424203"), (1, MACS + "88470002013f10000000"), (1, MACS + "88470002013f0001"),
        (1, MACS + "88e5" + "2c0000000001" + "00" * 20), (1, MACS + "8864110000010004c021"),
        (6, "1000" + MACS + "0000"), (9, "ff03c021"), (9, "ff03002d"), (10, "c1" + MACS + "00"),
        (105, "80000000" + "00" * 20), (105, "d400"), (105, "08410000" + "00" * 20),
        (105, "08010000" + "00" * 18 + "0100"), (107, "0001030800"), (113, "00000338000000000000000000000000"),
        (143, "c00000000000"),
    )  # fmt: skip
    links = sorted({link for link, _ in frames})
    file = section(">") + b"".join(interface(">", link=link) for link in links)
    for number, (link, frame) in enumerate(frames):
        file += enhanced(">", Packet(START, bytes.fromhex(frame)), START // 1000 + number, links.index(link))
    return file


def record(order: str, packet: Packet, extra: bytes, *, swapped: bool = False) -> bytes:
    """Return a pcap record with an extended header, or with its two lengths swapped."""
    seconds, rest = divmod(packet.time, 1_000_000_000)
    lengths = len(packet.captured), len(packet.data)
    return (
        struct.pack(order + "IIII", seconds, rest // 1000, *(lengths[::-1] if swapped else lengths))
        + extra
        + packet.captured
    )


def modified_pcap(packets: list[Packet]) -> bytes:
    """Return a big-endian pcap file as Kuznetzov's libpcap wrote it: interface, protocol and kind in every record."""
    file = struct.pack(">IHHIIII", 0xA1B2_CD34, 2, 4, 0, 0, 65535, 1)
    return file + b"".join(record(">", p, struct.pack(">IHBx", 2, 0x0800, 0)) for p in packets)


def old_pcap(packets: list[Packet]) -> bytes:
    """Return a pcap file of version 2.1, whose two lengths are swapped."""
    file = struct.pack("<IHHIIII", 0xA1B2_C3D4, 2, 1, 0, 0, 60, 1)
    return file + b"".join(record("<", Packet(p.time, p.data, snaplen=60), b"", swapped=True) for p in packets)


def name_block(order: str, *pairs: tuple[str, str]) -> bytes:
    """Return a Name Resolution Block."""
    body = b""
    for address, text in pairs:
        version6 = ":" in address
        value = socket.inet_pton(socket.AF_INET6 if version6 else socket.AF_INET, address) + text.encode() + b"\0"
        body += option(order, 2 if version6 else 1, value)
    return block(order, 4, body + bytes(4))


def statistics(order: str, number: int, received: int, dropped: int, system: int) -> bytes:
    """Return an Interface Statistics Block."""
    counts = ((4, received), (5, dropped), (7, system))
    options = b"".join(option(order, code, struct.pack(order + "Q", count)) for code, count in counts)
    return block(order, 5, struct.pack(order + "III", number, 0, 0) + options + bytes(4))


def blocks(order: str, packets: list[Packet]) -> bytes:
    """Return a pcapng file with every kind of block."""
    comment = option(order, 1, "evidence 7, seized \u202efrom a relay\x1b[31m".encode())
    head = struct.pack(order + "IHHq", 0x1A2B_3C4D, 1, 0, 12_345)  # a section length that is wrong
    file = block(order, 0x0A0D_0D0A, head + comment + bytes(4))
    file += name_block(order, (WEB, "WWW.Example.com."), (SERVER6, "six.example.net"))
    file += interface(order) + interface(order)
    file += block(order, 10, struct.pack(order + "II", 0x544C_534B, 4) + b"keys")  # secrets of TLS
    file += block(order, 0x0BAD, struct.pack(order + "I", 32_473) + b"custom") + block(order, 9, b"MESSAGE=hello\n")
    for k, p in enumerate(packets):
        ticks = p.time // 1000
        body = struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFF_FFFF, len(p.data), len(p.data)) + p.data
        lost = option(order, 2, bytes(4)) + option(order, 4, struct.pack(order + "Q", k)) + bytes(4)
        file += block(order, 6, body + bytes(-len(p.data) % 4) + (lost if k % 2 else b""))
        file += statistics(order, k % 2, k, k + 1, 2 * k)
        if k == 2:
            file += name_block(order, (CLIENT, "client.example.com"))
    return file


def snoop(packets: list[Packet], network: int = 4) -> bytes:
    """Return a snoop file."""
    file = b"snoop\0\0\0" + struct.pack(">II", 2, network)
    for number, packet in enumerate(packets):
        seconds, rest = divmod(packet.time, 1_000_000_000)
        data = packet.captured
        pad = bytes(-len(data) % 4)
        head = struct.pack(
            ">IIIIII", len(packet.data), len(data), 24 + len(data) + len(pad), number // 4, seconds, rest // 1000
        )
        file += head + data + pad
    return file


def captures() -> dict[str, bytes]:
    """Return the content of every sample by its name."""
    look = dns_lookup("www.example.com", "web.example.net", WEB, START)
    session = look + web(START + 100_000_000)
    rings = [Packet(p.time, bytes.fromhex(LINK_HEADERS[6]) + p.data[14:], snaplen=90) for p in session]
    long = [Packet(START, ethernet(datagram(9)), snaplen=1)]
    return {
        "pcap/tags.pcap": struct.pack("<IHHIIII", 0xA1B2_3C4D, 2, 4, 0, 0, 65535, 1)
        + b"".join(
            struct.pack("<IIII", START // 10**9, p.time - START, len(p.data), len(p.data)) + p.data for p in tags()
        ),
        "pcap/modified.pcap": modified_pcap(session),
        "pcap/version_2_1.pcap": old_pcap(session),
        "pcapng/link_types.pcapng": link_types(),
        "pcapng/no_ip.pcapng": no_ip(),
        "pcapng/blocks.pcapng": blocks("<", web(START)),
        "pcapng/blocks_big_endian.pcapng": blocks(">", web(START)),
        "pcapng/names_only.pcapng": section("<") + name_block("<", (WEB, "www.example.com")),
        "pcapng/new_version.pcapng": section("<")
        + interface("<")
        + enhanced("<", look[0], START // 1000)
        + block("<", 0x0A0D_0D0A, struct.pack("<IHHq", 0x1A2B_3C4D, 2, 0, -1)),
        "snoop/normal.snoop": snoop(session),
        "snoop/token_ring.snoop": snoop(rings, network=2),
        "snoop/cut_inside_packet.snoop": snoop(session)[:-9],
        "snoop/version_3.other": b"snoop\0\0\0" + struct.pack(">II", 3, 4),
        "snoop/hdlc.other": snoop(long, network=5),
        "snoop/btsnoop.other": b"btsnoop\0" + struct.pack(">II", 1, 1002),
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
