"""ClientHellos read together say what each says alone."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from types import ModuleType

    from tests.packets.conftest import Build

GREASE = st.integers(0, 15).map(lambda k: 0x0A0A + 0x1010 * k)
CODES = st.lists(st.one_of(st.sampled_from([0x1301, 0x1302, 0xC02F, 29, 23, 0x0403, 0x0804]), GREASE), max_size=5)
ODD_NAMES = ["WWW.Example.", "a..b.", "\u65e5.example", " x", ".", "", "a\x00b"]
NAMES = st.one_of(st.sampled_from(["a.example", "b.example"]), st.sampled_from(ODD_NAMES))


def packed(codes: list[int]) -> bytes:
    """Return 16-bit codes."""
    return struct.pack(f">{len(codes)}H", *codes)


def sized(raw: bytes) -> bytes:
    """Return bytes behind their length in 16 bits."""
    return struct.pack(">H", len(raw)) + raw


@st.composite
def extensions(draw: st.DrawFn) -> bytes:
    """Draw the extensions of a hello, some of them broken."""
    name = draw(NAMES).encode()
    alpn = b"".join(bytes([len(p)]) + p for p in draw(st.lists(st.sampled_from([b"h2", b"http/1.1", b"\xff"]))))
    versions = packed(draw(CODES))
    known = [
        (0, sized(b"\0" + sized(name))),
        (10, sized(packed(draw(CODES)))),
        (11, draw(st.sampled_from([b"\1\0", b"\2\0\1", b""]))),
        (13, sized(packed(draw(CODES)))),
        (16, sized(alpn)),
        (43, bytes([len(versions)]) + versions),
        (51, b"key"),
        (0xFE0D, b""),
        (draw(GREASE), draw(st.sampled_from([b"", b"\0"]))),
    ]
    chosen = draw(st.lists(st.sampled_from(known), max_size=9))
    return b"".join(struct.pack(">HH", code, len(raw)) + raw for code, raw in chosen)


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Draw a hello in its record; now and then bytes are missing or changed."""
    session = draw(st.sampled_from([b"", bytes(32)]))
    ciphers, block = draw(CODES), draw(extensions())
    body = b"\3\3" + bytes(32) + bytes([len(session)]) + session + sized(packed(ciphers)) + b"\1\0"
    body += draw(st.sampled_from([b"", sized(block)])) if not block else sized(block)
    handshake = b"\1" + len(body).to_bytes(3, "big") + body
    record = bytearray(b"\x16\3\1" + sized(handshake))
    if draw(st.integers(0, 5)) == 0:
        record[draw(st.integers(9, len(record) - 1))] = draw(st.integers(0, 255))
    return bytes(record)[: draw(st.one_of(st.none(), st.integers(9, len(record))))]


def said(build: Build, make: ModuleType, hellos: list[bytes]) -> Any:  # noqa: ANN401 - rows of tables
    """Return what a capture of connections that begin so tells, and what could not be read."""
    packets = []
    for k, hello in enumerate(hellos):
        talk = make.Talk("192.0.2.10", 50_000 + k, "198.51.100.80", 443, make.START).open()
        talk.say(0, 16, hello)
        talk.say(1, 16, b"\x15\3\3\0\2\2\x28")
        packets.extend(talk.close())
    tables, notes = build.read(make.pcap(packets))
    told = {name: sorted(map(str, tables[name])) for name in ("names", "fingerprints", "flows")}
    return told, notes.get("unread_messages")


def none_simple(build: Build, data: Any, ends: Any) -> Any:  # noqa: ANN401 - arrays
    """Return that no hello is simple, so that each is read alone."""
    nothing = np.zeros(len(ends) - 1, dtype=np.int64)
    return build.client_hellos.Hellos(nothing == 1, nothing, nothing, nothing)


@pytest.mark.parametrize("kind", ["plain", "compiled"])
@settings(max_examples=60, deadline=None)
@given(hellos=st.lists(records(), min_size=1, max_size=12))
def test_together_as_alone(request: pytest.FixtureRequest, make: ModuleType, kind: str, hellos: list[bytes]) -> None:
    """Names, fingerprints and flows are the same, whatever a hello is like."""
    build: Build = request.getfixturevalue(kind)
    together = said(build, make, hellos)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build.flights, "scan_hellos", lambda data, ends: none_simple(build, data, ends))
        alone = said(build, make, hellos)

    assert together == alone


def test_most_hellos_are_read_together(plain: Build, make: ModuleType) -> None:
    """What is ordinary is simple, and random numbers keep none from being like another; another offer does."""
    one, two = make.client_hello("a.example", 600), make.client_hello("b.example", 600)
    three = make.client_hello("c.example", 600)
    at = 5 + 4 + 2 + 32 + 1 + three[43] + 2
    three = three[:at] + struct.pack(">H", 0x1399) + three[at + 2 :]
    data = np.frombuffer(one + two + three, dtype=np.uint8)
    found = plain.client_hellos.scan_hellos(data, np.cumsum([0, len(one), len(two), len(three)]))

    assert found.simple.tolist() == [True, True, True]
    assert [bytes(data[a:b]) for a, b in zip(found.names, found.name_ends, strict=True)] == [
        b"a.example", b"b.example", b"c.example",
    ]  # fmt: skip
    assert found.offers[0] == found.offers[1] != found.offers[2]


def test_a_hello_inside_a_tunnel_belongs_to_it(plain: Build, make: ModuleType) -> None:
    """Where a proxy was told where to connect to, the name is not the proxy's."""
    connect = b"CONNECT hidden.example:443 HTTP/1.1\r\n\r\n"
    talk = make.Talk("192.0.2.10", 50_000, "198.51.100.80", 8080, make.START).open()
    talk.say(0, 24, connect)
    talk.say(1, 24, b"HTTP/1.1 200 OK\r\n\r\n")
    talk.say(0, 24, make.client_hello("in.example", 600))
    tables, _ = plain.read(make.pcap(list(talk.close())))

    assert [(r["how"], r["name"], r["address"]) for r in tables["names"]] == [
        ("connect", "hidden.example", None),
        ("sni", "in.example", None),
    ]
