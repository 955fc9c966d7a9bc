"""Overlapping copies of a log: each line gives its rows once, and no file can make a line of another vanish."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import forensics as fx
from forensics.reading import copies
from forensics.reading.copies import _repeated

if TYPE_CHECKING:
    from pathlib import Path

    from forensics.case import Case

LINE = "{}.000 0 192.0.2.{} TCP_MISS/200 9 GET http://www.example/ - DIRECT/203.0.113.7 text/html\n"


def text(times: range, client: int = 1) -> str:
    """Return lines of a log, one each second."""
    return "".join(LINE.format(1432166400 + time, client) for time in times)


def rows(case: Case) -> Counter[tuple[Any, ...]]:
    """Return how often each row is there, by time and client."""
    found = case.sql("SELECT epoch_us(start) // 1000000 - 1432166400 AS time, src FROM flows").to_arrow().to_pylist()
    return Counter((row["time"], row["src"]) for row in found)


def notes(case: Case, source: str) -> dict[str, Any]:
    """Return the notes of a file."""
    (row,) = [row for row in case.sources.to_arrow().to_pylist() if row["source"] == source]
    told: dict[str, Any] = json.loads(row["notes"])
    return told


@pytest.mark.parametrize("on_disk", [True, False])
def test_each_line_once(tmp_path: Path, on_disk: bool) -> None:
    """Two copies that overlap give each line once, in one add or in two; records count all lines, volumes do not."""
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "access.log.1.gz").write_bytes(gzip.compress(text(range(100)).encode()))
    case = fx.open_case(tmp_path / "x.case") if on_disk else fx.read(folder)
    case.add(folder)
    (folder / "access.log").write_text(text(range(60, 150)), "utf-8")
    case.add(folder)

    assert rows(case) == Counter({(time, "192.0.2.1"): 1 for time in range(150)})
    assert notes(case, "access.log")["copies_of"] == {"access.log.1.gz": 40}
    assert case.sql("SELECT records, flows FROM sources ORDER BY source").to_arrow().to_pylist() == [
        {"records": 90, "flows": 50},
        {"records": 100, "flows": 100},
    ]
    assert case.sql("SELECT sum(connections)::BIGINT AS n FROM volumes").to_arrow()["n"].to_pylist() == [150]
    assert case.sql("SELECT count(*) AS n FROM requests").to_arrow()["n"].to_pylist() == [150]


def test_equal_lines_of_one_file_stay(tmp_path: Path) -> None:
    """Of equal lines as many stay as the file has that has more of them; rejects are lines like others."""
    (tmp_path / "access.log.1").write_text(text(range(9)) + text(range(5, 6)) * 2 + "?\n", "utf-8")
    (tmp_path / "access.log").write_text(text(range(3, 12)) + text(range(5, 6)) * 4 + "?\n?\n", "utf-8")
    case = fx.read(tmp_path)
    assert rows(case) == Counter({(time, "192.0.2.1"): 5 if time == 5 else 1 for time in range(12)})
    assert len(case.rejects) == 2


def test_three_copies(tmp_path: Path) -> None:
    """A line that three files have is given by the first of them alone."""
    for number, times in enumerate((range(100), range(50, 150), range(20, 200))):
        (tmp_path / f"access.log.{9 - number}").write_text(text(times), "utf-8")
    assert rows(fx.read(tmp_path)) == Counter({(time, "192.0.2.1"): 1 for time in range(200)})


ZSCALER = r"zscaler: %s{time}\t%s{tz}\t%s{cip}\t%s{reqmethod}\t%s{eurl}\t%d{reqsize}\n"
SECOND = {
    "zscaler": "Thu May 21 10:00:{:02} 2015\tGMT\t192.0.2.1\tGET\twww.example/\t9\n",
    "forcepoint": "May 21 10:00:{:02} gw vendor=Forcepoint product=Security action=permitted src_host=192.0.2.1 "
    "dst_ip=203.0.113.7 url=http://www.example/ bytes_out=9 bytes_in=9\n",
    "forcepoint cloud": '[14322024{:02},1022,"u",3221225985,1,9,9,1026,"153","HTTP",80,3405803783,"http://a.example/"]\n',
    "iptables": "May 21 10:00:{:02} gate kernel: [UFW BLOCK] IN=eth0 OUT= SRC=192.0.2.1 DST=203.0.113.7 LEN=40 "
    "PROTO=TCP SPT=40812 DPT=23\n",
    "paloalto": "1,2015/05/21 10:01:00,0018,TRAFFIC,end,1,2015/05/21 10:01:00,192.0.2.1,203.0.113.7,0.0.0.0,0.0.0.0,"
    "out,,,ssl,vsys1,trust,untrust,ae1,ae2,fwd,2015/05/21 10:01:00,4711,1,50122,443,0,0,0x19,tcp,allow,18,9,9,17,"
    "2015/05/21 10:00:{:02},9,any,0,4711,0x0,United States,Japan,0,8,9,tcp-fin\n",
    "paloalto export": '192.0.2.1,203.0.113.7,TRAFFIC,end,4711,50122,443,tcp,allow,9,9,2015/05/21 10:00:{:02},"a,b"\n',
}
HEADERS = {
    "paloalto export": "Source address,Destination address,Type,Threat/Content Type,Session ID,Source Port,"
    "Destination Port,IP Protocol,Action,Bytes Sent,Bytes Received,Start Time,Rule\n",
}


@pytest.mark.parametrize("name", SECOND)
def test_lines_of_many_formats(name: str, tmp_path: Path) -> None:
    """Each line gives its rows once, whatever format: of proxies, of firewalls, sent or exported."""
    line, header = SECOND[name], HEADERS.get(name, "")
    for file, times in (("gate.log.1", range(40)), ("gate.log", range(25, 60))):
        (tmp_path / file).write_text(header + "".join(map(line.format, times)), "utf-8")
    logformat = ZSCALER if name == "zscaler" else None
    case = fx.read(tmp_path, year=2015, timezone="UTC", logformat=logformat)

    assert set(case.sources.to_arrow()["format"].to_pylist()) == {name.split(maxsplit=1)[0]}
    assert case.sources.to_arrow()["error"].null_count == 2
    times = case.flows.to_arrow()["start"].to_pylist()
    assert len(times) == len(set(times)) == 60
    repeated = 15 + bool(header)
    assert notes(case, "gate.log")["copies_of"] == {"gate.log.1": repeated}


def test_parts_that_follow_each_other_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the head of the later file is not in the earlier one, no line is hashed."""
    monkeypatch.setattr(copies, "_digests", None)
    (tmp_path / "access.log.1").write_text(text(range(100)), "utf-8")
    (tmp_path / "access.log").write_text(text(range(99, 150), client=2), "utf-8")
    case = fx.read(tmp_path)
    assert sum(rows(case).values()) == 151
    assert "copies_of" not in notes(case, "access.log")


def test_logs_of_two_proxies_are_no_copies(tmp_path: Path) -> None:
    """Equal lines of two sets are records of two proxies."""
    for name in ("gw1", "gw2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "access.log").write_text(text(range(9)) + "\n" * (name == "gw2"), "utf-8")
    assert set(rows(fx.read(tmp_path)).values()) == {2}


def test_a_forged_file_suppresses_nothing(tmp_path: Path) -> None:
    """A line is left out only where the very same line was read: one that differs in a byte hides nothing."""
    true = text(range(50))
    forged = text(range(10)) + text(range(10, 50)).replace("GET", "gET").replace("192.0.2.1", "192.0.2.9")
    (tmp_path / "access.log.1").write_text(forged, "utf-8")
    (tmp_path / "access.log").write_text(true, "utf-8")
    found = rows(fx.read(tmp_path))
    assert all(found[time, "192.0.2.1"] == 1 for time in range(50))


def test_what_cannot_be_read_again_is_noted(tmp_path: Path) -> None:
    """Where the older file is gone, all lines are kept, and it is said that they were not compared."""
    case = fx.open_case(tmp_path / "x.case")
    older, newer = tmp_path / "access.log.1", tmp_path / "access.log"
    older.write_text(text(range(100)), "utf-8")
    case.add(older)
    older.unlink()
    newer.write_text(text(range(50, 150)), "utf-8")
    case.add(newer)
    assert sum(rows(case).values()) == 200
    (reason,) = notes(case, "access.log")["overlap_not_checked"]
    assert reason.startswith("access.log.1: is no longer at")


def test_very_long_logs_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More lines than memory is meant for are kept, and it is said that they were not compared."""
    monkeypatch.setattr(copies, "MOST_LINES", 20)
    (tmp_path / "access.log.1").write_text(text(range(30)), "utf-8")
    (tmp_path / "access.log").write_text(text(range(40)), "utf-8")
    case = fx.read(tmp_path)
    assert sum(rows(case).values()) == 70
    assert "more than 20 lines" in notes(case, "access.log")["overlap_not_checked"][0]


@given(*[st.lists(st.sampled_from([b"", b"a", b"b", b"c"]), max_size=20)] * 2)
def test_of_each_line_the_larger_count_is_kept(older: list[bytes], newer: list[bytes]) -> None:
    """Of each line the two files together keep as many as the file has that has more of them."""
    found = _repeated(np.array(older, "S16"), np.array(newer, "S16"), np.zeros(0, np.bool_))
    kept = Counter(line for line, gone in zip(newer, found, strict=True) if not gone)
    both, larger = Counter(older) + kept, Counter(older) | Counter(newer)
    assert all(both[line] == larger[line] for line in (b"a", b"b", b"c"))
    assert not any(gone for line, gone in zip(newer, found, strict=True) if not line)
