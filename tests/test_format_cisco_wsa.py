"""Access logs of Cisco's WSA: what differs from Squid's own line."""

from __future__ import annotations

import io
from typing import Any

import pytest

from forensics.errors import EvidenceError
from forensics.formats import Evidence, Hints, _cut, cisco_wsa, squid
from forensics.schema import parts_of

HEAD = "1433122200.512 97 192.0.2.21 TCP_MISS/200 8187"
TAIL = 'DEFAULT_CASE_11-Access-Id-Mal-Data-Dlp-Route <IW_comp,6.9,-,"-",-,-> -'
LINE = f"{HEAD} GET http://www.example/ - DIRECT/www.example text/html {TAIL}"
SPEC = (
    "1278096903.150 97 192.0.2.30 TCP_MISS/200 8187 GET http://my.site.example/ - DIRECT/my.site.example text/plain "
    "DEFAULT_CASE_11-AccessOrDecryptionPolicy-Identity-OutboundMalwareScanningPolicy-DataSecurityPolicy-"
    'ExternalDLPPolicy-RoutingPolicy <IW_comp,6.9,-,"-",-,-,-,-,"-",-,-,-,"-",-,-,"-","-",-,-,IW_comp,-,"-","-",'
    '"Unknown","Unknown","-","-",198.34,0,-,[Local],"-","-"> -'
)


def read(*lines: str) -> tuple[dict[str, list[dict[str, Any]]], dict[str, object]]:
    """Return the rows of a log by table, and its notes."""
    evidence = Evidence(io.BytesIO("\n".join(lines).encode() + b"\n"), "wsa.log", "office")
    found: dict[str, list[dict[str, Any]]] = {}
    for table, batch in cisco_wsa.parse(evidence):
        for part, rows in parts_of(batch) if table == "exchanges" else [(table, batch)]:
            found.setdefault(part, []).extend(rows.to_pylist())
    return found, evidence.notes


def test_a_line_of_the_manual_is_read() -> None:
    """The fields that the manual lists come out as it names them; the peer's name is no address."""
    flow = read(SPEC)[0]["flows"][0]

    assert (flow["src"], flow["state"], flow["bytes_in"], flow["bytes_out"]) == (
        "192.0.2.30", "TCP_MISS/200", 8187, None,
    )  # fmt: skip
    assert (flow["name"], flow["dst"]) == ("my.site.example", None)
    assert (flow["end"] - flow["start"]).total_seconds() == 0.097


@pytest.mark.parametrize(
    ("target", "name", "port", "service"),
    [
        ("tunnel://mail.example:443/", "mail.example", 443, "ssl"),
        ("mail.example:22", "mail.example", 22, None),
        ("tunnel://[2001:db8::7]:443/", None, 443, "ssl"),
        ("tunnel://", None, None, None),
    ],
)
def test_tunnels_name_their_servers(target: str, name: str | None, port: int | None, service: str | None) -> None:
    """The target of a CONNECT stands in an URL of its own kind, whichever way the line is read."""
    line = LINE.replace("GET http://www.example/", f"CONNECT {target}")
    before = _cut.SLOW_ONLY
    for _cut.SLOW_ONLY in (False, True):
        found = read(line)[0]
        flow = found["flows"][0]
        assert (flow["name"], flow["dst_port"], flow["service"]) == (name, port, service)
        assert found["requests"][0]["url"] == target
    _cut.SLOW_ONLY = before


@pytest.mark.parametrize("user", ['"CORP\\tanaka@HQ"', '"CORP\\sato taro@HQ"', "tanaka", '"a <b> c@HQ"'])
def test_users_of_any_kind_are_passed_over(user: str) -> None:
    """A user may stand in quotes and hold spaces and backslashes."""
    assert read(LINE.replace(" - DIRECT", f" {user} DIRECT"))[0]["flows"][0]["name"] == "www.example"


@pytest.mark.parametrize("more", ["", ' "Mozilla/5.0 <x>"', ' - 42 "a b" [c]'])
def test_fields_of_an_administrator_follow(more: str) -> None:
    """What was put behind the verdicts does not matter."""
    assert read(LINE + more)[0]["flows"][0]["bytes_in"] == 8187


def test_lines_of_the_logging_itself_are_no_records() -> None:
    """What the appliance says of its own logging is counted apart; rejects are what might be requests."""
    found, notes = read("Mon Jun  1 10:30:00 2015 Info: Begin Logfile", "# comment", LINE, "nonsense")

    assert (notes["records"], notes["lines_passed_over"]) == (2, 2)
    assert [(row["record"], row["raw"]) for row in found["rejects"]] == [(4, b"nonsense")]


def test_squids_own_logs_are_squids() -> None:
    """Neither format claims the other's lines, and a definition for another format is none for this one."""
    native = f"{HEAD} GET http://www.example/ - HIER_DIRECT/203.0.113.7 text/html\n"

    assert cisco_wsa.declines(native.encode(), Hints()) == "line 1: field 11 (%note) is missing"
    assert squid.declines(f"{LINE}\n".encode(), Hints())
    assert cisco_wsa.declines(f"{LINE}\n".encode(), Hints(logformat="apache: %h")) == "--logformat is one of apache"
    assert cisco_wsa.declines(b"# nothing else\n", Hints()) == "it has no lines but those of the logging itself"


def test_a_log_of_which_nothing_is_read_is_an_error() -> None:
    """The error names the first line and what is wrong with it."""
    with pytest.raises(EvidenceError, match=r"not one of its 2 lines could be read as cisco_wsa; line 1: field 1"):
        read("nonsense", "more")
