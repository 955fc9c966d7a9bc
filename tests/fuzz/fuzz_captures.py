"""Fuzz the capture reader with atheris (https://github.com/google/atheris), in plain Python, where bounds are checked.

Run: ``python tests/fuzz/fuzz_captures.py TARGET [INPUTS [SEEDS ...]] [options of libFuzzer]``, for example
``python tests/fuzz/fuzz_captures.py captures inputs sample_pcaps/formats/pcap -max_total_time=600``. TARGET is one of:

- ``captures``: the input is a file;
- ``blocks``: the input is what stands in the blocks of a pcapng file, behind their lengths;
- ``links``: the input is packets, each with the link type that it comes on;
- ``dialogues``: the input is what the two ends of connections say, and in what order it comes;
- ``protocols``: the input goes straight to the readers of application protocols.

Compiled loops check no bounds. Here an index beyond an array is an error of NumPy's, and one below 0, which NumPy takes
from the end, is an error too. An input passes when no exception comes out, every packet is accounted for, every row
fits the schema, and it took no longer than `SECONDS`.
"""

from __future__ import annotations

import importlib
import io
import os
import struct
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["FORENSICS_JIT"] = "0"
sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

try:
    import atheris
except ImportError:  # the tests take the checks without it
    atheris = None

if atheris is not None and __name__ == "__main__":
    with atheris.instrument_imports(include=["forensics.packets"]):
        importlib.import_module("forensics.packets.pipeline")
import numpy as np

from forensics.formats import Evidence
from forensics.packets import arrays, engine, layout, pipeline, window
from forensics.packets.containers import BadContainerError, Section
from forensics.packets.pipeline import read_capture
from forensics.packets.protocols import certificates, dns, http, quic, socks, tls
from forensics.reading.checking import check_batch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from forensics.packets.layout import Tables

SECONDS = 2.0
"""CPU time that an input may take: instrumented and with every index checked, a loop takes a hundred times its time."""

LINKS = (0, 1, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 19, 50, 51, 100, 101, 104, 105, 106, 107, 108, 109, 113, 117, 119,
         123, 127, 129, 138, 143, 149, 163, 166, 178, 192, 197, 204, 205, 206, 219, 226, 228, 229, 239, 242, 258, 276,
         281, 282, 284, 285)  # fmt: skip
NUMBERS = (int, np.integer)
PORTS = (53, 5353, 80, 443, 22, 1080, 3128, 25, 4789, 2152, 3544, 1701, 6081, 9999, 4790, 8472)


class Guarded(np.ndarray[Any, Any]):
    """An array that takes no index below 0."""

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - whatever NumPy takes
        if _is_below(index):
            raise IndexError(f"index {index} is below 0")
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: object) -> None:  # noqa: ANN401 - whatever NumPy takes
        if _is_below(index):
            raise IndexError(f"index {index} is below 0")
        super().__setitem__(index, value)


def _is_below(index: object) -> bool:
    """Tell whether an index, or one of several, is a number below 0."""
    if isinstance(index, tuple):
        return any(isinstance(part, NUMBERS) and part < 0 for part in index)
    return isinstance(index, NUMBERS) and bool(index < 0)


class GuardedWindow(window.Window):
    """A buffer that takes no index below 0."""

    def _show(self, size: int) -> None:
        super()._show(size)
        self.data, self.words = self.data.view(Guarded), self.words.view(Guarded)


def guarded(make: Callable[..., Tables]) -> Callable[..., Tables]:
    """Return a function that makes the engine's arrays, all of them guarded."""
    return lambda *given: layout.Tables(*(array.view(Guarded) for array in make(*given)))


def guard() -> None:
    """Have the engine work on guarded arrays, small ones, and in one thread: an input is the same every time."""
    parts: tuple[tuple[ModuleType, str, object], ...] = (
        (arrays, "OUTPUT_ROWS", 4 * layout.LAYERS * layout.BATCH),
        (arrays, "EPOCH_PACKETS", 4 * layout.BATCH),
        (engine, "EPOCH_PACKETS", 4 * layout.BATCH),
        (engine, "Window", GuardedWindow),
        (engine, "new_tables", guarded(arrays.new_tables)),
        (engine, "grown", guarded(arrays.grown)),
        (engine, "with_layers", guarded(arrays.with_layers)),
        (pipeline, "made_ahead", lambda events: events),
    )
    for module, name, part in parts:
        setattr(module, name, part)


def check_capture(data: bytes) -> None:
    """Assert what must hold of any bytes that are read as a capture."""
    evidence = Evidence(io.BytesIO(data), "fuzz", "sensor")
    sums: Counter[str] = Counter()
    for table, batch in read_capture(evidence):
        check_batch(table, batch)
        sums[table] += batch.num_rows
        if table == "flows":
            for row in batch.select(["tunnel", "packets_out", "packets_in"]).to_pylist():
                place = "inside" if row["tunnel"] in {"inner", "middle"} else "outside"
                sums[place] += row["packets_out"] + row["packets_in"]
        elif table == "volumes":
            sums["told"] += sum(batch.column("packets_out").to_pylist() + batch.column("packets_in").to_pylist())
    notes: dict[str, Any] = evidence.notes
    kinds = ("not_ip_packets", "unread_packets", "rejected_packets", "dropped_for_checksum")
    assert notes["records"] == notes["packets_in_flows"] + sum(notes.get(kind, 0) for kind in kinds), notes
    assert notes["packets_in_flows"] == sums["outside"], (sums, notes)
    assert notes.get("tunnelled_packets", 0) == sums["inside"], (sums, notes)
    assert sums["told"] <= notes["packets_in_flows"], (sums, notes)
    assert sums["rejects"] >= notes.get("rejected_packets", 0) + len(notes.get("unread_link_types", ())), (sums, notes)


def block(kind: int, body: bytes) -> bytes:
    """Return a block of a pcapng file."""
    size = struct.pack("<I", len(body) + -len(body) % 4 + 12)
    return struct.pack("<I", kind) + size + body + bytes(-len(body) % 4) + size


def take(data: bytes, at: int, most: int = 255) -> tuple[bytes, int]:
    """Return a piece of the input whose length stands before it, and where the input goes on."""
    size = int.from_bytes(data[at : at + 2], "big") % (most + 1)
    return data[at + 2 : at + 2 + size], at + 2 + size


def check_blocks(data: bytes) -> None:
    """Read the input as blocks: a byte of kind, a length, what is in the block."""
    file = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    at = 0
    while at < len(data):
        kind = data[at] % 12
        body, at = take(data, at + 1, 511)
        file += block(0x0A0D0D0A, b"\x4d\x3c\x2b\x1a\1\0" + body) if kind == 0 else block(kind, body)
    check_capture(file)


def pcap(packets: list[tuple[int, bytes]]) -> bytes:
    """Return a pcapng file of packets with their link types, a second between them."""
    file = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    file += b"".join(block(1, struct.pack("<HHI", link, 0, 0)) for link, _ in packets)
    for k, (_, data) in enumerate(packets):
        file += block(6, struct.pack("<IIIII", k, 0, 1_000_000 * k, len(data), len(data)) + data)
    return file


def check_links(data: bytes) -> None:
    """Read the input as packets: a byte of link type, a length, the packet."""
    packets: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data) and len(packets) < 50:
        link = LINKS[data[at] % len(LINKS)]
        packet, at = take(data, at + 1, 511)
        packets.append((link, packet))
    check_capture(pcap(packets))


def ipv4(proto: int, payload: bytes, *, back: bool) -> bytes:
    """Return an IPv4 packet from one end to the other, or back."""
    ends = b"\xc0\0\2\1\xc0\0\2\2"
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, proto, 0)
    return head + (ends[4:] + ends[:4] if back else ends) + payload


def check_dialogues(data: bytes) -> None:
    """Read the input as segments: a byte of port and direction, one of flags and disorder, a length, the payload."""
    packets: list[tuple[int, bytes]] = []
    sent: Counter[tuple[int, bool]] = Counter()
    at = 0
    while at + 2 <= len(data) and len(packets) < 50:
        port, back, flags, skew = PORTS[data[at] & 15], bool(data[at] & 16), data[at + 1] & 31, data[at + 1] >> 5
        datagram = bool(data[at] & 32)
        payload, at = take(data, at + 2, 1500)
        ports = (port, 40000) if back else (40000, port)
        if datagram:
            packet = ipv4(17, struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload, back=back)
        else:
            seq = sent[port, back] + (0, 0, 0, 0, 1, 9, -1, -9)[skew] & 0xFFFF_FFFF
            numbers = struct.pack(">HHIIBBHHH", *ports, seq, sent[port, not back], 0x50, flags, 9, 0, 0)
            sent[port, back] = seq + len(payload) + (flags & 1) + (flags >> 1 & 1) & 0xFFFF_FFFF
            packet = ipv4(6, numbers + payload, back=back)
        packets.append((101, packet))
    check_capture(pcap(packets))


def _options(data: bytes) -> None:
    for big in (0, 1):
        section = Section(big)
        try:
            section.describe(data)
            section.count(data)
        except BadContainerError:
            pass
        for address, name in section.names(data):
            assert address
            assert isinstance(name, str)


def _socks(data: bytes) -> None:
    said, at = take(data, 0)
    dialogue = socks.Dialogue(0)
    dialogue.add(0, said, from_client=True)
    dialogue.add(0, data[at:], from_client=False)


def _quic(data: bytes) -> None:
    quic.initial_frames(data)
    quic.Initials(1, 0).add(data)


def _tls(data: bytes) -> None:
    handshake = tls.handshake_bytes(data)
    for message in (data, handshake):
        hello = tls.parse_client_hello(message)
        if hello is not None:
            assert hello.ja3
            assert hello.ja4("q")
            hello.protocols.encode()
            hello.server_name.encode()
    certificates.certificate_names(tls.certificate(handshake) or b"")


def _http(data: bytes) -> None:
    http.ends_head(data)
    http.parse_request(data)
    http.parse_reply(data)


def _dns(data: bytes) -> None:
    ends = np.array([0, len(data), max(2 * len(data) - 1, len(data))])
    dns.parse_messages(np.frombuffer(data + data[1:] or b"\0", dtype=np.uint8), ends)


READERS: tuple[Callable[[bytes], object], ...] = (
    _dns,
    _tls,
    _quic,
    _http,
    _socks,
    certificates.certificate_names,
    _options,
)


def check_protocols(data: bytes) -> None:
    """Give the input to the reader that its first byte names."""
    if data:
        READERS[data[0] % len(READERS)](data[1:])


TARGETS = {
    "captures": check_capture,
    "blocks": check_blocks,
    "links": check_links,
    "dialogues": check_dialogues,
    "protocols": check_protocols,
}


def timed(check: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return a check that also fails when it takes too long."""

    def run(data: bytes) -> None:
        before = time.process_time()
        check(data)
        spent = time.process_time() - before
        assert spent < SECONDS, f"{spent:.1f} s of CPU time for {len(data)} bytes"

    return run


def main() -> None:
    """Fuzz the target that the command line names."""
    if atheris is None or sys.argv[1:2] == [] or sys.argv[1] not in TARGETS:
        names = ",".join(TARGETS)
        sys.exit(f"usage: fuzz_captures.py {{{names}}} [inputs [seeds ...]] [-option=value]; it needs atheris")
    for folder in [Path(word) for word in sys.argv[2:3] if not word.startswith("-")]:
        if not folder.exists():
            folder.mkdir(parents=True)
    guard()
    atheris.Setup([sys.argv[0], *sys.argv[2:]], timed(TARGETS[sys.argv[1]]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
