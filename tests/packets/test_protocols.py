"""TLS, QUIC, SOCKS, SSH, certificates and DNS over TCP: by published vectors, by hand, and against real captures."""

from __future__ import annotations

import csv
import hashlib
import json
import struct
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from forensics.addresses import address_text, host_name

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from tests.packets.conftest import Build

ACK = 16
SERVER, CLIENT = "198.51.100.80", "192.0.2.10"


def talk(make: ModuleType, *segments: tuple[int, bytes], dport: int = 443, dst: str = SERVER) -> list[Any]:
    """Return a whole connection with these payloads."""
    connection = make.Talk(CLIENT, 50_000, dst, dport, make.START).open()
    for side, payload in segments:
        connection.say(side, ACK, payload)
    return list(connection.close())


def names(tables: dict[str, list[dict[str, Any]]]) -> list[tuple[object, ...]]:
    """Return names in order."""
    return [(row["how"], row["name"], row["address"]) for row in tables["names"]]


def fingerprints(tables: dict[str, list[dict[str, Any]]]) -> list[tuple[object, ...]]:
    """Return fingerprints in order."""
    columns = ("address", "peer", "peer_port", "kind", "fingerprint")
    return [tuple(row[name] for name in columns) for row in tables["fingerprints"]]


# -- TLS -----------------------------------------------------------------------------------------------------------


def test_a_hello_over_several_segments(plain: Build, make: ModuleType) -> None:
    """A ClientHello is read whole from segments in any order, sent twice or overlapping."""
    hello = make.client_hello("wide.example.org", 3000)
    packets = talk(make, *((0, hello[k : k + 900]) for k in range(0, len(hello), 900)), (1, b"\x15\3\3\0\2\2\x28"))
    a, b, c, d = packets[3:7]
    for order in ([a, b, c, d], [b, a, c, d], [d, c, b, a], [a, c, a, b, b, d], [c, a, d, b]):
        tables, notes = plain.read(make.pcap([*packets[:3], *order, *packets[7:]]))
        assert names(tables) == [("sni", "wide.example.org", SERVER)]
        assert "unread_messages" not in notes
        assert [f["service"] for f in tables["flows"]] == ["ssl"]


def test_a_hello_in_several_records(plain: Build, make: ModuleType) -> None:
    """A handshake message may be spread over records."""
    inside = make.client_hello("split.example.org", 200)[5:]
    records = b"".join(
        b"\x16\3\1" + struct.pack(">H", len(inside[k : k + 100])) + inside[k : k + 100]
        for k in range(0, len(inside), 100)
    )
    tables, _ = plain.read(make.pcap(talk(make, (0, records[:150]), (0, records[150:]))))

    assert names(tables) == [("sni", "split.example.org", SERVER)]


def test_tls_begun_after_a_few_lines(plain: Build, make: ModuleType) -> None:
    """Mail and directory servers begin TLS in the middle of the connection."""
    lines = [
        (1, b"220 mail\r\n"),
        (0, b"EHLO x\r\n"),
        (1, b"250 STARTTLS\r\n"),
        (0, b"STARTTLS\r\n"),
        (1, b"220 go\r\n"),
    ]
    tables, _ = plain.read(make.pcap(talk(make, *lines, (0, make.client_hello("mail.example.org")), dport=25)))

    assert names(tables) == [("sni", "mail.example.org", SERVER)]


def test_fingerprints_of_a_hello(plain: Build, make: ModuleType) -> None:
    """JA3 is the MD5 of its published text; JA4 has the documented parts; GREASE counts in neither."""
    extensions = b"".join(
        struct.pack(">HH", code, len(raw)) + raw
        for code, raw in (
            (0x0A0A, b""), (0, b"\0\x10\0\0\x0da.example.org"), (16, b"\0\x0c\x02h2\x08http/1.1"),
            (10, b"\0\4\x1a\x1a\0\x1d"), (11, b"\1\0"), (13, b"\0\4\4\3\x08\4"), (43, b"\5\x2a\x2a\3\4\3\3"[:6]),
        )
    )  # fmt: skip
    ciphers = b"\x0a\x0a\x13\x02\x13\x01"
    body = b"\3\3" + bytes(32) + b"\0" + struct.pack(">H", len(ciphers)) + ciphers + b"\1\0"
    body += struct.pack(">H", len(extensions)) + extensions
    hello = plain.tls.parse_client_hello(b"\1" + len(body).to_bytes(3, "big") + body)
    text = b"771,4866-4865,0-16-10-11-13-43,29,0"
    a = plain.tls._short_hash("1301,1302")
    b = plain.tls._short_hash("000a,000b,000d,002b_0403,0804")

    assert hello.ja3 == hashlib.md5(text, usedforsecurity=False).hexdigest()
    assert hello.ja4() == f"t13d0206h2_{a}_{b}"
    assert hello.ja4("q").startswith("q13d")
    assert hello.protocols == "h2,http/1.1"


def test_hellos_of_little(plain: Build) -> None:
    """A hello without extensions has hashes of nothing; a cut one is read as far as it goes, or not at all."""
    body = b"\3\1" + bytes(32) + b"\0" + b"\0\2\0\x2f" + b"\1\0"
    whole = b"\1" + len(body).to_bytes(3, "big") + body
    parse = plain.tls.parse_client_hello

    assert parse(whole).ja4() == f"t10i010000_{plain.tls._short_hash('002f')}_000000000000"
    assert all(parse(whole[:k]) is None for k in range(43))
    assert parse(b"\2" + whole[1:]) is None


def test_every_cut_and_flip_of_a_hello_is_contained(plain: Build, make: ModuleType) -> None:
    """No byte of a hello can raise."""
    whole = make.client_hello("a.example.org", 8)[5:]
    for k in range(len(whole)):
        for value in (0, 1, 0x7F, 0xFF):
            hello = plain.tls.parse_client_hello(whole[:k] + bytes([value]) + whole[k + 1 :])
            assert hello is None or (hello.ja3 and hello.ja4() and hello.protocols is not None)


def test_ja4_and_names_of_real_captures(compiled: Build, corpus: Path) -> None:
    """Server names and JA4 of TLS over TCP equal what FoxIO's own tool found."""
    for truth in sorted((corpus / "captures" / "tls-fingerprints").glob("*.json")):
        capture = truth.with_suffix("")
        if not capture.exists():
            continue
        streams = {
            (s["src"], int(s["srcport"]), s["dst"]): (s["JA4.1"], s.get("domain") or None)
            for s in reversed(json.loads(truth.read_text(encoding="utf-8")))
            if "JA4.1" in s
        }
        tables, _ = compiled.read(capture.read_bytes())
        ja4 = {r["record"]: r["fingerprint"] for r in tables["fingerprints"] if r["kind"] == "ja4"}
        sni = {r["record"]: r["name"] for r in tables["names"] if r["how"] == "sni"}
        found = Counter((value, sni.get(record)) for record, value in ja4.items() if value.startswith("t"))
        proxied = Counter({key: n for key, n in found.items() if truth.name.startswith("https-connect")})
        assert found - proxied == Counter(streams.values()), truth.name


# -- certificates --------------------------------------------------------------------------------------------------


def der(tag: int, *parts: bytes) -> bytes:
    """Return an element of DER."""
    content = b"".join(parts)
    size = bytes([len(content)]) if len(content) < 128 else b"\x82" + struct.pack(">H", len(content))
    return bytes([tag]) + size + content


def certificate(subject: bytes, *alternative: bytes) -> bytes:
    """Return what holds the place of a certificate: only its names are true."""
    listed = der(0x30, *(der(0x82, name) for name in alternative))
    extension = der(0x30, der(6, b"\x55\x1d\x11"), der(1, b"\xff"), der(4, listed))
    extensions = der(0xA3, der(0x30, extension)) if alternative else b""
    fields = (der(0xA0, der(2, b"\2")), der(2, b"\1"), *(der(0x30),) * 3, subject, der(0x30))
    return der(0x30, der(0x30, *fields, extensions), der(0x30), der(3, b"\0"))


def attribute(oid: bytes, text: bytes, tag: int = 12) -> bytes:
    """Return one part of a distinguished name."""
    return der(0x31, der(0x30, der(6, oid), der(tag, text)))


SUBJECT = der(
    0x30,
    attribute(b"\x55\x04\x06", b"JP"),
    attribute(b"\x55\x04\x0a", "Examples, \u65e5\u672c".encode("utf-16-be"), 0x1E),
    attribute(b"\x55\x04\x03", b"a.example.org"),
    attribute(b"\x2a\x03", b"unknown"),
)


def server_flight(cert: bytes) -> bytes:
    """Return a ServerHello and a Certificate in records of their own, and what ends the clear part."""
    hello = b"\2\0\0\x26\3\3" + bytes(36)
    chain = len(cert).to_bytes(3, "big") + cert
    message = b"\x0b" + (len(chain) + 3).to_bytes(3, "big") + len(chain).to_bytes(3, "big") + chain
    records = (b"\x16\3\3" + struct.pack(">H", len(m)) + m for m in (hello, message))
    return b"".join(records) + b"\x14\3\3\0\1\1"


def test_certificates(plain: Build, make: ModuleType) -> None:
    """Subject and names of the server's certificate are told, once per server."""
    flight = server_flight(certificate(SUBJECT, b"a.example.org", b"*.Example.org", b"a.example.org"))
    segments = [(0, make.client_hello("a.example.org")), *((1, flight[k : k + 60]) for k in range(0, len(flight), 60))]
    again = make.Talk(CLIENT, 50_001, SERVER, 443, make.START + 10**9).open()
    for segment in segments:
        again.say(segment[0], ACK, segment[1])
    tables, notes = plain.read(make.pcap([*talk(make, *segments), *again.packets]))

    assert [row for row in names(tables) if row[0] == "certificate"] == [
        ("certificate", "a.example.org", SERVER), ("certificate", "*.example.org", SERVER),
    ]  # fmt: skip
    assert [row for row in fingerprints(tables) if row[3] == "certificate"] == [
        (SERVER, CLIENT, None, "certificate", "CN=a.example.org,O=Examples\\, \u65e5\u672c,C=JP"),
    ]
    assert "unread_messages" not in notes


def test_names_of_certificates(plain: Build) -> None:
    """Without alternative names a common name that looks like a host counts; hostile bytes give nothing."""
    parse = plain.certificates.certificate_names
    whole = certificate(SUBJECT, b"a.example.org")

    assert parse(certificate(SUBJECT)).names == ("a.example.org",)
    assert parse(certificate(der(0x30, attribute(b"\x55\x04\x03", b"My Server")))).names == ()
    assert len(parse(certificate(SUBJECT, *(b"h%d.example" % k for k in range(99)))).names) == 32
    assert all(parse(whole[:k]) is None for k in range(0, len(whole), 3))
    assert parse(b"\x30\x85" + bytes(9)) is None
    for k in range(len(whole)):
        parse(whole[:k] + b"\xff" + whole[k + 1 :])


def test_a_certificate_that_is_none_is_counted(plain: Build, make: ModuleType) -> None:
    """Other bytes in its place are counted."""
    tables, notes = plain.read(make.pcap(talk(make, (1, server_flight(b"no DER at all")))))

    assert notes["unread_messages"] == {"certificate": 1}
    assert [f["service"] for f in tables["flows"]] == ["ssl"]


# -- QUIC ----------------------------------------------------------------------------------------------------------


def test_aes(plain: Build, compiled: Build) -> None:
    """FIPS 197, appendix B; SP 800-38A, appendix F.5.1 (counter mode)."""
    for build in (plain, compiled):
        keys = build.aes.expand_key(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"))
        assert build.aes.block(keys, bytes.fromhex("3243f6a8885a308d313198a2e0370734")).hex() == (
            "3925841d02dc09fbdc118597196a0b32"
        )
        counter = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
        text = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
        found = build.aes.counter_mode(keys, counter, text)
        assert found.hex() == "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"


def test_keys_of_the_rfcs(plain: Build) -> None:
    """RFC 9001, appendix A.1, and RFC 9369, appendix A.1: the IV that follows from a connection ID."""
    connection_id = bytes.fromhex("8394c8f03e515708")

    assert plain.quic._client_keys(1, connection_id).iv.hex() == "fa044b2f42a3fd3b46fb255c"
    assert plain.quic._client_keys(0x6B3343CF, connection_id).iv.hex() == "91f73e2351d8fa91660e909f"


def initial(build: Build, frames: bytes, number: int, version: int = 1, first: bytes = b"12345678") -> bytes:
    """Return a protected Initial packet of a client, its tag all zeros."""
    keys = build.quic._client_keys(version, first)
    plain_bytes = frames.ljust(1200, b"\0")
    head = bytearray([0xC0 | (0x10 if version != 1 else 0)]) + version.to_bytes(4, "big")
    head += bytes([len(first)]) + first + b"\0\0" + (0x4000 | 1 + len(plain_bytes) + 16).to_bytes(2, "big")
    nonce = (int.from_bytes(keys.iv, "big") ^ number).to_bytes(12, "big")
    body = build.aes.counter_mode(keys.data, nonce + b"\0\0\0\2", plain_bytes) + bytes(16)
    mask = build.aes.block(keys.header, body[3:19])
    head[0] ^= mask[0] & 0x0F
    protected: bytes = bytes(head) + bytes([number ^ mask[1]]) + body
    return protected


def crypto(offset: int, data: bytes) -> bytes:
    """Return a CRYPTO frame."""
    return b"\6" + struct.pack(">HH", 0x4000 | offset, 0x4000 | len(data)) + data


def datagrams(make: ModuleType, *payloads: bytes, port: int = 8443) -> bytes:
    """Return a capture of a client's datagrams."""
    packets = (make.ipv4(CLIENT, SERVER, 17, make.udp(50_000, port, payload)) for payload in payloads)
    return bytes(make.pcap([make.Packet(make.START + k, make.ethernet(p)) for k, p in enumerate(packets)]))


@pytest.mark.parametrize("version", [1, 0x6B3343CF])
def test_quic(plain: Build, make: ModuleType, version: int) -> None:
    """A ClientHello over several Initial packets and frames, in any order, on any port."""
    hello = make.client_hello("quic.example.org", 1500)[5:]
    pieces = [crypto(k, hello[k : k + 400]) for k in range(0, len(hello), 400)]
    first, second = pieces[3] + b"\1" + pieces[0], b"\2\5\0\0\0" + pieces[2] + b"\0" + pieces[1]
    sent = [initial(plain, frames, number, version) for number, frames in enumerate((first, second))]
    for order in (sent, sent[::-1], [sent[0], sent[0], sent[1]]):
        tables, notes = plain.read(datagrams(make, *order))
        assert names(tables) == [("sni", "quic.example.org", SERVER)]
        assert [row[3] for row in fingerprints(tables)] == ["ja3", "ja4"]
        assert str(fingerprints(tables)[1][4]).startswith("q")
        assert [(f["service"], f["name"]) for f in tables["flows"]] == [("quic", "quic.example.org")]
        assert "unread_messages" not in notes


def test_quic_after_a_retry(plain: Build, make: ModuleType) -> None:
    """A Retry changes the connection ID, and the keys with it."""
    hello = make.client_hello("retry.example.org")[5:]
    sent = [initial(plain, crypto(0, hello[:20]), 0), initial(plain, crypto(0, hello), 1, first=b"other-id")]

    assert names(plain.read(datagrams(make, *sent))[0]) == [("sni", "retry.example.org", SERVER)]


def test_datagrams_that_only_look_like_quic(plain: Build, make: ModuleType) -> None:
    """Unknown versions, broken lengths and random bytes give no name, no service and no error."""
    good = initial(plain, crypto(0, make.client_hello("a.example.org")[5:]), 0)
    bad = [
        good[:40].ljust(1300, b"\xff"),
        b"\xc0\0\0\0\1\xff".ljust(1300, b"\0"),
        b"\xc0\xff\0\0\5\0".ljust(1300, b"\0"),
    ]
    bad += [b"\xc0\0\0\0\1\0\0".ljust(1300, bytes([k])) for k in (1, 0x80, 0xC0)]
    for payload in bad:
        tables, _ = plain.read(datagrams(make, payload))
        assert not tables["names"]
        assert [f["service"] for f in tables["flows"]] == [None]


def test_frames(plain: Build) -> None:
    """Frames that an Initial packet may not have make it none."""
    frames = plain.quic.initial_frames

    assert frames(b"\0\1" + crypto(5, b"abc") + b"\x1c\0\0\0") == [(5, b"abc")]
    assert frames(b"\3\1\0\1\0\0\0\0\0\0" + crypto(0, b"x")) == [(0, b"x")]
    assert frames(b"\x08\0") is None
    assert frames(b"\6\x40") is None
    assert frames(b"\2\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0") is None


# -- SOCKS and SSH -------------------------------------------------------------------------------------------------

NAME = b"\5\1\0\3\x0dinner.example\x1f\x90"
GRANTED5, GRANTED4 = b"\5\0\0\1\0\0\0\0\0\0", b"\0\x5a\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("dialogue", "dst", "name"),
    [
        ([(0, b"\5\1\0"), (1, b"\5\0"), (0, NAME), (1, GRANTED5)], None, "inner.example"),
        ([(0, b"\5\2\0\2"), (1, b"\5\2"), (0, b"\1\2me\3pwd"), (1, b"\1\0"), (0, NAME), (1, GRANTED5)],
         None, "inner.example"),
        ([(0, b"\5\1\0"), (1, b"\5\0"), (0, b"\5\1\0\1\xcb\0\x71\x09\x1f\x90"), (1, GRANTED5)],
         "203.0.113.9", "203.0.113.9"),
        ([(0, b"\5\1\0"), (1, b"\5\0"), (0, b"\5\1\0\4\x20\1\x0d\xb8" + bytes(11) + b"\5\x1f\x90"), (1, GRANTED5)],
         "2001:db8::5", "2001:db8::5"),
        ([(0, b"\4\1\x1f\x90\xcb\0\x71\x09me\0"), (1, GRANTED4)], "203.0.113.9", "203.0.113.9"),
        ([(0, b"\4\1\x1f\x90\0\0\0\1me\0Inner.example\0"), (1, GRANTED4)], None, "inner.example"),
    ],
)  # fmt: skip
def test_socks(plain: Build, make: ModuleType, dialogue: list[tuple[int, bytes]], dst: str | None, name: str) -> None:
    """The target of SOCKS 4, 4a and 5, and the TLS and HTTP behind it."""
    hello = make.client_hello("tls.example.org")
    get = b"GET /x HTTP/1.1\r\nHost: web.example\r\n\r\n"
    for inside, how, asked in (((0, hello), "sni", "tls.example.org"), ((0, get), "http", "web.example")):
        tables, _ = plain.read(make.pcap(talk(make, *dialogue, inside, dport=1080)))
        row = tables["requests"][0]
        assert (row["method"], row["name"], row["dst"], row["dst_port"], row["via"]) == (
            "CONNECT",
            name,
            dst,
            8080,
            SERVER,
        )
        assert names(tables) == [*([] if dst else [("socks", name, None)]), (how, asked, dst)]
        label = asked if dst else name
        assert [(f["service"], f["name"]) for f in tables["flows"]] == [("socks", label)]
        assert {(v["dst"], v["via"], v["name"]) for v in tables["volumes"]} == {(dst, SERVER, label)}
        assert [(r["url"], r["via"], r["dst_port"]) for r in tables["requests"][1:]] == (
            [("/x", SERVER, 8080)] if how == "http" else []
        )


@pytest.mark.parametrize(
    "dialogue",
    [
        [(0, b"\5\1\0"), (1, b"HTTP")],
        [(0, b"\5\1\0"), (1, b"\5\xff")],
        [(0, b"\5\1\0"), (1, b"\5\0"), (0, b"\5\2" + NAME[2:])],
        [(0, b"\5\1\0"), (1, b"\5\0"), (0, b"\5\1\0\7" + bytes(20))],
        [(0, b"\5\1\0"), (1, b"\5\2"), (0, b"\1\xff")],
        [(0, b"\4\1\x1f\x90\xcb\0\x71\x09\0"), (1, b"\7")],
        [(0, b"\4\1\x1f\x90\0\0\0\1me\0"), (1, GRANTED4)],
    ],
)
def test_what_only_looks_like_socks(plain: Build, make: ModuleType, dialogue: list[tuple[int, bytes]]) -> None:
    """Without a target that both ends speak of there is no SOCKS."""
    tables, notes = plain.read(make.pcap(talk(make, *dialogue, *[(0, b"more")] * 20, dport=1080)))

    assert (tables["requests"], tables["names"], tables["flows"][0]["service"]) == ([], [], None)
    assert "unread_messages" not in notes


def test_ssh(plain: Build, make: ModuleType) -> None:
    """Both ends name their version, whoever speaks first, in one segment or more."""
    segments = [(1, b"SSH-2.0-OpenSSH_6.6\r\n"), (0, b"SSH-2.0-"), (0, b"PuTTY\r\nmore"), (1, b"\0\0\1")]
    tables, _ = plain.read(make.pcap(talk(make, *segments, dport=2222)))

    assert fingerprints(tables) == [
        (SERVER, CLIENT, None, "ssh", "SSH-2.0-OpenSSH_6.6"),
        (CLIENT, SERVER, 2222, "ssh", "SSH-2.0-PuTTY"),
    ]
    assert [f["service"] for f in tables["flows"]] == ["ssh"]


# -- DNS over TCP --------------------------------------------------------------------------------------------------


def test_dns_over_tcp(plain: Build, make: ModuleType) -> None:
    """Several messages on one connection, cut anywhere, out of order."""
    question = make.name("big.example.org") + struct.pack(">HH", 1, 1)
    messages = []
    for last in (1, 2, 3):
        answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([203, 0, 113, last])
        messages.append(struct.pack(">HHHHHH", last, 0x8180, 1, 1, 0, 0) + question + answer)
    stream = b"".join(struct.pack(">H", len(m)) + m for m in messages)
    packets = talk(make, *((1, stream[k : k + 50]) for k in range(0, len(stream), 50)), dport=53)
    for order in (packets, [*packets[:4], packets[5], packets[4], packets[4], *packets[6:]]):
        tables, notes = plain.read(make.pcap(order))
        assert [row[2] for row in names(tables)] == ["203.0.113.1", "203.0.113.2", "203.0.113.3"]
        assert {row["client"] for row in tables["names"]} == {CLIENT}
        assert [f["service"] for f in tables["flows"]] == ["dns"]
        assert "unread_messages" not in notes


def test_names_of_real_captures(compiled: Build, corpus: Path) -> None:
    """Where both we and the truth beside a capture name a flow's server, the names are equal."""
    equal = other = 0
    for truth in sorted((corpus / "flows-by-protocol").glob("*.flows.csv")):
        tables, _ = compiled.read(truth.with_name(truth.name.removesuffix(".flows.csv")).read_bytes())
        ours: dict[object, set[str]] = {}
        for flow in tables["flows"]:
            ends = frozenset([(flow["src"], flow["src_port"]), (flow["dst"], flow["dst_port"])])
            ours.setdefault((flow["proto"], ends), set()).update({flow["name"]} - {None})
        with truth.open(newline="") as file:
            for row in csv.DictReader(file):
                pairs = [(row[f"{e}_addr"], row[f"{e}_port"]) for e in "ab"]
                ends = frozenset((address_text(a) or a, int(port or 0)) for a, port in pairs)
                found = ours.get((row["proto"].lower(), ends))
                if row["name"] and found:
                    equal += host_name(row["name"]) in found
                    other += host_name(row["name"]) not in found

    assert (equal >= 204, other) == (True, 0)
