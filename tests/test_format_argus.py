"""Argus: what ``ra`` prints, compared with the capture that Argus read."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import forensics as fx
from forensics.errors import EvidenceError, TimezoneNeededError
from forensics.formats import Evidence, Hints, argus
from forensics.schema import parts_of

CAPTURE = Path(__file__).parents[1] / "sample_pcaps" / "lab" / "relay-2.pcap"
HEADER = "StartTime,LastTime,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,SrcPkts,DstPkts,SrcBytes,DstBytes,State\n"
FIELDS = "stime,ltime,proto,saddr,sport,dir,daddr,dport,spkts,dpkts,sbytes,dbytes,state"
EACH = "src,src_port,dst,dst_port,proto"


def read(text: str, zone: str | None = None) -> tuple[list[dict[str, Any]], dict[str, object]]:
    """Return flows and notes of a table; rejects are none."""
    hints = Hints(timezone=ZoneInfo(zone) if zone else None)
    evidence = Evidence(io.BytesIO(text.encode()), "ra.csv", "sensor", hints)
    found = [row for _, whole in argus.parse(evidence) for _, part in parts_of(whole) for row in part.to_pylist()]
    return found, evidence.notes


def row(**values: str) -> str:
    """Return a row of a table."""
    usual = {
        "StartTime": "1433122200.5", "LastTime": "1433122201.5", "Proto": "tcp", "SrcAddr": "192.0.2.21",
        "Sport": "50122", "Dir": "   ->", "DstAddr": "203.0.113.7", "Dport": "80", "SrcPkts": "6", "DstPkts": "7",
        "SrcBytes": "806", "DstBytes": "5281", "State": "FIN",
    }  # fmt: skip
    return ",".join((usual | values)[label] for label in HEADER.strip().split(",")) + "\n"


@pytest.mark.skipif(not (shutil.which("argus") and shutil.which("ra")), reason="argus and ra are not installed")
@pytest.mark.parametrize("interval", ["60", "1"])
def test_argus_and_we_count_the_same(tmp_path: Path, interval: str) -> None:
    """Bytes and packets of each connection are those of our own reader, however often Argus reported it.

    So they are bytes of frames, and the rows of one long flow are increments.
    """
    data, table = tmp_path / "lab.argus", tmp_path / "ra.csv"
    subprocess.run(["argus", "-S", interval, "-r", CAPTURE, "-w", data], check=True, timeout=60)
    printed = subprocess.run(
        ["ra", "-r", data, "-n", "-u", "-c", ",", "-L", "0", "-s", FIELDS, "-", "tcp", "or", "udp"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    table.write_bytes(printed.stdout)
    theirs, ours = fx.read(table), fx.read(CAPTURE)
    sums = "sum({}_out), sum({}_in), sum(packets_out), sum(packets_in)"
    each = "select {}, {} from flows where proto in ('tcp', 'udp') group by {}"

    one, two = (
        Counter(map(tuple, case.sql(each.format(EACH, sums.replace("{}", kind), EACH)).to_pandas().to_numpy().tolist()))
        for case, kind in ((theirs, "bytes"), (ours, "frame_bytes"))
    )
    assert one == two
    assert len(one) > 10


def test_the_one_who_began_is_the_source() -> None:
    """An arrow to the left swaps the ends; where the direction is not known they stay."""
    left, unknown = read(HEADER + row(Dir="   <-") + row(Dir="  <?>"))[0]

    assert (left["src"], left["src_port"], left["bytes_out"], left["packets_out"]) == ("203.0.113.7", 80, 5281, 7)
    assert (unknown["src"], unknown["bytes_out"]) == ("192.0.2.21", 806)


def test_totals_tell_no_direction() -> None:
    """Bytes of both directions together are bytes of none."""
    flow = read("StartTime,Proto,SrcAddr,DstAddr,TotBytes\n1433122200,tcp,192.0.2.21,203.0.113.7,6087\n")[0][0]

    assert (flow["bytes_out"], flow["bytes_in"], flow["start"]) == (None, None, flow["end"])


def test_times_without_a_date_are_an_error() -> None:
    """What ra prints by default tells the time of day alone; the error says how to print it better."""
    with pytest.raises(EvidenceError, match=r"its times have no date \(line 2: '11:18:00.008320'\): .* ra -u"):
        read(HEADER + row(StartTime="11:18:00.008320"))


def test_times_without_a_zone_need_one() -> None:
    """A date and a time of some zone are asked for the zone."""
    text = HEADER + row(StartTime="2015/06/01.10:30:00.5", LastTime="2015/06/01.10:30:01.5")
    with pytest.raises(TimezoneNeededError):
        read(text)

    assert read(text, "Asia/Tokyo")[0][0]["start"] == read(HEADER + row())[0][0]["start"]


def test_records_of_argus_itself_are_passed_over() -> None:
    """Management records, ARP and repeated headers are no flows; what they are is counted."""
    text = HEADER + row(Proto="man", SrcAddr="0", DstAddr="0") + row(Proto="arp") + HEADER + row()
    flows, notes = read(text + row(Proto="llc", SrcAddr="00:00:5e:00:53:01", DstAddr="00:00:5e:00:53:02"))

    assert len(flows) == 1
    assert notes == {"records": 4, "management_records": 1, "records_without_ip": 2}


@pytest.mark.parametrize("data", [b"", b"\n", b"a,b,c\n", b"StartTime,SrcAddr,DstAddr,X,Y\n", b"ts,te,td,sa\n"])
def test_other_files_are_declined(data: bytes) -> None:
    """A table is known by the labels of ra, and enough of them."""
    assert argus.declines(data, Hints())
