"""Rotated logs: which files are one set, in which order they are read, and that they are of one vantage."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import forensics as fx
from forensics.reading import EvidenceFile, ReadOptions, in_order
from forensics.reading.sets import ordered, place_of, vantage_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.reading.conftest import Tiny

SETS = {
    "access": ["access.log.11.gz", "access.log.2.gz", "access.log.1", "access.log"],
    "proxy": ["proxy.2.log", "proxy.1.log", "proxy.log"],
    "pfirewall": ["pfirewall.log.old", "pfirewall.log"],
    "squid": ["squid.log-20150520.gz", "squid.log-20150521", "squid.log"],
    "messages": ["messages-20150524", "messages-20150531", "messages"],
    "tomcat": ["tomcat.2015-05-20.log", "tomcat.2015-05-21.log"],
    "hourly": ["hourly-2015052109.log.gz", "hourly-2015052110.log.gz", "hourly_2015-05-21T11.log"],
    "u_ex": ["u_ex150520.log", "u_ex150521.log", "u_ex15052110.log"],
    "conn": ["conn.09:00:00-10:00:00.log.gz", "conn.10_00_00-11_00_00.log.gz", "conn.log"],
    "office": ["office_00001_20150521100000.pcap", "office_00002_20150521110000.pcap"],
    "wire": ["wire.pcap", "wire.pcap1", "wire.pcap10"],
    "nfcapd": ["nfcapd.201505211000", "nfcapd.201505211005"],
    "ISALOG_WEB": ["ISALOG_20150521_WEB_000.w3c", "ISALOG_20150521_WEB_001.w3c"],
}
"""Names of files in order of time, by what they share."""


@pytest.mark.parametrize("stem", SETS)
def test_names_of_a_set(stem: str, tmp_path: Path) -> None:
    """Names that rotation gives are of one set and one vantage, and tell the order where nothing else does."""
    files = [EvidenceFile(name, tmp_path / name) for name in SETS[stem]]
    assert {place_of(file.name).stem for file in files} == {stem}
    assert {vantage_of(f"gw/{file.name}") for file in files} == {f"gw/{stem}"}
    mixed = random.Random(7).sample(files, len(files))
    assert [file.name for file in ordered(mixed, lambda _: None)] == SETS[stem]


def test_other_names_are_other_sets() -> None:
    """Numbers and dots that rotation does not write tell files apart."""
    names = ["gw1.log", "gw2.log", "192.0.2.1.log", "192.0.2.2.log.1", "relay.pcap", "20150521.log", ".hidden"]
    assert [vantage_of(name) for name in names] == [
        "gw1", "gw2", "192.0.2.1", "192.0.2.2", "relay", "20150521", "hidden",
    ]  # fmt: skip
    assert vantage_of("a/access.log") != vantage_of("b/access.log.1")


def test_folders_named_by_dates_are_one_set(tmp_path: Path) -> None:
    """Zeek puts each day's logs into a folder of its own: the days follow each other, and are of one vantage."""
    names = ["2015-05-20/conn.23:00:00-00:00:00.log.gz", "2015-05-21/conn.00:00:00-01:00:00.log.gz"]
    files = [EvidenceFile(name, tmp_path / name) for name in names]
    assert [file.name for file in ordered(files[::-1], lambda _: None)] == names
    assert {vantage_of(f"zeek/{name}") for name in names} == {"zeek/conn"}


def test_times_decide_before_names(tmp_path: Path, tiny: Tiny) -> None:
    """The times at the heads of files decide their order; a set stands together, where its first file was."""
    assert tiny.NAME == "tiny"
    texts = {
        "a.log": b"7200 1\n",
        "b.log": b"60 1\n",
        "a.log.1": b"7100 1\n",
        "a.log.2": b"x\n",
        "a.log.3": b"9000 1\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
    (tmp_path / "a.log.4.gz").write_bytes(gzip.compress(b"50 1\n"))
    names = [*texts, "a.log.4.gz"]
    files = in_order([EvidenceFile(name, tmp_path / name) for name in names], ReadOptions())
    assert [file.name for file in files] == ["a.log.4.gz", "a.log.1", "a.log", "a.log.3", "a.log.2", "b.log"]


def test_what_cannot_be_peeked_at_is_told_when_read(tmp_path: Path, tiny: Tiny) -> None:
    """A file that is gone or of no format keeps the place its name gives it, and raises nothing yet."""
    assert tiny.NAME == "tiny"
    (tmp_path / "a.log.1").write_bytes(b"?")
    files = [EvidenceFile(name, tmp_path / name) for name in ("a.log", "a.log.1", "a.log.2")]
    assert [file.name for file in in_order(files, ReadOptions())] == ["a.log.2", "a.log.1", "a.log"]


def test_a_rotated_log_in_a_case(tmp_path: Path) -> None:
    """A folder with an hourly log is read from its oldest part on, as one vantage."""
    line = "{}.000 1 192.0.2.1 TCP_MISS/200 9 GET http://www.example/ - DIRECT/203.0.113.7 text/html\n"
    (tmp_path / "access.log").write_text(line.format(1432166400), "utf-8")
    (tmp_path / "access.log.1").write_text(line.format(1432162800), "utf-8")
    (tmp_path / "access.log.2.gz").write_bytes(gzip.compress(line.format(1432159200).encode()))
    case = fx.read(tmp_path)
    assert next(iter(case._store.origins.values())).source == "access.log.2.gz"
    assert case.sql("SELECT DISTINCT vantage FROM flows").to_arrow().to_pylist() == [{"vantage": "access"}]


@given(st.text(alphabet="ab.-_0123456789gzold:", max_size=40))
def test_every_name_has_a_place(rest: str) -> None:
    """Whatever a file is called, it has a vantage, and packing it does not change that."""
    assert vantage_of(f"gw/n{rest}") == vantage_of(f"gw/n{rest}.gz") != "gw/"
