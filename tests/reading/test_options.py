"""What the analyst says about evidence: checked at once, told to the formats, kept by the case."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from forensics.errors import CaseError, TimezoneNeededError
from forensics.opening import open_case, read
from forensics.reading.options import ReadOptions

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = "squid: %{%Y-%m-%d %H:%M:%S}tl %>a %Ss/%03>Hs %<st %rm %ru %Sh/%<a"
LINE = "2015-05-21 10:00:01 192.0.2.21 TCP_MISS/200 411 GET http://www.example/ HIER_DIRECT/203.0.113.7\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"year": 15}, "year 15 is no year of a log: give one of 1970 to 2285"),
        ({"timezone": "Tokyo"}, "unknown time zone 'Tokyo'"),
        ({"encoding": "klingon"}, "encoding 'klingon' is not one that logs use"),
        ({"trusted_proxies": ["gate"]}, "trusted proxy 'gate' is neither an address nor a network"),
    ],
)
def test_an_option_that_cannot_be_is_refused_at_once(tmp_path: Path, options: dict[str, object], message: str) -> None:
    """Before a file is opened, with what was expected."""
    with pytest.raises(CaseError, match=message):
        read(tmp_path, **options)  # type: ignore[arg-type]


def test_formats_are_told_all_of_it() -> None:
    """Every option is a hint."""
    hints = ReadOptions.of(
        timezone="Asia/Tokyo", year=2015, logformat="x: y", encoding="SJIS", trusted_proxies=["192.0.2.1/24"]
    ).hints({"squid.conf": b""})

    assert (hints.timezone, hints.year, hints.logformat) == (ZoneInfo("Asia/Tokyo"), 2015, "x: y")
    assert (hints.encoding, hints.trusted_proxies) == ("shift_jis", (ip_network("192.0.2.0/24"),))
    assert hints.companions == {"squid.conf": b""}


def test_a_case_keeps_the_zone_of_its_logs(tmp_path: Path) -> None:
    """It is asked for once, and holds until `add` is told another, in this process and the next."""
    log, other = tmp_path / "access.log", tmp_path / "other.log"
    log.write_text(LINE)
    other.write_text(LINE * 2)
    case = open_case(tmp_path / "a.case")
    with pytest.raises(TimezoneNeededError, match=r"open_case\(..., log_timezone=\"Asia/Tokyo\"\)"):
        case.add(log, logformat=LOCAL)
    del case
    open_case(tmp_path / "a.case", log_timezone="Asia/Tokyo").add(log, logformat=LOCAL)
    again = open_case(tmp_path / "a.case")
    again.add(other, logformat=LOCAL, timezone="UTC")

    assert again.log_timezone == "Asia/Tokyo"
    zones = {row["source"]: row["timezone"] for row in again.sources.to_arrow().to_pylist()}
    assert zones == {"access.log": "Asia/Tokyo", "other.log": "UTC"}


def test_a_definition_for_another_format_is_none_of_squids(tmp_path: Path) -> None:
    """The file is declined with the name of the format that was asked for."""
    log = tmp_path / "access.log"
    log.write_text(LINE)
    with pytest.raises(Exception, match="squid: --logformat is one of apache"):
        read(log, logformat="apache: %h %l %u %t")
