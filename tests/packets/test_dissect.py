"""Chosen packets in full, through tshark: in a script, in a notebook, of a cut file, of hostile packets."""

from __future__ import annotations

import asyncio
import pickle
import sys
from typing import TYPE_CHECKING

import pytest

from forensics.errors import EvidenceError, MissingToolError
from forensics.packets import dissect as module
from forensics.packets.dissect import DissectedPacket, dissect

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

pytest.importorskip("pyshark")


@pytest.fixture
def capture(tmp_path: Path, samples: dict[str, bytes]) -> Path:
    """Return a capture on disk."""
    path = tmp_path / "normal.pcap"
    path.write_bytes(samples["normal.pcap"])
    return path


def test_packets_in_full(tshark: str, capture: Path) -> None:
    """Every layer and field by name, each packet under the number it has in the evidence."""
    packets = dissect(capture, range(101, 141))
    first, request = packets[0], packets[5]

    assert (first.number, request.number) == (101, 106)
    assert str(request).startswith("packet 106 at 1432173600.130000000")
    assert request.time == "1432173600.130000000"
    assert list(request.layers) == ["eth", "ip", "tcp", "http"]
    assert request.layers["http"]["host"] == "www.example.com"
    assert "GET /index.html HTTP/1.1" in str(request)
    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 - our own bytes


def test_inside_a_running_event_loop(tshark: str, capture: Path) -> None:
    """A notebook's loop is running already."""

    async def cell() -> list[DissectedPacket]:
        return dissect(capture, range(1, 41))

    assert [packet.number for packet in asyncio.run(cell())] == list(range(1, 41))


def test_where_tshark_fails_the_packets_before_stand(tshark: str, capture: Path) -> None:
    """Tshark ends with an error where it fails; what it gave before stands."""
    capture.write_bytes(capture.read_bytes()[:1000])

    numbers = [packet.number for packet in dissect(capture, range(1, 40))]

    assert numbers == list(range(1, len(numbers) + 1))
    assert 5 < len(numbers) < 12


def test_what_is_no_capture_is_an_error(tshark: str, tmp_path: Path) -> None:
    """A file that tshark cannot read is a clear error."""
    path = tmp_path / "text.pcap"
    path.write_text("no capture at all, only text")

    with pytest.raises(EvidenceError, match=r"text\.pcap: tshark cannot read it"):
        dissect(path, [1])


def test_decode_as(tshark: str, tmp_path: Path, make: ModuleType) -> None:
    """A port can be given its protocol."""
    talk = make.Talk("192.0.2.1", 40000, "198.51.100.2", 4444, make.START).open()
    talk.say(0, 16, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
    path = tmp_path / "port.pcap"
    path.write_bytes(make.pcap(talk.packets))

    assert "http" in dissect(path, range(1, len(talk.packets) + 1), decode_as={"tcp.port==4444": "http"})[3].layers


def test_no_packets_need_no_tools(monkeypatch: pytest.MonkeyPatch, capture: Path) -> None:
    """Nothing asked, nothing done; too much asked is refused."""
    monkeypatch.setattr("shutil.which", lambda _: None)

    assert dissect(capture, []) == []
    with pytest.raises(ValueError, match="at most 10000 packets are taken apart, not 19999"):
        dissect(capture, range(1, 20_000))


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, capture: Path) -> None:
    """Without tshark or pyshark the error says how to get them."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(MissingToolError, match="apt install tshark"):
        dissect(capture, [1])
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/tshark")
    monkeypatch.setitem(sys.modules, "pyshark", None)
    with pytest.raises(MissingToolError, match="pip install pyshark"):
        dissect(capture, [1])


def test_hostile_text_is_made_harmless() -> None:
    """Control characters are taken out and HTML is escaped; a repeated layer is numbered."""
    assert module._clean("a\x1b[31mb\x00c") == "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c"
    packet = DissectedPacket(1, "0", {}, "<script>&")
    assert packet._repr_html_() == "<pre>&lt;script&gt;&amp;</pre>"
    assert module._free_name("ip", {"ip": {}, "ip_2": {}}) == "ip_3"
