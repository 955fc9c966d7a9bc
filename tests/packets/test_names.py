"""Names and requests: DNS, TLS, HTTP, proxies and what is inside their tunnels."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build

ACK = 16
PROXY, CLIENT = "192.0.2.8", "192.0.2.10"


def name_rows(tables: dict[str, list[dict[str, Any]]]) -> list[tuple[object, ...]]:
    """Return names in order of their packets."""
    rows = sorted(tables["names"], key=lambda row: (row["record"], row["name"]))
    return [(row["how"], row["name"], row["address"], row["client"]) for row in rows]


def talk(make: ModuleType, *segments: tuple[int, bytes], dport: int = 80, dst: str = PROXY) -> list[Any]:
    """Return a whole connection with these payloads."""
    connection = make.Talk(CLIENT, 50_000, dst, dport, make.START).open()
    for side, payload in segments:
        connection.say(side, ACK, payload)
    return list(connection.close())


def test_all_names_of_the_sample(plain: Build, samples: dict[str, bytes]) -> None:
    """Each kind of name, with the packet it is in; behind a proxy no address is known."""
    tables, _ = plain.read(samples["normal.pcap"])

    assert name_rows(tables) == [
        ("dns", "www.example.com", "198.51.100.80", CLIENT),
        ("http", "www.example.com", "198.51.100.80", CLIENT),
        ("http", "www.example.com", "198.51.100.80", CLIENT),
        ("sni", "shop.example.net", "203.0.113.44", CLIENT),
        ("connect", "relay.example.org", None, CLIENT),
        ("sni", "relay.example.org", None, CLIENT),
        ("http", "www.example.com", None, CLIENT),
    ]
    assert sorted(row["record"] for row in tables["names"]) == [2, 6, 8, 17, 26, 28, 36]


def test_requests_of_the_sample(plain: Build, samples: dict[str, bytes]) -> None:
    """Requests with their replies; a header in two segments is read as one."""
    tables, _ = plain.read(samples["normal.pcap"])
    get, post, connect, absolute = sorted(tables["requests"], key=lambda row: row["record"])

    assert (get["method"], get["url"], get["status"], get["content_type"]) == ("GET", "/index.html", 200, "text/html")
    assert (get["user_agent"], get["response_bytes"], get["via"]) == ("Sample/1.0", 5, None)
    assert (post["status"], post["referer"]) == (204, "http://www.example.com/index.html")
    assert (post["request_bytes"], post["response_bytes"]) == (3, 0)
    assert (connect["name"], connect["dst"], connect["dst_port"], connect["via"]) == (
        "relay.example.org",
        None,
        443,
        PROXY,
    )
    assert (absolute["name"], absolute["dst_port"], absolute["via"]) == ("www.example.com", 80, PROXY)
    assert absolute["url"] == "http://www.example.com/a"


def test_proxies_are_seen_through_in_volumes_only(plain: Build, samples: dict[str, bytes]) -> None:
    """A flow keeps the addresses of its packets; its minutes are a conversation with the host behind the proxy."""
    tables, _ = plain.read(samples["normal.pcap"])
    flows = {f["src_port"]: f for f in tables["flows"]}
    volumes = [(v["dst"], v["via"], v["name"]) for v in tables["volumes"] if v["via"]]

    assert (flows[49154]["dst"], flows[49154]["via"], flows[49154]["name"]) == (PROXY, None, "relay.example.org")
    assert sorted(volumes, key=str) == [(None, PROXY, "relay.example.org"), (None, PROXY, "www.example.com")]


def test_connect_to_an_address(plain: Build, make: ModuleType) -> None:
    """A tunnel to an address literal has it in ``dst``, and its name from inside the tunnel."""
    hello = make.client_hello("inside.example.org")
    segments = [(0, b"CONNECT 203.0.113.9:443 HTTP/1.1\r\n\r\n"), (1, b"HTTP/1.1 200 OK\r\n\r\n"), (0, hello)]
    bare, _ = plain.read(make.pcap(talk(make, *segments[:2], dport=9999)))
    named, _ = plain.read(make.pcap(talk(make, *segments, dport=9999)))

    assert [(v["dst"], v["via"], v["name"]) for v in bare["volumes"]] == [("203.0.113.9", PROXY, None)]
    assert [(v["dst"], v["via"], v["name"]) for v in named["volumes"]] == [("203.0.113.9", PROXY, "inside.example.org")]
    assert name_rows(named) == [("sni", "inside.example.org", "203.0.113.9", CLIENT)]
    assert [(r["dst"], r["name"]) for r in named["requests"]] == [("203.0.113.9", "203.0.113.9")]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (b"GET http://b.example/ HTTP/1.1\r\n\r\n", (PROXY, None, None)),
        (b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", (PROXY, None, "a.example")),
        (b"GET http://a.example/2 HTTP/1.1\r\n\r\n", (None, PROXY, "a.example")),
    ],
)
def test_one_connection_for_several_hosts(
    plain: Build, make: ModuleType, second: bytes, expected: tuple[object, ...]
) -> None:
    """Only where all requests ask a proxy for one host is the proxy seen through."""
    tables, _ = plain.read(make.pcap(talk(make, (0, b"GET http://a.example/ HTTP/1.1\r\n\r\n"), (0, second))))

    assert [(v["dst"], v["via"], v["name"]) for v in tables["volumes"]] == [expected]
    assert len(tables["requests"]) == 2


def test_many_hosts_and_many_unanswered_requests_are_bounded(plain: Build, make: ModuleType) -> None:
    """Requests without replies are told too, the oldest first where too many wait."""
    segments = [(0, f"GET http://h{k}.example/ HTTP/1.1\r\n\r\n".encode()) for k in range(70)]
    tables, _ = plain.read(make.pcap(talk(make, *segments)))

    assert len(tables["requests"]) == 70
    assert {r["status"] for r in tables["requests"]} == {None}
    assert tables["flows"][0]["name"] is None


def test_interim_replies_answer_nothing(plain: Build, make: ModuleType) -> None:
    """100 Continue is followed by the reply proper; a reply without a request is passed over."""
    request = b"POST / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    replies = [
        (1, b"HTTP/1.1 100 Continue\r\n\r\n"),
        (1, b"HTTP/1.1 201 Created\r\n\r\n"),
        (1, b"HTTP/1.1 500 Error\r\n\r\n"),
    ]
    tables, _ = plain.read(make.pcap(talk(make, (0, request), *replies)))

    assert [r["status"] for r in tables["requests"]] == [201]


def test_what_is_sent_again_is_told_once(plain: Build, make: ModuleType) -> None:
    """A retransmitted request is no second request; neither is a repeated part of a head."""
    packets = talk(make, (0, b"GET / HTTP/1.1\r\nHost: a.ex"), (0, b"ample\r\n\r\n"), dst="198.51.100.80")
    again = [*packets[:5], packets[3], packets[4], *packets[5:]]
    early = [*packets[:4], packets[3], *packets[4:]]
    for order in (again, early):
        tables, _ = plain.read(make.pcap(order))
        assert [(r["url"], r["name"]) for r in tables["requests"]] == [("/", "a.example")]


def test_a_missing_segment_ends_the_head(plain: Build, make: ModuleType) -> None:
    """What was read of a head before a gap is told when its flow closes, or when the next message begins."""
    packets = talk(make, (0, b"GET /a HTTP/1.1\r\nHost: a.example\r\n"), (0, b"X: lost\r\n"), (0, b"Y: 1\r\n\r\n"))
    follow = talk(make, (0, b"GET /a HTTP/1.1\r\nHost: a.example\r\n"), (0, b"X" * 20), (0, b"GET /b HTTP/1.1\r\n\r\n"))
    tables, _ = plain.read(make.pcap([*packets[:4], *packets[5:]]))
    more, _ = plain.read(make.pcap([*follow[:4], *follow[5:]]))

    assert [(r["url"], r["name"]) for r in tables["requests"]] == [("/a", "a.example")]
    assert [(r["url"], r["name"]) for r in more["requests"]] == [("/a", "a.example"), ("/b", None)]


def test_heads_followed_at_once_are_bounded(plain: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads that never end do not fill the memory: the oldest is told as far as it goes."""
    monkeypatch.setattr(plain.applications, "MAX_FOLLOWED", 1)
    packets = []
    for port in (50_001, 50_002, 50_003):
        connection = make.Talk(CLIENT, port, "198.51.100.80", 80, make.START).open()
        connection.say(0, ACK, b"GET /%d HTTP/1.1\r\nHost: a.exam" % port)
        packets += connection.packets
    tables, _ = plain.read(make.pcap(packets))

    assert sorted(r["url"] for r in tables["requests"]) == ["/50001", "/50002", "/50003"]


def test_a_head_is_followed_up_to_a_bound(plain: Build, make: ModuleType) -> None:
    """A head of more than 16 KiB is told as far as it was followed."""
    long = [(0, b"GET /long HTTP/1.1\r\nHost: a.example\r\n")] + [(0, b"X: " + b"x" * 1400)] * 20
    tables, _ = plain.read(make.pcap(talk(make, *long)))

    assert [(r["url"], r["name"]) for r in tables["requests"]] == [("/long", "a.example")]


def test_messages_in_the_middle_of_other_protocols_are_not_believed(plain: Build, make: ModuleType) -> None:
    """Where a connection did not begin as HTTP, on a port of no HTTP, later text is its payload."""
    segments = [(0, b"binary"), (0, b"GET /no HTTP/1.1\r\nHost: a.example\r\n\r\n")]

    assert not plain.read(make.pcap(talk(make, *segments, dport=4444)))[0]["requests"]
    assert len(plain.read(make.pcap(talk(make, *segments, dport=8080)))[0]["requests"]) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"GET / \x00 HTTP/9\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n", b"POST \r\n\r\n", b"GET /cut",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x16\x03\x01\x00\x02\x01\x00",
    ],
)  # fmt: skip
def test_messages_that_cannot_be_read_are_counted(plain: Build, make: ModuleType, payload: bytes) -> None:
    """Nothing that only looks like a message stops the reading."""
    tables, notes = plain.read(make.pcap(talk(make, (0, payload))))

    assert not tables["requests"]
    assert not tables["names"]
    assert sum(notes["unread_messages"].values()) == 1
    assert tables["flows"][0]["service"] in {"http", "ssl"}


def test_a_hello_without_a_name(plain: Build, make: ModuleType) -> None:
    """TLS to an address, without a server name, is still TLS."""
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    hello = b"\x16\x03\x01" + struct.pack(">H", len(handshake)) + handshake
    tables, notes = plain.read(make.pcap(talk(make, (0, hello), dport=443)))

    assert [(f["service"], f["name"]) for f in tables["flows"]] == [("ssl", None)]
    assert "unread_messages" not in notes


def dns_reply(make: ModuleType, flags: int, *records: bytes, questions: int = 1, count: int | None = None) -> object:
    """Return a DNS message to the client."""
    question = make.name("www.Example.com") + struct.pack(">HH", 1, 1) if questions else b""
    head = struct.pack(">HHHHHH", 1, flags, questions, len(records) if count is None else count, 0, 0)
    datagram = make.udp(53, 40_000, head + question + b"".join(records))
    return make.Packet(make.START, make.ethernet(make.ipv4("192.0.2.53", CLIENT, 17, datagram)))


def test_dns(plain: Build, make: ModuleType) -> None:
    """Addresses of both kinds, a name that does not exist, aliases in a ring, half an answer."""
    a = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([203, 0, 113, 1])
    aaaa = b"\xc0\x0c" + struct.pack(">HHIH", 28, 1, 60, 16) + bytes.fromhex("20010db8") + bytes(11) + b"\x05"
    ring = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 60, 2) + b"\xc0\x0c"
    short = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 2) + b"\x01\x02"
    packets = [
        dns_reply(make, 0x8180, a, aaaa, ring, short),
        dns_reply(make, 0x8183),
        dns_reply(make, 0x8180, a, a[:9]),
        dns_reply(make, 0x8183, questions=0),
        dns_reply(make, 0x0100),
    ]
    tables, notes = plain.read(make.pcap(packets))
    rows = [(r["record"], r["name"], r["address"]) for r in tables["names"]]

    assert rows == [
        (1, "www.example.com", "203.0.113.1"),
        (1, "www.example.com", "2001:db8::5"),
        (2, "www.example.com", None),
        (3, "www.example.com", "203.0.113.1"),
    ]
    assert "unread_messages" not in notes


def test_dns_that_is_none_is_counted(plain: Build, make: ModuleType) -> None:
    """Other bytes on port 53 are counted, and leave the flow without a service."""
    packet = make.Packet(make.START, make.ethernet(make.ipv4(CLIENT, "192.0.2.53", 17, make.udp(5000, 53, b"tunnel"))))
    tables, notes = plain.read(make.pcap([packet]))

    assert notes["unread_messages"] == {"dns": 1}
    assert tables["flows"][0]["service"] is None


def test_mdns_answers_have_no_client(plain: Build, make: ModuleType) -> None:
    """An answer to everyone was asked for by no one in particular."""
    record = make.name("printer.local") + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 77])
    head = struct.pack(">HHHHHH", 0, 0x8400, 0, 1, 0, 0)
    packet = make.ipv4("192.0.2.77", "224.0.0.251", 17, make.udp(5353, 5353, head + record))
    tables, _ = plain.read(make.pcap([make.Packet(make.START, make.ethernet(packet))]))

    assert name_rows(tables) == [("dns", "printer.local", "192.0.2.77", None)]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET /x HTTP/1.1\r\nHost: A.Example.:8080\r\n\r\n", ("GET", "/x", "a.example", 8080, False)),
        (b"GET https://u:p@b.example:444/x?y HTTP/1.1\r\nHost: c.example\r\n\r\n",
         ("GET", "https://u:p@b.example:444/x?y", "b.example", 444, True)),
        (b"GET ftp://b.example/ HTTP/1.0\n\n", ("GET", "ftp://b.example/", "b.example", 21, True)),
        (b"CONNECT [2001:DB8::1]:443 HTTP/1.1\r\n\r\n", ("CONNECT", "[2001:DB8::1]:443", "2001:db8::1", 443, True)),
        (b"CONNECT d.example:99999 HTTP/1.1\r\n\r\n", ("CONNECT", "d.example:99999", "d.example", None, True)),
        (b"PATCH * HTTP/1.1\r\nno colon\r\n\r\n", ("PATCH", "*", None, None, False)),
        ("GET /\u65e5 HTTP/1.1\r\nHost: \u4f8b.example\r\n\r\n".encode(),
         ("GET", "/\u65e5", "xn--fsq.example", None, False)),
        (b"GET /\xff\r\n\r\n", ("GET", "/\\xff", None, None, False)),
    ],
)  # fmt: skip
def test_heads_of_requests(plain: Build, head: bytes, expected: tuple[object, ...]) -> None:
    """Forms of targets, hosts and broken lines."""
    request = plain.http.parse_request(head)

    assert (request.method, request.url, request.host, request.port, request.to_proxy) == expected


def test_numbers_in_heads(plain: Build) -> None:
    """A length is a number or unknown."""
    lengths = [b"12", b"-1", b"1e3", b"9" * 30, b"9" * 19, "\u0663".encode()]
    found = [
        plain.http.parse_reply(b"HTTP/1.1 200 OK\r\nContent-Length: " + n + b"\r\n\r\n").content_length for n in lengths
    ]

    assert found == [12, None, None, None, 2**63 - 1, None]
