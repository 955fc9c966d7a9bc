"""What captures say of themselves: variants of containers, blocks of pcapng, places to go on from, foreign files."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from forensics.formats import Hints, all_formats
from forensics.packets.foreign import foreign_container

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from tests.packets.conftest import Build

SUITE_COUNTS = re.compile(r"^\t(\w+): (\d+)$", re.MULTILINE)


def bare(flows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return flows without their times."""
    return [{k: v for k, v in flow.items() if k not in {"start", "end"}} for flow in flows]


@pytest.mark.parametrize("name", ["modified.pcap", "normal.snoop"])
def test_variants_give_the_flows_of_the_usual_container(
    plain: Build, make: ModuleType, samples: dict[str, bytes], name: str
) -> None:
    """The same packets give the same flows, whatever container they lie in."""
    session = make.dns_lookup("www.example.com", "web.example.net", make.WEB, make.START)
    session += make.web(make.START + 100_000_000)

    assert plain.flows(samples[name]) == plain.flows(make.pcap(session))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("magic", "head"), [(0xA1B2_C3D4, 20), (0xA1B2_C3D4, 24), (0xA1B2_CD34, 24), (0xA1B2_CD34, 28)]
)
def test_longer_record_headers_are_told_by_the_records(  # noqa: PLR0917 - pytest hands them over by name
    plain: Build, make: ModuleType, make_links: ModuleType, order: str, magic: int, head: int
) -> None:
    """Variants of pcap that say nothing of their longer record headers are read, and noted."""
    packets = make.web(make.START)
    data = struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 65535, 1)
    data += b"".join(make_links.record(order, p, bytes(head - 16)) for p in packets)

    tables, notes = plain.read(data)

    assert tables["flows"] == plain.read(make.pcap(packets))[0]["flows"]
    assert notes["record_header_bytes"] == head


def test_swapped_lengths_of_old_versions(plain: Build, samples: dict[str, bytes]) -> None:
    """In a file of version 2.1 the larger of the two lengths is the one on the wire."""
    rows = plain.framed(samples["version_2_1.pcap"])
    layout = plain.layout

    assert len(rows) == 13
    assert all(row[layout.Q_WIRE] >= row[layout.Q_END] - row[layout.Q_START] <= 60 for row in rows)
    assert max(row[layout.Q_WIRE] for row in rows) > 60


@pytest.mark.parametrize("name", ["blocks.pcapng", "blocks_big_endian.pcapng"])
def test_every_kind_of_block(plain: Build, samples: dict[str, bytes], name: str) -> None:
    """What blocks say besides packets is in the notes and among the names; comments act on no terminal."""
    tables, notes = plain.read(samples[name])
    listed = [(r["record"], r["address"], r["name"]) for r in tables["names"] if r["how"] == "capture"]

    assert notes["records"] == notes["packets_in_flows"] == 11
    assert (notes["received_by_interface"], notes["dropped_by_interface"], notes["dropped_by_system"]) == (19, 21, 38)
    assert notes["dropped_between_packets"] == 1 + 3 + 5 + 7 + 9
    assert (notes["decryption_secrets"], notes["journal_entries"], notes["other_blocks"]) == (1, 1, 1)
    assert notes["comments"] == ["evidence 7, seized <U+202E>from a relay<U+001B>[31m"]
    assert sorted(listed) == [
        (1, "198.51.100.80", "www.example.com"),
        (1, "2001:db8:1::443", "six.example.net"),
        (3, "192.0.2.10", "client.example.com"),
    ]


def test_names_without_packets_are_a_reject(plain: Build, samples: dict[str, bytes]) -> None:
    """Names of a capture without packets have no time; they are set aside, not lost."""
    tables, notes = plain.read(samples["names_only.pcapng"])

    assert notes["records"] == 0
    assert [(r["record"], r["raw"]) for r in tables["rejects"]] == [(None, b"198.51.100.80 www.example.com")]


def test_a_section_of_another_version_ends_reading(plain: Build, samples: dict[str, bytes]) -> None:
    """What came before a section of an unknown version stands."""
    tables, notes = plain.read(samples["new_version.pcapng"])

    assert len(tables["flows"]) == 1
    assert notes["truncated"] == "a section header of an unknown version of pcapng, 2.0, at byte 180, after packet 1"


def test_comments_and_early_names_are_bounded(
    plain: Build, make: ModuleType, make_links: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A capture cannot fill the notes with comments, nor the memory with names."""
    monkeypatch.setattr(plain.opening, "MAX_EARLY_NAMES", 3)
    long = make.option("<", 1, b"x" * 5000)
    described = make.block("<", 1, struct.pack("<HHI", 1, 0, 0) + long + bytes(4))
    names = make_links.name_block("<", *((f"192.0.2.{k}", f"h{k}.example") for k in range(9)))
    packet = make.web(make.START)[0]
    data = make.section("<") + names + described * 50 + make.enhanced("<", packet, packet.time // 1000)

    tables, notes = plain.read(data)

    assert notes["comments"] == ["x" * 200] * 20
    assert (len(tables["names"]), notes["names_left_out"]) == (3, 6)


@pytest.mark.parametrize(
    "body",
    [
        b"\1\0\x08\0\xc0\0\2",
        b"\1\0\3\0\xc0\0\2\0",
        b"\1\0\4\0\xc0\0\2\1",
        b"\5\0\x04\0name",
        b"\1\0\7\0\xc0\0\2\1\0\0\0\0",
    ],
)
def test_damaged_name_records_name_nothing(plain: Build, make: ModuleType, body: bytes) -> None:
    """Records that are cut, too short for an address, nameless or of other kinds are passed over."""
    packet = make.web(make.START)[0]
    data = make.section("<") + make.block("<", 4, body) + make.interface("<")

    tables, notes = plain.read(data + make.enhanced("<", packet, packet.time // 1000))

    assert "names" not in tables
    assert "truncated" not in notes


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        (5, b"\0" * 8, "interface statistics are cut short"),
        (0x0A0D_0D0A, struct.pack("<IHH", 0x1A2B_3C4D, 1, 0), "a section header is cut short"),
    ],
)
def test_short_blocks_end_reading(plain: Build, make: ModuleType, kind: int, body: bytes, reason: str) -> None:
    """A block too short for what it must hold is a damage."""
    data = make.section("<") + make.interface("<") + make.block("<", kind, body)

    assert plain.read(data)[1]["truncated"].startswith(reason)


def test_statistics_of_undescribed_interfaces_say_nothing(
    plain: Build, make: ModuleType, make_links: ModuleType
) -> None:
    """Counts of an interface that the section lacks belong to nothing."""
    data = make.section("<") + make_links.statistics("<", 3, 1, 1, 1)

    assert "dropped_by_interface" not in plain.read(data)[1]


def test_lost_packets_beyond_belief_are_not_counted(plain: Build, make: ModuleType) -> None:
    """A drop count that no machine reaches, options that are cut and other options are passed over."""
    packet = make.web(make.START)[0]
    ticks = packet.time // 1000
    head = struct.pack("<IIIII", 0, ticks >> 32, ticks & 0xFFFF_FFFF, len(packet.data), len(packet.data))
    frame = head + packet.data + bytes(-len(packet.data) % 4)
    lost = [make.option("<", 4, struct.pack("<Q", 2**63)), make.option("<", 4, b"four"), b"\2\0\xff\xff"]
    blocks = b"".join(make.block("<", 6, frame + options) for options in lost)

    notes = plain.read(make.section("<") + make.interface("<") + blocks)[1]

    assert notes["records"] == 3
    assert "dropped_between_packets" not in notes


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (struct.pack(">IIIIII", 60, 60, 0x7FFF_FFFF, 0, 0, 0), "a packet has an absurd length"),
        (struct.pack(">IIIIII", 60, 60, 40, 0, 0, 0) + bytes(60), "a block contradicts its own length"),
        (bytes(7), "the file is cut inside a packet"),
    ],
)
def test_damage_in_snoop_ends_reading(plain: Build, samples: dict[str, bytes], tail: bytes, reason: str) -> None:
    """Reading stops at a length that cannot be, and everything before it stands."""
    notes = plain.read(samples["normal.snoop"] + tail)[1]

    assert notes["records"] == 13
    assert notes["truncated"].startswith(reason)


@pytest.mark.parametrize(
    "name", ["blocks.pcapng", "modified.pcap", "version_2_1.pcap", "token_ring.snoop", "link_types.pcapng"]
)
def test_truncation_at_every_byte(plain: Build, samples: dict[str, bytes], name: str) -> None:
    """A file cut at any byte frames the packets before the cut as the whole file does."""
    data = samples[name]
    whole = plain.framed(data)
    ends = [row[plain.layout.Q_END] for row in whole]
    for end in range(len(data)):
        found = plain.framed(data[:end])
        assert found == whole[: len(found)]
        assert len(found) >= sum(last + 64 <= end for last in ends)  # padding, options and the block's end follow


def test_the_pcapng_suite_reads_as_its_texts_say(plain: Build, corpus: Path, tshark: str) -> None:
    """Packets, sections, blocks passed over and names of the suite's captures are those that the texts tell."""
    for text in sorted((corpus / "captures" / "pcapng-suite").rglob("*.txt")):
        counts = {name: int(count) for name, count in SUITE_COUNTS.findall(text.read_text())}
        path = text.with_suffix(".pcapng")
        tables, notes = plain.read(path.read_bytes())

        assert notes["records"] == counts.get("EPB", 0) + counts.get("SPB", 0), path.name
        assert notes["sections"] == counts["SHB"]
        assert notes.get("other_blocks", 0) == counts.get("CB", 0) + counts.get("DCB", 0)
        assert "truncated" not in notes
        listed = {(r["address"], r["name"]) for r in tables.get("names", []) if r["how"] == "capture"}
        raw = b"".join(r["raw"] for r in tables.get("rejects", []) if r["reason"].startswith("names listed"))
        assert bool(listed or raw) == ("NRB" in counts)
        if listed:
            assert {address for address, _ in listed} == tsharks_hosts(tshark, path)


def tsharks_hosts(tshark: str, path: Path) -> set[str]:
    """Return the addresses that tshark takes names of from a capture; of several names it keeps one."""
    done = subprocess.run([tshark, "-r", str(path), "-q", "-z", "hosts"], capture_output=True, text=True, check=False)
    return {line.split("\t")[0] for line in done.stdout.splitlines() if "\t" in line and not line.startswith("#")}


EXPANDERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZ": bz2.decompress,
    b"\xfd7": lzma.decompress,
}


def test_the_same_packets_from_every_container(plain: Build, corpus: Path) -> None:
    """The same packets give the same flows from what is read, and an error that names the container from the rest."""
    folder = corpus / "captures" / "same-100-packets" / "test" / "traces"
    read = ("100_packets.pcap", "100_packets.pcapng", "100_packetsns.pcap", "100_seconds.pcap")
    found = [bare(plain.flows((folder / name).read_bytes())) for name in read]

    assert len(found[0]) == 44
    assert found[0] == found[1] == found[2] == found[3]
    for path in sorted(folder.glob("*.erf*")):
        data = path.read_bytes()
        data = EXPANDERS[data[:2]](data) if data[:2] in EXPANDERS else data
        assert foreign_container(data[:65536]) == "an ERF capture: convert it with `editcap -F pcap IN OUT`"
    assert foreign_container((folder / "etsi_file.test").read_bytes()) is not None


@pytest.fixture(scope="session")
def editcap() -> str:
    """Return the path of editcap, which converts captures."""
    path = shutil.which("editcap")
    if path is None:
        pytest.skip("editcap is not installed (apt install wireshark-common)")
    return path


CONVERTED = ("lanalyzer", "netmon1", "netmon2", "ngsniffer", "ngwsniffer_1_1", "ngwsniffer_2_0", "visual")


@pytest.mark.parametrize("kind", CONVERTED)
def test_the_named_command_converts(
    plain: Build, samples: dict[str, bytes], editcap: str, tmp_path: Path, kind: str
) -> None:
    """A foreign capture is named, and the command that the message gives makes a capture with the same flows."""
    source, foreign, back = tmp_path / "source", tmp_path / "foreign", tmp_path / "back"
    source.write_bytes(samples["normal.pcap"])
    subprocess.run([editcap, "-F", kind, str(source), str(foreign)], capture_output=True, check=True)
    message = all_formats()["pcap"].declines(foreign.read_bytes()[:65536], Hints()) or ""
    command = re.search(r"`editcap (.*) IN OUT`", message)

    assert command is not None
    subprocess.run([editcap, *command[1].split(), str(foreign), str(back)], capture_output=True, check=True)
    expected = bare(plain.flows(samples["normal.pcap"]))
    for flows in (found := bare(plain.flows(back.read_bytes())), expected):
        for flow in flows:  # some formats count the check sum of the frame, others do not
            del flow["frame_bytes_out"], flow["frame_bytes_in"]
    assert found == expected


@pytest.mark.parametrize("kind", ["modpcap", "nokiapcap", "nsecpcap", "rh6_1pcap", "snoop", "suse6_3pcap", "pcapng"])
def test_containers_that_editcap_writes(
    plain: Build, samples: dict[str, bytes], editcap: str, tmp_path: Path, kind: str
) -> None:
    """Every container that is read gives the same flows from the same packets, written by another's program."""
    source, other = tmp_path / "source", tmp_path / "other"
    source.write_bytes(samples["normal.pcap"])
    subprocess.run([editcap, "-F", kind, str(source), str(other)], capture_output=True, check=True)

    assert plain.flows(other.read_bytes()) == plain.flows(samples["normal.pcap"])
