"""Squid logs: lines that are read by columns are read as the reader of single lines reads them."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forensics.errors import EvidenceError
from forensics.formats import Evidence, Hints, _cut, _squid_cut, squid
from forensics.formats._blocks import block_of
from forensics.formats._squid_cut import cut_by, plan_of
from forensics.formats._squid_logformat import PREDEFINED, compile_logformat
from forensics.schema import parts_of

NATIVE = (
    "1433122200.512    182 192.0.2.21 TCP_MISS/200 4811 GET http://www.example/ - HIER_DIRECT/203.0.113.7 text/html"
)
COMBINED = (
    '192.0.2.21 - - [01/Jun/2015:10:30:00 +0900] "GET http://www.example/ HTTP/1.1" 200 4811 "-" "Mozilla/5.0" '
    "TCP_MISS:HIER_DIRECT"
)
SIZED = (
    "%ts.%03tu %6tr %>a:%>p %>la:%>lp %Ss/%03>Hs %>st %<st %rm %ru %ssl::>sni %Sh/%<a:%<p %mt "
    '"%{User-Agent}>h" "%{Referer}>h" [%{X-Forwarded-For}>h]'
)
SIZED_LINE = (
    "1433122200.512    182 192.0.2.21:50122 192.0.2.1:3128 TCP_MISS/200 402 4811 GET http://www.example/ sni.example "
    r'HIER_DIRECT/203.0.113.7:80 text/html "a \"b\" \\" "http://a.example/" [198.51.100.77]'
)
LOCAL = "%{%Y-%m-%d %H:%M:%S}tl.%03tu %>a %rm|%ru %>Hs %>st %<st"
LOCAL_LINE = "2015-06-01 10:30:00.512 192.0.2.21 GET|http://www.example/ 200 402 4811"
PIECES = '%tS %tr %>A %>p %<Hs %rm "%#>ru" %>rs %>rd %>rP %>rp %<st %Sh %<a %adapt::sum_trs %note'
PIECES_LINE = (
    '1433122200.512 12 pc.example 80 200 GET "http://a.example/%2Fx" http a.example 81 /a 5 HIER_DIRECT 192.0.2.9 - -'
)
STAMPED = "<%{%d/%m/%y %T %z}tg> %>a|%'rm|%'ru|%<st %[un %{X}<h"
STAMPED_LINE = "<01/06/15 10:30:00 +0000> 192.0.2.21|GET|http://a.example/|5 tanaka x"
FOLD = b"2015-10-25 02:30:00.0 192.0.2.1 GET|http://a.example/ 200 1 2\n"
LAYOUTS = {
    "squid": NATIVE,
    "combined": COMBINED,
    "common": COMBINED.replace(' "-" "Mozilla/5.0"', ""),
    "useragent": '192.0.2.21 [01/Jun/2015:10:30:00 +0900] "Mozilla/5.0"',
    "referrer": "1.500 192.0.2.1 http://a.example/ http://b.example/x",
    SIZED: SIZED_LINE,
    LOCAL: LOCAL_LINE,
    PIECES: PIECES_LINE,
    "%ts.%03tu %>a %Ss/%03>Hs %<st %rm %ru": "1433122200.5 192.0.2.21 TCP_MISS/200 4811 GET http://www.example/",
    STAMPED: STAMPED_LINE,
}
PIECES_OF_LINES = [
    *(
        " ",
        "  ",
        "-",
        '"',
        '\\"',
        "\\",
        "[",
        "]",
        "/",
        ":",
        "|",
        ".",
        "%",
        "%2D",
        "%zz",
        "\r",
        "\t",
        "\x00",
        "\xa0",
        "é",
    ),
    *(
        "0",
        "00",
        "9",
        "99999",
        "65536",
        "-5",
        "+",
        "1433122200",
        "9999999999",
        "999999999999999999",
        "1125899906842625",
    ),
    *(
        "GET",
        "CONNECT",
        "ICP_QUERY",
        "UDP_MISS",
        "TCP_TUNNEL",
        "HIER_DIRECT",
        "TIMEOUT_DIRECT",
        "NONE_NONE/000",
        "error:x",
    ),
    *(
        "http://",
        "tunnel://",
        "tunnel://www.example:443/",
        "www.example:443",
        "[2001:db8::1]:443",
        "http://[::1]:8080/",
    ),
    *(
        "192.0.2.21",
        "::ffff:192.0.2.1",
        "pc.example",
        "sato taro",
        "text/html",
        " [User-Agent: x] [HTTP/1.1 200]",
        "山",
    ),
    *("31/Jun", "29/Feb/2015", "01/June/2015", "24:00:00", "23:59:60", "23:59:61", "+2500", "+0099", "2015-03-29", "Z"),
]


class Paths:
    """What a log gives, by columns and line by line."""

    def __init__(self, log: bytes, logformat: str | None, zone: str | None = None) -> None:
        self._log = log
        self._hints = Hints(timezone=ZoneInfo(zone) if zone else None, logformat=logformat)

    def rows(self, *, slow: bool) -> tuple[Counter[str], dict[str, object]]:
        """Return the rows of a log and its notes, as comparable text."""
        evidence = Evidence(io.BytesIO(self._log), "access.log", "office", self._hints)
        found: Counter[str] = Counter()
        before, _cut.SLOW_ONLY = _cut.SLOW_ONLY, slow
        try:
            for table, batch in squid.parse(evidence):
                batch.validate(full=True)
                for part, rows in parts_of(batch) if table == "exchanges" else [(table, batch)]:
                    found.update(f"{part} {row}" for row in rows.to_pylist())
        except EvidenceError as error:
            found[f"error {error}"] += 1
        finally:
            _cut.SLOW_ONLY = before
        return found, evidence.notes

    def agree(self) -> None:
        """Assert that both ways say the same."""
        assert self.rows(slow=False) == self.rows(slow=True)


SAMPLES = Path(__file__).resolve().parents[1] / "sample_pcaps" / "formats" / "squid"


@pytest.mark.parametrize("logformat", [None, *LAYOUTS])
@pytest.mark.parametrize("path", [*SAMPLES.glob("*.log"), *SAMPLES.glob("*/*.log")], ids=lambda path: path.name)
def test_samples_are_read_alike(path: Path, logformat: str | None) -> None:
    """Every sample, read as any layout, gives the same rows and notes either way."""
    Paths(path.read_bytes(), logformat, "Europe/Berlin").agree()


@pytest.mark.parametrize("logformat", LAYOUTS)
def test_ordinary_lines_are_read_by_columns(logformat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lawful line of each layout needs no reader of single lines."""
    monkeypatch.setattr("forensics.formats._squid_log.Reader", None)
    found, _ = Paths(LAYOUTS[logformat].encode() + b"\n", logformat, "Asia/Tokyo").rows(slow=False)

    assert any(row.startswith(("flows", "requests")) for row in found)


@st.composite
def logs(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a layout and lines that nearly are of it."""
    logformat = draw(st.sampled_from(list(LAYOUTS)))
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        line = LAYOUTS[logformat]
        for _ in range(draw(st.integers(0, 3))):
            begin = draw(st.integers(0, len(line)))
            end = begin + draw(st.integers(0, 12))
            line = line[:begin] + draw(st.sampled_from(PIECES_OF_LINES) | st.text(max_size=3)) + line[end:]
        lines.append(line.encode("utf-8", "surrogatepass"))
    return logformat, draw(st.sampled_from([b"\n", b"\r\n"])).join(lines)


@given(log=logs())
@settings(max_examples=600)
@example(log=("squid", NATIVE.encode() + b" [] [x]"))
@example(log=("squid", NATIVE.replace("www", "\\xff").encode() + b"\xff\xfe"))
@example(log=("squid", NATIVE.replace("TCP_MISS/200", "-/-").encode()))
@example(log=("squid", NATIVE.replace("GET http://www.example/", "CONNECT tunnel://www.example:443/").encode()))
@example(log=("squid", NATIVE.replace("GET http://www.example/", "- www.example:443").encode()))
@example(log=(SIZED, SIZED_LINE.replace(r"\"b\"", "%2D").encode()))
@example(log=(SIZED, SIZED_LINE.replace(r"a \"b\" \\", "").encode()))
@example(log=(SIZED, SIZED_LINE.replace("[198.51.100.77]", "[a[b]").encode()))
@example(log=(SIZED, SIZED_LINE.encode().replace(b"text/html", b"\xff\xfe")))
@example(log=("combined", COMBINED.replace("+0900", "+2400").encode()))
@example(log=("combined", COMBINED.replace("10:30:00", "23:59:60").encode()))
@example(log=(LOCAL, FOLD + FOLD.replace(b"10-25", b"03-29")))
def test_any_lines_are_read_alike(log: tuple[str, bytes]) -> None:
    """Whatever the lines, columns and single lines give the same rows, rejects and notes."""
    logformat, data = log
    Paths(data, logformat, "Europe/Berlin").agree()


@given(log=logs())
@settings(max_examples=300)
def test_the_loop_cuts_as_the_expression(log: tuple[str, bytes]) -> None:
    """A line that the loop cuts the layout's expression cuts at the same places."""
    logformat, data = log
    layout = compile_logformat(logformat, PREDEFINED.get(logformat, logformat))
    plan = plan_of(layout)
    assert plan is not None
    cut = cut_by(block_of(data + b"\n"), plan, range(len(layout.items)))

    for row in range(cut.rows):
        if cut.odd[row] == 0:
            found = layout.split(cut.record(row).decode("utf-8", "backslashreplace"))
            assert found is not None
            groups = [(text or "").encode() for text in found.groups()[: len(layout.items)]]
            shown = [
                cut.content(field, row).decode("utf-8", "backslashreplace").encode() for field in range(cut.fields)
            ]
            assert shown == groups


@pytest.mark.parametrize(
    "code", ["%/{User-Agent}>h", "|%-12>h{User-Agent}|", "%ts%tu", "%{%e %b %Y}tl", "%{%s}tl", "%ru%mt"]
)
def test_what_the_loop_cannot_follow_is_read_line_by_line(code: str) -> None:
    """Definitions with shell-like text, padded text, codes side by side or times of any length have no plan."""
    assert plan_of(compile_logformat("x", f"%ts %>a {code} %<st")) is None


def test_mixed_lines_come_out_whole() -> None:
    """Lines that the loop leaves stand among those that it cuts; each gives its row, with its number."""
    odd = NATIVE.replace(" - ", " sato taro ")
    found, notes = Paths(f"{NATIVE}\n{odd}\nnonsense\n{NATIVE}".encode(), None).rows(slow=False)

    assert sum(row.startswith("flows") for row in found) == 3
    assert [row for row in found if row.startswith("rejects") and "'record': 3" in row]
    assert notes["records"] == 4


@pytest.mark.skipif(os.environ.get("FORENSICS_JIT") == "0", reason="loops are plain already")
def test_compiled_and_plain_loops_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop says the same without its compiler."""
    lines = list(LAYOUTS.values())
    lines += [line[:k] + piece + line[k + 2 :] for line in LAYOUTS.values() for k, piece in enumerate(PIECES_OF_LINES)]
    data = "\n".join(lines).encode() + b"\n"
    compiled = {name: Paths(data, name, "Asia/Tokyo").rows(slow=False) for name in LAYOUTS}
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name in PLAIN}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "FORENSICS_JIT", "0")
        fresh: Any = importlib.import_module("forensics.formats._squid_cut")
    for name, module in kept.items():
        folder, _, last = name.rpartition(".")
        sys.modules[name] = module
        setattr(sys.modules[folder], last, module)
    monkeypatch.setattr(_squid_cut, "cut_layout", fresh.cut_layout)

    assert {name: Paths(data, name, "Asia/Tokyo").rows(slow=False) for name in LAYOUTS} == compiled


PLAIN = (
    "forensics.packets._jit",
    "forensics.packets._bits",
    "forensics.formats._scanning",
    "forensics.formats._cut",
    "forensics.formats._squid_cut",
)
