"""Emdivi's marks: the published rule, what hides behind it, and what only looks like it."""

from __future__ import annotations

import base64
import gzip
import random
import struct
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

import pyarrow as pa
import pytest

import forensics as fx
from forensics.detectors import emdivi
from forensics.detectors._emdivi_marks import commands_in, decoded_fields, hidden_in, shown, suspects
from forensics.synthetic.packets import Connection, Message, Packet, converse, write_pcap

from .conftest import START, MakeCase

if TYPE_CHECKING:
    from pathlib import Path

PUBLISHED = b"?VER: t20.09.Koitochu.8530.7965.4444 | NT: 5.1.2600.5512 [en-US] | MEM: 128M | GMT(-6)"
"""The example in the comments of Dshell's decoder emdivi_c2 (USArmyResearchLab/Dshell)."""


def hide(name: bytes, plain: bytes) -> str:
    """Return a field as the published rule has it, by another way than the decoder's."""
    key = 0
    for byte in name:
        key ^= byte
    return name.decode() + "=" + quote(bytes(byte ^ key for byte in plain), safe="")


def test_a_field_is_decoded_as_jpcert_describes_it() -> None:
    """By hand: a ^ b = 3, so D, N, W become G, M, T; the delimiter is ``;`` where there is one, also at the front."""
    assert list(decoded_fields(b"ab=%44NW")) == [(b"ab", 3, b"GMT")]
    assert [plain for _, _, plain in decoded_fields(b";ab=%44NW;c=%22")] == [b"GMT", b"A"]
    assert [plain for _, _, plain in decoded_fields(b"ab=DNW&c=%22")] == [b"GMT", b"A"]
    assert [name for name, _, _ in decoded_fields(b"a=1&2;c=3")] == [b"a", b"c"]
    # a plus sign is itself: the published decoder does not take it for a blank
    assert list(decoded_fields(b"ab=+")) == [(b"ab", 3, b"(")]
    assert list(decoded_fields(b"=;;ab;x")) == [(b"", 0, b"")]


@pytest.mark.parametrize("name", [b"a", b"ver", b"xy1", b"ab[]", b"_long_name_of_a_field"])
def test_the_published_example_is_found_under_any_name(name: bytes) -> None:
    """In a query, a body, a cookie with blanks and in the second field."""
    field = hide(name, PUBLISHED)
    for text in (field, f"z=1&{field}", f"z=1;{field}", f"sid=77; {field}"):
        assert hidden_in(text.encode()) == PUBLISHED
    assert suspects(pa.chunked_array([["/a?b=1", f"/x?{field}", ""]])) == [f"/x?{field}"]


@pytest.mark.parametrize(
    "text",
    [
        "time=Mon, 11 May 2015 01:00:00 GMT",  # in the clear
        "tt=GMT(+9) VER: 1 NT: 2",  # a name that cancels out
        "=GMT(+9)",  # no name at all
        hide(b"ab", b"Thu, 21 May 2015 GMT"),  # GMT alone
        hide(b"ab", b"VER: 1 | gmt(+9)"),
        "",
        "&&&;;==",
    ],
)
def test_what_only_looks_like_it_is_none(text: str) -> None:
    """GMT is a common word; a key of 0 hides nothing."""
    assert hidden_in(text.encode()) is None


def test_noise_has_no_marks() -> None:
    """A million characters of base64 under many names, where GMT alone is there by chance."""
    rng = random.Random(5)
    values = [base64.b64encode(rng.randbytes(750)).decode() for _ in range(1000)]
    names = [rng.choice("abcdefg") + rng.choice("hijklmn") for _ in values]
    texts = [f"{name}={value}".encode() for name, value in zip(names, values, strict=True)]

    alone = sum(b"GMT" in plain for text in texts for _, key, plain in decoded_fields(text) if key)
    assert alone > 0
    assert [text for text in texts if hidden_in(text)] == []


def test_the_screen_passes_what_decodes_and_little_else() -> None:
    """Against the plain rule, key by key, on texts with escapes at every end."""
    rng = random.Random(6)
    texts = ["".join(rng.choice("%4DGMTNWDabZ0") for _ in range(rng.randrange(12))) for _ in range(3000)]

    def may_hide(text: str) -> bool:
        value = unquote_to_bytes(text)
        steps = [a ^ b for a, b in pairwise(value)]
        return any(pair == (0x0A, 0x19) for pair in pairwise(steps))

    expected = [text for text in texts if may_hide(text)]
    assert len(expected) > 5
    assert suspects(pa.chunked_array([texts[:1000], texts[1000:]])) == expected
    assert suspects(pa.chunked_array([], pa.string())) == []
    assert suspects(pa.chunked_array([["", "%", "%4"]])) == []


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"GETFILE c:/a", ("GETFILE",)),
        (b"<html>DOABORT;SETCMD=5</html>", ("DOABORT", "SETCMD")),
        (b"\r\nGOTO 3", ("GOTO",)),
        (b"<p>VERSION 2: UPLOAD failed</p>", ()),
        (b"GETFILENAME MYLOADDLL getfile", ()),
        (b"VERSIONS", ()),
        (b"", ()),
    ],
)
def test_commands_are_words_of_their_own(reply: bytes, expected: tuple[str, ...]) -> None:
    """Those that are English words count at the start alone."""
    assert commands_in(reply) == expected


def test_what_evidence_says_is_shown_without_acting() -> None:
    """Control characters and length."""
    assert shown(b"a\x1b[31m\xff") == "a<U+001B>[31m\\xff"
    assert len(shown(b"x" * 10_000)) == 120


def request(url: str, *, src: str = "10.0.0.5", dst: str | None = "203.0.113.5", **more: object) -> dict[str, object]:
    """Return a row of ``requests``."""
    row = {"start": START, "src": src, "dst": dst, "url": url, "source": "access.log", "record": 1, **more}
    return {"end": row["start"], **row}


def test_queries_of_any_log_are_decoded(make_case: MakeCase) -> None:
    """One finding for each terminal and server; options narrow it."""
    url = "http://www.example/a?" + hide(b"ver", PUBLISHED)
    rows = [
        request(url, record=1, user_agent="Mozilla/4.0 (x)"),
        request(url, record=2, start=START + 1_000_000),
        request("http://www.example/a?b=c", record=3, src="10.0.0.6"),
        request("http://www.example/", record=4, src="10.0.0.6"),
        request(url, record=5, src="10.0.0.7", dst=None, name="www.example"),
    ]
    case = make_case([{"start": START, "src": "10.0.0.5", "dst": "203.0.113.5"}], requests=rows)

    found = emdivi.detect(case)
    assert found[["src", "dst", "value", "score", "record"]].values.tolist() == [
        ["10.0.0.5", "203.0.113.5", 2.0, 1.0, "1-2"],
        ["10.0.0.7", "www.example", 1.0, 1.0, "5"],
    ]
    assert f'the first field reads "{PUBLISHED.decode()}" (in the query)' in found["reason"][0]
    assert emdivi.detect(case, field_names=["other"]).empty
    assert len(emdivi.detect(case, field_names=["ver"])) == 2
    assert emdivi.detect(case, user_agent="Mozilla/4.0")["value"].tolist() == [1.0]
    coverage = emdivi.coverage(case)
    assert (coverage.tested, coverage.not_tested) == (4, 1)
    assert "keep neither bodies nor cookies" in coverage.why
    with pytest.raises(ValueError, match="most_flows"):
        emdivi.detect(case, most_flows=-1)


def post(number: int, server: str, body: bytes, *, head: bytes = b"", reply: bytes = b"") -> list[Packet]:
    """Return a connection that posts something, all segments of at most 1,460 bytes."""
    time = START + number * 1_000_000
    ends = Connection("10.0.0.5", 3000 + number, server, 80, time, time + 500_000, near_client=True, rtt=9000)
    asked = b"POST /p HTTP/1.1\r\nHost: h.example\r\n" + head
    asked += b"" if b"hunked" in head else b"Content-Length: %d\r\n" % len(body)
    messages = [Message(time + 20_000, up=True, payload=asked + b"\r\n" + body)]
    messages.append(Message(time + 200_000, up=False, payload=reply or b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    return converse(ends, messages)


def captured(folder: Path, packets: list[Packet]) -> fx.Case:
    """Return a case of one capture."""
    write_pcap(folder / "a.pcap", packets, 65_535)
    return fx.read(folder / "a.pcap", timezone="UTC", progress=False)


FIELD = hide(b"ver", PUBLISHED).encode()


def test_bodies_are_put_together_whatever_order_they_came_in(tmp_path: Path) -> None:
    """Segments swapped and sent twice, chunks, a reply that is compressed."""
    long = b"pad=" + b"1" * 4000 + b"&" + FIELD
    first = post(1, "203.0.113.1", long)
    data = [place for place, packet in enumerate(first) if len(packet.frame) > 1000]
    assert len(data) >= 3
    first[data[1]], first[data[2]] = (
        Packet(first[data[1]].time, first[data[2]].frame),
        Packet(first[data[2]].time, first[data[1]].frame),
    )
    first.insert(data[2] + 1, Packet(first[data[2]].time, first[data[0]].frame))
    parts = [FIELD[:20], FIELD[20:]]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    second = post(2, "203.0.113.2", chunks, head=b"Transfer-Encoding: chunked\r\n")
    packed = gzip.compress(b"SETCMD 1")
    head = b"HTTP/1.1 404 Not Found\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    third = post(3, "203.0.113.3", b"a=b", reply=head + packed)

    found = emdivi.detect(captured(tmp_path, first + second + third))

    assert found[["dst", "score"]].values.tolist() == [["203.0.113.1", 1.0], ["203.0.113.2", 1.0], ["203.0.113.3", 0.5]]
    assert "commanded SETCMD" in found["reason"][2]


def test_what_is_missing_ends_a_body(tmp_path: Path) -> None:
    """The mark stands behind a packet that was not captured; nothing is made up."""
    packets = post(1, "203.0.113.1", b"pad=" + b"1" * 4000 + b"&" + FIELD)
    data = [place for place, packet in enumerate(packets) if len(packet.frame) > 1000]
    del packets[data[1]]

    assert emdivi.detect(captured(tmp_path, packets)).empty


def test_the_rarest_servers_are_opened_first_and_what_is_left_is_counted(tmp_path: Path) -> None:
    """Ten connections to one server, one to another: the one comes first."""
    packets = [packet for number in range(10) for packet in post(number, "203.0.113.1", FIELD)]
    packets += post(11, "203.0.113.2", FIELD)
    case = captured(tmp_path, packets)

    assert emdivi.detect(case)["value"].tolist() == [10.0, 1.0]
    found = emdivi.detect(case, most_flows=1)
    assert found["dst"].tolist() == ["203.0.113.2"]
    assert emdivi.detect(case, most_flows=4)["value"].tolist() == [3.0, 1.0]
    coverage = emdivi.coverage(case, most_flows=4)
    assert (coverage.tested, coverage.not_tested) == (4, 7)
    assert "7 connections to the most visited servers" in coverage.why


def test_a_capture_that_is_gone_is_said_and_no_error(tmp_path: Path) -> None:
    """Its queries still count; its connections do not."""
    case = captured(tmp_path, post(1, "203.0.113.1", FIELD))
    (tmp_path / "a.pcap").unlink()

    assert emdivi.detect(case).empty
    coverage = emdivi.coverage(case)
    assert (coverage.tested, coverage.not_tested) == (0, 1)
    assert "1 connection: a.pcap" in coverage.why


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n" + b"x" * 50,
        b"ffffffff\r\nabc",
        b"\x00" * 3000,
        b"=" * 20_000,
        b"%" * 20_000,
        struct.pack("<64I", *range(64)),
    ],
)
def test_hostile_bodies_are_passed_over(tmp_path: Path, body: bytes) -> None:
    """No error, and nothing found."""
    packets = post(1, "203.0.113.1", body, head=b"Transfer-Encoding: chunked\r\n")
    packets += post(2, "203.0.113.1", body, head=b"Cookie: ;;=\xff;\r\n", reply=b"HTTP/1.1 404 x\r\n\r\n" + body)

    assert emdivi.detect(captured(tmp_path, packets)).empty
