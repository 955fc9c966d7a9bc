"""HTTP/1 framing: where messages begin and end on one connection, and how long their bodies are."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from tests.packets.conftest import Build

ACK = 16
SERVER, CLIENT = "198.51.100.80", "192.0.2.10"
GET = b"GET /%d HTTP/1.1\r\nHost: a.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def talk(make: ModuleType, *segments: tuple[int, bytes], dport: int = 80, dst: str = SERVER) -> list[Any]:
    """Return a whole connection with these payloads."""
    connection = make.Talk(CLIENT, 50_000, dst, dport, make.START).open()
    for side, payload in segments:
        connection.say(side, ACK, payload)
    return list(connection.close())


def requests(build: Build, make: ModuleType, packets: list[Any]) -> list[tuple[object, ...]]:
    """Return target, status and sizes of all requests, in the order of their packets."""
    rows = build.read(make.pcap(packets))[0]["requests"]
    found = [(r["record"], r["url"], r["status"], r["request_bytes"], r["response_bytes"]) for r in rows]
    return [row[1:] for row in sorted(found, key=lambda row: (row[0], str(row[1])))]


def cut(data: bytes, size: int) -> list[bytes]:
    """Cut bytes into pieces."""
    return [data[k : k + size] for k in range(0, len(data), size)]


def test_pipelined_requests_and_replies(plain: Build, make: ModuleType) -> None:
    """Several requests in one segment; replies that begin and end anywhere in segments."""
    asked = GET % 1 + b"POST /2 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello" + GET % 3
    answered = OK % 10 + b"x" * 10 + CHUNKED + b"4\r\nabcd\r\n3;x=y\r\nefg\r\n0\r\nA: b\r\n\r\n" + OK % 2 + b"ok"
    expected = [("/1", 200, 0, 10), ("/2", 200, 5, 7), ("/3", 200, 0, 2)]
    for size in (len(answered), 61, 17, 7):
        packets = talk(make, (0, asked), *((1, piece) for piece in cut(answered, size)))
        assert requests(plain, make, packets) == expected, size


@pytest.mark.parametrize("size", [6, 11, 23])
def test_heads_in_pieces(plain: Build, make: ModuleType, size: int) -> None:
    """A head may be cut anywhere behind its first six bytes."""
    pieces = [(0, piece) for piece in cut(GET % 1 + GET % 2, size)]
    replies = [(1, piece) for piece in cut(OK % 3 + b"abc" + OK % 0, size)]
    found = requests(plain, make, talk(make, *pieces, *replies))

    assert found[0][:2] == ("/1", 200)
    assert found[0][3] == 3


def test_replies_without_a_body(plain: Build, make: ModuleType) -> None:
    """HEAD, 204 and 304 have no body whatever their head announces; 100 answers nothing."""
    segments = [
        (0, b"HEAD /h HTTP/1.1\r\n\r\n" + GET % 1 + GET % 2 + b"POST /3 HTTP/1.1\r\nContent-Length: 1\r\n\r\n"),
        (1, OK % 1000 + b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
        (1, b"HTTP/1.1 100 Continue\r\n\r\n"),
        (0, b"x"),
        (1, OK % 2 + b"ok"),
    ]

    assert requests(plain, make, talk(make, *segments)) == [
        ("/1", 304, 0, 0), ("/2", 204, 0, 0), ("/3", 200, 1, 2), ("/h", 200, 0, 0),
    ]  # fmt: skip


def test_a_body_that_lasts_until_the_end(plain: Build, make: ModuleType) -> None:
    """Without a length the body is what came until the connection closed, and the reply ends with its last byte."""
    packets = talk(make, (0, GET % 1), (1, b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 500), (1, b"y" * 700))
    row = plain.read(make.pcap(packets))[0]["requests"][0]

    assert row["response_bytes"] == 1200
    assert row["end"].timestamp() == pytest.approx(packets[5].time / 1e9)


def test_a_body_that_was_cut_off(plain: Build, make: ModuleType) -> None:
    """Where the connection ended before the body did, what came of it is counted, not what was announced."""
    packets = talk(make, (0, GET % 1), (1, OK % 5000 + b"x" * 100), (1, b"y" * 400))

    assert requests(plain, make, packets) == [("/1", 200, 0, 500)]


def test_order_does_not_matter_inside_a_body(plain: Build, make: ModuleType) -> None:
    """Segments of a body may come late, twice or not at all; the next reply is found at its place."""
    pieces = [(1, OK % 900 + b"x" * 100), *((1, b"y" * 200) for _ in range(4)), (1, OK % 3 + b"abc")]
    packets = talk(make, (0, GET % 1 + GET % 2), *pieces)
    swapped = [*packets[:5], packets[6], packets[5], packets[6], *packets[7:]]
    lost = [*packets[:6], *packets[7:]]
    for order in (packets, swapped, lost):
        assert requests(plain, make, order) == [("/1", 200, 0, 900), ("/2", 200, 0, 3)]


def test_a_gap_between_messages(plain: Build, make: ModuleType) -> None:
    """After a lost head the next segment that begins as a message does is believed."""
    packets = talk(make, (0, GET % 1 + GET % 2), (1, OK % 1 + b"a"), (1, OK % 4), (1, b"abcd"), (0, GET % 3))
    found = requests(plain, make, [*packets[:5], *packets[6:]])

    assert found == [("/1", 200, 0, 1), ("/2", None, 0, None), ("/3", None, 0, None)]


def test_a_head_whose_pieces_come_in_the_wrong_order(plain: Build, make: ModuleType) -> None:
    """The pieces of a first request are put in order; of a later one too."""
    first = talk(make, (0, b"GET /1 HTTP/1.1\r\nHo"), (0, b"st: a.example\r\n\r\n"), (1, OK % 1 + b"a"))
    later = talk(make, (0, GET % 1), (0, b"GET /2 HTTP/1.1\r\nHo"), (0, b"st: a.example\r\n\r\n"))
    rows = plain.read(make.pcap([*first[:3], first[4], first[3], *first[5:]]))[0]["requests"]
    more = plain.read(make.pcap([*later[:4], later[5], later[4], *later[6:]]))[0]["requests"]

    assert [(r["url"], r["name"], r["status"]) for r in rows] == [("/1", "a.example", 200)]
    assert sorted((r["url"], r["name"]) for r in more) == [("/1", "a.example"), ("/2", "a.example")]


@pytest.mark.parametrize(
    ("reply", "size"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nabc", None),
        (CHUNKED + b"zz\r\nabc", None),
        (CHUNKED + b"3\r\nabcdefg", None),
        (CHUNKED + b"ffffffffffffffffffffffff\r\nabc", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 9\r\n\r\n2\r\nab\r\n0\r\n\r\n", 2),
        (b"HTTP/1.1 200 OK\nContent-Length : 3\n\nabc", 3),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 7\r\n\r\nabc", 3),
    ],
)
def test_lengths_that_cannot_be_believed(plain: Build, make: ModuleType, reply: bytes, size: int | None) -> None:
    """A body of unknown length has no size, and stops nothing."""
    segments = [(0, GET % 1), (1, reply), (0, GET % 2), (1, OK % 1 + b"x")]
    found = requests(plain, make, talk(make, *segments))

    assert found[0] == ("/1", 200, 0, size)
    assert found[1] == ("/2", 200, 0, 1)


def test_what_is_inside_a_connect(plain: Build, make: ModuleType) -> None:
    """Plain HTTP inside a tunnel goes through the proxy to the tunnel's target."""
    segments = [
        (0, b"CONNECT inner.example:8080 HTTP/1.1\r\n\r\n"),
        (1, b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 4\r\n\r\nauth"),
        (0, b"CONNECT inner.example:8080 HTTP/1.1\r\nProxy-Authorization: Basic eA==\r\n\r\n"),
        (1, b"HTTP/1.1 200 Connection established\r\n\r\n"),
        (0, b"POST /up HTTP/1.1\r\nHost: inner.example\r\nContent-Length: 3000\r\n\r\n" + b"x" * 1000),
        (0, b"x" * 2000),
        (1, OK % 2 + b"ok"),
    ]
    tables, _ = plain.read(make.pcap(talk(make, *segments, dport=3128)))
    rows = sorted(tables["requests"], key=lambda row: row["record"])

    assert [(r["method"], r["status"], r["via"], r["dst_port"], r["name"]) for r in rows] == [
        ("CONNECT", 407, SERVER, 8080, "inner.example"),
        ("CONNECT", 200, SERVER, 8080, "inner.example"),
        ("POST", 200, SERVER, 8080, "inner.example"),
    ]
    assert (rows[2]["request_bytes"], rows[2]["response_bytes"], rows[2]["dst"]) == (3000, 2, None)
    assert [(n["how"], n["name"], n["address"]) for n in tables["names"]][-1] == ("http", "inner.example", None)
    assert [(v["via"], v["name"]) for v in tables["volumes"]] == [(SERVER, "inner.example")]


def test_http_2(plain: Build, make: ModuleType) -> None:
    """HTTP/2 is recognised by its preface and by an upgrade; nothing in it is taken for HTTP/1."""
    preface = [(0, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), (1, b"GET / HTTP/1.1\r\n\r\n")]
    upgrade = [
        (0, b"GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c\r\n\r\n"),
        (1, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"),
    ]
    known, _ = plain.read(make.pcap(talk(make, *preface, dport=9000)))
    changed, _ = plain.read(make.pcap(talk(make, *upgrade, dport=9000)))

    assert ([f["service"] for f in known["flows"]], known["requests"]) == (["http2"], [])
    assert [(f["service"], f["name"]) for f in changed["flows"]] == [("http2", "a.example")]
    assert [(r["status"], r["response_bytes"]) for r in changed["requests"]] == [(101, 0)]


def test_packets_that_were_cut(plain: Build, make: ModuleType) -> None:
    """Bodies are followed by the lengths of packets on the wire, not by what was captured of them."""
    packets = talk(make, (0, GET % 1), (1, OK % 1200 + b"x" * 700), (1, b"y" * 500), (0, GET % 2), (1, OK % 0))
    short = [make.Packet(p.time, p.data, snaplen=140) for p in packets]

    assert requests(plain, make, short) == [("/1", 200, 0, 1200), ("/2", 200, 0, 0)]


def test_the_ring_of_streams_comes_round(plain: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that lost its row to a younger one is still looked at, segment by segment."""
    monkeypatch.setattr(plain.http_framing, "STREAM_ROWS", 1)
    first, second = (make.Talk(CLIENT, port, SERVER, 80, make.START).open() for port in (50_001, 50_002))
    for connection in (first, second, first, second):
        connection.say(0, ACK, GET % 1)
        connection.say(1, ACK, OK % 1 + b"x")
    packets = sorted([*first.packets, *second.packets], key=lambda p: p.time)
    rows = plain.read(make.pcap(packets))[0]["requests"]

    assert [r["status"] for r in rows] == [200] * 4


def test_bodies_are_not_handed_out(plain: Build, make: ModuleType) -> None:
    """What Python sees of a download is its head."""
    packets = talk(make, (0, GET % 1), (1, OK % 140_000), *((1, b"GET " + b"y" * 1396) for _ in range(100)))
    engine = plain.engine.Engine(io.BytesIO(make.pcap(packets)))
    engine.open()
    (picks,) = [event for event in engine.events() if hasattr(event, "data")]

    assert picks.columns[:, plain.layout.P_LENGTH].tolist() == [len(GET % 1), len(OK % 140_000), 0]
    assert requests(plain, make, packets) == [("/1", 200, 0, 140_000)]


@pytest.mark.parametrize("name", ["http.pcapng", "mpeg-dash.pcap", "http-lines-split.pcap", "websocket.pcap"])
def test_compiled_and_plain_frame_alike(plain: Build, compiled: Build, corpus: Path, name: str) -> None:
    """The compiled loops and plain Python find the same messages."""
    data = (corpus / "flows-by-protocol" / name).read_bytes()

    for table in ("requests", "names", "fingerprints"):
        assert compiled.read(data)[0][table] == plain.read(data)[0][table]
