"""nfdump's CSV and nfcapd's files: live, what the collectors keep of a capture is what the capture holds."""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import forensics as fx
from forensics.errors import EvidenceError, MissingToolError, TimezoneNeededError
from forensics.formats import Evidence, Format, Hints, netflow, nfcapd, nfdump
from forensics.packets.protocols.netflow import datagram_end
from forensics.reading.options import ReadOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

SAMPLES = Path(__file__).resolve().parents[1] / "sample_pcaps"
CAPTURE = SAMPLES / "lab" / "terminal-11.pcap.gz"
HEADER = "firstSeen,lastSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes\n"


def needs(*programs: str) -> pytest.MarkDecorator:
    """Return the mark of a test that needs programs."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


def read(fmt: Format, data: bytes, **said: Any) -> tuple[list[dict[str, Any]], dict[str, object]]:  # noqa: ANN401
    """Return the flows of a file, and its notes; none of its records is refused."""
    evidence = Evidence(io.BytesIO(data), "flows", "collector", ReadOptions.of(**said).hints({}))
    rows: list[dict[str, Any]] = []
    for table, batch in fmt.parse(evidence):
        assert table == "flows"
        rows += batch.to_pylist()
    return rows, evidence.notes


def sums(rows: Iterable[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """Return bytes and packets by direction: flow logs end flows by other clocks than captures do."""
    found: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        ends = (row["src"], row["src_port"]), (row["dst"], row["dst_port"])
        for (one, other), way in ((ends, "out"), (ends[::-1], "in")):
            for what in ("bytes", "packets"):
                if row[f"{what}_{way}"]:
                    found[*one, *other, row["proto"], what] += row[f"{what}_{way}"]
    return found


@pytest.fixture(scope="module")
def truth() -> Counter[tuple[Any, ...]]:
    """Return what the capture holds, by direction; the collectors are asked for TCP and UDP."""
    return sums(row for row in fx.read(CAPTURE).flows.to_arrow().to_pylist() if row["proto"] in ("tcp", "udp"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the capture, expanded."""
    path = tmp_path_factory.mktemp("nfdump") / "terminal.pcap"
    path.write_bytes(subprocess.run(["gzip", "-dc", str(CAPTURE)], capture_output=True, check=True).stdout)
    return path


@needs("nfpcapd", "nfdump")
def test_what_nfpcapd_keeps_is_what_was_captured(plain: Path, tmp_path: Path, truth: Counter[tuple[Any, ...]]) -> None:
    """Bytes and packets of every direction are those of the capture; nfdump's CSV of the same file has them too."""
    subprocess.run(["nfpcapd", "-r", str(plain), "-l", str(tmp_path)], check=True, capture_output=True, timeout=60)
    rows: list[dict[str, Any]] = []
    printed: list[dict[str, Any]] = []
    for path in sorted(tmp_path.glob("nfcapd.2*")):
        found, notes = read(nfcapd, path.read_bytes())
        assert notes["records"] == len(found)
        rows += found
        csv = subprocess.run(["nfdump", "-N", "-r", str(path), "-o", "csv"], capture_output=True, check=True)
        printed += read(nfdump, csv.stdout, timezone="UTC")[0] if found else []

    assert sums(row for row in rows if row["proto"] in ("tcp", "udp")) == truth
    assert sums(printed) == sums(rows)
    assert all(row["bytes_in"] is None for row in rows)


@needs("nfcapd", "nfdump")
def test_nfcapd_keeps_what_we_read_of_the_same_datagrams(tmp_path: Path) -> None:
    """Versions 5, 9 and IPFIX: our reading of datagrams, and that of nfcapd, have the same flows at the same times."""
    data = (SAMPLES / "formats/netflow/normal.dat").read_bytes()
    bounds = [0]
    while bounds[-1] < len(data):
        bounds.append(datagram_end(data, bounds[-1], whole=True))
    rows, _ = read(netflow, data)
    kept, _ = read(nfcapd, collected([data[begin:end] for begin, end in pairwise(bounds)], tmp_path))

    assert len(bounds) == 4
    assert sums(kept) == sums(rows)
    assert times(kept) == times(rows)


def times(rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """Return who spoke when, to the millisecond, which is all that nfcapd keeps."""
    return Counter(
        (row["src"], row["src_port"], *(int(row[k].timestamp() * 1000) for k in ("start", "end"))) for row in rows
    )


def collected(datagrams: list[bytes], folder: Path) -> bytes:
    """Return the file that nfcapd makes of datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["nfcapd", "-b", "127.0.0.1", "-p", str(port), "-l", str(folder), "-t", "3600"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
        time.sleep(1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for datagram in datagrams:
                out.sendto(datagram, ("127.0.0.1", port))
                time.sleep(0.01)
        time.sleep(1)
        program.terminate()
    return max((path.read_bytes() for path in folder.glob("nfcapd.2*")), key=len)


def test_without_nfdump_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of nfcapd is recognised without nfdump, and reading it says what is missing."""
    data = (SAMPLES / "formats/nfcapd/normal.nfcapd").read_bytes()
    monkeypatch.setenv("PATH", "")

    assert nfcapd.declines(data, Hints()) is None
    with pytest.raises(MissingToolError, match="apt install nfdump"):
        list(nfcapd.parse(Evidence(io.BytesIO(data), "flows", "collector")))
    with pytest.raises(EvidenceError, match="nfcapd files are read through nfdump"):
        fx.read(SAMPLES / "formats/nfcapd/normal.nfcapd")


@needs("nfdump")
def test_breaks_that_nfcapd_counted_are_gaps() -> None:
    """The file keeps how often the numbers of an exporter broke; one without breaks has no gap."""
    found = {}
    for name in ("normal", "datagrams", "traps"):
        evidence = Evidence(io.BytesIO((SAMPLES / f"formats/nfcapd/{name}.nfcapd").read_bytes()), "flows", "collector")
        list(nfcapd.parse(evidence))
        found[name] = [tuple(gap) for gap in evidence.gaps]

    reason = (
        "nfcapd met breaks in the sequence numbers of source 1 (version 5) of 127.0.0.1: 1; there it lost datagrams, "
        "or the exporter began anew"
    )
    assert found == {"normal": [], "datagrams": [], "traps": [("sequence", None, None, reason, None)]}


@needs("nfdump")
def test_a_damaged_file_gives_what_nfdump_could_read_and_its_complaint() -> None:
    """Where nfdump stops, the rows before stand, and the error has its words."""
    data = (SAMPLES / "formats/nfcapd/normal.nfcapd").read_bytes()

    with pytest.raises(EvidenceError, match="nfdump"):
        read(nfcapd, data[:200])


def test_times_of_nfdump_need_a_zone() -> None:
    """A clock without a zone is asked for; Unix times of csv-fast are not."""
    line = "2015-05-21 09:00:01.500,2015-05-21 09:00:02.750,1.250,TCP,192.0.2.7,1024,203.0.113.9,443,5,500\n"

    with pytest.raises(TimezoneNeededError, match="2015-05-21 09:00:01"):
        read(nfdump, (HEADER + line).encode())
    (row,), _ = read(nfdump, (HEADER + line).encode(), timezone="Asia/Tokyo")
    assert (row["start"].isoformat(), row["end"].isoformat()) == (
        "2015-05-21T00:00:01.500000+00:00", "2015-05-21T00:00:02.750000+00:00",
    )  # fmt: skip
    assert read(nfdump, (SAMPLES / "formats/nfdump/fast.csv").read_bytes())[1]["epoch_unit"] == "milliseconds"


@pytest.mark.parametrize(
    ("told", "proto"),
    [("TCP", "tcp"), ("17", "udp"), ("ICMP6", "icmp6"), ("GRE", "ip-47"), ("ESP", "ip-50"), ("0", "ip-0")],
)
def test_protocols_have_one_name(told: str, proto: str) -> None:
    """Names and numbers of nfdump become those of other evidence."""
    line = f"2015-05-21 09:00:01,2015-05-21 09:00:02,1,{told},192.0.2.7,0,203.0.113.9,0,5,500\n"
    (row,), _ = read(nfdump, (HEADER + line).encode(), timezone="UTC")

    assert row["proto"] == proto
