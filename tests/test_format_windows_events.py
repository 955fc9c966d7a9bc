"""Event logs of Windows: one meaning in four forms and three languages, damage, direction, zones.

Samples are made from the documentation; the corpus has event logs of real machines.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from forensics.errors import EvidenceError, MissingToolError, TimezoneNeededError
from forensics.formats import Evidence, Hints, _json, windows_events
from forensics.formats._event_times import EventTimes
from forensics.formats._events import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = Path(__file__).resolve().parents[1] / "sample_pcaps" / "formats" / "windows_events"
CORPUS = os.environ.get("FORENSICS_CORPUS")
needs_corpus = pytest.mark.skipif(not CORPUS, reason="FORENSICS_CORPUS names no corpus of real evidence")

Rows = dict[str, list[dict[str, Any]]]


def read(data: bytes, zone: str | None = None, stream: io.BytesIO | None = None) -> tuple[Rows, dict[str, object]]:
    """Return what is made of a file, by table, and the notes it left."""
    evidence = Evidence(stream or io.BytesIO(data), "log", "pc7", Hints(timezone=ZoneInfo(zone) if zone else None))
    found: Rows = {"flows": [], "names": [], "rejects": []}
    for table, batch in windows_events.parse(evidence):
        found[table].extend(batch.to_pylist())
    return found, evidence.notes


def sample(name: str, zone: str | None = None) -> Rows:
    """Return what is made of a sample."""
    return read((SAMPLES / name).read_bytes(), zone)[0]


def meaning(rows: Rows, *, seconds: bool = False) -> set[str]:
    """Return what rows say, without where they stand; times in whole seconds where asked."""
    return {
        str({k: v.replace(microsecond=0) if seconds and isinstance(v, datetime) else v
             for k, v in row.items() if k not in ("record", "source")})
        for table in ("flows", "names")
        for row in rows[table]
    }  # fmt: skip


@pytest.mark.parametrize("name", ["normal.evtx", "winlogbeat.json"])
def test_forms_of_the_same_events_say_the_same(name: str) -> None:
    """EVTX, XML and JSON of the same events give the same rows."""
    assert meaning(sample(name)) == meaning(sample("normal.xml"))


@pytest.mark.parametrize(
    ("name", "zone"),
    [("english.csv", "America/New_York"), ("japanese.csv", "Asia/Tokyo"), ("german.csv", "Europe/Berlin")],
)
def test_languages_of_the_same_events_say_the_same(name: str, zone: str) -> None:
    """A table in cp932, UTF-16 or UTF-8, in any of three languages, gives the rows of the XML, to the second."""
    assert meaning(sample(name, zone), seconds=True) == meaning(sample("normal.xml"), seconds=True)


def test_nothing_has_bytes() -> None:
    """No event says how much was sent."""
    assert all(row["bytes_out"] is None and row["bytes_in"] is None for row in sample("normal.evtx")["flows"])


def test_sysmon_names_the_end_that_began_first() -> None:
    """A connection that Sysmon's machine took goes to the machine, although Initiated is false."""
    (row,) = [row for row in sample("normal.xml")["flows"] if row["record"] == 3]

    assert (row["src"], row["dst"], row["dst_port"], row["state"]) == ("198.51.100.4", "192.0.2.7", 3389, None)


def test_the_filtering_platform_names_its_own_end_first() -> None:
    """An inbound 5156 is turned round; the type and code of an inbound ICMP stay."""
    (row,) = [row for row in sample("normal.xml")["flows"] if row["record"] == 6]
    (ping,) = [row for row in sample("traps.xml")["flows"] if row["proto"] == "icmp"]

    assert (row["src"], row["src_port"], row["dst"], row["dst_port"]) == ("198.51.100.4", 50122, "192.0.2.7", 3389)
    assert (ping["src"], ping["src_port"], ping["dst"], ping["dst_port"]) == ("198.51.100.4", 8, "192.0.2.7", 0)


def test_a_table_needs_a_zone_only_where_windows_wrote_the_time() -> None:
    """A 5156 in a table has the clock of the exporting machine; Sysmon's message has UTC."""
    with pytest.raises(TimezoneNeededError, match="say which one the device kept"):
        sample("english.csv")

    assert len(sample("sysmon.csv")["flows"]) == 3


def test_evtx_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error says what to install; other forms are read."""
    monkeypatch.setitem(sys.modules, "evtx", None)

    with pytest.raises(MissingToolError, match=r"pip install 'forensics\[host\]'"):
        sample("normal.evtx")
    assert sample("normal.xml")["flows"]


def test_a_file_that_is_no_event_log_behind_its_magic_is_an_error() -> None:
    """Bytes behind the first eight that are no header are said to be none."""
    with pytest.raises(EvidenceError, match="its header cannot be read"):
        read(b"ElfFile\0" + b"x" * 100)


class PanicException(BaseException):
    """What the package raises where its own code failed."""


def test_a_panic_of_the_reader_ends_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package gives up, the file has an error and the program goes on; an interrupt goes through."""
    for error, expected in ((PanicException("index"), EvidenceError), (KeyboardInterrupt(), KeyboardInterrupt)):

        class Parser:
            """Stands in for the package's parser."""

            def __init__(self, _file: object, **_options: object) -> None:
                """Take what the parser takes."""

            def records_json(self, problem: BaseException = error) -> Iterator[dict[str, object]]:
                """Fail at the first record."""
                yield from ()
                raise problem

        monkeypatch.setattr("evtx.PyEvtxParser", Parser)
        with pytest.raises(expected):
            sample("normal.evtx")


class _Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    def read(self, size: int | None = -1) -> bytes:
        """Return seven bytes at most."""
        return super().read(min(7, size) if size is not None and size >= 0 else 7)


@pytest.mark.parametrize("name", ["normal.evtx", "traps.xml", "traps.json", "dumped.json", "german.csv"])
def test_what_is_read_does_not_depend_on_how_the_bytes_come(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file gives the same rows when it comes seven bytes at a time."""
    monkeypatch.setattr(_json, "CHUNK", 64)
    data = (SAMPLES / name).read_bytes()

    assert read(data, "Europe/Berlin", _Trickle(data))[0] == read(data, "Europe/Berlin")[0]


def test_bad_lines_of_json_cost_one_reject_each() -> None:
    """Between good lines, each damaged one is one reject, however many there are."""
    good = (SAMPLES / "winlogbeat.json").read_text().splitlines()[0]
    lines = [good, '{"winlog": {', good[:-40], '{"a": "open', '{"a": 1x}', good] * 50
    rows, notes = read("\n".join(lines).encode())

    assert (len(rows["flows"]), len(rows["rejects"]), notes["records"]) == (100, 200, 300)


def test_a_deep_value_is_a_reject() -> None:
    """JSON nested a thousand levels deep, or beyond what can be parsed, is a reject."""
    good = (SAMPLES / "winlogbeat.json").read_text().splitlines()[0]
    for levels in (100, 100_000):
        deep = '{"a":' * levels + "1" + "}" * levels
        rows, _ = read(f"{good}\n{deep}\n{good}\n".encode())

        assert len(rows["flows"]) == 2
        assert rows["rejects"]


def test_entities_are_not_expanded() -> None:
    """A declaration of entities does not reach the parser: the event that uses one is a reject."""
    bomb = '<!DOCTYPE Event [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    text = (SAMPLES / "normal.xml").read_text().replace("<Events>", f"{bomb}<Events>").replace("mori", "&b;", 1)
    rows, _ = read(text.encode())

    assert any("undefined entity" in row["reason"] for row in rows["rejects"])
    assert len(rows["flows"]) == 5


def test_notes_stay_short() -> None:
    """A log of ever new event numbers does not make the notes grow without end."""
    event = '{{"EventID":{},"SourceName":"x","@timestamp":"2015-05-21T01:00:00Z"}}'
    _, notes = read("\n".join(event.format(number) for number in range(500)).encode())

    counted = notes["events"]
    assert isinstance(counted, dict)
    assert len(counted) == 51
    assert counted["(others)"] == 450


@pytest.mark.parametrize(
    ("text", "around", "expected"),
    [
        ("2015/05/21 10:00:01", [], "2015-05-21 10:00:01"),
        ("21.05.2015 10:00:01", [], "2015-05-21 10:00:01"),
        ("5/4/2015 12:00:01 AM", ["5/4/2015 12:00:01 AM"], "2015-05-04 00:00:01"),
        ("5/4/2015 12:00:01 PM", ["5/21/2015 1:00:01 AM"], "2015-05-04 12:00:01"),
        ("5/4/2015 10:00", ["5/4/2015 10:00"], "2015-04-05 10:00:00"),
        ("5/4/2015 10:00:01 pm", ["21/5/2015 1:00:01 pm"], "2015-04-05 22:00:01"),
        ("\u200e5\u200e/\u200e4\u200e/\u200e2015 10:00:01", ["21/5/2015 1:00:01"], "2015-04-05 10:00:01"),
        ("2015-05-21T10:00:01.1234567+09:00", [], "2015-05-21 01:00:01.123456"),
        ("/Date(1432170004123)/", [], "2015-05-21 01:00:04.123000"),
    ],
)  # fmt: skip
def test_times_of_exports(text: str, around: list[str], expected: str) -> None:
    """Dates of any language are read; where day and month can be mistaken, the dates around them decide."""
    times = EventTimes(Evidence(io.BytesIO(), "log", "pc7", Hints(timezone=ZoneInfo("UTC"))), around)

    assert str(datetime.fromtimestamp(times.utc(text, 1) / 1e6, UTC)).removesuffix("+00:00") == expected


@pytest.mark.parametrize("text", ["", "21 May 2015", "2015-02-30 10:00:01", "2015-05-21 24:00:01", "1/2/3 4:05"])
def test_what_is_no_time(text: str) -> None:
    """A text that is no time, or none that exists, is told from one."""
    times = EventTimes(Evidence(io.BytesIO(), "log", "pc7", Hints(timezone=ZoneInfo("UTC"))))

    with pytest.raises(UnreadableError, match="its time is"):
        times.utc(text, 1)


def corpus(name: str) -> Rows:
    """Return what is made of an event log of the corpus."""
    return read((Path(CORPUS or "") / "host" / "evtx" / "samples" / name).read_bytes())[0]


@needs_corpus
def test_connections_of_a_real_sysmon() -> None:
    """Both connections that Sysmon logged on a real machine are flows, at the time that Sysmon says."""
    rows = corpus("sysmon.evtx")
    ends = [(str(r["start"]), r["src"], r["src_port"], r["dst"], r["dst_port"], r["proto"]) for r in rows["flows"]]

    assert ends == [
        ("2017-12-18 14:51:29.706000+00:00", "192.168.2.128", 59344, "185.26.182.117", 443, "tcp"),
        ("2017-12-18 14:51:29.968000+00:00", "192.168.2.128", 59345, "93.184.220.29", 80, "tcp"),
    ]
    assert len(rows["rejects"]) == 8  # chunks that are none


@needs_corpus
def test_a_blocked_ping_of_a_real_machine() -> None:
    """The 5157 of a ping goes the way that the 5152 of the same packet says: from 169.46.118.42 to the machine."""
    (row,) = corpus("Security_short_selected.evtx")["flows"]

    assert (row["src"], row["dst"], row["src_port"], row["dst_port"], row["proto"], row["state"]) == (
        "169.46.118.42", "169.46.6.101", 8, 0, "icmp", "blocked",
    )  # fmt: skip


@needs_corpus
def test_event_logs_of_any_kind_are_read() -> None:
    """Every event log of the corpus is read to its end, damaged or not; what cannot be read is told."""
    files = sorted((Path(CORPUS or "") / "host").rglob("*.evtx"))
    assert files
    for path in files:
        try:
            rows, notes = read(path.read_bytes())
        except EvidenceError as error:
            assert re.search("header|not one of its", str(error)), path  # noqa: PT017
            continue
        records = notes["records"]
        assert isinstance(records, int)
        assert records > len(rows["rejects"]), path
        assert json.dumps(notes)
