"""What is read together says what is read pick by pick; and most is read together."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build

ACK = 16
SERVER, CLIENT = "198.51.100.80", "192.0.2.10"

HOSTS = st.sampled_from(["a.example", "B.example:8080", "192.0.2.7", "[2001:db8::1]:80", "", "x y", ".", "a.example."])
TARGETS = st.sampled_from(["/", "/a?b=c", "http://p.example/x", "*", "a.example:443", "/\u00e9", "/a b", ""])
VERSIONS = st.sampled_from([" HTTP/1.1", " HTTP/1.0", "  HTTP/1.1", " HTTP/1.11", "", " HTTP/2"])
NAMES = [
    "Host",
    "host",
    "HOST ",
    "X-Host",
    "User-Agent",
    "Referer",
    "Referer ",
    "Content-Type",
    "content-length",
    "Upgrade",
    "Hos",
]
VALUES = ["text/html; charset=x", " a.example ", "", "curl/8", "\tx", "3", " " * 9, "h2c", "x" * 30, "\u00fc"]
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r\r\n"])


@st.composite
def fields(draw: st.DrawFn) -> str:
    """Draw the fields of a head, some of them odd."""
    lines = draw(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=5))
    return "".join(f"{name}:{value}{draw(ENDS)}" for name, value in lines)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Draw a request with its body, most of them ordinary."""
    method = draw(st.sampled_from(["GET", "GET", "GET", "POST", "HEAD", "CONNECT", "PROPFIND"]))
    size = draw(st.sampled_from([0, 0, 0, 7]))
    target = draw(st.one_of(st.just("/"), TARGETS))
    version = draw(st.one_of(st.just(" HTTP/1.1"), VERSIONS))
    host = draw(st.one_of(st.sampled_from(["a.example", "a.example", "b.example"]), HOSTS))
    head = f"{method} {target}{version}\r\nHost: {host}\r\n{draw(st.one_of(st.just(''), fields()))}"
    if size and draw(st.booleans()):
        return (head + "Transfer-Encoding: chunked\r\n\r\n7\r\n1234567\r\n0\r\n\r\n").encode()
    return (head + (f"Content-Length: {size}\r\n" if size else "") + "\r\n").encode() + bytes(size)


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    """Draw a reply with its body: of known length, in chunks, or as long as the connection lasts."""
    status = draw(
        st.sampled_from(["200 OK", "200 OK", "204 No", "304", "100 Continue", "101 Up", "404  x", "20", "2000"])
    )
    more = draw(st.one_of(st.just("Content-Type: Text/HTML; a=b\r\n"), fields()))
    way = draw(st.sampled_from(["length", "length", "chunks", "close"]))
    said = {"length": "Content-Length: 5\r\n", "chunks": "Transfer-Encoding: chunked\r\n", "close": ""}[way]
    body = {"length": b"hello", "chunks": b"2\r\nab\r\n0\r\n\r\n", "close": b"hello"}[way]
    return f"HTTP/1.{draw(st.sampled_from('01'))} {status}\r\n{more}{said}\r\n".encode() + body


@st.composite
def handshakes(draw: st.DrawFn) -> list[tuple[int, bytes]]:
    """Draw what both ends of TLS say first: hellos of one record, and a certificate that may be whole."""
    name = draw(st.sampled_from(["a.example", "b.example", ""]))
    extensions = struct.pack(">HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name.encode()
    extensions += struct.pack(">HH", 21, 40) + bytes(40)
    body = b"\3\3" + bytes(32) + b"\0\0\2\x13\1\1\0" + struct.pack(">H", len(extensions)) + extensions
    hello = record(22, b"\1" + len(body).to_bytes(3, "big") + body)
    der = bytes([draw(st.integers(0, 2))]) * draw(st.sampled_from([1, 60, 200]))
    listed = len(der).to_bytes(3, "big") + der
    shown = b"\x0b" + (len(listed) + 3).to_bytes(3, "big") + len(listed).to_bytes(3, "big") + listed
    first = b"\2" + (38).to_bytes(3, "big") + b"\3\3" + bytes(36)
    flight = draw(
        st.sampled_from([
            record(22, first + shown),
            record(22, first) + record(22, shown),
            record(22, first) + record(20, b"\1"),
            record(22, first + shown[:9]) + record(22, shown[9:]),
            record(22, first + shown)[: draw(st.integers(12, 150))],
        ])
    )  # fmt: skip
    return [(0, hello), (1, flight + draw(st.sampled_from([b"", record(23, bytes(9))])))]


def record(kind: int, data: bytes) -> bytes:
    """Return a TLS record."""
    return struct.pack(">BHH", kind, 0x0303, len(data)) + data


Piece = tuple[int, int, bytes]
"""A segment: its side, its place in what that side says, its bytes."""


def cut(said: list[tuple[int, bytes]], size: int) -> list[Piece]:
    """Return what is said in segments."""
    ends, pieces = [0, 0], []
    for side, data in said:
        pieces += [(side, ends[side] + at, data[at : at + size]) for at in range(0, len(data), size)]
        ends[side] += len(data)
    return pieces


@st.composite
def dialogues(draw: st.DrawFn) -> list[Piece]:
    """Draw what two ends say, in segments that may be cut anywhere, and now and then come twice, late or not at all."""
    http = st.lists(st.tuples(requests(), replies()), min_size=1, max_size=3)
    web = http.map(lambda pairs: [(side, part) for pair in pairs for side, part in enumerate(pair)])
    said = draw(st.one_of(handshakes(), web))
    if draw(st.integers(0, 5)) == 0:
        said = draw(st.permutations(said))
    pieces = cut(said, draw(st.sampled_from([1400, 1400, 90, 40])))
    trouble = draw(st.sampled_from(["none", "none", "none", "again", "missing", "late"]))
    place = draw(st.integers(0, len(pieces) - 1))
    piece = pieces[place]
    if trouble in {"missing", "late"}:
        del pieces[place]
    if trouble in {"again", "late"}:
        pieces.insert(draw(st.integers(0, len(pieces))), piece)
    return pieces


def capture(make: ModuleType, spoken: list[list[Piece]], *, mixed: bool, snaplen: int = 65_535) -> bytes:
    """Return a capture of connections, one after the other or all at once, its packets cut at a length."""
    packets = []
    for k, pieces in enumerate(spoken):
        talk = make.Talk(CLIENT, 50_000 + k, SERVER, 80 + k % 2 * 363, make.START + k * 1000).open()
        begins = list(talk.seq)
        for side, at, data in pieces:
            talk.seq[side] = begins[side] + at & 0xFFFF_FFFF
            talk.say(side, ACK, data)
        packets.extend(talk.close())
    kept = [make.Packet(packet.time, packet.data, snaplen=snaplen) for packet in packets]
    return bytes(make.pcap(sorted(kept, key=lambda packet: packet.time) if mixed else kept))


def nothing(picks: Any, *_: object) -> tuple[Any, dict[int, Any]]:  # noqa: ANN401 - picks
    """Read nothing together, so that every pick is read alone."""
    return np.zeros(len(picks.columns), dtype=bool), {}


def told(build: Build, data: bytes) -> Any:  # noqa: ANN401 - rows of tables
    """Return what a capture tells, and what could not be read."""
    tables, notes = build.read(data)
    return {name: sorted(map(str, rows)) for name, rows in tables.items()}, notes.get("unread_messages")


def told_both_ways(build: Build, data: bytes, block: int) -> tuple[Any, Any]:
    """Return what a capture tells, read together as each block of it comes; and read alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build.collecting, "ENOUGH_BYTES", 1)
        patch.setattr(build.pipeline, "Engine", partial(build.engine.Engine, block=block))
        together = told(build, data)
        patch.setattr(build.applications, "read_together", nothing)
        return together, told(build, data)


@pytest.mark.parametrize("block", [500, 1 << 20])
@settings(max_examples=150, deadline=None)
@given(
    spoken=st.lists(dialogues(), min_size=1, max_size=5),
    mixed=st.booleans(),
    snaplen=st.sampled_from([65_535, 65_535, 90, 96, 120, 150]),
)
def test_together_as_alone(
    plain: Build, make: ModuleType, block: int, spoken: list[list[Piece]], *, mixed: bool, snaplen: int
) -> None:
    """All tables are the same, however much is handed over at once, and however little was captured."""
    together, alone = told_both_ways(plain, capture(make, spoken, mixed=mixed, snaplen=snaplen), block)

    assert together == alone


@pytest.mark.parametrize("block", [200, 700, 1 << 20])
@pytest.mark.parametrize(
    "hosts",
    [["a.example"] * 3, ["a.example", "b.example"], ["a.example", "192.0.2.7"], ["A.EXAMPLE."] * 2],
)
def test_long_connections(plain: Build, make: ModuleType, block: int, hosts: list[str]) -> None:
    """A connection of many exchanges, with one host or more, says the same in one batch and in many."""
    said = [
        part
        for host in hosts
        for part in (
            (0, f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 50\r\n\r\n".encode() + bytes(50)),
            (1, b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 90\r\n\r\n" + bytes(90)),
        )
    ]
    together, alone = told_both_ways(plain, capture(make, [cut(said, 60), cut(said, 1400)], mixed=False), block)

    assert together == alone
    assert len(together[0]["requests"]) == 2 * len(hosts)


def test_a_request_behind_a_reply_that_lasts(plain: Build, make: ModuleType) -> None:
    """A reply whose body has no end, and the request behind it that has no reply, are both told."""
    get = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    said = [(0, get), (1, b"HTTP/1.0 200 OK\r\n\r\nhello"), (0, get)]
    together, alone = told_both_ways(plain, capture(make, [cut(said, 1400)], mixed=False), 1 << 20)

    assert together == alone
    assert len(together[0]["requests"]) == 2


@settings(max_examples=300, deadline=None)
@given(heads=st.lists(st.one_of(requests(), replies()), min_size=1, max_size=6))
def test_heads_in_columns(plain: Build, heads: list[bytes]) -> None:
    """What an ordinary head says is what it says alone; some are ordinary."""
    columns = plain.http_columns
    heads = [head.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for head in heads]
    data = np.frombuffer(b"".join(heads), dtype=np.uint8)
    found = columns.scan_heads(data, np.cumsum([0, *map(len, heads)]))
    texts = {name: columns.text_column(data, span, np.arange(len(heads))) for name, span in found.fields.items()}
    method, url = (columns.text_column(data, span, np.arange(len(heads))) for span in (found.method, found.url))
    for k, head in enumerate(heads):
        if not found.simple[k]:
            continue
        text = {name: column[k].as_py() for name, column in texts.items()}
        if found.reply[k]:
            reply = plain.http.parse_reply(head)
            assert (reply.status, reply.content_type) == (found.status[k], plain.http.media_type(text["content-type"]))
        else:
            request = plain.http.parse_request(head)
            assert (request.method, request.url) == (method[k].as_py(), url[k].as_py())
            assert (request.user_agent, request.referer) == (text["user-agent"], text["referer"])
            assert request.host == plain.http.asked_host(text["host"])
            assert not request.to_proxy
            reply = request
        assert reply.content_length == plain.http.number(text["content-length"])


@pytest.mark.parametrize(
    ("head", "simple"),
    [
        (b"GET / HTTP/1.1\r\nHost:a\r\n\r\n", True),
        (b"HTTP/1.0 404\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nReferer : x\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost:          a\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", False),
        (b"GET / HTTP/1.1\r\nX: \xc3\xbc\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", False),
        (b"GET http://a/ HTTP/1.1\r\n\r\n", False),
        (b"CONNECT /a HTTP/1.1\r\n\r\n", False),
        (b"GET / HTTP/1.10\r\n\r\n", False),
        (b"HTTP/1.1 101 Upgrade\r\n\r\n", False),
        (b"HTTP/1.1 2000\r\n\r\n", False),
        (b"", False),
    ],
)
def test_what_is_ordinary(plain: Build, head: bytes, *, simple: bool) -> None:
    """Heads that are read in columns, beside others that are not; the neighbours of an odd one are."""
    good = b"GET /x HTTP/1.1\r\nHost: b\r\n\r\n"
    data = np.frombuffer(good + head + good, dtype=np.uint8)
    found = plain.http_columns.scan_heads(data, np.cumsum([0, len(good), len(head), len(good)]))

    assert found.simple.tolist() == [True, simple, True]


def test_a_connection_goes_on_from_its_label(plain: Build) -> None:
    """Where a connection read together asks for another host later on, no single name is its own."""
    conversation = plain.conversations.Conversation(CLIENT, 50_000, SERVER, 80, 0)
    label = plain.labels.Label("http", "a.example")
    conversation.remember(label)
    assert conversation.label() == label
    conversation.targets.append("b.example")
    assert conversation.label() == plain.labels.Label("http")


def read_alone(build: Build, monkeypatch: pytest.MonkeyPatch, data: bytes) -> int:
    """Return how many picks of a capture are read one by one."""
    count = 0
    take = build.applications.Applications._take_one

    def counted(self: object, *arguments: object) -> None:
        nonlocal count
        count += 1
        take(self, *arguments)

    monkeypatch.setattr(build.applications.Applications, "_take_one", counted)
    build.read(data)
    return count


def test_what_is_ordinary_is_read_together(plain: Build, make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hellos and heads in several segments, certificates, many exchanges, bodies that last as long as connections."""
    get = b"GET /%d HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\n\r\n"
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    der = bytes(300)
    listed = len(der).to_bytes(3, "big") + der
    shown = b"\x0b" + (len(listed) + 3).to_bytes(3, "big") + len(listed).to_bytes(3, "big") + listed
    flight = record(22, b"\2" + (38).to_bytes(3, "big") + b"\3\3" + bytes(36)) + record(22, shown)
    hello = make.client_hello("a.example", 600)
    last = b"HTTP/1.1 200 OK\r\n\r\nabc"
    exchanges = [(side, part) for k in range(3) for side, part in ((0, get % k), (1, reply))]
    spoken = [
        cut([(0, hello), (1, flight)], 400),
        cut(exchanges, 1400),
        cut(exchanges[:2], 30),
        cut([(0, get), (1, last)], 40),
    ]
    data = capture(make, spoken, mixed=True)

    assert read_alone(plain, monkeypatch, data) == 0
    tables, _ = plain.read(data)
    assert [row["response_bytes"] for row in tables["requests"]] == [3] * 5
    assert {(row["how"], row["name"]) for row in tables["names"]} == {("http", "a.example"), ("sni", "a.example")}


def test_label_numbers_are_taken_back(plain: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of flows that closed make room; those of open flows stay."""
    monkeypatch.setattr(plain.labels, "_SPARE", 3)
    labels = plain.labels.Labels()
    for serial in range(20):
        labels[serial] = plain.labels.Label("ssl", f"{serial}.example")
    labels.forget(list(range(18)))
    codes, known = labels.of(np.array([19, 3, 18]))

    assert [known[code].name for code in codes] == ["19.example", None, "18.example"]
    assert len(labels._known) == 3
    assert (3 in labels, labels.get(18)) == (False, plain.labels.Label("ssl", "18.example"))
