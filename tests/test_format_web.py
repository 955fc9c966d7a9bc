"""Access logs of web servers and load balancers: what layouts make of lines, and whom they believe."""

from __future__ import annotations

import io
import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.errors import EvidenceError, TimezoneNeededError
from forensics.formats import Evidence, Format, Hints, _cut, all_formats, apache, haproxy, nginx, zscaler
from forensics.formats._apache_logformat import KNOWN, compile_logformat
from forensics.formats._blocks import block_of
from forensics.formats._clf_fields import backslashes, client_of
from forensics.formats._layouts import Layouts
from forensics.reading.options import ReadOptions

SAMPLES = Path(__file__).resolve().parents[1] / "sample_pcaps" / "formats"
OURS = [
    path
    for name in ("apache", "nginx", "haproxy", "zscaler")
    for path in sorted((SAMPLES / name).rglob("*"))
    if (path.is_file() and path.suffix in (".log", ".tsv", ".csv")) or path.name == "access_log"
]
STAMP = "[21/May/2015:10:00:01 +0900]"


def tables(  # options of several types
    fmt: Format,
    data: bytes,
    **said: Any,  # noqa: ANN401
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, object]]:
    """Return rows by table, and notes."""
    companions = said.pop("companions", {})
    evidence = Evidence(io.BytesIO(data), "access.log", "web", ReadOptions.of(**said).hints(companions))
    found: dict[str, list[dict[str, Any]]] = {}
    for table, batch in fmt.parse(evidence):
        batch.validate(full=True)
        found.setdefault(table, []).extend(batch.to_pylist())
    return found, evidence.notes


def one(fmt: Format, line: str, **said: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the row of one line."""
    found, _ = tables(fmt, line.encode() + b"\n", **said)
    assert found.keys() == {"exchanges"}, found
    return found["exchanges"][0]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.relative_to(SAMPLES).as_posix())
def test_both_ways_of_reading_lines_agree(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that delimiters tell apart, and lines that are read code by code, give the same rows and rejects."""
    fmt = all_formats()[path.relative_to(SAMPLES).parts[0]]
    beside = path.with_name(f"{path.name}.hints.json")
    said = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}
    said["companions"] = {
        name: path.with_name(name).read_bytes() for name in fmt.COMPANIONS if path.with_name(name).exists()
    }
    fast = tables(fmt, path.read_bytes(), **said)
    monkeypatch.setattr(_cut, "SLOW_ONLY", True)
    slow = tables(fmt, path.read_bytes(), **said)

    assert fast[0].get("exchanges") == slow[0].get("exchanges")
    assert [row["record"] for row in fast[0].get("rejects", [])] == [
        row["record"] for row in slow[0].get("rejects", [])
    ]


@given(
    st.lists(
        st.sampled_from(
            [b"192.0.2.1", b" - ", b" - alice ", b"[21/May/2015:10:00:01 +0900]", b' "GET / HTTP/1.1" ', b'"', b"200 5",
             b' "-" "agent"', b"\\", b" ", b"\n", b"\r\n", b"\xff", b"a, b", b"www.example "]
        )
    )
)  # fmt: skip
def test_every_line_is_a_row_or_a_reject(parts: list[bytes]) -> None:
    """Whatever a log holds, each record is one row or one reject, in both formats."""
    for fmt in (apache, nginx):
        evidence = Evidence(io.BytesIO(b"".join(parts)), "access.log", "web")
        records: list[int] = []
        try:
            for _, batch in fmt.parse(evidence):
                records += batch["record"].to_pylist()
        except EvidenceError as error:
            assert "be read as" in str(error)  # noqa: PT017 - only where nothing can be read
        assert len(records) == len(set(records)) == evidence.notes.get("records", 0)


def test_a_block_is_cut_by_every_layout_at_once() -> None:
    """Each record has the first layout that it fits; what fits none says where the nearest one stopped."""
    layouts = Layouts([compile_logformat(name, text) for name, text in KNOWN.items()])
    lines = f'192.0.2.1 - - {STAMP} "GET / HTTP/1.1" 200 5\nwww.example 192.0.2.1 - - {STAMP} "-" 408 -\nnonsense\n'
    cut, which, wrong = layouts.cut(block_of(lines.encode()))

    assert [layouts.known[place].name if place >= 0 else None for place in which] == ["common", "vhost_common", None]
    assert wrong == {"field 1 (virtual host) is not followed by ' '": [2]}
    assert cut.content(layouts.fields("status")[0][0], 1) == b"408"


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "src", "via"),
    [
        ((), "192.0.2.1", "203.0.113.66", "192.0.2.1", None),
        (("192.0.2.1",), "192.0.2.1", "203.0.113.66", "203.0.113.66", "192.0.2.1"),
        (("192.0.2.1",), "198.51.100.1", "203.0.113.66", "198.51.100.1", None),
        (("192.0.2.1",), "192.0.2.1", "203.0.113.66, 198.51.100.9", "198.51.100.9", "192.0.2.1"),
        (("192.0.2.1", "198.51.100.0/24"), "192.0.2.1", "203.0.113.66, 198.51.100.9", "203.0.113.66", "192.0.2.1"),
        (("192.0.2.1",), "192.0.2.1", "203.0.113.66, unknown", "192.0.2.1", None),
        (("192.0.2.1",), "192.0.2.1", "203.0.113.66:4711", "203.0.113.66", "192.0.2.1"),
        (("192.0.2.1",), "192.0.2.1", "[2001:db8::66]:4711", "2001:db8::66", "192.0.2.1"),
        (("192.0.2.1",), "192.0.2.1", "<script>", "192.0.2.1", None),
        (("192.0.2.1",), "192.0.2.1", "-", "192.0.2.1", None),
        (("2001:db8::/64",), "2001:db8::1", "203.0.113.66", "203.0.113.66", "2001:db8::1"),
    ],
)
def test_whom_a_forwarded_header_is_believed(
    trusted: tuple[str, ...], peer: str, forwarded: str, src: str, via: str | None
) -> None:
    """Only a trusted proxy's word for its client counts, from the last address on; the proxy is then ``via``."""
    line = f'{peer} - - {STAMP} "GET / HTTP/1.1" 200 5 "-" "-" "{forwarded}"'
    row = one(apache, line, trusted_proxies=trusted)
    same = one(nginx, f'"{forwarded}, x" {line}', trusted_proxies=trusted) if forwarded == "-" else row
    configured = one(
        nginx, f"{peer} [{forwarded}] {STAMP}", trusted_proxies=trusted,
        logformat="nginx: $remote_addr [$http_x_forwarded_for] [$time_local]",
    )  # fmt: skip

    assert (row["src"], row["via"]) == (src, via)
    assert (configured["src"], configured["via"]) == (src, via) or forwarded.startswith("[")
    assert same["src"] == src or forwarded == "-"


def test_headers_that_are_believed_or_not_are_counted() -> None:
    """The notes say how many headers were believed, how many were not, and whose."""
    line = "{} - - " + STAMP + ' "GET / HTTP/1.1" 200 5 "-" "-" "203.0.113.66"\n'
    data = (line.format("192.0.2.1") * 3 + line.format("192.0.2.2") * 2 + line.format("198.51.100.1") * 4).encode()
    _, notes = tables(apache, data, trusted_proxies=["192.0.2.0/24"])

    assert notes["forwarded_for_used"] == 5
    assert notes["forwarded_for_not_used"] == 4
    assert notes["trusted_peers"] == ["192.0.2.1", "192.0.2.2"]


@pytest.mark.parametrize(
    ("definition", "line", "expected"),
    [
        ("%h %t %D %b", f"192.0.2.1 {STAMP} 1500000 -", {"bytes_in": 0, "seconds": 1.5}),
        ("%h %t %{ms}T %O", f"192.0.2.1 {STAMP} 250 7", {"bytes_in": 7, "seconds": 0.25}),
        ("%h %t %T %D %I", f"192.0.2.1 {STAMP} 2 1999999 9", {"bytes_out": 9, "bytes_in": None, "seconds": 1.999999}),
        ("%h %{sec}t %U%q", "192.0.2.1 1432170001 /a?b", {"url": "/a?b", "seconds": 0}),
        ("%h %{end:msec}t %D", "192.0.2.1 1432170001500 500000", {"seconds": 0.5}),
        ('%h %t "%m %U%q %H" %p', f'192.0.2.1 {STAMP} "GET /a?b HTTP/1.1" 443', {"dst_port": 443, "service": "ssl"}),
        ("%h:%{remote}p %A %t", f"2001:db8::1:999 192.0.2.80 {STAMP}", {"src_port": 999, "dst": "192.0.2.80"}),
        ("rt=%D %h %t", f"rt=1000 192.0.2.1 {STAMP}", {"seconds": 0.001}),
        ('%h %t "%400,501{User-Agent}i" %>s', f'192.0.2.1 {STAMP} "-" 200', {"user_agent": None, "status": 200}),
    ],
)
def test_definitions_of_apache(definition: str, line: str, expected: dict[str, object]) -> None:
    """Codes of a ``LogFormat`` become what they say, in their units."""
    row = one(apache, line, logformat=f"apache: {definition}")
    row["seconds"] = (row["end"] - row["start"]).total_seconds()

    assert {key: row[key] for key in expected} == expected
    assert "2015-05-21T01:00:01" in (row["start"].isoformat(), row["end"].isoformat())[:1][0] or "end:" in definition


@pytest.mark.parametrize(
    ("fmt", "definition", "problem"),
    [
        (apache, "apache: %h %b", "logs no time"),
        (apache, "apache: %t", "logs no client"),
        (apache, "apache: %h %t %~", "unknown LogFormat code at '%~'"),
        (apache, "nginx: $remote_addr", "--logformat is one of nginx"),
        (nginx, "nginx: $remote_addr", "logs no time"),
        (nginx, "$time_local", "logs no client"),
        (haproxy, "haproxy: %ci", "logs no time"),
        (haproxy, "haproxy: %tr %?", "unknown log-format code at '%?'"),
        (zscaler, "zscaler: %s{time}", "no client"),
        (zscaler, r"zscaler: %s{cip}\t%s{url}", "no time"),
    ],
)
def test_definitions_that_cannot_be_used(fmt: Format, definition: str, problem: str) -> None:
    """A definition without time or client, or of another program, is declined with the reason, and is an error."""
    hints = Hints(logformat=definition)

    assert problem in (fmt.declines(b"x\n", hints) or "")
    with pytest.raises(EvidenceError, match=problem.replace("?", r"\?")):
        list(fmt.parse(Evidence(io.BytesIO(b"x\n"), "a.log", "web", hints)))


def test_times_without_a_zone_are_asked_for() -> None:
    """HAProxy writes local times: without a zone reading stops with the line, and the choices."""
    line = (
        b'192.0.2.21:1 [21/May/2015:10:00:01.655] www web/w 0/0/0/0/0 200 1 - - ---- 1/1/1/1/0 0/0 "GET / HTTP/1.1"\n'
    )

    with pytest.raises(TimezoneNeededError, match=r"192\.0\.2\.21"):
        tables(haproxy, line)
    row = one(haproxy, line.decode().strip(), timezone="America/New_York")
    assert row["start"].isoformat() == "2015-05-21T14:00:01.655000+00:00"


def test_a_configuration_beside_a_log_decides() -> None:
    """With an nginx.conf beside it a log in the combined format is nginx's, whose times are ends; else Apache's."""
    line = f'192.0.2.1 - - {STAMP} "GET / HTTP/1.1" 200 5 "-" "-"\n'.encode()
    beside = Hints(companions={"nginx.conf": b"http { access_log /var/log/nginx/access.log; }"})

    assert apache.declines(line, Hints()) is None
    assert nginx.declines(line, Hints())
    assert apache.declines(line, beside)
    assert nginx.declines(line, beside) is None


def test_a_hostile_line_is_one_pass() -> None:
    """A long line that nearly fits at every byte does not take time that grows with its square."""
    line = b"192.0.2.1 - " + b"x [21/May/2015:10:00:01 +0900] " * 20_000 + b'"' + b'" 200 5 ' * 20_000
    found, _ = tables(apache, line + b'\n192.0.2.1 - - [21/May/2015:10:00:01 +0900] "-" 408 -\n')

    assert len(found["exchanges"]) + len(found["rejects"]) == 2


@pytest.mark.parametrize(
    ("text", "undone"),
    [
        (r"\"a\"", '"a"'),
        (r"\xe5\xb1\xb1", "\u5c71"),
        (r"\xff", r"\xff"),
        (r"\\n\n", "\\n\n"),
        (r"\u0041", "A"),
        ("\\", "\\"),
    ],
)
def test_escapes_are_undone(text: str, undone: str) -> None:
    """Bytes of UTF-8 become what they are; others stay escaped."""
    assert backslashes(text) == undone


@pytest.mark.parametrize(
    ("text", "client"),
    [("192.0.2.1", "192.0.2.1"), ("2001:DB8::1", "2001:db8::1"), ("unix:", "unix"),
     ("Client.Example", "client.example"),
     ("12345", None), ("<b>", None)],
)  # fmt: skip
def test_clients(text: str, client: str | None) -> None:
    """A client is an address, or a name that the server looked up."""
    assert client_of(text) == client


def test_networks_of_proxies_are_networks() -> None:
    """The hint takes networks as they are."""
    assert ReadOptions.of(trusted_proxies=["192.0.2.7/24"]).trusted_proxies == (ip_network("192.0.2.0/24"),)
